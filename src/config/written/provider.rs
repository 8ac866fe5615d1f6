//! A provider as it is written: who it is, our registration there, and what is asked for.
//!
//! `resolve/provider` turns it into `oidc::Settings`.

use super::{ClientCertificate, List, Named, OneOrMore, SigningKey, Who, defaults};
use crate::config::scalar::{Secret, Span, written_span};
use crate::oidc;
use schemars::JsonSchema;
use serde::Deserialize;

/// A provider and our registration there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping such as {preset: proconnect, environment: integration, client_id: …}"
)]
pub(in crate::config) struct Provider {
    /// What is known of the provider beforehand.
    #[schemars(extend("default" = "generic"))]
    pub(in crate::config) preset: Option<Preset>,

    /// Which ProConnect. With `preset: proconnect`, instead of `issuer`.
    pub(in crate::config) environment: Option<ProConnect>,

    /// The issuer, exactly as the provider writes it in its tokens and its metadata.
    #[schemars(extend("examples" = ["https://login.example.org/realms/agents"]))]
    pub(in crate::config) issuer: Option<String>,

    /// The `client_id` of our registration.
    #[schemars(required)]
    pub(in crate::config) client_id: Option<String>,

    /// The `client_secret` of our registration. Must be there where `client_authentication` is by a
    /// secret.
    #[schemars(extend("examples" = [{"file": "/run/secrets/proconnect"}]))]
    pub(in crate::config) client_secret: Option<Secret>,

    /// How our client proves that it is itself (`docs/client-authentication.md`).
    /// `client_secret_post` for ProConnect, else `client_secret_basic` by default. `none` for a
    /// registration without a secret: a public client, which ProConnect does not have.
    pub(in crate::config) client_authentication: Option<oidc::ClientAuthentication>,

    /// The keys of `private_key_jwt`. The first signs, and all are published at `/oauth2/jwks`, where
    /// the provider reads them (`jwks_uri` of the registration). To rotate, as for
    /// `identity.assertion.keys`, whose keys are others.
    #[schemars(extend("examples" = [[{"key": {"file": "/run/secrets/client-key.pem"}}]]))]
    pub(in crate::config) client_keys: Option<List<SigningKey>>,

    /// The certificate of `tls_client_auth` and `self_signed_tls_client_auth`.
    #[schemars(extend("examples" = [{"certificate": "/run/secrets/client.crt", "key": "/run/secrets/client.key"}]))]
    pub(in crate::config) client_certificate: Option<ClientCertificate>,

    /// Whether authorization requests are handed to the provider directly (RFC 9126) where it announces
    /// that it takes them so: the browser then carries a reference in the place of their parameters.
    /// A provider that requires it gets them so in any case.
    #[schemars(extend("default" = true))]
    pub(in crate::config) pushed_requests: Option<bool>,

    /// The provider's endpoints, where it has no `/.well-known/openid-configuration`, or a wrong
    /// one: it is then not asked for, and `issuer` is still what every token must say. Each is
    /// `https`, except on loopback. Write `id_token_algorithms` as well if the provider signs with
    /// others than `ES256` and `RS256`.
    #[schemars(extend("examples" = [{
        "authorization": "https://sso.example.org/realms/agents/authorize",
        "token": "https://sso.example.org/realms/agents/token",
        "jwks_uri": "https://sso.example.org/realms/agents/keys",
    }]))]
    pub(in crate::config) endpoints: Option<Endpoints>,

    /// What people call the provider, for its button where there are several: in one language, or as
    /// `{fr, en}`. ProConnect has a button of its own; else the name here by default.
    #[schemars(extend("examples" = ["Keycloak DINUM", {"fr": "le compte de l’agence", "en": "your agency account"}]))]
    pub(in crate::config) label: Option<Who>,

    /// The domains whose people sign in here, where there are several providers (`docs/providers.md`):
    /// `example.gouv.fr`, or `.example.gouv.fr` for it and all below it; of two that fit the longer one
    /// counts. The sign-in page then asks for an e-mail address. Of an address at one of these no other
    /// provider's word counts.
    #[schemars(extend("examples" = ["example.gouv.fr", [".agence.gouv.fr", "agence.example"]]))]
    pub(in crate::config) email_domains: Option<OneOrMore>,

    /// The path of its callback, where another one is registered: `/oauth2/callback` by default where
    /// there is one provider, `/oauth2/callback/NAME` where there are several.
    #[schemars(extend("examples" = ["/oauth2/callback", "/v1/auth/callback"]))]
    pub(in crate::config) callback: Option<String>,

    /// What is asked for; `openid` must be in it. By default `openid given_name usual_name email
    /// uid siret idp_id roles organization_label` for ProConnect, else `openid profile email`.
    #[schemars(extend("examples" = [["openid", "email", "siret"]]))]
    pub(in crate::config) scopes: Option<List<String>>,

    /// Authentication levels of which one is required: asked for as an essential claim, and
    /// checked in the ID token. ProConnect compares them one by one, so list the higher ones too.
    #[schemars(extend("examples" = [["eidas0-mfa", "eidas1-mfa", "eidas2", "eidas3"]]))]
    pub(in crate::config) acr_values: Option<List<String>>,

    /// Single claims to ask for, as the `claims` parameter has them (OpenID Connect Core §5.5).
    /// For `acr`, use `acr_values`, which is checked as well.
    #[schemars(extend("examples" = [{"id_token": {"amr": null}}]))]
    pub(in crate::config) claims: Option<serde_json::Map<String, serde_json::Value>>,

    /// Further parameters of the authorization request, as the provider documents them. Those of
    /// the protocol itself are Vestibule's.
    #[schemars(extend("x-name" = "NAME", "examples" = [{"ui_locales": "fr"}]))]
    pub(in crate::config) parameters: Option<Named<String>>,

    /// The organisation to suggest to ProConnect: its SIRET, 14 digits in quotes. A wish, not a
    /// rule about who may enter.
    #[schemars(pattern(r"^[0-9]{14}$"), extend("examples" = ["13002526500013"]))]
    pub(in crate::config) siret_hint: Option<String>,

    /// The identity provider that ProConnect should lead to: its `idp_id`. A wish, not a rule
    /// about who may enter.
    #[schemars(extend("examples" = ["71144ab3-ee1a-4401-b7b3-79b44f7daeeb"]))]
    pub(in crate::config) idp_hint: Option<String>,

    /// The algorithms that an ID token may be signed with. `ES256` and `RS256` by default for
    /// ProConnect and for endpoints written by hand; else those that the provider announces.
    /// `HS256` only where it is written here.
    #[schemars(extend("examples" = [["ES256"]]))]
    pub(in crate::config) id_token_algorithms: Option<List<oidc::Algorithm>>,

    /// Whether and how claims are read from the userinfo endpoint.
    pub(in crate::config) userinfo: Option<Userinfo>,

    /// How far the provider's clock may differ from ours; five minutes at most.
    #[schemars(extend("default" = written_span(defaults::CLOCK_LEEWAY)))]
    pub(in crate::config) clock_leeway: Option<Span>,

    /// How long one call to the provider may take.
    #[schemars(extend("default" = written_span(defaults::PROVIDER_TIMEOUT)))]
    pub(in crate::config) timeout: Option<Span>,
}

/// What is known of a provider beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Preset {
    /// ProConnect's issuers, scopes, algorithms and client authentication.
    ProConnect,
    /// Any OpenID Provider.
    #[default]
    Generic,
}

/// ProConnect's environments. Each has its own registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum ProConnect {
    /// The sandbox, on the Internet.
    Integration,
    /// The real one, on the Internet.
    Production,
    /// The sandbox of the inter-ministerial network.
    RieIntegration,
    /// The real one of the inter-ministerial network.
    RieProduction,
}

/// Endpoints written by hand.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {authorization: URL, token: URL, jwks_uri: URL, …}")]
pub(in crate::config) struct Endpoints {
    /// Where browsers are sent to sign in.
    #[schemars(required)]
    pub(in crate::config) authorization: Option<String>,
    /// Where a code becomes tokens.
    #[schemars(required)]
    pub(in crate::config) token: Option<String>,
    /// The provider's signing keys: a JSON Web Key Set. Fetched, kept and fetched again as where
    /// the provider is asked for everything.
    #[schemars(required)]
    pub(in crate::config) jwks_uri: Option<String>,
    /// Where claims are read. Without it, the ID token must hold them all.
    pub(in crate::config) userinfo: Option<String>,
    /// Where browsers are sent to sign out, if there is such a place.
    pub(in crate::config) end_session: Option<String>,
    /// Where tokens are revoked when a session ends (RFC 7009), if there is such a place.
    pub(in crate::config) revocation: Option<String>,
    /// Where authorization requests are pushed (RFC 9126), if there is such a place.
    pub(in crate::config) pushed_authorization: Option<String>,
    /// Whether the provider's callbacks carry `iss` (RFC 9207); one without it is then refused.
    #[schemars(extend("default" = false))]
    pub(in crate::config) callback_iss: Option<bool>,
}

/// How userinfo is read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {format: signed, algorithms: [ES256]}")]
pub(in crate::config) struct Userinfo {
    /// In which form it is accepted.
    #[schemars(extend("default" = "json-or-signed"))]
    pub(in crate::config) format: Option<UserinfoFormat>,
    /// The algorithms that it may be signed with; those of the ID token by default.
    pub(in crate::config) algorithms: Option<List<oidc::Algorithm>>,
}

/// In which form userinfo is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum UserinfoFormat {
    /// JSON or a signed JWT, whichever the provider answers; a JWT is always verified.
    #[default]
    JsonOrSigned,
    /// A signed JWT only; plain JSON ends the sign-in.
    Signed,
    /// Not read: the ID token holds every claim that is needed.
    None,
}
