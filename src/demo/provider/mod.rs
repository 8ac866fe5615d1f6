//! An OpenID Provider that behaves as ProConnect does, on loopback, for the demo and for tests.
//!
//! `demo::start` runs one; the integration tests run one with faults. It follows ProConnect's
//! documentation and what its code does beyond it: endpoints below `/api/v2`, scopes and claims,
//! no e-mail or name in the ID token, userinfo as a signed JWT or JSON, `client_secret_post` only,
//! exact redirect URIs, a 12 h session that is reused without a screen, sign-out through
//! `/session/end`. It leaves out introspection, `private_key_jwt` and encrypted tokens. Beyond
//! ProConnect, it tells clients that ask when somebody has signed out ([`LogoutUris`]), shows
//! at `/api/v2/sessions` who is signed in, with a button to sign them out everywhere, and exchanges
//! tokens for those of other services (RFC 8693).
//!
//! Whoever can reach it signs in as whomever they like: it must never listen on anything but
//! loopback.
//!
//! ```text
//! authorize ─ request (checks) ─┬─ callback (code or error)
//!                               └─ sign_in (the page) ─ callback
//! token ┬ id_token ─ keys      userinfo ─ keys      revocation      metadata
//!       └ exchange ─ keys
//! logout ┬ logout_token ─ keys
//! sessions ┘
//! ```

mod agents;
mod authorize;
mod callback;
mod exchange;
mod faults;
mod id_token;
mod keys;
mod logout;
mod logout_token;
mod metadata;
mod pages;
mod request;
mod revocation;
mod sessions;
mod settings;
mod sign_in;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod userinfo;

pub use agents::{ACR_VALUES, Agent, IDENTITY_PROVIDERS, ROLES, SCOPE_CLAIMS, TestAgent, test_agents};
pub use faults::{
    CallbackFault, Counters, DiscoveryFault, Down, ExchangeFault, Faults, FaultsHandle, Hold, IdTokenFault, JwksFault,
    LogoutTokenFault, RefreshFault, RevocationFault, TokenFault, UserinfoFault,
};
pub use keys::KeyError;
pub use logout_token::{Delivery, NoLogoutToken};
pub use settings::{Client, DEFAULT_SCOPES, LogoutUris, ProviderSettings, RefreshRotation, SigningAlgorithm};

use super::loopback::{BadListener, LoopbackServer, loopback_address, stop_sign};
use crate::clock::{Clock, Timestamp};
use crate::fetch::Fetch;
use crate::random::{self, NoRandomness, Random};
use crate::secret::ExposeSecret;
use base64::Engine;
use state::{FreshId, State};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;

/// Where all endpoints are, below the address.
const PREFIX: &str = "/api/v2";

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub struct Provider {
    shared: Arc<Shared>,
    server: LoopbackServer,
}

/// Why a provider does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The listener is not taken.
    #[error(transparent)]
    Listener(#[from] BadListener),
    /// There are no keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A client is registered for RS256, and there is no RSA key.
    #[error("the client {client_id} is registered for RS256, which needs an RSA key in the settings")]
    RsaKeyMissing {
        /// Which client.
        client_id: String,
    },
}

impl Provider {
    /// Starts a provider on the current runtime.
    ///
    /// # Errors
    /// [`ProviderError`], by cause; a listener that is not on loopback among them.
    pub fn start(
        listener: TcpListener,
        settings: ProviderSettings,
        clock: Clock,
        random: Arc<dyn Random>,
    ) -> Result<Self, ProviderError> {
        let address = loopback_address(&listener)?;
        let keys = keys::Keys::new(settings.rsa_private_key_pem.as_ref().map(ExposeSecret::expose_secret), &*random)?;
        if let Some(client) = settings.clients.iter().find(|client| client.needs_rsa()).filter(|_| !keys.has_rsa()) {
            return Err(ProviderError::RsaKeyMissing { client_id: client.client_id.clone() });
        }
        let state = State::new(keys, settings.access_token_lifetime);
        let shared = Arc::new(Shared {
            issuer: format!("http://{address}{PREFIX}"),
            settings,
            clock,
            random,
            faults: FaultsHandle::default(),
            counts: faults::Counts::default(),
            state: Mutex::new(state),
            fetch: OnceLock::new(),
        });
        let server = LoopbackServer::start(listener, router(Arc::clone(&shared)), stop_sign())?;
        Ok(Self { shared, server })
    }

    /// Ends it: once this returns, connections are refused.
    pub async fn stop(self) {
        self.server.stop().await;
    }

    /// The issuer: `http://127.0.0.1:PORT/api/v2`.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The grip on what goes wrong.
    pub fn faults(&self) -> FaultsHandle {
        self.shared.faults.clone()
    }

    /// How often each endpoint was called.
    pub fn counters(&self) -> Counters {
        self.shared.counts.snapshot()
    }

    /// From now on every browser that comes to sign in is `agent`, without a screen, as with a
    /// session that exists already: `prompt=none` succeeds too. Hints that name somebody else
    /// still lead to the sign-in page; an essential `acr` that the agent lacks is `access_denied`.
    ///
    /// Ends with [`Self::ask_people`], [`Self::end_sessions`] or a sign-out.
    pub fn sign_in_as(&self, agent: Agent) {
        self.shared.state().automatic = Some(agent);
    }

    /// From now on the sign-in page asks who people are.
    pub fn ask_people(&self) {
        self.shared.state().automatic = None;
    }

    /// Loses every session, as after an outage of the provider's store: refresh tokens and
    /// userinfo fail from now on.
    pub fn end_sessions(&self) {
        self.shared.state().end_all_sessions();
    }

    /// How long sessions and refresh tokens live that begin from now on; in whole seconds. For a
    /// provider whose grants outlive ProConnect's twelve hours.
    pub fn set_session_lifetime(&self, lifetime: Duration) {
        self.shared.state().session_lifetime = lifetime;
    }

    /// How long access tokens live that are issued from now on; in whole seconds.
    pub fn set_access_token_lifetime(&self, lifetime: Duration) {
        self.shared.state().access_token_lifetime = lifetime;
    }

    /// How long tokens live that are exchanged from now on; in whole seconds. Five minutes where
    /// nothing is said.
    pub fn set_exchanged_token_lifetime(&self, lifetime: Duration) {
        self.shared.state().exchanged_token_lifetime = lifetime;
    }

    /// Where the client `client_id` hears from now on that somebody has signed out here.
    pub fn register_logout_uris(&self, client_id: &str, uris: LogoutUris) {
        self.shared.state().logout_uris.insert(client_id.to_owned(), uris);
    }

    /// Changes what is known of the person `sub` wherever they are signed in, for example takes a
    /// role from them: the next userinfo, ID token and refresh say so.
    pub fn change_agent(&self, sub: &str, change: impl Fn(&mut Agent)) {
        self.shared.state().change_agent(sub, change);
    }

    /// The `sid` of each session of the person `sub`, the latest last.
    pub fn sessions_of(&self, sub: &str) -> Vec<String> {
        let sessions = self.shared.state().sessions(self.shared.now());
        sessions.into_iter().filter(|session| session.agent.sub == sub).map(|session| session.sid).collect()
    }

    /// Ends all sessions of the person `sub` and posts a logout token with `sub` and without `sid`
    /// to every client that has an address for it. Returns once all have answered.
    pub async fn sign_out_everywhere(&self, sub: &str) -> Vec<Delivery> {
        sessions::sign_out_everywhere(&self.shared, sub).await
    }

    /// Ends one session and posts a logout token with `sub` and `sid` to the clients that it signed
    /// in to. Returns once all have answered.
    pub async fn sign_out_session(&self, sid: &str) -> Vec<Delivery> {
        sessions::sign_out_session(&self.shared, sid).await
    }

    /// A logout token for the client `client_id`, spoilt as [`Faults::logout_token`] says, for a
    /// test to post by itself. Ends nothing.
    ///
    /// # Errors
    /// [`NoLogoutToken`], by cause.
    pub fn logout_token(&self, client_id: &str, sub: Option<&str>, sid: Option<&str>) -> Result<String, NoLogoutToken> {
        logout_token::sign(&self.shared, client_id, sub, sid)
    }

    /// Signs with a new key under a new `kid` from now on, and no longer publishes the former.
    ///
    /// # Errors
    /// [`KeyError`], as at the start.
    pub fn rotate_keys(&self) -> Result<(), KeyError> {
        self.shared.state().keys.rotate(&*self.shared.random)
    }
}

impl Client {
    fn needs_rsa(&self) -> bool {
        self.id_token_signed_response_alg == SigningAlgorithm::RS256
            || self.userinfo_signed_response_alg == Some(SigningAlgorithm::RS256)
    }
}

/// What every exchange needs.
struct Shared {
    issuer: String,
    settings: ProviderSettings,
    clock: Clock,
    random: Arc<dyn Random>,
    faults: FaultsHandle,
    counts: faults::Counts,
    state: Mutex<State>,
    /// Made at the first logout token that is posted.
    fetch: OnceLock<Option<Fetch>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A poisoned lock is taken all the same: a demo that panicked once goes on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 32 random bytes as text.
    fn fresh_id(&self) -> Result<FreshId, NoRandomness> {
        let bytes = random::bytes::<32>(&*self.random)?;
        Ok(FreshId(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn client(&self, client_id: &str) -> Option<&Client> {
        self.settings.clients.iter().find(|client| client.client_id == client_id)
    }
}

fn router(shared: Arc<Shared>) -> axum::Router {
    use axum::routing::{get, post};
    let endpoints = axum::Router::new()
        .route("/.well-known/openid-configuration", get(metadata::discovery))
        .route("/jwks", get(metadata::jwks))
        .route("/authorize", get(authorize::by_get).post(authorize::by_post))
        .route("/interaction/{id}", post(sign_in::answer))
        .route("/token", post(token::exchange))
        .route("/token/revocation", post(revocation::revoke))
        .route("/userinfo", get(userinfo::answer).post(userinfo::answer))
        .route("/session/end", get(logout::end_session))
        .route("/session/end/confirm", post(logout::confirm))
        .route("/sessions", get(sessions::page).post(sessions::sign_out))
        .route("/style.css", get(pages::style))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), outage))
        .with_state(shared);
    axum::Router::new().nest(PREFIX, endpoints).fallback(pages::not_found)
}

/// Nobody is at home, where a fault says so.
async fn outage(
    axum::extract::State(shared): axum::extract::State<Arc<Shared>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    match shared.faults.now().down {
        None => {}
        Some(Down::Unavailable) => {
            return axum::response::IntoResponse::into_response(http::StatusCode::SERVICE_UNAVAILABLE);
        }
        Some(Down::Held(hold)) => hold.pass().await,
    }
    next.run(request).await
}
