//! The encrypted envelope that hands a person's key to the playgrounds of 2025.
#![expect(missing_docs, reason = "a stub")]
use crate::clock::Timestamp;
use crate::secret::SecretString;
use std::time::Duration;
use zeroize::Zeroizing;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Derivation {
    Raw,
    Sha256,
    #[default]
    Pbkdf2,
}
pub struct Envelope;
#[derive(Debug, thiserror::Error)]
pub enum BadEnvelopeKey {
    #[error("x")]
    X,
}
pub struct Contents<'a> {
    pub app_token: &'a SecretString,
    pub token_id: u64,
    pub proconnect_token: &'a str,
}
impl Envelope {
    pub fn new(_: &SecretString, _: Derivation) -> Result<Self, BadEnvelopeKey> {
        Ok(Self)
    }
    pub fn seal(&self, _: &Contents<'_>, _: Timestamp) -> SecretString {
        SecretString::from("x")
    }
    pub fn open(&self, _: &str, _: Duration, _: Timestamp) -> Option<Zeroizing<String>> {
        None
    }
}
