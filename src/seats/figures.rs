//! What has happened to the seats of each licence in this process, and how many are in use: for metrics.
//!
//! Counted where it happens, read when somebody asks. How many are in use the store knows; it is asked with
//! every renewal for the licences that are used here, and what happens here in between is counted on.
//! Must never be the ground of a decision.

use super::licence::LicenceId;
use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What happens to a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Taken,
    /// All were taken, and the least active of their holders had done nothing since then.
    Refused {
        idle_since: Option<Timestamp>,
    },
    Displaced,
    Overflowed,
    Freed,
}

/// How often each has happened since the start, and how things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Seats that were taken.
    pub taken: u64,
    /// Times that somebody asked for a seat and found none.
    pub refused: u64,
    /// People whose seat was given to somebody else.
    pub displaced: u64,
    /// Seats beyond those of the licence.
    pub overflowed: u64,
    /// Seats that were freed before they ended by themselves.
    pub freed: u64,
    /// How many are in use on all replicas together, as far as this one knows.
    pub in_use: usize,
    /// Since when the least active of their holders had done nothing when that was looked at last.
    pub idle_since: Option<Timestamp>,
}

#[derive(Default)]
pub(super) struct AllFigures(Mutex<BTreeMap<LicenceId, Figures>>);

impl AllFigures {
    pub(super) fn note(&self, licence: LicenceId, event: Event) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = all.entry(licence).or_default();
        let count = match event {
            Event::Taken => {
                figures.in_use += 1;
                &mut figures.taken
            }
            Event::Refused { idle_since } => {
                figures.idle_since = idle_since;
                &mut figures.refused
            }
            Event::Displaced => {
                // The seat is taken by another, which is counted as well.
                figures.in_use = figures.in_use.saturating_sub(1);
                &mut figures.displaced
            }
            Event::Overflowed => &mut figures.overflowed,
            Event::Freed => {
                figures.in_use = figures.in_use.saturating_sub(1);
                &mut figures.freed
            }
        };
        *count += 1;
    }

    /// Notes what the store says.
    pub(super) fn counted(&self, licence: LicenceId, in_use: usize, idle_since: Option<Timestamp>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = all.entry(licence).or_default();
        (figures.in_use, figures.idle_since) = (in_use, idle_since);
    }

    /// The licences of which some seat is believed to be in use.
    pub(super) fn in_use(&self) -> Vec<LicenceId> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, figures)| figures.in_use > 0).map(|(id, _)| *id).collect()
    }

    pub(super) fn all(&self) -> BTreeMap<LicenceId, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
