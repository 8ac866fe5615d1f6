//! The life of a key for Albert API: one for each session however many ask at once, renewed in time,
//! the same on every replica, and gone with its session however that ends.

use crate::support::albert::{FakeAlbert, Fault, Version};
use crate::support::client::{Answer, Client};
use crate::support::counterparts::require;
use crate::support::keyed::{Differing, Keyed, at, bearer_at_api, bearer_with, cookies_of};
use crate::support::raw::Raw;
use crate::support::redis::Redis;
use crate::support::shown::header_at_app;
use crate::support::site::{ADMIN_TOKEN, Site, agent};
use crate::support::waiting::{promptly, until};
use futures_util::future::join_all;
use http::Method;
use std::time::Duration;
use vestibule::demo::provider::Agent;

const CREDENTIALS: &str = "__Host-vestibule-credentials";

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Where a version mints keys.
fn minting(version: Version) -> &'static str {
    match version {
        Version::V01 => "/tokens",
        Version::V04 | Version::V045 => "/v1/admin/tokens",
        Version::Late => "/v1/admin/keys",
    }
}

/// A site whose replicas share a Redis, and one such replica.
async fn pair(version: Version, redis: &Redis, credential: &str, session: &str) -> (Keyed, Site) {
    let more = format!(
        "store: {{redis: \"redis://127.0.0.1:{}\"}}\nadmin: {{token: {{env: ADMIN_TOKEN}}}}\n\
         session: {{{session}keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}",
        redis.port
    );
    let keyed = Keyed::with(version, Differing { credential, more: &more, ..Differing::default() }).await;
    let other = keyed.replica().await;
    (keyed, other)
}

/// A client of `site` with the cookies of another.
fn moved_to(site: &Site, client: &Client) -> Client {
    let moved = site.client();
    for name in client.cookie_names() {
        moved.set_cookie(&name, &client.cookie(&name).unwrap());
    }
    moved
}

async fn ask_admin(site: &Site, method: Method, path: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    Client::new(site.admin).send(method, path, &[("authorization", &bearer)], Vec::new()).await
}

async fn session_of(client: &Client) -> String {
    header_at_app(&client.fetch("/").await, "x-vestibule-session").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_people_on_two_replicas_get_a_key_each_and_nobody_another_s() {
    require!(Redis);
    for (mint, waves) in [("on_first_use", 5), ("at_sign_in", 1)] {
        let redis = Redis::start().await;
        let credential = format!(", timeout: 3m, mint: {mint}");
        let (keyed, other) = pair(Version::Late, &redis, &credential, "").await;
        for wave in 0..waves {
            // All of a wave's keys are being minted for a request of each when the others come.
            keyed.api.fault(Fault::Hang { path_prefix: minting(Version::Late) });
            let mut people = Vec::new();
            for number in 0..10 {
                let email = format!("personne.{wave}.{number}@test.proconnect.gouv.fr");
                keyed.site.provider.sign_in_as(Agent::new("Personne", &format!("N{wave}{number}"), &email));
                people.push((email, cookies_of(&keyed.site.signed_in().await)));
            }
            let clients = [keyed.site.client(), other.client()];
            let requests = |numbers: std::ops::Range<usize>| {
                let (clients, people) = (&clients, &people);
                join_all(numbers.flat_map(|number| {
                    people.iter().map(move |(email, cookies)| async move {
                        (email, bearer_with(&clients[number % 2], cookies).await)
                    })
                }))
            };
            let others = async {
                keyed.api.reached("POST", minting(Version::Late), 10 * (wave + 1)).await;
                tokio::join!(requests(1..20), async { keyed.api.clear_faults() }).0
            };
            let (mut seen, others) = tokio::join!(requests(0..1), others);
            seen.extend(others);
            let (users, keys) = (keyed.api.users(), keyed.api.all_keys());
            assert_eq!(seen.len(), 200);
            for (email, bearer) in seen {
                let key = keys.iter().find(|key| format!("Bearer {}", key.secret) == bearer).unwrap();
                let user = users.iter().find(|user| user.id == key.user).unwrap();
                assert_eq!(user.email, *email, "{mint}");
            }
        }
        let people = 10 * waves;
        assert_eq!((keyed.api.users().len(), keyed.live_keys().len()), (people, people), "{mint}");
        let mut holders: Vec<u64> = keyed.live_keys().iter().map(|key| key.user).collect();
        holders.sort_unstable();
        holders.dedup();
        assert_eq!((holders.len(), keyed.api.all_keys().len()), (people, people), "{mint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_a_session_ends_its_key_goes_and_others_stay() {
    for version in [Version::V04, Version::Late] {
        let more = "admin: {token: {env: ADMIN_TOKEN}}";
        let keyed = Keyed::with(version, Differing { more, ..Differing::default() }).await;
        let site = &keyed.site;
        for end in ["sign-out", "administrator", "back-channel", "my sessions", "person", "person at the provider"] {
            // Sessions are told apart by when they began.
            site.clock.advance(Duration::from_secs(2));
            site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe.diallo@test.proconnect.gouv.fr"));
            let stays = site.signed_in().await;
            site.provider.sign_in_as(agent());
            let ends = site.signed_in().await;
            site.clock.advance(Duration::from_secs(1));
            let also = site.signed_in().await;
            let (key, second) = (bearer_at_api(&ends).await, bearer_at_api(&also).await);
            let other = bearer_at_api(&stays).await;
            assert!(key != second && key != other, "{version:?}: a key for each session");
            let name = session_of(&ends).await;
            let whole_person = end.starts_with("person");
            match end {
                "sign-out" => assert_eq!(ends.submit("/oauth2/sign_out", "").await.status, 303),
                "administrator" => {
                    assert_eq!(ask_admin(site, Method::DELETE, &format!("/sessions/{name}")).await.status, 204);
                }
                "my sessions" => {
                    assert_eq!(also.submit("/oauth2/sessions", &format!("end={name}")).await.status, 303);
                }
                "person" => {
                    let path = format!("/people/{}/sessions", agent().sub);
                    assert_eq!(ask_admin(site, Method::DELETE, &path).await.status, 200);
                }
                at_provider => {
                    let sessions = site.provider.sessions_of(&agent().sub);
                    let sid = &sessions[sessions.len() - 2];
                    let (sub, sid) = if whole_person { (Some(agent().sub), None) } else { (None, Some(sid.as_str())) };
                    let token = site.provider.logout_token("app", sub.as_deref(), sid).unwrap();
                    let form = [("content-type", "application/x-www-form-urlencoded")];
                    let body = format!("logout_token={token}").into_bytes();
                    let told = site.client().send(Method::POST, "/oauth2/backchannel_logout", &form, body).await;
                    assert_eq!(told.status, 200, "{at_provider}");
                }
            }
            let left: Vec<&str> = if whole_person { vec![&other] } else { vec![&second, &other] };
            keyed.only_lives(&left).await;
            assert_eq!(bearer_at_api(&stays).await, other, "{version:?} {end}");
            assert_eq!(ends.fetch("/v1/echo").await.status, 401, "{version:?} {end}");
            if !whole_person {
                assert_eq!(bearer_at_api(&also).await, second, "{version:?} {end}");
                also.submit("/oauth2/sign_out", "").await;
            }
            stays.submit("/oauth2/sign_out", "").await;
            keyed.no_key_lives().await;
        }
        // The keys themselves did it where they could: no other was made for that.
        assert!(keyed.api.all_keys().iter().all(|key| key.name != "vestibule-discard"), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_replica_minted_is_deleted_as_the_version_allows() {
    require!(Redis);
    for version in Version::ALL {
        for keep in ["keep: cookie, ", "keep: store, "] {
            let redis = Redis::start().await;
            let (keyed, other) = pair(version, &redis, "", keep).await;
            // Its person signs out there: the key itself is in a cookie, or opens in the store.
            let client = keyed.site.signed_in().await;
            bearer_at_api(&client).await;
            let there = moved_to(&other, &client);
            assert_eq!(there.submit("/oauth2/sign_out", "").await.status, 303);
            keyed.no_key_lives().await;
            assert_eq!(keyed.api.all_keys().len(), 1, "{version:?} {keep}: with the key itself");
        }
        // An administrator ends it there: nobody shows the session, and the key cannot be opened.
        let redis = Redis::start().await;
        let (keyed, other) = pair(version, &redis, "", "").await;
        let client = keyed.site.signed_in().await;
        let key = bearer_at_api(&client).await;
        let session = session_of(&client).await;
        assert_eq!(ask_admin(&other, Method::DELETE, &format!("/sessions/{session}")).await.status, 204);
        let names: Vec<String> = match version {
            Version::V01 => {
                // Nobody but the key itself can, which only the one that minted it has at hand: unless
                // that is first, it ends with the time that the session had.
                until("it is given up", async || waiting_at(&other).await == Some(0)).await;
                let keys = keyed.api.all_keys();
                assert_eq!((keys.len(), format!("Bearer {}", keys[0].secret)), (1, key), "with no other key");
                continue;
            }
            Version::V04 | Version::V045 => vec!["vestibule-discard".to_owned()],
            Version::Late => Vec::new(),
        };
        keyed.no_key_lives().await;
        let helpers: Vec<String> = keyed.api.all_keys().into_iter().skip(1).map(|key| key.name).collect();
        // Here as well the one that minted it may be first, and needs no helper.
        assert!(helpers == names || helpers.is_empty(), "{version:?}: {helpers:?}");
    }
}

/// How many keys a process knows that wait for being deleted.
async fn waiting_at(site: &Site) -> Option<u64> {
    let metrics = Client::new(site.admin).get("/metrics", &[]).await.text();
    metrics.lines().find_map(|line| line.strip_prefix("vestibule_keys_to_delete ")?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_s_sign_out_waits_for_an_api_that_is_down_and_the_key_goes_when_it_is_back() {
    for hangs in [false, true] {
        let keyed = Keyed::start(Version::Late).await;
        let client = keyed.site.signed_in().await;
        let key = bearer_at_api(&client).await;
        if hangs {
            keyed.api.fault(Fault::Hang { path_prefix: "/v1/admin/keys" });
        } else {
            keyed.api.close().await;
        }
        let out = promptly("signed out", Duration::from_secs(2), client.submit("/oauth2/sign_out", "")).await;
        assert_eq!(out.status, 303);
        until("it is known to wait", async || waiting_at(&keyed.site).await == Some(1)).await;
        keyed.only_lives(&[&key]).await;
        if hangs {
            keyed.api.clear_faults();
        } else {
            keyed.api.open();
        }
        keyed.no_key_lives().await;
        until("nothing waits", async || waiting_at(&keyed.site).await == Some(0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_while_its_key_is_minted_leaves_no_key() {
    require!(Redis);
    for (mint, elsewhere) in [("at_sign_in", false), ("on_first_use", false), ("at_sign_in", true)] {
        let redis = Redis::start().await;
        let credential = format!(", mint: {mint}");
        let (keyed, other) = pair(Version::V04, &redis, &credential, "").await;
        keyed.api.fault(Fault::Hang { path_prefix: "/v1/admin/tokens" });
        let client = keyed.site.signed_in().await;
        let waits = async {
            if mint == "on_first_use" {
                // Refused, or cut as all that is under way.
                let refused = client.try_send(Method::GET, "/v1/echo", &[], Vec::new()).await;
                assert!(refused.map_or(0, |answer| answer.status) != 200);
            }
        };
        let ends = async {
            keyed.api.reached("POST", "/v1/admin/tokens", 1).await;
            let there = moved_to(if elsewhere { &other } else { &keyed.site }, &client);
            assert_eq!(there.submit("/oauth2/sign_out", "").await.status, 303);
            keyed.api.clear_faults();
        };
        tokio::join!(waits, ends);
        keyed.api.answered("POST", "/v1/admin/tokens", 1).await;
        keyed.no_key_lives().await;
        assert!(!keyed.api.all_keys().is_empty(), "{mint}: one was minted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_in_the_place_of_another_takes_its_key_along() {
    let keyed = Keyed::start(Version::V045).await;
    let client = keyed.site.signed_in().await;
    let first = bearer_at_api(&client).await;
    keyed.site.clock.advance(Duration::from_secs(5));
    // Somebody else at the same browser.
    keyed.site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe.diallo@test.proconnect.gouv.fr"));
    assert_eq!(client.browse("/oauth2/start").await.status, 200);
    let second = bearer_at_api(&client).await;
    assert_ne!(second, first);
    keyed.only_lives(&[&second]).await;
    let holder = keyed.live_keys()[0].user;
    assert_eq!(keyed.api.users().last().unwrap().id, holder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_goes_away_leaves_its_key_to_the_next_request() {
    let differing = Differing { credential: ", mint: on_first_use", ..Differing::default() };
    let keyed = Keyed::with(Version::V045, differing).await;
    let client = keyed.site.signed_in().await;
    keyed.api.fault(Fault::Hang { path_prefix: "/v1/admin/tokens" });
    let mut raw = Raw::connect(keyed.site.address).await;
    let request = format!("GET /v1/echo HTTP/1.1\r\nHost: app.example\r\nCookie: {}\r\n\r\n", cookies_of(&client));
    raw.send(request).await;
    keyed.api.reached("POST", "/v1/admin/tokens", 1).await;
    drop(raw);
    keyed.api.clear_faults();
    let bearer = bearer_at_api(&client).await;
    let keys = keyed.api.all_keys();
    assert_eq!((keys.len(), format!("Bearer {}", keys[0].secret)), (1, bearer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_renewed_before_its_end_and_no_request_waits_for_that() {
    let credential = ", key_lifetime: 1h";
    let keyed = Keyed::with(Version::Late, Differing { credential, ..Differing::default() }).await;
    let client = keyed.site.signed_in().await;
    let first = bearer_at_api(&client).await;
    assert_eq!(keyed.live_keys()[0].expires, Some(at(3600)));
    keyed.site.clock.advance(minutes(56));
    assert_eq!(bearer_at_api(&client).await, first);
    assert_eq!(keyed.api.all_keys().len(), 1, "not yet");
    // Three minutes before its end.
    keyed.site.clock.advance(minutes(2));
    keyed.api.fault(Fault::Hang { path_prefix: minting(Version::Late) });
    for _ in 0..5 {
        assert_eq!(bearer_at_api(&client).await, first, "goes on with the old one");
    }
    keyed.api.reached("POST", minting(Version::Late), 2).await;
    keyed.api.clear_faults();
    until("the next one is there", async || bearer_at_api(&client).await != first).await;
    let second = bearer_at_api(&client).await;
    for bearer in join_all((0..20).map(|_| bearer_at_api(&client))).await {
        assert_eq!(bearer, second);
    }
    assert_eq!(keyed.api.all_keys().len(), 2);
    assert_eq!(keyed.api.all_keys()[1].expires, Some(at(3600 + 58 * 60)));
    // A pause in which it ends: the next request waits for another.
    keyed.site.clock.advance(minutes(59));
    assert_eq!(bearer_at_api(&client).await, second, "its last minute");
    keyed.site.clock.advance(minutes(3));
    let third = bearer_at_api(&client).await;
    assert!(third != second && third != first);
    client.submit("/oauth2/sign_out", "").await;
    keyed.no_key_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_that_nobody_wrote_down_is_learnt_once() {
    let more = "session: {idle: 72h, lifetime: 72h, keys: [{id: k1, secret: {env: SESSION_KEY}}]}";
    for version in Version::ALL {
        let api = FakeAlbert::start(version).await;
        api.fault(Fault::CapDays(1));
        let keyed = Keyed::before(api, Differing { more, ..Differing::default() }).await;
        keyed.site.provider.set_session_lifetime(minutes(72 * 60));
        let client = keyed.site.signed_in().await;
        let first = bearer_at_api(&client).await;
        let ends = keyed.live_keys()[0].expires.unwrap();
        assert!((at(86_000)..=at(86_400)).contains(&ends), "{version:?}: {}", ends - at(0));
        assert_eq!(keyed.api.count("POST", minting(version)), 2, "{version:?}: one refusal");
        keyed.site.clock.advance(minutes(24 * 60 - 30));
        until("the next one is there", async || bearer_at_api(&client).await != first).await;
        assert_eq!(keyed.api.count("POST", minting(version)), 3, "{version:?}: known by now");
        assert_eq!(keyed.api.all_keys().len(), 2, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_cookie_is_known_to_a_process_that_shares_no_store() {
    let keyed = Keyed::start(Version::V01).await;
    let client = keyed.site.signed_in().await;
    let bearer = bearer_at_api(&client).await;
    assert!(client.cookie(CREDENTIALS).is_some());
    let (other, third) = (keyed.replica().await, keyed.replica().await);
    let there = moved_to(&other, &client);
    assert_eq!(bearer_at_api(&there).await, bearer);
    assert_eq!(keyed.api.all_keys().len(), 1, "no second one");
    // Nothing was asked of that one yet: what has to be deleted is in the cookie alone.
    let there = moved_to(&third, &client);
    assert_eq!(there.submit("/oauth2/sign_out", "").await.status, 303);
    keyed.no_key_lives().await;
    assert!(there.cookie(CREDENTIALS).is_none(), "taken away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_of_one_session_gives_nothing_to_another() {
    let keyed = Keyed::start(Version::Late).await;
    let client = keyed.site.signed_in().await;
    let bearer = bearer_at_api(&client).await;
    keyed.site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe.diallo@test.proconnect.gouv.fr"));
    let zoe = keyed.site.signed_in().await;
    // Until the end: what a process has to delete it deletes after its answer.
    let other = keyed.replica().await;
    for site in [&keyed.site, &other] {
        let thief = moved_to(site, &zoe);
        thief.set_cookie(CREDENTIALS, &client.cookie(CREDENTIALS).unwrap());
        let got = bearer_at_api(&thief).await;
        assert_ne!(got, bearer);
        let key = keyed.live_keys().into_iter().find(|key| format!("Bearer {}", key.secret) == got).unwrap();
        let holder = keyed.api.users().into_iter().find(|user| user.id == key.user).unwrap();
        assert_eq!(holder.email, "zoe.diallo@test.proconnect.gouv.fr");
        // And nothing of the other's is deleted with it.
        thief.submit("/oauth2/sign_out", "").await;
    }
    keyed.only_lives(&[&bearer]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_sessions_keep_to_the_store_no_cookie_has_the_key() {
    let more = "session: {keep: store, keys: [{id: k1, secret: {env: SESSION_KEY}}]}";
    let keyed = Keyed::with(Version::Late, Differing { more, ..Differing::default() }).await;
    let client = keyed.site.signed_in().await;
    for _ in 0..3 {
        bearer_at_api(&client).await;
    }
    assert!(client.cookie(CREDENTIALS).is_none(), "{:?}", client.cookie_names());
}
