//! When sessions end by themselves.

use super::{AppData, NoSession};
use crate::clock::Timestamp;
use std::time::Duration;

/// How far the clocks of two replicas may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How sessions are kept and when they end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Without a request for this long.
    pub idle: Duration,
    /// After this long in any case.
    pub lifetime: Duration,
    /// This long after the person proved who they are to the provider; never for that reason
    /// alone where `None`.
    pub sign_in_age: Option<Duration>,
    /// Where the tokens are.
    pub keep: Keep,
    /// How the provider is asked whether it still vouches; never where `None`.
    pub refresh: Option<RefreshSettings>,
    /// How long an access token of an app that keeps one counts at most; where `None` there are
    /// none, and none is looked for.
    pub access_token: Option<Duration>,
    /// Whose documents are kept for the app; where `None` there are none.
    pub app_data: Option<AppData>,
}

/// Where the tokens of a session are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// In a sealed cookie of their own.
    #[default]
    Cookie,
    /// In the store, sealed with a key that only the cookie holds.
    Store,
}

/// How tokens are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshSettings {
    /// This long before the access token ends, so that no request has to wait for it.
    pub margin: Duration,
    /// How long sessions go on past that end while the provider cannot be asked.
    pub outage: Duration,
}

impl Default for RefreshSettings {
    /// A minute before the end; an hour of outage, which is what ProConnect's tokens last.
    fn default() -> Self {
        Self { margin: Duration::from_secs(60), outage: Duration::from_secs(3600) }
    }
}

impl Default for Settings {
    /// One hour idle; twelve hours in all, which is how long ProConnect's own session lasts.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(3600),
            lifetime: Duration::from_secs(12 * 3600),
            sign_in_age: None,
            keep: Keep::default(),
            refresh: Some(RefreshSettings::default()),
            access_token: None,
            app_data: None,
        }
    }
}

impl Settings {
    /// How old the last-seen moment in the cookie may grow before it is written anew. The cookie
    /// is not rewritten on every request, so a session may be taken for idle this much too early,
    /// never too late.
    pub fn renewal_interval(&self) -> Duration {
        (self.idle / 10).min(Duration::from_secs(60))
    }

    /// Whether a session of these moments is still alive. A provider that does not say when the
    /// person proved who they are did so when the session began, at the latest.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(
        &self,
        started: Timestamp,
        last_seen: Timestamp,
        authenticated_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), NoSession> {
        if last_seen > now.plus(CLOCK_SKEW) || started > last_seen {
            Err(NoSession::Unreadable)
        } else if now.since(started) >= self.lifetime {
            Err(NoSession::Expired)
        } else if self.sign_in_age.is_some_and(|age| now.since(authenticated_at.unwrap_or(started)) >= age) {
            Err(NoSession::SignInTooOld)
        } else if now.since(last_seen) >= self.idle {
            Err(NoSession::Idle)
        } else {
            Ok(())
        }
    }

    /// When a session of these moments ends whatever happens.
    pub fn ends_at(&self, started: Timestamp, authenticated_at: Option<Timestamp>) -> Timestamp {
        let end = started.plus(self.lifetime);
        self.sign_in_age.map_or(end, |age| end.min(authenticated_at.unwrap_or(started).plus(age)))
    }

    /// When to ask the provider again about what it vouches for from now `until` then: before the
    /// end, and not before half of the time has passed, however short that is.
    pub fn due_at(&self, until: Timestamp, now: Timestamp) -> Timestamp {
        let margin = self.refresh.map_or(Duration::ZERO, |refresh| refresh.margin);
        until.minus(margin.min(until.since(now) / 2))
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
            assert_eq!(settings.check(at(started), at(seen), None, at(now)), expected, "{started} {seen} {now}");
        }
    }

    #[test]
    fn the_age_of_the_sign_in_counts_from_the_proof_and_not_from_the_session() {
        let settings = Settings { sign_in_age: Some(Duration::from_secs(1800)), ..Settings::default() };
        let at = Timestamp::from_unix;
        // (proved at, now): the session began and was seen at 1000
        let cases = [
            (None, 2799, Ok(())),
            (None, 2800, Err(NoSession::SignInTooOld)),
            (Some(400), 2199, Ok(())),
            (Some(400), 2200, Err(NoSession::SignInTooOld)),
            (Some(1500), 3299, Ok(())),
        ];
        for (proved, now, expected) in cases {
            let proved = proved.map(at);
            assert_eq!(settings.check(at(1000), at(1000), proved, at(now)), expected, "{proved:?} {now}");
            let ends_at = settings.ends_at(at(1000), proved);
            assert_eq!(at(now) >= ends_at, expected.is_err(), "{proved:?} {now}");
        }
    }

    #[test]
    fn the_provider_is_asked_a_little_early_and_never_at_once() {
        let settings = Settings::default();
        let at = Timestamp::from_unix;
        for (until, now, due) in [(3600, 0, 3540), (120, 0, 60), (30, 0, 15), (1, 0, 1), (0, 0, 0), (0, 50, 0)] {
            assert_eq!(settings.due_at(at(until), at(now)), at(due), "{until} {now}");
        }
    }

    #[test]
    fn the_cookie_is_rewritten_at_most_once_a_minute_and_well_within_the_idle_limit() {
        let interval = |idle| Settings { idle: Duration::from_secs(idle), ..Settings::default() }.renewal_interval();
        assert_eq!((interval(3600), interval(60)), (Duration::from_secs(60), Duration::from_secs(6)));
    }
}
