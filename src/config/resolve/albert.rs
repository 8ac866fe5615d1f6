//! Credentials of Albert API: where it is, and who gets what there.
//!
//! Called by `credentials`, for each of `kind: albert`.

use super::Resolver;
use super::credentials::InTheClear;
use crate::config::problem::KeyPath;
use crate::config::written::{Credential, Reference, defaults};
use crate::credentials::albert::{self, Condition, Grant, Otherwise, Then};
use std::time::Duration;

impl Resolver<'_> {
    pub(super) fn albert(&mut self, at: &KeyPath, name: &str, written: &Credential) -> Option<albert::Settings> {
        let url_at = at.key("url");
        let url = self.required_text(&url_at, written.url.as_ref(), "where the API is, such as http://127.0.0.1:8000");
        let url = url.and_then(|url| self.service_url(&url_at, url, InTheClear::Noted));
        let key_at = at.key("admin_key");
        let admin_key = self.required(&key_at, written.admin_key.as_ref(), "{env: NAME} or {file: PATH}");
        let admin_key = admin_key.and_then(|key| self.secret(&key_at, key));
        let rules = self.albert_rules(&at.key("rules"), written);
        if written.role.is_none() && rules.is_empty() {
            self.fault(&at.key("role"), "is missing; write the role that new accounts get, by name or id");
        }
        let otherwise = match &written.role {
            Some(role) => Otherwise::Grant(Grant {
                role: Some(reference(role)),
                organization: written.organization.as_ref().map(reference),
            }),
            None => Otherwise::Refuse,
        };
        let timeout =
            self.span(&at.key("timeout"), written.timeout, defaults::CREDENTIAL_TIMEOUT, Duration::from_millis(100));
        let key_lifetime = written
            .key_lifetime
            .map(|span| self.span(&at.key("key_lifetime"), Some(span), span.0, Duration::from_secs(60)));
        Some(albert::Settings {
            name: name.to_owned(),
            url: url?.as_str().trim_end_matches('/').to_owned(),
            admin_key: admin_key?,
            version: written.version,
            rules,
            otherwise,
            key_lifetime,
            timeout,
        })
    }

    fn albert_rules(&mut self, at: &KeyPath, written: &Credential) -> Vec<albert::Rule> {
        let mut rules = Vec::new();
        for (at, rule) in self.items(at, written.rules.as_ref()) {
            let when_at = at.key("when");
            let example = "the claims that it is for, such as {roles: agent_public_etat}";
            let Some(conditions) = self.required(&when_at, rule.when.as_ref(), example) else { continue };
            if conditions.is_empty() {
                self.fault(
                    &when_at,
                    format!("is empty; write {example}, or the key `role` beside `rules` for everybody else"),
                );
            }
            let mut when = Vec::new();
            for (claim, values) in conditions {
                let at = when_at.key(claim);
                match values {
                    Some(values) if claim == "email_domain" => {
                        for domain in &values.0 {
                            if !is_domain(domain) {
                                self.fault(&at, format!("{domain:?} is no domain; write such as example.gouv.fr"));
                            }
                        }
                        when.push(Condition::EmailDomain(values.0.clone()));
                    }
                    Some(values) => when.push(Condition::Claim { name: claim.clone(), values: values.0.clone() }),
                    None => self.fault(&at, "is empty; write the value that it must have"),
                }
            }
            let refuse = rule.refuse.unwrap_or(false);
            if refuse && (rule.role.is_some() || rule.organization.is_some()) {
                self.fault(&at.key("refuse"), "is written beside a role or an organisation; keep one of the two");
            }
            let is_known = ["role", "organization", "refuse"].iter().any(|key| self.is_excused(&at.key(key)));
            if !refuse && rule.role.is_none() && rule.organization.is_none() && !is_known {
                self.fault(&at, "does not say what they get; write role, organization or refuse: true");
            }
            let then = if refuse {
                Then::Refuse
            } else {
                Then::Grant(Grant {
                    role: rule.role.as_ref().map(reference),
                    organization: rule.organization.as_ref().map(reference),
                })
            };
            rules.push(albert::Rule { when, then });
        }
        rules
    }

    pub(super) fn key_name(&mut self, at: &KeyPath, written: Option<&String>) -> Option<String> {
        let name = written?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            self.fault(
                at,
                format!("{name:?} is no name for a key; write letters, digits, dots, hyphens or underscores"),
            );
        }
        Some(name.clone())
    }
}

fn reference(written: &Reference) -> albert::Reference {
    match written {
        Reference::Id(id) => albert::Reference::Id(*id),
        Reference::Name(name) => albert::Reference::Name(name.clone()),
    }
}

/// Whether a text is the name of a host or of a domain, and of one alone.
pub(in crate::config) fn is_domain(text: &str) -> bool {
    matches!(url::Host::parse(text), Ok(url::Host::Domain(domain)) if domain == text.to_ascii_lowercase() && !text.ends_with('.') && !text.contains('*'))
}
