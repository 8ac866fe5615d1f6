//! Expired in the middle, in a person's Chromium: a form on its way round by the sign-in, and an
//! address whose last part no server sees.

use crate::support::binary::Vestibule;
use crate::support::browser::Browser;
use crate::support::counterparts::{OidcProvider, require};
use crate::support::scene::{Cast, app_of, in_front_of};
use axum::body::Bytes;
use axum::response::Html;
use axum::routing::get;
use axum::{Router, extract::DefaultBodyLimit};
use http::HeaderMap;
use serde_json::json;
use std::sync::{Arc, Mutex};

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>App</title><h1>The app</h1>
<form id="plain" method="post" action="/save?draft=7"><input name="title" value="Été &amp; hiver"><textarea name="text">
one
two</textarea><input name="tag" value="1"><input name="tag" value="2"><input name="empty">
<input type="password" name="password" value="hunter2hunter2"><button name="go" value="now">Go</button></form>
<form id="files" method="post" action="/attach" enctype="multipart/form-data"><input name="title" value="&quot;Été&quot;">
<input type="file" name="file"><input type="file" name="more"><button>Go</button></form>"#;

/// What reached the app: headers and body of every POST, and who opened it last.
#[derive(Clone, Default)]
struct Seen {
    posted: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    person: Arc<Mutex<String>>,
}

struct Scene {
    vestibule: Vestibule,
    provider: OidcProvider,
    seen: Seen,
}

impl Scene {
    async fn with(more: &'static str) -> Self {
        let seen = Seen::default();
        let (shows, writes) = (seen.clone(), seen.clone());
        let show = async move |headers: HeaderMap| {
            if let Some(person) = headers.get("x-auth-request-user") {
                *shows.person.lock().unwrap() = person.to_str().unwrap().to_owned();
            }
            Html(PAGE)
        };
        let write = async move |headers: HeaderMap, body: Bytes| {
            writes.posted.lock().unwrap().push((headers, body));
            Html("<title>Saved</title><h1>Saved</h1>")
        };
        let router = Router::new().route("/{*rest}", get(show).post(write)).layer(DefaultBodyLimit::disable());
        let cast = Cast { more, told: true, ..Cast::default() };
        let (vestibule, provider) = in_front_of(&app_of(router).await, &cast).await;
        Self { vestibule, provider, seen }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.vestibule.origin)
    }

    /// Signs in on the provider's form, and is at this address.
    async fn sign_in(&self, browser: &Browser, there: &str) {
        browser.wait_for("[name=email]").await;
        browser.click("button[value=sign-in]").await;
        browser.wait_for_url(|url| url == there).await;
    }

    /// Ends the session and the provider's: the browser has its cookie still.
    async fn end_session(&self) {
        let person = self.seen.person.lock().unwrap().clone();
        assert_eq!(self.provider.sign_out(&person).await["told"], 1);
    }

    fn arrived(&self) -> usize {
        self.seen.posted.lock().unwrap().len()
    }
}

/// Presses that button of the app's page after the end of the session, signs in, and is at the page
/// that offers the form.
async fn offered(scene: &Scene, browser: &Browser, button: &str) {
    scene.end_session().await;
    browser.click(button).await;
    browser.wait_for_text(".notice", "It has been kept").await;
    browser.click("button.proconnect").await;
    browser.wait_for("[name=email]").await;
    browser.click("button[value=sign-in]").await;
    browser.wait_for_text("h1", "Send your form?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_goes_round_by_the_sign_in_and_arrives_once_whatever_is_pressed() {
    require!(Chromium, OidcProvider);
    let scene = Scene::with("").await;
    let browser = Browser::start().await;
    browser.goto(&scene.at("/edit?step=2")).await;
    scene.sign_in(&browser, &scene.at("/edit?step=2")).await;
    offered(&scene, &browser, "#plain button").await;
    assert!(browser.url().await.starts_with(&scene.at("/oauth2/form?id=")));
    browser.reload().await;
    browser.wait_for_text("dd", "7 (title, text, tag, empty, password, go)").await;
    assert!(!browser.text("main").await.contains("hunter2"));
    assert_eq!(scene.arrived(), 0);

    // Twice at once: the browser gives the first press up for the second.
    browser.execute("const form = document.querySelector('main form'); form.submit(); form.submit()", json!([])).await;
    browser.wait_for_text("h1", "Saved").await;
    assert_eq!(browser.url().await, scene.at("/save?draft=7"));
    let (headers, body) = scene.seen.posted.lock().unwrap().last().unwrap().clone();
    let sent = "title=%C3%89t%C3%A9+%26+hiver&text=one%0D%0Atwo&tag=1&tag=2&empty=&password=hunter2hunter2&go=now";
    assert_eq!((String::from_utf8_lossy(&body).as_ref(), scene.arrived()), (sent, 1));
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(headers["origin"], scene.vestibule.origin.as_str());

    browser.reload().await;
    browser.wait_for_text("h1", "This form is no longer here").await;
    browser.execute("history.back()", json!([])).await;
    browser.wait_for_url(|url| url.contains("/oauth2/form?id=")).await;
    // The page as it was, or what there is now.
    if browser.title().await.starts_with("Send") {
        browser.click("main form button").await;
    }
    browser.wait_for_text("h1", "This form is no longer here").await;
    assert_eq!(scene.arrived(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_chosen_again_and_arrives_whole() {
    require!(Chromium, OidcProvider);
    let scene = Scene::with("").await;
    let browser = Browser::start().await;
    browser.goto(&scene.at("/edit")).await;
    scene.sign_in(&browser, &scene.at("/edit")).await;
    let directory = tempfile::tempdir().unwrap();
    let (small, large) = (directory.path().join("notes d’été.txt"), directory.path().join("large.bin"));
    std::fs::write(&small, "abc").unwrap();
    // More than any buffer on the way holds.
    let content: Vec<u8> = (0..20 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(&large, &content).unwrap();
    browser.type_text("#files [name=file]", small.to_str().unwrap()).await;
    offered(&scene, &browser, "#files button").await;
    browser.wait_for_text("label", "file (notes d’été.txt)").await;
    browser.type_text("[name=file]", large.to_str().unwrap()).await;
    browser.click("main form button").await;
    browser.wait_for_text("h1", "Saved").await;
    let (headers, body) = scene.seen.posted.lock().unwrap().last().unwrap().clone();
    assert!(headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary="));
    assert_eq!(scene.arrived(), 1);
    let at = memchr_of(&body, b"filename=\"large.bin\"");
    let head = String::from_utf8_lossy(&body[..at]).into_owned();
    assert!(head.contains("name=\"title\"\r\n\r\n\"Été\"\r\n"), "{head}");
    let start = at + memchr_of(&body[at..], b"\r\n\r\n") + 4;
    assert!(body[start..start + content.len()] == content[..], "the file is another one");
    let tail = String::from_utf8_lossy(&body[start + content.len()..]).into_owned();
    assert!(tail.contains("name=\"more\"; filename=\"\"\r\n"), "{tail}");
}

fn memchr_of(body: &[u8], wanted: &[u8]) -> usize {
    body.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

/// An address with a query, and with a part that no server sees.
const DEEP: &str = "/edit?q=%C3%A9t%C3%A9&q=2#/room/7?tab=notes";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_sign_in_page_the_whole_address_survives_what_the_provider_shows() {
    require!(Chromium, OidcProvider);
    let scene = Scene::with("sign_in: {entry: page}").await;
    let browser = Browser::start().await;
    browser.goto(&scene.at(DEEP)).await;
    browser.click("button.proconnect").await;
    scene.sign_in(&browser, &scene.at(DEEP)).await;
    // What cannot be carried through is left, and the rest is not lost for it.
    browser.forget_cookies().await;
    browser.goto("about:blank").await;
    browser.goto(&scene.at("/edit?q=1#a\\b")).await;
    browser.click("button.proconnect").await;
    browser.wait_for_text("h1", "The app").await;
    assert_eq!(browser.url().await.split('#').next(), Some(scene.at("/edit?q=1").as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn straight_to_the_provider_the_whole_address_survives_whatever_it_shows() {
    require!(Chromium, OidcProvider);
    let scene = Scene::with("").await;
    let browser = Browser::start().await;
    let steps = async || browser.execute("return history.length", json!([])).await.as_u64().unwrap();
    browser.goto("about:blank").await;
    let before = steps().await;
    browser.goto(&scene.at(DEEP)).await;
    browser.wait_for("[name=email]").await;
    // The page that keeps it is no step on the way back.
    assert_eq!(steps().await, before + 1);
    scene.sign_in(&browser, &scene.at(DEEP)).await;
    // The provider knows the person, and shows nothing.
    browser.forget_cookies().await;
    browser.goto("about:blank").await;
    browser.goto(&scene.at(DEEP)).await;
    browser.wait_for_text("h1", "The app").await;
    assert_eq!(browser.url().await, scene.at(DEEP));
    // A link of the app's own to the start of a sign-in, as a front proxy leads there too.
    browser.forget_cookies().await;
    browser.goto(&scene.at("/oauth2/start?rd=%2Fedit%3Fq%3D3#part")).await;
    browser.wait_for_text("h1", "The app").await;
    assert_eq!(browser.url().await, scene.at("/edit?q=3#part"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silently_the_whole_address_survives_whether_the_provider_knows_the_person_or_not() {
    require!(Chromium, OidcProvider);
    let scene = Scene::with("sign_in: {entry: silent}").await;
    let browser = Browser::start().await;
    browser.goto(&scene.at(DEEP)).await;
    browser.click("button.proconnect").await;
    scene.sign_in(&browser, &scene.at(DEEP)).await;
    browser.forget_cookies().await;
    browser.goto("about:blank").await;
    browser.goto(&scene.at(DEEP)).await;
    browser.wait_for_text("h1", "The app").await;
    assert_eq!(browser.url().await, scene.at(DEEP));
}
