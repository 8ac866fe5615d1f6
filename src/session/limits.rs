//! When sessions end by themselves.

use super::NoSession;
use crate::clock::Timestamp;
use std::time::Duration;

/// How far the clocks of two replicas may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// When sessions end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Without a request for this long.
    pub idle: Duration,
    /// After this long in any case.
    pub lifetime: Duration,
}

impl Default for Settings {
    /// One hour idle; twelve hours in all, which is how long ProConnect's own session lasts.
    fn default() -> Self {
        Self { idle: Duration::from_secs(3600), lifetime: Duration::from_secs(12 * 3600) }
    }
}

impl Settings {
    /// How old the last-seen moment in the cookie may grow before it is written anew. The cookie
    /// is not rewritten on every request, so a session may be taken for idle this much too early,
    /// never too late.
    pub fn renewal_interval(&self) -> Duration {
        (self.idle / 10).min(Duration::from_secs(60))
    }

    /// Whether a session of these moments is still alive.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, started: Timestamp, last_seen: Timestamp, now: Timestamp) -> Result<(), NoSession> {
        if last_seen > now.plus(CLOCK_SKEW) || started > last_seen {
            Err(NoSession::Unreadable)
        } else if now.since(started) >= self.lifetime {
            Err(NoSession::Expired)
        } else if now.since(last_seen) >= self.idle {
            Err(NoSession::Idle)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_to_the_second() {
        let settings = Settings::default();
        let cases = [
            (0, 0, 0, Ok(())),
            (0, 0, 3599, Ok(())),
            (0, 0, 3600, Err(NoSession::Idle)),
            (0, 43_000, 43_199, Ok(())),
            (0, 43_000, 43_200, Err(NoSession::Expired)),
            (100, 100, 0, Ok(())),
            (0, 301, 0, Err(NoSession::Unreadable)),
            (9, 8, 10, Err(NoSession::Unreadable)),
        ];
        for (started, seen, now, expected) in cases {
            let at = Timestamp::from_unix;
            assert_eq!(settings.check(at(started), at(seen), at(now)), expected, "{started} {seen} {now}");
        }
    }

    #[test]
    fn the_cookie_is_rewritten_at_most_once_a_minute_and_well_within_the_idle_limit() {
        let interval = |idle| Settings { idle: Duration::from_secs(idle), ..Settings::default() }.renewal_interval();
        assert_eq!((interval(3600), interval(60)), (Duration::from_secs(60), Duration::from_secs(6)));
    }
}
