//! The JSON Schema of the configuration, generated from the types in `written`.
//!
//! `vestibule schema` prints it for editors, `reference` writes the documentation from it, and
//! `parse` asks it where lists may stand.

use super::sites::is_of_the_process;
use super::written::Written;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::sync::LazyLock;

/// The JSON Schema (draft 2020-12) of the configuration file.
pub fn schema() -> &'static Value {
    // Half a megabyte that never changes, and each reading of a configuration needs it.
    static SCHEMA: LazyLock<Value> = LazyLock::new(generate);
    &SCHEMA
}

fn generate() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Written>().to_value();
    tidy(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Vestibule's configuration".into());
        root.remove("description");
    }
    if let Some(site) = site_schema(&schema)
        && let Some(sites) = schema.pointer_mut("/properties/sites").and_then(Value::as_object_mut)
    {
        sites.insert("additionalProperties".to_owned(), site);
    }
    if let Some(root) = schema.as_object_mut()
        && let Some(required) = root.remove("required")
    {
        // What is required may be in each site, and what is a site's is in none of the rest.
        root.insert("if".to_owned(), serde_json::json!({"required": ["sites"]}));
        root.insert("then".to_owned(), serde_json::json!({"not": {"required": ["public_url"]}}));
        root.insert("else".to_owned(), serde_json::json!({ "required": required }));
    }
    schema
}

/// What may stand below the name of a site: what may stand in the file, but for what belongs to the
/// process. The rest of the file may have what is required.
fn site_schema(schema: &Value) -> Option<Value> {
    let keys = schema.get("properties")?.as_object()?.iter();
    let keys: serde_json::Map<String, Value> =
        keys.filter(|(key, _)| !is_of_the_process(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    Some(serde_json::json!({
        "type": "object",
        "properties": keys,
        "required": ["public_url"],
        "additionalProperties": false,
    }))
}

/// Takes out what the Rust types bring and a reader of the schema does not need: `null` beside
/// every type that may be left out, and the ranges of Rust's integers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(entries) => {
            entries.retain(|key, value| !(key == "format" && value.as_str().is_some_and(|f| f.starts_with("uint"))));
            if let Some(types) = entries.get_mut("type") {
                let named = types.as_array_mut().map(|types| {
                    types.retain(|name| name != "null");
                    types.clone()
                });
                if let Some([only]) = named.as_deref() {
                    *types = only.clone();
                }
            }
            if let Some(Value::Array(choices)) = entries.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            if let Some(Value::Array(choices)) = entries.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&Value::from("null")));
                if let [only] = choices.as_slice() {
                    let only = only.clone();
                    entries.remove("anyOf");
                    for (key, value) in only.as_object().into_iter().flatten() {
                        // The key's own words win over those of its type.
                        entries.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
            entries.iter_mut().filter(|(key, _)| !is_data(key)).for_each(|(_, value)| tidy(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_data(key: &str) -> bool {
    matches!(key, "default" | "examples" | "const")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_object(schema: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| each_object(item, visit)),
            Value::Object(entries) => {
                visit(entries);
                entries.iter().filter(|(key, _)| !is_data(key)).for_each(|(_, value)| each_object(value, visit));
            }
            _ => {}
        }
    }

    #[test]
    fn every_mapping_is_closed_and_every_key_is_described() {
        let mut keys = 0;
        each_object(schema(), &mut |entries| {
            if let Some(Value::Object(properties)) = entries.get("properties")
                && entries.get("type") == Some(&"object".into())
            {
                assert_eq!(entries.get("additionalProperties"), Some(&Value::Bool(false)), "{entries:?}");
                for (name, property) in properties {
                    assert!(property["description"].is_string(), "{name} has no description");
                    keys += 1;
                }
            }
        });
        assert!(keys > 60, "{keys}");
    }

    #[test]
    fn nothing_of_rust_shows() {
        let text = schema().to_string();
        for foreign in ["uint", "$ref", "\"null\"", "Option", "default\":null"] {
            assert!(!text.contains(foreign), "{foreign}");
        }
    }
}
