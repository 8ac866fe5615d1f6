//! The real programs around Vestibule: ProConnect's provider, ordinary applications, front proxies.
//!
//! `tests/setup` installs them, `tests/counterparts` holds what they run. A test asks for what it
//! needs first: `require!(OidcProvider, FastApi);`. This room knows nothing of Vestibule.

use super::running::Running;
use serde::Deserialize;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ends the test, reported as skipped, unless every named [`Counterpart`] is installed. With
/// `VESTIBULE_TESTS=all` in the environment the test fails instead.
macro_rules! require {
    ($($counterpart:ident),+ $(,)?) => {
        $(
            if $crate::support::counterparts::Counterpart::$counterpart.is_missing() {
                return;
            }
        )+
    };
}
pub(crate) use require;

/// A program that `tests/setup` installs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counterpart {
    /// Chromium with ChromeDriver.
    Chromium,
    /// panva's `oidc-provider`, of the version that ProConnect runs on.
    OidcProvider,
    /// FastAPI on uvicorn.
    FastApi,
    /// PyJWT beside FastAPI.
    PyJwt,
    /// Node.
    Node,
    /// Streamlit.
    Streamlit,
    /// Redis, its Sentinel and its command line.
    Redis,
    /// nginx with its `auth_request`.
    Nginx,
    /// HAProxy with Lua.
    Haproxy,
    /// Caddy.
    Caddy,
    /// Envoy.
    Envoy,
    /// What holds manifests to the schemas of Kubernetes.
    KubernetesValidate,
    /// Angular's command line, and the front-ends that it built.
    Angular,
}

impl Counterpart {
    const fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::OidcProvider => "oidc-provider",
            Self::FastApi => "fastapi",
            Self::PyJwt => "pyjwt",
            Self::Node => "node",
            Self::Streamlit => "streamlit",
            Self::Redis => "redis",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
            Self::KubernetesValidate => "kubernetes-validate",
            Self::Angular => "angular",
        }
    }

    /// Whether it is there, whole.
    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Chromium => answers("chromedriver") && answers("chromium"),
            Self::OidcProvider => directory().join("node_modules/.installed").is_file() && answers("node"),
            Self::FastApi | Self::Streamlit => directory().join(".venv/.installed").is_file(),
            Self::PyJwt => {
                let mut python = Command::new(directory().join(".venv/bin/python"));
                python.args(["-c", "import fastapi, jwt, cryptography"]).stdout(Stdio::null()).stderr(Stdio::null());
                python.status().is_ok_and(|status| status.success())
            }
            Self::Node => answers("node"),
            Self::Angular => {
                let is_there = |stamp| directory().join("angular").join(stamp).is_file();
                is_there("node_modules/.installed") && is_there("dist/.built") && answers("node")
            }
            Self::Redis => answers("redis-server") && answers("redis-cli"),
            Self::Nginx | Self::Haproxy => runs(self.program(), "-v"),
            Self::Caddy => runs(self.program(), "version"),
            Self::Envoy | Self::KubernetesValidate => answers(self.program()),
        }
    }

    /// The command of what is one program.
    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Caddy | Self::Envoy | Self::KubernetesValidate => directory().join(".venv/bin").join(self.name()),
            _ => {
                // Where the system has its servers, which is not on everybody's search path.
                let of_system = Path::new("/usr/sbin").join(self.name());
                if of_system.is_file() { of_system } else { PathBuf::from(self.name()) }
            }
        }
    }

    /// Whether the test must be skipped for want of it, and says so. For [`require!`].
    ///
    /// # Panics
    /// When it is missing although `VESTIBULE_TESTS=all` says that everything must be there.
    pub(crate) fn is_missing(self) -> bool {
        if self.is_installed() {
            return false;
        }
        let name = self.name();
        assert!(!all_tests(), "{name} is not installed; run tests/setup");
        skipped(&format!("{name} is not installed; run tests/setup"));
        true
    }
}

/// Whether this run leaves nothing out, neither what is not installed nor what takes long.
pub(crate) fn all_tests() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how the test run is told that a skip is a failure")]
    std::env::var("VESTIBULE_TESTS").is_ok_and(|which| which == "all")
}

/// Says that a test was left out, and why.
pub(crate) fn skipped(why: &str) {
    // Past the test runner's capture: a skip must be seen also when everything passes.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Whether `program` is a command that runs.
fn answers(program: impl AsRef<OsStr>) -> bool {
    runs(program, "--version")
}

/// The same, where it is asked in another way.
fn runs(program: impl AsRef<OsStr>, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counterparts")
}

/// ProConnect's provider, running.
pub(crate) struct OidcProvider {
    /// Its issuer, `http://127.0.0.1:{port}/api/v2`.
    pub(crate) issuer: String,
    clients: Vec<Client>,
    /// How it was started, and how it starts again.
    settings: serde_json::Value,
    process: Option<Running>,
}

/// A service registered with the provider.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Client {
    #[serde(rename = "client_id")]
    pub(crate) id: String,
    #[serde(rename = "client_secret")]
    pub(crate) secret: String,
    /// What its ID tokens are signed with.
    #[serde(rename = "id_token_signed_response_alg")]
    pub(crate) id_token_algorithm: String,
    /// What its userinfo is signed with; plain JSON where there is none.
    #[serde(rename = "userinfo_signed_response_alg")]
    pub(crate) userinfo_algorithm: Option<String>,
}

impl OidcProvider {
    /// The client whose ID tokens are signed with `algorithm`: `HS256` (with plain JSON userinfo),
    /// `ES256` or `RS256` (with userinfo signed likewise).
    pub(crate) fn client(&self, algorithm: &str) -> &Client {
        self.clients.iter().find(|client| client.id_token_algorithm == algorithm).expect("one of the three")
    }

    /// The client of that name, beyond those that sign people in.
    pub(crate) fn client_named(&self, id: &str) -> &Client {
        self.clients.iter().find(|client| client.id == id).expect("one that it was set up with")
    }

    /// Ends the sessions of the person `sub`, as an administrator there does, and tells every client.
    /// What it says of that.
    pub(crate) async fn sign_out(&self, sub: &str) -> serde_json::Value {
        let control = url::Url::parse(&self.issuer).unwrap().join("/control/sign-out").unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "a plain client plays the administrator")]
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = serde_json::json!({ "sub": sub }).to_string();
        let answer = http.post(control).body(body).send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// Ends it, with all that it knew; from now on connections are refused.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again at the same address: the same registrations, new keys, nobody signed in.
    pub(crate) async fn start_again(&mut self) {
        self.stop();
        let address = url::Url::parse(&self.issuer).unwrap();
        let secrets = self.clients.iter().map(|client| (client.id.clone(), client.secret.as_str().into()));
        self.settings["client_secrets"] = serde_json::Value::Object(secrets.collect());
        self.settings["port"] = address.port().into();
        *self = Self::start(self.settings.clone()).await;
    }

    /// With these settings, as `oidc-provider.cjs` describes them.
    pub(crate) async fn start(settings: serde_json::Value) -> Self {
        #[derive(Deserialize)]
        struct Listening {
            issuer: String,
            clients: Vec<Client>,
        }
        let mut command = Command::new("node");
        command.arg("oidc-provider.cjs").arg(settings.to_string()).current_dir(directory());
        let mut process = Running::start("oidc-provider", &command);
        let Listening { issuer, clients } = process.ready(|line| serde_json::from_str(line).ok()).await;
        Self { issuer, clients, settings, process: Some(process) }
    }
}

/// Starts ProConnect's provider on a free port, for a service with these addresses.
///
/// It signs in without a page whoever an e-mail in `login_hint` names, and otherwise shows a form:
/// `email`, `given_name`, `usual_name`, `siret`, `roles`, `acr`, and buttons `action=sign-in` and
/// `action=refuse`. Members of `person` (a JSON object) are what the form proposes.
pub(crate) async fn start_oidc_provider(
    redirect_uris: &[&str],
    post_logout_redirect_uris: &[&str],
    person: serde_json::Value,
) -> OidcProvider {
    OidcProvider::start(serde_json::json!({
        "redirect_uris": redirect_uris,
        "post_logout_redirect_uris": post_logout_redirect_uris,
        "person": person,
    }))
    .await
}

/// An application, running.
pub(crate) struct Application {
    /// Where it listens: `http://127.0.0.1:{port}`, or `unix:{path}`.
    pub(crate) address: String,
    /// The program, for what it printed.
    pub(crate) process: Running,
}

/// Starts the FastAPI application (`tests/counterparts/fastapi_app.py`) with uvicorn on a free port.
pub(crate) async fn start_fastapi() -> Application {
    on_a_port(&mut uvicorn("fastapi_app:app")).await
}

/// Starts the back-end of the Angular front-ends (`tests/counterparts/browser_app.py`) with these
/// variables on a free port.
pub(crate) async fn start_browser_app(variables: &[(&str, &str)]) -> Application {
    on_a_port(uvicorn("browser_app:app").envs(variables.iter().copied())).await
}

async fn on_a_port(command: &mut Command) -> Application {
    let mut process = Running::start("fastapi", command.args(["--host", "127.0.0.1", "--port", "0"]));
    let address = process.ready(|line| after(line, "Uvicorn running on ")).await;
    Application { address, process }
}

/// Starts the FastAPI application with uvicorn on the Unix socket `path`.
pub(crate) async fn start_fastapi_on_socket(path: &Path) -> Application {
    let mut process = Running::start("fastapi", uvicorn("fastapi_app:app").arg("--uds").arg(path));
    process.ready(|line| after(line, "Uvicorn running on unix socket ")).await;
    Application { address: format!("unix:{}", path.display()), process }
}

/// Starts the application that takes a signed assertion's word alone, in FastAPI
/// (`tests/counterparts/assertion_app.py`) or in Node (`assertion-app.mjs`), with these variables on the
/// Unix socket `path`. The verifiers are those of `deploy/assertion`.
pub(crate) async fn start_assertion_app(by: Counterpart, path: &Path, variables: &[(&str, &str)]) -> Application {
    let mut command = match by {
        Counterpart::Node => Command::new("node"),
        _ => uvicorn("assertion_app:app"),
    };
    match by {
        Counterpart::Node => command.arg(directory().join("assertion-app.mjs")).arg(path),
        _ => command.arg("--uds").arg(path),
    };
    let mut process = Running::start(by.name(), command.envs(variables.iter().copied()));
    process.ready(|line| (line.contains("listening") || line.contains("Uvicorn running")).then_some(())).await;
    Application { address: format!("unix:{}", path.display()), process }
}

fn uvicorn(app: &str) -> Command {
    let mut command = Command::new(directory().join(".venv/bin/uvicorn"));
    command.args([app, "--app-dir"]).arg(directory());
    command
}

/// Starts the Streamlit application (`tests/counterparts/streamlit_app.py`) on a free port.
pub(crate) async fn start_streamlit() -> Application {
    streamlit("streamlit_app.py", &[]).await
}

/// Starts the Streamlit application that is opened with an envelope
/// (`tests/counterparts/envelope_app.py`), with these variables, on a free port.
pub(crate) async fn start_envelope_app(variables: &[(&str, &str)]) -> Application {
    streamlit("envelope_app.py", variables).await
}

async fn streamlit(script: &str, variables: &[(&str, &str)]) -> Application {
    let mut command = Command::new(directory().join(".venv/bin/streamlit"));
    command.arg("run").arg(directory().join(script)).envs(variables.iter().copied()).args([
        "--server.address=127.0.0.1",
        "--server.port=0",
        "--server.headless=true",
        // Neither of the two has a bearing on what is tested: they watch files and call home.
        "--server.fileWatcherType=none",
        "--browser.gatherUsageStats=false",
    ]);
    let mut process = Running::start("streamlit", &command);
    let address = process.ready(|line| after(line, "URL: ")).await;
    Application { address, process }
}

/// The word that follows `label` in `line`.
fn after(line: &str, label: &str) -> Option<String> {
    let (_, rest) = line.split_once(label)?;
    Some(rest.split_whitespace().next()?.to_owned())
}
