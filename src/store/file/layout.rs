//! What lies where in the file: five tables, how they are read, and how they are changed together.
//!
//! [`super::FileStore`] asks through [`Rows`] and changes through [`commit`]. Every row that ends
//! has its line in `ENDS`, by which ended rows are found and removed, a few with each commit.

use crate::clock::Timestamp;
use crate::store::places::{Claim, Claimed, Places};
use crate::store::{MAX_BATCH, StoreError};
use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};
use std::collections::BTreeMap;

/// What the file is: `vestibule` → 1.
pub(super) const FORMAT: TableDefinition<&str, u64> = TableDefinition::new("format");
pub(super) const FORMAT_NAME: &str = "vestibule";
pub(super) const FORMAT_VERSION: u64 = 1;

/// A key → its end, its value.
const VALUES: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("values");
/// An index, or a set of places, and a member → the member's end.
const MEMBERS: TableDefinition<(&str, &[u8]), u64> = TableDefinition::new("members");
/// A number, from 1 → the end of an announcement, the announcement.
const LOG: TableDefinition<u64, (u64, &[u8])> = TableDefinition::new("log");
/// An end, and which row has it: the table, the key, the member.
const ENDS: TableDefinition<(u64, u8, &str, &[u8]), ()> = TableDefinition::new("ends");

const OF_VALUES: u8 = 0;
const OF_MEMBERS: u8 = 1;
const OF_LOG: u8 = 2;

/// How many ended rows one commit removes at most: more than changes add, so that they never pile up.
const SWEPT: usize = 200;

/// A change of what is kept.
pub(super) enum Change {
    /// A value, in the place of what is there or only where nothing is.
    Put { key: String, value: Vec<u8>, until: Timestamp, only_new: bool },
    /// A value in the place of what is there, only where that is as expected.
    Replace { key: String, expected: Vec<u8>, value: Vec<u8>, until: Timestamp },
    /// Away with a value, or only where it is this one.
    Take { key: String, expected: Option<Vec<u8>> },
    /// A member with its end, or away with it. Did something where the member was there.
    Member { index: String, member: Vec<u8>, until: Option<Timestamp> },
    /// A place among the members of a set, where one is free or can be had.
    Claim { places: String, member: Vec<u8>, until: Timestamp, limit: usize, displacing: Option<Timestamp> },
    /// Later ends for those that have a place.
    Extend { places: String, members: Vec<(Vec<u8>, Timestamp)> },
    /// To the end of the log.
    Announce { entry: Vec<u8>, until: Timestamp },
}

/// What came of a change.
#[derive(Debug)]
pub(super) enum Done {
    /// Whether it did something.
    Did(bool),
    /// Who has the place.
    Claimed(Claimed),
    /// Of each member, whether it has a place.
    Extended(Vec<bool>),
}

/// The tables as they were at one moment.
pub(super) struct Rows {
    values: ReadOnlyTable<&'static str, (u64, &'static [u8])>,
    members: ReadOnlyTable<(&'static str, &'static [u8]), u64>,
    log: ReadOnlyTable<u64, (u64, &'static [u8])>,
}

impl Rows {
    pub(super) fn read(database: &Database) -> Result<Self, StoreError> {
        let reading = database.begin_read().map_err(|error| failed(&error.into()))?;
        let broken = |error: TableError| failed(&error.into());
        Ok(Self {
            values: reading.open_table(VALUES).map_err(broken)?,
            members: reading.open_table(MEMBERS).map_err(broken)?,
            log: reading.open_table(LOG).map_err(broken)?,
        })
    }

    pub(super) fn value(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.values.get(key).map_err(broken)?;
        Ok(row.and_then(|row| {
            let (until, value) = row.value();
            (until > now.as_unix()).then(|| value.to_vec())
        }))
    }

    /// The members of an index, or of a set of places, and their ends.
    pub(super) fn members(&self, index: &str, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp)>, StoreError> {
        let mut members = members_of(&self.members, index).map_err(broken)?;
        members.retain(|_, until| *until > now);
        Ok(members.into_iter().collect())
    }

    /// What follows the announcement `last`, and the number of the last that was looked at.
    pub(super) fn after(&self, mut last: u64, now: Timestamp) -> Result<(Vec<Vec<u8>>, u64), StoreError> {
        let mut entries = Vec::new();
        for row in self.log.range(last.saturating_add(1)..).map_err(broken)?.take(MAX_BATCH) {
            let (number, row) = row.map_err(broken)?;
            last = number.value();
            let (until, entry) = row.value();
            if until > now.as_unix() {
                entries.push(entry.to_vec());
            }
        }
        Ok((entries, last))
    }

    /// The number of the last announcement that there is; 0 where there is none.
    pub(super) fn last_number(&self) -> Result<u64, StoreError> {
        Ok(self.log.last().map_err(broken)?.map_or(0, |(number, _)| number.value()))
    }
}

/// The members of an index, or of a set of places, whether or not their ends have come.
fn members_of(
    table: &impl ReadableTable<(&'static str, &'static [u8]), u64>,
    index: &str,
) -> Result<BTreeMap<Vec<u8>, Timestamp>, redb::StorageError> {
    let mut members = BTreeMap::new();
    for row in table.range((index, [].as_slice())..)? {
        let (key, until) = row?;
        let (of, member) = key.value();
        if of != index {
            break;
        }
        members.insert(member.to_vec(), Timestamp::from_unix(until.value()));
    }
    Ok(members)
}

/// Makes every table of a new file, and says what it is.
pub(super) fn lay_out(database: &Database) -> Result<(), redb::Error> {
    let mut writing = database.begin_write()?;
    writing.set_two_phase_commit(true);
    writing.open_table(VALUES)?;
    writing.open_table(MEMBERS)?;
    writing.open_table(LOG)?;
    writing.open_table(ENDS)?;
    writing.open_table(FORMAT)?.insert(FORMAT_NAME, FORMAT_VERSION)?;
    Ok(writing.commit()?)
}

/// Makes the changes in their order, all of them or none, and gives when they are on the disk:
/// whether each did something, and the number of the last announcement, which was `last` before.
pub(super) fn commit<'c>(
    database: &Database,
    changes: impl Iterator<Item = (&'c Change, Timestamp)>,
    last: u64,
) -> Result<(Vec<Done>, u64), StoreError> {
    let mut writing = database.begin_write().map_err(|error| failed(&error.into()))?;
    // Two phases: a commit that was acknowledged and is damaged later is then told from one that
    // never ended. In one phase redb would take both for the latter and go back to the one before.
    writing.set_two_phase_commit(true);
    let outcome = {
        let mut tables = Tables::open(&writing).map_err(|error| failed(&error.into()))?;
        // A commit that failed may be there all the same: its numbers are not given twice.
        tables.last = last.max(tables.log.last().map_err(broken)?.map_or(0, |(number, _)| number.value()));
        let mut latest = Timestamp::from_unix(0);
        let mut done = Vec::new();
        for (change, now) in changes {
            done.push(tables.make(change, now).map_err(broken)?);
            latest = latest.max(now);
        }
        tables.sweep(latest).map_err(broken)?;
        (done, tables.last)
    };
    writing.commit().map_err(|error| failed(&error.into()))?;
    Ok(outcome)
}

struct Tables<'t> {
    values: Table<'t, &'static str, (u64, &'static [u8])>,
    members: Table<'t, (&'static str, &'static [u8]), u64>,
    log: Table<'t, u64, (u64, &'static [u8])>,
    ends: Table<'t, (u64, u8, &'static str, &'static [u8]), ()>,
    last: u64,
}

impl<'t> Tables<'t> {
    fn open(writing: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            values: writing.open_table(VALUES)?,
            members: writing.open_table(MEMBERS)?,
            log: writing.open_table(LOG)?,
            ends: writing.open_table(ENDS)?,
            last: 0,
        })
    }

    fn make(&mut self, change: &Change, now: Timestamp) -> Result<Done, redb::StorageError> {
        let did = match change {
            Change::Put { key, value, until, only_new } => {
                if *only_new && (*until <= now || self.live(key, now, |_| true)?) {
                    return Ok(Done::Did(false));
                }
                self.set_value(key, value, *until, now)?;
                true
            }
            Change::Replace { key, expected, value, until } => {
                let is_expected = self.live(key, now, |held| held == expected)?;
                if is_expected {
                    self.set_value(key, value, *until, now)?;
                }
                is_expected
            }
            Change::Take { key, expected } => {
                let right = |value: &[u8]| expected.as_ref().is_none_or(|expected| expected == value);
                let taken = self.live(key, now, right)?;
                if taken {
                    self.remove_value(key)?;
                }
                taken
            }
            Change::Member { index, member, until } => {
                let was_there = self.end_of(index, member, now)?.is_some();
                self.set_member(index, member, until.filter(|until| *until > now))?;
                was_there
            }
            Change::Claim { places, member, until, limit, displacing } => {
                let claim = Claim { member, until: *until, limit: *limit, displacing: *displacing };
                let mut set = Places::of(members_of(&self.members, places)?);
                let claimed = set.claim(&claim, now);
                if let Claimed::Displaced(other) = &claimed {
                    self.set_member(places, other, None)?;
                }
                let end = set.held(now).find(|(held, _)| *held == member).map(|(_, until)| until);
                if let Some(end) = end {
                    self.set_member(places, member, Some(end))?;
                }
                return Ok(Done::Claimed(claimed));
            }
            Change::Extend { places, members } => {
                let mut has = Vec::with_capacity(members.len());
                for (member, until) in members {
                    let end = self.end_of(places, member, now)?;
                    if let Some(end) = end {
                        self.set_member(places, member, Some(end.max(*until)))?;
                    }
                    has.push(end.is_some());
                }
                return Ok(Done::Extended(has));
            }
            Change::Announce { entry, until } => {
                if *until > now {
                    self.last += 1;
                    self.log.insert(self.last, (until.as_unix(), entry.as_slice()))?;
                    let number = self.last.to_be_bytes();
                    self.ends.insert((until.as_unix(), OF_LOG, "", number.as_slice()), ())?;
                }
                true
            }
        };
        Ok(Done::Did(did))
    }

    /// The end of a member, where it has not come.
    fn end_of(&self, index: &str, member: &[u8], now: Timestamp) -> Result<Option<Timestamp>, redb::StorageError> {
        let end = self.members.get((index, member))?.map(|row| row.value());
        Ok(end.map(Timestamp::from_unix).filter(|end| *end > now))
    }

    /// A member with its end, in the place of what is there; or away with it.
    fn set_member(&mut self, index: &str, member: &[u8], until: Option<Timestamp>) -> Result<(), redb::StorageError> {
        self.remove_member(index, member)?;
        if let Some(until) = until {
            self.members.insert((index, member), until.as_unix())?;
            self.ends.insert((until.as_unix(), OF_MEMBERS, index, member), ())?;
        }
        Ok(())
    }

    /// Whether there is a value that has not ended and that `right` likes.
    fn live(&self, key: &str, now: Timestamp, right: impl Fn(&[u8]) -> bool) -> Result<bool, redb::StorageError> {
        let row = self.values.get(key)?;
        Ok(row.is_some_and(|row| {
            let (until, value) = row.value();
            until > now.as_unix() && right(value)
        }))
    }

    /// A value in the place of what is there; only away with that where it would have ended already.
    fn set_value(
        &mut self,
        key: &str,
        value: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), redb::StorageError> {
        self.remove_value(key)?;
        if until > now {
            self.values.insert(key, (until.as_unix(), value))?;
            self.ends.insert((until.as_unix(), OF_VALUES, key, [].as_slice()), ())?;
        }
        Ok(())
    }

    fn remove_value(&mut self, key: &str) -> Result<(), redb::StorageError> {
        let until = self.values.remove(key)?.map(|row| row.value().0);
        if let Some(until) = until {
            self.ends.remove((until, OF_VALUES, key, [].as_slice()))?;
        }
        Ok(())
    }

    fn remove_member(&mut self, index: &str, member: &[u8]) -> Result<(), redb::StorageError> {
        let until = self.members.remove((index, member))?.map(|row| row.value());
        if let Some(until) = until {
            self.ends.remove((until, OF_MEMBERS, index, member))?;
        }
        Ok(())
    }

    /// Removes some of what has ended.
    fn sweep(&mut self, now: Timestamp) -> Result<(), redb::StorageError> {
        for _ in 0..SWEPT {
            let ended = match self.ends.first()? {
                Some((end, _)) => {
                    let (until, table, key, member) = end.value();
                    (until <= now.as_unix()).then(|| (until, table, key.to_owned(), member.to_vec()))
                }
                None => None,
            };
            let Some((until, table, key, member)) = ended else { break };
            self.ends.remove((until, table, key.as_str(), member.as_slice()))?;
            match table {
                OF_VALUES => drop(self.values.remove(key.as_str())?),
                OF_MEMBERS => drop(self.members.remove((key.as_str(), member.as_slice()))?),
                _ => {
                    let number = <[u8; 8]>::try_from(member.as_slice()).map_or(0, u64::from_be_bytes);
                    drop(self.log.remove(number)?);
                }
            }
        }
        Ok(())
    }
}

fn broken(error: redb::StorageError) -> StoreError {
    failed(&error.into())
}

/// Whose fault it is: the file's content, or the disk.
pub(super) fn failed(error: &redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) => StoreError::Unavailable(format!("the file: {error}")),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::DatabaseAlreadyOpen => {
            StoreError::Unavailable("the file could not be written; it will be tried again".to_owned())
        }
        other => StoreError::Corrupt(other.to_string()),
    }
}
