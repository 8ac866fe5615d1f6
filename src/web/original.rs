//! The request that a front proxy asks about, rebuilt from what it says of it.
//!
//! Called by `server/forward_auth`. Each front proxy writes the request in one place, which the
//! configuration names (`forward_auth.from`); nothing else is read. Were any place good enough, a
//! client could fill one that its front proxy leaves alone, and have another path judged than the
//! one that is served (CVE-2026-40575). Everything must be there, once: what is missing is not
//! guessed. Must only be asked where the peer is one of `trusted_proxies`.

use super::forwarded::single;
use super::hygiene::{Ambiguous, CleanRequest};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

/// The front proxy that asks, by which it is known where it writes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FrontProxy {
    /// nginx's `auth_request` and ingress-nginx: `X-Original-URL` and `X-Original-Method`.
    Nginx,
    /// Traefik's `forwardAuth`: `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`.
    Traefik,
    /// Caddy's `forward_auth`: as Traefik.
    Caddy,
    /// HAProxy, with the script of `deploy/haproxy`: as Traefik.
    Haproxy,
    /// Envoy's and Istio's HTTP `ext_authz`: the request's own method and host, and its path behind
    /// `/oauth2/auth` (`path_prefix`).
    Envoy,
}

/// Where a front proxy writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OriginalUrl,
    Forwarded,
    Path,
}

/// A request, rebuilt.
#[derive(Debug)]
pub struct OriginalRequest {
    parts: Parts,
    target: String,
    scheme: &'static str,
}

/// Why it cannot be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRebuilt {
    /// A header that this front proxy sends is not there.
    #[error("{0} is missing: it says what the front proxy asks about (forward_auth.from)")]
    Missing(&'static str),
    /// It is there twice: the client's own may be among them.
    #[error("{0} is there more than once: the front proxy has to overwrite the client's own")]
    Repeated(&'static str),
    /// It is no method, URL, host or path.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// Envoy's path does not go on behind `/oauth2/auth`.
    #[error("there is no path behind that of the endpoint: set path_prefix in Envoy's ext_authz")]
    NoPath,
}

const X_ORIGINAL_URL: &str = "x-original-url";
const X_ORIGINAL_METHOD: &str = "x-original-method";
const X_FORWARDED_METHOD: &str = "x-forwarded-method";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_URI: &str = "x-forwarded-uri";

impl FrontProxy {
    fn place(self) -> Place {
        match self {
            Self::Nginx => Place::OriginalUrl,
            Self::Traefik | Self::Caddy | Self::Haproxy => Place::Forwarded,
            Self::Envoy => Place::Path,
        }
    }

    /// The headers that say which request is asked about, for `Vary`.
    pub fn told_in(self) -> &'static [&'static str] {
        match self.place() {
            Place::OriginalUrl => &[X_ORIGINAL_URL, X_ORIGINAL_METHOD],
            Place::Forwarded => &[X_FORWARDED_METHOD, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_URI],
            Place::Path => &["host", X_FORWARDED_PROTO],
        }
    }

    /// Whether a question names no request at all, as one that an app asks.
    pub fn names_none(self, check: &Parts, below: &str) -> bool {
        match self.place() {
            Place::OriginalUrl | Place::Forwarded => {
                !self.told_in().iter().any(|name| check.headers.contains_key(*name))
            }
            Place::Path => !below.starts_with('/'),
        }
    }

    /// Rebuilds the request that `check` asks about; `below` is what stands in its path behind the
    /// endpoint's own, as it was sent: `/app/x?y`, or nothing.
    ///
    /// # Errors
    /// [`NotRebuilt`], by cause.
    pub fn original(self, check: &Parts, below: &str) -> Result<OriginalRequest, NotRebuilt> {
        let headers = &check.headers;
        let (method, scheme, host, target) = match self.place() {
            Place::OriginalUrl => {
                let url = text(headers, X_ORIGINAL_URL)?;
                let (scheme, rest) = url.split_once("://").ok_or(NotRebuilt::Malformed(X_ORIGINAL_URL))?;
                let (host, target) = rest.split_at(rest.find('/').ok_or(NotRebuilt::Malformed(X_ORIGINAL_URL))?);
                let method = method(text(headers, X_ORIGINAL_METHOD)?, X_ORIGINAL_METHOD)?;
                (method, scheme_of(scheme, X_ORIGINAL_URL)?, host, target)
            }
            Place::Forwarded => {
                let method = method(text(headers, X_FORWARDED_METHOD)?, X_FORWARDED_METHOD)?;
                let scheme = scheme_of(text(headers, X_FORWARDED_PROTO)?, X_FORWARDED_PROTO)?;
                (method, scheme, text(headers, X_FORWARDED_HOST)?, text(headers, X_FORWARDED_URI)?)
            }
            Place::Path => {
                if !below.starts_with('/') {
                    return Err(NotRebuilt::NoPath);
                }
                let scheme = scheme_of(text(headers, X_FORWARDED_PROTO)?, X_FORWARDED_PROTO)?;
                (check.method.clone(), scheme, text(headers, "host")?, below)
            }
        };
        let mut original = headers.clone();
        // The question's own; the request's are known to the front proxy alone.
        original.remove(CONTENT_LENGTH);
        original.remove(TRANSFER_ENCODING);
        original.remove(UPGRADE);
        let host = HeaderValue::from_str(host).map_err(|_| NotRebuilt::Malformed("the host"))?;
        original.insert(HOST, host);
        // Front proxies do not hand `Upgrade` on with a question. The key of the handshake
        // (RFC 6455 §4.1) tells as much, and no script can send it otherwise.
        if original.contains_key("sec-websocket-key") {
            original.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        let mut parts = Request::new(()).into_parts().0;
        (parts.method, parts.headers) = (method, original);
        Ok(OriginalRequest { parts, target: target.to_owned(), scheme })
    }
}

impl OriginalRequest {
    /// The request in the form in which the gate sees all others, by the same rules.
    ///
    /// # Errors
    /// [`Ambiguous`], by cause.
    pub fn inspect(&self) -> Result<CleanRequest<'_>, Ambiguous> {
        // Its head was as long as that of the question, which has been measured.
        CleanRequest::inspect(&self.parts, self.target.as_bytes(), b"")
    }

    /// `http` or `https`, as the client spoke to the front proxy.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, NotRebuilt> {
    let header = HeaderName::from_static(name);
    if !headers.contains_key(&header) {
        return Err(NotRebuilt::Missing(name));
    }
    let value = single(headers, &header).ok_or(NotRebuilt::Repeated(name))?;
    if value.is_empty() { Err(NotRebuilt::Missing(name)) } else { Ok(value) }
}

fn method(text: &str, from: &'static str) -> Result<Method, NotRebuilt> {
    Method::from_bytes(text.as_bytes()).map_err(|_| NotRebuilt::Malformed(from))
}

/// A WebSocket's scheme is that of its handshake.
fn scheme_of(text: &str, from: &'static str) -> Result<&'static str, NotRebuilt> {
    match text {
        "http" | "ws" => Ok("http"),
        "https" | "wss" => Ok("https"),
        _ => Err(NotRebuilt::Malformed(from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NGINX: [(&str, &str); 2] = [("x-original-url", "https://app.example/a?b=c"), ("x-original-method", "PUT")];
    const FORWARDED: [(&str, &str); 4] = [
        ("x-forwarded-method", "PUT"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.example"),
        ("x-forwarded-uri", "/a?b=c"),
    ];

    fn check(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method("GET").header("host", "vestibule.internal");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Method, scheme, host and target of what is rebuilt.
    fn original(
        from: FrontProxy,
        headers: &[(&str, &str)],
        below: &str,
    ) -> Result<(String, &'static str, String, String), NotRebuilt> {
        let original = from.original(&check(headers), below)?;
        let clean = original.inspect().unwrap();
        Ok((clean.parts().method.to_string(), original.scheme(), clean.host().to_owned(), clean.target().to_owned()))
    }

    #[test]
    fn each_front_proxy_is_read_where_it_writes_and_nowhere_else() {
        let told = |host: &str| Ok(("PUT".to_owned(), "https", host.to_owned(), "/a?b=c".to_owned()));
        let elsewhere = [("x-forwarded-uri", "/public"), ("x-forwarded-method", "GET")];
        let nginx = [&NGINX[..], &elsewhere].concat();
        assert_eq!(original(FrontProxy::Nginx, &nginx, "/public"), told("app.example"));
        let forwarded = [&FORWARDED[..], &[("x-original-url", "https://app.example/public")]].concat();
        for from in [FrontProxy::Traefik, FrontProxy::Caddy, FrontProxy::Haproxy] {
            assert_eq!(original(from, &forwarded, "/public"), told("app.example"));
        }
        let mut put = check(&[&elsewhere[..], &[("x-forwarded-proto", "https")]].concat());
        put.method = Method::PUT;
        let original = FrontProxy::Envoy.original(&put, "/a?b=c").unwrap();
        let clean = original.inspect().unwrap();
        assert_eq!(
            (clean.parts().method.as_str(), clean.host(), clean.target()),
            ("PUT", "vestibule.internal", "/a?b=c")
        );
    }

    #[test]
    fn what_is_missing_is_not_guessed_and_what_is_there_twice_not_chosen_from() {
        for (from, whole) in [(FrontProxy::Nginx, &NGINX[..]), (FrontProxy::Traefik, &FORWARDED[..])] {
            for (index, &(name, value)) in whole.iter().enumerate() {
                let mut headers = whole.to_vec();
                headers.remove(index);
                assert_eq!(original(from, &headers, ""), Err(NotRebuilt::Missing(name)), "{from:?}");
                headers.push((name, ""));
                assert_eq!(original(from, &headers, ""), Err(NotRebuilt::Missing(name)), "{from:?}");
                headers.push((name, value));
                assert_eq!(original(from, &headers, ""), Err(NotRebuilt::Repeated(name)), "{from:?}");
            }
        }
        assert_eq!(original(FrontProxy::Envoy, &[("x-forwarded-proto", "https")], ""), Err(NotRebuilt::NoPath));
        assert_eq!(original(FrontProxy::Envoy, &[("x-forwarded-proto", "https")], "?x"), Err(NotRebuilt::NoPath));
    }

    #[test]
    fn what_is_no_url_is_not_made_one() {
        for url in ["/a", "app.example/a", "https://app.example", "ftp://app.example/a", "https:/app.example/a"] {
            let headers = [("x-original-url", url), ("x-original-method", "GET")];
            assert_eq!(original(FrontProxy::Nginx, &headers, ""), Err(NotRebuilt::Malformed(X_ORIGINAL_URL)), "{url}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_as_it_is_of_clients() {
        let urls = [
            "https://app.example/public/../admin",
            "https://app.example/public%2f..%2fadmin",
            "https://app.example//admin",
            "https://app.example/public#/admin",
            "https://app.example/a b",
            "https://user@app.example/a",
            "https://app.example:x/a",
            "https:///a",
            "https://app.example/a?b#c",
        ];
        for url in urls {
            let check = check(&[("x-original-url", url), ("x-original-method", "GET")]);
            let original = FrontProxy::Nginx.original(&check, "").unwrap();
            assert!(original.inspect().is_err(), "{url}");
        }
        for method in ["TRACE", "CONNECT", "get"] {
            let check = check(&[("x-original-url", "https://app.example/"), ("x-original-method", method)]);
            assert!(FrontProxy::Nginx.original(&check, "").unwrap().inspect().is_err(), "{method}");
        }
    }

    #[test]
    fn a_handshake_is_one_again_and_the_questions_own_framing_is_gone() {
        let more = [("sec-websocket-key", "x"), ("content-length", "5"), ("upgrade", "h2c"), ("cookie", "a=b")];
        let headers = [&[("x-original-url", "wss://app.example/ws"), ("x-original-method", "GET")], &more[..]].concat();
        let original = FrontProxy::Nginx.original(&check(&headers), "").unwrap();
        let clean = original.inspect().unwrap();
        assert!(clean.is_upgrade());
        assert_eq!(clean.parts().headers["cookie"], "a=b");
        assert_eq!(original.scheme(), "https");
    }
}
