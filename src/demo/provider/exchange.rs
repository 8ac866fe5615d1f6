//! Token exchange at `/token` (RFC 8693): a person's token becomes one for another service.
//!
//! `token` calls it, for this grant type. ProConnect has none of it. The client proves itself as
//! for everything else; the subject token must be its own, alive, and of a session that is. What is
//! issued is a short-lived JWT (RFC 9068) whose `aud` is the service, so that whoever receives it
//! can see what it is good for. Any service may be named.

use super::Shared;
use super::faults::ExchangeFault;
use super::keys::Signature;
use super::request::Parameters;
use super::settings::SigningAlgorithm;
use super::state::State;
use super::token::{TokenError, client_of, json_text, refusal};
use crate::clock::Timestamp;
use crate::secret::ExposeSecret;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

/// §2.1.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

pub(super) async fn answer(shared: &Shared, headers: &HeaderMap, form: &Parameters) -> Response {
    shared.counts.exchange.one_more();
    let fault = shared.faults.now().exchange;
    match &fault {
        Some(ExchangeFault::Failing) => return refusal(&TokenError::ServerError),
        Some(ExchangeFault::Refused(code)) => {
            return json_text(StatusCode::BAD_REQUEST, json!({ "error": code }).to_string());
        }
        Some(ExchangeFault::Garbage) => return json_text(StatusCode::OK, "<html>not json".to_owned()),
        Some(ExchangeFault::Held(hold)) => hold.pass().await,
        _ => {}
    }
    match exchange(shared, headers, form) {
        Ok(mut answer) => {
            shared.counts.exchanged.one_more();
            spoil(&mut answer, form, fault.as_ref());
            json_text(StatusCode::OK, Value::Object(answer).to_string())
        }
        Err(error) => refusal(&error),
    }
}

/// The right answer (§2.2.1).
fn exchange(shared: &Shared, headers: &HeaderMap, form: &Parameters) -> Result<Map<String, Value>, TokenError> {
    let client = client_of(shared, headers, form)?;
    let required = |name, missing| form.get(name).ok_or(TokenError::InvalidRequest(missing));
    let token = required("subject_token", "missing required parameter(s) (subject_token)")?;
    let kind = required("subject_token_type", "missing required parameter(s) (subject_token_type)")?;
    let issued_type = match form.get("requested_token_type") {
        None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
        Some(JWT) => JWT,
        Some(_) => return Err(TokenError::InvalidRequest("unsupported requested_token_type")),
    };
    let now = shared.now();
    let id = shared.fresh_id().map_err(|_| TokenError::ServerError)?.0;
    let state = shared.state();
    // §2.2.2: a subject token that does not count is an invalid request.
    let subject = match kind {
        ACCESS_TOKEN => by_access_token(&state, token, &client.client_id, now),
        ID_TOKEN => by_id_token(shared, &state, token, &client.client_id, now),
        _ => return Err(TokenError::InvalidRequest("unsupported subject_token_type")),
    };
    let subject = subject.ok_or(TokenError::InvalidRequest("subject_token is not valid"))?;
    let lifetime = state.exchanged_token_lifetime;
    let audience = form.get("audience").or(form.get("resource")).unwrap_or(&shared.issuer);
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(shared.issuer)),
        ("sub".to_owned(), json!(subject)),
        ("aud".to_owned(), json!(audience)),
        ("client_id".to_owned(), json!(client.client_id)),
        ("iat".to_owned(), json!(now.as_unix())),
        ("exp".to_owned(), json!(now.plus(lifetime).as_unix())),
        ("jti".to_owned(), json!(id)),
    ]);
    if let Some(scope) = form.get("scope") {
        claims.insert("scope".to_owned(), json!(scope));
    }
    let (algorithm, secret) = (SigningAlgorithm::ES256, client.client_secret.expose_secret());
    let signed = state.keys.sign_as("at+jwt", algorithm, secret, &claims, Signature::Right);
    Ok(Map::from_iter([
        ("access_token".to_owned(), json!(signed.map_err(|_| TokenError::ServerError)?)),
        ("issued_token_type".to_owned(), json!(issued_type)),
        ("token_type".to_owned(), json!("Bearer")),
        ("expires_in".to_owned(), json!(lifetime.as_secs())),
    ]))
}

/// Whose access token it is, if it is alive and this client's.
fn by_access_token(state: &State, token: &str, client_id: &str, now: Timestamp) -> Option<String> {
    let (grant, _) = state.grant_of(token, now)?;
    (grant.request.client.client_id == client_id).then_some(grant.session.agent.sub)
}

/// Whose ID token it is, if it is in date and this client's, and its session is alive.
fn by_id_token(shared: &Shared, state: &State, token: &str, client_id: &str, now: Timestamp) -> Option<String> {
    let secret_of = |id: &str| Some(shared.client(id)?.client_secret.expose_secret().to_owned());
    let claims = state.keys.open(token, secret_of)?;
    let text = |name| claims.get(name).and_then(Value::as_str);
    let in_date = claims.get("exp").and_then(Value::as_u64).is_some_and(|exp| now.as_unix() < exp);
    // What was exchanged here before is signed too, but is no ID token: it has no `sid`.
    let sid = text("sid").filter(|_| in_date && text("aud") == Some(client_id))?;
    state.sessions(now).into_iter().find(|session| session.sid == sid).map(|session| session.agent.sub)
}

fn spoil(answer: &mut Map<String, Value>, form: &Parameters, fault: Option<&ExchangeFault>) {
    let mut set = |name: &str, value: Value| drop(answer.insert(name.to_owned(), value));
    match fault {
        Some(ExchangeFault::WithoutIssuedTokenType) => drop(answer.remove("issued_token_type")),
        Some(ExchangeFault::WithoutLifetime) => drop(answer.remove("expires_in")),
        Some(ExchangeFault::IssuesIdToken) => set("issued_token_type", json!(ID_TOKEN)),
        Some(ExchangeFault::NotBearer) => set("token_type", json!("N_A")),
        Some(ExchangeFault::LineBreak) => set("access_token", json!("narrowed\r\nX-Forwarded-User: admin")),
        Some(ExchangeFault::SameToken) => set("access_token", json!(form.get("subject_token"))),
        _ => {}
    }
}
