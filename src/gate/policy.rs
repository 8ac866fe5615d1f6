//! Who may enter: the only maker of a [`Permit`].
//!
//! Part of the security perimeter: only a `Permit` becomes identity headers (`headers`), and its
//! fields are private to this file.

use super::constraints::Constraints;
use super::route::{Access, Route};
use super::rules::{Asker, Circumstances, Refusal};
use crate::bearer::Caller;
use crate::oidc::StepUp;
use crate::seats::LicenceId;
use crate::session::{NoSession, Session};

/// Leave to pass, with whoever passes.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'s> {
    holder: Holder<'s>,
    /// The licence of the seat that they have, on a route that asks for one.
    licence: Option<LicenceId>,
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
        Self { holder: Holder::Nobody, licence: None }
    }

    /// The same, for somebody who has a seat of this licence.
    #[must_use]
    pub(super) const fn in_seat(self, licence: LicenceId) -> Self {
        Self { licence: Some(licence), ..self }
    }

    /// The licence of the seat that goes with the request.
    pub fn licence(&self) -> Option<LicenceId> {
        self.licence
    }
}

/// Why a request may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A rule of the route keeps them out, and would not after such a step-up.
    StepUp(StepUp),
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
    let asker = Asker { claims: &claims, provider: None, authenticated_at: caller.authenticated_at(), at };
    route
        .rules
        .judge(&asker)
        .map_err(|refusal| kept_out(route, &asker, refusal, caller.is_of_an_issuer() && constraints.admit(&claims)))?;
    if constraints.admit(&claims) {
        Ok(Permit { holder: Holder::Caller(caller), licence: None })
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
        Access::Public => Ok(Permit { holder: session.ok().map_or(Holder::Nobody, Holder::Person), licence: None }),
        Access::Bearer => Err(NotAdmitted::NoBearer),
        Access::SignedIn => {
            let session = session.map_err(NotAdmitted::NoSession)?;
            if !route.takes_people_of(session.provider()) {
                return Err(NotAdmitted::OtherProvider);
            }
            let asker = Asker::of(session, at);
            let admitted = || constraints.admit(session.claims());
            route.rules.judge(&asker).map_err(|refusal| kept_out(route, &asker, refusal, admitted()))?;
            let permit = Permit { holder: Holder::Person(session), licence: None };
            if admitted() { Ok(permit) } else { Err(NotAdmitted::Constraints) }
        }
    }
}

/// Whether a step-up is all that is missing, for somebody who can make one.
fn kept_out(route: &Route, asker: &Asker<'_>, refusal: Refusal, can_step_up: bool) -> NotAdmitted {
    let step_up = if can_step_up { route.rules.step_up(asker) } else { None };
    step_up.map_or(NotAdmitted::Rules(refusal), NotAdmitted::StepUp)
}
