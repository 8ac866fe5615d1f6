//! The store that is one file: for one process, and what it acknowledged survives that process.
//!
//! The file is a redb database. Every write is on the disk when it is acknowledged. One thread
//! writes, and puts all that waits into one commit, so that many writers share the price of one;
//! readers never wait for it. [`layout`] says what lies where, [`opening`] how a file is found
//! good. Must never make a new file where there is one, whatever is in it.

mod layout;
mod opening;
#[cfg(test)]
mod tests;

use super::places::{Claim, Claimed};
use super::{Cursor, Key, MAX_ENTRY_LEN, MAX_VALUE_LEN, OpenError, Store, StoreError, within};
use crate::clock::Timestamp;
use async_trait::async_trait;
use layout::{Change, Done, Rows};
use redb::Database;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How many changes one commit takes at most.
const LARGEST_COMMIT: usize = 1000;

/// See the module.
pub(super) struct FileStore {
    file: Arc<File>,
    /// To the thread that writes; none while the store is being dropped.
    changes: Option<mpsc::Sender<Waiting>>,
    writer: Option<JoinHandle<()>>,
}

struct File {
    path: PathBuf,
    /// None after a failed write, until somebody needs it again.
    database: RwLock<Option<Arc<Database>>>,
    /// The number of the latest announcement.
    latest: watch::Sender<u64>,
}

/// A change, and who waits for it to be on the disk.
struct Waiting {
    change: Change,
    now: Timestamp,
    done: oneshot::Sender<Result<Done, StoreError>>,
}

impl FileStore {
    /// Opens the file, or makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let database = opening::open_or_create(path)?;
        let latest = guarded(|| Rows::read(&database)?.last_number());
        let latest = latest.map_err(|error| OpenError::Corrupt { path: path.to_owned(), why: error.to_string() })?;
        let file = Arc::new(File {
            path: path.to_owned(),
            database: RwLock::new(Some(Arc::new(database))),
            latest: watch::Sender::new(latest),
        });
        let (changes, waiting) = mpsc::channel();
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn({
            let file = Arc::clone(&file);
            move || write(&file, &waiting)
        });
        let writer = writer.map_err(|error| OpenError::Refused { path: path.to_owned(), why: error.to_string() })?;
        Ok(Self { file, changes: Some(changes), writer: Some(writer) })
    }

    /// Makes a change; done when it is on the disk.
    async fn change(&self, change: Change, now: Timestamp) -> Result<Done, StoreError> {
        let gone = || StoreError::Unavailable("the thread that writes the file has ended".to_owned());
        let (done, outcome) = oneshot::channel();
        let changes = self.changes.as_ref().ok_or_else(gone)?;
        changes.send(Waiting { change, now, done }).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    /// Makes a change of which one wants to know whether it did something.
    async fn did(&self, change: Change, now: Timestamp) -> Result<bool, StoreError> {
        match self.change(change, now).await? {
            Done::Did(did) => Ok(did),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        let reading = tokio::task::spawn_blocking(move || {
            let database = file.database()?;
            guarded(|| read(&Rows::read(&database)?))
        });
        reading.await.map_err(|_| StoreError::Unavailable("reading was broken off".to_owned()))?
    }
}

impl Drop for FileStore {
    /// Lets the last commit end, so that the file is free when this is gone.
    fn drop(&mut self) {
        drop(self.changes.take());
        // A panic in there was said by the panic itself.
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

impl File {
    /// The database. redb gives up on one after a failed write (a full disk): it is opened anew by
    /// whoever needs it next, which keeps what was acknowledged and drops what was not.
    fn database(&self) -> Result<Arc<Database>, StoreError> {
        let open = self.database.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(database) = open {
            return Ok(database);
        }
        let mut closed = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*closed {
            return Ok(Arc::clone(database));
        }
        let opened = opening::open(&self.path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let opened = Arc::new(opened);
        *closed = Some(Arc::clone(&opened));
        tracing::info!("the store's file was opened again");
        Ok(opened)
    }

    fn give_up(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What the writing thread does until the store is dropped.
fn write(file: &File, waiting: &mpsc::Receiver<Waiting>) {
    while let Ok(first) = waiting.recv() {
        let commit: Vec<Waiting> = [first].into_iter().chain(waiting.try_iter().take(LARGEST_COMMIT)).collect();
        let changes = commit.iter().map(|waiting| (&waiting.change, waiting.now));
        let last = *file.latest.borrow();
        let committed = file
            .database()
            .and_then(|database| guarded(|| layout::commit(&database, changes, last)).inspect_err(|_| file.give_up()));
        match committed {
            Ok((done, last)) => {
                for (waiting, done) in commit.into_iter().zip(done) {
                    // Whoever does not wait any more does not hear of it.
                    let _ = waiting.done.send(Ok(done));
                }
                file.latest.send_if_modified(|latest| std::mem::replace(latest, last) != last);
            }
            Err(error) => {
                tracing::error!(%error, "the store's file was not written");
                for waiting in commit {
                    let _ = waiting.done.send(Err(error.clone()));
                }
            }
        }
    }
}

/// A change has one kind of outcome.
fn unexpected(done: &Done) -> StoreError {
    StoreError::Unavailable(format!("the thread that writes the file answered {done:?}"))
}

/// redb panics where a file says what cannot be (of our damaged files, on one in thirteen): that is
/// a damaged file, not a broken program. Works because this program unwinds.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    // What a panic leaves behind is not looked at again: a transaction is dropped, a database given up.
    let panicked = |_| Err(StoreError::Corrupt("what the file says cannot be".to_owned()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

#[async_trait]
impl Store for FileStore {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.text();
        self.read(move |rows| rows.value(&key, now)).await
    }

    async fn put(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_VALUE_LEN, value)?;
        let change = Change::Put { key: key.text(), value: value.to_vec(), until, only_new: false };
        self.change(change, now).await.map(drop)
    }

    async fn put_new(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        within(MAX_VALUE_LEN, value)?;
        let change = Change::Put { key: key.text(), value: value.to_vec(), until, only_new: true };
        self.did(change, now).await
    }

    async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        within(MAX_VALUE_LEN, value)?;
        let (expected, value) = (expected.to_vec(), value.to_vec());
        self.did(Change::Replace { key: key.text(), expected, value, until }, now).await
    }

    async fn take(&self, key: &Key, expected: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        self.did(Change::Take { key: key.text(), expected: Some(expected.to_vec()) }, now).await
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<(), StoreError> {
        self.change(Change::Take { key: key.text(), expected: None }, now).await.map(drop)
    }

    async fn index_add(&self, index: &Key, member: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_ENTRY_LEN, member)?;
        let change = Change::Member { index: index.text(), member: member.to_vec(), until: Some(until) };
        self.change(change, now).await.map(drop)
    }

    async fn index_remove(&self, index: &Key, member: &[u8], now: Timestamp) -> Result<(), StoreError> {
        let change = Change::Member { index: index.text(), member: member.to_vec(), until: None };
        self.change(change, now).await.map(drop)
    }

    async fn index_members(&self, index: &Key, now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        let index = index.text();
        let members = self.read(move |rows| rows.members(&index, now)).await?;
        Ok(members.into_iter().map(|(member, _)| member).collect())
    }

    async fn claim_place(&self, places: &Key, claim: &Claim<'_>, now: Timestamp) -> Result<Claimed, StoreError> {
        within(MAX_ENTRY_LEN, claim.member)?;
        let Claim { member, until, limit, displacing } = *claim;
        let change = Change::Claim { places: places.text(), member: member.to_vec(), until, limit, displacing };
        match self.change(change, now).await? {
            Done::Claimed(claimed) => Ok(claimed),
            other => Err(unexpected(&other)),
        }
    }

    async fn extend_places(
        &self,
        places: &Key,
        members: &[(Vec<u8>, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        match self.change(Change::Extend { places: places.text(), members: members.to_vec() }, now).await? {
            Done::Extended(has) => Ok(has),
            other => Err(unexpected(&other)),
        }
    }

    async fn free_place(&self, places: &Key, member: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        self.did(Change::Member { index: places.text(), member: member.to_vec(), until: None }, now).await
    }

    async fn places(&self, places: &Key, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp)>, StoreError> {
        let places = places.text();
        self.read(move |rows| rows.members(&places, now)).await
    }

    async fn announce(&self, entry: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_ENTRY_LEN, entry)?;
        self.change(Change::Announce { entry: entry.to_vec(), until }, now).await.map(drop)
    }

    async fn announced(
        &self,
        cursor: &Cursor,
        wait: Duration,
        now: Timestamp,
    ) -> Result<(Vec<Vec<u8>>, Cursor), StoreError> {
        let (last, _) = cursor.last;
        let mut latest = self.file.latest.subscribe();
        // Where it takes too long there is no news: the log says so itself.
        let _ = tokio::time::timeout(wait, latest.wait_for(|latest| *latest > last)).await;
        let (entries, last) = self.read(move |rows| rows.after(last, now)).await?;
        Ok((entries, Cursor { last: (last, 0), connection: 0 }))
    }
}
