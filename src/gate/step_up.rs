//! Whether a step-up is all that somebody lacks, and what to ask the provider for.
//!
//! Called by `policy` for whom the rules of a route keep out. Pure. The rules are judged again for the
//! same person as a step-up would leave them: with a level that the rules name, and with a proof of this
//! very moment. Where they hold then, that is what is asked for; where they do not, or name no level and
//! no age, nobody is sent anywhere. What a step-up cannot change stays as it is, so `deny`, another
//! `require` and whatever else a rule looks at keep their word (docs/decisions/0016-step-up.md).
//!
//! Must never ask for what the session has: that would be a loop.

use super::rules::{Asker, Condition, Rule, Rules, Subject, Test};
use crate::claims::{ClaimValue, ClaimsView};
use crate::clock::Timestamp;
use crate::oidc::{StepUp, at_least, is_lower};
use std::collections::BTreeSet;
use std::time::Duration;

/// What the rules of a route name that a step-up can give.
#[derive(Default)]
struct Named {
    levels: BTreeSet<String>,
    means: BTreeSet<String>,
    shortest: Option<Duration>,
}

impl Rules {
    /// What a step-up has to bring for these rules to hold, where nothing else is missing.
    pub fn step_up(&self, asker: &Asker<'_>) -> Option<StepUp> {
        let named = self.named();
        let (own, at) = (asker.claims.text("acr"), asker.authenticated_at);
        let now = Some(asker.at.now);
        // Not so strong a level as theirs would take from them what they have.
        let levels = || named.levels.iter().map(String::as_str).filter(|level| !is_lower(Some(level), own));
        let hold = |claims: &ClaimsView<'_>, at: Option<Timestamp>| {
            self.judge(&Asker { claims, authenticated_at: at, ..*asker }).is_ok()
        };
        // The least first: the same once more; then a level; then both.
        if named.shortest.is_some() && hold(asker.claims, now) {
            let as_high = own.into_iter().flat_map(at_least);
            let acr_values = as_high.filter(|level| hold(&with(asker.claims, level, &[]), now));
            return Some(StepUp { acr_values: texts(acr_values), max_age: named.shortest });
        }
        let means: Vec<&str> = named.means.iter().map(String::as_str).collect();
        let with_recent = named.shortest.map(|age| (now, Some(age)));
        std::iter::once((at, None)).chain(with_recent).find_map(|(at, max_age)| {
            let mut passing: Vec<&str> =
                levels().filter(|level| hold(&with(asker.claims, level, &means), at)).collect();
            if let Some(own) = own
                && passing.contains(&own)
            {
                // It was not the level that was missing: a higher one may come by other means, the same would not.
                passing.retain(|level| *level != own && at_least(own).any(|higher| higher == *level));
            }
            (!passing.is_empty()).then(|| StepUp { acr_values: texts(passing.into_iter()), max_age })
        })
    }

    fn named(&self) -> Named {
        let mut named = Named::default();
        for Rule { condition, .. } in self.require.iter().chain(&self.allow).chain(&self.deny) {
            condition.leaves(&mut |leaf| match leaf {
                Condition::MaxAge(age) => named.shortest = Some(named.shortest.map_or(*age, |held| held.min(*age))),
                Condition::Is(Subject::Claim(name), test) if name == "acr" => named.levels.extend(values(test)),
                Condition::Is(Subject::Claim(name), test) if name == "amr" => named.means.extend(values(test)),
                _ => {}
            });
        }
        named
    }
}

/// The values that a test names.
fn values(test: &Test) -> Vec<String> {
    match test {
        Test::OneOf(values) => values.look(|values| values.iter().cloned().collect()),
        Test::AllOf(values) => values.clone(),
        _ => Vec::new(),
    }
}

/// Somebody's claims with another level, reached by these means besides their own.
fn with<'a>(claims: &ClaimsView<'a>, level: &'a str, means: &[&'a str]) -> ClaimsView<'a> {
    let leveled = claims.with("acr", ClaimValue::Text(level));
    if means.is_empty() {
        return leveled;
    }
    let own = claims.get("amr").map(ClaimValue::values).unwrap_or_default();
    leveled.with("amr", ClaimValue::List(own.iter().chain(means).copied().collect()))
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    values.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use crate::gate::rules::{Circumstances, Listed};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn is(name: &str, values: &[&str]) -> Condition {
        let set = values.iter().map(|value| (*value).to_owned()).collect();
        Condition::Is(Subject::Claim(name.to_owned()), Test::OneOf(Listed::here(set)))
    }

    /// As `config` writes it: with the higher ones.
    fn acr(level: &str) -> Condition {
        is("acr", &at_least(level).collect::<Vec<_>>())
    }

    fn minutes(minutes: u64) -> Condition {
        Condition::MaxAge(Duration::from_secs(60 * minutes))
    }

    fn rules(require: Vec<Condition>, allow: Vec<Condition>, deny: Vec<Condition>) -> Rules {
        let named = |list: Vec<Condition>| {
            list.into_iter().map(|condition| Rule { name: "r".into(), condition, who: None }).collect()
        };
        Rules { require: named(require), allow: named(allow), deny: named(deny) }
    }

    /// What is asked for of somebody of these claims, who proved who they are so many minutes ago.
    fn asked(rules: &Rules, claims: &Value, minutes_ago: Option<u64>) -> Option<(String, Option<u64>)> {
        let claims = Claims::from_json(claims.as_object().unwrap());
        let view = claims.view();
        let authenticated_at = minutes_ago.map(|ago| NOW.minus(Duration::from_secs(60 * ago)));
        let asker =
            Asker { claims: &view, provider: None, authenticated_at, at: Circumstances { now: NOW, client: None } };
        let step_up = rules.step_up(&asker);
        step_up.map(|step_up| (step_up.acr_text(), step_up.max_age.map(|age| age.as_secs() / 60)))
    }

    /// A name, rules, who asks, how many minutes after their proof, and what is asked for.
    type Row = (&'static str, Rules, Value, Option<u64>, Option<(&'static str, Option<u64>)>);

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_is_asked_for_is_the_least_that_would_do() {
        let mfa = "eidas1-mfa eidas2 eidas3";
        let any = |parts| vec![Condition::Any(parts)];
        let staff = || is("roles", &["agent"]);
        let agent = |acr: &str| json!({"acr": acr, "roles": ["agent"], "amr": ["pwd"]});
        let cases: Vec<Row> = vec![
            ("a level", rules(vec![acr("eidas1-mfa")], vec![], vec![]), agent("eidas1"), Some(90), Some((mfa, None))),
            ("no level yet", rules(vec![acr("eidas1-mfa")], vec![], vec![]), json!({}), None, Some((mfa, None))),
            // Its own level and no lower one comes back.
            ("an age", rules(vec![minutes(15)], vec![], vec![]), agent("eidas1-mfa"), Some(15), Some((mfa, Some(15)))),
            ("no auth_time", rules(vec![minutes(15)], vec![], vec![]), json!({}), None, Some(("", Some(15)))),
            (
                "both",
                rules(vec![acr("eidas1-mfa"), minutes(15)], vec![], vec![]),
                agent("eidas1"),
                Some(20),
                Some((mfa, Some(15))),
            ),
            (
                "a level, being recent",
                rules(vec![acr("eidas1-mfa"), minutes(15)], vec![], vec![]),
                agent("eidas1"),
                Some(2),
                Some((mfa, None)),
            ),
            // What stands between them and the page besides.
            ("deny", rules(vec![acr("eidas2")], vec![], vec![staff()]), agent("eidas1"), Some(1), None),
            (
                "another require",
                rules(vec![acr("eidas2"), is("roles", &["chief"])], vec![], vec![]),
                agent("eidas1"),
                Some(1),
                None,
            ),
            (
                "another allow",
                rules(vec![acr("eidas2")], vec![is("roles", &["chief"])], vec![]),
                agent("eidas1"),
                Some(1),
                None,
            ),
            ("nothing named", rules(vec![is("amr", &["otp"])], vec![], vec![]), agent("eidas1"), Some(1), None),
            (
                "one way of several",
                rules(any(vec![is("roles", &["chief"]), acr("eidas2")]), vec![], vec![]),
                agent("eidas1"),
                Some(1),
                Some(("eidas2 eidas3", None)),
            ),
            (
                "the least way of several",
                rules(any(vec![acr("eidas2"), minutes(5)]), vec![], vec![]),
                agent("eidas1"),
                Some(9),
                Some(("eidas1 eidas1-mfa eidas2 eidas3", Some(5))),
            ),
            (
                "by allow",
                rules(vec![], vec![acr("eidas3"), is("roles", &["chief"])], vec![]),
                agent("eidas1"),
                Some(1),
                Some(("eidas3", None)),
            ),
            // Not down to one that the rules would take as well.
            ("never down", rules(vec![acr("eidas0-mfa")], vec![], vec![]), agent("eidas1"), Some(1), Some((mfa, None))),
            (
                "what a level denies",
                rules(vec![acr("eidas1-mfa")], vec![], vec![is("acr", &["eidas3"])]),
                agent("eidas1"),
                Some(1),
                Some(("eidas1-mfa eidas2", None)),
            ),
            (
                "with the means",
                rules(vec![acr("eidas1-mfa"), is("amr", &["otp"])], vec![], vec![]),
                agent("eidas1"),
                Some(1),
                Some((mfa, None)),
            ),
            // They have the level: the same again would not bring other means.
            (
                "means alone",
                rules(vec![acr("eidas2"), is("amr", &["hwk"])], vec![], vec![]),
                agent("eidas3"),
                Some(1),
                None,
            ),
            (
                "their own levels",
                rules(vec![is("acr", &["gold", "silver"]), is("amr", &["hwk"])], vec![], vec![]),
                agent("gold"),
                Some(1),
                None,
            ),
            (
                "own levels",
                rules(vec![is("acr", &["gold"])], vec![], vec![]),
                agent("silver"),
                Some(1),
                Some(("gold", None)),
            ),
        ];
        for (name, rules, claims, ago, expected) in cases {
            let expected = expected.map(|(levels, age)| (levels.to_owned(), age));
            assert_eq!(asked(&rules, &claims, ago), expected, "{name}");
        }
    }

    fn condition_strategy() -> impl Strategy<Value = Condition> {
        let leaf = prop_oneof![
            Just(acr("eidas1-mfa")),
            Just(acr("eidas2")),
            Just(is("acr", &["gold", "silver"])),
            Just(is("amr", &["otp"])),
            Just(is("roles", &["agent"])),
            (1u64..30).prop_map(minutes),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..3).prop_map(Condition::All),
                proptest::collection::vec(inner.clone(), 1..3).prop_map(Condition::Any),
                proptest::collection::vec(inner, 1..3).prop_map(Condition::None),
            ]
        })
    }

    fn rules_strategy() -> impl Strategy<Value = Rules> {
        let list = || proptest::collection::vec(condition_strategy(), 0..3);
        (list(), list(), list()).prop_map(|(require, allow, deny)| rules(require, allow, deny))
    }

    proptest! {
        /// However often somebody gets what was asked for, they are sent on for a few times at most.
        #[test]
        fn whoever_gets_what_was_asked_for_is_not_sent_round_for_ever(
            rules in rules_strategy(),
            acr in prop_oneof![Just("eidas1"), Just("eidas1-mfa"), Just("gold"), Just("")],
            ago in 0u64..60,
            otp in any::<bool>(),
        ) {
            let (mut acr, mut at) = (acr.to_owned(), Some(NOW.minus(Duration::from_secs(60 * ago))));
            for trip in 0.. {
                let amr: &[&str] = if otp { &["otp"] } else { &[] };
                let claims = Claims::from_json(json!({"acr": acr, "amr": amr, "roles": ["agent"]}).as_object().unwrap());
                let view = claims.view();
                let asker = Asker { claims: &view, provider: None, authenticated_at: at, at: Circumstances { now: NOW, client: None } };
                if rules.judge(&asker).is_ok() {
                    break;
                }
                let Some(step_up) = rules.step_up(&asker) else { break };
                prop_assert!(trip < 6, "{step_up:?}");
                if let Some(level) = step_up.acr_values.first() {
                    prop_assert!(!is_lower(Some(level), Some(&acr)) || acr.is_empty());
                    acr.clone_from(level);
                }
                if step_up.max_age.is_some() {
                    at = Some(NOW);
                }
            }
        }
    }
}
