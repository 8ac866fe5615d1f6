//! The token request: a code becomes tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).
//!
//! Called by the facade after `login` has checked `state`. The code is sent once, never again: a
//! second attempt would look like theft and could end what the first one brought. The ID token
//! that comes out is only text here; `id_token` verifies it.

use super::settings::{ClientAuthentication, Settings};
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header;
use serde::Deserialize;
use std::time::Duration;
use url::{Url, form_urlencoded};

/// What the token endpoint answered. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) id_token: SecretString,
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
    /// The code is unknown, used, expired, or not this client's (`invalid_grant`).
    #[error("the provider refused the code (invalid_grant)")]
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

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Exchanges `code` for tokens.
pub(super) async fn exchange(
    endpoint: &Url,
    settings: &Settings,
    fetch: &Fetch,
    code: &str,
    pkce_verifier: &str,
) -> Result<Answer, TokenError> {
    let request = request(endpoint, settings, code, pkce_verifier)?;
    let answer = fetch.send(request, settings.timeout).await.map_err(TokenError::Unreachable)?;
    if answer.status() == http::StatusCode::OK { tokens(answer.body()) } else { Err(refusal(&answer)) }
}

fn request(
    endpoint: &Url,
    settings: &Settings,
    code: &str,
    pkce_verifier: &str,
) -> Result<http::Request<Vec<u8>>, TokenError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", settings.redirect_uri.as_str())
        .append_pair("code_verifier", pkce_verifier);
    let mut request = http::Request::post(endpoint.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    match (&settings.client_secret, settings.client_authentication) {
        (Some(secret), ClientAuthentication::ClientSecretBasic) => {
            request = request.header(header::AUTHORIZATION, basic(&settings.client_id, secret));
        }
        (Some(secret), ClientAuthentication::ClientSecretPost) => {
            form.append_pair("client_id", &settings.client_id).append_pair("client_secret", secret.expose_secret());
        }
        (None, _) => {
            form.append_pair("client_id", &settings.client_id);
        }
    }
    request.body(form.finish().into_bytes()).map_err(|_| TokenError::Unreachable(FetchError::Request))
}

/// Name and password are form-encoded before they are joined (RFC 6749 §2.3.1), so that a colon in
/// either stays where it is.
fn basic(client_id: &str, secret: &SecretString) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose_secret()));
    format!("Basic {}", STANDARD.encode(pair))
}

fn tokens(body: &[u8]) -> Result<Answer, TokenError> {
    let tokens: Tokens = serde_json::from_slice(body).map_err(|_| TokenError::Malformed("not the JSON expected"))?;
    if !tokens.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")) {
        return Err(TokenError::Malformed("token_type is not Bearer"));
    }
    let access_token = tokens.access_token.filter(|token| is_bearer_token(token));
    let refresh_token = tokens.refresh_token.filter(|token| !token.is_empty());
    Ok(Answer {
        id_token: tokens.id_token.ok_or(TokenError::Malformed("no id_token"))?.into(),
        access_token: access_token.ok_or(TokenError::Malformed("no access_token"))?.into(),
        refresh_token: refresh_token.map(SecretString::from),
        expires_in: tokens.expires_in.as_ref().and_then(seconds).map(Duration::from_secs),
    })
}

/// Whether it can stand in an `Authorization` header as it is: visible ASCII. RFC 6750 §2.1 allows
/// fewer characters still, but providers' tokens are theirs.
fn is_bearer_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Some providers write the number as text.
fn seconds(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn refusal(answer: &http::Response<Vec<u8>>) -> TokenError {
    match serde_json::from_slice::<Refusal>(answer.body()) {
        Ok(Refusal { error }) => match error.as_str() {
            "invalid_grant" => TokenError::InvalidGrant,
            "invalid_client" => TokenError::InvalidClient,
            code => TokenError::Refused(printable(code)),
        },
        Err(_) => TokenError::Status(answer.status().as_u16()),
    }
}

/// An error code as it may stand in a log: registered ones are short and of these characters.
fn printable(code: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !code.is_empty() && code.len() <= 64 && code.chars().all(plain) { code.to_owned() } else { "unnamed".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::stub;
    use serde_json::json;

    fn sent(settings: &Settings) -> (Option<String>, Vec<(String, String)>) {
        let endpoint = Url::parse("https://op.test/token").unwrap();
        let request = request(&endpoint, settings, "the code", "verifier").unwrap();
        assert_eq!(request.method(), "POST");
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        (authorization, form_urlencoded::parse(request.body()).into_owned().collect())
    }

    #[test]
    fn the_client_presents_itself_as_registered() {
        let mut settings = stub::settings("https://op.test");
        settings.client_id = "client:1".to_owned();
        settings.client_secret = Some("s€cret +:&".into());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (authorization, form) = sent(&settings);
        assert_eq!(authorization, None);
        for expected in [
            pair("grant_type", "authorization_code"),
            pair("code", "the code"),
            pair("redirect_uri", "https://app.test/oauth2/callback"),
            pair("code_verifier", "verifier"),
            pair("client_id", "client:1"),
            pair("client_secret", "s€cret +:&"),
        ] {
            assert!(form.contains(&expected), "{expected:?}");
        }

        settings.client_authentication = ClientAuthentication::ClientSecretBasic;
        let (authorization, form) = sent(&settings);
        let encoded = authorization.unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"client%3A1:s%E2%82%ACcret+%2B%3A%26");
        assert!(form.iter().all(|(name, _)| name != "client_id" && name != "client_secret"));

        settings.client_secret = None;
        let (authorization, form) = sent(&settings);
        assert_eq!(authorization, None);
        assert!(form.contains(&pair("client_id", "client:1")));
        assert!(form.iter().all(|(name, _)| name != "client_secret"));
    }

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
            ("id_token", json!(null)),
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
    fn refusals_are_told_apart_and_their_words_not_repeated() {
        let refused = |status: u16, body: &str| {
            refusal(&http::Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap())
        };
        assert_eq!(refused(400, r#"{"error":"invalid_grant","error_description":"x"}"#), TokenError::InvalidGrant);
        assert_eq!(refused(401, r#"{"error":"invalid_client"}"#), TokenError::InvalidClient);
        assert_eq!(refused(400, r#"{"error":"invalid_scope"}"#), TokenError::Refused("invalid_scope".into()));
        assert_eq!(refused(400, r#"{"error":"a\nforged log line"}"#), TokenError::Refused("unnamed".into()));
        assert_eq!(refused(502, "<html>"), TokenError::Status(502));
        assert_eq!(refused(302, ""), TokenError::Status(302));
    }

    #[test]
    fn debug_shows_no_token() {
        let body = br#"{"access_token":"s3cret","token_type":"Bearer","id_token":"s3cret","refresh_token":"s3cret"}"#;
        assert!(!format!("{:?}", tokens(body).unwrap()).contains("s3cret"));
    }
}
