//! The program itself, as people start it: `vestibule serve` with a configuration file and its
//! secrets in files and in the environment, and `vestibule demo`.
//!
//! Whatever it logged is looked through when it ends, as the watch does for the sidecars that run
//! inside the test process.

use super::log_watch;
use super::running::Running;
use super::site::SESSION_KEY;
use super::waiting::until;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The configuration's name.
const FILE: &str = "vestibule.yaml";

/// The program, running.
pub(crate) struct Vestibule {
    /// Where browsers reach it: `http://localhost:{port}`.
    pub(crate) origin: String,
    /// None while it is stopped.
    process: Option<Running>,
    /// Holds the configuration and its secrets; removed when dropped.
    directory: TempDir,
    /// What it printed before it was last stopped.
    printed: String,
}

/// What of a configuration is particular to a test.
pub(crate) struct Configuration<'a> {
    pub(crate) port: u16,
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: &'a str,
    /// Further keys of the provider, each line indented by four spaces.
    pub(crate) provider: &'a str,
    /// The app's address.
    pub(crate) upstream: &'a str,
    /// Further upstreams, each line indented by two spaces.
    pub(crate) upstreams: &'a str,
    /// Routes in the place of the usual ones, as a list in brackets.
    pub(crate) routes: Option<&'a str>,
    /// Further top-level keys.
    pub(crate) more: &'a str,
}

/// `/health` for everybody, and all else for the signed in.
const ROUTES: &str = "[{path: /health, access: public, upstream: app}, {path: /**, upstream: app}]";

impl Configuration<'_> {
    fn yaml(&self, secrets: &Path) -> String {
        format!(
            r#"public_url: http://localhost:{port}
listeners: {{proxy: "127.0.0.1:{port}", admin: "127.0.0.1:0"}}
providers:
  proconnect:
    preset: proconnect
    issuer: {issuer}
    client_id: {client_id}
    client_secret: {{file: {secrets}/client-secret}}
    timeout: 3m
{provider}
session:
  keys: [{{id: one, secret: {{env: SESSION_KEY}}}}]
upstreams:
  app: {{url: "{upstream}", timeouts: {{connect: 3m}}}}
{upstreams}
routes: {routes}
identity:
  headers:
    X-Auth-Request-User: "{{sub}}"
    X-Auth-Request-Email: "{{email}}"
    X-Auth-Request-Preferred-Username: "{{given_name}} {{usual_name}}"
    X-Auth-Request-Groups: "{{roles}}"
log: {{level: trace}}
{more}
"#,
            port = self.port,
            issuer = self.issuer,
            client_id = self.client_id,
            secrets = secrets.display(),
            provider = self.provider,
            upstream = self.upstream,
            upstreams = self.upstreams,
            routes = self.routes.unwrap_or(ROUTES),
            more = self.more,
        )
    }
}

impl Vestibule {
    /// `vestibule serve`, once it listens.
    pub(crate) async fn serve(configuration: &Configuration<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), configuration.yaml(directory.path())).unwrap();
        std::fs::write(directory.path().join("client-secret"), format!("{}\n", configuration.client_secret)).unwrap();
        log_watch::never_logged(configuration.client_secret);
        log_watch::never_logged(SESSION_KEY);

        let origin = format!("http://localhost:{}", configuration.port);
        let mut vestibule = Self { origin, process: None, directory, printed: String::new() };
        vestibule.start_again().await;
        vestibule
    }

    /// Starts it with the same configuration, and waits until it listens.
    pub(crate) async fn start_again(&mut self) {
        self.stop();
        let mut command = program();
        command.args(["serve", "--config"]).arg(self.directory.path().join(FILE)).env("SESSION_KEY", SESSION_KEY);
        let mut process = Running::start("vestibule", &command);
        process.ready(|line| line.contains(r#""message":"listening""#).then_some(())).await;
        self.process = Some(process);
    }

    /// Ends it, as a crash would; from now on connections are refused.
    pub(crate) fn stop(&mut self) {
        self.printed = self.output();
        self.process = None;
    }

    /// `vestibule demo`, once it says where to go.
    pub(crate) async fn demo(port: u16) -> Self {
        let mut process = Running::start("vestibule", program().args(["demo", "--port", &port.to_string()]));
        let origin = process.ready(|line| Some(line.split_once("open ")?.1.trim_end_matches('/').to_owned())).await;
        Self { origin, process: Some(process), directory: tempfile::tempdir().unwrap(), printed: String::new() }
    }

    /// Everything that it printed so far.
    pub(crate) fn output(&self) -> String {
        let now = self.process.as_ref().map(Running::output).unwrap_or_default();
        [self.printed.as_str(), now.as_str()].join("\n")
    }

    /// The first access line of a request for `path` that `is_it` recognises, once it is written:
    /// shortly after its answer is sent.
    pub(crate) async fn access_line(
        &self,
        path: &str,
        is_it: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let found = || self.access_lines(path).into_iter().find(|line| is_it(line));
        until(&format!("{path} is logged"), async || found().is_some()).await;
        found().unwrap()
    }

    /// The access lines so far of requests for `path`.
    pub(crate) fn access_lines(&self, path: &str) -> Vec<serde_json::Value> {
        let lines = self.output();
        let access = lines.lines().filter(|line| line.contains("vestibule::access"));
        let lines = access.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|line| line["path"] == path).collect()
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vestibule"))
}

impl Drop for Vestibule {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut faults = String::new();
        for line in self.output().lines() {
            if let Some(fault) = log_watch::fault_of(line) {
                let _ = writeln!(faults, "{fault:?} in {line}");
            }
        }
        assert!(faults.is_empty(), "a log line holds what must never be logged:\n{faults}");
    }
}
