//! Keys that somebody else keeps, found by a claim: in a file or behind an HTTP endpoint.
//!
//! `app` makes one [`KeyBook`] per credential of `kind: keys`; the wallet asks it once per session
//! and keeps what it finds. A book of 100,000 people is looked up in one step. Must never print a
//! key, the claim's value or a line of the file, and never put any of them into a URL.
//!
//! This room does not touch the disk: whoever makes a book hands it a [`Files`], which `config`
//! has (`config::SystemFiles`).

mod endpoint;
mod entries;
mod file;

pub use endpoint::Endpoint;
pub use entries::Fault;
pub use file::{BadBook, Contents, Files, Stamp, Unreadable};

use crate::claims::{ClaimValue, ClaimsView};
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::SecretString;
use file::Shelf;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

/// The longest key, in bytes: headers of 8 KiB altogether are refused by common servers.
const LONGEST_KEY: usize = 4 * 1024;

/// The most values of one claim that an endpoint is asked about. Each is a call of its own, and
/// the person waits.
const MOST_CALLS: usize = 16;

/// One book, as configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the credential, for logs.
    pub name: String,
    /// The claim by whose value keys are found: `siret`, `email`, `sub`…
    pub claim: String,
    /// Where the keys are.
    pub source: Source,
    /// Whether `A` to `Z` count as `a` to `z`, for e-mail addresses. An endpoint is then asked in
    /// small letters. Other letters are compared as they are: folding them would make one person of
    /// two whose addresses only look alike.
    pub fold_case: bool,
}

/// Where keys are kept.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file: one mapping from claim values to keys, JSON where its name ends in `.json`, else
    /// YAML.
    File(PathBuf),
    /// Behind an HTTP endpoint.
    Http(Endpoint),
}

/// Keys by the value of a claim.
pub struct KeyBook {
    settings: Settings,
    keeper: Keeper,
}

enum Keeper {
    File(Arc<Shelf>),
    Http(Fetch),
}

/// A person's key.
#[derive(Clone, Debug)]
pub struct Found {
    /// The key; fit for a header as it is.
    pub secret: SecretString,
    /// Until when it is good, where that is said.
    pub until: Option<Timestamp>,
}

/// Why there is no key. Messages hold nothing of the person and nothing that an endpoint said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyBookError {
    /// The person has no such claim, an empty one, or one that is no text and no list of texts.
    #[error("the person has no claim by which a key could be found")]
    NoClaim,
    /// Nobody has a key by any of the claim's values.
    #[error("there is no key for the claim's value")]
    NobodysKey,
    /// The endpoint gave no answer.
    #[error("the key endpoint could not be asked: {0}")]
    Unreachable(FetchError),
    /// An answer other than 200 and 404, redirects among them.
    #[error("the key endpoint answered with status {0}")]
    Status(u16),
    /// 200, but with no key that can be used.
    #[error("the key endpoint's answer is malformed: {0}")]
    Malformed(&'static str),
}

impl KeyBookError {
    /// Whether nobody gets a key now and time may mend it: the endpoint is out of reach or fails.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status(status) => matches!(status, 408 | 429 | 500..),
            Self::NoClaim | Self::NobodysKey | Self::Malformed(_) => false,
        }
    }

    /// Whether an operator must mend it, here or at the endpoint. What is neither this nor an
    /// outage is about the person.
    pub fn is_misconfiguration(&self) -> bool {
        match self {
            Self::Status(_) | Self::Malformed(_) => !self.is_outage(),
            Self::Unreachable(_) | Self::NoClaim | Self::NobodysKey => false,
        }
    }
}

impl KeyBook {
    /// A book. Its file is read here and now, with `files`; an endpoint is not asked yet.
    ///
    /// # Errors
    /// [`BadBook`], when the file cannot be read or is no such mapping.
    pub fn new(settings: Settings, fetch: Fetch, files: Arc<dyn Files>) -> Result<Self, BadBook> {
        let keeper = match &settings.source {
            Source::File(path) => {
                Keeper::File(Arc::new(Shelf::open(&settings.name, path.clone(), settings.fold_case, files)?))
            }
            Source::Http(_) => Keeper::Http(fetch),
        };
        Ok(Self { settings, keeper })
    }

    /// The claim that sessions must keep for this.
    pub fn claim(&self) -> &str {
        &self.settings.claim
    }

    /// The person's key. Where the claim is a list, that of its first value that has one.
    ///
    /// # Errors
    /// [`KeyBookError`], one variant per cause. An endpoint that fails at one value of a list is not
    /// asked about the next: the person would get a lesser key than is theirs.
    pub async fn find(&self, person: &ClaimsView<'_>, now: Timestamp) -> Result<Found, KeyBookError> {
        let values = self.values(person)?;
        match (&self.keeper, &self.settings.source) {
            (Keeper::File(file), _) => {
                let entries = file.entries(now).await;
                let secret = values.iter().find_map(|value| entries.get(value)).ok_or(KeyBookError::NobodysKey)?;
                Ok(Found { secret: secret.clone(), until: None })
            }
            (Keeper::Http(fetch), Source::Http(endpoint)) => {
                for value in values.iter().take(MOST_CALLS) {
                    if let Some(found) = endpoint.ask(&self.settings.claim, value, fetch, now).await? {
                        return Ok(found);
                    }
                }
                Err(KeyBookError::NobodysKey)
            }
            // Made by `new` alone, which makes no such pair.
            (Keeper::Http(_), Source::File(_)) => Err(KeyBookError::NobodysKey),
        }
    }

    /// The claim's values, as they are looked up.
    fn values<'a>(&self, person: &ClaimsView<'a>) -> Result<Vec<Cow<'a, str>>, KeyBookError> {
        let values = match person.get(&self.settings.claim) {
            Some(ClaimValue::Text(text)) => vec![*text],
            Some(ClaimValue::List(items)) => items.clone(),
            Some(ClaimValue::Json(_)) | None => Vec::new(),
        };
        let values = values.into_iter().filter(|value| !value.is_empty());
        let values: Vec<_> = values.map(|value| as_looked_up(value, self.settings.fold_case)).collect();
        if values.is_empty() { Err(KeyBookError::NoClaim) } else { Ok(values) }
    }
}

impl std::fmt::Debug for KeyBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyBook").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn as_looked_up(value: &str, fold_case: bool) -> Cow<'_, str> {
    if fold_case { Cow::Owned(value.to_ascii_lowercase()) } else { Cow::Borrowed(value) }
}

/// Whether it can stand in a header as it is: visible ASCII, and spaces within.
fn is_header_text(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && key.trim() == key && !key.is_empty()
}

#[cfg(test)]
mod tests;
