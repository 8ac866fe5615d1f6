//! Identity headers: what is stripped from every request, and what a `Permit` sets.

/// Which identity headers the app gets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Header names with the template of their value.
    pub headers: Vec<(http::HeaderName, Template)>,
    /// How values that are not plain ASCII are written.
    pub encoding: Encoding,
}

/// How values that are not plain ASCII are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// UTF-8, percent-encoded where it is not printable ASCII; `%` itself becomes `%25`.
    #[default]
    Percent,
    /// RFC 8187: `UTF-8''H%C3%A9l%C3%A8ne` where the value is not printable ASCII, else as it is.
    Rfc8187,
}

/// A header value with claims in braces: `{given_name} {usual_name}`, `{preferred_username|email}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template;

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`BadTemplate`], by cause.
    pub fn parse(_text: &str) -> Result<Self, BadTemplate> {
        todo!()
    }

    /// The claims it names.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

/// The set of identity headers of that name (`x-auth-request`, `x-forwarded`, `remote-user`).
pub fn named_set(_name: &str) -> Option<Vec<(http::HeaderName, Template)>> {
    todo!()
}

/// The names of all sets.
pub const NAMED_SETS: [&str; 3] = ["x-auth-request", "x-forwarded", "remote-user"];
