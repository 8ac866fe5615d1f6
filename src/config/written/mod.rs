//! The configuration as it is written: the shape of the YAML, and the words of its documentation.
//!
//! `parse` fills these types, `resolve` turns them into what runs, `schema` and `reference` read
//! their doc comments: what is written here is what a person setting Vestibule up will read.
//! Everything is optional here; `resolve` knows what is required and says so with a hint.
//! Defaults live beside the types so that the documentation cannot disagree with the program.

mod bearer;
mod browser;
mod credentials;
mod forward_auth;
mod licences;
mod listeners;
mod provider;
mod review;
mod rules;
mod session;
mod signing;
mod store;
mod token_endpoints;

pub(in crate::config) use bearer::{Bearer, BearerKind, KnownCertificate};
pub(in crate::config) use browser::{Cors, Csrf};
pub(in crate::config) use credentials::{
    AlbertEndpoints, Chosen, ClientAuthorization, Credential, Envelope, ExchangeEndpoint, Kind, OneOrMore, Reference,
};
pub(in crate::config) use forward_auth::{Aliases, ForwardAuth};
pub(in crate::config) use licences::{Covers, Licence, Owner, RouteSeat, Seats, Validity, WhenFull};
pub(in crate::config) use listeners::{Admin, Listener, Listeners, Tls};
pub(in crate::config) use provider::{Preset, ProConnect, Provider, UserinfoFormat};
pub(in crate::config) use review::{Accept, Debug};
pub(in crate::config) use rules::{Asked, ClaimTest, Condition, Conditions, Time, Values, Who};
pub(in crate::config) use session::{DataOf, Refresh, Session, SessionKey};
pub(in crate::config) use signing::{Assertion, ClientCertificate, RouteAssertion, SigningKey};
pub(in crate::config) use store::{LongRedis, OnStoreDown, Redis, RedisMode, Store};
pub(in crate::config) use token_endpoints::TokenEndpoints;

use super::scalar::{Span, UpstreamUrl, written_span};
use crate::gate::route::{self, Access, SessionCookie};
use crate::gate::template::Encoding;
use crate::web::cookies::SameSite;
use crate::{login, server, telemetry};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A list whose faulty items have become `None`, so that the others keep their numbers.
pub(in crate::config) type List<T> = Vec<Option<T>>;
/// A mapping whose keys are names that the writer chose.
pub(in crate::config) type Named<T> = BTreeMap<String, Option<T>>;

/// What holds where a key is not written.
pub(in crate::config) mod defaults {
    use super::Duration;
    use crate::{login, server, session};

    pub(in crate::config) const PREFIX: &str = "/oauth2";
    /// Loopback: a listener that is not asked to be reachable is not.
    pub(in crate::config) const PROXY: &str = "127.0.0.1:4180";
    pub(in crate::config) const ADMIN: &str = "127.0.0.1:4181";
    /// Where most of those work whom it is for.
    pub(in crate::config) const ZONE: &str = "Europe/Paris";
    pub(in crate::config) const CLOCK_LEEWAY: Duration = Duration::from_secs(60);
    pub(in crate::config) const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);
    /// Within the 30 s that Kubernetes gives a pod to end.
    pub(in crate::config) const SHUTDOWN_GRACE: Duration = Duration::from_secs(25);
    /// Time for an API to make an account, which takes a quarter of a second, and to be slow.
    pub(in crate::config) const FORGET_DATA_AFTER: Duration = Duration::from_secs(30 * 86_400);
    pub(in crate::config) const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(10);
    /// A client waits for it, and gives up itself after some seconds.
    pub(in crate::config) const BEARER_TIMEOUT: Duration = Duration::from_secs(5);
    /// What the playgrounds have written in their code.
    pub(in crate::config) const ENVELOPE_TTL: Duration = Duration::from_secs(300);
    /// As long as people look away from a screen and come back.
    pub(in crate::config) const SEAT_IDLE: Duration = Duration::from_secs(1800);
    pub(in crate::config) const CSRF_COOKIE: &str = "XSRF-TOKEN";
    pub(in crate::config) const CSRF_HEADER: &str = "X-XSRF-TOKEN";
    pub(in crate::config) const CORS_MAX_AGE: Duration = Duration::from_secs(600);
    /// Short, for a page that was taken over can copy it; long enough for a page to be read.
    pub(in crate::config) const ACCESS_TOKEN: Duration = Duration::from_secs(300);
    pub(in crate::config) const HEADERS: &str = "x-auth-request";
    pub(in crate::config) const LEVEL: &str = "info";
    /// What ProConnect grants to every service (and nothing else asked for by default).
    pub(in crate::config) const PROCONNECT_SCOPES: [&str; 9] =
        ["openid", "given_name", "usual_name", "email", "uid", "siret", "idp_id", "roles", "organization_label"];
    /// The standard ones (OpenID Connect Core §5.4).
    pub(in crate::config) const GENERIC_SCOPES: [&str; 3] = ["openid", "profile", "email"];

    pub(in crate::config) fn timeouts() -> server::Timeouts {
        server::Timeouts::default()
    }

    pub(in crate::config) fn session() -> session::Settings {
        session::Settings::default()
    }

    pub(in crate::config) const REDIS_PREFIX: &str = "vestibule:";

    pub(in crate::config) fn on_down() -> crate::store::OnDown {
        crate::store::OnDown::default()
    }

    pub(in crate::config) fn sign_in() -> login::Settings {
        login::Settings::default()
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of the top-level keys, such as `public_url: https://…`")]
pub(in crate::config) struct Written {
    /// The address that browsers use. Cookies, redirect URIs and the check of where a request
    /// comes from follow from it. `https`, except on loopback, and an origin only: no path.
    #[schemars(required, extend("examples" = ["https://playground.example.gouv.fr"]))]
    pub(in crate::config) public_url: Option<String>,

    /// Several public hosts from one instance, each under a name of your choice (which log lines carry):
    /// its own provider, cookies, sessions and routes (`docs/sites.md`). What a site says goes over the
    /// rest of the file as a later file goes over an earlier one. Each has a `public_url`, and the rest of
    /// the file has none then.
    #[expect(dead_code, reason = "checks the shape; `config/sites` reads what is written, before it has a type")]
    #[schemars(
        with = "Option<BTreeMap<String, serde_json::Value>>",
        extend("x-name" = "NAME", "x-type" = "mapping of `NAME` to keys of this page")
    )]
    pub(in crate::config) sites: Option<Named<Written>>,

    /// Below which path Vestibule's own pages are (`/oauth2/callback`, `/oauth2/sign_out` …). No
    /// route can be there. The provider must know `public_url` + prefix + `/callback` as redirect
    /// URI and `public_url` + prefix + `/signed_out` as post-logout redirect URI.
    #[schemars(extend("default" = defaults::PREFIX))]
    pub(in crate::config) prefix: Option<String>,

    /// Where Vestibule listens.
    pub(in crate::config) listeners: Option<Listeners>,

    /// Seeing and ending everybody's sessions on `listeners.admin`: its API (`/openapi.json` there
    /// describes it), its page at `/`, and the `vestibule sessions` commands.
    pub(in crate::config) admin: Option<Admin>,

    /// Addresses and networks of the proxies in front, whose `X-Forwarded-For`,
    /// `X-Forwarded-Proto` and `X-Forwarded-Host` are believed. Nobody's are by default.
    #[schemars(extend("default" = [] as [&str; 0], "examples" = [["10.42.0.0/16", "192.0.2.7"]]))]
    pub(in crate::config) trusted_proxies: Option<List<String>>,

    /// The OpenID Provider that people sign in with, under a name of your choice (which sessions
    /// and log lines carry); or several, of which routes, e-mail domains or people choose one
    /// (`docs/providers.md`).
    #[schemars(required, extend("x-name" = "NAME"))]
    pub(in crate::config) providers: Option<Named<Provider>>,

    /// Sessions: their keys and their ends.
    #[schemars(required)]
    pub(in crate::config) session: Option<Session>,

    /// How cookies are set.
    pub(in crate::config) cookies: Option<Cookies>,

    /// How people are led to the provider.
    pub(in crate::config) sign_in: Option<SignIn>,

    /// How people sign out.
    pub(in crate::config) sign_out: Option<SignOut>,

    /// Where the state between requests is kept: `memory` (one process, gone with it), a file (one
    /// process, survives it), or a Redis (every replica).
    #[schemars(extend("default" = "memory", "examples" = [
        {"file": "/var/lib/vestibule/state.db"},
        {"redis": "rediss://redis.internal:6379"},
        {"redis": {"url": "rediss://redis.internal:6379", "password": {"file": "/run/secrets/redis"}}},
    ]))]
    pub(in crate::config) store: Option<Store>,

    /// What happens while the store is unavailable: `refuse` or `keep` for everybody, or the keys
    /// below. What other replicas revoke meanwhile is not known here.
    #[schemars(extend("default" = {"sign_ins": "refuse", "sessions": "keep", "for": "15m"}))]
    pub(in crate::config) on_store_down: Option<OnStoreDown>,

    /// The apps behind Vestibule, each under a name that routes refer to. Must be there, except with
    /// `forward_auth`.
    #[schemars(extend("x-name" = "NAME"))]
    pub(in crate::config) upstreams: Option<Named<Upstream>>,

    /// Which requests go to which app, and who may make them. The most specific route wins,
    /// whatever the order; a request that matches none is refused.
    #[schemars(required)]
    pub(in crate::config) routes: Option<List<Route>>,

    /// Conditions on who somebody is, each under a name that routes refer to (`docs/rules.md`).
    #[schemars(extend("x-name" = "NAME", "examples" = [{"agents": {"roles": ["agent_public_etat", "agent_public_territorial"]}}]))]
    pub(in crate::config) policies: Option<Named<Condition>>,

    /// How many people of an institution may be active at once: its licences (`docs/licences.md`). With
    /// `licences` or `seats` everybody who enters by a session needs a seat, but where a route says
    /// `seat: none`.
    #[schemars(extend("examples" = [[{"id": "2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e", "seats": 25, "covers": {"siret": ["13002526500013"]}}]]))]
    pub(in crate::config) licences: Option<List<Licence>>,

    /// How the seats of licences are given.
    pub(in crate::config) seats: Option<Seats>,

    /// Findings of `vestibule check` that are meant, each with the reason (`docs/findings.md`).
    #[schemars(extend("examples" = [[{"finding": "csrf-off", "at": "routes[2]", "because": "the app has tokens of its own"}]]))]
    pub(in crate::config) accept: Option<List<Accept>>,

    /// What helps to find a mistake, and is not for everyday use.
    pub(in crate::config) debug: Option<Debug>,

    /// What upstreams need to trust a request, each under a name that routes refer to.
    #[schemars(extend("x-name" = "NAME"))]
    pub(in crate::config) credentials: Option<Named<Credential>>,

    /// The bearer tokens that routes may take of API clients, each sort under a name that routes refer
    /// to (`docs/bearer.md`).
    #[schemars(extend("x-name" = "NAME"))]
    pub(in crate::config) bearer: Option<Named<Bearer>>,

    /// `/v1/oauth2/{login,callback,playground-login,logout}` and
    /// `/v1/auth/{proconnect,callback,logout}`, for playgrounds that stay as they are
    /// (`docs/albert.md`). Needs a route with an `envelope`.
    pub(in crate::config) albert_endpoints: Option<AlbertEndpoints>,

    /// How a front proxy asks `/oauth2/auth` about the requests that it has (`docs/forward-auth.md`).
    /// Routes then need no upstream. Without this key only the session is looked at there, and no
    /// route.
    #[schemars(extend("examples" = [{"from": "nginx"}]))]
    pub(in crate::config) forward_auth: Option<ForwardAuth>,

    /// Further paths of Vestibule's own endpoints, for apps that link to others already.
    pub(in crate::config) aliases: Option<Aliases>,

    /// What an app is offered that keeps an access token in its page's memory. Nothing by default: a
    /// cookie that no script reads is the better place.
    pub(in crate::config) token_endpoints: Option<TokenEndpoints>,

    /// Which pages of other origins may send requests here and read the answers (CORS). None by default.
    pub(in crate::config) cors: Option<Cors>,

    /// Whose pages may change something with a person's session. A request with an unsafe method that
    /// a cookie authenticates, and a WebSocket, has to come from `public_url` itself or from one of
    /// these; `Sec-Fetch-Site` or `Origin` says so. A route can leave it to its app (`csrf: off`).
    pub(in crate::config) csrf: Option<Csrf>,

    /// What the app learns of the person, in request headers. Whatever a client sends under one
    /// of these names is removed first, on every route.
    pub(in crate::config) identity: Option<Identity>,

    /// What the pages say.
    pub(in crate::config) pages: Option<Pages>,

    /// What is logged, and how.
    pub(in crate::config) log: Option<Log>,

    /// Worker threads of the proxy. As many as there are processors by default.
    #[schemars(range(min = 1))]
    pub(in crate::config) threads: Option<u16>,

    /// How long requests under way may take to finish when Vestibule is told to stop.
    #[schemars(extend("default" = written_span(defaults::SHUTDOWN_GRACE)))]
    pub(in crate::config) shutdown_grace: Option<Span>,
}

/// How cookies are set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {domain, same_site}")]
pub(in crate::config) struct Cookies {
    /// The domain whose hosts share one sign-in. Every host below it then gets the session cookie,
    /// which loses its `__Host-` prefix. By default the host of `public_url` alone gets it.
    #[schemars(extend("examples" = ["example.gouv.fr"]))]
    pub(in crate::config) domain: Option<String>,
    /// `lax`, or `none` for a front-end on another site than `public_url` (`cors`): browsers then
    /// send the session's cookies with what its pages ask for. Needs `https`. The session counts all
    /// the same for pages of ours and of listed origins alone.
    #[schemars(extend("default" = SameSite::default()))]
    pub(in crate::config) same_site: Option<SameSite>,
}

/// How sign-in goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {entry, timeout, return_to, after, keep_forms}")]
pub(in crate::config) struct SignIn {
    /// How people are led to the provider.
    #[schemars(extend("default" = login::Entry::default()))]
    pub(in crate::config) entry: Option<login::Entry>,
    /// How long a person may take at the provider.
    #[schemars(extend("default" = written_span(defaults::sign_in().attempt_lifetime)))]
    pub(in crate::config) timeout: Option<Span>,
    /// The hosts beyond that of `public_url` that a sign-in or sign-out may return to
    /// (`rd=https://…`): `app.example.fr`, or `.example.fr` for that domain and all hosts below it;
    /// with `:8443` for that port, `:*` for any.
    #[schemars(extend("default" = [] as [&str; 0], "examples" = [[".example.gouv.fr"]]))]
    pub(in crate::config) return_to: Option<List<String>>,
    /// Where a sign-in leads that does not say where it returns to: a path, or an address on a host
    /// of `return_to`.
    #[schemars(extend("default" = "/", "examples" = ["/chat"]))]
    pub(in crate::config) after: Option<String>,
    /// Whether a form that a page of ours sends with a session that is over is kept over the sign-in,
    /// for the same person in the same browser to send: in the store, sealed under the browser's own
    /// key, for `timeout` at most. Fields up to 64 kB, no files. Otherwise it has to be filled in again.
    #[schemars(extend("default" = true))]
    pub(in crate::config) keep_forms: Option<bool>,
}

/// How people sign out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {answer: {logout: ok}}")]
pub(in crate::config) struct SignOut {
    /// What a script is answered that signs a person out (`fetch`, XMLHttpRequest): it cannot follow
    /// to the provider, where the person stays signed in. A link or a form goes the whole way round.
    #[schemars(extend("default" = {"signed_out": true}, "examples" = [{"logout": "ok"}]))]
    pub(in crate::config) answer: Option<BTreeMap<String, serde_json::Value>>,
}

/// An app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {url: http://127.0.0.1:8501}")]
pub(in crate::config) struct Upstream {
    /// Where it is. With `https`, its certificate is checked.
    #[schemars(required, extend("examples" = ["http://127.0.0.1:8501", "unix:/run/app.sock"]))]
    pub(in crate::config) url: Option<UpstreamUrl>,
    /// What it needs to trust a request, on all routes to it that name nothing else.
    #[schemars(extend("examples" = ["albert", {"kind": "token"}]))]
    pub(in crate::config) credentials: Option<Chosen>,
    /// How long it may take.
    pub(in crate::config) timeouts: Option<Timeouts>,
}

/// How long an app may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {connect, read, websocket_idle, websocket_max_age}")]
pub(in crate::config) struct Timeouts {
    /// To accept a connection.
    #[schemars(extend("default" = written_span(defaults::timeouts().connect)))]
    pub(in crate::config) connect: Option<Span>,
    /// Between two pieces of an answer. The default suits a slow language model.
    #[schemars(extend("default" = written_span(defaults::timeouts().read)))]
    pub(in crate::config) read: Option<Span>,
    /// Without a byte in either direction on a WebSocket.
    #[schemars(extend("default" = written_span(defaults::timeouts().websocket_idle)))]
    pub(in crate::config) websocket_idle: Option<Span>,
    /// How long a WebSocket may stay open, however busy it is; a second at least. It is then closed
    /// with status 1001, and whoever connects again is asked who they are. No limit by default but
    /// the session's own.
    #[schemars(extend("examples" = ["8h"]))]
    pub(in crate::config) websocket_max_age: Option<Span>,
}

/// A route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {path: /**, upstream: NAME}")]
pub(in crate::config) struct Route {
    /// The path: `/exact`, `/one/*/segment`, or `/everything/below/**`.
    #[schemars(required, extend("examples" = ["/v1/**"]))]
    pub(in crate::config) path: Option<String>,
    /// The host it is for, without port. Any by default.
    #[schemars(extend("examples" = ["api.example.gouv.fr"]))]
    pub(in crate::config) host: Option<String>,
    /// The methods it is for. Any by default.
    #[schemars(extend("examples" = [["GET", "HEAD"]]))]
    pub(in crate::config) methods: Option<List<String>>,
    /// Who may pass.
    #[schemars(extend("default" = Access::default()))]
    pub(in crate::config) access: Option<Access>,
    /// Whose people may pass, where there are several `providers`: the name of one, or a list of them.
    /// Whoever has no session is led to sign in there; whoever has another one's is told so. All by
    /// default.
    #[schemars(extend("examples" = ["keycloak", ["keycloak", "proconnect"]]))]
    pub(in crate::config) provider: Option<OneOrMore>,
    /// Conditions of which each must hold for whoever passes: names of `policies`, or conditions. The
    /// same for people and for API clients.
    #[schemars(extend("examples" = ["agents", [{"email_domain": ".gouv.fr"}, "agents"]]))]
    pub(in crate::config) require: Option<Conditions>,
    /// Conditions of which one must hold.
    #[schemars(extend("examples" = [["agents", {"email": "helene.moreau@example.org"}]]))]
    pub(in crate::config) allow: Option<Conditions>,
    /// Conditions of which none may hold. It wins over the two others.
    #[schemars(extend("examples" = [{"sub": "4f3e2d1c"}]))]
    pub(in crate::config) deny: Option<Conditions>,
    /// The names of those of `bearer` whose tokens may pass, in the place of a session. A request that
    /// shows a bearer token is judged by that alone, whatever cookie it brings.
    #[schemars(extend("examples" = ["api", ["api", "services"]]))]
    pub(in crate::config) bearer: Option<OneOrMore>,
    /// The name of the upstream that answers. Must be there, except with `forward_auth`: the app is
    /// behind the front proxy then.
    #[schemars(extend("examples" = ["playground"]))]
    pub(in crate::config) upstream: Option<String>,
    /// Taken off the front of the path before the app sees it; the route's path must begin with it.
    #[schemars(extend("examples" = ["/v1"]))]
    pub(in crate::config) strip_prefix: Option<String>,
    /// What the upstream needs to trust the request: the name of one of `credentials`, such a
    /// mapping itself, or `none` where the upstream has some and this route is to have none.
    #[schemars(extend("examples" = ["albert", {"kind": "token"}]))]
    pub(in crate::config) credentials: Option<Chosen>,
    /// What becomes of the header that the credentials go into, `Authorization` mostly, where the
    /// client sends one itself: `replace` takes it away, `keep` lets it through in the place of the
    /// credentials, for API clients that bring a key of their own. An access token of
    /// `token_endpoints` is taken away on every route but those that `keep`, and there too where the
    /// credentials go into its place.
    #[schemars(extend("default" = "replace"))]
    pub(in crate::config) client_authorization: Option<ClientAuthorization>,
    /// Opens the playgrounds of 2025: a page that is asked for without `?encrypted_token=` is
    /// answered with a redirect to the same page with a fresh one (`docs/albert.md`).
    pub(in crate::config) envelope: Option<Envelope>,
    /// What the app gets of the session's cookie. `strip`: nothing. `proof`: for an app that asks
    /// back with the browser's cookies whose session it is, in the place of our cookies one that
    /// opens at `/oauth2/auth` alone (`docs/decisions/0006-proof-of-session.md`).
    #[schemars(extend("default" = SessionCookie::default()))]
    pub(in crate::config) session_cookie: Option<SessionCookie>,
    /// `off` leaves it to the app which pages may change something here with a person's session
    /// (`csrf`): for what others are meant to send. WebSockets are not opened by other sites all the
    /// same.
    #[schemars(extend("default" = route::Csrf::default()))]
    pub(in crate::config) csrf: Option<route::Csrf>,
    /// `off`: no signed assertion goes along (`identity.assertion`), for what does not verify one and
    /// is asked for often, such as static files.
    #[schemars(extend("default" = RouteAssertion::default()))]
    pub(in crate::config) assertion: Option<RouteAssertion>,
    /// `none`: whoever enters here by a session needs no seat, where there are `licences`.
    #[schemars(extend("default" = RouteSeat::default()))]
    pub(in crate::config) seat: Option<RouteSeat>,
}

/// What the app learns.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {headers, encoding, claims, assertion}")]
pub(in crate::config) struct Identity {
    /// The headers: the name of a set, or a mapping of header names to templates.
    /// `x-auth-request` is `X-Auth-Request-User`, `-Email`, `-Preferred-Username` and `-Groups`;
    /// `x-forwarded` the same four with `X-Forwarded-`; `remote-user` is `Remote-User`,
    /// `Remote-Email`, `Remote-Name` and `Remote-Groups`. Whatever is chosen, `X-Vestibule-Session`
    /// goes with them: the session's name from sign-in to its end, in 32 hexadecimal digits, which
    /// opens nothing.
    #[schemars(extend("default" = defaults::HEADERS))]
    pub(in crate::config) headers: Option<Headers>,
    /// How values that are not plain ASCII are written.
    #[schemars(extend("default" = Encoding::default()))]
    pub(in crate::config) encoding: Option<Encoding>,
    /// Claims to keep in the session besides those that the headers name.
    #[schemars(extend("default" = [] as [&str; 0], "examples" = [["siret", "roles"]]))]
    pub(in crate::config) claims: Option<List<String>>,
    /// A signed JWT with every request, for apps that verify who sent it (`docs/assertion.md`).
    pub(in crate::config) assertion: Option<Assertion>,
}

/// A named set, or names with templates.
#[derive(Debug)]
pub(in crate::config) enum Headers {
    Set(String),
    Templates(Named<String>),
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Headers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a set, such as x-auth-request, or a mapping such as {X-User: \"{email}\"}")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Headers, E> {
                Ok(Headers::Set(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Headers, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Headers::Templates)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Headers {
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "examples": [{"X-User-Name": "{given_name} {usual_name}", "X-User-Email": "{email}"}],
            "anyOf": [
                {"type": "string", "enum": crate::gate::headers::NAMED_SETS},
                {
                    "type": "object",
                    "x-name": "HEADER",
                    "additionalProperties": {
                        "type": "string",
                        "description": "The header's value: text with verified claims in braces, such as \
                                        `{given_name} {usual_name}`; `{preferred_username|email}` takes the first that is there.",
                    },
                },
            ],
        })
    }
}

/// What the pages say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {application, contact}")]
pub(in crate::config) struct Pages {
    /// The name of the service, as people know it.
    #[schemars(extend("examples" = ["Albert Playground"]))]
    pub(in crate::config) application: Option<String>,
    /// Whom people can ask for help: an e-mail address, a web address, or words.
    #[schemars(extend("examples" = ["support@example.gouv.fr"]))]
    pub(in crate::config) contact: Option<String>,
}

/// What is logged.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {format, level}")]
pub(in crate::config) struct Log {
    /// How lines are written.
    #[schemars(extend("default" = telemetry::Format::default()))]
    pub(in crate::config) format: Option<telemetry::Format>,
    /// The least important level that is logged: `error`, `warn`, `info`, `debug` or `trace`;
    /// also per part of the program, as in `info,vestibule::oidc=debug`.
    #[schemars(extend("default" = defaults::LEVEL))]
    pub(in crate::config) level: Option<String>,
}

impl Timeouts {
    /// What was written, over the defaults.
    pub(in crate::config) fn over_defaults(this: Option<&Self>) -> server::Timeouts {
        let default = defaults::timeouts();
        let chosen = |written: Option<Span>, default| written.map_or(default, |span| span.0);
        server::Timeouts {
            connect: chosen(this.and_then(|t| t.connect), default.connect),
            read: chosen(this.and_then(|t| t.read), default.read),
            websocket_idle: chosen(this.and_then(|t| t.websocket_idle), default.websocket_idle),
            websocket_max_age: this.and_then(|t| t.websocket_max_age).map(|span| span.0),
        }
    }
}
