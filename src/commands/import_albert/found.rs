//! What stands in a `config.yml` under a name, with its `${VARIABLE:-default}` placeholders read.
//!
//! Asked by `translate`. Collects every mistake with its key path. Must never repeat a value in a
//! message: whatever stands in the wrong place may be a secret.

use crate::commands::import::placeholder::{Forms, Parts};
use serde_yaml::Value;

/// A file, and what is wrong with it.
pub(super) struct Source {
    root: Value,
    /// Every mistake so far: the key path, and what is wrong there.
    pub(super) mistakes: Vec<String>,
}

/// A text that is no secret.
#[derive(Clone)]
pub(super) struct Text {
    /// Its key path.
    pub(super) at: String,
    /// What it says; none if it depends on a variable that has no default in the file.
    pub(super) value: Option<String>,
    /// The variables that it depends on.
    pub(super) variables: Vec<String>,
}

/// Where a secret is. What it is, is asked of it by questions that can be answered with yes or no.
pub(super) struct Secret {
    /// Its key path.
    pub(super) at: String,
    /// The variable that alone makes it up, if one does.
    pub(super) variable: Option<String>,
    /// What the file says it is, or is without the variable.
    written: Option<String>,
}

impl Secret {
    /// Whether it is, or is by default, the word of the example configurations.
    pub(super) fn is_placeholder(&self) -> bool {
        self.written.as_deref() == Some(vestibule::credentials::envelope::PLACEHOLDER)
    }

    /// Whether it is in the file, and there is no Fernet key.
    pub(super) fn is_no_fernet_key(&self) -> bool {
        use vestibule::credentials::envelope::{Derivation, Envelope};
        let written = self.written.as_deref();
        written.is_some_and(|written| Envelope::new(&written.into(), Derivation::Raw).is_err())
    }

    /// Whether both come from one variable or are, or are by default, one text.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let one_variable = self.variable.is_some() && self.variable == other.variable;
        one_variable || (self.written.is_some() && self.written == other.written)
    }

    /// Whether it comes from a variable, with a default for where that is not set.
    pub(super) fn has_default(&self) -> bool {
        self.variable.is_some() && self.written.is_some()
    }

    /// Whether the file itself holds it.
    pub(super) fn is_in_the_file(&self) -> bool {
        self.written.is_some() && self.variable.is_none()
    }
}

impl Source {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let root = serde_yaml::from_str::<Value>(text).and_then(|mut root| root.apply_merge().map(|()| root));
        // The library's own words may repeat what stands there.
        let root = root.map_err(|error| match error.location() {
            Some(place) => format!("is not YAML, or has a key twice: look at line {}", place.line()),
            None => "is not one YAML document, or has a key twice".to_owned(),
        })?;
        if !root.is_mapping() {
            return Err("holds no settings".to_owned());
        }
        Ok(Self { root, mistakes: Vec::new() })
    }

    pub(super) fn mistake(&mut self, at: &str, says: &str) {
        let mistake = format!("{at}: {says}");
        // Some settings are read for two purposes.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Whether something is there. What should be a mapping and is not is a mistake.
    pub(super) fn has_block(&mut self, at: &str) -> bool {
        match self.get(at) {
            None => false,
            Some(Value::Mapping(_)) => true,
            Some(_) => {
                self.mistake(at, "must be a mapping");
                false
            }
        }
    }

    /// The names in a mapping, of which those that look like none are left out.
    pub(super) fn names(&self, at: &str) -> Vec<String> {
        let block = if at.is_empty() { Some(&self.root) } else { self.get(at) };
        let keys = block.and_then(Value::as_mapping).into_iter().flat_map(serde_yaml::Mapping::keys);
        let names = keys.filter_map(Value::as_str).filter(|name| is_name(name));
        names.map(str::to_owned).collect()
    }

    pub(super) fn text(&mut self, at: &str) -> Option<Text> {
        let written = self.string(at)?;
        let Some(parts) = Parts::of(&written, Forms::Braces) else {
            self.mistake(at, BAD_PLACEHOLDER);
            return None;
        };
        let (value, variables) = (parts.text(|_| None), parts.variables());
        // `${NAME:-}` is how a setting is left out.
        let left_out = value.as_deref().is_some_and(|value| value.trim().is_empty());
        (!left_out).then(|| Text { at: at.to_owned(), value, variables })
    }

    pub(super) fn secret(&mut self, at: &str) -> Option<Secret> {
        let written = self.string(at)?;
        let Some(parts) = Parts::of(&written, Forms::Braces) else {
            self.mistake(at, BAD_PLACEHOLDER);
            return None;
        };
        let variable = parts.only_variable().map(str::to_owned);
        let written = parts.text(|_| None).filter(|written| !written.is_empty());
        Some(Secret { at: at.to_owned(), variable, written })
    }

    /// A list, or one text with commas in it.
    pub(super) fn list(&mut self, at: &str) -> Option<Vec<Text>> {
        let Some(Value::Sequence(items)) = self.get(at) else {
            let whole = self.text(at)?;
            let Some(value) = &whole.value else { return Some(vec![whole]) };
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            let of_item = |item: &str| Text {
                at: whole.at.clone(),
                value: Some(item.to_owned()),
                variables: whole.variables.clone(),
            };
            return Some(items.map(of_item).collect());
        };
        let count = items.len();
        Some((0..count).filter_map(|index| self.text(&format!("{at}[{index}]"))).collect())
    }

    /// Whether a switch is there and off.
    pub(super) fn is_off(&self, at: &str) -> bool {
        self.get(at) == Some(&Value::Bool(false))
    }

    /// What stands at a path of keys and, at its end, the number of an item. `null` is nothing.
    fn get(&self, at: &str) -> Option<&Value> {
        let (keys, item) = match at.strip_suffix(']').and_then(|at| at.rsplit_once('[')) {
            Some((keys, item)) => (keys, Some(item.parse::<usize>().ok()?)),
            None => (at, None),
        };
        let block = keys.split('.').try_fold(&self.root, |value, key| value.as_mapping()?.get(key))?;
        let value = if let Some(item) = item { block.as_sequence()?.get(item)? } else { block };
        (!value.is_null()).then_some(value)
    }

    fn string(&mut self, at: &str) -> Option<String> {
        let says = match self.get(at)? {
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) if text.chars().any(char::is_control) => "holds a line break or a control character",
            Value::String(text) => return Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => "is no text; write it in quotes",
            _ => "must be a text",
        };
        self.mistake(at, says);
        None
    }
}

const BAD_PLACEHOLDER: &str = "has a ${ that is not followed by the name of a variable and a }";

/// Whether a key may be repeated in a message.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
