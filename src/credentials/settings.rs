//! What the configuration says of a credential.
//!
//! `config` makes these, and `mod` turns them into what runs.

use super::{Placement, TokenTemplate, albert, key_book};
use crate::oidc::Wanted;
use http::{HeaderName, HeaderValue};
use ring::digest;

/// A credential of the configuration.
pub struct Settings {
    /// The name that routes refer to it by.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What kind of credential it is.
pub enum Kind {
    /// One fixed secret, the same for everybody.
    Static {
        /// Where it goes.
        header: HeaderName,
        /// What goes there, with the secret in it.
        value: HeaderValue,
    },
    /// The person's own tokens, in headers.
    Token(Vec<(HeaderName, TokenTemplate)>),
    /// The person's own key for Albert API.
    Albert {
        /// Where the API is, and who gets what there.
        settings: albert::Settings,
        /// When a key is minted.
        mint: Mint,
        /// What keys are called; none: `vestibule-` and the session's name.
        key_name: Option<String>,
    },
    /// A token for another service, in the place of the person's.
    Exchange {
        /// What is asked for.
        wanted: Wanted,
        /// Where it goes.
        placement: Placement,
    },
    /// A key that somebody else keeps.
    Keys {
        /// Where it is looked up.
        settings: key_book::Settings,
        /// Where it goes.
        placement: Placement,
    },
}

/// When a key is minted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mint {
    /// Beside the sign-in, which does not wait for it.
    #[default]
    AtSignIn,
    /// When a request first needs it.
    OnFirstUse,
}

impl Kind {
    /// Whom a value is for. What lies in a store or a cookie from before the configuration was changed
    /// must not go to another service because that has the same name now; nothing secret is in it.
    pub(super) fn mark(&self, name: &str) -> String {
        let what = match self {
            Kind::Static { .. } | Kind::Token(_) => String::new(),
            Kind::Albert { settings, .. } => format!("albert {}", settings.url),
            Kind::Exchange { wanted, .. } => format!("exchange {wanted:?}"),
            Kind::Keys { settings, .. } => format!("keys {settings:?}"),
        };
        let digest = digest::digest(&digest::SHA256, what.as_bytes());
        let tail = digest.as_ref().first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        format!("{name} {tail:016x}")
    }
}
