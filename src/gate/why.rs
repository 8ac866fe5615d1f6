//! For who asks why: under which route a request falls, what its conditions come to, what came near.
//!
//! Called by `server/explain`, and by `server/look` for the header that tells operators what decided. Nothing is
//! decided by it.

use super::Gate;
use super::case::Case;
use super::nearest::{Near, Reading};
use super::route::{Access, Found};
use super::rules::{Asker, Circumstances};
use super::trace::Trace;
use crate::bearer::Caller;
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;

impl Gate {
    /// What each condition of its route comes to, where somebody is there to ask about: the caller, or
    /// whose session it shows.
    pub fn trace(&self, case: &Case<'_, '_>, caller: Option<&Caller>, at: Circumstances) -> Trace {
        let Found::Route(_, route) = case.found else { return Trace::default() };
        if let Some(caller) = caller {
            let claims = caller.claims().view();
            let authenticated_at = caller.authenticated_at();
            return route.rules.trace(&Asker { claims: &claims, provider: None, authenticated_at, at });
        }
        let is_for_people = route.access == Access::SignedIn && case.kind != Kind::Preflight;
        let opened = self.sessions.open(case.headers, at.now).ok().filter(|_| is_for_people);
        let session = opened.as_ref().and_then(|opened| self.sessions.read(opened, at.now).ok());
        session.map(|session| route.rules.trace(&Asker::of(&session, at))).unwrap_or_default()
    }

    /// What decided, on one line: the route and what its rules came to. Nothing of the person.
    pub fn in_short(&self, case: &Case<'_, '_>, caller: Option<&Caller>, at: Circumstances) -> String {
        let route = match case.found {
            Found::Route(_, route) => route.label(),
            Found::Nothing => "none".to_owned(),
            Found::Ambiguous => "ambiguous".to_owned(),
        };
        let rules = self.trace(case, caller, at).rules.into_iter().map(|rule| {
            let outcome = rule.step.outcome();
            format!("; {} {}: {outcome}", rule.list, rule.name)
        });
        format!("route={route}{}", rules.collect::<String>())
    }

    /// The routes that come nearest to it besides.
    pub fn nearest(&self, case: &Case<'_, '_>, request: &CleanRequest<'_>, most: usize) -> Vec<Near<'_>> {
        let found = if let Found::Route(index, _) = case.found { Some(index) } else { None };
        self.routes.nearest(found, request.host(), &case.routed_by(request), request.path(), most)
    }

    /// How apps may read its path.
    pub fn readings(&self, case: &Case<'_, '_>, request: &CleanRequest<'_>) -> Vec<Reading<'_>> {
        self.routes.readings(request.host(), &case.routed_by(request), request.path())
    }
}
