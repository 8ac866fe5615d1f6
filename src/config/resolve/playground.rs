//! What opens the playgrounds of 2025: envelopes, and the paths that Albert API itself had.
//!
//! Called by `routes` for the envelopes, by the front page for the rest.

use super::Resolver;
use super::albert::is_domain;
use super::credentials::Book;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written::{self, Written, defaults};
use crate::credentials::Kind;
use crate::credentials::envelope::{Envelope, PLACEHOLDER};
use crate::secret::ExposeSecret;
use crate::server::{EnvelopeSettings, PlaygroundEndpoints};
use crate::web::allowed_domains::AllowedDomains;
use std::time::Duration;

impl Resolver<'_> {
    /// The envelope of a route, by its index among all.
    pub(super) fn envelope(&mut self, at: &KeyPath, written: &written::Envelope, book: &mut Book) -> Option<usize> {
        let credentials_at = at.key("credentials");
        let example = "the name of the credentials of kind: albert";
        let name = self.required_text(&credentials_at, written.credentials.as_ref(), example).map(str::to_owned);
        let credential = name.and_then(|name| self.named(&credentials_at, &name, book));
        if let Some(index) = credential
            && !matches!(book.kind_of(index), Some(Kind::Albert { .. }))
        {
            self.fault(&credentials_at, "is not of kind: albert, and only such keys go into an envelope");
        }
        let key_at = at.key("key");
        let key = self.required(&key_at, written.key.as_ref(), "{env: NAME} or {file: PATH}");
        let key = key.and_then(|key| self.secret(&key_at, key));
        let derivation = written.derivation.unwrap_or_default();
        if key.as_ref().is_some_and(|key| key.expose_secret() == PLACEHOLDER) {
            self.found(
                Code::SecretPlaceholder,
                &key_at,
                "is the placeholder of the example configurations: everybody can make envelopes with it",
            );
        }
        let envelope = key
            .and_then(|key| Envelope::new(&key, derivation).map_err(|bad| self.fault(&key_at, bad.to_string())).ok());
        let ttl = self.span(&at.key("ttl"), written.ttl, defaults::ENVELOPE_TTL, Duration::from_secs(5));
        book.envelopes.push(EnvelopeSettings { credential: credential?, envelope: envelope?, ttl });
        Some(book.envelopes.len() - 1)
    }

    /// Albert API's own paths.
    pub(super) fn albert_endpoints(
        &mut self,
        at: &KeyPath,
        written: &Written,
        book: &mut Book,
    ) -> Option<PlaygroundEndpoints> {
        let endpoints = written.albert_endpoints.as_ref()?;
        let envelope = match &endpoints.envelope {
            Some(envelope) => self.envelope(&at.key("envelope"), envelope, book),
            None if book.envelopes.is_empty() => {
                self.fault(
                    &at.key("envelope"),
                    "is missing, and no route has one; write {credentials: NAME, key: {env: NAME}}",
                );
                None
            }
            None => Some(0),
        };
        let at = at.key("allowed_domains");
        let list = self.required(&at, endpoints.allowed_domains.as_ref(), "[playground.example.gouv.fr]")?;
        if list.is_empty() {
            self.fault(&at, "is empty, so that no sign-in could return anywhere; write [playground.example.gouv.fr]");
        }
        let mut domains = Vec::new();
        for (at, domain) in self.items(&at, Some(list)) {
            if !is_domain(domain) {
                self.fault(&at, format!("{domain:?} is no host or domain; write such as playground.example.gouv.fr"));
            } else if domain.split('.').count() < 3 && domain != "localhost" {
                self.found(
                    Code::EnvelopeDomainWide,
                    &at,
                    "everybody's key can be sent to every host below this domain; name the hosts that are meant",
                );
            }
            domains.push(domain.clone());
        }
        Some(PlaygroundEndpoints { allowed_domains: AllowedDomains::new(domains), envelope: envelope? })
    }
}
