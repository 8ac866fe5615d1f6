//! The request that a front proxy asks about, rebuilt from what it says of it.
//!
//! Called by `server/forward_auth`. Each front proxy writes the request in one place, which the
//! configuration names (`forward_auth.from`); nothing else is read. Were any place good enough, a
//! client could fill one that its front proxy leaves alone, and have another path judged than the
//! one that is served (CVE-2026-40575). Everything must be there, once: what is missing is not
//! guessed. Must only be asked where the peer is one of `trusted_proxies`.
//!
//! Envoy's gRPC `ext_authz` says it in a message instead ([`Told`]), where no client can write.

use super::forwarded::single;
use super::hygiene::{Ambiguous, CleanRequest, MAX_HEAD_LEN};
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
    /// How long its head was, where that was not measured on its way to us.
    head_len: usize,
}

/// A request as a message says it.
pub struct Told<'a> {
    /// The method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host, with its port if it was named.
    pub host: &'a str,
    /// Path and query, as they came.
    pub target: &'a str,
    /// The headers in their order, with what HTTP/2 writes among them (`:path`).
    pub headers: &'a [(&'a str, &'a [u8])],
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
    /// A message leaves it empty.
    #[error("{0} is empty: a question in a message has to say it")]
    Unsaid(&'static str),
    /// A message says it in two places.
    #[error("{0} is said in more than one place of the question")]
    SaidTwice(&'static str),
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
        original.remove(UPGRADE);
        OriginalRequest::new(method, scheme, host, target, original)
    }
}

impl OriginalRequest {
    /// Rebuilds the request that a message is about.
    ///
    /// # Errors
    /// [`NotRebuilt`], by cause.
    pub fn told(told: &Told<'_>) -> Result<Self, NotRebuilt> {
        for (name, text) in
            [("method", told.method), ("scheme", told.scheme), ("host", told.host), ("path", told.target)]
        {
            if text.is_empty() {
                return Err(NotRebuilt::Unsaid(name));
            }
        }
        let malformed = NotRebuilt::Malformed("a header");
        let contradicted = NotRebuilt::SaidTwice("what the request line says");
        let mut headers = HeaderMap::new();
        let mut head_len = told.method.len() + told.target.len() + told.host.len();
        for (name, value) in told.headers {
            // `: ` and the end of the line.
            head_len += name.len() + value.len() + 4;
            // What the message says already: here it may only agree.
            let said = match *name {
                ":method" => Some(told.method),
                ":scheme" => Some(told.scheme),
                ":path" => Some(told.target),
                ":authority" | "host" => Some(told.host),
                _ if name.starts_with(':') => return Err(malformed),
                _ => None,
            };
            match said {
                Some(said) if said.as_bytes() == *value => {}
                Some(_) => return Err(contradicted),
                None => {
                    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed)?;
                    if name == HOST {
                        return Err(contradicted);
                    }
                    let value = HeaderValue::from_bytes(value).map_err(|_| malformed)?;
                    headers.try_append(name, value).map_err(|_| malformed)?;
                }
            }
        }
        let method = method(told.method, "the method")?;
        let original = Self::new(method, scheme_of(told.scheme, "the scheme")?, told.host, told.target, headers)?;
        Ok(Self { head_len, ..original })
    }

    fn new(
        method: Method,
        scheme: &'static str,
        host: &str,
        target: &str,
        mut headers: HeaderMap,
    ) -> Result<Self, NotRebuilt> {
        // Where the body ends is between the client and the front proxy.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        let host = HeaderValue::from_str(host).map_err(|_| NotRebuilt::Malformed("the host"))?;
        headers.insert(HOST, host);
        // Front proxies do not hand `Upgrade` on with a question. The key of the handshake
        // (RFC 6455 §4.1) tells as much, and no script can send it otherwise.
        if headers.contains_key("sec-websocket-key") {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        let mut parts = Request::new(()).into_parts().0;
        (parts.method, parts.headers) = (method, headers);
        Ok(Self { parts, target: target.to_owned(), scheme, head_len: 0 })
    }

    /// Its method and headers, which nobody has looked at yet.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The request in the form in which the gate sees all others, by the same rules.
    ///
    /// # Errors
    /// [`Ambiguous`], by cause.
    pub fn inspect(&self) -> Result<CleanRequest<'_>, Ambiguous> {
        // In a request of its own the head was as long as that of the question, which was measured.
        if self.head_len > MAX_HEAD_LEN {
            return Err(Ambiguous::TooLong);
        }
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

    fn told(method: &str, target: &str, headers: &[(&str, &[u8])]) -> Result<OriginalRequest, NotRebuilt> {
        OriginalRequest::told(&Told { method, scheme: "https", host: "app.example", target, headers })
    }

    #[test]
    fn a_message_is_read_as_it_is_and_may_not_contradict_itself() {
        let same: [(&str, &[u8]); 6] = [
            (":method", b"PUT"),
            (":path", b"/a?b=c"),
            (":authority", b"app.example"),
            (":scheme", b"https"),
            ("host", b"app.example"),
            ("x-note", b"caf\xe9"),
        ];
        let original = told("PUT", "/a?b=c", &same).unwrap();
        let clean = original.inspect().unwrap();
        assert_eq!((clean.parts().method.as_str(), clean.host(), clean.target()), ("PUT", "app.example", "/a?b=c"));
        assert_eq!((clean.parts().headers.len(), original.scheme()), (2, "https"));
        assert_eq!(clean.parts().headers["x-note"].as_bytes(), b"caf\xe9");

        let others: [(&str, &[u8], NotRebuilt); 10] = [
            (":method", b"GET", NotRebuilt::SaidTwice("what the request line says")),
            (":path", b"/public", NotRebuilt::SaidTwice("what the request line says")),
            (":authority", b"other.example", NotRebuilt::SaidTwice("what the request line says")),
            (":scheme", b"http", NotRebuilt::SaidTwice("what the request line says")),
            ("host", b"other.example", NotRebuilt::SaidTwice("what the request line says")),
            ("Host", b"app.example", NotRebuilt::SaidTwice("what the request line says")),
            (":protocol", b"websocket", NotRebuilt::Malformed("a header")),
            ("x y", b"z", NotRebuilt::Malformed("a header")),
            ("x", b"y\r\nz: a", NotRebuilt::Malformed("a header")),
            ("x", b"y\0", NotRebuilt::Malformed("a header")),
        ];
        for (name, value, cause) in others {
            assert_eq!(told("PUT", "/a?b=c", &[(name, value)]).unwrap_err(), cause, "{name}");
        }
    }

    #[test]
    fn what_a_message_leaves_out_is_not_guessed_and_what_has_two_readings_refused() {
        let accept: [(&str, &[u8]); 1] = [("accept", b"*/*")];
        let whole = Told { method: "GET", scheme: "https", host: "app.example", target: "/", headers: &accept };
        let cases = [
            (Told { method: "", ..whole }, NotRebuilt::Unsaid("method")),
            (Told { scheme: "", ..whole }, NotRebuilt::Unsaid("scheme")),
            (Told { host: "", ..whole }, NotRebuilt::Unsaid("host")),
            (Told { target: "", ..whole }, NotRebuilt::Unsaid("path")),
            (Told { method: "G T", ..whole }, NotRebuilt::Malformed("the method")),
            (Told { scheme: "ftp", ..whole }, NotRebuilt::Malformed("the scheme")),
            (Told { host: "app\nexample", ..whole }, NotRebuilt::Malformed("the host")),
        ];
        for (told, cause) in cases {
            assert_eq!(OriginalRequest::told(&told).unwrap_err(), cause);
        }
        let targets =
            ["app", "*", "http://app.example/", "//app", "/a/../b", "/a#b", "/a\0", "/a\r\nb", "/a b", "/a?b#c"];
        for target in targets {
            assert!(told("GET", target, &accept).unwrap().inspect().is_err(), "{target:?}");
        }
        for method in ["TRACE", "CONNECT", "get"] {
            assert!(told(method, "/", &accept).unwrap().inspect().is_err(), "{method}");
        }
        for host in ["a b", "user@app.example", "app.example:x", "a, b"] {
            assert!(OriginalRequest::told(&Told { host, ..whole }).unwrap().inspect().is_err(), "{host}");
        }
    }

    #[test]
    fn a_message_is_no_longer_than_a_request() {
        let long = |len| vec![b'a'; len];
        let fits = long(64 * 1024);
        assert!(told("GET", "/", &[("cookie", &fits)]).unwrap().inspect().is_ok());
        let over = long(MAX_HEAD_LEN);
        assert_eq!(told("GET", "/", &[("cookie", &over)]).unwrap().inspect().unwrap_err(), Ambiguous::TooLong);
        let many: Vec<(&str, &[u8])> = vec![("a", b""); 40_000];
        assert_eq!(told("GET", "/", &many).unwrap().inspect().unwrap_err(), Ambiguous::TooLong);
        let names: Vec<String> = (0..40_000).map(|index| format!("a{index}")).collect();
        let others: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert_eq!(told("GET", "/", &others).unwrap_err(), NotRebuilt::Malformed("a header"));
    }

    #[test]
    fn a_handshake_in_a_message_is_one_with_or_without_its_key() {
        for headers in [[("upgrade", &b"websocket"[..])], [("sec-websocket-key", &b"x"[..])]] {
            assert!(told("GET", "/ws", &headers).unwrap().inspect().unwrap().is_upgrade());
        }
        let lengths: [(&str, &[u8]); 2] = [("transfer-encoding", b"chunked"), ("content-length", b"5")];
        assert!(told("POST", "/", &lengths).unwrap().inspect().is_ok());
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
