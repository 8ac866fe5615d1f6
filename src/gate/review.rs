//! Whether a request that was let through would be let through now.
//!
//! Called by `server/live` for what is under way: when the configuration was read anew, when the
//! provider said something else of a person, and again and again where rules look at the time. The
//! same page decides, `gate/decide`. Must never let go on what would not be let in: what asks for a
//! sign-in or another look here is a refusal, for nobody can be asked any more.

use super::constraints::NONE;
use super::decide::{Decision, decide, decide_by_bearer};
use super::route::{Found, Route};
use super::rules::{Asker, Circumstances};
use super::{Denial, Gate};
use crate::bearer::Caller;
use crate::clock::Timestamp;
use crate::session::{NoSession, Session};
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;

/// Who made a request that was let through.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// Whoever it was, on a public route.
    Nobody,
    /// Somebody with a session, which is not over.
    Person(&'a Session<'a>),
    /// Somebody with a bearer token or a certificate.
    Caller(&'a Caller),
}

impl Gate {
    /// Judges a request that another gate of this site let through `since` then: by which route of this one
    /// it may go on.
    ///
    /// # Errors
    /// Why it may not.
    pub fn review(
        &self,
        request: &CleanRequest<'_>,
        holder: Holder<'_>,
        since: Timestamp,
        at: Circumstances,
    ) -> Result<usize, Denial> {
        goes_on(self.find(request), holder, since, at)
    }

    /// Judges a request that this gate let through on the route at `index`, `since` then.
    ///
    /// # Errors
    /// Why it may not go on.
    pub fn review_on(
        &self,
        index: usize,
        holder: Holder<'_>,
        since: Timestamp,
        at: Circumstances,
    ) -> Result<(), Denial> {
        let found = self.routes.get(index).map_or(Found::Nothing, |route| Found::Route(index, route));
        goes_on(found, holder, since, at).map(drop)
    }
}

fn goes_on(found: Found<'_>, holder: Holder<'_>, since: Timestamp, at: Circumstances) -> Result<usize, Denial> {
    let takes_tokens = |route: &Route| !route.bearer.is_empty();
    let decision = match holder {
        // Where no token is taken none is looked at: it passes as anybody's request does, or not.
        Holder::Caller(caller) if matches!(found, Found::Route(_, route) if takes_tokens(route)) => {
            decide_by_bearer(found, &NONE, Ok(caller), at)
        }
        Holder::Caller(_) | Holder::Nobody => decide(Kind::Program, found, &NONE, Err(NoSession::Absent), at, false),
        Holder::Person(session) => decide(Kind::Program, found, &NONE, Ok(session), at, false),
    };
    match decision {
        Decision::Forward(index, _) => Ok(index),
        // How recent a proof is was asked when it began, and what is under way does not ask for that again; for a
        // level it does.
        Decision::StepUp(_) => as_recent(found, holder, since, at),
        Decision::Deny(denial) => Err(denial),
        Decision::OtherProvider(index) => Err(Denial::OtherProvider(index)),
        Decision::SignIn(reason) | Decision::Unavailable(reason) => Err(Denial::NotSignedIn(reason)),
        Decision::Refresh | Decision::TakeSeat => Err(Denial::NotSignedIn(NoSession::NotRenewed)),
    }
}

/// What the rules say of somebody whose proof is as old as it was when they were let in, and not a moment
/// older. Whom something else let in, such as a list, must not stay by a proof that was old even then.
fn as_recent(found: Found<'_>, holder: Holder<'_>, since: Timestamp, at: Circumstances) -> Result<usize, Denial> {
    let Found::Route(index, route) = found else { return Err(Denial::NoRoute) };
    let then = |proof: Timestamp| proof.plus(at.now.since(since)).min(at.now);
    let judged = match holder {
        Holder::Person(session) => {
            let authenticated_at = session.authenticated_at().map(then);
            route.rules.judge(&Asker { authenticated_at, ..Asker::of(session, at) })
        }
        Holder::Caller(caller) => {
            let (claims, authenticated_at) = (caller.claims().view(), caller.authenticated_at().map(then));
            route.rules.judge(&Asker { claims: &claims, provider: None, authenticated_at, at })
        }
        Holder::Nobody => return Err(Denial::NotSignedIn(NoSession::Absent)),
    };
    judged.map(|()| index).map_err(|refusal| Denial::NotAdmitted(index, refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::headers::{Headers, Settings};
    use crate::gate::route::{Access, PathPattern, Route, Table};
    use crate::gate::rules::{Condition, Listed, Rule, Rules, Subject, Test};
    use crate::gate::template::Encoding;
    use crate::oidc::Identity;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens, try_begin};
    use crate::session::{OpenedSession, Sessions};
    use crate::web::public_url::PublicUrl;
    use crate::web::return_to::Prefix;
    use http::HeaderMap;
    use serde_json::json;
    use std::sync::Arc;

    const AT: Circumstances = Circumstances { now: START, client: None };

    fn route(access: Access, bearer: Vec<usize>) -> Route {
        Route { bearer, ..Route::new(PathPattern::everything(), access) }
    }

    #[test]
    fn whoever_would_be_let_in_goes_on_and_nobody_else() {
        let sessions = sessions(&[[1; 32]]);
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        let opened = sessions.open(&request_after(&HeaderMap::new(), &begun.cookies), START).unwrap();
        let session = sessions.read(&opened, START).unwrap();
        let caller = Caller::for_tests(1, &serde_json::Map::new());
        let holders = [Holder::Nobody, Holder::Person(&session), Holder::Caller(&caller)];
        let denied = Rules {
            deny: vec![Rule {
                name: "d".into(),
                condition: Condition::Is(Subject::Claim("sub".to_owned()), Test::Present),
                who: None,
            }],
            ..Rules::default()
        };
        let kept_out = Route { rules: denied, ..route(Access::SignedIn, Vec::new()) };
        let cases = [
            (route(Access::Public, Vec::new()), [true, true, true]),
            (route(Access::SignedIn, Vec::new()), [false, true, false]),
            (route(Access::SignedIn, vec![1]), [false, true, true]),
            (route(Access::SignedIn, vec![2]), [false, true, false]),
            (route(Access::Bearer, vec![1]), [false, false, true]),
            (route(Access::Bearer, vec![2]), [false, false, false]),
            (kept_out, [false, false, false]),
        ];
        for (route, expected) in &cases {
            let found = holders.map(|holder| goes_on(Found::Route(3, route), holder, START, AT).is_ok());
            assert_eq!(found, *expected, "{route:?}");
        }
        for holder in holders {
            assert_eq!(goes_on(Found::Nothing, holder, START, AT), Err(Denial::NoRoute));
            assert_eq!(goes_on(Found::Ambiguous, holder, START, AT), Err(Denial::AmbiguousPath));
        }
        let Err(Denial::NotAdmitted(3, _)) = goes_on(Found::Route(3, &cases[6].0), holders[1], START, AT) else {
            panic!()
        };
    }

    /// Somebody who proved who they are at [`START`].
    fn proven() -> (Sessions, OpenedSession) {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let claims = json!({"sub": "s", "acr": "eidas1", "auth_time": START.as_unix()});
        let identity = Identity::for_tests("proconnect", claims.as_object().unwrap());
        let begun = try_begin(&sessions, &identity, &HeaderMap::new(), &tokens(10), &random).unwrap();
        let opened = sessions.open(&request_after(&HeaderMap::new(), &begun.cookies), START).unwrap();
        (sessions, opened)
    }

    #[test]
    fn a_request_goes_on_by_the_route_that_is_there_for_it_now() {
        let route = |path: &str, access| Route::new(PathPattern::parse(path).unwrap(), access);
        let routes = ["/a/**", "/b/**", "/c/**"].map(|path| route(path, Access::Public)).into_iter();
        let table = Table::new(routes.chain([route("/private/**", Access::SignedIn)]).collect()).unwrap();
        let headers = Headers::new(Settings { headers: Vec::new(), encoding: Encoding::default(), assertion: None });
        let url = PublicUrl::parse("https://app.example").unwrap();
        let gate = Gate::new(table, headers, Arc::new(sessions(&[[1; 32]])), url, Prefix::default());
        let review = |target: &str| {
            let request = http::Request::get(target).header("host", "app.example").body(()).unwrap();
            let (parts, ()) = request.into_parts();
            gate.review(&CleanRequest::inspect(&parts, target.as_bytes(), b"").unwrap(), Holder::Nobody, START, AT)
        };
        for path in ["/a", "/b", "/c"] {
            let index = review(&format!("{path}/x")).unwrap();
            assert_eq!(gate.route(index).unwrap().path, PathPattern::parse(&format!("{path}/**")).unwrap());
            assert_eq!(gate.review_on(index, Holder::Nobody, START, AT), Ok(()));
        }
        let absent = Err(Denial::NotSignedIn(NoSession::Absent));
        assert_eq!(review("/private/x").map(drop), absent);
        let private = gate.routes().position(|route| route.access == Access::SignedIn).unwrap();
        assert_eq!(gate.review_on(private, Holder::Nobody, START, AT), absent);
        // What was taken out of the configuration.
        assert_eq!(review("/d/x"), Err(Denial::NoRoute));
        assert_eq!(gate.review_on(4, Holder::Nobody, START, AT), Err(Denial::NoRoute));
    }

    #[test]
    fn how_recent_a_proof_was_is_asked_once_and_how_strong_as_long_as_it_lasts() {
        let (sessions, opened) = proven();
        let session = sessions.read(&opened, START).unwrap();
        let recent = || Condition::MaxAge(std::time::Duration::from_secs(60));
        let level = || {
            let levels = ["eidas3".to_owned()].into();
            Condition::Is(Subject::Claim("acr".to_owned()), Test::OneOf(Listed::here(levels)))
        };
        let later = Circumstances { now: START.plus(std::time::Duration::from_secs(3600)), ..AT };
        for (conditions, goes) in [(vec![recent()], true), (vec![level()], false), (vec![recent(), level()], false)] {
            let require =
                conditions.into_iter().map(|condition| Rule { name: "r".into(), condition, who: None }).collect();
            let rules = Rules { require, ..Rules::default() };
            let route = Route { rules, ..route(Access::SignedIn, Vec::new()) };
            let outcome = goes_on(Found::Route(3, &route), Holder::Person(&session), START, later);
            assert_eq!(outcome.is_ok(), goes, "{route:?}");
        }
    }

    /// Let in by a list; the list no longer has them; they are not let stay as somebody who would be let in
    /// by a proof that they never gave.
    #[test]
    fn whom_another_rule_let_in_does_not_stay_by_a_proof_that_was_old_even_then() {
        let (sessions, opened) = proven();
        let session = sessions.read(&opened, START).unwrap();
        let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
        let allow =
            [Condition::MaxAge(minutes(15)), Condition::Is(Subject::Email, Test::OneOf(Listed::here([].into())))];
        let allow = allow.into_iter().map(|condition| Rule { name: "r".into(), condition, who: None }).collect();
        let rules = Rules { allow, ..Rules::default() };
        let route = Route { rules, ..route(Access::SignedIn, Vec::new()) };
        let proof = START;
        for (since, goes) in [(0, true), (14, true), (15, false), (40, false)] {
            let at = Circumstances { now: proof.plus(minutes(50)), ..AT };
            let since = proof.plus(minutes(since));
            let outcome = goes_on(Found::Route(3, &route), Holder::Person(&session), since, at);
            assert_eq!(outcome.is_ok(), goes, "{since:?}");
        }
    }
}
