//! Domains: what stands behind the `@` of an address, and what is below what, at a dot.
//!
//! Called by whoever has a rule about a domain: `gate`, `credentials`, the lists of hosts beside this
//! file, and `config`. Must stay the one place: `badexample.fr` is not below `example.fr`.

/// To whom of several the domains of e-mail addresses belong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainOwners(Vec<OwnedDomain>);

/// A domain, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedDomain {
    /// The domain, in lower case.
    pub domain: String,
    /// Whether all below it belongs to them as well.
    pub and_below: bool,
    /// Their name.
    pub owner: String,
}

impl DomainOwners {
    /// The owners of these domains.
    pub fn new(domains: Vec<OwnedDomain>) -> Self {
        Self(domains)
    }

    /// Whether no domain is anybody's.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose the domain of an address is: what is said of the longest domain counts. With a dot at its
    /// end a domain is the same (RFC 1034 §3.1).
    pub fn owner(&self, email: &str) -> Option<&str> {
        let domain = of_email(email)?;
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let holds = |owned: &&OwnedDomain| {
            is_at_or_below(domain, &owned.domain) && (owned.and_below || domain.len() == owned.domain.len())
        };
        self.0.iter().filter(holds).max_by_key(|owned| owned.domain.len()).map(|owned| owned.owner.as_str())
    }
}

/// What follows the one `@` of an address; of `a@evil@example.fr` nothing can be said
/// (CVE-2026-40574).
pub fn of_email(email: &str) -> Option<&str> {
    let (_, domain) = email.split_once('@')?;
    (!domain.contains('@')).then_some(domain)
}

/// Whether `domain` is `wanted`, or below it at a dot. Without regard to the case of ASCII letters
/// only: others that fold together are other domains.
pub fn is_at_or_below(domain: &str, wanted: &str) -> bool {
    let (domain, wanted) = (domain.as_bytes(), wanted.as_bytes());
    let Some(above) = domain.len().checked_sub(wanted.len()) else { return false };
    let (labels, end) = domain.split_at(above);
    !wanted.is_empty() && end.eq_ignore_ascii_case(wanted) && (labels.is_empty() || labels.ends_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_below_another_at_a_dot_alone() {
        let cases = [
            ("example.fr", "example.fr", true),
            ("a.example.fr", "example.fr", true),
            ("A.EXAMPLE.FR", "example.fr", true),
            ("badexample.fr", "example.fr", false),
            ("example.fr.evil.org", "example.fr", false),
            ("fr", "example.fr", false),
            ("example.fr", "", false),
            ("", "", false),
            ("é.fr", "\u{a9}.fr", false),
        ];
        for (domain, wanted, expected) in cases {
            assert_eq!(is_at_or_below(domain, wanted), expected, "{domain} {wanted}");
        }
    }

    #[test]
    fn an_address_belongs_to_the_owner_of_its_longest_domain() {
        let owned = |domain: &str, and_below, owner: &str| OwnedDomain {
            domain: domain.to_owned(),
            and_below,
            owner: owner.to_owned(),
        };
        let owners = DomainOwners::new(vec![
            owned("gouv.fr", true, "proconnect"),
            owned("dinum.gouv.fr", false, "keycloak"),
            owned("example.org", false, "keycloak"),
        ]);
        for (email, expected) in [
            ("a@dinum.gouv.fr", Some("keycloak")),
            ("a@DINUM.gouv.FR.", Some("keycloak")),
            ("a@x.dinum.gouv.fr", Some("proconnect")),
            ("a@gouv.fr", Some("proconnect")),
            ("a@example.org", Some("keycloak")),
            ("a@x.example.org", None),
            ("a@badgouv.fr", None),
            ("a@evil.org@gouv.fr", None),
            ("gouv.fr", None),
            ("a@", None),
        ] {
            assert_eq!(owners.owner(email), expected, "{email}");
        }
    }

    #[test]
    fn an_address_with_two_domains_has_none() {
        assert_eq!(of_email("a@example.fr"), Some("example.fr"));
        for bad in ["a@evil.org@example.fr", "a", "@", "a@b@", "@@example.fr"] {
            assert!(of_email(bad).is_none_or(str::is_empty), "{bad}");
        }
    }
}
