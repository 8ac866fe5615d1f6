//! What commands print: into a pipe that nobody reads on, and onto a disk that is full.

use crate::support::process::{configuration, run_into};
use std::fs::File;
use std::process::Output;

/// The code, and what was said beside it.
fn said(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn whoever_reads_no_further_changes_no_exit_code_and_a_full_disk_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &str| {
        let text = configuration("\"127.0.0.1:0\"", "http://127.0.0.1:9", more);
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    write("good.yaml", "");
    write("bad.yaml", "colour: red\n");
    let cases: [(&[&str], i32); 7] = [
        (&["schema"], 0),
        (&["check", "--config", "good.yaml"], 0),
        (&["check", "--config", "bad.yaml"], 1),
        // What it finds is printed before it fails.
        (&["check", "--deny-findings", "--config", "good.yaml"], 1),
        (&["explain", "GET", "/", "--json", "--config", "good.yaml"], 0),
        (&["explain", "GET", "/%00", "--config", "good.yaml"], 1),
        (&["keys", "signing"], 0),
    ];
    for (arguments, code) in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (ended, error) = said(&run_into(folder.path(), arguments, writer));
        assert_eq!(ended, code, "{arguments:?}: {error}");
        assert!(!error.contains("panic") && !error.contains("standard output"), "{arguments:?}: {error}");
    }
    for (arguments, code) in [(&["schema"][..], 1), (&["explain", "GET", "/", "--config", "good.yaml"], 2)] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (ended, error) = said(&run_into(folder.path(), arguments, full));
        assert!(ended == code && error.starts_with("standard output: "), "{arguments:?}: {ended} {error}");
    }
}
