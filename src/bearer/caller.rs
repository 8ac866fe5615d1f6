//! Who calls with a bearer token or a certificate, after every check.

use crate::claims::Claims;
use crate::clock::Timestamp;

/// Whom a bearer token or a client certificate names, and by which rule it was verified.
///
/// Part of the security perimeter: its fields are private to `bearer`, which makes one only at the
/// end of `Bearers::verify` and `Bearers::holder`; explanations suppose one, which goes nowhere. It is no session: it lasts for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(in crate::bearer) rule: usize,
    pub(in crate::bearer) name: String,
    pub(in crate::bearer) key: Option<String>,
    pub(in crate::bearer) claims: Claims,
    pub(in crate::bearer) ends_at: Option<Timestamp>,
    pub(in crate::bearer) authenticated_at: Option<Timestamp>,
}

impl Caller {
    /// The rule that verified the token, by its index: it is worth nothing where another is asked for.
    pub fn rule(&self) -> usize {
        self.rule
    }

    /// The name of that rule.
    pub fn rule_name(&self) -> &str {
        &self.name
    }

    /// What the log calls it: the rule, and the name of a service key or certificate. Nothing of a person.
    pub fn label(&self) -> String {
        match &self.key {
            Some(key) => format!("{}/{key}", self.name),
            None => self.name.clone(),
        }
    }

    /// The verified claims, those that are kept.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Whether an issuer speaks of somebody who could prove more of themselves, and not the configuration
    /// of a program.
    pub fn is_of_an_issuer(&self) -> bool {
        self.key.is_none()
    }

    /// When the person whose token it is proved who they are (`auth_time`, RFC 9068 §2.2.1), where it
    /// says so.
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated_at
    }

    /// When the token ends, where it says so.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// A caller who is only supposed, for explanations: nothing was verified. `tests/it/architecture.rs`
    /// sees to it that nobody else makes one.
    pub(crate) fn supposed(rule: usize, name: &str, claims: Claims, authenticated_at: Option<Timestamp>) -> Self {
        Self { rule, name: name.to_owned(), key: None, claims, ends_at: None, authenticated_at }
    }

    /// A caller for the tests of other rooms, as if this rule had verified a token.
    #[cfg(test)]
    pub(crate) fn for_tests(rule: usize, claims: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self {
            rule,
            name: "api".to_owned(),
            key: None,
            claims: Claims::from_json(claims),
            ends_at: None,
            authenticated_at: None,
        }
    }

    /// The same as the holder of a service key, whom no issuer speaks of.
    #[cfg(test)]
    pub(crate) fn by_service_key(self) -> Self {
        Self { key: Some("night-job".to_owned()), ..self }
    }
}
