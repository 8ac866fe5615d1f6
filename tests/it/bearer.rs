//! API clients: what a bearer token opens, and what it does not.

mod attacks;
mod real;

use super::support::client::{Answer, Client};
use super::support::issuer::Issuer;
use super::support::log_watch::{access_line_with, never_logged};
use super::support::site::{START, Setup, Site};
use super::support::waiting::until;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use vestibule::bearer::hash_of;

const AUDIENCE: &str = "https://api.example";
const OPAQUE: &str = "the-opaque-access-token-of-the-test-suite";
const SERVICE_KEY: &str = "vsk_the-service-key-of-the-test-suite";

const ROUTES: &str = "[{path: /api/**, upstream: app, bearer: [api, opaque, services]}, \
    {path: /jwt/**, upstream: app, bearer: api}, \
    {path: /other/**, upstream: app, bearer: other}, \
    {path: /writers/**, upstream: app, bearer: writers}, \
    {path: /opaque/**, upstream: app, bearer: opaque}, \
    {path: /machines/**, upstream: app, access: bearer, bearer: [services, api]}, \
    {path: /gateway/**, upstream: app, bearer: api, credentials: {kind: static, secret: {env: CLIENT_SECRET}}}, \
    {path: /own/**, upstream: app, bearer: api, credentials: {kind: token}, client_authorization: keep}, \
    {path: /ws, upstream: app, bearer: api}, \
    {path: /public/**, access: public, upstream: app}, \
    {path: /**, upstream: app}]";

/// A site with an issuer, and another issuer that the site does not know.
struct Stage {
    site: Site,
    issuer: Issuer,
    stranger: Issuer,
}

impl Stage {
    async fn start() -> Self {
        Self::with(ROUTES, "").await
    }

    async fn with(routes: &str, more: &str) -> Self {
        for secret in [OPAQUE, SERVICE_KEY] {
            never_logged(secret);
        }
        let (issuer, stranger) = (Issuer::start().await, Issuer::start().await);
        let hash = hash_of(SERVICE_KEY);
        let url = &issuer.url;
        let jwt = |audience: &str, scopes: &str| {
            format!("{{kind: jwt, issuer: \"{url}\", audience: \"{audience}\", timeout: 3m{scopes}}}")
        };
        let more = format!(
            "{more}\nbearer:\n  api: {}\n  other: {}\n  writers: {}\n  opaque: {{kind: introspection, url: \"{url}/introspect\", \
             client_id: api, client_secret: {{env: CLIENT_SECRET}}, audience: \"{AUDIENCE}\", timeout: 3m, cache: 30s}}\n  \
             services: {{kind: keys, keys: [{{name: nightly-export, sha256: \"{hash}\", claims: {{email: export@example.fr, groups: [robots]}}}}]}}\n",
            jwt(AUDIENCE, ""),
            jwt("https://other.example", ""),
            jwt(AUDIENCE, ", scopes: [\"documents:write\", read]"),
        );
        let site = Site::with(Setup { routes: routes.to_owned(), more, ..Setup::default() }).await;
        Self { site, issuer, stranger }
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer.url, "aud": AUDIENCE, "sub": "7c9e6679", "client_id": "batch", "iat": START,
            "exp": START + 600, "jti": "j", "scope": "read", "email": "batch@example.fr",
        })
    }

    /// A good access token for the audience of `api`.
    fn token(&self) -> String {
        self.issuer.access_token(&self.claims())
    }

    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }

    /// How many requests have reached the app.
    fn reached(&self) -> usize {
        self.site.echo.seen.borrow().requests
    }
}

fn active() -> Value {
    json!({
        "active": true, "aud": AUDIENCE, "sub": "of-the-issuer", "scope": "read", "token_type": "Bearer",
        "exp": START + 600,
    })
}

/// What a program gets with this `Authorization`.
async fn with(client: &Client, target: &str, authorization: &str) -> Answer {
    client.get(target, &[("authorization", authorization), ("accept", "application/json")]).await
}

async fn with_token(client: &Client, target: &str, token: &str) -> Answer {
    with(client, target, &format!("Bearer {token}")).await
}

/// A header as it reached the app.
fn at_app(echo: &Answer, name: &str) -> Option<String> {
    assert_eq!(echo.status, 200, "{}", echo.text());
    let json = echo.json();
    let all: Vec<_> = json["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == name).collect();
    assert!(all.len() < 2, "{json}");
    all.first().map(|pair| pair[1].as_str().unwrap().to_owned())
}

/// All challenges of an answer.
fn challenges(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sort_of_token_gives_the_identity_that_was_verified() {
    let stage = Stage::start().await;
    stage.issuer.says(active());
    let client = stage.site.client();
    let cases = [
        (stage.token(), "api", "7c9e6679", Some("batch@example.fr"), None),
        (stage.issuer.by_rsa(&stage.claims()), "api", "7c9e6679", Some("batch@example.fr"), None),
        (OPAQUE.to_owned(), "opaque", "of-the-issuer", None, None),
        (SERVICE_KEY.to_owned(), "services", "nightly-export", Some("export@example.fr"), Some("robots")),
    ];
    for (token, rule, user, email, groups) in cases {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let answer = with(&client, "/api/x", &format!("{scheme} {token}")).await;
            assert_eq!(at_app(&answer, "x-auth-request-user").as_deref(), Some(user), "{rule}");
            assert_eq!(at_app(&answer, "x-auth-request-email").as_deref(), email, "{rule}");
            assert_eq!(at_app(&answer, "x-auth-request-groups").as_deref(), groups, "{rule}");
            assert_eq!(at_app(&answer, "x-vestibule-bearer").as_deref(), Some(rule));
            assert_eq!(at_app(&answer, "x-vestibule-session"), None, "{rule}");
            // The app may want it.
            assert_eq!(at_app(&answer, "authorization"), Some(format!("{scheme} {token}")), "{rule}");
            assert!(answer.set_cookies().is_empty(), "{rule}");
        }
    }
    // Whatever is sent under the names of what says who it is.
    let token = format!("Bearer {}", stage.token());
    let forged = [
        ("authorization", token.as_str()),
        ("x-auth-request-user", "admin"),
        ("X_Auth_Request_Email", "admin@example.fr"),
        ("x-vestibule-bearer", "services"),
        ("x-vestibule-session", "00000000000000000000000000000000"),
        ("x-auth-request-groups", "admins"),
    ];
    let answer = client.get("/api/x", &forged).await;
    assert_eq!(at_app(&answer, "x-auth-request-user").as_deref(), Some("7c9e6679"));
    assert_eq!(at_app(&answer, "x-auth-request-email").as_deref(), Some("batch@example.fr"));
    assert_eq!(at_app(&answer, "x-vestibule-bearer").as_deref(), Some("api"));
    for name in ["x-vestibule-session", "x-auth-request-groups", "x_auth_request_email"] {
        assert_eq!(at_app(&answer, name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_both_ways_in_are_offered_or_the_one_there_is() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    let answer = client.fetch("/api/x").await;
    assert_eq!(answer.status, 401);
    let offered = challenges(&answer);
    assert_eq!(offered.len(), 2, "{offered:?}");
    assert!(offered[0].starts_with("Vestibule realm=\"app.example\", sign_in="), "{offered:?}");
    assert_eq!(offered[1], "Bearer realm=\"app.example\"");
    assert_eq!(answer.json()["error"], "not_signed_in");
    // A browser is led to sign in as ever.
    assert_eq!(client.navigate("/api/x").await.status, 302);

    // Where nothing but a token is taken, a session is nothing, and a browser is told so too.
    let person = stage.site.signed_in().await;
    for answer in [
        client.fetch("/machines/x").await,
        client.navigate("/machines/x").await,
        person.fetch("/machines/x").await,
        person.navigate("/machines/x").await,
        with(&person, "/machines/x", "Basic dTpw").await,
    ] {
        assert_eq!((answer.status, challenges(&answer)), (401, vec!["Bearer realm=\"app.example\""]));
        assert_eq!(answer.json()["error"], "no_bearer_token");
    }
    assert_eq!(with_token(&client, "/machines/x", SERVICE_KEY).await.status, 200);
    // A route without `bearer` offers none, and takes none.
    assert_eq!(challenges(&client.fetch("/x").await).len(), 1);
    assert_eq!(with_token(&client, "/x", &stage.token()).await.status, 401);
    let answer = with_token(&person, "/x", &stage.token()).await;
    assert!(at_app(&answer, "x-vestibule-session").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_is_missing_is_named() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    let answer = with_token(&client, "/writers/x", &stage.token()).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        challenges(&answer),
        ["Bearer realm=\"app.example\", error=\"insufficient_scope\", \
          error_description=\"the bearer token lacks a scope\", scope=\"documents:write read\""]
    );
    assert_eq!(answer.json()["error"], "insufficient_scope");
    let enough = stage.issuer.access_token(&stage.claims_with("scope", json!("read documents:write more")));
    assert_eq!(with_token(&client, "/writers/x", &enough).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_and_an_end_are_noticed() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    stage.issuer.says(active());
    for _ in 0..3 {
        assert_eq!(with_token(&client, "/opaque/x", OPAQUE).await.status, 200);
    }
    assert_eq!(stage.issuer.introspected(), 1);
    stage.issuer.says(json!({"active": false}));
    stage.site.clock.advance(Duration::from_secs(29));
    assert_eq!(with_token(&client, "/opaque/x", OPAQUE).await.status, 200);
    stage.site.clock.advance(Duration::from_secs(1));
    let answer = with_token(&client, "/opaque/x", OPAQUE).await;
    assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_token")));

    // One that was good a moment ago.
    let soon = stage.issuer.access_token(&stage.claims_with("exp", json!(START + 30)));
    assert_eq!(with_token(&client, "/jwt/x", &soon).await.status, 200);
    stage.site.clock.advance(Duration::from_secs(59));
    assert_eq!(with_token(&client, "/jwt/x", &soon).await.status, 200, "within the leeway");
    stage.site.clock.advance(Duration::from_secs(1));
    assert_eq!(with_token(&client, "/jwt/x", &soon).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_issuer_is_no_refusal_and_lets_nobody_in() {
    let stage = Stage::start().await;
    let (client, person) = (stage.site.client(), stage.site.signed_in().await);
    stage.issuer.is_down(true);
    for target in ["/jwt/x", "/opaque/x"] {
        let token = if target == "/jwt/x" { stage.token() } else { OPAQUE.to_owned() };
        for client in [&client, &person] {
            let answer = with_token(client, target, &token).await;
            assert_eq!(answer.status, 503, "{target}");
            assert!(answer.header("retry-after").is_some() && challenges(&answer).is_empty(), "{target}");
        }
    }
    assert_eq!(stage.reached(), 1, "the page that the person signed in on");
    // Sessions and service keys ask nobody.
    assert_eq!(person.fetch("/jwt/x").await.status, 200);
    assert_eq!(with_token(&client, "/api/x", SERVICE_KEY).await.status, 200);

    stage.issuer.is_down(false);
    stage.issuer.says(active());
    stage.site.clock.advance(Duration::from_secs(11));
    assert_eq!(with_token(&client, "/jwt/x", &stage.token()).await.status, 200);
    assert_eq!(with_token(&client, "/opaque/x", OPAQUE).await.status, 200);
    // Keys that are at hand bridge the next one.
    stage.issuer.is_down(true);
    let another = stage.issuer.access_token(&stage.claims_with("jti", json!("another")));
    assert_eq!(with_token(&client, "/jwt/x", &another).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_gets_of_the_token_is_as_the_route_says() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    let token = stage.token();
    let replaced = with_token(&client, "/gateway/x", &token).await;
    let secret = format!("Bearer {}", super::support::site::CLIENT_SECRET);
    assert_eq!(at_app(&replaced, "authorization"), Some(secret));
    let kept = with_token(&client, "/own/x", &token).await;
    assert_eq!(at_app(&kept, "authorization"), Some(format!("Bearer {token}")));
    // A person on the same route has the token of their session there.
    let person = stage.site.signed_in().await;
    let theirs = at_app(&person.fetch("/own/x").await, "authorization").unwrap();
    assert!(theirs.starts_with("Bearer ") && !theirs.contains(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_names_the_rule_and_the_cause_and_never_the_token() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    with_token(&client, "/api/logged-service", SERVICE_KEY).await;
    let line = access_line_with("/api/logged-service").await;
    assert_eq!((&line["bearer"], &line["decision"]), (&json!("services/nightly-export"), &json!("forward")));
    assert_eq!(line["session"], Value::Null);

    let other = stage.issuer.access_token(&stage.claims_with("aud", json!("https://other.example")));
    with_token(&client, "/api/logged-audience", &other).await;
    let line = access_line_with("/api/logged-audience").await;
    assert_eq!(line["reason"], "bearer api: aud does not name the configured audience");
    assert_eq!(line["decision"], "deny");

    stage.issuer.is_down(true);
    with_token(&client, "/opaque/logged-outage", OPAQUE).await;
    let line = access_line_with("/opaque/logged-outage").await;
    assert_eq!(line["reason"], "bearer opaque: the introspection endpoint answered with status 500");
    assert_eq!(line["level"], "WARN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_ends_with_its_token() {
    let stage = Stage::start().await;
    let token = stage.issuer.access_token(&stage.claims_with("exp", json!(START + 30)));
    let mut request = "ws://app.example/ws".into_client_request().unwrap();
    // From a page of another site: a token that it has is no cookie that came along by itself.
    request.headers_mut().insert("origin", "https://elsewhere.example".parse().unwrap());
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = tokio::net::TcpStream::connect(stage.site.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
    stage.site.clock.advance(Duration::from_secs(90));
    until("the WebSocket is closed", async || matches!(socket.next().await, Some(Ok(Message::Close(_))) | None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_that_asks_is_told_the_same() {
    let routes = "[{path: /api/**, bearer: [api, opaque]}, {path: /writers/**, bearer: writers}, \
                   {path: /machines/**, access: bearer, bearer: services}, {path: /**}]";
    let more = "trusted_proxies: [127.0.0.1]\nforward_auth: {from: nginx}\n";
    let stage = Stage::with(routes, more).await;
    let client = stage.site.client();
    let ask = async |path: &str, authorization: &[&str]| {
        let url = format!("https://app.example{path}");
        let mut headers = vec![("x-original-url", url.as_str()), ("x-original-method", "POST")];
        headers.extend(authorization.iter().map(|value| ("authorization", *value)));
        client.send(Method::GET, "/oauth2/auth", &headers, Vec::new()).await
    };
    let good = format!("Bearer {}", stage.token());
    let answer = ask("/api/x", &[&good]).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("x-auth-request-user"), Some("7c9e6679"));
    assert_eq!(answer.header("x-vestibule-bearer"), Some("api"));
    assert_eq!(answer.header("x-vestibule-session"), None);
    assert!(answer.set_cookies().is_empty());

    let service = format!("Bearer {SERVICE_KEY}");
    assert_eq!(ask("/machines/x", &[&service]).await.status, 202);
    let bad = ask("/api/x", &["Bearer bad"]).await;
    assert_eq!(bad.status, 401);
    assert!(challenges(&bad)[0].contains("invalid_token"), "{bad:?}");
    assert_eq!(ask("/machines/x", &[&good]).await.status, 401, "of another rule");
    assert_eq!(ask("/writers/x", &[&good]).await.status, 403);
    // nginx makes 500 of a 400.
    assert_eq!(ask("/api/x", &[&good, &good]).await.status, 403);
    assert_eq!(ask("/x", &[&good]).await.status, 401, "of no rule");
    stage.issuer.is_down(true);
    assert_eq!(ask("/api/x", &["Bearer another-opaque-one"]).await.status, 503);
}

#[test]
fn a_service_key_is_made_with_the_line_for_the_configuration() {
    let make = |name: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_vestibule")).args(["keys", "service", name]).output().unwrap()
    };
    let (first, another) = (make("nightly-export"), make("nightly-export"));
    assert!(first.status.success());
    // Nothing else is on standard output.
    let key = String::from_utf8(first.stdout).unwrap();
    let key = key.strip_suffix('\n').unwrap();
    assert!(key.starts_with("vsk_") && key.len() == 47 && !key.contains(char::is_whitespace), "{key}");
    let told = String::from_utf8(first.stderr).unwrap();
    let line = format!("  - {{name: \"nightly-export\", sha256: \"{}\"}}\n", hash_of(key));
    assert!(told.ends_with(&line) && !told.contains(key), "{told}");
    assert_ne!(another.stdout, format!("{key}\n").into_bytes());
    assert!(!make("a name").status.success());
}

/// The parts of a token, decoded: what somebody who has one can see and send again.
fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}
