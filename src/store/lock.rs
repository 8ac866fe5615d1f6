//! The right to do something alone, among all replicas.
//!
//! Called by whoever asks another service a question that must be asked once: `session/refresh`,
//! `credentials`. A lock whose owner is gone runs out by itself.

use super::{Key, Store, StoreError};
use crate::clock::Timestamp;
use crate::random::{self, NoRandomness, Random};

/// One claim to a lock.
pub struct Lock {
    key: Key,
    owner: [u8; 16],
}

impl Lock {
    /// A claim to the lock under `key`.
    ///
    /// # Errors
    /// When no name can be made for its owner.
    pub fn new(key: Key, random: &dyn Random) -> Result<Self, NoRandomness> {
        Ok(Self { key, owner: random::bytes(random)? })
    }

    /// Whether the lock is ours, until then at the latest.
    ///
    /// # Errors
    /// [`StoreError`]; the lock may be ours all the same.
    pub async fn taken(&self, store: &dyn Store, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        // A store whose client repeats a command (a Redis cluster) may say no to what it has done.
        let taken = store.put_new(&self.key, &self.owner, until, now).await?;
        Ok(taken || store.get(&self.key, now).await?.as_deref() == Some(&self.owner[..]))
    }

    /// Gives it back. One that cannot be given back runs out.
    pub async fn release(&self, store: &dyn Store, now: Timestamp) {
        let _ = store.take(&self.key, &self.owner, now).await;
    }
}
