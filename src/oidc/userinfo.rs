//! Userinfo (OpenID Connect Core §5.3): the claims that the ID token leaves out, read and verified.
//!
//! Called by the facade with a verified ID token. Plain JSON is vouched for by TLS and the access
//! token; a signed answer also by its signature. Either must speak of the ID token's `sub`. What
//! does not verify ends the sign-in: there is no second way to read it.

use super::id_token::{self, IdTokenError};
use super::jws::{self, JwsError, Trust};
use super::settings::{Settings, Userinfo};
use super::strict_json;
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use http::header;
use serde_json::{Map, Value};
use url::Url;

/// Why userinfo does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserinfoError {
    /// It is to be read, and the provider has no place for it.
    #[error("the provider has no userinfo endpoint")]
    NoEndpoint,
    /// It could not be asked for.
    #[error("userinfo could not be asked for: {0}")]
    Unreachable(FetchError),
    /// A status other than 200: the provider's session may have ended in between.
    #[error("userinfo was answered with status {0}")]
    Status(u16),
    /// Neither JSON nor a JWT.
    #[error("userinfo came with a content type that is neither application/json nor application/jwt")]
    ContentType,
    /// Plain JSON where a signature is required.
    #[error("userinfo is not signed, and it must be")]
    NotSigned,
    /// The signature does not count.
    #[error("userinfo's signature does not count: {0}")]
    Signature(#[from] JwsError),
    /// Not a JSON object, or one with duplicate members.
    #[error("userinfo is malformed")]
    Malformed,
    /// Signed, but `iss` is missing or not the configured issuer.
    #[error("userinfo's iss is not the configured issuer")]
    WrongIssuer,
    /// Signed, but `aud` is missing or does not name this client.
    #[error("userinfo's aud does not name this client")]
    WrongAudience,
    /// Signed, but expired or not yet valid.
    #[error("userinfo is out of date: {0}")]
    OutOfDate(IdTokenError),
    /// `sub` is missing or not that of the ID token.
    #[error("userinfo speaks of another sub than the ID token")]
    WrongSubject,
}

/// What the endpoint answered, before any of it is verified.
#[derive(Debug)]
pub(super) enum Answer {
    Json(Vec<u8>),
    Signed(SecretString),
}

/// Asks for userinfo. The answer is only bytes yet.
pub(super) async fn ask(
    endpoint: &Url,
    settings: &Settings,
    fetch: &Fetch,
    access_token: &SecretString,
) -> Result<Answer, UserinfoError> {
    let request = http::Request::get(endpoint.as_str())
        .header(header::ACCEPT, "application/jwt, application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", access_token.expose_secret()))
        .body(Vec::new())
        .map_err(|_| UserinfoError::Unreachable(FetchError::Request))?;
    let answer = fetch.send(request, settings.timeout).await.map_err(UserinfoError::Unreachable)?;
    if answer.status() != http::StatusCode::OK {
        return Err(UserinfoError::Status(answer.status().as_u16()));
    }
    // §5.3.2: the content type says which it is; the body is not guessed at.
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/json" => Ok(Answer::Json(answer.into_body())),
        "application/jwt" => {
            let token = String::from_utf8(answer.into_body()).map_err(|_| UserinfoError::Malformed)?;
            Ok(Answer::Signed(token.trim_ascii().into()))
        }
        _ => Err(UserinfoError::ContentType),
    }
}

/// Verifies `answer` and hands out its claims.
pub(super) fn verify(
    answer: &Answer,
    trust: &Trust<'_>,
    settings: &Settings,
    subject: &str,
    now: Timestamp,
) -> Result<Map<String, Value>, UserinfoError> {
    let claims = match answer {
        Answer::Json(body) => {
            if matches!(settings.userinfo, Userinfo::Signed(_)) {
                return Err(UserinfoError::NotSigned);
            }
            strict_json::object(body).map_err(|_| UserinfoError::Malformed)?
        }
        Answer::Signed(token) => {
            let claims = jws::verify(token.expose_secret(), trust)?.claims;
            if id_token::text(&claims, "iss") != Some(&settings.issuer) {
                return Err(UserinfoError::WrongIssuer);
            }
            let audiences = id_token::audiences(&claims).unwrap_or_default();
            if !audiences.contains(&settings.client_id.as_str()) {
                return Err(UserinfoError::WrongAudience);
            }
            id_token::check_times(&claims, settings.clock_leeway, now).map_err(UserinfoError::OutOfDate)?;
            claims
        }
    };
    // §5.3.2 and §16.11: without this, one person's token could be answered with another's claims.
    if id_token::text(&claims, "sub").map(String::as_str) != Some(subject) {
        return Err(UserinfoError::WrongSubject);
    }
    Ok(claims)
}
