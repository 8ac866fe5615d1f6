//! The files of key books, read from the disk.
//!
//! `app` hands [`SystemFiles`] to each book, which reads its file with it at the start and whenever
//! it has changed. Larger than a configuration may be; whatever is read is wiped when dropped.

use crate::credentials::key_book::{Contents, Files, Stamp, Unreadable};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest file that is read: a million keys fit in, and a mistyped path such as `/dev/zero`
/// must end.
const LARGEST_FILE: u64 = 128 << 20;

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn read_unless(&self, path: &Path, known: Option<Stamp>) -> Result<Option<Contents>, Unreadable> {
        let refused = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Unreadable::Absent,
            kind => Unreadable::Refused(kind),
        };
        // Opened first: what is looked at and what is read are one file, whatever is renamed.
        let file = File::open(path).map_err(refused)?;
        let stamp = stamp(&file.metadata().map_err(refused)?);
        if known == Some(stamp) {
            return Ok(None);
        }
        // Room for everything at once: a buffer that grows would leave unwiped copies behind.
        let expected = usize::try_from(stamp.length.min(LARGEST_FILE)).unwrap_or(0);
        let mut bytes = Zeroizing::new(Vec::with_capacity(expected + 1));
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(refused)?;
        if bytes.len() as u64 > LARGEST_FILE { Err(Unreadable::TooLarge) } else { Ok(Some(Contents { stamp, bytes })) }
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path, known: Option<Stamp>) -> Option<(Stamp, String)> {
        let contents = SystemFiles.read_unless(path, known).unwrap()?;
        Some((contents.stamp, String::from_utf8(contents.bytes.to_vec()).unwrap()))
    }

    #[test]
    fn a_file_is_read_again_only_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("keys"), folder.path().join("new"));
        std::fs::write(&path, "a: x\n").unwrap();
        let (first, text) = read(&path, None).unwrap();
        assert_eq!(text, "a: x\n");
        assert!(read(&path, Some(first)).is_none());
        // Another file of the same length and date under its name.
        std::fs::write(&other, "a: y\n").unwrap();
        File::open(&other).unwrap().set_modified(first.modified.unwrap()).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let (second, text) = read(&path, Some(first)).unwrap();
        assert_eq!(text, "a: y\n");
        // Written in place.
        std::fs::write(&path, "a: yy\n").unwrap();
        assert_eq!(read(&path, Some(second)).unwrap().1, "a: yy\n");
    }

    #[test]
    fn a_secret_swapped_by_a_symbolic_link_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..v1", "a: x\n"), ("..v2", "a: y\n")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("keys"), text).unwrap();
        }
        // As the kubelet does it: the file is a link through `..data`, which is renamed over.
        std::os::unix::fs::symlink("..v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/keys", at("keys")).unwrap();
        let (first, _) = read(&at("keys"), None).unwrap();
        std::os::unix::fs::symlink("..v2", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        assert_eq!(read(&at("keys"), Some(first)).unwrap().1, "a: y\n");
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let read = |path: &str| SystemFiles.read_unless(Path::new(path), None).unwrap_err();
        assert_eq!(read("/nonexistent/keys"), Unreadable::Absent);
        assert!(matches!(read("/"), Unreadable::Refused(_)));
        assert_eq!(read("/dev/zero"), Unreadable::TooLarge);
    }
}
