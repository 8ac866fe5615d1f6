//! Expired in the middle: a form that meets a session which is over is kept, offered again after the
//! sign-in, and arrives at the app once; and what scripts send then costs nothing.

use super::support::client::{Answer, Client};
use super::support::log_watch;
use super::support::raw::Raw;
use super::support::scene::app_of;
use super::support::shown::{LOGIN, SESSION, assert_error, assert_page_headers};
use super::support::site::{ORIGIN, Setup, Site};
use super::support::waiting::until_well;
use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Redirect};
use http::Method;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vestibule::demo::provider::{Agent, ExchangeFault};
use vestibule::pages::{ErrorKind, Language};

const IDLE: Duration = Duration::from_secs(3600);
pub(super) const URLENCODED: &str = "application/x-www-form-urlencoded";
pub(super) const BODY: &str =
    "title=%C3%89t%C3%A9+%26+hiver&text=a%0D%0Ab&tag=1&tag=2&empty=&password=hunter2hunter2&q=%22%3E%3Cscript%3E";

/// What reached the app by POST: the target, the `Content-Type` and the body.
pub(super) type Posted = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

/// An app that writes down what is sent to it.
pub(super) async fn app() -> (String, Posted) {
    let posted = Posted::default();
    let writes = Arc::clone(&posted);
    let answers = async move |method: Method, uri: http::Uri, headers: http::HeaderMap, body: Bytes| {
        if method == Method::POST {
            let content_type = headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
            writes.lock().unwrap().push((uri.to_string(), content_type, body.to_vec()));
        }
        if uri.path() == "/slash" { Redirect::temporary("/slash/").into_response() } else { "the app".into_response() }
    };
    (app_of(Router::new().fallback(answers)).await, posted)
}

pub(super) struct Scene {
    pub(super) site: Site,
    pub(super) posted: Posted,
}

impl Scene {
    pub(super) async fn with(more: &str) -> Self {
        let (address, posted) = app().await;
        let routes = "[{path: /open/**, upstream: app, csrf: off}, {path: /**, upstream: app}]".to_owned();
        let setup = Setup { upstream: Some(address), routes, more: more.to_owned(), ..Setup::default() };
        Self { site: Site::with(setup).await, posted }
    }

    async fn start() -> Self {
        Self::with("").await
    }

    /// Somebody who signed in and then did nothing for too long.
    async fn idle_person(&self) -> Client {
        let person = self.site.signed_in().await;
        self.site.clock.advance(IDLE);
        person
    }

    pub(super) fn arrived(&self) -> usize {
        self.posted.lock().unwrap().len()
    }
}

/// A form as a page of the app sends it.
pub(super) fn sent_from(page: &'static str, content_type: &'static str) -> [(&'static str, &'static str); 6] {
    [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("origin", ORIGIN),
        ("accept-language", "en"),
        ("referer", page),
        ("content-type", content_type),
    ]
}

pub(super) async fn send(person: &Client, path: &str, content_type: &'static str, body: &str) -> Answer {
    let headers = sent_from("https://app.example/edit?step=2", content_type);
    person.send(Method::POST, path, &headers, body.as_bytes().to_vec()).await
}

/// The address of the form's own page that the sign-in page leads to.
fn form_page(page: &Answer) -> String {
    assert_eq!(page.status, 401, "{}", page.text());
    let text = page.text();
    let start = text.find("name=\"rd\" value=\"").unwrap_or_else(|| panic!("no way on: {text}")) + 17;
    let rd = text[start..].split('"').next().unwrap().to_owned();
    assert!(rd.starts_with("/oauth2/form?id=") && rd.len() == 16 + 43, "{rd}");
    assert!(text.contains(&format!("action=\"{}\"", rd.replace("?id=", "?discard="))), "{text}");
    rd
}

/// Signs in by the button of that page, and is at the form's own.
pub(super) async fn signs_in_to(person: &Client, page: &str) -> Answer {
    let rd: String = url::form_urlencoded::byte_serialize(page.as_bytes()).collect();
    person.follow(person.submit("/oauth2/start", &format!("rd={rd}")).await).await
}

/// What the browser sends from the form's own page: to us, and where we lead it.
pub(super) async fn presses(person: &Client, page: &str, to: &str, referer: &str, body: &str) -> Answer {
    let referer = format!("{ORIGIN}{referer}");
    let mut headers = vec![
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("origin", ORIGIN),
        ("accept-language", "en"),
        ("content-type", URLENCODED),
    ];
    headers.extend((referer != ORIGIN).then_some(("referer", referer.as_str())));
    let to = if to.is_empty() { page } else { to };
    person.send(Method::POST, to, &headers, body.as_bytes().to_vec()).await
}

/// The hidden fields of a page, as a browser sends them.
pub(super) fn held(page: &Answer) -> String {
    let text = page.text();
    let form = text.split("<form method=\"post\"").nth(1).unwrap().split("</form>").next().unwrap();
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    let plain = |text: &str| {
        let pairs = [("&#34;", "\""), ("&#38;", "&"), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">")];
        let plain = pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        // What a browser makes of the ends of lines, when it reads a page and when it sends one.
        plain.replace("\r\n", "\n").replace('\n', "\r\n")
    };
    for input in form.split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, rest) = input.split_once("\" value=\"").unwrap();
        out.append_pair(&plain(name), &plain(rest.split_once('"').unwrap().0));
    }
    out.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_kept_over_the_sign_in_and_arrives_once_as_it_was() {
    let scene = Scene::start().await;
    log_watch::never_logged("hunter2hunter2");
    let person = scene.idle_person().await;
    let answer = send(&person, "/save?draft=7", URLENCODED, BODY).await;
    let page = form_page(&answer);
    assert!(answer.text().contains("It has been kept: after signing in, you can send it."), "{}", answer.text());
    assert!(answer.set_cookies().iter().any(|cookie| cookie.starts_with(&format!("{LOGIN}="))));
    assert!(!answer.text().contains("hunter2"), "no value is on the page of somebody who is not signed in");

    let offer = signs_in_to(&person, &page).await;
    assert_eq!((offer.status, offer.url.as_str()), (200, format!("{ORIGIN}{page}").as_str()));
    assert_page_headers(
        &person.get(&page, &[("accept", "text/html"), ("accept-language", "en")]).await,
        Language::English,
    );
    let visible: String = offer.text().split("<form").next().unwrap().to_owned();
    for (shown, is) in
        [("<code>/save</code>", true), ("7 (title, text, tag, empty, password, q)", true), ("hunter2", false)]
    {
        assert_eq!(visible.contains(shown), is, "{shown}: {visible}");
    }
    assert_eq!(scene.arrived(), 0, "nothing is sent before a button is pressed");
    // As often as it is asked for.
    assert_eq!(held(&person.navigate(&page).await), held(&offer));
    assert_eq!(held(&offer), BODY);

    let on = presses(&person, &page, "", &page, &held(&offer)).await;
    assert_eq!((on.status, on.location()), (307, format!("{ORIGIN}/save?draft=7").as_str()));
    let done = presses(&person, &page, "/save?draft=7", &page, &held(&offer)).await;
    assert_eq!((done.status, done.text().as_str()), (200, "the app"));
    let posted = scene.posted.lock().unwrap().clone();
    assert_eq!(posted, [("/save?draft=7".to_owned(), URLENCODED.to_owned(), BODY.as_bytes().to_vec())]);

    // A reload of what the app answered, a step back, a second press.
    for again in [
        presses(&person, &page, "/save?draft=7", &page, BODY).await,
        presses(&person, &page, "", &page, BODY).await,
        person.get(&page, &[("accept", "text/html"), ("accept-language", "en")]).await,
    ] {
        assert_error(&again, ErrorKind::FormGone, Language::English).await;
    }
    assert_eq!(scene.arrived(), 1);
    // And the next one is sent as ever.
    assert_eq!(send(&person, "/save?draft=7", URLENCODED, "a=b").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_presses_twice_sends_once_and_loses_nothing() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
    signs_in_to(&person, &page).await;
    // The first press was given up by the browser for the second one.
    for _ in 0..2 {
        assert_eq!(presses(&person, &page, "", &page, BODY).await.status, 307);
    }
    let (one, other) =
        tokio::join!(presses(&person, &page, "/save", &page, BODY), presses(&person, &page, "/save", &page, BODY));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!((statuses, scene.arrived()), ([200, 410], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_whose_route_lacks_its_credential_is_kept_until_it_can_go_on() {
    let (address, posted) = app().await;
    let site = Site::with(Setup {
        upstream: Some(address),
        routes: "[{path: /**, upstream: app, credentials: {kind: exchange, audience: \"https://billing.internal\"}}]"
            .to_owned(),
        ..Setup::default()
    })
    .await;
    let person = site.signed_in().await;
    site.clock.advance(IDLE);
    let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
    site.provider.faults().set(|faults| faults.exchange = Some(ExchangeFault::Failing));
    signs_in_to(&person, &page).await;
    let answer = presses(&person, &page, "/save", &page, BODY).await;
    assert!(answer.status >= 500, "{}", answer.status);
    site.provider.faults().clear();
    // It is asked again some seconds later.
    let arrives = async || presses(&person, &page, "/save", &page, BODY).await;
    assert_eq!((until_well(&arrives).await.status, arrives().await.status), (200, 410));
    assert_eq!(posted.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_form_that_meets_the_next_end_is_answered_all_the_same() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
    signs_in_to(&person, &page).await;
    scene.site.clock.advance(IDLE);
    let cookies = person.cookie_header("app.example").unwrap();
    // A file that was chosen again, say. A browser sends all of it before it reads.
    let len = 16 * 1024 * 1024;
    let mut line = Raw::connect(scene.site.address).await;
    line.send(format!(
        "POST {page} HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\nOrigin: {ORIGIN}\r\nAccept: text/html\r\n\
         Content-Type: {URLENCODED}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{}",
        "x".repeat(len)
    ))
    .await;
    let answer = line.answer().await;
    assert!(answer.status == 401 && answer.text().contains(&page), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_its_app_sends_on_arrives_there_once_too() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let page = form_page(&send(&person, "/slash", URLENCODED, BODY).await);
    signs_in_to(&person, &page).await;
    assert_eq!(presses(&person, &page, "/slash/", &page, BODY).await.status, 410, "not before it has arrived");
    let mut statuses = Vec::new();
    for to in ["", "/slash", "/slash/", "/slash", "/slash/"] {
        statuses.push(presses(&person, &page, to, &page, BODY).await.status);
    }
    assert_eq!((statuses, scene.arrived()), (vec![307, 307, 200, 410, 410], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_browser_that_does_not_say_where_it_comes_from_a_form_goes_on_once_too() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    for referer in ["", "/"] {
        let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
        signs_in_to(&person, &page).await;
        let (one, other) =
            tokio::join!(presses(&person, &page, "", referer, BODY), presses(&person, &page, "", referer, BODY));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [307, 410]);
        scene.site.clock.advance(IDLE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_form_with_files_the_fields_are_kept_and_the_files_asked_for_again() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let body = "--b7\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nÉté\r\n\
                --b7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"<plan>.pdf\"\r\nContent-Type: application/pdf\r\n\r\nPDFPDF\r\n\
                --b7\r\nContent-Disposition: form-data; name=\"more\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n\
                --b7--\r\n";
    let page = form_page(&send(&person, "/save", "multipart/form-data; boundary=b7", body).await);
    let offer = signs_in_to(&person, &page).await.text();
    for part in [
        "enctype=\"multipart/form-data\"",
        "<input type=\"hidden\" name=\"title\" value=\"Été\">",
        "file (&#60;plan&#62;.pdf)</label><input type=\"file\" id=\"file-2\" name=\"file\">",
        "<input type=\"file\" name=\"more\" hidden>",
    ] {
        assert!(offer.contains(part), "{part}: {offer}");
    }
    assert!(!offer.contains("PDFPDF"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_person_gets_nothing_of_it_and_it_is_deleted() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
    scene.site.provider.sign_in_as(Agent::new("Malo", "Kergoat", "malo@test.proconnect.gouv.fr"));
    let offer = signs_in_to(&person, &page).await;
    assert_eq!((offer.status, offer.text().contains("hunter2")), (410, false));
    assert_eq!(presses(&person, &page, "", &page, BODY).await.status, 410);
    // Nor does the first one find it again.
    scene.site.provider.sign_in_as(super::support::site::agent());
    assert_eq!(signs_in_to(&person, &page).await.status, 410);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_another_browser_the_same_person_gets_nothing_and_takes_nothing_away() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
    let elsewhere = scene.site.client();
    assert_eq!(signs_in_to(&elsewhere, &page).await.status, 410);
    let discard = page.replace("?id=", "?discard=");
    assert_eq!(presses(&elsewhere, &discard, "", &page, "").await.status, 410);
    assert_eq!(signs_in_to(&person, &page).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_can_be_discarded_before_the_sign_in_and_after_it() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    for signs_in in [false, true] {
        let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
        if signs_in {
            signs_in_to(&person, &page).await;
        }
        let discard = page.replace("?id=", "?discard=");
        for (method, headers, status) in [
            (Method::GET, vec![("accept", "text/html")], 410),
            (Method::POST, vec![("accept", "text/html")], 403),
            (Method::POST, vec![("origin", "https://evil.example")], 403),
            (Method::POST, vec![("origin", ORIGIN), ("sec-fetch-site", "same-site")], 403),
        ] {
            let answer = person.send(method.clone(), &discard, &headers, Vec::new()).await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
        }
        let back = presses(&person, &discard, "", &page, "").await;
        assert_eq!((back.status, back.location()), (303, "https://app.example/edit?step=2"));
        assert_eq!(signs_in_to(&person, &page).await.status, 410);
        scene.site.clock.advance(IDLE);
    }
    assert_eq!(scene.arrived(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_site_has_a_form_kept_or_sent() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let foreign = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
        ("content-type", URLENCODED),
    ];
    let answer = person.send(Method::POST, "/save", &foreign, b"a=b".to_vec()).await;
    assert_eq!((answer.status, answer.set_cookies().len()), (403, 0));
    // Where the app takes what other sites send, it is told of the end of the session and no more.
    let answer = person.send(Method::POST, "/open/save", &foreign, b"a=b".to_vec()).await;
    assert_eq!((answer.status, answer.set_cookies().len()), (401, 0));
    assert!(!answer.text().contains("/oauth2/form"), "{}", answer.text());
    // Of one that is kept it presses no button.
    let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
    signs_in_to(&person, &page).await;
    assert_eq!(person.send(Method::POST, &page, &foreign, BODY.as_bytes().to_vec()).await.status, 403);
    assert_eq!((scene.arrived(), person.navigate(&page).await.status), (0, 200));
}

/// The page of before: nothing was kept, and no cookie is set.
fn assert_not_kept(answer: &Answer, what: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 401, "{what}");
    assert!(text.contains("please fill it in again") && !text.contains("/oauth2/form"), "{what}: {text}");
    assert_eq!(answer.set_cookies().len(), 0, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_said_to_be_lost() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let long = format!("a={}", "x".repeat(64 * 1024));
    for (what, path, content_type, body) in [
        ("too long", "/save", URLENCODED, long.as_str()),
        ("no form", "/save", "application/json", "{}"),
        ("text", "/save", "text/plain", "a=b"),
        ("another encoding", "/save", URLENCODED, "a=%E9"),
        ("an address too long", Box::leak(format!("/save?{}", "x".repeat(2048)).into_boxed_str()), URLENCODED, "a=b"),
    ] {
        assert_not_kept(&send(&person, path, content_type, body).await, what);
    }
    let put = person.send(Method::PUT, "/save", &sent_from("", URLENCODED), b"a=b".to_vec()).await;
    assert_not_kept(&put, "PUT");
    // A stranger's, and one with a cookie that is none.
    for cookie in [None, Some("nonsense")] {
        let stranger = scene.site.client();
        if let Some(value) = cookie {
            stranger.set_cookie(SESSION, value);
        }
        assert_not_kept(&send(&stranger, "/save", URLENCODED, "a=b").await, "a stranger's");
    }
    // What a script sends gets what it always got.
    let by_script = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("content-type", URLENCODED)];
    let answer = person.send(Method::POST, "/save", &by_script, b"a=b".to_vec()).await;
    assert_eq!(
        (answer.status, answer.json()["error"].as_str(), answer.set_cookies().len()),
        (401, Some("not_signed_in"), 0)
    );
    let mut kept = 0;
    while !send(&person, "/save", URLENCODED, "a=b").await.text().contains("fill it in again") {
        kept += 1;
    }
    assert_eq!(kept, 4, "a person has four at most");
    scene.site.clock.advance(IDLE);
    form_page(&send(&person, "/save", URLENCODED, "a=b").await);
    assert_eq!(scene.arrived(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_unknown_length_is_read_as_far_as_it_may_be_long() {
    let scene = Scene::start().await;
    let person = scene.idle_person().await;
    let cookies = person.cookie_header("app.example").unwrap();
    for (len, kept) in [(60 * 1024, true), (90 * 1024, false)] {
        let body = format!("a={}", "x".repeat(len));
        let request = format!(
            "POST /save HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\nOrigin: {ORIGIN}\r\nAccept: text/html\r\n\
             Accept-Language: en\r\nContent-Type: {URLENCODED}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let mut line = Raw::connect(scene.site.address).await;
        line.send(request).await;
        let answer = line.answer().await;
        assert_eq!((answer.status, answer.text().contains("/oauth2/form?id=")), (401, kept), "{len}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_kept_as_long_as_a_sign_in_may_take_and_where_that_is_wanted() {
    let scene = Scene::with("sign_in: {timeout: 10m}\n").await;
    let person = scene.idle_person().await;
    let page = form_page(&send(&person, "/save", URLENCODED, BODY).await);
    assert_eq!(signs_in_to(&person, &page).await.status, 200);
    scene.site.clock.advance(Duration::from_secs(600));
    assert_eq!(signs_in_to(&person, &page).await.status, 410);

    let scene = Scene::with("sign_in: {keep_forms: false}\n").await;
    let person = scene.idle_person().await;
    assert_not_kept(&send(&person, "/save", URLENCODED, BODY).await, "switched off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_down_a_form_is_said_to_be_lost() {
    let scene = Scene::with("store: {redis: \"redis://127.0.0.1:1\"}\non_store_down: keep\n").await;
    let person = scene.idle_person().await;
    let answer = send(&person, "/save", URLENCODED, BODY).await;
    assert!(matches!(answer.status, 401 | 503) && !answer.text().contains("/oauth2/form"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_keeps_its_form_too() {
    let scene = Scene::start().await;
    let person = scene.site.signed_in().await;
    let cookie = person.cookie(SESSION).unwrap();
    person.submit("/oauth2/sign_out", "").await;
    person.set_cookie(SESSION, &cookie);
    form_page(&send(&person, "/save", URLENCODED, BODY).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_calls_after_the_end_cost_no_cookie_no_question_and_nothing_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.db");
    let scene = Scene::with(&format!(
        "store: {{file: {}}}\nsession: {{refresh: never, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n",
        file.display()
    ))
    .await;
    let person = scene.idle_person().await;
    let (asked, stored) = (scene.site.provider.counters(), std::fs::metadata(&file).unwrap().len());
    let calls = (0..20).map(async |number| {
        if number % 2 == 0 {
            person.fetch(&format!("/api/{number}")).await
        } else {
            let headers = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("content-type", URLENCODED)];
            person.send(Method::POST, "/api/x", &headers, b"a=b".to_vec()).await
        }
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!((answer.status, answer.set_cookies().len()), (401, 0));
        assert_eq!(answer.json()["error"], "not_signed_in");
    }
    assert_eq!(scene.site.provider.counters(), asked);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), stored);
    assert_eq!(scene.arrived(), 0);
}
