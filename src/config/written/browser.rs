//! What pages in the browser may do here: those of other origins, and in other people's name.

use crate::config::scalar::{Span, written_span};
use crate::config::written::{List, defaults};
use crate::web::cors::Preflight;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which pages of other origins may send requests and read the answers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {origins: [https://front.example.gouv.fr]}")]
pub(in crate::config) struct Cors {
    /// Their origins. They may act with the person's session, as our own pages may.
    #[schemars(required, extend("examples" = [["https://front.example.gouv.fr"]]))]
    pub(in crate::config) origins: Option<List<String>>,
    /// Who answers a preflight and says with the answers who may read them: `answer` is Vestibule, for
    /// all routes; what an app says of it itself is replaced. `pass` is the app: preflights reach it
    /// without a session, and Vestibule speaks for its own answers alone (401, 403, its endpoints).
    #[schemars(extend("default" = Preflight::default()))]
    pub(in crate::config) preflight: Option<Preflight>,
    /// For how long a browser may remember what a preflight said.
    #[schemars(extend("default" = written_span(defaults::CORS_MAX_AGE)))]
    pub(in crate::config) max_age: Option<Span>,
    /// The headers of an answer that scripts may read, beyond those that every script may.
    #[schemars(extend("default" = [] as [&str; 0], "examples" = [["X-Total-Count"]]))]
    pub(in crate::config) expose: Option<List<String>>,
}

/// Whose pages may change something with a person's session.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {origins, token}")]
pub(in crate::config) struct Csrf {
    /// The origins besides that of `public_url` and those of `cors` whose pages may: send forms, for
    /// instance. Hosts of the same site are among them only where they are written here.
    #[schemars(extend("default" = [] as [&str; 0], "examples" = [["https://portal.example.gouv.fr"]]))]
    pub(in crate::config) origins: Option<List<String>>,
    /// A token in a cookie that scripts of our pages read and repeat in a header, for browsers that say
    /// with neither `Sec-Fetch-Site` nor `Origin` whose page sent a request. `{}` for the names that
    /// Angular knows. The cookie and the header are Vestibule's then, and do not reach the app.
    pub(in crate::config) token: Option<CsrfToken>,
}

/// The names of that token.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {cookie, header}, or {} for the usual names")]
pub(in crate::config) struct CsrfToken {
    /// The cookie.
    #[schemars(extend("default" = defaults::CSRF_COOKIE))]
    pub(in crate::config) cookie: Option<String>,
    /// The header. Begins with `X-`.
    #[schemars(extend("default" = defaults::CSRF_HEADER))]
    pub(in crate::config) header: Option<String>,
}
