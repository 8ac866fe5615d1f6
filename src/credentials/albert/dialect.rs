//! Which of its admin interfaces an API has, and where each has what.
//!
//! Called by the front page before the first call, and again when a path is gone. Must never take
//! a refusal for an answer: what cannot be told apart is not remembered.

use super::calls::{Call, Calls};
use super::error::AlbertError;
use super::settings::Dialect;
use serde::Deserialize;
use serde_json::Value;

impl Dialect {
    const ALL: [Self; 3] = [Self::Keys, Self::Tokens, Self::Legacy];

    pub(super) fn users(self) -> &'static str {
        match self {
            Self::Legacy => "/users",
            Self::Tokens | Self::Keys => "/v1/admin/users",
        }
    }

    pub(super) fn roles(self) -> &'static str {
        match self {
            Self::Legacy => "/roles",
            Self::Tokens | Self::Keys => "/v1/admin/roles",
        }
    }

    /// There are none in 0.1.x.
    pub(super) fn organizations(self) -> Option<&'static str> {
        match self {
            Self::Legacy => None,
            Self::Tokens | Self::Keys => Some("/v1/admin/organizations"),
        }
    }

    /// Where the administrator makes keys for others. It tells the dialects apart.
    pub(super) fn keys(self) -> &'static str {
        match self {
            Self::Legacy => "/tokens",
            Self::Tokens => "/v1/admin/tokens",
            Self::Keys => "/v1/admin/keys",
        }
    }

    /// Where a key says whose it is. Not the list of models, which takes dead keys up to 0.4.5.
    pub(super) fn me(self) -> &'static str {
        match self {
            Self::Legacy => "/users/me",
            Self::Tokens | Self::Keys => "/v1/me/info",
        }
    }

    /// The field of an account that holds the e-mail address. In 0.1.x names are unique.
    pub(super) fn email(self) -> &'static str {
        match self {
            Self::Legacy => "name",
            Self::Tokens | Self::Keys => "email",
        }
    }

    /// The field that holds an expiry. Another one is silently ignored.
    pub(super) fn expires(self) -> &'static str {
        match self {
            Self::Legacy => "expires_at",
            Self::Tokens | Self::Keys => "expires",
        }
    }

    /// The fields that hold an account's role: the latest name came a while after the interface.
    pub(super) fn role(self) -> &'static [&'static str] {
        match self {
            Self::Legacy | Self::Tokens => &["role"],
            Self::Keys => &["role", "role_id"],
        }
    }

    /// The fields that hold an account's organisation, likewise.
    pub(super) fn organization(self) -> &'static [&'static str] {
        match self {
            Self::Legacy => &[],
            Self::Tokens => &["organization"],
            Self::Keys => &["organization", "organization_id"],
        }
    }
}

/// What `/openapi.json` says, as far as we read it.
#[derive(Deserialize)]
struct Description {
    info: Option<Info>,
    paths: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Info {
    version: Option<String>,
}

impl Calls {
    /// Finds out which dialect the API speaks: by its description of itself, where that shows an
    /// admin interface (operators may hide it), else by asking for the lists of keys.
    pub(super) async fn detect(&self) -> Result<Dialect, AlbertError> {
        if let Some(description) = self.description().await? {
            let described = |dialect: &Dialect| description.paths.contains_key(dialect.keys());
            if let Some(dialect) = Dialect::ALL.into_iter().find(described) {
                return Ok(dialect);
            }
        }
        for dialect in Dialect::ALL {
            let probe = Call::get("find out the version", format!("{}?limit=1", dialect.keys()));
            match self.as_admin(probe).await {
                Ok(answer) if answer.is_success() => return Ok(dialect),
                Ok(_) | Err(AlbertError::NoSuchCall { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AlbertError::UnknownVersion)
    }

    /// The version that the API's description of itself names, if it does.
    pub(super) async fn version_text(&self) -> Result<Option<String>, AlbertError> {
        let version = self.description().await?.and_then(|description| description.info?.version);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
        Ok(version.filter(|version| version.len() <= 64 && version.chars().all(plain)))
    }

    async fn description(&self) -> Result<Option<Description>, AlbertError> {
        use crate::fetch::FetchError::TooLarge;
        match self.as_nobody(Call::get("describe the API", "/openapi.json".to_owned())).await {
            Ok(answer) => Ok(answer.json().ok()),
            Err(AlbertError::Unreachable(TooLarge) | AlbertError::NoSuchCall { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
