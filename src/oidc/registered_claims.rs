//! Registered claims (RFC 7519 §4.1) as every kind of signed token reads them.
//!
//! Called by `id_token`, `userinfo`, `logout_token` and `refresh` on claims whose signature is
//! verified. Reads and bounds; what a claim must say is the caller's to check.

use super::id_token::IdTokenError;
use crate::clock::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest name of a person, a session or a token: what OpenID Connect Core §2 allows `sub`.
const MAX_NAME: usize = 255;

/// A claim that is text.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a String> {
    match claims.get(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
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
pub(super) fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, IdTokenError> {
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

/// Whether `name` may be who or what something is (`sub`, `sid`, `jti`): printable ASCII, for it
/// will stand in headers, logs and keys of a store.
pub(super) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A claim that is such a name.
pub(super) fn name<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a String> {
    text(claims, claim).filter(|name| is_name(name))
}
