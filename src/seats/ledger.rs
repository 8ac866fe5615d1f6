//! What this process believes of seats, so that the everyday request asks nobody.
//!
//! The store alone gives seats. What it has said of somebody is believed here for [`Ledger::hold`], from
//! before it was asked; what they do meanwhile is noted, and carried to the store in one call for each
//! licence (`renew`). Must never believe that somebody has a seat whose place may be another's by then:
//! `docs/decisions/0021-seats.md` has the argument.

use super::licence::LicenceId;
use super::register::Applicant;
use super::{Member, NoSeat};
use crate::clock::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The longest time for which the store's word counts.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// How many states of what is said of a person are known to be covered: one for each of their devices.
const STAMPS: usize = 4;
/// How many are remembered who have no seat, for the connections that they still have.
const MOST_WITHOUT: usize = 100_000;

/// A seat that somebody has, as far as this process knows.
#[derive(Clone, Debug)]
pub struct Seat {
    holding: Arc<Holding>,
    /// The licence does not count for who comes with it: it is theirs as long as the place is, and what they
    /// do does not keep it.
    is_lapsing: bool,
}

impl Seat {
    /// Of which licence.
    pub fn licence(&self) -> LicenceId {
        self.holding.licence
    }

    /// Notes that its holder did something at this moment.
    pub fn touch(&self, applicant: &Applicant<'_>, now: Timestamp) {
        self.holding.ends_at.fetch_max(applicant.ends_at.as_unix(), Ordering::Relaxed);
        if !self.is_lapsing {
            self.holding.seen.fetch_max(now.as_unix(), Ordering::Relaxed);
        }
    }

    /// The same as it is for somebody for whom its licence does not count.
    pub(super) fn lapsing(self) -> Self {
        Self { is_lapsing: true, ..self }
    }

    /// One that is known for this request alone.
    pub(super) fn for_once(licence: LicenceId, member: Member, applicant: &Applicant<'_>) -> Self {
        Self { holding: Arc::new(Holding::new(licence, member, applicant)), is_lapsing: true }
    }

    pub(super) fn holding(&self) -> &Holding {
        &self.holding
    }
}

#[derive(Debug)]
pub(super) struct Holding {
    pub(super) licence: LicenceId,
    pub(super) member: Member,
    /// Whose it is: their provider and `sub`.
    pub(super) person: (Box<str>, Box<str>),
    /// The store's word counts until then.
    believed_until: AtomicU64,
    /// The same for somebody for whom the licence does not count.
    lapsing_until: AtomicU64,
    /// The place is theirs until then whatever happens to this process, if nobody frees it.
    confirmed_until: AtomicU64,
    /// When they did something last.
    seen: AtomicU64,
    /// What of it the store knows.
    told: AtomicU64,
    /// When the last of their sessions ends.
    ends_at: AtomicU64,
    /// For which states of what is said of them the licence was found to count.
    stamps: [AtomicU64; STAMPS],
    next_stamp: AtomicU64,
    /// When the latest session began with which the store was asked.
    pub(super) counted: AtomicU64,
    /// When it was noted last that they were seen.
    pub(super) sighted: AtomicU64,
}

impl Holding {
    fn new(licence: LicenceId, member: Member, applicant: &Applicant<'_>) -> Self {
        Self {
            licence,
            member,
            person: (applicant.provider.into(), applicant.subject.into()),
            believed_until: AtomicU64::new(0),
            lapsing_until: AtomicU64::new(0),
            confirmed_until: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            told: AtomicU64::new(0),
            ends_at: AtomicU64::new(applicant.ends_at.as_unix()),
            stamps: [const { AtomicU64::new(0) }; STAMPS],
            next_stamp: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            sighted: AtomicU64::new(0),
        }
    }

    /// The store was asked at `asked`, and the place is theirs until `until`, by what they did at `seen`. What
    /// was carried there late is believed for as much less: by then they may look idle to it.
    pub(super) fn confirm(&self, asked: Timestamp, seen: Timestamp, until: Timestamp, hold: Duration) {
        self.told.fetch_max(seen.as_unix(), Ordering::Relaxed);
        self.confirmed_until.fetch_max(until.as_unix(), Ordering::Relaxed);
        let until = asked.plus(hold).min(seen.plus(hold + hold / 2)).min(until);
        self.believed_until.fetch_max(until.as_unix(), Ordering::Relaxed);
    }

    pub(super) fn is_believed(&self, now: Timestamp) -> bool {
        now.as_unix() < self.believed_until.load(Ordering::Relaxed)
    }

    /// The store was asked at this moment whether the place is still theirs, and it is. `grace`: after which
    /// somebody else may be given it.
    pub(super) fn confirm_lapsing(&self, asked: Timestamp, hold: Duration, grace: Option<Duration>) {
        let until = asked.plus(hold).min(self.known_until(grace));
        self.lapsing_until.store(until.as_unix(), Ordering::Relaxed);
    }

    pub(super) fn is_believed_lapsing(&self, now: Timestamp) -> bool {
        now.as_unix() < self.lapsing_until.load(Ordering::Relaxed)
    }

    /// Until when the place is theirs whoever asks the store for one, if nobody frees it.
    fn known_until(&self, grace: Option<Duration>) -> Timestamp {
        let confirmed = Timestamp::from_unix(self.confirmed_until.load(Ordering::Relaxed));
        let told = Timestamp::from_unix(self.told.load(Ordering::Relaxed));
        grace.map_or(confirmed, |grace| confirmed.min(told.plus(grace)))
    }

    /// Whether the place is theirs although the store cannot be asked: others may be able to.
    pub(super) fn outlasts_an_outage(&self, now: Timestamp, hold: Duration, grace: Option<Duration>) -> bool {
        now < self.known_until(grace) && now.plus(hold) < self.known_until(None)
    }

    pub(super) fn knows(&self, stamp: u64) -> bool {
        self.stamps.iter().any(|known| known.load(Ordering::Relaxed) == stamp)
    }

    pub(super) fn learn(&self, stamp: u64) {
        let next = self.next_stamp.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(next).unwrap_or_default() % STAMPS;
        if let Some(place) = self.stamps.get(at) {
            place.store(stamp, Ordering::Relaxed);
        }
    }

    /// Whether a session began after all those with which the store was asked.
    pub(super) fn is_new_sign_in(&self, started: Timestamp) -> bool {
        started.as_unix() > self.counted.load(Ordering::Relaxed)
    }

    /// What the store does not know yet of what they did: when, and until when the place is theirs by it.
    fn news(&self, idle: Duration) -> Option<(Timestamp, Timestamp)> {
        let seen = self.seen.load(Ordering::Relaxed);
        let is_news = seen > self.told.load(Ordering::Relaxed);
        is_news.then(|| Timestamp::from_unix(seen)).map(|seen| (seen, seen.plus(idle)))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.as_unix() >= self.confirmed_until.load(Ordering::Relaxed)
    }
}

/// What is to be carried to the store of one licence.
pub(super) struct Due {
    pub(super) licence: LicenceId,
    pub(super) holdings: Vec<(Arc<Holding>, Timestamp, Timestamp)>,
}

/// See the module.
pub(super) struct Ledger {
    idle: Duration,
    held: RwLock<HashMap<Member, Arc<Holding>>>,
    /// Who is known to have none, and since when: for what is still open of theirs, and so that whoever
    /// asks again and again does not make us ask the store as often.
    without: RwLock<HashMap<Member, (NoSeat, Timestamp)>>,
    /// Counts whatever is let go of, in parts so that one loss is not everybody's.
    losses: [AtomicU64; 256],
}

impl Ledger {
    pub(super) fn new(idle: Duration) -> Self {
        Self { idle, held: RwLock::default(), without: RwLock::default(), losses: [const { AtomicU64::new(0) }; 256] }
    }

    /// For how long the store's word counts.
    pub(super) fn hold(&self) -> Duration {
        LONGEST_HOLD.min(self.idle / 2)
    }

    pub(super) fn find(&self, member: &Member) -> Option<Seat> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(member).map(|holding| Seat { holding: Arc::clone(holding), is_lapsing: false })
    }

    /// How often anything of theirs was let go of, and perhaps of a few others, for [`Self::hold_on`].
    pub(super) fn losses(&self, member: &Member) -> u64 {
        self.losses_of(member).map_or(0, |losses| losses.load(Ordering::Acquire))
    }

    fn losses_of(&self, member: &Member) -> Option<&AtomicU64> {
        self.losses.get(usize::from(member.first()))
    }

    /// Notes what the store said: the place is theirs. `losses` is from before it was asked: where anything
    /// was let go of since, the store's word counts for this request alone.
    pub(super) fn hold_on(
        &self,
        licence: LicenceId,
        member: Member,
        applicant: &Applicant<'_>,
        (asked, until): (Timestamp, Timestamp),
        losses: u64,
    ) -> Seat {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let holding = match held.get(&member) {
            Some(holding) if holding.licence == licence => Arc::clone(holding),
            _ => {
                let holding = Arc::new(Holding::new(licence, member, applicant));
                held.insert(member, Arc::clone(&holding));
                holding
            }
        };
        holding.ends_at.fetch_max(applicant.ends_at.as_unix(), Ordering::Relaxed);
        holding.counted.fetch_max(applicant.started.as_unix(), Ordering::Relaxed);
        // Under the lock that whoever lets go needs.
        if losses == self.losses(&member) {
            holding.confirm(asked, asked, until, self.hold());
            self.without.write().unwrap_or_else(PoisonError::into_inner).remove(&member);
        }
        drop(held);
        Seat { holding, is_lapsing: false }
    }

    /// Believes no more that they have a seat of this licence; whether they are believed to have none now.
    pub(super) fn let_go(&self, member: &Member, licence: LicenceId) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(losses) = self.losses_of(member) {
            losses.fetch_add(1, Ordering::Release);
        }
        if held.get(member).is_some_and(|holding| holding.licence == licence) {
            held.remove(member);
        }
        !held.contains_key(member)
    }

    /// Lets go of one that the store does not know, unless it is another one by now.
    pub(super) fn lost(&self, holding: &Arc<Holding>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.get(&holding.member).is_some_and(|present| Arc::ptr_eq(present, holding)) {
            held.remove(&holding.member);
        }
    }

    /// Notes that somebody has none.
    pub(super) fn goes_without(&self, member: Member, why: NoSeat, now: Timestamp) {
        let mut without = self.without.write().unwrap_or_else(PoisonError::into_inner);
        if without.len() >= MOST_WITHOUT {
            without.clear();
        }
        without.insert(member, (why, now));
    }

    /// That all seats were taken when they asked within this second, and none was freed since.
    pub(super) fn was_just_refused(&self, member: &Member, now: Timestamp) -> Option<NoSeat> {
        let without = self.without.read().unwrap_or_else(PoisonError::into_inner);
        let (why, at) = without.get(member)?;
        (*at == now && matches!(why, NoSeat::Full { .. })).then_some(*why)
    }

    /// A seat of this licence may be free: whoever was refused may ask at once.
    pub(super) fn may_be_free(&self, freed: LicenceId) {
        let is_for_it = |why: &NoSeat| matches!(why, NoSeat::Full { licence, .. } if *licence == freed);
        let mut without = self.without.write().unwrap_or_else(PoisonError::into_inner);
        for (_, at) in without.values_mut().filter(|(why, _)| is_for_it(why)) {
            *at = Timestamp::from_unix(0);
        }
    }

    pub(super) fn forget_without(&self, member: &Member) {
        self.without.write().unwrap_or_else(PoisonError::into_inner).remove(member);
    }

    /// Why somebody is known to have none.
    pub(super) fn is_without(&self, member: &Member) -> Option<NoSeat> {
        self.without.read().unwrap_or_else(PoisonError::into_inner).get(member).map(|(why, _)| *why)
    }

    /// What the store does not know yet, by licence. Forgets what is over.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Due> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, holding| !holding.is_over(now));
        let mut due: HashMap<LicenceId, Vec<_>> = HashMap::new();
        for holding in held.values() {
            if let Some((seen, until)) = holding.news(self.idle) {
                due.entry(holding.licence).or_default().push((Arc::clone(holding), seen, until));
            }
        }
        due.into_iter().map(|(licence, holdings)| Due { licence, holdings }).collect()
    }

    /// The licences of which somebody has a seat by what was done here.
    pub(super) fn licences(&self) -> HashSet<LicenceId> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().map(|holding| holding.licence).collect()
    }

    /// Whose sessions have all ended by themselves, as far as this process knows of them.
    pub(super) fn outlived(&self, now: Timestamp) -> Vec<(Box<str>, Box<str>)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let is_over = |holding: &&Arc<Holding>| now.as_unix() >= holding.ends_at.load(Ordering::Relaxed);
        held.values().filter(is_over).map(|holding| holding.person.clone()).collect()
    }

    /// Of whom anything is known.
    #[cfg(test)]
    pub(super) fn members(&self) -> Vec<Member> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// How many seats are believed here.
    pub(super) fn len(&self) -> usize {
        self.held.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
