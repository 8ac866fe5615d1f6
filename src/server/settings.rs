//! Listeners, upstreams and timeouts, resolved.

use crate::credentials::envelope::Envelope;
use crate::secret::SecretString;
use crate::web::allowed_domains::AllowedDomains;
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
    /// What opens everybody's sessions there; without it they stay closed.
    pub admin_token: Option<SecretString>,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The apps behind us.
    pub upstreams: Vec<Upstream>,
    /// Worker threads of the proxy; as many as there are processors when `None`.
    pub threads: Option<usize>,
    /// How long requests under way may take to finish when we are told to stop.
    pub shutdown_grace: Duration,
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
    /// The path of the callback beside our own, where there is one.
    pub callback_alias: Option<String>,
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
