//! A person's own sessions: what the page and its JSON show, what its buttons end, and that nobody
//! reaches another's.

use crate::support::binary::Vestibule;
use crate::support::browser::Browser;
use crate::support::client::{Answer, Client, NAVIGATION};
use crate::support::counterparts::require;
use crate::support::ports::free_port;
use crate::support::shown::{SESSION, TOKENS, assert_page_headers, error_id, header_at_app};
use crate::support::site::{ORIGIN, Site};
use crate::support::waiting::until;
use http::Method;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use vestibule::demo::provider::Agent;
use vestibule::pages::{ErrorKind, Language};

const PAGE: &str = "/oauth2/sessions";

async fn listed(client: &Client) -> Vec<Value> {
    let answer = client.fetch(PAGE).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    answer.json()["sessions"].as_array().unwrap().clone()
}

async fn own_id(client: &Client) -> String {
    let all = listed(client).await;
    let current: Vec<&Value> = all.iter().filter(|one| one["current"] == true).collect();
    assert_eq!(current.len(), 1, "{all:?}");
    current[0]["id"].as_str().unwrap().to_owned()
}

async fn end(client: &Client, what: &str) -> Answer {
    client.submit(PAGE, &format!("end={what}")).await
}

async fn lives(client: &Client) -> bool {
    client.fetch("/").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_every_session_of_theirs_and_ends_one() {
    let site = Site::start().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let (first, second) = (own_id(&one).await, own_id(&two).await);
    assert_ne!(first, second);
    let all = listed(&one).await;
    assert_eq!(all.len(), 2);
    for session in &all {
        let names: Vec<&String> = session.as_object().unwrap().keys().collect();
        assert_eq!(names, ["address", "agent", "current", "ends_at", "id", "last_seen", "started"]);
        assert_eq!((&session["started"], &session["address"]), (&"2026-11-18T11:06:40Z".into(), &"127.0.0.1".into()));
        assert_eq!(session["ends_at"], "2026-11-18T23:06:40Z");
    }
    let page = one.navigate(PAGE).await;
    assert_eq!(page.status, 200);
    assert_page_headers(&page, Language::French);
    assert!(page.text().contains(&format!("value=\"{second}\"")) && page.text().contains("value=\"others\""));

    let back = end(&one, &second).await;
    assert_eq!((back.status, back.location()), (303, PAGE));
    assert!(lives(&one).await && !lives(&two).await);
    assert_eq!(listed(&one).await.len(), 1);
    assert!(!one.navigate(PAGE).await.text().contains("value=\"others\""));
    // Nothing comes of naming it again.
    assert_eq!(end(&one, &second).await.status, 303);
    assert!(lives(&one).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_others_end_at_once_and_the_one_that_asks_lives() {
    let site = Site::start().await;
    let (one, two, three) = (site.signed_in().await, site.signed_in().await, site.signed_in().await);
    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
    let stranger = site.signed_in().await;
    assert_eq!(listed(&one).await.len(), 3);
    assert_eq!(end(&one, "others").await.status, 303);
    assert!(lives(&one).await && lives(&stranger).await);
    assert!(!lives(&two).await && !lives(&three).await);
    assert_eq!(listed(&one).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_or_ends_the_session_of_another_person() {
    let site = Site::start().await;
    let victim = site.signed_in().await;
    let id = own_id(&victim).await;
    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
    let other = site.signed_in().await;
    assert_eq!(listed(&other).await.len(), 1);
    assert!(!other.navigate(PAGE).await.text().contains(&id));
    for what in [id.clone(), id.to_uppercase(), format!("{id}&end=others"), format!("others&end={id}")] {
        end(&other, &what).await;
        assert!(lives(&victim).await && lives(&other).await, "{what}");
    }
    assert_eq!(listed(&victim).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_site_sends_ends_nothing() {
    let site = Site::start().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let form = b"end=others".to_vec();
    let foreign: [&[(&str, &str)]; 6] = [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
        &[("origin", ORIGIN), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
        &[("origin", ORIGIN), ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")],
        &[("origin", "null"), ("accept", "text/html")],
        &[("accept", "text/html")],
        &[("origin", ORIGIN), ("sec-fetch-site", "same-origin"), ("sec-purpose", "prefetch"), ("accept", "text/html")],
    ];
    for headers in foreign {
        let refused = one.send(Method::POST, PAGE, headers, form.clone()).await;
        assert_eq!(refused.status, 400, "{headers:?}");
        assert!(lives(&two).await, "{headers:?}");
    }
    // Opening an address changes nothing, whatever stands in it.
    for path in [format!("{PAGE}?end=others"), format!("{PAGE}?end={}", own_id(&two).await)] {
        assert_eq!(one.navigate(&path).await.status, 200);
        assert!(lives(&two).await && lives(&one).await, "{path}");
    }
    for method in [Method::PUT, Method::DELETE] {
        assert_eq!(one.send(method, PAGE, &[], form.clone()).await.status, 405);
    }
    assert!(lives(&two).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_the_session_that_asks_is_signing_out() {
    let site = Site::start().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let id = own_id(&one).await;
    let out = end(&one, &id).await;
    assert_eq!(out.status, 303);
    assert!(out.location().starts_with(&format!("{}/session/end?", site.provider.issuer())), "{}", out.location());
    assert_eq!(one.cookie(SESSION), None);
    assert!(!lives(&one).await && lives(&two).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_signed_in_is_led_there_and_back() {
    let site = Site::start().await;
    let client = site.client();
    let page = client.browse(PAGE).await;
    assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}{PAGE}")), "{}", page.text());
    assert!(page.text().contains("<h1>Mes sessions</h1>"));
    let program = site.client().fetch(PAGE).await;
    assert_eq!((program.status, &program.json()["error"]), (401, &"not_signed_in".into()));
    let form = end(&site.client(), "others").await;
    assert_eq!((form.status, form.header("location")), (401, None));
    // An address that came with a session of the past.
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(client.fetch(PAGE).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_browser_calls_itself_is_never_markup() {
    let site = Site::start().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let hostile = "<script>alert(1)</script>\" onload=\"x Firefox/140.0";
    site.clock.advance(Duration::from_secs(61));
    let mut headers = NAVIGATION.to_vec();
    headers.push(("user-agent", hostile));
    assert_eq!(two.get("/", &headers).await.status, 200);
    // Listed beside the answer, which nobody waits for.
    until("it is listed", async || listed(&one).await.iter().any(|session| session["agent"] == hostile)).await;
    let page = one.navigate(PAGE).await.text();
    assert!(!page.contains("<script") && !page.contains("onload") && !page.contains("alert"), "{page}");
    assert!(page.contains(">Firefox<"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_page_nor_json_holds_a_cookie_or_a_token() {
    let site = Site::start().await;
    let (one, _two) = (site.signed_in().await, site.signed_in().await);
    let jar = one.cookie_header("app.example").unwrap();
    for answer in [one.navigate(PAGE).await.text(), one.fetch(PAGE).await.text()] {
        for pair in jar.split("; ") {
            assert!(!answer.contains(pair.split_once('=').unwrap().1), "{answer}");
        }
        assert!(!answer.contains("eyJ") && !answer.contains("helene") && !answer.contains(TOKENS), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_get_the_session_s_name_which_stays_and_which_nobody_else_can_say() {
    let site = Site::start().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let name = |answer: &Answer| header_at_app(answer, "x-vestibule-session");
    let first = name(&one.fetch("/").await).unwrap();
    assert_eq!((first.len(), &first), (32, &own_id(&one).await));
    site.clock.advance(Duration::from_secs(600));
    for path in ["/", "/api/x", "/public/x"] {
        assert_eq!(name(&one.fetch(path).await).as_ref(), Some(&first), "{path}");
    }
    assert_ne!(name(&two.fetch("/").await), Some(first.clone()));
    for spelling in ["x-vestibule-session", "X_Vestibule_Session", "x.vestibule.session"] {
        let forged = [(spelling, "forged"), ("accept", "application/json")];
        assert_eq!(name(&one.get("/", &forged).await), Some(first.clone()), "{spelling}");
        let stranger = site.client().get("/public/x", &forged).await;
        assert!(stranger.status == 200 && !stranger.text().contains("forged"), "{spelling}");
    }
    // It opens nothing.
    let thief = site.client();
    thief.set_cookie(SESSION, &first);
    assert_eq!(thief.fetch("/").await.status, 401);
    error_id(&thief.navigate(&format!("{PAGE}/{first}")).await, ErrorKind::NotFound, Language::French);
}

#[tokio::test]
async fn the_page_fits_a_phone_and_its_buttons_work_in_both_languages() {
    require!(Chromium);
    let demo = Vestibule::demo(free_port()).await;
    let page = format!("{}{PAGE}", demo.origin);
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let sign_in = async |browser: &Browser| {
        browser.goto(&page).await;
        browser.click("button.agent").await;
        browser.wait_for_url(|url| url == page).await;
    };
    let french = Browser::start_in("fr").await;
    sign_in(&french).await;
    let english = Browser::start_in("en").await;
    sign_in(&english).await;
    french.reload().await;
    for (browser, title, language) in [(&french, "Mes sessions", "fr"), (&english, "My sessions", "en")] {
        for (width, name) in [(360, "phone"), (1280, "desk")] {
            browser.resize(width, 800).await;
            browser.wait_for_text("h1", title).await;
            let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
            assert_eq!(browser.execute(overflow, serde_json::json!([])).await, false, "{language} {name}");
            browser.screenshot(&pictures.join(format!("my-sessions-{language}-{name}.png"))).await;
        }
        assert_eq!(
            browser.execute("return document.querySelectorAll('.sessions li').length", serde_json::json!([])).await,
            2
        );
    }
    english.click("form:not(.sessions form) button").await;
    english
        .wait_until("the other is gone", async || {
            english.execute("return document.querySelectorAll('.sessions li').length", serde_json::json!([])).await == 1
        })
        .await;
    english.click(".sessions button").await;
    english.wait_for_url(|url| url.contains("signed_out")).await;
}
