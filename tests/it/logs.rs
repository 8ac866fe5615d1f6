//! The log: one line a request that says what became of it and why, and no secret in any line.

use crate::support::client::Answer;
use crate::support::log_watch::{access_line_with, access_lines_with, fault_of, lines_with, never_logged};
use crate::support::raw::Raw;
use crate::support::site::{CLIENT_SECRET, SESSION_KEY, Setup, Site};
use std::collections::BTreeSet;
use vestibule::demo::provider::TokenFault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_one_line_that_says_what_became_of_it() {
    let site = Site::with(Setup {
        routes: "[{path: /public/**, access: public, upstream: app}, {path: /app/**, upstream: app}]".to_owned(),
        ..Setup::default()
    })
    .await;
    let client = site.signed_in_at("/app/start").await;
    let stranger = site.client();
    client.fetch("/app/log-1?code=hidden").await;
    stranger.fetch("/public/log-2").await;
    stranger.fetch("/app/log-3").await;
    stranger.navigate("/app/log-4?q=hidden").await;
    let missing = stranger.fetch("/log-5").await;
    let bad = stranger.fetch("/public/log-6/%00").await;
    // (path, decision, route, upstream, status, whether there is a session, what the reason holds)
    let cases = [
        ("log-1", "forward", "/app/**", "app", 200, true, ""),
        ("log-2", "forward", "/public/**", "app", 200, false, ""),
        ("log-3", "deny", "", "", 401, false, "not signed in"),
        ("log-4", "sign_in", "", "", 302, false, "cookie"),
        ("log-5", "deny", "", "", 404, false, "no route"),
        ("log-6", "bad_request", "", "", 400, false, "not allowed in paths"),
    ];
    for (path, decision, route, upstream, status, session, reason) in cases {
        let line = access_line_with(path).await;
        assert_eq!(access_lines_with(path).len(), 1, "{path}");
        let shown = line.to_string();
        assert_eq!((&line["decision"], &line["route"]), (&decision.into(), &route.into()), "{shown}");
        assert_eq!((&line["upstream"], &line["status"]), (&upstream.into(), &status.into()), "{shown}");
        assert_eq!((&line["method"], &line["host"]), (&"GET".into(), &"app.example".into()), "{shown}");
        assert_eq!((&line["client"], &line["level"]), (&"127.0.0.1".into(), &"INFO".into()), "{shown}");
        assert_eq!(line["session"].as_str().is_some_and(|short| short.len() == 8), session, "{shown}");
        assert!(line["reason"].as_str().unwrap_or("").contains(reason), "{shown}");
        assert_eq!(line["reason"].is_null(), reason.is_empty(), "{shown}");
        assert!(line["ms"].is_u64() && line["bytes"].is_u64(), "{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
    }
    for (answer, path) in [(missing, "log-5"), (bad, "log-6")] {
        assert_eq!(access_line_with(path).await["error_id"], answer.json()["id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_is_a_line_and_no_error() {
    let site = Site::start().await;
    let cookies = site.signed_in().await.cookie_header("app.example").unwrap();
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("GET /hang?gone HTTP/1.1\r\nHost: left.example\r\nCookie: {cookies}\r\n\r\n")).await;
    site.echo.seen.clone().wait_for(|seen| seen.open == 1).await.unwrap();
    drop(raw);
    let line = access_line_with("left.example").await;
    assert_eq!((&line["level"], &line["status"]), (&"INFO".into(), &0.into()), "{line}");
    assert!(line["reason"].as_str().unwrap().contains("the client went away"), "{line}");
}

/// Every parameter value of an address that proves something.
fn secrets_of(url: &str) -> Vec<String> {
    let Ok(url) = url::Url::parse(url) else { return Vec::new() };
    let telling = ["code", "state", "nonce", "code_challenge", "id_token_hint"];
    url.query_pairs().filter(|(name, _)| telling.contains(&&**name)).map(|(_, value)| value.into_owned()).collect()
}

/// What an answer tells a browser that nobody else may know.
fn note(secrets: &mut BTreeSet<String>, answer: &Answer) {
    let location = answer.header("location").unwrap_or_default();
    for secret in secrets_of(location).into_iter().chain(secrets_of(&answer.url)) {
        secrets.insert(secret);
    }
    for cookie in answer.set_cookies() {
        let value = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
        // The provider's own cookies are no secret of ours, but they pass by.
        secrets.insert(value.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_holds_what_a_browser_was_told_in_confidence() {
    let site = Site::start().await;
    let client = site.client();
    let mut secrets = BTreeSet::from([SESSION_KEY.to_owned(), CLIENT_SECRET.to_owned()]);

    // Signing in, step by step; signing in with a provider that fails; and signing out.
    for fault in [None, Some(TokenFault::Failing), Some(TokenFault::Garbage)] {
        let browser = if fault.is_none() { &client } else { &site.client() };
        site.provider.faults().set(|faults| faults.token = fault);
        let mut answer = browser.navigate("/private?token=of-the-app-1234567").await;
        for _ in 0..12 {
            note(&mut secrets, &answer);
            if !(300..400).contains(&answer.status) {
                break;
            }
            let next = url::Url::parse(&answer.url).unwrap().join(answer.location()).unwrap();
            answer = browser.navigate(next.as_str()).await;
        }
    }
    site.provider.faults().clear();
    // Refused, broken and failed requests with everything in them.
    let cookies = client.cookie_header("app.example").unwrap();
    for request in [
        format!("GET /a/../b HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: app.example\r\nX Bad: {cookies}\r\n"),
        format!("GET /a?{cookies} HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n"),
        "GET /oauth2/callback?code=planted-code-of-nobody&state=planted-state-of-nobody HTTP/1.1\r\n\
         Host: app.example\r\n"
            .to_owned(),
        "GET /a HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer planted-bearer-of-nobody\r\n".to_owned(),
    ] {
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("{request}Connection: close\r\n\r\n")).await;
        raw.rest().await;
    }
    secrets
        .extend(["planted-code-of-nobody", "planted-state-of-nobody", "planted-bearer-of-nobody"].map(str::to_owned));
    secrets.insert("of-the-app-1234567".to_owned());
    let out = client.submit("/oauth2/sign_out", "").await;
    note(&mut secrets, &out);
    let end = client.follow(out).await;
    assert_eq!(end.status, 200, "{}", end.text());

    let telling: Vec<_> = secrets.iter().filter(|secret| secret.len() >= 16).collect();
    assert!(telling.len() >= 12, "too little was seen to prove anything: {telling:?}");
    for secret in telling {
        // From now on, in every test; and looking back.
        never_logged(secret);
        assert_eq!(lines_with(secret), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watch_over_the_log_would_bark() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let cookie = client.cookie("__Host-vestibule").unwrap();
    for line in [
        format!("Cookie: __Host-vestibule={cookie}"),
        format!("key {SESSION_KEY}"),
        format!("client_secret={CLIENT_SECRET}"),
        "id_token eyJhbGciOiJFUzI1NiJ9.e30.x".to_owned(),
        "GET /oauth2/callback?code=abc".to_owned(),
        "authorization: Bearer abc".to_owned(),
        "-----BEGIN PRIVATE KEY-----".to_owned(),
    ] {
        assert!(fault_of(&line).is_some(), "{line}");
    }
    assert_eq!(fault_of(r#"{"path":"/chat","status":200}"#), None);
}
