//! The verified person: made by this room's verification and by nothing else.

use crate::claims::Claims;
use crate::clock::Timestamp;

/// A person whom a provider has named, after every check of the ID token and of userinfo.
///
/// Part of the security perimeter: its fields are private to `oidc`, which makes one only at the
/// end of `Provider::redeem`. A session begins with an `Identity`, so no session can begin
/// without verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(in crate::oidc) provider: String,
    pub(in crate::oidc) subject: String,
    pub(in crate::oidc) claims: Claims,
    pub(in crate::oidc) authenticated_at: Option<Timestamp>,
}

impl Identity {
    /// The configured name of the provider that vouches.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// `sub`: who it is, unique at that provider.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// All verified claims of the ID token and userinfo, those of the protocol itself
    /// (`iss`, `aud`, `exp`, `nonce` …) left out; `sub`, `acr` and `amr` among them.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// `auth_time`, where the provider says it.
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated_at
    }
}
