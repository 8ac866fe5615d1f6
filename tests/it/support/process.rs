//! The program as a process: for what only a process can show, such as its end, its signals and
//! its exit code. It listens on whatever ports the system gives; `binary` is for browsers, which
//! must know the port beforehand.

use super::running::Running;
use super::site::{SESSION_KEY, agent, registration};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use vestibule::clock::Clock;
use vestibule::demo::Provider;
use vestibule::demo::provider::ProviderSettings;
use vestibule::random::SystemRandom;

/// `vestibule serve`, running. Ends when dropped.
pub(crate) struct Process {
    pub(crate) running: Running,
    /// Where it said that it listens: `http://127.0.0.1:40123`, `unix:/…`.
    pub(crate) proxy: String,
    pub(crate) admin: String,
    _folder: TempDir,
}

/// A configuration that is good: one upstream, everything open, whatever ports the system gives.
/// `proxy` is the proxy listener, `more` further top-level keys.
pub(crate) fn configuration(proxy: &str, upstream: &str, more: &str) -> String {
    format!(
        "public_url: https://app.example\n\
         listeners: {{proxy: {proxy}, admin: \"127.0.0.2:0\"}}\n\
         providers: {{nobody: {{issuer: \"https://127.0.0.1:9\", client_id: app, client_authentication: none}}}}\n\
         session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
         upstreams: {{app: {{url: \"{upstream}\", timeouts: {{connect: 3m}}}}}}\n\
         routes: [{{path: /**, access: public, upstream: app}}]\n{more}"
    )
}

/// Runs a command of the program to its end, in `folder`.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).stdin(Stdio::null()).output().unwrap()
}

/// The same with this for its standard output.
pub(crate) fn run_into(folder: &Path, arguments: &[&str], out: impl Into<Stdio>) -> Output {
    let child = command(folder, arguments).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).spawn();
    child.unwrap().wait_with_output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(arguments).current_dir(folder).env("SESSION_KEY", SESSION_KEY);
    command
}

/// A provider that goes by the clock on the wall, as programs do, and signs in our agent.
pub(crate) async fn provider_for_programs() -> Provider {
    let settings = ProviderSettings { clients: vec![registration()], ..ProviderSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new())).unwrap();
    provider.sign_in_as(agent());
    provider
}

impl Process {
    /// Serves with this configuration, once it listens.
    pub(crate) async fn serve(configuration: &str) -> Self {
        Self::serve_with(configuration, &[]).await
    }

    /// The same with further environment variables.
    pub(crate) async fn serve_with(configuration: &str, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("vestibule.yaml"), configuration).unwrap();
        let mut command = command(folder.path(), &["serve", "--config", "vestibule.yaml"]);
        command.envs(environment.iter().copied());
        let mut running = Running::start("vestibule", &command);
        let (proxy, admin) = running
            .ready(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                let text = |key: &str| line[key].as_str().map(str::to_owned);
                Some((text("proxy")?, text("admin")?))
            })
            .await;
        Self { running, proxy, admin, _folder: folder }
    }

    /// Where the proxy listens, where that is TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.split_once("://").unwrap().1.parse().unwrap()
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin.split_once("://").unwrap().1.parse().unwrap()
    }
}
