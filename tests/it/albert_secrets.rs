//! Where the keys of people and of the administrator are not: a whole life is led, and everything
//! that anybody but the API gets or keeps is searched for them.

use crate::support::albert::{Fault, Version};
use crate::support::client::{Answer, Client};
use crate::support::counterparts::require;
use crate::support::keyed::{Differing, Keyed, bearer_at_api};
use crate::support::log_watch;
use crate::support::redis::Redis;
use crate::support::shown::header_at_app;
use crate::support::site::ADMIN_TOKEN;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use http::Method;
use std::path::Path;
use vestibule::demo::provider::Agent;

/// A key in an answer that is not understood.
const UNFIT: &str = "sk-0123456789abcdefghijklmnopqrstuvwxyz";

/// What a place holds, searched when all secrets are known.
struct Seen {
    place: String,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Everything(Vec<Seen>);

impl Everything {
    fn answer(&mut self, place: &str, answer: &Answer) {
        self.bytes(&format!("{place}: the address"), answer.url.as_bytes());
        for (name, value) in &answer.headers {
            self.bytes(&format!("{place} {}: {name}", answer.url), value.as_bytes());
        }
        self.bytes(&format!("{place} {}: the body", answer.url), &answer.body);
    }

    fn bytes(&mut self, place: &str, bytes: &[u8]) {
        self.0.push(Seen { place: place.to_owned(), bytes: bytes.to_vec() });
    }

    /// Searches for a secret whole, for its unguessable end, and for both as they look in base64.
    fn assert_without(&self, what: &str, secret: &str) {
        let end = &secret[secret.len() - 30..];
        let mut shapes = vec![secret.to_owned(), end.to_owned()];
        for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
            for from in 0..3 {
                // Whatever stands in front of it: one of three ways to fall into groups.
                let text = engine.encode(&end.as_bytes()[from..from + 18]);
                shapes.push(text);
            }
        }
        for Seen { place, bytes } in &self.0 {
            for shape in &shapes {
                assert!(!bytes.windows(shape.len()).any(|window| window == shape.as_bytes()), "{what} is in {place}");
            }
        }
    }
}

async fn ask_admin(keyed: &Keyed, path: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("accept", "text/html,application/json")];
    Client::new(keyed.site.admin).send(Method::GET, path, &headers, Vec::new()).await
}

/// All that is in a Redis: names and values of every type.
fn dump(redis: &Redis) -> String {
    let mut dump = String::new();
    for key in redis.cli(&["--scan"]).lines() {
        dump.push_str(key);
        let ways: [&[&str]; 6] = [
            &["get", key],
            &["zrange", key, "0", "-1"],
            &["xrange", key, "-", "+"],
            &["hgetall", key],
            &["smembers", key],
            &["lrange", key, "0", "-1"],
        ];
        for way in ways {
            let read = redis.cli(way);
            if !read.starts_with("WRONGTYPE") {
                dump.push_str(&read);
            }
        }
    }
    dump
}

/// What the store keeps at this moment.
enum Kept<'a> {
    Redis(&'a Redis),
    File(&'a Path),
}

impl Kept<'_> {
    fn look(&self, when: &str, everything: &mut Everything) {
        match self {
            Self::Redis(redis) => {
                let dump = dump(redis);
                assert!(dump.contains("attached") && dump.contains("minted"), "{when}: {dump}");
                everything.bytes(&format!("the Redis {when}"), dump.as_bytes());
            }
            Self::File(path) => {
                let bytes = std::fs::read(path).unwrap();
                assert!(!bytes.is_empty());
                everything.bytes(&format!("the file {when}"), &bytes);
            }
        }
    }
}

/// A life: keys minted, used, refused, replaced, not to be had, seen by administrators, deleted.
async fn life(version: Version, store: &str, keep: &str, kept: Kept<'_>) {
    let more = format!(
        "store: {store}\nadmin: {{token: {{env: ADMIN_TOKEN}}}}\n\
         session: {{keep: {keep}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}"
    );
    let keyed = Keyed::with(version, Differing { more: &more, ..Differing::default() }).await;
    let mut everything = Everything::default();
    let client = keyed.site.client();
    everything.answer("the sign-in", &client.browse("/").await);
    let key = bearer_at_api(&client).await;
    let paths =
        ["/v1/models", "/v1/missing", "/oauth2/sessions", "/oauth2/userinfo", "/public/x", "/x", "/oauth2/nowhere"];
    for path in paths {
        everything.answer("a page", &client.navigate(path).await);
        everything.answer("a program", &client.fetch(path).await);
    }
    kept.look("while it lives", &mut everything);

    // Refused and replaced.
    keyed.api.kill_key(keyed.live_keys()[0].id);
    assert_ne!(bearer_at_api(&client).await, key);
    everything.answer("the request after", &client.fetch("/v1/models").await);
    // What the API repeats in its errors.
    for status in [400, 422, 500, 503] {
        let method = "GET";
        keyed.api.fault(Fault::Status { method, path_prefix: "/v1/models", status, times: 2 });
        everything.answer("an error", &client.navigate("/v1/models").await);
        everything.answer("an error", &client.fetch("/v1/models").await);
    }
    // Not to be had, with a key in the answer that does not fit.
    let other = keyed.site.client();
    keyed.site.provider.sign_in_as(Agent::new("Zoé", "Diallo", "zoe.diallo@test.proconnect.gouv.fr"));
    let body = r#"{"id": "x", "value": "sk-0123456789abcdefghijklmnopqrstuvwxyz", "token": 7}"#;
    for path_prefix in ["/tokens", "/v1/admin/tokens", "/v1/admin/keys"] {
        keyed.api.fault(Fault::Answer { method: "POST", path_prefix, status: 201, body, times: 9 });
    }
    log_watch::never_logged(UNFIT);
    everything.answer("a sign-in without a key", &other.browse("/").await);
    let page = other.navigate("/v1/models").await;
    assert!(page.status >= 500, "{}", page.text());
    everything.answer("a page without a key", &page);
    everything.answer("a program without a key", &other.fetch("/v1/models").await);
    keyed.api.clear_faults();
    everything.bytes("the reason", page_reason(&page).await.as_bytes());

    // What operators see.
    let session = header_at_app(&client.fetch("/x").await, "x-vestibule-session").unwrap();
    for path in ["/metrics", "/sessions", "/", "/readyz", &format!("/sessions/{session}")] {
        everything.answer("the admin listener", &ask_admin(&keyed, path).await);
    }
    // The end, with the API down for a while.
    keyed.api.close().await;
    everything.answer("the sign-out", &client.submit("/oauth2/sign_out", "").await);
    keyed.api.open();
    keyed.no_key_lives().await;
    everything.answer("the metrics afterwards", &ask_admin(&keyed, "/metrics").await);
    match kept {
        Kept::File(_) => kept.look("afterwards", &mut everything),
        Kept::Redis(redis) => everything.bytes("the Redis afterwards", dump(redis).as_bytes()),
    }
    for line in log_watch::lines_with("") {
        everything.bytes("a log line", line.as_bytes());
    }

    assert!(everything.0.len() > 100);
    everything.assert_without("the admin key", &keyed.api.admin_key());
    everything.assert_without("the key that did not fit", UNFIT);
    let keys = keyed.api.all_keys();
    assert_eq!(keys.iter().filter(|key| key.name != "vestibule-discard").count(), 2);
    for key in keys {
        everything.assert_without("a person's key", &key.secret);
    }
    for user in keyed.api.users().iter().filter(|user| !user.password.is_empty()) {
        everything.assert_without("an account's password", &user.password);
    }
}

/// What the log says of an error page.
async fn page_reason(page: &Answer) -> String {
    let body = page.text();
    let id = body.split_once("<code>").unwrap().1.split_once("</code>").unwrap().0.to_owned();
    log_watch::access_line_with(&id).await.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_anywhere_but_at_the_api_where_the_store_is_a_redis() {
    require!(Redis);
    for (version, keep) in [(Version::V04, "cookie"), (Version::Late, "store")] {
        let redis = Redis::start().await;
        let store = format!("{{redis: \"redis://127.0.0.1:{}\"}}", redis.port);
        life(version, &store, keep, Kept::Redis(&redis)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_anywhere_but_at_the_api_where_the_store_is_a_file() {
    for (version, keep) in [(Version::V01, "cookie"), (Version::V045, "store")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let store = format!("{{file: \"{}\"}}", path.display());
        life(version, &store, keep, Kept::File(&path)).await;
    }
}
