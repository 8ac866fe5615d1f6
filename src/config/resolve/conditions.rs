//! Conditions: what has to hold of somebody, by what is known of them.
//!
//! `rules` asks for each condition of a policy or a route; what is not about the person, but about
//! where and when they ask, is in `circumstances`.

use super::Resolver;
use super::rules::Policies;
use crate::config::findings::Code;
use crate::config::list_files::{Kind, ListFiles, values};
use crate::config::problem::KeyPath;
use crate::config::scalar::Span;
use crate::config::written::{self, Asked, ClaimTest, List, OneOrMore, Values, Written};
use crate::gate::rules::{Condition, Listed, Number, Subject, Test};
use std::collections::HashSet;
use std::time::Duration;

/// The least that can be asked of how recent a proof is: one that has just been given is this old.
const SHORTEST_AGE: Duration = Duration::from_secs(60);

impl Resolver<'_> {
    pub(super) fn condition(
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
        for (key, values, subject, kind) in [
            ("sub", &condition.sub, claim("sub"), Kind::Text),
            ("roles", &condition.roles, claim("roles"), Kind::Text),
            ("groups", &condition.groups, Subject::Groups, Kind::Text),
            ("idp_id", &condition.idp_id, claim("idp_id"), Kind::Text),
            ("siret", &condition.siret, claim("siret"), Kind::Text),
            ("siren", &condition.siren, Subject::Siren, Kind::Text),
            ("amr", &condition.amr, claim("amr"), Kind::Text),
            ("acr", &condition.acr, claim("acr"), Kind::Level),
            ("email", &condition.email, Subject::Email, Kind::Email),
        ] {
            if let Some(values) = values {
                let listed = self.listed(&at.key(key), kind, values, &mut policies.lists);
                and(listed.map(|listed| Condition::Is(subject, Test::OneOf(listed))));
            }
        }
        self.subject_of_whom(at, condition, written);
        if let Some(values) = &condition.provider {
            let names = self.providers_named(&at.key("provider"), values, written);
            let names = names.map(|names| Listed::here(names.into_iter().collect()));
            and(names.map(|names| Condition::Is(Subject::Provider, Test::OneOf(names))));
        }
        if let Some(values) = &condition.email_domain {
            let listed = self.listed(&at.key("email_domain"), Kind::Domain, values, &mut policies.lists);
            and(listed.map(|listed| Condition::Is(Subject::EmailDomain, Test::Domain(listed))));
        }
        if let Some(Span(age)) = condition.max_age {
            if age < SHORTEST_AGE {
                self.fault(&at.key("max_age"), "is less than a minute, in which nobody gets here from the provider");
            }
            and(Some(Condition::MaxAge(age)));
        }
        if let Some(networks) = &condition.network {
            and(self.network(&at.key("network"), networks, policies));
        }
        if let Some(time) = &condition.time {
            and(self.time(&at.key("time"), time));
        }
        if let Some(expression) = &condition.when {
            and(self.when(&at.key("when"), expression, policies));
        }
        for (name, test) in condition.claims.iter().flatten() {
            let at = at.key("claims").key(name);
            match test {
                Some(test) => and(self.claim(&at, name, test, &mut policies.lists)),
                None => self.fault(&at, "is empty; write the value that it must have"),
            }
        }
        for (key, list) in [("all", &condition.all), ("any", &condition.any), ("none", &condition.none)] {
            let Some(list) = list else { continue };
            let parts = self.parts(&at.key(key), list, written, policies, within);
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

    /// What `all`, `any` or `none` consists of.
    fn parts(
        &mut self,
        at: &KeyPath,
        list: &List<Asked>,
        written: &Written,
        policies: &mut Policies,
        within: &mut Vec<String>,
    ) -> Option<Vec<Condition>> {
        if list.is_empty() {
            self.fault(at, "is empty; write a condition, or remove it");
        }
        let mut parts = Some(Vec::new());
        for (at, reference) in self.items(at, Some(list)) {
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
        parts
    }

    /// The values that stand here, or in a file.
    fn listed(
        &mut self,
        at: &KeyPath,
        kind: Kind,
        written: &Values,
        lists: &mut ListFiles,
    ) -> Option<Listed<HashSet<String>>> {
        match written {
            Values::Here(values) => Some(Listed::here(self.values(at, kind, values)?)),
            Values::File(path) => match lists.texts(kind, path, self.environment) {
                Ok(listed) => Some(listed),
                Err(unfit) => {
                    self.fault(&at.key("file"), format!("the file {} {unfit}", path.display()));
                    None
                }
            },
        }
    }

    fn values(&mut self, at: &KeyPath, kind: Kind, OneOrMore(written): &OneOrMore) -> Option<HashSet<String>> {
        let mut held = HashSet::new();
        for value in written {
            if value.trim().is_empty() {
                self.fault(at, "holds an empty text, which nobody has; remove it");
                return None;
            }
            let hint = match kind {
                Kind::Email => "write such as helene.moreau@example.gouv.fr",
                _ => "write such as example.gouv.fr, or .example.gouv.fr for all below it as well",
            };
            match values(kind, value) {
                Ok(values) => held.extend(values),
                Err(why) => self.fault(at, format!("{value:?} {why}; {hint}")),
            }
            if kind == Kind::Domain && value.starts_with(['.', '*']) && value.matches('.').count() == 1 {
                self.found(
                    Code::DomainOfEverybody,
                    at,
                    format!("{value:?} is a whole top-level domain: everybody with an address there"),
                );
            }
        }
        Some(held)
    }

    fn claim(&mut self, at: &KeyPath, name: &str, test: &ClaimTest, lists: &mut ListFiles) -> Option<Condition> {
        if name.is_empty() || name.chars().any(|c| c.is_control() || c == ' ') {
            self.fault(at, "is no claim name; write one such as organizational_unit, or custom.unit for what is below");
        }
        let one_of = |held| Test::OneOf(Listed::here(held));
        let is = |test| Condition::Is(Subject::Claim(name.to_owned()), test);
        let tests = match test {
            ClaimTest::Values(values) => return self.values(at, Kind::Text, values).map(|held| is(one_of(held))),
            ClaimTest::Tests(tests) => tests,
        };
        let mut all = Vec::new();
        if let Some(values) = &tests.one_of {
            all.push(is(Test::OneOf(self.listed(&at.key("one_of"), Kind::Text, values, lists)?)));
        }
        if let Some(values) = &tests.all_of {
            self.values(&at.key("all_of"), Kind::Text, values)?;
            all.push(is(Test::AllOf(values.0.clone())));
        }
        if let Some(values) = &tests.none_of {
            // Of somebody who has no such claim nothing is known.
            all.push(is(Test::Present));
            let listed = self.listed(&at.key("none_of"), Kind::Text, values, lists)?;
            all.push(Condition::None(vec![is(Test::OneOf(listed))]));
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
}
