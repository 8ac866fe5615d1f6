//! The only place where rooms meet: takes a [`Config`] apart and hands each room its part.
//!
//! Called by `main` for `serve` and `demo`, and by the test suite, which runs several instances in
//! one process. `key_rotation` and `list_watch` are what goes on afterwards.

use crate::bearer::Bearers;
use crate::clock::Clock;
use crate::config::{Config, SystemFiles};
use crate::credentials::key_book::Files;
use crate::credentials::{self, Credentials};
use crate::fetch::{Fetch, FetchUnavailable};
use crate::gate::Gate;
use crate::gate::headers::Headers;
use crate::login::Login;
use crate::oidc::Provider;
use crate::pages::{Branding, Pages, ProviderKind};
use crate::random::Random;
use crate::seal::KeyRing;
use crate::server::{BindError, Endpoints, Listeners, Metrics, Parts};
use crate::session::{Refresher, Sessions};
use crate::store;
use crate::web::cookies::Cookies;
use crate::web::cors::Preflight;
use crate::web::origin::Origins;
use futures_util::future::join_all;
use key_rotation::KeyRotation;
use list_watch::ListWatch;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Notify;

mod key_rotation;
mod list_watch;

/// A sidecar, built and bound, about to run.
pub struct App {
    first: Site,
    others: Vec<Site>,
    listeners: Listeners,
    /// Notified when the files of the session keys and of lists are to be read at once.
    reread: Arc<Notify>,
}

/// A site, built.
struct Site {
    parts: Parts,
    key_rotation: KeyRotation,
    list_watch: ListWatch,
}

/// What all sites of a process share.
struct Shared {
    clock: Clock,
    random: Arc<dyn Random>,
    fetch: Fetch,
    metrics: Arc<Metrics>,
}

/// Why a sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The outbound HTTP client cannot be made.
    #[error("the outbound HTTP client cannot be made: {0}")]
    Fetch(#[from] FetchUnavailable),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// A credential cannot be had.
    #[error(transparent)]
    Credentials(#[from] credentials::StartError),
    /// No session key; `config` refuses that, other callers may not.
    #[error("there is no session key")]
    NoKey,
    /// A metric is defined twice.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl App {
    /// Builds every room and binds the listeners.
    ///
    /// # Errors
    /// [`StartError`], by cause.
    pub fn build(config: Config, clock: Clock, random: Arc<dyn Random>) -> Result<Self, StartError> {
        let listeners = Listeners::bind(&config.server)?;
        Self::build_on(listeners, config, clock, random)
    }

    /// Builds every room behind listeners that are bound already.
    ///
    /// # Errors
    /// [`StartError`], by cause.
    pub fn build_on(
        listeners: Listeners,
        mut config: Config,
        clock: Clock,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let shared = Shared { clock, random, fetch: Fetch::new()?, metrics: Arc::new(Metrics::new()?) };
        let others = std::mem::take(&mut config.other_sites);
        let first = Site::build(config, &shared)?;
        let others = others.into_iter().map(|config| Site::build(config, &shared)).collect::<Result<_, _>>()?;
        Ok(Self { first, others, listeners, reread: Arc::default() })
    }

    /// The listeners, for their addresses.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Has the files of the session keys and of lists read at once when it is notified; they are read
    /// every few seconds anyway.
    pub fn reread_keys(&self) -> Arc<Notify> {
        Arc::clone(&self.reread)
    }

    /// Serves until `shutdown` completes and the requests under way have finished.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { first, others, listeners, reread } = self;
        let (mut rotations, mut watches, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for site in others {
            parts.push(site.parts);
            rotations.push(site.key_rotation);
            watches.push(site.list_watch);
        }
        rotations.push(first.key_rotation);
        watches.push(first.list_watch);
        let of_keys = rotations.iter().map(|rotation| &rotation.asked);
        let asked: Vec<Arc<Notify>> = of_keys.chain(watches.iter().map(|watch| &watch.asked)).map(Arc::clone).collect();
        let reading = async {
            let keys = join_all(rotations.into_iter().map(KeyRotation::keep));
            tokio::join!(keys, join_all(watches.into_iter().map(ListWatch::keep)));
            std::future::pending::<()>().await;
        };
        let told_to_all = async {
            loop {
                reread.notified().await;
                for asked in &asked {
                    asked.notify_one();
                }
            }
        };
        tokio::select! {
            () = crate::server::run(first.parts, parts, listeners, shutdown) => {}
            () = reading => {}
            () = told_to_all => {}
        }
    }
}

impl Site {
    /// Builds every room of a site, which meets those of another nowhere.
    fn build(config: Config, shared: &Shared) -> Result<Self, StartError> {
        let Shared { clock, random, fetch, metrics } = shared;
        let (public_url, prefix) = (config.public_url, config.prefix);
        let store = match &config.site {
            Some(name) => store::open(&config.store.of_site(name))?,
            None => store::open(&config.store)?,
        };
        // Where sign-in is shared the domain is the site. Another client of the provider's is another
        // site in any case: nobody who signed in at the integration provider, where anybody can be
        // anybody, stays signed in when the production one takes its place.
        let site = config.cookies.domain.as_deref().unwrap_or(public_url.origin());
        // So is one of another name: its store is another as well, which knows nothing of who signed out.
        let name = config.site.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let site = format!(" {site} {}{name}", config.provider.client_id);
        let ring = Arc::new(KeyRing::of_site(&config.keys, &site).ok_or(StartError::NoKey)?);
        let cookies = Cookies::new(&public_url, &config.cookies);
        let (settings, on_down) = (config.session, config.on_store_down);
        let kept_by_callers = config.kept_claims.clone();
        let sessions = Sessions::new(
            Arc::clone(&ring),
            cookies.clone(),
            settings,
            config.kept_claims,
            Arc::clone(&store),
            on_down,
        );
        let sessions = Arc::new(sessions);
        let over_https = public_url.is_secure() && config.provider.issuer.starts_with("https:");
        let provider = Arc::new(Provider::new(config.provider, fetch.clone()));
        let files: Arc<dyn Files> = Arc::new(SystemFiles);
        let credentials =
            Credentials::new(config.credentials, &sessions, &store, Arc::clone(&provider), fetch, &files, random)?;
        let credentials = Arc::new(credentials);
        let bearers = Bearers::new(config.bearers, kept_by_callers, fetch);
        let refresher = Refresher::new(Arc::clone(&sessions), Arc::clone(&provider), Arc::clone(random));
        let refresher = Arc::new(refresher);
        let return_hosts = config.login.return_hosts.clone();
        let origins = Origins::new(public_url.clone(), config.login.origins.clone());
        let login = Login::new(
            config.login,
            provider,
            Arc::clone(&sessions),
            Arc::clone(&ring),
            cookies,
            public_url.clone(),
            prefix.clone(),
        );

        let branding = Branding { application: config.pages.application, contact: config.pages.contact };
        let provider_kind = if config.pages.proconnect { ProviderKind::ProConnect } else { ProviderKind::Other };
        let endpoints = Endpoints {
            login: Arc::new(login),
            sessions: Arc::clone(&sessions),
            refresher: Arc::clone(&refresher),
            credentials: Arc::clone(&credentials),
            pages: Pages::new(&branding, prefix.as_str(), provider_kind, over_https),
            provider_kind,
            public_url: public_url.clone(),
            prefix: prefix.clone(),
            clock: clock.clone(),
            random: Arc::clone(random),
            metrics: Arc::clone(metrics),
            sign_out_answer: config.sign_out_answer,
        };
        let gate = Gate::new(config.routes, Headers::new(config.identity), Arc::clone(&sessions), public_url, prefix)
            .returning_to(return_hosts)
            .trusting(origins, config.server.cors.as_ref().is_some_and(|cors| cors.preflight == Preflight::Pass));
        let files = Arc::new(config.key_files);
        let key_rotation = KeyRotation { site: config.site.clone(), files, ring, asked: Arc::default() };
        let list_watch = ListWatch { site: config.site.clone(), files: config.list_files, asked: Arc::default() };
        let parts = Parts {
            site: config.site,
            gate,
            endpoints,
            sessions,
            refresher,
            credentials,
            bearers,
            playground: config.playground,
            store,
            settings: config.server,
        };
        Ok(Self { parts, key_rotation, list_watch })
    }
}
