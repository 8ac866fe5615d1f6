//! Who may enter: policies by name, and what routes ask.

use super::Resolver;
use super::albert::is_domain;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::scalar::Span;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Asked, ClaimTest, Conditions, OneOrMore, Written};
use crate::gate::route::Access;
use crate::gate::rules::{Condition, Domains, Number, Rule, Rules, Subject, Test, Who};
use crate::oidc::at_least;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The least that can be asked of how recent a proof is: one that has just been given is this old.
const SHORTEST_AGE: Duration = Duration::from_secs(60);

/// All policies, and which of them are in use.
#[derive(Default)]
pub(super) struct Policies {
    /// By name; those that are not right hold nobody.
    all: BTreeMap<String, Option<Policy>>,
    used: BTreeSet<String>,
}

#[derive(Clone)]
struct Policy {
    condition: Condition,
    who: Option<Arc<Who>>,
}

impl Resolver<'_> {
    /// Resolves each policy, those that it names before it.
    pub(super) fn policies(&mut self, at: &KeyPath, written: &Written) -> Policies {
        let mut policies = Policies::default();
        let named = written.policies.iter().flatten();
        for (name, _) in named {
            self.name(&at.key(name), name);
            self.policy(at, name, written, &mut policies, &mut Vec::new());
        }
        policies
    }

    fn policy(
        &mut self,
        at: &KeyPath,
        name: &str,
        written: &Written,
        policies: &mut Policies,
        within: &mut Vec<String>,
    ) -> Option<Policy> {
        if let Some(known) = policies.all.get(name) {
            return known.clone();
        }
        let own = at.key(name);
        let condition = written.policies.as_ref().and_then(|named| named.get(name))?;
        if within.iter().any(|outer| outer == name) {
            self.fault(&own, "asks for itself, by way of the policies that it names");
            return None;
        }
        within.push(name.to_owned());
        let policy = match condition {
            Some(condition) => {
                let resolved = self.condition(&own, condition, written, policies, within);
                let who = self.who(&own.key("who"), condition.who.as_ref());
                resolved.map(|condition| Policy { condition, who })
            }
            None => {
                self.fault(&own, "is empty; write a condition, such as {email_domain: example.gouv.fr}");
                None
            }
        };
        within.pop();
        policies.all.insert(name.to_owned(), policy.clone());
        policy
    }

    /// The rules of a route.
    pub(super) fn rules(
        &mut self,
        at: &KeyPath,
        route: &written::Route,
        written: &Written,
        policies: &mut Policies,
    ) -> Option<Rules> {
        let lists = [("require", &route.require), ("allow", &route.allow), ("deny", &route.deny)];
        let mut resolved = lists.map(|(key, list)| {
            let at = at.key(key);
            if list.is_some() && route.access == Some(Access::Public) {
                self.fault(&at, "is for routes that not everybody may use; remove access: public");
            }
            list.as_ref().map_or(Some(Vec::new()), |list| self.references(&at, list, written, policies))
        });
        let [require, allow, deny] = &mut resolved;
        Some(Rules { require: require.take()?, allow: allow.take()?, deny: deny.take()? })
    }

    fn references(
        &mut self,
        at: &KeyPath,
        conditions: &Conditions,
        written: &Written,
        policies: &mut Policies,
    ) -> Option<Vec<Rule>> {
        let asked = match conditions {
            Conditions::One(asked) => vec![(at.clone(), asked)],
            Conditions::Several(list) => {
                if list.is_empty() {
                    self.fault(
                        at,
                        "is empty; write a condition, such as {email_domain: example.gouv.fr}, or remove it",
                    );
                }
                self.items(at, Some(list))
            }
        };
        let mut rules = Some(Vec::new());
        for (item_at, reference) in asked {
            let rule = match reference {
                Asked::Named(name) => {
                    let policy = self.named_policy(&item_at, name, written, policies, &mut Vec::new());
                    policy.map(|Policy { condition, who }| Rule { name: name.as_str().into(), condition, who })
                }
                Asked::Here(condition) => {
                    let who = self.who(&item_at.key("who"), condition.who.as_ref());
                    let condition = self.condition(&item_at, condition, written, policies, &mut Vec::new());
                    condition.map(|condition| Rule { name: item_at.to_string().into(), condition, who })
                }
            };
            // One that is not right leaves no rules at all, not fewer.
            rules = rules.zip(rule).map(|(mut rules, rule)| {
                rules.push(rule);
                rules
            });
        }
        rules
    }

    fn named_policy(
        &mut self,
        at: &KeyPath,
        name: &str,
        written: &Written,
        policies: &mut Policies,
        within: &mut Vec<String>,
    ) -> Option<Policy> {
        policies.used.insert(name.to_owned());
        let root = KeyPath::root().key("policies");
        let names = || written.policies.iter().flat_map(BTreeMap::keys).map(String::as_str);
        if !names().any(|known| known == name) {
            if !self.is_excused(&root) {
                let hint = did_you_mean(name, names());
                self.fault(at, format!("no policy is named {name:?}{hint}"));
            }
            return None;
        }
        self.policy(&root, name, written, policies, within)
    }

    /// Policies that are written and that nothing names.
    pub(super) fn idle_policies(&mut self, at: &KeyPath, policies: &Policies) {
        for name in policies.all.keys().filter(|name| !policies.used.contains(*name)) {
            self.idle(&at.key(name), "no route asks for it");
        }
    }

    fn condition(
        &mut self,
        at: &KeyPath,
        condition: &written::Condition,
        written: &Written,
        policies: &mut Policies,
        within: &mut Vec<String>,
    ) -> Option<Condition> {
        let mut all = Some(Vec::new());
        let mut and = |part: Option<Condition>| {
            all = all.take().zip(part).map(|(mut all, part)| {
                all.push(part);
                all
            });
        };
        let claim = |name: &str| Subject::Claim(name.to_owned());
        for (key, values, subject) in [
            ("sub", &condition.sub, claim("sub")),
            ("roles", &condition.roles, claim("roles")),
            ("groups", &condition.groups, Subject::Groups),
            ("idp_id", &condition.idp_id, claim("idp_id")),
            ("siret", &condition.siret, claim("siret")),
            ("siren", &condition.siren, Subject::Siren),
            ("amr", &condition.amr, claim("amr")),
        ] {
            if let Some(values) = values {
                and(self.one_of(&at.key(key), values).map(|test| Condition::Is(subject, test)));
            }
        }
        self.subject_of_whom(at, condition, written);
        if let Some(values) = &condition.provider {
            let names = self.providers_named(&at.key("provider"), values, written);
            and(names.map(|names| Condition::Is(Subject::Provider, Test::OneOf(Arc::new(names.into_iter().collect())))));
        }
        if let Some(values) = &condition.email {
            and(Some(self.emails(&at.key("email"), values)));
        }
        if let Some(values) = &condition.email_domain {
            and(Some(self.email_domains(&at.key("email_domain"), values)));
        }
        if let Some(OneOrMore(levels)) = &condition.acr {
            let with_higher = levels.iter().flat_map(|level| at_least(level)).map(str::to_owned).collect();
            and(Some(Condition::Is(claim("acr"), Test::OneOf(Arc::new(with_higher)))));
        }
        if let Some(Span(age)) = condition.max_age {
            if age < SHORTEST_AGE {
                self.fault(&at.key("max_age"), "is less than a minute, in which nobody gets here from the provider");
            }
            and(Some(Condition::MaxAge(age)));
        }
        for (name, test) in condition.claims.iter().flatten() {
            let at = at.key("claims").key(name);
            match test {
                Some(test) => and(self.claim(&at, name, test)),
                None => self.fault(&at, "is empty; write the value that it must have"),
            }
        }
        for (key, list) in [("all", &condition.all), ("any", &condition.any), ("none", &condition.none)] {
            let Some(list) = list else { continue };
            let at = at.key(key);
            if list.is_empty() {
                self.fault(&at, "is empty; write a condition, or remove it");
            }
            let mut parts = Some(Vec::new());
            for (at, reference) in self.items(&at, Some(list)) {
                let part = match reference {
                    Asked::Named(name) => {
                        self.named_policy(&at, name, written, policies, within).map(|policy| policy.condition)
                    }
                    Asked::Here(condition) => self.condition(&at, condition, written, policies, within),
                };
                parts = parts.zip(part).map(|(mut parts, part)| {
                    parts.push(part);
                    parts
                });
            }
            and(parts.map(match key {
                "all" => Condition::All,
                "any" => Condition::Any,
                _ => Condition::None,
            }));
        }
        let mut all = all?;
        // A key that cannot be read, or is not known, is a mistake of its own.
        let is_faulty = self.excused.iter().any(|faulty| at.covers(faulty));
        if all.is_empty() && !is_faulty {
            self.fault(at, "says nothing, and would hold for everybody; write a condition, such as {email_domain: example.gouv.fr}");
        }
        Some(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
    }

    fn one_of(&mut self, at: &KeyPath, OneOrMore(values): &OneOrMore) -> Option<Test> {
        if values.iter().any(|value| value.trim().is_empty()) {
            self.fault(at, "holds an empty text, which nobody has; remove it");
            return None;
        }
        Some(Test::OneOf(Arc::new(values.iter().cloned().collect())))
    }

    fn emails(&mut self, at: &KeyPath, OneOrMore(addresses): &OneOrMore) -> Condition {
        let mut folded = HashSet::new();
        for address in addresses {
            if crate::web::domain::of_email(address).is_none_or(|domain| !is_domain(domain)) || address.starts_with('@')
            {
                self.fault(
                    at,
                    format!("{address:?} is no e-mail address; write such as helene.moreau@example.gouv.fr"),
                );
            }
            folded.insert(address.to_ascii_lowercase());
        }
        Condition::Is(Subject::Email, Test::OneOf(Arc::new(folded)))
    }

    fn email_domains(&mut self, at: &KeyPath, OneOrMore(written): &OneOrMore) -> Condition {
        let mut domains = Domains::default();
        for text in written {
            let (set, domain) = match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
                Some(above) => (&mut domains.below, above),
                None => (&mut domains.exactly, text.as_str()),
            };
            if !is_domain(domain) {
                self.fault(at, format!("{text:?} is no domain; write such as example.gouv.fr, or .example.gouv.fr for all below it as well"));
            } else if !domain.contains('.') && text.starts_with(['.', '*']) {
                self.found(
                    Code::DomainOfEverybody,
                    at,
                    format!("{text:?} is a whole top-level domain: everybody with an address there"),
                );
            }
            set.insert(domain.to_ascii_lowercase());
        }
        Condition::Is(Subject::EmailDomain, Test::Domain(Arc::new(domains)))
    }

    fn claim(&mut self, at: &KeyPath, name: &str, test: &ClaimTest) -> Option<Condition> {
        if name.is_empty() || name.chars().any(|c| c.is_control() || c == ' ') {
            self.fault(at, "is no claim name; write one such as organizational_unit, or custom.unit for what is below");
        }
        let is = |test| Condition::Is(Subject::Claim(name.to_owned()), test);
        let tests = match test {
            ClaimTest::Values(values) => return self.one_of(at, values).map(is),
            ClaimTest::Tests(tests) => tests,
        };
        let mut all = Vec::new();
        if let Some(values) = &tests.one_of {
            all.push(is(self.one_of(&at.key("one_of"), values)?));
        }
        if let Some(values) = &tests.all_of {
            self.one_of(&at.key("all_of"), values)?;
            all.push(is(Test::AllOf(values.0.clone())));
        }
        if let Some(values) = &tests.none_of {
            // Of somebody who has no such claim nothing is known.
            all.push(is(Test::Present));
            all.push(Condition::None(vec![is(self.one_of(&at.key("none_of"), values)?)]));
        }
        if let Some(OneOrMore(values)) = &tests.prefix {
            if values.iter().any(String::is_empty) {
                self.fault(&at.key("prefix"), "is empty, and everything begins with that; write present: true");
            }
            all.push(is(Test::Prefix(values.clone())));
        }
        for (key, bound, test) in [
            ("at_least", tests.at_least, Test::AtLeast as fn(Number) -> Test),
            ("at_most", tests.at_most, Test::AtMost),
        ] {
            if let Some(bound) = bound {
                if !bound.is_finite() {
                    self.fault(&at.key(key), "is no number that anything could be compared with");
                    return None;
                }
                all.push(is(test(Number(bound))));
            }
        }
        match tests.present {
            Some(true) => all.push(is(Test::Present)),
            Some(false) => all.push(Condition::None(vec![is(Test::Present)])),
            None => {}
        }
        // What cannot be read is a mistake of its own.
        if all.is_empty() && self.excused.iter().any(|faulty| at.covers(faulty)) {
            return None;
        }
        if all.is_empty() {
            self.fault(at, "says nothing; write a value, or a test such as {at_least: 3} or {present: true}");
            return None;
        }
        Some(if all.len() == 1 { all.remove(0) } else { Condition::All(all) })
    }

    fn who(&mut self, at: &KeyPath, written: Option<&written::Who>) -> Option<Arc<Who>> {
        let who = match written? {
            written::Who::Either(text) => Who { fr: text.clone(), en: text.clone() },
            written::Who::Both(both) => {
                let fr = self.required_text(&at.key("fr"), both.fr.as_ref(), "who may enter, in French");
                let en = self.required_text(&at.key("en"), both.en.as_ref(), "who may enter, in English");
                Who { fr: fr?.to_owned(), en: en?.to_owned() }
            }
        };
        if who.fr.trim().is_empty() {
            self.fault(at, "is empty; write who may enter, or remove it");
        }
        Some(Arc::new(who))
    }
}
