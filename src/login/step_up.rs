//! The step-up: somebody who has a session proves more of themselves, or once more, and comes back to
//! what they asked for.
//!
//! ```text
//! route  ──►  (sign-out at the provider)  ──►  authorization request  ──►  callback  ──►  the same route
//! ```
//!
//! Called by `server` where the gate says that it is all that is missing, and by `callback` for its
//! answer. The first leg is for providers that use their own session again whatever the request says
//! (ProConnect): there a recent proof is had by ending that session first. Where it was not made (its way
//! back is an address like any other) the provider may not have asked: what comes back is checked, and
//! at such a provider that is all that is known.
//!
//! One attempt: what does not bring what was asked for ends on a page, and the session is as it was. Must
//! never begin a session, nor put another person's in the place of one.

use super::Login;
use super::attempt::{Attempt, Taker, Way, Wish};
use super::browser::Browser;
use super::callback::{Answered, CallbackError};
use super::query::Parameters;
use super::start::{Start, StartError, looks_like_email};
use crate::clock::Timestamp;
use crate::oidc::{Lacks, Provider, Reauthentication, StepUp};
use crate::random::Random;
use crate::session::{Begun, NoSession, NotSteppedUp, OpenedSession, Place};
use crate::web::kind::is_ahead_of_need;
use crate::web::return_to::ReturnTo;
use http::HeaderMap;
use std::sync::Arc;

/// Why a step-up was in vain.
#[derive(Debug, thiserror::Error)]
pub enum StepUpError {
    /// The authentication is not what was asked for.
    #[error("the step-up did not bring what was asked for: {0}")]
    Lacks(Lacks),
    /// The session stays as it is.
    #[error("the step-up does not count: {0}")]
    Not(#[from] NotSteppedUp),
}

impl Login {
    /// Leads somebody who has this session to the provider, for what is asked of them.
    ///
    /// # Errors
    /// [`StartError`], by cause.
    #[expect(clippy::too_many_arguments, reason = "a request, and what is asked of it")]
    pub async fn step_up(
        &self,
        opened: &OpenedSession,
        headers: &HeaderMap,
        scheme: &str,
        return_to: ReturnTo,
        step_up: StepUp,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Start, StartError> {
        if let Some(cause) = self.goes_round(headers, scheme, None, now) {
            return Ok(Start::Loop { cause, cookie: self.afresh(headers) });
        }
        let is_for_recent = step_up.max_age.is_some();
        let wish = Wish { return_to, silent: false, again: false, step_up: Some(step_up) };
        let provider = self.provider_of(opened, now).ok_or(StartError::NoProvider)?;
        // It ends something: not for an image, nor for a page that may never be shown.
        let is_shown =
            headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate") && !is_ahead_of_need(headers);
        if is_for_recent
            && is_shown
            && provider.settings().reauthentication == Reauthentication::AfterSignOut
            && let Some(start) = self.by_sign_out(provider, opened, headers, &wish, now, random).await?
        {
            return Ok(start);
        }
        let hint = self.email_of(opened, now);
        self.led_to(provider, headers, wish, hint.as_deref(), now, random).await
    }

    /// The provider of a session: nobody proves more of themselves with another one.
    fn provider_of(&self, opened: &OpenedSession, now: Timestamp) -> Option<&Arc<Provider>> {
        self.providers.of_session(self.sessions.read(opened, now).ok()?.provider())
    }

    /// The first leg: to the end of the provider's session. None where the provider has no such place.
    async fn by_sign_out(
        &self,
        provider: &Arc<Provider>,
        opened: &OpenedSession,
        headers: &HeaderMap,
        wish: &Wish,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Option<Start>, StartError> {
        let browser = Browser::of_or_new(headers, &self.cookies, random)?;
        let way = Way { taker: Taker::SignedOut, provider: self.told_apart(provider) };
        let state = Attempt::begin(wish.clone(), now, random)?.seal(way, &browser, &self.ring, random)?;
        let tokens = match self.sessions.read(opened, now) {
            // Without its ID token the provider asks the person whether they mean it.
            Ok(session) => self.sessions.tokens(headers, &session, now).await.ok().flatten(),
            Err(_) => None,
        };
        let id_token = tokens.as_ref().map(|tokens| &tokens.id_token);
        let end_session = provider.end_session_url(id_token, &state, now).await?;
        let cookie = browser.cookie(&self.cookies, self.settings.attempt_lifetime);
        let name = provider.settings().name.clone();
        Ok(end_session.map(|location| Start::Provider { location: location.to_string(), cookie, provider: name }))
    }

    /// The second leg, from the end of the provider's session: what was wished for in this browser, once.
    /// None for whatever else leads to the page after signing out.
    ///
    /// # Errors
    /// [`StartError`], by cause.
    pub async fn after_first_leg(
        &self,
        query: &str,
        headers: &HeaderMap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Option<Start>, StartError> {
        let parameters = Parameters::parse(query);
        let (Ok(Some(state)), Some(browser)) = (parameters.get("state"), Browser::of(headers, &self.cookies)) else {
            return Ok(None);
        };
        let lifetime = self.settings.attempt_lifetime;
        // Whose it is stands in the seal.
        let opened = self.providers.iter().find_map(|provider| {
            let way = Way { taker: Taker::SignedOut, provider: self.told_apart(provider) };
            let return_to = |text: &str| self.return_to(text);
            Attempt::open(state, way, &browser, &self.ring, lifetime, now, return_to).ok().map(|made| (provider, made))
        });
        let Some((provider, attempt)) = opened.filter(|(_, attempt)| self.used.use_once(attempt)) else {
            return Ok(None);
        };
        let hint = self.live(headers, now).ok().and_then(|opened| self.email_of(&opened, now));
        self.led_to(provider, headers, attempt.wish, hint.as_deref(), now, random).await.map(Some)
    }

    /// Takes the answer to a step-up: redeems the code, and steps the session up if it is the same
    /// person's and has what was asked for.
    #[expect(clippy::too_many_arguments, reason = "what came back, what was asked for, and the session")]
    pub(super) async fn stepped_up(
        &self,
        answered: &Answered<'_>,
        step_up: &StepUp,
        opened: &OpenedSession,
        headers: &HeaderMap,
        place: &Place,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Begun, CallbackError> {
        let signed_in = answered.redeem(self.redirect_uri(answered.taker), now).await?;
        let identity = &signed_in.identity;
        if !self.sessions.is_of(opened, identity) {
            // Nobody will use them.
            if let Some(provider) = self.providers.of_session(&answered.provider.settings().name) {
                Self::give_back(Arc::clone(provider), signed_in.tokens, now);
            }
            return Err(StepUpError::from(NotSteppedUp::OtherPerson).into());
        }
        if let Some(lacks) = step_up.lacks(identity, now) {
            // Not given back: at some providers that would end the session which is to go on.
            return Err(StepUpError::Lacks(lacks).into());
        }
        let stepped_up = self.sessions.step_up(opened, identity, &signed_in.tokens, headers, place, now, random).await;
        Ok(stepped_up.map_err(StepUpError::from)?)
    }

    /// The session that a browser shows, where it is alive.
    pub(super) fn live(&self, headers: &HeaderMap, now: Timestamp) -> Result<OpenedSession, NoSession> {
        let opened = self.sessions.open(headers, now)?;
        self.sessions.read(&opened, now).map(drop)?;
        Ok(opened)
    }

    /// Whom to suggest to the provider: who is to come back.
    fn email_of(&self, opened: &OpenedSession, now: Timestamp) -> Option<String> {
        let session = self.sessions.read(opened, now).ok()?;
        session.claims().text("email").filter(|email| looks_like_email(email)).map(str::to_owned)
    }
}
