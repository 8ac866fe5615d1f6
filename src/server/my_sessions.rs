//! A person's own sessions, to be seen and ended: `/oauth2/sessions`.
//!
//! Called by `endpoints`. Whose sessions they are is known from the request's own live session
//! alone, and only what the store lists of that person can be named: an identifier from elsewhere
//! names nothing. Ending is a change of state and takes what signing out takes, our own origin.

use super::endpoints::{Endpoints, language_of};
use super::exchange::Exchange;
use super::form::field;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::clock::Timestamp;
use crate::gate::Denial;
use crate::pages::{ErrorKind, Page, SessionRow};
use crate::session::{Listed, NoSession, OpenedSession, Place, Refreshed, SessionId};
use crate::store::StoreError;
use crate::web::kind::Kind;
use crate::web::return_to::ReturnTo;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tracing::Level;

/// The field of the form: a session's identifier, or [`OTHERS`].
const END: &str = "end";
/// All but the one that asks.
const OTHERS: &str = "others";

/// A person's live sessions.
struct Mine {
    current: SessionId,
    all: Vec<Listed>,
}

impl Endpoints {
    /// The page, its JSON, and what its buttons do. `form` is the body of a POST.
    pub(super) async fn my_sessions(&self, form: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let now = self.clock.now();
        let (opened, cookies) = match self.own_session(parts, now).await {
            Ok(found) => found,
            Err(reason) => return self.without_session(reason, parts, exchange).await,
        };
        let reply = match self.mine(&opened, parts, exchange, now).await {
            Ok(mine) if parts.method == Method::POST => self.end_mine(form, &mine, parts, exchange, now).await,
            Ok(mine) => self.show(&mine, parts, now),
            Err(error) => self.rescue(Rescue::OF_OUTAGE, &error, parts, exchange),
        };
        // Whoever has just signed out keeps none of them.
        let is_over = exchange.session.is_some_and(|id| self.sessions.has_ended(id));
        if is_over { reply } else { reply.cookies(cookies) }
    }

    /// The session that asks, as the gate would take it: renewed first where that is due.
    pub(super) async fn own_session(
        &self,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<(OpenedSession, Vec<HeaderValue>), NoSession> {
        let opened = self.sessions.open(&parts.headers, now)?;
        self.going_on(opened, &parts.headers, now).await
    }

    /// A session that opened, as the gate would take it: renewed first where that is due.
    pub(super) async fn going_on(
        &self,
        opened: OpenedSession,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<(OpenedSession, Vec<HeaderValue>), NoSession> {
        let asks = {
            let session = self.sessions.read(&opened, now);
            self.sessions.wants_refresh(&opened, session.as_ref().map_err(|reason| *reason), now)
        };
        let (opened, cookies) = if asks {
            match self.refresher.refresh(opened, headers, now).await {
                Refreshed::Anew(opened, cookies) => (opened, cookies),
                Refreshed::Unchanged(opened) => (opened, Vec::new()),
                Refreshed::Over(reason) => return Err(reason),
            }
        } else {
            (opened, Vec::new())
        };
        self.sessions.read(&opened, now)?;
        Ok((opened, cookies))
    }

    async fn without_session(&self, reason: NoSession, parts: &Parts, exchange: &mut Exchange) -> Reply {
        match Kind::of(parts) {
            _ if reason.is_outage() => self.rescue(Rescue::OF_OUTAGE, &reason, parts, exchange),
            Kind::Navigation => {
                exchange.because(reason);
                self.enter(ReturnTo::sessions_page(&self.prefix), parts, exchange).await
            }
            Kind::Submission => self.deny(Denial::FormWithoutSession(reason), parts, exchange),
            Kind::Program | Kind::Preflight => self.deny(Denial::NotSignedIn(reason), parts, exchange),
        }
    }

    /// What the store lists of the person, with the session that asks as it is at this moment.
    async fn mine(
        &self,
        opened: &OpenedSession,
        parts: &Parts,
        exchange: &mut Exchange,
        now: Timestamp,
    ) -> Result<Mine, StoreError> {
        let session = self.sessions.read(opened, now).map_err(|gone| StoreError::Corrupt(gone.to_string()))?;
        exchange.session = Some(session.id());
        let place = Place::new(&parts.headers, exchange.forwarded.as_ref().map(|forwarded| forwarded.client));
        let current = self.sessions.listing(&session, &place, now);
        let mut all = self.sessions.listed_of(session.provider(), session.subject(), now).await?;
        all.retain(|listed| listed.id != current.id);
        all.insert(0, current);
        Ok(Mine { current: session.id(), all })
    }

    fn show(&self, mine: &Mine, parts: &Parts, now: Timestamp) -> Reply {
        if !Kind::of(parts).shows_pages() {
            let sessions: Vec<_> = mine.all.iter().map(|listed| json_of(listed, mine.current)).collect();
            return Reply::json(StatusCode::OK, &serde_json::json!({ "sessions": sessions }));
        }
        let ids: Vec<String> = mine.all.iter().map(|listed| listed.id.to_string()).collect();
        let rows = mine.all.iter().zip(&ids).map(|(listed, id)| SessionRow {
            id,
            agent: &listed.agent,
            address: listed.address,
            started: listed.started,
            last_seen: listed.last_seen,
            current: listed.id == mine.current,
        });
        let rows: Vec<SessionRow<'_>> = rows.collect();
        let language = language_of(&parts.headers);
        Reply::new(StatusCode::OK, self.pages.render(Page::Sessions { sessions: &rows, now }, language))
            .fixed_headers(self.pages.headers(language))
    }

    async fn end_mine(&self, form: &str, mine: &Mine, parts: &Parts, exchange: &mut Exchange, now: Timestamp) -> Reply {
        let back = || Reply::redirect(&parts.method, ReturnTo::sessions_page(&self.prefix).as_str());
        if !self.login.sign_out_is_meant(&parts.method, &parts.headers) {
            let refused = Rescue { kind: ErrorKind::BadRequest, level: Level::WARN };
            return self.rescue(refused, &"the form was not sent by a page of this site", parts, exchange);
        }
        let asked = field(form, END);
        let ended: Vec<SessionId> = match asked.as_deref() {
            Some(OTHERS) => mine.all.iter().map(|listed| listed.id).filter(|id| *id != mine.current).collect(),
            // Not by what it says, but as one of theirs.
            Some(id) => mine.all.iter().map(|listed| listed.id).filter(|held| held.to_string() == id).collect(),
            None => Vec::new(),
        };
        if ended.contains(&mine.current) {
            return self.sign_out("", parts, exchange).await;
        }
        for id in ended {
            if let Err(error) = self.sessions.end(id, now).await {
                // In force here all the same; the person is told that it may not be everywhere yet.
                return self.rescue(Rescue::OF_OUTAGE, &error, parts, exchange);
            }
            tracing::info!(
                session = id.short(),
                by = mine.current.short(),
                client = exchange.forwarded.as_ref().map(|forwarded| tracing::field::display(forwarded.client)),
                "a session was ended by its owner"
            );
        }
        back()
    }
}

fn json_of(listed: &Listed, current: SessionId) -> serde_json::Value {
    serde_json::json!({
        "id": listed.id.to_string(),
        "current": listed.id == current,
        "started": listed.started.rfc3339(),
        "last_seen": listed.last_seen.rfc3339(),
        "ends_at": listed.ends_at.rfc3339(),
        "agent": listed.agent,
        "address": listed.address,
    })
}
