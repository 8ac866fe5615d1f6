//! Where in a request a credential goes.

use crate::web::header::fold;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

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
    pub(super) fn value(&self, secret: &str) -> Option<HeaderValue> {
        sensitive(&format!("{}{secret}", self.before))
    }
}

/// A header's value that nobody prints.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether a client's header is one of these, in whatever spelling an app may take for it.
pub(super) fn is_any_of<'h>(name: &HeaderName, mut headers: impl Iterator<Item = &'h HeaderName>) -> bool {
    headers.any(|header| header == name || fold(header.as_str()) == fold(name.as_str()))
}
