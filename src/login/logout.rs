//! Signing out: here, and at the provider.
//!
//! Called by `server` for `/oauth2/sign_out` and `/oauth2/signed_out`. Signing out is a change of
//! state, so it happens only when our own page or the app asked for it; what another site causes
//! gets a page that asks the person (CSRF). The session is over before the browser leaves, so
//! that nothing depends on its coming back.

use super::Login;
use super::browser::Browser;
use super::query::Parameters;
use crate::clock::Timestamp;
use crate::oidc::{Provider, Tokens};
use crate::random::{self, NoRandomness, Random};
use crate::seal::Purpose;
use crate::secret::SecretString;
use crate::web::kind::is_ahead_of_need;
use crate::web::return_to::ReturnTo;
use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;

/// How long the provider may take to sign a person out.
const STATE_LIFETIME: Duration = Duration::from_secs(3600);

/// How the browser goes on after signing out.
#[derive(Debug)]
pub struct SignedOut {
    /// The provider's end-of-session endpoint or, where there is none to be reached, our own
    /// page.
    pub location: String,
    /// What removes the session's cookies.
    pub cookies: Vec<HeaderValue>,
    /// Whether the provider is asked to sign the person out as well.
    pub at_provider: bool,
}

/// What the page after signing out may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider sent the browser back with the `state` that we gave it.
    Everywhere,
    /// The same, and the app that signed out wants the browser there.
    GoOn(ReturnTo),
    /// Only here: the provider has no such endpoint, or could not be asked.
    HereOnly,
    /// Somebody opened the page without having signed out.
    NotSignedOut,
}

impl Login {
    /// Whether a request to sign out comes from our own page, the app, or a script of a listed
    /// origin, and not from another site, a prefetch or an image.
    pub fn sign_out_is_meant(&self, method: &Method, headers: &HeaderMap) -> bool {
        let is = |name: &str, expected: &str| headers.get(name).is_some_and(|value| value == expected);
        if is_ahead_of_need(headers) {
            return false;
        }
        let same_origin = is("sec-fetch-site", "same-origin");
        let mut origins = headers.get_all(ORIGIN).iter();
        let listed =
            origins.next().filter(|_| origins.next().is_none()).is_some_and(|origin| self.origins.lists(origin));
        if *method == Method::POST {
            // Browsers without Fetch Metadata send `Origin` with every POST.
            let foreign = headers.contains_key("sec-fetch-site") && !same_origin;
            return listed || (!foreign && is("origin", self.public_url.origin()));
        }
        // For nobody but a script: images with `crossorigin` come in this mode as well.
        let by_script = is("sec-fetch-mode", "cors") && is("sec-fetch-dest", "empty");
        (same_origin && is("sec-fetch-mode", "navigate")) || ((same_origin || listed) && by_script)
    }

    /// Where the browser goes when it has signed out: the `rd` of `/oauth2/sign_out`, if it is on
    /// this site or a listed one. The address of our own sign-in stands for the one that this would lead to, where
    /// the person is asked to sign in.
    pub fn after_sign_out(&self, query: &str) -> Option<ReturnTo> {
        let rd = Parameters::parse(query).get("rd").ok().flatten().map(str::to_owned)?;
        let wanted = self.behind_sign_in(&rd).unwrap_or(rd);
        self.return_to(&wanted)
    }

    fn behind_sign_in(&self, rd: &str) -> Option<String> {
        let local = rd.strip_prefix(self.public_url.origin()).unwrap_or(rd);
        let (path, query) = local.split_once('?').unwrap_or((local, ""));
        matches!(self.prefix.below(path), Some("sign_in" | "start")).then_some(())?;
        let behind = Parameters::parse(query).get("rd").ok().flatten().map(str::to_owned);
        Some(behind.unwrap_or_else(|| "/".to_owned()))
    }

    /// Signs out: ends the session at once and says where the browser goes. From the provider it
    /// comes back to our page, and on to `return_to` if there is one.
    ///
    /// # Errors
    /// When no `state` can be made; the session is over all the same.
    pub async fn sign_out(
        &self,
        headers: &HeaderMap,
        return_to: Option<&ReturnTo>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<SignedOut, NoRandomness> {
        let tokens = self.end_of(headers, now).await;
        self.leave(headers, tokens.as_ref().map(|tokens| &tokens.id_token), return_to, now, random).await
    }

    /// Leads the browser of a session that is over round by the provider.
    ///
    /// # Errors
    /// When no `state` can be made.
    pub async fn leave(
        &self,
        headers: &HeaderMap,
        id_token: Option<&SecretString>,
        return_to: Option<&ReturnTo>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<SignedOut, NoRandomness> {
        let mut cookies = self.sessions.clear(headers);
        let browser = Browser::of_or_new(headers, &self.cookies, random)?;
        let seal = |outcome, return_to| self.seal_sign_out(outcome, return_to, &browser, now, random);
        let state = seal(EVERYWHERE, return_to)?;
        // A provider that cannot be asked must not keep a person signed in here.
        let end_session = match self.left(headers, now) {
            Some(provider) => provider.end_session_url(id_token, &state, now).await.ok().flatten(),
            None => None,
        };
        cookies.extend(browser.cookie(&self.cookies, STATE_LIFETIME));
        Ok(match end_session {
            Some(url) => SignedOut { location: url.to_string(), cookies, at_provider: true },
            None => {
                let page = format!("{}{}/signed_out", self.public_url.origin(), self.prefix.as_str());
                // Not on to anywhere: who is signed in at the provider would be signed in again.
                SignedOut { location: format!("{page}?state={}", seal(HERE_ONLY, None)?), cookies, at_provider: false }
            }
        })
    }

    /// Ends the session that the request shows, idle ones too: a copy of the cookie may be in use.
    /// Its tokens, to be given back.
    pub(super) async fn end_of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Tokens> {
        let opened = self.sessions.open(headers, now).ok()?;
        let tokens = match self.sessions.read(&opened, now) {
            // A store that cannot be had must not keep a person signed in.
            Ok(session) => self.sessions.tokens(headers, &session, now).await.ok().flatten(),
            Err(_) => None,
        };
        if let Some(id) = self.sessions.named(headers, now) {
            self.end(id, now).await;
        }
        if let Some((tokens, provider)) = tokens.clone().zip(self.left(headers, now)) {
            Self::give_back(Arc::clone(provider), tokens, now);
        }
        tokens
    }

    /// The provider of the session that a request shows, over or not: where a sign-out goes to, and where its
    /// tokens came from. Of several it is nobody where there is no session to say it: none is told of
    /// somebody who may not be its own.
    fn left(&self, headers: &HeaderMap, now: Timestamp) -> Option<&Arc<Provider>> {
        self.providers.only().or_else(|| self.providers.named(&self.sessions.provider_shown(headers, now)?))
    }

    /// Revokes the tokens at the provider, where it takes that (RFC 7009). Nobody waits for it: the
    /// session is over whatever comes of it.
    fn give_back(provider: Arc<Provider>, tokens: Tokens, now: Timestamp) {
        tokio::spawn(async move {
            if let Err(error) = provider.revoke(&tokens, now).await {
                tracing::warn!(%error, "the tokens of a session that was signed out could not be revoked");
            }
        });
    }

    /// What the signed-out page may say, by the `state` it was opened with.
    pub fn signed_out(&self, query: &str, headers: &HeaderMap, now: Timestamp) -> Outcome {
        let parameters = Parameters::parse(query);
        let opened = parameters.get("state").ok().flatten().and_then(|state| {
            let browser = Browser::of(headers, &self.cookies)?;
            let opened = self.ring.open(Purpose::SignOut, state.as_bytes(), browser.binding(), now)?;
            let (outcome, made, _, return_to): Written<'_> = postcard::from_bytes(opened.plaintext()).ok()?;
            // We sealed it, and still: there is one way to make a return target.
            let return_to = return_to.and_then(|text| self.return_to(text));
            Some((outcome, made, return_to))
        });
        match opened {
            Some((EVERYWHERE, made, return_to)) if now.since(made) < STATE_LIFETIME => {
                return_to.map_or(Outcome::Everywhere, Outcome::GoOn)
            }
            Some((HERE_ONLY, made, _)) if now.since(made) < STATE_LIFETIME => Outcome::HereOnly,
            _ => Outcome::NotSignedOut,
        }
    }

    fn seal_sign_out(
        &self,
        outcome: u8,
        return_to: Option<&ReturnTo>,
        browser: &Browser,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, NoRandomness> {
        let id: [u8; 32] = random::bytes(random)?;
        let written: Written<'_> = (outcome, now, id, return_to.map(ReturnTo::as_str));
        let plaintext = postcard::to_stdvec(&written).map_err(|_| NoRandomness)?;
        self.ring.seal(Purpose::SignOut, &plaintext, browser.binding(), random)
    }
}

/// How it went, when, what makes the state unguessable, and where the browser goes on to.
type Written<'a> = (u8, Timestamp, [u8; 32], Option<&'a str>);

const EVERYWHERE: u8 = 1;
const HERE_ONLY: u8 = 2;
