//! Which answers of an app a cache that serves several people may keep.
//!
//! Called by `server` before it adds a cookie of one person's to an answer: a cache in front of us
//! would hand it to everybody.

use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Whether the app means this answer for shared caches, by `Cache-Control` (RFC 9111 §5.2.2) or by
/// a field for caches of its choice, which they obey before `Cache-Control` (RFC 9213 and the older
/// ones of nginx, Akamai, Fastly and Varnish).
pub fn is_meant_for_many(headers: &HeaderMap) -> bool {
    headers.keys().any(targets_a_cache) || says(headers, &["public", "s-maxage"])
}

/// What keeps shared caches off an answer that does not do so itself. Without it they may keep
/// what has no `Cache-Control` at all, by guessing (RFC 9111 §4.2.2).
pub fn keeps_others_out(headers: &HeaderMap) -> Option<HeaderValue> {
    (!says(headers, &["private", "no-store"])).then(|| HeaderValue::from_static("private"))
}

fn targets_a_cache(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("cdn-cache-control")
        || ["surrogate-control", "edge-control", "x-accel-expires", "x-cache-control"].contains(&name)
}

fn says(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(|directive| {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn answers_for_many_are_told_by_every_field_that_caches_obey() {
        for (name, value) in [
            ("cache-control", "public"),
            ("cache-control", "max-age=60, PUBLIC"),
            ("cache-control", "S-MaxAge =60"),
            ("cdn-cache-control", "max-age=60"),
            ("cloudflare-cdn-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
            ("edge-control", "!no-store, max-age=60"),
            ("x-accel-expires", "60"),
        ] {
            assert!(is_meant_for_many(&headers(&[("cache-control", "private"), (name, value)])), "{name}: {value}");
        }
        for value in ["private", "no-store", "max-age=60", "no-cache", ""] {
            assert!(!is_meant_for_many(&headers(&[("cache-control", value)])), "{value}");
        }
    }

    #[test]
    fn what_does_not_keep_others_out_itself_is_made_to() {
        for value in ["private", "no-store", "max-age=0,No-Store", "private=\"x\", max-age=1"] {
            assert_eq!(keeps_others_out(&headers(&[("cache-control", value)])), None, "{value}");
        }
        for pair in [
            ("cache-control", "max-age=60"),
            ("cache-control", "no-cache"),
            ("expires", "Thu, 01 Dec 2098 16:00:00 GMT"),
            ("last-modified", "x"),
        ] {
            assert_eq!(keeps_others_out(&headers(&[pair])).unwrap(), "private", "{pair:?}");
        }
    }
}
