//! Live connections end with their session, in the words of what they carry, on both sides, and
//! nobody else's do.

use crate::support::certificates;
use crate::support::client::Client;
use crate::support::echo::Echo;
use crate::support::log_watch::access_line_with;
use crate::support::process::{Process, configuration};
use crate::support::raw::Raw;
use crate::support::site::{ORIGIN, Setup, Site};
use crate::support::socket::{close_of, echoes, socket};
use crate::support::waiting::{promptly, until};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{self, Message};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const HOUR: Duration = Duration::from_secs(3600);
/// What is promised.
const WITHIN: Duration = Duration::from_secs(1);

/// A site whose app is the echo app, but below `/raw`, where the test is, and below `/open`, where
/// nobody has to sign in.
async fn site() -> (Site, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let site = Site::with(Setup {
        upstreams: format!(", raw: {{url: \"{url}\", timeouts: {{websocket_max_age: 20h}}}}"),
        routes: "[{path: /open/**, access: public, upstream: app, strip_prefix: /open}, \
                 {path: /told/**, upstream: app, strip_prefix: /told}, {path: /raw/**, upstream: raw}, {path: /aging, access: public, upstream: raw}, \
                 {path: /**, upstream: app}]"
            .to_owned(),
        ..Setup::default()
    })
    .await;
    (site, listener)
}

fn cookies(client: &Client) -> Option<String> {
    client.cookie_header("app.example")
}

/// A request on a connection of its own, with the session of `client`, and what the app then has.
async fn request(site: &Site, client: &Client, head: &str) -> Raw {
    let mut raw = Raw::connect(site.address).await;
    let cookies = cookies(client).unwrap();
    raw.send(format!("{head}\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n")).await;
    raw
}

/// The same where the test is the app, which answers with these bytes.
async fn answered(site: &Site, listener: &TcpListener, client: &Client, head: &str, answer: &str) -> (Raw, Raw) {
    let mut raw = request(site, client, head).await;
    let mut app = Raw::over(listener.accept().await.unwrap().0);
    app.request_head().await;
    app.send(answer).await;
    raw.head().await;
    (raw, app)
}

fn upgrade(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket")
}

/// Signs out in another tab, and waits for what has to follow within the time that is promised.
async fn sign_out_and<T>(client: &Client, follows: impl Future<Output = T>) -> T {
    let left = client.submit("/oauth2/sign_out", "").await;
    assert_eq!(left.status, 303, "the sign-out itself is answered");
    within(follows).await
}

async fn within<T>(follows: impl Future<Output = T>) -> T {
    promptly("it is cut", WITHIN, follows).await
}

/// Waits until this line is among the metrics: a cut is counted just after it is made, and a
/// request has ended just after its answer.
async fn metric(site: &Site, line: &str) {
    let admin = Client::new(site.admin);
    let counted = async || admin.get("/metrics", &[]).await.text().lines().any(|held| held == line);
    until(&format!("the metrics say {line}"), counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_gets_a_close_frame_on_both_sides_idle_or_busy() {
    let (site, _) = site().await;
    let client = site.signed_in().await;
    let mut idle = socket(&site, "/told/ws", cookies(&client)).await;
    let mut busy = socket(&site, "/told/ws", cookies(&client)).await;
    assert!(echoes(&mut busy).await);
    let busy = async {
        loop {
            // What is sent into the end is lost, and the end is read all the same.
            let _ = busy.send(Message::text("and then")).await;
            if let Message::Close(frame) = busy.next().await.unwrap().unwrap() {
                break u16::from(frame.unwrap().code);
            }
        }
    };
    let both = async {
        let frame = close_of(&mut idle).await;
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "the session was ended"));
        site.echo.closes.clone().wait_for(|closes| *closes == [1008, 1008]).await.unwrap();
        site.echo.seen.clone().wait_for(|seen| seen.open == 0).await.unwrap();
    };
    let (code, ()) = tokio::join!(busy, sign_out_and(&client, both));
    assert_eq!(code, 1008);
    let line = access_line_with("/told/ws").await;
    assert_eq!((&line["status"], &line["level"]), (&101.into(), &"INFO".into()), "{line}");
    assert_eq!((&line["reason"], &line["decision"]), (&"cut: the session was ended".into(), &"forward".into()));
    metric(&site, "vestibule_cut_connections_total{reason=\"ended\"} 2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_frame_stands_between_frames_or_not_at_all() {
    let (site, listener) = site().await;
    let client = site.signed_in().await;
    let open = async |path| answered(&site, &listener, &client, &upgrade(path), SWITCH).await;
    let (mut quiet, mut quiet_app) = open("/raw/quiet").await;
    let (mut cut_off, mut cut_off_app) = open("/raw/app-speaks").await;
    let (mut speaks, mut speaks_app) = open("/raw/client-speaks").await;
    let (mut closing, mut closing_app) = open("/raw/closing").await;
    cut_off_app.send(b"\x81\x02ok\x81\x7e\x01\x00half of it").await;
    assert_eq!(cut_off.exactly(18).await, b"\x81\x02ok\x81\x7e\x01\x00half of it");
    speaks.send(b"\x82\x85\0\0\0\0he").await;
    assert_eq!(speaks_app.exactly(8).await, b"\x82\x85\0\0\0\0he");
    // A close that is under way already is not said a second time.
    closing.send(b"\x88\x82\0\0\0\0\x03\xe8").await;
    assert_eq!(closing_app.exactly(8).await, b"\x88\x82\0\0\0\0\x03\xe8");
    let close = [&b"\x88\x17\x03\xf0"[..], b"the session was ended"].concat();
    let is_masked_close = |bytes: &[u8]| {
        let (head, masked) = bytes.split_at(6);
        let payload: Vec<u8> = masked.iter().zip(head[2..].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        head[..2] == [0x88, 0x97] && payload == close[2..]
    };
    let all = async {
        assert_eq!(quiet.rest().await, close);
        assert!(is_masked_close(&quiet_app.rest().await));
        assert!(cut_off.is_closed().await, "nothing in the middle of a frame");
        assert!(is_masked_close(&cut_off_app.rest().await));
        assert_eq!(speaks.rest().await, close);
        assert!(speaks_app.is_closed().await, "nothing in the middle of a frame");
        assert_eq!(closing.rest().await, close);
        assert!(closing_app.is_closed().await);
    };
    sign_out_and(&client, all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_ends_in_order_idle_or_busy() {
    let (site, listener) = site().await;
    let (client, other) = (site.signed_in().await, site.signed_in().await);
    let mut busy = request(&site, &client, "GET /events HTTP/1.1").await;
    assert_eq!(busy.head().await.status, 200);
    let mut theirs = request(&site, &other, "GET /events HTTP/1.1").await;
    assert_eq!(theirs.head().await.status, 200);
    let events = site.echo.events.clone();
    let chatter = tokio::spawn(async move {
        for turn in 0.. {
            if events.send(format!("{turn}")).is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(!busy.chunk().await.is_empty());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n";
    let (mut idle, mut app) = answered(&site, &listener, &client, "GET /raw/events HTTP/1.1", head).await;
    let both = async {
        assert_eq!(idle.chunk().await, b"");
        assert!(idle.is_closed().await);
        assert!(app.is_closed().await);
        while !busy.chunk().await.is_empty() {}
        assert!(busy.is_closed().await);
    };
    sign_out_and(&client, both).await;
    assert!(!theirs.chunk().await.is_empty());
    chatter.abort();
    let line = access_line_with("/raw/events").await;
    assert_eq!((&line["status"], &line["reason"]), (&200.into(), &"cut: the session was ended".into()), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_is_cut_never_looks_complete() {
    let (site, listener) = site().await;
    let client = site.signed_in().await;
    let open = async |path, head| answered(&site, &listener, &client, path, head).await;
    // More than is held back of an answer whose length is known.
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{}", "x".repeat(5000));
    let (mut counted, mut counted_app) = open("GET /raw/counted HTTP/1.1", &head).await;
    let (mut chunked, mut chunked_app) =
        open("GET /raw/chunked HTTP/1.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    assert_eq!(chunked.chunk().await, b"abc");
    let mut busy = request(&site, &client, "GET /download/100000000000 HTTP/1.1").await;
    assert_eq!(busy.head().await.status, 200);
    let mut waiting =
        request(&site, &client, "POST /raw/waiting HTTP/1.1\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 5").await;
    let mut waiting_app = Raw::over(listener.accept().await.unwrap().0);
    waiting_app.request_head().await;
    let reading = async {
        let mut last = Vec::new();
        loop {
            // As much as there is, and not all of it in memory.
            let piece = busy.some().await;
            if piece.is_empty() {
                break last;
            }
            last.extend(piece);
            last = last.split_off(last.len().saturating_sub(5));
        }
    };
    let all = async {
        let length = counted.rest().await.len();
        assert!((1000..=5000).contains(&length), "{length}");
        assert!(chunked.is_closed().await);
        assert_eq!(waiting.head().await.status, 401, "nothing of an answer was on its way");
        waiting.rest().await;
        assert!(counted_app.is_closed().await && chunked_app.is_closed().await && waiting_app.is_closed().await);
    };
    let (last, ()) = tokio::join!(reading, sign_out_and(&client, all));
    assert_ne!(last, b"0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_answered_yet_is_told_that_its_session_ended() {
    let (site, listener) = site().await;
    let client = site.signed_in().await;
    let mut apps = Vec::new();
    let mut open = async |head: &str| {
        let raw = request(&site, &client, head).await;
        let mut app = Raw::over(listener.accept().await.unwrap().0);
        app.request_head().await;
        apps.push(app);
        raw
    };
    let navigation = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html";
    let mut fetched = open("GET /raw/fetched HTTP/1.1\r\nAccept: application/json").await;
    let mut page = open(&format!("GET /raw/page?a=b HTTP/1.1\r\n{navigation}")).await;
    let mut form =
        open(&format!("POST /raw/form HTTP/1.1\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n{navigation}"))
            .await;
    let answers = async {
        let mut answers = Vec::new();
        for raw in [&mut fetched, &mut page, &mut form] {
            answers.push(raw.answer().await);
            assert!(raw.is_closed().await);
        }
        answers
    };
    let answers = sign_out_and(&client, answers).await;
    for answer in &answers {
        assert_eq!((answer.status, answer.header("connection")), (401, Some("close")), "{answer:?}");
        assert_eq!(answer.header("set-cookie"), None, "{answer:?}");
    }
    assert_eq!(answers[0].json()["error"], "not_signed_in");
    assert!(answers[1].text().contains("/raw/page?a=b"), "it comes back here: {}", answers[1].text());
    assert!(!answers[2].text().contains("/raw/form"), "a form is not sent again: {}", answers[2].text());
    for app in &mut apps {
        assert!(app.is_closed().await);
    }
    let line = access_line_with("/raw/fetched").await;
    assert_eq!((&line["status"], &line["reason"]), (&401.into(), &"cut: the session was ended".into()), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_head_is_on_its_way_is_followed_by_no_other() {
    let (site, listener) = site().await;
    let client = site.signed_in().await;
    let body = 12_000_000;
    let mut raw = request(&site, &client, "GET /raw/first HTTP/1.1").await;
    let mut app = Raw::over(listener.accept().await.unwrap().0);
    let sending = tokio::spawn(async move {
        app.request_head().await;
        app.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n{}", "x".repeat(body))).await;
        app
    });
    raw.head().await;
    // The client leaves so much of an answer unread that the head of the next cannot leave at once.
    let admin = Client::new(site.admin);
    while !admin.get("/metrics", &[]).await.text().contains("vestibule_requests_in_flight 0") {
        raw.exactly(0x2_0000).await;
    }
    let mut app = sending.await.unwrap();
    let cookies = cookies(&client).unwrap();
    raw.send(format!("GET /raw/second HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n")).await;
    app.request_head().await;
    let long = format!("X-Long: {}\r\n", "y".repeat(8000)).repeat(100);
    app.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n{long}\r\n")).await;
    let flood = vec![b'x'; 100_000_000];
    assert!(tokio::time::timeout(Duration::from_millis(500), app.send(flood)).await.is_err(), "nobody takes it");
    sign_out_and(&client, metric(&site, "vestibule_cut_connections_total{reason=\"ended\"} 1")).await;
    let rest = String::from_utf8(raw.rest().await).unwrap();
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "two answers to one request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_listen_is_cut_all_the_same() {
    let (site, listener) = site().await;
    let client = site.signed_in().await;
    // An app that takes nothing from a client that sends without end, and the other way round.
    let (mut floods, _deaf_app) = answered(&site, &listener, &client, &upgrade("/raw/deaf-app"), SWITCH).await;
    let (_deaf, mut flooding_app) = answered(&site, &listener, &client, &upgrade("/raw/deaf"), SWITCH).await;
    let frames = [&b"\x82\xff\0\0\0\0\0\xff\xff\xff\0\0\0\0"[..], &vec![0; 0xff_ffff]].concat();
    let floods = async {
        for _ in 0..100 {
            floods.send(&frames).await;
        }
    };
    let app_floods = async {
        for _ in 0..100 {
            flooding_app.send(&frames).await;
        }
    };
    tokio::pin!(floods, app_floods);
    let stuck = async { tokio::join!(&mut floods, &mut app_floods) };
    assert!(tokio::time::timeout(Duration::from_millis(500), stuck).await.is_err(), "nobody takes 1.6 GB");
    sign_out_and(&client, async { tokio::join!(floods, app_floods) }).await;
    metric(&site, "vestibule_cut_connections_total{reason=\"ended\"} 2").await;
    metric(&site, "vestibule_requests_in_flight 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_and_connections_at_rest_are_not_touched() {
    let (site, _) = site().await;
    let (leaves, stays) = (site.signed_in().await, site.signed_in().await);
    let mut ends = socket(&site, "/ws", cookies(&leaves)).await;
    let mut lives = socket(&site, "/ws", cookies(&stays)).await;
    let mut anonymous = socket(&site, "/open/ws", None).await;
    let mut open = socket(&site, "/open/ws", cookies(&stays)).await;
    let mut rests = request(&site, &leaves, "GET /then-rests HTTP/1.1").await;
    let mut signs_out = request(&site, &leaves, "GET /then-signs-out HTTP/1.1").await;
    for (raw, path) in [(&mut rests, "/then-rests"), (&mut signs_out, "/then-signs-out")] {
        assert_eq!(raw.answer().await.status, 200);
        // It rests once its request is over, which is a moment after the answer has come.
        access_line_with(path).await;
    }
    // The sign-out, on a connection that has carried the session's requests, has its answer.
    let cookies = cookies(&leaves).unwrap();
    let again = format!("Host: app.example\r\nCookie: {cookies}\r\n\r\n");
    signs_out
        .send(format!("POST /oauth2/sign_out HTTP/1.1\r\nOrigin: {ORIGIN}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n{again}"))
        .await;
    assert_eq!(signs_out.answer().await.status, 200);
    assert_eq!(u16::from(within(close_of(&mut ends)).await.code), 1008);
    for raw in [&mut rests, &mut signs_out] {
        raw.send(format!("GET /a HTTP/1.1\r\n{again}")).await;
        assert_eq!(raw.answer().await.status, 401);
    }
    for socket in [&mut lives, &mut anonymous, &mut open] {
        assert!(echoes(socket).await);
    }
    metric(&site, "vestibule_cut_connections_total{reason=\"ended\"} 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_by_time_ends_with_all_that_is_open() {
    let (site, listener) = site().await;
    let mut people = Vec::new();
    for _ in 0..5 {
        people.push(site.signed_in().await);
    }
    let [speaks, beats, clicks, listens, downloads] = &people[..] else { panic!() };
    let mut speaking = socket(&site, "/ws", cookies(speaks)).await;
    let mut beating = socket(&site, "/ws", cookies(beats)).await;
    let mut clicking = socket(&site, "/ws", cookies(clicks)).await;
    let mut anonymous = socket(&site, "/open/ws", None).await;
    let mut events = request(&site, listens, "GET /events HTTP/1.1").await;
    assert_eq!(events.head().await.status, 200);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut download, mut app) = answered(&site, &listener, downloads, "GET /raw/d HTTP/1.1", head).await;

    site.clock.advance(HOUR * 5 / 6);
    assert!(echoes(&mut speaking).await);
    beating.send(Message::Ping(b"beat".to_vec().into())).await.unwrap();
    assert!(matches!(beating.next().await, Some(Ok(Message::Pong(_)))));
    assert_eq!(clicks.fetch("/").await.status, 200);
    site.echo.events.send("the app speaks".to_owned()).unwrap();
    assert!(!events.chunk().await.is_empty());

    site.clock.advance(HOUR / 3);
    let idle = async {
        let frame = close_of(&mut beating).await;
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "the session was idle for too long"));
        assert_eq!(events.chunk().await, b"");
    };
    within(idle).await;
    assert!(echoes(&mut speaking).await && echoes(&mut clicking).await);
    // The cookie has seen nothing for 70 minutes; what went over the WebSocket counts for it too.
    assert_eq!((speaks.fetch("/").await.status, beats.fetch("/").await.status), (200, 401));
    app.send("3\r\nabc\r\n").await;
    assert_eq!(download.chunk().await, b"abc");
    metric(&site, "vestibule_cut_connections_total{reason=\"idle\"} 2").await;

    site.clock.advance(11 * HOUR);
    let over = async {
        assert_eq!(close_of(&mut speaking).await.reason.as_str(), "the session reached its lifetime");
        assert_eq!(close_of(&mut clicking).await.reason.as_str(), "the session reached its lifetime");
        assert!(download.is_closed().await);
    };
    within(over).await;
    metric(&site, "vestibule_cut_connections_total{reason=\"expired\"} 3").await;
    site.clock.advance(1000 * HOUR);
    assert!(echoes(&mut anonymous).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_has_a_maximum_age_where_one_is_set() {
    let (site, listener) = site().await;
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("{}\r\nHost: app.example\r\n\r\n", upgrade("/aging"))).await;
    let mut app = Raw::over(listener.accept().await.unwrap().0);
    app.request_head().await;
    app.send(SWITCH).await;
    assert_eq!(raw.head().await.status, 101);
    let mut ageless = socket(&site, "/open/ws", None).await;
    site.clock.advance(19 * HOUR);
    raw.send(b"\x81\x80\0\0\0\0").await;
    assert_eq!(app.exactly(6).await, b"\x81\x80\0\0\0\0");
    site.clock.advance(HOUR);
    let close = within(raw.rest()).await;
    assert_eq!(close[2..], [&1001_u16.to_be_bytes()[..], b"the connection reached its maximum age"].concat());
    assert!(!app.rest().await.is_empty());
    assert!(echoes(&mut ageless).await);
    let line = access_line_with("/aging").await;
    assert_eq!(line["reason"], "cut: the connection reached its maximum age");
    metric(&site, "vestibule_cut_connections_total{reason=\"max_age\"} 1").await;
}

/// Through TLS of our own, by the clock on the wall.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_frame_comes_through_tls_too() {
    let folder = tempfile::tempdir().unwrap();
    let ours = certificates::for_name(folder.path(), "localhost");
    let echo = Echo::start().await;
    let (certificate, key) = (ours.certificate.display(), ours.key.display());
    let listener = format!("{{address: \"127.0.0.1:0\", tls: {{certificate: {certificate}, key: {key}}}}}");
    let text = configuration(&listener, &format!("http://{}", echo.address), "");
    let process = Process::serve(&text.replace("connect: 3m", "websocket_max_age: 3s")).await;
    let address = process.address();
    let told = tokio::task::spawn_blocking(move || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&ours.certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth());
        let connection = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        let stream = rustls::StreamOwned::new(connection, std::net::TcpStream::connect(address).unwrap());
        let (mut socket, _) = tungstenite::client("wss://app.example/ws", stream).unwrap();
        assert!(socket.read().unwrap().is_text());
        let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no Close frame") };
        assert!(socket.read().is_err());
        u16::from(frame.code)
    });
    assert_eq!(told.await.unwrap(), 1001);
    echo.closes.clone().wait_for(|closes| *closes == [1001]).await.unwrap();
}

/// How many WebSockets of each of two people this process can have: four descriptors each.
fn sockets_that_fit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    let files: usize = files.and_then(|files| files.parse().ok()).unwrap_or(1024);
    (files.saturating_sub(600) / 8).min(1000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_websockets_are_cut_within_a_second_and_a_thousand_others_stay() {
    let count = sockets_that_fit();
    let (site, _) = site().await;
    let (leaves, stays) = (site.signed_in().await, site.signed_in().await);
    let (mut ending, mut lasting) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for _ in 0..count {
        ending.push(socket(&site, "/ws", cookies(&leaves)).await);
        lasting.push(socket(&site, "/ws", cookies(&stays)).await);
    }
    // Telling as many costs every machine less than opening them did, one after the other.
    let opening = began.elapsed();
    assert_eq!(leaves.submit("/oauth2/sign_out", "").await.status, 303);
    let began = Instant::now();
    let closed = ending.iter_mut().map(async |socket| {
        let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("no Close frame") };
        assert_eq!(u16::from(frame.code), 1008);
        let told = began.elapsed();
        assert!(socket.next().await.is_none());
        told
    });
    let all = async { futures_util::future::join_all(closed).await.into_iter().max().unwrap() };
    let told = promptly("all are told", WITHIN + opening, all).await;
    let closed = began.elapsed();
    let _ =
        writeln!(std::io::stderr(), "{count} idle WebSockets were told within {told:?} and closed within {closed:?}");
    site.echo.closes.clone().wait_for(|closes| closes.len() == count).await.unwrap();
    for socket in &mut lasting {
        assert!(echoes(socket).await);
    }
}
