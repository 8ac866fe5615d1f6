//! Who may see and end sessions: whoever has the one token (`admin.token`).
//!
//! Programs send it as a bearer token (RFC 6750), which no browser sends by itself: no page of
//! another site, and no name that was bent to this address (DNS rebinding), can use it. Browsers
//! may send it as the password of HTTP Basic (RFC 7617) to the page alone, which then looks at
//! where a form comes from ([`is_from_own_page`]). Must never print what was sent.

use crate::secret::{ExposeSecret, SecretString};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How the token may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// To the API.
    Bearer,
    /// To the page.
    BearerOrBasic,
}

impl Scheme {
    pub(super) const fn challenge(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::BearerOrBasic => r#"Basic realm="Vestibule: any name, the admin token as password", charset="UTF-8""#,
        }
    }
}

/// Whether somebody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    /// Nobody may.
    NoTokenConfigured,
    /// Not with what was sent; why, for the log.
    Refused(&'static str),
}

pub(super) fn check(token: Option<&SecretString>, headers: &HeaderMap, scheme: Scheme) -> Access {
    let Some(token) = token else { return Access::NoTokenConfigured };
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = sent.next() else { return Access::Refused("no token was sent") };
    if sent.next().is_some() {
        return Access::Refused("Authorization was sent twice");
    }
    let held = first.to_str().ok().and_then(|text| text.split_once(' '));
    let Some((name, value)) = held else { return Access::Refused("Authorization is malformed") };
    let password = if name.eq_ignore_ascii_case("bearer") {
        Some(Zeroizing::new(value.trim().as_bytes().to_vec()))
    } else if name.eq_ignore_ascii_case("basic") && scheme == Scheme::BearerOrBasic {
        password(value.trim())
    } else {
        return Access::Refused("not the scheme that is taken here");
    };
    match password {
        Some(password) if bool::from(password.as_slice().ct_eq(token.expose_secret().as_bytes())) => Access::Granted,
        _ => Access::Refused("another token"),
    }
}

/// What stands behind the first colon (RFC 7617 §2).
fn password(value: &str) -> Option<Zeroizing<Vec<u8>>> {
    let pair = Zeroizing::new(STANDARD.decode(value).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(|password| Zeroizing::new(password.to_vec()))
}

/// Whether a form was sent by a page of this listener: a browser sends a password that it knows
/// with the forms of every site. All browsers say `Origin` with a POST.
pub(super) fn is_from_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = headers.get("sec-fetch-site");
    let foreign = site.is_some_and(|site| site != "same-origin");
    let origin = text(&ORIGIN).and_then(|origin| origin.split_once("://"));
    !foreign && origin.is_some_and(|(_, host)| text(&HOST).is_some_and(|own| own.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    const TOKEN: &str = "the-admin-token-of-these-tests-0001";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = lines.iter();
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn the_whole_token_is_asked_for_and_basic_counts_for_the_page_alone() {
        let token = SecretString::from(TOKEN);
        let good = format!("Bearer {TOKEN}");
        let cases = [
            (good.clone(), true, true),
            (good.to_lowercase(), true, true),
            (format!("bEARER  {TOKEN}"), true, true),
            (format!("Bearer {}", &TOKEN[1..]), false, false),
            (format!("Bearer {TOKEN}x"), false, false),
            (format!("Bearer {}", TOKEN.to_uppercase()), false, false),
            ("Bearer ".to_owned(), false, false),
            ("Bearer".to_owned(), false, false),
            (TOKEN.to_owned(), false, false),
            (format!("Token {TOKEN}"), false, false),
            (basic(&format!("anybody:{TOKEN}")), false, true),
            (basic(&format!(":{TOKEN}")), false, true),
            (basic(&format!("{TOKEN}:")), false, false),
            (basic(TOKEN), false, false),
            ("Basic %%%".to_owned(), false, false),
        ];
        for (sent, bearer, page) in cases {
            let headers = headers(&[("authorization", &sent)]);
            for (scheme, expected) in [(Scheme::Bearer, bearer), (Scheme::BearerOrBasic, page)] {
                let access = check(Some(&token), &headers, scheme);
                assert_eq!(access == Access::Granted, expected, "{sent} {scheme:?} {access:?}");
            }
            assert_eq!(check(None, &headers, Scheme::Bearer), Access::NoTokenConfigured, "{sent}");
        }
        let twice = headers(&[("authorization", &good), ("authorization", &good)]);
        assert!(matches!(check(Some(&token), &twice, Scheme::Bearer), Access::Refused(_)));
        assert!(matches!(check(Some(&token), &HeaderMap::new(), Scheme::Bearer), Access::Refused(_)));
    }

    #[test]
    fn a_form_counts_from_the_listener_s_own_page_alone() {
        let cases: [(&[(&'static str, &str)], bool); 9] = [
            (
                &[("host", "localhost:4181"), ("origin", "http://localhost:4181"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            (&[("host", "localhost:4181"), ("origin", "http://localhost:4181")], true),
            (&[("host", "localhost:4181")], false),
            (&[("host", "localhost:4181"), ("sec-fetch-site", "same-origin")], false),
            (&[("host", "localhost:4181"), ("origin", "null")], false),
            (&[("host", "localhost:4181"), ("origin", "http://localhost:8501")], false),
            (
                &[("host", "localhost:4181"), ("origin", "http://localhost:4181"), ("sec-fetch-site", "same-site")],
                false,
            ),
            (&[("host", "localhost:4181"), ("origin", "http://localhost:4181"), ("sec-fetch-site", "none")], false),
            (&[("origin", "http://localhost:4181")], false),
        ];
        for (lines, expected) in cases {
            assert_eq!(is_from_own_page(&headers(lines)), expected, "{lines:?}");
        }
    }
}
