//! How a file is found good, or refused with what to do about it; and how a new one is made.
//!
//! Called at start, and after a failed write. A file that is empty, another program's or damaged
//! may be the only witness of who was signed out: it is never emptied, renamed or replaced.

use super::layout::{self, FORMAT, FORMAT_NAME, FORMAT_VERSION};
use super::{OpenError, guarded};
use crate::store::StoreError;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableError};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What every redb file begins with.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// How much of the file is kept in memory.
const CACHE: usize = 32 * 1024 * 1024;

/// Opens the file, or makes it where there is none.
pub(super) fn open_or_create(path: &Path) -> Result<Database, OpenError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(refused(path, &error)),
        Ok(_) => {}
    }
    open(path)
}

/// Opens a file that is there, and reads all of it once.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    let mut file = File::open(path).map_err(|error| refused(path, &error))?;
    let metadata = file.metadata().map_err(|error| refused(path, &error))?;
    if !metadata.is_file() {
        return Err(OpenError::NotAFile { path: path.to_owned() });
    }
    if metadata.len() == 0 {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    let mut begin = [0; MAGIC.len()];
    // A file that is shorter than this is not ours either.
    let read = file.read_exact(&mut begin);
    if read.is_err() || begin != *MAGIC {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    drop(file);
    let corrupt = |why: String| OpenError::Corrupt { path: path.to_owned(), why };
    let opened = guarded(|| {
        let opened = Builder::new().set_cache_size(CACHE).open(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path: path.to_owned() },
            DatabaseError::UpgradeRequired(_) => OpenError::Foreign { path: path.to_owned() },
            DatabaseError::Storage(StorageError::Io(error)) if error.kind() != ErrorKind::UnexpectedEof => {
                refused(path, &error)
            }
            other => corrupt(other.to_string()),
        });
        Ok(opened.and_then(|mut database| {
            // Every checksum, once: nothing damaged is read later, when somebody waits.
            database.check_integrity().map_err(|error| corrupt(error.to_string()))?;
            is_ours(path, &database)?;
            Ok(database)
        }))
    });
    opened.unwrap_or_else(|panicked: StoreError| Err(corrupt(panicked.to_string())))
}

fn is_ours(path: &Path, database: &Database) -> Result<(), OpenError> {
    let foreign = || OpenError::Foreign { path: path.to_owned() };
    let corrupt = |error: redb::Error| OpenError::Corrupt { path: path.to_owned(), why: error.to_string() };
    let reading = database.begin_read().map_err(|error| corrupt(error.into()))?;
    let format = reading.open_table(FORMAT).map_err(|error| match error {
        TableError::Storage(error) => corrupt(error.into()),
        _ => foreign(),
    })?;
    let version = redb::ReadableTable::get(&format, FORMAT_NAME).map_err(|error| corrupt(error.into()))?;
    match version.map(|row| row.value()) {
        Some(FORMAT_VERSION) => Ok(()),
        Some(version) => Err(OpenError::Format { path: path.to_owned(), version }),
        None => Err(foreign()),
    }
}

/// Makes a whole file beside `path` and gives it that name last: whoever is interrupted leaves no
/// half of a file there, and whoever comes second does not replace the first one's.
fn create(path: &Path) -> Result<(), OpenError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return Err(OpenError::NoDirectory { path: path.to_owned(), directory: parent.to_owned() });
    }
    let refused = |error: std::io::Error| refused(path, &error);
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new).map_err(refused)?;
    let made = Builder::new().create_file(file).map_err(redb::Error::from);
    made.and_then(|database| layout::lay_out(&database))
        .map_err(|error| OpenError::Refused { path: path.to_owned(), why: error.to_string() })?;
    match std::fs::hard_link(&new, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(refused(error)),
        _ => {}
    }
    std::fs::remove_file(&new).map_err(refused)?;
    // The name is on the disk as well.
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(refused)
}

fn refused(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Refused { path: path.to_owned(), why: error.to_string() }
}
