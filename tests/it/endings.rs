//! What somebody would try who wants to stay signed in after the end, or to keep the provider and
//! the store busy: answers that come late, cookies of before, tokens that last no time.

use crate::support::client::Client;
use crate::support::counterparts::require;
use crate::support::redis::{self, Redis};
use crate::support::shown::{SESSION, email_at_app, header_at_app};
use crate::support::site::{ORIGIN, SESSION_KEY, Setup, Site};
use crate::support::socket::{close_of, echoes, socket};
use crate::support::waiting::{promptly, until};
use base64::Engine;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use vestibule::clock::Timestamp;
use vestibule::demo::provider::{Agent, Down, Hold, RefreshFault, RevocationFault};
use vestibule::seal::{KeyMaterial, KeyRing};
use vestibule::session::{Sessions, Settings};
use vestibule::store::{self, OnDown};
use vestibule::web::cookies::Cookies;
use vestibule::web::public_url::PublicUrl;

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const CHANGED: &str = "h.moreau@test.proconnect.gouv.fr";
const PROGRAM: (&str, &str) = ("accept", "application/json");

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn session(keys: &str) -> String {
    format!("session: {{{keys}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}")
}

async fn site(keys: &str) -> Site {
    Site::with(Setup { more: session(keys), ..Setup::default() }).await
}

/// The `sub` that the app was told.
async fn sub(client: &Client) -> String {
    header_at_app(&client.fetch("/").await, "x-auth-request-user").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_rested_while_another_tab_was_used_says_nothing_old() {
    let site = site("idle: 30m").await;
    let client = site.signed_in().await;
    let before = client.cookie_header("app.example").unwrap();
    site.provider.change_agent(&sub(&client).await, |agent| agent.email = CHANGED.to_owned());
    for _ in 0..4 {
        site.clock.advance(minutes(16));
        assert_eq!(client.fetch("/").await.status, 200);
    }
    assert_eq!(site.provider.counters().refreshed, 1);
    let late = site.client().get("/", &[PROGRAM, ("cookie", &before)]).await;
    assert_eq!(email_at_app(&late).as_deref(), Some(CHANGED), "the renewal is in the store");
    // Whoever holds on to that cookie is asked about like anybody else.
    site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::InvalidGrant));
    for _ in 0..3 {
        site.clock.advance(minutes(16));
        client.get("/public/", &[]).await;
    }
    site.clock.advance(minutes(16));
    let late = site.client().get("/", &[PROGRAM, ("cookie", &before)]).await;
    assert_eq!(late.status, 401, "{}", late.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_comes_after_the_sign_out_brings_nothing_back() {
    for path in ["/", "/public/page"] {
        let site = site("idle: 4h").await;
        let client = site.signed_in().await;
        let cookies = client.cookie_header("app.example").unwrap();
        let hold = Hold::default();
        site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::AnswerHeld(hold.clone())));
        site.clock.advance(minutes(61));
        let late = tokio::spawn({
            let (other, cookies) = (site.client(), cookies.clone());
            async move { other.get(path, &[PROGRAM, ("cookie", &cookies)]).await }
        });
        hold.arrived(1).await;
        // The provider takes nothing back now, so that the tokens which are under way stay good.
        site.provider.faults().set(|faults| faults.revocation = Some(RevocationFault::Unavailable));
        client.submit("/oauth2/sign_out", "").await;
        revoked(&site, 1).await;
        site.provider.faults().clear();
        hold.release();
        let late = late.await.unwrap();
        assert_eq!(late.status, if path == "/" { 401 } else { 200 });
        assert_eq!(late.set_cookies(), Vec::<&str>::new(), "{path}: cookies of a session that is over");
        assert_eq!(site.client().get("/", &[PROGRAM, ("cookie", &cookies)]).await.status, 401);
        // The tokens of the late answer are given back too: the sign-out knew only those of before.
        revoked(&site, 2).await;
    }
}

/// Waits until the provider was asked so often to take tokens back.
async fn revoked(site: &Site, times: u64) {
    until(&format!("asked {times} times"), async || site.provider.counters().revocation >= times).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sign_out_during_a_renewal_the_store_holds_nothing_of_the_session() {
    require!(Redis);
    let redis = Redis::start().await;
    let more = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n{}", redis.port, session("idle: 4h"));
    let site = Site::with(Setup { more, ..Setup::default() }).await;
    let client = site.signed_in().await;
    let cookies = client.cookie_header("app.example").unwrap();
    let hold = Hold::default();
    site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::AnswerHeld(hold.clone())));
    site.clock.advance(minutes(61));
    let late = tokio::spawn({
        let (other, cookies) = (site.client(), cookies.clone());
        async move { other.get("/", &[PROGRAM, ("cookie", &cookies)]).await.status }
    });
    hold.arrived(1).await;
    site.provider.faults().set(|faults| faults.revocation = Some(RevocationFault::Unavailable));
    client.submit("/oauth2/sign_out", "").await;
    revoked(&site, 1).await;
    hold.release();
    assert_eq!(late.await.unwrap(), 401);
    let keys = redis.cli(&["--scan"]);
    assert!(!keys.contains("kept") && !keys.contains("listed"), "{keys}");
    // Signing out again and again says nothing new to anybody.
    let log = keys.lines().find(|key| redis.cli(&["type", key]).trim() == "stream").unwrap().to_owned();
    let length = redis.cli(&["xlen", &log]);
    for _ in 0..3 {
        let headers = [("origin", ORIGIN), ("cookie", cookies.as_str())];
        site.client().send(http::Method::POST, "/oauth2/sign_out", &headers, Vec::new()).await;
    }
    assert_eq!(redis.cli(&["xlen", &log]), length);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_last_no_time_neither_storm_the_provider_nor_send_people_round() {
    for seconds in [1, 3] {
        let site = site("idle: 4h").await;
        site.provider.set_access_token_lifetime(Duration::from_secs(seconds));
        let client = Arc::new(site.signed_in().await);
        site.clock.advance(Duration::from_secs(1));
        let all = (0..30).map(|_| {
            let client = Arc::clone(&client);
            async move { client.fetch("/").await.status }
        });
        assert!(join_all(all).await.into_iter().all(|status| status == 200));
        let asked = site.provider.counters().refresh;
        assert!(asked <= 1, "{seconds} s: asked {asked} times");
        // A provider that renews nothing at all: people are led there, and come back to the page.
        site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::InvalidGrant));
        for _ in 0..3 {
            site.clock.advance(minutes(5));
            assert_eq!(email_at_app(&client.browse("/").await).as_deref(), Some(EMAIL));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_leaves_out_of_a_renewal_costs_one_sign_in_at_most() {
    for (fault, kept) in [(RefreshFault::WithoutIdToken, true), (RefreshFault::WithoutRefreshToken, false)] {
        let site = site("idle: 4h").await;
        let client = site.signed_in().await;
        site.provider.faults().set(|faults| faults.refresh = Some(fault.clone()));
        site.clock.advance(minutes(61));
        assert_eq!(email_at_app(&client.fetch("/").await).as_deref(), Some(EMAIL), "{fault:?}");
        site.clock.advance(minutes(61));
        assert_eq!(client.fetch("/").await.status == 200, kept, "{fault:?}");
        assert_eq!(email_at_app(&client.browse("/").await).as_deref(), Some(EMAIL), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_answer_is_waited_for_by_one_and_the_others_go_on() {
    let site = site("idle: 4h").await;
    let mut people = Vec::new();
    for number in 0..5 {
        site.provider.sign_in_as(Agent::new("Agent", "A", &format!("agent{number}@test.proconnect.gouv.fr")));
        people.push(site.signed_in().await);
    }
    site.provider.faults().set(|faults| faults.down = Some(Down::Unavailable));
    site.clock.advance(minutes(61));
    assert_eq!(people[0].fetch("/").await.status, 200);
    // It was down. From now on it does not even answer.
    let hold = Hold::default();
    site.provider.faults().set(|faults| {
        faults.down = None;
        faults.refresh = Some(RefreshFault::Held(hold.clone()));
    });
    site.clock.advance(Duration::from_secs(10));
    let cookies = people[0].cookie_header("app.example").unwrap();
    let first = tokio::spawn({
        let other = site.client();
        async move { other.get("/", &[PROGRAM, ("cookie", &cookies)]).await.status }
    });
    hold.arrived(1).await;
    for person in &people {
        assert_eq!(person.fetch("/").await.status, 200);
    }
    assert!(!first.is_finished(), "the others did not wait for it");
    hold.release();
    site.provider.faults().clear();
    assert_eq!(first.await.unwrap(), 200);
    // It is there again, and nobody has to wait for anything to be asked.
    let asked = site.provider.counters().refreshed;
    for person in &people {
        assert_eq!(person.fetch("/").await.status, 200);
    }
    assert!(site.provider.counters().refreshed > asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_connections_end_with_all_of_a_person_s_sessions_on_every_replica_within_a_second() {
    require!(Redis);
    let redis = Redis::start().await;
    let more = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n{}", redis.port, session("idle: 4h"));
    let one = Site::with(Setup { more: more.clone(), ..Setup::default() }).await;
    let issuer = Some(one.provider.issuer().to_owned());
    let other = Site::with(Setup { more, issuer, ..Setup::default() }).await;
    let third = replica(&redis);
    let now = Timestamp::from_unix(crate::support::site::START);
    one.provider.sign_in_as(Agent::new("Agent", "Stays", "stays@test.proconnect.gouv.fr"));
    let stays = one.signed_in().await;
    let mut lives = socket(&other, "/ws", stays.cookie_header("app.example")).await;
    one.provider.sign_in_as(crate::support::site::agent());
    for by_sid in [false, true] {
        one.clock.advance(Duration::from_secs(5));
        other.clock.advance(Duration::from_secs(5));
        let client = one.signed_in().await;
        assert!(client.cookie(SESSION).is_some());
        let subject = sub(&client).await;
        let mut here = socket(&one, "/ws", client.cookie_header("app.example")).await;
        let mut there = socket(&other, "/ws", client.cookie_header("app.example")).await;
        if by_sid {
            for sid in one.provider.sessions_of(&subject) {
                third.end_provider_session("proconnect", &sid, now.plus(Duration::from_secs(10)), now).await.unwrap();
            }
        } else {
            third.end_person("proconnect", &subject, now.plus(Duration::from_secs(5)), now).await.unwrap();
        }
        let both = async { tokio::join!(close_of(&mut here), close_of(&mut there)) };
        let (here, there) = promptly("both are cut", Duration::from_secs(1), both).await;
        assert_eq!((u16::from(here.code), u16::from(there.code)), (1008, 1008), "by sid {by_sid}");
    }
    assert!(echoes(&mut lives).await);
}

/// The sessions as a further replica has them, of which only the ending is used.
fn replica(redis: &Redis) -> Sessions {
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(SESSION_KEY).unwrap();
    let key =
        KeyMaterial { id: "k1".to_owned(), secret: zeroize::Zeroizing::new(secret.try_into().unwrap()), until: None };
    let url = PublicUrl::parse(ORIGIN).unwrap();
    let store = store::open(&store::Settings::Redis(Box::new(redis::settings(&[redis.port])))).unwrap();
    Sessions::new(
        Arc::new(KeyRing::new(&[key]).unwrap()),
        Cookies::new(&url, &vestibule::web::cookies::Settings::default()),
        Settings::default(),
        [],
        store,
        OnDown::default(),
    )
}
