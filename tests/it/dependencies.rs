//! What Vestibule is built from: every direct dependency has its reason written down, and one TLS
//! stack and one crypto provider are all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The packages in `Cargo.lock`.
fn locked() -> BTreeSet<String> {
    let lock = read("Cargo.lock");
    lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).map(str::to_owned).collect()
}

/// The direct dependencies in `Cargo.toml`, those of tests and builds too, each with its line.
fn direct() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut wanted = false;
    for line in read("Cargo.toml").lines() {
        if let Some(section) = line.strip_prefix('[') {
            wanted = section.trim_end_matches(']').ends_with("dependencies");
        } else if wanted && let Some((name, written)) = line.split_once(" = ") {
            found.insert(name.to_owned(), written.to_owned());
        }
    }
    found
}

/// The rows of docs/dependencies.md, by name: `| \`name\` | version | features | reason |`.
fn explained() -> BTreeMap<String, Vec<String>> {
    let page = read("docs/dependencies.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, rest)| (name.to_owned(), rest.split(" | ").map(str::to_owned).collect())).collect()
}

#[test]
fn every_direct_dependency_has_a_reason() {
    let (direct, explained) = (direct(), explained());
    assert!(direct.contains_key("pingora") && direct.contains_key("tempfile"), "{direct:?}");

    let missing: Vec<_> = direct.keys().filter(|name| !explained.contains_key(*name)).collect();
    assert!(missing.is_empty(), "not in docs/dependencies.md: {missing:?}");
    let gone: Vec<_> = explained.keys().filter(|name| !direct.contains_key(*name)).collect();
    assert!(gone.is_empty(), "no longer in Cargo.toml: {gone:?}");
}

#[test]
fn every_feature_that_is_switched_on_is_in_its_row() {
    let explained = explained();
    for (name, written) in direct() {
        let Some((_, features)) = written.split_once("features = [") else { continue };
        let row = &explained[&name][1];
        for feature in features.split('"').skip(1).step_by(2) {
            assert!(row.contains(&format!("`{feature}`")), "{name}: {feature} is not in {row:?}");
        }
        assert_eq!(written.contains("default-features = false"), row.contains("no defaults"), "{name}: {row:?}");
    }
}

#[test]
fn the_versions_in_the_page_are_those_in_the_lock_file() {
    let lock = read("Cargo.lock");
    for (name, row) in explained() {
        // 0.9 in the page stands for 0.9.x: a patch release changes no reason.
        let found = lock.contains(&format!("name = \"{name}\"\nversion = \"{}.", row[0]));
        assert!(found, "Cargo.lock has no {name} {}", row[0]);
    }
}

#[test]
fn there_is_one_tls_stack_and_nothing_that_needs_cmake() {
    let locked = locked();
    assert!(locked.contains("rustls") && locked.contains("ring"));
    for banned in
        ["aws-lc-rs", "aws-lc-sys", "boring", "boring-sys", "cmake", "native-tls", "openssl", "openssl-sys", "s2n-tls"]
    {
        assert!(!locked.contains(banned), "{banned} is in Cargo.lock");
    }
}
