//! The licences that administrators keep in the store, and how they change.
//!
//! Called by `server/admin` for changes, and by [`Seats::keep`], which reads them: all of them at the
//! start and every few minutes, and those that another replica says it has changed at once. A change is
//! made by one administrator at a time for each licence, on whatever replica, and names the state that it
//! was made on ([`tag_of`]): nobody overwrites what they have not seen. Must never put in force what does
//! not hold when it is checked, and must never touch a licence of the configuration.
//!
//! ```text
//!  licence:ID ── the licence, as it is written (JSON)          kept until it is removed
//!  licences:PART ── which there are                            read as a whole, so in parts
//!  licence-turn:ID ── whoever changes it has it                a few seconds
//! ```

use super::licence::{Fault, Licence, LicenceId, Written};
use super::register::Entry;
use super::taking::FOR_EVER;
use super::{Seats, first_use_key};
use crate::clock::{Clock, Timestamp};
use crate::random::{self, NoRandomness};
use crate::store::{Key, Lock, StoreError};
use futures_util::future::try_join_all;
use ring::digest;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// Into how many parts the list of names goes: a store may write a part as a whole for each change.
const PARTS: u8 = 64;
/// How many questions are under way at once while all are read.
const AT_ONCE: usize = 64;
/// Between two readings of all: what was announced while a replica heard nothing for long is found then.
const ALL_EVERY: Duration = Duration::from_secs(300);
/// Between two tries where the store cannot be had.
const RETRY: Duration = Duration::from_secs(5);
/// How long one change may take, which is less than its turn lasts.
const WITHIN: Duration = Duration::from_secs(4);

/// What is known here of the licences in the store.
pub(super) struct Managed {
    /// One reading at a time: what was read last is in force.
    reading: tokio::sync::Mutex<()>,
    changed: Mutex<Changed>,
    /// All have been read once.
    were_read: AtomicBool,
    wake: Notify,
}

/// What has to be read.
enum Changed {
    /// At the start, and now and then.
    All,
    These(HashSet<LicenceId>),
}

/// Nothing.
impl Default for Changed {
    fn default() -> Self {
        Self::These(HashSet::new())
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// `seats.managed` is not set.
    #[error("licences are kept in the configuration alone here: set seats.managed to keep some in the store")]
    NotManaged,
    /// The configuration has it.
    #[error("licence {0} is declared in the configuration: change it there")]
    Declared(LicenceId),
    /// There is none of this name.
    #[error("there is no licence {0}")]
    Unknown(LicenceId),
    /// There is one of this name.
    #[error("there is a licence {0} already")]
    Exists(LicenceId),
    /// Somebody else has changed it.
    #[error("licence {0} was changed by somebody else meanwhile: look at it again, and change that")]
    ChangedMeanwhile(LicenceId),
    /// It would not be a licence.
    #[error("{}", listed(.0))]
    Faults(Vec<Fault>),
    /// People have seats of it.
    #[error("{taken} of the seats of licence {licence} are taken: suspend it and wait, or force it")]
    InUse {
        /// The licence.
        licence: LicenceId,
        /// How many.
        taken: usize,
    },
    /// It was made, and the other replicas were not told.
    #[error("it is done, but the store could not tell the other replicas: they find it within five minutes")]
    NotAnnounced(StoreError),
    /// The store cannot be had; the change may have been made.
    #[error("the store cannot be asked: look whether it is done, and try again")]
    Store(#[from] StoreError),
    /// No name could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What tells one state of a licence from another: of its words alone, so that it is the same on every
/// replica.
pub fn tag_of(written: &Written) -> String {
    let digest = digest::digest(&digest::SHA256, &json_of(written));
    digest.as_ref().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn json_of(written: &Written) -> Vec<u8> {
    serde_json::to_vec(written).unwrap_or_default()
}

impl Default for Managed {
    fn default() -> Self {
        let (reading, changed) = (tokio::sync::Mutex::default(), Mutex::new(Changed::All));
        Self { reading, changed, were_read: AtomicBool::new(false), wake: Notify::new() }
    }
}

impl Managed {
    /// Has a licence read again, or all, at once.
    pub(super) fn note(&self, which: Option<LicenceId>) {
        self.note_for_later(which);
        self.wake.notify_one();
    }

    /// The same with the next reading.
    fn note_for_later(&self, which: Option<LicenceId>) {
        self.changed().add(which.map_or(Changed::All, |id| Changed::These(HashSet::from([id]))));
    }

    /// What has to be read, taken out until it is.
    pub(super) fn taken(&self) -> Taken<'_> {
        Taken { managed: self, what: std::mem::take(&mut *self.changed()) }
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::These(these), Self::These(more)) => these.extend(more),
            (Self::All, _) => {}
            (these, Self::All) => *these = Self::All,
        }
    }
}

/// What is being read. Unless it is said to be done it has to be read again, also where whoever reads it is
/// broken off.
pub(super) struct Taken<'m> {
    managed: &'m Managed,
    what: Changed,
}

impl Taken<'_> {
    fn done(mut self) {
        self.what = Changed::default();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.managed.changed().add(std::mem::take(&mut self.what));
    }
}

impl Seats {
    /// Whether the licences of administrators, where there may be some, have been read.
    pub(super) fn licences_were_read(&self) -> bool {
        !self.settings.managed || self.managed.were_read.load(Ordering::Relaxed)
    }

    /// Reads what was changed, again and again, for ever.
    pub(super) async fn keep_licences(&self, clock: &Clock) {
        let mut all = tokio::time::interval(ALL_EVERY);
        all.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first reading needs no tick.
        all.reset();
        loop {
            let retry = match self.read_licences(clock.now()).await {
                Ok(()) => Duration::MAX,
                Err(error) => {
                    tracing::warn!(%error, "the licences that administrators keep cannot be read; tried again");
                    RETRY
                }
            };
            tokio::select! {
                _ = all.tick() => self.managed.note_for_later(None),
                () = tokio::time::sleep(retry) => {}
                () = self.managed.wake.notified() => {}
            }
        }
    }

    /// Has all that is known of licences read again at once.
    pub fn read_soon(&self) {
        self.managed.note(None);
    }

    /// Puts in force what the store has of the licences that were changed since the last reading, and finds
    /// out when those of the configuration were first used.
    ///
    /// # Errors
    /// When the store cannot be had: what was in force stays so, and the next reading tries again.
    pub async fn read_licences(&self, now: Timestamp) -> Result<(), StoreError> {
        let _turn = self.managed.reading.lock().await;
        let taken = self.managed.taken();
        match &taken.what {
            Changed::All => {
                if self.settings.managed {
                    let licences = self.read_all(now).await?;
                    let count = licences.len();
                    self.register.manage(licences);
                    if !self.managed.were_read.swap(true, Ordering::Relaxed) {
                        tracing::info!(licences = count, "the licences that administrators keep were read");
                    }
                }
                self.learn_first_uses(now).await?;
            }
            Changed::These(these) => {
                let these: Vec<LicenceId> = these.iter().copied().collect();
                let read = self.read_these(&these, now).await?;
                if !these.is_empty() {
                    self.register.manage_some(these.iter().copied().zip(read).collect());
                }
                // It may have more seats now: whoever was refused may ask at once.
                for id in &these {
                    self.ledger.may_be_free(*id);
                }
            }
        }
        taken.done();
        Ok(())
    }

    /// Of those of the configuration that count from their first use, whether anybody has a seat or not.
    async fn learn_first_uses(&self, now: Timestamp) -> Result<(), StoreError> {
        let declared: Vec<_> = self.register.all().into_iter().filter(|entry| !entry.is_managed()).collect();
        for part in declared.chunks(AT_ONCE) {
            try_join_all(part.iter().map(|entry| self.learn_first_use(entry, now))).await?;
        }
        Ok(())
    }

    async fn read_all(&self, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
        let parts: Vec<Key> = (0..PARTS).map(part_key).collect();
        let names = try_join_all(parts.iter().map(|part| self.store.index_members(part, now))).await?;
        let names: Vec<LicenceId> = names.iter().flatten().filter_map(|id| LicenceId::from_bytes(id)).collect();
        Ok(self.read_these(&names, now).await?.into_iter().flatten().collect())
    }

    /// These, in their order; none where there is none, or none that could be in force.
    async fn read_these(&self, these: &[LicenceId], now: Timestamp) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut read = Vec::with_capacity(these.len());
        for part in these.chunks(AT_ONCE) {
            read.extend(try_join_all(part.iter().map(|id| self.kept_entry(*id, now))).await?);
        }
        Ok(read)
    }

    async fn kept_entry(&self, id: LicenceId, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let Some(licence) = self.kept_licence(id, now).await? else { return Ok(None) };
        let entry = Entry::new(licence, true);
        self.learn_first_use(&entry, now).await?;
        Ok(Some(entry))
    }

    async fn kept_licence(&self, id: LicenceId, now: Timestamp) -> Result<Option<Licence>, StoreError> {
        let Some(bytes) = self.store.get(&licence_key(id), now).await? else { return Ok(None) };
        let licence = serde_json::from_slice::<Written>(&bytes).ok().and_then(|written| Licence::parse(written).ok());
        if licence.is_none() {
            tracing::error!(licence = %id, "what the store has of a licence is none that this version knows: it covers nobody");
        }
        Ok(licence.filter(|licence| licence.id() == id))
    }

    /// Adds a licence; one without a name gets one.
    ///
    /// # Errors
    /// [`ChangeError`], by cause.
    pub async fn add_licence(&self, mut written: Written, now: Timestamp) -> Result<Licence, ChangeError> {
        self.manages()?;
        if written.id.is_none() {
            written.id = Some(LicenceId::from_random(random::bytes(&*self.random)?).to_string());
        }
        let licence = Licence::parse(written).map_err(ChangeError::Faults)?;
        let id = licence.id();
        self.is_ours(id)?;
        let json = fitting(&licence)?;
        let until = now.plus(FOR_EVER);
        // First its name: one without a licence is passed over, a licence without a name is never found.
        self.store.index_add(&part_of(id), &id.bytes(), until, now).await?;
        if !self.store.put_new(&licence_key(id), &json, until, now).await? {
            return Err(ChangeError::Exists(id));
        }
        self.tell(id, now).await?;
        Ok(licence)
    }

    /// Changes a licence: `change` makes the new one of the one that there is. Where `tag` is given, that
    /// one has to be in this state ([`tag_of`]).
    ///
    /// # Errors
    /// [`ChangeError`], by cause.
    pub async fn change_licence(
        &self,
        id: LicenceId,
        tag: Option<&str>,
        change: impl FnOnce(Written) -> Written + Send,
        now: Timestamp,
    ) -> Result<Licence, ChangeError> {
        self.manages()?;
        self.is_ours(id)?;
        let changed = self.alone_with(id, now, async {
            let former = self.in_state(id, tag, now).await?;
            let mut written = change(former.written().clone());
            written.id = Some(id.to_string());
            let licence = Licence::parse(written).map_err(ChangeError::Faults)?;
            self.store.put(&licence_key(id), &fitting(&licence)?, now.plus(FOR_EVER), now).await?;
            Ok(licence)
        });
        let licence = changed.await?;
        self.tell(id, now).await?;
        Ok(licence)
    }

    /// Removes a licence. Where seats of it are taken that is done with `force` alone: whoever has one keeps
    /// it to its end, as with a licence that is suspended.
    ///
    /// # Errors
    /// [`ChangeError`], by cause.
    pub async fn remove_licence(
        &self,
        id: LicenceId,
        tag: Option<&str>,
        force: bool,
        now: Timestamp,
    ) -> Result<Licence, ChangeError> {
        self.manages()?;
        self.is_ours(id)?;
        let removed = self.alone_with(id, now, async {
            let former = self.in_state(id, tag, now).await?;
            let taken = self.taken(id, now).await?.len();
            if taken > 0 && !force {
                return Err(ChangeError::InUse { licence: id, taken });
            }
            self.store.delete(&licence_key(id), now).await?;
            self.store.index_remove(&part_of(id), &id.bytes(), now).await?;
            self.store.delete(&first_use_key(id), now).await?;
            Ok(former)
        });
        let licence = removed.await?;
        self.tell(id, now).await?;
        Ok(licence)
    }

    fn manages(&self) -> Result<(), ChangeError> {
        if self.settings.managed { Ok(()) } else { Err(ChangeError::NotManaged) }
    }

    /// Refuses a name of the configuration's.
    fn is_ours(&self, id: LicenceId) -> Result<(), ChangeError> {
        let declared = self.register.get(id).is_some_and(|entry| !entry.is_managed());
        if declared { Err(ChangeError::Declared(id)) } else { Ok(()) }
    }

    /// The licence that the store has now, if it is in this state.
    async fn in_state(&self, id: LicenceId, tag: Option<&str>, now: Timestamp) -> Result<Licence, ChangeError> {
        let present = self.kept_licence(id, now).await?.ok_or(ChangeError::Unknown(id))?;
        if tag.is_some_and(|tag| tag != tag_of(present.written())) {
            return Err(ChangeError::ChangedMeanwhile(id));
        }
        Ok(present)
    }

    /// Does some work while nobody else changes the licence.
    async fn alone_with<T>(
        &self,
        id: LicenceId,
        now: Timestamp,
        work: impl Future<Output = Result<T, ChangeError>> + Send,
    ) -> Result<T, ChangeError> {
        let turn = Lock::new(Key::new("licence-turn", &id.bytes()), &*self.random)?;
        self.wait_for(&turn, now).await?;
        let slow = || ChangeError::Store(StoreError::Unavailable("it takes too long".to_owned()));
        let done = tokio::time::timeout(WITHIN, work).await.unwrap_or_else(|_| Err(slow()));
        turn.release(&*self.store, now).await;
        done
    }

    /// Puts a change in force here, and tells the other replicas.
    async fn tell(&self, id: LicenceId, now: Timestamp) -> Result<(), ChangeError> {
        self.managed.note(Some(id));
        if let Err(error) = self.read_licences(now).await {
            tracing::warn!(licence = %id, %error, "a licence was changed and cannot be read back; tried again");
        }
        self.announce_licences(Some(id), now).await.map_err(ChangeError::NotAnnounced)
    }
}

/// What is put into the store of a licence, if it takes it.
fn fitting(licence: &Licence) -> Result<Vec<u8>, ChangeError> {
    let json = json_of(licence.written());
    if json.len() <= crate::store::MAX_VALUE_LEN {
        return Ok(json);
    }
    let what = format!("expected {} bytes at most, of all that is in it", crate::store::MAX_VALUE_LEN);
    Err(ChangeError::Faults(vec![Fault { at: "covers".to_owned(), what }]))
}

fn licence_key(id: LicenceId) -> Key {
    Key::new("licence", &id.bytes())
}

fn part_of(id: LicenceId) -> Key {
    let [first, ..] = id.bytes();
    part_key(first % PARTS)
}

fn part_key(part: u8) -> Key {
    Key::new("licences", &[part])
}

/// What a reading of some licences found.
pub(super) type Read = HashMap<LicenceId, Option<Entry>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seats::fixture::{Bench, written};

    const NOW: Timestamp = Timestamp::from_unix(1_795_000_000);
    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn one(more: &str) -> Written {
        written(&format!("{{id: {ID}, seats: 3, covers: {{everyone: true}}{more}}}"))
    }

    #[tokio::test]
    async fn what_one_administrator_adds_is_in_force_here_and_on_other_replicas_when_they_hear() {
        let bench = Bench::default();
        let (here, there) = (bench.seats(), bench.seats());
        there.read_licences(NOW).await.unwrap();
        let added = here.add_licence(Written { id: None, ..one("") }, NOW).await.unwrap();
        assert!(here.register().get(added.id()).is_some_and(|entry| entry.is_managed()));
        assert!(there.register().get(added.id()).is_none());
        bench.hear(&there, NOW).await;
        there.read_licences(NOW).await.unwrap();
        assert_eq!(there.register().get(added.id()).unwrap().licence(), &added);
        // One that starts later finds it as well.
        let later = bench.seats();
        later.read_licences(NOW).await.unwrap();
        assert_eq!(later.register().len(), 1);

        let id = added.id();
        here.change_licence(id, None, |former| Written { active: false, ..former }, NOW).await.unwrap();
        bench.hear(&there, NOW).await;
        there.read_licences(NOW).await.unwrap();
        assert!(!there.register().get(id).unwrap().licence().written().active);
        there.remove_licence(id, None, false, NOW).await.unwrap();
        bench.hear(&here, NOW).await;
        here.read_licences(NOW).await.unwrap();
        assert!(here.register().is_empty() && there.register().is_empty());
    }

    #[tokio::test]
    async fn nobody_overwrites_what_they_have_not_seen() {
        let bench = Bench::default();
        let (here, there) = (bench.seats(), bench.seats());
        let first = here.add_licence(one(""), NOW).await.unwrap();
        let (id, seen) = (first.id(), tag_of(first.written()));
        here.change_licence(id, Some(&seen), |former| Written { seats: 4, ..former }, NOW).await.unwrap();
        let late = there.change_licence(id, Some(&seen), |former| Written { seats: 5, ..former }, NOW).await;
        assert!(matches!(late, Err(ChangeError::ChangedMeanwhile(_))), "{late:?}");
        let late = there.remove_licence(id, Some(&seen), false, NOW).await;
        assert!(matches!(late, Err(ChangeError::ChangedMeanwhile(_))), "{late:?}");
        assert_eq!(here.register().get(id).unwrap().licence().seats(), 4);
        // Many at once who each add to what is there: nothing of it is lost.
        let add = |value: u32| {
            let seats = if value.is_multiple_of(2) { &here } else { &there };
            seats.change_licence(id, None, move |former| Written { seats: former.seats + value, ..former }, NOW)
        };
        let all = futures_util::future::join_all((1..=8).map(add)).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(bench.seats().kept_licence(id, NOW).await.unwrap().unwrap().seats(), 4 + 36);
    }

    #[tokio::test]
    async fn a_name_is_given_once_and_the_configuration_s_are_left_alone() {
        let bench = Bench::default();
        let seats = bench.seats();
        seats.add_licence(one(""), NOW).await.unwrap();
        assert!(matches!(seats.add_licence(one(""), NOW).await, Err(ChangeError::Exists(_))));
        let bad = seats.add_licence(one(", valid: {to: never}"), NOW).await;
        assert!(matches!(&bad, Err(ChangeError::Faults(faults)) if faults[0].at == "valid.to"), "{bad:?}");
        let declared = crate::seats::fixture::licence(2, "covers: {everyone: true}");
        let id = declared.id();
        seats.register().declare(std::slice::from_ref(&declared), false);
        assert!(matches!(
            seats.add_licence(declared.written().clone(), NOW).await,
            Err(ChangeError::Declared(declared)) if declared == id
        ));
        assert!(matches!(seats.remove_licence(id, None, true, NOW).await, Err(ChangeError::Declared(_))));
        let unknown = LicenceId::from_random([7; 16]);
        assert!(matches!(seats.remove_licence(unknown, None, true, NOW).await, Err(ChangeError::Unknown(_))));
        let closed = bench.seats_with(|settings| settings.managed = false);
        assert!(matches!(closed.add_licence(one(""), NOW).await, Err(ChangeError::NotManaged)));
    }

    #[tokio::test]
    async fn ten_thousand_are_read_at_the_start_and_a_change_of_one_reads_one() {
        let bench = Bench::default();
        let until = NOW.plus(FOR_EVER);
        for number in 1..=10_000_u64 {
            let licence = crate::seats::fixture::licence(number, &format!("covers: {{sub: [s{number}]}}"));
            let id = licence.id();
            bench.store().index_add(&part_of(id), &id.bytes(), until, NOW).await.unwrap();
            bench.store().put(&licence_key(id), &json_of(licence.written()), until, NOW).await.unwrap();
        }
        let seats = bench.seats();
        seats.read_licences(NOW).await.unwrap();
        assert_eq!(seats.register().len(), 10_000);
        let id = LicenceId::parse("00000000-0000-4000-8000-000000010000").unwrap();
        seats.change_licence(id, None, |former| Written { seats: 9, ..former }, NOW).await.unwrap();
        assert_eq!((seats.register().len(), seats.register().get(id).unwrap().licence().seats()), (10_000, 9));
    }

    #[tokio::test]
    async fn what_the_store_cannot_say_is_not_taken_for_no_licence() {
        let bench = Bench::default();
        let seats = bench.seats();
        seats.add_licence(one(""), NOW).await.unwrap();
        seats.managed.note(None);
        bench.store.away.store(true, Ordering::Relaxed);
        seats.read_licences(NOW).await.unwrap_err();
        assert_eq!(seats.register().len(), 1);
        let starting = bench.seats();
        starting.read_licences(NOW).await.unwrap_err();
        assert!(!starting.licences_were_read());
        bench.store.away.store(false, Ordering::Relaxed);
        starting.read_licences(NOW).await.unwrap();
        assert!(starting.licences_were_read() && starting.register().len() == 1);
        // Nothing of what another version, or somebody else, put there is in force.
        let other = LicenceId::from_random([9; 16]);
        for bytes in [&b"{}"[..], b"{\"seats\": 1, \"colour\": 7}", &json_of(&one(""))] {
            bench.store().put(&licence_key(other), bytes, NOW.plus(FOR_EVER), NOW).await.unwrap();
            seats.managed.note(Some(other));
            seats.read_licences(NOW).await.unwrap();
            assert!(seats.register().get(other).is_none());
        }
    }
}
