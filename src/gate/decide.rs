//! The decision. This page is the security argument of the whole program.
//!
//! Called by `gate` for every request that is not for one of our own endpoints, whichever way it
//! came in. Pure: no clock, no store, no network. What came before it:
//!
//! 1. `web/hygiene` refused every request with two meanings.
//! 2. `gate/route` found the one route that every reading of the path falls under.
//! 3. `session` opened the cookie, under our keys, and checked its limits at this moment.
//!
//! What this page adds is the order of things: a request without a route is refused before its
//! session is looked at; [`admit`] alone makes a [`Permit`]; without one there is no `Forward`.
//! Arms for step-up, refresh and outages join when there is something that produces them.

use super::policy::{Permit, admit};
use super::route::Found;
use crate::session::{NoSession, Session};
use crate::web::kind::Kind;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// It goes to the app of this route (by its index), with the identity that the permit holds.
    Forward(usize, Permit<'a>),
    /// The browser is led to sign in and comes back to this address.
    SignIn(NoSession),
    /// It is refused.
    Deny(Denial),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// 404: what no route names is not served.
    #[error("no route is for this host, path and method")]
    NoRoute,
    /// 400: no telling which rule the app would have applied.
    #[error("the path or method can be read in two ways that fall under different routes")]
    AmbiguousPath,
    /// 401 for programs: they cannot follow a redirect to a provider.
    #[error("not signed in: {0}")]
    NotSignedIn(NoSession),
    /// 401 with a page: a form was sent without a session, and a redirect would lose it silently.
    #[error("a form was sent without a session: {0}")]
    FormWithoutSession(NoSession),
}

/// Decides. `session` is what the request's cookie gave, already checked at the present moment.
pub fn decide<'a>(kind: Kind, found: Found<'a>, session: Result<&'a Session<'a>, NoSession>) -> Decision<'a> {
    let (index, route) = match found {
        Found::Route(index, route) => (index, route),
        Found::Nothing => return Decision::Deny(Denial::NoRoute),
        Found::Ambiguous => return Decision::Deny(Denial::AmbiguousPath),
    };
    match (admit(route, session), kind) {
        (Ok(permit), _) => Decision::Forward(index, permit),
        (Err(reason), Kind::Navigation) => Decision::SignIn(reason),
        (Err(reason), Kind::Submission) => Decision::Deny(Denial::FormWithoutSession(reason)),
        (Err(reason), Kind::Program) => Decision::Deny(Denial::NotSignedIn(reason)),
    }
}
