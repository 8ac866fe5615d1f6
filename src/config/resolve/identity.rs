//! Identity headers: which names may be set, with which templates, and which claims that takes.

use super::Resolver;
use crate::config::parse::listed;
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Headers, defaults};
use crate::gate::assertion;
use crate::gate::headers::{NAMED_SETS, Settings, fold, named_set};
use crate::gate::template::Template;
use crate::web::forwarded::speaks_of_origin;
use crate::web::public_url::PublicUrl;
use http::HeaderName;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Headers that mean something to HTTP, to the proxy or to the app's framing and origin checks.
/// An identity under one of these names would be taken for something else.
const RESERVED: [&str; 18] = [
    "host",
    "cookie",
    "set-cookie",
    "authorization",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "via",
    "origin",
    "referer",
    "range",
    "date",
    "accept",
    "http2-settings",
];

/// Families of them, and our own.
const RESERVED_PREFIXES: [&str; 7] =
    ["content-", "proxy-", "sec-", "if-", "accept-", "access-control-", "x-vestibule-"];

impl Resolver<'_> {
    pub(super) fn identity(
        &mut self,
        at: &KeyPath,
        written: Option<&written::Identity>,
        public_url: Option<&PublicUrl>,
    ) -> (Option<Settings>, Option<assertion::Settings>, Vec<String>) {
        let headers_at = at.key("headers");
        let headers = match written.and_then(|identity| identity.headers.as_ref()) {
            None => named_set(defaults::HEADERS),
            Some(Headers::Set(name)) => self.header_set(&headers_at, name),
            Some(Headers::Templates(named)) => Some(self.templates(&headers_at, named)),
        };
        let mut claims = BTreeSet::new();
        for (_, template) in headers.iter().flatten() {
            claims.extend(template.claims().map(str::to_owned));
        }
        for (at, claim) in self.items(&at.key("claims"), written.and_then(|identity| identity.claims.as_ref())) {
            self.is_claim_name(&at, claim);
            claims.insert(claim.clone());
        }
        let assertion_at = at.key("assertion");
        let assertion = written.and_then(|identity| identity.assertion.as_ref());
        let assertion = assertion.and_then(|written| self.assertion(&assertion_at, written, public_url));
        claims.extend(assertion.iter().flat_map(|assertion| assertion.claims.iter().cloned()));
        let header = assertion.as_ref().map(|assertion| assertion.header.clone());
        if let Some(header) = &header
            && headers.iter().flatten().any(|(name, _)| fold(name.as_str()) == fold(header.as_str()))
        {
            self.fault(&assertion_at.key("header"), "is one of identity.headers; choose another name");
        }
        // Every session has its subject apart.
        claims.remove("sub");
        let encoding = written.and_then(|identity| identity.encoding).unwrap_or_default();
        let headers = headers.map(|headers| Settings { headers, encoding, assertion: header });
        (headers, assertion, claims.into_iter().collect())
    }

    pub(super) fn is_claim_name(&mut self, at: &KeyPath, claim: &str) {
        if claim.is_empty() || claim.chars().any(|c| c.is_control() || c == ' ' || c == '{' || c == '}') {
            self.fault(at, format!("{claim:?} is no claim name; write one such as siret"));
        }
    }

    fn header_set(&mut self, at: &KeyPath, name: &str) -> Option<Vec<(HeaderName, Template)>> {
        // Looked up among the names first, so that a set is known in one spelling only.
        let set = NAMED_SETS.contains(&name).then(|| named_set(name)).flatten();
        if set.is_none() {
            let hint = did_you_mean(name, NAMED_SETS);
            let hint = if hint.is_empty() {
                format!("; write {}, or a mapping of your own", listed(&NAMED_SETS))
            } else {
                hint
            };
            self.fault(at, format!("no set of headers is named {name:?}{hint}"));
        }
        set
    }

    fn templates(&mut self, at: &KeyPath, named: &written::Named<String>) -> Vec<(HeaderName, Template)> {
        let mut headers = Vec::new();
        let mut seen: HashMap<Cow<'_, str>, &str> = HashMap::new();
        for (name, template) in named {
            let at = at.key(name);
            let header = self.header_name(&at, name);
            let twin = header.as_ref().and_then(|_| seen.insert(fold(name), name));
            if let Some(first) = twin {
                self.fault(&at, format!("is {first} in another spelling: apps may take them for one; remove one"));
            }
            let example = "a template, such as \"{email}\"";
            let Some(text) = self.required_text(&at, template.as_ref(), example) else { continue };
            match (header, Template::parse(text)) {
                (Some(header), Ok(template)) => headers.push((header, template)),
                (_, Err(bad)) => self.fault(&at, format!("{text:?}: {bad}")),
                (None, Ok(_)) => {}
            }
        }
        headers
    }

    pub(super) fn header_name(&mut self, at: &KeyPath, name: &str) -> Option<HeaderName> {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            self.fault(at, "is no header name; write letters, digits and hyphens, such as X-User");
            return None;
        };
        let folded = fold(name);
        let is_identity = NAMED_SETS
            .iter()
            .filter_map(|set| named_set(set))
            .flatten()
            .any(|(known, _)| known.as_str() == folded.as_ref());
        let reserved = RESERVED.contains(&&*folded)
            || RESERVED_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
            || (speaks_of_origin(&folded) && !is_identity);
        if reserved {
            self.fault(at, "means something else to HTTP or to the app; choose a name of your own, such as X-User");
            return None;
        }
        Some(header)
    }
}
