//! Answers of the admin listener, and why a request got none.

use crate::seats::{ChangeError, Fault, PersonError};
use crate::store::StoreError;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// Why a request is not answered as it was meant. The text is for whoever asked.
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
    /// The same of what is to be written.
    #[error("it is too much to be read at once: ask for fewer days")]
    TooSlow,
    /// The site counts no seats.
    #[error("this site has no licences: write `seats` and `licences` in the configuration")]
    NoLicences,
    /// Nobody has that seat.
    #[error("this person has no seat of this licence")]
    NoSuchSeat,
    /// It was not said which state of a licence the change is about.
    #[error("send If-Match with the ETag of the licence that you have seen, or * whatever it has become")]
    NoTag,
    /// A licence was not changed.
    #[error(transparent)]
    Licence(#[from] ChangeError),
    /// Somebody under a licence was not changed.
    #[error(transparent)]
    Person(#[from] PersonError),
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
            Self::NotFound | Self::NotListed | Self::NoLicences | Self::NoSuchSeat => StatusCode::NOT_FOUND,
            Self::StoreDown(_) | Self::TooMany | Self::TooSlow | Self::NotAnnounced(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NoTag => StatusCode::PRECONDITION_REQUIRED,
            Self::Licence(error) => match error {
                ChangeError::Faults(_) => StatusCode::BAD_REQUEST,
                ChangeError::Unknown(_) => StatusCode::NOT_FOUND,
                ChangeError::NotManaged
                | ChangeError::Declared(_)
                | ChangeError::Exists(_)
                | ChangeError::InUse { .. } => StatusCode::CONFLICT,
                ChangeError::ChangedMeanwhile(_) => StatusCode::PRECONDITION_FAILED,
                ChangeError::NotAnnounced(_) | ChangeError::Store(_) | ChangeError::NoRandomness(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
            },
            Self::Person(error) => match error {
                PersonError::Unknown => StatusCode::NOT_FOUND,
                PersonError::Role => StatusCode::BAD_REQUEST,
                PersonError::Store(_) | PersonError::NoRandomness(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }

    /// What the store said, for the log.
    pub(super) fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::StoreDown(cause)
            | Self::NotAnnounced(cause)
            | Self::Licence(ChangeError::NotAnnounced(cause) | ChangeError::Store(cause))
            | Self::Person(PersonError::Store(cause)) => Some(cause),
            _ => None,
        }
    }

    /// What is wrong with a licence, key by key.
    fn faults(&self) -> &[Fault] {
        match self {
            Self::Licence(ChangeError::Faults(faults)) => faults,
            _ => &[],
        }
    }

    /// The cause as programs read it.
    fn name(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::Person(PersonError::Role) => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::NoTokenConfigured => "no_token_configured",
            Self::OtherSite => "other_site",
            Self::NotFound
            | Self::NotListed
            | Self::NoSuchSeat
            | Self::Licence(ChangeError::Unknown(_))
            | Self::Person(PersonError::Unknown) => "not_found",
            Self::StoreDown(_) | Self::Person(PersonError::Store(_) | PersonError::NoRandomness(_)) => {
                "store_unavailable"
            }
            Self::TooMany => "too_many_sessions",
            Self::NotAnnounced(_) | Self::Licence(ChangeError::NotAnnounced(_)) => "not_announced_yet",
            Self::TooSlow => "too_slow",
            Self::NoLicences => "no_licences",
            Self::NoTag => "if_match_required",
            Self::Licence(error) => match error {
                ChangeError::Faults(_) => "bad_licence",
                ChangeError::NotManaged => "licences_not_managed",
                ChangeError::Declared(_) => "licence_declared",
                ChangeError::Exists(_) => "licence_exists",
                ChangeError::InUse { .. } => "licence_in_use",
                ChangeError::ChangedMeanwhile(_) => "changed_meanwhile",
                _ => "store_unavailable",
            },
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

/// A file that a browser saves under this name.
pub(super) fn download(content_type: &'static str, disposition: &'static str, body: String) -> Response<Vec<u8>> {
    let mut file = answer(StatusCode::OK, content_type, body);
    set_headers(&mut file, [(http::header::CONTENT_DISPOSITION.as_str(), disposition)]);
    file
}

pub(super) fn error(failure: &Failure) -> Response<Vec<u8>> {
    let mut body = serde_json::json!({ "error": failure.name(), "message": failure.to_string() });
    let faults = failure.faults().iter().map(|fault| serde_json::json!({ "at": fault.at, "what": fault.what }));
    let faults: Vec<_> = faults.collect();
    if let (false, Some(body)) = (faults.is_empty(), body.as_object_mut()) {
        body.insert("faults".to_owned(), faults.into());
    }
    json(failure.status(), &body)
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
