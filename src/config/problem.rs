//! What is wrong with a configuration, and what is merely dangerous in one: where, and what to do.
//!
//! `parse` and `resolve` make these, `main` prints them. A message is one sentence or two that end
//! in what to write instead; it never holds the value of a secret.

use super::findings::Code;
use std::fmt;

/// Where in the configuration: `routes[2].upstream`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<Segment>);

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// A key of a mapping.
    Key(String),
    /// An item of a list, counted from zero.
    Item(usize),
}

impl KeyPath {
    /// The whole file.
    pub fn root() -> Self {
        Self::default()
    }

    /// The key `name` below this.
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        self.with(Segment::Key(name.to_owned()))
    }

    /// The item `index` below this.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.with(Segment::Item(index))
    }

    /// The steps from the top.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether `other` is this place or lies below it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether this is the top-level key `name`.
    pub(super) fn is_key(&self, name: &str) -> bool {
        matches!(self.0.as_slice(), [Segment::Key(key)] if key == name)
    }

    /// This place as seen from `above`, which covers it.
    pub(super) fn below(&self, above: &Self) -> Option<Self> {
        self.0.strip_prefix(above.0.as_slice()).map(|rest| Self(rest.to_vec()))
    }

    /// The place `path`, which is seen from here.
    pub(super) fn join(&self, path: &Self) -> Self {
        Self(self.0.iter().chain(&path.0).cloned().collect())
    }

    /// The place that holds this one; none for the whole file.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, above)| Self(above.to_vec()))
    }

    fn with(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }
}

impl FromIterator<Segment> for KeyPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Item(index) => write!(f, "[{index}]")?,
                Segment::Key(name) => {
                    let dot = if depth == 0 { "" } else { "." };
                    let plain = !name.is_empty()
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '<'));
                    if plain { write!(f, "{dot}{name}")? } else { write!(f, "{dot}{name:?}")? }
                }
            }
        }
        Ok(())
    }
}

/// A mistake, before its line is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) path: KeyPath,
    pub(super) message: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which key it is about; the root where it is about the whole file.
    pub path: KeyPath,
    /// The file, as it was named; all of them where it is about the whole.
    pub file: String,
    /// Its line, counted from 1; that of the mapping around it where the key is missing.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn of_the_file(file: &str, message: String) -> Self {
        Self { path: KeyPath::root(), file: file.to_owned(), line: None, message }
    }
}

/// Every mistake of a configuration, in the order of its files and their lines.
///
/// `Display` writes one line each, as compilers do, and a line that counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
}

impl Problems {
    /// `files` are in their order.
    pub(super) fn new(files: &[&str], mut problems: Vec<Problem>) -> Self {
        let place = |problem: &Problem| (files.iter().position(|file| *file == problem.file), problem.line);
        problems.sort_by(|a, b| (place(a), &a.path, &a.message).cmp(&(place(b), &b.path, &b.message)));
        problems.dedup();
        Self { problems }
    }

    /// Each mistake.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write_located(f, &problem.file, problem.line, &problem.path, &problem.message)?;
            writeln!(f)?;
        }
        match self.problems.len() {
            1 => write!(f, "1 mistake; nothing was started"),
            count => write!(f, "{count} mistakes; nothing was started"),
        }
    }
}

impl std::error::Error for Problems {}

/// A setting that runs but is dangerous, or that does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, by a name that stays.
    pub code: Code,
    /// Which key it is about.
    pub path: KeyPath,
    /// The file that holds it, as it was named.
    pub file: String,
    /// Its line, counted from 1.
    pub line: Option<usize>,
    /// Why it deserves a second look.
    pub message: String,
    /// Whether it only does nothing: what several sites have in common is idle where all say so.
    pub(super) is_idle: bool,
}

/// `vestibule.yaml:3: trusted_proxies[0]: … [name]`, as [`Problems`] writes mistakes.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_located(f, &self.file, self.line, &self.path, &self.message)?;
        write!(f, " [{}]", self.code.name())
    }
}

fn write_located(
    f: &mut fmt::Formatter<'_>,
    source: &str,
    line: Option<usize>,
    path: &KeyPath,
    message: &str,
) -> fmt::Result {
    f.write_str(source)?;
    if let Some(line) = line {
        write!(f, ":{line}")?;
    }
    if !path.segments().is_empty() {
        write!(f, ": {path}")?;
    }
    write!(f, ": {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_they_are_written() {
        let root = KeyPath::root();
        assert_eq!(root.to_string(), "");
        assert_eq!(root.key("routes").item(2).key("path").to_string(), "routes[2].path");
        assert_eq!(root.key("upstreams").key("my.app").to_string(), "upstreams.\"my.app\"");
    }

    #[test]
    fn problems_are_sorted_counted_and_said_once() {
        let at = |file: &str, line, key: &str| {
            let path = KeyPath::root().key(key);
            Problem { path, file: file.into(), line: Some(line), message: "no".into() }
        };
        let problems = vec![at("b.yaml", 1, "c"), at("a.yaml", 9, "b"), at("a.yaml", 2, "a"), at("a.yaml", 9, "b")];
        let problems = Problems::new(&["a.yaml", "b.yaml"], problems);
        let expected = "a.yaml:2: a: no\na.yaml:9: b: no\nb.yaml:1: c: no\n3 mistakes; nothing was started";
        assert_eq!(problems.to_string(), expected);
    }
}
