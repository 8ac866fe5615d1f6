//! Who may enter: policies by name, and what routes ask.

use super::Resolver;
use crate::config::list_files::ListFiles;
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Asked, Conditions, Written};
use crate::gate::route::Access;
use crate::gate::rules::{Compiler, Condition, Rule, Rules, Who};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All policies, and which of them are in use.
#[derive(Default)]
pub(super) struct Policies {
    /// By name; those that are not right hold nobody.
    all: BTreeMap<String, Option<Policy>>,
    used: BTreeSet<String>,
    /// What stands in files.
    pub(super) lists: ListFiles,
    /// Where the first rule is that looks at the client's address.
    pub(super) by_address: Option<KeyPath>,
    pub(super) compiler: Compiler,
}

#[derive(Clone)]
pub(super) struct Policy {
    pub(super) condition: Condition,
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

    pub(super) fn named_policy(
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
