//! Which of several sites a host is one of.
//!
//! Called by `server/sites` for the `Host` of a request, and by `server/forward_auth` for that of a
//! request that a front proxy asks about. A host is found as it is written in the configuration, or not
//! at all: nothing is guessed, no pattern is matched, and no site stands in for the others.

use super::hygiene::split_host;
use super::public_url::PublicUrl;

/// The hosts of several sites.
#[derive(Clone, Debug, Default)]
pub struct SiteHosts(Vec<Host>);

#[derive(Clone, Debug)]
struct Host {
    site: usize,
    name: String,
    /// None for a host that a route names, which may be asked for at any port.
    port: Option<u16>,
    /// The port that is meant where none is named.
    default_port: u16,
}

impl SiteHosts {
    /// Adds the next site: it answers at the host and port of its `public_url`, and at the further hosts
    /// that its routes name.
    #[must_use]
    pub fn with<'h>(mut self, site: usize, public_url: &PublicUrl, routes: impl IntoIterator<Item = &'h str>) -> Self {
        let default_port = if public_url.is_secure() { 443 } else { 80 };
        let authority = public_url.origin().split_once("://").map_or("", |(_, authority)| authority);
        let port = split_host(authority).and_then(|(_, port)| port).unwrap_or(default_port);
        let host = |name: &str, port| Host { site, name: name.to_owned(), port, default_port };
        self.0.push(host(public_url.host(), Some(port)));
        let further = routes.into_iter().filter(|name| *name != public_url.host());
        self.0.extend(further.map(|name| host(name, None)));
        self
    }

    /// The site that has this `host[:port]`, as a request names it.
    pub fn find(&self, host: &str) -> Option<usize> {
        let (name, port) = split_host(host)?;
        let is_it =
            |host: &&Host| host.name == name && host.port.is_none_or(|own| own == port.unwrap_or(host.default_port));
        self.0.iter().find(is_it).map(|host| host.site)
    }

    /// Whether this `host[:port]` has the name of another site's, at whatever port: browsers send the
    /// cookies of one to the other.
    pub fn is_of_another(&self, site: usize, host: &str) -> bool {
        let Some((name, _)) = split_host(host) else { return false };
        self.0.iter().any(|host| host.site != site && host.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_as_it_is_written_and_a_port_that_goes_without_saying() {
        let url = |text: &str| PublicUrl::parse(text).unwrap();
        let hosts = SiteHosts::default()
            .with(0, &url("https://front.example.fr"), ["api.example.fr", "front.example.fr"])
            .with(1, &url("https://back.example.org:8443"), [])
            .with(2, &url("http://localhost:4180"), [])
            .with(3, &url("http://[::1]"), []);
        for (host, site) in [
            ("front.example.fr", Some(0)),
            ("Front.Example.FR", Some(0)),
            ("front.example.fr.", Some(0)),
            ("front.example.fr:443", Some(0)),
            ("front.example.fr:0443", Some(0)),
            ("front.example.fr:80", None),
            ("front.example.fr:8443", None),
            ("api.example.fr", Some(0)),
            ("api.example.fr:8080", Some(0)),
            ("back.example.org:8443", Some(1)),
            ("back.example.org", None),
            ("back.example.org:443", None),
            ("localhost:4180", Some(2)),
            ("localhost", None),
            ("[::1]", Some(3)),
            ("[::1]:80", Some(3)),
            ("a.front.example.fr", None),
            ("front.example.fr.evil.org", None),
            ("example.fr", None),
            ("127.0.0.1", None),
            ("", None),
            ("front.example.fr, back.example.org", None),
            ("front.example.fr@back.example.org:8443", None),
        ] {
            assert_eq!(hosts.find(host), site, "{host}");
        }
        for (site, host, expected) in [
            (0, "front.example.fr:8443", false),
            (0, "api.example.fr", false),
            (1, "front.example.fr", true),
            (1, "FRONT.example.fr.:8443", true),
            (1, "api.example.fr:1", true),
            (0, "back.example.org", true),
            (0, "elsewhere.example.org", false),
            (0, "", false),
        ] {
            assert_eq!(hosts.is_of_another(site, host), expected, "{site} {host}");
        }
    }
}
