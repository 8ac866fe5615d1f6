//! `/token`: codes and refresh tokens become tokens (RFC 6749 §4.1.3, §6). `exchange` has what
//! becomes another service's token.
//!
//! The client proves itself in the body (`client_secret_post`) and in no other way, as at
//! ProConnect; a refresh token is always issued.

use super::Shared;
use super::exchange;
use super::faults::{RefreshFault, TokenFault};
use super::id_token;
use super::request::Parameters;
use super::settings::Client;
use super::state::{Grant, NotGranted};
use crate::secret::ExposeSecret;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("client authentication failed")]
    InvalidClient,
    #[error("grant request is invalid")]
    InvalidGrant,
    #[error("unsupported grant_type requested")]
    UnsupportedGrantType,
    #[error("oops! something went wrong")]
    ServerError,
}

impl From<NotGranted> for TokenError {
    fn from(cause: NotGranted) -> Self {
        tracing::info!(%cause, "the demo provider grants no tokens");
        Self::InvalidGrant
    }
}

pub(super) async fn exchange(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    shared.counts.token.one_more();
    let form = Parameters::parse(&body);
    if form.get("grant_type") == Some(exchange::GRANT_TYPE) {
        return exchange::answer(&shared, &headers, &form).await;
    }
    let mut refresh_fault = None;
    if form.get("grant_type") == Some("refresh_token") {
        shared.counts.refresh.one_more();
        refresh_fault = shared.faults.now().refresh;
    }
    match &refresh_fault {
        Some(RefreshFault::Failing) => return refusal(&TokenError::ServerError),
        Some(RefreshFault::InvalidGrant) => return refusal(&TokenError::InvalidGrant),
        Some(RefreshFault::InvalidClient) => return refusal(&TokenError::InvalidClient),
        Some(RefreshFault::Garbage) => return json_text(StatusCode::OK, "<html>not json".to_owned()),
        Some(RefreshFault::Held(hold)) => hold.pass().await,
        _ => {}
    }
    match shared.faults.now().token {
        Some(TokenFault::Failing) => return refusal(&TokenError::ServerError),
        Some(TokenFault::InvalidGrant) => return refusal(&TokenError::InvalidGrant),
        Some(TokenFault::InvalidClient) => return refusal(&TokenError::InvalidClient),
        Some(TokenFault::Garbage) => return json_text(StatusCode::OK, "<html>not json".to_owned()),
        Some(TokenFault::Held(hold)) => hold.pass().await,
        Some(TokenFault::WithoutIdToken | TokenFault::WithoutRefreshToken | TokenFault::WrongTokenType) | None => {}
    }
    let answer = tokens(&shared, &headers, &form, refresh_fault.as_ref());
    match (answer, refresh_fault) {
        (Ok(_), Some(RefreshFault::LostAnswer)) => json_text(StatusCode::BAD_GATEWAY, "<html>".to_owned()),
        (Ok(tokens), fault) => {
            if let Some(RefreshFault::AnswerHeld(hold)) = fault {
                hold.pass().await;
            }
            json_text(StatusCode::OK, tokens.to_string())
        }
        (Err(error), _) => refusal(&error),
    }
}

/// The client that posts a form here, once the form is one and is its own (also for revocation).
pub(super) fn client_of<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<&'a Client, TokenError> {
    let is_form = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if !is_form {
        return Err(TokenError::InvalidRequest(
            "only application/x-www-form-urlencoded content-type bodies are supported",
        ));
    }
    if form.repeated().is_some() {
        return Err(TokenError::InvalidRequest("parameters must not be provided twice"));
    }
    authenticate(shared, headers, form)
}

fn tokens(
    shared: &Shared,
    headers: &HeaderMap,
    form: &Parameters,
    refresh_fault: Option<&RefreshFault>,
) -> Result<Value, TokenError> {
    let client = client_of(shared, headers, form)?;
    let required = |name, missing| form.get(name).ok_or(TokenError::InvalidRequest(missing));
    let (now, fresh) = (shared.now(), || shared.fresh_id().map_err(|_| TokenError::ServerError));
    let (new_access, new_refresh) = (fresh()?, fresh()?);
    let mut state = shared.state();
    let (grant_id, grant, new_refresh) = match required("grant_type", "missing required parameter(s) (grant_type)")? {
        "authorization_code" => {
            let code = required("code", "missing required parameter(s) (code)")?;
            let (redirect_uri, verifier) = (form.get("redirect_uri"), form.get("code_verifier"));
            let (id, grant) = state.redeem_code(code, &client.client_id, redirect_uri, verifier, now)?;
            (id, grant, Some(new_refresh))
        }
        "refresh_token" => {
            let token = required("refresh_token", "missing required parameter(s) (refresh_token)")?;
            let rotation = shared.settings.refresh_rotation;
            let refreshed = state.refresh(token, &client.client_id, rotation, now);
            match &refreshed {
                Ok(_) => shared.counts.refreshed.one_more(),
                Err(NotGranted::UsedBefore) => shared.counts.refresh_reuse.one_more(),
                Err(_) => {}
            }
            let (id, grant, rotates) = refreshed?;
            (id, grant, rotates.then_some(new_refresh))
        }
        _ => return Err(TokenError::UnsupportedGrantType),
    };
    let access_token = state.issue_access_token(&grant_id, new_access, now);
    let refresh_token = new_refresh.map(|new| state.issue_refresh_token(&grant_id, new, now));
    let faults = shared.faults.now();
    let id_token_fault = match refresh_fault {
        Some(RefreshFault::IdToken(fault)) => Some(fault),
        _ => faults.id_token.as_ref(),
    };
    let id_token = id_token::sign(shared, &state, &grant, &access_token, id_token_fault, now)
        .map_err(|_| TokenError::ServerError)?;
    let left_out = match refresh_fault {
        Some(RefreshFault::WithoutIdToken) => Some(&TokenFault::WithoutIdToken),
        Some(RefreshFault::WithoutRefreshToken) => Some(&TokenFault::WithoutRefreshToken),
        _ => faults.token.as_ref(),
    };
    let lifetime = state.access_token_lifetime;
    Ok(answer(&grant, &access_token, lifetime, &id_token, refresh_token, left_out))
}

fn answer(
    grant: &Grant,
    access_token: &str,
    lifetime: Duration,
    id_token: &str,
    refresh_token: Option<String>,
    fault: Option<&TokenFault>,
) -> Value {
    let mut answer = json!({
        "access_token": access_token,
        "expires_in": lifetime.as_secs(),
        "id_token": id_token,
        "scope": grant.request.scopes.join(" "),
        "token_type": "Bearer",
    });
    if let Value::Object(answer) = &mut answer {
        if let Some(refresh_token) = refresh_token {
            answer.insert("refresh_token".to_owned(), json!(refresh_token));
        }
        match fault {
            Some(TokenFault::WithoutIdToken) => drop(answer.remove("id_token")),
            Some(TokenFault::WithoutRefreshToken) => drop(answer.remove("refresh_token")),
            Some(TokenFault::WrongTokenType) => drop(answer.insert("token_type".to_owned(), json!("DPoP"))),
            _ => {}
        }
    }
    answer
}

/// The client of a request: by `client_secret_post` only, so that a client which defaults to
/// `client_secret_basic` fails here as it does at ProConnect.
fn authenticate<'a>(shared: &'a Shared, headers: &HeaderMap, form: &Parameters) -> Result<&'a Client, TokenError> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(TokenError::InvalidClient);
    }
    let none = TokenError::InvalidRequest("no client authentication mechanism provided");
    let (Some(id), Some(secret)) = (form.get("client_id"), form.get("client_secret")) else { return Err(none) };
    let client = shared.client(id).ok_or(TokenError::InvalidClient)?;
    let right: bool = client.client_secret.expose_secret().as_bytes().ct_eq(secret.as_bytes()).into();
    if right { Ok(client) } else { Err(TokenError::InvalidClient) }
}

pub(super) fn refusal(error: &TokenError) -> Response {
    let (status, name) = match error {
        TokenError::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
        TokenError::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
        TokenError::InvalidGrant => (StatusCode::BAD_REQUEST, "invalid_grant"),
        TokenError::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        TokenError::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    };
    json_text(status, json!({"error": name, "error_description": error.to_string()}).to_string())
}

pub(super) fn json_text(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
