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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_counts_once_and_an_empty_one_not_at_all() {
        let cases = [
            ("", Ok(None)),
            ("a", Ok(None)),
            ("a=", Ok(None)),
            ("b=1", Ok(None)),
            ("A=1", Ok(None)),
            ("a=1", Ok(Some("1"))),
            ("%61=%31", Ok(Some("1"))),
            ("b=1&a=x+y&c", Ok(Some("x y"))),
            ("a=1&a=1", Err(Repeated)),
            ("a=&a=1", Err(Repeated)),
            ("a=1&a", Err(Repeated)),
            ("a=1&%61=2", Err(Repeated)),
            ("a=1;a=2", Ok(Some("1;a=2"))),
        ];
        for (query, expected) in cases {
            assert_eq!(Parameters::parse(query).get("a"), expected, "{query}");
        }
    }
}
