//! What an app keeps of a session or of a person, as one small JSON document: `/oauth2/session/data`.
//!
//! Called by `server/proxy` where `session.data` is configured. Whose document it is is known from the
//! request's own live session alone; nothing in the request names one. What changes it is taken from pages
//! of ours and of listed origins alone, or with an access token of ours, and as JSON, which no form can
//! send. It is given back as it came and read by nobody here. Must never show it as a page.
//!
//! | method | takes | gives |
//! |---|---|---|
//! | `GET`, `HEAD` | `If-None-Match`, `If-Match` | 200 with the document and its `ETag`; 304; 404 where there is none; 412 |
//! | `PUT` | a JSON object, `If-Match`, `If-None-Match` | 201 or 204 with its `ETag`; 400, 412, 413, 415 |
//! | `DELETE` | `If-Match` | 204; 412 |

use super::endpoints::{Endpoints, method_not_allowed};
use super::exchange::Exchange;
use super::form::{pass_over, read_body};
use super::reply::Reply;
use super::rescue::Rescue;
use super::token_endpoints::{is_json, refused};
use crate::clock::Timestamp;
use crate::gate::Denial;
use crate::pages::ErrorKind;
use crate::session::{Changed, NoSession, Session as SignedIn};
use crate::web::preconditions::{EntityTag, Preconditions};
use crate::web::strict_json;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use pingora::proxy::Session;
use tracing::Level;

/// Its name below the prefix.
pub(super) const SESSION_DATA: &str = "session/data";

/// The longest document, in bytes as it is sent.
const MAX_LEN: usize = 16 * 1024;

/// It is nobody's page: not guessed to be one, not shown as one, and not loaded into another site's.
const NO_PAGE: [(&str, &str); 4] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ("cross-origin-resource-policy", "same-origin"),
];

impl Endpoints {
    /// Answers a request for the app's data.
    pub(super) async fn session_data(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<Reply> {
        exchange.decision = "session_data";
        let puts = session.req_header().method == Method::PUT;
        let body = if puts { read_body(session, MAX_LEN).await? } else { Some(Vec::new()) };
        let Some(body) = body else {
            pass_over(session).await;
            return Ok(too_long(exchange).closing());
        };
        let parts = session.req_header().as_ref();
        Ok(self.data_asked_for(&body, parts, exchange).await)
    }

    async fn data_asked_for(&self, body: &[u8], parts: &Parts, exchange: &mut Exchange) -> Reply {
        let changes = match parts.method {
            Method::GET | Method::HEAD => false,
            Method::PUT | Method::DELETE => true,
            _ => return method_not_allowed("GET, HEAD, PUT, DELETE", exchange),
        };
        // A token does not come along by itself: whoever sends it was told it.
        if changes && !self.sessions.shows_token(&parts.headers) && !self.login.is_sent_by_us(&parts.headers) {
            let rescue = Rescue { kind: ErrorKind::OtherSite, level: Level::WARN };
            return self.error_as_json(rescue, &NoSession::OtherSite, exchange);
        }
        let now = self.clock.now();
        let (opened, cookies) = match self.own_session(parts, now).await {
            Ok(found) => found,
            Err(reason) => return self.no_data_without_session(reason, parts, exchange),
        };
        let session = match self.sessions.read(&opened, now) {
            Ok(session) => session,
            Err(reason) => return self.no_data_without_session(reason, parts, exchange),
        };
        exchange.session = Some(session.id());
        let reply = match parts.method {
            Method::PUT => self.put_data(&session, body, parts, exchange, now).await,
            Method::DELETE => self.change_data(&session, None, parts, exchange, now).await,
            _ => Ok(self.get_data(&session, parts, exchange, now).await),
        };
        // It may have ended since: then nothing of it is told, and its cookie does not come back.
        match reply.and_then(|reply| self.sessions.read(&opened, now).map(|_| reply)) {
            Ok(reply) => reply.cookies(cookies),
            Err(reason) => self.no_data_without_session(reason, parts, exchange),
        }
    }

    fn no_data_without_session(&self, reason: NoSession, parts: &Parts, exchange: &mut Exchange) -> Reply {
        if reason.is_outage() {
            return self.error_as_json(Rescue::OF_OUTAGE, &reason, exchange);
        }
        self.deny(Denial::NotSignedIn(reason), parts, exchange)
    }

    async fn get_data(&self, session: &SignedIn<'_>, parts: &Parts, exchange: &mut Exchange, now: Timestamp) -> Reply {
        let document = match self.sessions.app_data(session, now).await {
            Ok(document) => document,
            Err(error) => return self.error_as_json(Rescue::OF_OUTAGE, &error, exchange),
        };
        let (tag, asked) = (document.as_deref().map(EntityTag::of), Preconditions::of(&parts.headers));
        let (Some(document), Some(tag)) = (document, &tag) else {
            return refused(StatusCode::NOT_FOUND, "no_data", "Nothing is kept here yet.", exchange);
        };
        if !asked.wants(Some(tag)) {
            return changed(exchange);
        }
        let (status, body) =
            if asked.has_already(tag) { (StatusCode::NOT_MODIFIED, Vec::new()) } else { (StatusCode::OK, document) };
        Reply::new(status, body)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ETAG, tag.to_header())
            .fixed_headers(NO_PAGE)
    }

    async fn put_data(
        &self,
        session: &SignedIn<'_>,
        body: &[u8],
        parts: &Parts,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<Reply, NoSession> {
        if !is_json(&parts.headers) {
            let why = "The body has to be application/json.";
            return Ok(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", why, exchange));
        }
        // A part of a document would be taken for a whole one (RFC 9110 §14.5).
        if parts.headers.contains_key(CONTENT_RANGE) {
            let why = "A document is put as a whole.";
            return Ok(refused(StatusCode::BAD_REQUEST, "invalid_request", why, exchange));
        }
        if strict_json::object(body).is_err() {
            let why = "The body has to be one JSON object, in which no name is there twice.";
            return Ok(refused(StatusCode::BAD_REQUEST, "invalid_request", why, exchange));
        }
        self.change_data(session, Some(body), parts, exchange, now).await
    }

    async fn change_data(
        &self,
        session: &SignedIn<'_>,
        new: Option<&[u8]>,
        parts: &Parts,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<Reply, NoSession> {
        let asked = Preconditions::of(&parts.headers);
        Ok(match self.sessions.change_app_data(session, new, &asked, now, &*self.random).await {
            Ok(Changed::NotAsExpected) => changed(exchange),
            // Known from what lies there; this process may not have heard of it.
            Ok(Changed::SessionEnded) => return Err(NoSession::Ended),
            Ok(Changed::Made { was_there }) => {
                let is_new = new.is_some() && !was_there;
                let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
                // It is kept as it came, so the tag is of what was sent (RFC 9110 §9.3.4).
                let tag = new.map(|new| (ETAG, EntityTag::of(new).to_header()));
                Reply::new(status, "").headers(tag).fixed_headers(NO_PAGE)
            }
            Err(error) => self.error_as_json(Rescue::OF_OUTAGE, &error, exchange),
        })
    }
}

/// Another tab, or another device, was first.
fn changed(exchange: &mut Exchange) -> Reply {
    let why = "What is kept is not what the request is about. Read it again.";
    refused(StatusCode::PRECONDITION_FAILED, "changed", why, exchange)
}

fn too_long(exchange: &mut Exchange) -> Reply {
    refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "At most 16 kB are kept here.", exchange)
}
