//! What has ended, here and on every other replica.
//!
//! [`Sessions::revoke`] ends something: in force here at once, and announced in the store.
//! [`Sessions::follow`] runs as long as the server and hears what the others announce. The
//! everyday request asks neither: it looks at the copy in [`super::revoked`].

use super::{Listed, Revocation, SessionId, Sessions};
use crate::clock::{Clock, Timestamp};
use crate::store::{Cursor, OnDown, StoreError, WhenDown};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long one question to the store waits for news.
const WAIT: Duration = Duration::from_secs(5);
/// Between two questions that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Between two sweeps of what can be about no live session any more.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// For how long a session that is over may still be taken for live by a replica's late clock.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// An announcement. Written with postcard: the order is the format.
#[derive(Debug, Serialize, Deserialize)]
struct Announcement<'a> {
    until: Timestamp,
    #[serde(borrow)]
    revocation: Revocation<'a>,
}

/// Of whom a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The provider that vouched for them.
    pub provider: String,
    /// Their `sub`.
    pub subject: String,
}

/// Takes in an announcement that is not about sessions; whether it was.
pub(super) type OtherNews = Box<dyn Fn(&[u8], Timestamp) -> bool + Send + Sync>;

/// How it stands with the store's news.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// Since when there has been no word from the store, in Unix seconds; 0 while there is.
    silent_since: AtomicU64,
    /// What could not be announced yet.
    unsent: Mutex<Vec<(Vec<u8>, Timestamp)>>,
    cursor: Mutex<Cursor>,
}

impl Following {
    /// Whether sessions may no longer be trusted to be alive, for want of news.
    pub(super) fn is_lost(&self, on_down: &OnDown, now: Timestamp) -> bool {
        let since = self.silent_since.load(Ordering::Relaxed);
        since != 0
            && match on_down.sessions {
                WhenDown::Refuse => true,
                WhenDown::Keep => now.since(Timestamp::from_unix(since)) >= on_down.keep_for,
            }
    }

    /// Whether the store is known to be out of reach.
    pub(super) fn is_silent(&self) -> bool {
        self.silent_since.load(Ordering::Relaxed) != 0
    }

    fn unsent(&self) -> std::sync::MutexGuard<'_, Vec<(Vec<u8>, Timestamp)>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Ends what `revocation` names, for good: cookies of it open nothing any more, wherever a copy
    /// is, and its live connections are cut. In force in this process when this is called, and in
    /// all within a second of its return.
    ///
    /// # Errors
    /// When the store could not be told yet: in force here all the same, and announced as soon as
    /// it can be.
    pub async fn revoke(&self, revocation: &Revocation<'_>, now: Timestamp) -> Result<(), StoreError> {
        let until = now.plus(self.settings.lifetime).plus(CLOCK_SKEW);
        let is_news = self.revoked.insert(revocation, until);
        if is_news {
            self.endings.send_modify(|count| *count = count.wrapping_add(1));
        } else if self.following.unsent().is_empty() {
            // Everybody knows. Saying it again would let a stranger with a dead cookie fill the log.
            return Ok(());
        }
        let announcement = Announcement { until, revocation: revocation.clone() };
        let entry = postcard::to_stdvec(&announcement).map_err(|cause| StoreError::Corrupt(cause.to_string()))?;
        if let Err(error) = self.store.announce(&entry, until, now).await {
            // What is no news waits there already.
            if is_news {
                self.following.unsent().push((entry, until));
            }
            return Err(error);
        }
        Ok(())
    }

    /// Ends one session and takes what the store holds of it away.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub async fn end(&self, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
        let stored = if self.departures.get().is_some() { self.stored_one(id, now).await } else { Ok(None) };
        let revoked = self.revoke(&Revocation::Session(id), now).await;
        self.tell(id);
        // What is left ends by itself, and nobody sees it: it was revoked.
        let forgotten = match revoked {
            Ok(()) => self.forget(id, now).await,
            failed => failed,
        };
        // Of two that end at once on two replicas, one finds that the other is gone.
        self.tell_departures(stored.iter().flatten());
        forgotten
    }

    /// Ends every session of a person's that began up to `begun_until`: all, when that is now.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub async fn end_person(
        &self,
        provider: &str,
        subject: &str,
        begun_until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stored = self.stored_of(provider, subject, now).await;
        let revocation =
            Revocation::Person { provider: Cow::Borrowed(provider), subject: Cow::Borrowed(subject), begun_until };
        self.end_stored(stored, &revocation, begun_until, now).await
    }

    /// Ends every session that began up to `begun_until` within one session at the provider.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub async fn end_provider_session(
        &self,
        provider: &str,
        sid: &str,
        begun_until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stored = self.stored_within(provider, sid, now).await;
        let revocation =
            Revocation::ProviderSession { provider: Cow::Borrowed(provider), sid: Cow::Borrowed(sid), begun_until };
        self.end_stored(stored, &revocation, begun_until, now).await
    }

    /// Revokes, and takes away what the store holds of the sessions that this ends: those that it
    /// knows of. One that it does not is over all the same, and what is left of it ends by itself.
    async fn end_stored(
        &self,
        stored: Result<Vec<Listed>, StoreError>,
        revocation: &Revocation<'_>,
        begun_until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let revoked = self.revoke(revocation, now).await;
        let is_ended = |listed: &&Listed| listed.started <= begun_until;
        let ended: Vec<&Listed> = stored.iter().flatten().filter(is_ended).collect();
        for listed in &ended {
            self.tell(listed.id);
        }
        let mut forgotten = revoked;
        for listed in &ended {
            if forgotten.is_ok() {
                forgotten = self.forget(listed.id, now).await;
            }
        }
        self.tell_departures(ended.iter().copied());
        forgotten
    }

    fn tell_departures<'l>(&self, ended: impl Iterator<Item = &'l Listed>) {
        let Some(listener) = self.departures.get() else { return };
        for listed in ended {
            let departure = Departure { provider: listed.provider.clone(), subject: listed.subject.clone() };
            // Nobody listens while shutting down.
            let _ = listener.send(departure);
        }
    }

    /// Tells `listener` of whom a session was ended from this process from now on. They may have others.
    /// One alone may listen.
    pub fn tell_departures_to(&self, listener: mpsc::UnboundedSender<Departure>) {
        let _ = self.departures.set(listener);
    }

    /// Hands what is announced and is not about sessions to `listener`, which says whether it was its. One
    /// alone may listen.
    pub fn hand_other_news_to(&self, listener: impl Fn(&[u8], Timestamp) -> bool + Send + Sync + 'static) {
        let _ = self.other_news.set(Box::new(listener));
    }

    fn tell(&self, id: SessionId) {
        // Nobody listens in tests, and while shutting down.
        let _ = self.ended.get().map(|listener| listener.send(id));
    }

    /// Tells `listener` the names of sessions that are ended from this process from now on, for
    /// whoever has to clean up behind them. One alone may listen: a second one hears nothing.
    pub fn tell_ends_to(&self, listener: mpsc::UnboundedSender<SessionId>) {
        let _ = self.ended.set(listener);
    }

    /// Whether the session has ended since it was read: a response that began before the
    /// sign-out must not bring its cookie back.
    pub fn has_ended(&self, id: SessionId) -> bool {
        self.revoked.holds(id)
    }

    /// Changes whenever something ends before its time, or is renewed here: for connections that
    /// outlive the check at their beginning.
    pub fn endings(&self) -> watch::Receiver<u64> {
        self.endings.subscribe()
    }

    /// Whether there is no word from the store at present.
    pub fn store_is_silent(&self) -> bool {
        self.following.silent_since.load(Ordering::Relaxed) != 0
    }

    /// How many revocations are held.
    pub fn revocations(&self) -> usize {
        self.revoked.len()
    }

    /// Hears all that was announced before, so that the first request already knows it.
    pub async fn catch_up(&self, clock: &Clock) {
        while self.hear(Duration::ZERO, clock).await == Heard::News {}
    }

    /// Hears what is announced, for ever.
    pub async fn follow(&self, clock: &Clock) {
        let mut swept = clock.now();
        loop {
            self.send_unsent(clock).await;
            if self.hear(WAIT, clock).await == Heard::Silence {
                tokio::time::sleep(RETRY).await;
            }
            let now = clock.now();
            if now.since(swept) >= SWEEP_EVERY {
                self.revoked.sweep(now);
                swept = now;
            }
        }
    }

    async fn hear(&self, wait: Duration, clock: &Clock) -> Heard {
        let cursor = self.following.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.store.announced(&cursor, wait, clock.now()).await {
            Ok((entries, next)) => {
                // What has ended is passed over: nothing to be told, and more may follow.
                let is_end = entries.is_empty() && next == cursor;
                *self.following.cursor.lock().unwrap_or_else(PoisonError::into_inner) = next;
                let silent_since = self.following.silent_since.swap(0, Ordering::Relaxed);
                if silent_since != 0 {
                    let seconds = clock.now().since(Timestamp::from_unix(silent_since)).as_secs();
                    tracing::info!(seconds, "the store is back, and nothing that was announced is missing");
                }
                let mut news = false;
                for entry in &entries {
                    if self.other_news.get().is_some_and(|listener| listener(entry, clock.now())) {
                        continue;
                    }
                    match postcard::from_bytes::<Announcement<'_>>(entry) {
                        Ok(announcement) => news |= self.revoked.insert(&announcement.revocation, announcement.until),
                        // A newer version's: what it says cannot be known, and is not for us.
                        Err(_) => tracing::warn!("the store announced something that this version does not know"),
                    }
                }
                if news {
                    self.endings.send_modify(|count| *count = count.wrapping_add(1));
                }
                if is_end { Heard::Nothing } else { Heard::News }
            }
            Err(error) => {
                let now = clock.now().as_unix().max(1);
                let began = self.following.silent_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
                if began.is_ok() {
                    tracing::error!(
                        %error,
                        sessions = ?self.on_down.sessions,
                        keep_for = ?self.on_down.keep_for,
                        "no word from the store: what other replicas end is not known here (on_store_down)"
                    );
                }
                Heard::Silence
            }
        }
    }

    async fn send_unsent(&self, clock: &Clock) {
        let now = clock.now();
        let mut unsent = std::mem::take(&mut *self.following.unsent());
        while let Some((entry, until)) = unsent.pop() {
            if until > now && self.store.announce(&entry, until, now).await.is_err() {
                unsent.push((entry, until));
                self.following.unsent().append(&mut unsent);
                return;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    News,
    Nothing,
    Silence,
}
