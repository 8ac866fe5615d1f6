//! Routes: each by itself, and all together.

use super::Resolver;
use super::bearer::Bearers;
use super::credentials::Book;
use super::rules::Policies;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::suggest::did_you_mean;
use crate::config::written::{self, Chosen, RouteAssertion, RouteSeat, Written};
use crate::gate::route::{Access, Clash, PathPattern, Route, Table};
use crate::web::domain;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What routes are judged against.
pub(super) struct Surroundings<'a> {
    pub(super) prefix: Option<&'a Prefix>,
    pub(super) public_url: Option<&'a PublicUrl>,
    pub(super) cookie_domain: Option<&'a str>,
    pub(super) assertion: Option<&'a written::Assertion>,
    /// Whether people need seats.
    pub(super) seats: bool,
}

impl Resolver<'_> {
    pub(super) fn routes(
        &mut self,
        at: &KeyPath,
        written: &Written,
        around: &Surroundings<'_>,
        book: &mut Book,
        bearers: &Bearers,
        policies: &mut Policies,
    ) -> Option<Table> {
        let example = "[{path: /**, upstream: NAME}]";
        let list = self.required(at, written.routes.as_ref(), example)?;
        if list.is_empty() {
            self.fault(at, format!("is empty, so every request would be refused; write {example}"));
        }
        // Sorted, as `server::Settings::upstreams` is.
        let names: Vec<&str> = written.upstreams.iter().flat_map(|named| named.keys()).map(String::as_str).collect();
        // Written once, used by every route to it.
        let of_upstreams: Vec<Option<usize>> = written
            .upstreams
            .iter()
            .flatten()
            .map(|(name, upstream)| {
                let at = KeyPath::root().key("upstreams").key(name).key("credentials");
                self.chosen(&at, upstream.as_ref()?.credentials.as_ref()?, book)
            })
            .collect();
        let mut used = BTreeSet::new();
        let mut routes = Vec::new();
        let mut places = Vec::new();
        for (at, route) in self.items(at, Some(list)) {
            let upstream = if route.upstream.is_none() && written.forward_auth.is_some() {
                self.without_upstream(&at, route, written);
                None
            } else {
                self.upstream_of(&at.key("upstream"), route, &names)
            };
            used.extend(upstream);
            let credential = match &route.credentials {
                Some(Chosen::Named(name)) if name == "none" => None,
                Some(chosen) => self.chosen(&at.key("credentials"), chosen, book),
                None => upstream.and_then(|index| of_upstreams.get(index).copied().flatten()),
            };
            let envelope =
                route.envelope.as_ref().and_then(|envelope| self.envelope(&at.key("envelope"), envelope, book));
            if envelope.is_some() && route.access.unwrap_or_default() == Access::Public {
                self.fault(
                    &at.key("envelope"),
                    "is for people who are signed in, and here whoever is not would be let through with any; remove access: public",
                );
            }
            let has_some = match &route.credentials {
                Some(Chosen::Named(name)) => name != "none",
                Some(Chosen::Here(_)) => true,
                None => upstream.is_some_and(|index| {
                    let upstream = written.upstreams.iter().flatten().nth(index);
                    upstream
                        .and_then(|(_, upstream)| upstream.as_ref())
                        .is_some_and(|written| written.credentials.is_some())
                }),
            };
            let says_something = has_some || written.token_endpoints.is_some();
            if !says_something && !self.is_excused(&at.key("credentials")) && route.client_authorization.is_some() {
                self.fault(
                    &at.key("client_authorization"),
                    "says nothing where the route has no credentials, and there are no token_endpoints; remove it",
                );
            }
            let kind = credential.and_then(|index| book.kind_of(index));
            let bearer = self.route_bearer(&at, route, kind, bearers);
            let rules = self.rules(&at, route, written, policies);
            let providers = self.providers_of_route(&at.key("provider"), route, written);
            let resolved = self.route(&at, route, upstream, around);
            let (Some(resolved), Some(rules), Some(providers)) = (resolved, rules, providers) else { continue };
            let client_authorization = route.client_authorization.unwrap_or_default();
            routes.push(Route { providers, rules, bearer, credential, client_authorization, envelope, ..resolved });
            places.push(at);
        }
        for (index, name) in names.iter().enumerate() {
            if !used.contains(&index) {
                self.idle(&KeyPath::root().key("upstreams").key(name), "no route leads to it");
            }
        }
        self.routes = places.iter().cloned().zip(routes.iter().cloned()).collect();
        match Table::new(routes) {
            Ok(table) => Some(table),
            Err(clashes) => {
                for Clash(first, second) in clashes {
                    if let (Some(first), Some(second)) = (places.get(first), places.get(second)) {
                        self.fault(
                            second,
                            format!(
                                "is for the same requests as {first}; remove one, or tell them apart by host or methods"
                            ),
                        );
                    }
                }
                None
            }
        }
    }

    fn upstream_of(&mut self, at: &KeyPath, route: &written::Route, names: &[&str]) -> Option<usize> {
        let name = self.required_text(at, route.upstream.as_ref(), "the name of one of the upstreams")?;
        let index = names.iter().position(|known| *known == name);
        if index.is_none() && !self.is_excused(&KeyPath::root().key("upstreams")) {
            let hint = did_you_mean(name, names.iter().copied());
            self.fault(at, format!("no upstream is named {name:?}{hint}"));
        }
        index
    }

    fn route(
        &mut self,
        at: &KeyPath,
        written: &written::Route,
        upstream: Option<usize>,
        around: &Surroundings<'_>,
    ) -> Option<Route> {
        let path_at = at.key("path");
        let text = self.required_text(&path_at, written.path.as_ref(), "a path such as /v1/** or /**")?;
        let path = match PathPattern::parse(text) {
            Ok(path) => Some(path),
            Err(bad) => {
                self.fault(&path_at, format!("{text:?}: {bad}"));
                None
            }
        };
        if let Some(prefix) = around.prefix
            && prefix.holds(text)
        {
            self.fault(
                &path_at,
                format!(
                    "{text:?} is below {}, where Vestibule's own pages are; choose another path, or another `prefix`",
                    prefix.as_str()
                ),
            );
        }
        let access = written.access.unwrap_or_default();
        if access == Access::Public && text == "/**" {
            self.found(
                Code::PublicEverything,
                &path_at,
                "everybody may make every request that no other route is for, without signing in",
            );
        }
        if let Some(prefix) = &written.strip_prefix {
            self.strip_prefix(&at.key("strip_prefix"), prefix, text);
        }
        let host = self.host(&at.key("host"), written.host.as_deref(), around);
        let methods = self.methods(&at.key("methods"), written.methods.as_ref());
        Some(Route {
            host,
            methods,
            upstream,
            strip_prefix: written.strip_prefix.clone(),
            session_cookie: written.session_cookie.unwrap_or_default(),
            csrf: written.csrf.unwrap_or_default(),
            assertion: self.asserted_to(&at.key("assertion"), written, around),
            needs_seat: self.needs_seat(&at.key("seat"), written, around),
            ..Route::new(path?, access)
        })
    }

    /// Whether whoever enters by a session needs a seat.
    fn needs_seat(&mut self, at: &KeyPath, written: &written::Route, around: &Surroundings<'_>) -> bool {
        let is_for_people = written.access.unwrap_or_default() == Access::SignedIn;
        match written.seat {
            Some(RouteSeat::Needed) if !around.seats => {
                self.fault(at, "says that a seat is needed, and there are no licences");
            }
            Some(RouteSeat::Needed) if !is_for_people => {
                self.fault(at, "is for routes that people enter by a session alone; remove it, or the access");
            }
            Some(RouteSeat::None) if !around.seats => self.idle(at, "there are no licences"),
            _ => {}
        }
        around.seats && is_for_people && written.seat.unwrap_or_default() == RouteSeat::Needed
    }

    /// For whom the signed assertion of a route is, where it has one.
    fn asserted_to(&mut self, at: &KeyPath, written: &written::Route, around: &Surroundings<'_>) -> Option<Arc<str>> {
        let Some(assertion) = around.assertion else {
            match written.assertion {
                Some(RouteAssertion::On) => {
                    self.fault(at, "says that one goes along, and there is no identity.assertion that says how");
                }
                Some(RouteAssertion::Off) => self.idle(at, "there is no identity.assertion"),
                None => {}
            }
            return None;
        };
        let audience = assertion.audience.as_deref().or(written.upstream.as_deref());
        let audience = audience.or_else(|| around.public_url.map(PublicUrl::host));
        audience.filter(|_| written.assertion.unwrap_or_default() == RouteAssertion::On).map(Arc::from)
    }

    /// A route whose app is behind the front proxy.
    fn without_upstream(&mut self, at: &KeyPath, written: &written::Route, all: &Written) {
        let alone = all
            .listeners
            .as_ref()
            .is_some_and(|listeners| listeners.forward_auth.is_some() || listeners.forward_auth_grpc.is_some());
        if written.credentials.is_some() && !alone {
            let message = "are only answered where no browser can ask; write listeners.forward_auth, and have the front proxy ask there";
            self.fault(&at.key("credentials"), message);
        }
        let named = [
            ("strip_prefix", written.strip_prefix.is_some()),
            ("envelope", written.envelope.is_some()),
            ("session_cookie", written.session_cookie.is_some()),
        ];
        for (key, _) in named.into_iter().filter(|(_, is_written)| *is_written) {
            self.fault(
                &at.key(key),
                "is for requests that Vestibule itself sends to an app; name the upstream, or remove it",
            );
        }
    }

    fn strip_prefix(&mut self, at: &KeyPath, prefix: &str, path: &str) {
        if !super::is_plain_path(prefix) {
            self.fault(at, format!("{prefix:?} is no plain prefix; write an absolute path with no pattern and no final slash, such as /api"));
        } else if !is_at_or_below(path, prefix) {
            self.fault(at, format!("the route's path {path:?} does not begin with {prefix:?}"));
        }
    }

    fn host(&mut self, at: &KeyPath, written: Option<&str>, around: &Surroundings<'_>) -> Option<String> {
        let host = written?;
        let lower = host.to_ascii_lowercase();
        let plain = match url::Host::parse(&lower) {
            // Parsing also reads what browsers would (`0x7f.1`): only what stays the same is taken.
            Ok(parsed) => parsed.to_string() == lower && !lower.ends_with('.'),
            Err(_) => false,
        };
        if !plain || lower.contains('*') {
            self.fault(
                at,
                format!(
                    "{host:?} is no host; write a name such as api.example.gouv.fr, without scheme, port or pattern"
                ),
            );
            return None;
        }
        let shares_cookie = around.public_url.is_none_or(|url| url.host() == lower)
            || around.cookie_domain.is_some_and(|above| domain::is_at_or_below(&lower, above));
        if !shares_cookie {
            self.found(Code::HostWithoutSession, at, "the session cookie is not sent to this host: it is neither that of public_url nor below cookies.domain");
        }
        Some(lower)
    }

    fn methods(&mut self, at: &KeyPath, written: Option<&written::List<String>>) -> Vec<http::Method> {
        if written.is_some_and(Vec::is_empty) {
            self.fault(at, "is empty, so the route would match nothing; leave the key out for every method");
        }
        let mut methods = Vec::new();
        for (at, text) in self.items(at, written) {
            let upper = text.to_ascii_uppercase();
            match http::Method::from_bytes(text.as_bytes()) {
                Ok(_) if upper != *text => self.fault(&at, format!("methods are in capitals; write {upper}")),
                Ok(method) if methods.contains(&method) => self.fault(&at, format!("{method} is there twice")),
                Ok(method) => methods.push(method),
                Err(_) => self.fault(&at, format!("{text:?} is no HTTP method; write one such as GET or POST")),
            }
        }
        methods
    }
}

/// Whether the pattern `path` matches nothing but `prefix` and what is below it.
fn is_at_or_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
