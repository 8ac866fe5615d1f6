//! `vestibule health`: what it says of a sidecar that is well, not ready, silent, gone, or where it
//! cannot be asked: one line, and an exit code that a container engine goes by.

use crate::support::client::Client;
use crate::support::process::{Process, configuration, run};
use crate::support::site::Site;
use crate::support::waiting::until;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Runs it to its end: exit code, standard output, standard error.
async fn health(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let arguments: Vec<String> = ["health"].iter().chain(arguments).map(|&one| one.to_owned()).collect();
    let folder = folder.to_owned();
    let ran = move || run(&folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(ran).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Not well, and one line that says why.
async fn not_well(folder: &Path, arguments: &[&str], why: &str) {
    let (code, out, error) = health(folder, arguments).await;
    assert_eq!((code, out.as_str(), error.lines().count()), (1, "", 1), "{arguments:?}: {error}");
    assert!(error.contains(why), "{arguments:?}: {error}");
}

/// A folder with a configuration whose admin listener is this.
fn listening_on(admin: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = configuration("\"127.0.0.1:0\"", "http://127.0.0.1:1", "");
    let (from, to) = ("\"127.0.0.2:0\"", admin);
    assert!(text.contains(from), "{text}");
    std::fs::write(folder.path().join("vestibule.yaml"), text.replace(from, to)).unwrap();
    folder
}

const CONFIG: [&str; 2] = ["--config", "vestibule.yaml"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_runs_is_alive_and_ready_once_its_provider_was_reached() {
    let site = Site::start().await;
    until("the provider was reached", async || Client::new(site.admin).get("/readyz", &[]).await.status == 200).await;
    let folder = listening_on(&format!("\"{}\"", site.admin));
    let address = format!("http://{}", site.admin);
    let ready = (0, format!("{address}: ready\n"), String::new());
    assert_eq!(health(folder.path(), &CONFIG).await, (0, format!("{address}: alive\n"), String::new()));
    assert_eq!(health(folder.path(), &["--ready", "--config", "vestibule.yaml"]).await, ready);
    // Without any file, and so without any secret.
    assert_eq!(health(Path::new("/"), &["--ready", "--admin", &address]).await, ready);

    let unready = Process::serve(&configuration("\"127.0.0.1:0\"", "http://127.0.0.1:1", "")).await;
    assert_eq!(health(Path::new("/"), &["--admin", &unready.admin]).await.0, 0);
    not_well(Path::new("/"), &["--ready", "--admin", &unready.admin], "it runs and is not ready; its log says why")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_silent_or_something_else_is_not_well() {
    for answer in ["404 Not Found", "302 Found\r\nLocation: /elsewhere", "503 Service Unavailable", "204 No Content"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // What was not read before the end would take the answer with it.
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
        });
        let folder = listening_on(&format!("\"{address}\""));
        not_well(folder.path(), &CONFIG, &format!("http://{address} answers {}", &answer[..3])).await;
    }
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = listening_on(&format!("\"{}\"", listener.local_addr().unwrap()));
    not_well(folder.path(), &[&CONFIG[..], &["--timeout", "1"]].concat(), "no answer in time").await;
    drop(listener);
    not_well(folder.path(), &CONFIG, "no connection: Connection refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_is_said_with_its_cause() {
    let folder = listening_on("\"unix:/run/admin.sock\"");
    not_well(folder.path(), &CONFIG, "listeners.admin is a Unix socket").await;
    let folder = listening_on("\"127.0.0.1:0\"");
    not_well(folder.path(), &CONFIG, "listeners.admin has whatever port the system gave; give --admin URL").await;
    // What `serve` would say of the file.
    let (code, out, error) = health(folder.path(), &["--config", "nowhere.yaml"]).await;
    assert_eq!((code, out.as_str(), error.lines().next()), (1, "", Some("nowhere.yaml: does not exist")));
    not_well(folder.path(), &["--admin", "127.0.0.1:4181"], "is no address; write http://127.0.0.1:4181").await;
    for wrong in [&[][..], &["--config", "a", "--admin", "b"], &["--admin", "http://127.0.0.1:1", "--timeout", "0"]] {
        assert_eq!(health(folder.path(), wrong).await.0, 2, "{wrong:?}");
    }
}
