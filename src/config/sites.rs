//! Several sites in one configuration: each is the rest of the file, with its own section over it.
//!
//! `from_texts` calls [`resolve`] where there is a `sites` key. A site is merged by the rules of
//! `overlay` and resolved by the one function that there is, as if it were written in two files; what
//! is wrong is said where it stands, below the site's name or in what all have in common, and there
//! once. Must never let two sites answer for one host, nor cookies of one reach another.

use super::environment::Environment;
use super::overlay::{Merged, Origin, Vain};
use super::parse;
use super::problem::{Fault, Finding, KeyPath, Segment};
use super::resolve;
use super::run::Config;
use crate::web::domain;
use serde_json::Value as Schema;
use serde_yaml::{Mapping, Value};

/// What there is once in a process, whatever sites it serves.
pub(super) const OF_THE_PROCESS: [&str; 12] = [
    "sites",
    "accept",
    "debug",
    "listeners",
    "admin",
    "trusted_proxies",
    "forward_auth",
    "store",
    "on_store_down",
    "log",
    "threads",
    "shutdown_grace",
];

/// Whether no site says this.
pub(super) fn is_of_the_process(key: &str) -> bool {
    OF_THE_PROCESS.contains(&key)
}

/// What is known of a configuration besides what it says.
pub(super) struct Known<'a> {
    pub(super) schema: &'a Schema,
    /// Keys that are absent because of a fault.
    pub(super) excused: Vec<KeyPath>,
    /// Where a later file takes away what an earlier one has below a site.
    pub(super) taken: Vec<KeyPath>,
}

/// Resolves what was written, which has sites.
///
/// # Errors
/// Every mistake.
pub(super) fn resolve(
    mut written: Value,
    known: Known<'_>,
    environment: &dyn Environment,
) -> Result<Config, Vec<Fault>> {
    let root = KeyPath::root();
    let sites = written.as_mapping_mut().and_then(|keys| keys.shift_remove("sites"));
    let sites = sites.as_ref().and_then(Value::as_mapping).cloned().unwrap_or_default();
    let mut reading = Reading { common: written, known, environment, faults: Vec::new(), findings: Vec::new() };
    if sites.is_empty() {
        reading.fault(root.key("sites"), "is empty; write a site, or remove the key");
    }
    if reading.common.get("public_url").is_some_and(|url| !url.is_null()) {
        reading.fault(root.key("public_url"), "is that of one site; write one below each name of sites");
    }
    let count = sites.len();
    let mut nowhere = Vec::new();
    let configs: Vec<Option<Config>> =
        sites.into_iter().filter_map(|(name, site)| Some(reading.site(name.as_str()?, site, &mut nowhere))).collect();
    reading.missing(&nowhere, count);
    let configs: Option<Vec<Config>> = configs.into_iter().collect();
    for config in configs.iter().flatten() {
        reading.apart_from(config, configs.iter().flatten());
    }
    let Reading { faults, findings, .. } = reading;
    let findings = of_all(&findings, count);
    let mut configs = configs.unwrap_or_default().into_iter();
    match configs.next() {
        Some(mut first) if faults.is_empty() => {
            first.findings = findings;
            first.other_sites = configs.collect();
            Ok(first)
        }
        _ => Err(faults),
    }
}

/// Where the sites are read one by one.
struct Reading<'a> {
    /// The file without its sites.
    common: Value,
    known: Known<'a>,
    environment: &'a dyn Environment,
    faults: Vec<Fault>,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    fn fault(&mut self, path: KeyPath, message: impl Into<String>) {
        if !self.known.excused.iter().any(|faulty| faulty.covers(&path)) {
            self.faults.push(Fault { path, message: message.into() });
        }
    }

    /// Resolves a site. What is missing in it and in the rest of the file goes to `nowhere`.
    fn site(&mut self, name: &str, mut site: Value, nowhere: &mut Vec<(KeyPath, Fault)>) -> Option<Config> {
        let at = KeyPath::root().key("sites").key(name);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            self.fault(at.clone(), "is no name; write up to 64 letters, digits, dots, hyphens or underscores");
        }
        if site.is_null() {
            self.fault(at.clone(), "is empty; write at least {public_url: https://…}");
            return None;
        }
        self.without_the_process(&at, site.as_mapping_mut()?);
        let Merged { value, origins, vain, .. } = Merged::of(vec![self.common.clone(), site], self.known.schema);
        for Vain { fault, .. } in vain {
            let path = at.join(&fault.path);
            if !self.known.taken.contains(&path) {
                let message =
                    "is empty, and nothing outside of sites has it to take away; write a value, or remove the key";
                self.fault(path, message);
            }
        }
        let mut parsed = parse::written(value.clone());
        let excused = self.known.excused.iter();
        parsed.excused.extend(excused.map(|faulty| faulty.below(&at).unwrap_or_else(|| faulty.clone())));
        match resolve::resolve(parsed, self.environment) {
            Ok(mut config) => {
                config.site = Some(name.to_owned());
                config.written = value;
                let found = std::mem::take(&mut config.findings).into_iter();
                let found = found.map(|finding| Finding { path: place(&origins, &at, &finding.path).1, ..finding });
                self.findings.extend(found);
                Some(config)
            }
            Err(faults) => {
                for Fault { path, message } in faults {
                    match place(&origins, &at, &path) {
                        (true, path) => self.faults.push(Fault { path, message }),
                        (false, there) => nowhere.push((there, Fault { path, message })),
                    }
                }
                None
            }
        }
    }

    /// Takes out what a site does not say.
    fn without_the_process(&mut self, at: &KeyPath, site: &mut Mapping) {
        for key in OF_THE_PROCESS {
            if site.shift_remove(key).is_some() {
                let message = if key == "sites" {
                    "is there once, at the top of the file: sites have none themselves"
                } else {
                    "is the same for all sites; write it at the top of the file"
                };
                self.fault(at.key(key), message);
            }
        }
    }

    /// What every one of `count` sites misses is missing in what they have in common.
    fn missing(&mut self, nowhere: &[(KeyPath, Fault)], count: usize) {
        for (there, fault) in nowhere {
            let is_everywhere = nowhere.iter().filter(|(_, other)| other == fault).count() == count;
            let path = if is_everywhere && !fault.path.is_key("public_url") { &fault.path } else { there };
            self.faults.push(Fault { path: path.clone(), message: fault.message.clone() });
        }
    }

    /// Notes where a site and one of the others meet. Browsers know cookies by their host alone,
    /// whatever the port: sites with one host would sign each other out.
    fn apart_from<'c>(&mut self, config: &Config, all: impl Iterator<Item = &'c Config>) {
        let named = |config: &Config| config.site.clone().unwrap_or_default();
        let at = KeyPath::root().key("sites").key(&named(config));
        for other in all.filter(|other| other.site != config.site) {
            let name = named(other);
            let is_theirs = |host: &str| {
                host == other.public_url.host() || other.routes.iter().any(|route| route.host.as_deref() == Some(host))
            };
            if config.public_url.host() == other.public_url.host() {
                self.fault(
                    at.key("public_url"),
                    format!(
                        "has the host of sites.{name}; each site has one of its own (cookies do not tell ports apart)"
                    ),
                );
            }
            let routes = config.routes.iter().filter_map(|route| route.host.as_deref());
            if let Some(host) = routes.filter(|host| *host != config.public_url.host()).find(|host| is_theirs(host)) {
                self.fault(at.key("routes"), format!("have one for {host:?}, which is a host of sites.{name}"));
            }
            let theirs = std::iter::once(other.public_url.host())
                .chain(other.routes.iter().filter_map(|route| route.host.as_deref()));
            if let Some(domain) = &config.cookies.domain
                && let Some(host) = theirs.into_iter().find(|host| domain::is_at_or_below(host, domain))
            {
                let of_route = if host == other.public_url.host() { String::new() } else { format!(" {host:?}") };
                self.fault(
                    at.key("cookies").key("domain"),
                    format!("{domain:?} holds the host{of_route} of sites.{name} too, which would get this site's cookies; leave the key out, or give that site a host elsewhere"),
                );
            }
        }
    }
}

/// What `count` sites found, each once. In what they have in common that is idle which no site uses.
fn of_all(found: &[Finding], count: usize) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for finding in found {
        let is_common = !matches!(finding.path.segments(), [Segment::Key(sites), ..] if sites == "sites");
        let is_used = finding.is_idle && is_common && found.iter().filter(|other| *other == finding).count() < count;
        if !is_used && !findings.contains(finding) {
            findings.push(finding.clone());
        }
    }
    findings
}

/// Where the text stands that is at `path` of a site, and whether there is any.
fn place(origins: &Origin, at: &KeyPath, path: &KeyPath) -> (bool, KeyPath) {
    match origins.file_of(path) {
        Some(0) => (true, path.clone()),
        found => (found.is_some(), at.join(path)),
    }
}
