//! The part about who may enter: what oauth2-proxy asks of people besides that they signed in.
//!
//! Called by `translate`. This version lets in whoever the provider signs in. A configuration that
//! did so where oauth2-proxy did not would open the app to people who were kept out: so it is
//! printed without routes, and does not load until somebody has decided.

use super::translate::Import;

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

impl Import {
    /// What kept people out, and has no equivalent here.
    pub(super) fn restrictions(&mut self) -> Vec<Restriction> {
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
            if let Some(first) = domains.first() {
                let all: Option<Vec<&str>> = domains.iter().map(|domain| domain.value.as_deref()).collect();
                let which = all.map(|all| format!(": {}", all.join(", "))).unwrap_or_default();
                let says = format!("let in people whose e-mail address is below some domains{which}");
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
            if is_set && !(name == "allowed-group" && groups_are_levels) {
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
        restrictions
    }
}
