//! `vestibule import albert`: each file of `tests/import/` is a `config.yml` above the line, and what
//! is printed of it below: the configuration, and behind a second line what goes to standard error.
//!
//! `UPDATE=1 cargo test --test it -- every_case_prints` writes the lower halves anew; read the difference
//! before you keep it.

use std::path::{Path, PathBuf};
use std::process::Command;
use vestibule::config::{self, Environment, Unreadable};
use vestibule::secret::SecretString;
use zeroize::Zeroizing;

const LINE: &str = "\n======\n";
const SECOND_LINE: &str = "------\n";
/// What the cases have in places of secrets, and what therefore may be printed nowhere.
const CANARY: &str = "hunter2";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    assert!(files.len() >= 12, "only {} cases", files.len());
    files
}

/// Whether it worked, and the two outputs.
fn import(config_yml: &str) -> (bool, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yml"), config_yml).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["import", "albert", "config.yml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_case_prints_what_it_says() {
    #[expect(clippy::disallowed_methods, reason = "how the test run is told to write the cases anew")]
    let update = std::env::var_os("UPDATE").is_some();
    for file in cases() {
        let case = std::fs::read_to_string(&file).unwrap();
        let (input, expected) = case.split_once(LINE).unwrap();
        let (worked, configuration, said) = import(input);
        assert_eq!(worked, !configuration.is_empty(), "{}", file.display());
        let found = format!("{configuration}{SECOND_LINE}{said}");
        assert!(!found.contains(CANARY), "{}: a secret is printed:\n{found}", file.display());
        if update {
            std::fs::write(&file, format!("{input}{LINE}{found}")).unwrap();
        } else {
            assert_eq!(found, expected, "{}", file.display());
        }
    }
}

/// Every variable and every file holds a key, as far as this test is concerned.
struct Plenty;

impl Environment for Plenty {
    fn variable(&self, _: &str) -> Result<SecretString, Unreadable> {
        Ok("4eLj5OXm5-jp6uvs7e7v8PHy8_T19vf4-fr7_P3-_4A".into())
    }

    fn file(&self, _: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        Err(Unreadable::Absent)
    }
}

/// The configurations of the cases that need nothing to be filled in.
fn complete() -> Vec<(PathBuf, String)> {
    let printed = cases().into_iter().filter_map(|file| {
        let case = std::fs::read_to_string(&file).unwrap();
        let (worked, configuration, said) = import(case.split_once(LINE).unwrap().0);
        // A key behind a `#` is one that nobody but the reader knows.
        let left_out = |line: &str| {
            let key = line.trim_start().strip_prefix("# ").and_then(|line| line.strip_suffix(':'));
            key.is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let is_complete = worked && !configuration.lines().any(left_out) && !said.contains("is http, which");
        is_complete.then_some((file, configuration))
    });
    let complete: Vec<_> = printed.collect();
    assert!(complete.len() >= 4, "{complete:?}");
    complete
}

#[test]
fn what_is_printed_is_a_good_configuration() {
    for (file, configuration) in complete() {
        let config = config::from_text("vestibule.yaml", &configuration, &Plenty);
        config.unwrap_or_else(|problems| panic!("{}: {problems}", file.display()));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_said_to_be_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["import", "albert", "/nonexistent/config.yml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "/nonexistent/config.yml: does not exist\n");
}
