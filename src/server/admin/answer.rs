//! Answers of the admin listener, and why a request got none.

use crate::store::StoreError;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// Why a request about sessions is not answered as it was meant. The text is for whoever asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What was asked for makes no sense; what would.
    #[error("{0}")]
    BadRequest(String),
    /// The token is wrong or missing.
    #[error("send the token of admin.token: `Authorization: Bearer …`")]
    Unauthorized,
    /// There is no token.
    #[error("set admin.token in the configuration, {{file: PATH}} or {{env: NAME}}, to see and end sessions here")]
    NoTokenConfigured,
    /// The form is not from our own page.
    #[error("the form was not sent by this page: open it and try again")]
    OtherSite,
    /// Nothing of that name.
    #[error("no live session has this identifier; should one come that has it, it is refused from now on")]
    NotFound,
    /// The same, where nothing was ended.
    #[error("no live session has this identifier")]
    NotListed,
    /// The store cannot be asked.
    #[error("the store cannot be asked; try again")]
    StoreDown(StoreError),
    /// There are too many sessions to look at them all.
    #[error("there are too many sessions to look through in time: give sub, which looks at one person's alone")]
    TooMany,
    /// In force here and not yet everywhere.
    #[error(
        "ended on this replica; the store could not be told yet, and the other replicas will hear of it as soon as it can"
    )]
    NotAnnounced(StoreError),
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NoTokenConfigured | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NotListed => StatusCode::NOT_FOUND,
            Self::StoreDown(_) | Self::TooMany | Self::NotAnnounced(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The cause as programs read it.
    fn name(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::NoTokenConfigured => "no_token_configured",
            Self::OtherSite => "other_site",
            Self::NotFound | Self::NotListed => "not_found",
            Self::StoreDown(_) => "store_unavailable",
            Self::TooMany => "too_many_sessions",
            Self::NotAnnounced(_) => "not_announced_yet",
        }
    }
}

pub(super) fn text(status: StatusCode, body: &str) -> Response<Vec<u8>> {
    answer(status, "text/plain; charset=utf-8", body.to_owned())
}

pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response<Vec<u8>> {
    json_text(status, body.to_string())
}

pub(super) fn json_text(status: StatusCode, body: String) -> Response<Vec<u8>> {
    answer(status, "application/json", body)
}

pub(super) fn error(failure: &Failure) -> Response<Vec<u8>> {
    json(failure.status(), &serde_json::json!({ "error": failure.name(), "message": failure.to_string() }))
}

/// Nothing of an answer is to be kept, nor taken for what it does not say it is.
fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = status;
    set_headers(
        &mut response,
        [
            (CONTENT_TYPE.as_str(), content_type),
            (CACHE_CONTROL.as_str(), "no-store"),
            (X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff"),
        ],
    );
    response
}

/// Sets headers whose text is written in this program, and the length of the body.
pub(super) fn set_headers<'a>(
    response: &mut Response<Vec<u8>>,
    headers: impl IntoIterator<Item = (&'a str, &'static str)>,
) {
    let length = response.body().len();
    let set = response.headers_mut();
    for (name, value) in headers {
        if let Ok(name) = HeaderName::try_from(name) {
            set.insert(name, HeaderValue::from_static(value));
        }
    }
    if response.status() != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
