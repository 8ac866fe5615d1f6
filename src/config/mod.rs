//! The configuration: as written, as it will run, and the one function between them.
//!
//! `main` calls [`load`], `app` builds every room from the [`Config`] it gives, and nobody else
//! comes here. Each room declares the settings it needs; this room alone knows how they are
//! written in YAML. Three rules:
//!
//! - **Every mistake is reported at once**, with its key path, its line and what to write instead
//!   ([`Problems`]); nothing half-understood ever runs.
//! - **No secret is in the file, and none is in a message.** Secrets come by `{env: …}` or
//!   `{file: …}` through an [`Environment`], and a text in their place is refused without being
//!   repeated.
//! - The types in `written` are the single source: the JSON Schema ([`schema`]) and the reference
//!   page ([`reference()`]) are generated from them.
//!
//! ```text
//!  texts ── parse ──► values ── overlay ──► written::Written ── resolve ──► Config + Findings
//!            │ faults            │ (sites: each over the rest)   │ problems
//!            └───────────────────┴──────────► Problems ◄─────────┘
//!                             each with the file and the line that `overlay` and `locate` find
//! ```

mod environment;
mod findings;
mod key_files;
mod list_files;
mod locate;
mod outline;
mod overlay;
mod parse;
mod problem;
mod reference;
mod resolve;
mod run;
mod scalar;
mod schema;
mod sites;
mod suggest;
mod system_files;
mod until;
mod written;

#[cfg(test)]
mod tests;

pub use environment::{Environment, SystemEnvironment, Unreadable};
pub use findings::Code;
pub use key_files::{KeyFiles, SigningKeyFiles, UnfitKeys};
pub use list_files::{ListChange, ListFiles};
pub use outline::Outline;
pub use problem::{Finding, KeyPath, Problem, Problems, Segment};
pub use reference::reference;
pub use resolve::is_key_name;
pub use run::{Config, Pages, SigningKeys};
pub use schema::schema;
pub use suggest::did_you_mean;
pub use system_files::SystemFiles;

use overlay::{Merged, Vain};
use problem::Fault;
use std::path::Path;

/// Reads the configuration files at `paths`, each over those before it.
///
/// # Errors
/// Every mistake in them, or the reason why one cannot be read.
pub fn load(paths: &[impl AsRef<Path>], environment: &dyn Environment) -> Result<Config, Problems> {
    let names: Vec<String> = paths.iter().map(|path| path.as_ref().display().to_string()).collect();
    let read: Vec<_> = paths.iter().map(|path| environment.file(path.as_ref())).collect();
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for (name, bytes) in names.iter().zip(&read) {
        let text = match bytes {
            Ok(bytes) => std::str::from_utf8(bytes).map_err(|_| Unreadable::NotText.to_string()),
            Err(cause) => Err(cause.to_string()),
        };
        match text {
            Ok(text) => files.push((name.as_str(), text)),
            Err(why) => unreadable.push(Problem::of_the_file(name, why)),
        }
    }
    if unreadable.is_empty() {
        return from_texts(&files, environment);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Err(Problems::new(&names, unreadable))
}

/// Reads a configuration from `text`; `name` is what messages call it.
///
/// # Errors
/// Every mistake in it.
pub fn from_text(name: &str, text: &str, environment: &dyn Environment) -> Result<Config, Problems> {
    from_texts(&[(name, text)], environment)
}

/// Reads a configuration from several texts with their names, each over those before it.
///
/// # Errors
/// Every mistake in them, those of their combination among them.
pub fn from_texts(files: &[(&str, &str)], environment: &dyn Environment) -> Result<Config, Problems> {
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let schema = schema();
    let (mut values, mut problems, mut excused, mut unread) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, (name, text)) in files.iter().enumerate() {
        unread.extend(once_more(files.get(..index).unwrap_or_default(), name, text));
        match parse::parse(name, text, schema) {
            Ok(parsed) => {
                values.push(parsed.read);
                problems.extend(parsed.faults.into_iter().map(|fault| in_file(name, text, fault)));
                excused.extend(parsed.excused);
            }
            Err(syntax) => unread.push(syntax),
        }
    }
    if !unread.is_empty() {
        return Err(Problems::new(&names, unread));
    }
    let Merged { value, origins, vain, taken } = Merged::of(values, schema);
    for Vain { file, fault } in vain {
        // Not what is empty because it was faulty.
        let is_new = !excused.iter().any(|faulty: &KeyPath| faulty.covers(&fault.path));
        problems.extend(files.get(file).filter(|_| is_new).map(|(name, text)| in_file(name, text, fault)));
    }
    let place = |path: &KeyPath| {
        // What is missing everywhere is missing in all of them.
        let file = if files.len() == 1 { Some(0) } else { origins.file_of(path) };
        let found = file.and_then(|file| files.get(file));
        found.map_or_else(|| (names.join(", "), None), |(name, text)| ((*name).to_owned(), locate::line_of(text, path)))
    };
    let outcome = if value.get("sites").is_some_and(|sites| !sites.is_null()) {
        sites::resolve(value, sites::Known { schema, excused, taken }, environment)
    } else if excused.iter().any(|faulty| faulty.is_key("sites")) {
        // What the rest is to be completed by is not known.
        Err(Vec::new())
    } else {
        let mut parsed = parse::written(value.clone());
        parsed.excused.extend(excused);
        resolve::resolve(parsed, environment).map(|config| Config { written: value, ..config })
    };
    match outcome {
        Ok(mut config) if problems.is_empty() => {
            let found = std::mem::take(&mut config.findings);
            (config.findings, config.accepted) = findings::apply(&config.acceptances, found);
            for finding in config.findings.iter_mut().chain(config.accepted.iter_mut().map(|(finding, _)| finding)) {
                (finding.file, finding.line) = place(&finding.path);
            }
            let position = |finding: &Finding| names.iter().position(|name| *name == finding.file);
            config.findings.sort_by_key(|finding| (position(finding), finding.line));
            config.accepted.sort_by_key(|(finding, _)| (position(finding), finding.line));
            Ok(config)
        }
        outcome => {
            problems.extend(outcome.err().unwrap_or_default().into_iter().map(|Fault { path, message }| {
                let (file, line) = place(&path);
                Problem { path, file, line, message }
            }));
            Err(Problems::new(&names, problems))
        }
    }
}

fn in_file(name: &str, text: &str, fault: Fault) -> Problem {
    let line = locate::line_of(text, &fault.path);
    Problem { path: fault.path, file: name.to_owned(), line, message: fault.message }
}

/// A file that is among those before it, by whatever name: over itself it changes nothing, so that
/// another was meant.
fn once_more(before: &[(&str, &str)], name: &str, text: &str) -> Option<Problem> {
    if before.iter().any(|(other, _)| Path::new(other) == Path::new(name)) {
        return Some(Problem::of_the_file(name, "is given twice; give each file once".to_owned()));
    }
    let (other, _) = before.iter().find(|(_, other)| !text.trim().is_empty() && *other == text)?;
    Some(Problem::of_the_file(name, format!("is {other} once more, word for word; give each file once")))
}
