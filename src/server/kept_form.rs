//! A form that met a session which is over: kept, offered again after the sign-in, and sent once. So are
//! those that meet a session which has to step up first, or whose person has no seat for the moment.
//!
//! ```text
//! POST /send            no session  →  kept; the sign-in page, 401
//! (sign-in)                         →  GET /oauth2/form?id=…     offers it: shows names, holds values
//! POST /oauth2/form?id=…            →  307 to /send, with the body that the browser has in its hand
//! POST /send                        →  the form is deleted; the app gets it
//! ```
//!
//! Called by `proxy` for the form that cannot go on yet and for the two of ours, and by `look` when it
//! arrives. It is deleted where it arrives and not a step before, so that whoever
//! presses twice, or whose line breaks in between, has it still; and what arrives without having been
//! there is refused, so that no press, reload or step back has it sent twice; but for where its app
//! sends it on by a redirect that keeps the method. By `Referer` we know it
//! again; from a browser that sends none it is deleted before the redirect instead.
//!
//! Must never send anything that the person did not press a button for, nor show it to another one.

use super::endpoints::{Endpoints, method_not_allowed};
use super::exchange::Exchange;
use super::form::{discard_body, field, read_body};
use super::reply::Reply;
use super::rescue::Rescue;
use super::seats::take_seat;
use crate::clock::Timestamp;
use crate::gate::rules::Circumstances;
use crate::gate::{Denial, Gate};
use crate::oidc::StepUp;
use crate::pages::{ErrorKind, Page, WaitingForm};
use crate::seats::NoSeat;
use crate::session::{FoundForm, NoSession, OpenedSession};
use crate::store::StoreError;
use crate::web::form_id::FormId;
use crate::web::hygiene::CleanRequest;
use crate::web::kind::Kind;
use crate::web::return_to::ReturnTo;
use crate::web::submitted::{FormType, MAX_LEN};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use pingora::proxy::Session;
use tracing::Level;

/// The parameter that names a form to be offered and sent, and the one to be discarded.
const ID: &str = "id";
const DISCARD: &str = "discard";

/// Why there is nothing to be sent.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("the address names no form")]
    NoName,
    #[error("no form of this name is kept for this person in this browser")]
    NotThere,
    #[error("a form was sent again that has arrived already, or is not the one that was kept")]
    Arrived,
}

/// What a form met on its way.
pub(super) enum Met {
    /// The end of its session.
    End(NoSession),
    /// A session that has to step up first.
    StepUp(StepUp),
    /// A session whose person has no seat for the moment.
    NoSeat(NoSeat),
}

impl Endpoints {
    /// Answers a form that cannot go on yet; keeps it where it can be kept.
    pub(super) async fn form_that_waits(
        &self,
        met: &Met,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<Reply> {
        let form = match self.form_type(session.req_header().as_ref()) {
            Some(form_type) => read_body(session, MAX_LEN).await?.and_then(|body| form_type.read(&body)),
            None => None,
        };
        discard_body(session).await?;
        let parts = session.req_header().as_ref();
        let Some(form) = form else { return Ok(self.form_not_kept(met, parts, exchange)) };
        if let Some(id) = self.login.form_page_in(&parts.headers) {
            // It is on its way from our own page, and kept already.
            return Ok(self.way_to_form(met, id, parts, exchange));
        }
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let kept = self.login.keep_form(&parts.headers, target, form, self.clock.now(), &*self.random).await;
        Ok(match kept {
            Ok(kept) => {
                let reply = self.way_to_form(met, kept.id, parts, exchange).cookies(kept.cookie);
                exchange.also("the form is kept");
                reply
            }
            Err(error) => {
                let reply = self.form_not_kept(met, parts, exchange);
                exchange.also(format_args!("the form is not kept: {error}"));
                reply
            }
        })
    }

    fn form_not_kept(&self, met: &Met, parts: &Parts, exchange: &mut Exchange) -> Reply {
        match met {
            Met::End(reason) => self.deny(Denial::FormWithoutSession(*reason), parts, exchange),
            Met::StepUp(step_up) => {
                // The page that the form was on; not the address that it was sent to.
                let return_to = self.login.page_of_form(&parts.headers).unwrap_or_else(ReturnTo::root);
                self.lacks_step_up(step_up, &return_to, WaitingForm::Lost, Kind::Submission, parts, exchange)
            }
            Met::NoSeat(why) => self.form_without_seat(*why, None, parts, exchange),
        }
    }

    /// Answers whoever sent a form and has no seat. `kept`: under which name it waits for one.
    pub(super) fn form_without_seat(
        &self,
        why: NoSeat,
        kept: Option<FormId>,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let Some(id) = kept else {
            let return_to = self.login.page_of_form(&parts.headers);
            return self.no_seat(why, return_to.as_ref(), WaitingForm::Lost, parts, exchange);
        };
        let (return_to, id) = (ReturnTo::form_page(&self.prefix, id), id.to_string());
        self.no_seat(why, Some(&return_to), WaitingForm::Kept(&id), parts, exchange)
    }

    /// What the body has to be read as; none where it is not to be read.
    fn form_type(&self, parts: &Parts) -> Option<FormType> {
        let mut types = parts.headers.get_all(CONTENT_TYPE).iter();
        let (one, None) = (types.next()?, types.next()) else { return None };
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let may_be_kept = parts.method == Method::POST
            && length.is_none_or(|length| length <= MAX_LEN)
            && self.login.may_keep_form(&parts.headers);
        FormType::parse(one.to_str().ok()?).filter(|_| may_be_kept)
    }

    /// The page that leads to the page of a form: by a sign-in, or with a seat.
    fn way_to_form(&self, met: &Met, id: FormId, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let return_to = ReturnTo::form_page(&self.prefix, id);
        match met {
            Met::End(reason) => exchange.because(Denial::FormWithoutSession(*reason)),
            Met::StepUp(step_up) => {
                let id = id.to_string();
                let form = WaitingForm::Kept(&id);
                return self.lacks_step_up(step_up, &return_to, form, Kind::Submission, parts, exchange);
            }
            Met::NoSeat(why) => return self.form_without_seat(*why, Some(id), parts, exchange),
        }
        let (return_to, form) = (return_to.as_str(), id.to_string());
        // It is the form of somebody who signed in with this one.
        let of_form = self.sessions.provider_shown(&parts.headers, self.clock.now());
        let offered: Vec<String> = of_form.into_iter().collect();
        let page = if self.login.providers().are_several() {
            Page::ChooseProvider {
                return_to,
                offered: &offered,
                notice: None,
                form: Some(&form),
                unfit: None,
                goes_on: false,
            }
        } else {
            Page::SignInForForm { return_to, form: &form }
        };
        self.page(StatusCode::UNAUTHORIZED, page, parts).header(WWW_AUTHENTICATE, self.challenge())
    }

    /// `/oauth2/form`: the page that offers a form, and what its two buttons do.
    pub(super) async fn kept_form(&self, gate: &Gate, query: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let now = self.clock.now();
        let is_post = parts.method == Method::POST;
        if !is_post && !matches!(parts.method, Method::GET | Method::HEAD) {
            return method_not_allowed("GET, HEAD, POST", exchange);
        }
        exchange.decision = "form";
        if is_post && !self.login.is_from_our_page(&parts.headers) {
            let refused = Rescue { kind: ErrorKind::OtherSite, level: Level::WARN };
            return self.rescue(refused, &"the form was not sent by a page of this site", parts, exchange);
        }
        let named = |name| field(query, name).as_deref().and_then(FormId::parse);
        match (named(ID), named(DISCARD)) {
            (Some(id), None) => self.offer_or_send(id, gate, parts, exchange, now).await,
            (None, Some(id)) if is_post => self.discard(id, parts, exchange, now).await,
            _ => self.gone(&Gone::NoName, parts, exchange),
        }
    }

    async fn offer_or_send(
        &self,
        id: FormId,
        gate: &Gate,
        parts: &Parts,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Reply {
        let (opened, cookies) = match self.own_session(parts, now).await {
            Ok(found) => found,
            Err(reason) if reason.is_outage() => return self.rescue(Rescue::OF_OUTAGE, &reason, parts, exchange),
            Err(reason) => {
                exchange.because(reason);
                // Whose body is read to its end, or their browser would show no answer.
                exchange.session = self.sessions.named(&parts.headers, now);
                return match Kind::of(parts) {
                    Kind::Navigation => self.enter(ReturnTo::form_page(&self.prefix, id), parts, exchange).await,
                    Kind::Submission => self.way_to_form(&Met::End(reason), id, parts, exchange),
                    Kind::Program | Kind::Preflight => self.deny(Denial::NotSignedIn(reason), parts, exchange),
                };
            }
        };
        let found = match self.form_of(&opened, id, parts, exchange, now).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.gone(&Gone::NotThere, parts, exchange).cookies(cookies),
            Err(error) => return self.rescue(Rescue::OF_OUTAGE, &error, parts, exchange),
        };
        let target = self.login.address_of(Some(&found.sent().target));
        // Whoever lacks a seat would only meet that again, and from some browsers the form is gone by then.
        if let Err(why) = self.seat_for_form(&target, &opened, gate, exchange.circumstances(now)).await {
            return self.form_without_seat(why, Some(id), parts, exchange).cookies(cookies);
        }
        if parts.method != Method::POST {
            let (to, form) = (found.sent().target.as_str(), &found.sent().form);
            let page = Page::KeptForm { id: &id.to_string(), to: to.split('?').next().unwrap_or(to), form };
            return self.page(StatusCode::OK, page, parts).cookies(cookies);
        }
        exchange.decision = "form_sent";
        if self.login.form_page_in(&parts.headers) != Some(id) {
            match self.sessions.take_form(&found, now).await {
                Ok(true) => {}
                Ok(false) => return self.gone(&Gone::NotThere, parts, exchange),
                Err(error) => return self.rescue(Rescue::OF_OUTAGE, &error, parts, exchange),
            }
        }
        let location = target.location(&self.public_url);
        // Method and body stay as they are (RFC 9110 §15.4.8). They are not read here.
        let location = HeaderValue::from_str(&location).unwrap_or_else(|_| HeaderValue::from_static("/"));
        Reply::new(StatusCode::TEMPORARY_REDIRECT, "")
            .header(LOCATION, location)
            .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .cookies(cookies)
    }

    /// Takes a seat for whoever is about to send a form, where nothing else is missing.
    async fn seat_for_form(
        &self,
        target: &ReturnTo,
        opened: &OpenedSession,
        gate: &Gate,
        at: Circumstances,
    ) -> Result<(), NoSeat> {
        let Ok(session) = self.sessions.read(opened, at.now) else { return Ok(()) };
        if !gate.form_needs_seat(target, &session, at) {
            return Ok(());
        }
        let seats = self.seats.as_deref();
        take_seat(seats, (gate, &self.sessions), opened, at.now, &*self.random).await.map(|_| ())
    }

    /// A form of the person whose session this is.
    async fn form_of(
        &self,
        opened: &OpenedSession,
        id: FormId,
        parts: &Parts,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<Option<FoundForm>, StoreError> {
        let Ok(session) = self.sessions.read(opened, now) else { return Ok(None) };
        exchange.session = Some(session.id());
        self.login.kept_form_of(&session, id, &parts.headers, now).await
    }

    /// Deletes a form. The browser that sent it may, whether anybody is signed in there or not.
    async fn discard(&self, id: FormId, parts: &Parts, exchange: &mut Exchange, now: Timestamp) -> Reply {
        exchange.decision = "form_discarded";
        let discarded = async {
            let Some(found) = self.login.kept_form(id, &parts.headers, now).await? else { return Ok(None) };
            let is_taken = self.sessions.take_form(&found, now).await?;
            Ok::<_, StoreError>(is_taken.then_some(found))
        };
        match discarded.await {
            Ok(Some(found)) => {
                let page = self.login.address_of(found.sent().page.as_deref());
                Reply::redirect(&parts.method, &page.location(&self.public_url))
            }
            Ok(None) => self.gone(&Gone::NotThere, parts, exchange),
            Err(error) => self.rescue(Rescue::OF_OUTAGE, &error, parts, exchange),
        }
    }

    /// Looks whether a request that may pass to its app is a form of ours that arrives, and deletes
    /// it then. The answer where it must not pass: it was there before.
    pub(super) async fn form_arrives(
        &self,
        request: &CleanRequest<'_>,
        opened: Option<&OpenedSession>,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Option<Reply> {
        let parts = request.parts();
        if parts.method != Method::POST {
            return None;
        }
        let id = self.login.form_page_in(&parts.headers)?;
        let arrived = async {
            let session = opened.and_then(|opened| self.sessions.read(opened, now).ok());
            let Some(session) = session else { return Ok(false) };
            self.login.form_arrives(&session, id, request.target(), &parts.headers, now).await
        };
        match arrived.await {
            Ok(true) => None,
            Ok(false) => Some(self.gone(&Gone::Arrived, parts, exchange)),
            Err(error) => Some(self.rescue(Rescue::OF_OUTAGE, &error, parts, exchange)),
        }
    }

    fn gone(&self, why: &Gone, parts: &Parts, exchange: &mut Exchange) -> Reply {
        self.rescue(Rescue { kind: ErrorKind::FormGone, level: Level::INFO }, why, parts, exchange)
    }
}
