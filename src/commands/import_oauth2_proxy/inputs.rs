//! Which kind each input is, by its name or else by what stands in it.
//!
//! Called by `import_oauth2_proxy`. Each kind has its reader.

use super::gathered::{Gathered, is_one_line};
use super::{alpha, command_line, env_file, manifest, toml_file};
use serde::Deserialize;
use serde_yaml::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Toml,
    Environment,
    Shell,
    Unit,
    Yaml,
}

/// Reads the text of a file; `name` is what messages call it.
pub(super) fn read(name: &str, text: &str, out: &mut Gathered) {
    out.inputs.push(name.rsplit('/').next().unwrap_or(name).to_owned());
    if !text.lines().all(|line| is_one_line(&line.replace(['\r', '\t'], " "))) {
        out.mistake(name, "is no text");
        return;
    }
    match kind(name, text) {
        Some(Kind::Toml) => toml_file::read(text, name, out),
        Some(Kind::Environment) => env_file::read(text, name, out),
        Some(Kind::Shell) => command_line::read_shell(text, name, out),
        Some(Kind::Unit) => command_line::read_unit(text, name, out),
        Some(Kind::Yaml) => read_yaml(name, text, out),
        None => out.mistake(
            name,
            "is not recognised: neither oauth2-proxy's TOML, nor its alpha configuration, an environment, a command \
             line, a systemd unit or a manifest with one",
        ),
    }
}

fn kind(name: &str, text: &str) -> Option<Kind> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "cfg" | "toml" | "conf" => return Some(Kind::Toml),
        "env" => return Some(Kind::Environment),
        "sh" => return Some(Kind::Shell),
        "service" => return Some(Kind::Unit),
        "yaml" | "yml" | "json" => return Some(Kind::Yaml),
        _ if name.starts_with(".env") => return Some(Kind::Environment),
        _ => {}
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.clone().next()?;
    let is_upper =
        |line: &str| env_file::assignment(line).is_some_and(|(name, _)| !name.chars().any(|c| c.is_ascii_lowercase()));
    let is_key = |line: &str| {
        line.split_once('=').is_some_and(|(key, _)| {
            key.trim().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
    };
    if first.starts_with('[') && text.contains("ExecStart") {
        Some(Kind::Unit)
    } else if first.starts_with("--")
        || text.starts_with("#!")
        || lines.clone().any(|line| line.split_whitespace().any(command_line::is_program))
    {
        Some(Kind::Shell)
    } else if lines.clone().all(is_upper) {
        Some(Kind::Environment)
    } else if lines.any(is_key) {
        Some(Kind::Toml)
    } else if matches!(serde_yaml::from_str::<Value>(text), Ok(Value::Mapping(_) | Value::Sequence(_))) {
        Some(Kind::Yaml)
    } else {
        None
    }
}

fn read_yaml(name: &str, text: &str, out: &mut Gathered) {
    let mut found = false;
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).and_then(|mut value| value.apply_merge().map(|()| value));
        // The library's own words may repeat what stands there.
        let value = match value {
            Ok(value) => value,
            Err(error) => {
                let says = match error.location() {
                    Some(place) => {
                        format!("{name}:{}: is not YAML, or has a key twice: look at this line", place.line())
                    }
                    None => format!("{name}: is not YAML, or has a key twice"),
                };
                out.mistakes.push(says);
                return;
            }
        };
        match &value {
            Value::Mapping(mapping) if alpha::is_alpha(mapping) => {
                alpha::read(mapping, name, out);
                found = true;
            }
            value => found |= manifest::read(value, name, out),
        }
    }
    if !found {
        out.mistake(name, "holds no arguments, environment or configuration of oauth2-proxy");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_or_by_its_content() {
        for (name, text, expected) in [
            ("/etc/oauth2-proxy.cfg", "", Some(Kind::Toml)),
            ("a/.env", "", Some(Kind::Environment)),
            (".env.production", "", Some(Kind::Environment)),
            ("prod.env", "", Some(Kind::Environment)),
            ("start.sh", "", Some(Kind::Shell)),
            ("oauth2-proxy.service", "", Some(Kind::Unit)),
            ("values.yml", "", Some(Kind::Yaml)),
            ("config", "# c\nclient_id = \"a\"\n", Some(Kind::Toml)),
            ("environment", "OAUTH2_PROXY_CLIENT_ID=a\n", Some(Kind::Environment)),
            ("args", "--provider=oidc --client-id=a", Some(Kind::Shell)),
            ("start", "#!/bin/sh\nA=b\n", Some(Kind::Shell)),
            ("line", "/usr/bin/oauth2-proxy --provider oidc", Some(Kind::Shell)),
            ("unit", "[Unit]\nX=y\n[Service]\nExecStart=/bin/oauth2-proxy\n", Some(Kind::Unit)),
            ("args", "- --provider=oidc\n", Some(Kind::Yaml)),
            ("alpha", "providers:\n- clientID: a\n", Some(Kind::Yaml)),
            ("prose", "Once upon a time", None),
            ("nothing", "", None),
        ] {
            assert_eq!(kind(name, text), expected, "{name} {text}");
        }
    }
}
