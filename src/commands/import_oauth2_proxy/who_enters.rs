//! The part about who may enter: what oauth2-proxy asks of people besides that they signed in.
//!
//! Called by `translate`. E-mail domains, a file of addresses, groups, and Keycloak's roles become a policy
//! that every route asks for. What has
//! no equivalent would open the app to people who were kept out: then the configuration is printed
//! without routes, and does not load until somebody has decided.

use super::settings::Text;
use super::translate::Import;
use crate::commands::import::{list, scalar};

/// A setting that keeps people out.
pub(super) struct Restriction {
    pub(super) name: String,
    pub(super) says: String,
}

/// Flags that let in some people only, with whom.
const OF_GROUPS: [(&str, &str); 12] = [
    ("allowed-group", "members of some groups"),
    ("allowed-role", "people with some roles"),
    ("keycloak-group", "members of some groups"),
    ("gitlab-group", "members of some groups"),
    ("gitlab-project", "members of some projects"),
    ("google-group", "members of some groups"),
    ("github-org", "members of an organisation"),
    ("github-team", "members of a team"),
    ("github-repo", "people with access to a repository"),
    ("bitbucket-team", "members of a team"),
    ("bitbucket-repository", "people with access to a repository"),
    ("entra-id-allowed-tenant", "people of some tenants"),
];

/// Who enters.
#[derive(Default)]
pub(super) struct WhoEnters {
    /// What kept people out, and has no equivalent here.
    pub(super) restrictions: Vec<Restriction>,
    /// What did and has: the settings, and the lines of the policy.
    pub(super) from: Vec<String>,
    pub(super) policy: Vec<String>,
}

/// The name of the policy.
pub(super) const POLICY: &str = "who-enters";

impl Import {
    /// What kept people out.
    pub(super) fn who_enters(&mut self) -> WhoEnters {
        let mut enters = WhoEnters::default();
        self.by_address(&mut enters);
        self.by_membership(&mut enters);
        let unread = self.settings.unread();
        for (origin, name) in &unread {
            let says = "names more settings, which were not read: give that file to this command too";
            self.note(origin, name, says);
            let says = "names more settings, which were not given to this command and may keep people out".to_owned();
            enters.restrictions.push(Restriction { name: name.clone(), says });
        }
        for name in ["config", "alpha-config"] {
            let is_unread = unread.iter().any(|(_, unread)| unread == name);
            if let Some(text) = self.settings.text(name).filter(|_| !is_unread) {
                self.not_needed(&text.name, "was read");
            }
        }
        for Restriction { name, says } in &enters.restrictions {
            self.without(name, format!("{says}; until you have decided, there are no routes"));
        }
        enters
    }

    /// By their e-mail address: a domain, or a file.
    fn by_address(&mut self, enters: &mut WhoEnters) {
        let domains = self.settings.list("email-domain");
        let file = self.settings.text("authenticated-emails-file");
        let everybody = domains.iter().any(|domain| domain.value.as_deref() == Some("*"));
        if everybody {
            let name = domains.first().map(|domain| domain.name.clone()).unwrap_or_default();
            self.not_needed(&name, "has *: whoever the provider signs in is let in, as here");
            if let Some(file) = file {
                self.not_needed(&file.name, "adds nobody beside email-domain=*");
            }
        } else {
            let known: Option<Vec<&str>> = domains.iter().map(|domain| domain.value.as_deref()).collect();
            // A rule looks at `email`, and not at what was taken for an address in its place.
            let email_claim = self.email_claim();
            let has_rule = email_claim.is_none();
            let known = known.filter(|_| has_rule).filter(|known| !known.is_empty());
            let by_domain = known.and_then(|known| of_domains(&known));
            // One of the two is enough there.
            let by_file = file.as_ref().and_then(|file| file.value.as_deref()).filter(|_| has_rule);
            let by_file = by_file.map(|path| format!("email: {{file: {}}}", scalar(path)));
            let ways = match (&by_domain, &by_file) {
                (Some(ways), Some(by_file)) => {
                    Some(in_one(std::iter::once(by_file.clone()).chain(ways.iter().cloned())))
                }
                (Some(ways), None) if file.is_none() => Some(in_one(ways.iter().cloned())),
                (None, Some(by_file)) if domains.is_empty() => Some(by_file.clone()),
                _ => None,
            };
            if let Some(ways) = ways {
                enters.from.extend(file.iter().map(|file| file.name.clone()));
                enters.from.extend(domains.first().map(|first| first.name.clone()));
                enters.policy.push(ways);
            } else {
                if let Some(first) = domains.first() {
                    let all: Option<Vec<&str>> = domains.iter().map(|domain| domain.value.as_deref()).collect();
                    let which = all.map(|all| format!(": {}", all.join(", "))).unwrap_or_default();
                    let read = email_claim.map(|Text { name, value, .. }| match value {
                        Some(claim) => format!(" (the claim {claim}, as {name} says)"),
                        None => format!(" (the claim that {name} names)"),
                    });
                    let read = read.unwrap_or_default();
                    let says = format!("let in people whose e-mail address{read} is below some domains{which}");
                    enters.restrictions.push(Restriction { name: first.name.clone(), says });
                }
                if let Some(file) = &file {
                    let says = "let in people whose e-mail address is in a file".to_owned();
                    enters.restrictions.push(Restriction { name: file.name.clone(), says });
                }
            }
            if domains.is_empty() && file.is_none() {
                let says = "is not given, and without it, or authenticated-emails-file, oauth2-proxy lets nobody in; \
                            give the file that has it to this command too";
                enters.restrictions.push(Restriction { name: "email-domain".to_owned(), says: says.to_owned() });
            }
        }
    }

    /// By what they are members of.
    fn by_membership(&mut self, enters: &mut WhoEnters) {
        let groups_are_levels = self.groups_are_levels();
        // A member of one of the groups, or one with one of the roles: one is enough there.
        let mut memberships = Vec::new();
        for (name, whom) in OF_GROUPS {
            let Some(given) = self.settings.given(name) else { continue };
            let is_set = given.values.as_ref().is_none_or(|values| values.iter().any(|value| !value.trim().is_empty()));
            if name == "allowed-group" && groups_are_levels {
                continue;
            }
            let known = given.values.as_ref().filter(|values| is_set && !values.is_empty());
            let conditions = match (name, known) {
                ("allowed-group", Some(groups)) => {
                    let claim = self.settings.text("oidc-groups-claim").and_then(|claim| claim.value);
                    let claim = claim.unwrap_or_else(|| "groups".to_owned());
                    let groups = list(groups.iter().map(String::as_str));
                    Some(vec![format!("claims: {{{}: {groups}}}", scalar(&claim))])
                }
                ("allowed-role", Some(roles)) if self.is_keycloak() => of_keycloak(roles),
                _ => None,
            };
            match conditions {
                Some(conditions) => {
                    if name == "allowed-role" {
                        let says = "roles were read from the access token; in Keycloak, have the mappers of the client \
                                    scope `roles` add them to the ID token or to userinfo, or nobody is let in";
                        self.note(&given.origin, &given.name, says);
                    }
                    enters.from.push(given.name);
                    memberships.extend(conditions);
                }
                None if is_set => {
                    enters.restrictions.push(Restriction { name: given.name, says: format!("let in {whom} only") });
                }
                None => {}
            }
        }
        if !memberships.is_empty() {
            let membership = in_one(memberships.into_iter());
            // A key stands once.
            let taken = enters.policy.iter().any(|line| line.starts_with("any:")) && membership.starts_with("any:");
            enters.policy.push(if taken { format!("all: [{{{membership}}}]") } else { membership });
        }
    }

    fn is_keycloak(&self) -> bool {
        let provider = self.settings.text("provider").and_then(|provider| provider.value);
        provider.as_deref() == Some("keycloak-oidc")
    }

    /// The policy, before the routes that ask for it.
    pub(super) fn policies(&mut self, enters: &WhoEnters) {
        if enters.policy.is_empty() {
            return;
        }
        self.line("");
        self.line(&format!("# From {}.", enters.from.join(" and ")));
        self.line(&format!("policies:\n  {POLICY}:"));
        for line in &enters.policy {
            self.line(&format!("    {line}"));
        }
    }
}

/// Conditions of which one is enough, as the lines of a policy.
fn in_one(conditions: impl Iterator<Item = String>) -> String {
    let conditions: Vec<String> = conditions.collect();
    match conditions.as_slice() {
        [only] => only.replace(", none:", "\n    none:"),
        several => {
            let each: Vec<String> = several.iter().map(|way| format!("{{{way}}}")).collect();
            format!("any: [{}]", each.join(", "))
        }
    }
}

/// Keycloak's roles: `ROLE` of the realm, `CLIENT:ROLE` of a client. None where a name is one that the
/// path of a claim cannot have.
fn of_keycloak(roles: &[String]) -> Option<Vec<String>> {
    let mut claims: Vec<(String, Vec<&str>)> = Vec::new();
    for role in roles {
        let (claim, role) = match role.split_once(':') {
            None => ("realm_access.roles".to_owned(), role.as_str()),
            Some((client, role)) => {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                if client.is_empty() || !client.chars().all(is_plain) {
                    return None;
                }
                (format!("resource_access.{client}.roles"), role)
            }
        };
        if role.trim().is_empty() {
            return None;
        }
        match claims.iter_mut().find(|(known, _)| *known == claim) {
            Some((_, roles)) => roles.push(role),
            None => claims.push((claim, vec![role])),
        }
    }
    let condition = |(claim, roles): (String, Vec<&str>)| format!("claims: {{{}: {}}}", scalar(&claim), list(roles));
    Some(claims.into_iter().map(condition).collect())
}

/// E-mail domains as oauth2-proxy takes them: `example.fr` alone, `.example.fr` and `*.example.fr` all
/// below it and not itself, each way a condition. None where one is no domain.
fn of_domains(domains: &[&str]) -> Option<Vec<String>> {
    let is_domain = |domain: &str| {
        let plain =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        domain.split('.').all(plain)
    };
    let below = |domain: &str| domain.strip_prefix("*.").or_else(|| domain.strip_prefix('.')).map(str::to_owned);
    let plain: Vec<&str> = domains.iter().copied().filter(|domain| below(domain).is_none()).collect();
    let parents: Vec<String> = domains.iter().filter_map(|domain| below(domain)).collect();
    if !plain.iter().copied().chain(parents.iter().map(String::as_str)).all(is_domain) {
        return None;
    }
    let mut ways: Vec<String> = Vec::new();
    if !plain.is_empty() {
        ways.push(format!("email_domain: {}", list(plain)));
    }
    ways.extend(parents.iter().map(|parent| {
        format!("email_domain: {}, none: [{{email_domain: {}}}]", scalar(&format!(".{parent}")), scalar(parent))
    }));
    Some(ways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_let_in_whom_oauth2_proxy_let_in_and_nobody_else() {
        for (domains, expected) in [
            (&["example.fr"][..], Some("email_domain: [example.fr]")),
            (&[".example.fr"], Some("email_domain: \".example.fr\"\n    none: [{email_domain: example.fr}]")),
            (
                &["a.fr", "*.b.fr"],
                Some("any: [{email_domain: [a.fr]}, {email_domain: \".b.fr\", none: [{email_domain: b.fr}]}]"),
            ),
            (&["a b"], None),
            (&["a.fr", "*"], None),
            (&[""], None),
        ] {
            let condition = of_domains(domains).map(|ways| in_one(ways.into_iter()));
            assert_eq!(condition.as_deref(), expected, "{domains:?}");
        }
    }

    #[test]
    fn roles_of_keycloak_are_looked_for_where_it_puts_them() {
        let of = |roles: &[&str]| {
            let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
            of_keycloak(&roles).map(|ways| in_one(ways.into_iter()))
        };
        for (roles, expected) in [
            (&["admin", "chief"][..], Some("claims: {realm_access.roles: [admin, chief]}")),
            (&["app:editor"], Some("claims: {resource_access.app.roles: [editor]}")),
            (
                &["admin", "app:a", "app:b"],
                Some("any: [{claims: {realm_access.roles: [admin]}}, {claims: {resource_access.app.roles: [a, b]}}]"),
            ),
            (&["a.b:editor"], None),
            (&[":x"], None),
            (&["app:"], None),
        ] {
            assert_eq!(of(roles).as_deref(), expected, "{roles:?}");
        }
    }
}
