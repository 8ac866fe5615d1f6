//! Listeners, upstreams and timeouts, resolved.

use crate::credentials::envelope::Envelope;
use crate::secret::SecretString;
use crate::web::allowed_domains::AllowedDomains;
use crate::web::cors;
use crate::web::original::FrontProxy;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the server needs to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where browsers or front proxies reach us.
    pub proxy: Listener,
    /// Health, readiness, metrics and everybody's sessions.
    pub admin: Listener,
    /// Where front proxies alone reach us, to ask: what they are told there no browser can ask for.
    pub forward_auth_listener: Option<Listener>,
    /// Likewise for Envoy, which asks in messages of gRPC.
    pub forward_auth_grpc_listener: Option<ListenAddress>,
    /// What opens everybody's sessions there; without it they stay closed.
    pub admin_token: Option<SecretString>,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// How front proxies ask us about the requests that they have; where they do not, what is asked
    /// is whether there is a session.
    pub forward_auth: Option<ForwardAuth>,
    /// Further paths of our own endpoints, with the name of the endpoint.
    pub aliases: Vec<(String, String)>,
    /// The networks whose clients are told which route and rules decided.
    pub decision_header: Vec<ipnet::IpNet>,
    /// What pages of other origins may send here, and read.
    pub cors: Option<cors::Settings>,
    /// The apps behind us.
    pub upstreams: Vec<Upstream>,
    /// Worker threads of the proxy; as many as there are processors when `None`.
    pub threads: Option<usize>,
    /// How long requests under way may take to finish when we are told to stop.
    pub shutdown_grace: Duration,
}

/// How front proxies ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardAuth {
    /// Which one asks at `/oauth2/auth`; where none does, what is asked there is whether there is a
    /// session.
    pub from: Option<FrontProxy>,
    /// What a person who is not signed in gets.
    pub not_signed_in: NotSignedIn,
    /// For how many seconds an answer counts, at most.
    pub cache_seconds: u64,
}

/// What a person who is not signed in gets through a front proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NotSignedIn {
    /// 401 with the sign-in page, for front proxies that make a redirect of it themselves.
    #[default]
    Status,
    /// What they would get from Vestibule itself: `sign_in.entry` says which.
    SignIn,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: ListenAddress,
    /// Certificate chain and key (PEM files), where we end TLS ourselves.
    pub tls: Option<TlsFiles>,
}

/// A TCP or Unix address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `127.0.0.1:4180`
    Tcp(SocketAddr),
    /// `unix:/run/vestibule.sock`
    Unix(PathBuf),
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The authorities whose client certificates are asked for.
    pub client_ca: Option<PathBuf>,
}

/// An app.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The name it has in the configuration.
    pub name: String,
    /// Where it is.
    pub address: UpstreamAddress,
    /// How long it may take.
    pub timeouts: Timeouts,
}

/// Where an app is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// `http://host:port` or, with TLS and its certificate checked for `host`, `https://host:port`.
    Tcp {
        /// Name or IP address.
        host: String,
        /// Port.
        port: u16,
        /// Whether to speak TLS.
        tls: bool,
    },
    /// `unix:/run/app.sock`
    Unix(PathBuf),
}

/// How long an app may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// Between two reads of a response; what a slow LLM answer needs.
    pub read: Duration,
    /// Without a byte in either direction on a WebSocket.
    pub websocket_idle: Duration,
    /// How long a WebSocket may stay open at most, in whole seconds.
    pub websocket_max_age: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15 * 60),
            websocket_idle: Duration::from_secs(12 * 3600),
            websocket_max_age: None,
        }
    }
}

/// What opens the playgrounds of 2025.
#[derive(Default)]
pub struct PlaygroundSettings {
    /// The envelopes; routes name them by index.
    pub envelopes: Vec<EnvelopeSettings>,
    /// Albert API's own paths for ProConnect; not answered where there is nothing.
    pub endpoints: Option<PlaygroundEndpoints>,
}

/// Albert API's own paths for ProConnect.
pub struct PlaygroundEndpoints {
    /// Where a sign-in by them may return to.
    pub allowed_domains: AllowedDomains,
    /// Index of the envelope that opens what it returns to.
    pub envelope: usize,
}

/// An envelope.
pub struct EnvelopeSettings {
    /// Index of the credential whose key is in it.
    pub credential: usize,
    /// What seals it.
    pub envelope: Envelope,
    /// How long the playground takes it for.
    pub ttl: Duration,
}
