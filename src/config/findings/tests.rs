//! Golden findings: each file of `tests/findings/` is named after a finding, holds configurations that
//! go over one which has none, with a line `=== again` between them, and below the line what `check`
//! says of each. `UPDATE=1` writes the answers anew.

use super::Code;
use crate::config::from_texts;
use crate::config::tests::{World, files, root};
use std::collections::BTreeSet;

const BASE: &str = "public_url: https://app.example.fr\n\
    providers: {p: {issuer: https://login.example.org, client_id: c, client_secret: {env: CLIENT_SECRET}}}\n\
    session: {keys: [{id: a, secret: {env: SESSION_KEY}}]}\n\
    upstreams: {app: {url: \"http://127.0.0.1:8501\"}}\n\
    routes: [{path: /**, upstream: app}]\n";

fn outcome(over: &str) -> String {
    match from_texts(&[("base.yaml", BASE), ("v.yaml", over)], &World) {
        Err(problems) => format!("{problems}\n"),
        Ok(config) => {
            let found = config.findings().iter().map(|finding| format!("{finding}\n"));
            let accepted =
                config.accepted().iter().map(|(finding, because)| format!("{finding}: accepted, because {because}\n"));
            found.chain(accepted).collect()
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a developer asks for the cases to be written anew")]
fn each_finding_is_found_where_its_case_says_and_nowhere_else() {
    let mut wrong = Vec::new();
    for path in files("tests/findings", "case") {
        let case = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = case.split_once("------\n").unwrap();
        let outcomes: Vec<String> = input.split("=== again\n").map(outcome).collect();
        let said = outcomes.join("=== again\n");
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(said.contains(&format!("[{name}]")), "{name}: {said}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{input}------\n{said}")).unwrap();
        } else if said != expected {
            wrong.push(format!("--- {name}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_finding_has_a_case_and_is_explained_and_nothing_else_is() {
    let named: BTreeSet<String> = Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(named.len(), Code::ALL.len());
    let cases: BTreeSet<String> = files("tests/findings", "case")
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(cases, named);
    let page = std::fs::read_to_string(root("docs/findings.md")).unwrap();
    let explained: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).map(str::to_owned).collect();
    assert_eq!(explained, named, "docs/findings.md has a section for each finding");
}

#[test]
fn what_has_no_finding_has_none() {
    assert_eq!(outcome("{}"), "");
}
