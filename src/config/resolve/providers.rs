//! The providers of a site: one, or several and what tells them apart.
//!
//! `provider` resolves each; what is here looks at all of them: their callbacks, the domains of their
//! people, and who names one of them elsewhere in the file. Must never leave two that a callback, a
//! session or an app could take for each other.

use super::Resolver;
use super::albert::is_domain;
use super::credentials::Book;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, OneOrMore, Preset, Written};
use crate::credentials;
use crate::gate;
use crate::oidc::Settings;
use crate::pages::{NamedProvider, ProviderKind};
use crate::web::domain::{DomainOwners, OwnedDomain};
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What comes of them.
pub(super) struct Providers {
    /// None where one is not right.
    pub(super) settings: Option<Vec<Settings>>,
    /// What people call them, where there are several.
    pub(super) named: Vec<NamedProvider>,
    pub(super) domain_owners: Arc<DomainOwners>,
}

/// The names of all providers.
fn names(written: &Written) -> Vec<&str> {
    written.providers.iter().flat_map(|named| named.keys()).map(String::as_str).collect()
}

fn are_several(written: &Written) -> bool {
    written.providers.as_ref().is_some_and(|named| named.len() > 1)
}

impl Resolver<'_> {
    /// Resolves them. The paths of their callbacks that are not ours already are added to `aliases`.
    pub(super) fn providers(
        &mut self,
        at: &KeyPath,
        written: &Written,
        ours: Option<(&PublicUrl, &Prefix)>,
        aliases: &mut Vec<(String, String)>,
    ) -> Providers {
        let example =
            "{proconnect: {preset: proconnect, environment: integration, client_id: …, client_secret: {file: …}}}";
        let mut providers = Providers { settings: None, named: Vec::new(), domain_owners: Arc::default() };
        let Some(named) = self.required(at, written.providers.as_ref(), example) else { return providers };
        if named.is_empty() {
            self.fault(at, format!("is empty; write {example}"));
            return providers;
        }
        let several = named.len() > 1;
        let (mut all, mut is_whole) = (Vec::new(), true);
        for (name, provider) in named {
            let at = at.key(name);
            self.name(&at, name);
            let Some(provider) = provider else {
                self.fault(&at, "is empty; write its preset, client_id and client_secret");
                is_whole = false;
                continue;
            };
            if several && matches!(name.as_str(), "." | "..") {
                self.fault(&at, "is no name for one of several, whose callback has it in its path");
            }
            let callback = self.callback(&at.key("callback"), name, provider, several, ours, aliases);
            let settings = self.provider(&at, name, provider, ours, callback.as_deref());
            is_whole &= settings.is_some();
            all.extend(settings);
            providers.named.push(self.named_provider(&at.key("label"), name, provider));
        }
        providers.domain_owners = Arc::new(self.domain_owners(at, named, several));
        if !several {
            providers.named.clear();
        }
        self.apart(at, &all);
        for settings in &mut all {
            settings.domain_owners = Arc::clone(&providers.domain_owners);
        }
        providers.settings = is_whole.then_some(all);
        providers
    }

    /// The path to which a provider returns, and its place among the aliases where it is none of ours.
    fn callback(
        &mut self,
        at: &KeyPath,
        name: &str,
        provider: &written::Provider,
        several: bool,
        ours: Option<(&PublicUrl, &Prefix)>,
        aliases: &mut Vec<(String, String)>,
    ) -> Option<String> {
        let own = KeyPath::root().key("aliases").key("callback");
        let alias = aliases.iter().find(|(_, endpoint)| endpoint == "callback").map(|(path, _)| path.clone());
        let (_, prefix) = ours?;
        let common = format!("{}/callback", prefix.as_str());
        let endpoint = if several { format!("callback/{name}") } else { "callback".to_owned() };
        if several && alias.is_some() && !self.faults.iter().any(|fault| fault.path == own) {
            self.fault(
                &own,
                "does not say of which of the providers; write it as `callback` of the one that has it registered",
            );
        }
        let Some(path) = &provider.callback else {
            return Some(alias.filter(|_| !several).unwrap_or(format!("{}/{endpoint}", prefix.as_str())));
        };
        if alias.is_some() && !several {
            self.fault(at, "is written as aliases.callback too; remove one of them");
        } else if !super::is_plain_path(path) {
            self.fault(at, format!("{path:?} is no plain path; write such as /oauth2/callback or /v1/auth/callback"));
        } else if *path != common && *path != format!("{}/{endpoint}", prefix.as_str()) {
            if prefix.holds(path) {
                self.fault(
                    at,
                    format!("{path:?} is below Vestibule's own prefix, where {common} is the one that may be chosen"),
                );
            } else if aliases.iter().any(|(other, _)| other == path) {
                self.fault(at, format!("{path:?} is the path of an alias, or of another provider's callback"));
            }
            aliases.push((path.clone(), endpoint));
        }
        Some(path.clone())
    }

    /// What people call a provider.
    fn named_provider(&mut self, at: &KeyPath, name: &str, provider: &written::Provider) -> NamedProvider {
        let is_proconnect = provider.preset == Some(Preset::ProConnect);
        let default = if is_proconnect { "ProConnect" } else { name };
        let label = self.words_for_people(at, provider.label.as_ref(), "what people call the provider");
        let (fr, en) = label.unwrap_or((default.to_owned(), default.to_owned()));
        let kind = if is_proconnect { ProviderKind::ProConnect } else { ProviderKind::Other };
        NamedProvider { name: name.to_owned(), fr, en, kind }
    }

    fn words_for_people(
        &mut self,
        at: &KeyPath,
        written: Option<&written::Who>,
        what: &str,
    ) -> Option<(String, String)> {
        let (fr, en) = match written? {
            written::Who::Either(text) => (text.clone(), text.clone()),
            written::Who::Both(both) => {
                let fr = self.required_text(&at.key("fr"), both.fr.as_ref(), &format!("{what}, in French"));
                let en = self.required_text(&at.key("en"), both.en.as_ref(), &format!("{what}, in English"));
                (fr?.to_owned(), en?.to_owned())
            }
        };
        if [&fr, &en].iter().any(|text| text.trim().is_empty() || text.chars().any(char::is_control)) {
            self.fault(at, format!("must be words on one line; write {what}"));
        }
        Some((fr.trim().to_owned(), en.trim().to_owned()))
    }

    /// Whose people have which domains: each is one provider's.
    fn domain_owners(
        &mut self,
        at: &KeyPath,
        named: &written::Named<written::Provider>,
        several: bool,
    ) -> DomainOwners {
        let mut owned: Vec<OwnedDomain> = Vec::new();
        for (name, provider) in named {
            let at = at.key(name).key("email_domains");
            let Some(OneOrMore(domains)) = provider.as_ref().and_then(|provider| provider.email_domains.as_ref())
            else {
                continue;
            };
            if !several {
                self.idle(&at, "does nothing: there is one provider, and everybody signs in there");
                continue;
            }
            for text in domains {
                let (and_below, domain) = match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
                    Some(above) => (true, above),
                    None => (false, text.as_str()),
                };
                if !is_domain(domain) {
                    self.fault(&at, format!("{text:?} is no domain; write such as example.gouv.fr, or .example.gouv.fr for all below it as well"));
                    continue;
                }
                let domain = domain.to_ascii_lowercase();
                match owned.iter_mut().find(|other| other.domain == domain) {
                    Some(other) if other.owner != *name => {
                        let whose = other.owner.clone();
                        self.fault(&at, format!("{domain:?} is a domain of providers.{whose} already: nobody could tell whose people they are"));
                    }
                    Some(other) => other.and_below |= and_below,
                    None => owned.push(OwnedDomain { domain, and_below, owner: name.clone() }),
                }
            }
        }
        DomainOwners::new(owned)
    }

    /// What two providers must not share.
    fn apart(&mut self, at: &KeyPath, all: &[Settings]) {
        let (mut callbacks, mut registrations) = (HashMap::new(), HashMap::new());
        for Settings { name, issuer, client_id, redirect_uri, .. } in all {
            let own = at.key(name);
            let first: &str = registrations.entry((issuer, client_id)).or_insert(name);
            if first != name {
                self.fault(
                    &own,
                    format!("is the registration of providers.{first} too: the same issuer and client_id; remove one of them"),
                );
            }
            let (first, callback): (&str, _) = (callbacks.entry(redirect_uri).or_insert(name), own.key("callback"));
            if first != name && !self.faults.iter().any(|fault| fault.path == callback) {
                self.fault(
                    &callback,
                    format!("is the callback of providers.{first} too; each has its own, so that no answer is taken for another one's"),
                );
            }
        }
    }

    /// The names of providers that are written elsewhere in the file.
    pub(super) fn providers_named(
        &mut self,
        at: &KeyPath,
        OneOrMore(wanted): &OneOrMore,
        written: &Written,
    ) -> Option<BTreeSet<String>> {
        let known = names(written);
        if wanted.is_empty() {
            self.fault(at, "is empty; write the name of one of the providers, or remove it");
            return None;
        }
        let mut named = Some(BTreeSet::new());
        for name in wanted {
            if known.contains(&name.as_str()) {
                if let Some(named) = &mut named {
                    named.insert(name.clone());
                }
            } else {
                if !self.is_excused(&KeyPath::root().key("providers")) {
                    let hint = did_you_mean(name, known.iter().copied());
                    self.fault(at, format!("no provider is named {name:?}{hint}"));
                }
                named = None;
            }
        }
        named
    }

    /// The providers whose people a route takes; none where it takes all that there are.
    pub(super) fn providers_of_route(
        &mut self,
        at: &KeyPath,
        route: &written::Route,
        written: &Written,
    ) -> Option<Arc<[String]>> {
        let Some(wanted) = &route.provider else { return Some(Arc::default()) };
        match route.access.unwrap_or_default() {
            gate::route::Access::SignedIn => {}
            gate::route::Access::Public => {
                self.fault(at, "is for routes that not everybody may use; remove access: public");
            }
            gate::route::Access::Bearer => self.fault(at, "says nothing where no session counts; remove it"),
        }
        let named = self.providers_named(at, wanted, written)?;
        Some(if are_several(written) { named.into_iter().collect() } else { Arc::default() })
    }

    /// The provider that an app signs in with which keeps a token itself.
    pub(super) fn provider_of_app(&mut self, at: &KeyPath, written: &Written) -> Option<String> {
        let endpoints = written.token_endpoints.as_ref()?;
        match &endpoints.provider {
            Some(name) => {
                self.providers_named(at, &OneOrMore(vec![name.clone()]), written)?;
                are_several(written).then(|| name.clone())
            }
            None => {
                if are_several(written) {
                    self.fault(
                        at,
                        format!(
                            "is missing; write which of the providers the app signs in with: {}",
                            names(written).join(", ")
                        ),
                    );
                }
                None
            }
        }
    }

    /// Whether a condition on `sub` says at which provider: elsewhere it is somebody else's.
    pub(super) fn subject_of_whom(&mut self, at: &KeyPath, condition: &written::Condition, written: &Written) {
        let by_claim = condition.claims.as_ref().is_some_and(|claims| claims.contains_key("sub"));
        if are_several(written) && condition.provider.is_none() {
            let message = "is a person of each of the providers; write `provider` beside it, which says whose is meant";
            if condition.sub.is_some() {
                self.fault(&at.key("sub"), message);
            }
            if by_claim {
                self.fault(&at.key("claims").key("sub"), message);
            }
        }
    }

    /// What makes one of two people, where they come from several providers.
    pub(super) fn people_of_several(
        &mut self,
        written: &Written,
        identity: Option<&gate::headers::Settings>,
        book: &Book,
    ) {
        if !are_several(written) {
            return;
        }
        let root = KeyPath::root();
        let headers = identity.iter().flat_map(|identity| &identity.headers);
        if headers.clone().any(|(_, template)| template.names_subject())
            && !headers.clone().any(|(_, template)| template.names_provider())
        {
            self.found(
                Code::Dangerous,
                &root.key("identity").key("headers"),
                "tell the app `sub` and not the provider, and each of several may have a person of the same: write {provider} into one as well",
            );
        }
        for credentials::Settings { name, kind } in &book.all {
            let at = root.key("credentials").key(name);
            match kind {
                credentials::Kind::Keys { settings, .. } if settings.claim == "sub" => {
                    self.fault(&at.key("claim"), "is a person of each of the providers; find keys by another claim");
                }
                credentials::Kind::Albert { .. } => {
                    self.found(Code::Dangerous, &at, "an account is found by its e-mail address, whichever provider says it: give each its email_domains, or name the provider on the routes");
                }
                _ => {}
            }
        }
        for name in names(written) {
            if written.bearer.as_ref().is_some_and(|bearer| bearer.contains_key(name)) {
                let message = format!(
                    "has the name of providers.{name}, and apps are told by it who vouches for somebody; choose another"
                );
                self.fault(&root.key("bearer").key(name), message);
            }
        }
    }
}
