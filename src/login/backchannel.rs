//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8): the provider's own
//! servers say that somebody has signed out.
//!
//! Called by `server` for POSTs to `/oauth2/backchannel_logout`. Anybody can reach it, so the token
//! is all that counts: no cookie, address or query is looked at. Must never log the token, nor end
//! anything before it is verified.

use super::Login;
use super::query::{Parameters, Repeated};
use crate::clock::Timestamp;
use crate::oidc::{LogoutToken, LogoutTokenError, Provider};
use crate::session::NotEnded;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use std::sync::Arc;

/// Why a back-channel logout request ended nothing. Whoever sent it hears one answer for all that
/// is wrong with the request; the log hears which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackchannelError {
    /// The body does not say that it is a form, or says it twice (§2.5).
    #[error("the body is not said to be application/x-www-form-urlencoded")]
    ContentType,
    /// There is no `logout_token`.
    #[error("logout_token is missing")]
    NoToken,
    /// There are several: which one counts would be the sender's choice.
    #[error("logout_token is there more than once")]
    RepeatedToken,
    /// It does not count, or the provider's keys cannot be had.
    #[error("the logout token does not count: {0}")]
    Token(#[from] LogoutTokenError),
    /// It counts, and yet nothing came of it.
    #[error("the logout token was not obeyed: {0}")]
    NotEnded(#[from] NotEnded),
}

impl From<Repeated> for BackchannelError {
    fn from(_: Repeated) -> Self {
        Self::RepeatedToken
    }
}

impl Login {
    /// Ends what the logout token in `form` names. Also `Ok` where no session of ours was concerned.
    ///
    /// # Errors
    /// [`BackchannelError`], by cause.
    pub async fn backchannel_logout(
        &self,
        headers: &HeaderMap,
        form: &str,
        now: Timestamp,
    ) -> Result<(), BackchannelError> {
        if !is_form(headers) {
            return Err(BackchannelError::ContentType);
        }
        let parameters = Parameters::parse(form);
        let token = parameters.get("logout_token")?.ok_or(BackchannelError::NoToken)?;
        let (provider, token) = self.verified(token, now).await?;
        self.sessions.obey(&provider.settings().name, &token, now).await?;
        Ok(())
    }
}

impl Login {
    /// The provider that a logout token is of, and what it says: the one by whose keys, as whose issuer and
    /// for whose client it verifies. That can be one of several alone, and it ends that one's sessions.
    async fn verified(&self, token: &str, now: Timestamp) -> Result<(&Arc<Provider>, LogoutToken), LogoutTokenError> {
        let mut refusal = None;
        for provider in self.providers.iter() {
            match provider.verify_logout_token(token, now).await {
                Ok(token) => return Ok((provider, token)),
                // It may be that one's: to be sent again. Else what is said of a token by those that it
                // is not of is worth less than what its own provider's keys say.
                Err(error @ LogoutTokenError::Unreachable(_)) => refusal = Some(error),
                Err(error) => match &refusal {
                    Some(LogoutTokenError::Unreachable(_)) => {}
                    Some(said) if !is_of_another(said) => {}
                    _ => refusal = Some(error),
                },
            }
        }
        // There is always one.
        Err(refusal.unwrap_or(LogoutTokenError::WrongIssuer))
    }
}

/// Whether a token looks like another provider's.
fn is_of_another(error: &LogoutTokenError) -> bool {
    matches!(error, LogoutTokenError::Signature(_) | LogoutTokenError::WrongIssuer | LogoutTokenError::WrongAudience)
}

/// Whether the body says that it is a form, with or without a charset.
fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let media = one.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_form_says_so_and_says_it_once() {
        let headers = |types: &[&'static str]| -> HeaderMap {
            types.iter().map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).collect()
        };
        for form in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-8",
            "Application/X-WWW-Form-Urlencoded ;charset=UTF-8",
        ] {
            assert!(is_form(&headers(&[form])), "{form}");
            assert!(!is_form(&headers(&[form, form])), "{form} twice");
        }
        assert!(!is_form(&headers(&[])));
        for other in [
            "",
            "application/json",
            "application/logout+jwt",
            "application/x-www-form-urlencoded, text/plain",
            "application/x-www-form-urlencoded-not",
            "multipart/form-data; boundary=application/x-www-form-urlencoded",
            "text/plain; application/x-www-form-urlencoded",
        ] {
            assert!(!is_form(&headers(&[other])), "{other}");
        }
    }
}
