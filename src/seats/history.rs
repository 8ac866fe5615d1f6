//! How many seats of each licence were in use: a figure every five minutes, a day in one value.
//!
//! Called by [`Seats::renew`]. Each replica says which licences are used on it, in a list that all share;
//! one replica counts them for all. A licence that nobody uses costs nothing, and one whose people are all
//! idle is counted while they still have their seats, whatever replica they came to. Read by
//! `server/admin` for its page and for invoices. Must never be the ground of a decision.

use super::Seats;
use super::licence::LicenceId;
use crate::clock::Timestamp;
use crate::store::{Key, StoreError};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Between two figures, in seconds.
pub const EVERY: u64 = 300;
/// How many figures a day has.
pub const A_DAY: usize = 288;
/// For how many days they are kept.
pub const DAYS: u64 = 40;
const DAY: u64 = 24 * 3600;
/// Into how many parts the list of licences in use goes.
const PARTS: u8 = 64;
/// And that of those that were used on a day, which grows once a day for each.
const DAY_PARTS: u8 = 16;
const AT_ONCE: usize = 32;
/// How many values are read at once where nothing is written: one may be a network away.
const READ_AT_ONCE: usize = 128;
/// For how long one replica counts for all. Where it has not come to its end by then, another may count again.
const TURN: Duration = Duration::from_secs(60);
/// What is said of an interval in the store: that a replica counts, that all was counted.
const COUNTING: [u8; 1] = [0];
const COUNTED: [u8; 1] = [1];
/// Tries to put a figure beside those of its day while another replica does.
const TRIES: u32 = 5;

/// What this process has said and done for the history.
#[derive(Default)]
pub(super) struct Noted {
    /// In which interval each licence was said to be in use.
    said: Mutex<HashMap<LicenceId, u64>>,
    /// The interval that was counted last, and how far that has come.
    counting: Mutex<(u64, Turn)>,
    /// The interval of which it was said that something is missing.
    warned: AtomicU64,
}

/// How far the count of an interval has come, as this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Turn {
    /// Nobody is known to have counted it to the end.
    #[default]
    Open,
    /// This process counts; these licences are left, where it is known which are in use.
    Ours(Option<Vec<LicenceId>>),
    /// All was counted.
    Done,
}

/// The use of a licence on one day, which is one of UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedOn {
    /// Its first moment.
    pub begins: Timestamp,
    /// How many seats were in use, every five minutes from then on: [`A_DAY`] of them.
    pub figures: Vec<u32>,
}

impl UsedOn {
    /// The most that were in use at once.
    pub fn peak(&self) -> u32 {
        self.figures.iter().copied().max().unwrap_or_default()
    }

    /// How many were in use on average over the whole day, in hundredths.
    pub fn mean_in_hundredths(&self) -> u64 {
        let sum: u64 = self.figures.iter().map(|figure| u64::from(*figure)).sum();
        sum * 100 / A_DAY as u64
    }
}

impl Seats {
    /// Says which licences are used here, and counts for all where it is this replica's turn. What the store
    /// refuses is tried again with the next renewal, until the interval is over.
    pub(super) async fn keep_history(&self, now: Timestamp) -> Result<(), StoreError> {
        let interval = now.as_unix() / EVERY;
        let said = self.say_what_is_used(interval, now).await;
        let counted = self.count_in_turn(interval, now).await;
        let outcome = said.and(counted);
        if let Err(error) = &outcome
            && self.history.warned.swap(interval, Ordering::Relaxed) != interval
        {
            let begins = Timestamp::from_unix(interval * EVERY).date_and_time();
            tracing::warn!(%error, begins, "the use of seats cannot be counted for all licences; tried again for as long as its five minutes last, and then their history says 0");
        }
        outcome
    }

    async fn count_in_turn(&self, interval: u64, now: Timestamp) -> Result<(), StoreError> {
        let counting = || self.history.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = {
            let held = counting();
            if held.0 == interval { held.1.clone() } else { Turn::Open }
        };
        let outcome = self.go_on_counting(interval, &mut turn, now).await;
        *counting() = (interval, turn);
        outcome
    }

    async fn go_on_counting(&self, interval: u64, turn: &mut Turn, now: Timestamp) -> Result<(), StoreError> {
        let key = Key::new("seats-counted", &interval.to_be_bytes());
        if *turn == Turn::Open {
            if !self.store.put_new(&key, &COUNTING, now.plus(TURN), now).await? {
                // Another's: looked at again, for it may end before it is done.
                if self.store.get(&key, now).await?.is_some_and(|said| said == COUNTED) {
                    *turn = Turn::Done;
                }
                return Ok(());
            }
            *turn = Turn::Ours(None);
        }
        let Turn::Ours(left) = turn else { return Ok(()) };
        let used = match left.take() {
            Some(left) => left,
            None => self.used(now).await?,
        };
        let (failed, outcome) = self.count_each(used, now).await;
        *left = Some(failed);
        outcome?;
        self.store.put(&key, &COUNTED, now.plus(Duration::from_secs(2 * EVERY)), now).await?;
        *turn = Turn::Done;
        Ok(())
    }

    /// Counts these; gives those that could not be counted, and why one of them could not.
    async fn count_each(&self, used: Vec<LicenceId>, now: Timestamp) -> (Vec<LicenceId>, Result<(), StoreError>) {
        let (mut failed, mut outcome) = (Vec::new(), Ok(()));
        let mut parts = used.chunks(AT_ONCE);
        while let Some(part) = parts.next() {
            let counted = join_all(part.iter().map(|id| self.count_for_history(*id, now))).await;
            let before = failed.len();
            for (id, counted) in part.iter().zip(counted) {
                if counted.is_err() {
                    failed.push(*id);
                    outcome = counted;
                }
            }
            // The store is away: seats are not to wait until that is known of every licence.
            if failed.len() - before == part.len() {
                failed.extend(parts.by_ref().flatten());
            }
        }
        (failed, outcome)
    }

    async fn say_what_is_used(&self, interval: u64, now: Timestamp) -> Result<(), StoreError> {
        let mut used = self.ledger.licences();
        {
            let said = self.history.said.lock().unwrap_or_else(PoisonError::into_inner);
            used.retain(|id| said.get(id) != Some(&interval));
        }
        // All that could have a seat by what was done here have lost it by then.
        let until = now.plus(self.settings.idle).plus(Duration::from_secs(2 * EVERY));
        let used: Vec<LicenceId> = used.into_iter().collect();
        for part in used.chunks(AT_ONCE) {
            let parts: Vec<(Key, [u8; 16])> = part.iter().map(|id| (used_part_of(*id), id.bytes())).collect();
            try_join_all(parts.iter().map(|(index, id)| self.store.index_add(index, id, until, now))).await?;
            let mut said = self.history.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.retain(|_, when| *when + 1 >= interval);
            said.extend(part.iter().map(|id| (*id, interval)));
        }
        Ok(())
    }

    /// The licences of which somebody may have a seat, on whatever replica, as far as that has been said.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn used(&self, now: Timestamp) -> Result<Vec<LicenceId>, StoreError> {
        let parts: Vec<Key> = (0..PARTS).map(used_part).collect();
        let said = try_join_all(parts.iter().map(|part| self.store.index_members(part, now))).await?;
        let mut used: Vec<LicenceId> = said.iter().flatten().filter_map(|id| LicenceId::from_bytes(id)).collect();
        used.sort_unstable();
        Ok(used)
    }

    /// The licences that were used on the day of this moment, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn used_on(&self, day: Timestamp, now: Timestamp) -> Result<Vec<LicenceId>, StoreError> {
        let parts: Vec<Key> = (0..DAY_PARTS).map(|part| day_part(day.as_unix() / DAY, part)).collect();
        let known = try_join_all(parts.iter().map(|part| self.store.index_members(part, now))).await?;
        let mut used: Vec<LicenceId> = known.iter().flatten().filter_map(|id| LicenceId::from_bytes(id)).collect();
        used.sort_unstable();
        Ok(used)
    }

    async fn count_for_history(&self, id: LicenceId, now: Timestamp) -> Result<(), StoreError> {
        let count = u32::try_from(self.taken(id, now).await?.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Ok(());
        }
        let (day, at) = (now.as_unix() / DAY, now.as_unix() % DAY / EVERY);
        let at = usize::try_from(at).unwrap_or_default();
        let (key, until) = (day_key(id, day), Timestamp::from_unix((day + DAYS) * DAY));
        for _ in 0..TRIES {
            let known = self.store.get(&key, now).await?;
            if known.is_none() {
                self.store.index_add(&day_part_of(day, id), &id.bytes(), until, now).await?;
            }
            let mut figures: Vec<u32> =
                known.as_deref().and_then(|bytes| postcard::from_bytes(bytes).ok()).unwrap_or_default();
            if figures.len() <= at {
                figures.resize(at + 1, 0);
            }
            if let Some(figure) = figures.get_mut(at) {
                *figure = count;
            }
            let bytes = postcard::to_stdvec(&figures).unwrap_or_default();
            // A replica that is late may count another interval of the day: neither figure is to be lost.
            let is_put = match &known {
                None => self.store.put_new(&key, &bytes, until, now).await?,
                Some(known) => self.store.replace(&key, known, &bytes, until, now).await?,
            };
            if is_put {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("the figures of a day change all the time".to_owned()))
    }

    /// What is known of a day, up to its last figure that is not zero.
    async fn figures_of(&self, id: LicenceId, day: u64, now: Timestamp) -> Result<Option<Vec<u32>>, StoreError> {
        let found = self.store.get(&day_key(id, day), now).await?;
        Ok(found.and_then(|bytes| postcard::from_bytes(&bytes).ok()))
    }

    /// The use of a licence on the days on which somebody used it, from the day of `from` to that of `to`,
    /// as far back as it is kept.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn use_of(
        &self,
        id: LicenceId,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<UsedOn>, StoreError> {
        let today = now.as_unix() / DAY;
        let first = (from.as_unix() / DAY).max(today.saturating_sub(DAYS));
        let days: Vec<u64> = (first..=(to.as_unix() / DAY).min(today)).collect();
        let found = try_join_all(days.iter().map(|day| self.figures_of(id, *day, now))).await?;
        let used = days.into_iter().zip(found).filter_map(|(day, figures)| {
            let mut figures = figures?;
            figures.resize(A_DAY, 0);
            Some(UsedOn { begins: Timestamp::from_unix(day * DAY), figures })
        });
        Ok(used.collect())
    }

    /// Tells the use of all licences on the days on which somebody used them, from the day of `from` to that of
    /// `to`: day by day, and of each day in the order of their names. It is told as it is read, for all of it is
    /// hundreds of megabytes; `tell` says whether it wants more.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn each_use(
        &self,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
        mut tell: impl FnMut(LicenceId, &UsedOn) -> bool,
    ) -> Result<(), StoreError> {
        for day in from.as_unix() / DAY..=to.as_unix() / DAY {
            let day = Timestamp::from_unix(day * DAY);
            let ids = self.used_on(day, now).await?;
            let read = stream::iter(ids).map(async |id| Ok((id, self.use_of(id, day, day, now).await?)));
            let mut read = std::pin::pin!(read.buffered(READ_AT_ONCE));
            while let Some((id, used)) = read.try_next().await? {
                if !used.iter().all(|used| tell(id, used)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn used_part_of(id: LicenceId) -> Key {
    let [first, ..] = id.bytes();
    used_part(first % PARTS)
}

fn used_part(part: u8) -> Key {
    Key::new("licences-in-use", &[part])
}

fn day_part_of(day: u64, id: LicenceId) -> Key {
    let [first, ..] = id.bytes();
    day_part(day, first % DAY_PARTS)
}

fn day_part(day: u64, part: u8) -> Key {
    Key::new("licences-used-on", &[&day.to_be_bytes()[..], &[part]].concat())
}

fn day_key(id: LicenceId, day: u64) -> Key {
    Key::new("seats-on", &[&id.bytes()[..], &day.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seats::fixture::{Bench, licence, take};

    use crate::seats::places_of;

    /// The first moment of a day.
    const START: u64 = 1_795_046_400;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(START + seconds)
    }

    #[tokio::test]
    async fn one_replica_counts_for_all_every_five_minutes() {
        assert_eq!(START % DAY, 0);
        let bench = Bench::default();
        let (here, there) = (bench.seats(), bench.seats());
        let (one, two) = (licence(1, "covers: {sub: [a, b]}"), licence(2, "covers: {sub: [c]}"));
        let (first, second) = (one.id(), two.id());
        for seats in [&here, &there] {
            seats.register().declare(&[one.clone(), two.clone()], false);
        }
        take(&here, "a", at(0), at(0)).await.unwrap();
        take(&there, "b", at(0), at(0)).await.unwrap();
        take(&there, "c", at(0), at(0)).await.unwrap();
        there.renew(at(1)).await;
        // Nobody does anything any more: the seats end after half an hour.
        for seconds in (300..2700).step_by(60) {
            here.renew(at(seconds)).await;
        }
        let figures = |used: Vec<UsedOn>| used.first().map(|day| day.figures[..10].to_vec()).unwrap_or_default();
        let now = at(2700);
        let used = here.use_of(first, at(0), now, now).await.unwrap();
        assert_eq!((used[0].begins, used[0].figures.len(), used[0].peak()), (at(0), A_DAY, 2));
        assert_eq!(used[0].mean_in_hundredths(), (2 * 6) * 100 / 288);
        assert_eq!(figures(used), [2, 2, 2, 2, 2, 2, 0, 0, 0, 0]);
        assert_eq!(figures(here.use_of(second, at(0), now, now).await.unwrap()), [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
        assert_eq!(here.used_on(now, now).await.unwrap(), [first, second]);
        assert_eq!(here.used_on(at(DAY), now).await.unwrap(), []);
        assert_eq!(here.used(now).await.unwrap(), [first]);
        assert_eq!(here.used(at(4000)).await.unwrap(), []);
        // Only the days on which it was used, and not those that are over for long.
        let late = now.plus(Duration::from_secs(DAYS * DAY));
        assert_eq!(here.use_of(first, at(0), late, late).await.unwrap(), []);
    }

    async fn figures(seats: &Seats, id: LicenceId, now: Timestamp) -> Vec<u32> {
        let used = seats.use_of(id, at(0), now, now).await.unwrap();
        used.first().map(|day| day.figures[..3].to_vec()).unwrap_or_default()
    }

    #[tokio::test]
    async fn what_cannot_be_counted_is_counted_with_the_next_renewal_and_the_rest_at_once() {
        let bench = Bench::default();
        let seats = bench.seats();
        // So many that they go in several parts.
        let licences: Vec<_> = (1..=100).map(|n| licence(n, &format!("covers: {{sub: [s{n}]}}"))).collect();
        seats.register().declare(&licences, false);
        for n in 1..=100 {
            take(&seats, &format!("s{n}"), at(0), at(0)).await.unwrap();
        }
        let (first, last) = (licences[0].id(), licences[99].id());
        seats.renew(at(1)).await;
        // What is broken: the seats of one licence, the day of another, the list of those in use, all.
        let breaks = [places_of(first), day_key(last, at(0).as_unix() / DAY), used_part(0)];
        for (interval, broken) in (1..).zip(breaks.map(Some).into_iter().chain([None])) {
            let moment = |seconds| at(interval * EVERY + seconds);
            match &broken {
                Some(key) => bench.store.broken.lock().unwrap().push(key.clone()),
                None => bench.store.away.store(true, Ordering::Relaxed),
            }
            assert!(seats.keep_history(moment(0)).await.is_err());
            bench.store.broken.lock().unwrap().clear();
            bench.store.away.store(false, Ordering::Relaxed);
            let count = async || {
                let mut counted = 0;
                for licence in &licences {
                    let used = seats.use_of(licence.id(), at(0), moment(0), moment(0)).await.unwrap();
                    let index = usize::try_from(interval).unwrap();
                    counted += used.first().map_or(0, |day| day.figures[index]);
                }
                counted
            };
            let of_the_rest = if interval <= 2 { 99 } else { 0 };
            assert_eq!(count().await, of_the_rest, "{broken:?}");
            seats.keep_history(moment(30)).await.unwrap();
            assert_eq!(count().await, 100, "{broken:?}");
        }
    }

    #[tokio::test]
    async fn another_replica_counts_where_the_one_whose_turn_it_was_came_to_no_end() {
        let bench = Bench::default();
        let (here, there) = (bench.seats(), bench.seats());
        let one = licence(1, "covers: {sub: [a]}");
        here.register().declare(std::slice::from_ref(&one), false);
        take(&here, "a", at(0), at(0)).await.unwrap();
        here.renew(at(1)).await;
        let now = at(EVERY);
        let mut turn = Turn::Open;
        bench.store.broken.lock().unwrap().push(places_of(one.id()));
        there.go_on_counting(now.as_unix() / EVERY, &mut turn, now).await.unwrap_err();
        bench.store.broken.lock().unwrap().clear();
        here.keep_history(now).await.unwrap();
        assert_eq!(figures(&here, one.id(), now).await, [1, 0, 0], "it is the other's turn");
        here.keep_history(now.plus(TURN)).await.unwrap();
        assert_eq!(figures(&here, one.id(), now).await, [1, 1, 0]);
        // And of what was counted nobody counts anything again.
        here.free(crate::seats::Member::of("p", "a"), crate::seats::Freed::SignedOut, now.plus(TURN)).await.unwrap();
        for seats in [&here, &there, &bench.seats()] {
            seats.keep_history(now.plus(2 * TURN)).await.unwrap();
        }
        assert_eq!(figures(&here, one.id(), now).await, [1, 1, 0]);
    }

    #[tokio::test]
    async fn the_use_of_many_licences_is_told_as_it_is_read() {
        let bench = Bench::default();
        let seats = bench.seats();
        let (licences, days) = (1000, 3);
        let now = at((days - 1) * DAY);
        for day in 0..days {
            let (day, until) = (at(day * DAY).as_unix() / DAY, now.plus(Duration::from_secs(DAY)));
            for number in 1..=licences {
                let id = licence(number, "covers: {everyone: true}").id();
                let value = postcard::to_stdvec(&vec![u32::try_from(number).unwrap(); A_DAY]).unwrap();
                bench.store().put(&day_key(id, day), &value, until, now).await.unwrap();
                bench.store().index_add(&day_part_of(day, id), &id.bytes(), until, now).await.unwrap();
            }
        }
        let reads = || bench.store.read.load(Ordering::Relaxed);
        let (before, mut told) = (reads(), Vec::new());
        let each = seats.each_use(at(0), now, now, |id, used| {
            told.push((used.begins, id, used.peak()));
            assert!(reads() - before < told.len() + 2 * READ_AT_ONCE, "what is read waits to be told");
            true
        });
        each.await.unwrap();
        let expected = (0..days).flat_map(|day| (1..=licences).map(move |number| (at(day * DAY), number)));
        let said = told.iter().map(|(day, id, peak)| {
            assert_eq!(*id, licence(u64::from(*peak), "covers: {everyone: true}").id());
            (*day, u64::from(*peak))
        });
        assert!(said.eq(expected));
        let mut few = 0;
        let each = seats.each_use(at(0), now, now, |_, _| {
            few += 1;
            few < 10
        });
        each.await.unwrap();
        assert_eq!(few, 10, "no more is read than is wanted");
    }
}
