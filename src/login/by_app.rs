//! The sign-in whose two ends are in an app that keeps a token itself.
//!
//! Called by `server` for `token_endpoints`. The app asks where to lead the browser, the provider
//! returns to a route of the app's own, and the app hands over what came back. What is checked, and
//! in which order, is what [`super::callback`] checks: `state` first, once, in the browser that
//! began; then the code, with PKCE and nonce. Must never take a `state` that was made for our own
//! callback, nor let its own be taken there.

use super::Login;
use super::attempt::{Attempt, NoAttempt, Taker, Way, Wish};
use super::browser::Browser;
use super::callback::{Answered, CallbackError};
use super::query::Parameters;
use super::start::{StartError, login_hint};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::session::{Begun, Place};
use crate::web::return_to::ReturnTo;
use http::{HeaderMap, HeaderValue};

/// What an app needs to lead a browser to the provider.
#[derive(Debug)]
pub struct Invitation {
    /// The authorization request.
    pub authorize_url: String,
    /// Its `state`, which comes back with the answer.
    pub state: String,
    /// The login cookie that binds the attempt to this browser; none for an app without cookies.
    pub cookie: Option<HeaderValue>,
}

/// What came back to an app.
#[derive(Debug)]
pub struct AppAnswer<'a> {
    /// `state`.
    pub state: Option<&'a str>,
    /// `code`.
    pub code: Option<&'a str>,
    /// `iss` (RFC 9207), where the app hands it on.
    pub iss: Option<&'a str>,
}

impl Login {
    /// Begins a sign-in for an app. `query` may suggest somebody (`login_hint`).
    ///
    /// # Errors
    /// [`StartError`], by cause.
    pub async fn invite(
        &self,
        query: &str,
        headers: &HeaderMap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Invitation, StartError> {
        let provider = self.of_app().ok_or(StartError::NoProvider)?;
        let hint = login_hint(&Parameters::parse(query));
        let is_cookieless = self.is_cookieless();
        let (taker, browser) = if is_cookieless {
            // A browser's cookie would bind one sign-in of this app to another thing altogether.
            (Taker::Cookieless, Browser::of_or_new(&HeaderMap::new(), &self.cookies, random)?)
        } else {
            (Taker::App, Browser::of_or_new(headers, &self.cookies, random)?)
        };
        let wish = Wish { return_to: ReturnTo::root(), silent: false, again: false };
        let (authorize_url, state) =
            self.authorization(provider, taker, &browser, wish, hint.as_deref(), now, random).await?;
        let cookie = if is_cookieless { None } else { browser.cookie(&self.cookies, self.settings.attempt_lifetime) };
        Ok(Invitation { authorize_url, state, cookie })
    }

    /// Takes what came back to an app, and begins the session of whom it names.
    ///
    /// # Errors
    /// [`CallbackError`], by cause.
    pub async fn answer_of_app(
        &self,
        answer: &AppAnswer<'_>,
        headers: &HeaderMap,
        place: &Place,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Begun, CallbackError> {
        let state = answer.state.ok_or(CallbackError::NoState)?;
        let provider = self.of_app().ok_or(CallbackError::NoProvider)?;
        let (name, lifetime) = (self.told_apart(provider), self.settings.attempt_lifetime);
        let (taker, attempt, browser) = if self.is_cookieless() {
            let (attempt, browser) = Attempt::open_cookieless(state, name, &self.ring, lifetime, now)?;
            (Taker::Cookieless, attempt, browser)
        } else {
            let browser = Browser::of(headers, &self.cookies).ok_or(CallbackError::NoLoginCookie)?;
            let way = Way { taker: Taker::App, provider: name };
            let attempt = Attempt::open(state, way, &browser, &self.ring, lifetime, now, |_| None)?;
            (Taker::App, attempt, browser)
        };
        // A provider may announce that it always sends `iss`, and an app that knows nothing of it
        // does not hand it on. It would tell which of several providers answered (RFC 9207); an app
        // has one, whose issuer the ID token has to name as well, so its absence opens nothing.
        if answer.iss.is_some_and(|iss| !provider.is_issuer(iss)) {
            return Err(CallbackError::Issuer);
        }
        if !self.used.use_once(&attempt) {
            return Err(CallbackError::AlreadyUsed);
        }
        let code = answer.code.filter(|code| !code.is_empty()).ok_or(CallbackError::NoCode)?;
        let answered = Answered { provider, code, attempt: &attempt, browser: &browser, taker };
        let mut begun = self.arrive(&answered, headers, place, now, random).await?;
        if taker == Taker::Cookieless {
            begun.cookies.clear();
        }
        Ok(begun)
    }

    /// Whether the app that keeps a token does without any cookie.
    pub fn is_cookieless(&self) -> bool {
        self.by_app().is_some_and(|app| app.is_cookieless)
    }

    /// Ends what an app shows of its session: `handle` is what it got with its token.
    pub async fn sign_out_of_app(&self, shown: &[&HeaderMap], handle: Option<&str>, now: Timestamp) {
        for headers in shown {
            self.end_of(headers, now).await;
        }
        if let Some(id) = handle.and_then(|handle| self.sessions.named_by_handle(handle, now)) {
            self.end(id, now).await;
        }
    }
}

impl CallbackError {
    /// Whether it is the `state` that does not count, whatever the reason.
    pub fn is_about_state(&self) -> bool {
        match self {
            Self::NoState
            | Self::NoLoginCookie
            | Self::AlreadyUsed
            | Self::RepeatedParameter
            | Self::Attempt(
                NoAttempt::Unreadable | NoAttempt::OtherProvider | NoAttempt::OtherCookie(_) | NoAttempt::Expired,
            ) => true,
            Self::Issuer
            | Self::NoProvider
            | Self::Refused { .. }
            | Self::NoCode
            | Self::Unreachable(_)
            | Self::Redeem(_)
            | Self::Begin(_) => false,
        }
    }
}
