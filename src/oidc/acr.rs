//! The levels of authentication that ProConnect knows, and which of them are higher than which.
//!
//! Called by `config`: who names a level means it or a higher one, while `acr` is compared as a text
//! (`docs` of the federation: a list of levels is matched by membership, not by order).

/// From the lowest to the highest. `eidas0` and `eidas1` are by password alone; each is below its own
/// `-mfa`, and `eidas1` is not below `eidas0-mfa`, which says nothing of who somebody is.
const HIGHER: [(&str, &[&str]); 6] = [
    ("eidas0", &["eidas0-mfa", "eidas1", "eidas1-mfa", "eidas2", "eidas3"]),
    ("eidas0-mfa", &["eidas1-mfa", "eidas2", "eidas3"]),
    ("eidas1", &["eidas1-mfa", "eidas2", "eidas3"]),
    ("eidas1-mfa", &["eidas2", "eidas3"]),
    ("eidas2", &["eidas3"]),
    ("eidas3", &[]),
];

/// A level, and those that are higher. One that is not ProConnect's is itself alone.
pub fn at_least(level: &str) -> impl Iterator<Item = &str> {
    let higher = HIGHER.iter().find(|(name, _)| *name == level).map_or(&[][..], |(_, higher)| higher);
    std::iter::once(level).chain(higher.iter().copied())
}

/// Whether `level` is known not to be as high as `than`. Of levels that are not ProConnect's nothing is
/// known; to have none is lower than to have one.
pub fn is_lower(level: Option<&str>, than: Option<&str>) -> bool {
    let is_known = |level: &str| HIGHER.iter().any(|(name, _)| *name == level);
    match (level, than) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(level), Some(than)) => {
            is_known(level) && is_known(than) && at_least(than).all(|as_high| as_high != level)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_includes_the_higher_ones_and_no_other() {
        let all = |level| at_least(level).collect::<Vec<_>>();
        assert_eq!(all("eidas1-mfa"), ["eidas1-mfa", "eidas2", "eidas3"]);
        assert_eq!(all("eidas3"), ["eidas3"]);
        assert!(!all("eidas0-mfa").contains(&"eidas1"), "a password alone is no second factor");
        assert_eq!(all("urn:mace:incommon:iap:silver"), ["urn:mace:incommon:iap:silver"]);
    }

    #[test]
    fn what_is_known_to_be_lower_is_lower_and_nothing_else() {
        let cases = [
            (Some("eidas1"), Some("eidas1-mfa"), true),
            (Some("eidas0-mfa"), Some("eidas1"), true),
            (Some("eidas1"), Some("eidas0-mfa"), true),
            (Some("eidas3"), Some("eidas0"), false),
            (Some("eidas2"), Some("eidas2"), false),
            (Some("urn:silver"), Some("urn:gold"), false),
            (Some("urn:gold"), Some("eidas3"), false),
            (None, Some("urn:gold"), true),
            (None, None, false),
            (Some("eidas0"), None, false),
        ];
        for (level, than, expected) in cases {
            assert_eq!(is_lower(level, than), expected, "{level:?} {than:?}");
        }
    }
}
