//! The bearer token that a request shows (RFC 6750 §2.1).
//!
//! Called by `gate` on routes that take one. Only the `Authorization` header is read: a token in the
//! query is in every log on its way, and one in a form is not read before the decision (§2.2, §2.3).
//! Must never be lenient: what an app behind us might take for a bearer token, and we for none,
//! would pass under the session of the cookie beside it.

use crate::secret::SecretString;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// A token as it was shown. Nothing of it is known.
#[derive(Clone, Debug)]
pub struct Presented(pub(in crate::bearer) SecretString);

/// More than one `Authorization`, or one with the scheme Bearer that is not `Bearer` and a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The token of a request; none where there is no `Authorization`, or one of another scheme.
///
/// # Errors
/// [`Malformed`].
pub fn presented(headers: &HeaderMap) -> Result<Option<Presented>, Malformed> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = match (all.next(), all.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes().trim_ascii(),
        (Some(_), Some(_)) => return Err(Malformed),
    };
    // Apps find the scheme in different ways, so whatever begins with the word counts as it.
    let is_bearer = value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    if !is_bearer {
        return Ok(None);
    }
    let rest = value.get(6..).unwrap_or_default();
    let token = rest.trim_ascii_start();
    let spaces = rest.len() - token.len();
    let parted = spaces > 0 && rest.iter().take(spaces).all(|byte| *byte == b' ');
    match std::str::from_utf8(token) {
        Ok(token) if parted && is_b64token(token) => Ok(Some(Presented(token.into()))),
        _ => Err(Malformed),
    }
}

/// RFC 6750 §2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !token.is_empty() && token.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ExposeSecret;
    use http::HeaderValue;

    fn shown(values: &[&[u8]]) -> Result<Option<String>, Malformed> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        presented(&headers).map(|token| token.map(|Presented(token)| token.expose_secret().to_owned()))
    }

    #[test]
    fn one_header_with_one_token_shows_it() {
        for value in
            ["Bearer a.b-c_d~e+f/g==", "bearer a.b-c_d~e+f/g==", "BEARER   a.b-c_d~e+f/g==", " Bearer a.b-c_d~e+f/g== "]
        {
            assert_eq!(shown(&[value.as_bytes()]), Ok(Some("a.b-c_d~e+f/g==".to_owned())), "{value:?}");
        }
    }

    #[test]
    fn nothing_or_another_scheme_is_no_bearer_token() {
        assert_eq!(shown(&[]), Ok(None));
        for value in ["", "Basic dTpw", "DPoP abc", "Bear er abc", "abc", "Negotiate", "x Bearer abc"] {
            assert_eq!(shown(&[value.as_bytes()]), Ok(None), "{value:?}");
        }
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_malformed() {
        for value in [
            "Bearer",
            "Bearer ",
            "bearer\tabc",
            "Bearer \tabc",
            "Bearer  abc def",
            "Bearer abc,",
            "Bearer abc, Bearer def",
            "Bearer abc, Basic dTpw",
            "Bearer,abc",
            "Bearer:abc",
            "Bearer=abc",
            "BearerToken abc",
            "Bearer \"abc\"",
            "Bearer token=abc",
            "Bearer a=b",
            "Bearer ====",
            "Bearer abc\u{a0}",
            "Bearer\u{a0}abc",
            "Bearer abé",
        ] {
            assert_eq!(shown(&[value.as_bytes()]), Err(Malformed), "{value:?}");
        }
        assert_eq!(shown(&[b"Bearer \xff"]), Err(Malformed));
        for two in
            [["Bearer abc", "Bearer abc"], ["Bearer abc", "Basic dTpw"], ["Basic dTpw", "Bearer abc"], ["Basic a", ""]]
        {
            assert_eq!(shown(&two.map(str::as_bytes)), Err(Malformed), "{two:?}");
        }
    }

    #[test]
    fn it_is_not_printed() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
        assert!(!format!("{:?}", presented(&headers)).contains("s3cret"));
    }
}
