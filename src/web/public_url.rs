//! The address that browsers use for us, and the prefix of our own paths.

use super::hygiene::split_host;
use url::Url;

/// The address that browsers use: an origin, with no path of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    host: String,
    secure: bool,
}

/// Why a URL cannot be the public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPublicUrl {
    /// Neither http nor https, or no host, or user information, or not a URL at all.
    #[error("is not an https:// URL")]
    NotHttp,
    /// It has a path, a query or a fragment.
    #[error("must be an origin only, such as https://app.example.gouv.fr, with no path or query")]
    NotAnOrigin,
    /// http where browsers would send our cookies in clear.
    #[error("must be https, except on loopback (localhost, 127.0.0.0/8, [::1])")]
    Insecure,
    /// Its host is one that `web/hygiene` takes no request for as it is written.
    #[error("has a host that no request is read to have, such as one with a dot at its end")]
    Host,
}

impl PublicUrl {
    /// Parses `https://host[:port]`, or `http://` on loopback.
    ///
    /// # Errors
    /// [`BadPublicUrl`], by cause.
    pub fn parse(text: &str) -> Result<Self, BadPublicUrl> {
        let url = Url::parse(text).map_err(|_| BadPublicUrl::NotHttp)?;
        let host = url.host().ok_or(BadPublicUrl::NotHttp)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(BadPublicUrl::NotHttp),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadPublicUrl::NotHttp);
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(BadPublicUrl::NotAnOrigin);
        }
        let loopback = match &host {
            url::Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
            url::Host::Ipv4(address) => address.is_loopback(),
            url::Host::Ipv6(address) => address.is_loopback(),
        };
        if !secure && !loopback {
            return Err(BadPublicUrl::Insecure);
        }
        let host = host.to_string();
        if split_host(&host).is_none_or(|(name, _)| name != host) {
            return Err(BadPublicUrl::Host);
        }
        Ok(Self { origin: url.origin().ascii_serialization(), host, secure })
    }

    /// `scheme://host[:port]`, as browsers write it in `Origin`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is https.
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_that_requests_are_read_to_have() {
        for good in
            ["https://app.example.fr", "https://app.example.fr:8443", "http://[::1]:4180", "https://a_b.example"]
        {
            assert!(PublicUrl::parse(good).is_ok(), "{good}");
        }
        for bad in ["https://app.example.fr.", "https://a!b.example", "https://.example.fr"] {
            assert_eq!(PublicUrl::parse(bad), Err(BadPublicUrl::Host), "{bad}");
        }
    }
}
