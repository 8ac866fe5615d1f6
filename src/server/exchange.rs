//! One request and its answer: what is learnt on the way, and the one log line at the end.

use super::metrics::Metrics;
use super::proxy::Proxy;
use crate::bearer::NotVerified;
use crate::clock::Timestamp;
use crate::credentials::Provided;
use crate::gate::headers::IdentityHeaders;
use crate::gate::rules::Circumstances;
use crate::session::{OpenedSession, SessionId};
use crate::web::forwarded::Forwarded;
use http::HeaderValue;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;
use tracing::Level;

/// Whether a request whose credential the app refused was sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    NotYet,
    /// It is about to be.
    Now,
    Done,
}

/// What is learnt of a request on its way.
pub(super) struct Exchange {
    pub(super) began: Instant,
    /// `forward`, `sign_in`, `deny`, `bad_request`, or the endpoint of ours that answered.
    pub(super) decision: &'static str,
    /// What it began with, which sees it to its end.
    pub(super) proxy: Option<Arc<Proxy>>,
    /// Which site it is for, by index and name, where there are several.
    pub(super) site: Option<(usize, Arc<str>)>,
    pub(super) route: Option<usize>,
    pub(super) session: Option<SessionId>,
    /// The provider that a sign-in goes to or comes from, by name, where there are several.
    pub(super) provider: Option<String>,
    /// The providers of the route that somebody is on the way to; all where it names none.
    pub(super) offered: Arc<[String]>,
    pub(super) identity: IdentityHeaders,
    /// What the log calls whoever shows its bearer token: the rule, and the name of a service key.
    pub(super) bearer: Option<String>,
    /// The beginning of the fingerprint of the client certificate of its connection.
    pub(super) certificate: Option<String>,
    /// When that token ends.
    pub(super) bearer_ends_at: Option<Timestamp>,
    /// Why the token does not count.
    pub(super) not_verified: Option<NotVerified>,
    /// What its cookie opened to.
    pub(super) opened: Option<Arc<OpenedSession>>,
    /// What the upstream needs to trust it.
    pub(super) credential: Provided,
    /// The proof of its session that goes along with the cookies to the app, where the route has
    /// one.
    pub(super) proof: Option<String>,
    /// Which credential takes the place of what the client sent under its headers, by index.
    pub(super) replaces: Option<usize>,
    /// Whether it goes to the app once more, with a new credential.
    pub(super) again: Again,
    /// `Set-Cookie` values that the answer takes along.
    pub(super) renewal: Vec<HeaderValue>,
    pub(super) forwarded: Option<Forwarded>,
    /// Method and path of the request that a front proxy asks about.
    pub(super) asked: Option<String>,
    /// The path and query that the app gets, where a prefix was stripped.
    pub(super) target: Option<String>,
    pub(super) upgrade: bool,
    /// Whether the app's answer is on its way to the client, or may be: no other can follow it.
    pub(super) is_answered: bool,
    /// At which address of the upstream this request begins.
    pub(super) turn: Option<usize>,
    /// How many addresses of the upstream were tried in vain.
    pub(super) failed_connects: usize,
    /// Why it was refused or failed.
    pub(super) reason: Option<Cow<'static, str>>,
    /// What decided, for a client who is to be told.
    pub(super) decided: Option<HeaderValue>,
    /// On the page and in the log line.
    pub(super) error_id: Option<String>,
    pub(super) level: Level,
    logged: bool,
    metrics: Arc<Metrics>,
}

impl Exchange {
    /// In which circumstances its request is judged at the moment `now`.
    pub(super) fn circumstances(&self, now: Timestamp) -> Circumstances {
        Circumstances { now, client: self.forwarded.as_ref().and_then(Forwarded::known_client) }
    }

    /// What the client speaks, as far as it is known.
    pub(super) fn scheme(&self) -> &'static str {
        self.forwarded.as_ref().map_or("https", Forwarded::scheme)
    }

    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        metrics.in_flight.inc();
        #[expect(
            clippy::disallowed_methods,
            reason = "durations for the log and the metrics; nothing is decided by them"
        )]
        let began = Instant::now();
        Self {
            began,
            decision: "unread",
            proxy: None,
            site: None,
            route: None,
            session: None,
            provider: None,
            offered: Arc::default(),
            identity: IdentityHeaders::default(),
            bearer: None,
            certificate: None,
            bearer_ends_at: None,
            not_verified: None,
            opened: None,
            credential: Provided::default(),
            proof: None,
            replaces: None,
            again: Again::NotYet,
            renewal: Vec::new(),
            forwarded: None,
            asked: None,
            target: None,
            upgrade: false,
            is_answered: false,
            turn: None,
            failed_connects: 0,
            reason: None,
            decided: None,
            error_id: None,
            level: Level::INFO,
            logged: false,
            metrics,
        }
    }

    /// What the upstream gets from now on; its cookies go to the browser, unless a token shows the
    /// session.
    pub(super) fn take(&mut self, mut provided: Provided) {
        if !self.opened.as_deref().is_some_and(OpenedSession::by_token) {
            self.renewal.append(&mut provided.cookies);
        }
        self.credential = provided;
    }

    pub(super) fn because(&mut self, reason: impl std::fmt::Display) {
        self.reason = Some(Cow::Owned(reason.to_string()));
    }

    /// Adds to the reason.
    pub(super) fn also(&mut self, more: impl std::fmt::Display) {
        self.reason = Some(match self.reason.take() {
            Some(reason) => Cow::Owned(format!("{reason}; {more}")),
            None => Cow::Owned(more.to_string()),
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        // Pingora logs nothing of what is dropped: a connection whose session ended, or one that
        // outstayed the shutdown.
        if !self.logged {
            let session = self.session.map(SessionId::short);
            let site = self.site.as_ref().map(|(_, name)| &**name);
            let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(target: "vestibule::access", decision = self.decision, site, session, ms, "cut off before its answer ended");
        }
    }
}

/// The fields of an access line. Never the query: it can hold a code, a `state`, or what an app
/// put there. Never a header: those hold cookies.
pub(super) struct AccessLine<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) status: u16,
    pub(super) route: &'a str,
    pub(super) upstream: &'a str,
    pub(super) bytes: usize,
}

impl Exchange {
    /// Writes the one line of this request.
    pub(super) fn log(&mut self, line: &AccessLine<'_>) {
        self.logged = true;
        // `tracing` wants the level at compile time.
        match self.level {
            Level::ERROR => self.line::<1>(line),
            Level::WARN => self.line::<2>(line),
            _ => self.line::<3>(line),
        }
    }

    fn line<const LEVEL: u8>(&self, line: &AccessLine<'_>) {
        macro_rules! at {
            ($level:expr) => {
                tracing::event!(
                    target: "vestibule::access",
                    $level,
                    method = line.method,
                    host = line.host,
                    site = self.site.as_ref().map(|(_, name)| &**name),
                    path = line.path,
                    status = line.status,
                    decision = self.decision,
                    route = line.route,
                    upstream = line.upstream,
                    session = self.session.map(|id| id.short()),
                    provider = self.provider.as_deref(),
                    bearer = self.bearer.as_deref(),
                    certificate = self.certificate.as_deref(),
                    client = self.forwarded.as_ref().map(|forwarded| tracing::field::display(forwarded.client)),
                    ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    bytes = line.bytes,
                    asked = self.asked.as_deref(),
                    reason = self.reason.as_deref(),
                    error_id = self.error_id,
                    "request"
                )
            };
        }
        match LEVEL {
            1 => at!(Level::ERROR),
            2 => at!(Level::WARN),
            _ => at!(Level::INFO),
        }
    }
}
