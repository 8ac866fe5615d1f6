//! The session: what it holds, how it is sealed into cookies, and when it ends.
//!
//! `login` begins and ends sessions, `gate` reads them on every request. A session is two sealed
//! cookies: a small one with the identity, opened on every request, and one with the tokens,
//! opened only where a token is needed. The store holds what must reach other replicas (`kept`)
//! and what has ended (`follow`); the everyday request does not ask it. Must never hand out
//! anything of a cookie that did not open, or of a session that is over.

mod access_token;
mod app_data;
mod attached;
mod closing;
#[cfg(test)]
pub(crate) mod fixture;
mod follow;
mod handle;
mod identity_cookie;
mod kept;
mod kept_forms;
mod known_providers;
mod limits;
mod presence;
mod proof;
mod provider_logout;
mod refresh;
mod renewals;
mod request_token;
mod revoked;
mod step_up;
mod supposed;
#[cfg(test)]
mod tests;
mod tokens_cookie;

pub use access_token::{AccessToken, NoAccessToken, is_ours as is_our_token};
pub use app_data::{AppData, Changed};
pub use follow::Departure;
pub use handle::NotUsed;
pub use identity_cookie::{NoSession, OpenedSession, Session};
pub use kept::{Listed, Place};
pub use kept_forms::{FoundForm, SentForm};
pub use known_providers::KnownProviders;
pub use limits::{Keep, RefreshSettings, Settings};
pub use presence::Held;
pub use provider_logout::NotEnded;
pub use refresh::{Refreshed, Refresher};
pub use revoked::Revocation;
pub use step_up::NotSteppedUp;
pub use supposed::{NotSupposed, Supposed, SupposedSessions};

use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::oidc::{Identity, Tokens};
use crate::random::{self, NoRandomness, Random};
use crate::seal::KeyRing;
use crate::store::{OnDown, Store, StoreError, WhenDown};
use crate::web::cookies::Cookies;
use arc_swap::ArcSwap;
use follow::Following;
use http::{HeaderMap, HeaderValue};
use identity_cookie::Vouched;
use presence::Presence;
use renewals::Renewals;
use revoked::Revoked;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokens_cookie::Written;
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

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

    /// Its 16 bytes, for keys of the store.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// From its 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From the 32 hexadecimal digits that it is shown with.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| plain).map(|number| Self(number.to_be_bytes()))
    }
}

/// All 32 hexadecimal digits: for the app, the person and administrators. Opens nothing.
impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// How long an access token counts whose provider does not say it.
const UNSAID: Duration = Duration::from_secs(3600);
/// How long a sign-in waits at most for the end of the second in which the person was signed out.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long what a provider says counts at least, however short its tokens last: or it would be
/// asked at every request, and whom it refuses would be sent round between it and us.
const AT_LEAST: Duration = Duration::from_secs(10);

/// The sessions of one site: how they begin, are found again, and end.
pub struct Sessions {
    ring: Arc<KeyRing>,
    cookies: Cookies,
    settings: Settings,
    kept_claims: ArcSwap<BTreeSet<String>>,
    providers: KnownProviders,
    store: Arc<dyn Store>,
    on_down: OnDown,
    revoked: Revoked,
    presence: Presence,
    following: Following,
    last_words: closing::LastWords,
    renewals: Renewals,
    /// Counts up whenever something ends before its time, or says something else of somebody.
    endings: watch::Sender<u64>,
    /// Who is told which sessions were ended from here.
    ended: OnceLock<mpsc::UnboundedSender<SessionId>>,
    /// Who is told whose sessions those were.
    departures: OnceLock<mpsc::UnboundedSender<Departure>>,
    /// Who hears of the store's log what is not about sessions.
    other_news: OnceLock<follow::OtherNews>,
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
    #[error(
        "the tokens take {0} bytes sealed, more than browsers and front proxies carry in cookies; session.keep: store takes them"
    )]
    TokensTooLarge(usize),
    /// The person proved who they are longer ago than the configuration allows, and the provider
    /// did not ask them again.
    #[error("the provider was asked for a sign-in of at most {} s ago and gave an older one (session.sign_in_age)", .0.as_secs())]
    SignInTooOld(Duration),
    /// The store cannot be had, and no session may begin without it (`on_store_down`).
    #[error("no session begins without the store: {0}")]
    Store(#[from] StoreError),
}

/// A session that has just begun.
#[derive(Debug)]
pub struct Begun {
    /// Its name.
    pub id: SessionId,
    /// What its cookie opens to.
    pub opened: Arc<OpenedSession>,
    /// The `Set-Cookie` values that carry it.
    pub cookies: Vec<HeaderValue>,
}

/// These claims, and those that every session has.
fn with_those_of_all(kept_claims: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    kept_claims.into_iter().chain(["sub", "acr"].map(str::to_owned)).collect()
}

impl Sessions {
    /// `kept_claims` are the claims that sessions carry; `sub` and `acr` always are.
    pub fn new(
        ring: Arc<KeyRing>,
        cookies: Cookies,
        settings: Settings,
        kept_claims: impl IntoIterator<Item = String>,
        store: Arc<dyn Store>,
        on_down: OnDown,
    ) -> Self {
        Self {
            ring,
            cookies,
            settings,
            kept_claims: ArcSwap::from_pointee(with_those_of_all(kept_claims)),
            providers: KnownProviders::default(),
            store,
            on_down,
            revoked: Revoked::default(),
            presence: Presence::new(settings.idle),
            following: Following::default(),
            last_words: closing::LastWords::default(),
            renewals: Renewals::default(),
            endings: watch::Sender::new(0),
            ended: OnceLock::new(),
            departures: OnceLock::new(),
            other_news: OnceLock::new(),
        }
    }

    /// From now on sessions that begin or are renewed carry these claims, and `sub` and `acr`.
    pub fn keep_claims(&self, kept_claims: impl IntoIterator<Item = String>) {
        self.kept_claims.store(Arc::new(with_those_of_all(kept_claims)));
    }

    /// How sessions are kept and when they end by themselves.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The moment at which a session of this person may begin: now, or after the second in which
    /// their others were ended, which is waited for. Moments are whole seconds, so one that began in
    /// that second would be over as well, and its browser would be sent round between us and the
    /// provider until it has passed.
    pub async fn moment_to_begin(&self, identity: &Identity, now: Timestamp) -> Timestamp {
        let person = (identity.provider(), identity.subject());
        let moment = self.revoked.first_moment_after(person, identity.sid(), now);
        let wait = moment.since(now);
        if wait > LONGEST_WAIT {
            // Another replica's clock is ahead; there is no end to wait for.
            return now;
        }
        tokio::time::sleep(wait).await;
        moment
    }

    /// Begins a session for a verified person, under a new name and a new key whatever cookies
    /// the browser came with, and gives the `Set-Cookie` values that carry it.
    ///
    /// # Errors
    /// [`BeginError`], by cause.
    pub async fn begin(
        &self,
        identity: &Identity,
        tokens: &Tokens,
        request: &HeaderMap,
        place: &Place,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Begun, BeginError> {
        let id = SessionId(random::bytes(random)?);
        let key = Zeroizing::new(random::bytes::<32>(random)?);
        let claims = self.kept_of(identity);
        let session = Session::begun(id, &key, identity, claims.view(), self.vouched(tokens, now), now);
        if let Some(age) = self.settings.sign_in_age
            && now.since(session.authenticated_at().unwrap_or(now)) >= age
        {
            return Err(BeginError::SignInTooOld(age));
        }
        let mut cookies = self.cookies_of(&session, Some(tokens), request, now, random)?;
        cookies.extend(self.clear_attached(request));
        let opened = Arc::new(OpenedSession::renewed(&session).ok_or(BeginError::IdentityTooLarge(0))?);
        if self.settings.keep == Keep::Store {
            self.keep(&session, tokens, now, random).await?;
        }
        match self.list(&self.listing(&session, place, now), now, random).await {
            Ok(()) => {
                if let Err(error) = self.keep_app_data_on(&session, now, random).await {
                    tracing::warn!(%error, session = id.short(), "what the app keeps of the person is kept no longer than before");
                }
            }
            Err(error) if self.on_down.sign_ins == WhenDown::Refuse => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, session = id.short(), "a session begins that the store does not list");
            }
        }
        Ok(Begun { id, opened, cookies })
    }

    fn kept_of(&self, identity: &Identity) -> Claims {
        let kept = self.kept_claims.load();
        let kept = identity.claims().clone().retaining(|name| kept.contains(name));
        self.providers.noted(identity.provider(), kept)
    }

    /// The cookies of a session, with its tokens where those are new and kept in cookies.
    fn cookies_of(
        &self,
        session: &Session<'_>,
        tokens: Option<&Tokens>,
        request: &HeaderMap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Vec<HeaderValue>, BeginError> {
        let mut cookies = vec![self.seal_identity(session, now, random)?];
        match (self.settings.keep, tokens) {
            (Keep::Cookie, Some(tokens)) => {
                let written = Written::of(tokens, session.generation());
                cookies.extend(self.seal_tokens(session.id(), &written, request, random)?);
            }
            (Keep::Cookie, None) => {}
            // From before the configuration changed.
            (Keep::Store, _) => cookies.extend(self.clear_tokens_from(request, 0)),
        }
        Ok(cookies)
    }

    /// How long the provider has vouched, where it can be asked again. A provider that does not
    /// say how long its access tokens last is asked again after an hour.
    fn vouched(&self, tokens: &Tokens, now: Timestamp) -> Option<Vouched> {
        self.settings.refresh.and(tokens.refresh_token.as_ref())?;
        let until = tokens.access_token_expires_at.unwrap_or(now.plus(UNSAID)).max(now.plus(AT_LEAST));
        Some(Vouched { due_at: self.settings.due_at(until, now), until })
    }

    fn is_due(&self, session: &Session<'_>, now: Timestamp) -> bool {
        self.settings.refresh.is_some() && session.vouched().is_some_and(|vouched| now >= vouched.due_at)
    }

    /// Opens what says whose session it is: an access token where the request shows one of ours,
    /// else the identity cookie. The result is read with [`Self::read`], in two steps because a
    /// [`Session`] borrows from what was opened.
    ///
    /// # Errors
    /// [`NoSession::TokenUnreadable`] or [`NoSession::TokenExpired`], whatever cookie there is;
    /// [`NoSession::Absent`] or [`NoSession::Unreadable`].
    pub fn open(&self, request: &HeaderMap, now: Timestamp) -> Result<OpenedSession, NoSession> {
        match self.open_token(request, now) {
            Some(by_token) => by_token,
            None => self.open_identity(request, now),
        }
    }

    /// Reads an opened cookie and checks that the session is not over.
    ///
    /// # Errors
    /// [`NoSession`], by cause.
    pub fn read<'o>(&self, opened: &'o OpenedSession, now: Timestamp) -> Result<Session<'o>, NoSession> {
        let session = opened.read()?;
        if self.was_ended(&session) {
            return Err(NoSession::Ended);
        }
        if !self.providers.count(&session) {
            return Err(NoSession::ProviderGone);
        }
        self.settings.check(session.started(), session.last_seen(), session.authenticated_at(), now)?;
        if self.following.is_lost(&self.on_down, now) {
            return Err(NoSession::StoreDown);
        }
        Ok(session)
    }

    /// Whether the session was ended before its time, by whatever name.
    fn was_ended(&self, session: &Session<'_>) -> bool {
        let person = (session.provider(), session.subject());
        self.revoked.covers(session.id(), person, session.provider_session(), session.started())
    }

    /// Whether there is something to be asked of the provider or the store before this session
    /// may go on, or may be taken for over. Not where a token shows it: whoever holds that asks
    /// itself, and takes what comes of it along.
    pub fn wants_refresh(
        &self,
        opened: &OpenedSession,
        session: Result<&Session<'_>, NoSession>,
        now: Timestamp,
    ) -> bool {
        if opened.by_token() {
            return false;
        }
        match session {
            Ok(session) => self.is_due(session, now),
            // The cookie knows only of requests; a WebSocket may have been in use all the time.
            Err(reason) => reason == NoSession::Idle,
        }
    }

    /// `Set-Cookie` values that move the idle limit forward, when enough time has passed, or put
    /// everything under the current key, when the cookie is under a former one; else none.
    pub fn renewal(
        &self,
        session: &Session<'_>,
        opened: &OpenedSession,
        request: &HeaderMap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Vec<HeaderValue> {
        let by_current_key = opened.by_current_key();
        if opened.by_token() {
            // What shows a token need not have a cookie, and gets none.
            return Vec::new();
        }
        if by_current_key && now.since(session.last_seen()) < self.settings.renewal_interval() {
            return Vec::new();
        }
        let tokens = if by_current_key { None } else { self.open_tokens(request, session.id(), now) };
        let tokens = tokens.filter(|(generation, _)| *generation == session.generation()).map(|(_, tokens)| tokens);
        // A renewal that fails is tried again by the next request; the session goes on meanwhile.
        self.cookies_of(&session.seen(now), tokens.as_ref(), request, now, random).unwrap_or_default()
    }

    /// What is to be seen of a session that is in use there, now.
    pub fn listing(&self, session: &Session<'_>, place: &Place, now: Timestamp) -> Listed {
        Listed::new(&session.seen(now), self.ends_at(session), place)
    }

    /// When the session ends whatever happens.
    pub fn ends_at(&self, session: &Session<'_>) -> Timestamp {
        self.settings.ends_at(session.started(), session.authenticated_at())
    }

    /// The name of the session whose cookie the request shows, whether it is over or not.
    pub fn named(&self, request: &HeaderMap, now: Timestamp) -> Option<SessionId> {
        self.open(request, now).ok()?.read().ok().map(|session| session.id())
    }

    /// The tokens of the session, wherever they are kept.
    ///
    /// # Errors
    /// When they are in the store and it cannot be had.
    pub async fn tokens(
        &self,
        request: &HeaderMap,
        session: &Session<'_>,
        now: Timestamp,
    ) -> Result<Option<Tokens>, StoreError> {
        if self.settings.keep == Keep::Cookie
            && let Some((generation, tokens)) = self.open_tokens(request, session.id(), now)
            && generation == session.generation()
        {
            return Ok(Some(tokens));
        }
        // Those of a step-up are not for a cookie of before it.
        let kept = self.kept(session, now).await?.filter(|kept| kept.step() == session.step());
        Ok(kept.map(|kept| kept.into_parts().1))
    }

    /// `Set-Cookie` values that remove every session cookie that the request shows.
    pub fn clear(&self, request: &HeaderMap) -> Vec<HeaderValue> {
        let identity = self.cookies.clear(&self.cookies.session);
        let others = self.clear_tokens_from(request, 0).into_iter().chain(self.clear_attached(request));
        identity.into_iter().chain(others).chain(self.clear_token(request)).collect()
    }
}
