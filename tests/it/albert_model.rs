//! Albert API's models through the sidecar, with the person's key: completions stream, uploads are
//! never held, and what the API says about a request is passed on as it said it.

use crate::support::albert::{FakeAlbert, Fault, Refusal, Streams, Version};
use crate::support::client::{Answer, Client};
use crate::support::keyed::{Keyed, bearer_at_api};
use crate::support::raw::Raw;
use http::Method;
use serde_json::{Value, json};

const COMPLETIONS: &str = "/v1/chat/completions";
const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const MEGABYTE: usize = 1024 * 1024;
const FORM: &str = "multipart/form-data; boundary=frontiere";

async fn keyed(version: Version) -> (Keyed, Client) {
    let keyed = Keyed::start(version).await;
    let client = keyed.site.signed_in().await;
    bearer_at_api(&client).await;
    (keyed, client)
}

/// The head of a request of this client's, as it is written.
fn head(client: &Client, path: &str, kind: &str, length: usize) -> String {
    let cookies = client.cookie_header("app.example").unwrap();
    format!(
        "POST {path} HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\nAuthorization: Bearer sk-of-the-client\r\n\
         Sec-Fetch-Site: same-origin\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn conversation(stream: bool) -> Vec<u8> {
    let message = json!({ "role": "user", "content": "bonjour" });
    json!({ "model": "albert-small", "stream": stream, "messages": [message] }).to_string().into_bytes()
}

/// A completion that streams, of which nothing has come yet but the head.
async fn stream(keyed: &Keyed, client: &Client) -> Raw {
    let body = conversation(true);
    let mut raw = Raw::connect(keyed.site.address).await;
    raw.send(head(client, COMPLETIONS, "application/json", body.len())).await;
    raw.send(&body).await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream; charset=utf-8")));
    assert_eq!((head.header("content-length"), head.header("content-encoding")), (None, None));
    raw
}

/// The data of the event that comes next.
async fn event(raw: &mut Raw) -> String {
    let chunk = String::from_utf8(raw.chunk().await).unwrap();
    chunk.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_arrives_event_by_event_as_it_is_made() {
    for version in Version::ALL {
        let (keyed, client) = keyed(version).await;
        keyed.api.hold_streams(3);
        let mut raw = stream(&keyed, &client).await;
        // Each before there is another.
        for word in 0..3 {
            keyed.api.let_go(1);
            let chunk: Value = serde_json::from_str(&event(&mut raw).await).unwrap();
            assert_eq!(chunk["choices"][0]["delta"]["content"], format!("mot{word} "), "{version:?}");
        }
        keyed.api.let_go(1);
        let usage: Value = serde_json::from_str(&event(&mut raw).await).unwrap();
        assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &10.into()), "{version:?}");
        keyed.api.let_go(1);
        assert_eq!(event(&mut raw).await, "[DONE]", "{version:?}");
        assert!(raw.chunk().await.is_empty(), "{version:?}: the end");
        assert_eq!(keyed.api.streams(), Streams { open: 0, finished: 1, stopped: 0 }, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_stops_the_completion() {
    let (keyed, client) = keyed(Version::Late).await;
    keyed.api.hold_streams(1000);
    let mut raw = stream(&keyed, &client).await;
    keyed.api.let_go(1);
    event(&mut raw).await;
    drop(raw);
    keyed.api.upstream_stopped().await;
    assert_eq!(keyed.api.streams(), Streams { open: 0, finished: 0, stopped: 1 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_ends_with_its_session() {
    let (keyed, client) = keyed(Version::Late).await;
    keyed.api.hold_streams(1000);
    let mut raw = stream(&keyed, &client).await;
    keyed.api.let_go(1);
    event(&mut raw).await;
    assert_eq!(client.submit("/oauth2/sign_out", "").await.status, 303);
    keyed.api.upstream_stopped().await;
    keyed.no_key_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_in_one_piece_comes_whole() {
    let (keyed, client) = keyed(Version::V01).await;
    let headers = [("content-type", "application/json"), ("sec-fetch-mode", "cors")];
    let answer = client.send(Method::POST, COMPLETIONS, &headers, conversation(false)).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "stub stub stub stub");
    assert_eq!(keyed.api.all_keys().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_200_megabytes_is_never_held_back() {
    let (keyed, client) = keyed(Version::Late).await;
    let mut raw = Raw::connect(keyed.site.address).await;
    raw.send(head(&client, TRANSCRIPTIONS, FORM, 200 * MEGABYTE)).await;
    // In step: nothing is sent before the API has what came before, so no more is ever kept.
    let piece = vec![b'x'; 4 * MEGABYTE];
    for sent in 1..=50 {
        raw.send(&piece).await;
        keyed.api.uploaded(sent * 4 * MEGABYTE as u64).await;
    }
    let answer = raw.answer().await;
    assert_eq!((answer.status, &answer.json()["bytes"]), (200, &(200 * MEGABYTE).into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_says_of_a_request_is_passed_on_as_it_said_it() {
    let all = [
        (Refusal::TooLarge, 413),
        (Refusal::ProviderUnreachable, 424),
        (Refusal::RateLimited, 429),
        (Refusal::TooBusy, 503),
        (Refusal::BudgetExhausted, 400),
        (Refusal::InsufficientRights, 403),
        (Refusal::AccountExpired, 403),
    ];
    for version in [Version::V04, Version::Late] {
        let (keyed, client) = keyed(version).await;
        for (refusal, status) in all {
            keyed.api.fault(Fault::Refuse { path_prefix: COMPLETIONS, refusal, times: 2 });
            let headers = [("content-type", "application/json"), ("sec-fetch-mode", "cors")];
            let direct = format!("{}{COMPLETIONS}", keyed.api.url());
            let said = client.send(Method::POST, &direct, &headers, conversation(true)).await;
            let passed = client.send(Method::POST, COMPLETIONS, &headers, conversation(true)).await;
            assert_eq!(passed.status, status, "{version:?} {refusal:?}: {}", passed.text());
            assert_eq!((said.status, &said.body), (passed.status, &passed.body), "{version:?} {refusal:?}");
            assert_eq!(of_the_app(&said), of_the_app(&passed), "{version:?} {refusal:?}");
            let retry_after = (refusal == Refusal::TooBusy).then_some("10");
            assert_eq!(passed.header("retry-after"), retry_after, "{version:?} {refusal:?}");
        }
        assert_eq!(keyed.api.all_keys().len(), 1, "{version:?}: none of it is the key's fault");
    }
}

/// The headers, without those of the connection and the clock.
fn of_the_app(answer: &Answer) -> Vec<(String, String)> {
    let others = ["date", "connection", "keep-alive", "transfer-encoding"];
    let pairs = answer.headers.iter().filter(|(name, _)| !others.contains(&name.as_str()));
    let mut pairs: Vec<_> = pairs.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    pairs.sort();
    pairs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_dead_in_a_large_upload_is_replaced_for_the_next_request() {
    for version in [Version::V01, Version::V04, Version::V045, Version::Late] {
        let (keyed, client) = keyed(version).await;
        let first = bearer_at_api(&client).await;
        kill(&keyed.api);
        // More than is kept for sending it again.
        let length = 3 * MEGABYTE;
        let mut raw = Raw::connect(keyed.site.address).await;
        raw.send(head(&client, TRANSCRIPTIONS, FORM, length)).await;
        raw.send(vec![b'x'; length]).await;
        let refused = raw.answer().await;
        let status = if version <= Version::V04 { 403 } else { 401 };
        assert_eq!((refused.status, &refused.json()["detail"]), (status, &"Invalid API key.".into()), "{version:?}");
        let second = bearer_at_api(&client).await;
        assert_ne!(second, first, "{version:?}");
        assert_eq!((keyed.api.all_keys().len(), keyed.live_keys().len()), (2, 1), "{version:?}");
        assert_eq!(keyed.api.count("POST", TRANSCRIPTIONS), 1, "{version:?}: sent once");

        // A small one is sent again, whole.
        keyed.site.clock.advance(std::time::Duration::from_secs(11));
        kill(&keyed.api);
        let headers = [("content-type", FORM), ("sec-fetch-mode", "cors")];
        let passed = client.send(Method::POST, TRANSCRIPTIONS, &headers, vec![b'x'; 48 * 1024]).await;
        assert_eq!((passed.status, &passed.json()["bytes"]), (200, &(48 * 1024).into()), "{version:?}");
        assert_eq!(keyed.api.count("POST", TRANSCRIPTIONS), 3, "{version:?}");
    }
}

/// Somebody else deletes the one key that lives.
fn kill(api: &FakeAlbert) {
    let live = api.all_keys().into_iter().find(|key| !key.deleted).unwrap();
    api.kill_key(live.id);
}
