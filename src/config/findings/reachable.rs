//! Which requests really fall under a route: routes for none, and public ones for more than they seem.
//!
//! Asks the table itself, with a few requests that the route's pattern is for.

use super::{Code, Found, Linted, METHODS, UNSAFE, examples, is_protected, takes_changes};
use crate::config::problem::KeyPath;
use crate::gate::route::{self, Access, Route};
use crate::web::path::RequestPath;
use http::Method;

/// A host that no route names.
const ANOTHER_HOST: &str = "another-host.invalid";

/// Segments by which one expects an interface that changes things.
const OF_INTERFACES: [&str; 12] =
    ["api", "v1", "v2", "v3", "graphql", "rest", "rpc", "admin", "internal", "manage", "actuator", "debug"];

/// Segments by which one expects one probe.
const PROBES: [&str; 10] =
    ["health", "healthz", "ready", "readyz", "live", "livez", "ping", "status", "metrics", "_stcore"];

pub(super) fn lint(linted: &Linted<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (at, route) in linted.routes {
        found.extend(never_matches(linted, at, route));
        if is_protected(route) {
            found.extend(by_host_alone(linted, at, route));
            found.extend(by_method_alone(linted, at, route));
        } else {
            found.extend(wider_than_it_looks(at, route));
        }
    }
    found
}

fn find<'l>(linted: &'l Linted<'_>, host: &str, method: &Method, path: &str) -> Option<route::Found<'l>> {
    Some(linted.table.find(host, method, &RequestPath::parse(path).ok()?))
}

/// A host at which a route's requests come.
fn host_of<'l>(linted: &'l Linted<'_>, route: &'l Route) -> &'l str {
    route.host.as_deref().unwrap_or(linted.public_url.host())
}

fn never_matches(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    let path = route.path.as_str();
    if let Some((_, endpoint)) = linted.aliases.iter().find(|(alias, _)| alias == path) {
        let why = format!("is for no request: {path} is Vestibule's own (aliases.{endpoint}); remove one of them");
        return Some(Found::new(Code::RouteNeverMatches, at.clone(), why));
    }
    let methods = if route.methods.is_empty() { METHODS.to_vec() } else { route.methods.clone() };
    let hosts = [host_of(linted, route), route.host.as_deref().unwrap_or(ANOTHER_HOST)];
    let mut instead = None;
    for host in hosts {
        for example in examples(&route.path) {
            for method in &methods {
                match find(linted, host, method, &example) {
                    Some(route::Found::Route(_, found)) if found.label() == route.label() => return None,
                    Some(route::Found::Route(_, other)) => instead = Some(other.label()),
                    Some(route::Found::Ambiguous) if instead.is_none() => instead = Some(String::new()),
                    _ => {}
                }
            }
        }
    }
    let why = match instead?.as_str() {
        "" => "is for no request: each is answered 400, for lenient apps take its path for that of a route which keeps more out (docs/rules.md); write both alike".to_owned(),
        other => format!("is for no request: other routes, such as {other}, take each of them; remove it"),
    };
    Some(Found::new(Code::RouteNeverMatches, at.clone(), why))
}

/// A public route of the same app that takes what a protected one would, from a client that says
/// another host.
fn by_host_alone(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    let host = route.host.as_deref()?;
    let method = route.methods.first().cloned().unwrap_or(Method::GET);
    let example = examples(&route.path).into_iter().next()?;
    let route::Found::Route(_, other) = find(linted, ANOTHER_HOST, &method, &example)? else { return None };
    (other.access == Access::Public && other.upstream == route.upstream).then(|| {
        let why = format!(
            "whoever sends another Host than {host} gets to the same app by the public route {}: {method} {example} with Host: {ANOTHER_HOST}; leave host out, or name it in the public route too",
            other.label()
        );
        Found::new(Code::ProtectedByHostAlone, at.key("host"), why)
    })
}

/// A public route of the same app that takes the methods which a protected one does not name.
fn by_method_alone(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    if route.methods.is_empty() {
        return None;
    }
    let example = examples(&route.path).into_iter().next()?;
    let left = UNSAFE.iter().filter(|method| !route.methods.contains(method));
    let open = left.filter_map(|method| match find(linted, host_of(linted, route), method, &example)? {
        route::Found::Route(_, other) if other.access == Access::Public && other.upstream == route.upstream => {
            Some((method, other.label()))
        }
        _ => None,
    });
    let (method, other) = open.into_iter().next()?;
    let why = format!(
        "methods that are not named here are everybody's, by the public route {other}: {method} {example}; leave methods out, or name methods in the public route"
    );
    Some(Found::new(Code::ProtectedByMethodAlone, at.key("methods"), why))
}

fn wider_than_it_looks(at: &KeyPath, route: &Route) -> Option<Found> {
    let path = route.path.as_str();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (last, before) = segments.split_last()?;
    if !matches!(*last, "*" | "**") {
        return None;
    }
    let above = before.join("/");
    if before.last().is_some_and(|segment| PROBES.contains(&segment.to_ascii_lowercase().as_str())) {
        let why = format!(
            "is public for more than a probe: /{above}/env or /{above}/x as well; write the one path that is asked for"
        );
        return Some(Found::new(Code::PublicProbe, at.key("path"), why));
    }
    let is_interface = |segment: &&str| OF_INTERFACES.contains(&segment.to_ascii_lowercase().as_str());
    if *last == "**" && takes_changes(route) && before.iter().any(is_interface) {
        let method = route.methods.iter().find(|method| UNSAFE.contains(method)).unwrap_or(&Method::DELETE);
        let why = format!(
            "everybody may change things, such as by {method} /{above}/x or {method} /{above}/admin; write methods: [GET], or the paths that are meant"
        );
        return Some(Found::new(Code::PublicApi, at.key("path"), why));
    }
    None
}
