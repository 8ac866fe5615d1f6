//! Logout tokens: signed, and posted to the clients that asked to hear (OpenID Connect Back-Channel
//! Logout §2.4, §2.5).
//!
//! `logout` and `sessions` call [`deliver`]; tests take tokens from [`sign`] and post them
//! themselves.

use super::Shared;
use super::faults::LogoutTokenFault as Fault;
use super::keys::{NotSigned, Signature};
use super::state::FreshId;
use crate::fetch::Fetch;
use crate::random::NoRandomness;
use crate::secret::ExposeSecret;
use serde_json::{Map, Value, json};
use std::time::Duration;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// §4: two minutes at most.
const LIFETIME: u64 = 120;
/// How long a client may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a client answered to a logout token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which client.
    pub client_id: String,
    /// Its status; none where it could not be reached.
    pub status: Option<u16>,
}

/// Why there is no logout token.
#[derive(Debug, thiserror::Error)]
pub enum NoLogoutToken {
    /// No client has this `client_id`.
    #[error("no client has this client_id")]
    UnknownClient,
    /// No random bytes for its `jti`.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The client's algorithm has no key.
    #[error("there is no key for the client's algorithm")]
    NotSigned,
}

impl From<NotSigned> for NoLogoutToken {
    fn from(_: NotSigned) -> Self {
        Self::NotSigned
    }
}

/// Posts a logout token to the client, if it has an address for one, and waits for the answer.
pub(super) async fn deliver(
    shared: &Shared,
    client_id: &str,
    sub: Option<&str>,
    sid: Option<&str>,
) -> Option<Delivery> {
    let uri = shared.state().logout_uris.get(client_id)?.backchannel.clone()?;
    shared.counts.logout_tokens.one_more();
    let status = match sign(shared, client_id, sub, sid) {
        Ok(token) => post(shared, &uri, &token).await,
        Err(error) => {
            tracing::warn!(client_id, %error, "the demo provider makes no logout token");
            None
        }
    };
    tracing::info!(client_id, status, "the demo provider posted a logout token");
    Some(Delivery { client_id: client_id.to_owned(), status })
}

async fn post(shared: &Shared, uri: &str, token: &str) -> Option<u16> {
    let fetch = shared.fetch.get_or_init(|| Fetch::new().ok()).as_ref()?;
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token).finish();
    let request = http::Request::post(uri)
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .ok()?;
    Some(fetch.send(request, TIMEOUT).await.ok()?.status().as_u16())
}

/// A logout token for the client, as the faults of this moment have it.
pub(super) fn sign(
    shared: &Shared,
    client_id: &str,
    sub: Option<&str>,
    sid: Option<&str>,
) -> Result<String, NoLogoutToken> {
    let client = shared.client(client_id).ok_or(NoLogoutToken::UnknownClient)?;
    let fault = shared.faults.now().logout_token;
    let FreshId(jti) = shared.fresh_id()?;
    let now = shared.now().as_unix();
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(shared.issuer)),
        ("aud".to_owned(), json!(client.client_id)),
        ("iat".to_owned(), json!(now)),
        ("exp".to_owned(), json!(now + LIFETIME)),
        ("jti".to_owned(), json!(jti)),
        ("events".to_owned(), json!({ EVENT: {} })),
    ]);
    claims.extend(sub.map(|sub| ("sub".to_owned(), json!(sub))));
    claims.extend(sid.map(|sid| ("sid".to_owned(), json!(sid))));
    let (typ, signature) = match fault {
        None => ("logout+jwt", Signature::Right),
        Some(Fault::Garbage) => return Ok("this-is-no-jwt".to_owned()),
        Some(fault) => spoil(&mut claims, fault, now),
    };
    let (algorithm, secret) = (client.id_token_signed_response_alg, client.client_secret.expose_secret());
    Ok(shared.state().keys.sign_as(typ, algorithm, secret, &claims, signature)?)
}

/// Makes the claims wrong as `fault` says, or says how to name and sign the token wrongly.
fn spoil(claims: &mut Map<String, Value>, fault: Fault, now: u64) -> (&'static str, Signature) {
    const HOUR: u64 = 3600;
    let right = "logout+jwt";
    let mut set = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    match fault {
        Fault::WrongKey => return (right, Signature::WrongKey),
        Fault::UnknownKey => return (right, Signature::UnknownKey),
        Fault::AlgNone => return (right, Signature::None),
        Fault::HmacUnderPublicKey => return (right, Signature::HmacUnderPublicKey),
        Fault::TypedAccessToken => return ("at+jwt", Signature::Right),
        Fault::TypedJwt => return ("JWT", Signature::Right),
        // Handled before: it is not about claims.
        Fault::Garbage => {}
        Fault::WrongIssuer => set("iss", json!("https://another-provider.example/api/v2")),
        Fault::WrongAudience => set("aud", json!("another-client")),
        Fault::Old => set("iat", json!(now.saturating_sub(HOUR))),
        Fault::IssuedInFuture => {
            set("iat", json!(now + 24 * HOUR));
            set("exp", json!(now + 24 * HOUR + LIFETIME));
        }
        Fault::Expired => set("exp", json!(now.saturating_sub(180))),
        Fault::SameId => set("jti", json!("the-same-each-time")),
        Fault::OtherEvent => set("events", json!({"http://schemas.openid.net/event/another": {}})),
        Fault::WithNonce => set("nonce", json!("a-nonce-that-no-logout-token-has-0123456789")),
        Fault::WithoutIssuedAt => drop(claims.remove("iat")),
        Fault::WithoutExpiry => drop(claims.remove("exp")),
        Fault::WithoutId => drop(claims.remove("jti")),
        Fault::WithoutEvents => drop(claims.remove("events")),
        Fault::NamesNobody => claims.retain(|name, _| name != "sub" && name != "sid"),
    }
    (right, Signature::Right)
}
