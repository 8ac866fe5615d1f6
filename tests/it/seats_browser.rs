//! Seats in people's browsers: the last one taken in one Chromium and waited for in another, and a live
//! Streamlit page whose person had to give way.
//!
//! The sidecar runs in this process, for its clock: nobody waits for ten minutes here.

use super::support::browser::Browser;
use super::support::counterparts::{require, start_streamlit};
use super::support::log_watch::{self, access_line_with};
use super::support::ports::free_port;
use super::support::scene::app_of;
use super::support::site::{CLIENT_SECRET, Secrets};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use vestibule::app::App;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::config;
use vestibule::demo::Provider;
use vestibule::demo::provider::{Agent, Client as Registration, ProviderSettings};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

struct Stage {
    origin: String,
    provider: Provider,
    clock: ManualClock,
    _stop: oneshot::Sender<()>,
}

impl Stage {
    async fn with(app: &str, seats: &str) -> Self {
        log_watch::begin();
        let random = Arc::new(SystemRandom::new());
        let clock = ManualClock::starting_at(Timestamp::from_unix(2_000_000_000));
        let origin = format!("http://localhost:{}", free_port());
        let own = |name: &str| format!("{origin}/oauth2/{name}");
        let client = Registration::new("app", SecretString::from(CLIENT_SECRET), &own("callback"), &own("signed_out"));
        let settings = ProviderSettings { clients: vec![client], ..ProviderSettings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Provider::start(listener, settings, Clock::Manual(clock.clone()), random.clone()).unwrap();
        let yaml = format!(
            "public_url: {origin}\n\
             listeners: {{proxy: \"{address}\", admin: \"127.0.0.1:0\"}}\n\
             providers: {{proconnect: {{preset: proconnect, issuer: \"{issuer}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
             session: {{idle: 24h, lifetime: 48h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             upstreams: {{app: {{url: \"{app}\"}}}}\n\
             routes: [{{path: /**, upstream: app}}]\n\
             seats: {seats}\n\
             licences: [{{id: 2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e, serial: CH-2026-017, seats: 1, \
             owner: {{email: licences@example.org}}, covers: {{everyone: true}}}}]\n\
             pages: {{application: \"Dossier patient\", contact: aide@example.org}}\n",
            address = origin.trim_start_matches("http://").replace("localhost", "127.0.0.1"),
            issuer = provider.issuer(),
        );
        let config = config::from_text("test.yaml", &yaml, &Secrets).unwrap_or_else(|problems| panic!("{problems}"));
        let app = App::build(config, Clock::Manual(clock.clone()), random).unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { origin, provider, clock, _stop: stop }
    }

    /// Somebody opens the site in a browser of their own, and signs in.
    async fn comes(&self, name: &str, language: &str) -> Browser {
        self.provider.sign_in_as(Agent::new(name, "Durand", &format!("{name}@example.org")));
        let browser = Browser::start_in(language).await;
        browser.goto(&self.origin).await;
        browser
    }
}

/// Looks at a page of ours: nothing is wider than a phone. Pictures of it are left behind.
async fn looked_at(browser: &Browser, name: &str) {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (width, size) in [(390, "phone"), (1280, "desktop")] {
        browser.resize(width, 844).await;
        let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        assert_eq!(browser.execute(overflow, serde_json::json!([])).await, false, "{name} {size}");
        browser.screenshot(&pictures.join(format!("{name}-{size}.png"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_seat_is_waited_for_and_comes_by_itself() {
    require!(Chromium, Streamlit);
    let app = start_streamlit().await;
    let stage = Stage::with(&app.address, "{}").await;
    let first = stage.comes("ada", "en").await;
    first.wait_for_text("p", "Email: ada@example.org").await;
    let second = stage.comes("bea", "fr").await;
    second.wait_for_text("h1", "Toutes les places sont prises").await;
    second.wait_for_text(".notice", "L’unique place est prise.").await;
    looked_at(&second, "no-seat-full").await;
    first.goto(&format!("{}/oauth2/sign_out", stage.origin)).await;
    first.wait_for_text("h1", "Sign out?").await;
    first.click("button").await;
    // Nobody presses anything.
    second.wait_for_text("p", "Email: bea@example.org").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gave_way_has_no_live_page_any_more_and_takes_a_seat_again_by_a_button() {
    require!(Chromium, Streamlit);
    let app = start_streamlit().await;
    let stage = Stage::with(&app.address, "{when_full: {displace_idlest: 5m}}").await;
    let first = stage.comes("ada", "fr").await;
    first.wait_for_text("p", "Counted 0").await;
    first.click("[data-testid=stButton] button").await;
    first.wait_for_text("p", "Counted 1").await;
    let second = stage.comes("bea", "en").await;
    second.wait_for_text("h1", "All seats are taken").await;
    // What the first did on the page is looked at a moment later, and counts from then on.
    second
        .wait_until("the first is idle", async || {
            stage.clock.advance(Duration::from_secs(360));
            second.reload().await;
            !second.title().await.ends_with("Dossier patient")
        })
        .await;
    second.wait_for_text("p", "Email: bea@example.org").await;
    let cut = access_line_with("cut: no longer admitted: their seat of licence").await;
    assert_eq!(cut["status"], 101, "{cut}");
    // Streamlit's own page notices, tries to connect, and is refused.
    first.wait_for("[data-testid=stButton] button[disabled]").await;
    access_line_with("their seat of licence 2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e was given up").await;
    first.reload().await;
    first.wait_for_text("h1", "Votre place a été donnée à quelqu’un d’autre").await;
    looked_at(&first, "no-seat-displaced").await;
    // They ask for a seat, and get it as soon as the second is idle.
    first.click("main form button").await;
    first
        .wait_until("the second is idle", async || {
            stage.clock.advance(Duration::from_secs(360));
            first.goto(&stage.origin).await;
            !first.title().await.ends_with("Dossier patient")
        })
        .await;
    first.wait_for_text("p", "Email: ada@example.org").await;
}

/// An app with a form, and what was sent to it.
async fn app_with_a_form() -> (String, Arc<Mutex<Vec<String>>>) {
    let posted = Arc::new(Mutex::new(Vec::new()));
    let writes = Arc::clone(&posted);
    let save = async move |body: String| {
        writes.lock().unwrap().push(body);
        Html("<title>Saved</title><h1>Saved</h1>")
    };
    let page = Html(
        "<!doctype html><title>App</title><h1>The app</h1><form method=post action=/save>\
         <input name=title value=x><button>Go</button></form>",
    );
    (app_of(Router::new().route("/{*rest}", get(page).post(save)).route("/", get(page))).await, posted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_somebody_who_gave_way_is_offered_by_itself_when_they_have_a_seat_again() {
    require!(Chromium);
    let (app, posted) = app_with_a_form().await;
    let stage = Stage::with(&app, "{when_full: {displace_idlest: 5m}}").await;
    for (language, gave_way, full, kept, offered) in [
        ("fr", "Votre place a été donnée", "Toutes les places", "Il est gardé", "Envoyer votre formulaire"),
        ("en", "Your seat was given", "All seats are taken", "It has been kept", "Send your form?"),
    ] {
        let idle = Duration::from_secs(360);
        stage.clock.advance(idle);
        let first = stage.comes(&format!("ada-{language}"), language).await;
        first.wait_for_text("h1", "The app").await;
        stage.clock.advance(idle);
        let second = stage.comes(&format!("bea-{language}"), language).await;
        second.wait_for_text("h1", "The app").await;
        first.click("form button").await;
        first.wait_for_text("h1", gave_way).await;
        first.wait_for_text(".notice + .notice", kept).await;
        looked_at(&first, &format!("no-seat-displaced-form-{language}")).await;
        first.click("main form button").await;
        first.wait_for_text("h1", full).await;
        assert!(first.url().await.starts_with(&format!("{}/oauth2/form?id=", stage.origin)));
        looked_at(&first, &format!("no-seat-full-form-{language}")).await;
        // Nobody presses anything until there is a seat.
        second.goto(&format!("{}/oauth2/sign_out", stage.origin)).await;
        second.click("main form button").await;
        first.wait_for_text("h1", offered).await;
        looked_at(&first, &format!("kept-form-{language}")).await;
        first.click("main form button").await;
        first.wait_for_text("h1", "Saved").await;
        assert_eq!(std::mem::take(&mut *posted.lock().unwrap()), ["title=x"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_finds_all_seats_taken_is_offered_by_itself_when_there_is_one() {
    require!(Chromium);
    let (app, posted) = app_with_a_form().await;
    let stage = Stage::with(&app, "{idle: 10m}").await;
    let first = stage.comes("ada", "fr").await;
    first.wait_for_text("h1", "The app").await;
    stage.clock.advance(Duration::from_secs(660));
    let second = stage.comes("bea", "en").await;
    second.wait_for_text("h1", "The app").await;
    first.click("form button").await;
    // It stands at the address that the form was sent to, and leads elsewhere by itself.
    first.wait_for_text("h1", "Toutes les places").await;
    assert_eq!(first.url().await, format!("{}/save", stage.origin));
    second.goto(&format!("{}/oauth2/sign_out", stage.origin)).await;
    second.click("main form button").await;
    first.wait_for_text("h1", "Envoyer votre formulaire").await;
    first.click("main form button").await;
    first.wait_for_text("h1", "Saved").await;
    assert_eq!(*posted.lock().unwrap(), ["title=x"]);
}
