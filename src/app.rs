//! The only place where rooms meet: takes a [`Config`] apart and hands each room its part.
//!
//! Called by `main` for `serve` and `demo`, and by the test suite, which runs several instances in
//! one process. `key_rotation` is the one thing that goes on afterwards.

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
use key_rotation::KeyRotation;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Notify;

mod key_rotation;

/// A sidecar, built and bound, about to run.
pub struct App {
    parts: Parts,
    listeners: Listeners,
    key_rotation: KeyRotation,
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
        config: Config,
        clock: Clock,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let (public_url, prefix) = (config.public_url, config.prefix);
        let store = store::open(&config.store)?;
        // Where sign-in is shared the domain is the site. Another client of the provider's is another
        // site in any case: nobody who signed in at the integration provider, where anybody can be
        // anybody, stays signed in when the production one takes its place.
        let site = config.cookies.domain.as_deref().unwrap_or(public_url.origin());
        let site = format!(" {site} {}", config.provider.client_id);
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
        let fetch = Fetch::new()?;
        let over_https = public_url.is_secure() && config.provider.issuer.starts_with("https:");
        let provider = Arc::new(Provider::new(config.provider, fetch.clone()));
        let files: Arc<dyn Files> = Arc::new(SystemFiles);
        let credentials =
            Credentials::new(config.credentials, &sessions, &store, Arc::clone(&provider), &fetch, &files, &random)?;
        let credentials = Arc::new(credentials);
        let bearers = Bearers::new(config.bearers, kept_by_callers, &fetch);
        let refresher = Refresher::new(Arc::clone(&sessions), Arc::clone(&provider), Arc::clone(&random));
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
            clock,
            random,
            metrics: Arc::new(Metrics::new()?),
            sign_out_answer: config.sign_out_answer,
        };
        let gate = Gate::new(config.routes, Headers::new(config.identity), Arc::clone(&sessions), public_url, prefix)
            .returning_to(return_hosts)
            .trusting(origins, config.server.cors.as_ref().is_some_and(|cors| cors.preflight == Preflight::Pass));
        let key_rotation = KeyRotation { files: Arc::new(config.key_files), ring, asked: Arc::default() };
        let parts = Parts {
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
        Ok(Self { parts, listeners, key_rotation })
    }

    /// The listeners, for their addresses.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Has the files of the session keys read at once when it is notified; they are read every few
    /// seconds anyway.
    pub fn reread_keys(&self) -> Arc<Notify> {
        Arc::clone(&self.key_rotation.asked)
    }

    /// Serves until `shutdown` completes and the requests under way have finished.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { parts, listeners, key_rotation } = self;
        let rotation = async {
            key_rotation.keep().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = crate::server::run(parts, listeners, shutdown) => {}
            () = rotation => {}
        }
    }
}
