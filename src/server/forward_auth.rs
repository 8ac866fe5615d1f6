//! `/oauth2/auth`: may this request pass, and whose is it?
//!
//! Called by `server/proxy`, and by `server/ext_authz` for the same question in a message. Front proxies ask it about the requests that they have, and apps about
//! the cookies of a request that came to them; the answer is a status, and the identity in headers.
//! It renders what the gate says and decides nothing. Where `forward_auth` is configured the request
//! is rebuilt first (`web/original`), from what a trusted proxy says of it; otherwise the question is
//! whether there is a session. Must never tell what no app behind us would be told, nor a credential
//! where a browser could be the one who asks.
//!
//! | the gate says | answer |
//! |---|---|
//! | `Forward` | 202 with the identity headers, as far as the session has them; to Envoy 200 |
//! | `SignIn` | 401 with the sign-in page, or what leads to sign in (`not_signed_in`) |
//! | `StepUp` | the same: to the provider, or 401 with what is missing (`server/step_up`) |
//! | `Deny` for want of a session | 401 |
//! | `Deny` for anything else | 403, for nginx makes 500 of all others |
//! | `Unavailable` | 503: an outage is not a sign-out |

use super::exchange::Exchange;
use super::judged::began;
use super::proxy::Proxy;
use super::reply::Reply;
use super::rescue::Rescue;
use super::settings::{ForwardAuth, NotSignedIn};
use crate::gate::constraints::Constraints;
use crate::gate::headers::IdentityHeaders;
use crate::gate::{About, Forward, Question, Verdict, changes_something};
use crate::pages::{ErrorKind, WaitingForm};
use crate::session::{NoSession, OpenedSession};
use crate::web::hygiene::{Ambiguous, host_header};
use crate::web::kind::Kind;
use crate::web::origin::is_handshake;
use crate::web::original::{FrontProxy, NotRebuilt, OriginalRequest};
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;
use tracing::Level;

/// Its name below the prefix.
pub(super) const AUTH: &str = "auth";

/// What is told to whoever asks for a session alone.
const TOLD: [&str; 2] = ["x-auth-request-", "gap-auth"];

/// By which Envoy is told what to take off a request before it sends it on.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

const NO_STORE: [(&str, &str); 1] = [("cache-control", "no-store")];
const SAME_ORIGIN: [(&str, &str); 1] = [("cross-origin-resource-policy", "same-origin")];

/// What comes of a question.
pub(super) enum Answer {
    /// The request may pass.
    Granted(Granted),
    /// It may not, and this is for whoever waits.
    Refused(Reply),
}

/// What goes along with a request that may pass.
pub(super) struct Granted {
    /// Who it is, to be set on the request.
    pub(super) identity: IdentityHeaders,
    /// What its app needs to trust it, to be set likewise. Nothing where a browser could be the one
    /// who asks.
    pub(super) credential: Vec<(HeaderName, HeaderValue)>,
    /// `Set-Cookie` values for the browser.
    pub(super) cookies: Vec<HeaderValue>,
    /// Whether the same request may be answered so again: not where it depends on whose page sent it, or
    /// from where.
    may_last: bool,
    /// Whether what the client sent as `Authorization` is an access token of ours, which is not for
    /// the app.
    pub(super) takes_token_away: bool,
}

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoQuestion {
    #[error("the front proxy is not one of trusted_proxies, so what it says of the request is not believed")]
    Peer,
    #[error(transparent)]
    NotRebuilt(#[from] NotRebuilt),
    #[error("the request that the front proxy asks about: {0}")]
    Ambiguous(#[from] Ambiguous),
    #[error(
        "the front proxy asks one site about a request to another: it has to hand Host on, or leave it to X-Forwarded-Host"
    )]
    OtherSite,
    #[error("what is to be set on the request is not UTF-8, and a message holds nothing else")]
    NotText,
}

impl Proxy {
    /// Answers what is asked; `below` is what stands in its target behind the endpoint's own path.
    pub(super) async fn forward_auth(&self, below: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        exchange.decision = "auth";
        let constraints = Constraints::parse(below.strip_prefix('?').unwrap_or_default());
        let reply = match self.forward_auth {
            // A proof is shown by an app, which has no request to ask about. With one it counts as
            // nothing: whoever found it in a log could be its person through the front proxy.
            Some(ForwardAuth { from: Some(from), not_signed_in, cache_seconds })
                if !(self.sessions.is_by_proof(&parts.headers) && from.names_none(parts, below)) =>
            {
                match self.about_a_request(from, not_signed_in, below, constraints, parts, exchange).await {
                    Ok(Answer::Granted(granted)) => self.told_to(from, granted, cache_seconds),
                    Ok(Answer::Refused(reply)) => reply,
                    Err(cause) => self.not_asked(&cause, parts, exchange),
                }
            }
            _ => {
                let question = Question { about: About::Session(&parts.headers), constraints };
                match self.answer(&question, NotSignedIn::Status, parts, exchange).await {
                    Answer::Granted(granted) => told_of_a_session(granted),
                    Answer::Refused(reply) => reply,
                }
            }
        };
        // Nobody reads the body of a question.
        if parts.headers.contains_key("content-length") || parts.headers.contains_key("transfer-encoding") {
            reply.closing()
        } else {
            reply
        }
    }

    async fn about_a_request(
        &self,
        from: FrontProxy,
        not_signed_in: NotSignedIn,
        below: &str,
        constraints: Constraints,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Result<Answer, NoQuestion> {
        if !exchange.forwarded.as_ref().is_some_and(|forwarded| forwarded.is_from_trusted) {
            return Err(NoQuestion::Peer);
        }
        let original = from.original(parts, below)?;
        self.about(&original, not_signed_in, constraints, exchange).await
    }

    /// Whether a request names a host of another site, at whatever port. One that is no site's is judged
    /// by the site that is asked, which may share its cookies with it.
    fn is_for_another(&self, original: &OriginalRequest) -> bool {
        let host = host_header(original.parts()).ok();
        self.hosts.as_ref().zip(host).is_some_and(|(hosts, host)| hosts.is_of_another(self.site, host))
    }

    /// Judges a request that a trusted front proxy has.
    pub(super) async fn about(
        &self,
        original: &OriginalRequest,
        not_signed_in: NotSignedIn,
        constraints: Constraints,
        exchange: &mut Exchange,
    ) -> Result<Answer, NoQuestion> {
        let request = original.inspect()?;
        if self.is_for_another(original) {
            return Err(NoQuestion::OtherSite);
        }
        exchange.asked = Some(format!("{} {}", request.parts().method, request.path().literal()));
        let about = About::Request { request: &request, scheme: original.scheme() };
        // Rendered for whoever waits for the original request.
        Ok(self.answer(&Question { about, constraints }, not_signed_in, request.parts(), exchange).await)
    }

    async fn answer(
        &self,
        question: &Question<'_>,
        not_signed_in: NotSignedIn,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Answer {
        let at = exchange.circumstances(self.endpoints.clock.now());
        let began = began();
        let verdict = match self.gate.case_of(question) {
            Ok(case) => self.judged(&case, None, &parts.headers, exchange, (at, began)).await.0,
            Err(denial) => Verdict::Deny(denial),
        };
        let reply = match verdict {
            Verdict::Forward(forward) => return self.permitted(forward, question, parts, exchange).await,
            Verdict::SignIn { return_to, reason, providers } => {
                exchange.because(reason);
                exchange.offered = providers;
                match not_signed_in {
                    NotSignedIn::SignIn => self.endpoints.enter(return_to, parts, exchange).await,
                    NotSignedIn::Status => self.endpoints.sign_in_page(&return_to, None, parts, exchange),
                }
            }
            Verdict::StepUp { step_up, session, kind, return_to } => match (kind, not_signed_in, session) {
                (Kind::Navigation, NotSignedIn::SignIn, Some(session)) => {
                    self.endpoints.step_up(&session, return_to, step_up, parts, exchange).await
                }
                (kind, _, _) => {
                    let form = if kind == Kind::Submission { WaitingForm::Lost } else { WaitingForm::None };
                    self.endpoints.lacks_step_up(&step_up, &return_to, form, kind, parts, exchange)
                }
            },
            Verdict::OtherProvider { index, return_to } => {
                refusal(self.other_provider(index, &return_to, parts, exchange))
            }
            Verdict::Deny(denial) => refusal(self.deny(denial, parts, exchange)),
            Verdict::Unavailable(reason) => self.endpoints.rescue(Rescue::OF_OUTAGE, &reason, parts, exchange),
            // Asked once already; whatever asks again is not decided.
            Verdict::Refresh(_) | Verdict::TakeSeat(_) | Verdict::Verify { .. } => {
                self.endpoints.rescue(Rescue::OF_OUTAGE, &NoSession::ProviderDown, parts, exchange)
            }
        };
        Answer::Refused(reply)
    }

    async fn permitted(
        &self,
        forward: Forward<'_>,
        question: &Question<'_>,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Answer {
        let now = self.endpoints.clock.now();
        exchange.route = Some(forward.index);
        exchange.session = forward.session;
        let mut cookies = std::mem::take(&mut exchange.renewal);
        cookies.extend(forward.renewal);
        let by_token = forward.opened.as_ref().is_some_and(OpenedSession::by_token);
        if self.sessions.is_by_proof(&parts.headers) || forward.session.is_none() {
            // An app asks, which must never get a cookie of ours. What was renewed is in the store,
            // where the browser's next request finds it. Or it is over.
            cookies.clear();
        } else if let Some(id) = forward.session
            && (by_token || !cookies.is_empty())
            && self.sessions.was_present(id, now)
        {
            self.list(forward.opened.as_ref(), &parts.headers, exchange, now);
        }
        let may_last = match &question.about {
            About::Session(_) => false,
            About::Request { request, .. } => {
                // What is kept is kept for whoever brings the same cookie, from wherever; and an
                // assertion is for this request, and ends soon.
                !forward.route.rules.look_at_the_address()
                    && forward.route.assertion.is_none()
                    && !changes_something(&request.parts().method, &parts.headers)
                    && !is_handshake(&parts.headers)
            }
        };
        let mut credential = Vec::new();
        if forward.is_preflight {
            exchange.replaces = forward.route.credential;
        } else if let (true, About::Request { request, .. }) = (self.answers_front_proxies_alone, &question.about) {
            exchange.opened = forward.opened.map(Arc::new);
            if let Err(reply) = self.provide(forward.route, request, exchange, now).await {
                return Answer::Refused(refusal(reply));
            }
            cookies.append(&mut exchange.renewal);
            credential = std::mem::take(&mut exchange.credential.headers);
        }
        let takes_token_away = matches!(question.about, About::Request { .. })
            && self.takes_token_away(Some(forward.route), &parts.headers)
            && !credential.iter().any(|(name, _)| *name == AUTHORIZATION);
        Answer::Granted(Granted { identity: forward.identity, credential, cookies, may_last, takes_token_away })
    }

    /// Tells a front proxy that the request may pass.
    fn told_to(&self, from: FrontProxy, granted: Granted, cache_seconds: u64) -> Reply {
        // Envoy takes every other status for a refusal.
        let status = if from == FrontProxy::Envoy { StatusCode::OK } else { StatusCode::ACCEPTED };
        let lasts =
            cache_seconds > 0 && granted.may_last && granted.cookies.is_empty() && granted.credential.is_empty();
        let mut reply = Reply::new(status, "").headers(granted.identity.iter().cloned());
        if from == FrontProxy::Envoy {
            let token = granted.takes_token_away.then_some(&AUTHORIZATION);
            let names: Vec<&str> = self.not_set(&granted.identity).chain(token).map(HeaderName::as_str).collect();
            if let Ok(names) = HeaderValue::from_str(&names.join(",")) {
                reply = reply.header(TO_REMOVE, names);
            }
        }
        let reply = reply.headers(granted.credential);
        let reply = if lasts { reply.headers(lasting(from, cache_seconds)) } else { reply.fixed_headers(NO_STORE) };
        reply.fixed_headers(SAME_ORIGIN).cookies(granted.cookies)
    }

    /// The identity headers that an app knows and that this answer has not: the client's own must
    /// not take their place.
    pub(super) fn not_set<'a>(&'a self, identity: &'a IdentityHeaders) -> impl Iterator<Item = &'a HeaderName> {
        self.gate.headers().names().filter(|name| !identity.iter().any(|(set, _)| set == *name))
    }

    /// Answers what is no question: with a status that every front proxy refuses by.
    pub(super) fn not_asked(&self, cause: &NoQuestion, parts: &Parts, exchange: &mut Exchange) -> Reply {
        // How the two are set up is no fault of whoever reads the page.
        let (kind, level) = match cause {
            NoQuestion::Peer | NoQuestion::NotRebuilt(_) | NoQuestion::OtherSite => (ErrorKind::Internal, Level::WARN),
            NoQuestion::NotText => (ErrorKind::Internal, Level::ERROR),
            NoQuestion::Ambiguous(_) => (ErrorKind::BadRequest, Level::INFO),
        };
        let rescue = Rescue { kind, level };
        self.endpoints.rescue(rescue, cause, parts, exchange).with_status(StatusCode::FORBIDDEN)
    }
}

/// Tells whoever asks for a session alone.
fn told_of_a_session(granted: Granted) -> Reply {
    let is_told = |name: &HeaderName| TOLD.iter().any(|told| name.as_str().starts_with(told));
    let told = granted.identity.iter().filter(|(name, _)| is_told(name)).cloned();
    let reply = Reply::new(StatusCode::ACCEPTED, "").headers(told).headers(granted.credential);
    reply.fixed_headers(NO_STORE).fixed_headers(SAME_ORIGIN).cookies(granted.cookies)
}

/// A refusal with a status that every front proxy takes for one. An outage stays what it is.
fn refusal(reply: Reply) -> Reply {
    let is_plain = reply.status() == StatusCode::UNAUTHORIZED || !reply.status().is_client_error();
    if is_plain { reply } else { reply.with_status(StatusCode::FORBIDDEN) }
}

/// What lets a front proxy use an answer again for the same request of the same browser.
fn lasting(from: FrontProxy, seconds: u64) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let vary: Vec<&str> = ["cookie", "authorization"].iter().chain(from.told_in()).copied().collect();
    let texts = [(CACHE_CONTROL, format!("max-age={seconds}")), (http::header::VARY, vary.join(", "))];
    texts.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::from_str(&text).ok()?)))
}
