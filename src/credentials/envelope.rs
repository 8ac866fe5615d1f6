//! The encrypted envelope that hands a person's key to the playgrounds of 2025.
//!
//! `server` puts one into the address of a page (`?encrypted_token=…`) and reads those that the
//! playground sends back. It is a Fernet token (AES-128-CBC with HMAC-SHA-256, and its moment in
//! the clear), encoded a second time in base64url as those apps expect it:
//!
//! ```text
//! base64url( fernet( {"app_token", "token_id", "proconnect_token", "timestamp"} ) )
//! ```
//!
//! An address is no place for a key: it stays in histories and access logs. This form is for apps
//! that cannot be changed, and only the reader's limit of five minutes and the short life of the
//! key inside make it bearable. Must never say why an envelope did not open, and never print one.
//!
//! The `fernet` crate takes the IV from the operating system and offers no other way: it is the one
//! random value of the program that is no argument. The moment is one.

use crate::clock::Timestamp;
use crate::secret::{ExposeSecret, SecretString};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use fernet::Fernet;
use ring::{digest, pbkdf2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::time::Duration;
use zeroize::Zeroizing;

/// The word of the example configurations, from which anybody can make the key.
pub const PLACEHOLDER: &str = "changeme";

/// Longer texts are refused before any work is done on them. The playground's own envelopes have
/// some 200 bytes; ours, with an ID token of 4 KiB, some 8 000.
const MAX_TEXT_LEN: usize = 16 * 1024;

/// The salt and the number of rounds that the playground of 0.2.1 to 0.2.8 was built with.
const SALT: &[u8] = b"salt";
const ROUNDS: NonZeroU32 = NonZeroU32::new(310_000).expect("is not zero");

/// How the configured text becomes the key, as the two ends of each version agreed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum Derivation {
    /// The text is the key: 32 bytes in base64url, as `Fernet.generate_key()` prints them. The word
    /// `changeme` alone is taken as with `sha256`, as the playground of July 2025 takes it.
    Raw,
    /// The key is the SHA-256 of the text.
    Sha256,
    /// The key is derived from the text with PBKDF2 (HMAC-SHA-256, the salt `salt`, 310 000
    /// rounds), as in versions 0.2.1 to 0.2.8.
    #[default]
    Pbkdf2,
}

/// Why a configured text gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelopeKey {
    /// Nothing is in it.
    #[error("is empty")]
    Empty,
    /// With [`Derivation::Raw`], it is not 32 bytes in base64url.
    #[error("is not 32 bytes in base64url, as Python's Fernet.generate_key() prints them")]
    NotAFernetKey,
}

/// Seals and opens with one key.
pub struct Envelope(Fernet);

/// What goes into an envelope, beside its moment.
pub struct Contents<'a> {
    /// The person's API key.
    pub app_token: &'a SecretString,
    /// The key's number at the API.
    pub token_id: u64,
    /// The ID token, or nothing. Always a text: the playground crashes on `null`.
    pub proconnect_token: &'a str,
}

impl Envelope {
    /// Derives the key: with [`Derivation::Pbkdf2`] that takes a tenth of a second, so it is done
    /// once, at load.
    ///
    /// # Errors
    /// [`BadEnvelopeKey`], which says nothing of the text.
    pub fn new(key: &SecretString, derivation: Derivation) -> Result<Self, BadEnvelopeKey> {
        let text = key.expose_secret();
        if text.is_empty() {
            return Err(BadEnvelopeKey::Empty);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        match derivation {
            Derivation::Raw if text != PLACEHOLDER => {
                let decoded = URL_SAFE_NO_PAD.decode(unpadded(text)).map(Zeroizing::new);
                let decoded = decoded.ok().filter(|decoded| decoded.len() == bytes.len());
                bytes.copy_from_slice(&decoded.ok_or(BadEnvelopeKey::NotAFernetKey)?);
            }
            Derivation::Raw | Derivation::Sha256 => {
                bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
            }
            Derivation::Pbkdf2 => {
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, SALT, text.as_bytes(), bytes.as_mut_slice());
            }
        }
        let encoded = Zeroizing::new(URL_SAFE.encode(bytes.as_slice()));
        Fernet::new(&encoded).map(Self).ok_or(BadEnvelopeKey::NotAFernetKey)
    }

    /// An envelope of `now`, as it goes into a query: base64url with its padding, so that `=` is the
    /// only character that is written `%3D` there.
    ///
    /// # Panics
    /// When the operating system gives no random bytes for the IV: the crate knows no other answer.
    #[must_use]
    #[expect(clippy::expect_used, reason = "texts and numbers always have a JSON form, and memory takes every byte")]
    pub fn seal(&self, contents: &Contents<'_>, now: Timestamp) -> SecretString {
        let clear = Clear {
            app_token: contents.app_token.expose_secret(),
            token_id: contents.token_id,
            proconnect_token: contents.proconnect_token,
            timestamp: now.as_unix(),
        };
        // Room for everything at once: a buffer that grows would leave unwiped copies behind.
        let room = 128 + 2 * (clear.app_token.len() + clear.proconnect_token.len());
        let mut json = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *json, &clear).expect("the contents have a JSON form");
        let token = Zeroizing::new(self.0.encrypt_at_time(&json, now.as_unix()));
        SecretString::from(URL_SAFE.encode(token.as_bytes()))
    }

    /// What was sealed with this key at most `ttl` ago, by a clock at most a minute ahead of ours.
    /// Everything else (foreign, altered, truncated, encoded once, too old) is `None`.
    #[must_use]
    pub fn open(&self, text: &str, ttl: Duration, now: Timestamp) -> Option<Zeroizing<String>> {
        if text.len() > MAX_TEXT_LEN {
            return None;
        }
        let token = String::from_utf8(URL_SAFE_NO_PAD.decode(unpadded(text)).ok()?).ok()?;
        // Without its own limit, which adds to a moment that nobody has verified yet and overflows.
        let opened = self.0.decrypt_at_time(&token, None, now.as_unix()).ok()?;
        let opened = Zeroizing::new(String::from_utf8(opened).ok()?);
        (now.since(moment_of(&token)?) <= ttl).then_some(opened)
    }
}

/// The clear text, with the names that the playground reads.
#[derive(Serialize)]
struct Clear<'a> {
    app_token: &'a str,
    token_id: u64,
    proconnect_token: &'a str,
    timestamp: u64,
}

/// The moment of a Fernet token, which stands behind its version byte. It means something only once
/// the token has been verified.
fn moment_of(token: &str) -> Option<Timestamp> {
    let bytes = URL_SAFE_NO_PAD.decode(unpadded(token)).ok()?;
    let moment = bytes.get(1..9)?.try_into().ok()?;
    Some(Timestamp::from_unix(u64::from_be_bytes(moment)))
}

fn unpadded(text: &str) -> &str {
    text.trim_end_matches('=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::hmac;

    const NOW: Timestamp = Timestamp::from_unix(1_795_214_286);
    const FIVE_MINUTES: Duration = Duration::from_secs(300);
    const VECTORS: &str = include_str!("../../tests/vectors/envelope.txt");
    /// 32 bytes counted up from 1.
    const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

    fn envelope(key: &str, derivation: Derivation) -> Envelope {
        Envelope::new(&key.into(), derivation).unwrap()
    }

    fn sealed(envelope: &Envelope, now: Timestamp) -> SecretString {
        let app_token = SecretString::from("sk-abc");
        envelope.seal(&Contents { app_token: &app_token, token_id: 4, proconnect_token: "" }, now)
    }

    #[test]
    fn what_python_sealed_opens_and_nothing_else_does() {
        let (mut good, mut bad) = (0, 0);
        let mut derived = std::collections::HashMap::new();
        for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
            let [name, derivation, key, now, json, text]: [&str; 6] =
                line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
            let envelope = derived.entry((derivation, key)).or_insert_with(|| {
                let derivation = serde_json::from_value(derivation.into()).unwrap();
                self::envelope(key, derivation)
            });
            let now = Timestamp::from_unix(now.parse().unwrap());
            let text = if text == "-" { "" } else { text };
            let opened = envelope.open(text, FIVE_MINUTES, now);
            let opened = opened.as_ref().map(|opened| opened.as_str());
            if name.starts_with("bad.") {
                assert_eq!(opened, None, "{name}");
                bad += 1;
            } else {
                assert_eq!(opened, Some(json), "{name}");
                good += 1;
            }
        }
        assert!(good >= 8 && bad >= 18, "{good} {bad}");
    }

    #[test]
    fn what_is_sealed_is_a_fernet_token_with_the_four_fields_encoded_twice() {
        let key = SecretString::from("a passphrase");
        let app_token = SecretString::from("sk-\"é\u{1}");
        let envelope = Envelope::new(&key, Derivation::Sha256).unwrap();
        let text = envelope.seal(&Contents { app_token: &app_token, token_id: 7, proconnect_token: "a.b.c" }, NOW);
        let token = URL_SAFE.decode(text.expose_secret()).unwrap();
        let bytes = URL_SAFE.decode(token).unwrap();
        assert_eq!(bytes[0], 0x80);
        assert_eq!(bytes[1..9], NOW.as_unix().to_be_bytes());
        let derived = digest::digest(&digest::SHA256, b"a passphrase");
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &derived.as_ref()[..16]);
        let (signed, tag) = bytes.split_at(bytes.len() - 32);
        hmac::verify(&signing, signed, tag).unwrap();

        let opened = envelope.open(text.expose_secret(), FIVE_MINUTES, NOW).unwrap();
        let json: serde_json::Value = serde_json::from_str(&opened).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "app_token": "sk-\"é\u{1}", "token_id": 7, "proconnect_token": "a.b.c", "timestamp": NOW.as_unix(),
            })
        );
    }

    #[test]
    fn two_envelopes_of_the_same_are_never_alike() {
        let envelope = envelope(KEY, Derivation::Raw);
        assert_ne!(sealed(&envelope, NOW).expose_secret(), sealed(&envelope, NOW).expose_secret());
    }

    #[test]
    fn an_envelope_opens_within_its_time_by_its_own_key_only() {
        let envelope = envelope(KEY, Derivation::Raw);
        let text = sealed(&envelope, NOW);
        for (seconds_later, opens) in [(-61, false), (-60, true), (0, true), (299, true), (300, true), (301, false)] {
            let moment = Timestamp::from_unix(NOW.as_unix().checked_add_signed(seconds_later).unwrap());
            let opened = envelope.open(text.expose_secret(), FIVE_MINUTES, moment);
            assert_eq!(opened.is_some(), opens, "{seconds_later} s later");
        }
        for (key, derivation) in [
            ("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyE", Derivation::Raw),
            (KEY, Derivation::Sha256),
            (PLACEHOLDER, Derivation::Raw),
        ] {
            assert!(self::envelope(key, derivation).open(text.expose_secret(), FIVE_MINUTES, NOW).is_none());
        }
    }

    #[test]
    fn no_moment_overflows() {
        let envelope = envelope(KEY, Derivation::Raw);
        for moment in [0, 1, u64::MAX - 60, u64::MAX - 1, u64::MAX] {
            let text = sealed(&envelope, Timestamp::from_unix(moment));
            assert!(envelope.open(text.expose_secret(), FIVE_MINUTES, NOW).is_none(), "{moment}");
            assert!(envelope.open(text.expose_secret(), Duration::MAX, NOW).is_some() == (moment < 2), "{moment}");
        }
    }

    #[test]
    fn an_altered_envelope_is_nothing() {
        let envelope = envelope(KEY, Derivation::Raw);
        let text = sealed(&envelope, NOW);
        let token = URL_SAFE.decode(text.expose_secret()).unwrap();
        let bytes = URL_SAFE.decode(&token).unwrap();
        let twice = |bytes: &[u8]| URL_SAFE.encode(URL_SAFE.encode(bytes));
        assert!(envelope.open(&twice(&bytes), FIVE_MINUTES, NOW).is_some());
        for length in 0..bytes.len() {
            assert!(envelope.open(&twice(&bytes[..length]), FIVE_MINUTES, NOW).is_none(), "cut to {length}");
            let mut altered = bytes.clone();
            altered[length] ^= 1;
            assert!(envelope.open(&twice(&altered), FIVE_MINUTES, NOW).is_none(), "byte {length}");
        }
        let once = std::str::from_utf8(&token).unwrap();
        for foreign in [once, "", "=", "é", "\0", "{}", "gAAAAA", &twice(b""), &twice(&[0x80]), &twice(&[0x80; 73])] {
            assert!(envelope.open(foreign, FIVE_MINUTES, NOW).is_none(), "{foreign:?}");
        }
    }

    #[test]
    fn an_envelope_beyond_the_limit_is_not_looked_at() {
        let envelope = envelope(KEY, Derivation::Raw);
        let app_token = SecretString::from("sk-abc");
        let of_size = |size: usize| {
            let long = "x".repeat(size);
            envelope.seal(&Contents { app_token: &app_token, token_id: 4, proconnect_token: &long }, NOW)
        };
        assert!(envelope.open(of_size(8_192).expose_secret(), FIVE_MINUTES, NOW).is_some());
        let larger = of_size(12_288);
        assert!(larger.expose_secret().len() > MAX_TEXT_LEN);
        assert!(envelope.open(larger.expose_secret(), FIVE_MINUTES, NOW).is_none());
        assert!(envelope.open(&"A".repeat(1 << 24), FIVE_MINUTES, NOW).is_none());
    }

    #[test]
    fn a_raw_key_is_32_bytes_in_base64url_and_the_placeholder_is_hashed() {
        let of_length = |length| URL_SAFE.encode(vec![7; length]);
        let wrong =
            [&of_length(31), &of_length(33), &of_length(64), "change me", "CHANGEME", " ", &KEY.replace('=', "\n")];
        for key in wrong {
            let error = Envelope::new(&key.into(), Derivation::Raw).err();
            assert_eq!(error, Some(BadEnvelopeKey::NotAFernetKey), "{key:?}");
        }
        for derivation in [Derivation::Raw, Derivation::Sha256, Derivation::Pbkdf2] {
            assert_eq!(Envelope::new(&"".into(), derivation).err(), Some(BadEnvelopeKey::Empty));
        }
        let text = sealed(&envelope(KEY.trim_end_matches('='), Derivation::Raw), NOW);
        assert!(
            envelope(KEY, Derivation::Raw).open(text.expose_secret(), FIVE_MINUTES, NOW).is_some(),
            "padding is free"
        );
        let text = sealed(&envelope(PLACEHOLDER, Derivation::Raw), NOW);
        let hashed = envelope(PLACEHOLDER, Derivation::Sha256);
        assert!(hashed.open(text.expose_secret(), FIVE_MINUTES, NOW).is_some());
    }
}
