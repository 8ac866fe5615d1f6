//! What oauth2-proxy calls its settings: every flag of version 7.15 by name, and what becomes of it.
//!
//! Asked by the readers of files, which find a flag by one of its three spellings (`cookie-domain`,
//! `cookie_domains`, `OAUTH2_PROXY_COOKIE_DOMAINS`), and by `translate`, which says of each flag that
//! is set where it went. A flag that is not here is a mistake: it is never passed over in silence.

mod table;

use vestibule::config::did_you_mean;

pub(super) use table::FLAGS;

/// A flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// As it is on a command line, without its hyphens in front.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) verdict: Verdict,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// On or off, with what it is by default.
    Switch(bool),
    Text,
    /// Texts, separated by commas or given several times.
    List,
    /// A length of time in Go's form: `168h`, `1h30m`.
    Span,
    Number,
    /// A text that is never repeated.
    Secret,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A key of the configuration, or a reason of its own: the translation reads it.
    Read,
    /// No key, because it is always so here, or is not needed here.
    NotNeeded(&'static str),
    /// Nothing here does it.
    Nothing(&'static str),
    /// It takes a protection away.
    Unsafe(&'static str),
}

impl Flag {
    pub(super) fn is_list(&self) -> bool {
        self.kind == Kind::List
    }

    /// Its name in a configuration file: lists have the plural, mostly.
    pub(super) fn in_a_file(&self) -> String {
        let name = self.name.replace('-', "_");
        let stays = self.kind != Kind::List || name.ends_with('s') || name == "skip_auth_regex";
        if stays { name } else { format!("{name}s") }
    }

    /// The variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.in_a_file().to_ascii_uppercase())
    }
}

/// What the names of its variables begin with.
pub(super) const PREFIX: &str = "OAUTH2_PROXY_";

/// A flag by its name on the command line.
pub(super) fn named(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// A flag by its name in a configuration file, where capitals do not count.
///
/// # Errors
/// What may have been meant.
pub(super) fn of_a_file(key: &str) -> Result<&'static Flag, String> {
    let key = key.to_ascii_lowercase();
    // An older spelling that it still takes.
    let key = if key == "google_group" { "google_groups" } else { &key };
    if let Some(flag) = FLAGS.iter().find(|flag| !ACTIONS.contains(&flag.name) && flag.in_a_file() == key) {
        return Ok(flag);
    }
    let as_a_flag = key.replace('_', "-");
    Err(match named(&as_a_flag) {
        Some(flag) if ACTIONS.contains(&flag.name) => "can be given on the command line only".to_owned(),
        Some(flag) => format!("is what the flag is called; here its name is {:?}", flag.in_a_file()),
        None => {
            let known: Vec<String> = FLAGS.iter().map(Flag::in_a_file).collect();
            format!("is no setting of oauth2-proxy 7.15{}", did_you_mean(key, known.iter().map(String::as_str)))
        }
    })
}

/// A flag by its variable.
///
/// # Errors
/// What may have been meant.
pub(super) fn of_a_variable(name: &str) -> Result<&'static Flag, String> {
    if name == "OAUTH2_PROXY_GOOGLE_GROUP" {
        return named("google-group").ok_or_else(String::new);
    }
    if let Some(flag) = FLAGS.iter().find(|flag| !ACTIONS.contains(&flag.name) && flag.variable() == name) {
        return Ok(flag);
    }
    let as_a_flag = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase().replace('_', "-");
    Err(match named(&as_a_flag) {
        Some(flag) if ACTIONS.contains(&flag.name) => {
            "is not read by oauth2-proxy: it can be given on the command line only".to_owned()
        }
        Some(flag) => {
            format!("is not read by oauth2-proxy, which has {} for it; write that or remove it", flag.variable())
        }
        None => {
            let known: Vec<String> = FLAGS.iter().map(Flag::variable).collect();
            format!("is no variable of oauth2-proxy 7.15{}", did_you_mean(name, known.iter().map(String::as_str)))
        }
    })
}

/// A flag as it is on a command line.
///
/// # Errors
/// What may have been meant.
pub(super) fn of_a_command_line(name: &str) -> Result<&'static Flag, String> {
    named(name).ok_or_else(|| {
        let hint = did_you_mean(name, FLAGS.iter().map(|flag| flag.name));
        format!("is no flag of oauth2-proxy 7.15{hint}")
    })
}

/// Flags that are on the command line alone.
pub(super) const ACTIONS: [&str; 5] = ["alpha-config", "config", "config-test", "convert-config-to-alpha", "version"];

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../../tests/import/oauth2-proxy/flags-7.15.txt");

    #[test]
    fn the_table_is_the_recorded_list() {
        let table: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
        let recorded: Vec<&str> = RECORDED.lines().collect();
        assert_eq!(table, recorded);
    }

    #[test]
    fn each_flag_is_found_by_its_three_spellings() {
        for flag in FLAGS {
            assert_eq!(of_a_command_line(flag.name).unwrap().name, flag.name);
            if !ACTIONS.contains(&flag.name) {
                assert_eq!(of_a_file(&flag.in_a_file().to_uppercase()).unwrap().name, flag.name);
                assert_eq!(of_a_variable(&flag.variable()).unwrap().name, flag.name);
            }
        }
    }

    #[test]
    fn what_is_almost_a_name_is_refused_with_the_right_one() {
        for (found, says) in [
            (of_a_file("email_domain"), "is what the flag is called; here its name is \"email_domains\""),
            (of_a_file("cookie_samsite"), "is no setting of oauth2-proxy 7.15; did you mean \"cookie_samesite\"?"),
            (of_a_file("config"), "can be given on the command line only"),
            (
                of_a_variable("OAUTH2_PROXY_EMAIL_DOMAIN"),
                "is not read by oauth2-proxy, which has OAUTH2_PROXY_EMAIL_DOMAINS for it; write that or remove it",
            ),
            (
                of_a_variable("OAUTH2_PROXY_CLIENTID"),
                "is no variable of oauth2-proxy 7.15; did you mean \"OAUTH2_PROXY_CLIENT_ID\"?",
            ),
            (of_a_command_line("upstreams"), "is no flag of oauth2-proxy 7.15; did you mean \"upstream\"?"),
            (of_a_command_line("banana-split"), "is no flag of oauth2-proxy 7.15"),
        ] {
            assert_eq!(found.map(|flag| flag.name), Err(says.to_owned()));
        }
    }
}
