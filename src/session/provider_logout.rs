//! What the provider says has ended: sessions by its own session (`sid`), or by person (`sub`).
//!
//! Called by `login` for back-channel logout, with what was verified, and for front-channel logout,
//! with what anybody can write into an address. Must never end a session that began after the
//! provider spoke, however late or often its word arrives.

use super::kept::digest_of;
use super::{OpenedSession, Sessions};
use crate::clock::Timestamp;
use crate::oidc::LogoutToken;
use crate::store::{Key, StoreError};
use http::HeaderMap;

/// Why a verified logout token ended nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEnded {
    /// A token of this `jti` was obeyed before.
    #[error("a token of this jti was received before")]
    Replayed,
    /// It is not known whether it was obeyed before, or the other replicas were not told.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sessions {
    /// Ends what a logout token names: where it has a `sid`, the sessions that began within that
    /// session at the provider, on whatever device; else all of the person's
    /// (OpenID Connect Back-Channel Logout 1.0 §2.7). Only those count that can have begun before
    /// the token was issued.
    ///
    /// A token counts once, and counts as used only when all is done: after [`NotEnded::Store`] the
    /// provider may send the same one again.
    ///
    /// # Errors
    /// [`NotEnded`], by cause.
    pub async fn obey(&self, provider: &str, token: &LogoutToken, now: Timestamp) -> Result<(), NotEnded> {
        let used = Key::new("logout-token", &digest_of(provider, token.jti()));
        if self.store.get(&used, now).await?.is_some() {
            return Err(NotEnded::Replayed);
        }
        // Clocks differ: what began a little later by ours may be meant. What begins after this
        // moment is not.
        let begun_until = token.begun_until().min(now);
        match (token.sid(), token.sub()) {
            (Some(sid), _) => self.end_provider_session(provider, sid, begun_until, now).await?,
            (None, Some(sub)) => self.end_person(provider, sub, begun_until, now).await?,
            // Verification lets no such token pass.
            (None, None) => {}
        }
        // Of two that arrive at the same time both have ended the same sessions.
        self.store.put_new(&used, &[], token.replay_until(), now).await?;
        Ok(())
    }

    /// The session whose cookie the request shows, where it began within this session at the
    /// provider; over or not.
    pub fn shown_of(&self, request: &HeaderMap, provider: &str, sid: &str, now: Timestamp) -> Option<OpenedSession> {
        let opened = self.open(request, now).ok()?;
        let session = opened.read().ok()?;
        let is_of_it = session.provider() == provider && session.provider_session() == Some(sid);
        is_of_it.then_some(opened)
    }
}
