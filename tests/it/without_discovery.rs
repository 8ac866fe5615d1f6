//! An enterprise's single sign-on, the real one: a realm in its path, nothing at `/.well-known`, and
//! a client without a secret. Vestibule is told its endpoints by hand.
//!
//! The attacks are those that discovery would have made harder: an issuer that is another realm's,
//! keys from elsewhere, endpoints that lead on.

use super::support::client::{Answer, Client};
use super::support::counterparts::{OidcProvider, require};
use super::support::echo::Echo;
use super::support::log_watch;
use super::support::process::{configuration, run};
use super::support::shown::{assert_error, email_at_app, parameter};
use super::support::site::{ORIGIN, SESSION_KEY};
use super::support::waiting::until;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use vestibule::app::App;
use vestibule::clock::{Clock, ManualClock};
use vestibule::config::{self, Environment, Unreadable};
use vestibule::pages::{ErrorKind, Language};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

const EMAIL: &str = "agent@exemple.gouv.fr";
const SESSION: &str = "__Host-vestibule";

/// The provider as it is described to Vestibule; what a test says otherwise is in `endpoints`.
struct Described<'a> {
    issuer: String,
    endpoints: Vec<(&'a str, String)>,
}

impl<'a> Described<'a> {
    fn truly(sso: &OidcProvider) -> Self {
        let at = |path: &str| format!("{}{path}", sso.issuer);
        let endpoints = vec![
            ("authorization", at("/authorize")),
            ("token", at("/token")),
            ("jwks_uri", at("/jwks")),
            ("userinfo", at("/userinfo")),
            ("end_session", at("/session/end")),
            ("revocation", at("/token/revocation")),
            ("callback_iss", "true".to_owned()),
        ];
        Self { issuer: sso.issuer.clone(), endpoints }
    }

    fn but(mut self, key: &'a str, value: &str) -> Self {
        self.endpoints.retain(|(held, _)| *held != key);
        self.endpoints.push((key, value.to_owned()));
        self
    }

    fn yaml(&self) -> String {
        let mut yaml = format!(
            "providers:\n  sso:\n    issuer: {}\n    client_id: vestibule-public\n    client_authentication: none\n    \
             scopes: [openid, email, roles]\n    id_token_algorithms: [ES256]\n    timeout: 3m\n    endpoints:\n",
            self.issuer
        );
        for (key, value) in &self.endpoints {
            let _ = writeln!(yaml, "      {key}: {value}");
        }
        yaml
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

/// Vestibule in front of an app, by a clock that starts now: the provider's is the one on the wall.
struct Sidecar {
    address: SocketAddr,
    admin: SocketAddr,
    clock: ManualClock,
    _echo: Echo,
    _stop: oneshot::Sender<()>,
}

impl Sidecar {
    async fn start(described: &Described<'_>) -> Self {
        log_watch::begin();
        let echo = Echo::start().await;
        let yaml = format!(
            "public_url: {ORIGIN}\nlisteners: {{proxy: \"127.0.0.1:0\", admin: \"127.0.0.2:0\"}}\n{}\
             session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             upstreams: {{app: {{url: \"http://{}\"}}}}\nroutes: [{{path: /**, upstream: app}}]\n",
            described.yaml(),
            echo.address
        );
        let config =
            config::from_text("test.yaml", &yaml, &SessionKey).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
        let clock = ManualClock::starting_at(Clock::System.now());
        let app = App::build(config, Clock::Manual(clock.clone()), Arc::new(SystemRandom::new())).unwrap();
        let address = app.listeners().proxy.tcp_address().unwrap();
        let admin = app.listeners().admin.tcp_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { address, admin, clock, _echo: echo, _stop: stop }
    }

    /// A person signs in; where they end up.
    async fn sign_in(&self) -> (Client, Answer) {
        let client = Client::new(self.address);
        let page = client.browse(&format!("/oauth2/start?rd=/here&login_hint={EMAIL}")).await;
        (client, page)
    }

    /// A person is at the provider's answer: its address, which nobody has followed.
    async fn callback(&self) -> (Client, String) {
        let client = Client::new(self.address);
        let mut answer = client.navigate(&format!("/oauth2/start?rd=/here&login_hint={EMAIL}")).await;
        loop {
            let next = url::Url::parse(&answer.url).unwrap().join(answer.location()).unwrap();
            if next.as_str().starts_with(&format!("{ORIGIN}/oauth2/callback")) {
                return (client, next.into());
            }
            answer = client.navigate(next.as_str()).await;
        }
    }
}

async fn sso() -> OidcProvider {
    OidcProvider::start(json!({
        "realm": "/realms/agents",
        "public_client": true,
        "redirect_uris": [format!("{ORIGIN}/oauth2/callback")],
        "post_logout_redirect_uris": [format!("{ORIGIN}/oauth2/signed_out")],
        "access_token_ttl": 120,
        "rotate_always": true,
    }))
    .await
}

async fn counters(sso: &OidcProvider, client: &Client) -> Value {
    let control = url::Url::parse(&sso.issuer).unwrap().join("/control/counters").unwrap();
    client.get(control.as_str(), &[]).await.json()
}

fn without(callback: &str, name: &str) -> String {
    let mut url = url::Url::parse(callback).unwrap();
    let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(held, _)| held != name).collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    url.into()
}

/// What answers everything in the same way, on an origin of its own, and counts who asks.
async fn elsewhere(answer: Arc<Mutex<axum::response::Response<String>>>) -> (String, Arc<Mutex<usize>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let routes = axum::Router::new().fallback(async move || {
        *counted.lock().unwrap() += 1;
        answer.lock().unwrap().clone().into_response()
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (origin, asked)
}

fn key_set(text: &str) -> axum::response::Response<String> {
    axum::response::Response::builder().header("content-type", "application/json").body(text.to_owned()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_client_signs_in_is_renewed_and_signs_out() {
    require!(OidcProvider);
    let sso = sso().await;
    let sidecar = Sidecar::start(&Described::truly(&sso)).await;
    let (client, page) = sidecar.sign_in().await;
    assert_eq!((page.status, email_at_app(&page).as_deref()), (200, Some(EMAIL)), "{}", page.text());
    let ready = client.get(&format!("http://{}/readyz", sidecar.admin), &[]).await;
    assert_eq!(ready.status, 200, "{}", ready.text());

    // Its access token ends after two minutes.
    sidecar.clock.advance(Duration::from_secs(115));
    let page = client.browse("/again").await;
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL), "{}", page.text());
    until("it is renewed", async || counters(&sso, &client).await["refreshed"] == 1).await;

    let out = client.submit("/oauth2/sign_out", "").await;
    assert!(out.location().starts_with(&format!("{}/session/end?id_token_hint=", sso.issuer)), "{}", out.location());
    let form = client.navigate(out.location()).await.text();
    let secret = form.split("name=\"xsrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let body = format!("xsrf={secret}&logout=yes").into_bytes();
    let confirm = format!("{}/session/end/confirm", sso.issuer);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let page = client.follow(client.send(http::Method::POST, &confirm, &headers, body).await).await;
    assert!(page.url.starts_with(&format!("{ORIGIN}/oauth2/signed_out")), "{} {}", page.url, page.text());
    assert_eq!(client.cookie(SESSION), None);
    until("its tokens are given back", async || counters(&sso, &client).await["revocation"] == 1).await;

    let counters = counters(&sso, &client).await;
    assert_eq!((&counters["discovery"], &counters["refresh_reuse"]), (&json!(0), &json!(0)), "{counters}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_another_realm_with_the_same_keys_sign_nobody_in() {
    require!(OidcProvider);
    let sso = sso().await;
    let other_realm = |callback_iss: &str| Described {
        issuer: sso.issuer.replace("/realms/agents", "/realms/partners"),
        ..Described::truly(&sso).but("callback_iss", callback_iss)
    };
    // The callback already says whose it is: the code is not redeemed.
    let sidecar = Sidecar::start(&other_realm("true")).await;
    let (client, page) = sidecar.sign_in().await;
    let reason = assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
    assert!(reason.contains("iss"), "{reason}");
    assert_eq!((client.cookie(SESSION), &counters(&sso, &client).await["token"]), (None, &json!(0)));

    // Without that the ID token says it, under a signature that verifies.
    let sidecar = Sidecar::start(&other_realm("false")).await;
    let (client, callback) = sidecar.callback().await;
    let page = client.browse(&without(&callback, "iss")).await;
    let reason = assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
    assert!(reason.contains("iss"), "{reason}");
    assert_eq!((client.cookie(SESSION), &counters(&sso, &client).await["token"]), (None, &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_without_iss_is_refused_where_the_provider_is_said_to_send_it() {
    require!(OidcProvider);
    let sso = sso().await;
    for (callback_iss, redeemed) in [("true", 0), ("false", 1)] {
        let sidecar = Sidecar::start(&Described::truly(&sso).but("callback_iss", callback_iss)).await;
        let (client, callback) = sidecar.callback().await;
        assert_eq!(parameter(&callback, "iss").as_deref(), Some(sso.issuer.as_str()));
        let page = client.browse(&without(&callback, "iss")).await;
        assert_eq!(client.cookie(SESSION).is_some(), redeemed == 1, "{}", page.text());
        assert_eq!(counters(&sso, &client).await["token"], redeemed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_among_those_published_counts_as_soon_as_it_is() {
    require!(OidcProvider);
    let sso = sso().await;
    let published = Client::new("127.0.0.1:9".parse().unwrap()).get(&format!("{}/jwks", sso.issuer), &[]).await.text();
    let other_names = published.replace("\"kid\":\"", "\"kid\":\"former-");
    let answer = Arc::new(Mutex::new(key_set(&other_names)));
    let (origin, asked) = elsewhere(Arc::clone(&answer)).await;
    let sidecar = Sidecar::start(&Described::truly(&sso).but("jwks_uri", &format!("{origin}/keys"))).await;
    for _ in 0..3 {
        let (client, page) = sidecar.sign_in().await;
        let reason = assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
        assert!(reason.contains("key"), "{reason}");
        assert_eq!(client.cookie(SESSION), None);
    }
    assert_eq!(
        *asked.lock().unwrap(),
        2,
        "once at the start, once for the unknown name, and not again within a minute"
    );
    *answer.lock().unwrap() = key_set(&published);
    sidecar.clock.advance(Duration::from_secs(61));
    let (_, page) = sidecar.sign_in().await;
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL), "{}", page.text());
    assert_eq!(*asked.lock().unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_leads_elsewhere_is_not_followed() {
    require!(OidcProvider);
    let sso = sso().await;
    for (key, path) in [("token", "/token"), ("jwks_uri", "/jwks"), ("userinfo", "/userinfo")] {
        let leads = axum::response::Response::builder().status(307).header("location", format!("{}{path}", sso.issuer));
        let (origin, asked) = elsewhere(Arc::new(Mutex::new(leads.body(String::new()).unwrap()))).await;
        let sidecar = Sidecar::start(&Described::truly(&sso).but(key, &format!("{origin}{path}"))).await;
        let client = Client::new(sidecar.address);
        let before = counters(&sso, &client).await["token"].clone();
        let page = client.browse(&format!("/oauth2/start?rd=/here&login_hint={EMAIL}")).await;
        assert!(page.status >= 400 && client.cookie(SESSION).is_none(), "{key}: {} {}", page.status, page.text());
        assert!(*asked.lock().unwrap() > 0, "{key}");
        if key != "userinfo" {
            assert_eq!(counters(&sso, &client).await["token"], before, "{key}: the code went nowhere else");
        }
    }
}

#[tokio::test]
async fn check_says_what_it_reached_and_what_to_write_where_there_is_no_discovery() {
    require!(OidcProvider);
    let sso = sso().await;
    let folder = tempfile::tempdir().unwrap();
    let checked = |providers: &str| {
        let usual = configuration("\"127.0.0.1:0\"", "http://127.0.0.1:9", "");
        let (before, after) = usual.split_once("providers:").unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        std::fs::write(folder.path().join("v.yaml"), format!("{before}{providers}{after}")).unwrap();
        let output = run(folder.path(), &["check", "--config", "v.yaml", "--online"]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (issuer, described) = (&sso.issuer, Described::truly(&sso));
    let (good, out, _) = checked(&described.yaml());
    assert!(good && out.contains(&format!("{issuer}: {issuer}/jwks answers with keys; the other endpoints")), "{out}");
    assert!(out.contains("client_authentication: anybody can ask for tokens in this client's name"), "{out}");

    let (good, _, err) = checked(described.yaml().split("    endpoints:").next().unwrap());
    let said = "discovery document was answered with status 404; for a provider without discovery, write providers.sso.endpoints";
    assert!(!good && err.contains(said), "{err}");

    let (good, _, err) = checked(&described.yaml().replace("[ES256]", "[EdDSA]"));
    assert!(!good && err.contains("has no key for ID tokens signed with EdDSA at"), "{err}");
}
