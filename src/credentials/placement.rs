//! Where in a request a credential goes.

use crate::secret::{ExposeSecret, SecretString};
use crate::web::header::fold;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A header, and what stands in it before the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The header.
    pub header: HeaderName,
    /// `Bearer `, or nothing.
    pub before: &'static str,
}

impl Default for Placement {
    /// `Authorization: Bearer …` (RFC 6750 §2.1).
    fn default() -> Self {
        Self::of(AUTHORIZATION)
    }
}

impl Placement {
    /// In this header: behind `Bearer ` in `Authorization`, alone in any other.
    pub fn of(header: HeaderName) -> Self {
        let before = if header == AUTHORIZATION { "Bearer " } else { "" };
        Self { header, before }
    }

    /// The header's value; none for what cannot stand in a header.
    pub fn value(&self, secret: &SecretString) -> Option<HeaderValue> {
        sensitive(&format!("{}{}", self.before, secret.expose_secret()))
    }
}

/// A header's value that nobody prints.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The headers that a credential goes into, made ready for the everyday request.
pub(super) struct Places {
    names: Vec<HeaderName>,
    folded: Vec<String>,
}

impl Places {
    pub(super) fn new(names: Vec<HeaderName>) -> Self {
        let folded = names.iter().map(|name| fold(name.as_str()).into_owned()).collect();
        Self { names, folded }
    }

    /// Whether a client's header is one of these, in whatever spelling an app may take for it.
    pub(super) fn hold(&self, name: &HeaderName) -> bool {
        let name = fold(name.as_str());
        self.folded.iter().any(|own| *own == name)
    }

    /// Whether a request has one of these, under the very same name.
    pub(super) fn are_in(&self, request: &HeaderMap) -> bool {
        self.names.iter().any(|name| request.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_header_is_replaced_in_every_spelling_and_brought_in_its_own_alone() {
        let places = Places::new(vec![AUTHORIZATION, HeaderName::from_static("x-api-key")]);
        for (name, is_held, is_brought) in [
            ("Authorization", true, true),
            ("X-Api-Key", true, true),
            ("x_api_key", true, false),
            ("X.API.Key", true, false),
            ("x-api-keys", false, false),
            ("cookie", false, false),
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(places.hold(&name), is_held, "{name}");
            let request = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))]);
            assert_eq!(places.are_in(&request), is_brought, "{name}");
        }
        let spelt_otherwise = Places::new(vec![HeaderName::from_static("x_api_key")]);
        assert!(spelt_otherwise.hold(&HeaderName::from_static("x-api-key")));
    }
}
