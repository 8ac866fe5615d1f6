//! The sessions that ended before their time: this process's own copy of the list.
//!
//! Called by [`super::Sessions`] on every request that has a session, so it answers from memory. A
//! sealed cookie is as good as its limits say; this is what makes the end of a session final for
//! every copy of it. What is put in here and not by [`super::Sessions::revoke`] came from the
//! store: another replica said it.

use super::SessionId;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// What is over.
///
/// Written with postcard into the store: the order is the format, and it may only grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revocation<'a> {
    /// One session.
    Session(SessionId),
    /// All of a person's that began up to a moment, on all their devices.
    Person {
        /// The configured name of the provider.
        provider: Cow<'a, str>,
        /// `sub`.
        subject: Cow<'a, str>,
        /// Sessions that began later are others.
        begun_until: Timestamp,
    },
    /// All that began up to a moment within one session at the provider (`sid`).
    ProviderSession {
        /// The configured name of the provider.
        provider: Cow<'a, str>,
        /// `sid`.
        sid: Cow<'a, str>,
        /// A provider may go on with a session that it says has ended; whoever signs in again from
        /// there must not be turned away for ever.
        begun_until: Timestamp,
    },
}

/// Many small locks instead of one that every request meets at.
const SHARDS: usize = 64;

/// By provider, of which there are few, then by what it calls the person or the session. Looked up
/// without allocating.
type Named = Vec<(Box<str>, HashMap<Box<str>, Begun>)>;

/// By session. A name is random: its last bytes are as good a hash as any, and nobody but us
/// chooses them. (The first one says in which shard it is.)
type ById = HashMap<SessionId, Timestamp, BuildHasherDefault<LastBytes>>;

#[derive(Debug, Default)]
struct LastBytes(u64);

impl Hasher for LastBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_ne_bytes(*last);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(super) struct Revoked {
    sessions: [RwLock<ById>; SHARDS],
    people: RwLock<Named>,
    provider_sessions: RwLock<Named>,
    /// Spare the everyday request the look-ups while there is nothing to be found.
    any_session: AtomicUsize,
    any_person: AtomicUsize,
    any_provider_session: AtomicUsize,
}

/// The sessions of somebody that began up to `begun_until` are over; kept until `until`.
#[derive(Clone, Copy, Debug)]
struct Begun {
    begun_until: Timestamp,
    until: Timestamp,
}

impl Default for Revoked {
    fn default() -> Self {
        Self {
            sessions: std::array::from_fn(|_| RwLock::default()),
            people: RwLock::default(),
            provider_sessions: RwLock::default(),
            any_session: AtomicUsize::new(0),
            any_person: AtomicUsize::new(0),
            any_provider_session: AtomicUsize::new(0),
        }
    }
}

impl Revoked {
    /// Keeps `revocation` until then: when every session that it is about has ended by itself.
    /// Whether it says anything new.
    pub(super) fn insert(&self, revocation: &Revocation<'_>, until: Timestamp) -> bool {
        match revocation {
            Revocation::Session(id) => {
                let mut shard = write(self.shard(*id));
                let held = shard.get(id).copied();
                let latest = held.map_or(until, |held| held.max(until));
                shard.insert(*id, latest);
                if held.is_none() {
                    self.any_session.fetch_add(1, Ordering::Release);
                }
                held.is_none()
            }
            Revocation::Person { provider, subject, begun_until } => {
                let begun = Begun { begun_until: *begun_until, until };
                insert(&mut write(&self.people), &self.any_person, (provider, subject), begun)
            }
            Revocation::ProviderSession { provider, sid, begun_until } => {
                let begun = Begun { begun_until: *begun_until, until };
                insert(&mut write(&self.provider_sessions), &self.any_provider_session, (provider, sid), begun)
            }
        }
    }

    /// Whether a session is over by any of the revocations. `person` is provider and `sub`.
    pub(super) fn covers(
        &self,
        id: SessionId,
        (provider, subject): (&str, &str),
        sid: Option<&str>,
        started: Timestamp,
    ) -> bool {
        self.holds(id)
            || (self.any_person.load(Ordering::Acquire) > 0
                && covers(&read(&self.people), (provider, subject), started))
            || (self.any_provider_session.load(Ordering::Acquire) > 0
                && sid.is_some_and(|sid| covers(&read(&self.provider_sessions), (provider, sid), started)))
    }

    /// The first moment, from `now` on, at which a session of this person can begin that is covered by
    /// none of the revocations that are known here.
    pub(super) fn first_moment_after(&self, person: (&str, &str), sid: Option<&str>, now: Timestamp) -> Timestamp {
        let of_person = begun_until(&read(&self.people), person);
        let of_session = sid.and_then(|sid| begun_until(&read(&self.provider_sessions), (person.0, sid)));
        let until = of_person.into_iter().chain(of_session).max();
        until.map_or(now, |until| now.max(until.plus(Duration::from_secs(1))))
    }

    /// Whether there is anything that is not by a session's own name.
    pub(super) fn any_by_name(&self) -> bool {
        self.any_person.load(Ordering::Acquire) > 0 || self.any_provider_session.load(Ordering::Acquire) > 0
    }

    /// Whether the session of this name was ended.
    pub(super) fn holds(&self, id: SessionId) -> bool {
        self.any_session.load(Ordering::Acquire) > 0 && read(self.shard(id)).contains_key(&id)
    }

    /// Forgets what can be about no live session any more.
    pub(super) fn sweep(&self, now: Timestamp) {
        for shard in &self.sessions {
            let mut shard = write(shard);
            let before = shard.len();
            shard.retain(|_, until| *until > now);
            self.any_session.fetch_sub(before - shard.len(), Ordering::Release);
            if shard.capacity() > 4 * shard.len().max(64) {
                shard.shrink_to_fit();
            }
        }
        sweep(&mut write(&self.people), &self.any_person, now);
        sweep(&mut write(&self.provider_sessions), &self.any_provider_session, now);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        [&self.any_session, &self.any_person, &self.any_provider_session]
            .map(|count| count.load(Ordering::Acquire))
            .iter()
            .sum()
    }

    fn shard(&self, id: SessionId) -> &RwLock<ById> {
        // The bytes are random: any of them is as good as a hash.
        let [first, ..] = id.0;
        let [zeroth, ..] = &self.sessions;
        self.sessions.get(usize::from(first) % SHARDS).unwrap_or(zeroth)
    }
}

/// Widens what is held; says whether it was narrower, or not there.
fn insert(named: &mut Named, count: &AtomicUsize, (provider, name): (&str, &str), new: Begun) -> bool {
    if !named.iter().any(|(held, _)| **held == *provider) {
        named.push((provider.into(), HashMap::new()));
    }
    let Some((_, of_provider)) = named.iter_mut().find(|(held, _)| **held == *provider) else { return false };
    let held = of_provider.get(name).copied();
    let wider = held.map_or(new, |held| Begun {
        begun_until: held.begun_until.max(new.begun_until),
        until: held.until.max(new.until),
    });
    if of_provider.insert(name.into(), wider).is_none() {
        count.fetch_add(1, Ordering::Release);
    }
    held.is_none_or(|held| held.begun_until < new.begun_until)
}

fn covers(named: &Named, of: (&str, &str), started: Timestamp) -> bool {
    begun_until(named, of).is_some_and(|until| started <= until)
}

fn begun_until(named: &Named, (provider, name): (&str, &str)) -> Option<Timestamp> {
    let of_provider = named.iter().find(|(held, _)| **held == *provider);
    of_provider.and_then(|(_, of_provider)| of_provider.get(name)).map(|held| held.begun_until)
}

fn sweep(named: &mut Named, count: &AtomicUsize, now: Timestamp) {
    for (_, held) in named.iter_mut() {
        let before = held.len();
        held.retain(|_, begun| begun.until > now);
        count.fetch_sub(before - held.len(), Ordering::Release);
    }
    named.retain(|(_, held)| !held.is_empty());
}

/// A panic elsewhere while a lock was held leaves a map that is whole: each change is one insert.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Timestamp = Timestamp::from_unix;

    fn id(byte: u8) -> SessionId {
        SessionId([byte; 16])
    }

    fn person<'a>(provider: &'a str, subject: &'a str, begun_until: u64) -> Revocation<'a> {
        Revocation::Person { provider: provider.into(), subject: subject.into(), begun_until: AT(begun_until) }
    }

    fn provider_session<'a>(provider: &'a str, sid: &'a str) -> Revocation<'a> {
        Revocation::ProviderSession { provider: provider.into(), sid: sid.into(), begun_until: AT(99) }
    }

    #[test]
    fn each_revocation_is_about_what_it_names_and_nothing_else() {
        // (what is revoked; name, provider, sub, sid and beginning of a session; whether it is over)
        let cases = [
            (Revocation::Session(id(1)), (1, "p", "s", Some("x"), 50), true),
            (Revocation::Session(id(1)), (2, "p", "s", Some("x"), 50), false),
            (person("p", "s", 50), (1, "p", "s", None, 49), true),
            (person("p", "s", 50), (1, "p", "s", None, 50), true),
            (person("p", "s", 50), (1, "p", "s", None, 51), false),
            (person("p", "s", 50), (1, "q", "s", None, 49), false),
            (person("p", "s", 50), (1, "p", "t", None, 49), false),
            // A name is no other kind of name.
            (person("p", "x", 50), (1, "p", "s", Some("x"), 49), false),
            (provider_session("p", "x"), (1, "p", "s", Some("x"), 99), true),
            (provider_session("p", "x"), (1, "p", "s", Some("x"), 100), false),
            (provider_session("p", "x"), (1, "p", "x", None, 99), false),
            (provider_session("p", "x"), (1, "q", "s", Some("x"), 99), false),
            (provider_session("p", "x"), (1, "p", "s", Some("y"), 99), false),
        ];
        for (revocation, (name, provider, subject, sid, started), expected) in cases {
            let revoked = Revoked::default();
            let covers = |revoked: &Revoked| revoked.covers(id(name), (provider, subject), sid, AT(started));
            assert!(!covers(&revoked));
            assert!(revoked.insert(&revocation, AT(100)));
            assert_eq!(covers(&revoked), expected, "{revocation:?} {name} {provider} {subject} {sid:?} {started}");
            assert_eq!(revoked.len(), 1);
        }
    }

    #[test]
    fn hearing_something_again_changes_nothing_and_a_later_moment_counts() {
        let revoked = Revoked::default();
        let over = |started| revoked.covers(id(1), ("p", "s"), None, AT(started));
        assert!(revoked.insert(&person("p", "s", 50), AT(100)));
        assert!(!revoked.insert(&person("p", "s", 50), AT(100)));
        assert!(!revoked.insert(&person("p", "s", 40), AT(100)), "an earlier moment says less");
        assert!(over(50) && !over(51));
        assert!(revoked.insert(&person("p", "s", 60), AT(110)));
        assert!(over(60) && !over(61));
        assert!(revoked.insert(&Revocation::Session(id(2)), AT(100)));
        assert!(!revoked.insert(&Revocation::Session(id(2)), AT(100)));
        assert_eq!(revoked.len(), 2);
    }

    #[test]
    fn what_can_be_about_no_live_session_is_forgotten_and_nothing_before_that() {
        let revoked = Revoked::default();
        for (number, until) in [(1, 100), (2, 200)] {
            revoked.insert(&Revocation::Session(id(number)), AT(until));
            revoked.insert(&person("p", &number.to_string(), 50), AT(until));
            revoked.insert(&provider_session("p", &number.to_string()), AT(until));
        }
        revoked.sweep(AT(99));
        assert_eq!(revoked.len(), 6);
        revoked.sweep(AT(100));
        assert_eq!(revoked.len(), 3);
        assert!(!revoked.holds(id(1)) && revoked.holds(id(2)));
        assert!(revoked.covers(id(9), ("p", "2"), None, AT(1)) && !revoked.covers(id(9), ("p", "1"), None, AT(1)));
        // Heard again with a later end, it stays as long as that says.
        revoked.insert(&Revocation::Session(id(2)), AT(300));
        revoked.sweep(AT(250));
        assert_eq!((revoked.len(), revoked.holds(id(2))), (1, true));
        revoked.sweep(AT(300));
        assert_eq!(revoked.len(), 0);
    }
}
