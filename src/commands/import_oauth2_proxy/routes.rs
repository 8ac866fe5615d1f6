//! The part about the apps behind, and which requests lead to which of them.
//!
//! Called by `translate`. oauth2-proxy without an app behind it answers a proxy in front; the routes
//! then say what that one may let through. A path that oauth2-proxy opens by a regular expression is
//! open here only where the expression is a path (`regex_paths`). What cannot be translated is closed.

use super::alpha::Upstream;
use super::headers::Told;
use super::regex_paths::paths;
use super::settings::{span, written};
use super::translate::Import;
use super::who_enters::{POLICY, WhoEnters};
use crate::commands::import::{list, scalar};
use std::fmt::Write as _;
use url::Url;

/// What is behind a path that no app answers any more, so that it does not fall to the app of another
/// path; and where that is: nothing answers there.
const NOWHERE: (&str, &str) = ("nowhere", "http://127.0.0.1:9");

/// An app behind.
pub(super) struct App {
    name: String,
    from: String,
    /// None where only somebody else knows.
    url: Option<String>,
    timeout: Option<String>,
}

/// Everything that leads somewhere.
#[derive(Default)]
pub(super) struct Plan {
    apps: Vec<App>,
    routes: Vec<Route>,
    /// Whether there is no app behind, and a proxy in front asks.
    pub(super) is_forward_auth: bool,
    /// What the paths begin with that lead to an app no more.
    lost: Vec<String>,
}

#[derive(Clone)]
struct Route {
    path: String,
    methods: Vec<String>,
    is_public: bool,
    /// None where the app is behind the proxy in front.
    app: Option<usize>,
    strip_prefix: Option<String>,
    /// What asks for it.
    from: String,
}

impl Import {
    /// The apps and the routes to them.
    pub(super) fn plan(&mut self) -> Plan {
        let mut plan = Plan::default();
        for upstream in self.upstreams() {
            self.upstream(upstream, &mut plan);
        }
        if plan.routes.is_empty() {
            plan.without_app("/**", None);
        }
        plan.is_forward_auth = !plan.apps.iter().any(|app| !app.from.is_empty());
        self.open(&mut plan);
        if self.settings.switch("skip-auth-preflight") {
            let closed: Vec<Route> =
                plan.routes.iter().filter(|route| !route.is_public && route.methods.is_empty()).cloned().collect();
            for route in closed {
                let (methods, from) = (vec!["OPTIONS".to_owned()], "skip-auth-preflight".to_owned());
                plan.routes.push(Route { methods, is_public: true, from, ..route });
            }
        }
        plan
    }

    /// Upstreams as the alpha configuration has them, or as flags do.
    fn upstreams(&mut self) -> Vec<Upstream> {
        let timeout = self.settings.span("upstream-timeout").map(written);
        if let Some(alpha) = self.settings.alpha.as_mut() {
            return std::mem::take(&mut alpha.upstreams);
        }
        let texts = self.settings.list("upstream");
        let upstreams = texts.into_iter().map(|text| {
            let uri = text.value.clone();
            let url = uri.as_deref().and_then(|uri| Url::parse(uri).ok());
            let path = match &url {
                Some(url) if url.scheme() == "unix" || url.scheme() == "static" || url.path().is_empty() => "/",
                Some(url) if url.scheme() == "file" => url.fragment().unwrap_or(url.path()),
                Some(url) => url.path(),
                None => "/",
            };
            let of_static = url.as_ref().filter(|url| url.scheme() == "static");
            let answers = of_static.map(|url| url.host_str().and_then(|code| code.parse().ok()).unwrap_or(200));
            let (path, from) = (path.to_owned(), text.name);
            Upstream { from, id: None, path, rewrite: None, uri, answers, timeout: timeout.clone() }
        });
        upstreams.collect()
    }

    fn upstream(&mut self, upstream: Upstream, plan: &mut Plan) {
        let Upstream { from, id, path, rewrite, uri, answers, timeout } = upstream;
        let from = from.as_str();
        // Where it is for nothing: without a path of its own, its path is that of the device.
        let is_nothing = uri.as_deref() == Some("file:///dev/null");
        let is_consent = path == "/" && rewrite.is_none() && answers.is_some_and(|code| (200..300).contains(&code));
        if is_nothing || is_consent {
            self.not_needed(from, "is no app: the proxy in front asks /oauth2/auth");
            plan.without_app("/**", None);
            return;
        }
        if answers.is_some() || uri.as_deref().is_some_and(|uri| uri.starts_with("file:")) {
            let what = if answers.is_some() {
                "no fixed answer is given here"
            } else {
                "files are not served here: a file server on loopback does it"
            };
            self.without(from, format!("{what}; so that no other app gets its requests, they lead nowhere"));
            if let Ok((path, _)) = pattern(&path, rewrite.as_deref()) {
                plan.without_app(&path, Some(NOWHERE));
            }
            plan.lost.push(fixed_part(&path));
            return;
        }
        let url = match uri.as_deref() {
            None => None,
            Some(uri) => match address(uri) {
                Ok(address) => Some(address),
                Err(says) => {
                    self.settings.mistakes.push(format!("{from}: {says}"));
                    return;
                }
            },
        };
        let (path, strip_prefix) = match pattern(&path, rewrite.as_deref()) {
            Ok(pattern) => pattern,
            Err(says) => {
                self.without(from, format!("{says}; its requests fall to the route above it, if there is one"));
                self.note("", from, "is not taken over, and requests for it may reach another app: see to it");
                plan.lost.push(fixed_part(&path));
                return;
            }
        };
        if plan.routes.iter().any(|route| route.path == path) {
            self.settings.mistakes.push(format!("{from}: is for the same paths as another upstream"));
            return;
        }
        let timeout = timeout.and_then(|timeout| span(&timeout)).map(written).filter(|_| url.is_some());
        let known = plan.apps.iter().position(|app| url.is_some() && app.url == url && app.timeout == timeout);
        let app = known.unwrap_or_else(|| {
            let name = app_name(id.as_deref(), &path, &plan.apps);
            plan.apps.push(App { name, from: from.to_owned(), url, timeout });
            plan.apps.len() - 1
        });
        let (methods, from) = (Vec::new(), String::new());
        plan.routes.push(Route { path, methods, is_public: false, app: Some(app), strip_prefix, from });
    }

    /// That a proxy in front asks, and which.
    pub(super) fn forward_auth(&mut self, plan: &Plan) {
        if !plan.routes.iter().any(|route| route.app.is_none()) {
            if self.front_proxy.is_some() {
                self.note("", "--front-proxy", "has no effect: every request goes to an app behind");
            }
            return;
        }
        self.line("\n# oauth2-proxy has no app behind it: the proxy in front asks /oauth2/auth.");
        if let Some(front_proxy) = &self.front_proxy {
            let _ = writeln!(self.out, "forward_auth: {{from: {front_proxy}}}");
        } else {
            self.line("# Write which one: {from: nginx}, or traefik, caddy, haproxy or envoy. Another name than the right one");
            self.line("# would let clients say which request is asked about.\nforward_auth: {}");
            let says = "write which proxy asks /oauth2/auth; with --front-proxy NAME this command does";
            self.note("", "forward_auth.from", says);
        }
    }

    /// Opens the paths that oauth2-proxy lets everybody through to.
    fn open(&mut self, plan: &mut Plan) {
        let prefix = self.settings.text("proxy-prefix").and_then(|text| text.value);
        let ours = format!("{}/**", prefix.as_deref().unwrap_or("/oauth2").trim_end_matches('/'));
        for (flag, has_method) in [("skip-auth-regex", false), ("skip-auth-route", true)] {
            for text in self.settings.list(flag) {
                let Some(value) = text.value else {
                    self.without(&text.name, "depends on what is not known here; write a route for it");
                    continue;
                };
                let shown = format!("{} {value}", text.name);
                if has_method && value.contains("!=") {
                    self.refuse(
                        &shown,
                        "opens everything but a path to everybody; write public routes for what is meant",
                    );
                    continue;
                }
                let (method, expression) = match value.split_once('=').filter(|_| has_method) {
                    Some((method, expression)) => (method.to_ascii_uppercase(), expression),
                    None => (String::new(), value.as_str()),
                };
                if !method.chars().all(|c| c.is_ascii_alphabetic()) {
                    self.refuse(&shown, "has something else than a method before its =");
                    continue;
                }
                let methods: Vec<String> = Some(method).filter(|method| !method.is_empty()).into_iter().collect();
                match paths(expression) {
                    Err(refusal) => self.refuse(&shown, refusal.says()),
                    Ok(paths) => {
                        let from = match paths.remark {
                            Some(remark) => format!("{shown}: {remark}"),
                            None => shown.clone(),
                        };
                        for pattern in &paths.patterns {
                            if covers(&ours, pattern) {
                                self.not_needed(&shown, "is Vestibule's own path");
                                continue;
                            }
                            if !plan.open(pattern, &methods, &from) {
                                self.without(&shown, format!("no app that could be taken over is behind {pattern}"));
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn upstreams_and_routes(&mut self, plan: &Plan, told: &Told, enters: &WhoEnters) {
        let restrictions = &enters.restrictions;
        if !plan.apps.is_empty() {
            self.line("\nupstreams:");
        }
        for app in &plan.apps {
            if app.name == NOWHERE.0 {
                self.line("  # Nothing answers there: what is not taken over must not fall to another app.");
            }
            if !app.from.is_empty() {
                let by_flag = app.timeout.is_some() && app.from == "upstream";
                let timeout = if by_flag { " and upstream-timeout" } else { "" };
                let _ = writeln!(self.out, "  # From {}{timeout}.", app.from);
            }
            match (&app.url, &app.timeout) {
                (Some(url), None) => {
                    let _ = writeln!(self.out, "  {}: {{url: {}}}", app.name, in_braces(url));
                }
                (Some(url), Some(timeout)) => {
                    let _ = writeln!(
                        self.out,
                        "  {}: {{url: {}, timeouts: {{read: {timeout}}}}}",
                        app.name,
                        in_braces(url)
                    );
                }
                (None, _) => {
                    let _ = writeln!(self.out, "  # {}: {{url: }}", app.name);
                    self.note("", &app.from, "is not known here; write where the app is into upstreams");
                }
            }
        }
        self.policies(enters);
        self.line("");
        let closed = if restrictions.is_empty() { "" } else { "# " };
        if !restrictions.is_empty() {
            let names: Vec<&str> = restrictions.iter().map(|restriction| restriction.name.as_str()).collect();
            self.line("# CLOSED. oauth2-proxy let in only some of those who can sign in, and what follows has");
            self.line("# no rule for that: more people would enter. See at the end:");
            self.wrapped(&format!("- {}", names.join(", ")));
            if plan.is_forward_auth {
                self.line("# The proxy in front can ask it: /oauth2/auth?allowed_groups=…&allowed_email_domains=…&allowed_emails=…");
            }
            self.line(
                "# If the provider or the app keeps the others out, take the # away from the lines below. Until then",
            );
            self.line("# `vestibule check` says that the routes are missing, and nothing is served.");
            for restriction in restrictions {
                let says = format!("{}: nobody is let in until you have decided who may", restriction.says);
                self.note("", &restriction.name, &says);
            }
        }
        let mut routes: Vec<&Route> = plan.routes.iter().collect();
        // What is open to everybody first, then the most specific.
        routes.sort_by_key(|route| if route.is_public { 0 } else { usize::MAX - route.path.len() });
        let _ = writeln!(self.out, "{closed}routes:");
        let mut said = "";
        for route in routes {
            if !route.from.is_empty() && said != route.from {
                let _ = writeln!(self.out, "{closed}  # From {}.", route.from);
                said = &route.from;
            }
            let mut keys = vec![format!("path: {}", in_braces(&route.path))];
            if route.is_public {
                keys.push("access: public".to_owned());
            }
            if !route.methods.is_empty() {
                keys.push(format!("methods: {}", list(route.methods.iter().map(String::as_str))));
            }
            let app = route.app.and_then(|app| plan.apps.get(app));
            keys.extend(app.map(|app| format!("upstream: {}", app.name)));
            keys.extend(route.strip_prefix.as_ref().map(|prefix| format!("strip_prefix: {}", scalar(prefix))));
            keys.extend((!route.is_public && !enters.policy.is_empty()).then(|| format!("require: {POLICY}")));
            keys.extend(told.credential.filter(|_| !route.is_public).map(|name| format!("credentials: {name}")));
            let _ = writeln!(self.out, "{closed}  - {{{}}}", keys.join(", "));
        }
    }
}

impl Plan {
    /// A path that leads to no app, or to one that is behind the proxy in front.
    fn without_app(&mut self, path: &str, nowhere: Option<(&str, &str)>) {
        let app = nowhere.map(|(name, url)| {
            let known = self.apps.iter().position(|app| app.name == name);
            known.unwrap_or_else(|| {
                let (name, url) = (name.to_owned(), Some(url.to_owned()));
                self.apps.push(App { name, from: String::new(), url, timeout: None });
                self.apps.len() - 1
            })
        });
        if !self.routes.iter().any(|route| route.path == path) {
            let (path, methods) = (path.to_owned(), Vec::new());
            self.routes.push(Route { path, methods, is_public: false, app, strip_prefix: None, from: String::new() });
        }
    }

    /// Opens a path; whether there is an app that answers it.
    fn open(&mut self, pattern: &str, methods: &[String], from: &str) -> bool {
        let fixed = fixed_part(pattern);
        // Opening it might open the same path of another app.
        if self.lost.iter().any(|lost| lost.starts_with(&fixed) || fixed.starts_with(lost)) {
            return false;
        }
        let covering = self.routes.iter().filter(|route| !route.is_public && covers(&route.path, pattern));
        let here = covering.max_by_key(|route| route.path.len()).cloned();
        let below = self
            .routes
            .iter()
            .filter(|route| !route.is_public && route.path != pattern && covers(pattern, &route.path));
        let below: Vec<Route> = below.cloned().collect();
        let answered = here.is_some() || !below.is_empty();
        let here = here.map(|route| Route { path: pattern.to_owned(), ..route });
        for route in here.into_iter().chain(below) {
            let strip_prefix = route.strip_prefix.filter(|prefix| covers(&format!("{prefix}/**"), &route.path));
            self.add(Route {
                methods: methods.to_vec(),
                is_public: true,
                from: from.to_owned(),
                strip_prefix,
                ..route
            });
        }
        answered
    }

    /// Adds a public route, or its methods to the one that is there.
    fn add(&mut self, route: Route) {
        if route.methods.is_empty() {
            // It takes the place of all that there is for the path.
            self.routes.retain(|other| other.path != route.path);
            self.routes.push(route);
            return;
        }
        match self.routes.iter_mut().find(|other| other.is_public && other.path == route.path) {
            Some(other) if other.methods.is_empty() => {}
            Some(other) => {
                for method in route.methods {
                    if !other.methods.contains(&method) {
                        other.methods.push(method);
                    }
                }
                if !other.from.contains(&route.from) {
                    other.from = format!("{}, {}", other.from, route.from);
                }
            }
            None => self.routes.push(route),
        }
    }
}

/// What every path begins with that a pattern or a regular expression is for.
fn fixed_part(path: &str) -> String {
    let path = path.strip_prefix('^').unwrap_or(path);
    let path = path.strip_suffix("/**").unwrap_or(path);
    path.chars().take_while(|c| c.is_ascii_alphanumeric() || "/-_~".contains(*c)).collect()
}

/// Whether one pattern is for every path that another one is for.
fn covers(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix("/**") {
        None => pattern == other,
        Some(prefix) => other.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

/// The path pattern of an upstream, and what is taken off its front.
///
/// # Errors
/// Why there is none.
fn pattern(path: &str, rewrite: Option<&str>) -> Result<(String, Option<String>), &'static str> {
    let Some(target) = rewrite else {
        return Ok(match path.strip_suffix('/') {
            Some(prefix) => (format!("{prefix}/**"), None),
            None => (path.to_owned(), None),
        });
    };
    let says = "rewrites the path by a regular expression, and only a prefix can be taken off (`strip_prefix`)";
    let path = path.strip_prefix('^').unwrap_or(path);
    let path = path.strip_suffix('$').unwrap_or(path);
    let prefix = path.strip_suffix("/(.*)").ok_or(says)?;
    let is_plain = prefix.starts_with('/') && prefix.chars().all(|c| c.is_ascii_alphanumeric() || "/-_~".contains(c));
    if !is_plain && !prefix.is_empty() {
        return Err(says);
    }
    match target.strip_suffix("/$1") {
        Some("") => Ok((format!("{prefix}/**"), Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()))),
        Some(kept) if kept == prefix => Ok((format!("{prefix}/**"), None)),
        _ => Err(says),
    }
}

/// Where an app is, in our form.
///
/// # Errors
/// Why that is not known. The text may hold a password and is not repeated.
fn address(uri: &str) -> Result<String, &'static str> {
    let url = Url::parse(uri).map_err(|_| "is no URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password; remove them");
    }
    match url.scheme() {
        "unix" => Ok(format!("unix:{}", url.path())),
        "http" | "https" => Ok(url.origin().ascii_serialization()),
        _ => Err("must begin with http://, https://, unix:// or file://"),
    }
}

fn app_name(id: Option<&str>, path: &str, apps: &[App]) -> String {
    let plain = |text: &str| -> String {
        let plain: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .collect();
        plain.trim_matches('-').chars().take(40).collect()
    };
    let name = match id.map(&plain).filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => Some(plain(path.trim_end_matches("/**")))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "app".to_owned()),
    };
    // What begins with a letter is read as a text by every YAML reader.
    let name = if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("app-{name}") };
    let taken = |name: &str| apps.iter().any(|app| app.name == name);
    // One more than there are is enough.
    let numbered = (2..=apps.len() + 1).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
}

/// A path or an address as it stands in a mapping on one line.
fn in_braces(text: &str) -> String {
    let is_path = text.starts_with('/') && text.chars().all(|c| c.is_ascii_alphanumeric() || "/*-_.".contains(c));
    if is_path { text.to_owned() } else { scalar(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        for (pattern, other, expected) in [
            ("/**", "/a", true),
            ("/**", "/**", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/b/**", true),
            ("/a/**", "/ab", false),
            ("/a/**", "/**", false),
            ("/a", "/a/b", false),
            ("/a", "/a", true),
        ] {
            assert_eq!(covers(pattern, other), expected, "{pattern} {other}");
        }
    }

    #[test]
    fn a_rewrite_is_a_prefix_that_is_taken_off_or_nothing() {
        for (path, rewrite, expected) in [
            ("/", None, Some(("/**", None))),
            ("/api/", None, Some(("/api/**", None))),
            ("/api", None, Some(("/api", None))),
            ("^/api/(.*)$", Some("/$1"), Some(("/api/**", Some("/api")))),
            ("^/api/(.*)", Some("/api/$1"), Some(("/api/**", None))),
            ("^/(.*)$", Some("/$1"), Some(("/**", None))),
            ("^/api/(.*)$", Some("/v2/$1"), None),
            ("^/[a-z]/(.*)$", Some("/$1"), None),
            ("^/api/(.*)$", Some("/$1?x=y"), None),
        ] {
            let found = pattern(path, rewrite).ok();
            let found = found.as_ref().map(|(path, prefix)| (path.as_str(), prefix.as_deref()));
            assert_eq!(found, expected, "{path} {rewrite:?}");
        }
    }
}
