//! What is answered to somebody who has a session, or a token, and needs a stronger or a fresher one.
//!
//! Called by `look` and `forward_auth` where the gate says `StepUp`. A navigation goes to the provider, a
//! form is kept meanwhile, and a program hears what to do (RFC 9470 §3). Decides nothing.

use super::endpoints::Endpoints;
use super::exchange::Exchange;
use super::refusal::with_retry;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::oidc::StepUp;
use crate::pages::{AskedAgain, Page, WaitingForm};
use crate::session::OpenedSession;
use crate::web::kind::Kind;
use crate::web::return_to::ReturnTo;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

/// For front proxies that put an answer of their own in the place of ours: what to add to the address of
/// `/oauth2/start`.
const STEP_UP: HeaderName = HeaderName::from_static("x-vestibule-step-up");

const ERROR: &str = "insufficient_user_authentication";

/// As the log has it.
pub(super) fn in_words(step_up: &StepUp) -> String {
    let level = (!step_up.acr_values.is_empty()).then(|| format!("acr of {}", step_up.acr_text()));
    let age = step_up.max_age.map(|age| format!("auth_time within {} s", age.as_secs()));
    let wanted: Vec<String> = level.into_iter().chain(age).collect();
    format!("the route asks for a step-up: {}", wanted.join(" and "))
}

impl Endpoints {
    /// Leads a navigation to the provider.
    pub(super) async fn step_up(
        &self,
        session: &OpenedSession,
        return_to: ReturnTo,
        step_up: StepUp,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        exchange.because(in_words(&step_up));
        let renewal = std::mem::take(&mut exchange.renewal);
        let (now, random) = (self.clock.now(), &*self.random);
        let scheme = exchange.scheme();
        let started = self.login.step_up(session, &parts.headers, scheme, return_to, step_up, now, random).await;
        self.started(started, parts, exchange).cookies(renewal)
    }

    /// Answers a step-up that did not bring what was asked for: with what was missing, and the way to try
    /// again, which nobody goes who does not press a button for it.
    pub(super) fn stepped_up_in_vain(
        &self,
        rescue: Rescue,
        error: &dyn std::fmt::Display,
        (return_to, step_up): (&ReturnTo, &StepUp),
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        if !Kind::of(parts).shows_pages() {
            return self.rescue(rescue, error, parts, exchange);
        }
        let id = self.note_error(rescue.level, &error, exchange);
        let (levels, max_age) = (step_up.acr_text(), step_up.max_age.map(|age| age.as_secs()));
        let asked = AskedAgain { return_to: return_to.as_str(), acr_values: &levels, max_age };
        let page = Page::InVain { kind: rescue.kind, asked, id: &id };
        with_retry(rescue.kind, self.page(rescue.kind.status(), page, parts))
    }

    /// Says that a step-up is missing, in the way that `kind` understands. `form` is as for
    /// [`Page::StepUp`].
    pub(super) fn lacks_step_up(
        &self,
        step_up: &StepUp,
        return_to: &ReturnTo,
        form: WaitingForm<'_>,
        kind: Kind,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let max_age = step_up.max_age.map(|age| age.as_secs());
        let levels = step_up.acr_text();
        let reply = if kind.shows_pages() {
            // Nobody proves more of themselves with another provider than that of their session.
            let provider = self.sessions.provider_shown(&parts.headers, self.clock.now());
            let asked = AskedAgain { return_to: return_to.as_str(), acr_values: &levels, max_age };
            let page = Page::StepUp { asked, provider: provider.as_deref(), form };
            self.page(StatusCode::UNAUTHORIZED, page, parts)
        } else {
            let body = serde_json::json!({
                "error": ERROR,
                "message": "The person has to sign in more strongly, or once more. Lead the browser to step_up, with &rd= and the address to come back to; a token has to be one of such a sign-in.",
                "acr_values": step_up.acr_values,
                "max_age": max_age,
                "step_up": format!("{}{}/start?{}", self.public_url.origin(), self.prefix.as_str(), query(step_up)),
            });
            Reply::json(StatusCode::UNAUTHORIZED, &body)
        };
        let quoted = |name: &str, value: &str| format!(r#", {name}="{value}""#);
        let is_quotable =
            |level: &&String| level.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        let said: Vec<&str> = step_up.acr_values.iter().filter(is_quotable).map(String::as_str).collect();
        let mut attributes = quoted("error", ERROR)
            + &quoted(
                "error_description",
                "A different authentication level or a more recent authentication is needed",
            );
        if !said.is_empty() {
            attributes += &quoted("acr_values", &said.join(" "));
        }
        if let Some(seconds) = max_age {
            attributes += &quoted("max_age", &seconds.to_string());
        }
        exchange.because(in_words(step_up));
        let reply = reply.header(WWW_AUTHENTICATE, self.bearer_challenge(&attributes));
        match HeaderValue::from_str(&query(step_up)) {
            Ok(query) => reply.header(STEP_UP, query),
            Err(_) => reply,
        }
    }
}

/// What `/oauth2/start` is asked with.
fn query(step_up: &StepUp) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if !step_up.acr_values.is_empty() {
        query.append_pair("acr_values", &step_up.acr_text());
    }
    if let Some(age) = step_up.max_age {
        query.append_pair("max_age", &age.as_secs().to_string());
    }
    query.finish()
}
