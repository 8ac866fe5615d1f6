//! Albert API's admin interface: a person's account there, and keys for it.
#![expect(missing_docs, clippy::unused_async, reason = "a stub")]
use crate::claims::ClaimsView;
use crate::clock::Timestamp;
use crate::fetch::Fetch;
use crate::random::Random;
use crate::secret::SecretString;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Dialect {
    Legacy,
    Tokens,
    Keys,
}
pub struct Settings {
    pub name: String,
    pub url: String,
    pub admin_key: SecretString,
    pub version: Option<Dialect>,
    pub rules: Vec<Rule>,
    pub otherwise: Otherwise,
    pub key_lifetime: Option<Duration>,
    pub timeout: Duration,
}
impl Settings {
    pub fn claims(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}
pub struct Rule {
    pub when: Vec<Condition>,
    pub then: Then,
}
pub enum Condition {
    Claim { name: String, values: Vec<String> },
    EmailDomain(Vec<String>),
}
pub enum Then {
    Grant(Grant),
    Refuse,
}
pub struct Grant {
    pub role: Option<Reference>,
    pub organization: Option<Reference>,
}
pub enum Reference {
    Id(u64),
    Name(String),
}
pub enum Otherwise {
    Grant(Grant),
    Refuse,
}
pub struct Albert;
pub struct Account {
    pub id: u64,
}
pub struct Minted {
    pub id: u64,
    pub secret: SecretString,
    pub until: Timestamp,
}
#[derive(Debug, thiserror::Error)]
pub enum AlbertError {
    #[error("x")]
    AdminRefused,
    #[error("x")]
    CannotDiscard,
}
impl AlbertError {
    pub fn is_outage(&self) -> bool {
        false
    }
}
impl Albert {
    pub fn new(_: Settings, _: Fetch) -> Self {
        Self
    }
    pub async fn account(
        &self,
        _: &ClaimsView<'_>,
        _: Option<u64>,
        _: Timestamp,
        _: &dyn Random,
    ) -> Result<Account, AlbertError> {
        Err(AlbertError::AdminRefused)
    }
    pub async fn mint(&self, _: u64, _: &str, _: Timestamp, _: Timestamp) -> Result<Minted, AlbertError> {
        Err(AlbertError::AdminRefused)
    }
    pub async fn is_alive(&self, _: &SecretString) -> Result<bool, AlbertError> {
        Err(AlbertError::AdminRefused)
    }
    pub async fn discard(
        &self,
        _: u64,
        _: u64,
        _: Option<&SecretString>,
        _: &str,
        _: Timestamp,
    ) -> Result<(), AlbertError> {
        Err(AlbertError::AdminRefused)
    }
}
