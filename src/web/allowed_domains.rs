//! Where beyond our own site a browser may be sent: the one parser of such targets.
//!
//! Called by `server/playground_endpoints`, and by `config`, which makes the list.

use super::domain::is_at_or_below;
use super::public_url::PublicUrl;

/// Hosts, and domains with all hosts below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedDomains(Vec<String>);

/// The origin of a site that is on the list: where a browser may be sent, to its front page alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(String);

impl AllowedDomains {
    /// `example.gouv.fr` is that host and every host below it, at a dot.
    pub fn new(domains: impl IntoIterator<Item = String>) -> Self {
        Self(domains.into_iter().map(|domain| domain.to_ascii_lowercase()).collect())
    }

    /// The origin of a URL whose host is on the list. `https`, or on loopback; never with a user
    /// in it.
    pub fn origin_of(&self, text: &str) -> Option<AllowedOrigin> {
        // A URL that browsers would read in another way than this parser does not get here.
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return None;
        }
        if !(text.starts_with("https://") || text.starts_with("http://")) {
            return None;
        }
        let url = url::Url::parse(text).ok()?;
        // The same rules as for our own address: https or loopback, no user.
        let origin = PublicUrl::parse(&url.origin().ascii_serialization()).ok()?;
        let host = origin.host();
        let is_listed = |domain: &String| is_at_or_below(host, domain);
        let plain = url.username().is_empty() && url.password().is_none();
        (plain && self.0.iter().any(is_listed)).then(|| AllowedOrigin(origin.origin().to_owned()))
    }
}

impl AllowedOrigin {
    /// `scheme://host[:port]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Option<String> {
        let allowed = AllowedDomains::new([
            "playground.example.gouv.fr".to_owned(),
            "Albert.test".to_owned(),
            "localhost".to_owned(),
        ]);
        allowed.origin_of(text).map(|origin| origin.as_str().to_owned())
    }

    #[test]
    fn hosts_on_the_list_and_below_it_are_allowed_by_their_origin_alone() {
        for (text, expected) in [
            ("https://playground.example.gouv.fr/", "https://playground.example.gouv.fr"),
            ("https://playground.example.gouv.fr:8443/a?b#c", "https://playground.example.gouv.fr:8443"),
            ("https://PLAYGROUND.example.gouv.fr", "https://playground.example.gouv.fr"),
            ("https://a.b.albert.test/x", "https://a.b.albert.test"),
            ("http://localhost:8501/", "http://localhost:8501"),
        ] {
            assert_eq!(origin(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "https://evil.test/",
            "https://example.gouv.fr/",
            "https://evilalbert.test/",
            "https://albert.test.evil.test/",
            "https://albert.test@evil.test/",
            "https://user@albert.test/",
            "https://albert.test\\@evil.test/",
            "https://albert.test./",
            "http://albert.test/",
            "//albert.test/",
            "/x",
            "",
            "javascript:alert(1)//albert.test",
            "https:albert.test",
            "https://albert.test\t/",
            "ftp://albert.test/",
            "data:text/html,albert.test",
            "https://xn--albert.test/",
        ] {
            assert_eq!(origin(text), None, "{text}");
        }
    }
}
