//! Moments in words: since when in UTC, which says so, and how long ago, which needs no time zone.
//!
//! Called by `sessions`. A page without a script cannot know its reader's time zone.

use super::language::Language;
use crate::clock::Timestamp;
use chrono::{DateTime, Datelike, Timelike};
use std::time::Duration;

const ENGLISH: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const FRENCH: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];

/// A moment in UTC, to the minute: `21 November 2026, 18:05 UTC`, `21 novembre 2026 à 18 h 05 UTC`.
pub(super) fn moment(at: Timestamp, language: Language) -> String {
    let date = i64::try_from(at.as_unix()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    // Beyond what a calendar holds.
    let Some(date) = date else { return at.as_unix().to_string() };
    let (day, year, hour, minute) = (date.day(), date.year(), date.hour(), date.minute());
    let month = |names: [&'static str; 12]| {
        usize::try_from(date.month0()).ok().and_then(|month| names.get(month).copied()).unwrap_or_default()
    };
    match language {
        Language::English => format!("{day} {} {year}, {hour:02}:{minute:02} UTC", month(ENGLISH)),
        Language::French => {
            let first = if day == 1 { "er" } else { "" };
            format!("{day}{first} {} {year} à {hour}\u{a0}h\u{a0}{minute:02} UTC", month(FRENCH))
        }
    }
}

/// How long ago, roughly: `3 minutes ago`, `il y a 3 minutes`.
pub(super) fn ago(past: Duration, language: Language) -> String {
    let minutes = past.as_secs() / 60;
    let (count, english, french) = match minutes {
        0 | 1 => {
            return match language {
                Language::English => "just now".to_owned(),
                Language::French => "à l’instant".to_owned(),
            };
        }
        2..60 => (minutes, "minute", "minute"),
        60..2880 => (minutes / 60, "hour", "heure"),
        _ => (minutes / 1440, "day", "jour"),
    };
    let plural = if count > 1 { "s" } else { "" };
    match language {
        Language::English => format!("{count} {english}{plural} ago"),
        Language::French => format!("il y a {count}\u{a0}{french}{plural}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_said_in_both_languages_and_say_that_they_are_utc() {
        let cases = [
            (1_795_000_000, "18 November 2026, 11:06 UTC", "18 novembre 2026 à 11\u{a0}h\u{a0}06 UTC"),
            (0, "1 January 1970, 00:00 UTC", "1er janvier 1970 à 0\u{a0}h\u{a0}00 UTC"),
            (u64::MAX, "18446744073709551615", "18446744073709551615"),
        ];
        for (at, english, french) in cases {
            let at = Timestamp::from_unix(at);
            assert_eq!((moment(at, Language::English), moment(at, Language::French)), (english.into(), french.into()));
        }
    }

    #[test]
    fn how_long_ago_is_said_in_the_largest_unit_that_says_something() {
        let cases = [
            (0, "just now", "à l’instant"),
            (119, "just now", "à l’instant"),
            (120, "2 minutes ago", "il y a 2\u{a0}minutes"),
            (3599, "59 minutes ago", "il y a 59\u{a0}minutes"),
            (3600, "1 hour ago", "il y a 1\u{a0}heure"),
            (86_400, "24 hours ago", "il y a 24\u{a0}heures"),
            (3 * 86_400, "3 days ago", "il y a 3\u{a0}jours"),
        ];
        for (seconds, english, french) in cases {
            let past = Duration::from_secs(seconds);
            assert_eq!((ago(past, Language::English), ago(past, Language::French)), (english.into(), french.into()));
        }
    }
}
