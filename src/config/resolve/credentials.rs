//! Credentials for upstreams: each by its kind. Albert API's is in `albert`.

use super::Resolver;
use super::client_authentication::WrittenClient;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Chosen, Credential, Kind, Written, defaults};
use crate::credentials;
use crate::credentials::{Placement, Settings, TokenTemplate, key_book};
use crate::gate;
use crate::gate::headers::TOKEN_HEADERS;
use crate::oidc::{ExchangeEndpoint, SubjectToken, Wanted};
use crate::server::EnvelopeSettings;
use crate::web::header::fold;
use http::HeaderName;
use http::header::AUTHORIZATION;
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;
use url::Url;

/// All credentials: those with names first, in the order of their names.
pub(super) struct Book {
    pub(super) all: Vec<Settings>,
    pub(super) envelopes: Vec<EnvelopeSettings>,
    /// All names that are written; those that are not right have no index.
    names: Vec<(String, Option<usize>)>,
    /// Where each of `all` is written.
    places: Vec<KeyPath>,
}

impl Book {
    /// The claims that credentials need.
    pub(super) fn claims(&self) -> impl Iterator<Item = String> {
        self.all.iter().flat_map(|settings| match &settings.kind {
            credentials::Kind::Albert { settings, .. } => settings.claims().into_iter().collect(),
            credentials::Kind::Keys { settings, .. } => vec![settings.claim.clone()],
            _ => Vec::new(),
        })
    }

    fn named(&self, name: &str) -> Option<&(String, Option<usize>)> {
        self.names.iter().find(|(known, _)| known == name)
    }

    pub(super) fn kind_of(&self, index: usize) -> Option<&credentials::Kind> {
        self.all.get(index).map(|settings| &settings.kind)
    }
}

/// The keys that belong to a kind.
fn keys_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Static => &["secret", "header"],
        Kind::Token => &["token", "headers"],
        Kind::Albert => &[
            "url",
            "admin_key",
            "version",
            "role",
            "organization",
            "rules",
            "mint",
            "key_name",
            "key_lifetime",
            "timeout",
        ],
        Kind::Exchange => &["header", "audience", "resource", "scope", "subject", "requested_token_type", "endpoint"],
        Kind::Keys => &["header", "claim", "file", "url", "secret", "fold_case", "timeout"],
    }
}

/// The keys that are written, `kind` aside.
fn written_keys(written: &Credential) -> Vec<&'static str> {
    let keys = [
        ("secret", written.secret.is_some()),
        ("header", written.header.is_some()),
        ("token", written.token.is_some()),
        ("headers", written.headers.is_some()),
        ("url", written.url.is_some()),
        ("admin_key", written.admin_key.is_some()),
        ("version", written.version.is_some()),
        ("role", written.role.is_some()),
        ("organization", written.organization.is_some()),
        ("rules", written.rules.is_some()),
        ("mint", written.mint.is_some()),
        ("key_name", written.key_name.is_some()),
        ("key_lifetime", written.key_lifetime.is_some()),
        ("audience", written.audience.is_some()),
        ("resource", written.resource.is_some()),
        ("scope", written.scope.is_some()),
        ("subject", written.subject.is_some()),
        ("requested_token_type", written.requested_token_type.is_some()),
        ("endpoint", written.endpoint.is_some()),
        ("claim", written.claim.is_some()),
        ("file", written.file.is_some()),
        ("fold_case", written.fold_case.is_some()),
        ("timeout", written.timeout.is_some()),
    ];
    keys.into_iter().filter(|(_, is_written)| *is_written).map(|(key, _)| key).collect()
}

impl Resolver<'_> {
    pub(super) fn credentials(&mut self, at: &KeyPath, written: &Written) -> Book {
        let mut book = Book { all: Vec::new(), envelopes: Vec::new(), names: Vec::new(), places: Vec::new() };
        for (name, credential) in written.credentials.iter().flatten() {
            let at = at.key(name);
            self.name(&at, name);
            if name == "none" {
                self.fault(&at, "is the word for no credentials; choose another name");
            }
            if credential.is_none() {
                self.fault(&at, "is empty; write its kind, such as {kind: token}");
            }
            let kind = credential.as_ref().and_then(|credential| self.credential(&at, name, credential));
            let index = kind.map(|kind| {
                book.all.push(Settings { name: name.clone(), kind });
                book.places.push(at);
                book.all.len() - 1
            });
            book.names.push((name.clone(), index));
        }
        book
    }

    /// The credential of a route or an upstream, by its index in the book. One that is written here
    /// is put into it.
    pub(super) fn chosen(&mut self, at: &KeyPath, chosen: &Chosen, book: &mut Book) -> Option<usize> {
        match chosen {
            Chosen::Named(name) => self.named(at, name, book),
            Chosen::Here(credential) => {
                // Named after its place, in logs.
                let name = at.to_string();
                let kind = self.credential(at, &name, credential)?;
                book.all.push(Settings { name, kind });
                book.places.push(at.clone());
                Some(book.all.len() - 1)
            }
        }
    }

    /// No credential goes into a header that says who the person is: one of the two would be lost.
    pub(super) fn credentials_beside(&mut self, identity: Option<&gate::headers::Settings>, book: &Book) {
        let identity: Vec<&HeaderName> = identity
            .into_iter()
            .flat_map(|settings| settings.headers.iter().map(|(name, _)| name).chain(&settings.assertion))
            .collect();
        for (settings, at) in book.all.iter().zip(&book.places) {
            let headers: Vec<&HeaderName> = match &settings.kind {
                credentials::Kind::Token(templates) => templates.iter().map(|(name, _)| name).collect(),
                credentials::Kind::Static { header, .. } => vec![header],
                credentials::Kind::Exchange { placement, .. } | credentials::Kind::Keys { placement, .. } => {
                    vec![&placement.header]
                }
                credentials::Kind::Albert { .. } => Vec::new(),
            };
            for header in headers {
                if identity.iter().any(|other| fold(other.as_str()) == fold(header.as_str())) {
                    self.fault(
                        at,
                        format!("goes into {header}, which is one of the headers of identity; choose another name"),
                    );
                }
            }
        }
    }

    fn credential(&mut self, at: &KeyPath, name: &str, written: &Credential) -> Option<credentials::Kind> {
        let kinds = "one of static, token, albert, exchange, keys";
        let kind = *self.required(&at.key("kind"), written.kind.as_ref(), kinds)?;
        for key in written_keys(written).into_iter().filter(|key| !keys_of(kind).contains(key)) {
            let word = format!("{kind:?}").to_ascii_lowercase();
            self.fault(&at.key(key), format!("is not for kind: {word}; remove it"));
        }
        match kind {
            Kind::Static => {
                let placement = self.placement(at, written);
                let secret_at = at.key("secret");
                let secret = self.required(&secret_at, written.secret.as_ref(), "{env: NAME} or {file: PATH}")?;
                let (secret, placement) = (self.secret(&secret_at, secret), placement?);
                let value = placement.value(&secret?);
                if value.is_none() {
                    self.fault(&secret_at, "holds a character that no header can have");
                }
                Some(credentials::Kind::Static { header: placement.header, value: value? })
            }
            Kind::Token => self.token_headers(at, written).map(credentials::Kind::Token),
            Kind::Albert => {
                let settings = self.albert(at, name, written);
                let key_name = self.key_name(&at.key("key_name"), written.key_name.as_ref());
                Some(credentials::Kind::Albert {
                    settings: settings?,
                    mint: written.mint.unwrap_or_default(),
                    key_name,
                })
            }
            Kind::Exchange => {
                let placement = self.placement(at, written);
                let endpoint = match &written.endpoint {
                    Some(endpoint) => Some(self.exchange_endpoint(&at.key("endpoint"), endpoint)?),
                    None => None,
                };
                let wanted = Wanted {
                    endpoint,
                    audience: self.text(&at.key("audience"), written.audience.as_ref()),
                    resource: self.text(&at.key("resource"), written.resource.as_ref()),
                    scope: self.text(&at.key("scope"), written.scope.as_ref()),
                    subject: written.subject.unwrap_or_default(),
                    requested_token_type: written.requested_token_type,
                };
                Some(credentials::Kind::Exchange { wanted, placement: placement? })
            }
            Kind::Keys => {
                let placement = self.placement(at, written);
                let settings = self.key_book(at, name, written);
                Some(credentials::Kind::Keys { settings: settings?, placement: placement? })
            }
        }
    }

    /// A text that says something, where it is written.
    fn text(&mut self, at: &KeyPath, written: Option<&String>) -> Option<String> {
        let text = written?;
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            self.fault(at, "must be words on one line; leave the key out to say nothing");
        }
        Some(text.trim().to_owned())
    }

    fn placement(&mut self, at: &KeyPath, written: &Credential) -> Option<Placement> {
        match &written.header {
            Some(header) => self.credential_header(&at.key("header"), header).map(Placement::of),
            None => Some(Placement::default()),
        }
    }

    /// `Authorization`, one that is known for tokens, or a header that means nothing else to anybody.
    fn credential_header(&mut self, at: &KeyPath, name: &str) -> Option<HeaderName> {
        if name.eq_ignore_ascii_case("authorization") {
            return Some(AUTHORIZATION);
        }
        let known = TOKEN_HEADERS.into_iter().find(|known| name.eq_ignore_ascii_case(known));
        known.map(HeaderName::from_static).or_else(|| self.header_name(at, name))
    }

    fn token_headers(&mut self, at: &KeyPath, written: &Credential) -> Option<Vec<(HeaderName, TokenTemplate)>> {
        let Some(named) = &written.headers else {
            let template = match written.token.unwrap_or_default() {
                SubjectToken::AccessToken => "Bearer {access_token}",
                SubjectToken::IdToken => "Bearer {id_token}",
            };
            return TokenTemplate::parse(template).ok().map(|template| vec![(AUTHORIZATION, template)]);
        };
        let at = at.key("headers");
        if written.token.is_some() {
            self.fault(&at, "is written beside `token`; keep one of the two");
        }
        if named.is_empty() {
            self.fault(&at, "is empty; write {X-Forwarded-Id-Token: \"Bearer {id_token}\"}, or leave the key out");
        }
        let mut headers = Vec::new();
        let mut seen: HashMap<Cow<'_, str>, &str> = HashMap::new();
        for (name, template) in named {
            let at = at.key(name);
            let header = self.credential_header(&at, name);
            let twin = header.as_ref().and_then(|_| seen.insert(fold(name), name));
            if let Some(first) = twin {
                self.fault(&at, format!("is {first} in another spelling: apps may take them for one; remove one"));
            }
            let example = "a template, such as \"Bearer {id_token}\"";
            let Some(text) = self.required_text(&at, template.as_ref(), example) else { continue };
            match (header, TokenTemplate::parse(text)) {
                (Some(header), Ok(template)) => headers.push((header, template)),
                // The text is not repeated: somebody may have typed a token.
                (_, Err(bad)) => self.fault(&at, bad.to_string()),
                (None, Ok(_)) => {}
            }
        }
        Some(headers)
    }

    fn exchange_endpoint(&mut self, at: &KeyPath, written: &written::ExchangeEndpoint) -> Option<ExchangeEndpoint> {
        let url_at = at.key("url");
        let url = self.required_text(&url_at, written.url.as_ref(), "where tokens are exchanged");
        let url = url.and_then(|url| self.service_url(&url_at, url, InTheClear::Refused));
        let example = "our client_id there";
        let client_id =
            self.required_text(&at.key("client_id"), written.client_id.as_ref(), example).map(str::to_owned);
        let client_secret =
            written.client_secret.as_ref().and_then(|secret| self.secret(&at.key("client_secret"), secret));
        let client = WrittenClient {
            at,
            secret: client_secret.as_ref(),
            has_secret: written.client_secret.is_some(),
            authentication: written.client_authentication,
            keys: written.client_keys.as_ref(),
            certificate: written.client_certificate.as_ref(),
        };
        let (client_authentication, client_proof) = self.client_authentication(&client);
        Some(ExchangeEndpoint { url: url?, client_id: client_id?, client_secret, client_authentication, client_proof })
    }

    fn key_book(&mut self, at: &KeyPath, name: &str, written: &Credential) -> Option<key_book::Settings> {
        let claim = self.required_text(&at.key("claim"), written.claim.as_ref(), "the claim to look up, such as siret");
        let claim = claim.map(str::to_owned);
        let timeout =
            self.span(&at.key("timeout"), written.timeout, defaults::CREDENTIAL_TIMEOUT, Duration::from_millis(100));
        let source = match (&written.file, &written.url) {
            (Some(file), None) => {
                if written.secret.is_some() {
                    self.fault(&at.key("secret"), "is for an endpoint, and this is a file; remove it");
                }
                Some(key_book::Source::File(file.clone()))
            }
            (None, Some(url)) => {
                let secret = written.secret.as_ref().map(|secret| self.secret(&at.key("secret"), secret));
                let url = self.service_url(&at.key("url"), url, InTheClear::Noted)?;
                let bearer = match secret {
                    Some(secret) => Some(secret?),
                    None => None,
                };
                Some(key_book::Source::Http(key_book::Endpoint { url, bearer, timeout }))
            }
            (Some(_), Some(_)) => {
                self.fault(&at.key("url"), "is written beside `file`; keep one of the two");
                None
            }
            (None, None) => {
                self.fault(at, "does not say where the keys are; write file: PATH or url: https://…");
                None
            }
        };
        let fold_case = written.fold_case.unwrap_or(false);
        Some(key_book::Settings { name: name.to_owned(), claim: claim?, source: source?, fold_case })
    }

    /// The address of a service that is given secrets.
    pub(super) fn service_url(&mut self, at: &KeyPath, text: &str, in_the_clear: InTheClear) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let Some(url) = url else {
            // Not repeated: it may hold a password.
            self.fault(at, "is no address of a service; write such as https://api.example.gouv.fr, without user, query or fragment");
            return None;
        };
        let is_loopback = match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() == "http" && !is_loopback {
            match in_the_clear {
                InTheClear::Noted => {
                    self.found(
                        Code::CredentialInClear,
                        at,
                        "keys go over the network in the clear; write https, unless the network is yours alone",
                    );
                }
                InTheClear::Refused => {
                    self.fault(at, "is not https, and tokens would go over the network in the clear");
                }
            }
        }
        Some(url)
    }

    /// The index of credentials by their name. The text is not repeated where there are none of
    /// it: somebody may have typed a key.
    pub(super) fn named(&mut self, at: &KeyPath, name: &str, book: &Book) -> Option<usize> {
        let Some((_, index)) = book.named(name) else {
            if !self.is_excused(&KeyPath::root().key("credentials").key(name)) {
                let hint = did_you_mean(name, book.names.iter().map(|(known, _)| known.as_str()));
                self.fault(at, format!("no credentials have the name that is written here{hint}"));
            }
            return None;
        };
        *index
    }
}

/// Whether a service may be spoken to in the clear beyond this machine.
#[derive(Clone, Copy)]
pub(super) enum InTheClear {
    Noted,
    Refused,
}
