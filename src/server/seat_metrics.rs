//! The metrics of licences: set anew from what `seats` knows whenever somebody asks for metrics.
//!
//! Called by `server/metrics`. A licence is there from when somebody has asked for a seat of it in this
//! process; ten thousand that nobody uses cost nothing. Must never ask the store: whoever asks for metrics
//! does it often, and while the store is away too.

use crate::clock::Timestamp;
use crate::seats::{Figures, Licence};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The labels: the site's name, empty where there is one without a name; the licence's UUID, which is the
/// only name that tells it from all others; and its serial, for people.
const LABELS: [&str; 3] = ["site", "licence", "serial"];

/// What is said of a licence.
pub(super) struct MeasuredLicence {
    labels: [String; 3],
    seats: usize,
    figures: Figures,
    /// In how many seconds the least active seat ends by itself, where all are taken.
    to_free: u64,
}

impl MeasuredLicence {
    pub(super) fn new(site: String, licence: &Licence, figures: Figures, idle: Duration, now: Timestamp) -> Self {
        let is_full = figures.in_use >= licence.seats();
        let first_end = figures.idle_since.filter(|_| is_full).map(|since| since.plus(idle));
        Self {
            labels: [site, licence.id().to_string(), licence.written().serial.clone()],
            seats: licence.seats(),
            figures,
            to_free: first_end.map_or(0, |end| end.since(now).as_secs()),
        }
    }
}

/// See the module.
pub(super) struct SeatMetrics {
    gauges: [IntGaugeVec; 4],
    counters: [IntCounterVec; 4],
    /// Whoever sets them holds it until they are written out.
    turn: Mutex<()>,
}

impl SeatMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGaugeVec> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &LABELS)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), &LABELS)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            gauges: [
                gauge(
                    "vestibule_seats_in_use",
                    "Seats in use on all replicas together, of licences that are used on this one",
                )?,
                gauge("vestibule_seats_limit", "Seats of the licence, without those beyond (overflow)")?,
                gauge("vestibule_seats_overflow", "People who are in beyond the seats of the licence")?,
                gauge(
                    "vestibule_seats_seconds_to_free",
                    "While all seats are taken: in how many seconds the least active one ends if its holder does nothing; else 0",
                )?,
            ],
            counters: [
                counter("vestibule_seats_taken_total", "Seats that were taken")?,
                counter("vestibule_seats_refused_total", "Times that somebody asked for a seat and found none")?,
                counter("vestibule_seats_displaced_total", "Seats that were given to somebody else")?,
                counter("vestibule_seats_freed_total", "Seats that were freed before they ended by themselves")?,
            ],
            turn: Mutex::default(),
        })
    }

    /// Sets all of them, in the place of what they were: a licence that is gone leaves nothing behind. They are
    /// whole until what is given back is dropped.
    pub(super) fn set(&self, licences: &[MeasuredLicence]) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauges.iter().for_each(IntGaugeVec::reset);
        self.counters.iter().for_each(IntCounterVec::reset);
        for licence in licences {
            let MeasuredLicence { labels, seats, figures, to_free } = licence;
            let labels = labels.each_ref().map(String::as_str);
            let overflow = figures.in_use.saturating_sub(*seats);
            let gauges = [figures.in_use, *seats, overflow, usize::try_from(*to_free).unwrap_or(usize::MAX)];
            for (gauge, value) in self.gauges.iter().zip(gauges) {
                gauge.with_label_values(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
            let counters = [figures.taken, figures.refused, figures.displaced, figures.freed];
            for (counter, value) in self.counters.iter().zip(counters) {
                counter.with_label_values(&labels).inc_by(value);
            }
        }
        turn
    }
}
