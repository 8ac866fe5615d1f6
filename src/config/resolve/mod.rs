//! From what was written to what will run: the one function between them.
//!
//! Every part is resolved whatever is wrong with the others, so that all mistakes are known at
//! once; a [`Config`] exists only when there is none. Findings (dangerous or idle settings that
//! run) are noted on the way.

mod albert;
mod bearer;
mod browser;
mod circumstances;
mod client_authentication;
mod conditions;
mod credentials;
mod endpoints;
mod forward_auth;
mod identity;
mod licences;
mod network;
mod playground;
mod programs;
mod provider;
mod providers;
mod review;
mod routes;
mod rules;
mod secrets;
mod session;
mod signing;
mod store;
mod token_endpoints;

pub(super) use albert::is_domain;
pub(super) use network::network_of;
pub use session::is_key_name;

use super::environment::Environment;
use super::findings::Code;
use super::parse::Parsed;
use super::problem::{Fault, Finding, KeyPath};
use super::run::{Config, Pages, SigningKeys};
use super::scalar::Span;
use super::suggest::did_you_mean;
use super::written::{self, List, Preset, Written, defaults};
use crate::claims;
use crate::gate::route::{Route, Table};
use crate::seal::KeyMaterial;
use crate::server;
use crate::signing::SigningKey;
use crate::telemetry;
use crate::web;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use std::sync::Arc;
use std::time::Duration;

/// Resolves what was written.
///
/// # Errors
/// Every mistake, those of shape among them.
pub(super) fn resolve(parsed: Parsed<Written>, environment: &dyn Environment) -> Result<Config, Vec<Fault>> {
    let Parsed { read: written, faults, excused } = parsed;
    let mut resolver =
        Resolver { environment, faults, excused, findings: Vec::new(), signing: Vec::new(), routes: Vec::new() };
    let config = resolver.config(&written);
    let Resolver { faults, findings, .. } = resolver;
    match config {
        Some(mut config) if faults.is_empty() => {
            config.findings = findings;
            Ok(config)
        }
        _ => Err(faults),
    }
}

/// Resolves the session keys alone, which are read again while the program runs: by the same rules.
///
/// # Errors
/// Every mistake.
pub(super) fn resolve_keys(
    written: &List<written::SessionKey>,
    environment: &dyn Environment,
) -> Result<(Vec<KeyMaterial>, Vec<Finding>), Vec<Fault>> {
    let mut resolver = Resolver::reading(environment);
    let keys = resolver.session_keys(&KeyPath::root().key("session").key("keys"), Some(written));
    let Resolver { faults, findings, .. } = resolver;
    if faults.is_empty() { Ok((keys, findings)) } else { Err(faults) }
}

/// The same for the signing keys that are written at `at`.
///
/// # Errors
/// Every mistake.
pub(super) fn resolve_signing_keys(
    at: &KeyPath,
    written: &List<written::SigningKey>,
    environment: &dyn Environment,
) -> Result<(Vec<Arc<SigningKey>>, Vec<Finding>), Vec<Fault>> {
    let mut resolver = Resolver::reading(environment);
    let keys = resolver.signing_keys(at, Some(written));
    let Resolver { faults, findings, .. } = resolver;
    if faults.is_empty() { Ok((keys, findings)) } else { Err(faults) }
}

/// Collects what is wrong while the parts are resolved.
struct Resolver<'a> {
    environment: &'a dyn Environment,
    faults: Vec<Fault>,
    excused: Vec<KeyPath>,
    findings: Vec<Finding>,
    /// Every ring of signing keys that was made on the way.
    signing: Vec<SigningKeys>,
    /// The routes that are right, where they are written.
    routes: Vec<(KeyPath, Route)>,
}

impl<'a> Resolver<'a> {
    /// Resolves one part alone.
    fn reading(environment: &'a dyn Environment) -> Self {
        let (faults, excused, findings) = (Vec::new(), Vec::new(), Vec::new());
        Self { environment, faults, excused, findings, signing: Vec::new(), routes: Vec::new() }
    }
}

impl Resolver<'_> {
    /// Notes a mistake, unless the place is already known to be faulty.
    fn fault(&mut self, at: &KeyPath, message: impl Into<String>) {
        if !self.is_excused(at) {
            self.faults.push(Fault { path: at.clone(), message: message.into() });
        }
    }

    /// Notes a setting that runs but deserves a second look.
    fn found(&mut self, code: Code, at: &KeyPath, message: impl Into<String>) {
        let (path, message) = (at.clone(), message.into());
        self.findings.push(Finding { code, path, file: String::new(), line: None, message, is_idle: false });
    }

    /// Notes a setting that does nothing.
    fn idle(&mut self, at: &KeyPath, message: impl Into<String>) {
        self.found(Code::Idle, at, message);
        self.findings.last_mut().into_iter().for_each(|finding| finding.is_idle = true);
    }

    /// Whether a mistake at this place, or around it, is known.
    fn is_excused(&self, at: &KeyPath) -> bool {
        self.excused.iter().any(|faulty| faulty.covers(at))
    }

    /// A key that must be there. `write` says what to write.
    fn required<'w, T>(&mut self, at: &KeyPath, written: Option<&'w T>, write: &str) -> Option<&'w T> {
        if written.is_none() {
            self.fault(at, format!("is missing; write {write}"));
        }
        written
    }

    /// A text that must be there and not be blank.
    fn required_text<'w>(&mut self, at: &KeyPath, written: Option<&'w String>, write: &str) -> Option<&'w str> {
        let text = self.required(at, written, write)?;
        if text.trim().is_empty() {
            self.fault(at, format!("is empty; write {write}"));
            return None;
        }
        Some(text)
    }

    /// The items of a list with their places; empty ones are mistakes.
    fn items<'w, T>(&mut self, at: &KeyPath, list: Option<&'w List<T>>) -> Vec<(KeyPath, &'w T)> {
        let mut items = Vec::new();
        for (index, item) in list.into_iter().flatten().enumerate() {
            let at = at.item(index);
            match item {
                Some(item) => items.push((at, item)),
                None => self.fault(&at, "is empty; write a value or remove the item"),
            }
        }
        items
    }

    /// A length of time within limits.
    fn span(&mut self, at: &KeyPath, written: Option<Span>, default: Duration, least: Duration) -> Duration {
        let length = written.map_or(default, |span| span.0);
        if length < least {
            self.fault(at, format!("is too short; write {} or more", super::scalar::written_span(least)));
        }
        length
    }

    fn config(&mut self, written: &Written) -> Option<Config> {
        let root = KeyPath::root();
        let public_url = self.public_url(&root.key("public_url"), written.public_url.as_ref());
        let prefix = self.prefix(&root.key("prefix"), written.prefix.as_deref());
        let server = self.server(written, public_url.as_ref());
        let mut aliases = self.aliases(written, prefix.as_ref());
        let ours = public_url.as_ref().zip(prefix.as_ref());
        let mut providers = self.providers(&root.key("providers"), written, ours, &mut aliases);
        let (mut session, keys, key_files) = self.session(&root.key("session"), written);
        let mut cookies = self.all_cookies(written, public_url.as_ref());
        let mut login = self.sign_in(&root.key("sign_in"), written.sign_in.as_ref(), ours);
        login.domain_owners = Arc::clone(&providers.domain_owners);
        let cors = self.cors(&root.key("cors"), written.cors.as_ref());
        login.origins = self.trusted_origins(&root.key("csrf"), written.csrf.as_ref(), cors.as_ref());
        let forward_auth = self.forward_auth(&root.key("forward_auth"), written);
        let domain = cookies.as_ref().and_then(|cookies| cookies.domain.as_deref());
        let surroundings = routes::Surroundings {
            prefix: prefix.as_ref(),
            public_url: public_url.as_ref(),
            cookie_domain: domain,
            assertion: written.identity.as_ref().and_then(|identity| identity.assertion.as_ref()),
            seats: licences::are_needed(written),
        };
        let mut book = self.credentials(&root.key("credentials"), written);
        let bearers = self.bearers(&root.key("bearer"), written);
        let mut policies = self.policies(&root.key("policies"), written);
        let routes = self.routes(&root.key("routes"), written, &surroundings, &mut book, &bearers, &mut policies);
        self.idle_policies(&root.key("policies"), &policies);
        self.addresses(&policies, server.as_ref());
        let surroundings = token_endpoints::Surroundings {
            public_url: public_url.as_ref(),
            prefix: prefix.as_ref(),
            cors: cors.as_ref(),
            aliases: &aliases,
            routes: routes.as_ref(),
            keep: session.keep,
        };
        login.by_app = self.sign_in_by_app(written, &surroundings, &mut session, cookies.as_mut());
        let endpoints = self.albert_endpoints(&root.key("albert_endpoints"), written, &mut book);
        let (identity, assertion, mut kept_claims) =
            self.identity(&root.key("identity"), written.identity.as_ref(), public_url.as_ref());
        self.people_of_several(written, identity.as_ref(), &book);
        self.credentials_beside(identity.as_ref(), &book);
        kept_claims.extend(book.claims());
        kept_claims.extend(routes.iter().flat_map(Table::iter).flat_map(|route| route.rules.claims()));
        let store = self.store(&root.key("store"), written.store.as_ref());
        let licensing = self.licensing(written, session.lifetime, store.as_ref());
        kept_claims.extend(licensing.claims());
        let kept_claims = kept(kept_claims, forward_auth.is_some());
        let on_store_down = self.on_store_down(&root.key("on_store_down"), written);
        let pages =
            Pages { providers: std::mem::take(&mut providers.named), ..self.pages(&root.key("pages"), written) };
        let telemetry = self.log(&root.key("log"), written.log.as_ref());
        let together = review::Together {
            table: routes.as_ref(),
            public_url: public_url.as_ref(),
            providers: providers.settings.as_deref().unwrap_or_default(),
            aliases: &aliases,
            credentials: &book.all,
            licences: &licensing.licences,
            cors: cors.as_ref(),
            cookies: cookies.as_ref(),
            origins: &login.origins,
        };
        self.together(written, &together);
        let server = server.map(|server| server::Settings { forward_auth, aliases, cors, ..server });
        let providers = providers.settings.map(|all| asked_for_age(all, &session));
        Some(Config {
            site: None,
            other_sites: Vec::new(),
            public_url: public_url?,
            prefix: prefix?,
            server: server?,
            providers: providers?,
            session,
            keys,
            key_files,
            list_files: policies.lists,
            cookies: cookies?,
            login,
            sign_out_answer: sign_out_answer(written),
            routes: routes?,
            playground: server::PlaygroundSettings { envelopes: book.envelopes, endpoints },
            credentials: book.all,
            bearers: bearers.all,
            seats: licensing.settings,
            licences: licensing.licences.into_iter().map(|(_, licence)| licence).collect(),
            identity: identity?,
            assertion,
            signing: std::mem::take(&mut self.signing),
            kept_claims,
            store: store?,
            on_store_down,
            pages,
            telemetry,
            findings: Vec::new(),
            written: serde_yaml::Value::Null,
            accepted: Vec::new(),
            acceptances: self.acceptances(&root.key("accept"), written),
        })
    }

    /// How cookies are set, that of the token which scripts repeat among them.
    fn all_cookies(&mut self, written: &Written, public_url: Option<&PublicUrl>) -> Option<web::cookies::Settings> {
        let root = KeyPath::root();
        let cookies = self.cookies(&root.key("cookies"), written.cookies.as_ref(), public_url);
        let request_token = self.request_token(&root.key("csrf").key("token"), written.csrf.as_ref());
        cookies.map(|cookies| web::cookies::Settings { request_token, ..cookies })
    }

    /// How apps sign people in themselves, and what that asks of sessions and cookies.
    fn sign_in_by_app(
        &mut self,
        written: &Written,
        surroundings: &token_endpoints::Surroundings<'_>,
        session: &mut crate::session::Settings,
        cookies: Option<&mut web::cookies::Settings>,
    ) -> Option<crate::login::ByApp> {
        let at = KeyPath::root().key("token_endpoints");
        let (mut by_app, lifetime) = self.token_endpoints(&at, written, surroundings)?;
        by_app.provider = self.provider_of_app(&at.key("provider"), written);
        session.access_token = Some(lifetime);
        if let Some(cookies) = cookies {
            cookies.scripts_sign_in = !by_app.is_cookieless;
        }
        Some(by_app)
    }

    fn public_url(&mut self, at: &KeyPath, written: Option<&String>) -> Option<PublicUrl> {
        let hint = "the address that browsers use, such as https://app.example.gouv.fr";
        let text = self.required_text(at, written, hint)?;
        let parsed = PublicUrl::parse(text);
        // The text is not repeated: a URL may hold a password.
        parsed.map_err(|bad| self.fault(at, format!("{bad}; write {hint}"))).ok()
    }

    fn prefix(&mut self, at: &KeyPath, written: Option<&str>) -> Option<Prefix> {
        let text = written.unwrap_or(defaults::PREFIX);
        let parsed = Prefix::parse(text);
        parsed.map_err(|bad| self.fault(at, format!("{text:?} {bad}, with no final slash"))).ok()
    }

    fn pages(&mut self, at: &KeyPath, written: &Written) -> Pages {
        let mut line = |key: &str, text: Option<&String>| {
            let text = text?.trim();
            if text.is_empty() || text.chars().any(char::is_control) {
                self.fault(&at.key(key), "must be words on one line; leave the key out to say nothing");
            }
            Some(text.to_owned())
        };
        let pages = written.pages.as_ref();
        let application = line("application", pages.and_then(|pages| pages.application.as_ref()));
        let contact = line("contact", pages.and_then(|pages| pages.contact.as_ref()));
        let mut providers = written.providers.iter().flat_map(|named| named.values().flatten()).peekable();
        let proconnect =
            providers.peek().is_some() && providers.all(|provider| provider.preset == Some(Preset::ProConnect));
        Pages { application, contact, proconnect, providers: Vec::new() }
    }

    fn log(&mut self, at: &KeyPath, written: Option<&written::Log>) -> telemetry::Settings {
        let at = at.key("level");
        let level = written.and_then(|log| log.level.as_deref()).unwrap_or(defaults::LEVEL);
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        for directive in level.split(',') {
            // tracing takes an unknown word for the name of a part and logs all of it: not here.
            let (part, level) =
                directive.rsplit_once('=').map_or((None, directive), |(part, level)| (Some(part), level));
            let known = levels.contains(&level.trim());
            let plain = |part: &str| {
                !part.trim().is_empty()
                    && part.trim().chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'))
            };
            if !known || !part.is_none_or(plain) {
                let hint = did_you_mean(level.trim(), levels);
                let message = format!("{directive:?} is not one of {}{hint}", super::parse::listed(&levels));
                self.fault(&at, message);
            } else if matches!(level.trim(), "debug" | "trace") {
                self.found(
                    Code::LogVerbose,
                    &at,
                    format!("{} logs much about each request: not for everyday use", level.trim()),
                );
            }
        }
        let format = written.and_then(|log| log.format).unwrap_or_default();
        telemetry::Settings { format, level: level.to_owned() }
    }
}

/// What a script is answered that signs a person out.
fn sign_out_answer(written: &Written) -> serde_json::Value {
    let answer = written.sign_out.as_ref().and_then(|sign_out| sign_out.answer.as_ref());
    answer.map_or_else(|| serde_json::json!({"signed_out": true}), |answer| serde_json::json!(answer))
}

/// The providers, asked for a recent sign-in where sessions want one.
fn asked_for_age(
    mut providers: Vec<crate::oidc::Settings>,
    session: &crate::session::Settings,
) -> Vec<crate::oidc::Settings> {
    if let Some(age) = session.sign_in_age {
        for provider in &mut providers {
            provider.parameters.push(("max_age".to_owned(), age.as_secs().to_string()));
        }
    }
    providers
}

/// What sessions keep of these claims: each once, and without the subject, which they have apart.
fn kept(mut kept: Vec<String>, front_proxies_ask: bool) -> Vec<String> {
    kept.retain(|claim| claim != "sub");
    if front_proxies_ask {
        // What a question may ask of a session (`allowed_groups`, `allowed_emails`).
        kept.extend(claims::GROUPS.into_iter().chain(["email"]).map(str::to_owned));
    }
    kept.sort();
    kept.dedup();
    kept
}

/// Whether this is an absolute path of one or more plain segments: nothing in it that could be
/// written in two ways.
fn is_plain_path(text: &str) -> bool {
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~'))
    };
    text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_can_be_written_in_one_way_only() {
        for good in ["/oauth2", "/a/b", "/_v.1~x-y"] {
            assert!(is_plain_path(good), "{good}");
        }
        for bad in [
            "", "/", "oauth2", "/oauth2/", "//a", "/a//b", "/a/../b", "/.", "/%61", "/a b", "/é", "/a?b", "/a;b", "/a*",
        ] {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }
}
