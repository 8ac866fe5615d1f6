//! An app that keeps an access token in its page's memory.

use crate::config::scalar::{Span, written_span};
use crate::config::written::defaults;
use schemars::JsonSchema;
use serde::Deserialize;

/// What an app is offered that keeps an access token in its page's memory, with no login code but
/// its own (`docs/browser-apps.md`). The endpoints are at `/oauth2/authorize`, `token`, `refresh` and
/// `logout`, and at the paths that are written here.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {callback: /auth/callback, token: /api/token}")]
pub(in crate::config) struct TokenEndpoints {
    /// Where the app asks where to sign in.
    #[schemars(extend("examples" = ["/api/authorize"]))]
    pub(in crate::config) authorize: Option<String>,
    /// Where it gets a token for the provider's code.
    #[schemars(extend("examples" = ["/api/token"]))]
    pub(in crate::config) token: Option<String>,
    /// Where it gets the next one.
    #[schemars(extend("examples" = ["/api/refresh"]))]
    pub(in crate::config) refresh: Option<String>,
    /// Where it signs out.
    #[schemars(extend("examples" = ["/api/logout"]))]
    pub(in crate::config) logout: Option<String>,
    /// The app's own route to which the provider returns: a path, or an address on an origin of
    /// `cors`. The provider must know it as a redirect URI. On `public_url` its route has to be
    /// `access: public`, for nobody has a session there yet.
    #[schemars(required, extend("examples" = ["/auth/callback"]))]
    pub(in crate::config) callback: Option<String>,
    /// The provider that the app signs in with, where there are several.
    #[schemars(extend("examples" = ["keycloak"]))]
    pub(in crate::config) provider: Option<String>,
    /// How long a token counts at most, from 30 seconds to an hour. It never outlasts its session,
    /// and what ends that ends it at once.
    #[schemars(extend("default" = written_span(defaults::ACCESS_TOKEN)))]
    pub(in crate::config) lifetime: Option<Span>,
    /// Does without any cookie, for an app whose browsers keep none. `refresh` then takes a `state`
    /// that is new with each answer, and a sign-in is not bound to the browser that began it: the app
    /// has to compare `state` itself. Needs `session.keep: store`.
    #[schemars(extend("default" = false))]
    pub(in crate::config) cookieless: Option<bool>,
}
