//! `vestibule seats`: shows who has a seat, frees one, and watches how many are in use, over the admin listener
//! of a sidecar that runs.
//!
//! Called by `commands`. Must never print to a terminal what would move its cursor, but for its own repainting.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

use super::door::{Door, columns, plain, query};
use super::licences::{At, listed, number, segment, table, text};
use super::{Failure, exit, on_runtime};
use clap::Subcommand;
use http::Method;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use vestibule::clock::Clock;

/// Puts the cursor of a terminal at its beginning, and wipes what is behind it.
const REPAINT: &str = "\x1b[H\x1b[2J";

#[derive(Subcommand)]
pub(crate) enum SeatsCommand {
    /// List who has a seat of a licence, whoever did nothing for the longest time first
    List {
        #[command(flatten)]
        at: At,
        /// The licence's identifier or its serial
        licence: String,
        /// How many at most
        #[arg(long, value_name = "N")]
        limit: Option<u16>,
        /// Print JSON, as the listener answers it
        #[arg(long)]
        json: bool,
    },
    /// Free the seat of a person: they are told so, and may take one again
    Free {
        #[command(flatten)]
        at: At,
        /// The licence's identifier or its serial
        licence: String,
        /// The person, as `list` shows them
        person: String,
    },
    /// Show how many seats are in use, again and again: repainted on a terminal, a line for each change elsewhere
    Watch {
        #[command(flatten)]
        at: At,
        /// Only licences whose serial or owner holds this
        #[arg(long, value_name = "TEXT")]
        find: Option<String>,
        /// Between two looks, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
        every: u64,
        /// How many looks; without it, until it is stopped
        #[arg(long, value_name = "N")]
        looks: Option<u64>,
    },
}

pub(crate) fn run(command: SeatsCommand) -> ExitCode {
    exit(on_runtime(Some(1), done(command)))
}

async fn done(command: SeatsCommand) -> Result<(), Failure> {
    match command {
        SeatsCommand::List { at, licence, limit, json } => {
            let (door, path) = at.licence(&licence).await?;
            let limit = query([("limit", limit.map(|limit| limit.to_string()))]);
            list(&door.ask(Method::GET, &path.to_with("/seats", &limit)).await?, json);
            Ok(())
        }
        SeatsCommand::Free { at, licence, person } => {
            let (door, path) = at.licence(&licence).await?;
            door.ask(Method::DELETE, &path.to(&format!("/seats/{}", segment(&person)))).await?;
            println!("freed: {}", plain(&person));
            Ok(())
        }
        SeatsCommand::Watch { at, find, every, looks } => watch(at, find, every, looks).await,
    }
}

fn list(found: &Value, json: bool) {
    if json {
        println!("{found:#}");
        return;
    }
    let seats = listed(found, "seats");
    if seats.is_empty() {
        eprintln!("nobody has a seat of this licence");
        return;
    }
    let heads = ["PERSON", "WHO", "ROLE", "LAST ACTIVE", "ENDS"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(seats.iter().map(|one| {
        let who = text(one, "/email").or_else(|| text(one, "/sub"));
        [text(one, "/person"), who, text(one, "/role"), text(one, "/last_active"), text(one, "/ends")]
            .map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
            .to_vec()
    }));
    print!("{}", columns(&rows));
    let of = |at: &str| number(found, at).unwrap_or_else(|| "-".to_owned());
    eprintln!("{} of {} seats are in use", of("/in_use"), of("/limit"));
}

async fn watch(at: At, find: Option<String>, every: u64, looks: Option<u64>) -> Result<(), Failure> {
    let door = Door::to(at.admin)?;
    let given =
        query([("used", Some("true".to_owned())), ("q", find), ("site", at.site), ("limit", Some("1000".to_owned()))]);
    let target = format!("/licences?{given}");
    let repaints = std::io::stdout().is_terminal();
    let (mut before, mut count) = (Vec::new(), 0);
    loop {
        match door.ask(Method::GET, &target).await {
            Ok(found) if repaints => {
                let shown = table(listed(&found, "licences"));
                print!("{REPAINT}{}\n{shown}", Clock::System.now().date_and_time());
            }
            Ok(found) => before = changes(&found, &before),
            // Whoever watches goes on watching over an outage; the first look has to work.
            Err(failure) if count > 0 => eprintln!("{failure}"),
            Err(failure) => return Err(failure),
        }
        std::io::stdout().flush()?;
        count += 1;
        if looks.is_some_and(|looks| count >= looks) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(every)).await;
    }
}

/// A line for each licence of which more seats are in use than before, or fewer; what is in use now.
fn changes(found: &Value, before: &[(String, String, String)]) -> Vec<(String, String, String)> {
    let now = Clock::System.now().rfc3339();
    let licences = listed(found, "licences").iter().filter_map(|one| {
        let id = text(one, "/licence/id")?;
        let name = text(one, "/licence/serial").unwrap_or_else(|| id.clone());
        let in_use = format!("{} of {}", number(one, "/in_use")?, number(one, "/licence/seats")?);
        Some((id, name, in_use))
    });
    let present: Vec<(String, String, String)> = licences.collect();
    for (id, name, in_use) in &present {
        if !before.iter().any(|(former, _, was)| former == id && was == in_use) {
            println!("{now} {name}: {in_use} in use");
        }
    }
    for (id, name, _) in before {
        if !present.iter().any(|(there, ..)| there == id) {
            println!("{now} {name}: none in use");
        }
    }
    present
}
