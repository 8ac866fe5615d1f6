//! The program in front of a Streamlit playground of 2025, which knows nothing of it: opened with an
//! envelope, working with the person's key, and signed out from its server; all in Chromium.

use crate::support::albert::{FakeAlbert, Key, Version};
use crate::support::binary::{Configuration, Vestibule};
use crate::support::browser::Browser;
use crate::support::counterparts::{Application, OidcProvider, require, start_envelope_app};
use crate::support::keyed::secret_file;
use crate::support::log_watch;
use crate::support::ports::free_port;
use crate::support::scene::EMAIL;
use tempfile::NamedTempFile;
use vestibule::clock::Clock;

const ENCRYPTION_KEY: &str = "the-encryption-key-of-a-real-playground";
/// How every envelope begins: the version byte of Fernet and a moment of these years, encoded twice.
const ENVELOPE: &str = "Z0FBQUFB";
const TYPE_HERE: &str = "[data-testid=stChatInputTextArea]";

/// The playground and its API behind the program, and ProConnect's provider beside it.
struct Scene {
    vestibule: Vestibule,
    provider: OidcProvider,
    api: FakeAlbert,
    app: Application,
    _secrets: [NamedTempFile; 2],
}

impl Scene {
    /// The playground's server reaches the API where browsers reach it: through Vestibule.
    async fn start() -> Self {
        log_watch::never_logged(ENCRYPTION_KEY);
        let api = FakeAlbert::start(Version::V04).await;
        api.follow(Clock::System);
        let port = free_port();
        let origin = format!("http://localhost:{port}");
        let provider = OidcProvider::start(serde_json::json!({
            "redirect_uris": [format!("{origin}/oauth2/callback")],
            "post_logout_redirect_uris": [format!("{origin}/oauth2/signed_out")],
        }))
        .await;
        let app = start_envelope_app(&[("API_URL", &origin), ("ENVELOPE_KEY", ENCRYPTION_KEY)]).await;
        let secrets = [secret_file(&api.admin_key()), secret_file(ENCRYPTION_KEY)];
        let [admin_key, key] = secrets.each_ref().map(|file| file.path().display());
        let client = provider.client("ES256");
        let vestibule = Vestibule::serve(&Configuration {
            port,
            issuer: &provider.issuer,
            client_id: &client.id,
            client_secret: &client.secret,
            provider: "",
            upstream: &app.address,
            upstreams: &format!("  api: {{url: \"{}\"}}", api.url()),
            routes: Some(&format!(
                "[{{path: /v1/**, access: public, upstream: api}}, {{path: /_stcore/health, access: public, upstream: app}}, \
                 {{path: /**, upstream: app, envelope: {{credentials: albert, key: {{file: {key}}}}}}}]"
            )),
            more: &format!(
                "credentials: {{albert: {{kind: albert, url: \"{}\", admin_key: {{file: {admin_key}}}, role: Freemium, \
                 organization: default, key_name: playground}}}}\n\
                 albert_endpoints: {{allowed_domains: [localhost]}}",
                api.url()
            ),
        })
        .await;
        Self { vestibule, provider, api, app, _secrets: secrets }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.vestibule.origin)
    }

    fn live_keys(&self) -> Vec<Key> {
        self.api.live_keys(Clock::System.now().as_unix())
    }

    /// Asks for the front page and waits for the provider's form.
    async fn open_form(&self, browser: &Browser) {
        browser.goto(&self.at("/")).await;
        browser.wait_for("[name=email]").await;
        assert!(browser.url().await.starts_with(&self.provider.issuer));
    }

    /// A browser whose person has signed in at the provider and done nothing else.
    async fn signed_in(&self) -> Browser {
        let browser = Browser::start().await;
        self.open_form(&browser).await;
        browser.fill("[name=email]", EMAIL).await;
        browser.click("button[value=sign-in]").await;
        self.is_open(&browser).await;
        browser
    }

    /// Waits until the playground shows who it is; the envelope that it was opened with.
    async fn is_open(&self, browser: &Browser) -> String {
        let opened = self.at(&format!("/?encrypted_token={ENVELOPE}"));
        let url = browser.wait_for_url(|url| url.starts_with(&opened)).await;
        browser.wait_for_text("p", "Signed in:").await;
        let who = self.api.users().remove(0).name.unwrap();
        browser.wait_for_text("p", &who).await;
        url
    }

    /// Nothing that was handed over stands in what the program printed, at its most talkative.
    fn printed_no_secret(&self) {
        let printed = self.vestibule.output();
        assert!(!printed.contains(ENVELOPE), "an envelope is in the log");
        for key in self.api.all_keys() {
            assert!(!printed.contains(&key.secret), "a key is in the log");
        }
    }
}

#[tokio::test]
async fn the_playground_opens_signed_in_and_chats_and_again_when_it_is_loaded_again() {
    require!(Chromium, OidcProvider, Streamlit);
    let scene = Scene::start().await;
    let browser = scene.signed_in().await;
    let first = scene.is_open(&browser).await;
    let [key] = &scene.live_keys()[..] else { panic!("one key: {:?}", scene.live_keys().len()) };
    assert_eq!(key.name, "playground");

    // Word by word, as the model says them.
    scene.api.hold_streams(3);
    browser.type_text(TYPE_HERE, "Bonjour\u{e007}").await;
    browser.wait_for_text("p", "Bonjour").await;
    scene.api.let_go(1);
    browser.wait_for_text("[data-testid=stChatMessage]", "mot0").await;
    let said = "return [...document.querySelectorAll('[data-testid=stChatMessage]')].at(-1).textContent";
    let so_far = browser.execute(said, serde_json::json!([])).await;
    assert!(!so_far.as_str().unwrap().contains("mot1"), "{so_far}");
    scene.api.let_go(4);
    browser.wait_for_text("[data-testid=stChatMessage]", "mot0 mot1 mot2").await;

    // Loaded again, the page has forgotten everything, and is opened anew with the same key.
    browser.reload().await;
    browser.wait_for_url(|url| url != first).await;
    let second = scene.is_open(&browser).await;
    // An address from the history is worth nothing: it is answered with another one.
    for old in [&first, &second] {
        browser.goto(old).await;
        let fresh = scene.is_open(&browser).await;
        assert!(fresh != first && fresh != second);
    }
    assert_eq!(scene.live_keys().len(), 1);
    assert_eq!(scene.api.all_keys().len(), 1, "one key for all of it");

    // In another browser the address opens nothing.
    let other = Browser::start().await;
    other.goto(&second).await;
    other.wait_for("[name=email]").await;
    scene.printed_no_secret();
}

#[tokio::test]
async fn signing_out_in_the_playground_ends_the_session_and_the_browser_goes_by_the_provider() {
    require!(Chromium, OidcProvider, Streamlit);
    let scene = Scene::start().await;
    let browser = scene.signed_in().await;
    let old = scene.is_open(&browser).await;
    browser.click("[data-testid=stButton] button").await;
    browser.wait_for_text("p", "Successfully logged out from ProConnect and expired token").await;
    browser.wait_for_text("p", "Not signed in").await;
    scene.api.answered("DELETE", "/", 1).await;
    assert!(scene.live_keys().is_empty(), "the key is deleted");

    browser.goto(&old).await;
    let signed_out = scene.at("/oauth2/signed_out");
    browser.wait_for_url(|url| url.starts_with(&signed_out)).await;
    browser.wait_for_text("p", "your ProConnect session are closed").await;
    let left: Vec<_> = browser.cookies().await.into_iter().map(|cookie| cookie.name).collect();
    assert!(!left.iter().any(|name| ["vestibule", "vestibule-tokens"].contains(&name.as_str())), "{left:?}");

    // The old address leads to a sign-in like any other, and the provider asks too.
    browser.goto(&old).await;
    browser.wait_for("[name=email]").await;
    assert!(browser.url().await.starts_with(&scene.provider.issuer));
    browser.click("button[value=sign-in]").await;
    assert_ne!(scene.is_open(&browser).await, old);
    scene.printed_no_secret();
    assert!(!scene.app.process.output().contains("Traceback"), "{}", scene.app.process.output());
}
