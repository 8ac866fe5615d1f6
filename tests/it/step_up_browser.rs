//! The step-up in a person's Chromium, at the provider that ProConnect runs on: the whole way round, and the
//! pages that end it, as pictures.

use crate::support::binary::{Configuration, Vestibule};
use crate::support::browser::Browser;
use crate::support::counterparts::{OidcProvider, require};
use crate::support::ports::free_port;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use std::path::Path;
use tokio::net::TcpListener;

const ROUTES: &str = "[{path: /mfa/**, upstream: app, require: {acr: eidas1-mfa}}, {path: /**, upstream: app}]";

/// Fills in the provider's form and sends it.
async fn sign_in(browser: &Browser, email: &str, acr: &str) {
    browser.wait_for("[name=email]").await;
    let fill = "document.querySelector('[name=email]').value = arguments[0]; \
                document.querySelector('[name=acr]').value = arguments[1];";
    browser.execute(fill, json!([email, acr])).await;
    browser.click("button[value=sign-in]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_way_round_and_the_pages_at_its_end() {
    require!(Chromium, OidcProvider);
    let router = Router::new().route("/{*rest}", get(async || Html("<title>App</title><h1>The app</h1>")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let port = free_port();
    let own = |name| format!("http://localhost:{port}/oauth2/{name}");
    let provider = OidcProvider::start(json!({
        "redirect_uris": [own("callback")],
        "post_logout_redirect_uris": [own("signed_out")],
    }))
    .await;
    let client = provider.client("ES256");
    let vestibule = Vestibule::serve(&Configuration {
        port,
        issuer: &provider.issuer,
        client_id: &client.id,
        client_secret: &client.secret,
        provider: "",
        upstream: &upstream,
        upstreams: "",
        routes: Some(ROUTES),
        more: "",
    })
    .await;
    let at = |path: &str| format!("{}{path}", vestibule.origin);
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let browser = Browser::start().await;
    let me = "agent@exemple.gouv.fr";
    browser.goto(&at("/x")).await;
    sign_in(&browser, me, "eidas1").await;
    browser.wait_for_text("h1", "The app").await;
    // What they have there does not do, and no other page is shown than the provider's.
    browser.goto(&at("/mfa/deep/link?a=1&b=%20c")).await;
    sign_in(&browser, me, "eidas1-mfa").await;
    browser.wait_for_url(|url| url == at("/mfa/deep/link?a=1&b=%20c")).await;
    browser.wait_for_text("h1", "The app").await;
    // Another person, and a level that the provider does not have.
    for (name, email, acr, title) in [
        ("other-person", "somebody.else@exemple.gouv.fr", "eidas3", "This is not the same account"),
        ("level", me, "eidas1", "A stronger sign-in is needed"),
    ] {
        browser.goto(&at("/oauth2/start?acr_values=eidas2+eidas3&rd=/mfa/page")).await;
        sign_in(&browser, email, acr).await;
        browser.wait_for_text("h1", title).await;
        for (size, width, height) in [("phone", 390, 844), ("desktop", 1280, 900)] {
            browser.resize(width, height).await;
            browser.screenshot(&pictures.join(format!("step-up-{name}-{size}.png"))).await;
        }
        browser.goto(&at("/mfa/still")).await;
        browser.wait_for_text("h1", "The app").await;
        assert_eq!(browser.url().await, at("/mfa/still"));
    }
    // A recent proof: its own session ends first, or it would show nothing.
    browser.goto(&at("/oauth2/start?max_age=60&rd=/mfa/recent")).await;
    sign_in(&browser, me, "eidas1-mfa").await;
    browser.wait_for_url(|url| url == at("/mfa/recent")).await;
    browser.wait_for_text("h1", "The app").await;
}
