//! Rules, and what is remembered by them.

use super::*;
use crate::oidc::{ClientAuthentication, IntrospectionSettings};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use ring::digest;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// An introspection endpoint that says the same of every token.
struct Endpoint {
    url: String,
    says: Arc<Mutex<(u16, Value)>>,
    asked: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/introspect", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new((200, active())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answers, counter) = (Arc::clone(&says), Arc::clone(&asked));
        let answer = async move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let (status, body) = answers.lock().unwrap().clone();
            (http::StatusCode::from_u16(status).unwrap(), body.to_string())
        };
        let routes = axum::Router::new().route("/introspect", axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, says, asked }
    }

    fn says(&self, status: u16, body: Value) {
        *self.says.lock().unwrap() = (status, body);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// A rule that asks it and wants this audience.
    fn rule(&self, audience: &str, cache: u64) -> Settings {
        let endpoint = IntrospectionSettings {
            url: self.url.parse().unwrap(),
            client_id: "api".to_owned(),
            client_secret: Some("the-secret-of-the-resource-server".into()),
            client_authentication: ClientAuthentication::ClientSecretPost,
            client_proof: crate::oidc::ClientProof::default(),
            issuer: None,
            audience: Some(audience.to_owned()),
            scopes: Vec::new(),
            signed: None,
            clock_leeway: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        };
        let kind = Kind::Introspection { endpoint: Box::new(endpoint), cache: Duration::from_secs(cache) };
        Settings { name: format!("for-{audience}"), kind }
    }
}

fn active() -> Value {
    json!({"active": true, "aud": "a", "sub": "s", "token_type": "Bearer", "email": "h@example.fr", "siret": "1"})
}

fn bearers(rules: Vec<Settings>) -> Bearers {
    Bearers::new(rules, ["email".to_owned()], &Fetch::new().unwrap())
}

fn shown(token: &str) -> Presented {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    presented(&headers).unwrap().unwrap()
}

fn key(name: &str, text: &str) -> ServiceKey {
    let sha256 = digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap();
    let claims = json!({"sub": name, "email": "export@example.fr", "siret": "1"});
    ServiceKey {
        name: name.to_owned(),
        sha256,
        claims: crate::claims::Claims::from_json(claims.as_object().unwrap()),
        until: None,
    }
}

/// The mistake of others: a token that was verified for one audience passed for another, because
/// what was remembered did not say by whom.
#[tokio::test]
async fn what_one_rule_has_found_is_nothing_to_another() {
    let endpoint = Endpoint::start().await;
    let bearers = bearers(vec![endpoint.rule("a", 60), endpoint.rule("b", 60)]);
    let token = shown("opaque");
    let caller = bearers.verify(&[0], &token, NOW).await.unwrap();
    assert_eq!((caller.rule(), caller.rule_name()), (0, "for-a"));
    let refused = bearers.verify(&[1], &token, NOW).await.unwrap_err();
    assert_eq!(refused.fault(), Fault::Token);
    assert_eq!(endpoint.asked(), 2);
    // And again, from what is remembered of each.
    assert!(bearers.verify(&[0], &token, NOW).await.is_ok());
    assert_eq!(bearers.verify(&[1], &token, NOW).await.unwrap_err(), refused);
    assert_eq!(endpoint.asked(), 2);
}

#[tokio::test]
async fn only_the_claims_that_are_kept_are() {
    let endpoint = Endpoint::start().await;
    let text = "the-key-of-the-nightly-export";
    let services = Settings { name: "services".to_owned(), kind: Kind::Keys(vec![key("nightly", text)]) };
    let bearers = bearers(vec![endpoint.rule("a", 60), services]);
    for token in ["opaque", text] {
        let caller = bearers.verify(&[0, 1], &shown(token), NOW).await.unwrap();
        let view = caller.claims().view();
        assert_eq!(view.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["email", "sub"]);
    }
    // A service key is shown to no issuer.
    assert_eq!(endpoint.asked(), 1);
    let caller = bearers.verify(&[0, 1], &shown(text), NOW).await.unwrap();
    assert_eq!((caller.rule(), caller.label().as_str()), (1, "services/nightly"));
}

/// A key that was taken away, or that has ended, is still a secret of somebody's.
#[tokio::test]
async fn a_service_key_is_shown_to_no_issuer_whatever_became_of_it() {
    let endpoint = Endpoint::start().await;
    let text = "the-key-of-the-nightly-export";
    let ended = ServiceKey { until: Some(NOW), ..key("nightly", text) };
    let services = Settings { name: "services".to_owned(), kind: Kind::Keys(vec![ended]) };
    let bearers = bearers(vec![endpoint.rule("a", 60), services]);
    let refused = bearers.verify(&[0, 1], &shown(text), NOW).await.unwrap_err();
    assert_eq!(refused.to_string(), "bearer services: the key nightly has ended");
    let unknown = bearers.verify(&[0], &shown("vsk_of-somebody-who-left"), NOW).await;
    assert_eq!(unknown, Err(NotVerified::Unknown));
    assert_eq!(endpoint.asked(), 0);
}

#[tokio::test]
async fn many_at_once_with_one_token_ask_once() {
    let endpoint = Endpoint::start().await;
    let bearers = bearers(vec![endpoint.rule("a", 60)]);
    let token = shown("opaque");
    let all = futures_util::future::join_all((0..20).map(|_| bearers.verify(&[0], &token, NOW))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn a_revocation_is_noticed_when_what_is_remembered_is_old() {
    for cache in [0, 30] {
        let endpoint = Endpoint::start().await;
        let bearers = bearers(vec![endpoint.rule("a", cache)]);
        let token = shown("opaque");
        assert!(bearers.verify(&[0], &token, NOW).await.is_ok());
        endpoint.says(200, json!({"active": false}));
        if cache > 0 {
            assert!(bearers.verify(&[0], &token, after(cache - 1)).await.is_ok());
            // A clock that was set back makes nothing younger.
            assert!(bearers.verify(&[0], &token, NOW.minus(Duration::from_secs(1))).await.is_err());
        }
        assert_eq!(bearers.verify(&[0], &token, after(cache)).await.unwrap_err().fault(), Fault::Token, "{cache}");
    }
}

#[tokio::test]
async fn nothing_is_remembered_beyond_the_token_s_own_end() {
    let endpoint = Endpoint::start().await;
    let bearers = bearers(vec![endpoint.rule("a", 300)]);
    let mut said = active();
    // With the leeway it ends in 10 s.
    said["exp"] = json!(NOW.as_unix() - 50);
    endpoint.says(200, said);
    let token = shown("opaque");
    assert!(bearers.verify(&[0], &token, NOW).await.is_ok());
    assert!(bearers.verify(&[0], &token, after(9)).await.is_ok());
    assert_eq!(endpoint.asked(), 1);
    assert_eq!(bearers.verify(&[0], &token, after(10)).await.unwrap_err().fault(), Fault::Token);
}

#[tokio::test]
async fn a_refusal_is_remembered_for_a_moment_and_an_outage_for_less() {
    let endpoint = Endpoint::start().await;
    let bearers = bearers(vec![endpoint.rule("a", 60)]);
    let token = shown("opaque");
    for (said, fault, lasts) in [
        ((200, json!({"active": false})), Fault::Token, 5),
        ((500, json!({})), Fault::Outage, 2),
        ((401, json!({"error": "invalid_client"})), Fault::Outage, 2),
    ] {
        // Each begins long after the one before.
        let from = 1000 * u64::from(said.0) + lasts;
        endpoint.says(said.0, said.1);
        let before = endpoint.asked();
        for later in [0, 0, lasts - 1] {
            let refused = bearers.verify(&[0], &token, after(from + later)).await.unwrap_err();
            assert_eq!(refused.fault(), fault, "{refused}");
        }
        assert_eq!(endpoint.asked(), before + 1);
        endpoint.says(200, active());
        assert!(bearers.verify(&[0], &token, after(from + lasts)).await.is_ok());
    }
}

#[tokio::test]
async fn what_is_too_long_or_of_nobody_is_refused_without_asking() {
    let endpoint = Endpoint::start().await;
    let text = "the-key-of-the-nightly-export";
    let services = Settings { name: "services".to_owned(), kind: Kind::Keys(vec![key("nightly", text)]) };
    let bearers = bearers(vec![endpoint.rule("a", 60), services]);
    let long = "x".repeat(MAX_LEN + 1);
    assert_eq!(bearers.verify(&[0, 1], &shown(&long), NOW).await, Err(NotVerified::TooLong));
    assert_eq!(bearers.verify(&[1], &shown("another-key-than-the-export-s"), NOW).await, Err(NotVerified::Unknown));
    for none in [&[][..], &[7]] {
        assert_eq!(bearers.verify(none, &shown(text), NOW).await, Err(NotVerified::Unknown));
    }
    assert_eq!(endpoint.asked(), 0);
    // As long as it may be, it is asked about.
    assert!(bearers.verify(&[0], &shown(long.get(1..).unwrap()), NOW).await.is_ok());
}
