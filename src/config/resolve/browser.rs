//! `cors` and `csrf`: which pages of other origins may do what.

use super::Resolver;
use crate::config::problem::KeyPath;
use crate::config::written::{self, List, defaults};
use crate::web::cookies::RequestToken;
use crate::web::cors;
use crate::web::public_url::PublicUrl;
use http::HeaderName;
use std::time::Duration;

impl Resolver<'_> {
    pub(super) fn cors(&mut self, at: &KeyPath, written: Option<&written::Cors>) -> Option<cors::Settings> {
        let written = written?;
        let origins = self.origins(&at.key("origins"), written.origins.as_ref());
        if written.origins.as_ref().is_none_or(Vec::is_empty) {
            self.fault(
                &at.key("origins"),
                "is missing; write the origins of the pages, such as [https://front.example.gouv.fr]",
            );
        }
        let max_age = self.span(&at.key("max_age"), written.max_age, defaults::CORS_MAX_AGE, Duration::ZERO);
        let at = at.key("expose");
        let mut expose = Vec::new();
        for (at, name) in self.items(&at, written.expose.as_ref()) {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => expose.push(name),
                Err(_) => self.fault(&at, "is no header name"),
            }
        }
        Some(cors::Settings { origins, preflight: written.preflight.unwrap_or_default(), max_age, expose })
    }

    /// The origins whose pages may change something, with those of `cors`.
    pub(super) fn trusted_origins(
        &mut self,
        at: &KeyPath,
        written: Option<&written::Csrf>,
        cors: Option<&cors::Settings>,
    ) -> Vec<PublicUrl> {
        let mut origins = self.origins(&at.key("origins"), written.and_then(|csrf| csrf.origins.as_ref()));
        origins.extend(cors.into_iter().flat_map(|cors| cors.origins.iter().cloned()));
        origins
    }

    /// The names of the token that scripts repeat, where one is wanted.
    pub(super) fn request_token(&mut self, at: &KeyPath, written: Option<&written::Csrf>) -> Option<RequestToken> {
        let written = written?.token.as_ref()?;
        let cookie = written.cookie.as_deref().unwrap_or(defaults::CSRF_COOKIE);
        let header = written.header.as_deref().unwrap_or(defaults::CSRF_HEADER);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // `__Host-` and `__Secure-` are promises, and `vestibule…` are the session's.
        let is_name = (1..=64).contains(&cookie.len()) && cookie.chars().all(plain) && !cookie.starts_with('_');
        if !is_name || cookie.starts_with("vestibule") {
            self.fault(&at.key("cookie"), "must be a name of letters, digits, `-`, `_` and `.`, such as XSRF-TOKEN");
        }
        let name = HeaderName::from_bytes(header.as_bytes()).ok().filter(|name| name.as_str().starts_with("x-"));
        if name.is_none() {
            self.fault(&at.key("header"), "must be a header's name that begins with X-, such as X-XSRF-TOKEN");
        }
        Some(RequestToken::named(cookie, name?))
    }

    fn origins(&mut self, at: &KeyPath, written: Option<&List<String>>) -> Vec<PublicUrl> {
        let mut origins = Vec::new();
        for (at, text) in self.items(at, written) {
            match PublicUrl::parse(text) {
                Ok(origin) => origins.push(origin),
                // The text is not repeated: a URL may hold a password.
                Err(bad) => self.fault(&at, format!("{bad}; write an origin, such as https://front.example.gouv.fr")),
            }
        }
        origins
    }
}
