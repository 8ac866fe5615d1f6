//! The world outside the file: environment variables, the contents of files, the time of day.
//!
//! `load` and the resolution of secrets ask an [`Environment`]; [`SystemEnvironment`] is the only
//! place of the program that reads the real one. Whatever is read may be a secret: it is wiped
//! when dropped and never printed.

use crate::clock::{Clock, Timestamp};
use crate::secret::SecretString;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest file that is read: a configuration or a secret is far smaller, and a mistyped path
/// such as `/dev/zero` must end.
const LARGEST_FILE: u64 = 1 << 20;

/// The largest list that is read: half a million addresses.
const LARGEST_LIST: u64 = 16 << 20;

/// Where variables and files come from.
pub trait Environment {
    /// The value of an environment variable.
    ///
    /// # Errors
    /// [`Unreadable::Absent`] when it is not set, [`Unreadable::NotText`] when it is not UTF-8.
    fn variable(&self, name: &str) -> Result<SecretString, Unreadable>;

    /// The bytes of a file, 1 MiB at most. Relative paths start at the working directory.
    ///
    /// # Errors
    /// [`Unreadable`], by cause.
    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable>;

    /// The bytes of a list, which is no secret and may be larger: 16 MiB at most.
    ///
    /// # Errors
    /// [`Unreadable`], by cause.
    fn list(&self, path: &Path) -> Result<Vec<u8>, Unreadable> {
        self.file(path).map(|bytes| bytes.to_vec())
    }

    /// The present moment, by which dates in the file are judged: nothing but findings.
    fn now(&self) -> Timestamp {
        Clock::System.now()
    }
}

/// Why a variable or a file gave nothing. Says nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is none of that name.
    #[error("does not exist")]
    Absent,
    /// It is not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// Larger than anything that belongs here.
    #[error("is larger than 1 MiB")]
    TooLarge,
    /// Larger than any list.
    #[error("is larger than 16 MiB")]
    TooLong,
    /// The operating system refused.
    #[error("cannot be read ({0})")]
    Refused(std::io::ErrorKind),
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn variable(&self, name: &str) -> Result<SecretString, Unreadable> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
        let value = std::env::var_os(name).ok_or(Unreadable::Absent)?;
        value.into_string().map(SecretString::from).map_err(|_| Unreadable::NotText)
    }

    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let bytes = read(path, LARGEST_FILE)?;
        if bytes.len() as u64 > LARGEST_FILE { Err(Unreadable::TooLarge) } else { Ok(bytes) }
    }

    fn list(&self, path: &Path) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = read(path, LARGEST_LIST)?;
        if bytes.len() as u64 > LARGEST_LIST { Err(Unreadable::TooLong) } else { Ok(std::mem::take(&mut *bytes)) }
    }
}

/// What a file holds, to one byte beyond the limit.
fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Unreadable::Absent,
        kind => Unreadable::Refused(kind),
    };
    let file = std::fs::File::open(path).map_err(refused)?;
    // Room for everything at once: a buffer that grows would leave unwiped copies behind.
    let expected = file.metadata().map_or(0, |metadata| metadata.len()).min(limit);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(refused)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_and_one_that_never_ends_are_told_apart() {
        let system = SystemEnvironment;
        assert!(matches!(system.file(Path::new("/nonexistent/secret")), Err(Unreadable::Absent)));
        assert!(matches!(system.file(Path::new("/dev/zero")), Err(Unreadable::TooLarge)));
        assert!(matches!(system.file(Path::new("/")), Err(Unreadable::Refused(_))));
        assert!(matches!(system.variable("VESTIBULE_TEST_NEVER_SET"), Err(Unreadable::Absent)));
    }

    #[test]
    fn a_file_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "abc\n").unwrap();
        assert_eq!(SystemEnvironment.file(&path).unwrap().as_slice(), b"abc\n");
    }
}
