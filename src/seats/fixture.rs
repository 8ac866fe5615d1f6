//! Licences for tests.

use super::licence::{Licence, Written};

/// The licence of this number, three seats if `more` does not say otherwise; `more` is YAML.
pub(crate) fn licence(number: u64, more: &str) -> Licence {
    let seats = if more.contains("seats:") { "" } else { "seats: 3, " };
    let text = format!("{{id: 00000000-0000-4000-8000-{number:012}, {seats}{more}}}");
    Licence::parse(written(&text)).unwrap()
}

/// What is written in YAML.
pub(crate) fn written(text: &str) -> Written {
    let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
    serde_json::from_value(value).unwrap()
}
