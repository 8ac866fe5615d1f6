//! oauth2-proxy beside Vestibule: the same requests to both, and the same answers but for what
//! `docs/oauth2-proxy.md` says.
//!
//! Vestibule is asked each time. oauth2-proxy is asked where the variable `OAUTH2_PROXY` names the
//! program (7.15.3); otherwise its answers are those of `tests/vectors/oauth2-proxy.json`, which
//! were recorded from it:
//!
//! `OAUTH2_PROXY=oauth2-proxy UPDATE=1 cargo test --test it -- oauth2_proxy::`
//!
//! What is kept of an answer are its facts (`answers`), never the text of a page. A fact that
//! differs needs a row in `differences`, that row one in the documentation, and the other way round.

mod answers;
mod cases;
mod differences;
mod program;

use super::support::site::{Setup, Site};
use answers::{Facts, Side, observe};
use cases::{Case, LISTED_HOSTS, Set, cases};
use differences::{DIFFERENCES, Difference};
use program::Program;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Answers = BTreeMap<String, Facts>;

fn recorded_in() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/oauth2-proxy.json")
}

/// A site set up as oauth2-proxy is in `program`.
async fn site(set: Set) -> Site {
    let hosts = LISTED_HOSTS.map(|host| format!("\"{host}\"")).join(", ");
    let aliases = "aliases: {ping: /ping, ready: /ready, robots: /robots.txt}";
    let common = format!("{aliases}\nsign_in: {{entry: page, return_to: [{hosts}]}}\n");
    let setup = match set {
        Set::Alone => {
            Setup { more: format!("{common}identity: {{headers: {{{}}}}}\n", both_sets()), ..Setup::default() }
        }
        Set::Asked => Setup {
            routes: "[{path: /public/**, access: public}, {path: /**}]".to_owned(),
            more: format!("{common}trusted_proxies: [127.0.0.1]\nforward_auth: {{from: traefik}}\n"),
            ..Setup::default()
        },
    };
    Site::with(setup).await
}

/// For the answers to `/oauth2/auth`, and for the app: oauth2-proxy has both in `program`.
fn both_sets() -> String {
    let claims = [
        ("User", "{sub}"),
        ("Email", "{email}"),
        ("Preferred-Username", "{preferred_username}"),
        ("Groups", "{groups|roles}"),
    ];
    let both =
        claims.map(|(name, claim)| format!("X-Auth-Request-{name}: \"{claim}\", X-Forwarded-{name}: \"{claim}\""));
    both.join(", ")
}

async fn answers_of_vestibule(cases: &[Case]) -> Answers {
    let (alone, asked) = (site(Set::Alone).await, site(Set::Asked).await);
    let mut answers = Answers::new();
    for case in cases {
        let site = if case.set == Set::Alone { &alone } else { &asked };
        let asked_there = Side { address: site.address, provider: &site.provider, session: "__Host-vestibule" };
        answers.insert(case.name.clone(), observe(case, &asked_there).await);
    }
    answers
}

async fn answers_of_oauth2_proxy(cases: &[Case], program: &Path) -> Answers {
    let (alone, asked) = (Program::start(program, Set::Alone).await, Program::start(program, Set::Asked).await);
    let mut answers = Answers::new();
    for case in cases {
        let running = if case.set == Set::Alone { &alone } else { &asked };
        answers.insert(case.name.clone(), observe(case, &running.side()).await);
    }
    answers
}

/// Its answers, from itself or as they were recorded.
async fn theirs(cases: &[Case]) -> Answers {
    #[expect(clippy::disallowed_methods, reason = "where the real program is, and whether to record it")]
    let (program, update) = (std::env::var_os("OAUTH2_PROXY"), std::env::var_os("UPDATE").is_some());
    let recorded = || serde_json::from_str(&std::fs::read_to_string(recorded_in()).unwrap()).unwrap();
    let Some(program) = program else { return recorded() };
    let answers = answers_of_oauth2_proxy(cases, Path::new(&program)).await;
    if update {
        let text = serde_json::to_string_pretty(&answers).unwrap();
        std::fs::write(recorded_in(), format!("{text}\n")).unwrap();
    } else {
        assert!(answers == recorded(), "this oauth2-proxy answers otherwise than was recorded: record it anew");
    }
    answers
}

/// What one case differs in: the fact, what oauth2-proxy says, and what we say.
fn differing<'a>(theirs: &'a Facts, ours: &'a Facts) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let said = |facts: &'a Facts, name: &str| facts.get(name).map_or("-", String::as_str);
    names.into_iter().map(move |name| (name.as_str(), said(theirs, name), said(ours, name))).filter(|(_, a, b)| a != b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth2_proxy_and_vestibule_answer_alike_but_for_the_documented_differences() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    for (index, case) in cases.iter().enumerate() {
        assert!(!cases[..index].iter().any(|other| other.name == case.name), "two cases are {:?}", case.name);
    }
    let (theirs, ours) = (theirs(&cases).await, answers_of_vestibule(&cases).await);
    let recorded: BTreeSet<&str> = theirs.keys().map(String::as_str).collect();
    assert_eq!(recorded, names, "tests/vectors/oauth2-proxy.json is of other cases: record it anew");

    let mut used = BTreeSet::new();
    let mut unexplained = Vec::new();
    for name in names {
        for (fact, said, told) in differing(&theirs[name], &ours[name]) {
            let explains =
                |difference: &Difference| difference.seen.iter().position(|seen| seen.fits(name, fact, told));
            match DIFFERENCES.iter().find_map(|difference| Some((difference.row, explains(difference)?))) {
                Some(explanation) => drop(used.insert(explanation)),
                None => unexplained.push(format!("{name}: {fact}: oauth2-proxy {said:?}, Vestibule {told:?}")),
            }
        }
    }
    assert!(unexplained.is_empty(), "{} facts differ without a row:\n{}", unexplained.len(), unexplained.join("\n"));
    for difference in DIFFERENCES {
        assert!(!difference.seen.is_empty(), "{:?} is seen nowhere", difference.row);
        for (index, seen) in difference.seen.iter().enumerate() {
            assert!(used.contains(&(difference.row, index)), "{:?}: {seen:?} is seen nowhere", difference.row);
        }
    }
}

#[test]
fn the_documentation_has_a_row_for_each_difference_and_no_other() {
    let page = include_str!("../../docs/oauth2-proxy.md");
    let section =
        page.split("\n### What is answered otherwise\n").nth(1).expect("the section").split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let documented: Vec<&str> = rows.map(|row| row.split(" | ").next().unwrap()).collect();
    let tested: Vec<&str> = DIFFERENCES.iter().map(|difference| difference.row).collect();
    assert_eq!(documented, tested);
}
