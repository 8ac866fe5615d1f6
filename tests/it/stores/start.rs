//! The program and its store's file: what a start says, and what it takes.

use crate::support::process::{Process, configuration, run};

const UPSTREAM: &str = "http://127.0.0.1:9";

fn with_file(path: &std::path::Path) -> String {
    configuration("127.0.0.1:0", UPSTREAM, &format!("store: {{file: {}}}\n", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_made_held_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let mut first = Process::serve(&with_file(&file)).await;
    assert!(file.is_file());

    std::fs::write(folder.path().join("vestibule.yaml"), with_file(&file)).unwrap();
    let second = run(folder.path(), &["serve", "--config", "vestibule.yaml"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("in use by another process"), "{said}");

    first.running.signal("TERM");
    assert!(first.running.ended().await.success());
    Process::serve(&with_file(&file)).await;
}

#[test]
fn a_file_of_somebody_else_stops_the_start_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "shopping list").unwrap();
    std::fs::write(folder.path().join("vestibule.yaml"), with_file(&file)).unwrap();
    let started = run(folder.path(), &["serve", "--config", "vestibule.yaml"]);
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(!started.status.success() && said.contains("notes.txt is not Vestibule's"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "shopping list");
}
