//! What came of verifying a token, remembered for a moment.
//!
//! Called by `Bearers::verify`. **Each entry is of one token and one rule**: what one rule found says
//! nothing to another, which may ask for another audience or another scope. The token itself is
//! never kept. What was good and what was not lie apart, so that a flood of invented tokens drives
//! out no good one.

use super::caller::Caller;
use super::{NotVerified, Verified};
use crate::clock::Timestamp;
use crate::secret::{ExposeSecret, SecretString};
use moka::sync::Cache;
use ring::digest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How many tokens are remembered of each sort. An entry is a few hundred bytes and the claims that
/// are kept, which are those of headers.
const MAX: u64 = 10_000;

/// How long a refusal is remembered: a program that tries again and again costs nothing, and one
/// that was refused a moment too early does not wait.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(5);

/// How long an outage is: those who waited for the one who asked share what came of it, and do not
/// wait each in turn.
const OUTAGE_FOR: Duration = Duration::from_secs(2);

/// How long a turn is kept that nobody has taken since: longer than any call.
const TURN: Duration = Duration::from_secs(5 * 60);

/// The hash of a token and of the rule.
type Name = [u8; 32];

#[derive(Clone)]
struct Entry<T> {
    value: T,
    from: Timestamp,
    until: Timestamp,
}

impl<T> Entry<T> {
    /// A clock that was set back makes nothing last longer.
    fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// What is remembered of all tokens.
pub(super) struct Remembered {
    good: Cache<Name, Entry<Arc<Caller>>>,
    bad: Cache<Name, Entry<NotVerified>>,
    turns: Cache<Name, Arc<Mutex<()>>>,
}

impl Remembered {
    pub(super) fn new(longest: Duration) -> Self {
        // The clock that decides is the caller's; these only bound what nobody asks for.
        let longest = longest.max(Duration::from_secs(1));
        Self {
            good: Cache::builder().max_capacity(MAX).time_to_live(longest).build(),
            bad: Cache::builder().max_capacity(MAX).time_to_live(REFUSED_FOR).build(),
            turns: Cache::builder().max_capacity(MAX).time_to_idle(TURN).build(),
        }
    }

    /// Forgets whom tokens name.
    pub(super) fn forget(&self) {
        self.good.invalidate_all();
    }

    /// Under which name a token is remembered for one rule.
    pub(super) fn name(rule: usize, token: &SecretString) -> Name {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&(rule as u64).to_be_bytes());
        context.update(token.expose_secret().as_bytes());
        let mut name = [0; 32];
        name.copy_from_slice(context.finish().as_ref());
        name
    }

    /// What is known of it at the moment `now`.
    pub(super) fn at_hand(&self, name: &Name, now: Timestamp) -> Option<Verified> {
        if let Some(entry) = self.good.get(name).filter(|entry| entry.holds(now)) {
            return Some(Ok(entry.value));
        }
        self.bad.get(name).filter(|entry| entry.holds(now)).map(|entry| Err(entry.value))
    }

    /// One at a time for each token and rule: the others find what the first has found.
    pub(super) fn turn(&self, name: &Name) -> Arc<Mutex<()>> {
        self.turns.get_with(*name, Arc::default)
    }

    /// Remembers what was found, for `lifetime` at most and never beyond the token's own end.
    pub(super) fn keep(&self, name: Name, found: &Verified, lifetime: Duration, now: Timestamp) {
        match found {
            Ok(caller) => {
                let until = now.plus(lifetime);
                let until = caller.ends_at().map_or(until, |ends_at| until.min(ends_at));
                self.good.insert(name, Entry { value: Arc::clone(caller), from: now, until });
            }
            Err(refused) => {
                let lasts = if matches!(refused, NotVerified::Outage(_)) { OUTAGE_FOR } else { REFUSED_FOR };
                self.bad.insert(name, Entry { value: refused.clone(), from: now, until: now.plus(lasts) });
            }
        }
    }
}
