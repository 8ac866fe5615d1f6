//! Two providers in Chromium: the pages on which people choose, on a phone and at a desk, and the whole
//! way through with a provider that is not ours.

use super::support::binary::{Configuration, Vestibule};
use super::support::browser::Browser;
use super::support::counterparts::{OidcProvider, require};
use super::support::echo::Echo;
use super::support::ports::free_port;
use super::support::site::{SESSION_KEY, agent};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use vestibule::clock::Clock;
use vestibule::demo::Provider;
use vestibule::demo::provider::{Client as Registration, ProviderSettings};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

const ROUTES: &str = "[{path: /agents/**, provider: keycloak, upstream: app}, {path: /**, upstream: app}]";

/// The program between ProConnect's provider, as panva's `oidc-provider` plays it, and one of ours.
struct Cast {
    vestibule: Vestibule,
    proconnect: OidcProvider,
    keycloak: Provider,
    _echo: Echo,
}

async fn cast() -> Cast {
    let port = free_port();
    let own = |name: &str| format!("http://localhost:{port}/oauth2/{name}");
    let proconnect = OidcProvider::start(serde_json::json!({
        "redirect_uris": [own("callback/proconnect")],
        "post_logout_redirect_uris": [own("signed_out")],
    }))
    .await;
    let secret = SecretString::from(SESSION_KEY);
    let client = Registration::new("keycloak", secret, &own("callback/keycloak"), &own("signed_out"));
    let settings = ProviderSettings { clients: vec![client], ..ProviderSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keycloak = Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new())).unwrap();
    keycloak.sign_in_as(agent());
    let echo = Echo::start().await;
    let client = proconnect.client("ES256");
    let further = format!(
        "  keycloak:\n    issuer: {}\n    client_id: keycloak\n    client_secret: {{env: SESSION_KEY}}\n    \
         client_authentication: client_secret_post\n    scopes: [openid, given_name, usual_name, email]\n    \
         label: {{fr: votre compte d’agence, en: your agency account}}\n    email_domains: agence.example\n    timeout: 3m",
        keycloak.issuer()
    );
    let vestibule = Vestibule::serve(&Configuration {
        port,
        issuer: &proconnect.issuer,
        client_id: &client.id,
        client_secret: &client.secret,
        provider: &further,
        upstream: &format!("http://{}", echo.address),
        upstreams: "",
        routes: Some(ROUTES),
        more: "pages: {application: Albert Playground}",
    })
    .await;
    Cast { vestibule, proconnect, keycloak, _echo: echo }
}

async fn looked_at(browser: &Browser, name: &str) {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (width, size) in [(360, "phone"), (1280, "desk")] {
        browser.resize(width, 800).await;
        let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        assert_eq!(browser.execute(overflow, serde_json::json!([])).await, false, "{name} {size}");
        browser.screenshot(&pictures.join(format!("providers-{name}-{size}.png"))).await;
    }
}

#[tokio::test]
async fn people_choose_a_provider_and_are_told_when_another_is_needed() {
    require!(Chromium, OidcProvider);
    let cast = cast().await;
    let at = |path: &str| format!("{}{path}", cast.vestibule.origin);
    let french = Browser::start_in("fr").await;
    french.goto(&at("/chat?a=b")).await;
    french.wait_for_text("h1", "Connexion à Albert Playground").await;
    looked_at(&french, "choose-fr").await;
    // The Enter key presses the button of the address.
    french.fill("[name=email]", "marie@elsewhere.example\u{e007}").await;
    french.wait_for("#unfit").await;
    looked_at(&french, "unfit-fr").await;
    drop(french);

    let english = Browser::start_in("en").await;
    english.goto(&at("/chat?a=b#part")).await;
    english.wait_for_text("h1", "Sign in to Albert Playground").await;
    looked_at(&english, "choose-en").await;
    english.click("button.proconnect").await;
    english.wait_for_url(|url| url.starts_with(&cast.proconnect.issuer)).await;
    english.wait_for("[name=email]").await;
    english.fill("[name=email]", "agent@exemple.gouv.fr").await;
    english.click("button[value=sign-in]").await;
    english.wait_for_url(|url| url == at("/chat?a=b#part")).await;
    let source = english.source().await;
    assert!(source.contains("x-vestibule-provider") && source.contains("proconnect"), "{source}");

    english.goto(&at("/agents/x")).await;
    english.wait_for_text("h1", "Another account is needed").await;
    looked_at(&english, "other-en").await;
    english.click("button[value=keycloak]").await;
    english.wait_for_url(|url| url == at("/agents/x")).await;
    english.wait_until("the app shows it", async || english.source().await.contains("x-vestibule-provider")).await;
    assert_eq!(cast.keycloak.counters().token, 1);
    english.goto(&at("/oauth2/start?provider=proconnect")).await;
    english.wait_for_text("h1", "Change the account?").await;
    looked_at(&english, "switch-en").await;
    english.goto(&at("/oauth2/sign_out")).await;
    english.click("main form button").await;
    english.wait_for_text("h1", "You are signed out").await;
}
