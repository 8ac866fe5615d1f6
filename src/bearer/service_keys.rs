//! Static service keys: random texts that programs are given, known here by their hashes alone.
//!
//! Called by `Bearers::verify`. A plain SHA-256 is enough for what nobody can guess: a key has 128
//! bits of randomness at least, unlike a password, so there is nothing to slow down, and a stolen
//! configuration opens nothing. Must never compare in a time that says how much was right.

use crate::claims::Claims;
use crate::clock::Timestamp;
use ring::digest;
use std::fmt::Write;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The shortest text that can hold 128 bits, in base64url. A shorter one is no key, whatever hash is
/// configured: somebody may have hashed a password.
pub const MIN_LEN: usize = 22;

/// What the keys begin with that `vestibule keys service` makes. A token that begins so is shown to
/// no issuer, whether we know it (still) or not.
pub const PREFIX: &str = "vsk_";

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKey {
    /// Who has it, for the log.
    pub name: String,
    /// The SHA-256 of the key.
    pub sha256: [u8; 32],
    /// What is said of who has it; `sub` among them.
    pub claims: Claims,
    /// From this moment on it does not count.
    pub until: Option<Timestamp>,
}

/// The hash of a key as the configuration has it: in 64 hexadecimal digits.
pub fn hash_of(key: &str) -> String {
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing into a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl ServiceKey {
    /// Whether its end has come at the moment `now`.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// The key that `token` is, if it is one, over or not.
///
/// Every key is compared, whichever it is and wherever it stands.
pub(super) fn find<'k>(keys: &'k [ServiceKey], token: &str) -> Option<&'k ServiceKey> {
    if token.len() < MIN_LEN {
        return None;
    }
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    let (mut found, mut index) = (Choice::from(0), u32::MAX);
    for (at, key) in (0..).zip(keys) {
        let same = digest.as_ref().ct_eq(&key.sha256);
        index.conditional_assign(&at, same);
        found |= same;
    }
    if !bool::from(found) {
        return None;
    }
    keys.get(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn key(name: &str, key: &str) -> ServiceKey {
        let sha256 = digest::digest(&digest::SHA256, key.as_bytes()).as_ref().try_into().unwrap();
        ServiceKey { name: name.to_owned(), sha256, claims: Claims::default(), until: None }
    }

    #[test]
    fn a_key_is_found_wherever_it_stands_and_nothing_else_is() {
        let texts = ["the-first-key-of-the-tests-00", "the-second-key-of-the-tests-0", "the-third-key-of-the-tests-00"];
        let keys: Vec<_> = texts.iter().map(|text| key(text, text)).collect();
        for text in texts {
            assert_eq!(find(&keys, text).map(|key| key.name.as_str()), Some(text));
            for other in [&text[..28], &format!("{text}0"), &text.to_uppercase(), ""] {
                assert_eq!(find(&keys, other), None, "{other}");
            }
            // The hash is no key.
            assert_eq!(find(&keys, &hash_of(text)), None);
        }
        assert_eq!(find(&[], texts[0]), None);
    }

    /// From FIPS 180-4's examples.
    #[test]
    fn a_hash_is_written_as_others_write_it() {
        assert_eq!(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_hash_of_a_password_opens_nothing() {
        for weak in ["changeme", "", "21-characters-are-few"] {
            assert_eq!(find(&[key("weak", weak)], weak), None, "{weak}");
        }
        assert!(find(&[key("enough", "22-characters-can-hold")], "22-characters-can-hold").is_some());
    }

    #[test]
    fn a_key_ends_when_it_is_said_to() {
        let text = "the-first-key-of-the-tests-00";
        let ends = [ServiceKey { until: Some(NOW), ..key("ends", text) }];
        let key = find(&ends, text).unwrap();
        assert!(!key.is_over(Timestamp::from_unix(NOW.as_unix() - 1)) && key.is_over(NOW));
        assert!(!ServiceKey { until: None, ..key.clone() }.is_over(NOW));
    }
}
