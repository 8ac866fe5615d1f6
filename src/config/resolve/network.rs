//! Listeners, trusted proxies, upstreams: what the server needs to run.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::scalar::{ListenAddress, Secret};
use crate::config::written::{self, Timeouts, Written, defaults};
use crate::secret::{ExposeSecret, SecretString};
use crate::server::{ListenAddress as Address, Listener, Settings, TlsFiles, Upstream, UpstreamAddress};
use crate::web::public_url::PublicUrl;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// The shortest admin token, in characters.
const LEAST_TOKEN: usize = 32;

impl Resolver<'_> {
    pub(super) fn server(&mut self, written: &Written, public_url: Option<&PublicUrl>) -> Option<Settings> {
        let root = KeyPath::root();
        let at = root.key("listeners");
        let (proxy_at, admin_at) = (at.key("proxy"), at.key("admin"));
        let listeners = written.listeners.as_ref();
        let proxy = self.listener(&proxy_at, listeners.and_then(|l| l.proxy.as_ref()), defaults::PROXY);
        let admin = self.listener(&admin_at, listeners.and_then(|l| l.admin.as_ref()), defaults::ADMIN);
        let others = [
            ("admin", listeners.and_then(|l| l.admin.as_ref())),
            ("forward_auth", listeners.and_then(|l| l.forward_auth.as_ref())),
        ];
        for (name, other) in others {
            if other.and_then(|other| other.tls.as_ref()).is_some_and(|tls| tls.client_ca.is_some()) {
                self.fault(
                    &at.key(name).key("tls").key("client_ca"),
                    "is for listeners.proxy, whose routes say what certificates are for; remove it",
                );
            }
        }
        if let (Some(proxy), Some(admin)) = (&proxy, &admin) {
            if same_address(&proxy.address, &admin.address) {
                self.fault(&admin_at, "is also the address of listeners.proxy; health and metrics have their own");
            }
            if !is_private(&admin.address) {
                let message = "metrics and health are reachable from other machines, without a password";
                self.found(Code::AdminReachable, &admin_at, message);
            }
            if !is_private(&proxy.address) && public_url.is_some_and(|url| !url.is_secure()) {
                let message = "other machines can reach a listener whose public_url is plain http: for trials only";
                self.found(Code::PlainHttpReachable, &proxy_at, message);
            }
        }
        let forward_auth_at = at.key("forward_auth");
        let forward_auth_listener = match listeners.and_then(|listeners| listeners.forward_auth.as_ref()) {
            Some(listener) => self.listener(&forward_auth_at, Some(listener), "").map(Some),
            None => Some(None),
        };
        let grpc_at = at.key("forward_auth_grpc");
        let grpc =
            listeners.and_then(|listeners| listeners.forward_auth_grpc.as_ref()).map(|address| address.0.clone());
        let asked_at = forward_auth_listener.iter().flatten().map(|listener| (&forward_auth_at, &listener.address));
        let mut others: Vec<&Address> = [&proxy, &admin].into_iter().flatten().map(|other| &other.address).collect();
        for (at, address) in asked_at.chain(grpc.iter().map(|address| (&grpc_at, address))) {
            if others.iter().any(|other| same_address(other, address)) {
                self.fault(at, "is also the address of another listener; browsers must not reach this one");
            }
            others.push(address);
            if written.forward_auth.is_none() {
                self.fault(at, "says nothing without the top-level forward_auth; write that as well");
            }
        }
        if grpc.as_ref().is_some_and(|address| !is_private(address)) {
            let message = "cookies and credentials cross the network in clear, for there is no TLS on it";
            self.found(Code::FrontProxyInClear, &grpc_at, message);
        }
        if let (Some(asks), Some(Some(_)), true) = (&written.forward_auth, &forward_auth_listener, grpc.is_some())
            && asks.from.is_none()
        {
            self.fault(&forward_auth_at, "says nothing without forward_auth.from; write that as well");
        }
        let token = written.admin.as_ref().and_then(|admin| admin.token.as_ref());
        let admin_token = token.and_then(|token| self.admin_token(&root.key("admin").key("token"), token));
        if let (Some(_), Some(admin)) = (&admin_token, &admin)
            && !is_private(&admin.address)
            && admin.tls.is_none()
        {
            let message = "the admin token crosses the network in clear; add tls, or keep it on loopback";
            self.found(Code::AdminTokenInClear, &admin_at, message);
        }
        let trusted_proxies = self.trusted_proxies(&root.key("trusted_proxies"), written.trusted_proxies.as_ref());
        let upstreams = self.upstreams(&root.key("upstreams"), written, proxy.as_ref());
        let threads_at = root.key("threads");
        if written.threads == Some(0) {
            self.fault(&threads_at, "must be at least 1; leave the key out for one thread per processor");
        }
        let grace =
            self.span(&root.key("shutdown_grace"), written.shutdown_grace, defaults::SHUTDOWN_GRACE, Duration::ZERO);
        Some(Settings {
            decision_header: self.decision_header(written.debug.as_ref()),
            proxy: proxy?,
            admin: admin?,
            admin_token,
            forward_auth_grpc_listener: grpc,
            forward_auth_listener: forward_auth_listener?,
            forward_auth: None,
            aliases: Vec::new(),
            cors: None,
            trusted_proxies,
            upstreams: upstreams?,
            threads: written.threads.map(usize::from),
            shutdown_grace: grace,
        })
    }

    /// A token that nobody guesses and that every client can send in a header.
    fn admin_token(&mut self, at: &KeyPath, written: &Secret) -> Option<SecretString> {
        let token = self.secret(at, written)?;
        let text = token.expose_secret();
        let wrong = if text.chars().count() < LEAST_TOKEN {
            Some(format!("is shorter than {LEAST_TOKEN} characters"))
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Some("holds a space or a character that is not ASCII".to_owned())
        } else if text.bytes().all(|byte| text.bytes().next() == Some(byte)) {
            Some("is one character repeated, which anybody can guess".to_owned())
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.fault(at, format!("{wrong}; use a random one, such as `vestibule keys new` prints"));
            return None;
        }
        Some(token)
    }

    fn listener(&mut self, at: &KeyPath, written: Option<&written::Listener>, default: &str) -> Option<Listener> {
        let Some(written) = written else {
            let address = ListenAddress::parse(default).ok()?.0;
            return Some(Listener { address, tls: None });
        };
        let address = self.required(&at.key("address"), written.address.as_ref(), "an address such as 0.0.0.0:4180");
        let tls = match &written.tls {
            Some(tls) => Some(self.tls(&at.key("tls"), tls)?),
            None => None,
        };
        Some(Listener { address: address?.0.clone(), tls })
    }

    fn tls(&mut self, at: &KeyPath, written: &written::Tls) -> Option<TlsFiles> {
        let mut pem = |key: &str, path: Option<&std::path::PathBuf>, what: &str, marker: &str| {
            let at = at.key(key);
            let path = self.required(&at, path, &format!("the path of the PEM file of {what}"))?;
            match self.environment.file(path) {
                Err(cause) => self.fault(&at, format!("the file {} {cause}", path.display())),
                Ok(bytes) if !contains(&bytes, marker) => {
                    self.fault(&at, format!("the file {} holds no PEM of {what}", path.display()));
                }
                Ok(_) => {}
            }
            Some(path.clone())
        };
        let certificate =
            pem("certificate", written.certificate.as_ref(), "a certificate", "-----BEGIN CERTIFICATE-----");
        let key = pem("key", written.key.as_ref(), "a private key", "PRIVATE KEY-----");
        if written.client_ca.is_some() {
            pem("client_ca", written.client_ca.as_ref(), "a certificate", "-----BEGIN CERTIFICATE-----");
        }
        Some(TlsFiles { certificate: certificate?, key: key?, client_ca: written.client_ca.clone() })
    }

    fn trusted_proxies(&mut self, at: &KeyPath, written: Option<&written::List<String>>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (at, text) in self.items(at, written) {
            let network = match network_of(text) {
                Ok(network) => network,
                Err(wrong) => {
                    self.fault(&at, wrong);
                    continue;
                }
            };
            if network.prefix_len() == 0 {
                self.found(
                    Code::TrustedProxiesEverybody,
                    &at,
                    "whoever connects is believed about who the client is and which address it asked for",
                );
            } else if network.prefix_len() < wide(&network) {
                self.found(Code::TrustedProxiesWide, &at, "a very large network is believed about who the client is");
            }
            networks.push(network);
        }
        networks
    }

    fn upstreams(&mut self, at: &KeyPath, written: &Written, proxy: Option<&Listener>) -> Option<Vec<Upstream>> {
        let example = "{app: {url: http://127.0.0.1:8501}}";
        if written.upstreams.is_none() && written.forward_auth.is_some() {
            return Some(Vec::new());
        }
        let named = self.required(at, written.upstreams.as_ref(), example)?;
        if named.is_empty() {
            self.fault(at, format!("is empty; write {example}"));
        }
        let mut upstreams = Vec::new();
        for (name, upstream) in named {
            let at = at.key(name);
            self.name(&at, name);
            let url_at = at.key("url");
            let hint = "where the app is, such as http://127.0.0.1:8501";
            let address = if let Some(upstream) = upstream {
                self.required(&url_at, upstream.url.as_ref(), hint)
            } else {
                self.fault(&at, format!("is empty; write {{url: …}}: {hint}"));
                None
            };
            let timeouts = self.timeouts(&at.key("timeouts"), upstream.as_ref().and_then(|u| u.timeouts.as_ref()));
            let Some(address) = address.map(|url| url.0.clone()) else { continue };
            if proxy.is_some_and(|listener| is_same_place(&listener.address, &address)) {
                self.fault(&url_at, "is the address of listeners.proxy: requests would go round in circles");
            }
            upstreams.push(Upstream { name: name.clone(), address, timeouts });
        }
        Some(upstreams)
    }

    fn timeouts(&mut self, at: &KeyPath, written: Option<&Timeouts>) -> crate::server::Timeouts {
        let timeouts = Timeouts::over_defaults(written);
        for (key, length) in
            [("connect", timeouts.connect), ("read", timeouts.read), ("websocket_idle", timeouts.websocket_idle)]
        {
            if length.is_zero() {
                self.fault(&at.key(key), "must be longer than nothing");
            }
        }
        if timeouts.websocket_max_age.is_some_and(|max_age| max_age < Duration::from_secs(1)) {
            self.fault(&at.key("websocket_max_age"), "must be a second at least");
        }
        timeouts
    }

    /// Refuses a name that could not stand in a log line, a metric or a message.
    pub(super) fn name(&mut self, at: &KeyPath, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            self.fault(at, "is no name; write up to 64 letters, digits, dots, hyphens or underscores");
        }
    }
}

/// Whether only this machine can connect.
pub(super) fn is_private(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
        Address::Unix(_) => true,
    }
}

fn same_address(a: &Address, b: &Address) -> bool {
    match (a, b) {
        // Port 0 is a fresh one each time.
        (Address::Tcp(a), Address::Tcp(b)) => {
            a.port() != 0
                && a.port() == b.port()
                && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        }
        (a, b) => a == b,
    }
}

/// An address, or a network without bits beyond its length.
///
/// # Errors
/// What is wrong, and what to write.
pub(in crate::config) fn network_of(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network
        .map_err(|_| format!("{text:?} is neither an IP address nor a network; write 192.0.2.7 or 10.0.0.0/8"))?;
    if network == network.trunc() {
        return Ok(network);
    }
    Err(format!("{text:?} has address bits beyond its length; write {} or {}", network.trunc(), network.addr()))
}

/// Whether an upstream at `upstream` would be the listener itself.
fn is_same_place(listener: &Address, upstream: &UpstreamAddress) -> bool {
    match (listener, upstream) {
        (Address::Unix(listener), UpstreamAddress::Unix(upstream)) => listener == upstream,
        (Address::Tcp(listener), UpstreamAddress::Tcp { host, port, .. }) => {
            let address = if host == "localhost" { Ok(IpAddr::from([127, 0, 0, 1])) } else { host.parse::<IpAddr>() };
            *port == listener.port()
                && address.is_ok_and(|ip| ip == listener.ip() || (listener.ip().is_unspecified() && ip.is_loopback()))
        }
        _ => false,
    }
}

/// Shorter prefixes than this are nobody's own network.
fn wide(network: &IpNet) -> u8 {
    match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 16,
    }
}

fn contains(bytes: &[u8], marker: &str) -> bool {
    bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
}
