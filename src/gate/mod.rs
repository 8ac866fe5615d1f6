//! The gate: may this request pass, to which app, and as whom.
//!
//! Called by `server` for every request that is not for one of our own endpoints. The files in
//! the order of a request: [`route`] → (session) → [`decide`] → [`policy`] → [`headers`]
//! (whose values [`template`] writes). Does no I/O, and never answers: it says what the answer is.

pub mod decide;
pub mod headers;
pub mod policy;
pub mod route;
pub mod template;

pub use decide::Denial;

use crate::clock::Timestamp;
use crate::random::Random;
use crate::session::{NoSession, Session, SessionId, Sessions};
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;
use crate::web::origin;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::{Prefix, ReturnTo};
use decide::{Decision, decide};
use headers::{Headers, IdentityHeaders, fold};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use route::{Found, Route, Table};
use std::sync::Arc;

/// Everything that a decision needs, made once.
pub struct Gate {
    routes: Table,
    headers: Headers,
    sessions: Arc<Sessions>,
    public_url: PublicUrl,
    prefix: Prefix,
}

/// A decision, with what it borrowed worked out.
#[derive(Debug)]
pub enum Verdict<'g> {
    /// The request goes to the app.
    Forward(Forward<'g>),
    /// The browser is led to sign in.
    SignIn {
        /// Where it comes back to.
        return_to: ReturnTo,
        /// Why it has no session; for the log.
        reason: NoSession,
    },
    /// The request is refused.
    Deny(Denial),
}

/// A request that goes to the app.
#[derive(Debug)]
pub struct Forward<'g> {
    /// Index of its route.
    pub index: usize,
    /// Its route.
    pub route: &'g Route,
    /// The headers that say who it is.
    pub identity: IdentityHeaders,
    /// The session it belongs to, if any.
    pub session: Option<SessionId>,
    /// The identity cookie with its idle limit moved on, when that is due.
    pub renewal: Option<HeaderValue>,
}

/// The methods that frameworks read from headers in the place of the request's own (Express,
/// Rails, Symfony, Spring): a route that is for GET must not let a DELETE pass in such a dress.
fn overriding_methods(headers: &HeaderMap) -> impl Iterator<Item = &HeaderValue> {
    let overrides = |name: &HeaderName| {
        name.as_str().starts_with('x')
            && ["x-http-method-override", "x-http-method", "x-method-override"].contains(&&*fold(name.as_str()))
    };
    headers.iter().filter(move |(name, _)| overrides(name)).map(|(_, value)| value)
}

impl Gate {
    /// A gate of these parts.
    pub fn new(
        routes: Table,
        headers: Headers,
        sessions: Arc<Sessions>,
        public_url: PublicUrl,
        prefix: Prefix,
    ) -> Self {
        Self { routes, headers, sessions, public_url, prefix }
    }

    /// Judges a request at the moment `now`.
    pub fn judge(&self, request: &CleanRequest<'_>, now: Timestamp, random: &dyn Random) -> Verdict<'_> {
        let parts = request.parts();
        let found = self.find(request);
        let opened = if origin::is_foreign_socket(&parts.headers, &self.public_url) {
            Err(NoSession::OtherSite)
        } else {
            self.sessions.open(&parts.headers)
        };
        let session = match &opened {
            Ok(opened) => self.sessions.read(opened, now),
            Err(reason) => Err(*reason),
        };
        // `found` borrows from the gate, the session from this call: what leaves is owned.
        match decide(Kind::of(parts), found, session.as_ref().map_err(|reason| *reason)) {
            Decision::Forward(index, permit) => {
                let Some(route) = self.routes.get(index) else { return Verdict::Deny(Denial::NoRoute) };
                let renewal = match (permit.person(), &opened) {
                    (Some(person), Ok(opened)) => self.sessions.renewal(person, opened, now, random),
                    _ => None,
                };
                let identity = self.headers.identity(permit);
                Verdict::Forward(Forward { index, route, identity, session: permit.person().map(Session::id), renewal })
            }
            Decision::SignIn(reason) => {
                // An address that cannot be carried through is no reason not to sign in.
                let return_to = ReturnTo::parse(request.target(), &self.public_url, &self.prefix);
                Verdict::SignIn { return_to: return_to.unwrap_or_else(|_| ReturnTo::root()), reason }
            }
            Decision::Deny(denial) => Verdict::Deny(denial),
        }
    }

    /// The route of a request, by its method and by those that an app may take in its place.
    fn find(&self, request: &CleanRequest<'_>) -> Found<'_> {
        let parts = request.parts();
        let by = |method: &Method| self.routes.find(request.host(), method, request.path());
        let found = by(&parts.method);
        let agrees = |value: &HeaderValue| {
            let method = Method::from_bytes(&value.as_bytes().trim_ascii().to_ascii_uppercase());
            method.is_ok_and(|method| found.agrees_with(by(&method)))
        };
        if !self.routes.tells_methods_apart() || overriding_methods(&parts.headers).all(agrees) {
            found
        } else {
            Found::Ambiguous
        }
    }

    /// What is stripped from requests, for the last moment before they leave.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The route at `index`.
    pub fn route(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }

    /// All routes in the order in which they are tried.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}
