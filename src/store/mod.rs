//! The state kept between requests: keys, bytes and the moment when each ends.
//!
//! `session` keeps here what must outlive a request or reach the other replicas: refreshed tokens,
//! locks, the sessions of a person, revocations. This room knows nothing of what the bytes mean;
//! whoever puts a secret here seals it first, so that a dump of a store opens nothing. Must never
//! print a key's name, a value or a password, and must never answer "nothing is there" when it
//! could not ask: that is [`StoreError::Unavailable`], and the caller decides what follows.
//!
//! ```text
//!  Settings ── open ──► Arc<dyn Store>
//!                         memory   this process alone, gone with it
//!                         file     one process, survives it (redb)
//!                         redis    every replica (Redis 7, Valkey: single, Sentinel, Cluster)
//! ```
//!
//! One contract holds for all three: `tests/it/stores/contract.rs`. What each promises beyond it,
//! and does not: `docs/decisions/0004-stores.md`.

mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod lock;
mod memory;
mod places;
mod redis;
mod settings;

pub use lock::Lock;
pub use places::{Claim, Claimed};
pub use settings::{Mode, Node, OnDown, RedisSettings, Settings, WhenDown};

use crate::clock::Timestamp;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The largest value, in bytes. A session with all its tokens is far smaller.
pub const MAX_VALUE_LEN: usize = 1024 * 1024;

/// The largest member of an index and the largest announcement, in bytes.
pub const MAX_ENTRY_LEN: usize = 4096;

/// How many announcements [`Store::announced`] gives at once, at most.
pub const MAX_BATCH: usize = 10_000;

/// Values, indexes and announcements under keys, each until its end.
///
/// `until` is the end of what is put: from that second on it is not there. What has `until` at or
/// before `now` is not put at all: [`Store::put`] and [`Store::replace`] then remove what was there, and
/// [`Store::put_new`] says no. Memory and file go by
/// `now` alone; Redis measures `until - now` with its own clock, one for all replicas.
#[async_trait]
pub trait Store: Send + Sync {
    /// The value under `key`; none when nothing is there or its end has passed.
    ///
    /// # Errors
    /// [`StoreError`], by cause.
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError>;

    /// Puts `value` under `key` until `until`, in place of what is there.
    ///
    /// # Errors
    /// [`StoreError`], by cause. When it is [`StoreError::Unavailable`], it may have been put.
    async fn put(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError>;

    /// Atomically, only where nothing is there; says whether it was put. For locks and for what
    /// may be used once.
    ///
    /// # Errors
    /// [`StoreError`], by cause. When it is [`StoreError::Unavailable`], it may have been put.
    async fn put_new(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<bool, StoreError>;

    /// Atomically, puts `value` until `until` in the place of what is under `key`, where that still is
    /// `expected`; says whether it did. For what two may change at once and neither is to lose.
    ///
    /// # Errors
    /// [`StoreError`], by cause. When it is [`StoreError::Unavailable`], it may have been put.
    async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Atomically, removes what is under `key` where it still is `expected`; says whether it did.
    /// For a lock that only its owner may release.
    ///
    /// # Errors
    /// [`StoreError`], by cause. When it is [`StoreError::Unavailable`], it may have been removed.
    async fn take(&self, key: &Key, expected: &[u8], now: Timestamp) -> Result<bool, StoreError>;

    /// Removes what is under `key`, if anything is.
    ///
    /// # Errors
    /// [`StoreError`], by cause.
    async fn delete(&self, key: &Key, now: Timestamp) -> Result<(), StoreError>;

    /// Adds `member` to a small set, until `until`; for one that is there, this is its new end.
    ///
    /// # Errors
    /// [`StoreError`], by cause.
    async fn index_add(&self, index: &Key, member: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError>;

    /// Removes `member` from a set, if it is there.
    ///
    /// # Errors
    /// [`StoreError`], by cause.
    async fn index_remove(&self, index: &Key, member: &[u8], now: Timestamp) -> Result<(), StoreError>;

    /// The members of a set whose end has not come, in no order.
    ///
    /// # Errors
    /// [`StoreError`], by cause.
    async fn index_members(&self, index: &Key, now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Atomically, gives a member one of the places of a set; one that has a place has it until the
    /// later of both ends. [`Claim`] says how many places there are. A set of places is no index, and has
    /// a kind of its own.
    ///
    /// # Errors
    /// [`StoreError`], by cause. When it is [`StoreError::Unavailable`], the place may have been given;
    /// whoever claims again finds that out.
    async fn claim_place(&self, places: &Key, claim: &Claim<'_>, now: Timestamp) -> Result<Claimed, StoreError>;

    /// Atomically, moves the ends of those of these members that have a place, to the later of both
    /// ends; says of each whether it has one. Gives nobody a place.
    ///
    /// # Errors
    /// [`StoreError`], by cause.
    async fn extend_places(
        &self,
        places: &Key,
        members: &[(Vec<u8>, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError>;

    /// Frees a member's place, if it has one; whether it had.
    ///
    /// # Errors
    /// [`StoreError`], by cause. When it is [`StoreError::Unavailable`], it may have been freed.
    async fn free_place(&self, places: &Key, member: &[u8], now: Timestamp) -> Result<bool, StoreError>;

    /// Who has a place, and until when, in no order.
    ///
    /// # Errors
    /// [`StoreError`], by cause.
    async fn places(&self, places: &Key, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp)>, StoreError>;

    /// Appends to the log that every replica follows. What is announced is durable when this
    /// returns, as far as the store goes (`docs/decisions/0004-stores.md`).
    ///
    /// # Errors
    /// [`StoreError`], by cause. When it is [`StoreError::Unavailable`], it may have been
    /// announced; announcing it again does no harm, since hearing it twice must do none.
    async fn announce(&self, entry: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError>;

    /// What was announced after `cursor` and has not ended, in order, [`MAX_BATCH`] at most, with
    /// the cursor to ask with next; [`Cursor::default`] asks from the beginning. Where there is
    /// nothing new it waits for news, up to `wait`, and then gives nothing. It may give nothing
    /// with a new cursor before `wait` is over: ask again.
    ///
    /// Nothing is skipped, also over a loss of the connection; an entry may come more than once.
    ///
    /// # Errors
    /// [`StoreError`], by cause; ask again with the same cursor, after a pause.
    async fn announced(
        &self,
        cursor: &Cursor,
        wait: Duration,
        now: Timestamp,
    ) -> Result<(Vec<Vec<u8>>, Cursor), StoreError>;
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, does not answer in time, or refuses. The text is for the log and
    /// holds neither keys nor values nor secrets.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What it holds is not what was put there: damaged, or another program's.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
    /// More than [`MAX_VALUE_LEN`], or for members and announcements [`MAX_ENTRY_LEN`].
    #[error("{0} bytes are more than the store takes")]
    TooLarge(usize),
}

/// Why the store cannot be opened at start. Says which file and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Nowhere to make the file.
    #[error("the store's file {path} cannot be made: there is no directory {directory}; make it, for this user alone")]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// Where it should be.
        directory: PathBuf,
    },
    /// The operating system refused.
    #[error(
        "the store's file {path} cannot be opened ({why}); this user must be able to read and write it and its directory"
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A directory, a device.
    #[error("the store's file {path} is not a file; name a file in a directory of its own")]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// Nothing is in it. An empty file is not taken for a new store: something emptied it.
    #[error("the store's file {path} is empty; restore it, or remove it to begin with nobody signed out")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Another program's.
    #[error("the store's file {path} is not Vestibule's; name another one")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another version's.
    #[error("the store's file {path} has format {version}, which this version does not read; name another one")]
    Format {
        /// The file.
        path: PathBuf,
        /// Which format it has.
        version: u64,
    },
    /// Damaged.
    #[error("the store's file {path} is damaged ({why}); restore it, or move it away to begin with nobody signed out")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What redb found.
        why: String,
    },
    /// The authorities that Redis's certificate is checked against.
    #[error("the store's authorities {path} cannot be used ({why}); name a PEM file of certificates")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process has it.
    #[error(
        "the store's file {path} is in use by another process; a file serves one process, several need `store: {{redis: …}}`"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
}

/// Opens the store that the settings name. Takes a file at once; a Redis is first asked when it is
/// first needed, so that a sidecar can start before it.
///
/// # Errors
/// [`OpenError`], by cause.
pub fn open(settings: &Settings) -> Result<Arc<dyn Store>, OpenError> {
    match settings {
        Settings::Memory => Ok(Arc::new(memory::MemoryStore::new())),
        Settings::File(path) => Ok(Arc::new(file::FileStore::open(path)?)),
        Settings::Redis(settings) => Ok(Arc::new(redis::RedisStore::new(settings)?)),
    }
}

/// The name of a value or of an index: its kind, and bytes that tell it from others of that kind.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    kind: &'static str,
    id: Vec<u8>,
}

impl Key {
    /// The key of kind `kind` (a word such as `session`) that `id` tells from the others. Values
    /// and indexes have kinds of their own: one kind is never both.
    pub fn new(kind: &'static str, id: &[u8]) -> Self {
        Self { kind, id: id.to_vec() }
    }

    /// `kind:id` with the bytes in base64url: the stable form under which stores hold it.
    fn text(&self) -> String {
        format!("{}:{}", self.kind, URL_SAFE_NO_PAD.encode(&self.id))
    }
}

/// Shows the kind alone: an id may name a person.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.kind)
    }
}

/// A place in the log of announcements. Means something to the store that gave it, and to no
/// other; it is not kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The last entry that was given: its number, or the two parts of its id in a stream.
    last: (u64, u64),
    /// Over which connection it was given; 0 where there is none.
    connection: u64,
}

/// Refuses what is larger than the store takes.
fn within(limit: usize, bytes: &[u8]) -> Result<(), StoreError> {
    if bytes.len() > limit { Err(StoreError::TooLarge(bytes.len())) } else { Ok(()) }
}
