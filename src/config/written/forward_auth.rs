//! How front proxies ask, and under which further paths our own endpoints answer.

use crate::config::scalar::Span;
use crate::server::NotSignedIn;
use crate::web::original::FrontProxy;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a front proxy asks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {from: nginx}")]
pub(in crate::config) struct ForwardAuth {
    /// Which front proxy asks, and so where it says which request it asks about: `nginx` (also
    /// ingress-nginx) in `X-Original-URL` and `X-Original-Method`; `traefik`, `caddy` and `haproxy`
    /// in `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`; `envoy` (also Istio) in the path behind
    /// `/oauth2/auth`. Nothing else is read, and all of it must be there once. Must be written, except
    /// where Envoy asks over gRPC alone (`listeners.forward_auth_grpc`): a message has one place.
    #[schemars(extend("examples" = ["nginx"]))]
    pub(in crate::config) from: Option<FrontProxy>,
    /// What a person who is not signed in gets: `status` is 401 with the sign-in page, for front
    /// proxies that make a redirect of it themselves, as nginx does; `sign-in` is what Vestibule
    /// itself would answer (`sign_in.entry`), for those that hand the answer on.
    #[schemars(extend("default" = NotSignedIn::default()))]
    pub(in crate::config) not_signed_in: Option<NotSignedIn>,
    /// For how long the front proxy may use an answer again, in whole seconds up to ten. What ends
    /// a session is in force that much later.
    #[schemars(extend("default" = "0s", "examples" = ["2s"]))]
    pub(in crate::config) cache: Option<Span>,
}

/// Further paths of our own endpoints.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {callback: /v1/auth/callback}")]
pub(in crate::config) struct Aliases {
    /// The callback: this is then the redirect URI that the provider must know. `/oauth2/callback`
    /// is answered as well.
    #[schemars(extend("examples" = ["/v1/auth/callback"]))]
    pub(in crate::config) callback: Option<String>,
    /// The sign-in page.
    #[schemars(extend("examples" = ["/login"]))]
    pub(in crate::config) sign_in: Option<String>,
    /// Where a sign-in begins.
    #[schemars(extend("examples" = ["/api/login"]))]
    pub(in crate::config) start: Option<String>,
    /// Signing out.
    #[schemars(extend("examples" = ["/api/logout"]))]
    pub(in crate::config) sign_out: Option<String>,
    /// What front proxies ask.
    #[schemars(extend("examples" = ["/auth"]))]
    pub(in crate::config) auth: Option<String>,
    /// Who is signed in, as JSON.
    #[schemars(extend("examples" = ["/api/me"]))]
    pub(in crate::config) userinfo: Option<String>,
    /// Whether the process lives.
    #[schemars(extend("examples" = ["/ping"]))]
    pub(in crate::config) ping: Option<String>,
    /// Whether sign-ins can be had.
    #[schemars(extend("examples" = ["/ready"]))]
    pub(in crate::config) ready: Option<String>,
    /// What tells search engines to go away.
    #[schemars(extend("examples" = ["/robots.txt"]))]
    pub(in crate::config) robots: Option<String>,
}
