//! An environment in a file: `NAME=value` lines, as Docker, systemd and Compose read them.
//!
//! Called by `inputs`. No line is repeated in a message: it may be a secret's.

use super::gathered::Gathered;
use std::collections::BTreeSet;

/// Reads an environment; `origin` is what messages call it.
pub(super) fn read(text: &str, origin: &str, out: &mut Gathered) {
    let mut seen = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let origin = format!("{origin}:{}", index + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = assignment(line) else {
            out.mistake(&origin, "is not a line NAME=value");
            continue;
        };
        if !seen.insert(name) {
            out.mistake(&origin, &format!("{name} is there twice; remove one of the two"));
            continue;
        }
        match unquoted(value) {
            Some(value) => out.variable(&origin, name, Some(value)),
            None => out.mistake(&origin, &format!("{name} begins with a quote that is not closed on its line")),
        }
    }
}

/// Name and value of a line that sets a variable.
pub(super) fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_variable = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(plain);
    is_variable.then_some((name, value))
}

/// A value without its quotes; without a comment behind it where it has none.
fn unquoted(value: &str) -> Option<String> {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote) {
            return inside.split_once(quote).map(|(inside, _)| inside.to_owned());
        }
    }
    Some(value.split(" #").next().unwrap_or(value).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_others_read_them() {
        let mut out = Gathered::default();
        let text = "# c\n\nexport OAUTH2_PROXY_CLIENT_ID=a b # c\nOAUTH2_PROXY_EMAIL_DOMAINS='a.fr,b.fr'\r\nOTHER=\"x # y\"\nOAUTH2_PROXY_SCOPE=\n";
        read(text, "f", &mut out);
        let found: Vec<_> =
            out.given.iter().map(|given| (given.name.as_str(), given.values.clone().unwrap())).collect();
        assert_eq!(
            found,
            [("client-id", vec!["a b".to_owned()]), ("email-domain", vec!["a.fr".to_owned(), "b.fr".to_owned()])]
        );
        assert_eq!(out.variables.get("OTHER").map(String::as_str), Some("x # y"));
        assert!(out.mistakes.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_never_repeated() {
        for (text, says) in [
            ("\nhunter2", "f:2: is not a line NAME=value"),
            ("hun ter2=x", "f:1: is not a line NAME=value"),
            ("A=1\nA=2", "f:2: A is there twice; remove one of the two"),
            ("A='hunter2", "f:1: A begins with a quote that is not closed on its line"),
            (
                "OAUTH2_PROXY_EMAIL_DOMAIN=*",
                "f:1: OAUTH2_PROXY_EMAIL_DOMAIN is not read by oauth2-proxy, which has OAUTH2_PROXY_EMAIL_DOMAINS for it; write that or remove it",
            ),
        ] {
            let mut out = Gathered::default();
            read(text, "f", &mut out);
            assert_eq!(out.mistakes, [says], "{text}");
        }
    }
}
