//! Attacks on a sign-in, and outages in the middle of one, with ProConnect's provider and Chromium.
//!
//! A callback is held back by stopping Vestibule while the person signs in: the browser is left at
//! an address that nobody answered. That a sign-in goes on after a restart is proved on the way.

use crate::support::browser::Browser;
use crate::support::counterparts::{require, start_fastapi};
use crate::support::scene::{Cast, EMAIL, Scene};
use serde_json::json;

/// Signs in as far as the provider's answer, and keeps that.
async fn held_callback(scene: &mut Scene, browser: &Browser, email: &str, path: &str) -> String {
    scene.open_form(browser, path).await;
    browser.fill("[name=email]", email).await;
    scene.vestibule.stop();
    browser.click("button[value=sign-in]").await;
    let callback = scene.at("/oauth2/callback?");
    let held = browser.wait_for_url(|url| url.starts_with(&callback)).await;
    // Chromium tries again by itself what could not be reached.
    browser.goto("about:blank").await;
    scene.vestibule.start_again().await;
    held
}

/// The callback with the code of another one.
fn with_code_of(callback: &str, other: &str) -> String {
    let other = url::Url::parse(other).unwrap();
    let mut url = url::Url::parse(callback).unwrap();
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| match name.as_ref() {
            "code" => other.query_pairs().find(|(name, _)| name == "code").unwrap(),
            _ => (name, value),
        })
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.into()
}

/// Whether the browser has a session.
async fn is_signed_in(scene: &Scene, browser: &Browser) -> bool {
    browser.goto(&scene.at("/health")).await;
    let status = browser.execute("return fetch('/whoami').then((answer) => answer.status)", json!([])).await;
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

async fn session_cookie(scene: &Scene, browser: &Browser) -> Option<String> {
    browser.goto(&scene.at("/health")).await;
    browser.cookies().await.into_iter().find(|cookie| cookie.name == "vestibule").map(|cookie| cookie.value)
}

#[tokio::test]
async fn a_code_that_another_browser_was_given_signs_nobody_in() {
    require!(Chromium, OidcProvider, FastApi);
    let mut scene = Scene::with(start_fastapi().await).await;
    let (mine, theirs) = (Browser::start().await, Browser::start().await);
    let my_callback = held_callback(&mut scene, &mine, "moi@exemple.gouv.fr", "/page").await;
    let their_callback = held_callback(&mut scene, &theirs, "elle@exemple.gouv.fr", "/page").await;

    // My state with her code: the PKCE verifier is mine, the challenge was hers.
    mine.goto(&with_code_of(&my_callback, &their_callback)).await;
    mine.wait_for_text("h1", "no longer valid").await;
    assert!(!is_signed_in(&scene, &mine).await);
    let line = scene.vestibule.access_line("/oauth2/callback", |_| true).await;
    assert!(line["reason"].as_str().unwrap().contains("invalid_grant"), "{line}");

    // My code under her state does not make her me either (a forced sign-in).
    theirs.goto(&with_code_of(&their_callback, &my_callback)).await;
    theirs.wait_for_text("h1", "no longer valid").await;
    assert!(!is_signed_in(&scene, &theirs).await);
}

#[tokio::test]
async fn a_callback_counts_only_in_the_browser_that_began() {
    require!(Chromium, OidcProvider, FastApi);
    let mut scene = Scene::with(start_fastapi().await).await;
    let (mine, theirs, new) = (Browser::start().await, Browser::start().await, Browser::start().await);
    let my_callback = held_callback(&mut scene, &mine, EMAIL, "/page").await;

    // In a browser that is signing in itself, and in one that has never been here.
    scene.open_form(&theirs, "/page").await;
    theirs.goto(&my_callback).await;
    // It begins once more, as whoever sits there; nothing of my answer counts.
    theirs.wait_for("[name=email]").await;
    assert!(!is_signed_in(&scene, &theirs).await);
    new.goto(&my_callback).await;
    new.wait_for_text("h1", "did not send the sign-in cookie back").await;
    assert!(!is_signed_in(&scene, &new).await);

    // Nor did the others use it up.
    mine.goto(&my_callback).await;
    mine.wait_for_text("#email", EMAIL).await;
    assert_eq!(mine.url().await, scene.at("/page"));
}

#[tokio::test]
async fn a_callback_counts_once() {
    require!(Chromium, OidcProvider, FastApi);
    let mut scene = Scene::with(start_fastapi().await).await;
    let browser = Browser::start().await;
    let callback = held_callback(&mut scene, &browser, EMAIL, "/page").await;
    browser.goto(&callback).await;
    browser.wait_for_text("#email", EMAIL).await;
    let session = session_cookie(&scene, &browser).await.unwrap();

    // Again with its session (the back button): nothing happens, and the page is there.
    browser.goto(&callback).await;
    browser.wait_for_text("#email", EMAIL).await;
    assert_eq!(session_cookie(&scene, &browser).await.unwrap(), session);

    // Again after signing out: it signs nobody in.
    browser.execute("location.href = '/oauth2/sign_out'", json!([])).await;
    browser.wait_for_text("h1", "You are signed out").await;
    browser.goto(&callback).await;
    browser.wait_for_text("h1", "no longer valid").await;
    assert!(!is_signed_in(&scene, &browser).await);
}

#[tokio::test]
async fn a_session_cookie_ends_with_its_sign_out_wherever_it_was_copied() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let (mine, thief) = (scene.signed_in("/page").await, Browser::start().await);
    let stolen = session_cookie(&scene, &mine).await.unwrap();
    thief.goto(&scene.at("/health")).await;
    thief.execute("document.cookie = `vestibule=${arguments[0]}; Path=/`", json!([stolen])).await;
    assert!(is_signed_in(&scene, &thief).await);

    mine.execute("location.href = '/oauth2/sign_out'", json!([])).await;
    mine.wait_for_text("h1", "You are signed out").await;
    assert!(!is_signed_in(&scene, &thief).await);
}

#[tokio::test]
async fn a_client_with_a_wrong_secret_signs_nobody_in() {
    require!(Chromium, OidcProvider, FastApi);
    let wrong = "a-secret-of-more-than-32-bytes-that-is-not-registered";
    let cast = Cast { algorithm: "HS256", wrong_secret: Some(wrong), ..Cast::default() };
    let scene = Scene::of(start_fastapi().await, cast).await;
    let browser = Browser::start().await;
    scene.open_form(&browser, "/page").await;
    browser.click("button[value=sign-in]").await;
    // An operator's mistake, and the page says whose it is.
    browser.wait_for_text("p", "the application’s configuration needs correcting").await;
    assert!(!is_signed_in(&scene, &browser).await);
    let line = scene.vestibule.access_line("/oauth2/callback", |_| true).await;
    assert_eq!((line["level"].as_str(), line["status"].as_u64()), (Some("ERROR"), Some(500)));
    assert!(line["reason"].as_str().unwrap().contains("invalid_client"), "{line}");
}

#[tokio::test]
async fn a_provider_that_restarts_with_new_keys_amid_sign_ins_signs_in_again_without_our_restart() {
    require!(Chromium, OidcProvider, FastApi);
    let mut scene = Scene::with(start_fastapi().await).await;
    let steady = scene.signed_in("/page").await;
    let browser = Browser::start().await;
    let callback = held_callback(&mut scene, &browser, EMAIL, "/page").await;
    let late = Browser::start().await;
    scene.open_form(&late, "/page").await;

    scene.provider.stop();
    // Between its form and its token endpoint: the page says that it is down, and whoever has a
    // session goes on.
    browser.goto(&callback).await;
    browser.wait_for_text("h1", "Sign-in is unavailable for the moment").await;
    scene.vestibule.access_line("/oauth2/callback", |line| line["status"] == 503).await;
    steady.reload().await;
    steady.wait_for_text("#email", EMAIL).await;

    scene.provider.start_again().await;
    // The form of before the restart is nothing to it any more.
    late.click("button[value=sign-in]").await;
    late.wait_for_text("#error-code", "Y190001").await;
    for browser in [&browser, &late] {
        scene.sign_in_as(browser, EMAIL, "/page").await;
        browser.wait_for_text("#email", EMAIL).await;
    }
}
