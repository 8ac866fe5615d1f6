//! One attempt to sign in: what `state` carries through the provider and back.
//!
//! Made by `start` and `by_app`, opened by `callback` and `by_app` before they look at anything else. `state` is sealed under
//! our keys, holds 32 random bytes that no other attempt has, and a proof of the browser's cookie:
//! it is an attempt only in the browser that began. `nonce` and the PKCE verifier are derived
//! from those bytes and the browser's secret: both are as long as a SHA-256 and neither can be
//! known from the URL (RFC 9700 §2.1.1, OpenID Connect Core §15.5.2).

use super::browser::Browser;
use crate::clock::Timestamp;
use crate::random::{self, NoRandomness, Random};
use crate::seal::{KeyRing, Purpose};
use crate::web::return_to::ReturnTo;
use moka::policy::EvictionPolicy;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// One attempt to sign in.
#[derive(Debug)]
pub struct Attempt {
    id: [u8; 32],
    started: Timestamp,
    /// What was asked for.
    pub wish: Wish,
}

/// What an attempt is made for: all that is needed to make it once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Where the browser goes afterwards.
    pub return_to: ReturnTo,
    /// Whether the provider is asked not to show anything.
    pub silent: bool,
    /// Whether this takes the place of an attempt whose login cookie was lost.
    pub again: bool,
}

/// Who takes the answer to an attempt. A `state` for one is nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taker {
    /// Our own callback, from the browser that began.
    Callback,
    /// The app's own page, which hands it on in the browser that began.
    App,
    /// An app that has no cookies: whoever shows the `state` is taken for who began. What stands
    /// for the browser is in it, sealed.
    Cookieless,
}

/// Whose answer an attempt waits for, and who takes it. A `state` counts for these two alone: that is what
/// keeps one provider's answer from being taken for another's (RFC 9700 §4.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way<'a> {
    /// Who takes the answer.
    pub taker: Taker,
    /// The provider's name; none where the site has one provider.
    pub provider: Option<&'a str>,
}

impl Way<'_> {
    /// What the seal is bound to. No name has a zero byte in it.
    fn binding(self) -> Vec<u8> {
        let taker: &[u8] = match self.taker {
            Taker::Callback => b"state",
            Taker::App => b"state of an app",
            Taker::Cookieless => b"state of an app without cookies",
        };
        match self.provider {
            None => taker.to_vec(),
            Some(provider) => [taker, &[0], provider.as_bytes()].concat(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    id: [u8; 32],
    /// Known to the browser that began, and to no other: see [`proof`].
    proof: &'a str,
    started: Timestamp,
    silent: bool,
    again: bool,
    return_to: &'a str,
}

/// Why a `state` is not an attempt of this browser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAttempt {
    /// Altered, foreign, or sealed under a key that left the ring.
    #[error("the state does not open")]
    Unreadable,
    /// One of ours, for another provider: this one answers a question that it was not asked.
    #[error("the state was made for another provider than the one whose callback this is")]
    OtherProvider,
    /// One of ours, but begun under another login cookie than the browser shows: in another
    /// browser, or in a tab that lost its cookie to one opened at the same moment.
    #[error("the state was made for another login cookie")]
    OtherCookie(Wish),
    /// The person took longer than the attempt lives.
    #[error("the attempt to sign in is too old")]
    Expired,
}

impl Attempt {
    /// A new attempt.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn begin(wish: Wish, now: Timestamp, random: &dyn Random) -> Result<Self, NoRandomness> {
        Ok(Self { id: random::bytes(random)?, started: now, wish })
    }

    /// The `state` that carries it, for this one to take.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn seal(
        &self,
        way: Way<'_>,
        browser: &Browser,
        ring: &KeyRing,
        random: &dyn Random,
    ) -> Result<String, NoRandomness> {
        let written = Written {
            id: self.id,
            proof: &proof(browser, &self.id),
            started: self.started,
            silent: self.wish.silent,
            again: self.wish.again,
            return_to: self.wish.return_to.as_str(),
        };
        let mut plaintext = Zeroizing::new(postcard::to_stdvec(&written).map_err(|_| NoRandomness)?);
        if way.taker == Taker::Cookieless {
            plaintext.extend_from_slice(browser.binding());
        }
        ring.seal(Purpose::SignIn, &plaintext, &way.binding(), random)
    }

    /// Opens a `state` that was sealed for one of those to whom the browser brings its cookie.
    ///
    /// # Errors
    /// [`NoAttempt`], by cause.
    pub fn open(
        state: &str,
        way: Way<'_>,
        browser: &Browser,
        ring: &KeyRing,
        lifetime: Duration,
        now: Timestamp,
        return_to: impl Fn(&str) -> Option<ReturnTo>,
    ) -> Result<Self, NoAttempt> {
        if way.taker == Taker::Cookieless {
            return Err(NoAttempt::Unreadable);
        }
        let opened = ring.open(Purpose::SignIn, state.as_bytes(), &way.binding(), now).ok_or(NoAttempt::Unreadable)?;
        Self::read(opened.plaintext(), browser, lifetime, now, return_to)
    }

    /// Whether a `state` is one of ours on this way, of whatever browser: for the log, which says what
    /// somebody tried.
    pub fn is_on(state: &str, way: Way<'_>, ring: &KeyRing, now: Timestamp) -> bool {
        ring.open(Purpose::SignIn, state.as_bytes(), &way.binding(), now).is_some()
    }

    /// Opens a `state` of an app without cookies that waits for the answer of this provider, with what stands for its browser.
    ///
    /// # Errors
    /// [`NoAttempt`], by cause.
    pub fn open_cookieless(
        state: &str,
        provider: Option<&str>,
        ring: &KeyRing,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(Self, Browser), NoAttempt> {
        let way = Way { taker: Taker::Cookieless, provider };
        let opened = ring.open(Purpose::SignIn, state.as_bytes(), &way.binding(), now);
        let opened = opened.ok_or(NoAttempt::Unreadable)?;
        let (written, secret) = opened.plaintext().split_last_chunk::<32>().ok_or(NoAttempt::Unreadable)?;
        let browser = Browser::of_secret(*secret);
        Ok((Self::read(written, &browser, lifetime, now, |_| None)?, browser))
    }

    fn read(
        plaintext: &[u8],
        browser: &Browser,
        lifetime: Duration,
        now: Timestamp,
        return_to: impl Fn(&str) -> Option<ReturnTo>,
    ) -> Result<Self, NoAttempt> {
        let written: Written<'_> = postcard::from_bytes(plaintext).map_err(|_| NoAttempt::Unreadable)?;
        if now.since(written.started) >= lifetime {
            return Err(NoAttempt::Expired);
        }
        // We sealed it, and still: there is one way to make a return target.
        let return_to = return_to(written.return_to).unwrap_or_else(ReturnTo::root);
        let wish = Wish { return_to, silent: written.silent, again: written.again };
        let same: bool = written.proof.as_bytes().ct_eq(proof(browser, &written.id).as_bytes()).into();
        if same {
            Ok(Self { id: written.id, started: written.started, wish })
        } else {
            Err(NoAttempt::OtherCookie(wish))
        }
    }

    /// Its `nonce`.
    pub fn nonce(&self, browser: &Browser) -> Zeroizing<String> {
        browser.derive("nonce", &self.id)
    }

    /// Its PKCE verifier: 43 characters, as RFC 7636 §4.1 asks for.
    pub fn pkce_verifier(&self, browser: &Browser) -> Zeroizing<String> {
        browser.derive("pkce", &self.id)
    }
}

/// What only the browser of an attempt can have made.
fn proof(browser: &Browser, id: &[u8; 32]) -> Zeroizing<String> {
    browser.derive("browser", id)
}

/// The attempts whose callback was accepted: each is accepted once.
///
/// Anybody may begin attempts and answer them with an error, so it is bounded: past that many in
/// one attempt's lifetime the eldest are forgotten, as they are on another replica, and a replay of
/// those ends at the provider, where a code is good once.
pub struct UsedAttempts(moka::sync::Cache<[u8; 32], ()>);

/// About 20 MB at most.
const MAX_USED: u64 = 100_000;

impl UsedAttempts {
    /// Remembers attempts for as long as they could be opened.
    pub fn new(lifetime: Duration) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(MAX_USED).time_to_live(lifetime);
        Self(builder.eviction_policy(EvictionPolicy::lru()).build())
    }

    /// Marks an attempt as used. `false` when it was used before.
    pub fn use_once(&self, attempt: &Attempt) -> bool {
        self.0.entry(attempt.id).or_insert(()).is_fresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::seal::KeyMaterial;
    use crate::web::cookies::{Cookies, Settings};
    use crate::web::public_url::PublicUrl;
    use crate::web::return_to::Prefix;
    use http::HeaderMap;
    use http::header::{COOKIE, SET_COOKIE};

    const CALLBACK: Way<'static> = Way { taker: Taker::Callback, provider: None };
    const HOUR: Duration = Duration::from_secs(3600);

    fn site() -> (PublicUrl, Prefix, Cookies, KeyRing) {
        let url = PublicUrl::parse("https://app.example").unwrap();
        let cookies = Cookies::new(&url, &Settings::default());
        let ring =
            KeyRing::new(&[KeyMaterial { id: "k".into(), secret: Zeroizing::new([7; 32]), until: None }]).unwrap();
        (url, Prefix::default(), cookies, ring)
    }

    fn new_browser(cookies: &Cookies) -> Browser {
        Browser::of_or_new(&HeaderMap::new(), cookies, &SystemRandom::new()).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn wish() -> Wish {
        Wish { return_to: ReturnTo::root(), silent: false, again: false }
    }

    #[test]
    fn an_attempt_opens_in_its_own_browser_for_an_hour_and_in_no_other() {
        let (url, prefix, cookies, ring) = site();
        let (mine, other, random) = (new_browser(&cookies), new_browser(&cookies), SystemRandom::new());
        let here = |text: &str| ReturnTo::parse(text, &url, &prefix).ok();
        let return_to = here("/a?b=c").unwrap();
        let wish = Wish { return_to, silent: true, again: false };
        let state = Attempt::begin(wish.clone(), at(1000), &random).unwrap();
        let state = state.seal(CALLBACK, &mine, &ring, &random).unwrap();
        let open =
            |browser: &Browser, state: &str, now| Attempt::open(state, CALLBACK, browser, &ring, HOUR, at(now), here);
        assert_eq!(open(&mine, &state, 4599).unwrap().wish, wish);
        assert_eq!(open(&mine, &state, 4600).unwrap_err(), NoAttempt::Expired);
        assert_eq!(open(&other, &state, 4600).unwrap_err(), NoAttempt::Expired);
        assert_eq!(open(&other, &state, 1000).unwrap_err(), NoAttempt::OtherCookie(wish));
        assert_eq!(open(&mine, &state[1..], 1000).unwrap_err(), NoAttempt::Unreadable);
        assert_eq!(open(&mine, "", 1000).unwrap_err(), NoAttempt::Unreadable);
    }

    #[test]
    fn nonce_and_verifier_are_long_and_of_one_attempt_in_one_browser() {
        let (_, _, cookies, _) = site();
        let (mine, other, random) = (new_browser(&cookies), new_browser(&cookies), SystemRandom::new());
        let attempt = |_| Attempt::begin(wish(), at(0), &random).unwrap();
        let [first, second] = [0, 1].map(attempt);
        let known = proof(&mine, &first.id);
        let all = [known, first.nonce(&mine), first.pkce_verifier(&mine), first.nonce(&other), second.nonce(&mine)];
        for (index, value) in all.iter().enumerate() {
            assert_eq!(value.len(), 43);
            assert!(!all[..index].contains(value));
        }
    }

    #[test]
    fn a_state_for_one_taker_or_provider_is_nothing_to_another() {
        let (_, _, cookies, ring) = site();
        let (browser, random) = (new_browser(&cookies), SystemRandom::new());
        let attempt = Attempt::begin(wish(), at(0), &random).unwrap();
        let takers = [Taker::Callback, Taker::App, Taker::Cookieless];
        let providers = [None, Some("one"), Some("two")];
        let ways = || takers.into_iter().flat_map(|taker| providers.map(|provider| Way { taker, provider }));
        for made in ways() {
            let state = attempt.seal(made, &browser, &ring, &random).unwrap();
            for shown in ways() {
                let opened = Attempt::open(&state, shown, &browser, &ring, HOUR, at(0), |_| None);
                assert_eq!(opened.is_ok(), made == shown && made.taker != Taker::Cookieless, "{made:?} {shown:?}");
                assert_eq!(Attempt::is_on(&state, shown, &ring, at(0)), made == shown, "{made:?} {shown:?}");
            }
            for provider in providers {
                let opened = Attempt::open_cookieless(&state, provider, &ring, HOUR, at(0));
                let is_its = made == Way { taker: Taker::Cookieless, provider };
                assert_eq!(opened.is_ok(), is_its, "{made:?} {provider:?}");
                if let Ok((opened, stands_for)) = opened {
                    assert_eq!(opened.nonce(&stands_for), attempt.nonce(&browser));
                    assert_eq!(opened.pkce_verifier(&stands_for), attempt.pkce_verifier(&browser));
                    let late = Attempt::open_cookieless(&state, provider, &ring, HOUR, at(3600));
                    assert_eq!(late.err(), Some(NoAttempt::Expired));
                }
            }
        }
    }

    #[test]
    fn an_attempt_is_used_once() {
        let used = UsedAttempts::new(HOUR);
        let attempt = Attempt::begin(wish(), at(0), &SystemRandom::new()).unwrap();
        assert_eq!([used.use_once(&attempt), used.use_once(&attempt)], [true, false]);
    }

    #[test]
    fn the_login_cookie_stays_small_and_remembers_a_silent_failure() {
        let (_, _, cookies, _) = site();
        let browser = new_browser(&cookies).with_silent_failure(at(1000));
        let set = browser.cookie(&cookies, HOUR).unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(pair.len() < 100, "{pair}");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, pair.parse().unwrap());
        let back = Browser::of(&headers, &cookies).unwrap();
        assert_eq!(back.binding(), browser.binding());
        assert_eq!((back.may_try_silently(at(1299)), back.may_try_silently(at(1300))), (false, true));
        assert!(!headers.contains_key(SET_COOKIE));
    }

    #[test]
    fn a_login_cookie_of_other_making_is_no_browser() {
        let (_, _, cookies, _) = site();
        for value in ["", "x", "AAAA", ".", "AAAA.5", &"A".repeat(44), &"A".repeat(5000), &"=".repeat(43)] {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, format!("__Host-vestibule-login={value}").parse().unwrap());
            assert!(Browser::of(&headers, &cookies).is_none(), "{value}");
        }
    }
}
