//! Three replicas and many people over one Redis: never more at once than a licence has seats, on
//! whichever replica they ask, while one of them dies, and while everybody comes and goes.
//!
//! `SEATS_PEOPLE` says how many people, for a long run; figures are printed.

use super::admin_sessions::ask as ask_admin;
use super::support::client::{Answer, Client};
use super::support::counterparts::require;
use super::support::redis::Redis;
use super::support::shown::header_at_app;
use super::support::site::{ORIGIN, Setup, Site};
use super::support::waiting::{until, until_well};
use futures_util::stream::{self, StreamExt};
use http::Method;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;
use tokio::time::Instant;
use vestibule::demo::provider::Agent;

/// How many people, where nothing else is said.
const PEOPLE: usize = 150;
/// How many of them ask at the same time.
const AT_ONCE: usize = 40;
const REPLICAS: usize = 3;

/// A licence for whoever is of its institution, of which there are as many people as of the others.
struct Licence {
    id: &'static str,
    domain: &'static str,
    seats: usize,
}

const LICENCES: [Licence; 3] = [
    Licence { id: "2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e", domain: "large.example", seats: 20 },
    Licence { id: "7d9c0b1e-55aa-4c3e-8f21-9a6b7c8d0e1f", domain: "middle.example", seats: 7 },
    Licence { id: "0b1e7d9c-8a3e-4b7d-9c56-9a6b7c8d0e1f", domain: "small.example", seats: 3 },
];

/// Somebody who has signed in.
struct Person {
    cookies: String,
    licence: usize,
    /// Where they ask first.
    replica: usize,
}

struct Replica {
    site: Site,
    /// Of everybody: whose request it is its cookies say.
    client: Client,
}

impl Replica {
    async fn start(redis: &Redis, issuer: Option<String>) -> Self {
        let licences = LICENCES.map(|Licence { id, domain, seats }| {
            format!("{{id: {id}, seats: {seats}, covers: {{email_domain: [{domain}]}}}}")
        });
        let more = format!(
            "store: {{redis: \"redis://127.0.0.1:{}\"}}\nadmin: {{token: {{env: ADMIN_TOKEN}}}}\nlicences: [{}]\n\
             session: {{idle: 24h, lifetime: 48h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n",
            redis.port,
            licences.join(", "),
        );
        let routes = "[{path: /help, seat: none, upstream: app}, {path: /**, upstream: app}]".to_owned();
        let site = Site::with(Setup { more, routes, issuer, ..Setup::default() }).await;
        let client = site.client();
        Self { site, client }
    }

    /// Whether somebody is let in. Nobody is ever told anything but that all seats are taken.
    async fn lets_in(&self, person: &Person) -> bool {
        let headers = [("accept", "application/json"), ("cookie", &*person.cookies)];
        let answer = until_well(async || self.client.get("/", &headers).await).await;
        if answer.status == 200 {
            let licence = LICENCES[person.licence].id;
            assert_eq!(header_at_app(&answer, "x-vestibule-licence").as_deref(), Some(licence));
            return true;
        }
        assert_eq!((answer.status, answer.json()["error"].as_str()), (409, Some("seats_taken")));
        false
    }

    async fn signs_out(&self, person: &Person) -> Answer {
        let headers = [
            ("origin", ORIGIN),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
            ("accept", "text/html"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", &*person.cookies),
        ];
        self.client.send(Method::POST, "/oauth2/sign_out", &headers, Vec::new()).await
    }

    /// How many have a seat of a licence, as administrators see it.
    async fn seated(&self, licence: &Licence) -> usize {
        let shown = ask_admin(&self.site, Method::GET, &format!("/licences/{}/seats", licence.id)).await;
        shown.json()["seats"].as_array().unwrap().len()
    }
}

/// Somebody signs in, and asks for no seat yet. The provider knows one person at a time.
async fn comes(number: usize, replicas: &[Replica], provider: &Mutex<&Site>) -> Person {
    let licence = number % LICENCES.len();
    let replica = number / LICENCES.len() % replicas.len();
    let client = replicas[replica].site.client();
    let sent = client.navigate("/help").await;
    let back = {
        let site = provider.lock().await;
        let email = format!("p{number}@{}", LICENCES[licence].domain);
        site.provider.sign_in_as(Agent::new(&format!("p{number}"), "Durand", &email));
        client.navigate(sent.location()).await
    };
    let shown = client.follow(back).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    Person { cookies: client.cookie_header("app.example").unwrap(), licence, replica }
}

/// Whether each is let in where `at` says, all at the same time.
async fn all_ask(people: &[Person], replicas: &[Replica], at: impl Fn(&Person) -> usize) -> Vec<bool> {
    let asked = people.iter().map(|person| replicas[at(person)].lets_in(person));
    stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
}

fn count(people: &[Person], are_in: &[bool]) -> Vec<usize> {
    let of = |licence| people.iter().zip(are_in).filter(|(person, is_in)| person.licence == licence && **is_in).count();
    (0..LICENCES.len()).map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "figures of a long run, for whoever asked for it")]
async fn never_more_than_its_seats_are_in_at_once_on_three_replicas_of_which_one_dies() {
    require!(Redis);
    #[expect(clippy::disallowed_methods, reason = "a developer asks for a long run")]
    let people = std::env::var("SEATS_PEOPLE").map_or(PEOPLE, |people| people.parse().unwrap());
    let redis = Redis::start().await;
    let mut replicas = vec![Replica::start(&redis, None).await];
    while replicas.len() < REPLICAS {
        let issuer = replicas[0].site.provider.issuer().to_owned();
        replicas.push(Replica::start(&redis, Some(issuer)).await);
    }
    let began = Instant::now();
    let provider = Mutex::new(&replicas[0].site);
    let signed_in = stream::iter(0..people).map(|number| comes(number, &replicas, &provider));
    let people: Vec<Person> = signed_in.buffered(AT_ONCE).collect().await;
    eprintln!("{} people have signed in after {:?}", people.len(), began.elapsed());

    let expected: Vec<usize> = LICENCES.iter().map(|licence| licence.seats).collect();
    let inside = all_ask(&people, &replicas, |person| person.replica).await;
    assert_eq!(count(&people, &inside), expected);
    eprintln!("all have asked after {:?}", began.elapsed());
    // It is the same people, wherever they ask.
    let elsewhere = all_ask(&people, &replicas, |person| (person.replica + 1) % REPLICAS).await;
    assert_eq!(elsewhere, inside);

    // One replica dies. Those who were on it go on with the seats that they have, and nobody has them besides.
    let dead = replicas.pop().unwrap().site;
    let address = dead.address;
    drop(dead);
    until("it is gone", async || Client::new(address).try_get("/", &[]).await.is_err()).await;
    assert!(people.iter().zip(&inside).any(|(person, is_in)| *is_in && person.replica == replicas.len()));
    assert_eq!(all_ask(&people, &replicas, |person| person.replica % replicas.len()).await, inside);
    for licence in &LICENCES {
        assert_eq!(replicas[1].seated(licence).await, licence.seats);
    }
    eprintln!("a replica has died, and all have asked again, after {:?}", began.elapsed());

    // Everybody gets in once, and leaves.
    let here: Vec<AtomicUsize> = expected.iter().map(|seats| AtomicUsize::new(*seats)).collect();
    let refused = AtomicUsize::new(0);
    let (first, then): (Vec<_>, Vec<_>) = people.iter().zip(inside).partition(|(_, is_in)| *is_in);
    let come_and_go = first.into_iter().chain(then).enumerate().map(async |(number, (person, was_in))| {
        let (replica, here) = (&replicas[number % replicas.len()], &here[person.licence]);
        if !was_in {
            until("there is a seat", async || {
                let is_in = replica.lets_in(person).await;
                refused.fetch_add(usize::from(!is_in), Ordering::Relaxed);
                is_in
            })
            .await;
            let together = here.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(together <= LICENCES[person.licence].seats, "{together} are in at once");
        }
        // From before they leave on they do not count.
        here.fetch_sub(1, Ordering::SeqCst);
        let left = replica.signs_out(person).await;
        assert_eq!(left.status, 303, "{}", left.text());
    });
    stream::iter(come_and_go.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    for licence in &LICENCES {
        until("all seats are free", async || replicas[0].seated(licence).await == 0).await;
    }
    eprintln!("all have been in and have left after {:?}; refused {refused:?} times meanwhile", began.elapsed());
}
