//! A licence as it is written on the command line: in flags, or in a file.
//!
//! Called by `licences`, which sends it. What makes a licence is not known here: the listener says what is wrong with
//! one.

use super::super::Failure;
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::PathBuf;

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

impl WrittenFlags {
    /// The licences of the file, where one is given: at least one.
    pub(super) fn read(&self) -> Result<Option<Vec<Value>>, Failure> {
        let Some(path) = &self.file else { return Ok(None) };
        let named = path.display();
        let text = if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
            text
        } else {
            std::fs::read_to_string(path).map_err(|error| format!("--file: {named}: {error}"))?
        };
        licences_in(&text).map(Some).map_err(|what| format!("--file: {named}: {what}").into())
    }

    /// What the flags say, over what there was.
    pub(super) fn into_object(self, mut licence: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
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

/// The licences of a file: one, or several. A key that is written twice is refused, as a configuration refuses it.
fn licences_in(text: &str) -> Result<Vec<Value>, String> {
    // Into YAML first, whose maps see what comes twice.
    let yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let licences = match serde_json::to_value(yaml).map_err(|error| error.to_string())? {
        Value::Object(mut object) if object.contains_key("licences") => object.remove("licences").unwrap_or_default(),
        other => other,
    };
    match licences {
        Value::Array(licences) if licences.is_empty() => Err("there is no licence in it".to_owned()),
        Value::Array(licences) => Ok(licences),
        Value::Object(licence) => Ok(vec![Value::Object(licence)]),
        _ => Err("expected a licence, or `licences` with a list of them".to_owned()),
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
    fn a_file_has_one_licence_or_several_and_no_key_twice() {
        for (text, expected) in [
            ("seats: 3", Ok(json!([{"seats": 3}]))),
            ("{\"seats\": 3}", Ok(json!([{"seats": 3}]))),
            (
                "licences: [{seats: 3, covers: {everyone: true}}, {seats: 4}]",
                Ok(json!([{"seats": 3, "covers": {"everyone": true}}, {"seats": 4}])),
            ),
            ("- when_full: {overflow: 1}", Ok(json!([{"when_full": {"overflow": 1}}]))),
            ("licences: []", Err("there is no licence in it")),
            ("[]", Err("there is no licence in it")),
            ("", Err("expected a licence")),
            ("seats: 3\nseats: 30", Err("duplicate entry with key \"seats\"")),
            (
                "{\"licences\": [{\"owner\": {\"name\": \"a\", \"name\": \"b\"}}]}",
                Err("duplicate entry with key \"name\""),
            ),
        ] {
            match (licences_in(text), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(Value::Array(read), expected, "{text}"),
                (Err(what), Err(words)) => assert!(what.contains(words), "{text}: {what}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }
}
