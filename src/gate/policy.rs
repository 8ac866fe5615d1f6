//! Who may enter: the only maker of a [`Permit`].
//!
//! Part of the security perimeter: only a `Permit` becomes identity headers (`headers`), and its
//! fields are private to this file.

use super::route::{Access, Route};
use crate::session::{NoSession, Session};

/// Leave to pass, with whoever passes.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'s> {
    person: Option<&'s Session<'s>>,
}

impl<'s> Permit<'s> {
    /// Whose identity goes with the request; nobody's on public routes without a session.
    pub fn person(&self) -> Option<&'s Session<'s>> {
        self.person
    }
}

/// Applies the rules of `route`.
///
/// # Errors
/// Why the request may not pass.
pub fn admit<'s>(route: &Route, session: Result<&'s Session<'s>, NoSession>) -> Result<Permit<'s>, NoSession> {
    match route.access {
        Access::Public => Ok(Permit { person: session.ok() }),
        Access::SignedIn => session.map(|session| Permit { person: Some(session) }),
    }
}
