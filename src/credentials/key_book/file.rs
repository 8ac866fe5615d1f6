//! A book in a file: read at the start, and again when the file has changed.
//!
//! `KeyBook` asks for the entries at each look-up; at most every few seconds that is an occasion to
//! look at the file. A new version that is missing or wrong changes nothing and is complained about
//! once. Must never hold up look-ups: the one that reads waits a moment at most, the others not at
//! all.

use super::entries::{Entries, Fault, Format};
use crate::clock::Timestamp;
use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a look-up waits for a new version; after that it is answered from the one before. A
/// file system that hangs must not hold a request.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Reads files for the books. Must print nothing of them.
pub trait Files: Send + Sync {
    /// The file's bytes and stamp; nothing where the stamp is `known`. May block.
    ///
    /// # Errors
    /// [`Unreadable`], by cause.
    fn read_unless(&self, path: &Path, known: Option<Stamp>) -> Result<Option<Contents>, Unreadable>;
}

/// A file as it was when it was read.
#[derive(Debug)]
pub struct Contents {
    /// Taken before the bytes were: what is written meanwhile has another one.
    pub stamp: Stamp,
    /// The whole of it.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// By what a changed file is known without being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was last written, where the file system says it.
    pub modified: Option<SystemTime>,
    /// In bytes.
    pub length: u64,
    /// Which file it is: another one after a renaming or the swap of a symbolic link.
    pub inode: u64,
}

/// Why a file gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is none of that name.
    #[error("does not exist")]
    Absent,
    /// Larger than any book.
    #[error("is too large")]
    TooLarge,
    /// The operating system refused.
    #[error("cannot be read ({0})")]
    Refused(std::io::ErrorKind),
}

/// Why a file is no book. Holds the file's path and nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBook {
    /// It cannot be read.
    #[error("the file {} {cause}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: Unreadable,
    },
    /// It is not what it should be.
    #[error("the file {}{}: {fault}", .path.display(), .line.map_or(String::new(), |line| format!(", line {line}")))]
    Content {
        /// Which file.
        path: PathBuf,
        /// The line, counted from 1, where one is to blame.
        line: Option<usize>,
        /// What is wrong.
        fault: Fault,
    },
}

/// The entries as last read, and what they are read from.
pub(super) struct Shelf {
    credential: String,
    path: PathBuf,
    fold_case: bool,
    files: Arc<dyn Files>,
    entries: ArcSwap<Entries>,
    /// In seconds since the epoch; 0 before the first look-up.
    looked_at: AtomicU64,
    /// Whoever holds it is reading.
    last: Mutex<LastLook>,
}

/// What one look leaves to the next.
struct LastLook {
    /// Of the version that was read last, good or bad.
    stamp: Option<Stamp>,
    /// What was said last, and not repeated as long as it is true.
    complaint: Option<BadBook>,
}

impl Shelf {
    pub(super) fn open(
        credential: &str,
        path: PathBuf,
        fold_case: bool,
        files: Arc<dyn Files>,
    ) -> Result<Self, BadBook> {
        let contents = files.read_unless(&path, None).and_then(|contents| contents.ok_or(Unreadable::Absent));
        let contents = contents.map_err(|cause| BadBook::Unreadable { path: path.clone(), cause })?;
        let entries = read(&path, &contents, fold_case)?;
        let last = LastLook { stamp: Some(contents.stamp), complaint: None };
        tracing::info!(credential, keys = entries.len(), "the key book is read");
        Ok(Self {
            credential: credential.to_owned(),
            path,
            fold_case,
            files,
            entries: ArcSwap::from_pointee(entries),
            looked_at: AtomicU64::new(0),
            last: Mutex::new(last),
        })
    }

    /// The entries, of the file as it is now or was a few seconds ago.
    pub(super) async fn entries(self: &Arc<Self>, now: Timestamp) -> Arc<Entries> {
        if self.is_due(now) {
            let this = Arc::clone(self);
            let look = tokio::task::spawn_blocking(move || this.look());
            if tokio::time::timeout(LONGEST_WAIT, look).await.is_err() {
                tracing::warn!(credential = self.credential, "the key book takes long to read; the one before serves");
            }
        }
        self.entries.load_full()
    }

    /// Whether to look at the file; so says one caller alone each time.
    fn is_due(&self, now: Timestamp) -> bool {
        let (now, before) = (now.as_unix(), self.looked_at.load(Ordering::Relaxed));
        // A clock that was set back counts as well.
        let is_due = now < before || now - before >= LOOK_EVERY.as_secs();
        is_due && self.looked_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads the file if it has changed.
    fn look(&self) {
        let mut last = match self.last.try_lock() {
            Ok(last) => last,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody is still reading.
            Err(TryLockError::WouldBlock) => return,
        };
        let version = match self.files.read_unless(&self.path, last.stamp) {
            Ok(None) => return,
            Ok(Some(contents)) => {
                last.stamp = Some(contents.stamp);
                read(&self.path, &contents, self.fold_case)
            }
            Err(cause) => {
                // Should it come back as it was, that is said too.
                last.stamp = None;
                Err(BadBook::Unreadable { path: self.path.clone(), cause })
            }
        };
        let credential = self.credential.as_str();
        match version {
            Ok(entries) => {
                last.complaint = None;
                tracing::info!(credential, keys = entries.len(), "a new version of the key book is in use");
                self.entries.store(Arc::new(entries));
            }
            Err(bad) if last.complaint.as_ref() == Some(&bad) => {}
            Err(bad) => {
                tracing::error!(credential, "{bad}; the key book from before stays in use");
                last.complaint = Some(bad);
            }
        }
    }
}

fn read(path: &Path, contents: &Contents, fold_case: bool) -> Result<Entries, BadBook> {
    let read = Entries::read(&contents.bytes, Format::of(path), fold_case);
    read.map_err(|(fault, line)| BadBook::Content { path: path.to_owned(), line, fault })
}

#[cfg(test)]
impl Shelf {
    /// What was complained about last, if it is still wrong.
    pub(super) fn complaint(&self) -> Option<BadBook> {
        self.last.lock().unwrap().complaint.clone()
    }
}
