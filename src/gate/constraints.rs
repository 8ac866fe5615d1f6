//! What a front proxy asks of a session besides its being one: `allowed_groups`, `allowed_emails`
//! and `allowed_email_domains` in the query of `/oauth2/auth`, as oauth2-proxy has them.
//!
//! Made by `server/forward_auth`, judged by `policy`. They can only narrow what the routes allow.

use crate::claims::ClaimsView;
use crate::web::domain;

/// Each holds where one of its entries fits; one without entries fits nobody: a variable that a
/// front proxy left empty must not open what it was to close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    groups: Option<Vec<String>>,
    emails: Option<Vec<String>>,
    domains: Option<Vec<String>>,
}

/// What everything but a question of `/oauth2/auth` is judged by.
pub(super) static NONE: Constraints = Constraints { groups: None, emails: None, domains: None };

impl Constraints {
    /// Reads a query. Each may be there several times, with several entries parted by commas.
    pub fn parse(query: &str) -> Self {
        let mut these = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let list = match name.as_ref() {
                "allowed_groups" => &mut these.groups,
                "allowed_emails" => &mut these.emails,
                "allowed_email_domains" => &mut these.domains,
                _ => continue,
            };
            let entries = value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            list.get_or_insert_default().extend(entries.map(str::to_owned));
        }
        these
    }

    /// Whether somebody of these claims meets them all.
    pub(super) fn admit(&self, claims: &ClaimsView<'_>) -> bool {
        let email = || claims.text("email");
        let is_one_of = |list: &[String]| email().is_some_and(|email| list.iter().any(|one| same(one, email)));
        let is_below = |list: &[String]| {
            let domain = email().and_then(domain::of_email);
            domain.is_some_and(|domain| list.iter().any(|rule| fits(rule, domain)))
        };
        let has_one = |list: &[String]| claims.groups().iter().any(|group| list.iter().any(|one| one == group));
        self.groups.as_deref().is_none_or(has_one)
            && self.emails.as_deref().is_none_or(is_one_of)
            && self.domains.as_deref().is_none_or(is_below)
    }
}

/// `example.fr` is that domain; `.example.fr` and `*.example.fr` are all below it and itself.
fn fits(rule: &str, domain: &str) -> bool {
    match rule.strip_prefix("*.").or_else(|| rule.strip_prefix('.')) {
        Some(parent) => domain::is_at_or_below(domain, parent),
        None => same(rule, domain),
    }
}

/// Addresses differ by no letter's case.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens};
    use http::HeaderMap;

    #[test]
    fn each_constraint_holds_where_one_of_its_entries_fits_and_all_must_hold() {
        // helene.moreau@test.proconnect.gouv.fr, with the roles agent_public and agent_public_etat.
        let cases = [
            ("", true),
            ("other=1", true),
            ("allowed_groups=agent_public", true),
            ("allowed_groups=x,agent_public_etat", true),
            ("allowed_groups=x&allowed_groups=+agent_public+", true),
            ("allowed_groups=agent", false),
            ("allowed_groups=Agent_Public", false),
            ("allowed_groups=", false),
            ("allowed_groups", false),
            ("allowed_groups=,,", false),
            ("allowed_emails=Helene.Moreau@test.proconnect.gouv.fr", true),
            ("allowed_emails=moreau@test.proconnect.gouv.fr", false),
            ("allowed_email_domains=test.proconnect.gouv.fr", true),
            ("allowed_email_domains=TEST.proconnect.gouv.fr", true),
            ("allowed_email_domains=proconnect.gouv.fr", false),
            ("allowed_email_domains=.gouv.fr", true),
            ("allowed_email_domains=*.gouv.fr", true),
            ("allowed_email_domains=.ouv.fr", false),
            ("allowed_email_domains=*", false),
            ("allowed_email_domains=.", false),
            ("allowed_email_domains=*.", false),
            ("allowed_email_domains=.test.proconnect.gouv.fr", true),
            ("allowed_groups=agent_public&allowed_email_domains=.gouv.fr", true),
            ("allowed_groups=agent_public&allowed_email_domains=example.fr", false),
            ("allowed_groups=x&allowed_email_domains=.gouv.fr", false),
        ];
        let sessions = sessions(&[[1; 32]]);
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        let opened = sessions.open(&request_after(&HeaderMap::new(), &begun.cookies), START).unwrap();
        let session = sessions.read(&opened, START).unwrap();
        for (query, expected) in cases {
            assert_eq!(Constraints::parse(query).admit(session.claims()), expected, "{query}");
        }
    }
}
