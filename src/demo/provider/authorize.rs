//! `/authorize`: straight back with a code where a session answers for the person, else the sign-in page.
//!
//! The rules for reusing a session are ProConnect's: it is reused without a screen unless
//! `login_hint` or `idp_hint` names another, an essential `acr` is not satisfied, or `eidas2` or
//! `eidas3` is asked for. `prompt=login` does not prevent it there, and so not here.

use super::agents::Agent;
use super::callback;
use super::faults::CallbackFault;
use super::pages;
use super::request::{CallbackError, Parameters, Refusal, Request};
use super::sign_in;
use super::state::{FreshId, SESSION_LIFETIME, State};
use super::{PREFIX, Shared};
use crate::clock::Timestamp;
use crate::random::NoRandomness;
use axum::extract::RawQuery;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use std::sync::Arc;

/// The provider's session.
pub(super) const SESSION_COOKIE: &str = "pc_session_id";
/// Which browser a sign-in page was made for.
pub(super) const BROWSER_COOKIE: &str = "pc_browser_id";

type Shareds = axum::extract::State<Arc<Shared>>;

pub(super) async fn by_get(shared: Shareds, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    begin(&shared, &headers, &Parameters::parse(query.unwrap_or_default().as_bytes()))
}

pub(super) async fn by_post(shared: Shareds, headers: HeaderMap, body: Bytes) -> Response {
    begin(&shared, &headers, &Parameters::parse(&body))
}

fn begin(shared: &Shared, headers: &HeaderMap, parameters: &Parameters) -> Response {
    shared.counts.authorize.one_more();
    let fault = shared.faults.now().callback;
    match Request::parse(&shared.settings, parameters) {
        Ok(request) => answer(shared, headers, request, fault.as_ref()).unwrap_or_else(|NoRandomness| pages::failed()),
        Err(Refusal::Page { code, cause }) => pages::refused(code, &cause),
        Err(Refusal::Callback(error)) => callback::go_to(&callback::with_error(&error, &shared.issuer, fault.as_ref())),
    }
}

fn answer(
    shared: &Shared,
    headers: &HeaderMap,
    request: Request,
    fault: Option<&CallbackFault>,
) -> Result<Response, NoRandomness> {
    let refuse = |error: &CallbackError| callback::go_to(&callback::with_error(error, &shared.issuer, fault));
    if let Some(CallbackFault::Error(error, description)) = fault {
        return Ok(refuse(&request.error(error, description)));
    }
    let now = shared.now();
    let (new_session, new_code) = (shared.fresh_id()?, shared.fresh_id()?);
    let (new_interaction, FreshId(new_browser)) = (shared.fresh_id()?, shared.fresh_id()?);
    let mut state = shared.state();
    let known = known_person(&mut state, headers, &request, new_session, now);
    if let Some(known) = known {
        let issued = issue(&mut state, request, &known.session_id, new_code, now);
        drop(state);
        let mut response = match issued {
            Ok(issued) => callback::go_to(&issued.address(&shared.issuer, fault)),
            Err(error) => refuse(&error),
        };
        if known.is_new {
            set_session_cookie(&mut response, &known.session_id);
        }
        return Ok(response);
    }
    if request.silent {
        return Ok(refuse(&request.error("login_required", "End-User authentication is required")));
    }
    let browser = cookie(headers, BROWSER_COOKIE).unwrap_or(new_browser);
    let id = state.begin_interaction(request.clone(), &browser, new_interaction, now);
    drop(state);
    let mut response = sign_in::page(&id, &request, &sign_in::Typed::suggested_by(&request), &[]);
    set_cookie(&mut response, &format!("{BROWSER_COOKIE}={browser}; Path={PREFIX}; HttpOnly; SameSite=Lax"));
    Ok(response)
}

struct Known {
    session_id: String,
    is_new: bool,
}

/// The session that answers for the person without a screen, if one does.
fn known_person(
    state: &mut State,
    headers: &HeaderMap,
    request: &Request,
    new: FreshId,
    now: Timestamp,
) -> Option<Known> {
    let current =
        cookie(headers, SESSION_COOKIE).and_then(|id| Some((id.clone(), state.session(&id, now)?.agent.clone())));
    if let Some(automatic) = state.automatic.clone() {
        if !hints_allow(request, &automatic) {
            return None;
        }
        let reusable = current.filter(|(_, agent)| *agent == automatic && !request.acr.needs_new_authentication());
        return Some(match reusable {
            Some((session_id, _)) => Known { session_id, is_new: false },
            None => Known { session_id: state.begin_session(automatic, new, now), is_new: true },
        });
    }
    let (session_id, agent) = current?;
    let reusable = hints_allow(request, &agent)
        && request.acr.is_satisfied_by(&agent.acr)
        && !request.acr.needs_new_authentication();
    reusable.then_some(Known { session_id, is_new: false })
}

/// Whether the hints name this person or nobody.
fn hints_allow(request: &Request, agent: &Agent) -> bool {
    let email = request.login_hint.as_ref().is_none_or(|hint| hint.to_lowercase() == agent.email.to_lowercase());
    email && request.idp_hint.as_ref().is_none_or(|hint| *hint == agent.idp_id)
}

/// A code on its way to the client.
pub(super) struct Issued {
    redirect_uri: String,
    state: String,
    code: String,
}

impl Issued {
    pub(super) fn address(&self, issuer: &str, fault: Option<&CallbackFault>) -> String {
        callback::with_code(&self.redirect_uri, &self.state, &self.code, issuer, fault)
    }
}

/// A code for the person of the session, or why the client gets none.
pub(super) fn issue(
    state: &mut State,
    request: Request,
    session_id: &str,
    new_code: FreshId,
    now: Timestamp,
) -> Result<Issued, CallbackError> {
    let lost = request.error("access_denied", "session not found or expired (Y190001)");
    let agent = &state.session(session_id, now).ok_or(lost.clone())?.agent;
    if !request.acr.is_satisfied_by(&agent.acr) {
        return Err(request.error("access_denied", "requested ACRs could not be satisfied"));
    }
    if agent.roles.is_empty() && !request.client.accepts_private_sector {
        return Err(request.error("access_denied", "private sector user not accepted (Y500015)"));
    }
    let (redirect_uri, sent_state) = (request.redirect_uri.clone(), request.state.clone());
    let code = state.issue_code(request, session_id, new_code, now).ok_or(lost)?;
    Ok(Issued { redirect_uri, state: sent_state, code })
}

/// The value of one of our cookies.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let sent = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut cookies = sent.flat_map(cookie::Cookie::split_parse).flatten();
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

pub(super) fn set_session_cookie(response: &mut Response, id: &str) {
    let lifetime = SESSION_LIFETIME.as_secs();
    set_cookie(response, &format!("{SESSION_COOKIE}={id}; Path={PREFIX}; Max-Age={lifetime}; HttpOnly; SameSite=Lax"));
}

pub(super) fn clear_session_cookie(response: &mut Response) {
    set_cookie(response, &format!("{SESSION_COOKIE}=; Path={PREFIX}; Max-Age=0; HttpOnly; SameSite=Lax"));
}

fn set_cookie(response: &mut Response, text: &str) {
    // A browser id that a client made up may be no header value; then no cookie is set.
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
