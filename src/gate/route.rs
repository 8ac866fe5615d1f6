//! Routes: which rule a request falls under.
//!
//! Called by `gate` for every request, and by `config`, which makes the table. The most specific
//! route wins: host before any host, then segment by segment a literal before `*` before `**`,
//! then named methods before any method. What matches nothing is refused.

use super::rules::{Rule, Rules};
use crate::web::path::RequestPath;
use http::Method;
use index::Index;
use std::collections::HashMap;
use std::sync::Arc;

mod index;

/// Who may pass.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Everybody; identity headers are set where there is a session.
    Public,
    /// Whoever is signed in, or shows a bearer token that `bearer` of the route takes.
    #[default]
    SignedIn,
    /// Whoever shows a bearer token that `bearer` of the route takes; no session counts.
    Bearer,
}

/// What becomes of an `Authorization` of the client's on a route with a credential, and of our own
/// access token in it on every route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthorization {
    /// The credential takes its place; our access token is taken away.
    #[default]
    Replace,
    /// It stays, and the credential does not come in, except for our access token: that is nobody's
    /// own credential.
    Keep,
}

/// What an app gets of the session's cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionCookie {
    /// Nothing.
    #[default]
    Strip,
    /// In its place a cookie that opens at `/oauth2/auth` alone, which says whose session it is.
    Proof,
}

/// Whether what changes something has to come from a page of ours or a listed one, where it is a
/// cookie that says whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Csrf {
    /// It has to.
    #[default]
    On,
    /// The app sees to it itself.
    Off,
}

/// One route, resolved.
#[derive(Clone, Debug)]
pub struct Route {
    /// The path it is for.
    pub path: PathPattern,
    /// The host it is for, lower-case and without port; any when `None`.
    pub host: Option<String>,
    /// The methods it is for; any when empty.
    pub methods: Vec<Method>,
    /// Who may pass.
    pub access: Access,
    /// The names of the providers whose people may pass, where not all may.
    pub providers: Arc<[String]>,
    /// What is asked of whoever passes besides.
    pub rules: Rules,
    /// Which bearer tokens are taken: indices among the rules of `bearer::Bearers`.
    pub bearer: Vec<usize>,
    /// Index of the upstream among `server::Settings::upstreams`; none where the app is behind a
    /// front proxy that asks us.
    pub upstream: Option<usize>,
    /// Taken off the front of the path before the app sees it: `/api`, without a final slash.
    pub strip_prefix: Option<String>,
    /// Index of what the upstream needs to trust the request, among the credentials.
    pub credential: Option<usize>,
    /// What becomes of an `Authorization` of the client's then.
    pub client_authorization: ClientAuthorization,
    /// Index of the envelope that opens its pages.
    pub envelope: Option<usize>,
    /// What the app gets of the session's cookie.
    pub session_cookie: SessionCookie,
    /// Whether other sites' pages are kept from changing something.
    pub csrf: Csrf,
    /// For whom the signed assertion is that goes along (its `aud`); none where none does.
    pub assertion: Option<Arc<str>>,
    /// Whether whoever passes by their session has to have a seat.
    pub needs_seat: bool,
}

/// `/exact`, `/one/*/segment`, `/everything/below/**`.
///
/// `*` is one segment, not empty; `**` stands last and is whatever follows, nothing included:
/// `/api/**` is for `/api`, `/api/` and all below. Written decoded: `/café`, not `/caf%C3%A9`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    written: String,
    segments: Vec<Segment>,
}

/// Ordered from the most specific to the least.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Literal(String),
    Any,
    Rest,
}

/// Why a text is no path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// It does not start with a slash.
    #[error("must start with /")]
    NotAbsolute,
    /// `*` beside other characters.
    #[error("* stands for one whole segment: write /files/* or /files/**, not /files/a*")]
    PartialWildcard,
    /// `**` before the end.
    #[error("** may only stand at the end, as in /files/**")]
    RestNotLast,
    /// `//`, `.` or `..`: no request that is served has those.
    #[error("holds an empty or dot segment, which no request that is served can have")]
    NeverServed,
    /// Percent-encoding, `;`, `?`, `#`, `\`, spaces or controls.
    #[error("holds a character that patterns cannot have: write it decoded, without query, parameters and spaces")]
    Character,
}

impl PathPattern {
    /// `/**`.
    pub fn everything() -> Self {
        Self { written: "/**".to_owned(), segments: vec![Segment::Rest] }
    }

    /// Parses a pattern.
    ///
    /// # Errors
    /// [`BadPattern`], by cause.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let path = text.strip_prefix('/').ok_or(BadPattern::NotAbsolute)?;
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '%' | ';' | '?' | '#' | '\\')) {
            return Err(BadPattern::Character);
        }
        let count = path.split('/').count();
        let segment = |(index, text): (usize, &str)| {
            let last = index + 1 == count;
            match text {
                "**" if last => Ok(Segment::Rest),
                "**" => Err(BadPattern::RestNotLast),
                "*" => Ok(Segment::Any),
                "." | ".." => Err(BadPattern::NeverServed),
                "" if !last => Err(BadPattern::NeverServed),
                partial if partial.contains('*') => Err(BadPattern::PartialWildcard),
                literal => Ok(Segment::Literal(literal.to_owned())),
            }
        };
        let segments = path.split('/').enumerate().map(segment).collect::<Result<_, _>>()?;
        Ok(Self { written: text.to_owned(), segments })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether a path in one of its readings is meant.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        for expected in &self.segments {
            match (expected, segments.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Any, Some(segment)) if !segment.is_empty() => {}
                (Segment::Literal(literal), Some(segment)) if literal == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    /// Whether some app would take a path for one that is meant: without regard to the case of
    /// letters (Express, IIS), a final slash (Express, Spring, Flask), dots and spaces at the end
    /// of a segment (Windows) and what follows a decoded `#` or `?` (whoever makes a URL of it again).
    pub(super) fn matches_loosely(&self, path: &str) -> bool {
        let path = path.split(['#', '?']).next().unwrap_or_default();
        let path = path.trim_start_matches('/').trim_end_matches('/');
        let mut segments = path.split('/').filter(|_| !path.is_empty());
        for expected in &self.segments {
            match (expected, segments.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Literal(literal), None) if literal.is_empty() => {}
                (Segment::Any, Some(_)) => {}
                (Segment::Literal(literal), Some(segment)) if loose(literal).eq(loose(segment)) => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    /// What orders patterns that match the same path; smaller is more specific.
    fn specificity(&self) -> impl Iterator<Item = u8> {
        self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Any => 1,
            Segment::Rest => 2,
        })
    }
}

/// A segment as the most lenient app compares it.
fn loose(segment: &str) -> impl Iterator<Item = char> {
    segment.trim_end_matches(['.', ' ']).chars().flat_map(char::to_lowercase)
}

/// All routes, most specific first.
#[derive(Clone, Debug)]
pub struct Table {
    routes: Vec<Route>,
    index: Index,
    /// Of each, whether one before it keeps more out: for most nothing else need be looked at.
    is_guarded: Vec<bool>,
    tells_methods_apart: bool,
}

/// What tells apart whom routes keep out, as far as it can be told quickly.
type Guard<'r> = (Access, &'r [usize], &'r [String], [Vec<&'r Arc<str>>; 3]);

/// Two routes (by index, as given) that would match the same requests with equal right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clash(pub usize, pub usize);

/// What the table says of a request.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// It falls under this route, by its index in the table.
    Route(usize, &'a Route),
    /// No route is for it.
    Nothing,
    /// Its path can be read in two ways that fall under different routes.
    Ambiguous,
}

impl Found<'_> {
    /// Whether both mean the same route, or both that there is none.
    pub fn agrees_with(self, other: Found<'_>) -> bool {
        match (self, other) {
            (Self::Route(one, _), Found::Route(two, _)) => one == two,
            (Self::Nothing, Found::Nothing) => true,
            _ => false,
        }
    }
}

impl Table {
    /// Orders routes from the most specific to the least.
    ///
    /// # Errors
    /// Every pair that is for the same host, path and method.
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<Clash>> {
        let mut clashes = Vec::new();
        let mut alike: HashMap<(Option<&str>, &[Segment]), Vec<usize>> = HashMap::new();
        for (second, route) in routes.iter().enumerate() {
            let earlier = alike.entry((route.host.as_deref(), &route.path.segments)).or_default();
            for &first in earlier.iter() {
                if routes.get(first).is_some_and(|first| route.clashes_with(first)) {
                    clashes.push(Clash(first, second));
                }
            }
            earlier.push(second);
        }
        if !clashes.is_empty() {
            return Err(clashes);
        }
        let mut routes = routes;
        routes.sort_by(|a, b| {
            let host = a.host.is_none().cmp(&b.host.is_none());
            let path = || a.path.specificity().cmp(b.path.specificity());
            let methods = || a.methods.is_empty().cmp(&b.methods.is_empty());
            host.then_with(path).then_with(methods)
        });
        let is_guarded = guarded(&routes);
        let tells_methods_apart = routes.iter().any(|route| !route.methods.is_empty());
        let mut index = Index::default();
        for (at, route) in routes.iter().enumerate() {
            index.add(at, route.host.as_deref(), &route.path);
        }
        Ok(Self { routes, index, is_guarded, tells_methods_apart })
    }

    /// Finds the route of a request, which every reading of its path must fall under.
    ///
    /// A route is given only where no app, however lenient, could take the path for one of another
    /// route that lets fewer pass: whoever protects `/admin` in an otherwise public site, or names
    /// those who may go there, means `/Admin` and `/admin/` too.
    pub fn find(&self, host: &str, method: &Method, path: &RequestPath<'_>) -> Found<'_> {
        let literal = self.position(host, method, path.literal());
        if path.others().iter().any(|other| self.position(host, method, other) != literal) {
            return Found::Ambiguous;
        }
        match literal.and_then(|index| Some((index, self.routes.get(index)?))) {
            Some((index, _)) if path.any(|path| self.is_guarded(index, host, method, path)) => Found::Ambiguous,
            Some((index, route)) => Found::Route(index, route),
            None => Found::Nothing,
        }
    }

    /// Whether some route names its methods.
    pub fn tells_methods_apart(&self) -> bool {
        self.tells_methods_apart
    }

    /// Whether a lenient app would take `path`, which is of the route at `index`, for one of another
    /// that keeps more out; to all of them HEAD is GET. Such a route is more specific, and stands before it.
    fn is_guarded(&self, index: usize, host: &str, method: &Method, path: &str) -> bool {
        self.is_guarded.get(index).copied().unwrap_or(true) && self.guarding(index, host, method, path).is_some()
    }

    /// That other one.
    pub(super) fn guarding(&self, index: usize, host: &str, method: &Method, path: &str) -> Option<usize> {
        let as_get = *method == Method::HEAD;
        let is_for = |route: &Route| route.is_for(host, method) || (as_get && route.is_for(host, &Method::GET));
        let found = self.get(index)?;
        // Any of them: an app may be lenient in one way and not in another.
        let keeps_out = |route: &Route| is_for(route) && route.keeps_out_more_than(found);
        self.index.first_loosely(host, path, &|at| at < index && self.get(at).is_some_and(keeps_out))
    }

    /// The route at `index`.
    pub fn get(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }

    /// All routes in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    pub(super) fn position(&self, host: &str, method: &Method, path: &str) -> Option<usize> {
        self.index.first(host, path, &|at| self.get(at).is_some_and(|route| route.is_for(host, method)))
    }
}

/// Of each route, whether one before it keeps more out. Routes with the same rules are compared once,
/// so that ten thousand of them cost no more than their rules.
fn guarded(routes: &[Route]) -> Vec<bool> {
    /// Routes that keep out the same, by the first of them.
    struct Class<'r> {
        first: &'r Route,
        /// How many of the classes were compared, and whether one of them keeps more out.
        compared: usize,
        is_guarded: bool,
    }
    fn names(rules: &[Rule]) -> Vec<&Arc<str>> {
        rules.iter().map(|rule| &rule.name).collect()
    }
    let mut classes: Vec<Class<'_>> = Vec::new();
    let mut known: HashMap<Guard<'_>, Vec<usize>> = HashMap::new();
    let mut all = Vec::with_capacity(routes.len());
    for route in routes {
        let Route { access, bearer, providers, rules, .. } = route;
        let guard = (
            *access,
            bearer.as_slice(),
            &**providers,
            [&rules.require, &rules.allow, &rules.deny].map(|list| names(list)),
        );
        let alike = known.entry(guard).or_default();
        let same = |class: &&usize| classes.get(**class).is_some_and(|class| class.first.rules == *rules);
        let class = alike.iter().find(same).copied().unwrap_or_else(|| {
            classes.push(Class { first: route, compared: 0, is_guarded: false });
            alike.push(classes.len() - 1);
            classes.len() - 1
        });
        let before = classes.len();
        let Some(Class { compared, is_guarded: false, .. }) = classes.get(class) else {
            all.push(true);
            continue;
        };
        let is_guarded =
            classes.iter().take(before).skip(*compared).any(|other| other.first.keeps_out_more_than(route));
        if let Some(class) = classes.get_mut(class) {
            (class.compared, class.is_guarded) = (before, is_guarded);
        }
        all.push(is_guarded);
    }
    all
}

impl Route {
    /// For every request of a path, with nothing but the rule for it.
    pub fn new(path: PathPattern, access: Access) -> Self {
        Self {
            path,
            host: None,
            methods: Vec::new(),
            access,
            providers: Arc::default(),
            rules: Rules::default(),
            bearer: Vec::new(),
            upstream: None,
            strip_prefix: None,
            credential: None,
            client_authorization: ClientAuthorization::default(),
            envelope: None,
            session_cookie: SessionCookie::default(),
            csrf: Csrf::default(),
            assertion: None,
            needs_seat: false,
        }
    }

    /// How one names it: `GET,POST api.example.fr/v1/**`.
    pub fn label(&self) -> String {
        let methods = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(",");
        let space = if methods.is_empty() { "" } else { " " };
        format!("{methods}{space}{}{}", self.host.as_deref().unwrap_or_default(), self.path.as_str())
    }

    /// Whether people pass who have signed in with this provider, as far as that is concerned.
    pub fn takes_people_of(&self, provider: &str) -> bool {
        self.providers.is_empty() || self.providers.iter().any(|name| name == provider)
    }

    fn is_for(&self, host: &str, method: &Method) -> bool {
        self.host.as_deref().is_none_or(|expected| expected == host)
            && (self.methods.is_empty() || self.methods.contains(method))
    }

    /// The target that the app gets: without the prefix, if one is stripped. `None` where nothing
    /// that an app could take would be left (two slashes in front).
    pub fn target_for_app(&self, target: &str) -> Option<Option<String>> {
        let Some(prefix) = &self.strip_prefix else { return Some(None) };
        // As many segments as the prefix has, for the client may have spelled them encoded.
        let slashes = prefix.bytes().filter(|byte| *byte == b'/').count();
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let rest = path.match_indices('/').nth(slashes).and_then(|(at, _)| path.get(at..)).unwrap_or("/");
        (!rest.starts_with("//")).then(|| Some(format!("{rest}{query}")))
    }

    /// Whether somebody may pass on `other` who may not pass here.
    fn keeps_out_more_than(&self, other: &Self) -> bool {
        self.access != Access::Public
            && (self.access != other.access
                || other.bearer.iter().any(|rule| !self.bearer.contains(rule))
                || (!self.providers.is_empty() && self.providers != other.providers)
                || (!self.rules.is_empty() && self.rules != other.rules))
    }

    fn clashes_with(&self, other: &Self) -> bool {
        let methods = match (self.methods.is_empty(), other.methods.is_empty()) {
            (true, true) => true,
            (false, false) => self.methods.iter().any(|method| other.methods.contains(method)),
            // Named methods win over any method.
            _ => false,
        };
        self.host == other.host && self.path.segments == other.path.segments && methods
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::rules::{Condition, Listed, Subject, Test};
    use proptest::prelude::*;

    fn route(text: &str) -> Route {
        // "GET,POST host/path", each part but the path optional
        let (methods, rest) = text.split_once(' ').unwrap_or(("", text));
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        Route {
            host: (!host.is_empty()).then(|| host.to_owned()),
            methods: methods.split(',').filter(|m| !m.is_empty()).map(|m| m.parse().unwrap()).collect(),
            ..Route::new(PathPattern::parse(path).unwrap(), Access::SignedIn)
        }
    }

    fn found(routes: &[&str], method: &str, host: &str, path: &str) -> String {
        let table = Table::new(routes.iter().map(|text| route(text)).collect()).unwrap();
        match table.find(host, &method.parse().unwrap(), &RequestPath::parse(path).unwrap()) {
            Found::Route(_, route) => route.path.as_str().to_owned(),
            Found::Nothing => "nothing".into(),
            Found::Ambiguous => "ambiguous".into(),
        }
    }

    #[test]
    fn patterns_match_whole_segments() {
        let cases = [
            ("/", "/", true),
            ("/", "/a", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a", "/ab", false),
            ("/a", "/A", false),
            ("/a/", "/a/", true),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", false),
            ("/a/*", "/a/b/c", false),
            ("/*/b", "/a/b", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/**", "/", true),
            ("/**", "/x/y", true),
            ("/café", "/café", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(PathPattern::parse(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_their_cause() {
        use BadPattern::{Character, NeverServed, NotAbsolute, PartialWildcard, RestNotLast};
        let cases = [
            ("a", NotAbsolute),
            ("", NotAbsolute),
            ("/a*", PartialWildcard),
            ("/**/a", RestNotLast),
            ("/a//b", NeverServed),
            ("//", NeverServed),
            ("/a/../b", NeverServed),
            ("/a%20b", Character),
            ("/a?b", Character),
            ("/a#b", Character),
            ("/a;b", Character),
            ("/a b", Character),
        ];
        for (pattern, cause) in cases {
            assert_eq!(PathPattern::parse(pattern), Err(cause), "{pattern}");
        }
    }

    #[test]
    fn the_most_specific_route_wins_in_whatever_order_they_are_written() {
        let mut routes =
            ["/**", "/a/**", "/a/*/c", "/a/b/**", "/a/b/c", "GET /a/b/c", "app.example/**", "app.example/a"];
        for _ in 0..routes.len() {
            routes.rotate_left(1);
            let cases = [
                ("GET", "x", "/z", "/**"),
                ("GET", "x", "/a/z", "/a/**"),
                ("GET", "x", "/a/z/c", "/a/*/c"),
                ("GET", "x", "/a/b/z", "/a/b/**"),
                ("PUT", "x", "/a/b/c", "/a/b/c"),
                ("GET", "app.example", "/a", "/a"),
                ("GET", "app.example", "/a/b/c", "/**"),
            ];
            for (method, host, path, expected) in cases {
                assert_eq!(found(&routes, method, host, path), expected, "{method} {host} {path}");
            }
        }
    }

    #[test]
    fn a_method_that_is_not_named_falls_through_to_a_less_specific_route() {
        let routes = ["GET /a", "/**"];
        assert_eq!(found(&routes, "GET", "x", "/a"), "/a");
        assert_eq!(found(&routes, "POST", "x", "/a"), "/**");
        assert_eq!(found(&["GET /a"], "POST", "x", "/a"), "nothing");
    }

    #[test]
    fn a_path_that_apps_could_read_as_another_routes_is_ambiguous() {
        let routes = ["/public/**", "/admin/**", "/api/**", "/hero"];
        let cases = [
            ("/api/v4/group%2Fproject", "/api/**"),
            ("/api//x", "/api/**"),
            ("/api/hero;id=1", "/api/**"),
            ("/public%2Fx", "ambiguous"),
            ("/;/admin/x", "ambiguous"),
            ("/admin;x/y", "ambiguous"),
            ("/hero;id=1", "ambiguous"),
            ("/nowhere//x", "nothing"),
        ];
        for (path, expected) in cases {
            assert_eq!(found(&routes, "GET", "x", path), expected, "{path}");
        }
    }

    #[test]
    fn each_trick_alone_and_all_together_are_ambiguous_where_one_app_would_be_led_elsewhere() {
        let routes = ["/**", "/a/c"];
        for path in ["/a/c;x", "/a%2Fc", "/a//c", "/a%5Cc", "/a;x%2Fb/c", "/a;%2F%2F/c", "/a%3Bx//c", "/a%2F;x/c"] {
            assert_eq!(found(&routes, "GET", "x", path), "ambiguous", "{path}");
        }
    }

    #[test]
    fn a_public_route_is_given_only_where_no_lenient_app_sees_a_guarded_path() {
        let public = |text: &str| Route { access: Access::Public, ..route(text) };
        let table = Table::new(vec![
            public("/**"),
            route("/admin"),
            route("/Kiosk/**"),
            route("/a/*/secret"),
            route("/slash/"),
            public("/admin/logo"),
            route("/files/**"),
            public("/files/readme"),
        ])
        .unwrap();
        let found = |path: &str| match table.find("x", &Method::GET, &RequestPath::parse(path).unwrap()) {
            Found::Route(_, route) => route.path.as_str().to_owned(),
            Found::Nothing => "nothing".into(),
            Found::Ambiguous => "ambiguous".into(),
        };
        for path in [
            "/Admin",
            "/ADMIN/",
            "/admin/",
            "/admin.",
            "/admin%20",
            "/admin.%20.",
            "/admin%23x/y",
            "/admin/%3Fx",
            "/kiosk",
            "/KIOSK/x",
            // The Kelvin sign, whose lower case is an ordinary k.
            "/%E2%84%AAiosk/x",
            "/a/b/Secret",
            "/a/b/secret/",
            "/slash",
            "/Slash",
            // An app that is lenient about the first part alone sees what is guarded.
            "/FILES/README",
            "/Files/Readme",
        ] {
            assert_eq!(found(path), "ambiguous", "{path}");
        }
        let plain = [
            ("/", "/**"),
            ("/x", "/**"),
            ("/admins", "/**"),
            ("/admin/logo", "/admin/logo"),
            ("/admin", "/admin"),
            ("/a/b/c", "/**"),
            ("/slash/", "/slash/"),
            ("/files/readme", "/files/readme"),
            ("/files/README", "/files/**"),
        ];
        for (path, route) in plain {
            assert_eq!(found(path), route, "{path}");
        }
    }

    #[test]
    fn a_route_with_other_rules_is_given_only_where_no_lenient_app_sees_one_that_asks_more() {
        let asking = |text: &str, who: &str| {
            let condition =
                Condition::Is(Subject::Claim("roles".to_owned()), Test::OneOf(Listed::here([who.to_owned()].into())));
            let require = vec![Rule { name: who.into(), condition, who: None }];
            Route { rules: Rules { require, ..Rules::default() }, ..route(text) }
        };
        let by = |text: &str, access, bearer: &[usize]| Route { bearer: bearer.to_vec(), access, ..route(text) };
        let table = Table::new(vec![
            asking("/**", "agents"),
            asking("/admin/**", "chiefs"),
            asking("/agents/**", "agents"),
            route("/open/**"),
            by("/public/**", Access::Public, &[]),
            by("/api/**", Access::Bearer, &[1, 2]),
            by("/api/more/**", Access::Bearer, &[1]),
            by("/api/less/**", Access::Bearer, &[1, 2, 3]),
        ])
        .unwrap();
        for (path, expected) in [
            ("/admin/x", "/admin/**"),
            ("/Admin/x", "ambiguous"),
            ("/admin.", "ambiguous"),
            ("/%61dmin%20/x", "ambiguous"),
            ("/administration", "/**"),
            // The same rules, or fewer: what was found keeps out enough.
            ("/AGENTS/x", "/**"),
            ("/Open/x", "/**"),
            ("/Public/x", "/**"),
            // What is for programs is not for people, nor for other programs.
            ("/API/x", "ambiguous"),
            ("/api/More/x", "ambiguous"),
            ("/api/Less/x", "/api/**"),
        ] {
            let found = match table.find("x", &Method::GET, &RequestPath::parse(path).unwrap()) {
                Found::Route(_, route) => route.path.as_str(),
                Found::Nothing => "nothing",
                Found::Ambiguous => "ambiguous",
            };
            assert_eq!(found, expected, "{path}");
        }
        let table = Table::new(vec![asking("/**", "agents"), asking("GET,POST /admin/**", "chiefs")]).unwrap();
        for (method, expected) in [(Method::GET, true), (Method::HEAD, false), (Method::PUT, true)] {
            let found = table.find("x", &method, &RequestPath::parse("/admin/x").unwrap());
            assert_eq!(matches!(found, Found::Route(..)), expected, "{method}");
        }
    }

    /// The table as it would be without an index: through all routes in their order.
    fn by_search<'t>(table: &'t Table, host: &str, method: &Method, path: &RequestPath<'_>) -> Found<'t> {
        let position =
            |path: &str| table.routes.iter().position(|route| route.is_for(host, method) && route.path.matches(path));
        let literal = position(path.literal());
        if path.others().iter().any(|other| position(other) != literal) {
            return Found::Ambiguous;
        }
        let Some((index, found)) = literal.and_then(|index| Some((index, table.routes.get(index)?))) else {
            return Found::Nothing;
        };
        let as_get = *method == Method::HEAD;
        let is_guarded = |path: &str| {
            let mut before = table.routes.iter().take(index);
            let meant = before.find(|route| {
                (route.is_for(host, method) || (as_get && route.is_for(host, &Method::GET)))
                    && route.path.matches_loosely(path)
                    && route.keeps_out_more_than(found)
            });
            meant.is_some()
        };
        if path.any(is_guarded) { Found::Ambiguous } else { Found::Route(index, found) }
    }

    fn table_strategy() -> impl Strategy<Value = Option<Table>> {
        let segment = || proptest::sample::select(vec!["a", "A", "b", "b.", "...", "*", "é", "É"]);
        let end = proptest::sample::select(vec!["", "/", "/**", "/*"]);
        let path = (proptest::collection::vec(segment(), 0..3), end).prop_map(|(segments, end)| {
            let path: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
            if path.is_empty() && end.is_empty() { "/".to_owned() } else { path + end }
        });
        let who = proptest::sample::select(vec!["", "x", "y"]);
        let access = proptest::sample::select(vec![Access::Public, Access::SignedIn, Access::Bearer]);
        let host = proptest::sample::select(vec!["", "", "one.example", "two.example"]);
        let methods = proptest::sample::select(vec!["", "", "GET ", "HEAD,POST "]);
        let one = (host, methods, path, who, access).prop_map(|(host, methods, path, who, access)| {
            let condition = Condition::Is(Subject::Email, Test::OneOf(Listed::here([who.to_owned()].into())));
            let rule = Rule { name: who.into(), condition, who: None };
            let require = if who.is_empty() { Vec::new() } else { vec![rule] };
            let rules = Rules { require, ..Rules::default() };
            Route { access, rules, ..route(&format!("{methods}{host}{path}")) }
        });
        proptest::collection::vec(one, 1..12).prop_map(|routes| {
            // Of those for the same requests, the first.
            let mut apart: Vec<Route> = Vec::new();
            for route in routes {
                if !apart.iter().any(|other| route.clashes_with(other)) {
                    apart.push(route);
                }
            }
            Table::new(apart).ok()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_index_finds_what_a_search_finds(
            table in table_strategy(),
            host in proptest::sample::select(vec!["one.example", "two.example", "three.example"]),
            method in proptest::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT]),
            path in "(/(a|A|b|b\\.|c|%2E%2E%2E|%C3%A9|%C3%89|a;x|b%2Fa|%23|)){1,4}",
        ) {
            let table = table.unwrap();
            let Ok(path) = RequestPath::parse(&path) else { return Ok(()) };
            let (found, searched) = (table.find(host, &method, &path), by_search(&table, host, &method, &path));
            let same = match (found, searched) {
                (Found::Route(one, _), Found::Route(two, _)) => one == two,
                (Found::Nothing, Found::Nothing) | (Found::Ambiguous, Found::Ambiguous) => true,
                _ => false,
            };
            prop_assert!(same, "{:?} {:?}", found, searched);
            for (index, route) in table.routes.iter().enumerate() {
                let guarded = table.routes.iter().take(index).any(|before| before.keeps_out_more_than(route));
                prop_assert_eq!(table.is_guarded[index], guarded);
            }
        }
    }

    #[test]
    fn ten_thousand_routes_are_a_table_at_once() {
        let routes = (0..10_000).map(|number| route(&format!("/teams/{number}/**"))).collect();
        let table = Table::new(routes).unwrap();
        let path = RequestPath::parse("/teams/9999/x").unwrap();
        assert!(
            matches!(table.find("x", &Method::GET, &path), Found::Route(_, route) if route.path.as_str() == "/teams/9999/**")
        );
    }

    #[test]
    fn two_routes_for_the_same_requests_clash() {
        let clash = |a: &str, b: &str| Table::new(vec![route(a), route(b)]).err();
        let both = Some(vec![Clash(0, 1)]);
        assert_eq!(clash("/a/**", "/a/**"), both);
        assert_eq!(clash("GET,PUT /a", "POST,PUT /a"), both);
        assert_eq!(clash("GET /a", "POST /a"), None);
        assert_eq!(clash("GET /a", "/a"), None);
        assert_eq!(clash("x/a", "/a"), None);
    }

    #[test]
    fn a_prefix_is_stripped_by_segments_and_the_query_stays() {
        let stripped =
            |target| Route { strip_prefix: Some("/api/v1".into()), ..route("/api/v1/**") }.target_for_app(target);
        let rest = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(stripped("/api/v1/x/y?q=/z"), rest("/x/y?q=/z"));
        assert_eq!(stripped("/api/v1"), rest("/"));
        assert_eq!(stripped("/api/v1?q"), rest("/?q"));
        assert_eq!(stripped("/%61pi/v1/x%2Fy"), rest("/x%2Fy"));
        assert_eq!(stripped("/api/v1//evil.example"), None);
        assert_eq!(route("/x").target_for_app("/x"), Some(None));
    }
}
