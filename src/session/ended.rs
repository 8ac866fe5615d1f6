//! The sessions that ended before their time, as this process knows them.
//!
//! Called by [`super::Sessions`] on every request that has a session. A sealed cookie is as good
//! as its limits say; this is what makes signing out final for copies of it too.

use super::SessionId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// About 100 MB at most; an entry is needed only until its session would have ended anyway.
const CAPACITY: u64 = 1_000_000;

pub(super) struct EndedSessions {
    ids: moka::sync::Cache<SessionId, ()>,
    /// Spares the everyday request the look-up while nobody has signed out.
    any: AtomicBool,
}

impl EndedSessions {
    pub(super) fn new(lifetime: Duration) -> Self {
        // moka refuses to live longer than 1000 years; no session does.
        let time_to_live = lifetime.min(Duration::from_secs(10 * 365 * 24 * 3600));
        let ids = moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(time_to_live).build();
        Self { ids, any: AtomicBool::new(false) }
    }

    pub(super) fn insert(&self, id: SessionId) {
        self.ids.insert(id, ());
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn holds(&self, id: SessionId) -> bool {
        self.any.load(Ordering::Acquire) && self.ids.contains_key(&id)
    }
}
