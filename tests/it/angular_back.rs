//! The back button after a sign-out. Chromium keeps the pages that were left as they were (the
//! back/forward cache) and shows them again without asking anybody.

use super::support::angular::Stage;
use super::support::browser::Browser;
use super::support::counterparts::require;
use super::support::scene::EMAIL;
use serde_json::json;

/// What is shown after going back, once it is: as it was left, or loaded anew.
async fn back(browser: &Browser, steps: i32) -> (bool, String) {
    browser.execute("const [steps] = arguments; setTimeout(() => history.go(steps))", json!([steps])).await;
    let shown = "return [document.readyState, location.pathname, window.kept === true, document.querySelector('#user')?.textContent ?? '']";
    let settled = async || {
        let now = browser.execute(shown, json!([])).await;
        now[0] == "complete" && now[1] != "/oauth2/signed_out" && now[1] != "/"
    };
    browser.wait_until("another page is shown", settled).await;
    let now = browser.execute(shown, json!([])).await;
    (now[2] == true, now[3].as_str().unwrap().to_owned())
}

/// Marks the page, so that another one that was loaded is told from it.
async fn mark(browser: &Browser) {
    browser.wait_for_text("#user", EMAIL).await;
    browser.execute("window.kept = true", json!([])).await;
}

#[tokio::test]
async fn a_page_of_the_signed_in_does_not_come_back_after_signing_out() {
    require!(Chromium, OidcProvider, FastApi, Angular);
    let stage = Stage::direct().await;
    let browser = Browser::start().await;
    for caching in ["", "no-cache", "no-store"] {
        let page = format!("/chat?caching={caching}");
        browser.goto(&stage.at(&page)).await;
        stage.sign_in(&browser, &page).await;
        mark(&browser).await;
        if caching != "no-store" {
            // What the browser does otherwise; of pages that are not to be stored it keeps some.
            browser.goto(&stage.at("/oauth2/nothing")).await;
            let (as_it_was, _) = back(&browser, -1).await;
            assert!(as_it_was, "{caching:?}");
        }
        browser.click("#leave").await;
        let signed_out = stage.at("/oauth2/signed_out");
        browser.wait_for_url(|url| url.starts_with(&signed_out)).await;
        browser.wait_for("h1").await;
        let (as_it_was, user) = back(&browser, -1).await;
        assert_eq!((as_it_was, user.as_str()), (false, ""), "{caching:?}");
    }
}

#[tokio::test]
async fn nor_does_one_that_was_left_before_a_script_signed_out() {
    require!(Chromium, OidcProvider, FastApi, Angular);
    let stage = Stage::direct().await;
    let browser = stage.signed_in("/chat").await;
    mark(&browser).await;
    browser.goto(&stage.at("/chat?topic=another")).await;
    browser.wait_for_text("#user", EMAIL).await;
    browser.click("#sign-out").await;
    browser.wait_for_text("#signed-out", r#"{"logout":"ok"}"#).await;
    // What the page itself showed is gone with the view, and behind it is what must be loaded again.
    browser.wait_until("the view is another", async || browser.find("#user").await.is_none()).await;
    let (as_it_was, _) = back(&browser, -2).await;
    assert!(!as_it_was);
}
