//! The sessions that ended before their time, as this process knows them.
//!
//! Called by [`super::Sessions`] on every request that has a session. A sealed cookie is as good
//! as its limits say; this is what makes signing out final for copies of it too.

use super::SessionId;
use moka::policy::EvictionPolicy;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// About 100 MB at most; an entry is needed only until its session would have ended anyway.
const CAPACITY: u64 = 1_000_000;

pub(super) struct EndedSessions {
    ids: moka::sync::Cache<SessionId, ()>,
    /// Spares the everyday request the look-up while nobody has signed out.
    any: AtomicBool,
    /// Tells whoever keeps live connections.
    endings: watch::Sender<()>,
}

impl EndedSessions {
    pub(super) fn new(lifetime: Duration) -> Self {
        // moka refuses to live longer than 1000 years; no session does.
        let time_to_live = lifetime.min(Duration::from_secs(10 * 365 * 24 * 3600));
        Self {
            ids: Self::keeping(CAPACITY, time_to_live),
            any: AtomicBool::new(false),
            endings: watch::Sender::new(()),
        }
    }

    /// The latest `capacity` of them. By its own choice moka keeps what is asked for often and
    /// refuses what is new: here the sign-out of just now would not be kept.
    fn keeping(capacity: u64, time_to_live: Duration) -> moka::sync::Cache<SessionId, ()> {
        let builder = moka::sync::Cache::builder().max_capacity(capacity).time_to_live(time_to_live);
        builder.eviction_policy(EvictionPolicy::lru()).build()
    }

    pub(super) fn insert(&self, id: SessionId) {
        self.ids.insert(id, ());
        self.any.store(true, Ordering::Release);
        self.endings.send_replace(());
    }

    pub(super) fn endings(&self) -> watch::Receiver<()> {
        self.endings.subscribe()
    }

    pub(super) fn holds(&self, id: SessionId) -> bool {
        self.any.load(Ordering::Acquire) && self.ids.contains_key(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_there_are_too_many_the_latest_sign_out_still_counts() {
        let ids = EndedSessions::keeping(4, Duration::from_secs(60));
        let id = |byte| SessionId([byte; 16]);
        for old in 0..4 {
            ids.insert(id(old), ());
            // Often asked for, as by a copy of the cookie that is tried again and again.
            (0..20).for_each(|_| assert!(ids.contains_key(&id(old)) && ids.get(&id(old)).is_some()));
        }
        ids.run_pending_tasks();
        ids.insert(id(9), ());
        ids.run_pending_tasks();
        assert!(ids.contains_key(&id(9)));
        assert_eq!(ids.entry_count(), 4);
    }
}
