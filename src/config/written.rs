//! The configuration as it is written: the shape of the YAML, and the words of its documentation.
//!
//! `parse` fills these types, `resolve` turns them into what runs, `schema` and `reference` read
//! their doc comments: what is written here is what a person setting Vestibule up will read.
//! Everything is optional here; `resolve` knows what is required and says so with a hint.
//! Defaults live beside the types so that the documentation cannot disagree with the program.

use super::scalar::{ListenAddress, Secret, Span, Store, UpstreamUrl, written_span};
use crate::gate::headers::Encoding;
use crate::gate::route::Access;
use crate::{login, oidc, server, telemetry};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A list whose faulty items have become `None`, so that the others keep their numbers.
pub(super) type List<T> = Vec<Option<T>>;
/// A mapping whose keys are names that the writer chose.
pub(super) type Named<T> = BTreeMap<String, Option<T>>;

/// What holds where a key is not written.
pub(super) mod defaults {
    use super::Duration;
    use crate::server::Timeouts;

    pub(in crate::config) const PREFIX: &str = "/oauth2";
    /// Loopback: a listener that is not asked to be reachable is not.
    pub(in crate::config) const PROXY: &str = "127.0.0.1:4180";
    pub(in crate::config) const ADMIN: &str = "127.0.0.1:4181";
    pub(in crate::config) const IDLE: Duration = Duration::from_secs(3600);
    /// As long as ProConnect's own session.
    pub(in crate::config) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
    /// Long enough for a forgotten password and a second factor by e-mail.
    pub(in crate::config) const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(30 * 60);
    pub(in crate::config) const CLOCK_LEEWAY: Duration = Duration::from_secs(60);
    pub(in crate::config) const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);
    /// Within the 30 s that Kubernetes gives a pod to end.
    pub(in crate::config) const SHUTDOWN_GRACE: Duration = Duration::from_secs(25);
    pub(in crate::config) const HEADERS: &str = "x-auth-request";
    pub(in crate::config) const LEVEL: &str = "info";
    /// What ProConnect grants to every service (and nothing else asked for by default).
    pub(in crate::config) const PROCONNECT_SCOPES: [&str; 9] = [
        "openid", "given_name", "usual_name", "email", "uid", "siret", "idp_id", "roles", "organization_label",
    ];
    /// The standard ones (OpenID Connect Core §5.4).
    pub(in crate::config) const GENERIC_SCOPES: [&str; 3] = ["openid", "profile", "email"];

    pub(in crate::config) fn timeouts() -> Timeouts {
        Timeouts::default()
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of the top-level keys, such as `public_url: https://…`")]
pub(super) struct Written {
    /// The address that browsers use. Cookies, redirect URIs and the check of where a request
    /// comes from follow from it. `https`, except on loopback, and an origin only: no path.
    #[schemars(required, extend("examples" = ["https://playground.example.gouv.fr"]))]
    pub(super) public_url: Option<String>,

    /// Below which path Vestibule's own pages are (`/oauth2/callback`, `/oauth2/sign_out` …). No
    /// route can be there. The provider must know `public_url` + prefix + `/callback` as redirect
    /// URI and `public_url` + prefix + `/signed_out` as post-logout redirect URI.
    #[schemars(extend("default" = defaults::PREFIX))]
    pub(super) prefix: Option<String>,

    /// Where Vestibule listens.
    pub(super) listeners: Option<Listeners>,

    /// Addresses and networks of the proxies in front, whose `X-Forwarded-For`,
    /// `X-Forwarded-Proto` and `X-Forwarded-Host` are believed. Nobody's are by default.
    #[schemars(extend("default" = [] as [&str; 0], "examples" = [["10.42.0.0/16", "192.0.2.7"]]))]
    pub(super) trusted_proxies: Option<List<String>>,

    /// The OpenID Provider that people sign in with, under a name of your choice (which sessions
    /// and log lines carry). This version takes exactly one.
    #[schemars(required, extend("x-name" = "NAME"))]
    pub(super) providers: Option<Named<Provider>>,

    /// Sessions: their keys and their ends.
    #[schemars(required)]
    pub(super) session: Option<Session>,

    /// How cookies are set.
    pub(super) cookies: Option<Cookies>,

    /// How people are led to the provider.
    pub(super) sign_in: Option<SignIn>,

    /// Where the state between requests is kept. This version keeps it in memory.
    #[schemars(extend("default" = "memory"))]
    pub(super) store: Option<Store>,

    /// The apps behind Vestibule, each under a name that routes refer to.
    #[schemars(required, extend("x-name" = "NAME"))]
    pub(super) upstreams: Option<Named<Upstream>>,

    /// Which requests go to which app, and who may make them. The most specific route wins,
    /// whatever the order; a request that matches none is refused.
    #[schemars(required)]
    pub(super) routes: Option<List<Route>>,

    /// What the app learns of the person, in request headers. Whatever a client sends under one
    /// of these names is removed first, on every route.
    pub(super) identity: Option<Identity>,

    /// What the pages say.
    pub(super) pages: Option<Pages>,

    /// What is logged, and how.
    pub(super) log: Option<Log>,

    /// Worker threads of the proxy. As many as there are processors by default.
    #[schemars(range(min = 1))]
    pub(super) threads: Option<u16>,

    /// How long requests under way may take to finish when Vestibule is told to stop.
    #[schemars(extend("default" = written_span(defaults::SHUTDOWN_GRACE)))]
    pub(super) shutdown_grace: Option<Span>,
}

/// Where to listen.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {proxy, admin}")]
pub(super) struct Listeners {
    /// Where browsers, or the proxies in front, reach Vestibule.
    #[schemars(extend("default" = defaults::PROXY, "examples" = ["0.0.0.0:4180", "unix:/run/vestibule.sock"]))]
    pub(super) proxy: Option<Listener>,

    /// Health (`/healthz`, `/readyz`) and metrics (`/metrics`). They tell a lot and ask for no
    /// password: keep this on loopback or behind a network policy.
    #[schemars(extend("default" = defaults::ADMIN))]
    pub(super) admin: Option<Listener>,
}

/// An address alone, or with TLS.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: Option<ListenAddress>,
    pub(super) tls: Option<Tls>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {address, tls: {certificate, key}}")]
struct ListenerMapping {
    /// The address.
    #[schemars(required)]
    address: Option<ListenAddress>,
    /// The certificate, where Vestibule ends TLS itself.
    tls: Option<Tls>,
}

/// A certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {certificate: PATH, key: PATH}")]
pub(super) struct Tls {
    /// The PEM file of the certificate chain, leaf first.
    #[schemars(required)]
    pub(super) certificate: Option<PathBuf>,
    /// The PEM file of the private key.
    #[schemars(required)]
    pub(super) key: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Listener;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as 0.0.0.0:4180, or a mapping {address, tls: {certificate, key}}")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Listener, E> {
                let address = ListenAddress::parse(text).map_err(E::custom)?;
                Ok(Listener { address: Some(address), tls: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listener, A::Error> {
                let ListenerMapping { address, tls } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Listener { address, tls })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Listener {
    fn schema_name() -> Cow<'static, str> {
        "Listener".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<ListenAddress>();
        let mapping = generator.subschema_for::<ListenerMapping>();
        json_schema!({"anyOf": [address, mapping]})
    }
}

/// A provider and our registration there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {preset: proconnect, environment: integration, client_id: …}")]
pub(super) struct Provider {
    /// What is known of the provider beforehand.
    #[schemars(extend("default" = "generic"))]
    pub(super) preset: Option<Preset>,

    /// Which ProConnect. With `preset: proconnect`, instead of `issuer`.
    pub(super) environment: Option<ProConnect>,

    /// The issuer, exactly as the provider writes it in its tokens and its metadata.
    #[schemars(extend("examples" = ["https://login.example.org/realms/agents"]))]
    pub(super) issuer: Option<String>,

    /// The `client_id` of our registration.
    #[schemars(required)]
    pub(super) client_id: Option<String>,

    /// The `client_secret` of our registration. ProConnect gives one to every service; without
    /// it, Vestibule is a public client.
    #[schemars(extend("examples" = [{"file": "/run/secrets/proconnect"}]))]
    pub(super) client_secret: Option<Secret>,

    /// How the secret is presented. `client_secret_post` for ProConnect, else
    /// `client_secret_basic` by default.
    pub(super) client_authentication: Option<oidc::ClientAuthentication>,

    /// The provider's endpoints, where it has no `/.well-known/openid-configuration`.
    pub(super) endpoints: Option<Endpoints>,

    /// What is asked for; `openid` must be in it. By default `openid given_name usual_name email
    /// uid siret idp_id roles organization_label` for ProConnect, else `openid profile email`.
    #[schemars(extend("examples" = [["openid", "email", "siret"]]))]
    pub(super) scopes: Option<List<String>>,

    /// Authentication levels of which one is required: asked for as an essential claim, and
    /// checked in the ID token. ProConnect compares them one by one, so list the higher ones too.
    #[schemars(extend("examples" = [["eidas0-mfa", "eidas1-mfa", "eidas2", "eidas3"]]))]
    pub(super) acr_values: Option<List<String>>,

    /// Single claims to ask for, as the `claims` parameter has them (OpenID Connect Core §5.5).
    /// For `acr`, use `acr_values`, which is checked as well.
    #[schemars(extend("examples" = [{"id_token": {"amr": null}}]))]
    pub(super) claims: Option<serde_json::Map<String, serde_json::Value>>,

    /// Further parameters of the authorization request, as the provider documents them. Those of
    /// the protocol itself are Vestibule's.
    #[schemars(extend("x-name" = "NAME", "examples" = [{"ui_locales": "fr"}]))]
    pub(super) parameters: Option<Named<String>>,

    /// The organisation to suggest to ProConnect: its SIRET, 14 digits in quotes. A wish, not a
    /// rule about who may enter.
    #[schemars(pattern(r"^[0-9]{14}$"), extend("examples" = ["13002526500013"]))]
    pub(super) siret_hint: Option<String>,

    /// The identity provider that ProConnect should lead to: its `idp_id`. A wish, not a rule
    /// about who may enter.
    #[schemars(extend("examples" = ["71144ab3-ee1a-4401-b7b3-79b44f7daeeb"]))]
    pub(super) idp_hint: Option<String>,

    /// The algorithms that an ID token may be signed with. `ES256` and `RS256` by default for
    /// ProConnect and for endpoints written by hand; else those that the provider announces.
    /// `HS256` only where it is written here.
    #[schemars(extend("examples" = [["ES256"]]))]
    pub(super) id_token_algorithms: Option<List<oidc::Algorithm>>,

    /// Whether and how claims are read from the userinfo endpoint.
    pub(super) userinfo: Option<Userinfo>,

    /// How far the provider's clock may differ from ours; five minutes at most.
    #[schemars(extend("default" = written_span(defaults::CLOCK_LEEWAY)))]
    pub(super) clock_leeway: Option<Span>,

    /// How long one call to the provider may take.
    #[schemars(extend("default" = written_span(defaults::PROVIDER_TIMEOUT)))]
    pub(super) timeout: Option<Span>,
}

/// What is known of a provider beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Preset {
    /// ProConnect's issuers, scopes, algorithms and client authentication.
    ProConnect,
    /// Any OpenID Provider.
    #[default]
    Generic,
}

/// ProConnect's environments. Each has its own registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProConnect {
    /// The sandbox, on the Internet.
    Integration,
    /// The real one, on the Internet.
    Production,
    /// The sandbox of the inter-ministerial network.
    RieIntegration,
    /// The real one of the inter-ministerial network.
    RieProduction,
}

/// Endpoints written by hand.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {authorization: URL, token: URL, jwks_uri: URL, …}")]
pub(super) struct Endpoints {
    /// Where browsers are sent to sign in.
    #[schemars(required)]
    pub(super) authorization: Option<String>,
    /// Where a code becomes tokens.
    #[schemars(required)]
    pub(super) token: Option<String>,
    /// The provider's signing keys.
    #[schemars(required)]
    pub(super) jwks_uri: Option<String>,
    /// Where claims are read. Without it, the ID token must hold them all.
    pub(super) userinfo: Option<String>,
    /// Where browsers are sent to sign out, if there is such a place.
    pub(super) end_session: Option<String>,
    /// Whether the provider's callbacks carry `iss` (RFC 9207); one without it is then refused.
    #[schemars(extend("default" = false))]
    pub(super) callback_iss: Option<bool>,
}

/// How userinfo is read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {format: signed, algorithms: [ES256]}")]
pub(super) struct Userinfo {
    /// In which form it is accepted.
    #[schemars(extend("default" = "json-or-signed"))]
    pub(super) format: Option<UserinfoFormat>,
    /// The algorithms that it may be signed with; those of the ID token by default.
    pub(super) algorithms: Option<List<oidc::Algorithm>>,
}

/// In which form userinfo is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UserinfoFormat {
    /// JSON or a signed JWT, whichever the provider answers; a JWT is always verified.
    #[default]
    JsonOrSigned,
    /// A signed JWT only; plain JSON ends the sign-in.
    Signed,
    /// Not read: the ID token holds every claim that is needed.
    None,
}

/// Sessions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {keys: […], idle, lifetime}")]
pub(super) struct Session {
    /// The keys that seal session cookies. The first seals, all of them open: to rotate, put a
    /// new one first and remove the old one after `lifetime`. The same keys on every replica.
    #[schemars(required)]
    pub(super) keys: Option<List<SessionKey>>,
    /// A session without a request for this long is over.
    #[schemars(extend("default" = written_span(defaults::IDLE)))]
    pub(super) idle: Option<Span>,
    /// A session is over after this long in any case. ProConnect's own lasts 12 hours.
    #[schemars(extend("default" = written_span(defaults::LIFETIME)))]
    pub(super) lifetime: Option<Span>,
}

/// A session key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {id: NAME, secret: {file: PATH}}")]
pub(super) struct SessionKey {
    /// Its name, which cookies carry: up to 32 letters, digits, `.`, `_` or `-`. A date does
    /// well. Never give a new key an old name.
    #[schemars(required, pattern(r"^[A-Za-z0-9._-]{1,32}$"), extend("examples" = ["2026-11"]))]
    pub(super) id: Option<String>,
    /// 32 random bytes in base64url, as `vestibule keys new` prints them.
    #[schemars(required, extend("examples" = [{"file": "/run/secrets/session-key"}]))]
    pub(super) secret: Option<Secret>,
}

/// How cookies are set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {domain: …}")]
pub(super) struct Cookies {
    /// The domain whose hosts share one sign-in. Every host below it then gets the session cookie,
    /// which loses its `__Host-` prefix. By default the host of `public_url` alone gets it.
    #[schemars(extend("examples" = ["example.gouv.fr"]))]
    pub(super) domain: Option<String>,
}

/// How sign-in goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {entry, timeout}")]
pub(super) struct SignIn {
    /// How people are led to the provider.
    #[schemars(extend("default" = login::Entry::default()))]
    pub(super) entry: Option<login::Entry>,
    /// How long a person may take at the provider.
    #[schemars(extend("default" = written_span(defaults::SIGN_IN_TIMEOUT)))]
    pub(super) timeout: Option<Span>,
}

/// An app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {url: http://127.0.0.1:8501}")]
pub(super) struct Upstream {
    /// Where it is. With `https`, its certificate is checked.
    #[schemars(required, extend("examples" = ["http://127.0.0.1:8501", "unix:/run/app.sock"]))]
    pub(super) url: Option<UpstreamUrl>,
    /// How long it may take.
    pub(super) timeouts: Option<Timeouts>,
}

/// How long an app may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {connect, read, websocket_idle}")]
pub(super) struct Timeouts {
    /// To accept a connection.
    #[schemars(extend("default" = written_span(defaults::timeouts().connect)))]
    pub(super) connect: Option<Span>,
    /// Between two pieces of an answer. The default suits a slow language model.
    #[schemars(extend("default" = written_span(defaults::timeouts().read)))]
    pub(super) read: Option<Span>,
    /// Without a byte in either direction on a WebSocket.
    #[schemars(extend("default" = written_span(defaults::timeouts().websocket_idle)))]
    pub(super) websocket_idle: Option<Span>,
}

/// A route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {path: /**, upstream: NAME}")]
pub(super) struct Route {
    /// The path: `/exact`, `/one/*/segment`, or `/everything/below/**`.
    #[schemars(required, extend("examples" = ["/v1/**"]))]
    pub(super) path: Option<String>,
    /// The host it is for, without port. Any by default.
    #[schemars(extend("examples" = ["api.example.gouv.fr"]))]
    pub(super) host: Option<String>,
    /// The methods it is for. Any by default.
    #[schemars(extend("examples" = [["GET", "HEAD"]]))]
    pub(super) methods: Option<List<String>>,
    /// Who may pass.
    #[schemars(extend("default" = Access::default()))]
    pub(super) access: Option<Access>,
    /// The name of the upstream that answers.
    #[schemars(required, extend("examples" = ["playground"]))]
    pub(super) upstream: Option<String>,
    /// Taken off the front of the path before the app sees it; the route's path must begin with it.
    #[schemars(extend("examples" = ["/v1"]))]
    pub(super) strip_prefix: Option<String>,
}

/// What the app learns.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {headers, encoding, claims}")]
pub(super) struct Identity {
    /// The headers: the name of a set, or a mapping of header names to templates.
    #[schemars(extend("default" = defaults::HEADERS))]
    pub(super) headers: Option<Headers>,
    /// How values that are not plain ASCII are written.
    #[schemars(extend("default" = Encoding::default()))]
    pub(super) encoding: Option<Encoding>,
    /// Claims to keep in the session besides those that the headers name.
    #[schemars(extend("default" = [] as [&str; 0], "examples" = [["siret", "roles"]]))]
    pub(super) claims: Option<List<String>>,
}

/// A named set, or names with templates.
#[derive(Debug)]
pub(super) enum Headers {
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
pub(super) struct Pages {
    /// The name of the service, as people know it. The host of `public_url` by default.
    #[schemars(extend("examples" = ["Albert Playground"]))]
    pub(super) application: Option<String>,
    /// Where people can ask for help: an e-mail address or a URL.
    #[schemars(extend("examples" = ["support@example.gouv.fr"]))]
    pub(super) contact: Option<String>,
}

/// What is logged.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {format, level}")]
pub(super) struct Log {
    /// How lines are written.
    #[schemars(extend("default" = telemetry::Format::default()))]
    pub(super) format: Option<telemetry::Format>,
    /// The least important level that is logged: `error`, `warn`, `info`, `debug` or `trace`;
    /// also per part of the program, as in `info,vestibule::oidc=debug`.
    #[schemars(extend("default" = defaults::LEVEL))]
    pub(super) level: Option<String>,
}

impl Timeouts {
    /// What was written, over the defaults.
    pub(super) fn over_defaults(this: Option<&Self>) -> server::Timeouts {
        let default = defaults::timeouts();
        let chosen = |written: Option<Span>, default| written.map_or(default, |span| span.0);
        server::Timeouts {
            connect: chosen(this.and_then(|t| t.connect), default.connect),
            read: chosen(this.and_then(|t| t.read), default.read),
            websocket_idle: chosen(this.and_then(|t| t.websocket_idle), default.websocket_idle),
        }
    }
}
