//! The process: how it listens, how it refuses to start, how it ends, and what its commands say.

use crate::support::certificates;
use crate::support::client::Client;
use crate::support::process::{Process, configuration, run};
use crate::support::raw::Raw;
use crate::support::waiting::until;
use crate::support::wire::Wire;
use std::net::SocketAddr;
use std::process::Output;
use tokio::net::{TcpListener, TcpStream};

const ANYWHERE: &str = "\"127.0.0.1:0\"";
const GET: &str = "GET /a HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// Runs a command on this configuration to its end.
fn run_on(text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vestibule.yaml"), text).unwrap();
    run(folder.path(), arguments)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const SERVE: [&str; 3] = ["serve", "--config", "vestibule.yaml"];
const CHECK: [&str; 3] = ["check", "--config", "vestibule.yaml"];

#[test]
fn a_listener_that_cannot_be_had_ends_the_process_with_one_clear_message() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mine, other) = (certificates::for_name(folder.path(), "mine"), certificates::for_name(folder.path(), "other"));
    let (certificate, key) = (mine.certificate.display(), other.key.display());
    let file = folder.path().join("precious");
    std::fs::write(&file, "precious").unwrap();
    let file = file.display();
    let cases = [
        (format!("\"{address}\""), format!("cannot listen on {address}: Address already in use")),
        ("\"192.0.2.1:4180\"".to_owned(), "cannot listen on 192.0.2.1:4180: ".to_owned()),
        (format!("\"unix:{file}\""), format!("cannot listen on {file}: a file that is not a socket is in the way")),
        ("\"unix:/nowhere/a.sock\"".to_owned(), "cannot listen on unix:/nowhere/a.sock: No such file".to_owned()),
        (
            format!("{{address: \"127.0.0.1:0\", tls: {{certificate: {certificate}, key: {key}}}}}"),
            format!("cannot use the TLS key {key}: "),
        ),
    ];
    for (listener, message) in cases {
        // It ends by itself: a retry for half a minute would say so, once a try.
        let ended = run_on(&configuration(&listener, "http://127.0.0.1:1", ""), &SERVE);
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.lines().last().unwrap().starts_with(&message), "{listener}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(said.matches("cannot ").count(), 1, "{listener}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_file_is_listened_on_and_taken_over_from_a_process_that_is_gone() {
    let wire = Wire::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vestibule.sock");
    let text = configuration(&format!("\"unix:{}\"", path.display()), &wire.url(), "");
    for count in 1..=2 {
        let process = Process::serve(&text).await;
        assert_eq!(process.proxy, format!("unix:{}", path.display()));
        let mut raw = Raw::connect_unix(&path).await;
        raw.send(GET).await;
        assert_eq!(raw.answer().await.text(), "ok");
        // A peer on a socket has no address; it is on this machine.
        assert_eq!(wire.nth(count).await.all("x-forwarded-for"), ["127.0.0.1"]);
        // Killed: the file stays.
        drop(process);
        assert!(path.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_ended_here_where_a_certificate_is_given() {
    let wire = Wire::start().await;
    let folder = tempfile::tempdir().unwrap();
    let files = certificates::for_name(folder.path(), "localhost");
    let listener = format!(
        "{{address: \"127.0.0.1:0\", tls: {{certificate: {}, key: {}}}}}",
        files.certificate.display(),
        files.key.display()
    );
    let process = Process::serve(&configuration(&listener, &wire.url(), "")).await;
    assert!(process.proxy.starts_with("https://127.0.0.1:"), "{}", process.proxy);
    for version in ["1.2", "1.3"] {
        let url = format!("https://localhost:{}/a", process.address().port());
        let mut command = std::process::Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "180",
            "--tlsv1.2",
            "--tls-max",
            version,
        ]);
        command.args(["--write-out", " %{http_version}", "--cacert"]).arg(&files.certificate).arg(&url);
        let answer = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(text(&answer.stdout), "ok 1.1", "TLS {version}: {}", text(&answer.stderr));
    }
    // Plain text is no way in.
    let mut raw = Raw::connect(process.address()).await;
    raw.send(GET).await;
    assert!(!text(&raw.rest().await).contains("HTTP/1.1 200"));
    assert_eq!(wire.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_finishes_what_is_under_way_and_takes_nothing_new() {
    for signal in ["TERM", "INT"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // An address where no other test listens, which could get the port that is given back.
        let mut process = Process::serve(&configuration("\"127.0.0.3:0\"", &url, "shutdown_grace: 10m")).await;
        let (proxy, admin) = (process.address(), process.admin_address());

        let mut idle = Raw::connect(proxy).await;
        idle.send(GET).await;
        let mut app = Raw::over(listener.accept().await.unwrap().0);
        app.request_head().await;
        app.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        assert_eq!(idle.answer().await.header("connection"), Some("keep-alive"));
        // Each on a connection of its own to the app: whether the first is at hand again when the
        // next request comes is nobody's promise.
        let mut busy = Raw::connect(proxy).await;
        busy.send(GET).await;
        let mut app = Raw::over(listener.accept().await.unwrap().0);
        app.request_head().await;

        process.running.signal(signal);
        // The connection without a request ends, and so do the listeners.
        assert!(idle.is_closed().await);
        refuses(proxy).await;
        refuses(admin).await;
        // The request under way has all its time.
        app.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfinished").await;
        assert_eq!(busy.answer().await.text(), "finished");
        assert!(busy.is_closed().await);
        assert_eq!(process.running.ended().await.code(), Some(0), "{signal}");
    }
}

/// Waits until nobody listens there.
async fn refuses(address: SocketAddr) {
    until(&format!("{address} refuses connections"), async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlasts_the_time_to_finish_is_cut_and_the_process_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut process = Process::serve(&configuration(ANYWHERE, &url, "shutdown_grace: 200ms")).await;
    let mut raw = Raw::connect(process.address()).await;
    raw.send("GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let mut app = Raw::over(listener.accept().await.unwrap().0);
    app.request_head().await;
    app.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(raw.head().await.status, 101);
    process.running.signal("TERM");
    assert_eq!(process.running.ended().await.code(), Some(0));
    assert!(raw.is_closed().await && app.is_closed().await);
    process.running.ready(|line| line.contains("requests still under way are cut off").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_is_where_it_says() {
    let process = Process::serve(&configuration(ANYWHERE, "http://127.0.0.1:1", "")).await;
    let admin = Client::new(process.admin_address());
    assert_eq!(admin.get("/healthz", &[]).await.status, 200);
    assert_eq!(admin.get("/readyz", &[]).await.status, 503);
}

#[test]
fn check_says_that_a_configuration_is_good_and_what_is_dangerous_in_it() {
    let good = run_on(&configuration(ANYWHERE, "http://127.0.0.1:1", ""), &CHECK);
    let said = text(&good.stdout);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(said.ends_with("vestibule.yaml: the configuration is good\n"), "{said}");
    assert!(said.contains("vestibule.yaml:6: routes[0].path: everybody may make every request"), "{said}");
}

#[test]
fn check_and_serve_report_every_mistake_at_once_and_start_nothing() {
    let bad = configuration("nonsense", "ftp://127.0.0.1", "surprise: 1\n");
    for arguments in [&CHECK, &SERVE] {
        let ended = run_on(&bad, arguments);
        let said = text(&ended.stderr);
        assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(1), ""), "{said}");
        for key in ["listeners.proxy: ", "upstreams.app.url: ", "surprise: ", "3 mistakes; nothing was started"] {
            assert!(said.contains(key), "{key} in\n{said}");
        }
    }
}

#[test]
fn check_online_asks_the_provider() {
    let ended = run_on(&configuration(ANYWHERE, "http://127.0.0.1:1", ""), &[&CHECK[..], &["--online"]].concat());
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("discovery document could not be fetched"), "{}", text(&ended.stderr));
}

#[test]
fn a_file_that_is_not_there_and_a_command_that_is_not_there_are_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(folder.path(), &CHECK);
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("vestibule.yaml"), "{}", text(&ended.stderr));
    for arguments in [&["serv"][..], &[], &["check"], &["keys"]] {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_new_key_is_32_bytes_and_new_each_time() {
    use base64::Engine;
    let folder = tempfile::tempdir().unwrap();
    let key = || text(&run(folder.path(), &["keys", "new"]).stdout);
    let (one, other) = (key(), key());
    assert_ne!(one, other);
    assert_eq!(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(one.trim_end()).unwrap().len(), 32);
}

#[test]
fn the_schema_is_a_json_schema() {
    let folder = tempfile::tempdir().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&run(folder.path(), &["schema"]).stdout).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    assert!(schema["properties"]["public_url"].is_object());
}
