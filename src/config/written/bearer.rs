//! Bearer tokens of API clients as they are written.
//!
//! `resolve/bearer` turns them into `bearer::Settings`. One mapping for all kinds, so that a key of
//! another kind is refused with its reason.

use super::{ClientCertificate, List, OneOrMore, SigningKey, defaults};
use crate::config::scalar::{Secret, Span, written_span};
use crate::config::until::Until;
use crate::{bearer, oidc};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Bearer tokens that routes may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {kind: jwt, issuer: https://…, audience: https://…}")]
pub(in crate::config) struct Bearer {
    /// What they are.
    #[schemars(required)]
    pub(in crate::config) kind: Option<BearerKind>,

    /// `jwt`: who issues the tokens, exactly as `iss` says it. `introspection`: the same, checked
    /// where the answer says it; must be there with `signed`.
    #[schemars(extend("examples" = ["https://login.example.gouv.fr/realms/api"]))]
    pub(in crate::config) issuer: Option<String>,

    /// `jwt`: where the issuer's keys are. Found in its metadata by default
    /// (`/.well-known/openid-configuration`, or `/.well-known/oauth-authorization-server`).
    /// `introspection`: likewise, with `signed`.
    pub(in crate::config) jwks_uri: Option<String>,

    /// `jwt`: what `aud` must name: this service, as the issuer knows it. `introspection`: the same;
    /// without it a token counts whichever service it was issued for.
    #[schemars(extend("examples" = ["https://api.example.gouv.fr"]))]
    pub(in crate::config) audience: Option<String>,

    /// `jwt`, `introspection`: scopes that a token must have, all of them.
    #[schemars(extend("examples" = [["documents:read"]]))]
    pub(in crate::config) scopes: Option<List<String>>,

    /// `jwt`: the algorithms that tokens may be signed with. `introspection`: those of signed answers.
    #[schemars(extend("default" = ["ES256", "RS256"]))]
    pub(in crate::config) algorithms: Option<List<oidc::Algorithm>>,

    /// `jwt`: what the header of an access token calls it. `at+jwt` is what RFC 9068 asks for; `any`
    /// is for issuers that write `JWT` or nothing: what has a mark of ID tokens is refused then.
    #[schemars(extend("default" = "at+jwt"))]
    pub(in crate::config) typ: Option<oidc::AccessTokenType>,

    /// `introspection`: the issuer's introspection endpoint. `https`, or on loopback.
    #[schemars(extend("examples" = ["https://login.example.gouv.fr/introspect"]))]
    pub(in crate::config) url: Option<String>,

    /// `introspection`: our `client_id` there, as a resource server.
    pub(in crate::config) client_id: Option<String>,

    /// `introspection`: our `client_secret` there.
    pub(in crate::config) client_secret: Option<Secret>,

    /// `introspection`: how our client proves itself there.
    #[schemars(extend("default" = "client_secret_basic"))]
    pub(in crate::config) client_authentication: Option<oidc::ClientAuthentication>,

    /// `introspection`: the keys of `private_key_jwt`, as those of a provider. What they sign is for
    /// `issuer`, and where there is none for `url`.
    pub(in crate::config) client_keys: Option<List<SigningKey>>,

    /// `introspection`: the certificate of `tls_client_auth` and `self_signed_tls_client_auth`.
    pub(in crate::config) client_certificate: Option<ClientCertificate>,

    /// `introspection`: whether the endpoint answers with a signed JWT (RFC 9701); no other answer
    /// counts then.
    #[schemars(extend("default" = false))]
    pub(in crate::config) signed: Option<bool>,

    /// `keys`: the keys of programs, by their hashes.
    pub(in crate::config) keys: Option<List<ServiceKey>>,

    /// `certificates`: the client certificates of programs. Asked for by `listeners.proxy.tls.client_ca`.
    pub(in crate::config) certificates: Option<List<KnownCertificate>>,

    /// `jwt`, `introspection`: for how long a token that was verified counts without being verified
    /// again, its own end aside. One that is revoked at the issuer counts for so long.
    #[schemars(extend("default" = written_span(bearer::CACHE)))]
    pub(in crate::config) cache: Option<Span>,

    /// `jwt`, `introspection`: how far the issuer's clock may differ from ours; five minutes at most.
    #[schemars(extend("default" = written_span(defaults::CLOCK_LEEWAY)))]
    pub(in crate::config) clock_leeway: Option<Span>,

    /// `jwt`, `introspection`: how long one call to the issuer may take.
    #[schemars(extend("default" = written_span(defaults::BEARER_TIMEOUT)))]
    pub(in crate::config) timeout: Option<Span>,
}

/// What bearer tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum BearerKind {
    /// Access tokens that are JWTs (RFC 9068), verified with the issuer's keys.
    Jwt,
    /// Access tokens of any form, about which the issuer is asked (RFC 7662).
    Introspection,
    /// Static keys of programs.
    Keys,
    /// Client certificates, where Vestibule ends TLS itself.
    Certificates,
}

/// A service key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {name: NAME, sha256: HASH}")]
pub(in crate::config) struct ServiceKey {
    /// Who has it: for the log, and the `sub` of its claims unless they have one.
    #[schemars(required, extend("examples" = ["nightly-export"]))]
    pub(in crate::config) name: Option<String>,
    /// The SHA-256 of the key in 64 hexadecimal digits, as `vestibule keys service` prints it. The key
    /// itself is never in this file.
    #[schemars(required, pattern(r"^[0-9A-Fa-f]{64}$"))]
    pub(in crate::config) sha256: Option<String>,
    /// What is said of who has it, for identity headers.
    #[schemars(extend("x-name" = "CLAIM", "examples" = [{"email": "export@example.gouv.fr", "groups": ["robots"]}]))]
    pub(in crate::config) claims: Option<BTreeMap<String, Option<OneOrMore>>>,
    /// Until when it counts: a date, to the end of its day in UTC, or a moment.
    #[schemars(extend("examples" = ["2027-01-31"]))]
    pub(in crate::config) until: Option<Until>,
}

/// A client certificate: by its fingerprint or by a name in it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {name: NAME, sha256: FINGERPRINT}")]
pub(in crate::config) struct KnownCertificate {
    /// Who has it: for the log, and the `sub` of its claims unless they have one.
    #[schemars(required, extend("examples" = ["nightly-export"]))]
    pub(in crate::config) name: Option<String>,
    /// The SHA-256 fingerprint, as `openssl x509 -noout -fingerprint -sha256` prints it, with colons
    /// or without: this certificate and no other.
    #[schemars(extend("examples" = ["6B:8E:1C:…"]))]
    pub(in crate::config) sha256: Option<String>,
    /// A name in the certificate, as `openssl x509 -noout -ext subjectAltName` prints it (`DNS:`,
    /// `URI:` or `email:`): every certificate of `client_ca` that has it.
    #[schemars(extend("examples" = ["DNS:export.example.gouv.fr", "URI:spiffe://example.gouv.fr/export"]))]
    pub(in crate::config) san: Option<String>,
    /// What is said of who has it, for identity headers.
    #[schemars(extend("x-name" = "CLAIM", "examples" = [{"email": "export@example.gouv.fr", "groups": ["robots"]}]))]
    pub(in crate::config) claims: Option<BTreeMap<String, Option<OneOrMore>>>,
    /// Until when it counts: a date, to the end of its day in UTC, or a moment.
    #[schemars(extend("examples" = ["2027-01-31"]))]
    pub(in crate::config) until: Option<Until>,
}
