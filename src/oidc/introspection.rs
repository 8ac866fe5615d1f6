//! Token introspection (RFC 7662): the issuer is asked whether a token counts and what it says.
//!
//! Called by `bearer`, once for a token and then again when what is remembered of it is old. The
//! answer is JSON, or a JWT that the issuer signs for us (RFC 9701), whichever is configured. Must
//! never take silence, an error or an answer that is not understood for anything but an outage.

use super::Unreachable;
use super::access_token::{AccessToken, AccessTokenError, Demands, accepted};
use super::client_request::{self, Client};
use super::jws::{self, JwsError, Kind, Trust};
use super::keys::Keys;
use super::published_keys::{KeySource, PublishedKeys};
use super::registered_claims::{audiences, check_times, text};
use super::settings::{Algorithm, ClientAuthentication, ClientProof};
use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::SecretString;
use crate::web::strict_json;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;

const SIGNED: &str = "application/token-introspection+jwt";

/// The longest answer, in bytes: it is remembered, with those of others.
const MAX_ANSWER: usize = 64 * 1024;

/// An introspection endpoint, our registration there, and what tokens must say to count here.
#[derive(Clone, Debug)]
pub struct IntrospectionSettings {
    /// Where tokens are posted.
    pub url: Url,
    /// Our `client_id` there.
    pub client_id: String,
    /// Our `client_secret` there.
    pub client_secret: Option<SecretString>,
    /// How our client proves itself there.
    pub client_authentication: ClientAuthentication,
    /// What it proves that with. Its assertions are for the issuer, and where none is configured for
    /// the address.
    pub client_proof: ClientProof,
    /// What `iss` must be, where the answer has one.
    pub issuer: Option<String>,
    /// What `aud` must name: us, as a resource server. Where nothing is said, a token for anybody.
    pub audience: Option<String>,
    /// Scopes that a token must have, all of them.
    pub scopes: Vec<String>,
    /// Where answers are signed: by whose keys and with which algorithms.
    pub signed: Option<(KeySource, Vec<Algorithm>)>,
    /// How far the issuer's clock may differ from ours.
    pub clock_leeway: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

/// An introspection endpoint.
#[derive(Debug)]
pub struct Introspection {
    settings: IntrospectionSettings,
    fetch: Fetch,
    signed: Option<(PublishedKeys, Vec<Algorithm>)>,
}

/// Why an introspected token does not count. Messages hold nothing that the answer says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntrospectionError {
    /// The endpoint was not reached.
    #[error("the introspection endpoint could not be asked: {0}")]
    NotAsked(FetchError),
    /// The endpoint answered something else: among others, it does not know our client.
    #[error("the introspection endpoint answered with status {0}")]
    Status(u16),
    /// An answer that is not understood.
    #[error("the introspection endpoint's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The keys that answers are signed with cannot be had.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The answer's own signature does not count.
    #[error("the signed answer of the introspection endpoint: {0}")]
    Signature(#[from] JwsError),
    /// `active` is false: unknown there, expired, revoked, or not for us to know.
    #[error("the issuer says that it is not active")]
    Inactive,
    /// It is active, and still not one for us.
    #[error(transparent)]
    Token(AccessTokenError),
}

impl IntrospectionError {
    /// Whether nothing is known of the token: the issuer could not be asked, or what it says cannot
    /// be believed.
    pub fn is_outage(&self) -> bool {
        !matches!(self, Self::Inactive | Self::Token(_))
    }
}

impl Introspection {
    /// An endpoint, not asked yet.
    pub fn new(settings: IntrospectionSettings, fetch: Fetch) -> Self {
        let signed = settings.signed.clone();
        let signed = signed.map(|(source, algorithms)| (PublishedKeys::new(source, fetch.clone()), algorithms));
        Self { settings, fetch, signed }
    }

    /// Whether this endpoint is the one to ask: a token that names another issuer than the configured
    /// one is not shown to it.
    pub fn may_know(&self, token: &str) -> bool {
        let Some(issuer) = &self.settings.issuer else { return true };
        jws::claimed_issuer(token).is_none_or(|named| named == *issuer)
    }

    /// Asks whether `token` counts.
    ///
    /// # Errors
    /// [`IntrospectionError`], one variant per cause.
    pub async fn ask(&self, token: &str, now: Timestamp) -> Result<AccessToken, IntrospectionError> {
        let accept = if self.signed.is_some() { SIGNED } else { "application/json" };
        let parameters = [("token", token), ("token_type_hint", "access_token")];
        let settings = &self.settings;
        let client = Client {
            id: &settings.client_id,
            secret: settings.client_secret.as_ref(),
            authentication: settings.client_authentication,
            assertions: settings.client_proof.assertions.as_deref(),
            audience: settings.issuer.as_deref().unwrap_or(settings.url.as_str()),
        };
        let fetch = settings.client_proof.presenting.as_ref().unwrap_or(&self.fetch);
        let answer = client_request::post_for(accept, client, &settings.url, settings.timeout, fetch, &parameters, now)
            .await
            .map_err(IntrospectionError::NotAsked)?;
        if answer.status() != StatusCode::OK {
            return Err(IntrospectionError::Status(answer.status().as_u16()));
        }
        if answer.body().len() > MAX_ANSWER {
            return Err(IntrospectionError::Malformed("it is too long"));
        }
        let said = match &self.signed {
            Some((keys, algorithms)) => self.verified(&answer, keys, algorithms, now).await?,
            None if is_of_type(&answer, SIGNED) => {
                return Err(IntrospectionError::Malformed("it is signed, and no issuer is configured for that"));
            }
            None => strict_json::object(answer.body())
                .map_err(|_| IntrospectionError::Malformed("it is no JSON object of unique members"))?,
        };
        judged(said, settings, now)
    }

    /// The claims of an answer that is a JWT (RFC 9701 §5).
    async fn verified(
        &self,
        answer: &http::Response<Vec<u8>>,
        keys: &PublishedKeys,
        algorithms: &[Algorithm],
        now: Timestamp,
    ) -> Result<Map<String, Value>, IntrospectionError> {
        if !is_of_type(answer, SIGNED) {
            return Err(IntrospectionError::Malformed("it is not signed"));
        }
        let jwt = std::str::from_utf8(answer.body()).map_err(|_| IntrospectionError::Malformed("it is no text"))?;
        let verify = |published: &Keys| {
            let trust = Trust { keys: published, algorithms, client_secret: None };
            let claims = jws::verify(jwt.trim(), Kind::Introspection, &trust)?.claims;
            if text(&claims, "iss").map(String::as_str) != Some(keys.issuer()) {
                return Err(IntrospectionError::Malformed("its iss is not the configured issuer"));
            }
            if !audiences(&claims).unwrap_or_default().contains(&self.settings.client_id.as_str()) {
                return Err(IntrospectionError::Malformed("its aud does not name our client"));
            }
            check_times(&claims, self.settings.clock_leeway, now)
                .map_err(|_| IntrospectionError::Malformed("it is out of date"))?;
            match claims.get("token_introspection") {
                Some(Value::Object(said)) => Ok(said.clone()),
                _ => Err(IntrospectionError::Malformed("it has no token_introspection")),
            }
        };
        keys.verify(now, verify, |error| match error {
            IntrospectionError::Signature(error) => Some(error),
            _ => None,
        })
        .await
    }
}

fn judged(
    said: Map<String, Value>,
    settings: &IntrospectionSettings,
    now: Timestamp,
) -> Result<AccessToken, IntrospectionError> {
    match said.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(IntrospectionError::Inactive),
        _ => return Err(IntrospectionError::Malformed("active is neither true nor false")),
    }
    if let (Some(issuer), Some(iss)) = (&settings.issuer, said.get("iss"))
        && iss != issuer
    {
        return Err(IntrospectionError::Token(AccessTokenError::WrongIssuer));
    }
    check_type(&said).map_err(IntrospectionError::Token)?;
    let demands = Demands {
        audience: settings.audience.as_deref(),
        scopes: &settings.scopes,
        clock_leeway: settings.clock_leeway,
    };
    accepted(said, &demands, now).map_err(IntrospectionError::Token)
}

/// Refresh tokens, ID tokens and others are `active` too. RFC 7662 §2.2 makes `token_type` optional;
/// where it is missing something else has to say what the token is.
fn check_type(said: &Map<String, Value>) -> Result<(), AccessTokenError> {
    let is = |name: &str, expected: &[&str]| {
        let value = said.get(name)?.as_str().unwrap_or_default();
        Some(expected.iter().any(|one| value.eq_ignore_ascii_case(one)))
    };
    match is("token_type", &["Bearer"]) {
        Some(false) if is("token_type", &["DPoP"]) == Some(true) => return Err(AccessTokenError::SenderConstrained),
        Some(false) => return Err(AccessTokenError::NotAnAccessToken("its token_type is not Bearer")),
        _ => {}
    }
    let signs =
        [is("token_type", &["Bearer"]), is("typ", &["Bearer", "at+jwt"]), is("token_use", &["access", "access_token"])];
    if signs.contains(&Some(false)) {
        Err(AccessTokenError::NotAnAccessToken("its typ or token_use says so"))
    } else if signs.contains(&Some(true)) {
        Ok(())
    } else {
        Err(AccessTokenError::NotAnAccessToken("neither token_type, typ nor token_use says that it is one"))
    }
}

fn is_of_type(answer: &http::Response<Vec<u8>>, expected: &str) -> bool {
    let value = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::id_token::IdTokenError;
    use crate::oidc::stub::{Signer, Stub};
    use Algorithm::ES256;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const AUDIENCE: &str = "https://api.test";
    const PATH: &str = "/introspect";

    fn settings(stub: &Stub) -> IntrospectionSettings {
        IntrospectionSettings {
            url: format!("{}{PATH}", stub.issuer).parse().unwrap(),
            client_id: "api".to_owned(),
            client_secret: Some("the-secret-of-the-resource-server".into()),
            client_authentication: ClientAuthentication::ClientSecretBasic,
            client_proof: ClientProof::default(),
            issuer: Some(stub.issuer.clone()),
            audience: Some(AUDIENCE.to_owned()),
            scopes: vec!["read".to_owned()],
            signed: None,
            clock_leeway: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }

    fn said(stub: &Stub) -> Value {
        let now = NOW.as_unix();
        json!({
            "active": true, "iss": stub.issuer, "aud": AUDIENCE, "sub": "s", "client_id": "c", "scope": "read",
            "iat": now, "exp": now + 300, "token_type": "Bearer", "username": "h",
        })
    }

    async fn ask(settings: IntrospectionSettings) -> Result<AccessToken, IntrospectionError> {
        Introspection::new(settings, Fetch::new().unwrap()).ask("opaque+/token==", NOW).await
    }

    #[tokio::test]
    async fn the_endpoint_is_asked_as_it_is_registered_and_what_it_says_is_read() {
        let stub = Stub::start(&[]).await;
        stub.answer(PATH, "application/json", &said(&stub).to_string());
        let token = ask(settings(&stub)).await.unwrap();
        assert_eq!(token.ends_at(), Some(NOW.plus(Duration::from_secs(360))));
        let view = token.claims().view();
        let names: Vec<_> = view.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["client_id", "iss", "scope", "sub", "username"]);
        let sent = stub.last(PATH);
        assert!(sent.starts_with("Basic "), "{sent}");
        assert!(sent.ends_with(" token=opaque%2B%2Ftoken%3D%3D&token_type_hint=access_token"), "{sent}");
    }

    /// Each case changes one member of a good answer.
    #[tokio::test]
    async fn each_member_is_checked() {
        use AccessTokenError as T;
        use IntrospectionError as E;
        let stub = Stub::start(&[]).await;
        let now = NOW.as_unix();
        let absent = Value::Null;
        let other = |why| Some(E::Token(T::NotAnAccessToken(why)));
        let no_sign = "neither token_type, typ nor token_use says that it is one";
        let malformed = Some(E::Malformed("active is neither true nor false"));
        let cases = [
            ("active", json!(false), Some(E::Inactive)),
            ("active", absent.clone(), malformed.clone()),
            ("active", json!("true"), malformed.clone()),
            ("active", json!(1), malformed),
            ("iss", json!("https://evil.test"), Some(E::Token(T::WrongIssuer))),
            ("iss", json!(7), Some(E::Token(T::WrongIssuer))),
            ("iss", absent.clone(), None),
            ("aud", absent.clone(), Some(E::Token(T::WrongAudience))),
            ("aud", json!("https://other.test"), Some(E::Token(T::WrongAudience))),
            ("aud", json!(["x", AUDIENCE]), None),
            ("exp", absent.clone(), None),
            ("exp", json!(now - 60), Some(E::Token(T::OutOfDate(IdTokenError::Expired)))),
            ("exp", json!("soon"), Some(E::Token(T::OutOfDate(IdTokenError::MalformedTime("exp"))))),
            ("nbf", json!(now + 61), Some(E::Token(T::OutOfDate(IdTokenError::NotYet("nbf"))))),
            ("scope", absent.clone(), Some(E::Token(T::InsufficientScope))),
            ("scope", json!("write"), Some(E::Token(T::InsufficientScope))),
            ("cnf", json!({"jkt": "x"}), Some(E::Token(T::SenderConstrained))),
            ("token_type", json!("bearer"), None),
            ("token_type", json!("DPoP"), Some(E::Token(T::SenderConstrained))),
            ("token_type", json!("refresh_token"), other("its token_type is not Bearer")),
            ("token_type", json!(["Bearer"]), other("its token_type is not Bearer")),
            ("token_type", absent.clone(), other(no_sign)),
            ("token_use", json!("refresh_token"), other("its typ or token_use says so")),
            ("typ", json!("ID"), other("its typ or token_use says so")),
            ("sub", absent.clone(), None),
            ("sub", json!("é"), Some(E::Token(T::NamesNobody))),
        ];
        for (name, value, expected) in cases {
            let mut said = said(&stub);
            if value.is_null() {
                said.as_object_mut().unwrap().remove(name);
            } else {
                said[name] = value.clone();
            }
            stub.answer(PATH, "application/json", &said.to_string());
            assert_eq!(ask(settings(&stub)).await.err(), expected, "{name} {value}");
        }
        for (name, value) in [("typ", "Bearer"), ("token_use", "access_token")] {
            let mut said = said(&stub);
            said.as_object_mut().unwrap().remove("token_type");
            said[name] = json!(value);
            stub.answer(PATH, "application/json", &said.to_string());
            assert!(ask(settings(&stub)).await.is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_token_that_names_another_issuer_is_not_for_this_endpoint() {
        let stub = Stub::start(&[]).await;
        let signer = Signer::new(ES256, "k");
        let of = |issuer: &str| signer.sign(&json!({"iss": issuer, "sub": "s"}));
        let endpoint = Introspection::new(settings(&stub), Fetch::new().unwrap());
        assert!(endpoint.may_know("opaque") && endpoint.may_know(&of(&stub.issuer)));
        assert!(!endpoint.may_know(&of("https://other.test")));
        let anybody_s = IntrospectionSettings { issuer: None, ..settings(&stub) };
        assert!(Introspection::new(anybody_s, Fetch::new().unwrap()).may_know(&of("https://other.test")));
    }

    #[tokio::test]
    async fn whatever_is_no_answer_is_an_outage() {
        let stub = Stub::start(&[]).await;
        for (status, body) in [
            (401, r#"{"error":"invalid_client"}"#),
            (403, ""),
            (302, ""),
            (500, r#"{"active":true}"#),
            (404, "<html>"),
            (200, "<html>"),
            (200, ""),
            (200, "[]"),
            (200, r#"{"active":false,"active":true}"#),
        ] {
            stub.refuse(PATH, status, body);
            let refused = ask(settings(&stub)).await.unwrap_err();
            assert!(refused.is_outage(), "{status} {body}: {refused}");
        }
        stub.answer(PATH, "application/json", &format!("{{\"active\":true,\"x\":\"{}\"}}", "x".repeat(MAX_ANSWER)));
        assert!(ask(settings(&stub)).await.unwrap_err().is_outage());
        let nobody = IntrospectionSettings { url: "http://127.0.0.1:1/".parse().unwrap(), ..settings(&stub) };
        assert!(matches!(ask(nobody).await, Err(IntrospectionError::NotAsked(_))));
    }

    #[tokio::test]
    async fn a_signed_answer_is_verified_and_no_other_counts_then() {
        let key = Signer::new(ES256, "k");
        let stub = Stub::start(&[]).await;
        stub.publish(std::slice::from_ref(&key));
        let source = KeySource {
            name: "api".to_owned(),
            issuer: stub.issuer.clone(),
            jwks_uri: None,
            timeout: Duration::from_secs(10),
        };
        let signed = || IntrospectionSettings { signed: Some((source.clone(), vec![ES256])), ..settings(&stub) };
        let header = json!({"alg": "ES256", "kid": "k", "typ": "token-introspection+jwt"});
        let claims = json!({
            "iss": stub.issuer, "aud": "api", "iat": NOW.as_unix(), "token_introspection": said(&stub),
        });
        stub.answer(PATH, SIGNED, &key.sign_with(&header, &claims));
        assert!(ask(signed()).await.is_ok());
        // Not where nobody said by whom it may be signed.
        assert!(ask(settings(&stub)).await.unwrap_err().is_outage());

        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            key.sign_with(&header, &claims)
        };
        for (what, jwt) in [
            ("iss", with("iss", json!("https://evil.test"))),
            ("aud", with("aud", json!("another-resource-server"))),
            ("iat", with("iat", json!(NOW.as_unix() + 61))),
            ("no answer in it", with("token_introspection", json!(true))),
            ("another type", key.sign_with(&json!({"alg": "ES256", "kid": "k", "typ": "at+jwt"}), &claims)),
            ("no type", key.sign_with(&json!({"alg": "ES256", "kid": "k"}), &claims)),
            ("another key", Signer::new(ES256, "k").sign_with(&header, &claims)),
            ("none", key.sign_with(&json!({"alg": "none", "typ": "token-introspection+jwt"}), &claims)),
        ] {
            stub.answer(PATH, SIGNED, &jwt);
            let refused = ask(signed()).await.unwrap_err();
            assert!(refused.is_outage(), "{what}: {refused}");
        }
        stub.answer(PATH, "application/json", &said(&stub).to_string());
        assert_eq!(ask(signed()).await, Err(IntrospectionError::Malformed("it is not signed")));
        stub.answer(PATH, SIGNED, &with("token_introspection", json!({"active": false})));
        assert_eq!(ask(signed()).await, Err(IntrospectionError::Inactive));
    }
}
