//! Angular's dev server behind the program: the page, and the socket by which what a developer changes
//! arrives in it.

use super::support::angular::{DevServer, NAMES, Play, Stage};
use super::support::client::Client;
use super::support::counterparts::{require, start_browser_app};
use super::support::scene::EMAIL;
use serde_json::json;
use std::path::Path;

/// Changes a source file, as an editor does.
fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {}", file.display());
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_changed_source_file_arrives_in_the_open_page() {
    require!(Chromium, OidcProvider, FastApi, Angular);
    let (dev, api) = tokio::join!(DevServer::start(), start_browser_app(&[]));
    let stage = Stage::of(Play {
        upstream: &dev.address,
        upstreams: &format!("  api: {{url: \"{}\"}}", api.address),
        routes: "[{path: /api/**, upstream: api}, {path: /**, upstream: app}]",
        more: NAMES,
        apps: vec![api.process],
        ..Play::default()
    })
    .await;
    let browser = stage.signed_in("/chat?topic=a").await;
    browser.wait_for_text("#user", EMAIL).await;
    browser.wait_for_text("#ask", "Ask again").await;

    // A template: into the page as it is.
    let chat = dev.folder.path().join("bff/chat.ts");
    browser.execute("window.kept = true", json!([])).await;
    edit(&chat, "Ask again", "Encore");
    browser.wait_for_text("#ask", "Encore").await;
    assert_eq!(browser.execute("return window.kept", json!([])).await, true);
    // What is more than a template loads the page again, by itself.
    edit(&chat, "signal(0)", "signal(100)");
    browser.wait_for_text("#asked", "101").await;
    assert_eq!(browser.execute("return window.kept ?? null", json!([])).await, json!(null));
    assert_eq!(browser.url().await, stage.at("/chat?topic=a"));

    // It came by a socket through the program, which ends with the session.
    assert!(stage.vestibule.access_lines("/").iter().all(|line| line["reason"] != "cut: the session was ended"));
    browser.click("#sign-out").await;
    let socket = stage.vestibule.access_line("/", |line| line["reason"] == "cut: the session was ended").await;
    assert_eq!((&socket["status"], &socket["upstream"]), (&json!(101), &json!("app")), "{socket}");

    // By another name than `localhost` it is asked in vain, until `angular.json` has that name.
    let client = Client::new(dev.address.trim_start_matches("http://").parse().unwrap());
    for (host, status) in [("app.example.gouv.fr", 200), ("other.example.gouv.fr", 403)] {
        let answer = client.get(&format!("{}/", dev.address), &[("host", host)]).await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
}
