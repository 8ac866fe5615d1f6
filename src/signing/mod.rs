//! Our own signing keys: what we sign with, and what we publish of them.
//!
//! `gate` signs assertions for apps with these, `oidc` proves with others that our client is itself,
//! `server` publishes the public halves of all, and `app` replaces the keys of a ring that is in use
//! when their files change. A [`SigningRing`] is for one [`Purpose`], and what it signs says so: an
//! assertion for an app is nothing to a provider, nor the other way round
//! (`docs/decisions/0018-signed-assertion.md`). Must never give out more of a key than its public half.

mod client_assertion;
mod key;

pub use client_assertion::ClientAssertions;
pub use key::{BadKey, SigningKey, new_key};

use crate::clock::Timestamp;
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a ring signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Who sent a request, for the app that it goes to.
    Assertion,
    /// That a request to a provider is from our client (RFC 7523 §2.2).
    ClientAuthentication,
}

impl Purpose {
    /// What the header says that it is (RFC 8725 §3.11). Of client assertions no more than that they
    /// are JWTs: there are providers that refuse what they do not know here.
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Assertion => "vestibule-assertion+jwt",
            Self::ClientAuthentication => "JWT",
        }
    }
}

/// The key that signs, and others that are published beside it: those before it, whose signatures
/// still count, and those to come. Whoever holds the ring has its present keys.
pub struct SigningRing {
    purpose: Purpose,
    keys: ArcSwap<Keys>,
    random: ring::rand::SystemRandom,
}

struct Keys {
    /// The first signs. Never empty.
    all: Vec<Arc<SigningKey>>,
    /// The protected header of whatever it signs, encoded.
    header: String,
}

/// What [`SigningRing::replace`] changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: these were its keys already.
    Nothing,
    /// Which keys are published besides the one that signs.
    Others,
    /// The key that signs, and maybe others.
    Current,
}

/// Nothing was signed: the operating system gave no randomness, or there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness to sign with")]
pub struct NotSigned;

impl SigningRing {
    /// A ring whose first key signs; none without a key.
    pub fn new(purpose: Purpose, keys: Vec<Arc<SigningKey>>) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "ring signs with its own generator only")]
        let random = ring::rand::SystemRandom::new();
        Some(Self { purpose, keys: ArcSwap::from_pointee(Keys::of(purpose, keys)?), random })
    }

    /// Puts these keys in the place of the present ones. Without a key nothing changes.
    pub fn replace(&self, keys: Vec<Arc<SigningKey>>) -> Change {
        let Some(new) = Keys::of(self.purpose, keys) else { return Change::Nothing };
        let present = self.keys.load();
        let change = if present.header != new.header {
            Change::Current
        } else if !present.all.iter().map(|key| key.rule()).eq(new.all.iter().map(|key| key.rule())) {
            Change::Others
        } else {
            return Change::Nothing;
        };
        self.keys.store(Arc::new(new));
        change
    }

    /// A compact JWS (RFC 7515 §3.1) over `claims`, by the first key.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, NotSigned> {
        let keys = self.keys.load();
        let claims = serde_json::to_vec(claims).map_err(|_| NotSigned)?;
        // Room for the signature and its dot, which is of one length for both algorithms.
        let mut jws = String::with_capacity(keys.header.len() + claims.len() * 4 / 3 + 92);
        jws.push_str(&keys.header);
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut jws);
        let signature = keys.all.first().and_then(|key| key.sign(jws.as_bytes(), &self.random)).ok_or(NotSigned)?;
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok(jws)
    }

    /// The name of the algorithm of the first key (RFC 7518 §3.1).
    pub fn algorithm(&self) -> &'static str {
        self.keys.load().all.first().map_or("", |key| key.algorithm())
    }

    /// The keys for log lines, the one that signs first, each by its `kid`.
    pub fn describe(&self) -> String {
        let keys = self.keys.load();
        keys.all.iter().map(|key| key.kid()).collect::<Vec<_>>().join(", ")
    }

    /// The `kid` of each, the one that signs first.
    pub fn kids(&self) -> Vec<String> {
        self.keys.load().all.iter().map(|key| key.kid().to_owned()).collect()
    }
}

impl std::fmt::Debug for SigningRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningRing({:?}: {})", self.purpose, self.describe())
    }
}

impl Keys {
    fn of(purpose: Purpose, all: Vec<Arc<SigningKey>>) -> Option<Self> {
        let first = all.first()?;
        let header = json!({"alg": first.algorithm(), "typ": purpose.typ(), "kid": first.kid()});
        Some(Self { header: URL_SAFE_NO_PAD.encode(header.to_string()), all })
    }
}

/// The JSON Web Key Set (RFC 7517 §5) of these rings at the moment `now`: the public halves of all
/// keys that are not past their end, and nothing else.
pub fn published<'r>(rings: impl IntoIterator<Item = &'r Arc<SigningRing>>, now: Timestamp) -> Value {
    let mut keys: Vec<Value> = Vec::new();
    for ring in rings {
        let present = ring.keys.load();
        // The first signs, so that it is there whatever is written of it.
        let all = present.all.iter().enumerate().filter(|(index, key)| *index == 0 || key.is_published(now));
        keys.extend(all.map(|(_, key)| key.public().clone()));
    }
    json!({ "keys": keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

    const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const NOW: Timestamp = Timestamp::from_unix(1_795_000_000);

    fn fresh(until: Option<Timestamp>) -> Arc<SigningKey> {
        Arc::new(SigningKey::from_pem(&new_key().unwrap(), until).unwrap())
    }

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn what_a_ring_signs_names_its_key_and_its_purpose_and_verifies_by_what_it_publishes() {
        let ed25519 = Arc::new(SigningKey::from_pem(ED25519_PEM, None).unwrap());
        for (key, alg) in [(fresh(None), "ES256"), (ed25519, "EdDSA")] {
            for purpose in [Purpose::Assertion, Purpose::ClientAuthentication] {
                let ring = Arc::new(SigningRing::new(purpose, vec![Arc::clone(&key)]).unwrap());
                let jws = ring.sign(&json!({"sub": "é"})).unwrap();
                let [header, claims, signature] = jws.split('.').collect::<Vec<_>>().try_into().unwrap();
                assert_eq!(decoded(header), json!({"alg": alg, "typ": purpose.typ(), "kid": key.kid()}));
                assert_eq!(decoded(claims), json!({"sub": "é"}));

                let jwk = &published([&ring], NOW)["keys"][0];
                assert_eq!((jwk["kid"].as_str(), jwk["alg"].as_str()), (Some(key.kid()), Some(alg)));
                let part = |name: &str| jwk[name].as_str().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
                let (signed, signature) = (format!("{header}.{claims}"), URL_SAFE_NO_PAD.decode(signature).unwrap());
                let verified = if alg == "ES256" {
                    let point = [vec![4], part("x").unwrap(), part("y").unwrap()].concat();
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature)
                } else {
                    UnparsedPublicKey::new(&ED25519, part("x").unwrap()).verify(signed.as_bytes(), &signature)
                };
                assert!(verified.is_ok(), "{alg}");
                assert_eq!(jwk.get("d"), None, "only the public half");
            }
        }
    }

    #[test]
    fn the_first_key_signs_and_the_others_are_published_until_their_end() {
        let (first, ended, second) =
            (fresh(None), fresh(Some(NOW)), fresh(Some(NOW.plus(std::time::Duration::from_secs(1)))));
        let keys = vec![Arc::clone(&first), ended, Arc::clone(&second)];
        let ring = Arc::new(SigningRing::new(Purpose::Assertion, keys).unwrap());
        let kids = |ring: &Arc<SigningRing>| -> Vec<String> {
            let set = published([ring], NOW);
            set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(kids(&ring), [first.kid(), second.kid()]);

        assert_eq!(ring.replace(vec![]), Change::Nothing);
        assert_eq!(ring.replace(vec![Arc::clone(&first)]), Change::Others);
        assert_eq!(ring.replace(vec![Arc::clone(&first)]), Change::Nothing);
        assert_eq!(ring.replace(vec![Arc::clone(&second), first]), Change::Current);
        assert_eq!(decoded(ring.sign(&json!({})).unwrap().split('.').next().unwrap())["kid"], second.kid());
        assert!(SigningRing::new(Purpose::Assertion, vec![]).is_none());
    }
}
