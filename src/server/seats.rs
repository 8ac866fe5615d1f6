//! Seats where requests need them: taken, told of, asked for again, and freed with the last session.
//!
//! Called by `judged` where the gate says that somebody has to get a seat, by
//! `endpoints` for the button of the page that says why there is none, and by `live` for what goes over
//! a connection that outlives its check. Who has a seat is decided in `seats`.

use super::endpoints::Endpoints;
use super::exchange::Exchange;
use super::reply::Reply;
use super::rescue::Rescue;
use crate::clock::{Clock, Timestamp};
use crate::gate::{Denial, Gate};
use crate::pages::{ErrorKind, NoSeatPage, Page, SeatTrouble, WaitingForm};
use crate::random::Random;
use crate::seats::{Freed, LicenceId, Member, NoSeat, Seat, Seated, Seats};
use crate::session::{Departure, Held, OpenedSession, Sessions};
use crate::store::StoreError;
use crate::web::kind::Kind;
use crate::web::return_to::ReturnTo;
use futures_util::future::join_all;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::Level;

/// The endpoint of the button.
pub(super) const SEAT: &str = "seat";
/// After how many seconds whoever waits for a seat looks again.
const LOOK_AGAIN: u64 = 10;
/// Between two looks for sessions that have ended by themselves.
const LOOK_FOR_ENDS: Duration = Duration::from_secs(5);
/// How many people are looked after at once who have signed out.
const AT_ONCE: usize = 32;
/// Has a browser load the page again (WHATWG HTML, "`Refresh`").
const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// Takes a seat for whose session this is.
pub(super) async fn take_seat(
    seats: Option<&Seats>,
    (gate, sessions): (&Gate, &Sessions),
    opened: &OpenedSession,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Seat, NoSeat> {
    // The gate asks only where there are some, and its session was read already.
    let (Some(seats), Ok(session)) = (seats, sessions.read(opened, now)) else { return Err(NoSeat::StoreDown) };
    seats.take(&gate.applicant(&session), now, random).await
}

/// Frees the seats of those who have no session any more: as this process is told of, and as sessions end
/// by themselves.
pub(super) async fn free_after(
    mut departures: mpsc::UnboundedReceiver<Departure>,
    sessions: &Sessions,
    seats: &Seats,
    clock: &Clock,
) {
    let mut ends = tokio::time::interval(LOOK_FOR_ENDS);
    ends.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut departed = Vec::new();
    loop {
        let gone: Vec<(Box<str>, Box<str>)> = tokio::select! {
            // Who tells lives as long as the site.
            1.. = departures.recv_many(&mut departed, AT_ONCE) => {
                departed.drain(..).map(|Departure { provider, subject }| (provider.into(), subject.into())).collect()
            }
            _ = ends.tick() => seats.outlived(clock.now()),
        };
        for some in gone.chunks(AT_ONCE) {
            let now = clock.now();
            let freed = some.iter().map(|(provider, subject)| free_if_gone(provider, subject, sessions, seats, now));
            if let Some(error) = join_all(freed).await.into_iter().find_map(Result::err) {
                tracing::warn!(%error, "seats cannot be freed without the store: they end when they were idle for long enough");
            }
        }
    }
}

async fn free_if_gone(
    provider: &str,
    subject: &str,
    sessions: &Sessions,
    seats: &Seats,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !sessions.listed_of(provider, subject, now).await?.is_empty() {
        return Ok(());
    }
    seats.free(Member::of(provider, subject), Freed::SignedOut, now).await
}

impl Endpoints {
    /// Answers whoever may pass and has no seat. `return_to`: where they go with one, if that is known.
    /// `form` is as for [`NoSeatPage`].
    pub(super) fn no_seat(
        &self,
        why: NoSeat,
        return_to: Option<&ReturnTo>,
        form: WaitingForm<'_>,
        parts: &Parts,
        exchange: &mut Exchange,
    ) -> Reply {
        let denial = Denial::NoSeat(why);
        let Some(trouble) = trouble_of(why, self.clock.now()) else {
            return self.rescue(Rescue::OF_OUTAGE, &denial, parts, exchange);
        };
        let id = self.note_error(Level::INFO, &denial, exchange);
        let status = match trouble {
            SeatTrouble::Full { .. } | SeatTrouble::Displaced { .. } => StatusCode::CONFLICT,
            _ => StatusCode::FORBIDDEN,
        };
        let waits = matches!(trouble, SeatTrouble::Full { .. });
        let kind = Kind::of(parts);
        let reply = if kind.shows_pages() {
            let (serial, owner) = why.licence().map(|licence| self.of_licence(licence)).unwrap_or_default();
            let again = return_to.filter(|_| waits).and_then(|return_to| look_again(return_to, form));
            let page = NoSeatPage {
                trouble,
                serial: &serial,
                owner: &owner,
                retry: again.is_some().then_some(LOOK_AGAIN),
                return_to: return_to.map_or("/", ReturnTo::as_str),
                form,
                id: &id,
            };
            let reply = self.page(status, Page::NoSeat(&page), parts);
            reply.headers(again.map(|again| (REFRESH, again)))
        } else {
            Reply::json(status, &json_of(why, &id))
        };
        if waits { reply.header(RETRY_AFTER, HeaderValue::from(LOOK_AGAIN)) } else { reply }
    }

    /// The serial of a licence, and the address of whom its people are told to ask.
    fn of_licence(&self, licence: LicenceId) -> (String, String) {
        let entry = self.seats.as_ref().and_then(|seats| seats.register().get(licence));
        let written = entry.as_ref().map(|entry| entry.licence().written());
        written.map(|written| (written.serial.clone(), written.owner.email.clone())).unwrap_or_default()
    }

    /// Lets somebody who was displaced ask for a seat again, and leads them back to where they were.
    pub(super) async fn ask_for_seat(&self, form: &str, parts: &Parts, exchange: &mut Exchange) -> Reply {
        let now = self.clock.now();
        if !self.login.sign_out_is_meant(&parts.method, &parts.headers) {
            let refused = Rescue { kind: ErrorKind::BadRequest, level: Level::WARN };
            return self.rescue(refused, &"the form was not sent by a page of this site", parts, exchange);
        }
        let return_to = self.login.asked(form, &parts.headers).return_to;
        let asked = match self.own_session(parts, now).await {
            Ok((opened, cookies)) => self.claim_again(&opened, now).await.map(|()| cookies),
            // They are led to sign in where they come back to.
            Err(reason) if !reason.is_outage() => Ok(Vec::new()),
            Err(reason) => return self.rescue(Rescue::OF_OUTAGE, &reason, parts, exchange),
        };
        match asked {
            Ok(cookies) => Reply::redirect(&parts.method, &return_to.location(&self.public_url)).cookies(cookies),
            Err(why) => self.no_seat(why, Some(&return_to), WaitingForm::None, parts, exchange),
        }
    }

    async fn claim_again(&self, opened: &OpenedSession, now: Timestamp) -> Result<(), NoSeat> {
        let (Some(seats), Ok(session)) = (&self.seats, self.sessions.read(opened, now)) else { return Ok(()) };
        seats.claim_again(session.provider(), session.subject(), now).await.map_err(|error| {
            tracing::warn!(%error, "nobody can ask for a seat without the store");
            NoSeat::StoreDown
        })
    }
}

/// By which a page looks again by itself. Not where its reader may want to go back to a form.
fn look_again(return_to: &ReturnTo, form: WaitingForm<'_>) -> Option<HeaderValue> {
    match form {
        WaitingForm::None => Some(HeaderValue::from(LOOK_AGAIN)),
        // It stands at the address that the form was sent to, and that is not asked for by GET.
        WaitingForm::Kept(_) => HeaderValue::try_from(format!("{LOOK_AGAIN}; url={}", return_to.as_str())).ok(),
        WaitingForm::Lost => None,
    }
}

/// What the page calls it; nothing where it is an outage.
fn trouble_of(why: NoSeat, now: Timestamp) -> Option<SeatTrouble> {
    Some(match why {
        NoSeat::Full { seats, idle_since, .. } => {
            SeatTrouble::Full { seats, idle: idle_since.map(|since| now.since(since)) }
        }
        NoSeat::Displaced { at, by_administrator, .. } => SeatTrouble::Displaced { at, by_administrator },
        NoSeat::Suspended(_) => SeatTrouble::Suspended,
        NoSeat::NotYet(_, from) => SeatTrouble::NotYet(from),
        NoSeat::Expired(_, since) => SeatTrouble::Expired(since),
        NoSeat::NotCovered => SeatTrouble::NotCovered,
        NoSeat::StoreDown => return None,
    })
}

/// For programs: a code, words, and what is known.
fn json_of(why: NoSeat, id: &str) -> serde_json::Value {
    let (error, message) = match why {
        NoSeat::Full { .. } => ("seats_taken", "All seats of the licence are taken. Try again later."),
        NoSeat::Displaced { .. } => (
            "seat_given_up",
            "The seat was given up. Lead the browser to the page, where its person can take one again.",
        ),
        NoSeat::Suspended(_) => ("licence_suspended", "The licence is suspended."),
        NoSeat::NotYet(..) => ("licence_not_begun", "The licence has not begun yet."),
        NoSeat::Expired(..) => ("licence_expired", "The licence has expired."),
        NoSeat::NotCovered => ("not_licensed", "No licence covers this person."),
        NoSeat::StoreDown => ("session_unavailable", "No seat can be taken for the moment."),
    };
    let mut body = serde_json::Map::new();
    body.insert("error".to_owned(), error.into());
    body.insert("message".to_owned(), message.into());
    if let Some(licence) = why.licence() {
        body.insert("licence".to_owned(), licence.to_string().into());
    }
    if let NoSeat::Full { seats, idle_since, .. } = why {
        body.insert("seats".to_owned(), seats.into());
        body.extend(idle_since.map(|since| ("idle_since".to_owned(), since.rfc3339().into())));
    }
    body.insert("id".to_owned(), id.into());
    body.into()
}

/// What a connection needs to keep its seat.
pub(super) struct Seating<'a> {
    pub(super) seats: &'a Arc<Seats>,
    pub(super) gate: &'a Arc<Gate>,
    pub(super) sessions: &'a Arc<Sessions>,
    pub(super) random: &'a Arc<dyn Random>,
}

impl Seating<'_> {
    /// Why the holder of a connection may not go on without a seat. `spoke`: they did something on it
    /// since the last look, which keeps their seat, or has one taken.
    pub(super) fn still_holds(&self, held: &Held, spoke: bool, now: Timestamp) -> Result<(), NoSeat> {
        let Ok(session) = held.session() else { return Ok(()) };
        if let Some(why) = self.seats.is_without(session.provider(), session.subject()) {
            return Err(why);
        }
        if spoke {
            let applicant = self.gate.applicant(&session);
            match self.seats.look(&applicant, now) {
                Seated::Held(seat) => seat.touch(&applicant, now),
                Seated::Unknown => self.take_in_passing(held, now),
            }
        }
        Ok(())
    }

    /// What comes of it is seen at the next look.
    fn take_in_passing(&self, held: &Held, now: Timestamp) {
        let (seats, gate, sessions) = (Arc::clone(self.seats), Arc::clone(self.gate), Arc::clone(self.sessions));
        let (opened, random) = (Arc::clone(held.opened()), Arc::clone(self.random));
        tokio::spawn(async move {
            let _ = take_seat(Some(&seats), (&gate, &sessions), &opened, now, &*random).await;
        });
    }
}
