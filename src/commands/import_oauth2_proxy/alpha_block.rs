//! A mapping of the alpha configuration, whose keys are asked for one by one.
//!
//! Used by `alpha` alone. It remembers what was asked for: whatever is left at the end is a key that
//! oauth2-proxy does not know, and a mistake.

use super::flags::{self, Kind};
use super::gathered::{Gathered, Given, Layer, is_name, is_one_line};
use serde_yaml::{Mapping, Value};
use vestibule::config::did_you_mean;

/// A mapping, the place where it stands, and where what is found goes.
pub(super) struct Block<'a, 'o> {
    mapping: &'a Mapping,
    at: String,
    origin: &'a str,
    out: &'o mut Gathered,
    asked: Vec<String>,
}

impl<'a, 'o> Block<'a, 'o> {
    pub(super) fn of(mapping: &'a Mapping, at: &str, origin: &'a str, out: &'o mut Gathered) -> Self {
        Self { mapping, at: at.to_owned(), origin, out, asked: Vec::new() }
    }
}

impl<'a> Block<'a, '_> {
    /// Its place.
    pub(super) fn here(&self) -> String {
        self.at.clone()
    }

    /// The place of a key in it.
    pub(super) fn at(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    pub(super) fn mistake(&mut self, says: &str) {
        let says = format!("{}: {says}", self.at);
        self.out.mistake(self.origin, &says);
    }

    /// What stands under a key, in any capitals; `null` is nothing.
    fn get(&mut self, key: &str) -> Option<&'a Value> {
        self.asked.push(key.to_owned());
        let entry =
            self.mapping.iter().find(|(name, _)| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(key)));
        entry.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, key: &str, wanted: &str) {
        let says = format!("{} must be {wanted}", self.at(key));
        self.out.mistake(self.origin, &says);
    }

    /// Keys that need no words.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        self.asked.extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// No key in it is to be looked at.
    pub(super) fn pass_over(&mut self) {
        self.asked = self.mapping.keys().filter_map(Value::as_str).map(str::to_owned).collect();
    }

    pub(super) fn has(&mut self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) if !is_one_line(text) => {
                self.wrong(key, "a text on one line");
                None
            }
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong(key, "a text");
                None
            }
        }
    }

    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.get(key)?;
        let items =
            value.as_sequence().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        let texts: Option<Option<Vec<String>>> = items;
        if texts.as_ref().is_none_or(Option::is_none) {
            self.wrong(key, "a list of texts");
        }
        texts.flatten()
    }

    pub(super) fn switch(&mut self, key: &str) -> Option<bool> {
        let on = self.get(key)?.as_bool();
        if on.is_none() {
            self.wrong(key, "true or false");
        }
        on
    }

    pub(super) fn number(&mut self, key: &str) -> Option<u16> {
        let number = self.get(key)?.as_u64().and_then(|number| u16::try_from(number).ok());
        if number.is_none() {
            self.wrong(key, "a whole number");
        }
        number
    }

    pub(super) fn block(&mut self, key: &str) -> Option<Block<'a, '_>> {
        let Some(mapping) = self.get(key)?.as_mapping() else {
            self.wrong(key, "a mapping");
            return None;
        };
        let at = self.at(key);
        Some(Block { mapping, at, origin: self.origin, out: self.out, asked: Vec::new() })
    }

    /// The same mapping, asked anew.
    pub(super) fn again(&mut self) -> Block<'a, '_> {
        Block { mapping: self.mapping, at: self.at.clone(), origin: self.origin, out: self.out, asked: Vec::new() }
    }

    /// The mappings in a list, one after the other.
    pub(super) fn each(&mut self, key: &str, mut work: impl FnMut(usize, &mut Block<'a, '_>)) {
        let Some(value) = self.get(key) else { return };
        let mappings: Option<Vec<&Mapping>> =
            value.as_sequence().and_then(|items| items.iter().map(Value::as_mapping).collect());
        let Some(mappings) = mappings else {
            self.wrong(key, "a list of mappings");
            return;
        };
        for (index, mapping) in mappings.into_iter().enumerate() {
            let at = format!("{}[{index}]", self.at(key));
            let mut item = Block { mapping, at, origin: self.origin, out: self.out, asked: Vec::new() };
            work(index, &mut item);
            item.finish();
        }
    }

    /// A key that says what a flag says.
    pub(super) fn flag(&mut self, key: &str, name: &str) {
        let Some(flag) = flags::named(name) else { return };
        let Some(value) = self.get(key) else { return };
        let (values, wanted) = match flag.kind {
            Kind::Switch(_) => (value.as_bool().map(|on| vec![on.to_string()]), "true or false"),
            Kind::List => {
                let items =
                    value.as_sequence().map(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
                (items.flatten().map(|items| items.into_iter().map(str::to_owned).collect()), "a list of texts")
            }
            // Some switches of the alpha configuration are flags with a text.
            _ => {
                let text = value.as_str().map(str::to_owned).or_else(|| value.as_bool().map(|on| on.to_string()));
                (text.map(|text| vec![text]), "a text")
            }
        };
        if values.is_none() {
            self.wrong(key, wanted);
            return;
        }
        let (name, origin) = (self.at(key), self.origin.to_owned());
        self.out.given.push(Given { flag, layer: Layer::Alpha, origin, name, values });
    }

    /// Says which keys nobody asked for.
    pub(super) fn finish(&mut self) {
        let unknown: Vec<Option<&str>> = self
            .mapping
            .keys()
            .map(Value::as_str)
            .filter(|name| !name.is_some_and(|name| self.asked.iter().any(|asked| asked.eq_ignore_ascii_case(name))))
            .collect();
        for name in unknown {
            let says = match name.filter(|name| is_name(name)) {
                Some(name) => {
                    let hint = did_you_mean(name, self.asked.iter().map(String::as_str));
                    format!("{} is no key of oauth2-proxy's alpha configuration{hint}", self.at(name))
                }
                None => format!("{} has a key that is none of oauth2-proxy's", self.at("…")),
            };
            self.out.mistake(self.origin, &says);
        }
    }
}
