//! What is judged: a request of our own line, or what a front proxy or an app asks about, in one form.
//!
//! [`Gate::case`] and [`Gate::case_of`] make one, once for each request; the gate then judges it as often as
//! something has to be asked of others first. Reads headers alone, and must never decide.

use super::Gate;
use super::assertion::Assertions;
use super::constraints::{self, Constraints};
use super::decide::Denial;
use super::headers::{Headers, IdentityHeaders, fold};
use super::policy::Permit;
use super::route::{Csrf, Found};
use crate::clock::Timestamp;
use crate::web::cors;
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;
use crate::web::origin;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::borrow::Cow;
use std::sync::Arc;

/// What front proxies and apps ask at `/oauth2/auth`.
#[derive(Debug)]
pub struct Question<'r> {
    /// About what.
    pub about: About<'r>,
    /// What has to hold besides the rule of the route.
    pub constraints: Constraints,
}

/// What a question is about.
#[derive(Debug)]
pub enum About<'r> {
    /// The session that these headers show, whatever for: as on a route for the signed in, and by a
    /// proof of a session as well.
    Session(&'r HeaderMap),
    /// A request that a front proxy has, as if it had come to us: by the same rules.
    Request {
        /// The request.
        request: &'r CleanRequest<'r>,
        /// `http` or `https`, as the client spoke.
        scheme: &'static str,
    },
}

/// What is judged.
pub struct Case<'g, 'r> {
    pub(super) headers: &'r HeaderMap,
    method: &'r Method,
    pub(super) kind: Kind,
    /// Whether a proof of a session shows one as its cookie does.
    pub(super) takes_proof: bool,
    /// Whether it shows an access token of ours, which is what says whose session it is then.
    pub(super) shows_token: bool,
    pub(super) found: Found<'g>,
    /// Where a browser would come back to.
    pub(super) target: Cow<'r, str>,
    /// What says who it is.
    says: &'g Headers,
    /// What an assertion is bound to, and who signs it; none where it is about no request.
    asserts: Option<(&'g Assertions, &'r CleanRequest<'r>)>,
    pub(super) constraints: &'r Constraints,
}

impl<'g> Case<'g, '_> {
    /// Under which route it falls, whoever sends it.
    pub fn found(&self) -> Found<'g> {
        self.found
    }

    /// Whether its route wants to know where what changes something comes from.
    pub(super) fn is_guarded(&self) -> bool {
        !matches!(self.found, Found::Route(_, route) if route.csrf == Csrf::Off)
    }

    pub(super) fn changes_something(&self) -> bool {
        changes_something(self.method, self.headers)
    }

    /// What says who it is, the signed assertion included where the route asks for one.
    pub(super) fn identity(&self, permit: Permit<'_>, now: Timestamp) -> IdentityHeaders {
        let asserted = match (self.asserts, self.found) {
            (Some((assertions, request)), Found::Route(_, route)) => assertions.header(permit, route, request, now),
            _ => None,
        };
        self.says.identity(permit).asserted(asserted)
    }

    /// The method by which its route is found: of a preflight the one that it asks about.
    pub(super) fn routed_by(&self, request: &CleanRequest<'_>) -> Method {
        let asked = (self.kind == Kind::Preflight).then(|| cors::preflight_for(request.parts())).flatten();
        asked.unwrap_or_else(|| self.method.clone())
    }

    /// The providers whose people its route takes.
    pub(super) fn providers(&self) -> Arc<[String]> {
        match self.found {
            Found::Route(_, route) => Arc::clone(&route.providers),
            Found::Nothing | Found::Ambiguous => Arc::default(),
        }
    }
}

/// Whether a request's method, or one that an app may take in its place, is for changing something
/// (RFC 9110 §9.2.1).
pub(crate) fn changes_something(method: &Method, headers: &HeaderMap) -> bool {
    let is_safe =
        |method: &[u8]| ["GET", "HEAD", "OPTIONS"].iter().any(|safe| method.eq_ignore_ascii_case(safe.as_bytes()));
    !is_safe(method.as_str().as_bytes())
        || overriding_methods(headers).any(|method| !is_safe(method.as_bytes().trim_ascii()))
}

/// The headers that say, beside method and target, which route a request is for.
pub(crate) fn headers_for_routes(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers.iter().filter(|(name, _)| **name == HOST || overrides_method(name))
}

/// The methods that frameworks read from headers in the place of the request's own (Express,
/// Rails, Symfony, Spring): a route that is for GET must not let a DELETE pass in such a dress.
fn overriding_methods(headers: &HeaderMap) -> impl Iterator<Item = &HeaderValue> {
    headers.iter().filter(|(name, _)| overrides_method(name)).map(|(_, value)| value)
}

fn overrides_method(name: &HeaderName) -> bool {
    name.as_str().starts_with('x')
        && ["x-http-method-override", "x-http-method", "x-method-override"].contains(&&*fold(name.as_str()))
}

impl Gate {
    /// What a question is about, as a case like any other.
    ///
    /// # Errors
    /// Why it is refused whoever asks.
    pub fn case_of<'g, 'r>(&'g self, question: &'r Question<'_>) -> Result<Case<'g, 'r>, Denial> {
        Ok(match question.about {
            About::Session(headers) => Case {
                headers,
                method: &Method::GET,
                kind: Kind::Program,
                takes_proof: true,
                shows_token: self.sessions.shows_token(headers),
                found: Found::Route(usize::MAX, &self.asked),
                target: Cow::Borrowed("/"),
                says: &self.told,
                asserts: None,
                constraints: &question.constraints,
            },
            About::Request { request, scheme } => {
                if request.path().any(|reading| self.prefix.holds(reading)) {
                    return Err(Denial::OwnPath);
                }
                // On its way to an app of ours it would be taken away. It is not ours to take here.
                if request.parts().headers.keys().any(|name| self.headers.is_identity(name)) {
                    return Err(Denial::ForgedIdentity);
                }
                let target = if request.host() == self.public_url.host() {
                    Cow::Borrowed(request.target())
                } else {
                    let host = request.parts().headers.get(HOST).and_then(|host| host.to_str().ok());
                    Cow::Owned(format!("{scheme}://{}{}", host.unwrap_or_default(), request.target()))
                };
                Case { target, says: &self.answered, constraints: &question.constraints, ..self.case(request) }
            }
        })
    }

    /// A request that came to us.
    pub fn case<'g, 'r>(&'g self, request: &'r CleanRequest<'_>) -> Case<'g, 'r> {
        let parts = request.parts();
        // It passes without a session: in it no other method may be hidden.
        let is_plain = || overriding_methods(&parts.headers).next().is_none() && !origin::is_handshake(&parts.headers);
        let preflight = cors::preflight_for(parts).filter(|_| self.passes_preflights && is_plain());
        let shows_token = self.sessions.shows_token(&parts.headers);
        Case {
            headers: &parts.headers,
            method: &parts.method,
            kind: match preflight {
                Some(_) => Kind::Preflight,
                // Nothing that a person looks at can show one, whatever it says that it understands.
                None if shows_token => Kind::Program,
                None => Kind::of(parts),
            },
            takes_proof: false,
            shows_token,
            found: match &preflight {
                Some(method) => self.routes.find(request.host(), method, request.path()),
                None => self.find(request),
            },
            target: Cow::Borrowed(request.target()),
            says: &self.headers,
            asserts: self.assertions.as_ref().map(|assertions| (assertions, request)),
            constraints: &constraints::NONE,
        }
    }

    /// The route of a request, by its method and by those that an app may take in its place.
    pub(super) fn find(&self, request: &CleanRequest<'_>) -> Found<'_> {
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
}
