//! How somebody gets a seat: the store is asked.
//!
//! Called by `server` where the gate says that it is not known whether a person has one, and by
//! `server/live` for what goes over a WebSocket. One question where one licence covers them; where
//! several do, one at a time for each person, for they must not get two. Must never give a seat of a
//! licence that is not in force.

use super::figures::Event;
use super::licence::{Licence, LicenceId, Standing, WhenFull};
use super::register::{Applicant, Entry};
use super::{Freed, Member, NoSeat, Seat, Seats, displaced_key, first_use_key, places_of, seat_key};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::store::{Claim, Claimed, Key, Lock, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// How long the lock of a person lasts whose seat is looked for.
const TURN: Duration = Duration::from_secs(5);
/// Between two tries for it, and how many.
const TRY_AGAIN: Duration = Duration::from_millis(20);
const TRIES: u32 = 100;
/// For how long a licence is kept, and its first use is remembered: for ever.
pub(super) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Somebody who asks for a seat now, until then if they do nothing more.
#[derive(Clone, Copy)]
struct Asker {
    member: Member,
    until: Timestamp,
    now: Timestamp,
}

/// A seat that somebody has.
struct Place {
    licence: LicenceId,
    /// They had none before.
    is_new: bool,
}

impl Seats {
    /// Takes a seat for somebody, or finds the one that they have.
    ///
    /// # Errors
    /// Why they have none.
    pub async fn take(&self, applicant: &Applicant<'_>, now: Timestamp, random: &dyn Random) -> Result<Seat, NoSeat> {
        let member = Member::of(applicant.provider, applicant.subject);
        if let Some(why) = self.ledger.was_just_refused(&member, now) {
            return Err(why);
        }
        let taken = match self.try_to_take(member, applicant, now, random).await {
            Ok(taken) => taken,
            Err(error) => {
                let seat = self.in_an_outage(member, now);
                tracing::warn!(person = %member, %error, goes_on = seat.is_ok(), "no seat can be asked for without the store");
                seat
            }
        };
        match &taken {
            Ok(seat) => self.sight(seat, applicant, now),
            Err(NoSeat::StoreDown) => {}
            Err(why) => {
                self.ledger.goes_without(member, *why, now);
                if let NoSeat::Full { licence, idle_since, .. } = why {
                    self.figures.note(*licence, Event::Refused { idle_since: *idle_since });
                }
            }
        }
        taken
    }

    /// Lets somebody who was displaced take a seat again, where they ask for it.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn claim_again(&self, provider: &str, subject: &str, now: Timestamp) -> Result<(), StoreError> {
        let member = Member::of(provider, subject);
        self.store.delete(&displaced_key(member), now).await?;
        self.ledger.forget_without(&member);
        Ok(())
    }

    async fn try_to_take(
        &self,
        member: Member,
        applicant: &Applicant<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Result<Seat, NoSeat>, StoreError> {
        if let Some(displaced) = self.displacement(member, applicant, now).await? {
            return Ok(Err(displaced));
        }
        if !self.licences_were_read() {
            // Whom they cover is not known yet: nobody is told that no licence covers them.
            self.read_licences(now).await?;
        }
        let asker = Asker { member, until: now.plus(self.settings.idle), now };
        let losses = self.ledger.losses(&member);
        let place = match self.in_force(applicant, now).await? {
            Ok(in_force) => self.place_of(&in_force, asker, applicant, random).await?,
            Err(why) => Err(why),
        };
        match place {
            Ok(place) => Ok(Ok(self.ledger.hold_on(place.licence, member, applicant, (now, asker.until), losses))),
            Err(why) => Ok(self.lapsing(member, applicant, why, now).await?.ok_or(why)),
        }
    }

    /// A place of one of these licences, and what is to be written down of it.
    async fn place_of(
        &self,
        in_force: &[Arc<Entry>],
        asker: Asker,
        applicant: &Applicant<'_>,
        random: &dyn Random,
    ) -> Result<Result<Place, NoSeat>, StoreError> {
        let claim = async {
            let place = match in_force {
                [only] => self.claim(only, asker).await?,
                several => self.claim_one_of(several, asker).await?,
            };
            if let Ok(place) = &place {
                self.note_place(place, asker, applicant).await?;
            }
            Ok(place)
        };
        if in_force.len() == 1 {
            return claim.await;
        }
        let turn = Lock::new(Key::new("seat-turn", asker.member.bytes()), random)
            .map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
        self.wait_for(&turn, asker.now).await?;
        let place = claim.await;
        turn.release(&*self.store, asker.now).await;
        place
    }

    /// The seat of somebody to whom none can be given, of a licence that no longer counts for them, as long
    /// as the place is theirs. It is a person's: whatever session they come with.
    async fn lapsing(
        &self,
        member: Member,
        applicant: &Applicant<'_>,
        why: NoSeat,
        now: Timestamp,
    ) -> Result<Option<Seat>, StoreError> {
        let known = self.ledger.find(&member);
        let licence = match &known {
            Some(seat) => Some(seat.licence()),
            None => self.seat_of(member, now).await?,
        };
        let is_out_of_it = |licence: &LicenceId| matches!(why, NoSeat::Full { licence: full, .. } if full == *licence);
        let Some(licence) = licence.filter(|licence| !is_out_of_it(licence)) else { return Ok(None) };
        if !self.has_place(licence, member, now).await? {
            return Ok(None);
        }
        let Some(seat) = known else { return Ok(Some(Seat::for_once(licence, member, applicant))) };
        seat.holding().confirm_lapsing(now, self.ledger.hold(), self.grace_of(licence));
        Ok(Some(seat.lapsing()))
    }

    /// The licences in force that cover somebody, in their order.
    async fn in_force(
        &self,
        applicant: &Applicant<'_>,
        now: Timestamp,
    ) -> Result<Result<Vec<Arc<Entry>>, NoSeat>, StoreError> {
        let covering = self.register.covering(applicant);
        let mut why = None;
        let mut in_force = Vec::with_capacity(covering.len());
        for entry in covering {
            self.learn_first_use(&entry, now).await?;
            let id = entry.licence().id();
            let not = match entry.standing(now) {
                Standing::InForce => {
                    in_force.push(entry);
                    continue;
                }
                Standing::Suspended => NoSeat::Suspended(id),
                Standing::NotYet(from) => NoSeat::NotYet(id, from),
                Standing::Expired(since) => NoSeat::Expired(id, since),
            };
            why.get_or_insert(not);
        }
        Ok(if in_force.is_empty() { Err(why.unwrap_or(NoSeat::NotCovered)) } else { Ok(in_force) })
    }

    pub(super) async fn learn_first_use(&self, entry: &Entry, now: Timestamp) -> Result<(), StoreError> {
        if !entry.licence().counts_from_first_use() || entry.first_use().is_some() {
            return Ok(());
        }
        let found = self.store.get(&first_use_key(entry.licence().id()), now).await?;
        if let Some(seconds) = found.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes) {
            entry.note_first_use(Timestamp::from_unix(seconds));
        }
        Ok(())
    }

    /// A place of the only licence that is for them.
    async fn claim(&self, entry: &Entry, asker: Asker) -> Result<Result<Place, NoSeat>, StoreError> {
        match self.claim_free(entry, asker).await? {
            Ok(place) => Ok(Ok(place)),
            Err(full) => self.claim_beyond(entry, asker, full).await,
        }
    }

    /// A place of one of several: the one where they have it, then a free one, then what those that are
    /// full do about it.
    async fn claim_one_of(&self, several: &[Arc<Entry>], asker: Asker) -> Result<Result<Place, NoSeat>, StoreError> {
        // What is written down of them may be lost, and then every place that they may have is looked at.
        let noted = self.seat_of(asker.member, asker.now).await?;
        let is_noted = |entry: &&Arc<Entry>| noted.is_none_or(|noted| entry.licence().id() == noted);
        for entry in several.iter().filter(is_noted) {
            let licence = entry.licence().id();
            let member = [(asker.member.bytes().to_vec(), asker.until)];
            if self.store.extend_places(&places_of(licence), &member, asker.now).await? == [true] {
                return Ok(Ok(Place { licence, is_new: false }));
            }
        }
        let mut full = Vec::with_capacity(several.len());
        for entry in several {
            match self.claim_free(entry, asker).await? {
                Ok(place) => return Ok(Ok(place)),
                Err(why) => full.push((entry, why)),
            }
        }
        let first = full.first().map_or(NoSeat::NotCovered, |(_, why)| *why);
        for (entry, why) in full {
            if let Ok(place) = self.claim_beyond(entry, asker, why).await? {
                return Ok(Ok(place));
            }
        }
        Ok(Err(first))
    }

    /// A place that is theirs, or free.
    async fn claim_free(&self, entry: &Entry, asker: Asker) -> Result<Result<Place, NoSeat>, StoreError> {
        self.ask(entry, asker, entry.licence().seats(), None).await
    }

    /// What the licence does when all its seats are taken.
    async fn claim_beyond(
        &self,
        entry: &Entry,
        asker: Asker,
        full: NoSeat,
    ) -> Result<Result<Place, NoSeat>, StoreError> {
        let licence = entry.licence();
        match self.when_full(licence) {
            WhenFull::Refuse => Ok(Err(full)),
            WhenFull::DisplaceIdlest(grace) => {
                // Whoever did something last at that moment has a place until then.
                let before = asker.now.plus(self.settings.idle).minus(grace);
                self.ask(entry, asker, licence.seats(), Some(before)).await
            }
            WhenFull::Overflow(more) => {
                let limit = licence.seats().saturating_add(usize::try_from(more).unwrap_or_default());
                let place = self.ask(entry, asker, limit, None).await?;
                if place.as_ref().is_ok_and(|place| place.is_new) {
                    self.figures.note(licence.id(), Event::Overflowed);
                    tracing::warn!(licence = %licence.id(), seats = licence.seats(), "more people are in than the licence has seats (overflow)");
                }
                Ok(place)
            }
        }
    }

    async fn ask(
        &self,
        entry: &Entry,
        asker: Asker,
        limit: usize,
        displacing: Option<Timestamp>,
    ) -> Result<Result<Place, NoSeat>, StoreError> {
        let licence = entry.licence().id();
        let claim = Claim { member: asker.member.bytes(), until: asker.until, limit, displacing };
        Ok(match self.store.claim_place(&places_of(licence), &claim, asker.now).await? {
            Claimed::Held => Ok(Place { licence, is_new: false }),
            Claimed::Added => Ok(Place { licence, is_new: true }),
            Claimed::Displaced(former) => {
                if let Some(former) = Member::from_bytes(&former) {
                    self.displace(former, licence, asker.now).await?;
                }
                Ok(Place { licence, is_new: true })
            }
            Claimed::Full(first_end) => {
                let idle_since = first_end.map(|end| end.minus(self.settings.idle).min(asker.now));
                Err(NoSeat::Full { licence, seats: limit, idle_since })
            }
        })
    }

    /// Somebody has lost their place to another.
    async fn displace(&self, former: Member, licence: LicenceId, now: Timestamp) -> Result<(), StoreError> {
        tracing::info!(licence = %licence, person = %former, "a seat was given to somebody else (displace_idlest)");
        self.figures.note(licence, Event::Displaced);
        self.lose(former, licence, Freed::Displaced, now);
        // Of another licence, which they have come to since, they keep theirs.
        if self.store.take(&seat_key(former), &licence.bytes(), now).await? {
            self.mark_displaced(former, licence, Freed::Displaced, now).await?;
        }
        self.announce(former, licence, Freed::Displaced, now).await
    }

    /// Writes down whose place it is: for a new one, for one that this process knew nothing of, and anew with
    /// each sign-in, for what is written ends.
    async fn note_place(&self, place: &Place, asker: Asker, applicant: &Applicant<'_>) -> Result<(), StoreError> {
        let (licence, Asker { member, now, .. }) = (place.licence, asker);
        let is_known = self
            .ledger
            .find(&member)
            .is_some_and(|seat| seat.licence() == licence && !seat.holding().is_new_sign_in(applicant.started));
        if is_known && !place.is_new {
            return Ok(());
        }
        if let Some(former) = self.seat_of(member, now).await?.filter(|former| *former != licence) {
            // Their place there ends by itself: another replica may believe in it until it hears this.
            self.ledger.let_go(&member, former);
            self.announce(member, former, Freed::SignedOut, now).await?;
        }
        self.store.put(&seat_key(member), &licence.bytes(), now.plus(self.settings.lifetime), now).await?;
        // Of before they signed in again.
        self.store.delete(&displaced_key(member), now).await?;
        if let Some(entry) = self.register.get(licence)
            && entry.licence().counts_from_first_use()
            && entry.first_use().is_none()
        {
            let key = first_use_key(licence);
            self.store.put_new(&key, &now.as_unix().to_be_bytes(), now.plus(FOR_EVER), now).await?;
            self.learn_first_use(&entry, now).await?;
        }
        if place.is_new {
            self.figures.note(licence, Event::Taken);
            tracing::info!(licence = %licence, person = %member, "a seat was taken");
        }
        Ok(())
    }

    /// Waits for a lock that others hold for a moment.
    pub(super) async fn wait_for(&self, turn: &Lock, now: Timestamp) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            if turn.taken(&*self.store, now.plus(TURN), now).await? {
                return Ok(());
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        Err(StoreError::Unavailable("another request does the same and does not end".to_owned()))
    }

    /// Notes that somebody was displaced: what they come with next is told so.
    pub(super) async fn mark_displaced(
        &self,
        member: Member,
        licence: LicenceId,
        why: Freed,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let by_administrator = u8::from(why == Freed::ByAdministrator);
        let mark = [&licence.bytes()[..], &now.as_unix().to_be_bytes(), &[by_administrator]].concat();
        self.store.put(&displaced_key(member), &mark, now.plus(self.settings.lifetime), now).await
    }

    /// How somebody was displaced who has not asked for a seat since, nor signed in again.
    async fn displacement(
        &self,
        member: Member,
        applicant: &Applicant<'_>,
        now: Timestamp,
    ) -> Result<Option<NoSeat>, StoreError> {
        let Some(mark) = self.store.get(&displaced_key(member), now).await? else { return Ok(None) };
        let parts = mark.split_at_checked(16).and_then(|(id, rest)| {
            let (at, rest) = rest.split_first_chunk::<8>()?;
            let at = Timestamp::from_unix(u64::from_be_bytes(*at));
            Some((LicenceId::from_bytes(id)?, at, rest == [1]))
        });
        let Some((licence, at, by_administrator)) = parts else { return Ok(None) };
        Ok((applicant.started <= at).then_some(NoSeat::Displaced { licence, at, by_administrator }))
    }

    /// What is said without the store: the place of whoever had one is theirs until its end, which is
    /// known here, and nobody else can get it.
    fn in_an_outage(&self, member: Member, now: Timestamp) -> Result<Seat, NoSeat> {
        let seat = self.ledger.find(&member).ok_or(NoSeat::StoreDown)?;
        let grace = self.grace_of(seat.licence());
        let is_theirs = seat.holding().outlasts_an_outage(now, self.ledger.hold(), grace);
        if is_theirs { Ok(seat) } else { Err(NoSeat::StoreDown) }
    }

    /// What a licence does when all its seats are taken.
    fn when_full(&self, licence: &Licence) -> WhenFull {
        licence.written().when_full.as_ref().unwrap_or(&self.settings.when_full).clone()
    }

    /// How long somebody has to have been idle before their seat of a licence may be given to somebody else.
    fn grace_of(&self, licence: LicenceId) -> Option<Duration> {
        let entry = self.register.get(licence);
        match entry.map_or_else(|| self.settings.when_full.clone(), |entry| self.when_full(entry.licence())) {
            WhenFull::DisplaceIdlest(grace) => Some(grace),
            WhenFull::Refuse | WhenFull::Overflow(_) => None,
        }
    }
}
