//! Rules that nobody can meet, and rules that more people meet than they seem to say.
//!
//! By implication between conditions, as far as it is certain: where it is not, nothing is found. Of
//! what a file says today nothing is certain.

use super::{Code, Found, Linted};
use crate::config::problem::KeyPath;
use crate::config::written::Preset;
use crate::gate::route::{Access, Route};
use crate::gate::rules::Listed::Here;
use crate::gate::rules::{Condition, Rule, Subject, Test, is_of};
use crate::oidc::at_least;
use crate::web::domain;
use std::collections::{BTreeSet, HashSet};

/// Alternatives beyond this many are not tried one by one.
const MOST_TRIED: usize = 64;

pub(super) fn lint(linted: &Linted<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (at, route) in linted.routes.iter().filter(|(_, route)| route.access != Access::Public) {
        found.extend(nobody_passes(at, route));
        found.extend(too_many_pass(at, route));
        found.extend(levels(linted, at, route).or_else(|| left_out(linted, at, route)));
    }
    found
}

/// Every rule of a route, with the key of its list.
pub(super) fn rules_of(route: &Route) -> impl Iterator<Item = (&'static str, &Rule)> {
    let rules = &route.rules;
    let lists = [("deny", &rules.deny), ("require", &rules.require), ("allow", &rules.allow)];
    lists.into_iter().flat_map(|(list, rules)| rules.iter().map(move |rule| (list, rule)))
}

fn nobody_passes(at: &KeyPath, route: &Route) -> Option<Found> {
    let rules = &route.rules;
    let mut required = Vec::new();
    for rule in &rules.require {
        flatten(&rule.condition, &mut required);
    }
    if let Some(why) = contradiction(&required, 0) {
        return Some(Found::new(Code::RuleNeverHolds, at.key("require"), format!("nobody can meet it: {why}")));
    }
    let with = |rule: &'_ Rule| {
        let mut all = required.clone();
        flatten(&rule.condition, &mut all);
        contradiction(&all, 0)
    };
    if let Some(first) = rules.allow.first()
        && let Some(why) = with(first)
        && rules.allow.iter().all(|rule| with(rule).is_some())
    {
        return Some(Found::new(Code::RuleNeverHolds, at.key("allow"), format!("nobody can meet it: {why}")));
    }
    let covering = rules.deny.iter().find_map(|denied| {
        let required = rules.require.iter().find(|rule| implies(&rule.condition, &denied.condition));
        let allowed = rules.allow.iter().all(|rule| implies(&rule.condition, &denied.condition));
        match required {
            Some(rule) => Some((denied, &*rule.name)),
            None => rules.allow.first().filter(|_| allowed).map(|first| (denied, &*first.name)),
        }
    });
    covering.map(|(denied, name)| {
        let why = format!("{} holds for everybody whom {name} lets in, so nobody passes", denied.name);
        Found::new(Code::DenyCoversRequire, at.key("deny"), why)
    })
}

/// The parts that have to hold together.
fn flatten<'c>(condition: &'c Condition, into: &mut Vec<&'c Condition>) {
    match condition {
        Condition::All(parts) => parts.iter().for_each(|part| flatten(part, into)),
        other => into.push(other),
    }
}

/// Whether a subject has one value at most.
fn is_single(subject: &Subject) -> bool {
    match subject {
        Subject::Claim(name) => matches!(name.as_str(), "sub" | "acr" | "idp_id" | "siret" | "siren" | "email"),
        Subject::Email | Subject::EmailDomain | Subject::Siren | Subject::Provider => true,
        Subject::Groups => false,
    }
}

/// Why these conditions never hold together.
fn contradiction(together: &[&Condition], depth: usize) -> Option<String> {
    for (index, one) in together.iter().enumerate() {
        if let Condition::Is(subject, Test::OneOf(these)) = one
            && these.for_good().is_some_and(HashSet::is_empty)
        {
            return Some(format!("{} is one of an empty list", name_of(subject)));
        }
        if let Condition::None(parts) = one
            && let Some((held, part)) =
                together.iter().find_map(|held| parts.iter().find(|part| implies(held, part)).map(|part| (held, part)))
        {
            return Some(format!("it asks for {} and for none of {}", held.says(), part.says()));
        }
        for other in together.iter().skip(index + 1) {
            if let Some(why) = exclude(one, other).or_else(|| exclude(other, one)) {
                return Some(why);
            }
        }
        if let Condition::Any(parts) = one
            && depth < 2
            && parts.len() <= MOST_TRIED
        {
            let tried = parts.iter().map(|part| {
                let others = together.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, other)| *other);
                let mut all: Vec<&Condition> = others.collect();
                flatten(part, &mut all);
                contradiction(&all, depth + 1)
            });
            let tried: Vec<Option<String>> = tried.collect();
            if let Some(first) = tried.first().cloned().flatten()
                && tried.iter().all(Option::is_some)
            {
                return Some(first);
            }
        }
    }
    None
}

/// Why two tests of what has one value do not hold together.
fn exclude(one: &Condition, other: &Condition) -> Option<String> {
    let (Condition::Is(subject, test), Condition::Is(other_subject, other_test)) = (one, other) else { return None };
    let clash = match (subject, test, other_subject, other_test) {
        (_, Test::OneOf(Here(these)), _, Test::OneOf(Here(others)))
            if subject == other_subject && is_single(subject) =>
        {
            these.is_disjoint(others)
        }
        (_, Test::OneOf(Here(these)), _, Test::Prefix(others)) if subject == other_subject && is_single(subject) => {
            !these.iter().any(|value| others.iter().any(|prefix| value.starts_with(prefix.as_str())))
        }
        (Subject::Email, Test::OneOf(Here(these)), Subject::EmailDomain, Test::Domain(Here(domains))) => {
            !these.iter().filter_map(|address| domain::of_email(address)).any(|domain| is_of(domains, domain))
        }
        (Subject::EmailDomain, Test::Domain(Here(these)), Subject::EmailDomain, Test::Domain(Here(others))) => {
            !these.iter().any(|domain| domain.starts_with('.') || is_of(others, domain))
        }
        _ => false,
    };
    clash.then(|| format!("{} and {} do not go together", one.says(), other.says()))
}

/// Whether `other` holds for certain wherever `one` does.
fn implies(one: &Condition, other: &Condition) -> bool {
    if one == other {
        return true;
    }
    match (one, other) {
        (Condition::Any(parts), _) => !parts.is_empty() && parts.iter().all(|part| implies(part, other)),
        (_, Condition::All(parts)) => !parts.is_empty() && parts.iter().all(|part| implies(one, part)),
        (_, Condition::Any(parts)) if parts.iter().any(|part| implies(one, part)) => true,
        (Condition::All(parts), _) => parts.iter().any(|part| implies(part, other)),
        (Condition::Is(subject, test), Condition::Is(other_subject, other_test)) => {
            match (subject, test, other_subject, other_test) {
                (_, Test::OneOf(Here(these)), _, Test::OneOf(Here(others))) if subject == other_subject => {
                    these.is_subset(others)
                }
                (_, _, _, Test::Present) if subject == other_subject => true,
                (_, Test::Domain(Here(these)), _, Test::Domain(Here(others))) if subject == other_subject => {
                    these.iter().all(|domain| is_of(others, domain))
                }
                (Subject::Email, Test::OneOf(Here(these)), Subject::EmailDomain, Test::Domain(Here(domains))) => {
                    !these.is_empty()
                        && these
                            .iter()
                            .all(|address| domain::of_email(address).is_some_and(|domain| is_of(domains, domain)))
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn too_many_pass(at: &KeyPath, route: &Route) -> Vec<Found> {
    let rules = &route.rules;
    let mut found = Vec::new();
    if rules.require.is_empty() && rules.allow.is_empty() && !rules.deny.is_empty() {
        let mut looks_at = BTreeSet::new();
        for rule in &rules.deny {
            rule.condition.subjects(&mut |subject| {
                looks_at.insert(name_of(subject));
            });
        }
        looks_at.retain(|name| !everybody_has(route, name));
        if !looks_at.is_empty() {
            let names = looks_at.iter().copied().collect::<Vec<_>>().join(", ");
            let why = format!("lets in whoever has no {names}; add a require that says who may enter");
            found.push(Found::new(Code::DenyAlone, at.key("deny"), why));
        }
    }
    let mut required = Vec::new();
    for rule in &rules.require {
        flatten(&rule.condition, &mut required);
    }
    if let Some(name) = unknown_in(route, &required) {
        found.push(admits_unknown(at.key("require"), name));
    }
    for rule in &rules.allow {
        let mut together = required.clone();
        let before = together.len();
        flatten(&rule.condition, &mut together);
        let own: Vec<&Condition> = together.iter().skip(before).copied().collect();
        if own.iter().any(|condition| matches!(condition, Condition::None(_)))
            && let Some(name) = unknown_in(route, &together)
        {
            found.push(admits_unknown(at.key("allow"), name));
        }
    }
    found
}

/// Whether there is nobody who has none: but for programs everybody has signed in with some provider.
fn everybody_has(route: &Route, name: &str) -> bool {
    name == "sub" || (name == "provider" && route.bearer.is_empty())
}

fn admits_unknown(at: KeyPath, name: &str) -> Found {
    let why = format!("none holds for whoever has no {name}; write beside it whom you want, or claims with none_of");
    Found::new(Code::NoneAdmitsUnknown, at, why)
}

/// What a `none` looks at, where nothing beside it asks for anything of the kind.
fn unknown_in<'c>(route: &Route, together: &[&'c Condition]) -> Option<&'c str> {
    let known: BTreeSet<&str> = together
        .iter()
        .filter(|condition| !matches!(condition, Condition::None(_)))
        .flat_map(|condition| {
            let mut names = Vec::new();
            condition.claims(&mut |claim| names.push(claim));
            names
        })
        .collect();
    together.iter().find_map(|condition| {
        let Condition::None(parts) = condition else { return None };
        // `present: false` is about just these people.
        if parts.iter().all(|part| matches!(part, Condition::Is(_, Test::Present))) {
            return None;
        }
        let mut unknown = None;
        condition.subjects(&mut |subject| {
            if !everybody_has(route, name_of(subject)) && !subject.claims().iter().any(|claim| known.contains(claim)) {
                unknown = Some(name_of(subject));
            }
        });
        unknown
    })
}

/// Levels that ProConnect does not know.
fn levels(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    if linted.providers_of(route).any(|(_, preset)| preset != Preset::ProConnect) || !route.bearer.is_empty() {
        return None;
    }
    let known: Vec<&str> = at_least("eidas0").collect();
    rules_of(route).find_map(|(list, rule)| {
        let mut strange = None;
        each_test(&rule.condition, &mut |subject, test| {
            if let (Subject::Claim(name), Test::OneOf(Here(these))) = (subject, test)
                && name == "acr"
                && !these.iter().any(|level| known.contains(&level.as_str()))
            {
                strange = these.iter().next().cloned();
            }
        });
        strange.map(|level| {
            let why = format!("ProConnect gives no level {level:?}; it has {}", known.join(", "));
            Found::new(Code::LevelUnknown, at.key(list), why)
        })
    })
}

/// Levels that the providers' own `acr_values` leave out: whoever signs in has one of those.
fn left_out(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    let providers: Vec<_> = linted.providers_of(route).map(|(provider, _)| provider).collect();
    if providers.is_empty()
        || !route.bearer.is_empty()
        || providers.iter().any(|provider| provider.acr_values.is_empty())
    {
        return None;
    }
    rules_of(route).find_map(|(list, rule)| {
        let mut strange = None;
        each_test(&rule.condition, &mut |subject, test| {
            if let (Subject::Claim(name), Test::OneOf(Here(these))) = (subject, test)
                && name == "acr"
                && !these.is_empty()
                && !providers.iter().any(|provider| provider.acr_values.iter().any(|level| these.contains(level)))
            {
                let mut levels: Vec<&str> = these.iter().map(String::as_str).collect();
                levels.sort_unstable();
                strange = Some(levels.join(", "));
            }
        });
        strange.map(|levels| {
            let taken = providers
                .iter()
                .map(|one| format!("providers.{}.acr_values ({})", one.name, one.acr_values.join(", ")));
            let taken = taken.collect::<Vec<_>>().join(" or ");
            let why = format!("nobody ever has {levels}: whoever signs in has one of {taken}; list it there as well");
            Found::new(Code::LevelLeftOut, at.key(list), why)
        })
    })
}

fn each_test<'c>(condition: &'c Condition, note: &mut impl FnMut(&'c Subject, &'c Test)) {
    match condition {
        Condition::Is(subject, test) => note(subject, test),
        _ => condition.parts().iter().for_each(|part| each_test(part, note)),
    }
}

fn name_of(subject: &Subject) -> &str {
    subject.name()
}
