//! The line of a key path: walks the text along the path and stops there with an error, so that
//! the YAML reader says where it stands.
//!
//! `from_text` calls it for each problem and finding, `parse` once for repeated keys.

use super::problem::{KeyPath, Segment};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::collections::HashSet;
use std::fmt;

/// The error that stops the walk. No message of the YAML reader starts so.
const HERE: &str = "\u{1}here";

/// The line, counted from 1, of the deepest part of `path` that `text` has.
pub(super) fn line_of(text: &str, path: &KeyPath) -> Option<usize> {
    let mut segments = path.segments();
    while let Some((_, above)) = segments.split_last() {
        if let Some(line) = find(text, segments) {
            return Some(line);
        }
        segments = above;
    }
    None
}

/// The line of the first key that its mapping already has.
pub(super) fn repeated_key(text: &str) -> Option<usize> {
    stopped_at(&NoRepetition.deserialize(serde_yaml::Deserializer::from_str(text)).err()?)
}

fn find(text: &str, segments: &[Segment]) -> Option<usize> {
    stopped_at(&Seek(segments).deserialize(serde_yaml::Deserializer::from_str(text)).err()?)
}

fn stopped_at(stopped: &serde_yaml::Error) -> Option<usize> {
    let location = stopped.location()?;
    // The reader puts the path before a message and the position behind it.
    stopped.to_string().contains(HERE).then(|| location.line())
}

/// Walks a value along the segments.
struct Seek<'a>(&'a [Segment]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seek<'_> {
    fn scalar<E: Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.scalar()?;
        let (wanted, rest) = match self.0.split_first() {
            Some((Segment::Key(name), rest)) => (Some(name.as_str()), rest),
            _ => (None, self.0),
        };
        while let Some(is_wanted) = map.next_key_seed(SeekKey { wanted, is_last: rest.is_empty() })? {
            if is_wanted {
                map.next_value_seed(Seek(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.scalar()?;
        let Some((Segment::Item(wanted), rest)) = self.0.split_first() else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for _ in 0..*wanted {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(Seek(rest))?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar()
    }
}

/// Reads a key and says whether it is the wanted one; stops there when the path ends with it.
struct SeekKey<'a> {
    wanted: Option<&'a str>,
    is_last: bool,
}

impl<'de> DeserializeSeed<'de> for SeekKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for SeekKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match Some(key) == self.wanted {
            true if self.is_last => Err(E::custom(HERE)),
            is_wanted => Ok(is_wanted),
        }
    }
}

/// Walks everything and stops at a key that its mapping already has.
#[derive(Clone, Copy)]
struct NoRepetition;

impl<'de> DeserializeSeed<'de> for NoRepetition {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoRepetition {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while map.next_key_seed(NewKey(&mut seen))?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, inner) = tagged.variant::<IgnoredAny>()?;
        inner.newtype_variant_seed(self)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a key that must not have been seen.
struct NewKey<'a>(&'a mut HashSet<String>);

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) { Ok(()) } else { Err(E::custom(HERE)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_items_and_what_is_missing_have_a_line() {
        let text = "public_url: https://a\nroutes:\n  - {path: /a}\n  -\n    path: /b\n    upstream: x\nlist:\n- 1\n- two\n5: x\n";
        let root = KeyPath::root();
        for (path, line) in [
            (root.key("public_url"), Some(1)),
            (root.key("routes"), Some(2)),
            (root.key("routes").item(0), Some(3)),
            (root.key("routes").item(0).key("path"), Some(3)),
            (root.key("routes").item(1), Some(5)),
            (root.key("routes").item(1).key("upstream"), Some(6)),
            (root.key("routes").item(0).key("upstream"), Some(3)),
            (root.key("routes").item(7), Some(2)),
            (root.key("list").item(1), Some(9)),
            (root.key("list").item(1).key("deeper"), Some(9)),
            (root.key("5"), Some(10)),
            (root.key("nowhere"), None),
            (root, None),
        ] {
            assert_eq!(line_of(text, &path), line, "{path}");
        }
    }

    #[test]
    fn a_repeated_key_is_found_wherever_it_is() {
        for (text, line) in [
            ("a: 1\nb: 2\n", None),
            ("a: 1\nb: 2\na: 3\n", Some(3)),
            ("a: {x: 1}\nb:\n  - {x: 1}\n  - x: 1\n    y: 2\n    x: 3\n", Some(6)),
            ("a: !t\n  x: 1\n  x: 2\n", Some(3)),
            ("a: [", None),
        ] {
            assert_eq!(repeated_key(text), line, "{text}");
        }
    }
}
