//! The identity cookie: small, on every request, sealed.
//!
//! The only maker of a [`Session`]. Part of the security perimeter: a `Session` exists only for a
//! verified identity (`begun`) or out of a cookie that opened under our keys (`read`).

use super::{BeginError, SessionId, Sessions};
use crate::claims::ClaimsView;
use crate::clock::Timestamp;
use crate::oidc::Identity;
use crate::random::Random;
use crate::seal::{Opened, Purpose};
use crate::web::cookies::{self, MAX_VALUE_LEN};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

/// A signed-in person, as the identity cookie says.
///
/// Written with postcard: the order of fields is the format. A change of it comes with a new
/// version byte in `seal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session<'a> {
    id: SessionId,
    provider: &'a str,
    started: Timestamp,
    last_seen: Timestamp,
    authenticated_at: Option<Timestamp>,
    #[serde(borrow)]
    claims: ClaimsView<'a>,
}

/// What a live connection keeps of the session that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    id: SessionId,
    started: Timestamp,
    last_seen: Timestamp,
}

impl Held {
    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// When the person signed in here.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// When they sent the request that the connection carries.
    pub fn last_seen(&self) -> Timestamp {
        self.last_seen
    }
}

/// Why a request has no session. The client hears one answer for all; the log hears which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// No cookie, or several under the name.
    #[error("no session cookie")]
    Absent,
    /// Random, truncated, foreign, oversized, or under a key that left the ring.
    #[error("the session cookie does not open under any key of the ring")]
    Unreadable,
    /// The idle limit.
    #[error("the session was idle for too long")]
    Idle,
    /// The absolute limit.
    #[error("the session reached its lifetime")]
    Expired,
    /// Signed out, here or in another tab.
    #[error("the session was ended")]
    Ended,
    /// A page of another site opened the WebSocket: whose session it would borrow does not count.
    #[error("the WebSocket was opened by a page of another site")]
    OtherSite,
}

/// An identity cookie that opened; [`Session`]s borrow from it.
#[derive(Debug)]
pub struct OpenedSession(Opened);

impl OpenedSession {
    pub(super) fn read(&self) -> Result<Session<'_>, NoSession> {
        postcard::from_bytes(self.0.plaintext()).map_err(|_| NoSession::Unreadable)
    }

    pub(super) fn by_current_key(&self) -> bool {
        self.0.by_current_key
    }
}

impl<'a> Session<'a> {
    pub(super) fn begun(id: SessionId, identity: &'a Identity, claims: ClaimsView<'a>, now: Timestamp) -> Self {
        let authenticated_at = identity.authenticated_at();
        Self { id, provider: identity.provider(), started: now, last_seen: now, authenticated_at, claims }
    }

    pub(super) fn seen(&self, now: Timestamp) -> Self {
        Self { last_seen: now.max(self.last_seen), ..self.clone() }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What a connection keeps that carries a request of `now`.
    pub fn held(&self, now: Timestamp) -> Held {
        Held { id: self.id, started: self.started, last_seen: now.max(self.last_seen) }
    }

    /// The configured name of the provider that vouched.
    pub fn provider(&self) -> &'a str {
        self.provider
    }

    /// When the person signed in here.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// When it was last seen, to within the renewal interval.
    pub fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// When the person proved who they are to the provider (`auth_time`), where it says so.
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated_at
    }

    /// The verified claims that sessions keep.
    pub fn claims(&self) -> &ClaimsView<'a> {
        &self.claims
    }
}

impl Sessions {
    pub(super) fn open_identity(&self, request: &HeaderMap) -> Result<OpenedSession, NoSession> {
        let name = &self.cookies.session;
        let sealed = cookies::find(request, name).ok_or(NoSession::Absent)?;
        if sealed.len() > MAX_VALUE_LEN {
            return Err(NoSession::Unreadable);
        }
        let opened = self.ring.open(Purpose::Session, sealed, name.as_str().as_bytes());
        opened.map(OpenedSession).ok_or(NoSession::Unreadable)
    }

    pub(super) fn seal_identity(
        &self,
        session: &Session<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<HeaderValue, BeginError> {
        let name = &self.cookies.session;
        let too_large = |len| BeginError::IdentityTooLarge(len);
        let plaintext = postcard::to_stdvec(session).map_err(|_| too_large(0))?;
        let sealed = self.ring.seal(Purpose::Session, &plaintext, name.as_str().as_bytes(), random)?;
        if sealed.len() > MAX_VALUE_LEN {
            return Err(too_large(sealed.len()));
        }
        let left = session.started.plus(self.settings.lifetime).since(now);
        self.cookies.set(name, &sealed, left).ok_or(too_large(sealed.len()))
    }
}
