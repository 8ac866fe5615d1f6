//! The key ring and the sealed form of everything that we hand to a browser.
//!
//! Called by `session` (the two cookies) and `login` (`state`). The sealed form is text, safe in
//! a cookie and in a query:
//!
//! ```text
//! base64url( version (1) | key id (4) | nonce (12) | ciphertext | tag (16) )
//! ```
//!
//! The first key of the ring seals; every key opens until its end date, so a new key can be put in
//! front without signing anybody out. `app` replaces the keys of a ring that is in use when their
//! files change. Must never say why something did not open: there is one answer, `None`.

use crate::clock::Timestamp;
use crate::random::{self, NoRandomness, Random};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// The form described above. A reader that does not know a version refuses it.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
/// 96 random bits: what GCM is defined for (NIST SP 800-38D §8.2.2). Random nonces keep the
/// chance of a collision below 2^-32 up to 2^32 messages a key: at 100 seals a second that is
/// 16 months, which is why docs/keys.md says to put a new key in front every year.
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
    /// What upstreams need to trust a session: the credentials cookie, and its like in the store.
    Credentials,
    /// What an app shows to learn whose session it is: the proof cookie.
    Proof,
    /// The access token of an app that holds one in its memory.
    AccessToken,
    /// What such an app gets new ones with.
    Handle,
    /// A form that is kept over a sign-in, in the store.
    Form,
    /// What shows that a page of ours sent a request: the cookie that scripts repeat in a header.
    RequestToken,
    /// What an app keeps of a session or a person, in the store.
    AppData,
}

impl Purpose {
    const ALL: [Self; 12] = [
        Self::Session,
        Self::Tokens,
        Self::SignIn,
        Self::SignOut,
        Self::Listing,
        Self::Credentials,
        Self::Proof,
        Self::AccessToken,
        Self::Handle,
        Self::Form,
        Self::RequestToken,
        Self::AppData,
    ];

    /// Longer texts are refused before any work is done on them.
    const fn max_sealed_len(self) -> usize {
        match self {
            // 64 kB of a form, in base64, with the names of what is around it.
            Self::Form => 128 * 1024,
            _ => MAX_SEALED_LEN,
        }
    }

    const fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"vestibule 1 session",
            Self::Tokens => b"vestibule 1 tokens",
            Self::SignIn => b"vestibule 1 sign-in",
            Self::SignOut => b"vestibule 1 sign-out",
            Self::Listing => b"vestibule 1 listing",
            Self::Credentials => b"vestibule 1 credentials",
            Self::Proof => b"vestibule 1 proof",
            Self::AccessToken => b"vestibule 1 access token",
            Self::Handle => b"vestibule 1 handle",
            Self::Form => b"vestibule 1 form",
            Self::RequestToken => b"vestibule 1 request token",
            Self::AppData => b"vestibule 1 app data",
        }
    }
}

/// A key's name and its 32 secret bytes, as configured.
pub struct KeyMaterial {
    /// The name it has in the configuration.
    pub id: String,
    /// 32 random bytes.
    pub secret: Zeroizing<[u8; 32]>,
    /// From this moment on it opens nothing; none where only its removal ends it. It says nothing
    /// of the first key, which seals.
    pub until: Option<Timestamp>,
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaterial").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The current key and the others, as long as they open. Whoever holds the ring has its present
/// keys: they are replaced inside it, and nobody waits for that.
pub struct KeyRing {
    site: String,
    keys: ArcSwap<Keys>,
}

struct Keys {
    current: Key,
    others: Vec<Key>,
}

/// What [`KeyRing::replace`] changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: these were its keys already.
    Nothing,
    /// Which keys open besides the one that seals.
    Others,
    /// The key that seals, and maybe others.
    Current,
}

struct Key {
    name: String,
    id: [u8; KEY_ID_LEN],
    until: Option<Timestamp>,
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
        Some(Self { site: site.to_owned(), keys: ArcSwap::from_pointee(Keys::derive(keys, site)?) })
    }

    /// Puts these keys in the place of the present ones. What is being opened or sealed at this
    /// moment ends with the keys it began with. Without a key nothing changes.
    pub fn replace(&self, keys: &[KeyMaterial]) -> Change {
        let Some(new) = Keys::derive(keys, &self.site) else { return Change::Nothing };
        let present = self.keys.load();
        let change = if present.current.id != new.current.id {
            Change::Current
        } else if !present.others.iter().map(Key::rule).eq(new.others.iter().map(Key::rule)) {
            Change::Others
        } else {
            return Change::Nothing;
        };
        self.keys.store(Arc::new(new));
        change
    }

    /// The keys for log lines, the one that seals first: each with its name and with the id that
    /// is in all it sealed, by which replicas can be compared. Nothing of this is secret.
    pub fn describe(&self) -> String {
        let keys = self.keys.load();
        let described = [&keys.current]
            .into_iter()
            .chain(&keys.others)
            .map(|key| format!("{} ({:08x})", key.name, u32::from_be_bytes(key.id)));
        described.collect::<Vec<_>>().join(", ")
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
        let keys = self.keys.load();
        let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&keys.current.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (_, body) = sealed.split_at_mut(HEADER_LEN);
        // Fails only for plaintexts of 64 GiB.
        let tag = keys.current.cipher(purpose).encrypt_inout_detached(&nonce.into(), associated, body.into());
        sealed.extend_from_slice(&tag.map_err(|_| NoRandomness)?);
        Ok(URL_SAFE_NO_PAD.encode(&sealed))
    }

    /// Opens what [`Self::seal`] made with any key of the ring that has not reached its end, for
    /// the same purpose and associated bytes. Anything else (foreign, altered, truncated,
    /// oversized) is `None`.
    pub fn open(&self, purpose: Purpose, sealed: &[u8], associated: &[u8], now: Timestamp) -> Option<Opened> {
        if sealed.len() > purpose.max_sealed_len() {
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
        let keys = self.keys.load();
        let by_current_key = keys.current.id == key_id;
        let key = if by_current_key { &keys.current } else { keys.others.iter().find(|key| key.id == key_id)? };
        // A key that seals has no end: what it seals now must open.
        if !by_current_key && key.until.is_some_and(|until| now >= until) {
            return None;
        }
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let tag: [u8; TAG_LEN] = (&*tag).try_into().ok()?;
        key.cipher(purpose).decrypt_inout_detached(&nonce.into(), associated, body.into(), &tag.into()).ok()?;
        bytes.truncate(HEADER_LEN + body_len);
        Some(Opened { bytes, by_current_key })
    }
}

impl Keys {
    fn derive(keys: &[KeyMaterial], site: &str) -> Option<Self> {
        let mut keys = keys.iter().map(|key| Key::derive(key, site));
        Some(Self { current: keys.next()?, others: keys.collect() })
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
        let ciphers = Purpose::ALL.map(|purpose| cipher(&root, purpose));
        Self { name: material.id.clone(), id, until: material.until, ciphers }
    }

    /// All that is to it besides its name.
    fn rule(&self) -> ([u8; KEY_ID_LEN], Option<Timestamp>) {
        (self.id, self.until)
    }

    fn cipher(&self, purpose: Purpose) -> &Aes256Gcm {
        let [
            session,
            tokens,
            sign_in,
            sign_out,
            listing,
            credentials,
            proof,
            access_token,
            handle,
            form,
            request_token,
            app_data,
        ] = &self.ciphers;
        match purpose {
            Purpose::Session => session,
            Purpose::Tokens => tokens,
            Purpose::SignIn => sign_in,
            Purpose::SignOut => sign_out,
            Purpose::Listing => listing,
            Purpose::Credentials => credentials,
            Purpose::Proof => proof,
            Purpose::AccessToken => access_token,
            Purpose::Handle => handle,
            Purpose::Form => form,
            Purpose::RequestToken => request_token,
            Purpose::AppData => app_data,
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
