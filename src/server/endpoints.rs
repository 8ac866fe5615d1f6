//! Our own endpoints.
//!
//! Called by `server/proxy` for paths below the prefix, and for the sign-in that the gate wants. What is
//! refused, here and by the gate, is answered in `refusal`.

use super::exchange::Exchange;
use super::metrics::Metrics;
use super::reply::Reply;
use super::rescue::Rescue;
use super::seats::SEAT;
use super::token_endpoints::{AUTHORIZE, LOGOUT, REFRESH, TOKEN, without_token};
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::gate::Denial;
use crate::login::Login;
use crate::login::callback::Arrival;
use crate::login::logout::Outcome;
use crate::login::start::{Asked, Start, StartError};
use crate::oidc::Provider;
use crate::pages::{ASSET_HEADERS, ErrorKind, Language, LoopCause, Notice, Page, Pages, SignOutReach};
use crate::random::Random;
use crate::seats::Seats;
use crate::session::{Place, Refresher, Session, Sessions};
use crate::signing::{SigningRing, published};
use crate::web::kind::Kind;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::{Prefix, ReturnTo, SESSIONS_PAGE};
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::sync::Arc;
use tracing::Level;

/// What answers for us.
#[derive(Clone)]
pub struct Endpoints {
    /// The sign-in.
    pub login: Arc<Login>,
    /// The sessions, as the gate has them: their owners see and end them.
    pub sessions: Arc<Sessions>,
    /// What asks the provider about them again.
    pub refresher: Arc<Refresher>,
    /// What upstreams need to trust a session; some of it is to be had at sign-in, and given back.
    pub credentials: Arc<Credentials>,
    /// What people see.
    pub pages: Pages,
    /// Which providers ProConnect's words and codes are for, by name.
    pub proconnect: Vec<String>,
    /// The address that browsers use.
    pub public_url: PublicUrl,
    /// The prefix of our paths.
    pub prefix: Prefix,
    /// The clock.
    pub clock: Clock,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What a script is answered that signs a person out.
    pub sign_out_answer: serde_json::Value,
    /// Our own signing keys, whose public halves are published.
    pub signing: Vec<Arc<SigningRing>>,
    /// The licences and seats, where people need one.
    pub seats: Option<Arc<Seats>>,
}

/// The endpoint of our public keys.
const JWKS: &str = "jwks";

/// How long they may be kept, in seconds: a key is published for longer before it signs, and whoever
/// meets an unknown `kid` asks anew.
const JWKS_LASTS: &str = "public, max-age=300";

/// The longest form that our own pages send.
pub(super) const MAX_FORM_LEN: usize = 16 * 1024;

impl Endpoints {
    /// Answers a request for `name` below the prefix. `form` is the body of a POST.
    pub(super) async fn answer(
        &self,
        name: &str,
        query: &str,
        form: &str,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let get = parts.method == Method::GET || parts.method == Method::HEAD;
        let post = parts.method == Method::POST;
        match name {
            "start" if get || post => {
                exchange.decision = "start";
                self.start(if post { form } else { query }, parts, exchange).await
            }
            "sign_in" if post => {
                exchange.decision = "start";
                self.start(form, parts, exchange).await
            }
            "sign_in" if get => {
                exchange.decision = "sign_in_page";
                self.sign_in(query, parts, exchange)
            }
            _ if get && let Some(provider) = self.called_back(name) => {
                exchange.decision = "callback";
                self.callback(provider, query, parts, exchange).await
            }
            "sign_out" if get || post => {
                exchange.decision = "sign_out";
                self.sign_out(if post { form } else { query }, parts, exchange).await
            }
            SESSIONS_PAGE if get || post => {
                exchange.decision = "sessions";
                self.my_sessions(form, parts, exchange).await
            }
            SEAT if post && self.seats.is_some() => {
                exchange.decision = "seat";
                self.ask_for_seat(form, parts, exchange).await
            }
            // Whoever reloads what the button led to.
            SEAT if get && self.seats.is_some() => {
                exchange.decision = "seat";
                Reply::redirect(&parts.method, "/")
            }
            "signed_out" if get => {
                exchange.decision = "signed_out";
                self.signed_out(query, parts, exchange).await
            }
            "backchannel_logout" if post => {
                exchange.decision = "backchannel_logout";
                self.backchannel_logout(form, parts, exchange).await
            }
            // Not by HEAD, which is to change nothing.
            "frontchannel_logout" if parts.method == Method::GET => {
                exchange.decision = "frontchannel_logout";
                self.frontchannel_logout(query, parts, exchange).await
            }
            "userinfo" if get => {
                exchange.decision = "userinfo";
                self.userinfo(parts, exchange).await
            }
            "ping" => {
                exchange.decision = "ping";
                plain(StatusCode::OK, "OK")
            }
            "ready" => {
                exchange.decision = "ready";
                self.ready()
            }
            "robots.txt" if get => {
                exchange.decision = "robots";
                plain(StatusCode::OK, "User-agent: *\nDisallow: /\n")
            }
            JWKS if get && !self.signing.is_empty() => {
                exchange.decision = "jwks";
                self.jwks()
            }
            AUTHORIZE | TOKEN | REFRESH | LOGOUT if self.login.by_app().is_some() => {
                self.token_endpoint(name, query, form, parts, exchange).await
            }
            _ if let Some(allow) = self.allowed(name) => method_not_allowed(allow, exchange),
            _ => {
                exchange.decision = "static";
                match name.strip_prefix("static/").and_then(|file| self.pages.asset(file)).filter(|_| get) {
                    Some(asset) => Reply::new(StatusCode::OK, asset.body)
                        .header(CONTENT_TYPE, HeaderValue::from_static(asset.content_type))
                        .fixed_headers(ASSET_HEADERS),
                    None => self.error(
                        ErrorKind::NotFound,
                        Level::INFO,
                        "none of our endpoints has this name",
                        parts,
                        exchange,
                    ),
                }
            }
        }
    }

    /// The methods that an endpoint answers to, where there is one of this name.
    fn allowed(&self, name: &str) -> Option<&'static str> {
        Some(match name {
            "start" | "sign_in" | "sign_out" | SESSIONS_PAGE => "GET, HEAD, POST",
            "signed_out" | "userinfo" | "robots.txt" => "GET, HEAD",
            JWKS if !self.signing.is_empty() => "GET, HEAD",
            _ if self.called_back(name).is_some() => "GET, HEAD",
            SEAT if self.seats.is_some() => "GET, HEAD, POST",
            "backchannel_logout" => "POST",
            "frontchannel_logout" => "GET",
            _ => return None,
        })
    }

    async fn start(&self, asked: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let asked = self.login.asked(asked, &parts.headers);
        let (offered, now, random) = (Arc::clone(&exchange.offered), self.clock.now(), &*self.random);
        let (method, headers, scheme) = (&parts.method, &parts.headers, exchange.scheme());
        let started = self.login.start(method, headers, scheme, asked, &offered, now, random).await;
        self.started(started, parts, exchange)
    }

    /// Leads a navigation without a session to sign in.
    pub(super) async fn enter(&self, return_to: ReturnTo, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let (offered, now, random) = (Arc::clone(&exchange.offered), self.clock.now(), &*self.random);
        let scheme = exchange.scheme();
        let started = self.login.enter(&parts.headers, scheme, return_to, &offered, now, random).await;
        self.started(started, parts, exchange)
    }

    pub(super) fn started(&self, started: Result<Start, StartError>, parts: &Parts, exchange: &mut Exchange) -> Reply {
        match started {
            Ok(Start::Provider { location, cookie, provider }) => {
                exchange.provider = Some(provider).filter(|_| self.login.providers().are_several());
                Reply::redirect(&parts.method, &location).cookies(cookie)
            }
            Ok(Start::Loop { cause, cookie }) => self.goes_round(cause, parts, exchange).cookies(cookie),
            Ok(Start::GoOn { return_to, provider }) => {
                self.in_place(self.page_that_goes_on(return_to.as_str(), &[provider]), parts)
            }
            Ok(Start::Page { return_to, unfit: Some(email) }) => {
                exchange.because("no provider is for the domain of the address that was typed");
                self.nobody_for(&email, &return_to, parts, exchange)
            }
            Ok(Start::Page { return_to, unfit: None }) => self.sign_in_page(&return_to, None, parts, exchange),
            Ok(Start::Switch { return_to, to, from }) => {
                exchange.decision = "confirm_switch";
                self.confirm_switch(&to, &from, &return_to, parts)
            }
            Err(error) => self.rescue(Rescue::of_start(&error), &error, parts, exchange),
        }
    }

    /// Stops a browser that goes round in circles.
    fn goes_round(&self, cause: LoopCause, parts: &Parts, exchange: &mut Exchange) -> Reply {
        exchange.decision = "loop";
        let id = self.note_error(Level::ERROR, &format_args!("redirect loop: {cause}"), exchange);
        // Nothing that a browser tries again by itself, or a cache keeps.
        self.page(StatusCode::BAD_REQUEST, Page::Loop { cause, id: &id }, parts)
    }

    fn sign_in(&self, query: &str, parts: &Parts, exchange: &Exchange) -> Reply {
        let Asked { return_to, .. } = self.login.asked(query, &parts.headers);
        if self.login.has_session(&parts.headers, self.clock.now()) {
            return Reply::redirect(&parts.method, &return_to.location(&self.public_url));
        }
        self.page(StatusCode::OK, self.page_to_sign_in(return_to.as_str(), None, &exchange.offered), parts)
    }

    /// The sign-in page in the place of what was asked for.
    pub(super) fn sign_in_page(
        &self,
        return_to: &ReturnTo,
        notice: Option<Notice>,
        parts: &Parts,
        exchange: &Exchange,
    ) -> Reply {
        self.in_place(self.page_to_sign_in(return_to.as_str(), notice, &exchange.offered), parts)
    }

    /// A page in the place of what was asked for: front proxies that ask must not take it for a yes.
    fn in_place(&self, page: Page<'_>, parts: &Parts) -> Reply {
        self.page(StatusCode::UNAUTHORIZED, page, parts).header(WWW_AUTHENTICATE, self.challenge())
    }

    /// The provider whose callback an endpoint is.
    fn called_back(&self, name: &str) -> Option<&Arc<Provider>> {
        let below = name.strip_prefix("callback")?;
        if below.is_empty() {
            return self.login.of_callback(None);
        }
        self.login.of_callback(Some(below.strip_prefix('/')?))
    }

    async fn callback(&self, provider: &Provider, query: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let place = Place::new(&parts.headers, exchange.forwarded.as_ref().map(|forwarded| forwarded.client));
        let name = &provider.settings().name;
        exchange.provider = Some(name.clone()).filter(|_| self.login.providers().are_several());
        let (now, random) = (self.clock.now(), &*self.random);
        let outcome = self.login.callback(provider, query, &parts.headers, &place, now, random).await;
        let label = match &outcome {
            Ok(Arrival::SignedIn { .. }) => "signed_in",
            Ok(Arrival::SteppedUp { .. }) => "stepped_up",
            Ok(Arrival::AlreadyHere { .. }) => "already_signed_in",
            Ok(Arrival::BegunAgain { .. }) => "begun_again",
            Ok(Arrival::Loop { .. }) => "loop",
            Ok(Arrival::NobodyKnown { .. }) => "silent_nobody_known",
            Err(_) => "failed",
        };
        self.metrics.sign_ins.with_label_values(&[label]).inc();
        match outcome {
            Ok(Arrival::SignedIn { location, cookies, session, opened }) => {
                exchange.session = Some(session);
                self.credentials.signed_in(&opened, self.clock.now());
                Reply::redirect(&parts.method, &location).cookies(cookies)
            }
            Ok(Arrival::SteppedUp { location, cookies, session }) => {
                exchange.session = Some(session);
                Reply::redirect(&parts.method, &location).cookies(cookies)
            }
            Ok(
                Arrival::AlreadyHere { location, cookie }
                | Arrival::BegunAgain { location, cookie }
                | Arrival::NobodyKnown { location, cookie },
            ) => Reply::redirect(&parts.method, &location).cookies(cookie),
            Ok(Arrival::Loop { cause, cookie }) => self.goes_round(cause, parts, exchange).cookies(cookie),
            Err(error) => {
                let rescue = Rescue::of_callback(&error, self.kind_of(name));
                match self.login.asked_in_vain(provider, query, &parts.headers, now) {
                    Some((return_to, step_up)) => {
                        self.stepped_up_in_vain(rescue, &error, (&return_to, &step_up), parts, exchange)
                    }
                    None => self.rescue(rescue, &error, parts, exchange),
                }
            }
        }
    }

    /// Signs out. `asked` is the query or the form: where to go afterwards.
    pub(super) async fn sign_out(&self, asked: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let return_to = self.login.after_sign_out(asked);
        if !self.login.sign_out_is_meant(&parts.method, &parts.headers) {
            exchange.decision = "confirm_sign_out";
            let return_to = return_to.as_ref().map(ReturnTo::as_str);
            return self.page(StatusCode::OK, Page::ConfirmSignOut { return_to }, parts);
        }
        let (now, by_cookie) = (self.clock.now(), without_token(&parts.headers));
        self.credentials.note(&by_cookie, now).await;
        let signed_out = self.login.sign_out(&by_cookie, return_to.as_ref(), now, &*self.random).await;
        if self.sessions.shows_token(&parts.headers) {
            // Scripts send theirs with every request, also one that has expired. So it must not stand in
            // the cookie's place here; its own session ends as well.
            self.credentials.note(&parts.headers, now).await;
            self.login.sign_out_of_app(&[&parts.headers], None, now).await;
        }
        match signed_out {
            Ok(out) => {
                self.metrics.sign_outs.with_label_values(&[if out.at_provider { "provider" } else { "local" }]).inc();
                if Kind::of(parts) == Kind::Program {
                    return Reply::json(StatusCode::OK, &self.sign_out_answer)
                        .cookies(out.cookies)
                        .fixed_headers(FORGET);
                }
                Reply::redirect(&parts.method, &out.location).cookies(out.cookies)
            }
            Err(error) => self.error(ErrorKind::Internal, Level::ERROR, error, parts, exchange),
        }
    }

    async fn signed_out(&self, query: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let now = self.clock.now();
        let next = self.login.after_first_leg(query, &parts.headers, now, &*self.random).await;
        if let Some(started) = next.transpose() {
            exchange.decision = "step_up";
            return self.started(started, parts, exchange);
        }
        if self.login.has_session(&parts.headers, now) {
            return self.page(StatusCode::OK, Page::ConfirmSignOut { return_to: None }, parts);
        }
        let page = |reach| self.page(StatusCode::OK, Page::SignedOut { reach }, parts);
        match self.login.signed_out(query, &parts.headers, now) {
            Outcome::GoOn(return_to) => {
                Reply::redirect(&parts.method, &return_to.location(&self.public_url)).fixed_headers(FORGET)
            }
            Outcome::Everywhere => page(SignOutReach::Provider).fixed_headers(FORGET),
            Outcome::HereOnly => page(SignOutReach::LocalOnly).fixed_headers(FORGET),
            // Without our `state` nothing is known of the provider: only what is true here is said.
            Outcome::NotSignedOut => page(SignOutReach::LocalOnly),
        }
    }

    /// Who is signed in, for pages that want to show it: what was verified, and no token.
    async fn userinfo(&self, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let now = self.clock.now();
        let (opened, cookies) = match self.own_session(parts, now).await {
            Ok(found) => found,
            Err(reason) if reason.is_outage() => return self.rescue(Rescue::OF_OUTAGE, &reason, parts, exchange),
            Err(reason) => return self.deny(Denial::NotSignedIn(reason), parts, exchange),
        };
        let session = match self.sessions.read(&opened, now) {
            Ok(session) => session,
            Err(reason) => return self.deny(Denial::NotSignedIn(reason), parts, exchange),
        };
        exchange.session = Some(session.id());
        Reply::json(StatusCode::OK, &userinfo(&session, self.login.providers().are_several())).cookies(cookies)
    }

    /// Whether sign-ins can be had: the provider's metadata is there, and the store answers.
    pub(super) fn ready(&self) -> Reply {
        if !self.login.providers().any_is_ready() {
            plain(StatusCode::SERVICE_UNAVAILABLE, "the provider has not been reached yet")
        } else if self.sessions.store_is_silent() {
            plain(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer")
        } else {
            plain(StatusCode::OK, "OK")
        }
    }

    /// The public halves of our signing keys.
    fn jwks(&self) -> Reply {
        let keys = published(&self.signing, self.clock.now()).to_string();
        Reply::new(StatusCode::OK, keys)
            .fixed_headers([("content-type", "application/jwk-set+json"), ("cache-control", JWKS_LASTS)])
    }

    pub(super) fn page(&self, status: StatusCode, page: Page<'_>, parts: &Parts) -> Reply {
        let language = language_of(&parts.headers);
        Reply::new(status, self.pages.render(page, language)).fixed_headers(self.pages.headers(page, language))
    }
}

/// With what the browser is told when somebody has signed out. The pages that it has left it keeps as
/// they were, and shows them again by its back button without asking anybody: whoever comes next would
/// see them. Nobody but who has just signed out is answered with it, for it takes the cached files of
/// the site along.
pub(super) const FORGET: [(&str, &str); 1] = [("clear-site-data", "\"cache\"")];

pub(super) fn plain(status: StatusCode, text: &'static str) -> Reply {
    Reply::new(status, text)
        .fixed_headers([("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")])
}

pub(super) fn method_not_allowed(allow: &'static str, exchange: &mut Exchange) -> Reply {
    exchange.decision = "method_not_allowed";
    Reply::new(StatusCode::METHOD_NOT_ALLOWED, "").fixed_headers([("allow", allow), ("cache-control", "no-store")])
}

/// Under the names that oauth2-proxy gives them. Of several providers each may have a person of this
/// subject.
fn userinfo(session: &Session<'_>, of_several: bool) -> serde_json::Value {
    let claims = session.claims();
    let mut info = serde_json::Map::new();
    if of_several {
        info.insert("user".to_owned(), format!("{}:{}", session.provider(), session.subject()).into());
        info.insert("provider".to_owned(), session.provider().into());
    } else {
        info.insert("user".to_owned(), session.subject().into());
    }
    let texts = [("email", "email"), ("preferredUsername", "preferred_username")];
    info.extend(texts.into_iter().filter_map(|(name, claim)| Some((name.to_owned(), claims.text(claim)?.into()))));
    let groups = Some(claims.groups()).filter(|groups| !groups.is_empty());
    info.extend(groups.map(|groups| ("groups".to_owned(), groups.to_vec().into())));
    info.into()
}

pub(super) fn language_of(headers: &HeaderMap) -> Language {
    Language::from_accept_language(headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()))
}
