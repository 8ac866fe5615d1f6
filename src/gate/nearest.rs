//! Why a request fell under its route and not under another one.
//!
//! Called by `server/explain` alone. It says of the other routes what keeps the request from them,
//! asking the very functions by which [`Table`] finds the one; it decides nothing.

use super::route::{Route, Table};
use crate::web::path::RequestPath;
use http::Method;
use std::cmp::Reverse;

/// Another route, and what keeps a request from it.
#[derive(Clone, Debug)]
pub struct Near<'g> {
    /// The route.
    pub route: &'g Route,
    /// What of the request it is not for. Empty where it is for all of it, and another is more specific.
    pub misses: Vec<Miss>,
}

/// What of a request a route is not for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Its host.
    Host,
    /// Its path, which some apps would take for one that is meant.
    Spelling,
    /// Its path.
    Path,
    /// Its method.
    Method,
}

/// How an app may read a path, and under which route that falls.
#[derive(Clone, Debug)]
pub struct Reading<'g> {
    /// The path as it may be read.
    pub path: String,
    /// The route, if there is one.
    pub route: Option<&'g Route>,
    /// Another route, which keeps more out, for whose path a lenient app takes it (case, a final
    /// slash, dots at the end).
    pub taken_for: Option<&'g Route>,
}

impl Table {
    /// The routes that come nearest to a request beside the one at `found`, the nearest first.
    pub(super) fn nearest(
        &self,
        found: Option<usize>,
        host: &str,
        method: &Method,
        path: &RequestPath<'_>,
        most: usize,
    ) -> Vec<Near<'_>> {
        let literal = path.literal();
        let mut near: Vec<(usize, Reverse<usize>, Near<'_>)> = Vec::new();
        for (index, route) in self.iter().enumerate() {
            if Some(index) == found {
                continue;
            }
            let mut misses = Vec::new();
            if route.host.as_deref().is_some_and(|expected| expected != host) {
                misses.push(Miss::Host);
            }
            let shared = shared_segments(route.path.as_str(), literal);
            if !route.path.matches(literal) {
                let is_lenient = path.any(|reading| route.path.matches_loosely(reading));
                if !is_lenient && shared == 0 && found.is_some() {
                    // It has nothing to do with it.
                    continue;
                }
                misses.push(if is_lenient { Miss::Spelling } else { Miss::Path });
            }
            if !route.methods.is_empty() && !route.methods.contains(method) {
                misses.push(Miss::Method);
            }
            near.push((misses.len(), Reverse(shared), Near { route, misses }));
        }
        near.sort_by_key(|(misses, shared, _)| (*misses, *shared));
        near.into_iter().map(|(_, _, near)| near).take(most).collect()
    }

    /// Each reading of a path, with the route under which it falls.
    pub(super) fn readings(&self, host: &str, method: &Method, path: &RequestPath<'_>) -> Vec<Reading<'_>> {
        let all = std::iter::once(path.literal()).chain(path.others().iter().map(String::as_str));
        let reading = |path: &str| {
            let index = self.position(host, method, path);
            let taken_for = index.and_then(|index| self.guarding(index, host, method, path));
            let route = |index: Option<usize>| index.and_then(|index| self.get(index));
            Reading { path: path.to_owned(), route: route(index), taken_for: route(taken_for) }
        };
        all.map(reading).collect()
    }
}

/// How many segments a pattern and a path have in common at their beginning.
fn shared_segments(pattern: &str, path: &str) -> usize {
    let segments = |text: &'_ str| text.split('/').skip(1).map(str::to_owned).collect::<Vec<_>>();
    segments(pattern).iter().zip(segments(path).iter()).take_while(|(a, b)| a == b && !a.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::route::{Access, PathPattern};

    fn table(routes: &[(&str, Option<&str>, &[Method], Access)]) -> Table {
        let route = |(path, host, methods, access): &(&str, Option<&str>, &[Method], Access)| Route {
            host: host.map(str::to_owned),
            methods: methods.to_vec(),
            ..Route::new(PathPattern::parse(path).unwrap(), *access)
        };
        Table::new(routes.iter().map(route).collect()).unwrap()
    }

    #[test]
    fn each_other_route_says_what_it_is_not_for() {
        let table = table(&[
            ("/**", None, &[], Access::SignedIn),
            ("/api/users", None, &[Method::POST], Access::SignedIn),
            ("/api/**", Some("other.example"), &[], Access::SignedIn),
            ("/api/users/", None, &[], Access::SignedIn),
            ("/elsewhere", None, &[], Access::SignedIn),
        ]);
        let path = RequestPath::parse("/api/users").unwrap();
        let found = table.position("app.example", &Method::GET, "/api/users");
        let near = table.nearest(found, "app.example", &Method::GET, &path, 9);
        let said: Vec<_> = near.iter().map(|near| (near.route.path.as_str().to_owned(), near.misses.clone())).collect();
        let expected =
            [("/api/users", vec![Miss::Method]), ("/api/users/", vec![Miss::Spelling]), ("/api/**", vec![Miss::Host])];
        assert_eq!(said, expected.map(|(path, misses)| (path.to_owned(), misses)));
    }

    #[test]
    fn readings_say_which_route_each_falls_under_and_for_what_a_lenient_app_takes_it() {
        let table = table(&[("/admin/**", None, &[], Access::SignedIn), ("/**", None, &[], Access::Public)]);
        let of = |path: &str| -> Vec<(String, Option<String>, bool)> {
            let path = RequestPath::parse(path).unwrap();
            let name = |route: &Route| route.path.as_str().to_owned();
            let readings = table.readings("h", &Method::GET, &path).into_iter();
            readings.map(|one| (one.path, one.route.map(name), one.taken_for.is_some())).collect()
        };
        assert_eq!(of("/Admin"), [("/Admin".to_owned(), Some("/**".to_owned()), true)]);
        assert_eq!(of("/other"), [("/other".to_owned(), Some("/**".to_owned()), false)]);
        let several = of("/x%2Fy");
        assert!(several.len() > 1, "{several:?}");
    }
}
