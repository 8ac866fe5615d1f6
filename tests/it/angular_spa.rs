//! A front-end that holds an access token in the memory of its page, as Angular builds it. It knows
//! four addresses of `token_endpoints` and no cookie.

use super::support::angular::{OPEN_FRONT, Play, Stage, built};
use super::support::browser::Browser;
use super::support::counterparts::{require, start_browser_app};
use super::support::scene::EMAIL;
use serde_json::json;

const ENDPOINTS: &str = "token_endpoints: {authorize: /api/authorize, token: /api/token, refresh: /api/refresh, \
                         logout: /api/logout, callback: /auth/callback}\nsign_out: {answer: {logout: ok}}\n";

async fn stage() -> Stage {
    let front = built("spa");
    let app = start_browser_app(&[("FRONT", front.to_str().unwrap())]).await;
    Stage::of(Play {
        upstream: &app.address,
        routes: OPEN_FRONT,
        more: ENDPOINTS,
        callback: "/auth/callback",
        apps: vec![app.process],
        ..Play::default()
    })
    .await
}

/// A browser that has signed in, and shows who it is.
async fn signed_in(stage: &Stage) -> Browser {
    let browser = Browser::start().await;
    browser.goto(&stage.at("/")).await;
    stage.sign_in(&browser, "/chat").await;
    browser.wait_for_text("#user", EMAIL).await;
    browser
}

/// How often `path` was answered with `status`, once it is `times`.
async fn answered(stage: &Stage, browser: &Browser, path: &str, status: u16, times: usize) {
    let so =
        async || stage.vestibule.access_lines(path).iter().filter(|line| line["status"] == status).count() == times;
    browser.wait_until(&format!("{path} was answered {status} {times} times"), so).await;
}

/// How many answers the page has shown.
async fn asked(browser: &Browser, times: u32) {
    browser.wait_until("it has its answers", async || browser.text("#asked").await == times.to_string()).await;
}

#[tokio::test]
async fn it_signs_in_renews_its_token_and_signs_out() {
    require!(Chromium, OidcProvider, FastApi, Angular);
    let stage = stage().await;
    let browser = signed_in(&stage).await;
    asked(&browser, 1).await;
    // Neither a cookie nor a storage that a script reads has anything of it, and no address has.
    let kept =
        "return [document.cookie.replace(/=[^;]*/g, ''), localStorage.length, sessionStorage.length, location.search]";
    assert_eq!(browser.execute(kept, json!([])).await, json!(["XSRF-TOKEN", 0, 0, ""]));

    // A token that counts no more is renewed, once for however many ask.
    let burst = "document.querySelector('#lose').click(); \
                 for (let times = 0; times < 5; times++) document.querySelector('#ask').click();";
    browser.execute(burst, json!([])).await;
    asked(&browser, 6).await;
    answered(&stage, &browser, "/api/chat", 401, 5).await;
    answered(&stage, &browser, "/api/refresh", 200, 1).await;
    answered(&stage, &browser, "/api/authorize", 200, 1).await;

    browser.click("#sign-out").await;
    browser.wait_for_text("#signed-out", r#"{"logout":"ok"}"#).await;
    assert!(browser.cookies().await.iter().all(|cookie| cookie.name != "vestibule"));
}

#[tokio::test]
async fn a_page_that_is_loaded_again_has_forgotten_its_token_and_gets_another_without_a_form() {
    require!(Chromium, OidcProvider, FastApi, Angular);
    let stage = stage().await;
    let browser = signed_in(&stage).await;
    browser.reload().await;
    browser.wait_for_text("#user", EMAIL).await;
    assert_eq!(browser.url().await, stage.at("/chat"));
    answered(&stage, &browser, "/api/authorize", 200, 2).await;
    answered(&stage, &browser, "/api/token", 200, 2).await;
    answered(&stage, &browser, "/api/refresh", 200, 0).await;

    // What came back once is worth nothing a second time.
    let callback = "return performance.getEntriesByType('navigation')[0].name";
    let callback = browser.execute(callback, json!([])).await;
    let callback = callback.as_str().unwrap();
    assert!(callback.contains("/auth/callback?") && callback.contains("code="), "{callback}");
    browser.goto(callback).await;
    browser.wait_for_text("#callback", "refused: 400 Invalid state").await;
}

#[tokio::test]
async fn signing_out_in_another_tab_ends_the_token_of_this_one() {
    require!(Chromium, OidcProvider, FastApi, Angular);
    let stage = stage().await;
    let browser = signed_in(&stage).await;
    let first = browser.tab().await;
    let second = browser.open_tab().await;
    browser.goto(&stage.at("/chat")).await;
    browser.wait_for_text("#user", EMAIL).await;
    // Each has its own; the second has taken nothing from the first.
    browser.switch_to_tab(&first).await;
    browser.click("#ask").await;
    asked(&browser, 2).await;
    browser.execute("window.kept = true", json!([])).await;

    browser.switch_to_tab(&second).await;
    browser.click("#sign-out").await;
    browser.wait_for_text("#signed-out", r#"{"logout":"ok"}"#).await;
    browser.switch_to_tab(&first).await;
    browser.click("#ask").await;
    // Its token counts no more, there is nothing to renew it with: to the provider and back.
    answered(&stage, &browser, "/api/refresh", 401, 1).await;
    answered(&stage, &browser, "/api/authorize", 200, 3).await;
    let anew = "return window.kept !== true && document.querySelector('#user')?.textContent";
    browser.wait_until("it is signed in anew", async || browser.execute(anew, json!([])).await == EMAIL).await;
    assert_eq!(browser.url().await, stage.at("/chat"));
}
