//! `vestibule import albert`: the sign-in settings of an Albert API, as a configuration of ours.
//!
//! Called by `commands`. The configuration goes to standard output, what is left to do and what was
//! not taken over to standard error. Must never print a secret: `found` hands out where secrets
//! stand and not what they are, and no message repeats a value.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

mod found;
mod registration;
mod translate;

use super::{Failure, exit};
use clap::Subcommand;
use found::Source;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vestibule::config::{Environment, SystemEnvironment};

#[derive(Subcommand)]
pub(crate) enum ImportCommand {
    /// Print the configuration that does what the ProConnect settings of an Albert API or OpenGateLLM do
    Albert {
        /// Its config.yml
        #[arg(value_name = "CONFIG_YML")]
        file: PathBuf,
    },
}

pub(crate) fn run(command: ImportCommand) -> ExitCode {
    let ImportCommand::Albert { file } = command;
    exit(import(&file))
}

fn import(path: &Path) -> Result<(), Failure> {
    let name = path.display();
    let bytes = SystemEnvironment.file(path).map_err(|error| format!("{name}: {error}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{name}: is not UTF-8 text"))?;
    let mut source = Source::parse(text).map_err(|says| format!("{name}: {says}"))?;
    let (configuration, notes) = translate::translate(&mut source);
    if !source.mistakes.is_empty() {
        let mistakes: Vec<String> = source.mistakes.iter().map(|mistake| format!("{name}: {mistake}")).collect();
        return Err(format!("{}\nNothing was printed", mistakes.join("\n")).into());
    }
    print!("{configuration}");
    for note in notes {
        eprintln!("{name}: {note}");
    }
    Ok(())
}
