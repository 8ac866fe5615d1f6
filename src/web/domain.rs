//! Domains: what stands behind the `@` of an address, and what is below what, at a dot.
//!
//! Called by whoever has a rule about a domain: `gate`, `credentials`, the lists of hosts beside this
//! file, and `config`. Must stay the one place: `badexample.fr` is not below `example.fr`.

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
    fn an_address_with_two_domains_has_none() {
        assert_eq!(of_email("a@example.fr"), Some("example.fr"));
        for bad in ["a@evil.org@example.fr", "a", "@", "a@b@", "@@example.fr"] {
            assert!(of_email(bad).is_none_or(str::is_empty), "{bad}");
        }
    }
}
