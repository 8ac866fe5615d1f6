//! Lists that stand in files, so that `app` can read them again while the program runs.
//!
//! `resolve` reads each once, by the rules that hold for what is written in place; `app` reads them
//! again and swaps what changed into the rules that look at it. Must never put in half of a file: one
//! that is missing, malformed or still being written leaves the list as it was.

use super::environment::{Environment, SystemEnvironment, Unreadable};
use super::resolve::{is_domain, network_of};
use crate::gate::rules::{Listed, Networks};
use crate::oidc::at_least;
use crate::web::domain;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the entries of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Email,
    Domain,
    Level,
    Network,
}

/// All lists of a site that stand in files, each once.
#[derive(Clone, Default)]
pub struct ListFiles {
    files: Vec<ListFile>,
}

#[derive(Clone)]
struct ListFile {
    path: PathBuf,
    kind: Kind,
    held: Held,
    /// Of what is in use.
    digest: Digest,
    /// Of what was read last, where it is something else.
    next: Option<Digest>,
    /// What was said last, and is not repeated as long as it is true.
    complaint: Option<String>,
}

type Digest = [u8; 32];

/// Where the rules look.
#[derive(Clone)]
enum Held {
    Texts(Arc<ArcSwap<HashSet<String>>>),
    Networks(Arc<ArcSwap<Networks>>),
}

/// What a file says.
enum Entries {
    Texts(HashSet<String>),
    Networks(Vec<IpNet>),
}

/// What a further reading came to.
#[derive(Debug, PartialEq, Eq)]
pub enum ListChange {
    /// The list is another one from now on, with so many entries.
    Taken {
        /// The file.
        file: String,
        /// How many entries it has.
        entries: usize,
    },
    /// The file cannot be used; the list stays as it was. Said once for each cause.
    Unfit {
        /// The file.
        file: String,
        /// What is wrong with it. Nothing of what it holds.
        why: String,
    },
    /// It can be used again.
    FitAgain {
        /// The file.
        file: String,
    },
}

/// Why a file is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    #[error("is not UTF-8 text")]
    NotText,
    /// A line of it, and how many more. Not what stands there: the path may be that of another file.
    #[error("has on line {line} what {why}{}", match .more { 0 => String::new(), more => format!(" (and on {more} more)") })]
    Line { line: usize, why: &'static str, more: usize },
}

impl ListFiles {
    /// The values in a file, which are read the first time that it is named.
    pub(super) fn texts(
        &mut self,
        kind: Kind,
        path: &Path,
        environment: &dyn Environment,
    ) -> Result<Listed<HashSet<String>>, Unfit> {
        match &self.file(kind, path, environment)?.held {
            Held::Texts(held) => Ok(Listed::File { path: name_of(path), held: Arc::clone(held) }),
            Held::Networks(_) => Ok(Listed::here(HashSet::new())),
        }
    }

    /// Likewise the networks.
    pub(super) fn networks(&mut self, path: &Path, environment: &dyn Environment) -> Result<Listed<Networks>, Unfit> {
        match &self.file(Kind::Network, path, environment)?.held {
            Held::Networks(held) => Ok(Listed::File { path: name_of(path), held: Arc::clone(held) }),
            Held::Texts(_) => Ok(Listed::here(Networks::default())),
        }
    }

    /// Goes on with what `before` holds of the same files: what they say now was read once, and counts
    /// when it was read the same twice. Before any rule looks at these lists.
    pub fn follow(&mut self, before: &Self) {
        for file in &mut self.files {
            let Some(other) = before.files.iter().find(|one| one.kind == file.kind && one.path == file.path) else {
                continue;
            };
            let differs = file.digest != other.digest;
            match (&file.held, &other.held) {
                (Held::Texts(new), Held::Texts(old)) => new.store(old.load_full()),
                (Held::Networks(new), Held::Networks(old)) => new.store(old.load_full()),
                _ => {}
            }
            if differs {
                (file.next, file.digest) = (Some(file.digest), other.digest);
            }
        }
    }

    fn file(&mut self, kind: Kind, path: &Path, environment: &dyn Environment) -> Result<&ListFile, Unfit> {
        let known = self.files.iter().position(|file| file.kind == kind && file.path == path);
        let index = match known {
            Some(index) => index,
            None => {
                let bytes = environment.list(path)?;
                let held = match parse(kind, &bytes)? {
                    Entries::Texts(texts) => Held::Texts(Arc::new(ArcSwap::from_pointee(texts))),
                    Entries::Networks(networks) => {
                        Held::Networks(Arc::new(ArcSwap::from_pointee(networks.into_iter().collect())))
                    }
                };
                let digest = digest_of(&bytes);
                let path = path.to_owned();
                self.files.push(ListFile { path, kind, held, digest, next: None, complaint: None });
                self.files.len() - 1
            }
        };
        self.files.get(index).ok_or(Unfit::Unreadable(Unreadable::Absent))
    }

    /// Whether there is a file that could change.
    pub fn are_any(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads every file as it is now. What has changed counts when it is read the same twice: one that
    /// is being written is not a shorter list. Reads from the disk: not for a thread that must not wait.
    pub fn read(&mut self) -> Vec<ListChange> {
        self.files.iter_mut().filter_map(|file| file.read(&SystemEnvironment)).collect()
    }
}

/// As the log and explanations call a file.
fn name_of(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

impl ListFile {
    fn read(&mut self, environment: &dyn Environment) -> Option<ListChange> {
        let file = self.path.display().to_string();
        let bytes = match environment.list(&self.path) {
            Ok(bytes) => bytes,
            Err(unreadable) => return self.complain(file, unreadable.to_string()),
        };
        let digest = digest_of(&bytes);
        if digest == self.digest {
            self.next = None;
            return self.complaint.take().map(|_| ListChange::FitAgain { file });
        }
        if self.next.replace(digest) != Some(digest) {
            return None;
        }
        match parse(self.kind, &bytes) {
            Err(unfit) => self.complain(file, unfit.to_string()),
            Ok(entries) => {
                let count = match (entries, &self.held) {
                    (Entries::Texts(texts), Held::Texts(held)) => {
                        let count = texts.len();
                        held.store(Arc::new(texts));
                        count
                    }
                    (Entries::Networks(networks), Held::Networks(held)) => {
                        let count = networks.len();
                        held.store(Arc::new(networks.into_iter().collect()));
                        count
                    }
                    _ => return None,
                };
                (self.digest, self.next, self.complaint) = (digest, None, None);
                Some(ListChange::Taken { file, entries: count })
            }
        }
    }

    fn complain(&mut self, file: String, why: String) -> Option<ListChange> {
        if self.complaint.as_ref() == Some(&why) {
            return None;
        }
        self.complaint = Some(why.clone());
        Some(ListChange::Unfit { file, why })
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().unwrap_or_default()
}

/// Reads a list: an entry on each line, nothing on blank ones, and from a `#` at the beginning of a line
/// or after a space a comment.
fn parse(kind: Kind, bytes: &[u8]) -> Result<Entries, Unfit> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unfit::NotText)?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut entries =
        if kind == Kind::Network { Entries::Networks(Vec::new()) } else { Entries::Texts(HashSet::new()) };
    let mut bad = None;
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default() };
        let entry = line.split("\t#").next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        let taken = match &mut entries {
            Entries::Texts(texts) => values(kind, entry).map(|values| texts.extend(values)),
            Entries::Networks(networks) => network_of(entry)
                .map(|network| networks.push(network))
                .map_err(|_| "is neither an IP address nor a network"),
        };
        if let Err(why) = taken {
            match &mut bad {
                None => bad = Some(Unfit::Line { line: number, why, more: 0 }),
                Some(Unfit::Line { more, .. }) => *more += 1,
                Some(_) => {}
            }
        }
    }
    match bad {
        Some(unfit) => Err(unfit),
        None => Ok(entries),
    }
}

/// What an entry stands for in the set that is looked into.
///
/// # Errors
/// Why it is no such entry.
pub(super) fn values(kind: Kind, entry: &str) -> Result<Vec<String>, &'static str> {
    match kind {
        Kind::Text | Kind::Network => Ok(vec![entry.to_owned()]),
        Kind::Email => {
            let is_address = domain::of_email(entry).is_some_and(is_domain)
                && !entry.starts_with('@')
                && !entry.chars().any(|c| c.is_whitespace() || c.is_control());
            is_address.then(|| vec![entry.to_ascii_lowercase()]).ok_or("is no e-mail address")
        }
        Kind::Domain => {
            let above = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.'));
            let domain = above.unwrap_or(entry).to_ascii_lowercase();
            if !is_domain(&domain) {
                return Err("is no domain");
            }
            // Below it as well: with the dot that stands before whatever is below.
            Ok(if above.is_some() { vec![format!(".{domain}"), domain] } else { vec![domain] })
        }
        Kind::Level => Ok(at_least(entry).map(str::to_owned).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        lists: ListFiles,
    }

    impl Scene {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), lists: ListFiles::default() }
        }

        fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
            std::fs::write(self.folder.path().join(name), bytes).unwrap();
        }

        fn texts(&mut self, kind: Kind, name: &str) -> Result<Listed<HashSet<String>>, Unfit> {
            self.lists.texts(kind, &self.folder.path().join(name), &SystemEnvironment)
        }

        /// What the next reading says, without the names of files.
        fn read(&mut self) -> Vec<String> {
            let changes = self.lists.read().into_iter();
            let said = changes.map(|change| match change {
                ListChange::Taken { entries, .. } => format!("{entries} entries"),
                ListChange::Unfit { why, .. } => why,
                ListChange::FitAgain { .. } => "fit again".to_owned(),
            });
            said.collect()
        }
    }

    fn held(listed: &Listed<HashSet<String>>) -> Vec<String> {
        let Listed::File { held, .. } = listed else { panic!("no file") };
        let mut all: Vec<String> = held.load().iter().cloned().collect();
        all.sort();
        all
    }

    #[test]
    fn a_list_has_an_entry_on_each_line_and_comments() {
        let mut scene = Scene::new();
        scene.write(
            "people",
            "\u{FEFF}# who\r\n\r\n  A@Example.FR\t# one\r\nb#c@example.fr # another\n#d@example.fr\n\n",
        );
        assert_eq!(held(&scene.texts(Kind::Email, "people").unwrap()), ["a@example.fr", "b#c@example.fr"]);
        scene.write("domains", "example.fr\n.Example.org\n*.example.net\n");
        let domains = held(&scene.texts(Kind::Domain, "domains").unwrap());
        assert_eq!(domains, [".example.net", ".example.org", "example.fr", "example.net", "example.org"]);
        scene.write("levels", "eidas2\n");
        assert_eq!(held(&scene.texts(Kind::Level, "levels").unwrap()), ["eidas2", "eidas3"]);
        scene.write("texts", "Cheffe de projet\n13002526500013\n");
        assert_eq!(held(&scene.texts(Kind::Text, "texts").unwrap()), ["13002526500013", "Cheffe de projet"]);
    }

    #[test]
    fn what_is_no_list_is_said_with_its_line_and_not_repeated() {
        let mut scene = Scene::new();
        for (text, says) in [
            ("a@example.fr\nhunter2\n", "has on line 2 what is no e-mail address"),
            ("hunter2\n\n@x.fr\na b@x.fr\n", "has on line 1 what is no e-mail address (and on 2 more)"),
            ("a@x.fr, b@x.fr\n", "has on line 1 what is no e-mail address"),
        ] {
            scene.write("people", text);
            assert_eq!(scene.texts(Kind::Email, "people").unwrap_err().to_string(), says);
        }
        scene.write("people", [0xE9]);
        assert_eq!(scene.texts(Kind::Email, "people").unwrap_err().to_string(), "is not UTF-8 text");
        assert_eq!(scene.texts(Kind::Email, "nowhere").unwrap_err().to_string(), "does not exist");
        let endless = scene.lists.texts(Kind::Text, Path::new("/dev/zero"), &SystemEnvironment);
        assert_eq!(endless.unwrap_err().to_string(), "is larger than 16 MiB");
        scene.write("networks", "10.0.0.0/8\n10.0.0.1/8\n");
        let networks = scene.lists.networks(&scene.folder.path().join("networks"), &SystemEnvironment);
        assert_eq!(networks.unwrap_err().to_string(), "has on line 2 what is neither an IP address nor a network");
    }

    #[test]
    fn a_change_counts_when_it_was_read_the_same_twice() {
        let mut scene = Scene::new();
        scene.write("people", "a@example.fr\n");
        let list = scene.texts(Kind::Email, "people").unwrap();
        assert!(scene.read().is_empty(), "nothing has changed");
        // Written in place, and read in between.
        for half in ["", "a@ex", "a@example.fr\nb@exa"] {
            scene.write("people", half);
            assert!(scene.read().is_empty());
            assert_eq!(held(&list), ["a@example.fr"], "{half:?}");
        }
        scene.write("people", "a@example.fr\nb@example.fr\n");
        assert!(scene.read().is_empty());
        assert_eq!(scene.read(), ["2 entries"]);
        assert_eq!(held(&list), ["a@example.fr", "b@example.fr"]);
        scene.write("people", "# nobody\n");
        assert_eq!((scene.read(), scene.read()), (vec![], vec!["0 entries".to_owned()]));
        assert!(held(&list).is_empty());
    }

    #[test]
    fn what_another_turn_reads_counts_when_it_was_read_the_same_twice() {
        let mut scene = Scene::new();
        scene.write("people", "a@example.fr\n");
        scene.texts(Kind::Email, "people").unwrap();
        // Being written just when the configuration is read again.
        scene.write("people", "");
        let before = std::mem::take(&mut scene.lists);
        let list = scene.texts(Kind::Email, "people").unwrap();
        scene.lists.follow(&before);
        assert_eq!(held(&list), ["a@example.fr"]);
        scene.write("people", "a@example.fr\nb@example.fr\n");
        assert!(scene.read().is_empty());
        assert_eq!(scene.read(), ["2 entries"]);
        assert_eq!(held(&list), ["a@example.fr", "b@example.fr"]);
    }

    #[test]
    fn what_is_spoilt_leaves_the_list_and_is_said_once() {
        let mut scene = Scene::new();
        scene.write("people", "a@example.fr\n");
        let list = scene.texts(Kind::Email, "people").unwrap();
        std::fs::remove_file(scene.folder.path().join("people")).unwrap();
        assert_eq!((scene.read(), scene.read()), (vec!["does not exist".to_owned()], vec![]));
        scene.write("people", "hunter2\n");
        assert_eq!(scene.read(), Vec::<String>::new());
        assert_eq!(scene.read(), ["has on line 1 what is no e-mail address"]);
        assert_eq!((scene.read(), held(&list)), (vec![], vec!["a@example.fr".to_owned()]));
        scene.write("people", "a@example.fr\n");
        assert_eq!((scene.read(), scene.read()), (vec!["fit again".to_owned()], vec![]));
    }

    #[test]
    fn a_file_that_is_named_twice_is_read_once() {
        let mut scene = Scene::new();
        scene.write("people", "a@example.fr\n");
        let (one, two) = (scene.texts(Kind::Email, "people").unwrap(), scene.texts(Kind::Email, "people").unwrap());
        assert_eq!(one, two);
        assert_ne!(one, scene.texts(Kind::Text, "people").unwrap(), "as something else it is another list");
        assert_eq!(scene.lists.files.len(), 2);
    }
}
