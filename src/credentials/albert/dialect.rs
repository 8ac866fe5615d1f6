//! Which of its admin interfaces an API has, and where each has what.
//!
//! Called by the front page before the first call, and again when a path is gone. Must never take
//! a refusal for an answer: what cannot be told apart is not remembered.

use super::calls::{Call, Calls};
use super::error::AlbertError;
use super::settings::Dialect;
use crate::fetch::FetchError;
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

/// A list, whatever is in it.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "data")]
    _data: Vec<Value>,
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
                // A web server that answers everything with its front page is no API.
                Ok(answer) if answer.json::<Listed>().is_ok() => return Ok(dialect),
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
        match self.as_nobody(Call::get("describe the API", "/openapi.json".to_owned())).await {
            Ok(answer) => Ok(answer.json().ok()),
            Err(AlbertError::Unreachable(error)) if error != FetchError::TooLarge => Err(error.into()),
            // Whatever keeps the description from us, the interface itself may be there.
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::albert::stub::{Stub, detail, no_such_path};
    use serde_json::json;

    const EMPTY: &str = r#"{"object": "list", "data": []}"#;

    fn describing(paths: &[&str]) -> String {
        let paths: serde_json::Map<String, Value> = paths.iter().map(|&path| (path.to_owned(), json!({}))).collect();
        json!({"info": {"version": "0.4.8"}, "paths": paths}).to_string()
    }

    #[tokio::test]
    async fn the_description_tells_the_dialect_without_the_admin_bearer() {
        for (path, expected) in
            [("/tokens", Dialect::Legacy), ("/v1/admin/tokens", Dialect::Tokens), ("/v1/admin/keys", Dialect::Keys)]
        {
            let description = describing(&["/v1/models", path]);
            let stub = Stub::new(move |_| (200, description.clone())).await;
            assert_eq!(stub.calls().detect().await, Ok(expected));
            assert_eq!(stub.lines(), ["GET /openapi.json"]);
            assert_eq!(stub.asked()[0].bearer, None);
        }
    }

    #[tokio::test]
    async fn an_interface_that_is_not_described_is_probed() {
        for dialect in Dialect::ALL {
            for description in [(200, describing(&["/v1/models"])), (502, String::new()), no_such_path()] {
                let stub = Stub::new(move |asked| match asked.line.strip_prefix("GET ").unwrap() {
                    "/openapi.json" => description.clone(),
                    line if line == format!("{}?limit=1", dialect.keys()) => (200, EMPTY.to_owned()),
                    _ => no_such_path(),
                });
                assert_eq!(stub.await.calls().detect().await, Ok(dialect));
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_admin_interface_is_not_taken_for_one() {
        for (answer, expected) in [
            ((200, "<html>".to_owned()), AlbertError::UnknownVersion),
            ((200, "{}".to_owned()), AlbertError::UnknownVersion),
            ((302, String::new()), AlbertError::UnknownVersion),
            (no_such_path(), AlbertError::UnknownVersion),
            (detail(403, "Invalid API key."), AlbertError::AdminRefused),
            (detail(401, "Invalid API key."), AlbertError::AdminRefused),
            ((502, String::new()), AlbertError::Down(502)),
        ] {
            let stub = Stub::new(move |_| answer.clone()).await;
            assert_eq!(stub.calls().detect().await, Err(expected));
        }
    }

    #[tokio::test]
    async fn a_version_is_shown_if_it_is_one() {
        for (version, expected) in [("0.4.8", Some("0.4.8")), ("1\nforged line", None)] {
            let body = json!({"info": {"version": version}, "paths": {}}).to_string();
            let stub = Stub::new(move |_| (200, body.clone())).await;
            assert_eq!(stub.calls().version_text().await.unwrap().as_deref(), expected);
        }
    }
}
