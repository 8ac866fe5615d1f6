//! The laws of the house, read off the sources: who may import whom, where Pingora may be named,
//! what every file says of itself. They are explained in `docs/architecture.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms from the lowest layer to the highest; rooms of one layer are siblings.
const LAYERS: [&[&str]; 9] = [
    &["secret", "clock", "random", "claims"],
    &["seal", "signing", "fetch", "web"],
    &["oidc", "pages", "store"],
    &["session", "bearer", "seats"],
    &["gate", "login", "credentials"],
    &["server", "telemetry"],
    &["config", "demo"],
    &["app"],
    &["commands", "main", "lib"],
];

fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let within = path.strip_prefix(&root).unwrap().to_path_buf();
                let owner = within.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((owner, within, text));
            }
        }
    }
    assert!(found.len() > 60, "only {} files were read", found.len());
    found
}

fn layer(room: &str) -> usize {
    LAYERS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("{room} has no layer"))
}

/// The text before a file's own tests, without comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    before_tests.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_room_imports_from_lower_rooms_only() {
    for (room, path, text) in sources() {
        if path.iter().any(|part| part.to_str().is_some_and(|part| part == "tests.rs" || part == "tests")) {
            continue;
        }
        for imported in code(&text).split("crate::").skip(1) {
            let imported: String = imported.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !LAYERS.iter().any(|rooms| rooms.contains(&imported.as_str())) || imported == room {
                continue;
            }
            let allowed = layer(&imported) < layer(&room);
            assert!(allowed, "{} imports {imported}, which is not below it", path.display());
        }
    }
}

#[test]
fn pingora_is_named_in_the_server_room_only() {
    for (room, path, text) in sources() {
        let named = code(&text).contains("pingora");
        assert!(room == "server" || !named, "{} names pingora", path.display());
    }
}

/// A session that nobody signed in to, and a caller that nobody verified, are for explanations alone.
#[test]
fn nobody_is_supposed_but_for_an_explanation() {
    for (_, path, text) in sources() {
        let makes_one = ["Caller::supposed(", "SupposedSessions::new("].iter().any(|made| code(&text).contains(made));
        let may =
            ["server/explain/mod.rs", "app/explained.rs", "tests.rs"].iter().any(|allowed| path.ends_with(allowed));
        assert!(may || !makes_one, "{} supposes somebody", path.display());
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (_, path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not begin with //!", path.display());
    }
}

#[test]
fn every_room_has_a_layer_and_every_layer_its_rooms() {
    let rooms: BTreeSet<String> = sources().into_iter().map(|(room, ..)| room).collect();
    let known: BTreeSet<String> = LAYERS.iter().copied().flatten().map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms, known);
}

#[test]
fn the_picture_in_the_documentation_has_every_room() {
    let page = include_str!("../../docs/architecture.md");
    for room in LAYERS.iter().copied().flatten().filter(|room| **room != "lib") {
        assert!(page.contains(&format!("`{room}`")), "docs/architecture.md does not mention `{room}`");
    }
}
