//! `vestibule health`: whether a sidecar runs, by its exit code; with `--ready`, whether it can sign
//! people in.
//!
//! Called by `main`, and by container engines, whose image has no shell and no other client. It
//! asks the admin listener what a probe of Kubernetes asks. Needs no token, and must never send one.

use super::{Failure, admin_address, exit, load, names, on_runtime, say};
use clap::Args;
use http::{Request, StatusCode};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use vestibule::fetch::Fetch;

/// What to ask, and where.
#[derive(Args)]
pub(crate) struct HealthCommand {
    /// The configuration of the sidecar, for the address of its admin listener: all of its files
    #[arg(long, value_name = "FILE", required_unless_present = "admin", conflicts_with = "admin")]
    config: Vec<PathBuf>,
    /// The address of the admin listener, such as http://127.0.0.1:4181
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Ask whether it can sign people in, and not only whether it runs
    #[arg(long)]
    ready: bool,
    /// How long the answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

pub(crate) fn run(command: HealthCommand) -> ExitCode {
    exit(on_runtime(Some(1), ask(command)))
}

async fn ask(command: HealthCommand) -> Result<(), Failure> {
    let address = match (command.admin, command.config.as_slice()) {
        (Some(address), _) => admin_address::given(&address)?,
        (None, []) => return Err("give --config FILE, or --admin URL".into()),
        (None, files) => admin_address::of(&names(files), &load(files)?.server.admin, "--admin URL")?,
    };
    let (path, well) = if command.ready { ("/readyz", "ready") } else { ("/healthz", "alive") };
    let request = Request::get(format!("{address}{path}"))
        .body(Vec::new())
        .map_err(|_| format!("--admin: {address:?} is no address; write http://127.0.0.1:4181"))?;
    let answer = Fetch::new()?
        .send(request, Duration::from_secs(command.timeout))
        .await
        .map_err(|error| format!("{address}: {error}; is this the admin listener of a sidecar that runs?"))?;
    match answer.status() {
        StatusCode::OK => say::line(&format!("{address}: {well}")),
        StatusCode::SERVICE_UNAVAILABLE if command.ready => {
            Err(format!("{address}: it runs and is not ready; its log says why").into())
        }
        status => Err(format!("{address} answers {status}, which no admin listener of Vestibule's does").into()),
    }
}
