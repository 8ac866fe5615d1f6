//! What the people and the licences cost that are written down: a real Redis, and the process beside it.
//!
//! `cargo bench --bench register` starts a `redis-server` of its own, has 20,000 people take a seat one
//! after the other and sign out again, and adds ten thousand licences as administrators do;
//! `PEOPLE=1000000 cargo bench --bench register` does it with a million. It prints bytes for each and
//! how long a start takes that reads all licences; there is nothing in it to be compared with a peer.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench that cannot begin has nothing to measure, and measuring looks at the clock"
)]

mod fixture;

use fixture::{resident, written};
use futures_util::future::join_all;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule::claims::Claims;
use vestibule::clock::{Clock, Timestamp};
use vestibule::random::SystemRandom;
use vestibule::seal::{KeyMaterial, KeyRing};
use vestibule::seats::{Applicant, Freed, Licence, LicenceId, Member, Seats, Settings, WhenFull};
use vestibule::store::{self, Mode, Node, RedisSettings};
use zeroize::Zeroizing;

const LICENCES: u64 = 10_000;
/// How many people come at once.
const AT_ONCE: u64 = 64;

/// A server of our own.
struct Redis {
    server: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let server = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which has to be installed");
        let redis = Self { server, port };
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    /// What it says of its memory, in bytes.
    fn used(&self) -> u64 {
        let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("Redis");
        line.write_all(b"INFO memory\r\nQUIT\r\n").expect("asked");
        let mut answer = String::new();
        line.read_to_string(&mut answer).expect("answered");
        let used = answer.lines().find_map(|line| line.strip_prefix("used_memory:"));
        used.and_then(|used| used.trim().parse().ok()).expect("used_memory")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A replica that starts.
fn replica(redis: &Redis, managed: bool) -> Seats {
    let settings = RedisSettings {
        mode: Mode::Single,
        nodes: vec![Node { host: "127.0.0.1".to_owned(), port: redis.port }],
        tls: false,
        ca: None,
        username: None,
        password: None,
        database: 0,
        prefix: if managed { "managed:" } else { "declared:" }.to_owned(),
    };
    let store = store::open(&store::Settings::Redis(Box::new(settings))).expect("a store");
    let settings = Settings {
        idle: Duration::from_secs(1800),
        when_full: WhenFull::Refuse,
        managed,
        lifetime: Duration::from_secs(86_400),
    };
    let key = KeyMaterial { id: "k".to_owned(), secret: Zeroizing::new([7; 32]), until: None };
    let ring = Arc::new(KeyRing::new(&[key]).expect("a key"));
    Seats::new(settings, ring, store, Arc::new(SystemRandom::new()))
}

/// Somebody takes a seat for the first time, and signs out.
async fn visit(seats: &Seats, number: u64, now: Timestamp) {
    let institution = 1 + number % LICENCES;
    let claims = serde_json::json!({
        "email": format!("helene.moreau.{number}@i{institution}.example"),
        "siret": format!("{institution:014}"),
    });
    let claims = Claims::from_json(claims.as_object().expect("an object"));
    let subject = format!("2f1e4a52-8a3e-4b7d-9c56-{number:012}");
    let applicant = Applicant {
        provider: "proconnect",
        subject: &subject,
        claims: &claims.view(),
        started: now,
        ends_at: now.plus(Duration::from_secs(86_400)),
        stamp: number,
    };
    seats.take(&applicant, now, &SystemRandom::new()).await.unwrap_or_else(|why| panic!("{why}"));
    let member = Member::of("proconnect", &subject);
    seats.free(member, Freed::SignedOut, now).await.expect("freed");
}

async fn people(redis: &Redis, people: u64) {
    let seats = replica(redis, false);
    let declared = (1..=LICENCES).map(|number| Licence::parse(written(number)));
    let declared: Vec<Licence> = declared.collect::<Result<_, _>>().unwrap_or_else(|faults| panic!("{faults:?}"));
    seats.register().declare(&declared, false);
    drop(declared);
    // The first ones pay for what is made once.
    let (mut before, mut begun, first) = ((0, 0), Instant::now(), people / 20);
    for from in (0..first + people).step_by(usize::try_from(AT_ONCE).expect("a number")) {
        if from <= first {
            (before, begun) = ((redis.used(), resident()), Instant::now());
        }
        let now = Clock::System.now();
        join_all((from..from + AT_ONCE).map(|number| visit(&seats, number, now))).await;
        seats.write_down(now).await;
    }
    let each = redis.used().saturating_sub(before.0) / people;
    let more = resident().saturating_sub(before.1) / 1000;
    println!("{people} registered people: {each} bytes each in Redis, {more} kB in the process, which forgets them;");
    let took = begun.elapsed();
    println!("  each takes a seat, is written down and signs out: {} µs", took.as_micros() / u128::from(people));
    let one = LicenceId::parse("00000000-0000-4000-8000-000000000001").expect("a UUID");
    let begun = Instant::now();
    let page = seats.people(one, None, 100, Clock::System.now()).await.expect("a page").len();
    println!("  the first {page} people of one licence: {} ms", begun.elapsed().as_millis());
}

async fn licences(redis: &Redis) {
    let (before, administrator) = (redis.used(), replica(redis, true));
    let now = Clock::System.now();
    for number in 1..=LICENCES {
        administrator.add_licence(written(number), now).await.expect("added");
    }
    println!("{LICENCES} licences of administrators: {} bytes each in Redis", (redis.used() - before) / LICENCES);
    drop(administrator);
    let starting = replica(redis, true);
    let (before, begun) = (resident(), Instant::now());
    starting.read_licences(now).await.expect("read");
    let took = begun.elapsed().as_millis();
    println!("  a start reads them in {took} ms, {} kB in the process", resident().saturating_sub(before) / 1000);
    assert_eq!(u64::try_from(starting.register().len()), Ok(LICENCES));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let count = std::env::var("PEOPLE").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let redis = Redis::start();
    runtime.block_on(async {
        people(&redis, count).await;
        licences(&redis).await;
    });
}
