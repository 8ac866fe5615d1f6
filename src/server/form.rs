//! Forms that are sent to our own endpoints: read within a time and a length, and their fields, of
//! which each counts where it is there once.
//!
//! Called by `server/proxy` and `kept_form` for the body, by endpoints for its fields and for those of
//! a query.

use super::endpoints::MAX_FORM_LEN;
use bytes::Bytes;
use http::header::EXPECT;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr};
use std::time::Duration;

/// For the whole of a form that is sent to one of our own endpoints, however it trickles in.
const FORM_WITHIN: Duration = Duration::from_secs(10);
/// How much of a body that is too long is read, and for how long, before its sender is told so.
const MOST_PASSED_OVER: usize = 1024 * 1024;
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(1);

/// The value of a field that is there once.
pub(super) fn field(form: &str, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(form.as_bytes()).filter(|(held, _)| held == name);
    let value = values.next().map(|(_, value)| value.into_owned());
    if values.next().is_some() { None } else { value }
}

/// The body of a form of ours, which has to be there soon: it is a few bytes.
pub(super) async fn read_form(session: &mut Session) -> pingora::Result<String> {
    let too_long = || Error::explain(ErrorType::HTTPStatus(413), "the form is too long");
    let form = read_body(session, MAX_FORM_LEN).await?.ok_or_else(too_long)?;
    String::from_utf8(form).or_err(ErrorType::HTTPStatus(400), "the form is not UTF-8")
}

/// A body of so many bytes at most, which has to be there soon; none where it is longer.
pub(super) async fn read_body(session: &mut Session, most: usize) -> pingora::Result<Option<Vec<u8>>> {
    let late = || Error::explain(ErrorType::HTTPStatus(408), "the form took too long");
    if asks_first(session) {
        session.as_downstream_mut().write_continue_response().await?;
    }
    tokio::time::timeout(FORM_WITHIN, read_whole(session, most)).await.map_err(|_| late())?
}

/// Who asks first waits for the answer (RFC 9110 §10.1.1).
fn asks_first(session: &Session) -> bool {
    session.req_header().headers.get(EXPECT).is_some_and(|expected| expected.as_bytes() == b"100-continue")
}

/// Reads a body to its end and keeps nothing of it: a browser reads no answer before it has sent all.
pub(super) async fn discard_body(session: &mut Session) -> pingora::Result<()> {
    if asks_first(session) {
        // It does: and was perhaps not told to go on.
        return Ok(());
    }
    while session.as_downstream_mut().read_request_body().await?.is_some() {}
    Ok(())
}

/// Reads on in a body that is too long, a little: a connection that is closed with something unread
/// takes the answer along that was to say why (RFC 9112 §9.6).
pub(super) async fn pass_over(session: &mut Session) {
    let rest = async {
        let mut left = MOST_PASSED_OVER;
        while let Ok(Some(piece)) = session.as_downstream_mut().read_request_body().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    // Who still sends then is not waited for.
    let _ = tokio::time::timeout(PASSED_OVER_WITHIN, rest).await;
}

async fn read_whole(session: &mut Session, most: usize) -> pingora::Result<Option<Vec<u8>>> {
    let mut body: Vec<u8> = Vec::new();
    while let Some(piece) = session.as_downstream_mut().read_request_body().await? {
        let piece: Bytes = piece;
        if body.len() + piece.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
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
