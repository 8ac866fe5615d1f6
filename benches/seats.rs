//! What a seat costs the everyday request, and what many licences and people cost in memory.
//!
//! `look` is all that a request of somebody with a seat adds to the decision (`benches/gate.rs` has that
//! one): find what is believed of them, see whether their licence still counts, note that they did
//! something. Once with ten licences and a hundred people, and beside it in the same run with ten
//! thousand and a hundred thousand. `claim` is what it costs to ask a store for the seat, without the way
//! there: what the belief saves.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot begin has nothing to measure"
)]

mod fixture;

use criterion::{Criterion, criterion_group, criterion_main};
use fixture::{resident, written};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use vestibule::claims::Claims;
use vestibule::clock::Timestamp;
use vestibule::random::SystemRandom;
use vestibule::seal::{KeyMaterial, KeyRing};
use vestibule::seats::{Applicant, Licence, Seated, Seats, Settings, WhenFull};
use vestibule::store;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp::from_unix(2_000_000_000);

fn licence(number: u64) -> Licence {
    Licence::parse(written(number)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// What is said of somebody.
fn claims(number: u64, licences: u64) -> Claims {
    let institution = 1 + number % licences;
    let claims = serde_json::json!({
        "email": format!("p{number}@i{institution}.example"),
        "siret": format!("{institution:014}"),
        "organization_label": format!("Institution {institution}"),
        "roles": ["agent_public", "agent_public_etat"],
    });
    Claims::from_json(claims.as_object().expect("an object"))
}

fn told(what: &str, before: usize) {
    println!("{what}: {} kB", resident().saturating_sub(before) / 1000);
}

/// A site with so many licences and so many people who have a seat.
fn site(licences: u64, people: u64) -> Seats {
    let settings = Settings {
        idle: Duration::from_secs(1800),
        when_full: WhenFull::Refuse,
        managed: false,
        lifetime: Duration::from_secs(86_400),
    };
    let before = resident();
    let declared: Vec<Licence> = (1..=licences).map(licence).collect();
    let key = KeyMaterial { id: "k".to_owned(), secret: Zeroizing::new([7; 32]), until: None };
    let ring = Arc::new(KeyRing::new(&[key]).expect("a key"));
    let store = store::open(&store::Settings::Memory).expect("a store");
    let seats = Seats::new(settings, ring, store, Arc::new(SystemRandom::new()));
    seats.register().declare(&declared, false);
    drop(declared);
    told(&format!("{licences} licences"), before);
    let before = resident();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let random = SystemRandom::new();
    runtime.block_on(async {
        for number in 0..people {
            asked(number, licences, async |applicant| {
                seats.take(applicant, NOW, &random).await.unwrap_or_else(|why| panic!("{why}"));
            })
            .await;
        }
    });
    told(&format!("{people} people with a seat, with what a memory store holds of them"), before);
    seats
}

async fn asked(number: u64, licences: u64, ask: impl AsyncFn(&Applicant<'_>)) {
    let claims = claims(number, licences);
    let view = claims.view();
    ask(&Applicant {
        provider: "proconnect",
        subject: &format!("2f1e4a52-8a3e-4b7d-9c56-{number:012}"),
        claims: &view,
        started: NOW,
        ends_at: NOW.plus(Duration::from_secs(86_400)),
        stamp: number,
    })
    .await;
}

fn look(criterion: &mut Criterion, name: &str, seats: &Seats, licences: u64, people: u64) {
    let number = people / 2;
    let claims = claims(number, licences);
    let view = claims.view();
    let applicant = Applicant {
        provider: "proconnect",
        subject: &format!("2f1e4a52-8a3e-4b7d-9c56-{number:012}"),
        claims: &view,
        started: NOW,
        ends_at: NOW.plus(Duration::from_secs(86_400)),
        stamp: number,
    };
    criterion.bench_function(&format!("look/{name}"), |bencher| {
        bencher.iter(|| match seats.look(black_box(&applicant), NOW) {
            Seated::Held(seat) => {
                seat.touch(&applicant, NOW);
                seat.licence()
            }
            Seated::Unknown => panic!("they have a seat"),
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let random = SystemRandom::new();
    criterion.bench_function(&format!("claim/{name}"), |bencher| {
        bencher.iter(|| runtime.block_on(seats.take(black_box(&applicant), NOW, &random)).is_ok());
    });
}

fn seats(criterion: &mut Criterion) {
    let few = Arc::new(site(10, 100));
    let many = Arc::new(site(10_000, 100_000));
    look(criterion, "10 licences, 100 people", &few, 10, 100);
    look(criterion, "10000 licences, 100000 people", &many, 10_000, 100_000);
}

criterion_group!(benches, seats);
criterion_main!(benches);
