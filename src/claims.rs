//! What a provider says of a person, as values that a sealed cookie can carry and a header can show.
//!
//! `oidc` makes [`Claims`] from verified tokens only; `session` seals and opens them; `gate` reads
//! them for rules and headers. This room knows no protocol: it is the value, not the proof (the
//! proof is `oidc::Identity`).

use serde::{Deserialize, Serialize};

/// One claim's value.
///
/// Numbers and booleans are kept as their JSON text: headers and rules compare text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimValue<'a> {
    /// A single value.
    Text(&'a str),
    /// Several values, such as `roles`.
    #[serde(borrow)]
    List(Vec<&'a str>),
    /// An object, as compact JSON, such as ProConnect's `custom`.
    Json(&'a str),
}

impl<'a> ClaimValue<'a> {
    /// The values of a claim that has one or several; none of an object.
    pub fn values(&self) -> &[&'a str] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(values) => values,
            Self::Json(_) => &[],
        }
    }
}

/// The claims whose values are a person's groups, the first that is there.
pub const GROUPS: [&str; 2] = ["groups", "roles"];

/// A view of a person's claims, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsView<'a>(#[serde(borrow)] Vec<(&'a str, ClaimValue<'a>)>);

impl<'a> ClaimsView<'a> {
    /// The value of the claim `name`.
    pub fn get(&self, name: &str) -> Option<&ClaimValue<'a>> {
        self.0.iter().find(|(held, _)| *held == name).map(|(_, value)| value)
    }

    /// The value of the claim `name`, where it is a single non-empty one.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            ClaimValue::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The person's groups ([`GROUPS`]).
    pub fn groups(&self) -> &[&'a str] {
        GROUPS.iter().find_map(|name| self.get(name)).map_or(&[], ClaimValue::values)
    }

    /// The same claims, with this one in the place of the one of its name.
    #[must_use]
    pub fn with(&self, name: &'a str, value: ClaimValue<'a>) -> Self {
        let others = self.0.iter().filter(|(held, _)| *held != name).cloned();
        Self(others.chain([(name, value)]).collect())
    }

    /// Every claim, by name.
    pub fn iter(&self) -> impl Iterator<Item = &(&'a str, ClaimValue<'a>)> {
        self.0.iter()
    }
}

/// A person's claims, owned: what verification hands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(std::collections::BTreeMap<String, OwnedValue>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedValue {
    Text(String),
    List(Vec<String>),
    Json(String),
}

impl Claims {
    /// Takes the claims of a JSON object. Nulls are absent claims; a list that holds anything but
    /// scalars is kept as JSON.
    pub fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        let values = object.iter().filter_map(|(name, value)| Some((name.clone(), OwnedValue::from_json(value)?)));
        Self(values.collect())
    }

    /// These claims with those of `more` laid over them.
    #[must_use]
    pub fn overlaid_with(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Only the claims whose name `keep` accepts.
    #[must_use]
    pub fn retaining(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|name, _| keep(name));
        self
    }

    /// A borrowed view.
    pub fn view(&self) -> ClaimsView<'_> {
        ClaimsView(self.0.iter().map(|(name, value)| (name.as_str(), value.view())).collect())
    }
}

impl OwnedValue {
    fn from_json(value: &serde_json::Value) -> Option<Self> {
        use serde_json::Value;
        match value {
            Value::Null => None,
            Value::Array(items) => match items.iter().map(scalar).collect() {
                Some(list) => Some(Self::List(list)),
                None => Some(Self::Json(value.to_string())),
            },
            Value::Object(_) => Some(Self::Json(value.to_string())),
            _ => scalar(value).map(Self::Text),
        }
    }

    fn view(&self) -> ClaimValue<'_> {
        match self {
            Self::Text(text) => ClaimValue::Text(text),
            Self::List(items) => ClaimValue::List(items.iter().map(String::as_str).collect()),
            Self::Json(json) => ClaimValue::Json(json),
        }
    }
}

fn scalar(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
