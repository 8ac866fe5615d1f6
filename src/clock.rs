//! Time as an argument: the moment type, the clock at the rim, and a clock that tests turn by hand.
//!
//! The real functions of every room take a [`Timestamp`] named `now`. Only `server/`, `app`,
//! the demo and `config` (for what it reports) ask a [`Clock`]; nothing else may read the time of day.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment in whole seconds since the Unix epoch.
///
/// Seconds are the resolution of every limit we check and of every claim (`exp`, `iat`,
/// `auth_time`) that a provider sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `seconds` after the Unix epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// A moment as RFC 3339 has it, to the second; none from before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let moment = chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp();
        u64::try_from(moment).ok().map(Self)
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// Its day in UTC, as `2026-11-21`.
    pub fn date(self) -> String {
        self.formatted("%Y-%m-%d")
    }

    /// The moment in UTC, for messages: `2026-11-21 18:00:00 UTC`.
    pub fn date_and_time(self) -> String {
        self.formatted("%Y-%m-%d %H:%M:%S UTC")
    }

    /// The moment as RFC 3339 has it: `2026-11-21T18:00:00Z`.
    pub fn rfc3339(self) -> String {
        self.formatted("%Y-%m-%dT%H:%M:%SZ")
    }

    fn formatted(self, format: &str) -> String {
        let moment = i64::try_from(self.0).ok().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
        moment.map_or_else(|| "never".to_owned(), |moment| moment.format(format).to_string())
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved forward by the whole seconds of `by`.
    #[must_use]
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_secs()))
    }

    /// This moment moved back by the whole seconds of `by`.
    #[must_use]
    pub const fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_secs()))
    }
}

/// Where the rim gets `now` from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The time of day of the machine.
    #[default]
    System,
    /// A clock that stands still until a test moves it.
    Manual(ManualClock),
}

impl Clock {
    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time of day")]
                let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                // A clock before 1970 makes every session look issued in the future: refused.
                Timestamp(since_epoch.map_or(0, |elapsed| elapsed.as_secs()))
            }
            Self::Manual(manual) => Timestamp(manual.0.load(Ordering::Relaxed)),
        }
    }
}

/// A clock that stands still until it is advanced. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(start.0)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}
