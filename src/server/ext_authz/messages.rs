//! The messages of Envoy's `ext_authz`, as far as they are read and written here.
//!
//! Called by `server/ext_authz`. Protocol Buffers name fields by number: the numbers are those of
//! Envoy's API v3 (`envoy.service.auth.v3`, and the types of `envoy.config.core.v3`,
//! `envoy.type.v3` and `google.rpc` in them). Fields that are not here are skipped by the decoder, so
//! nothing can be read from them. What a browser sent is in these, so nothing of them is printed.

use crate::web::original::{NotRebuilt, OriginalRequest, Told};
use prost::Message;
use std::fmt;

/// `envoy.service.auth.v3.CheckRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) attributes: Option<AttributeContext>,
}

/// `envoy.service.auth.v3.AttributeContext`
#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeContext {
    #[prost(message, optional, tag = "4")]
    pub(super) request: Option<Request>,
}

/// `envoy.service.auth.v3.AttributeContext.Request`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, optional, tag = "2")]
    pub(super) http: Option<HttpRequest>,
}

/// `envoy.service.auth.v3.AttributeContext.HttpRequest`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct HttpRequest {
    #[prost(string, tag = "2")]
    pub(super) method: String,
    /// A map from names to values, which is a list of pairs on the wire: read as one, so that no
    /// name hides another.
    #[prost(message, repeated, tag = "3")]
    pub(super) headers: Vec<HeaderValue>,
    #[prost(string, tag = "4")]
    pub(super) path: String,
    #[prost(string, tag = "5")]
    pub(super) host: String,
    #[prost(string, tag = "6")]
    pub(super) scheme: String,
    #[prost(string, tag = "7")]
    pub(super) query: String,
    #[prost(string, tag = "8")]
    pub(super) fragment: String,
    #[prost(message, optional, tag = "13")]
    pub(super) header_map: Option<HeaderMap>,
}

/// `envoy.config.core.v3.HeaderMap`
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    pub(super) headers: Vec<HeaderValue>,
}

/// `envoy.config.core.v3.HeaderValue`
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct HeaderValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) raw_value: Vec<u8>,
}

/// `envoy.config.core.v3.HeaderValueOption`
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<HeaderValue>,
    #[prost(enumeration = "HeaderAppendAction", tag = "3")]
    pub(super) append_action: i32,
}

/// `envoy.config.core.v3.HeaderValueOption.HeaderAppendAction`
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum HeaderAppendAction {
    AppendIfExistsOrAdd = 0,
    OverwriteIfExistsOrAdd = 2,
}

/// `envoy.service.auth.v3.CheckResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub(super) http_response: Option<HttpResponse>,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// `envoy.service.auth.v3.CheckResponse.http_response`
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(DeniedHttpResponse),
    #[prost(message, tag = "3")]
    Ok(OkHttpResponse),
}

/// `envoy.service.auth.v3.DeniedHttpResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeniedHttpResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    #[prost(string, tag = "3")]
    pub(super) body: String,
}

/// `envoy.type.v3.HttpStatus`
#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// `envoy.service.auth.v3.OkHttpResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct OkHttpResponse {
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    #[prost(string, repeated, tag = "5")]
    pub(super) headers_to_remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) response_headers_to_add: Vec<HeaderValueOption>,
}

impl CheckRequest {
    /// The host of the request that this asks about; nothing where it says none.
    pub(super) fn host(&self) -> &str {
        let request = self.attributes.as_ref().and_then(|attributes| attributes.request.as_ref());
        request.and_then(|request| request.http.as_ref()).map_or("", |http| &http.host)
    }

    /// The request that this asks about.
    ///
    /// # Errors
    /// [`NotRebuilt`], by cause.
    pub(super) fn original(&self) -> Result<OriginalRequest, NotRebuilt> {
        let request = self.attributes.as_ref().and_then(|attributes| attributes.request.as_ref());
        let http = request.and_then(|request| request.http.as_ref());
        let http = http.ok_or(NotRebuilt::Unsaid("attributes.request.http"))?;
        // Envoy has the query in the path. A second place for it could say something else.
        for (name, text) in [("query", &http.query), ("fragment", &http.fragment)] {
            if !text.is_empty() {
                return Err(NotRebuilt::SaidTwice(name));
            }
        }
        let raw = http.header_map.as_ref().map(|map| &map.headers).filter(|headers| !headers.is_empty());
        let headers = match (raw, http.headers.is_empty()) {
            (Some(raw), true) => raw,
            (None, false) => &http.headers,
            (Some(_), false) => return Err(NotRebuilt::SaidTwice("headers")),
            (None, true) => return Err(NotRebuilt::Unsaid("headers")),
        };
        let headers = headers.iter().map(|header| Ok((header.key.as_str(), header.text()?)));
        OriginalRequest::told(&Told {
            method: &http.method,
            scheme: &http.scheme,
            host: &http.host,
            target: &http.path,
            headers: &headers.collect::<Result<Vec<_>, NotRebuilt>>()?,
        })
    }
}

impl HeaderValue {
    /// Its bytes, wherever they are.
    fn text(&self) -> Result<&[u8], NotRebuilt> {
        match (self.value.as_bytes(), self.raw_value.as_slice()) {
            (text, []) => Ok(text),
            ([], raw) => Ok(raw),
            _ => Err(NotRebuilt::SaidTwice("a header's value")),
        }
    }
}

impl HeaderValueOption {
    pub(super) fn new(name: &str, value: String, action: HeaderAppendAction) -> Self {
        let header = HeaderValue { key: name.to_owned(), value, raw_value: Vec::new() };
        Self { header: Some(header), append_action: action.into() }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HeaderValue").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(key: &str, value: &str, raw: &str) -> HeaderValue {
        HeaderValue { key: key.to_owned(), value: value.to_owned(), raw_value: raw.as_bytes().to_vec() }
    }

    fn about(http: HttpRequest) -> Result<OriginalRequest, NotRebuilt> {
        let request = Some(Request { http: Some(http) });
        CheckRequest { attributes: Some(AttributeContext { request }) }.original()
    }

    fn request() -> HttpRequest {
        let text = str::to_owned;
        HttpRequest {
            method: text("GET"),
            path: text("/a?b"),
            host: text("app.example"),
            scheme: text("https"),
            headers: vec![header("accept", "*/*", "")],
            ..HttpRequest::default()
        }
    }

    fn raw(headers: &[HeaderValue]) -> HeaderMap {
        HeaderMap { headers: headers.to_vec() }
    }

    #[test]
    fn a_request_is_said_in_one_place() {
        assert!(about(request()).is_ok());
        let in_raw = HttpRequest { headers: Vec::new(), header_map: Some(raw(&[header("a", "", "b")])), ..request() };
        assert!(about(in_raw).is_ok());
        let cases = [
            (HttpRequest { headers: Vec::new(), ..request() }, NotRebuilt::Unsaid("headers")),
            (
                HttpRequest { headers: Vec::new(), header_map: Some(raw(&[])), ..request() },
                NotRebuilt::Unsaid("headers"),
            ),
            (
                HttpRequest { header_map: Some(raw(&[header("a", "", "b")])), ..request() },
                NotRebuilt::SaidTwice("headers"),
            ),
            (
                HttpRequest { headers: vec![header("a", "b", "c")], ..request() },
                NotRebuilt::SaidTwice("a header's value"),
            ),
            (HttpRequest { query: "b".to_owned(), ..request() }, NotRebuilt::SaidTwice("query")),
            (HttpRequest { fragment: "b".to_owned(), ..request() }, NotRebuilt::SaidTwice("fragment")),
        ];
        for (http, cause) in cases {
            assert_eq!(about(http).unwrap_err(), cause);
        }
    }

    #[test]
    fn a_question_about_nothing_is_none() {
        let empty = [
            CheckRequest::default(),
            CheckRequest { attributes: Some(AttributeContext::default()) },
            CheckRequest { attributes: Some(AttributeContext { request: Some(Request::default()) }) },
        ];
        for question in empty {
            assert_eq!(question.original().unwrap_err(), NotRebuilt::Unsaid("attributes.request.http"));
        }
    }

    #[test]
    fn nothing_that_a_browser_sent_is_printed() {
        let http = HttpRequest { headers: vec![header("cookie", "s3cret", "s3cret")], ..request() };
        let request = Some(Request { http: Some(HttpRequest { path: "/?s3cret".to_owned(), ..http }) });
        let printed = format!("{:?}", CheckRequest { attributes: Some(AttributeContext { request }) });
        assert!(!printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn a_map_is_a_list_of_pairs_on_the_wire_and_none_is_lost() {
        // Field 3, twice the pair (1: "a", 2: "b"), and a field that is not known here.
        let wire = b"\x1a\x06\x0a\x01a\x12\x01b\x1a\x06\x0a\x01a\x12\x01b\x52\x03odd";
        let http = HttpRequest::decode(&wire[..]).unwrap();
        assert_eq!(http.headers, vec![header("a", "b", ""); 2]);
        assert!(HttpRequest::decode(&b"\x12\x02\xff\xfe"[..]).is_err(), "text that is not UTF-8");
    }
}
