//! The key ring and the sealed form of everything that we hand to a browser.
//!
//! Called by `session` (the two cookies) and `login` (`state`). The sealed form is text, safe in
//! a cookie and in a query:
//!
//! ```text
//! base64url( version (1) | key id (4) | nonce (12) | ciphertext | tag (16) )
//! ```
//!
//! The first key of the ring seals; every key opens, so a new key can be put in front without
//! signing anybody out. Must never say why something did not open: there is one answer, `None`.

use crate::random::{self, NoRandomness, Random};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// The form described above. A reader that does not know a version refuses it.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
/// 96 random bits: what GCM is defined for (NIST SP 800-38D §8.2.2). Random nonces keep the
/// chance of a collision below 2^-32 up to 2^32 messages a key: at 100 seals a second that is
/// 16 months, which is why the guide says to put a new key in front every year.
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;
/// Longer texts are refused before any work is done on them: all chunks of the largest tokens
/// cookie that we would set.
pub const MAX_SEALED_LEN: usize = 32 * 1024;

/// What a sealed text is for. Each purpose has keys of its own, derived by HKDF (RFC 5869), so
/// that a text sealed for one can never be opened as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The identity cookie.
    Session,
    /// The tokens cookie.
    Tokens,
    /// `state` of an authorization request.
    SignIn,
    /// `state` of a sign-out at the provider.
    SignOut,
    /// What the store holds of a session for people to see.
    Listing,
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Session, Self::Tokens, Self::SignIn, Self::SignOut, Self::Listing];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"vestibule 1 session",
            Self::Tokens => b"vestibule 1 tokens",
            Self::SignIn => b"vestibule 1 sign-in",
            Self::SignOut => b"vestibule 1 sign-out",
            Self::Listing => b"vestibule 1 listing",
        }
    }
}

/// A key's name and its 32 secret bytes, as configured.
pub struct KeyMaterial {
    /// The name it has in the configuration.
    pub id: String,
    /// 32 random bytes.
    pub secret: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaterial").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The current key and the former ones.
pub struct KeyRing {
    current: Key,
    former: Vec<Key>,
}

struct Key {
    id: [u8; KEY_ID_LEN],
    ciphers: [Aes256Gcm; Purpose::ALL.len()],
}

/// What a sealed text held.
#[derive(Debug)]
pub struct Opened {
    bytes: Vec<u8>,
    /// Whether the current key sealed it; if not, it is time to seal it anew.
    pub by_current_key: bool,
}

impl Opened {
    /// The bytes that were sealed.
    pub fn plaintext(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.bytes);
    }
}

impl KeyRing {
    /// A ring whose first key seals and all of whose keys open; none without a key.
    pub fn new(keys: &[KeyMaterial]) -> Option<Self> {
        Self::of_site(keys, "")
    }

    /// A ring of one site: another site opens nothing of it, even where somebody gave both the
    /// same secret.
    pub fn of_site(keys: &[KeyMaterial], site: &str) -> Option<Self> {
        let mut keys = keys.iter().map(|key| Key::derive(key, site));
        Some(Self { current: keys.next()?, former: keys.collect() })
    }

    /// Seals `plaintext`. It opens again only for the same `purpose` and `associated` bytes,
    /// which name the place it belongs to (a cookie, a browser) and are not part of the text.
    ///
    /// # Errors
    /// When there is no randomness for the nonce.
    pub fn seal(
        &self,
        purpose: Purpose,
        plaintext: &[u8],
        associated: &[u8],
        random: &dyn Random,
    ) -> Result<String, NoRandomness> {
        let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.current.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (_, body) = sealed.split_at_mut(HEADER_LEN);
        // Fails only for plaintexts of 64 GiB.
        let tag = self.current.cipher(purpose).encrypt_inout_detached(&nonce.into(), associated, body.into());
        sealed.extend_from_slice(&tag.map_err(|_| NoRandomness)?);
        Ok(URL_SAFE_NO_PAD.encode(&sealed))
    }

    /// Opens what [`Self::seal`] made with any key of the ring, for the same purpose and
    /// associated bytes. Anything else (foreign, altered, truncated, oversized) is `None`.
    pub fn open(&self, purpose: Purpose, sealed: &[u8], associated: &[u8]) -> Option<Opened> {
        if sealed.len() > MAX_SEALED_LEN {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let body_len = bytes.len().checked_sub(HEADER_LEN + TAG_LEN)?;
        let (header, rest) = bytes.split_at_mut_checked(HEADER_LEN)?;
        let (version, header) = header.split_first()?;
        let (key_id, nonce) = header.split_at_checked(KEY_ID_LEN)?;
        let (body, tag) = rest.split_at_mut_checked(body_len)?;
        if *version != VERSION {
            return None;
        }
        let by_current_key = self.current.id == key_id;
        let key = if by_current_key { &self.current } else { self.former.iter().find(|key| key.id == key_id)? };
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let tag: [u8; TAG_LEN] = (&*tag).try_into().ok()?;
        key.cipher(purpose).decrypt_inout_detached(&nonce.into(), associated, body.into(), &tag.into()).ok()?;
        bytes.truncate(HEADER_LEN + body_len);
        Some(Opened { bytes, by_current_key })
    }
}

impl Key {
    fn derive(material: &KeyMaterial, site: &str) -> Self {
        // The salt separates us and the site from other users of the same secret.
        let salt = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, format!("vestibule{site}").as_bytes());
        let root = salt.extract(material.secret.as_slice());
        let mut id = [0; KEY_ID_LEN];
        // Says nothing of the secret, and differs when a name is used again for another secret.
        expand(&root, b"vestibule 1 key id", &mut id);
        Self { id, ciphers: Purpose::ALL.map(|purpose| cipher(&root, purpose)) }
    }

    fn cipher(&self, purpose: Purpose) -> &Aes256Gcm {
        let [session, tokens, sign_in, sign_out, listing] = &self.ciphers;
        match purpose {
            Purpose::Session => session,
            Purpose::Tokens => tokens,
            Purpose::SignIn => sign_in,
            Purpose::SignOut => sign_out,
            Purpose::Listing => listing,
        }
    }
}

fn cipher(root: &ring::hkdf::Prk, purpose: Purpose) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; 32]);
    expand(root, purpose.label(), key.as_mut_slice());
    Aes256Gcm::new((&*key).into())
}

fn expand(root: &ring::hkdf::Prk, label: &[u8], out: &mut [u8]) {
    struct Len(usize);
    impl ring::hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let filled = root.expand(&[label], Len(out.len())).and_then(|okm| okm.fill(out));
    #[expect(clippy::expect_used, reason = "fails only for outputs above 255 × 32 bytes; ours are 4 and 32")]
    filled.expect("HKDF-SHA256 gives 32 bytes");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use proptest::prelude::*;

    fn ring(secrets: &[u8]) -> KeyRing {
        let key = |byte: &u8| KeyMaterial { id: byte.to_string(), secret: Zeroizing::new([*byte; 32]) };
        KeyRing::new(&secrets.iter().map(key).collect::<Vec<_>>()).unwrap()
    }

    fn seal(ring: &KeyRing, plaintext: &[u8]) -> String {
        ring.seal(Purpose::Session, plaintext, b"cookie", &SystemRandom::new()).unwrap()
    }

    fn opens(ring: &KeyRing, sealed: &str) -> Option<Vec<u8>> {
        ring.open(Purpose::Session, sealed.as_bytes(), b"cookie").map(|opened| opened.plaintext().to_vec())
    }

    #[test]
    fn a_ring_without_keys_does_not_exist() {
        assert!(KeyRing::new(&[]).is_none());
    }

    #[test]
    fn a_site_opens_nothing_of_another_s_though_both_have_the_same_secret() {
        let keys = [KeyMaterial { id: "k".into(), secret: Zeroizing::new([1; 32]) }];
        let [one, other] =
            ["https://a.example app-a", "https://b.example app-b"].map(|site| KeyRing::of_site(&keys, site).unwrap());
        let sealed = seal(&one, b"hello");
        assert_eq!(opens(&one, &sealed).as_deref(), Some(&b"hello"[..]));
        assert_eq!(opens(&other, &sealed), None);
    }

    #[test]
    fn a_former_key_still_opens_and_says_that_it_is_not_the_current_one() {
        let sealed = seal(&ring(&[1]), b"hello");
        let rotated = ring(&[2, 1]);
        let opened = rotated.open(Purpose::Session, sealed.as_bytes(), b"cookie").unwrap();
        assert_eq!((opened.plaintext(), opened.by_current_key), (&b"hello"[..], false));
        assert!(rotated.open(Purpose::Session, seal(&rotated, b"x").as_bytes(), b"cookie").unwrap().by_current_key);
    }

    #[test]
    fn a_key_that_left_the_ring_opens_nothing() {
        assert_eq!(opens(&ring(&[2]), &seal(&ring(&[1]), b"hello")), None);
    }

    #[test]
    fn a_text_opens_only_for_its_purpose_and_its_place() {
        let ring = ring(&[1]);
        let sealed = seal(&ring, b"hello");
        for purpose in Purpose::ALL {
            let opened = ring.open(purpose, sealed.as_bytes(), b"cookie").is_some();
            assert_eq!(opened, purpose == Purpose::Session, "{purpose:?}");
        }
        assert!(ring.open(Purpose::Session, sealed.as_bytes(), b"another cookie").is_none());
    }

    #[test]
    fn the_same_plaintext_never_looks_the_same_twice() {
        let ring = ring(&[1]);
        assert_ne!(seal(&ring, b"hello"), seal(&ring, b"hello"));
    }

    #[test]
    fn an_oversized_text_is_refused() {
        let ring = ring(&[1]);
        let sealed = seal(&ring, &vec![0; MAX_SEALED_LEN]);
        assert!(sealed.len() > MAX_SEALED_LEN);
        assert_eq!(opens(&ring, &sealed), None);
    }

    #[test]
    fn no_secret_is_printed() {
        let key = KeyMaterial { id: "k".into(), secret: Zeroizing::new([0xAB; 32]) };
        assert_eq!(format!("{key:?}"), r#"KeyMaterial { id: "k", .. }"#);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(plaintext: Vec<u8>) {
            let ring = ring(&[1]);
            prop_assert_eq!(opens(&ring, &seal(&ring, &plaintext)), Some(plaintext));
        }

        #[test]
        fn any_altered_byte_and_any_cut_is_refused(at in 0usize..100, with: u8, cut in 0usize..60) {
            let ring = ring(&[1]);
            let sealed = seal(&ring, b"a session of a person");
            let mut altered = sealed.clone().into_bytes();
            let at = at % altered.len();
            altered[at] = with;
            if altered != sealed.as_bytes() {
                prop_assert!(ring.open(Purpose::Session, &altered, b"cookie").is_none());
            }
            prop_assert_eq!(opens(&ring, &sealed[..cut]), None);
        }

        #[test]
        fn random_bytes_never_open(bytes: Vec<u8>) {
            prop_assert!(ring(&[1]).open(Purpose::Session, &bytes, b"cookie").is_none());
        }
    }
}
