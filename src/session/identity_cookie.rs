//! The identity cookie: small, on every request, sealed.
//!
//! The only maker of a [`Session`]. Part of the security perimeter: a `Session` exists only for a
//! verified identity (`begun`) or out of a cookie or an access token that opened under our keys (`read`);
//! what `supposed` makes opens under no key that anything else has.

use super::{BeginError, SessionId, Sessions, access_token};
use crate::claims::ClaimsView;
use crate::clock::Timestamp;
use crate::oidc::Identity;
use crate::random::Random;
use crate::seal::{Opened, Purpose};
use crate::web::cookies::{self, MAX_VALUE_LEN};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A signed-in person, as the identity cookie says.
///
/// Written with postcard: the order of fields is the format. A change of it comes with a new
/// version byte in `seal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session<'a> {
    id: SessionId,
    #[serde(borrow)]
    key: SessionKey<'a>,
    provider: &'a str,
    sid: Option<&'a str>,
    started: Timestamp,
    last_seen: Timestamp,
    authenticated_at: Option<Timestamp>,
    vouched: Option<Vouched>,
    generation: u32,
    #[serde(borrow)]
    claims: ClaimsView<'a>,
}

/// How long what is said here counts without asking the provider again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vouched {
    /// From when on it is asked.
    pub(super) due_at: Timestamp,
    /// Until when it need not have answered: the end of the access token.
    pub(super) until: Timestamp,
}

const KEY_LEN: usize = 32;

/// How many generations a step-up is ahead: more renewals than there are in the life of a session.
const A_STEP: u32 = 1 << 20;

/// 32 random bytes that only the cookie holds. What a store keeps of the session is sealed under
/// them, so that whoever reads the store reads nothing.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionKey<'a>(#[serde(borrow)] pub(super) &'a [u8]);

impl std::fmt::Debug for SessionKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey")
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
    /// Signed out, here or elsewhere; or ended by an administrator or the provider.
    #[error("the session was ended")]
    Ended,
    /// The person proved who they are longer ago than the configuration allows.
    #[error("the sign-in at the provider is too old")]
    SignInTooOld,
    /// The cookie is of before a step-up of its session, and would have to be renewed: its session goes
    /// on with the later one.
    #[error("the session cookie is of before a step-up, and is not renewed")]
    BeforeStepUp,
    /// The provider no longer vouches: it refused to renew the tokens, or what it says of the
    /// person does not count.
    #[error("the provider no longer vouches for the session")]
    NotRenewed,
    /// An access token of ours that is altered, foreign, or under a key that left the ring; or one
    /// that is not alone. Whatever cookie came with it.
    #[error("the access token does not open under any key of the ring, or does not stand alone")]
    TokenUnreadable,
    /// An access token past its end.
    #[error("the access token has expired")]
    TokenExpired,
    /// The provider that it began with has left the configuration, or is there as another registration.
    #[error("the session's provider is not in the configuration any more, or not as the same registration")]
    ProviderGone,
    /// Outage: the provider could not be asked to renew the tokens for longer than allowed.
    #[error("the provider has been out of reach for too long to go on without it")]
    ProviderDown,
    /// Outage: no word from the store for longer than allowed, so nobody knows what has ended.
    #[error("the store has been out of reach for too long to know which sessions have ended")]
    StoreDown,
    /// A page of another site sent what changes something, or opened a WebSocket: the session that
    /// came along does not count.
    #[error("a page of another site sent it, or it does not say whose page did")]
    OtherSite,
}

impl NoSession {
    /// Whether signing in anew would not help.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::ProviderDown | Self::StoreDown)
    }

    /// Whether there was a session, and it is over: its cookie opened.
    pub fn is_over(self) -> bool {
        match self {
            Self::Idle | Self::Expired | Self::Ended | Self::SignInTooOld | Self::NotRenewed | Self::ProviderGone => {
                true
            }
            Self::Absent
            | Self::Unreadable
            | Self::BeforeStepUp
            | Self::ProviderDown
            | Self::StoreDown
            | Self::OtherSite
            | Self::TokenUnreadable
            | Self::TokenExpired => false,
        }
    }
}

/// An identity cookie that opened; [`Session`]s borrow from it.
#[derive(Debug)]
pub struct OpenedSession(Plain);

enum Plain {
    /// Out of a cookie.
    Opened(Opened),
    /// Out of an access token.
    Token(Opened),
    /// Renewed just now.
    Renewed(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plain")
    }
}

impl OpenedSession {
    /// What a cookie of `session` opens to.
    pub(super) fn renewed(session: &Session<'_>) -> Option<Self> {
        postcard::to_stdvec(session).ok().map(|bytes| Self(Plain::Renewed(Zeroizing::new(bytes))))
    }

    /// Out of another cookie that holds a session.
    pub(super) fn of(opened: Opened) -> Self {
        Self(Plain::Opened(opened))
    }

    /// Out of an access token.
    pub(super) fn of_token(opened: Opened) -> Self {
        Self(Plain::Token(opened))
    }

    /// Whether an access token shows it, which does not come along by itself and which no cookie
    /// need stand beside.
    pub fn by_token(&self) -> bool {
        matches!(self.0, Plain::Token(_))
    }

    pub(super) fn read(&self) -> Result<Session<'_>, NoSession> {
        let bytes = match &self.0 {
            Plain::Opened(opened) => opened.plaintext(),
            Plain::Token(opened) => access_token::session_in(opened),
            Plain::Renewed(bytes) => bytes,
        };
        let session: Session<'_> = postcard::from_bytes(bytes).map_err(|_| NoSession::Unreadable)?;
        // Cookies of before there were keys have a provider's name in this place, and no session.
        if session.key.0.len() == KEY_LEN { Ok(session) } else { Err(NoSession::Unreadable) }
    }

    pub(super) fn by_current_key(&self) -> bool {
        match &self.0 {
            Plain::Opened(opened) | Plain::Token(opened) => opened.by_current_key,
            Plain::Renewed(_) => true,
        }
    }
}

impl<'a> Session<'a> {
    pub(super) fn begun(
        id: SessionId,
        key: &'a [u8; KEY_LEN],
        identity: &'a Identity,
        claims: ClaimsView<'a>,
        vouched: Option<Vouched>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            key: SessionKey(key),
            provider: identity.provider(),
            sid: identity.sid(),
            started: now,
            last_seen: now,
            authenticated_at: identity.authenticated_at(),
            vouched,
            generation: 0,
            claims,
        }
    }

    /// That of somebody who is only supposed; for `supposed`, whose keys are nobody's.
    pub(super) fn supposed(
        id: SessionId,
        key: &'a [u8; KEY_LEN],
        provider: &'a str,
        claims: ClaimsView<'a>,
        authenticated_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            key: SessionKey(key),
            provider,
            sid: None,
            started: now,
            last_seen: now,
            authenticated_at,
            vouched: None,
            generation: 0,
            claims,
        }
    }

    pub(super) fn seen(&self, at: Timestamp) -> Self {
        Self { last_seen: at.max(self.last_seen), ..self.clone() }
    }

    /// The same session with what the provider says now.
    pub(super) fn renewed<'b>(
        &'b self,
        identity: &'b Identity,
        claims: ClaimsView<'b>,
        vouched: Option<Vouched>,
        now: Timestamp,
    ) -> Session<'b> {
        Session {
            sid: identity.sid().or(self.sid),
            last_seen: now.max(self.last_seen),
            authenticated_at: identity.authenticated_at().or(self.authenticated_at),
            // No refresh token any more: what was vouched for last was so for good.
            vouched,
            generation: self.generation.saturating_add(1),
            claims,
            ..self.clone()
        }
    }

    /// The same session after a step-up: what the provider says of the new authentication, and nothing
    /// of the former. It does not begin anew, and so ends when it would have.
    pub(super) fn stepped_up<'b>(
        &'b self,
        identity: &'b Identity,
        claims: ClaimsView<'b>,
        vouched: Option<Vouched>,
        now: Timestamp,
    ) -> Session<'b> {
        Session {
            sid: identity.sid(),
            last_seen: now.max(self.last_seen),
            authenticated_at: identity.authenticated_at(),
            vouched,
            generation: self.step().saturating_add(1).saturating_mul(A_STEP),
            claims,
            ..self.clone()
        }
    }

    /// How many step-ups it has behind it. A cookie of before one is worth what it was worth then, and
    /// must not be made newer by what came after.
    pub(super) fn step(&self) -> u32 {
        self.generation / A_STEP
    }

    /// Tells this state of what is said of its person from any other: of before a renewal or a step-up, and
    /// of another session. For what is looked at once for each.
    pub fn stamp(&self) -> u64 {
        let first = self.id.bytes().first_chunk().copied().map_or(0, u64::from_be_bytes);
        first ^ u64::from(self.generation)
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The configured name of the provider that vouched.
    pub fn provider(&self) -> &'a str {
        self.provider
    }

    /// The same session whose tokens are newer, and are to be renewed again from `due_at` on.
    pub(super) fn with_newer_tokens(&self, due_at: Timestamp) -> Self {
        let vouched = self.vouched.map(|vouched| Vouched { due_at, ..vouched });
        Self { vouched, generation: self.generation.saturating_add(1), ..self.clone() }
    }

    pub(super) fn key(&self) -> &'a [u8] {
        self.key.0
    }

    /// The provider's name for its own session (`sid`), where it gives one.
    pub fn provider_session(&self) -> Option<&'a str> {
        self.sid
    }

    /// `sub`: who it is, unique at that provider.
    pub fn subject(&self) -> &'a str {
        // Verification lets no identity without one pass.
        self.claims.text("sub").unwrap_or_default()
    }

    /// Until when the provider vouched for what is said here; then it is asked again. None where it
    /// cannot be asked.
    pub fn fresh_until(&self) -> Option<Timestamp> {
        self.vouched.map(|vouched| vouched.until)
    }

    pub(super) fn vouched(&self) -> Option<Vouched> {
        self.vouched
    }

    /// How many times it was renewed.
    pub fn generation(&self) -> u32 {
        self.generation
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
    pub(super) fn open_identity(&self, request: &HeaderMap, now: Timestamp) -> Result<OpenedSession, NoSession> {
        let name = &self.cookies.session;
        let sealed = cookies::find(request, name).ok_or(NoSession::Absent)?;
        if sealed.len() > MAX_VALUE_LEN {
            return Err(NoSession::Unreadable);
        }
        let opened = self.ring.open(Purpose::Session, sealed, name.as_str().as_bytes(), now);
        opened.map(OpenedSession::of).ok_or(NoSession::Unreadable)
    }

    /// The identity cookie, and how it opens again.
    pub(super) fn seal_identity(
        &self,
        session: &Session<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<HeaderValue, BeginError> {
        let name = &self.cookies.session;
        let too_large = |len| BeginError::IdentityTooLarge(len);
        let plaintext = Zeroizing::new(postcard::to_stdvec(session).map_err(|_| too_large(0))?);
        let sealed = self.ring.seal(Purpose::Session, &plaintext, name.as_str().as_bytes(), random)?;
        if sealed.len() > MAX_VALUE_LEN {
            return Err(too_large(sealed.len()));
        }
        let left = session.started.plus(self.settings.lifetime).since(now);
        self.cookies.set(name, &sealed, left).ok_or(too_large(sealed.len()))
    }
}
