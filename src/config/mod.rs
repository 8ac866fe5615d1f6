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
//!  text ── parse ──► written::Written ── resolve ──► Config + Findings
//!            │ faults                       │ problems
//!            └──────────► Problems ◄────────┘   each with the line that `locate` finds
//! ```

mod environment;
mod key_files;
mod locate;
mod parse;
mod problem;
mod reference;
mod resolve;
mod run;
mod scalar;
mod schema;
mod suggest;
mod system_files;
mod until;
mod written;

#[cfg(test)]
mod tests;

pub use environment::{Environment, SystemEnvironment, Unreadable};
pub use key_files::{KeyFiles, UnfitKeys};
pub use problem::{Finding, KeyPath, Problem, Problems, Segment};
pub use reference::reference;
pub use resolve::is_key_name;
pub use run::{Config, Pages};
pub use schema::schema;
pub use suggest::did_you_mean;
pub use system_files::SystemFiles;

use std::path::Path;

/// Reads the configuration file at `path`.
///
/// # Errors
/// Every mistake in it, or the reason why it cannot be read.
pub fn load(path: &Path, environment: &dyn Environment) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let unreadable = |why: String| Problems::new(&name, vec![Problem::of_the_file(why)]);
    let bytes = environment.file(path).map_err(|cause| unreadable(cause.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable("is not UTF-8 text".to_owned()))?;
    from_text(&name, text, environment)
}

/// Reads a configuration from `text`; `name` is what messages call it.
///
/// # Errors
/// Every mistake in it.
pub fn from_text(name: &str, text: &str, environment: &dyn Environment) -> Result<Config, Problems> {
    let parsed = parse::parse(text).map_err(|syntax| Problems::new(name, vec![syntax]))?;
    resolve::resolve(parsed, environment)
        .map_err(|faults| {
            let located = faults.into_iter().map(|fault| {
                let line = locate::line_of(text, &fault.path);
                Problem { path: fault.path, line, message: fault.message }
            });
            Problems::new(name, located.collect())
        })
        .map(|mut config| {
            for finding in &mut config.findings {
                finding.line = locate::line_of(text, &finding.path);
            }
            config.findings.sort_by_key(|finding| finding.line);
            config
        })
}
