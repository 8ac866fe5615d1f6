//! The way to the provider.
//!
//! Called by `server` for `/oauth2/start` and `/oauth2/sign_in`, and for navigations that the
//! gate sends to sign in.

use super::attempt::{Attempt, Taker, Way, Wish};
use super::browser::Browser;
use super::choice::Chosen;
use super::query::Parameters;
use super::round_trips::RoundTrips;
use super::{Entry, Login};
use crate::clock::Timestamp;
use crate::oidc::{AuthorizationRequest, Provider, StepUp, Unreachable};
use crate::pages::LoopCause;
use crate::random::{NoRandomness, Random};
use crate::web::forwarded::{RETURN_TO, single};
use crate::web::return_to::ReturnTo;
use http::{HeaderMap, HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How the browser goes on.
#[derive(Debug)]
pub enum Start {
    /// To the provider, with the login cookie that binds the attempt to this browser.
    Provider {
        /// The authorization request, or what has to come before it.
        location: String,
        /// The login cookie.
        cookie: Option<HeaderValue>,
        /// Its name.
        provider: String,
    },
    /// By a page that goes on to this provider by itself where scripts run: it is only there for the
    /// fragment.
    GoOn {
        /// Where it will come back to.
        return_to: ReturnTo,
        /// The provider's name.
        provider: String,
    },
    /// Nowhere: it would go round for ever.
    Loop {
        /// Why.
        cause: LoopCause,
        /// The login cookie, which has forgotten the way so far.
        cookie: Option<HeaderValue>,
    },
    /// By the sign-in page.
    Page {
        /// Where it will come back to.
        return_to: ReturnTo,
        /// The address that was typed, where it leads to none of several providers.
        unfit: Option<String>,
    },
    /// By a page that asks first: there is a session with another provider, and it would end.
    Switch {
        /// Where it will come back to.
        return_to: ReturnTo,
        /// The name of the provider.
        to: String,
        /// The name of the other one.
        from: String,
    },
}

/// Why no sign-in can begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The provider's metadata cannot be had.
    #[error(transparent)]
    Provider(#[from] Unreachable),
    /// Nobody has said which provider an app signs in with.
    #[error("no provider is named for the app that signs in")]
    NoProvider,
    /// No unguessable `state` can be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// What `/oauth2/start` and `/oauth2/sign_in` are asked for.
#[derive(Debug)]
pub struct Asked {
    /// Where to go afterwards: `rd`, if it is on this site or a listed one.
    pub return_to: ReturnTo,
    /// Whom to suggest to the provider, if it looks like an e-mail address.
    pub login_hint: Option<String>,
    /// What is asked for of somebody who has a session: `acr_values`, `max_age` (RFC 9470 §4).
    pub step_up: Option<StepUp>,
    /// The provider that is meant, by its name.
    pub provider: Option<String>,
    /// The address that was typed, by which a provider is to be found.
    pub email: Option<String>,
}

impl Login {
    /// Reads the query or form of `/oauth2/start` and `/oauth2/sign_in`, and where the front proxy
    /// says that the browser came from (`X-Auth-Request-Redirect`). What cannot be used is left out:
    /// a bad `rd` leads to the front page, never elsewhere.
    pub fn asked(&self, query: &str, headers: &HeaderMap) -> Asked {
        let parameters = Parameters::parse(query);
        let rd = parameters.get("rd").ok().flatten();
        let told = || single(headers, &RETURN_TO).and_then(|told| self.return_to(told));
        let return_to = rd.and_then(|rd| self.return_to(rd)).or_else(told);
        Asked {
            return_to: return_to.unwrap_or_else(|| self.settings.after.clone()),
            login_hint: login_hint(&parameters),
            step_up: step_up(&parameters),
            provider: parameters.get("provider").ok().flatten().map(str::to_owned),
            email: typed_address(&parameters),
        }
    }

    /// The one way to a return target here: on this site, or on a listed one.
    pub(super) fn return_to(&self, text: &str) -> Option<ReturnTo> {
        ReturnTo::parse_listed(text, &self.public_url, &self.prefix, &self.settings.return_hosts).ok()
    }

    /// Leads a navigation without a session to sign in, in the configured way, with one of the
    /// providers `of_route`. `scheme` is what the browser speaks, as far as it is known.
    ///
    /// # Errors
    /// [`StartError`], by cause.
    pub async fn enter(
        &self,
        headers: &HeaderMap,
        scheme: &str,
        return_to: ReturnTo,
        of_route: &[String],
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Start, StartError> {
        if let Some(cause) = self.goes_round(headers, scheme, None, now) {
            return Ok(Start::Loop { cause, cookie: self.afresh(headers) });
        }
        let page = |return_to| Start::Page { return_to, unfit: None };
        let provider = match self.settings.entry {
            Entry::Silent => self.asked_silently(of_route, headers, now),
            Entry::Automatic | Entry::Page => self.only_offered(of_route),
        };
        let Some(provider) = provider else { return Ok(page(return_to)) };
        let silent = match self.settings.entry {
            Entry::Automatic if would_lose_fragment(headers, &return_to) => {
                return Ok(Start::GoOn { return_to, provider: provider.settings().name.clone() });
            }
            Entry::Automatic => false,
            Entry::Page => return Ok(page(return_to)),
            Entry::Silent => {
                // Without its cookie a browser cannot say that a silent attempt just failed; the
                // callback then ends on a page, so there is no loop without cookies either.
                if Browser::of(headers, &self.cookies).is_some_and(|browser| !browser.may_try_silently(now)) {
                    return Ok(page(return_to));
                }
                true
            }
        };
        let wish = Wish { return_to, silent, again: false, step_up: None };
        self.led_to(provider, headers, wish, None, now, random).await
    }

    /// Leads to the provider because a person asked for it: to one of those `of_route`.
    ///
    /// # Errors
    /// [`StartError`], by cause.
    #[expect(clippy::too_many_arguments, reason = "a request, and what is asked of it")]
    pub async fn start(
        &self,
        method: &Method,
        headers: &HeaderMap,
        scheme: &str,
        asked: Asked,
        of_route: &[String],
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Start, StartError> {
        let to = Some(&asked.return_to).filter(|_| asked.step_up.is_none());
        if let Some(cause) = self.goes_round(headers, scheme, to, now).filter(|_| method != Method::POST) {
            return Ok(Start::Loop { cause, cookie: self.afresh(headers) });
        }
        let return_to = asked.return_to.clone();
        if let Some(step_up) = asked.step_up.clone()
            && let Ok(opened) = self.live(headers, now)
        {
            return self.step_up(&opened, headers, scheme, return_to, step_up, now, random).await;
        }
        let provider = match self.chosen(&asked, of_route) {
            Chosen::Provider(provider) => provider,
            Chosen::ByPerson => return Ok(Start::Page { return_to, unfit: None }),
            Chosen::Unfit(email) => return Ok(Start::Page { return_to, unfit: Some(email) }),
        };
        if !self.is_meant(headers)
            && let Some(from) = self.signed_in_elsewhere(provider, headers, now)
        {
            return Ok(Start::Switch { return_to, to: provider.settings().name.clone(), from });
        }
        if method == Method::GET && asked.login_hint.is_none() && would_lose_fragment(headers, &return_to) {
            return Ok(Start::GoOn { return_to, provider: provider.settings().name.clone() });
        }
        let wish = Wish { return_to, silent: false, again: false, step_up: None };
        let hint = asked.login_hint.as_deref().or(asked.email.as_deref().filter(|email| looks_like_email(email)));
        self.led_to(provider, headers, wish, hint, now, random).await
    }

    pub(super) async fn led_to(
        &self,
        provider: &Arc<Provider>,
        headers: &HeaderMap,
        wish: Wish,
        login_hint: Option<&str>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Start, StartError> {
        let (location, cookie) = self.to_provider(provider, headers, wish, login_hint, now, random).await?;
        Ok(Start::Provider { location, cookie, provider: provider.settings().name.clone() })
    }

    /// The authorization request of a new attempt, and the login cookie that goes with it.
    pub(super) async fn to_provider(
        &self,
        provider: &Provider,
        headers: &HeaderMap,
        wish: Wish,
        login_hint: Option<&str>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(String, Option<HeaderValue>), StartError> {
        let browser = Browser::of_or_new(headers, &self.cookies, random)?;
        let trips = {
            let to = Some(&wish.return_to).filter(|_| wish.step_up.is_none());
            RoundTrips::begins(self.trips_of(&browser, headers, to, now), now)
        };
        let browser = browser.with_trips(trips);
        let (location, _) =
            self.authorization(provider, Taker::Callback, &browser, wish, login_hint, now, random).await?;
        // Set anew each time, so that it outlives the youngest attempt.
        Ok((location, browser.cookie(&self.cookies, self.settings.attempt_lifetime)))
    }

    /// A new attempt whose answer `taker` takes: its authorization request, and its `state`.
    #[expect(clippy::too_many_arguments, reason = "what an authorization request is made of")]
    pub(super) async fn authorization(
        &self,
        provider: &Provider,
        taker: Taker,
        browser: &Browser,
        wish: Wish,
        login_hint: Option<&str>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(String, String), StartError> {
        let (silent, step_up) = (wish.silent, wish.step_up.clone());
        let attempt = Attempt::begin(wish, now, random)?;
        let way = Way { taker, provider: self.told_apart(provider) };
        let state = attempt.seal(way, browser, &self.ring, random)?;
        let request = AuthorizationRequest {
            state: &state,
            nonce: &attempt.nonce(browser),
            pkce_verifier: &attempt.pkce_verifier(browser),
            silent,
            login_hint,
            step_up: step_up.as_ref(),
            redirect_uri: self.redirect_uri(taker),
        };
        let location = provider.authorization_url(&request, now).await?.to_string();
        Ok((location, state))
    }

    /// Where the provider returns to with the answer to such an attempt, where that is not our own
    /// callback.
    pub(super) fn redirect_uri(&self, taker: Taker) -> Option<&Url> {
        let by_app = self.settings.by_app.as_ref().filter(|_| taker != Taker::Callback)?;
        Some(&by_app.redirect_uri)
    }
}

/// Whether a browser is at an address whose fragment no server has heard of, and a provider that shows a
/// page would be the end of it. Other clients say less of themselves, and are led on without a page.
fn would_lose_fragment(headers: &HeaderMap, return_to: &ReturnTo) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|dest| dest == "document") && !return_to.as_str().contains('#')
}

/// Whom a query or form suggests to the provider.
pub(super) fn login_hint(parameters: &Parameters<'_>) -> Option<String> {
    let hint = parameters.get("login_hint").ok().flatten().filter(|hint| looks_like_email(hint));
    hint.map(str::to_owned)
}

/// The most levels that an address asks for, and the longest of them.
const MOST_LEVELS: usize = 16;
const LONGEST_LEVEL: usize = 128;

/// What an address or a form asks for besides. More can be asked for by whoever wrote it, never less: what
/// came of it is looked at, and a session is not lowered.
fn step_up(parameters: &Parameters<'_>) -> Option<StepUp> {
    let one = |name| parameters.get(name).ok().flatten();
    let levels: Vec<String> =
        one("acr_values").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let is_plain = |level: &String| level.len() <= LONGEST_LEVEL && level.bytes().all(|byte| byte.is_ascii_graphic());
    let max_age = match one("max_age") {
        Some(seconds) => Some(Duration::from_secs(seconds.parse::<u32>().ok()?.max(60).into())),
        None => None,
    };
    let counts = levels.len() <= MOST_LEVELS && levels.iter().all(is_plain);
    (counts && !(levels.is_empty() && max_age.is_none())).then_some(StepUp { acr_values: levels, max_age })
}

/// The address by which a provider is to be found. Whoever presses the button without having typed
/// one is told that none was found, as for any other.
fn typed_address(parameters: &Parameters<'_>) -> Option<String> {
    let by_address = parameters.get("by").ok().flatten() == Some("email");
    by_address.then(|| parameters.get("email").ok().flatten().unwrap_or_default().trim().to_owned())
}

/// Providers answer a malformed hint with an error page of their own (ProConnect: Y000400).
pub(super) fn looks_like_email(hint: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"@<>\"',;:\\".contains(&byte))
    };
    hint.len() <= 254
        && hint.split_once('@').is_some_and(|(local, domain)| plain(local) && plain(domain) && domain.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_an_address_is_suggested_to_the_provider() {
        for good in ["a@b.fr", "jean.dupont+x@interieur.gouv.fr"] {
            assert!(looks_like_email(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@b",
            "@b.fr",
            "a@",
            "a@b@c.fr",
            "a b@c.fr",
            "a@b.fr\r\n",
            "<a@b.fr>",
            &format!("{}@b.fr", "a".repeat(300)),
        ] {
            assert!(!looks_like_email(bad), "{bad}");
        }
    }
}
