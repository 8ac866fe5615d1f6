//! What was written, kept to compare: what a reload would change, and what of that needs a restart.
//!
//! Called by `app/reload` with the configuration that runs and the one that was read anew. Compares
//! what was written, file over file, and not what came of it: secrets are not in it, so what their
//! files hold makes no difference here. Must never let a change pass as one that may take effect
//! while the program runs unless it is named in [`CHANGEABLE`].

use super::problem::{KeyPath, Segment};
use super::run::Config;
use serde_yaml::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What may change while the program runs: all that only the gate, the pages and the way to the apps
/// are made of.
const CHANGEABLE: [&[&str]; 8] = [
    &["routes"],
    &["policies"],
    &["upstreams"],
    &["pages"],
    &["licences"],
    &["identity", "headers"],
    &["identity", "encoding"],
    &["identity", "claims"],
];

/// A configuration as it was written, each site by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline(Vec<(Option<String>, Value)>);

impl Config {
    /// This configuration as it was written.
    pub fn outline(&self) -> Outline {
        Outline(self.each_site().map(|config| (config.site.clone(), config.written.clone())).collect())
    }
}

impl Outline {
    /// The keys in which `other` differs and which need a restart. Nothing where it may take the place of
    /// this one.
    pub fn needs_restart(&self, other: &Self) -> Vec<String> {
        let names = |outline: &Self| outline.0.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if names(self) != names(other) {
            return vec!["sites".to_owned()];
        }
        let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for ((name, old), (_, new)) in self.0.iter().zip(&other.0) {
            let mut paths = Vec::new();
            differences(Some(old), Some(new), &KeyPath::root(), &mut paths);
            paths.extend(differently_inline(old, new));
            if counts_seats(old) != counts_seats(new) {
                paths.push("licences (whether there are any)".to_owned());
            }
            for path in paths {
                found.entry(path).or_default().push(name.as_deref().unwrap_or_default());
            }
        }
        let words = |(path, sites): (String, Vec<&str>)| {
            // What is the same for all sites is said once.
            if sites.len() == self.0.len() { path } else { format!("{path} (of {})", sites.join(", ")) }
        };
        found.into_iter().map(words).collect()
    }
}

/// Notes where two values differ that may not.
fn differences(old: Option<&Value>, new: Option<&Value>, at: &KeyPath, found: &mut Vec<String>) {
    let (old, new) = (old.filter(|value| !value.is_null()), new.filter(|value| !value.is_null()));
    let path: Vec<&str> = at.segments().iter().filter_map(name_of).collect();
    if old == new || CHANGEABLE.contains(&path.as_slice()) {
        return;
    }
    let is_around = CHANGEABLE.iter().any(|changeable| changeable.len() > path.len() && changeable.starts_with(&path));
    let empty = Value::Mapping(serde_yaml::Mapping::new());
    let (old, new) = if is_around { (old.or(Some(&empty)), new.or(Some(&empty))) } else { (old, new) };
    let (Some(Value::Mapping(old)), Some(Value::Mapping(new))) = (old, new) else {
        found.push(at.to_string());
        return;
    };
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).filter_map(Value::as_str).collect();
    for key in keys {
        differences(old.get(key), new.get(key), &at.key(key), found);
    }
}

fn name_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Key(name) => Some(name),
        Segment::Item(_) => None,
    }
}

/// Whether people need seats: what counts them is made at the start.
fn counts_seats(written: &Value) -> bool {
    ["seats", "licences"].iter().any(|key| written.get(key).is_some_and(|value| !value.is_null()))
}

/// Routes and upstreams may change, but not the credentials and envelopes that are written in them:
/// those have lives of their own, and routes know them by their place among all.
fn differently_inline(old: &Value, new: &Value) -> Vec<String> {
    let lists = [("credentials", "credentials written in upstreams and routes"), ("envelope", "routes[*].envelope")];
    let differ = |(key, words): (&str, &str)| (inline(old, key) != inline(new, key)).then(|| words.to_owned());
    lists.into_iter().filter_map(differ).collect()
}

/// What is written under `key` in upstreams and routes, and not only named, in the order in which it
/// is counted.
fn inline<'v>(written: &'v Value, key: &str) -> Vec<&'v Value> {
    let upstreams = written.get("upstreams").and_then(Value::as_mapping);
    let upstreams: BTreeMap<&str, &Value> =
        upstreams.into_iter().flatten().filter_map(|(name, upstream)| Some((name.as_str()?, upstream))).collect();
    let routes = written.get("routes").and_then(Value::as_sequence);
    let all = upstreams.into_values().chain(routes.into_iter().flatten());
    all.filter_map(|one| one.get(key)).filter(|value| value.is_mapping()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> Outline {
        Outline(vec![(None, serde_yaml::from_str(text).unwrap())])
    }

    fn differ(old: &str, new: &str) -> Vec<String> {
        outline(old).needs_restart(&outline(new))
    }

    #[test]
    fn who_may_enter_and_what_is_said_may_change_and_nothing_else() {
        let old = "{public_url: a, listeners: {proxy: x, admin: y}, routes: [{path: /a, upstream: app}], \
                   identity: {headers: remote-user}, session: {idle: 1h, keys: [{id: a}]}}";
        let changed = "{public_url: a, listeners: {proxy: x, admin: y}, routes: [], policies: {p: {}}, pages: {contact: c}, \
                       upstreams: {other: {url: z}}, identity: {headers: x-forwarded, claims: [a]}, \
                       session: {keys: [{id: a}], idle: 1h}, store: null}";
        assert_eq!(differ(old, changed), [""; 0]);
        assert_eq!(differ(old, old), [""; 0]);
        let cases = [
            ("{a: 1}", "{a: 2}", vec!["a"]),
            ("{a: {b: 1, c: 2}}", "{a: {b: 2}}", vec!["a.b", "a.c"]),
            ("{a: 1}", "{}", vec!["a"]),
            ("{}", "{forward_auth: {}}", vec!["forward_auth"]),
            ("{a: [1, 2]}", "{a: [2, 1]}", vec!["a"]),
            ("{}", "{identity: {claims: [a], assertion: {key: k}}}", vec!["identity.assertion"]),
            ("{identity: {assertion: a}}", "{}", vec!["identity.assertion"]),
            ("{pages: {contact: a}, log: {level: a}}", "{log: {level: b}}", vec!["log.level"]),
            ("{}", "{licences: [1]}", vec!["licences (whether there are any)"]),
            ("{licences: [1]}", "{licences: null}", vec!["licences (whether there are any)"]),
            ("{seats: {managed: true}}", "{seats: {managed: true}, licences: [1]}", vec![]),
            ("{routes: [1], routesx: 1}", "{routes: [2], routesx: 2}", vec!["routesx"]),
        ];
        for (old, new, expected) in cases {
            assert_eq!(differ(old, new), expected, "{old} {new}");
        }
    }

    #[test]
    fn what_has_a_life_of_its_own_does_not_change_with_the_routes_that_it_is_written_in() {
        let old =
            "{routes: [{path: /a, credentials: {kind: token}}, {path: /b, credentials: named, envelope: {key: k}}]}";
        let moved = "{routes: [{path: /0}, {path: /b, credentials: other, envelope: {key: k}}, {path: /a, credentials: {kind: token}}]}";
        assert_eq!(differ(old, moved), [""; 0]);
        let another = "{routes: [{path: /a, credentials: {kind: static}}, {path: /b, envelope: {key: k}}]}";
        assert_eq!(differ(old, another), ["credentials written in upstreams and routes"]);
        assert_eq!(differ(another, "{routes: [{path: /a, credentials: {kind: static}}]}"), ["routes[*].envelope"]);
        let upstreams = "{upstreams: {b: {credentials: {kind: token}}, a: {credentials: {kind: static}}}}";
        assert_eq!(
            differ(upstreams, "{upstreams: {c: {credentials: {kind: static}}, d: {credentials: {kind: token}}}}"),
            [""; 0]
        );
        assert_eq!(
            differ(upstreams, "{upstreams: {c: {credentials: {kind: token}}, d: {credentials: {kind: static}}}}").len(),
            1
        );
    }

    #[test]
    fn a_change_of_one_site_is_said_of_that_one() {
        let site = |name: &str, text: &str| (Some(name.to_owned()), serde_yaml::from_str(text).unwrap());
        let old = Outline(vec![site("a", "{x: 1, store: m}"), site("b", "{x: 1, store: m}")]);
        let new = Outline(vec![site("a", "{x: 1, store: f}"), site("b", "{x: 2, store: f}")]);
        assert_eq!(old.needs_restart(&new), ["store", "x (of b)"]);
        assert_eq!(old.needs_restart(&Outline(old.0[..1].to_vec())), ["sites"]);
        assert_eq!(old.needs_restart(&old), [""; 0]);
    }
}
