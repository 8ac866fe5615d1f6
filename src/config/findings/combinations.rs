//! Settings that are dangerous together.

use super::{Code, Found, Linted, takes_changes};
use crate::config::problem::KeyPath;
use crate::credentials::Kind;
use crate::gate::route::{Access, Csrf, Route};
use crate::web::cookies::SameSite;

pub(super) fn lint(linted: &Linted<'_>) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (at, route) in linted.routes {
        found.extend(credential_for_everybody(linted, at, route));
        found.extend(csrf_off(linted, at, route));
    }
    found.extend(cors_loopback(linted));
    found
}

/// A fixed secret is put in for whoever comes; others belong to a session.
fn credential_for_everybody(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    let credential = linted.credentials.get(route.credential.filter(|_| route.access == Access::Public)?)?;
    matches!(credential.kind, Kind::Static { .. }).then(|| {
        let why = "everybody's requests get a secret here, by which the app trusts them, without signing in; write credentials: none, or remove access: public";
        Found::new(Code::CredentialForEverybody, at.clone(), why)
    })
}

fn csrf_off(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    (route.csrf == Csrf::Off && route.access == Access::SignedIn && takes_changes(route)).then(|| {
        let whose = match linted.same_site {
            SameSite::None => "any site (cookies.same_site: none)",
            SameSite::Lax => "any host of the same domain, and of any site where browsers are old",
        };
        let why = format!(
            "a page of {whose} can have a person's browser change something here; list the origins under csrf, or name the methods that the app guards itself"
        );
        Found::new(Code::CsrfOff, at.key("csrf"), why)
    })
}

/// Whatever runs on a person's machine, at any port that it likes, is such an origin.
fn cors_loopback(linted: &Linted<'_>) -> Option<Found> {
    let is_loopback =
        |host: &str| host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "[::1]";
    if is_loopback(linted.public_url.host()) {
        return None;
    }
    let origin = linted.cors?.origins.iter().find(|origin| is_loopback(origin.host()))?;
    let why = format!(
        "lets what runs at {} on each person's machine read this site as them: for development alone",
        origin.origin()
    );
    Some(Found::new(Code::CorsLoopback, KeyPath::root().key("cors").key("origins"), why))
}
