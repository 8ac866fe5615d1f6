//! `vestibule licences`: shows and changes licences, over the admin listener of a sidecar that runs.
//!
//! Called by `commands`. Knows no licence itself: it asks the listener's API (`door`), which says what is wrong
//! with one, and says in words what came of it. A licence may be named by its serial where only one has it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

use super::door::{AdminListener, Answer, Door, columns, plain, query};
use super::{Failure, exit, on_runtime};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Show one licence, as it is written
    Show {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
        /// Print JSON, as the listener answers it
        #[arg(long)]
        json: bool,
    },
    /// Add a licence, or all of a file: the identifier of each is printed
    Add {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        written: WrittenFlags,
    },
    /// Change what is given of a licence, and leave the rest; with a file, replace it whole
    Change {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
        #[command(flatten)]
        written: WrittenFlags,
    },
    /// Take a licence out of use: nobody gets a seat, whoever has one keeps it until it ends
    Suspend {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
    },
    /// Take it into use again
    Resume {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
    },
    /// Set another end
    Extend {
        #[command(flatten)]
        at: At,
        /// Its identifier or its serial
        licence: String,
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
        at: At,
        /// Its identifier or its serial
        licence: String,
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

/// A licence, in a file or in flags.
#[derive(Args, Default)]
pub(crate) struct WrittenFlags {
    /// A file with the licence in YAML or JSON, or with several below `licences`; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["serial", "seats", "from", "to", "duration", "name", "surname", "email", "affiliation", "comments", "cover"])]
    file: Option<PathBuf>,
    /// The number by which people call it
    #[arg(long)]
    serial: Option<String>,
    /// How many people may be active at once
    #[arg(long, value_name = "N")]
    seats: Option<u32>,
    /// The first day, or a moment
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, or a moment
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// How long from its first use, such as 365d
    #[arg(long = "for", value_name = "SPAN", conflicts_with = "to")]
    duration: Option<String>,
    /// The owner's given name
    #[arg(long)]
    name: Option<String>,
    /// The owner's family name
    #[arg(long)]
    surname: Option<String>,
    /// The owner's e-mail address
    #[arg(long)]
    email: Option<String>,
    /// The institution
    #[arg(long)]
    affiliation: Option<String>,
    /// Whatever else is to be said of it
    #[arg(long)]
    comments: Option<String>,
    /// Whom it covers, such as siret=13002526500013 or email_domain=example.gouv.fr or everyone; given several
    /// times, all of them. Those that are given replace all that were there
    #[arg(long = "cover", value_name = "CLAIM=VALUE")]
    cover: Vec<String>,
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
            let shown = door.ask(Method::GET, &path.to("")).await?;
            if json {
                println!("{shown:#}");
            } else {
                print!("{}", show(&shown)?);
            }
            Ok(())
        }
        LicencesCommand::Add { at, written } => add(at, written).await,
        LicencesCommand::Change { at, licence, written } => change(at, &licence, written).await,
        LicencesCommand::Suspend { at, licence } => changed(at, &licence, "suspend", None, "suspended").await,
        LicencesCommand::Resume { at, licence } => changed(at, &licence, "resume", None, "resumed").await,
        LicencesCommand::Extend { at, licence, to, duration } => {
            let body = match (to, duration) {
                (Some(to), _) => json!({ "to": to }),
                (None, duration) => json!({ "duration": duration }),
            };
            changed(at, &licence, "extend", Some(&body), "extended").await
        }
        LicencesCommand::Remove { at, licence, force } => {
            let (door, mut path) = at.licence(&licence).await?;
            path.force = force;
            door.ask(Method::DELETE, &path.to("")).await?;
            println!("removed: {}", plain(&path.id));
            Ok(())
        }
        LicencesCommand::People { at, licence, limit, after, json } => {
            let (door, path) = at.licence(&licence).await?;
            let more = query([("after", after), ("limit", limit.map(|limit| limit.to_string()))]);
            let found = door.ask(Method::GET, &path.to_with("/people", &more)).await?;
            people(&found, json);
            Ok(())
        }
        LicencesCommand::Role { at, licence, person, role } => {
            let (door, path) = at.licence(&licence).await?;
            let body = json!({ "role": role });
            door.send(Method::PUT, &path.to(&format!("/people/{}", segment(&person))), Some(&body), None).await?;
            println!("{}: {}", plain(&person), plain(&role));
            Ok(())
        }
        LicencesCommand::Forget { at, licence, person } => {
            let (door, path) = at.licence(&licence).await?;
            door.ask(Method::DELETE, &path.to(&format!("/people/{}", segment(&person)))).await?;
            println!("forgotten: {}", plain(&person));
            Ok(())
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
    pub(super) id: String,
    site: Option<String>,
    force: bool,
}

impl LicencePath {
    pub(super) fn to(&self, below: &str) -> String {
        self.to_with(below, "")
    }

    pub(super) fn to_with(&self, below: &str, more: &str) -> String {
        let force = self.force.then(|| "true".to_owned());
        let given = query([("site", self.site.clone()), ("force", force)]);
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
            return Ok((door, LicencePath { id: named.to_owned(), site: self.site, force: false }));
        }
        let given =
            query([("q", Some(named.to_owned())), ("site", self.site.clone()), ("limit", Some("1000".to_owned()))]);
        let found = door.ask(Method::GET, &format!("/licences?{given}")).await?;
        let of = |one: &Value, name: &str| {
            one.pointer(&format!("/licence/{name}")).and_then(Value::as_str).map(str::to_owned)
        };
        let same = listed(&found, "licences").iter().filter(|one| of(one, "serial").as_deref() == Some(named));
        let ids: Vec<String> = same.filter_map(|one| of(one, "id")).collect();
        match ids.as_slice() {
            [id] => Ok((door, LicencePath { id: id.clone(), site: self.site, force: false })),
            [] => {
                Err(format!("no licence has the serial {:?}; give its identifier, as `list` shows it", plain(named))
                    .into())
            }
            several => Err(format!("{} licences have this serial: {}", several.len(), several.join(", ")).into()),
        }
    }
}

async fn list(door: &Door, filters: [(&str, Option<String>); 5], json: bool) -> Result<(), Failure> {
    let found = door.ask(Method::GET, &format!("/licences?{}", query(filters))).await?;
    if json {
        println!("{found:#}");
        return Ok(());
    }
    let licences = listed(&found, "licences");
    if licences.is_empty() {
        eprintln!("no licence is found");
        return Ok(());
    }
    print!("{}", table(licences));
    if found.get("more") == Some(&Value::Bool(true)) {
        eprintln!("there are more: give --find, a larger --limit, or --after with the last identifier");
    }
    Ok(())
}

/// One line a licence, in columns.
pub(super) fn table(licences: &[Value]) -> String {
    const HEADS: [&str; 8] = ["ID", "SERIAL", "OWNER", "IN USE", "SEATS", "STATE", "ENDS", "KEPT IN"];
    let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
    rows.extend(licences.iter().map(|one| {
        let owner = text(one, "/licence/owner/affiliation").or_else(|| text(one, "/licence/owner/surname"));
        let kept = if one.get("managed") == Some(&Value::Bool(true)) { "store" } else { "configuration" };
        [
            text(one, "/licence/id"),
            text(one, "/licence/serial"),
            owner,
            number(one, "/in_use"),
            number(one, "/licence/seats"),
            text(one, "/standing"),
            text(one, "/ends"),
            Some(kept.to_owned()),
        ]
        .map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
        .to_vec()
    }));
    columns(&rows)
}

/// A licence as a configuration has it, and how it stands.
fn show(shown: &Value) -> Result<String, Failure> {
    let written = shown.get("licence").ok_or("the answer shows no licence")?;
    let yaml = serde_yaml::to_string(written)?;
    let lines: Vec<_> = yaml.lines().map(plain).collect();
    let yaml = lines.join("\n") + "\n";
    let state = |at: &str| text(shown, at).unwrap_or_else(|| "-".to_owned());
    let in_use = number(shown, "/in_use").unwrap_or_default();
    Ok(format!("{yaml}# {}, in use: {in_use}, ends: {}\n", state("/standing"), state("/ends")))
}

fn people(found: &Value, json: bool) {
    if json {
        println!("{found:#}");
        return;
    }
    let people = listed(found, "people");
    if people.is_empty() {
        eprintln!("nobody has had a seat of this licence");
        return;
    }
    let heads = ["PERSON", "WHO", "ROLE", "FIRST SEEN", "LAST SEEN", "SIGN-INS"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(people.iter().map(|one| {
        [
            text(one, "/person"),
            text(one, "/email").or_else(|| text(one, "/sub")),
            text(one, "/role"),
            text(one, "/first_seen"),
            text(one, "/last_seen"),
            number(one, "/sign_ins"),
        ]
        .map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
        .to_vec()
    }));
    print!("{}", columns(&rows));
    if found.get("more") == Some(&Value::Bool(true)) {
        eprintln!("there are more: give a larger --limit, or --after with the last person");
    }
}

async fn add(at: At, written: WrittenFlags) -> Result<(), Failure> {
    let door = Door::to(at.admin)?;
    let given = query([("site", at.site)]);
    let licences = match written.read()? {
        Some(licences) => licences,
        None => vec![Value::Object(written.into_object(Map::new())?)],
    };
    for (index, licence) in licences.iter().enumerate() {
        let added = door.send(Method::POST, &format!("/licences?{given}"), Some(licence), None).await;
        // Those before it are there: whoever repeats the command leaves them out.
        let added = added.map_err(|failure| match licences.len() {
            1 => failure,
            count => format!("licence {} of {count} ({index} added): {failure}", index + 1).into(),
        })?;
        println!("{}", id_of(&added));
    }
    Ok(())
}

async fn change(at: At, licence: &str, written: WrittenFlags) -> Result<(), Failure> {
    let (door, path) = at.licence(licence).await?;
    let present = door.send(Method::GET, &path.to(""), None, None).await?;
    let new = match written.read()? {
        Some(licences) => match <[Value; 1]>::try_from(licences) {
            Ok([one]) => one,
            Err(several) => {
                return Err(format!("the file has {} licences; one is changed at a time", several.len()).into());
            }
        },
        None => {
            let former = present.json().get("licence").and_then(Value::as_object).cloned().unwrap_or_default();
            Value::Object(written.into_object(former)?)
        }
    };
    let tag = present.tag.as_deref().unwrap_or("*");
    let changed = door.send(Method::PUT, &path.to(""), Some(&new), Some(tag)).await?;
    println!("changed: {}", id_of(&changed));
    Ok(())
}

async fn changed(at: At, licence: &str, verb: &str, body: Option<&Value>, done: &str) -> Result<(), Failure> {
    let (door, path) = at.licence(licence).await?;
    door.send(Method::POST, &path.to(&format!("/{verb}")), body, None).await?;
    println!("{done}: {}", plain(&path.id));
    Ok(())
}

async fn file(admin: AdminListener, path: &str, given: [(&str, Option<String>); 3]) -> Result<(), Failure> {
    let answer = Door::to(admin)?.send(Method::GET, &format!("{path}?{}", query(given)), None, None).await?;
    print!("{}", answer.text());
    Ok(())
}

impl WrittenFlags {
    /// The licences of the file, where one is given.
    fn read(&self) -> Result<Option<Vec<Value>>, Failure> {
        let Some(path) = &self.file else { return Ok(None) };
        let named = path.display();
        let text = if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
            text
        } else {
            std::fs::read_to_string(path).map_err(|error| format!("--file: {named}: {error}"))?
        };
        let value: Value = serde_yaml::from_str(&text).map_err(|error| format!("--file: {named}: {error}"))?;
        let licences = match value {
            Value::Object(mut object) if object.contains_key("licences") => {
                object.remove("licences").unwrap_or_default()
            }
            other => other,
        };
        match licences {
            Value::Array(licences) => Ok(Some(licences)),
            Value::Object(licence) => Ok(Some(vec![Value::Object(licence)])),
            _ => Err(format!("--file: {named}: expected a licence, or `licences` with a list of them").into()),
        }
    }

    /// What the flags say, over what there was.
    fn into_object(self, mut licence: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                licence.insert(name.to_owned(), value);
            }
        };
        set("serial", self.serial.map(Value::from));
        set("seats", self.seats.map(Value::from));
        let valid = [("from", self.from), ("to", self.to), ("duration", self.duration)];
        merge(&mut licence, "valid", valid, &[("to", "duration"), ("duration", "to")]);
        let owner = [
            ("name", self.name),
            ("surname", self.surname),
            ("email", self.email),
            ("affiliation", self.affiliation),
            ("comments", self.comments),
        ];
        merge(&mut licence, "owner", owner, &[]);
        if !self.cover.is_empty() {
            let mut covers: Map<String, Value> = Map::new();
            for cover in &self.cover {
                match cover.split_once('=') {
                    Some((claim, value)) => {
                        let values = covers.entry(claim.trim()).or_insert_with(|| json!([]));
                        if let Some(values) = values.as_array_mut() {
                            values.push(value.trim().into());
                        }
                    }
                    None if cover == "everyone" => {
                        covers.insert("everyone".to_owned(), true.into());
                    }
                    None => return Err(format!("--cover: {cover:?}: write CLAIM=VALUE, or everyone").into()),
                }
            }
            licence.insert("covers".to_owned(), Value::Object(covers));
        }
        Ok(licence)
    }
}

/// Sets what is given within a part of a licence; some of it takes the place of something else.
fn merge<const N: usize>(
    licence: &mut Map<String, Value>,
    part: &str,
    given: [(&str, Option<String>); N],
    instead: &[(&str, &str)],
) {
    if given.iter().all(|(_, value)| value.is_none()) {
        return;
    }
    let part = licence.entry(part).or_insert_with(|| json!({}));
    let Some(part) = part.as_object_mut() else { return };
    for (name, value) in given {
        if let Some(value) = value {
            for (_, other) in instead.iter().filter(|(new, _)| *new == name) {
                part.remove(*other);
            }
            part.insert(name.to_owned(), value.into());
        }
    }
}

fn id_of(answer: &Answer) -> String {
    text(&answer.json(), "/licence/id").unwrap_or_default()
}

pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

pub(super) fn listed<'v>(found: &'v Value, name: &str) -> &'v [Value] {
    found.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text(one: &Value, at: &str) -> Option<String> {
    one.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty()).map(plain)
}

pub(super) fn number(one: &Value, at: &str) -> Option<String> {
    one.pointer(at).and_then(Value::as_u64).map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(former: &Value, flags: WrittenFlags) -> Result<Value, String> {
        let former = former.as_object().unwrap().clone();
        flags.into_object(former).map(Value::Object).map_err(|failure| failure.to_string())
    }

    #[test]
    fn flags_change_what_they_name_and_leave_the_rest() {
        let text = |text: &str| Some(text.to_owned());
        let former = json!({
            "serial": "L-1", "seats": 3, "valid": {"from": "2026-01-01", "duration": "30d"},
            "owner": {"name": "Claude"}, "covers": {"siret": ["13002526500013"]},
        });
        let flags =
            WrittenFlags { seats: Some(5), to: text("2027-01-31"), email: text("a@b.fr"), ..WrittenFlags::default() };
        let expected = json!({
            "serial": "L-1", "seats": 5, "valid": {"from": "2026-01-01", "to": "2027-01-31"},
            "owner": {"name": "Claude", "email": "a@b.fr"}, "covers": {"siret": ["13002526500013"]},
        });
        assert_eq!(over(&former, flags), Ok(expected));
        let cover = ["email=a@b.fr", "email = c@d.fr", "everyone"].map(str::to_owned).to_vec();
        let covers = over(&former, WrittenFlags { cover, ..WrittenFlags::default() }).unwrap();
        assert_eq!(covers["covers"], json!({"email": ["a@b.fr", "c@d.fr"], "everyone": true}));
        assert_eq!(over(&former, WrittenFlags::default()), Ok(former.clone()));
        let cover = vec!["somebody".to_owned()];
        assert!(over(&former, WrittenFlags { cover, ..WrittenFlags::default() }).unwrap_err().contains("somebody"));
    }

    #[test]
    fn a_licence_is_shown_in_one_line_that_moves_no_cursor() {
        let one = json!({
            "licence": {"id": "i", "serial": "L\u{1b}[2J", "seats": 3, "owner": {"affiliation": "Lycée"}},
            "managed": true, "standing": "in_force", "ends": null, "in_use": 2,
        });
        let shown = table(std::slice::from_ref(&one));
        assert!(!shown.contains('\u{1b}') && shown.lines().count() == 2, "{shown}");
        assert!(shown.contains("Lycée") && shown.contains("store"), "{shown}");
        assert!(!show(&one).unwrap().contains('\u{1b}'));
    }
}
