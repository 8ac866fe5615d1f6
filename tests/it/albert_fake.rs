//! The fake of Albert API answers as the real ones were seen to: the same statuses, bodies and
//! traps, version by version, and what it can be told to do wrong.

use crate::support::albert::{Bearer, FakeAlbert, Fault, Key, Refusal, User, Version};
use crate::support::log_watch;
use crate::support::raw::Raw;
use crate::support::site::START;
use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::fetch::{Fetch, FetchError};

const SOON: Duration = Duration::from_secs(20);
const DAY: u64 = 24 * 60 * 60;
const CHAT: &str = "/v1/chat/completions";

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| json!(self.text))
    }
}

/// A fake with people in it, and a client.
struct Scene {
    fake: FakeAlbert,
    fetch: Fetch,
    /// By the name that the tables use.
    keys: Vec<(&'static str, Key)>,
}

impl Scene {
    async fn new(version: Version) -> Self {
        let fake = FakeAlbert::start(version).await;
        let user =
            |name: &str, email: &str| User { email: email.to_owned(), name: Some(name.to_owned()), ..User::default() };
        let admin = User { role: "Admin".to_owned(), ..user("root", "root@x.gouv.fr") };
        let poor = User { budget: Some(0.0), ..user("poor", "poor@x.gouv.fr") };
        let people = [
            ("live", user("alice", "alice@x.gouv.fr")),
            ("capital", user("carla", "Carla@x.gouv.fr")),
            ("gone", user("gone", "gone@x.gouv.fr")),
            ("orphan", user("orphan", "orphan@x.gouv.fr")),
            ("root", admin),
            ("poor", poor),
        ];
        let mut keys: Vec<_> = Vec::new();
        for (name, user) in people {
            let id = fake.add_user(user);
            keys.push((name, fake.add_key(id, "first", Some(START + DAY))));
        }
        let mut scene = Self { fake, fetch: Fetch::new().unwrap(), keys };
        scene.fake.change_user(scene.key("gone").user, |user| user.expires = Some(START - 1));
        scene.fake.remove_user(scene.key("orphan").user);
        let alice = scene.key("live").user;
        let dead = scene.fake.add_key(alice, "dead", None);
        scene.fake.kill_key(dead.id);
        scene.keys.push(("dead", dead));
        scene.keys.push(("expired", scene.fake.add_key(alice, "expired", Some(START - 1))));
        scene
    }

    fn key(&self, name: &str) -> &Key {
        &self.keys.iter().find(|(held, _)| *held == name).unwrap_or_else(|| panic!("no key {name}")).1
    }

    fn authorization(&self, who: &str) -> Option<String> {
        match who {
            "none" => None,
            "basic" => Some("Basic YTpi".to_owned()),
            "admin" => Some(format!("Bearer {}", self.fake.admin_key())),
            "garbage" => Some("Bearer sk-of-nobody".to_owned()),
            name => Some(format!("Bearer {}", self.key(name).secret)),
        }
    }

    async fn try_ask(&self, method: &str, target: &str, who: &str, body: Vec<u8>) -> Result<Answer, FetchError> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{target}", self.fake.url()));
        if let Some(authorization) = self.authorization(who) {
            request = request.header("authorization", authorization);
        }
        let answer = self.fetch.send(request.body(body).unwrap(), SOON).await?;
        let text = String::from_utf8(answer.body().clone()).unwrap();
        Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text })
    }

    async fn ask(&self, method: &str, target: &str, who: &str, body: Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.try_ask(method, target, who, body).await.unwrap()
    }

    /// Asks everything in the table, and compares what the expectation names.
    async fn holds(&self, cases: Vec<Case>) {
        for (method, target, who, body, status, expected) in cases {
            let answer = self.ask(method, target, who, body.clone()).await;
            let label = format!("{method} {target} {body} as {who}: {answer:?}");
            assert_eq!(answer.status, status, "{label}");
            assert!(contains(&answer.json(), &expected), "{label}\nlacks {expected}");
        }
    }
}

/// Method, target, bearer, body, and the status and the part of the body that come back.
type Case = (&'static str, &'static str, &'static str, Value, u16, Value);

/// Whether everything that is expected is there; further fields may be.
fn contains(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| contains(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, value)| contains(found, value))
        }
        (Value::String(found), Value::String(expected)) if expected.ends_with('…') => {
            found.starts_with(expected.trim_end_matches('…'))
        }
        (_, Value::Null) if found.is_null() => true,
        (found, expected) => found == expected,
    }
}

fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

fn invalid(kind: &str, place: &Value) -> Value {
    json!({ "detail": [{ "type": kind, "loc": place }] })
}

fn chat() -> Value {
    json!({ "model": "stub-chat", "messages": [{ "role": "user", "content": "bonjour" }] })
}

const NO: Value = Value::Null;

#[tokio::test]
async fn a_bearer_is_checked_as_the_version_does_it() {
    use Version::{Late, V01, V04, V045};
    // Up to 0.4.1 a dead key is 403, later 401; 0.1.6 says 403 without any, too.
    for (version, dead, none, me) in [
        (V01, 403, 403, "/users/me"),
        (V04, 403, 401, "/v1/me/info"),
        (V045, 401, 401, "/v1/me/info"),
        (Late, 401, 401, "/v1/me"),
    ] {
        let scene = Scene::new(version).await;
        let bad = || detail("Invalid API key.");
        for who in ["garbage", "dead", "expired", "orphan"] {
            scene.holds(vec![("GET", me, who, NO, dead, bad()), ("POST", CHAT, who, chat(), dead, bad())]).await;
        }
        let basic = if version == V01 { "Invalid authentication credentials" } else { "Not authenticated" };
        scene
            .holds(vec![
                ("GET", me, "none", NO, none, detail("Not authenticated")),
                ("GET", me, "basic", NO, none, detail(basic)),
                ("GET", me, "live", NO, 200, json!({ "name": "alice" })),
                ("POST", CHAT, "live", chat(), 200, json!({ "object": "chat.completion" })),
                // People of an account that has expired see why, and can do nothing else.
                ("GET", me, "gone", NO, 200, json!({ "name": "gone" })),
                ("POST", CHAT, "poor", chat(), 400, detail("Insufficient budget.")),
            ])
            .await;
        let gone = if version <= V04 { bad() } else { detail("Your account has expired…") };
        scene.holds(vec![("POST", CHAT, "gone", chat(), 403, gone)]).await;
        let challenge = scene.ask("GET", me, "none", NO).await.headers.get("www-authenticate").cloned();
        assert_eq!(challenge.is_some_and(|value| value == "Bearer"), version != V01, "{version:?}");
    }
}

#[tokio::test]
async fn the_list_of_models_takes_dead_keys_in_the_versions_that_do() {
    use Version::{Late, V01, V04, V045};
    for (version, dead) in [(V01, 403), (V04, 200), (V045, 200), (Late, 401)] {
        let scene = Scene::new(version).await;
        for (who, status) in [("live", 200), ("dead", dead), ("expired", dead)] {
            assert_eq!(scene.ask("GET", "/v1/models", who, NO).await.status, status, "{version:?} {who}");
        }
        let refused = if matches!(version, V04 | V045) { 404 } else { dead };
        assert_eq!(scene.ask("GET", "/v1/models", "orphan", NO).await.status, refused, "{version:?}");
        let garbage = if version <= V04 { 403 } else { 401 };
        assert_eq!(scene.ask("GET", "/v1/models", "garbage", NO).await.status, garbage, "{version:?}");
        let models = json!({ "object": "list", "data": [{ "id": "stub-chat", "aliases": ["albert-small"] }] });
        let unknown = if version == Late { "Model none not found." } else { "Model not found." };
        scene
            .holds(vec![
                ("GET", "/v1/models", "live", NO, 200, models),
                ("GET", "/v1/models/albert-small", "live", NO, 200, json!({ "id": "stub-chat" })),
                ("GET", "/v1/models/none", "live", NO, 404, detail(unknown)),
            ])
            .await;
        if version != V01 {
            // So does the list of routers, for an administrator's.
            scene.fake.kill_key(scene.key("root").id);
            let status = scene.ask("GET", "/v1/admin/routers", "root", NO).await.status;
            assert_eq!(status, dead, "{version:?}");
        }
    }
}

#[tokio::test]
async fn people_are_found_and_created_as_in_0_4() {
    for version in [Version::V04, Version::V045] {
        let scene = Scene::new(version).await;
        let users = "/v1/admin/users";
        let new = |email: &str| json!({ "email": email, "password": "a-long-password-1", "role": 1 });
        let with = |name: &str, value: Value| {
            let mut body = new("with@x.gouv.fr");
            body[name] = value;
            body
        };
        let no_password = json!({ "email": "nopw@x.gouv.fr", "role": 1 });
        let full = if version == Version::V045 { json!({ "email": "a+b@x.gouv.fr", "role": 1 }) } else { json!({}) };
        let number = scene.key("capital").user;
        let bad = if version == Version::V04 { 403 } else { 401 };
        let one =
            |email: &str| json!({ "object": "list", "data": [{ "object": "user", "email": email, "sub": null }] });
        scene
            .holds(vec![
                ("GET", "/v1/admin/users?email=alice%40x.gouv.fr", "admin", NO, 200, one("alice@x.gouv.fr")),
                ("GET", "/v1/admin/users?email=alice%40x.gouv.fr", "root", NO, 200, one("alice@x.gouv.fr")),
                ("GET", "/v1/admin/users?email=alice%40x.gouv.fr", "live", NO, 403, detail("Insufficient rights.")),
                ("GET", "/v1/admin/users?email=alice%40x.gouv.fr", "garbage", NO, bad, detail("Invalid API key.")),
                // Exactly, or not at all.
                ("GET", "/v1/admin/users?email=alice", "admin", NO, 404, detail("User not found.")),
                ("GET", "/v1/admin/users?email=carla%40x.gouv.fr", "admin", NO, 404, detail("User not found.")),
                ("GET", "/v1/admin/users?email=Carla%40x.gouv.fr", "admin", NO, 200, one("Carla@x.gouv.fr")),
                ("POST", users, "admin", new("carla@x.gouv.fr"), 201, json!({})),
                ("POST", users, "admin", new("alice@x.gouv.fr"), 409, detail("User already exists.")),
                ("POST", users, "admin", new("a+b@x.gouv.fr"), 201, full),
                ("GET", "/v1/admin/users?email=a+b%40x.gouv.fr", "admin", NO, 404, detail("User not found.")),
                ("GET", "/v1/admin/users?email=a%2Bb%40x.gouv.fr", "admin", NO, 200, one("a+b@x.gouv.fr")),
                ("POST", users, "admin", no_password, 422, invalid("missing", &json!(["body", "password"]))),
                ("POST", users, "admin", with("role", json!(99)), 404, detail("Role not found.")),
                ("POST", users, "admin", with("organization", json!(99)), 404, detail("Organization not found.")),
                ("POST", users, "admin", with("sub", json!("s")), 201, json!({})),
                ("GET", "/v1/admin/users?email=with%40x.gouv.fr", "admin", NO, 200, one("with@x.gouv.fr")),
                ("POST", users, "admin", new("master"), 403, detail("Reserved email.")),
                ("PATCH", "/v1/admin/users/9999", "admin", json!({ "name": "x" }), 404, detail("User not found.")),
                ("DELETE", "/v1/admin/users/9999", "admin", NO, 404, detail("User not found.")),
                (
                    "GET",
                    "/v1/admin/users?limit=101",
                    "admin",
                    NO,
                    422,
                    invalid("less_than_equal", &json!(["query", "limit"])),
                ),
                ("GET", "/v1/admin/users/none", "admin", NO, 422, invalid("int_parsing", &json!(["path", "user"]))),
                ("PUT", users, "admin", NO, 405, detail("Method Not Allowed")),
                ("GET", "/v1/admin/keys", "admin", NO, 404, detail("Not Found")),
                ("GET", "/users", "admin", NO, 404, detail("Not Found")),
            ])
            .await;
        // The lists are paged, and do not say how many there are.
        let list = scene.ask("GET", "/v1/admin/users?offset=1&limit=2", "admin", NO).await.json();
        assert!(list.get("total").is_none() && list["data"].as_array().unwrap().len() == 2, "{list}");
        // What a change leaves out is emptied.
        scene.fake.change_user(number, |user| {
            (user.organization, user.budget, user.expires) = (Some("DINUM".to_owned()), Some(5.5), Some(START + DAY));
        });
        let changed = scene.ask("PATCH", &format!("{users}/{number}"), "admin", json!({ "name": "Carla" })).await;
        assert_eq!((changed.status, changed.text.as_str()), (204, ""));
        let carla = scene.fake.users().into_iter().find(|user| user.id == number).unwrap();
        assert_eq!((carla.organization, carla.budget, carla.expires), (None, None, None));
        assert_eq!((carla.name.as_deref(), carla.email.as_str()), (Some("Carla"), "Carla@x.gouv.fr"));
        // What is no JSON is refused before anybody asks who sent it.
        let broken = scene.try_ask("POST", users, "none", b"{".to_vec()).await.unwrap();
        assert!(broken.status == 422 && broken.text.contains("json_invalid"), "{broken:?}");
    }
}

#[tokio::test]
async fn keys_are_made_and_deleted_as_in_0_4() {
    for version in [Version::V04, Version::V045] {
        let scene = Scene::new(version).await;
        scene.fake.fault(Fault::CapDays(30));
        let (tokens, alice) = ("/v1/admin/tokens", scene.key("live").user);
        let key = |user: u64, expires: u64| json!({ "name": "one", "user": user, "expires": expires });
        let made = scene.ask("POST", tokens, "admin", key(alice, START + 60)).await;
        let secret = made.json()["token"].as_str().unwrap().to_owned();
        assert_eq!((made.status, made.json().as_object().unwrap().len()), (201, 2));
        assert!(secret.starts_with("sk-eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.") && secret.split('.').count() == 3);
        assert!((140..=170).contains(&secret.len()), "{}", secret.len());
        let signature = secret.rsplit('.').next().unwrap();
        assert_eq!(log_watch::fault_of(&format!("a line with {signature}")).as_deref(), Some(signature));

        let past = invalid("value_error", &json!(["body", "expires"]));
        let late = detail("Token expiration timestamp cannot be greater than 30 days from now.");
        let lacks = invalid("missing", &json!(["path", "user"]));
        scene
            .holds(vec![
                // Two keys of one name are allowed.
                ("POST", tokens, "admin", key(alice, START + 30 * DAY), 201, json!({})),
                ("POST", tokens, "admin", key(9999, START + 60), 404, detail("User not found.")),
                ("POST", tokens, "admin", key(alice, START), 422, past),
                ("POST", tokens, "admin", key(alice, START + 30 * DAY + 1), 400, late),
                ("POST", tokens, "live", key(alice, START + 60), 403, detail("Insufficient rights.")),
                ("POST", tokens, "admin", json!({ "name": "none", "user": alice }), 201, json!({})),
            ])
            .await;
        assert_eq!(scene.fake.all_keys().last().unwrap().expires, Some(START + 30 * DAY));
        // The list hides secrets, and keys that are dead.
        let list = scene.ask("GET", &format!("{tokens}?user={alice}"), "admin", NO).await.json();
        let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["first", "one", "one", "none"]);
        assert_eq!(list["data"][1]["token"], format!("{}...{}", &secret[..8], &secret[secret.len() - 8..]));
        assert!(list.get("total").is_none());
        // An administrator cannot delete it, its owner can, with the key itself.
        let id = made.json()["id"].as_u64().unwrap();
        for target in [format!("{tokens}/{id}"), format!("{tokens}/{id}?user={alice}")] {
            let answer = scene.ask("DELETE", &target, "admin", json!({ "user": alice })).await;
            assert!(answer.status == 422 && contains(&answer.json(), &lacks), "{answer:?}");
        }
        let own = format!("/v1/me/keys/{id}");
        assert_eq!(scene.ask("DELETE", &own, "capital", NO).await.status, 404);
        assert_eq!(scene.ask("DELETE", &own, "live", NO).await.status, 204);
        let itself = format!("/v1/me/keys/{}", scene.key("live").id);
        assert_eq!(scene.ask("DELETE", &itself, "live", NO).await.status, 204);
        let dead = if version == Version::V04 { 403 } else { 401 };
        assert_eq!(scene.ask("GET", "/v1/me/info", "live", NO).await.status, dead);
        assert_eq!(scene.ask("DELETE", &itself, "live", NO).await.status, dead);
        // Keys that people make themselves come under the third name.
        let own = scene.ask("POST", "/v1/me/keys", "capital", json!({ "name": "mine" })).await;
        assert!(own.status == 201 && own.json()["key"].as_str().unwrap().starts_with("sk-"), "{own:?}");
        assert_eq!(scene.ask("GET", "/v1/me/keys", "capital", NO).await.json()["data"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn roles_and_organizations_are_as_in_0_4() {
    let scene = Scene::new(Version::V04).await;
    let roles = "/v1/admin/roles";
    let limits = json!([{ "router": 1, "type": "rpm", "value": null }]);
    let unknown_router = json!({ "name": "broken", "limits": [{ "router": 7, "type": "rpm", "value": null }] });
    let organization = json!({ "object": "organization", "id": 2, "name": "DINUM" });
    scene
        .holds(vec![
            (
                "POST",
                roles,
                "admin",
                json!({ "name": "Freemium", "limits": limits }),
                409,
                detail("Role already exists."),
            ),
            ("DELETE", "/v1/admin/roles/1", "admin", NO, 409, detail("Delete role with users is not allowed.")),
            ("DELETE", "/v1/admin/roles/2", "admin", NO, 204, json!("")),
            ("GET", "/v1/admin/roles/2", "admin", NO, 404, detail("Role not found.")),
            ("POST", roles, "admin", unknown_router, 500, json!("Internal Server Error")),
            ("GET", "/v1/admin/organizations?offset=1", "admin", NO, 200, json!({ "data": [organization] })),
            ("POST", "/v1/admin/organizations", "admin", json!({ "name": "DINUM" }), 409, json!({})),
            ("POST", "/v1/admin/organizations", "admin", json!({ "name": "ANCT" }), 201, json!({})),
        ])
        .await;
    let list = scene.ask("GET", &format!("{roles}?limit=100"), "admin", NO).await.json();
    let named =
        |name: &str| list["data"].as_array().unwrap().iter().find(|role| role["name"] == name).cloned().unwrap();
    assert_eq!(named("Admin")["permissions"], json!(["admin"]));
    assert_eq!((&named("Freemium")["users"], &named("broken")["limits"]), (&json!(4), &json!([])));
    // Without limits there is no model.
    scene.fake.change_user(scene.key("live").user, |user| user.role = "broken".to_owned());
    scene
        .holds(vec![
            ("GET", "/v1/models", "live", NO, 200, json!({ "data": [] })),
            ("POST", CHAT, "live", chat(), 404, detail("Model not found.")),
        ])
        .await;
}

#[tokio::test]
async fn the_interface_of_0_1_is_by_name_and_at_the_root() {
    let scene = Scene::new(Version::V01).await;
    scene.fake.fault(Fault::CapDays(30));
    let alice = scene.key("live").user;
    let user = |name: &str| json!({ "name": name, "role": 1, "email": "x@x.gouv.fr", "sub": "s" });
    let key = |expires: &str, moment: u64| json!({ "name": "k", "user": alice, expires: moment });
    let past = invalid("value_error", &json!(["body", "expires_at"]));
    let late = detail("Token expiration timestamp cannot be greater than 30 days from now.");
    let raw = detail("(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError)…");
    scene
        .holds(vec![
            (
                "GET",
                "/users?limit=1&offset=1",
                "admin",
                NO,
                200,
                json!({ "data": [{ "object": "user", "name": "carla" }] }),
            ),
            // No filter by name or address: this is the whole list.
            ("GET", "/users?email=none&limit=1", "admin", NO, 200, json!({ "data": [{ "name": "alice" }] })),
            ("GET", "/users?limit=101", "admin", NO, 422, invalid("less_than_equal", &json!(["query", "limit"]))),
            ("GET", "/users", "live", NO, 403, detail("Insufficient rights.")),
            ("POST", "/users", "admin", user("new"), 201, json!({})),
            ("POST", "/users", "admin", user("alice"), 400, raw),
            ("POST", "/users", "admin", json!({ "name": "x", "role": 9 }), 404, detail("Role not found.")),
            ("POST", "/roles", "admin", json!({ "name": "Freemium" }), 400, detail("Role already exists.")),
            ("GET", "/roles?limit=1", "admin", NO, 200, json!({ "data": [{ "name": "Freemium" }] })),
            ("GET", "/roles/me", "live", NO, 200, json!({ "name": "Freemium" })),
            ("GET", "/users/me", "admin", NO, 404, detail("User not found.")),
            ("POST", "/tokens", "admin", key("expires_at", START + 60), 201, json!({})),
            ("POST", "/tokens", "admin", key("expires_at", START), 422, past),
            ("POST", "/tokens", "admin", key("expires_at", START + 31 * DAY), 400, late),
            ("POST", "/tokens", "live", json!({ "name": "mine" }), 201, json!({})),
            ("POST", "/tokens", "live", key("expires_at", START + 60), 403, detail("Insufficient rights.")),
            ("POST", "/tokens", "admin", key("expires", START + 60), 201, json!({})),
            ("GET", "/health", "none", NO, 403, detail("Not authenticated")),
            ("GET", "/health", "live", NO, 200, json!({ "status": "ok" })),
            ("GET", "/v1/admin/users", "admin", NO, 404, detail("Not Found")),
            ("GET", "/v1/me/info", "live", NO, 404, detail("Not Found")),
        ])
        .await;
    assert!(scene.fake.users().iter().any(|user| user.name.as_deref() == Some("new") && user.email.is_empty()));
    // `expires` is no field of it: the key lives as long as it may.
    assert_eq!(scene.fake.all_keys().last().unwrap().expires, Some(START + 30 * DAY));
    let made = scene.fake.all_keys().last().unwrap().id;
    let target = format!("/tokens/{made}");
    assert_eq!(scene.ask("GET", "/tokens", "admin", NO).await.json()["data"], json!([]));
    for (who, status) in [("admin", 404), ("capital", 404), ("live", 204), ("live", 404)] {
        assert_eq!(scene.ask("DELETE", &target, who, NO).await.status, status, "{who}");
    }
    let changed = scene.ask("PATCH", &format!("/users/{alice}"), "admin", json!({ "name": "Alice" })).await;
    assert_eq!(changed.status, 204);
    assert_eq!(scene.ask("DELETE", &format!("/users/{alice}"), "admin", NO).await.status, 204);
    assert_eq!(scene.ask("GET", &format!("/users/{alice}"), "admin", NO).await.status, 404);
}

#[tokio::test]
async fn the_interface_of_today_searches_by_substring_and_deletes_keys() {
    let scene = Scene::new(Version::Late).await;
    scene.fake.fault(Fault::CapDays(30));
    let users = "/v1/admin/users";
    let alice = scene.key("live").user;
    let new = json!({ "email": "n@x.gouv.fr", "password": "a-long-password-2", "role_id": 1, "organization_id": 2 });
    let without = |field: &str| {
        let mut body = new.clone();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let long = json!({ "email": "n", "password": "p".repeat(73), "role_id": 1, "organization_id": 2 });
    let unknown = json!({ "email": "m", "password": "p", "role_id": 9, "organization_id": 2 });
    let key = |name: &str, user: u64, expires: u64| json!({ "name": name, "user": user, "expires": expires });
    let past = json!({ "detail": [{ "msg": "Value error, Expiration time must be in the future." }] });
    let cap = detail("Key expiration timestamp cannot be greater than 30 days from now.");
    scene
        .holds(vec![
            ("GET", "/v1/admin/users?email=none", "admin", NO, 200, json!({ "total": 0, "data": [] })),
            ("GET", "/v1/admin/users?email=carla%40X", "admin", NO, 200, json!({ "total": 1 })),
            (
                "GET",
                "/v1/admin/users?email=%40x.gouv.fr&limit=2&offset=1",
                "admin",
                NO,
                200,
                json!({ "total": 5, "offset": 1, "limit": 2, "data": [{ "email": "Carla@x.gouv.fr", "role_id": 1, "organization_id": null }, {}] }),
            ),
            ("GET", users, "live", NO, 403, detail("User has no admin rights.")),
            ("POST", users, "admin", new.clone(), 201, json!({ "email": "n@x.gouv.fr", "role_id": 1, "organization_id": 2 })),
            ("POST", users, "admin", new.clone(), 409, detail("User n@x.gouv.fr already exists.")),
            ("POST", users, "admin", without("organization_id"), 422, invalid("missing", &json!(["body", "organization_id"]))),
            ("POST", users, "admin", without("role_id"), 422, invalid("missing", &json!(["body", "role_id"]))),
            ("POST", users, "admin", long, 422, invalid("string_too_long", &json!(["body", "password"]))),
            ("POST", users, "admin", unknown, 404, detail("Role 9 not found.")),
            ("POST", "/v1/admin/keys", "admin", key("k", 9999, START + 60), 404, detail("User 9999 not found.")),
            ("POST", "/v1/admin/keys", "admin", key("k", alice, START), 422, past),
            ("POST", "/v1/admin/keys", "admin", key("k", alice, START + 31 * DAY), 400, cap),
            ("GET", "/v1/me", "live", NO, 200, json!({ "object": "userInfo", "organization_id": null })),
            ("GET", "/v1/me/info", "live", NO, 200, json!({ "email": "alice@x.gouv.fr" })),
            ("GET", "/v1/keys", "gone", NO, 403, detail("Your account has expired…")),
            ("GET", "/v1/admin/tokens", "admin", NO, 404, detail("Not Found")),
            ("GET", "/health", "none", NO, 200, json!({ "status": "ok" })),
        ])
        .await;
    // A change wants everything.
    let target = format!("{users}/{alice}");
    let incomplete = scene.ask("PATCH", &target, "admin", json!({ "name": "Alice" })).await;
    assert_eq!((incomplete.status, incomplete.json()["detail"].as_array().unwrap().len()), (422, 6));
    let whole = json!({ "email": "alice@x.gouv.fr", "name": "Alice", "role_id": 2, "organization_id": 1, "budget": null,
                        "expires": null, "priority": 0 });
    let changed = scene.ask("PATCH", &target, "admin", whole).await;
    assert_eq!((changed.status, &changed.json()["role_id"]), (200, &json!(2)));

    let made = scene.ask("POST", "/v1/admin/keys", "admin", key("k", alice, START + 60)).await;
    let body = made.json();
    assert_eq!((made.status, &body["object"], &body["status"]), (201, &json!("key"), &json!("active")));
    assert!(body["value"].as_str().unwrap().starts_with("sk-eyJ") && body.get("token").is_none());
    let listed = scene.ask("GET", &format!("/v1/admin/keys?user={alice}&status=active"), "admin", NO).await.json();
    assert_eq!((&listed["total"], &listed["data"][1]["name"]), (&json!(2), &json!("k")));
    assert!(listed["data"][1]["value"].as_str().unwrap().contains("..."));
    let target = format!("/v1/admin/keys/{}", body["id"]);
    let deleted = scene.ask("DELETE", &target, "admin", NO).await;
    assert_eq!((deleted.status, &deleted.json()["status"]), (200, &json!("revoked")));
    assert_eq!(
        scene.ask("DELETE", &target, "admin", NO).await.json(),
        detail(&format!("Key {} not found.", body["id"]))
    );
    let own = scene.ask("POST", "/v1/keys", "live", json!({ "name": "mine" })).await.json();
    assert_eq!(scene.ask("DELETE", &format!("/v1/keys/{}", own["id"]), "live", NO).await.status, 200);
    let old_path = format!("/v1/me/keys/{}", scene.key("live").id);
    assert_eq!(scene.ask("DELETE", &old_path, "live", NO).await.status, 204);

    scene.fake.fault(Fault::UniqueKeyNames);
    assert_eq!(scene.ask("POST", "/v1/admin/keys", "admin", key("u", alice, START + 60)).await.status, 201);
    let again = scene.ask("POST", "/v1/admin/keys", "admin", key("u", alice, START + 60)).await;
    assert_eq!((again.status, again.json()), (409, detail("Key u already exists.")));
}

#[tokio::test]
async fn every_version_says_which_it_is_unless_it_is_told_not_to() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let said = scene.ask("GET", "/openapi.json", "none", NO).await.json();
        assert_eq!(said["info"]["version"], version.number());
        let has = |path: &str| said["paths"].get(path).is_some();
        assert_eq!(has("/users"), version == Version::V01);
        assert_eq!(has("/v1/admin/tokens"), matches!(version, Version::V04 | Version::V045));
        assert_eq!(has("/v1/admin/keys"), version == Version::Late);
        scene.fake.fault(Fault::NoOpenapi);
        assert_eq!(scene.ask("GET", "/openapi.json", "none", NO).await.status, 404);
    }
}

#[tokio::test]
async fn the_clock_and_the_administrator_can_be_changed() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let clock = ManualClock::starting_at(Timestamp::from_unix(START));
        scene.fake.follow(Clock::Manual(clock.clone()));
        assert_eq!(scene.ask("POST", CHAT, "live", chat()).await.status, 200);
        clock.advance(Duration::from_secs(DAY));
        assert!(scene.ask("POST", CHAT, "live", chat()).await.text.contains("Invalid API key."));
        assert!(!scene.fake.live_keys(START).is_empty() && scene.fake.live_keys(START + DAY).is_empty());

        let list = if version == Version::V01 { "/users" } else { "/v1/admin/users" };
        let old = scene.fake.admin_key();
        assert_eq!(scene.ask("GET", list, "admin", NO).await.status, 200);
        assert_ne!(scene.fake.replace_admin_key(), old);
        let request = http::Request::get(format!("{}{list}", scene.fake.url()));
        let request = request.header("authorization", format!("Bearer {old}")).body(Vec::new()).unwrap();
        let refused = scene.fetch.send(request, SOON).await.unwrap();
        assert_eq!(refused.status().as_u16(), if version <= Version::V04 { 403 } else { 401 });
        assert!(log_watch::fault_of(&format!("the admin key is {old}")).is_some());
    }
}

#[tokio::test]
async fn what_goes_wrong_goes_wrong_as_often_as_it_was_told() {
    let scene = Scene::new(Version::V04).await;
    let (users, health) = ("/v1/admin/users", "/health");
    let status = async |target: &str| scene.ask("GET", target, "admin", NO).await.status;
    scene.fake.fault(Fault::Status { method: "GET", path_prefix: users, status: 500, times: 2 });
    assert_eq!(
        [status(users).await, status(health).await, status(users).await, status(users).await],
        [500, 200, 500, 200]
    );
    scene.fake.fault(Fault::Answer { method: "*", path_prefix: users, status: 200, body: "{}", times: 1 });
    scene.fake.fault(Fault::GarbageBody { method: "GET", path_prefix: users, times: 1 });
    assert_eq!(scene.ask("GET", users, "admin", NO).await.json(), json!({}));
    assert!(scene.ask("GET", users, "admin", NO).await.json().is_string());
    scene.fake.fault(Fault::Down);
    assert_eq!([status(users).await, status(health).await], [503, 503]);
    scene.fake.clear_faults();
    assert_eq!(status(users).await, 200);
    for (refusal, code, retry) in [
        (Refusal::TooLarge, 413, None),
        (Refusal::ProviderUnreachable, 424, None),
        (Refusal::RateLimited, 429, None),
        (Refusal::TooBusy, 503, Some("10")),
        (Refusal::BudgetExhausted, 400, None),
        (Refusal::InsufficientRights, 403, None),
        (Refusal::AccountExpired, 403, None),
        (Refusal::InvalidKey, 403, None),
    ] {
        scene.fake.fault(Fault::Refuse { path_prefix: CHAT, refusal, times: 1 });
        let answer = scene.ask("POST", CHAT, "live", chat()).await;
        let told = answer.headers.get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status, told), (code, retry), "{answer:?}");
        assert_eq!(scene.ask("POST", CHAT, "live", chat()).await.status, 200, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_race_is_lost_once_and_an_answer_may_get_lost() {
    for version in Version::ALL {
        let scene = Scene::new(version).await;
        let (users, keys) = match version {
            Version::V01 => ("/users", "/tokens"),
            Version::Late => ("/v1/admin/users", "/v1/admin/keys"),
            _ => ("/v1/admin/users", "/v1/admin/tokens"),
        };
        let new = json!({ "email": "r@x.gouv.fr", "name": "r", "password": "p", "role": 1, "role_id": 1, "organization_id": 1 });
        let before = scene.fake.users().len();
        scene.fake.fault(Fault::DuplicateOnCreate);
        let raced = scene.ask("POST", users, "admin", new).await;
        assert_eq!(raced.status, if version == Version::V01 { 400 } else { 409 }, "{version:?}");
        assert_eq!(scene.fake.users().len(), before + 1);

        let made = scene.fake.all_keys().len();
        scene.fake.fault(Fault::LostAnswer { method: "POST", path_prefix: keys, times: 1 });
        let body = json!({ "name": "lost", "user": scene.key("live").user }).to_string();
        let lost = scene.try_ask("POST", keys, "admin", body.into_bytes()).await;
        assert!(matches!(lost, Err(FetchError::Broken(_))), "{lost:?}");
        assert_eq!(scene.fake.all_keys().len(), made + 1);
    }
}

#[tokio::test]
async fn eight_who_create_one_person_at_once_create_one() {
    let scene = Scene::new(Version::V04).await;
    let barrier = Arc::new(Barrier::new(8));
    scene.fake.fault(Fault::Barrier { method: "POST", path_prefix: "/v1/admin/users", barrier });
    let new = json!({ "email": "one@x.gouv.fr", "password": "p", "role": 1 });
    let all = join_all((0..8).map(|_| scene.ask("POST", "/v1/admin/users", "admin", new.clone()))).await;
    let mut statuses: Vec<_> = all.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn what_hangs_goes_on_when_it_is_released_and_what_is_closed_is_refused() {
    let scene = Scene::new(Version::V04).await;
    scene.fake.fault(Fault::Hang { path_prefix: "/health" });
    let (answer, ()) = tokio::join!(scene.ask("GET", "/health", "none", NO), async {
        scene.fake.reached("GET", "/health", 1).await;
        assert_eq!(scene.fake.calls()[0].status, None);
        scene.fake.clear_faults();
    });
    assert_eq!(answer.status, 200);
    scene.fake.answered("GET", "/health", 1).await;

    let url = scene.fake.url();
    scene.fake.close().await;
    // A connection that the client has kept has ended, whether it knows it or not, and there is no other.
    let ended = scene.try_ask("GET", "/health", "none", Vec::new()).await;
    assert!(matches!(ended, Err(FetchError::Connect(_) | FetchError::Broken(_))), "{ended:?}");
    let refused = scene.try_ask("GET", "/health", "none", Vec::new()).await;
    assert!(matches!(refused, Err(FetchError::Connect(_))), "{refused:?}");
    scene.fake.open();
    assert_eq!(scene.ask("GET", "/health", "none", NO).await.status, 200);
    assert_eq!(scene.fake.url(), url);
}

#[tokio::test]
async fn calls_are_written_down() {
    let scene = Scene::new(Version::V04).await;
    for who in ["admin", "live", "dead", "garbage", "basic", "none"] {
        scene.ask("GET", "/v1/models?a=1", who, NO).await;
    }
    let calls = scene.fake.calls();
    let seen: Vec<_> = calls.iter().map(|call| (call.bearer, call.status)).collect();
    let (live, dead) = (scene.key("live").id, scene.key("dead").id);
    assert_eq!(
        seen,
        [
            (Bearer::Admin, Some(200)),
            (Bearer::Key(live), Some(200)),
            (Bearer::Key(dead), Some(200)),
            (Bearer::Unknown, Some(403)),
            (Bearer::OtherScheme, Some(401)),
            (Bearer::None, Some(401)),
        ]
    );
    let first = (calls[0].method.as_str(), calls[0].path.as_str(), calls[0].query.as_str());
    assert_eq!(first, ("GET", "/v1/models", "a=1"));
    assert_eq!((scene.fake.count("GET", "/v1/"), scene.fake.count("*", "/"), scene.fake.count("POST", "/")), (6, 6, 0));
}

/// A request at the level of bytes.
async fn post(scene: &Scene, path: &str, headers: &str) -> Raw {
    let mut raw = Raw::connect(scene.fake.url().trim_start_matches("http://").parse().unwrap()).await;
    let authorization = scene.authorization("live").unwrap();
    raw.send(format!("POST {path} HTTP/1.1\r\nHost: albert\r\nAuthorization: {authorization}\r\n{headers}\r\n\r\n"))
        .await;
    raw
}

async fn stream(scene: &Scene) -> Raw {
    let mut body = chat();
    body["stream"] = true.into();
    let body = body.to_string();
    let mut raw = post(scene, CHAT, &format!("Content-Length: {}", body.len())).await;
    raw.send(body).await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream; charset=utf-8")));
    assert_eq!((head.header("transfer-encoding"), head.header("cache-control")), (Some("chunked"), None));
    raw
}

#[tokio::test]
async fn a_stream_goes_event_by_event_and_ends_with_its_usage() {
    let scene = Scene::new(Version::V04).await;
    scene.fake.hold_streams(2);
    let mut raw = stream(&scene).await;
    let mut events = Vec::new();
    for _ in 0..4 {
        scene.fake.let_go(1);
        let event = String::from_utf8(raw.chunk().await).unwrap();
        events.push(event.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap().to_owned());
    }
    let parsed: Vec<Value> = events[..3].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(parsed[1]["choices"][0]["delta"]["content"], "mot1 ");
    assert_eq!((&parsed[2]["choices"], &parsed[2]["usage"]["completion_tokens"]), (&json!([]), &json!(2)));
    assert_eq!(events[3], "[DONE]");
    assert!(raw.chunk().await.is_empty());
    assert_eq!((scene.fake.streams().finished, scene.fake.streams().stopped), (1, 0));
    let call = scene.fake.calls().pop().unwrap();
    assert_eq!(call.bearer, Bearer::Key(scene.key("live").id));
}

#[tokio::test]
async fn a_stream_stops_when_its_client_goes_away() {
    let scene = Scene::new(Version::Late).await;
    scene.fake.hold_streams(1000);
    scene.fake.let_go(1);
    let mut raw = stream(&scene).await;
    raw.chunk().await;
    assert_eq!(scene.fake.streams().open, 1);
    drop(raw);
    scene.fake.upstream_stopped().await;
    assert_eq!((scene.fake.streams().open, scene.fake.streams().finished), (0, 0));
}

#[tokio::test]
async fn an_upload_is_counted_as_it_comes() {
    const MEGABYTE: usize = 1024 * 1024;
    let scene = Scene::new(Version::V04).await;
    let headers = format!("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}", 200 * MEGABYTE);
    let mut raw = post(&scene, "/v1/audio/transcriptions", &headers).await;
    let megabyte = vec![b'x'; MEGABYTE];
    for sent in 1..=200 {
        raw.send(&megabyte).await;
        scene.fake.uploaded(sent * MEGABYTE as u64).await;
    }
    let answer: Value = serde_json::from_str(&raw.answer().await.text()).unwrap();
    assert_eq!(answer["bytes"], 200 * MEGABYTE);
    let refused = scene.ask("POST", "/v1/audio/transcriptions", "live", json!({})).await;
    assert_eq!(refused.status, 422);
}

#[tokio::test]
async fn the_echo_shows_what_came_to_those_with_a_live_key() {
    let scene = Scene::new(Version::V045).await;
    let seen = scene.ask("GET", "/v1/echo?q=1", "live", NO).await.json();
    let key = json!(["authorization", format!("Bearer {}", scene.key("live").secret)]);
    assert_eq!((&seen["method"], &seen["target"]), (&json!("GET"), &json!("/v1/echo?q=1")));
    assert!(seen["headers"].as_array().unwrap().contains(&key), "{seen}");
    assert_eq!(scene.ask("GET", "/v1/echo", "dead", NO).await.status, 401);
}
