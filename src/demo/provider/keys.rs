//! The provider's signing keys: making them, signing with them, publishing them, rotating them.
//!
//! `id_token`, `userinfo` and `logout_token` sign, `metadata` publishes, `logout` checks a hint. The ways in which
//! tests have a signature go wrong are here too: [`Signature`].

use super::agents::uuid_text;
use super::settings::SigningAlgorithm;
use crate::random::{self, NoRandomness, Random};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RsaKeyPair};
use serde_json::{Map, Value, json};

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// An EC key could not be made.
    #[error("no EC key could be made")]
    NotMade,
    /// The given RSA key is none.
    #[error("the RSA key is not a PEM of an RSA private key (PKCS #8 or PKCS #1, 2048 bits or more): {0}")]
    BadRsaKey(String),
}

/// A token could not be signed: for RS256 without an RSA key.
#[derive(Debug, thiserror::Error)]
#[error("there is no key for {0}")]
pub(super) struct NotSigned(&'static str);

/// How a token is signed: rightly, or as a fault says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Signature {
    #[default]
    Right,
    /// By a key that is not published, under the `kid` of one that is.
    WrongKey,
    /// By a key that is not published, under its own `kid`.
    UnknownKey,
    /// `alg: none` and no signature.
    None,
    /// HS256 under the published EC key, as an attacker who knows only public things can.
    HmacUnderPublicKey,
}

pub(super) struct Keys {
    current: EcKey,
    /// Published nowhere.
    unpublished: EcKey,
    /// Published no more; they still prove that a hint was ours.
    former: Vec<EcKey>,
    rsa: Option<RsaKey>,
    signing: ring::rand::SystemRandom,
}

struct EcKey {
    kid: String,
    pair: EcdsaKeyPair,
}

struct RsaKey {
    kid: String,
    pair: RsaKeyPair,
}

impl Keys {
    /// Makes EC keys, and reads the RSA key where there is one.
    pub(super) fn new(rsa_pem: Option<&str>, random: &dyn Random) -> Result<Self, KeyError> {
        #[expect(clippy::disallowed_methods, reason = "ring makes keys and signatures from its own generator only")]
        let signing = ring::rand::SystemRandom::new();
        let rsa =
            rsa_pem.map(|pem| Ok::<_, KeyError>(RsaKey { kid: new_kid(random)?, pair: read_rsa(pem)? })).transpose()?;
        Ok(Self {
            current: EcKey::new(&signing, random)?,
            unpublished: EcKey::new(&signing, random)?,
            former: Vec::new(),
            rsa,
            signing,
        })
    }

    /// Replaces the EC key by a new one; an RSA key gets a new `kid` only.
    pub(super) fn rotate(&mut self, random: &dyn Random) -> Result<(), KeyError> {
        let new = EcKey::new(&self.signing, random)?;
        self.former.push(std::mem::replace(&mut self.current, new));
        if let Some(rsa) = &mut self.rsa {
            rsa.kid = new_kid(random)?;
        }
        Ok(())
    }

    /// Whether RS256 can be offered.
    pub(super) fn has_rsa(&self) -> bool {
        self.rsa.is_some()
    }

    /// The published keys (RFC 7517 §5).
    pub(super) fn jwks(&self) -> Value {
        let (x, y) = self.current.coordinates();
        let ec =
            json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.current.kid, "x": x, "y": y});
        let rsa = self.rsa.as_ref().map(|rsa| {
            let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(rsa.pair.public());
            let [n, e] = [parts.n, parts.e].map(|part| URL_SAFE_NO_PAD.encode(part));
            json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": rsa.kid, "n": n, "e": e})
        });
        json!({"keys": std::iter::once(ec).chain(rsa).collect::<Vec<_>>()})
    }

    /// A compact JWS (RFC 7515 §3.1) over `claims`, of no particular type.
    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        client_secret: &str,
        claims: &Map<String, Value>,
        signature: Signature,
    ) -> Result<String, NotSigned> {
        self.sign_as("JWT", algorithm, client_secret, claims, signature)
    }

    /// The same with this `typ`.
    pub(super) fn sign_as(
        &self,
        typ: &str,
        algorithm: SigningAlgorithm,
        client_secret: &str,
        claims: &Map<String, Value>,
        signature: Signature,
    ) -> Result<String, NotSigned> {
        let not_signed = NotSigned(algorithm.name());
        let (alg, kid) = match (signature, algorithm) {
            (Signature::None, _) => ("none", None),
            (Signature::HmacUnderPublicKey, _) => ("HS256", Some(&self.current.kid)),
            (_, SigningAlgorithm::HS256) => ("HS256", None),
            (Signature::UnknownKey, _) => (algorithm.name(), Some(&self.unpublished.kid)),
            (_, SigningAlgorithm::ES256) => ("ES256", Some(&self.current.kid)),
            (_, SigningAlgorithm::RS256) => ("RS256", self.rsa.as_ref().map(|rsa| &rsa.kid)),
        };
        let mut header = json!({"alg": alg, "typ": typ});
        if let (Some(kid), Value::Object(header)) = (kid, &mut header) {
            header.insert("kid".to_owned(), json!(kid));
        }
        let [header, payload] = [header.to_string(), Value::Object(claims.clone()).to_string()];
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let wrong = matches!(signature, Signature::WrongKey | Signature::UnknownKey);
        let bytes = match (signature, algorithm) {
            (Signature::None, _) => Vec::new(),
            (Signature::HmacUnderPublicKey, _) => hmac(self.current.pair.public_key().as_ref(), &input),
            (_, SigningAlgorithm::HS256) if wrong => hmac(b"not the secret of the client", &input),
            (_, SigningAlgorithm::HS256) => hmac(client_secret.as_bytes(), &input),
            (_, SigningAlgorithm::ES256) => {
                let key = if wrong { &self.unpublished } else { &self.current };
                key.pair.sign(&self.signing, input.as_bytes()).map_err(|_| not_signed)?.as_ref().to_vec()
            }
            (_, SigningAlgorithm::RS256) => {
                let Some(rsa) = &self.rsa else { return Err(not_signed) };
                let mut bytes = vec![0; rsa.pair.public().modulus_len()];
                // No second RSA key is at hand: a signature over another text is as wrong as one
                // by another key.
                let signed = if wrong { "another text" } else { input.as_str() };
                let padding = &ring::signature::RSA_PKCS1_SHA256;
                rsa.pair.sign(padding, &self.signing, signed.as_bytes(), &mut bytes).map_err(|_| not_signed)?;
                bytes
            }
        };
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The claims of a token that was signed here once, by a present or former key; its dates are
    /// not looked at (OpenID Connect RP-Initiated Logout §2: an expired hint is a hint).
    /// `secret_of` finds the secret of the client that the token is for.
    pub(super) fn open(&self, token: &str, secret_of: impl Fn(&str) -> Option<String>) -> Option<Map<String, Value>> {
        let (input, signature) = token.rsplit_once('.')?;
        let (header, payload) = input.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let claims: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let verified = match header.get("alg")?.as_str()? {
            "ES256" => std::iter::once(&self.current).chain(&self.former).any(|key| {
                let public = ring::signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key());
                public.verify(input.as_bytes(), &signature).is_ok()
            }),
            "RS256" => {
                let algorithm = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
                let public = ring::signature::UnparsedPublicKey::new(algorithm, self.rsa.as_ref()?.pair.public());
                public.verify(input.as_bytes(), &signature).is_ok()
            }
            "HS256" => {
                let secret = secret_of(claims.get("aud")?.as_str()?)?;
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
                ring::hmac::verify(&key, input.as_bytes(), &signature).is_ok()
            }
            _ => false,
        };
        verified.then_some(claims)
    }
}

impl EcKey {
    fn new(generator: &ring::rand::SystemRandom, random: &dyn Random) -> Result<Self, KeyError> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, generator).map_err(|_| KeyError::NotMade)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), generator).map_err(|_| KeyError::NotMade)?;
        Ok(Self { kid: new_kid(random)?, pair })
    }

    /// `x` and `y` as a JWK writes them (RFC 7518 §6.2.1).
    fn coordinates(&self) -> (String, String) {
        // An uncompressed point: 0x04, then 32 bytes each.
        let point = self.pair.public_key().as_ref();
        let half = |range| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
        (half(1..33), half(33..65))
    }
}

fn new_kid(random: &dyn Random) -> Result<String, NoRandomness> {
    Ok(uuid_text(random::bytes(random)?, 4))
}

fn hmac(key: &[u8], input: &str) -> Vec<u8> {
    ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), input.as_bytes()).as_ref().to_vec()
}

fn read_rsa(pem: &str) -> Result<RsaKeyPair, KeyError> {
    let bad = |cause: &dyn std::fmt::Display| KeyError::BadRsaKey(cause.to_string());
    let base64: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(base64).map_err(|error| bad(&error))?;
    let read =
        if pem.contains("BEGIN RSA PRIVATE KEY") { RsaKeyPair::from_der(&der) } else { RsaKeyPair::from_pkcs8(&der) };
    read.map_err(|error| bad(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn keys() -> Keys {
        Keys::new(Some(crate::demo::provider::tests::RSA_PEM), &SystemRandom::new()).unwrap()
    }

    fn claims() -> Map<String, Value> {
        Map::from_iter([("aud".to_owned(), json!("client"))])
    }

    const ALL: [SigningAlgorithm; 3] = [SigningAlgorithm::ES256, SigningAlgorithm::RS256, SigningAlgorithm::HS256];

    #[test]
    fn opens_what_it_signed_also_after_a_rotation() {
        let mut keys = keys();
        let tokens = ALL.map(|algorithm| keys.sign(algorithm, "secret", &claims(), Signature::Right).unwrap());
        for _ in 0..2 {
            for token in &tokens {
                assert_eq!(keys.open(token, |_| Some("secret".to_owned())), Some(claims()));
                assert_eq!(keys.open(&token.replacen('.', ".e30", 1), |_| Some("secret".to_owned())), None);
            }
            keys.rotate(&SystemRandom::new()).unwrap();
        }
        assert_eq!(keys.open(&tokens[2], |_| Some("another".to_owned())), None);
    }

    #[test]
    fn every_fault_makes_a_token_that_does_not_verify() {
        let keys = keys();
        for fault in [Signature::WrongKey, Signature::UnknownKey, Signature::None, Signature::HmacUnderPublicKey] {
            for algorithm in ALL {
                let token = keys.sign(algorithm, "secret", &claims(), fault).unwrap();
                assert_eq!(keys.open(&token, |_| Some("secret".to_owned())), None, "{fault:?} {algorithm:?}");
            }
        }
    }

    #[test]
    fn rotation_publishes_new_key_ids() {
        let mut keys = keys();
        let kids = |keys: &Keys| {
            let jwks = keys.jwks();
            jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].to_string()).collect::<Vec<_>>()
        };
        let before = kids(&keys);
        keys.rotate(&SystemRandom::new()).unwrap();
        let after = kids(&keys);
        assert_eq!((before.len(), after.len()), (2, 2));
        assert!(before.iter().all(|kid| !after.contains(kid)));
    }

    #[test]
    fn refuses_what_is_no_rsa_key() {
        for pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "§"] {
            assert!(matches!(Keys::new(Some(pem), &SystemRandom::new()), Err(KeyError::BadRsaKey(_))), "{pem}");
        }
        let without = Keys::new(None, &SystemRandom::new()).unwrap();
        assert!(without.sign(SigningAlgorithm::RS256, "", &claims(), Signature::Right).is_err());
    }
}
