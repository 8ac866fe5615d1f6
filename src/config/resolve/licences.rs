//! Licences and seats.
//!
//! Which texts and days are right `seats::Licence::parse` says, for a licence of the configuration as for
//! one that an administrator adds; here it gets its place in the file.

use super::Resolver;
use crate::config::problem::KeyPath;
use crate::config::written::{self, List, Written, defaults};
use crate::seats::licence::{Covers, Owner, SHORTEST_GRACE, WrittenValidity};
use crate::seats::{Licence, LicenceId, Settings, WhenFull};
use crate::store;
use std::collections::HashMap;
use std::time::Duration;

/// A seat that is given up sooner is one that nobody has.
const SHORTEST_IDLE: Duration = SHORTEST_GRACE;

/// The claims by which people are covered.
const CLAIMS: [&str; 4] = ["email", "idp_id", "organization_label", "siret"];

/// What was resolved.
#[derive(Default)]
pub(super) struct Licensing {
    pub(super) settings: Option<Settings>,
    /// Each with where it is written.
    pub(super) licences: Vec<(KeyPath, Licence)>,
}

impl Licensing {
    /// The claims that sessions have to carry.
    pub(super) fn claims(&self) -> Vec<String> {
        let settings = self.settings.as_ref();
        let Some(settings) = settings else { return Vec::new() };
        let covers = || self.licences.iter().map(|(_, licence)| &licence.written().covers);
        let asks = |claim: &str| match claim {
            // The person's page and the administrators' call people by it.
            "email" => true,
            "siret" => covers().any(|covers| !covers.siret.is_empty() || !covers.siren.is_empty()),
            "idp_id" => covers().any(|covers| !covers.idp_id.is_empty()),
            _ => covers().any(|covers| !covers.organization_label.is_empty()),
        };
        // What administrators will write is not known.
        CLAIMS.into_iter().filter(|claim| settings.managed || asks(claim)).map(str::to_owned).collect()
    }
}

/// Whether people need seats at all.
pub(super) fn are_needed(written: &Written) -> bool {
    written.seats.is_some() || written.licences.is_some()
}

impl Resolver<'_> {
    pub(super) fn licensing(
        &mut self,
        written: &Written,
        lifetime: Duration,
        store: Option<&store::Settings>,
    ) -> Licensing {
        let root = KeyPath::root();
        if !are_needed(written) {
            return Licensing::default();
        }
        let at = root.key("seats");
        let seats = written.seats.as_ref();
        let idle = self.span(&at.key("idle"), seats.and_then(|seats| seats.idle), defaults::SEAT_IDLE, SHORTEST_IDLE);
        let when_full = seats.and_then(|seats| seats.when_full.as_ref());
        let when_full = when_full.and_then(|written| self.when_full(&at.key("when_full"), written)).unwrap_or_default();
        if let WhenFull::DisplaceIdlest(grace) = when_full
            && grace >= idle
        {
            self.fault(&at.key("when_full"), "is as long as seats.idle, after which a seat is free anyway; write less");
        }
        let managed = seats.and_then(|seats| seats.managed).unwrap_or_default();
        let lasts = !matches!(store, Some(store::Settings::Memory));
        if managed && !lasts {
            self.fault(&at.key("managed"), "needs a store that lasts: write store: {file: PATH} or {redis: URL}");
        }
        let licences = self.licences(&root.key("licences"), written.licences.as_ref(), lasts);
        if licences.is_empty() && !managed && !self.is_excused(&root.key("licences")) {
            let write = "[{id: UUID, seats: 25, covers: {siret: [\"13002526500013\"]}}], or seats: {managed: true}";
            self.fault(&root.key("licences"), format!("is missing, so nobody would get a seat; write {write}"));
        }
        Licensing { settings: Some(Settings { idle, when_full, managed, lifetime }), licences }
    }

    fn licences(
        &mut self,
        at: &KeyPath,
        written: Option<&List<written::Licence>>,
        lasts: bool,
    ) -> Vec<(KeyPath, Licence)> {
        let mut licences = Vec::new();
        let mut known: HashMap<LicenceId, KeyPath> = HashMap::new();
        for (at, licence) in self.items(at, written) {
            let seats =
                self.required(&at.key("seats"), licence.seats.as_ref(), "how many people may be active at once");
            let id = self.required(&at.key("id"), licence.id.as_ref(), "a UUID, such as `uuidgen` prints");
            let covers =
                self.required(&at.key("covers"), licence.covers.as_ref(), "whom it covers, or {everyone: true}");
            let covers = covers.map(|covers| self.covers(&at.key("covers"), covers));
            let when_full = licence.when_full.as_ref();
            let when_full = when_full.map(|written| self.when_full(&at.key("when_full"), written));
            let (Some(seats), Some(id), Some(covers)) = (seats, id, covers) else { continue };
            let written = crate::seats::Written {
                id: Some(id.clone()),
                serial: licence.serial.clone().unwrap_or_default(),
                seats: *seats,
                active: licence.active.unwrap_or(true),
                valid: licence.valid.as_ref().map(validity).unwrap_or_default(),
                owner: licence.owner.as_ref().map(owner).unwrap_or_default(),
                covers,
                when_full: when_full.flatten(),
            };
            match Licence::parse(written) {
                Ok(licence) => {
                    if licence.counts_from_first_use() && !lasts {
                        let at = at.key("valid").key("duration");
                        self.fault(&at, "needs a store that lasts, to remember its first use: write store: {file: PATH} or {redis: URL}");
                    }
                    if let Some(first) = known.insert(licence.id(), at.clone()) {
                        self.fault(&at.key("id"), format!("is the id of {first} too; every licence has its own"));
                    }
                    licences.push((at, licence));
                }
                Err(faults) => {
                    for fault in faults {
                        let at = fault.at.split('.').fold(at.clone(), |at, key| at.key(key));
                        self.fault(&at, fault.what);
                    }
                }
            }
        }
        licences
    }

    fn when_full(&mut self, at: &KeyPath, written: &written::WhenFull) -> Option<WhenFull> {
        let written::WhenFull::So(beyond) = written else { return Some(WhenFull::Refuse) };
        match (&beyond.displace_idlest, beyond.overflow) {
            (Some(grace), None) => {
                let grace = self.span(&at.key("displace_idlest"), Some(*grace), grace.0, SHORTEST_GRACE);
                Some(WhenFull::DisplaceIdlest(grace))
            }
            (None, Some(0)) => {
                self.fault(&at.key("overflow"), "is no seat more; write a number, or when_full: refuse");
                None
            }
            (None, Some(more)) => Some(WhenFull::Overflow(more)),
            (_, _) => {
                self.fault(at, "says one thing: refuse, {displace_idlest: 10m} or {overflow: 3}");
                None
            }
        }
    }

    fn covers(&mut self, at: &KeyPath, covers: &written::Covers) -> Covers {
        let mut texts = |key: &str, list: &Option<List<String>>| -> Vec<String> {
            self.items(&at.key(key), list.as_ref()).into_iter().map(|(_, text)| text.clone()).collect()
        };
        Covers {
            everyone: covers.everyone.unwrap_or_default(),
            email_domain: texts("email_domain", &covers.email_domain),
            email: texts("email", &covers.email),
            sub: texts("sub", &covers.sub),
            siret: texts("siret", &covers.siret),
            siren: texts("siren", &covers.siren),
            idp_id: texts("idp_id", &covers.idp_id),
            organization_label: texts("organization_label", &covers.organization_label),
        }
    }
}

fn validity(valid: &written::Validity) -> WrittenValidity {
    let duration = valid.duration.map(|span| span.0);
    WrittenValidity { from: valid.from.clone(), to: valid.to.clone(), duration }
}

fn owner(owner: &written::Owner) -> Owner {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Owner {
        name: text(&owner.name),
        surname: text(&owner.surname),
        email: text(&owner.email),
        affiliation: text(&owner.affiliation),
        comments: text(&owner.comments),
    }
}
