//! The reference page `docs/configuration.md`, written from the schema.
//!
//! A test keeps the page current. Only the introduction is prose of its own; everything said of a
//! key is the doc comment of its field in `written`.

use super::schema::schema;
use super::sites::OF_THE_PROCESS;
use serde_json::Value;
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Configuration

Vestibule reads a YAML file, `vestibule serve --config vestibule.yaml`, or several, each over those before it: \
[environments](#several-environments).

- **Unknown keys are mistakes**, and every mistake is reported at once: `vestibule check --config vestibule.yaml` \
says for each where it is, what was expected and what to write. It also lists settings that run but are dangerous.
- **Secrets are never in the file.** Where one goes, write `{file: /path/to/the/secret}` or `{env: NAME}`. A final \
line break in the file is not part of the secret. Relative paths start at the working directory.
- **Lengths of time** have a unit: `500ms`, `90s`, `15m`, `12h`, `30d`.
- `vestibule schema` prints this page as a JSON Schema, for editors that complete and check YAML.

The smallest useful file:

```yaml
public_url: https://app.example.gouv.fr
providers:
  proconnect:
    preset: proconnect
    environment: integration
    client_id: 2c5e0d9a-3b0f-4b8e-9c55-0d6f0a9a7c11
    client_secret: {file: /run/secrets/proconnect}
session:
  keys: [{id: \"2026-11\", secret: {file: /run/secrets/session-key}}]
upstreams:
  app: {url: \"http://127.0.0.1:8501\"}
routes:
  - {path: /**, upstream: app}
```

Longer ones, each for a situation, are in [`config/`](../config).

## Several environments

What staging and production have in common is written once: `vestibule serve --config base.yaml --config \
production.yaml`, and likewise `check` and `sessions`. A later file goes over the earlier ones by three rules:

- **Mappings are merged**, key by key: where `base.yaml` has a provider with its `scopes`, `production.yaml` writes \
the same name with its `client_id` alone.
- **Everything else is replaced whole**: texts, numbers, lists, and what can be written in more than one form (whose \
type below has an \"or\", such as a secret, a listener, `store` or `identity.headers`) or is passed on as it is \
(`claims`). So a `client_secret: {file: …}` takes the place of `{env: …}`, and a file that changes one route writes \
all routes.
- **`null` takes a key away**: `trusted_proxies: null`. So does a key with nothing behind it. Where no earlier file \
has the key it is a mistake.

Each file is held to all the rules by itself, and a mistake is reported with the file and the line where its text \
stands, one of the combination too. The same file twice is a mistake. No file includes another, and the order on the \
command line is the only one. An example is in [`deploy/environments/`](../deploy/environments). Several public hosts \
at once are [`sites`](#sites), not environments.

This page is generated from the program's types: change the comments in `src/config/written/`, then run \
`UPDATE=1 cargo test reference`.
";

/// Every key's name, in the order in which a person reads about them: the schema has them by name.
const ORDER: &[&str] = &[
    "kind",
    "public_url",
    "sites",
    "prefix",
    "listeners",
    "proxy",
    "admin",
    "address",
    "tls",
    "certificate",
    "client_ca",
    "key",
    "trusted_proxies",
    "providers",
    "preset",
    "environment",
    "issuer",
    "client_id",
    "client_secret",
    "client_authentication",
    "client_keys",
    "client_certificate",
    "pushed_requests",
    "label",
    "email_domains",
    "scopes",
    "acr_values",
    "siret_hint",
    "idp_hint",
    "parameters",
    "id_token_algorithms",
    "endpoints",
    "authorization",
    "authorize",
    "token",
    "jwks_uri",
    "userinfo",
    "end_session",
    "revocation",
    "pushed_authorization",
    "callback_iss",
    "format",
    "algorithms",
    "typ",
    "signed",
    "clock_leeway",
    "session",
    "keys",
    "id",
    "name",
    "certificates",
    "sha256",
    "san",
    "secret",
    "until",
    "idle",
    "lifetime",
    "sign_in_age",
    "refresh",
    "margin",
    "outage",
    "keep",
    "data",
    "of",
    "forget_after",
    "cookies",
    "domain",
    "same_site",
    "sign_in",
    "entry",
    "timeout",
    "return_to",
    "after",
    "keep_forms",
    "store",
    "file",
    "redis",
    "on_store_down",
    "sign_ins",
    "sessions",
    "for",
    "upstreams",
    "url",
    "urls",
    "mode",
    "master_name",
    "username",
    "password",
    "sentinel_username",
    "sentinel_password",
    "ca",
    "timeouts",
    "connect",
    "read",
    "websocket_idle",
    "websocket_max_age",
    "routes",
    "path",
    "host",
    "methods",
    "access",
    "provider",
    "require",
    "allow",
    "deny",
    "bearer",
    "upstream",
    "strip_prefix",
    "policies",
    "seat",
    "licences",
    "serial",
    "seats",
    "active",
    "valid",
    "from",
    "to",
    "duration",
    "owner",
    "surname",
    "affiliation",
    "comments",
    "covers",
    "everyone",
    "when_full",
    "displace_idlest",
    "overflow",
    "managed",
    "accept",
    "finding",
    "at",
    "because",
    "debug",
    "decision_header",
    "email_domain",
    "email",
    "sub",
    "roles",
    "groups",
    "idp_id",
    "siret",
    "siren",
    "organization_label",
    "acr",
    "amr",
    "network",
    "time",
    "days",
    "hours",
    "zone",
    "one_of",
    "all_of",
    "none_of",
    "prefix",
    "at_least",
    "at_most",
    "present",
    "all",
    "any",
    "none",
    "who",
    "fr",
    "en",
    "credentials",
    "header",
    "admin_key",
    "version",
    "role",
    "organization",
    "rules",
    "when",
    "refuse",
    "mint",
    "key_name",
    "key_lifetime",
    "audience",
    "resource",
    "scope",
    "subject",
    "requested_token_type",
    "endpoint",
    "claim",
    "fold_case",
    "client_authorization",
    "envelope",
    "derivation",
    "ttl",
    "session_cookie",
    "token_endpoints",
    "logout",
    "cookieless",
    "cors",
    "csrf",
    "origins",
    "cookie",
    "preflight",
    "max_age",
    "expose",
    "albert_endpoints",
    "allowed_domains",
    "forward_auth",
    "forward_auth_grpc",
    "not_signed_in",
    "cache",
    "aliases",
    "callback",
    "start",
    "sign_out",
    "answer",
    "auth",
    "userinfo",
    "ping",
    "ready",
    "robots",
    "identity",
    "headers",
    "encoding",
    "claims",
    "assertion",
    "pages",
    "application",
    "contact",
    "log",
    "level",
    "threads",
    "shutdown_grace",
];

/// The reference page, in Markdown.
pub fn reference() -> String {
    let schema = schema();
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Keys\n\n");
    for key in keys(schema) {
        let anchor = key.path.replace(['.', '<', '>', '[', ']'], "").to_lowercase();
        let _ = writeln!(page, "- [`{}`](#{anchor}): {}", key.path, first_sentence(&key.schema));
    }
    for key in keys(schema) {
        write_key(&mut page, &key, 2);
    }
    page
}

/// One key: its path as a person would say it, and its schema.
struct Key {
    path: String,
    schema: Value,
    required: bool,
}

/// The keys directly below `schema`.
fn keys(schema: &Value) -> Vec<Key> {
    below(schema, "")
}

fn below(schema: &Value, path: &str) -> Vec<Key> {
    let required = |name: &str| {
        let required = schema.get("required").or_else(|| schema.pointer("/else/required"));
        required.and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name))
    };
    let dot = if path.is_empty() { "" } else { "." };
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut keys: Vec<Key> = properties
        .map(|(name, schema)| Key {
            path: format!("{path}{dot}{name}"),
            schema: schema.clone(),
            required: required(name),
        })
        .collect();
    keys.sort_by_key(|key| ORDER.iter().position(|name| key.path.rsplit('.').next() == Some(name)));
    keys
}

fn write_key(page: &mut String, key: &Key, level: usize) {
    let hashes = "#".repeat(level.min(4));
    let schema = &key.schema;
    let _ = writeln!(page, "\n{hashes} `{}`\n", key.path);
    let mut facts = vec![type_of(schema)];
    if key.required {
        facts.push("required".to_owned());
    } else if let Some(default) = schema.get("default") {
        facts.push(format!("default `{}`", inline(default)));
    }
    let _ = writeln!(page, "*{}.*\n\n{}", facts.join("; "), description(schema));
    for choice in choices(schema) {
        page.push_str(&choice);
    }
    let examples: Vec<&Value> = schema.get("examples").and_then(Value::as_array).into_iter().flatten().collect();
    if !examples.is_empty() {
        let name = key.path.rsplit('.').next().unwrap_or_default();
        page.push_str("\n```yaml\n");
        for example in examples {
            let _ = writeln!(page, "{name}: {}", inline(example));
        }
        page.push_str("```\n");
    }
    if key.path == "sites" {
        let _ = writeln!(page, "\nThe keys of a site are those of this page, except {}.", listed_of_the_process());
        return;
    }
    if let Some(same) = schema.get("x-same-as").and_then(Value::as_str) {
        let _ = writeln!(page, "\nThe keys of the mapping are those of each of [`{same}`](#{same}).");
        return;
    }
    for (suffix, inner) in inner_mappings(schema) {
        for key in below(inner, &format!("{}{suffix}", key.path)) {
            write_key(page, &key, level + 1);
        }
    }
}

/// What no site says, as a person lists it.
fn listed_of_the_process() -> String {
    let keys: Vec<String> = OF_THE_PROCESS.iter().map(|key| format!("`{key}`")).collect();
    super::parse::listed(&keys.iter().map(String::as_str).collect::<Vec<_>>()).replace(" or ", " and ")
}

/// The mappings inside a key, with what a path to them adds: its own keys, those of each entry of
/// a named mapping, those of each item of a list, and those of one of several forms.
fn inner_mappings(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    if is_secret(schema) {
        return found;
    }
    let add = |suffix: String, inner: &Value| {
        // What has a name of its own is said whole by it.
        let is_long = inner.get("properties").is_some() && inner.get("x-type").is_none();
        is_long.then_some(suffix)
    };
    if let Some(suffix) = add(String::new(), schema) {
        found.push((suffix, schema));
    }
    if let Some(entry) = schema.get("additionalProperties") {
        let name = schema.get("x-name").and_then(Value::as_str).unwrap_or("NAME");
        found.extend(add(format!(".{name}"), entry).map(|suffix| (suffix, entry)));
    }
    if let Some(item) = schema.get("items") {
        found.extend(add("[]".to_owned(), item).map(|suffix| (suffix, item)));
    }
    for form in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        found.extend(add(String::new(), form).map(|suffix| (suffix, form)));
    }
    found
}

fn is_secret(schema: &Value) -> bool {
    schema.get("x-type").and_then(Value::as_str).is_some_and(|named| named.starts_with("secret"))
}

/// The type of a value, in words.
fn type_of(schema: &Value) -> String {
    if let Some(named) = schema.get("x-type").and_then(Value::as_str) {
        return named.to_owned();
    }
    if let Some(forms) = schema.get("anyOf").and_then(Value::as_array) {
        return forms.iter().map(type_of).collect::<Vec<_>>().join(", or ");
    }
    let values = enumerated(schema);
    if !values.is_empty() {
        return values.iter().map(|(value, _)| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer" | "number") => "number".to_owned(),
        Some("array") => match schema.get("items") {
            Some(items) if enumerated(items).is_empty() => format!("list of {}", plural(items)),
            Some(items) => format!("list of {}", type_of(items)),
            None => "list".to_owned(),
        },
        _ => match (schema.get("additionalProperties"), schema.get("x-name").and_then(Value::as_str)) {
            (Some(entry), Some(name)) if entry.get("properties").is_some() => {
                format!("mapping of `{name}` to the keys below")
            }
            (Some(entry), Some(name)) if entry.is_object() => format!("mapping of `{name}` to {}", type_of(entry)),
            _ => "mapping".to_owned(),
        },
    }
}

fn plural(schema: &Value) -> String {
    match type_of(schema).as_str() {
        "text" => "texts".to_owned(),
        "mapping" => "mappings".to_owned(),
        other => other.to_owned(),
    }
}

/// The values of a choice, with what each means where the types say it.
fn enumerated(schema: &Value) -> Vec<(String, Option<&str>)> {
    let plain = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let plain = plain.filter_map(Value::as_str).map(|value| (value.to_owned(), None));
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten().flat_map(|choice| {
        let description = choice.get("description").and_then(Value::as_str);
        match choice.get("const").and_then(Value::as_str) {
            Some(value) => vec![(value.to_owned(), description)],
            None => enumerated(choice),
        }
    });
    plain.chain(described).collect()
}

fn choices(schema: &Value) -> Vec<String> {
    let mut lines: Vec<String> = enumerated(schema)
        .into_iter()
        .filter_map(|(value, meaning)| Some(format!("- `{value}`: {}\n", flowing(meaning?))))
        .collect();
    let forms = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let entries = forms.chain([schema]).filter_map(|form| form.get("additionalProperties"));
    for entry in entries.filter(|entry| entry.get("properties").is_none()) {
        lines.extend(entry.get("description").and_then(Value::as_str).map(|text| format!("{}\n", flowing(text))));
    }
    if !lines.is_empty() {
        lines.insert(0, "\n".to_owned());
    }
    lines
}

fn description(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).map(flowing).unwrap_or_default()
}

fn first_sentence(schema: &Value) -> String {
    let text = description(schema);
    let end = text.find(". ").map_or(text.len(), |dot| dot + 1);
    text.get(..end).unwrap_or(&text).to_owned()
}

/// Doc comments are broken at the width of the source; the page flows.
fn flowing(text: &str) -> String {
    text.split("\n\n").map(|paragraph| paragraph.lines().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n\n")
}

/// A value as YAML on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted_where_needed(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {}", inline(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn quoted_where_needed(text: &str) -> String {
    let reads_back =
        |yaml: &str| serde_yaml::from_str::<Vec<String>>(&format!("[{yaml}]")).is_ok_and(|read| read == [text]);
    // A date or a row of digits reads back as text, and yet not for every YAML reader.
    let looks_numeric =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '-');
    if reads_back(text) && !looks_numeric { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a developer asks for the page to be written anew")]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let page = reference();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/configuration.md is out of date: run `UPDATE=1 cargo test reference`");
    }

    #[test]
    fn every_key_has_its_place() {
        fn check(keys: Vec<Key>) {
            for key in keys {
                let name = key.path.rsplit('.').next().unwrap();
                assert!(ORDER.contains(&name), "{name} is not in ORDER");
                for (suffix, inner) in inner_mappings(&key.schema) {
                    check(below(inner, &format!("{}{suffix}", key.path)));
                }
            }
        }
        check(keys(schema()));
    }

    #[test]
    fn every_key_of_the_schema_is_on_the_page() {
        let page = reference();
        for key in [
            "public_url",
            "listeners.proxy.tls.certificate",
            "providers.NAME.endpoints.callback_iss",
            "session.keys[].secret",
            "routes[].strip_prefix",
            "upstreams.NAME.timeouts.websocket_idle",
            "log.level",
        ] {
            assert!(page.contains(&format!("`{key}`\n")), "{key}");
        }
    }
}
