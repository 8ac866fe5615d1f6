//! The only place where rooms meet: takes a [`Config`] apart and hands each room its part.
//!
//! Called by `main` for `serve` and `demo`, and by the test suite, which runs several instances in
//! one process. `key_rotation`, `list_watch` and `reload` are what goes on afterwards.

use crate::bearer::Bearers;
use crate::clock::Clock;
use crate::config::{Config, Outline, Problems, SystemFiles};
use crate::credentials::key_book::Files;
use crate::credentials::{self, Credentials};
use crate::fetch::{Fetch, FetchUnavailable};
use crate::gate::Gate;
use crate::gate::assertion;
use crate::gate::headers::Headers;
use crate::login::Login;
use crate::oidc::Providers;
use crate::pages::{Branding, Pages, ProviderKind};
use crate::random::Random;
use crate::seal::KeyRing;
use crate::seats::Seats;
use crate::server::{BindError, Endpoints, Listeners, Metrics, Parts};
use crate::session::{self, KnownProviders, Refresher, Sessions};
use crate::store::{self, Store};
use crate::web::cookies::Cookies;
use crate::web::cors::Preflight;
use crate::web::origin::Origins;
use futures_util::future::{BoxFuture, join_all};
use key_rotation::{KeyRotation, SessionKeys};
use list_watch::ListWatch;
use reload::{Lasting, Reloading, Source};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot, watch};

mod explained;
mod key_rotation;
mod list_watch;
mod reload;

pub use reload::{Reloaded, Reloads};

pub use explained::explainer;

/// A sidecar, built and bound, about to run.
pub struct App {
    first: Site,
    others: Vec<Site>,
    listeners: Listeners,
    /// Notified when the files of keys are to be read at once.
    reread: Arc<Notify>,
    runs: Outline,
    source: Option<Source>,
    reloads: (Reloads, mpsc::Receiver<oneshot::Sender<Reloaded>>),
    clock: Clock,
    random: Arc<dyn Random>,
    metrics: Arc<Metrics>,
}

/// A site, built.
struct Site {
    parts: Parts,
    /// What keeps each ring of keys, and the lists, as their files are, and what has them read at once.
    rereadings: Vec<(BoxFuture<'static, ()>, Arc<Notify>)>,
    lasting: Lasting,
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
    /// No provider; `config` refuses that, other callers may not.
    #[error("there is no provider")]
    NoProvider,
    /// No session key; `config` refuses that, other callers may not.
    #[error("there is no session key")]
    NoKey,
    /// Nobody can be supposed, for explanations.
    #[error(transparent)]
    Supposed(#[from] session::NotSupposed),
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
        let runs = config.outline();
        let others = std::mem::take(&mut config.other_sites);
        let first = Site::build(config, &shared)?;
        let others = others.into_iter().map(|config| Site::build(config, &shared)).collect::<Result<_, _>>()?;
        let Shared { clock, random, metrics, .. } = shared;
        let (reread, source, reloads) = (Arc::default(), None, Reloads::new());
        Ok(Self { first, others, listeners, reread, runs, source, reloads, clock, random, metrics })
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

    /// Has the configuration read again from `source` whenever it is asked for, which is done by what is
    /// given.
    pub fn reload_from(&mut self, source: impl Fn() -> Result<Config, Problems> + Send + Sync + 'static) -> Reloads {
        self.source = Some(Arc::new(source));
        self.reloads.0.clone()
    }

    /// Serves until `shutdown` completes and the requests under way have finished.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { first, others, listeners, reread, runs, source, reloads: (_, asked), clock, random, metrics } = self;
        let (mut rereadings, mut sites) = (first.rereadings, vec![first.lasting]);
        let mut other_parts = Vec::with_capacity(others.len());
        for site in others {
            other_parts.push(site.parts);
            rereadings.extend(site.rereadings);
            sites.push(site.lasting);
        }
        let (turns, taken) = mpsc::channel(1);
        let reloading = Reloading { source, asked, sites, runs, turns, clock, random, metrics };
        let (rereadings, asked): (Vec<_>, Vec<Arc<Notify>>) = rereadings.into_iter().unzip();
        let rereading = async {
            join_all(rereadings).await;
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
            () = Box::pin(crate::server::run(first.parts, other_parts, listeners, taken, shutdown)) => {}
            () = reloading.keep() => {}
            () = rereading => {}
            () = told_to_all => {}
        }
    }
}

impl Site {
    /// Builds every room of a site, which meets those of another nowhere.
    fn build(config: Config, shared: &Shared) -> Result<Self, StartError> {
        let Shared { clock, random, fetch, metrics } = shared;
        let store = match &config.site {
            Some(name) => store::open(&config.store.of_site(name))?,
            None => store::open(&config.store)?,
        };
        let ring = ring_of(&config)?;
        let cookies = Cookies::new(&config.public_url, &config.cookies);
        let (settings, on_down) = (config.session, config.on_store_down);
        let kept_by_callers = config.kept_claims.clone();
        let sessions = Sessions::new(
            Arc::clone(&ring),
            cookies.clone(),
            settings,
            config.kept_claims.iter().cloned(),
            Arc::clone(&store),
            on_down,
        );
        let sessions = Arc::new(sessions.of_providers(known_providers(&config)));
        let seats = seats_of(&config, &sessions, (&ring, &store), random);
        let gate = Arc::new(gate_of(&config, &sessions, config.assertion.clone()).seating(seats.clone()));
        let explained =
            Arc::new(explained::explained(&config, Arc::clone(&gate), config.assertion.clone(), &**random)?);
        let pages = pages_of(&config);
        let (public_url, prefix) = (config.public_url.clone(), config.prefix.clone());
        let providers = Providers::new(config.providers, fetch).ok_or(StartError::NoProvider)?;
        let files: Arc<dyn Files> = Arc::new(SystemFiles);
        let credentials =
            Credentials::new(config.credentials, &sessions, &store, providers.clone(), fetch, &files, random)?;
        let credentials = Arc::new(credentials);
        let bearers = Arc::new(Bearers::new(config.bearers, kept_by_callers, fetch));
        let refresher = Refresher::new(Arc::clone(&sessions), providers.clone(), Arc::clone(random));
        let refresher = Arc::new(refresher);
        let login = Login::new(
            config.login,
            providers,
            Arc::clone(&sessions),
            Arc::clone(&ring),
            cookies,
            public_url.clone(),
            prefix.clone(),
        );

        let proconnect = match login.providers().only() {
            Some(only) if config.pages.proconnect => vec![only.settings().name.clone()],
            _ => {
                let named = config.pages.providers.iter();
                named.filter(|named| named.kind == ProviderKind::ProConnect).map(|named| named.name.clone()).collect()
            }
        };
        let endpoints = Endpoints {
            login: Arc::new(login),
            sessions: Arc::clone(&sessions),
            refresher: Arc::clone(&refresher),
            credentials: Arc::clone(&credentials),
            pages,
            proconnect,
            public_url,
            prefix,
            clock: clock.clone(),
            random: Arc::clone(random),
            metrics: Arc::clone(metrics),
            sign_out_answer: config.sign_out_answer,
            signing: config.signing.iter().map(|keys| Arc::clone(&keys.ring)).collect(),
            seats: seats.clone(),
        };
        let mut rereadings = vec![keeping(config.site.clone(), SessionKeys { files: config.key_files, ring })];
        rereadings.extend(config.signing.into_iter().map(|keys| keeping(config.site.clone(), keys)));
        let (lists, present_lists) = watch::channel(config.list_files);
        let watch = ListWatch { site: config.site.clone(), files: present_lists };
        // Nobody can ask it to hurry.
        rereadings.push((Box::pin(watch.keep()), Arc::default()));
        let (sessions_too, bearers_too) = (Arc::clone(&sessions), Arc::clone(&bearers));
        let assertion = config.assertion;
        let lasting = Lasting { sessions: sessions_too, bearers: bearers_too, assertion, lists, seats };
        let parts = Parts {
            site: config.site,
            gate,
            explained,
            endpoints,
            sessions,
            refresher,
            credentials,
            bearers,
            playground: config.playground,
            store,
            settings: config.server,
        };
        Ok(Self { parts, rereadings, lasting })
    }
}

/// What keeps a ring of keys as its files are.
fn keeping<K: key_rotation::Keys>(site: Option<String>, keys: K) -> (BoxFuture<'static, ()>, Arc<Notify>) {
    let asked = Arc::new(Notify::new());
    let rotation = KeyRotation { site, keys: Arc::new(keys), asked: Arc::clone(&asked) };
    (Box::pin(rotation.keep()), asked)
}

/// The keys of a site.
fn ring_of(config: &Config) -> Result<Arc<KeyRing>, StartError> {
    // Where sign-in is shared the domain is the site. Another client of the provider's is another
    // site in any case: nobody who signed in at the integration provider, where anybody can be
    // anybody, stays signed in when the production one takes its place.
    let site = config.cookies.domain.as_deref().unwrap_or(config.public_url.origin());
    // So is one of another name: its store is another as well, which knows nothing of who signed out.
    let name = config.site.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    // Of several each session says itself with which it began: one may come or go, and the others' go on.
    let client = match config.providers.as_slice() {
        [only] => only.client_id.as_str(),
        _ => "\0",
    };
    let site = format!(" {site} {client}{name}");
    KeyRing::of_site(&config.keys, &site).map(Arc::new).ok_or(StartError::NoKey)
}

/// The providers of a site, as its sessions know them.
fn known_providers(config: &Config) -> KnownProviders {
    let known = config.providers.iter();
    KnownProviders::new(known.map(|one| (one.name.as_str(), one.issuer.as_str(), one.client_id.as_str())))
}

/// The licences and seats of a site, where people need one. What replicas announce of them comes with what
/// they announce of sessions.
fn seats_of(
    config: &Config,
    sessions: &Sessions,
    (ring, store): (&Arc<KeyRing>, &Arc<dyn Store>),
    random: &Arc<dyn Random>,
) -> Option<Arc<Seats>> {
    let seats = Seats::new(config.seats.clone()?, Arc::clone(ring), Arc::clone(store), Arc::clone(random));
    let seats = Arc::new(seats);
    seats.register().declare(&config.licences, known_providers(config).are_several());
    let hears = Arc::clone(&seats);
    sessions.hand_other_news_to(move |entry, now| {
        let is_about_seats = Seats::is_about_seats(entry);
        if is_about_seats {
            hears.hear(entry, now);
        }
        is_about_seats
    });
    Some(seats)
}

/// The gate of a site, of all that `config` says, over these sessions, and of what signs its assertions.
/// It is made again at every reload; who signs lasts.
fn gate_of(config: &Config, sessions: &Arc<Sessions>, assertion: Option<assertion::Settings>) -> Gate {
    let headers = Headers::new(config.identity.clone()).telling_providers_apart(known_providers(config).are_several());
    let origins = Origins::new(config.public_url.clone(), config.login.origins.clone());
    let passes_preflights = config.server.cors.as_ref().is_some_and(|cors| cors.preflight == Preflight::Pass);
    Gate::new(config.routes.clone(), headers, Arc::clone(sessions), config.public_url.clone(), config.prefix.clone())
        .returning_to(config.login.return_hosts.clone())
        .asserting(assertion)
        .trusting(origins, passes_preflights)
}

/// The pages of a site. They are made again at every reload.
fn pages_of(config: &Config) -> Pages {
    let branding = Branding { application: config.pages.application.clone(), contact: config.pages.contact.clone() };
    let kind = if config.pages.proconnect { ProviderKind::ProConnect } else { ProviderKind::Other };
    let over_https =
        config.public_url.is_secure() && config.providers.iter().all(|provider| provider.issuer.starts_with("https:"));
    let by_address = !config.login.domain_owners.is_empty();
    Pages::new(&branding, config.prefix.as_str(), kind, over_https)
        .of_providers(config.pages.providers.clone(), by_address)
}
