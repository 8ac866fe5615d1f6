//! Tables as text (RFC 4180), for spreadsheets.
//!
//! Called by `exports`. A spreadsheet takes a cell that begins like a formula for one, whoever wrote it: such
//! a cell gets an apostrophe in front, and so does what a program would strip before it looks. Must never let
//! a cell reach into the next.

/// A line of these cells, with its end.
pub(super) fn line<'c>(cells: impl IntoIterator<Item = &'c str>) -> String {
    let mut line = String::new();
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        let harmless = harmless(cell);
        if harmless.contains([',', '"', '\n', '\r']) || harmless != harmless.trim() {
            line.push('"');
            line.push_str(&harmless.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&harmless);
        }
    }
    line.push_str("\r\n");
    line
}

/// The same, and no formula.
fn harmless(cell: &str) -> String {
    let first = cell.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0').chars().next();
    let is_formula = first.is_some_and(|c| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'))
        || cell.starts_with(['\t', '\r', '\n']);
    if is_formula { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_reaches_into_the_next() {
        for (cell, expected) in [
            ("Lycée", "Lycée"),
            ("", ""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+33 1 23", "'+33 1 23"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("  =1", "'  =1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("a\nb", "\"a\nb\""),
            ("\r=1", "\"'\r=1\""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a=b", "a=b"),
            ("ends ", "\"ends \""),
        ] {
            assert_eq!(line([cell, "x"]), format!("{expected},x\r\n"), "{cell:?}");
        }
    }
}
