//! oauth2-proxy's configuration file, in TOML.
//!
//! Called by `inputs`. The parser's own words are not printed: they may repeat what stands there.

use super::flags::{self, Kind};
use super::gathered::{Gathered, Layer, at_commas, is_name};
use toml::de::{DeTable, DeValue};

/// Reads a configuration file; `origin` is what messages call it.
pub(super) fn read(text: &str, origin: &str, out: &mut Gathered) {
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let what = if error.message().contains("duplicate key") {
                "a key is there twice; remove one of the two"
            } else {
                "is not TOML: look at this line; texts are in quotes, lists in [ ]"
            };
            out.mistake(&at_line(origin, text, error.span().map(|span| span.start)), what);
            return;
        }
    };
    // By place, not by name.
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let origin = at_line(origin, text, Some(key.span().start));
        let key: &str = key.get_ref();
        let flag = match flags::of_a_file(key) {
            Ok(flag) => flag,
            Err(says) if is_name(key) => {
                out.mistake(&origin, &format!("{key} {says}"));
                continue;
            }
            Err(_) => {
                out.mistake(&origin, "has a key that is no setting of oauth2-proxy");
                continue;
            }
        };
        match values(value.get_ref(), flag.kind) {
            Ok(values) => out.give(flag, Layer::File, &origin, Some(values)),
            Err(wanted) => {
                let found = kind(value.get_ref());
                out.mistake(&origin, &format!("{key} takes {wanted}, but this is {found}"));
            }
        }
    }
}

/// # Errors
/// What should stand there.
fn values(value: &DeValue<'_>, kind: Kind) -> Result<Vec<String>, &'static str> {
    let wanted = match kind {
        Kind::Switch(_) => "true or false",
        Kind::Text | Kind::Secret => "a text in quotes",
        Kind::List => "a list of texts, such as [\"a\", \"b\"]",
        Kind::Span => "a length of time in quotes with its unit, such as \"12h\"",
        Kind::Number => "a whole number",
    };
    match (kind, value) {
        (Kind::List, DeValue::String(text)) => Ok(at_commas(text)),
        (Kind::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err(wanted),
            })
            .collect(),
        (Kind::List, _) => Err(wanted),
        // Whatever is in quotes is read by the same rules as on a command line.
        (_, DeValue::String(text)) => Ok(vec![text.to_string()]),
        (Kind::Switch(_), DeValue::Boolean(on)) => Ok(vec![on.to_string()]),
        (Kind::Number, DeValue::Integer(number)) => Ok(vec![number.as_str().to_owned()]),
        _ => Err(wanted),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(items) if items.iter().all(|item| matches!(item.get_ref(), DeValue::String(_))) => "a list",
        DeValue::Array(_) => "a list of something else",
        DeValue::Table(_) => "a table",
    }
}

fn at_line(origin: &str, text: &str, offset: Option<usize>) -> String {
    let before = offset.and_then(|offset| text.get(..offset));
    before.map_or(origin.to_owned(), |before| format!("{origin}:{}", before.matches('\n').count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let mut out = Gathered::default();
        read(text, "f", &mut out);
        out.mistakes
    }

    #[test]
    fn values_are_read_and_their_lines_kept() {
        let mut out = Gathered::default();
        let text = "# a comment\ncookie_expire = \"12h\"\nEmail_Domains = \"a.fr, b.fr\"\nupstreams = [\n \"x\",\n 'y' ]\n\
                    reverse_proxy = true\ncookie_secure = \"false\"\nlogging_max_size = 5\n";
        read(text, "f", &mut out);
        let found: Vec<_> = out
            .given
            .iter()
            .map(|given| (given.origin.as_str(), given.name.as_str(), given.values.clone().unwrap().join("|")))
            .collect();
        let found: Vec<_> = found.iter().map(|(origin, name, values)| (*origin, *name, values.as_str())).collect();
        assert_eq!(
            found,
            [
                ("f:2", "cookie-expire", "12h"),
                ("f:3", "email-domain", "a.fr|b.fr"),
                ("f:4", "upstream", "x|y"),
                ("f:7", "reverse-proxy", "true"),
                ("f:8", "cookie-secure", "false"),
                ("f:9", "logging-max-size", "5"),
            ]
        );
        assert!(out.mistakes.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_never_repeated() {
        for (text, says) in [
            ("a = \n", "f:1: is not TOML: look at this line; texts are in quotes, lists in [ ]"),
            ("\nclient_secret = hunter2\n", "f:2: is not TOML: look at this line; texts are in quotes, lists in [ ]"),
            ("client_id = \"a\"\nclient_id = \"b\"\n", "f:2: a key is there twice; remove one of the two"),
            ("reverse_proxy = [true]", "f:1: reverse_proxy takes true or false, but this is a list of something else"),
            ("reverse_proxy = 1", "f:1: reverse_proxy takes true or false, but this is a number"),
            ("client_secret = [\"hunter2\"]", "f:1: client_secret takes a text in quotes, but this is a list"),
            (
                "upstreams = true",
                "f:1: upstreams takes a list of texts, such as [\"a\", \"b\"], but this is true or false",
            ),
            (
                "cookie_expire = 3600",
                "f:1: cookie_expire takes a length of time in quotes with its unit, such as \"12h\", but this is a number",
            ),
            ("client_id = 2026-11-21", "f:1: client_id takes a text in quotes, but this is a date"),
            ("[client_id]\nx = 1", "f:1: client_id takes a text in quotes, but this is a table"),
            ("\"hunter2 = x\" = 1", "f:1: has a key that is no setting of oauth2-proxy"),
        ] {
            assert_eq!(mistakes(text), [says], "{text}");
        }
    }
}
