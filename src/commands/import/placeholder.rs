//! Variables in a text: `${NAME}` and its kin, taken apart.
//!
//! Asked by the importers. What a variable holds is not asked of this process: the files say what it
//! holds, or it stays unknown. Must never be given back as a text with a variable's value in it
//! where that may be a secret; the callers see to it.

/// How variables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Forms {
    /// `${NAME}` and `${NAME:-default}`; anything else behind `${` is a mistake.
    Braces,
    /// These, `$NAME`, Kubernetes' `$(NAME)`, and `$(a command)`, of which nobody knows what it says.
    All,
}

/// A text as it is written, taken apart at its placeholders.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Parts<'a>(Vec<Part<'a>>);

#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Plain(&'a str),
    Variable { name: &'a str, default: Option<&'a str> },
    Command,
}

impl<'a> Parts<'a> {
    /// Takes a text apart; none where a placeholder in it is not understood.
    pub(in crate::commands) fn of(text: &'a str, forms: Forms) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut from = 0;
        while let Some(at) = rest.get(from..).and_then(|rest| rest.find('$')).map(|at| at + from) {
            let (before, after) = rest.split_at(at);
            let Some((part, behind)) = placeholder(after, forms)? else {
                // A dollar that is one: behind a regular expression, say.
                from = at + 1;
                continue;
            };
            if !before.is_empty() {
                parts.push(Part::Plain(before));
            }
            parts.push(part);
            (rest, from) = (behind, 0);
        }
        if !rest.is_empty() {
            parts.push(Part::Plain(rest));
        }
        Some(Self(parts))
    }

    /// The variable that alone makes it up, if one does.
    pub(in crate::commands) fn only_variable(&self) -> Option<&'a str> {
        match self.0.as_slice() {
            [Part::Variable { name, .. }] => Some(name),
            _ => None,
        }
    }

    /// The text, with what `known` says of variables, or else their defaults; none where there is
    /// neither for one.
    pub(in crate::commands) fn text(&self, known: impl Fn(&str) -> Option<String>) -> Option<String> {
        let texts = self.0.iter().map(|part| match *part {
            Part::Plain(text) => Some(text.to_owned()),
            Part::Variable { name, default } => known(name).or_else(|| default.map(str::to_owned)),
            Part::Command => None,
        });
        texts.collect()
    }

    /// The names of its variables.
    pub(in crate::commands) fn variables(&self) -> Vec<String> {
        let names = self.0.iter().filter_map(|part| match part {
            Part::Variable { name, .. } => Some((*name).to_owned()),
            Part::Plain(_) | Part::Command => None,
        });
        names.collect()
    }
}

/// What begins with this dollar, and what is behind it; none where the dollar is one.
#[expect(clippy::option_option, reason = "not understood, no placeholder, a placeholder")]
fn placeholder(text: &str, forms: Forms) -> Option<Option<(Part<'_>, &str)>> {
    let after = text.strip_prefix('$').unwrap_or(text);
    if let Some(inside) = after.strip_prefix('{') {
        let (inside, behind) = inside.split_once('}')?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        return is_variable(name).then_some(Some((Part::Variable { name, default }, behind)));
    }
    if forms == Forms::Braces {
        return Some(None);
    }
    if let Some(inside) = after.strip_prefix('(') {
        // The end of a regular expression's group is no command: `$)` has no name before it.
        let Some((inside, behind)) = inside.split_once(')') else { return Some(None) };
        let part = if is_variable(inside) { Part::Variable { name: inside, default: None } } else { Part::Command };
        return Some(Some((part, behind)));
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    let (name, behind) = after.split_at(end);
    Some(is_variable(name).then_some((Part::Variable { name, default: None }, behind)))
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_dollars() {
        let known = |name: &str| (name == "A").then(|| "a".to_owned());
        for (text, braces, all) in [
            ("plain", Some(Some("plain")), Some(Some("plain"))),
            ("x${A}y", Some(Some("xay")), Some(Some("xay"))),
            ("${B:-b}", Some(Some("b")), Some(Some("b"))),
            ("${B}", Some(None), Some(None)),
            ("${", None, None),
            ("${A B}", None, None),
            ("$A/", Some(Some("$A/")), Some(Some("a/"))),
            ("$(A)", Some(Some("$(A)")), Some(Some("a"))),
            ("$(cat /run/secret)", Some(Some("$(cat /run/secret)")), Some(None)),
            ("^/x$", Some(Some("^/x$")), Some(Some("^/x$"))),
            ("^/(a|b$)|c$", Some(Some("^/(a|b$)|c$")), Some(Some("^/(a|b$)|c$"))),
        ] {
            for (forms, expected) in [(Forms::Braces, braces), (Forms::All, all)] {
                let found = Parts::of(text, forms).map(|parts| parts.text(known));
                assert_eq!(found, expected.map(|text| text.map(str::to_owned)), "{text} {forms:?}");
            }
        }
    }
}
