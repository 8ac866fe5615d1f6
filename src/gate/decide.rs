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
//! session is looked at; [`admit`] alone makes a [`Permit`]; without one there is no `Forward`. What
//! only the provider or the store knows is asked by the caller, once (`Refresh`), and then this
//! page again. Whom a stronger or a fresher sign-in would let in is led to one (`StepUp`); where anything
//! else is missing nobody is.
//!
//! A request that shows a bearer token on a route which takes some is decided by that alone
//! ([`decide_by_bearer`]): its cookie is not looked at, so that neither can stand in for the other.
//! Who can verify the token is asked by the caller too, and [`admit_caller`] makes the [`Permit`].
//!
//! On a route that asks for a seat of a licence, whoever may pass by their session has to have one
//! ([`with_seat`]). Where this process does not know of one, the store is asked by the caller, once
//! (`TakeSeat`), and then this page again.

use super::constraints::Constraints;
use super::policy::{NotAdmitted, Permit, admit, admit_caller};
use super::route::Found;
use super::rules::{Circumstances, Refusal};
use crate::bearer::{Caller, Fault};
use crate::oidc::StepUp;
use crate::seats::{LicenceId, NoSeat};
use crate::session::{NoSession, Session};
use crate::web::kind::Kind;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Decision<'a> {
    /// It goes to the app of this route (by its index), with the identity that the permit holds.
    Forward(usize, Permit<'a>),
    /// The provider or the store is asked how it stands with the session; then this is asked again.
    Refresh,
    /// The browser is led to sign in and comes back to this address.
    SignIn(NoSession),
    /// The rules would hold after this step-up, and nothing else is missing.
    StepUp(StepUp),
    /// A person is told that this route (by its index) is for people of another provider than theirs.
    /// Never sent there: they would be somebody else without having asked for it.
    OtherProvider(usize),
    /// They may pass if they get a seat: the store is asked for one; then this is asked again.
    TakeSeat,
    /// An outage has lasted too long to go on without what is out.
    Unavailable(NoSession),
    /// It is refused.
    Deny(Denial),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// 404: what no route names is not served.
    #[error("no route is for this host, path and method")]
    NoRoute,
    /// 404: the route is for what a front proxy asks, and its app is not behind us.
    #[error("no upstream is behind this route: it is for what a front proxy asks")]
    NoApp,
    /// 400: no telling which rule the app would have applied.
    #[error("the path or method can be read in two ways that fall under different routes")]
    AmbiguousPath,
    /// 401 for programs: they cannot follow a redirect to a provider.
    #[error("not signed in: {0}")]
    NotSignedIn(NoSession),
    /// 401 for programs, on a route that takes bearer tokens as well.
    #[error("neither signed in nor with a bearer token: {0}")]
    NeitherSessionNorBearer(NoSession),
    /// 401, on a route that takes bearer tokens and nothing else.
    #[error("no bearer token, on a route that takes nothing else")]
    NoBearer,
    /// 400, 401, 403 or 503: it shows a bearer token, which does not count (RFC 6750 §3.1).
    #[error("{0}")]
    Bearer(Fault),
    /// 403: somebody else's page made the browser send it.
    #[error("it would change something with a session, and comes from another site, or does not say from which")]
    OtherSite,
    /// 403: a rule of this route (by its index) keeps them out; [`super::Gate::explain`] has the words.
    #[error("the rules of the route keep them out")]
    NotAdmitted(usize, Refusal),
    /// 403: they have signed in with a provider whose people this route (by its index) does not take.
    #[error("the route is for people who sign in with another provider")]
    OtherProvider(usize),
    /// 409, 403 or 503: the route asks for a seat, and there is none for them.
    #[error("{0}")]
    NoSeat(NoSeat),
    /// 403 for front proxies: it is not one of those that they asked for.
    #[error("the session is not one that allowed_groups, allowed_emails and allowed_email_domains allow")]
    NotAllowed,
    /// 403 for front proxies: what is ours has to be led to us, and no app is there.
    #[error("the front proxy asks about a path of Vestibule's own: lead it there without asking")]
    OwnPath,
    /// 403 for front proxies: we cannot take it away as we do on the way to an app of our own.
    #[error("the client sent an identity header of its own, which the front proxy might hand on")]
    ForgedIdentity,
    /// 401 with a page: a form was sent without a session, and a redirect would lose it silently.
    #[error("a form was sent without a session: {0}")]
    FormWithoutSession(NoSession),
}

/// Decides. `session` is what the request's cookie gave, already checked at the present moment;
/// `constraints` what a front proxy asks for besides the route; `at` the circumstances;
/// `asks` whether the provider or the store has to be asked about it, and was not yet.
pub fn decide<'a>(
    kind: Kind,
    found: Found<'_>,
    constraints: &Constraints,
    session: Result<&'a Session<'a>, NoSession>,
    at: Circumstances,
    asks: bool,
) -> Decision<'a> {
    let (index, route) = match found {
        Found::Route(index, route) => (index, route),
        Found::Nothing => return Decision::Deny(Denial::NoRoute),
        Found::Ambiguous => return Decision::Deny(Denial::AmbiguousPath),
    };
    if kind == Kind::Preflight {
        // It changes nothing, and what it asks about is judged when it comes.
        return Decision::Forward(index, Permit::to_ask());
    }
    let reason = match admit(route, constraints, session, at) {
        // Not for those who need not be anybody: they would wait for nothing.
        Ok(_) if asks && session.is_ok() => return Decision::Refresh,
        Ok(permit) => return Decision::Forward(index, permit),
        Err(NotAdmitted::NoBearer) => return Decision::Deny(Denial::NoBearer),
        // Whatever the provider would say of the session, it opens nothing here.
        Err(NotAdmitted::OtherProvider) if kind == Kind::Navigation => return Decision::OtherProvider(index),
        Err(NotAdmitted::OtherProvider) => return Decision::Deny(Denial::OtherProvider(index)),
        Err(_) if asks => return Decision::Refresh,
        Err(NotAdmitted::Constraints) => return Decision::Deny(Denial::NotAllowed),
        Err(NotAdmitted::Rules(refusal)) => return Decision::Deny(Denial::NotAdmitted(index, refusal)),
        Err(NotAdmitted::StepUp(step_up)) => return Decision::StepUp(step_up),
        Err(NotAdmitted::NoSession(reason)) => reason,
    };
    match kind {
        _ if reason.is_outage() => Decision::Unavailable(reason),
        // There is a session: to sign in would change nothing.
        _ if reason == NoSession::OtherSite => Decision::Deny(Denial::OtherSite),
        Kind::Navigation => Decision::SignIn(reason),
        Kind::Submission => Decision::Deny(Denial::FormWithoutSession(reason)),
        Kind::Program if !route.bearer.is_empty() => Decision::Deny(Denial::NeitherSessionNorBearer(reason)),
        Kind::Program | Kind::Preflight => Decision::Deny(Denial::NotSignedIn(reason)),
    }
}

/// Decides about a request that shows a bearer token on a route which takes some. `caller` is what
/// came of verifying it at the present moment.
pub fn decide_by_bearer<'a>(
    found: Found<'_>,
    constraints: &Constraints,
    caller: Result<&'a Caller, Fault>,
    at: Circumstances,
) -> Decision<'a> {
    let (index, route) = match found {
        Found::Route(index, route) => (index, route),
        Found::Nothing => return Decision::Deny(Denial::NoRoute),
        Found::Ambiguous => return Decision::Deny(Denial::AmbiguousPath),
    };
    match caller.map(|caller| admit_caller(route, constraints, caller, at)) {
        Ok(Ok(permit)) => Decision::Forward(index, permit),
        Ok(Err(NotAdmitted::Constraints)) => Decision::Deny(Denial::NotAllowed),
        Ok(Err(NotAdmitted::Rules(refusal))) => Decision::Deny(Denial::NotAdmitted(index, refusal)),
        Ok(Err(NotAdmitted::StepUp(step_up))) => Decision::StepUp(step_up),
        Ok(Err(NotAdmitted::NoBearer | NotAdmitted::NoSession(_) | NotAdmitted::OtherProvider)) => {
            Decision::Deny(Denial::Bearer(Fault::Token))
        }
        Err(fault) => Decision::Deny(Denial::Bearer(fault)),
    }
}

/// What is known of the seat of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seating {
    /// They have one of this licence.
    Held(LicenceId),
    /// The store was not asked yet.
    Unknown,
    /// There is none for them.
    Without(NoSeat),
}

/// The same decision where a seat is needed as well. Whoever would not pass anyway takes none.
pub fn with_seat<'a>(decision: Decision<'a>, found: Found<'_>, seat: impl FnOnce() -> Seating) -> Decision<'a> {
    match (decision, found) {
        (Decision::Forward(index, permit), Found::Route(_, route)) if route.needs_seat && permit.person().is_some() => {
            match seat() {
                Seating::Held(licence) => Decision::Forward(index, permit.in_seat(licence)),
                Seating::Unknown => Decision::TakeSeat,
                Seating::Without(why) => Decision::Deny(Denial::NoSeat(why)),
            }
        }
        (decision, _) => decision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::constraints::NONE;
    use crate::gate::route::{Access, PathPattern, Route};
    use crate::gate::rules::{Condition, Listed, Rule, Rules, Subject, Test};
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens};
    use http::HeaderMap;

    const AT: Circumstances = Circumstances { now: START, client: None };
    const KINDS: [Kind; 3] = [Kind::Navigation, Kind::Submission, Kind::Program];
    const REASONS: [NoSession; 13] = [
        NoSession::Absent,
        NoSession::Unreadable,
        NoSession::Idle,
        NoSession::Expired,
        NoSession::Ended,
        NoSession::SignInTooOld,
        NoSession::NotRenewed,
        NoSession::ProviderGone,
        NoSession::ProviderDown,
        NoSession::StoreDown,
        NoSession::OtherSite,
        NoSession::TokenUnreadable,
        NoSession::TokenExpired,
    ];

    fn route(access: Access) -> Route {
        Route::new(PathPattern::everything(), access)
    }

    /// Calls `check` with every input that the decision can have.
    fn all(check: impl Fn(Kind, Found<'_>, Option<Access>, Result<&Session<'_>, NoSession>)) {
        let sessions = sessions(&[[1; 32]]);
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        let opened = sessions.open(&request_after(&HeaderMap::new(), &begun.cookies), START).unwrap();
        let session = sessions.read(&opened, START).unwrap();
        let (public, signed_in) = (route(Access::Public), route(Access::SignedIn));
        let bearer = Route { bearer: vec![1], ..route(Access::Bearer) };
        let found = [
            (Found::Route(4, &bearer), Some(Access::Bearer)),
            (Found::Route(4, &public), Some(Access::Public)),
            (Found::Route(4, &signed_in), Some(Access::SignedIn)),
            (Found::Nothing, None),
            (Found::Ambiguous, None),
        ];
        for kind in KINDS {
            for (found, access) in found {
                for held in [Ok(&session)].into_iter().chain(REASONS.map(Err)) {
                    check(kind, found, access, held);
                }
            }
        }
    }

    #[test]
    fn where_a_seat_is_needed_nobody_passes_by_a_session_without_one_and_nothing_else_changes() {
        let licence = LicenceId::from_random([7; 16]);
        all(|kind, found, _, session| {
            let plain = || decide(kind, found, &NONE, session, AT, false);
            // Where none is needed nobody looks for one.
            let unasked = with_seat(plain(), found, || panic!("a seat was looked for"));
            assert_eq!(format!("{unasked:?}"), format!("{:?}", plain()));
            let Found::Route(index, route) = found else { return };
            let route = Route { needs_seat: true, ..route.clone() };
            let found = Found::Route(index, &route);
            let passes = matches!(plain(), Decision::Forward(_, permit) if permit.person().is_some());
            for (seat, expected) in
                [(Seating::Unknown, "TakeSeat"), (Seating::Without(NoSeat::NotCovered), "Deny(NoSeat(NotCovered))")]
            {
                let expected = if passes { expected.to_owned() } else { format!("{:?}", plain()) };
                assert_eq!(format!("{:?}", with_seat(plain(), found, || seat)), expected);
            }
            match with_seat(plain(), found, || Seating::Held(licence)) {
                Decision::Forward(_, permit) => assert_eq!(permit.licence(), passes.then_some(licence)),
                other => assert_eq!(format!("{other:?}"), format!("{:?}", plain())),
            }
        });
    }

    #[test]
    fn without_a_session_nothing_is_forwarded_on_a_route_for_the_signed_in() {
        all(|kind, found, access, session| {
            let forwards = matches!(decide(kind, found, &NONE, session, AT, false), Decision::Forward(..));
            let expected = match access {
                Some(Access::Public) => true,
                Some(Access::SignedIn) => session.is_ok(),
                Some(Access::Bearer) | None => false,
            };
            assert_eq!(forwards, expected, "{kind:?} {found:?} {session:?}");
        });
    }

    #[test]
    fn a_session_that_the_front_proxy_does_not_ask_for_is_forwarded_on_public_routes_alone() {
        let nobody = Constraints::parse("allowed_groups=nobody");
        all(|kind, found, access, session| {
            let decision = decide(kind, found, &nobody, session, AT, false);
            match (access, session) {
                (Some(Access::SignedIn), Ok(_)) => assert!(matches!(decision, Decision::Deny(Denial::NotAllowed))),
                (Some(Access::SignedIn), Err(_)) => assert!(!matches!(decision, Decision::Forward(..))),
                (Some(Access::Public), _) => assert!(matches!(decision, Decision::Forward(..))),
                (Some(Access::Bearer) | None, _) => assert!(matches!(decision, Decision::Deny(_))),
            }
        });
    }

    #[test]
    fn a_session_of_another_provider_opens_nothing_on_a_route_that_names_its_own() {
        let sessions = sessions(&[[1; 32]]);
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        let opened = sessions.open(&request_after(&HeaderMap::new(), &begun.cookies), START).unwrap();
        let session = sessions.read(&opened, START).unwrap();
        let of = |names: &[&str]| Route {
            providers: names.iter().map(|name| (*name).to_owned()).collect(),
            bearer: vec![1],
            ..route(Access::SignedIn)
        };
        // The session is of `proconnect`; whether it has to be asked about says nothing here.
        for (names, passes) in [
            (&[][..], true),
            (&["proconnect"], true),
            (&["b", "proconnect"], true),
            (&["b"], false),
            (&["b", "c"], false),
        ] {
            let route = of(names);
            for (kind, asks) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, !passes)]) {
                let decision = decide(kind, Found::Route(4, &route), &NONE, Ok(&session), AT, asks);
                match (kind, decision) {
                    (_, Decision::Forward(4, permit)) if passes => assert!(permit.person().is_some()),
                    (Kind::Navigation, Decision::OtherProvider(4)) if !passes => {}
                    (_, Decision::Deny(Denial::OtherProvider(4))) if !passes => assert_ne!(kind, Kind::Navigation),
                    (_, other) => panic!("{names:?} {kind:?}: {other:?}"),
                }
            }
            // Nobody is led to sign in by it who has no session at all, and a bearer token is not a session.
            let without = decide(Kind::Navigation, Found::Route(4, &route), &NONE, Err(NoSession::Absent), AT, false);
            assert!(matches!(without, Decision::SignIn(NoSession::Absent)));
            let caller = caller(1);
            let by_bearer = decide_by_bearer(Found::Route(4, &route), &NONE, Ok(&caller), AT);
            assert!(matches!(by_bearer, Decision::Forward(..)));
        }
    }

    #[test]
    fn a_permit_names_whom_the_session_names_and_nobody_else() {
        all(|kind, found, _, session| {
            if let Decision::Forward(index, permit) = decide(kind, found, &NONE, session, AT, false) {
                assert_eq!((index, permit.person()), (4, session.ok()));
            }
        });
    }

    #[test]
    fn a_request_without_a_route_is_refused_whoever_sends_it() {
        all(|kind, found, access, session| match (found, decide(kind, found, &NONE, session, AT, false)) {
            (Found::Nothing, decision) => assert!(matches!(decision, Decision::Deny(Denial::NoRoute))),
            (Found::Ambiguous, decision) => assert!(matches!(decision, Decision::Deny(Denial::AmbiguousPath))),
            (Found::Route(..), _) => assert!(access.is_some()),
        });
    }

    #[test]
    fn a_request_without_a_session_is_answered_as_its_kind_can_understand() {
        all(|kind, found, access, session| {
            let (Some(Access::SignedIn), Err(reason)) = (access, session) else { return };
            let decision = decide(kind, found, &NONE, session, AT, false);
            let is_so = match (reason, kind) {
                (NoSession::ProviderDown | NoSession::StoreDown, _) => {
                    matches!(decision, Decision::Unavailable(why) if why == reason)
                }
                (NoSession::OtherSite, _) => decision.denial() == Some(Denial::OtherSite),
                (_, Kind::Navigation) => matches!(decision, Decision::SignIn(why) if why == reason),
                (_, Kind::Submission) => decision.denial() == Some(Denial::FormWithoutSession(reason)),
                (_, Kind::Program | Kind::Preflight) => decision.denial() == Some(Denial::NotSignedIn(reason)),
            };
            assert!(is_so, "{kind:?} {reason:?}: {decision:?}");
        });
    }

    #[test]
    fn what_has_to_be_asked_first_is_asked_wherever_the_session_counts_and_nowhere_else() {
        all(|kind, found, access, session| {
            let asks = matches!(decide(kind, found, &NONE, session, AT, true), Decision::Refresh);
            let counts = match access {
                Some(Access::Public) => session.is_ok(),
                Some(Access::SignedIn) => true,
                Some(Access::Bearer) | None => false,
            };
            assert_eq!(asks, counts, "{kind:?} {found:?} {session:?}");
        });
    }

    fn caller(rule: usize) -> Caller {
        let claims = serde_json::json!({"sub": "s", "email": "h@example.fr", "groups": ["robots"]});
        Caller::for_tests(rule, claims.as_object().unwrap())
    }

    /// Calls `check` with what a bearer token comes to on routes that take the tokens of rule 1.
    fn all_by_bearer(check: impl Fn(Found<'_>, Result<&Caller, Fault>)) {
        let routes = [Access::SignedIn, Access::Bearer].map(|access| Route { bearer: vec![1, 3], ..route(access) });
        let [signed_in, bearer] = &routes;
        let callers = [caller(1), caller(3), caller(0), caller(2)];
        let faults = [Fault::Request, Fault::Token, Fault::Scope, Fault::Outage];
        for found in [Found::Route(4, signed_in), Found::Route(4, bearer), Found::Nothing, Found::Ambiguous] {
            for shown in callers.iter().map(Ok).chain(faults.map(Err)) {
                check(found, shown);
            }
        }
    }

    #[test]
    fn a_bearer_token_passes_where_the_route_names_the_rule_that_verified_it_and_nowhere_else() {
        all_by_bearer(|found, shown| {
            let decision = decide_by_bearer(found, &NONE, shown, AT);
            let expected =
                matches!(found, Found::Route(..)) && shown.is_ok_and(|caller| [1, 3].contains(&caller.rule()));
            assert_eq!(matches!(decision, Decision::Forward(..)), expected, "{found:?} {shown:?}");
            match decision {
                Decision::Forward(index, permit) => {
                    assert!(index == 4 && permit.person().is_none() && permit.caller() == shown.ok());
                }
                Decision::Deny(Denial::Bearer(fault)) => {
                    assert_eq!(fault, shown.err().unwrap_or(Fault::Token), "{found:?} {shown:?}");
                }
                Decision::Deny(Denial::NoRoute | Denial::AmbiguousPath) => assert!(!matches!(found, Found::Route(..))),
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn a_front_proxy_can_narrow_bearer_tokens_too() {
        let nobody = Constraints::parse("allowed_groups=nobody");
        let robots = Constraints::parse("allowed_groups=robots&allowed_email_domains=example.fr");
        let route = Route { bearer: vec![1], ..route(Access::SignedIn) };
        let by = |constraints| decide_by_bearer(Found::Route(4, &route), constraints, Ok(&caller(1)), AT).denial();
        assert_eq!(by(&nobody), Some(Denial::NotAllowed));
        assert_eq!(by(&robots), None);
    }

    #[test]
    fn a_bearer_route_asks_for_a_bearer_and_a_mixed_one_offers_both() {
        let mixed = Route { bearer: vec![1], ..route(Access::SignedIn) };
        for reason in REASONS {
            let program = decide(Kind::Program, Found::Route(4, &mixed), &NONE, Err(reason), AT, false);
            match program {
                Decision::Unavailable(_) => assert!(reason.is_outage()),
                Decision::Deny(Denial::OtherSite) => assert_eq!(reason, NoSession::OtherSite),
                decision => assert_eq!(decision.denial(), Some(Denial::NeitherSessionNorBearer(reason))),
            }
            let navigation = decide(Kind::Navigation, Found::Route(4, &mixed), &NONE, Err(reason), AT, false);
            let led = matches!(navigation, Decision::SignIn(_) | Decision::Unavailable(_));
            assert!(led || reason == NoSession::OtherSite, "{navigation:?}");
        }
    }

    #[test]
    fn a_step_up_is_offered_where_nothing_else_is_missing_and_to_whom_can_make_one() {
        let sessions = sessions(&[[1; 32]]);
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        let opened = sessions.open(&request_after(&HeaderMap::new(), &begun.cookies), START).unwrap();
        let session = sessions.read(&opened, START).unwrap();
        let level = Test::OneOf(Listed::here(["eidas3".to_owned()].into()));
        let condition = Condition::Is(Subject::Claim("acr".to_owned()), level);
        let rules = Rules { require: vec![Rule { name: "r".into(), condition, who: None }], ..Rules::default() };
        let route = Route { bearer: vec![1], rules, ..route(Access::SignedIn) };
        let found = Found::Route(4, &route);
        let nobody = Constraints::parse("allowed_groups=nobody");
        let of_issuer = caller(1);
        let service = caller(1).by_service_key();
        for (constraints, whose, decision, expected) in [
            (&NONE, "session", decide(Kind::Navigation, found, &NONE, Ok(&session), AT, false), true),
            (&nobody, "session", decide(Kind::Navigation, found, &nobody, Ok(&session), AT, false), false),
            (&NONE, "issuer's", decide_by_bearer(found, &NONE, Ok(&of_issuer), AT), true),
            (&nobody, "issuer's", decide_by_bearer(found, &nobody, Ok(&of_issuer), AT), false),
            (&NONE, "service", decide_by_bearer(found, &NONE, Ok(&service), AT), false),
            (&nobody, "service", decide_by_bearer(found, &nobody, Ok(&service), AT), false),
        ] {
            match decision {
                Decision::StepUp(step_up) => assert!(expected && step_up.acr_values == ["eidas3"], "{whose}"),
                Decision::Deny(Denial::NotAdmitted(4, _)) => assert!(!expected, "{whose} {constraints:?}"),
                other => panic!("{whose} {constraints:?}: {other:?}"),
            }
        }
    }

    impl Decision<'_> {
        fn denial(&self) -> Option<Denial> {
            match self {
                Decision::Deny(denial) => Some(*denial),
                _ => None,
            }
        }
    }
}
