//! From the settings of an oauth2-proxy to a configuration of ours, with comments that say from what.
//!
//! Called by `import_oauth2_proxy`. The parts are in files of their own; here is their order, how a
//! key and its comment are written, and what is said at the end of all that has no key. What cannot
//! be known is left out behind a `#`, so that `vestibule check` asks for it.

use super::flags::Verdict;
use super::settings::{Secret, Settings, Text};
use crate::commands::import::scalar;
use std::fmt::Write as _;

/// What is said of a setting that nothing was made of.
const NO_EFFECT: &str = "has no effect beside the other settings";

/// The configuration, and what the person who asked for it has to know.
pub(super) struct Translated {
    pub(super) configuration: String,
    pub(super) notes: Vec<String>,
    pub(super) mistakes: Vec<String>,
}

pub(super) fn translate(settings: Settings, front_proxy: Option<String>) -> Translated {
    let mut import = Import { settings, front_proxy, ..Import::default() };
    import.everything();
    Translated { configuration: import.out, notes: import.notes, mistakes: import.settings.mistakes }
}

/// What has been printed so far, and what there is to say about it.
#[derive(Default)]
pub(super) struct Import {
    pub(super) settings: Settings,
    /// The proxy that asks, if that was said.
    pub(super) front_proxy: Option<String>,
    pub(super) out: String,
    notes: Vec<String>,
    /// What takes a protection away, and is not taken over.
    refused: Vec<(String, String)>,
    /// What nothing here does.
    without: Vec<(String, String)>,
    /// What needs no key.
    not_needed: Vec<(String, String)>,
}

impl Import {
    fn everything(&mut self) {
        self.line("# What an oauth2-proxy did, as Vestibule's configuration. Look through it, then:");
        self.line("# vestibule check --config vestibule.yaml --online");
        let prefix = self.prefix();
        let plan = self.plan();
        let told = self.headers(plan.is_forward_auth);
        let enters = self.who_enters();
        let ours = self.public_url(prefix.as_deref());
        if let Some(prefix) = &prefix {
            let _ = writeln!(self.out, "# From proxy-prefix.\nprefix: {}", scalar(prefix));
        }
        self.listeners(plan.is_forward_auth && told.credential.is_some());
        self.trusted_proxies();
        self.forward_auth(&plan);
        self.provider();
        self.session();
        self.cookies(ours.host.as_deref());
        self.sign_in();
        self.store();
        self.upstreams_and_routes(&plan, &told, &enters);
        self.credentials(&told);
        self.identity(&told, plan.is_forward_auth);
        self.aliases(ours.callback);
        self.the_rest();
        self.remarks();
    }

    pub(super) fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Something that is left to do.
    pub(super) fn note(&mut self, origin: &str, name: &str, says: &str) {
        let note = if origin.is_empty() { format!("{name}: {says}") } else { format!("{origin}: {name}: {says}") };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn refuse(&mut self, name: &str, says: impl Into<String>) {
        remark(&mut self.refused, name, says.into());
    }

    pub(super) fn without(&mut self, name: &str, says: impl Into<String>) {
        remark(&mut self.without, name, says.into());
    }

    pub(super) fn not_needed(&mut self, name: &str, says: impl Into<String>) {
        remark(&mut self.not_needed, name, says.into());
    }

    /// `key: value` with where it comes from; behind a `#` where the value is not known.
    pub(super) fn value(&mut self, indent: &str, key: &str, setting: &Text) {
        let Text { name, origin, value, variables } = setting;
        let names = variables.iter().map(|name| format!("${{{name}}}")).collect::<Vec<_>>().join(", ");
        if let Some(value) = value {
            let by_default = if names.is_empty() { "." } else { ", as it is by default." };
            let _ = writeln!(self.out, "{indent}# From {name}{by_default}\n{indent}{key}: {}", scalar(value));
            if !names.is_empty() {
                let says = format!("depends on {names}, of which the default was taken; write what it is into {key}");
                self.note(origin, name, &says);
            }
        } else {
            let what = if names.is_empty() { "what the command says".to_owned() } else { format!("what {names} is") };
            let _ = writeln!(self.out, "{indent}# From {name}: write {what}.\n{indent}# {key}:");
            self.note(origin, name, &format!("is not known here; write {what} into {key}"));
        }
    }

    /// The same for a key that nothing is given for.
    pub(super) fn missing(&mut self, indent: &str, key: &str, from: &str, says: &str) {
        let _ = writeln!(self.out, "{indent}# {from} is not set: {says}.\n{indent}# {key}:");
        self.note("", from, &format!("is not set; {says}, under {key}"));
    }

    /// A reference to a secret: the variable that it comes from, or one for it to be put into.
    pub(super) fn reference(&mut self, secret: &Secret, ours: &str) -> String {
        let Secret { name, origin, variable } = secret;
        if let Some(variable) = variable {
            let says = format!("is read from the variable {variable}, which has to be set for Vestibule too");
            self.note(origin, name, &says);
            return format!("{{env: {variable}}}");
        }
        let says = format!("is a secret and was not copied: put it into the variable {ours}, or into a file");
        self.note(origin, name, &format!("{says}, with {{file: PATH}} instead of {{env: {ours}}}"));
        format!("{{env: {ours}}}")
    }

    /// What the parts had no word for: by the table, or because nothing asked for it.
    fn the_rest(&mut self) {
        let alpha = self.settings.alpha.as_mut().map(|alpha| std::mem::take(&mut alpha.others)).unwrap_or_default();
        for (name, says) in alpha {
            match says.strip_prefix("refused: ") {
                Some(says) => self.refuse(&name, says),
                None => self.without(&name, says),
            }
        }
        for given in self.settings.all() {
            let is_unusual = self.settings.is_unusual(&given);
            match given.flag.verdict {
                Verdict::Read if self.is_mentioned(&given.name) => {}
                Verdict::Read if is_unusual => self.not_needed(&given.name, NO_EFFECT),
                Verdict::Read => self.not_needed(&given.name, "as it is by default"),
                Verdict::NotNeeded(says) => self.not_needed(&given.name, says),
                Verdict::Nothing(says) if is_unusual => self.without(&given.name, says),
                Verdict::Unsafe(says) if is_unusual => self.refuse(&given.name, says),
                Verdict::Nothing(_) | Verdict::Unsafe(_) => self.not_needed(&given.name, "as it is here"),
            }
        }
    }

    /// Whether a comment says where a setting went.
    fn is_mentioned(&self, name: &str) -> bool {
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || "-.[".contains(c);
        let in_a_comment = |line: &str| {
            line.contains('#')
                && line.match_indices(name).any(|(at, _)| {
                    let (before, after) = (line.get(..at), line.get(at + name.len()..));
                    let after = after.map(|after| after.trim_start_matches('.'));
                    !before.is_some_and(|before| before.ends_with(of_a_name))
                        && !after.is_some_and(|after| after.starts_with(of_a_name))
                })
        };
        let remarks = self.refused.iter().chain(&self.without).chain(&self.not_needed);
        let mut names = remarks.filter_map(|(remark, _)| remark.split(' ').next());
        names.any(|remark| remark == name) || self.out.lines().any(in_a_comment)
    }

    /// The end of the configuration: everything that has no key, by name, with its reason.
    fn remarks(&mut self) {
        let parts = [
            ("Refused, because it takes a protection away:", std::mem::take(&mut self.refused)),
            ("Without an equivalent, and therefore not taken over:", std::mem::take(&mut self.without)),
            ("Not needed:", std::mem::take(&mut self.not_needed)),
        ];
        for (index, (title, remarks)) in parts.into_iter().enumerate() {
            if remarks.is_empty() {
                continue;
            }
            let _ = write!(self.out, "\n# {title}\n");
            for (name, says) in &remarks {
                self.wrapped(&format!("- {name}: {says}"));
            }
            if index == 0 {
                for (name, says) in remarks {
                    self.note("", &name, &format!("refused: {says}"));
                }
            } else if index == 1 {
                let mut names: Vec<String> = remarks.into_iter().map(|(name, _)| name).collect();
                names.dedup();
                self.note("", &names.join(", "), "no equivalent; the end of the configuration says why");
            }
        }
    }

    /// A comment of several lines, where it is long.
    pub(super) fn wrapped(&mut self, text: &str) {
        const WIDTH: usize = 108;
        let mut line = String::from("#");
        for word in text.split(' ') {
            if line.chars().count() + word.chars().count() >= WIDTH && line.len() > 4 {
                self.line(&line);
                line = String::from("#  ");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }
}

/// Says a thing once.
fn remark(remarks: &mut Vec<(String, String)>, name: &str, says: String) {
    let remark = (name.to_owned(), says);
    if !remarks.contains(&remark) {
        remarks.push(remark);
    }
}
