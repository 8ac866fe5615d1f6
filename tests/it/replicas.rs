//! Several replicas of one site, with a Redis between them: what one does holds on all, and what
//! happens while the Redis is gone.

use crate::support::client::Client;
use crate::support::counterparts::require;
use crate::support::echo::Echo;
use crate::support::process::{Process, provider_for_programs};
use crate::support::redis::Redis;
use crate::support::shown::{SESSION, assert_error, email_at_app};
use crate::support::site::{CLIENT_SECRET, ORIGIN, Setup, Site};
use crate::support::socket::{close_of, echoes, socket};
use crate::support::waiting::{promptly, until, until_well};
use futures_util::future::join_all;
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use vestibule::demo::Provider;
use vestibule::demo::provider::{Hold, RefreshFault};
use vestibule::pages::{ErrorKind, Language};

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Two replicas of a site, and their Redis. `more` are further top-level keys.
struct Pair {
    one: Site,
    other: Site,
    redis: Redis,
}

impl Pair {
    async fn start(session: &str, more: &str) -> Self {
        let redis = Redis::start().await;
        let more = format!(
            "store: {{redis: \"redis://127.0.0.1:{}\"}}\n{more}\n\
             session: {{{session}keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}",
            redis.port
        );
        let one = Site::with(Setup { more: more.clone(), ..Setup::default() }).await;
        let issuer = Some(one.provider.issuer().to_owned());
        let other = Site::with(Setup { more, issuer, ..Setup::default() }).await;
        Self { one, other, redis }
    }

    fn advance(&self, by: Duration) {
        self.one.clock.advance(by);
        self.other.clock.advance(by);
    }

    /// The cookies of `client`, sent to the other replica by nobody in particular.
    async fn at_other(&self, client: &Client) -> u16 {
        let cookies = client.cookie_header("app.example").unwrap();
        fetch(&self.other.client(), &cookies).await.0
    }
}

/// Replicas of the real program.
struct Programs {
    running: Vec<Process>,
    configuration: String,
    provider: Provider,
    _echo: Echo,
}

impl Programs {
    async fn start(count: usize, session: &str, store: &str) -> Self {
        let echo = Echo::start().await;
        let provider = provider_for_programs().await;
        let configuration = format!(
            "public_url: {ORIGIN}\n\
             listeners: {{proxy: \"127.0.0.1:0\", admin: \"127.0.0.2:0\"}}\n\
             providers: {{proconnect: {{preset: proconnect, issuer: \"{issuer}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
             session: {{{session}keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             store: {store}\n\
             upstreams: {{app: {{url: \"http://{app}\"}}}}\n\
             routes: [{{path: /**, upstream: app}}]\n",
            issuer = provider.issuer(),
            app = echo.address,
        );
        let mut site = Self { running: Vec::new(), configuration, provider, _echo: echo };
        for _ in 0..count {
            site.add().await;
        }
        site
    }

    async fn add(&mut self) {
        self.running.push(Process::serve_with(&self.configuration, &[("CLIENT_SECRET", CLIENT_SECRET)]).await);
    }

    fn client(&self, at: usize) -> Client {
        Client::new(self.running[at].address())
    }
}

/// Status, and who the app heard of.
async fn fetch(client: &Client, cookies: &str) -> (u16, Option<String>) {
    let headers = [("accept", "application/json"), ("cookie", cookies)];
    let answer = until_well(async || client.get("/", &headers).await).await;
    (answer.status, if answer.status == 200 { email_at_app(&answer) } else { None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_on_two_replicas_ask_once() {
    require!(Redis);
    let pair = Pair::start("idle: 4h, ", "").await;
    let client = pair.one.signed_in().await;
    pair.advance(minutes(61));
    let (here, there) = (pair.one.signed_in().await, pair.other.signed_in().await);
    // Each has heard of the other since: a question to the Redis that was under way when an hour
    // went by, and then came to nothing, would count as an hour's silence.
    for (client, elsewhere) in [(&here, &pair.other), (&there, &pair.one)] {
        let cookies = client.cookie_header("app.example").unwrap();
        client.submit("/oauth2/sign_out", "").await;
        let heard = async || fetch(&elsewhere.client(), &cookies).await.0 == 401;
        until("the other has heard", heard).await;
    }
    let cookies = client.cookie_header("app.example").unwrap();
    let clients = Arc::new([pair.one.client(), pair.other.client()]);
    let all = (0..200).map(|number| {
        let (clients, cookies) = (Arc::clone(&clients), cookies.clone());
        async move { fetch(&clients[number % 2], &cookies).await }
    });
    for seen in join_all(all).await {
        assert_eq!(seen, (200, Some(EMAIL.to_owned())));
    }
    let counters = pair.one.provider.counters();
    assert_eq!((counters.refresh, counters.refresh_reuse), (1, 0));
    // Late ones with the cookies of before too, on either.
    for client in clients.iter() {
        assert_eq!(fetch(client, &cookies).await, (200, Some(EMAIL.to_owned())));
    }
    // And the next renewal, from the replica that did not ask, with the cookies of before.
    pair.advance(minutes(61));
    assert_eq!(fetch(&clients[0], &cookies).await, (200, Some(EMAIL.to_owned())));
    assert_eq!(fetch(&clients[1], &cookies).await, (200, Some(EMAIL.to_owned())));
    let counters = pair.one.provider.counters();
    assert_eq!((counters.refresh, counters.refresh_reuse), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_killed_while_it_asks_leaves_the_session_to_the_others() {
    require!(Redis);
    let redis = Redis::start().await;
    let store = format!("{{redis: \"redis://127.0.0.1:{}\"}}", redis.port);
    let site = Programs::start(3, "refresh: {margin: 1s}, ", &store).await;
    // Real time passes here: the tokens are due after two seconds, and over after three.
    site.provider.set_access_token_lifetime(Duration::from_secs(3));
    let client = site.client(0);
    assert_eq!(email_at_app(&client.browse("/").await).as_deref(), Some(EMAIL));
    let cookies = client.cookie_header("app.example").unwrap();
    let hold = Hold::default();
    site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::Held(hold.clone())));
    let asking = tokio::spawn({
        let (client, cookies) = (site.client(0), cookies.clone());
        async move { while client.try_send(Method::GET, "/", &[("cookie", &cookies)], Vec::new()).await.is_ok() {} }
    });
    hold.arrived(1).await;
    site.running[0].running.signal("KILL");
    asking.await.unwrap();
    // The lock is held by nobody alive. The others wait a little, and go on without.
    let others = [site.client(1), site.client(2)];
    for other in &others {
        assert_eq!(fetch(other, &cookies).await, (200, Some(EMAIL.to_owned())));
    }
    assert_eq!(hold.count(), 1, "nobody asks while the lock is held");
    // It runs out (after 45 s; here at once), and one of the others asks.
    let lock = redis.cli(&["--scan", "--pattern", "*renewal*"]);
    assert_eq!(lock.lines().count(), 1, "{lock}");
    redis.cli(&["del", lock.trim()]);
    site.provider.faults().clear();
    for other in &others {
        assert_eq!(fetch(other, &cookies).await, (200, Some(EMAIL.to_owned())));
    }
    let counters = site.provider.counters();
    assert!(counters.refreshed >= 1 && counters.refresh_reuse == 0, "{counters:?}");
    // And what one of them ends is over on the other.
    let survivor = site.client(1);
    survivor.browse("/").await;
    let cookies = survivor.cookie_header("app.example").unwrap();
    survivor.submit("/oauth2/sign_out", "").await;
    let heard = until("the other has heard", async || fetch(&others[1], &cookies).await.0 == 401);
    promptly("the other has heard", Duration::from_secs(1), heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ended_stays_so_over_a_kill_where_the_store_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let mut site = Programs::start(1, "", &format!("{{file: \"{}\"}}", file.display())).await;
    let (client, stays) = (site.client(0), site.client(0));
    for person in [&client, &stays] {
        assert_eq!(email_at_app(&person.browse("/").await).as_deref(), Some(EMAIL));
    }
    let ended = client.cookie_header("app.example").unwrap();
    client.submit("/oauth2/sign_out", "").await;
    site.running[0].running.signal("KILL");
    site.running[0].running.ended().await;
    site.running.clear();
    site.add().await;
    assert_eq!(fetch(&site.client(0), &ended).await.0, 401);
    let lives = stays.cookie_header("app.example").unwrap();
    assert_eq!(fetch(&site.client(0), &lives).await, (200, Some(EMAIL.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_is_in_force_on_every_replica_within_a_second() {
    require!(Redis);
    let pair = Pair::start("", "").await;
    let (client, stays) = (pair.one.signed_in().await, pair.one.signed_in().await);
    let copy = pair.other.client();
    let cookies = client.cookie_header("app.example").unwrap();
    assert_eq!(pair.at_other(&client).await, 200);
    client.submit("/oauth2/sign_out", "").await;
    let over = until("the session is over", async || fetch(&copy, &cookies).await.0 == 401);
    promptly("the session is over", Duration::from_secs(1), over).await;
    assert_eq!(pair.at_other(&stays).await, 200);
    // Live connections there are cut too, and those of others are not.
    let again = pair.one.signed_in().await;
    let mut ends = socket(&pair.other, "/ws", again.cookie_header("app.example")).await;
    let mut lives = socket(&pair.other, "/ws", stays.cookie_header("app.example")).await;
    let cut = async {
        again.submit("/oauth2/sign_out", "").await;
        close_of(&mut ends).await
    };
    assert_eq!(u16::from(promptly("it is cut", Duration::from_secs(1), cut).await.code), 1008);
    assert!(echoes(&mut lives).await);
    // One that starts afterwards knows it before its first request.
    let issuer = Some(pair.one.provider.issuer().to_owned());
    let more = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}", pair.redis.port);
    let third = Site::with(Setup { more, issuer, ..Setup::default() }).await;
    assert_eq!(fetch(&third.client(), &cookies).await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_nobody_signs_in_and_who_is_in_stays_for_a_quarter_of_an_hour() {
    require!(Redis);
    let mut pair = Pair::start("", "").await;
    let client = pair.one.signed_in().await;
    pair.redis.stop();
    // A sign-in is refused once the store is asked, and says that it is not the person's fault.
    let newcomer = pair.one.client();
    let page = newcomer.browse("/").await;
    assert_error(&page, ErrorKind::TemporarilyUnavailable, Language::French).await;
    assert!(newcomer.cookie(SESSION).is_none());
    assert_eq!(client.fetch("/").await.status, 200);
    for _ in 0..14 {
        pair.advance(minutes(1));
        assert_eq!(client.fetch("/").await.status, 200);
    }
    // The moment from which it counts is that of the first question that failed.
    pair.advance(minutes(1));
    until("sessions are refused", async || {
        pair.advance(Duration::from_secs(1));
        client.fetch("/").await.status == 503
    })
    .await;
    let answer = client.fetch("/").await;
    assert_eq!(answer.json()["error"], "session_unavailable");
    let silent = async || {
        let admin = Client::new(pair.one.admin);
        let metrics = admin.get(&format!("http://{}/metrics", pair.one.admin), &[]).await.text();
        metrics.lines().find_map(|line| line.strip_prefix("vestibule_store_silent ")).map(str::to_owned)
    };
    until("the store is silent", async || silent().await.as_deref() == Some("1")).await;
    // It comes back: without a restart, and nobody has lost anything.
    pair.redis.start_again().await;
    until("sessions go on", async || client.fetch("/").await.status == 200).await;
    until("the store is heard", async || silent().await.as_deref() == Some("0")).await;
    pair.one.signed_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_during_the_outage_is_announced_after_it() {
    require!(Redis);
    let mut pair = Pair::start("", "on_store_down: keep").await;
    let client = pair.one.signed_in().await;
    let cookies = client.cookie_header("app.example").unwrap();
    let (here, there) = (pair.one.client(), pair.other.client());
    pair.redis.stop();
    client.submit("/oauth2/sign_out", "").await;
    assert_eq!(fetch(&here, &cookies).await.0, 401, "in force where it happened");
    assert_eq!(fetch(&there, &cookies).await.0, 200, "the other cannot know");
    pair.redis.start_again().await;
    let headers = [("accept", "application/json"), ("cookie", &*cookies)];
    // One that is under way just then is cut.
    let is_over = async || there.try_get("/", &headers).await.is_ok_and(|answer| answer.status == 401);
    until("the other has heard", is_over).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_so_configured_people_sign_in_without_the_store() {
    require!(Redis);
    let mut pair = Pair::start("", "on_store_down: keep").await;
    pair.redis.stop();
    let client = pair.one.client();
    assert_eq!(email_at_app(&client.browse("/").await).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_holds_tells_nothing() {
    require!(Redis);
    let pair = Pair::start("idle: 4h, keep: store, ", "").await;
    let client = pair.one.signed_in().await;
    pair.advance(minutes(61));
    assert_eq!(client.fetch("/").await.status, 200);
    let mut dump = String::new();
    for key in pair.redis.cli(&["--scan"]).lines() {
        dump.push_str(key);
        for read in
            [["get", key].as_slice(), &["zrange", key, "0", "-1"], &["xrange", key, "-", "+"], &["hgetall", key]]
        {
            dump.push_str(&pair.redis.cli(read));
        }
    }
    assert!(dump.contains("kept") && dump.contains("listed"), "{dump}");
    for secret in [EMAIL, "Moreau", "eyJ", "refresh", "agent_public"] {
        assert!(!dump.contains(secret), "{secret} is in the dump");
    }
}
