//! What serves at present: swapped as a whole when the configuration was read anew.
//!
//! `server` puts the first one together, and `app/reload` brings the parts of each that follows. A
//! request takes the [`Sites`] of its beginning along to its end ([`super::sites`]), so that an index
//! of one turn never meets the table of another; the keeper of live connections (`live`) judges what
//! is under way by the [`Gates`] of the present one. Must never show half of a turn.

use super::explain::{ExplainedSite, Explainer};
use super::proxy::Proxy;
use super::settings::Upstream;
use super::sites::{Site, Sites};
use super::upstream::Upstreams;
use super::{Endpoints, hosts_of};
use crate::gate::Gate;
use crate::pages::Pages;
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What a site has anew.
pub struct Renewed {
    /// The decision.
    pub gate: Arc<Gate>,
    /// What explains it.
    pub explained: Arc<ExplainedSite>,
    /// What people see.
    pub pages: Pages,
    /// The apps, as the routes of this gate name them.
    pub upstreams: Vec<Upstream>,
}

/// A turn to be taken: every site, in their order.
pub struct Turn {
    /// What each has anew.
    pub sites: Vec<Renewed>,
    /// Told once it is in force.
    pub taken: oneshot::Sender<()>,
}

/// What decides at present.
pub(super) struct Gates {
    now: ArcSwap<OfTurn>,
    changes: watch::Sender<u64>,
}

/// The gates of one turn.
pub(super) struct OfTurn {
    /// Which turn it is.
    pub(super) number: u64,
    /// Of each site.
    pub(super) gates: Vec<Arc<Gate>>,
}

impl Gates {
    pub(super) fn new(gates: Vec<Arc<Gate>>) -> Self {
        Self { now: ArcSwap::from_pointee(OfTurn { number: 0, gates }), changes: watch::Sender::new(0) }
    }

    pub(super) fn load(&self) -> Guard<Arc<OfTurn>> {
        self.now.load()
    }

    pub(super) fn load_full(&self) -> Arc<OfTurn> {
        self.now.load_full()
    }

    /// Changes with each turn.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn take_turn(&self, number: u64, gates: Vec<Arc<Gate>>) {
        self.now.store(Arc::new(OfTurn { number, gates }));
    }
}

/// What serves at present.
pub(super) struct Present {
    browsers: ArcSwap<Sites>,
    /// The same where front proxies alone ask.
    front_proxies: ArcSwap<Sites>,
    pub(super) gates: Arc<Gates>,
    /// What administrators ask.
    explainer: Arc<ArcSwap<Explainer>>,
}

impl Present {
    pub(super) fn new(sites: Sites, explainer: Arc<ArcSwap<Explainer>>) -> Self {
        let gates = sites.all().iter().map(|site| Arc::clone(&site.proxy.gate)).collect();
        Self {
            front_proxies: ArcSwap::from_pointee(sites.answering_front_proxies_alone()),
            browsers: ArcSwap::from_pointee(sites),
            gates: Arc::new(Gates::new(gates)),
            explainer,
        }
    }

    pub(super) fn sites(&self, answering_front_proxies_alone: bool) -> Guard<Arc<Sites>> {
        if answering_front_proxies_alone { self.front_proxies.load() } else { self.browsers.load() }
    }

    /// Takes every turn that comes.
    pub(super) async fn take_turns(&self, mut turns: mpsc::Receiver<Turn>) {
        while let Some(Turn { sites, taken }) = turns.recv().await {
            self.take_turn(sites).await;
            // Whoever does not wait for it has left.
            let _ = taken.send(());
        }
        // No turn comes any more; what runs beside this goes on.
        std::future::pending::<()>().await;
    }

    async fn take_turn(&self, renewed: Vec<Renewed>) {
        let before = self.browsers.load_full();
        let number = self.gates.load().number + 1;
        let explained = renewed.iter().map(|renewed| Arc::clone(&renewed.explained)).collect();
        let mut sites = Vec::with_capacity(renewed.len());
        for (site, renewed) in before.all().iter().zip(renewed) {
            sites.push(Site { name: site.name.clone(), proxy: Arc::new(follow(&site.proxy, renewed, number).await) });
        }
        let hosts = before.hosts().is_some().then(|| Arc::new(hosts_of(sites.iter().map(|site| &*site.proxy))));
        for site in &mut sites {
            // Nobody else has it yet.
            if let Some(proxy) = Arc::get_mut(&mut site.proxy) {
                proxy.hosts.clone_from(&hosts);
            }
        }
        let sites = before.followed_by(sites, hosts);
        // The gates first: what the keeper finds of a later turn than its own it would judge by rules that
        // are no longer in force.
        self.gates.take_turn(number, sites.all().iter().map(|site| Arc::clone(&site.proxy.gate)).collect());
        self.front_proxies.store(Arc::new(sites.answering_front_proxies_alone()));
        self.browsers.store(Arc::new(sites));
        self.explainer.store(Arc::new(self.explainer.load().followed_by(explained)));
        self.gates.changes.send_replace(number);
    }

    /// Resolves the names of the apps once.
    pub(super) async fn resolve(&self) {
        let sites = self.browsers.load_full();
        for site in sites.all() {
            site.proxy.upstreams.resolve().await;
        }
    }
}

/// A site of the next turn: what it has anew, and all else as it is.
async fn follow(before: &Proxy, renewed: Renewed, turn: u64) -> Proxy {
    let Renewed { gate, pages, upstreams, explained: _ } = renewed;
    let upstreams = Upstreams::new(upstreams);
    upstreams.take_over(&before.upstreams);
    upstreams.resolve_new().await;
    let endpoints = Endpoints { pages, ..Endpoints::clone(&before.endpoints) };
    Proxy { gate, endpoints: Arc::new(endpoints), upstreams: Arc::new(upstreams), turn, ..before.clone() }
}
