//! Cross-origin resource sharing: what pages of other origins may send here, and read of the answer
//! (Fetch §3.2, "CORS protocol").
//!
//! Called by `server` for every answer where `cors` is configured. Only listed origins are ever named,
//! each by itself: never `*`, never `null`, for what is answered is a person's own. What it grants
//! opens nothing: whoever asks is judged as everybody else.

use super::public_url::PublicUrl;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::Duration;

/// Who answers a preflight, and says with the answers who may read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preflight {
    /// Vestibule, for all routes.
    #[default]
    Answer,
    /// The app; Vestibule only for what it answers itself.
    Pass,
}

/// What is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origins.
    pub origins: Vec<PublicUrl>,
    /// Who answers a preflight.
    pub preflight: Preflight,
    /// For how long a browser may remember what a preflight said.
    pub max_age: Duration,
    /// The headers of an answer that scripts may read, beyond those that every script may.
    pub expose: Vec<HeaderName>,
}

/// The rules, with their texts made once.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Vec<HeaderValue>,
    preflight: Preflight,
    max_age: HeaderValue,
    expose: Option<HeaderValue>,
}

/// Headers of an answer.
pub type Grant = Vec<(HeaderName, HeaderValue)>;

impl Cors {
    /// Prepares the settings.
    pub fn new(settings: &Settings) -> Self {
        let names: Vec<&str> = settings.expose.iter().map(HeaderName::as_str).collect();
        Self {
            // Origins and header names are header text.
            origins: settings.origins.iter().filter_map(|url| HeaderValue::from_str(url.origin()).ok()).collect(),
            preflight: settings.preflight,
            max_age: HeaderValue::from(settings.max_age.as_secs()),
            expose: HeaderValue::from_str(&names.join(", ")).ok().filter(|names| !names.is_empty()),
        }
    }

    /// Whether the app says who may read what it answers.
    pub fn is_the_app_s(&self) -> bool {
        self.preflight == Preflight::Pass
    }

    /// What goes with an answer to this request. Every one says that it depends on the origin, so
    /// that no cache gives the answer to one origin to another.
    pub fn grant(&self, request: &HeaderMap) -> Grant {
        let mut grant = vec![(VARY, HeaderValue::from_name(ORIGIN))];
        if let Some(origin) = self.listed(request) {
            grant.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
            grant.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
            grant.extend(self.expose.clone().map(|names| (ACCESS_CONTROL_EXPOSE_HEADERS, names)));
        }
        grant
    }

    /// What the answer to a preflight of a listed origin has besides [`grant`](Self::grant); `None` for every other request. The
    /// method and the headers that it asks for are granted as asked: what they may do is for the
    /// request itself, which is judged.
    pub fn preflight(&self, parts: &Parts) -> Option<Grant> {
        let request = &parts.headers;
        self.listed(request).and(preflight_for(parts))?;
        let mut grant = Grant::new();
        let asked = |name| request.get(name).filter(|value| is_list_of_tokens(value)).cloned();
        grant.extend(asked(ACCESS_CONTROL_REQUEST_METHOD).map(|method| (ACCESS_CONTROL_ALLOW_METHODS, method)));
        grant.extend(asked(ACCESS_CONTROL_REQUEST_HEADERS).map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names)));
        grant.push((ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        Some(grant)
    }

    /// The origin of a request, if it has one and it is listed.
    fn listed(&self, request: &HeaderMap) -> Option<&HeaderValue> {
        let mut origins = request.get_all(ORIGIN).iter();
        let origin = origins.next()?;
        if origins.next().is_some() {
            return None;
        }
        self.origins.iter().find(|listed| *listed == origin)
    }
}

/// The method of the request that a browser asks about before it sends it, where this is such a
/// question. It comes without a cookie.
pub fn preflight_for(parts: &Parts) -> Option<Method> {
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// The headers by which an answer says who may read it.
pub const SAID: [HeaderName; 3] =
    [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS];

/// Tokens with commas between them (RFC 9110 §5.6.1, §5.6.2).
fn is_list_of_tokens(value: &HeaderValue) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(byte);
    !value.is_empty() && value.as_bytes().iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: &str = "https://front.example";

    fn cors(preflight: Preflight) -> Cors {
        let url = |text| PublicUrl::parse(text).unwrap();
        Cors::new(&Settings {
            origins: vec![url(FRONT), url("https://other.example:8443")],
            preflight,
            max_age: Duration::from_secs(600),
            expose: vec![HeaderName::from_static("x-total-count"), HeaderName::from_static("x-page")],
        })
    }

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn shown(grant: &Grant) -> Vec<(&str, &str)> {
        grant.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_listed_origin_is_named_and_no_other_is() {
        let named = [
            ("vary", "origin"),
            ("access-control-allow-origin", FRONT),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-total-count, x-page"),
        ];
        let cors = cors(Preflight::Answer);
        assert_eq!(shown(&cors.grant(&request("GET", &[("origin", FRONT)]).headers)), named);
        for other in
            ["https://evil.example", "https://front.example.evil.example", "http://front.example", "null", "*", ""]
        {
            let grant = cors.grant(&request("GET", &[("origin", other)]).headers);
            assert_eq!(shown(&grant), [("vary", "origin")], "{other}");
        }
        for headers in [&[][..], &[("origin", FRONT), ("origin", FRONT)], &[("origin", FRONT), ("origin", "null")]] {
            assert_eq!(shown(&cors.grant(&request("GET", headers).headers)), [("vary", "origin")], "{headers:?}");
        }
    }

    #[test]
    fn a_preflight_is_granted_what_it_asks_for_and_nothing_that_is_no_name() {
        let cors = cors(Preflight::Pass);
        let asks = [
            ("origin", FRONT),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "content-type, x-requested-with"),
        ];
        let grant = cors.preflight(&request("OPTIONS", &asks)).unwrap();
        let expected = [
            ("access-control-allow-methods", "PATCH"),
            ("access-control-allow-headers", "content-type, x-requested-with"),
            ("access-control-max-age", "600"),
        ];
        assert_eq!(shown(&grant), expected);
        let odd = [asks[0], asks[1], ("access-control-request-headers", "a\"b")];
        assert_eq!(shown(&cors.preflight(&request("OPTIONS", &odd)).unwrap()), [expected[0], expected[2]]);
        let none: [(&str, &[(&str, &str)]); 5] = [
            ("OPTIONS", &[asks[0], ("access-control-request-method", "a:b")]),
            ("POST", &asks),
            ("OPTIONS", &asks[..1]),
            ("OPTIONS", &asks[1..]),
            ("OPTIONS", &[("origin", "https://evil.example"), asks[1]]),
        ];
        for (method, headers) in none {
            assert!(cors.preflight(&request(method, headers)).is_none(), "{method} {headers:?}");
        }
    }
}
