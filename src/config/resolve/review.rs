//! What parts do together, findings that are accepted, and what helps to find a mistake.

use super::Resolver;
use crate::config::findings::{self, Acceptance, Code, Linted};
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Preset, Written};
use crate::gate::route::Table;
use crate::seats::Licence;
use crate::web::cookies::{self, SameSite};
use crate::web::cors;
use crate::web::public_url::PublicUrl;
use crate::{credentials, oidc};
use ipnet::IpNet;
use std::net::IpAddr;

/// What is looked at together once each part is resolved; none of those that are not right.
pub(super) struct Together<'a> {
    pub(super) table: Option<&'a Table>,
    pub(super) public_url: Option<&'a PublicUrl>,
    pub(super) providers: &'a [oidc::Settings],
    pub(super) aliases: &'a [(String, String)],
    pub(super) credentials: &'a [credentials::Settings],
    pub(super) licences: &'a [(KeyPath, Licence)],
    pub(super) cors: Option<&'a cors::Settings>,
    pub(super) cookies: Option<&'a cookies::Settings>,
    pub(super) origins: &'a [PublicUrl],
}

impl Resolver<'_> {
    /// Notes what parts that are right by themselves do together.
    pub(super) fn together(&mut self, written: &Written, parts: &Together<'_>) {
        let same_site = parts.cookies.map(|cookies| cookies.same_site).unwrap_or_default();
        if same_site == SameSite::None && parts.origins.is_empty() {
            let at = KeyPath::root().key("cookies").key("same_site");
            self.idle(&at, "does nothing: no other origin is in cors or csrf");
        }
        let (Some(table), Some(public_url), false) = (parts.table, parts.public_url, parts.providers.is_empty()) else {
            return;
        };
        // Whose claims and levels people have.
        let preset = |name: &str| {
            let written = written.providers.as_ref().and_then(|named| named.get(name)?.as_ref());
            written.and_then(|provider| provider.preset).unwrap_or(Preset::Generic)
        };
        let linted = Linted {
            routes: &std::mem::take(&mut self.routes),
            table,
            public_url,
            aliases: parts.aliases,
            providers: parts.providers.iter().map(|provider| (provider, preset(&provider.name))).collect(),
            credentials: parts.credentials,
            licences: parts.licences,
            cors: parts.cors,
            same_site,
        };
        for found in findings::lint(&linted) {
            self.found(found.code, &found.path, found.message);
        }
    }

    pub(super) fn acceptances(&mut self, at: &KeyPath, written: &Written) -> Vec<Acceptance> {
        let mut acceptances = Vec::new();
        for (path, accept) in self.items(at, written.accept.as_ref()) {
            let finding_at = path.key("finding");
            let name = self.required_text(&finding_at, accept.finding.as_ref(), "the name that check says in brackets");
            let because = self.required_text(&path.key("because"), accept.because.as_ref(), "why it is meant");
            let code = name.and_then(|name| {
                let code = Code::named(name).filter(|code| *code != Code::AcceptsNothing);
                if code.is_none() {
                    let hint = did_you_mean(name, Code::ALL.iter().map(|code| code.name()));
                    self.fault(
                        &finding_at,
                        format!("no finding is named {name:?}{hint}; docs/findings.md has them all"),
                    );
                }
                code
            });
            if code == Some(Code::Dangerous) && accept.at.is_none() {
                self.fault(
                    &path.key("at"),
                    "is missing; write the key that this one is about, for there are several by this name",
                );
            }
            if let (Some(code), Some(because)) = (code, because) {
                acceptances.push(Acceptance { path, code, at: accept.at.clone(), because: because.to_owned() });
            }
        }
        acceptances
    }

    /// The networks whose clients are told what decided.
    pub(super) fn decision_header(&mut self, written: Option<&written::Debug>) -> Vec<IpNet> {
        let at = &KeyPath::root().key("debug").key("decision_header");
        let mut networks = Vec::new();
        let list = written.and_then(|debug| debug.decision_header.as_ref());
        for (at, text) in self.items(at, list) {
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            match network {
                Some(network) if network.prefix_len() == 0 => {
                    self.fault(&at, "is everybody; write the addresses of those who look for the mistake");
                }
                Some(network) => networks.push(network.trunc()),
                None => self.fault(
                    &at,
                    format!("{text:?} is no address and no network; write such as 192.0.2.7 or 10.1.2.0/24"),
                ),
            }
        }
        if !networks.is_empty() {
            self.found(
                Code::DecisionHeader,
                at,
                "clients there are told which route and rules decided: for as long as a mistake is looked for",
            );
        }
        networks
    }
}
