//! The signed assertion: what it says, where it goes, where it does not, and that an application which
//! verifies it takes it for the one request that it was made for.

mod forward_auth;
mod replays;

use super::support::client::Answer;
use super::support::log_watch::never_logged;
use super::support::raw::Raw;
use super::support::shown::header_at_app;
use super::support::site::{ORIGIN, START, Setup, Site};
use super::support::waiting::until;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule::signing;

const HEADER: &str = "x-vestibule-assertion";
const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const ROUTES: &str = "[{path: /public/**, access: public, upstream: app}, {path: /api/**, upstream: app, strip_prefix: /api}, \
                      {path: /quiet/**, upstream: app, assertion: off}, {path: /**, upstream: app}]";

/// Signing keys in files.
struct Keys(TempDir);

impl Keys {
    /// With a fresh key in `current` and one in `next`.
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        keys.renew("current");
        keys.renew("next");
        keys
    }

    fn renew(&self, name: &str) {
        let pem = signing::new_key().unwrap();
        never_logged(pem.lines().nth(1).unwrap());
        std::fs::write(self.0.path().join(name), pem).unwrap();
    }

    fn yaml(&self, more: &str) -> String {
        let file = |name: &str| format!("{{key: {{file: {}/{name}}}}}", self.0.path().display());
        format!("identity: {{assertion: {{keys: [{}, {}]{more}}}}}\n", file("current"), file("next"))
    }
}

async fn site(keys: &Keys, more: &str) -> Site {
    Site::with(Setup {
        routes: ROUTES.to_owned(),
        more: keys.yaml(more),
        provider: "    acr_values: [eidas1]\n".to_owned(),
        ..Setup::default()
    })
    .await
}

/// One part of a JWT.
fn part(jwt: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

fn hash(target: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, target.as_bytes()))
}

/// The claims of the assertion that reached the app, where one did.
fn claims_at_app(answer: &Answer) -> Option<Value> {
    header_at_app(answer, HEADER).map(|jwt| part(&jwt, 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_who_sent_this_request_and_goes_where_it_is_asked_for() {
    let keys = Keys::new();
    let site = site(&keys, "").await;
    let (person, stranger) = (site.signed_in().await, site.client());

    let answer = person.fetch("/docs/%C3%A9?q=a%20b").await;
    let jwt = header_at_app(&answer, HEADER).unwrap();
    let header = part(&jwt, 0);
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("ES256"), Some("vestibule-assertion+jwt")));
    let session = header_at_app(&answer, "x-vestibule-session");
    let sub = header_at_app(&answer, "x-auth-request-user");
    let mut claims = part(&jwt, 1);
    let auth_time = claims.as_object_mut().unwrap().remove("auth_time");
    assert!(auth_time.is_none_or(|at| at.as_u64() <= Some(START)));
    let expected = json!({
        "iss": ORIGIN, "aud": "app", "iat": START, "exp": START + 30, "sub": sub, "sid": session,
        "provider": "proconnect", "acr": "eidas1", "email": EMAIL, "htm": "GET", "host": "app.example",
        "target_hash": hash("/docs/%C3%A9?q=a%20b"),
    });
    assert_eq!(claims, expected);

    // As the app gets it, where a prefix is taken off.
    let claims = claims_at_app(&person.fetch("/api/docs?x").await).unwrap();
    assert_eq!(claims["target_hash"], hash("/docs?x"));
    let claims = claims_at_app(&person.send(Method::POST, "/", &[], Vec::new()).await).unwrap();
    assert_eq!((claims["htm"].as_str(), claims["target_hash"].as_str()), (Some("POST"), Some(hash("/").as_str())));

    assert_eq!(claims_at_app(&person.fetch("/quiet/x").await), None);
    assert_eq!(claims_at_app(&person.fetch("/public/x").await).unwrap()["sub"], expected["sub"]);
    assert_eq!(claims_at_app(&stranger.fetch("/public/x").await), None, "nobody is nobody");
    assert_eq!(stranger.fetch("/docs").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_s_own_assertion_reaches_an_app_in_any_spelling_on_any_route() {
    let keys = Keys::new();
    for (header, spellings) in [
        (HEADER, ["X-Vestibule-Assertion", "x_vestibule_assertion", "X.VESTIBULE.ASSERTION", "x-vestibule_assertion"]),
        ("x-app-jwt", ["X-App-JWT", "x_app_jwt", "X.APP.JWT", "x-app_jwt"]),
    ] {
        let site = site(&keys, &format!(", header: {header}")).await;
        let cookies = format!("Cookie: {}\r\n", site.signed_in().await.cookie_header("app.example").unwrap());
        for (target, cookies, has_ours) in [
            ("/public/x", "", false),
            ("/public/x", &cookies, true),
            ("/quiet/x", &cookies, false),
            ("/x", &cookies, true),
        ] {
            for spelling in spellings {
                let mut raw = Raw::connect(site.address).await;
                let lines = format!("{spelling}: forged\r\nConnection: close, {header}\r\n{spelling}: again\r\n");
                raw.send(format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n{cookies}{lines}\r\n")).await;
                let answer = raw.answer().await;
                assert_eq!(answer.status, 200, "{target}");
                let seen = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(!seen.contains("forged") && !seen.contains("again"), "{target} {spelling}: {seen}");
                assert_eq!(seen.contains(&format!("\"{header}\"")), has_ours, "{target} {spelling}: {seen}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_halves_of_all_keys_are_published_and_nothing_else() {
    let keys = Keys::new();
    let site = site(&keys, ", audience: the-app, lifetime: 60s, claims: [roles, email]").await;
    let (person, stranger) = (site.signed_in().await, site.client());
    let answer = stranger.fetch("/oauth2/jwks").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/jwk-set+json")));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert!(answer.set_cookies().is_empty());
    let set = answer.json();
    let published = set["keys"].as_array().unwrap();
    assert_eq!(published.len(), 2);
    for key in published {
        let mut members: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
    let answer = stranger.send(Method::POST, "/oauth2/jwks", &[], Vec::new()).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));

    let jwt = header_at_app(&person.fetch("/").await, HEADER).unwrap();
    assert_eq!(part(&jwt, 0)["kid"], published[0]["kid"]);
    let claims = part(&jwt, 1);
    assert_eq!((claims["aud"].as_str(), claims["exp"].as_u64()), (Some("the-app"), Some(START + 60)));

    // A rotation: the key that was published beside it signs, and a new one is published.
    let current = keys.0.path().join("current");
    std::fs::rename(keys.0.path().join("next"), current).unwrap();
    keys.renew("next");
    site.reread_keys.notify_one();
    let kid = &published[1]["kid"];
    until("the next key to sign", async || {
        part(&header_at_app(&person.fetch("/").await, HEADER).unwrap(), 0)["kid"] == *kid
    })
    .await;
    let now = stranger.fetch("/oauth2/jwks").await.json();
    assert_eq!(now["keys"][0]["kid"], *kid);
    assert!(published.iter().all(|before| before["kid"] != now["keys"][1]["kid"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_there_is_neither_an_assertion_nor_an_endpoint() {
    let site = Site::start().await;
    let person = site.signed_in().await;
    assert_eq!(claims_at_app(&person.fetch("/").await), None);
    assert_eq!(person.fetch("/oauth2/jwks").await.status, 404);
}
