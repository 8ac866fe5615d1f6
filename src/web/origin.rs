//! Whose page a request comes from.
//!
//! Called by `gate`, and for our own endpoints by `login`. Browsers send cookies with what a page of
//! a sibling domain begins (`SameSite` knows no difference between siblings), and no CORS keeps that
//! page from having it done. `Sec-Fetch-Site` and `Origin` are what tells (Fetch Metadata; RFC 6454
//! §7; RFC 6455 §10.2): no page can write them, and most apps never look.

use super::public_url::PublicUrl;
use http::header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origins whose pages may act for the person in front of them: our own, and those listed.
#[derive(Clone, Debug)]
pub struct Origins {
    public_url: PublicUrl,
    listed: Vec<PublicUrl>,
}

/// Who began a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A page of ours or of a listed origin, or the person at the browser's own controls.
    Trusted,
    /// A page of any other.
    Foreign,
    /// It does not say: a program, or a browser older than both headers.
    Unsaid,
}

impl Origins {
    /// Our own, and `listed` besides.
    pub fn new(public_url: PublicUrl, listed: Vec<PublicUrl>) -> Self {
        Self { public_url, listed }
    }

    /// Who began the request with these headers. An address that was asked for by name, such as
    /// another host of the same app, may ask itself.
    pub fn initiator(&self, headers: &HeaderMap) -> Initiator {
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        match (sites.next(), sites.next()) {
            (Some(site), None) if site == "same-origin" || site == "none" => return Initiator::Trusted,
            (Some(_), _) if !headers.contains_key(ORIGIN) => return Initiator::Foreign,
            _ => {}
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_none() {
            Initiator::Unsaid
        } else if origins.all(|origin| self.is_own(origin, host) || self.lists(origin)) {
            Initiator::Trusted
        } else {
            Initiator::Foreign
        }
    }

    fn is_own(&self, origin: &HeaderValue, host: Option<&str>) -> bool {
        let scheme = if self.public_url.is_secure() { "https://" } else { "http://" };
        let Ok(origin) = origin.to_str() else { return false };
        let itself = origin.strip_prefix(scheme).zip(host);
        origin == self.public_url.origin() || itself.is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
    }

    /// Whether this is the `Origin` of one of those listed.
    pub fn lists(&self, origin: &HeaderValue) -> bool {
        self.listed.iter().any(|listed| origin.as_bytes() == listed.origin().as_bytes())
    }
}

/// Whether this is a WebSocket handshake, or what a front proxy asks about one: `Upgrade` may have
/// stayed behind with it, for it is of one connection; the key has not.
pub fn is_handshake(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE) || headers.contains_key(SEC_WEBSOCKET_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://app.example";
    const LISTED: &str = "https://front.example:8443";

    fn initiator(headers: &[(&str, &'static str)]) -> Initiator {
        let url = |text| PublicUrl::parse(text).unwrap();
        let origins = Origins::new(url(OWN), vec![url(LISTED)]);
        let host = [("host", "app.example")];
        let host = if headers.iter().any(|(name, _)| *name == "host") { &host[1..] } else { &host[..] };
        let pairs = host
            .iter()
            .chain(headers)
            .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        origins.initiator(&map)
    }

    #[test]
    fn what_the_browser_says_of_the_site_counts_first_and_an_origin_of_ours_or_listed_after_it() {
        use Initiator::{Foreign, Trusted, Unsaid};
        let cases: [(&[(&str, &'static str)], Initiator); 15] = [
            (&[], Unsaid),
            (&[("sec-fetch-site", "same-origin")], Trusted),
            (&[("sec-fetch-site", "none")], Trusted),
            (&[("sec-fetch-site", "same-site")], Foreign),
            (&[("sec-fetch-site", "cross-site")], Foreign),
            (&[("sec-fetch-site", "something-new")], Foreign),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], Foreign),
            (&[("sec-fetch-site", "same-site"), ("origin", OWN)], Trusted),
            (&[("sec-fetch-site", "cross-site"), ("origin", LISTED)], Trusted),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], Foreign),
            (&[("origin", OWN)], Trusted),
            (&[("origin", LISTED)], Trusted),
            (&[("origin", "https://other.example"), ("host", "other.example")], Trusted),
            (&[("origin", OWN), ("origin", "https://evil.example")], Foreign),
            (&[("origin", OWN), ("origin", LISTED)], Trusted),
        ];
        for (headers, expected) in cases {
            assert_eq!(initiator(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn nothing_that_only_looks_like_one_of_them_is_one() {
        for other in [
            "https://evil.example",
            "https://sibling.app.example",
            "https://app.example.evil.example",
            "http://app.example",
            "https://app.example:8443",
            "https://front.example",
            "https://front.example:84433",
            "https://FRONT.example:8443",
            "null",
            "",
            "file://",
            "app.example",
        ] {
            assert_eq!(initiator(&[("origin", other)]), Initiator::Foreign, "{other}");
        }
    }
}
