//! From text to [`Written`], collecting every mistake of shape on the way: unknown keys, wrong
//! types, values without their unit.
//!
//! serde stops at the first error; so each faulty node is noted, emptied, and the rest read again.
//! Emptied, not removed: the items of a list keep their numbers. Messages are made here, never
//! taken from serde, which would repeat what was written — and that might be a secret.

use super::locate::repeated_key;
use super::problem::{Fault, KeyPath, Problem, Segment};
use super::suggest::{did_you_mean, nearest};
use super::written::Written;
use serde_yaml::Value;

/// Enough to see that the file is something else altogether.
const MOST_FAULTS: usize = 100;

/// The outcome of reading: what could be read, and what could not.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    pub(super) read: T,
    pub(super) faults: Vec<Fault>,
    /// Keys that are absent because of a fault: no second complaint that they are missing.
    pub(super) excused: Vec<KeyPath>,
}

/// Reads the `text` of one file. What comes out has the shape of [`Written`]: what did not is
/// emptied.
///
/// # Errors
/// The one mistake that is reported alone: what cannot be read as YAML at all. It names the file
/// `name`.
pub(super) fn parse(name: &str, text: &str, schema: &serde_json::Value) -> Result<Parsed<Value>, Problem> {
    // First, because the reader names the mapping of a repeated key, not the line of the key.
    if let Some(line) = repeated_key(text) {
        let message = "this key is here for the second time; remove one of the two".to_owned();
        return Err(Problem { line: Some(line), ..Problem::of_the_file(name, message) });
    }
    let mut value: Value = serde_yaml::from_str(text).map_err(|error| not_yaml(name, &error))?;
    let mut reader = Reader::default();
    if value.is_null() {
        value = Value::Mapping(serde_yaml::Mapping::new());
    }
    reader.check_shape(&mut value, schema, &KeyPath::root());
    reader.read(&mut value);
    let Reader { faults, excused } = reader;
    Ok(Parsed { read: value, faults, excused })
}

/// The types of what [`parse`] gave, of one file or of several as one.
pub(super) fn written(mut value: Value) -> Parsed<Written> {
    let mut reader = Reader::default();
    let written = reader.read(&mut value);
    let Reader { faults, excused } = reader;
    Parsed { read: written, faults, excused }
}

fn not_yaml(name: &str, error: &serde_yaml::Error) -> Problem {
    let line = error.location().map(|location| location.line());
    let hint =
        "indent with spaces only, and put a text that begins with one of * & ! % @ ` { [ or holds \": \" in quotes";
    Problem { line, ..Problem::of_the_file(name, format!("is not YAML: {error}; {hint}")) }
}

#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
    excused: Vec<KeyPath>,
}

impl Reader {
    fn fault(&mut self, path: KeyPath, message: String) {
        self.excused.push(path.clone());
        self.faults.push(Fault { path, message });
    }

    /// Empties what no serde type would refuse: tags, keys that are not text, and lists in the
    /// place of mappings (which serde would take for the mapping's values in order).
    fn check_shape(&mut self, value: &mut Value, schema: &serde_json::Value, path: &KeyPath) {
        match value {
            Value::Tagged(_) => {
                self.fault(
                    path.clone(),
                    "a YAML tag (!…) has no meaning here; a text that begins with ! goes in quotes".to_owned(),
                );
                *value = empty(path);
            }
            Value::Sequence(items) => {
                if let Some(keys) = schema.get("properties").and_then(serde_json::Value::as_object) {
                    let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
                    let message = format!("expected a mapping with the keys {}, but this is a list", listed(&keys));
                    self.fault(path.clone(), message);
                    *value = empty(path);
                    return;
                }
                let of_items = schema.get("items").unwrap_or(&serde_json::Value::Null);
                for (index, item) in items.iter_mut().enumerate() {
                    self.check_shape(item, of_items, &path.item(index));
                }
            }
            Value::Mapping(entries) => {
                let before = entries.len();
                entries.retain(|key, _| key.is_string());
                if entries.len() < before {
                    // The key is not repeated: a secret may have been typed in its place.
                    self.faults.push(Fault {
                        path: path.clone(),
                        message: "has a key that is not text; put the key in quotes".to_owned(),
                    });
                }
                for (key, inner) in entries {
                    let Some(name) = key.as_str() else { continue };
                    let of_key = schema.get("properties").and_then(|keys| keys.get(name));
                    let of_key = of_key.or_else(|| schema.get("additionalProperties"));
                    self.check_shape(inner, of_key.unwrap_or(&serde_json::Value::Null), &path.key(name));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn read(&mut self, value: &mut Value) -> Written {
        while self.faults.len() < MOST_FAULTS {
            let error = match serde_path_to_error::deserialize::<_, Written>(&*value) {
                Ok(written) => return written,
                Err(error) => error,
            };
            let path: KeyPath = error.path().iter().filter_map(segment).collect();
            let emptied = match Complaint::of(&error.inner().to_string()) {
                Complaint::UnknownKey { name, known } => self.unknown_key(value, &path, &name, &known),
                complaint => {
                    let found = node(value, &path).map_or("nothing", kind);
                    self.fault(path.clone(), complaint.message(found));
                    node(value, &path).map(|node| *node = empty(&path)).is_some()
                }
            };
            if !emptied {
                break;
            }
        }
        // Too much is wrong to go on: complaints about the rest would be noise.
        self.excused.push(KeyPath::root());
        *value = empty(&KeyPath::root());
        Written::default()
    }

    fn unknown_key(&mut self, value: &mut Value, path: &KeyPath, name: &str, known: &[String]) -> bool {
        // serde names the mapping or the key in it, depending on how the mapping was read.
        let holder = match path.segments().last() {
            Some(Segment::Key(last)) if last == name => path.parent().unwrap_or_default(),
            _ => path.clone(),
        };
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let meant = nearest(name, known.iter().copied());
        let message = match (name, meant) {
            ("<<", _) => "YAML merge keys (<<) are not read; write the keys out".to_owned(),
            (_, Some(meant)) => format!("unknown key; did you mean {meant:?}?"),
            (_, None) => format!("unknown key; the keys here are {}", listed(&known)),
        };
        self.fault(holder.key(name), message);
        self.excused.extend(meant.map(|meant| holder.key(meant)));
        if name == "<<" {
            self.excused.push(holder.clone());
        }
        let removed = node(value, &holder).and_then(Value::as_mapping_mut).and_then(|keys| keys.shift_remove(name));
        removed.is_some()
    }
}

/// What serde complains of, understood from its message: the one thing that every data format's
/// error carries. Values in it are dropped unless they are the name of a choice.
enum Complaint {
    UnknownKey { name: String, known: Vec<String> },
    UnknownChoice { name: String, known: Vec<String> },
    Expected(String),
    Said(String),
}

impl Complaint {
    fn of(message: &str) -> Self {
        let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
        // "expected one of `a`, `b`": the names are every second piece between backticks.
        let names = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let split = |prefix: &str| {
            let at = message.strip_prefix(prefix)?;
            let end = at.find("`, expected ").or_else(|| at.find("`, there are no "))?;
            let (name, known) = at.split_at_checked(end)?;
            Some((name.to_owned(), names(known.strip_prefix('`')?)))
        };
        if let Some((name, known)) = split("unknown field `") {
            Self::UnknownKey { name, known }
        } else if let Some((name, known)) = split("unknown variant `") {
            Self::UnknownChoice { name, known }
        } else if message.starts_with("invalid ") {
            Self::Expected(expected.unwrap_or("something else").to_owned())
        } else {
            Self::Said(message.to_owned())
        }
    }

    fn message(self, found: &str) -> String {
        match self {
            Self::UnknownKey { .. } => "unknown key".to_owned(),
            Self::UnknownChoice { name, known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let hint = did_you_mean(&name, known.iter().copied());
                format!("{name:?} is not one of {}{hint}", listed(&known))
            }
            Self::Expected(expected) => {
                let wanted = match expected.as_str() {
                    "a string" | "string or map" => "a text",
                    "a sequence" => "a list, such as [a, b]",
                    "a map" => "a mapping of names to values",
                    "a boolean" => "true or false",
                    "path string" => "a path",
                    "a Value::Tagged enum" => "one of the words that this key takes",
                    "f64" => "a number",
                    "u16" => "a whole number between 1 and 65535",
                    "u8" | "u32" | "u64" | "usize" => "a whole number",
                    other => other,
                };
                let found = if wanted.contains("number") && found == "a number" { "another" } else { found };
                let quotes = match (wanted, found) {
                    ("a text", "a number" | "a boolean") => "; put it in quotes",
                    _ => "",
                };
                format!("expected {wanted}, but this is {found}{quotes}")
            }
            Self::Said(message) => message,
        }
    }
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<Segment> {
    match segment {
        serde_path_to_error::Segment::Seq { index } => Some(Segment::Item(*index)),
        serde_path_to_error::Segment::Map { key } => Some(Segment::Key(key.clone())),
        serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => None,
    }
}

fn node<'a>(value: &'a mut Value, path: &KeyPath) -> Option<&'a mut Value> {
    path.segments().iter().try_fold(value, |value, segment| match segment {
        Segment::Key(name) => value.as_mapping_mut()?.get_mut(name),
        Segment::Item(index) => value.as_sequence_mut()?.get_mut(*index),
    })
}

fn empty(path: &KeyPath) -> Value {
    if path.segments().is_empty() { Value::Mapping(serde_yaml::Mapping::new()) } else { Value::Null }
}

fn kind(value: &mut Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a YAML tag",
    }
}

/// `a, b or c`
pub(super) fn listed(names: &[&str]) -> String {
    match names.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}
