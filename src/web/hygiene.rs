//! Request hygiene: whatever could be understood in two ways is refused before it is understood.
//!
//! Called by `server/look` first of all. [`CleanRequest`] is the only form in which `gate` and
//! `login` see a request, and [`CleanRequest::inspect`] its only constructor. It judges what
//! Pingora's parser lets through on purpose (leniency that RFC 9112 permits): a proxy that guards
//! a door cannot afford two readings of one request.

use super::path::{BadPath, RequestPath};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{Method, Version};
use std::borrow::Cow;

/// The most bytes of request line and headers together. A browser that holds an oversized cookie
/// (64 KiB is the most that any keeps for one name) still gets an ordinary answer, which is how it
/// gets rid of it; most apps behind us take less (Tornado 64 KiB, h11 16 KiB an event).
pub const MAX_HEAD_LEN: usize = 80 * 1024;

/// The most bytes of path and query: what the parser of requests takes, so that one which a front
/// proxy asks about is judged alike.
pub const MAX_TARGET_LEN: usize = 65_534;

/// A request that has one meaning.
#[derive(Clone, Debug)]
pub struct CleanRequest<'a> {
    parts: &'a Parts,
    target: &'a str,
    path: RequestPath<'a>,
    host: Cow<'a, str>,
}

/// Why a request is answered 400 and its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// See [`BadPath`].
    #[error(transparent)]
    Path(#[from] BadPath),
    /// `TRACE` echoes credentials, `CONNECT` is for tunnels, and methods are upper-case
    /// (RFC 9110 §9.1): apps differ on `get`.
    #[error("the method is not one that is served here")]
    Method,
    /// Missing, empty, repeated, or not `host[:port]` (RFC 9112 §3.2).
    #[error("the Host header is missing, repeated or malformed")]
    Host,
    /// Repeated `Content-Length`, or one beside `Transfer-Encoding` (RFC 9112 §6.3).
    #[error("the length of the body is given in two ways")]
    BodyLength,
    /// Anything but a plain `chunked`.
    #[error("the Transfer-Encoding is not chunked alone")]
    TransferEncoding,
    /// Anything but `100-continue`.
    #[error("the Expect header is not 100-continue")]
    Expect,
    /// Anything but a WebSocket handshake by GET without a body (RFC 6455 §4.1).
    #[error("the upgrade is not a WebSocket handshake")]
    Upgrade,
    /// Over [`MAX_HEAD_LEN`] or [`MAX_TARGET_LEN`].
    #[error("the request's head or target is too long")]
    TooLong,
    /// A header that holds a control character.
    #[error("a header value holds a control character")]
    HeaderValue,
}

impl<'a> CleanRequest<'a> {
    /// Judges a request. `target` is the request target as it will be sent on; `head` its request
    /// line and headers as they were received.
    ///
    /// # Errors
    /// [`Ambiguous`], by cause.
    pub fn inspect(parts: &'a Parts, target: &'a [u8], head: &[u8]) -> Result<Self, Ambiguous> {
        if head.len() > MAX_HEAD_LEN {
            return Err(Ambiguous::TooLong);
        }
        check_method(&parts.method)?;
        check_body_length(parts, head)?;
        check_upgrade(parts)?;
        if parts.headers.get_all(EXPECT).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(Ambiguous::Expect);
        }
        if parts.headers.values().any(|value| value.as_bytes().iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)))
        {
            return Err(Ambiguous::HeaderValue);
        }
        if target.len() > MAX_TARGET_LEN {
            return Err(Ambiguous::TooLong);
        }
        let target = std::str::from_utf8(target).map_err(|_| BadPath::Character)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if query.bytes().any(|byte| matches!(byte, 0..=b' ' | 0x7F | b'#')) {
            return Err(BadPath::Character.into());
        }
        Ok(Self { parts, target, path: RequestPath::parse(path)?, host: host(parts)? })
    }

    /// The request's method, headers and version.
    pub fn parts(&self) -> &'a Parts {
        self.parts
    }

    /// Path and query, as they came and will be sent on.
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The query, without its `?`.
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The path in all its readings.
    pub fn path(&self) -> &RequestPath<'a> {
        &self.path
    }

    /// The host that was asked for: lower-case, without port and final dot.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether this is a WebSocket handshake.
    pub fn is_upgrade(&self) -> bool {
        self.parts.headers.contains_key(UPGRADE)
    }
}

fn check_method(method: &Method) -> Result<(), Ambiguous> {
    let upper = method.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_');
    if upper && *method != Method::TRACE && *method != Method::CONNECT { Ok(()) } else { Err(Ambiguous::Method) }
}

fn check_body_length(parts: &Parts, head: &[u8]) -> Result<(), Ambiguous> {
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(()),
        (Some(length), None) => {
            let digits = length.as_bytes();
            let plain = !digits.is_empty() && digits.len() < 19 && digits.iter().all(u8::is_ascii_digit);
            if plain && lengths.next().is_none() { Ok(()) } else { Err(Ambiguous::BodyLength) }
        }
        (None, Some(coding)) => {
            // Pingora drops a `Content-Length` beside it before anyone sees the headers. Whoever
            // stands in front of us may have believed that one, so it still counts.
            if names_a_length(head) {
                return Err(Ambiguous::BodyLength);
            }
            let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
            if chunked && parts.version == Version::HTTP_11 { Ok(()) } else { Err(Ambiguous::TransferEncoding) }
        }
        (Some(_), Some(_)) => Err(Ambiguous::BodyLength),
    }
}

fn names_a_length(head: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length:";
    head.split(|byte| *byte == b'\n')
        .any(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))
}

fn check_upgrade(parts: &Parts) -> Result<(), Ambiguous> {
    let mut upgrades = parts.headers.get_all(UPGRADE).iter();
    let Some(upgrade) = upgrades.next() else { return Ok(()) };
    let websocket = upgrade.as_bytes().eq_ignore_ascii_case(b"websocket") && upgrades.next().is_none();
    let body = parts.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
        || parts.headers.contains_key(TRANSFER_ENCODING);
    if websocket && parts.method == Method::GET && !body { Ok(()) } else { Err(Ambiguous::Upgrade) }
}

fn host(parts: &Parts) -> Result<Cow<'_, str>, Ambiguous> {
    normalise_host(host_header(parts)?).ok_or(Ambiguous::Host)
}

/// The `Host` of a request, as it came. Whether it is one is another question.
///
/// # Errors
/// [`Ambiguous::Host`] where it is missing or repeated.
pub fn host_header(parts: &Parts) -> Result<&str, Ambiguous> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or(Ambiguous::Host)?;
    if hosts.next().is_some() { Err(Ambiguous::Host) } else { Ok(host) }
}

/// `host[:port]` as one spelling: lower-case, without port and final dot; `None` for anything else.
pub fn normalise_host(text: &str) -> Option<Cow<'_, str>> {
    split_host(text).map(|(name, _)| name)
}

/// The same beside the port, where it is named.
pub fn split_host(text: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let (name, rest) = match text.strip_prefix('[') {
        Some(literal) => {
            let (address, rest) = literal.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (text.get(..address.len() + 2)?, rest)
        }
        None => {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let name = name.strip_suffix('.').unwrap_or(name);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) || name.starts_with('.') {
                return None;
            }
            (name, rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some(port) if port.starts_with('+') => return None,
        Some(port) => Some(port.parse::<u16>().ok()?),
    };
    let lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    Some((if lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) }, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(String, String), Ambiguous> {
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        CleanRequest::inspect(&parts, target.as_bytes(), b"")
            .map(|clean| (clean.host().to_owned(), clean.path().literal().to_owned()))
    }

    #[test]
    fn ordinary_requests_are_clean() {
        let cases: [(&str, &[(&str, &str)]); 7] = [
            ("GET", &[("host", "App.Example:8080")]),
            ("GET", &[("host", "app.example.")]),
            ("POST", &[("host", "app.example"), ("content-length", "12"), ("expect", "100-continue")]),
            ("PUT", &[("host", "app.example"), ("transfer-encoding", "chunked")]),
            ("M-SEARCH", &[("host", "app.example")]),
            ("GET", &[("host", "app.example"), ("upgrade", "websocket"), ("connection", "upgrade")]),
            ("OPTIONS", &[("host", "app.example"), ("x-note", "caf\u{e9}\tok")]),
        ];
        for (method, headers) in cases {
            let expected = Ok(("app.example".to_owned(), "/a".to_owned()));
            assert_eq!(inspect(method, "/a?q=é", headers), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn whatever_has_two_meanings_is_refused_with_its_cause() {
        use Ambiguous::{BodyLength, Expect, Host, Method, TransferEncoding, Upgrade};
        const H: (&str, &str) = ("host", "app.example");
        let cases: [(&str, &[(&str, &str)], Ambiguous); 26] = [
            ("TRACE", &[H], Method),
            ("CONNECT", &[H], Method),
            ("get", &[H], Method),
            ("GET", &[], Host),
            ("GET", &[("host", "")], Host),
            ("GET", &[H, H], Host),
            ("GET", &[("host", "a b")], Host),
            ("GET", &[("host", "a/b")], Host),
            ("GET", &[("host", "user@app.example")], Host),
            ("GET", &[("host", "app.example:x")], Host),
            ("GET", &[("host", "app.example:")], Host),
            ("GET", &[("host", "app.example:99999")], Host),
            ("GET", &[("host", "app.example, evil.example")], Host),
            ("GET", &[("host", "[::1")], Host),
            ("POST", &[H, ("content-length", "3"), ("content-length", "3")], BodyLength),
            ("POST", &[H, ("content-length", "3, 3")], BodyLength),
            ("POST", &[H, ("content-length", "+3")], BodyLength),
            ("POST", &[H, ("content-length", "3"), ("transfer-encoding", "chunked")], BodyLength),
            ("POST", &[H, ("transfer-encoding", "gzip, chunked")], TransferEncoding),
            ("POST", &[H, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], TransferEncoding),
            ("POST", &[H, ("transfer-encoding", "\u{b}chunked")], TransferEncoding),
            ("POST", &[H, ("expect", "foo")], Expect),
            ("GET", &[H, ("upgrade", "h2c")], Upgrade),
            ("GET", &[H, ("upgrade", "websocket, h2c")], Upgrade),
            ("POST", &[H, ("upgrade", "websocket")], Upgrade),
            ("GET", &[H, ("upgrade", "websocket"), ("content-length", "5")], Upgrade),
        ];
        for (method, headers, cause) in cases {
            if headers.iter().any(|(_, value)| http::HeaderValue::from_str(value).is_err()) {
                continue; // never gets past the parser
            }
            assert_eq!(inspect(method, "/", headers), Err(cause), "{method} {headers:?}");
        }
    }

    #[test]
    fn the_target_is_a_path_and_a_query_and_nothing_else() {
        let host = [("host", "app.example")];
        for bad in [
            "*",
            "x:80",
            "http://evil.example/",
            "//evil.example/",
            "/a/../b",
            "/a b",
            "/a?b c",
            "/a?b\r\nc",
            "/a?b#c",
            "",
        ] {
            assert!(matches!(inspect("GET", bad, &host), Err(Ambiguous::Path(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_head_that_is_too_long_is_refused() {
        let parts = http::Request::builder().header("host", "a").body(()).unwrap().into_parts().0;
        assert_eq!(CleanRequest::inspect(&parts, b"/", &vec![b'a'; MAX_HEAD_LEN + 1]).unwrap_err(), Ambiguous::TooLong);
    }

    #[test]
    fn a_length_that_the_parser_dropped_beside_a_transfer_encoding_still_counts() {
        let request = http::Request::builder().header("host", "a").header("transfer-encoding", "chunked");
        let parts = request.body(()).unwrap().into_parts().0;
        let inspect = |head: &[u8]| CleanRequest::inspect(&parts, b"/", head).map(|_| ());
        assert_eq!(inspect(b"POST / HTTP/1.1\r\nhost: a\r\nx-content-length: 1\r\n\r\n"), Ok(()));
        for line in ["content-length: 3\r\n", "Content-Length:3\n"] {
            let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{line}transfer-encoding: chunked\r\n\r\n");
            assert_eq!(inspect(head.as_bytes()), Err(Ambiguous::BodyLength), "{line:?}");
        }
    }

    #[test]
    fn hosts_have_one_spelling() {
        for (text, expected) in [
            ("A.B:80", Some("a.b")),
            ("a.b.", Some("a.b")),
            ("[::1]:8080", Some("[::1]")),
            ("a..b.", Some("a..b")),
            (".a", None),
        ] {
            assert_eq!(normalise_host(text).as_deref(), expected, "{text}");
        }
    }
}
