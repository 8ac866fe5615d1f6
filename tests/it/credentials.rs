//! Credentials for upstreams: each reaches the upstream of its own route and nobody else, and what
//! the client sends in its place does not.
//!
//! Here what a session has at hand, `static` and `token`; in `exchange` and `keys` what has to be
//! asked for.

mod exchange;
mod keys;

use crate::support::client::{Answer, Client};
use crate::support::log_watch::never_logged;
use crate::support::raw::Raw;
use crate::support::site::{Setup, Site};
use crate::support::waiting::until;
use crate::support::wire::{Act, Received, Wire};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;
use tempfile::TempDir;

const GATEWAY_KEY: &str = "the-gateway-key-of-the-test-suite-01";
const FIXED_BEARER: &str = "the-fixed-bearer-of-the-test-suite-1";
/// The key of the organisation that everybody here belongs to.
const ORGANISATION_KEY: &str = "the-key-of-an-organisation-of-tests";
/// What a client brings.
const CLIENTS_OWN: &str = "the-clients-own-key-of-the-test-suite";

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Every header that a credential of the stage goes into.
const HEADERS: [&str; 4] = ["authorization", "x-api-key", "x-forwarded-access-token", "x-id"];

const ROUTES: &str = "[{path: /gateway/**, upstream: app, credentials: gateway}, \
    {path: /fixed/**, upstream: app, credentials: fixed}, \
    {path: /me/**, upstream: app, credentials: me}, \
    {path: /id/**, upstream: app, credentials: {kind: token, token: id_token}}, \
    {path: /both/**, upstream: app, credentials: {kind: token, headers: {X-Forwarded-Access-Token: \"{access_token}\", X-Id: \"Bearer {id_token};\"}}}, \
    {path: /billing/**, upstream: app, credentials: billing}, \
    {path: /org/**, upstream: app, credentials: org}, \
    {path: /own/**, upstream: app, credentials: me, client_authorization: keep}, \
    {path: /own-key/**, upstream: app, credentials: gateway, client_authorization: keep}, \
    {path: /public/none/**, access: public, upstream: app}, \
    {path: /public/gateway/**, access: public, upstream: app, credentials: gateway}, \
    {path: /public/me/**, access: public, upstream: app, credentials: me}, \
    {path: /public/billing/**, access: public, upstream: app, credentials: billing}, \
    {path: /public/org/**, access: public, upstream: app, credentials: org}, \
    {path: /other/none/**, upstream: other, credentials: none}, \
    {path: /other/me/**, upstream: other, credentials: me}, \
    {path: /other/**, upstream: other}, \
    {path: /**, upstream: app}]";

/// A site with every kind of credential, and two upstreams that show what reached them. The
/// `other` one has `fixed` for all its routes.
struct Stage {
    site: Site,
    app: Wire,
    other: Wire,
    folder: TempDir,
}

/// How a stage is set up; `..Props::default()` for what a test does not care about.
struct Props {
    /// What the app answers.
    app: fn(&Received) -> Act,
    session: &'static str,
    /// Further top-level keys.
    more: String,
    /// The credentials `billing` and `org`, where a test has them another way.
    billing: String,
    org: Option<String>,
    issuer: Option<String>,
}

impl Default for Props {
    fn default() -> Self {
        Self {
            app: |_| Act::ok("ok"),
            session: "idle: 4h",
            more: String::new(),
            billing: "{kind: exchange, audience: \"https://billing.internal\"}".to_owned(),
            org: None,
            issuer: None,
        }
    }
}

impl Stage {
    async fn start() -> Self {
        Self::with(Props::default()).await
    }

    async fn with(props: Props) -> Self {
        for secret in [GATEWAY_KEY, FIXED_BEARER, ORGANISATION_KEY, CLIENTS_OWN] {
            never_logged(secret);
        }
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let gateway = write("gateway", GATEWAY_KEY);
        let fixed = write("fixed", FIXED_BEARER);
        let book =
            write("keys.yaml", &format!("00000000000001: another-organisations-key\n{SIRET}: {ORGANISATION_KEY}\n"));
        let org = props.org.unwrap_or_else(|| format!("{{kind: keys, claim: siret, file: \"{book}\"}}"));
        let (app, other) = (Wire::scripted(props.app).await, Wire::start().await);
        let more = format!(
            "{}\ncredentials:\n  gateway: {{kind: static, secret: {{file: \"{gateway}\"}}, header: X-Api-Key}}\n  \
             fixed: {{kind: static, secret: {{file: \"{fixed}\"}}}}\n  me: {{kind: token}}\n  billing: {}\n  org: {org}\n\
             session: {{{}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}",
            props.more, props.billing, props.session
        );
        let setup = Setup {
            upstream: Some(app.url()),
            upstreams: format!(", other: {{url: \"{}\", credentials: fixed, timeouts: {{connect: 3m}}}}", other.url()),
            routes: ROUTES.to_owned(),
            more,
            issuer: props.issuer,
            ..Setup::default()
        };
        Self { site: Site::with(setup).await, app, other, folder }
    }

    /// Sends a request with these further header lines, and gives what reached the app.
    async fn arrives(&self, target: &str, lines: &str) -> Received {
        let wire = if target.starts_with("/other/") { &self.other } else { &self.app };
        let before = wire.received().len();
        let mut raw = Raw::connect(self.site.address).await;
        raw.send(format!("GET {target} HTTP/1.1\r\nHost: app.example\r\nAccept: application/json\r\n{lines}\r\n"))
            .await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 200, "{target} {lines}: {}", answer.text());
        wire.nth(before + 1).await
    }

    /// Whose access token this is, as the provider says.
    async fn subject_of(&self, access_token: &str) -> Option<String> {
        never_logged(access_token);
        let provider = Client::new(self.site.provider.address());
        let bearer = format!("Bearer {access_token}");
        let userinfo = format!("{}/userinfo", self.site.provider.issuer());
        let answer = provider.get(&userinfo, &[("authorization", &bearer)]).await;
        (answer.status == 200).then(|| claims_of(&answer.text())["sub"].as_str().unwrap().to_owned())
    }
}

/// The SIRET of the person who signs in.
const SIRET: &str = "00000011700010";

/// The claims of a JWT, or of a JSON text.
fn claims_of(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let payload = payload.unwrap_or_else(|| token.as_bytes().to_vec());
    serde_json::from_slice(&payload).unwrap_or_else(|_| panic!("no claims: {token}"))
}

fn cookies(client: &Client) -> String {
    format!("Cookie: {}\r\n", client.cookie_header("app.example").unwrap())
}

/// The values of every header that a credential goes into, joined by `|` where there are several.
fn injected(got: &Received) -> Vec<(&'static str, String)> {
    let all = HEADERS.into_iter().map(|name| (name, got.all(name).join("|")));
    all.filter(|(_, value)| !value.is_empty()).collect()
}

fn bearer(got: &Received) -> String {
    let [(_, value)] = &injected(got)[..] else { panic!("{}", got.head) };
    value.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{}", got.head)).to_owned()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A `GET` of a program with these cookies, whatever the jar has.
async fn get(client: &Client, target: &str, cookies: &str) -> Answer {
    client.get(target, &[("accept", "application/json"), ("cookie", cookies)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_credential_reaches_the_upstream_of_its_own_routes_and_no_other() {
    let stage = Stage::start().await;
    let session = cookies(&stage.site.signed_in().await);
    let gateway = vec![("x-api-key", GATEWAY_KEY.to_owned())];
    let fixed = vec![("authorization", format!("Bearer {FIXED_BEARER}"))];
    let org = vec![("authorization", format!("Bearer {ORGANISATION_KEY}"))];
    for upgrade in ["", UPGRADE] {
        let lines = format!("{session}{upgrade}");
        for (target, expected) in [
            ("/gateway/a", &gateway),
            ("/fixed/a", &fixed),
            ("/org/a", &org),
            ("/own-key/a", &gateway),
            ("/public/gateway/a", &gateway),
            ("/public/org/a", &org),
            ("/other/a", &fixed),
            ("/other/none/a", &vec![]),
            ("/public/none/a", &vec![]),
            ("/a", &vec![]),
            // Not by a spelling of the path that is another route to the app.
            ("/gatewayx", &vec![]),
        ] {
            assert_eq!(injected(&stage.arrives(target, &lines).await), *expected, "{target} {upgrade}");
        }
        for target in ["/me/a", "/own/a", "/public/me/a", "/other/me/a"] {
            let got = stage.arrives(target, &lines).await;
            let subject = stage.subject_of(&bearer(&got)).await;
            assert_eq!(subject.as_deref(), got.all("x-auth-request-user").first().copied(), "{target}:\n{}", got.head);
        }
        for target in ["/billing/a", "/public/billing/a"] {
            let got = stage.arrives(target, &lines).await;
            let claims = claims_of(&bearer(&got));
            assert_eq!(
                (&claims["aud"], claims["sub"].as_str()),
                (&"https://billing.internal".into(), got.all("x-auth-request-user").first().copied())
            );
        }
        let id = bearer(&stage.arrives("/id/a", &lines).await);
        assert_eq!(claims_of(&id)["aud"], "app");
        let both = injected(&stage.arrives("/both/a", &lines).await);
        let [("x-forwarded-access-token", access), ("x-id", template)] = &both[..] else { panic!("{both:?}") };
        assert!(stage.subject_of(access).await.is_some());
        assert_eq!(*template, format!("Bearer {id};"));
    }
    assert_eq!(stage.site.provider.counters().exchange, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_only_what_is_fixed_goes_out_and_the_clients_own_does_not() {
    let stage = Stage::start().await;
    let own = format!("Authorization: Bearer {CLIENTS_OWN}\r\nX-Api-Key: {CLIENTS_OWN}\r\n");
    let strangers = [String::new(), "Cookie: __Host-vestibule=nonsense; other=1\r\n".to_owned()];
    for lines in strangers.iter().flat_map(|cookie| [cookie.clone(), format!("{cookie}{own}")]) {
        let got = stage.arrives("/public/gateway/a", &lines).await;
        assert_eq!(got.all("x-api-key"), [GATEWAY_KEY]);
        for target in ["/public/me/a", "/public/billing/a", "/public/org/a"] {
            let got = stage.arrives(target, &lines).await;
            assert_eq!(got.all("authorization"), [""; 0], "{target} {lines}");
        }
    }
    // A session that was ended is none, however late its cookie comes.
    let client = stage.site.signed_in().await;
    let ended = cookies(&client);
    assert_eq!(stage.arrives("/public/me/a", &ended).await.all("authorization").len(), 1);
    assert_eq!(stage.arrives("/public/billing/a", &ended).await.all("authorization").len(), 1);
    client.submit("/oauth2/sign_out", "").await;
    for target in ["/public/me/a", "/public/billing/a", "/public/org/a"] {
        assert_eq!(stage.arrives(target, &format!("{ended}{own}")).await.all("authorization"), [""; 0], "{target}");
    }
}

/// A header's name in every spelling that some server takes for it.
fn spellings(name: &str) -> Vec<String> {
    let (lower, upper) = (name.to_ascii_lowercase(), name.to_ascii_uppercase());
    let mut all = vec![name.to_owned(), lower.clone(), upper];
    for mark in ["_", ".", "!", "~", "^"] {
        all.push(name.replace('-', mark));
        all.push(lower.replace('-', mark));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_client_sends_in_the_place_of_a_credential_never_arrives() {
    let stage = Stage::start().await;
    let session = cookies(&stage.site.signed_in().await);
    let targets = [
        ("/gateway/a", "X-Api-Key", session.clone()),
        ("/fixed/a", "Authorization", session.clone()),
        ("/me/a", "Authorization", session.clone()),
        ("/both/a", "X-Forwarded-Access-Token", session.clone()),
        ("/both/a", "X-Id", session.clone()),
        ("/billing/a", "Authorization", session.clone()),
        ("/org/a", "Authorization", session.clone()),
        ("/other/a", "Authorization", session.clone()),
        ("/public/gateway/a", "X-Api-Key", String::new()),
        ("/public/me/a", "Authorization", String::new()),
    ];
    for (target, name, session) in targets {
        let expected = injected(&stage.arrives(target, &session).await);
        let once = spellings(name).join(&format!(": {CLIENTS_OWN}\r\n")) + &format!(": {CLIENTS_OWN}\r\n");
        let chunked =
            |trailers: &str| format!("Transfer-Encoding: chunked\r\nTrailer: {name}\r\n\r\n2\r\nhi\r\n0\r\n{trailers}");
        for lines in [
            once.clone(),
            format!("{once}{once}"),
            format!("{name}: {CLIENTS_OWN}\r\nConnection: {name}\r\n"),
            format!("Connection: close, {name}\r\n"),
            format!("Connection: close\r\nConnection: {}\r\n{once}", name.to_ascii_lowercase()),
            format!("{name}:\r\n{name}:{CLIENTS_OWN}\r\n"),
            format!("{UPGRADE}{once}"),
        ] {
            let got = stage.arrives(target, &format!("{session}{lines}")).await;
            assert!(!got.head.contains(CLIENTS_OWN), "{target} {lines}:\n{}", got.head);
            assert_eq!(injected(&got), expected, "{target} {lines}");
        }
        let got = stage.arrives(target, &format!("{session}{}", chunked(&format!("{name}: {CLIENTS_OWN}\r\n")))).await;
        assert!(!got.head.contains(CLIENTS_OWN) && !String::from_utf8_lossy(&got.body).contains(CLIENTS_OWN));
        assert_eq!(injected(&got), expected, "{target}: trailers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_route_keeps_it_the_clients_own_passes_and_nothing_is_injected() {
    let stage = Stage::start().await;
    let session = cookies(&stage.site.signed_in().await);
    let own = format!("Authorization: Basic {CLIENTS_OWN}\r\n");
    let got = stage.arrives("/own/a", &format!("{session}{own}")).await;
    assert_eq!(injected(&got), [("authorization", format!("Basic {CLIENTS_OWN}"))]);
    // The header that the credential goes into is the one that counts.
    let key = format!("X-Api-Key: {CLIENTS_OWN}\r\n");
    let got = stage.arrives("/own-key/a", &format!("{session}{key}")).await;
    assert_eq!(injected(&got), [("x-api-key", CLIENTS_OWN.to_owned())]);
    let got = stage.arrives("/own-key/a", &format!("{session}{own}")).await;
    let expected = [("authorization", format!("Basic {CLIENTS_OWN}")), ("x-api-key", GATEWAY_KEY.to_owned())];
    assert_eq!(injected(&got), expected);
    // In another spelling it is not the client's own but somebody's trick.
    let got = stage.arrives("/own-key/a", &format!("{session}X_Api_Key: {CLIENTS_OWN}\r\n")).await;
    assert_eq!(injected(&got), [("x-api-key", GATEWAY_KEY.to_owned())]);
    assert!(!got.head.contains(CLIENTS_OWN), "{}", got.head);
    // It opens no route.
    let mut raw = Raw::connect(stage.site.address).await;
    raw.send(format!("GET /own/a HTTP/1.1\r\nHost: app.example\r\nAccept: application/json\r\n{own}\r\n")).await;
    assert_eq!(raw.answer().await.status, 401);
    // Where a route has no credentials it is nobody's business.
    for target in ["/a", "/other/none/a", "/public/none/a"] {
        let got = stage.arrives(target, &format!("{session}{own}{key}")).await;
        let expected = [("authorization", format!("Basic {CLIENTS_OWN}")), ("x-api-key", CLIENTS_OWN.to_owned())];
        assert_eq!(injected(&got), expected, "{target}");
    }
    // A credential in another header leaves it alone.
    let got = stage.arrives("/gateway/a", &format!("{session}{own}")).await;
    let expected = [("authorization", format!("Basic {CLIENTS_OWN}")), ("x-api-key", GATEWAY_KEY.to_owned())];
    assert_eq!(injected(&got), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_that_of_the_last_renewal() {
    for session in ["idle: 4h, keep: cookie", "idle: 4h, keep: store"] {
        let stage = Stage::with(Props { session, ..Props::default() }).await;
        let client = stage.site.signed_in().await;
        let first = bearer(&stage.arrives("/me/a", &cookies(&client)).await);
        let former = cookies(&client);
        stage.site.clock.advance(seconds(3660));
        // The request that renews it, whose own cookies have the former one.
        let renewing = stage.arrives("/me/a", &former).await;
        let second = bearer(&renewing);
        assert!(first != second && stage.subject_of(&second).await.is_some(), "{session}");
        // Late ones with the former cookies.
        assert_eq!(bearer(&stage.arrives("/me/a", &former).await), second, "{session}");
        assert_eq!(stage.site.provider.counters().refreshed, 1);
        // And an answer that brings the new cookies.
        assert_eq!(client.fetch("/me/a").await.status, 200);
        assert_eq!(bearer(&stage.arrives("/me/a", &cookies(&client)).await), second, "{session}");
        assert_eq!((stage.site.provider.counters().refreshed, stage.site.provider.counters().refresh_reuse), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_lost_are_a_page_and_not_a_request_without_them() {
    use crate::support::shown::{TOKENS, assert_error};
    use vestibule::pages::{ErrorKind, Language};
    let stage = Stage::start().await;
    let client = stage.site.signed_in().await;
    client.drop_cookie(TOKENS);
    let before = stage.app.received().len();
    assert_error(&client.navigate("/me/a").await, ErrorKind::SignInExpired, Language::French).await;
    assert_eq!(client.fetch("/me/a").await.json()["error"], "sign_in_expired");
    assert_eq!(stage.app.received().len(), before);
    assert_eq!(client.fetch("/a").await.status, 200, "routes that need none go on");
}
