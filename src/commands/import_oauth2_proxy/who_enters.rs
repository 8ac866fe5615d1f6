//! The part about who may enter: what oauth2-proxy asks of people besides that they signed in.
//!
//! Called by `translate`. E-mail domains and groups become a policy that every route asks for. What has
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
        let mut restrictions = Vec::new();
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
            let has_rule = file.is_none() && email_claim.is_none();
            let condition = known.filter(|known| has_rule && !known.is_empty()).and_then(|known| of_domains(&known));
            if let (Some(condition), Some(first)) = (condition, domains.first()) {
                enters.from.push(first.name.clone());
                enters.policy.push(condition);
            } else if let Some(first) = domains.first() {
                let all: Option<Vec<&str>> = domains.iter().map(|domain| domain.value.as_deref()).collect();
                let which = all.map(|all| format!(": {}", all.join(", "))).unwrap_or_default();
                let read = email_claim.map(|Text { name, value, .. }| match value {
                    Some(claim) => format!(" (the claim {claim}, as {name} says)"),
                    None => format!(" (the claim that {name} names)"),
                });
                let read = read.unwrap_or_default();
                let says = format!("let in people whose e-mail address{read} is below some domains{which}");
                restrictions.push(Restriction { name: first.name.clone(), says });
            }
            if let Some(file) = &file {
                let says = "let in people whose e-mail address is in a file".to_owned();
                restrictions.push(Restriction { name: file.name.clone(), says });
            }
            if domains.is_empty() && file.is_none() {
                let says = "is not given, and without it, or authenticated-emails-file, oauth2-proxy lets nobody in; \
                            give the file that has it to this command too";
                restrictions.push(Restriction { name: "email-domain".to_owned(), says: says.to_owned() });
            }
        }
        let groups_are_levels = self.groups_are_levels();
        for (name, whom) in OF_GROUPS {
            let Some(given) = self.settings.given(name) else { continue };
            let is_set = given.values.as_ref().is_none_or(|values| values.iter().any(|value| !value.trim().is_empty()));
            let groups = given.values.as_ref().filter(|groups| !groups.is_empty() && name == "allowed-group");
            if name == "allowed-group" && groups_are_levels {
                continue;
            }
            if let (true, Some(groups)) = (is_set, groups) {
                let claim = self.settings.text("oidc-groups-claim").and_then(|claim| claim.value);
                let claim = claim.unwrap_or_else(|| "groups".to_owned());
                enters.from.push(given.name);
                enters.policy.push(format!(
                    "claims: {{{}: {}}}",
                    scalar(&claim),
                    list(groups.iter().map(String::as_str))
                ));
            } else if is_set {
                restrictions.push(Restriction { name: given.name, says: format!("let in {whom} only") });
            }
        }
        let unread = self.settings.unread();
        for (origin, name) in &unread {
            let says = "names more settings, which were not read: give that file to this command too";
            self.note(origin, name, says);
            let says = "names more settings, which were not given to this command and may keep people out".to_owned();
            restrictions.push(Restriction { name: name.clone(), says });
        }
        for name in ["config", "alpha-config"] {
            let is_unread = unread.iter().any(|(_, unread)| unread == name);
            if let Some(text) = self.settings.text(name).filter(|_| !is_unread) {
                self.not_needed(&text.name, "was read");
            }
        }
        for Restriction { name, says } in &restrictions {
            self.without(name, format!("{says}; until you have decided, there are no routes"));
        }
        enters.restrictions = restrictions;
        enters
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

/// E-mail domains as oauth2-proxy takes them: `example.fr` alone, `.example.fr` and `*.example.fr` all
/// below it and not itself. None where one is no domain.
fn of_domains(domains: &[&str]) -> Option<String> {
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
    match ways.as_slice() {
        [only] => Some(only.replace(", none:", "\n    none:")),
        several => {
            let each: Vec<String> = several.iter().map(|way| format!("{{{way}}}")).collect();
            Some(format!("any: [{}]", each.join(", ")))
        }
    }
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
            assert_eq!(of_domains(domains).as_deref(), expected, "{domains:?}");
        }
    }
}
