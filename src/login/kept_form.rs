//! Forms that are kept over a sign-in: in which browser, for whom, and for how long.
//!
//! Called by `server` when a form met a session that is over, for the page that offers to send it,
//! and when it is sent. A form counts in the browser that sent it, by the login cookie, under whose
//! secret it is sealed; and for the person whose session it was. Must never keep what another site's
//! page made the browser send: on a page of ours it would look like the person's own.

use super::Login;
use super::browser::Browser;
use crate::clock::Timestamp;
use crate::random::{NoRandomness, Random};
use crate::session::{FoundForm, SentForm, Session};
use crate::store::StoreError;
use crate::web::form_id::FormId;
use crate::web::origin::Initiator;
use crate::web::return_to::{ReturnTo, form_in};
use crate::web::submitted::Submitted;
use http::header::{ORIGIN, REFERER};
use http::{HeaderMap, HeaderValue};

/// A form that was kept.
#[derive(Debug)]
pub struct KeptForm {
    /// Its name.
    pub id: FormId,
    /// The login cookie that it opens with.
    pub cookie: Option<HeaderValue>,
}

/// Why a form could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The address that it was sent to cannot be carried through a sign-in.
    #[error("the address that it was sent to cannot be kept")]
    Target,
    /// The person has as many as one may have.
    #[error("the person has several already")]
    Enough,
    /// No secret can be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The store cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Login {
    /// Whether a form with these headers may be kept: where that is configured, and a page of ours or
    /// a listed one sent it.
    pub fn may_keep_form(&self, headers: &HeaderMap) -> bool {
        self.settings.keep_forms && self.origins.initiator(headers) == Initiator::Trusted
    }

    /// The page that sent a form, where the browser says so and it is on this site.
    pub fn page_of_form(&self, headers: &HeaderMap) -> Option<ReturnTo> {
        let referer = headers.get(REFERER)?.to_str().ok()?;
        ReturnTo::parse(referer, &self.public_url, &self.prefix).ok()
    }

    /// Keeps a form that was sent to `target` with a session that is over, for as long as a sign-in
    /// may take.
    ///
    /// # Errors
    /// [`NotKept`], by cause.
    pub async fn keep_form(
        &self,
        headers: &HeaderMap,
        target: &str,
        form: Submitted,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<KeptForm, NotKept> {
        let target = ReturnTo::parse(target, &self.public_url, &self.prefix).map_err(|_| NotKept::Target)?;
        let page = self.page_of_form(headers).map(|page| page.as_str().to_owned());
        let sent = SentForm { target: target.as_str().to_owned(), page, form };
        let browser = Browser::of_or_new(headers, &self.cookies, random)?;
        let lifetime = self.settings.attempt_lifetime;
        let id = self.sessions.keep_form(headers, sent, &browser.form_key(), now.plus(lifetime), now, random).await?;
        Ok(KeptForm { id: id.ok_or(NotKept::Enough)?, cookie: browser.cookie(&self.cookies, lifetime) })
    }

    /// A form that this browser sent.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn kept_form(
        &self,
        id: FormId,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<FoundForm>, StoreError> {
        let Some(browser) = Browser::of(headers, &self.cookies) else { return Ok(None) };
        self.sessions.kept_form(id, &browser.form_key(), now).await
    }

    /// The same, for the person whose it is. What another one finds is deleted.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn kept_form_of(
        &self,
        session: &Session<'_>,
        id: FormId,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<FoundForm>, StoreError> {
        let Some(found) = self.kept_form(id, headers, now).await? else { return Ok(None) };
        if self.sessions.form_is_of(&found, session) {
            return Ok(Some(found));
        }
        self.sessions.take_form(&found, now).await?;
        Ok(None)
    }

    /// Whether a form of this person arrives with a request to `target`, or goes on there from where it
    /// has arrived. Of two such requests one is told so.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn form_arrives(
        &self,
        session: &Session<'_>,
        id: FormId,
        target: &str,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let until = now.plus(self.settings.attempt_lifetime);
        match self.kept_form_of(session, id, headers, now).await? {
            Some(found) if found.sent().target == target => self.sessions.form_arrives(&found, until, now).await,
            Some(_) => Ok(false),
            None => self.sessions.form_goes_on(id, target, until, now).await,
        }
    }

    /// Where a form was going, or the page that it was on.
    pub fn address_of(&self, text: Option<&str>) -> ReturnTo {
        // We sealed it, and still: there is one way to make a return target.
        let parsed = text.and_then(|text| ReturnTo::parse(text, &self.public_url, &self.prefix).ok());
        parsed.unwrap_or_else(ReturnTo::root)
    }

    /// The form from whose page of ours a request comes, by its `Referer`.
    pub fn form_page_in(&self, headers: &HeaderMap) -> Option<FormId> {
        let mut referers = headers.get_all(REFERER).iter();
        let (one, None) = (referers.next()?, referers.next()) else { return None };
        form_in(one.to_str().ok()?, &self.public_url, &self.prefix)
    }

    /// Whether a POST to one of our own endpoints comes from a page of this origin. Browsers without
    /// Fetch Metadata send `Origin` with every POST.
    pub fn is_from_our_page(&self, headers: &HeaderMap) -> bool {
        let site = headers.get("sec-fetch-site");
        site.is_none_or(|site| site == "same-origin")
            && headers.get(ORIGIN).is_some_and(|origin| origin == self.public_url.origin())
    }
}
