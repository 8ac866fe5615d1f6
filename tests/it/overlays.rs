//! Several configuration files on the command line, each over those before it.

use super::support::process::{configuration, run};
use super::support::running::Running;
use super::support::site::SESSION_KEY;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A folder with a configuration and two files to go over it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let usual = configuration("\"127.0.0.1:1\"", "http://127.0.0.1:9", "log: {level: info}\n");
    for (name, text) in [
        ("base.yaml", usual.as_str()),
        ("production.yaml", "listeners: {proxy: \"127.0.0.1:0\"}\nlog: {level: debug}\n"),
        (
            "wrong.yaml",
            "# Not what the upstreams are called.\nroutes: [{path: /**, upstream: ap}]\nlog: {levle: info}\n",
        ),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn said(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = run(folder, arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn check_names_the_files_and_in_which_of_them_each_thing_stands() {
    let folder = folder();
    let (good, out) = said(folder.path(), &["check", "--config", "base.yaml", "--config", "production.yaml"]);
    assert!(good, "{out}");
    assert!(out.contains("base.yaml:3: providers.nobody.client_authentication: anybody can ask"), "{out}");
    assert!(out.contains("production.yaml:2: log.level: debug logs much"), "{out}");
    assert!(out.ends_with("base.yaml, production.yaml: the configuration is good\n"), "{out}");

    let (good, out) = said(folder.path(), &["check", "--config", "base.yaml", "--config", "wrong.yaml"]);
    let expected = "wrong.yaml:2: routes[0].upstream: no upstream is named \"ap\"; did you mean \"app\"?\n\
                    wrong.yaml:3: log.levle: unknown key; did you mean \"level\"?\n2 mistakes; nothing was started\n";
    assert_eq!((good, out.as_str()), (false, expected));

    // The other way round it is what base.yaml says that counts.
    let (good, out) = said(folder.path(), &["check", "--config", "production.yaml", "--config", "base.yaml"]);
    assert!(good && !out.contains("log.level"), "{out}");
}

#[test]
fn a_file_twice_or_one_that_is_not_there_starts_nothing() {
    let folder = folder();
    for (second, expected) in [
        ("base.yaml", "base.yaml: is given twice; give each file once\n1 mistake; nothing was started\n"),
        (
            "./base.yaml",
            "./base.yaml: is base.yaml once more, word for word; give each file once\n1 mistake; nothing was started\n",
        ),
        ("nowhere.yaml", "nowhere.yaml: does not exist\n1 mistake; nothing was started\n"),
    ] {
        for command in [&["serve"][..], &["check"], &["sessions", "list"]] {
            let arguments = [command, &["--config", "base.yaml", "--config", second]].concat();
            assert_eq!(said(folder.path(), &arguments), (false, expected.to_owned()), "{arguments:?}");
        }
    }
    let (good, out) = said(folder.path(), &["serve"]);
    assert!(!good && out.contains("--config <FILE>"), "{out}");
}

#[tokio::test]
async fn serve_runs_what_they_come_to() {
    let folder = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(["serve", "--config", "base.yaml", "--config", "production.yaml"]);
    command.current_dir(folder.path()).env("SESSION_KEY", SESSION_KEY);
    let mut running = Running::start("vestibule", &command);
    let proxy = running
        .ready(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["proxy"].as_str().map(str::to_owned))
        .await;
    assert!(!proxy.ends_with(":1"), "{proxy}: production.yaml says where");
    let said = running.output();
    assert!(said.contains(r#""file":"production.yaml""#) && said.contains(r#""file":"base.yaml""#), "{said}");
}
