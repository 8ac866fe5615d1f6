//! What a provider shows of itself, for a person who sets Vestibule up.
//!
//! `vestibule check --online` calls it. Asks for what every sign-in needs, metadata and keys, and
//! for nothing else; nobody signs in and no secret is sent.

use super::settings::{Algorithm, Endpoints};
use super::{Provider, Unreachable};
use crate::clock::Timestamp;
use url::Url;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Whether the endpoints are written by hand: its discovery document was not asked for.
    pub by_hand: bool,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// The algorithms that an ID token may be signed with. Empty: none of those announced will do.
    pub id_token_algorithms: Vec<Algorithm>,
    /// How many of its keys sign with one of them. The client secret, which HS256 signs with, is not
    /// counted.
    pub fitting_keys: usize,
}

impl Examined {
    /// Whether an ID token could be verified.
    pub fn can_verify(&self) -> bool {
        self.fitting_keys > 0 || self.id_token_algorithms.contains(&Algorithm::HS256)
    }
}

impl Provider {
    /// Fetches metadata and keys, and looks whether they fit our registration.
    ///
    /// # Errors
    /// [`Unreachable`], as [`Self::prepare`].
    pub async fn examine(&self, now: Timestamp) -> Result<Examined, Unreachable> {
        let known = self.known(now).await?;
        let id_token_algorithms = self.id_token_algorithms(&known);
        Ok(Examined {
            by_hand: matches!(self.settings.endpoints, Endpoints::Given(_)),
            jwks_uri: known.metadata.jwks_uri.clone(),
            fitting_keys: known.keys.fitting(&id_token_algorithms),
            id_token_algorithms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Fetch;
    use crate::oidc::settings::{GivenEndpoints, Settings};
    use crate::oidc::stub::{Signer, Stub};
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    async fn examined(settings: Settings) -> Examined {
        Provider::new(settings, Fetch::new().unwrap()).examine(NOW).await.unwrap()
    }

    #[tokio::test]
    async fn the_keys_that_fit_are_counted() {
        let stub = Stub::start(&[Signer::new(Algorithm::ES256, "a"), Signer::new(Algorithm::RS256, "b")]).await;
        let settings =
            |algorithms: &[Algorithm]| Settings { id_token_algorithms: algorithms.to_vec(), ..stub.settings() };
        for (algorithms, fitting, can) in [
            (&[][..], 2, true),
            (&[Algorithm::ES256][..], 1, true),
            (&[Algorithm::EdDSA][..], 0, false),
            (&[Algorithm::HS256][..], 0, true),
        ] {
            let found = examined(settings(algorithms)).await;
            assert_eq!(
                (found.by_hand, found.fitting_keys, found.can_verify()),
                (false, fitting, can),
                "{algorithms:?}"
            );
        }
        // Announced, but the secret that would verify it is not there.
        stub.announce(&json!({ "id_token_signing_alg_values_supported": ["HS256"] }));
        let public = examined(Settings { client_secret: None, ..settings(&[]) }).await;
        assert_eq!((public.id_token_algorithms.as_slice(), public.can_verify()), (&[][..], false));
    }

    #[tokio::test]
    async fn by_hand_only_the_keys_are_asked_for() {
        let stub = Stub::start(&[Signer::new(Algorithm::ES256, "a")]).await;
        let at = |path: &str| Url::parse(&format!("{}{path}", stub.issuer)).unwrap();
        let given = GivenEndpoints {
            authorization: at("/authorize"),
            token: at("/token"),
            jwks_uri: at("/jwks"),
            userinfo: None,
            end_session: None,
            revocation: None,
            pushed_authorization: None,
            callback_iss: false,
        };
        let endpoints = Endpoints::Given(Box::new(given));
        let issuer = format!("{}/realms/agents", stub.issuer);
        let found =
            examined(Settings { endpoints, issuer, id_token_algorithms: vec![Algorithm::ES256], ..stub.settings() });
        let found = found.await;
        assert_eq!((found.by_hand, found.fitting_keys, found.jwks_uri), (true, 1, at("/jwks")));
        let asked = [stub.hits("/jwks"), stub.hits("/token"), stub.hits("/.well-known/openid-configuration")];
        assert_eq!((asked, stub.hits("/realms/agents/.well-known/openid-configuration")), ([1, 0, 0], 0));
    }

    #[test]
    fn a_document_that_is_not_the_providers_is_told_from_a_provider_that_is_down() {
        let status = |document| Unreachable::Status { document, status: 404 };
        for (error, about) in [
            (status("discovery document"), true),
            (status("key set"), false),
            (Unreachable::Malformed { document: "discovery document" }, true),
            (Unreachable::WrongIssuer, true),
            (Unreachable::InvalidIssuer, false),
        ] {
            assert_eq!(error.is_about_discovery(), about, "{error}");
        }
    }
}
