//! The encrypted envelope, read with the library that the playgrounds read it with.

use crate::support::counterparts::require;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use vestibule::clock::Timestamp;
use vestibule::credentials::envelope::{Contents, Derivation, Envelope};
use vestibule::secret::{ExposeSecret, SecretString};

const NOW: Timestamp = Timestamp::from_unix(1_795_214_286);
const RAW: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// What Python's `cryptography` finds in the envelope, as a playground reads it; none if it refuses.
fn read_in_python(text: &str, derivation: &str, key: &str, moment: Timestamp) -> Option<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut python = Command::new(tests.join("counterparts/.venv/bin/python"))
        .arg(tests.join("vectors/envelope.py"))
        .args(["open", derivation, key, &moment.as_unix().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() || complaint.contains("InvalidToken"), "{complaint}");
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn what_vestibule_seals_opens_in_python() {
    require!(Streamlit);
    let app_token = SecretString::from("sk-eyJhbGciOiJIUzI1NiJ9.é.\"");
    let contents = Contents { app_token: &app_token, token_id: 1 << 53, proconnect_token: "" };
    for (derivation, name, key) in [
        (Derivation::Raw, "raw", RAW),
        (Derivation::Raw, "raw", "changeme"),
        (Derivation::Sha256, "sha256", "correct horse battery staple"),
        (Derivation::Pbkdf2, "pbkdf2", "un mot de passe très long"),
    ] {
        let envelope = Envelope::new(&key.into(), derivation).unwrap();
        let text = envelope.seal(&contents, NOW);
        let text = text.expose_secret();
        let read = read_in_python(text, name, key, NOW.plus(Duration::from_secs(300))).expect(name);
        let json: serde_json::Value = serde_json::from_str(&read).unwrap();
        let expected = serde_json::json!({
            "app_token": app_token.expose_secret(),
            "token_id": 1_u64 << 53,
            "proconnect_token": "",
            "timestamp": NOW.as_unix(),
        });
        assert_eq!(json, expected, "{name}");
        if name == "raw" {
            assert_eq!(read_in_python(text, name, key, NOW.plus(Duration::from_secs(301))), None);
            assert_eq!(read_in_python(text, name, RAW, NOW).is_some(), key == RAW);
        }
    }
}
