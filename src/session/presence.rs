//! When the people of sessions were last there, as this process knows.
//!
//! Called by [`super::Sessions`]. A cookie says when its session was seen, to within a minute, and
//! a connection that is open has the cookie of its beginning: what came since is here. Other
//! replicas are not heard of.

use super::SessionId;
use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Below this many entries it is not worth looking for those that are too old.
const FEW: usize = 1024;

pub(super) struct Presence {
    idle: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    last: HashMap<SessionId, Timestamp>,
    /// At how many entries the old ones are taken out: as many as people come within the idle
    /// limit stay, about 40 bytes each.
    full: usize,
}

impl Presence {
    pub(super) fn new(idle: Duration) -> Self {
        Self { idle, seen: Mutex::new(Seen { last: HashMap::new(), full: FEW }) }
    }

    pub(super) fn note(&self, id: SessionId, at: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.last.entry(id).or_insert(at);
        *last = at.max(*last);
        if seen.last.len() >= seen.full {
            seen.last.retain(|_, last| at.since(*last) < self.idle);
            seen.full = FEW.max(2 * seen.last.len());
        }
    }

    pub(super) fn of(&self, id: SessionId) -> Option<Timestamp> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last.get(&id).copied()
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
        presence.note(id(0), at(100));
        presence.note(id(0), at(90));
        assert_eq!((presence.of(id(0)), presence.of(id(1))), (Some(at(100)), None));
        (1..1100).for_each(|number| presence.note(id(number), at(200)));
        assert_eq!((presence.of(id(0)), presence.of(id(1))), (None, Some(at(200))));
    }
}
