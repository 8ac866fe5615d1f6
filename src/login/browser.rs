//! The login cookie: 32 random bytes that name a browser before anybody has signed in there.
//!
//! One small cookie, however many sign-ins are under way; each of them is bound to it. Read and
//! written by `start`, `callback` and `logout`. It says nothing of the person, so nothing in it
//! needs to be believed: it is a key to what is sealed in `state`, not a statement.

use crate::clock::Timestamp;
use crate::random::{self, NoRandomness, Random};
use crate::web::cookies::{self, Cookies};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use zeroize::Zeroizing;

/// After a silent attempt that found nobody, the next one is not silent for this long.
const SILENT_PAUSE: Duration = Duration::from_secs(5 * 60);

/// A browser, by the secret in its login cookie.
pub struct Browser {
    secret: Zeroizing<[u8; 32]>,
    silent_failed: Option<Timestamp>,
}

impl Browser {
    /// The browser of a request that shows its login cookie.
    pub fn of(headers: &HeaderMap, cookies: &Cookies) -> Option<Self> {
        let value = std::str::from_utf8(cookies::find(headers, &cookies.login)?).ok()?;
        let (secret, failed) = value.split_once('.').map_or((value, None), |(secret, failed)| (secret, Some(failed)));
        let mut bytes = Zeroizing::new([0; 32]);
        let len = URL_SAFE_NO_PAD.decode_slice(secret, bytes.as_mut_slice()).ok()?;
        let silent_failed = failed.and_then(|failed| failed.parse().ok()).map(Timestamp::from_unix);
        (len == 32).then_some(Self { secret: bytes, silent_failed })
    }

    /// The browser of a request, or a new one.
    ///
    /// # Errors
    /// When no secret can be made.
    pub fn of_or_new(headers: &HeaderMap, cookies: &Cookies, random: &dyn Random) -> Result<Self, NoRandomness> {
        match Self::of(headers, cookies) {
            Some(browser) => Ok(browser),
            None => Ok(Self { secret: Zeroizing::new(random::bytes(random)?), silent_failed: None }),
        }
    }

    /// What stands for a browser that has no cookie.
    pub(super) fn of_secret(secret: [u8; 32]) -> Self {
        Self { secret: Zeroizing::new(secret), silent_failed: None }
    }

    /// Remembers that a silent attempt found nobody.
    #[must_use]
    pub fn with_silent_failure(mut self, now: Timestamp) -> Self {
        self.silent_failed = Some(now);
        self
    }

    /// Whether a silent attempt is worth making: not right after one that found nobody.
    pub fn may_try_silently(&self, now: Timestamp) -> bool {
        self.silent_failed.is_none_or(|failed| now.since(failed) >= SILENT_PAUSE)
    }

    /// Its `Set-Cookie`, to live as long as an attempt that begins now may take.
    pub fn cookie(&self, cookies: &Cookies, max_age: Duration) -> Option<HeaderValue> {
        let mut value = URL_SAFE_NO_PAD.encode(self.secret.as_slice());
        if let Some(failed) = self.silent_failed {
            value.push('.');
            value.push_str(&failed.as_unix().to_string());
        }
        cookies.set(&cookies.login, &value, max_age)
    }

    /// What the seal of a sign-out is bound to.
    pub fn binding(&self) -> &[u8] {
        self.secret.as_slice()
    }

    /// A value that only this browser and attempt have: HMAC-SHA256 under the browser's secret.
    /// It never travels with the authorization request, not even sealed.
    pub fn derive(&self, purpose: &str, attempt: &[u8]) -> Zeroizing<String> {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.secret.as_slice());
        let mut context = ring::hmac::Context::with_key(&key);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(attempt);
        Zeroizing::new(URL_SAFE_NO_PAD.encode(context.sign()))
    }
}
