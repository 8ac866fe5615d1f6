//! What is told: plain data, written as text, HTML or JSON by its neighbours.
//!
//! The values of the person are there, for whoever asks brought them; secrets are not: of a credential
//! its name alone, of a cookie nothing.

use super::{ExplainedSite, Question, Who, address_of};
use crate::gate::nearest::{Miss, Near, Reading};
use crate::gate::route::{Access, ClientAuthorization, Route, SessionCookie};
use crate::gate::trace::Trace;
use crate::gate::{Forward, Gate};
use crate::web::cookies::{self, ForApp};
use crate::web::cors::preflight_for;
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use serde::Serialize;

/// What becomes of a request, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The method.
    pub method: String,
    /// The URL, as it is asked for.
    pub url: String,
    /// The site, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// What kind of client waits for the answer.
    pub client_kind: &'static str,
    /// Who sends it.
    pub who: String,
    /// At which moment (RFC 3339).
    pub at: String,
    /// `forward`, `sign_in`, `deny`, `unavailable`, or `ours` or `bad_request`, which no rule decides.
    pub decision: &'static str,
    /// Why, in the words of the log.
    pub reason: String,
    /// Which endpoint of ours answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The routes that come nearest besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherRoute>,
    /// How apps may read the path, where that is more than one way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<ReadingOf>,
    /// Each rule of the route with its outcome, where somebody is there to ask about.
    pub rules: Trace,
    /// What the app would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Forwarded>,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Another route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherRoute {
    /// The route.
    pub route: String,
    /// Why the request is not of it.
    pub why: String,
}

/// A reading of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadingOf {
    /// The path as an app may read it.
    pub path: String,
    /// Under which route that falls; none where there is none.
    pub route: Option<String>,
    /// A route that keeps more out, for whose path a lenient app takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_for: Option<String>,
}

/// What the app would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forwarded {
    /// The upstream's name; none where the app is behind a front proxy that asks.
    pub upstream: Option<String>,
    /// Where it is.
    pub address: Option<String>,
    /// `Host`, as it came.
    pub host: String,
    /// Path and query, without the prefix that is stripped.
    pub target: String,
    /// The identity headers with their values.
    pub identity: Vec<(String, String)>,
    /// Headers of this request that do not go along.
    pub stripped: Vec<String>,
    /// The credential: its name, and what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl Explanation {
    /// Nothing decided yet.
    pub(super) fn of(question: &Question, url: String, site: Option<String>, client_kind: &'static str) -> Self {
        Self {
            method: question.method.clone(),
            url,
            site,
            client_kind,
            who: match &question.who {
                Who::Nobody => "nobody who is signed in".to_owned(),
                Who::Person(_) => "somebody of the given claims, who has just signed in".to_owned(),
                Who::Cookie(_) => "whoever's session the given cookie is".to_owned(),
                Who::Caller { rule, .. } => format!("whoever the rule {rule} of bearer knows by the given claims"),
            },
            at: question.at.rfc3339(),
            decision: "deny",
            reason: String::new(),
            ours: None,
            route: None,
            others: Vec::new(),
            readings: Vec::new(),
            rules: Trace::default(),
            forwarded: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn decided(self, decision: &'static str, reason: String) -> Self {
        Self { decision, reason, ..self }
    }

    /// Whether the request reaches its app.
    pub fn is_forwarded(&self) -> bool {
        self.decision == "forward"
    }
}

/// A route as one names it: methods, host and path, and for whom it is.
pub(super) fn route(route: &Route) -> String {
    let access = match route.access {
        Access::Public => "public",
        Access::SignedIn if route.rules.is_empty() => "for whoever is signed in",
        Access::SignedIn => "for the signed in, by rules",
        Access::Bearer => "for bearer tokens alone",
    };
    format!("{} ({access})", route.label())
}

/// What kind of client a request is from.
pub(super) fn kind_of(parts: &Parts) -> &'static str {
    match Kind::of(parts) {
        _ if preflight_for(parts).is_some() => "a browser that asks what a page may send (preflight)",
        Kind::Navigation => "a browser's window",
        Kind::Submission => "a browser's window that sends a form",
        Kind::Program | Kind::Preflight => "a program, or a script in a page",
    }
}

/// Why a request is forwarded.
pub(super) fn why_forwarded(forward: &Forward<'_>) -> String {
    match forward.route.access {
        _ if forward.is_preflight => "the app is asked what a page may send, as nobody".to_owned(),
        Access::Public if forward.session.is_some() => {
            "the route is public; identity headers name who is signed in".to_owned()
        }
        Access::Public => "the route is public".to_owned(),
        Access::SignedIn if forward.session.is_none() => {
            "its token or certificate is one that the route takes, and the rules let it pass".to_owned()
        }
        Access::SignedIn if forward.route.rules.is_empty() => {
            "there is a session, and the route asks for no more".to_owned()
        }
        Access::SignedIn => "there is a session, and the rules of the route let it pass".to_owned(),
        Access::Bearer => "its token or certificate is one that the route takes".to_owned(),
    }
}

impl OtherRoute {
    pub(super) fn of(near: &Near<'_>) -> Self {
        let misses: Vec<String> = near
            .misses
            .iter()
            .map(|miss| match miss {
                Miss::Host => "is for another host".to_owned(),
                Miss::Path => "is for other paths".to_owned(),
                Miss::Spelling => {
                    "is for a path that differs only as lenient apps do not notice (case, a final slash, dots)"
                        .to_owned()
                }
                Miss::Method => "is for other methods".to_owned(),
            })
            .collect();
        let why = if misses.is_empty() { "is for it too, and less specific".to_owned() } else { misses.join(", ") };
        Self { route: near.route.label(), why }
    }
}

impl ReadingOf {
    pub(super) fn of(reading: &Reading<'_>) -> Self {
        Self {
            path: reading.path.clone(),
            route: reading.route.map(Route::label),
            taken_for: reading.taken_for.map(Route::label),
        }
    }
}

impl Forwarded {
    pub(super) fn of(
        forward: &Forward<'_>,
        request: &CleanRequest<'_>,
        site: &ExplainedSite,
        gate: &Gate,
        is_supposed: bool,
    ) -> Self {
        let (route, headers) = (forward.route, &request.parts().headers);
        let upstream = route.upstream.and_then(|index| site.upstreams.get(index));
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let identity = forward.identity.iter().map(|(name, value)| {
            // That of a session which is supposed would say something else each time.
            let is_name = is_supposed && name.as_str() == "x-vestibule-session";
            let shown = match gate.headers().assertion() {
                // Whoever has one is the person, for that request.
                Some(assertion) if assertion == name => "(signed for each request)".to_owned(),
                _ if is_name => "(the session's name)".to_owned(),
                _ => text(value),
            };
            (name.to_string(), shown)
        });
        let mut stripped: Vec<String> =
            headers.keys().filter(|name| gate.headers().must_strip(name)).map(ToString::to_string).collect();
        if !matches!(cookies::for_app(headers, None), ForApp::Unchanged) {
            stripped.push(match route.session_cookie {
                SessionCookie::Strip => "cookie (ours alone)".to_owned(),
                SessionCookie::Proof => "cookie (ours alone; a proof of the session takes its place)".to_owned(),
            });
        }
        let credential = route.credential.filter(|_| !forward.is_preflight);
        let replaces = credential.is_some() && route.client_authorization == ClientAuthorization::Replace;
        if replaces && headers.contains_key(AUTHORIZATION) {
            stripped.push("authorization (the credential takes its place)".to_owned());
        }
        let target = route.target_for_app(request.target());
        Self {
            upstream: upstream.map(|upstream| upstream.name.clone()),
            address: upstream.map(address_of),
            host: headers.get(HOST).map(text).unwrap_or_default(),
            target: match target {
                Some(target) => target.unwrap_or_else(|| request.target().to_owned()),
                None => "(400: without the prefix it would begin with two slashes)".to_owned(),
            },
            identity: identity.collect(),
            stripped,
            credential: credential.and_then(|index| site.credentials.get(index)).cloned(),
        }
    }
}
