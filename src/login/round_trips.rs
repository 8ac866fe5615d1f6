//! Round trips between the provider and us that lead nowhere, and why.
//!
//! A browser whose session does not stay goes round for ever: to the provider, which knows the person and
//! sends them back at once, and there again. The login cookie is what comes back on such a way, for without
//! it a callback ends on a page. So it remembers that a sign-in has just ended well, and how often the next
//! one began all the same; the third within a minute is not begun. Nothing is kept here.
//!
//! Tabs that sign in side by side count for nothing: each began before the first had ended. Nor does who
//! signs out. Called by `start`, `step_up` and `callback`. The count is told from what others write by the
//! secret of the login cookie, and not sealed under our keys: two instances that do not share those are one
//! of the causes. Whoever can put a whole login cookie into somebody's browser can stop them for a minute.

use super::Login;
use super::browser::Browser;
use crate::clock::Timestamp;
use crate::pages::LoopCause;
use crate::session::NoSession;
use crate::web::cookies;
use crate::web::return_to::ReturnTo;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// Round trips within this long are one loop.
const WITHIN: Duration = Duration::from_secs(60);
/// The one that is not begun any more.
const TOO_MANY: u8 = 3;
/// The most that browsers hold for a host, and front proxies take in one header.
const MUCH: usize = 7 * 1024;
const MANY: usize = 50;

/// The round trips that a browser has behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoundTrips {
    /// When the first of them ended.
    pub(super) since: Timestamp,
    /// How many have begun, the first among them.
    pub(super) begun: u8,
    /// Whether the last of them ended well.
    pub(super) has_ended: bool,
    /// How many step-ups the session had behind it that was set then.
    pub(super) step: u32,
    /// Where it led to, as the browser tells addresses apart ([`Browser::mark_of`]).
    pub(super) to: u32,
}

impl RoundTrips {
    /// After one that ended well and led there, with a session of so many step-ups.
    pub(super) fn ended(trips: Option<Self>, (step, to): (u32, u32), now: Timestamp) -> Self {
        let running = trips.filter(|trips| trips.is_recent(now));
        let first = Self { since: now, begun: 1, has_ended: true, step, to };
        running.map_or(first, |trips| Self { has_ended: true, step, to, ..trips })
    }

    /// When another one begins; none where it has nothing to do with the former.
    pub(super) fn begins(trips: Option<Self>, now: Timestamp) -> Option<Self> {
        let running = trips.filter(|trips| trips.is_recent(now))?;
        let begun = running.begun.saturating_add(u8::from(running.has_ended));
        Some(Self { begun, has_ended: false, ..running })
    }

    /// Whether the one that has just begun is not to be begun.
    pub(super) fn are_too_many(self) -> bool {
        self.begun >= TOO_MANY
    }

    fn is_recent(self, now: Timestamp) -> bool {
        self.since <= now && now.since(self.since) < WITHIN
    }
}

impl Login {
    /// The round trips of a browser, where the way so far was in vain: a session that came back as it was set
    /// last has stayed. `to` is where a plain sign-in is to lead which begins although there is a session; if
    /// the one before led there as well, a front proxy has not seen it.
    pub(super) fn trips_of(
        &self,
        browser: &Browser,
        headers: &HeaderMap,
        to: Option<&ReturnTo>,
        now: Timestamp,
    ) -> Option<RoundTrips> {
        let again = |trips: &RoundTrips| to.is_some_and(|to| browser.mark_of(to.as_str()) == trips.to);
        let stayed = |trips: &RoundTrips| {
            let live = self.live(headers, now);
            !again(trips) && live.is_ok_and(|opened| self.sessions.steps_of(&opened) >= trips.step)
        };
        browser.trips().filter(|trips| !stayed(trips))
    }

    /// Why a browser goes round in circles, where one that begins here now would be the third time.
    pub(super) fn goes_round(
        &self,
        headers: &HeaderMap,
        scheme: &str,
        to: Option<&ReturnTo>,
        now: Timestamp,
    ) -> Option<LoopCause> {
        let browser = Browser::of(headers, &self.cookies)?;
        let trips = self.trips_of(&browser, headers, to, now);
        let next = RoundTrips::begins(trips, now)?;
        // One that began before the last has ended is another tab's.
        let follows = trips.is_some_and(|trips| trips.has_ended);
        (follows && next.are_too_many()).then(|| self.why_nobody_is_known(headers, scheme, to, now))
    }

    /// The login cookie of a browser that starts afresh.
    pub(super) fn afresh(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let browser = Browser::of(headers, &self.cookies)?.with_trips(None);
        browser.cookie(&self.cookies, self.settings.attempt_lifetime)
    }

    /// Why a request has no session whose browser has just been given one, or none that is enough: from what
    /// is seen of the request, the most telling first.
    fn why_nobody_is_known(
        &self,
        headers: &HeaderMap,
        scheme: &str,
        to: Option<&ReturnTo>,
        now: Timestamp,
    ) -> LoopCause {
        let opened = self.sessions.open(headers, now);
        match opened.as_ref().map_err(|reason| *reason).and_then(|opened| self.sessions.read(opened, now).map(drop)) {
            Ok(()) if to.is_some() => return LoopCause::NotHandedOn,
            // A session came, and not the one that the last step-up made of it.
            Ok(()) => return LoopCause::NotKept,
            Err(NoSession::Unreadable) if opened.is_ok() => return LoopCause::Clock,
            // A moment ago it was new.
            Err(NoSession::Idle | NoSession::Expired) => return LoopCause::Clock,
            Err(NoSession::Unreadable | NoSession::TokenUnreadable) => return LoopCause::OtherKeys,
            Err(NoSession::Absent) if cookies::is_named(headers, &self.cookies.session) => return LoopCause::Twice,
            Err(NoSession::Absent) => {}
            Err(_) => return LoopCause::Ended,
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !self.cookies.reach(host_alone(host), &self.public_url) {
            LoopCause::Domain
        } else if scheme == "http" && self.public_url.is_secure() {
            LoopCause::Insecure
        } else if is_framed(headers) {
            LoopCause::Framed
        } else if is_much(headers) {
            LoopCause::TooMuch
        } else {
            LoopCause::NotKept
        }
    }
}

/// A host without its port.
pub(super) fn host_alone(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((alone, port)) if !port.contains(']') => alone,
        _ => host,
    }
}

fn is_framed(headers: &HeaderMap) -> bool {
    let framed = headers.get("sec-fetch-dest").is_some_and(|dest| dest == "iframe" || dest == "frame");
    framed && headers.get("sec-fetch-site").is_none_or(|site| site != "same-origin")
}

fn is_much(headers: &HeaderMap) -> bool {
    let all = headers.get_all(COOKIE);
    let (len, count) = all.iter().fold((0, 0), |(len, count), header| {
        let bytes = header.as_bytes();
        (len + bytes.len(), count + bytes.split(|byte| *byte == b';').count())
    });
    len >= MUCH || count >= MANY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(1000 + seconds)
    }

    #[test]
    fn only_what_begins_after_one_that_ended_well_counts_and_only_for_a_minute() {
        let first = RoundTrips::ended(None, (0, 1), at(0));
        let second = RoundTrips::begins(Some(first), at(1)).unwrap();
        // Ten tabs that begin before it has ended.
        let tabs = (0..10).fold(second, |trips, _| RoundTrips::begins(Some(trips), at(2)).unwrap());
        assert_eq!(tabs.begun, 2);
        let ended = RoundTrips::ended(Some(tabs), (0, 1), at(3));
        assert_eq!(RoundTrips::begins(Some(ended), at(4)).unwrap().begun, 3);
        assert_eq!(RoundTrips::begins(Some(ended), at(59)).unwrap().begun, 3);
        assert_eq!(RoundTrips::begins(Some(ended), at(60)), None);
        assert_eq!(RoundTrips::begins(Some(first), Timestamp::from_unix(10)), None, "a clock that was set back");
        assert_eq!(RoundTrips::begins(None, at(0)), None);
    }

    #[test]
    fn a_host_is_told_from_its_port() {
        for (host, alone) in
            [("a.example", "a.example"), ("a.example:8443", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(host_alone(host), alone);
        }
    }
}
