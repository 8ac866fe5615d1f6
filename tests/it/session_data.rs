//! What an app keeps of a session or a person (`/oauth2/session/data`): what its pages read and write,
//! what is refused, whose it is, and where it lies.

use super::support::browser::Browser;
use super::support::client::{Answer, Client, NAVIGATION};
use super::support::counterparts::require;
use super::support::echo::Echo;
use super::support::log_watch::never_logged;
use super::support::ports::free_port;
use super::support::process::{Process, provider_for_programs, run};
use super::support::raw::Raw;
use super::support::redis::Redis;
use super::support::shown::{SESSION, header_at_app};
use super::support::site::{ADMIN_TOKEN, CLIENT_SECRET, ORIGIN, Setup, Site, agent};
use super::support::waiting::{until, until_well};
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use vestibule::clock::Clock;
use vestibule::demo::Provider;
use vestibule::demo::provider::{Agent, Client as Registration, ProviderSettings};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

const DATA: &str = "/oauth2/session/data";
const FRONT: &str = "https://front.example";

/// What a script of one of our own pages sends along.
const SCRIPT: [(&str, &str); 4] =
    [("origin", ORIGIN), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("accept", "*/*")];
const JSON: (&str, &str) = ("content-type", "application/json");

/// The keys of a site that keeps such data, and whatever else.
fn keeping(of: &str, more: &str) -> Setup {
    let more = format!(
        "{more}\nadmin: {{token: {{env: ADMIN_TOKEN}}}}\n\
         session: {{idle: 4h, data: {{{of}}}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}"
    );
    Setup { more, ..Setup::default() }
}

async fn site(of: &str) -> Site {
    Site::with(keeping(of, "")).await
}

async fn ask(client: &Client, method: Method, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers = [&SCRIPT[..], headers].concat();
    client.send(method, DATA, &headers, body.to_vec()).await
}

async fn put(client: &Client, body: &str) -> Answer {
    ask(client, Method::PUT, &[JSON], body.as_bytes()).await
}

async fn put_if(client: &Client, condition: (&str, &str), body: &str) -> Answer {
    ask(client, Method::PUT, &[JSON, condition], body.as_bytes()).await
}

/// What is kept; none where nothing is.
async fn kept(client: &Client) -> Option<String> {
    let answer = client.fetch(DATA).await;
    match answer.status {
        200 => Some(answer.text()),
        404 => None,
        status => panic!("{status} {}", answer.text()),
    }
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no ETag: {} {}", answer.status, answer.text())).to_owned()
}

/// An error as JSON, which no cache keeps.
fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("etag").is_none() && answer.header("content-type") == Some("application/json"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_keeps_a_document_and_has_it_back_as_it_was() {
    let site = site("of: session").await;
    let client = site.signed_in().await;
    refused(&client.fetch(DATA).await, 404, "no_data");
    // As it came: spaces, order, and numbers that no two readers round alike.
    let document = " {\"b\":1e2, \"a\":[0.10,{\"<script>\":\"é\"}],\n\"n\":12345678901234567890123 }";
    let made = put(&client, document).await;
    assert_eq!((made.status, made.body.len()), (201, 0), "{}", made.text());
    let got = client.fetch(DATA).await;
    assert_eq!((got.status, got.text().as_str()), (200, document));
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
        ("cross-origin-resource-policy", "same-origin"),
        ("etag", &tag(&made)),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    // Who opens it as a page sees no page.
    let opened = client.navigate(DATA).await;
    assert_eq!((opened.text().as_str(), opened.header("content-type")), (document, Some("application/json")));
    let head = ask(&client, Method::HEAD, &[], b"").await;
    assert_eq!((head.status, head.body.len(), tag(&head)), (200, 0, tag(&made)));
    assert_eq!(head.header("content-length"), Some(&*document.len().to_string()));
    let unchanged = client.get(DATA, &[("if-none-match", &tag(&made))]).await;
    assert_eq!((unchanged.status, unchanged.body.len(), tag(&unchanged)), (304, 0, tag(&made)));
    refused(&client.get(DATA, &[("if-match", "\"x\"")]).await, 412, "changed");

    let again = put(&client, "{}").await;
    assert_eq!((again.status, again.body.len()), (204, 0));
    assert_eq!(kept(&client).await.as_deref(), Some("{}"));
    assert_eq!(client.get(DATA, &[("if-none-match", &tag(&made))]).await.status, 200);
    refused(&ask(&client, Method::DELETE, &[("if-match", &tag(&made))], b"").await, 412, "changed");
    for there in [true, false] {
        let gone = ask(&client, Method::DELETE, &[], b"").await;
        assert_eq!((gone.status, gone.header("etag")), (204, None), "{there}");
        assert_eq!(kept(&client).await, None);
    }
    for method in [Method::POST, Method::PATCH, Method::OPTIONS] {
        let answer = ask(&client, method, &[JSON], b"{}").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, PUT, DELETE")));
    }
    assert_eq!(kept(&client).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_do_not_lose_each_others_writes() {
    let site = site("of: person").await;
    let (one, other) = (site.signed_in().await, site.signed_in().await);
    let first = put_if(&one, ("if-none-match", "*"), r#"{"n":0}"#).await;
    assert_eq!(first.status, 201);
    refused(&put_if(&other, ("if-none-match", "*"), r#"{"n":7}"#).await, 412, "changed");
    let second = put_if(&other, ("if-match", &tag(&first)), r#"{"n":1}"#).await;
    assert_eq!(second.status, 204);
    refused(&put_if(&one, ("if-match", &tag(&first)), r#"{"n":2}"#).await, 412, "changed");
    // A condition that cannot be read is not met; one that names a weak tag neither.
    for odd in ["x", "W/x", &format!("W/{}", tag(&second)), &format!("*, {}", tag(&second))] {
        refused(&put_if(&one, ("if-match", odd), r#"{"n":2}"#).await, 412, "changed");
    }
    assert_eq!(kept(&one).await.as_deref(), Some(r#"{"n":1}"#));
    // Each counts up ten times, as tabs that know of no other.
    let clients = [&one, &other, &one, &other];
    join_all(clients.map(async |client| {
        for _ in 0..10 {
            loop {
                let held = client.fetch(DATA).await;
                let next = format!(r#"{{"n":{}}}"#, held.json()["n"].as_u64().unwrap() + 1);
                let put = put_if(client, ("if-match", &tag(&held)), &next).await;
                if put.status == 204 {
                    break;
                }
                refused(&put, 412, "changed");
            }
        }
    }))
    .await;
    assert_eq!(kept(&one).await.as_deref(), Some(r#"{"n":41}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_object_is_refused_and_nothing_changes() {
    let site = site("of: session").await;
    let client = site.signed_in().await;
    put(&client, r#"{"a":1}"#).await;
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let bad: [&[u8]; 15] = [
        b"",
        b" ",
        b"null",
        b"1",
        b"\"a\"",
        b"[]",
        b"{",
        b"{}{}",
        b"{} x",
        b"{'a':1}",
        br#"{"a":1,"a":1}"#,
        br#"{"o":{"a":1,"\u0061":2}}"#,
        deep.as_bytes(),
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
    ];
    for body in bad {
        let answer = ask(&client, Method::PUT, &[JSON], body).await;
        refused(&answer, 400, "invalid_request");
    }
    for types in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "text/html")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "application/merge-patch+json")],
        &[JSON, JSON],
    ] {
        refused(&ask(&client, Method::PUT, types, b"{}").await, 415, "invalid_request");
    }
    refused(&ask(&client, Method::PUT, &[JSON, ("content-range", "bytes 0-1/2")], b"{}").await, 400, "invalid_request");
    let zipped = ask(&client, Method::PUT, &[JSON, ("content-encoding", "gzip")], b"\x1f\x8b\x08\0").await;
    refused(&zipped, 400, "invalid_request");
    assert_eq!(kept(&client).await.as_deref(), Some(r#"{"a":1}"#));

    // 16 kB, to the byte.
    let sized = |len: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(len - 8));
    let longest = sized(16 * 1024);
    assert_eq!(put(&client, &longest).await.status, 204);
    refused(&put(&client, &sized(16 * 1024 + 1)).await, 413, "too_large");
    assert_eq!(kept(&client).await.as_deref(), Some(&*longest));
    let typed = ask(&client, Method::PUT, &[("content-type", "application/json; charset=utf-8")], b"{}").await;
    assert_eq!(typed.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_is_read_as_far_as_it_may_be_long() {
    let site = site("of: session").await;
    let client = site.signed_in().await;
    let cookies = client.cookie_header("app.example").unwrap();
    let head = |more: &str| {
        format!(
            "PUT {DATA} HTTP/1.1\r\nHost: app.example\r\nOrigin: {ORIGIN}\r\nCookie: {cookies}\r\n\
             Content-Type: application/json\r\n{more}\r\n"
        )
    };
    let chunked = head("Transfer-Encoding: chunked\r\n");
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("{chunked}1\r\n{{\r\n5\r\n\"a\":1\r\n1\r\n}}\r\n0\r\n\r\n")).await;
    assert_eq!(raw.answer().await.status, 201);
    // The connection is good for the next, and for one that waits to be told to go on.
    raw.send(head("Content-Length: 7\r\n")).await;
    raw.send("{\"a\":7}").await;
    let answer = raw.answer().await;
    let told = (answer.status, answer.header("content-length"), answer.header("connection"));
    assert_eq!(told, (204, None, Some("keep-alive")));
    raw.send(head("Content-Length: 7\r\nExpect: 100-continue\r\n")).await;
    assert_eq!(raw.answer().await.status, 100);
    raw.send("{\"a\":2}").await;
    assert_eq!(raw.answer().await.status, 204);
    // One that never says that it ends, one that is announced too long and does not come, and one that does.
    let endless = format!("{chunked}{}", format!("1000\r\n{}\r\n", "a".repeat(0x1000)).repeat(6));
    let announced = head("Content-Length: 20000000\r\n");
    let whole = format!("{}{}", head("Content-Length: 200000\r\n"), "a".repeat(200_000));
    for too_long in [endless, format!("{announced}{}", "a".repeat(17_000)), whole] {
        let mut raw = Raw::connect(site.address).await;
        raw.send(too_long).await;
        let answer = raw.answer().await;
        let told = (answer.status, answer.header("connection"), answer.json()["error"].clone());
        assert_eq!(told, (413, Some("close"), "too_large".into()), "{}", answer.head);
        assert!(raw.is_closed().await);
    }
    assert_eq!(kept(&client).await.as_deref(), Some(r#"{"a":2}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_site_changes_it_or_reads_it() {
    let more = format!("cors: {{origins: [\"{FRONT}\"], expose: [ETag]}}\ncookies: {{same_site: none}}\n");
    let site = Site::with(keeping("of: session", &more)).await;
    let client = site.signed_in().await;
    put(&client, r#"{"a":1}"#).await;
    let foreign: [&[(&str, &str)]; 6] = [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://other.app.example"), ("sec-fetch-site", "same-site")],
        &[("origin", "null")],
        &[("origin", FRONT), ("origin", "https://evil.example")],
        &[("sec-fetch-site", "same-site")],
        // A program that does not say whose page it is: none of ours.
        &[],
    ];
    for headers in foreign {
        for method in [Method::PUT, Method::DELETE] {
            let headers = [headers, &[JSON]].concat();
            let answer = client.send(method, DATA, &headers, b"{}".to_vec()).await;
            refused(&answer, 403, "other_site");
            assert!(answer.header("access-control-allow-origin").is_none_or(|named| named == FRONT), "{headers:?}");
        }
        let read = client.get(DATA, headers).await;
        let named = read.header("access-control-allow-origin");
        assert_eq!((read.status, named), (200, None), "{headers:?}");
    }
    assert_eq!(kept(&client).await.as_deref(), Some(r#"{"a":1}"#));
    // A form cannot say what it takes, whoever sends it.
    let form = [SCRIPT[0], SCRIPT[1], ("content-type", "text/plain")];
    refused(&client.send(Method::PUT, DATA, &form, b"{}".to_vec()).await, 415, "invalid_request");
    assert_eq!(client.submit(DATA, "a=1").await.status, 405);

    // A listed origin may do both.
    let front = [("origin", FRONT), ("sec-fetch-site", "cross-site"), JSON];
    let asks = [
        ("origin", FRONT),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "content-type,if-match"),
    ];
    let granted = client.send(Method::OPTIONS, DATA, &asks, Vec::new()).await;
    assert_eq!((granted.status, granted.header("access-control-allow-methods")), (204, Some("PUT")));
    let made = client.send(Method::PUT, DATA, &front, b"{\"a\":2}".to_vec()).await;
    assert_eq!((made.status, made.header("access-control-expose-headers")), (204, Some("etag")));
    assert_eq!(kept(&client).await.as_deref(), Some(r#"{"a":2}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_there_where_it_is_wanted_and_for_whoever_is_signed_in() {
    let without = Site::start().await;
    let client = without.signed_in().await;
    assert_eq!(client.fetch(DATA).await.status, 404);
    assert_eq!(put(&client, "{}").await.status, 404);

    let site = site("of: session").await;
    let (nobody, somebody) = (site.client(), site.signed_in().await);
    for answer in [nobody.fetch(DATA).await, nobody.get(DATA, &NAVIGATION).await, put(&nobody, "{}").await] {
        refused(&answer, 401, "not_signed_in");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Vestibule "));
    }
    // Nothing in a request names a document: another spelling is no endpoint, and a query says nothing.
    put(&somebody, "{}").await;
    for path in ["/oauth2/session/data/", "/oauth2/session/data/x", "/oauth2/Session/data", "/oauth2/session%2Fdata"] {
        assert_eq!(somebody.fetch(path).await.status, 404, "{path}");
    }
    let id = header_at_app(&somebody.fetch("/").await, "x-vestibule-session").unwrap();
    assert_eq!(nobody.fetch(&format!("{DATA}?id={id}&session={id}")).await.status, 401);
}

/// A front proxy that asks leads our own paths to us; where it asks itself nothing else is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_front_proxy_that_asks_it_is_where_browsers_come_and_nowhere_else() {
    let more = "trusted_proxies: [127.0.0.1]\nforward_auth: {from: nginx}\n";
    let site = Site::with(Setup { routes: "[{path: /**}]".to_owned(), ..keeping("of: person", more) }).await;
    let client = site.client();
    until_well(async || client.browse("/oauth2/start?rd=/").await).await;
    // As nginx passes a request on.
    let forwarded =
        [("x-forwarded-host", "app.example"), ("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.1"), JSON];
    assert_eq!(ask(&client, Method::PUT, &forwarded, b"{}").await.status, 201);
    assert_eq!(kept(&client).await.as_deref(), Some("{}"));
    let headers = [("cookie", &*with_cookies(&client)), JSON];
    let asked = Client::new(site.asked_at.unwrap());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(ask(&asked, method, &headers, b"{}").await.status, 404);
    }
    assert_eq!(kept(&client).await.as_deref(), Some("{}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_s_is_of_that_session_and_ends_with_it() {
    let site = site("of: session").await;
    let (one, other) = (site.signed_in().await, site.signed_in().await);
    let name = async |client: &Client| header_at_app(&client.fetch("/").await, "x-vestibule-session").unwrap();
    let named = name(&one).await;
    put(&one, r#"{"a":1}"#).await;
    assert_eq!(kept(&other).await, None, "another device of the same person");
    // The name that the app gets stays over a renewal, and so does what is kept under it.
    site.clock.advance(Duration::from_secs(61 * 60));
    let before = one.cookie(SESSION);
    assert_eq!(name(&one).await, named);
    assert!(one.cookie(SESSION) != before && site.provider.counters().refresh > 0);
    assert_eq!(kept(&one).await.as_deref(), Some(r#"{"a":1}"#));

    let cookies = one.cookie_header("app.example").unwrap();
    assert_eq!(one.submit("/oauth2/sign_out", "").await.status, 303);
    let copied = [("cookie", cookies.as_str())];
    refused(&ask(&site.client(), Method::GET, &copied, b"").await, 401, "not_signed_in");
    refused(&ask(&site.client(), Method::PUT, &[copied[0], JSON], b"{}").await, 401, "not_signed_in");
    // The next session is another one, with nothing.
    one.browse("/").await;
    assert_ne!(name(&one).await, named);
    assert_eq!(kept(&one).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_s_is_theirs_on_every_device_and_is_forgotten_in_time_or_when_it_is_asked_for() {
    let site = site("of: person, forget_after: 10d").await;
    let (one, other) = (site.signed_in().await, site.signed_in().await);
    put(&one, r#"{"a":1}"#).await;
    assert_eq!(kept(&other).await.as_deref(), Some(r#"{"a":1}"#));
    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
    let stranger = site.signed_in().await;
    assert_eq!(kept(&stranger).await, None);
    put(&stranger, r#"{"theirs":1}"#).await;
    site.provider.sign_in_as(agent());

    // Signing out and an administrator's ending are about sessions.
    one.submit("/oauth2/sign_out", "").await;
    let people = format!("http://{}/people/{}/sessions", site.admin, agent().sub);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let admin = async |query: &str| {
        let url = format!("{people}{query}");
        Client::new(site.admin).send(Method::DELETE, &url, &[("authorization", &bearer)], Vec::new()).await
    };
    assert_eq!(admin("").await.status, 200);
    assert_eq!(other.fetch(DATA).await.status, 401);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    site.clock.advance(days(10));
    let back = site.signed_in().await;
    assert_eq!(kept(&back).await.as_deref(), Some(r#"{"a":1}"#));
    // Signing in alone has kept it on.
    site.clock.advance(days(10));
    assert_eq!(kept(&site.signed_in().await).await.as_deref(), Some(r#"{"a":1}"#));
    site.clock.advance(days(11));
    let late = site.signed_in().await;
    assert_eq!(kept(&late).await, None);

    // Nothing is forgotten that nobody has asked for.
    put(&late, r#"{"a":2}"#).await;
    assert_eq!(admin("?data=x").await.status, 400);
    assert_eq!(kept(&late).await.as_deref(), Some(r#"{"a":2}"#));
    let done = admin("?data=forget").await;
    assert_eq!((done.status, &done.json()["ended"]), (200, &1.into()));
    let anew = site.signed_in().await;
    assert_eq!(kept(&anew).await, None);

    // The same by the command line, which does no more than it is told.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), ADMIN_TOKEN).unwrap();
    let end = async |more: &[&str]| {
        let listener = format!("http://{}", site.admin);
        let named = [&["sessions", "end", "--admin", &listener, "--token-file", "token"], more].concat();
        let (folder, named) = (folder.path().to_owned(), named.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let ran = move || run(&folder, &named.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(ran).await.unwrap().status.success()
    };
    let sub = agent().sub;
    for (more, is_left) in [(&["--person", &*sub][..], true), (&["--person", &*sub, "--forget-data"], false)] {
        put(&site.signed_in().await, "{}").await;
        assert!(end(more).await);
        site.clock.advance(Duration::from_secs(1));
        assert_eq!(kept(&site.signed_in().await).await.is_some(), is_left, "{more:?}");
    }
    assert!(!end(&["--forget-data", &"0".repeat(32)]).await, "a session is no person");
}

/// Two replicas of a site over a Redis.
async fn pair(redis: &Redis, of: &str) -> (Site, Site) {
    let store = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n", redis.port);
    let one = Site::with(keeping(of, &store)).await;
    let issuer = Some(one.provider.issuer().to_owned());
    let other = Site::with(Setup { issuer, ..keeping(of, &store) }).await;
    (one, other)
}

fn with_cookies(client: &Client) -> String {
    client.cookie_header("app.example").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_two_replicas_it_is_one_and_who_reads_the_redis_reads_nothing() {
    require!(Redis);
    let mut redis = Redis::start().await;
    for (of, kind) in [("of: session", "data"), ("of: person", "data-of-person")] {
        redis.cli(&["flushall"]);
        let (one, other) = pair(&redis, of).await;
        let client = one.signed_in().await;
        let cookies = with_cookies(&client);
        let there = other.client();
        let at_other = async |method: Method, headers: &[(&str, &str)], body: &[u8]| {
            let headers = [headers, &[("cookie", &*cookies)]].concat();
            until_well(async || ask(&there, method.clone(), &headers, body).await).await
        };
        let first = put(&client, r#"{"secret":"of the person"}"#).await;
        assert_eq!(first.status, 201);
        let read = at_other(Method::GET, &[], b"").await;
        assert_eq!((read.text().as_str(), tag(&read)), (r#"{"secret":"of the person"}"#, tag(&first)));
        assert_eq!(at_other(Method::PUT, &[JSON, ("if-match", &tag(&first))], b"{}").await.status, 204);
        refused(&put_if(&client, ("if-match", &tag(&first)), "{}").await, 412, "changed");

        put(&client, r#"{"secret":"of the person"}"#).await;
        let held = redis.cli(&["keys", &format!("*:{kind}:*")]);
        assert_eq!(held.lines().count(), 1, "{held}");
        let value = redis.cli(&["get", &held]);
        assert!(!value.is_empty() && !value.contains("secret"), "{value}");
        let (sub, id) = (agent().sub, header_at_app(&client.fetch("/").await, "x-vestibule-session").unwrap());
        assert!(!held.contains(&sub) && !held.contains(&id), "{held}");
        let lives: u64 = redis.cli(&["ttl", &held]).parse().unwrap();
        let span = if kind == "data" { 12 * 3600 } else { 12 * 3600 + 30 * 86_400 };
        assert!((span - 120..=span).contains(&lives), "{lives}");

        // Whoever moves it, or alters it, has nothing.
        let stranger = {
            one.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
            one.signed_in().await
        };
        put(&stranger, "{}").await;
        let both = redis.cli(&["keys", &format!("*:{kind}:*")]);
        let theirs = both.lines().find(|key| *key != held).unwrap();
        redis.cli(&["copy", &held, theirs, "replace"]);
        assert_eq!(kept(&stranger).await, None);
        redis.cli(&["setrange", &held, "40", "A"]);
        redis.cli(&["setrange", &held, "41", "B"]);
        assert_eq!(kept(&client).await, None);
        assert_eq!(put(&client, "{}").await.status, 201, "what is nothing is replaced");

        // Where it was forgotten with the session, and this replica has not heard of it yet, nothing is put back.
        redis.cli(&["set", &held, "forgotten 9999999999"]);
        for (method, headers) in [(Method::PUT, &[JSON][..]), (Method::DELETE, &[])] {
            let answer = at_other(method, headers, b"{}").await;
            assert!(answer.set_cookies().is_empty());
            refused(&answer, 401, "not_signed_in");
        }
        refused(&at_other(Method::GET, &[], b"").await, 404, "no_data");
        redis.cli(&["del", &held]);
        assert_eq!(put(&client, "{}").await.status, 201);

        // Signing out takes a session's away, everywhere, and leaves a person's.
        client.submit("/oauth2/sign_out", "").await;
        let left = redis.cli(&["get", &held]);
        assert_eq!(left.starts_with("forgotten "), kind == "data", "{left}");
        until("the other has heard", async || {
            ask(&there, Method::GET, &[("cookie", &*cookies)], b"").await.status == 401
        })
        .await;
    }

    // What cannot be asked is no answer.
    let (one, _other) = pair(&redis, "of: person").await;
    let client = one.signed_in().await;
    put(&client, "{}").await;
    redis.stop();
    refused(&client.fetch(DATA).await, 503, "session_unavailable");
    refused(&put(&client, r#"{"a":1}"#).await, 503, "session_unavailable");
    refused(&ask(&client, Method::DELETE, &[], b"").await, 503, "session_unavailable");
    redis.start_again().await;
    let answer = async || client.fetch(DATA).await;
    assert_eq!(until_well(answer).await.text(), "{}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_file_it_survives_the_program() {
    let (echo, provider, folder) = (Echo::start().await, provider_for_programs().await, tempfile::tempdir().unwrap());
    let configuration = format!(
        "public_url: {ORIGIN}\n\
         listeners: {{proxy: \"127.0.0.1:0\", admin: \"127.0.0.2:0\"}}\n\
         providers: {{proconnect: {{preset: proconnect, issuer: \"{issuer}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}}}}}\n\
         session: {{data: {{of: person}}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
         store: {{file: \"{file}\"}}\n\
         upstreams: {{app: {{url: \"http://{app}\"}}}}\n\
         routes: [{{path: /**, upstream: app}}]\n",
        issuer = provider.issuer(),
        file = folder.path().join("state.db").display(),
        app = echo.address,
    );
    let start = async || Process::serve_with(&configuration, &[("CLIENT_SECRET", CLIENT_SECRET)]).await;
    let cookies = {
        let program = start().await;
        let client = Client::new(program.address());
        assert_eq!(until_well(async || client.browse("/").await).await.status, 200);
        assert_eq!(put(&client, r#"{"kept":"over a restart"}"#).await.status, 201);
        with_cookies(&client)
    };
    never_logged(&cookies);
    let bytes = std::fs::read(folder.path().join("state.db")).unwrap();
    assert!(!bytes.windows(14).any(|window| window == b"over a restart"));
    let program = start().await;
    let client = Client::new(program.address());
    let headers = [("cookie", cookies.as_str())];
    let answer = until_well(async || ask(&client, Method::GET, &headers, b"").await).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"kept":"over a restart"}"#));
}

/// The example of the documentation, by which five writers at once lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_of_the_documentation_works_in_a_browser() {
    require!(Chromium);
    let (echo, port) = (Echo::start().await, free_port());
    let origin = format!("http://localhost:{port}");
    let [callback, signed_out] = ["callback", "signed_out"].map(|name| format!("{origin}/oauth2/{name}"));
    let registration = Registration::new("app", SecretString::from(CLIENT_SECRET), &callback, &signed_out);
    let settings = ProviderSettings { clients: vec![registration], ..ProviderSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new())).unwrap();
    provider.sign_in_as(agent());
    let configuration = format!(
        "public_url: {origin}\n\
         listeners: {{proxy: \"127.0.0.1:{port}\", admin: \"127.0.0.1:0\"}}\n\
         providers: {{proconnect: {{preset: proconnect, issuer: \"{issuer}\", client_id: app, client_secret: {{env: CLIENT_SECRET}}, timeout: 3m}}}}\n\
         session: {{data: {{of: person}}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
         upstreams: {{app: {{url: \"http://{app}\"}}}}\n\
         routes: [{{path: /**, upstream: app}}]\n",
        issuer = provider.issuer(),
        app = echo.address,
    );
    let _program = Process::serve_with(&configuration, &[("CLIENT_SECRET", CLIENT_SECRET)]).await;
    let browser = Browser::start().await;
    browser.goto(&origin).await;
    let is_there = "return document.body.textContent.includes('x-vestibule-session')";
    browser.wait_until("the app's page", async || browser.execute(is_there, json!([])).await == true).await;

    let page = include_str!("../../docs/session-data.md");
    let example = page.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
    let five = "const more = data => ({...data, n: (data.n ?? 0) + 1});
        return (async () => {
            const put = await Promise.all([1, 2, 3, 4, 5].map(() => change(more)));
            const kept = await fetch('/oauth2/session/data');
            return [put.map(one => one.status).sort(), await kept.json()];
        })()";
    let outcome = browser.execute(&format!("{example}\n{five}"), json!([])).await;
    assert_eq!(outcome, json!([[201, 204, 204, 204, 204], {"n": 5}]));
}
