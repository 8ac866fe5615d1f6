//! Seats over a real Redis: three replicas, two thousand people, hundreds at once.

use crate::support::counterparts::require;
use crate::support::redis::{Redis, settings};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vestibule::claims::Claims;
use vestibule::clock::{Clock, Timestamp};
use vestibule::random::SystemRandom;
use vestibule::seal::{KeyMaterial, KeyRing};
use vestibule::seats::{Applicant, Freed, Licence, LicenceId, Member, NoSeat, Seats, Settings, WhenFull};
use vestibule::store::{self, Cursor};
use zeroize::Zeroizing;

const PEOPLE: usize = 2000;
const LICENCES: usize = 20;
const SEATS: usize = 7;
/// How many of them come at the same time: more is no other race, and a long queue for a slow machine.
const AT_ONCE: usize = 400;
/// How often each person comes, does something, and signs out.
const VISITS: usize = 3;

fn licence(number: usize) -> Licence {
    let written = serde_json::json!({
        "id": format!("00000000-0000-4000-8000-{number:012}"),
        "seats": SEATS,
        // Every tenth person is covered by two.
        "covers": {"email_domain": [format!("i{number}.example")], "idp_id": [format!("g{}", number % 5)]},
    });
    Licence::parse(serde_json::from_value(written).unwrap()).unwrap()
}

fn replica(port: u16) -> Arc<Seats> {
    let store = store::open(&store::Settings::Redis(Box::new(settings(&[port])))).unwrap();
    let settings = Settings {
        idle: Duration::from_secs(600),
        when_full: WhenFull::Refuse,
        managed: false,
        lifetime: Duration::from_secs(86_400),
    };
    let key = KeyMaterial { id: "k".to_owned(), secret: Zeroizing::new([7; 32]), until: None };
    let ring = Arc::new(KeyRing::new(&[key]).unwrap());
    let seats = Arc::new(Seats::new(settings, ring, Arc::clone(&store), Arc::new(SystemRandom::new())));
    seats.register().declare(&(0..LICENCES).map(licence).collect::<Vec<_>>(), false);
    // As a site follows what is announced.
    let hears = Arc::clone(&seats);
    tokio::spawn(async move {
        let mut cursor = Cursor::default();
        loop {
            let now = Clock::System.now();
            let Ok((entries, next)) = store.announced(&cursor, Duration::from_secs(5), now).await else { continue };
            cursor = next;
            for entry in entries {
                hears.hear(&entry, Clock::System.now());
            }
        }
    });
    seats
}

/// One person's visits, each with a session of its own at one replica or another. How often they had no
/// seat.
async fn visits(number: usize, replicas: &[Arc<Seats>], inside: &HashMap<LicenceId, AtomicUsize>) -> usize {
    let group = if number.is_multiple_of(10) { format!("g{}", number % 5) } else { "none".to_owned() };
    let claims = serde_json::json!({"email": format!("p{number}@i{}.example", number % LICENCES), "idp_id": group});
    let claims = Claims::from_json(claims.as_object().unwrap());
    let (view, subject, random) = (claims.view(), format!("s{number}"), SystemRandom::new());
    let mut refused = 0;
    for visit in 0..VISITS {
        let seats = &replicas[(number + visit) % replicas.len()];
        let now = Clock::System.now();
        let applicant = Applicant {
            provider: "p",
            subject: &subject,
            claims: &view,
            // Later than the one before, as sessions of one person are.
            started: Timestamp::from_unix(now.as_unix() + visit as u64),
            ends_at: now.plus(Duration::from_secs(86_400)),
            stamp: visit as u64,
        };
        match seats.take(&applicant, now, &random).await {
            Ok(seat) => {
                let count = &inside[&seat.licence()];
                let there = count.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(there <= SEATS, "{there} are in by {}", seat.licence());
                tokio::task::yield_now().await;
                count.fetch_sub(1, Ordering::SeqCst);
                seats.free(Member::of("p", &subject), Freed::SignedOut, Clock::System.now()).await.unwrap();
            }
            Err(NoSeat::Full { .. }) => refused += 1,
            Err(why) => panic!("{why}"),
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_replicas_and_two_thousand_people_never_exceed_a_licence() {
    require!(Redis);
    let redis = Redis::start().await;
    let replicas: Arc<[Arc<Seats>]> = (0..3).map(|_| replica(redis.port)).collect();
    let inside: Arc<HashMap<_, _>> =
        Arc::new((0..LICENCES).map(|number| (licence(number).id(), AtomicUsize::new(0))).collect());
    let (mut people, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for number in 0..PEOPLE {
        let (replicas, inside, turns) = (Arc::clone(&replicas), Arc::clone(&inside), Arc::clone(&turns));
        people.spawn(async move {
            let _turn = turns.acquire().await;
            visits(number, &replicas, &inside).await
        });
    }
    let mut refused = 0;
    while let Some(visited) = people.join_next().await {
        refused += visited.unwrap();
    }
    assert!(refused > 0, "there were always enough seats");
    // And none is left over.
    for number in 0..LICENCES {
        assert_eq!(replicas[0].taken(licence(number).id(), Clock::System.now()).await.unwrap(), []);
    }
}
