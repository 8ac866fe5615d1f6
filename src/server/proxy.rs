//! The request on its way to the app and back: Pingora's phases in the order in which they run.
//!
//! hygiene → our own endpoints, or the gate → (upstream) strip, set, send → stream. The decision
//! itself is in `gate/decide`; this file does what it says.

use super::endpoints::Endpoints;
use super::exchange::{AccessLine, Again, Exchange};
use super::form::{discard_body, read_form};
use super::held::ConnectHeld;
use super::line::{Answer, Cut, Line};
use super::look::Step;
use super::metrics::Metrics;
use super::playground::Playground;
use super::reply::Reply;
use super::rescue::Rescue;
use super::session_data::SESSION_DATA;
use super::settings::ForwardAuth;
use super::upstream::Upstreams;
use crate::bearer::Bearers;
use crate::credentials::Credentials;
use crate::gate::Gate;
use crate::session::{NoSession, Refresher, Sessions, is_our_token};
use crate::web::cookies::{self, ForApp, RequestToken};
use crate::web::cors::{self, Cors};
use crate::web::forwarded::TrustedProxies;
use crate::web::return_to::FORM_PAGE;
use crate::web::shared_cache;
use crate::web::site_hosts::SiteHosts;
use async_trait::async_trait;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use std::sync::Arc;
use std::time::Duration;

/// How long a browser's connection may rest between two requests. Longer than the front proxies
/// that keep theirs for 60 s, so that it is never we who close while they send.
const KEEP_ALIVE_SECONDS: u64 = 75;
/// What decided, for those who look for a mistake (`debug.decision_header`).
const DECISION: HeaderName = HeaderName::from_static("x-vestibule-decision");
/// Between two pieces of a request body, and for a client to take a piece of the answer.
const CLIENT_STALL: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) gate: Arc<Gate>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) refresher: Arc<Refresher>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) bearers: Arc<Bearers>,
    pub(super) playground: Arc<Playground>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) trusted: TrustedProxies,
    pub(super) aliases: Arc<[(String, String)]>,
    /// The networks whose clients are told what decided.
    pub(super) told_in_short: Arc<[ipnet::IpNet]>,
    pub(super) forward_auth: Option<ForwardAuth>,
    pub(super) cors: Option<Arc<Cors>>,
    /// Whether this is the listener that no browser reaches: it answers what front proxies ask,
    /// credentials included, and nothing else.
    pub(super) answers_front_proxies_alone: bool,
    pub(super) metrics: Arc<Metrics>,
    /// Which site this is.
    pub(super) site: usize,
    /// Of which turn of the configuration: what it knows by an index is of this one.
    pub(super) turn: u64,
    /// The hosts of all, where there are several.
    pub(super) hosts: Option<Arc<SiteHosts>>,
}

impl Proxy {
    /// Sends an answer of ours, which says what pages of other origins may read of it.
    async fn send(&self, reply: Reply, session: &mut Session) -> pingora::Result<()> {
        let granted = self.cors.as_ref().map(|cors| cors.grant(&session.req_header().headers));
        reply.headers(granted.into_iter().flatten()).send(session).await
    }

    /// Cuts the connection if its session has ended since the request came.
    fn cut_if_over(&self, session: &Session) -> bool {
        let Some(line) = Line::of(session.as_downstream()) else { return false };
        let cut = line.examine(|seen| {
            let is_revoked =
                seen.guest.and_then(|guest| guest.held()).is_some_and(|held| self.sessions.is_revoked(held));
            is_revoked.then_some(Cut::Over(NoSession::Ended))
        });
        if let Some(cut) = &cut {
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
            let too_old = max_age.map(|max_age| self.endpoints.clock.now().plus(max_age));
            line.answer(Answer::WebSocket, too_old.into_iter().chain(exchange.bearer_ends_at).min());
        } else if is_event_stream(response) && session.req_header().method != Method::HEAD {
            line.answer(Answer::EventStream, exchange.bearer_ends_at);
        }
    }

    /// The providers that may be meant where somebody asks to sign in: those of the route that they are on
    /// their way to.
    fn offered(&self, endpoint: &str, asked: &str, parts: &Parts) -> Arc<[String]> {
        let login = &self.endpoints.login;
        if !login.providers().are_several() || !matches!(endpoint, "start" | "sign_in") {
            return Arc::default();
        }
        self.gate.providers_for(&login.asked(asked, &parts.headers).return_to)
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
            Step::FormThatWaits(met) => self.endpoints.form_that_waits(&met, session, exchange).await?,
            Step::Endpoint { name, .. } if name == SESSION_DATA && self.sessions.keeps_app_data() => {
                self.endpoints.session_data(session, exchange).await?
            }
            Step::Endpoint { name, query } if name == FORM_PAGE => {
                // What is sent there goes on to its app, and may be long.
                let reply = self.endpoints.kept_form(&self.gate, &query, session.req_header().as_ref(), exchange).await;
                if exchange.session.is_some() {
                    discard_body(session).await?;
                }
                reply
            }
            Step::Endpoint { name, query } => {
                let is_post = session.req_header().method == Method::POST;
                let form = if is_post { read_form(session).await? } else { String::new() };
                exchange.offered =
                    self.offered(&name, if is_post { &form } else { &query }, session.req_header().as_ref());
                self.endpoints.answer(&name, &query, &form, session.req_header().as_ref(), exchange).await
            }
            Step::Playground { endpoint, query } => {
                let form =
                    if session.req_header().method == Method::POST { read_form(session).await? } else { String::new() };
                self.playground_endpoint(endpoint, &query, &form, session.req_header().as_ref(), exchange).await
            }
            Step::Reply(reply) => reply,
        };
        let decided = exchange.decided.take().map(|decided| (DECISION, decided));
        self.send(reply.headers(decided), session).await?;
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
        let token = self.sessions.request_token();
        if let Some(token) = token {
            request.remove_header(&token.header);
        }
        match cookies::for_app(&session.req_header().headers, token) {
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
        let route = exchange.route.and_then(|index| self.gate.route(index));
        if self.takes_token_away(route, &session.req_header().headers) {
            let others: Vec<HeaderValue> =
                request.headers.get_all(AUTHORIZATION).iter().filter(|value| !is_our_token(value)).cloned().collect();
            request.remove_header(&AUTHORIZATION);
            others.into_iter().try_for_each(|value| request.append_header(AUTHORIZATION, value).map(|_| ()))?;
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
        keep_our_cookies_ours(response, self.sessions.request_token())?;
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
        exchange.is_answered = true;
        self.note_answer(session, response, exchange);
        if let Some(cors) = self.cors.as_ref().filter(|cors| !cors.is_the_app_s()) {
            for name in cors::SAID {
                response.remove_header(&name);
            }
            let granted = cors.grant(&session.req_header().headers);
            granted.into_iter().try_for_each(|(name, value)| response.append_header(name, value).map(|_| ()))?;
        }
        let is_for_many = shared_cache::is_meant_for_many(&response.headers);
        if let Some(decided) = exchange.decided.take().filter(|_| !is_for_many) {
            response.insert_header(DECISION, decided)?;
        }
        let mut cookies = std::mem::take(&mut exchange.renewal);
        // A request that came before a step-up must not put the former cookie in the place of the new one.
        if !cookies.is_empty()
            && let Some(opened) = exchange.opened.clone()
            && self.sessions.has_stepped_up_since(&opened, self.endpoints.clock.now()).await
        {
            cookies.clear();
        }
        if !cookies.is_empty()
            // A shared cache must not hand one person's cookie to another: the next answer will do.
            && !is_for_many
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
        // Pingora notes an answer once its head is written. Some of it may have left before.
        let is_answered = exchange.is_answered || session.response_written().is_some();
        let cut = Line::of(session.as_downstream()).filter(|_| !is_answered).and_then(Line::answer_cut);
        let parts = session.req_header().as_ref();
        let told = match &cut {
            Some(Cut::Over(reason)) => Some(self.endpoints.ended(*reason, parts, exchange)),
            Some(Cut::Lost(lost)) => Some(self.endpoints.no_longer(lost, parts, exchange)),
            Some(Cut::MaxAge) | None => None,
        };
        if let Some(reply) = told {
            let reply = reply.closing();
            let error_code = reply.status().as_u16();
            let _ = self.send(reply, session).await;
            return FailToProxy { error_code, can_reuse_downstream: false };
        }
        let Some(rescue) = Rescue::of_proxy(error) else {
            exchange.because(format_args!("the client went away: {}", error.etype().as_str()));
            return gone;
        };
        if *error.esource() == ErrorSource::Upstream {
            let labels = [self.upstream_name(exchange), error.etype().as_str()];
            self.metrics.upstream_errors.with_label_values(&labels).inc();
        }
        if is_answered {
            exchange.level = rescue.level;
            exchange.because(format_args!("the answer broke off: {error}"));
            return gone;
        }
        let reply = self.endpoints.rescue(rescue, &error, session.req_header().as_ref(), exchange).closing();
        let error_code = reply.status().as_u16();
        // A client that left in the meantime is no further error.
        let _ = self.send(reply, session).await;
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
        if let Some(cut) = &cut {
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
fn keep_our_cookies_ours(response: &mut ResponseHeader, token: Option<&RequestToken>) -> pingora::Result<()> {
    let lines = response.headers.get_all(SET_COOKIE);
    let sets_ours = |line: &&HeaderValue| cookies::sets_ours(line, token);
    if !lines.iter().any(|line| sets_ours(&line)) {
        return Ok(());
    }
    let others: Vec<HeaderValue> = lines.iter().filter(|line| !sets_ours(line)).cloned().collect();
    response.remove_header(&SET_COOKIE);
    others.into_iter().try_for_each(|line| response.append_header(SET_COOKIE, line).map(|_| ()))
}
