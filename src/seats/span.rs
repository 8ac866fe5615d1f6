//! Spans of time in licences, as the configuration writes them: `90s`, `10m`, `8h`, `30d`.

use serde::{Deserialize, Deserializer, Serializer};
use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 24 * 3600), ('h', 3600), ('m', 60), ('s', 1)];

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let (_, seconds) = UNITS.into_iter().find(|(name, _)| unit == name.to_string())?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| is_plain)?;
    number.checked_mul(seconds).filter(|seconds| *seconds < 1_000_000_000_000).map(Duration::from_secs)
}

fn text(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = UNITS.into_iter().find(|(_, unit)| seconds != 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}

pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*span))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom("expected a span of time such as 90s, 10m, 8h or 30d"))
}

/// One that may be absent.
pub(super) mod optional {
    use super::{Deserializer, Duration, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands it over so")]
    pub(in super::super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_they_are_read() {
        for (written, seconds, back) in [
            ("90s", 90, "90s"),
            ("10m", 600, "10m"),
            ("24h", 86400, "1d"),
            ("30d", 2_592_000, "30d"),
            ("3600s", 3600, "1h"),
        ] {
            assert_eq!(parse(written), Some(Duration::from_secs(seconds)));
            assert_eq!(text(Duration::from_secs(seconds)), back);
        }
        for bad in ["", "10", "m", "1.5h", "-1h", "+1h", "10 m", "1y", "99999999999999d", "é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
