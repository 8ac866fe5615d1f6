//! The logout token (OpenID Connect Back-Channel Logout 1.0 §2.4): the provider's word that a
//! session or a person has signed out, verified (§2.6).
//!
//! Called with what anybody may post to the back-channel logout endpoint. An ID token, an access
//! token or userinfo can never pass: none says `events`. Must never hand out a claim before all
//! checks have passed. That a token counts once is the caller's to see to: see
//! [`LogoutToken::replay_until`].

use super::cache::Bearer;
use super::id_token::IdTokenError;
use super::jws::{self, JwsError, Kind, Trust};
use super::registered_claims::{audiences, check_times, name, text, time};
use super::settings::Settings;
use super::{Provider, Unreachable};
use crate::clock::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How long after `iat` a token counts at most, besides the leeway. `exp` may end it sooner: §4
/// wants two minutes there, but not every provider writes one (oidc-provider 7 and Keycloak before
/// 23.0.4 do not), so `exp` is checked where it is and this holds for all.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// A verified logout token.
///
/// Part of the security perimeter: only [`Provider::verify_logout_token`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    sub: Option<String>,
    sid: Option<String>,
    jti: String,
    issued_at: Timestamp,
    replay_until: Timestamp,
}

/// Why a logout token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// The provider's metadata or keys cannot be had: not the token's fault.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// Its signature does not count.
    #[error("{0}")]
    Signature(#[from] JwsError),
    /// `iss` is not the configured issuer.
    #[error("iss is not the configured issuer")]
    WrongIssuer,
    /// `aud` does not name this client.
    #[error("aud does not name this client")]
    WrongAudience,
    /// `iat` is missing, or a time is malformed, in the future, or past.
    #[error("out of date: {0}")]
    OutOfDate(IdTokenError),
    /// `iat` is more than five minutes ago.
    #[error("iat is too long ago")]
    TooOld,
    /// `jti` is missing or malformed.
    #[error("jti is missing or malformed")]
    MalformedId,
    /// `events` does not announce a logout.
    #[error("events does not announce a logout")]
    NoLogoutEvent,
    /// There is a `nonce`, which no logout token has.
    #[error("there is a nonce")]
    Nonce,
    /// `sub` is malformed.
    #[error("sub is malformed")]
    MalformedSubject,
    /// `sid` is malformed.
    #[error("sid is malformed")]
    MalformedSession,
    /// Neither `sub` nor `sid`.
    #[error("it names neither a person nor a session")]
    NamesNobody,
}

impl LogoutToken {
    /// The person whose sessions end: all of them, unless there is a [`Self::sid`] too.
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }

    /// The provider's session that ends.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// What makes the token unique at its provider: 255 printable ASCII characters at most.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// `iat`.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// From this moment on the token is refused by its dates: until then its `jti` is to be
    /// remembered, and refused a second time.
    pub fn replay_until(&self) -> Timestamp {
        self.replay_until
    }
}

impl Provider {
    /// Verifies what was posted as `logout_token` (§2.6). The algorithms are those of ID tokens.
    ///
    /// # Errors
    /// [`LogoutTokenError`], one variant per cause; [`LogoutTokenError::Unreachable`] is the
    /// provider's fault, all others the token's.
    pub async fn verify_logout_token(&self, token: &str, now: Timestamp) -> Result<LogoutToken, LogoutTokenError> {
        let mut known = self.known(now).await?;
        let algorithms = self.id_token_algorithms(&known);
        match verify(token, &self.trust(&known, &algorithms), &self.settings, now) {
            Err(LogoutTokenError::Signature(JwsError::UnknownKey))
                if self.renew_keys(&mut known, Bearer::Stranger, now).await =>
            {
                verify(token, &self.trust(&known, &algorithms), &self.settings, now)
            }
            verified => verified,
        }
    }
}

/// Whether these are the claims of a logout token, good or not.
pub(super) fn announces_logout(claims: &Map<String, Value>) -> bool {
    claims.get("events").is_some_and(|events| events.get(EVENT).is_some())
}

fn verify(
    token: &str,
    trust: &Trust<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<LogoutToken, LogoutTokenError> {
    let claims = jws::verify(token, Kind::Logout, trust)?.claims;
    if text(&claims, "iss") != Some(&settings.issuer) {
        return Err(LogoutTokenError::WrongIssuer);
    }
    if !audiences(&claims).unwrap_or_default().contains(&settings.client_id.as_str()) {
        return Err(LogoutTokenError::WrongAudience);
    }
    let (issued_at, replay_until) = dates(&claims, settings.clock_leeway, now)?;
    // The value must be an object too; it says nothing more.
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(LogoutTokenError::NoLogoutEvent);
    }
    if claims.contains_key("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    let jti = name(&claims, "jti").ok_or(LogoutTokenError::MalformedId)?.clone();
    let named = |claim: &str, malformed| match claims.contains_key(claim) {
        true => name(&claims, claim).cloned().map(Some).ok_or(malformed),
        false => Ok(None),
    };
    let sub = named("sub", LogoutTokenError::MalformedSubject)?;
    let sid = named("sid", LogoutTokenError::MalformedSession)?;
    if sub.is_none() && sid.is_none() {
        return Err(LogoutTokenError::NamesNobody);
    }
    Ok(LogoutToken { sub, sid, jti, issued_at, replay_until })
}

/// `iat`, and the moment from which the dates refuse the token.
fn dates(
    claims: &Map<String, Value>,
    leeway: Duration,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), LogoutTokenError> {
    check_times(claims, leeway, now).map_err(LogoutTokenError::OutOfDate)?;
    let at = |claim| time(claims, claim).map_err(LogoutTokenError::OutOfDate);
    let issued_at = at("iat")?.ok_or(LogoutTokenError::OutOfDate(IdTokenError::MalformedTime("iat")))?;
    let too_old = issued_at.plus(MAX_AGE).plus(leeway);
    if now >= too_old {
        return Err(LogoutTokenError::TooOld);
    }
    let expired = at("exp")?.map(|exp| exp.plus(leeway));
    Ok((issued_at, expired.map_or(too_old, |expired| expired.min(too_old))))
}
