//! Session keys that change under a sidecar that runs: nobody is signed out, a key ends when it
//! should, and files that cannot be used change nothing. And the command that makes keys.

use crate::support::client::{Answer, Client};
use crate::support::echo::Echo;
use crate::support::log_watch::{fault_of, never_logged};
use crate::support::ports::free_port;
use crate::support::process::provider_for_programs;
use crate::support::running::Running;
use crate::support::shown::{SESSION, email_at_app, parameter};
use crate::support::site::{CLIENT_SECRET, ORIGIN, Setup, Site};
use crate::support::waiting::in_time;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use vestibule::demo::Provider;

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";

fn vestibule(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A key as the program makes it, which no log line may hold.
fn new_key() -> String {
    let key = text(&vestibule(&["keys", "new"]).output().unwrap().stdout).trim().to_owned();
    never_logged(&key);
    key
}

/// The files of a ring: the key that seals, the one that comes, the one that was.
struct KeyFiles(TempDir);

impl KeyFiles {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for name in ["current", "next", "before"] {
            files.write(name, &new_key());
        }
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// What the guide says: each key moves on by one, and a new one comes.
    fn rotate(&self) {
        std::fs::rename(self.path("current"), self.path("before")).unwrap();
        std::fs::rename(self.path("next"), self.path("current")).unwrap();
        self.write("next", &new_key());
    }

    /// The configuration; `until` is the end of the former key.
    fn yaml(&self, until: &str) -> String {
        let key = |name: &str, until: &str| {
            format!("    - {{id: {name}, secret: {{file: {}}}{until}}}\n", self.path(name).display())
        };
        let keys = [key("current", ""), key("next", ""), key("before", until)].concat();
        format!("session:\n  keys:\n{keys}")
    }
}

/// The new value of the identity cookie, where the answer sets one.
fn renewed(answer: &Answer) -> Option<String> {
    let start = format!("{SESSION}=");
    let set = answer.set_cookies().into_iter().find_map(|cookie| Some(cookie.strip_prefix(&start)?.to_owned()));
    set.map(|cookie| cookie.split(';').next().unwrap().to_owned())
}

/// Asks with this cookie until an answer renews it, and gives the new one. Every answer must be
/// the app's.
async fn renewal_of(client: &Client, cookie: &str) -> String {
    let asked = async {
        loop {
            client.set_cookie(SESSION, cookie);
            let answer = client.fetch("/").await;
            assert_eq!(email_at_app(&answer).as_deref(), Some(EMAIL));
            if let Some(renewed) = renewed(&answer) {
                return renewed;
            }
        }
    };
    in_time("a renewal", asked).await
}

async fn status_with(client: &Client, cookie: &str) -> u16 {
    client.set_cookie(SESSION, cookie);
    client.fetch("/").await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_signs_nobody_out_and_the_former_key_ends_to_the_second() {
    let files = KeyFiles::new();
    // Half an hour after the clock's start.
    let site = Site::with(Setup { more: files.yaml(", until: 2026-11-18T11:36:40Z"), ..Setup::default() }).await;
    let client = site.signed_in().await;
    let old = client.cookie(SESSION).unwrap();
    assert_eq!(renewed(&client.fetch("/").await), None);

    files.rotate();
    site.reread_keys.notify_one();
    let new = renewal_of(&client, &old).await;
    assert_eq!(renewed(&client.fetch("/").await), None, "sealed anew once");
    assert_eq!(status_with(&client, &old).await, 200, "late requests of other tabs");

    site.clock.advance(Duration::from_secs(1799));
    assert_eq!((status_with(&client, &old).await, status_with(&client, &new).await), (200, 200));
    site.clock.advance(Duration::from_secs(1));
    assert_eq!((status_with(&client, &old).await, status_with(&client, &new).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_files_change_one_after_the_other_understand_each_other() {
    let files = [KeyFiles::new(), KeyFiles::new()];
    for name in ["current", "next", "before"] {
        std::fs::copy(files[0].path(name), files[1].path(name)).unwrap();
    }
    let one = Site::with(Setup { more: files[0].yaml(""), ..Setup::default() }).await;
    let issuer = Some(one.provider.issuer().to_owned());
    let other = Site::with(Setup { more: files[1].yaml(""), issuer, ..Setup::default() }).await;
    let client = one.signed_in().await;
    let old = client.cookie(SESSION).unwrap();

    files[0].rotate();
    one.reread_keys.notify_one();
    let new = renewal_of(&client, &old).await;
    // The other has not seen the change, and opens what the first one seals.
    let there = other.client();
    assert_eq!(status_with(&there, &old).await, 200);
    let back = renewal_of(&there, &new).await;
    assert_eq!(status_with(&client, &back).await, 200);
    // The tokens came along: the provider is told who signs out.
    assert!(parameter(client.submit("/oauth2/sign_out", "").await.location(), "id_token_hint").is_some());
}

/// The program, with its keys in files, in front of the echo app.
struct Program {
    process: Running,
    address: SocketAddr,
    files: KeyFiles,
    _echo: Echo,
    _provider: Provider,
}

impl Program {
    async fn serve() -> Self {
        let files = KeyFiles::new();
        let provider = provider_for_programs().await;
        let echo = Echo::start().await;
        let port = free_port();
        let yaml = format!(
            "public_url: {ORIGIN}\n\
             listeners: {{proxy: \"127.0.0.1:{port}\", admin: \"127.0.0.1:0\"}}\n\
             providers:\n  proconnect:\n    preset: proconnect\n    issuer: {}\n    client_id: app\n    \
             client_secret: {{env: CLIENT_SECRET}}\n\
             upstreams: {{app: {{url: \"http://{}\"}}}}\n\
             routes: [{{path: /**, upstream: app}}]\n{}",
            provider.issuer(),
            echo.address,
            files.yaml("")
        );
        files.write("vestibule.yaml", &yaml);
        let mut command = vestibule(&["serve", "--config"]);
        command.arg(files.path("vestibule.yaml")).env("CLIENT_SECRET", CLIENT_SECRET);
        let mut process = Running::start("vestibule", &command);
        process.ready(|line| line.contains(r#""message":"listening""#).then_some(())).await;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { process, address, files, _echo: echo, _provider: provider }
    }

    /// Tells it to read its files, and waits for a log line with this message.
    async fn reread(&mut self, message: &str) -> serde_json::Value {
        self.process.signal("HUP");
        self.log_line(message).await
    }

    async fn log_line(&mut self, message: &str) -> serde_json::Value {
        let line = self.process.ready(|line| line.contains(message).then(|| line.to_owned())).await;
        serde_json::from_str(&line).unwrap()
    }
}

const STAYS: &str = "the session keys from before stay in use";
const SEALS: &str = "a new session key seals from now on";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_goes_on_with_the_keys_it_has_and_says_once_why() {
    let mut program = Program::serve().await;
    let client = Client::new(program.address);
    assert_eq!(email_at_app(&client.browse("/").await).as_deref(), Some(EMAIL));
    let old = client.cookie(SESSION).unwrap();
    let current = program.files.path("current");
    let good = std::fs::read_to_string(&current).unwrap();

    // Half of the key that comes next, as one sees it who reads while another writes.
    program.files.write("current", &new_key()[..20]);
    let line = program.reread(STAYS).await;
    assert_eq!((&line["level"], &line["files"]), (&"ERROR".into(), &current.display().to_string().into()));
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with("session.keys[0].secret: holds 15 bytes"), "{message}");
    for _ in 0..5 {
        program.process.signal("HUP");
        assert_eq!(status_with(&client, &old).await, 200);
    }
    std::fs::remove_file(&current).unwrap();
    let line = program.reread(STAYS).await;
    assert!(line["message"].as_str().unwrap().contains("does not exist"), "{line}");
    program.files.write("current", &good);
    program.reread("the session keys can be read again and are the same").await;
    assert_eq!((status_with(&client, &old).await, renewed(&client.fetch("/").await)), (200, None));

    program.files.rotate();
    let line = program.reread(SEALS).await;
    assert_eq!(line["level"], "INFO");
    let new = renewal_of(&client, &old).await;
    // Without being told, from the files alone.
    program.files.rotate();
    program.log_line(SEALS).await;
    assert_eq!((status_with(&client, &old).await, status_with(&client, &new).await), (401, 200));

    let output = program.process.output();
    let complaints: Vec<&str> = output.lines().filter(|line| line.contains(STAYS)).collect();
    assert!(complaints.len() >= 2, "{complaints:?}");
    assert_eq!(complaints.iter().filter(|line| line.contains("holds 15 bytes")).count(), 1, "{complaints:?}");
    for line in output.lines() {
        assert_eq!(fault_of(line), None, "{line}");
    }
}

fn check(file: &Path, stdin: Stdio) -> Output {
    vestibule(&["check", "--config"]).arg(file).env("CLIENT_SECRET", CLIENT_SECRET).stdin(stdin).output().unwrap()
}

/// A configuration with this list of keys.
fn configuration(keys: &str) -> String {
    format!(
        "public_url: https://app.example\n\
         providers: {{p: {{issuer: https://login.example, client_id: c, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
         upstreams: {{app: {{url: \"http://127.0.0.1:8501\"}}}}\n\
         routes: [{{path: /**, upstream: app}}]\n\
         session:\n  keys:\n{keys}\n"
    )
}

#[test]
fn a_new_key_goes_straight_into_a_file_or_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vestibule.yaml");

    std::fs::write(&file, configuration("  - {id: piped, secret: {file: /dev/stdin}}")).unwrap();
    let mut making = vestibule(&["keys", "new"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let checked = check(&file, making.stdout.take().unwrap().into());
    assert!(making.wait().unwrap().success());
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert_eq!(text(&checked.stdout), format!("{}: the configuration is good\n", file.display()));

    let made = vestibule(&["keys", "new", "--id", "2027.spring"]).output().unwrap();
    let (key, hint) = (text(&made.stdout), text(&made.stderr));
    assert_eq!((key.len(), key.lines().count()), (44, 1), "the key, a line break, and nothing else");
    assert!(!hint.contains(key.trim()), "{hint}");
    assert_ne!(key, text(&vestibule(&["keys", "new"]).output().unwrap().stdout));

    // What the hint says, done.
    let secret = directory.path().join("session-key");
    std::fs::write(&secret, key).unwrap();
    let item = hint.lines().find(|line| line.trim().starts_with("- {id: \"2027.spring\"")).expect(hint);
    std::fs::write(&file, configuration(&item.replace("/run/secrets/session-key", secret.to_str().unwrap()))).unwrap();
    let checked = check(&file, Stdio::null());
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn a_key_s_name_is_checked_before_a_key_is_made() {
    let long = "x".repeat(33);
    for name in ["", "a b", "é", "a/b", long.as_str()] {
        let refused = vestibule(&["keys", "new", "--id", name]).output().unwrap();
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{name}");
    }
}
