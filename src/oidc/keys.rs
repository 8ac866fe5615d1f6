//! A provider's signing keys: fetched as a JSON Web Key Set and chosen from, one per token.
//!
//! Called by `cache` (to fetch) and `jws` (to choose). Only public keys come from here: the key of
//! an HS256 token is the client secret and is never looked for in a fetched document.

use super::Unreachable;
use super::settings::Algorithm;
use crate::fetch::{Fetch, FetchError};
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet};
use openidconnect::{
    AsyncHttpClient, DiscoveryError, HttpRequest, HttpResponse, JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeySetUrl,
    JsonWebKeyUse, JwsSigningAlgorithm,
};
use std::pin::Pin;
use std::time::Duration;
use url::Url;

const DOCUMENT: &str = "key set";

/// The keys of one provider, as last fetched.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(CoreJsonWebKeySet);

/// Why no key could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// None fits: perhaps the provider has begun to sign with a key that is newer than these.
    Unknown,
    /// Several fit.
    Ambiguous,
}

impl Keys {
    /// The one key that fits the token's `kid` and algorithm.
    ///
    /// Without a `kid` there must be but one key of that type (OpenID Connect Core §10.1): keys
    /// are not tried in turn.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&CoreJsonWebKey, NoKey> {
        let named = |key: &&CoreJsonWebKey| kid.is_none_or(|kid| key.key_id().is_some_and(|held| held.as_str() == kid));
        let mut fitting = self.0.keys().iter().filter(named).filter(|key| may_sign(key, algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(NoKey::Unknown),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
        }
    }
}

impl Keys {
    /// How many of them can sign with one of `algorithms`.
    pub(super) fn fitting(&self, algorithms: &[Algorithm]) -> usize {
        let fits = |key: &&CoreJsonWebKey| algorithms.iter().any(|algorithm| may_sign(key, *algorithm));
        self.0.keys().iter().filter(fits).count()
    }
}

/// Whether the key's type, `use` and `alg` allow it to sign with `algorithm` (RFC 7517 §4).
fn may_sign(key: &CoreJsonWebKey, algorithm: Algorithm) -> bool {
    let algorithm = algorithm.as_core();
    let used_for_signing = key.key_use().is_none_or(JsonWebKeyUse::allows_signature);
    let of_its_type = !algorithm.uses_shared_secret() && algorithm.key_type().as_ref() == Some(key.key_type());
    let meant_for_it = match key.signing_alg() {
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Algorithm(meant) => *meant == algorithm,
        JsonWebKeyAlgorithm::Unsupported => false,
    };
    used_for_signing && of_its_type && meant_for_it
}

/// Fetches the key set. Keys that the library does not understand are left out of it.
pub(super) async fn fetch(fetch: &Fetch, jwks_uri: &Url, timeout: Duration) -> Result<Keys, Unreachable> {
    let url = JsonWebKeySetUrl::from_url(jwks_uri.clone());
    let client = Client { fetch, timeout };
    CoreJsonWebKeySet::fetch_async(&url, &client).await.map(Keys).map_err(|error| without_body(&error))
}

/// [`Fetch`] as the library calls it. A type and not a closure: with a closure the future is not
/// `Send`.
struct Client<'a> {
    fetch: &'a Fetch,
    timeout: Duration,
}

impl<'c> AsyncHttpClient<'c> for Client<'_> {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.fetch.send(request, self.timeout))
    }
}

/// The library's error holds the body of the answer: it ends here.
fn without_body(error: &DiscoveryError<FetchError>) -> Unreachable {
    match error {
        DiscoveryError::Request(cause) => Unreachable::NotFetched { document: DOCUMENT, cause: cause.clone() },
        DiscoveryError::Response(status, ..) if *status != http::StatusCode::OK => {
            Unreachable::Status { document: DOCUMENT, status: status.as_u16() }
        }
        _ => Unreachable::Malformed { document: DOCUMENT },
    }
}

#[cfg(test)]
impl Keys {
    pub(super) fn from_json(set: &serde_json::Value) -> Self {
        Self(serde_json::from_value(set.clone()).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::stub::Signer;
    use serde_json::json;

    #[test]
    fn a_key_is_found_by_kid_type_use_and_alg_or_not_at_all() {
        let ec = Signer::new(Algorithm::ES256, "ec").jwk();
        let other_ec = Signer::new(Algorithm::ES256, "ec2").jwk();
        let rsa = Signer::new(Algorithm::RS256, "rsa").jwk();
        let with = |jwk: &serde_json::Value, name: &str, value: &str| {
            let mut jwk = jwk.clone();
            jwk[name] = json!(value);
            jwk
        };
        let cases = [
            ("kid and type", vec![ec.clone(), rsa.clone()], Some("ec"), Algorithm::ES256, None),
            ("no kid, one of the type", vec![ec.clone(), rsa.clone()], None, Algorithm::ES256, None),
            ("no kid, two of the type", vec![ec.clone(), other_ec], None, Algorithm::ES256, Some(NoKey::Ambiguous)),
            ("twice the kid", vec![ec.clone(), ec.clone()], Some("ec"), Algorithm::ES256, Some(NoKey::Ambiguous)),
            ("kid of another type", vec![ec.clone(), rsa.clone()], Some("rsa"), Algorithm::ES256, Some(NoKey::Unknown)),
            ("unknown kid", vec![ec.clone()], Some("new"), Algorithm::ES256, Some(NoKey::Unknown)),
            ("no keys", vec![], None, Algorithm::RS256, Some(NoKey::Unknown)),
            ("for encryption", vec![with(&rsa, "use", "enc")], None, Algorithm::RS256, Some(NoKey::Unknown)),
            ("for another alg", vec![with(&rsa, "alg", "PS256")], None, Algorithm::RS256, Some(NoKey::Unknown)),
            ("for that alg", vec![with(&rsa, "alg", "RS256")], None, Algorithm::RS256, None),
            ("HS256 with a public key", vec![rsa], Some("rsa"), Algorithm::HS256, Some(NoKey::Unknown)),
            (
                "HS256 with a published secret",
                vec![json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"})],
                Some("s"),
                Algorithm::HS256,
                Some(NoKey::Unknown),
            ),
        ];
        for (name, set, kid, algorithm, expected) in cases {
            let keys = Keys::from_json(&json!({ "keys": set }));
            assert_eq!(keys.find(kid, algorithm).err(), expected, "{name}");
        }
    }

    #[test]
    fn a_key_that_is_not_understood_does_not_spoil_the_set() {
        let ec = Signer::new(Algorithm::ES256, "ec").jwk();
        let keys = Keys::from_json(&json!({"keys": [{"kty": "new"}, {"kty": "RSA", "alg": "RSA-OAEP"}, ec]}));
        assert!(keys.find(Some("ec"), Algorithm::ES256).is_ok());
    }
}
