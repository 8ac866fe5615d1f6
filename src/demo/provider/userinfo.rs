//! `/userinfo`: the claims that the granted scopes give, as a signed JWT or as JSON (OpenID Connect Core §5.3).
//!
//! As at ProConnect it needs more than a valid access token: the subject's last session must be
//! alive.

use super::Shared;
use super::faults::UserinfoFault;
use super::keys::Signature;
use super::state::Grant;
use crate::clock::Timestamp;
use crate::secret::ExposeSecret;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    shared.counts.userinfo.one_more();
    let fault = shared.faults.now().userinfo;
    match &fault {
        Some(UserinfoFault::Failing) => {
            return respond(StatusCode::INTERNAL_SERVER_ERROR, JSON, SERVER_ERROR.to_owned());
        }
        Some(UserinfoFault::Unauthorized) => return unauthorized(),
        Some(UserinfoFault::Garbage) => return respond(StatusCode::OK, JSON, "<html>not json".to_owned()),
        Some(UserinfoFault::Held(hold)) => hold.pass().await,
        _ => {}
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        bearer.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let now = shared.now();
    let state = shared.state();
    let Some((grant, expires)) = token.and_then(|(_, token)| state.grant_of(token, now)) else {
        return unauthorized();
    };
    let (claims, signature) = claims(&shared.issuer, &grant, expires, fault.as_ref(), now);
    let client = &grant.request.client;
    match client.userinfo_signed_response_alg {
        Some(algorithm) if !matches!(fault, Some(UserinfoFault::PlainJson)) => {
            match state.keys.sign(algorithm, client.client_secret.expose_secret(), &claims, signature) {
                Ok(jwt) => respond(StatusCode::OK, "application/jwt; charset=utf-8", jwt),
                Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, JSON, SERVER_ERROR.to_owned()),
            }
        }
        _ => respond(StatusCode::OK, JSON, Value::Object(claims).to_string()),
    }
}

const JSON: &str = "application/json; charset=utf-8";
const SERVER_ERROR: &str = r#"{"error":"server_error"}"#;

fn claims(
    issuer: &str,
    grant: &Grant,
    expires: Timestamp,
    fault: Option<&UserinfoFault>,
    now: Timestamp,
) -> (Map<String, Value>, Signature) {
    let (request, agent) = (&grant.request, &grant.session.agent);
    let mut claims = agent.claims_for(&request.scopes);
    // Claims asked for one by one are given when a scope of the client covers them; `acr` and
    // `amr` belong to every sign-in.
    let allowed = agent.claims_for(&request.client.scopes);
    for name in &request.userinfo_claims {
        let free = matches!(name.as_str(), "acr" | "amr");
        if let Some(value) = allowed.get(name).cloned().or_else(|| agent.claim(name).filter(|_| free)) {
            claims.insert(name.clone(), value);
        }
    }
    let signed =
        request.client.userinfo_signed_response_alg.is_some() && !matches!(fault, Some(UserinfoFault::PlainJson));
    if signed {
        claims.insert("iss".to_owned(), json!(issuer));
        claims.insert("aud".to_owned(), json!(request.client.client_id));
        claims.insert("iat".to_owned(), json!(now.as_unix()));
        claims.insert("exp".to_owned(), json!(expires.as_unix()));
    }
    let mut set = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    let signature = match fault {
        Some(UserinfoFault::WrongKey) => Signature::WrongKey,
        Some(UserinfoFault::UnknownKey) => Signature::UnknownKey,
        Some(UserinfoFault::AlgNone) => Signature::None,
        Some(UserinfoFault::HmacUnderPublicKey) => Signature::HmacUnderPublicKey,
        _ => Signature::Right,
    };
    match fault {
        Some(UserinfoFault::WrongSubject) => set("sub", json!("00000000-0000-4000-8000-000000000000")),
        Some(UserinfoFault::WrongIssuer) => set("iss", json!("https://another-provider.example/api/v2")),
        Some(UserinfoFault::WrongAudience) => set("aud", json!("another-client")),
        Some(UserinfoFault::Expired) => set("exp", json!(now.as_unix().saturating_sub(3600))),
        Some(UserinfoFault::WithoutSubject) => drop(claims.remove("sub")),
        _ => {}
    }
    (claims, signature)
}

fn unauthorized() -> Response {
    let text = r#"{"error":"invalid_token","error_description":"invalid token provided"}"#;
    let mut response = respond(StatusCode::UNAUTHORIZED, JSON, text.to_owned());
    let challenge =
        HeaderValue::from_static(r#"Bearer error="invalid_token", error_description="invalid token provided""#);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
