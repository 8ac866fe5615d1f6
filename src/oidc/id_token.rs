//! The ID token: who signed in, when and how (OpenID Connect Core §2), verified (§3.1.3.7).
//!
//! Called by the facade with the token endpoint's answer. The checks are in the order of the
//! specification; each has its own error. Must never hand out a claim before all have passed.

use super::jws::{self, JwsError, Trust};
use super::settings::{Algorithm, Settings};
use crate::clock::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::{Map, Value};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// The longest `sub` (OpenID Connect Core §2: 255 ASCII characters).
const MAX_SUBJECT: usize = 255;

/// A verified ID token.
#[derive(Debug)]
pub(super) struct IdToken {
    pub(super) subject: String,
    pub(super) authenticated_at: Option<Timestamp>,
    pub(super) claims: Map<String, Value>,
}

/// What an ID token must answer to, besides the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// Sent in the authorization request.
    pub(super) nonce: &'a str,
    /// Issued with the ID token.
    pub(super) access_token: &'a str,
}

/// Why an ID token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// Its signature does not count.
    #[error("{0}")]
    Signature(#[from] JwsError),
    /// `iss` is not the configured issuer.
    #[error("iss is not the configured issuer")]
    WrongIssuer,
    /// `aud` does not name this client.
    #[error("aud does not name this client")]
    WrongAudience,
    /// `aud` names others too, and `azp` does not say that the token is for this client.
    #[error("aud names other clients too")]
    OtherAudiences,
    /// `azp` names another client.
    #[error("azp names another client")]
    WrongAuthorizedParty,
    /// `exp`, `iat`, `nbf` or `auth_time` is missing or no number.
    #[error("{0} is missing or malformed")]
    MalformedTime(&'static str),
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iat` or `nbf` lies in the future, or `auth_time` does.
    #[error("{0} lies in the future")]
    NotYet(&'static str),
    /// `nonce` is missing or another.
    #[error("nonce is missing or another than was sent")]
    WrongNonce,
    /// `at_hash` is not that of the access token.
    #[error("at_hash is not that of the access token")]
    WrongAccessTokenHash,
    /// `acr` is none of those required.
    #[error("acr is none of those required")]
    InsufficientAcr,
    /// `sub` is missing, empty, longer than 255 characters or not ASCII.
    #[error("sub is missing or malformed")]
    MalformedSubject,
}

/// Verifies `token`.
pub(super) fn verify(
    token: &str,
    trust: &Trust<'_>,
    settings: &Settings,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<IdToken, IdTokenError> {
    let jws::Verified { algorithm, claims } = jws::verify(token, trust)?;
    if text(&claims, "iss") != Some(&settings.issuer) {
        return Err(IdTokenError::WrongIssuer);
    }
    check_audience(&claims, &settings.client_id)?;
    if !claims.contains_key("exp") {
        return Err(IdTokenError::MalformedTime("exp"));
    }
    if !claims.contains_key("iat") {
        return Err(IdTokenError::MalformedTime("iat"));
    }
    check_times(&claims, settings.clock_leeway, now)?;
    if !text(&claims, "nonce").is_some_and(|nonce| equal(nonce, expected.nonce)) {
        return Err(IdTokenError::WrongNonce);
    }
    check_access_token_hash(&claims, algorithm, expected.access_token)?;
    if !settings.acr_values.is_empty() {
        let acr = text(&claims, "acr").ok_or(IdTokenError::InsufficientAcr)?;
        // Membership and not order: the values have none that is written anywhere.
        if !settings.acr_values.iter().any(|accepted| accepted == acr) {
            return Err(IdTokenError::InsufficientAcr);
        }
    }
    let subject = text(&claims, "sub").filter(|sub| is_subject(sub)).ok_or(IdTokenError::MalformedSubject)?.to_owned();
    let authenticated_at = time(&claims, "auth_time")?;
    if authenticated_at.is_some_and(|at| at > now.plus(settings.clock_leeway)) {
        return Err(IdTokenError::NotYet("auth_time"));
    }
    Ok(IdToken { subject, authenticated_at, claims })
}

/// §3.1.3.7, 3 to 5. Other audiences than us could replay the token here; `azp` is the provider's
/// word that it was issued to us.
fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), IdTokenError> {
    let azp = match claims.get("azp") {
        None => None,
        Some(Value::String(azp)) if azp == client_id => Some(azp),
        Some(_) => return Err(IdTokenError::WrongAuthorizedParty),
    };
    let audiences = audiences(claims).ok_or(IdTokenError::WrongAudience)?;
    if !audiences.contains(&client_id) {
        return Err(IdTokenError::WrongAudience);
    }
    if azp.is_none() && audiences.iter().any(|audience| *audience != client_id) {
        return Err(IdTokenError::OtherAudiences);
    }
    Ok(())
}

/// `aud`: one text or a list of texts (RFC 7519 §4.1.3).
pub(super) fn audiences(claims: &Map<String, Value>) -> Option<Vec<&str>> {
    match claims.get("aud")? {
        Value::String(audience) => Some(vec![audience]),
        Value::Array(audiences) => audiences.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// `exp`, `iat` and `nbf`, those that are there, with leeway either way (RFC 7519 §4.1).
pub(super) fn check_times(claims: &Map<String, Value>, leeway: Duration, now: Timestamp) -> Result<(), IdTokenError> {
    if time(claims, "exp")?.is_some_and(|exp| now >= exp.plus(leeway)) {
        return Err(IdTokenError::Expired);
    }
    for name in ["iat", "nbf"] {
        if time(claims, name)?.is_some_and(|from| from > now.plus(leeway)) {
            return Err(IdTokenError::NotYet(name));
        }
    }
    Ok(())
}

/// A NumericDate (RFC 7519 §2): seconds, perhaps with a fraction, which is dropped.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, IdTokenError> {
    // 2^53: beyond it a JSON number is no longer exact, and no date is meant.
    const MAX: f64 = 9_007_199_254_740_992.0;
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^53")]
            Some(seconds) if (0.0..=MAX).contains(&seconds) => Ok(Some(Timestamp::from_unix(seconds as u64))),
            _ => Err(IdTokenError::MalformedTime(name)),
        },
    }
}

/// §3.1.3.6: the left half of the access token's hash, under the hash of the token's algorithm.
fn check_access_token_hash(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    access_token: &str,
) -> Result<(), IdTokenError> {
    let Some(at_hash) = claims.get("at_hash") else {
        return Ok(());
    };
    let hash = digest::digest(algorithm.hash(), access_token.as_bytes());
    let half = hash.as_ref().get(..hash.as_ref().len() / 2).unwrap_or_default();
    match at_hash.as_str() {
        Some(at_hash) if equal(at_hash, &URL_SAFE_NO_PAD.encode(half)) => Ok(()),
        _ => Err(IdTokenError::WrongAccessTokenHash),
    }
}

/// Printable ASCII: whatever is in a `sub` will stand in headers and logs.
fn is_subject(sub: &str) -> bool {
    !sub.trim().is_empty() && sub.len() <= MAX_SUBJECT && sub.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a String> {
    match claims.get(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Equality in a time that depends on the lengths only. Two empty texts are not equal: nothing
/// proves nothing.
fn equal(given: &str, expected: &str) -> bool {
    !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes()))
}
