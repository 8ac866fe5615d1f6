//! `vestibule licences`: shows and changes licences, over the admin listener of a sidecar that runs.
//!
//! Called by `commands`. Knows no licence itself: it asks the listener's API (`door`), which says what is wrong
//! with one (`written`), and says in words what came of it (`shown`). A licence may be named by its serial where only
//! one has it.

pub(super) mod shown;
mod written;

use super::door::{AdminListener, Answer, Door, Unsure, query};
use super::say::{line, note, plain, print};
use super::{Failure, exit, on_runtime, say};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use shown::{has_more, listed, text};
use std::process::ExitCode;
use vestibule::random::{self, Random, SystemRandom};
use vestibule::seats::LicenceId;
use written::WrittenFlags;

#[derive(Subcommand)]
pub(crate) enum LicencesCommand {
    /// List licences, those of the configuration first
    List {
        #[command(flatten)]
        at: At,
        /// Those whose serial or owner holds this
        #[arg(long, value_name = "TEXT")]
        find: Option<String>,
        /// Those alone of which seats may be in use
        #[arg(long)]
        used: bool,
        /// How many at most
        #[arg(long, value_name = "N")]
        limit: Option<u16>,
        /// Those after the one with this identifier
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Print JSON, as the listener answers it
        #[arg(long)]
        json: bool,
    },
    /// Show one licence, as it is written, and the tag of its state
    Show {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
        /// Print JSON, as the listener answers it, with its `etag`
        #[arg(long)]
        json: bool,
    },
    /// Add a licence, or all of a file: the identifier of each is printed
    Add {
        #[command(flatten)]
        at: At,
        /// Its identifier, a UUID; a new one without it
        #[arg(long, value_name = "ID", conflicts_with = "file")]
        id: Option<String>,
        #[command(flatten)]
        written: WrittenFlags,
    },
    /// Change what is given of a licence, and leave the rest; with a file, replace it whole
    Change {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        written: WrittenFlags,
    },
    /// Take a licence out of use: nobody gets a seat, whoever has one keeps it until it ends
    Suspend {
        #[command(flatten)]
        which: Which,
    },
    /// Take it into use again
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Set another end
    Extend {
        #[command(flatten)]
        which: Which,
        /// The last day, or a moment
        #[arg(long, value_name = "DAY", required_unless_present = "duration", conflicts_with = "duration")]
        to: Option<String>,
        /// How long from its first use, such as 365d
        #[arg(long = "for", value_name = "SPAN")]
        duration: Option<String>,
    },
    /// Remove a licence of which no seat is taken
    Remove {
        #[command(flatten)]
        which: Which,
        /// Also where seats are taken
        #[arg(long)]
        force: bool,
    },
    /// List the people who have had a seat of a licence
    People {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
        /// How many at most
        #[arg(long, value_name = "N")]
        limit: Option<u16>,
        /// Those after this one
        #[arg(long, value_name = "PERSON")]
        after: Option<String>,
        /// Print JSON, as the listener answers it
        #[arg(long)]
        json: bool,
    },
    /// Call a person of a licence by another role
    Role {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
        /// The person, as `people` shows them
        person: String,
        /// Such as `teacher`
        role: String,
    },
    /// Forget a person of a licence
    Forget {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
        /// The person, as `people` shows them
        person: String,
    },
    /// Print all licences: as YAML for another configuration, or as CSV
    Export {
        #[command(flatten)]
        at: At,
        /// yaml or csv
        #[arg(long, value_name = "FORMAT", default_value = "yaml", value_parser = ["yaml", "csv"])]
        format: String,
    },
    /// Print the use of all licences as CSV, a line for each day: for invoices
    Use {
        #[command(flatten)]
        at: At,
        /// The first day, of UTC; 29 days before the last by default
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// The last day; today by default
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
    },
}

/// Whom to ask, and of which site.
#[derive(Args)]
pub(crate) struct At {
    #[command(flatten)]
    pub(super) admin: AdminListener,
    /// The site, where the configuration has several
    #[arg(long, value_name = "NAME")]
    pub(super) site: Option<String>,
}

/// Which licence is changed, and in which state.
#[derive(Args)]
pub(crate) struct Which {
    #[command(flatten)]
    at: At,
    /// Its identifier or its serial
    licence: String,
    /// Only if it is still as it was seen: the `etag` that `show` printed
    #[arg(long, value_name = "ETAG", value_parser = etag)]
    if_match: Option<String>,
}

/// A tag as a request carries it, in quotes.
fn etag(text: &str) -> Result<String, &'static str> {
    let tag = text.trim().trim_matches('"');
    let is_one = !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_one.then(|| format!("\"{tag}\"")).ok_or("write the etag as `vestibule licences show` prints it")
}

pub(crate) fn run(command: LicencesCommand) -> ExitCode {
    exit(on_runtime(Some(1), done(command)))
}

async fn done(command: LicencesCommand) -> Result<(), Failure> {
    match command {
        LicencesCommand::List { at, find, used, limit, after, json } => {
            let used = used.then(|| "true".to_owned());
            let filters = [
                ("q", find),
                ("used", used),
                ("after", after),
                ("limit", limit.map(|limit| limit.to_string())),
                ("site", at.site),
            ];
            list(&Door::to(at.admin)?, filters, json).await
        }
        LicencesCommand::Show { at, licence, json } => {
            let (door, path) = at.licence(&licence).await?;
            show(&door.send(Method::GET, &path.to(""), None, None).await?, json)
        }
        LicencesCommand::Add { at, id, written } => add(at, id, written).await,
        LicencesCommand::Change { which, written } => change(which, written).await,
        LicencesCommand::Suspend { which } => changed(which, "suspend", None, "suspended").await,
        LicencesCommand::Resume { which } => changed(which, "resume", None, "resumed").await,
        LicencesCommand::Extend { which, to, duration } => {
            let body = match (to, duration) {
                (Some(to), _) => json!({ "to": to }),
                (None, duration) => json!({ "duration": duration }),
            };
            changed(which, "extend", Some(&body), "extended").await
        }
        LicencesCommand::Remove { which, force } => {
            let (door, path) = which.at.licence(&which.licence).await?;
            let force = query([("force", force.then(|| "true".to_owned()))]);
            door.send(Method::DELETE, &path.to_with("", &force), None, which.if_match.as_deref()).await?;
            line(&format!("removed: {}", plain(&path.id)))
        }
        LicencesCommand::People { at, licence, limit, after, json } => {
            let (door, path) = at.licence(&licence).await?;
            let more = query([("after", after), ("limit", limit.map(|limit| limit.to_string()))]);
            people(&door.ask(Method::GET, &path.to_with("/people", &more)).await?, json)
        }
        LicencesCommand::Role { at, licence, person, role } => {
            let (door, path) = at.licence(&licence).await?;
            let body = json!({ "role": role });
            door.send(Method::PUT, &path.to(&format!("/people/{}", segment(&person))), Some(&body), None).await?;
            line(&format!("{}: {}", plain(&person), plain(&role)))
        }
        LicencesCommand::Forget { at, licence, person } => {
            let (door, path) = at.licence(&licence).await?;
            door.ask(Method::DELETE, &path.to(&format!("/people/{}", segment(&person)))).await?;
            line(&format!("forgotten: {}", plain(&person)))
        }
        LicencesCommand::Export { at, format } => {
            file(at.admin, "/licences/export", [("format", Some(format)), ("site", at.site), ("to", None)]).await
        }
        LicencesCommand::Use { at, from, to } => {
            file(at.admin, "/licences/use", [("from", from), ("to", to), ("site", at.site)]).await
        }
    }
}

/// Where a licence is.
pub(super) struct LicencePath {
    id: String,
    site: Option<String>,
}

impl LicencePath {
    pub(super) fn to(&self, below: &str) -> String {
        self.to_with(below, "")
    }

    pub(super) fn to_with(&self, below: &str, more: &str) -> String {
        let given = query([("site", self.site.clone())]);
        let all: Vec<&str> = [given.as_str(), more].into_iter().filter(|part| !part.is_empty()).collect();
        format!("/licences/{}{below}?{}", self.id, all.join("&"))
    }
}

impl At {
    /// The listener, and where the licence of this identifier or serial is.
    pub(super) async fn licence(self, named: &str) -> Result<(Door, LicencePath), Failure> {
        let door = Door::to(self.admin)?;
        let is_id = named.len() == 36 && named.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_id {
            return Ok((door, LicencePath { id: named.to_owned(), site: self.site }));
        }
        let given = query([("serial", Some(named.to_owned())), ("site", self.site.clone())]);
        let found = door.ask(Method::GET, &format!("/licences?{given}")).await?;
        let ids: Vec<String> = listed(&found, "licences").iter().filter_map(|one| text(one, "/licence/id")).collect();
        match ids.as_slice() {
            [id] => Ok((door, LicencePath { id: id.clone(), site: self.site })),
            [] => {
                Err(format!("no licence has the serial {:?}; give its identifier, as `list` shows it", plain(named))
                    .into())
            }
            several => {
                let more = if has_more(&found) { "more than " } else { "" };
                Err(format!("{more}{} licences have this serial: {}", several.len(), several.join(", ")).into())
            }
        }
    }
}

async fn list(door: &Door, filters: [(&str, Option<String>); 5], json: bool) -> Result<(), Failure> {
    let found = door.ask(Method::GET, &format!("/licences?{}", query(filters))).await?;
    if json {
        return line(&say::json(&found)?);
    }
    let licences = listed(&found, "licences");
    if licences.is_empty() {
        note("no licence is found");
        return Ok(());
    }
    print(&shown::table(licences))?;
    if has_more(&found) {
        note("there are more: give --find, a larger --limit, or --after with the last identifier");
    }
    Ok(())
}

fn show(answer: &Answer, json: bool) -> Result<(), Failure> {
    let mut found = answer.json();
    if !json {
        return print(&shown::licence(&found, answer.tag.as_deref())?);
    }
    if let Some(found) = found.as_object_mut() {
        found.insert("etag".to_owned(), answer.tag.clone().into());
    }
    line(&say::json(&found)?)
}

fn people(found: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return line(&say::json(found)?);
    }
    let people = listed(found, "people");
    if people.is_empty() {
        note("nobody has had a seat of this licence");
        return Ok(());
    }
    print(&shown::people(people))?;
    if has_more(found) {
        note("there are more: give a larger --limit, or --after with the last person");
    }
    Ok(())
}

async fn add(at: At, id: Option<String>, written: WrittenFlags) -> Result<(), Failure> {
    let door = Door::to(at.admin)?;
    let given = query([("site", at.site)]);
    let licences = match written.read()? {
        Some(licences) => licences,
        None => {
            let id = id.map(|id| ("id".to_owned(), id.into()));
            vec![Value::Object(written.into_object(id.into_iter().collect())?)]
        }
    };
    let (count, random) = (licences.len(), SystemRandom::new());
    for (index, mut licence) in licences.into_iter().enumerate() {
        let id = identified(&mut licence, &random)?;
        let added = door.send(Method::POST, &format!("/licences?{given}"), Some(&licence), None).await;
        // Those before it are there: whoever repeats the command leaves them out.
        let added = added.map_err(|failure| {
            let unsure = if failure.is::<Unsure>() {
                format!("; it may be there: look for {id}, and repeat the command with it as `id` if it is not")
            } else {
                String::new()
            };
            let of =
                if count == 1 { String::new() } else { format!("licence {} of {count} ({index} added): ", index + 1) };
            format!("{of}{failure}{unsure}")
        })?;
        line(&id_of(&added))?;
    }
    Ok(())
}

/// The identifier that a licence is added by. It is made here where it has none, so that what is sent twice is not
/// added twice.
fn identified(licence: &mut Value, random: &dyn Random) -> Result<String, Failure> {
    let id = licence.get("id").and_then(Value::as_str).map(plain);
    let (None, Some(licence)) = (&id, licence.as_object_mut()) else { return Ok(id.unwrap_or_default()) };
    if licence.get("id").is_none_or(Value::is_null) {
        let new = LicenceId::from_random(random::bytes(random)?).to_string();
        licence.insert("id".to_owned(), new.clone().into());
        return Ok(new);
    }
    // What it has is no text, which the listener will say.
    Ok(String::new())
}

async fn change(which: Which, written: WrittenFlags) -> Result<(), Failure> {
    let seen = which.if_match;
    let (door, path) = which.at.licence(&which.licence).await?;
    let (tag, new) = match written.read()? {
        Some(licences) => match <[Value; 1]>::try_from(licences) {
            Ok([one]) => (seen, one),
            Err(several) => {
                return Err(format!("the file has {} licences; one is changed at a time", several.len()).into());
            }
        },
        None => {
            let present = door.send(Method::GET, &path.to(""), None, None).await?;
            if seen.is_some() && seen != present.tag {
                return Err("the licence is not as it was seen any more: look at it again, and change that".into());
            }
            let former = present.json().get("licence").and_then(Value::as_object).cloned().unwrap_or_default();
            (present.tag, Value::Object(written.into_object(former)?))
        }
    };
    let changed = door.send(Method::PUT, &path.to(""), Some(&new), Some(tag.as_deref().unwrap_or("*"))).await?;
    line(&format!("changed: {}", id_of(&changed)))
}

async fn changed(which: Which, verb: &str, body: Option<&Value>, done: &str) -> Result<(), Failure> {
    let (door, path) = which.at.licence(&which.licence).await?;
    door.send(Method::POST, &path.to(&format!("/{verb}")), body, which.if_match.as_deref()).await?;
    line(&format!("{done}: {}", plain(&path.id)))
}

async fn file(admin: AdminListener, path: &str, given: [(&str, Option<String>); 3]) -> Result<(), Failure> {
    let answer = Door::to(admin)?.send(Method::GET, &format!("{path}?{}", query(given)), None, None).await?;
    print(&answer.text())
}

fn id_of(answer: &Answer) -> String {
    text(&answer.json(), "/licence/id").unwrap_or_default()
}

pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
