//! Discovery and keys: what the provider says of itself (OpenID Connect Discovery §4, RFC 7517).

use super::Shared;
use super::agents::{ACR_VALUES, SCOPE_CLAIMS};
use super::exchange;
use super::faults::{DiscoveryFault, JwksFault};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    shared.counts.discovery.one_more();
    let mut metadata = metadata(&shared.issuer, shared.state().keys.has_rsa());
    match shared.faults.now().discovery {
        None => {}
        Some(DiscoveryFault::Unavailable) => return unavailable(),
        Some(DiscoveryFault::Garbage) => return cacheable("<html>not json".to_owned()),
        Some(DiscoveryFault::WrongIssuer) => {
            if let Value::Object(metadata) = &mut metadata {
                metadata.insert("issuer".to_owned(), json!("https://another-provider.example/api/v2"));
            }
        }
        Some(DiscoveryFault::Held(hold)) => hold.pass().await,
    }
    cacheable(metadata.to_string())
}

pub(super) async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    shared.counts.jwks.one_more();
    match shared.faults.now().jwks {
        None => {}
        Some(JwksFault::Unavailable) => return unavailable(),
        Some(JwksFault::Garbage) => return cacheable("<html>not json".to_owned()),
        Some(JwksFault::Empty) => return cacheable(json!({"keys": []}).to_string()),
        Some(JwksFault::Held(hold)) => hold.pass().await,
    }
    let jwks = shared.state().keys.jwks();
    cacheable(jwks.to_string())
}

fn metadata(issuer: &str, has_rsa: bool) -> Value {
    let algorithms: Vec<&str> = ["HS256", "ES256"].into_iter().chain(has_rsa.then_some("RS256")).collect();
    let acr_values: Vec<&str> =
        ACR_VALUES.into_iter().chain(["https://proconnect.gouv.fr/assurance/certification-dirigeant"]).collect();
    let scopes: Vec<&str> = SCOPE_CLAIMS.iter().map(|(scope, _)| *scope).collect();
    let of_scopes = SCOPE_CLAIMS.iter().flat_map(|(_, claims)| claims.iter().copied());
    let claims: Vec<&str> = of_scopes.chain(["acr", "auth_time", "iss", "sid"]).collect();
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "end_session_endpoint": format!("{issuer}/session/end"),
        "revocation_endpoint": format!("{issuer}/token/revocation"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", exchange::GRANT_TYPE],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_post"],
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true,
        "id_token_signing_alg_values_supported": algorithms,
        "userinfo_signing_alg_values_supported": algorithms,
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "acr_values_supported": acr_values,
        "scopes_supported": scopes,
        "claims_supported": claims,
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}

/// JSON for ten minutes, as ProConnect says of both.
fn cacheable(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    response
}

fn unavailable() -> Response {
    let mut response = Response::new(Body::from("unavailable"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
