//! What each command does. Called by `main` only; prints for people, and says by its exit code
//! whether it worked: 0, or 1 with the reason on standard error.

mod admin_address;
mod door;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod import;
mod import_albert;
mod import_oauth2_proxy;
pub(crate) mod licences;
mod say;
pub(crate) mod seats;
pub(crate) mod sessions;

use base64::Engine;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use vestibule::app::App;
use vestibule::bearer::{self, Bearers};
use vestibule::clock::Clock;
use vestibule::config::{self, Config, Environment, SystemEnvironment, SystemFiles};
use vestibule::credentials::albert::{Albert, Reference};
use vestibule::credentials::key_book::{Files, KeyBook};
use vestibule::credentials::{Kind, StartError};
use vestibule::fetch::Fetch;
use vestibule::oidc::{self, Provider};
use vestibule::random::{self, Random, SystemRandom};
use vestibule::{demo, signing, telemetry};

/// Why a command failed, in words.
type Failure = Box<dyn std::error::Error>;

fn exit(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::note(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn serve(paths: &[PathBuf]) -> ExitCode {
    exit(load(paths).and_then(|config| {
        telemetry::init(&config.telemetry)?;
        for finding in config.findings() {
            let (key, file, line, name) = (&finding.path, &finding.file, finding.line, finding.code.name());
            tracing::warn!(%key, file, line, finding = name, "{}", finding.message);
        }
        let threads = config.server.threads;
        on_runtime(threads, async {
            let mut app = App::build(config, Clock::System, Arc::new(SystemRandom::new()))?;
            let (reread_keys, mut hangup) = (app.reread_keys(), signal(SignalKind::hangup())?);
            let paths = paths.to_vec();
            let reloads = app.reload_from(move || config::load(&paths, &SystemEnvironment));
            let told_to_reread = async move {
                while hangup.recv().await.is_some() {
                    reread_keys.notify_one();
                    // The log says what comes of it.
                    reloads.ask().await;
                }
            };
            tokio::spawn(told_to_reread);
            app.run(told_to_stop()?).await;
            Ok(())
        })
    }))
}

pub(crate) fn check(paths: &[PathBuf], online: bool, deny_findings: bool) -> ExitCode {
    exit(load(paths).and_then(|config| {
        for finding in config.findings() {
            say::line(&finding.to_string())?;
        }
        for (finding, because) in config.accepted() {
            say::line(&format!("{finding}: accepted, because {because}"))?;
        }
        config.each_site().try_for_each(read_key_books)?;
        if online {
            on_runtime(Some(1), async {
                for site in config.each_site() {
                    if let Some(name) = &site.site {
                        say::line(&format!("{name}: {}", site.public_url.origin()))?;
                    }
                    ask_providers(site).await?;
                    ask_issuers(site).await?;
                    ask_apis(site).await?;
                }
                Ok(())
            })?;
        }
        let count = config.findings().len();
        if deny_findings && count > 0 {
            return Err(format!("{}: {}", names(paths), denied(count)).into());
        }
        say::line(&format!("{}: the configuration is good", names(paths)))
    }))
}

/// What `--deny-findings` says of findings that nothing accepts.
fn denied(count: usize) -> String {
    let findings = if count == 1 { "1 finding".to_owned() } else { format!("{count} findings") };
    format!("{findings}; change what they are about, or accept them (docs/findings.md)")
}

/// Reads the key books as `serve` does at its start. All that are wrong are said, a line each.
fn read_key_books(config: &Config) -> Result<(), Failure> {
    let (fetch, files): (_, Arc<dyn Files>) = (Fetch::new()?, Arc::new(SystemFiles));
    let bad = config.credentials.iter().filter_map(|settings| {
        let Kind::Keys { settings: book, .. } = &settings.kind else { return None };
        let cause = KeyBook::new(book.clone(), fetch.clone(), Arc::clone(&files)).err()?;
        Some(StartError::KeyBook { name: settings.name.clone(), cause }.to_string())
    });
    let bad: Vec<String> = bad.collect();
    if bad.is_empty() { Ok(()) } else { Err(bad.join("\n").into()) }
}

/// Asks each provider. All that is wrong is said, a line each.
async fn ask_providers(config: &Config) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for provider in &config.providers {
        if let Err(failure) = ask_provider(provider).await {
            wrong.push(failure.to_string());
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

async fn ask_provider(settings: &oidc::Settings) -> Result<(), Failure> {
    let provider = Provider::new(settings.clone(), Fetch::new()?);
    let (name, issuer) = (&settings.name, &settings.issuer);
    let found = provider.examine(Clock::System.now()).await.map_err(|error| {
        let hint = if error.is_about_discovery() {
            format!("; for a provider without discovery, write providers.{name}.endpoints")
        } else {
            String::new()
        };
        format!("{issuer}: {error}{hint}")
    })?;
    let algorithms = found.id_token_algorithms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !found.can_verify() {
        let what = if algorithms.is_empty() {
            "announces no algorithm for ID tokens that can be used".to_owned()
        } else {
            format!("has no key for ID tokens signed with {algorithms} at {}", found.jwks_uri)
        };
        return Err(format!("{issuer}: the provider {what}; see providers.{name}.id_token_algorithms").into());
    }
    if found.by_hand {
        say::line(&format!(
            "{issuer}: {} answers with keys; the other endpoints are written by hand and not tried",
            found.jwks_uri
        ))?;
    } else {
        say::line(&format!("{issuer}: the provider answers with metadata and keys"))?;
    }
    say::line(&format!("{issuer}: ID tokens may be signed with {algorithms}"))
}

/// Fetches the keys of those who issue access tokens to API clients.
async fn ask_issuers(config: &Config) -> Result<(), Failure> {
    if config.bearers.is_empty() {
        return Ok(());
    }
    let bearers = Bearers::new(config.bearers.clone(), [], &Fetch::new()?);
    bearers.prepare(Clock::System.now()).await.map_err(|(name, error)| format!("bearer {name}: {error}"))?;
    say::line("the keys of every issuer under `bearer` are there")
}

/// Tries the admin bearer of each Albert API. All that is wrong is said, a line each.
async fn ask_apis(config: &Config) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for settings in &config.credentials {
        let (Kind::Albert { settings: api, .. }, name) = (&settings.kind, &settings.name) else { continue };
        let url = &api.url;
        match Albert::new(api.clone(), Fetch::new()?).examine().await {
            Ok(found) => {
                let version =
                    found.version.map(|version| format!(", which calls itself {version}")).unwrap_or_default();
                say::line(&format!(
                    "{url}: the admin bearer is accepted; the admin interface is {}{version}",
                    found.dialect
                ))?;
                for role in &found.administrative_roles {
                    say::line(&format!(
                        "{url}: the role {role} makes administrators of those who get it (credentials {name})"
                    ))?;
                }
                let missing = |what: &str, all: &[Reference]| -> Vec<String> {
                    all.iter().map(|one| format!("credentials {name}: {url} has no {what} {one}")).collect()
                };
                wrong.extend(missing("role", &found.missing_roles));
                wrong.extend(missing("organisation", &found.missing_organizations));
            }
            Err(error) => wrong.push(format!("credentials {name}: {url}: {error}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// The key alone on standard output, to be redirected into its file; what to do with it beside it.
pub(crate) fn new_key(id: Option<&str>) -> ExitCode {
    exit(fresh_key(&SystemRandom::new()).map_err(Into::into).and_then(|key| {
        say::line(&key)?;
        let of_today = || Clock::System.now().date();
        let id = id.map_or_else(of_today, str::to_owned);
        say::note("Keep it in a file that only Vestibule can read, and put it first under session.keys:");
        say::note(&format!("  - {{id: \"{id}\", secret: {{file: /run/secrets/session-key}}}}"));
        say::note("Keys that were there before stay behind it, so that nobody is signed out (docs/keys.md).");
        Ok(())
    }))
}

/// The key alone on standard output, to be redirected into its file; what to do with it beside it.
pub(crate) fn new_signing_key() -> ExitCode {
    exit(signing::new_key().map_err(Into::into).and_then(|key| {
        say::print(&key)?;
        say::note("Keep it in a file that only Vestibule can read, and put it into a list of keys of its own:");
        say::note("  identity: {assertion: {keys: [{key: {file: /run/secrets/signing-key.pem}}]}}");
        say::note("The public half is then published at /oauth2/jwks (docs/assertion.md).");
        Ok(())
    }))
}

/// The key alone on standard output, to be given to its program; its hash beside it.
pub(crate) fn new_service_key(name: &str) -> ExitCode {
    exit(fresh_key(&SystemRandom::new()).map_err(Into::into).and_then(|random| {
        // By its beginning a scanner finds one that was put where it does not belong, too.
        let key = format!("{}{random}", bearer::PREFIX);
        let hash = bearer::hash_of(&key);
        say::line(&key)?;
        say::note("Give it to that program alone, which sends it as Authorization: Bearer. In the configuration,");
        say::note("below a rule with kind: keys (docs/bearer.md), goes its hash, which opens nothing:");
        say::note(&format!("  - {{name: \"{name}\", sha256: \"{hash}\"}}"));
        Ok(())
    }))
}

pub(crate) fn schema() -> ExitCode {
    exit(say::line(&format!("{:#}", config::schema())))
}

pub(crate) fn demo(port: u16) -> ExitCode {
    exit(on_runtime(None, async {
        telemetry::init(&telemetry::Settings { format: telemetry::Format::Pretty, level: "warn".to_owned() })?;
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        // `localhost` and the two others are three sites to a browser, as they are in life: cookies
        // of the app do not reach the provider although both are on one machine.
        let public_url = format!("http://localhost:{port}");
        let parts = demo::start(
            Clock::System,
            Arc::clone(&random),
            TcpListener::bind("127.0.0.1:0").await?,
            TcpListener::bind("127.0.0.1:0").await?,
            &format!("{public_url}/oauth2/callback"),
            &format!("{public_url}/oauth2/signed_out"),
            demo::LogoutUris {
                backchannel: Some(format!("{public_url}/oauth2/backchannel_logout")),
                frontchannel: Some(format!("{public_url}/oauth2/frontchannel_logout")),
            },
        )?;
        let text = demo::configuration(&parts, port);
        let config =
            config::from_text("demo.yaml", &text, &DemoSecrets { session_key: fresh_key(&*random)?, parts: &parts })?;
        let app = App::build(config, Clock::System, random)?;
        say::line(&format!("Vestibule demo: open {public_url}/"))?;
        say::line("  (a ProConnect-like provider and a small app are behind it; stop with Ctrl-C)")?;
        app.run(told_to_stop()?).await;
        Ok(())
    }))
}

/// The two secrets of the demo, made afresh at each start.
struct DemoSecrets<'a> {
    session_key: String,
    parts: &'a demo::Demo,
}

impl Environment for DemoSecrets<'_> {
    fn variable(&self, name: &str) -> Result<vestibule::secret::SecretString, config::Unreadable> {
        use vestibule::secret::{ExposeSecret, SecretString};
        match name {
            "DEMO_SESSION_KEY" => Ok(SecretString::from(self.session_key.as_str())),
            "DEMO_CLIENT_SECRET" => Ok(SecretString::from(self.parts.client_secret.expose_secret())),
            _ => Err(config::Unreadable::Absent),
        }
    }

    fn file(&self, _path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, config::Unreadable> {
        Err(config::Unreadable::Absent)
    }
}

/// The files of a configuration, as they were named.
fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn load(paths: &[PathBuf]) -> Result<Config, Failure> {
    Ok(config::load(paths, &SystemEnvironment)?)
}

fn fresh_key(random: &dyn Random) -> Result<String, random::NoRandomness> {
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random::bytes::<32>(random)?))
}

fn on_runtime(threads: Option<usize>, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build()?;
    let outcome = runtime.block_on(work);
    // Live connections that outstayed the grace period must not hold the process.
    runtime.shutdown_background();
    outcome
}

/// Completes on SIGTERM or SIGINT.
fn told_to_stop() -> Result<impl Future<Output = ()> + Send, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
