//! A provider's addresses: what its endpoints may be where they are written by hand.
//!
//! `provider` calls it. The rules are those that discovered endpoints are held to, and one more:
//! plain http is for loopback alone.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::written;
use crate::oidc::{Endpoints, GivenEndpoints};
use url::Url;

impl Resolver<'_> {
    /// A URL of the provider: https, or http on loopback.
    pub(super) fn provider_url(&mut self, at: &KeyPath, text: &str) -> Option<Url> {
        let Ok(url) = Url::parse(text) else {
            self.fault(at, "is not a URL; write one that begins with https://");
            return None;
        };
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.fault(at, "holds a user or a password; remove them");
            return None;
        }
        match url.scheme() {
            "https" => Some(url),
            "http" if loopback => Some(url),
            _ => {
                self.fault(at, "must be https, except on loopback: codes and tokens go there");
                None
            }
        }
    }

    pub(super) fn endpoints(&mut self, at: &KeyPath, provider: &written::Provider) -> Option<Endpoints> {
        let Some(written) = &provider.endpoints else { return Some(Endpoints::Discovered) };
        if provider.environment.is_some() && provider.issuer.is_none() {
            self.fault(at, "is written beside environment, and ProConnect announces its endpoints; remove this key");
            return None;
        }
        let mut needed = |key: &str, url: Option<&String>| {
            let at = at.key(key);
            let text = self.required_text(&at, url, "its URL, or leave `endpoints` out to have the provider asked")?;
            self.endpoint_url(&at, text)
        };
        let authorization = needed("authorization", written.authorization.as_ref());
        let token = needed("token", written.token.as_ref());
        let jwks_uri = needed("jwks_uri", written.jwks_uri.as_ref());
        let mut optional = |key: &str, url: Option<&String>| url.and_then(|text| self.endpoint_url(&at.key(key), text));
        let userinfo = optional("userinfo", written.userinfo.as_ref());
        let end_session = optional("end_session", written.end_session.as_ref());
        let revocation = optional("revocation", written.revocation.as_ref());
        let pushed_authorization = optional("pushed_authorization", written.pushed_authorization.as_ref());
        Some(Endpoints::Given(Box::new(GivenEndpoints {
            authorization: authorization?,
            token: token?,
            jwks_uri: jwks_uri?,
            userinfo,
            end_session,
            revocation,
            pushed_authorization,
            callback_iss: written.callback_iss.unwrap_or(false),
        })))
    }

    /// A URL of the provider, without a fragment (RFC 6749 §3.1 and §3.2).
    fn endpoint_url(&mut self, at: &KeyPath, text: &str) -> Option<Url> {
        let url = self.provider_url(at, text)?;
        if url.fragment().is_some() {
            self.fault(at, "has a fragment (#…), which no endpoint has; remove it");
            return None;
        }
        Some(url)
    }

    /// A host that is not the issuer's gets secrets, or says which keys count: right for some
    /// providers, and a slip of the hand for most.
    pub(super) fn endpoints_elsewhere(&mut self, at: &KeyPath, given: &GivenEndpoints, issuer: &str) {
        let home = Url::parse(issuer).ok();
        let home = home.as_ref().and_then(Url::host_str);
        for (key, url) in [
            ("authorization", Some(&given.authorization)),
            ("token", Some(&given.token)),
            ("jwks_uri", Some(&given.jwks_uri)),
            ("userinfo", given.userinfo.as_ref()),
            ("end_session", given.end_session.as_ref()),
            ("revocation", given.revocation.as_ref()),
            ("pushed_authorization", given.pushed_authorization.as_ref()),
        ] {
            if let Some(host) = url.and_then(Url::host_str).filter(|host| Some(*host) != home) {
                self.found(
                    Code::EndpointElsewhere,
                    &at.key(key),
                    format!("is on {host}, which is not the issuer's host: make sure that it is the provider's"),
                );
            }
        }
    }
}
