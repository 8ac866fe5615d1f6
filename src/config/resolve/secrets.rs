//! Fetches secrets from where the file says they are.
//!
//! No message holds a secret. The name of a variable or file is repeated only where it looks like
//! one: somebody may have typed the secret in its place.

use super::Resolver;
use crate::config::problem::KeyPath;
use crate::config::scalar::Secret;
use crate::secret::{ExposeSecret, SecretString};
use std::path::Path;
use zeroize::Zeroizing;

impl Resolver<'_> {
    /// The secret that `written` points to, without its final line break.
    pub(super) fn secret(&mut self, at: &KeyPath, written: &Secret) -> Option<SecretString> {
        let text = self.secret_text(at, written)?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.chars().any(char::is_control) {
            let source = source_of(written);
            self.fault(at, format!("{source} holds a line break or another control character inside the secret"));
            return None;
        }
        Some(SecretString::from(text))
    }

    /// The whole text of a secret that may have several lines, as a key in PEM has.
    pub(super) fn secret_text(&mut self, at: &KeyPath, written: &Secret) -> Option<Zeroizing<String>> {
        let text = match written {
            Secret::Env(name) => {
                self.environment.variable(name).map(|value| Zeroizing::new(value.expose_secret().to_owned()))
            }
            Secret::File(path) => self.text_of(path),
        };
        match text {
            Ok(text) if text.trim().is_empty() => {
                self.fault(at, format!("{} is empty", source_of(written)));
                None
            }
            Ok(text) => Some(text),
            Err(cause) => {
                self.fault(at, format!("{} {cause}", source_of(written)));
                None
            }
        }
    }

    fn text_of(&self, path: &Path) -> Result<Zeroizing<String>, crate::config::Unreadable> {
        let bytes = self.environment.file(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| crate::config::Unreadable::NotText)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// What messages call the place. Somebody may have typed the secret in it.
fn source_of(written: &Secret) -> String {
    match written {
        Secret::Env(name) if looks_like_a_variable(name) => format!("the environment variable {name}"),
        Secret::Env(_) => "the environment variable named here".to_owned(),
        Secret::File(path) if path.is_absolute() => format!("the file {}", path.display()),
        Secret::File(_) => "the file named here".to_owned(),
    }
}

fn looks_like_a_variable(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
