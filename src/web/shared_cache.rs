//! Which answers of an app a cache that serves several people may keep.
//!
//! Called by `server` before it adds a cookie of one person's to an answer: a cache in front of us
//! would hand it to everybody.

use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Whether the app means this answer for shared caches: by a field for caches of its choice, which
/// they obey before `Cache-Control` (RFC 9213 and the older ones of nginx, Akamai and Varnish), or
/// by `Cache-Control`, where a lifetime alone is enough (RFC 9111 §3) unless it says that the
/// answer is one person's or nobody's.
pub fn is_meant_for_many(headers: &HeaderMap) -> bool {
    if headers.keys().any(targets_a_cache) {
        return true;
    }
    let mut shared = false;
    for (name, argument) in directives(headers) {
        match name.as_str() {
            "private" | "no-store" => return false,
            "public" | "s-maxage" => shared = true,
            "max-age" => shared |= argument != b"0",
            _ => {}
        }
    }
    shared
}

/// What keeps shared caches off an answer that does not do so itself. Without it they may keep
/// what has no `Cache-Control` at all, by guessing (RFC 9111 §4.2.2).
pub fn keeps_others_out(headers: &HeaderMap) -> Option<HeaderValue> {
    let does_itself = directives(headers).any(|(name, _)| matches!(name.as_str(), "private" | "no-store"));
    (!does_itself).then(|| HeaderValue::from_static("private"))
}

fn targets_a_cache(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("cdn-cache-control") || ["surrogate-control", "edge-control", "x-accel-expires"].contains(&name)
}

/// The names, in lower case, and the arguments of all `Cache-Control` directives.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (String, &[u8])> {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(|directive| {
        let at = directive.iter().position(|byte| *byte == b'=').unwrap_or(directive.len());
        let (name, argument) = directive.split_at(at);
        let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
        (name, argument.strip_prefix(b"=").unwrap_or_default().trim_ascii())
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
        for value in ["public", "max-age=60, PUBLIC", "S-MaxAge =60", "max-age=60", "no-cache, max-age = 60"] {
            assert!(is_meant_for_many(&headers(&[("cache-control", value)])), "{value}");
        }
        for name in [
            "cdn-cache-control",
            "cloudflare-cdn-cache-control",
            "surrogate-control",
            "edge-control",
            "x-accel-expires",
        ] {
            assert!(is_meant_for_many(&headers(&[("cache-control", "private"), (name, "60")])), "{name}");
        }
        for value in ["private", "no-store", "max-age=60, private", "max-age=0", "no-cache", ""] {
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
