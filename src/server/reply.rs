//! Answers that we give ourselves, and the one place where they are written.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// An answer of ours.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    close: bool,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), close: false }
    }

    /// A redirect that is never cached. 303 behind a POST, so that no browser sends the form again
    /// to the provider (RFC 9700 §4.12); else the 302 that every client knows.
    pub(super) fn redirect(method: &Method, location: &str) -> Self {
        let status = if *method == Method::POST { StatusCode::SEE_OTHER } else { StatusCode::FOUND };
        // Locations are origins and sealed text of ours or URLs that a URL parser wrote: header text.
        let location = HeaderValue::from_str(location).unwrap_or_else(|_| HeaderValue::from_static("/"));
        Self::new(status, Bytes::new())
            .header(LOCATION, location)
            .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub(super) fn headers(mut self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The same answer under another status.
    #[must_use]
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Headers whose text is written in this program.
    #[must_use]
    pub(super) fn fixed_headers(mut self, headers: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let pairs =
            headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        self.headers.extend(pairs);
        self
    }

    #[must_use]
    pub(super) fn cookies(mut self, cookies: impl IntoIterator<Item = HeaderValue>) -> Self {
        self.headers.extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
        self
    }

    /// Closes the connection afterwards: what follows on it cannot be trusted to be a request.
    #[must_use]
    pub(super) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Status, headers and body, for an answer that is not written as HTTP.
    pub(super) fn into_parts(self) -> (StatusCode, Vec<(HeaderName, HeaderValue)>, Bytes) {
        (self.status, self.headers, self.body)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) async fn send(self, session: &mut Session) -> pingora::Result<()> {
        let mut header = ResponseHeader::build(self.status, Some(self.headers.len() + 2))?;
        for (name, value) in self.headers {
            header.append_header(name, value)?;
        }
        // These have none by definition, and say nothing of its length (RFC 9110 §8.6).
        if !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            header.insert_header(CONTENT_LENGTH, self.body.len())?;
        }
        if self.close {
            session.set_keepalive(None);
        }
        let head_only = session.req_header().method == Method::HEAD || self.body.is_empty();
        session.write_response_header(Box::new(header), head_only).await?;
        if !head_only {
            session.write_response_body(Some(self.body), true).await?;
        }
        Ok(())
    }
}
