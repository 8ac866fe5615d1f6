//! Hours and days on which a rule holds, in the time of a place.
//!
//! `config` makes a [`Window`], `condition` asks it at every request. The rules of time zones are
//! compiled in: the container image has no files, and no two machines may judge differently.
//! Summer time is the zone's own affair: what is written is what the clock on the wall there shows.

use crate::clock::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::fmt;

/// The days, as one writes them.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes in a day.
const DAY: u16 = 24 * 60;

/// When a rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where the clock hangs.
    pub zone: Zone,
    /// The days, Monday first; all of them where none is named.
    pub days: [bool; 7],
    /// The hours; all of them where none is named.
    pub hours: Vec<Hours>,
    /// Not before this moment.
    pub from: Option<Timestamp>,
    /// Not at this moment, nor after it.
    pub until: Option<Timestamp>,
}

/// From a minute of the day to another, without that one. Where the second is not later it is that of
/// the following day, and the night belongs to the day on which it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: u16,
    to: u16,
}

/// A time zone of the IANA database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of a name such as `Europe/Paris`.
    pub fn named(name: &str) -> Option<Self> {
        TimeZoneDatabase::bundled().get(name).ok().map(Self)
    }

    /// The moment at which the clock there shows `HH:MM` on a day; where it shows it twice the first,
    /// where never the one after the gap.
    pub fn moment(&self, date: &str, time: &str) -> Option<Timestamp> {
        let moment = self.0.to_timestamp(DateTime::from_parts(date_of(date)?, time_of(time)?)).ok()?;
        u64::try_from(moment.as_second()).ok().map(Timestamp::from_unix)
    }

    /// The first moment after a day.
    pub fn day_after(&self, date: &str) -> Option<Timestamp> {
        let next = date_of(date)?.tomorrow().ok()?;
        let moment = self.0.to_timestamp(DateTime::from_parts(next, Time::midnight())).ok()?;
        u64::try_from(moment.as_second()).ok().map(Timestamp::from_unix)
    }
}

/// A day, written as `2027-01-31` and in no other way.
fn date_of(text: &str) -> Option<Date> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse().ok().filter(|_| is_plain)
}

/// A time of the day, written as `08:30` and in no other way.
fn time_of(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i8>().ok().filter(|_| is_plain)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

impl Hours {
    /// `08:00-19:30`, `22:00-06:00` over midnight, `18:00-24:00` to its end.
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let time = time_of(text)?;
            u16::try_from(i16::from(time.hour()) * 60 + i16::from(time.minute())).ok()
        };
        let (from, to) = text.split_once('-')?;
        let hours = Self { from: minute(from)?, to: if to == "24:00" { DAY } else { minute(to)? } };
        (hours.from != hours.to).then_some(hours)
    }

    fn is_over_midnight(self) -> bool {
        self.to < self.from
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl Window {
    /// As one would say it: `mon-fri 08:00-19:00 (Europe/Paris)`.
    pub(in crate::gate) fn says(&self) -> String {
        let mut said = Vec::new();
        if self.days.contains(&false) {
            said.push(self.days_said());
        }
        if !self.hours.is_empty() {
            let hours: Vec<String> = self.hours.iter().map(ToString::to_string).collect();
            said.push(hours.join(", "));
        }
        let there = |moment: Timestamp| self.there(moment).map(|there| there.strftime("%Y-%m-%dT%H:%M").to_string());
        said.extend(self.from.and_then(there).map(|from| format!("from {from}")));
        said.extend(self.until.and_then(there).map(|until| format!("until {until}")));
        format!("{} ({})", said.join(" "), self.zone.0.iana_name().unwrap_or("UTC"))
    }

    /// What the clock there shows.
    pub(in crate::gate) fn clock(&self, now: Timestamp) -> Option<String> {
        let there = self.there(now)?;
        let day = DAYS.get(usize::try_from(there.weekday().to_monday_zero_offset()).ok()?)?;
        Some(format!("{day} {}", there.strftime("%Y-%m-%dT%H:%M")))
    }

    fn there(&self, moment: Timestamp) -> Option<DateTime> {
        let moment = jiff::Timestamp::from_second(i64::try_from(moment.as_unix()).ok()?).ok()?;
        Some(self.zone.0.to_datetime(moment))
    }

    /// `mon-wed, fri`.
    fn days_said(&self) -> String {
        let mut spans: Vec<(&str, &str)> = Vec::new();
        let mut was_on = false;
        for (name, is_on) in DAYS.into_iter().zip(self.days) {
            match spans.last_mut().filter(|_| was_on) {
                Some((_, last)) if is_on => *last = name,
                _ if is_on => spans.push((name, name)),
                _ => {}
            }
            was_on = is_on;
        }
        let said = spans.into_iter().map(
            |(first, last)| {
                if first == last { first.to_owned() } else { format!("{first}-{last}") }
            },
        );
        said.collect::<Vec<_>>().join(", ")
    }

    /// Whether a moment is in it. `None` for a moment that no calendar has.
    pub fn holds(&self, now: Timestamp) -> Option<bool> {
        if self.from.is_some_and(|from| now < from) || self.until.is_some_and(|until| now >= until) {
            return Some(false);
        }
        let there = self.there(now)?;
        let today = usize::try_from(there.weekday().to_monday_zero_offset()).ok()?;
        let minute = u16::try_from(i16::from(there.hour()) * 60 + i16::from(there.minute())).ok()?;
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or(false);
        if self.hours.is_empty() {
            return Some(on(today));
        }
        Some(self.hours.iter().any(|hours| {
            if hours.is_over_midnight() {
                (on(today) && minute >= hours.from) || (on(today + 6) && minute < hours.to)
            } else {
                on(today) && (hours.from..hours.to).contains(&minute)
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris() -> Zone {
        Zone::named("Europe/Paris").unwrap()
    }

    fn window(days: &[usize], hours: &[&str]) -> Window {
        Window {
            zone: paris(),
            days: std::array::from_fn(|day| days.is_empty() || days.contains(&day)),
            hours: hours.iter().map(|text| Hours::parse(text).unwrap()).collect(),
            from: None,
            until: None,
        }
    }

    fn at(utc: &str) -> Timestamp {
        let (date, time) = utc.split_once(' ').unwrap();
        Zone::named("UTC").unwrap().moment(date, time).unwrap()
    }

    #[test]
    fn hours_are_those_of_the_clock_on_the_wall_in_summer_and_in_winter() {
        let office = window(&[0, 1, 2, 3, 4], &["08:00-19:00"]);
        for (moment, expected) in [
            ("2026-11-20 06:59", false), // Friday, winter: an hour ahead
            ("2026-11-20 07:00", true),
            ("2026-11-20 17:59", true),
            ("2026-11-20 18:00", false),
            ("2026-07-03 05:59", false), // Friday, summer: two
            ("2026-07-03 06:00", true),
            ("2026-07-03 16:59", true),
            ("2026-07-03 17:00", false),
            ("2026-11-21 12:00", false), // Saturday
            // The day is that of the place: Sunday evening in UTC is Monday in Paris.
            ("2026-07-05 22:30", false),
        ] {
            assert_eq!(office.holds(at(moment)), Some(expected), "{moment}");
        }
        let monday = window(&[0], &[]);
        assert_eq!(monday.holds(at("2026-07-05 22:30")), Some(true));
        assert_eq!(monday.holds(at("2026-07-06 22:30")), Some(false));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = window(&[4], &["22:00-06:00"]);
        for (moment, expected) in [
            ("2026-11-20 20:59", false),
            ("2026-11-20 21:00", true), // Friday 22:00
            ("2026-11-21 04:59", true), // Saturday 05:59
            ("2026-11-21 05:00", false),
            ("2026-11-20 03:00", false), // Friday 04:00 is Thursday's night
            ("2026-11-21 21:00", false),
        ] {
            assert_eq!(night.holds(at(moment)), Some(expected), "{moment}");
        }
        let sunday = window(&[6], &["23:00-01:00", "12:00-13:00"]);
        assert_eq!(sunday.holds(at("2026-11-22 23:30")), Some(true), "Monday, half past midnight");
        assert_eq!(sunday.holds(at("2026-11-22 11:30")), Some(true));
        assert_eq!(window(&[], &["18:00-24:00"]).holds(at("2026-11-22 22:59")), Some(true));
        assert_eq!(window(&[], &["18:00-24:00"]).holds(at("2026-11-22 23:00")), Some(false));
    }

    #[test]
    fn the_hour_that_comes_twice_counts_twice_and_the_one_that_never_comes_never() {
        let night = window(&[], &["02:00-03:00"]);
        // 25 October 2026: 03:00 becomes 02:00, at 01:00 UTC.
        for (moment, expected) in [
            ("2026-10-24 23:59", false),
            ("2026-10-25 00:30", true),
            ("2026-10-25 01:30", true),
            ("2026-10-25 02:00", false),
        ] {
            assert_eq!(night.holds(at(moment)), Some(expected), "{moment}");
        }
        // 29 March 2026: 02:00 becomes 03:00, at 01:00 UTC.
        for moment in ["2026-03-29 00:59", "2026-03-29 01:00"] {
            assert_eq!(night.holds(at(moment)), Some(false), "{moment}");
        }
    }

    #[test]
    fn dates_begin_and_end_at_midnight_of_the_place() {
        let zone = paris();
        let term = Window {
            from: zone.moment("2026-09-01", "00:00"),
            until: zone.day_after("2027-01-31"),
            ..window(&[], &[])
        };
        for (moment, expected) in [
            ("2026-08-31 21:59", false),
            ("2026-08-31 22:00", true),
            ("2027-01-31 22:59", true),
            ("2027-01-31 23:00", false),
        ] {
            assert_eq!(term.holds(at(moment)), Some(expected), "{moment}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_none_is_no_window() {
        for text in [
            "",
            "8:00-19:00",
            "08:00",
            "08:00-08:00",
            "24:00-01:00",
            "08:00-25:00",
            "08:60-09:00",
            "08:00 - 19:00",
            "08h00-19h00",
            "08:00:00-19:00:00",
            "+8:00-19:00",
            "08:00-24:01",
        ] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
        for date in ["", "2026-1-31", "20260131", "2026-02-30", "31-01-2026", "2026-01-31T08:00", "-026-01-31"] {
            assert_eq!(paris().moment(date, "00:00"), None, "{date}");
        }
        for zone in ["", "Paris", "CEST", "Europe/Pari", "UTC+1", "../etc/passwd", "CET-1CEST,M3.5.0,M10.5.0/3"] {
            assert_eq!(Zone::named(zone), None, "{zone}");
        }
        assert_eq!(window(&[], &[]).holds(Timestamp::from_unix(u64::MAX)), None);
        assert_eq!(window(&[], &[]).holds(Timestamp::from_unix(1 << 60)), None);
    }
}
