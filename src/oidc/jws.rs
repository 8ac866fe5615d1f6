//! The verifier of signed tokens (JWS compact serialisation, RFC 7515 §5.2) on the library's keys.
//!
//! Called by `id_token`, `userinfo`, `logout_token`, `access_token` and `introspection`; a claim reaches them only out of [`verify`], after the
//! signature. What a claim must say is theirs to check. Must never take an algorithm, a key or an
//! address of a key from the token itself, and never repeat the token's words in an error.

use super::keys::{Keys, NoKey};
use super::settings::Algorithm;
use crate::secret::{ExposeSecret, SecretString};
use crate::web::strict_json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey;
use ring::hmac;
use serde_json::{Map, Value};

/// The longest token that is looked at, in bytes. A token with hundreds of groups is some 20 kB;
/// this bounds the work before the signature is known to be good.
const MAX_TOKEN: usize = 64 * 1024;

/// The shortest HS256 key, in bytes (RFC 7518 §3.2: at least the size of the hash). Whoever sees
/// one token can guess at a shorter one at leisure.
const MIN_HS256_KEY: usize = 32;

/// What a token is verified against. None of it comes from the token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust<'a> {
    /// The provider's public keys.
    pub(super) keys: &'a Keys,
    /// The algorithms that this kind of token may use.
    pub(super) algorithms: &'a [Algorithm],
    /// The key of HS256.
    pub(super) client_secret: Option<&'a SecretString>,
}

/// Which kind of token is expected, as far as the header says it (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An ID token or userinfo: without a type, or `JWT`.
    Plain,
    /// A logout token: `logout+jwt` as well (Back-Channel Logout §2.4). Only recommended there, and
    /// providers write `JWT` (Keycloak before 25, for one).
    Logout,
    /// An access token that says so: `at+jwt` (RFC 9068 §4), which nothing else is called.
    AccessToken,
    /// An access token of an issuer that does not say so: `JWT`, or without a type, as well. What
    /// tells it from an ID token is for `access_token` to find.
    UntypedAccessToken,
    /// The answer to an introspection: `token-introspection+jwt` (RFC 9701 §5).
    Introspection,
}

impl Kind {
    fn may_be_called(self, typ: Option<&str>) -> bool {
        let Some(typ) = typ else { return !matches!(self, Self::AccessToken | Self::Introspection) };
        let typ = typ.to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => matches!(self, Self::Plain | Self::Logout | Self::UntypedAccessToken),
            "logout+jwt" => self == Self::Logout,
            "at+jwt" => matches!(self, Self::AccessToken | Self::UntypedAccessToken),
            "token-introspection+jwt" => self == Self::Introspection,
            _ => false,
        }
    }
}

/// A token whose signature is good.
#[derive(Debug)]
pub(super) struct Verified {
    /// The algorithm that it is signed with.
    pub(super) algorithm: Algorithm,
    /// Its claims.
    pub(super) claims: Map<String, Value>,
}

/// Why a token's signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than any real token.
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Five parts: an encrypted token.
    #[error("the token is encrypted, which is not supported")]
    Encrypted,
    /// Not three parts of base64url with a JSON header.
    #[error("the token is malformed")]
    Malformed,
    /// A header that must be understood (`crit`, `cty`, an unexpected `typ`) is not.
    #[error("the token has a header that is not supported")]
    UnsupportedHeader,
    /// `alg` names none of the algorithms of the product; `none` is one of those.
    #[error("the token's algorithm is not supported")]
    UnsupportedAlgorithm,
    /// `alg` is an algorithm that this token may not use.
    #[error("the token is signed with {0}, which is not accepted here")]
    UnacceptedAlgorithm(Algorithm),
    /// No key of the provider fits.
    #[error("the token is signed with a key that the provider does not publish")]
    UnknownKey,
    /// Several keys of the provider fit, and the token does not say which it is.
    #[error("the token does not say which of several keys it is signed with")]
    AmbiguousKey,
    /// HS256 without a client secret, or with one of less than 32 bytes.
    #[error("the client secret is missing or too short for HS256")]
    WeakSecret,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    WrongSignature,
    /// Well signed, but the payload is no JSON object, or one with duplicate members.
    #[error("the token's claims are malformed")]
    MalformedClaims,
}

/// Verifies the signature of `token` and hands out its claims.
pub(super) fn verify(token: &str, kind: Kind, trust: &Trust<'_>) -> Result<Verified, JwsError> {
    if token.len() > MAX_TOKEN {
        return Err(JwsError::TooLong);
    }
    let mut parts = token.split('.');
    let (Some(header_part), Some(payload_part), Some(signature_part)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(JwsError::Malformed);
    };
    match parts.count() {
        0 => {}
        2 => return Err(JwsError::Encrypted),
        _ => return Err(JwsError::Malformed),
    }
    let header = Header::read(&decoded(header_part)?, kind)?;
    let payload = decoded(payload_part)?;
    let signature = decoded(signature_part)?;
    let signed = token.get(..header_part.len() + 1 + payload_part.len()).ok_or(JwsError::Malformed)?;

    let algorithm = Algorithm::from_name(&header.alg).ok_or(JwsError::UnsupportedAlgorithm)?;
    if !trust.algorithms.contains(&algorithm) {
        return Err(JwsError::UnacceptedAlgorithm(algorithm));
    }
    if algorithm.is_symmetric() {
        verify_hs256(trust.client_secret, signed.as_bytes(), &signature)?;
    } else {
        let key = trust.keys.find(header.kid.as_deref(), algorithm).map_err(|none| match none {
            NoKey::Unknown => JwsError::UnknownKey,
            NoKey::Ambiguous => JwsError::AmbiguousKey,
        })?;
        key.verify_signature(&algorithm.as_core(), signed.as_bytes(), &signature)
            .map_err(|_| JwsError::WrongSignature)?;
    }
    let claims = strict_json::object(&payload).map_err(|_| JwsError::MalformedClaims)?;
    Ok(Verified { algorithm, claims })
}

/// The issuer that a token claims to be from: to choose who can verify it, and for nothing else.
/// Nothing of it is verified yet.
pub(super) fn claimed_issuer(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let mut claims = strict_json::object(&decoded(payload).ok()?).ok()?;
    text(&mut claims, "iss").ok()?
}

/// HS256, by ring and not by the library: the library's panics on a signature of another length
/// (openidconnect 4.1.0, `core/jwk/mod.rs`: `signature.into()`).
fn verify_hs256(secret: Option<&SecretString>, signed: &[u8], signature: &[u8]) -> Result<(), JwsError> {
    let secret = secret.map(|secret| secret.expose_secret().as_bytes()).unwrap_or_default();
    if secret.len() < MIN_HS256_KEY {
        return Err(JwsError::WeakSecret);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, signed, signature).map_err(|_| JwsError::WrongSignature)
}

/// Base64url as RFC 7515 §2 has it: no padding, no line breaks, no stray bits at the end.
fn decoded(part: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed)
}

/// The members of the JOSE header that say something to us. `jku`, `jwk`, `x5u` and `x5c`, by
/// which a token would bring its own key, are not among them.
struct Header {
    alg: String,
    kid: Option<String>,
}

impl Header {
    fn read(json: &[u8], expected: Kind) -> Result<Self, JwsError> {
        let mut members = strict_json::object(json).map_err(|_| JwsError::Malformed)?;
        // We understand no extension, so none may be critical (RFC 7515 §4.1.11).
        if members.contains_key("crit") || members.contains_key("cty") {
            return Err(JwsError::UnsupportedHeader);
        }
        // An access token is no ID token, a logout token is neither, and so on.
        if !expected.may_be_called(text(&mut members, "typ")?.as_deref()) {
            return Err(JwsError::UnsupportedHeader);
        }
        let alg = text(&mut members, "alg")?.ok_or(JwsError::Malformed)?;
        let kid = text(&mut members, "kid")?;
        Ok(Self { alg, kid })
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, JwsError> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::stub::{CLIENT_SECRET, Signer};
    use Algorithm::{ES256, ES384, EdDSA, HS256, PS256, PS384, PS512, RS256, RS384, RS512};
    use serde_json::json;

    const ALL: [Algorithm; 10] = [ES256, ES384, RS256, RS384, RS512, PS256, PS384, PS512, EdDSA, HS256];

    fn published(signers: &[&Signer]) -> Keys {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).filter(|jwk| !jwk.is_null()).collect();
        Keys::from_json(&json!({ "keys": keys }))
    }

    fn verified(token: &str, keys: &Keys, algorithms: &[Algorithm]) -> Result<Map<String, Value>, JwsError> {
        let secret = SecretString::from(CLIENT_SECRET);
        verify(token, Kind::Plain, &Trust { keys, algorithms, client_secret: Some(&secret) })
            .map(|verified| verified.claims)
    }

    /// `token` with its part `index` decoded, changed and encoded again.
    fn with_part(token: &str, index: usize, change: impl Fn(&mut Vec<u8>)) -> String {
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let mut bytes = URL_SAFE_NO_PAD.decode(&parts[index]).unwrap();
        change(&mut bytes);
        parts[index] = URL_SAFE_NO_PAD.encode(bytes);
        parts.join(".")
    }

    #[test]
    fn every_algorithm_verifies_its_own_signature_and_no_changed_one() {
        for algorithm in ALL {
            let signer = Signer::new(algorithm, "k");
            let keys = published(&[&signer]);
            let token = signer.sign(&json!({"sub": "s", "n": 1}));
            assert_eq!(verified(&token, &keys, &[algorithm]).unwrap()["sub"], "s", "{algorithm}");

            let flipped = |bytes: &mut Vec<u8>| bytes[20] ^= 1;
            let shortened = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
            let lengthened = |bytes: &mut Vec<u8>| bytes.push(0);
            let zeroed = |bytes: &mut Vec<u8>| bytes.fill(0);
            let emptied = |bytes: &mut Vec<u8>| bytes.clear();
            for (what, broken) in [
                ("flipped", with_part(&token, 2, flipped)),
                ("shortened", with_part(&token, 2, shortened)),
                ("lengthened", with_part(&token, 2, lengthened)),
                ("zeroed", with_part(&token, 2, zeroed)),
                ("emptied", with_part(&token, 2, emptied)),
                ("other claims", with_part(&token, 1, |bytes| *bytes = br#"{"sub":"t","n":1}"#.to_vec())),
                ("other header", with_part(&token, 0, |bytes| bytes.insert(1, b' '))),
            ] {
                let refused = verified(&broken, &keys, &[algorithm]);
                assert_eq!(refused.unwrap_err(), JwsError::WrongSignature, "{algorithm} {what}");
            }
        }
    }

    #[test]
    fn another_key_of_the_same_name_is_not_the_key() {
        for algorithm in [ES256, ES384, EdDSA] {
            let keys = published(&[&Signer::new(algorithm, "k")]);
            let token = Signer::new(algorithm, "k").sign(&json!({"sub": "s"}));
            assert_eq!(verified(&token, &keys, &[algorithm]).unwrap_err(), JwsError::WrongSignature);
        }
        let mut jwk = Signer::new(RS256, "k").jwk();
        let modulus = jwk["n"].as_str().unwrap().replacen(|c: char| c.is_ascii_digit(), "A", 3);
        jwk["n"] = json!(modulus);
        let keys = Keys::from_json(&json!({ "keys": [jwk] }));
        let token = Signer::new(RS256, "k").sign(&json!({"sub": "s"}));
        assert_eq!(verified(&token, &keys, &[RS256]).unwrap_err(), JwsError::WrongSignature);
        let token = Signer::with_secret(b"another secret of more than 32 bytes").sign(&json!({"sub": "s"}));
        assert_eq!(verified(&token, &Keys::default(), &[HS256]).unwrap_err(), JwsError::WrongSignature);
    }

    #[test]
    fn an_algorithm_that_is_not_pinned_is_refused_whoever_signed() {
        for algorithm in ALL {
            let signer = Signer::new(algorithm, "k");
            let token = signer.sign(&json!({"sub": "s"}));
            let others: Vec<_> = ALL.into_iter().filter(|other| *other != algorithm).collect();
            for pinned in [&others[..], &[]] {
                let refused = verified(&token, &published(&[&signer]), pinned);
                assert_eq!(refused.unwrap_err(), JwsError::UnacceptedAlgorithm(algorithm));
            }
        }
    }

    #[test]
    fn alg_none_is_refused_in_every_spelling() {
        let signer = Signer::new(ES256, "k");
        for alg in ["none", "None", "NONE", "nOnE", ""] {
            let token = signer.sign_with(&json!({ "alg": alg }), &json!({"sub": "s"}));
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
            for token in [token, unsigned] {
                let refused = verified(&token, &published(&[&signer]), &ALL);
                assert_eq!(refused.unwrap_err(), JwsError::UnsupportedAlgorithm, "{alg}");
            }
        }
    }

    /// The classic confusion: HS256 with something public as the secret. Even where HS256 is
    /// accepted beside asymmetric algorithms, only the client secret is its key.
    #[test]
    fn a_public_key_is_never_an_hs256_secret() {
        for algorithm in [RS256, ES256, EdDSA] {
            let signer = Signer::new(algorithm, "k");
            let jwk = signer.jwk();
            let mut secrets = vec![jwk.to_string().into_bytes()];
            for member in ["n", "x", "y"] {
                if let Some(text) = jwk[member].as_str() {
                    secrets.push(text.as_bytes().to_vec());
                    secrets.push(URL_SAFE_NO_PAD.decode(text).unwrap());
                }
            }
            secrets.push(Vec::new());
            for secret in secrets {
                let header = json!({"alg": "HS256", "kid": "k"});
                let token = Signer::with_secret(&secret).sign_with(&header, &json!({"sub": "s"}));
                assert_eq!(verified(&token, &published(&[&signer]), &ALL).unwrap_err(), JwsError::WrongSignature);
                let refused = verified(&token, &published(&[&signer]), &[algorithm]);
                assert_eq!(refused.unwrap_err(), JwsError::UnacceptedAlgorithm(HS256));
            }
        }
    }

    #[test]
    fn hs256_needs_a_secret_of_its_length() {
        for secret in [None, Some(""), Some("31 bytes: one too few for HS256")] {
            let token = Signer::with_secret(secret.unwrap_or_default().as_bytes()).sign(&json!({"sub": "s"}));
            let secret = secret.map(SecretString::from);
            let keys = Keys::default();
            let trust = Trust { keys: &keys, algorithms: &[HS256], client_secret: secret.as_ref() };
            assert_eq!(verify(&token, Kind::Plain, &trust).unwrap_err(), JwsError::WeakSecret);
        }
    }

    /// One RSA key serves six algorithms; the header must name the one that was used.
    #[test]
    fn a_signature_counts_only_under_the_algorithm_that_made_it() {
        let signer = Signer::new(RS256, "k");
        let token = signer.sign_with(&json!({"alg": "PS256", "kid": "k"}), &json!({"sub": "s"}));
        assert_eq!(verified(&token, &published(&[&signer]), &ALL).unwrap_err(), JwsError::WrongSignature);
        let p256 = Signer::new(ES256, "k");
        let token = p256.sign_with(&json!({"alg": "ES384", "kid": "k"}), &json!({"sub": "s"}));
        assert_eq!(verified(&token, &published(&[&p256]), &ALL).unwrap_err(), JwsError::WrongSignature);
    }

    #[test]
    fn headers_that_must_be_understood_are_refused() {
        let signer = Signer::new(ES256, "k");
        let keys = published(&[&signer]);
        let cases = [
            (json!({"alg": "ES256", "crit": ["exp"]}), JwsError::UnsupportedHeader),
            (json!({"alg": "ES256", "crit": []}), JwsError::UnsupportedHeader),
            (json!({"alg": "ES256", "crit": null}), JwsError::UnsupportedHeader),
            (json!({"alg": "ES256", "crit": ["b64"], "b64": false}), JwsError::UnsupportedHeader),
            (json!({"alg": "ES256", "cty": "JWT"}), JwsError::UnsupportedHeader),
            (json!({"alg": "ES256", "typ": "at+jwt"}), JwsError::UnsupportedHeader),
            (json!({"alg": "ES256", "typ": "logout+jwt"}), JwsError::UnsupportedHeader),
            (json!({"alg": "ES256", "typ": 1}), JwsError::Malformed),
            (json!({"alg": "ES256", "kid": 1}), JwsError::Malformed),
            (json!({"alg": ["ES256"]}), JwsError::Malformed),
            (json!({"kid": "k"}), JwsError::Malformed),
            (json!({"alg": "ES256", "kid": "other"}), JwsError::UnknownKey),
            (json!({"alg": "ES512", "kid": "k"}), JwsError::UnsupportedAlgorithm),
        ];
        for (header, expected) in cases {
            let token = signer.sign_with(&header, &json!({"sub": "s"}));
            assert_eq!(verified(&token, &keys, &ALL).unwrap_err(), expected, "{header}");
        }
        for typ in ["JWT", "jwt", "application/jwt"] {
            let token = signer.sign_with(&json!({"alg": "ES256", "typ": typ}), &json!({"sub": "s"}));
            assert!(verified(&token, &keys, &ALL).is_ok(), "{typ}");
        }
    }

    /// A token that brings its own key, in each of the ways the header has for it.
    #[test]
    fn a_key_inside_the_token_is_not_looked_at() {
        let provider = Signer::new(ES256, "k");
        let forger = Signer::new(ES256, "k");
        for (name, value) in [("jwk", forger.jwk()), ("jku", json!("https://evil.test/jwks")), ("x5c", json!(["MII"]))]
        {
            let mut header = json!({"alg": "ES256", "kid": "k"});
            header[name] = value;
            let token = forger.sign_with(&header, &json!({"sub": "s"}));
            assert_eq!(verified(&token, &published(&[&provider]), &ALL).unwrap_err(), JwsError::WrongSignature);
        }
    }

    #[test]
    fn whatever_is_no_token_is_refused() {
        let signer = Signer::new(ES256, "k");
        let keys = published(&[&signer]);
        let token = signer.sign(&json!({"sub": "s"}));
        let (unsigned, signature) = token.rsplit_once('.').unwrap();
        let cases = [
            (String::new(), JwsError::Malformed),
            (".".into(), JwsError::Malformed),
            ("..".into(), JwsError::Malformed),
            ("....".into(), JwsError::Encrypted),
            (unsigned.to_owned(), JwsError::Malformed),
            (format!("{token}."), JwsError::Malformed),
            (format!("{token}.{signature}"), JwsError::Malformed),
            (format!("{token}.{signature}.{signature}"), JwsError::Encrypted),
            (format!("{token}="), JwsError::Malformed),
            (format!("{token}\n"), JwsError::Malformed),
            (format!(" {token}"), JwsError::Malformed),
            (token.replacen('.', ".\u{e9}", 1), JwsError::Malformed),
            (token.replace('.', "\u{ff0e}"), JwsError::Malformed),
            (format!("{}.{signature}", "A".repeat(MAX_TOKEN)), JwsError::TooLong),
            (signer.sign(&json!({"sub": "s", "x": "y".repeat(MAX_TOKEN)})), JwsError::TooLong),
        ];
        for (token, expected) in cases {
            let head: String = token.chars().take(60).collect();
            assert_eq!(verified(&token, &keys, &ALL).unwrap_err(), expected, "{head}");
        }
        let whole = token.len();
        for length in 0..whole {
            assert!(verified(&token[..length], &keys, &ALL).is_err(), "cut at {length} of {whole}");
        }
    }

    /// The last character of a signature holds bits that mean nothing: only zeros are accepted, so
    /// that one token has one spelling.
    #[test]
    fn a_token_has_one_spelling() {
        let signer = Signer::new(ES256, "k");
        let token = signer.sign(&json!({"sub": "s"}));
        let last = token.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let accepted = alphabet
            .chars()
            .filter(|c| verified(&format!("{}{c}", &token[..token.len() - 1]), &published(&[&signer]), &ALL).is_ok());
        assert_eq!(accepted.collect::<Vec<_>>(), [last]);
    }

    #[test]
    fn well_signed_claims_that_are_no_plain_object_are_refused() {
        let signer = Signer::new(ES256, "k");
        let keys = published(&[&signer]);
        let header = br#"{"alg":"ES256","kid":"k"}"#;
        for payload in [&b"[]"[..], b"1", b"", b"{", br#"{"sub":"a","sub":"b"}"#, b"{\"sub\":\"\xff\"}"] {
            let token = signer.sign_bytes(header, payload);
            assert_eq!(verified(&token, &keys, &ALL).unwrap_err(), JwsError::MalformedClaims, "{payload:?}");
        }
        let doubled = signer.sign_bytes(br#"{"alg":"ES256","alg":"HS256"}"#, b"{}");
        assert_eq!(verified(&doubled, &keys, &ALL).unwrap_err(), JwsError::Malformed);
    }

    #[test]
    fn without_a_kid_one_key_of_the_type_will_do_and_two_will_not() {
        let (one, two, rsa) = (Signer::new(ES256, "1"), Signer::new(ES256, "2"), Signer::new(RS256, "3"));
        let token = one.sign_with(&json!({"alg": "ES256"}), &json!({"sub": "s"}));
        assert!(verified(&token, &published(&[&one, &rsa]), &ALL).is_ok());
        assert_eq!(verified(&token, &published(&[&one, &two]), &ALL).unwrap_err(), JwsError::AmbiguousKey);
        assert_eq!(verified(&token, &published(&[&rsa]), &ALL).unwrap_err(), JwsError::UnknownKey);
    }
}
