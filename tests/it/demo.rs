//! `vestibule demo`, as somebody sees it who has just built it: one command, one address, Chromium.

use crate::support::binary::Vestibule;
use crate::support::browser::Browser;
use crate::support::counterparts::require;
use crate::support::ports::free_port;

/// The value that the app's page shows for an identity header.
async fn identity(browser: &Browser, header: &str) -> String {
    let script = "return [...document.querySelectorAll('table.identity tbody tr')] \
                  .find((row) => row.cells[0].textContent === arguments[0])?.cells[1].textContent ?? 'none'";
    browser.execute(script, serde_json::json!([header])).await.as_str().unwrap().to_owned()
}

/// Opens the demo's page and chooses the first test agent.
async fn sign_in(demo: &Vestibule, browser: &Browser) -> String {
    browser.goto(&format!("{}/", demo.origin)).await;
    browser.wait_for_text("h1", "Se connecter à").await;
    let email = browser.text("button.agent .detail").await;
    browser.click("button.agent").await;
    let there = format!("{}/", demo.origin);
    browser.wait_for_url(|url| url == there).await;
    email
}

async fn count(browser: &Browser, id: &str) -> u32 {
    browser.text(id).await.parse().unwrap()
}

#[tokio::test]
async fn it_prints_the_one_address_to_open() {
    let port = free_port();
    let demo = Vestibule::demo(port).await;
    assert_eq!(demo.origin, format!("http://localhost:{port}"));
    assert_eq!(demo.output().matches("http://").count(), 1, "{}", demo.output());
}

#[tokio::test]
async fn a_test_agent_signs_in_and_the_app_shows_who_it_is_live() {
    require!(Chromium);
    let demo = Vestibule::demo(free_port()).await;
    let browser = Browser::start().await;
    let email = sign_in(&demo, &browser).await;
    assert_eq!(identity(&browser, "x-auth-request-email").await, email);
    assert!(identity(&browser, "x-auth-request-user").await.len() >= 32);

    browser.wait_for_text("#socket-state", "open").await;
    browser.wait_for_text("#stream-state", "open").await;
    browser.wait_until("the socket ticks", async || count(&browser, "#socket-ticks").await >= 2).await;
    browser.wait_until("events come", async || count(&browser, "#stream-count").await >= 2).await;
    for who in ["#socket-person", "#stream-person"] {
        assert_eq!(browser.text(who).await, "Hélène Anaïs Lefèvre-Nuñez", "{who}");
    }
    browser.type_text("#socket-text", "déjà vu").await;
    browser.click("#socket-form button").await;
    browser.wait_for_text("#socket-log li", "déjà vu").await;
}

#[tokio::test]
async fn the_sign_out_button_goes_the_whole_way_round() {
    require!(Chromium);
    let demo = Vestibule::demo(free_port()).await;
    let browser = Browser::start_in("fr").await;
    sign_in(&demo, &browser).await;
    browser.click("header form button").await;
    // Where the tokens have not been given back yet, the provider's page tells the app in a frame,
    // and a link leads back.
    let signed_out = format!("{}/oauth2/signed_out", demo.origin);
    browser
        .wait_until("the browser is back", async || {
            if browser.find("iframe").await.is_some() {
                browser.click("p.lead a").await;
            }
            browser.url().await.starts_with(&signed_out)
        })
        .await;
    browser.wait_for_text("h1", "Déconnexion effectuée").await;
    browser.wait_for_text("p", "votre session ProConnect sont fermées").await;
    browser.reload().await;
    browser.wait_for_text("h1", "Déconnexion effectuée").await;
    // Signed out at the provider as well: it asks again.
    browser.click("a.button").await;
    browser.wait_for_text("h1", "Se connecter à").await;
}

#[tokio::test]
async fn a_typed_person_signs_in_and_a_mistyped_one_is_told_what_is_wrong() {
    require!(Chromium);
    let demo = Vestibule::demo(free_port()).await;
    let browser = Browser::start().await;
    browser.goto(&format!("{}/?dossier=7", demo.origin)).await;
    browser.click("summary").await;
    browser.fill("#email", "zoé").await;
    browser.fill("#given_name", "Zoé").await;
    browser.fill("#usual_name", "Lefèvre-Nguyễn").await;
    browser.fill("#siret", "130 025 265 00013").await;
    browser.click("form.typed button").await;
    browser.wait_for_text("#email-error", "Saisissez une adresse électronique complète.").await;
    browser.fill("#email", "zoe.lefevre@exemple.gouv.fr").await;
    browser.click("form.typed button").await;
    let there = format!("{}/?dossier=7", demo.origin);
    browser.wait_for_url(|url| url == there).await;
    browser.wait_for_text("h1", "Zoé Lefèvre-Nguyễn").await;
    assert_eq!(identity(&browser, "x-auth-request-email").await, "zoe.lefevre@exemple.gouv.fr");
}

#[tokio::test]
async fn a_second_visit_reuses_the_provider_s_session_without_a_page() {
    require!(Chromium);
    let demo = Vestibule::demo(free_port()).await;
    let browser = Browser::start().await;
    let email = sign_in(&demo, &browser).await;
    browser.forget_cookies().await;
    browser.goto(&format!("{}/?again", demo.origin)).await;
    assert_eq!(browser.url().await, format!("{}/?again", demo.origin));
    assert_eq!(identity(&browser, "x-auth-request-email").await, email);
}

#[tokio::test]
async fn the_public_page_needs_no_sign_in_and_knows_who_has_signed_in() {
    require!(Chromium);
    let demo = Vestibule::demo(free_port()).await;
    let browser = Browser::start().await;
    let public = format!("{}/public", demo.origin);
    browser.goto(&public).await;
    browser.wait_for_text(".none", "No identity header.").await;
    assert_eq!(identity(&browser, "x-auth-request-email").await, "none");
    let email = sign_in(&demo, &browser).await;
    browser.goto(&public).await;
    assert_eq!(identity(&browser, "x-auth-request-email").await, email);
}

#[tokio::test]
async fn signing_out_everywhere_at_the_provider_ends_the_app_s_session() {
    require!(Chromium);
    let demo = Vestibule::demo(free_port()).await;
    let browser = Browser::start().await;
    browser.goto(&format!("{}/", demo.origin)).await;
    browser.wait_for("button.agent").await;
    let provider = url::Url::parse(&browser.url().await).unwrap().join("/api/v2/sessions").unwrap();
    sign_in(&demo, &browser).await;
    browser.wait_for_text("#socket-state", "open").await;
    let app = browser.tab().await;
    browser.open_tab().await;
    browser.goto(provider.as_str()).await;
    browser.click("button.agent").await;
    browser.wait_for_text(".info", "200").await;
    browser.switch_to_tab(&app).await;
    browser.wait_until("the socket is cut", async || browser.text("#socket-state").await != "open").await;
    browser.reload().await;
    browser.wait_for_text("h1", "Se connecter à").await;
}
