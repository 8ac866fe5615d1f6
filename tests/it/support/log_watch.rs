//! A watch over everything that this process logs: no secret, token or full cookie may be in it.
//!
//! Begun by every test that starts a sidecar, at the most talkative level there is, libraries
//! included. A line that holds what it must not ends the whole run on the spot, whichever test it
//! came from; `logs.rs` shows that the watch would bark.

use super::waiting::until;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, Once, OnceLock};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

static BEGUN: Once = Once::new();
static SECRETS: OnceLock<Mutex<Secrets>> = OnceLock::new();
/// The access lines, and the others that are looked for.
static ACCESS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static OTHERS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// In a line of `credentials/wallet`.
const WITHOUT_STORE: &str = "obtained without";
/// In the lines of `app/list_watch`.
const OF_LISTS: &str = "a list of the rules";
/// In the lines of `server/admin`.
const OF_ADMINISTRATORS: &str = "\"vestibule::server::admin";
/// More than the whole suite makes requests.
const KEPT_LINES: usize = 200_000;

/// Some thousand secrets by eight bytes from their middle (their beginnings are alike), so that a
/// line costs what it is long: the watch must not slow what is measured.
struct Secrets {
    by_middle: HashMap<u64, Vec<String>>,
    /// Whether there can be one with such a middle.
    may_be: Vec<bool>,
}

impl Secrets {
    fn insert(&mut self, secret: &str) {
        let at = secret.len() / 2 - 4;
        let middle = u64::from_le_bytes(secret.as_bytes()[at..at + 8].try_into().unwrap());
        let alike = self.by_middle.entry(middle).or_default();
        if !alike.iter().any(|held| held == secret) {
            alike.push(secret.to_owned());
        }
        self.may_be[place(middle)] = true;
    }

    fn found_in(&self, line: &str) -> Option<String> {
        let mut window = 0;
        for (index, byte) in line.bytes().enumerate() {
            // The last eight bytes, the first of them lowest.
            window = (window >> 8) | (u64::from(byte) << 56);
            if index >= 7
                && self.may_be[place(window)]
                && let Some(alike) = self.by_middle.get(&window)
                && let Some(secret) = alike.iter().find(|secret| line.contains(secret.as_str()))
            {
                return Some(secret.clone());
            }
        }
        None
    }
}

fn place(middle: u64) -> usize {
    (middle.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

fn secrets() -> &'static Mutex<Secrets> {
    SECRETS.get_or_init(|| {
        let known = [
            super::site::SESSION_KEY,
            super::site::NEXT_SESSION_KEY,
            super::site::CLIENT_SECRET,
            super::site::ADMIN_TOKEN,
        ];
        let mut secrets = Secrets { by_middle: HashMap::new(), may_be: vec![false; 1 << 16] };
        for secret in known {
            secrets.insert(secret);
        }
        Mutex::new(secrets)
    })
}

/// Starts watching, once for the whole run.
pub(crate) fn begin() {
    BEGUN.call_once(|| {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(|| Watch(Vec::new()));
        let lines = vestibule::telemetry::filtered(lines, "trace").unwrap();
        tracing_subscriber::registry().with(lines).init();
    });
}

/// Names a value that must never be in a log line from now on.
pub(crate) fn never_logged(secret: &str) {
    if secret.len() >= 16 {
        secrets().lock().unwrap().insert(secret);
    }
}

/// What in a line must not be there.
pub(crate) fn fault_of(line: &str) -> Option<String> {
    // The start of every JWT header in base64url: `{"`.
    let shapes = ["eyJ", "code=", "id_token_hint=", "Bearer ", "PRIVATE KEY"];
    let shape = shapes.into_iter().find(|shape| holds(line, shape)).map(str::to_owned);
    shape.or_else(|| secrets().lock().unwrap().found_in(line))
}

/// Whether `text` is in a line: by a search that is fast without optimisation too, for there are many lines.
fn holds(line: &str, text: &str) -> bool {
    memchr::memmem::find(line.as_bytes(), text.as_bytes()).is_some()
}

/// The access lines so far that hold `text`.
pub(crate) fn access_lines_with(text: &str) -> Vec<serde_json::Value> {
    let lines = ACCESS.lock().unwrap();
    lines.iter().filter(|line| holds(line, text)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The access line that holds `text`, once it is written: shortly after the answer is sent. Every
/// test of this run logs here, so the text must be one that no other test has.
pub(crate) async fn access_line_with(text: &str) -> serde_json::Value {
    let (mut seen, mut found) = (0, None);
    until(&format!("an access line holds {text:?}"), async || {
        let lines = ACCESS.lock().unwrap();
        found = lines[seen..].iter().rfind(|line| holds(line, text)).cloned();
        seen = lines.len();
        found.is_some()
    })
    .await;
    serde_json::from_str(&found.unwrap()).unwrap()
}

/// How often a sidecar of this run has done without its store, which has to answer within a second:
/// a machine that pauses longer makes it so, and what is otherwise done once is done twice then.
pub(crate) fn done_without_the_store() -> u64 {
    lines_with(WITHOUT_STORE).len() as u64
}

/// Every line so far that holds `text`.
pub(crate) fn lines_with(text: &str) -> Vec<String> {
    let of = |lines: &Mutex<Vec<String>>| -> Vec<String> {
        lines.lock().unwrap().iter().filter(|line| holds(line, text)).cloned().collect()
    };
    [of(&ACCESS), of(&OTHERS)].concat()
}

/// One line in the making.
struct Watch(Vec<u8>);

impl Write for Watch {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.0).into_owned();
        if let Some(fault) = fault_of(&line) {
            // Not a panic: it would end a task of the sidecar's and pass unseen.
            let _ = writeln!(std::io::stderr(), "\na log line holds {fault:?}, which must never be logged:\n{line}");
            std::process::exit(101);
        }
        // Only what is looked for later: the libraries say more at this level than memory is worth.
        let is_access = holds(&line, "vestibule::access");
        if !is_access && ![WITHOUT_STORE, OF_LISTS, OF_ADMINISTRATORS].iter().any(|text| holds(&line, text)) {
            return;
        }
        let mut lines = if is_access { &ACCESS } else { &OTHERS }.lock().unwrap();
        if lines.len() < KEPT_LINES {
            lines.push(line);
        }
    }
}
