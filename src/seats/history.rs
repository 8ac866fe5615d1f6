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

/// What this process has said and done for the history.
#[derive(Default)]
pub(super) struct Noted {
    /// In which interval each licence was said to be in use.
    said: Mutex<HashMap<LicenceId, u64>>,
    /// The interval that was looked at last.
    looked: AtomicU64,
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
    /// Says which licences are used here, and counts for all where it is this replica's turn.
    pub(super) async fn keep_history(&self, now: Timestamp) -> Result<(), StoreError> {
        let interval = now.as_unix() / EVERY;
        self.say_what_is_used(interval, now).await?;
        if self.history.looked.load(Ordering::Relaxed) == interval {
            return Ok(());
        }
        let turn = Key::new("seats-counted", &interval.to_be_bytes());
        let is_ours = self.store.put_new(&turn, &[1], now.plus(Duration::from_secs(2 * EVERY)), now).await?;
        self.history.looked.store(interval, Ordering::Relaxed);
        if is_ours {
            let used = self.used(now).await?;
            for part in used.chunks(AT_ONCE) {
                for counted in join_all(part.iter().map(|id| self.count_for_history(*id, now))).await {
                    counted?;
                }
            }
        }
        Ok(())
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
        let known = self.figures_of(id, day, now).await?;
        let until = Timestamp::from_unix((day + DAYS) * DAY);
        if known.is_none() {
            self.store.index_add(&day_part_of(day, id), &id.bytes(), until, now).await?;
        }
        let mut figures = known.unwrap_or_default();
        let at = usize::try_from(at).unwrap_or_default();
        if figures.len() <= at {
            figures.resize(at + 1, 0);
        }
        if let Some(figure) = figures.get_mut(at) {
            *figure = count;
        }
        let bytes = postcard::to_stdvec(&figures).unwrap_or_default();
        self.store.put(&day_key(id, day), &bytes, until, now).await
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
}
