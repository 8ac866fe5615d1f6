//! Why: what becomes of a request, by which route and rule, and what would reach the app.
//!
//! Called by the command line (`vestibule explain`) and by `admin`. It decides nothing: a question
//! becomes a request (`asked`), the gate judges it as it judges any other, and what is told
//! (`said`) is what the gate says, beside what each condition came to. Somebody who is only
//! supposed has a session under a key that is made for the occasion (`session::SupposedSessions`);
//! a real cookie is opened under the site's own keys. It asks nobody: no provider, no store, no app.
//! Must never show a token or another secret.

mod asked;
mod said;
mod text;

pub use asked::{BadQuestion, Question, SupposedClaims, Who};
pub use said::{Explanation, Forwarded, OtherRoute, ReadingOf};

use super::forward_auth::AUTH;
use super::playground_endpoints::PlaygroundEndpoint;
use super::settings::{Upstream, UpstreamAddress};
use super::step_up;
use crate::bearer::{Caller, Fault};
use crate::gate::route::{Found, Route};
use crate::gate::rules::Circumstances;
use crate::gate::{self, Denial, Gate, Verdict};
use crate::oidc::is_another_s_address;
use crate::random::Random;
use crate::session::{Supposed, SupposedSessions};
use crate::web::cookies::CookieName;
use crate::web::cors::Cors;
use crate::web::domain::DomainOwners;
use crate::web::hygiene::CleanRequest;
use crate::web::own_paths::endpoint_at;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use crate::web::site_hosts::SiteHosts;
use asked::Address;
use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many other routes are told of.
const OTHERS: usize = 4;

/// Answers questions about all sites.
pub struct Explainer {
    sites: Vec<Arc<ExplainedSite>>,
    hosts: SiteHosts,
    random: Arc<dyn Random>,
}

/// What is to be known of a site. `app` makes it.
pub struct ExplainedSite {
    /// Its name, where there are several.
    pub name: Option<String>,
    /// The address that browsers use.
    pub public_url: PublicUrl,
    /// Below which our own pages are.
    pub prefix: Prefix,
    /// Further paths of our own endpoints.
    pub aliases: Vec<(String, String)>,
    /// Whether the paths of the playgrounds of 2025 are ours.
    pub playground: bool,
    /// What pages of other origins may send.
    pub cors: Option<Cors>,
    /// The gate of real cookies: the very one that serves, where one does.
    pub gate: Arc<Gate>,
    /// The name of the session cookie.
    pub cookie: CookieName,
    /// The same gate for those who are supposed.
    pub supposing: Gate,
    /// Their sessions.
    pub supposed: SupposedSessions,
    /// The providers, each with its issuer.
    pub providers: Vec<(String, String)>,
    /// Which of them vouches for addresses at which domains.
    pub domain_owners: Arc<DomainOwners>,
    /// The apps.
    pub upstreams: Vec<Upstream>,
    /// Each credential in words: its name and what it is.
    pub credentials: Vec<String>,
    /// Each rule of `bearer`: its name, and whether it takes certificates.
    pub bearers: Vec<(String, bool)>,
    /// The claims that callers keep.
    pub kept_claims: BTreeSet<String>,
}

/// A request with whoever sends it.
struct Case<'s> {
    site: &'s ExplainedSite,
    gate: &'s Gate,
    caller: Option<Result<Caller, Fault>>,
    is_certificate: bool,
    at: Circumstances,
    notes: Vec<String>,
}

impl Explainer {
    /// Of these sites.
    pub fn new(sites: Vec<Arc<ExplainedSite>>, random: Arc<dyn Random>) -> Self {
        let mut hosts = SiteHosts::default();
        for (index, site) in sites.iter().enumerate() {
            let further = site.gate.routes().filter_map(|route| route.host.as_deref());
            hosts = hosts.with(index, &site.public_url, further);
        }
        Self { sites, hosts, random }
    }

    /// Of the same sites, as they are by now.
    #[must_use]
    pub(super) fn followed_by(&self, sites: Vec<Arc<ExplainedSite>>) -> Self {
        Self::new(sites, Arc::clone(&self.random))
    }

    /// Explains what becomes of a request.
    ///
    /// # Errors
    /// [`BadQuestion`], by cause.
    pub fn explain(&self, question: &Question) -> Result<Explanation, BadQuestion> {
        let like = self.sites.first().map(|site| format!("{}/", site.public_url.origin())).unwrap_or_default();
        let address = Address::parse(&question.url, &like)?;
        let site = self.site_of(&address, question, &like)?;
        let (secure, authority) = address.origin.clone().unwrap_or_else(|| {
            let origin = site.public_url.origin();
            (site.public_url.is_secure(), origin.split_once("://").map_or(origin, |(_, host)| host).to_owned())
        });
        let scheme = if secure { "https" } else { "http" };
        let origin = format!("{scheme}://{authority}");
        let mut parts = question.request(&authority, &address.target, &origin)?;
        let mut case = site.case(question, &mut parts, &*self.random)?;
        if secure != site.public_url.is_secure() {
            case.notes.push(format!(
                "browsers are to use {}: they send no session cookie elsewhere",
                site.public_url.origin()
            ));
        }
        let url = format!("{origin}{}", address.target);
        Ok(case.explain(question, &parts, url, &address.target, &*self.random))
    }

    /// The name of the site that a URL is of, where there are several.
    pub(super) fn site_named(&self, url: &str) -> Option<String> {
        let (_, authority) = Address::parse(url, "").ok()?.origin?;
        self.sites.get(self.hosts.find(&authority)?)?.name.clone()
    }

    fn site_of(&self, address: &Address, question: &Question, like: &str) -> Result<&ExplainedSite, BadQuestion> {
        let nowhere = |host: String| {
            let known: Vec<&str> = self.sites.iter().map(|site| site.public_url.origin()).collect();
            BadQuestion::Host { host, known: known.join(", ") }
        };
        match (self.sites.as_slice(), &address.origin) {
            ([only], _) => Ok(&**only),
            (_, None) => Err(BadQuestion::Url {
                url: question.url.clone(),
                why: "there are several sites, and it does not say of which it is",
                like: like.to_owned(),
            }),
            (_, Some((_, authority))) => {
                let found = self.hosts.find(authority).and_then(|index| self.sites.get(index));
                found.map(|site| &**site).ok_or_else(|| nowhere(authority.clone()))
            }
        }
    }
}

impl ExplainedSite {
    /// With which provider somebody has signed in, and what is to be said of that: the one that is known to
    /// have said it, or whose issuer they name, or else the first.
    fn provider_of(&self, claims: &SupposedClaims) -> (String, Option<String>) {
        let first = self.providers.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let several = self.providers.len() > 1;
        if let Some(known) = claims.provider().filter(|_| several) {
            let note = if self.providers.iter().any(|(name, _)| name == known) {
                format!("as signed in with {known}")
            } else {
                format!("{known}, with which they have signed in, is not in the configuration: the session is over")
            };
            return (known.to_owned(), Some(note));
        }
        let issuer = claims.issuer();
        let named = self.providers.iter().find(|(_, known)| Some(known.as_str()) == issuer);
        let name = named.map_or(first, |(name, _)| name.clone());
        let note = format!("as signed in with {name}; the claim iss names another one, by its issuer");
        (name, Some(note).filter(|_| several))
    }

    /// Puts whoever asks into the request.
    fn case(&self, question: &Question, parts: &mut Parts, random: &dyn Random) -> Result<Case<'_>, BadQuestion> {
        let at = Circumstances { now: question.at, client: question.client };
        let mut case =
            Case { site: self, gate: &self.supposing, caller: None, is_certificate: false, at, notes: Vec::new() };
        match &question.who {
            Who::Nobody => {}
            Who::Person(claims) => {
                if claims.loses_email() {
                    case.notes
                        .push("email_verified is not true, so the address is nobody's and is not looked at".to_owned());
                }
                let (provider, note) = self.provider_of(claims);
                case.notes.extend(note);
                let mut said = claims.said();
                if is_another_s_address(&said, &provider, &self.domain_owners) {
                    said = said.retaining(|name| name != "email");
                    case.notes.push(format!(
                        "the address is at a domain of another provider's, so {provider} is not believed in it"
                    ));
                }
                let who = Supposed { provider, claims: said, authenticated_at: claims.authenticated_at() };
                let cookie = self.supposed.cookie(&who, question.at, random);
                let cookie = cookie.map_err(|error| BadQuestion::NoSuchSession(error.to_string()))?;
                parts.headers.append(COOKIE, cookie);
            }
            Who::Cookie(text) => {
                let whole = if text.contains('=') { text.clone() } else { format!("{}={text}", self.cookie.as_str()) };
                let mut value = HeaderValue::from_str(whole.trim()).map_err(|_| BadQuestion::Cookie)?;
                value.set_sensitive(true);
                parts.headers.insert(COOKIE, value);
                case.gate = &self.gate;
            }
            Who::Caller { rule, claims } => {
                let found = self.bearers.iter().enumerate().find(|(_, (name, _))| name == rule);
                let Some((index, (name, is_certificate))) = found else {
                    let names: Vec<&str> = self.bearers.iter().map(|(name, _)| name.as_str()).collect();
                    let known =
                        if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) };
                    return Err(BadQuestion::Rule { name: rule.clone(), known });
                };
                let kept = claims.said().retaining(|name| name == "sub" || self.kept_claims.contains(name));
                case.caller = Some(Ok(Caller::supposed(index, name, kept, claims.authenticated_at())));
                case.is_certificate = *is_certificate;
                if !is_certificate {
                    parts.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer supposed-for-an-explanation"));
                }
            }
        }
        Ok(case)
    }
}

impl<'s> Case<'s> {
    fn explain(
        mut self,
        question: &Question,
        parts: &Parts,
        url: String,
        target: &str,
        random: &dyn Random,
    ) -> Explanation {
        let mut said = Explanation::of(question, url, self.site.name.clone(), said::kind_of(parts));
        let head = parts.headers.iter().fold(Vec::new(), |mut head, (name, value)| {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
            head
        });
        let request = match CleanRequest::inspect(parts, target.as_bytes(), &head) {
            Ok(request) => request,
            Err(cause) => {
                said.notes = self.notes;
                return said.decided("bad_request", format!("400 before any route is looked for: {cause}"));
            }
        };
        if let Some(answer) = self.ours(&request) {
            said.ours = Some(answer.clone());
            said.notes = self.notes;
            return said.decided("ours", format!("Vestibule answers it itself: {answer}"));
        }
        let judged = self.gate.case(&request);
        let found = judged.found();
        if let Found::Route(_, route) = found {
            said.route = Some(said::route(route));
        }
        said.others = self.gate.nearest(&judged, &request, OTHERS).iter().map(OtherRoute::of).collect();
        let readings = self.gate.readings(&judged, &request);
        if matches!(found, Found::Ambiguous) || readings.len() > 1 {
            said.readings = readings.iter().map(ReadingOf::of).collect();
        }
        let caller = self.caller.as_ref().and_then(|caller| caller.as_ref().ok());
        said.rules = self.gate.trace(&judged, caller, self.at);
        let verdict = self.judge(&judged, random);
        let (decision, reason) = self.in_words(&verdict, found);
        if let Verdict::Forward(forward) = &verdict {
            let is_supposed = matches!(question.who, Who::Person(_));
            said.forwarded = Some(Forwarded::of(forward, &request, self.site, self.gate, is_supposed));
        }
        drop(verdict);
        self.note(question, &request, found);
        said.notes = self.notes;
        said.decided(decision, reason)
    }

    /// Which endpoint of ours answers, if one does: in the order in which `look` asks.
    fn ours(&self, request: &CleanRequest<'_>) -> Option<String> {
        let site = self.site;
        let endpoint = endpoint_at(request.path(), &site.prefix, &site.aliases);
        if let Some(cors) = &site.cors
            && (endpoint.is_some() || !cors.is_the_app_s())
            && cors.preflight(request.parts()).is_some()
        {
            return Some("a preflight of a page whose origin is in cors".to_owned());
        }
        if let Some(name) = endpoint {
            let prefix = site.prefix.as_str();
            return Some(match name {
                "" => format!("nothing is there, and all below {prefix} is ours"),
                AUTH => format!("{prefix}/{AUTH}, where front proxies ask"),
                name => format!("{prefix}/{name}"),
            });
        }
        let plain = request.path().others().is_empty().then(|| request.path().literal());
        let is_playground = plain.is_some_and(|path| PlaygroundEndpoint::at(path, &request.parts().method).is_some());
        (site.playground && is_playground).then(|| "a path of albert_endpoints".to_owned())
    }

    /// Has the gate judge it, as `look` does. What would be asked of the provider or the store is not.
    fn judge(&mut self, case: &gate::Case<'s, '_>, random: &dyn Random) -> Verdict<'s> {
        let gate = self.gate;
        let holds_certificate = self.is_certificate && {
            let rules = gate.rules_for_certificate(case);
            self.caller
                .as_ref()
                .and_then(|caller| caller.as_ref().ok())
                .is_some_and(|caller| rules.is_some_and(|rules| rules.contains(&caller.rule())))
        };
        if holds_certificate && let Some(Ok(caller)) = &self.caller {
            return case.by_bearer(Ok(caller), self.at);
        }
        match gate.judge(case, self.at, random) {
            Verdict::Refresh(opened) => {
                self.notes.push("the provider or the store would be asked first how it stands with this session; explained as if that changed nothing".to_owned());
                gate.judge_again(case, Ok(opened), self.at, random)
            }
            verdict @ Verdict::TakeSeat(_) => {
                self.notes.push("a seat would be asked for first; none is taken for an explanation".to_owned());
                verdict
            }
            Verdict::Verify { rules, .. } => {
                let caller = match &self.caller {
                    Some(Ok(caller)) if rules.contains(&caller.rule()) => Ok(caller),
                    Some(Err(fault)) => Err(*fault),
                    Some(Ok(_)) => Err(Fault::Token),
                    None => {
                        self.notes.push("the request shows a token that would be verified first; explained as one that does not count (give --bearer RULE with --claims)".to_owned());
                        Err(Fault::Token)
                    }
                };
                case.by_bearer(caller, self.at)
            }
            verdict => verdict,
        }
    }

    /// The decision, as `gate/decide` names it, and why.
    fn in_words(&self, verdict: &Verdict<'_>, found: Found<'_>) -> (&'static str, String) {
        let why = match verdict {
            Verdict::Forward(forward) => said::why_forwarded(forward),
            Verdict::SignIn { reason, .. } => format!("the browser is led to sign in: {reason}"),
            Verdict::OtherProvider { index, .. } => {
                let names = self.gate.route(*index).map(|route| route.providers.join(", ")).unwrap_or_default();
                format!("the route is for people of {names}; the browser is shown a page that leads there")
            }
            Verdict::StepUp { step_up, .. } => step_up::in_words(step_up),
            Verdict::Refresh(_) => "the provider or the store is asked about the session first".to_owned(),
            Verdict::TakeSeat(_) => "the rules let them pass, and the route asks for a seat".to_owned(),
            Verdict::Verify { .. } => "the bearer token is verified first".to_owned(),
            Verdict::Unavailable(reason) => reason.to_string(),
            Verdict::Deny(denial) => {
                let explained = match denial {
                    Denial::NotAdmitted(index, refusal) => self.gate.explain(*index, *refusal),
                    _ => None,
                };
                let taken = match found {
                    Found::Route(_, route) if !route.bearer.is_empty() && self.caller.is_some() => self.taken(route),
                    _ => String::new(),
                };
                explained.map_or_else(|| format!("{denial}{taken}"), |explained| explained.cause)
            }
        };
        (verdict.word(), why)
    }

    /// Which rules of `bearer` a route takes, where it is not this caller's.
    fn taken(&self, route: &Route) -> String {
        let name = |index: &usize| self.site.bearers.get(*index).map(|(name, _)| name.as_str());
        let names: Vec<&str> = route.bearer.iter().filter_map(name).collect();
        let is_taken = matches!(&self.caller, Some(Ok(caller)) if route.bearer.contains(&caller.rule()));
        if is_taken { String::new() } else { format!(" (the route takes those of {})", names.join(", ")) }
    }

    fn note(&mut self, question: &Question, request: &CleanRequest<'_>, found: Found<'_>) {
        if matches!(question.who, Who::Person(_) | Who::Cookie(_)) && request.host() != self.site.public_url.host() {
            self.notes.push(format!(
                "browsers send the session cookie to {}, and to {} only where cookies.domain holds both",
                self.site.public_url.host(),
                request.host()
            ));
        }
        if matches!(question.who, Who::Cookie(_)) {
            self.notes.push("whether a session was ended before its time is known where it is served".to_owned());
        }
        let Found::Route(_, route) = found else { return };
        if self.caller.is_some() && route.bearer.is_empty() {
            self.notes.push(
                "the route takes no bearer tokens and no certificates: what is shown is not looked at".to_owned(),
            );
        }
        let names = route.rules.names();
        if matches!(question.who, Who::Nobody) && !names.is_empty() {
            self.notes.push(format!("whoever signs in is then asked for {names} (give --claims FILE)"));
        }
    }
}

/// As it stands in the configuration.
fn address_of(upstream: &Upstream) -> String {
    match &upstream.address {
        UpstreamAddress::Tcp { host, port, tls } => {
            format!("{}://{host}:{port}", if *tls { "https" } else { "http" })
        }
        UpstreamAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}
