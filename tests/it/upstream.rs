//! The app behind us, at its best and at its worst: down, slow, broken, behind a name, a socket or
//! a certificate; and that it never gets a request twice that may come only once.

use crate::support::certificates;
use crate::support::client::NAVIGATION;
use crate::support::log_watch::access_line_with;
use crate::support::process::{Process, configuration};
use crate::support::raw::Raw;
use crate::support::running::Running;
use crate::support::site::{Setup, Site};
use crate::support::wire::{Act, Received, Wire};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite;

/// A site with one open route to an app at this address, which has all the time that it needs.
async fn in_front_of(url: &str) -> Site {
    with_timeouts(url, "connect: 3m, read: 3m").await
}

/// The same with an app that must be quick.
async fn with_timeouts(url: &str, timeouts: &str) -> Site {
    Site::with(Setup {
        upstreams: format!(", it: {{url: \"{url}\", timeouts: {{{timeouts}}}}}"),
        routes: "[{path: /**, access: public, upstream: it}, {path: /x, upstream: app}]".to_owned(),
        ..Setup::default()
    })
    .await
}

/// An address where nobody listens, and nobody else does as long as the socket is held.
fn nowhere() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_down_is_a_502_with_the_id_of_its_log_line() {
    let (_held, url) = nowhere();
    let site = in_front_of(&url).await;
    for (language, words) in [("fr-FR,fr;q=0.9,en;q=0.5", "lang=\"fr\""), ("en-GB,en", "lang=\"en\"")] {
        let mut headers = NAVIGATION.to_vec();
        headers.push(("accept-language", language));
        let page = site.client().get("/down", &headers).await;
        assert_eq!((page.status, page.header("connection")), (502, Some("close")));
        let text = page.text();
        assert!(text.contains(words) && !text.contains("127.0.0.1"), "{text}");
        let id = text.split_once("<code>").unwrap().1.split_once("</code>").unwrap().0;
        let line = access_line_with(id).await;
        assert_eq!(line["error_id"], id);
        assert_eq!((&line["level"], &line["status"], &line["upstream"]), (&"ERROR".into(), &502.into(), &"it".into()));
        assert!(line["reason"].as_str().unwrap().contains("ConnectRefused"), "{line}");
    }
    let answer = site.client().fetch("/down").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (502, Some("app_unavailable")));
    let line = access_line_with(answer.json()["id"].as_str().unwrap()).await;
    assert_eq!(line["decision"], "forward");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_does_not_take_the_connection_in_time_is_a_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: when the queue is full the system answers no more.
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    let site = with_timeouts(&format!("http://{address}"), "connect: 300ms").await;
    let answer = site.client().fetch("/slow").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (504, Some("app_timeout")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_answers_badly_or_never_is_told_from_one_that_is_down() {
    // (what the app sends before it closes, or nothing for ever; status and error for programs)
    let cases: [(Option<&str>, u16, &str); 7] = [
        (None, 504, "app_timeout"),
        (Some(""), 502, "app_unavailable"),
        (Some("hello\r\n\r\n"), 502, "app_unavailable"),
        (Some("HTTP/1.1 200 OK\r\nContent-Le"), 502, "app_unavailable"),
        (Some("HTTP/1.1 999999 OK\r\n\r\n"), 502, "app_unavailable"),
        (Some("HTTP/1.1 200 OK\r\nX\0: a\r\n\r\n"), 502, "app_unavailable"),
        (Some("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502, "app_unavailable"),
    ];
    for (sent, status, error) in cases {
        let wire = Wire::scripted(move |_| sent.map_or(Act::Hang, |sent| Act::Close(sent.into()))).await;
        let site = match sent {
            Some(_) => in_front_of(&wire.url()).await,
            None => with_timeouts(&wire.url(), "connect: 3m, read: 3s").await,
        };
        let answer = site.client().fetch("/bad").await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{sent:?}");
        assert!(!answer.text().contains("hello"), "{}", answer.text());
        // Not even once more: the connection was new, so the app has seen the request.
        wire.nth(1).await;
        assert_eq!(wire.received().len(), 1, "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
    for (path, broken) in [
        ("/broken-length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
        ("/broken-chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ] {
        let wire = Wire::scripted(move |_| Act::Close(broken.into())).await;
        let site = in_front_of(&wire.url()).await;
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
        assert_eq!(raw.head().await.status, 200);
        let rest = String::from_utf8(raw.rest().await).unwrap();
        assert!(rest.contains("abc") && !rest.contains("0\r\n\r\n") && !rest.contains("HTTP/"), "{rest:?}");
        let line = access_line_with(path).await;
        assert_eq!((&line["level"], &line["status"]), (&"ERROR".into(), &200.into()));
        assert!(line["reason"].as_str().unwrap().starts_with("the answer broke off: "), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_behind_a_socket_file_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let wire = Wire::on_socket(&path);
    let site = in_front_of(&format!("unix:{}", path.display())).await;
    let mut raw = Raw::connect(site.address).await;
    let got = until_kept(&wire, async || {
        raw.send("GET /a?b HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        assert_eq!(raw.answer().await.text(), "ok");
    })
    .await;
    assert_eq!((got.line(), got.all("host")), ("GET /a?b HTTP/1.1", vec!["app.example"]));
    drop(wire);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(site.client().fetch("/a").await.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_behind_a_name_is_found_at_whichever_address_it_listens() {
    let names: Vec<_> = tokio::net::lookup_host(("localhost", 0)).await.unwrap().map(|found| found.ip()).collect();
    for &address in &names {
        let (listener, _others) = listen_at_one(address, &names).await;
        let port = listener.local_addr().unwrap().port();
        let wire = Wire::on(listener, |_| Act::ok("ok"));
        let site = in_front_of(&format!("http://localhost:{port}")).await;
        let client = site.client();
        for turn in 0..4 {
            let posted = client.send(Method::POST, "/a", &[], b"abc".to_vec()).await;
            assert_eq!((posted.status, wire.received().len()), (200, turn + 1), "on {address} only");
        }
    }
}

/// A listener at one of these addresses, and its port at the others, where nobody listens as long
/// as the sockets are held.
async fn listen_at_one(address: IpAddr, names: &[IpAddr]) -> (TcpListener, Vec<TcpSocket>) {
    loop {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let others = names.iter().filter(|other| **other != address).map(|other| {
            let socket = if other.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.bind((*other, port).into()).map(|()| socket)
        });
        if let Ok(others) = others.collect() {
            return (listener, others);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ipv6_address_is_an_address() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    let _wire = Wire::on(listener, |_| Act::ok("ok"));
    let site = in_front_of(&format!("http://[::1]:{port}")).await;
    assert_eq!(site.client().fetch("/a").await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_is_a_502_and_everything_else_goes_on() {
    let site = in_front_of("http://app.invalid:8000").await;
    let answer = site.client().fetch("/a").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (502, Some("app_unavailable")));
    let line = access_line_with(answer.json()["id"].as_str().unwrap()).await;
    assert!(line["reason"].as_str().unwrap().contains("app.invalid"), "{line}");
    assert!(!answer.text().contains("app.invalid"), "{}", answer.text());
    assert_eq!(site.client().browse("/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_is_taken_off_and_nothing_else_changes() {
    let wire = Wire::start().await;
    let site = Site::with(Setup {
        upstream: Some(wire.url()),
        routes: "[{path: /api/**, access: public, upstream: app, strip_prefix: /api}]".to_owned(),
        ..Setup::default()
    })
    .await;
    let cases = [
        ("/api/x/y?q=/api/z", "/x/y?q=/api/z"),
        ("/api", "/"),
        ("/api/", "/"),
        ("/api?q", "/?q"),
        ("/%61pi/x%2Fy;z", "/x%2Fy;z"),
        ("/api/api/x", "/api/x"),
    ];
    for (index, (asked, expected)) in cases.into_iter().enumerate() {
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("GET {asked} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
        assert_eq!(raw.answer().await.status, 200, "{asked}");
        assert_eq!(wire.nth(index + 1).await.target(), expected, "{asked}");
    }
    for bad in ["/api//evil.example/x", "/api%2Fx"] {
        let mut raw = Raw::connect(site.address).await;
        raw.send(format!("GET {bad} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
        assert_eq!(raw.answer().await.status, 400, "{bad}");
    }
    assert_eq!(wire.received().len(), cases.len());
}

/// Asks until a request comes to the app on a connection that was kept, and gives that one.
///
/// A connection is at hand again once the former request is over, which for another request of the
/// same client it is; but the sidecar keeps it for seconds only, and a machine may pause as long.
async fn until_kept(wire: &Wire, mut ask: impl AsyncFnMut()) -> Received {
    for _ in 0..100 {
        ask().await;
        if let Some(kept) = wire.received().into_iter().find(|got| got.turn > 0) {
            return kept;
        }
    }
    panic!("no connection to the app is kept");
}

/// An app that answers the first request of each connection, and closes on the second.
async fn answers_once_a_connection() -> Wire {
    Wire::scripted(|request| if request.turn == 0 { Act::ok("ok") } else { Act::Close(Vec::new()) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_idempotent_is_never_sent_twice() {
    for method in ["POST", "PATCH", "FOO"] {
        let wire = answers_once_a_connection().await;
        let site = in_front_of(&wire.url()).await;
        let mut raw = Raw::connect(site.address).await;
        let (mut asked, mut last) = (0, 0);
        until_kept(&wire, async || {
            raw.send(format!("{method} /a HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\r\nabc")).await;
            last = raw.answer().await.status;
            asked += 1;
        })
        .await;
        assert_eq!((last, wire.received().len()), (502, asked), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_idempotent_survives_an_app_that_closes_a_kept_connection() {
    let wire = answers_once_a_connection().await;
    let site = in_front_of(&wire.url()).await;
    let mut raw = Raw::connect(site.address).await;
    let mut asked = 0;
    let first = until_kept(&wire, async || {
        asked += 1;
        raw.send(format!("GET /{asked} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
        assert_eq!(raw.answer().await.status, 200);
    })
    .await;
    // The second try says of the person and the way it came what the first one said.
    let second = wire.nth(asked + 1).await;
    assert_eq!(wire.received().len(), asked + 1);
    assert_ne!(second.connection, first.connection);
    assert_eq!(second.head, first.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_app_has_closed_is_not_written_to() {
    // As uvicorn does after five idle seconds, at once: nothing says so but the end of the stream.
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let wire = Wire::scripted(move |_| Act::Close(ok.into())).await;
    let site = in_front_of(&wire.url()).await;
    let client = site.client();
    for turn in 0..20 {
        wire.closed(turn).await;
        let posted = client.send(Method::POST, "/a", &[], b"abc".to_vec()).await;
        assert_eq!((posted.status, wire.received().len()), (200, turn + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_checked_for_who_vouches_for_it_and_for_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let right = certificates::for_name(folder.path(), "localhost");
    let wrong_name = certificates::for_name(folder.path(), "other.example");
    // Vouched for by nobody that we know.
    let stranger = tempfile::tempdir().unwrap();
    let unknown = certificates::for_name(stranger.path(), "localhost");
    let known = [&right, &wrong_name].map(|one| std::fs::read_to_string(&one.certificate).unwrap()).concat();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, known).unwrap();

    for (certificate, host, status) in [
        (&right, "localhost", 200),
        (&wrong_name, "localhost", 502),
        (&unknown, "localhost", 502),
        // An address is no name that the certificate has.
        (&right, "127.0.0.1", 502),
    ] {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"]).arg(&certificate.certificate);
        command.arg("-key").arg(&certificate.key);
        let mut app = Running::start("openssl", &command);
        let port = app.ready(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse::<u16>().ok()).await;
        let text = configuration("\"127.0.0.1:0\"", &format!("https://{host}:{port}"), "");
        let mut process = Process::serve_with(&text, &[("SSL_CERT_FILE", roots.to_str().unwrap())]).await;
        let mut raw = Raw::connect(process.address()).await;
        raw.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, status, "{host}: {}\n{}", answer.text(), process.running.output());
        let reason = process.running.ready(|line| line.contains("vestibule::access").then(|| line.to_owned())).await;
        assert_eq!(reason.contains("InvalidCert") || reason.contains("TLSHandshakeFailure"), status == 502, "{reason}");
    }
}

/// An echo WebSocket server on what a listener accepts, in threads that end with the test run.
fn echo_sockets<S: std::io::Read + std::io::Write + 'static>(accept: impl Fn() -> S + Send + 'static) {
    std::thread::spawn(move || {
        loop {
            let Ok(mut socket) = tungstenite::accept(accept()) else { continue };
            socket.send(tungstenite::Message::text("open")).unwrap();
            while let Ok(message) = socket.read() {
                if !message.is_close() && socket.send(message).is_err() {
                    break;
                }
            }
        }
    });
}

/// Opens a WebSocket through the proxy, speaks on it and closes it.
async fn assert_echoes(proxy: std::net::SocketAddr) {
    let stream = TcpStream::connect(proxy).await.unwrap();
    let opened = tokio_tungstenite::client_async("ws://app.example/ws", stream).await;
    let (mut socket, _) = opened.unwrap_or_else(|error| panic!("no WebSocket: {error}"));
    assert_eq!(socket.next().await.unwrap().unwrap(), tungstenite::Message::text("open"));
    for message in [tungstenite::Message::text("é"), tungstenite::Message::binary(vec![7; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(tungstenite::Message::Close(_)))));
    assert!(socket.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_reaches_an_app_behind_a_socket_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    echo_sockets(move || listener.accept().unwrap().0);
    let site = in_front_of(&format!("unix:{}", path.display())).await;
    for _ in 0..3 {
        assert_echoes(site.address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_reaches_an_app_behind_tls_whose_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let right = certificates::for_name(folder.path(), "localhost");
    let stranger = tempfile::tempdir().unwrap();
    let unknown = certificates::for_name(stranger.path(), "localhost");
    for (certificate, is_known) in [(&right, true), (&unknown, false)] {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = Arc::new(config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        echo_sockets(move || {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            rustls::StreamOwned::new(connection, listener.accept().unwrap().0)
        });
        let text = configuration("\"127.0.0.1:0\"", &format!("https://localhost:{port}"), "");
        let roots = right.certificate.to_str().unwrap();
        let process = Process::serve_with(&text, &[("SSL_CERT_FILE", roots)]).await;
        if is_known {
            for _ in 0..3 {
                assert_echoes(process.address()).await;
            }
        } else {
            let stream = TcpStream::connect(process.address()).await.unwrap();
            let refused = tokio_tungstenite::client_async("ws://app.example/ws", stream).await;
            let Err(tungstenite::Error::Http(answer)) = refused else { panic!("{refused:?}") };
            assert_eq!(answer.status(), 502);
        }
    }
}
