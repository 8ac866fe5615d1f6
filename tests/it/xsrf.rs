//! The token that scripts repeat (`csrf.token`), for browsers that say neither `Sec-Fetch-Site` nor
//! `Origin`.

use super::support::client::{Answer, Client};
use super::support::raw::{Raw, RawAnswer};
use super::support::shown::{SESSION, header_at_app};
use super::support::site::{ORIGIN, Setup, Site};
use std::fmt::Write as _;

const TOKEN: &str = "XSRF-TOKEN";

async fn site(more: &str) -> Site {
    let routes = "[{path: /free/**, upstream: app, csrf: off}, {path: /**, upstream: app}]".to_owned();
    Site::with(Setup { more: more.to_owned(), routes, ..Setup::default() }).await
}

const ON: &str = "csrf: {token: {}}\n";

/// The line that sets the token, if the answer does.
fn set(answer: &Answer) -> Option<&str> {
    answer.set_cookies().into_iter().find(|line| line.starts_with("XSRF-TOKEN="))
}

/// What a browser of before 2020 sends: nothing that says whose page it was.
async fn posted(site: &Site, cookies: &str, headers: &[(&str, &str)]) -> RawAnswer {
    let mut request = format!("POST /save HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\nContent-Length: 3\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    let mut line = Raw::connect(site.address).await;
    line.send(format!("{request}\r\na=b")).await;
    line.answer().await
}

/// Somebody who is signed in and has the token.
async fn person(site: &Site) -> (Client, String, String) {
    let person = site.signed_in().await;
    let token = person.cookie(TOKEN).unwrap();
    let cookies = person.cookie_header("app.example").unwrap();
    (person, cookies, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_repeats_the_token_of_its_session_passes_and_no_other() {
    let site = site(ON).await;
    let (_, cookies, token) = person(&site).await;
    let (_, _, other) = person(&site).await;
    let session = cookies.split("; ").find(|pair| pair.starts_with(&format!("{SESSION}="))).unwrap();
    let passes = posted(&site, &cookies, &[("X-XSRF-TOKEN", &token)]).await;
    assert_eq!(passes.status, 200, "{}", passes.text());
    for (what, cookies, headers) in [
        ("no header", cookies.clone(), vec![]),
        ("another session's", cookies.clone(), vec![("X-XSRF-TOKEN", other.as_str())]),
        // What a host of the same site plants, and repeats.
        ("planted", format!("{session}; {TOKEN}=AAAA"), vec![("X-XSRF-TOKEN", "AAAA")]),
        ("planted, of another session", format!("{session}; {TOKEN}={other}"), vec![("X-XSRF-TOKEN", &other)]),
        ("planted beside it", format!("{TOKEN}={other}; {cookies}"), vec![("X-XSRF-TOKEN", &other)]),
        ("the header alone", session.to_owned(), vec![("X-XSRF-TOKEN", &token)]),
        // The browser's own word counts first.
        ("another site", cookies.clone(), vec![("X-XSRF-TOKEN", &token), ("Origin", "https://evil.example")]),
        ("a sibling", cookies.clone(), vec![("X-XSRF-TOKEN", &token), ("Sec-Fetch-Site", "same-site")]),
    ] {
        let answer = posted(&site, &cookies, &headers).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (403, Some("other_site")), "{what}");
    }
    // Without a session it is nothing.
    assert_eq!(posted(&site, &format!("{TOKEN}={token}"), &[("X-XSRF-TOKEN", &token)]).await.status, 401);
    assert_eq!(posted(&site, &cookies, &[("Origin", ORIGIN)]).await.status, 200, "and who says it needs none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_set_for_a_session_that_has_none_and_goes_with_it() {
    let site = site(ON).await;
    let stranger = site.client();
    assert_eq!(set(&stranger.fetch("/").await), None);
    let person = site.signed_in().await;
    let token = person.cookie(TOKEN).unwrap();
    let shown = person.fetch("/").await;
    assert_eq!(set(&shown), None, "it has it");
    // The app sees neither.
    let at_app = person.get("/", &[("accept", "application/json"), ("x-xsrf-token", &token)]).await;
    assert_eq!((header_at_app(&at_app, "cookie"), header_at_app(&at_app, "x-xsrf-token")), (None, None));
    // Nor does it set it.
    let answer = person.fetch("/status/200?set-cookie=XSRF-TOKEN%3Dapp").await;
    assert_eq!(answer.set_cookies(), Vec::<&str>::new());
    for held in [None, Some("planted")] {
        person.drop_cookie(TOKEN);
        if let Some(held) = held {
            person.set_cookie(TOKEN, held);
        }
        let answer = person.fetch("/").await;
        let line = set(&answer).unwrap();
        assert!(line.ends_with("; SameSite=Lax; Secure; Path=/; Max-Age=43200"), "{line}");
    }
    // Not with what changes something, nor with what many may keep.
    person.drop_cookie(TOKEN);
    let posted = person.send(http::Method::POST, "/save", &[("accept", "application/json")], Vec::new()).await;
    assert_eq!((posted.status, set(&posted)), (200, None));
    assert_eq!(set(&person.fetch("/status/200?cache-control=public").await), None);
    person.fetch("/").await;
    let out = person.submit("/oauth2/sign_out", "").await;
    assert!(set(&out).unwrap().ends_with("Max-Age=0"), "{:?}", out.set_cookies());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_off_unless_it_is_wanted_and_has_the_names_that_it_is_given() {
    let site = site("").await;
    let person = site.signed_in().await;
    assert_eq!(person.cookie(TOKEN), None);
    person.set_cookie(TOKEN, "the-app-s");
    let at_app = person.get("/", &[("accept", "application/json"), ("x-xsrf-token", "the-app-s")]).await;
    assert_eq!(header_at_app(&at_app, "cookie").as_deref(), Some("XSRF-TOKEN=the-app-s"));
    assert_eq!(header_at_app(&at_app, "x-xsrf-token").as_deref(), Some("the-app-s"));
    let cookies = person.cookie_header("app.example").unwrap();
    assert_eq!(posted(&site, &cookies, &[("X-XSRF-TOKEN", "the-app-s")]).await.status, 403);

    let site = self::site("csrf: {token: {cookie: csrftoken, header: X-CSRFToken}}\n").await;
    let person = site.signed_in().await;
    let token = person.cookie("csrftoken").unwrap();
    let cookies = person.cookie_header("app.example").unwrap();
    assert_eq!(posted(&site, &cookies, &[("X-CSRFToken", &token)]).await.status, 200);
    assert_eq!(posted(&site, &cookies, &[("X-XSRF-TOKEN", &token)]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_s_question_is_judged_by_the_same_token() {
    let site = Site::with(Setup {
        more: format!("trusted_proxies: [127.0.0.1/32]\nforward_auth: {{from: traefik}}\n{ON}"),
        ..Setup::default()
    })
    .await;
    let (_, cookies, token) = person(&site).await;
    let client = site.client();
    for (token, status) in [(token.as_str(), 202), ("AAAA", 403)] {
        let headers = [
            ("cookie", cookies.as_str()),
            ("x-forwarded-method", "POST"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-uri", "/save"),
            ("x-xsrf-token", token),
        ];
        assert_eq!(client.get("/oauth2/auth", &headers).await.status, status, "{token}");
    }
}
