//! What is wrong with a configuration, and what is merely dangerous in one: where, and what to do.
//!
//! `parse` and `resolve` make these, `main` prints them. A message is one sentence or two that end
//! in what to write instead; it never holds the value of a secret.

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
    /// Its line, counted from 1; that of the mapping around it where the key is missing.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn of_the_file(message: String) -> Self {
        Self { path: KeyPath::root(), line: None, message }
    }
}

/// Every mistake of a configuration, in the order of its lines.
///
/// `Display` writes one line each, as compilers do, and a line that counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    source: String,
    problems: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(source: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.line, &a.path, &a.message).cmp(&(b.line, &b.path, &b.message)));
        problems.dedup();
        Self { source: source.to_owned(), problems }
    }

    /// Each mistake.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write_located(f, &self.source, problem.line, &problem.path, &problem.message)?;
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
    /// Which key it is about.
    pub path: KeyPath,
    /// Its line, counted from 1.
    pub line: Option<usize>,
    /// Why it deserves a second look.
    pub message: String,
}

impl Finding {
    /// `vestibule.yaml:3: trusted_proxies[0]: …`, as [`Problems`] writes mistakes.
    pub fn in_file<'a>(&'a self, source: &'a str) -> impl fmt::Display + 'a {
        InFile { finding: self, source }
    }
}

struct InFile<'a> {
    finding: &'a Finding,
    source: &'a str,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_located(f, self.source, self.finding.line, &self.finding.path, &self.finding.message)
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
        let at = |line, key: &str| Problem { path: KeyPath::root().key(key), line: Some(line), message: "no".into() };
        let problems = Problems::new("v.yaml", vec![at(9, "b"), at(2, "a"), at(9, "b")]);
        assert_eq!(problems.to_string(), "v.yaml:2: a: no\nv.yaml:9: b: no\n2 mistakes; nothing was started");
    }
}
