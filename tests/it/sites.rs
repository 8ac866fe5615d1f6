//! Several sites in one instance: what belongs to each, that nothing of one counts at another, and
//! whose a request is.

use super::support::client::{Answer, Client, NAVIGATION};
use super::support::counterparts::require;
use super::support::echo::Echo;
use super::support::grpc::{Asker, about, line, raw};
use super::support::log_watch::{self, access_line_with};
use super::support::process::{provider_for_programs, run};
use super::support::raw::Raw;
use super::support::redis::Redis;
use super::support::shown::{LOGIN, SESSION, email_at_app, header_at_app, parameter};
use super::support::site::{
    ADMIN_TOKEN, CLIENT_SECRET, NEXT_SESSION_KEY, ORIGIN, SESSION_KEY, START, Secrets, agent, registration,
};
use super::support::socket::{close_of, echoes, socket_at};
use super::support::waiting::{promptly, until, until_well};
use http::Method;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use vestibule::app::App;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::config;
use vestibule::demo::Provider;
use vestibule::demo::provider::{Agent, Client as Registration, ProviderSettings};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;
use vestibule::server::{ListenAddress, Listener, Listeners, Settings};

pub(super) const BACK: &str = "https://back.example";
const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const OTHER: &str = "jean.autre@test.proconnect.gouv.fr";

/// Two sites in one instance: `app` at `https://app.example` and `back` at `https://back.example`.
pub(super) struct Several {
    address: SocketAddr,
    admin: SocketAddr,
    asked_at: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
    /// Of `app`, and of both where they share it.
    pub(super) provider: Provider,
    pub(super) other_provider: Provider,
    clock: ManualClock,
    reread_keys: Arc<Notify>,
    echoes: [Echo; 2],
    _stop: oneshot::Sender<()>,
}

/// How they are set up.
#[derive(Default)]
pub(super) struct Setup {
    /// Further top-level keys.
    pub(super) more: String,
    /// Further providers of `back`, each with a comma in front.
    pub(super) further: String,
    /// Whether `back` has the provider of `app`, under the same name and the same client.
    pub(super) shared: bool,
    /// The provider that both share, where it is that of another instance.
    pub(super) issuer: Option<String>,
}

fn provider(random: &Arc<SystemRandom>, clock: &ManualClock, listener: TcpListener) -> Provider {
    let mut at_both = registration();
    at_both.redirect_uris.push(format!("{BACK}/oauth2/callback"));
    at_both.post_logout_redirect_uris.push(format!("{BACK}/oauth2/signed_out"));
    let secret = SecretString::from(CLIENT_SECRET);
    let mut back =
        Registration::new("back", secret, &format!("{BACK}/oauth2/callback"), &format!("{BACK}/oauth2/signed_out"));
    back.redirect_uris.push(format!("{BACK}/oauth2/callback/proconnect"));
    let settings = ProviderSettings { clients: vec![at_both, back], ..ProviderSettings::default() };
    Provider::start(listener, settings, Clock::Manual(clock.clone()), random.clone()).unwrap()
}

impl Several {
    async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(super) async fn with(setup: Setup) -> Self {
        log_watch::begin();
        let random = Arc::new(SystemRandom::new());
        let clock = ManualClock::starting_at(Timestamp::from_unix(START));
        let free = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = provider(&random, &clock, free().await);
        let two = provider(&random, &clock, free().await);
        one.sign_in_as(agent());
        two.sign_in_as(Agent::new("Jean", "Autre", OTHER));
        let echoes = [Echo::start().await, Echo::start().await];
        let issuer = setup.issuer.unwrap_or_else(|| one.issuer().to_owned());
        let of_back = if setup.shared {
            String::new()
        } else {
            format!("providers: {{proconnect: {{issuer: \"{}\", client_id: back}}{}}}, ", two.issuer(), setup.further)
        };
        let asks = setup.more.contains("forward_auth:");
        let yaml = format!(
            "listeners: {{proxy: \"127.0.0.1:4180\", admin: \"127.0.0.1:4181\"{asked_at}}}\n\
             admin: {{token: {{env: ADMIN_TOKEN}}}}\n\
             providers: {{proconnect: {{preset: proconnect, issuer: \"{issuer}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}, timeout: 3m}}}}\n\
             {session}\
             upstreams: {{app: {{url: \"http://{app}\", timeouts: {{connect: 3m}}}}}}\n\
             routes: [{{path: /public/**, access: public, upstream: app}}, {{path: /proof/**, upstream: app, session_cookie: proof}}, {{path: /**, upstream: app}}]\n\
             {more}\n\
             sites:\n\
             \x20 app: {{public_url: \"{ORIGIN}\"}}\n\
             \x20 back: {{public_url: \"{BACK}\", {of_back}upstreams: {{back: {{url: \"http://{back}\"}}}}, \
             routes: [{{path: /public/**, upstream: back}}, {{path: /open/**, access: public, upstream: app}}, {{path: /**, upstream: back}}], \
             aliases: {{start: /api/login, ping: /alive}}, cors: {{origins: [\"https://pages.example\"]}}}}\n",
            asked_at =
                if asks { ", forward_auth: \"127.0.0.1:4182\", forward_auth_grpc: \"127.0.0.1:4183\"" } else { "" },
            session = if setup.more.contains("session:") {
                ""
            } else {
                "session: {keys: [{id: k1, secret: {env: SESSION_KEY}}]}\n"
            },
            app = echoes[0].address,
            back = echoes[1].address,
            more = setup.more,
        );
        let mut config =
            config::from_text("test.yaml", &yaml, &Secrets).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
        let any = || Listener { address: ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), tls: None };
        config.server = Settings {
            proxy: any(),
            admin: any(),
            forward_auth_listener: asks.then(any),
            forward_auth_grpc_listener: asks.then(|| any().address),
            threads: Some(2),
            shutdown_grace: Duration::from_secs(5),
            ..config.server
        };
        let listeners = Listeners::bind(&config.server).unwrap();
        let address = listeners.proxy.tcp_address().unwrap();
        let admin = listeners.admin.tcp_address().unwrap();
        let asked_at = listeners.forward_auth.as_ref().map(|listener| listener.tcp_address().unwrap());
        let grpc = listeners.forward_auth_grpc.as_ref().map(|listener| listener.tcp_address().unwrap());
        let app = App::build_on(listeners, config, Clock::Manual(clock.clone()), random).unwrap();
        let reread_keys = app.reread_keys();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        let (provider, other_provider) = (one, two);
        Self { address, admin, asked_at, grpc, provider, other_provider, clock, reread_keys, echoes, _stop: stop }
    }

    pub(super) fn client(&self, origin: &str) -> Client {
        Client::at(self.address, origin)
    }

    pub(super) async fn signed_in(&self, origin: &str) -> Client {
        let client = self.client(origin);
        let page = until_well(async || client.browse("/").await).await;
        assert_eq!(page.status, 200, "{}", page.text());
        client
    }

    /// The cookies of a client at the other site, or anywhere.
    pub(super) async fn at(&self, origin: &str, cookies: &str) -> u16 {
        let headers = [("accept", "application/json"), ("cookie", cookies)];
        self.client(origin).get("/", &headers).await.status
    }

    async fn administrator(&self, method: Method, path: &str) -> Answer {
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        Client::new(self.admin).send(method, path, &[("authorization", &bearer)], Vec::new()).await
    }
}

/// One request to read the keys again reaches every site.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_are_read_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, SESSION_KEY).unwrap();
    let session = format!("session: {{keys: [{{id: k1, secret: {{file: \"{}\"}}}}]}}\n", file.display());
    let several = Several::with(Setup { more: session, ..Setup::default() }).await;
    let (app, back) = (several.signed_in(ORIGIN).await, several.signed_in(BACK).await);
    let (of_app, of_back) = (cookies(&app, "app.example"), cookies(&back, "back.example"));
    std::fs::write(&file, NEXT_SESSION_KEY).unwrap();
    several.reread_keys.notify_one();
    until("the new key is used", async || {
        several.at(ORIGIN, &of_app).await == 401 && several.at(BACK, &of_back).await == 401
    })
    .await;
    several.signed_in(BACK).await;
}

pub(super) fn cookies(client: &Client, host: &str) -> String {
    client.cookie_header(host).unwrap()
}

async fn session_of(client: &Client) -> String {
    header_at_app(&client.fetch("/").await, "x-vestibule-session").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_keeps_at_one_site_is_not_at_the_other() {
    let more = "session: {data: {of: person}, keys: [{id: k1, secret: {env: SESSION_KEY}}]}\n".to_owned();
    let several = Several::with(Setup { more, shared: true, ..Setup::default() }).await;
    let data = "/oauth2/session/data";
    let (app, back) = (several.signed_in(ORIGIN).await, several.signed_in(BACK).await);
    let put = async |client: &Client, origin: &str, body: &str| {
        let headers = [("origin", origin), ("content-type", "application/json")];
        client.send(Method::PUT, data, &headers, body.as_bytes().to_vec()).await.status
    };
    // The same person of the same provider, and the pages of each write there alone.
    assert_eq!((put(&app, ORIGIN, "{}").await, back.fetch(data).await.status), (201, 404));
    assert_eq!((put(&back, ORIGIN, "{\"b\":1}").await, put(&back, BACK, "{\"b\":1}").await), (403, 201));
    assert_eq!((app.fetch(data).await.text(), back.fetch(data).await.text()), ("{}".into(), "{\"b\":1}".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_its_own_provider_routes_aliases_and_origins() {
    let several = Several::start().await;
    let (app, back) = (several.signed_in(ORIGIN).await, several.signed_in(BACK).await);
    assert_eq!(email_at_app(&app.fetch("/").await).as_deref(), Some(EMAIL));
    assert_eq!(email_at_app(&back.fetch("/").await).as_deref(), Some(OTHER));
    assert_eq!((several.provider.counters().token, several.other_provider.counters().token), (1, 1));

    let (stranger, at_back) = (several.client(ORIGIN), several.client(BACK));
    for (path, here, there) in [("/public/x", 200, 401), ("/open/x", 401, 200)] {
        assert_eq!((stranger.fetch(path).await.status, at_back.fetch(path).await.status), (here, there), "{path}");
    }
    assert_eq!(stranger.fetch("/api/login").await.status, 401, "an alias of the other site is a path of the app's");
    let started = at_back.navigate("/api/login").await;
    assert!(started.location().starts_with(several.other_provider.issuer()), "{}", started.location());
    assert_eq!(parameter(started.location(), "client_id").as_deref(), Some("back"));
    assert_eq!(parameter(started.location(), "redirect_uri").as_deref(), Some("https://back.example/oauth2/callback"));

    let pages = [("origin", "https://pages.example"), ("accept", "application/json")];
    let allowed =
        async |client: &Client| client.get("/", &pages).await.header("access-control-allow-origin").map(str::to_owned);
    assert_eq!(allowed(&stranger).await, None);
    assert_eq!(allowed(&at_back).await.as_deref(), Some("https://pages.example"));
    // One site's page is another site to the other.
    let forged = [("origin", ORIGIN), ("sec-fetch-site", "cross-site"), ("accept", "application/json")];
    assert_eq!(back.send(Method::POST, "/x", &forged, Vec::new()).await.json()["error"], "other_site");
    // The log says which site it was.
    back.fetch("/of-back").await;
    let line = access_line_with("/of-back").await;
    assert_eq!((&line["site"], &line["host"]), (&"back".into(), &"back.example".into()));
}

/// With one provider, one client and one key for both, so that only the site differs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sealed_for_one_opens_at_the_other() {
    let several = Several::with(Setup { shared: true, ..Setup::default() }).await;
    let (app, back) = (several.signed_in(ORIGIN).await, several.signed_in(BACK).await);
    let (of_app, of_back) = (cookies(&app, "app.example"), cookies(&back, "back.example"));
    assert_eq!((several.at(ORIGIN, &of_app).await, several.at(BACK, &of_back).await), (200, 200));
    assert_eq!((several.at(BACK, &of_app).await, several.at(ORIGIN, &of_back).await), (401, 401));

    // A sign-in that began at one does not end at the other, whatever cookies are brought along.
    for (from, to, host) in [(ORIGIN, BACK, "app.example"), (BACK, ORIGIN, "back.example")] {
        let began = several.client(from);
        let at_provider = began.navigate("/oauth2/start").await;
        let callback = began.navigate(at_provider.location()).await;
        let moved = callback.location().replace(from, to);
        assert_ne!(moved, callback.location());
        let login = cookies(&began, host);
        assert!(login.starts_with(LOGIN), "{login}");
        let headers = [&NAVIGATION[..], &[("cookie", &*login)]].concat();
        let ended = several.client(to).get(&moved, &headers).await;
        assert!(ended.status >= 400, "{} {}", ended.status, ended.text());
        assert!(!ended.set_cookies().iter().any(|cookie| cookie.starts_with(&format!("{SESSION}="))));
        // Where it began it does.
        assert_eq!(began.follow(callback).await.status, 200);
    }

    // Nor does the proof of a session that an app gets.
    let proof = header_at_app(&app.fetch("/proof/x").await, "cookie").unwrap();
    let asks = async |origin: &str| several.client(origin).get("/oauth2/auth", &[("cookie", &proof)]).await.status;
    assert_eq!((asks(ORIGIN).await, asks(BACK).await), (202, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_at_one_goes_on_at_the_other() {
    let several = Several::with(Setup { shared: true, ..Setup::default() }).await;
    let back = several.signed_in(BACK).await;
    let of_back = cookies(&back, "back.example");
    let listed = async |site: &str| {
        let answer = several.administrator(Method::GET, &format!("/sessions?site={site}")).await.json();
        answer["sessions"].as_array().unwrap().clone()
    };
    let subject = listed("back").await[0]["sub"].as_str().unwrap().to_owned();
    for how in ["sign-out", "session", "person"] {
        // In the same second a sign-in is still of before.
        several.clock.advance(Duration::from_secs(1));
        let app = several.signed_in(ORIGIN).await;
        assert_eq!(listed("app").await[0]["sub"], subject, "the same person at both");
        let of_app = cookies(&app, "app.example");
        let id = session_of(&app).await;
        let (mut live, _) = socket_at(several.address, "/ws", Some(of_app.clone())).await;
        match how {
            "sign-out" => assert_eq!(app.submit("/oauth2/sign_out", "").await.status, 303),
            "session" => {
                let elsewhere = several.administrator(Method::GET, &format!("/sessions/{id}?site=back")).await;
                assert_eq!(elsewhere.status, 404);
                let done = several.administrator(Method::DELETE, &format!("/sessions/{id}?site=app")).await;
                assert_eq!(done.status, 204);
            }
            _ => {
                let path = format!("/people/{subject}/sessions?site=app");
                assert_eq!(several.administrator(Method::DELETE, &path).await.json()["ended"], 1);
            }
        }
        assert_eq!(several.at(ORIGIN, &of_app).await, 401, "{how}");
        promptly("it is cut", Duration::from_secs(1), close_of(&mut live)).await;
        assert_eq!(several.at(BACK, &of_back).await, 200, "{how}");
        assert_eq!((listed("app").await.len(), listed("back").await.len()), (0, 1), "{how}");
    }
}

/// Connections of a front proxy carry requests for one site and another by turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_whose_its_present_request_is() {
    let several = Several::with(Setup { shared: true, ..Setup::default() }).await;
    let (app, back) = (several.signed_in(ORIGIN).await, several.signed_in(BACK).await);
    let (of_app, of_back) = (cookies(&app, "app.example"), cookies(&back, "back.example"));
    let mut raw = Raw::connect(several.address).await;
    for (host, cookies, status) in [
        ("app.example", &of_app, 200),
        ("back.example", &of_back, 200),
        ("app.example", &of_back, 401),
        ("back.example", &of_app, 401),
        ("app.example", &of_app, 200),
    ] {
        raw.send(format!("GET /x HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nCookie: {cookies}\r\n\r\n"))
            .await;
        assert_eq!(raw.answer().await.status, status, "{host}");
    }
    // The stream that it carries now is of `back`, and ends with that session, not with that of `app`.
    raw.send(format!("GET /events HTTP/1.1\r\nHost: back.example\r\nCookie: {of_back}\r\n\r\n")).await;
    assert_eq!(raw.head().await.status, 200);
    app.submit("/oauth2/sign_out", "").await;
    assert_eq!(several.at(ORIGIN, &of_app).await, 401);
    several.echoes[1].events.send("still there".to_owned()).unwrap();
    assert!(String::from_utf8(raw.chunk().await).unwrap().contains("still there"));
    back.submit("/oauth2/sign_out", "").await;
    promptly("it is cut", Duration::from_secs(1), raw.rest()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_no_site_is_misdirected_and_says_so() {
    let several = Several::start().await;
    let app = several.signed_in(ORIGIN).await;
    let of_app = cookies(&app, "app.example");
    let ask = async |head: &str| {
        let mut raw = Raw::connect(several.address).await;
        raw.send(format!("{head}\r\nAccept: application/json\r\nCookie: {of_app}\r\n\r\n")).await;
        let answer = raw.answer().await;
        assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
        (answer.status, answer.text())
    };
    for (head, status) in [
        ("GET /x HTTP/1.1\r\nHost: app.example", 200),
        ("GET /x HTTP/1.1\r\nHost: APP.example:443", 200),
        ("GET /x HTTP/1.1\r\nHost: app.example.", 200),
        ("GET /x HTTP/1.1\r\nHost: app.example:80", 421),
        ("GET /x HTTP/1.1\r\nHost: other.example", 421),
        ("GET /x HTTP/1.1\r\nHost: a.app.example", 421),
        ("GET /oauth2/start HTTP/1.1\r\nHost: 127.0.0.1", 421),
        ("GET /public/x HTTP/1.1\r\nHost: 127.0.0.1", 421),
        ("GET /oauth2/auth HTTP/1.1\r\nHost: 127.0.0.1", 421),
        // Nobody's word but `Host` counts.
        ("GET /x HTTP/1.1\r\nHost: other.example\r\nX-Forwarded-Host: app.example", 421),
        ("GET /x HTTP/1.1\r\nHost: other.example\r\nForwarded: host=app.example", 421),
        ("GET /x HTTP/1.1\r\nHost: back.example\r\nX-Forwarded-Host: app.example", 401),
        // What has two meanings has none here either.
        ("GET /x HTTP/1.1\r\nHost: app.example\r\nHost: back.example", 400),
        ("GET /x HTTP/1.1\r\nHost: app.example\r\nHost: app.example", 400),
        ("GET /x HTTP/1.1\r\nHost: app.example, back.example", 400),
        ("GET /x HTTP/1.1\r\nHost: app.example@back.example", 400),
        ("GET /x HTTP/1.1\r\nHost: ", 400),
        ("GET /x HTTP/1.1\r\nX-Forwarded-Host: app.example", 400),
        ("GET http://app.example/x HTTP/1.1\r\nHost: back.example", 400),
        ("GET http://back.example/x HTTP/1.1\r\nHost: app.example", 400),
        ("GET //back.example/x HTTP/1.1\r\nHost: other.example", 400),
        ("POST /x HTTP/1.1\r\nHost: other.example\r\nContent-Length: 1\r\nContent-Length: 2", 400),
    ] {
        assert_eq!(ask(head).await.0, status, "{head}");
    }
    let (_, page) = ask("GET /misdirected-one HTTP/1.1\r\nHost: other.example").await;
    assert!(page.contains("not served here") && !page.contains("app.example"), "{page}");
    let line = access_line_with("/misdirected-one").await;
    let said = "no site has the host \"other.example\"; there are https://app.example, https://back.example";
    assert_eq!((&line["decision"], &line["reason"]), (&"misdirected".into(), &said.into()), "{line}");
    // A body is not taken for the next request.
    let mut raw = Raw::connect(several.address).await;
    raw.send("POST /x HTTP/1.1\r\nHost: other.example\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 421);
    assert!(raw.is_closed().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancers_ask_by_address_whether_all_of_it_is_well() {
    let several = Several::start().await;
    several.signed_in(BACK).await;
    several.signed_in(ORIGIN).await;
    let ask = async |path: &str, host: &str| {
        let mut raw = Raw::connect(several.address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        raw.answer().await.status
    };
    for (path, host, status) in [
        ("/oauth2/ping", "127.0.0.1", 200),
        ("/oauth2/ready", "127.0.0.1", 200),
        ("/oauth2/ping", "back.example", 200),
        ("/alive", "10.0.0.7:4180", 200),
        ("/alive", "back.example", 200),
        ("/alive", "app.example", 401),
        ("/oauth2/ping/x", "127.0.0.1", 421),
        ("/oauth2//ping", "127.0.0.1", 421),
        ("/oauth2/sessions", "127.0.0.1", 421),
        ("/oauth2/robots.txt", "127.0.0.1", 421),
    ] {
        let found = ask(path, host).await;
        assert!(found == status || (status == 401 && found == 302), "{path} {host}: {found}");
    }
    let ready = Client::new(several.admin).get(&format!("http://{}/readyz", several.admin), &[]).await;
    assert_eq!(ready.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_name_the_site() {
    let several = Several::start().await;
    several.signed_in(BACK).await;
    for (method, path) in [
        (Method::GET, "/sessions"),
        (Method::GET, "/sessions?site=front"),
        (Method::GET, "/sessions?site=app&site=back"),
        (Method::DELETE, "/people/x/sessions"),
        (Method::GET, "/sessions/0123456789abcdef0123456789abcdef"),
        (Method::DELETE, "/sessions/0123456789abcdef0123456789abcdef?site=app&site=back"),
    ] {
        let refused = several.administrator(method.clone(), path).await;
        let said = refused.json()["message"].as_str().unwrap().to_owned();
        let names = said.contains("the sites are app, back") || said.contains("is there twice");
        assert!(refused.status == 400 && names, "{method} {path}: {said}");
    }
    let found = several.administrator(Method::GET, "/sessions?site=back").await.json();
    assert_eq!(found["sessions"][0]["email"], OTHER);
    assert_eq!(
        several.administrator(Method::GET, "/sessions?site=app").await.json()["sessions"],
        serde_json::json!([])
    );
    let page = several.administrator(Method::GET, "/?email=x").await;
    assert_eq!((page.status, page.location()), (303, "/?site=app&email=x"));
    let page = several.administrator(Method::GET, "/?site=back").await.text();
    assert!(page.contains(OTHER) && page.contains("href=\"/?site=app\""), "{page}");
    assert_eq!(page.matches("name=\"site\" value=\"back\"").count(), 3, "{page}");
    let metrics = Client::new(several.admin).get(&format!("http://{}/metrics", several.admin), &[]).await.text();
    assert_eq!(metrics.matches("\nvestibule_sign_ins_total{").count(), 1, "{metrics}");
}

/// What Traefik and its like add to the headers of a request to ask about it.
fn told<'a>(host: &'a str, path: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", host),
        ("x-forwarded-uri", path),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_is_answered_by_the_site_that_it_asks_about() {
    let more = "trusted_proxies: [127.0.0.1]\nforward_auth: {from: traefik}\n".to_owned();
    let several = Several::with(Setup { more, ..Setup::default() }).await;
    let (app, back) = (several.signed_in(ORIGIN).await, several.signed_in(BACK).await);
    let (of_app, of_back) = (cookies(&app, "app.example"), cookies(&back, "back.example"));
    // (Host of the question, host that it is about, whose cookies; the answer)
    let cases = [
        ("vestibule:4180", "app.example", &of_app, 202, Some(EMAIL)),
        ("vestibule:4180", "back.example", &of_back, 202, Some(OTHER)),
        ("vestibule:4180", "back.example", &of_app, 401, None),
        ("vestibule:4180", "app.example", &of_back, 401, None),
        ("vestibule:4180", "other.example", &of_app, 421, None),
        ("vestibule:4180", "app.example:8443", &of_app, 421, None),
        ("app.example", "app.example", &of_app, 202, Some(EMAIL)),
        // One site is not asked about a request to another, whatever cookies come along.
        ("app.example", "back.example", &of_app, 403, None),
        ("app.example", "back.example", &of_back, 403, None),
        ("back.example", "app.example", &of_app, 403, None),
        // Nor by a port that the site does not have: a front proxy may serve that all the same.
        ("app.example", "back.example:8443", &of_app, 403, None),
        ("app.example", "BACK.example.:8443", &of_app, 403, None),
        ("app.example", "app.example:8443", &of_app, 202, Some(EMAIL)),
    ];
    for listener in [several.address, several.asked_at.unwrap()] {
        let client = Client::new(listener);
        for (host, original, cookies, status, email) in cases {
            let own = [("host", host), ("cookie", cookies.as_str()), ("accept", "application/json")];
            let answer = client.get("/oauth2/auth", &[&told(original, "/x")[..], &own].concat()).await;
            let found = (answer.status, answer.header("x-auth-request-email"));
            assert_eq!(found, (status, email), "{host} about {original}: {}", answer.text());
        }
    }
    let client = Client::new(several.address);
    let ask = async |path: &str, headers: &[(&str, &str)]| client.get(path, headers).await.status;
    // Only a question is for the request behind it, and half of one is none.
    let whole = [&told("app.example", "/x")[..], &[("host", "vestibule"), ("cookie", &*of_app)]].concat();
    assert_eq!(ask("/oauth2/auth", &whole).await, 202);
    assert_eq!(ask("/x", &whole).await, 421);
    assert_eq!(ask("/oauth2/start", &whole).await, 421);
    assert_eq!(ask("/oauth2/sign_out", &whole).await, 421);
    for left_out in 0..4 {
        let mut half = whole.clone();
        half.remove(left_out);
        assert_eq!(ask("/oauth2/auth", &half).await, 421, "{half:?}");
    }
    let twice = [&whole[..], &[("x-forwarded-host", "back.example")]].concat();
    assert_eq!(ask("/oauth2/auth", &twice).await, 421);
    // In messages of gRPC the host is that of the request.
    let asker = Asker::connect(several.grpc.unwrap()).await;
    for (host, cookies, status, email) in [
        ("app.example", &of_app, 200, Some(EMAIL)),
        ("back.example", &of_back, 200, Some(OTHER)),
        ("back.example:443", &of_back, 200, Some(OTHER)),
        ("back.example", &of_app, 401, None),
        ("other.example", &of_app, 421, None),
        ("", &of_app, 421, None),
    ] {
        let headers = [(":method", "GET"), (":path", "/x"), (":authority", host), ("cookie", cookies)];
        let checked = asker.check(&about(&[line("GET", host, "/x"), raw(&headers)])).await;
        assert_eq!((checked.status, checked.header("x-auth-request-email")), (status, email), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_front_proxy_of_ours_does_not_say_whose_a_question_is() {
    let more = "trusted_proxies: [192.0.2.7]\nforward_auth: {from: traefik}\n".to_owned();
    let several = Several::with(Setup { more, ..Setup::default() }).await;
    let app = several.signed_in(ORIGIN).await;
    let of_app = cookies(&app, "app.example");
    let whole = [&told("app.example", "/x")[..], &[("cookie", &*of_app)]].concat();
    let ask = async |host: &str| {
        Client::new(several.address).get("/oauth2/auth", &[&whole[..], &[("host", host)]].concat()).await.status
    };
    assert_eq!((ask("vestibule").await, ask("app.example").await), (421, 403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_each_site_and_no_two_sites() {
    require!(Redis);
    let redis = Redis::start().await;
    let more = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n", redis.port);
    let one = Several::with(Setup { more: more.clone(), shared: true, ..Setup::default() }).await;
    let issuer = Some(one.provider.issuer().to_owned());
    let two = Several::with(Setup { more, shared: true, issuer, ..Setup::default() }).await;
    let (app, back) = (one.signed_in(ORIGIN).await, one.signed_in(BACK).await);
    let (of_app, of_back) = (cookies(&app, "app.example"), cookies(&back, "back.example"));
    assert_eq!((two.at(ORIGIN, &of_app).await, two.at(BACK, &of_back).await), (200, 200));
    let (mut live, _) = socket_at(two.address, "/ws", Some(of_app.clone())).await;
    assert!(echoes(&mut live).await);
    // The same person at both, ended at one: everywhere there, and nowhere else.
    let found = one.administrator(Method::GET, "/sessions?site=back").await.json();
    let subject = found["sessions"][0]["sub"].as_str().unwrap().to_owned();
    let ended = one.administrator(Method::DELETE, &format!("/people/{subject}/sessions?site=back")).await;
    assert_eq!(ended.json()["ended"], 1);
    let over = until("the other replica has heard", async || two.at(BACK, &of_back).await == 401);
    promptly("the other replica has heard", Duration::from_secs(1), over).await;
    assert_eq!((one.at(ORIGIN, &of_app).await, two.at(ORIGIN, &of_app).await), (200, 200));
    assert!(echoes(&mut live).await);
    app.submit("/oauth2/sign_out", "").await;
    promptly("it is cut", Duration::from_secs(1), close_of(&mut live)).await;
    assert_eq!(two.at(ORIGIN, &of_app).await, 401);
    let keys = redis.cli(&["--scan"]);
    for key in keys.lines() {
        assert!(key.starts_with("vestibule:app/") || key.starts_with("vestibule:back/"), "{key}");
    }
    assert!(
        keys.contains("vestibule:app/{announcements}") && keys.contains("vestibule:back/{announcements}"),
        "{keys}"
    );
}

/// The program: what it prints and takes with sites, files of stores included.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_serves_sites_and_its_commands_name_them() {
    use super::support::process::Process;
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start().await;
    let provider = provider_for_programs().await;
    let configuration = format!(
        "listeners: {{proxy: \"127.0.0.1:0\", admin: \"127.0.0.2:0\"}}\n\
         admin: {{token: {{env: ADMIN_TOKEN}}}}\n\
         providers: {{proconnect: {{preset: proconnect, issuer: \"{}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
         session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
         store: {{file: \"{}\"}}\n\
         upstreams: {{app: {{url: \"http://{}\"}}}}\nroutes: [{{path: /**, upstream: app}}]\n\
         sites: {{app: {{public_url: \"{ORIGIN}\"}}, back: {{public_url: \"{BACK}\"}}}}\n",
        provider.issuer(),
        folder.path().join("state.db").display(),
        echo.address
    );
    let process =
        Process::serve_with(&configuration, &[("CLIENT_SECRET", CLIENT_SECRET), ("ADMIN_TOKEN", ADMIN_TOKEN)]).await;
    let client = Client::new(process.address());
    assert_eq!(email_at_app(&until_well(async || client.browse("/").await).await).as_deref(), Some(EMAIL));
    for file in ["state.app.db", "state.back.db"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    assert!(!folder.path().join("state.db").exists());

    std::fs::write(folder.path().join("token"), ADMIN_TOKEN).unwrap();
    let admin = format!("http://{}", process.admin_address());
    let said = |arguments: &[&str]| {
        let arguments = [&["sessions"], arguments, &["--admin", &admin, "--token-file", "token"]].concat();
        let output = run(folder.path(), &arguments);
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (good, out) = said(&["list"]);
    assert!(!good && out.contains("the sites are app, back"), "{out}");
    let (good, out) = said(&["list", "--site", "app"]);
    assert!(good && out.contains(EMAIL), "{out}");
    assert_eq!(said(&["list", "--site", "back"]), (true, "no live session is found\n".to_owned()));
    let id = header_at_app(&client.fetch("/").await, "x-vestibule-session").unwrap();
    assert!(!said(&["end", &id, "--site", "back"]).0);
    assert_eq!(said(&["end", &id, "--site", "app"]), (true, format!("ended: {id}\n")));
    assert_eq!(client.fetch("/").await.status, 401);
}
