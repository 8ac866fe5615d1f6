//! Who may enter: the only maker of a [`Permit`].
//!
//! Part of the security perimeter: only a `Permit` becomes identity headers (`headers`), and its
//! fields are private to this file.

use super::constraints::Constraints;
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

impl Permit<'_> {
    /// Leave for nobody: to ask the app whether a page may send something.
    pub(super) const fn to_ask() -> Self {
        Self { person: None }
    }
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// It has no session that holds.
    NoSession(NoSession),
    /// Its session is not one that the front proxy asks for.
    Constraints,
}

/// Applies the rules of `route`, and what the front proxy asks for besides.
///
/// # Errors
/// Why the request may not pass.
pub fn admit<'s>(
    route: &Route,
    constraints: &Constraints,
    session: Result<&'s Session<'s>, NoSession>,
) -> Result<Permit<'s>, NotAdmitted> {
    match route.access {
        Access::Public => Ok(Permit { person: session.ok() }),
        Access::SignedIn => {
            let session = session.map_err(NotAdmitted::NoSession)?;
            if constraints.admit(session) {
                Ok(Permit { person: Some(session) })
            } else {
                Err(NotAdmitted::Constraints)
            }
        }
    }
}
