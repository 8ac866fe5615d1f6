//! The gate: may this request pass, to which app, and as whom.
//!
//! Called by `server` for every request that is not for one of our own endpoints, and for what front
//! proxies and apps ask at `/oauth2/auth`. The files in the order of a request: `case` → [`route`] → (session) →
//! [`mod@decide`] → [`policy`] → [`headers`] (whose values [`template`] writes, and one of which may be a signed
//! [`assertion`]) → `verdict`; [`nearest`], [`trace`] and `why` tell who asks why.
//! Does no I/O, and never answers: it says what the answer is.

pub mod assertion;
mod case;
pub mod constraints;
pub mod decide;
pub mod headers;
pub mod nearest;
pub mod policy;
pub mod review;
pub mod route;
pub mod rules;
mod step_up;
pub mod template;
pub mod trace;
mod verdict;
mod why;

pub use case::{About, Case, Question};
pub(crate) use case::{changes_something, headers_for_routes};
pub use decide::Denial;
pub use verdict::{Forward, Verdict};

use crate::bearer::{Caller, Fault, presented};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seats::{Applicant, NoSeat, Seat, Seated, Seats};
use crate::session::{NoSession, OpenedSession, Session, Sessions};
use crate::web::kind::Kind;
use crate::web::origin::{self, Initiator, Origins};
use crate::web::path::RequestPath;
use crate::web::public_url::PublicUrl;
use crate::web::return_hosts::ReturnHosts;
use crate::web::return_to::{Prefix, ReturnTo};
use assertion::Assertions;
use decide::{Decision, Seating, decide, decide_by_bearer, with_seat};
use headers::{Headers, gap_auth, named_set};
use http::Method;
use route::{Access, Found, PathPattern, Route, Table};
use rules::{Asker, Circumstances, Explanation, Refusal};
use std::sync::Arc;

/// What was asked of others about a request, each once.
enum Asked {
    Nothing,
    /// The provider and the store, about its session.
    Session,
    /// Then the store, for a seat.
    Seat(Result<Seat, NoSeat>),
}

/// Everything that a decision needs, made once.
pub struct Gate {
    routes: Table,
    headers: Headers,
    /// What is told to whoever asks whose session it is.
    told: Headers,
    /// What is told to front proxies about a request.
    answered: Headers,
    /// The rule for that.
    asked: Route,
    sessions: Arc<Sessions>,
    public_url: PublicUrl,
    prefix: Prefix,
    return_hosts: ReturnHosts,
    origins: Origins,
    passes_preflights: bool,
    assertions: Option<Assertions>,
    seats: Option<Arc<Seats>>,
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
        let told = headers.with(named_set("x-auth-request").into_iter().flatten().chain(gap_auth()).collect());
        let answered = headers.with(headers.all().iter().cloned().chain(gap_auth()).collect());
        let asked = Route::new(PathPattern::everything(), Access::SignedIn);
        let return_hosts = ReturnHosts::default();
        let origins = Origins::new(public_url.clone(), Vec::new());
        Self {
            routes,
            headers,
            told,
            answered,
            asked,
            sessions,
            public_url,
            prefix,
            return_hosts,
            origins,
            passes_preflights: false,
            assertions: None,
            seats: None,
        }
    }

    /// The same gate, which looks for the seats of those who pass where a route asks for one.
    #[must_use]
    pub fn seating(self, seats: Option<Arc<Seats>>) -> Self {
        let asked = Route { needs_seat: seats.is_some(), ..self.asked };
        Self { asked, seats, ..self }
    }

    /// The same gate, which signs who sent a request on the routes that ask for it.
    #[must_use]
    pub fn asserting(self, assertion: Option<assertion::Settings>) -> Self {
        Self { assertions: assertion.map(Assertions::new), ..self }
    }

    /// The same gate, which leads browsers back to these hosts too.
    #[must_use]
    pub fn returning_to(self, return_hosts: ReturnHosts) -> Self {
        Self { return_hosts, ..self }
    }

    /// The same gate, to which the pages of these origins may send what changes something, and which
    /// lets their preflights pass to the app or not.
    #[must_use]
    pub fn trusting(self, origins: Origins, passes_preflights: bool) -> Self {
        Self { origins, passes_preflights, ..self }
    }

    /// Judges a request in these circumstances; of a question `Forward` is yes.
    pub fn judge<'g>(&'g self, case: &Case<'g, '_>, at: Circumstances, random: &dyn Random) -> Verdict<'g> {
        if let Some(verdict) = case.asks_about_bearer(at) {
            return verdict;
        }
        let opened = if case.takes_proof {
            self.sessions.open_shown(case.headers, at.now)
        } else {
            self.sessions.open(case.headers, at.now)
        };
        let opened = opened.and_then(|opened| self.unless_borrowed(case, opened, at.now));
        self.verdict(case, opened, Asked::Nothing, at, random)
    }

    /// Judges it again with what came of asking: the session as it is now, or why there is none.
    pub fn judge_again<'g>(
        &'g self,
        case: &Case<'g, '_>,
        session: Result<OpenedSession, NoSession>,
        at: Circumstances,
        random: &dyn Random,
    ) -> Verdict<'g> {
        self.verdict(case, session, Asked::Session, at, random)
    }

    /// Judges it once more with what came of asking for a seat.
    pub fn judge_seated<'g>(
        &'g self,
        case: &Case<'g, '_>,
        session: OpenedSession,
        seat: Result<Seat, NoSeat>,
        at: Circumstances,
        random: &dyn Random,
    ) -> Verdict<'g> {
        self.verdict(case, Ok(session), Asked::Seat(seat), at, random)
    }

    /// The rules by which the client certificate of its connection may let a request pass: those of
    /// its route. None where it shows a token, which counts alone; where it asks for nothing, as a
    /// preflight does; and where a page of another site made a browser send it, for a certificate
    /// comes along by itself as a cookie does.
    pub fn rules_for_certificate<'g>(&self, case: &Case<'g, '_>) -> Option<&'g [usize]> {
        let Found::Route(_, route) = case.found else { return None };
        let shows_none = !case.shows_token && matches!(presented(case.headers), Ok(None));
        let counts = case.kind != Kind::Preflight && shows_none;
        let asks = case.changes_something() || origin::is_handshake(case.headers);
        let is_borrowed = asks && self.origins.initiator(case.headers) == Initiator::Foreign;
        (counts && !is_borrowed && !route.bearer.is_empty()).then_some(route.bearer.as_slice())
    }

    /// A session does not count for what a page of another site may have made the browser send:
    /// a request that changes something, or a WebSocket.
    fn unless_borrowed(
        &self,
        case: &Case<'_, '_>,
        opened: OpenedSession,
        now: Timestamp,
    ) -> Result<OpenedSession, NoSession> {
        if opened.by_token() {
            // A token does not come along by itself: whoever sends it was told it.
            return Ok(opened);
        }
        let is_borrowed = if origin::is_handshake(case.headers) {
            // Browsers always say whose page opens one (RFC 6455 §4.1).
            self.origins.initiator(case.headers) == Initiator::Foreign
        } else if case.is_guarded() && case.changes_something() {
            match self.origins.initiator(case.headers) {
                Initiator::Trusted => false,
                // The token is for browsers that do not say it; what they say is never outweighed.
                Initiator::Unsaid => !self.sessions.repeats_token(case.headers, &opened, now),
                Initiator::Foreign => true,
            }
        } else {
            false
        };
        if is_borrowed { Err(NoSession::OtherSite) } else { Ok(opened) }
    }

    fn verdict<'g>(
        &'g self,
        case: &Case<'g, '_>,
        opened: Result<OpenedSession, NoSession>,
        asked: Asked,
        at: Circumstances,
        random: &dyn Random,
    ) -> Verdict<'g> {
        let now = at.now;
        let session = match &opened {
            Ok(opened) => self.sessions.read(opened, now),
            Err(reason) => Err(*reason),
        };
        let held = session.as_ref().map_err(|reason| *reason);
        let wants_refresh = |opened| self.sessions.wants_refresh(opened, held, now);
        let asks = matches!(asked, Asked::Nothing) && opened.as_ref().is_ok_and(wants_refresh);
        // `session` borrows from `opened`, which leaves with the verdict: what is needed of it is
        // worked out first.
        let decision = decide(case.kind, case.found, case.constraints, held, at, asks);
        let decision = with_seat(decision, case.found, || match held {
            Ok(session) => self.seating_of(session, asked, now),
            Err(_) => Seating::Unknown,
        });
        let (index, identity, id, renewal) = match decision {
            Decision::Forward(index, permit) => {
                let mut renewal = match (permit.person(), &opened) {
                    (Some(person), Ok(opened)) => self.sessions.renewal(person, opened, case.headers, now, random),
                    _ => Vec::new(),
                };
                // What shows a token of its own need not repeat one, and gets no cookie.
                let by_token = opened.as_ref().is_ok_and(OpenedSession::by_token);
                let person = permit.person().filter(|_| !by_token && !case.changes_something());
                renewal.extend(person.and_then(|person| self.sessions.token_cookie(person, case.headers, now, random)));
                (index, case.identity(permit, now), permit.person().map(Session::id), renewal)
            }
            Decision::Refresh => {
                return match opened {
                    Ok(opened) => Verdict::Refresh(opened),
                    Err(reason) => Verdict::Deny(Denial::NotSignedIn(reason)),
                };
            }
            Decision::TakeSeat => {
                return match opened {
                    Ok(opened) => Verdict::TakeSeat(opened),
                    Err(reason) => Verdict::Deny(Denial::NotSignedIn(reason)),
                };
            }
            Decision::SignIn(reason) => {
                return Verdict::SignIn { return_to: self.way_back(case), reason, providers: case.providers() };
            }
            Decision::OtherProvider(index) => {
                return Verdict::OtherProvider { index, return_to: self.way_back(case) };
            }
            Decision::StepUp(step_up) => {
                let return_to = self.way_back(case);
                return Verdict::StepUp { step_up, session: opened.ok(), kind: case.kind, return_to };
            }
            Decision::Unavailable(reason) => return Verdict::Unavailable(reason),
            Decision::Deny(denial) => return Verdict::Deny(denial),
        };
        let Found::Route(_, route) = case.found else { return Verdict::Deny(Denial::NoRoute) };
        let opened = opened.ok().filter(|_| id.is_some());
        let is_preflight = case.kind == Kind::Preflight;
        Verdict::Forward(Forward {
            index,
            route,
            identity,
            session: id,
            opened,
            renewal,
            is_preflight,
            bearer_ends_at: None,
        })
    }

    /// What is known of somebody's seat. Where they have one, this request keeps it.
    fn seating_of(&self, session: &Session<'_>, asked: Asked, now: Timestamp) -> Seating {
        // Where none are known the store is asked, or whoever explains what would be.
        let Some(seats) = &self.seats else { return Seating::Unknown };
        let applicant = self.applicant(session);
        let seat = match asked {
            Asked::Seat(Ok(seat)) => seat,
            Asked::Seat(Err(why)) => return Seating::Without(why),
            Asked::Nothing | Asked::Session => match seats.look(&applicant, now) {
                Seated::Held(seat) => seat,
                Seated::Unknown => return Seating::Unknown,
            },
        };
        seat.touch(&applicant, now);
        Seating::Held(seat.licence())
    }

    /// Somebody who needs a seat.
    pub fn applicant<'s>(&self, session: &'s Session<'s>) -> Applicant<'s> {
        Applicant {
            provider: session.provider(),
            subject: session.subject(),
            claims: session.claims(),
            started: session.started(),
            ends_at: self.sessions.ends_at(session),
            stamp: session.stamp(),
        }
    }

    /// Where a browser comes back to. An address that cannot be carried through is no reason not to sign
    /// in.
    fn way_back(&self, case: &Case<'_, '_>) -> ReturnTo {
        let return_to = ReturnTo::parse_listed(&case.target, &self.public_url, &self.prefix, &self.return_hosts);
        return_to.unwrap_or_else(|_| ReturnTo::root())
    }

    /// The providers whose people may open an address that a sign-in returns to; all where that is not
    /// said, or the address is on another site.
    pub fn providers_for(&self, return_to: &ReturnTo) -> Arc<[String]> {
        self.route_to(&Method::GET, return_to).map(|route| Arc::clone(&route.providers)).unwrap_or_default()
    }

    /// Whether nothing but a seat could be missing to whoever sends a form to this address by their session.
    pub fn form_needs_seat(&self, target: &ReturnTo, session: &Session<'_>, at: Circumstances) -> bool {
        self.route_to(&Method::POST, target).is_some_and(|route| {
            route.needs_seat
                && route.takes_people_of(session.provider())
                && route.rules.judge(&Asker::of(session, at)).is_ok()
        })
    }

    /// The route that an address is on, where it is on one.
    fn route_to(&self, method: &Method, address: &ReturnTo) -> Option<&Route> {
        let url = url::Url::parse(&address.location(&self.public_url)).ok()?;
        let (host, path) = (url.host_str()?, RequestPath::parse(url.path()).ok()?);
        // Our own pages are everybody's.
        if path.any(|reading| self.prefix.holds(reading)) {
            return None;
        }
        match self.routes.find(host, method, &path) {
            Found::Route(_, route) => Some(route),
            Found::Nothing | Found::Ambiguous => None,
        }
    }

    /// What is stripped from requests, for the last moment before they leave.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Why a rule of the route at `index` kept somebody out.
    pub fn explain(&self, index: usize, refusal: Refusal) -> Option<Explanation<'_>> {
        self.routes.get(index)?.rules.explain(refusal)
    }

    /// Why the rules keep a person from what only some routes give, where no request for one of those is
    /// judged: each of the routes keeps them out by which the first of `gives` holds that is about any.
    pub fn keeps_from(
        &self,
        session: &Session<'_>,
        at: Circumstances,
        gives: &[&dyn Fn(&Route) -> bool],
    ) -> Option<Denial> {
        let asker = Asker::of(session, at);
        let of_people = || self.routes.iter().enumerate().filter(|(_, route)| route.access != Access::Bearer);
        let about = |gives: &&dyn Fn(&Route) -> bool| -> Vec<(usize, &Route)> {
            of_people().filter(|(_, route)| gives(route)).collect()
        };
        let giving = gives.iter().map(about).find(|routes| !routes.is_empty())?;
        let refused = giving.into_iter().map(|(index, route)| {
            if !route.takes_people_of(session.provider()) {
                return Some(Denial::OtherProvider(index));
            }
            let refusal = route.rules.judge(&asker).err()?;
            Some(Denial::NotAdmitted(index, refusal))
        });
        let refused: Vec<Denial> = refused.collect::<Option<_>>()?;
        refused.first().copied()
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

impl<'g> Case<'g, '_> {
    /// What a bearer token in the request asks for before its cookie is looked at; none where the
    /// route takes none, or the request shows none. A token of a route is nothing to another.
    fn asks_about_bearer(&self, at: Circumstances) -> Option<Verdict<'g>> {
        let Found::Route(_, route) = self.found else { return None };
        // A preflight asks, and is nobody's.
        if route.bearer.is_empty() || self.kind == Kind::Preflight {
            return None;
        }
        if self.shows_token {
            // A person's, and no rule's to verify: no issuer is shown one.
            return (route.access == Access::Bearer).then(|| self.by_bearer(Err(Fault::Token), at));
        }
        match presented(self.headers) {
            Ok(None) => None,
            Ok(Some(token)) => Some(Verdict::Verify { token, rules: &route.bearer }),
            Err(_) => Some(self.by_bearer(Err(Fault::Request), at)),
        }
    }

    /// Judged with what came of verifying its bearer token, or with the holder of its certificate.
    pub fn by_bearer(&self, caller: Result<&Caller, Fault>, at: Circumstances) -> Verdict<'g> {
        match (decide_by_bearer(self.found, self.constraints, caller, at), self.found) {
            (Decision::Forward(index, permit), Found::Route(_, route)) => Verdict::Forward(Forward {
                index,
                route,
                identity: self.identity(permit, at.now),
                session: None,
                opened: None,
                renewal: Vec::new(),
                is_preflight: false,
                bearer_ends_at: permit.caller().and_then(Caller::ends_at),
            }),
            (Decision::Deny(denial), _) => Verdict::Deny(denial),
            // Whoever shows a token goes nowhere by itself.
            (Decision::StepUp(step_up), _) => {
                Verdict::StepUp { step_up, session: None, kind: Kind::Program, return_to: ReturnTo::root() }
            }
            (_, _) => Verdict::Deny(Denial::Bearer(Fault::Token)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::headers::{Settings, named_set};
    use crate::gate::template::Encoding;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens};
    use crate::web::hygiene::CleanRequest;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::cell::Cell;

    const AT: Circumstances = Circumstances { now: START, client: None };

    fn gate() -> Gate {
        let route = |path: &str, access, methods: &[Method]| Route {
            methods: methods.to_vec(),
            ..Route::new(PathPattern::parse(path).unwrap(), access)
        };
        let routes = vec![
            route("/public/**", Access::Public, &[]),
            route("/public/*/private", Access::SignedIn, &[]),
            route("/api/**", Access::Public, &[Method::OPTIONS]),
            route("/api/**", Access::SignedIn, &[]),
            route("/app/**", Access::SignedIn, &[]),
            Route { bearer: vec![1], ..route("/both/**", Access::SignedIn, &[]) },
            Route { bearer: vec![1], ..route("/programs/**", Access::Bearer, &[]) },
        ];
        let headers =
            Settings { headers: named_set("x-auth-request").unwrap(), encoding: Encoding::default(), assertion: None };
        let url = PublicUrl::parse("https://playground.example.gouv.fr").unwrap();
        Gate::new(
            Table::new(routes).unwrap(),
            Headers::new(headers),
            Arc::new(sessions(&[[1; 32]])),
            url,
            Prefix::default(),
        )
    }

    /// A cookie that this gate accepts.
    fn good_cookie(gate: &Gate) -> String {
        let begun = begun(&gate.sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        request_after(&HeaderMap::new(), &begun.cookies)["cookie"].to_str().unwrap().to_owned()
    }

    /// What the gate says of this request; `None` where it is not one that a gate gets to see.
    fn judge<T>(gate: &Gate, asked: &Asked, look: impl FnOnce(&Verdict<'_>) -> T) -> Option<T> {
        let (method, target, headers) = asked;
        let mut request = http::Request::builder().method(*method).header("host", "playground.example.gouv.fr");
        for (name, value) in headers {
            request = request.header(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        let parts = request.body(()).ok()?.into_parts().0;
        let request = CleanRequest::inspect(&parts, target.as_bytes(), b"").ok()?;
        Some(look(&gate.judge(&gate.case(&request), AT, &SystemRandom::new())))
    }

    /// Method, target and headers of a request.
    type Asked = (&'static str, String, Vec<(String, String)>);

    fn header_lines() -> impl Strategy<Value = Vec<(String, String)>> {
        let names = "(x-auth-request-(user|email|groups)|x_auth_request_email|cookie|authorization|accept|sec-fetch-mode|x-forwarded-(uri|method|host|for)|x-original-url|x-http-method-override|upgrade|[a-z-]{1,12})";
        let values = "(navigate|cors|text/html|websocket|Bearer [a-z]{3}|POST|/public/x|__Host-vestibule=[!-~]{0,60}|[ -~]{0,30})";
        prop::collection::vec((names, values), 0..6)
    }

    fn targets() -> impl Strategy<Value = String> {
        "/(public|api|app|oauth2|%61pp|[a-z]{0,3})(/[a-z0-9.]{0,6}|[/;%.a-z2fF]{0,8})(/private|/start)?(\\?[!-~]{0,10})?"
    }

    /// Calls `check` with the verdict on many requests, and returns how many it was called with.
    fn many(gate: &Gate, cookie: Option<&str>, check: impl Fn(&Asked, &Verdict<'_>)) -> usize {
        let methods = prop::sample::select(vec!["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "X-ANY"]);
        let judged = Cell::new(0);
        let mut runner =
            TestRunner::new(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() });
        let ran = runner.run(&(methods, targets(), header_lines()), |(method, target, mut headers)| {
            if let Some(cookie) = cookie {
                headers.retain(|(name, _)| name != "cookie");
                headers.push(("cookie".to_owned(), format!("a=b; {cookie}; c=d")));
            }
            let asked = (method, target, headers);
            judge(gate, &asked, |verdict| {
                judged.set(judged.get() + 1);
                check(&asked, verdict);
            });
            Ok(())
        });
        ran.unwrap();
        judged.get()
    }

    #[test]
    fn no_request_without_a_session_is_forwarded_to_a_route_for_the_signed_in() {
        let forwarded = Cell::new(0);
        let judged = many(&gate(), None, |asked, verdict| {
            if let Verdict::Forward(forward) = verdict {
                forwarded.set(forwarded.get() + 1);
                assert_eq!(forward.route.access, Access::Public, "{asked:?}");
                assert!(forward.session.is_none() && forward.renewal.is_empty(), "{asked:?}");
                assert_eq!(forward.identity.iter().count(), 0, "{asked:?}");
            }
        });
        assert!(
            judged > 200 && forwarded.get() > 20,
            "{judged} judged, {forwarded:?} forwarded: too few to say anything"
        );
    }

    #[test]
    fn a_session_gives_the_identity_that_was_verified_whatever_else_is_sent() {
        let (gate, forwarded) = (gate(), Cell::new(0));
        let judged = many(&gate, Some(&good_cookie(&gate)), |asked, verdict| match verdict {
            Verdict::Forward(forward) => {
                forwarded.set(forwarded.get() + 1);
                let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
                let set: Vec<_> = forward.identity.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
                let Some(session) = forward.session else {
                    // What changes something does not say here whose page sent it.
                    let (method, _, headers) = asked;
                    let overrides = headers.iter().any(|(name, _)| name.to_ascii_lowercase().contains("method"));
                    assert!(set.is_empty() && (*method != "GET" || overrides), "{asked:?}: {set:?}");
                    return;
                };
                let session = session.to_string();
                let expected = [
                    ("x-auth-request-user", "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned()),
                    ("x-auth-request-email", "helene.moreau@test.proconnect.gouv.fr".to_owned()),
                    ("x-auth-request-groups", "agent_public,agent_public_etat".to_owned()),
                    ("x-vestibule-session", session),
                ];
                assert_eq!(set, expected, "{asked:?}");
            }
            Verdict::Deny(denial) => {
                let is_known = matches!(denial, Denial::NoRoute | Denial::AmbiguousPath | Denial::OtherSite);
                assert!(is_known, "{asked:?}: {denial}");
            }
            other => panic!("{asked:?}: {other:?}, signed in already"),
        });
        assert!(
            judged > 200 && forwarded.get() > 20,
            "{judged} judged, {forwarded:?} forwarded: too few to say anything"
        );
    }

    fn bearer_lines() -> impl Strategy<Value = Vec<(String, String)>> {
        let values = "([Bb]earer|BEARER|bEaReR)( {1,2}[A-Za-z0-9._~+/-]{1,20}={0,2}|([ \t=:,\"']{0,3}[A-Za-z0-9._~+/=-]{0,20}){0,2})";
        let others = "(Basic dTpw|DPoP abc|Bearer abc|)";
        (values, prop::option::weighted(0.3, others)).prop_map(|(first, second)| {
            let line = |value: String| ("authorization".to_owned(), value);
            [Some(line(first)), second.map(line)].into_iter().flatten().collect()
        })
    }

    #[test]
    fn whatever_looks_like_a_bearer_token_is_never_let_through_by_a_cookie() {
        let gate = gate();
        let cookie = good_cookie(&gate);
        let (asked, refused) = (Cell::new(0), Cell::new(0));
        let mut runner =
            TestRunner::new(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() });
        let ran = runner.run(&(prop::sample::select(vec!["both", "programs"]), bearer_lines()), |(route, lines)| {
            let headers = lines.into_iter().chain([("cookie".to_owned(), cookie.clone())]).collect();
            let request = ("GET", format!("/{route}/x"), headers);
            judge(&gate, &request, |verdict| match verdict {
                Verdict::Verify { rules, .. } => {
                    asked.set(asked.get() + 1);
                    assert_eq!(*rules, [1]);
                }
                Verdict::Deny(Denial::Bearer(Fault::Request)) => refused.set(refused.get() + 1),
                other => panic!("{request:?}: {other:?}"),
            });
            Ok(())
        });
        ran.unwrap();
        assert!(asked.get() > 50 && refused.get() > 50, "{asked:?} {refused:?}: too few to say anything");
    }

    #[test]
    fn a_preflight_is_nobody_s_whatever_token_it_shows() {
        let gate = gate();
        let origins = Origins::new(gate.public_url.clone(), Vec::new());
        let gate = gate.trusting(origins, true);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            header("origin", "https://spa.example.fr"),
            header("access-control-request-method", "GET"),
            header("authorization", "Bearer abc"),
        ];
        let forwarded = judge(&gate, &("OPTIONS", "/both/x".to_owned(), headers), |verdict| match verdict {
            Verdict::Forward(forward) => forward.identity.iter().count(),
            other => panic!("{other:?}"),
        });
        assert_eq!(forwarded, Some(0));
    }

    #[test]
    fn a_bearer_gives_the_identity_that_was_verified_by_a_rule_of_the_route_and_no_session() {
        let gate = gate();
        let claims = serde_json::json!({"sub": "s", "email": "batch@example.fr", "groups": ["robots"]});
        let caller = |rule| Caller::for_tests(rule, claims.as_object().unwrap());
        let judged = |path: &str, caller: &Caller| {
            let request = http::Request::get(path).header("host", "playground.example.gouv.fr");
            let parts = request.header("cookie", good_cookie(&gate)).body(()).unwrap().into_parts().0;
            let request = CleanRequest::inspect(&parts, path.as_bytes(), b"").unwrap();
            match gate.case(&request).by_bearer(Ok(caller), AT) {
                Verdict::Forward(Forward { session: None, opened: None, renewal, identity, .. }) => {
                    assert!(renewal.is_empty());
                    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
                    Some(identity.iter().map(|(name, value)| (name.to_string(), text(value))).collect::<Vec<_>>())
                }
                Verdict::Deny(Denial::Bearer(Fault::Token) | Denial::NoRoute) => None,
                other => panic!("{path}: {other:?}"),
            }
        };
        let expected = [
            ("x-auth-request-user", "s"),
            ("x-auth-request-email", "batch@example.fr"),
            ("x-auth-request-groups", "robots"),
            ("x-vestibule-bearer", "api"),
        ];
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for path in ["/both/x", "/programs/x"] {
            assert_eq!(judged(path, &caller(1)).as_ref(), Some(&expected), "{path}");
            assert_eq!(judged(path, &caller(0)), None, "{path}");
        }
        // Routes that take no bearer, even by mistake of whoever asks.
        for path in ["/app/x", "/public/x", "/nowhere"] {
            assert_eq!(judged(path, &caller(1)), None, "{path}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_carried_leads_to_the_front_page_and_still_to_sign_in() {
        let long = format!("/app/{}", "a".repeat(3000));
        let gate = gate();
        for (target, expected) in [("/app/x?y=z", "/app/x?y=z"), (long.as_str(), "/")] {
            let navigate = vec![("sec-fetch-mode".to_owned(), "navigate".to_owned())];
            let return_to = judge(&gate, &("GET", target.to_owned(), navigate), |verdict| match verdict {
                Verdict::SignIn { return_to, reason, .. } => {
                    assert_eq!(*reason, NoSession::Absent);
                    return_to.as_str().to_owned()
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(return_to.as_deref(), Some(expected));
        }
    }
}
