//! Where to send the browser back to: the only way to make a redirect target from outside input.
//!
//! Called by `gate` (the URL that was asked for), `login` (`rd`) and the sealed `state`. Part of
//! the security perimeter: [`ReturnTo`] has private fields and [`ReturnTo::parse`] is its one
//! constructor. It keeps a path and a query, and the origin of another site only where that is on the
//! list of `sign_in.return_to`; the `Location` made of it starts with an origin that we wrote
//! ourselves, so there is no spelling that leaves it.

use super::form_id::FormId;
use super::path::RequestPath;
use super::public_url::PublicUrl;
use super::return_hosts::ReturnHosts;

/// Longer addresses are not carried through a sign-in: they would make the authorization URL
/// longer than front proxies take.
pub const MAX_LEN: usize = 2048;

/// The name of the page of one's own sessions, below the prefix.
pub const SESSIONS_PAGE: &str = "sessions";

/// The name of the page of a form that was kept, below the prefix.
pub const FORM_PAGE: &str = "form";

/// A path and query on our own origin, or on a listed one, outside our own prefix but for the page
/// of one's sessions and that of a form that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo {
    /// As it was written: a path, or the whole URL where that is on another site.
    text: String,
    /// How many bytes of it are another site's origin.
    origin: usize,
}

/// Why a text is no return target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReturnTo {
    /// Neither a path nor a URL on our own origin.
    #[error("the return address is not on this site")]
    Elsewhere,
    /// A path that would be answered 400, or characters that do not belong in a URL.
    #[error("the return address is malformed")]
    Malformed,
    /// Below our own prefix: would sign out, or start over for ever. Not the page of one's sessions,
    /// nor that of a form, which send and change nothing by being opened.
    #[error("the return address is one of the sign-in's own")]
    OwnPath,
    /// Over [`MAX_LEN`].
    #[error("the return address is too long")]
    TooLong,
}

impl ReturnTo {
    /// The site's front page.
    pub fn root() -> Self {
        Self::here("/".to_owned())
    }

    /// The page of one's own sessions.
    pub fn sessions_page(prefix: &Prefix) -> Self {
        Self::here(format!("{}/{SESSIONS_PAGE}", prefix.as_str()))
    }

    /// The page of a form that was kept.
    pub fn form_page(prefix: &Prefix, id: FormId) -> Self {
        Self::here(format!("{}/{FORM_PAGE}?id={id}", prefix.as_str()))
    }

    fn here(text: String) -> Self {
        Self { text, origin: 0 }
    }

    /// Takes `/path?query` or a full URL on our own origin.
    ///
    /// # Errors
    /// [`BadReturnTo`], by cause.
    pub fn parse(text: &str, public_url: &PublicUrl, prefix: &Prefix) -> Result<Self, BadReturnTo> {
        if text.len() > MAX_LEN {
            return Err(BadReturnTo::TooLong);
        }
        let local = if text.starts_with('/') {
            text
        } else {
            // The rest must start a path: `https://app.example.evil.org` shares our origin's letters.
            text.strip_prefix(public_url.origin()).filter(|rest| rest.starts_with('/')).ok_or(BadReturnTo::Elsewhere)?
        };
        check(local, prefix)?;
        Ok(Self::here(local.to_owned()))
    }

    /// Takes these, and a full URL on one of the hosts of the list.
    ///
    /// # Errors
    /// [`BadReturnTo`], by cause.
    pub fn parse_listed(
        text: &str,
        public_url: &PublicUrl,
        prefix: &Prefix,
        hosts: &ReturnHosts,
    ) -> Result<Self, BadReturnTo> {
        match Self::parse(text, public_url, prefix) {
            Err(BadReturnTo::Elsewhere) => {
                let (origin, local) = hosts.split(text).ok_or(BadReturnTo::Elsewhere)?;
                let local = if local.is_empty() { "/" } else { local };
                // Another site may well be ours: what starts over for ever here does so there.
                check(local, prefix)?;
                Ok(Self { text: format!("{origin}{local}"), origin: origin.len() })
            }
            parsed => parsed,
        }
    }

    /// As it goes through a sign-in, to be parsed again: the path and query, behind the origin
    /// where it is another site's.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The `Location`.
    pub fn location(&self, public_url: &PublicUrl) -> String {
        if self.origin == 0 { format!("{}{}", public_url.origin(), self.text) } else { self.text.clone() }
    }
}

/// Whether `/path?query#fragment` may be returned to.
fn check(local: &str, prefix: &Prefix) -> Result<(), BadReturnTo> {
    // Browsers drop tabs and newlines from URLs and read `\` as `/`; nothing of that passes.
    if !local.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(BadReturnTo::Malformed);
    }
    let without_fragment = local.split('#').next().unwrap_or_default();
    let path = without_fragment.split('?').next().unwrap_or_default();
    let path = RequestPath::parse(path).map_err(|_| BadReturnTo::Malformed)?;
    // In its one plain spelling.
    let is_page = prefix.below(local).is_some_and(|below| below == SESSIONS_PAGE || form_of(below).is_some());
    if !is_page && path.any(|reading| prefix.holds(reading)) {
        return Err(BadReturnTo::OwnPath);
    }
    Ok(())
}

/// The form whose page this is, by what stands below the prefix.
fn form_of(below: &str) -> Option<FormId> {
    below.strip_prefix(FORM_PAGE)?.strip_prefix("?id=").and_then(FormId::parse)
}

/// The form from whose page a request comes, by its `Referer`.
pub fn form_in(referer: &str, public_url: &PublicUrl, prefix: &Prefix) -> Option<FormId> {
    prefix.below(referer.strip_prefix(public_url.origin())?).and_then(form_of)
}

/// The prefix of our own paths: `/oauth2`, without a final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a path of plain segments, such as /oauth2")]
pub struct BadPrefix;

impl Default for Prefix {
    fn default() -> Self {
        Self("/oauth2".to_owned())
    }
}

impl Prefix {
    /// Takes `/segment` or `/several/segments` of letters, digits, `-`, `_` and `.`.
    ///
    /// # Errors
    /// [`BadPrefix`] for anything else, `/` itself included.
    pub fn parse(text: &str) -> Result<Self, BadPrefix> {
        let segments = text.strip_prefix('/').ok_or(BadPrefix)?;
        let plain = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if segments.split('/').all(plain) { Ok(Self(text.to_owned())) } else { Err(BadPrefix) }
    }

    /// The prefix as written in paths.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part of a decoded path behind the prefix, without its slash: `callback`.
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&self.0)?.strip_prefix('/')
    }

    /// Whether a decoded path is ours, whatever the case of its letters: an app on a
    /// case-blind file system must not be reached through `/OAuth2/`.
    pub fn holds(&self, path: &str) -> bool {
        let Some((front, rest)) = path.split_at_checked(self.0.len()) else { return false };
        front.eq_ignore_ascii_case(&self.0) && (rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::return_hosts::ReturnHost;
    use proptest::prelude::*;

    fn site() -> PublicUrl {
        PublicUrl::parse("https://app.example").unwrap()
    }

    fn parse(text: &str) -> Result<ReturnTo, BadReturnTo> {
        ReturnTo::parse(text, &site(), &Prefix::default())
    }

    /// A line of the list of tricks.
    fn unescaped(trick: &str) -> String {
        trick.replace("<TAB>", "\t").replace("<LF>", "\n").replace("<CR>", "\r").replace("<NUL>", "\0")
    }

    #[test]
    fn paths_of_this_site_come_back_whole() {
        for text in
            ["/", "/a?b=c&d=%2F%2Fe", "/chat#end", "/a?next=https://other.example/", "/hero;id=1", "/a%2Fb", "/@x"]
        {
            assert_eq!(parse(text).unwrap().location(&site()), format!("https://app.example{text}"));
        }
        assert_eq!(parse("https://app.example/a?b").unwrap().as_str(), "/a?b");
    }

    #[test]
    fn another_site_is_returned_to_where_it_is_on_the_list_and_only_there() {
        let hosts = ReturnHosts::new(vec![ReturnHost::parse(".other.example").unwrap()]);
        let parse = |text: &str| ReturnTo::parse_listed(text, &site(), &Prefix::default(), &hosts);
        let cases = [
            ("/a?b", Ok("https://app.example/a?b")),
            ("https://app.example/a", Ok("https://app.example/a")),
            ("https://other.example", Ok("https://other.example/")),
            ("https://A.Other.Example/x?y#z", Ok("https://a.other.example/x?y#z")),
            ("https://a.other.example?x", Err(BadReturnTo::Malformed)),
            ("https://a.other.example//evil.example", Err(BadReturnTo::Malformed)),
            ("https://a.other.example/oauth2/sign_out", Err(BadReturnTo::OwnPath)),
            ("https://evil.example/", Err(BadReturnTo::Elsewhere)),
            ("//other.example/", Err(BadReturnTo::Malformed)),
        ];
        for (text, expected) in cases {
            let found = parse(text);
            let location = found.as_ref().map(|found| found.location(&site())).map_err(|bad| *bad);
            assert_eq!(location, expected.map(str::to_owned), "{text}");
            // Through a sign-in and back.
            if let Ok(found) = found {
                assert_eq!(parse(found.as_str()), Ok(found));
            }
        }
        let tricks = include_str!("../../tests/vectors/open-redirects.txt");
        for trick in tricks.lines().filter(|line| !line.starts_with("## ")) {
            let trick = unescaped(trick);
            assert!(parse(&trick).is_err(), "{trick:?}");
        }
    }

    #[test]
    fn no_trick_of_open_redirects_is_taken() {
        let tricks = include_str!("../../tests/vectors/open-redirects.txt");
        let mut count = 0;
        for trick in tricks.lines().filter(|line| !line.starts_with("## ")) {
            let trick = unescaped(trick);
            assert!(parse(&trick).is_err(), "{trick:?}");
            count += 1;
        }
        assert!(count > 100, "only {count} tricks were read");
    }

    #[test]
    fn our_own_paths_are_refused_in_every_spelling() {
        for own in [
            "/oauth2",
            "/oauth2/",
            "/oauth2/sign_out",
            "/%6fauth2/start",
            "/OAuth2/start",
            "/oauth2;x/start",
            "/oauth2%2Fstart",
        ] {
            assert_eq!(parse(own), Err(BadReturnTo::OwnPath), "{own}");
        }
        assert!(parse("/oauth2callback").is_ok());
    }

    #[test]
    fn of_our_own_paths_the_page_of_sessions_alone_is_taken_and_in_one_spelling() {
        for good in ["/oauth2/sessions", "https://app.example/oauth2/sessions"] {
            assert_eq!(parse(good), Ok(ReturnTo::sessions_page(&Prefix::default())), "{good}");
        }
        for own in [
            "/oauth2/sessions/",
            "/oauth2/sessions?end=others",
            "/oauth2/sessions#x",
            "/oauth2/sessions;x",
            "/oauth2/Sessions",
            "/oauth2/%73essions",
            "/OAuth2/sessions",
            "/oauth2/sessions/../sign_out",
        ] {
            assert!(parse(own).is_err(), "{own}");
        }
    }

    #[test]
    fn the_page_of_a_form_is_taken_in_one_spelling_and_known_again_in_a_referer() {
        let id = FormId::from_bytes([7; 32]);
        let page = ReturnTo::form_page(&Prefix::default(), id);
        let text = page.as_str();
        assert_eq!(parse(text), Ok(page.clone()));
        let url = format!("https://app.example{text}");
        assert_eq!(parse(&url), Ok(page.clone()));
        let form_in = |referer: &str| form_in(referer, &site(), &Prefix::default());
        assert_eq!(form_in(&url), Some(id));
        for other in [
            "/oauth2/form".to_owned(),
            "/oauth2/form?id=".to_owned(),
            "/oauth2/form?id=x".to_owned(),
            text.replace("?id=", "?discard="),
            text.replace("/form", "/forms"),
            text.replace("/form", "/%66orm"),
            text.replace("/oauth2", "/OAuth2"),
            text.replace("?id=", "/?id="),
            text.replace("?id=", "?id=x&id="),
            format!("{text}&x"),
            format!("{text}#x"),
            format!("{text}A"),
        ] {
            assert!(parse(&other).is_err(), "{other}");
            assert_eq!(form_in(&format!("https://app.example{other}")), None, "{other}");
        }
        for referer in [text, "https://app.example", &url.replace("example", "example.org"), &format!("x{url}")] {
            assert_eq!(form_in(referer), None, "{referer}");
        }
    }

    #[test]
    fn an_address_that_is_too_long_is_refused() {
        assert_eq!(parse(&format!("/{}", "a".repeat(MAX_LEN))), Err(BadReturnTo::TooLong));
    }

    #[test]
    fn prefixes_are_plain() {
        for good in ["/oauth2", "/auth/proconnect", "/_vestibule"] {
            assert!(Prefix::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "oauth2", "/oauth2/", "//x", "/a b", "/..", "/a%2F", "/a*"] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_on_this_origin(text in "(https://app\\.example)?[/\\\\a.@:?#%2fF;\t ]{0,20}(evil\\.example)?[/\\\\]?") {
            if let Ok(accepted) = parse(&text) {
                let url = url::Url::parse(&accepted.location(&site())).unwrap();
                prop_assert_eq!(url.origin().ascii_serialization(), "https://app.example");
                // Nor as a relative reference, should a client be handed one.
                let relative = url::Url::parse("https://app.example/x").unwrap().join(accepted.as_str()).unwrap();
                prop_assert_eq!(relative.host_str(), Some("app.example"));
            }
        }
    }
}
