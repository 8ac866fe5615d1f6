//! Who is in front of us, and what they say of the client.
//!
//! Called by `server`. `X-Forwarded-*` headers are believed only from `trusted_proxies`, which is
//! nobody by default; what we tell the app is always our own finding, under the plain names only.

use super::hygiene::normalise_host;
use http::header::{HOST, HeaderName};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// By which a front proxy says where a sign-in returns to, as oauth2-proxy has it.
pub const RETURN_TO: HeaderName = HeaderName::from_static("x-auth-request-redirect");

/// The networks whose `X-Forwarded-*` are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// What the app is told of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address as far as it can be known: the last one of which somebody says something.
    pub client: IpAddr,
    /// Whether that is the client's, and not the address of a proxy that says nothing of who is behind
    /// it, or no address at all.
    is_clients: bool,
    /// Whether what the peer says of the request behind its own is believed.
    pub is_from_trusted: bool,
    /// The whole chain of addresses, for `X-Forwarded-For`.
    chain: String,
    scheme: &'static str,
    host: HeaderValue,
}

impl TrustedProxies {
    /// Believes the proxies of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn holds(&self, address: IpAddr) -> bool {
        // A listener on [::] sees IPv4 peers as mapped addresses; rules are written for IPv4.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What is known of the client behind `peer`. Peers on a Unix socket have no address and
    /// count as loopback.
    pub fn resolve(&self, headers: &HeaderMap, peer: Option<IpAddr>, public_scheme: &'static str) -> Forwarded {
        let has_address = peer.is_some();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.to_canonical());
        let host = headers.get(HOST).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        if !self.holds(peer) {
            let (chain, scheme) = (peer.to_string(), public_scheme);
            return Forwarded { client: peer, is_clients: has_address, is_from_trusted: false, chain, scheme, host };
        }
        let (client, is_clients, chain) = self.client_of(headers, peer);
        let scheme = match single(headers, &X_FORWARDED_PROTO) {
            Some("http") => "http",
            Some("https") => "https",
            _ => public_scheme,
        };
        let forwarded_host = single(headers, &X_FORWARDED_HOST).filter(|host| normalise_host(host).is_some());
        let host = forwarded_host.and_then(|host| HeaderValue::from_str(host).ok()).unwrap_or(host);
        Forwarded { client, is_clients, is_from_trusted: true, chain, scheme, host }
    }

    /// Reads the chain from its right end: each address was written by the one to its right, so
    /// the first that is not a trusted proxy is the last that can be known. With it, whether that is the
    /// client's: where a proxy wrote no address, or none that can be read, it is the proxy's own.
    fn client_of(&self, headers: &HeaderMap, peer: IpAddr) -> (IpAddr, bool, String) {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("?"));
        let claimed: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        let mut known = vec![peer];
        let mut is_clients = !claimed.is_empty();
        for entry in claimed.iter().rev() {
            let Ok(address) = entry.parse::<IpAddr>() else {
                is_clients = false;
                break;
            };
            known.push(address.to_canonical());
            if !self.holds(address) {
                break;
            }
        }
        let client = known.last().copied().unwrap_or(peer);
        let chain: Vec<String> = known.iter().rev().map(IpAddr::to_string).collect();
        (client, is_clients, chain.join(", "))
    }
}

impl Forwarded {
    /// `http` or `https`, as the client spoke: what a trusted proxy says, else what the site is for.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The client's address, where it can be known: what a rule may go by.
    pub fn known_client(&self) -> Option<IpAddr> {
        self.is_clients.then_some(self.client)
    }

    /// The headers that tell the app, with their values.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let chain = HeaderValue::from_str(&self.chain).ok().map(|chain| (X_FORWARDED_FOR, chain));
        let scheme = (X_FORWARDED_PROTO, HeaderValue::from_static(self.scheme));
        chain.into_iter().chain([scheme, (X_FORWARDED_HOST, self.host.clone())])
    }
}

/// Whether a header speaks of where a request came from or went to: all of these are removed
/// before ours are set, in every spelling, so that no app can be told anything else.
pub fn speaks_of_origin(folded_name: &str) -> bool {
    folded_name == "forwarded"
        || folded_name == "x-real-ip"
        || folded_name.starts_with("x-forwarded-")
        || folded_name.starts_with("x-original-")
        || folded_name.starts_with("x-rewrite-")
        || folded_name == "x-client-ip"
        || folded_name == "true-client-ip"
        || folded_name == "x-envoy-original-path"
}

/// The value of a header that is there exactly once.
pub fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(trusted: &[&str], peer: &str, headers: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let trusted = TrustedProxies::new(trusted.iter().map(|network| network.parse().unwrap()).collect());
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let forwarded = trusted.resolve(&headers, peer.parse().ok(), "https");
        let told = forwarded.headers().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        (forwarded.client.to_string(), told.collect())
    }

    fn told(chain: &str, proto: &str, host: &str) -> Vec<(String, String)> {
        [("x-forwarded-for", chain), ("x-forwarded-proto", proto), ("x-forwarded-host", host)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    const CLAIMS: [(&str, &str); 4] = [
        ("host", "app.example"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
    ];

    #[test]
    fn nobody_is_believed_by_default() {
        assert_eq!(resolve(&[], "10.0.0.9", &CLAIMS), ("10.0.0.9".into(), told("10.0.0.9", "https", "app.example")));
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let expected = ("1.1.1.1".into(), told("1.1.1.1, 10.0.0.9", "http", "evil.example"));
        assert_eq!(resolve(&["10.0.0.0/8"], "10.0.0.9", &CLAIMS), expected);
        assert_eq!(resolve(&["10.0.0.0/8"], "::ffff:10.0.0.9", &CLAIMS), expected);
    }

    #[test]
    fn the_chain_is_read_from_its_right_end_and_no_further_than_trust_goes() {
        let cases = [
            ("6.6.6.6, 2.2.2.2, 10.0.0.1", "2.2.2.2", "2.2.2.2, 10.0.0.1, 10.0.0.9"),
            ("6.6.6.6, nonsense, 10.0.0.1", "10.0.0.1", "10.0.0.1, 10.0.0.9"),
            ("", "10.0.0.9", "10.0.0.9"),
        ];
        for (claimed, client, chain) in cases {
            let headers = [("host", "app.example"), ("x-forwarded-for", claimed)];
            let expected = (client.to_owned(), told(chain, "https", "app.example"));
            assert_eq!(resolve(&["10.0.0.0/8"], "10.0.0.9", &headers), expected, "{claimed}");
        }
    }

    #[test]
    fn the_address_of_a_proxy_that_names_nobody_is_not_the_clients() {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()]);
        let known = |peer: Option<&str>, lines: &[&str]| {
            let name = || X_FORWARDED_FOR;
            let headers =
                lines.iter().map(|line| (name(), HeaderValue::from_bytes(line.as_bytes()).unwrap())).collect();
            let forwarded = trusted.resolve(&headers, peer.map(|peer| peer.parse().unwrap()), "https");
            forwarded.known_client().map(|client| client.to_string())
        };
        let client = |address: &str| Some(address.to_owned());
        // Nobody in front: the peer itself, whatever it writes.
        assert_eq!(known(Some("192.0.2.7"), &["10.1.1.1"]), client("192.0.2.7"));
        assert_eq!(known(Some("::ffff:192.0.2.7"), &[]), client("192.0.2.7"));
        // A trusted proxy: whom it names, and what it does not name is not known.
        assert_eq!(known(Some("10.0.0.9"), &["192.0.2.7"]), client("192.0.2.7"));
        assert_eq!(known(Some("10.0.0.9"), &["10.1.1.1, 192.0.2.7"]), client("192.0.2.7"), "written by the client");
        assert_eq!(known(Some("10.0.0.9"), &["10.1.1.1", "192.0.2.7"]), client("192.0.2.7"), "on a line of its own");
        assert_eq!(known(Some("10.0.0.9"), &["::ffff:192.0.2.7"]), client("192.0.2.7"));
        assert_eq!(known(Some("10.0.0.9"), &["10.0.0.3"]), client("10.0.0.3"));
        for unread in
            ["", "unknown", "192.0.2.7:443", "[2001:db8::1]", "_hidden", "é", "192.0.2.7, unknown", "192.0.2.007"]
        {
            assert_eq!(known(Some("10.0.0.9"), &[unread]), None, "{unread}");
        }
        assert_eq!(known(Some("10.0.0.9"), &[]), None);
        // A Unix socket has no address of its own.
        assert_eq!(known(None, &[]), None);
        assert_eq!(known(None, &["192.0.2.7"]), client("192.0.2.7"));
        let nobody = TrustedProxies::default().resolve(&HeaderMap::new(), None, "https");
        assert_eq!((nobody.known_client(), nobody.client), (None, IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn repeated_or_malformed_claims_are_not_believed_even_from_a_trusted_proxy() {
        let headers = [
            ("host", "app.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example/x"),
        ];
        assert_eq!(resolve(&["10.0.0.9/32"], "10.0.0.9", &headers).1, told("10.0.0.9", "https", "app.example"));
    }
}
