//! What is refused, and what went wrong: every such answer that we give ourselves.
//!
//! Called by `look`, `forward_auth`, `live` and our own endpoints. Chooses between page and JSON in one place,
//! and puts an id on every error that the log line carries too. The causes and what they become are one
//! table (`rescue`).

use super::endpoints::{Endpoints, language_of};
use super::exchange::Exchange;
use super::line::Lost;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::gate::Denial;
use crate::gate::rules::Explanation;
use crate::pages::{ErrorKind, Language, Notice, Page, WaitingForm, text};
use crate::random;
use crate::session::NoSession;
use crate::web::kind::Kind;
use crate::web::return_to::ReturnTo;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use tracing::Level;

impl Endpoints {
    /// Answers what the gate denies.
    pub(super) fn deny(&self, denial: Denial, parts: &Parts, exchange: &mut Exchange) -> Reply {
        match (denial, Rescue::of_denial(denial)) {
            (Denial::NoSeat(why), _) => {
                self.no_seat(why, self.page_asked_for(parts).as_ref(), WaitingForm::None, parts, exchange)
            }
            (_, Some(rescue)) => self.rescue(rescue, &denial, parts, exchange),
            (Denial::FormWithoutSession(_), None) => {
                exchange.because(denial);
                // The page that the form was on; not the address that it was sent to.
                let return_to = self.login.page_of_form(&parts.headers);
                self.sign_in_page(&return_to.unwrap_or_else(ReturnTo::root), Some(Notice::FormNotSent), parts, exchange)
            }
            (Denial::NotSignedIn(reason) | Denial::NeitherSessionNorBearer(reason), None)
                if self.sessions.shows_token(&parts.headers) =>
            {
                self.refuse_token(reason, exchange)
            }
            (Denial::Bearer(fault), None) => self.refuse_bearer(fault, parts, exchange),
            (Denial::NoBearer, None) => {
                exchange.because(denial);
                self.ask_for_bearer()
            }
            (Denial::NeitherSessionNorBearer(reason), None) => {
                let reply = self.deny(Denial::NotSignedIn(reason), parts, exchange);
                reply.header(WWW_AUTHENTICATE, self.bearer_challenge(""))
            }
            (_, None) => {
                exchange.because(denial);
                let sign_in = format!("{}{}/sign_in", self.public_url.origin(), self.prefix.as_str());
                let body = serde_json::json!({
                    "error": "not_signed_in",
                    "message": "There is no session. Lead the browser to sign_in and try again.",
                    "sign_in": sign_in,
                });
                Reply::json(StatusCode::UNAUTHORIZED, &body).header(WWW_AUTHENTICATE, self.challenge())
            }
        }
    }

    /// Answers a request whose session ended before its answer began. The app may have acted upon it.
    pub(super) fn ended(&self, reason: NoSession, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let denial = Denial::NotSignedIn(reason);
        if Kind::of(parts) == Kind::Program {
            return self.deny(denial, parts, exchange);
        }
        exchange.because(denial);
        self.sign_in_page(&self.page_asked_for(parts).unwrap_or_else(ReturnTo::root), None, parts, exchange)
    }

    /// The address of a request that can be made again.
    fn page_asked_for(&self, parts: &Parts) -> Option<ReturnTo> {
        let target = parts.uri.path_and_query().filter(|_| parts.method == Method::GET)?;
        ReturnTo::parse(target.as_str(), &self.public_url, &self.prefix).ok()
    }

    /// Answers a request that lost the right to its route before its answer began.
    pub(super) fn no_longer(&self, lost: &Lost, parts: &Parts, exchange: &mut Exchange) -> Reply {
        match lost.denial {
            Denial::NotAdmitted(..) => self.keep_out(Some(&lost.explanation()), parts, exchange),
            denial => self.deny(denial, parts, exchange),
        }
    }

    /// Says what to do: RFC 9110 §11.6.1 wants a challenge with every 401. The scheme is our own,
    /// so that no browser asks for a password.
    pub(super) fn challenge(&self) -> HeaderValue {
        let challenge = format!(
            r#"Vestibule realm="{host}", sign_in="{origin}{prefix}/sign_in""#,
            host = self.public_url.host(),
            origin = self.public_url.origin(),
            prefix = self.prefix.as_str(),
        );
        HeaderValue::from_str(&challenge).unwrap_or_else(|_| HeaderValue::from_static("Vestibule"))
    }

    /// Answers an error as the table says.
    pub(super) fn rescue(
        &self,
        rescue: Rescue,
        error: &dyn std::fmt::Display,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        self.error(rescue.kind, rescue.level, error, parts, exchange)
    }

    /// Answers whom the rules of a route keep out: with who may enter, and, for programs, the rule.
    pub(super) fn keep_out(&self, why: Option<&Explanation<'_>>, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let cause = why.map_or("the rules of the route keep them out", |why| why.cause.as_str());
        self.answer_error(ErrorKind::NotAdmitted, Level::INFO, cause, why, parts, exchange)
    }

    pub(super) fn error(
        &self,
        kind: ErrorKind,
        level: Level,
        error: impl std::fmt::Display,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        self.answer_error(kind, level, error, None, parts, exchange)
    }

    fn answer_error(
        &self,
        kind: ErrorKind,
        level: Level,
        error: impl std::fmt::Display,
        why: Option<&Explanation<'_>>,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let id = self.note_error(level, &error, exchange);
        if !Kind::of(parts).shows_pages() {
            return json_of_error(kind, &id, why);
        }
        let who_may_enter = why.and_then(|why| who_may_enter(why, language_of(&parts.headers)));
        let page = match &who_may_enter {
            Some(who) => Page::Refused { who_may_enter: Some(who), id: &id },
            None => Page::Error { kind, id: &id },
        };
        with_retry(kind, self.page(kind.status(), page, parts))
    }

    /// The same for those that read no page.
    pub(super) fn error_as_json(
        &self,
        rescue: Rescue,
        error: &dyn std::fmt::Display,
        exchange: &mut Exchange,
    ) -> Reply {
        let id = self.note_error(rescue.level, error, exchange);
        json_of_error(rescue.kind, &id, None)
    }

    /// Notes an error for the log, under an id that the answer has too.
    pub(super) fn note_error(&self, level: Level, error: &dyn std::fmt::Display, exchange: &mut Exchange) -> String {
        // Enough to find a line; made even where randomness fails, for the line is found by time then.
        let id = random::bytes::<8>(&*self.random).map_or(0, u64::from_be_bytes);
        let id = format!("{id:016x}");
        exchange.because(error);
        exchange.level = level;
        exchange.error_id = Some(id.clone());
        id
    }
}

/// An error for programs.
fn json_of_error(kind: ErrorKind, id: &str, why: Option<&Explanation<'_>>) -> Reply {
    let (error, message) = (snake_case(kind), text(kind, Language::English).explanation);
    let body = match why {
        Some(why) => serde_json::json!({ "error": error, "message": message, "rule": why.rule, "id": id }),
        None => serde_json::json!({ "error": error, "message": message, "id": id }),
    };
    with_retry(kind, Reply::json(kind.status(), &body))
}

/// Says when to try again, with an error that passes.
pub(super) fn with_retry(kind: ErrorKind, reply: Reply) -> Reply {
    match kind.retry_after() {
        Some(seconds) => reply.header(RETRY_AFTER, HeaderValue::from_static(seconds)),
        None => reply,
    }
}

/// Who may enter, in the operator's words.
fn who_may_enter(why: &Explanation<'_>, language: Language) -> Option<String> {
    let words: Vec<&str> = why
        .who
        .iter()
        .map(|who| match language {
            Language::French => who.fr.as_str(),
            Language::English => who.en.as_str(),
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The cause as programs read it: `AppTimeout` → `app_timeout`.
fn snake_case(kind: ErrorKind) -> String {
    let mut out = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
