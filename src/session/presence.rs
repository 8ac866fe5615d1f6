//! What outlives the check at its beginning: a WebSocket, an event stream, a download.
//!
//! Called by `server/live`. A connection keeps [`Held`], what its session's cookie opened to, and is
//! asked about again and again: [`Sessions::is_over`]. A cookie says when its session was seen, to
//! within a minute, and a connection that is open has the cookie of its beginning: what its person
//! did since is noted here, and once a minute in the store, where other replicas and the next
//! request find it.

use super::{NoSession, OpenedSession, Session, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::random::Random;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a live connection keeps of the session that it belongs to.
#[derive(Debug)]
pub struct Held {
    pub(super) opened: Arc<OpenedSession>,
    id: SessionId,
    /// When the person sent the request that the connection carries.
    pub(super) last_seen: Timestamp,
    ends_at: Timestamp,
    /// What is true of the session once it has ended by itself.
    by_itself: NoSession,
}

impl Held {
    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What its cookie opened to.
    pub fn opened(&self) -> &Arc<OpenedSession> {
        &self.opened
    }

    /// What is said of its person. Whether it is over is another question: [`Sessions::is_over`].
    ///
    /// # Errors
    /// Never in fact: it was read before it was held.
    pub fn session(&self) -> Result<Session<'_>, NoSession> {
        self.opened.read()
    }
}

impl Sessions {
    /// What a connection keeps that carries a request of `now`.
    pub fn held(&self, opened: Arc<OpenedSession>, now: Timestamp) -> Option<Held> {
        let session = opened.read().ok()?;
        let (id, last_seen, ends_at) = (session.id(), now.max(session.last_seen()), self.ends_at(&session));
        let lifetime = session.started().plus(self.settings.lifetime);
        let by_itself = if ends_at < lifetime { NoSession::SignInTooOld } else { NoSession::Expired };
        Some(Held { opened, id, last_seen, ends_at, by_itself })
    }

    /// Whether a session is over by now, and why. A clock that was set back ends nothing.
    pub fn is_over(&self, held: &Held, now: Timestamp) -> Option<NoSession> {
        let idle = |last_seen| now.since(last_seen) >= self.settings.idle;
        if self.is_revoked(held) {
            Some(NoSession::Ended)
        } else if now >= held.ends_at {
            Some(held.by_itself)
        } else if idle(held.last_seen) && self.presence.of(held.id).is_none_or(idle) {
            Some(NoSession::Idle)
        } else if self.following.is_lost(&self.on_down, now) {
            Some(NoSession::StoreDown)
        } else {
            None
        }
    }

    /// Whether a session was ended before its time.
    pub fn is_revoked(&self, held: &Held) -> bool {
        self.revoked.holds(held.id)
            || (self.revoked.any_by_name() && held.opened.read().is_ok_and(|session| self.was_ended(&session)))
    }

    /// Notes that the person of a session did something at this moment: sent a request (noted when
    /// its cookie is renewed), or data on a WebSocket. Whether it is time to tell the store:
    /// [`Self::share_presence`]. Once a minute at most, also where a program sends the same old
    /// cookie with every request.
    pub fn was_present(&self, id: SessionId, at: Timestamp) -> bool {
        self.presence.note(id, at, self.settings.renewal_interval())
    }

    /// Tells the store, for other replicas and for the next request, whose cookie knows nothing of
    /// what went over a WebSocket.
    pub async fn share_presence(&self, id: SessionId, at: Timestamp, random: &dyn Random) {
        let listed = self.listed_one(id, at).await;
        let outcome = match listed {
            Ok(Some(listed)) => self.list(&listed.seen(at), at, random).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::debug!(session = id.short(), %error, "the store was not told that somebody is there");
        }
    }
}

/// Below this many entries it is not worth looking for those that are too old.
const FEW: usize = 1024;

pub(super) struct Presence {
    idle: Duration,
    seen: Mutex<Seen>,
}

struct Moments {
    last: Timestamp,
    /// When the store was told.
    shared: Timestamp,
}

struct Seen {
    last: HashMap<SessionId, Moments>,
    /// At how many entries the old ones are taken out: as many as people come within the idle
    /// limit stay, about 40 bytes each.
    full: usize,
}

impl Presence {
    pub(super) fn new(idle: Duration) -> Self {
        Self { idle, seen: Mutex::new(Seen { last: HashMap::new(), full: FEW }) }
    }

    fn note(&self, id: SessionId, at: Timestamp, share_every: Duration) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.last.contains_key(&id);
        let moments = seen.last.entry(id).or_insert(Moments { last: at, shared: at });
        moments.last = at.max(moments.last);
        let share = !known || at.since(moments.shared) >= share_every;
        if share {
            moments.shared = at;
        }
        if seen.last.len() >= seen.full {
            seen.last.retain(|_, moments| at.since(moments.last) < self.idle);
            seen.full = FEW.max(2 * seen.last.len());
        }
        share
    }

    pub(super) fn of(&self, id: SessionId) -> Option<Timestamp> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last.get(&id).map(|moments| moments.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_moment_counts_and_what_is_older_than_the_idle_limit_is_forgotten() {
        let presence = Presence::new(Duration::from_secs(60));
        let id = |number: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            SessionId(id)
        };
        let at = Timestamp::from_unix;
        let minute = Duration::from_secs(60);
        assert!(presence.note(id(0), at(100), minute));
        assert!(!presence.note(id(0), at(90), minute));
        assert_eq!((presence.of(id(0)), presence.of(id(1))), (Some(at(100)), None));
        (1..1100).for_each(|number| assert!(presence.note(id(number), at(200), minute)));
        assert_eq!((presence.of(id(0)), presence.of(id(1))), (None, Some(at(200))));
        // The store is told at once, and then once a minute.
        let told = [259, 260, 300, 319, 320].map(|now| presence.note(id(1), at(now), minute));
        assert_eq!(told, [false, true, false, false, true]);
    }
}
