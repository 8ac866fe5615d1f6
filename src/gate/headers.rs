//! Identity headers: what is stripped from every request, and what a [`Permit`] sets.
//!
//! Strip or set, with no third branch: [`Headers::must_strip`] holds for every header of every
//! request, on public routes too, and then [`Headers::identity`] alone sets, from verified claims
//! and from the session's own name.
//! Called by `gate` (the values) and by `server/proxy` at the last moment before a request leaves,
//! behind Pingora's removal of hop-by-hop headers, so that no `Connection: x-auth-request-email`
//! can take away what was set.

use super::policy::Permit;
use super::template::Described;
pub use super::template::{BadTemplate, Encoding, Template};
use crate::claims::ClaimsView;
use crate::web::forwarded::{RETURN_TO, speaks_of_origin};
pub use crate::web::header::fold;
use http::{HeaderName, HeaderValue};
use std::collections::HashSet;

/// Which identity headers the app gets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Header names with the template of their value.
    pub headers: Vec<(HeaderName, Template)>,
    /// How values that are not plain ASCII are written.
    pub encoding: Encoding,
    /// The name of the signed assertion's header, where there is one.
    pub assertion: Option<HeaderName>,
}

/// The names of all sets.
pub const NAMED_SETS: [&str; 3] = ["x-auth-request", "x-forwarded", "remote-user"];

/// The headers of a named set with their templates.
const SETS: [(&str, &str, &str); 12] = [
    ("x-auth-request", "x-auth-request-user", "{sub}"),
    ("x-auth-request", "x-auth-request-email", "{email}"),
    ("x-auth-request", "x-auth-request-preferred-username", "{preferred_username}"),
    ("x-auth-request", "x-auth-request-groups", "{groups|roles}"),
    ("x-forwarded", "x-forwarded-user", "{sub}"),
    ("x-forwarded", "x-forwarded-email", "{email}"),
    ("x-forwarded", "x-forwarded-preferred-username", "{preferred_username}"),
    ("x-forwarded", "x-forwarded-groups", "{groups|roles}"),
    ("remote-user", "remote-user", "{sub}"),
    ("remote-user", "remote-email", "{email}"),
    ("remote-user", "remote-name", "{given_name} {usual_name|family_name}"),
    ("remote-user", "remote-groups", "{groups|roles}"),
];

/// Who somebody is, in the sets.
const USER: &str = "{sub}";

/// The names under which apps of this kind expect a person's tokens. A client's own are stripped
/// from every request; a credential may be set under them.
pub const TOKEN_HEADERS: [&str; 3] =
    ["x-auth-request-access-token", "x-forwarded-access-token", "x-forwarded-id-token"];

/// Names that apps trust for identity, beyond those of the sets, whether or not we set them (of
/// `GAP-Auth` oauth2-proxy says whose answer it is); and those by which gunicorn, from a peer on loopback, takes another path than the one in the request
/// line: `SCRIPT_NAME: /public` makes `/admin` of `/public/admin`.
const ALSO_STRIPPED: [&str; 5] = ["gap-auth", "x-remote-user", "script-name", "x-script-name", "path-info"];

/// The names that say where a body ends. Misspelt (`Content_Length`) they mean nothing to us and
/// may mean the same to an app, which would then see a second request in the body.
const LENGTHS: [&str; 2] = ["content-length", "transfer-encoding"];

/// Whole families of names: oauth2-proxy's and our own.
const FAMILIES: [&str; 2] = ["x-auth-request-", "x-vestibule-"];

/// The session's name, with every request of a signed-in person whatever the configuration says:
/// for apps that attach data of their own to a sign-in. It opens nothing.
const SESSION: HeaderName = HeaderName::from_static("x-vestibule-session");

/// The licence of their seat, where a route asks for one.
const LICENCE: HeaderName = HeaderName::from_static("x-vestibule-licence");

/// With which provider somebody has signed in, where there are several.
const PROVIDER: HeaderName = HeaderName::from_static("x-vestibule-provider");

/// In its place, where a bearer token says who it is: the name of the rule that verified it. Another
/// issuer's `sub` may be anybody's, and by this an app can tell.
const BEARER: HeaderName = HeaderName::from_static("x-vestibule-bearer");

/// The set of identity headers of that name (`x-auth-request`, `x-forwarded`, `remote-user`).
pub fn named_set(name: &str) -> Option<Vec<(HeaderName, Template)>> {
    let rows = SETS.iter().filter(|(set, ..)| *set == name);
    let headers: Vec<_> = rows
        .filter_map(|(_, header, template)| {
            let template = if *template == USER { Template::user() } else { Template::parse(template).ok()? };
            Some((HeaderName::from_static(header), template))
        })
        .collect();
    (!headers.is_empty()).then_some(headers)
}

/// By which Google's auth proxies, and oauth2-proxy after them, tell a front proxy who it is.
pub fn gap_auth() -> Option<(HeaderName, Template)> {
    Some((HeaderName::from_static("gap-auth"), Template::parse("{email|sub}").ok()?))
}

/// The settings, made ready for the everyday request.
#[derive(Clone, Debug)]
pub struct Headers {
    settings: Settings,
    stripped: HashSet<String>,
    /// Whether people of several providers come, of whom two may have the same subject.
    of_several: bool,
}

/// Identity headers that a permit gave: the only ones that may be set on a request.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaders(Vec<(HeaderName, HeaderValue)>);

impl IdentityHeaders {
    /// Names and values, to be set on the request that goes to the app.
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }

    /// The same with the signed assertion, which `assertion` makes of a permit too.
    #[must_use]
    pub(super) fn asserted(mut self, assertion: Option<(HeaderName, HeaderValue)>) -> Self {
        self.0.extend(assertion);
        self
    }
}

impl Headers {
    /// Prepares the settings.
    pub fn new(settings: Settings) -> Self {
        let configured =
            settings.headers.iter().map(|(name, _)| name).chain(&settings.assertion).map(HeaderName::as_str);
        let known = SETS.iter().map(|(_, name, _)| *name).chain(TOKEN_HEADERS);
        let stripped = configured.chain(known).chain(ALSO_STRIPPED).map(|name| fold(name).into_owned()).collect();
        Self { settings, stripped, of_several: false }
    }

    /// The headers with their templates.
    pub fn all(&self) -> &[(HeaderName, Template)] {
        &self.settings.headers
    }

    /// The name of the signed assertion's header, where there is one.
    pub fn assertion(&self) -> Option<&HeaderName> {
        self.settings.assertion.as_ref()
    }

    /// The name of each, that of the signed assertion among them.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.settings.headers.iter().map(|(name, _)| name).chain(&self.settings.assertion)
    }

    /// Others, written in the same way.
    #[must_use]
    pub fn with(&self, headers: Vec<(HeaderName, Template)>) -> Self {
        Self { of_several: self.of_several, ..Self::new(Settings { headers, ..self.settings.clone() }) }
    }

    /// The same headers, which tell people of several providers apart.
    #[must_use]
    pub fn telling_providers_apart(self, of_several: bool) -> Self {
        Self { of_several, ..self }
    }

    /// Whether a header of the client's must not reach the app.
    pub fn must_strip(&self, name: &HeaderName) -> bool {
        let folded = fold(name.as_str());
        FAMILIES.iter().any(|family| folded.starts_with(family))
            || speaks_of_origin(&folded)
            || self.stripped.contains(&*folded)
            || (folded != name.as_str() && LENGTHS.contains(&&*folded))
    }

    /// Whether a header says who somebody is, or which path is meant, in any spelling. A front proxy
    /// that asks sends none, but for the one that says where a sign-in returns to.
    pub fn is_identity(&self, name: &HeaderName) -> bool {
        let folded = fold(name.as_str());
        folded != RETURN_TO.as_str()
            && (FAMILIES.iter().any(|family| folded.starts_with(family)) || self.stripped.contains(&*folded))
    }

    /// The identity headers of a permit, and the session's name, or that of the rule which verified
    /// the bearer token. Claims that are absent or empty give no header.
    pub fn identity(&self, permit: Permit<'_>) -> IdentityHeaders {
        if let Some(person) = permit.person() {
            // 32 hexadecimal digits are header text.
            let session = HeaderValue::try_from(person.id().to_string()).ok();
            let mut headers = self.of(person.claims(), person.provider(), SESSION, session);
            let provider = HeaderValue::from_str(person.provider()).ok().filter(|_| self.of_several);
            headers.0.extend(provider.map(|provider| (PROVIDER, provider)));
            let licence = permit.licence().and_then(|licence| HeaderValue::try_from(licence.to_string()).ok());
            headers.0.extend(licence.map(|licence| (LICENCE, licence)));
            headers
        } else if let Some(caller) = permit.caller() {
            let rule = caller.rule_name();
            self.of(&caller.claims().view(), rule, BEARER, HeaderValue::from_str(rule).ok())
        } else {
            IdentityHeaders::default()
        }
    }

    fn of(
        &self,
        claims: &ClaimsView<'_>,
        provider: &str,
        by: HeaderName,
        its_name: Option<HeaderValue>,
    ) -> IdentityHeaders {
        let described = Described { claims, provider, of_several: self.of_several };
        let value = |(name, template): &(HeaderName, Template)| {
            Some((name.clone(), template.render(&described, self.settings.encoding)?))
        };
        let mut headers = Vec::with_capacity(self.settings.headers.len() + 2);
        headers.extend(self.settings.headers.iter().filter_map(value));
        headers.extend(its_name.map(|name| (by, name)));
        IdentityHeaders(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(names: &[&'static str]) -> Headers {
        let template = Template::parse("{email}").unwrap();
        let headers = names.iter().map(|name| (HeaderName::from_static(name), template.clone())).collect();
        Headers::new(Settings { headers, encoding: Encoding::Percent, assertion: None })
    }

    fn strips(headers: &Headers, name: &str) -> bool {
        headers.must_strip(&HeaderName::from_bytes(name.as_bytes()).unwrap())
    }

    #[test]
    fn every_named_set_is_complete_and_parses() {
        for set in NAMED_SETS {
            assert_eq!(named_set(set).unwrap().len(), 4, "{set}");
        }
        assert!(named_set("x-unknown").is_none());
    }

    #[test]
    fn every_spelling_of_a_configured_name_is_stripped() {
        let headers = headers(&["x-agent"]);
        for name in ["x-agent", "X-Agent", "x_agent", "X.Agent", "x!agent", "X_AGENT"] {
            assert!(strips(&headers, name), "{name}");
        }
        for name in ["x-agents", "agent", "xagent", "accept", "x-requested-with", "content-type", "authorization"] {
            assert!(!strips(&headers, name), "{name}");
        }
    }

    #[test]
    fn a_body_s_length_is_told_by_the_right_names_only() {
        let headers = headers(&[]);
        for name in ["Content_Length", "content.length", "Transfer_Encoding", "TRANSFER_ENCODING"] {
            assert!(strips(&headers, name), "{name}");
        }
        assert!(!strips(&headers, "Content-Length") && !strips(&headers, "Transfer-Encoding"));
    }

    #[test]
    fn names_that_apps_trust_are_stripped_whether_or_not_we_set_them() {
        let headers = headers(&[]);
        for name in [
            "remote-user",
            "Remote_User",
            "x-auth-request-email",
            "x-auth-request-anything",
            "X_Auth_Request_User",
            "x-forwarded-email",
            "x-forwarded-access-token",
            "x-vestibule-session",
            "x-forwarded-for",
            "X_Forwarded_Proto",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "x-rewrite-url",
            "GAP-Auth",
            "gap_auth",
            "SCRIPT_NAME",
            "Script-Name",
            "X_Script_Name",
            "PATH_INFO",
        ] {
            assert!(strips(&headers, name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_separator_saves_a_forged_name(separators in "[-_.!#$&'*+^`|~]{3}", upper: bool) {
            let mut separator = separators.chars();
            let name: String = "x-auth-request-email".chars()
                .map(|c| if c == '-' { separator.next().unwrap() } else if upper { c.to_ascii_uppercase() } else { c })
                .collect();
            prop_assert!(strips(&headers(&[]), &name), "{name}");
        }
    }
}
