//! Requests with two meanings: each is answered 400 on a connection that then closes, or reaches
//! the app in one meaning only. What a raw socket can send, and byte for byte what the app gets.

use crate::support::raw::Raw;
use crate::support::site::{Setup, Site};
use crate::support::wire::Wire;

/// A site in front of an app that keeps the bytes it gets; everything below `/public` is open.
async fn site() -> (Site, Wire) {
    let wire = Wire::start().await;
    let site = Site::with(Setup { upstream: Some(wire.url()), ..Setup::default() }).await;
    (site, wire)
}

/// Sends a request that must not reach the app and returns the status it got.
async fn status_and_close(site: &Site, request: &[u8]) -> u16 {
    let mut raw = Raw::connect(site.address).await;
    // A whole request behind it: whoever takes the end of the first for its beginning serves it.
    raw.send([request, b"GET /public/smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n"].concat()).await;
    let answer = String::from_utf8_lossy(&raw.rest().await).into_owned();
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{:?}\n{answer}", String::from_utf8_lossy(request));
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    answer[9..12].parse().unwrap()
}

/// Shows that nothing of what was sent before has reached the app.
async fn nothing_arrived(site: &Site, wire: &Wire) {
    assert_eq!(site.client().get("/public/last", &[]).await.status, 200);
    let lines: Vec<_> = wire.received().iter().map(|request| request.line().to_owned()).collect();
    assert_eq!(lines, ["GET /public/last HTTP/1.1"]);
}

const HOST: &str = "Host: app.example\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_whose_length_has_two_meanings_is_refused() {
    let (site, wire) = site().await;
    let bodies = [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\ncontent-LENGTH:3\r\n\r\n0\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "Content-Length: 3, 3\r\n\r\nabc",
        "Content-Length: +3\r\n\r\nabc",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 0x3\r\n\r\nabc",
        "Content-Length: \r\n\r\n",
        "Content-Length: 3 3\r\n\r\nabc",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ];
    for body in bodies {
        let request = format!("POST /public/a HTTP/1.1\r\n{HOST}{body}");
        assert_eq!(status_and_close(&site, request.as_bytes()).await, 400, "{body:?}");
    }
    let old = format!("POST /public/a HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(status_and_close(&site, old.as_bytes()).await, 400);
    nothing_arrived(&site, &wire).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_line_or_a_host_with_two_meanings_is_refused() {
    let (site, wire) = site().await;
    let line = |line: &str| format!("{line}\r\n{HOST}\r\n");
    let host = |host: &str| format!("GET /public/a HTTP/1.1\r\n{host}\r\n");
    let requests = [
        host(""),
        host("Host:\r\n"),
        host("Host: app.example\r\nHost: app.example\r\n"),
        host("Host: app.example\r\nhost: evil.example\r\n"),
        host("Host: app.example, evil.example\r\n"),
        host("Host: user@app.example\r\n"),
        host("Host: app.example:x\r\n"),
        host("Host: app.example:\r\n"),
        host("Host: app.example/public\r\n"),
        host("Host: app example\r\n"),
        host("Host: app.example#\r\n"),
        host("Host : app.example\r\n"),
        line("GET http://app.example/public/a HTTP/1.1"),
        line("GET http://evil.example/public/a HTTP/1.1"),
        line("GET https://app.example/public/a HTTP/1.1"),
        line("GET app.example:80 HTTP/1.1"),
        line("GET * HTTP/1.1"),
        line("OPTIONS * HTTP/1.1"),
        line("GET public/a HTTP/1.1"),
        line("GET ?a HTTP/1.1"),
        line("GET  /public/a HTTP/1.1"),
        line("TRACE /public/a HTTP/1.1"),
        line("get /public/a HTTP/1.1"),
        line("G@T /public/a HTTP/1.1"),
        line("GET /public/a HTTP/1.2"),
        line("GET /public/a HTTP/2.0"),
        line("GET /public/a HTTPS/1.1"),
        line("PRI * HTTP/2.0"),
        "GET /public/a\r\n\r\n".to_owned(),
    ];
    for request in requests {
        assert_eq!(status_and_close(&site, request.as_bytes()).await, 400, "{request:?}");
    }
    // Pingora's own answer to tunnels.
    let tunnel = "CONNECT app.example:80 HTTP/1.1\r\nHost: app.example:80\r\n\r\n";
    assert_eq!(status_and_close(&site, tunnel.as_bytes()).await, 405);
    nothing_arrived(&site, &wire).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_with_two_meanings_is_refused() {
    let (site, wire) = site().await;
    let headers = [
        "X-A: b\r\n folded\r\n".to_owned(),
        "X-A: b\rX-Auth-Request-User: root\r\n".to_owned(),
        "X-A: b\0c\r\n".to_owned(),
        "X-A: b\x08c\r\n".to_owned(),
        "X A: b\r\n".to_owned(),
        "X-A : b\r\n".to_owned(),
        "no colon\r\n".to_owned(),
        ": no name\r\n".to_owned(),
        "X-(A): b\r\n".to_owned(),
        "Expect: foo\r\n".to_owned(),
        "Expect: 100-continue, foo\r\n".to_owned(),
        "Connection: host\r\n".to_owned(),
        "Connection: x-forwarded-for\r\n".to_owned(),
        "Upgrade: h2c\r\nConnection: upgrade\r\n".to_owned(),
        "Upgrade: websocket, h2c\r\nConnection: upgrade\r\n".to_owned(),
        "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade\r\n".to_owned(),
        "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n".to_owned(),
        "X-A: b\r\n".repeat(300),
        format!("X-A: {}\r\n", "b".repeat(81 * 1024)),
        format!("X-A: {}\r\n", "b".repeat(1100 * 1024)),
    ];
    for header in headers {
        let request = format!("GET /public/a HTTP/1.1\r\n{HOST}{header}\r\n");
        let shown = &header[..header.len().min(80)];
        assert_eq!(status_and_close(&site, request.as_bytes()).await, 400, "{shown:?}");
    }
    let posted = format!(
        "POST /public/a HTTP/1.1\r\n{HOST}Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(status_and_close(&site, posted.as_bytes()).await, 400);
    nothing_arrived(&site, &wire).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_with_two_meanings_is_refused() {
    let (site, wire) = site().await;
    let paths = [
        "/public/../admin",
        "/public/..",
        "/public/./a",
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/public/..;/admin",
        "/public/..;a=b/admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/%5c..%5cadmin",
        "/public%2f..%2fadmin",
        "/public\\..\\admin",
        "/public/a\\b",
        "//evil.example/public",
        "/\\evil.example/public",
        "/public/%252e%252e/admin",
        "/public/%252fadmin",
        "/public/%c0%ae%c0%ae/admin",
        "/public/%c0%af",
        "/public/%00",
        "/public/a%00.html",
        "/public/\0",
        "/public/%0d%0aX-Evil:%201",
        "/public/%7f",
        "/public/%",
        "/public/%2",
        "/public/%zz",
        "/public/é",
        // Readings that fall under different routes: nobody knows which the app will take.
        "/public;x/a",
        "/public%2Fa",
        "/;/public/a",
        "/public%3Bx/a",
    ];
    for path in paths {
        let request = format!("GET {path} HTTP/1.1\r\n{HOST}\r\n");
        let mut raw = Raw::connect(site.address).await;
        raw.send(&request).await;
        assert_eq!(raw.answer().await.status, 400, "{path:?}");
    }
    nothing_arrived(&site, &wire).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_that_was_judged_is_the_path_that_the_app_gets_byte_for_byte() {
    let (site, wire) = site().await;
    let targets = [
        "/public/a",
        "/public/",
        "/public",
        "/public/a//b",
        "/public/a//",
        "/public/a%2Fb",
        "/public/a%2fb",
        "/public/a;x=1/b;y",
        "/public/a%3Bb",
        "/public/%61%7E~",
        "/public/caf%C3%A9",
        "/public/latin%E9",
        "/public/100%25",
        "/public/C%23",
        "/public/@x:y,z=!$&'()*+",
        "/public/..a/b..",
        "/public/a?",
        "/public/a?b=%2e%2e%2f&c=//d/../e?f",
        "/public/a?b=%00%0d%0a",
        // What browsers leave as it is in queries.
        "/public/a?q={x}|y^z`[]'\\",
        "/public/a?é",
    ];
    for (index, target) in targets.into_iter().enumerate() {
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("GET {target} HTTP/1.1\r\n{HOST}\r\n")).await;
        assert_eq!(raw.answer().await.status, 200, "{target}");
        assert_eq!(wire.nth(index + 1).await.line(), format!("GET {target} HTTP/1.1"));
    }
    // Longer than the retry and read buffers, within what is taken.
    let long = format!("/public/{}?{}", "a".repeat(20_000), "b".repeat(20_000));
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("GET {long} HTTP/1.1\r\n{HOST}\r\n")).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(wire.nth(targets.len() + 1).await.target(), long);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_honest_client_may_send_reaches_the_app_in_one_meaning() {
    let (site, wire) = site().await;
    // (what is sent, the app's request line, its body as it came over the wire)
    let cases: [(&str, &str, &str); 10] = [
        ("GET /public/a?b#c HTTP/1.1\r\nHost: app.example\r\n\r\n", "GET /public/a?b HTTP/1.1", ""),
        ("\r\n\r\nGET /public/crlf HTTP/1.1\r\nHost: app.example\r\n\r\n", "GET /public/crlf HTTP/1.1", ""),
        ("GET /public/lf HTTP/1.1\nHost: app.example\n\n", "GET /public/lf HTTP/1.1", ""),
        ("GET /public/old HTTP/1.0\r\nHost: app.example\r\n\r\n", "GET /public/old HTTP/1.1", ""),
        ("GET /public/port HTTP/1.1\r\nHost: App.Example:8080\r\n\r\n", "GET /public/port HTTP/1.1", ""),
        ("GET /public/six HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET /public/six HTTP/1.1", ""),
        (
            "GET /public/body HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\r\nabc",
            "GET /public/body HTTP/1.1",
            "abc",
        ),
        ("GET /public/a b HTTP/1.1\r\nHost: app.example\r\n\r\n", "GET /public/a%20b HTTP/1.1", ""),
        (
            "POST /public/chunks HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: CHUNKED\r\n\r\n\
             3;ext=\"x\"\r\nabc\r\n0\r\nX-Auth-Request-User: root\r\n\r\n",
            "POST /public/chunks HTTP/1.1",
            "3\r\nabc\r\n0\r\n\r\n",
        ),
        ("M-SEARCH /public/method HTTP/1.1\r\nHost: app.example\r\n\r\n", "M-SEARCH /public/method HTTP/1.1", ""),
    ];
    for (index, (sent, line, body)) in cases.into_iter().enumerate() {
        let mut raw = Raw::connect(site.address).await;
        raw.send(sent).await;
        assert_eq!(raw.answer().await.status, 200, "{sent:?}");
        let got = wire.nth(index + 1).await;
        assert_eq!((got.line(), String::from_utf8_lossy(&got.body).as_ref()), (line, body), "{sent:?}");
        assert_eq!(got.all("trailer"), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_one_hop_end_here_and_the_app_gets_no_half_of_them() {
    let (site, wire) = site().await;
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!(
        "GET /public/a HTTP/1.1\r\n{HOST}Connection: keep-alive, x-one\r\nX-One: 1\r\nX-Two: 2\r\nTE: trailers\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTrailer: X-User\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.answer().await.status, 200);
    let got = wire.nth(1).await;
    for gone in ["x-one", "te", "keep-alive", "proxy-connection", "proxy-authorization", "trailer"] {
        assert_eq!(got.all(gone), [""; 0], "{gone}");
    }
    assert_eq!(got.all("x-two"), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_before_the_answer_to_the_first_is_never_served() {
    let (site, wire) = site().await;
    let second = format!("GET /public/second HTTP/1.1\r\n{HOST}\r\n");
    // To the app, to us, and refused with a body that nobody read.
    let firsts = [
        (format!("GET /public/first HTTP/1.1\r\n{HOST}\r\n"), 200),
        (format!("GET /oauth2/sign_in HTTP/1.1\r\n{HOST}\r\n"), 200),
        (format!("GET /private HTTP/1.1\r\n{HOST}\r\n"), 401),
        (format!("POST /private HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc"), 401),
        (format!("POST /private HTTP/1.1\r\n{HOST}Content-Length: 300\r\n\r\nabc"), 401),
        (format!("POST /private HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"), 401),
    ];
    for (first, status) in firsts {
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("{first}{second}")).await;
        assert_eq!(raw.answer().await.status, status, "{first:?}");
        assert!(raw.is_closed().await, "{first:?}");
    }
    let lines: Vec<_> = wire.received().iter().map(|request| request.line().to_owned()).collect();
    assert_eq!(lines, ["GET /public/first HTTP/1.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_chunk_ends_the_request_and_the_app_never_sees_it_whole() {
    let (site, wire) = site().await;
    for broken in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "3 \r\nabc0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
    ] {
        let request = format!("POST /public/a HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{broken}");
        assert_eq!(status_and_close(&site, request.as_bytes()).await, 400, "{broken:?}");
    }
    nothing_arrived(&site, &wire).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_client_wants_closed_is_closed() {
    let (site, _wire) = site().await;
    for request in [
        format!("GET /public/a HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
        format!("GET /private HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
        format!("GET /public/a HTTP/1.0\r\n{HOST}\r\n"),
        format!("GET /private HTTP/1.0\r\n{HOST}\r\n"),
    ] {
        let mut raw = Raw::connect(site.address).await;
        raw.send(&request).await;
        let answer = raw.answer().await;
        assert_eq!(answer.header("connection"), Some("close"), "{request:?}");
        assert!(raw.is_closed().await, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_tells_programs_why_and_never_shows_what_was_sent() {
    let (site, _wire) = site().await;
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("GET /public/../script HTTP/1.1\r\n{HOST}Accept: application/json\r\n\r\n")).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("bad_request")));
    assert!(answer.header("server").is_none() && !answer.text().contains("script"), "{}", answer.text());
}
