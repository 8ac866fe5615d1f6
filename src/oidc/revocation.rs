//! Token revocation (RFC 7009): what a session held at the provider ends with it.
//!
//! Called when a session ends. A courtesy: the session is over whatever comes of this, so the
//! caller only logs. Each request is sent once and bounded by the settings' timeout.

use super::client_request::{self, Refusal};
use super::{Provider, Tokens, Unreachable};
use crate::clock::Timestamp;
use crate::fetch::FetchError;
use crate::secret::ExposeSecret;

/// What became of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The provider says that they are void.
    Revoked,
    /// The provider has no revocation endpoint: nothing was sent.
    NotOffered,
}

/// Why tokens were not revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// The provider's metadata cannot be had.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The endpoint could not be reached.
    #[error("the revocation endpoint could not be asked: {0}")]
    NotAsked(FetchError),
    /// An error of RFC 7009 §2.2.1 or RFC 6749 §5.2, by its code.
    #[error("the provider refused to revoke the token ({0})")]
    Refused(String),
    /// A status that is neither success nor an OAuth error.
    #[error("the revocation endpoint answered with status {0}")]
    Status(u16),
}

impl Provider {
    /// Revokes the refresh token, with which the provider ends the access tokens of its grant too
    /// (RFC 7009 §2.1); where there is none, the access token.
    ///
    /// # Errors
    /// [`RevocationError`], one variant per cause.
    pub async fn revoke(&self, tokens: &Tokens, now: Timestamp) -> Result<Revocation, RevocationError> {
        let known = self.known(now).await?;
        let Some(endpoint) = &known.metadata.revocation_endpoint else { return Ok(Revocation::NotOffered) };
        let (token, kind) = match &tokens.refresh_token {
            Some(refresh_token) => (refresh_token, "refresh_token"),
            None => (&tokens.access_token, "access_token"),
        };
        let parameters = [("token", token.expose_secret()), ("token_type_hint", kind)];
        let answer = client_request::post(endpoint, &self.settings, &self.fetch, &parameters, now)
            .await
            .map_err(RevocationError::NotAsked)?;
        // §2.2: also for a token that is void already or was never known.
        if answer.status() == http::StatusCode::OK {
            return Ok(Revocation::Revoked);
        }
        Err(match client_request::refusal(&answer) {
            Refusal::Error(code) => RevocationError::Refused(code),
            Refusal::Status(status) => RevocationError::Status(status),
        })
    }
}
