//! Several files as one: what a later one says goes over what the earlier ones say.
//!
//! `from_texts` calls it, between reading each file and resolving the whole. One rule: a mapping
//! whose keys the schema knows, or whose keys are names, is merged key by key; whatever else there
//! is, is a value, and a later value takes the place of an earlier one whole. So is every key that
//! can be written in more than one form (a secret, a listener, `store`): half of one form under
//! half of another must never come out. `null` in a later file takes away what an earlier one said.
//!
//! Remembers for every key which file it came from, so that each mistake is reported where the
//! text stands that is wrong.

use super::problem::{Fault, KeyPath, Segment};
use serde_json::Value as Schema;
use serde_yaml::{Mapping, Value};
use std::collections::HashMap;

/// Several files as one.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) value: Value,
    pub(super) origins: Origin,
    pub(super) vain: Vec<Vain>,
    /// Where a later file takes away what an earlier one has below a site.
    pub(super) taken: Vec<KeyPath>,
}

/// Which file said something last, and the same for each key below where keys are merged.
#[derive(Debug, Default)]
pub(super) struct Origin {
    file: usize,
    below: HashMap<String, Origin>,
}

/// A place where a later file takes away what no earlier one has.
#[derive(Debug)]
pub(super) struct Vain {
    pub(super) file: usize,
    pub(super) fault: Fault,
}

impl Merged {
    /// Merges the files, each read for itself, in their order.
    pub(super) fn of(files: Vec<Value>, schema: &Schema) -> Self {
        let mut merged = Self { value: Value::Null, origins: Origin::default(), vain: Vec::new(), taken: Vec::new() };
        for (file, value) in files.into_iter().enumerate() {
            let mut layer = Layer { file, vain: &mut merged.vain, taken: &mut merged.taken };
            layer.put(value, &mut merged.value, &mut merged.origins, schema, &KeyPath::root());
        }
        merged
    }
}

impl Origin {
    /// The file in which a mistake at `path` is to be mended: that of the key, of the `null` that
    /// took it away, or the last that has the mapping in which it is missing. None where that is
    /// the whole configuration.
    pub(super) fn file_of(&self, path: &KeyPath) -> Option<usize> {
        let mut found = None;
        let mut origin = self;
        for segment in path.segments() {
            let Segment::Key(key) = segment else { break };
            let Some(below) = origin.below.get(key) else { break };
            found = Some(below.file);
            origin = below;
        }
        found
    }
}

/// One file, on its way over the others.
struct Layer<'a> {
    file: usize,
    vain: &'a mut Vec<Vain>,
    taken: &'a mut Vec<KeyPath>,
}

impl Layer<'_> {
    fn put(&mut self, value: Value, under: &mut Value, origin: &mut Origin, schema: &Schema, path: &KeyPath) {
        origin.file = self.file;
        let entries = match value {
            Value::Mapping(entries) if is_merged(schema) => entries,
            whole => {
                origin.below.clear();
                *under = whole;
                return;
            }
        };
        if !under.is_mapping() {
            origin.below.clear();
            *under = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(held) = under else { return };
        for (key, value) in entries {
            // Other keys than texts have been taken out, and reported.
            let Some(name) = key.as_str() else { continue };
            let path = path.key(name);
            let below = origin.below.entry(name.to_owned()).or_default();
            if value.is_null() && self.file > 0 {
                let there = held.shift_remove(name).is_some_and(|value| !value.is_null());
                if is_below_a_site(&path) {
                    // Nor does the site have it of the rest of the file.
                    held.insert(key, Value::Null);
                    self.taken.extend(there.then_some(path));
                } else if !there {
                    let message =
                        "is empty, and no file before this one has it to take away; write a value, or remove the key";
                    self.vain.push(Vain { file: self.file, fault: Fault { path, message: message.to_owned() } });
                }
                *below = Origin { file: self.file, below: HashMap::new() };
                continue;
            }
            let schema = below_key(schema, name);
            self.put(value, held.entry(key).or_insert(Value::Null), below, schema, &path);
        }
    }
}

/// Whether this is a key of a site, or below one.
fn is_below_a_site(path: &KeyPath) -> bool {
    matches!(path.segments(), [Segment::Key(sites), _, _, ..] if sites == "sites")
}

/// Whether mappings of this schema are merged: not where another form could stand as well, nor
/// where anything at all may stand in them (`claims`, in which `null` says something).
fn is_merged(schema: &Schema) -> bool {
    let forms = ["anyOf", "oneOf"].iter().any(|key| schema.get(key).is_some());
    let keys = schema.get("properties").is_some() || schema.get("additionalProperties").is_some_and(Schema::is_object);
    keys && !forms
}

fn below_key<'a>(schema: &'a Schema, name: &str) -> &'a Schema {
    let of_key = schema.get("properties").and_then(|keys| keys.get(name));
    of_key.or_else(|| schema.get("additionalProperties")).unwrap_or(&Schema::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(files: &[&str]) -> (Merged, Vec<String>) {
        let files = files.iter().map(|text| serde_yaml::from_str(text).unwrap()).collect();
        let merged = Merged::of(files, crate::config::schema());
        let vain = merged.vain.iter().map(|vain| format!("{}: {}", vain.file, vain.fault.path)).collect();
        (merged, vain)
    }

    #[test]
    fn mappings_are_merged_and_all_else_is_replaced() {
        for (what, under, over, expected) in [
            ("a text", "prefix: /a", "prefix: /b", "prefix: /b"),
            ("keys", "log: {level: info}", "log: {format: pretty}", "log: {level: info, format: pretty}"),
            ("names", "upstreams: {a: {url: x}}", "upstreams: {b: {url: y}}", "upstreams: {a: {url: x}, b: {url: y}}"),
            (
                "keys of names",
                "providers: {p: {issuer: x, client_id: c}}",
                "providers: {p: {client_id: d}}",
                "providers: {p: {issuer: x, client_id: d}}",
            ),
            (
                "a secret",
                "providers: {p: {client_secret: {env: A}}}",
                "providers: {p: {client_secret: {file: /b}}}",
                "providers: {p: {client_secret: {file: /b}}}",
            ),
            ("a list", "routes: [{path: /a}, {path: /b}]", "routes: [{path: /c}]", "routes: [{path: /c}]"),
            ("a store", "store: {file: /a}", "store: {redis: {url: r}}", "store: {redis: {url: r}}"),
            (
                "a store's own form",
                "store: {redis: {url: a, prefix: b}}",
                "store: {redis: {url: c}}",
                "store: {redis: {url: c}}",
            ),
            (
                "a listener",
                "listeners: {proxy: {address: a, tls: {key: k}}, admin: b}",
                "listeners: {proxy: {address: c}}",
                "listeners: {proxy: {address: c}, admin: b}",
            ),
            (
                "header templates, which may be a name",
                "identity: {headers: {X-A: a}}",
                "identity: {headers: {X-B: b}}",
                "identity: {headers: {X-B: b}}",
            ),
            (
                "what is passed on as it is",
                "providers: {p: {claims: {id_token: {amr: null}}}}",
                "providers: {p: {claims: {userinfo: {siret: null}}}}",
                "providers: {p: {claims: {userinfo: {siret: null}}}}",
            ),
            ("null", "log: {level: info, format: json}", "log: {level: null}", "log: {format: json}"),
            ("nothing", "prefix: /a", "", "prefix: /a"),
        ] {
            let over = if over.is_empty() { "{}" } else { over };
            let (found, vain) = merged(&[under, over]);
            assert_eq!(found.value, serde_yaml::from_str::<Value>(expected).unwrap(), "{what}");
            assert_eq!(vain, [""; 0], "{what}");
        }
    }

    #[test]
    fn one_file_alone_stays_as_it_is() {
        for text in ["public_url:", "a: {b: [null, {c: null}]}\n1: 2", "providers: {p: }", "[x]", "text", "~"] {
            let (found, vain) = merged(&[text]);
            let expected = serde_yaml::from_str::<Value>(&text.replace("\n1: 2", "")).unwrap();
            assert_eq!((found.value, vain.len()), (expected, 0), "{text}");
        }
    }

    #[test]
    fn what_was_never_said_cannot_be_taken_away() {
        let (_, vain) = merged(&["log: {level: info}", "log: {format: null}\nadmin: {token: null}\nprefix: null"]);
        assert_eq!(vain, ["1: log.format", "1: admin.token", "1: prefix"]);
        let (_, vain) = merged(&["log:", "log: null"]);
        assert_eq!(vain, ["1: log"]);
    }

    #[test]
    fn each_key_knows_its_file() {
        let (found, _) = merged(&[
            "providers: {p: {issuer: a, client_id: b, client_secret: {env: A}}}\nroutes: [{path: /a}]\nprefix: /x",
            "providers: {p: {client_id: c, client_secret: null}}\nroutes: [{path: /b}]",
            "providers: {p: {claims: {id_token: {}}}}",
        ]);
        let root = KeyPath::root();
        let provider = root.key("providers").key("p");
        for (path, file) in [
            (provider.key("issuer"), Some(0)),
            (provider.key("client_id"), Some(1)),
            (provider.key("client_secret"), Some(1)),
            (provider.key("client_secret").key("env"), Some(1)),
            (provider.key("claims").key("id_token").key("acr"), Some(2)),
            (provider.key("timeout"), Some(2)),
            (root.key("routes").item(0).key("upstream"), Some(1)),
            (root.key("prefix"), Some(0)),
            (root.key("public_url"), None),
            (root, None),
        ] {
            assert_eq!(found.origins.file_of(&path), file, "{path}");
        }
    }
}
