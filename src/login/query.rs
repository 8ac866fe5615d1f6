//! Query parameters as a sign-in may have them: each at most once.

use std::borrow::Cow;

/// The parameters of a query or form.
pub(super) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// A parameter that is there twice: RFC 6749 §3.1 forbids it, and which one counts would be the
/// sender's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeated;

impl<'a> Parameters<'a> {
    pub(super) fn parse(query: &'a str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).collect())
    }

    /// The value of `name`; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(held, _)| held == name);
        let value = values.next().map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty());
        if values.next().is_some() { Err(Repeated) } else { Ok(value) }
    }
}
