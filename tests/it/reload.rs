//! The configuration read again while the program runs: what takes effect, what does not, what goes
//! on meanwhile; and live connections whose person loses the right to their route.

use super::support::client::{Client, NAVIGATION};
use super::support::counterparts::require;
use super::support::echo::Echo;
use super::support::log_watch::access_lines_with;
use super::support::ports::free_port;
use super::support::raw::Raw;
use super::support::redis::Redis;
use super::support::running::Running;
use super::support::shown::{email_at_app, header_at_app};
use super::support::site::{CLIENT_SECRET, NEXT_SESSION_KEY, SESSION_KEY, Setup, Site, agent};
use super::support::socket::{Socket, close_of, echoes, socket};
use super::support::waiting::{promptly, until};
use futures_util::future::join_all;
use serde_json::json;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vestibule::app::Reloaded;
use vestibule::bearer::hash_of;
use vestibule::demo::provider::Agent;

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const SERVICE_KEY: &str = "vsk_the-service-key-of-the-test-of-reloads";
/// What is promised.
const WITHIN: Duration = Duration::from_secs(1);

const STAFF: &str = "{path: /staff/**, upstream: app, strip_prefix: /staff, deny: {email: former@example.org}}";
const OPEN: &str = "{path: /open/**, access: public, upstream: app, strip_prefix: /open}";
const GONE: &str = "{path: /gone/**, upstream: app, strip_prefix: /gone, access: public}, ";

async fn site() -> Site {
    site_with("").await
}

async fn site_with(more: &str) -> Site {
    let routes = format!(
        "[{GONE}{STAFF}, {OPEN}, {{path: /programs/**, upstream: app, strip_prefix: /programs, bearer: services}}, \
         {{path: /**, upstream: app}}]"
    );
    let more = format!(
        "{more}session: {{idle: 4h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
         bearer: {{services: {{kind: keys, keys: [{{name: robot, sha256: {}}}]}}}}\n",
        hash_of(SERVICE_KEY)
    );
    Site::with(Setup { more, routes, ..Setup::default() }).await
}

fn cookies(client: &Client) -> Option<String> {
    client.cookie_header("app.example")
}

async fn open(site: &Site, client: &Client, path: &str) -> Socket {
    socket(site, path, cookies(client)).await
}

/// A request on a connection of its own.
async fn request(site: &Site, head: &str, header: &str) -> Raw {
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("{head} HTTP/1.1\r\nHost: app.example\r\n{header}\r\n\r\n")).await;
    raw
}

async fn is_cut(socket: &mut Socket) {
    let frame = promptly("it is cut", WITHIN, close_of(socket)).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "no longer admitted"));
}

/// The line of a connection that was cut for this cause.
async fn cut_line(path: &str, cause: &str) -> serde_json::Value {
    let reason = format!("cut: no longer admitted: {cause}");
    let found = || access_lines_with(path).into_iter().find(|line| line["reason"] == *reason);
    until(&format!("the log says {reason}"), async || found().is_some()).await;
    found().unwrap()
}

async fn metric(site: &Site, line: &str) {
    let admin = Client::new(site.admin);
    let counted = async || admin.get("/metrics", &[]).await.text().lines().any(|held| held == line);
    until(&format!("the metrics say {line}"), counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_a_right_by_a_reload_is_cut_there_and_nobody_else_and_nowhere_else() {
    let site = site().await;
    let former = site.signed_in().await;
    site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe@example.org"));
    let stays = site.signed_in().await;
    let mut cut = open(&site, &former, "/staff/ws").await;
    let mut others = [
        open(&site, &former, "/ws").await,
        open(&site, &former, "/open/ws").await,
        open(&site, &stays, "/staff/ws").await,
        open(&site, &stays, "/ws").await,
        socket(&site, "/open/ws", None).await,
    ];
    let cookie = format!("Cookie: {}", cookies(&former).unwrap());
    let mut events = request(&site, "GET /staff/events", &cookie).await;
    assert_eq!(events.head().await.status, 200);
    let mut waits = request(&site, "GET /staff/hang?fetched", &cookie).await;
    let lines: Vec<String> = NAVIGATION.iter().map(|(name, value)| format!("\r\n{name}: {value}")).collect();
    let page = lines.concat();
    let mut loads = request(&site, "GET /staff/hang?page", &format!("{cookie}{page}")).await;
    site.echo.seen.clone().wait_for(|seen| seen.open == 9).await.unwrap();

    let who = "require: {any: [{email: zoe@example.org}]}";
    assert_eq!(site.reload("deny: {email: former@example.org}", who).await, Reloaded::Applied);
    is_cut(&mut cut).await;
    promptly("the event stream ends in order", WITHIN, async {
        assert_eq!(events.chunk().await, b"");
        assert!(events.is_closed().await);
    })
    .await;
    // Nothing of their answers was on its way: they are told what any request is told now.
    let (fetched, page) = (waits.answer().await, loads.answer().await);
    assert_eq!((fetched.status, &fetched.json()["error"]), (403, &json!("not_admitted")), "{fetched:?}");
    assert_eq!(fetched.json()["rule"], "routes[1].require");
    assert_eq!((page.status, page.header("set-cookie")), (403, None));
    for socket in &mut others {
        assert!(echoes(socket).await);
    }
    for (client, path, status) in [(&former, "/staff/x", 403), (&former, "/x", 200), (&stays, "/staff/x", 200)] {
        assert_eq!(client.fetch(path).await.status, status, "{path}");
    }
    let line = cut_line("/staff/ws", "require routes[1].require: does not hold (by email)").await;
    assert_eq!((&line["status"], &line["route"]), (&json!(101), &json!("/staff/**")));
    assert!(!line.to_string().contains(EMAIL), "{line}");
    metric(&site, "vestibule_cut_connections_total{reason=\"not_admitted\"} 4").await;
    metric(&site, "vestibule_config_reloads_total{outcome=\"applied\"} 1").await;
    // And back: whoever comes anew is let in.
    assert_eq!(site.reload(who, "deny: {email: former@example.org}").await, Reloaded::Applied);
    assert!(echoes(&mut open(&site, &former, "/staff/ws").await).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_that_go_that_close_and_that_take_no_token_any_more_take_their_connections_along() {
    let site = site().await;
    let person = site.signed_in().await;
    let mut gone = [socket(&site, "/gone/ws", None).await, open(&site, &person, "/gone/ws").await];
    let (mut anonymous, mut signed_in) =
        (socket(&site, "/open/ws", None).await, open(&site, &person, "/open/ws").await);
    let mut by_session = open(&site, &person, "/programs/ws").await;
    let mut program = request(&site, "GET /programs/events", &format!("Authorization: Bearer {SERVICE_KEY}")).await;
    assert_eq!(program.head().await.status, 200);
    // A route of more right, which lets in nobody else, before one that stays.
    let closed = "{path: /open/**, upstream: app, strip_prefix: /open}";
    assert_eq!(site.reload(OPEN, closed).await, Reloaded::Applied);
    is_cut(&mut anonymous).await;
    assert!(echoes(&mut signed_in).await);
    // With no route of its own `/gone` falls under `/**`, where one has to be signed in.
    assert_eq!(site.reload(GONE, "").await, Reloaded::Applied);
    let [nobody, somebody] = &mut gone;
    is_cut(nobody).await;
    assert!(echoes(somebody).await && echoes(&mut by_session).await);
    assert_eq!(site.reload(", {path: /**, upstream: app}", "").await, Reloaded::Applied);
    is_cut(somebody).await;
    assert!(echoes(&mut by_session).await);
    site.echo.events.send("still there".to_owned()).unwrap();
    assert!(!program.chunk().await.is_empty());
    let only = "bearer: services, deny: {claims: {sub: robot}}}";
    assert_eq!(site.reload("bearer: services}", only).await, Reloaded::Applied);
    promptly("the program's stream ends", WITHIN, async { while !program.chunk().await.is_empty() {} }).await;
    assert!(echoes(&mut by_session).await && echoes(&mut signed_in).await);
}

/// A clock a moment after the tokens have ended.
const DUE: Duration = Duration::from_secs(61 * 60);

async fn change_address(site: &Site, client: &Client, email: &str) {
    let sub = header_at_app(&client.fetch("/").await, "x-auth-request-user").unwrap();
    let email = email.to_owned();
    site.provider.change_agent(&sub, |agent| agent.email.clone_from(&email));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_a_right_by_what_the_provider_says_now_is_cut_there_alone() {
    let site = site().await;
    let client = site.signed_in().await;
    let (mut cut, mut stays) = (open(&site, &client, "/staff/ws").await, open(&site, &client, "/ws").await);
    change_address(&site, &client, "former@example.org").await;
    site.clock.advance(DUE);
    assert!(echoes(&mut cut).await && echoes(&mut stays).await, "nobody has asked yet");
    let answer = client.fetch("/x").await;
    assert_eq!(email_at_app(&answer).as_deref(), Some("former@example.org"));
    is_cut(&mut cut).await;
    assert!(echoes(&mut stays).await);
    assert_eq!(client.fetch("/staff/x").await.status, 403);
    cut_line("/staff/ws", "deny routes[1].deny: holds (by email)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_replica_has_renewed_counts_here_within_half_a_minute() {
    require!(Redis);
    let redis = Redis::start().await;
    let more = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n", redis.port);
    let one = site_with(&more).await;
    let hash = hash_of(SERVICE_KEY);
    let more = format!(
        "{more}session: {{idle: 4h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
         bearer: {{services: {{kind: keys, keys: [{{name: robot, sha256: {hash}}}]}}}}\n"
    );
    let routes =
        format!("[{STAFF}, {{path: /programs/**, upstream: app, bearer: services}}, {{path: /**, upstream: app}}]");
    let issuer = Some(one.provider.issuer().to_owned());
    let other = Site::with(Setup { more, routes, issuer, ..Setup::default() }).await;
    let client = one.signed_in().await;
    let (mut cut, mut stays) = (open(&other, &client, "/staff/ws").await, open(&other, &client, "/ws").await);
    change_address(&one, &client, "former@example.org").await;
    let advance = |by| [&one, &other].map(|site| site.clock.advance(by));
    advance(DUE);
    until("it is renewed", async || email_at_app(&client.fetch("/x").await).as_deref() == Some("former@example.org"))
        .await;
    assert!(echoes(&mut stays).await);
    advance(Duration::from_secs(30));
    // The first look finds that there is one, the second what it says.
    promptly("it is cut", 2 * WITHIN, async {
        let frame = close_of(&mut cut).await;
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "no longer admitted"));
    })
    .await;
    assert!(echoes(&mut stays).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_or_what_needs_a_restart_changes_nothing_at_all() {
    let site = site().await;
    let client = site.signed_in().await;
    let mut live = open(&site, &client, "/staff/ws").await;
    let denies = "deny: {email: helene.moreau@test.proconnect.gouv.fr}";
    // With a change that would be in force if it stood alone, each time.
    let Reloaded::Mistaken(problems) =
        site.reload("deny: {email: former@example.org}", &format!("{denies}, upstreem: app")).await
    else {
        panic!("a key that nobody knows")
    };
    assert!(problems.contains("routes[1]") && problems.contains("upstreem"), "{problems}");
    metric(&site, "vestibule_config_reload_failing 1").await;
    assert_eq!(site.reload(", upstreem: app", "").await, Reloaded::Applied);
    is_cut(&mut live).await;
    assert_eq!(client.fetch("/staff/x").await.status, 403);
    metric(&site, "vestibule_config_reload_failing 0").await;
    assert_eq!(site.reload(denies, "deny: {email: nobody@example.org}").await, Reloaded::Applied);
    let mut live = open(&site, &client, "/staff/ws").await;
    let restart = site.reload("idle: 4h", "idle: 5h").await;
    assert_eq!(restart, Reloaded::NeedsRestart(vec!["session.idle".to_owned()]));
    let restart = site.reload("deny: {email: nobody@example.org}", denies).await;
    assert_eq!(restart, Reloaded::NeedsRestart(vec!["session.idle".to_owned()]));
    assert!(echoes(&mut live).await, "the rules from before hold");
    assert_eq!(client.fetch("/staff/x").await.status, 200);
    assert_eq!(site.reload("idle: 5h", "idle: 4h").await, Reloaded::Applied);
    is_cut(&mut live).await;
    metric(&site, "vestibule_config_reloads_total{outcome=\"needs_restart\"} 2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_and_told_and_where_apps_are_changes_with_a_reload() {
    let site = site().await;
    let client = site.signed_in().await;
    let other = Echo::start().await;
    let routes = "{path: /other/**, upstream: other, strip_prefix: /other}, ";
    let upstreams = format!("upstreams: {{other: {{url: \"http://{}\"}}, ", other.address);
    assert_eq!(site.reload("upstreams: {", &upstreams).await, Reloaded::Applied);
    assert_eq!(site.reload(STAFF, &format!("{routes}{STAFF}")).await, Reloaded::Applied);
    assert_eq!(client.fetch("/other/x").await.status, 200);
    assert_eq!((other.seen.borrow().requests, client.fetch("/x").await.status), (1, 200));
    // A claim that no session kept before is kept from the next renewal on.
    let told = "identity: {headers: {X-Company: \"{siret}\", X-Mail: \"{email}\"}}\npages: {contact: help@example.org}\nsession: {idle";
    assert_eq!(site.reload("session: {idle", told).await, Reloaded::Applied);
    let answer = client.fetch("/x").await;
    assert_eq!(header_at_app(&answer, "x-mail").as_deref(), Some(EMAIL));
    assert_eq!(header_at_app(&answer, "x-auth-request-email"), None);
    site.clock.advance(DUE);
    assert_eq!(header_at_app(&client.fetch("/x").await, "x-company").as_deref(), Some(&*agent().siret));
    let page = client.navigate("/oauth2/nothing").await;
    assert!(page.text().contains("help@example.org"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_requests_over_twenty_reloads_lose_nothing() {
    let site = site().await;
    let clients = join_all((0..4).map(|_| site.signed_in())).await;
    let other = Echo::start().await;
    let first = "upstreams: {app:";
    // Each turn moves every index: another upstream first, and a route before the others.
    let more = format!("upstreams: {{aaa: {{url: \"http://{}\"}}, app:", other.address);
    let (few, many) = (STAFF.to_owned(), format!("{{path: /aaa/**, upstream: aaa}}, {STAFF}"));
    let done = Arc::new(AtomicBool::new(false));
    let requests = async {
        let each = clients.iter().enumerate().flat_map(|(number, client)| {
            (0..10).map(move |turn| async move {
                for request in 0..50 {
                    let path = if (request + turn) % 2 == 0 { "/staff/x" } else { "/y" };
                    let answer = client.fetch(path).await;
                    assert_eq!(answer.status, 200, "{number} {turn} {request}: {}", answer.text());
                    let expected = if path == "/y" { "/y" } else { "/x" };
                    assert_eq!(answer.json()["target"], expected, "{}", answer.text());
                    assert_eq!(email_at_app(&answer).as_deref(), Some(EMAIL));
                }
            })
        });
        join_all(each).await;
        done.store(true, Ordering::Relaxed);
    };
    let reloads = async {
        let mut count = 0;
        while count < 20 || !done.load(Ordering::Relaxed) {
            let (old, new) = if count % 2 == 0 { (first, more.as_str()) } else { (more.as_str(), first) };
            // Without its route an upstream is idle, and without its upstream a route is a mistake.
            if count % 2 == 0 {
                assert_eq!(site.reload(old, new).await, Reloaded::Applied);
                assert_eq!(site.reload(&few, &many).await, Reloaded::Applied);
            } else {
                assert_eq!(site.reload(&many, &few).await, Reloaded::Applied);
                assert_eq!(site.reload(old, new).await, Reloaded::Applied);
            }
            count += 1;
        }
    };
    tokio::join!(requests, reloads);
    assert_eq!(other.seen.borrow().requests, 0, "nobody asked for it");
}

/// `vestibule serve` with two files, one over the other, and two sites in them.
struct Program {
    running: Running,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

const SITES: [&str; 2] = ["https://app.example", "https://back.example"];

impl Program {
    async fn serve(app: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let base = format!(
            "listeners: {{proxy: \"127.0.0.1:{port}\", admin: \"127.0.0.1:0\"}}\n\
             providers: {{nobody: {{issuer: \"https://127.0.0.1:9\", client_id: app, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
             session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             upstreams: {{app: {{url: \"http://{app}\"}}}}\n\
             routes: [{{path: /**, access: public, upstream: app}}]\n\
             sites: {{app: {{public_url: {}}}, back: {{public_url: {}, session: {{keys: [{{id: k2, secret: {{env: NEXT_SESSION_KEY}}}}]}}}}}}\n",
            SITES[0], SITES[1],
        );
        std::fs::write(folder.path().join("base.yaml"), base).unwrap();
        std::fs::write(folder.path().join("over.yaml"), "pages: {contact: help@example.org}\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.args(["serve", "--config", "base.yaml", "--config", "over.yaml"]).current_dir(folder.path());
        command
            .env("SESSION_KEY", SESSION_KEY)
            .env("NEXT_SESSION_KEY", NEXT_SESSION_KEY)
            .env("CLIENT_SECRET", CLIENT_SECRET);
        let mut running = Running::start("vestibule", &command);
        running.ready(|line| line.contains(r#""message":"listening""#).then_some(())).await;
        Self { running, address: SocketAddr::from(([127, 0, 0, 1], port)), folder }
    }

    /// Has it read this over the rest, and waits for a line that says what came of it.
    async fn reload(&mut self, over: &str, says: &str) -> serde_json::Value {
        std::fs::write(self.folder.path().join("over.yaml"), over).unwrap();
        self.running.signal("HUP");
        let line = self.running.ready(|line| line.contains(says).then(|| line.to_owned())).await;
        serde_json::from_str(&line).unwrap()
    }

    /// What each site answers at a path.
    async fn statuses(&self, path: &str) -> Vec<u16> {
        join_all(SITES.map(|origin| async move { Client::at(self.address, origin).fetch(path).await.status })).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_reads_all_its_files_again_when_it_hangs_up_for_every_site() {
    const IN_FORCE: &str = "the configuration was read again and is in force";
    let echo = Echo::start().await;
    let mut program = Program::serve(echo.address).await;
    assert_eq!(program.statuses("/x").await, [200, 200]);
    let closed = "routes: [{path: /x, upstream: app}, {path: /**, access: public, upstream: app}]\n";
    program.reload(closed, IN_FORCE).await;
    assert_eq!((program.statuses("/x").await, program.statuses("/y").await), (vec![401, 401], vec![200, 200]));
    // One of them alone.
    let back = "sites: {back: {routes: [{path: /y, access: public, upstream: app}]}}\n";
    program.reload(&format!("{closed}{back}"), IN_FORCE).await;
    assert_eq!((program.statuses("/x").await, program.statuses("/y").await), (vec![401, 404], vec![200, 200]));
    // A mistake in one of two files: each is named with its place.
    let line = program
        .reload("sites: {back: {routes: [{path: y, access: public, upstream: ap}]}}\n", "must start with /")
        .await;
    assert_eq!(
        (&line["level"], &line["key"], &line["file"], &line["line"]),
        (&json!("ERROR"), &json!("sites.back.routes[0].path"), &json!("over.yaml"), &json!(1))
    );
    program.running.ready(|line| line.contains("stays in force").then_some(())).await;
    let line = program.reload(&format!("prefix: /other\nlog: {{level: warn}}\n{closed}"), "it needs a restart: ").await;
    assert_eq!(line["level"], "WARN");
    assert!(line["message"].as_str().unwrap().ends_with("it needs a restart: log, prefix"), "{line}");
    assert_eq!((program.statuses("/x").await, program.statuses("/y").await), (vec![401, 404], vec![200, 200]));
    assert!(!program.running.has_ended());
    program.reload("pages: {contact: other@example.org}\n", IN_FORCE).await;
    assert_eq!(program.statuses("/x").await, [200, 200]);
}
