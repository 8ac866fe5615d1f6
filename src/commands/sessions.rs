//! `vestibule sessions`: lists and ends sessions, over the admin listener of a sidecar that runs.
//!
//! Called by `commands`. Knows no session itself: it asks the listener's API (`door`), and says in words
//! what came of it. Must never print to a terminal what would move its cursor.

use super::door::{AdminListener, Door, query};
use super::say::{columns, line, note, plain, print};
use super::{Failure, exit, on_runtime, say};
use clap::Subcommand;
use http::Method;
use serde_json::Value;
use std::process::ExitCode;

/// How much of what a browser calls itself is shown in a table, in characters.
const AGENT_SHOWN: usize = 48;

#[derive(Subcommand)]
pub(crate) enum SessionsCommand {
    /// List live sessions, the latest in use first
    List {
        #[command(flatten)]
        admin: AdminListener,
        /// The site, where the configuration has several
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
        /// Those of this e-mail address
        #[arg(long)]
        email: Option<String>,
        /// Those of the person with this subject at the provider
        #[arg(long)]
        sub: Option<String>,
        /// Those of people who signed in with this provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
        /// Those of organisations whose name holds this
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// Those of the organisation with this SIRET
        #[arg(long)]
        siret: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N")]
        limit: Option<u16>,
        /// Print JSON, as the listener answers it
        #[arg(long)]
        json: bool,
    },
    /// End a session, or all of a person, on every replica
    End {
        #[command(flatten)]
        admin: AdminListener,
        /// The site, where the configuration has several
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
        /// The session's identifier, as `list` shows it
        #[arg(required_unless_present = "person", conflicts_with = "person")]
        id: Option<String>,
        /// Every session of the person with this subject at the provider
        #[arg(long, value_name = "SUB")]
        person: Option<String>,
        /// Whose person that is, where there are several providers
        #[arg(long, value_name = "NAME", requires = "person")]
        provider: Option<String>,
        /// Also forget what the app keeps of that person (session.data)
        #[arg(long, requires = "person")]
        forget_data: bool,
    },
}

pub(crate) fn run(command: SessionsCommand) -> ExitCode {
    exit(match command {
        SessionsCommand::List { admin, site, email, sub, provider, organization, siret, limit, json } => {
            let limit = limit.map(|limit| limit.to_string());
            let filters = [
                ("site", site),
                ("email", email),
                ("sub", sub),
                ("provider", provider),
                ("organization", organization),
                ("siret", siret),
                ("limit", limit),
            ];
            on_runtime(Some(1), list(admin, filters, json))
        }
        SessionsCommand::End { admin, site, id, person, provider, forget_data } => {
            let data = forget_data.then(|| "forget".to_owned());
            on_runtime(Some(1), end(admin, [("site", site), ("provider", provider), ("data", data)], id, person))
        }
    })
}

async fn list(admin: AdminListener, filters: [(&str, Option<String>); 7], json: bool) -> Result<(), Failure> {
    let found = Door::to(admin)?.ask(Method::GET, &format!("/sessions?{}", query(filters))).await?;
    if json {
        return line(&say::json(&found)?);
    }
    let sessions = found.get("sessions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if sessions.is_empty() {
        note("no live session is found");
        return Ok(());
    }
    print(&table(sessions))?;
    if found.get("more") == Some(&Value::Bool(true)) {
        note("there are more: give a filter or a larger --limit");
    }
    Ok(())
}

async fn end(
    admin: AdminListener,
    filters: [(&str, Option<String>); 3],
    id: Option<String>,
    person: Option<String>,
) -> Result<(), Failure> {
    let door = Door::to(admin)?;
    let query = query(filters);
    match (id, person) {
        (_, Some(subject)) => {
            let subject = percent_encoding::utf8_percent_encode(&subject, percent_encoding::NON_ALPHANUMERIC);
            let done = door.ask(Method::DELETE, &format!("/people/{subject}/sessions?{query}")).await?;
            let count = done.get("ended").and_then(Value::as_u64).unwrap_or_default();
            line(&format!("ended: {count} session{}", if count == 1 { "" } else { "s" }))
        }
        (Some(id), None) => {
            let path = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC);
            door.ask(Method::DELETE, &format!("/sessions/{path}?{query}")).await?;
            line(&format!("ended: {}", plain(&id)))
        }
        (None, None) => Err("give a session's identifier, or --person SUB".into()),
    }
}

/// One line a session, in columns.
fn table(sessions: &[Value]) -> String {
    const HEADS: [&str; 7] = ["ID", "PERSON", "ORGANISATION", "SIGNED IN", "LAST SEEN", "ADDRESS", "DEVICE"];
    let text = |session: &Value, name: &str| session.get(name).and_then(Value::as_str).map(plain);
    let first = |session: &Value, names: [&str; 2]| {
        names.iter().find_map(|name| text(session, name)).unwrap_or_else(|| "-".to_owned())
    };
    let one = |session: &Value, name: &str| text(session, name).unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
    rows.extend(sessions.iter().map(|session| {
        vec![
            one(session, "id"),
            first(session, ["email", "sub"]),
            first(session, ["organization", "siret"]),
            one(session, "started"),
            one(session, "last_seen"),
            one(session, "address"),
            one(session, "agent").chars().take(AGENT_SHOWN).collect(),
        ]
    }));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_nothing_moves_the_cursor() {
        let sessions = [
            json!({"id": "ab", "email": "hélène@x.fr", "organization": "Préfecture", "started": "2026-11-18T11:06:40Z",
                   "last_seen": "2026-11-18T11:06:40Z", "address": "192.0.2.7", "agent": "Firefox\u{1b}[2J"}),
            json!({"id": "cd", "email": null, "sub": "a-long-subject", "started": "2026-11-18T11:06:40Z",
                   "last_seen": "2026-11-18T11:06:40Z", "address": null, "agent": "x".repeat(99)}),
        ];
        let shown = table(&sessions);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3);
        let column = |line: &str, of: &str| line.split(of).next().unwrap().chars().count();
        assert_eq!(column(lines[0], "SIGNED IN"), column(lines[1], "2026"), "{shown}");
        assert_eq!(column(lines[0], "SIGNED IN"), column(lines[2], "2026"), "{shown}");
        assert!(!shown.contains('\u{1b}') && shown.contains("a-long-subject"), "{shown}");
        assert!(lines[2].ends_with(&"x".repeat(AGENT_SHOWN)) && !lines[2].contains(&"x".repeat(AGENT_SHOWN + 1)));
    }
}
