//! `kind: keys`: from a file that changes, and from an endpoint.

use super::*;
use crate::support::shown::{assert_error, error_id};
use vestibule::demo::provider::Agent;
use vestibule::pages::{ErrorKind, Language};

/// Another key for the organisation.
const NEXT: &str = "the-next-key-of-that-organisation-01";
const BEARER: &str = "the-bearer-of-the-key-endpoint-tests";

/// Somebody of an organisation that has no key.
fn stranger(stage: &Stage) {
    let mut agent = Agent::new("Yanis", "Petit", "yanis.petit@test.proconnect.gouv.fr");
    agent.siret = "00000015800014".to_owned();
    stage.site.provider.sign_in_as(agent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisations_key_is_found_by_siret_and_a_changed_book_is_read_again() {
    let stage = Stage::start().await;
    let client = stage.site.signed_in().await;
    assert_eq!(bearer(&stage.arrives("/org/a", &cookies(&client)).await), ORGANISATION_KEY);
    // A new version, renamed over: for whoever signs in, a few seconds later.
    let (path, next) = (stage.folder.path().join("keys.yaml"), stage.folder.path().join("next.yaml"));
    never_logged(NEXT);
    std::fs::write(&next, format!("{SIRET}: {NEXT}\n")).unwrap();
    std::fs::rename(&next, &path).unwrap();
    stage.site.clock.advance(seconds(5));
    let newcomer = stage.site.signed_in().await;
    assert_eq!(bearer(&stage.arrives("/org/a", &cookies(&newcomer)).await), NEXT);
    // Who is in keeps theirs for five minutes, and has the new one then.
    assert_eq!(bearer(&stage.arrives("/org/a", &cookies(&client)).await), ORGANISATION_KEY);
    stage.site.clock.advance(seconds(300));
    assert_eq!(bearer(&stage.arrives("/org/a", &cookies(&client)).await), NEXT);
    // A broken version changes nothing.
    std::fs::write(&path, format!("{SIRET}: \"\"\n")).unwrap();
    stage.site.clock.advance(seconds(5));
    let newcomer = stage.site.signed_in().await;
    assert_eq!(bearer(&stage.arrives("/org/a", &cookies(&newcomer)).await), NEXT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_upstream_refuses_is_looked_up_at_once() {
    let app = |got: &Received| {
        if got.all("authorization") == [format!("Bearer {ORGANISATION_KEY}")] {
            Act::Answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec())
        } else {
            Act::ok("ok")
        }
    };
    let stage = Stage::with(Props { app, ..Props::default() }).await;
    let client = stage.site.signed_in().await;
    // The same again: its own answer, after one more try.
    assert_eq!(client.fetch("/org/a").await.status, 401);
    never_logged(NEXT);
    std::fs::write(stage.folder.path().join("next.yaml"), format!("{SIRET}: {NEXT}\n")).unwrap();
    std::fs::rename(stage.folder.path().join("next.yaml"), stage.folder.path().join("keys.yaml")).unwrap();
    stage.site.clock.advance(seconds(11));
    assert_eq!(client.fetch("/org/a").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_key_is_told_so_in_their_language() {
    let stage = Stage::start().await;
    stranger(&stage);
    let client = stage.site.signed_in().await;
    let reason = assert_error(&client.navigate("/org/a").await, ErrorKind::ApiNotGranted, Language::French).await;
    assert_eq!(reason, "credentials org: there is no key for the claim's value");
    let english = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("accept-language", "en")];
    error_id(&client.get("/org/a", &english).await, ErrorKind::ApiNotGranted, Language::English);
    let json = client.fetch("/org/a").await;
    assert_eq!((json.status, json.json()["error"].as_str()), (403, Some("api_not_granted")));
    assert_eq!(client.fetch("/a").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_asked_once_a_session_in_the_body_of_a_post() {
    never_logged(BEARER);
    let book = Wire::scripted(|got| {
        let question: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        if question["value"] == SIRET {
            Act::ok(&format!("{{\"key\": \"{ORGANISATION_KEY}\", \"expires\": 1795001000}}"))
        } else {
            Act::Answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec())
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, BEARER).unwrap();
    let org = Some(format!(
        "{{kind: keys, claim: siret, url: \"{}/find\", secret: {{file: \"{}\"}}, timeout: 3m}}",
        book.url(),
        secret.display()
    ));
    let stage = Stage::with(Props { org, ..Props::default() }).await;
    let client = stage.site.signed_in().await;
    for _ in 0..3 {
        assert_eq!(bearer(&stage.arrives("/org/a", &cookies(&client)).await), ORGANISATION_KEY);
    }
    let [asked] = &book.received()[..] else { panic!("{}", book.received().len()) };
    assert_eq!(
        (asked.line(), asked.all("authorization")),
        ("POST /find HTTP/1.1", vec![format!("Bearer {BEARER}").as_str()])
    );
    assert_eq!(
        claims_of(std::str::from_utf8(&asked.body).unwrap()),
        serde_json::json!({"claim": "siret", "value": SIRET})
    );
    // Until the end that it names.
    stage.site.clock.advance(seconds(940));
    stage.arrives("/org/a", &cookies(&client)).await;
    assert_eq!(book.received().len(), 1);
    stage.site.clock.advance(seconds(70));
    assert_eq!(client.fetch("/org/a").await.json()["error"], "api_misconfigured", "an end that is past is a mistake");
    stranger(&stage);
    let other = stage.site.signed_in().await;
    assert_eq!(other.fetch("/org/a").await.json()["error"], "api_not_granted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_is_of_another_organisation_now_has_its_key_within_the_hour() {
    // Keys that never end, one for each organisation.
    let book = Wire::scripted(|got| {
        let question: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        Act::ok(&format!(
            "{{\"key\": \"the-key-of-{}\", \"expires\": 99999999999}}",
            question["value"].as_str().unwrap()
        ))
    })
    .await;
    let org = Some(format!("{{kind: keys, claim: siret, url: \"{}/find\", timeout: 3m}}", book.url()));
    let stage = Stage::with(Props { org, ..Props::default() }).await;
    let client = stage.site.signed_in().await;
    let got = stage.arrives("/org/a", &cookies(&client)).await;
    assert_eq!(bearer(&got), format!("the-key-of-{SIRET}"));
    let subject = got.all("x-auth-request-user")[0].to_owned();
    stage.site.provider.change_agent(&subject, |agent| agent.siret = "00000015800014".to_owned());
    stage.site.clock.advance(seconds(3660));
    assert_eq!(bearer(&stage.arrives("/org/a", &cookies(&client)).await), "the-key-of-00000015800014");
    assert_eq!(book.received().len(), 2);
}

#[test]
fn a_book_that_is_wrong_is_a_mistake_at_check_time() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("good.yaml", &format!("{SIRET}: {ORGANISATION_KEY}\n"));
    write("twice.yaml", &format!("a: {ORGANISATION_KEY}\na: other\n"));
    write("list.json", "[1]");
    let config = |books: &[&str]| {
        let books: Vec<String> = books
            .iter()
            .map(|book| format!("  {}: {{kind: keys, claim: siret, file: {book}}}\n", book.split('.').next().unwrap()))
            .collect();
        format!(
            "public_url: https://app.example\nproviders: {{p: {{issuer: https://login.example, client_id: c, client_authentication: none}}}}\n\
             session: {{keys: [{{id: a, secret: {{env: SESSION_KEY}}}}]}}\nupstreams: {{app: {{url: \"http://127.0.0.1:1\"}}}}\n\
             routes: [{{path: /**, upstream: app, credentials: {{kind: keys, claim: sub, file: nowhere.yaml}}}}]\ncredentials:\n{}",
            books.concat()
        )
    };
    let check = |text: &str| {
        write("vestibule.yaml", text);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.args(["check", "--config", "vestibule.yaml"]).current_dir(folder.path());
        command.env("SESSION_KEY", crate::support::site::SESSION_KEY).output().unwrap()
    };
    let wrong = check(&config(&["good.yaml", "twice.yaml", "list.json"]));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(!wrong.status.success());
    for mistake in [
        "credentials list: the file list.json",
        "credentials twice: the file twice.yaml, line 2",
        "credentials routes[0].credentials: the file nowhere.yaml does not exist",
    ] {
        assert!(said.contains(mistake), "{mistake}\n{said}");
    }
    assert!(!said.contains(ORGANISATION_KEY) && !said.contains("credentials good"), "{said}");
    write("nowhere.yaml", "a: b\n");
    let right = check(&config(&["good.yaml"]));
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_down_is_an_outage() {
    // Held, so that nobody else gets to listen there.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nowhere = socket.local_addr().unwrap();
    let failing = Wire::scripted(|_| Act::Answer(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec())).await;
    let silent = Wire::scripted(|_| Act::Hang).await;
    // After five seconds it may be asked again.
    let mut pauses = 0;
    for url in [format!("http://{nowhere}"), failing.url(), silent.url()] {
        let org = Some(format!("{{kind: keys, claim: siret, url: \"{url}/find\", timeout: 3s}}"));
        let stage = Stage::with(Props { org, ..Props::default() }).await;
        let client = stage.site.signed_in().await;
        assert_error(&client.navigate("/org/a").await, ErrorKind::ApiUnavailable, Language::French).await;
        let failed = tokio::time::Instant::now();
        let json = client.fetch("/org/a").await;
        assert_eq!(
            (json.status, json.json()["error"].as_str(), json.header("retry-after")),
            (503, Some("api_unavailable"), Some("30"))
        );
        assert_eq!(client.fetch("/a").await.status, 200);
        pauses += failed.elapsed().as_secs() / 5;
    }
    for book in [failing, silent] {
        book.nth(1).await;
        assert!(book.received().len() as u64 <= 1 + pauses, "not asked again at once");
    }
}
