//! What all inputs say together, before it is known what counts.
//!
//! Every reader of an input adds to it; `settings` makes of it what counts. Values may be secrets:
//! nothing here prints one.

use super::alpha::Alpha;
use super::flags::{self, Flag};
use std::collections::BTreeMap;

/// Where a setting was given: of two, the later one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// The configuration file.
    File,
    /// The alpha configuration.
    Alpha,
    Environment,
    CommandLine,
}

/// A flag, as it was given somewhere.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) flag: &'static Flag,
    pub(super) layer: Layer,
    /// The input, with the line where it is known.
    pub(super) origin: String,
    /// What it is called in comments: the flag's name, or its place in the alpha configuration.
    pub(super) name: String,
    /// One text, or those of a list; none where only somebody else knows it, such as a Kubernetes
    /// Secret.
    pub(super) values: Option<Vec<String>>,
}

/// Settings that an input refers to.
pub(super) struct Elsewhere {
    pub(super) origin: String,
    pub(super) key: &'static str,
    pub(super) path: Option<String>,
}

/// Everything that was read.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) given: Vec<Given>,
    pub(super) alpha: Option<Alpha>,
    /// Other variables, which values may refer to.
    pub(super) variables: BTreeMap<String, String>,
    /// The names of the inputs, for what refers to them.
    pub(super) inputs: Vec<String>,
    /// Further settings that inputs refer to: by which key, and to which file, where it is one.
    pub(super) elsewhere: Vec<Elsewhere>,
    pub(super) mistakes: Vec<String>,
}

impl Gathered {
    pub(super) fn mistake(&mut self, origin: &str, says: &str) {
        self.mistakes.push(format!("{origin}: {says}"));
    }

    pub(super) fn refers(&mut self, origin: &str, key: &'static str, path: Option<&str>) {
        self.elsewhere.push(Elsewhere { origin: origin.to_owned(), key, path: path.map(str::to_owned) });
    }

    pub(super) fn give(&mut self, flag: &'static Flag, layer: Layer, origin: &str, values: Option<Vec<String>>) {
        self.given.push(Given { flag, layer, origin: origin.to_owned(), name: flag.name.to_owned(), values });
    }

    /// A variable of the environment, whoever sets it.
    pub(super) fn variable(&mut self, origin: &str, name: &str, value: Option<String>) {
        if !name.starts_with(flags::PREFIX) {
            self.variables.extend(value.map(|value| (name.to_owned(), value)));
            return;
        }
        match flags::of_a_variable(name) {
            // oauth2-proxy takes an empty variable for none.
            Ok(_) if value.as_deref() == Some("") => {}
            Ok(flag) => {
                let values = value.map(|value| if flag.is_list() { at_commas(&value) } else { vec![value] });
                self.give(flag, Layer::Environment, origin, values);
            }
            Err(says) if is_name(name) => self.mistake(origin, &format!("{name} {says}")),
            Err(_) => self.mistake(origin, "holds a variable that is none of oauth2-proxy's"),
        }
    }
}

/// The items of a list in one text.
pub(super) fn at_commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Whether a text has one line, for every reader of YAML.
pub(super) fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// Whether a key may be repeated in a message: it looks like one, and not like a value.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}
