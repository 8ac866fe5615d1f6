//! The command line: flags in, exit code out.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

mod commands;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// ProConnect sign-in in front of an unmodified app.
#[derive(Parser)]
#[command(name = "vestibule", version, about, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything on loopback with no configuration: a ProConnect-like provider, a small app and the proxy
    Demo {
        /// The port to open in a browser
        #[arg(long, default_value_t = 4180)]
        port: u16,
    },
    /// Run the sidecar
    Serve(ConfigFile),
    /// Report every mistake in a configuration at once, and list dangerous settings
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// Also ask the provider and the issuers of access tokens for their metadata and keys, and try the admin bearer of Albert APIs
        #[arg(long)]
        online: bool,
        /// Fail where anything is found that the configuration does not accept: for CI
        #[arg(long)]
        deny_findings: bool,
    },
    /// Say which route and rule decide a request, and why: exit code 0 where it reaches its app, 1 where
    /// it does not, 2 for a mistake. Nobody is asked for anything
    Explain(commands::explain::ExplainCommand),
    /// Whether a sidecar runs, by the exit code: what a container's health check asks
    Health(commands::health::HealthCommand),
    /// Session keys, signing keys, and the keys of API clients
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Live sessions, of a sidecar that runs
    Sessions {
        #[command(subcommand)]
        command: commands::sessions::SessionsCommand,
    },
    /// Licences, of a sidecar that runs: see them, and change those that it keeps in its store
    Licences {
        #[command(subcommand)]
        command: Box<commands::licences::LicencesCommand>,
    },
    /// Seats of licences, of a sidecar that runs
    Seats {
        #[command(subcommand)]
        command: commands::seats::SeatsCommand,
    },
    /// A configuration from the settings of another program
    Import {
        #[command(subcommand)]
        command: commands::import::ImportCommand,
    },
    /// Print the configuration's JSON Schema, for editors
    Schema,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Print a fresh session key: nothing else is on standard output, so it can go into its file
    New {
        /// The name that it will have under session.keys; today's date by default
        #[arg(long, value_name = "NAME", value_parser = key_name)]
        id: Option<String>,
    },
    /// Print a fresh key to sign with, in PEM: nothing else is on standard output, so it can go into its file
    Signing,
    /// Print a fresh service key for a program that calls an API: what the configuration gets of it,
    /// its hash, is on standard error
    Service {
        /// Who gets it
        #[arg(value_name = "NAME", value_parser = key_name)]
        name: String,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration, in YAML; given several times, each file goes over those before it
    #[arg(long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
}

fn key_name(text: &str) -> Result<String, &'static str> {
    let is_one = vestibule::config::is_key_name(text);
    is_one.then(|| text.to_owned()).ok_or("write up to 32 letters, digits, dots, hyphens or underscores")
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Demo { port } => commands::demo(port),
        Command::Serve(file) => commands::serve(&file.config),
        Command::Check { file, online, deny_findings } => commands::check(&file.config, online, deny_findings),
        Command::Explain(command) => commands::explain::run(command),
        Command::Health(command) => commands::health::run(command),
        Command::Keys { command: KeysCommand::New { id } } => commands::new_key(id.as_deref()),
        Command::Keys { command: KeysCommand::Signing } => commands::new_signing_key(),
        Command::Keys { command: KeysCommand::Service { name } } => commands::new_service_key(&name),
        Command::Sessions { command } => commands::sessions::run(command),
        Command::Licences { command } => commands::licences::run(*command),
        Command::Seats { command } => commands::seats::run(command),
        Command::Import { command } => commands::import::run(command),
        Command::Schema => commands::schema(),
    }
}
