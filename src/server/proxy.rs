//! The request on its way to the app and back: Pingora's phases in the order in which they run.
//!
//! hygiene → our own endpoints, or the gate → (upstream) strip, set, send → stream. The decision
//! itself is in `gate/decide`; this file does what it says.

use super::endpoints::Endpoints;
use super::exchange::{AccessLine, Again, Exchange};
use super::form::read_form;
use super::forward_auth::AUTH;
use super::held::ConnectHeld;
use super::line::{Answer, Cut, Line};
use super::metrics::Metrics;
use super::playground::Playground;
use super::playground_endpoints::PlaygroundEndpoint;
use super::reply::Reply;
use super::rescue::Rescue;
use super::settings::ForwardAuth;
use super::upstream::Upstreams;
use crate::clock::Timestamp;
use crate::credentials::Credentials;
use crate::gate::route::SessionCookie;
use crate::gate::{Denial, Gate, Verdict};
use crate::session::{NoSession, OpenedSession, Place, Refreshed, Refresher, Sessions};
use crate::web::cookies::{self, ForApp};
use crate::web::forwarded::TrustedProxies;
use crate::web::hygiene::CleanRequest;
use crate::web::original::FrontProxy;
use crate::web::return_to::ReturnTo;
use crate::web::shared_cache;
use async_trait::async_trait;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a browser's connection may rest between two requests. Longer than the front proxies
/// that keep theirs for 60 s, so that it is never we who close while they send.
const KEEP_ALIVE_SECONDS: u64 = 75;
/// Between two pieces of a request body, and for a client to take a piece of the answer.
const CLIENT_STALL: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) gate: Arc<Gate>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) refresher: Arc<Refresher>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) playground: Arc<Playground>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) trusted: TrustedProxies,
    pub(super) aliases: Arc<[(String, &'static str)]>,
    pub(super) forward_auth: Option<ForwardAuth>,
    /// Whether this is the listener that no browser reaches: it answers what front proxies ask,
    /// credentials included, and nothing else.
    pub(super) answers_front_proxies_alone: bool,
    pub(super) metrics: Arc<Metrics>,
}

/// What to do with a request once it was looked at.
enum Step {
    Forward,
    SignIn(ReturnTo),
    Endpoint { name: String, query: String },
    ForwardAuth { below: String },
    Playground { endpoint: PlaygroundEndpoint, query: String },
    Reply(Reply),
}

impl Proxy {
    async fn look(&self, session: &Session, exchange: &mut Exchange) -> Step {
        let header = session.req_header();
        let parts = header.as_ref();
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let scheme = if self.endpoints.public_url.is_secure() { "https" } else { "http" };
        exchange.peer_is_trusted = self.trusted.believe(peer);
        exchange.forwarded = Some(self.trusted.resolve(&parts.headers, peer, scheme));
        exchange.upgrade = session.is_upgrade_req();

        let head = session.as_downstream().as_http1().map(HttpSession::get_headers_raw_bytes).unwrap_or_default();
        let request = match CleanRequest::inspect(parts, header.raw_path(), &head) {
            Ok(request) => request,
            Err(cause) => {
                exchange.decision = "bad_request";
                let reply = self.endpoints.rescue(Rescue::of_ambiguous(cause), &cause, parts, exchange);
                return Step::Reply(reply.closing());
            }
        };
        let prefix = &self.endpoints.prefix;
        if let Some(below) = self.asked_below(request.target()) {
            return Step::ForwardAuth { below: below.to_owned() };
        }
        if self.answers_front_proxies_alone {
            exchange.decision = "deny";
            return Step::Reply(self.endpoints.deny(Denial::NoRoute, parts, exchange));
        }
        if request.path().any(|reading| prefix.holds(reading)) {
            // Only the plain spelling names an endpoint; any other is ours too, and nothing.
            let name = if request.path().others().is_empty() { prefix.below(request.path().literal()) } else { None };
            return Step::Endpoint { name: name.unwrap_or_default().to_owned(), query: request.query().to_owned() };
        }
        if request.path().others().is_empty() {
            let (path, query) = (request.path().literal(), request.query());
            if let Some((_, name)) = self.aliases.iter().find(|(alias, _)| alias == path) {
                if *name == AUTH {
                    return Step::ForwardAuth { below: format!("?{query}") };
                }
                return Step::Endpoint { name: (*name).to_owned(), query: query.to_owned() };
            }
            if self.playground.settings.endpoints.is_some()
                && let Some(endpoint) = PlaygroundEndpoint::at(path, &parts.method)
            {
                return Step::Playground { endpoint, query: query.to_owned() };
            }
        }
        self.judge(&request, Line::of(session.as_downstream()), exchange).await
    }

    /// What stands in a target behind `/oauth2/auth`, where that is asked: a query, nothing, or the
    /// path that Envoy asks about.
    fn asked_below<'t>(&self, target: &'t str) -> Option<&'t str> {
        let below = self.endpoints.prefix.below(target)?.strip_prefix(AUTH)?;
        let asks_by_path = self.forward_auth.is_some_and(|settings| settings.from == Some(FrontProxy::Envoy));
        (below.is_empty() || below.starts_with('?') || (asks_by_path && below.starts_with('/'))).then_some(below)
    }

    async fn judge(&self, request: &CleanRequest<'_>, line: Option<&Line>, exchange: &mut Exchange) -> Step {
        #[expect(clippy::disallowed_methods, reason = "measures the decision; nothing is decided by it")]
        let began = Instant::now();
        let (now, random) = (self.endpoints.clock.now(), &*self.endpoints.random);
        let mut verdict = self.gate.judge(request, now, random);
        self.metrics.decision_seconds.observe(began.elapsed().as_secs_f64());
        if let Verdict::Refresh(opened) = verdict {
            let session = self.refresh(opened, &request.parts().headers, exchange, now).await;
            verdict = self.gate.judge_again(request, session, now, random);
        }
        match verdict {
            // Its app is behind a front proxy, which asks.
            Verdict::Forward(forward) if forward.route.upstream.is_none() => {
                exchange.decision = "deny";
                Step::Reply(self.endpoints.deny(Denial::NoApp, request.parts(), exchange))
            }
            Verdict::Forward(forward) => {
                exchange.decision = "forward";
                exchange.route = Some(forward.index);
                exchange.session = forward.session;
                exchange.identity = forward.identity;
                if forward.session.is_none() {
                    // Ended while it was renewed: the answer is for everybody, and brings nothing back.
                    exchange.renewal.clear();
                }
                exchange.renewal.extend(forward.renewal);
                if let Some(id) = exchange.session
                    && !exchange.renewal.is_empty()
                    && self.sessions.was_present(id, now)
                {
                    self.list(forward.opened.as_ref(), &request.parts().headers, exchange, now);
                }
                exchange.opened = forward.opened.map(Arc::new);
                let held = exchange.opened.clone().and_then(|opened| self.sessions.held(opened, now));
                if let (Some(line), Some(held)) = (line, held) {
                    line.serve(held);
                }
                // Between the decision and this line: too early for the connection to hear of it.
                if exchange.session.is_some_and(|id| self.sessions.has_ended(id)) {
                    line.map(Line::rest);
                    let cause = Denial::NotSignedIn(NoSession::Ended);
                    return Step::Reply(self.endpoints.deny(cause, request.parts(), exchange));
                }
                if let Some(index) = forward.route.envelope
                    && let Some(reply) = self.open_playground(index, request, exchange, now).await
                {
                    return Step::Reply(reply);
                }
                if let Err(reply) = self.provide(forward.route, request, exchange, now).await {
                    return Step::Reply(reply);
                }
                if forward.route.session_cookie == SessionCookie::Proof {
                    let opened = exchange.opened.as_ref();
                    exchange.proof = opened.and_then(|opened| self.sessions.proof(opened, now, random));
                }
                match forward.route.target_for_app(request.target()) {
                    Some(target) => {
                        exchange.target = target;
                        Step::Forward
                    }
                    None => {
                        exchange.decision = "bad_request";
                        let cause = Denial::AmbiguousPath;
                        Step::Reply(self.endpoints.deny(cause, request.parts(), exchange).closing())
                    }
                }
            }
            Verdict::SignIn { return_to, reason } => {
                exchange.because(reason);
                if let Some(reply) = self.close_at_provider(request.parts(), exchange, now).await {
                    return Step::Reply(reply);
                }
                exchange.decision = "sign_in";
                Step::SignIn(return_to)
            }
            Verdict::Unavailable(reason) => {
                exchange.decision = "unavailable";
                Step::Reply(self.endpoints.rescue(Rescue::OF_OUTAGE, &reason, request.parts(), exchange))
            }
            // Asked once already; whatever asks again is not decided.
            Verdict::Refresh(_) => {
                exchange.decision = "unavailable";
                let reason = NoSession::ProviderDown;
                Step::Reply(self.endpoints.rescue(Rescue::OF_OUTAGE, &reason, request.parts(), exchange))
            }
            Verdict::Deny(denial) => {
                exchange.decision = "deny";
                Step::Reply(self.endpoints.deny(denial, request.parts(), exchange))
            }
        }
    }

    /// Asks the provider, or the store, how it stands with a session.
    pub(super) async fn refresh(
        &self,
        opened: OpenedSession,
        headers: &HeaderMap,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<OpenedSession, NoSession> {
        let (label, session) = match self.refresher.refresh(opened, headers, now).await {
            Refreshed::Anew(opened, cookies) => {
                exchange.renewal = cookies;
                ("renewed", Ok(opened))
            }
            Refreshed::Unchanged(opened) => ("unchanged", Ok(opened)),
            Refreshed::Over(reason) if reason.is_outage() => ("unavailable", Err(reason)),
            Refreshed::Over(reason) => ("over", Err(reason)),
        };
        self.metrics.refreshes.with_label_values(&[label]).inc();
        session
    }

    /// Lets the person and administrators see that a session is in use, and from where. Nobody
    /// waits for it.
    pub(super) fn list(
        &self,
        opened: Option<&OpenedSession>,
        headers: &HeaderMap,
        exchange: &Exchange,
        now: Timestamp,
    ) {
        let Some(Ok(session)) = opened.map(|opened| self.sessions.read(opened, now)) else { return };
        let address = exchange.forwarded.as_ref().map(|forwarded| forwarded.client);
        let listed = self.sessions.listing(&session, &Place::new(headers, address), now);
        let (sessions, random) = (Arc::clone(&self.sessions), Arc::clone(&self.endpoints.random));
        tokio::spawn(async move {
            if let Err(error) = sessions.list(&listed, now, &*random).await {
                tracing::debug!(%error, "a session in use is not listed");
            }
        });
    }

    /// Cuts the connection if its session has ended since the request came.
    fn cut_if_over(&self, session: &Session) -> bool {
        let Some(line) = Line::of(session.as_downstream()) else { return false };
        let cut = line.examine(|held, _, _, _| {
            held.is_some_and(|held| self.sessions.is_revoked(held)).then_some(Cut::Over(NoSession::Ended))
        });
        if let Some(cut) = cut {
            self.metrics.cut_connections.with_label_values(&[cut.label()]).inc();
        }
        cut.is_some()
    }

    /// Tells the connection what it carries from now on, where that is something which lasts.
    fn note_answer(&self, session: &Session, response: &ResponseHeader, exchange: &Exchange) {
        let Some(line) = Line::of(session.as_downstream()) else { return };
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            let upstream = self.upstream_of(exchange).and_then(|index| self.upstreams.settings(index));
            let max_age = upstream.and_then(|upstream| upstream.timeouts.websocket_max_age);
            line.answer(Answer::WebSocket, max_age.map(|max_age| self.endpoints.clock.now().plus(max_age)));
        } else if is_event_stream(response) && session.req_header().method != Method::HEAD {
            line.answer(Answer::EventStream, None);
        }
    }

    fn upstream_of(&self, exchange: &Exchange) -> Option<usize> {
        self.gate.route(exchange.route?)?.upstream
    }

    fn upstream_name(&self, exchange: &Exchange) -> &str {
        let upstream = self.upstream_of(exchange).and_then(|index| self.upstreams.settings(index));
        upstream.map_or("", |upstream| upstream.name.as_str())
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.metrics))
    }

    /// None: the default one compresses, and holds event streams back to their end.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, _exchange: &mut Exchange) -> pingora::Result<()> {
        // Without these a connection rests for ever, and a WebSocket ends after a minute. A
        // connection that is to end stays so: `Connection: close`, HTTP/1.0 and a shutdown under
        // way have spoken before us.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(KEEP_ALIVE_SECONDS));
        }
        session.set_read_timeout(Some(CLIENT_STALL));
        session.set_write_timeout(Some(CLIENT_STALL));
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<bool> {
        let reply = match self.look(session, exchange).await {
            Step::Forward => {
                if exchange.upgrade
                    && let Some(upstream) = self.upstream_of(exchange).and_then(|index| self.upstreams.settings(index))
                {
                    session.set_read_timeout(Some(upstream.timeouts.websocket_idle));
                }
                return Ok(false);
            }
            Step::SignIn(return_to) => self.endpoints.enter(return_to, session.req_header().as_ref(), exchange).await,
            Step::ForwardAuth { below } => self.forward_auth(&below, session.req_header().as_ref(), exchange).await,
            Step::Endpoint { name, query } => {
                let form =
                    if session.req_header().method == Method::POST { read_form(session).await? } else { String::new() };
                self.endpoints.answer(&name, &query, &form, session.req_header().as_ref(), exchange).await
            }
            Step::Playground { endpoint, query } => {
                let form =
                    if session.req_header().method == Method::POST { read_form(session).await? } else { String::new() };
                self.playground_endpoint(endpoint, &query, &form, session.req_header().as_ref(), exchange).await
            }
            Step::Reply(reply) => reply,
        };
        reply.send(session).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, exchange: &mut Exchange) -> pingora::Result<Box<HttpPeer>> {
        let index = self.upstream_of(exchange).unwrap_or(usize::MAX);
        let turn = *exchange.turn.get_or_insert_with(|| self.upstreams.turn(index));
        let mut peer = self.upstreams.peer(index, turn.wrapping_add(exchange.failed_connects)).map_err(|cause| {
            let mut error = Error::explain(ErrorType::ConnectNoRoute, cause.to_string());
            error.esource = ErrorSource::Upstream;
            error
        })?;
        if let (true, Some(upstream)) = (exchange.upgrade, self.upstreams.settings(index)) {
            peer.options.read_timeout = Some(upstream.timeouts.websocket_idle);
            peer.options.custom_l4 = Some(Arc::new(ConnectHeld { timeout: upstream.timeouts.connect }));
            // Of their own kind, for one use: what is held back must not serve other requests.
            peer.options.idle_timeout = Some(Duration::ZERO);
            peer.group_key = 1;
        }
        Ok(Box::new(peer))
    }

    /// The last moment before the request leaves, behind Pingora's removal of hop-by-hop headers.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let headers = self.gate.headers();
        let stripped: Vec<HeaderName> =
            request.headers.keys().filter(|name| headers.must_strip(name)).cloned().collect();
        for name in &stripped {
            request.remove_header(name);
        }
        match cookies::for_app(&session.req_header().headers) {
            ForApp::Unchanged => {}
            ForApp::Nothing => drop(request.remove_header(&COOKIE)),
            ForApp::Others(others) => request.insert_header(COOKIE, others)?,
        }
        if let Some(proof) = &exchange.proof
            && let Some(cookies) = cookies::with_ours(proof, request.headers.get(COOKIE))
        {
            request.insert_header(COOKIE, cookies)?;
        }
        for (name, value) in exchange.identity.iter() {
            request.insert_header(name.clone(), value.clone())?;
        }
        if let Some(index) = exchange.replaces {
            let clients: Vec<HeaderName> =
                request.headers.keys().filter(|name| self.credentials.replaces(index, name)).cloned().collect();
            for name in &clients {
                request.remove_header(name);
            }
        }
        for (name, value) in &exchange.credential.headers {
            request.insert_header(name.clone(), value.clone())?;
        }
        for (name, value) in exchange.forwarded.iter().flat_map(crate::web::forwarded::Forwarded::headers) {
            request.insert_header(name, value)?;
        }
        if let Some(target) = &exchange.target {
            request.set_raw_path(target.as_bytes())?;
        }
        Ok(())
    }

    /// Before anything of the answer is on its way.
    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        if exchange.credential.held.is_some() && self.tries_again(session, response.status, exchange).await {
            exchange.again = Again::Now;
            let mut error = Error::explain(ErrorType::HTTPStatus(response.status.as_u16()), "refused the credential");
            error.esource = ErrorSource::Upstream;
            error.set_retry(true);
            return Err(error);
        }
        Ok(())
    }

    /// A request that the app refused for its credential was not acted upon: it may be sent again
    /// whatever its method. All others as Pingora has it.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        client_reused: bool,
    ) -> Box<Error> {
        if exchange.again == Again::Now {
            exchange.again = Again::Done;
        } else if !session.req_header().method.is_idempotent() || session.as_ref().retry_buffer_truncated() {
            error.set_retry(false);
        } else {
            error.retry.decide_reuse(client_reused);
        }
        error
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        keep_our_cookies_ours(response)?;
        // Hints that come before the answer are not the answer; the switch to a WebSocket is.
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        // The keeper is about to cut what is under way: an answer that comes first must not slip
        // through, nor bring the cookie back.
        if self.cut_if_over(session) {
            let mut error = Error::explain(ErrorType::ConnectionClosed, NoSession::Ended.to_string());
            error.esource = ErrorSource::Downstream;
            return Err(error);
        }
        self.note_answer(session, response, exchange);
        let cookies = std::mem::take(&mut exchange.renewal);
        if !cookies.is_empty()
            // A shared cache must not hand one person's cookie to another: the next answer will do.
            && !shared_cache::is_meant_for_many(&response.headers)
        {
            if let Some(private) = shared_cache::keeps_others_out(&response.headers) {
                response.append_header(CACHE_CONTROL, private)?;
            }
            cookies.into_iter().try_for_each(|cookie| response.append_header(SET_COOKIE, cookie).map(|_| ()))?;
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        exchange.failed_connects += 1;
        // Nothing was sent yet: an app behind a name with several addresses gets another try.
        let addresses = self.upstream_of(exchange).map_or(0, |index| self.upstreams.addresses(index));
        error.set_retry(exchange.failed_connects < addresses);
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        let gone = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(rescue) = Rescue::of_proxy(error) else {
            exchange.because(format_args!("the client went away: {}", error.etype().as_str()));
            return gone;
        };
        if *error.esource() == ErrorSource::Upstream {
            let labels = [self.upstream_name(exchange), error.etype().as_str()];
            self.metrics.upstream_errors.with_label_values(&labels).inc();
        }
        if session.response_written().is_some() {
            exchange.level = rescue.level;
            exchange.because(format_args!("the answer broke off: {error}"));
            return gone;
        }
        let reply = self.endpoints.rescue(rescue, &error, session.req_header().as_ref(), exchange).closing();
        let error_code = reply.status().as_u16();
        // A client that left in the meantime is no further error.
        let _ = reply.send(session).await;
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// Errors are in the access line, with their level; Pingora's own line would say them again.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    /// Likewise: a second try is no news, and the line would hold the query.
    fn suppress_proxy_warn_log(&self, _: &Session, _: &Exchange, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        let cut = Line::of(session.as_downstream()).and_then(Line::rest);
        if let Some(cut) = cut {
            exchange.because(format_args!("cut: {cut}"));
        }
        let route = exchange.route.and_then(|index| self.gate.route(index)).map_or("", |route| route.path.as_str());
        self.metrics.requests.with_label_values(&[route, exchange.decision]).inc();
        if let (Some(error), None) = (error, &exchange.reason) {
            exchange.because(error);
        }
        let request = session.req_header();
        exchange.log(&AccessLine {
            method: request.method.as_str(),
            host: request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
            path: request.uri.path(),
            status: session.response_written().map_or(0, |response| response.status.as_u16()),
            route,
            upstream: self.upstream_name(exchange),
            bytes: session.body_bytes_sent(),
        });
        if cut.is_some() {
            // Takes leave of the client; the app has been left.
            session.as_downstream_mut().shutdown().await;
        }
    }
}

/// Whether this begins a stream of events in chunks, as Pingora writes what has no length.
fn is_event_stream(response: &ResponseHeader) -> bool {
    let is = |name: HeaderName, expected: &str| {
        let value = response.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
    };
    is(CONTENT_TYPE, "text/event-stream") && is(TRANSFER_ENCODING, "chunked")
}

/// Takes out what would set a cookie of ours: an app, or whoever can make it write a header, could
/// else sign a person out, or in as somebody else.
fn keep_our_cookies_ours(response: &mut ResponseHeader) -> pingora::Result<()> {
    let lines = response.headers.get_all(SET_COOKIE);
    if !lines.iter().any(cookies::sets_ours) {
        return Ok(());
    }
    let others: Vec<HeaderValue> = lines.iter().filter(|line| !cookies::sets_ours(line)).cloned().collect();
    response.remove_header(&SET_COOKIE);
    others.into_iter().try_for_each(|line| response.append_header(SET_COOKIE, line).map(|_| ()))
}
