//! `/token/revocation`: a client gives a token back (RFC 7009).
//!
//! The client proves itself as at `/token`. A refresh token takes its whole grant with it.

use super::Shared;
use super::faults::RevocationFault;
use super::request::Parameters;
use super::token::{TokenError, client_of, json_text, refusal};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

pub(super) async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    shared.counts.revocation.one_more();
    match shared.faults.now().revocation {
        None => {}
        Some(RevocationFault::Unavailable) => return json_text(StatusCode::SERVICE_UNAVAILABLE, String::new()),
        Some(RevocationFault::Held(hold)) => hold.pass().await,
    }
    let form = Parameters::parse(&body);
    let client = match client_of(&shared, &headers, &form) {
        Ok(client) => client,
        Err(error) => return refusal(&error),
    };
    let Some(token) = form.get("token") else {
        return refusal(&TokenError::InvalidRequest("missing required parameter(s) (token)"));
    };
    shared.state().revoke(token, &client.client_id);
    // §2.2: the same for a token that nobody knows.
    json_text(StatusCode::OK, String::new())
}
