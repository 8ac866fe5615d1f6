//! Where keys came from, those of sessions and those that sign, so that `app` can read them again
//! while the program runs.
//!
//! Only the contents of files can change: what the environment held at the start is kept. The
//! rules of a key are those of the start, in the same function. Must never give out some of the
//! keys: one that is missing, half-written or malformed makes the whole reading unfit.

use super::environment::{Environment, SystemEnvironment, Unreadable};
use super::problem::{Fault, Finding, KeyPath, Segment};
use super::resolve::{resolve_keys, resolve_signing_keys};
use super::scalar::Secret;
use super::written::{List, SessionKey, SigningKey};
use crate::seal::KeyMaterial;
use crate::secret::{ExposeSecret, SecretString};
use crate::signing;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The session keys as they were written.
#[derive(Debug)]
pub struct KeyFiles(Source<SessionKey>);

/// The signing keys of one ring as they were written.
#[derive(Debug)]
pub struct SigningKeyFiles {
    at: KeyPath,
    source: Source<SigningKey>,
}

/// Why a reading gave no keys: what is wrong with which key, and in which files. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .what.join("; "))]
pub struct UnfitKeys {
    what: Vec<String>,
    files: BTreeSet<String>,
}

impl UnfitKeys {
    /// The files that it is about, with commas between them.
    pub fn files(&self) -> String {
        self.files.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl KeyFiles {
    pub(super) fn of(written: Option<&List<SessionKey>>, environment: &dyn Environment) -> Self {
        Self(Source::of(written, environment))
    }

    /// Whether there is a file that could change.
    pub fn are_any(&self) -> bool {
        self.0.are_any()
    }

    /// Reads every key as it is now, with what deserves a second look. Reads from the disk: not
    /// for a thread that must not wait.
    ///
    /// # Errors
    /// [`UnfitKeys`], with every mistake.
    pub fn read(&self) -> Result<(Vec<KeyMaterial>, Vec<Finding>), UnfitKeys> {
        resolve_keys(&self.0.written, &self.0).map_err(|faults| self.0.unfit(&faults))
    }
}

impl SigningKeyFiles {
    pub(super) fn of(at: KeyPath, written: Option<&List<SigningKey>>, environment: &dyn Environment) -> Self {
        Self { at, source: Source::of(written, environment) }
    }

    /// Whether there is a file that could change.
    pub fn are_any(&self) -> bool {
        self.source.are_any()
    }

    /// Where they are written, for log lines.
    pub fn at(&self) -> String {
        self.at.to_string()
    }

    /// As [`KeyFiles::read`].
    ///
    /// # Errors
    /// [`UnfitKeys`], with every mistake.
    pub fn read(&self) -> Result<(Vec<Arc<signing::SigningKey>>, Vec<Finding>), UnfitKeys> {
        let read = resolve_signing_keys(&self.at, &self.source.written, &self.source);
        read.map_err(|faults| self.source.unfit(&faults))
    }
}

/// A key that says where its secret is.
trait HasSecret: Clone {
    fn secret(&self) -> Option<&Secret>;
}

impl HasSecret for SessionKey {
    fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }
}

impl HasSecret for SigningKey {
    fn secret(&self) -> Option<&Secret> {
        self.key.as_ref()
    }
}

/// Keys as they were written, with what the environment held of them.
struct Source<K> {
    written: List<K>,
    variables: BTreeMap<String, SecretString>,
}

impl<K: HasSecret> Source<K> {
    fn of(written: Option<&List<K>>, environment: &dyn Environment) -> Self {
        let written = written.cloned().unwrap_or_default();
        let named = written.iter().flatten().filter_map(|key| match key.secret() {
            Some(Secret::Env(name)) => Some(name),
            _ => None,
        });
        let variables = named.filter_map(|name| Some((name.clone(), environment.variable(name).ok()?))).collect();
        Self { written, variables }
    }

    fn are_any(&self) -> bool {
        self.written.iter().flatten().any(|key| matches!(key.secret(), Some(Secret::File(_))))
    }

    fn unfit(&self, faults: &[Fault]) -> UnfitKeys {
        let what = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
        let files = faults.iter().filter_map(|fault| {
            let item = fault.path.segments().iter().find_map(|segment| match segment {
                Segment::Item(index) => Some(*index),
                Segment::Key(_) => None,
            });
            match self.written.get(item?)?.as_ref()?.secret()? {
                // It held a key at the start: it is a path, and no secret that was typed in its place.
                Secret::File(path) => Some(path.display().to_string()),
                Secret::Env(_) => None,
            }
        });
        UnfitKeys { what, files: files.collect() }
    }
}

impl<K> Environment for Source<K> {
    fn variable(&self, name: &str) -> Result<SecretString, Unreadable> {
        let held = self.variables.get(name).ok_or(Unreadable::Absent)?;
        Ok(SecretString::from(held.expose_secret()))
    }

    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        SystemEnvironment.file(path)
    }
}

impl<K: fmt::Debug> fmt::Debug for Source<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("written", &self.written).finish_non_exhaustive()
    }
}
