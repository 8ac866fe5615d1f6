//! Reads the files of keys again while the program runs, of those of the sessions and of those that
//! sign, and puts what they hold into the ring that everybody shares.
//!
//! Called by `App::run`. By content, not by date or event: a Kubernetes Secret changes by swapping
//! a symbolic link, an editor by renaming, a person by writing in place, and all of them show in
//! what is read. Must never leave a ring without a key: files that are missing, half-written or
//! wrong change nothing and are read again.

use crate::config::{Finding, KeyFiles, SigningKeys, UnfitKeys};
use crate::seal::{self, KeyMaterial, KeyRing};
use crate::signing::{self, SigningKey};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Between two readings. The replicas of a rotation may differ for this long, and for as long as
/// their files do: `docs/keys.md` says why nobody notices.
const READ_EVERY: Duration = Duration::from_secs(2);

/// A ring, and what it is filled from.
pub(super) struct KeyRotation<K> {
    /// Whose ring it is, where there are several.
    pub(super) site: Option<String>,
    pub(super) keys: Arc<K>,
    /// Notified when the files are to be read at once.
    pub(super) asked: Arc<Notify>,
}

/// Keys that can be read again, and the ring that has them.
pub(super) trait Keys: Send + Sync + 'static {
    /// One key.
    type Key: Send;
    /// Whether some are in files.
    fn are_any_in_files(&self) -> bool;
    /// Reads them.
    fn read(&self) -> Result<(Vec<Self::Key>, Vec<Finding>), UnfitKeys>;
    /// Puts them into the ring; what a log line says of the change, where there is one.
    fn replace(&self, keys: Vec<Self::Key>) -> Option<&'static str>;
    /// The keys of the ring, the first one first.
    fn describe(&self) -> String;
    /// What log lines call them.
    const NAME: &'static str;
}

/// The keys of the sessions.
pub(super) struct SessionKeys {
    pub(super) files: KeyFiles,
    pub(super) ring: Arc<KeyRing>,
}

impl Keys for SessionKeys {
    type Key = KeyMaterial;
    const NAME: &'static str = "session keys";

    fn are_any_in_files(&self) -> bool {
        self.files.are_any()
    }

    fn read(&self) -> Result<(Vec<KeyMaterial>, Vec<Finding>), UnfitKeys> {
        self.files.read()
    }

    fn replace(&self, keys: Vec<KeyMaterial>) -> Option<&'static str> {
        match self.ring.replace(&keys) {
            seal::Change::Current => Some("a new session key seals from now on"),
            seal::Change::Others => Some("other session keys open from now on; the one that seals is the same"),
            seal::Change::Nothing => None,
        }
    }

    fn describe(&self) -> String {
        self.ring.describe()
    }
}

impl Keys for SigningKeys {
    type Key = Arc<SigningKey>;
    const NAME: &'static str = "signing keys";

    fn are_any_in_files(&self) -> bool {
        self.files.are_any()
    }

    fn read(&self) -> Result<(Vec<Arc<SigningKey>>, Vec<Finding>), UnfitKeys> {
        self.files.read()
    }

    fn replace(&self, keys: Vec<Arc<SigningKey>>) -> Option<&'static str> {
        match self.ring.replace(keys) {
            signing::Change::Current => Some("a new signing key signs from now on"),
            signing::Change::Others => {
                Some("other signing keys are published from now on; the one that signs is the same")
            }
            signing::Change::Nothing => None,
        }
    }

    fn describe(&self) -> String {
        format!("{}: {}", self.files.at(), self.ring.describe())
    }
}

impl<K: Keys> KeyRotation<K> {
    /// Keeps the ring as the files are. Ends only where no key is in a file.
    pub(super) async fn keep(self) {
        let keys = self.keys;
        tracing::info!(site = self.site, keys = keys.describe(), "{}, the one in use first", K::NAME);
        if !keys.are_any_in_files() {
            return;
        }
        let mut rotation = Reader { site: self.site, keys: Arc::clone(&keys), complaint: None };
        loop {
            tokio::select! {
                () = tokio::time::sleep(READ_EVERY) => {}
                () = self.asked.notified() => {}
            }
            let keys = Arc::clone(&keys);
            // A file system that hangs must not hold a worker.
            if let Ok(read) = tokio::task::spawn_blocking(move || keys.read()).await {
                rotation.take(read);
            }
        }
    }
}

/// What one reading leaves to the next.
struct Reader<K> {
    site: Option<String>,
    keys: Arc<K>,
    /// What was said last, and not repeated as long as it is true.
    complaint: Option<UnfitKeys>,
}

impl<K: Keys> Reader<K> {
    fn take(&mut self, read: Result<(Vec<K::Key>, Vec<Finding>), UnfitKeys>) {
        let (keys, findings) = match read {
            Ok(fit) => fit,
            Err(unfit) => {
                if self.complaint.as_ref() != Some(&unfit) {
                    tracing::error!(
                        site = self.site,
                        files = unfit.files(),
                        "{unfit}; the {} from before stay in use",
                        K::NAME
                    );
                    self.complaint = Some(unfit);
                }
                return;
            }
        };
        let was_unfit = self.complaint.take().is_some();
        let change = self.keys.replace(keys);
        let keys = self.keys.describe();
        match change {
            Some(change) => tracing::info!(site = self.site, keys, "{change}"),
            None if was_unfit => {
                tracing::info!(site = self.site, keys, "the {} can be read again and are the same", K::NAME);
            }
            None => return,
        }
        for finding in findings {
            tracing::warn!(site = self.site, key = %finding.path, "{}", finding.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::{Environment, SystemEnvironment, Unreadable, from_text};
    use crate::random::SystemRandom;
    use crate::seal::Purpose;
    use crate::secret::SecretString;
    use std::path::Path;
    use zeroize::Zeroizing;

    /// A variable that is another one each time it is asked for, and the files that are there.
    struct World;

    impl Environment for World {
        fn variable(&self, _name: &str) -> Result<SecretString, Unreadable> {
            Ok(key(200).into())
        }

        fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
            SystemEnvironment.file(path)
        }
    }

    /// A key as a file holds it.
    fn key(first: u8) -> String {
        use base64::Engine;
        let bytes: Vec<u8> = (0..32).map(|at| first.wrapping_add(at)).collect();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }

    struct Scene {
        directory: tempfile::TempDir,
        reader: Reader<SessionKeys>,
    }

    impl Scene {
        /// A ring of two files and a variable.
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let at = directory.path().display();
            let text = format!(
                "public_url: https://app.example.fr\n\
                 providers: {{p: {{issuer: https://login.example.org, client_id: c, client_authentication: none}}}}\n\
                 upstreams: {{app: {{url: 'http://127.0.0.1:8501'}}}}\n\
                 routes: [{{path: /**, upstream: app}}]\n\
                 session: {{keys: [{{id: current, secret: {{file: {at}/current}}}}, \
                 {{id: before, secret: {{file: {at}/before}}}}, {{id: env, secret: {{env: KEY}}}}]}}\n"
            );
            std::fs::write(directory.path().join("current"), key(1)).unwrap();
            std::fs::write(directory.path().join("before"), key(2)).unwrap();
            let config = from_text("v.yaml", &text, &World).unwrap_or_else(|problems| panic!("{problems}"));
            let ring = Arc::new(KeyRing::new(&config.keys).unwrap());
            let keys = Arc::new(SessionKeys { files: config.key_files, ring });
            Self { directory, reader: Reader { site: None, keys, complaint: None } }
        }

        fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
            std::fs::write(self.directory.path().join(file), bytes).unwrap();
        }

        /// The keys after one more reading, and what is wrong.
        fn read(&mut self) -> (String, Option<String>) {
            self.reader.take(self.reader.keys.read());
            (self.reader.keys.describe(), self.reader.complaint.as_ref().map(ToString::to_string))
        }

        fn seal(&self) -> String {
            self.reader.keys.ring.seal(Purpose::Session, b"x", b"", &SystemRandom::new()).unwrap()
        }

        fn opens(&self, sealed: &str) -> bool {
            let now = Timestamp::from_unix(1_795_000_000);
            self.reader.keys.ring.open(Purpose::Session, sealed.as_bytes(), b"", now).is_some()
        }
    }

    #[test]
    fn a_rotation_in_the_files_is_one_in_the_ring() {
        let mut scene = Scene::new();
        let (sealed, start) = (scene.seal(), scene.reader.keys.describe());
        assert_eq!(scene.read(), (start.clone(), None), "the same files change nothing");
        scene.write("before", key(1) + "\r\n");
        scene.write("current", key(3));
        let (rotated, complaint) = scene.read();
        assert!(rotated != start && complaint.is_none());
        assert!(scene.opens(&sealed) && scene.opens(&scene.seal()));
        scene.write("before", key(4));
        assert_eq!(scene.read().1, None);
        assert!(!scene.opens(&sealed), "its key left the ring");
    }

    #[test]
    fn no_step_of_a_rotation_by_hand_leaves_the_ring_between_two_states() {
        let mut scene = Scene::new();
        let start = scene.reader.keys.describe();
        // Copied one after the other: the same key is in both files for a while.
        scene.write("before", key(1));
        let (keys, complaint) = scene.read();
        assert_eq!(keys, start);
        assert!(complaint.unwrap().contains("session.keys[1].secret: is the same secret as that of session.keys[0]"));
        // Written in place, read in between: whatever is cut off is too short.
        for len in 0..43 {
            scene.write("current", key(3).get(..len).unwrap());
            let (keys, complaint) = scene.read();
            assert!(keys == start && complaint.is_some(), "{len}");
        }
        scene.write("current", key(3));
        let (keys, complaint) = scene.read();
        assert!(keys != start && complaint.is_none());
    }

    #[test]
    fn files_that_cannot_be_used_change_nothing_and_are_named_without_what_they_hold() {
        type Spoil = fn(&Path);
        let cases: [(&str, Spoil, &str); 7] = [
            ("missing", |file| std::fs::remove_file(file).unwrap(), "does not exist"),
            (
                "a folder",
                |file| {
                    std::fs::remove_file(file).unwrap();
                    std::fs::create_dir(file).unwrap();
                },
                "cannot be read",
            ),
            ("empty", |file| std::fs::write(file, "\n").unwrap(), "is empty"),
            ("no text", |file| std::fs::write(file, [0xE9; 32]).unwrap(), "is not UTF-8 text"),
            ("a password", |file| std::fs::write(file, "hunter2 hunter2").unwrap(), "is not base64url"),
            ("zeros", |file| std::fs::write(file, "A".repeat(43)).unwrap(), "is one byte repeated"),
            ("two keys", |file| std::fs::write(file, key(5) + "\n" + &key(6)).unwrap(), "holds a line break"),
        ];
        for (what, spoil, why) in cases {
            let mut scene = Scene::new();
            let (start, sealed) = (scene.reader.keys.describe(), scene.seal());
            spoil(&scene.directory.path().join("current"));
            let (keys, complaint) = scene.read();
            let complaint = complaint.unwrap();
            assert_eq!(keys, start, "{what}");
            assert!(complaint.contains(why) && complaint.contains("session.keys[0].secret"), "{what}: {complaint}");
            assert!(scene.opens(&sealed), "{what}");
            for secret in ["hunter2".to_owned(), key(1), key(2), key(5), key(200)] {
                assert!(!complaint.contains(&secret), "{what}: {complaint}");
            }
            let files = scene.reader.complaint.as_ref().unwrap().files();
            assert_eq!(files, scene.directory.path().join("current").display().to_string(), "{what}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_once_and_anew_when_it_is_something_else() {
        let mut scene = Scene::new();
        scene.write("current", "");
        let first = scene.read().1;
        assert!(first.is_some());
        assert_eq!(scene.read().1, first);
        scene.write("current", "x");
        assert_ne!(scene.read().1, first);
        scene.write("current", key(1));
        assert_eq!(scene.read().1, None);
    }

    #[test]
    fn a_secret_swapped_by_a_symbolic_link_is_seen() {
        let mut scene = Scene::new();
        let at = scene.directory.path().to_owned();
        let start = scene.reader.keys.describe();
        // As the kubelet does it: files are links through `..data`, which is renamed over.
        for (version, current, before) in [("..v1", key(1), key(2)), ("..v2", key(3), key(1))] {
            std::fs::create_dir(at.join(version)).unwrap();
            std::fs::write(at.join(version).join("current"), current).unwrap();
            std::fs::write(at.join(version).join("before"), before).unwrap();
        }
        std::os::unix::fs::symlink("..v1", at.join("..data")).unwrap();
        for file in ["current", "before"] {
            std::fs::remove_file(at.join(file)).unwrap();
            std::os::unix::fs::symlink(format!("..data/{file}"), at.join(file)).unwrap();
        }
        assert_eq!(scene.read(), (start.clone(), None));
        std::os::unix::fs::symlink("..v2", at.join("..new")).unwrap();
        std::fs::rename(at.join("..new"), at.join("..data")).unwrap();
        let (keys, complaint) = scene.read();
        assert!(keys != start && complaint.is_none());
    }
}
