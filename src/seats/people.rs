//! Who has used a licence: whom it counts as its people, whether they have a seat now or not.
//!
//! Whoever takes a seat is noted here at once and written down with the next renewal, so that no
//! request waits for it.

use super::ledger::Seat;
use super::licence::LicenceId;
use super::register::Applicant;
use super::{Member, Seats};
use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::PoisonError;

/// What is noted of somebody until it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) provider: String,
    pub(super) subject: String,
    pub(super) email: Option<String>,
    /// When the latest session began that they came with.
    pub(super) started: Timestamp,
    pub(super) seen: Timestamp,
}

pub(super) type Sightings = HashMap<(LicenceId, Member), Sighting>;

/// How many are noted at most until they are written down: what is beyond is noted at their next seat.
const MOST: usize = 100_000;

impl Seats {
    /// Notes that somebody has a seat.
    pub(super) fn sight(&self, seat: &Seat, applicant: &Applicant<'_>, now: Timestamp) {
        let holding = seat.holding();
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        if sightings.len() >= MOST {
            return;
        }
        let sighting = Sighting {
            provider: applicant.provider.to_owned(),
            subject: applicant.subject.to_owned(),
            email: applicant.claims.text("email").map(str::to_owned),
            started: applicant.started,
            seen: now,
        };
        sightings.insert((holding.licence, holding.member), sighting);
    }
}
