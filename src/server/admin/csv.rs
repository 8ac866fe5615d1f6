//! Tables as text (RFC 4180), for spreadsheets.
//!
//! Called by `exports`. A spreadsheet takes a cell that begins like a formula for one, whoever wrote it: such
//! a cell gets an apostrophe in front, and so does what a program would strip before it looks. Where a semicolon
//! parts the cells of a table, as French spreadsheets have it, or a tab, a cell of ours is several, and a line within
//! it ends a line: what is behind one begins a cell. Must never let a cell reach into the next.

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

/// The same, and no formula, wherever a spreadsheet parts it.
fn harmless(cell: &str) -> String {
    let mut harmless = String::with_capacity(cell.len());
    if cell.starts_with(['\t', '\r', '\n']) {
        harmless.push('\'');
    }
    for part in cell.split_inclusive([';', '\t', '\r', '\n']) {
        if is_formula(part) {
            harmless.push('\'');
        }
        harmless.push_str(part);
    }
    harmless
}

/// Whether it is one behind what a program would strip: blanks, and the quotes of a cell.
fn is_formula(part: &str) -> bool {
    let begins = part.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\0' | '"'));
    begins.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
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
            ("\t=1", "'\t'=1"),
            ("  =1", "'  =1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("a\nb", "\"a\nb\""),
            ("\r=1", "\"'\r'=1\""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a=b", "a=b"),
            ("x;=HYPERLINK(1)", "x;'=HYPERLINK(1)"),
            ("x; \"=1", "\"x;' \"\"=1\""),
            ("x\t@SUM(A1)", "x\t'@SUM(A1)"),
            ("x\n-1;+2", "\"x\n'-1;'+2\""),
            ("x;y\tz", "x;y\tz"),
            ("ends ", "\"ends \""),
        ] {
            assert_eq!(line([cell, "x"]), format!("{expected},x\r\n"), "{cell:?}");
        }
    }
}
