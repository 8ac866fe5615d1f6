//! The published advisories of programs like this one, tried against it.
//!
//! One section for each class of mechanism, named as `docs/security.md` names it; the tables hold
//! the attacks. Where a request has to be wrong on purpose it is written to the socket by hand.

use crate::support::client::NAVIGATION;
use crate::support::counterparts::{require, start_fastapi};
use crate::support::log_watch;
use crate::support::site::{ORIGIN, SESSION_KEY, START, Setup, Site};
use crate::support::waiting::in_time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule::clock::Timestamp;
use vestibule::seal::{KeyMaterial, KeyRing, Purpose};

/// Sends a request as it is and reads one answer: to its announced end, or to the connection's.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // What is too much is refused before it is read to its end.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        while !is_whole(&answer) {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&piece[..count]),
            }
        }
    };
    in_time("an answer, or an end", read).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    if head.starts_with("HTTP/1.1 103 ") {
        return is_whole(body.as_bytes());
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None => head.contains(" 101 ") || body.ends_with("0\r\n\r\n"),
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// What the echo app says that it got.
fn echoed(answer: &str) -> serde_json::Value {
    let at = answer.find("\r\n\r\n{").unwrap_or_else(|| panic!("no echo: {answer}"));
    serde_json::from_str(&answer[at..]).unwrap()
}

fn header_of<'a>(echo: &'a serde_json::Value, name: &str) -> Vec<&'a str> {
    let headers = echo["headers"].as_array().unwrap().iter();
    headers.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n{headers}\r\n").into_bytes()
}

/// A site that is open to everybody but for some paths: the hard way round.
async fn mostly_public() -> Site {
    let routes = "[{path: /**, access: public, upstream: app}, {path: /admin/**, upstream: app}, \
                   {path: /admin/logo, access: public, upstream: app}, {path: /settings, upstream: app}, \
                   {path: /items/**, methods: [GET], access: public, upstream: app}, \
                   {path: /items/**, upstream: app}]";
    Site::with(Setup { routes: routes.to_owned(), ..Setup::default() }).await
}

// Forwarded headers believed from anyone, and names that fold into them
// (CVE-2026-40575, -34457, -27487, 2025-64484, 2023-36456, 2026-39858, GHSA-w9mr-28mw-j8hg …)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_client_claims_of_itself_reaches_the_app_or_the_decision() {
    let site = Site::start().await;
    let forged = "X-Forwarded-Uri: /public/x\r\nX-Original-URL: /public/x\r\nX-Rewrite-URL: /public/x\r\n\
                  X-Envoy-Original-Path: /public/x\r\nX-Forwarded-User: forged\r\nX_Forwarded_User: forged\r\n\
                  X.Forwarded.Email: forged\r\nX-Auth-Request-Email: forged\r\nX-Auth-Request-Email: forged\r\n\
                  x_auth_request_groups: forged\r\nRemote-User: forged\r\nREMOTE_USER: forged\r\n\
                  X-Forwarded-Access-Token: forged\r\nX-Vestibule-Session: forged\r\nX-Forwarded-Prefix: /forged\r\n\
                  X-Forwarded-Port: 1\r\nX-Forwarded-Host: forged.example\r\nX-Forwarded-Proto: gopher\r\n\
                  X-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                  Content_Length: 7\r\nTransfer_Encoding: chunked\r\nSCRIPT_NAME: /public\r\nPath-Info: /admin\r\nUser-Agent: GoogleHC/1.0\r\n\
                  Connection: close, x-forwarded-user, x-auth-request-email, cookie\r\n";
    // Public, without a session.
    let echo = echoed(&raw(site.address, &get("/public/x", forged)).await);
    let text = echo["headers"].to_string();
    for lie in ["forged", "6.6.6.6", "gopher", "/public/x", "SCRIPT", "script", "path-info", "\"/admin\"", "chunked"] {
        assert!(!text.contains(lie), "{lie} in {text}");
    }
    assert_eq!(header_of(&echo, "x-forwarded-proto"), ["https"]);
    assert_eq!(header_of(&echo, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(header_of(&echo, "x-forwarded-host"), ["app.example"]);
    // Not public: none of it opens the door, and no health checker is known by its name.
    assert_eq!(status(&raw(site.address, &get("/private", forged)).await), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_header_takes_away_what_we_say_and_no_trailer_adds_to_it() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let cookie = client.cookie_header("app.example").unwrap();
    for nominated in ["x-auth-request-email", "X-Auth-Request-Email, x-auth-request-user", "cookie", "keep-alive"] {
        let request = get("/x", &format!("Cookie: {cookie}\r\nConnection: {nominated}\r\n"));
        let echo = echoed(&raw(site.address, &request).await);
        assert_eq!(header_of(&echo, "x-auth-request-email"), ["helene.moreau@test.proconnect.gouv.fr"], "{nominated}");
        assert!(!echo["headers"].to_string().contains("__Host-vestibule"), "{nominated}");
    }
    let trailer = format!(
        "POST /public/x HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nTrailer: x-auth-request-user\r\n\
         \r\n3\r\nabc\r\n0\r\nX-Auth-Request-User: {}\r\n\r\n",
        "forged"
    );
    let answer = raw(site.address, trailer.as_bytes()).await;
    assert_eq!(echoed(&answer)["body"], 3);
    assert!(!answer.contains("forged"), "{answer}");
    // The lines that say where a body ends, and whom it is for, cannot be nominated away.
    for nominated in ["content-length", "transfer-encoding", "host", "x-forwarded-for"] {
        let request = format!(
            "POST /public/x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 26\r\nConnection: {nominated}\r\n\r\n\
             GET /private HTTP/1.1\r\n\r\n "
        );
        let answer = raw(site.address, request.as_bytes()).await;
        let whole = status(&answer) == 200 && echoed(&answer)["body"] == 26;
        assert!(whole || status(&answer) == 400, "{nominated}: {answer}");
    }
}

// A path judged differently from the path served
// (CVE-2026-41059, 2025-54576, 2021-32779, 2021-29492, 2026-33494, 2026-48794 …)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_guarded_path_is_public() {
    let site = mostly_public().await;
    for target in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/%61dmin/x",
        "/Admin/x",
        "/ADMIN",
        "/admin%2Fx",
        "/admin%5Cx",
        "/admin%2fx",
        "//admin/x",
        "/x/..//admin/x",
        "/x/../admin",
        "/./admin",
        "/x/%2e%2e/admin",
        "/x%2f..%2fadmin",
        "/x/..;/admin",
        "/;/admin/x",
        "/admin;x/y",
        "/admin%3Bx/y",
        "/;x%2Fy/admin/z",
        "/;a%2F/admin",
        "/%2Fadmin/x",
        "/%2F%2Fadmin",
        "/admin#/public",
        "/admin%23",
        "/admin?/public",
        "/admin%3f/../public",
        "/admin%00",
        "/admin%20",
        "/admin.",
        "/admin/logo/",
        "/admin/LOGO",
        "/admin/logo%2F",
        "/admin/logo/..",
        "/admin/logo;/x",
        "/admin/logo%2Fx",
        "/settings/",
        "/Settings",
        "/settings.",
        "/settings;x",
        "/settings%3B",
        "/settings%2F",
        "/%252e%252e/admin",
        "/%c0%afadmin",
        "/\\admin",
        "http://app.example/admin",
        "http://evil.example/x",
        "*",
    ] {
        let answer = raw(site.address, &get(target, "")).await;
        assert!(matches!(status(&answer), 400 | 401), "{target}: {answer}");
        assert!(!answer.contains("x-from: the app"), "{target}: {answer}");
    }
    for open in ["/", "/x", "/admins", "/admin/logo", "/x/admin", "/caf%C3%A9", "/x?to=/admin", "/x//y", "/a%2Fb"] {
        assert_eq!(status(&raw(site.address, &get(open, "")).await), 200, "{open}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_for_get_lets_no_other_method_pass_in_its_dress() {
    let site = mostly_public().await;
    assert_eq!(status(&raw(site.address, &get("/items/1", "")).await), 200);
    for disguise in [
        "X-HTTP-Method-Override: DELETE",
        "X_HTTP_Method_Override: delete",
        "X-Method-Override: PUT",
        "X-HTTP-Method: \u{1}",
    ] {
        let answer = raw(site.address, &get("/items/1", &format!("{disguise}\r\n"))).await;
        assert_eq!(status(&answer), 400, "{disguise}: {answer}");
    }
    let harmless = get("/items/1", "X-HTTP-Method-Override: GET\r\n");
    assert_eq!(status(&raw(site.address, &harmless).await), 200);
    for method in ["get", "TRACE", "CONNECT", "GET\u{b}"] {
        let request = format!("{method} /items/1 HTTP/1.1\r\nHost: app.example\r\n\r\n");
        assert!(status(&raw(site.address, request.as_bytes()).await) >= 400, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_to_us_is_public_to_uvicorn() {
    require!(FastApi);
    let app = start_fastapi().await;
    let routes = "[{path: /echo/open/**, access: public, upstream: app}, {path: /**, upstream: app}]";
    let setup = Setup { upstream: Some(app.address.clone()), routes: routes.to_owned(), ..Setup::default() };
    let site = Site::with(setup).await;
    let pieces = [
        "/",
        "//",
        "%2F",
        "%5C",
        ";",
        "%3B",
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "open",
        "%6fpen",
        "OPEN",
        "x",
        "secret",
        "%25",
        "%20",
        "?",
        "#",
        "\\",
        "%00",
        "%252f",
        "%E2%80%AE",
        ":",
        "@",
        "*",
        "~",
        ";x=1",
        "..;",
        "/echo/",
        "é",
    ];
    let (mut seed, mut forwarded) = (1_u64, 0);
    for _ in 0..400 {
        let mut target = "/echo".to_owned();
        for _ in 0..6 {
            // Knuth's generator: the same paths in every run.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            target.push_str(if target.len() == 5 { "/open/" } else { pieces[(seed >> 33) as usize % pieces.len()] });
        }
        let answer = raw(site.address, &get(&target, "")).await;
        if status(&answer) != 200 {
            assert!(matches!(status(&answer), 307 | 400 | 401 | 404), "{target}: {answer}");
            continue;
        }
        forwarded += 1;
        let received = echoed(&answer)["path"].as_str().unwrap().to_owned();
        // A raw fragment is cut off by the parser, before it is judged and before it is sent.
        assert_eq!(received, target.split(['?', '#']).next().unwrap(), "the path goes on as it was judged");
        let decoded = percent_encoding::percent_decode_str(&received).decode_utf8_lossy().replace('\\', "/");
        let mut depth = Vec::new();
        for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
            if segment == ".." {
                depth.pop();
            } else {
                depth.push(segment);
            }
        }
        assert_eq!(depth[..2], ["echo", "open"], "{target}");
    }
    assert!(forwarded > 20, "only {forwarded} paths were forwarded: the test tests nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_paths_and_the_app_s_are_never_taken_for_each_other() {
    let site = mostly_public().await;
    for ours in [
        "/oauth2",
        "/oauth2/",
        "/OAuth2/start",
        "/oauth2/unknown",
        "/oauth2%2Fstart",
        "/oauth2;x/start",
        "/;/oauth2/start",
        "/oauth2//start",
        "/oauth2/start/",
        "/oauth2/START",
    ] {
        let answer = raw(site.address, &get(ours, "")).await;
        assert!(matches!(status(&answer), 400 | 404), "{ours}: {answer}");
    }
    for the_apps in ["/oauth2callback", "/oauth2-proxy/x", "/x/oauth2/start", "/healthz", "/metrics", "/readyz"] {
        assert!(raw(site.address, &get(the_apps, "")).await.contains("x-from: the app"), "{the_apps}");
    }
    for (path, expected) in [("/healthz", 200), ("/oauth2/start", 404), ("/", 403), ("/x", 404)] {
        assert_eq!(status(&raw(site.admin, &get(path, "")).await), expected, "{path} on the admin listener");
    }
}

// Redirects that leave the site
// (CVE-2017-1000070, 2020-5233, -11053, -4037, 2021-32786, 2019-20479, 2022-23527, 2024-21497 …)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_return_address_leads_away_by_whichever_door_it_comes() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let tricks = include_str!("../vectors/open-redirects.txt").lines().filter(|line| !line.starts_with("## "));
    for trick in tricks
        .map(|line| line.replace("<TAB>", "\t").replace("<LF>", "\n").replace("<CR>", "\r").replace("<NUL>", "\0"))
    {
        let rd: String = url::form_urlencoded::byte_serialize(trick.as_bytes()).collect();
        let answer = client.navigate(&format!("/oauth2/sign_in?rd={rd}")).await;
        assert_eq!((answer.status, answer.location()), (302, &*format!("{ORIGIN}/")), "{trick:?}");
    }
    // Behind a sign-in, from a form and from a Referer.
    let stranger = site.client();
    let started = stranger.submit("/oauth2/start", "rd=%2F%2Fevil.example&rd=%2Fok").await;
    let landed = stranger.follow(started).await;
    assert_eq!((landed.status, landed.url.as_str()), (200, &*format!("{ORIGIN}/")));
    let headers =
        [("sec-fetch-mode", "navigate"), ("accept", "text/html"), ("referer", "https://app.example@evil.example/")];
    let page = site.client().send(Method::POST, "/form", &headers, b"a=b".to_vec()).await;
    assert_eq!(page.status, 401);
    assert!(!page.text().contains("evil.example"), "{}", page.text());
    // And no Host makes its way into an address of ours.
    let host = b"GET /private HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\n\r\n";
    assert!(!raw(site.address, host).await.contains("evil.example"));
    let host = b"GET /private HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert!(!raw(site.address, host).await.contains("evil.example"));
}

// Sign-in: CSRF, fixation, replays, injected words
// (CVE-2017-1000069, -6059, 2023-27496, 2021-29652, 2025-52553, mod_auth_openidc 2026 …)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_counts_once_and_only_in_the_browser_that_began() {
    let site = Site::start().await;
    let attacker = site.client();
    let first = attacker.navigate("/x").await;
    let callback = attacker.navigate(first.location()).await.location().to_owned();
    assert!(callback.starts_with(&format!("{ORIGIN}/oauth2/callback?")), "{callback}");

    // The victim is led to the attacker's callback: with no attempt of its own, with one, signed in.
    let victim = site.client();
    assert_eq!(victim.navigate(&callback).await.status, 400);
    // With an attempt of its own it begins once more, as itself; nothing of the answer counts.
    let _ = victim.navigate("/x").await;
    let led = victim.navigate(&callback).await;
    assert!(led.status == 302 && led.location().starts_with(site.provider.issuer()), "{}", led.location());
    let signed_in = site.signed_in().await;
    let (before, redeemed) = (signed_in.cookie("__Host-vestibule"), site.provider.counters().token);
    let led = signed_in.navigate(&callback).await;
    assert_eq!((led.status, led.location()), (302, &*format!("{ORIGIN}/x")));
    assert_eq!(signed_in.cookie("__Host-vestibule"), before);
    assert_eq!(site.provider.counters().token, redeemed);
    assert!(victim.cookie("__Host-vestibule").is_none());

    // Whoever mixes up or repeats its parts gets nowhere either.
    let (base, query) = callback.split_once('?').unwrap();
    for broken in [
        format!("{base}?{}", query.replace("state=", "x=")),
        format!("{base}?{query}&state=x"),
        format!("{base}?{query}&code=x"),
        format!("{base}?{query}&iss=https%3A%2F%2Fevil.example"),
        format!("{base}?{}", query.replace("iss=", "was=")),
        format!("{base}?{}&iss=https%3A%2F%2Fevil.example", query.replace("iss=", "was=")),
    ] {
        let answer = attacker.navigate(&broken).await;
        assert!(answer.status >= 400 && attacker.cookie("__Host-vestibule").is_none(), "{broken}");
    }
    assert_eq!(attacker.navigate(&callback).await.status, 302);
    // A copy of it, without the session that it made.
    let copied = site.client();
    copied.set_cookie("__Host-vestibule-login", &attacker.cookie("__Host-vestibule-login").unwrap());
    assert!(copied.navigate(&callback).await.status >= 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_never_keeps_the_session_that_was_presented() {
    let site = Site::start().await;
    let planted = site.signed_in().await.cookie("__Host-vestibule").unwrap();
    let victim = site.client();
    victim.set_cookie("__Host-vestibule", &planted);
    let landed = victim.browse("/oauth2/start").await;
    assert_eq!(landed.status, 200);
    let own = victim.cookie("__Host-vestibule").unwrap();
    assert_ne!(own, planted);
    // And what was there before is over, for whoever planted it too.
    victim.set_cookie("__Host-vestibule", &planted);
    assert_eq!(victim.fetch("/x").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_or_an_address_says_is_neither_markup_nor_a_log_line() {
    let site = Site::start().await;
    let client = site.client();
    let first = client.navigate("/x").await;
    let state = url::Url::parse(first.location()).unwrap();
    let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let issuer: String = url::form_urlencoded::byte_serialize(site.provider.issuer().as_bytes()).collect();
    let words = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%0D%0A%22%2C%22decision%22%3A%22forward%1B%5B31m";
    let url = format!("/oauth2/callback?error={words}&error_description={words}&state={state}&iss={issuer}");
    let page = client.navigate(&url).await;
    assert!(page.status >= 400, "{}", page.status);
    assert!(!page.text().contains("alert(1)"), "{}", page.text());
    let line = log_watch::access_line_with("alert(1)").await;
    assert_eq!(log_watch::access_lines_with("alert(1)").len(), 1, "one line");
    assert_eq!(line["decision"], "callback");
    assert!(!line["reason"].as_str().unwrap().contains(['\n', '\r', '\u{1b}']), "{line}");

    for path in ["/oauth2/sign_in?rd=%2F%22%3E%3Cscript%3Ealert(1)", "/oauth2/sign_in?rd=/<script>", "/oauth2/<script>"]
    {
        let page = client.navigate(path).await;
        assert!(!page.text().replace(super::support::shown::SCRIPT, "").contains("<script"), "{path}: {}", page.text());
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        // No script but the one of the sign-in page, by its hash.
        let scripts = policy.split("; ").find(|part| part.starts_with("script-src"));
        let is_sign_in = path.starts_with("/oauth2/sign_in");
        assert_eq!(
            scripts.map(|part| part.starts_with("script-src 'sha256-")),
            is_sign_in.then_some(true),
            "{path}: {policy}"
        );
        assert!(scripts.is_none_or(|part| part.split(' ').count() == 2), "{path}: {policy}");
    }
}

// Sessions: forged, swapped, oversized, ended
// (CVE-2026-47775, 2024-24814, 2023-28625, 2026-25748, 2025-29928, 2024-21492, 2022-29226 …)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_is_not_whole_and_alone_is_no_session_and_all_are_answered_alike() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let good = client.cookie("__Host-vestibule").unwrap();
    let tokens = client.cookie("__Host-vestibule-tokens").unwrap();
    let login = client.cookie("__Host-vestibule-login").unwrap();
    let answer_to = async |cookie: &str| {
        let answer = raw(site.address, &get("/x", &format!("Cookie: {cookie}\r\n"))).await;
        let body = answer.split_once("\r\n\r\n").unwrap_or_default().1.to_owned();
        (status(&answer), body)
    };
    let nobody = raw(site.address, &get("/x", "")).await;
    let nobody = (401, nobody.split_once("\r\n\r\n").unwrap().1.to_owned());
    let flipped = |at: usize| {
        let mut text = good.clone().into_bytes();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(text).unwrap()
    };
    let mut cases = vec![
        format!("__Host-vestibule={good}; __Host-vestibule={good}"),
        format!("__Host-vestibule={good}\r\nCookie: __Host-vestibule=x"),
        format!("__Host-vestibule=\"{good}\""),
        format!("__host-vestibule={good}"),
        format!("vestibule={good}"),
        format!("__Host-vestibule ={good}"),
        format!("=__Host-vestibule={good}"),
        format!("$Version=1, __Host-vestibule={good}"),
        format!("__Host-vestibule={}", tokens.split_once('.').unwrap().1),
        format!("__Host-vestibule={login}"),
        format!("__Host-vestibule={}", &good[..good.len() - 1]),
        format!("__Host-vestibule={good}="),
        format!("__Host-vestibule={good}{good}"),
        format!("__Host-vestibule={}", "A".repeat(60_000)),
        format!("{}__Host-vestibule=x", "__Host-vestibule-tokens=1.x; ".repeat(2000)),
        format!("__Host-vestibule-tokens=99999999.{tokens}; __Host-vestibule=AQ"),
        "__Host-vestibule".to_owned(),
        "__Host-vestibule=".to_owned(),
        ";;;;=;=;".to_owned(),
        "a=b; \"; __Host-vestibule=x; \"".to_owned(),
    ];
    cases.extend([0, 1, 5, 10, good.len() / 2, good.len() - 2].map(|at| format!("__Host-vestibule={}", flipped(at))));
    for cookie in &cases {
        assert_eq!(answer_to(cookie).await, nobody, "{}", &cookie[..cookie.len().min(80)]);
    }
    assert_eq!(
        status(&raw(site.address, &get("/x", "Authorization: Bearer x\r\n")).await),
        401,
        "a bearer is no session"
    );
    assert_eq!(answer_to(&format!("__Host-vestibule={good}")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_out_session_is_over_for_every_copy_and_no_late_answer_brings_it_back() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let copy = site.client();
    for name in client.cookie_names() {
        copy.set_cookie(&name, &client.cookie(&name).unwrap());
    }
    // Renewals give further cookies of the same session.
    site.clock.advance(Duration::from_secs(120));
    assert!(!copy.fetch("/x").await.set_cookies().is_empty());
    let out = client.submit("/oauth2/sign_out", "").await;
    assert_eq!(out.status, 303);
    for cookie in out.set_cookies().iter().filter(|cookie| cookie.contains("Max-Age=0")) {
        assert!(cookie.starts_with("__Host-") && cookie.contains("Secure") && cookie.contains("Path=/"), "{cookie}");
    }
    let refused = copy.fetch("/x").await;
    assert_eq!(refused.status, 401);
    assert!(refused.set_cookies().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_of_one_site_even_where_two_were_given_the_same_secret() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let cookie = client.cookie("__Host-vestibule").unwrap();
    let mut secret = zeroize::Zeroizing::new([0; 32]);
    URL_SAFE_NO_PAD.decode_slice(SESSION_KEY, secret.as_mut_slice()).unwrap();
    let keys = [KeyMaterial { id: "k1".to_owned(), secret, until: None }];
    let opens = |site: &str| {
        let ring = KeyRing::of_site(&keys, site).unwrap();
        ring.open(Purpose::Session, cookie.as_bytes(), b"__Host-vestibule", Timestamp::from_unix(START)).is_some()
    };
    assert!(opens(" https://app.example app"));
    for other in ["", " https://other.example app", " https://app.example integration-app"] {
        assert!(!opens(other), "{other}");
    }
}

// Signing out, caused by others
// (mod_auth_openidc 2026, CVE-2025-55162, 2022-23527)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_signed_out_by_another_site() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let navigate = ("sec-fetch-mode", "navigate");
    let post: &[&[(&str, &str)]] = &[
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://sibling.app.example")],
        &[("origin", "http://app.example")],
        &[("origin", ORIGIN), ("sec-fetch-site", "cross-site")],
        &[("origin", ORIGIN), ("sec-fetch-site", "same-site")],
        &[("origin", ORIGIN), ("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-origin")],
        &[("referer", "https://app.example/")],
    ];
    let by_get: &[&[(&str, &str)]] = &[
        &[],
        &[navigate],
        &[navigate, ("sec-fetch-site", "none")],
        &[navigate, ("sec-fetch-site", "same-site")],
        &[navigate, ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-site", "same-origin")],
        &[navigate, ("sec-fetch-site", "same-origin"), ("sec-purpose", "prefetch")],
        &[("x-http-method-override", "POST"), ("origin", ORIGIN)],
    ];
    let cases = post.iter().map(|case| (Method::POST, case)).chain(by_get.iter().map(|case| (Method::GET, case)));
    for (method, headers) in cases {
        let answer = client.send(method.clone(), "/oauth2/sign_out?_method=POST", headers, Vec::new()).await;
        assert_eq!((answer.status, answer.set_cookies().len()), (200, 0), "{method} {headers:?}");
    }
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(client.send(method, "/oauth2/sign_out", &[("origin", ORIGIN)], Vec::new()).await.status, 405);
    }
    assert_eq!(client.fetch("/x").await.status, 200);
}

// WebSockets that another site's page opens (the cookie goes with it, CORS does not)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_borrows_nobody_s_session_for_a_websocket() {
    let site = Site::with(Setup {
        routes: "[{path: /**, upstream: app}, {path: /open, access: public, upstream: app}]".to_owned(),
        ..Setup::default()
    })
    .await;
    let cookie = site.signed_in().await.cookie_header("app.example").unwrap();
    let handshake = |path: &str, origin: &str| {
        let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        get(path, &format!("{socket}Cookie: {cookie}\r\n{origin}"))
    };
    for origin in ["https://sibling.app.example", "https://evil.example", "null", "http://app.example"] {
        let origin = format!("Origin: {origin}\r\n");
        assert_eq!(status(&raw(site.address, &handshake("/ws", &origin)).await), 403, "{origin}");
        // Public is public, but as nobody.
        assert!(!raw(site.address, &handshake("/open", &origin)).await.contains("moreau"), "{origin}");
    }
    for origin in ["", "Origin: https://app.example\r\n"] {
        assert_eq!(status(&raw(site.address, &handshake("/ws", origin)).await), 101, "{origin}");
    }
}

// What an app's answers may do
// (CVE-2026-54762 and mod_auth_openidc 2026 by the other door)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_s_answer_sets_no_cookie_of_ours() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let url = "/status/200?set-cookie=theme%3Ddark&set-cookie=__Host-vestibule%3Dplanted%3B+Path%3D%2F%3B+Secure\
               &set-cookie=vestibule-login%3Dx&set-cookie=lang%3Dfr%3B+Path%3D%2F";
    let answer = client.fetch(url).await;
    assert_eq!(answer.set_cookies(), ["theme=dark", "lang=fr; Path=/"]);
    assert_eq!(client.fetch("/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cache_for_many_is_handed_a_cookie_of_one() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let cookie = client.cookie_header("app.example").unwrap();
    // (headers of the app, whether the cookie is renewed, the Cache-Control lines that arrive)
    let cases: [(&str, bool, &[&str]); 10] = [
        ("", true, &["private"]),
        ("cache-control=no-cache", true, &["no-cache", "private"]),
        ("cache-control=max-age%3D0", true, &["max-age=0", "private"]),
        ("expires=Thu%2C+01+Dec+2098+16%3A00%3A00+GMT", true, &["private"]),
        ("cache-control=private", true, &["private"]),
        ("cache-control=no-store", true, &["no-store"]),
        ("cache-control=max-age%3D60", false, &["max-age=60"]),
        ("cache-control=public", false, &["public"]),
        ("cache-control=s-maxage%3D9", false, &["s-maxage=9"]),
        ("cache-control=private&cdn-cache-control=max-age%3D60", false, &["private"]),
    ];
    site.clock.advance(Duration::from_secs(120));
    for (headers, renewed, cache_control) in cases {
        for code in [200, 304, 404] {
            let answer = client.get(&format!("/status/{code}?{headers}"), &[("cookie", &cookie)]).await;
            assert_eq!(!answer.set_cookies().is_empty(), renewed, "{code} {headers}");
            let lines: Vec<_> =
                answer.headers.get_all("cache-control").iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(lines, cache_control, "{code} {headers}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_hint_is_not_the_answer_that_a_cookie_goes_with() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request).await.unwrap();
            let hint =
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: __Host-vestibule=x\r\n\r\n";
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            stream.write_all(format!("{hint}{answer}").as_bytes()).await.unwrap();
        }
    });
    let site = Site::with(Setup { upstream, ..Setup::default() }).await;
    let client = site.signed_in().await;
    site.clock.advance(Duration::from_secs(120));
    let cookie = client.cookie_header("app.example").unwrap();
    let answer = raw(site.address, &get("/x", &format!("Cookie: {cookie}\r\n"))).await;
    let (hint, rest) = answer.split_once("\r\n\r\n").unwrap();
    let last = if hint.contains(" 103 ") { rest } else { &answer };
    assert!(
        last.starts_with("HTTP/1.1 200") && last.to_ascii_lowercase().contains("set-cookie: __host-vestibule="),
        "{answer}"
    );
    assert!(!answer.contains("__Host-vestibule=x"), "{answer}");
}

// Costs that a stranger can cause
// (CVE-2024-24814, 2026-47774, mod_auth_openidc 2026)

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_bounded_in_what_they_send() {
    let site = Site::start().await;
    let cases: [(&str, Vec<u8>); 4] = [
        ("a head over 80 KiB", get("/x", &format!("X-Big: {}\r\n", "a".repeat(90_000)))),
        ("a long path with many readings", get(&format!("/public/{}", ";/%2F%5C//".repeat(1000)), "")),
        (
            "a form of ours that is announced too long",
            format!(
                "POST /oauth2/start HTTP/1.1\r\nHost: app.example\r\nContent-Length: 20000\r\n\r\n{}",
                "a".repeat(20_000)
            )
            .into_bytes(),
        ),
        (
            "a form of ours that never ends",
            format!(
                "POST /oauth2/start HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                format!("1000\r\n{}\r\n", "a".repeat(0x1000)).repeat(6)
            )
            .into_bytes(),
        ),
    ];
    for (what, request) in cases {
        assert_eq!(status(&raw(site.address, &request).await), 400, "{what}");
    }
    // The site is well.
    assert_eq!(site.client().get("/public/x", &NAVIGATION).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_trickles_in_does_not_hold_a_request_open() {
    let site = Site::start().await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    let head = "POST /oauth2/start HTTP/1.1\r\nHost: app.example\r\nContent-Length: 9000\r\n\r\nrd=";
    stream.write_all(head.as_bytes()).await.unwrap();
    let trickle = async {
        let mut answer = [0; 64];
        loop {
            tokio::select! {
                count = stream.read(&mut answer) => return String::from_utf8_lossy(&answer[..count.unwrap()]).into_owned(),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            // The answer may be on its way already, and the connection closed behind it.
            let _ = stream.write_all(b"x").await;
        }
    };
    let answer = in_time("an answer", trickle).await;
    assert_eq!(status(&answer), 400);
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut folders = vec![root.join("src"), root.join("tests/it")];
    let mut sources = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.extension() {
                None => folders.push(entry),
                Some(extension) if extension == "rs" => sources.push_str(&std::fs::read_to_string(entry).unwrap()),
                Some(_) => {}
            }
        }
    }
    let words = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = words.filter(|word| word.matches('_').count() >= 3 && !word.starts_with('_')).collect();
    assert!(named.len() > 30, "{named:?}");
    for test in named {
        assert!(sources.contains(&format!("fn {test}(")), "{test}");
    }
}
