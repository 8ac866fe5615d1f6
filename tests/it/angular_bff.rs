//! A front-end that leans on the session of its back-end, as Angular builds it: FastAPI directly behind
//! the program, and behind an nginx that strips `/api`. None of them knows of Vestibule.

use super::support::angular::Stage;
use super::support::browser::Browser;
use super::support::counterparts::require;
use super::support::scene::EMAIL;
use serde_json::json;

/// What a script of the page sees of cookies, and the tokens in its storage.
const SEEN: &str = "return [document.cookie.replace(/=[^;]*/g, ''), localStorage.length, sessionStorage.length]";

async fn the_whole_way(stage: &Stage) {
    let deep = "/chat?topic=caf%C3%A9";
    let browser = stage.signed_in(deep).await;
    browser.wait_for_text("#user", EMAIL).await;
    assert_eq!(browser.text("#topic").await, "café");
    // The app's own pair of cookie and header is nothing to us: with it the app takes a message, and
    // without it the app itself refuses.
    let bare = "return fetch('/api/chat', { method: 'POST', body: '{}' }).then(async (answer) => [answer.status, await answer.json()])";
    assert_eq!(browser.execute(bare, json!([])).await, json!([403, { "detail": "Forbidden" }]));
    browser.click("#send").await;
    browser.wait_for_text("#sent", "Bonjour").await;
    assert_eq!(browser.execute(SEEN, json!([])).await, json!(["XSRF-TOKEN", 0, 0]));
    browser.click("#to-analytics").await;
    browser.wait_for_text("#user", EMAIL).await;
    browser.wait_for_text("#socket", EMAIL).await;
    browser.wait_for_text("#events", EMAIL).await;

    // Signed out by a script in another tab: here, at once.
    let first = browser.tab().await;
    let second = browser.open_tab().await;
    browser.goto(&stage.at("/chat")).await;
    browser.wait_for_text("#user", EMAIL).await;
    browser.click("#sign-out").await;
    browser.wait_for_text("#signed-out", r#"{"logout":"ok"}"#).await;
    browser.switch_to_tab(&first).await;
    browser.wait_for_text("#socket", "closed").await;
    browser.wait_for_text("#events", "closed").await;

    // Its next request is 401, which leads to the provider, where the person is signed in still, and back.
    browser.click("#to-chat").await;
    browser.wait_for_text("#user", EMAIL).await;
    assert_eq!(browser.url().await, stage.at("/chat"));
    let asked = stage.vestibule.access_lines("/api/chat");
    assert!(asked.iter().any(|line| line["status"] == 401), "{asked:?}");
    browser.switch_to_tab(&second).await;
    browser.click("#to-chat").await;
    browser.wait_for_text("#user", EMAIL).await;

    // By a link: the whole way round.
    browser.click("#leave").await;
    let signed_out = stage.at("/oauth2/signed_out");
    browser.wait_for_url(|url| url.starts_with(&signed_out)).await;
    browser.switch_to_tab(&first).await;
    browser.click("#ask").await;
    browser.wait_for("[name=email]").await;
    stage.sign_in(&browser, "/chat").await;
    browser.wait_for_text("#user", EMAIL).await;
}

#[test]
fn the_documented_code_is_what_the_front_end_does() {
    let (file, page) =
        (include_str!("../counterparts/angular/bff/sign-in.ts"), include_str!("../../docs/browser-apps.md"));
    let code = &file[file.find("export const signIn").unwrap()..];
    assert!(page.contains(code), "docs/browser-apps.md does not have:\n{code}");
}

#[tokio::test]
async fn fastapi_with_its_front_end() {
    require!(Chromium, OidcProvider, FastApi, Angular);
    let stage = Stage::direct().await;
    the_whole_way(&stage).await;
}

#[tokio::test]
async fn fastapi_behind_nginx_with_a_front_end_for_everybody() {
    require!(Chromium, OidcProvider, FastApi, Nginx, Angular);
    let stage = Stage::behind_nginx().await;
    the_whole_way(&stage).await;

    // The page is there before anybody is signed in; its link leads on.
    let browser = Browser::start().await;
    browser.goto(&stage.at("/")).await;
    browser.click("#sign-in").await;
    stage.sign_in(&browser, "/chat").await;
    browser.wait_for_text("#user", EMAIL).await;
    // What stands behind a `#` goes the whole way too, for the app says where it is.
    let browser = Browser::start().await;
    browser.goto(&stage.at("/chat?topic=a%26b#last")).await;
    stage.sign_in(&browser, "/chat?topic=a%26b#last").await;
    browser.wait_for_text("#topic", "a&b").await;
}
