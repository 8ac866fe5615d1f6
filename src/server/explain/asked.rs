//! What is asked: about which request, and of whom.
//!
//! Made from a command line, a form or JSON; nothing of it is believed anywhere else. The request is
//! put together as a browser or a program would send it and goes through `web/hygiene` like any other.

use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::oidc::said_of_the_person;
use crate::web::hygiene::split_host;
use http::header::{ACCEPT, AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use std::net::IpAddr;

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// The method.
    pub method: String,
    /// The URL, or a path where there is one site alone.
    pub url: String,
    /// Headers besides, as they would come.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// At which moment.
    pub at: Timestamp,
    /// Who asks.
    pub who: Who,
}

/// Who sends the request that is explained.
#[derive(Clone, Debug)]
pub enum Who {
    /// Nobody that is known.
    Nobody,
    /// Somebody of whom the provider says this, who has just signed in.
    Person(SupposedClaims),
    /// Whose session this cookie is: its value, or a whole `Cookie` header.
    Cookie(String),
    /// A program of whose token or certificate this rule of `bearer` says this.
    Caller {
        /// The rule's name.
        rule: String,
        /// What it says.
        claims: SupposedClaims,
    },
}

/// Claims that nobody has verified.
#[derive(Clone, Debug, Default)]
pub struct SupposedClaims {
    said: serde_json::Map<String, serde_json::Value>,
    /// The provider that says it, by its name, where that is known.
    provider: Option<String>,
}

/// Why a question has no answer. Each names what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// Not an HTTP method.
    #[error("{0:?} is no HTTP method; write one such as GET or POST")]
    Method(String),
    /// Neither an http URL nor a path.
    #[error("{url:?} is no URL that can be asked for: {why}; write such as {like}")]
    Url {
        /// As written.
        url: String,
        /// What is wrong with it.
        why: &'static str,
        /// One that would do.
        like: String,
    },
    /// No site has this host.
    #[error("no site has the host {host:?}; there are {known}")]
    Host {
        /// The host.
        host: String,
        /// Those that sites have.
        known: String,
    },
    /// A header that cannot be sent.
    #[error("{0:?} is no header; write such as 'Accept: application/json'")]
    Header(String),
    /// A cookie that cannot be sent.
    #[error("the cookie is no cookie text; give its value, or the whole Cookie header")]
    Cookie,
    /// Claims that are none.
    #[error(
        "line {line}, column {column}: {why}; write a JSON object of claims, such as {{\"sub\": \"1\", \"email\": \"a@example.gouv.fr\"}}"
    )]
    Claims {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// Nobody of these claims could have a session.
    #[error("nobody of these claims could have a session: {0}")]
    NoSuchSession(String),
    /// No rule of `bearer` has this name.
    #[error("no rule of bearer is named {name:?}{known}")]
    Rule {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
}

/// A URL taken apart, and nothing of it changed: how a path is spelt is what is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// None for a path alone.
    pub(super) origin: Option<(bool, String)>,
    /// Path and query.
    pub(super) target: String,
}

impl From<serde_json::Map<String, serde_json::Value>> for SupposedClaims {
    fn from(claims: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { said: claims, provider: None }
    }
}

impl SupposedClaims {
    /// The same, said by the provider of this name.
    #[must_use]
    pub fn by(self, provider: String) -> Self {
        Self { provider: Some(provider), ..self }
    }

    /// The provider that is known to say it.
    pub(super) fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    /// Reads claims from JSON. No value of theirs is in an error.
    ///
    /// # Errors
    /// [`BadQuestion::Claims`].
    pub fn parse(text: &str) -> Result<Self, BadQuestion> {
        let bad = |line, column, why: &str| BadQuestion::Claims { line, column, why: why.to_owned() };
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            let why = if error.is_eof() { "the JSON ends too early" } else { "this is not JSON" };
            bad(error.line(), error.column(), why)
        })?;
        match value {
            serde_json::Value::Object(claims) => Ok(Self::from(claims)),
            _ => Err(bad(1, 1, "this is no JSON object")),
        }
    }

    /// What a session or a caller would have of them.
    pub(super) fn said(&self) -> Claims {
        said_of_the_person(self.said.clone())
    }

    /// Whether there is an address that the provider calls unverified.
    pub(super) fn loses_email(&self) -> bool {
        self.said.contains_key("email") && self.said().view().get("email").is_none()
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.said.get("iss")?.as_str()
    }

    /// `auth_time`.
    pub(super) fn authenticated_at(&self) -> Option<Timestamp> {
        self.said.get("auth_time").and_then(serde_json::Value::as_u64).map(Timestamp::from_unix)
    }
}

impl Address {
    /// Takes apart what was written; `like` is an address that would do.
    pub(super) fn parse(url: &str, like: &str) -> Result<Self, BadQuestion> {
        let bad = |why| BadQuestion::Url { url: url.to_owned(), why, like: like.to_owned() };
        if url.contains('#') {
            return Err(bad("what follows a # stays in the browser"));
        }
        let (origin, target) = if url.starts_with('/') {
            (None, url)
        } else {
            let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it begins with neither https:// nor /"))?;
            let secure = match scheme.to_ascii_lowercase().as_str() {
                "https" => true,
                "http" => false,
                _ => return Err(bad("its scheme is neither https nor http")),
            };
            let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            if authority.contains('@') {
                return Err(bad("it holds a name or a password"));
            }
            if split_host(authority).is_none() {
                return Err(bad("its host is none"));
            }
            (Some((secure, authority.to_owned())), target)
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { origin, target: format!("{slash}{}", as_sent(target)) })
    }
}

/// As browsers send it: what is not ASCII percent-encoded, and nothing else changed.
fn as_sent(target: &str) -> String {
    let mut sent = String::with_capacity(target.len());
    for character in target.chars() {
        if character.is_ascii() {
            sent.push(character);
        } else {
            let mut buffer = [0; 4];
            sent.extend(character.encode_utf8(&mut buffer).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    sent
}

impl Question {
    /// The request, without a cookie of ours. Where nothing says who sends it, it is a page of
    /// `origin` itself in a browser's window; with a token, a program.
    pub(super) fn request(&self, host: &str, target: &str, origin: &str) -> Result<Parts, BadQuestion> {
        let method =
            Method::from_bytes(self.method.as_bytes()).ok().filter(|_| self.method == self.method.to_ascii_uppercase());
        let method = method.ok_or_else(|| BadQuestion::Method(self.method.clone()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bad = || BadQuestion::Header(format!("{name}: {value}"));
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
            headers.append(name, value);
        }
        if !headers.contains_key(HOST) {
            headers
                .insert(HOST, HeaderValue::from_str(host).map_err(|_| BadQuestion::Header(format!("Host: {host}")))?);
        }
        if self.is_by_window(&headers) {
            headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
            headers.insert("sec-fetch-mode", HeaderValue::from_static("navigate"));
            headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
            if method != Method::GET && method != Method::HEAD {
                headers.extend(HeaderValue::from_str(origin).ok().map(|origin| (ORIGIN, origin)));
            }
        }
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = method;
        parts.version = Version::HTTP_11;
        parts.headers = headers;
        // What cannot be one is refused by hygiene, in its own words.
        parts.uri = target.parse().unwrap_or_default();
        Ok(parts)
    }

    /// Whether the asker leaves it to us what kind of client it is, and it is a browser's.
    fn is_by_window(&self, headers: &HeaderMap) -> bool {
        let says_itself = |name: &HeaderName| {
            matches!(*name, ACCEPT | ORIGIN | AUTHORIZATION)
                || name.as_str().starts_with("sec-")
                || name == "x-requested-with"
                || name == "upgrade"
        };
        !matches!(self.who, Who::Caller { .. }) && !headers.keys().any(says_itself)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_left_as_it_is_spelt() {
        let parse = |url| Address::parse(url, "https://a.example/").map(|address| (address.origin, address.target));
        let at = |secure, host: &str| Some((secure, host.to_owned()));
        let good = [
            ("/a/..;/b%2Fc//d?x=1&y", None, "/a/..;/b%2Fc//d?x=1&y"),
            ("https://App.Example:8443/A", at(true, "App.Example:8443"), "/A"),
            ("http://localhost:4180", at(false, "localhost:4180"), "/"),
            ("https://app.example?x", at(true, "app.example"), "/?x"),
            ("/café", None, "/caf%C3%A9"),
        ];
        for (url, origin, target) in good {
            assert_eq!(parse(url), Ok((origin, target.to_owned())), "{url}");
        }
        for bad in ["", "app.example/x", "ftp://a/x", "https://u:p@a/x", "https:///x", "https://a b/", "/x#y"] {
            assert!(matches!(parse(bad), Err(BadQuestion::Url { .. })), "{bad}");
        }
    }

    #[test]
    fn claims_that_are_none_are_named_by_their_line_and_not_repeated() {
        let error = SupposedClaims::parse("{\n  \"sub\": secret\n}").unwrap_err().to_string();
        assert!(error.starts_with("line 2, column ") && !error.contains("secret"), "{error}");
        assert!(SupposedClaims::parse("[1]").is_err() && SupposedClaims::parse("{").is_err());
    }
}
