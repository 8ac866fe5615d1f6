//! Findings that are accepted, and what helps to find a mistake.

use super::Resolver;
use crate::config::findings::{Acceptance, Code};
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Written};
use ipnet::IpNet;
use std::net::IpAddr;

impl Resolver<'_> {
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
    pub(super) fn decision_header(&mut self, at: &KeyPath, written: Option<&written::Debug>) -> Vec<IpNet> {
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
