//! The programs that are known by themselves: by a key of theirs, or by a certificate.

use super::Resolver;
use crate::bearer::{KnownBy, KnownCertificate, ServiceKey};
use crate::claims::Claims;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::until::Until;
use crate::config::written::{self, Bearer, OneOrMore};
use crate::web::client_certificate::AlternativeName;
use std::collections::BTreeMap;

/// Claims as they are written.
type Written = BTreeMap<String, Option<OneOrMore>>;

impl Resolver<'_> {
    pub(super) fn service_keys(&mut self, at: &KeyPath, written: &Bearer) -> Option<Vec<ServiceKey>> {
        let list = self.required(at, written.keys.as_ref(), "[{name: NAME, sha256: HASH}]")?;
        if list.is_empty() {
            self.fault(at, "is empty; write [{name: NAME, sha256: HASH}], as `vestibule keys service` prints it");
        }
        let mut keys: Vec<ServiceKey> = Vec::new();
        for (at, key) in self.items(at, Some(list)) {
            let known = keys.iter().map(|key| key.name.as_str());
            let name = self.program(&at, key.name.as_ref(), known);
            let hash_at = at.key("sha256");
            let hash = self.required(&hash_at, key.sha256.as_ref(), "the hash that `vestibule keys service` prints");
            let sha256 = hash.and_then(|hash| digest(hash));
            if hash.is_some() && sha256.is_none() {
                // Not repeated: somebody may have typed the key.
                self.fault(&hash_at, "is no SHA-256; write its 64 hexadecimal digits, as `vestibule keys service` prints them, and never the key itself");
            }
            if sha256.is_some_and(|sha256| keys.iter().any(|other| other.sha256 == sha256)) {
                self.fault(&hash_at, "is there twice; give each program a key of its own");
            }
            self.has_ended(&at.key("until"), key.until);
            let claims = name.map(|name| self.program_claims(&at.key("claims"), name, key.claims.as_ref()));
            if let (Some(name), Some(sha256), Some(claims)) = (name, sha256, claims) {
                keys.push(ServiceKey { name: name.to_owned(), sha256, claims, until: key.until.map(|until| until.0) });
            }
        }
        Some(keys)
    }

    pub(super) fn known_certificates(&mut self, at: &KeyPath, written: &Bearer) -> Option<Vec<KnownCertificate>> {
        const WRITE: &str = "[{name: NAME, sha256: FINGERPRINT}]";
        let list = self.required(at, written.certificates.as_ref(), WRITE)?;
        if list.is_empty() {
            self.fault(at, format!("is empty; write {WRITE}"));
        }
        let mut known: Vec<KnownCertificate> = Vec::new();
        for (at, certificate) in self.items(at, Some(list)) {
            let name = self.program(&at, certificate.name.as_ref(), known.iter().map(|known| known.name.as_str()));
            let by = self.known_by(&at, certificate);
            if by.as_ref().is_some_and(|by| known.iter().any(|other| other.by == *by)) {
                self.fault(&at, "is known by what another one is known by; give each program a certificate of its own");
            }
            self.has_ended(&at.key("until"), certificate.until);
            let claims = name.map(|name| self.program_claims(&at.key("claims"), name, certificate.claims.as_ref()));
            if let (Some(name), Some(by), Some(claims)) = (name, by, claims) {
                let until = certificate.until.map(|until| until.0);
                known.push(KnownCertificate { name: name.to_owned(), by, claims, until });
            }
        }
        Some(known)
    }

    fn known_by(&mut self, at: &KeyPath, written: &written::KnownCertificate) -> Option<KnownBy> {
        match (&written.sha256, &written.san) {
            (Some(fingerprint), None) => {
                let known = digest(&fingerprint.replace(':', ""));
                if known.is_none() {
                    self.fault(&at.key("sha256"), "is no SHA-256 fingerprint; write what `openssl x509 -noout -fingerprint -sha256` prints behind the =");
                }
                known.map(KnownBy::Sha256)
            }
            (None, Some(name)) => {
                let known = AlternativeName::parse(name);
                if known.is_none() {
                    self.fault(&at.key("san"), format!("{name:?} is no name of a program; write one as `openssl x509 -noout -ext subjectAltName` prints it, such as DNS:export.example.gouv.fr or URI:spiffe://example.gouv.fr/export, without a pattern"));
                }
                known.map(KnownBy::Name)
            }
            (Some(_), Some(_)) => {
                self.fault(at, "has both sha256 and san, and one would do nothing; keep the fingerprint for one certificate, the name for all that have it");
                None
            }
            (None, None) => {
                self.fault(at, "does not say by what it is known; write sha256, its fingerprint, or san, a name in it");
                None
            }
        }
    }

    /// The name of a program, which no other in the list has.
    fn program<'w, 'k>(
        &mut self,
        at: &KeyPath,
        written: Option<&'w String>,
        mut known: impl Iterator<Item = &'k str>,
    ) -> Option<&'w str> {
        let at = at.key("name");
        let name = self.required_text(&at, written, "the name of the program that has it")?;
        self.name(&at, name);
        if known.any(|other| other == name) {
            self.fault(&at, "is there twice; the log could not tell the two apart");
        }
        Some(name)
    }

    fn has_ended(&mut self, at: &KeyPath, until: Option<Until>) {
        if until.is_some_and(|until| self.environment.now() >= until.0) {
            self.found(Code::EntryEnded, at, "this one has ended; remove it from the list");
        }
    }

    fn program_claims(&mut self, at: &KeyPath, name: &str, written: Option<&Written>) -> Claims {
        let mut claims = serde_json::Map::new();
        claims.insert("sub".to_owned(), name.into());
        for (claim, value) in written.into_iter().flatten() {
            match value {
                Some(OneOrMore(values)) => {
                    let value = match values.as_slice() {
                        [one] => one.as_str().into(),
                        several => several.to_vec().into(),
                    };
                    claims.insert(claim.clone(), value);
                }
                None => self.fault(&at.key(claim), "is empty; write a text, or a list of them"),
            }
        }
        Claims::from_json(&claims)
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at: usize| text.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes?.try_into().ok()
}
