//! The login cookie: 32 random bytes that name a browser before anybody has signed in there.
//!
//! One small cookie, however many sign-ins are under way; each of them is bound to it. Read and
//! written by `start`, `callback` and `logout`. It says nothing of the person, so nothing in it
//! needs to be believed: it is a key to what is sealed in `state`, not a statement.

use super::round_trips::RoundTrips;
use crate::clock::Timestamp;
use crate::random::{self, NoRandomness, Random};
use crate::web::cookies::{self, Cookies};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// After a silent attempt that found nobody, the next one is not silent for this long.
const SILENT_PAUSE: Duration = Duration::from_secs(5 * 60);

/// A browser, by the secret in its login cookie.
pub struct Browser {
    secret: Zeroizing<[u8; 32]>,
    silent_failed: Option<Timestamp>,
    trips: Option<RoundTrips>,
}

impl Browser {
    /// The browser of a request that shows its login cookie.
    pub fn of(headers: &HeaderMap, cookies: &Cookies) -> Option<Self> {
        let value = std::str::from_utf8(cookies::find(headers, &cookies.login)?).ok()?;
        let mut parts = value.splitn(3, '.');
        let (secret, failed, trips) = (parts.next()?, parts.next(), parts.next());
        let mut bytes = Zeroizing::new([0; 32]);
        let len = URL_SAFE_NO_PAD.decode_slice(secret, bytes.as_mut_slice()).ok()?;
        let silent_failed = failed.and_then(|failed| failed.parse().ok()).map(Timestamp::from_unix);
        let browser = (len == 32).then_some(Self { secret: bytes, silent_failed, trips: None })?;
        let trips = trips.and_then(|written| browser.read_trips(written));
        Some(Self { trips, ..browser })
    }

    /// What is remembered of its round trips, as it stands in the cookie: when the first of them ended, how
    /// many there were, and the proof that it was written here or by another instance.
    fn written_trips(&self) -> Option<String> {
        let RoundTrips { since, begun, has_ended, step, to } = self.trips?;
        let said = format!("{}-{begun}-{}-{step}-{to}", since.as_unix(), u8::from(has_ended));
        Some(format!("{said}-{}", *self.derive("trips", said.as_bytes())))
    }

    fn read_trips(&self, written: &str) -> Option<RoundTrips> {
        let mut parts = written.splitn(6, '-');
        let since = Timestamp::from_unix(parts.next()?.parse().ok()?);
        let (begun, has_ended) = (parts.next()?.parse().ok()?, parts.next()? == "1");
        let (step, to) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let read = Self {
            secret: self.secret.clone(),
            silent_failed: None,
            trips: Some(RoundTrips { since, begun, has_ended, step, to }),
        };
        let same: bool = read.written_trips()?.as_bytes().ct_eq(written.as_bytes()).into();
        same.then_some(read.trips).flatten()
    }

    /// What tells one address from another in its round trips.
    pub(super) fn mark_of(&self, address: &str) -> u32 {
        self.mac("to", address.as_bytes()).as_ref().first_chunk().map_or(0, |mark| u32::from_be_bytes(*mark))
    }

    /// The round trips that it has behind it.
    pub(super) fn trips(&self) -> Option<RoundTrips> {
        self.trips
    }

    /// With these in their place.
    #[must_use]
    pub(super) fn with_trips(mut self, trips: Option<RoundTrips>) -> Self {
        self.trips = trips;
        self
    }

    /// The browser of a request, or a new one.
    ///
    /// # Errors
    /// When no secret can be made.
    pub fn of_or_new(headers: &HeaderMap, cookies: &Cookies, random: &dyn Random) -> Result<Self, NoRandomness> {
        match Self::of(headers, cookies) {
            Some(browser) => Ok(browser),
            None => Ok(Self::of_secret(random::bytes(random)?)),
        }
    }

    /// What stands for a browser that has no cookie.
    pub(super) fn of_secret(secret: [u8; 32]) -> Self {
        Self { secret: Zeroizing::new(secret), silent_failed: None, trips: None }
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
        let failed = self.silent_failed.map(|failed| failed.as_unix().to_string());
        let trips = self.written_trips();
        for part in [failed.or(trips.is_some().then(String::new)), trips].into_iter().flatten() {
            value.push('.');
            value.push_str(&part);
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
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.mac(purpose, attempt)))
    }

    /// The key that the forms of this browser are kept under: whoever has the store and not this
    /// cookie reads none of them.
    pub fn form_key(&self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        // As long as a SHA-256.
        key.iter_mut().zip(self.mac("form", &[]).as_ref()).for_each(|(to, from)| *to = *from);
        key
    }

    fn mac(&self, purpose: &str, of: &[u8]) -> ring::hmac::Tag {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.secret.as_slice());
        let mut context = ring::hmac::Context::with_key(&key);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(of);
        context.sign()
    }
}
