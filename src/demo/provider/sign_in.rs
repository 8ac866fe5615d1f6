//! The sign-in page and its answer: a test agent, a typed person, or no.
//!
//! `authorize` shows the page. An answer is taken only from the browser that the page was made
//! for, and only while the page is fresh: the page's address alone signs nobody in.

use super::agents::{ACR_VALUES, Agent, ROLES, TestAgent, test_agents};
use super::authorize::{self, BROWSER_COOKIE, SESSION_COOKIE, cookie, set_session_cookie};
use super::callback;
use super::pages::{self, FieldError};
use super::request::{Parameters, Request, is_email};
use super::{PREFIX, Shared};
use crate::random::NoRandomness;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

/// The person as typed, not checked yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed {
    pub(super) email: String,
    pub(super) given_name: String,
    pub(super) usual_name: String,
    pub(super) siret: String,
    pub(super) roles: Vec<String>,
    pub(super) acr: String,
}

impl Typed {
    /// What the page's form holds at first.
    pub(super) fn suggested_by(request: &Request) -> Self {
        Self {
            email: request.login_hint.clone().unwrap_or_default(),
            siret: request.siret_hint.clone().unwrap_or_default(),
            roles: vec!["agent_public".to_owned()],
            acr: "eidas1".to_owned(),
            ..Self::default()
        }
    }

    fn read(form: &Parameters) -> Self {
        let text = |name| form.get(name).unwrap_or_default().trim().to_owned();
        Self {
            email: text("email"),
            given_name: text("given_name"),
            usual_name: text("usual_name"),
            siret: text("siret").chars().filter(|c| !c.is_whitespace()).collect(),
            roles: form.all("roles").map(str::to_owned).collect(),
            acr: text("acr"),
        }
    }

    /// The person, or everything that is wrong with the form.
    fn person(&self, request: &Request) -> Result<Agent, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut check = |field, right: bool, fr, en| {
            if !right {
                errors.push(FieldError { field, fr, en });
            }
        };
        check(
            "email",
            is_email(&self.email),
            "Saisissez une adresse électronique complète.",
            "Enter a full e-mail address.",
        );
        check("given_name", !self.given_name.is_empty(), "Saisissez un prénom.", "Enter a given name.");
        check("usual_name", !self.usual_name.is_empty(), "Saisissez un nom d’usage.", "Enter a usual name.");
        let siret = self.siret.len() == 14 && self.siret.bytes().all(|byte| byte.is_ascii_digit());
        check("siret", siret, "Le numéro SIRET a 14 chiffres.", "A SIRET number has 14 digits.");
        let roles = self.roles.iter().all(|role| ROLES.contains(&role.as_str()));
        check("roles", roles, "Choisissez parmi les rôles proposés.", "Choose among the roles shown.");
        let acr = ACR_VALUES.contains(&self.acr.as_str());
        check("acr", acr, "Choisissez parmi les niveaux proposés.", "Choose among the levels shown.");
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut agent = Agent::new(&self.given_name, &self.usual_name, &self.email);
        agent.siret.clone_from(&self.siret);
        agent.roles.clone_from(&self.roles);
        agent.acr.clone_from(&self.acr);
        if self.acr.ends_with("-mfa") || matches!(self.acr.as_str(), "eidas2" | "eidas3") {
            agent.amr.extend(["otp".to_owned(), "mfa".to_owned()]);
        }
        agent.organization_label = Some("Organisation saisie".to_owned());
        // The person is with whichever identity provider was asked for.
        if let Some(idp) = &request.idp_hint {
            agent.idp_id.clone_from(idp);
        }
        Ok(agent)
    }
}

/// The sign-in page.
pub(super) fn page(id: &str, request: &Request, typed: &Typed, errors: &[FieldError]) -> Response {
    let hinted = |test: &TestAgent| {
        let email = request.login_hint.as_ref().is_none_or(|hint| *hint == test.agent.email);
        email && request.idp_hint.as_ref().is_none_or(|hint| *hint == test.agent.idp_id)
    };
    let mut agents = test_agents();
    // Those whom the hints name come first; nobody is hidden, as one may always be somebody else.
    agents.sort_by_key(|test| !hinted(test));
    pages::sign_in(&format!("{PREFIX}/interaction/{id}"), request, &agents, typed, errors)
}

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    decide(&shared, &id, &headers, &Parameters::parse(&body)).unwrap_or_else(|NoRandomness| pages::failed())
}

fn decide(shared: &Shared, id: &str, headers: &HeaderMap, form: &Parameters) -> Result<Response, NoRandomness> {
    let now = shared.now();
    let fault = shared.faults.now().callback;
    let (new_session, new_code) = (shared.fresh_id()?, shared.fresh_id()?);
    let Some(browser) = cookie(headers, BROWSER_COOKIE) else {
        return Ok(pages::refused("Y030110", "the browser sent no cookie of this provider"));
    };
    let mut state = shared.state();
    let Some(request) = state.interaction(id, &browser, now).map(|interaction| interaction.request.clone()) else {
        return Ok(pages::refused("Y190001", "this sign-in page has expired, was answered, or is another browser's"));
    };
    let person = match (form.get("cancel"), form.get("agent")) {
        (Some(_), _) => None,
        (None, Some(key)) => match test_agents().into_iter().find(|test| test.key == key) {
            Some(test) => Some(test.agent),
            None => return Ok(pages::refused("Y000400", "there is no such test agent")),
        },
        (None, None) => {
            let typed = Typed::read(form);
            match typed.person(&request) {
                Ok(agent) => Some(agent),
                Err(errors) => return Ok(page(id, &request, &typed, &errors)),
            }
        }
    };
    state.end_interaction(id);
    let Some(person) = person else {
        let error = request.error("access_denied", "User auth aborted");
        return Ok(callback::go_to(&callback::with_error(&error, &shared.issuer, fault.as_ref())));
    };
    if let Some(former) = cookie(headers, SESSION_COOKIE)
        && state.session(&former, now).is_some_and(|session| session.agent.sub != person.sub)
    {
        state.end_session(&former);
    }
    let session_id = state.begin_session(person, new_session, now);
    let issued = authorize::issue(&mut state, request, &session_id, new_code, now);
    drop(state);
    let mut response = match issued {
        Ok(issued) => callback::go_to(&issued.address(&shared.issuer, fault.as_ref())),
        Err(error) => callback::go_to(&callback::with_error(&error, &shared.issuer, fault.as_ref())),
    };
    set_session_cookie(&mut response, &session_id);
    Ok(response)
}
