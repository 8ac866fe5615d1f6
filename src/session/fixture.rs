//! Sessions for tests: of this room, and of `gate`.

use super::{BeginError, Begun, Place, Sessions, Settings};
use crate::clock::Timestamp;
use crate::oidc::{Identity, Tokens};
use crate::random::{NoRandomness, Random};
use crate::seal::{KeyMaterial, KeyRing};
use crate::store::OnDown;
use crate::web::cookies::{self, Cookies};
use crate::web::public_url::PublicUrl;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use zeroize::Zeroizing;

/// When the sessions of tests begin: a day in November 2026.
pub(crate) const START: Timestamp = Timestamp::from_unix(1_795_000_000);

/// The bytes 1, 2, 3 …: what is sealed with them is the same each time.
#[derive(Default)]
pub(crate) struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        bytes.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
        Ok(())
    }
}

/// Cookies of a site on https.
pub(crate) fn cookies() -> Cookies {
    cookies_set(&cookies::Settings::default())
}

fn cookies_set(settings: &cookies::Settings) -> Cookies {
    let url = PublicUrl::parse("https://playground.example.gouv.fr").unwrap();
    Cookies::new(&url, settings)
}

/// Sessions under these keys, with the claims that the default configuration keeps.
pub(crate) fn sessions(secrets: &[[u8; 32]]) -> Sessions {
    sessions_with(secrets, &cookies::Settings::default())
}

/// The same with cookies that are set like this.
pub(crate) fn sessions_with(secrets: &[[u8; 32]], cookies: &cookies::Settings) -> Sessions {
    let key = |secret: &[u8; 32]| KeyMaterial { id: "k".to_owned(), secret: Zeroizing::new(*secret), until: None };
    let keys: Vec<KeyMaterial> = secrets.iter().map(key).collect();
    let kept = ["email", "preferred_username", "groups", "roles"].map(str::to_owned);
    let store = crate::store::open(&crate::store::Settings::Memory).unwrap();
    let ring = Arc::new(KeyRing::new(&keys).unwrap());
    Sessions::new(ring, cookies_set(cookies), Settings::default(), kept, store, OnDown::default())
}

/// Begins a session of [`agent`]'s at [`START`].
pub(crate) fn begun(sessions: &Sessions, request: &HeaderMap, tokens: &Tokens, random: &dyn Random) -> Begun {
    try_begin(sessions, &agent(), request, tokens, random).unwrap()
}

/// Tries to. Nothing of the memory store waits, so it is there at once.
pub(crate) fn try_begin(
    sessions: &Sessions,
    identity: &Identity,
    request: &HeaderMap,
    tokens: &Tokens,
    random: &dyn Random,
) -> Result<Begun, BeginError> {
    now_or_never(sessions.begin(identity, tokens, request, &Place::default(), START, random))
}

/// The outcome of what does not wait.
pub(crate) fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).unwrap()
}

/// A public agent, as ProConnect describes one.
pub(crate) fn agent() -> Identity {
    let claims = json!({
        "sub": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "acr": "eidas1",
        "email": "helene.moreau@test.proconnect.gouv.fr",
        "given_name": "Hélène",
        "usual_name": "Moreau",
        "uid": "helene.moreau",
        "siret": "00000011700010",
        "idp_id": "5a0b9c1e-7d42-4f0a-9c53-1f6f3f2f9d01",
        "roles": ["agent_public", "agent_public_etat"],
        "organization_label": "Direction fictive du numérique",
    });
    match claims {
        Value::Object(claims) => Identity::for_tests("proconnect", &claims),
        other => panic!("{other}"),
    }
}

/// Tokens with an ID token of this length.
pub(crate) fn tokens(len: usize) -> Tokens {
    Tokens {
        id_token: "i".repeat(len).into(),
        access_token: "access".into(),
        refresh_token: Some("refresh".into()),
        access_token_expires_at: Some(START.plus(Duration::from_secs(13 * 3600))),
    }
}

/// The request that a browser sends after these `Set-Cookie`, having sent `before`.
pub(crate) fn request_after(before: &HeaderMap, set: &[HeaderValue]) -> HeaderMap {
    let held = before.get(COOKIE).map(|held| held.to_str().unwrap().to_owned()).unwrap_or_default();
    let mut jar: Vec<(String, String)> = held
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for cookie in set {
        let (pair, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        jar.retain(|(held, _)| held != name);
        if !attributes.ends_with("Max-Age=0") {
            jar.push((name.to_owned(), value.to_owned()));
        }
    }
    request(&jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; "))
}

/// A request with this `Cookie` header.
pub(crate) fn request(cookies: &str) -> HeaderMap {
    if cookies.is_empty() {
        HeaderMap::new()
    } else {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookies).unwrap())])
    }
}
