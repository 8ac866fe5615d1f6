//! Licences and seats: an institution may have so many people active at once.
//!
//! Called by `gate`, which asks for every request of a person whether they have a seat
//! ([`Seats::look`], no I/O), and by `server`, which takes one where that is not known
//! ([`Seats::take`]), frees it when the last session has ended, and hands on what other replicas
//! announce. Must never give more seats than a licence has, nor give one to somebody whom no licence in
//! force covers (`docs/decisions/0021-seats.md`).
//!
//! ```text
//!  licence ── register ──► who is covered
//!                 │
//!  look ── ledger ┤ believed here, no question
//!  take ──────────┴── store: the one place that gives seats
//! ```

mod figures;
#[cfg(test)]
pub(crate) mod fixture;
pub mod history;
mod ledger;
pub mod licence;
pub mod managed;
mod news;
pub mod people;
pub mod register;
#[cfg(test)]
mod simulation;
mod span;
mod taking;
#[cfg(test)]
mod tests;

pub use figures::Figures;
pub use ledger::Seat;
pub use licence::{Fault, Licence, LicenceId, Standing, WhenFull, Written};
pub use managed::ChangeError;
pub use people::{Person, PersonError};
pub use register::{Applicant, Entry, Register};

use crate::clock::{Clock, Timestamp};
use crate::random::Random;
use crate::seal::KeyRing;
use crate::store::{Key, Store, StoreError};
use figures::{AllFigures, Event};
use futures_util::future::join_all;
use ledger::Ledger;
use managed::Managed;
use people::Sightings;
use ring::digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The most members that are carried to the store in one call.
const AT_ONCE: usize = 1000;
/// How many licences are counted at once.
const COUNTED_AT_ONCE: usize = 32;

/// How seats are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For how long somebody may do nothing and keep their seat.
    pub idle: Duration,
    /// What happens when all are taken, where the licence does not say it.
    pub when_full: WhenFull,
    /// Whether administrators keep licences in the store as well.
    pub managed: bool,
    /// For how long a session lasts at most: what is said to a displaced person is kept for as long.
    pub lifetime: Duration,
}

/// Somebody, as the store knows them: a digest of their provider and `sub`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member([u8; 32]);

impl Member {
    /// The person of this `sub` at this provider.
    pub fn of(provider: &str, subject: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&(provider.len() as u64).to_be_bytes());
        context.update(provider.as_bytes());
        context.update(subject.as_bytes());
        Self(context.finish().as_ref().try_into().unwrap_or([0; 32]))
    }

    /// For keys and sets of the store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// From what a set of the store holds.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As administrators name them: 64 hexadecimal digits in lower case.
    pub fn hex(&self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// From [`Self::hex`].
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let pairs = text.as_bytes().chunks(2).filter(|_| is_hex);
        let bytes: Option<Vec<u8>> =
            pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        Self::from_bytes(&bytes?)
    }

    /// The first byte, by which lists of people are parted.
    fn first(&self) -> u8 {
        let [first, ..] = self.0;
        first
    }
}

/// Whether somebody has a seat, as far as this process knows.
#[derive(Clone, Debug)]
pub enum Seated {
    /// They have.
    Held(Seat),
    /// The store has to be asked: [`Seats::take`].
    Unknown,
}

/// Why somebody has no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    /// No licence is for them.
    #[error("no licence covers them")]
    NotCovered,
    /// The licence that is for them was taken out of use.
    #[error("licence {0} is suspended")]
    Suspended(LicenceId),
    /// It does not count before this moment.
    #[error("licence {0} begins on {when}", when = .1.date_and_time())]
    NotYet(LicenceId, Timestamp),
    /// It has not counted since this moment.
    #[error("licence {0} ended on {when}", when = .1.date_and_time())]
    Expired(LicenceId, Timestamp),
    /// All seats are taken.
    #[error("all {seats} seats of licence {licence} are taken")]
    Full {
        /// The licence.
        licence: LicenceId,
        /// How many seats it has, with those beyond.
        seats: usize,
        /// When the least active of their holders did something last.
        idle_since: Option<Timestamp>,
    },
    /// Their seat was given to somebody else, or an administrator freed it; they may take another.
    #[error("their seat of licence {licence} was given up {when}", when = .at.date_and_time())]
    Displaced {
        /// The licence.
        licence: LicenceId,
        /// When.
        at: Timestamp,
        /// Whether by an administrator.
        by_administrator: bool,
    },
    /// The store cannot be asked.
    #[error("no seat can be taken without the store")]
    StoreDown,
}

impl NoSeat {
    /// The licence that it is about.
    pub fn licence(&self) -> Option<LicenceId> {
        match self {
            Self::Suspended(licence)
            | Self::NotYet(licence, _)
            | Self::Expired(licence, _)
            | Self::Full { licence, .. }
            | Self::Displaced { licence, .. } => Some(*licence),
            Self::NotCovered | Self::StoreDown => None,
        }
    }
}

/// Why a seat was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// Its holder has no session any more.
    SignedOut,
    /// Somebody else has it.
    Displaced,
    /// An administrator said so.
    ByAdministrator,
}

/// The licences and seats of a site.
pub struct Seats {
    settings: Settings,
    register: Register,
    ledger: Ledger,
    store: Arc<dyn Store>,
    /// Seals what is kept of people.
    ring: Arc<KeyRing>,
    random: Arc<dyn Random>,
    managed: Managed,
    history: history::Noted,
    hurry: Notify,
    figures: AllFigures,
    sightings: Mutex<Sightings>,
    /// Notified when somebody was noted there.
    sighted: Notify,
}

impl Seats {
    /// Seats by these settings, of no licence yet. The ring of the session keys seals what is kept of people.
    pub fn new(settings: Settings, ring: Arc<KeyRing>, store: Arc<dyn Store>, random: Arc<dyn Random>) -> Self {
        Self {
            ledger: Ledger::new(settings.idle),
            settings,
            register: Register::default(),
            store,
            ring,
            random,
            managed: Managed::default(),
            history: history::Noted::default(),
            hurry: Notify::new(),
            figures: AllFigures::default(),
            sightings: Mutex::default(),
            sighted: Notify::new(),
        }
    }

    /// How seats are given.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The licences.
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// What somebody is known to have, without asking anybody.
    pub fn look(&self, applicant: &Applicant<'_>, now: Timestamp) -> Seated {
        let Some(seat) = self.ledger.find(&Member::of(applicant.provider, applicant.subject)) else {
            return Seated::Unknown;
        };
        let holding = seat.holding();
        // They may have signed out since, and their seat been given to somebody else: whoever has signed in
        // anew asks once.
        if holding.is_new_sign_in(applicant.started) {
            return Seated::Unknown;
        }
        if self.still_counts(&seat, applicant, now) {
            return if holding.is_believed(now) { Seated::Held(seat) } else { Seated::Unknown };
        }
        // Where another licence is for them now, that one is asked for first.
        let is_lapsing = holding.is_believed_lapsing(now) && !self.is_covered(applicant, now);
        if is_lapsing { Seated::Held(seat.lapsing()) } else { Seated::Unknown }
    }

    /// Whether a licence in force is for somebody.
    fn is_covered(&self, applicant: &Applicant<'_>, now: Timestamp) -> bool {
        self.register.covering(applicant).iter().any(|entry| entry.standing(now) == Standing::InForce)
    }

    /// Whether the licence of a seat is in force and covers its holder. What is said of them is looked
    /// at once for each state of it.
    fn still_counts(&self, seat: &Seat, applicant: &Applicant<'_>, now: Timestamp) -> bool {
        let holding = seat.holding();
        let Some(entry) = self.register.get(holding.licence) else { return false };
        if entry.standing(now) != Standing::InForce {
            return false;
        }
        let stamp = applicant.stamp ^ self.register.version().rotate_left(48) ^ 1;
        if holding.knows(stamp) {
            return true;
        }
        let covers =
            self.register.covering(applicant).iter().any(|covering| covering.licence().id() == holding.licence);
        if covers {
            holding.learn(stamp);
        }
        covers
    }

    /// Whose sessions have all ended by themselves, as far as this process knows of them: provider and
    /// `sub` of each.
    pub fn outlived(&self, now: Timestamp) -> Vec<(Box<str>, Box<str>)> {
        self.ledger.outlived(now)
    }

    /// Why somebody is known to have none, for what they have open.
    pub fn is_without(&self, provider: &str, subject: &str) -> Option<NoSeat> {
        self.ledger.is_without(&Member::of(provider, subject))
    }

    /// What has happened in this process to the seats of each licence.
    pub fn figures(&self) -> BTreeMap<LicenceId, Figures> {
        self.figures.all()
    }

    /// How many seats are believed in this process.
    pub fn believed(&self) -> usize {
        self.ledger.len()
    }

    /// Carries to the store who did something, and reads what administrators changed, again and again, for
    /// ever.
    pub async fn keep(&self, clock: &Clock) {
        tokio::join!(self.keep_seats(clock), self.keep_licences(clock), self.keep_people(clock));
    }

    async fn keep_seats(&self, clock: &Clock) {
        let every = self.ledger.hold() / 2;
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.hurry.notified() => {}
            }
            self.renew(clock.now()).await;
        }
    }

    /// Has it done at once.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Carries to the store who did something, one call for each licence; then writes down what is known of
    /// people and of use.
    pub async fn renew(&self, now: Timestamp) {
        self.renew_seats(now).await;
        self.count(now).await;
        if let Err(error) = self.keep_history(now).await {
            tracing::debug!(%error, "the use of seats cannot be written down");
        }
        self.write_down(now).await;
    }

    /// Asks the store how many seats are in use, of the licences that are used here.
    async fn count(&self, now: Timestamp) {
        let used: BTreeSet<LicenceId> = self.ledger.licences().into_iter().chain(self.figures.in_use()).collect();
        let used: Vec<LicenceId> = used.into_iter().collect();
        for part in used.chunks(COUNTED_AT_ONCE) {
            let counted = join_all(part.iter().map(|id| self.taken(*id, now))).await;
            for (id, taken) in part.iter().zip(counted) {
                // What cannot be counted is as it was when it could be.
                let Ok(taken) = taken else { return };
                let first_end = taken.iter().map(|(_, until)| *until).min();
                let idle_since = first_end.map(|end| end.minus(self.settings.idle).min(now));
                self.figures.counted(*id, taken.len(), idle_since);
            }
        }
    }

    async fn renew_seats(&self, now: Timestamp) {
        for due in self.ledger.due(now) {
            // Their seats end. Where it is in force again soon enough, they are carried then.
            if self.register.get(due.licence).is_none_or(|entry| entry.standing(now) != Standing::InForce) {
                continue;
            }
            for part in due.holdings.chunks(AT_ONCE) {
                let members: Vec<_> =
                    part.iter().map(|(holding, _, until)| (holding.member.bytes().to_vec(), *until)).collect();
                match self.store.extend_places(&places_of(due.licence), &members, now).await {
                    Ok(found) => {
                        for ((holding, seen, until), is_there) in part.iter().zip(found) {
                            if is_there {
                                holding.confirm(now, *seen, *until, self.ledger.hold());
                                self.sight_again(holding, *seen);
                            } else {
                                // Freed elsewhere, or the store has lost it: the next request takes one.
                                self.ledger.lost(holding);
                            }
                        }
                    }
                    Err(error) => {
                        tracing::debug!(licence = %due.licence, %error, "seats cannot be renewed; tried again");
                    }
                }
            }
        }
    }

    /// Frees somebody's seat, whichever it is, if they have one.
    ///
    /// # Errors
    /// When the store cannot be had: the seat ends by itself when they have been idle for long enough.
    pub async fn free(&self, member: Member, why: Freed, now: Timestamp) -> Result<(), StoreError> {
        // What is believed here may be of yesterday: they may have one of another licence by now.
        let believed = self.ledger.find(&member).map(|seat| seat.licence());
        let noted = self.seat_of(member, now).await?;
        for licence in noted.into_iter().chain(believed.filter(|licence| noted != Some(*licence))) {
            self.free_of(licence, member, why, now).await?;
        }
        Ok(())
    }

    /// Frees somebody's seat of a licence; whether they had one.
    ///
    /// # Errors
    /// As [`Self::free`].
    pub async fn free_of(
        &self,
        licence: LicenceId,
        member: Member,
        why: Freed,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // Whoever has a session is told, and is not to take another before that is written down.
        if why != Freed::SignedOut && self.has_place(licence, member, now).await? {
            self.mark_displaced(member, licence, why, now).await?;
        }
        if !self.store.free_place(&places_of(licence), member.bytes(), now).await? {
            self.ledger.let_go(&member, licence);
            return Ok(false);
        }
        self.figures.note(licence, Event::Freed);
        tracing::info!(licence = %licence, person = %member, reason = ?why, "a seat was freed");
        self.lose(member, licence, why, now);
        self.store.take(&seat_key(member), &licence.bytes(), now).await?;
        if let Err(error) = self.announce(member, licence, why, now).await {
            tracing::warn!(licence = %licence, person = %member, %error, "the other replicas were not told of a freed seat: they believe in it for a minute at most");
        }
        Ok(true)
    }

    /// Whether somebody has a seat of a licence, as the store knows it.
    async fn has_place(&self, licence: LicenceId, member: Member, now: Timestamp) -> Result<bool, StoreError> {
        // To extend it until now moves nothing.
        let asked = [(member.bytes().to_vec(), now)];
        Ok(self.store.extend_places(&places_of(licence), &asked, now).await? == [true])
    }

    /// Of which licence somebody had a seat last.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn seat_of(&self, member: Member, now: Timestamp) -> Result<Option<LicenceId>, StoreError> {
        let found = self.store.get(&seat_key(member), now).await?;
        Ok(found.and_then(|bytes| LicenceId::from_bytes(&bytes)))
    }

    /// Who has a seat of a licence, and until when.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn taken(&self, licence: LicenceId, now: Timestamp) -> Result<Vec<(Member, Timestamp)>, StoreError> {
        let places = self.store.places(&places_of(licence), now).await?;
        Ok(places.into_iter().filter_map(|(member, until)| Some((Member::from_bytes(&member)?, until))).collect())
    }

    fn lose(&self, member: Member, licence: LicenceId, why: Freed, now: Timestamp) {
        let has_none = self.ledger.let_go(&member, licence);
        self.ledger.may_be_free(licence);
        if has_none && why != Freed::SignedOut {
            let by_administrator = why == Freed::ByAdministrator;
            self.ledger.goes_without(member, NoSeat::Displaced { licence, at: now, by_administrator }, now);
        }
    }
}

/// The first eight digits: enough to follow somebody through the log.
impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.0.first_chunk().copied().map_or(0, u32::from_be_bytes);
        write!(f, "{first:08x}")
    }
}

/// The seats of a licence.
fn places_of(licence: LicenceId) -> Key {
    Key::new("seats", &licence.bytes())
}

/// Of which licence somebody has a seat: for whoever has to free it, and where several cover them.
fn seat_key(member: Member) -> Key {
    Key::new("seat", member.bytes())
}

/// That somebody was displaced, until they take a seat again.
fn displaced_key(member: Member) -> Key {
    Key::new("displaced", member.bytes())
}

/// When a licence was first used.
fn first_use_key(licence: LicenceId) -> Key {
    Key::new("licence-used", &licence.bytes())
}
