//! Asking the provider again, once per session at a time.
//!
//! Called by `server` when the gate says `Refresh`: the tokens are due, or the cookie is idle and
//! the store may know better. What comes out is a session to be judged anew.
//!
//! A refresh token may be good for one use, and a second one look like theft (RFC 9700 §4.14.2).
//! So of all requests of a session, over all tabs and replicas, one asks:
//!
//! ```text
//! turn (this process) → store: renewed already? → lock (all replicas) → provider → store → cookie
//! ```
//!
//! The others wait for it, or go on with what the cookie says as long as that is still vouched
//! for. A late request with the former cookie finds the renewal in the store.

use super::{NoSession, OpenedSession, Session, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::oidc::{Held, Provider, Providers, RefreshError, Tokens};
use crate::random::Random;
use crate::store::{Key, Lock, StoreError};
use http::{HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a request waits for another one's renewal before it goes on as in an outage: a person
/// is waiting too.
const WAIT: Duration = Duration::from_secs(5);
/// Between two looks at whether another replica has finished.
const LOOK: Duration = Duration::from_millis(50);
/// After which a lock is free again whose owner is gone: longer than a renewal takes, whose three
/// questions (tokens, keys, userinfo) take 10 s each at the very most.
const LOCK: Duration = Duration::from_secs(45);
/// After a renewal that failed for want of an answer: until the provider is asked again.
const BACK_OFF: Duration = Duration::from_secs(10);
/// Sessions whose renewal is under way, at most; more would only ask in vain.
const MAX_TURNS: u64 = 100_000;

/// What came of asking.
#[derive(Debug)]
pub enum Refreshed {
    /// The session as it is now, and the `Set-Cookie` values that say so.
    Anew(OpenedSession, Vec<HeaderValue>),
    /// It goes on as the cookie says.
    Unchanged(OpenedSession),
    /// It does not go on.
    Over(NoSession),
}

/// Why a renewal brought nothing, and what follows for the session.
#[derive(Debug)]
enum Failure {
    /// It is over.
    Over(NoSession),
    /// It goes on up to a bound, past which this is the reason.
    Outage(NoSession),
}

/// A session and its tokens as the latest renewal left them.
struct Latest {
    opened: OpenedSession,
    /// None where the cookie's own are meant.
    tokens: Option<Tokens>,
}

/// Renews sessions.
pub struct Refresher {
    sessions: Arc<Sessions>,
    providers: Providers,
    /// Of each provider, by its name.
    moods: HashMap<String, Mood>,
    random: Arc<dyn Random>,
    turns: moka::sync::Cache<SessionId, Arc<Mutex<()>>>,
}

/// Whether a provider answers. One that does not is left alone, and the others go on.
#[derive(Default)]
struct Mood {
    /// Until when the provider is left alone, in Unix seconds; 0 while it answers.
    back_off_until: AtomicU64,
}

/// The provider of a session, and whether it answers.
#[derive(Clone, Copy)]
struct Vouching<'a> {
    provider: &'a Arc<Provider>,
    mood: &'a Mood,
}

impl Refresher {
    /// Renews those sessions, each at its own of those providers.
    pub fn new(sessions: Arc<Sessions>, providers: Providers, random: Arc<dyn Random>) -> Self {
        let turns = moka::sync::Cache::builder().max_capacity(MAX_TURNS).time_to_idle(LOCK).build();
        let moods = providers.iter().map(|provider| (provider.settings().name.clone(), Mood::default())).collect();
        Self { sessions, providers, moods, random, turns }
    }

    /// The provider that vouches for a session. No other is ever shown its tokens.
    fn vouching(&self, session: &Session<'_>) -> Result<Vouching<'_>, Failure> {
        let provider = self.providers.of_session(session.provider());
        let found = provider.and_then(|provider| Some((provider, self.moods.get(&provider.settings().name)?)));
        let (provider, mood) = found.ok_or(Failure::Over(NoSession::ProviderGone))?;
        Ok(Vouching { provider, mood })
    }

    /// Finds out how it stands with a session whose cookie opened.
    pub async fn refresh(self: &Arc<Self>, opened: OpenedSession, request: &HeaderMap, now: Timestamp) -> Refreshed {
        let (opened, rested) = match self.sessions.read(&opened, now).map(drop) {
            Ok(()) => (opened, false),
            Err(NoSession::Idle) => match self.used_elsewhere(&opened, now).await {
                Ok(opened) => (opened, true),
                Err(reason) => return Refreshed::Over(reason),
            },
            Err(reason) => return Refreshed::Over(reason),
        };
        let session = match opened.read() {
            Ok(session) => session,
            Err(reason) => return Refreshed::Over(reason),
        };
        // One that only rested may be due as well: else whoever keeps a former cookie would never
        // be asked about.
        let outcome =
            if self.sessions.is_due(&session, now) { self.renewed(&session, request, now).await } else { Ok(None) };
        match outcome {
            Ok(Some((opened, cookies))) => return Refreshed::Anew(opened, cookies),
            Ok(None) => {}
            Err(Failure::Over(reason)) => return Refreshed::Over(reason),
            Err(Failure::Outage(reason)) => {
                let bound = self.sessions.settings.refresh.map_or(Duration::ZERO, |refresh| refresh.outage);
                if session.fresh_until().is_none_or(|until| now >= until.plus(bound)) {
                    return Refreshed::Over(reason);
                }
            }
        }
        if rested && let Ok((opened, cookies)) = self.dressed(&session, None, request, now) {
            Refreshed::Anew(opened, cookies)
        } else {
            Refreshed::Unchanged(opened)
        }
    }

    /// The cookie says idle; what moved on a WebSocket, or with a later cookie, is known here or in
    /// the store.
    async fn used_elsewhere(&self, opened: &OpenedSession, now: Timestamp) -> Result<OpenedSession, NoSession> {
        let session = opened.read()?;
        let in_time = |seen: &Timestamp| now.since(*seen) < self.sessions.settings.idle;
        if self.sessions.presence.of(session.id()).as_ref().is_none_or(|seen| !in_time(seen)) {
            let listed = self.sessions.listed_one(session.id(), now).await.ok().flatten().ok_or(NoSession::Idle)?;
            Some(listed.last_seen).filter(in_time).ok_or(NoSession::Idle)?;
        }
        OpenedSession::renewed(&session.seen(now)).ok_or(NoSession::Unreadable)
    }

    /// None where the session goes on as the cookie says.
    async fn renewed(
        self: &Arc<Self>,
        session: &Session<'_>,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<(OpenedSession, Vec<HeaderValue>)>, Failure> {
        if self.sessions.following.is_silent() {
            // Known to be down: not every request has to find that out by waiting for it.
            return Err(Failure::Outage(NoSession::StoreDown));
        }
        if self.vouching(session)?.mood.is_left_alone(now) {
            let done = self.done(session, request, now).await?;
            return done.map_or(Err(Failure::Outage(NoSession::ProviderDown)), |done| Ok(Some(done)));
        }
        let still_vouched_for = session.fresh_until().is_some_and(|until| now < until);
        let turn = self.turns.get_with(session.id(), Arc::default);
        let _turn = if still_vouched_for {
            let Ok(turn) = turn.try_lock_owned() else { return Ok(None) };
            turn
        } else {
            let turn = tokio::time::timeout(WAIT, turn.lock_owned()).await;
            turn.map_err(|_| Failure::Outage(NoSession::ProviderDown))?
        };
        if let Some(done) = self.done(session, request, now).await? {
            return Ok(Some(done));
        }
        let lock = Lock::new(Key::new("renewal", &session.id().0), &*self.random)
            .map_err(|_| Failure::Outage(NoSession::ProviderDown))?;
        let mut waited = Duration::ZERO;
        while !lock.taken(&*self.sessions.store, now.plus(LOCK), now).await.map_err(|error| store_is_down(&error))? {
            // Another replica is asking.
            if still_vouched_for {
                return Ok(None);
            }
            if waited >= WAIT {
                return Err(Failure::Outage(NoSession::ProviderDown));
            }
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
            if let Some(done) = self.done(session, request, now).await? {
                return Ok(Some(done));
            }
        }
        // In a task of its own: a browser that goes away now must not take the answer with it, for
        // the tokens that we hold are good for nothing once the provider has answered.
        let (this, request, opened) = (Arc::clone(self), request.clone(), OpenedSession::renewed(session));
        let opened = opened.ok_or(Failure::Over(NoSession::Unreadable))?;
        let asking = tokio::spawn(async move {
            let outcome = this.ask(&opened, &request, now).await;
            lock.release(&*this.sessions.store, now).await;
            outcome
        });
        asking.await.unwrap_or(Err(Failure::Outage(NoSession::ProviderDown))).map(Some)
    }

    /// A renewal that another request brought and that is not due itself.
    async fn done(
        &self,
        session: &Session<'_>,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<(OpenedSession, Vec<HeaderValue>)>, Failure> {
        let Some(Latest { opened, tokens }) = self.latest(session, now).await? else { return Ok(None) };
        let latest = opened.read().map_err(Failure::Over)?;
        if self.sessions.is_due(&latest, now) {
            return Ok(None);
        }
        self.dressed(&latest.seen(session.last_seen()), tokens.as_ref(), request, now).map(Some)
    }

    /// The renewal in the store, where it is later than the session's own.
    async fn latest(&self, session: &Session<'_>, now: Timestamp) -> Result<Option<Latest>, Failure> {
        let kept = self.sessions.kept(session, now).await.map_err(|error| store_is_down(&error))?;
        if kept.as_ref().is_some_and(|kept| kept.step() > session.step()) {
            return Err(Failure::Over(NoSession::BeforeStepUp));
        }
        let later = kept.filter(|kept| kept.generation() > session.generation());
        Ok(later.map(|kept| {
            let (opened, tokens) = kept.into_parts();
            Latest { opened, tokens: Some(tokens) }
        }))
    }

    /// Asks the provider, with the latest tokens that there are. Holding the lock.
    async fn ask(
        &self,
        opened: &OpenedSession,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Result<(OpenedSession, Vec<HeaderValue>), Failure> {
        let own = opened.read().map_err(Failure::Over)?;
        let latest = self.latest(&own, now).await?;
        let session = match &latest {
            // Renewed between the look and the lock.
            Some(latest) => latest.opened.read().map_err(Failure::Over)?.seen(own.last_seen()),
            None => own,
        };
        let tokens = match latest.as_ref().and_then(|latest| latest.tokens.clone()) {
            Some(tokens) if !self.sessions.is_due(&session, now) => {
                return self.dressed(&session, Some(&tokens), request, now);
            }
            Some(tokens) => Some(tokens),
            None => self.sessions.tokens(request, &session, now).await.map_err(|error| store_is_down(&error))?,
        };
        let short = session.id().short();
        let vouching = self.vouching(&session)?;
        if self.sessions.was_ended(&session) {
            return Err(Failure::Over(NoSession::Ended));
        }
        let Some(tokens) = tokens else {
            // Whoever shows a proof has none to show: that says nothing of the session.
            if self.sessions.is_by_proof(request) {
                return Err(Failure::Outage(NoSession::NotRenewed));
            }
            tracing::warn!(
                session = short,
                "the tokens are not there any more: the session cannot be renewed, and ends"
            );
            return Err(self.over(&session, now).await);
        };
        let held = Held {
            tokens: &tokens,
            subject: session.subject(),
            sid: session.provider_session(),
            authenticated_at: session.authenticated_at(),
        };
        if !vouching.mood.may_ask(now) {
            return Err(Failure::Outage(NoSession::ProviderDown));
        }
        let answer = vouching.provider.refresh(&held, now).await;
        // Stepped up while the provider was asked: what it says of the grant of before is not said of the
        // session as it is now, and must neither end it nor take its place.
        if let Err(Failure::Over(NoSession::BeforeStepUp)) = self.latest(&session, now).await {
            return Err(Failure::Over(NoSession::BeforeStepUp));
        }
        let renewed = match answer {
            Ok(renewed) => renewed,
            Err(error) if error.ends_session() => {
                vouching.answers();
                tracing::info!(session = short, provider = vouching.name(), %error, "the session is not renewed, and ends");
                return Err(self.over(&session, now).await);
            }
            Err(error) => {
                vouching.outage(&session, &error, now);
                return Err(Failure::Outage(NoSession::ProviderDown));
            }
        };
        if !renewed.identity.as_ref().is_err_and(RefreshError::is_outage) {
            vouching.answers();
        }
        let claims = renewed.identity.as_ref().ok().map(|identity| self.sessions.kept_of(identity));
        let session = match (&renewed.identity, &claims) {
            (Ok(identity), Some(claims)) => {
                session.renewed(identity, claims.view(), self.sessions.vouched(&renewed.tokens, now), now)
            }
            // New tokens, and no word on who the person is now: to be asked again.
            (Err(error), _) => {
                if error.is_outage() {
                    vouching.outage(&session, error, now);
                } else {
                    // About this person alone: the others need not wait.
                    tracing::warn!(session = short, %error, "the session could not be renewed; it goes on for a while");
                }
                session.with_newer_tokens(now.plus(BACK_OFF))
            }
            (Ok(_), None) => return Err(Failure::Outage(NoSession::ProviderDown)),
        };
        if let Err(error) = self.sessions.keep(&session, &renewed.tokens, now, &*self.random).await {
            // This browser has it; a late request of it with the former cookie will not find it.
            tracing::warn!(session = short, %error, "a renewal could not be kept in the store");
        }
        if self.sessions.was_ended(&session) {
            self.undo(&session, vouching.provider, renewed.tokens, now).await;
            return Err(Failure::Over(NoSession::Ended));
        }
        tracing::debug!(session = short, generation = session.generation(), "renewed");
        self.dressed(&session, Some(&renewed.tokens), request, now)
    }

    /// The session was ended while the provider was asked. Whoever ended it could take away only
    /// what there was then.
    async fn undo(&self, session: &Session<'_>, provider: &Arc<Provider>, tokens: Tokens, now: Timestamp) {
        let short = session.id().short();
        if let Err(error) = self.sessions.forget(session.id(), now).await {
            tracing::warn!(session = short, %error, "what is left of a session that has ended stays until its end");
        }
        let provider = Arc::clone(provider);
        tokio::spawn(async move {
            if let Err(error) = provider.revoke(&tokens, now).await {
                tracing::warn!(session = short, %error, "the tokens of a session that has ended could not be revoked");
            }
        });
    }

    /// The session is over for good, here and everywhere.
    async fn over(&self, session: &Session<'_>, now: Timestamp) -> Failure {
        if let Err(error) = self.sessions.end(session.id(), now).await {
            tracing::warn!(session = session.id().short(), %error, "its end could not be announced yet");
        }
        Failure::Over(NoSession::NotRenewed)
    }

    /// The session in the form that a cookie opens to, and the cookies that hold it.
    fn dressed(
        &self,
        session: &Session<'_>,
        tokens: Option<&Tokens>,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Result<(OpenedSession, Vec<HeaderValue>), Failure> {
        let session = session.seen(now);
        let opened = OpenedSession::renewed(&session).ok_or(Failure::Over(NoSession::Unreadable))?;
        self.sessions.note_renewal(&session);
        let cookies = self.sessions.cookies_of(&session, tokens, request, now, &*self.random);
        if let Err(error) = &cookies {
            tracing::error!(session = session.id().short(), %error, "a renewed session does not fit into cookies");
        }
        // What does not fit stays in the store, where every request finds it.
        Ok((opened, cookies.unwrap_or_default()))
    }
}

impl Mood {
    /// Whether the provider did not answer a moment ago. (A clock that is set back makes no moment
    /// longer.)
    fn is_left_alone(&self, now: Timestamp) -> bool {
        let until = Timestamp::from_unix(self.back_off_until.load(Ordering::Relaxed));
        now < until && until.since(now) <= BACK_OFF
    }

    /// Whether it may be asked. Where it did not answer, one tries whether it does again, and the
    /// others need not wait for that.
    fn may_ask(&self, now: Timestamp) -> bool {
        let until = self.back_off_until.load(Ordering::Relaxed);
        let next = now.plus(BACK_OFF).as_unix();
        let relaxed = Ordering::Relaxed;
        until == 0
            || (!self.is_left_alone(now) && self.back_off_until.compare_exchange(until, next, relaxed, relaxed).is_ok())
    }
}

impl Vouching<'_> {
    fn name(&self) -> &str {
        &self.provider.settings().name
    }

    fn answers(&self) {
        if self.mood.back_off_until.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!(provider = self.name(), "the provider answers again, and sessions are renewed");
        }
    }

    /// Loud where it begins, and for as long as only an operator can mend it.
    fn outage(&self, session: &Session<'_>, error: &RefreshError, now: Timestamp) {
        let begins = self.mood.back_off_until.swap(now.plus(BACK_OFF).as_unix(), Ordering::Relaxed) == 0;
        let (session, provider) = (session.id().short(), self.name());
        if error.is_misconfiguration() {
            tracing::error!(session, provider, %error, "no session can be renewed as we are registered; they go on for a while");
        } else if begins {
            tracing::warn!(session, provider, %error, "the session could not be renewed; it goes on for a while, like all others");
        } else {
            tracing::debug!(session, provider, %error, "the session could not be renewed either");
        }
    }
}

fn store_is_down(error: &StoreError) -> Failure {
    tracing::warn!(%error, "the store cannot be asked about a session's renewal");
    Failure::Outage(NoSession::StoreDown)
}
