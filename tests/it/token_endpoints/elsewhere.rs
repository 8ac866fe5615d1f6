//! The same token where the app is not below us: pages of another origin, front proxies that ask,
//! routes that take other tokens too, and a provider that is none of our own making.

use super::super::support::counterparts::{OidcProvider, require};
use super::super::support::echo::Echo;
use super::super::support::grpc::{Asker, about, line, raw};
use super::super::support::log_watch;
use super::super::support::site::SESSION_KEY;
use super::*;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use vestibule::app::App;
use vestibule::clock::{Clock, ManualClock};
use vestibule::config::{self, Environment, Unreadable};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

const FRONT: &str = "https://front.example.net";

/// What a script of a page of `origin` sends along.
fn script_of(origin: &str) -> [(&str, &str); 4] {
    [
        ("origin", origin),
        ("sec-fetch-site", if origin == ORIGIN { "same-origin" } else { "cross-site" }),
        ("sec-fetch-mode", "cors"),
        ("accept", "application/json"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_end_on_a_listed_origin_has_its_callback_there_and_reads_every_answer() {
    let site = Site::with(Setup {
        more: format!(
            "token_endpoints: {{authorize: /api/authorize, token: /api/token, refresh: /api/refresh, \
             callback: \"{FRONT}/auth/callback\"}}\ncors: {{origins: [\"{FRONT}\"]}}\ncookies: {{same_site: none}}\n"
        ),
        register: |client| client.redirect_uris = vec![format!("{FRONT}/auth/callback")],
        ..Setup::default()
    })
    .await;
    let page = site.client();
    let script = script_of(FRONT);
    let send = async |path: &str, body: &Value| {
        let headers = [&script[..], &[("content-type", "application/json")]].concat();
        page.send(Method::POST, path, &headers, body.to_string().into_bytes()).await
    };
    let readable = |answer: &Answer| answer.header("access-control-allow-origin") == Some(FRONT);
    let answer = until_well(async || page.get("/api/authorize", &script).await).await;
    assert!(readable(&answer));
    // It has to come along when a script of that page hands the code over.
    let cookies = answer.set_cookies();
    assert!(cookies.iter().any(|cookie| cookie.starts_with(LOGIN) && cookie.contains("SameSite=None")), "{cookies:?}");
    let url = answer.json()["authorize_url"].as_str().unwrap().to_owned();
    let (code, state) = back(&page, &url, &format!("{FRONT}/auth/callback")).await;
    let answer = send("/api/token", &json!({"code": code, "state": state})).await;
    assert!(readable(&answer));
    let held = Held::of(&answer);
    let chat = page.get("/api/chat", &[&script[..], &[("authorization", &held.bearer())]].concat()).await;
    assert!(readable(&chat) && email_at_app(&chat).as_deref() == Some(EMAIL));
    let answer = send("/api/refresh", &json!({"state": held.state})).await;
    assert!(readable(&answer));
    Held::of(&answer);
    for answer in [
        send("/api/token", &json!({"code": code, "state": state})).await,
        send("/api/refresh", &json!({"state": "x"})).await,
        page.get("/api/chat", &[&script[..], &[("authorization", "Bearer vat_x")]].concat()).await,
    ] {
        assert!(answer.status >= 400 && readable(&answer), "{}", answer.status);
    }
    // Its preflight names the header.
    let asks = [
        ("origin", FRONT),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let preflight = page.send(Method::OPTIONS, "/api/chat", &asks, Vec::new()).await;
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization"));
}

async fn asked_by(from: &str) -> Site {
    Site::with(Setup {
        routes:
            "[{path: /auth/callback, access: public}, {path: /kept/**, client_authorization: keep}, {path: /app/**}]"
                .to_owned(),
        more: format!(
            "trusted_proxies: [127.0.0.1]\nforward_auth: {{from: {from}}}\ntoken_endpoints: {{{ENDPOINTS}}}\n"
        ),
        register: |client| client.redirect_uris = vec![format!("{ORIGIN}{CALLBACK}")],
        ..Setup::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn front_proxies_that_ask_get_the_same_answer_by_a_token() {
    for from in ["nginx", "traefik", "envoy"] {
        let site = asked_by(from).await;
        let page = site.client();
        let held = signed_in(&page).await;
        let bare = site.client();
        let ask = async |client: &Client, method: &str, path: &str, bearer: &str| {
            let url = format!("{ORIGIN}{path}");
            let own = [("authorization", bearer), ("accept", "application/json")];
            let (asked, target, told) = match from {
                "nginx" => (
                    Method::GET,
                    "/oauth2/auth".to_owned(),
                    vec![("x-original-url", &*url), ("x-original-method", method)],
                ),
                "envoy" => (
                    method.parse().unwrap(),
                    format!("/oauth2/auth{path}"),
                    vec![("host", "app.example"), ("x-forwarded-proto", "https")],
                ),
                _ => (
                    Method::GET,
                    "/oauth2/auth".to_owned(),
                    vec![
                        ("x-forwarded-method", method),
                        ("x-forwarded-proto", "https"),
                        ("x-forwarded-host", "app.example"),
                        ("x-forwarded-uri", path),
                    ],
                ),
            };
            client.send(asked, &target, &[told, own.to_vec()].concat(), Vec::new()).await
        };
        let granted = if from == "envoy" { 200 } else { 202 };
        for (method, path) in [("GET", "/app/x"), ("POST", "/app/x"), ("DELETE", "/kept/x")] {
            let answer = ask(&bare, method, path, &held.bearer()).await;
            assert_eq!(answer.status, granted, "{from} {method} {path}: {}", answer.text());
            assert_eq!(answer.header("x-auth-request-email"), Some(EMAIL));
            assert!(answer.set_cookies().is_empty());
            let removed = answer.header("x-envoy-auth-headers-to-remove").unwrap_or_default();
            let takes = removed.split(',').any(|name| name == "authorization");
            assert_eq!(takes, from == "envoy" && path.starts_with("/app"), "{from} {path}");
        }
        for client in [&bare, &page] {
            not_counted(&ask(client, "GET", "/app/x", "Bearer vat_AAAA").await);
        }
        post(&page, "/oauth2/logout", &json!({}), &[]).await;
        not_counted(&ask(&bare, "GET", "/app/x", &held.bearer()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_that_asks_in_messages_gets_it_too() {
    let site = asked_by("envoy").await;
    let page = site.client();
    let held = signed_in(&page).await;
    let asker = Asker::connect(site.grpc.unwrap()).await;
    let asks = |path: &str, bearer: &str| {
        let pseudo = [(":method", "POST"), (":path", path), (":authority", "app.example"), (":scheme", "https")];
        about(&[line("POST", "app.example", path), raw(&[&pseudo[..], &[("authorization", bearer)]].concat())])
    };
    for (path, takes) in [("/app/x", true), ("/kept/x", false)] {
        let answer = asker.check(&asks(path, &held.bearer())).await;
        assert!(answer.is_ok, "{answer:?}");
        assert!(answer.headers.iter().any(|(name, value, _)| name == "x-auth-request-email" && value == EMAIL));
        assert_eq!(answer.removed.iter().any(|name| name == "authorization"), takes, "{path}");
        assert!(answer.added.is_empty());
    }
    let answer = asker.check(&asks("/app/x", "Bearer vat_AAAA")).await;
    assert_eq!((answer.code, answer.status), (16, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_tokens_of_api_clients_it_is_a_session_and_none_of_theirs() {
    let site = Site::with(Setup {
        routes: "[{path: /auth/callback, access: public, upstream: app}, {path: /both/**, upstream: app, bearer: services}, \
                 {path: /programs/**, upstream: app, access: bearer, bearer: services}, {path: /**, upstream: app}]"
            .to_owned(),
        ..setup(
            "",
            "",
            &format!("bearer: {{services: {{kind: keys, keys: [{{name: export, sha256: \"{}\"}}]}}}}\n", "ab".repeat(32)),
        )
    })
    .await;
    let page = site.client();
    let held = signed_in(&page).await;
    let bare = site.client();
    let both = get(&bare, "/both/x", &held.bearer()).await;
    assert_eq!(email_at_app(&both).as_deref(), Some(EMAIL));
    assert_eq!(header_at_app(&both, "authorization"), None);
    assert!(header_at_app(&both, "x-vestibule-bearer").is_none());
    for client in [&bare, &page] {
        not_counted(&get(client, "/both/x", "Bearer vat_AAAA").await);
        refused(&get(client, "/both/x", "Bearer vsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await, 401, "invalid_token");
        refused(&get(client, "/programs/x", &held.bearer()).await, 401, "invalid_token");
    }
}

/// The one secret there is.
struct SessionKey;

impl Environment for SessionKey {
    fn variable(&self, name: &str) -> Result<SecretString, Unreadable> {
        if name == "SESSION_KEY" { Ok(SESSION_KEY.into()) } else { Err(Unreadable::Absent) }
    }

    fn file(&self, _: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Unreadable> {
        Err(Unreadable::Absent)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_provider_returns_to_the_app_s_route_and_takes_the_code_for_it() {
    require!(OidcProvider);
    let sso = OidcProvider::start(json!({
        "public_client": true,
        "redirect_uris": [format!("{ORIGIN}{CALLBACK}")],
        "post_logout_redirect_uris": [format!("{ORIGIN}/oauth2/signed_out")],
        "access_token_ttl": 120,
        "rotate_always": true,
    }))
    .await;
    log_watch::begin();
    let echo = Echo::start().await;
    let yaml = format!(
        "public_url: {ORIGIN}\nlisteners: {{proxy: \"127.0.0.1:0\", admin: \"127.0.0.2:0\"}}\n\
         providers:\n  sso:\n    issuer: {}\n    client_id: vestibule-public\n    client_authentication: none\n    \
         scopes: [openid, email, roles]\n    id_token_algorithms: [ES256]\n    timeout: 3m\n\
         session: {{{KEYS}}}\ntoken_endpoints: {{{ENDPOINTS}}}\nupstreams: {{app: {{url: \"http://{}\"}}}}\n\
         routes: [{{path: /auth/callback, access: public, upstream: app}}, {{path: /**, upstream: app}}]\n",
        sso.issuer, echo.address
    );
    let config = config::from_text("test.yaml", &yaml, &SessionKey).unwrap_or_else(|problems| panic!("{problems}"));
    let clock = ManualClock::starting_at(Clock::System.now());
    let app = App::build(config, Clock::Manual(clock.clone()), Arc::new(SystemRandom::new())).unwrap();
    let address = app.listeners().proxy.tcp_address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(app.run(async {
        let _ = stopped.await;
    }));
    let (page, bare) = (Client::new(address), Client::new(address));
    let email = "agent@exemple.gouv.fr";
    let path = format!("/api/authorize?login_hint={email}");
    let answer = until_well(async || page.get(&path, &SCRIPT[1..]).await).await;
    let (url, state) = (answer.json()["authorize_url"].clone(), answer.json()["state"].clone());
    let (code, _) = back(&page, url.as_str().unwrap(), &format!("{ORIGIN}{CALLBACK}")).await;
    let held = Held::of(&post(&page, "/api/token", &json!({"code": code, "state": state}), &[]).await);
    assert!(held.expires_in <= 120, "{held:?}");
    assert_eq!(email_at_app(&get(&bare, "/chat", &held.bearer()).await).as_deref(), Some(email));
    // Its access token ends after two minutes, and ours with it.
    clock.advance(Duration::from_secs(115));
    let next = Held::of(&refresh(&page, &held).await);
    assert_eq!(email_at_app(&get(&bare, "/chat", &next.bearer()).await).as_deref(), Some(email));
    let control = url::Url::parse(&sso.issuer).unwrap().join("/control/counters").unwrap();
    let counters = bare.get(control.as_str(), &[]).await.json();
    assert_eq!((&counters["refreshed"], &counters["refresh_reuse"]), (&json!(1), &json!(0)), "{counters}");
    assert_eq!(post(&page, "/api/logout", &json!({"state": next.state}), &[]).await.status, 200);
    not_counted(&get(&bare, "/chat", &next.bearer()).await);
    drop(stop);
}
