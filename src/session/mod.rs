//! The session: what it holds, how it is sealed into cookies, and when it ends.
//!
//! `login` begins and ends sessions, `gate` reads them on every request. A session is two sealed
//! cookies: a small one with the identity, opened on every request, and one with the tokens,
//! opened only where a token is needed. Must never hand out anything of a cookie that did not
//! open, or of a session that is over.

mod ended;
#[cfg(test)]
pub(crate) mod fixture;
mod identity_cookie;
mod limits;
mod presence;
#[cfg(test)]
mod tests;
mod tokens_cookie;

pub use identity_cookie::{Held, NoSession, OpenedSession, Session};
pub use limits::Settings;

use crate::clock::Timestamp;
use crate::oidc::{Identity, Tokens};
use crate::random::{self, NoRandomness, Random};
use crate::seal::KeyRing;
use crate::web::cookies::Cookies;
use ended::EndedSessions;
use http::{HeaderMap, HeaderValue};
use presence::Presence;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names a session: 16 random bytes, new at every sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A form for logs: the first 8 of the 32 hexadecimal digits, enough to follow a session and
    /// too little to be worth anything.
    pub fn short(self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

/// The sessions of one site: how they begin, are found again, and end.
pub struct Sessions {
    ring: Arc<KeyRing>,
    cookies: Cookies,
    settings: Settings,
    kept_claims: BTreeSet<String>,
    ended: EndedSessions,
    presence: Presence,
}

/// Why a session could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// No identifier or nonce could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// What is kept of the person does not fit into a cookie.
    #[error("the identity takes {0} bytes and a cookie holds {max}: keep fewer claims (identity.claims, identity.headers)", max = crate::web::cookies::MAX_VALUE_LEN)]
    IdentityTooLarge(usize),
    /// The tokens do not fit into the cookies that may be set.
    #[error("the tokens take {0} bytes sealed, more than browsers and front proxies carry in cookies")]
    TokensTooLarge(usize),
}

impl Sessions {
    /// `kept_claims` are the claims that sessions carry; `sub` and `acr` always are.
    pub fn new(
        ring: Arc<KeyRing>,
        cookies: Cookies,
        settings: Settings,
        kept_claims: impl IntoIterator<Item = String>,
    ) -> Self {
        let always = ["sub", "acr"].map(str::to_owned);
        Self {
            ring,
            cookies,
            settings,
            kept_claims: kept_claims.into_iter().chain(always).collect(),
            ended: EndedSessions::new(settings.lifetime),
            presence: Presence::new(settings.idle),
        }
    }

    /// Begins a session for a verified person, under a new identifier whatever cookies the
    /// browser came with, and gives the `Set-Cookie` values that carry it.
    ///
    /// # Errors
    /// [`BeginError`], by cause.
    pub fn begin(
        &self,
        identity: &Identity,
        tokens: &Tokens,
        request: &HeaderMap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(SessionId, Vec<HeaderValue>), BeginError> {
        let id = SessionId(random::bytes(random)?);
        let claims = identity.claims().clone().retaining(|name| self.kept_claims.contains(name));
        let session = Session::begun(id, identity, claims.view(), now);
        let mut set = vec![self.seal_identity(&session, now, random)?];
        set.extend(self.seal_tokens(id, tokens, request, random)?);
        Ok((id, set))
    }

    /// Opens the identity cookie. The result is read with [`Self::read`], in two steps
    /// because a [`Session`] borrows from what was opened.
    ///
    /// # Errors
    /// [`NoSession::Absent`] or [`NoSession::Unreadable`].
    pub fn open(&self, request: &HeaderMap) -> Result<OpenedSession, NoSession> {
        self.open_identity(request)
    }

    /// Reads an opened cookie and checks that the session is not over.
    ///
    /// # Errors
    /// [`NoSession`], by cause.
    pub fn read<'o>(&self, opened: &'o OpenedSession, now: Timestamp) -> Result<Session<'o>, NoSession> {
        let session = opened.read()?;
        self.settings.check(session.started(), session.last_seen(), now)?;
        if self.ended.holds(session.id()) {
            return Err(NoSession::Ended);
        }
        Ok(session)
    }

    /// A `Set-Cookie` that moves the idle limit forward, when enough time has passed or the
    /// cookie is under a former key; else none.
    pub fn renewal(
        &self,
        session: &Session<'_>,
        opened: &OpenedSession,
        now: Timestamp,
        random: &dyn Random,
    ) -> Option<HeaderValue> {
        let due = now.since(session.last_seen()) >= self.settings.renewal_interval() || !opened.by_current_key();
        if due {
            self.was_present(session.id(), now);
        }
        // A renewal that fails is tried again by the next request; the session goes on meanwhile.
        if due { self.seal_identity(&session.seen(now), now, random).ok() } else { None }
    }

    /// Whether the session has ended since it was read: a response that began before the
    /// sign-out must not bring its cookie back.
    pub fn has_ended(&self, id: SessionId) -> bool {
        self.ended.holds(id)
    }

    /// Wakes when sessions have ended, several at a time perhaps: then ask [`Self::is_over`].
    pub fn endings(&self) -> tokio::sync::watch::Receiver<()> {
        self.ended.endings()
    }

    /// Whether a session is over by now, and why, for what outlives the check at its beginning:
    /// ended, past its lifetime, or idle. A clock that was set back ends nothing.
    pub fn is_over(&self, held: &Held, now: Timestamp) -> Option<NoSession> {
        if self.ended.holds(held.id()) {
            return Some(NoSession::Ended);
        }
        let idle_since = |last_seen| self.settings.check(held.started(), last_seen, now);
        let outcome = match idle_since(held.last_seen()) {
            Err(NoSession::Idle) => {
                idle_since(held.last_seen().max(self.presence.of(held.id()).unwrap_or(held.started())))
            }
            outcome => outcome,
        };
        outcome.err().filter(|reason| *reason != NoSession::Unreadable)
    }

    /// Notes that the person of a session did something at this moment: sent a request (noted when
    /// its cookie is renewed, so once a minute at most), or data on a WebSocket. What is noted is
    /// for [`Self::is_over`] alone: a cookie is idle by its own last moment.
    pub fn was_present(&self, id: SessionId, at: Timestamp) {
        self.presence.note(id, at);
    }

    /// The tokens that came with the session.
    pub fn tokens(&self, request: &HeaderMap, id: SessionId) -> Option<Tokens> {
        self.open_tokens(request, id)
    }

    /// Ends a session for good: its cookie opens nothing any more, wherever a copy is.
    pub fn end(&self, id: SessionId) {
        self.ended.insert(id);
    }

    /// `Set-Cookie` values that remove every session cookie that the request shows.
    pub fn clear(&self, request: &HeaderMap) -> Vec<HeaderValue> {
        let identity = self.cookies.clear(&self.cookies.session);
        identity.into_iter().chain(self.clear_tokens_from(request, 0)).collect()
    }
}
