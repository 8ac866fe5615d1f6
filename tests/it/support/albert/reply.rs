//! Answers as FastAPI builds them: JSON, and `{"detail": …}` for whatever goes wrong.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer that is made at once.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// What a request comes to, or why it does not.
pub(super) type Outcome = Result<Reply, Reply>;

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, "application/json", body.to_string())
    }

    pub(super) fn raw(status: u16, content_type: &str, body: String) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body }
    }

    pub(super) fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: String::new() }
    }

    pub(super) fn detail(status: u16, detail: impl Into<String>) -> Self {
        Self::json(status, &json!({ "detail": detail.into() }))
    }

    /// 422: the request is not what was declared.
    pub(super) fn invalid(faults: Vec<Value>) -> Self {
        Self::json(422, &json!({ "detail": Value::Array(faults) }))
    }

    /// An exception that nobody caught.
    pub(super) fn internal_error() -> Self {
        Self::raw(500, "text/plain; charset=utf-8", "Internal Server Error".to_owned())
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(self.body)).unwrap()
    }
}
