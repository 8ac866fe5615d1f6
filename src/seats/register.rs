//! Which licences there are, and which of them cover somebody.
//!
//! Those of the configuration stand first, in its order; then those that administrators keep in the
//! store (`managed`), by their serials. Where both have one of the same name, the configuration's counts.
//! Looked up by value, so that ten thousand cost what ten do. Must never cover anybody by a claim that is
//! not said of them.

use super::licence::{Covers, Licence, LicenceId, Standing};
use crate::claims::ClaimsView;
use crate::clock::Timestamp;
use crate::web::domain;
use arc_swap::ArcSwap;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A licence that is in the register.
#[derive(Debug)]
pub struct Entry {
    licence: Licence,
    is_managed: bool,
    /// When it was first used, in Unix seconds; 0 where it was not yet, or that does not matter.
    first_use: AtomicU64,
}

impl Entry {
    pub(super) fn new(licence: Licence, is_managed: bool) -> Self {
        Self { licence, is_managed, first_use: AtomicU64::new(0) }
    }

    /// The licence.
    pub fn licence(&self) -> &Licence {
        &self.licence
    }

    /// Whether administrators keep it, and not the configuration.
    pub fn is_managed(&self) -> bool {
        self.is_managed
    }

    /// When it was first used, as far as that is known here and matters.
    pub fn first_use(&self) -> Option<Timestamp> {
        match self.first_use.load(Ordering::Relaxed) {
            0 => None,
            seconds => Some(Timestamp::from_unix(seconds)),
        }
    }

    pub(super) fn note_first_use(&self, at: Timestamp) {
        self.first_use.store(at.as_unix(), Ordering::Relaxed);
    }

    /// Those of the configuration stand as they are written, and come first.
    fn order(&self) -> Option<(&str, LicenceId)> {
        self.is_managed.then(|| (self.licence.written().serial.as_str(), self.licence.id()))
    }

    /// How it stands.
    pub fn standing(&self, now: Timestamp) -> Standing {
        self.licence.standing(self.first_use(), now)
    }
}

/// Somebody who needs a seat.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The provider that vouches for them.
    pub provider: &'a str,
    /// Their `sub`.
    pub subject: &'a str,
    /// What is said of them.
    pub claims: &'a ClaimsView<'a>,
    /// When the session began that they come with.
    pub started: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
    /// What tells this state of what is said of them from another.
    pub stamp: u64,
}

/// All licences of a site.
#[derive(Default)]
pub struct Register {
    book: ArcSwap<Book>,
    /// One changes it at a time.
    changing: Mutex<()>,
}

/// All licences at one moment.
#[derive(Default)]
pub(super) struct Book {
    entries: Vec<Arc<Entry>>,
    /// Those that administrators keep under a name that the configuration has as well.
    hidden: Vec<Arc<Entry>>,
    by_id: HashMap<LicenceId, usize>,
    index: Index,
    /// Counts up with each change.
    version: u64,
}

/// Which entries cover whom of a value is said.
#[derive(Default)]
struct Index {
    several_providers: bool,
    everyone: Vec<usize>,
    domains: Values,
    emails: Values,
    subjects: Values,
    sirets: Values,
    sirens: Values,
    identity_providers: Values,
    organizations: Values,
}

type Values = HashMap<Box<str>, Vec<usize>>;

impl Register {
    /// The licences of the configuration, in the place of those that it had. `several_providers`: a
    /// `sub` says nothing without its provider.
    pub fn declare(&self, declared: &[Licence], several_providers: bool) {
        let entry = |licence: &Licence| Arc::new(Entry::new(licence.clone(), false));
        let declared: Vec<_> = declared.iter().map(entry).collect();
        self.change(|former| {
            for entry in &declared {
                if let Some(first_use) = former.get(entry.licence.id()).and_then(|former| former.first_use()) {
                    entry.note_first_use(first_use);
                }
            }
            Book::new(former, declared.into_iter().chain(former.managed().map(Arc::clone)), several_providers)
        });
    }

    /// The licences that administrators keep, in the place of those that they kept.
    pub(super) fn manage(&self, managed: Vec<Entry>) {
        let managed = managed.into_iter().map(Arc::new);
        self.change(|former| Book::new(former, former.declared().chain(managed), former.index.several_providers));
    }

    /// Puts in the place of some that administrators keep what there is of them now; none where they are gone.
    pub(super) fn manage_some(&self, mut read: super::managed::Read) {
        self.change(|former| {
            let others = former.managed().filter(|entry| !read.contains_key(&entry.licence.id()));
            let others: Vec<_> = others.map(Arc::clone).collect();
            let read = read.drain().filter_map(|(_, entry)| entry).map(Arc::new);
            let managed = others.into_iter().chain(read);
            Book::new(former, former.declared().chain(managed), former.index.several_providers)
        });
    }

    fn change(&self, make: impl FnOnce(&Book) -> Book) {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.book.load();
        self.book.store(Arc::new(make(&former)));
    }

    /// All of them, in their order.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.book.load().entries.clone()
    }

    /// The one of this name.
    pub fn get(&self, id: LicenceId) -> Option<Arc<Entry>> {
        self.book.load().get(id).map(Arc::clone)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.book.load().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn version(&self) -> u64 {
        self.book.load().version
    }

    /// Those that cover somebody, in their order, in force or not.
    pub fn covering(&self, applicant: &Applicant<'_>) -> Vec<Arc<Entry>> {
        let book = self.book.load();
        let found = book.index.covering(applicant);
        found.into_iter().filter_map(|at| book.entries.get(at).map(Arc::clone)).collect()
    }
}

impl Book {
    /// After the former: of these, the ones of the configuration first, in their order, then the others by their
    /// serials.
    fn new(former: &Self, entries: impl Iterator<Item = Arc<Entry>>, several_providers: bool) -> Self {
        let mut entries: Vec<Arc<Entry>> = entries.collect();
        entries.sort_by(|one, other| one.order().cmp(&other.order()));
        let mut book = Self { version: former.version + 1, ..Self::default() };
        book.index.several_providers = several_providers;
        for entry in entries {
            let id = entry.licence.id();
            if book.by_id.contains_key(&id) {
                if entry.is_managed {
                    book.hidden.push(entry);
                }
                continue;
            }
            let at = book.entries.len();
            book.index.add(at, &entry.licence.written().covers);
            book.by_id.insert(id, at);
            book.entries.push(entry);
        }
        book
    }

    /// Those of the configuration.
    fn declared(&self) -> impl Iterator<Item = Arc<Entry>> {
        self.entries.iter().filter(|entry| !entry.is_managed).map(Arc::clone)
    }

    /// Those that administrators keep, in force or hidden.
    fn managed(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().filter(|entry| entry.is_managed).chain(&self.hidden)
    }

    fn get(&self, id: LicenceId) -> Option<&Arc<Entry>> {
        self.entries.get(*self.by_id.get(&id)?)
    }
}

impl Index {
    fn add(&mut self, at: usize, covers: &Covers) {
        if covers.everyone {
            self.everyone.push(at);
        }
        for (values, held) in [
            (&covers.email_domain, &mut self.domains),
            (&covers.email, &mut self.emails),
            (&covers.sub, &mut self.subjects),
            (&covers.siret, &mut self.sirets),
            (&covers.siren, &mut self.sirens),
            (&covers.idp_id, &mut self.identity_providers),
            (&covers.organization_label, &mut self.organizations),
        ] {
            for value in values {
                held.entry(value.as_str().into()).or_default().push(at);
            }
        }
    }

    fn covering(&self, applicant: &Applicant<'_>) -> BTreeSet<usize> {
        let mut found: BTreeSet<usize> = self.everyone.iter().copied().collect();
        let mut look = |values: &Values, value: &str| {
            if !value.is_empty() {
                found.extend(values.get(value).into_iter().flatten());
            }
        };
        let claims = applicant.claims;
        if let Some(email) = claims.text("email").map(str::to_ascii_lowercase) {
            look(&self.emails, &email);
            if let Some(name) = domain::of_email(&email) {
                look(&self.domains, name);
                // `.example.fr` is example.fr and whatever is below.
                let mut below = Some(name);
                while let Some(name) = below {
                    look(&self.domains, &format!(".{name}"));
                    below = name.split_once('.').map(|(_, above)| above);
                }
            }
        }
        if !self.several_providers {
            look(&self.subjects, applicant.subject);
        }
        look(&self.subjects, &format!("{}:{}", applicant.provider, applicant.subject));
        if let Some(siret) = claims.text("siret") {
            look(&self.sirets, siret);
            if siret.len() == 14 {
                look(&self.sirens, siret.get(..9).unwrap_or_default());
            }
        }
        for (name, values) in [("idp_id", &self.identity_providers), ("organization_label", &self.organizations)] {
            if let Some(value) = claims.text(name) {
                look(values, value);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use crate::seats::fixture::licence;

    fn covering(register: &Register, provider: &str, claims: &serde_json::Value) -> Vec<String> {
        let claims = Claims::from_json(claims.as_object().unwrap());
        let view = claims.view();
        let subject = view.text("sub").unwrap_or_default().to_owned();
        let started = Timestamp::from_unix(0);
        let applicant = Applicant { provider, subject: &subject, claims: &view, started, ends_at: started, stamp: 0 };
        register.covering(&applicant).iter().map(|entry| entry.licence().written().serial.clone()).collect()
    }

    #[test]
    fn a_licence_covers_whoever_one_of_its_values_is_said_of_and_nobody_else() {
        let register = Register::default();
        let declared = [
            licence(1, "serial: domain, covers: {email_domain: [example.fr]}"),
            licence(2, "serial: below, covers: {email_domain: [.example.fr]}"),
            licence(3, "serial: email, covers: {email: [a@b.fr]}"),
            licence(4, "serial: sub, covers: {sub: [s1, 'other:s2']}"),
            licence(5, "serial: siret, covers: {siret: ['13002526500013']}"),
            licence(6, "serial: siren, covers: {siren: ['130025265']}"),
            licence(7, "serial: idp, covers: {idp_id: [i1]}"),
            licence(8, "serial: label, covers: {organization_label: [DINUM]}"),
        ];
        register.declare(&declared, false);
        for (claims, expected) in [
            (serde_json::json!({"email": "X@Example.FR"}), vec!["domain", "below"]),
            (serde_json::json!({"email": "x@a.b.example.fr"}), vec!["below"]),
            (serde_json::json!({"email": "x@badexample.fr"}), vec![]),
            (serde_json::json!({"email": "example.fr"}), vec![]),
            (serde_json::json!({"email": "A@b.fr"}), vec!["email"]),
            (serde_json::json!({"sub": "s1"}), vec!["sub"]),
            (serde_json::json!({"sub": "S1"}), vec![]),
            (serde_json::json!({"sub": "s2"}), vec![]),
            (serde_json::json!({"siret": "13002526500013"}), vec!["siret", "siren"]),
            (serde_json::json!({"siret": "13002526500021"}), vec!["siren"]),
            (serde_json::json!({"siret": "130025265"}), vec![]),
            (serde_json::json!({"siren": "130025265"}), vec![]),
            (serde_json::json!({"idp_id": "i1", "organization_label": "DINUM"}), vec!["idp", "label"]),
            (serde_json::json!({"organization_label": ["DINUM"]}), vec![]),
            (serde_json::json!({"email": "", "siret": "", "idp_id": ""}), vec![]),
        ] {
            assert_eq!(covering(&register, "proconnect", &claims), expected, "{claims}");
        }
        assert_eq!(covering(&register, "other", &serde_json::json!({"sub": "s2"})), ["sub"]);
        // The same `sub` of two providers is two people.
        register.declare(&declared, true);
        assert_eq!(covering(&register, "proconnect", &serde_json::json!({"sub": "s1"})), Vec::<String>::new());
    }

    fn kept(number: u64, more: &str) -> Entry {
        Entry::new(licence(number, more), true)
    }

    #[test]
    fn the_configuration_s_stand_first_and_count_where_both_have_one() {
        let register = Register::default();
        register.manage(vec![
            kept(3, "serial: b, covers: {everyone: true}"),
            kept(2, "serial: a, covers: {everyone: true}"),
            kept(1, "serial: hidden, covers: {everyone: true}"),
        ]);
        let shown = register.all().remove(1);
        shown.note_first_use(Timestamp::from_unix(9));
        register.declare(&[licence(1, "serial: z, covers: {everyone: true}")], false);
        assert_eq!(covering(&register, "p", &serde_json::json!({})), ["z", "a", "b"]);
        let first_uses = || register.all().iter().map(|entry| entry.first_use()).collect::<Vec<_>>();
        assert_eq!(first_uses(), [None, None, Some(Timestamp::from_unix(9))]);
        register.declare(&[], false);
        assert_eq!(covering(&register, "p", &serde_json::json!({})), ["a", "b", "hidden"]);
        let (one, other) = (kept(3, "serial: c, covers: {everyone: true}"), kept(2, "covers: {everyone: true}"));
        register.manage_some([(one.licence().id(), Some(one)), (other.licence().id(), None)].into());
        assert_eq!(covering(&register, "p", &serde_json::json!({})), ["c", "hidden"]);
        register.manage(Vec::new());
        assert_eq!(covering(&register, "p", &serde_json::json!({})), Vec::<String>::new());
    }
}
