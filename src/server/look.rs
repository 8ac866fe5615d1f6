//! The first look at a request: whose is it to answer, and what does the gate say?
//!
//! Called by `server/proxy` once for each request, in its first phase, and by `server/forward_auth`
//! for what follows from a renewed session. What is found out is noted in the [`Exchange`]; what is
//! to be done is the [`Step`]. The decision itself is in `gate/decide`.

use super::client_certificates::certificate_of;
use super::exchange::Exchange;
use super::forward_auth::AUTH;
use super::judged::began;
use super::kept_form::Met;
use super::line::{Guest, Line, Whose};
use super::playground_endpoints::PlaygroundEndpoint;
use super::proxy::Proxy;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::bearer::Caller;
use crate::clock::Timestamp;
use crate::gate::route::{Route, SessionCookie};
use crate::gate::{Denial, Forward, Verdict};
use crate::pages::WaitingForm;
use crate::seats::NoSeat;
use crate::session::{NoSession, OpenedSession, Place};
use crate::web::client_certificate::ClientCertificate;
use crate::web::cors;
use crate::web::forwarded::Forwarded;
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;
use crate::web::original::FrontProxy;
use crate::web::own_paths::endpoint_at;
use crate::web::return_to::ReturnTo;
use http::header::FORWARDED;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::Session;
use std::sync::Arc;

/// By which a proxy says that it asks for somebody else.
const FOR_OTHERS: [HeaderName; 2] = [HeaderName::from_static("x-forwarded-for"), FORWARDED];

/// What to do with a request once it was looked at.
pub(super) enum Step {
    Forward,
    SignIn(ReturnTo),
    FormThatWaits(Met),
    Endpoint { name: String, query: String },
    ForwardAuth { below: String },
    Playground { endpoint: PlaygroundEndpoint, query: String },
    Reply(Reply),
}

impl Proxy {
    /// Looks at a request: what is to be done with it.
    pub(super) async fn look(&self, session: &Session, exchange: &mut Exchange) -> Step {
        let header = session.req_header();
        let parts = header.as_ref();
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let scheme = if self.endpoints.public_url.is_secure() { "https" } else { "http" };
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
        if let Some(grant) = self.preflight(&request) {
            exchange.decision = "preflight";
            return Step::Reply(Reply::new(StatusCode::NO_CONTENT, "").headers(grant));
        }
        if let Some(below) = self.asked_below(request.target()) {
            return Step::ForwardAuth { below: below.to_owned() };
        }
        if self.answers_front_proxies_alone {
            exchange.decision = "deny";
            return Step::Reply(self.endpoints.deny(Denial::NoRoute, parts, exchange));
        }
        if let Some(name) = endpoint_at(request.path(), prefix, &self.aliases) {
            if name == AUTH && !request.path().any(|reading| prefix.holds(reading)) {
                return Step::ForwardAuth { below: format!("?{}", request.query()) };
            }
            return Step::Endpoint { name: name.to_owned(), query: request.query().to_owned() };
        }
        if request.path().others().is_empty()
            && self.playground.settings.endpoints.is_some()
            && let Some(endpoint) = PlaygroundEndpoint::at(request.path().literal(), &parts.method)
        {
            return Step::Playground { endpoint, query: request.query().to_owned() };
        }
        let certificate = certificate_of(session);
        self.judge(&request, certificate, Line::of(session.as_downstream()), exchange).await
    }

    /// What a preflight is answered with that is ours to answer.
    fn preflight(&self, request: &CleanRequest<'_>) -> Option<cors::Grant> {
        let cors = self.cors.as_ref().filter(|_| !self.answers_front_proxies_alone)?;
        let path = request.path();
        let is_ours = || {
            path.any(|reading| self.endpoints.prefix.holds(reading))
                || (path.others().is_empty() && self.aliases.iter().any(|(alias, _)| alias == path.literal()))
        };
        if cors.is_the_app_s() && !is_ours() { None } else { cors.preflight(request.parts()) }
    }

    /// What stands in a target behind `/oauth2/auth`, where that is asked: a query, nothing, or the
    /// path that Envoy asks about.
    pub(super) fn asked_below<'t>(&self, target: &'t str) -> Option<&'t str> {
        let below = self.endpoints.prefix.below(target)?.strip_prefix(AUTH)?;
        let asks_by_path = self.forward_auth.is_some_and(|settings| settings.from == Some(FrontProxy::Envoy));
        (below.is_empty() || below.starts_with('?') || (asks_by_path && below.starts_with('/'))).then_some(below)
    }

    async fn judge(
        &self,
        request: &CleanRequest<'_>,
        certificate: Option<&ClientCertificate>,
        line: Option<&Line>,
        exchange: &mut Exchange,
    ) -> Step {
        let began = began();
        let case = self.gate.case(request);
        let at = exchange.circumstances(self.endpoints.clock.now());
        let holder = certificate.and_then(|shown| self.holder(&case, shown, exchange, at.now));
        let (verdict, caller) = self.judged(&case, holder, &request.parts().headers, exchange, (at, began)).await;
        if self.tells(&request.parts().headers, exchange) {
            let said = format!("{}; {}", verdict.word(), self.gate.in_short(&case, caller.as_deref(), at));
            exchange.decided = HeaderValue::from_bytes(said.as_bytes()).ok();
        }
        match verdict {
            Verdict::Forward(forward) => {
                let step = self.to_app(forward, request, (line, caller), exchange, at.now).await;
                // What does not go on to its app, for want of a credential say, has not arrived.
                let opened = exchange.opened.clone();
                if matches!(step, Step::Forward)
                    && let Some(reply) = self.endpoints.form_arrives(request, opened.as_deref(), exchange, at.now).await
                {
                    exchange.decision = "deny";
                    return Step::Reply(reply);
                }
                step
            }
            Verdict::SignIn { return_to, reason, providers } => {
                exchange.because(reason);
                exchange.offered = providers;
                if let Some(reply) = self.close_at_provider(request.parts(), exchange, at.now).await {
                    return Step::Reply(reply);
                }
                exchange.decision = "sign_in";
                Step::SignIn(return_to)
            }
            Verdict::StepUp { step_up, session, kind, return_to } => {
                exchange.decision = "step_up";
                let parts = request.parts();
                match (kind, session) {
                    (Kind::Navigation, Some(session)) => {
                        Step::Reply(self.endpoints.step_up(&session, return_to, step_up, parts, exchange).await)
                    }
                    (Kind::Submission, _) if request.host() == self.endpoints.public_url.host() => {
                        Step::FormThatWaits(Met::StepUp(step_up))
                    }
                    (kind, _) => {
                        let form = if kind == Kind::Submission { WaitingForm::Lost } else { WaitingForm::None };
                        Step::Reply(self.endpoints.lacks_step_up(&step_up, &return_to, form, kind, parts, exchange))
                    }
                }
            }
            Verdict::OtherProvider { index, return_to } => {
                exchange.decision = "deny";
                Step::Reply(self.other_provider(index, &return_to, request.parts(), exchange))
            }
            Verdict::Unavailable(reason) => {
                exchange.decision = "unavailable";
                Step::Reply(self.endpoints.rescue(Rescue::OF_OUTAGE, &reason, request.parts(), exchange))
            }
            // Asked once already; whatever asks again is not decided.
            Verdict::Refresh(_) | Verdict::TakeSeat(_) | Verdict::Verify { .. } => {
                exchange.decision = "unavailable";
                let reason = NoSession::ProviderDown;
                Step::Reply(self.endpoints.rescue(Rescue::OF_OUTAGE, &reason, request.parts(), exchange))
            }
            // Kept for a session at the address that sign-ins return to.
            Verdict::Deny(Denial::FormWithoutSession(reason))
                if reason.is_over() && request.host() == self.endpoints.public_url.host() =>
            {
                exchange.decision = "deny";
                Step::FormThatWaits(Met::End(reason))
            }
            // What passes: there may be a seat for them by and by.
            Verdict::Deny(Denial::NoSeat(why @ (NoSeat::Full { .. } | NoSeat::Displaced { .. })))
                if Kind::of(request.parts()) == Kind::Submission
                    && request.host() == self.endpoints.public_url.host() =>
            {
                exchange.decision = "deny";
                Step::FormThatWaits(Met::NoSeat(why))
            }
            Verdict::Deny(denial) => {
                exchange.decision = "deny";
                Step::Reply(self.deny(denial, request.parts(), exchange))
            }
        }
    }

    /// Whether its client is told what decided.
    fn tells(&self, headers: &HeaderMap, exchange: &Exchange) -> bool {
        if self.told_in_short.is_empty() {
            return false;
        }
        // As rules know it: the address of a proxy that names nobody is nobody's. Nor is that of one which is
        // not believed and says that it asks for somebody else.
        let asks_for_itself = |forwarded: &&Forwarded| {
            forwarded.is_from_trusted || !FOR_OTHERS.iter().any(|name| headers.contains_key(name))
        };
        let client = exchange.forwarded.as_ref().filter(asks_for_itself).and_then(Forwarded::known_client);
        client.is_some_and(|client| self.told_in_short.iter().any(|network| network.contains(&client)))
    }

    /// Answers what the gate denies; whom the rules of a route keep out is told who may enter.
    pub(super) fn deny(&self, denial: Denial, parts: &Parts, exchange: &mut Exchange) -> Reply {
        match denial {
            Denial::NotAdmitted(index, refusal) => {
                exchange.route = Some(index);
                let explanation = self.gate.explain(index, refusal);
                self.endpoints.keep_out(explanation.as_ref(), parts, exchange)
            }
            Denial::OtherProvider(index) => {
                let page = self.endpoints.login.page_of_form(&parts.headers);
                self.other_provider(index, &page.unwrap_or_else(ReturnTo::root), parts, exchange)
            }
            Denial::NoSeat(why) if Kind::of(parts) == Kind::Submission => {
                self.endpoints.form_without_seat(why, None, parts, exchange)
            }
            denial => self.endpoints.deny(denial, parts, exchange),
        }
    }

    /// Answers whoever has signed in with another provider than those whose people a route takes.
    pub(super) fn other_provider(
        &self,
        index: usize,
        return_to: &ReturnTo,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        exchange.route = Some(index);
        let wanted = self.gate.route(index).map(|route| Arc::clone(&route.providers)).unwrap_or_default();
        self.endpoints.other_provider(&wanted, return_to, parts, exchange)
    }

    /// Makes a request ready for its app.
    async fn to_app(
        &self,
        forward: Forward<'_>,
        request: &CleanRequest<'_>,
        (line, caller): (Option<&Line>, Option<Arc<Caller>>),
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Step {
        let parts = request.parts();
        if forward.route.upstream.is_none() {
            // Its app is behind a front proxy, which asks.
            exchange.decision = "deny";
            return Step::Reply(self.endpoints.deny(Denial::NoApp, parts, exchange));
        }
        exchange.decision = "forward";
        exchange.route = Some(forward.index);
        exchange.session = forward.session;
        exchange.identity = forward.identity;
        exchange.bearer_ends_at = forward.bearer_ends_at;
        if forward.session.is_none() {
            // Ended while it was renewed: the answer is for everybody, and brings nothing back.
            exchange.renewal.clear();
        }
        exchange.renewal.extend(forward.renewal);
        let by_token = forward.opened.as_ref().is_some_and(OpenedSession::by_token);
        // No cookie says of a token when its session was seen.
        if let Some(id) = exchange.session
            && (by_token || !exchange.renewal.is_empty())
            && self.sessions.was_present(id, now)
        {
            self.list(forward.opened.as_ref(), &parts.headers, exchange, now);
        }
        exchange.opened = forward.opened.map(Arc::new);
        let held = exchange.opened.clone().and_then(|opened| self.sessions.held(opened, now));
        // What asks may ask, and what it asks about is judged when it comes.
        if let (Some(line), false) = (line, forward.is_preflight) {
            let whose = match (held, caller) {
                (Some(held), _) => Whose::Person(held),
                (None, Some(caller)) => Whose::Caller(caller),
                (None, None) => Whose::Nobody,
            };
            let client = exchange.circumstances(now).client;
            let guest = Guest { whose, client, since: now, site: self.site, turn: self.turn, route: forward.index };
            line.serve(guest, request);
        }
        // Between the decision and this line: too early for the connection to hear of it.
        if exchange.session.is_some_and(|id| self.sessions.has_ended(id)) {
            line.map(Line::rest);
            return Step::Reply(self.endpoints.ended(NoSession::Ended, parts, exchange));
        }
        if forward.is_preflight {
            // Nor does what a client brings stand in the credential's place.
            exchange.replaces = forward.route.credential;
            return self.at(forward.route, request, exchange);
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
            exchange.proof = opened.and_then(|opened| self.sessions.proof(opened, now, &*self.endpoints.random));
        }
        self.at(forward.route, request, exchange)
    }

    /// At the path where the app has it.
    fn at(&self, route: &Route, request: &CleanRequest<'_>, exchange: &mut Exchange) -> Step {
        let Some(target) = route.target_for_app(request.target()) else {
            exchange.decision = "bad_request";
            return Step::Reply(self.endpoints.deny(Denial::AmbiguousPath, request.parts(), exchange).closing());
        };
        exchange.target = target;
        Step::Forward
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
}
