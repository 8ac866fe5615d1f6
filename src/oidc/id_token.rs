//! The ID token: who signed in, when and how (OpenID Connect Core §2), verified (§3.1.3.7).
//!
//! Called by the facade with the token endpoint's answer, at sign-in and at each refresh. The
//! checks are in the order of the specification; each has its own error. Must never hand out a
//! claim before all have passed.

use super::jws::{self, JwsError, Kind, Trust};
use super::logout_token;
use super::registered_claims::{audiences, check_times, name, text, time};
use super::settings::{Algorithm, Settings};
use crate::clock::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

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
    /// What `nonce` must be.
    pub(super) nonce: ExpectedNonce<'a>,
    /// Issued with the ID token.
    pub(super) access_token: &'a str,
}

/// What an ID token's `nonce` must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExpectedNonce<'a> {
    /// There, and the one that was sent in the authorization request (§3.1.3.7, 11).
    Sent(&'a str),
    /// Absent, or that of the ID token before; where that one had none, absent (§12.2).
    OfTheTokenBefore(Option<&'a str>),
}

impl ExpectedNonce<'_> {
    fn is_met_by(self, claims: &Map<String, Value>) -> bool {
        let same = |expected: &str| text(claims, "nonce").is_some_and(|nonce| equal(nonce, expected));
        match self {
            Self::Sent(sent) => same(sent),
            Self::OfTheTokenBefore(before) => !claims.contains_key("nonce") || before.is_some_and(same),
        }
    }
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
    /// It announces a sign-out: a logout token.
    #[error("it is a logout token")]
    LogoutToken,
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
    let jws::Verified { algorithm, claims } = jws::verify(token, Kind::Plain, trust)?;
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
    // Back-Channel Logout §4.1: where no nonce is expected, as at a refresh, this tells them apart.
    if logout_token::announces_logout(&claims) {
        return Err(IdTokenError::LogoutToken);
    }
    if !expected.nonce.is_met_by(&claims) {
        return Err(IdTokenError::WrongNonce);
    }
    check_access_token_hash(&claims, algorithm, expected.access_token)?;
    check_acr(&claims, settings)?;
    let subject = name(&claims, "sub").ok_or(IdTokenError::MalformedSubject)?.to_owned();
    let authenticated_at = time(&claims, "auth_time")?;
    if authenticated_at.is_some_and(|at| at > now.plus(settings.clock_leeway)) {
        return Err(IdTokenError::NotYet("auth_time"));
    }
    Ok(IdToken { subject, authenticated_at, claims })
}

/// Whether the person has signed in as strongly as is required.
pub(super) fn check_acr(claims: &Map<String, Value>, settings: &Settings) -> Result<(), IdTokenError> {
    // Membership and not order: the values have none that is written anywhere.
    let accepted = |acr: &String| settings.acr_values.contains(acr);
    if settings.acr_values.is_empty() || text(claims, "acr").is_some_and(accepted) {
        return Ok(());
    }
    Err(IdTokenError::InsufficientAcr)
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

/// Equality in a time that depends on the lengths only. Two empty texts are not equal: nothing
/// proves nothing.
fn equal(given: &str, expected: &str) -> bool {
    !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::keys::Keys;
    use crate::oidc::stub::{self, CLIENT_SECRET, Signer};
    use crate::secret::SecretString;
    use serde_json::json;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const ISSUER: &str = "https://op.test/api/v2";
    const ACCESS_TOKEN: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";

    fn claims() -> Value {
        let now = NOW.as_unix();
        json!({"iss": ISSUER, "aud": "client", "sub": "s", "exp": now + 300, "iat": now, "nonce": "n"})
    }

    fn verified_by(signer: &Signer, claims: &Value, settings: &Settings) -> Result<IdToken, IdTokenError> {
        let keys = Keys::from_json(&json!({ "keys": [signer.jwk()] }));
        let secret = SecretString::from(CLIENT_SECRET);
        let trust = Trust { keys: &keys, algorithms: &[signer.algorithm], client_secret: Some(&secret) };
        let expected = Expected { nonce: ExpectedNonce::Sent("n"), access_token: ACCESS_TOKEN };
        verify(&signer.sign(claims), &trust, settings, &expected, NOW)
    }

    fn verified(claims: &Value) -> Result<IdToken, IdTokenError> {
        verified_by(&Signer::new(Algorithm::ES256, "k"), claims, &stub::settings(ISSUER))
    }

    #[test]
    fn a_token_that_says_what_it_must_is_accepted_and_read() {
        let mut claims = claims();
        claims["auth_time"] = json!(NOW.as_unix() - 10);
        claims["acr"] = json!("eidas1");
        let token = verified(&claims).unwrap();
        assert_eq!(token.subject, "s");
        assert_eq!(token.authenticated_at, Some(NOW.minus(Duration::from_secs(10))));
        assert_eq!(token.claims["acr"], "eidas1");
    }

    /// Each case changes one claim of a good token (null takes it away).
    #[test]
    fn each_claim_is_checked() {
        use IdTokenError as E;
        let now = NOW.as_unix();
        let long = "s".repeat(255);
        let cases: Vec<(&str, Value, Option<E>)> = vec![
            ("iss", json!(null), Some(E::WrongIssuer)),
            ("iss", json!("https://op.test/api/v2/"), Some(E::WrongIssuer)),
            ("iss", json!("https://OP.test/api/v2"), Some(E::WrongIssuer)),
            ("iss", json!([ISSUER]), Some(E::WrongIssuer)),
            ("aud", json!(["client"]), None),
            ("aud", json!(null), Some(E::WrongAudience)),
            ("aud", json!([]), Some(E::WrongAudience)),
            ("aud", json!("Client"), Some(E::WrongAudience)),
            ("aud", json!("client2"), Some(E::WrongAudience)),
            ("aud", json!(["other"]), Some(E::WrongAudience)),
            ("aud", json!(["client", 1]), Some(E::WrongAudience)),
            ("aud", json!({"client": true}), Some(E::WrongAudience)),
            ("aud", json!(["client", "other"]), Some(E::OtherAudiences)),
            ("azp", json!("client"), None),
            ("azp", json!("other"), Some(E::WrongAuthorizedParty)),
            ("azp", json!(["client"]), Some(E::WrongAuthorizedParty)),
            ("azp", json!(""), Some(E::WrongAuthorizedParty)),
            ("exp", json!(null), Some(E::MalformedTime("exp"))),
            ("exp", json!("2030-01-01T00:00:00Z"), Some(E::MalformedTime("exp"))),
            ("exp", json!(-1), Some(E::MalformedTime("exp"))),
            ("exp", json!(1e300), Some(E::MalformedTime("exp"))),
            ("exp", json!(1_800_000_000.5), None),
            ("exp", json!(now - 59), None),
            ("exp", json!(now - 60), Some(E::Expired)),
            ("exp", json!(0), Some(E::Expired)),
            ("iat", json!(null), Some(E::MalformedTime("iat"))),
            ("iat", json!(true), Some(E::MalformedTime("iat"))),
            ("iat", json!(now + 60), None),
            ("iat", json!(now + 61), Some(E::NotYet("iat"))),
            ("nbf", json!(now + 60), None),
            ("nbf", json!(now + 61), Some(E::NotYet("nbf"))),
            ("nonce", json!(null), Some(E::WrongNonce)),
            ("nonce", json!(""), Some(E::WrongNonce)),
            ("nonce", json!("N"), Some(E::WrongNonce)),
            ("nonce", json!("n "), Some(E::WrongNonce)),
            ("nonce", json!(["n"]), Some(E::WrongNonce)),
            ("sub", json!(null), Some(E::MalformedSubject)),
            ("sub", json!(""), Some(E::MalformedSubject)),
            ("sub", json!("  "), Some(E::MalformedSubject)),
            ("sub", json!(42), Some(E::MalformedSubject)),
            ("sub", json!("é"), Some(E::MalformedSubject)),
            ("sub", json!("a\r\nX-Admin: 1"), Some(E::MalformedSubject)),
            ("sub", json!("a\u{0}"), Some(E::MalformedSubject)),
            ("sub", json!(long), None),
            ("sub", json!(format!("{long}s")), Some(E::MalformedSubject)),
            ("at_hash", json!(""), Some(E::WrongAccessTokenHash)),
            ("at_hash", json!("77QmUPtjPfzWtF2AnpK9RR"), Some(E::WrongAccessTokenHash)),
            ("at_hash", json!(1), Some(E::WrongAccessTokenHash)),
            ("auth_time", json!(now + 60), None),
            ("auth_time", json!(now + 61), Some(E::NotYet("auth_time"))),
            ("auth_time", json!("yesterday"), Some(E::MalformedTime("auth_time"))),
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
    }

    #[test]
    fn a_claim_that_is_null_is_not_a_claim_that_is_absent() {
        for name in ["azp", "at_hash", "auth_time", "exp", "nonce", "sub"] {
            let mut claims = claims();
            claims[name] = json!(null);
            assert!(verified(&claims).is_err(), "{name}");
        }
    }

    #[test]
    fn other_audiences_are_accepted_when_azp_says_it_is_for_us() {
        let mut claims = claims();
        claims["aud"] = json!(["client", "other"]);
        claims["azp"] = json!("client");
        assert!(verified(&claims).is_ok());
        claims["azp"] = json!("other");
        assert_eq!(verified(&claims).unwrap_err(), IdTokenError::WrongAuthorizedParty);
        claims["aud"] = json!(["other"]);
        claims["azp"] = json!("client");
        assert_eq!(verified(&claims).unwrap_err(), IdTokenError::WrongAudience);
    }

    /// The vector of OpenID Connect Core, appendix A.3 (RS256), and the same under every other
    /// algorithm, HS256 among them.
    #[test]
    fn at_hash_is_checked_under_the_hash_of_the_algorithm() {
        let mut claims = claims();
        claims["at_hash"] = json!("77QmUPtjPfzWtF2AnpK9RQ");
        let settings = stub::settings(ISSUER);
        let results = |claims: &Value| {
            [Algorithm::RS256, Algorithm::HS256, Algorithm::ES384, Algorithm::RS512, Algorithm::EdDSA]
                .map(|algorithm| verified_by(&Signer::new(algorithm, "k"), claims, &settings).is_ok())
        };
        assert_eq!(results(&claims), [true, true, false, false, false]);
        let half = |hash: &'static digest::Algorithm| {
            let hash = digest::digest(hash, ACCESS_TOKEN.as_bytes());
            json!(URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2]))
        };
        claims["at_hash"] = half(&digest::SHA384);
        assert_eq!(results(&claims), [false, false, true, false, false]);
        claims["at_hash"] = half(&digest::SHA512);
        assert_eq!(results(&claims), [false, false, false, true, true]);
    }

    #[test]
    fn a_required_acr_must_be_in_the_list_to_the_letter() {
        let mut settings = stub::settings(ISSUER);
        settings.acr_values = vec!["eidas1-mfa".into(), "eidas2".into()];
        let signer = Signer::new(Algorithm::ES256, "k");
        for (acr, accepted) in [
            (json!("eidas2"), true),
            (json!("eidas1-mfa"), true),
            (json!("eidas1"), false),
            (json!("eidas3"), false),
            (json!("eidas1-mfa eidas2"), false),
            (json!(["eidas2"]), false),
            (json!(""), false),
            (json!(null), false),
        ] {
            let mut claims = claims();
            claims["acr"] = acr.clone();
            let expected = (!accepted).then_some(IdTokenError::InsufficientAcr);
            assert_eq!(verified_by(&signer, &claims, &settings).err(), expected, "{acr}");
        }
        assert_eq!(verified_by(&signer, &claims(), &settings).unwrap_err(), IdTokenError::InsufficientAcr);
    }

    #[test]
    fn an_empty_nonce_of_ours_is_answered_by_nothing() {
        let signer = Signer::new(Algorithm::ES256, "k");
        let keys = Keys::from_json(&json!({ "keys": [signer.jwk()] }));
        let trust = Trust { keys: &keys, algorithms: &[Algorithm::ES256], client_secret: None };
        let mut claims = claims();
        claims["nonce"] = json!("");
        let expected = Expected { nonce: ExpectedNonce::Sent(""), access_token: ACCESS_TOKEN };
        let refused = verify(&signer.sign(&claims), &trust, &stub::settings(ISSUER), &expected, NOW);
        assert_eq!(refused.unwrap_err(), IdTokenError::WrongNonce);
    }

    /// OpenID Connect Core §12.2: the nonce of a refreshed token.
    #[test]
    fn a_refreshed_token_s_nonce_is_absent_or_that_of_the_token_before() {
        let signer = Signer::new(Algorithm::ES256, "k");
        let keys = Keys::from_json(&json!({ "keys": [signer.jwk()] }));
        let trust = Trust { keys: &keys, algorithms: &[Algorithm::ES256], client_secret: None };
        for (before, said, accepted) in [
            (Some("n"), None, true),
            (Some("n"), Some(json!("n")), true),
            (Some("n"), Some(json!("m")), false),
            (Some("n"), Some(json!("")), false),
            (Some("n"), Some(json!(null)), false),
            (Some("n"), Some(json!(["n"])), false),
            (None, None, true),
            (None, Some(json!("n")), false),
            (None, Some(json!(null)), false),
            (Some(""), Some(json!("")), false),
        ] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove("nonce");
            claims.as_object_mut().unwrap().extend(said.clone().map(|said| ("nonce".to_owned(), said)));
            let expected = Expected { nonce: ExpectedNonce::OfTheTokenBefore(before), access_token: ACCESS_TOKEN };
            let verified = verify(&signer.sign(&claims), &trust, &stub::settings(ISSUER), &expected, NOW);
            assert_eq!(verified.err(), (!accepted).then_some(IdTokenError::WrongNonce), "{before:?} {said:?}");
        }
    }

    /// Signed by the same key for the same client, and without a nonce, which a refresh allows.
    #[test]
    fn a_logout_token_is_no_id_token() {
        let mut claims = claims();
        claims["events"] = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        assert_eq!(verified(&claims).unwrap_err(), IdTokenError::LogoutToken);
        claims["events"] = json!({"urn:another:event": {}});
        assert!(verified(&claims).is_ok());
    }

    /// Before the signature nothing is read: a forged token is a forged token, whatever it says.
    #[test]
    fn the_signature_comes_first() {
        let keys = Keys::from_json(&json!({ "keys": [Signer::new(Algorithm::ES256, "k").jwk()] }));
        let trust = Trust { keys: &keys, algorithms: &[Algorithm::ES256], client_secret: None };
        let forged = Signer::new(Algorithm::ES256, "k").sign(&json!({"iss": "https://evil.test"}));
        let expected = Expected { nonce: ExpectedNonce::Sent("n"), access_token: ACCESS_TOKEN };
        let refused = verify(&forged, &trust, &stub::settings(ISSUER), &expected, NOW);
        assert_eq!(refused.unwrap_err(), IdTokenError::Signature(JwsError::WrongSignature));
    }
}
