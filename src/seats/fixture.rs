//! Licences for tests, and replicas over one store.

use super::licence::{Licence, WhenFull, Written};
use super::register::Applicant;
use super::{NoSeat, Seat, Seats, Settings};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::random::SystemRandom;
use crate::seal::{KeyMaterial, KeyRing};
use crate::store::fixture::Shaky;
use crate::store::{Cursor, Store};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The licence of this number, three seats if `more` does not say otherwise; `more` is YAML.
pub(crate) fn licence(number: u64, more: &str) -> Licence {
    let seats = if more.contains("seats:") { "" } else { "seats: 3, " };
    let text = format!("{{id: 00000000-0000-4000-8000-{number:012}, {seats}{more}}}");
    Licence::parse(written(&text)).unwrap()
}

/// What is written in YAML.
pub(crate) fn written(text: &str) -> Written {
    let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
    serde_json::from_value(value).unwrap()
}

/// One store, and as many replicas over it as a test makes.
#[derive(Default)]
pub(crate) struct Bench {
    pub(crate) store: Arc<Shaky>,
}

impl Bench {
    /// A replica: half an hour of idleness, and licences in the store.
    pub(crate) fn seats(&self) -> Seats {
        self.seats_with(|_| {})
    }

    pub(crate) fn seats_with(&self, change: impl FnOnce(&mut Settings)) -> Seats {
        let key = KeyMaterial { id: "k".to_owned(), secret: Zeroizing::new([7; 32]), until: None };
        let ring = Arc::new(KeyRing::new(&[key]).unwrap());
        let mut settings = Settings {
            idle: Duration::from_secs(1800),
            when_full: WhenFull::Refuse,
            managed: true,
            lifetime: Duration::from_secs(12 * 3600),
        };
        change(&mut settings);
        Seats::new(settings, ring, self.store(), Arc::new(SystemRandom::new()))
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::<Shaky>::clone(&self.store)
    }

    /// Has a replica hear all that was announced.
    pub(crate) async fn hear(&self, seats: &Seats, now: Timestamp) {
        let (entries, _) = self.store().announced(&Cursor::default(), Duration::ZERO, now).await.unwrap();
        for entry in entries {
            assert!(Seats::is_about_seats(&entry));
            seats.hear(&entry, now);
        }
    }
}

/// Takes a seat for somebody whose session began then.
pub(crate) async fn take(seats: &Seats, subject: &str, started: Timestamp, now: Timestamp) -> Result<Seat, NoSeat> {
    let claims = serde_json::json!({"sub": subject, "email": format!("{subject}@example.fr")});
    let claims = Claims::from_json(claims.as_object().unwrap());
    let view = claims.view();
    let ends_at = now.plus(Duration::from_secs(12 * 3600));
    let applicant = Applicant { provider: "p", subject, claims: &view, started, ends_at, stamp: 1 };
    seats.take(&applicant, now, &SystemRandom::new()).await
}
