//! The admin listener: health, readiness and metrics for whoever can reach it; everybody's sessions
//! for whoever has the token. Nothing of it answers on the proxy listener.
//!
//! [`access`] says who may, [`api`] answers programs, [`page`] answers a browser, [`mod@explain`] both; of licences
//! [`licences`], [`seats`] and [`exports`] answer programs, [`seats_page`] a browser. What programs find is
//! described in `openapi.json`. Must never tell anything of a session, nor change one or a licence, without the
//! token; of a licence no more than its metrics do: its identifier, its serial, and how many seats of it are taken.

mod access;
mod answer;
mod api;
mod csv;
mod explain;
mod exports;
#[cfg(test)]
mod licence_tests;
mod licences;
mod page;
mod seats;
mod seats_page;
#[cfg(test)]
mod tests;

use super::endpoints::MAX_FORM_LEN;
use super::explain::Explainer;
use super::metrics::Metrics;
use super::seat_metrics::MeasuredLicence;
use crate::clock::Clock;
use crate::pages::{ASSET_HEADERS, Pages};
use crate::seats::{ChangeError, Seats};
use crate::secret::SecretString;
use crate::session::Sessions;
use crate::store::MAX_VALUE_LEN;
use access::{Access, Scheme};
use answer::{Failure, error, json_text, text};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use licences::OfLicences;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What readiness depends on.
pub(super) type IsReady = Arc<dyn Fn() -> bool + Send + Sync>;

/// What there is to see of a site.
pub(super) struct SeenSite {
    /// None for the only one where sites have no names.
    pub(super) name: Option<String>,
    pub(super) is_ready: IsReady,
    /// How many keys of ended sessions wait for being deleted.
    pub(super) keys_to_delete: Arc<dyn Fn() -> usize + Send + Sync>,
    pub(super) sessions: Arc<Sessions>,
    /// Its licences and their seats, where it has some.
    pub(super) seats: Option<Arc<Seats>>,
    /// The names of the providers, and whether each is ready.
    pub(super) providers: Vec<(String, IsReady)>,
}

/// For the whole of a form, however it trickles in.
const FORM_WITHIN: Duration = Duration::from_secs(10);
/// How long a body may be that is no licence, in bytes, and what is said of a longer one.
const A_FORM: (usize, &str) = (MAX_FORM_LEN, "a form of at most 16 kB is answered here\n");
/// The description of what programs find here.
const OPENAPI: &str = include_str!("openapi.json");

pub(super) struct Admin {
    pub(super) metrics: Arc<Metrics>,
    /// One, or several that have names.
    pub(super) sites: Vec<SeenSite>,
    /// Without it nothing of sessions is answered.
    pub(super) token: Option<SecretString>,
    /// Pages whose prefix is this listener's root.
    pub(super) pages: Pages,
    pub(super) clock: Clock,
    /// Says why.
    pub(super) explainer: Arc<ArcSwap<Explainer>>,
    /// Whoever lists everybody holds it: one at a time.
    pub(super) listing: Mutex<()>,
}

/// A request, read.
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    /// The body of a form.
    form: &'a str,
    client: Option<IpAddr>,
}

/// What a path names.
#[derive(Clone, Copy, Debug)]
enum Named<'a> {
    Health,
    Ready,
    Metrics,
    OpenApi,
    File(&'a str),
    Page,
    Explain,
    Sessions,
    Session(&'a str),
    PersonSessions(&'a str),
    Licences(OfLicences<'a>),
    SeatsPage,
}

impl<'a> Named<'a> {
    fn by(path: &'a str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match *segments.as_slice() {
            [""] => Self::Page,
            ["explain"] => Self::Explain,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["openapi.json"] => Self::OpenApi,
            ["static", file] => Self::File(file),
            ["sessions"] => Self::Sessions,
            ["sessions", id] if !id.is_empty() => Self::Session(id),
            ["people", subject, "sessions"] => Self::PersonSessions(subject),
            ["seats"] => Self::SeatsPage,
            ["licences", ref rest @ ..] => Self::Licences(OfLicences::by(rest)?),
            _ => return None,
        })
    }

    /// The methods that it answers to.
    fn allow(self) -> &'static str {
        match self {
            Self::Page | Self::Explain => "GET, HEAD, POST",
            Self::Session(_) => "GET, HEAD, DELETE",
            Self::PersonSessions(_) => "DELETE",
            Self::Licences(named) => named.allow(),
            _ => "GET, HEAD",
        }
    }

    /// Whether an administrator may change something so.
    fn is_changed_by(self, method: &Method) -> bool {
        !matches!(self, Self::Explain) && !matches!(*method, Method::GET | Method::HEAD)
    }

    /// How long a body may be, in bytes, and what is said of a longer one: a licence may be long.
    fn longest(self) -> (usize, &'static str) {
        match self {
            Self::Licences(_) => (MAX_VALUE_LEN, "a licence of at most 1 MB is answered here\n"),
            _ => A_FORM,
        }
    }

    /// How whoever asks says that they may; nothing where everybody may.
    fn scheme(self) -> Option<Scheme> {
        match self {
            Self::Page | Self::Explain | Self::SeatsPage => Some(Scheme::BearerOrBasic),
            Self::Sessions | Self::Session(_) | Self::PersonSessions(_) | Self::Licences(_) => Some(Scheme::Bearer),
            _ => None,
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let client = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        let parts = session.req_header().as_ref().clone();
        let admitted = self.admitted(&parts.method, parts.uri.path(), &parts.headers, client);
        let has_form = matches!(parts.method, Method::POST | Method::PUT);
        let (most, hint) = admitted.as_ref().map_or(A_FORM, |named| named.longest());
        // Also of whoever is refused: a connection that is closed over what is unread may lose the answer.
        let form = if has_form { read_form(session, most).await } else { Some(String::new()) };
        if form.is_none() {
            // What is left of it must not be taken for the next request.
            session.set_keepalive(None);
        }
        match (admitted, form) {
            (Err(refusal), _) => *refusal,
            (Ok(_), None) => text(StatusCode::BAD_REQUEST, hint),
            (Ok(named), Some(form)) => {
                let asked = Asked {
                    method: &parts.method,
                    path: parts.uri.path(),
                    query: parts.uri.query().unwrap_or_default(),
                    headers: &parts.headers,
                    form: &form,
                    client,
                };
                self.answer(named, &asked).await
            }
        }
    }
}

impl Admin {
    /// What is asked for, of whoever may; what anybody else is answered. No body was read yet.
    fn admitted<'a>(
        &self,
        method: &Method,
        path: &'a str,
        headers: &HeaderMap,
        client: Option<IpAddr>,
    ) -> Result<Named<'a>, Box<Response<Vec<u8>>>> {
        let Some(named) = Named::by(path) else {
            let hint = "try /sessions, /licences, /openapi.json, /healthz, /readyz, /metrics, or / in a browser\n";
            return Err(Box::new(text(StatusCode::NOT_FOUND, hint)));
        };
        if let Some(scheme) = named.scheme() {
            match access::check(self.token.as_ref(), headers, scheme) {
                Access::Granted => {}
                Access::NoTokenConfigured => return Err(Box::new(refused(named, &Failure::NoTokenConfigured))),
                Access::Refused(why) => {
                    tracing::warn!(?client, path, why, "refused on the admin listener");
                    let challenge = HeaderValue::from_static(scheme.challenge());
                    let mut refusal = refused(named, &Failure::Unauthorized);
                    refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                    return Err(Box::new(refusal));
                }
            }
        }
        let allow = named.allow();
        if !allow.split(", ").any(|allowed| allowed == method.as_str()) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allow} is answered here\n"));
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return Err(Box::new(refusal));
        }
        Ok(named)
    }

    async fn answer(&self, named: Named<'_>, asked: &Asked<'_>) -> Response<Vec<u8>> {
        let answer = match named {
            Named::Health => Ok(text(StatusCode::OK, "ok\n")),
            Named::Ready if self.sites.iter().all(|site| (site.is_ready)()) => Ok(text(StatusCode::OK, "ready\n")),
            Named::Ready => Ok(text(StatusCode::SERVICE_UNAVAILABLE, &self.not_ready())),
            Named::Metrics => {
                self.measure();
                let mut metrics = text(StatusCode::OK, &self.metrics.render(&self.seats_measured()));
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                metrics.headers_mut().insert(CONTENT_TYPE, format);
                Ok(metrics)
            }
            Named::OpenApi => Ok(json_text(StatusCode::OK, OPENAPI.to_owned())),
            Named::File(name) => Ok(self.file(name)),
            Named::Page if *asked.method == Method::POST => self.end_from_page(asked).await,
            Named::Page => self.show_page(asked).await,
            Named::Explain if *asked.method == Method::POST => self.explain(asked).await,
            Named::Explain => Ok(self.show_explain(asked)),
            Named::Sessions => self.list(asked).await,
            Named::Session(id) if *asked.method == Method::DELETE => self.end_session(id, asked).await,
            Named::Session(id) => self.one(id, asked).await,
            Named::PersonSessions(subject) => self.end_person(subject, asked).await,
            Named::Licences(named) => self.licences(named, asked).await,
            Named::SeatsPage => self.show_seats(asked).await,
        };
        answer.unwrap_or_else(|failure| {
            if named.is_changed_by(asked.method) {
                not_done(&failure, asked);
            }
            refused(named, &failure)
        })
    }

    /// The site that is meant: the only one, or the one that is named.
    fn site(&self, asked: Option<&str>) -> Result<&SeenSite, Failure> {
        let named = self.sites.iter().find(|site| site.name.as_deref() == asked);
        named.ok_or_else(|| {
            let all = self.site_names();
            let hint = format!("the sites are {}", all.join(", "));
            Failure::BadRequest(match asked {
                Some(asked) if all.is_empty() => {
                    format!("no site is named {asked:?}: this instance has one, without a name")
                }
                Some(asked) => format!("no site is named {asked:?}; {hint}"),
                None => format!("say which site is meant, once, as `site`; {hint}"),
            })
        })
    }

    /// The names of the sites, where they have some.
    fn site_names(&self) -> Vec<&str> {
        self.sites.iter().filter_map(|site| site.name.as_deref()).collect()
    }

    fn not_ready(&self) -> String {
        let waiting = self.sites.iter().filter(|site| !(site.is_ready)()).filter_map(|site| site.name.as_deref());
        let waiting: Vec<&str> = waiting.collect();
        let whose = if waiting.is_empty() { String::new() } else { format!(" ({})", waiting.join(", ")) };
        format!("not ready: the provider's metadata and keys have not been had yet{whose}; the log says why\n")
    }

    /// Measures what is counted by looking.
    fn measure(&self) {
        let sum = |count: &dyn Fn(&SeenSite) -> usize| {
            i64::try_from(self.sites.iter().map(count).sum::<usize>()).unwrap_or(i64::MAX)
        };
        self.metrics.revocations.set(sum(&|site| site.sessions.revocations()));
        let is_silent = self.sites.iter().any(|site| site.sessions.store_is_silent());
        self.metrics.store_silent.set(i64::from(is_silent));
        for site in &self.sites {
            for (name, is_ready) in &site.providers {
                let labels = [site.name.as_deref().unwrap_or_default(), name.as_str()];
                self.metrics.provider_ready.with_label_values(&labels).set(i64::from(is_ready()));
            }
        }
        self.metrics.keys_to_delete.set(sum(&|site| (site.keys_to_delete)()));
    }

    /// The figures of the licences whose seats somebody has asked for here.
    fn seats_measured(&self) -> Vec<MeasuredLicence> {
        let now = self.clock.now();
        let of_site = |site: &SeenSite| {
            let (Some(seats), name) = (&site.seats, site.name.clone().unwrap_or_default()) else { return Vec::new() };
            seats
                .figures()
                .into_iter()
                .filter_map(|(id, figures)| {
                    let entry = seats.register().get(id)?;
                    let idle = seats.settings().idle;
                    Some(MeasuredLicence::new(name.clone(), entry.licence(), figures, idle, now))
                })
                .collect()
        };
        self.sites.iter().flat_map(of_site).collect()
    }

    fn file(&self, name: &str) -> Response<Vec<u8>> {
        let Some(asset) = self.pages.asset(name) else { return text(StatusCode::NOT_FOUND, "no such file\n") };
        let mut file = text(StatusCode::OK, "");
        *file.body_mut() = asset.body.to_vec();
        answer::set_headers(&mut file, ASSET_HEADERS.into_iter().chain([("content-type", asset.content_type)]));
        file
    }
}

/// Writes into the log what an administrator wanted and was not answered to have. What was done, and only the other
/// replicas do not know yet, has its line already.
fn not_done(failure: &Failure, asked: &Asked<'_>) {
    let (client, method, path) = (asked.client, asked.method, asked.path);
    match failure {
        Failure::NotAnnounced(_) | Failure::Licence(ChangeError::NotAnnounced(_)) => {}
        _ if failure.of_store().is_some() => {
            tracing::warn!(?client, %method, path, %failure, "what an administrator asked for may have been done");
        }
        _ => tracing::info!(?client, %method, path, %failure, "what an administrator asked for was not done"),
    }
}

/// A failure in the form that whoever asks can read.
fn refused(named: Named<'_>, failure: &Failure) -> Response<Vec<u8>> {
    if let Some(cause) = failure.of_store() {
        tracing::error!(%cause, "{failure}");
    }
    match named {
        Named::Page | Named::SeatsPage => text(failure.status(), &format!("{failure}\n")),
        _ => error(failure),
    }
}

/// The body of a request; none where it is too long, too slow or no text.
async fn read_form(session: &mut ServerSession, most: usize) -> Option<String> {
    let whole = async {
        let mut form: Vec<u8> = Vec::new();
        while let Some(piece) = session.read_request_body().await.ok()? {
            if form.len() + piece.len() > most {
                return None;
            }
            form.extend_from_slice(&piece);
        }
        String::from_utf8(form).ok()
    };
    tokio::time::timeout(FORM_WITHIN, whole).await.ok()?
}
