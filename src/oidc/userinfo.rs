//! Userinfo (OpenID Connect Core §5.3): the claims that the ID token leaves out, read and verified.
//!
//! Called by the facade with a verified ID token. Plain JSON is vouched for by TLS and the access
//! token; a signed answer also by its signature. Either must speak of the ID token's `sub`. What
//! does not verify ends the sign-in: there is no second way to read it.

use super::id_token::IdTokenError;
use super::jws::{self, JwsError, Kind, Trust};
use super::registered_claims as claim;
use super::settings::{Settings, Userinfo};
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use crate::web::strict_json;
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
            let claims = jws::verify(token.expose_secret(), Kind::Plain, trust)?.claims;
            if claim::text(&claims, "iss") != Some(&settings.issuer) {
                return Err(UserinfoError::WrongIssuer);
            }
            let audiences = claim::audiences(&claims).unwrap_or_default();
            if !audiences.contains(&settings.client_id.as_str()) {
                return Err(UserinfoError::WrongAudience);
            }
            claim::check_times(&claims, settings.clock_leeway, now).map_err(UserinfoError::OutOfDate)?;
            claims
        }
    };
    // §5.3.2 and §16.11: without this, one person's token could be answered with another's claims.
    if claim::text(&claims, "sub").map(String::as_str) != Some(subject) {
        return Err(UserinfoError::WrongSubject);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::keys::Keys;
    use crate::oidc::settings::Algorithm;
    use crate::oidc::stub::{self, CLIENT_SECRET, Signer, Stub};
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const ISSUER: &str = "https://op.test/api/v2";

    fn verified(answer: &Answer, signer: &Signer, userinfo: Userinfo) -> Result<Map<String, Value>, UserinfoError> {
        let keys = Keys::from_json(&json!({ "keys": [signer.jwk()] }));
        let secret = SecretString::from(CLIENT_SECRET);
        let trust = Trust { keys: &keys, algorithms: &[signer.algorithm], client_secret: Some(&secret) };
        let mut settings = stub::settings(ISSUER);
        settings.userinfo = userinfo;
        verify(answer, &trust, &settings, "s", NOW)
    }

    fn signed(signer: &Signer, claims: &Value) -> Answer {
        Answer::Signed(signer.sign(claims).into())
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "aud": "client", "sub": "s", "email": "a@b.fr"})
    }

    #[test]
    fn signed_userinfo_is_verified_under_every_algorithm() {
        for algorithm in
            [Algorithm::ES256, Algorithm::ES384, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA, Algorithm::HS256]
        {
            let signer = Signer::new(algorithm, "k");
            for userinfo in [Userinfo::Signed(Vec::new()), Userinfo::JsonOrSigned(Vec::new())] {
                let read = verified(&signed(&signer, &claims()), &signer, userinfo).unwrap();
                assert_eq!(read["email"], "a@b.fr", "{algorithm}");
            }
            let forger = Signer::with_secret(b"another secret of more than 32 bytes");
            assert!(verified(&signed(&forger, &claims()), &signer, Userinfo::JsonOrSigned(Vec::new())).is_err());
        }
    }

    /// Each case changes one claim of a good signed answer (null takes it away).
    #[test]
    fn each_claim_of_a_signed_answer_is_checked() {
        use UserinfoError as E;
        let signer = Signer::new(Algorithm::ES256, "k");
        let now = NOW.as_unix();
        for (name, value, expected) in [
            ("iss", json!(null), Some(E::WrongIssuer)),
            ("iss", json!("https://evil.test"), Some(E::WrongIssuer)),
            ("aud", json!(null), Some(E::WrongAudience)),
            ("aud", json!("other"), Some(E::WrongAudience)),
            ("aud", json!(["other", "client"]), None),
            ("sub", json!(null), Some(E::WrongSubject)),
            ("sub", json!("S"), Some(E::WrongSubject)),
            ("sub", json!(["s"]), Some(E::WrongSubject)),
            ("exp", json!(now - 59), None),
            ("exp", json!(now - 60), Some(E::OutOfDate(IdTokenError::Expired))),
            ("iat", json!(now + 61), Some(E::OutOfDate(IdTokenError::NotYet("iat")))),
            ("exp", json!("never"), Some(E::OutOfDate(IdTokenError::MalformedTime("exp")))),
        ] {
            let mut claims = claims();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
            let refused = verified(&signed(&signer, &claims), &signer, Userinfo::Signed(Vec::new())).err();
            assert_eq!(refused, expected, "{name} {value}");
        }
    }

    #[test]
    fn plain_json_counts_only_where_it_may_and_speaks_of_the_same_person() {
        let signer = Signer::new(Algorithm::ES256, "k");
        let plain = |body: &str| Answer::Json(body.as_bytes().to_vec());
        let either = Userinfo::JsonOrSigned(Vec::new());
        let cases = [
            (r#"{"sub":"s","email":"a@b.fr"}"#, &either, None),
            (r#"{"sub":"s"}"#, &Userinfo::Signed(Vec::new()), Some(UserinfoError::NotSigned)),
            (r#"{"sub":"t"}"#, &either, Some(UserinfoError::WrongSubject)),
            (r#"{"email":"a@b.fr"}"#, &either, Some(UserinfoError::WrongSubject)),
            (r#"{"sub":"t","sub":"s"}"#, &either, Some(UserinfoError::Malformed)),
            (r#"[{"sub":"s"}]"#, &either, Some(UserinfoError::Malformed)),
            ("a.b.c", &either, Some(UserinfoError::Malformed)),
            ("", &either, Some(UserinfoError::Malformed)),
        ];
        for (body, userinfo, expected) in cases {
            assert_eq!(verified(&plain(body), &signer, userinfo.clone()).err(), expected, "{body}");
        }
    }

    #[tokio::test]
    async fn the_content_type_decides_and_nothing_else_does() {
        let stub = Stub::start(&[]).await;
        let endpoint = format!("{}/userinfo", stub.issuer).parse().unwrap();
        let ask = async |kind: &str, body: &str| {
            stub.answer("/userinfo", kind, body);
            let settings = stub.settings();
            ask(&endpoint, &settings, &Fetch::new().unwrap(), &"the-token".into()).await
        };
        for kind in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(matches!(ask(kind, "a.b.c").await, Ok(Answer::Json(_))), "{kind}");
        }
        for kind in ["application/jwt", "application/jwt; charset=utf-8"] {
            let Ok(Answer::Signed(token)) = ask(kind, " {\"sub\":\"s\"}\n").await else { panic!("{kind}") };
            assert_eq!(token.expose_secret(), "{\"sub\":\"s\"}");
        }
        for kind in ["text/html", "application/jwt+json", "application/json-seq", "text/plain", ""] {
            assert_eq!(ask(kind, "{\"sub\":\"s\"}").await.unwrap_err(), UserinfoError::ContentType, "{kind}");
        }
        assert_eq!(stub.last("/userinfo"), "Bearer the-token ");
        for status in [401, 500, 204] {
            stub.refuse("/userinfo", status, "");
            let refused = super::ask(&endpoint, &stub.settings(), &Fetch::new().unwrap(), &"t".into()).await;
            assert_eq!(refused.unwrap_err(), UserinfoError::Status(status));
        }
        stub.redirect("/userinfo", "/stolen");
        let refused = super::ask(&endpoint, &stub.settings(), &Fetch::new().unwrap(), &"t".into()).await;
        assert_eq!((refused.unwrap_err(), stub.hits("/stolen")), (UserinfoError::Status(302), 0));
    }
}
