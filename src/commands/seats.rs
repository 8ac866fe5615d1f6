//! `vestibule seats`: shows who has a seat, frees one, and watches how many are in use, over the admin listener
//! of a sidecar that runs.
//!
//! Called by `commands`. Must never print to a terminal what would move its cursor, but for its own repainting.

use super::door::{Door, query};
use super::licences::shown::{has_more, listed, number, rows, table, text};
use super::licences::{At, segment};
use super::say::{line, note, plain, print, put};
use super::{Failure, exit, on_runtime, say};
use clap::Subcommand;
use http::Method;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use vestibule::clock::Clock;

/// Puts the cursor of a terminal at its beginning, and wipes what is behind it.
const REPAINT: &str = "\x1b[H\x1b[2J";

/// How many licences are asked for at once: the most that the listener answers with.
const A_PAGE: usize = 1000;

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
            list(&door.ask(Method::GET, &path.to_with("/seats", &limit)).await?, json)
        }
        SeatsCommand::Free { at, licence, person } => {
            let (door, path) = at.licence(&licence).await?;
            door.ask(Method::DELETE, &path.to(&format!("/seats/{}", segment(&person)))).await?;
            line(&format!("freed: {}", plain(&person)))
        }
        SeatsCommand::Watch { at, find, every, looks } => watch(at, find, every, looks).await,
    }
}

fn list(found: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return line(&say::json(found)?);
    }
    let seats = listed(found, "seats");
    if seats.is_empty() {
        note("nobody has a seat of this licence");
        return Ok(());
    }
    print(&rows(["PERSON", "WHO", "ROLE", "LAST ACTIVE", "ENDS"], seats, |one| {
        let who = text(one, "/email").or_else(|| text(one, "/sub"));
        [text(one, "/person"), who, text(one, "/role"), text(one, "/last_active"), text(one, "/ends")]
    }))?;
    let of = |at: &str| number(found, at).unwrap_or_else(|| "-".to_owned());
    note(&format!("{} of {} seats are in use", of("/in_use"), of("/limit")));
    Ok(())
}

async fn watch(at: At, find: Option<String>, every: u64, looks: Option<u64>) -> Result<(), Failure> {
    let door = Door::to(at.admin)?;
    let repaints = std::io::stdout().is_terminal();
    let (mut before, mut count) = (Vec::new(), 0);
    loop {
        let is_read = match used(&door, find.as_ref(), at.site.as_ref()).await {
            Ok(licences) if repaints => {
                put(&format!("{REPAINT}{}\n{}", Clock::System.now().date_and_time(), table(&licences)))?
            }
            Ok(licences) => {
                let present = uses(&licences);
                let changes = changes(&present, &before, &Clock::System.now().rfc3339());
                before = present;
                put(&changes)?
            }
            // Whoever watches goes on watching over an outage; the first look has to work.
            Err(failure) if count > 0 => {
                note(&failure.to_string());
                true
            }
            Err(failure) => return Err(failure),
        };
        count += 1;
        if !is_read || looks.is_some_and(|looks| count >= looks) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(every)).await;
    }
}

/// All licences of which seats may be in use, a page after another.
async fn used(door: &Door, find: Option<&String>, site: Option<&String>) -> Result<Vec<Value>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let given = query([
            ("used", Some("true".to_owned())),
            ("q", find.cloned()),
            ("site", site.cloned()),
            ("limit", Some(A_PAGE.to_string())),
            ("after", after),
        ]);
        let found = door.ask(Method::GET, &format!("/licences?{given}")).await?;
        all.extend_from_slice(listed(&found, "licences"));
        after = next_after(&found);
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Behind which licence the next page begins, if there is one.
fn next_after(found: &Value) -> Option<String> {
    let last = listed(found, "licences").last().filter(|_| has_more(found))?;
    text(last, "/licence/id")
}

/// A licence in use: its identifier, what it is called, and how many of its seats are in use.
type Use = (String, String, String);

fn uses(licences: &[Value]) -> Vec<Use> {
    let uses = licences.iter().filter_map(|one| {
        let id = text(one, "/licence/id")?;
        let name = text(one, "/licence/serial").unwrap_or_else(|| id.clone());
        let in_use = format!("{} of {}", number(one, "/in_use")?, number(one, "/licence/seats")?);
        Some((id, name, in_use))
    });
    uses.collect()
}

/// A line for each licence of which more seats are in use than before, or fewer.
fn changes(present: &[Use], before: &[Use], now: &str) -> String {
    let (is, was) = (by_id(present), by_id(before));
    let mut lines = String::new();
    for (_, name, in_use) in present.iter().filter(|(id, _, in_use)| was.get(id.as_str()) != Some(&in_use.as_str())) {
        let _ = writeln!(lines, "{now} {name}: {in_use} in use");
    }
    for (_, name, _) in before.iter().filter(|(id, ..)| !is.contains_key(id.as_str())) {
        let _ = writeln!(lines, "{now} {name}: none in use");
    }
    lines
}

fn by_id(uses: &[Use]) -> HashMap<&str, &str> {
    uses.iter().map(|(id, _, in_use)| (id.as_str(), in_use.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_is_asked_for_until_there_are_no_more() {
        let page = |more: bool| json!({"licences": [{"licence": {"id": "a"}}, {"licence": {"id": "b"}}], "more": more});
        assert_eq!(next_after(&page(true)).as_deref(), Some("b"));
        assert_eq!(next_after(&page(false)), None);
        assert_eq!(next_after(&json!({"licences": [], "more": true})), None);
    }

    #[test]
    fn what_has_changed_has_a_line_and_what_has_not_has_none() {
        let one = |id: &str, in_use: u64| json!({"licence": {"id": id, "serial": format!("L-{id}"), "seats": 3}, "in_use": in_use});
        let first = uses(&[one("a", 1), one("b", 2), one("c", 1)]);
        assert_eq!(changes(&first, &[], "now").lines().count(), 3);
        let second = uses(&[one("a", 1), one("b", 3), one("d", 1)]);
        let expected = "now L-b: 3 of 3 in use\nnow L-d: 1 of 3 in use\nnow L-c: none in use\n";
        assert_eq!(changes(&second, &first, "now"), expected);
    }
}
