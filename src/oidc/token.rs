//! The token request: a code becomes tokens (RFC 6749 §4.1.3, RFC 7636 §4.5), and a refresh token
//! new ones (RFC 6749 §6).
//!
//! Called by the facade, with a code after `login` has checked `state`, and by `refresh`. Either is
//! sent once, never again: a second attempt would look like theft and could end what the first one
//! brought. The ID token that comes out is only text here; `id_token` verifies it.

use super::Code;
use super::client_request::{self, Refusal};
use super::settings::Settings;
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

/// What the token endpoint answered. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct Answer {
    /// Always there after [`exchange`] looked; perhaps not after a refresh (OpenID Connect Core
    /// §12.2).
    pub(super) id_token: Option<SecretString>,
    pub(super) access_token: SecretString,
    pub(super) refresh_token: Option<SecretString>,
    pub(super) expires_in: Option<Duration>,
}

/// Why the token endpoint gave no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It could not be reached.
    #[error("the token endpoint could not be asked: {0}")]
    Unreachable(FetchError),
    /// The code or refresh token is unknown, used, expired, revoked, or not this client's
    /// (`invalid_grant`).
    #[error("the provider refused the code or refresh token (invalid_grant)")]
    InvalidGrant,
    /// The provider does not know this client and secret (`invalid_client`).
    #[error("the provider refused this client or its secret (invalid_client)")]
    InvalidClient,
    /// Another error of RFC 6749 §5.2, by its code.
    #[error("the provider refused the token request ({0})")]
    Refused(String),
    /// A status that is neither success nor an OAuth error.
    #[error("the token endpoint answered with status {0}")]
    Status(u16),
    /// Success, but without what it must hold.
    #[error("the token endpoint's answer is malformed: {0}")]
    Malformed(&'static str),
}

#[derive(Deserialize)]
struct Tokens {
    access_token: Option<String>,
    token_type: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

/// Exchanges a code for tokens, an ID token among them.
pub(super) async fn exchange(
    endpoint: &Url,
    settings: &Settings,
    fetch: &Fetch,
    code: &Code<'_>,
    now: Timestamp,
) -> Result<(Answer, SecretString), TokenError> {
    let parameters = [
        ("grant_type", "authorization_code"),
        ("code", code.code),
        ("redirect_uri", code.redirect_uri.unwrap_or(&settings.redirect_uri).as_str()),
        ("code_verifier", code.pkce_verifier),
    ];
    let mut answer = ask(endpoint, settings, fetch, &parameters, now).await?;
    let id_token = answer.id_token.take().ok_or(TokenError::Malformed("no id_token"))?;
    Ok((answer, id_token))
}

/// Exchanges a refresh token for new tokens. No `scope`: what was granted stays granted.
pub(super) async fn refresh(
    endpoint: &Url,
    settings: &Settings,
    fetch: &Fetch,
    refresh_token: &SecretString,
    now: Timestamp,
) -> Result<Answer, TokenError> {
    let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
    ask(endpoint, settings, fetch, &parameters, now).await
}

async fn ask(
    endpoint: &Url,
    settings: &Settings,
    fetch: &Fetch,
    parameters: &[(&str, &str)],
    now: Timestamp,
) -> Result<Answer, TokenError> {
    let answer = client_request::post(endpoint, settings, fetch, parameters, now).await;
    let answer = answer.map_err(TokenError::Unreachable)?;
    if answer.status() == http::StatusCode::OK { tokens(answer.body()) } else { Err(refused(&answer)) }
}

fn refused(answer: &http::Response<Vec<u8>>) -> TokenError {
    match client_request::refusal(answer) {
        Refusal::Status(status) => TokenError::Status(status),
        Refusal::Error(code) => match code.as_str() {
            "invalid_grant" => TokenError::InvalidGrant,
            "invalid_client" => TokenError::InvalidClient,
            _ => TokenError::Refused(code),
        },
    }
}

fn tokens(body: &[u8]) -> Result<Answer, TokenError> {
    let tokens: Tokens = serde_json::from_slice(body).map_err(|_| TokenError::Malformed("not the JSON expected"))?;
    if !tokens.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")) {
        return Err(TokenError::Malformed("token_type is not Bearer"));
    }
    let access_token = tokens.access_token.filter(|token| is_bearer_token(token));
    let refresh_token = tokens.refresh_token.filter(|token| !token.is_empty());
    Ok(Answer {
        id_token: tokens.id_token.map(SecretString::from),
        access_token: access_token.ok_or(TokenError::Malformed("no access_token"))?.into(),
        refresh_token: refresh_token.map(SecretString::from),
        expires_in: tokens.expires_in.as_ref().and_then(seconds).map(Duration::from_secs),
    })
}

/// Whether it can stand in an `Authorization` header as it is: visible ASCII. RFC 6750 §2.1 allows
/// fewer characters still, but providers' tokens are theirs.
pub(super) fn is_bearer_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Some providers write the number as text.
pub(super) fn seconds(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_holds_what_it_must_or_is_malformed() {
        let whole =
            json!({"access_token": "at", "token_type": "bearer", "id_token": "a.b.c", "expires_in": 3600, "x": 1});
        let answer = tokens(whole.to_string().as_bytes()).unwrap();
        assert_eq!(answer.expires_in, Some(Duration::from_secs(3600)));
        assert!(answer.refresh_token.is_none());
        for (name, value) in [
            ("access_token", json!(null)),
            ("access_token", json!("")),
            ("access_token", json!("a\r\nX: y")),
            ("access_token", json!("é")),
            ("token_type", json!("DPoP")),
            ("token_type", json!(null)),
            ("id_token", json!({})),
        ] {
            let mut broken = whole.clone();
            broken[name] = value.clone();
            let answer = tokens(broken.to_string().as_bytes());
            assert!(matches!(answer, Err(TokenError::Malformed(_))), "{name} {value}");
        }
        let doubled = br#"{"access_token":"a","token_type":"Bearer","id_token":"1","id_token":"2"}"#;
        assert!(matches!(tokens(doubled), Err(TokenError::Malformed(_))));
        for (expires_in, expected) in
            [(json!("60"), Some(60)), (json!(-1), None), (json!("x"), None), (json!(1.5), None)]
        {
            let mut odd = whole.clone();
            odd["expires_in"] = expires_in;
            assert_eq!(tokens(odd.to_string().as_bytes()).unwrap().expires_in, expected.map(Duration::from_secs));
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let body = br#"{"access_token":"s3cret","token_type":"Bearer","id_token":"s3cret","refresh_token":"s3cret"}"#;
        assert!(!format!("{:?}", tokens(body).unwrap()).contains("s3cret"));
    }
}
