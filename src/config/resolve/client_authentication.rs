//! How our client proves itself, to the provider, to a token endpoint of somebody else's and to an
//! introspection endpoint.
//!
//! `provider`, `credentials` and `bearer` call it. Must never take a secret that is not written for a
//! client that has none, nor leave a client without what its method needs.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written::{self, List, Preset};
use crate::fetch::{BadCertificate, Fetch};
use crate::oidc::{ClientAuthentication, ClientProof};
use crate::secret::{ExposeSecret, SecretString};
use crate::signing::{ClientAssertions, Purpose};
use std::sync::Arc;

/// The shortest secret that HS256 signs with, in bytes (RFC 7518 §3.2): whoever sees one signature can
/// guess at a shorter one at leisure.
const SHORTEST_SECRET: usize = 32;

/// A client as it is written below `at`.
pub(super) struct WrittenClient<'w> {
    pub(super) at: &'w KeyPath,
    /// The secret, where it could be had.
    pub(super) secret: Option<&'w SecretString>,
    pub(super) has_secret: bool,
    pub(super) authentication: Option<ClientAuthentication>,
    pub(super) keys: Option<&'w List<written::SigningKey>>,
    pub(super) certificate: Option<&'w written::ClientCertificate>,
}

impl Resolver<'_> {
    pub(super) fn provider_authentication(
        &mut self,
        preset: Preset,
        client: &WrittenClient<'_>,
    ) -> (ClientAuthentication, ClientProof) {
        if preset == Preset::Generic {
            return self.client_authentication(client);
        }
        let authentication_at = client.at.key("client_authentication");
        let authentication = client.authentication.unwrap_or(ClientAuthentication::ClientSecretPost);
        if authentication == ClientAuthentication::None {
            let message = "ProConnect gives every service a secret; remove this key, and write client_secret: {file: PATH} or {env: NAME}";
            self.fault(&authentication_at, message);
        } else if authentication.uses_secret() && !client.has_secret {
            let message = "is missing; ProConnect gives every service one: write {file: PATH} or {env: NAME}";
            self.fault(&client.at.key("client_secret"), message);
        } else if authentication != ClientAuthentication::ClientSecretPost {
            let message = "ProConnect announces client_secret_post only";
            self.found(Code::ClientAuthentication, &authentication_at, message);
        }
        (authentication, self.client_proof(authentication, client))
    }

    /// How a client proves itself, and what with. That it has no secret is said, never concluded from a
    /// key that is not there.
    pub(super) fn client_authentication(&mut self, client: &WrittenClient<'_>) -> (ClientAuthentication, ClientProof) {
        let (secret_at, at) = (client.at.key("client_secret"), client.at.key("client_authentication"));
        match (client.authentication, client.has_secret) {
            (Some(ClientAuthentication::None), true) => {
                self.fault(&at, "says that there is no secret, but client_secret is written; remove one of them");
            }
            (Some(ClientAuthentication::None), false) => {
                let message = "anybody can ask for tokens in this client's name: only PKCE ties a code to Vestibule, and \
                               nothing a refresh token; a client with a secret is better where the provider has them";
                self.found(Code::PublicClient, &at, message);
            }
            (Some(written), false) if written.uses_secret() => {
                let message = "is written, but there is no client_secret to authenticate with; add it, or write none \
                               here if the registration has none";
                self.fault(&at, message);
            }
            // Not where what was written there could not be read: it has been said.
            (None, false) if !self.is_excused(&at) => {
                let message = "is missing; write {file: PATH} or {env: NAME}, or `client_authentication: none` if the \
                               registration has no secret (a public client)";
                self.fault(&secret_at, message);
            }
            _ => {}
        }
        // What a client that says nothing is registered with (OpenID Connect Registration §2).
        let authentication = client.authentication.unwrap_or(ClientAuthentication::ClientSecretBasic);
        (authentication, self.client_proof(authentication, client))
    }

    /// What the method needs beyond a secret that is sent; what is written for another is a mistake.
    pub(super) fn client_proof(
        &mut self,
        authentication: ClientAuthentication,
        client: &WrittenClient<'_>,
    ) -> ClientProof {
        let by_keys = authentication == ClientAuthentication::PrivateKeyJwt;
        if client.keys.is_some() && !by_keys {
            let message = "is for client_authentication: private_key_jwt; write that, or remove this";
            self.fault(&client.at.key("client_keys"), message);
        }
        if client.certificate.is_some() && !authentication.is_by_tls() {
            let message = "is for client_authentication: tls_client_auth or self_signed_tls_client_auth; write that, or remove this";
            self.fault(&client.at.key("client_certificate"), message);
        }
        let assertions = match (authentication, client.secret) {
            (ClientAuthentication::PrivateKeyJwt, _) => {
                let ring = self.signing_ring(&client.at.key("client_keys"), Purpose::ClientAuthentication, client.keys);
                ring.map(ClientAssertions::by_keys)
            }
            (ClientAuthentication::ClientSecretJwt, Some(secret)) => {
                if secret.expose_secret().len() < SHORTEST_SECRET {
                    let message = format!(
                        "has less than {SHORTEST_SECRET} bytes, and whoever sees a signature of it could guess it; \
                         have a longer one registered, or write client_secret_post"
                    );
                    self.fault(&client.at.key("client_secret"), message);
                }
                Some(ClientAssertions::by_secret(secret.clone()))
            }
            _ => None,
        };
        let presenting = if authentication.is_by_tls() { self.presenting(client.at, client.certificate) } else { None };
        ClientProof { assertions: assertions.map(Arc::new), presenting }
    }

    fn presenting(&mut self, at: &KeyPath, written: Option<&written::ClientCertificate>) -> Option<Fetch> {
        let at = at.key("client_certificate");
        let written = self.required(&at, written, "{certificate: PATH, key: PATH}")?;
        let mut pem = |key: &str, path: Option<&std::path::PathBuf>, what: &str| {
            let at = at.key(key);
            let path = self.required(&at, path, &format!("the path of the PEM file of {what}"))?;
            let read = self.environment.file(path);
            read.map_err(|cause| self.fault(&at, format!("the file {} {cause}", path.display()))).ok()
        };
        let chain = pem("certificate", written.certificate.as_ref(), "the certificate");
        let key = pem("key", written.key.as_ref(), "its private key");
        match Fetch::presenting(&chain?, &key?) {
            Ok(presenting) => Some(presenting),
            Err(bad @ BadCertificate::Chain) => {
                self.fault(&at.key("certificate"), bad.to_string());
                None
            }
            Err(bad) => {
                self.fault(&at.key("key"), bad.to_string());
                None
            }
        }
    }
}
