//! The refresh: new tokens, and the person verified anew (RFC 6749 §6, OpenID Connect Core §12).
//!
//! Called once per session at a time, when its tokens are due. The refresh token is sent once and
//! never again, whatever happens: a provider that rotates them takes a second use for theft. What
//! comes back is verified like the first time, and must speak of the same person.

use super::cache::Known;
use super::id_token::{self, Expected, ExpectedNonce, IdToken, IdTokenError};
use super::jws::JwsError;
use super::registered_claims::{name, text};
use super::token::{self, TokenError};
use super::userinfo::UserinfoError;
use super::{Identity, Provider, Tokens, Unreachable};
use crate::clock::Timestamp;
use crate::secret::{ExposeSecret, SecretString};
use crate::web::strict_json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a session holds when it asks.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Its tokens, as sign-in or the last refresh brought them.
    pub tokens: &'a Tokens,
    /// Whose session it is: [`Identity::subject`].
    pub subject: &'a str,
    /// [`Identity::sid`]; stays where the provider does not repeat it.
    pub sid: Option<&'a str>,
    /// [`Identity::authenticated_at`]; stays where the provider does not repeat it.
    pub authenticated_at: Option<Timestamp>,
}

/// What a refresh brings.
#[derive(Debug)]
pub struct Refreshed {
    /// The person as of now; or why the provider, after it had given new tokens, could not be
    /// asked who that is. Such an error never ends the session ([`RefreshError::ends_session`] is
    /// false): who it was stays who it is, up to the caller's bound.
    pub identity: Result<Identity, RefreshError>,
    /// To be kept in either case: the former refresh token may be void. What the provider did not
    /// renew is as it was.
    pub tokens: Tokens,
}

/// Why a session was not refreshed. Messages hold nothing that a token said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// There is no refresh token.
    #[error("there is no refresh token")]
    NoRefreshToken,
    /// The ID token held is not one of this provider's, or not of this person.
    #[error("the ID token held is not this session's")]
    NotItsIdToken,
    /// The provider's metadata or keys cannot be had.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The token endpoint gave no tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The sign-in is no longer, or no longer said to be, as strong as `acr_values` require.
    #[error("the ID token does not count: acr is none of those required")]
    InsufficientAcr,
    /// The refreshed ID token does not count.
    #[error("the refreshed ID token does not count: {0}")]
    IdToken(IdTokenError),
    /// The refreshed ID token is another person's.
    #[error("the refreshed ID token is of another sub than the session")]
    WrongSubject,
    /// The refreshed ID token is of an authentication before the session's.
    #[error("the refreshed ID token is of an earlier auth_time than the session")]
    EarlierAuthentication,
    /// Userinfo does not count, or was not to be had.
    #[error(transparent)]
    Userinfo(#[from] UserinfoError),
}

impl From<IdTokenError> for RefreshError {
    fn from(error: IdTokenError) -> Self {
        match error {
            IdTokenError::InsufficientAcr => Self::InsufficientAcr,
            error => Self::IdToken(error),
        }
    }
}

impl RefreshError {
    /// Whether the session is over: the provider has ended the grant or refuses its tokens, or what
    /// it answered does not verify. Everything else is an outage, over which a session goes on up
    /// to a bound.
    pub fn ends_session(&self) -> bool {
        match self {
            Self::NoRefreshToken | Self::Unreachable(_) => false,
            Self::NotItsIdToken | Self::InsufficientAcr | Self::WrongSubject | Self::EarlierAuthentication => true,
            Self::Token(error) => *error == TokenError::InvalidGrant,
            Self::IdToken(error) => !matches!(error, IdTokenError::Signature(cause) if waits_for_keys(*cause)),
            Self::Userinfo(error) => match error {
                // The access token is a moment old: who refuses it refuses the grant.
                UserinfoError::Status(status) => matches!(status, 401 | 403),
                UserinfoError::Signature(cause) => !waits_for_keys(*cause),
                UserinfoError::NoEndpoint
                | UserinfoError::Unreachable(_)
                | UserinfoError::ContentType
                | UserinfoError::Malformed => false,
                UserinfoError::NotSigned
                | UserinfoError::WrongIssuer
                | UserinfoError::WrongAudience
                | UserinfoError::OutOfDate(_)
                | UserinfoError::WrongSubject => true,
            },
        }
    }

    /// Whether nobody's session could be renewed now: the provider is out of reach, fails, or does
    /// not know us. Else it is about this one.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Userinfo(UserinfoError::Unreachable(_) | UserinfoError::Status(500..)) => true,
            Self::Token(error) => *error != TokenError::InvalidGrant,
            _ => self.is_misconfiguration(),
        }
    }

    /// Whether the fault is in how we are registered or configured, not in the weather: for people
    /// an outage, for operators an error.
    pub fn is_misconfiguration(&self) -> bool {
        match self {
            Self::Token(TokenError::InvalidClient) | Self::Userinfo(UserinfoError::NoEndpoint) => true,
            Self::Token(TokenError::Refused(code)) => {
                !matches!(code.as_str(), "temporarily_unavailable" | "server_error")
            }
            _ => false,
        }
    }
}

/// Keys are fetched again once a minute at most and may be out of reach: that a key is not known
/// proves nothing against a token that the provider itself handed us. It proves nothing for it
/// either, so nothing of it is believed.
fn waits_for_keys(cause: JwsError) -> bool {
    cause == JwsError::UnknownKey
}

impl Provider {
    /// Exchanges the refresh token held for new tokens, once, and verifies who the person is now.
    ///
    /// Without a new ID token the claims are those of userinfo over the verified ones of the ID
    /// token held.
    ///
    /// # Errors
    /// [`RefreshError`], when there are no new tokens or the session is over. The refresh token
    /// may be void even so: a call that timed out may have reached the provider.
    pub async fn refresh(&self, held: &Held<'_>, now: Timestamp) -> Result<Refreshed, RefreshError> {
        let refresh_token = held.tokens.refresh_token.as_ref().ok_or(RefreshError::NoRefreshToken)?;
        let before = self.claims_before(held)?;
        let mut known = self.known(now).await?;
        let endpoint = &known.metadata.token_endpoint;
        let answer = token::refresh(endpoint, &self.settings, &self.fetch, refresh_token, now).await?;
        let mut tokens = Tokens {
            id_token: held.tokens.id_token.clone(),
            access_token: answer.access_token,
            refresh_token: answer.refresh_token.or_else(|| held.tokens.refresh_token.clone()),
            access_token_expires_at: answer.expires_in.map(|lifetime| now.plus(lifetime)),
        };
        match self.person_now(&mut known, held, before, answer.id_token, &mut tokens, now).await {
            Err(error) if error.ends_session() => Err(error),
            identity => Ok(Refreshed { identity, tokens }),
        }
    }

    /// Verifies the answer. A new ID token takes its place among `tokens` as soon as it counts.
    async fn person_now(
        &self,
        known: &mut Arc<Known>,
        held: &Held<'_>,
        before: Map<String, Value>,
        new: Option<SecretString>,
        tokens: &mut Tokens,
        now: Timestamp,
    ) -> Result<Identity, RefreshError> {
        let mut id_token = match new {
            Some(new) => {
                let nonce = ExpectedNonce::OfTheTokenBefore(text(&before, "nonce").map(String::as_str));
                let expected = Expected { nonce, access_token: tokens.access_token.expose_secret() };
                let verified = self.verified_id_token(known, &new, &expected, now).await?;
                check_same(held, &verified)?;
                tokens.id_token = new;
                verified
            }
            None => {
                id_token::check_acr(&before, &self.settings)?;
                IdToken { subject: held.subject.to_owned(), authenticated_at: None, claims: before }
            }
        };
        keep_unsaid(held, &mut id_token);
        let userinfo = self.verified_userinfo(known, &tokens.access_token, &id_token.subject, now).await?;
        Ok(Identity::verified(&self.settings.name, id_token, userinfo).within(&self.settings.domain_owners))
    }

    /// The claims of the ID token held: verified when it came, and sealed by us since.
    fn claims_before(&self, held: &Held<'_>) -> Result<Map<String, Value>, RefreshError> {
        let payload = held.tokens.id_token.expose_secret().split('.').nth(1);
        let json = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        let claims = json.and_then(|json| strict_json::object(&json).ok()).ok_or(RefreshError::NotItsIdToken)?;
        let is = |claim, expected: &str| text(&claims, claim).is_some_and(|said| said == expected);
        if is("iss", &self.settings.issuer) && is("sub", held.subject) {
            Ok(claims)
        } else {
            Err(RefreshError::NotItsIdToken)
        }
    }
}

/// §12.2: the same person and the same authentication. `iss`, `aud` and `azp` are compared with
/// the settings, which is stricter than with the token before.
///
/// `auth_time` should be the same as well. A later one is accepted: providers write it when the
/// person has authenticated again in the same session there, which is true and takes nothing away.
fn check_same(held: &Held<'_>, new: &IdToken) -> Result<(), RefreshError> {
    if new.subject != held.subject {
        return Err(RefreshError::WrongSubject);
    }
    match (held.authenticated_at, new.authenticated_at) {
        (Some(before), Some(after)) if after < before => Err(RefreshError::EarlierAuthentication),
        _ => Ok(()),
    }
}

/// What a refreshed token may leave unsaid without having taken it back: which session of the
/// provider's this is, by which it can be ended, and when the person authenticated. Not `acr` or
/// `amr`: what opens doors must be said anew.
fn keep_unsaid(held: &Held<'_>, id_token: &mut IdToken) {
    if let (None, Some(sid)) = (name(&id_token.claims, "sid"), held.sid) {
        id_token.claims.insert("sid".to_owned(), json!(sid));
    }
    if id_token.authenticated_at.is_none()
        && let Some(at) = held.authenticated_at
    {
        id_token.authenticated_at = Some(at);
        id_token.claims.insert("auth_time".to_owned(), json!(at.as_unix()));
    }
}
