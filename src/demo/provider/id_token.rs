//! The ID token as ProConnect writes it: who and when, but no e-mail and no name (OpenID Connect Core §2).
//!
//! `token` calls it, for codes and for refreshes: the `nonce` is the same in both, as the library
//! that ProConnect runs on has it. `sid` is always there, for logout tokens to name. `acr` is there when it was asked for, `amr` when the `claims` parameter asked.

use super::Shared;
use super::faults::IdTokenFault;
use super::keys::{NotSigned, Signature};
use super::state::{Grant, State};
use crate::clock::Timestamp;
use crate::secret::ExposeSecret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

const LIFETIME: u64 = 3600;
const DAY: u64 = 24 * 3600;

pub(super) fn sign(
    shared: &Shared,
    state: &State,
    grant: &Grant,
    access_token: &str,
    fault: Option<&IdTokenFault>,
    now: Timestamp,
) -> Result<String, NotSigned> {
    let client = &grant.request.client;
    let mut claims = right_claims(&shared.issuer, grant, access_token, now);
    let signature = match fault {
        None => Signature::Right,
        Some(IdTokenFault::Garbage) => return Ok("this-is-no-jwt".to_owned()),
        Some(fault) => spoil(&mut claims, fault, now),
    };
    state.keys.sign(client.id_token_signed_response_alg, client.client_secret.expose_secret(), &claims, signature)
}

fn right_claims(issuer: &str, grant: &Grant, access_token: &str, now: Timestamp) -> Map<String, Value> {
    let (request, agent) = (&grant.request, &grant.session.agent);
    let now = now.as_unix();
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(issuer)),
        ("aud".to_owned(), json!(request.client.client_id)),
        ("sub".to_owned(), agent.claim("sub").unwrap_or_default()),
        ("iat".to_owned(), json!(now)),
        ("exp".to_owned(), json!(now + LIFETIME)),
        ("auth_time".to_owned(), json!(grant.session.started.as_unix())),
        ("nonce".to_owned(), json!(request.nonce)),
        ("at_hash".to_owned(), json!(at_hash(access_token))),
        ("sid".to_owned(), json!(grant.session.sid)),
    ]);
    if request.acr.asked {
        claims.insert("acr".to_owned(), json!(agent.acr));
    }
    if request.id_token_claims.iter().any(|name| name == "amr") {
        claims.insert("amr".to_owned(), json!(agent.amr));
    }
    claims
}

/// Makes the claims wrong as `fault` says, or says how to sign wrongly.
fn spoil(claims: &mut Map<String, Value>, fault: &IdTokenFault, now: Timestamp) -> Signature {
    let now = now.as_unix();
    let mut set = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    match fault {
        IdTokenFault::WrongKey => return Signature::WrongKey,
        IdTokenFault::UnknownKey => return Signature::UnknownKey,
        IdTokenFault::AlgNone => return Signature::None,
        IdTokenFault::HmacUnderPublicKey => return Signature::HmacUnderPublicKey,
        // Handled before: it is not about claims.
        IdTokenFault::Garbage => {}
        IdTokenFault::WrongNonce => set("nonce", json!("a-nonce-that-nobody-sent-0123456789")),
        IdTokenFault::WrongIssuer => set("iss", json!("https://another-provider.example/api/v2")),
        IdTokenFault::WrongAudience => set("aud", json!("another-client")),
        IdTokenFault::SecondAudience => {
            let ours = claims.get("aud").cloned();
            claims.insert("aud".to_owned(), json!([ours, "another-client"]));
        }
        IdTokenFault::WrongAuthorizedParty => set("azp", json!("another-client")),
        IdTokenFault::WrongSubject => set("sub", json!("00000000-0000-4000-8000-000000000000")),
        IdTokenFault::Expired => {
            set("iat", json!(now.saturating_sub(2 * LIFETIME)));
            set("exp", json!(now.saturating_sub(LIFETIME)));
        }
        IdTokenFault::IssuedInFuture => {
            set("iat", json!(now + DAY));
            set("exp", json!(now + DAY + LIFETIME));
        }
        IdTokenFault::WrongAtHash => set("at_hash", json!(at_hash("another access token"))),
        IdTokenFault::Acr(acr) => set("acr", json!(acr)),
        IdTokenFault::WithoutNonce => drop(claims.remove("nonce")),
        IdTokenFault::WithoutSubject => drop(claims.remove("sub")),
        IdTokenFault::WithoutExpiry => drop(claims.remove("exp")),
        IdTokenFault::WithoutAcr => drop(claims.remove("acr")),
    }
    Signature::Right
}

/// The left half of the access token's SHA-256 (OpenID Connect Core §3.1.3.6; all our algorithms
/// are of 256 bits).
fn at_hash(access_token: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn at_hash_is_that_of_a_published_example() {
        // OpenID Connect Core, appendix A.3 (the token of its example).
        assert_eq!(super::at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
