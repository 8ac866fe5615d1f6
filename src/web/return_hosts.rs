//! The hosts beyond our own site that a browser may be led back to (`sign_in.return_to`).
//!
//! Called by `return_to`, and by `config`, which makes the list. Written as oauth2-proxy's
//! `--whitelist-domain` has it, and compared without regard to case. Nothing is on it by default.

use super::domain::is_at_or_below;
use super::hygiene::normalise_host;
use super::public_url::PublicUrl;

/// The hosts of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnHosts(Vec<ReturnHost>);

/// `app.example.fr`, `.example.fr` (that domain and every host below it), each with `:8443` for
/// that port or `:*` for any; without one the address must not name a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnHost {
    /// Lower-case, without its dot in front.
    name: String,
    below: bool,
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Unnamed,
    Any,
    This(u16),
}

/// Why a text is no such host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no host; write app.example.fr, .example.fr for all hosts below it too, or either with a :port or :*")]
pub struct BadReturnHost;

impl ReturnHost {
    /// Parses an entry of the list.
    ///
    /// # Errors
    /// [`BadReturnHost`] for what is no host name, and for a whole top-level domain.
    pub fn parse(text: &str) -> Result<Self, BadReturnHost> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, "*")) => (host, Port::Any),
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, Port::This(port.parse().map_err(|_| BadReturnHost)?))
            }
            Some(_) => return Err(BadReturnHost),
            None => (text, Port::Unnamed),
        };
        let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
        let name = below.unwrap_or(host).to_ascii_lowercase();
        let is_name = matches!(url::Host::parse(&name), Ok(parsed) if parsed.to_string() == name);
        if !is_name || name.contains('*') || name.ends_with('.') || (below.is_some() && !name.contains('.')) {
            return Err(BadReturnHost);
        }
        Ok(Self { name, below: below.is_some(), port })
    }

    fn allows(&self, host: &str, port: Option<u16>) -> bool {
        let port_fits = match self.port {
            Port::Unnamed => port.is_none(),
            Port::Any => true,
            Port::This(this) => port == Some(this),
        };
        port_fits && (host == self.name || (self.below && is_at_or_below(host, &self.name)))
    }
}

impl ReturnHosts {
    /// The hosts of these entries.
    pub fn new(hosts: Vec<ReturnHost>) -> Self {
        Self(hosts)
    }

    /// Splits a URL on a listed host into its origin, in one spelling, and the rest. `https`, or
    /// `http` on loopback; never with a user in it.
    pub(super) fn split<'a>(&self, url: &'a str) -> Option<(String, &'a str)> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, local) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = normalise_host(authority)?;
        // What is left behind a host of the same letters: `:8443`, or nothing.
        let port = authority.get(host.len()..)?.trim_start_matches('.').strip_prefix(':');
        let port = port.map(str::parse::<u16>).transpose().ok()?;
        let origin = match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        // The same rules as for our own address.
        let ours = PublicUrl::parse(&origin).ok()?;
        self.0.iter().any(|entry| entry.allows(&host, port)).then(|| (ours.origin().to_owned(), local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entries: &[&str]) -> ReturnHosts {
        ReturnHosts::new(entries.iter().map(|entry| ReturnHost::parse(entry).unwrap()).collect())
    }

    #[test]
    fn an_entry_allows_what_it_names_at_a_dot_and_at_its_port() {
        let cases = [
            ("app.example.fr", "https://app.example.fr/x", true),
            ("app.example.fr", "https://APP.Example.FR/x", true),
            ("APP.example.fr", "https://app.example.fr/x", true),
            ("app.example.fr", "https://app.example.fr./x", true),
            ("app.example.fr", "https://app.example.fr:8443/x", false),
            ("app.example.fr", "https://b.app.example.fr/x", false),
            ("app.example.fr", "https://badapp.example.fr/x", false),
            (".example.fr", "https://example.fr/", true),
            (".example.fr", "https://a.b.example.fr/", true),
            ("*.example.fr", "https://a.example.fr/", true),
            (".example.fr", "https://badexample.fr/", false),
            (".example.fr", "https://example.fr.evil.org/", false),
            (".example.fr", "https://evil.org/.example.fr/", false),
            (".example.fr", "https://evil.org?.example.fr/", false),
            (".example.fr", "https://evil.org#.example.fr/", false),
            (".example.fr", "https://user@a.example.fr/", false),
            (".example.fr", "https://a.example.fr@evil.org/", false),
            (".example.fr", "https://evil.org\\a.example.fr/", false),
            (".example.fr", "http://a.example.fr/", false),
            (".example.fr", "ftp://a.example.fr/", false),
            (".example.fr", "javascript://a.example.fr/%0aalert(1)", false),
            (".example.fr", "//a.example.fr/", false),
            ("app.example.fr:8443", "https://app.example.fr:8443/", true),
            ("app.example.fr:8443", "https://app.example.fr/", false),
            ("app.example.fr:8443", "https://app.example.fr:84430/", false),
            ("app.example.fr:*", "https://app.example.fr:1/", true),
            ("app.example.fr:*", "https://app.example.fr/", true),
            ("app.example.fr:*", "https://app.example.fr:x/", false),
            ("localhost:*", "http://localhost:3000/", true),
        ];
        for (entry, url, expected) in cases {
            assert_eq!(hosts(&[entry]).split(url).is_some(), expected, "{entry} {url}");
        }
        assert_eq!(hosts(&[]).split("https://app.example.fr/"), None);
        let (origin, rest) = hosts(&[".example.fr"]).split("https://A.example.fr/x?y#z").unwrap();
        assert_eq!((origin.as_str(), rest), ("https://a.example.fr", "/x?y#z"));
    }

    #[test]
    fn what_is_no_host_is_no_entry() {
        for bad in [
            "",
            ".",
            "*",
            "*.",
            ".fr",
            "*.*",
            "a.*.fr",
            "https://a.fr",
            "a.fr/x",
            "a.fr:",
            "a.fr:x",
            "a.fr:99999",
            "a b",
        ] {
            assert_eq!(ReturnHost::parse(bad), Err(BadReturnHost), "{bad}");
        }
    }
}
