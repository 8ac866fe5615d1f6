//! `kind: exchange`: asked once for a session, kept until it ends, asked anew when the upstream
//! refuses it; and what people see when there is none.

use super::*;
use crate::support::counterparts::require;
use crate::support::log_watch::{access_line_with, access_lines_with, done_without_the_store};
use crate::support::redis::Redis;
use crate::support::shown::{assert_error, error_id};
use crate::support::site::agent;
use crate::support::waiting::until_well;
use futures_util::future::join_all;
use http::Method;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::net::TcpListener;
use tokio::time::Instant;
use vestibule::demo::provider::{Agent, Down, ExchangeFault, Hold};
use vestibule::pages::{ErrorKind, Language};

/// Values that apps take for dead, as they stand in the header. Every test adds its own.
static DEAD: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Where an app redirects to.
static LOCATION: Mutex<String> = Mutex::new(String::new());

/// Makes something go wrong at the provider.
type Set = Box<dyn Fn(&mut vestibule::demo::provider::Faults)>;

/// An answer to an exchange whose token never ends.
const ISSUED: &str = r#"{"access_token":"the-token-of-the-gateway-of-tests","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"bearer","expires_in":18446744073709551615}"#;

const REFUSED: &[u8] =
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\nContent-Length: 4\r\n\r\ndead";

/// An app that refuses what is dead, and everything at `/billing/never`.
fn refusing(got: &Received) -> Act {
    let dead = DEAD.lock().unwrap();
    let is_dead = got.all("authorization").iter().any(|value| dead.contains(*value));
    match got.target() {
        "/billing/never" => Act::Answer(REFUSED.to_vec()),
        "/billing/forbidden" => Act::Answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec()),
        _ if is_dead => Act::Answer(REFUSED.to_vec()),
        _ => Act::ok("ok"),
    }
}

async fn refusing_stage() -> Stage {
    Stage::with(Props { app: refusing, ..Props::default() }).await
}

/// Makes what the app got last dead.
fn kill_last(stage: &Stage) -> String {
    let value = stage.app.received().last().unwrap().all("authorization").join("|");
    DEAD.lock().unwrap().insert(value.clone());
    value
}

fn exchanges(stage: &Stage) -> u64 {
    stage.site.provider.counters().exchange
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_first_requests_on_two_replicas_exchange_once() {
    require!(Redis);
    for keep in ["idle: 4h, keep: cookie", "idle: 4h, keep: store"] {
        let redis = Redis::start().await;
        let more = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}", redis.port);
        let one = Stage::with(Props { session: keep, more: more.clone(), ..Props::default() }).await;
        let issuer = Some(one.site.provider.issuer().to_owned());
        let other = Stage::with(Props { session: keep, more, issuer, ..Props::default() }).await;
        let client = one.site.signed_in().await;
        let held = client.cookie_header("app.example").unwrap();
        let clients = [one.site.client(), other.site.client()];
        let all = (0..100)
            .map(async |number| until_well(async || get(&clients[number % 2], "/billing/a", &held).await).await);
        for answer in join_all(all).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let asked = one.site.provider.counters().exchange;
        assert!((1..=1 + done_without_the_store()).contains(&asked), "{keep}: {asked}");
        let received = one.app.received().into_iter().chain(other.app.received());
        let values: HashSet<String> =
            received.filter(|got| got.target() == "/billing/a").map(|got| bearer(&got)).collect();
        assert!(values.len() as u64 <= asked);
        // Nobody who reads the store reads it.
        let token = values.into_iter().next().unwrap();
        let mut found = false;
        for key in redis.cli(&["--scan"]).lines().filter(|key| key.contains("attached")) {
            found = true;
            assert!(!redis.cli(&["get", key]).contains(&token[..40]), "{key}");
        }
        assert!(found);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_kept_until_its_end_and_renewed_before_without_a_request_waiting() {
    let stage = Stage::start().await;
    let session = cookies(&stage.site.signed_in().await);
    let first = bearer(&stage.arrives("/billing/a", &session).await);
    // They last 300 s; the twentieth part before that it is time for the next one.
    stage.site.clock.advance(seconds(280));
    assert_eq!(bearer(&stage.arrives("/billing/a", &session).await), first);
    assert_eq!(exchanges(&stage), 1);
    let hold = Hold::default();
    stage.site.provider.faults().set(|faults| faults.exchange = Some(ExchangeFault::Held(hold.clone())));
    stage.site.clock.advance(seconds(8));
    for _ in 0..10 {
        assert_eq!(bearer(&stage.arrives("/billing/a", &session).await), first);
    }
    hold.arrived(1).await;
    assert_eq!(exchanges(&stage), 1 + 1);
    hold.release();
    let second = async || bearer(&stage.arrives("/billing/a", &session).await);
    until("the next one is in use", async || second().await != first).await;
    assert_eq!(exchanges(&stage), 2);
    // Past its end nobody gets it, and the request waits.
    stage.site.clock.advance(seconds(301));
    let third = stage.arrives("/billing/a", &session).await;
    assert!(claims_of(&bearer(&third))["exp"].as_u64().unwrap() > 1_795_000_000 + 280 + 8 + 301);
    assert_eq!(exchanges(&stage), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_at_renewal_takes_nothing_away() {
    let stage = Stage::start().await;
    let session = cookies(&stage.site.signed_in().await);
    let first = bearer(&stage.arrives("/billing/a", &session).await);
    stage.site.provider.faults().set(|faults| faults.exchange = Some(ExchangeFault::Failing));
    stage.site.clock.advance(seconds(288));
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(bearer(&stage.arrives("/billing/a", &session).await), first);
    }
    until("it was asked", async || exchanges(&stage) >= 2).await;
    // Once in five seconds, however many requests come.
    for _ in 0..20 {
        assert_eq!(bearer(&stage.arrives("/billing/a", &session).await), first);
    }
    assert!(exchanges(&stage) <= 2 + began.elapsed().as_secs() / 5, "{}", exchanges(&stage));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_refuses_is_exchanged_anew_and_the_request_sent_again() {
    let stage = refusing_stage().await;
    let client = stage.site.signed_in().await;
    assert_eq!(client.fetch("/billing/a").await.status, 200);
    let asked = exchanges(&stage);
    for (round, (method, body)) in
        [(Method::GET, 0), (Method::POST, 100), (Method::PUT, 60_000), (Method::DELETE, 0)].into_iter().enumerate()
    {
        stage.site.clock.advance(seconds(20));
        let dead = kill_last(&stage);
        let before = stage.app.received().len();
        let body: Vec<u8> = (0..body).map(|n: usize| b"abcdefghij"[n % 10]).collect();
        let answer = client.send(method.clone(), "/billing/b?q=1", &[("x-mark", "1")], body.clone()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{method}");
        let received = stage.app.received().split_off(before);
        assert_eq!(received.len(), 2, "{method}");
        for got in &received {
            assert_eq!((got.line(), &got.body), (format!("{method} /billing/b?q=1 HTTP/1.1").as_str(), &body));
            assert_eq!(got.all("x-mark"), ["1"]);
            assert_eq!(got.all("authorization").len(), 1);
            assert_eq!(got.all("x-auth-request-email").len(), 1);
        }
        assert_eq!(received[0].all("authorization"), [dead.as_str()]);
        assert_ne!(received[1].all("authorization"), [dead.as_str()]);
        assert_eq!(exchanges(&stage), asked + 1 + round as u64);
    }
    // WebSockets as well.
    stage.site.clock.advance(seconds(20));
    let dead = kill_last(&stage);
    let mut raw = Raw::connect(stage.site.address).await;
    raw.send(format!("GET /billing/ws HTTP/1.1\r\nHost: app.example\r\n{}{UPGRADE}\r\n", cookies(&client))).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_ne!(stage.app.received().last().unwrap().all("authorization"), [dead.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_longer_at_hand_is_not_sent_again_and_the_next_request_has_a_new_token() {
    let stage = refusing_stage().await;
    let client = stage.site.signed_in().await;
    assert_eq!(client.fetch("/billing/a").await.status, 200);
    let dead = kill_last(&stage);
    let before = stage.app.received().len();
    let answer = client.send(Method::POST, "/billing/b", &[], vec![b'x'; 200_000]).await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "dead"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    assert_eq!(stage.app.received().len(), before + 1);
    let next = client.send(Method::POST, "/billing/b", &[], vec![b'x'; 200_000]).await;
    assert_eq!(next.status, 200);
    assert_ne!(stage.app.received().last().unwrap().all("authorization"), [dead.as_str()]);
    assert_eq!(exchanges(&stage), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_refuses_everything_is_believed_and_the_provider_is_left_alone() {
    let stage = refusing_stage().await;
    let client = Arc::new(stage.site.signed_in().await);
    let first = client.fetch("/billing/never").await;
    assert_eq!((first.status, first.text().as_str()), (401, "dead"));
    assert_eq!((stage.app.received().len(), exchanges(&stage)), (1 + 2, 2));
    let held = client.cookie_header("app.example").unwrap();
    let all = (0..100).map(|_| get(&client, "/billing/never", &held));
    assert!(join_all(all).await.iter().all(|answer| answer.status == 401));
    assert_eq!((stage.app.received().len(), exchanges(&stage)), (3 + 100, 2), "within ten seconds nothing more");
    stage.site.clock.advance(seconds(11));
    let all = (0..100).map(|_| get(&client, "/billing/never", &held));
    assert!(join_all(all).await.iter().all(|answer| answer.status == 401));
    assert_eq!(exchanges(&stage), 3, "once for all of them");
    // What a person may not do is no reason to ask for another token, nor to do it twice.
    stage.site.clock.advance(seconds(11));
    let before = stage.app.received().len();
    assert_eq!(client.send(Method::POST, "/billing/forbidden", &[], b"x".to_vec()).await.status, 403);
    assert_eq!((stage.app.received().len(), exchanges(&stage)), (before + 1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_before_the_whole_body_came_loses_none_of_it() {
    // An app that refuses as soon as it has the head, and reads the second time.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let (told, mut held_open) = tokio::sync::mpsc::unbounded_channel();
    let app = tokio::spawn(async move {
        let mut refuses = true;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut raw = Raw::over(stream);
            let head = raw.request_head().await;
            if head.starts_with("GET") {
                raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
                continue;
            }
            if std::mem::take(&mut refuses) {
                raw.send(REFUSED).await;
                told.send(raw).unwrap();
                continue;
            }
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            sender.send(raw.exactly(length.unwrap()).await).unwrap();
            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        }
    });
    let setup = Setup {
        upstream: Some(format!("http://{address}")),
        routes: "[{path: /**, upstream: app, credentials: {kind: exchange, audience: b}}]".to_owned(),
        ..Setup::default()
    };
    let site = Site::with(setup).await;
    let client = site.signed_in().await;
    let body: Vec<u8> = (0..50_000).map(|n: usize| b"abcdefghij"[n % 10]).collect();
    let mut raw = Raw::connect(site.address).await;
    let head = format!(
        "POST /b HTTP/1.1\r\nHost: app.example\r\nOrigin: https://app.example\r\n{}Content-Length: {}\r\n\r\n",
        cookies(&client),
        body.len()
    );
    raw.send(head).await;
    raw.send(&body[..10_000]).await;
    let _held_open = held_open.recv().await.unwrap();
    raw.send(&body[10_000..]).await;
    assert_eq!(raw.answer().await.status, 200);
    assert!(bodies.recv().await.unwrap() == body, "the body changed on the way");
    app.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_wrong_is_said_to_whom_it_concerns() {
    let code = |code| {
        move |faults: &mut vestibule::demo::provider::Faults| faults.exchange = Some(ExchangeFault::Refused(code))
    };
    let cases: Vec<(Set, ErrorKind, &str, &str)> = vec![
        (
            Box::new(|faults| faults.down = Some(Down::Unavailable)),
            ErrorKind::ApiUnavailable,
            "api_unavailable",
            "WARN",
        ),
        (
            Box::new(|faults| faults.exchange = Some(ExchangeFault::Failing)),
            ErrorKind::ApiUnavailable,
            "api_unavailable",
            "WARN",
        ),
        (Box::new(code("temporarily_unavailable")), ErrorKind::ApiUnavailable, "api_unavailable", "WARN"),
        (Box::new(code("invalid_request")), ErrorKind::ApiNotGranted, "api_not_granted", "INFO"),
        (Box::new(code("invalid_grant")), ErrorKind::ApiNotGranted, "api_not_granted", "INFO"),
        (Box::new(code("invalid_target")), ErrorKind::ApiMisconfigured, "api_misconfigured", "ERROR"),
        (Box::new(code("invalid_client")), ErrorKind::ApiMisconfigured, "api_misconfigured", "ERROR"),
        (
            Box::new(|faults| faults.exchange = Some(ExchangeFault::Garbage)),
            ErrorKind::ApiMisconfigured,
            "api_misconfigured",
            "ERROR",
        ),
        (
            Box::new(|faults| faults.exchange = Some(ExchangeFault::LineBreak)),
            ErrorKind::ApiMisconfigured,
            "api_misconfigured",
            "ERROR",
        ),
        (
            Box::new(|faults| faults.exchange = Some(ExchangeFault::SameToken)),
            ErrorKind::ApiMisconfigured,
            "api_misconfigured",
            "ERROR",
        ),
        (
            Box::new(|faults| faults.exchange = Some(ExchangeFault::IssuesIdToken)),
            ErrorKind::ApiMisconfigured,
            "api_misconfigured",
            "ERROR",
        ),
    ];
    let stage = Stage::start().await;
    for (number, (set, kind, name, level)) in cases.into_iter().enumerate() {
        // Another session each time: what failed is not tried again for five seconds.
        stage.site.provider.faults().clear();
        let client = stage.site.signed_in().await;
        let before = (stage.app.received().len(), exchanges(&stage));
        let began = Instant::now();
        stage.site.provider.faults().set(set);
        let page = client.navigate("/billing/a").await;
        let reason = assert_error(&page, kind, Language::French).await;
        assert!(reason.starts_with("credentials billing: "), "{reason}");
        let english = client
            .get("/billing/a", &[("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("accept-language", "en")])
            .await;
        let id = error_id(&english, kind, Language::English);
        assert_eq!(access_line_with(&id).await["level"], level);
        let json = client.fetch("/billing/a").await;
        assert_eq!((json.status, json.json()["error"].as_str()), (kind.status().as_u16(), Some(name)));
        assert_eq!(json.header("retry-after"), kind.retry_after());
        let id = json.json()["id"].as_str().unwrap().to_owned();
        access_line_with(&id).await;
        assert_eq!(access_lines_with(&id).len(), 1);
        // Nothing reached the app, one question was asked in five seconds, and other routes go on.
        assert_eq!(stage.app.received().len(), before.0, "{number}");
        assert!(exchanges(&stage) <= before.1 + 1 + began.elapsed().as_secs() / 5, "{number}");
        assert_eq!(client.fetch("/a").await.status, 200, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_shows_it_and_no_redirect_takes_it_along() {
    let elsewhere = Wire::start().await;
    let location = format!("{}/billing/there", elsewhere.url());
    *LOCATION.lock().unwrap() = location.clone();
    let app = |got: &Received| match got.target() {
        "/billing/away" => {
            let location = LOCATION.lock().unwrap();
            Act::Answer(
                format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
                    .into_bytes(),
            )
        }
        "/billing/broken" => Act::Close(b"HTTP/1.1 200 OK\r\nBad\x01Header: x\r\n\r\n".to_vec()),
        _ => Act::ok("ok"),
    };
    for session in ["idle: 4h, keep: cookie", "idle: 4h, keep: store"] {
        let stage = Stage::with(Props { app, session, ..Props::default() }).await;
        let client = stage.site.signed_in().await;
        let mut answers = vec![client.navigate("/billing/a").await];
        let token = bearer(stage.app.received().last().unwrap());
        never_logged(&token);
        let away = client.navigate("/billing/away").await;
        assert_eq!((away.status, away.location()), (307, location.as_str()));
        answers.push(away);
        for target in [
            "/billing/broken",
            "/oauth2/userinfo",
            "/oauth2/auth",
            "/oauth2/sessions",
            "/oauth2/nothing",
            "/me/a",
            "/org/a",
        ] {
            answers.push(client.navigate(target).await);
        }
        stage.site.clock.advance(seconds(3660));
        answers.push(client.navigate("/billing/a").await);
        answers.push(client.navigate("/").await);
        answers.push(client.submit("/oauth2/sign_out", "").await);
        let tokens: HashSet<String> =
            stage.app.received().iter().filter(|got| !injected(got).is_empty()).map(bearer).collect();
        assert!(tokens.len() >= 4, "{}", tokens.len());
        for answer in &answers {
            let shown = format!("{:?}\n{}", answer.headers, answer.text());
            for token in &tokens {
                assert!(!shown.contains(token.as_str()), "{}: {shown}", answer.url);
            }
        }
        assert_eq!(elsewhere.received().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_what_is_anothers() {
    // Asked about everybody's e-mail address, and slow in answering some.
    let book = Wire::scripted(|got| {
        let question: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        let key = format!("the-key-of-{}", question["value"].as_str().unwrap());
        let answer = serde_json::json!({ "key": key }).to_string();
        Act::ok(&answer)
    })
    .await;
    let org = Some(format!("{{kind: keys, claim: email, url: \"{}/find\", timeout: 3m}}", book.url()));
    let stage = Stage::with(Props { org, ..Props::default() }).await;
    let mut people = Vec::new();
    for number in 0..20 {
        let email = format!("agent{number}@test.proconnect.gouv.fr");
        stage.site.provider.sign_in_as(Agent::new("Agent", &format!("Numéro {number}"), &email));
        people.push(Arc::new(stage.site.signed_in().await));
    }
    stage.site.provider.sign_in_as(agent());
    for _ in 0..2 {
        let all = (0..10).flat_map(|_| &people).flat_map(|client| {
            ["/billing/a", "/org/a", "/me/a"].map(|target| {
                let client = Arc::clone(client);
                async move { until_well(async || client.fetch(target).await).await }
            })
        });
        for answer in join_all(all).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        // Once more when all of them have ended at the same time.
        stage.site.clock.advance(seconds(301));
    }
    let mut tokens: Vec<(String, String)> = Vec::new();
    for got in stage.app.received() {
        let whose = |name| got.all(name).first().copied().unwrap_or_default().to_owned();
        match got.target() {
            "/billing/a" => assert_eq!(claims_of(&bearer(&got))["sub"], whose("x-auth-request-user").as_str()),
            "/org/a" => assert_eq!(bearer(&got), format!("the-key-of-{}", whose("x-auth-request-email"))),
            "/me/a" => tokens.push((bearer(&got), whose("x-auth-request-user"))),
            _ => {}
        }
    }
    assert_eq!(tokens.len(), 400);
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 20);
    for (token, whose) in tokens {
        assert_eq!(stage.subject_of(&token).await, Some(whose));
    }
    assert_eq!((exchanges(&stage), book.received().len()), (40, 40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_meanwhile_gets_nothing() {
    let stage = Stage::start().await;
    let client = Arc::new(stage.site.signed_in().await);
    let gate = Hold::default();
    stage.site.provider.faults().set(|faults| faults.exchange = Some(ExchangeFault::Held(gate.clone())));
    let held = client.cookie_header("app.example").unwrap();
    let before = stage.app.received().len();
    let waiting = tokio::spawn({
        let (client, held) = (stage.site.client(), held.clone());
        async move {
            client
                .try_send(Method::GET, "/billing/a", &[("accept", "application/json"), ("cookie", &held)], Vec::new())
                .await
        }
    });
    gate.arrived(1).await;
    client.submit("/oauth2/sign_out", "").await;
    gate.release();
    // Told so, or cut off.
    if let Ok(answer) = waiting.await.unwrap() {
        assert_ne!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(stage.app.received().len(), before);
    assert_eq!(get(&client, "/billing/a", &held).await.status, 401);
    // One that began and whose browser went away is there for the next request.
    stage.site.provider.faults().clear();
    let client = Arc::new(stage.site.signed_in().await);
    let gate = Hold::default();
    stage.site.provider.faults().set(|faults| faults.exchange = Some(ExchangeFault::Held(gate.clone())));
    let asked = exchanges(&stage);
    let gone = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.fetch("/billing/a").await }
    });
    gate.arrived(1).await;
    gone.abort();
    let _ = gone.await;
    gate.release();
    assert_eq!(client.fetch("/billing/a").await.status, 200);
    assert_eq!(exchanges(&stage), asked + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_endpoint_gets_its_own_credentials_and_not_the_providers() {
    let gateway = Wire::scripted(|_| {
        Act::Answer(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ISSUED}",
                ISSUED.len()
            )
            .into_bytes(),
        )
    })
    .await;
    never_logged("the-token-of-the-gateway-of-tests");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "the-secret-at-the-gateway-of-tests\n").unwrap();
    never_logged("the-secret-at-the-gateway-of-tests");
    let billing = format!(
        "{{kind: exchange, audience: billing, scope: read write, subject: id_token, header: X-Api-Key, \
         endpoint: {{url: \"{}/token\", client_id: us, client_secret: {{file: \"{}\"}}}}}}",
        gateway.url(),
        secret.display()
    );
    let stage = Stage::with(Props { billing, ..Props::default() }).await;
    let session = cookies(&stage.site.signed_in().await);
    let got = stage.arrives("/billing/a", &session).await;
    assert_eq!(injected(&got), [("x-api-key", "the-token-of-the-gateway-of-tests".to_owned())]);
    let asked = &gateway.received()[0];
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert!(
        !asked.head.contains(crate::support::site::CLIENT_SECRET)
            && !form.contains(crate::support::site::CLIENT_SECRET)
    );
    assert!(
        form.contains("audience=billing") && form.contains("scope=read+write") && form.contains("id_token"),
        "{form}"
    );
    assert_eq!(exchanges(&stage), 0);
    // One that never ends is kept as long as the session, and does not upset the store.
    stage.site.clock.advance(seconds(3000));
    assert_eq!(injected(&stage.arrives("/billing/a", &session).await).len(), 1);
    assert_eq!(gateway.received().len(), 1);
}
