//! What an app that keeps an access token in its page's memory is offered: `token_endpoints`.
//!
//! Called by `server/endpoints` where they are configured. The sign-in is `login/by_app`, the token
//! `session/access_token`, and the way to the next one `session/handle`; what is here is JSON. What
//! changes something is taken from pages of ours and of listed origins alone, and as JSON, which no
//! form can send. Must never hand out a token of the provider's.
//!
//! | endpoint | takes | gives |
//! |---|---|---|
//! | `GET authorize` | `?login_hint=` | `{authorize_url, state}` |
//! | `POST token` | `{code, state}` | `{access_token, token_type, expires_in, state}` |
//! | `POST refresh` | `{state}` | the same |
//! | `POST logout` | `{state}` or nothing | `sign_out.answer` |

use super::endpoints::{Endpoints, FORGET, method_not_allowed};
use super::exchange::Exchange;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::clock::Timestamp;
use crate::login::by_app::AppAnswer;
use crate::login::callback::CallbackError;
use crate::oidc::{RedeemError, TokenError};
use crate::pages::{ErrorKind, ProviderKind};
use crate::secret::ExposeSecret;
use crate::session::{NoAccessToken, NoSession, NotUsed, OpenedSession, Place};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tracing::Level;

/// Their names below the prefix.
pub(super) const AUTHORIZE: &str = "authorize";
pub(super) const TOKEN: &str = "token";
pub(super) const REFRESH: &str = "refresh";
pub(super) const LOGOUT: &str = "logout";

/// What an app sends, which is not to be printed. Whatever else it says is not read.
#[derive(Deserialize, Default)]
struct Asked {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
}

impl Asked {
    fn state(&self) -> Option<&str> {
        self.state.as_deref().filter(|state| !state.is_empty())
    }
}

/// How an app gets its next token.
enum Next {
    /// With the session's cookie.
    BesideACookie,
    /// With the handle of this number: the one that is shown, and once it is used the next.
    Rotating(u64),
}

impl Endpoints {
    /// Answers one of them. `body` is that of a POST.
    pub(super) async fn token_endpoint(
        &self,
        name: &str,
        query: &str,
        body: &str,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        if name == AUTHORIZE {
            return match parts.method {
                Method::GET | Method::HEAD => self.authorize(query, parts, exchange).await,
                _ => method_not_allowed("GET, HEAD", exchange),
            };
        }
        if parts.method != Method::POST {
            return method_not_allowed("POST", exchange);
        }
        exchange.decision = match name {
            TOKEN => "token",
            REFRESH => "refresh",
            _ => "logout",
        };
        if !self.login.is_sent_by_us(&parts.headers) {
            let rescue = Rescue { kind: ErrorKind::OtherSite, level: Level::WARN };
            return self.error_as_json(rescue, &NoSession::OtherSite, exchange);
        }
        let asked = match asked(body, &parts.headers, name == TOKEN) {
            Ok(asked) => asked,
            Err((status, cause)) => return refused(status, "invalid_request", cause, exchange),
        };
        match name {
            TOKEN => self.token(&asked, parts, exchange).await,
            REFRESH => self.refresh_token(&asked, parts, exchange).await,
            _ => self.logout(&asked, parts, exchange).await,
        }
    }

    async fn authorize(&self, query: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        exchange.decision = "authorize";
        match self.login.invite(query, &parts.headers, self.clock.now(), &*self.random).await {
            Ok(invitation) => {
                let body = json!({"authorize_url": invitation.authorize_url, "state": invitation.state});
                Reply::json(StatusCode::OK, &body).cookies(invitation.cookie)
            }
            Err(error) => self.error_as_json(Rescue::of_start(&error), &error, exchange),
        }
    }

    async fn token(&self, asked: &Asked, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let (now, by_cookie) = (self.clock.now(), without_token(&parts.headers));
        let place = Place::new(&parts.headers, exchange.forwarded.as_ref().map(|forwarded| forwarded.client));
        let answer = AppAnswer { state: asked.state(), code: asked.code.as_deref(), iss: asked.iss.as_deref() };
        let outcome = self.login.answer_of_app(&answer, &by_cookie, &place, now, &*self.random).await;
        let label = if outcome.is_ok() { "signed_in" } else { "failed" };
        self.metrics.sign_ins.with_label_values(&[label]).inc();
        match outcome {
            Ok(begun) => {
                exchange.session = Some(begun.id);
                self.credentials.signed_in(&begun.opened, now);
                let next = if self.login.is_cookieless() { Next::Rotating(0) } else { Next::BesideACookie };
                self.granted(&begun.opened, &next, begun.cookies, exchange, now)
            }
            Err(error) => self.not_signed_in(&error, exchange),
        }
    }

    /// Tells an app that what it brought back signs nobody in.
    fn not_signed_in(&self, error: &CallbackError, exchange: &mut Exchange) -> Reply {
        let rescue = Rescue::of_callback(
            error,
            self.login.of_app().map_or(ProviderKind::Other, |of| self.kind_of(&of.settings().name)),
        );
        if !error.is_about_state() && rescue.kind.status().is_server_error() {
            return self.error_as_json(rescue, error, exchange);
        }
        let (level, cause) = (rescue.level, error.to_string());
        let reply = match error {
            error if error.is_about_state() => {
                refused(StatusCode::BAD_REQUEST, "invalid_state", "Invalid state", exchange)
            }
            CallbackError::NoCode => refused(StatusCode::BAD_REQUEST, "invalid_request", "code is missing", exchange),
            CallbackError::Redeem(RedeemError::Token(TokenError::InvalidGrant)) => {
                self.unauthorized("invalid_grant", "The provider does not take the code.", exchange)
            }
            _ => self.unauthorized("access_denied", "What the provider says signs nobody in here.", exchange),
        };
        exchange.level = level;
        exchange.because(cause);
        reply
    }

    async fn refresh_token(&self, asked: &Asked, parts: &Parts, exchange: &mut Exchange) -> Reply {
        // The token that an app still sends along has expired, mostly, and says nothing here.
        let (now, by_cookie) = (self.clock.now(), without_token(&parts.headers));
        let Some(state) = asked.state() else {
            return self.unauthorized("invalid_grant", "state is missing.", exchange);
        };
        let found = if self.login.is_cookieless() {
            self.sessions.open_handle(state, now).map(|(opened, number)| (opened, Next::Rotating(number)))
        } else {
            self.sessions.open(&by_cookie, now).map(|opened| (opened, Next::BesideACookie))
        };
        let (opened, mut next) = match found {
            Ok(found) => found,
            Err(reason) => return self.no_session(reason, exchange),
        };
        if matches!(next, Next::BesideACookie) && !self.sessions.is_handle_of(state, &opened, now) {
            let reply = self.unauthorized("invalid_grant", "The session is another one's: sign in again.", exchange);
            exchange.because("state was not made for the person whose session the cookie holds");
            return reply;
        }
        let (opened, mut cookies) = match self.going_on(opened, &by_cookie, now).await {
            Ok(going_on) => going_on,
            Err(reason) => return self.no_session(reason, exchange),
        };
        let session = match self.sessions.read(&opened, now) {
            Ok(session) => session,
            Err(reason) => return self.no_session(reason, exchange),
        };
        let id = session.id();
        exchange.session = Some(id);
        // Not before it goes on: what is tried again after an outage must not look like a copy.
        if let Next::Rotating(number) = &mut next {
            match self.sessions.use_handle(&session, *number, now).await {
                Ok(following) => *number = following,
                Err(not_used) => return self.not_used(not_used, exchange),
            }
        }
        if cookies.is_empty() {
            cookies = self.sessions.renewal(&session, &opened, &by_cookie, now, &*self.random);
        }
        if self.sessions.was_present(id, now) {
            let (sessions, random) = (Arc::clone(&self.sessions), Arc::clone(&self.random));
            tokio::spawn(async move { sessions.share_presence(id, now, &*random).await });
        }
        if matches!(next, Next::Rotating(_)) {
            cookies.clear();
        }
        self.granted(&opened, &next, cookies, exchange, now)
    }

    /// Answers a handle that gives nothing.
    fn not_used(&self, not_used: NotUsed, exchange: &mut Exchange) -> Reply {
        match not_used {
            NotUsed::Session(reason) => self.no_session(reason, exchange),
            NotUsed::Store(error) => self.error_as_json(Rescue::OF_OUTAGE, &error, exchange),
            reused @ NotUsed::Reused(_) => {
                let reply = self.unauthorized("invalid_grant", "The session is over: sign in again.", exchange);
                exchange.level = Level::WARN;
                exchange.because(reused);
                reply
            }
        }
    }

    /// A token for a session that goes on.
    fn granted(
        &self,
        opened: &OpenedSession,
        next: &Next,
        cookies: Vec<HeaderValue>,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Reply {
        let internal = Rescue { kind: ErrorKind::Internal, level: Level::ERROR };
        let token = match self.sessions.access_token(opened, now, &*self.random) {
            Ok(token) => token,
            Err(NoAccessToken::Session(reason)) => return self.no_session(reason, exchange),
            Err(NoAccessToken::Randomness(error)) => return self.error_as_json(internal, &error, exchange),
        };
        let session = match self.sessions.read(opened, now) {
            Ok(session) => session,
            Err(reason) => return self.no_session(reason, exchange),
        };
        let state = match next {
            Next::BesideACookie => self.sessions.handle(&session, &*self.random),
            Next::Rotating(number) => self.sessions.rotating_handle(&session, *number, now, &*self.random),
        };
        let state = match state {
            Ok(state) => state,
            Err(error) => return self.error_as_json(internal, &error, exchange),
        };
        let body = json!({
            "access_token": token.token.expose_secret(),
            "token_type": "Bearer",
            "expires_in": token.ends_at.since(now).as_secs(),
            "state": state,
        });
        Reply::json(StatusCode::OK, &body).cookies(cookies)
    }

    /// Ends what the request shows: the session of its cookie, of its token and of its handle.
    async fn logout(&self, asked: &Asked, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let (now, by_cookie) = (self.clock.now(), without_token(&parts.headers));
        let mut shown = vec![&by_cookie];
        if self.sessions.shows_token(&parts.headers) {
            shown.push(&parts.headers);
        }
        for headers in &shown {
            self.credentials.note(headers, now).await;
        }
        exchange.session = shown.iter().find_map(|headers| self.sessions.named(headers, now));
        self.login.sign_out_of_app(&shown, asked.state(), now).await;
        self.metrics.sign_outs.with_label_values(&["local"]).inc();
        let has_cookie = self.sessions.open(&by_cookie, now).err() != Some(NoSession::Absent);
        let cookies =
            if has_cookie || !self.login.is_cookieless() { self.sessions.clear(&by_cookie) } else { Vec::new() };
        Reply::json(StatusCode::OK, &self.sign_out_answer).cookies(cookies).fixed_headers(FORGET)
    }

    /// Answers an access token that does not count, or not any more (RFC 6750 §3.1). Which it is, is
    /// in the log.
    pub(super) fn refuse_token(&self, reason: NoSession, exchange: &mut Exchange) -> Reply {
        exchange.because(reason);
        let message = "The access token does not count, or not any more. Get another one, or sign in.";
        let challenge = self.bearer_challenge(r#", error="invalid_token""#);
        Reply::json(StatusCode::UNAUTHORIZED, &json!({"error": "invalid_token", "message": message, "detail": message}))
            .header(WWW_AUTHENTICATE, challenge)
    }

    fn no_session(&self, reason: NoSession, exchange: &mut Exchange) -> Reply {
        if reason.is_outage() {
            return self.error_as_json(Rescue::OF_OUTAGE, &reason, exchange);
        }
        let reply = self.unauthorized("invalid_grant", "There is no session: sign in again.", exchange);
        exchange.because(reason);
        reply
    }

    fn unauthorized(&self, error: &'static str, message: &'static str, exchange: &mut Exchange) -> Reply {
        refused(StatusCode::UNAUTHORIZED, error, message, exchange).header(WWW_AUTHENTICATE, self.challenge())
    }
}

/// A refusal. FastAPI's front-ends read `detail`, others `message`.
pub(super) fn refused(
    status: StatusCode,
    error: &'static str,
    message: &'static str,
    exchange: &mut Exchange,
) -> Reply {
    exchange.because(message);
    Reply::json(status, &json!({"error": error, "message": message, "detail": message}))
}

/// The headers of a request without an access token.
pub(super) fn without_token(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(AUTHORIZATION);
    headers
}

/// Reads a body. Without one nothing is asked for, where that is enough.
fn asked(body: &str, headers: &HeaderMap, is_needed: bool) -> Result<Asked, (StatusCode, &'static str)> {
    if body.trim().is_empty() && !is_needed {
        return Ok(Asked::default());
    }
    if !is_json(headers) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body has to be application/json."));
    }
    serde_json::from_str(body).map_err(|_| (StatusCode::BAD_REQUEST, "The body is no such JSON object."))
}

/// Whether the body says that it is JSON, once, with or without a charset. No page of another site
/// can say so without being asked first (Fetch §3.2.3).
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let media = one.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(types: &[&'static str]) -> HeaderMap {
        types.iter().map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_body_is_json_that_says_so_or_nothing() {
        let json = headers(&["application/json; charset=utf-8"]);
        let state = |body: &str, needed| asked(body, &json, needed).ok().map(|asked| asked.state().map(str::to_owned));
        assert_eq!(state(r#"{"state": "s", "code": null, "other": [1]}"#, true), Some(Some("s".to_owned())));
        assert_eq!(state(r#"{"state": ""}"#, true), Some(None));
        assert_eq!(state("{}", true), Some(None));
        assert_eq!(state(" ", false), Some(None));
        for bad in ["", "null", "[]", "\"s\"", "state=s", "{\"state\": 1}", "{\"state\":\"a\",\"state\":\"b\"}", "{"] {
            assert_eq!(state(bad, true), None, "{bad}");
        }
        for types in [&[][..], &["text/plain"], &["application/x-www-form-urlencoded"], &["application/json"; 2]] {
            let refusal = asked("{}", &headers(types), false).err().map(|(status, _)| status);
            assert_eq!(refusal, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{types:?}");
        }
    }
}
