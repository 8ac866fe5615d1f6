//! The paths that Albert API itself had for ProConnect, for playgrounds that stay as they are.
//!
//! Called by `server/proxy`. Browsers come for the sign-in; the others are called by the
//! playground's server, which has the person's key and no cookie: the session is found by the key.
//!
//! | path | from | does |
//! |---|---|---|
//! | `GET /v1/oauth2/login`, `GET /v1/auth/proconnect` | browser | signs in, and returns with an envelope |
//! | `GET /v1/oauth2/callback`, `GET /v1/auth/callback` | browser | is the callback |
//! | `GET /v1/oauth2/playground-login` | server | trades an envelope for a key, once |
//! | `POST /v1/oauth2/logout`, `POST /v1/auth/logout` | server | ends the session of the key |
//!
//! Must never send a browser, or a key, to a host that is not allowed.

use super::exchange::Exchange;
use super::playground::{PARAMETER, hand_over, names_the_parameter};
use super::proxy::Proxy;
use super::reply::Reply;
use super::settings::{EnvelopeSettings, PlaygroundEndpoints};
use crate::clock::Timestamp;
use crate::credentials::hand_off::{NotTraded, TRADED_WITHIN};
use crate::gate::Denial;
use crate::gate::route::Access;
use crate::gate::rules::Circumstances;
use crate::secret::{ExposeSecret, SecretString};
use crate::session::{NoSession, OpenedSession};
use crate::store::{Key, StoreError};
use crate::web::kind::{Kind, is_ahead_of_need};
use crate::web::return_to::ReturnTo;
use http::header::{AUTHORIZATION, REFERER};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use ring::digest;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tracing::Level;

/// Who is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaygroundEndpoint {
    Login,
    Callback,
    Trade,
    Logout,
}

impl PlaygroundEndpoint {
    /// What is at a path in its plain spelling.
    pub(super) fn at(path: &str, method: &Method) -> Option<Self> {
        let get = *method == Method::GET;
        match path {
            "/v1/oauth2/login" | "/v1/auth/proconnect" if get => Some(Self::Login),
            "/v1/oauth2/callback" | "/v1/auth/callback" if get => Some(Self::Callback),
            "/v1/oauth2/playground-login" if get => Some(Self::Trade),
            "/v1/oauth2/logout" | "/v1/auth/logout" if *method == Method::POST => Some(Self::Logout),
            _ => None,
        }
    }
}

/// The body of a trade's envelope. Its own `timestamp` says nothing: the seal has one.
#[derive(Deserialize)]
struct Wanted {
    user_id: u64,
}

/// The body of a sign-out.
#[derive(Deserialize)]
struct SigningOut {
    proconnect_token: Option<String>,
}

impl Proxy {
    /// Answers one of these paths. `form` is the body of a POST.
    pub(super) async fn playground_endpoint(
        &self,
        endpoint: PlaygroundEndpoint,
        query: &str,
        form: &str,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let Some(settings) = &self.playground.settings.endpoints else {
            return detail(StatusCode::NOT_FOUND, "Not Found");
        };
        let Some(envelope) = self.playground.settings.envelopes.get(settings.envelope) else {
            return detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        };
        match endpoint {
            PlaygroundEndpoint::Callback => self.endpoints.answer("callback", query, form, parts, exchange).await,
            PlaygroundEndpoint::Login => {
                exchange.decision = "playground_login";
                self.playground_login(settings, envelope, query, parts, exchange).await
            }
            PlaygroundEndpoint::Trade => {
                exchange.decision = "playground_trade";
                self.trade(envelope, query, exchange).await
            }
            PlaygroundEndpoint::Logout => {
                exchange.decision = "playground_logout";
                self.playground_logout(form, &parts.headers, exchange).await
            }
        }
    }

    /// Signs in, and returns to where the person came from: `origin`, or the page that led here.
    async fn playground_login(
        &self,
        settings: &PlaygroundEndpoints,
        envelope: &EnvelopeSettings,
        query: &str,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let now = self.endpoints.clock.now();
        if let Some(reply) = self.close_at_provider(parts, exchange, now).await {
            return reply;
        }
        let origins: Vec<_> =
            url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "origin").collect();
        let from = match &origins[..] {
            [] => parts.headers.get(REFERER).and_then(|referer| referer.to_str().ok()),
            [(_, origin)] => Some(origin.as_ref()),
            _ => return detail(StatusCode::BAD_REQUEST, "Invalid domain: several are named"),
        };
        let from = from.filter(|from| !from.is_empty()).unwrap_or("/");
        let (public_url, prefix) = (&self.endpoints.public_url, &self.endpoints.prefix);
        // No key leaves for a session that no page would be shown to.
        let (session, renewal) = match self.endpoints.own_session(parts, now).await {
            Ok((opened, renewal)) => (Some(Arc::new(opened)), renewal),
            Err(_) => (None, Vec::new()),
        };
        let on_this_site = from.starts_with('/')
            || url::Url::parse(from).is_ok_and(|url| url.origin().ascii_serialization() == public_url.origin());
        if on_this_site {
            // A page of our own: what leads to it has an envelope of its own. No loop: not back here.
            let back = ReturnTo::parse(&without_envelope(from), public_url, prefix).ok();
            let back = back.filter(|back| !is_ours(back.as_str())).unwrap_or_else(ReturnTo::root);
            return match session {
                Some(_) => Reply::redirect(&parts.method, &back.location(public_url)).cookies(renewal),
                None => self.endpoints.enter(back, parts, exchange).await,
            };
        }
        let Some(origin) = settings.allowed_domains.origin_of(from) else {
            exchange.level = Level::WARN;
            exchange.because("the address to return to is not on the list (albert_endpoints.allowed_domains)");
            let host = url::Url::parse(from).ok().and_then(|url| url.host_str().map(str::to_owned));
            return detail(StatusCode::BAD_REQUEST, &format!("Invalid domain: {}", host.unwrap_or_default()));
        };
        let Some(opened) = session else {
            // Back here with a session.
            let origin: String = url::form_urlencoded::byte_serialize(origin.as_str().as_bytes()).collect();
            let back = ReturnTo::parse(&format!("/v1/auth/proconnect?origin={origin}"), public_url, prefix);
            return self.endpoints.enter(back.unwrap_or_else(|_| ReturnTo::root()), parts, exchange).await;
        };
        if let Some(denial) = self.keeps_from_the_pages(envelope, &opened, exchange.circumstances(now)) {
            exchange.decision = "deny";
            return self.deny(denial, parts, exchange).cookies(renewal);
        }
        match self.envelope(envelope, &opened, &parts.headers, now).await {
            Ok((sealed, cookies)) => {
                let location = format!("{}/?{PARAMETER}={sealed}", origin.as_str());
                hand_over(&parts.method, &location).cookies(renewal).cookies(cookies)
            }
            Err(failed) => self.without_credential(envelope.credential, &failed, parts, exchange),
        }
    }

    /// Why the rules of the routes keep a person from the key that an envelope holds: those of the pages
    /// that are opened with one, else of what is sent on with the key, else of all that people open.
    fn keeps_from_the_pages(
        &self,
        envelope: &EnvelopeSettings,
        opened: &OpenedSession,
        at: Circumstances,
    ) -> Option<Denial> {
        let session = self.sessions.read(opened, at.now).ok()?;
        let holds_it = |index: usize| self.playground.settings.envelopes.get(index).map(|other| other.credential);
        self.gate.keeps_from(
            &session,
            at,
            &[
                &|route| route.envelope.and_then(holds_it) == Some(envelope.credential),
                &|route| route.credential == Some(envelope.credential),
                &|route| route.access == Access::SignedIn,
            ],
        )
    }

    async fn trade(&self, envelope: &EnvelopeSettings, query: &str, exchange: &mut Exchange) -> Reply {
        let now = self.endpoints.clock.now();
        let shown: Vec<_> =
            url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == PARAMETER).collect();
        let opened = match &shown[..] {
            [(_, one)] => envelope.envelope.open(one, TRADED_WITHIN, now),
            _ => None,
        };
        let Some(wanted) = opened.and_then(|text| serde_json::from_str::<Wanted>(&text).ok()) else {
            exchange.because("the envelope does not open, or is too old");
            return detail(StatusCode::BAD_REQUEST, "Invalid or expired token");
        };
        match self.credentials.trade(envelope.credential, wanted.user_id, now).await {
            Ok(traded) => Reply::json(
                StatusCode::OK,
                &json!({
                    "status": "success",
                    "api_key": traded.secret.expose_secret(),
                    "token_id": traded.key,
                    "user_id": wanted.user_id,
                }),
            ),
            Err(NotTraded::NotHandedOver) => {
                exchange.because(NotTraded::NotHandedOver);
                detail(StatusCode::NOT_FOUND, "User not found")
            }
            Err(error) => {
                exchange.level = Level::ERROR;
                exchange.because(error);
                detail(StatusCode::INTERNAL_SERVER_ERROR, "Login failed")
            }
        }
    }

    /// Ends the session that a key belongs to. With the ID token that was handed over with it, the
    /// browser is signed out at the provider when it next comes.
    async fn playground_logout(&self, body: &str, headers: &HeaderMap, exchange: &mut Exchange) -> Reply {
        let now = self.endpoints.clock.now();
        let unknown = || {
            detail(StatusCode::UNAUTHORIZED, "Invalid or expired API key.")
                .fixed_headers([("www-authenticate", "Bearer")])
        };
        let Some(key) = bearer(headers) else { return unknown() };
        let session = match self.credentials.holder(&key, now).await {
            Ok(Some(session)) if !self.sessions.has_ended(session) => session,
            Ok(_) => {
                exchange.because("no session has this key");
                return unknown();
            }
            Err(error) => return logout_failed(&error, exchange),
        };
        exchange.session = Some(session);
        if body.trim().is_empty() {
            return detail(StatusCode::BAD_REQUEST, "Missing ProConnect token.");
        }
        let token = match serde_json::from_str::<SigningOut>(body) {
            Ok(SigningOut { proconnect_token: Some(token) }) if token.trim().is_empty() => {
                return unprocessable("String should not be blank");
            }
            Ok(SigningOut { proconnect_token }) => proconnect_token.map(SecretString::from),
            Err(_) => return unprocessable("Input should be an object with a string"),
        };
        let Some(token) = token else {
            return match self.sessions.end_by_app(session, None, now, &*self.endpoints.random).await {
                Ok(()) => message("success", "Token expired successfully"),
                Err(error) => logout_failed(&error, exchange),
            };
        };
        let handed = self.playground.store.index_members(&handed_tokens(&session.bytes()), now).await;
        match handed {
            Ok(handed) if !handed.contains(&digest_of(token.expose_secret())) => {
                exchange.because("the ProConnect token is not one that was handed over with this session");
                return detail(StatusCode::BAD_REQUEST, "Invalid ProConnect token.");
            }
            Ok(_) => {}
            Err(error) => return logout_failed(&error, exchange),
        }
        match self.sessions.end_by_app(session, Some(&token), now, &*self.endpoints.random).await {
            Ok(()) => message("success", "Successfully logged out from ProConnect and expired token"),
            Err(error) => {
                exchange.level = Level::WARN;
                exchange.because(error);
                message("warning", "Token expired successfully, but ProConnect logout may have failed")
            }
        }
    }

    /// Notes which ID token a playground has of a session.
    pub(super) async fn note_handed_token(&self, opened: &OpenedSession, id_token: &str, now: Timestamp) {
        let Ok(session) = self.sessions.read(opened, now) else { return };
        let (index, until) = (handed_tokens(&session.id().bytes()), self.sessions.ends_at(&session));
        if let Err(error) = self.playground.store.index_add(&index, &digest_of(id_token), until, now).await {
            tracing::warn!(%error, "an ID token was handed over that cannot be signed out with");
        }
    }

    /// Leads a browser window round by the provider whose session was ended by its playground.
    pub(super) async fn close_at_provider(
        &self,
        parts: &Parts,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Option<Reply> {
        self.playground.settings.endpoints.as_ref()?;
        let headers = &parts.headers;
        // It is done once: not for an image, nor for a page that may never be shown.
        if is_ahead_of_need(headers) || Kind::of(parts) != Kind::Navigation {
            return None;
        }
        let ended = self.sessions.open(headers, now).ok()?;
        if self.sessions.read(&ended, now).err()? != NoSession::Ended {
            return None;
        }
        let id_token = self.sessions.to_be_closed(headers, now).await?;
        let out =
            self.endpoints.login.leave(headers, Some(&id_token), None, now, &*self.endpoints.random).await.ok()?;
        exchange.decision = "sign_out";
        Some(Reply::redirect(&Method::GET, &out.location).cookies(out.cookies))
    }
}

/// FastAPI's form of an error, which the playgrounds read.
fn detail(status: StatusCode, text: &str) -> Reply {
    Reply::json(status, &json!({ "detail": text }))
}

fn unprocessable(message: &str) -> Reply {
    let fault = json!({"type": "value_error", "loc": ["body", "proconnect_token"], "msg": message});
    Reply::json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "detail": [fault] }))
}

fn message(status: &str, message: &str) -> Reply {
    Reply::json(StatusCode::OK, &json!({ "status": status, "message": message }))
}

fn logout_failed(error: &StoreError, exchange: &mut Exchange) -> Reply {
    exchange.level = Level::ERROR;
    exchange.because(error);
    detail(StatusCode::INTERNAL_SERVER_ERROR, "Logout failed: the session store is unavailable")
}

fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then(|| SecretString::from(key))
}

/// The address of a page without an envelope in it.
fn without_envelope(address: &str) -> String {
    let Some((before, query)) = address.split_once('?') else { return address.to_owned() };
    let others: Vec<&str> = query.split('&').filter(|pair| !names_the_parameter(pair)).collect();
    if others.is_empty() { before.to_owned() } else { format!("{before}?{}", others.join("&")) }
}

fn is_ours(path: &str) -> bool {
    PlaygroundEndpoint::at(path.split(['?', '#']).next().unwrap_or_default(), &Method::GET).is_some()
}

fn handed_tokens(session: &[u8]) -> Key {
    Key::new("handed-tokens", session)
}

fn digest_of(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
