//! Everything that names Pingora: listeners, the proxy's phases, the admin listener, and the one
//! table from errors to HTTP.
//!
//! Called by `app`, which brings the parts. Runs inside the caller's Tokio runtime, not in
//! Pingora's own server: that one binds late, sleeps through its shutdown and takes over signals.

mod admin;
mod bearer;
mod client_certificates;
mod credential;
mod endpoints;
mod exchange;
pub mod explain;
mod ext_authz;
mod farewell;
mod form;
mod forward_auth;
mod held;
mod judged;
mod kept_form;
mod line;
mod listen;
mod live;
mod look;
mod metrics;
mod my_sessions;
mod playground;
mod playground_endpoints;
mod provider_logout;
mod proxy;
mod refusal;
mod reply;
mod rescue;
mod seat_metrics;
mod seats;
mod session_data;
mod settings;
mod sites;
mod step_up;
mod token_endpoints;
mod turn;
mod upstream;
mod which_provider;

pub use endpoints::Endpoints;
pub use listen::{BindError, Bound};
pub use metrics::Metrics;
pub use settings::{
    EnvelopeSettings, ForwardAuth, ListenAddress, Listener, NotSignedIn, PlaygroundEndpoints, PlaygroundSettings,
    Settings, Timeouts, TlsFiles, Upstream, UpstreamAddress,
};

pub use turn::{Renewed, Turn};

use crate::bearer::Bearers;
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::gate::Gate;
use crate::login::Login;
use crate::oidc::Provider;
use crate::seats::Seats;
use crate::session::{Refresher, Sessions};
use crate::store::Store;
use crate::web::cors::Cors;
use crate::web::forwarded::TrustedProxies;
use crate::web::site_hosts::SiteHosts;
use admin::{Admin, IsReady, SeenSite};
use arc_swap::ArcSwap;
use explain::Explainer;
use ext_authz::ExtAuthz;
use futures_util::future::join_all;
use live::{EndsWithSession, Keeper, Live};
use pingora::apps::ServerApp;
use pingora::apps::http_app::HttpServer;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use playground::Playground;
use proxy::Proxy;
use sites::{Front, Site, Sites};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use turn::Present;
use upstream::{RESOLVE_EVERY, Upstreams};

/// Between two looks at whether the last request has finished, while shutting down.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// For the connections of gRPC to close when the last question is answered.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Until the provider has been reached once.
const PREPARE_RETRY: Duration = Duration::from_secs(5);
/// Afterwards: keeps metadata and keys fresh, so that no sign-in waits for them.
const PREPARE_EVERY: Duration = Duration::from_secs(60);

/// What a server is made of, or a site of it.
pub struct Parts {
    /// Its name, where there are several.
    pub site: Option<String>,
    /// The decision.
    pub gate: Arc<Gate>,
    /// What says why.
    pub explained: Arc<explain::ExplainedSite>,
    /// Our own endpoints.
    pub endpoints: Endpoints,
    /// The sessions, as the gate has them.
    pub sessions: Arc<Sessions>,
    /// What asks the provider about them again.
    pub refresher: Arc<Refresher>,
    /// What upstreams need to trust a request.
    pub credentials: Arc<Credentials>,
    /// What verifies the tokens of API clients.
    pub bearers: Arc<Bearers>,
    /// What opens the playgrounds of 2025.
    pub playground: PlaygroundSettings,
    /// The state kept between requests.
    pub store: Arc<dyn Store>,
    /// Listeners, upstreams, limits. What belongs to the process is the same for all sites.
    pub settings: Settings,
}

/// The listeners, bound.
pub struct Listeners {
    /// For browsers and front proxies.
    pub proxy: Bound,
    /// For operators.
    pub admin: Bound,
    /// For front proxies that ask, and nobody else.
    pub forward_auth: Option<Bound>,
    /// For Envoy, which asks in messages of gRPC.
    pub forward_auth_grpc: Option<Bound>,
}

impl Listeners {
    /// Binds them all.
    ///
    /// # Errors
    /// [`BindError`] for the first that cannot be had.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let forward_auth = settings.forward_auth_listener.as_ref().map(Bound::bind).transpose()?;
        let grpc = settings.forward_auth_grpc_listener.clone().map(|address| Listener { address, tls: None });
        Ok(Self {
            proxy: Bound::bind(&settings.proxy)?,
            admin: Bound::bind(&settings.admin)?,
            forward_auth,
            forward_auth_grpc: grpc.as_ref().map(Bound::bind).transpose()?,
        })
    }
}

/// Serves until `shutdown` completes; then takes no more connections, lets requests finish for
/// the configured time, and returns. `others` are the further sites; every one of `turns` is in force from
/// when it comes.
pub async fn run(
    parts: Parts,
    others: Vec<Parts>,
    listeners: Listeners,
    turns: mpsc::Receiver<Turn>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let settings = parts.settings.clone();
    let (metrics, clock) = (Arc::clone(&parts.endpoints.metrics), parts.endpoints.clock.clone());
    let random = Arc::clone(&parts.endpoints.random);
    // On its own listener the root is the prefix.
    let pages = parts.endpoints.pages.at("");
    let threads = settings.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let configuration = Arc::new(ServerConf { threads, ..ServerConf::default() });
    let of_sites = std::iter::once(&parts).chain(&others).map(|parts| Arc::clone(&parts.explained)).collect();
    let explainer = Arc::new(ArcSwap::from_pointee(Explainer::new(of_sites, Arc::clone(&random))));
    let (sites, seen, work) = assemble(parts, others, &settings).await;
    let present = Arc::new(Present::new(sites, Arc::clone(&explainer)));
    let sessions = seen.iter().map(|site| Arc::clone(&site.sessions)).collect();
    let seats = work.iter().map(|site| site.seats.clone()).collect();
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        sites: seen,
        token: settings.admin_token,
        pages,
        clock: clock.clone(),
        listing: tokio::sync::Mutex::default(),
        explainer,
    };

    tracing::info!(proxy = listeners.proxy.describe(), admin = listeners.admin.describe(), "listening");
    let (stop, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    let live = Arc::new(Live::default());
    let keeper = Keeper {
        live: Arc::clone(&live),
        sessions,
        seats,
        gates: Arc::clone(&present.gates),
        clock: clock.clone(),
        random,
        metrics: Arc::clone(&metrics),
    };
    let front = |for_front_proxies| Front::new(Arc::clone(&present), for_front_proxies, Arc::clone(&metrics));
    let mut doors = Doors { configuration, live, stopped: stopped.clone(), serving: &mut serving };
    if let Some(listener) = listeners.forward_auth {
        tracing::info!(forward_auth = listener.describe(), "listening for front proxies that ask");
        doors.open("forward-auth", front(true), listener);
    }
    let mut grpc = JoinSet::new();
    if let Some(listener) = listeners.forward_auth_grpc {
        tracing::info!(forward_auth_grpc = listener.describe(), "listening for Envoy that asks");
        grpc.spawn(ExtAuthz::new(front(true)).serve(listener, stopped.clone()));
    }
    doors.open("proxy", front(false), listeners.proxy);
    let admin = Service::new("admin".to_owned(), HttpServer::new_app(admin));
    serving.spawn(serve(admin, listeners.admin, stopped));
    let background = tokio::spawn(async move {
        let work = join_all(work.iter().map(|site| site.go_on(&clock)));
        tokio::join!(work, keeper.keep(), keep_resolved(&present), present.take_turns(turns));
    });

    shutdown.await;
    tracing::info!(
        in_flight = metrics.in_flight.get(),
        "shutting down: no new connections, requests under way may finish"
    );
    // Fails only when every listener is gone already.
    let _ = stop.send(true);
    while serving.join_next().await.is_some() {}
    let drained = async {
        while metrics.in_flight.get() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        // The last answers are on their way; a connection that stays open has nothing to say.
        let _ = tokio::time::timeout(LAST_ANSWERS, async { while grpc.join_next().await.is_some() {} }).await;
    };
    if tokio::time::timeout(settings.shutdown_grace, drained).await.is_err() {
        tracing::warn!(in_flight = metrics.in_flight.get(), "requests still under way are cut off");
    }
    background.abort();
}

/// Puts the sites together: what answers for them, what administrators see of each, and what each has
/// to do all the time.
async fn assemble(first: Parts, others: Vec<Parts>, settings: &Settings) -> (Sites, Vec<SeenSite>, Vec<SiteWork>) {
    let all: Vec<Parts> = std::iter::once(first).chain(others).collect();
    let has_names = all.iter().any(|parts| parts.site.is_some());
    let trusted = TrustedProxies::new(settings.trusted_proxies.clone());
    let (mut proxies, mut seen, mut work) = (Vec::new(), Vec::new(), Vec::new());
    let each = all.into_iter().enumerate().map(|(index, parts)| site(parts, trusted.clone(), index));
    for (proxy, of_admin, of_background) in join_all(each).await {
        proxies.push(proxy);
        seen.push(of_admin);
        work.push(of_background);
    }
    let hosts = has_names.then(|| Arc::new(hosts_of(&proxies)));
    let named = proxies.into_iter().zip(&seen).map(|(proxy, seen)| Site {
        name: seen.name.as_deref().map(Arc::from),
        proxy: Arc::new(Proxy { hosts: hosts.clone(), ..proxy }),
    });
    let sites = named.collect();
    (Sites::new(sites, hosts, trusted), seen, work)
}

/// At which hosts each site answers.
fn hosts_of<'p>(proxies: impl IntoIterator<Item = &'p Proxy>) -> SiteHosts {
    proxies.into_iter().enumerate().fold(SiteHosts::default(), |hosts, (index, proxy)| {
        let routes = proxy.gate.routes().filter_map(|route| route.host.as_deref());
        hosts.with(index, &proxy.endpoints.public_url, routes)
    })
}

async fn site(parts: Parts, trusted: TrustedProxies, index: usize) -> (Proxy, SeenSite, SiteWork) {
    let Parts {
        site,
        gate,
        explained: _,
        endpoints,
        sessions,
        refresher,
        credentials,
        bearers,
        playground,
        store,
        settings,
    } = parts;
    let (login, clock) = (Arc::clone(&endpoints.login), endpoints.clock.clone());
    let upstreams = Arc::new(Upstreams::new(settings.upstreams));
    upstreams.resolve().await;
    // What ended before we came is over for the first request already.
    sessions.catch_up(&clock).await;
    let ready = Arc::clone(&login);
    let seen = SeenSite {
        name: site.clone(),
        is_ready: Arc::new(move || ready.providers().any_is_ready()),
        keys_to_delete: {
            let credentials = Arc::clone(&credentials);
            Arc::new(move || credentials.keys_to_delete())
        },
        sessions: Arc::clone(&sessions),
        seats: endpoints.seats.clone(),
        providers: login
            .providers()
            .iter()
            .cloned()
            .map(|provider| -> (String, IsReady) {
                (provider.settings().name.clone(), Arc::new(move || provider.is_ready()))
            })
            .collect(),
    };
    let seats = endpoints.seats.clone();
    let work =
        SiteWork { name: site, login, sessions: Arc::clone(&sessions), credentials: Arc::clone(&credentials), seats };
    let metrics = Arc::clone(&endpoints.metrics);
    let proxy = Proxy {
        gate,
        endpoints: Arc::new(endpoints),
        sessions,
        refresher,
        credentials,
        bearers,
        playground: Arc::new(Playground { settings: playground, store }),
        upstreams,
        trusted,
        aliases: settings.aliases.into(),
        told_in_short: settings.decision_header.into(),
        forward_auth: settings.forward_auth,
        cors: settings.cors.as_ref().map(|cors| Arc::new(Cors::new(cors))),
        answers_front_proxies_alone: false,
        metrics,
        site: index,
        turn: 0,
        hosts: None,
    };
    (proxy, seen, work)
}

/// What a site has to do all the time.
struct SiteWork {
    name: Option<String>,
    login: Arc<Login>,
    sessions: Arc<Sessions>,
    credentials: Arc<Credentials>,
    seats: Option<Arc<Seats>>,
}

impl SiteWork {
    /// Never ends by itself.
    async fn go_on(&self, clock: &Clock) {
        tokio::join!(
            join_all(self.login.providers().iter().map(|provider| keep_prepared(
                self.name.as_deref(),
                provider,
                clock
            ))),
            self.sessions.follow(clock),
            self.credentials.clean_up(clock),
            self.keep_seats(clock),
        );
    }

    async fn keep_seats(&self, clock: &Clock) {
        let Some(seats) = &self.seats else { return };
        let (departures, told) = mpsc::unbounded_channel();
        self.sessions.tell_departures_to(departures);
        tokio::join!(seats.keep(clock), seats::free_after(told, &self.sessions, seats, clock));
    }
}

/// By which connections come in that can be cut.
struct Doors<'a> {
    configuration: Arc<ServerConf>,
    live: Arc<Live>,
    stopped: watch::Receiver<bool>,
    serving: &'a mut JoinSet<()>,
}

impl Doors<'_> {
    fn open(&mut self, name: &str, front: Front, listener: Bound) {
        let app = Arc::new(http_proxy(&self.configuration, front));
        let app = EndsWithSession { app, live: Arc::clone(&self.live) };
        self.serving.spawn(serve(Service::new(name.to_owned(), app), listener, self.stopped.clone()));
    }
}

/// Accepts connections until told to stop.
async fn serve<A: ServerApp + Send + Sync + 'static>(
    mut service: Service<A>,
    listener: Bound,
    stopped: watch::Receiver<bool>,
) {
    let descriptors: ListenFds = Arc::new(Fds::new().into());
    service.add_listener(listener.hand_over(&descriptors));
    service.start_service(Some(descriptors), stopped, 1).await;
}

/// Each provider for itself: one that does not answer keeps no other waiting.
async fn keep_prepared(site: Option<&str>, provider: &Provider, clock: &Clock) {
    let settings = provider.settings();
    let mut was_ready = false;
    loop {
        let outcome = provider.prepare(clock.now()).await;
        match &outcome {
            Ok(()) if !was_ready => {
                tracing::info!(site, provider = settings.name, "the provider's metadata and keys are there");
            }
            Ok(()) => {}
            Err(error) => tracing::warn!(
                site,
                provider = settings.name,
                issuer = settings.issuer,
                %error,
                "the provider cannot be asked; sessions go on, sign-ins fail until it can"
            ),
        }
        was_ready = outcome.is_ok();
        tokio::time::sleep(if was_ready { PREPARE_EVERY } else { PREPARE_RETRY }).await;
    }
}

async fn keep_resolved(present: &Present) {
    loop {
        tokio::time::sleep(RESOLVE_EVERY).await;
        present.resolve().await;
    }
}
