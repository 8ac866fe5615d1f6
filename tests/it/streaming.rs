//! Connections, streams and their ends: nothing is held back, nothing is cut short, and whoever
//! leaves is missed on the other side.

use crate::support::raw::Raw;
use crate::support::site::{ORIGIN, Setup, Site};
use crate::support::waiting::in_time;
use crate::support::wire::Wire;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

const MEGABYTE: usize = 1024 * 1024;

/// A site whose routes are all open, in front of the test itself.
pub(crate) async fn site_in_front_of_us() -> (Site, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Some(format!("http://{}", listener.local_addr().unwrap()));
    let routes = "[{path: /**, access: public, upstream: app}]".to_owned();
    (Site::with(Setup { routes, upstream, ..Setup::default() }).await, listener)
}

/// The next connection that the sidecar makes, with the request line and headers that came on it.
pub(crate) async fn accept(listener: &TcpListener) -> (Raw, String) {
    let mut raw = Raw::over(listener.accept().await.unwrap().0);
    let head = raw.request_head().await;
    (raw, head)
}

/// A WebSocket with a session, where one is given.
async fn websocket(site: &Site, target: &str, cookies: Option<String>) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://app.example{target}").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("origin", ORIGIN.parse().unwrap());
    headers.insert("sec-websocket-protocol", "chat.v1, chat.v2".parse().unwrap());
    if let Some(cookies) = cookies {
        headers.insert("cookie", cookies.parse().unwrap());
    }
    let stream = TcpStream::connect(site.address).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
    Ok(socket)
}

pub(crate) async fn signed_in_websocket(site: &Site, target: &str) -> WebSocketStream<TcpStream> {
    let cookies = site.signed_in().await.cookie_header("app.example");
    let mut socket = websocket(site, target, cookies).await.unwrap();
    // The handshake, which the echo app sends first.
    assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_on_both_sides_and_through_our_own_answers() {
    let wire = Wire::start().await;
    let site = Site::with(Setup { upstream: Some(wire.url()), ..Setup::default() }).await;
    let mut raw = Raw::connect(site.address).await;
    for (request, status) in [
        ("GET /public/1", 200),
        ("GET /private", 401),
        ("GET /public/2", 200),
        ("GET /oauth2/sign_in", 200),
        ("HEAD /private", 401),
        ("GET /oauth2/none", 404),
        ("GET /oauth2/start", 302),
        ("POST /oauth2/sign_out", 200),
        ("GET /public/3", 200),
    ] {
        raw.send(format!("{request} HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n")).await;
        let answer = if request.starts_with("HEAD") { raw.head().await } else { raw.answer().await };
        assert_eq!((answer.status, answer.header("connection")), (status, Some("keep-alive")), "{request}");
    }
    assert_eq!(wire.received().len(), 3);
    // To the app one is kept for seconds only, which a machine may pause for as well.
    let mut asked = 3;
    while wire.received().iter().all(|got| got.turn == 0) {
        assert!(asked < 100, "no connection to the app is kept");
        asked += 1;
        raw.send("GET /public/again HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        assert_eq!(raw.answer().await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_a_stream_is_passed_on_at_once() {
    let site = Site::start().await;
    let cookies = site.signed_in().await.cookie_header("app.example").unwrap();
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!(
        "GET /events HTTP/1.1\r\nHost: app.example\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip, br\r\n\
         Cookie: {cookies}\r\n\r\n"
    ))
    .await;
    // The head before there is any event, and each event before there is another.
    let head = raw.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!((head.header("content-encoding"), head.header("content-length")), (None, None));
    for event in ["one", "two", "three"] {
        site.echo.events.send(event.to_owned()).unwrap();
        assert_eq!(String::from_utf8(raw.chunk().await).unwrap(), format!("data: {event}\n\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_200_megabytes_is_never_held_back() {
    let (site, listener) = site_in_front_of_us().await;
    let mut client = Raw::connect(site.address).await;
    let length = 200 * MEGABYTE;
    client.send(format!("PUT /big HTTP/1.1\r\nHost: app.example\r\nContent-Length: {length}\r\n\r\n")).await;
    let (mut app, head) = accept(&listener).await;
    assert!(head.contains(&format!("Content-Length: {length}")), "{head}");
    // In step: no megabyte is sent before the app has the one before, so no more is ever kept.
    let megabyte = vec![b'x'; MEGABYTE];
    for _ in 0..200 {
        client.send(&megabyte).await;
        assert!(app.exactly(MEGABYTE).await == megabyte);
    }
    app.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_of_200_megabytes_is_never_held_back() {
    let (site, listener) = site_in_front_of_us().await;
    let mut client = Raw::connect(site.address).await;
    client.send("GET /big HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let (mut app, _) = accept(&listener).await;
    app.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 200 * MEGABYTE)).await;
    // In step as well, but for what one write buffer holds: an answer whose length is known is not
    // in such a hurry that every piece of it is worth a packet of its own.
    let behind = 4096;
    let megabyte = vec![b'x'; MEGABYTE];
    app.send(&megabyte).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.exactly(MEGABYTE - behind).await.len(), MEGABYTE - behind);
    for _ in 1..200 {
        app.send(&megabyte).await;
        assert!(client.exactly(MEGABYTE).await == megabyte);
    }
    assert_eq!(client.exactly(behind).await.len(), behind);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_chunks_reaches_the_app_chunk_by_chunk_and_may_be_answered_before_its_end() {
    let (site, listener) = site_in_front_of_us().await;
    let mut client = Raw::connect(site.address).await;
    client.send("POST /chunks HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let (mut app, head) = accept(&listener).await;
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
    for _ in 0..3 {
        client.send("3\r\nabc\r\n").await;
        assert_eq!(app.chunk().await, b"abc");
    }
    app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await, b"yes");
    client.send("3\r\ndef\r\n").await;
    assert_eq!(app.chunk().await, b"def");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_to_be_told_to_go_on_is_told_by_the_app() {
    let (site, listener) = site_in_front_of_us().await;
    let mut client = Raw::connect(site.address).await;
    client.send("POST /a HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    let (mut app, head) = accept(&listener).await;
    assert!(head.to_ascii_lowercase().contains("expect: 100-continue"), "{head}");
    app.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.send("abc").await;
    assert_eq!(app.exactly(3).await, b"abc");
    app.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_a_websocket_to_the_app() {
    let site = Site::start().await;
    let cookies = site.signed_in().await.cookie_header("app.example").unwrap();
    let mut socket = websocket(&site, "/ws?room=7&q=%2F", Some(format!("{cookies}; theirs=1"))).await.unwrap();

    let first = socket.next().await;
    let Some(Ok(Message::Text(handshake))) = first else { panic!("no handshake but {first:?}") };
    let seen: serde_json::Value = serde_json::from_str(&handshake).unwrap();
    assert_eq!(seen["target"], "/ws?room=7&q=%2F");
    let header = |name: &str| -> Vec<&str> {
        let pairs = seen["headers"].as_array().unwrap().iter();
        pairs.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
    };
    assert_eq!(header("origin"), [ORIGIN]);
    assert_eq!(header("sec-websocket-protocol"), ["chat.v1, chat.v2"]);
    assert_eq!(header("cookie"), ["theirs=1"]);
    assert_eq!(header("host"), ["app.example"]);
    assert_eq!(header("x-auth-request-email"), ["helene.moreau@test.proconnect.gouv.fr"]);

    let large = Message::binary(vec![7; 300_000]);
    for message in [Message::text("é"), Message::text(""), Message::binary(vec![0, 255, 13, 10]), large] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::Ping(b"beat".to_vec().into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(b"beat".to_vec().into()));

    let farewell = CloseFrame { code: CloseCode::Normal, reason: "enough".into() };
    socket.close(Some(farewell.clone())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Close(Some(farewell)));
    assert!(socket.next().await.is_none());
    site.echo.seen.clone().wait_for(|seen| seen.left == 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_without_a_session_is_a_401_and_none_to_the_app() {
    let site = Site::start().await;
    for cookies in [None, Some("__Host-vestibule=nonsense".to_owned())] {
        let Err(Error::Http(answer)) = websocket(&site, "/ws", cookies).await else { panic!("no refusal") };
        assert_eq!(answer.status(), 401);
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    assert_eq!(site.echo.seen.borrow().left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_refuses_a_websocket_is_heard_and_nothing_behind_it_is_served() {
    let (site, listener) = site_in_front_of_us().await;
    let mut client = Raw::connect(site.address).await;
    client.send("GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let (mut app, head) = accept(&listener).await;
    let head = head.to_ascii_lowercase();
    assert!(head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    app.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_hears_at_once_that_a_client_has_left() {
    let site = Site::start().await;
    let cookies = site.signed_in().await.cookie_header("app.example").unwrap();
    for (turn, path) in ["/hang", "/events"].into_iter().enumerate() {
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n")).await;
        let mut seen = site.echo.seen.clone();
        seen.wait_for(|seen| seen.open == 1).await.unwrap();
        drop(raw);
        seen.wait_for(|seen| seen.open == 0 && seen.left == turn + 1).await.unwrap();
    }
    let socket = signed_in_websocket(&site, "/ws").await;
    drop(socket);
    site.echo.seen.clone().wait_for(|seen| seen.left == 3).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_hears_at_once_that_the_app_has_left() {
    let (site, listener) = site_in_front_of_us().await;
    let mut client = Raw::connect(site.address).await;
    client.send("GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let (mut app, _) = accept(&listener).await;
    app.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes").await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.exactly(5).await, b"bytes");
    client.send("more").await;
    assert_eq!(app.exactly(4).await, b"more");
    drop(app);
    assert!(client.is_closed().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_websocket_lives_as_long_as_the_configuration_says() {
    // Long enough for the app to be asked and to answer, on any machine.
    for (idle, ends) in [("5s", true), ("1h", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let site = Site::with(Setup {
            upstreams: format!(", it: {{url: \"{url}\", timeouts: {{read: 300ms, websocket_idle: {idle}}}}}"),
            routes: "[{path: /**, access: public, upstream: it}, {path: /x, upstream: app}]".to_owned(),
            ..Setup::default()
        })
        .await;
        let mut client = Raw::connect(site.address).await;
        client.send("GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        let (mut app, _) = accept(&listener).await;
        app.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        assert_eq!(client.head().await.status, 101);
        if ends {
            assert!(client.is_closed().await, "idle for {idle}");
        } else {
            // What is proved is that nothing happens, for longer than the app may take to answer.
            let ended = tokio::time::timeout(Duration::from_secs(1), client.is_closed()).await;
            assert!(ended.is_err(), "idle for {idle}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_open_ends_with_its_session_idle_or_not_and_nothing_else_does() {
    let site = Site::start().await;
    let (leaves, stays) = (site.signed_in().await, site.signed_in().await);
    let open = async |cookies: Option<String>| {
        let mut socket = websocket(&site, "/ws", cookies).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
        socket
    };
    let mut ends = open(leaves.cookie_header("app.example")).await;
    let mut lives = open(stays.cookie_header("app.example")).await;
    let mut events = Raw::connect(site.address).await;
    let cookies = leaves.cookie_header("app.example").unwrap();
    events.send(format!("GET /events HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n")).await;
    assert_eq!(events.head().await.status, 200);
    let mut seen = site.echo.seen.clone();
    seen.wait_for(|seen| seen.open == 3).await.unwrap();

    // Nothing has moved on any of them since.
    let left = leaves.submit("/oauth2/sign_out", "").await;
    assert_eq!(left.status, 303, "the sign-out itself is answered");
    let cut = async {
        assert!(!matches!(ends.next().await, Some(Ok(message)) if !message.is_close()));
        seen.wait_for(|seen| seen.open == 1).await.unwrap();
    };
    in_time("they are cut", cut).await;

    lives.send(Message::text("still here")).await.unwrap();
    assert_eq!(lives.next().await.unwrap().unwrap(), Message::text("still here"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_websocket_closes_as_it_opens_however_busy_it_is() {
    let site = Site::start().await;
    let cookies = site.signed_in().await.cookie_header("app.example");
    // The app answers at once and speaks first; many at a time make it answer before we look.
    let opened = (0..200).map(async |_| {
        let mut socket = websocket(&site, "/ws", cookies.clone()).await.unwrap();
        matches!(socket.next().await, Some(Ok(Message::Text(_))))
    });
    let opened = futures_util::future::join_all(opened).await;
    assert!(
        opened.iter().all(|spoke| *spoke),
        "{} of {} closed",
        opened.iter().filter(|spoke| !**spoke).count(),
        opened.len()
    );
}
