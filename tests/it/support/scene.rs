//! The whole scene with real actors: ProConnect's provider, the program, an app, and Chromium.

use super::binary::{Configuration, Vestibule};
use super::browser::Browser;
use super::counterparts::{Application, OidcProvider};
use super::ports::free_port;
use axum::Router;
use tokio::net::TcpListener;

/// Who signs in where a test does not care who: the person that the provider's form proposes.
pub(crate) const EMAIL: &str = "agent@exemple.gouv.fr";
/// Their name as it stands in a header.
pub(crate) const ENCODED_NAME: &str = "H%C3%A9l%C3%A8ne Moreau-Lef%C3%A8vre";

/// What a scene is made of; `..Cast::default()` for what a test does not care about.
pub(crate) struct Cast {
    /// What the client's ID tokens are signed with.
    pub(crate) algorithm: &'static str,
    /// A client secret other than the registered one.
    pub(crate) wrong_secret: Option<&'static str>,
    /// Further top-level keys of the configuration.
    pub(crate) more: &'static str,
    /// Whether the provider tells us of sign-outs (back-channel logout).
    pub(crate) told: bool,
    /// Whether the provider shows its form to everybody who has to prove something.
    pub(crate) asks: bool,
    /// Routes in the place of the usual ones, as a list in brackets.
    pub(crate) routes: Option<&'static str>,
}

impl Default for Cast {
    fn default() -> Self {
        Self { algorithm: "ES256", wrong_secret: None, more: "", told: false, asks: false, routes: None }
    }
}

/// An app of the test's own on a free port: its address.
pub(crate) async fn app_of(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// The program in front of `upstream`, and the provider.
pub(crate) async fn in_front_of(upstream: &str, cast: &Cast) -> (Vestibule, OidcProvider) {
    let port = free_port();
    let own = |name| format!("http://localhost:{port}/oauth2/{name}");
    let mut settings = serde_json::json!({
        "redirect_uris": [own("callback")],
        "post_logout_redirect_uris": [own("signed_out")],
        "asks": cast.asks,
    });
    if cast.told {
        settings["backchannel_logout_uri"] = own("backchannel_logout").into();
    }
    let provider = OidcProvider::start(settings).await;
    let client = provider.client(cast.algorithm);
    let vestibule = Vestibule::serve(&Configuration {
        port,
        issuer: &provider.issuer,
        client_id: &client.id,
        client_secret: cast.wrong_secret.unwrap_or(&client.secret),
        // HS256 counts only where an operator has written it.
        provider: if cast.algorithm == "HS256" { "    id_token_algorithms: [HS256]" } else { "" },
        upstream,
        upstreams: "",
        routes: cast.routes,
        more: cast.more,
    })
    .await;
    (vestibule, provider)
}

/// Everything but the browsers, running.
pub(crate) struct Scene {
    pub(crate) vestibule: Vestibule,
    pub(crate) provider: OidcProvider,
    pub(crate) app: Application,
}

impl Scene {
    /// `app` behind the program, with the provider's client that signs with ES256.
    pub(crate) async fn with(app: Application) -> Self {
        Self::of(app, Cast::default()).await
    }

    pub(crate) async fn of(app: Application, cast: Cast) -> Self {
        let (vestibule, provider) = in_front_of(&app.address, &cast).await;
        Self { vestibule, provider, app }
    }

    /// The address of `path` at the site.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.vestibule.origin)
    }

    /// Opens `path` and waits for the provider's form.
    pub(crate) async fn open_form(&self, browser: &Browser, path: &str) {
        browser.goto(&self.at(path)).await;
        browser.wait_for("[name=email]").await;
        let url = browser.url().await;
        assert!(url.starts_with(&self.provider.issuer), "{url}");
    }

    /// Opens `path`, signs in on the provider's form as the person with `email`, and is back there.
    pub(crate) async fn sign_in_as(&self, browser: &Browser, email: &str, path: &str) {
        self.open_form(browser, path).await;
        browser.fill("[name=email]", email).await;
        browser.click("button[value=sign-in]").await;
        let there = self.at(path);
        browser.wait_for_url(|url| url == there).await;
    }

    /// A browser that has signed in and shows `path`.
    pub(crate) async fn signed_in(&self, path: &str) -> Browser {
        let browser = Browser::start().await;
        self.sign_in_as(&browser, EMAIL, path).await;
        browser
    }
}
