//! The life of a key for Albert API: one for each session however many ask at once, renewed in time,
//! the same on every replica and after a restart, and gone with its session however that ends.

use crate::support::albert::{FakeAlbert, Fault, User, Version};
use crate::support::client::{Answer, Client};
use crate::support::counterparts::require;
use crate::support::keyed::{Differing, Keyed, at, bearer_at_api, bearer_in, secret_file};
use crate::support::process::Process;
use crate::support::raw::Raw;
use crate::support::redis::Redis;
use crate::support::shown::header_at_app;
use crate::support::site::{ADMIN_TOKEN, CLIENT_SECRET, ORIGIN, Site, agent};
use futures_util::future::join_all;
use http::Method;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use vestibule::clock::Clock;
use vestibule::demo::Provider;
use vestibule::demo::provider::{Agent, Client as Registration, ProviderSettings};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

const CREDENTIALS: &str = "__Host-vestibule-credentials";
const WITHIN: Duration = Duration::from_secs(20);

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

/// The bearer at the API of a request with these cookies, through whichever replica.
async fn bearer_with(client: &Client, cookies: &str) -> String {
    let headers = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("cookie", cookies)];
    bearer_in(&client.get("/v1/echo", &headers).await)
}

fn cookies_of(client: &Client) -> String {
    client.cookie_header("app.example").unwrap()
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

/// Waits until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < WITHIN, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_people_on_two_replicas_get_a_key_each_and_nobody_another_s() {
    require!(Redis);
    for (mint, waves) in [("on_first_use", 5), ("at_sign_in", 1)] {
        let redis = Redis::start().await;
        let credential = format!(", timeout: 30s, mint: {mint}");
        let (keyed, other) = pair(Version::Late, &redis, &credential, "").await;
        for wave in 0..waves {
            // All of a wave's keys are being minted while all of its requests come.
            keyed.api.fault(Fault::Hang { path_prefix: minting(Version::Late) });
            let mut people = Vec::new();
            for number in 0..10 {
                let email = format!("personne.{wave}.{number}@test.proconnect.gouv.fr");
                keyed.site.provider.sign_in_as(Agent::new("Personne", &format!("N{wave}{number}"), &email));
                people.push((email, cookies_of(&keyed.site.signed_in().await)));
            }
            let clients = [keyed.site.client(), other.client()];
            let requests = people.iter().flat_map(|(email, cookies)| {
                let clients = &clients;
                (0..20).map(move |number| async move { (email, bearer_with(&clients[number % 2], cookies).await) })
            });
            let minted = async {
                keyed.api.reached("POST", minting(Version::Late), 10 * (wave + 1)).await;
                keyed.api.clear_faults();
            };
            let (seen, ()) = tokio::join!(join_all(requests), minted);
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
            timeout(WITHIN, keyed.no_key_lives()).await.unwrap();
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
                // Nobody but the key itself can: it ends with the time that the session had.
                until("it is given up", async || waiting_at(&other).await == Some(0)).await;
                keyed.only_lives(&[&key]).await;
                continue;
            }
            Version::V04 | Version::V045 => vec!["vestibule-discard".to_owned()],
            Version::Late => Vec::new(),
        };
        keyed.api.answered("DELETE", "/", 1 + names.len()).await;
        keyed.no_key_lives().await;
        let helpers: Vec<String> = keyed.api.all_keys().into_iter().skip(1).map(|key| key.name).collect();
        assert_eq!(helpers, names, "{version:?}");
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
        let began = Instant::now();
        assert_eq!(client.submit("/oauth2/sign_out", "").await.status, 303);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
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
    for site in [&keyed.site, &keyed.replica().await] {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_a_person_s_whatever_becomes_of_their_address() {
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        let named = |user: &User| if version == Version::V01 { user.name.clone().unwrap() } else { user.email.clone() };
        bearer_at_api(&keyed.site.signed_in().await).await;
        let before = keyed.api.users();
        // Married.
        let address = "helene.dupont@test.proconnect.gouv.fr";
        keyed.site.provider.sign_in_as(Agent { email: address.to_owned(), usual_name: "Dupont".to_owned(), ..agent() });
        bearer_at_api(&keyed.site.signed_in().await).await;
        let after = keyed.api.users();
        assert_eq!(after.iter().map(|user| user.id).collect::<Vec<_>>(), [before[0].id], "{version:?}");
        assert_eq!(named(&after[0]), address, "{version:?}");
    }
}

/// What is remembered of an account is no proof of whose it is: the numbers of an API that was set
/// up anew are other people's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_an_account_that_is_another_person_s_by_now_is_not_believed() {
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        bearer_at_api(&keyed.site.signed_in().await).await;
        let number = keyed.api.users()[0].id;
        let other = "zoe.diallo@test.proconnect.gouv.fr";
        keyed.api.change_user(number, |user| match version {
            Version::V01 => user.name = Some(other.to_owned()),
            _ => other.clone_into(&mut user.email),
        });
        bearer_at_api(&keyed.site.signed_in().await).await;
        let users = keyed.api.users();
        assert_eq!(users.len(), 2, "{version:?}: {users:?}");
        assert!(
            [users[0].email.as_str(), users[0].name.as_deref().unwrap_or_default()].contains(&other),
            "{version:?}"
        );
        assert_eq!(keyed.live_keys().last().unwrap().user, users[1].id, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_capitals_in_its_address_is_found() {
    let written = "Helene.MOREAU@test.proconnect.gouv.fr";
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        let (email, name) = match version {
            Version::V01 => (String::new(), Some(written.to_owned())),
            _ => (written.to_owned(), None),
        };
        let account = keyed.api.add_user(User { email, name, ..User::default() });
        // Up to 0.4.5 addresses are found as they are written.
        keyed.site.provider.sign_in_as(Agent { email: written.to_owned(), ..agent() });
        bearer_at_api(&keyed.site.signed_in().await).await;
        assert_eq!(keyed.api.users().len(), 1, "{version:?}: {:?}", keyed.api.users());
        assert_eq!(keyed.live_keys()[0].user, account, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_and_organisation_follow_the_rules() {
    let credential = ", role: Freemium, organization: default, rules: [{when: {siret: \"13002526500013\"}, refuse: true}, \
                      {when: {roles: agent_public_etat, email_domain: proconnect.gouv.fr}, role: Agent, organization: DINUM}]";
    for version in Version::ALL {
        let keyed = Keyed::with(version, Differing { credential, ..Differing::default() }).await;
        bearer_at_api(&keyed.site.signed_in().await).await;
        let Agent { mut roles, .. } = agent();
        roles.clear();
        let email = "prive@test.proconnect.gouv.fr";
        keyed.site.provider.sign_in_as(Agent { roles, ..Agent::new("Paul", "Privé", email) });
        bearer_at_api(&keyed.site.signed_in().await).await;
        let organization = |name: &str| (version != Version::V01).then(|| name.to_owned());
        let got: Vec<_> = keyed.api.users().into_iter().map(|user| (user.role, user.organization)).collect();
        let expected = [("Agent".to_owned(), organization("DINUM")), ("Freemium".to_owned(), organization("default"))];
        assert_eq!(got, expected, "{version:?}");
    }
}

/// The real program, whose store is a file, with the API behind it.
struct Program {
    process: Option<Process>,
    configuration: String,
    provider: Provider,
    api: FakeAlbert,
    _admin_key: NamedTempFile,
}

impl Program {
    async fn start(version: Version, store: &Path, session: &str) -> Self {
        let api = FakeAlbert::start(version).await;
        api.follow(Clock::System);
        let admin_key = secret_file(&api.admin_key());
        let client = Registration::new(
            "app",
            SecretString::from(CLIENT_SECRET),
            &format!("{ORIGIN}/oauth2/callback"),
            &format!("{ORIGIN}/oauth2/signed_out"),
        );
        let settings = ProviderSettings { clients: vec![client], ..ProviderSettings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new())).unwrap();
        provider.sign_in_as(agent());
        let configuration = format!(
            "public_url: {ORIGIN}\n\
             listeners: {{proxy: \"127.0.0.1:0\", admin: \"127.0.0.2:0\"}}\n\
             providers: {{proconnect: {{preset: proconnect, issuer: \"{issuer}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
             session: {{{session}keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             store: {{file: \"{store}\"}}\n\
             upstreams: {{api: {{url: \"{api}\"}}}}\n\
             credentials: {{albert: {{kind: albert, url: \"{api}\", admin_key: {{file: {admin_key}}}, role: Freemium, organization: default}}}}\n\
             routes: [{{path: /public, access: public, upstream: api}}, {{path: /**, upstream: api, credentials: albert}}]\n",
            issuer = provider.issuer(),
            store = store.display(),
            api = api.url(),
            admin_key = admin_key.path().display(),
        );
        let mut this = Self { process: None, configuration, provider, api, _admin_key: admin_key };
        this.start_again().await;
        this
    }

    async fn start_again(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.running.signal("KILL");
            process.running.ended().await;
        }
        let environment = [("CLIENT_SECRET", CLIENT_SECRET)];
        self.process = Some(Process::serve_with(&self.configuration, &environment).await);
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    async fn signed_in(&self) -> Client {
        let client = Client::new(self.process().address());
        let page = client.browse("/v1/echo").await;
        bearer_in(&page);
        client
    }

    fn lives(&self) -> bool {
        !self.api.live_keys(Clock::System.now().as_unix()).is_empty()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_before_a_restart_is_used_and_deleted_after_it() {
    for (version, keep) in [(Version::V01, "keep: store, "), (Version::V04, "")] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::start(version, &folder.path().join("state.db"), keep).await;
        let (client, other) = (program.signed_in().await, program.signed_in().await);
        assert_eq!(program.api.all_keys().len(), 2);
        let (cookies, others) = (cookies_of(&client), cookies_of(&other));
        program.start_again().await;
        let again = Client::new(program.process().address());
        bearer_with(&again, &cookies).await;
        assert_eq!(program.api.all_keys().len(), 2, "{version:?}: the same as before");
        for cookies in [cookies, others] {
            let headers = [("origin", ORIGIN), ("sec-fetch-site", "same-origin"), ("cookie", cookies.as_str())];
            let out = again.send(Method::POST, "/oauth2/sign_out", &headers, Vec::new()).await;
            assert_eq!(out.status, 303, "{version:?}");
        }
        until("both are deleted", async || !program.lives()).await;
        assert_eq!(program.api.all_keys().len(), 2, "{version:?}: with the keys themselves");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_being_deleted_is_not_forgotten_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(Version::V045, &folder.path().join("state.db"), "").await;
    let client = program.signed_in().await;
    program.api.close().await;
    assert_eq!(client.submit("/oauth2/sign_out", "").await.status, 303);
    let running = &mut program.process.as_mut().unwrap().running;
    running.ready(|line| line.contains("cannot be deleted yet").then_some(())).await;
    program.start_again().await;
    assert!(program.lives());
    program.api.open();
    until("it is deleted", async || !program.lives()).await;
    let names: Vec<String> = program.api.all_keys().into_iter().skip(1).map(|key| key.name).collect();
    assert_eq!(names, ["vestibule-discard"], "the key itself was not at hand any more");
    drop(program.provider);
}
