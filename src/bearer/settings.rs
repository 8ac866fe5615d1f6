//! Which bearer tokens count: what `config` makes of `bearer` at the top of the file.

use super::certificates::KnownCertificate;
use super::service_keys::ServiceKey;
use crate::oidc::{IntrospectionSettings, IssuerSettings};
use std::time::Duration;

/// How long a verified token is believed before it is verified again.
pub const CACHE: Duration = Duration::from_secs(60);

/// One rule. Routes name it by its index.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
}

/// What a rule takes.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Access tokens that are JWTs (RFC 9068).
    Jwt {
        /// The issuer, and what its tokens must say.
        issuer: Box<IssuerSettings>,
        /// How long a verified token is believed before it is verified again.
        cache: Duration,
    },
    /// Tokens about which the issuer is asked (RFC 7662).
    Introspection {
        /// The endpoint, and what tokens must say.
        endpoint: Box<IntrospectionSettings>,
        /// How long an answer is believed: a token that is revoked counts for so long.
        cache: Duration,
    },
    /// Static keys of programs.
    Keys(Vec<ServiceKey>),
    /// The certificates of programs, where we end TLS ourselves.
    Certificates(Vec<KnownCertificate>),
}

impl Kind {
    /// The scopes that it asks for.
    pub fn scopes(&self) -> &[String] {
        match self {
            Self::Jwt { issuer, .. } => &issuer.scopes,
            Self::Introspection { endpoint, .. } => &endpoint.scopes,
            Self::Keys(_) | Self::Certificates(_) => &[],
        }
    }
}
