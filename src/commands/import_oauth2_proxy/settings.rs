//! What counts of all that was given, asked for flag by flag.
//!
//! Made of what was gathered, asked by the translation. The command line comes before the
//! environment, and that before files. Values are checked for what their flag takes; those of
//! secrets are never handed out.

use super::alpha::Alpha;
use super::flags::{FLAGS, Flag, Kind};
use super::gathered::{Elsewhere, Gathered, Given, Layer, is_one_line};
use crate::commands::import::placeholder::{Forms, Parts};
use std::collections::BTreeMap;
use std::time::Duration;

/// The settings of one oauth2-proxy.
#[derive(Default)]
pub(super) struct Settings {
    chosen: BTreeMap<&'static str, Given>,
    variables: BTreeMap<String, String>,
    pub(super) alpha: Option<Alpha>,
    inputs: Vec<String>,
    elsewhere: Vec<Elsewhere>,
    pub(super) mistakes: Vec<String>,
}

/// A text that is no secret.
#[derive(Clone)]
pub(super) struct Text {
    /// What it is called in comments.
    pub(super) name: String,
    /// Where it was given.
    pub(super) origin: String,
    /// What it says; none where only somebody else knows.
    pub(super) value: Option<String>,
    /// The variables that it depends on.
    pub(super) variables: Vec<String>,
}

/// Where a secret is.
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) origin: String,
    /// The variable that holds it, if one does.
    pub(super) variable: Option<String>,
}

impl Settings {
    pub(super) fn of(gathered: Gathered) -> Self {
        let Gathered { given, alpha, variables, inputs, elsewhere, mistakes } = gathered;
        let chosen = BTreeMap::new();
        let mut settings = Self { chosen, variables, alpha, inputs, elsewhere, mistakes };
        for flag in FLAGS {
            let of_flag: Vec<&Given> = given.iter().filter(|given| given.flag.name == flag.name).collect();
            if let Some(given) = settings.choose(flag, &of_flag) {
                settings.check(&given);
                settings.chosen.insert(flag.name, given);
            }
        }
        settings
    }

    fn mistake(&mut self, given: &Given, says: &str) {
        let name = if given.layer == Layer::CommandLine { format!("--{}", given.name) } else { given.name.clone() };
        let mistake = format!("{}: {name}: {says}", given.origin);
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    fn choose(&mut self, flag: &Flag, given: &[&Given]) -> Option<Given> {
        let last = given.iter().max_by_key(|given| given.layer)?;
        let first = given.iter().find(|given| given.layer == last.layer)?;
        let mut chosen = (*first).clone();
        for other in given.iter().filter(|other| other.layer == last.layer).skip(1) {
            if flag.is_list() && last.layer == Layer::CommandLine && chosen.origin == other.origin {
                chosen.values = chosen.values.zip(other.values.clone()).map(|(mut all, more)| {
                    all.extend(more);
                    all
                });
            } else {
                let says = format!("is given a second time; it was given in {} before", first.origin);
                self.mistake(other, &says);
            }
        }
        if given.iter().any(|other| other.layer == Layer::File || other.layer == Layer::CommandLine)
            && let Some(alpha) = given.iter().find(|other| other.layer == Layer::Alpha)
        {
            self.mistake(alpha, "is a flag too, and oauth2-proxy does not start with both; remove one of the two");
        }
        Some(chosen)
    }

    fn check(&mut self, given: &Given) {
        let kind = given.flag.kind;
        for value in given.values.iter().flatten() {
            if kind != Kind::Secret && !is_one_line(value) {
                self.mistake(given, "holds a line break or a control character");
                return;
            }
        }
        let Some([value]) = given.values.as_deref() else { return };
        if value.is_empty() {
            return;
        }
        let wanted = match kind {
            Kind::Switch(_) => "true or false",
            Kind::Span => "a length of time with its unit, such as 12h or 1h30m",
            Kind::Number => "a whole number",
            Kind::Text | Kind::List | Kind::Secret => return,
        };
        let text = self.filled_in(given.layer, value).0;
        let good = text.as_deref().is_some_and(|text| match kind {
            Kind::Switch(_) => switch(text).is_some(),
            Kind::Span => span(text).is_some(),
            _ => text.parse::<i64>().is_ok(),
        });
        match text {
            Some(_) if good => {}
            Some(_) => self.mistake(given, &format!("takes {wanted}")),
            None => self.mistake(given, &format!("depends on a variable that is not known; write {wanted}")),
        }
    }

    /// A value with its variables filled in, as far as the inputs say what they hold; and those that
    /// they do not.
    fn filled_in(&self, layer: Layer, value: &str) -> (Option<String>, Vec<String>) {
        if layer == Layer::File {
            return (Some(value.to_owned()), Vec::new());
        }
        // What is not understood stands for itself.
        let Some(parts) = Parts::of(value, Forms::All) else { return (Some(value.to_owned()), Vec::new()) };
        let unknown = |name: &String| !self.variables.contains_key(name);
        (parts.text(|name| self.variables.get(name).cloned()), parts.variables().into_iter().filter(unknown).collect())
    }

    fn ask(&self, name: &str) -> Option<Given> {
        debug_assert!(super::flags::named(name).is_some(), "{name} is no flag");
        self.chosen.get(name).cloned()
    }

    /// Whether it is given, and what it is called.
    pub(super) fn given(&self, name: &str) -> Option<Given> {
        self.ask(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<Text> {
        let given = self.ask(name).filter(|given| given.flag.kind != Kind::Secret)?;
        let text =
            |value, variables| Some(Text { name: given.name.clone(), origin: given.origin.clone(), value, variables });
        let Some(values) = &given.values else { return text(None, vec![given.flag.variable()]) };
        let (value, variables) = self.filled_in(given.layer, values.first()?);
        let is_empty = value.as_deref().is_some_and(|value| value.trim().is_empty());
        if is_empty { None } else { text(value.map(|value| value.trim().to_owned()), variables) }
    }

    pub(super) fn list(&self, name: &str) -> Vec<Text> {
        let Some(given) = self.ask(name) else { return Vec::new() };
        let text = |value, variables| Text { name: given.name.clone(), origin: given.origin.clone(), value, variables };
        let Some(values) = &given.values else { return vec![text(None, vec![given.flag.variable()])] };
        let texts = values.iter().map(|value| {
            let (value, variables) = self.filled_in(given.layer, value);
            text(value.map(|value| value.trim().to_owned()), variables)
        });
        texts.filter(|text| text.value.as_deref() != Some("")).collect()
    }

    pub(super) fn switch(&self, name: &str) -> bool {
        let given = self.ask(name);
        let default = matches!(super::flags::named(name).map(|flag| flag.kind), Some(Kind::Switch(true)));
        given.and_then(|given| self.value(&given).and_then(|text| switch(&text))).unwrap_or(default)
    }

    pub(super) fn span(&self, name: &str) -> Option<Duration> {
        let given = self.ask(name)?;
        self.value(&given).and_then(|text| span(&text))
    }

    fn value(&self, given: &Given) -> Option<String> {
        self.filled_in(given.layer, given.values.as_ref()?.first()?).0
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        let given = self.ask(name)?;
        let is_empty = given.values.as_ref().is_some_and(|values| values.iter().all(String::is_empty));
        let of_its_own = (given.layer == Layer::Environment).then(|| given.flag.variable());
        let variable = given.values.as_ref().and_then(|values| {
            let parts = Parts::of(values.first()?, Forms::All).filter(|_| given.layer != Layer::File)?;
            parts.only_variable().map(str::to_owned)
        });
        let secret = Secret { name: given.name, origin: given.origin, variable: of_its_own.or(variable) };
        (!is_empty).then_some(secret)
    }

    /// A secret that is a URL: with its variables filled in, for what in it is none.
    pub(super) fn secret_url(&self, name: &str) -> Option<String> {
        let given = self.ask(name)?;
        self.value(&given)
    }

    /// Settings that were referred to and are not among the inputs: where, and by what.
    pub(super) fn unread(&self) -> Vec<(String, String)> {
        let mut unread: Vec<(String, String)> = Vec::new();
        let mut look = |inputs: &[String], origin: &str, name: &str, path: Option<&str>| {
            let file = path.and_then(|path| path.rsplit('/').next());
            if !file.is_some_and(|file| inputs.iter().any(|input| input == file)) {
                unread.push((origin.to_owned(), name.to_owned()));
            }
        };
        for name in ["config", "alpha-config"] {
            if let Some(text) = self.text(name) {
                look(&self.inputs, &text.origin, &text.name, text.value.as_deref());
            }
        }
        for Elsewhere { origin, key, path } in &self.elsewhere {
            look(&self.inputs, origin, key, path.as_deref());
        }
        unread
    }

    /// Everything that is given.
    pub(super) fn all(&self) -> Vec<Given> {
        self.chosen.values().cloned().collect()
    }

    /// Whether a switch that is given is not as it is by default, or is no switch.
    pub(super) fn is_unusual(&self, given: &Given) -> bool {
        match given.flag.kind {
            Kind::Switch(default) => self.value(given).and_then(|text| switch(&text)) != Some(default),
            _ => given.values.as_ref().is_none_or(|values| values.iter().any(|value| !value.is_empty())),
        }
    }
}

/// A switch, in the words that Go takes.
fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A length of time in Go's form; negative ones are none.
pub(super) fn span(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(end)?;
        let (unit, length) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        seconds += number.parse::<f64>().ok()? * length;
        rest = behind.strip_prefix(unit)?;
    }
    let length = Duration::try_from_secs_f64(seconds).ok()?;
    (!text.is_empty()).then_some(length)
}

/// A length of time as our configuration has it, in the largest unit that divides it.
pub(super) fn written(length: Duration) -> String {
    let milliseconds = length.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let (unit, name) = units.into_iter().find(|(unit, _)| milliseconds.is_multiple_of(*unit)).unwrap_or((1, "ms"));
    format!("{}{name}", milliseconds / unit)
}

#[cfg(test)]
mod tests {
    use super::super::flags::named;
    use super::*;

    #[test]
    fn lengths_of_time_are_those_of_go() {
        for (text, expected) in [
            ("168h", Some("168h")),
            ("1h30m", Some("90m")),
            ("1.5h", Some("90m")),
            ("0", Some("0h")),
            ("0s", Some("0h")),
            ("250ms", Some("250ms")),
            ("90s", Some("90s")),
            ("", None),
            ("12", None),
            ("12d", None),
            ("-1h", None),
            ("h", None),
            ("1e400h", None),
        ] {
            assert_eq!(span(text).map(written).as_deref(), expected, "{text}");
        }
    }

    fn gathered(given: &[(&str, Layer, &str)]) -> Settings {
        let mut out = Gathered::default();
        for (name, layer, value) in given {
            out.give(named(name).unwrap(), *layer, &format!("{layer:?}"), Some(vec![(*value).to_owned()]));
        }
        out.variables.insert("KNOWN".to_owned(), "known".to_owned());
        Settings::of(out)
    }

    #[test]
    fn the_command_line_comes_before_the_environment_and_that_before_files() {
        let settings = gathered(&[
            ("client-id", Layer::CommandLine, "flag"),
            ("client-id", Layer::File, "file"),
            ("client-id", Layer::Environment, "env"),
            ("scope", Layer::File, "file"),
            ("scope", Layer::Environment, "env"),
            ("email-domain", Layer::CommandLine, "a"),
            ("email-domain", Layer::CommandLine, "b"),
            ("email-domain", Layer::File, "*"),
        ]);
        assert_eq!(settings.text("client-id").unwrap().value.as_deref(), Some("flag"));
        assert_eq!(settings.text("scope").unwrap().value.as_deref(), Some("env"));
        let domains: Vec<_> = settings.list("email-domain").into_iter().filter_map(|text| text.value).collect();
        assert_eq!(domains, ["a", "b"]);
        assert!(settings.mistakes.is_empty());
    }

    #[test]
    fn what_is_given_twice_in_one_place_or_is_no_such_value_is_a_mistake() {
        for (given, says) in [
            (
                vec![("client-id", Layer::File, "a"), ("client-id", Layer::File, "b")],
                "File: client-id: is given a second time; it was given in File before",
            ),
            (
                vec![("client-id", Layer::Alpha, "a"), ("client-id", Layer::CommandLine, "b")],
                "Alpha: client-id: is a flag too, and oauth2-proxy does not start with both; remove one of the two",
            ),
            (vec![("reverse-proxy", Layer::Environment, "hunter2")], "Environment: reverse-proxy: takes true or false"),
            (
                vec![("cookie-expire", Layer::CommandLine, "12")],
                "CommandLine: --cookie-expire: takes a length of time with its unit, such as 12h or 1h30m",
            ),
            (vec![("logging-max-age", Layer::File, "x")], "File: logging-max-age: takes a whole number"),
            (
                vec![("cookie-secure", Layer::Environment, "$UNKNOWN")],
                "Environment: cookie-secure: depends on a variable that is not known; write true or false",
            ),
            (vec![("scope", Layer::File, "a\nb")], "File: scope: holds a line break or a control character"),
        ] {
            assert_eq!(gathered(&given).mistakes, [says]);
        }
    }

    #[test]
    fn a_secret_is_handed_out_as_the_place_where_it_is() {
        for (layer, value, expected) in [
            (Layer::File, "hunter2", None),
            (Layer::File, "$NAME", None),
            (Layer::CommandLine, "$(NAME)", Some("NAME")),
            (Layer::CommandLine, "${NAME}", Some("NAME")),
            (Layer::CommandLine, "x$NAME", None),
            (Layer::Alpha, "${NAME:-hunter2}", Some("NAME")),
            (Layer::Environment, "hunter2", Some("OAUTH2_PROXY_CLIENT_SECRET")),
        ] {
            let settings = gathered(&[("client-secret", layer, value)]);
            assert_eq!(settings.secret("client-secret").unwrap().variable.as_deref(), expected, "{layer:?} {value}");
            assert!(settings.text("client-secret").is_none());
        }
    }

    #[test]
    fn texts_have_the_variables_that_the_inputs_know() {
        for (value, expected, variables) in [
            ("$KNOWN/x", Some("known/x"), vec![]),
            ("$UNKNOWN/x", None, vec!["UNKNOWN"]),
            ("${UNKNOWN:-d}", Some("d"), vec!["UNKNOWN"]),
            ("$(cat /f)", None, vec![]),
        ] {
            let text = gathered(&[("client-id", Layer::CommandLine, value)]).text("client-id").unwrap();
            assert_eq!(
                (text.value.as_deref(), text.variables),
                (expected, variables.into_iter().map(str::to_owned).collect())
            );
        }
    }
}
