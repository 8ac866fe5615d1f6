//! Signing keys and the signed assertion, as they are written.
//!
//! `resolve/signing` turns them into `signing::SigningRing` and `gate::assertion::Settings`.

use super::List;
use crate::config::scalar::{Secret, Span, written_span};
use crate::config::until::Until;
use crate::gate::assertion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The signed assertion.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {keys: [{key: {file: PATH}}], header, audience, lifetime, claims}")]
pub(in crate::config) struct Assertion {
    /// The keys that sign assertions. The first signs, and all are published at `/oauth2/jwks` until
    /// their end. To rotate: add the new key behind the first, put it in front when apps have had the
    /// time to fetch it, give the old one an end. The same keys on every replica. Their files are read
    /// again every few seconds.
    #[schemars(required)]
    pub(in crate::config) keys: Option<List<SigningKey>>,
    /// The header that it goes into. What a client sends under this name is removed on every route.
    #[schemars(extend("default" = "X-Vestibule-Assertion"))]
    pub(in crate::config) header: Option<String>,
    /// For whom it is (`aud`), on every route. By default the name of the route's upstream, so that
    /// no app can use what it gets at another; without an upstream (`forward_auth`) the host of
    /// `public_url`.
    #[schemars(extend("examples" = ["playground"]))]
    pub(in crate::config) audience: Option<String>,
    /// How long it counts; a minute at most.
    #[schemars(extend("default" = written_span(assertion::LIFETIME)))]
    pub(in crate::config) lifetime: Option<Span>,
    /// Claims of the person that it holds besides `sub`, `acr` and those of its own, where they are
    /// there. They are kept in the session for it.
    #[schemars(extend("default" = ["email"], "examples" = [["email", "siret", "roles"]]))]
    pub(in crate::config) claims: Option<List<String>>,
}

/// A signing key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {key: {file: PATH}}")]
pub(in crate::config) struct SigningKey {
    /// A P-256 or Ed25519 private key in PEM (PKCS #8), as `vestibule keys signing` prints it.
    #[schemars(required, extend("examples" = [{"file": "/run/secrets/signing-key.pem"}]))]
    pub(in crate::config) key: Option<Secret>,
    /// Until when a former key is still published: a date, to the end of its day in UTC, or a moment.
    /// Not for the first key, which signs. Without it a key is published as long as it is in the list.
    #[schemars(extend("examples" = ["2027-01-31", "2027-01-31T18:00:00+01:00"]))]
    pub(in crate::config) until: Option<Until>,
}

/// The certificate of a client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {certificate: PATH, key: PATH}")]
pub(in crate::config) struct ClientCertificate {
    /// The PEM file of the certificate chain, leaf first. It is read at the start.
    #[schemars(required)]
    pub(in crate::config) certificate: Option<PathBuf>,
    /// The PEM file of its private key.
    #[schemars(required)]
    pub(in crate::config) key: Option<PathBuf>,
}

/// Whether the signed assertion goes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RouteAssertion {
    /// It does, where `identity.assertion` is configured.
    #[default]
    On,
    /// It does not.
    Off,
}
