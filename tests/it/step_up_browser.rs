//! The step-up in a person's Chromium, at the provider that ProConnect runs on: the whole way round, and the
//! pages that end it, looked at on a phone and at a desk.

use super::support::binary::Vestibule;
use super::support::browser::Browser;
use super::support::counterparts::{OidcProvider, require};
use super::support::scene::{Cast, app_of, in_front_of};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};

const ROUTES: &str = "[{path: /mfa/**, upstream: app, require: {acr: eidas1-mfa}}, \
                       {path: /fresh/**, upstream: app, require: {max_age: 15m}}, {path: /**, upstream: app}]";
const ME: &str = "agent@exemple.gouv.fr";
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>App</title><h1>The app</h1>
<form id="kept" method="post" action="/mfa/save?n=7"><input name="title" value="Été"><button>Go</button></form>
<form id="lost" method="post" action="/mfa/save" enctype="text/plain"><input name="title" value="x"><button>Go</button></form>
<form id="recent" method="post" action="/fresh/save"><input name="title" value="Hiver"><button>Go</button></form>"#;

/// With a hyphen at which no line breaks.
const STEP_UP: &str = "Identifiez\u{2011}vous à nouveau";
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// The program between ProConnect's provider and an app, and what was sent to that.
struct Scene {
    vestibule: Vestibule,
    provider: OidcProvider,
    posted: Arc<Mutex<Vec<String>>>,
}

/// What somebody fills into the provider's form.
#[derive(Clone, Copy)]
struct Proof {
    email: &'static str,
    acr: &'static str,
    minutes_ago: u32,
}

const LOW: Proof = Proof { email: ME, acr: "eidas1", minutes_ago: 0 };
const HIGH: Proof = Proof { acr: "eidas1-mfa", ..LOW };

impl Scene {
    async fn start() -> Self {
        let posted = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&posted);
        let save = async move |body: String| {
            writes.lock().unwrap().push(body);
            Html("<title>Saved</title><h1>Saved</h1>")
        };
        let router = Router::new().route("/{*rest}", get(async || Html(PAGE)).post(save));
        let cast = Cast {
            asks: true,
            routes: Some(ROUTES),
            more: "pages: {application: Albert Playground, contact: assistance@exemple.gouv.fr}",
            ..Cast::default()
        };
        let (vestibule, provider) = in_front_of(&app_of(router).await, &cast).await;
        Self { vestibule, provider, posted }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.vestibule.origin)
    }

    fn posted(&self) -> Vec<String> {
        self.posted.lock().unwrap().clone()
    }

    /// A French browser in which that person has signed in, and is at the app.
    async fn signed_in(&self, proof: Proof) -> Browser {
        let browser = Browser::start_in("fr").await;
        browser.goto(&self.at("/x")).await;
        self.prove(&browser, proof).await;
        self.is_at(&browser, "/x").await;
        browser
    }

    /// Waits for the provider's form, fills it in and sends it.
    async fn prove(&self, browser: &Browser, proof: Proof) {
        let is_there = async || browser.url().await.starts_with(&self.provider.issuer);
        browser.wait_until("the browser is at the provider", is_there).await;
        browser.wait_for("[name=minutes_ago]").await;
        let fill = "for (const [name, value] of Object.entries(arguments[0])) \
                    document.querySelector(`[name=${name}]`).value = value;";
        let fields = json!({ "email": proof.email, "acr": proof.acr, "minutes_ago": proof.minutes_ago.to_string() });
        browser.execute(fill, json!([fields])).await;
        browser.click("button[value=sign-in]").await;
    }

    /// Waits for the app, at this address.
    async fn is_at(&self, browser: &Browser, path: &str) {
        let wanted = self.at(path);
        browser.wait_until(&format!("the app is at {path}"), async || browser.url().await == wanted).await;
        browser.wait_for_text("h1", "The app").await;
    }
}

/// Waits for a page of ours, and looks at it: nothing is wider than a phone, it is in French, the Tab key
/// comes by all that can be pressed, and one sees where it is. Pictures of it are left behind.
async fn looked_at(browser: &Browser, name: &str, heading: &str) {
    browser.wait_for_text("h1", heading).await;
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (width, size) in [(360, "phone"), (1280, "desk")] {
        browser.resize(width, 800).await;
        let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        assert_eq!(browser.execute(overflow, json!([])).await, false, "{name} {size}");
        browser.screenshot(&pictures.join(format!("step-up-{name}-{size}.png"))).await;
    }
    assert_eq!(browser.execute("return document.documentElement.lang", json!([])).await, "fr", "{name}");
    assert_eq!(browser.execute("return document.querySelectorAll('h1, main').length", json!([])).await, 2, "{name}");
    let reachable = "return [...document.querySelectorAll('a[href], button, input:not([type=hidden])')].map((one) => one.textContent.trim())";
    let expected = browser.execute(reachable, json!([])).await;
    assert!(expected.as_array().is_some_and(|all| !all.is_empty()), "{name} leads nowhere");
    browser.execute("document.activeElement.blur(); scrollTo(0, 0)", json!([])).await;
    let focus = "const one = document.activeElement, style = getComputedStyle(one); \
                 return [one.textContent.trim(), style.outlineStyle, parseFloat(style.outlineWidth) >= 2]";
    let mut reached = Vec::new();
    for _ in 0..expected.as_array().unwrap().len() {
        browser.press(TAB).await;
        let at = browser.execute(focus, json!([])).await;
        assert_eq!((&at[1], &at[2]), (&json!("solid"), &json!(true)), "{name}: one does not see where the focus is");
        reached.push(at[0].clone());
    }
    assert_eq!(Value::Array(reached), expected, "{name}");
}

/// Moves to the first thing on the page that says this, by the keyboard alone, and presses Enter.
async fn by_keyboard(browser: &Browser, label: &str) {
    browser.execute("document.activeElement.blur()", json!([])).await;
    for _ in 0..10 {
        browser.press(TAB).await;
        if browser.execute("return document.activeElement.textContent.trim()", json!([])).await == label {
            return browser.press(ENTER).await;
        }
    }
    panic!("the Tab key never comes by {label:?}: {}", browser.source().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_and_a_recent_proof_are_asked_for_and_lead_back_to_the_same_address() {
    require!(Chromium, OidcProvider);
    let scene = Scene::start().await;
    let browser = scene.signed_in(Proof { minutes_ago: 20, ..LOW }).await;
    // No page but the provider's is shown, and that suggests who is to come back.
    browser.goto(&scene.at("/mfa/deep/link?a=1&b=%20c")).await;
    let suggested = browser.wait_for("[name=email]").await.attribute("value").await;
    assert_eq!(suggested.as_deref(), Some(ME));
    scene.prove(&browser, Proof { minutes_ago: 18, ..HIGH }).await;
    scene.is_at(&browser, "/mfa/deep/link?a=1&b=%20c").await;
    browser.goto(&scene.at("/mfa/other")).await;
    scene.is_at(&browser, "/mfa/other").await;
    // The provider has a session of this level, which would answer by itself: it ends first.
    browser.goto(&scene.at("/fresh/deep?y=%C3%A9")).await;
    scene.prove(&browser, HIGH).await;
    scene.is_at(&browser, "/fresh/deep?y=%C3%A9").await;
    browser.goto(&scene.at("/mfa/still")).await;
    scene.is_at(&browser, "/mfa/still").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_waits_and_is_sent_once() {
    require!(Chromium, OidcProvider);
    let scene = Scene::start().await;
    let browser = scene.signed_in(Proof { minutes_ago: 20, ..LOW }).await;
    // What cannot be kept is said to be lost before anybody is led away.
    browser.click("#lost button").await;
    looked_at(&browser, "form-lost", STEP_UP).await;
    browser.wait_for_text(".notice", "Remplissez-le à nouveau").await;
    browser.goto(&scene.at("/x")).await;
    browser.click("#recent button").await;
    looked_at(&browser, "form-recent", STEP_UP).await;
    browser.wait_for_text("p", "récemment").await;

    browser.goto(&scene.at("/x")).await;
    browser.click("#kept button").await;
    looked_at(&browser, "form-level", STEP_UP).await;
    browser.wait_for_text(".notice", "Il est gardé").await;
    by_keyboard(&browser, "S'identifier avec ProConnect").await;
    scene.prove(&browser, HIGH).await;
    looked_at(&browser, "form-offered", "Envoyer votre formulaire").await;
    assert_eq!(scene.posted(), Vec::<String>::new(), "nobody has pressed the button yet");
    by_keyboard(&browser, "Envoyer le formulaire").await;
    browser.wait_for_text("h1", "Saved").await;
    assert_eq!(browser.url().await, scene.at("/mfa/save?n=7"));
    assert_eq!(scene.posted(), ["title=%C3%89t%C3%A9"]);
    browser.reload().await;
    looked_at(&browser, "form-gone", "Ce formulaire n’est plus là").await;
    assert_eq!(scene.posted().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_do_ends_on_a_page_after_one_attempt_and_the_session_goes_on() {
    require!(Chromium, OidcProvider);
    let scene = Scene::start().await;
    let browser = scene.signed_in(Proof { minutes_ago: 120, ..LOW }).await;
    let goes_on = async || {
        browser.goto(&scene.at("/y")).await;
        scene.is_at(&browser, "/y").await;
    };
    // The form gives less than was asked for.
    browser.goto(&scene.at("/mfa/page")).await;
    scene.prove(&browser, LOW).await;
    looked_at(&browser, "level", "Identification trop faible").await;
    goes_on().await;
    // Somebody else is at the keyboard there. The page leads back by a button, and by nothing else.
    browser.goto(&scene.at("/mfa/page?a=b")).await;
    scene.prove(&browser, Proof { email: "quelqu.un@exemple.gouv.fr", acr: "eidas3", minutes_ago: 0 }).await;
    looked_at(&browser, "other-person", "Ce n’est pas le même compte").await;
    by_keyboard(&browser, "Réessayer").await;
    scene.prove(&browser, Proof { minutes_ago: 90, ..HIGH }).await;
    scene.is_at(&browser, "/mfa/page?a=b").await;
    goes_on().await;
    // Their proof is more recent than the session's, and not recent enough.
    browser.goto(&scene.at("/fresh/page")).await;
    scene.prove(&browser, Proof { minutes_ago: 30, ..HIGH }).await;
    looked_at(&browser, "too-old", "Votre identification n’est pas assez récente").await;
    goes_on().await;
    // Who turns back at the provider is where they were.
    browser.goto(&scene.at("/fresh/page")).await;
    browser.click("button[value=refuse]").await;
    looked_at(&browser, "refused", "Connexion").await;
    by_keyboard(&browser, "Réessayer").await;
    scene.prove(&browser, HIGH).await;
    scene.is_at(&browser, "/fresh/page").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_does_not_stay_ends_on_a_page_and_not_in_a_loop() {
    require!(Chromium, OidcProvider);
    let scene = Scene::start().await;
    let browser = scene.signed_in(LOW).await;
    // The provider knows them and shows nothing: without the page this would go on for ever.
    browser.forget_cookie("vestibule").await;
    browser.goto(&scene.at("/x")).await;
    scene.is_at(&browser, "/x").await;
    browser.forget_cookie("vestibule").await;
    browser.goto(&scene.at("/x")).await;
    looked_at(&browser, "loop", "La connexion tourne en rond").await;
    by_keyboard(&browser, "Réessayer").await;
    scene.is_at(&browser, "/x").await;
}
