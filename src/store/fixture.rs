//! A store for tests of other rooms: memory, which can be out of reach, as a whole or in one place, or be
//! read no more.

use super::memory::MemoryStore;
use super::{Claim, Claimed, Cursor, Key, Store, StoreError};
use crate::clock::Timestamp;
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A memory store that can be away, and counts what is announced and which values are read.
pub(crate) struct Shaky {
    memory: Arc<dyn Store>,
    pub(crate) away: AtomicBool,
    /// What is under these keys is out of reach.
    pub(crate) broken: Mutex<Vec<Key>>,
    pub(crate) announced: AtomicUsize,
    /// How many more values it takes before nothing can be read any more, and yet written; 0: it can be read.
    pub(crate) unreadable_after: AtomicUsize,
    unreadable: AtomicBool,
    pub(crate) read: AtomicUsize,
}

impl Default for Shaky {
    fn default() -> Self {
        Self {
            memory: Arc::new(MemoryStore::new()),
            away: AtomicBool::new(false),
            broken: Mutex::default(),
            announced: AtomicUsize::new(0),
            unreadable_after: AtomicUsize::new(0),
            unreadable: AtomicBool::new(false),
            read: AtomicUsize::new(0),
        }
    }
}

impl Shaky {
    fn reach(&self) -> Result<&dyn Store, StoreError> {
        let away = self.away.load(Ordering::Relaxed);
        if away { Err(StoreError::Unavailable("away".to_owned())) } else { Ok(&*self.memory) }
    }

    fn at(&self, key: &Key) -> Result<&dyn Store, StoreError> {
        let is_broken = self.broken.lock().unwrap().contains(key);
        if is_broken { Err(StoreError::Unavailable("broken".to_owned())) } else { self.reach() }
    }

    fn read_at(&self, key: &Key) -> Result<&dyn Store, StoreError> {
        let unreadable = self.unreadable.load(Ordering::Relaxed);
        if unreadable { Err(StoreError::Unavailable("unreadable".to_owned())) } else { self.at(key) }
    }

    fn written(&self) {
        let left = self.unreadable_after.load(Ordering::Relaxed);
        self.unreadable_after.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            self.unreadable.store(true, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Store for Shaky {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.read_at(key)?.get(key, now).await
    }
    async fn put(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.written();
        self.at(key)?.put(key, value, until, now).await
    }
    async fn put_new(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        self.written();
        self.at(key)?.put_new(key, value, until, now).await
    }
    async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.at(key)?.replace(key, expected, value, until, now).await
    }
    async fn take(&self, key: &Key, expected: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        self.at(key)?.take(key, expected, now).await
    }
    async fn delete(&self, key: &Key, now: Timestamp) -> Result<(), StoreError> {
        self.at(key)?.delete(key, now).await
    }
    async fn index_add(&self, key: &Key, member: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.at(key)?.index_add(key, member, until, now).await
    }
    async fn index_remove(&self, key: &Key, member: &[u8], now: Timestamp) -> Result<(), StoreError> {
        self.at(key)?.index_remove(key, member, now).await
    }
    async fn index_members(&self, key: &Key, now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read_at(key)?.index_members(key, now).await
    }
    async fn claim_place(&self, places: &Key, claim: &Claim<'_>, now: Timestamp) -> Result<Claimed, StoreError> {
        self.at(places)?.claim_place(places, claim, now).await
    }
    async fn extend_places(
        &self,
        places: &Key,
        members: &[(Vec<u8>, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        self.at(places)?.extend_places(places, members, now).await
    }
    async fn free_place(&self, places: &Key, member: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        self.at(places)?.free_place(places, member, now).await
    }
    async fn places(&self, places: &Key, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp)>, StoreError> {
        self.read_at(places)?.places(places, now).await
    }
    async fn announce(&self, entry: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.announced.fetch_add(1, Ordering::Relaxed);
        self.reach()?.announce(entry, until, now).await
    }
    async fn announced(
        &self,
        cursor: &Cursor,
        wait: Duration,
        now: Timestamp,
    ) -> Result<(Vec<Vec<u8>>, Cursor), StoreError> {
        self.reach()?.announced(cursor, wait, now).await
    }
}
