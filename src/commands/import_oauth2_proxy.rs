//! `vestibule import oauth2-proxy`: the settings of an oauth2-proxy, as a configuration of ours.
//!
//! Called by `import`. Every flag of version 7.15 is known by name: it becomes a key, or is said at
//! the end of the configuration with the reason why not. Where oauth2-proxy kept people out and we
//! have no rule for that, the configuration does not load. Must never print a secret: `settings`
//! hands out where secrets are and not what they are, and no message repeats a value.

mod alpha;
mod alpha_block;
mod command_line;
mod env_file;
mod flags;
mod gathered;
mod headers;
mod inputs;
mod manifest;
mod network;
mod provider;
mod regex_paths;
mod routes;
mod session;
mod settings;
mod toml_file;
mod translate;
mod who_enters;

use super::{Failure, import};
use gathered::Gathered;
use settings::Settings;
use std::path::{Path, PathBuf};
use translate::Translated;
use vestibule::config::{self, Environment, Unreadable};
use vestibule::secret::SecretString;
use zeroize::Zeroizing;

/// What messages call the flags behind `--`.
const FLAGS_BEHIND: &str = "the command line";

pub(super) fn import(files: &[PathBuf], front_proxy: Option<String>, flags: Vec<String>) -> Result<(), Failure> {
    let mut gathered = Gathered::default();
    for path in files {
        match import::read(path) {
            Ok(text) => inputs::read(&path.display().to_string(), &text, &mut gathered),
            Err(says) => gathered.mistakes.push(says),
        }
    }
    command_line::read_words(flags, FLAGS_BEHIND, &mut gathered);
    if gathered.given.is_empty() && gathered.alpha.is_none() && gathered.mistakes.is_empty() {
        gathered.mistakes.push("no setting of oauth2-proxy was given".to_owned());
    }
    let (mistakes, configuration, notes) = configuration(gathered, front_proxy);
    import::show(&mistakes, &configuration, &notes)
}

fn configuration(gathered: Gathered, front_proxy: Option<String>) -> (Vec<String>, String, Vec<String>) {
    let Translated { configuration, mut notes, mistakes } = translate::translate(Settings::of(gathered), front_proxy);
    if mistakes.is_empty()
        && let Err(problems) = config::from_text("vestibule.yaml", &configuration, &AsIfAllWereThere)
    {
        notes.extend(problems.iter().map(|problem| {
            let line = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("`vestibule check` will say: {line}{}: {}", problem.path, problem.message)
        }));
    }
    (mistakes, configuration, notes)
}

/// Secrets and files that are not here yet, to see what else would keep a configuration from loading.
struct AsIfAllWereThere;

impl Environment for AsIfAllWereThere {
    fn variable(&self, _: &str) -> Result<SecretString, Unreadable> {
        Ok("4eLj5OXm5-jp6uvs7e7v8PHy8_T19vf4-fr7_P3-_4A".into())
    }

    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let is_pem = path.extension().is_some_and(|extension| extension != "txt");
        let pem = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";
        Ok(Zeroizing::new(if is_pem { pem } else { "a secret that is not here yet, and long" }.as_bytes().to_vec()))
    }

    fn list(&self, _: &Path) -> Result<Vec<u8>, Unreadable> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::flags::{ACTIONS, FLAGS, Kind};
    use super::*;

    /// A value that each kind of flag takes, and that is not the usual one.
    fn value(name: &str, kind: Kind) -> String {
        match (name, kind) {
            ("session-store-type", _) => "redis".to_owned(),
            (_, Kind::Switch(default)) => (!default).to_string(),
            (_, Kind::Span) => "7m".to_owned(),
            (_, Kind::Number) => "7".to_owned(),
            (_, Kind::Secret) => "hunter2".to_owned(),
            (name, _) if name.ends_with("-url") || name.ends_with("-urls") || name == "upstream" => {
                "https://app.example.org/x".to_owned()
            }
            _ => "some-value".to_owned(),
        }
    }

    /// Flags that do nothing where nothing else is set.
    const BESIDE_OTHERS: [&str; 18] = [
        "metrics-tls-cert-file",
        "metrics-tls-key-file",
        "pass-basic-auth",
        "pass-user-headers",
        "real-client-ip-header",
        "redis-ca-path",
        "redis-cluster-connection-urls",
        "redis-connection-url",
        "redis-password",
        "redis-sentinel-connection-urls",
        "redis-sentinel-master-name",
        "redis-sentinel-password",
        "redis-use-cluster",
        "redis-use-sentinel",
        "redis-username",
        "tls-cert-file",
        "tls-key-file",
        "trusted-proxy-ip",
    ];

    #[test]
    fn no_flag_is_passed_over_in_silence_and_no_secret_is_printed() {
        let mut without_effect = Vec::new();
        for flag in FLAGS {
            let mut gathered = Gathered::default();
            let mut words = vec![format!("--{}={}", flag.name, value(flag.name, flag.kind))];
            // What it takes for the others to have an effect.
            for (name, value) in [
                ("client-id", "app"),
                ("email-domain", "*"),
                ("redirect-url", "https://app.example.org/oauth2/callback"),
                ("upstream", "http://127.0.0.1:8501"),
                ("oidc-issuer-url", "https://login.example.org"),
                ("provider", "oidc"),
            ] {
                if name != flag.name {
                    words.push(format!("--{name}={value}"));
                }
            }
            command_line::read_words(words, FLAGS_BEHIND, &mut gathered);
            let (mistakes, configuration, notes) = configuration(gathered, None);
            assert!(mistakes.is_empty(), "{}: {mistakes:?}", flag.name);
            assert!(configuration.contains(flag.name), "{} is not in {configuration}", flag.name);
            let all = format!("{configuration}{}", notes.join("\n"));
            assert!(!all.contains("hunter2"), "{}: {all}", flag.name);
            if configuration.contains(&format!("- {}: has no effect", flag.name)) {
                without_effect.push(flag.name);
            }
        }
        assert_eq!(without_effect, BESIDE_OTHERS);
    }

    #[test]
    fn a_file_may_hold_every_flag_at_once() {
        let line = |flag: &flags::Flag| {
            let value = value(flag.name, flag.kind);
            let value = match flag.kind {
                Kind::Switch(_) | Kind::Number => value,
                Kind::List => format!("[\"{value}\"]"),
                _ => format!("\"{value}\""),
            };
            format!("{} = {value}\n", flag.in_a_file())
        };
        let text: String = FLAGS.iter().filter(|flag| !ACTIONS.contains(&flag.name)).map(line).collect();
        let mut gathered = Gathered::default();
        inputs::read("oauth2-proxy.cfg", &text, &mut gathered);
        let (mistakes, configuration, notes) = configuration(gathered, None);
        assert_eq!(mistakes, Vec::<String>::new());
        assert!(!configuration.contains("hunter2") && !notes.join("").contains("hunter2"), "{configuration}");
        for flag in FLAGS.iter().filter(|flag| !ACTIONS.contains(&flag.name)) {
            assert!(configuration.contains(flag.name), "{} is not in {configuration}", flag.name);
        }
        assert!(configuration.contains("\n# routes:\n"), "{configuration}");
    }
}
