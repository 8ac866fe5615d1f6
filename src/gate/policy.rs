//! Who may enter: the only maker of a [`Permit`].
//!
//! Part of the security perimeter: only a `Permit` becomes identity headers (`headers`), and its
//! fields are private to this file.

use super::constraints::Constraints;
use super::route::{Access, Route};
use super::rules::{Asker, Circumstances, Refusal};
use crate::bearer::Caller;
use crate::session::{NoSession, Session};

/// Leave to pass, with whoever passes.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'s> {
    holder: Holder<'s>,
}

/// Who passes: never two at once.
#[derive(Clone, Copy, Debug)]
enum Holder<'s> {
    Nobody,
    Person(&'s Session<'s>),
    Caller(&'s Caller),
}

impl<'s> Permit<'s> {
    /// Whose session goes with the request; nobody's on public routes without one, and with a
    /// bearer token.
    pub fn person(&self) -> Option<&'s Session<'s>> {
        match self.holder {
            Holder::Person(session) => Some(session),
            Holder::Nobody | Holder::Caller(_) => None,
        }
    }

    /// Whom the request's bearer token names.
    pub fn caller(&self) -> Option<&'s Caller> {
        match self.holder {
            Holder::Caller(caller) => Some(caller),
            Holder::Nobody | Holder::Person(_) => None,
        }
    }
}

impl Permit<'_> {
    /// Leave for nobody: to ask the app whether a page may send something.
    pub(super) const fn to_ask() -> Self {
        Self { holder: Holder::Nobody }
    }
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// It has no session that holds.
    NoSession(NoSession),
    /// They have signed in with a provider whose people the route does not take.
    OtherProvider,
    /// The route takes bearer tokens alone, and there is none.
    NoBearer,
    /// Whoever it is, it is not one that the front proxy asks for.
    Constraints,
    /// Whoever it is, a rule of the route keeps them out.
    Rules(Refusal),
}

/// Applies the rules of `route` to whoever shows a bearer token, and what the front proxy asks for
/// besides. What one rule has verified counts where the route names that rule, and nowhere else.
///
/// # Errors
/// Why the request may not pass.
pub fn admit_caller<'s>(
    route: &Route,
    constraints: &Constraints,
    caller: &'s Caller,
    at: Circumstances,
) -> Result<Permit<'s>, NotAdmitted> {
    if !route.bearer.contains(&caller.rule()) {
        return Err(NotAdmitted::NoBearer);
    }
    let claims = caller.claims().view();
    let asker = Asker { claims: &claims, provider: None, authenticated_at: None, at };
    route.rules.judge(&asker).map_err(NotAdmitted::Rules)?;
    if constraints.admit(&claims) {
        Ok(Permit { holder: Holder::Caller(caller) })
    } else {
        Err(NotAdmitted::Constraints)
    }
}

/// Applies the rules of `route`, and what the front proxy asks for besides.
///
/// # Errors
/// Why the request may not pass.
pub fn admit<'s>(
    route: &Route,
    constraints: &Constraints,
    session: Result<&'s Session<'s>, NoSession>,
    at: Circumstances,
) -> Result<Permit<'s>, NotAdmitted> {
    match route.access {
        Access::Public => Ok(Permit { holder: session.ok().map_or(Holder::Nobody, Holder::Person) }),
        Access::Bearer => Err(NotAdmitted::NoBearer),
        Access::SignedIn => {
            let session = session.map_err(NotAdmitted::NoSession)?;
            if !route.takes_people_of(session.provider()) {
                return Err(NotAdmitted::OtherProvider);
            }
            route.rules.judge(&Asker::of(session, at)).map_err(NotAdmitted::Rules)?;
            if constraints.admit(session.claims()) {
                Ok(Permit { holder: Holder::Person(session) })
            } else {
                Err(NotAdmitted::Constraints)
            }
        }
    }
}
