//! Signing keys, and the signed assertion that they are for.
//!
//! `identity` and `provider` call it, and whatever reads the keys of a running program again. Must
//! never take one key for two purposes, nor let an assertion be mistaken for what a provider asks.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::key_files::SigningKeyFiles;
use crate::config::problem::KeyPath;
use crate::config::run::SigningKeys;
use crate::config::written::{self, List};
use crate::gate::assertion;
use crate::gate::headers::fold;
use crate::signing::{Purpose, SigningKey, SigningRing};
use crate::web::public_url::PublicUrl;
use http::HeaderName;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Seconds are what claims count in.
const LEAST: Duration = Duration::from_secs(1);

impl Resolver<'_> {
    /// Every key, the one that signs first. Also what rereads the keys of a program that runs.
    pub(super) fn signing_keys(
        &mut self,
        list_at: &KeyPath,
        written: Option<&List<written::SigningKey>>,
    ) -> Vec<Arc<SigningKey>> {
        if written.is_none_or(Vec::is_empty) {
            let write = "[{key: {file: /run/secrets/signing-key.pem}}]";
            self.fault(list_at, format!("is missing; write {write}, with a key from `vestibule keys signing`"));
        }
        let mut keys: Vec<Arc<SigningKey>> = Vec::new();
        let mut places: HashMap<String, KeyPath> = HashMap::new();
        for (at, item) in self.items(list_at, written) {
            if let Some(until) = item.until {
                let at_until = at.key("until");
                if at == list_at.item(0) {
                    let message =
                        "the first key signs, so it has no end; put a new key in front of it, or remove until";
                    self.fault(&at_until, message);
                } else if self.environment.now() >= until.0 {
                    let since = until.0.date_and_time();
                    self.found(
                        Code::EntryEnded,
                        &at_until,
                        format!("this key is not published since {since}; remove it from the list"),
                    );
                }
            }
            let key_at = at.key("key");
            let Some(source) = self.required(&key_at, item.key.as_ref(), "{file: PATH} or {env: NAME}") else {
                continue;
            };
            let Some(pem) = self.secret_text(&key_at, source) else { continue };
            match SigningKey::from_pem(&pem, item.until.map(|until| until.0)) {
                Ok(key) => {
                    if let Some(first) = places.insert(key.kid().to_owned(), at.clone()) {
                        self.fault(&key_at, format!("is the same key as that of {first}; every key is there once"));
                    }
                    keys.push(Arc::new(key));
                }
                Err(bad) => self.fault(&key_at, bad.to_string()),
            }
        }
        keys
    }

    /// A ring of these keys, noted for those that publish it and read its files again.
    pub(super) fn signing_ring(
        &mut self,
        at: &KeyPath,
        purpose: Purpose,
        written: Option<&List<written::SigningKey>>,
    ) -> Option<Arc<SigningRing>> {
        let keys = self.signing_keys(at, written);
        let before = self.signing.iter().map(|keys| &keys.ring);
        let taken: Vec<String> = before.flat_map(|ring| ring.kids()).collect();
        for key in &keys {
            if taken.iter().any(|kid| kid == key.kid()) {
                self.fault(at, "holds a key that signs something else as well; each purpose has keys of its own");
            }
        }
        let ring = Arc::new(SigningRing::new(purpose, keys)?);
        let files = SigningKeyFiles::of(at.clone(), written, self.environment);
        self.signing.push(SigningKeys { ring: Arc::clone(&ring), files });
        Some(ring)
    }

    pub(super) fn assertion(
        &mut self,
        at: &KeyPath,
        written: &written::Assertion,
        public_url: Option<&PublicUrl>,
    ) -> Option<assertion::Settings> {
        let ring = self.signing_ring(&at.key("keys"), Purpose::Assertion, written.keys.as_ref());
        let header_at = at.key("header");
        let header = match written.header.as_deref() {
            None => Some(assertion::HEADER),
            Some(name) if fold(name) == assertion::HEADER.as_str() => Some(assertion::HEADER),
            Some(name) => self.header_name(&header_at, name).filter(|header| self.is_no_name(&header_at, header)),
        };
        let lifetime_at = at.key("lifetime");
        let lifetime = self.span(&lifetime_at, written.lifetime, assertion::LIFETIME, LEAST);
        if lifetime > assertion::LONGEST {
            self.fault(
                &lifetime_at,
                "is longer than a minute, for which whoever finds one could use it; write 60s or less",
            );
        }
        if !lifetime.as_millis().is_multiple_of(1000) {
            self.fault(&lifetime_at, "is no number of whole seconds");
        }
        let audience_at = at.key("audience");
        if written.audience.is_some() {
            self.required_text(&audience_at, written.audience.as_ref(), "the name that the app knows itself by");
        }
        let mut claims = vec!["email".to_owned()];
        if let Some(list) = &written.claims {
            claims.clear();
            for (at, claim) in self.items(&at.key("claims"), Some(list)) {
                if assertion::RESERVED.contains(&claim.as_str()) {
                    self.fault(&at, format!("{claim:?} is the assertion's own; it says the right thing without this"));
                } else if claims.contains(claim) {
                    self.fault(&at, format!("{claim:?} is there twice"));
                } else {
                    self.is_claim_name(&at, claim);
                    claims.push(claim.clone());
                }
            }
        }
        let issuer = public_url?.origin().to_owned();
        Some(assertion::Settings { ring: ring?, header: header?, issuer, lifetime, claims })
    }

    /// Whether a header is not one in which apps look for a name or an address.
    fn is_no_name(&mut self, at: &KeyPath, header: &HeaderName) -> bool {
        let names = crate::gate::headers::NAMED_SETS.iter().filter_map(|set| crate::gate::headers::named_set(set));
        let is_name =
            names.flatten().any(|(known, _)| known == *header) || header.as_str().starts_with("x-auth-request-");
        if is_name {
            self.fault(at, "is where apps look for a name or an address; choose another, such as X-App-Assertion");
        }
        !is_name
    }
}
