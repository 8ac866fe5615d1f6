//! The contents of a book's file: one mapping from claim values to keys, in YAML or JSON.
//!
//! `file` calls it with the whole file. Scalars are taken as they are written: `01234` is no number
//! here, and a SIRET needs no quotes. Nothing that stands in the file is in an error: serde's own
//! words would repeat it. The buffers of the two parsers are theirs and are not wiped; all of ours
//! are.

use super::{LONGEST_KEY, as_looked_up, is_header_text};
use crate::secret::SecretString;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Yaml,
}

impl Format {
    pub(super) fn of(path: &Path) -> Self {
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if is_json { Self::Json } else { Self::Yaml }
    }
}

/// What is wrong with the contents of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// Not YAML or JSON, or anything but a flat mapping of texts.
    #[error("expected one mapping of claim values to keys, such as `value: key`, and nothing else")]
    NotTheMapping,
    /// A key for an empty value.
    #[error("a claim value is empty")]
    EmptyValue,
    /// A value that was there before, the letters' case aside where it does not count.
    #[error("this claim value is here for the second time; remove one of the two")]
    Repeated,
    /// Nothing, or `null`, where a key should be.
    #[error("there is no key behind this claim value")]
    NoKey,
    /// A key that no header can hold.
    #[error("this key holds a line break or another character that a header cannot hold, or a space at an end")]
    UnfitKey,
    /// A key of more than 4096 bytes.
    #[error("this key is longer than 4096 bytes")]
    LongKey,
}

/// Keys by claim value.
#[derive(Default)]
pub(super) struct Entries(HashMap<Box<str>, SecretString>);

impl Entries {
    pub(super) fn get(&self, value: &str) -> Option<&SecretString> {
        self.0.get(value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads a file, or says what is wrong with it and in which line.
    pub(super) fn read(bytes: &[u8], format: Format, fold_case: bool) -> Result<Self, (Fault, Option<usize>)> {
        let text = std::str::from_utf8(bytes).map_err(|_| (Fault::NotText, None))?;
        let fault = Cell::new(Fault::NotTheMapping);
        let book = Book { fold_case, fault: &fault };
        let read = match format {
            Format::Json => {
                let mut json = serde_json::Deserializer::from_str(text);
                let read = book.deserialize(&mut json).and_then(|entries| json.end().map(|()| entries));
                read.map_err(|error| Some(error.line()))
            }
            Format::Yaml => {
                let read = book.deserialize(serde_yaml::Deserializer::from_str(text));
                read.map_err(|error| error.location().map(|location| location.line()))
            }
        };
        let entries = read.map_err(|line| (fault.get(), line))?;
        // A file that is just being written may be empty, which YAML takes for an empty mapping. It
        // counts only where it is written: the last person to leave the book must leave it.
        let written = |line: &str| !line.trim_start().starts_with('#') && line.contains('{');
        if entries.0.is_empty() && !text.lines().any(written) {
            return Err((Fault::NotTheMapping, None));
        }
        Ok(entries)
    }
}

/// The whole mapping.
struct Book<'a> {
    fold_case: bool,
    /// What a serde error stands for: it is raised within the value that is wrong, so that the
    /// parser adds where that is.
    fault: &'a Cell<Fault>,
}

impl<'de> DeserializeSeed<'de> for Book<'_> {
    type Value = Entries;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entries, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Book<'_> {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Entries, A::Error> {
        let mut entries = HashMap::new();
        loop {
            let claim = ClaimText { fold_case: self.fold_case, entries: &mut entries, fault: self.fault };
            let Some(place) = members.next_key_seed(claim)? else { return Ok(Entries(entries)) };
            members.next_value_seed(KeyText { place, fault: self.fault })?;
        }
    }
}

/// A claim value: its place among the entries, if it is free.
struct ClaimText<'e, 'a> {
    fold_case: bool,
    entries: &'e mut HashMap<Box<str>, SecretString>,
    fault: &'a Cell<Fault>,
}

impl<'de, 'e> DeserializeSeed<'de> for ClaimText<'e, '_> {
    type Value = &'e mut SecretString;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'e> Visitor<'_> for ClaimText<'e, '_> {
    type Value = &'e mut SecretString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim value")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        if value.is_empty() {
            return Err(noticed(self.fault, Fault::EmptyValue));
        }
        let value = match as_looked_up(value, self.fold_case) {
            Cow::Borrowed(value) => Box::from(value),
            Cow::Owned(value) => value.into_boxed_str(),
        };
        match self.entries.entry(value) {
            // Filled in by the key, which comes next or ends it all.
            Entry::Vacant(place) => Ok(place.insert(SecretString::default())),
            Entry::Occupied(_) => Err(noticed(self.fault, Fault::Repeated)),
        }
    }
}

/// A key, put into its place.
struct KeyText<'e, 'a> {
    place: &'e mut SecretString,
    fault: &'a Cell<Fault>,
}

impl<'de> DeserializeSeed<'de> for KeyText<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyText<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        let fault = match key {
            // What YAML has for nothing.
            "" | "~" | "null" | "Null" | "NULL" => Fault::NoKey,
            key if key.len() > LONGEST_KEY => Fault::LongKey,
            key if !is_header_text(key) => Fault::UnfitKey,
            key => {
                *self.place = SecretString::from(key);
                return Ok(());
            }
        };
        Err(noticed(self.fault, fault))
    }
}

fn noticed<E: Error>(fault: &Cell<Fault>, what: Fault) -> E {
    fault.set(what);
    E::custom("noticed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ExposeSecret;

    fn key<'a>(entries: &'a Entries, value: &str) -> Option<&'a str> {
        entries.get(value).map(ExposeSecret::expose_secret)
    }

    fn yaml(text: &str) -> Result<Entries, (Fault, Option<usize>)> {
        Entries::read(text.as_bytes(), Format::Yaml, false)
    }

    #[test]
    fn scalars_are_taken_as_they_are_written() {
        let text = "# organisations\n21750001600019: sk-paris\n01234567800012: sk-zero\n'13002526500013': \"sk dinum\"\n\
                    1e5: 0x10\ntrue: 007\nno: yes # a comment\na@b.fr: sk:x#y\n";
        let entries = yaml(text).unwrap();
        for (value, expected) in [
            ("21750001600019", Some("sk-paris")),
            ("01234567800012", Some("sk-zero")),
            ("1234567800012", None),
            ("13002526500013", Some("sk dinum")),
            ("1e5", Some("0x10")),
            ("100000", None),
            ("true", Some("007")),
            ("no", Some("yes")),
            ("a@b.fr", Some("sk:x#y")),
            ("A@b.fr", None),
        ] {
            assert_eq!(key(&entries, value), expected, "{value}");
        }
        let json = br#"{"21750001600019": "sk-paris", "a\u0040b.fr": "sk-a"}"#;
        for format in [Format::Json, Format::Yaml] {
            let entries = Entries::read(json, format, false).unwrap();
            assert_eq!((key(&entries, "21750001600019"), key(&entries, "a@b.fr")), (Some("sk-paris"), Some("sk-a")));
        }
        assert_eq!(yaml("{}").unwrap().len(), 0);
        assert_eq!(Format::of(Path::new("/etc/keys.JSON")), Format::Json);
        assert_eq!(Format::of(Path::new("/run/secrets/keys")), Format::Yaml);
    }

    #[test]
    fn only_ascii_letters_are_folded_and_only_where_asked() {
        let entries = Entries::read("Kim@B.fr: sk-kim\nÉve@b.fr: sk-eve\n".as_bytes(), Format::Yaml, true).unwrap();
        assert_eq!(key(&entries, "kim@b.fr"), Some("sk-kim"));
        assert_eq!((key(&entries, "Éve@b.fr"), key(&entries, "éve@b.fr")), (Some("sk-eve"), None));
        // The Kelvin sign is no k.
        assert_eq!(as_looked_up("\u{212a}im@b.fr", true), "\u{212a}im@b.fr");
        let twice = "a@b.fr: x\nA@b.fr: y\n";
        assert!(yaml(twice).is_ok());
        let folded = Entries::read(twice.as_bytes(), Format::Yaml, true).err();
        assert_eq!(folded, Some((Fault::Repeated, Some(2))));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let long = format!("a: x\nb: {}\n", "k".repeat(LONGEST_KEY + 1));
        for (text, expected, line) in [
            ("", Fault::NotTheMapping, None),
            ("# no {}\n", Fault::NotTheMapping, None),
            ("~", Fault::NotTheMapping, None),
            ("---\n", Fault::NotTheMapping, None),
            ("- a\n- b\n", Fault::NotTheMapping, Some(1)),
            ("a sentence", Fault::NotTheMapping, Some(1)),
            ("a: x\nb: [x]\n", Fault::NotTheMapping, Some(2)),
            ("a: x\nb:\n  c: x\n", Fault::NotTheMapping, Some(3)),
            ("a: x\n[b]: x\n", Fault::NotTheMapping, Some(2)),
            ("a: x\n\tb: y\n", Fault::NotTheMapping, Some(2)),
            ("a: x\n---\nb: y\n", Fault::NotTheMapping, None),
            ("a: x\nb: y\na: z\n", Fault::Repeated, Some(3)),
            ("a: x\na: x\n", Fault::Repeated, Some(2)),
            ("a: x\n'': y\n", Fault::EmptyValue, Some(2)),
            ("a: x\nb: y\nc:\n", Fault::NoKey, None),
            ("a: x\nb: ~\n", Fault::NoKey, Some(2)),
            ("a: x\nb: null\n", Fault::NoKey, Some(2)),
            ("a: x\nb: ''\n", Fault::NoKey, Some(2)),
            ("a: x\nb: clé\n", Fault::UnfitKey, Some(2)),
            ("a: x\nb: \"y\\nX-User: admin\"\n", Fault::UnfitKey, Some(2)),
            ("a: x\nb: |\n  y\nc: z\n", Fault::UnfitKey, Some(2)),
            ("a: x\nb: ' y'\n", Fault::UnfitKey, Some(2)),
            ("a: x\nb: \"y\\t\"\n", Fault::UnfitKey, Some(2)),
            (&long, Fault::LongKey, Some(2)),
        ] {
            let (fault, at) = yaml(text).err().unwrap_or_else(|| panic!("{text:?}"));
            assert_eq!(fault, expected, "{text:?}");
            if line.is_some() {
                assert_eq!(at, line, "{text:?}");
            }
        }
        for (text, expected, line) in [
            ("", Fault::NotTheMapping, 1),
            ("{\"a\": \"x\"", Fault::NotTheMapping, 1),
            ("{\"a\": \"x\"} {}", Fault::NotTheMapping, 1),
            ("[\"a\", \"x\"]", Fault::NotTheMapping, 1),
            ("{\"a\": \"x\",\n \"b\": 1}", Fault::NotTheMapping, 2),
            ("{\"a\": \"x\",\n \"b\": null}", Fault::NotTheMapping, 2),
            ("{\"a\": \"x\",\n \"\\u0061\": \"y\"}", Fault::Repeated, 2),
            ("{\"a\": \"x\",\n \"b\": \"y\\r\\nX-User: admin\"}", Fault::UnfitKey, 2),
        ] {
            let read = Entries::read(text.as_bytes(), Format::Json, false).err();
            assert_eq!(read, Some((expected, Some(line))), "{text:?}");
        }
        assert_eq!(Entries::read(b"a: \xe9", Format::Yaml, false).err(), Some((Fault::NotText, None)));
    }
}
