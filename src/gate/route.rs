//! Routes: which rule a request falls under.

/// Who may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Everybody; identity headers are set where there is a session.
    Public,
    /// Whoever is signed in.
    #[default]
    SignedIn,
}

/// One route, resolved.
#[derive(Clone, Debug)]
pub struct Route {
    /// The path it is for.
    pub path: PathPattern,
    /// The host it is for, lower-case and without port; any when `None`.
    pub host: Option<String>,
    /// The methods it is for; any when empty.
    pub methods: Vec<http::Method>,
    /// Who may pass.
    pub access: Access,
    /// Index of the upstream among `server::Settings::upstreams`.
    pub upstream: usize,
    /// Taken off the front of the path before the app sees it: `/api`, without a final slash.
    pub strip_prefix: Option<String>,
}

/// `/exact`, `/one/*/segment`, `/everything/below/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

/// Why a text is no path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`BadPattern`], by cause.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        Ok(Self(text.to_owned()))
    }
}

/// All routes, most specific first.
#[derive(Clone, Debug)]
pub struct Table;

/// Two routes (by index) that would match the same requests with equal right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clash(pub usize, pub usize);

impl Table {
    /// Orders routes from the most specific to the least.
    ///
    /// # Errors
    /// Every pair that is for the same host, path and method.
    pub fn new(_routes: Vec<Route>) -> Result<Self, Vec<Clash>> {
        todo!()
    }
}
