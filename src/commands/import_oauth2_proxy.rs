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
const FLAGS: &str = "the command line";

pub(super) fn import(files: &[PathBuf], flags: Vec<String>) -> Result<(), Failure> {
    let mut gathered = Gathered::default();
    for path in files {
        match import::read(path) {
            Ok(text) => inputs::read(&path.display().to_string(), &text, &mut gathered),
            Err(says) => gathered.mistakes.push(says),
        }
    }
    command_line::read_words(flags, FLAGS, &mut gathered);
    let (mistakes, configuration, notes) = configuration(gathered);
    import::show(&mistakes, &configuration, &notes)
}

fn configuration(gathered: Gathered) -> (Vec<String>, String, Vec<String>) {
    let Translated { configuration, mut notes, mistakes } = translate::translate(Settings::of(gathered));
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
}
