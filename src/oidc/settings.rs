//! What the protocol needs to know of one provider and of our registration there, resolved.
//!
//! `config` makes these; nothing here is as written by hand. Names are those of the specifications.

use crate::fetch::Fetch;
use crate::secret::SecretString;
use crate::signing::ClientAssertions;
use crate::web::domain::DomainOwners;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// One provider and our registration with it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name it has in the configuration, for logs and the session.
    pub name: String,
    /// The exact issuer string; compared, never normalised (OpenID Connect Core §2).
    pub issuer: String,
    /// Where its endpoints come from.
    pub endpoints: Endpoints,
    /// Our `client_id`.
    pub client_id: String,
    /// Our `client_secret`; none for a public client.
    pub client_secret: Option<SecretString>,
    /// How our client proves that it is itself; `None` where it does not.
    pub client_authentication: ClientAuthentication,
    /// What it proves that with, where that is no secret that is sent.
    pub client_proof: ClientProof,
    /// Whether authorization requests are pushed where the provider announces it, without having to.
    pub pushes_requests: bool,
    /// The registered callback.
    pub redirect_uri: Url,
    /// The registered return address after sign-out; compared exactly by providers.
    pub post_logout_redirect_uri: Url,
    /// Scopes asked for; always holds `openid`.
    pub scopes: Vec<String>,
    /// `acr` values that are required: asked for as an essential claim and checked in the ID
    /// token. Empty: none is required.
    pub acr_values: Vec<String>,
    /// Further members of the `claims` parameter (OpenID Connect Core §5.5).
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Fixed parameters of the authorization request: `siret_hint`, `idp_hint`, or a provider's own.
    pub parameters: Vec<(String, String)>,
    /// Algorithms that an ID token may be signed with; empty: those that the provider announces.
    pub id_token_algorithms: Vec<Algorithm>,
    /// Where the claims come from besides the ID token.
    pub userinfo: Userinfo,
    /// How far the provider's clock may differ from ours.
    pub clock_leeway: Duration,
    /// How long one call to the provider may take.
    pub timeout: Duration,
    /// To which of the site's providers the domains of e-mail addresses belong: of an address at
    /// another one's domain this provider's word does not count.
    pub domain_owners: Arc<DomainOwners>,
}

/// Where a provider's endpoints come from.
#[derive(Clone, Debug)]
pub enum Endpoints {
    /// `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery §4).
    Discovered,
    /// Written by hand.
    Given(Box<GivenEndpoints>),
}

/// A provider described by hand.
#[derive(Clone, Debug)]
pub struct GivenEndpoints {
    /// Where browsers are sent to sign in.
    pub authorization: Url,
    /// Where a code becomes tokens.
    pub token: Url,
    /// The signing keys.
    pub jwks_uri: Url,
    /// Where claims are read, if they are.
    pub userinfo: Option<Url>,
    /// Where browsers are sent to sign out, if there is such a place.
    pub end_session: Option<Url>,
    /// Where tokens are revoked (RFC 7009), if there is such a place.
    pub revocation: Option<Url>,
    /// Where authorization requests are pushed (RFC 9126), if there is such a place.
    pub pushed_authorization: Option<Url>,
    /// Whether callbacks carry `iss` (RFC 9207).
    pub callback_iss: bool,
}

/// How a client proves that it is itself (OpenID Connect Core §9, RFC 8705 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// In the body of the request: what ProConnect asks for.
    ClientSecretPost,
    /// In the `Authorization` header.
    ClientSecretBasic,
    /// By a JWT that the secret signs with HS256, so that the secret itself stays here.
    ClientSecretJwt,
    /// By a JWT that one of `client_keys` signs; the provider knows their public halves alone, from
    /// `/oauth2/jwks`.
    PrivateKeyJwt,
    /// By the certificate of the connection, which a certificate authority vouches for
    /// (`client_certificate`).
    TlsClientAuth,
    /// By the certificate of the connection, which the provider knows itself (`client_certificate`).
    SelfSignedTlsClientAuth,
    /// Not at all: a public client, which has no secret. Its requests say `client_id`, and PKCE
    /// alone ties a code to whoever asked for it (RFC 6749 §2.1 and §3.2.1, RFC 7636).
    None,
}

/// What a client proves with that it is itself, beyond a secret that is sent.
#[derive(Clone, Debug, Default)]
pub struct ClientProof {
    /// What signs for it, with `client_secret_jwt` and `private_key_jwt`.
    pub assertions: Option<Arc<ClientAssertions>>,
    /// What shows its certificate, with the two methods of TLS: in the place of the usual client in
    /// every call to those who know it.
    pub presenting: Option<Fetch>,
}

impl ClientAuthentication {
    /// Whether a client secret takes part in it.
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretPost | Self::ClientSecretBasic | Self::ClientSecretJwt)
    }

    /// Whether the certificate of the connection proves it.
    pub const fn is_by_tls(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
    }
}

/// Whether and how userinfo is read (OpenID Connect Core §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Userinfo {
    /// Not read: the ID token holds what is needed.
    NotRead,
    /// JSON or signed JWT, whichever the provider answers; both verified.
    JsonOrSigned(Vec<Algorithm>),
    /// A signed JWT only; plain JSON ends the sign-in.
    Signed(Vec<Algorithm>),
}

/// A JWS signature algorithm (RFC 7518 §3.1). `none` does not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[expect(missing_docs, reason = "the registered names say it")]
pub enum Algorithm {
    ES256,
    ES384,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    EdDSA,
    HS256,
}
