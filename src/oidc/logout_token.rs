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
    begun_until: Timestamp,
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
    /// A token for the tests of other rooms, as if it had been verified.
    #[cfg(test)]
    pub(crate) fn for_tests(sub: Option<&str>, sid: Option<&str>, jti: &str, issued_at: Timestamp) -> Self {
        let begun_until = issued_at.plus(Duration::from_secs(60));
        let [sub, sid] = [sub, sid].map(|name| name.map(str::to_owned));
        Self { sub, sid, jti: jti.to_owned(), issued_at, begun_until, replay_until: begun_until.plus(MAX_AGE) }
    }

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

    /// The latest moment, by our clock, at which a session can have begun that this token means:
    /// `iat` and the leeway for clocks that differ.
    pub fn begun_until(&self) -> Timestamp {
        self.begun_until
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
    let named = |claim: &str, malformed| match claims.get(claim) {
        None => Ok(None),
        Some(_) => name(&claims, claim).cloned().map(Some).ok_or(malformed),
    };
    let sub = named("sub", LogoutTokenError::MalformedSubject)?;
    let sid = named("sid", LogoutTokenError::MalformedSession)?;
    if sub.is_none() && sid.is_none() {
        return Err(LogoutTokenError::NamesNobody);
    }
    let begun_until = issued_at.plus(settings.clock_leeway);
    Ok(LogoutToken { sub, sid, jti, issued_at, begun_until, replay_until })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::keys::Keys;
    use crate::oidc::settings::Algorithm::{self, ES256, HS256, RS256};
    use crate::oidc::stub::{self, CLIENT_SECRET, Signer};
    use crate::secret::SecretString;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const ISSUER: &str = "https://op.test/api/v2";

    fn claims() -> Value {
        let now = NOW.as_unix();
        json!({
            "iss": ISSUER, "aud": "client", "iat": now, "exp": now + 120, "jti": "bWJq", "sub": "s", "sid": "08a5019c",
            "events": { EVENT: {} },
        })
    }

    fn verified_as(token: &str, signer: &Signer, pinned: &[Algorithm]) -> Result<LogoutToken, LogoutTokenError> {
        let keys: Vec<_> = [signer.jwk()].into_iter().filter(|jwk| !jwk.is_null()).collect();
        let keys = Keys::from_json(&json!({ "keys": keys }));
        let secret = SecretString::from(CLIENT_SECRET);
        let trust = Trust { keys: &keys, algorithms: pinned, client_secret: Some(&secret) };
        verify(token, &trust, &stub::settings(ISSUER), NOW)
    }

    fn verified(claims: &Value) -> Result<LogoutToken, LogoutTokenError> {
        let signer = Signer::new(ES256, "k");
        verified_as(&signer.sign(claims), &signer, &[ES256])
    }

    #[test]
    fn a_token_that_says_what_it_must_is_accepted_and_read() {
        let token = verified(&claims()).unwrap();
        assert_eq!((token.sub(), token.sid(), token.jti()), (Some("s"), Some("08a5019c"), "bWJq"));
        assert_eq!((token.issued_at(), token.begun_until()), (NOW, NOW.plus(Duration::from_secs(60))));
        assert_eq!(token.replay_until(), NOW.plus(Duration::from_secs(120 + 60)));
    }

    /// Each case changes one claim of a good token.
    #[test]
    fn each_claim_is_checked() {
        use LogoutTokenError as E;
        let now = NOW.as_unix();
        let absent = Value::Null;
        let long = "s".repeat(256);
        let event = |value: Value| json!({ EVENT: value });
        let cases = [
            ("iss", absent.clone(), Some(E::WrongIssuer)),
            ("iss", json!("https://op.test/api/v2/"), Some(E::WrongIssuer)),
            ("iss", json!("https://evil.test"), Some(E::WrongIssuer)),
            ("iss", json!([ISSUER]), Some(E::WrongIssuer)),
            ("aud", absent.clone(), Some(E::WrongAudience)),
            ("aud", json!("client2"), Some(E::WrongAudience)),
            ("aud", json!([]), Some(E::WrongAudience)),
            ("aud", json!(["other", 1, "client"]), Some(E::WrongAudience)),
            ("aud", json!(["other", "client"]), None),
            ("iat", absent.clone(), Some(E::OutOfDate(IdTokenError::MalformedTime("iat")))),
            ("iat", json!("now"), Some(E::OutOfDate(IdTokenError::MalformedTime("iat")))),
            ("iat", json!(now + 60), None),
            ("iat", json!(now + 61), Some(E::OutOfDate(IdTokenError::NotYet("iat")))),
            ("iat", json!(now - 359), None),
            ("iat", json!(now - 360), Some(E::TooOld)),
            ("iat", json!(0), Some(E::TooOld)),
            ("exp", absent.clone(), None),
            ("exp", json!(now - 59), None),
            ("exp", json!(now - 60), Some(E::OutOfDate(IdTokenError::Expired))),
            ("exp", json!("never"), Some(E::OutOfDate(IdTokenError::MalformedTime("exp")))),
            ("nbf", json!(now + 61), Some(E::OutOfDate(IdTokenError::NotYet("nbf")))),
            ("jti", absent.clone(), Some(E::MalformedId)),
            ("jti", json!(""), Some(E::MalformedId)),
            ("jti", json!(7), Some(E::MalformedId)),
            ("jti", json!("a\nb"), Some(E::MalformedId)),
            ("jti", json!(long), Some(E::MalformedId)),
            ("events", absent.clone(), Some(E::NoLogoutEvent)),
            ("events", json!(EVENT), Some(E::NoLogoutEvent)),
            ("events", json!([EVENT]), Some(E::NoLogoutEvent)),
            ("events", json!({}), Some(E::NoLogoutEvent)),
            ("events", json!({"http://schemas.openid.net/event/backchannel-logout/": {}}), Some(E::NoLogoutEvent)),
            ("events", json!({"http://schemas.openid.net/event/Backchannel-Logout": {}}), Some(E::NoLogoutEvent)),
            ("events", event(json!(null)), Some(E::NoLogoutEvent)),
            ("events", event(json!(true)), Some(E::NoLogoutEvent)),
            ("events", event(json!("")), Some(E::NoLogoutEvent)),
            ("events", event(json!([])), Some(E::NoLogoutEvent)),
            ("events", event(json!({"why": "policy"})), None),
            ("events", json!({EVENT: {}, "urn:another": {}}), None),
            ("nonce", json!("n"), Some(E::Nonce)),
            ("nonce", json!(""), Some(E::Nonce)),
            ("sub", absent.clone(), None),
            ("sub", json!(""), Some(E::MalformedSubject)),
            ("sub", json!(["s"]), Some(E::MalformedSubject)),
            ("sub", json!("é"), Some(E::MalformedSubject)),
            ("sub", json!(long), Some(E::MalformedSubject)),
            ("sid", absent, None),
            ("sid", json!(""), Some(E::MalformedSession)),
            ("sid", json!(42), Some(E::MalformedSession)),
            ("sid", json!("a\r\nX: y"), Some(E::MalformedSession)),
            ("sid", json!(long), Some(E::MalformedSession)),
        ];
        for (name, value, expected) in cases {
            let mut claims = claims();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
            assert_eq!(verified(&claims).err(), expected, "{name} {value}");
        }
        // A null is not a claim that is absent.
        for (name, expected) in [
            ("nonce", E::Nonce),
            ("sub", E::MalformedSubject),
            ("sid", E::MalformedSession),
            ("exp", E::OutOfDate(IdTokenError::MalformedTime("exp"))),
        ] {
            let mut claims = claims();
            claims[name] = json!(null);
            assert_eq!(verified(&claims).unwrap_err(), expected, "{name}");
        }
        let mut nobody = claims();
        nobody.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "sid");
        assert_eq!(verified(&nobody).unwrap_err(), E::NamesNobody);
    }

    /// Whatever else the same key signs for the same client.
    #[test]
    fn no_other_token_is_a_logout_token() {
        use LogoutTokenError as E;
        let now = NOW.as_unix();
        let id_token = json!({
            "iss": ISSUER, "aud": "client", "sub": "s", "exp": now + 300, "iat": now, "sid": "08a5019c", "jti": "j",
        });
        assert_eq!(verified(&id_token).unwrap_err(), E::NoLogoutEvent);
        let mut with_nonce = claims();
        with_nonce["nonce"] = json!("n");
        assert_eq!(verified(&with_nonce).unwrap_err(), E::Nonce);

        let signer = Signer::new(ES256, "k");
        let typed = |typ: Value| {
            let token = signer.sign_with(&json!({"alg": "ES256", "kid": "k", "typ": typ}), &claims());
            verified_as(&token, &signer, &[ES256]).err()
        };
        for typ in ["logout+jwt", "application/logout+jwt", "LOGOUT+JWT", "JWT"] {
            assert_eq!(typed(json!(typ)), None, "{typ}");
        }
        for typ in ["at+jwt", "application/at+jwt", "secevent+jwt", "userinfo+jwt", "token-introspection+jwt", ""] {
            assert_eq!(typed(json!(typ)), Some(E::Signature(JwsError::UnsupportedHeader)), "{typ}");
        }
        assert_eq!(typed(json!(null)), Some(E::Signature(JwsError::Malformed)));
        let untyped = signer.sign_with(&json!({"alg": "ES256", "kid": "k"}), &claims());
        assert!(verified_as(&untyped, &signer, &[ES256]).is_ok());
    }

    #[test]
    fn only_the_provider_s_key_and_algorithm_count() {
        let signer = Signer::new(ES256, "k");
        let unsigned = signer.sign_with(&json!({"alg": "none", "typ": "logout+jwt"}), &claims());
        let forged = Signer::new(ES256, "k").sign(&claims());
        let strange = Signer::new(ES256, "other").sign(&claims());
        let by_public_key = Signer::with_secret(signer.jwk().to_string().as_bytes()).sign(&claims());
        let by_secret = Signer::new(HS256, "k").sign(&claims());
        for (token, expected) in [
            (unsigned, JwsError::UnsupportedAlgorithm),
            (forged, JwsError::WrongSignature),
            (strange, JwsError::UnknownKey),
            (by_public_key, JwsError::UnacceptedAlgorithm(HS256)),
            (by_secret, JwsError::UnacceptedAlgorithm(HS256)),
        ] {
            let refused = verified_as(&token, &signer, &[ES256, RS256]).unwrap_err();
            assert_eq!(refused, LogoutTokenError::Signature(expected));
        }
        // Even where HS256 is accepted, only the client secret is its key.
        let by_public_key = Signer::with_secret(signer.jwk().to_string().as_bytes()).sign(&claims());
        let refused = verified_as(&by_public_key, &signer, &[ES256, HS256]).unwrap_err();
        assert_eq!(refused, LogoutTokenError::Signature(JwsError::WrongSignature));
        assert!(verified_as(&Signer::new(HS256, "k").sign(&claims()), &signer, &[HS256]).is_ok());
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        let signer = Signer::new(ES256, "k");
        let header = br#"{"alg":"ES256","kid":"k","typ":"logout+jwt"}"#;
        let good = claims().to_string();
        let again = |members: &str| format!("{},{members}}}", good.strip_suffix('}').unwrap());
        for payload in [again(r#""sid":"another""#), again(&format!(r#""events":{{"{EVENT}":{{}}}}"#))] {
            let token = signer.sign_bytes(header, payload.as_bytes());
            let refused = verified_as(&token, &signer, &[ES256]).unwrap_err();
            assert_eq!(refused, LogoutTokenError::Signature(JwsError::MalformedClaims), "{payload}");
        }
        let doubled = good.replace(&format!(r#""{EVENT}":{{}}"#), &format!(r#""{EVENT}":{{}},"{EVENT}":{{}}"#));
        assert_ne!(doubled, good);
        assert!(verified_as(&signer.sign_bytes(header, doubled.as_bytes()), &signer, &[ES256]).is_err());
        assert!(verified_as(&signer.sign_bytes(header, good.as_bytes()), &signer, &[ES256]).is_ok());
    }

    /// Until the moment it names, a second use has to be known by its `jti`; from then on its dates
    /// refuse it.
    #[test]
    fn replay_is_possible_until_the_moment_that_is_said() {
        let signer = Signer::new(ES256, "k");
        let keys = Keys::from_json(&json!({ "keys": [signer.jwk()] }));
        let trust = Trust { keys: &keys, algorithms: &[ES256], client_secret: None };
        for exp in [None, Some(0), Some(120), Some(24 * 3600)] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove("exp");
            if let Some(exp) = exp {
                claims["exp"] = json!(NOW.as_unix() + exp);
            }
            let token = signer.sign(&claims);
            let at = |now| verify(&token, &trust, &stub::settings(ISSUER), now);
            let until = at(NOW).unwrap().replay_until();
            assert!(until <= NOW.plus(MAX_AGE).plus(Duration::from_secs(60)), "{exp:?}");
            assert!(at(until.minus(Duration::from_secs(1))).is_ok(), "{exp:?}");
            assert!(at(until).is_err(), "{exp:?}");
        }
    }
}
