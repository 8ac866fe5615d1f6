//! What a command prints, and how: text for people and JSON for programs, on standard output; what is said beside it,
//! on standard error.
//!
//! Called by every command. What was to be printed and could not be is a failure, a full disk for one; that nobody
//! reads on is none, since `… | head` has had what it wanted. Must never print to a terminal what would move its
//! cursor or turn its lines around ([`plain`]): it comes from browsers and from a provider.

use super::Failure;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write};

/// Puts text on standard output.
///
/// # Errors
/// When it takes no more.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    put(text).map(|_| ())
}

/// The same with the end of a line.
///
/// # Errors
/// As [`print`].
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// The same as [`print`] for what goes on for ever: whether anybody reads on.
///
/// # Errors
/// As [`print`].
pub(super) fn put(text: &str) -> Result<bool, Failure> {
    put_into(&mut std::io::stdout().lock(), text)
}

fn put_into(out: &mut impl Write, text: &str) -> Result<bool, Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("standard output: {error}; what was printed is not whole").into()),
    }
}

/// Says something beside what is printed; where nobody can hear it, nothing is lost.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What a terminal would obey.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// JSON in lines. What a terminal would obey is written as `\u…`, which says the same to a program.
///
/// # Errors
/// When it is none.
pub(super) fn json(value: &impl Serialize) -> Result<String, Failure> {
    // Of its own JSON has line feeds alone that are obeyed, and no value has one as it is.
    let mut json = String::new();
    for c in serde_json::to_string_pretty(value)?.chars() {
        if is_obeyed(c) && c != '\n' {
            let _ = write!(json, "\\u{:04x}", u32::from(c));
        } else {
            json.push(c);
        }
    }
    Ok(json)
}

/// Rows of as many cells each, in columns; the first row says what they are.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn json_says_what_moves_a_cursor_and_does_not_do_it() {
        let value = serde_json::json!({"sub": "a\u{9b}2J\u{202e}b\u{7f}\u{61c}\n\u{1b}[2J\\", "é": ["😀", 1]});
        let shown = json(&value).unwrap();
        assert!(!shown.chars().any(|c| is_obeyed(c) && c != '\n'), "{shown}");
        assert!(shown.contains("a\\u009b2J\\u202eb\\u007f\\u061c\\n\\u001b[2J\\\\"), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }

    struct Out(ErrorKind);

    impl Write for Out {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_reads_no_further_has_had_enough_and_a_full_disk_is_a_failure() {
        assert!(put_into(&mut Vec::new(), "x").unwrap());
        assert!(!put_into(&mut Out(ErrorKind::BrokenPipe), "x").unwrap());
        let full = put_into(&mut Out(ErrorKind::StorageFull), "x").unwrap_err().to_string();
        assert!(full.contains("standard output"), "{full}");
    }
}
