//! YAML in which oauth2-proxy is only a part: a list of arguments, a Kubernetes manifest, a
//! composition, the values of its Helm chart.
//!
//! Called by `inputs`. Looks for containers of oauth2-proxy and reads their arguments and their
//! environment, wherever they stand. What a Kubernetes Secret holds is not read.

use super::gathered::Gathered;
use super::{alpha, command_line, toml_file};
use serde_yaml::{Mapping, Value};

/// Reads what concerns oauth2-proxy in a document; whether there was anything.
pub(super) fn read(document: &Value, origin: &str, out: &mut Gathered) -> bool {
    match document {
        Value::Sequence(items) => match words(document).filter(|words| words.iter().any(|word| word.starts_with("--")))
        {
            Some(words) => {
                command_line::read_words(words, origin, out);
                true
            }
            None => items.iter().fold(false, |found, item| read(item, origin, out) | found),
        },
        Value::Mapping(mapping) => {
            let here = container(mapping, origin, out) | helm(mapping, origin, out) | kept(mapping, origin, out);
            mapping.values().fold(here, |found, value| {
                let is_words = words(value).is_some();
                (!is_words && read(value, origin, out)) | found
            })
        }
        _ => false,
    }
}

fn get<'a>(mapping: &'a Mapping, key: &str) -> Option<&'a Value> {
    mapping.get(key).filter(|value| !value.is_null())
}

/// A command or arguments: a list of texts, or one line.
fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(line) => command_line::words(line),
        Value::Sequence(items) if !items.is_empty() => items.iter().map(scalar).collect(),
        _ => None,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A container, or a service of a composition.
fn container(mapping: &Mapping, origin: &str, out: &mut Gathered) -> bool {
    let [command, args] = ["command", "args"].map(|key| {
        let value = get(mapping, key).filter(|value| value.is_sequence() || get(mapping, "image").is_some());
        value.and_then(words).unwrap_or_default()
    });
    let is_ours = match get(mapping, "image").and_then(Value::as_str) {
        Some(image) => command_line::is_program(image) || image.contains("oauth2-proxy"),
        None => args.iter().chain(&command).any(|word| word.starts_with("--") || command_line::is_program(word)),
    };
    if !is_ours {
        return false;
    }
    let line: Vec<String> = command.into_iter().chain(args).collect();
    let found = !line.is_empty();
    command_line::read_words(line, origin, out);
    for (key, files) in [("envFrom", false), ("env_file", true)] {
        let Some(value) = get(mapping, key) else { continue };
        let items = words(value).filter(|_| files);
        match items {
            Some(files) => files.iter().for_each(|file| out.refers(origin, key, Some(file))),
            None => out.refers(origin, key, None),
        }
    }
    let environments = ["env", "environment", "extraEnv"].map(|key| get(mapping, key));
    environments.into_iter().flatten().fold(found, |found, value| environment(value, origin, out) | found)
}

/// Variables in any of the ways that they are written.
fn environment(value: &Value, origin: &str, out: &mut Gathered) -> bool {
    match value {
        Value::Mapping(variables) => {
            for (name, value) in variables {
                if let Some(name) = name.as_str() {
                    out.variable(origin, name, scalar(value));
                }
            }
            !variables.is_empty()
        }
        Value::Sequence(items) => {
            for item in items {
                if let Some(name) = item.as_mapping().and_then(|item| get(item, "name")).and_then(Value::as_str) {
                    let value = item.as_mapping().and_then(|item| get(item, "value")).and_then(scalar);
                    out.variable(origin, name, value);
                } else if let Some((name, value)) = item.as_str().and_then(|line| line.split_once('=')) {
                    out.variable(origin, name, Some(value.to_owned()));
                }
            }
            !items.is_empty()
        }
        _ => false,
    }
}

/// The values of the Helm chart.
fn helm(mapping: &Mapping, origin: &str, out: &mut Gathered) -> bool {
    let mut found = false;
    match get(mapping, "extraArgs") {
        Some(Value::Mapping(flags)) => {
            let words = flags.iter().filter_map(|(name, value)| match value {
                Value::Null => Some(vec![format!("--{}", name.as_str()?)]),
                Value::Sequence(items) => {
                    let item = |value| Some(format!("--{}={}", name.as_str()?, scalar(value)?));
                    items.iter().map(item).collect()
                }
                value => Some(vec![format!("--{}={}", name.as_str()?, scalar(value)?)]),
            });
            let words: Vec<String> = words.flatten().collect();
            command_line::read_flags(words, &format!("{origin}: extraArgs"), out);
            found = true;
        }
        Some(value @ Value::Sequence(_)) => {
            command_line::read_flags(words(value).unwrap_or_default(), &format!("{origin}: extraArgs"), out);
            found = true;
        }
        _ => {}
    }
    if let Some(config) = get(mapping, "config").and_then(Value::as_mapping) {
        for (key, variable) in [
            ("clientID", "OAUTH2_PROXY_CLIENT_ID"),
            ("clientSecret", "OAUTH2_PROXY_CLIENT_SECRET"),
            ("cookieSecret", "OAUTH2_PROXY_COOKIE_SECRET"),
            ("cookieName", "OAUTH2_PROXY_COOKIE_NAME"),
        ] {
            if let Some(value) = get(config, key).and_then(scalar) {
                out.variable(origin, variable, Some(value));
                found = true;
            }
        }
        if let Some(file) = get(config, "configFile").and_then(Value::as_str) {
            toml_file::read(file, &format!("{origin}: config.configFile"), out);
            found = true;
        }
        if get(config, "existingSecret").is_some() {
            for variable in ["OAUTH2_PROXY_CLIENT_ID", "OAUTH2_PROXY_CLIENT_SECRET", "OAUTH2_PROXY_COOKIE_SECRET"] {
                out.variable(origin, variable, None);
            }
            found = true;
        }
    }
    if found && let Some(extra) = get(mapping, "extraEnv") {
        environment(extra, origin, out);
    }
    let alpha = get(mapping, "alphaConfig").and_then(Value::as_mapping).and_then(|alpha| get(alpha, "configData"));
    if let Some(data) = alpha.and_then(Value::as_mapping) {
        alpha::read(data, &format!("{origin}: alphaConfig.configData"), out);
        found = true;
    }
    found
}

/// A ConfigMap with its files or its variables, or a Secret, of which the names alone are read.
fn kept(mapping: &Mapping, origin: &str, out: &mut Gathered) -> bool {
    let kind = get(mapping, "kind").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "ConfigMap" | "Secret") {
        return false;
    }
    let mut found = false;
    for part in ["data", "stringData"] {
        let entries = get(mapping, part).and_then(Value::as_mapping).into_iter().flatten();
        for (name, value) in entries.filter_map(|(name, value)| Some((name.as_str()?, value))) {
            let is_cfg = name.rsplit_once('.').is_some_and(|(_, extension)| extension == "cfg");
            if name.starts_with(super::flags::PREFIX) {
                out.variable(origin, name, scalar(value).filter(|_| kind == "ConfigMap"));
                found = true;
            } else if let Some(file) = value.as_str().filter(|_| is_cfg && kind == "ConfigMap") {
                toml_file::read(file, &format!("{origin}: {name}"), out);
                found = true;
            } else if let Some(Ok(Value::Mapping(inner))) =
                value.as_str().filter(|_| kind == "ConfigMap").map(serde_yaml::from_str::<Value>)
                && alpha::is_alpha(&inner)
            {
                alpha::read(&inner, &format!("{origin}: {name}"), out);
                found = true;
            }
        }
    }
    found
}
