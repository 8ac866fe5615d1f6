//! Claims that rules and licences look at, and for which no provider is asked.
//!
//! Where one cannot tell with which scope a claim comes, nothing is found.

use super::satisfiable::rules_of;
use super::{Code, Found, Linted};
use crate::config::problem::KeyPath;
use crate::config::written::Preset;
use crate::gate::route::{Access, Route};
use crate::gate::rules::{Condition, Subject};
use crate::oidc;
use crate::seats::licence::Covers;
use std::borrow::Cow;

pub(super) fn lint(linted: &Linted<'_>) -> Vec<Found> {
    let routes = linted.routes.iter().filter(|(_, route)| !matches!(route.access, Access::Public | Access::Bearer));
    routes.filter_map(|(at, route)| by_rules(linted, at, route)).chain(by_licences(linted)).collect()
}

fn by_rules(linted: &Linted<'_>, at: &KeyPath, route: &Route) -> Option<Found> {
    rules_of(route).find_map(|(list, rule)| {
        let mut looked_at = Vec::new();
        rule.condition.subjects(&mut |subject| looked_at.push(Cow::Borrowed(subject)));
        in_expressions(&rule.condition, &mut |claim| looked_at.push(Cow::Owned(Subject::Claim(claim.to_owned()))));
        // The last of them says it for the rule.
        looked_at.iter().rev().find_map(|subject| {
            let add = missing(subject, linted.providers_of(route))?;
            Some(found(at.key(list), subject.name(), &add))
        })
    })
}

/// What a licence covers people by: each key, and what it looks at. The first nine digits of the SIRET are the
/// SIREN here (`seats`).
fn keys_of(covers: &Covers) -> impl Iterator<Item = (&'static str, Subject)> {
    let claim = |name: &str| Subject::Claim(name.to_owned());
    let keys = [
        ("email_domain", &covers.email_domain, Subject::EmailDomain),
        ("email", &covers.email, Subject::Email),
        ("siret", &covers.siret, claim("siret")),
        ("siren", &covers.siren, claim("siret")),
        ("idp_id", &covers.idp_id, claim("idp_id")),
        ("organization_label", &covers.organization_label, claim("organization_label")),
    ];
    keys.into_iter().filter(|(_, values, _)| !values.is_empty()).map(|(key, _, subject)| (key, subject))
}

/// Once for each key, at the first licence that has it: the others are all the same.
fn by_licences(linted: &Linted<'_>) -> Vec<Found> {
    let mut keys: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for (at, licence) in linted.licences {
        for (key, subject) in keys_of(&licence.written().covers) {
            if !keys.contains(&key) {
                keys.push(key);
                let add = missing(&subject, linted.providers.iter().copied());
                all.extend(add.map(|add| found(at.key("covers").key(key), subject.name(), &add)));
            }
        }
    }
    all
}

fn found(at: KeyPath, name: &str, add: &str) -> Found {
    let why = format!("looks at {name}, for which the provider is not asked: nobody has it; add {add}");
    Found::new(Code::ClaimNotAsked, at, why)
}

/// What to add where, if none of these providers is asked for what says a subject: of several one may be the
/// one that says it.
fn missing<'p>(subject: &Subject, providers: impl Iterator<Item = (&'p oidc::Settings, Preset)>) -> Option<String> {
    let scopes: Option<Vec<_>> =
        providers.map(|(provider, preset)| Some((scope_missing(subject, provider, preset)?, &provider.name))).collect();
    let (scope, provider) = scopes?.into_iter().next()?;
    Some(format!("{scope} to providers.{provider}.scopes"))
}

/// The scope that is not asked for and without which nothing is known of a subject; none where one
/// cannot tell.
fn scope_missing(subject: &Subject, provider: &oidc::Settings, preset: Preset) -> Option<&'static str> {
    /// Each is the claim of its own name (the federation's list of scopes).
    const OF_PROCONNECT: [&str; 14] = [
        "given_name",
        "usual_name",
        "email",
        "uid",
        "siren",
        "siret",
        "organizational_unit",
        "belonging_population",
        "phone",
        "chorusdt",
        "idp_id",
        "idp_acr",
        "roles",
        "organization_label",
    ];
    /// OpenID Connect Core §5.4.
    const STANDARD: [(&str, &str); 3] = [("email", "email"), ("phone_number", "phone"), ("address", "address")];
    let asked = |scope: &str| provider.scopes.iter().any(|asked| asked == scope);
    let by_parameter = serde_json::Value::Object(provider.claims.clone()).to_string();
    let claims = subject.claims();
    if claims.iter().any(|claim| by_parameter.contains(&format!("\"{claim}\""))) {
        return None;
    }
    let scopes: Vec<Option<&'static str>> = match preset {
        Preset::ProConnect => {
            claims.iter().map(|claim| OF_PROCONNECT.iter().copied().find(|scope| scope == claim)).collect()
        }
        Preset::Generic => claims
            .iter()
            .map(|claim| STANDARD.iter().find(|(name, _)| name == claim).map(|(_, scope)| *scope))
            .collect(),
    };
    // `groups` is no claim of ProConnect's, but `roles` stands in for it.
    let known: Vec<&'static str> = scopes.iter().copied().flatten().collect();
    let is_certain = known.len() == claims.len() || (matches!(subject, Subject::Groups) && !known.is_empty());
    (is_certain && !known.iter().any(|scope| asked(scope))).then(|| known.last().copied()).flatten()
}

/// The claims that expressions look at.
fn in_expressions<'c>(condition: &'c Condition, note: &mut impl FnMut(&'c str)) {
    match condition {
        Condition::When(_) => condition.claims(note),
        _ => condition.parts().iter().for_each(|part| in_expressions(part, note)),
    }
}
