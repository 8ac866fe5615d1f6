//! How our client presents itself, to the provider and to a token endpoint of somebody else's.
//!
//! `provider` and `credentials` call it. Must never take a secret that is not written for a client
//! that has none.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written::{self, Preset};
use crate::oidc::ClientAuthentication;

impl Resolver<'_> {
    pub(super) fn provider_authentication(
        &mut self,
        at: &KeyPath,
        preset: Preset,
        written: &written::Provider,
    ) -> ClientAuthentication {
        let (secret, authentication) = (written.client_secret.is_some(), written.client_authentication);
        if preset == Preset::Generic {
            return self.client_authentication(at, secret, authentication);
        }
        let authentication_at = at.key("client_authentication");
        match authentication {
            Some(ClientAuthentication::None) => {
                let message = "ProConnect gives every service a secret; remove this key, and write client_secret: {file: PATH} or {env: NAME}";
                self.fault(&authentication_at, message);
            }
            _ if !secret => {
                let message = "is missing; ProConnect gives every service one: write {file: PATH} or {env: NAME}";
                self.fault(&at.key("client_secret"), message);
            }
            Some(ClientAuthentication::ClientSecretBasic) => {
                self.found(
                    Code::ClientAuthentication,
                    &authentication_at,
                    "ProConnect announces client_secret_post only",
                );
            }
            Some(ClientAuthentication::ClientSecretPost) | None => {}
        }
        authentication.unwrap_or(ClientAuthentication::ClientSecretPost)
    }

    /// How a client whose keys are below `at` presents itself. That it has no secret is said, never
    /// concluded from a key that is not there.
    pub(super) fn client_authentication(
        &mut self,
        at: &KeyPath,
        secret: bool,
        written: Option<ClientAuthentication>,
    ) -> ClientAuthentication {
        let (secret_at, at) = (at.key("client_secret"), at.key("client_authentication"));
        match (written, secret) {
            (Some(ClientAuthentication::None), true) => {
                self.fault(&at, "says that there is no secret, but client_secret is written; remove one of them");
            }
            (Some(ClientAuthentication::None), false) => {
                let message = "anybody can ask for tokens in this client's name: only PKCE ties a code to Vestibule, and \
                               nothing a refresh token; a client with a secret is better where the provider has them";
                self.found(Code::PublicClient, &at, message);
            }
            (Some(_), false) => {
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
        written.unwrap_or(ClientAuthentication::ClientSecretBasic)
    }
}
