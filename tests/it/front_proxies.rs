//! nginx, Caddy, HAProxy and Envoy in front of an app, each with the file of `deploy/` as it is
//! shipped, asking a real Vestibule: one scenario, the same for all of them.
//!
//! Everything goes through the front proxy, sign-in included. What each sends with a question, and
//! what the others send that cannot be run here, is in `forward_auth`; the files of those are read
//! here.

use super::support::client::{Answer, Client};
use super::support::counterparts::{Counterpart, require};
use super::support::front_proxy::{FrontProxy, shipped, with_credentials};
use super::support::raw::Raw;
use super::support::scene::app_of;
use super::support::shown::{email_at_app, header_at_app};
use super::support::site::{CLIENT_SECRET, ORIGIN, Setup, Site};
use super::support::socket::{echoes, socket_at};
use futures_util::future::join_all;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use std::net::Ipv4Addr;
use vestibule::bearer::hash_of;
use vestibule::demo::provider::Agent;

pub(crate) const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
/// Whom nobody can sign in as.
const FORGED: &str = "admin@forged.example";

/// What a program shows.
const SERVICE_KEY: &str = "vsk_the-service-key-of-the-front-proxies";

/// Names under which an app could take a client's word for who it is.
const FORGED_NAMES: [&str; 26] = [
    "X-Auth-Request-Email",
    "x-auth-request-email",
    "X-Auth-Request-User",
    "X-Auth-Request-Groups",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Anything",
    "X_Auth_Request_Email",
    "X-Auth_Request-Email",
    "X.Auth.Request.Email",
    "X~Auth~Request~Email",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Access-Token",
    "X_Forwarded_User",
    "Remote-User",
    "REMOTE_USER",
    "X-Remote-User",
    "X_Remote_User",
    "X.Remote.User",
    "GAP-Auth",
    "gap_auth",
    "SCRIPT_NAME",
    "PATH_INFO",
    "X-Vestibule-Session",
    "X-Vestibule-Licence",
    "X-Vestibule-Bearer",
];

/// What a client could say of its request, to have another one judged.
const ELSEWHERE: [(&str, &str); 9] = [
    ("X-Original-URL", "https://app.example/public/x"),
    ("X-Original-URI", "/public/x"),
    ("X-Original-Method", "OPTIONS"),
    ("X-Forwarded-Uri", "/public/x"),
    ("X-Forwarded-Method", "OPTIONS"),
    ("X-Forwarded-Host", "other.example"),
    ("X-Forwarded-Proto", "http"),
    ("X-Rewrite-URL", "/public/x"),
    ("X-Envoy-Original-Path", "/public/x"),
];

/// Targets that a front proxy, Vestibule and an app could read in two ways.
const TRICKS: [&str; 20] = [
    "/public/../app",
    "/public/%2e%2e/app",
    "/public/..%2fapp",
    "/public%2f..%2fapp",
    "/public/.%2e/app",
    "/public/..;/app",
    "/public\\..\\app",
    "/public/..%5capp",
    "//app",
    "//public/../app",
    "/./app",
    "/app%00/public/x",
    "/oauth2/../app",
    "/oauth2/%2e%2e/app",
    "/oauth2/..%2fapp",
    "/app?/public/x",
    "/OAuth2/../app",
    "http://app.example/app",
    "https://app.example/public/../app",
    "http://app.example/oauth2/../app",
];

/// The site as `deploy/{which}/vestibule.yaml` has it.
pub(crate) async fn site_of(which: &str) -> Site {
    let route = "{path: /programs/**, access: bearer, bearer: services}, ";
    let hash = hash_of(SERVICE_KEY);
    let rule = format!("bearer: {{services: {{kind: keys, keys: [{{name: export, sha256: {hash}}}]}}}}\n");
    site_with(which, route, &rule).await
}

/// The same with routes before its own, and further keys.
async fn site_with(which: &str, routes: &str, more: &str) -> Site {
    let written: Value = serde_yaml::from_str(&shipped(&format!("{which}/vestibule.yaml"))).unwrap();
    assert_eq!(written["session"]["keep"], "store");
    let key = |name: &str| format!("{name}: {}\n", written[name]);
    Site::with(Setup {
        routes: written["routes"].to_string().replacen('[', &format!("[{routes}"), 1),
        more: ["trusted_proxies", "forward_auth", "identity"].map(key).concat()
            + "session: {keys: [{id: k1, secret: {env: SESSION_KEY}}], keep: store}\n"
            + more,
        ..Setup::default()
    })
    .await
}

struct Scene {
    which: Counterpart,
    grpc: bool,
    site: Site,
    front: FrontProxy,
}

impl Scene {
    async fn start(which: Counterpart, grpc: bool) -> Self {
        let folder = format!("{which:?}{}", if grpc { "-grpc" } else { "" });
        Self::of(which, grpc, site_of(&folder.to_lowercase()).await).await
    }

    async fn of(which: Counterpart, grpc: bool, site: Site) -> Self {
        let (vestibule, app) = (site.address, site.echo.address);
        let front = if grpc {
            FrontProxy::start_over_grpc(vestibule, site.grpc.unwrap(), app).await
        } else {
            FrontProxy::start(which, vestibule, app).await
        };
        Self { which, grpc, site, front }
    }

    fn client(&self) -> Client {
        Client::new(self.front.address)
    }

    /// How many requests the app has had.
    fn at_app(&self) -> usize {
        self.site.echo.seen.borrow().requests
    }

    /// Does something of which nothing may reach the app.
    async fn out_of_reach<T>(&self, what: impl AsyncFnOnce() -> T) -> T {
        let before = self.at_app();
        let done = what().await;
        assert_eq!(self.at_app(), before, "{:?}: it reached the app", self.which);
        done
    }
}

/// What a form or script of the site sends.
async fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let own = [("origin", ORIGIN), ("sec-fetch-site", "same-origin"), ("accept", "application/json")];
    client.send(Method::POST, path, &[&own[..], headers].concat(), body).await
}

async fn scenario(which: Counterpart) {
    scenario_in(&Scene::start(which, false).await).await;
}

async fn scenario_in(scene: &Scene) {
    let person = signs_in_and_is_back_where_it_was_going(scene).await;
    strangers_get_401_or_what_is_public(scene).await;
    who_it_is_cannot_be_forged(scene, &person).await;
    who_it_is_cannot_be_taken_away(scene, &person).await;
    another_request_cannot_be_judged(scene).await;
    a_program_passes_by_its_key_and_is_known_as_one(scene, &person).await;
    bodies_and_websockets_pass(scene, &person).await;
    what_is_renewed_reaches_the_browser(scene, &person).await;
    nothing_passes_while_vestibule_is_down(scene, &person).await;
    a_session_that_is_over_is_over_at_once(scene, &person).await;
}

async fn signs_in_and_is_back_where_it_was_going(scene: &Scene) -> Client {
    let person = scene.client();
    person.set_cookie("theme", "dark");
    let target = "/app/deep/caf%C3%A9?x=a%20b&y=%26&z=/..";
    let page = person.browse(target).await;
    assert_eq!(page.status, 200, "{:?}: {} {}", scene.which, page.url, page.text());
    assert_eq!(page.json()["target"], target);
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
    assert!(header_at_app(&page, "x-vestibule-session").is_some());
    assert_eq!(header_at_app(&page, "cookie").as_deref(), Some("theme=dark"), "{:?}", scene.which);
    assert_eq!(header_at_app(&page, "x-forwarded-proto").as_deref(), Some("https"));
    for around in [&["zoo=1"][..], &["a=1", "zoo=2"], &["x__Host-vestibule=own"]] {
        let own = person.cookie_header("app.example").unwrap();
        let all = [&["first=0"], &[own.as_str()], around].concat().join("; ");
        let answer = person.get("/app/x", &[("cookie", &all)]).await;
        let kept = [&["first=0", "theme=dark"], around].concat().join("; ");
        let at_app = header_at_app(&answer, "cookie").unwrap_or_default();
        assert!(!at_app.contains(&person.cookie("__Host-vestibule").unwrap()), "{:?}: {at_app}", scene.which);
        if !around[0].starts_with('x') {
            assert_eq!(at_app, kept, "{:?}", scene.which);
        }
    }
    person
}

async fn strangers_get_401_or_what_is_public(scene: &Scene) {
    let stranger = scene.client();
    scene
        .out_of_reach(async || {
            let answer = stranger.fetch("/app/x").await;
            assert_eq!((answer.status, answer.header("location")), (401, None), "{:?}", scene.which);
            assert_eq!(answer.json()["error"], "not_signed_in", "{:?}", scene.which);
            let form = post(&stranger, "/app/form", &[], vec![b'x'; 100]).await;
            assert_eq!((form.status, form.header("location")), (401, None), "{:?}", scene.which);
            let asked = stranger.get("/oauth2/auth", &ELSEWHERE).await;
            assert!(asked.status >= 400, "{:?}: {}", scene.which, asked.status);
        })
        .await;
    let open = stranger.fetch("/public/x?y").await;
    assert_eq!(email_at_app(&open), None);
    assert_eq!(open.json()["target"], "/public/x?y");
    assert_eq!(header_at_app(&open, "x-auth-request-user"), None);
}

async fn who_it_is_cannot_be_forged(scene: &Scene, person: &Client) {
    let stranger = scene.client();
    for name in FORGED_NAMES {
        for path in ["/public/x", "/app/x"] {
            for (client, email) in [(&stranger, None), (person, Some(EMAIL))] {
                let which = scene.which;
                let answer = client.get(path, &[(name, FORGED)]).await;
                if answer.status == 200 {
                    assert!(!answer.text().contains(FORGED), "{which:?} {name} {path}: {}", answer.text());
                    assert_eq!(email_at_app(&answer).as_deref(), email, "{which:?} {name} {path}");
                } else {
                    assert!([400, 401, 403].contains(&answer.status), "{which:?} {name} {path}: {}", answer.status);
                }
            }
        }
    }
}

/// A client that calls our headers its connection's own (RFC 9110 §7.6.1), to have them taken off.
async fn a_program_passes_by_its_key_and_is_known_as_one(scene: &Scene, person: &Client) {
    let key = format!("Bearer {SERVICE_KEY}");
    let answer = scene.client().get("/programs/x", &[("authorization", &key)]).await;
    assert_eq!(answer.status, 200, "{:?}: {}", scene.which, answer.text());
    assert_eq!(header_at_app(&answer, "x-vestibule-bearer").as_deref(), Some("services"), "{:?}", scene.which);
    assert_eq!(header_at_app(&answer, "x-auth-request-user").as_deref(), Some("export"), "{:?}", scene.which);
    assert_eq!(header_at_app(&answer, "x-vestibule-session"), None, "{:?}", scene.which);
    for authorization in [&[][..], &[("authorization", "Bearer bad")]] {
        let answer = scene.out_of_reach(async || person.get("/programs/x", authorization).await).await;
        assert_eq!(answer.status, 401, "{:?}", scene.which);
    }
}

async fn who_it_is_cannot_be_taken_away(scene: &Scene, person: &Client) {
    let cookies = person.cookie_header("app.example").unwrap();
    for listed in ["X-Auth-Request-Email", "x-vestibule-session, x-auth-request-email", "Cookie, X-Forwarded-Uri"] {
        let mut raw = Raw::connect(scene.front.address).await;
        raw.send(format!(
            "GET /app/x HTTP/1.1\r\nHost: app.example\r\nAccept: application/json\r\nCookie: {cookies}\r\n\
             Connection: close, {listed}\r\n\r\n"
        ))
        .await;
        let answer = raw.answer().await;
        let named = format!(r#"["x-auth-request-email","{EMAIL}"]"#);
        let refused = [400, 401, 403].contains(&answer.status);
        assert!(refused || answer.text().contains(&named), "{:?} {listed}: {}", scene.which, answer.text());
    }
}

async fn another_request_cannot_be_judged(scene: &Scene) {
    let stranger = scene.client();
    scene
        .out_of_reach(async || {
            for header in ELSEWHERE {
                let answer = stranger.get("/app/x", &[header]).await;
                assert!([401, 403].contains(&answer.status), "{:?} {header:?}: {}", scene.which, answer.status);
            }
            for target in TRICKS {
                let mut raw = Raw::connect(scene.front.address).await;
                raw.send(format!("GET {target} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")).await;
                let answer = raw.answer().await;
                assert!(answer.status >= 400, "{:?} {target}: {}", scene.which, answer.head);
            }
        })
        .await;
}

async fn bodies_and_websockets_pass(scene: &Scene, person: &Client) {
    let which = scene.which;
    let sent = post(person, "/app/form?x", &[("content-type", "text/plain")], vec![b'x'; 300_000]).await;
    assert_eq!(email_at_app(&sent).as_deref(), Some(EMAIL), "{which:?}");
    let seen = sent.json();
    assert_eq!((seen["method"].as_str(), seen["body"].as_u64()), (Some("POST"), Some(300_000)), "{which:?}");

    let cookies = person.cookie_header("app.example");
    let mut raw = Raw::connect(scene.front.address).await;
    raw.send(format!(
        "PUT /app/form HTTP/1.1\r\nHost: app.example\r\nCookie: {}\r\nOrigin: {ORIGIN}\r\nExpect: 100-continue\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n",
        cookies.as_ref().unwrap()
    ))
    .await;
    let mut answer = raw.answer().await;
    while answer.status == 100 {
        answer = raw.answer().await;
    }
    assert_eq!(answer.status, 200, "{which:?}: {}", answer.head);
    assert_eq!(
        (answer.json()["method"].as_str(), answer.json()["body"].as_u64()),
        (Some("PUT"), Some(12)),
        "{which:?}"
    );

    let (mut socket, handshake) = socket_at(scene.front.address, "/ws", cookies.clone()).await;
    let is_email = |pair: &&Value| pair[0] == "x-auth-request-email";
    let emails: Vec<_> = handshake["headers"].as_array().unwrap().iter().filter(is_email).collect();
    assert_eq!(emails.iter().map(|pair| pair[1].as_str().unwrap()).collect::<Vec<_>>(), [EMAIL], "{which:?}");
    assert!(echoes(&mut socket).await, "{which:?}");

    for (origin, cookies) in [(ORIGIN, None), ("https://evil.example", cookies)] {
        let open = scene.site.echo.seen.borrow().open;
        let cookies = cookies.map(|cookies| format!("Cookie: {cookies}\r\n")).unwrap_or_default();
        let mut raw = Raw::connect(scene.front.address).await;
        raw.send(format!(
            "GET /ws HTTP/1.1\r\nHost: app.example\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{cookies}\r\n"
        ))
        .await;
        let answer = raw.head().await;
        assert!([401, 403].contains(&answer.status), "{which:?} {origin}: {}", answer.head);
        assert_eq!(scene.site.echo.seen.borrow().open, open, "{which:?} {origin}");
    }
}

async fn what_is_renewed_reaches_the_browser(scene: &Scene, person: &Client) {
    scene.site.clock.advance(std::time::Duration::from_secs(120));
    let answer = person.get("/status/200?set-cookie=own%3D1", &[]).await;
    let mut names: Vec<_> = answer.set_cookies().iter().map(|cookie| cookie.split('=').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!((answer.status, names), (200, vec!["__Host-vestibule", "own"]), "{:?}", scene.which);
    person.drop_cookie("own");
    assert_eq!(email_at_app(&person.fetch("/app/x").await).as_deref(), Some(EMAIL));
    // An answer of the app's own that looks like one of ours is not taken for it.
    let answer = person.navigate("/status/401").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "from the app"), "{:?}", scene.which);
}

async fn nothing_passes_while_vestibule_is_down(scene: &Scene, person: &Client) {
    // Nothing listens there any more.
    let gone = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let app = scene.site.echo.address;
    let front = if scene.grpc {
        FrontProxy::start_over_grpc(gone, gone, app).await
    } else {
        FrontProxy::start(scene.which, gone, app).await
    };
    let client = Client::new(front.address);
    let cookies = person.cookie_header("app.example").unwrap();
    scene
        .out_of_reach(async || {
            // All at once: some front proxies try a few times.
            let ask = async |path| (path, client.get(path, &[("cookie", &cookies)]).await.status);
            let asked = join_all(["/app/x", "/public/x", "/", "/oauth2/start"].map(ask)).await;
            for (path, status) in asked {
                let closed = status == 403 || (500..600).contains(&status);
                assert!(closed, "{:?} {path}: {status}", scene.which);
            }
        })
        .await;
}

async fn a_session_that_is_over_is_over_at_once(scene: &Scene, person: &Client) {
    let cookies = person.cookie_header("app.example").unwrap();
    assert_eq!(person.get("/app/x", &[("cookie", &cookies)]).await.status, 200);
    let out = post(person, "/oauth2/sign_out", &[], Vec::new()).await;
    assert!([200, 302, 303].contains(&out.status), "{:?}: {} {}", scene.which, out.status, out.text());
    assert_eq!(person.cookie("__Host-vestibule"), None);
    scene
        .out_of_reach(async || {
            assert_eq!(person.fetch("/app/x").await.status, 401, "{:?}", scene.which);
            // Not with the cookie that somebody kept either.
            let headers = [("cookie", cookies.as_str()), ("accept", "application/json")];
            assert_eq!(person.get("/app/x", &headers).await.status, 401, "{:?}", scene.which);
        })
        .await;
}

/// With the lines for credentials a route's own reaches the app, and nobody else sees it.
async fn credentials_go_to_the_app_alone(which: Counterpart) {
    let name = format!("{which:?}").to_lowercase();
    let written: Value = serde_yaml::from_str(&with_credentials(&shipped(&format!("{name}/vestibule.yaml")))).unwrap();
    assert_eq!(written["listeners"]["forward_auth"], "127.0.0.1:4182");
    let own = "{path: /v1/**, credentials: ours}, ";
    let more = "credentials: {ours: {kind: static, secret: {env: CLIENT_SECRET}}}\n";
    let site = site_with(&name, own, more).await;
    let front =
        FrontProxy::start_with_credentials(which, site.address, site.asked_at.unwrap(), site.echo.address).await;
    let bearer = format!("Bearer {CLIENT_SECRET}");
    let person = Client::new(front.address);
    let page = person.browse("/v1/models").await;
    assert_eq!((email_at_app(&page).as_deref(), page.status), (Some(EMAIL), 200), "{which:?}: {}", page.text());
    for sent in [&[][..], &[("authorization", "Bearer theirs")]] {
        let answer = person.get("/v1/models", sent).await;
        assert_eq!(header_at_app(&answer, "authorization").as_deref(), Some(&*bearer), "{which:?}");
        assert!(answer.headers.values().all(|value| !value.as_bytes().ends_with(CLIENT_SECRET.as_bytes())));
        // On other routes an app gets nothing of ours.
        for (path, client) in [("/app/x", &person), ("/public/x", &person), ("/public/x", &Client::new(front.address))]
        {
            let at_app = header_at_app(&client.get(path, sent).await, "authorization");
            assert_ne!(at_app.as_deref(), Some(&*bearer), "{which:?} {path}");
        }
        let stranger = Client::new(front.address).get("/v1/models", sent).await;
        assert_eq!(stranger.status, 401, "{which:?}");
        assert!(!format!("{:?}{}", stranger.headers, stranger.text()).contains(CLIENT_SECRET), "{which:?}");
        // What a browser asks itself is answered without.
        let asked = person.get("/oauth2/auth", sent).await;
        assert!(!format!("{:?}", asked.headers).contains(CLIENT_SECRET), "{which:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hands_on_a_credential_to_the_app_alone() {
    require!(Nginx, Caddy, Haproxy, Envoy);
    for which in [Counterpart::Nginx, Counterpart::Caddy, Counterpart::Haproxy, Counterpart::Envoy] {
        credentials_go_to_the_app_alone(which).await;
    }
}

/// The app is told whose licence it is, by Vestibule alone; whoever finds no seat sees Vestibule's own page,
/// which looks again by itself.
async fn seats_are_told_of(which: Counterpart, grpc: bool) {
    const LICENCE: &str = "2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e";
    let folder = format!("{which:?}{}", if grpc { "-grpc" } else { "" }).to_lowercase();
    let more = format!("licences: [{{id: {LICENCE}, seats: 1, covers: {{everyone: true}}}}]\n");
    let site = site_with(&folder, "{path: /help, seat: none}, ", &more).await;
    let scene = Scene::of(which, grpc, site).await;
    let holder = scene.client();
    let page = holder.browse("/app/x").await;
    assert_eq!(header_at_app(&page, "x-vestibule-licence").as_deref(), Some(LICENCE), "{which:?}");
    // Not where none is needed.
    assert_eq!(header_at_app(&holder.browse("/help").await, "x-vestibule-licence"), None, "{which:?}");
    for path in ["/help", "/public/x", "/app/x"] {
        let forged = holder.get(path, &[("x-vestibule-licence", FORGED)]).await;
        assert!(!forged.text().contains(FORGED), "{which:?} {path}: {}", forged.text());
    }

    scene.site.provider.sign_in_as(Agent::new("Malo", "Kergoat", "malo@test.proconnect.gouv.fr"));
    let other = scene.client();
    assert_eq!(other.browse("/help").await.status, 200, "{which:?}");
    let page = scene.out_of_reach(async || other.navigate("/app/x").await).await;
    assert_eq!(page.status, 403, "{which:?}: {}", page.text());
    assert!(page.text().contains("L’unique place est prise."), "{which:?}: {}", page.text());
    assert_eq!((page.header("refresh"), page.header("retry-after")), (Some("10"), Some("10")), "{which:?}");
    let told = scene.out_of_reach(async || post(&other, "/app/x", &[], vec![b'x'; 100_000]).await).await;
    assert_eq!((told.status, told.json()["error"].as_str()), (403, Some("seats_taken")), "{which:?}");
    // Who else is refused hears why as well.
    let unnamed = scene.out_of_reach(async || other.get("/app/x", &[("x-auth-request-email", FORGED)]).await).await;
    assert!([400, 403].contains(&unnamed.status) && !unnamed.text().contains(FORGED), "{which:?}: {}", unnamed.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tells_the_app_of_a_licence_and_people_why_they_have_no_seat() {
    require!(Nginx, Caddy, Haproxy, Envoy);
    for which in [Counterpart::Nginx, Counterpart::Caddy, Counterpart::Haproxy, Counterpart::Envoy] {
        seats_are_told_of(which, false).await;
    }
    seats_are_told_of(Counterpart::Envoy, true).await;
}

/// nginx asks once more why: by then the answer may be another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nginx_was_told_to_refuse_stays_refused_whatever_it_hears_then() {
    require!(Nginx);
    let credentials = "credentials: {ours: {kind: static, secret: {env: CLIENT_SECRET}}}\n";
    let site = site_with("nginx", "{path: /v1/**, credentials: ours}, ", credentials).await;
    let person = site.client();
    // There is no app behind Vestibule itself.
    assert_eq!(person.browse("/app/x").await.status, 404);
    let refuses = app_of(axum::Router::new().fallback(async || http::StatusCode::FORBIDDEN)).await;
    let asked_at = refuses.trim_start_matches("http://").parse().unwrap();
    let app = site.echo.address;
    let front = FrontProxy::start_with_credentials(Counterpart::Nginx, site.address, asked_at, app).await;
    let scene = Scene { which: Counterpart::Nginx, grpc: false, site, front };
    let cookies = person.cookie_header("app.example").unwrap();
    for path in ["/v1/models", "/public/x"] {
        let asks = async || scene.client().get(path, &[("cookie", &cookies), ("accept", "text/html")]).await;
        let answer = scene.out_of_reach(asks).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""), "{path}");
        assert!(!format!("{:?}", answer.headers).contains(CLIENT_SECRET), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_asks_and_does_as_it_is_told() {
    require!(Nginx);
    scenario(Counterpart::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_asks_and_does_as_it_is_told() {
    require!(Caddy);
    scenario(Counterpart::Caddy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_asks_and_does_as_it_is_told() {
    require!(Haproxy);
    scenario(Counterpart::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_asks_and_does_as_it_is_told() {
    require!(Envoy);
    scenario(Counterpart::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_asks_over_grpc_and_does_as_it_is_told() {
    require!(Envoy);
    let scene = Scene::start(Counterpart::Envoy, true).await;
    scenario_in(&scene).await;
    // Two lines of cookies are one for the app, without ours.
    let person = scene.client();
    person.browse("/app/x").await;
    let mut raw = Raw::connect(scene.front.address).await;
    raw.send(format!(
        "GET /app/x HTTP/1.1\r\nHost: app.example\r\nCookie: a=1\r\nCookie: {}; b=2\r\nCookie: c=\u{e9}\r\n\
         Accept: application/json\r\nX-Forwarded.For: 192.0.2.1\r\nConnection: close\r\n\r\n",
        person.cookie_header("app.example").unwrap()
    ))
    .await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    let seen = answer.json();
    let cookies: Vec<_> = seen["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == "cookie").collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let pairs: Vec<_> = cookies[0][1].as_str().unwrap().split(';').map(str::trim).collect();
    assert_eq!(pairs[..2], ["a=1", "b=2"]);
    assert!(pairs.len() == 3 && pairs[2].starts_with("c="), "{pairs:?}");
    for absent in ["x-forwarded.for", "gap-auth", "cache-control"] {
        assert!(!answer.text().contains(&format!("\"{absent}\"")), "{absent}: {}", answer.text());
    }
}

/// What a route's `credentials` give takes the place of the client's own at the app, and is in
/// nothing that a browser gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_hands_a_credential_on_over_grpc_and_shows_it_to_nobody() {
    require!(Envoy);
    let site = Site::with(Setup {
        routes: "[{path: /v1/**, credentials: ours}, {path: /**}]".to_owned(),
        more: "trusted_proxies: [127.0.0.1]\nforward_auth: {not_signed_in: sign-in}\n\
               credentials: {ours: {kind: static, secret: {env: CLIENT_SECRET}, header: x-gateway-key}}\n"
            .to_owned(),
        ..Setup::default()
    })
    .await;
    let scene = Scene::of(Counterpart::Envoy, true, site).await;
    let person = scene.client();
    let page = person.browse("/app/x").await;
    assert_eq!(header_at_app(&page, "x-gateway-key"), None);
    for own in [&[][..], &[("x-gateway-key", "theirs")], &[("X.Gateway-Key", "theirs")]] {
        let answer = person.get("/v1/models", own).await;
        assert_eq!(header_at_app(&answer, "x-gateway-key").as_deref(), Some(CLIENT_SECRET), "{}", answer.text());
        assert!(!answer.text().contains("theirs"), "{}", answer.text());
        let shown = answer
            .headers
            .iter()
            .any(|(name, value)| name.as_str() == "x-gateway-key" || value.as_bytes() == CLIENT_SECRET.as_bytes());
        assert!(!shown, "{:?}", answer.headers);
    }
    let stranger = scene.out_of_reach(async || scene.client().fetch("/v1/models").await).await;
    assert_eq!(stranger.status, 401);
}

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(&shipped(path)).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// The headers that a session has by the shipped configuration, its name, and that of its licence.
const IDENTITY: [&str; 7] = [
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Groups",
    "X-Vestibule-Session",
    "X-Vestibule-Licence",
    "X-Vestibule-Bearer",
];

#[test]
fn ingress_nginx_is_told_where_to_ask_and_what_to_hand_on() {
    let documents = documents("ingress-nginx/ingress.yaml");
    let [app, own] = &documents[..] else { panic!("{} documents", documents.len()) };
    let annotation = |of: &Value, name: &str| {
        of["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/{name}")].as_str().map(str::to_owned)
    };
    let url = url::Url::parse(&annotation(app, "auth-url").unwrap()).unwrap();
    assert_eq!((url.path(), url.port()), ("/oauth2/auth", Some(4180)));
    let sign_in = annotation(app, "auth-signin").unwrap();
    assert_eq!(sign_in, "https://$host/oauth2/start?rd=$escaped_request_uri");
    assert_eq!(annotation(app, "auth-response-headers").unwrap().split(',').collect::<Vec<_>>(), IDENTITY);
    let path = |of: &Value| of["spec"]["rules"][0]["http"]["paths"][0]["path"].clone();
    assert_eq!((path(app), path(own)), ("/".into(), "/oauth2/".into()));
    // Nobody is asked about the pages that one signs in by.
    assert_eq!(annotation(own, "auth-url"), None);
    assert_eq!(app["spec"]["rules"][0]["host"], own["spec"]["rules"][0]["host"]);
}

#[test]
fn traefik_is_told_where_to_ask_and_what_to_hand_on() {
    let documents = documents("traefik/dynamic.yaml");
    let http = &documents[0]["http"];
    let question = &http["middlewares"]["vestibule"]["forwardAuth"];
    assert_eq!(question["address"], "http://127.0.0.1:4180/oauth2/auth");
    assert_eq!(question["trustForwardHeader"], false);
    assert_eq!(question["authResponseHeaders"], serde_json::json!(IDENTITY));
    assert_eq!(question["addAuthCookiesToResponse"], serde_json::json!(["__Host-vestibule"]));
    let routers = &http["routers"];
    assert_eq!(routers["app"]["middlewares"].as_array().unwrap().last().unwrap(), "vestibule");
    assert!(routers["vestibule"]["rule"].as_str().unwrap().ends_with("PathPrefix(`/oauth2/`)"));
    assert!(routers["vestibule"].get("middlewares").is_none());
    for (name, router) in routers.as_object().unwrap() {
        let service = router["service"].as_str().unwrap();
        assert!(http["services"].get(service).is_some(), "{name}");
        for middleware in router["middlewares"].as_array().into_iter().flatten() {
            assert!(http["middlewares"].get(middleware.as_str().unwrap()).is_some(), "{name}");
        }
    }
}

#[test]
fn istio_is_told_where_to_ask_and_what_to_hand_on() {
    let documents = documents("istio/mesh.yaml");
    let [mesh, policy, filter] = &documents[..] else { panic!("{} documents", documents.len()) };
    let provider = &mesh["spec"]["meshConfig"]["extensionProviders"][0];
    let question = &provider["envoyExtAuthzHttp"];
    assert_eq!(question["pathPrefix"], "/oauth2/auth");
    assert_eq!(question["failOpen"], false);
    let list = |name: &str| -> Vec<String> { serde_json::from_value(question[name].clone()).unwrap() };
    let has = |name: &str, header: &str| {
        let header = header.to_lowercase();
        list(name).iter().any(|held| held.strip_suffix('*').map_or(*held == header, |start| header.starts_with(start)))
    };
    for header in IDENTITY {
        // Vestibule sees what is forged, and the app what is not.
        assert!(has("includeRequestHeadersInCheck", header), "{header}");
        assert!(has("headersToUpstreamOnAllow", header), "{header}");
    }
    for header in
        ["cookie", "accept", "origin", "sec-fetch-mode", "sec-websocket-key", "x-forwarded-proto", "remote-user"]
    {
        assert!(has("includeRequestHeadersInCheck", header), "{header}");
    }
    for header in ["set-cookie", "location", "content-type", "refresh", "retry-after"] {
        assert!(has("headersToDownstreamOnDeny", header), "{header}");
    }
    assert!(has("headersToDownstreamOnAllow", "set-cookie"));
    // Istio takes prefixes here, and no bare asterisk.
    assert!(list("includeRequestHeadersInCheck").iter().all(|held| held != "*"));
    assert_eq!((&policy["spec"]["action"], &policy["spec"]["provider"]["name"]), (&"CUSTOM".into(), &provider["name"]));
    let asked = &policy["spec"]["rules"][0]["to"][0]["operation"];
    assert_eq!(asked["notPaths"], serde_json::json!(["/oauth2/*"]));
    let options = &filter["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["common_http_protocol_options"];
    assert_eq!(options["headers_with_underscores_action"], "REJECT_REQUEST");
}
