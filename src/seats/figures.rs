//! What has happened to the seats of each licence in this process: for metrics.
//!
//! Counted where it happens, read when somebody asks. Must never be the ground of a decision.

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

/// How often each has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Seats that were taken.
    pub taken: u64,
    /// People who found none.
    pub refused: u64,
    /// People whose seat was given to somebody else.
    pub displaced: u64,
    /// Seats beyond those of the licence.
    pub overflowed: u64,
    /// Seats that were freed before they ended by themselves.
    pub freed: u64,
}

#[derive(Default)]
pub(super) struct AllFigures(Mutex<BTreeMap<LicenceId, Figures>>);

impl AllFigures {
    pub(super) fn note(&self, licence: LicenceId, event: Event, _now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = all.entry(licence).or_default();
        let count = match event {
            Event::Taken => &mut figures.taken,
            Event::Refused { .. } => &mut figures.refused,
            Event::Displaced => &mut figures.displaced,
            Event::Overflowed => &mut figures.overflowed,
            Event::Freed => &mut figures.freed,
        };
        *count += 1;
    }

    pub(super) fn all(&self) -> BTreeMap<LicenceId, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
