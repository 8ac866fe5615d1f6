//! What those hear who come without a session and cannot follow a redirect to a provider.

use crate::support::raw::Raw;
use crate::support::site::Site;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const PAGE: &str = "Accept: text/html\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_no_navigation_gets_401_that_says_what_to_do() {
    let site = Site::start().await;
    let upgrade_of_a_page = format!("{UPGRADE}{PAGE}Sec-Fetch-Mode: websocket\r\n");
    let requests: [(&str, &str); 12] = [
        ("GET", ""),
        ("GET", "Accept: */*\r\n"),
        ("GET", "Accept: application/json\r\n"),
        ("GET", "Accept: text/html;q=0, application/json\r\n"),
        ("GET", "Sec-Fetch-Mode: cors\r\nAccept: text/html\r\n"),
        ("GET", "Sec-Fetch-Mode: no-cors\r\nAccept: image/avif,*/*\r\n"),
        ("GET", "X-Requested-With: XMLHttpRequest\r\nAccept: text/html\r\n"),
        ("GET", "Accept: text/event-stream\r\n"),
        ("POST", "Content-Length: 0\r\nAccept: application/json\r\n"),
        ("DELETE", ""),
        ("GET", UPGRADE),
        ("GET", &upgrade_of_a_page),
    ];
    for (method, lines) in requests {
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("{method} /chat?room=7 HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n")).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 401, "{method} {lines}");
        assert_eq!(answer.json()["error"], "not_signed_in", "{method} {lines}");
        assert_eq!(answer.json()["sign_in"], "https://app.example/oauth2/sign_in");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let challenge = "Vestibule realm=\"app.example\", sign_in=\"https://app.example/oauth2/sign_in\"";
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        assert_eq!(answer.header("location"), None);
    }
    assert_eq!(site.echo.seen.borrow().requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_sent_without_a_session_is_neither_redirected_nor_passed_on() {
    let site = Site::start().await;
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!(
        "POST /messages HTTP/1.1\r\nHost: app.example\r\n{PAGE}Sec-Fetch-Mode: navigate\r\nContent-Length: 3\r\n\r\nabc"
    ))
    .await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.header("location")), (401, None));
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    assert!(answer.header("www-authenticate").is_some());
    assert_eq!(site.echo.seen.borrow().requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_route_names_is_not_there_signed_in_or_not() {
    let setup = crate::support::site::Setup {
        routes: "[{path: /a/**, access: public, upstream: app}, {path: /b, methods: [GET], upstream: app}]".to_owned(),
        ..Default::default()
    };
    let site = Site::with(setup).await;
    let client = site.client();
    assert_eq!(client.browse("/b").await.status, 200);
    for (stranger, path) in [(true, "/c"), (false, "/c"), (true, "/"), (false, "/b/c")] {
        let client = if stranger { site.client() } else { site.signed_in_at("/b").await };
        assert_eq!(client.fetch(path).await.status, 404, "{path}");
        assert_eq!(client.navigate(path).await.status, 404, "{path}");
    }
    let posted = client.send(http::Method::POST, "/b", &[], Vec::new()).await;
    assert_eq!(posted.status, 404);
}
