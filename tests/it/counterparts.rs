//! The counterparts themselves, without Vestibule between them: when one of these fails, no other
//! test that uses it says anything about Vestibule.

use crate::support::browser::Browser;
use crate::support::counterparts::{
    require, start_fastapi, start_fastapi_on_socket, start_oidc_provider, start_streamlit,
};
use std::io::{Read, Write};

#[tokio::test]
async fn chromium_shows_the_fastapi_app_with_its_socket_and_its_events() {
    require!(Chromium, FastApi);
    let app = start_fastapi().await;
    let browser = Browser::start().await;

    browser.goto(&format!("{}/page", app.address)).await;
    browser.wait_for_text("#email", "nobody").await;
    browser.wait_for_text("#socket", "open").await;
    browser.wait_until("three events came", async || browser.text("#events").await.parse::<u32>().unwrap() >= 3).await;
    assert_eq!(browser.text("#socket-email").await, "nobody");
    assert!(browser.cookies().await.is_empty());

    // A closed tab is a client that left; a page left behind may live on for the way back.
    let first = browser.tab().await;
    let second = browser.open_tab().await;
    browser.switch_to_tab(&first).await;
    browser.close_tab(&second).await;
    browser.goto(&format!("{}/streams", app.address)).await;
    browser
        .wait_until("the app saw it leave", async || {
            browser.reload().await;
            browser.text("body").await.contains(r#""sockets":0,"events":0"#)
        })
        .await;
}

#[tokio::test]
async fn the_browser_keeps_cookies_and_takes_pictures() {
    require!(Chromium, FastApi);
    let mut app = start_fastapi().await;
    let browser = Browser::start().await;
    browser.goto(&format!("{}/page", app.address)).await;
    assert_eq!(browser.title().await, "Counterpart");

    browser.execute("document.cookie = 'flavour=oat; Path=/page; SameSite=Lax'", serde_json::json!([])).await;
    let cookies = browser.cookies().await;
    let [cookie] = cookies.as_slice() else { panic!("one cookie, not {cookies:?}") };
    assert_eq!((cookie.name.as_str(), cookie.value.as_str()), ("flavour", "oat"));
    assert_eq!((cookie.domain.as_str(), cookie.path.as_str()), ("127.0.0.1", "/page"));
    assert_eq!((cookie.secure, cookie.http_only, cookie.same_site.as_str()), (false, false, "Lax"));
    browser.forget_cookies().await;
    assert!(browser.cookies().await.is_empty());

    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("page.png");
    browser.screenshot(&picture).await;
    assert!(std::fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    app.process.ready(|line| line.contains("GET /page").then_some(())).await;
}

#[tokio::test]
async fn fastapi_answers_on_a_unix_socket() {
    require!(FastApi);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let app = start_fastapi_on_socket(&path).await;
    assert_eq!(app.address, format!("unix:{}", path.display()));

    let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn streamlit_renders_counts_and_takes_a_file_in_chromium() {
    require!(Chromium, Streamlit);
    let app = start_streamlit().await;
    let browser = Browser::start().await;

    browser.goto(&app.address).await;
    browser.wait_for_text("p", "Email: nobody").await;
    browser.wait_for_text("p", "Counted 0").await;
    browser.click("[data-testid=stButton] button").await;
    browser.wait_for_text("p", "Counted 1").await;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file.txt");
    std::fs::write(&file, "abc").unwrap();
    browser.type_text("input[type=file]", file.to_str().unwrap()).await;
    browser.wait_for_text("p", "Received 3 bytes, sha256 ba7816bf").await;
}

#[tokio::test]
async fn the_provider_signs_a_person_in_in_chromium() {
    require!(Chromium, OidcProvider, FastApi);
    // Any page that shows the query will do as a callback.
    let app = start_fastapi().await;
    let callback = format!("{}/", app.address);
    let provider = start_oidc_provider(&[&callback], &[], serde_json::json!({ "usual_name": "Nguyễn" })).await;
    let client = provider.client("ES256");
    assert_eq!(client.userinfo_algorithm.as_deref(), Some("ES256"));
    assert!(!client.secret.is_empty());

    let browser = Browser::start_in("fr").await;
    browser.goto(&format!("{}/.well-known/openid-configuration", provider.issuer)).await;
    let metadata = browser.wait_for("body").await.text().await;
    assert!(metadata.contains(&format!("{}/authorize", provider.issuer)), "{metadata}");

    let url = url::Url::parse_with_params(
        &format!("{}/authorize", provider.issuer),
        [
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", &callback),
            ("scope", "openid email"),
            ("state", &"s".repeat(32)),
            ("nonce", &"n".repeat(32)),
        ],
    );
    browser.goto(url.unwrap().as_str()).await;
    let name = browser.wait_for("[name=usual_name]").await;
    assert_eq!(name.attribute("value").await.as_deref(), Some("Nguyễn"));
    browser.fill("[name=email]", "agent@exemple.gouv.fr").await;
    browser.click("button[value=sign-in]").await;
    let arrived = browser.wait_for_url(|url| url.starts_with(&callback)).await;
    assert!(arrived.contains("code=") && arrived.contains("iss="), "{arrived}");
}
