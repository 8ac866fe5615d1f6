//! The apps behind us, as addresses to connect to.
//!
//! Called by `server/proxy`. Names are resolved in the background: resolving inside a request
//! would block a worker, and a name that does not resolve must be a 502, not a panic.

use super::settings::{Upstream, UpstreamAddress};
use arc_swap::ArcSwap;
use pingora::upstreams::peer::HttpPeer;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Shorter than the keep-alive of the apps (uvicorn: 5 s), so that we never write into a
/// connection that the app is just closing.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// How often names are resolved anew.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// All apps.
pub(super) struct Upstreams(Vec<App>);

struct App {
    settings: Upstream,
    addresses: ArcSwap<Vec<SocketAddr>>,
    turn: AtomicUsize,
}

/// Why there is nowhere to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPeer {
    #[error("the name {0:?} does not resolve")]
    Unresolved(String),
    #[error("{0:?} is not a path that a socket can have")]
    Path(String),
    #[error("there is no such upstream")]
    Unknown,
}

impl Upstreams {
    pub(super) fn new(upstreams: Vec<Upstream>) -> Self {
        let app = |settings: Upstream| {
            let literal = match &settings.address {
                UpstreamAddress::Tcp { host, port, .. } => {
                    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                    bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, *port))
                }
                UpstreamAddress::Unix(_) => None,
            };
            let addresses = ArcSwap::from_pointee(literal.into_iter().collect());
            App { settings, addresses, turn: AtomicUsize::new(0) }
        };
        Self(upstreams.into_iter().map(app).collect())
    }

    /// The upstream's settings.
    pub(super) fn settings(&self, index: usize) -> Option<&Upstream> {
        self.0.get(index).map(|app| &app.settings)
    }

    /// How many addresses the upstream has: how often it makes sense to try to connect.
    pub(super) fn addresses(&self, index: usize) -> usize {
        self.0.get(index).map_or(0, |app| app.addresses.load().len())
    }

    /// Begins with the addresses that the same apps had before.
    pub(super) fn take_over(&self, before: &Self) {
        for app in &self.0 {
            if let Some(same) = before.0.iter().find(|same| same.settings.address == app.settings.address) {
                app.addresses.store(same.addresses.load_full());
            }
        }
    }

    /// Resolves every name once. A name that does not resolve keeps the addresses it had.
    pub(super) async fn resolve(&self) {
        self.resolve_where(|_| true).await;
    }

    /// Resolves the names that have no address yet.
    pub(super) async fn resolve_new(&self) {
        self.resolve_where(|app| app.addresses.load().is_empty()).await;
    }

    async fn resolve_where(&self, is_wanted: impl Fn(&App) -> bool) {
        for app in self.0.iter().filter(|app| is_wanted(app)) {
            let UpstreamAddress::Tcp { host, port, .. } = &app.settings.address else { continue };
            if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
                continue;
            }
            match tokio::net::lookup_host((host.as_str(), *port)).await {
                Ok(found) => {
                    // IPv4 first: what listens on localhost mostly listens there.
                    let mut found: Vec<SocketAddr> = found.collect();
                    found.sort_by_key(SocketAddr::is_ipv6);
                    if !found.is_empty() && **app.addresses.load() != found {
                        app.addresses.store(Arc::new(found));
                    }
                }
                Err(error) => {
                    tracing::warn!(upstream = app.settings.name, host, %error, "the upstream's name does not resolve");
                }
            }
        }
    }

    /// Which of its addresses a new request is to try first; they take turns.
    pub(super) fn turn(&self, index: usize) -> usize {
        self.0.get(index).map_or(0, |app| app.turn.fetch_add(1, Ordering::Relaxed))
    }

    /// Where to connect. `turn` is counted on by one for every address that was tried in vain, so
    /// that each try of one request is at another address, whatever other requests do meanwhile.
    pub(super) fn peer(&self, index: usize, turn: usize) -> Result<HttpPeer, NoPeer> {
        let app = self.0.get(index).ok_or(NoPeer::Unknown)?;
        let mut peer = match &app.settings.address {
            UpstreamAddress::Unix(path) => unix_peer(path)?,
            UpstreamAddress::Tcp { host, tls, .. } => {
                let addresses = app.addresses.load();
                let at = turn.checked_rem(addresses.len()).unwrap_or(0);
                let address = *addresses.get(at).ok_or_else(|| NoPeer::Unresolved(host.clone()))?;
                // Never an empty name with TLS: it would switch the check of the certificate off.
                #[expect(clippy::disallowed_methods, reason = "given a resolved address it neither blocks nor fails")]
                HttpPeer::new(address, *tls, if *tls { host.clone() } else { String::new() })
            }
        };
        let timeouts = app.settings.timeouts;
        let options = &mut peer.options;
        options.connection_timeout = Some(timeouts.connect);
        options.total_connection_timeout = Some(timeouts.connect.saturating_mul(2));
        options.read_timeout = Some(timeouts.read);
        options.write_timeout = Some(timeouts.read);
        options.idle_timeout = Some(POOL_IDLE);
        Ok(peer)
    }
}

fn unix_peer(path: &Path) -> Result<HttpPeer, NoPeer> {
    let bad = || NoPeer::Path(path.display().to_string());
    HttpPeer::new_uds(path.to_str().ok_or_else(bad)?, false, String::new()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::settings::Timeouts;
    use pingora::upstreams::peer::Peer;

    fn upstreams(host: &str, tls: bool) -> Upstreams {
        let address = UpstreamAddress::Tcp { host: host.to_owned(), port: 8000, tls };
        Upstreams::new(vec![Upstream { name: "app".into(), address, timeouts: Timeouts::default() }])
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_an_error_and_not_a_panic() {
        let upstreams = upstreams("does-not-exist.invalid", false);
        upstreams.resolve().await;
        assert_eq!(upstreams.peer(0, 0).unwrap_err(), NoPeer::Unresolved("does-not-exist.invalid".into()));
    }

    #[tokio::test]
    async fn a_name_resolves_in_the_background() {
        let upstreams = upstreams("localhost", false);
        assert!(upstreams.peer(0, 0).is_err());
        upstreams.resolve().await;
        let all: Vec<_> =
            (0..upstreams.addresses(0)).map(|turn| upstreams.peer(0, turn).unwrap().address().to_string()).collect();
        assert!(all.iter().any(|address| address == "127.0.0.1:8000"), "{all:?}");
    }

    #[test]
    fn requests_begin_at_addresses_in_turn_and_go_on_to_the_others() {
        let upstreams = upstreams("app.example", false);
        let addresses = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"];
        upstreams.0[0].addresses.store(Arc::new(addresses.map(|address| address.parse().unwrap()).to_vec()));
        for first in [0, 1, 2, 0] {
            let turn = upstreams.turn(0);
            let tried: Vec<_> =
                (0..3).map(|failed| upstreams.peer(0, turn + failed).unwrap().address().to_string()).collect();
            let expected: Vec<_> = (0..3).map(|failed| addresses[(first + failed) % 3]).collect();
            assert_eq!(tried, expected);
        }
    }

    #[test]
    fn tls_always_has_a_name_to_check_and_every_timeout_is_set() {
        let peer = upstreams("192.0.2.1", true).peer(0, 0).unwrap();
        assert_eq!(peer.sni, "192.0.2.1");
        let options = &peer.options;
        assert!(options.verify_cert && options.verify_hostname);
        for timeout in [
            options.connection_timeout,
            options.total_connection_timeout,
            options.read_timeout,
            options.write_timeout,
            options.idle_timeout,
        ] {
            assert!(timeout.is_some());
        }
    }
}
