//! The rules of a route, condition by condition, with what each came to for somebody.
//!
//! Called by `server/explain` alone, for whoever asks why. It decides nothing: whether a condition
//! holds is asked of [`Condition::outcome`], which `policy` asks too, and a property test holds the
//! whole against [`Rules::judge`]. What a condition says is written in one place,
//! [`Condition::says`]; what it looked at in `Condition::saw`.

use super::rules::{Asker, Condition, Listed, Number, Outcome, Rule, Rules, Subject, Test};
use crate::clock::Timestamp;
use serde::Serialize;
use std::collections::HashSet;

/// How many entries of a long list are written out.
const WRITTEN_OUT: usize = 6;

/// All rules of a route, with their outcomes, in the order in which they are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Trace {
    /// Each rule.
    pub rules: Vec<TracedRule>,
}

/// A rule with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedRule {
    /// `deny`, `require` or `allow`.
    pub list: &'static str,
    /// The name of a policy, or the place in the file.
    pub name: String,
    /// Its condition.
    #[serde(flatten)]
    pub step: Step,
}

/// A condition with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it asks, in words.
    pub says: String,
    /// Whether it holds; nothing where that cannot be told, and nobody passes by it.
    pub holds: Option<bool>,
    /// What was there to look at; nothing where nothing is known, or where it has parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub saw: Vec<String>,
    /// What it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

impl Rules {
    /// Follows what [`Rules::judge`] does, and does not stop at the first that decides.
    pub fn trace(&self, asker: &Asker<'_>) -> Trace {
        let traced = |list: &'static str, rules: &[Rule]| -> Vec<TracedRule> {
            let one = |rule: &Rule| TracedRule { list, name: rule.name.to_string(), step: rule.condition.trace(asker) };
            rules.iter().map(one).collect()
        };
        let lists = [("deny", &self.deny), ("require", &self.require), ("allow", &self.allow)];
        Trace { rules: lists.into_iter().flat_map(|(list, rules)| traced(list, rules)).collect() }
    }
}

impl Rules {
    /// All rules by their names, as one reads them: `deny banned; require agents, dinum`.
    pub fn names(&self) -> String {
        let lists = [("deny", &self.deny), ("require", &self.require), ("allow", &self.allow)];
        let said = lists.into_iter().filter(|(_, rules)| !rules.is_empty()).map(|(list, rules)| {
            let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
            format!("{list} {}", names.join(", "))
        });
        said.collect::<Vec<_>>().join("; ")
    }
}

impl Step {
    /// What came of it, in words.
    pub fn outcome(&self) -> &'static str {
        match self.holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "cannot be told",
        }
    }
}

impl Trace {
    /// Whether somebody passes by it: the one sentence of `docs/rules.md`.
    pub fn passes(&self) -> bool {
        let of = |list: &'static str| self.rules.iter().filter(move |rule| rule.list == list);
        let denied = of("deny").any(|rule| rule.step.holds != Some(false));
        let required = of("require").all(|rule| rule.step.holds == Some(true));
        let allowed = of("allow").next().is_none() || of("allow").any(|rule| rule.step.holds == Some(true));
        !denied && required && allowed
    }
}

impl Condition {
    fn trace(&self, asker: &Asker<'_>) -> Step {
        Step {
            says: self.says(),
            holds: match self.outcome(asker) {
                Outcome::Holds => Some(true),
                Outcome::Fails => Some(false),
                Outcome::Unknown => None,
            },
            saw: self.saw(asker),
            parts: self.parts().iter().map(|part| part.trace(asker)).collect(),
        }
    }

    /// What it asks, on one line.
    pub fn says(&self) -> String {
        match self {
            Self::All(_) => "all of".to_owned(),
            Self::Any(_) => "any of".to_owned(),
            Self::None(_) => "none of".to_owned(),
            Self::Is(subject, test) => format!("{} {}", subject.name(), test.says()),
            Self::MaxAge(age) => format!("auth_time is less than {} s ago", age.as_secs()),
            Self::Network(Listed::Here(networks)) => format!("network is {}", either(networks.says())),
            Self::Network(Listed::File { path, held }) => {
                format!("network is in {path} ({})", counted(held.load().count(), "range"))
            }
            Self::During(window) => format!("time is {}", window.says()),
            Self::When(expression) => format!("when {}", expression.source()),
        }
    }

    /// What it looked at, as it stands.
    fn saw(&self, asker: &Asker<'_>) -> Vec<String> {
        match self {
            Self::All(_) | Self::Any(_) | Self::None(_) => Vec::new(),
            Self::Is(Subject::Provider, _) => asker.provider.map(str::to_owned).into_iter().collect(),
            Self::Is(subject, _) => subject.saw(asker),
            Self::MaxAge(_) => asker.authenticated_at.map(Timestamp::date_and_time).into_iter().collect(),
            Self::Network(_) => asker.at.client.map(|client| client.to_string()).into_iter().collect(),
            Self::During(window) => window.clock(asker.at.now).into_iter().collect(),
            Self::When(expression) => expression.saw(asker),
        }
    }
}

impl Subject {
    fn saw(&self, asker: &Asker<'_>) -> Vec<String> {
        if let Self::Provider = self {
            return asker.provider.map(str::to_owned).into_iter().collect();
        }
        self.values(asker.claims).into_iter().map(std::borrow::Cow::into_owned).collect()
    }
}

impl Test {
    fn says(&self) -> String {
        let number = |Number(number): &Number| number.to_string();
        match self {
            Self::Present => "is there".to_owned(),
            Self::OneOf(Listed::Here(these)) => format!("is {}", either(these.iter().cloned())),
            Self::OneOf(Listed::File { path, held }) => {
                format!("is in {path} ({})", counted(held.load().len(), "value"))
            }
            Self::AllOf(these) => format!("has all of {}", listed(these, ", ")),
            Self::Domain(Listed::Here(these)) => format!("is {}", either(domains(these).cloned())),
            Self::Domain(Listed::File { path, held }) => {
                format!("is in {path} ({})", counted(domains(&held.load()).count(), "domain"))
            }
            Self::Prefix(these) => format!("begins with {}", either(these.iter().cloned())),
            Self::AtLeast(least) => format!("is at least {}", number(least)),
            Self::AtMost(most) => format!("is at most {}", number(most)),
        }
    }
}

/// Domains as they are written: the one with a dot before it says the other.
fn domains(these: &HashSet<String>) -> impl Iterator<Item = &String> {
    these.iter().filter(|domain| !these.contains(&format!(".{domain}")))
}

/// `1 value`, `3 values`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `a`, or `one of a, b, c`: sorted, and no longer than can be read.
pub(super) fn either(texts: impl Iterator<Item = String>) -> String {
    let mut sorted: Vec<String> = texts.collect();
    sorted.sort_unstable();
    match sorted.as_slice() {
        [] => "one of nothing".to_owned(),
        [one] => one.clone(),
        several => format!("one of {}", listed(several, ", ")),
    }
}

fn listed(all: &[String], between: &str) -> String {
    let shown: Vec<&str> = all.iter().take(WRITTEN_OUT).map(String::as_str).collect();
    let shown = shown.join(between);
    match all.len().saturating_sub(WRITTEN_OUT) {
        0 => shown,
        more => format!("{shown} … and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use crate::clock::Timestamp;
    use crate::gate::rules::{Circumstances, Hours, Networks, Window, Zone};
    use arc_swap::ArcSwap;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Arc;

    fn is(name: &str, values: &[&str]) -> Condition {
        let these = values.iter().map(|value| (*value).to_owned()).collect();
        Condition::Is(Subject::Claim(name.to_owned()), Test::OneOf(Listed::here(these)))
    }

    fn rule(name: &str, condition: Condition) -> Rule {
        Rule { name: name.into(), condition, who: None }
    }

    const AT: Circumstances = Circumstances { now: Timestamp::from_unix(0), client: None };

    #[test]
    fn a_trace_says_what_each_condition_asks_and_what_was_there() {
        let rules = Rules {
            require: vec![rule(
                "agents",
                Condition::All(vec![is("roles", &["b", "a"]), Condition::None(vec![is("siret", &["9"])])]),
            )],
            deny: vec![rule("banned", is("sub", &["s-7"]))],
            allow: Vec::new(),
        };
        let claims = json!({"sub": "s-8", "roles": ["b", "c"]});
        let claims = Claims::from_json(claims.as_object().unwrap());
        let view = claims.view();
        let trace = rules.trace(&Asker { claims: &view, provider: None, authenticated_at: None, at: AT });
        assert!(trace.passes());
        let said = serde_json::to_value(&trace).unwrap();
        let expected = json!([
            {"list": "deny", "name": "banned", "says": "sub is s-7", "holds": false, "saw": ["s-8"]},
            {"list": "require", "name": "agents", "says": "all of", "holds": true, "parts": [
                {"says": "roles is one of a, b", "holds": true, "saw": ["b", "c"]},
                {"says": "none of", "holds": true, "parts": [{"says": "siret is 9", "holds": false}]},
            ]},
        ]);
        assert_eq!(said, expected);
    }

    #[test]
    fn a_long_list_is_not_written_out() {
        let many: Vec<String> = (0..100_000).map(|number| format!("a{number:06}@example.fr")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let says = is("email", &many).says();
        assert!(says.len() < 200 && says.ends_with("… and 99994 more"), "{says}");
    }

    #[test]
    fn circumstances_are_said_as_one_writes_them_and_a_file_by_its_name() {
        let networks = ["10.0.0.0/9", "10.128.0.0/9", "192.0.2.7/32", "2001:db8::/32"];
        let networks: Networks = networks.iter().map(|text| text.parse::<ipnet::IpNet>().unwrap()).collect();
        let window = |days: &[usize], hours: &[&str], from: Option<u64>| {
            Condition::During(Arc::new(Window {
                zone: Zone::named("Europe/Paris").unwrap(),
                days: std::array::from_fn(|day| days.is_empty() || days.contains(&day)),
                hours: hours.iter().map(|text| Hours::parse(text).unwrap()).collect(),
                from: from.map(Timestamp::from_unix),
                until: None,
            }))
        };
        let file = |names: &[&str]| Listed::File {
            path: "/etc/list".into(),
            held: Arc::new(ArcSwap::from_pointee(names.iter().map(|name| (*name).to_owned()).collect())),
        };
        let of_file = |subject, test: fn(Listed<HashSet<String>>) -> Test, names: &[&str]| {
            Condition::Is(subject, test(file(names)))
        };
        for (condition, expected) in [
            (Condition::Network(Listed::here(networks)), "network is one of 10.0.0.0/8, 192.0.2.7, 2001:db8::/32"),
            (window(&[0, 1, 2, 3, 4], &["08:00-19:00"], None), "time is mon-fri 08:00-19:00 (Europe/Paris)"),
            (window(&[], &["22:00-06:00", "12:00-24:00"], None), "time is 22:00-06:00, 12:00-24:00 (Europe/Paris)"),
            (window(&[1, 4, 5], &[], Some(0)), "time is tue, fri-sat from 1970-01-01T01:00 (Europe/Paris)"),
            (of_file(Subject::Email, Test::OneOf, &["a@b.fr"]), "email is in /etc/list (1 value)"),
            (
                of_file(Subject::EmailDomain, Test::Domain, &["b.fr", "c.fr", ".c.fr"]),
                "email_domain is in /etc/list (2 domains)",
            ),
        ] {
            assert_eq!(condition.says(), expected);
        }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let test = prop_oneof![
            Just(Test::Present),
            proptest::collection::hash_set("[abc]", 0..3).prop_map(|set| Test::OneOf(Listed::here(set))),
            proptest::collection::vec("[abc]", 0..3).prop_map(Test::AllOf),
            "[abc]".prop_map(|text| Test::Prefix(vec![text])),
            (0_i32..3).prop_map(|least| Test::AtLeast(Number(f64::from(least)))),
        ];
        let leaf = prop_oneof![
            4 => ("[xyz]", test).prop_map(|(name, test)| Condition::Is(Subject::Claim(name), test)),
            // Nobody vouches for where they come from.
            1 => Just(Condition::Network(Listed::here(Networks::default()))),
        ];
        leaf.prop_recursive(3, 24, 3, |inner| {
            let several = || proptest::collection::vec(inner.clone(), 0..3);
            prop_oneof![
                several().prop_map(Condition::All),
                several().prop_map(Condition::Any),
                several().prop_map(Condition::None),
            ]
        })
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let list = || proptest::collection::vec(condition().prop_map(|condition| rule("r", condition)), 0..3);
        (list(), list(), list()).prop_map(|(require, allow, deny)| Rules { require, allow, deny })
    }

    /// Whether each step says of itself what follows from its parts.
    fn is_coherent(step: &Step) -> bool {
        let has = |holds: Option<bool>| step.parts.iter().any(|part| part.holds == holds);
        let all = |good: bool| match (has(Some(!good)), has(None)) {
            (true, _) => Some(false),
            (false, true) => None,
            (false, false) => Some(true),
        };
        let follows = match step.says.as_str() {
            "all of" => all(true),
            "any of" => all(false).map(|none| !none),
            "none of" => all(false),
            _ => step.holds,
        };
        step.holds == follows && step.parts.iter().all(is_coherent)
    }

    proptest! {
        #[test]
        fn a_trace_passes_exactly_who_is_judged_to_pass(
            rules in rules(),
            held in proptest::collection::btree_map("[xyz]", proptest::collection::vec("[abc0-2]", 0..3), 0..4),
        ) {
            let claims = Claims::from_json(json!(held).as_object().unwrap());
            let view = claims.view();
            let asker = Asker { claims: &view, provider: None, authenticated_at: None, at: AT };
            let trace = rules.trace(&asker);
            prop_assert_eq!(trace.passes(), rules.judge(&asker).is_ok());
            for rule in &trace.rules {
                prop_assert!(is_coherent(&rule.step), "{:?}", rule);
            }
        }
    }
}
