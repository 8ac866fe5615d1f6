//! OpenID Connect, as a relying party: one file per exchange, hidden behind [`Provider`].
//!
//! Called by `login`. Never writes a cookie, never decides who may enter, never reads a claim
//! before the token that carries it is verified.

mod identity;
mod settings;

pub use identity::Identity;
pub use settings::{Algorithm, ClientAuthentication, Endpoints, GivenEndpoints, Settings, Userinfo};

use crate::clock::Timestamp;
use crate::fetch::Fetch;
use crate::secret::SecretString;
use url::Url;

/// One provider: its settings, and its metadata and keys as last fetched.
#[derive(Debug)]
pub struct Provider {
    settings: Settings,
    fetch: Fetch,
}

/// What one authorization request says besides the settings (OpenID Connect Core §3.1.2.1).
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    /// Comes back unchanged in the callback.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// The PKCE verifier whose S256 challenge is sent (RFC 7636 §4.2).
    pub pkce_verifier: &'a str,
    /// Ask without showing anything: `prompt=none`.
    pub silent: bool,
    /// Whom to suggest.
    pub login_hint: Option<&'a str>,
}

/// What a sign-in brings.
#[derive(Debug)]
pub struct SignedIn {
    /// The verified person.
    pub identity: Identity,
    /// What was issued with it.
    pub tokens: Tokens,
}

/// The tokens of a sign-in.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The verified ID token, for `id_token_hint`.
    pub id_token: SecretString,
    /// For the provider's own APIs.
    pub access_token: SecretString,
    /// To renew the others, where one was issued.
    pub refresh_token: Option<SecretString>,
    /// When the access token ends, where the provider says it.
    pub access_token_expires_at: Option<Timestamp>,
}

/// Why the provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {}

/// Why a code did not become a verified person.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {}

impl Provider {
    /// A provider, not asked yet.
    pub fn new(settings: Settings, fetch: Fetch) -> Self {
        Self { settings, fetch }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether its metadata and keys were had once: what readiness reports. Asks nothing.
    pub fn is_ready(&self) -> bool {
        todo!()
    }

    /// Fetches metadata and keys unless fresh ones are held.
    ///
    /// # Errors
    /// When they cannot be had or are not those of the configured issuer.
    pub async fn prepare(&self, _now: Timestamp) -> Result<(), Unreachable> {
        let _ = &self.fetch;
        todo!()
    }

    /// Where to send the browser to sign in.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Self::prepare`].
    pub async fn authorization_url(
        &self,
        _request: &AuthorizationRequest<'_>,
        _now: Timestamp,
    ) -> Result<Url, Unreachable> {
        todo!()
    }

    /// Whether a callback with this `iss` (or none) may come from this provider (RFC 9207 §2.4).
    /// Called before the code is redeemed.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Self::prepare`].
    pub async fn accepts_callback_issuer(&self, _iss: Option<&str>, _now: Timestamp) -> Result<bool, Unreachable> {
        todo!()
    }

    /// Exchanges a code for tokens, verifies them, reads and verifies userinfo.
    ///
    /// # Errors
    /// [`RedeemError`], one variant per cause.
    pub async fn redeem(
        &self,
        _code: &str,
        _pkce_verifier: &str,
        _nonce: &str,
        _now: Timestamp,
    ) -> Result<SignedIn, RedeemError> {
        todo!()
    }

    /// Where to send the browser to sign out (OpenID Connect RP-Initiated Logout §2), if the
    /// provider has such a place. Without the ID token, `client_id` names us.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Self::prepare`].
    pub async fn end_session_url(
        &self,
        _id_token: Option<&SecretString>,
        _state: &str,
        _now: Timestamp,
    ) -> Result<Option<Url>, Unreachable> {
        todo!()
    }
}
