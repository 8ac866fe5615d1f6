//! Books of both kinds, with files in memory and endpoints on loopback that do one thing wrong at a
//! time.

use super::*;
use crate::claims::Claims;
use crate::secret::ExposeSecret;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use url::Url;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const LATER: Timestamp = Timestamp::from_unix(1_800_000_005);

/// One file, whatever its path; each writing gives it another stamp.
#[derive(Default)]
struct Memory(Mutex<(u64, Option<Vec<u8>>, u64)>);

impl Memory {
    fn with(text: &str) -> Arc<Self> {
        let memory = Arc::new(Self::default());
        memory.write(text);
        memory
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        let mut state = self.0.lock().unwrap();
        *state = (state.0 + 1, Some(text.as_ref().to_vec()), state.2);
    }

    fn remove(&self) {
        self.0.lock().unwrap().1 = None;
    }

    /// How often it was read.
    fn reads(&self) -> u64 {
        self.0.lock().unwrap().2
    }
}

impl Files for Memory {
    fn read_unless(&self, _: &Path, known: Option<Stamp>) -> Result<Option<Contents>, Unreadable> {
        let mut state = self.0.lock().unwrap();
        let bytes = state.1.clone().ok_or(Unreadable::Absent)?;
        let stamp = Stamp { modified: None, length: bytes.len() as u64, inode: state.0 };
        if known == Some(stamp) {
            return Ok(None);
        }
        state.2 += 1;
        Ok(Some(Contents { stamp, bytes: Zeroizing::new(bytes) }))
    }
}

fn file_settings(claim: &str, path: &str) -> Settings {
    Settings { name: "org".to_owned(), claim: claim.to_owned(), source: Source::File(path.into()), fold_case: false }
}

fn in_file(claim: &str, path: &str, files: &Arc<Memory>) -> Result<KeyBook, BadBook> {
    KeyBook::new(file_settings(claim, path), Fetch::new().unwrap(), Arc::clone(files) as Arc<dyn Files>)
}

fn claims(claims: &Value) -> Claims {
    Claims::from_json(claims.as_object().unwrap())
}

async fn find(book: &KeyBook, person: &Value, now: Timestamp) -> Result<String, KeyBookError> {
    let person = claims(person);
    book.find(&person.view(), now).await.map(|found| found.secret.expose_secret().to_owned())
}

#[tokio::test]
async fn a_key_is_found_by_the_claim_and_by_nothing_like_it() {
    let files = Memory::with("'1': sk-one\na@b.fr: sk-a\nadmin: sk-admin\nuser: sk-user\n'{\"a\":1}': sk-json\n");
    let book = in_file("c", "keys.yaml", &files).unwrap();
    assert_eq!(book.claim(), "c");
    for (person, expected) in [
        (json!({"c": "a@b.fr"}), Ok("sk-a")),
        (json!({"c": 1}), Ok("sk-one")),
        (json!({"c": ["nothing", "user", "admin"]}), Ok("sk-user")),
        (json!({"c": ["admin", "user"]}), Ok("sk-admin")),
        (json!({"c": ["", "admin"]}), Ok("sk-admin")),
        (json!({"c": "A@b.fr"}), Err(KeyBookError::NobodysKey)),
        (json!({"c": "a@b.fr "}), Err(KeyBookError::NobodysKey)),
        (json!({"c": "a@b.f"}), Err(KeyBookError::NobodysKey)),
        (json!({"c": ["x", "y"]}), Err(KeyBookError::NobodysKey)),
        (json!({"c": {"a": 1}}), Err(KeyBookError::NoClaim)),
        (json!({"c": ""}), Err(KeyBookError::NoClaim)),
        (json!({"c": []}), Err(KeyBookError::NoClaim)),
        (json!({"c": null}), Err(KeyBookError::NoClaim)),
        (json!({"C": "a@b.fr"}), Err(KeyBookError::NoClaim)),
    ] {
        assert_eq!(find(&book, &person, NOW).await, expected.map(str::to_owned), "{person}");
    }
    let folded = Settings { fold_case: true, ..file_settings("c", "k") };
    let book = KeyBook::new(folded, Fetch::new().unwrap(), files).unwrap();
    assert_eq!(find(&book, &json!({"c": "A@B.fr"}), NOW).await, Ok("sk-a".to_owned()));
    assert_eq!(find(&book, &json!({"c": "U\u{17f}ER"}), NOW).await, Err(KeyBookError::NobodysKey));
}

#[tokio::test]
async fn a_changed_file_is_read_again_after_a_few_seconds_and_an_unchanged_one_is_not() {
    let files = Memory::with("a: first\n");
    let book = in_file("c", "keys", &files).unwrap();
    let person = json!({"c": "a"});
    assert_eq!(find(&book, &person, NOW).await.unwrap(), "first");
    files.write("a: second\n");
    assert_eq!(find(&book, &person, Timestamp::from_unix(LATER.as_unix() - 1)).await.unwrap(), "first");
    assert_eq!(find(&book, &person, LATER).await.unwrap(), "second");
    for second in 0..60 {
        find(&book, &person, LATER.plus(Duration::from_secs(second))).await.unwrap();
    }
    assert_eq!(files.reads(), 2);
    files.write("b: third\n");
    // Also when the clock was set back.
    assert_eq!(find(&book, &person, NOW).await, Err(KeyBookError::NobodysKey));
    assert_eq!(find(&book, &json!({"c": "b"}), NOW).await.unwrap(), "third");
}

#[tokio::test]
async fn a_broken_new_version_changes_nothing_and_is_complained_about_once() {
    let files = Memory::with("a: s3cret-one\n");
    let book = in_file("c", "/etc/keys", &files).unwrap();
    let Keeper::File(shelf) = &book.keeper else { panic!() };
    let person = json!({"c": "a"});
    let mut now = NOW;
    let mut look = async || {
        now = now.plus(Duration::from_secs(5));
        let key = find(&book, &person, now).await.unwrap();
        (key, shelf.complaint().map(|complaint| complaint.to_string()))
    };
    for (text, said) in [
        ("", "expected one mapping"),
        ("a: s3cret-two\na: s3cret-three\n", "/etc/keys, line 2: this claim value is here for the second time"),
        ("a: \"s3cret\\nX-User: admin\"\n", "line 1: this key holds a line break"),
        ("a: s3cret-four\nb: [", "expected one mapping"),
    ] {
        files.write(text);
        let (key, complaint) = look().await;
        let complaint = complaint.unwrap();
        assert!(key == "s3cret-one" && complaint.contains(said), "{complaint}");
        assert!(!complaint.contains("s3cret"), "{complaint}");
        let reads = files.reads();
        assert_eq!(look().await.1, Some(complaint), "still wrong, and not said again");
        assert_eq!(files.reads(), reads, "and not read again");
    }
    files.remove();
    assert_eq!(look().await, ("s3cret-one".to_owned(), Some("the file /etc/keys does not exist".to_owned())));
    files.write("a: s3cret-five\n");
    assert_eq!(look().await, ("s3cret-five".to_owned(), None));
}

/// A file whose second reading takes until it is let go.
struct Slow {
    memory: Arc<Memory>,
    arrived: tokio::sync::mpsc::UnboundedSender<()>,
    go_on: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Files for Slow {
    fn read_unless(&self, path: &Path, known: Option<Stamp>) -> Result<Option<Contents>, Unreadable> {
        if known.is_some() {
            self.arrived.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
        self.memory.read_unless(path, known)
    }
}

#[tokio::test]
async fn a_file_that_hangs_holds_up_nobody_but_who_reads_it() {
    let memory = Memory::with("a: first\n");
    let (arrived, mut reading) = tokio::sync::mpsc::unbounded_channel();
    let (let_go, go_on) = std::sync::mpsc::channel();
    let slow = Arc::new(Slow { memory: Arc::clone(&memory), arrived, go_on: Mutex::new(go_on) });
    let book = KeyBook::new(file_settings("c", "keys"), Fetch::new().unwrap(), slow).unwrap();
    memory.write("a: second\n");
    let person = json!({"c": "a"});
    let (reader, ()) = tokio::join!(find(&book, &person, NOW), async {
        reading.recv().await.unwrap();
        for later in [0, 1, 5, 10] {
            let now = NOW.plus(Duration::from_secs(later));
            assert_eq!(find(&book, &person, now).await.unwrap(), "first");
        }
        let_go.send(()).unwrap();
    });
    assert_eq!(reader.unwrap(), "second");
    assert!(reading.try_recv().is_err(), "one reads at a time");
}

#[test]
fn a_missing_or_broken_file_is_no_book_to_start_with() {
    let open = |files: &Arc<Memory>| in_file("c", "/etc/keys.json", files).unwrap_err().to_string();
    assert_eq!(open(&Arc::default()), "the file /etc/keys.json does not exist");
    let said = open(&Memory::with("{\"a\": \"s3cret\",\n\"b\": \"\"}"));
    assert_eq!(said, "the file /etc/keys.json, line 2: there is no key behind this claim value");
    let said = open(&Memory::with("a: s3cret"));
    assert!(said.starts_with("the file /etc/keys.json, line 1: expected one mapping"), "{said}");
}

/// The time is that of a build without optimisation on a busy machine: it only must not grow with
/// the book.
#[tokio::test]
async fn a_hundred_thousand_entries_are_looked_up_in_one_step() {
    let member = |at: u32| format!("\"{:014}\": \"sk-{at}\"", u64::from(at) * 7);
    let text = format!("{{{}}}", (0..100_000).map(member).collect::<Vec<_>>().join(",\n"));
    let files = Memory::with(&text);
    let book = in_file("siret", "keys.json", &files).unwrap();
    #[expect(clippy::disallowed_methods, reason = "measures itself")]
    let start = Instant::now();
    for at in (0..100_000_u32).step_by(10) {
        let person = json!({"siret": format!("{:014}", u64::from(at) * 7)});
        assert_eq!(find(&book, &person, NOW).await.unwrap(), format!("sk-{at}"));
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(files.reads(), 1);
}

#[test]
fn a_look_up_can_move_between_threads() {
    fn sendable<T: Send>(_: T) {}
    let book = in_file("c", "keys", &Memory::with("a: x\n")).unwrap();
    let person = claims(&json!({"c": "a"}));
    sendable(book.find(&person.view(), NOW));
}

#[test]
fn nothing_secret_is_printed() {
    let files = Memory::with("siret-value: s3cret\n");
    let book = in_file("c", "keys", &files).unwrap();
    let bearer = Some("s3cret-bearer".into());
    let endpoint = Endpoint { url: "https://keys.test/find".parse().unwrap(), bearer, timeout: Duration::ZERO };
    let found = Found { secret: "s3cret".into(), until: None };
    let printed = format!("{book:?} {endpoint:?} {found:?}");
    assert!(!printed.contains("s3cret") && !printed.contains("siret-value"), "{printed}");
}

/// An endpoint whose answers are set by claim value; what it is asked is kept.
#[derive(Clone, Default)]
struct Stub(Arc<Mutex<StubState>>);

#[derive(Default)]
struct StubState {
    answers: Vec<(&'static str, u16, String)>,
    asked: Vec<(Option<String>, Value)>,
}

impl Stub {
    async fn start(self) -> (Self, Url) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/find", listener.local_addr().unwrap()).parse().unwrap();
        let routes = axum::Router::new()
            .route("/find", axum::routing::post(answer))
            .route("/elsewhere", axum::routing::any(|| async { r#"{"key": "sk-elsewhere"}"# }))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (self, url)
    }

    fn answering(self, value: &'static str, status: u16, body: &impl ToString) -> Self {
        self.0.lock().unwrap().answers.push((value, status, body.to_string()));
        self
    }

    fn asked(&self) -> Vec<(Option<String>, Value)> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

async fn answer(State(stub): State<Stub>, headers: HeaderMap, body: bytes::Bytes) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let question: Value = serde_json::from_slice(&body).unwrap();
    let mut state = stub.0.lock().unwrap();
    let value = question["value"].as_str().unwrap();
    let set = state.answers.iter().find(|(of, ..)| *of == value);
    let (status, body) = set.map_or((404, String::new()), |(_, status, body)| (*status, body.clone()));
    state.asked.push((authorization, question));
    (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")], body).into_response()
}

fn behind(url: Url, bearer: Option<&str>, fold_case: bool) -> KeyBook {
    let endpoint = Endpoint { url, bearer: bearer.map(Into::into), timeout: Duration::from_secs(10) };
    let source = Source::Http(endpoint);
    let settings = Settings { name: "org".to_owned(), claim: "c".to_owned(), source, fold_case };
    KeyBook::new(settings, Fetch::new().unwrap(), Arc::new(Memory::default())).unwrap()
}

#[tokio::test]
async fn an_endpoint_is_asked_in_the_body_and_never_in_the_address() {
    let expires = NOW.as_unix() + 60;
    let stub = Stub::default()
        .answering("a@b.fr", 200, &json!({"key": "sk-a", "expires": expires, "more": [1]}))
        .answering("Admin", 200, &json!({"key": "sk-admin", "expires": null}));
    let (stub, url) = stub.start().await;
    let book = behind(url.clone(), Some("the-bearer"), true);
    let person = claims(&json!({"c": "A@b.fr"}));
    let found = book.find(&person.view(), NOW).await.unwrap();
    assert_eq!((found.secret.expose_secret(), found.until), ("sk-a", Some(Timestamp::from_unix(expires))));
    let question = json!({"claim": "c", "value": "a@b.fr"});
    assert_eq!(stub.asked(), [(Some("Bearer the-bearer".to_owned()), question)]);

    // A list: one after the other, until there is a key.
    let book = behind(url, None, false);
    assert_eq!(find(&book, &json!({"c": ["x", "Admin", "a@b.fr"]}), NOW).await.unwrap(), "sk-admin");
    let asked = stub.asked();
    assert_eq!(
        asked.iter().map(|(_, question)| question["value"].as_str().unwrap()).collect::<Vec<_>>(),
        ["x", "Admin"]
    );
    assert_eq!(asked[0].0, None);
    let many: Vec<String> = (0..100).map(|at| at.to_string()).collect();
    assert_eq!(find(&book, &json!({"c": many}), NOW).await, Err(KeyBookError::NobodysKey));
    assert_eq!(stub.asked().len(), MOST_CALLS);
    assert_eq!(find(&book, &json!({}), NOW).await, Err(KeyBookError::NoClaim));
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn every_other_answer_is_an_error_by_its_cause() {
    use KeyBookError as E;
    let late = NOW.as_unix();
    let malformed = Err(E::Malformed(""));
    for (status, body, expected) in [
        (200, r#"{"key": "sk-a"}"#.to_owned(), Ok("sk-a")),
        (404, r#"{"key": "sk-a"}"#.to_owned(), Err(E::NobodysKey)),
        (201, r#"{"key": "sk-a"}"#.to_owned(), Err(E::Status(201))),
        (204, String::new(), Err(E::Status(204))),
        // Not followed: whoever the endpoint points at is not who was configured.
        (302, String::new(), Err(E::Status(302))),
        (307, String::new(), Err(E::Status(307))),
        (401, "s3cret".to_owned(), Err(E::Status(401))),
        (500, "s3cret".to_owned(), Err(E::Status(500))),
        (200, String::new(), malformed.clone()),
        (200, "sk-s3cret".to_owned(), malformed.clone()),
        (200, r#"["sk-s3cret", null]"#.to_owned(), malformed.clone()),
        (200, "{}".to_owned(), malformed.clone()),
        (200, r#"{"key": null}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": ""}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": "s3cret", "key": "other"}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": "s3cret\r\nX-User: admin"}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": "s3cret\n"}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": " s3cret"}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": "s3crét"}"#.to_owned(), malformed.clone()),
        (200, json!({"key": "k".repeat(LONGEST_KEY + 1)}).to_string(), malformed.clone()),
        (200, json!({"key": "s3cret", "expires": late}).to_string(), malformed.clone()),
        (200, json!({"key": "s3cret", "expires": "soon"}).to_string(), malformed.clone()),
        (200, json!({"key": "s3cret", "expires": -1}).to_string(), malformed.clone()),
        // Echoes: of the value, and of our own secret.
        (200, r#"{"key": "asked-value"}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": "ASKED-value"}"#.to_owned(), malformed.clone()),
        (200, r#"{"key": "the-bearer"}"#.to_owned(), malformed.clone()),
    ] {
        let (_, url) = Stub::default().answering("asked-value", status, &body).start().await;
        let book = behind(url, Some("the-bearer"), false);
        match (find(&book, &json!({"c": "asked-value"}), NOW).await, expected) {
            (Err(E::Malformed(_)), Err(E::Malformed(_))) => {}
            (found, expected) => assert_eq!(found, expected.map(str::to_owned), "{status} {body}"),
        }
    }
}

#[tokio::test]
async fn a_failure_at_one_value_is_not_passed_over_to_the_next() {
    let stub = Stub::default().answering("admin", 503, &"").answering("user", 200, &json!({"key": "sk-user"}));
    let (stub, url) = stub.start().await;
    let found = find(&behind(url, None, false), &json!({"c": ["admin", "user"]}), NOW).await;
    assert_eq!(found, Err(KeyBookError::Status(503)));
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn errors_are_outages_or_the_operators_or_the_persons() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/find", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let unreachable = find(&behind(url, None, false), &json!({"c": "s3cret"}), NOW).await.unwrap_err();
    assert!(matches!(unreachable, KeyBookError::Unreachable(_)) && !unreachable.to_string().contains("s3cret"));
    for (error, outage, operators) in [
        (unreachable, true, false),
        (KeyBookError::Status(500), true, false),
        (KeyBookError::Status(503), true, false),
        (KeyBookError::Status(429), true, false),
        (KeyBookError::Status(401), false, true),
        (KeyBookError::Status(302), false, true),
        (KeyBookError::Malformed("x"), false, true),
        (KeyBookError::NoClaim, false, false),
        (KeyBookError::NobodysKey, false, false),
    ] {
        assert_eq!((error.is_outage(), error.is_misconfiguration()), (outage, operators), "{error:?}");
    }
}
