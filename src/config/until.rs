//! A date in the YAML after which something no longer holds: `2027-01-31`, or a moment with its
//! time and zone.
//!
//! `written` uses it for the end of a former session key. A date alone means its whole day in UTC,
//! as people mean "until the 31st"; what runs is the first moment at which it no longer holds.

use super::scalar::text_scalar;
use crate::clock::Timestamp;
use chrono::{DateTime, Days, NaiveDate, NaiveTime};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The first moment after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Until(pub(super) Timestamp);

const UNTIL: &str = "a date such as 2027-01-31, or a moment such as 2027-01-31T18:00:00+01:00";

text_scalar!(Until, "a date such as 2027-01-31, or a moment such as 2027-01-31T18:00:00+01:00", Until::parse);

impl Until {
    fn parse(text: &str) -> Result<Self, String> {
        let end = if text.contains(':') {
            DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.timestamp())
        } else {
            day_after(text).map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp())
        };
        let end = end.and_then(|end| u64::try_from(end).ok());
        end.map(|end| Self(Timestamp::from_unix(end))).ok_or_else(|| format!("{text:?} is not {UNTIL}"))
    }
}

/// The day after this one, where it is written with four, two and two digits and nothing else.
fn day_after(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<u32>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?.checked_add_days(Days::new(1))
}

impl JsonSchema for Until {
    fn schema_name() -> Cow<'static, str> {
        "Until".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2}))?$",
            "x-type": "date, or moment with its time and zone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_holds_to_the_end_of_its_day_in_utc_and_a_moment_to_its_second() {
        for (text, end, shown) in [
            ("2027-01-31", 1_801_440_000, "2027-02-01 00:00:00 UTC"),
            ("2028-02-29", 1_835_481_600, "2028-03-01 00:00:00 UTC"),
            ("2027-12-31", 1_830_297_600, "2028-01-01 00:00:00 UTC"),
            ("2027-01-31T00:00:00Z", 1_801_353_600, "2027-01-31 00:00:00 UTC"),
            ("2027-01-31T18:00:00+01:00", 1_801_414_800, "2027-01-31 17:00:00 UTC"),
            ("2027-01-31 18:00:00.9-02:00", 1_801_425_600, "2027-01-31 20:00:00 UTC"),
        ] {
            let until = Until::parse(text).unwrap();
            assert_eq!((until.0.as_unix(), until.0.date_and_time().as_str()), (end, shown), "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_none_is_refused() {
        for text in [
            "",
            "2027",
            "2027-01",
            "2027-1-31",
            "27-01-31",
            "31-01-2027",
            "31/01/2027",
            "2027-02-29",
            "2027-13-01",
            "2027-00-10",
            "+2027-01-31",
            "2027-01-31-",
            "2027-01-31 ",
            "20270131",
            "2027-01-31T18:00:00",
            "2027-01-31T18:00Z",
            "2027-01-31T24:00:00Z",
            "18:00:00Z",
            "1969-12-30",
            "1969-12-31T00:00:00Z",
            "tomorrow",
            "١٢٣٤-٠١-٠٢",
        ] {
            assert!(Until::parse(text).is_err(), "{text}");
        }
    }
}
