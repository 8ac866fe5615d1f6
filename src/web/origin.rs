//! Which site's page opened a WebSocket.
//!
//! Called by `gate`. Browsers send cookies with a WebSocket handshake that a page of a sibling
//! domain begins (`SameSite` knows no difference between siblings), and no CORS keeps that page from
//! reading what comes back. `Origin` is what tells (RFC 6455 §10.2), and most apps never look.

use super::public_url::PublicUrl;
use http::HeaderMap;
use http::header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, UPGRADE};

/// Whether this is a WebSocket handshake that a page of another origin began. Programs send no
/// `Origin` and are no page. An address that was asked for by name, such as another host of the same
/// app, may open sockets to itself. Of a handshake that a front proxy asks about, `Upgrade` may have
/// stayed behind with it, for it is of one connection; the key has not.
pub fn is_foreign_socket(headers: &HeaderMap, public_url: &PublicUrl) -> bool {
    if !headers.contains_key(UPGRADE) && !headers.contains_key(SEC_WEBSOCKET_KEY) {
        return false;
    }
    let scheme = if public_url.is_secure() { "https://" } else { "http://" };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    headers.get_all(ORIGIN).iter().any(|origin| {
        let Ok(origin) = origin.to_str() else { return true };
        let itself =
            origin.strip_prefix(scheme).zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
        origin != public_url.origin() && !itself
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn only_our_own_pages_and_programs_open_sockets() {
        let site = PublicUrl::parse("https://app.example").unwrap();
        let foreign = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            is_foreign_socket(&headers, &site)
        };
        let (host, upgrade) = ((HOST, "app.example"), (UPGRADE, "websocket"));
        assert!(!foreign(&[host.clone(), upgrade.clone(), (ORIGIN, "https://app.example")]), "our own");
        assert!(!foreign(&[host.clone(), upgrade.clone()]), "a program");
        assert!(!foreign(&[(HOST, "other.example:8443"), upgrade.clone(), (ORIGIN, "https://other.example:8443")]));
        assert!(foreign(&[host.clone(), (SEC_WEBSOCKET_KEY, "eA=="), (ORIGIN, "https://evil.example")]), "asked about");
        assert!(!foreign(&[host.clone(), (ORIGIN, "https://evil.example")]), "CORS is for the app to answer");
        for other in [
            "https://evil.example",
            "https://sibling.app.example",
            "https://app.example.evil.example",
            "http://app.example",
            "https://app.example:8443",
            "null",
            "",
            "file://",
            "app.example",
        ] {
            assert!(foreign(&[host.clone(), upgrade.clone(), (ORIGIN, other)]), "{other}");
        }
        let twice = [host, upgrade, (ORIGIN, "https://app.example"), (ORIGIN, "https://evil.example")];
        assert!(foreign(&twice), "both count");
    }
}
