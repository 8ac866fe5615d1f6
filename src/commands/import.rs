//! `vestibule import …`: a configuration of ours from the settings of another program.
//!
//! Called by `main`. Each program has a room of its own beside this file; here is what they share:
//! how files are read, how the outcome is shown, and how a value is written as YAML. The
//! configuration goes to standard output, what is left to do to standard error. Must never print a
//! secret, nor print anything of a configuration that was not understood.

pub(super) mod placeholder;

use super::{Failure, exit, import_albert, import_oauth2_proxy, say};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use url::Url;
use vestibule::config::{Environment, SystemEnvironment};

#[derive(Subcommand)]
pub(crate) enum ImportCommand {
    /// Print the configuration that does what the ProConnect settings of an Albert API or OpenGateLLM do
    Albert {
        /// Its config.yml
        #[arg(value_name = "CONFIG_YML")]
        file: PathBuf,
    },
    /// Print the configuration that does what the settings of an oauth2-proxy do
    #[command(name = "oauth2-proxy")]
    OAuth2Proxy {
        /// Its configuration (TOML), alpha configuration (YAML), environment (.env), command line,
        /// systemd unit or Kubernetes manifest; several where it has several
        #[arg(value_name = "FILE", required_unless_present = "flags")]
        files: Vec<PathBuf>,
        /// The proxy that asks /oauth2/auth, where one does; its settings do not say
        #[arg(long, value_name = "NAME", value_parser = ["nginx", "traefik", "caddy", "haproxy", "envoy"])]
        front_proxy: Option<String>,
        /// Its flags, as they are on its command line
        #[arg(value_name = "FLAG", last = true)]
        flags: Vec<String>,
    },
}

pub(crate) fn run(command: ImportCommand) -> ExitCode {
    exit(match command {
        ImportCommand::Albert { file } => import_albert::import(&file),
        ImportCommand::OAuth2Proxy { files, front_proxy, flags } => {
            import_oauth2_proxy::import(&files, front_proxy, flags)
        }
    })
}

/// The text of a file.
///
/// # Errors
/// Why it cannot be read, with its name.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let name = path.display();
    let bytes = SystemEnvironment.file(path).map_err(|error| format!("{name}: {error}"))?;
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| format!("{name}: is not UTF-8 text"))
}

/// Shows the outcome: the configuration with its notes, or all mistakes and nothing else.
///
/// # Errors
/// The mistakes.
pub(super) fn show(mistakes: &[String], configuration: &str, notes: &[String]) -> Result<(), Failure> {
    if !mistakes.is_empty() {
        return Err(format!("{}\nNothing was printed", mistakes.join("\n")).into());
    }
    say::print(configuration)?;
    for note in notes {
        say::note(note);
    }
    Ok(())
}

/// ProConnect's environments by host.
const PROCONNECT: [(&str, &str); 4] = [
    ("fca.integ01.dev-agentconnect.fr", "integration"),
    ("auth.agentconnect.gouv.fr", "production"),
    ("fca.integ02.agentconnect.rie.gouv.fr", "rie-integration"),
    ("auth.agentconnect.rie.gouv.fr", "rie-production"),
];

/// The environment of ProConnect that a host belongs to.
pub(super) fn proconnect_environment(host: &str) -> Option<&'static str> {
    PROCONNECT.iter().find(|(known, _)| *known == host).map(|(_, environment)| *environment)
}

/// Whether a host is that of ProConnect Identité, which is taken for ProConnect now and then.
pub(super) fn is_proconnect_identite(host: &str) -> bool {
    host.starts_with("identite") && host.ends_with("proconnect.gouv.fr")
}

/// The scopes that `written` stands for, `openid` first and each once; and whether ProConnect's own
/// names had to be taken for `profile`.
pub(super) fn scopes(written: &str, is_proconnect: bool) -> (Vec<&str>, bool) {
    let mut scopes: Vec<&str> = vec!["openid"];
    let mut of_profile = false;
    for name in written.split_ascii_whitespace() {
        let is_profile = is_proconnect && name == "profile";
        of_profile |= is_profile;
        let names = if is_profile { vec!["given_name", "usual_name"] } else { vec![name] };
        for name in names {
            if !scopes.contains(&name) {
                scopes.push(name);
            }
        }
    }
    (scopes, of_profile)
}

/// An address with a host and no password.
///
/// # Errors
/// What is wrong with it. Its text may hold a password and is not repeated.
pub(super) fn address(text: &str) -> Result<Url, &'static str> {
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
            Err("must begin with https:// or http:// and a host")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("holds a user or a password; remove them")
        }
        Ok(url) => Ok(url),
        Err(_) => Err("is no URL"),
    }
}

/// A text as YAML: as it is where it can only be read as this text, else in quotes.
pub(super) fn scalar(text: &str) -> String {
    let plain = text.contains(|c: char| c.is_ascii_alphabetic())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && !text.ends_with(':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@+-".contains(c))
        && serde_yaml::from_str::<serde_yaml::Value>(text).is_ok_and(|read| read.as_str() == Some(text));
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// Texts as a YAML list on one line.
pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = texts.into_iter().map(scalar).collect();
    format!("[{}]", items.join(", "))
}
