//! OpenID Connect, as a relying party: one file per exchange, hidden behind [`Provider`].
//!
//! And, as a resource server, the verification of access tokens: [`TokenIssuer`], [`Introspection`].
//!
//! Called by `login`, `session` and `bearer`. Never writes a cookie, never decides who may enter, never reads a claim
//! before the token that carries it is verified.

mod access_token;
mod acr;
mod algorithms;
mod authorize;
mod cache;
mod client_request;
mod discovery;
mod end_session;
mod examine;
mod exchange;
mod id_token;
mod identity;
mod introspection;
mod jws;
mod keys;
mod logout_token;
mod providers;
mod published_keys;
mod pushed_request;
mod query;
mod refresh;
mod registered_claims;
mod revocation;
mod settings;
mod step_up;
#[cfg(test)]
mod stub;
mod token;
mod userinfo;

pub use access_token::{AccessToken, AccessTokenError, AccessTokenType, IssuerSettings, TokenIssuer};
pub use acr::{at_least, is_lower};
pub use authorize::RESERVED_PARAMETERS;
pub use examine::Examined;
pub use exchange::{ExchangeEndpoint, ExchangeError, Exchanged, SubjectToken, TokenType, Wanted};
pub use id_token::IdTokenError;
pub use identity::{Identity, is_another_s_address, said_of_the_person};
pub use introspection::{Introspection, IntrospectionError, IntrospectionSettings};
pub use jws::JwsError;
pub use logout_token::{LogoutToken, LogoutTokenError};
pub use providers::Providers;
pub use published_keys::KeySource;
pub use pushed_request::PushError;
pub use refresh::{Held, RefreshError, Refreshed};
pub use revocation::{Revocation, RevocationError};
pub use settings::{
    Algorithm, ClientAuthentication, ClientProof, Endpoints, GivenEndpoints, Reauthentication, Settings, Userinfo,
};
pub use step_up::{Lacks, StepUp};
pub use token::TokenError;
pub use userinfo::UserinfoError;

use crate::clock::Timestamp;
use crate::fetch::{Fetch, FetchError};
use crate::secret::{ExposeSecret, SecretString};
use cache::{Bearer, Cache, Known};
use id_token::{Expected, ExpectedNonce, IdToken};
use jws::Trust;
use std::sync::Arc;
use url::Url;

/// One provider: its settings, and its metadata and keys as last fetched.
#[derive(Debug)]
pub struct Provider {
    settings: Settings,
    fetch: Fetch,
    cache: Cache,
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
    /// What this authentication has to be, besides what [`Settings::acr_values`] requires of all.
    pub step_up: Option<&'a StepUp>,
    /// Where the provider returns to, where that is not [`Settings::redirect_uri`]. The code is then
    /// redeemed with the same one (RFC 6749 §4.1.3).
    pub redirect_uri: Option<&'a Url>,
}

/// A code that came back, and what only whoever asked for it knows.
#[derive(Debug)]
pub struct Code<'a> {
    /// As the provider gave it.
    pub code: &'a str,
    /// The PKCE verifier of its authorization request.
    pub pkce_verifier: &'a str,
    /// The nonce of its authorization request.
    pub nonce: &'a str,
    /// The redirect URI of its authorization request, where that is not [`Settings::redirect_uri`].
    pub redirect_uri: Option<&'a Url>,
}

/// What a sign-in brings.
#[derive(Debug)]
pub struct SignedIn {
    /// The verified person.
    pub identity: Identity,
    /// What was issued with it.
    pub tokens: Tokens,
}

/// The tokens of a sign-in, or of its last refresh.
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

/// Why the provider could not be asked: its metadata or keys cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// No answer.
    #[error("the provider's {document} could not be fetched: {cause}")]
    NotFetched {
        /// Which document.
        document: &'static str,
        /// What went wrong.
        cause: FetchError,
    },
    /// An answer other than 200, redirects among them.
    #[error("the provider's {document} was answered with status {status}")]
    Status {
        /// Which document.
        document: &'static str,
        /// The status.
        status: u16,
    },
    /// An answer that is not the document.
    #[error("the provider's {document} is malformed")]
    Malformed {
        /// Which document.
        document: &'static str,
    },
    /// The configured issuer is no address.
    #[error("the configured issuer is not an address")]
    InvalidIssuer,
    /// The document is another issuer's.
    #[error("the discovery document names another issuer than the configured one")]
    WrongIssuer,
    /// An endpoint that is not https.
    #[error("the provider's {endpoint} is not https")]
    InsecureEndpoint {
        /// Its name in the discovery document.
        endpoint: &'static str,
    },
    /// The authorization request was not taken from us directly (RFC 9126).
    #[error("the provider did not take the pushed authorization request: {0}")]
    NotPushed(#[from] PushError),
    /// An endpoint that is no address, or one with a fragment, a name or a password.
    #[error("the provider's {endpoint} is not an address that can be used")]
    InvalidEndpoint {
        /// Its name in the discovery document.
        endpoint: &'static str,
    },
}

/// Why a code did not become a verified person. Messages hold nothing that a token said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedeemError {
    /// The provider's metadata or keys cannot be had.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The token endpoint gave no tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The person has not signed in as strongly as [`Settings::acr_values`] requires.
    #[error("the ID token does not count: acr is none of those required")]
    InsufficientAcr,
    /// The ID token does not count.
    #[error("the ID token does not count: {0}")]
    IdToken(IdTokenError),
    /// Userinfo does not count, or was not to be had.
    #[error(transparent)]
    Userinfo(#[from] UserinfoError),
}

impl From<IdTokenError> for RedeemError {
    fn from(error: IdTokenError) -> Self {
        match error {
            IdTokenError::InsufficientAcr => Self::InsufficientAcr,
            error => Self::IdToken(error),
        }
    }
}

impl Provider {
    /// A provider, not asked yet.
    pub fn new(settings: Settings, fetch: Fetch) -> Self {
        Self { settings, fetch, cache: Cache::default() }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether its metadata and keys were had once: what readiness reports. Asks nothing.
    pub fn is_ready(&self) -> bool {
        self.cache.is_filled()
    }

    /// Fetches metadata and keys unless fresh ones are held.
    ///
    /// # Errors
    /// When they cannot be had or are not those of the configured issuer.
    pub async fn prepare(&self, now: Timestamp) -> Result<(), Unreachable> {
        self.known(now).await.map(drop)
    }

    /// Where to send the browser to sign in.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Self::prepare`].
    pub async fn authorization_url(
        &self,
        request: &AuthorizationRequest<'_>,
        now: Timestamp,
    ) -> Result<Url, Unreachable> {
        let known = self.known(now).await?;
        let metadata = &known.metadata;
        let pushes = metadata.requires_pushed_requests || self.settings.pushes_requests;
        match metadata.pushed_authorization_request_endpoint.as_ref().filter(|_| pushes) {
            Some(endpoint) => {
                let parameters = authorize::parameters(&self.settings, request);
                let reference = pushed_request::push(endpoint, &self.settings, &self.fetch, &parameters, now).await?;
                Ok(authorize::pushed_url(&metadata.authorization_endpoint, &self.settings, &reference))
            }
            None if metadata.requires_pushed_requests => Err(PushError::NoEndpoint.into()),
            None => Ok(authorize::url(&metadata.authorization_endpoint, &self.settings, request)),
        }
    }

    /// Whether a callback with this `iss` (or none) may come from this provider (RFC 9207 §2.4).
    /// Called before the code is redeemed.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Self::prepare`].
    pub async fn accepts_callback_issuer(&self, iss: Option<&str>, now: Timestamp) -> Result<bool, Unreachable> {
        match iss {
            Some(iss) => Ok(self.is_issuer(iss)),
            None => Ok(!self.known(now).await?.metadata.callback_iss),
        }
    }

    /// Whether `iss` is this provider's issuer, exactly: for a front-channel logout (OpenID Connect
    /// Front-Channel Logout §3), which has no other proof of where it comes from.
    pub fn is_issuer(&self, iss: &str) -> bool {
        iss == self.settings.issuer
    }

    /// Exchanges a code for tokens, verifies them, reads and verifies userinfo.
    ///
    /// # Errors
    /// [`RedeemError`], one variant per cause.
    pub async fn redeem(&self, code: &Code<'_>, now: Timestamp) -> Result<SignedIn, RedeemError> {
        let mut known = self.known(now).await?;
        let endpoint = &known.metadata.token_endpoint;
        let (answer, raw) = token::exchange(endpoint, &self.settings, &self.fetch, code, now).await?;
        let nonce = ExpectedNonce::Sent(code.nonce);
        let expected = Expected { nonce, access_token: answer.access_token.expose_secret() };
        let id_token = self.verified_id_token(&mut known, &raw, &expected, now).await?;
        let userinfo = self.verified_userinfo(&mut known, &answer.access_token, &id_token.subject, now).await?;
        let identity = Identity::verified(&self.settings.name, id_token, userinfo);
        let identity = identity.within(&self.settings.domain_owners);
        let tokens = Tokens {
            id_token: raw,
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            access_token_expires_at: answer.expires_in.map(|lifetime| now.plus(lifetime)),
        };
        Ok(SignedIn { identity, tokens })
    }

    /// Where to send the browser to sign out (OpenID Connect RP-Initiated Logout §2), if the
    /// provider has such a place. Without the ID token, `client_id` names us.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Self::prepare`].
    pub async fn end_session_url(
        &self,
        id_token: Option<&SecretString>,
        state: &str,
        now: Timestamp,
    ) -> Result<Option<Url>, Unreachable> {
        let known = self.known(now).await?;
        let endpoint = known.metadata.end_session_endpoint.as_ref();
        Ok(endpoint.map(|endpoint| end_session::url(endpoint, &self.settings, id_token, state)))
    }

    async fn known(&self, now: Timestamp) -> Result<Arc<Known>, Unreachable> {
        self.cache.known(&self.settings, &self.fetch, now).await
    }

    async fn verified_id_token(
        &self,
        known: &mut Arc<Known>,
        token: &SecretString,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<IdToken, IdTokenError> {
        let algorithms = self.id_token_algorithms(known);
        let verify = |known: &Known| {
            let trust = self.trust(known, &algorithms);
            id_token::verify(token.expose_secret(), &trust, &self.settings, expected, now)
        };
        match verify(known) {
            Err(IdTokenError::Signature(JwsError::UnknownKey))
                if self.renew_keys(known, Bearer::Provider, now).await =>
            {
                verify(known)
            }
            verified => verified,
        }
    }

    /// The claims of userinfo; none where it is not read.
    async fn verified_userinfo(
        &self,
        known: &mut Arc<Known>,
        access_token: &SecretString,
        subject: &str,
        now: Timestamp,
    ) -> Result<serde_json::Map<String, serde_json::Value>, UserinfoError> {
        let (Userinfo::JsonOrSigned(configured) | Userinfo::Signed(configured)) = &self.settings.userinfo else {
            return Ok(serde_json::Map::new());
        };
        let endpoint = known.metadata.userinfo_endpoint.as_ref().ok_or(UserinfoError::NoEndpoint)?;
        let answer = userinfo::ask(
            endpoint,
            &self.settings,
            self.settings.client_proof.presenting.as_ref().unwrap_or(&self.fetch),
            access_token,
        )
        .await?;
        let algorithms = self.userinfo_algorithms(configured, known);
        let verify = |known: &Known| {
            let trust = self.trust(known, &algorithms);
            userinfo::verify(&answer, &trust, &self.settings, subject, now)
        };
        match verify(known) {
            Err(UserinfoError::Signature(JwsError::UnknownKey))
                if self.renew_keys(known, Bearer::Provider, now).await =>
            {
                verify(known)
            }
            verified => verified,
        }
    }

    /// Puts newer keys in the place of those in which one was not found. Whether there are any.
    async fn renew_keys(&self, known: &mut Arc<Known>, bearer: Bearer, now: Timestamp) -> bool {
        let newer = self.cache.newer_keys(known, bearer, &self.settings, &self.fetch, now).await;
        newer.map(|newer| *known = newer).is_some()
    }

    fn trust<'a>(&'a self, known: &'a Known, algorithms: &'a [Algorithm]) -> Trust<'a> {
        Trust { keys: &known.keys, algorithms, client_secret: self.settings.client_secret.as_ref() }
    }

    fn id_token_algorithms(&self, known: &Known) -> Vec<Algorithm> {
        let announced = known.metadata.id_token_algorithms.as_deref();
        algorithms::pinned(&self.settings.id_token_algorithms, announced, self.settings.client_secret.is_some())
    }

    /// Those configured for userinfo, else those announced for it, else those of the ID token.
    fn userinfo_algorithms(&self, configured: &[Algorithm], known: &Known) -> Vec<Algorithm> {
        match known.metadata.userinfo_algorithms.as_deref().filter(|announced| !announced.is_empty()) {
            None if configured.is_empty() => self.id_token_algorithms(known),
            announced => algorithms::pinned(configured, announced, self.settings.client_secret.is_some()),
        }
    }
}

#[cfg(test)]
mod tests;
