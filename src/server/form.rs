//! Forms that are sent to our own endpoints: read within a time and a length, and their fields, of
//! which each counts where it is there once.
//!
//! Called by `server/proxy` for the body, by endpoints for its fields and for those of a query.

use super::endpoints::MAX_FORM_LEN;
use bytes::Bytes;
use http::header::EXPECT;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr};
use std::time::Duration;

/// For the whole of a form that is sent to one of our own endpoints, however it trickles in.
const FORM_WITHIN: Duration = Duration::from_secs(10);

/// The value of a field that is there once.
pub(super) fn field(form: &str, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(form.as_bytes()).filter(|(held, _)| held == name);
    let value = values.next().map(|(_, value)| value.into_owned());
    if values.next().is_some() { None } else { value }
}

/// The body of a form of ours, which has to be there soon: it is a few bytes.
pub(super) async fn read_form(session: &mut Session) -> pingora::Result<String> {
    let late = || Error::explain(ErrorType::HTTPStatus(408), "the form took too long");
    // Who asks first waits for the answer (RFC 9110 §10.1.1).
    let asks = session.req_header().headers.get(EXPECT).is_some_and(|expected| expected.as_bytes() == b"100-continue");
    if asks {
        session.as_downstream_mut().write_continue_response().await?;
    }
    tokio::time::timeout(FORM_WITHIN, read_whole(session)).await.map_err(|_| late())?
}

async fn read_whole(session: &mut Session) -> pingora::Result<String> {
    let mut form: Vec<u8> = Vec::new();
    while let Some(piece) = session.as_downstream_mut().read_request_body().await? {
        let piece: Bytes = piece;
        if form.len() + piece.len() > MAX_FORM_LEN {
            return Err(Error::explain(ErrorType::HTTPStatus(413), "the form is too long"));
        }
        form.extend_from_slice(&piece);
    }
    String::from_utf8(form).or_err(ErrorType::HTTPStatus(400), "the form is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_counts_where_it_is_there_once() {
        let cases = [
            ("", None),
            ("end=others", Some("others")),
            ("x=1&end=%61b", Some("ab")),
            ("end=a&end=b", None),
            ("END=a", None),
        ];
        for (form, expected) in cases {
            assert_eq!(field(form, "end").as_deref(), expected, "{form}");
        }
    }
}
