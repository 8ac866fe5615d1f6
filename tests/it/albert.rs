//! Each person's own key for Albert API: minted, used, renewed, deleted, and seen by nobody.

use crate::support::albert::{FakeAlbert, Fault, Refusal, Version};
use crate::support::keyed::{Differing, Keyed, at, bearer_at_api, bearer_in};
use crate::support::site::{SESSION_KEY, Site, agent};
use futures_util::future::join_all;
use http::Method;
use std::time::Duration;

#[tokio::test]
async fn a_person_gets_a_key_of_their_own_in_every_version_and_it_goes_with_the_session() {
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        let client = keyed.site.signed_in().await;
        let bearer = bearer_at_api(&client).await;

        let users = keyed.api.users();
        let keys = keyed.live_keys();
        assert_eq!((users.len(), keys.len()), (1, 1), "{version:?}: {users:?}");
        let named = if version == Version::V01 { users[0].name.clone().unwrap() } else { users[0].email.clone() };
        assert_eq!((named.as_str(), users[0].role.as_str()), (agent().email.as_str(), "Freemium"), "{version:?}");
        assert_eq!(bearer, format!("Bearer {}", keys[0].secret), "{version:?}");
        assert!(keys[0].name.starts_with("vestibule-"), "{version:?}: {}", keys[0].name);
        assert_eq!(keys[0].expires, Some(at(12 * 3600)), "{version:?}: with the session");
        // Again and elsewhere: the same one.
        assert_eq!(bearer_at_api(&client).await, bearer);
        assert_eq!(keyed.api.all_keys().len(), 1, "{version:?}");
        // Only where it belongs.
        let elsewhere = client.fetch("/anything").await;
        assert!(!elsewhere.text().contains("sk-"), "{version:?}: {}", elsewhere.text());

        let out = client.submit("/oauth2/sign_out", "").await;
        assert_eq!(out.status, 303, "{version:?}");
        keyed.no_key_lives().await;
    }
}

#[tokio::test]
async fn nothing_that_a_browser_gets_has_the_key_in_it() {
    let keyed = Keyed::start(Version::Late).await;
    let client = keyed.site.client();
    let mut answers = vec![client.browse("/").await];
    for path in ["/v1/models", "/v1/missing", "/oauth2/sessions", "/oauth2/userinfo", "/public/x", "/"] {
        answers.push(client.navigate(path).await);
        answers.push(client.fetch(path).await);
    }
    keyed.api.fault(Fault::Status { method: "GET", path_prefix: "/v1/models", status: 500, times: 1 });
    answers.push(client.fetch("/v1/models").await);
    let key = keyed.live_keys().remove(0).secret;
    for answer in &answers {
        assert!(!answer.text().contains(&key), "{} {}", answer.url, answer.text());
        for (name, value) in &answer.headers {
            assert!(!value.to_str().unwrap().contains(&key), "{} {name}", answer.url);
        }
        assert!(!answer.url.contains("sk-"), "{}", answer.url);
    }
    // It is with the session, sealed.
    assert!(client.cookie("__Host-vestibule-credentials").is_some());
}

#[tokio::test]
async fn a_burst_of_first_requests_mints_one_key() {
    let keyed =
        Keyed::with(Version::V04, Differing { credential: ", mint: on_first_use", ..Differing::default() }).await;
    let client = keyed.site.signed_in().await;
    assert_eq!(keyed.api.all_keys().len(), 0, "not before it is needed");
    let bearers = join_all((0..100).map(|_| bearer_at_api(&client))).await;
    let keys = keyed.api.all_keys();
    assert_eq!(keys.len(), 1);
    assert!(bearers.iter().all(|bearer| *bearer == format!("Bearer {}", keys[0].secret)));
    assert_eq!(keyed.api.count("POST", "/v1/admin/users"), 1);
}

#[tokio::test]
async fn a_key_that_died_before_its_time_is_replaced_and_the_request_sent_again() {
    for version in Version::ALL {
        let keyed = Keyed::start(version).await;
        let client = keyed.site.signed_in().await;
        let first = bearer_at_api(&client).await;
        for (method, body) in [(Method::GET, Vec::new()), (Method::POST, b"{\"a\": 1}".to_vec())] {
            let dead = keyed.live_keys().remove(0);
            keyed.api.kill_key(dead.id);
            let again = client.send(method.clone(), "/v1/echo", &[("sec-fetch-mode", "cors")], body).await;
            let bearer = bearer_in(&again);
            assert_ne!(bearer, format!("Bearer {}", dead.secret), "{version:?} {method}");
            assert_ne!(bearer, first, "{version:?} {method}");
            keyed.site.clock.advance(Duration::from_secs(11));
        }
        assert_eq!(keyed.api.all_keys().len(), 3, "{version:?}: one each time");
    }
}

#[tokio::test]
async fn a_refusal_that_is_not_the_key_s_fault_is_passed_on_and_mints_nothing() {
    for refusal in [Refusal::InsufficientRights, Refusal::AccountExpired, Refusal::InvalidKey] {
        let keyed = Keyed::start(Version::V04).await;
        let client = keyed.site.signed_in().await;
        bearer_at_api(&client).await;
        keyed.api.fault(Fault::Refuse { path_prefix: "/v1/echo", refusal, times: 50 });
        for _ in 0..5 {
            let refused = client.fetch("/v1/echo").await;
            assert_eq!(refused.status, 403, "{refusal:?}");
            assert!(refused.json()["detail"].is_string(), "{refusal:?}: {}", refused.text());
        }
        assert_eq!(keyed.api.all_keys().len(), 1, "{refusal:?}");
        assert_eq!(keyed.api.count("GET", "/v1/me/info"), 1, "{refusal:?}: asked once, not each time");
    }
}

/// What `vestibule check --online` says of an API, and whether it is content.
async fn checked_online(api: &FakeAlbert, admin_key: &str, credential: &str) -> (bool, String) {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "public_url: https://app.example\nproviders: {{p: {{issuer: {}, client_id: app, client_authentication: none}}}}\n\
         session: {{keys: [{{id: a, secret: {{env: SESSION_KEY}}}}]}}\nupstreams: {{api: {{url: \"{url}\"}}}}\n\
         routes: [{{path: /**, upstream: api, credentials: albert}}]\n\
         credentials: {{albert: {{kind: albert, url: \"{url}\", admin_key: {{env: ADMIN_KEY}}, {credential}}}}}\n",
        site.provider.issuer(),
        url = api.url(),
    );
    std::fs::write(folder.path().join("vestibule.yaml"), yaml).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(["check", "--online", "--config", "vestibule.yaml"]).current_dir(folder.path());
    command.env("SESSION_KEY", SESSION_KEY).env("ADMIN_KEY", admin_key);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!said.contains(admin_key), "{said}");
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_tries_the_admin_bearer_and_says_what_it_found() {
    for (version, named) in [
        (Version::V01, "legacy (0.1.x)"),
        (Version::V04, "tokens (0.2.0 to 0.4.5)"),
        (Version::Late, "keys (later than 0.4.5)"),
    ] {
        let api = FakeAlbert::start(version).await;
        let (good, said) = checked_online(&api, &api.admin_key(), "role: Freemium").await;
        assert!(good && said.contains(named) && said.contains("the admin bearer is accepted"), "{version:?}: {said}");
        let (good, said) = checked_online(&api, "sk-not-the-admin-s-key", "role: Freemium").await;
        assert!(!good && said.contains("the API refuses the admin bearer"), "{version:?}: {said}");
        let (good, said) = checked_online(&api, &api.admin_key(), "role: Nobody").await;
        assert!(!good && said.contains("has no role"), "{version:?}: {said}");
        api.close().await;
        let (good, said) = checked_online(&api, &api.admin_key(), "role: Freemium").await;
        assert!(!good && said.contains("cannot be reached"), "{version:?}: {said}");
    }
}
