//! Which signature algorithms a token may use: decided before any token is seen.
//!
//! Called once per verification, by `id_token` and `userinfo`. The token's own `alg` never adds to
//! the list (RFC 8725 §3.1).

use super::settings::Algorithm;
use openidconnect::core::CoreJwsSigningAlgorithm;
use ring::digest;

/// What is assumed of a provider that announces nothing: the default of OpenID Connect Dynamic
/// Client Registration §2 (`id_token_signed_response_alg`).
const UNANNOUNCED: &[Algorithm] = &[Algorithm::RS256];

/// The algorithms to accept: those configured, else those announced.
///
/// An announced HS256 counts only where nothing else is announced and there is a secret. Beside
/// an asymmetric algorithm it must be configured, because a list that holds both is where
/// algorithm confusion begins, and because a provider announces what it can do for any client,
/// not what this one is registered with.
pub(super) fn pinned(configured: &[Algorithm], announced: Option<&[Algorithm]>, secret: bool) -> Vec<Algorithm> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let announced = announced.unwrap_or(UNANNOUNCED);
    let asymmetric: Vec<_> = announced.iter().copied().filter(|algorithm| !algorithm.is_symmetric()).collect();
    if asymmetric.is_empty() && secret { announced.to_vec() } else { asymmetric }
}

impl Algorithm {
    /// The algorithm of this registered name (RFC 7518 §3.1, RFC 8037 §3.1), if it is one of ours.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "EdDSA" => Self::EdDSA,
            "HS256" => Self::HS256,
            _ => return None,
        })
    }

    /// Whether the key is the shared client secret.
    pub(super) fn is_symmetric(self) -> bool {
        self == Self::HS256
    }

    /// The hash that `at_hash` is made with (OpenID Connect Core §3.1.3.6). EdDSA here is Ed25519,
    /// whose hash is SHA-512.
    pub(super) fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::ES256 | Self::RS256 | Self::PS256 | Self::HS256 => &digest::SHA256,
            Self::ES384 | Self::RS384 | Self::PS384 => &digest::SHA384,
            Self::RS512 | Self::PS512 | Self::EdDSA => &digest::SHA512,
        }
    }

    /// The library's name for it.
    pub(super) fn as_core(self) -> CoreJwsSigningAlgorithm {
        match self {
            Self::ES256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
            Self::ES384 => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
            Self::RS256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
            Self::RS384 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
            Self::RS512 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
            Self::PS256 => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
            Self::PS384 => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
            Self::PS512 => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
            Self::EdDSA => CoreJwsSigningAlgorithm::EdDsa,
            Self::HS256 => CoreJwsSigningAlgorithm::HmacSha256,
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The variants are spelled as the registered names are.
        std::fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Algorithm::{ES256, EdDSA, HS256, RS256};

    #[test]
    fn pinning_prefers_configuration_and_never_mixes_in_hs256() {
        type Case = (&'static [Algorithm], Option<&'static [Algorithm]>, bool, &'static [Algorithm]);
        let cases: &[Case] = &[
            (&[ES256], Some(&[RS256, HS256]), true, &[ES256]),
            (&[HS256], Some(&[RS256]), true, &[HS256]),
            (&[], Some(&[ES256, EdDSA]), true, &[ES256, EdDSA]),
            (&[], Some(&[HS256, ES256, RS256]), true, &[ES256, RS256]),
            (&[], Some(&[HS256]), true, &[HS256]),
            (&[], Some(&[HS256]), false, &[]),
            (&[], Some(&[]), true, &[]),
            (&[], None, true, &[RS256]),
        ];
        for (configured, announced, secret, expected) in cases {
            assert_eq!(pinned(configured, *announced, *secret), *expected, "{configured:?} {announced:?} {secret}");
        }
    }

    #[test]
    fn names_are_the_registered_ones_and_none_is_not_among_them() {
        for name in ["ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "HS256"] {
            let algorithm = Algorithm::from_name(name).unwrap();
            assert_eq!(algorithm.to_string(), name);
            assert_eq!(serde_json::to_value(algorithm.as_core()).unwrap(), name);
        }
        for name in ["none", "None", "NONE", "nOnE", "", "es256", "ES512", "HS384", "HS512", "RSA-OAEP", "dir"] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }
}
