//! A form whose person has no seat for the moment: it waits for one, and arrives once; and what nobody gets
//! by that.

use super::kept_forms::{BODY, Scene, URLENCODED, app, held, presses, send, sent_from, signs_in_to};
use super::support::client::{Answer, Client};
use super::support::site::{ORIGIN, Setup, Site};
use super::support::waiting::until;
use http::Method;
use std::time::Duration;
use vestibule::demo::provider::Agent;

const LICENCE: &str = "2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e";

/// One seat, for everybody.
fn config(seats: &str) -> String {
    format!(
        "seats: {{{seats}}}\nlicences: [{{id: {LICENCE}, seats: 1, covers: {{everyone: true}}}}]\n\
         session: {{idle: 24h, lifetime: 48h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n"
    )
}

async fn scene(seats: &str) -> Scene {
    Scene::with(&config(seats)).await
}

/// Somebody who has just signed in, and what they were answered.
async fn comes(scene: &Scene, name: &str) -> (Client, u16) {
    scene.site.provider.sign_in_as(Agent::new(name, "Durand", &format!("{name}@example.org")));
    let client = scene.site.client();
    let status = client.browse("/edit").await.status;
    (client, status)
}

/// Where the page leads that says why there is no seat, and that the form is kept.
fn waits_at(answer: &Answer) -> String {
    let text = answer.text();
    assert_eq!(answer.status, 409, "{text}");
    assert!(text.contains("It has been kept: you can send it afterwards."), "{text}");
    let id = text.split("action=\"/oauth2/form?discard=").nth(1).and_then(|rest| rest.split('"').next());
    let page = format!("/oauth2/form?id={}", id.unwrap_or_else(|| panic!("cannot be discarded: {text}")));
    assert!(text.contains(&page), "{text}");
    page
}

async fn open(person: &Client, page: &str) -> Answer {
    person.get(page, &[("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("accept-language", "en")]).await
}

async fn sign_out(person: &Client) {
    person.submit("/oauth2/sign_out", "").await;
}

/// Sends the form from its page, and sees that it arrives there and then and not again.
async fn arrives_once(scene: &Scene, person: &Client, page: &str) {
    assert_eq!(scene.arrived(), 0, "before anybody pressed a button");
    let offer = open(person, page).await;
    assert!(offer.status == 200 && offer.text().contains("Send your form?"), "{}", offer.text());
    let on = presses(person, page, "", page, &held(&offer)).await;
    assert_eq!((on.status, on.location()), (307, format!("{ORIGIN}/save?n=7").as_str()));
    assert_eq!(presses(person, page, "/save?n=7", page, &held(&offer)).await.status, 200);
    for again in [presses(person, page, "/save?n=7", page, BODY).await, open(person, page).await] {
        assert_eq!(again.status, 410);
    }
    let posted = scene.posted.lock().unwrap().clone();
    assert_eq!(posted, [("/save?n=7".to_owned(), URLENCODED.to_owned(), BODY.as_bytes().to_vec())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_finds_all_seats_taken_waits_for_one_and_arrives_once() {
    let scene = scene("").await;
    let (first, status) = comes(&scene, "ada").await;
    assert_eq!(status, 200);
    let (person, status) = comes(&scene, "bea").await;
    assert_eq!(status, 409);
    let answer = send(&person, "/save?n=7", URLENCODED, BODY).await;
    let page = waits_at(&answer);
    assert_eq!(answer.header("refresh"), Some(format!("10; url={page}").as_str()));
    assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    // Its page waits with them, and no button sends what would come back.
    let still = open(&person, &page).await;
    assert_eq!((waits_at(&still), still.header("refresh")), (page.clone(), answer.header("refresh")));
    assert_eq!(waits_at(&presses(&person, &page, "", &page, BODY).await), page);
    assert_eq!(waits_at(&presses(&person, &page, "/save?n=7", &page, BODY).await), page);
    sign_out(&first).await;
    until("the seat is free", async || open(&person, &page).await.status == 200).await;
    // They have it by then.
    assert_eq!(comes(&scene, "cleo").await.1, 409);
    arrives_once(&scene, &person, &page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_somebody_who_gave_way_waits_until_they_have_asked_for_a_seat() {
    let scene = scene("when_full: {displace_idlest: 5m}").await;
    let idle = Duration::from_secs(360);
    let (person, status) = comes(&scene, "ada").await;
    assert_eq!(status, 200);
    scene.site.clock.advance(idle);
    assert_eq!(comes(&scene, "bea").await.1, 200);
    let answer = send(&person, "/save?n=7", URLENCODED, BODY).await;
    let page = waits_at(&answer);
    // They have to ask, and where that leads is in the page's one field.
    assert_eq!((answer.header("refresh"), answer.header("retry-after")), (None, None));
    assert!(answer.text().contains(&format!("name=\"rd\" value=\"{page}\"")), "{}", answer.text());
    assert_eq!(waits_at(&open(&person, &page).await), page);
    let rd: String = url::form_urlencoded::byte_serialize(page.as_bytes()).collect();
    let asked = person.submit("/oauth2/seat", &format!("rd={rd}")).await;
    assert_eq!((asked.status, asked.location()), (303, format!("{ORIGIN}{page}").as_str()));
    let full = open(&person, &page).await;
    assert_eq!((waits_at(&full), full.header("refresh")), (page.clone(), Some(format!("10; url={page}").as_str())));
    scene.site.clock.advance(idle);
    arrives_once(&scene, &person, &page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_of_a_session_a_form_waits_for_a_seat_as_well() {
    let scene = scene("idle: 30m").await;
    let (person, _) = comes(&scene, "ada").await;
    scene.site.clock.advance(Duration::from_secs(24 * 3600));
    let answer = send(&person, "/save?n=7", URLENCODED, BODY).await;
    assert_eq!(answer.status, 401);
    let (other, status) = comes(&scene, "bea").await;
    assert_eq!(status, 200);
    let text = answer.text();
    let page = text.split("name=\"rd\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    scene.site.provider.sign_in_as(Agent::new("ada", "Durand", "ada@example.org"));
    assert_eq!(signs_in_to(&person, &page).await.status, 409);
    assert_eq!(waits_at(&open(&person, &page).await), page);
    sign_out(&other).await;
    until("the seat is free", async || open(&person, &page).await.status == 200).await;
    arrives_once(&scene, &person, &page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_browser_that_does_not_say_where_it_comes_from_nothing_is_lost_either() {
    let scene = scene("when_full: {displace_idlest: 5m}").await;
    let (first, _) = comes(&scene, "ada").await;
    let (person, _) = comes(&scene, "bea").await;
    let page = waits_at(&send(&person, "/save?n=7", URLENCODED, BODY).await);
    // Its button would have it deleted before it goes on.
    assert_eq!(waits_at(&presses(&person, &page, "", "", BODY).await), page);
    sign_out(&first).await;
    until("the seat is free", async || open(&person, &page).await.status == 200).await;
    assert_eq!(presses(&person, &page, "", "", BODY).await.status, 307);
    assert_eq!(open(&person, &page).await.status, 410);
    // The seat is lost on the way: the form, which is in the browser's hand, is kept anew.
    scene.site.clock.advance(Duration::from_secs(360));
    assert_eq!(comes(&scene, "cleo").await.1, 200);
    let anew = waits_at(&presses(&person, &page, "/save?n=7", "", BODY).await);
    assert_ne!(anew, page);
    scene.site.clock.advance(Duration::from_secs(360));
    person.submit("/oauth2/seat", "").await;
    arrives_once(&scene, &person, &anew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_waits_for_a_seat_is_nobody_else_s() {
    let scene = scene("").await;
    let (first, _) = comes(&scene, "ada").await;
    let (person, _) = comes(&scene, "bea").await;
    let page = waits_at(&send(&person, "/save?n=7", URLENCODED, BODY).await);
    // Neither of whoever has the seat, nor of the same person elsewhere.
    assert_eq!((open(&first, &page).await.status, presses(&first, &page, "", &page, BODY).await.status), (410, 410));
    let (elsewhere, _) = comes(&scene, "bea").await;
    assert_eq!(open(&elsewhere, &page).await.status, 410);
    assert_eq!(waits_at(&open(&person, &page).await), page);
    // Another one who signs in in that browser has it deleted, seat or none.
    sign_out(&person).await;
    scene.site.provider.sign_in_as(Agent::new("cleo", "Durand", "cleo@example.org"));
    assert_eq!(person.browse("/edit").await.status, 409);
    let gone = open(&person, &page).await;
    assert_eq!((gone.status, gone.text().contains("hunter2")), (410, false));
    sign_out(&person).await;
    scene.site.provider.sign_in_as(Agent::new("bea", "Durand", "bea@example.org"));
    person.browse("/edit").await;
    assert_eq!((open(&person, &page).await.status, scene.arrived()), (410, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_form_of_the_site_s_own_is_refused_for_want_of_a_seat_and_not_kept() {
    let scene = scene("").await;
    let (_first, _) = comes(&scene, "ada").await;
    let (person, _) = comes(&scene, "bea").await;
    let by_script = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("origin", ORIGIN)];
    let told = person.send(Method::POST, "/save", &by_script, b"a=b".to_vec()).await;
    assert_eq!(
        (told.status, told.json()["error"].as_str(), told.header("refresh"), told.set_cookies().len()),
        (409, Some("seats_taken"), None, 0)
    );
    let foreign = [
        ("accept", "text/html"),
        ("accept-language", "en"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
        ("content-type", URLENCODED),
    ];
    let long = format!("a={}", "x".repeat(64 * 1024));
    let own = sent_from("https://app.example/edit?step=2", URLENCODED);
    for (what, path, headers, body, back) in [
        ("another site's", "/open/save", &foreign, "a=b", "/"),
        ("too long", "/save", &own, long.as_str(), "/edit?step=2"),
    ] {
        let answer = person.send(Method::POST, path, headers, body.as_bytes().to_vec()).await;
        let text = answer.text();
        assert_eq!((answer.status, answer.header("refresh"), answer.set_cookies().len()), (409, None, 0), "{what}");
        assert!(text.contains("Your form was not passed on.") && !text.contains("/oauth2/form"), "{what}: {text}");
        // A page that looks again by itself would take the way back to the form away.
        assert!(text.contains(&format!("href=\"{back}\"")) && !text.contains("tries again"), "{what}: {text}");
    }
    assert_eq!(scene.arrived(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lacks_more_than_a_seat_takes_none_by_the_page_of_their_form() {
    let (address, posted) = app().await;
    let routes = "[{path: /mfa/**, upstream: app, require: {acr: eidas1-mfa}}, {path: /**, upstream: app, seat: none}]";
    let setup = Setup { upstream: Some(address), routes: routes.to_owned(), more: config(""), ..Setup::default() };
    let scene = Scene { site: Site::with(setup).await, posted };
    let (person, status) = comes(&scene, "ada").await;
    assert_eq!(status, 200);
    let answer = send(&person, "/mfa/save", URLENCODED, BODY).await;
    assert_eq!(answer.status, 401);
    let page = answer.text().split("name=\"rd\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(open(&person, &page).await.status, 200);
    // The seat is somebody else's still to take.
    let stronger = |name: &str| Agent {
        acr: "eidas1-mfa".to_owned(),
        ..Agent::new(name, "Durand", &format!("{name}@example.org"))
    };
    scene.site.provider.sign_in_as(stronger("bea"));
    assert_eq!(scene.site.client().browse("/mfa/x").await.status, 200);
    scene.site.provider.sign_in_as(stronger("ada"));
    assert_eq!(person.browse("/mfa/x").await.status, 409);
    assert_eq!(waits_at(&open(&person, &page).await), page);
}
