//! Licences and seats as people and apps meet them: so many at once and never more, whoever comes, and
//! whatever becomes of those who have one.

use super::admin_sessions::ask;
use super::support::client::{Answer, Client};
use super::support::counterparts::require;
use super::support::log_watch::access_line_with;
use super::support::redis::Redis;
use super::support::shown::header_at_app;
use super::support::site::{ORIGIN, Setup, Site};
use super::support::socket::{Socket, close_of, echoes, socket};
use super::support::waiting::{promptly, until};
use futures_util::future::join_all;
use http::Method;
use std::time::Duration;
use vestibule::app::Reloaded;
use vestibule::clock::Clock;
use vestibule::demo::provider::Agent;

const LICENCE: &str = "2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e";
const OTHER: &str = "7d9c0b1e-55aa-4c3e-8f21-9a6b7c8d0e1f";
/// Within which whoever has lost their seat is cut.
const WITHIN: Duration = Duration::from_secs(1);

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Everybody of example.org, two at a time.
fn licence(more: &str) -> String {
    format!(
        "{{id: {LICENCE}, serial: CH-17, seats: 2, owner: {{email: licences@example.org}}, \
         covers: {{email_domain: [example.org]}}{more}}}"
    )
}

fn config(seats: &str, licences: &str) -> String {
    format!(
        "seats: {{{seats}}}\nlicences: [{licences}]\n\
         session: {{idle: 24h, lifetime: 48h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n"
    )
}

const ROUTES: &str = "[{path: /public/**, access: public, upstream: app}, {path: /help, seat: none, upstream: app}, \
                      {path: /**, upstream: app}]";

async fn site(seats: &str, licences: &str) -> Site {
    site_with(&config(seats, licences)).await
}

async fn site_with(more: &str) -> Site {
    Site::with(Setup { more: more.to_owned(), routes: ROUTES.to_owned(), ..Setup::default() }).await
}

fn person(name: &str) -> Agent {
    Agent::new(name, "Durand", &format!("{name}@example.org"))
}

/// Somebody who has just signed in, and what they were shown then.
async fn comes(site: &Site, name: &str) -> (Client, Answer) {
    site.provider.sign_in_as(person(name));
    let client = site.client();
    let shown = client.browse("/").await;
    (client, shown)
}

/// Somebody who has a seat.
async fn seated(site: &Site, name: &str) -> Client {
    let (client, shown) = comes(site, name).await;
    assert_eq!(shown.status, 200, "{name}: {}", shown.text());
    client
}

async fn asks(client: &Client) -> Answer {
    client.get("/", &[("accept", "application/json")]).await
}

async fn status(client: &Client) -> u16 {
    asks(client).await.status
}

/// Who has a seat, as administrators see it.
async fn seats(site: &Site) -> Vec<serde_json::Value> {
    let shown = ask(site, Method::GET, &format!("/licences/{LICENCE}/seats")).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    shown.json()["seats"].as_array().unwrap().clone()
}

async fn open(site: &Site, client: &Client) -> Socket {
    socket(site, "/ws", client.cookie_header("app.example")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_are_in_at_once_and_the_next_has_the_place_of_whoever_signs_out() {
    let site = site("", &licence("")).await;
    let (one, two) = (seated(&site, "ada").await, seated(&site, "bea").await);
    let (third, page) = comes(&site, "cleo").await;
    // A page that says why, in their language, and looks again by itself.
    assert_eq!((page.status, page.header("retry-after"), page.header("refresh")), (409, Some("10"), Some("10")));
    for words in ["Les 2\u{a0}places sont prises.", "CH-17", "licences@example.org", "Réessayer"] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    let page = third.get("/deep?x=1", &[("accept", "text/html"), ("accept-language", "en")]).await;
    assert!(page.text().contains("All 2 seats are taken.") && page.text().contains("href=\"/deep?x=1\""));
    let told = asks(&third).await;
    assert_eq!((told.status, told.header("retry-after"), told.header("refresh")), (409, Some("10"), None));
    let said = told.json();
    assert_eq!(
        (said["error"].as_str(), said["licence"].as_str(), said["seats"].as_u64()),
        (Some("seats_taken"), Some(LICENCE), Some(2))
    );
    access_line_with(&format!("all 2 seats of licence {LICENCE} are taken")).await;
    // Nobody else is kept out by that, nor from where no seat is needed.
    assert_eq!((status(&one).await, status(&two).await), (200, 200));
    assert_eq!(third.get("/help", &[]).await.status, 200);
    assert_eq!(third.get("/public/x", &[]).await.status, 200);
    assert_eq!(third.get("/oauth2/auth", &[]).await.status, 403, "whoever asks for an app hears it as well");
    assert_eq!(one.get("/oauth2/auth", &[]).await.status, 202);
    one.submit("/oauth2/sign_out", "").await;
    until("the seat is free", async || status(&third).await == 200).await;
    assert_eq!(header_at_app(&asks(&third).await, "x-vestibule-licence").as_deref(), Some(LICENCE));
    assert_eq!(comes(&site, "ada").await.1.status, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seat_is_a_person_s_and_not_a_browser_s() {
    let site = site("", &licence("")).await;
    let (laptop, other) = (seated(&site, "ada").await, seated(&site, "bea").await);
    let phone = seated(&site, "ada").await;
    assert_eq!((status(&laptop).await, status(&phone).await, status(&other).await), (200, 200, 200));
    // Signed out on one of two, they still have it.
    phone.submit("/oauth2/sign_out", "").await;
    assert_eq!(comes(&site, "cleo").await.1.status, 409);
    assert_eq!(status(&laptop).await, 200);
    laptop.submit("/oauth2/sign_out", "").await;
    until("the seat is free", async || comes(&site, "cleo").await.1.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_nothing_gives_up_their_seat_and_gets_one_again_if_there_is_one() {
    let site = site("idle: 10m", &licence("")).await;
    let (idle, active) = (seated(&site, "ada").await, seated(&site, "bea").await);
    for _ in 0..3 {
        site.clock.advance(minutes(4));
        assert_eq!(status(&active).await, 200);
    }
    let third = seated(&site, "cleo").await;
    assert_eq!(status(&idle).await, 409, "it is taken by now");
    site.clock.advance(minutes(6));
    assert_eq!(status(&active).await, 200);
    site.clock.advance(minutes(4));
    // Silently, and without signing in again.
    assert_eq!((status(&idle).await, status(&third).await), (200, 409));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_over_a_websocket_keeps_a_seat_and_silence_does_not() {
    let more = format!("admin: {{token: {{env: ADMIN_TOKEN}}}}\n{}", config("idle: 10m", &licence("")));
    let site = site_with(&more).await;
    let (talks, silent) = (seated(&site, "ada").await, seated(&site, "bea").await);
    let (mut talking, mut still) = (open(&site, &talks).await, open(&site, &silent).await);
    for _ in 0..4 {
        site.clock.advance(minutes(4));
        assert!(echoes(&mut talking).await);
        until("what was said counts", async || {
            let now = Clock::Manual(site.clock.clone()).now().rfc3339();
            seats(&site).await.iter().any(|seat| seat["email"] == "ada@example.org" && seat["last_active"] == now)
        })
        .await;
    }
    let third = seated(&site, "cleo").await;
    assert_eq!((status(&talks).await, status(&third).await), (200, 200));
    // Who comes back over the connection that was silent finds no seat, and is cut.
    assert!(echoes(&mut still).await);
    let frame = promptly("it is cut", 2 * WITHIN, close_of(&mut still)).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "no longer admitted"));
    access_line_with("cut: no longer admitted: all 2 seats of licence").await;
    assert!(echoes(&mut talking).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_idlest_gives_way_is_told_so_and_cut_and_may_ask_again() {
    let site = site("when_full: {displace_idlest: 5m}", &licence("")).await;
    let (idle, other) = (seated(&site, "ada").await, seated(&site, "bea").await);
    let mut live = open(&site, &idle).await;
    site.clock.advance(minutes(4));
    assert_eq!(status(&other).await, 200);
    assert_eq!(comes(&site, "cleo").await.1.status, 409, "nobody was idle for as long as that");
    site.clock.advance(minutes(2));
    let third = seated(&site, "cleo").await;
    let frame = promptly("the idlest is cut", WITHIN, close_of(&mut live)).await;
    assert_eq!(u16::from(frame.code), 1008);
    // Whatever they come with next says so, and takes no seat by itself.
    site.clock.advance(minutes(6));
    assert_eq!(status(&other).await, 200);
    assert_eq!(asks(&idle).await.json()["error"], "seat_given_up");
    let page = idle.browse("/deep").await;
    assert_eq!((page.status, page.header("refresh")), (409, None));
    assert!(page.text().contains("Votre place a été donnée à quelqu’un d’autre"), "{}", page.text());
    assert!(page.text().contains("name=\"rd\" value=\"/deep\""));
    // Not for another site's page.
    let foreign = [("origin", "https://evil.example"), ("content-type", "application/x-www-form-urlencoded")];
    let refused = idle.send(Method::POST, "/oauth2/seat", &foreign, b"rd=/".to_vec()).await;
    assert_eq!(refused.status, 400);
    assert_eq!(status(&idle).await, 409);
    // They ask for one: the third is the idlest by now.
    let asked = idle.submit("/oauth2/seat", "rd=%2Fdeep").await;
    assert_eq!((asked.status, asked.location()), (303, "https://app.example/deep"));
    assert_eq!((status(&idle).await, status(&third).await, status(&other).await), (200, 409, 200));
    for rd in ["rd=https%3A%2F%2Fevil.example", "rd=%2F%2Fevil.example", ""] {
        assert_eq!(idle.submit("/oauth2/seat", rd).await.location(), "https://app.example/", "{rd}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_sign_in_again_is_to_ask_again() {
    let site = site("when_full: {displace_idlest: 5m}", &licence("")).await;
    let (idle, _other) = (seated(&site, "ada").await, seated(&site, "bea").await);
    site.clock.advance(minutes(6));
    let _third = seated(&site, "cleo").await;
    assert_eq!(status(&idle).await, 409);
    site.clock.advance(minutes(1));
    assert_eq!(comes(&site, "ada").await.1.status, 200, "bea was the idlest");
    assert_eq!(status(&idle).await, 200, "their other browser has their seat too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_more_are_let_in_where_a_licence_says_so() {
    let site = site("", &licence(", when_full: {overflow: 1}")).await;
    for name in ["ada", "bea", "cleo"] {
        seated(&site, name).await;
    }
    let (_, page) = comes(&site, "dora").await;
    assert!(page.status == 409 && page.text().contains("Les 3\u{a0}places sont prises."), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_no_licence_covers_has_no_seat_and_whoever_is_in_when_it_ends_keeps_theirs_for_a_while() {
    let site = site("idle: 10m", &licence("")).await;
    let inside = seated(&site, "ada").await;
    site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe@example.net"));
    let stranger = site.client();
    let page = stranger.browse("/").await;
    assert!(page.status == 403 && page.text().contains("Aucune licence ne vous couvre"), "{}", page.text());
    let told = asks(&stranger).await;
    assert_eq!((told.status, told.json()["error"].as_str()), (403, Some("not_licensed")));
    let active = "serial: CH-17, seats: 2";
    assert_eq!(site.reload(active, "active: false, serial: CH-17, seats: 2").await, Reloaded::Applied);
    let (_, page) = comes(&site, "bea").await;
    assert!(page.status == 403 && page.text().contains("La licence est suspendue"), "{}", page.text());
    // Whatever they do it is not renewed.
    for _ in 0..3 {
        assert_eq!(status(&inside).await, 200);
        site.clock.advance(minutes(3));
    }
    site.clock.advance(minutes(1));
    assert_eq!(asks(&inside).await.json()["error"], "licence_suspended");
    let ended = "valid: {to: 2020-12-31}, serial: CH-17, seats: 2";
    assert_eq!(site.reload("active: false, serial: CH-17, seats: 2", ended).await, Reloaded::Applied);
    let page = inside.browse("/").await;
    assert!(page.text().contains("Elle a pris fin le 31 décembre 2020 à 23\u{a0}h\u{a0}00 UTC."), "{}", page.text());
    let begins = "valid: {from: 2099-01-01}, serial: CH-17, seats: 2";
    assert_eq!(site.reload(ended, begins).await, Reloaded::Applied);
    assert_eq!(asks(&inside).await.json()["error"], "licence_not_begun");
    assert_eq!(site.reload(begins, active).await, Reloaded::Applied);
    assert_eq!(status(&inside).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_in_when_their_licence_ends_keeps_their_seat_though_another_licence_is_full() {
    let second = format!("{{id: {OTHER}, seats: 1, covers: {{everyone: true}}}}");
    let site = site("idle: 10m", &format!("{}, {second}", licence(""))).await;
    let (one, two, three) = (seated(&site, "ada").await, seated(&site, "bea").await, seated(&site, "cleo").await);
    let active = "serial: CH-17, seats: 2";
    assert_eq!(site.reload(active, "active: false, serial: CH-17, seats: 2").await, Reloaded::Applied);
    for _ in 0..2 {
        assert_eq!([status(&one).await, status(&two).await, status(&three).await], [200, 200, 200]);
        site.clock.advance(minutes(4));
    }
    // By then there is the seat of the other licence, and no more.
    three.submit("/oauth2/sign_out", "").await;
    site.clock.advance(minutes(2));
    until("one of the two has it", async || status(&one).await == 200).await;
    assert_eq!(status(&two).await, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_licences_the_first_with_a_free_seat_counts_and_nobody_has_two() {
    let second = format!("{{id: {OTHER}, seats: 1, covers: {{everyone: true}}}}");
    let site = site("", &format!("{}, {second}", licence(""))).await;
    let (one, two, three) = (seated(&site, "ada").await, seated(&site, "bea").await, seated(&site, "cleo").await);
    let licence_of = async |client: &Client| header_at_app(&asks(client).await, "x-vestibule-licence").unwrap();
    assert_eq!(
        [licence_of(&one).await, licence_of(&two).await, licence_of(&three).await],
        [LICENCE, LICENCE, OTHER].map(str::to_owned)
    );
    assert_eq!(comes(&site, "dora").await.1.status, 409);
    one.submit("/oauth2/sign_out", "").await;
    until("the seat is free", async || comes(&site, "dora").await.1.status == 200).await;
    // Whoever has one keeps it, though another is free before it.
    two.submit("/oauth2/sign_out", "").await;
    site.clock.advance(minutes(2));
    assert_eq!(licence_of(&three).await, OTHER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_writes_of_its_licence_reaches_no_app() {
    let site = site("", &licence("")).await;
    let person = seated(&site, "ada").await;
    for name in ["x-vestibule-licence", "x_vestibule_licence", "X-Vestibule-Licence"] {
        let answer = person.get("/", &[(name, OTHER)]).await;
        assert_eq!(header_at_app(&answer, "x-vestibule-licence").as_deref(), Some(LICENCE), "{name}");
        let answer = person.get("/help", &[(name, OTHER)]).await;
        assert_eq!(header_at_app(&answer, "x-vestibule-licence"), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_by_itself_frees_its_seat() {
    let more = format!(
        "seats: {{idle: 30m}}\nlicences: [{}]\n\
         session: {{idle: 20m, lifetime: 20m, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n",
        licence("")
    );
    let site = site_with(&more).await;
    let (one, _two) = (seated(&site, "ada").await, seated(&site, "bea").await);
    site.clock.advance(minutes(19));
    assert_eq!((status(&one).await, comes(&site, "cleo").await.1.status), (200, 409));
    site.clock.advance(minutes(2));
    until("the seats are free", async || comes(&site, "cleo").await.1.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn front_proxies_that_ask_hear_the_same() {
    let more = format!(
        "trusted_proxies: [127.0.0.1]\nforward_auth: {{from: nginx, cache: 2s}}\n{}",
        config("", &format!("{{id: {LICENCE}, seats: 1, covers: {{everyone: true}}}}"))
    );
    let site = site_with(&more).await;
    let ask = async |client: &Client, path: &str| {
        let url = format!("{ORIGIN}{path}");
        client.get("/oauth2/auth", &[("x-original-url", &url), ("x-original-method", "GET")]).await
    };
    let (one, two) = (seated(&site, "ada").await, comes(&site, "bea").await.0);
    let told = ask(&one, "/x").await;
    assert_eq!((told.status, told.header("x-vestibule-licence")), (202, Some(LICENCE)));
    assert_eq!((ask(&two, "/x").await.status, ask(&two, "/help").await.status), (403, 202));
    one.submit("/oauth2/sign_out", "").await;
    until("the seat is free", async || ask(&two, "/x").await.status == 202).await;
}

/// Two replicas over one Redis.
async fn pair([seats, at_other]: [&str; 2], licences: &str) -> (Site, Site, Redis) {
    let redis = Redis::start().await;
    let setup = |seats| {
        let more = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n{}", redis.port, config(seats, licences));
        Setup { more, routes: ROUTES.to_owned(), ..Setup::default() }
    };
    let one = Site::with(setup(seats)).await;
    let issuer = Some(one.provider.issuer().to_owned());
    let other = Site::with(Setup { issuer, ..setup(at_other) }).await;
    (one, other, redis)
}

/// A status at the other replica, with a client's cookies.
async fn status_at(other: &Site, client: &Client) -> u16 {
    let cookies = client.cookie_header("app.example").unwrap();
    other.client().get("/", &[("accept", "application/json"), ("cookie", &cookies)]).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_give_no_seat_twice_and_hear_of_what_was_freed() {
    require!(Redis);
    let (one, other, _redis) = pair(["", ""], &licence("")).await;
    // Twenty people who all ask at once, on both.
    let mut people = Vec::new();
    for number in 0..20 {
        one.provider.sign_in_as(person(&format!("p{number}")));
        let client = one.client();
        let page = client.browse("/help").await;
        assert_eq!(page.status, 200);
        people.push(client);
    }
    let asked = join_all(people.iter().enumerate().map(async |(number, client)| {
        if number % 2 == 0 { status(client).await } else { status_at(&other, client).await }
    }));
    let statuses = asked.await;
    let inside: Vec<&Client> =
        people.iter().zip(&statuses).filter(|(_, status)| **status == 200).map(|(client, _)| client).collect();
    assert_eq!((inside.len(), statuses.iter().filter(|status| **status == 409).count()), (2, 18), "{statuses:?}");
    for client in &inside {
        assert_eq!((status(client).await, status_at(&other, client).await), (200, 200));
    }
    let waits = people.iter().zip(&statuses).find(|(_, status)| **status == 409).unwrap().0;
    inside[0].submit("/oauth2/sign_out", "").await;
    until("the seat is free on the other replica", async || status_at(&other, waits).await == 200).await;
    assert_eq!((status(waits).await, status(inside[1]).await), (200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_seat_costs_the_store_no_question() {
    require!(Redis);
    let (one, _other, redis) = pair(["", ""], &licence("")).await;
    let person = seated(&one, "ada").await;
    // Whoever has a seat for the first time is written down a moment later.
    let people = async || redis.cli(&["--scan", "--pattern", "*licence-person*"]);
    until("they are written down", async || !people().await.is_empty()).await;
    let asked = || {
        let statistics = redis.cli(&["info", "commandstats"]);
        let of_scripts = statistics.lines().filter(|line| line.starts_with("cmdstat_eval"));
        of_scripts.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = asked();
    assert!(!before.is_empty(), "a seat is taken by a script");
    for _ in 0..50 {
        assert_eq!(status(&person).await, 200);
    }
    let calls = |lines: &[String]| {
        lines
            .iter()
            .map(|line| line.split("calls=").nth(1).unwrap().split(',').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(calls(&asked()), calls(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_displaced_on_one_replica_is_cut_on_the_other() {
    require!(Redis);
    // Redis goes by its own time, which no test turns: to the other replica a place that ends in half an
    // hour is one whose holder has done nothing for half an hour.
    let seats = ["when_full: {displace_idlest: 5m}", "idle: 1h, when_full: {displace_idlest: 5m}"];
    let (one, other, _redis) = pair(seats, &licence("")).await;
    let (idle, second) = (seated(&one, "ada").await, seated(&one, "bea").await);
    let mut live = [open(&one, &idle).await, open(&one, &second).await];
    one.provider.sign_in_as(person("cleo"));
    let third = one.client();
    assert_eq!(third.browse("/help").await.status, 200);
    assert_eq!(status_at(&other, &third).await, 200);
    // Both did something within the same second: it is one of the two.
    let [first, second_live] = &mut live;
    let cut = promptly("one is cut on the replica where they are", 2 * WITHIN, async {
        tokio::select! {
            frame = close_of(first) => (frame, &idle),
            frame = close_of(second_live) => (frame, &second),
        }
    });
    let (frame, displaced) = cut.await;
    assert_eq!(u16::from(frame.code), 1008);
    assert_eq!((status(displaced).await, status_at(&other, displaced).await), (409, 409));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_nobody_new_gets_a_seat_and_nobody_loses_theirs() {
    require!(Redis);
    let (one, _other, mut redis) = pair(["", ""], &licence("")).await;
    let inside = seated(&one, "ada").await;
    let (outside, page) = comes(&one, "bea").await;
    assert_eq!(page.status, 200);
    outside.submit("/oauth2/sign_out", "").await;
    one.provider.sign_in_as(person("cleo"));
    let third = one.client();
    assert_eq!(third.browse("/help").await.status, 200);
    redis.stop();
    let answer = asks(&third).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("30")));
    assert_eq!(status(&inside).await, 200);
    // Longer than it is believed without being asked about, and not as long as the place is theirs.
    one.clock.advance(minutes(5));
    assert_eq!(status(&inside).await, 200);
    redis.start_again().await;
    until("the store is back", async || status(&third).await == 200).await;
}
