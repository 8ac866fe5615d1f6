//! Who has used a licence: whom it counts as its people, whether they have a seat now or not.
//!
//! Whoever takes a seat is noted here at once and written down a moment later, so that no request waits for
//! it. Called by `server/admin` for the list, a person's role, and for forgetting
//! somebody. What is written down is sealed with the session keys: who reads the store learns nobody's
//! name. It is kept for [`KEPT`] after they were last seen. Must never be the ground of a decision.

use super::ledger::{Holding, Seat};
use super::licence::LicenceId;
use super::register::Applicant;
use super::{Member, Seats};
use crate::clock::{Clock, Timestamp};
use crate::random::NoRandomness;
use crate::seal::Purpose;
use crate::store::{Key, Lock, StoreError};
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// For how long somebody is remembered who does not come back.
pub const KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// The role of whom nobody gave one.
pub const MEMBER: &str = "member";
/// The longest role, in bytes.
pub const LONGEST_ROLE: usize = 100;
/// How old "last seen" may be of somebody who is active.
const SEEN_EVERY: Duration = Duration::from_secs(3600);
/// Between two times that somebody who keeps coming is put into the list anew.
const LISTED_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many are noted at most until they are written down: what is beyond is noted at their next seat.
const MOST: usize = 100_000;
/// How many sign-ins of one person are noted at most until they are written down.
const MOST_STARTS: usize = 16;
/// How many are written or read at once.
const AT_ONCE: usize = 32;
/// How long after somebody was seen they are written down.
const SOON: Duration = Duration::from_millis(500);
/// How long it may take to write of somebody, which is less than whoever writes has them to themselves.
const WITHIN: Duration = Duration::from_secs(4);

/// What is noted of somebody until it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    /// Who they are; unsaid where they were only seen again.
    who: Option<Who>,
    /// When the sessions began that they came with.
    starts: Vec<Timestamp>,
    seen: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Who {
    provider: String,
    subject: String,
    email: Option<String>,
}

pub(super) type Sightings = HashMap<(LicenceId, Member), Sighting>;

impl Sighting {
    /// Both in one; `later` knows better who they are.
    fn and(&mut self, later: Self) {
        if later.who.is_some() {
            self.who = later.who;
        }
        for start in later.starts {
            if !self.starts.contains(&start) && self.starts.len() < MOST_STARTS {
                self.starts.push(start);
            }
        }
        self.seen = self.seen.max(later.seen);
    }
}

/// Somebody whom a licence counts as one of its people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// As the store knows them.
    pub member: Member,
    /// The provider that vouches for them.
    pub provider: String,
    /// Their `sub`.
    pub subject: String,
    /// Their e-mail address, where sessions keep it.
    pub email: Option<String>,
    /// When they first had a seat of the licence.
    pub first_seen: Timestamp,
    /// When they were last seen with one, to within an hour.
    pub last_seen: Timestamp,
    /// What an administrator calls them: a word that decides nothing.
    pub role: String,
    /// How often they have signed in and then had a seat of the licence.
    pub sign_ins: u64,
}

/// The same as it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    provider: String,
    subject: String,
    email: Option<String>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    role: String,
    sign_ins: u64,
    /// When the latest session began that was counted.
    counted: Timestamp,
    /// When they were put into the list last.
    listed: Timestamp,
}

impl Kept {
    fn of(member: Member, kept: Self) -> Person {
        let Self { provider, subject, email, first_seen, last_seen, role, sign_ins, .. } = kept;
        Person { member, provider, subject, email, first_seen, last_seen, role, sign_ins }
    }
}

/// Why nothing was done about a person.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// The licence does not know them.
    #[error("the licence has no such person")]
    Unknown,
    /// No role can be called so.
    #[error("a role is a text of 1 to {LONGEST_ROLE} bytes without control characters")]
    Role,
    /// The store cannot be had.
    #[error("the store cannot be asked; try again")]
    Store(#[from] StoreError),
    /// Nothing can be sealed.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Seats {
    /// Notes that somebody has a seat.
    pub(super) fn sight(&self, seat: &Seat, applicant: &Applicant<'_>, now: Timestamp) {
        let holding = seat.holding();
        holding.sighted.fetch_max(now.as_unix(), Ordering::Relaxed);
        let who = Who {
            provider: applicant.provider.to_owned(),
            subject: applicant.subject.to_owned(),
            email: applicant.claims.text("email").map(str::to_owned),
        };
        let sighting = Sighting { who: Some(who), starts: vec![applicant.started], seen: now };
        self.note_sighting((holding.licence, holding.member), sighting);
        self.sighted.notify_one();
    }

    /// Writes down who was seen for the first time, or anew, a moment later, for ever.
    pub(super) async fn keep_people(&self, clock: &Clock) {
        loop {
            self.sighted.notified().await;
            // Whoever comes meanwhile is written with them.
            tokio::time::sleep(SOON).await;
            let now = clock.now();
            // Their licence may be one that nobody used until now.
            if let Err(error) = self.keep_history(now).await {
                tracing::debug!(%error, "the use of seats cannot be written down");
            }
            self.write_down(now).await;
        }
    }

    /// Notes that somebody goes on having one, now and then.
    pub(super) fn sight_again(&self, holding: &Holding, seen: Timestamp) {
        let sighted = Timestamp::from_unix(holding.sighted.load(Ordering::Relaxed));
        if seen.since(sighted) >= SEEN_EVERY {
            holding.sighted.fetch_max(seen.as_unix(), Ordering::Relaxed);
            let sighting = Sighting { who: None, starts: Vec::new(), seen };
            self.note_sighting((holding.licence, holding.member), sighting);
        }
    }

    fn note_sighting(&self, key: (LicenceId, Member), sighting: Sighting) {
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = sightings.get_mut(&key) {
            noted.and(sighting);
        } else if sightings.len() < MOST {
            sightings.insert(key, sighting);
        }
    }

    /// Writes down who was seen since the last time. What cannot be written is tried again.
    pub async fn write_down(&self, now: Timestamp) {
        let noted = std::mem::take(&mut *self.sightings.lock().unwrap_or_else(PoisonError::into_inner));
        let noted: Vec<_> = noted.into_iter().collect();
        let mut is_away = false;
        for part in noted.chunks(AT_ONCE) {
            let mut written = Vec::new();
            if !is_away {
                written = join_all(part.iter().map(|(key, sighting)| self.write_one(*key, sighting, now))).await;
            }
            for (at, (key, sighting)) in part.iter().enumerate() {
                match written.get(at) {
                    Some(Ok(())) => {}
                    Some(Err(PersonError::Store(StoreError::TooLarge(_)))) => {
                        tracing::warn!(licence = %key.0, person = %key.1, "somebody has too long a name to be written down");
                    }
                    other => {
                        if let Some(Err(error)) = other {
                            tracing::debug!(%error, "people cannot be written down; tried again");
                        }
                        is_away = true;
                        let (key, sighting) = (*key, sighting.clone());
                        self.note_sighting(key, sighting);
                    }
                }
            }
        }
    }

    async fn write_one(
        &self,
        (licence, member): (LicenceId, Member),
        sighting: &Sighting,
        now: Timestamp,
    ) -> Result<(), PersonError> {
        self.alone_with_person(licence, member, now, async {
            let former = self.kept_person(licence, member, now).await?.map(|(kept, _)| kept);
            let Some(mut kept) = former.or_else(|| fresh(sighting)) else { return Ok(()) };
            if let Some(who) = &sighting.who {
                // An address changes, and may be kept no longer.
                kept.email.clone_from(&who.email);
            }
            let counted = kept.counted;
            let starts = sighting.starts.iter().filter(|start| **start > counted);
            kept.sign_ins += u64::try_from(starts.count()).unwrap_or_default();
            kept.counted = sighting.starts.iter().copied().max().map_or(counted, |latest| latest.max(counted));
            kept.last_seen = kept.last_seen.max(sighting.seen);
            let until = kept.last_seen.plus(KEPT);
            if kept.listed.as_unix() == 0 || now.since(kept.listed) >= LISTED_EVERY {
                kept.listed = now;
                // The list forgets somebody later than the store forgets what it says of them.
                let (index, until) = (part_of(licence, member), until.plus(LISTED_EVERY));
                self.store.index_add(&index, member.bytes(), until, now).await?;
            }
            self.put_person(licence, member, &kept, now).await
        })
        .await
    }

    /// Calls somebody by another role.
    ///
    /// # Errors
    /// [`PersonError`], by cause.
    pub async fn set_role(
        &self,
        licence: LicenceId,
        member: Member,
        role: &str,
        now: Timestamp,
    ) -> Result<Person, PersonError> {
        if role.trim().is_empty() || role.len() > LONGEST_ROLE || role.chars().any(char::is_control) {
            return Err(PersonError::Role);
        }
        self.alone_with_person(licence, member, now, async {
            let (mut kept, _) = self.kept_person(licence, member, now).await?.ok_or(PersonError::Unknown)?;
            role.trim().clone_into(&mut kept.role);
            self.put_person(licence, member, &kept, now).await?;
            Ok(Kept::of(member, kept))
        })
        .await
    }

    /// Forgets somebody: what is written of them, and what this process was about to write. Their seat is
    /// not freed by it, and with their next sign-in they are known again.
    ///
    /// # Errors
    /// [`PersonError`], by cause.
    pub async fn forget_person(&self, licence: LicenceId, member: Member, now: Timestamp) -> Result<(), PersonError> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner).remove(&(licence, member));
        self.alone_with_person(licence, member, now, async {
            let found = self.store.get(&person_key(licence, member), now).await?;
            self.store.delete(&person_key(licence, member), now).await?;
            self.store.index_remove(&part_of(licence, member), member.bytes(), now).await?;
            found.map(drop).ok_or(PersonError::Unknown)
        })
        .await
    }

    /// Up to so many people of a licence who come after that one, in the order of the digests that the store
    /// knows them by; the first ones where there is no `after`.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn people(
        &self,
        licence: LicenceId,
        after: Option<Member>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Person>, StoreError> {
        let first = after.map_or(0, |member| member.first());
        let mut found = Vec::new();
        for part in first..=u8::MAX {
            let members = self.store.index_members(&part_key(licence, part), now).await?;
            let mut members: Vec<Member> = members.iter().filter_map(|member| Member::from_bytes(member)).collect();
            members.retain(|member| after.is_none_or(|after| member.bytes() > after.bytes()));
            members.sort_unstable_by(|one, other| one.bytes().cmp(other.bytes()));
            for some in members.chunks(AT_ONCE) {
                let people = try_join_all(some.iter().map(|member| self.person(licence, *member, now))).await?;
                found.extend(people.into_iter().flatten());
                if found.len() >= limit {
                    found.truncate(limit);
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// What is written of somebody. What an old key sealed is sealed anew, so that it lasts longer than the
    /// key.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn person(
        &self,
        licence: LicenceId,
        member: Member,
        now: Timestamp,
    ) -> Result<Option<Person>, StoreError> {
        let Some((kept, is_fresh)) = self.kept_person(licence, member, now).await? else { return Ok(None) };
        if !is_fresh {
            let anew = self.alone_with_person(licence, member, now, async {
                match self.kept_person(licence, member, now).await? {
                    Some((kept, false)) => self.put_person(licence, member, &kept, now).await,
                    _ => Ok(()),
                }
            });
            if let Err(error) = anew.await {
                tracing::debug!(%error, "a person cannot be sealed anew; tried when they are looked at again");
            }
        }
        Ok(Some(Kept::of(member, kept)))
    }

    /// What is written, and whether the current key sealed it. What does not open is as if it were not there.
    async fn kept_person(
        &self,
        licence: LicenceId,
        member: Member,
        now: Timestamp,
    ) -> Result<Option<(Kept, bool)>, StoreError> {
        let Some(sealed) = self.store.get(&person_key(licence, member), now).await? else { return Ok(None) };
        Ok(self.ring.open(Purpose::Listing, &sealed, &id_of(licence, member), now).and_then(|opened| {
            let kept = postcard::from_bytes(opened.plaintext()).ok()?;
            Some((kept, opened.by_current_key))
        }))
    }

    async fn put_person(
        &self,
        licence: LicenceId,
        member: Member,
        kept: &Kept,
        now: Timestamp,
    ) -> Result<(), PersonError> {
        let plaintext = postcard::to_stdvec(kept).unwrap_or_default();
        let sealed = self.ring.seal(Purpose::Listing, &plaintext, &id_of(licence, member), &*self.random)?;
        let until = kept.last_seen.plus(KEPT);
        Ok(self.store.put(&person_key(licence, member), sealed.as_bytes(), until, now).await?)
    }

    /// Does some work while no other replica writes of them.
    async fn alone_with_person<T>(
        &self,
        licence: LicenceId,
        member: Member,
        now: Timestamp,
        work: impl Future<Output = Result<T, PersonError>> + Send,
    ) -> Result<T, PersonError> {
        let turn = Lock::new(Key::new("person-turn", &id_of(licence, member)), &*self.random)?;
        self.wait_for(&turn, now).await?;
        let slow = || PersonError::Store(StoreError::Unavailable("it takes too long".to_owned()));
        let done = tokio::time::timeout(WITHIN, work).await.unwrap_or_else(|_| Err(slow()));
        turn.release(&*self.store, now).await;
        done
    }
}

/// What is written of somebody who was not known; nothing where it was not said who they are.
fn fresh(sighting: &Sighting) -> Option<Kept> {
    let who = sighting.who.clone()?;
    let never = Timestamp::from_unix(0);
    Some(Kept {
        provider: who.provider,
        subject: who.subject,
        email: who.email,
        first_seen: sighting.seen,
        last_seen: sighting.seen,
        role: MEMBER.to_owned(),
        sign_ins: 0,
        counted: never,
        listed: never,
    })
}

fn id_of(licence: LicenceId, member: Member) -> Vec<u8> {
    [&licence.bytes()[..], member.bytes()].concat()
}

fn person_key(licence: LicenceId, member: Member) -> Key {
    Key::new("licence-person", &id_of(licence, member))
}

/// The people of a licence, in parts: a store may change an index as a whole, and a licence may have a
/// million people.
fn part_of(licence: LicenceId, member: Member) -> Key {
    part_key(licence, member.first())
}

fn part_key(licence: LicenceId, part: u8) -> Key {
    Key::new("licence-people", &[&licence.bytes()[..], &[part]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seats::fixture::{Bench, licence, take};

    const START: u64 = 1_795_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(START + seconds)
    }

    #[tokio::test]
    async fn whoever_has_had_a_seat_is_one_of_its_people_and_sign_ins_are_counted_once() {
        let bench = Bench::default();
        let (here, there) = (bench.seats(), bench.seats());
        let one = licence(1, "covers: {everyone: true}");
        let id = one.id();
        for seats in [&here, &there] {
            seats.register().declare(std::slice::from_ref(&one), false);
        }
        // (replica, who, when their session began, when they come)
        for (seats, subject, started, now) in [
            (&here, "a", 0, 0),
            (&here, "a", 0, 10),
            (&there, "a", 0, 20),
            (&there, "a", 25, 25),
            (&here, "a", 25, 30),
            (&here, "b", 30, 30),
        ] {
            take(seats, subject, at(started), at(now)).await.unwrap();
            seats.write_down(at(now)).await;
        }
        let people = here.people(id, None, 10, at(40)).await.unwrap();
        let seen = |subject: &str| people.iter().find(|person| person.subject == subject).unwrap();
        let a = seen("a");
        assert_eq!((people.len(), a.sign_ins, seen("b").sign_ins), (2, 2, 1));
        assert_eq!((a.first_seen, a.last_seen, a.role.as_str()), (at(0), at(30), MEMBER));
        assert_eq!(a.email.as_deref(), Some("a@example.fr"));
        // A part at a time.
        let first = here.people(id, None, 1, at(40)).await.unwrap();
        let rest = here.people(id, Some(first[0].member), 10, at(40)).await.unwrap();
        assert_eq!([first, rest].concat(), people);
        // Two sign-ins within one interval.
        take(&here, "c", at(41), at(41)).await.unwrap();
        take(&here, "c", at(42), at(42)).await.unwrap();
        here.write_down(at(43)).await;
        let c = here.people(id, None, 10, at(43)).await.unwrap();
        assert_eq!(c.iter().find(|person| person.subject == "c").unwrap().sign_ins, 2);
    }

    #[tokio::test]
    async fn a_role_lasts_and_who_is_forgotten_is_gone() {
        let bench = Bench::default();
        let seats = bench.seats();
        let one = licence(1, "covers: {everyone: true}");
        let id = one.id();
        seats.register().declare(&[one], false);
        take(&seats, "a", at(0), at(0)).await.unwrap();
        seats.write_down(at(0)).await;
        let member = Member::of("p", "a");
        for bad in ["", " ", "a\nb", &"x".repeat(101)] {
            assert!(matches!(seats.set_role(id, member, bad, at(1)).await, Err(PersonError::Role)), "{bad:?}");
        }
        seats.set_role(id, member, "teacher", at(1)).await.unwrap();
        take(&seats, "a", at(60), at(60)).await.unwrap();
        seats.write_down(at(60)).await;
        let person = seats.person(id, member, at(60)).await.unwrap().unwrap();
        assert_eq!((person.role.as_str(), person.sign_ins), ("teacher", 2));
        take(&seats, "a", at(70), at(70)).await.unwrap();
        seats.forget_person(id, member, at(71)).await.unwrap();
        seats.write_down(at(72)).await;
        assert!(seats.people(id, None, 10, at(72)).await.unwrap().is_empty());
        assert!(matches!(seats.forget_person(id, member, at(73)).await, Err(PersonError::Unknown)));
        assert!(matches!(seats.set_role(id, member, "x", at(73)).await, Err(PersonError::Unknown)));
    }

    #[tokio::test]
    async fn nobody_s_name_is_in_the_store_and_one_licence_s_people_are_not_another_s() {
        let bench = Bench::default();
        let seats = bench.seats();
        let one = licence(1, "covers: {everyone: true}");
        let (id, other) = (one.id(), licence(2, "covers: {everyone: true}").id());
        seats.register().declare(&[one], false);
        take(&seats, "somebody", at(0), at(0)).await.unwrap();
        seats.write_down(at(0)).await;
        let member = Member::of("p", "somebody");
        let sealed = bench.store().get(&person_key(id, member), at(0)).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("somebody"));
        // Moved to another place it opens nothing.
        bench.store().put(&person_key(other, member), &sealed, at(100), at(0)).await.unwrap();
        assert_eq!(seats.person(other, member, at(0)).await.unwrap(), None);
        let gone = at(0).plus(KEPT);
        assert_eq!(seats.person(id, member, gone).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_written_later() {
        let bench = Bench::default();
        let seats = bench.seats();
        let one = licence(1, "covers: {everyone: true}");
        let id = one.id();
        seats.register().declare(&[one], false);
        take(&seats, "a", at(0), at(0)).await.unwrap();
        bench.store.away.store(true, Ordering::Relaxed);
        seats.write_down(at(1)).await;
        bench.store.away.store(false, Ordering::Relaxed);
        assert!(seats.people(id, None, 10, at(2)).await.unwrap().is_empty());
        seats.write_down(at(2)).await;
        assert_eq!(seats.people(id, None, 10, at(2)).await.unwrap().len(), 1);
    }
}
