//! Replicas, people and a store that fail in every way, played through by chance from a seed: whatever
//! happens, no more people are believed to be in than their licence has seats.
//!
//! The store goes by a clock of its own and measures spans, as Redis does; every replica's clock is off
//! by minutes. What is announced comes late, or after its replica has died. Licences are suspended and put
//! in force again, by one replica sooner than by another, and people come with two sessions that do not say
//! the same of them. One thing happens after the other: what happens at once is tried with real replicas
//! (`tests/it/seats.rs`).

use super::fixture::licence;
use super::licence::SHORTEST_GRACE;
use super::register::Applicant;
use super::{Freed, Licence, LicenceId, Member, Seated, Seats, Settings, WhenFull};
use crate::claims::{Claims, ClaimsView};
use crate::clock::Timestamp;
use crate::random::SystemRandom;
use crate::seal::{KeyMaterial, KeyRing};
use crate::store::{self, Claim, Claimed, Cursor, Key, Store, StoreError};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use zeroize::Zeroizing;

const PEOPLE: usize = 2000;
const LICENCES: u64 = 20;
const REPLICAS: usize = 4;
const RECENT: usize = 24;
const IDLE: Duration = Duration::from_secs(600);
const NEVER: u64 = u64::MAX / 2;
/// For how long a seat that an administrator has freed may be believed in where nothing is heard of it.
const BELIEVED: u64 = 90;

/// Numbers that follow from a seed (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

/// The store that all share, with its own time.
struct Shared {
    inner: Mutex<Arc<dyn Store>>,
    time: AtomicU64,
}

/// The store as one replica reaches it.
struct Line {
    shared: Arc<Shared>,
    is_down: Arc<AtomicBool>,
}

impl Line {
    /// The store, with its time; nothing while it cannot be reached.
    fn reach(&self) -> Result<(Arc<dyn Store>, Timestamp), StoreError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("it is down".to_owned()));
        }
        let time = Timestamp::from_unix(self.shared.time.load(Ordering::Relaxed));
        Ok((Arc::clone(&self.shared.inner.lock().unwrap()), time))
    }
}

/// The same span from another present.
fn shifted(until: Timestamp, now: Timestamp, there: Timestamp) -> Timestamp {
    there.plus(until.since(now))
}

#[async_trait]
impl Store for Line {
    async fn get(&self, key: &Key, _: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        let (store, time) = self.reach()?;
        store.get(key, time).await
    }

    async fn put(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let (store, time) = self.reach()?;
        store.put(key, value, shifted(until, now, time), time).await
    }

    async fn put_new(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let (store, time) = self.reach()?;
        store.put_new(key, value, shifted(until, now, time), time).await
    }

    async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (store, time) = self.reach()?;
        store.replace(key, expected, value, shifted(until, now, time), time).await
    }

    async fn take(&self, key: &Key, expected: &[u8], _: Timestamp) -> Result<bool, StoreError> {
        let (store, time) = self.reach()?;
        store.take(key, expected, time).await
    }

    async fn delete(&self, key: &Key, _: Timestamp) -> Result<(), StoreError> {
        let (store, time) = self.reach()?;
        store.delete(key, time).await
    }

    async fn index_add(&self, index: &Key, member: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let (store, time) = self.reach()?;
        store.index_add(index, member, shifted(until, now, time), time).await
    }

    async fn index_remove(&self, index: &Key, member: &[u8], _: Timestamp) -> Result<(), StoreError> {
        let (store, time) = self.reach()?;
        store.index_remove(index, member, time).await
    }

    async fn index_members(&self, index: &Key, _: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        let (store, time) = self.reach()?;
        store.index_members(index, time).await
    }

    async fn claim_place(&self, places: &Key, claim: &Claim<'_>, now: Timestamp) -> Result<Claimed, StoreError> {
        let (store, time) = self.reach()?;
        let until = shifted(claim.until, now, time);
        // It may lie in the past.
        let displacing =
            claim.displacing.map(|at| if at < now { time.minus(now.since(at)) } else { shifted(at, now, time) });
        let claim = Claim { until, displacing, ..*claim };
        Ok(match store.claim_place(places, &claim, time).await? {
            Claimed::Full(Some(end)) => Claimed::Full(Some(shifted(end, time, now))),
            claimed => claimed,
        })
    }

    async fn extend_places(
        &self,
        places: &Key,
        members: &[(Vec<u8>, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let (store, time) = self.reach()?;
        let members: Vec<_> =
            members.iter().map(|(member, until)| (member.clone(), shifted(*until, now, time))).collect();
        store.extend_places(places, &members, time).await
    }

    async fn free_place(&self, places: &Key, member: &[u8], _: Timestamp) -> Result<bool, StoreError> {
        let (store, time) = self.reach()?;
        store.free_place(places, member, time).await
    }

    async fn places(&self, places: &Key, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp)>, StoreError> {
        let (store, time) = self.reach()?;
        let held = store.places(places, time).await?;
        Ok(held.into_iter().map(|(member, end)| (member, shifted(end, time, now))).collect())
    }

    async fn announce(&self, entry: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let (store, time) = self.reach()?;
        store.announce(entry, shifted(until, now, time), time).await
    }

    async fn announced(
        &self,
        cursor: &Cursor,
        wait: Duration,
        _: Timestamp,
    ) -> Result<(Vec<Vec<u8>>, Cursor), StoreError> {
        let (store, time) = self.reach()?;
        store.announced(cursor, wait, time).await
    }
}

struct Replica {
    seats: Seats,
    /// How far its clock is behind, in seconds; they all are, for clocks have no sign here.
    behind: u64,
    is_down: Arc<AtomicBool>,
    cursor: Cursor,
}

struct Somebody {
    subject: String,
    member: Member,
    /// What each of their two sessions says of them.
    claims: [Claims; 2],
    /// When they signed in, by the true time.
    started: Option<u64>,
}

impl Somebody {
    /// Them with their session, if they have one.
    fn applicant<'a>(&'a self, session: usize, claims: &'a ClaimsView<'a>) -> Option<Applicant<'a>> {
        let started = self.started?;
        Some(Applicant {
            provider: "p",
            subject: &self.subject,
            claims,
            started: Timestamp::from_unix(started),
            ends_at: Timestamp::from_unix(NEVER),
            stamp: 2 * started + session as u64,
        })
    }
}

struct World {
    chance: Chance,
    shared: Arc<Shared>,
    replicas: Vec<Replica>,
    people: Vec<Somebody>,
    /// Each as it is in force, and suspended.
    licences: Vec<[Licence; 2]>,
    limits: BTreeMap<LicenceId, usize>,
    /// Whose each digest is.
    by_member: HashMap<Member, usize>,
    /// Who came last: whoever comes again soon meets what is still believed.
    recent: VecDeque<usize>,
    /// Until when, by the true time, what the store has forgotten may still be believed.
    excused_until: u64,
    /// The same of what administrators have freed.
    excused: HashMap<(LicenceId, Member), u64>,
    served: u64,
    refused: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let shared = Arc::new(Shared {
            inner: Mutex::new(store::open(&store::Settings::Memory).unwrap()),
            time: AtomicU64::new(2_000_000_000),
        });
        let mut limits = BTreeMap::new();
        let licences: Vec<[Licence; 2]> = (1..=LICENCES)
            .map(|number| {
                let seats = 1 + chance.below(5);
                let (when_full, more) = match chance.below(3) {
                    0 => ("refuse".to_owned(), 0),
                    1 => (format!("{{displace_idlest: {}s}}", SHORTEST_GRACE.as_secs() + chance.below(200)), 0),
                    _ => ("{overflow: 2}".to_owned(), 2),
                };
                // Of every institution, and every second of the whole group as well.
                let group = if number % 2 == 0 { ", organization_label: [group]" } else { "" };
                let text = format!(
                    "seats: {seats}, when_full: {when_full}, covers: {{email_domain: [i{number}.example]{group}}}"
                );
                let pair = [licence(number, &text), licence(number, &format!("active: false, {text}"))];
                limits.insert(pair[0].id(), usize::try_from(seats + more).unwrap());
                pair
            })
            .collect();
        let people = (0..PEOPLE)
            .map(|number| {
                let first = 1 + chance.below(LICENCES);
                let label = if chance.below(10) == 0 { "group" } else { "alone" };
                let elsewhere = if chance.below(4) == 0 { 1 + chance.below(LICENCES + 1) } else { first };
                let claims = [first, elsewhere].map(|institution| {
                    let email = format!("p{number}@i{institution}.example");
                    let claims = serde_json::json!({"email": email, "organization_label": label});
                    Claims::from_json(claims.as_object().unwrap())
                });
                let subject = format!("s{number}");
                Somebody { member: Member::of("p", &subject), subject, claims, started: None }
            })
            .collect();
        let mut world = Self {
            chance,
            shared,
            replicas: Vec::new(),
            people,
            licences,
            limits,
            by_member: HashMap::new(),
            recent: VecDeque::new(),
            excused_until: 0,
            excused: HashMap::new(),
            served: 0,
            refused: 0,
        };
        world.by_member = world.people.iter().enumerate().map(|(number, person)| (person.member, number)).collect();
        for _ in 0..REPLICAS {
            let replica = world.replica();
            world.replicas.push(replica);
        }
        world
    }

    fn replica(&mut self) -> Replica {
        let is_down = Arc::new(AtomicBool::new(false));
        let line = Line { shared: Arc::clone(&self.shared), is_down: Arc::clone(&is_down) };
        let settings =
            Settings { idle: IDLE, when_full: WhenFull::Refuse, managed: false, lifetime: Duration::from_secs(86400) };
        let key = KeyMaterial { id: "k".to_owned(), secret: Zeroizing::new([7; 32]), until: None };
        let ring = Arc::new(KeyRing::new(&[key]).unwrap());
        let seats = Seats::new(settings, ring, Arc::new(line), Arc::new(SystemRandom::new()));
        seats.register().declare(&self.some_suspended(), false);
        Replica { seats, behind: self.chance.below(600), is_down, cursor: Cursor::default() }
    }

    /// The licences, most of them in force.
    fn some_suspended(&mut self) -> Vec<Licence> {
        let chance = &mut self.chance;
        self.licences
            .iter()
            .map(|[in_force, suspended]| if chance.below(8) > 0 { in_force } else { suspended }.clone())
            .collect()
    }

    fn time(&self) -> u64 {
        self.shared.time.load(Ordering::Relaxed)
    }

    fn now(&self, replica: usize) -> Timestamp {
        Timestamp::from_unix(self.time() - self.replicas[replica].behind)
    }

    async fn step(&mut self) {
        match self.chance.below(1000) {
            0..680 => self.request().await,
            680..690 => {
                let (at, licences) = (self.chance.index(REPLICAS), self.some_suspended());
                self.replicas[at].seats.register().declare(&licences, false);
            }
            690..700 => self.free().await,
            700..760 => self.sign_out().await,
            760..860 => {
                let seconds = 1 + self.chance.below(20);
                self.shared.time.fetch_add(seconds, Ordering::Relaxed);
            }
            860..900 => {
                let at = self.chance.index(REPLICAS);
                let now = self.now(at);
                self.replicas[at].seats.renew_seats(now).await;
            }
            900..980 => self.hear().await,
            980..985 => {
                let at = self.chance.index(REPLICAS);
                self.replicas[at] = self.replica();
            }
            985..998 => {
                let at = self.chance.index(REPLICAS);
                let is_down = &self.replicas[at].is_down;
                is_down.store(!is_down.load(Ordering::Relaxed) && self.chance.below(2) == 0, Ordering::Relaxed);
            }
            _ if self.chance.below(20) == 0 => {
                // Everything is forgotten.
                *self.shared.inner.lock().unwrap() = store::open(&store::Settings::Memory).unwrap();
                for replica in &mut self.replicas {
                    replica.cursor = Cursor::default();
                }
                self.excused_until = self.time() + IDLE.as_secs();
            }
            _ => {}
        }
    }

    /// Mostly one of those who came last.
    fn somebody(&mut self) -> usize {
        let again = self.chance.below(3) > 0;
        let at = self.chance.index(RECENT);
        let who = match self.recent.get(at) {
            Some(who) if again => *who,
            _ => self.chance.index(PEOPLE),
        };
        self.recent.push_front(who);
        self.recent.truncate(RECENT);
        who
    }

    async fn request(&mut self) {
        let (who, at) = (self.somebody(), self.chance.index(REPLICAS));
        let (time, now) = (self.time(), self.now(at));
        let person = &mut self.people[who];
        // By the clock of whoever began it; all replicas compare it with others of that kind alone.
        person.started.get_or_insert(time);
        let person = &self.people[who];
        let session = self.chance.index(2);
        let view = person.claims[session].view();
        let Some(applicant) = person.applicant(session, &view) else { return };
        let seats = &self.replicas[at].seats;
        let seat = match seats.look(&applicant, now) {
            Seated::Held(seat) => Some(seat),
            Seated::Unknown => seats.take(&applicant, now, &SystemRandom::new()).await.ok(),
        };
        match seat {
            Some(seat) => {
                seat.touch(&applicant, now);
                self.served += 1;
            }
            None => self.refused += 1,
        }
    }

    async fn sign_out(&mut self) {
        let (who, at) = (self.somebody(), self.chance.index(REPLICAS));
        let now = self.now(at);
        let person = &mut self.people[who];
        if person.started.take().is_some() {
            // A new session begins in a later second, as `Sessions::moment_to_begin` sees to.
            self.shared.time.fetch_add(1, Ordering::Relaxed);
            let member = self.people[who].member;
            let _ = self.replicas[at].seats.free(member, Freed::SignedOut, now).await;
        }
    }

    /// An administrator frees a seat.
    async fn free(&mut self) {
        let (who, at) = (self.somebody(), self.chance.index(REPLICAS));
        let (now, member) = (self.now(at), self.people[who].member);
        let seats = &self.replicas[at].seats;
        let Ok(Some(licence)) = seats.seat_of(member, now).await else { return };
        if let Ok(true) = seats.free_of(licence, member, Freed::ByAdministrator, now).await {
            self.excused.insert((licence, member), self.time() + BELIEVED);
        }
    }

    async fn hear(&mut self) {
        let at = self.chance.index(REPLICAS);
        let now = self.now(at);
        let replica = &mut self.replicas[at];
        let line = Line { shared: Arc::clone(&self.shared), is_down: Arc::clone(&replica.is_down) };
        if let Ok((entries, next)) = line.announced(&replica.cursor, Duration::ZERO, now).await {
            replica.cursor = next;
            for entry in entries {
                assert!(Seats::is_about_seats(&entry));
                replica.seats.hear(&entry, now);
            }
        }
    }

    /// How many people are in by each licence: those whom a replica would let pass without asking.
    fn check(&self, seed: u64, step: usize) {
        if self.time() < self.excused_until {
            return;
        }
        let mut served: BTreeMap<LicenceId, BTreeSet<Member>> = BTreeMap::new();
        for (at, replica) in self.replicas.iter().enumerate() {
            let now = self.now(at);
            for member in replica.seats.ledger.members() {
                let person = &self.people[self.by_member[&member]];
                for (session, claims) in person.claims.iter().enumerate() {
                    let view = claims.view();
                    let Some(applicant) = person.applicant(session, &view) else { continue };
                    let Seated::Held(seat) = replica.seats.look(&applicant, now) else { continue };
                    let excused_until = self.excused.get(&(seat.licence(), member)).copied().unwrap_or_default();
                    if excused_until <= self.time() {
                        served.entry(seat.licence()).or_default().insert(member);
                    }
                }
            }
        }
        for (licence, people) in &served {
            let limit = self.limits[licence];
            assert!(people.len() <= limit, "seed {seed}, step {step}: {} are in, and {limit} may be", people.len());
        }
    }
}

async fn play(seeds: std::ops::Range<u64>, steps: usize) {
    for seed in seeds {
        let mut world = World::new(seed);
        for step in 0..steps {
            world.step().await;
            world.check(seed, step);
        }
        assert!(world.served > 0 && world.refused > 0, "seed {seed}: {} and {}", world.served, world.refused);
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a developer asks for more")]
async fn whatever_fails_no_more_are_in_than_there_are_seats() {
    // `SEEDS=1000 cargo test --release --lib seats::simulation` plays for longer.
    let seeds = std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(6);
    play(1..1 + seeds, 4000).await;
}
