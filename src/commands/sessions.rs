//! `vestibule sessions`: lists and ends sessions, over the admin listener of a sidecar that runs.
//!
//! Called by `commands`. Knows no session itself: it asks the listener's API with the token, and
//! says in words what came of it. Must never print the token, nor to a terminal what would move its
//! cursor.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

use super::{Failure, admin_address, exit, load, names, on_runtime};
use clap::{Args, Subcommand};
use http::{Method, Request, StatusCode};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use vestibule::config::{Environment, SystemEnvironment};
use vestibule::fetch::Fetch;
use vestibule::secret::{ExposeSecret, SecretString};

/// For one answer: longer than the listener takes to look through all sessions.
const WITHIN: Duration = Duration::from_secs(30);
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

/// Where the admin listener is, and its token.
#[derive(Args)]
pub(crate) struct AdminListener {
    /// The configuration of the sidecar, for its admin listener and its token: all of its files
    #[arg(long, value_name = "FILE", required_unless_present = "admin", conflicts_with = "admin")]
    config: Vec<PathBuf>,
    /// The address of the admin listener, such as http://127.0.0.1:4181
    #[arg(long, value_name = "URL", requires = "token_file")]
    admin: Option<String>,
    /// The file that holds the token
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
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
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in filters {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    let found = Door::to(admin)?.ask(Method::GET, &format!("/sessions?{}", query.finish())).await?;
    if json {
        println!("{found:#}");
        return Ok(());
    }
    let sessions = found.get("sessions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if sessions.is_empty() {
        eprintln!("no live session is found");
        return Ok(());
    }
    print!("{}", table(sessions));
    if found.get("more") == Some(&Value::Bool(true)) {
        eprintln!("there are more: give a filter or a larger --limit");
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
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in filters {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    let query = query.finish();
    match (id, person) {
        (_, Some(subject)) => {
            let subject = percent_encoding::utf8_percent_encode(&subject, percent_encoding::NON_ALPHANUMERIC);
            let done = door.ask(Method::DELETE, &format!("/people/{subject}/sessions?{query}")).await?;
            let count = done.get("ended").and_then(Value::as_u64).unwrap_or_default();
            println!("ended: {count} session{}", if count == 1 { "" } else { "s" });
        }
        (Some(id), None) => {
            let path = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC);
            door.ask(Method::DELETE, &format!("/sessions/{path}?{query}")).await?;
            println!("ended: {}", plain(&id));
        }
        (None, None) => return Err("give a session's identifier, or --person SUB".into()),
    }
    Ok(())
}

/// The admin listener and what opens it.
struct Door {
    address: String,
    token: SecretString,
}

impl Door {
    fn to(listener: AdminListener) -> Result<Self, Failure> {
        match listener {
            AdminListener { admin: Some(address), token_file: Some(path), .. } => {
                Ok(Self { address: admin_address::given(&address)?, token: token_in(&path)? })
            }
            AdminListener { config: paths, .. } if !paths.is_empty() => Self::of_configuration(&paths),
            _ => Err("give --config FILE, or --admin URL and --token-file FILE".into()),
        }
    }

    fn of_configuration(paths: &[PathBuf]) -> Result<Self, Failure> {
        let server = load(paths)?.server;
        let file = names(paths);
        let token = server.admin_token.ok_or_else(|| {
            format!("{file}: set admin.token, {{file: PATH}} or {{env: NAME}}, to see and end sessions")
        })?;
        let address = admin_address::of(&file, &server.admin, "--admin URL and --token-file FILE")?;
        Ok(Self { address, token })
    }

    /// Asks, and gives the JSON of an answer that is good.
    async fn ask(&self, method: Method, target: &str) -> Result<Value, Failure> {
        let address = &self.address;
        let request = Request::builder()
            .method(method)
            .uri(format!("{address}{target}"))
            .header("authorization", format!("Bearer {}", self.token.expose_secret()))
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|_| format!("{address} is no address, or the token holds what no header carries"))?;
        let answer = Fetch::new()?
            .send(request, WITHIN)
            .await
            .map_err(|error| format!("{address}: {error}; is this the admin listener of a sidecar that runs?"))?;
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(body),
            StatusCode::UNAUTHORIZED => Err(format!("{address}: this is not its token (admin.token)").into()),
            status => match body.get("message").and_then(Value::as_str) {
                Some(message) => Err(format!("{address}: {}", plain(message)).into()),
                None => Err(format!("{address} answers {status}, which no admin listener of Vestibule's does").into()),
            },
        }
    }
}

fn token_in(path: &Path) -> Result<SecretString, Failure> {
    let bytes = SystemEnvironment.file(path).map_err(|cause| format!("--token-file: {} {cause}", path.display()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("--token-file: {} is not text", path.display()))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

/// Text without what a terminal would obey: it comes from browsers and from a provider.
fn plain(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// One line a session, in columns.
fn table(sessions: &[Value]) -> String {
    const HEADS: [&str; 7] = ["ID", "PERSON", "ORGANISATION", "SIGNED IN", "LAST SEEN", "ADDRESS", "DEVICE"];
    let text = |session: &Value, name: &str| session.get(name).and_then(Value::as_str).map(plain);
    let first = |session: &Value, names: [&str; 2]| {
        names.iter().find_map(|name| text(session, name)).unwrap_or_else(|| "-".to_owned())
    };
    let one = |session: &Value, name: &str| text(session, name).unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(sessions.iter().map(|session| {
        [
            one(session, "id"),
            first(session, ["email", "sub"]),
            first(session, ["organization", "siret"]),
            one(session, "started"),
            one(session, "last_seen"),
            one(session, "address"),
            one(session, "agent").chars().take(AGENT_SHOWN).collect(),
        ]
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
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
