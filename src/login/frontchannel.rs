//! Front-channel logout (OpenID Connect Front-Channel Logout 1.0 §3): the provider's page loads ours
//! in a frame, with the name of the session that has ended there.
//!
//! Called by `server` for GETs of `/oauth2/frontchannel_logout`. Nothing about such a request is
//! proven, and browsers send no cookie of ours into another site's frame. What makes it safe is
//! that it takes the provider's name for a session (`sid`), which nobody else knows: must never end
//! anything that is not named so, and must never put into the store what a stranger made up.

use super::Login;
use super::query::{Parameters, Repeated};
use crate::clock::Timestamp;
use crate::session::{NoSession, OpenedSession};
use crate::store::StoreError;
use http::{HeaderMap, HeaderValue};

/// What became of a front-channel logout.
#[derive(Debug)]
pub struct Told {
    /// Whether a live session was ended; else there was none of that name.
    pub ended: bool,
    /// What removes the session's cookies, where the request shows them.
    pub cookies: Vec<HeaderValue>,
    /// The origin of the provider's pages: what may frame the answer.
    pub origin: Option<String>,
}

/// Why a front-channel logout request was not looked into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontchannelError {
    /// One is not there: both are needed, so that no link on another site signs anybody out.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A parameter is there twice: which one counts would be the sender's choice.
    #[error("iss or sid is there more than once")]
    Repeated,
    /// `iss` is the issuer of no provider.
    #[error("iss is not the configured issuer")]
    WrongIssuer,
    /// It cannot be known whether there is such a session.
    #[error("whether there is such a session is not known: {0}")]
    Store(#[from] StoreError),
}

impl From<Repeated> for FrontchannelError {
    fn from(_: Repeated) -> Self {
        Self::Repeated
    }
}

impl Login {
    /// Ends the sessions that began within the named session at the provider, where the request
    /// shows the cookie of one or a live one is known.
    ///
    /// # Errors
    /// [`FrontchannelError`], by cause.
    pub async fn frontchannel_logout(
        &self,
        query: &str,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Told, FrontchannelError> {
        let parameters = Parameters::parse(query);
        let needed = |name| parameters.get(name)?.ok_or(FrontchannelError::Missing(name));
        let (issuer, sid) = (needed("iss")?, needed("sid")?);
        let mut told = Told { ended: false, cookies: Vec::new(), origin: None };
        let mut of_issuer = self.providers.of_issuer(issuer).peekable();
        if of_issuer.peek().is_none() {
            return Err(FrontchannelError::WrongIssuer);
        }
        for provider in of_issuer {
            let provider = provider.settings();
            let (ended, cookies) = self.told_of(&provider.name, sid, headers, now).await?;
            told.ended |= ended;
            told.cookies.extend(cookies);
            told.origin = origin_of(&provider.issuer);
        }
        Ok(told)
    }

    /// Ends the sessions of one provider that are of this session there: whether there was one, and what
    /// removes its cookies.
    async fn told_of(
        &self,
        provider: &str,
        sid: &str,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<(bool, Vec<HeaderValue>), StoreError> {
        let shown = self.sessions.shown_of(headers, provider, sid, now);
        let cookies = if shown.is_some() { self.sessions.clear(headers) } else { Vec::new() };
        let is_live = |opened: &OpenedSession| match self.sessions.read(opened, now) {
            Ok(_) => true,
            // An idle cookie's session may be in use on a WebSocket; in an outage nobody knows.
            Err(reason) => reason == NoSession::Idle || reason.is_outage(),
        };
        let ended =
            shown.as_ref().is_some_and(is_live) || self.sessions.knows_provider_session(provider, sid, now).await?;
        if ended && let Err(error) = self.sessions.end_provider_session(provider, sid, now, now).await {
            tracing::error!(%error, "a session ended here that the provider named; other replicas will hear of it later");
        }
        Ok((ended, cookies))
    }
}

/// The origin of the provider's pages.
fn origin_of(issuer: &str) -> Option<String> {
    let origin = url::Url::parse(issuer).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}
