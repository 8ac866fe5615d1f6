//! What a deployment says of its Albert API: where it is, how we are let in, who gets which role.
//!
//! `config` makes these; the rest of this room reads them. Must never print the admin key.

use super::rules::{Otherwise, Rule};
use crate::secret::SecretString;
use std::collections::BTreeSet;
use std::time::Duration;

/// The claims that this room reads whatever the rules say.
const CLAIMS: [&str; 5] = ["email", "email_verified", "given_name", "usual_name", "family_name"];

/// One Albert API, as it is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The credential's configured name, for logs.
    pub name: String,
    /// The base URL without a final slash: an origin, perhaps with a path.
    pub url: String,
    /// The bearer of the admin interface: a key of an account whose role has the permission
    /// `admin`; the master key does up to 0.4.3, but can forge every other key.
    pub admin_key: SecretString,
    /// Which admin interface the API has. `None`: it is found out at first need, remembered, and
    /// found out again when a path that was there is gone.
    pub version: Option<Dialect>,
    /// Who gets which role and organisation; the first rule that applies decides.
    pub rules: Vec<Rule>,
    /// What becomes of a person to whom no rule applies.
    pub otherwise: Otherwise,
    /// The longest life that the API gives a key (`auth_key_max_expiration_days` there), where the
    /// operator knows it. A cap that is not written here is learnt from the API's refusal.
    pub key_lifetime: Option<Duration>,
    /// How long one call may take.
    pub timeout: Duration,
}

impl Settings {
    /// The names of the claims that a session must keep for this credential: those that find and
    /// name the account, and those in the rules.
    pub fn claims(&self) -> BTreeSet<String> {
        let in_rules = self.rules.iter().flat_map(Rule::claims);
        CLAIMS.into_iter().chain(in_rules).map(str::to_owned).collect()
    }
}

/// Which admin interface an Albert API (OpenGateLLM) has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// albert-api 0.1.x: `/users` without e-mail addresses, `/tokens`.
    Legacy,
    /// OpenGateLLM 0.2.0 to 0.4.5: `/v1/admin/users`, `/v1/admin/tokens`.
    Tokens,
    /// OpenGateLLM after that: `/v1/admin/users`, `/v1/admin/keys`.
    Keys,
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy (0.1.x)",
            Self::Tokens => "tokens (0.2.0 to 0.4.5)",
            Self::Keys => "keys (later than 0.4.5)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::albert::{Condition, Grant, Then};

    #[test]
    fn the_session_keeps_the_claims_of_the_account_and_of_the_rules() {
        let claim = Condition::Claim { name: "siret".to_owned(), values: vec!["1".to_owned()] };
        let domain = Condition::EmailDomain(vec!["gouv.fr".to_owned()]);
        let settings = Settings {
            name: "albert".to_owned(),
            url: "http://api.test".to_owned(),
            admin_key: "sk-s3cret".into(),
            version: None,
            rules: vec![Rule { when: vec![claim, domain], then: Then::Refuse }],
            otherwise: Otherwise::Grant(Grant::default()),
            key_lifetime: None,
            timeout: Duration::from_secs(1),
        };
        let claims: Vec<String> = settings.claims().into_iter().collect();
        assert_eq!(claims, ["email", "email_verified", "family_name", "given_name", "siret", "usual_name"]);
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn a_dialect_is_written_as_a_word() {
        for (text, dialect) in [("legacy", Dialect::Legacy), ("tokens", Dialect::Tokens), ("keys", Dialect::Keys)] {
            let read: Dialect = serde_json::from_value(text.into()).unwrap();
            assert_eq!(read, dialect);
        }
    }
}
