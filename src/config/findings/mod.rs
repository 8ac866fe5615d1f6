//! Findings: what runs, and deserves a second look. Each has a stable name, which `docs/findings.md`
//! explains and by which the configuration can accept it.
//!
//! `resolve` notes on its way what it sees at one key; [`lint`] looks at routes and rules together,
//! once all of them are resolved. It says nothing of a request: what is decided, `gate` decides.
//! A finding has to be worth reading: where one cannot tell whether something is meant, none is made.

mod accept;
mod asked;
mod combinations;
mod reachable;
mod satisfiable;
#[cfg(test)]
mod tests;

pub(super) use accept::{Acceptance, apply};

use super::problem::KeyPath;
use super::written::Preset;
use crate::credentials;
use crate::gate::route::{Access, PathPattern, Route, Table};
use crate::oidc;
use crate::seats::Licence;
use crate::web::cookies::SameSite;
use crate::web::cors;
use crate::web::public_url::PublicUrl;
use http::Method;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident = $name:literal,)*) => {
        /// What a finding is about, by a name that stays.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])* $code,)*
        }

        impl Code {
            /// All that there are, in the order of `docs/findings.md`.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// Its name, as the configuration and `check` write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }
        }
    };
}

codes! {
    /// No request ever falls under the route.
    RouteNeverMatches = "route-never-matches",
    /// Everybody may make every request that no other route is for.
    PublicEverything = "public-everything",
    /// A public route by whose name one may change things.
    PublicApi = "public-api",
    /// A public route for a probe that is wider than the probe.
    PublicProbe = "public-probe",
    /// Another `Host` is all that it takes to get past a route.
    ProtectedByHostAlone = "protected-by-host-alone",
    /// Another method is all that it takes to get past a route.
    ProtectedByMethodAlone = "protected-by-method-alone",
    /// Nobody can meet the rules.
    RuleNeverHolds = "rule-never-holds",
    /// `deny` holds for everybody whom `require` or `allow` lets in.
    DenyCoversRequire = "deny-covers-require",
    /// `deny` alone lets in whoever has no such claim.
    DenyAlone = "deny-alone",
    /// `none` lets in whoever has no such claim.
    NoneAdmitsUnknown = "none-admits-unknown",
    /// No level by this name is ever given.
    LevelUnknown = "level-unknown",
    /// A level that nobody has whom the provider's `acr_values` let in.
    LevelLeftOut = "level-left-out",
    /// The provider is not asked for a claim that a rule or a licence looks at.
    ClaimNotAsked = "claim-not-asked",
    /// A whole top-level domain may enter.
    DomainOfEverybody = "domain-of-everybody",
    /// A credential goes along for people who are nobody.
    CredentialForEverybody = "credential-for-everybody",
    /// Other sites' pages may change something with a session.
    CsrfOff = "csrf-off",
    /// Programs on people's machines may read answers.
    CorsLoopback = "cors-loopback",
    /// Some clients are told what decided.
    DecisionHeader = "decision-header",
    /// The session cookie does not reach a route's host.
    HostWithoutSession = "host-without-session",
    /// Hosts of others get the session cookie.
    CookieDomain = "cookie-domain",
    /// Whoever connects is believed about the client.
    TrustedProxiesEverybody = "trusted-proxies-everybody",
    /// A very large network is believed about the client.
    TrustedProxiesWide = "trusted-proxies-wide",
    /// The admin listener is reachable from other machines.
    AdminReachable = "admin-reachable",
    /// The admin token crosses the network in clear.
    AdminTokenInClear = "admin-token-in-clear",
    /// A plain http listener is reachable from other machines.
    PlainHttpReachable = "plain-http-reachable",
    /// What a front proxy asks crosses the network in clear.
    FrontProxyInClear = "front-proxy-in-clear",
    /// A front proxy loses cookies.
    NginxLosesCookies = "nginx-loses-cookies",
    /// Credentials cross the network in clear.
    CredentialInClear = "credential-in-clear",
    /// The store is reached in clear.
    StoreInClear = "store-in-clear",
    /// The store has no password.
    StoreWithoutPassword = "store-without-password",
    /// What is kept for the app is gone with the process.
    DataInMemory = "data-in-memory",
    /// Sign-outs elsewhere count late.
    SignOutDelayed = "sign-out-delayed",
    /// A session lasts very long.
    LifetimeLong = "lifetime-long",
    /// A sign-in stays open very long.
    SignInOpenLong = "sign-in-open-long",
    /// A sign-in is bound to no browser.
    CookielessSignIn = "cookieless-sign-in",
    /// A secret that somebody typed.
    SecretTyped = "secret-typed",
    /// A secret that everybody knows.
    SecretPlaceholder = "secret-placeholder",
    /// What has ended is still in the list.
    EntryEnded = "entry-ended",
    /// A client without a secret.
    PublicClient = "public-client",
    /// A client authentication that the provider does not announce.
    ClientAuthentication = "client-authentication",
    /// Tokens that whoever knows the client secret can make.
    Hs256 = "hs256",
    /// A scope that the provider ignores.
    ScopeUnknown = "scope-unknown",
    /// Userinfo is not read, and all that is known of people is in it.
    UserinfoNotRead = "userinfo-not-read",
    /// An endpoint on another host than the issuer's.
    EndpointElsewhere = "endpoint-elsewhere",
    /// A revoked token counts for long.
    TokenBelievedLong = "token-believed-long",
    /// Tokens for whichever service are taken.
    TokenOfAnyService = "token-of-any-service",
    /// An ID token may pass for an access token.
    TokenTypeUnchecked = "token-type-unchecked",
    /// Keys can be sent to a whole domain.
    EnvelopeDomainWide = "envelope-domain-wide",
    /// The log says much.
    LogVerbose = "log-verbose",
    /// Dangerous in another way, which the message says.
    Dangerous = "dangerous",
    /// Does nothing.
    Idle = "idle",
    /// Accepts what nobody found.
    AcceptsNothing = "accepts-nothing",
}

impl Code {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// What is looked at together.
pub(super) struct Linted<'a> {
    /// Each route, where it is written.
    pub(super) routes: &'a [(KeyPath, Route)],
    /// The same in the order in which they are tried.
    pub(super) table: &'a Table,
    pub(super) public_url: &'a PublicUrl,
    /// Paths that our own endpoints answer before any route.
    pub(super) aliases: &'a [(String, String)],
    /// Each provider, with what is known of it beforehand.
    pub(super) providers: Vec<(&'a oidc::Settings, Preset)>,
    pub(super) credentials: &'a [credentials::Settings],
    /// Each licence, where it is written.
    pub(super) licences: &'a [(KeyPath, Licence)],
    pub(super) cors: Option<&'a cors::Settings>,
    pub(super) same_site: SameSite,
}

impl Linted<'_> {
    /// The providers whose people a route takes.
    fn providers_of(&self, route: &Route) -> impl Iterator<Item = (&oidc::Settings, Preset)> {
        let all = self.providers.iter().copied();
        all.filter(|(provider, _)| route.takes_people_of(&provider.name))
    }
}

/// Something found.
pub(super) struct Found {
    pub(super) code: Code,
    pub(super) path: KeyPath,
    pub(super) message: String,
}

impl Found {
    fn new(code: Code, path: KeyPath, message: impl Into<String>) -> Self {
        Self { code, path, message: message.into() }
    }
}

/// More routes than this are looked at one by one and not against each other, which would take
/// seconds: so many are written by a program.
const MOST_COMPARED: usize = 1000;

/// Looks at everything together.
pub(super) fn lint(linted: &Linted<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    if linted.routes.len() <= MOST_COMPARED {
        found.extend(reachable::lint(linted));
    }
    found.extend(satisfiable::lint(linted));
    found.extend(asked::lint(linted));
    found.extend(combinations::lint(linted));
    found
}

/// The methods that requests come with.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Those of them that are for changing something.
const UNSAFE: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Whether a route takes something that changes something.
fn takes_changes(route: &Route) -> bool {
    route.methods.is_empty() || route.methods.iter().any(|method| UNSAFE.contains(method))
}

/// Paths that a pattern is for, as examples.
fn examples(pattern: &PathPattern) -> Vec<String> {
    let text = pattern.as_str();
    let filled = |rest: &str| {
        let segments = text.split('/').map(|segment| match segment {
            "*" => "x",
            "**" => rest,
            literal => literal,
        });
        segments.collect::<Vec<_>>().join("/")
    };
    if text.ends_with("/**") { vec![filled("x"), filled("x/y")] } else { vec![filled("")] }
}

/// Whether somebody has to be somebody.
fn is_protected(route: &Route) -> bool {
    route.access != Access::Public
}
