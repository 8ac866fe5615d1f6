//! The way back from the provider.
//!
//! Called by `server` for `/oauth2/callback`. The order is the point: nothing of the answer is
//! read before `state` has opened for this browser, and the code is redeemed only after `iss` was
//! compared and the attempt was found unused. Of several providers each has a callback of its own, and a
//! `state` opens at that of its own alone.
//!
//! Tabs that open at the same moment in a browser without a login cookie are each given one, and
//! the last stays. The others come back with a `state` of ours that is not of this cookie; their
//! code is left alone and they go to the provider once more, under the cookie that stayed.

use super::Login;
use super::attempt::{Attempt, NoAttempt, Taker, Way, Wish};
use super::browser::Browser;
use super::query::{Parameters, Repeated};
use super::round_trips::{RoundTrips, host_alone};
use super::start::StartError;
use super::step_up::StepUpError;
use crate::clock::Timestamp;
use crate::oidc::{Code, Provider, RedeemError, SignedIn, StepUp, Unreachable};
use crate::pages::LoopCause;
use crate::random::Random;
use crate::session::{BeginError, Begun, OpenedSession, Place, SessionId};
use crate::web::return_to::ReturnTo;
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use url::Url;

/// How a callback ends well.
#[derive(Debug)]
pub enum Arrival {
    /// Signed in.
    SignedIn {
        /// Where the browser goes now.
        location: String,
        /// The session's cookies.
        cookies: Vec<HeaderValue>,
        /// The new session.
        session: SessionId,
        /// What its cookie opens to.
        opened: Arc<OpenedSession>,
    },
    /// The session has stepped up.
    SteppedUp {
        /// Where the browser goes now.
        location: String,
        /// The session's cookies.
        cookies: Vec<HeaderValue>,
        /// The session.
        session: SessionId,
    },
    /// A callback seen before, or of a cookie that was lost, in a browser that has a session: a
    /// reload, the back button, or a tab that another one was faster than.
    AlreadyHere {
        /// Where the browser goes now.
        location: String,
        /// The login cookie, where it remembers this.
        cookie: Option<HeaderValue>,
    },
    /// The browser goes round in circles: it is not sent on.
    Loop {
        /// Why.
        cause: LoopCause,
        /// The login cookie, which has forgotten the way so far.
        cookie: Option<HeaderValue>,
    },
    /// A callback of a cookie that was lost: to the provider once more.
    BegunAgain {
        /// The authorization request.
        location: String,
        /// The login cookie.
        cookie: Option<HeaderValue>,
    },
    /// The provider knows nobody in this browser; a silent attempt ends on the sign-in page.
    NobodyKnown {
        /// The sign-in page.
        location: String,
        /// Remembers it, so that the next attempt is not silent.
        cookie: Option<HeaderValue>,
    },
}

/// Why a callback does not sign anybody in.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// A parameter is there twice.
    #[error("the callback repeats a parameter")]
    RepeatedParameter,
    /// No `state` at all.
    #[error("the callback has no state")]
    NoState,
    /// The browser did not bring the login cookie: blocked, lost on the way, or another browser.
    #[error("the callback came without the login cookie")]
    NoLoginCookie,
    /// The `state` is not one of this browser's.
    #[error(transparent)]
    Attempt(#[from] NoAttempt),
    /// The callback was accepted before, and there is no session.
    #[error("the callback was already used")]
    AlreadyUsed,
    /// Nobody has said which provider an app signs in with.
    #[error("no provider is named for the app that signs in")]
    NoProvider,
    /// `iss` names another provider, or is missing where it was promised (RFC 9207 §2.4).
    #[error("the callback's iss is not the provider's issuer")]
    Issuer,
    /// The provider says no (RFC 6749 §4.1.2.1).
    #[error("the provider answered {code:?}: {description:?}")]
    Refused {
        /// `error`, shortened and without control characters.
        code: String,
        /// `error_description`, likewise.
        description: String,
    },
    /// Neither a code nor an error.
    #[error("the callback has neither a code nor an error")]
    NoCode,
    /// The provider's metadata cannot be had.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The code did not become a verified person.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// The session could not begin.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// Somebody was to prove more of themselves, and did not.
    #[error(transparent)]
    StepUp(#[from] StepUpError),
}

impl From<Repeated> for CallbackError {
    fn from(Repeated: Repeated) -> Self {
        Self::RepeatedParameter
    }
}

/// An attempt that has come back with a code.
pub(super) struct Answered<'a> {
    /// Who was asked, and answers.
    pub(super) provider: &'a Provider,
    pub(super) code: &'a str,
    pub(super) attempt: &'a Attempt,
    pub(super) browser: &'a Browser,
    /// Who takes its answer.
    pub(super) taker: Taker,
}

impl Answered<'_> {
    /// Redeems the code; `redirect_uri` is as for [`Code`].
    pub(super) async fn redeem(&self, redirect_uri: Option<&Url>, now: Timestamp) -> Result<SignedIn, RedeemError> {
        let code = Code {
            code: self.code,
            pkce_verifier: &self.attempt.pkce_verifier(self.browser),
            nonce: &self.attempt.nonce(self.browser),
            redirect_uri,
        };
        self.provider.redeem(&code, now).await
    }
}

impl Login {
    /// Takes the answer of the provider whose callback this is.
    ///
    /// # Errors
    /// [`CallbackError`], by cause.
    pub async fn callback(
        &self,
        provider: &Provider,
        query: &str,
        headers: &HeaderMap,
        place: &Place,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Arrival, CallbackError> {
        let parameters = Parameters::parse(query);
        let state = parameters.get("state")?.ok_or(CallbackError::NoState)?;
        let browser = Browser::of(headers, &self.cookies).ok_or(CallbackError::NoLoginCookie)?;
        let attempt = match self.begun(provider, state, &browser, now) {
            Err(NoAttempt::OtherCookie(wish)) => return self.begin_again(provider, wish, headers, now, random).await,
            Err(NoAttempt::Unreadable) if self.is_for_another(provider, state, now) => {
                return Err(NoAttempt::OtherProvider.into());
            }
            opened => opened?,
        };
        if !provider.accepts_callback_issuer(parameters.get("iss")?, now).await? {
            return Err(CallbackError::Issuer);
        }
        let (code, error) = (parameters.get("code")?, parameters.get("error")?);
        if !self.used.use_once(&attempt) {
            let location = attempt.wish.return_to.location(&self.public_url);
            return if self.has_session(headers, now) {
                Ok(Arrival::AlreadyHere { location, cookie: None })
            } else {
                Err(CallbackError::AlreadyUsed)
            };
        }
        if let Some(error) = error {
            let description = parameters.get("error_description")?.unwrap_or_default();
            return self.refused(error, description, &attempt, browser, now);
        }
        let code = code.ok_or(CallbackError::NoCode)?;
        let taker = Taker::Callback;
        let answered = Answered { provider, code, attempt: &attempt, browser: &browser, taker };
        // Whose session has ended meanwhile signs in like everybody else.
        if let Some(step_up) = &attempt.wish.step_up
            && let Ok(opened) = self.live(headers, now)
        {
            let location = attempt.wish.return_to.location(&self.public_url);
            let Begun { id, mut cookies, opened } =
                self.stepped_up(&answered, step_up, &opened, headers, place, now, random).await?;
            cookies.extend(self.arrived(browser, &opened, &attempt.wish.return_to, now));
            return Ok(Arrival::SteppedUp { location, cookies, session: id });
        }
        let Begun { id, opened, mut cookies } = self.arrive(&answered, headers, place, now, random).await?;
        cookies.extend(self.arrived(browser, &opened, &attempt.wish.return_to, now));
        let location = attempt.wish.return_to.location(&self.public_url);
        Ok(Arrival::SignedIn { location, cookies, session: id, opened })
    }

    /// The attempt of this browser whose answer comes to that provider's callback.
    fn begun(&self, provider: &Provider, state: &str, browser: &Browser, now: Timestamp) -> Result<Attempt, NoAttempt> {
        let way = Way { taker: Taker::Callback, provider: self.told_apart(provider) };
        let return_to = |text: &str| self.return_to(text);
        Attempt::open(state, way, browser, &self.ring, self.settings.attempt_lifetime, now, return_to)
    }

    /// What somebody was asked for, and on the way to where, whose callback brought an error: they may try
    /// again. None for whoever was no more than signing in, or has no session any more.
    pub fn asked_in_vain(
        &self,
        provider: &Provider,
        query: &str,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<(ReturnTo, StepUp)> {
        let parameters = Parameters::parse(query);
        let (state, browser) = (parameters.get("state").ok()??, Browser::of(headers, &self.cookies)?);
        let Wish { return_to, step_up, .. } = self.begun(provider, state, &browser, now).ok()?.wish;
        Some((return_to, step_up.filter(|_| self.has_session(headers, now))?))
    }

    /// Whether a `state` that does not open at this provider's callback is one for another's.
    fn is_for_another(&self, provider: &Provider, state: &str, now: Timestamp) -> bool {
        let others = self.providers.iter().filter(|other| other.settings().name != provider.settings().name);
        let mut ways = others.map(|other| Way { taker: Taker::Callback, provider: self.told_apart(other) });
        ways.any(|way| Attempt::is_on(state, way, &self.ring, now))
    }

    /// Redeems the code of an attempt that has been found good and unused, and begins the session of
    /// whom it names.
    pub(super) async fn arrive(
        &self,
        answered: &Answered<'_>,
        headers: &HeaderMap,
        place: &Place,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Begun, CallbackError> {
        let signed_in = answered.redeem(self.redirect_uri(answered.taker), now).await?;
        let (identity, tokens) = (&signed_in.identity, &signed_in.tokens);
        let now = self.sessions.moment_to_begin(identity, now).await;
        let begun = self.sessions.begin(identity, tokens, headers, place, now, random).await?;
        // The session that the browser had is over, wherever a copy of its cookie is.
        if let Some(previous) = self.sessions.named(headers, now) {
            self.end(previous, now).await;
        }
        Ok(begun)
    }

    /// Begins once more what was begun under another cookie; nothing of the answer counts. Whoever
    /// sends this browser a `state` of their own causes no more than a link to a page here does.
    async fn begin_again(
        &self,
        provider: &Provider,
        wish: Wish,
        headers: &HeaderMap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Arrival, CallbackError> {
        if self.has_session(headers, now) {
            return Ok(self.already_here(&wish, headers, now));
        }
        if wish.again {
            // A browser whose cookie changes each time would go round for ever.
            return Err(NoAttempt::OtherCookie(wish).into());
        }
        match self.to_provider(provider, headers, Wish { again: true, ..wish }, None, now, random).await {
            Ok((location, cookie)) => Ok(Arrival::BegunAgain { location, cookie }),
            Err(StartError::Provider(unreachable)) => Err(unreachable.into()),
            Err(StartError::NoProvider) => Err(CallbackError::NoProvider),
            Err(StartError::Randomness(none)) => Err(BeginError::from(none).into()),
        }
    }

    /// The login cookie of a browser in which a sign-in has ended well.
    fn arrived(&self, browser: Browser, opened: &OpenedSession, to: &ReturnTo, now: Timestamp) -> Option<HeaderValue> {
        let ended = (self.sessions.steps_of(opened), browser.mark_of(to.as_str()));
        let trips = RoundTrips::ended(browser.trips(), ended, now);
        browser.with_trips(Some(trips)).cookie(&self.cookies, self.settings.attempt_lifetime)
    }

    /// On to where the browser was going, with the session that it has. At a host that this does not come to
    /// nobody would be known, and sent here again: that is looked at here, for there is no cookie there.
    fn already_here(&self, wish: &Wish, headers: &HeaderMap, now: Timestamp) -> Arrival {
        let location = wish.return_to.location(&self.public_url);
        let host = location.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
        if host.is_none_or(|host| self.cookies.reach(host_alone(host), &self.public_url)) {
            return Arrival::AlreadyHere { location, cookie: None };
        }
        let (Some(browser), Ok(opened)) = (Browser::of(headers, &self.cookies), self.live(headers, now)) else {
            return Arrival::AlreadyHere { location, cookie: None };
        };
        let trips = RoundTrips::begins(browser.trips(), now);
        if trips.is_some_and(RoundTrips::are_too_many) {
            return Arrival::Loop { cause: LoopCause::Domain, cookie: self.afresh(headers) };
        }
        Arrival::AlreadyHere {
            location,
            cookie: self.arrived(browser.with_trips(trips), &opened, &wish.return_to, now),
        }
    }

    fn refused(
        &self,
        error: &str,
        description: &str,
        attempt: &Attempt,
        browser: Browser,
        now: Timestamp,
    ) -> Result<Arrival, CallbackError> {
        let nobody = matches!(
            error,
            "login_required" | "interaction_required" | "consent_required" | "account_selection_required"
        );
        if attempt.wish.silent && nobody {
            let rd: String = url::form_urlencoded::byte_serialize(attempt.wish.return_to.as_str().as_bytes()).collect();
            let location = format!("{}{}/sign_in?rd={rd}", self.public_url.origin(), self.prefix.as_str());
            let cookie = browser.with_silent_failure(now).cookie(&self.cookies, self.settings.attempt_lifetime);
            return Ok(Arrival::NobodyKnown { location, cookie });
        }
        Err(CallbackError::Refused { code: plain(error), description: plain(description) })
    }

    /// Whether the request has a live session.
    pub fn has_session(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        self.session_id(headers, now).is_some()
    }

    pub(super) fn session_id(&self, headers: &HeaderMap, now: Timestamp) -> Option<SessionId> {
        let opened = self.sessions.open(headers, now).ok()?;
        self.sessions.read(&opened, now).ok().map(|session| session.id())
    }

    /// Ends a session. What the store could not be told is over here, and said later.
    pub(super) async fn end(&self, id: SessionId, now: Timestamp) {
        if let Err(error) = self.sessions.end(id, now).await {
            tracing::warn!(session = id.short(), %error, "a session ended here; other replicas will hear of it later");
        }
    }
}

/// Outside text as it may stand in a log line and, escaped, on a page.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
