//! `/session/end`: sign-out that a client began (OpenID Connect RP-Initiated Logout §2).
//!
//! Navigations by GET only, as at ProConnect. Ends the provider's session, then goes back to the
//! exact registered address with `state`. ProConnect passes through a form that submits itself;
//! without JavaScript the way back is direct, or, with `confirm_sign_out`, by a button. An address
//! that is not registered is told on a page and never gone to.
//!
//! Clients that asked for it hear of it first: by a logout token each, whose answers are waited
//! for, and by a frame each on a page that then leads back.

use super::Shared;
use super::authorize::{SESSION_COOKIE, clear_session_cookie, cookie};
use super::callback;
use super::logout_token;
use super::pages;
use super::request::{Parameters, SHORTEST_STATE};
use super::settings::Client;
use super::state::{Ended, State};
use crate::secret::ExposeSecret;
use axum::extract::RawQuery;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

/// Where a sign-out ends.
enum Ending {
    /// At the client.
    Client { post_logout_redirect_uri: String, state: String },
    /// On our own page: no client is known, or no address was given.
    OwnPage,
}

pub(super) async fn end_session(
    shared: axum::extract::State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    shared.counts.session_end.one_more();
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    match (ending(&shared, &parameters), shared.settings.confirm_sign_out) {
        (Err(refused), _) => refused,
        (Ok(Ending::Client { post_logout_redirect_uri, state }), true) => pages::confirm_sign_out(
            &post_logout_redirect_uri,
            &state,
            parameters.get("id_token_hint"),
            parameters.get("client_id"),
        ),
        (Ok(ending), _) => end(&shared, &headers, &ending).await,
    }
}

/// The confirmation's form: says again what the query said, and is checked again.
pub(super) async fn confirm(shared: axum::extract::State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    match ending(&shared, &Parameters::parse(&body)) {
        Ok(ending) => end(&shared, &headers, &ending).await,
        Err(refused) => refused,
    }
}

async fn end(shared: &Shared, headers: &HeaderMap, ending: &Ending) -> Response {
    let (ended, frames) = {
        let mut state = shared.state();
        state.automatic = None;
        let ended = cookie(headers, SESSION_COOKIE).and_then(|session_id| state.end_session(&session_id));
        let frames = ended.as_ref().map(|ended| frames(&state, &shared.issuer, ended)).unwrap_or_default();
        (ended, frames)
    };
    if let Some(ended) = ended {
        for client_id in &ended.clients {
            logout_token::deliver(shared, client_id, Some(&ended.sub), Some(&ended.sid)).await;
        }
    }
    let back = match ending {
        Ending::Client { post_logout_redirect_uri, state } => {
            Some(callback::append(post_logout_redirect_uri, &[("state", state)]))
        }
        Ending::OwnPage => None,
    };
    let mut response = match back {
        Some(back) if frames.is_empty() => callback::go_to(&back),
        back => pages::signed_out(&frames, back.as_deref()),
    };
    clear_session_cookie(&mut response);
    response
}

/// What a page has to show to tell the session's clients of its end (OpenID Connect Front-Channel
/// Logout §3): their addresses with `iss` and `sid`.
fn frames(state: &State, issuer: &str, ended: &Ended) -> Vec<String> {
    let uris = ended.clients.iter().filter_map(|client_id| state.logout_uris.get(client_id)?.frontchannel.as_ref());
    uris.map(|uri| callback::append(uri, &[("iss", issuer), ("sid", &ended.sid)])).collect()
}

/// Where the sign-out goes, or the page that says why it goes nowhere.
#[expect(clippy::result_large_err, reason = "the error is the response itself, made once")]
fn ending(shared: &Shared, parameters: &Parameters) -> Result<Ending, Response> {
    let malformed = |cause: &str| Err(pages::refused("Y000400", cause));
    if parameters.repeated().is_some() {
        return malformed("a parameter is given twice");
    }
    let client = match client(shared, parameters) {
        Ok(client) => client,
        Err(cause) => return malformed(cause),
    };
    let Some(client) = client else { return Ok(Ending::OwnPage) };
    let Some(address) = parameters.get("post_logout_redirect_uri") else { return Ok(Ending::OwnPage) };
    if !client.post_logout_redirect_uris.iter().any(|registered| registered == address) {
        return Err(pages::refused("Y030111", "the post_logout_redirect_uri is not registered"));
    }
    match parameters.get("state") {
        Some(state) if state.chars().count() >= SHORTEST_STATE => {
            Ok(Ending::Client { post_logout_redirect_uri: address.to_owned(), state: state.to_owned() })
        }
        Some(_) => malformed("state has fewer than 32 characters"),
        None => malformed("the parameter state is missing"),
    }
}

/// Who asks: by the hint, however old, or by `client_id`; if by both, they must agree.
fn client<'a>(shared: &'a Shared, parameters: &Parameters) -> Result<Option<&'a Client>, &'static str> {
    let secret_of = |id: &str| Some(shared.client(id)?.client_secret.expose_secret().to_owned());
    let by_hint = match parameters.get("id_token_hint") {
        None => None,
        Some(hint) => {
            let claims = shared.state().keys.open(hint, secret_of).ok_or("id_token_hint was not issued here")?;
            let audience = claims.get("aud").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            Some(shared.client(&audience).ok_or("id_token_hint was not issued to a registered client")?)
        }
    };
    let by_id = match parameters.get("client_id") {
        None => None,
        Some(id) => Some(shared.client(id).ok_or("no client has this client_id")?),
    };
    match (by_hint, by_id) {
        (Some(hint), Some(id)) if hint.client_id != id.client_id => Err("id_token_hint and client_id differ"),
        (hint, id) => Ok(hint.or(id)),
    }
}
