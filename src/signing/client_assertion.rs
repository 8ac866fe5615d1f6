//! That our client is itself: the JWT that it shows in the place of its secret (RFC 7523 §3, OpenID
//! Connect Core §9).
//!
//! `oidc` makes one for each request, and none is used twice. It is for the issuer by name, not for the
//! address of an endpoint: one that another provider talked us into cannot be shown to this one.

use super::{NotSigned, SigningRing};
use crate::clock::Timestamp;
use crate::secret::{ExposeSecret, SecretString};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long one counts: for a request that is under way, and clocks that differ a little.
const LIFETIME: Duration = Duration::from_secs(60);

/// What proves our client at one provider.
pub struct ClientAssertions {
    by: By,
    random: SystemRandom,
}

enum By {
    /// `private_key_jwt`.
    Keys(Arc<SigningRing>),
    /// `client_secret_jwt`, by HS256.
    Secret(SecretString),
}

impl std::fmt::Debug for ClientAssertions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.by {
            By::Keys(_) => "ClientAssertions(by keys)",
            By::Secret(_) => "ClientAssertions(by a secret)",
        })
    }
}

/// OpenID Connect Core §9, and no more.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: Timestamp,
    exp: Timestamp,
}

impl ClientAssertions {
    /// `private_key_jwt`, by these keys.
    pub fn by_keys(ring: Arc<SigningRing>) -> Self {
        Self::new(By::Keys(ring))
    }

    /// `client_secret_jwt`, by this secret.
    pub fn by_secret(secret: SecretString) -> Self {
        Self::new(By::Secret(secret))
    }

    fn new(by: By) -> Self {
        #[expect(clippy::disallowed_methods, reason = "ring signs with its own generator only, and names it likewise")]
        let random = SystemRandom::new();
        Self { by, random }
    }

    /// An assertion of the client `client_id` for the provider that is named `audience`.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn assertion(&self, client_id: &str, audience: &str, now: Timestamp) -> Result<SecretString, NotSigned> {
        let mut id = [0; 16];
        self.random.fill(&mut id).map_err(|_| NotSigned)?;
        let jti = URL_SAFE_NO_PAD.encode(id);
        let claims = Claims { iss: client_id, sub: client_id, aud: audience, jti, iat: now, exp: now.plus(LIFETIME) };
        let jws = match &self.by {
            By::Keys(ring) => ring.sign(&claims)?,
            By::Secret(secret) => {
                let claims = serde_json::to_vec(&claims).map_err(|_| NotSigned)?;
                let header = json!({"alg": "HS256", "typ": "JWT"}).to_string();
                let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
            }
        };
        Ok(jws.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{Purpose, SigningKey, new_key};
    use serde_json::Value;

    const NOW: Timestamp = Timestamp::from_unix(1_795_000_000);

    #[test]
    fn it_is_of_the_client_for_the_issuer_once_and_for_a_minute() {
        let key = Arc::new(SigningKey::from_pem(&new_key().unwrap(), None).unwrap());
        let ring = SigningRing::new(Purpose::ClientAuthentication, vec![key]).unwrap();
        for (assertions, alg) in [
            (ClientAssertions::by_keys(Arc::new(ring)), "ES256"),
            (ClientAssertions::by_secret("a secret of more than thirty-two bytes".into()), "HS256"),
        ] {
            let made = || assertions.assertion("client", "https://op.test", NOW).unwrap();
            let (one, other) = (made(), made());
            let part = |jwt: &SecretString, index: usize| -> Value {
                let part = jwt.expose_secret().split('.').nth(index).unwrap().to_owned();
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
            };
            assert_eq!((&part(&one, 0)["alg"], &part(&one, 0)["typ"]), (&json!(alg), &json!("JWT")));
            let mut claims = part(&one, 1);
            let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
            assert_ne!(jti, part(&other, 1)["jti"]);
            assert_eq!(jti.as_str().unwrap().len(), 22);
            let now = NOW.as_unix();
            let expected =
                json!({"iss": "client", "sub": "client", "aud": "https://op.test", "iat": now, "exp": now + 60});
            assert_eq!(claims, expected);
        }
    }
}
