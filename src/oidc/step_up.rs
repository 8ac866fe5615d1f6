//! What a person is sent back to the provider for: a stronger authentication, or a recent one.
//!
//! `gate` says which a route asks for, `authorize` asks for it, `login` looks at what came of it. What
//! was asked for proves nothing: only what the verified ID token says counts.

use super::Identity;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What has to be said of a new authentication (OpenID Connect Core §5.5.1.1 and §3.1.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepUp {
    /// Its level is one of these, each listed: they are compared to the letter. Empty: any.
    pub acr_values: Vec<String>,
    /// It is not older than this.
    pub max_age: Option<Duration>,
}

/// What an authentication lacks of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacks {
    /// Its `acr` is none of those asked for, or is not said.
    #[error("acr is none of those that were asked for")]
    Level,
    /// It is older than asked for: the provider did not ask the person again.
    #[error("auth_time is older than max_age: the provider did not ask the person again, or its clock differs")]
    Recent,
    /// The ID token does not say when it was.
    #[error("the ID token has no auth_time, without which max_age cannot be judged: have the provider send it")]
    Moment,
}

impl StepUp {
    /// What a verified sign-in lacks of this.
    pub fn lacks(&self, identity: &Identity, now: Timestamp) -> Option<Lacks> {
        let claims = identity.claims().view();
        let acr = claims.text("acr");
        if !self.acr_values.is_empty() && !self.acr_values.iter().any(|level| acr == Some(level)) {
            return Some(Lacks::Level);
        }
        match (self.max_age, identity.authenticated_at()) {
            (None, _) => None,
            (Some(_), None) => Some(Lacks::Moment),
            (Some(max_age), Some(at)) => (now.since(at) >= max_age).then_some(Lacks::Recent),
        }
    }

    /// Its levels as parameters carry them.
    pub fn acr_text(&self) -> String {
        self.acr_values.join(" ")
    }
}
