//! One signing key: read from PEM, named by its thumbprint, and made.
//!
//! `config` reads them, `commands` makes them. A key is P-256 for ES256 or Ed25519 for EdDSA, in
//! PKCS #8 (RFC 5958), as `vestibule keys signing` and `openssl genpkey` write it. It has no name of
//! its own: its `kid` is the thumbprint of its public half (RFC 7638), which is the same on every
//! replica and never another key's. Must never print or give out the private half.

use crate::clock::Timestamp;
use crate::random::NoRandomness;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, Signature};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// A signing key.
pub struct SigningKey {
    kid: String,
    public: Value,
    pair: Pair,
    until: Option<Timestamp>,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// Why a text is no signing key. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// No PEM of a private key.
    #[error("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NotPem,
    /// A PEM of an older form.
    #[error("is not in PKCS #8; `openssl pkcs8 -topk8 -nocrypt` writes it so")]
    NotPkcs8,
    /// An encrypted key.
    #[error(
        "is encrypted with a passphrase, which nobody could type here; `openssl pkcs8 -topk8 -nocrypt` writes it without"
    )]
    Encrypted,
    /// RSA, another curve, or broken.
    #[error("is no key that signs with ES256 or EdDSA: it has to be P-256 or Ed25519")]
    Unsupported,
}

impl SigningKey {
    /// Reads a key from PEM. `until` is the first moment at which it is no longer published.
    ///
    /// # Errors
    /// [`BadKey`], by cause.
    pub fn from_pem(pem: &str, until: Option<Timestamp>) -> Result<Self, BadKey> {
        if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            return Err(BadKey::Encrypted);
        }
        let pkcs8 = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs8(pkcs8)) => pkcs8,
            Ok(_) => return Err(BadKey::NotPkcs8),
            Err(_) => return Err(BadKey::NotPem),
        };
        let pair = Pair::from_pkcs8(pkcs8.secret_pkcs8_der()).ok_or(BadKey::Unsupported)?;
        let (kid, public) = pair.public().ok_or(BadKey::Unsupported)?;
        Ok(Self { kid, public, pair, until })
    }

    /// Its name in the header of what it signs.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The name of its algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
    pub fn algorithm(&self) -> &'static str {
        self.pair.algorithm()
    }

    pub(super) fn public(&self) -> &Value {
        &self.public
    }

    pub(super) fn is_published(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// What replacing a ring compares.
    pub(super) fn rule(&self) -> (&str, Option<Timestamp>) {
        (&self.kid, self.until)
    }

    pub(super) fn sign(&self, message: &[u8], random: &ring::rand::SystemRandom) -> Option<Signature> {
        match &self.pair {
            Pair::Es256(pair) => pair.sign(random, message).ok(),
            Pair::EdDsa(pair) => Some(pair.sign(message)),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

impl Pair {
    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "ring checks and signs with its own generator only")]
        let random = ring::rand::SystemRandom::new();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random);
        // OpenSSL writes Ed25519 without the public half, which is then derived and needs no check.
        let ed = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
        ec.ok().map(Self::Es256).or_else(|| ed().ok().map(Self::EdDsa))
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// The thumbprint, and the published form. The thumbprint is over the required members alone, in
    /// the order of their names (RFC 7638 §3.2, RFC 8037 §2).
    fn public(&self) -> Option<(String, Value)> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (canonical, mut jwk) = match self {
            Self::Es256(pair) => {
                // An uncompressed point: 4, x, y.
                let point = pair.public_key().as_ref().get(1..)?;
                let (x, y) = point.split_at_checked(32)?;
                let (x, y) = (encode(x), encode(y));
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                (canonical, json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}))
            }
            Self::EdDsa(pair) => {
                let x = encode(pair.public_key().as_ref());
                let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                (canonical, json!({"kty": "OKP", "crv": "Ed25519", "x": x}))
            }
        };
        let kid = encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        if let Value::Object(members) = &mut jwk {
            for (name, value) in [("use", "sig"), ("alg", self.algorithm()), ("kid", &kid)] {
                members.insert(name.to_owned(), value.into());
            }
        }
        Some((kid, jwk))
    }
}

/// A fresh P-256 key, in PEM.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn new_key() -> Result<String, NoRandomness> {
    #[expect(clippy::disallowed_methods, reason = "ring makes keys from its own generator only")]
    let own = ring::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &own).map_err(|_| NoRandomness)?;
    let encoded = STANDARD.encode(pkcs8.as_ref());
    let lines: Vec<&str> =
        (0..encoded.len()).step_by(64).filter_map(|at| encoded.get(at..encoded.len().min(at + 64))).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        // RFC 8037, appendices A.1 to A.3: d, x, and the thumbprint.
        let d = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let der = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20], d.as_slice()].concat();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
        let key = SigningKey::from_pem(&pem, None).unwrap();
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.public()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.kid()));
    }

    #[test]
    fn what_is_no_key_to_sign_with_is_told_apart() {
        let key = new_key().unwrap();
        assert!(SigningKey::from_pem(&key, None).is_ok());
        assert!(SigningKey::from_pem(&key.replace('\n', "\r\n"), None).is_ok());
        let rsa = include_str!("../oidc/testdata/test-only-rsa.pem");
        for (pem, cause) in [
            ("", BadKey::NotPem),
            ("c2Vzc2lvbi1rZXktb2YtdGhlLXRlc3Qtc3VpdGUtMDE", BadKey::NotPem),
            (&key.replace("PRIVATE KEY", "PUBLIC KEY"), BadKey::NotPem),
            (&key.replace("PRIVATE KEY", "EC PRIVATE KEY"), BadKey::NotPkcs8),
            (&key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), BadKey::Encrypted),
            (rsa, BadKey::Unsupported),
        ] {
            assert_eq!(SigningKey::from_pem(pem, None).unwrap_err(), cause);
        }
    }
}
