//! `vestibule import albert`: the sign-in settings of an Albert API, as a configuration of ours.
//!
//! Called by `commands`. The configuration goes to standard output, what is left to do and what was
//! not taken over to standard error. Must never print a secret: `found` hands out where secrets
//! stand and not what they are, and no message repeats a value.

mod found;
mod registration;
mod translate;

use super::{Failure, import};
use found::Source;
use std::path::Path;

pub(super) fn import(path: &Path) -> Result<(), Failure> {
    let name = path.display();
    let text = import::read(path)?;
    let mut source = Source::parse(&text).map_err(|says| format!("{name}: {says}"))?;
    let (configuration, notes) = translate::translate(&mut source);
    let of_the_file =
        |texts: Vec<String>| -> Vec<String> { texts.iter().map(|text| format!("{name}: {text}")).collect() };
    import::show(&of_the_file(source.mistakes), &configuration, &of_the_file(notes))
}
