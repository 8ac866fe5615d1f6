//! Albert API's admin interface: a person's account there, and keys for it.
//!
//! Called by this room's front page, which knows sessions and remembers keys; here nothing is
//! known of either. Albert API (OpenGateLLM) has had three admin interfaces ([`Dialect`]), and all
//! of them are in use: this is the one place that knows how they differ. Must never change an
//! administrator's role, nor put a key, an e-mail address or a body into a log or an error.
//!
//! ```text
//!   settings  what a deployment says            rules    who gets which role, or none
//!   person    who is to have an account         account  found, created, kept up to date
//!   shown     an account as the API shows it    grants   roles and organisations by name
//!   key       minted, probed, discarded         dialect  which interface, and its paths
//!   calls     one HTTP call, and lists          error    why there is no key
//! ```

mod account;
mod calls;
mod dialect;
mod error;
mod grants;
mod key;
mod person;
mod rules;
mod settings;
mod shown;
#[cfg(test)]
mod stub;

pub use error::AlbertError;
pub use rules::{Condition, Grant, Otherwise, Reference, Rule, Then};
pub use settings::{Dialect, Settings};

use crate::claims::ClaimsView;
use crate::clock::Timestamp;
use crate::fetch::Fetch;
use crate::random::Random;
use crate::secret::SecretString;
use calls::Calls;
use grants::{Named, Remembered};
use ring::digest;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A person's account at the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number, which stays when the e-mail address changes.
    pub id: u64,
}

/// Which account was a person's the last time. Its number alone is no proof: where the API has been
/// set up anew, or is another one, it is somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    id: u64,
    /// Of the address that it had, in lower case: SHA-256.
    address: [u8; 32],
}

impl Known {
    /// As it is written.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.id.to_be_bytes()[..], &self.address].concat()
    }

    /// As [`Self::to_bytes`] wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, address) = bytes.split_first_chunk()?;
        Some(Self { id: u64::from_be_bytes(*id), address: address.try_into().ok()? })
    }

    /// The account of this number, which has this address.
    pub fn new(id: u64, address: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, address.to_ascii_lowercase().as_bytes());
        let mut address = [0; 32];
        address.copy_from_slice(digest.as_ref());
        Self { id, address }
    }
}

/// A fresh key.
#[derive(Clone, Debug)]
pub struct Minted {
    /// Its number, by which it is discarded.
    pub id: u64,
    /// The key: `sk-…`. The API shows it this once.
    pub secret: SecretString,
    /// When it ends.
    pub until: Timestamp,
}

/// What [`Albert::examine`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The admin interface, as set or as found.
    pub dialect: Dialect,
    /// The version that the API itself names, if it does.
    pub version: Option<String>,
    /// The configured roles that the API does not have.
    pub missing_roles: Vec<Reference>,
    /// The configured organisations that the API does not have; in 0.1.x there are none at all.
    pub missing_organizations: Vec<Reference>,
    /// The configured roles that make administrators.
    pub administrative_roles: Vec<Reference>,
}

/// The admin interface of one Albert API.
#[derive(Debug)]
pub struct Albert {
    calls: Calls,
    detected: Mutex<Option<Dialect>>,
    roles: Remembered,
    organizations: Remembered,
    /// The server's cap on the life of a key, once it has been learnt.
    cap: Mutex<Option<Duration>>,
}

impl Albert {
    /// The admin interface that `settings` describe. Nothing is called yet.
    pub fn new(settings: Settings, fetch: Fetch) -> Self {
        Self {
            calls: Calls { settings, fetch },
            detected: Mutex::default(),
            roles: Remembered::default(),
            organizations: Remembered::default(),
            cap: Mutex::default(),
        }
    }

    /// The person's account: the one `known` for their `sub`, if it still has the address that it
    /// had then or has theirs; else the one with their e-mail address, else a new one; brought up to
    /// date with what the claims and the rules say. And what is to be known of it the next time.
    ///
    /// # Errors
    /// [`AlbertError`]. A person without a usable e-mail address, or whom the rules refuse, is
    /// never asked for at the API.
    pub async fn account(
        &self,
        person: &ClaimsView<'_>,
        known: Option<Known>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(Account, Known), AlbertError> {
        let wanted = person::Wanted::new(&self.calls.settings, person)?;
        let wanted = &wanted;
        self.speaking(|dialect| self.find_or_create(dialect, wanted, known, now, random)).await
    }

    /// A new key for `account`, called `name` there, that ends at `until` or at the server's cap.
    ///
    /// # Errors
    /// [`AlbertError`].
    pub async fn mint(
        &self,
        account: &Account,
        name: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Minted, AlbertError> {
        let account = *account;
        self.speaking(|dialect| self.mint_in(dialect, account, name, until, now)).await
    }

    /// Whether the API takes `key`.
    ///
    /// # Errors
    /// [`AlbertError`], when the API does not say.
    pub async fn is_alive(&self, key: &SecretString) -> Result<bool, AlbertError> {
        self.speaking(|dialect| self.is_alive_in(dialect, key)).await
    }

    /// Discards the key numbered `key` of `account`. A key that is gone already is a success.
    ///
    /// `own` is a live key of that account, at best the key itself: without one, 0.2.0 to 0.4.5
    /// need a second key, called `name_for_helper_key`, for a moment.
    ///
    /// # Errors
    /// [`AlbertError`]; after [`AlbertError::CannotDiscard`], trying again is of no use.
    pub async fn discard(
        &self,
        account: u64,
        key: u64,
        own: Option<&SecretString>,
        name_for_helper_key: &str,
        now: Timestamp,
    ) -> Result<(), AlbertError> {
        let account = Account { id: account };
        self.speaking(|dialect| self.discard_in(dialect, account, key, own, name_for_helper_key, now)).await
    }

    /// Tries the admin bearer, and looks for what the rules name.
    ///
    /// # Errors
    /// [`AlbertError`], when the API does not let us in.
    pub async fn examine(&self) -> Result<Examined, AlbertError> {
        self.speaking(|dialect| self.examine_in(dialect)).await
    }

    async fn examine_in(&self, dialect: Dialect) -> Result<Examined, AlbertError> {
        let roles = self.calls.roles(dialect).await?;
        let organizations = self.calls.organizations(dialect).await?;
        let settings = &self.calls.settings;
        let default = match &settings.otherwise {
            Otherwise::Grant(grant) => Some(grant),
            Otherwise::Refuse => None,
        };
        let grants = || settings.rules.iter().filter_map(Rule::grant).chain(default);
        let wanted_roles = || grants().filter_map(|grant| grant.role.as_ref());
        let wanted_organizations = grants().filter_map(|grant| grant.organization.as_ref());
        Ok(Examined {
            dialect,
            version: self.calls.version_text().await.unwrap_or(None),
            missing_roles: absent(wanted_roles(), &roles),
            missing_organizations: absent(wanted_organizations, &organizations),
            administrative_roles: chosen(wanted_roles(), |reference| {
                roles.iter().any(|role| role.is(reference) && role.is_administrative())
            }),
        })
    }

    /// Does `operation` in the API's dialect. Where the dialect is not set and a path turns out not
    /// to be there, the API has been changed: the dialect is found out anew, and if it is another
    /// one the operation is done again.
    async fn speaking<T, F>(&self, operation: impl Fn(Dialect) -> F) -> Result<T, AlbertError>
    where
        F: Future<Output = Result<T, AlbertError>>,
    {
        let remembered = *self.detected.lock().unwrap_or_else(PoisonError::into_inner);
        let dialect = match self.calls.settings.version.or(remembered) {
            Some(dialect) => dialect,
            None => self.detect().await?,
        };
        match operation(dialect).await {
            Err(error @ AlbertError::NoSuchCall { .. }) if self.calls.settings.version.is_none() => {
                *self.detected.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let now_spoken = self.detect().await?;
                if now_spoken == dialect { Err(error) } else { operation(now_spoken).await }
            }
            outcome => outcome,
        }
    }

    async fn detect(&self) -> Result<Dialect, AlbertError> {
        let dialect = self.calls.detect().await?;
        tracing::info!(credential = self.calls.settings.name, %dialect, "the API's admin interface is known");
        *self.detected.lock().unwrap_or_else(PoisonError::into_inner) = Some(dialect);
        Ok(dialect)
    }
}

fn absent<'a>(wanted: impl Iterator<Item = &'a Reference>, there: &[Named]) -> Vec<Reference> {
    chosen(wanted, |reference| !there.iter().any(|named| named.is(reference)))
}

/// Those of `wanted` that `choose` accepts, each once.
fn chosen<'a>(wanted: impl Iterator<Item = &'a Reference>, choose: impl Fn(&Reference) -> bool) -> Vec<Reference> {
    let mut chosen: Vec<Reference> = Vec::new();
    for reference in wanted {
        if choose(reference) && !chosen.contains(reference) {
            chosen.push(reference.clone());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use stub::{Stub, detail, no_such_path};

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);
    const MINTED: &str = r#"{"id": 1, "token": "sk-a"}"#;

    #[tokio::test]
    async fn an_api_that_is_upgraded_meanwhile_is_understood_anew() {
        let upgraded = Arc::new(AtomicBool::new(false));
        let later = Arc::clone(&upgraded);
        let stub = Stub::new(move |asked| match (asked.line.as_str(), later.load(Ordering::Relaxed)) {
            ("GET /openapi.json", false) => (200, r#"{"paths": {"/v1/admin/tokens": {}}}"#.to_owned()),
            ("GET /openapi.json", true) => (200, r#"{"paths": {"/v1/admin/keys": {}}}"#.to_owned()),
            ("POST /v1/admin/tokens", false) | ("POST /v1/admin/keys", true) => (201, MINTED.to_owned()),
            _ => no_such_path(),
        });
        let stub = stub.await;
        let albert = stub.albert(None);
        let mint = || albert.mint(&Account { id: 1 }, "x", NOW.plus(Duration::from_secs(60)), NOW);
        assert!(mint().await.is_ok() && mint().await.is_ok());
        upgraded.store(true, Ordering::Relaxed);
        assert!(mint().await.is_ok() && mint().await.is_ok());
        let described = stub.lines().iter().filter(|line| *line == "GET /openapi.json").count();
        assert_eq!(described, 2);

        // A version that is set is not second-guessed.
        let set = stub.albert(Some(Dialect::Tokens));
        let minted = set.mint(&Account { id: 1 }, "x", NOW.plus(Duration::from_secs(60)), NOW).await;
        assert_eq!(minted.unwrap_err(), AlbertError::NoSuchCall { call: "mint a key" });
    }

    #[tokio::test]
    async fn a_failed_detection_is_not_remembered() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let stub = Stub::new(move |asked| match asked.line.as_str() {
            _ if counted.fetch_add(1, Ordering::Relaxed) < 2 => detail(502, ""),
            "GET /openapi.json" => (200, r#"{"paths": {"/tokens": {}}}"#.to_owned()),
            _ => (200, "{}".to_owned()),
        });
        let albert = stub.await.albert(None);
        assert_eq!(albert.is_alive(&"sk-a".into()).await, Err(AlbertError::Down(502)));
        assert_eq!(albert.is_alive(&"sk-a".into()).await, Ok(true));
    }

    #[tokio::test]
    async fn nothing_prints_the_admin_key() {
        let stub = Stub::new(|_| no_such_path()).await;
        assert!(!format!("{:?}", stub.albert(None)).contains("the-admin"));
    }
}
