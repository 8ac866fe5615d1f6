//! Bearer tokens of API clients: each rule by its kind, and what a route may take.

use super::Resolver;
use super::client_authentication::WrittenClient;
use super::credentials::InTheClear;
use crate::bearer::{CACHE, Kind, Settings};
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Bearer, BearerKind, OneOrMore, Written, defaults};
use crate::credentials;
use crate::gate::route::{Access, ClientAuthorization};
use crate::oidc::{AccessTokenType, Algorithm, ClientAuthentication, IntrospectionSettings, IssuerSettings, KeySource};
use http::header::AUTHORIZATION;
use std::time::Duration;
use url::Url;

/// What access tokens are signed with where nothing is written.
const PINNED: [Algorithm; 2] = [Algorithm::ES256, Algorithm::RS256];

const MOST_LEEWAY: Duration = Duration::from_secs(300);
/// Beyond this, a revocation at the issuer is something else than what its name says.
const LONG_CACHE: Duration = Duration::from_secs(300);

/// All rules, in the order of their names.
#[derive(Default)]
pub(super) struct Bearers {
    pub(super) all: Vec<Settings>,
    /// All names that are written; those that are not right have no index.
    names: Vec<(String, Option<usize>)>,
}

fn keys_of(kind: BearerKind) -> &'static [&'static str] {
    match kind {
        BearerKind::Jwt => {
            &["issuer", "jwks_uri", "audience", "scopes", "algorithms", "typ", "cache", "clock_leeway", "timeout"]
        }
        BearerKind::Introspection => &[
            "url",
            "client_id",
            "client_secret",
            "client_authentication",
            "client_keys",
            "client_certificate",
            "issuer",
            "jwks_uri",
            "audience",
            "scopes",
            "algorithms",
            "signed",
            "cache",
            "clock_leeway",
            "timeout",
        ],
        BearerKind::Keys => &["keys"],
        BearerKind::Certificates => &["certificates"],
    }
}

/// The keys that are written, `kind` aside.
fn written_keys(written: &Bearer) -> Vec<&'static str> {
    let keys = [
        ("issuer", written.issuer.is_some()),
        ("jwks_uri", written.jwks_uri.is_some()),
        ("audience", written.audience.is_some()),
        ("scopes", written.scopes.is_some()),
        ("algorithms", written.algorithms.is_some()),
        ("typ", written.typ.is_some()),
        ("url", written.url.is_some()),
        ("client_id", written.client_id.is_some()),
        ("client_secret", written.client_secret.is_some()),
        ("client_authentication", written.client_authentication.is_some()),
        ("client_keys", written.client_keys.is_some()),
        ("client_certificate", written.client_certificate.is_some()),
        ("signed", written.signed.is_some()),
        ("keys", written.keys.is_some()),
        ("certificates", written.certificates.is_some()),
        ("cache", written.cache.is_some()),
        ("clock_leeway", written.clock_leeway.is_some()),
        ("timeout", written.timeout.is_some()),
    ];
    keys.into_iter().filter(|(_, is_written)| *is_written).map(|(key, _)| key).collect()
}

impl Resolver<'_> {
    pub(super) fn bearers(&mut self, at: &KeyPath, written: &Written) -> Bearers {
        let mut bearers = Bearers::default();
        let providers = written.providers.iter().flat_map(|named| named.values().flatten());
        let client_ids: Vec<String> = providers.filter_map(|provider| provider.client_id.clone()).collect();
        let tls = written.listeners.as_ref().and_then(|listeners| listeners.proxy.as_ref()?.tls.as_ref());
        let asks_for_certificates = tls.is_some_and(|tls| tls.client_ca.is_some());
        let mut takes_certificates = false;
        for (name, rule) in written.bearer.iter().flatten() {
            let at = at.key(name);
            self.name(&at, name);
            if rule.is_none() {
                self.fault(&at, "is empty; write its kind, such as {kind: jwt, issuer: https://…, audience: …}");
            }
            if rule.as_ref().is_some_and(|rule| rule.kind == Some(BearerKind::Certificates)) {
                takes_certificates = true;
                if !asks_for_certificates {
                    self.fault(&at, "needs listeners.proxy.tls.client_ca: clients show their certificates where Vestibule ends TLS itself, and where they are asked for one");
                }
            }
            let kind = rule.as_ref().and_then(|rule| self.bearer(&at, name, rule, &client_ids));
            let index = kind.map(|kind| {
                bearers.all.push(Settings { name: name.clone(), kind });
                bearers.all.len() - 1
            });
            bearers.names.push((name.clone(), index));
            let named = |route: &written::Route| route.bearer.iter().any(|OneOrMore(names)| names.contains(name));
            if !written.routes.iter().flatten().flatten().any(named) {
                self.idle(&at, "no route names it");
            }
        }
        if asks_for_certificates && !takes_certificates {
            let at = KeyPath::root().key("listeners").key("proxy").key("tls").key("client_ca");
            self.idle(&at, "clients are asked for certificates that say nothing here; write a rule of kind: certificates under bearer, or remove it");
        }
        bearers
    }

    fn bearer(&mut self, at: &KeyPath, name: &str, written: &Bearer, client_ids: &[String]) -> Option<Kind> {
        let kind =
            *self.required(&at.key("kind"), written.kind.as_ref(), "one of jwt, introspection, keys, certificates")?;
        for key in written_keys(written).into_iter().filter(|key| !keys_of(kind).contains(key)) {
            let word = format!("{kind:?}").to_ascii_lowercase();
            self.fault(&at.key(key), format!("is not for kind: {word}; remove it"));
        }
        if kind == BearerKind::Keys {
            return self.service_keys(&at.key("keys"), written).map(Kind::Keys);
        }
        if kind == BearerKind::Certificates {
            return self.known_certificates(&at.key("certificates"), written).map(Kind::Certificates);
        }
        let scopes = self.words(&at.key("scopes"), written.scopes.as_ref());
        let cache = written.cache.map_or(CACHE, |span| span.0);
        if cache > LONG_CACHE {
            self.found(
                Code::TokenBelievedLong,
                &at.key("cache"),
                "a token that is revoked at its issuer is taken for more than five minutes",
            );
        }
        let leeway_at = at.key("clock_leeway");
        let clock_leeway = self.span(&leeway_at, written.clock_leeway, defaults::CLOCK_LEEWAY, Duration::ZERO);
        if clock_leeway > MOST_LEEWAY {
            self.fault(&leeway_at, "is more than five minutes, for which an expired token would still be taken; write 5m or less, and set the clocks");
        }
        let least = Duration::from_millis(100);
        let timeout = self.span(&at.key("timeout"), written.timeout, defaults::BEARER_TIMEOUT, least);
        if kind == BearerKind::Jwt {
            let keys = self.key_source(at, name, written, timeout);
            let example = "what aud names: this service, as the issuer knows it";
            let audience = self.required_text(&at.key("audience"), written.audience.as_ref(), example);
            let algorithms = self.bearer_algorithms(&at.key("algorithms"), written.algorithms.as_ref());
            let typ = written.typ.unwrap_or_default();
            if typ == AccessTokenType::Any {
                self.untyped(at, audience, &scopes, client_ids);
            }
            let issuer = IssuerSettings {
                keys: keys?,
                audience: audience?.to_owned(),
                algorithms,
                scopes,
                typ,
                client_ids: client_ids.to_vec(),
                clock_leeway,
            };
            return Some(Kind::Jwt { issuer: Box::new(issuer), cache });
        }
        let url_at = at.key("url");
        let url = self.required_text(&url_at, written.url.as_ref(), "the issuer's introspection endpoint");
        let url = url.and_then(|url| self.service_url(&url_at, url, InTheClear::Refused));
        let client_id = self.required_text(&at.key("client_id"), written.client_id.as_ref(), "our client_id there");
        let secret_at = at.key("client_secret");
        let client_authentication = written.client_authentication.unwrap_or(ClientAuthentication::ClientSecretBasic);
        let client_secret = if client_authentication.uses_secret() || written.client_secret.is_some() {
            let secret = self.required(&secret_at, written.client_secret.as_ref(), "{env: NAME} or {file: PATH}");
            Some(secret.and_then(|secret| self.secret(&secret_at, secret)))
        } else {
            None
        };
        let client = WrittenClient {
            at,
            secret: client_secret.as_ref().and_then(Option::as_ref),
            has_secret: written.client_secret.is_some(),
            authentication: written.client_authentication,
            keys: written.client_keys.as_ref(),
            certificate: written.client_certificate.as_ref(),
        };
        let client_proof = self.client_proof(client_authentication, &client);
        let client_secret = match client_secret {
            Some(secret) => Some(secret?),
            None => None,
        };
        let audience = written.audience.as_ref();
        let audience = audience.and_then(|_| self.required_text(&at.key("audience"), audience, "what aud names"));
        if audience.is_none() && scopes.is_empty() {
            self.found(Code::TokenOfAnyService, at, "takes every token of the issuer's, whichever service it was issued for; write audience, or scopes that are this service's alone");
        }
        if written.client_authentication == Some(ClientAuthentication::None) {
            self.fault(
                &at.key("client_authentication"),
                "is nothing that an introspection endpoint answers to (RFC 7662 §2.1); write client_secret_basic, client_secret_post or private_key_jwt",
            );
        }
        let signed = self.signed_answers(at, name, written, timeout)?;
        let issuer = written.issuer.as_ref().and_then(|issuer| self.token_issuer(&at.key("issuer"), Some(issuer)));
        let endpoint = IntrospectionSettings {
            url: url?,
            client_id: client_id?.to_owned(),
            client_secret,
            client_authentication,
            client_proof,
            issuer,
            audience: audience.map(str::to_owned),
            scopes,
            signed,
            clock_leeway,
            timeout,
        };
        Some(Kind::Introspection { endpoint: Box::new(endpoint), cache })
    }

    /// What is dangerous where access tokens do not say that they are some.
    fn untyped(&mut self, at: &KeyPath, audience: Option<&str>, scopes: &[String], client_ids: &[String]) {
        if audience.is_some_and(|audience| client_ids.iter().any(|client| client == audience)) {
            self.fault(
                &at.key("audience"),
                "is a client_id of ours, which ID tokens name: with typ: any they could not be told from access tokens; have the issuer give this service an audience of its own",
            );
        }
        if scopes.is_empty() {
            self.found(Code::TokenTypeUnchecked, &at.key("typ"), "nothing but the marks that some issuers leave tells an ID token from an access token then; write scopes, which no ID token has, or better typ: at+jwt");
        }
    }

    /// Whose keys the answers of an introspection are signed with, where they are.
    #[expect(clippy::option_option, reason = "the outer one says that something is wrong")]
    fn signed_answers(
        &mut self,
        at: &KeyPath,
        name: &str,
        written: &Bearer,
        timeout: Duration,
    ) -> Option<Option<(KeySource, Vec<Algorithm>)>> {
        if written.signed == Some(true) {
            let keys = self.key_source(at, name, written, timeout);
            let algorithms = self.bearer_algorithms(&at.key("algorithms"), written.algorithms.as_ref());
            return Some(Some((keys?, algorithms)));
        }
        for (key, is_written) in
            [("jwks_uri", written.jwks_uri.is_some()), ("algorithms", written.algorithms.is_some())]
        {
            if is_written {
                self.fault(&at.key(key), "is for signed answers; write signed: true, or remove it");
            }
        }
        Some(None)
    }

    fn key_source(&mut self, at: &KeyPath, name: &str, written: &Bearer, timeout: Duration) -> Option<KeySource> {
        let issuer = self.token_issuer(&at.key("issuer"), written.issuer.as_ref());
        let jwks_uri: Option<Option<Url>> = match &written.jwks_uri {
            Some(text) => self.provider_url(&at.key("jwks_uri"), text).map(Some),
            None => Some(None),
        };
        Some(KeySource { name: name.to_owned(), issuer: issuer?, jwks_uri: jwks_uri?, timeout })
    }

    fn token_issuer(&mut self, at: &KeyPath, written: Option<&String>) -> Option<String> {
        let text = self.required_text(at, written, "the issuer, exactly as iss says it")?;
        let url = self.provider_url(at, text)?;
        if url.query().is_some() || url.fragment().is_some() {
            self.fault(at, "has a query or a fragment, which no issuer has");
            return None;
        }
        Some(text.to_owned())
    }

    fn bearer_algorithms(&mut self, at: &KeyPath, list: Option<&written::List<Algorithm>>) -> Vec<Algorithm> {
        let Some(list) = list else { return PINNED.to_vec() };
        if list.is_empty() {
            self.fault(at, "is empty; leave the key out for ES256 and RS256");
        }
        let algorithms: Vec<Algorithm> =
            self.items(at, Some(list)).into_iter().map(|(_, algorithm)| *algorithm).collect();
        if algorithms.contains(&Algorithm::HS256) {
            self.fault(at, "HS256 signs with a secret that the issuer would have to share with us; write the algorithms of its published keys");
        }
        algorithms
    }

    /// The rules of a route, by their index, and whether all that the route says fits to them.
    pub(super) fn route_bearer(
        &mut self,
        at: &KeyPath,
        route: &written::Route,
        credential: Option<&credentials::Kind>,
        bearers: &Bearers,
    ) -> Vec<usize> {
        let (bearer_at, access) = (at.key("bearer"), route.access.unwrap_or_default());
        let Some(OneOrMore(names)) = &route.bearer else {
            if access == Access::Bearer {
                self.fault(&bearer_at, "is missing; write the name of one of `bearer`, whose tokens may pass");
            }
            return Vec::new();
        };
        if access == Access::Public {
            self.fault(&bearer_at, "is for routes that not everybody may use; remove access: public");
        }
        if route.envelope.is_some() {
            self.fault(&at.key("envelope"), "is for people in a browser; give API clients a route of their own");
        }
        let is_brought = route.client_authorization == Some(ClientAuthorization::Keep)
            && credential.is_some_and(goes_where_bearers_are);
        if credential.is_some_and(|kind| !matches!(kind, credentials::Kind::Static { .. })) && !is_brought {
            self.fault(
                &at.key("credentials"),
                "are a person's, and an API client has no session: give API clients a route of their own, or write client_authorization: keep, by which their own token goes to the app",
            );
        }
        let mut indices: Vec<usize> = Vec::new();
        for name in names {
            let Some((_, index)) = bearers.names.iter().find(|(known, _)| known == name) else {
                if !self.is_excused(&KeyPath::root().key("bearer").key(name)) {
                    // Not repeated: somebody may have typed a key.
                    let hint = did_you_mean(name, bearers.names.iter().map(|(known, _)| known.as_str()));
                    self.fault(&bearer_at, format!("none of `bearer` has a name that is written here{hint}"));
                }
                continue;
            };
            let Some(index) = *index else { continue };
            if indices.contains(&index) {
                self.fault(&bearer_at, format!("{name} is there twice"));
            }
            indices.push(index);
        }
        let is_asked = |index: &&usize| {
            bearers.all.get(**index).is_some_and(|rule| matches!(rule.kind, Kind::Introspection { .. }))
        };
        if indices.iter().filter(is_asked).count() > 1 {
            self.fault(&bearer_at, "names two of kind: introspection, and each issuer would be shown the other's tokens; give each a route of its own");
        }
        indices
    }
}

/// Whether a credential goes into `Authorization` and nowhere else.
fn goes_where_bearers_are(kind: &credentials::Kind) -> bool {
    match kind {
        credentials::Kind::Static { header, .. } => *header == AUTHORIZATION,
        credentials::Kind::Token(templates) => {
            matches!(templates.as_slice(), [(header, _)] if *header == AUTHORIZATION)
        }
        credentials::Kind::Albert { .. } => true,
        credentials::Kind::Exchange { placement, .. } | credentials::Kind::Keys { placement, .. } => {
            placement.header == AUTHORIZATION
        }
    }
}
