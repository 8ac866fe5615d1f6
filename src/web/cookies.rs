//! Our cookies: their names and attributes, finding them in a request, keeping them from the app.
//!
//! Called by `session` and `login`, which own what is inside, and by `server` for the request
//! that goes on to the app. The everyday request only scans; the `cookie` crate writes.

use super::public_url::PublicUrl;
use cookie::Cookie;
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// The largest value put into one cookie. Browsers take 4096 bytes for name, value and
/// attributes together (RFC 6265bis §5.6); the rest leaves room for those.
pub const MAX_VALUE_LEN: usize = 3800;

/// How our cookies are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `Domain`, where sign-in is shared between subdomains. Costs the `__Host-` prefix.
    pub domain: Option<String>,
    /// With which requests of other sites' pages browsers send those of a session.
    pub same_site: SameSite,
    /// Whether pages sign in by their scripts, with which the login cookie has to come as well.
    pub scripts_sign_in: bool,
    /// The token that scripts repeat in a header, where there is one.
    pub request_token: Option<RequestToken>,
}

/// The one cookie of ours that scripts read, under a name that front-ends know, and the header in
/// which they repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestToken {
    /// The cookie.
    pub cookie: CookieName,
    /// The header.
    pub header: HeaderName,
}

impl RequestToken {
    /// `cookie` as written in headers.
    pub fn named(cookie: &str, header: HeaderName) -> Self {
        Self { cookie: CookieName(cookie.to_owned()), header }
    }
}

/// With which requests of other sites' pages a browser sends a cookie (RFC 6265bis §4.1.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// With links that are followed.
    #[default]
    Lax,
    /// With all.
    None,
}

/// The names and attributes of our cookies, made once.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// The identity cookie.
    pub session: CookieName,
    /// The tokens cookie's first part.
    pub tokens: CookieName,
    /// What upstreams need to trust the session.
    pub credentials: CookieName,
    /// What an app may show to learn whose session it is. No browser ever gets it.
    pub proof: CookieName,
    /// What binds sign-ins to this browser.
    pub login: CookieName,
    /// What scripts repeat in a header, where that is wanted.
    pub request_token: Option<RequestToken>,
    domain: Option<String>,
    same_site: SameSite,
    scripts_sign_in: bool,
    secure: bool,
}

/// The name of one of our cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// The name as written in headers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of part `index` of a value that is split; part 0 has the plain name.
    #[must_use]
    pub fn part(&self, index: usize) -> Self {
        if index == 0 { self.clone() } else { Self(format!("{}-{index}", self.0)) }
    }
}

impl Cookies {
    /// `__Host-` names wherever browsers accept them (RFC 6265bis §4.1.3.2): over https and
    /// without a `Domain`.
    pub fn new(public_url: &PublicUrl, settings: &Settings) -> Self {
        let prefix = if public_url.is_secure() && settings.domain.is_none() { "__Host-" } else { "" };
        let name = |rest: &str| CookieName(format!("{prefix}vestibule{rest}"));
        Self {
            session: name(""),
            tokens: name("-tokens"),
            credentials: name("-credentials"),
            proof: name("-proof"),
            login: name("-login"),
            request_token: settings.request_token.clone(),
            domain: settings.domain.clone(),
            same_site: settings.same_site,
            scripts_sign_in: settings.scripts_sign_in,
            secure: public_url.is_secure(),
        }
    }

    /// Whether browsers send our cookies to this host, in lower or upper case and without a port.
    pub fn reach(&self, host: &str, public_url: &PublicUrl) -> bool {
        match &self.domain {
            None => host.eq_ignore_ascii_case(public_url.host()),
            Some(domain) => {
                let host = host.to_ascii_lowercase();
                let domain = domain.trim_start_matches('.').to_ascii_lowercase();
                host.strip_suffix(&domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
        }
    }

    /// A `Set-Cookie` value. `value` must be cookie text: base64url and dots.
    pub fn set(&self, name: &CookieName, value: &str, max_age: Duration) -> Option<HeaderValue> {
        let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        self.render(name, value, cookie::time::Duration::seconds(seconds))
    }

    /// A `Set-Cookie` value that removes the cookie: with all its attributes, for browsers ignore
    /// the removal of a `__Host-` cookie without `Secure` and `Path`.
    pub fn clear(&self, name: &CookieName) -> Option<HeaderValue> {
        self.render(name, "", cookie::time::Duration::ZERO)
    }

    fn render(&self, name: &CookieName, value: &str, max_age: cookie::time::Duration) -> Option<HeaderValue> {
        let same_site = match self.same_site {
            // Sign-ins begin and end with links that are followed, unless a script hands them over.
            SameSite::None if *name != self.login || self.scripts_sign_in => cookie::SameSite::None,
            SameSite::None | SameSite::Lax => cookie::SameSite::Lax,
        };
        let is_for_scripts = self.request_token.as_ref().is_some_and(|token| token.cookie == *name);
        let mut cookie = Cookie::build((name.as_str(), value))
            .path("/")
            .http_only(!is_for_scripts)
            .secure(self.secure)
            .same_site(same_site)
            .max_age(max_age);
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain);
        }
        HeaderValue::from_str(&cookie.build().to_string()).ok()
    }
}

/// The value of the cookie `name`, when the request holds it exactly once. A second one (planted
/// from a subdomain, say) makes both worthless: no rule says which is ours.
pub fn find<'a>(headers: &'a HeaderMap, name: &CookieName) -> Option<&'a [u8]> {
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        let bytes = header.as_bytes();
        let mut start = 0;
        for end in memchr::memchr_iter(b';', bytes).chain([bytes.len()]) {
            let pair = bytes.get(start..end).unwrap_or_default().trim_ascii_start();
            start = end + 1;
            if let Some(value) = pair.strip_prefix(name.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
                if found.is_some() {
                    return None;
                }
                found = Some(value.trim_ascii());
            }
        }
    }
    found
}

/// Whether the request holds a cookie of this name, once or more often.
pub fn is_named(headers: &HeaderMap, name: &CookieName) -> bool {
    headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';')).any(|pair| {
        pair.trim_ascii_start().strip_prefix(name.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    })
}

/// What becomes of the `Cookie` headers on their way to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForApp {
    /// None of ours in it: it goes on as it came.
    Unchanged,
    /// Nothing but ours in it: the app gets none.
    Nothing,
    /// The others, byte for byte, in one header (HTTP/2 clients send several).
    Others(HeaderValue),
}

/// The client's cookies without ours, whichever way they are named, and without that of the `token`
/// where there is one.
pub fn for_app(headers: &HeaderMap, token: Option<&RequestToken>) -> ForApp {
    let is_ours = |pair: &[u8]| is_ours(pair, token);
    let mut values = headers.get_all(COOKIE).iter();
    let (first, second) = (values.next(), values.next());
    let Some(first) = first else { return ForApp::Unchanged };
    let ours = |header: &HeaderValue| header.as_bytes().split(|byte| *byte == b';').any(is_ours);
    if second.is_none() && !ours(first) {
        return ForApp::Unchanged;
    }
    let mut kept: Vec<u8> = Vec::new();
    for header in headers.get_all(COOKIE) {
        let others = header.as_bytes().split(|byte| *byte == b';').filter(|pair| !is_ours(pair));
        for (index, pair) in others.enumerate() {
            if kept.is_empty() {
                kept.extend_from_slice(pair.trim_ascii_start());
            } else {
                kept.extend_from_slice(if index == 0 { b"; " } else { b";" });
                kept.extend_from_slice(pair);
            }
        }
    }
    if kept.trim_ascii().is_empty() {
        return ForApp::Nothing;
    }
    HeaderValue::from_bytes(&kept).map_or(ForApp::Nothing, ForApp::Others)
}

/// The `Cookie` header of a request to an app with `pair` in front of what it has: nothing that a
/// client writes, such as a quote that it does not close, stands before it.
pub fn with_ours(pair: &str, others: Option<&HeaderValue>) -> Option<HeaderValue> {
    let mut value = pair.as_bytes().to_vec();
    if let Some(others) = others {
        value.extend_from_slice(b"; ");
        value.extend_from_slice(others.as_bytes());
    }
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether a `Set-Cookie` line of an app's sets one of ours.
pub fn sets_ours(line: &HeaderValue, token: Option<&RequestToken>) -> bool {
    line.as_bytes().split(|byte| *byte == b';').next().is_some_and(|pair| is_ours(pair, token))
}

/// Whether a `name=value` pair is one of ours, with or without the `__Host-` prefix: after a
/// change of settings browsers may still hold the other kind.
fn is_ours(pair: &[u8], token: Option<&RequestToken>) -> bool {
    // A cookie without a name comes back without its `=`: `=vestibule=x` is `vestibule=x` then.
    let start = pair.iter().position(|byte| *byte != b'=' && !byte.is_ascii_whitespace());
    let pair = start.and_then(|start| pair.get(start..)).unwrap_or_default();
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or(pair).trim_ascii_end();
    if token.is_some_and(|token| name == token.cookie.as_str().as_bytes()) {
        return true;
    }
    let name = name.strip_prefix(b"__Host-").unwrap_or(name);
    name.strip_prefix(b"vestibule").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cookies(url: &str, domain: Option<&str>) -> Cookies {
        let settings = Settings { domain: domain.map(str::to_owned), ..Settings::default() };
        Cookies::new(&PublicUrl::parse(url).unwrap(), &settings)
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (COOKIE, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn names_have_the_host_prefix_wherever_browsers_accept_it() {
        assert_eq!(cookies("https://a.example", None).session.as_str(), "__Host-vestibule");
        assert_eq!(cookies("https://a.example", Some("example")).tokens.as_str(), "vestibule-tokens");
        assert_eq!(cookies("http://localhost:4180", None).login.as_str(), "vestibule-login");
        assert_eq!(cookies("https://a.example", None).tokens.part(2).as_str(), "__Host-vestibule-tokens-2");
    }

    #[test]
    fn a_cookie_is_set_and_removed_with_the_same_attributes() {
        let cookies = cookies("https://a.example", None);
        let set = cookies.set(&cookies.session, "abc", Duration::from_secs(60)).unwrap();
        assert_eq!(set, "__Host-vestibule=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60");
        let cleared = cookies.clear(&cookies.session).unwrap();
        assert_eq!(cleared, "__Host-vestibule=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0");
    }

    #[test]
    fn a_cookie_is_found_only_when_it_is_there_once_under_its_exact_name() {
        let cookies = cookies("https://a.example", None);
        let cases: [(&[&str], Option<&str>); 8] = [
            (&["a=b; __Host-vestibule=x; c=d"], Some("x")),
            (&["a=b", "__Host-vestibule=x "], Some("x")),
            (&["__Host-vestibule=x=y"], Some("x=y")),
            (&["__Host-vestibule=x; __Host-vestibule=x"], None),
            (&["__Host-vestibule=x", "__Host-vestibule=y"], None),
            (&["__Host-vestibule-tokens=x; vestibule=z; X__Host-vestibule=x"], None),
            (&["__HOST-vestibule=x"], None),
            (&[], None),
        ];
        for (values, expected) in cases {
            assert_eq!(find(&headers(values), &cookies.session), expected.map(str::as_bytes), "{values:?}");
        }
    }

    #[test]
    fn the_app_gets_the_others_byte_for_byte_and_never_ours() {
        let others = |text: &str| ForApp::Others(HeaderValue::from_str(text).unwrap());
        let cases: [(&[&str], ForApp); 9] = [
            (&[], ForApp::Unchanged),
            (&["a=b;c=d ;  e"], ForApp::Unchanged),
            (&["__Host-vestibule=x"], ForApp::Nothing),
            (&["__Host-vestibule=x; __Host-vestibule-tokens=1.a; __Host-vestibule-tokens-1=b"], ForApp::Nothing),
            (&["a=b; __Host-vestibule=x;c=\"d e\""], others("a=b;c=\"d e\"")),
            (&["__Host-vestibule=x;  a=b"], others("a=b")),
            (&["vestibule=x; vestibule-login=y; vestibules=z"], others("vestibules=z")),
            (&["a=b", "c=d"], others("a=b; c=d")),
            (&["a=b", "__Host-vestibule =x"], others("a=b")),
        ];
        for (values, expected) in cases {
            assert_eq!(for_app(&headers(values), None), expected, "{values:?}");
        }
    }

    #[test]
    fn the_token_of_scripts_is_ours_where_there_is_one_and_only_under_its_name() {
        let token = RequestToken::named("XSRF-TOKEN", HeaderName::from_static("x-xsrf-token"));
        let held = headers(&["a=b; XSRF-TOKEN=x; XSRF-TOKEN-2=y"]);
        assert_eq!(for_app(&held, None), ForApp::Unchanged);
        assert_eq!(for_app(&held, Some(&token)), ForApp::Others(HeaderValue::from_static("a=b; XSRF-TOKEN-2=y")));
        assert!(is_named(&held, &token.cookie) && !is_named(&headers(&["a=XSRF-TOKEN=x"]), &token.cookie));
        let line = HeaderValue::from_static("XSRF-TOKEN=app; Path=/");
        assert_eq!((sets_ours(&line, None), sets_ours(&line, Some(&token))), (false, true));
        let settings = Settings { request_token: Some(token.clone()), ..Settings::default() };
        let cookies = Cookies::new(&PublicUrl::parse("https://a.example").unwrap(), &settings);
        let set = cookies.set(&token.cookie, "abc", Duration::from_secs(60)).unwrap();
        assert_eq!(set, "XSRF-TOKEN=abc; SameSite=Lax; Secure; Path=/; Max-Age=60");
        assert!(cookies.set(&cookies.session, "abc", Duration::ZERO).unwrap().to_str().unwrap().contains("HttpOnly"));
    }

    #[test]
    fn what_is_ours_stands_before_what_a_client_wrote() {
        let others = HeaderValue::from_static("a=\"b; c");
        assert_eq!(with_ours("vestibule-proof=x", Some(&others)).unwrap(), "vestibule-proof=x; a=\"b; c");
        let alone = with_ours("vestibule-proof=x", None).unwrap();
        assert!(alone == "vestibule-proof=x" && alone.is_sensitive());
        // And what a client sends under that name does not get there.
        assert_eq!(for_app(&headers(&["__Host-vestibule-proof=forged; vestibule-proof=too"]), None), ForApp::Nothing);
    }

    #[test]
    fn an_app_s_set_cookie_line_is_told_by_its_name() {
        for line in [
            "__Host-vestibule=x; Path=/; Secure",
            "__Host-vestibule=; Max-Age=0",
            "vestibule=x; Domain=example",
            "vestibule-login=x",
            "__Host-vestibule-tokens-3=x",
            "  __Host-vestibule = x",
            "=__Host-vestibule=x",
            " = vestibule=x",
            "__Host-vestibule",
        ] {
            assert!(sets_ours(&HeaderValue::from_str(line).unwrap(), None), "{line}");
        }
        for line in
            ["vestibules=x", "a=vestibule", "session=x; vestibule=y", "__Secure-vestibule=x", "", "=", "theme=dark"]
        {
            assert!(!sets_ours(&HeaderValue::from_str(line).unwrap(), None), "{line}");
        }
    }

    proptest! {
        /// The `cookie` crate reads the same as the hand scan.
        #[test]
        fn finding_agrees_with_the_cookie_crate(header in "( ?(__Host-vestibule|a|b)=[a-z=\"]{0,4};?){0,5}") {
            let cookies = cookies("https://a.example", None);
            let matching = Cookie::split_parse(header.as_str()).flatten().filter(|c| c.name() == "__Host-vestibule");
            let values: Vec<_> = matching.map(|c| c.value().trim().as_bytes().to_vec()).collect();
            let expected = match values.as_slice() { [one] => Some(one.as_slice()), _ => None };
            let headers = headers(&[&header]);
            prop_assert_eq!(find(&headers, &cookies.session), expected);
        }

        #[test]
        fn nothing_of_ours_ever_reaches_the_app(header in "[ ;]{0,2}((__Host-)?vestibule(-tokens|-login|-tokens-1)?|a)[ ]?=?[a-z]{0,3}([; ]{1,3}(a|vestibule)=[a-z]{0,3}){0,3}") {
            let headers = headers(&[&header]);
            let after = match for_app(&headers, None) {
                ForApp::Unchanged => header,
                ForApp::Nothing => String::new(),
                ForApp::Others(value) => value.to_str().unwrap().to_owned(),
            };
            prop_assert!(!after.split(';').any(|pair| is_ours(pair.as_bytes(), None)), "{after}");
        }
    }
}
