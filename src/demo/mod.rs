//! The demo: a ProConnect-like provider and a small app, both on loopback.
//!
//! [`start`] is what `vestibule demo` calls; `app` puts the proxy between the two. The provider is
//! also the one that the test suite signs in with, and can be told to misbehave
//! ([`provider::Faults`]). Nothing here may listen on anything but loopback: the provider signs in
//! whoever asks, and the app believes every header.

pub mod app;
mod loopback;
pub mod provider;

pub use app::{App, EXTRA_HEADERS};
pub use loopback::BadListener;
pub use provider::{LogoutUris, Provider, ProviderError, ProviderSettings};

use crate::clock::Clock;
use crate::random::{self, NoRandomness, Random};
use crate::secret::{ExposeSecret, SecretString};
use base64::Engine;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where the app's sign-out button leads, on the proxy.
const SIGN_OUT: &str = "/oauth2/sign_out";

/// The two ends of the demo. Dropping it ends both.
#[derive(Debug)]
pub struct Demo {
    /// The provider, with one client registered.
    pub provider: Provider,
    /// The app to stand in front of.
    pub app: App,
    /// The registered client's `client_id`.
    pub client_id: String,
    /// The registered client's `client_secret`, to be presented by `client_secret_post`.
    pub client_secret: SecretString,
}

/// Why the demo does not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No random bytes for the client's secret.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The provider does not start.
    #[error("the demo's provider: {0}")]
    Provider(#[from] ProviderError),
    /// The app does not start.
    #[error("the demo's app: {0}")]
    App(#[from] BadListener),
}

/// Starts provider and app on the current runtime, with one client registered for `redirect_uri`
/// and `post_logout_redirect_uri` under a fresh id and secret. The provider tells `logout_uris` of
/// sign-outs.
///
/// The client's ID tokens and userinfo are signed with ES256. The identity headers that the app
/// expects are the `x-auth-request` set and [`EXTRA_HEADERS`].
///
/// # Errors
/// [`DemoError`], by cause.
pub fn start(
    clock: Clock,
    random: Arc<dyn Random>,
    provider_listener: TcpListener,
    app_listener: TcpListener,
    redirect_uri: &str,
    post_logout_redirect_uri: &str,
    logout_uris: LogoutUris,
) -> Result<Demo, DemoError> {
    let fresh = || {
        Ok::<_, NoRandomness>(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random::bytes::<32>(&*random)?))
    };
    let (client_id, client_secret) = (format!("demo-{}", fresh()?), SecretString::from(fresh()?));
    let client = provider::Client::new(
        &client_id,
        SecretString::from(client_secret.expose_secret()),
        redirect_uri,
        post_logout_redirect_uri,
    );
    let settings = ProviderSettings { clients: vec![client], ..ProviderSettings::default() };
    let provider = Provider::start(provider_listener, settings, clock, random)?;
    provider.register_logout_uris(&client_id, logout_uris);
    let app = App::start(app_listener, SIGN_OUT)?;
    Ok(Demo { provider, app, client_id, client_secret })
}

/// The configuration that puts the proxy, on `port`, between the two: what a team would write,
/// with its secrets under the names `DEMO_SESSION_KEY` and `DEMO_CLIENT_SECRET`.
pub fn configuration(demo: &Demo, port: u16) -> String {
    let extra = EXTRA_HEADERS.map(|(name, template)| format!("    {name}: \"{template}\"\n")).concat();
    format!(
        r#"public_url: http://localhost:{port}
listeners: {{proxy: "127.0.0.1:{port}", admin: "127.0.0.1:0"}}
providers:
  demo:
    preset: proconnect
    issuer: {issuer}
    client_id: {client_id}
    client_secret: {{env: DEMO_CLIENT_SECRET}}
session:
  keys: [{{id: demo, secret: {{env: DEMO_SESSION_KEY}}}}]
upstreams:
  app: {{url: "http://{app}"}}
routes:
  - {{path: /public, access: public, upstream: app}}
  - {{path: /app.css, access: public, upstream: app}}
  - {{path: /**, upstream: app}}
identity:
  headers:
    X-Auth-Request-User: "{{sub}}"
    X-Auth-Request-Email: "{{email}}"
{extra}pages: {{application: "Application de démonstration"}}
"#,
        issuer = demo.provider.issuer(),
        client_id = demo.client_id,
        app = demo.app.address(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[tokio::test]
    async fn starts_provider_and_app_side_by_side() {
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (random, callback) = (Arc::new(SystemRandom::new()), "http://127.0.0.1:1/oauth2/callback");
        let listeners = (listen().await.unwrap(), listen().await.unwrap());
        let (out, uris) = ("http://127.0.0.1:1/out", LogoutUris::default());
        let demo = start(Clock::System, random, listeners.0, listeners.1, callback, out, uris).unwrap();
        assert_eq!(demo.provider.issuer(), format!("http://{}/api/v2", demo.provider.address()));
        assert_ne!(demo.app.address(), demo.provider.address());
    }
}
