//! Cookies: their names, their attributes, finding them in a request.

/// How our cookies are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `Domain`, where sign-in is shared between subdomains. Costs the `__Host-` prefix.
    pub domain: Option<String>,
}
