//! The store that is this process's memory: bounded, and gone when the process ends.
//!
//! The default. With one process nobody else announces anything, yet the log is a real one, so
//! that two gates over one of these behave as two replicas do. Where it is full the longest unused
//! goes first; it must never grow beyond its bounds, which anybody who can sign in could use.

use super::places::{Claim, Claimed, Places};
use super::{Cursor, Key, MAX_BATCH, MAX_ENTRY_LEN, MAX_VALUE_LEN, Store, StoreError, within};
use crate::clock::Timestamp;
use async_trait::async_trait;
use moka::Entry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Values and their keys take about this many bytes at most: room for 30,000 sessions with all
/// their tokens (4 KiB), or a million small entries.
const VALUES: u64 = 128 * 1024 * 1024;
/// Indexes take about this many bytes at most.
const INDEXES: u64 = 32 * 1024 * 1024;
/// The log takes about this many bytes at most, then the oldest entries go. Whoever announces in
/// this process has heard of it already.
const LOG: usize = 16 * 1024 * 1024;
/// What an entry takes besides its bytes, roughly.
const OVERHEAD: usize = 128;
/// moka removes what nobody asks for; the clock that decides is the caller's, so it may be late.
const CLEANUP_AFTER: Duration = Duration::from_secs(60);
/// moka refuses to keep anything for longer than 1000 years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// See the module.
pub(super) struct MemoryStore {
    values: Cache<Key, Value>,
    indexes: Cache<Key, Index>,
    /// Never thrown away for want of room, or there would be more places than there are: whoever claims
    /// one bounds them.
    places: Mutex<HashMap<Key, Places>>,
    log: Mutex<Log>,
    /// The number of the latest announcement.
    latest: watch::Sender<u64>,
}

#[derive(Clone)]
struct Value {
    bytes: Arc<[u8]>,
    until: Timestamp,
    /// Until the end, from when it was put: for moka.
    span: Duration,
}

/// Members and their ends.
#[derive(Clone)]
struct Index {
    members: Arc<BTreeMap<Vec<u8>, Timestamp>>,
    span: Duration,
}

#[derive(Default)]
struct Log {
    entries: VecDeque<(u64, Timestamp, Vec<u8>)>,
    weight: usize,
}

impl MemoryStore {
    pub(super) fn new() -> Self {
        Self {
            values: Cache::builder()
                .max_capacity(VALUES)
                .weigher(|key: &Key, value: &Value| weight(key, value.bytes.len()))
                // moka's own choice keeps what is asked for often and refuses what is new.
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(AfterItsEnd)
                .build(),
            indexes: Cache::builder()
                .max_capacity(INDEXES)
                .weigher(|key: &Key, index: &Index| {
                    weight(key, index.members.keys().map(|member| member.len() + OVERHEAD).sum())
                })
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(AfterItsEnd)
                .build(),
            places: Mutex::default(),
            log: Mutex::default(),
            latest: watch::Sender::new(0),
        }
    }

    /// Puts a value, or removes what is there where it would have ended already; where `only_new`,
    /// only if nothing is there. Says whether it did.
    fn place(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp, only_new: bool) -> bool {
        let mut placed = false;
        self.values.entry_by_ref(key).and_compute_with(|there| {
            let free = !only_new || live(there, now).is_none();
            placed = free && until > now;
            if placed {
                Op::Put(Value { bytes: value.into(), until, span: until.since(now) })
            } else if free {
                Op::Remove
            } else {
                Op::Nop
            }
        });
        placed
    }

    /// Changes the members of an index that have not ended.
    fn change(&self, index: &Key, now: Timestamp, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Timestamp>)) {
        self.indexes.entry_by_ref(index).and_compute_with(|there| {
            let mut members = there.map_or_else(BTreeMap::new, |entry| (*entry.into_value().members).clone());
            members.retain(|_, until| *until > now);
            change(&mut members);
            match members.values().max() {
                Some(last) => Op::Put(Index { span: last.since(now), members: Arc::new(members) }),
                None => Op::Remove,
            }
        });
    }

    /// Changes a set of places that has those whose end has not come.
    fn change_places<T>(&self, places: &Key, now: Timestamp, change: impl FnOnce(&mut Places) -> T) -> T {
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut set = all.remove(places).unwrap_or_default();
        set.sweep(now);
        let outcome = change(&mut set);
        if !set.is_empty() {
            all.insert(places.clone(), set);
        }
        outcome
    }

    /// What follows `last` in the log.
    fn after(&self, last: u64, now: Timestamp) -> (Vec<Vec<u8>>, u64) {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let from = log.entries.partition_point(|(number, ..)| *number <= last);
        let news = || log.entries.range(from..).take(MAX_BATCH);
        let last = news().next_back().map_or(last, |(number, ..)| *number);
        (news().filter(|(_, until, _)| *until > now).map(|(.., entry)| entry.clone()).collect(), last)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.values.get(key).filter(|value| value.until > now).map(|value| value.bytes.to_vec()))
    }

    async fn put(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_VALUE_LEN, value)?;
        self.place(key, value, until, now, false);
        Ok(())
    }

    async fn put_new(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        within(MAX_VALUE_LEN, value)?;
        Ok(self.place(key, value, until, now, true))
    }

    async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        within(MAX_VALUE_LEN, value)?;
        let mut replaced = false;
        self.values.entry_by_ref(key).and_compute_with(|there| {
            replaced = live(there, now).is_some_and(|value| *value.bytes == *expected);
            match replaced {
                true if until > now => Op::Put(Value { bytes: value.into(), until, span: until.since(now) }),
                true => Op::Remove,
                false => Op::Nop,
            }
        });
        Ok(replaced)
    }

    async fn take(&self, key: &Key, expected: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        let mut taken = false;
        self.values.entry_by_ref(key).and_compute_with(|there| {
            taken = live(there, now).is_some_and(|value| *value.bytes == *expected);
            if taken { Op::Remove } else { Op::Nop }
        });
        Ok(taken)
    }

    async fn delete(&self, key: &Key, _now: Timestamp) -> Result<(), StoreError> {
        self.values.invalidate(key);
        Ok(())
    }

    async fn index_add(&self, index: &Key, member: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_ENTRY_LEN, member)?;
        self.change(index, now, |members| {
            if until > now {
                members.insert(member.to_vec(), until);
            } else {
                members.remove(member);
            }
        });
        Ok(())
    }

    async fn index_remove(&self, index: &Key, member: &[u8], now: Timestamp) -> Result<(), StoreError> {
        self.change(index, now, |members| {
            members.remove(member);
        });
        Ok(())
    }

    async fn index_members(&self, index: &Key, now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        let members = self.indexes.get(index).map(|index| index.members).unwrap_or_default();
        Ok(members.iter().filter(|(_, until)| **until > now).map(|(member, _)| member.clone()).collect())
    }

    async fn claim_place(&self, places: &Key, claim: &Claim<'_>, now: Timestamp) -> Result<Claimed, StoreError> {
        within(MAX_ENTRY_LEN, claim.member)?;
        Ok(self.change_places(places, now, |set| set.claim(claim, now)))
    }

    async fn extend_places(
        &self,
        places: &Key,
        members: &[(Vec<u8>, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let extend = |set: &mut Places| members.iter().map(|(member, until)| set.extend(member, *until)).collect();
        Ok(self.change_places(places, now, extend))
    }

    async fn free_place(&self, places: &Key, member: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.change_places(places, now, |set| set.free(member)))
    }

    async fn places(&self, places: &Key, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp)>, StoreError> {
        let held = |set: &mut Places| set.held(now).map(|(member, until)| (member.clone(), until)).collect();
        Ok(self.change_places(places, now, held))
    }

    async fn announce(&self, entry: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_ENTRY_LEN, entry)?;
        if until <= now {
            return Ok(());
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.weight += entry.len() + OVERHEAD;
        let number = *self.latest.borrow() + 1;
        log.entries.push_back((number, until, entry.to_vec()));
        while log.entries.front().is_some_and(|(_, until, _)| *until <= now || log.weight > LOG) {
            log.weight -= log.entries.pop_front().map_or(0, |(.., entry)| entry.len() + OVERHEAD);
        }
        // Under the lock, so that numbers rise in the order of the log.
        self.latest.send_replace(number);
        Ok(())
    }

    async fn announced(
        &self,
        cursor: &Cursor,
        wait: Duration,
        now: Timestamp,
    ) -> Result<(Vec<Vec<u8>>, Cursor), StoreError> {
        let (last, _) = cursor.last;
        let mut latest = self.latest.subscribe();
        // Where it takes too long there is no news: the log says so itself.
        let _ = tokio::time::timeout(wait, latest.wait_for(|latest| *latest > last)).await;
        let (entries, last) = self.after(last, now);
        Ok((entries, Cursor { last: (last, 0), connection: 0 }))
    }
}

/// The value of an entry whose end has not come.
fn live(entry: Option<Entry<Key, Value>>, now: Timestamp) -> Option<Value> {
    entry.map(Entry::into_value).filter(|value| value.until > now)
}

fn weight(key: &Key, len: usize) -> u32 {
    u32::try_from(key.id.len() + len + OVERHEAD).unwrap_or(u32::MAX)
}

/// Lets moka forget what has ended, some time after.
struct AfterItsEnd;

fn cleanup(span: Duration) -> Duration {
    span.min(LONGEST) + CLEANUP_AFTER
}

impl moka::Expiry<Key, Value> for AfterItsEnd {
    fn expire_after_create(&self, _: &Key, value: &Value, _: Instant) -> Option<Duration> {
        Some(cleanup(value.span))
    }

    fn expire_after_update(&self, _: &Key, value: &Value, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(cleanup(value.span))
    }
}

impl moka::Expiry<Key, Index> for AfterItsEnd {
    fn expire_after_create(&self, _: &Key, index: &Index, _: Instant) -> Option<Duration> {
        Some(cleanup(index.span))
    }

    fn expire_after_update(&self, _: &Key, index: &Index, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(cleanup(index.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_ended_leaves_the_log() {
        let (store, now) = (MemoryStore::new(), Timestamp::from_unix(1_795_000_000));
        let soon = now.plus(Duration::from_secs(10));
        for number in 0..50u8 {
            store.announce(&[number], soon, now).await.unwrap();
        }
        let held = || {
            let log = store.log.lock().unwrap();
            (log.entries.len(), log.weight)
        };
        assert_eq!(held(), (50, 50 * (1 + OVERHEAD)));
        // Whoever announces next takes along what has ended, and nothing else.
        store.announce(b"later", soon.plus(Duration::from_secs(10)), soon).await.unwrap();
        assert_eq!(held(), (1, 5 + OVERHEAD));
        // Numbers go on where they were: a follower that has seen 50 misses nothing.
        let seen = Cursor { last: (50, 0), connection: 0 };
        let (news, _) = store.announced(&seen, Duration::ZERO, soon).await.unwrap();
        assert_eq!(news, [b"later"]);
    }
}
