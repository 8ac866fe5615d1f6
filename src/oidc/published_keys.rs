//! The keys that an issuer of access tokens publishes: found by its metadata, or where they were
//! said to be.
//!
//! Called by `access_token` and `introspection`. Of the metadata nothing but the address of the keys
//! is used: an issuer for programs need not have what a sign-in takes. Must never take keys from a
//! document of another issuer.

use super::cache::{Bearer, Cache, Known, Publisher};
use super::discovery::endpoint;
use super::keys::Keys;
use super::{JwsError, Unreachable};
use crate::clock::Timestamp;
use crate::fetch::Fetch;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const DOCUMENT: &str = "discovery document";

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub struct KeySource {
    /// The configured name, for logs.
    pub name: String,
    /// The exact issuer string; compared, never normalised.
    pub issuer: String,
    /// Where the keys are; found in the issuer's metadata where nothing is said.
    pub jwks_uri: Option<Url>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// The keys of one issuer, as last fetched.
#[derive(Debug)]
pub(super) struct PublishedKeys {
    source: KeySource,
    fetch: Fetch,
    cache: Cache<Url>,
}

impl PublishedKeys {
    pub(super) fn new(source: KeySource, fetch: Fetch) -> Self {
        Self { source, fetch, cache: Cache::default() }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.source.issuer
    }

    /// The keys, fetched now if those held are missing or old.
    pub(super) async fn known(&self, now: Timestamp) -> Result<Arc<Known<Url>>, Unreachable> {
        self.cache.known(&self.source, &self.fetch, now).await
    }

    /// Does `verify` with the keys, and once more with newer ones where one was not found and there
    /// are any.
    pub(super) async fn verify<T, E: From<Unreachable>>(
        &self,
        now: Timestamp,
        verify: impl Fn(&Keys) -> Result<T, E>,
        signature: impl Fn(&E) -> Option<&JwsError>,
    ) -> Result<T, E> {
        let known = self.known(now).await?;
        let verified = verify(&known.keys);
        match &verified {
            Err(error) if signature(error) == Some(&JwsError::UnknownKey) => {
                match self.cache.newer_keys(&known, Bearer::Stranger, &self.source, &self.fetch, now).await {
                    Some(newer) => verify(&newer.keys),
                    None => verified,
                }
            }
            _ => verified,
        }
    }
}

impl Publisher for KeySource {
    type Metadata = Url;

    fn name(&self) -> &str {
        &self.name
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn metadata(&self, fetch: &Fetch) -> Result<Url, Unreachable> {
        match &self.jwks_uri {
            Some(jwks_uri) => Ok(jwks_uri.clone()),
            None => self.discovered(fetch).await,
        }
    }

    fn jwks_uri(metadata: &Url) -> &Url {
        metadata
    }
}

impl KeySource {
    /// From OpenID Connect's discovery document, or where there is none from RFC 8414's.
    async fn discovered(&self, fetch: &Fetch) -> Result<Url, Unreachable> {
        let issuer = Url::parse(&self.issuer).map_err(|_| Unreachable::InvalidIssuer)?;
        let path = issuer.path().trim_end_matches('/');
        let origin = self.issuer.strip_suffix('/').unwrap_or(&self.issuer).strip_suffix(path).unwrap_or(&self.issuer);
        // RFC 8414 §3.1 puts its name before the issuer's path; Discovery §4 behind it.
        let addresses = [
            format!("{origin}{path}/.well-known/openid-configuration"),
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
        ];
        let mut outcome = Err(Unreachable::InvalidIssuer);
        for address in addresses {
            outcome = self.document(fetch, &address).await;
            if !matches!(outcome, Err(Unreachable::Status { status: 404, .. })) {
                break;
            }
        }
        outcome
    }

    async fn document(&self, fetch: &Fetch, address: &str) -> Result<Url, Unreachable> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: String,
        }
        let request = http::Request::get(address)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| Unreachable::InvalidIssuer)?;
        let answer = fetch.send(request, self.timeout).await;
        let answer = answer.map_err(|cause| Unreachable::NotFetched { document: DOCUMENT, cause })?;
        if answer.status() != http::StatusCode::OK {
            return Err(Unreachable::Status { document: DOCUMENT, status: answer.status().as_u16() });
        }
        let document: Document =
            serde_json::from_slice(answer.body()).map_err(|_| Unreachable::Malformed { document: DOCUMENT })?;
        if document.issuer != self.issuer {
            return Err(Unreachable::WrongIssuer);
        }
        endpoint("jwks_uri", &document.jwks_uri, self.issuer.starts_with("http://"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::settings::Algorithm;
    use crate::oidc::stub::{Signer, Stub};
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn source(issuer: &str) -> KeySource {
        KeySource {
            name: "api".to_owned(),
            issuer: issuer.to_owned(),
            jwks_uri: None,
            timeout: Duration::from_secs(10),
        }
    }

    async fn known(source: KeySource) -> Result<(), Unreachable> {
        PublishedKeys::new(source, Fetch::new().unwrap()).known(NOW).await.map(drop)
    }

    #[tokio::test]
    async fn keys_are_found_by_either_document_or_where_they_were_said_to_be() {
        let stub = Stub::start(&[Signer::new(Algorithm::ES256, "one")]).await;
        known(source(&stub.issuer)).await.unwrap();

        // An authorization server that signs nobody in.
        let issuer = format!("{}/tenant", stub.issuer);
        let document = json!({"issuer": issuer, "jwks_uri": format!("{}/jwks", stub.issuer)}).to_string();
        stub.answer("/.well-known/oauth-authorization-server/tenant", "application/json", &document);
        known(source(&issuer)).await.unwrap();
        assert_eq!(stub.hits("/tenant/.well-known/openid-configuration"), 1);

        let jwks_uri = Some(format!("{}/jwks", stub.issuer).parse().unwrap());
        known(KeySource { jwks_uri, ..source("https://nowhere.test") }).await.unwrap();
    }

    #[tokio::test]
    async fn a_document_of_another_issuer_or_without_keys_is_refused() {
        let stub = Stub::start(&[]).await;
        let path = "/.well-known/openid-configuration";
        for (document, expected) in [
            (json!({"issuer": "https://evil.test", "jwks_uri": "https://evil.test/jwks"}), Unreachable::WrongIssuer),
            (json!({"issuer": format!("{}/", stub.issuer), "jwks_uri": "x"}), Unreachable::WrongIssuer),
            (json!({"issuer": stub.issuer}), Unreachable::Malformed { document: DOCUMENT }),
            (
                json!({"issuer": stub.issuer, "jwks_uri": "file:///etc/keys"}),
                Unreachable::InsecureEndpoint { endpoint: "jwks_uri" },
            ),
        ] {
            stub.answer(path, "application/json", &document.to_string());
            assert_eq!(known(source(&stub.issuer)).await, Err(expected), "{document}");
        }
        // An outage of the first is no reason to ask for the second.
        stub.fail(path);
        assert!(matches!(known(source(&stub.issuer)).await, Err(Unreachable::Status { status: 500, .. })));
        assert_eq!(stub.hits("/.well-known/oauth-authorization-server"), 0);
    }
}
