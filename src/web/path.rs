//! The request path: what is judged is what is served.
//!
//! Called by `gate/route` for every request and by `return_to`. The path goes to the app byte for
//! byte as the client sent it, so the danger is that the app reads it differently from us: `%2F`
//! as a separator or not, `;x` as a parameter or not, `//` as one slash or two. This parser
//! refuses what no honest client sends (dot segments, backslashes, control characters, broken or
//! doubled percent-encoding) and for the rest gives *every reading that an app may have*. The
//! gate serves a path only when all its readings fall under the same route, so it does not
//! matter which one the app takes.

use std::borrow::Cow;

/// A path that may be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    literal: Cow<'a, str>,
    others: Vec<String>,
}

/// The longest path that is read in several ways, in bytes: each reading costs a pass over it.
/// Front proxies take no longer ones.
const MAX_UNUSUAL_LEN: usize = 8 * 1024;

/// Why a path is answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Not in origin form (RFC 9112 §3.2.1), or two slashes in front, which many take for a host.
    #[error("the path does not start with exactly one slash")]
    NotAbsolute,
    /// `.` or `..`, however encoded. Browsers resolve these before they send.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// Control characters, spaces, `\`, `#`, or bytes above ASCII, raw or encoded as controls.
    #[error("the path holds a character that is not allowed in paths")]
    Character,
    /// `%` without two hexadecimal digits behind it.
    #[error("the path holds a broken percent-encoding")]
    Encoding,
    /// A percent-encoding of a percent-encoding that matters, or an overlong UTF-8 form.
    #[error("the path is percent-encoded twice")]
    EncodedTwice,
    /// Over 8 KiB, with encoded characters or parameters in it.
    #[error("the path is too long for one that apps may read in several ways")]
    TooLong,
}

impl<'a> RequestPath<'a> {
    /// Parses the path of a request target, without its query.
    ///
    /// # Errors
    /// [`BadPath`], by cause.
    pub fn parse(raw: &'a str) -> Result<Self, BadPath> {
        let bytes = raw.as_bytes();
        if bytes.first() != Some(&b'/') || bytes.get(1) == Some(&b'/') {
            return Err(BadPath::NotAbsolute);
        }
        let mut previous = 0;
        let mut plain = true;
        for &byte in bytes {
            match byte {
                0..=b' ' | 0x7F.. | b'\\' | b'#' | b'?' => return Err(BadPath::Character),
                b'%' | b';' => plain = false,
                b'/' | b'.' if previous == b'/' => plain = false,
                _ => {}
            }
            previous = byte;
        }
        if plain { Ok(Self { literal: Cow::Borrowed(raw), others: Vec::new() }) } else { Self::parse_unusual(raw) }
    }

    fn parse_unusual(raw: &str) -> Result<Self, BadPath> {
        if raw.len() > MAX_UNUSUAL_LEN {
            return Err(BadPath::TooLong);
        }
        let decoded = decode(raw)?;
        let literal = Reading::default().of(&decoded);
        let mut others: Vec<String> = Vec::new();
        for reading in Reading::possible(&decoded) {
            let text = reading.of(&decoded);
            if text.split('/').any(|segment| segment == "." || segment == "..") {
                return Err(BadPath::DotSegment);
            }
            if text != literal && !others.contains(&text) {
                others.push(text);
            }
        }
        Ok(Self { literal: Cow::Owned(literal), others })
    }

    /// Decoded, with encoded separators kept as `%2F` and `%5C`: how a framework reads it that
    /// splits first and decodes afterwards.
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// Every other reading that an app may have. Those tricks that a path holds are all combined
    /// with each other, for an app may know one of them and not the next.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// Whether some reading satisfies `holds`.
    pub fn any(&self, holds: impl Fn(&str) -> bool) -> bool {
        holds(self.literal()) || self.others.iter().any(|other| holds(other))
    }
}

/// A character of a decoded path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decoded {
    Char(char),
    /// `%2F`
    EncodedSlash,
    /// `%5C`, which Windows-minded apps read as a separator.
    EncodedBackslash,
    /// `%3B`
    EncodedSemicolon,
}

/// How an app may read a path.
#[derive(Clone, Copy, Default)]
struct Reading {
    /// `%2F` separates: decoded first, split afterwards (uvicorn, nginx, CGI).
    slash: bool,
    /// `%5C` separates (IIS, URL parsers of browsers).
    backslash: bool,
    parameters: Parameters,
    /// Empty segments are gone (nginx, most file servers).
    merge: bool,
}

/// What becomes of `;x=1`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Parameters {
    /// Text like any other.
    #[default]
    Kept,
    /// Gone up to the next written slash, before anything is decoded (Tomcat).
    CutBeforeDecoding,
    /// Gone up to the next separator, with `%3B` cut likewise.
    CutAfterDecoding,
}

impl Reading {
    /// All readings that may differ for this path.
    fn possible(decoded: &[Decoded]) -> impl Iterator<Item = Self> {
        const BOTH: [bool; 2] = [false, true];
        const ALL: [Parameters; 3] = [Parameters::Kept, Parameters::CutBeforeDecoding, Parameters::CutAfterDecoding];
        let holds = |wanted: Decoded| decoded.contains(&wanted);
        let parameters =
            if holds(Decoded::Char(';')) || holds(Decoded::EncodedSemicolon) { &ALL[..] } else { &ALL[..1] };
        let slash = if holds(Decoded::EncodedSlash) { &BOTH[..] } else { &BOTH[..1] };
        let backslash = if holds(Decoded::EncodedBackslash) { &BOTH[..] } else { &BOTH[..1] };
        slash.iter().flat_map(move |&slash| {
            backslash.iter().flat_map(move |&backslash| {
                parameters.iter().flat_map(move |&parameters| {
                    BOTH.into_iter().map(move |merge| Self { slash, backslash, parameters, merge })
                })
            })
        })
    }

    fn of(self, decoded: &[Decoded]) -> String {
        let mut text = String::with_capacity(decoded.len());
        let mut within_parameters = false;
        for &c in decoded {
            let separates = match c {
                Decoded::Char(c) => c == '/',
                Decoded::EncodedSlash => self.slash,
                Decoded::EncodedBackslash => self.backslash,
                Decoded::EncodedSemicolon => false,
            };
            within_parameters &= match self.parameters {
                Parameters::CutBeforeDecoding => c != Decoded::Char('/'),
                Parameters::Kept | Parameters::CutAfterDecoding => !separates,
            };
            within_parameters |= match c {
                Decoded::Char(';') => self.parameters != Parameters::Kept,
                Decoded::EncodedSemicolon => self.parameters == Parameters::CutAfterDecoding,
                _ => false,
            };
            match c {
                _ if within_parameters => {}
                _ if separates => {
                    if !(self.merge && text.ends_with('/')) {
                        text.push('/');
                    }
                }
                Decoded::Char(c) => text.push(c),
                Decoded::EncodedSlash => text.push_str("%2F"),
                Decoded::EncodedBackslash => text.push_str("%5C"),
                Decoded::EncodedSemicolon => text.push(';'),
            }
        }
        text
    }
}

fn decode(raw: &str) -> Result<Vec<Decoded>, BadPath> {
    let mut out = Vec::with_capacity(raw.len());
    // Bytes of the characters between two encoded separators; they are text together.
    let mut run: Vec<u8> = Vec::new();
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            run.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
            return Err(BadPath::Encoding);
        };
        match high << 4 | low {
            0..0x20 | 0x7F => return Err(BadPath::Character),
            b'/' => flush(&mut run, &mut out, Decoded::EncodedSlash)?,
            b'\\' => flush(&mut run, &mut out, Decoded::EncodedBackslash)?,
            b';' => flush(&mut run, &mut out, Decoded::EncodedSemicolon)?,
            plain => run.push(plain),
        }
    }
    push_text(&mut run, &mut out)?;
    Ok(out)
}

fn flush(run: &mut Vec<u8>, out: &mut Vec<Decoded>, separator: Decoded) -> Result<(), BadPath> {
    push_text(run, out)?;
    out.push(separator);
    Ok(())
}

fn push_text(run: &mut Vec<u8>, out: &mut Vec<Decoded>) -> Result<(), BadPath> {
    if encodes_again(run) || run.windows(2).any(is_overlong) {
        return Err(BadPath::EncodedTwice);
    }
    // What is not UTF-8 (old Latin-1 links) becomes U+FFFD, which no pattern can name.
    out.extend(String::from_utf8_lossy(run).chars().map(Decoded::Char));
    run.clear();
    Ok(())
}

/// Whether text that was decoded once still holds an encoding of a character that changes how a
/// path is read: `%2e`, `%2f`, `%5c`, `%3b`, `%23`, `%3f`, `%25`, or a control.
fn encodes_again(text: &[u8]) -> bool {
    text.windows(3).any(|window| match window {
        [b'%', high, low] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => {
                matches!(high << 4 | low, 0..=b' ' | 0x7F | b'.' | b'/' | b'\\' | b';' | b'#' | b'?' | b'%')
            }
            _ => false,
        },
        _ => false,
    })
}

/// `C0` and `C1` never start a character in UTF-8; lenient decoders make `/` or `.` of them.
fn is_overlong(pair: &[u8]) -> bool {
    matches!(pair, [0xC0 | 0xC1, 0x80..=0xBF])
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readings(raw: &str) -> Result<Vec<String>, BadPath> {
        RequestPath::parse(raw).map(|path| [&[path.literal().to_owned()], path.others()].concat())
    }

    #[test]
    fn an_ordinary_path_has_one_reading_and_costs_no_copy() {
        for path in
            ["/", "/a", "/a/b.c/", "/_stcore/health", "/@vite/client", "/a:b,c=d!$&'()*+~", "/..a", "/a..", "/a./b"]
        {
            assert_eq!(readings(path).unwrap(), [path]);
        }
        assert!(matches!(RequestPath::parse("/a/b").unwrap().literal, Cow::Borrowed(_)));
    }

    #[test]
    fn encoded_text_is_judged_decoded() {
        for (raw, reading) in [
            ("/%61dmin/caf%C3%A9", "/admin/café"),
            ("/C%23", "/C#"),
            ("/.well-known/x", "/.well-known/x"),
            ("/100%25", "/100%"),
            ("/latin%E9", "/latin\u{FFFD}"),
        ] {
            assert_eq!(readings(raw).unwrap(), [reading], "{raw}");
        }
    }

    #[test]
    fn whatever_apps_read_differently_has_every_reading() {
        let cases: [(&str, &[&str]); 12] = [
            ("/a%2Fb", &["/a%2Fb", "/a/b"]),
            ("/a%2fb", &["/a%2Fb", "/a/b"]),
            ("/a%5Cb", &["/a%5Cb", "/a/b"]),
            ("/a//b", &["/a//b", "/a/b"]),
            ("/a//", &["/a//", "/a/"]),
            ("/a;x=1/b", &["/a;x=1/b", "/a/b"]),
            ("/a%3Bx/b", &["/a;x/b", "/a/b"]),
            ("/;/a", &["/;/a", "//a", "/a"]),
            ("/hero;id=1", &["/hero;id=1", "/hero"]),
            // One that cuts before it decodes loses what stands behind the encoded slash as well.
            ("/a;x%2Fb/c", &["/a;x%2Fb/c", "/a/c", "/a;x/b/c", "/a/b/c"]),
            ("/a%2F%2Fb", &["/a%2F%2Fb", "/a//b", "/a/b"]),
            ("/a%2Fb%5Cc", &["/a%2Fb%5Cc", "/a%2Fb/c", "/a/b%5Cc", "/a/b/c"]),
        ];
        for (raw, expected) in cases {
            assert_eq!(readings(raw).unwrap(), expected, "{raw}");
        }
    }

    #[test]
    fn a_long_path_is_not_read_over_and_over() {
        let long = "a".repeat(MAX_UNUSUAL_LEN);
        assert!(readings(&format!("/{long}")).is_ok());
        assert_eq!(readings(&format!("/{long};/%2F%5C//")), Err(BadPath::TooLong));
    }

    #[test]
    fn what_no_honest_client_sends_is_refused_with_its_cause() {
        use BadPath::{Character, DotSegment, EncodedTwice, Encoding, NotAbsolute};
        let cases = [
            ("", NotAbsolute),
            ("a", NotAbsolute),
            ("*", NotAbsolute),
            ("//evil.example", NotAbsolute),
            ("http://evil.example/", NotAbsolute),
            ("/a/../b", DotSegment),
            ("/a/..", DotSegment),
            ("/./a", DotSegment),
            ("/a/%2e%2e/b", DotSegment),
            ("/a/.%2E/b", DotSegment),
            ("/a/..;/b", DotSegment),
            ("/a/..%3bx/b", DotSegment),
            ("/a/.;%2f./b", DotSegment),
            ("/a/..;%2fx/b", DotSegment),
            ("/a%2f..%2fb", DotSegment),
            ("/a%5c..%5cb", DotSegment),
            ("/a\\b", Character),
            ("/a\0", Character),
            ("/a%00", Character),
            ("/a%0d%0ab", Character),
            ("/a b", Character),
            ("/a\tb", Character),
            ("/a#b", Character),
            ("/a%7f", Character),
            ("/é", Character),
            ("/a%", Encoding),
            ("/a%2", Encoding),
            ("/a%zz", Encoding),
            ("/a%252e%252e/b", EncodedTwice),
            ("/a%252fb", EncodedTwice),
            ("/a%2523", EncodedTwice),
            ("/a%25252f", EncodedTwice),
            ("/a%c0%afb", EncodedTwice),
            ("/%c0%ae%c0%ae/b", EncodedTwice),
        ];
        for (raw, cause) in cases {
            assert_eq!(readings(raw), Err(cause), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn no_reading_of_an_accepted_path_climbs(raw in "/[a./;%25eEfFcC02\\\\]{0,24}") {
            if let Ok(path) = RequestPath::parse(&raw) {
                let climbs = |reading: &str| reading.split('/').any(|segment| segment == ".." || segment == ".");
                prop_assert!(!path.any(climbs), "{raw}");
                prop_assert!(path.others().is_empty() || path.others().iter().any(|other| !other.contains("//")), "{raw}");
            }
        }

        #[test]
        fn no_input_panics(raw: String) {
            let _ = RequestPath::parse(&raw);
        }
    }
}
