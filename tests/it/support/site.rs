//! A whole site in this process: provider, sidecar and app, each on a port of its own.
//!
//! Browsers know it as `https://app.example`; the client of these tests maps that name to the
//! sidecar's port, as a front proxy that ends TLS would.

use super::client::Client;
use super::echo::Echo;
use super::log_watch;
use super::waiting::until_well;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use vestibule::app::{App, Reloaded, Reloads};
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::config::{self, Environment, SystemEnvironment, Unreadable};
use vestibule::demo::Provider;
use vestibule::demo::provider::{Agent, Client as Registration, Faults, ProviderSettings};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;
use vestibule::server::{Bound, ListenAddress, Listener, Listeners, Settings};

/// The address that browsers use.
pub(crate) const ORIGIN: &str = "https://app.example";
/// 32 bytes, base64url.
pub(crate) const SESSION_KEY: &str = "c2Vzc2lvbi1rZXktb2YtdGhlLXRlc3Qtc3VpdGUtMDE";
/// The key that comes after it.
pub(crate) const NEXT_SESSION_KEY: &str = "bmV4dC1zZXNzaW9uLWtleS1vZi10aGUtdGVzdHMtMDI";
/// As long as HS256 needs it.
pub(crate) const CLIENT_SECRET: &str = "the-client-secret-of-the-test-suite";
/// What opens everybody's sessions on the admin listener.
pub(crate) const ADMIN_TOKEN: &str = "the-admin-token-of-the-test-suite-01";
/// When the manual clock starts: a day in November 2026.
pub(crate) const START: u64 = 1_795_000_000;

/// How a site is set up; `..Setup::default()` for what a test does not care about.
pub(crate) struct Setup {
    /// Further top-level keys of the configuration, in YAML.
    pub(crate) more: String,
    /// Further keys of the provider, each line indented by four spaces; `{issuer}` stands for its
    /// address.
    pub(crate) provider: String,
    /// The routes, in YAML.
    pub(crate) routes: String,
    /// Where Envoy asks over gRPC, where front proxies ask at all; any port stands for any free one.
    pub(crate) grpc: String,
    /// The app's address, where it is not the echo app.
    pub(crate) upstream: Option<String>,
    /// Further upstreams, in YAML, each with a comma in front.
    pub(crate) upstreams: String,
    /// The provider of another site, of which this is a replica; its own is not used then.
    pub(crate) issuer: Option<String>,
    /// Changes the registration at the provider.
    pub(crate) register: fn(&mut Registration),
    /// What goes wrong at the provider from the start.
    pub(crate) faults: fn(&mut Faults),
    /// When the clock starts, where that is not [`START`].
    pub(crate) start: u64,
    /// The RSA key of the provider, where its clients want RS256.
    pub(crate) rsa: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            more: String::new(),
            provider: String::new(),
            routes: "[{path: /public/**, access: public, upstream: app}, {path: /api/**, upstream: app, strip_prefix: /api}, \
                     {path: /**, upstream: app}]"
                .to_owned(),
            grpc: "127.0.0.1:4183".to_owned(),
            upstream: None,
            upstreams: String::new(),
            issuer: None,
            register: |_| {},
            faults: |_| {},
            start: START,
            rsa: false,
        }
    }
}

/// A site that runs. Ends when dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Where front proxies alone ask, where they do.
    pub(crate) asked_at: Option<SocketAddr>,
    /// Where Envoy asks over gRPC, where front proxies ask at all.
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) provider: Provider,
    pub(crate) echo: Echo,
    pub(crate) clock: ManualClock,
    /// Has the files of the session keys read at once.
    pub(crate) reread_keys: Arc<Notify>,
    /// What is read when the configuration is read again.
    configuration: Arc<Mutex<String>>,
    reloads: Reloads,
    /// Dropped with the site, which tells the sidecar to stop.
    _stop: oneshot::Sender<()>,
}

/// The test suite's secrets.
pub(crate) struct Secrets;

impl Environment for Secrets {
    fn variable(&self, name: &str) -> Result<SecretString, Unreadable> {
        match name {
            "SESSION_KEY" => Ok(SecretString::from(SESSION_KEY)),
            "NEXT_SESSION_KEY" => Ok(SecretString::from(NEXT_SESSION_KEY)),
            "ADMIN_TOKEN" => Ok(SecretString::from(ADMIN_TOKEN)),
            "CLIENT_SECRET" => Ok(SecretString::from(CLIENT_SECRET)),
            _ => Err(Unreadable::Absent),
        }
    }

    fn file(&self, path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Unreadable> {
        SystemEnvironment.file(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<u8>, Unreadable> {
        SystemEnvironment.list(path)
    }
}

impl Site {
    /// The site that most tests want: signed in as an agent without a screen.
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        log_watch::begin();
        let random = Arc::new(SystemRandom::new());
        let clock = ManualClock::starting_at(Timestamp::from_unix(setup.start));

        let mut client = registration();
        (setup.register)(&mut client);
        let rsa_private_key_pem =
            setup.rsa.then(|| SecretString::from(include_str!("../../../src/demo/provider/tests/rsa-key.pem")));
        let settings = ProviderSettings { clients: vec![client], rsa_private_key_pem, ..ProviderSettings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Provider::start(listener, settings, Clock::Manual(clock.clone()), random.clone()).unwrap();
        provider.sign_in_as(agent());
        provider.faults().set(setup.faults);

        let echo = Echo::start().await;
        let upstream = setup.upstream.unwrap_or_else(|| format!("http://{}", echo.address));
        let issuer = setup.issuer.unwrap_or_else(|| provider.issuer().to_owned());
        let yaml = format!(
            "public_url: {ORIGIN}\n\
             listeners: {{proxy: \"127.0.0.1:4180\", admin: \"127.0.0.1:4181\"{asked_at}}}\n\
             providers:\n  proconnect:\n    preset: proconnect\n    issuer: {issuer}\n    client_id: app\n    \
             client_secret: {{env: CLIENT_SECRET}}\n{timeout}{provider}\n\
             upstreams: {{app: {{url: \"{upstream}\", timeouts: {{connect: 3m}}}}{upstreams}}}\n\
             routes: {routes}\n{more}\n{session}",
            asked_at = if setup.more.contains("forward_auth:") {
                let http = if setup.more.contains("from") { ", forward_auth: \"127.0.0.1:4182\"" } else { "" };
                format!("{http}, forward_auth_grpc: \"{}\"", setup.grpc)
            } else {
                String::new()
            },
            issuer = issuer,
            provider = setup.provider.replace("{issuer}", &issuer),
            // What a test lets wait must not run out on a slow machine.
            timeout = if setup.provider.contains("timeout:") { "" } else { "    timeout: 3m\n" },
            upstreams = setup.upstreams,
            routes = setup.routes,
            session = if setup.more.contains("session:") {
                ""
            } else {
                "session: {keys: [{id: k1, secret: {env: SESSION_KEY}}]}\n"
            },
            more = setup.more,
        );
        let mut config =
            config::from_text("test.yaml", &yaml, &Secrets).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
        let any = || Listener { address: ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), tls: None };
        config.server = Settings {
            proxy: any(),
            admin: any(),
            forward_auth_listener: config.server.forward_auth.map(|_| any()),
            forward_auth_grpc_listener: config.server.forward_auth_grpc_listener.map(|address| match address {
                ListenAddress::Tcp(_) => any().address,
                ListenAddress::Unix(_) => address,
            }),
            threads: Some(2),
            shutdown_grace: Duration::from_secs(5),
            ..config.server
        };
        let listeners = Listeners::bind(&config.server).unwrap();
        let address = listeners.proxy.tcp_address().unwrap();
        let admin = listeners.admin.tcp_address().unwrap();
        let asked_at = listeners.forward_auth.as_ref().map(|listener| listener.tcp_address().unwrap());
        let grpc = listeners.forward_auth_grpc.as_ref().and_then(Bound::tcp_address);
        let mut app = App::build_on(listeners, config, Clock::Manual(clock.clone()), random).unwrap();
        let reread_keys = app.reread_keys();
        let configuration = Arc::new(Mutex::new(yaml));
        let source = Arc::clone(&configuration);
        let reloads = app.reload_from(move || config::from_text("test.yaml", &source.lock().unwrap(), &Secrets));
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { address, admin, asked_at, grpc, provider, echo, clock, reread_keys, configuration, reloads, _stop: stop }
    }

    /// Puts `new` in the place of `old` in the configuration, and has it read again.
    pub(crate) async fn reload(&self, old: &str, new: &str) -> Reloaded {
        {
            let mut configuration = self.configuration.lock().unwrap();
            assert!(configuration.contains(old), "{old} is not in {configuration}");
            *configuration = configuration.replace(old, new);
        }
        self.reloads.ask().await
    }

    /// A client that has no cookies yet.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client that has signed in.
    pub(crate) async fn signed_in(&self) -> Client {
        self.signed_in_at("/").await
    }

    /// A client that has signed in at this path.
    pub(crate) async fn signed_in_at(&self, path: &str) -> Client {
        let client = self.client();
        let page = until_well(async || client.browse(path).await).await;
        assert_eq!(page.status, 200, "{}", page.text());
        client
    }
}

/// As what the site is registered with a provider.
pub(crate) fn registration() -> Registration {
    Registration::new(
        "app",
        SecretString::from(CLIENT_SECRET),
        &format!("{ORIGIN}/oauth2/callback"),
        &format!("{ORIGIN}/oauth2/signed_out"),
    )
}

/// The person whom the provider knows.
pub(crate) fn agent() -> Agent {
    Agent::new("Hélène", "Moreau", "helene.moreau@test.proconnect.gouv.fr")
}
