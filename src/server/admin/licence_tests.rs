//! What the admin listener answers of licences, against its description; and what a change needs.

use super::tests::{Answer, Bench, TOKEN};
use super::*;
use crate::seats::Member;
use crate::seats::fixture::{licence, take};
use base64::Engine;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

impl Bench {
    fn seats(&self) -> &Seats {
        self.admin.sites[0].seats.as_deref().unwrap()
    }

    /// With the token, JSON, and further headers.
    async fn sends(&self, method: &str, target: &str, body: &Value, more: &[(&'static str, &str)]) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let headers = [&[("authorization", &*token), ("content-type", "application/json")], more].concat();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, target, &headers, &body).await
    }

    async fn adds(&self, more: Value) -> String {
        let mut licence = json!({"seats": 3, "covers": {"everyone": true}});
        licence.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let added = self.sends("POST", "/licences", &licence, &[]).await;
        assert_eq!(added.status, 201, "{}", added.body);
        added.json()["licence"]["id"].as_str().unwrap().to_owned()
    }

    async fn sits(&self, subject: &str) -> String {
        let now = self.admin.clock.now();
        take(self.seats(), subject, now, now).await.unwrap();
        self.seats().renew(now).await;
        Member::of("p", subject).hex()
    }
}

/// An operation: method, path as described, the target, and what is sent.
type Operation = (&'static str, &'static str, String, Value);

fn operations(id: &str, person: &str) -> Vec<Operation> {
    let one = || json!({"seats": 4, "covers": {"everyone": true}});
    let of = |below: &str| format!("/licences/{id}{below}");
    vec![
        ("GET", "/licences", "/licences".to_owned(), Value::Null),
        ("POST", "/licences", "/licences".to_owned(), one()),
        ("GET", "/licences/export", "/licences/export".to_owned(), Value::Null),
        ("GET", "/licences/use", "/licences/use".to_owned(), Value::Null),
        ("GET", "/licences/{id}", of(""), Value::Null),
        ("PUT", "/licences/{id}", of(""), one()),
        ("POST", "/licences/{id}/suspend", of("/suspend"), Value::Null),
        ("POST", "/licences/{id}/resume", of("/resume"), Value::Null),
        ("POST", "/licences/{id}/extend", of("/extend"), json!({"to": "2030-01-31"})),
        ("GET", "/licences/{id}/people", of("/people"), Value::Null),
        ("GET", "/licences/{id}/people/{person}", of(&format!("/people/{person}")), Value::Null),
        ("PUT", "/licences/{id}/people/{person}", of(&format!("/people/{person}")), json!({"role": "teacher"})),
        ("GET", "/licences/{id}/seats", of("/seats"), Value::Null),
        ("GET", "/licences/{id}/use", of("/use"), Value::Null),
        ("DELETE", "/licences/{id}/seats/{person}", of(&format!("/seats/{person}")), Value::Null),
        ("DELETE", "/licences/{id}/people/{person}", of(&format!("/people/{person}")), Value::Null),
        ("DELETE", "/licences/{id}", of(""), Value::Null),
    ]
}

#[tokio::test]
async fn of_licences_the_description_says_what_is_answered_and_nothing_else() {
    let (bench, closed) = (Bench::new(Some(TOKEN)), Bench::new(None));
    let mut without = Bench::new(Some(TOKEN));
    without.admin.sites[0].seats = None;
    let declared = licence(7, "covers: {everyone: true}");
    bench.seats().register().declare(std::slice::from_ref(&declared), false);
    let id = bench.adds(json!({"serial": "L-1", "covers": {"sub": ["a"]}})).await;
    // The one of the configuration covers her too, and is first: it is her seat that is looked for.
    bench.seats().register().declare(&[licence(7, "covers: {sub: [nobody]}")], false);
    let person = bench.sits("a").await;
    let unknown = "0".repeat(64);
    let mut answered = BTreeSet::new();
    let mut note = |path: &str, method: &str, answer: &Answer| {
        if answer.status >= 400 {
            let body = answer.json();
            assert!(body["error"].is_string() && body["message"].is_string(), "{body}");
        }
        answered.insert((path.to_owned(), method.to_lowercase(), answer.status.to_string()));
    };
    let any = [("if-match", "*")];
    for (method, path, target, body) in operations(&id, &person) {
        let stranger = bench.ask(method, &target, &[("authorization", "Bearer wrong")], &body.to_string()).await;
        assert_eq!((stranger.status, stranger.headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
        note(path, method, &stranger);
        note(path, method, &closed.sends(method, &target, &body, &any).await);
        let unlicensed = without.sends(method, &target, &body, &any).await;
        assert_eq!((unlicensed.status, &unlicensed.json()["error"]), (404, &json!("no_licences")), "{method} {path}");
        note(path, method, &unlicensed);
        let bad = bench.sends(method, &format!("{target}?colour=red"), &body, &any).await;
        assert_eq!(bad.status, 400, "{method} {path}");
        note(path, method, &bad);
        bench.store_is_down(true);
        note(path, method, &bench.sends(method, &target, &body, &any).await);
        bench.store_is_down(false);
        if path == "/licences/{id}" && method != "GET" {
            let state = bench.sends(method, &target, &body, &[("if-match", "\"other\"")]).await;
            assert_eq!((state.status, &state.json()["error"]), (412, &json!("changed_meanwhile")), "{method}");
            note(path, method, &state);
        }
        if path == "/licences/{id}" && method == "PUT" {
            note(path, method, &bench.sends(method, &target, &body, &[]).await);
        }
        if path.starts_with("/licences/{id}") && path.split('/').count() == 4 && method == "POST" {
            note(path, method, &bench.sends(method, &target, &body, &[("if-match", "\"other\"")]).await);
        }
        // One of the configuration is changed there.
        if matches!(method, "POST" | "PUT" | "DELETE") && !path.contains("/seats") && !path.contains("/people") {
            let (target, body) = match path {
                "/licences" => (target.clone(), json!(declared.written())),
                _ => (target.replace(&id, &declared.id().to_string()), body.clone()),
            };
            let refused = bench.sends(method, &target, &body, &any).await;
            assert_eq!(
                (refused.status, &refused.json()["error"]),
                (409, &json!("licence_declared")),
                "{method} {path}"
            );
            note(path, method, &refused);
        }
        // What is not there.
        let target_of_nobody = target.replace(&person, &unknown);
        if target_of_nobody != target {
            assert_eq!(bench.sends(method, &target_of_nobody, &body, &any).await.status, 404, "{method} {path}");
        }
        note(path, method, &bench.sends(method, &target, &body, &any).await);
    }
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut described = BTreeSet::new();
    let paths = description["paths"].as_object().unwrap();
    for (path, methods) in paths.iter().filter(|(path, _)| path.starts_with("/licences")) {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            for status in operation["responses"].as_object().unwrap().keys() {
                described.insert((path.clone(), method.clone(), status.clone()));
            }
        }
    }
    let (more, fewer): (Vec<_>, Vec<_>) =
        (answered.difference(&described).collect(), described.difference(&answered).collect());
    assert!(more.is_empty() && fewer.is_empty(), "not described: {more:?}; not answered: {fewer:?}");
    for (method, path, target, _) in operations(&id, &person) {
        for other in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if !OfLicences::by(&target.split('/').skip(2).collect::<Vec<_>>()).unwrap().allow().contains(other) {
                assert_eq!(bench.may(other, &target).await.status, 405, "{other} {path} ({method})");
            }
        }
    }
    for path in ["/licences/", "/licences/a/b", "/licences/a/people/b/c", "/licences/a/seats/"] {
        assert!(matches!(bench.may("GET", path).await.status, 400 | 404 | 405), "{path}");
    }
}

#[tokio::test]
async fn the_fields_of_what_is_shown_are_those_that_are_described() {
    let bench = Bench::new(Some(TOKEN));
    let id = bench.adds(json!({"serial": "L-1", "valid": {"duration": "30d"}})).await;
    let person = bench.sits("a").await;
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let shown = bench.may("GET", &format!("/licences/{id}")).await.json();
    let people = bench.may("GET", &format!("/licences/{id}/people")).await.json();
    let seats = bench.may("GET", &format!("/licences/{id}/seats")).await.json();
    for (name, shown) in
        [("ShownLicence", &shown), ("LicencePerson", &people["people"][0]), ("Seat", &seats["seats"][0])]
    {
        let schema = &description["components"]["schemas"][name];
        assert_eq!(keys(shown), keys(&schema["properties"]), "{name}");
        assert_eq!(schema["required"].as_array().unwrap().len(), keys(shown).len(), "{name}");
    }
    assert_eq!(
        (&shown["standing"], &shown["managed"], &shown["in_use"]),
        (&json!("in_force"), &json!(true), &json!(1))
    );
    assert_eq!((&shown["first_use"], &shown["ends"]), (&json!("2026-11-18T11:06:40Z"), &json!("2026-12-18T11:06:40Z")));
    let expected = json!({
        "person": person, "provider": "p", "sub": "a", "email": "a@example.fr", "role": "member",
        "first_seen": "2026-11-18T11:06:40Z", "last_seen": "2026-11-18T11:06:40Z", "sign_ins": 1,
    });
    assert_eq!(people, json!({"people": [expected], "more": false}));
    assert_eq!((&seats["in_use"], &seats["limit"], &seats["more"]), (&json!(1), &json!(3), &json!(false)));
    assert_eq!(seats["seats"][0]["ends"], "2026-11-18T11:36:40Z");
}

#[tokio::test]
async fn what_is_wrong_with_a_licence_is_said_with_its_key_and_changes_nothing() {
    let bench = Bench::new(Some(TOKEN));
    for (body, at) in [
        (json!({"seats": "many", "covers": {"everyone": true}}), "seats"),
        (json!({"seats": 3, "covers": {"everyone": true}, "colour": 1}), "colour"),
        (json!({"seats": 3, "covers": {"siret": ["1"]}}), "covers.siret"),
        (json!({"seats": 3, "covers": {"everyone": true}, "valid": {"duration": "long"}}), "valid.duration"),
        (json!({"seats": 3, "covers": {"everyone": true}, "valid": {"to": "never"}}), "valid.to"),
        (json!({"seats": 3}), "covers.everyone"),
        (json!({"id": "7", "seats": 3, "covers": {"everyone": true}}), "id"),
    ] {
        let refused = bench.sends("POST", "/licences", &body, &[]).await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("bad_licence")), "{body}");
        assert_eq!(refused.json()["faults"][0]["at"], at, "{}", refused.body);
        assert!(refused.json()["message"].as_str().unwrap().contains(at), "{}", refused.body);
    }
    let token = format!("Bearer {TOKEN}");
    let form = [("authorization", &*token), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(bench.ask("POST", "/licences", &form, "{}").await.status, 400);
    assert!(bench.seats().register().is_empty());
    // A password that a browser knows opens nothing here.
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{TOKEN}")));
    assert_eq!(bench.ask("GET", "/licences", &[("authorization", &basic)], "").await.status, 401);
}

#[tokio::test]
async fn two_administrators_lose_nothing_and_a_licence_in_use_is_kept() {
    let bench = Bench::new(Some(TOKEN));
    let id = bench.adds(json!({"serial": "L-1"})).await;
    let target = format!("/licences/{id}");
    let seen = bench.may("GET", &target).await;
    let tag = seen.headers["etag"].to_str().unwrap().to_owned();
    let mut new = seen.json()["licence"].clone();
    new["seats"] = json!(5);
    let done = bench.sends("PUT", &target, &new, &[("if-match", &tag)]).await;
    assert_eq!((done.status, &done.json()["licence"]["seats"]), (200, &json!(5)), "{}", done.body);
    new["seats"] = json!(9);
    assert_eq!(bench.sends("PUT", &target, &new, &[("if-match", &tag)]).await.status, 412);
    assert_eq!(bench.sends("PUT", &target, &new, &[]).await.status, 428);
    for (verb, body, field, expected) in [
        ("suspend", Value::Null, "/standing", json!("suspended")),
        ("resume", Value::Null, "/standing", json!("in_force")),
        ("extend", json!({"to": "2027-01-31"}), "/ends", json!("2027-01-31T23:00:00Z")),
        ("extend", json!({"duration": "30d"}), "/licence/valid", json!({"duration": "30d"})),
    ] {
        let done = bench.sends("POST", &format!("{target}/{verb}"), &body, &[]).await;
        assert_eq!(done.json().pointer(field), Some(&expected), "{verb}: {}", done.body);
    }
    for body in [json!({}), json!({"to": "2027-01-31", "duration": "30d"}), json!({"from": "2027-01-31"})] {
        assert_eq!(bench.sends("POST", &format!("{target}/extend"), &body, &[]).await.status, 400, "{body}");
    }
    let person = bench.sits("a").await;
    let kept = bench.may("DELETE", &target).await;
    assert_eq!((kept.status, &kept.json()["error"]), (409, &json!("licence_in_use")));
    assert_eq!(bench.may("DELETE", &format!("{target}/seats/{person}")).await.status, 204);
    assert_eq!(bench.may("DELETE", &format!("{target}/seats/{person}")).await.status, 404);
    assert_eq!(bench.may("DELETE", &target).await.status, 204);
    assert_eq!(bench.may("GET", &target).await.status, 404);
    // Its people are still known, until they are forgotten.
    let people = format!("{target}/people/{person}");
    assert_eq!(bench.may("GET", &people).await.json()["sub"], "a");
    assert_eq!(bench.may("DELETE", &people).await.status, 204);
    assert_eq!(bench.may("GET", &people).await.status, 404);
}

#[tokio::test]
async fn a_change_that_was_made_is_answered_as_made_where_nothing_can_be_read_since() {
    let bench = Bench::new(Some(TOKEN));
    bench.store.unreadable_after.store(1, Ordering::Relaxed);
    let new = json!({"seats": 3, "covers": {"everyone": true}});
    let added = bench.sends("POST", "/licences", &new, &[]).await;
    let shown = added.json();
    assert_eq!((added.status, &shown["in_use"], &shown["managed"]), (201, &Value::Null, &json!(true)), "{shown}");
    assert_eq!(shown["standing"], "in_force");
    let id = shown["licence"]["id"].as_str().unwrap();
    assert_eq!(added.headers["location"].to_str().unwrap(), format!("/licences/{id}"));
    // Of any other change: its turn is written, then the licence.
    for (method, below, body, pointer, expected) in [
        ("PUT", "", json!({"seats": 5, "covers": {"everyone": true}}), "/licence/seats", json!(5)),
        ("POST", "/suspend", Value::Null, "/standing", json!("suspended")),
        ("POST", "/extend", json!({"to": "2027-01-31"}), "/ends", json!("2027-01-31T23:00:00Z")),
    ] {
        let bench = Bench::new(Some(TOKEN));
        let id = bench.adds(json!({})).await;
        let target = format!("/licences/{id}");
        let former = bench.may("GET", &target).await.headers["etag"].clone();
        bench.store.unreadable_after.store(2, Ordering::Relaxed);
        let done = bench.sends(method, &format!("{target}{below}"), &body, &[("if-match", "*")]).await;
        assert_eq!((done.status, done.json().pointer(pointer)), (200, Some(&expected)), "{below}: {}", done.body);
        let written = serde_json::from_value(done.json()["licence"].clone()).unwrap();
        let tag = format!("\"{}\"", crate::seats::managed::tag_of(&written));
        assert_eq!(done.headers["etag"].to_str().unwrap(), tag, "{below}");
        assert_ne!(done.headers["etag"], former, "{below}");
    }
}

#[tokio::test]
async fn a_serial_is_looked_for_exactly_however_many_others_hold_it() {
    let bench = Bench::new(Some(TOKEN));
    let many = (1..=2000).map(|number| licence(number, &format!("serial: '{number}', covers: {{sub: [s{number}]}}")));
    let first = licence(3000, "serial: '5', covers: {everyone: true}");
    bench.seats().register().declare(&[first].into_iter().chain(many).collect::<Vec<_>>(), false);
    let ids = async |target: &str| {
        let found = bench.may("GET", target).await.json();
        let all = found["licences"].as_array().unwrap().clone();
        all.iter().map(|one| one["licence"]["id"].as_str().unwrap()[24..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("/licences?serial=5").await, ["000000003000", "000000000005"]);
    assert_eq!(ids("/licences?serial=2000&limit=1").await, ["000000002000"]);
    assert_eq!(ids("/licences?serial=2001").await, [""; 0]);
}

#[tokio::test]
async fn lists_come_in_parts_and_are_searched() {
    let bench = Bench::new(Some(TOKEN));
    for serial in ["L-1", "L-2", "M-3"] {
        bench.adds(json!({"serial": serial, "covers": {"sub": [serial]}, "owner": {"affiliation": format!("Lycée {serial}")}})).await;
    }
    let serials = |answer: Answer| {
        let all = answer.json()["licences"].as_array().unwrap().clone();
        all.iter().map(|one| one["licence"]["serial"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(serials(bench.may("GET", "/licences").await), ["L-1", "L-2", "M-3"]);
    assert_eq!(serials(bench.may("GET", "/licences?q=lyc%C3%A9e+l").await), ["L-1", "L-2"]);
    let first = bench.may("GET", "/licences?limit=2").await;
    assert_eq!(first.json()["more"], true);
    let last = first.json()["licences"][1]["licence"]["id"].as_str().unwrap().to_owned();
    assert_eq!(serials(bench.may("GET", &format!("/licences?after={last}")).await), ["M-3"]);
    assert_eq!(serials(bench.may("GET", "/licences?used=true").await), Vec::<String>::new());
    bench.sits("M-3").await;
    assert_eq!(serials(bench.may("GET", "/licences?used=true").await), ["M-3"]);
    // Behind one that is not, or not any more, among those that are asked for.
    assert_eq!(serials(bench.may("GET", &format!("/licences?used=true&after={last}")).await), ["M-3"]);
    assert_eq!(serials(bench.may("GET", &format!("/licences?q=M-3&after={last}")).await), ["M-3"]);
    let unknown = format!("/licences?after={}", "00000000-0000-4000-8000-000000000009");
    assert_eq!(bench.may("GET", &unknown).await.status, 400);
}

#[tokio::test]
async fn files_hold_what_a_configuration_reads_and_no_formula() {
    let bench = Bench::new(Some(TOKEN));
    let id = bench
        .adds(json!({
            "serial": "=cmd|' /C calc'!A0",
            "when_full": {"displace_idlest": "10m"},
            "valid": {"from": "2026-01-01", "to": "2027-12-31"},
            "owner": {"affiliation": "@Lycée, \"Fictif\"", "email": "a@example.fr"},
        }))
        .await;
    let yaml = bench.may("GET", "/licences/export").await;
    assert!(yaml.headers["content-disposition"].to_str().unwrap().contains("licences.yaml"));
    let read: Value = serde_yaml::from_str(&yaml.body).unwrap();
    let written = serde_json::from_value(read["licences"][0].clone()).unwrap();
    let again = crate::seats::Licence::parse(written).unwrap();
    assert_eq!(&again, bench.seats().register().all()[0].licence());
    assert_eq!(read["licences"][0]["when_full"], json!({"displace_idlest": "10m"}));
    let csv = bench.may("GET", "/licences/export?format=csv").await.body;
    assert!(csv.starts_with("id,serial,seats,") && csv.contains(&id), "{csv}");
    assert!(csv.contains(",'=cmd|' /C calc'!A0,") && csv.contains("\"'@Lycée, \"\"Fictif\"\"\""), "{csv}");

    for _ in 0..3 {
        bench.sits("a").await;
        bench.clock.advance(Duration::from_secs(300));
    }
    let used = bench.may("GET", "/licences/use").await.body;
    let lines: Vec<&str> = used.lines().collect();
    assert_eq!(lines[0], "day,licence,serial,seats,peak,mean,owner_name,owner_surname,owner_email,owner_affiliation");
    assert_eq!(lines.len(), 2, "{used}");
    assert!(lines[1].starts_with(&format!("2026-11-18,{id},'=cmd|' /C calc'!A0,3,1,0.01,,,")), "{used}");
    let days = bench.may("GET", &format!("/licences/{id}/use?from=2026-11-01")).await.json();
    assert_eq!((&days["days"][0]["peak"], &days["days"][0]["mean"]), (&json!(1), &json!("0.01")), "{days}");
    for bad in ["from=1", "from=2026-11-19", "from=2026-11-10&to=2026-11-09", "to=2026-13-01"] {
        assert_eq!(bench.may("GET", &format!("/licences/use?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn metrics_say_how_many_seats_are_in_use_and_ask_no_store() {
    let bench = Bench::new(Some(TOKEN));
    let id = bench.adds(json!({"serial": "L-1", "seats": 2, "when_full": {"overflow": 1}})).await;
    let quiet = bench.adds(json!({"serial": "L-2", "covers": {"sub": ["nobody"]}})).await;
    for subject in ["a", "b", "c"] {
        let now = bench.admin.clock.now();
        take(bench.seats(), subject, now, now).await.unwrap();
    }
    let now = bench.admin.clock.now();
    take(bench.seats(), "d", now, now).await.unwrap_err();
    bench.clock.advance(Duration::from_secs(60));
    bench.store_is_down(true);
    let metrics = bench.ask("GET", "/metrics", &[], "").await.body;
    for (name, value) in [
        ("vestibule_seats_in_use", 3),
        ("vestibule_seats_limit", 2),
        ("vestibule_seats_overflow", 1),
        ("vestibule_seats_seconds_to_free", 1740),
        ("vestibule_seats_taken_total", 3),
        ("vestibule_seats_refused_total", 1),
        ("vestibule_seats_displaced_total", 0),
        ("vestibule_seats_freed_total", 0),
    ] {
        let line = format!("{name}{{licence=\"{id}\",serial=\"L-1\",site=\"\"}} {value}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert!(!metrics.contains(&quiet), "{metrics}");
    bench.store_is_down(false);
    // What another replica frees is known with the next renewal, and a licence that is gone is gone here too.
    bench.may("DELETE", &format!("/licences/{id}/seats/{}", Member::of("p", "a").hex())).await;
    let metrics = bench.ask("GET", "/metrics", &[], "").await.body;
    assert!(
        metrics.contains(&format!("vestibule_seats_in_use{{licence=\"{id}\",serial=\"L-1\",site=\"\"}} 2\n")),
        "{metrics}"
    );
    bench.may("DELETE", &format!("/licences/{id}?force=true")).await;
    assert!(!bench.ask("GET", "/metrics", &[], "").await.body.contains(&id));
}

#[tokio::test]
async fn the_page_shows_what_is_in_use_and_draws_its_history() {
    let bench = Bench::new(Some(TOKEN));
    let id =
        bench.adds(json!({"serial": "<b>L-1", "owner": {"affiliation": "Lycée <i>"}, "covers": {"sub": ["a"]}})).await;
    bench.adds(json!({"serial": "quiet", "covers": {"sub": ["nobody"]}})).await;
    bench.sits("a").await;
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{TOKEN}")));
    let show = async |target: &str, language: &str| {
        let page = bench.ask("GET", target, &[("authorization", &basic), ("accept-language", language)], "").await;
        assert_eq!(page.status, 200, "{target}: {}", page.body);
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
        assert!(!page.body.contains("<script") && !page.body.contains("<b>") && !page.body.contains("<i>"));
        page.body
    };
    let list = show("/seats", "en").await;
    assert!(list.contains("Licences in use now (1)") && list.contains("1 of 3") && !list.contains("quiet"), "{list}");
    assert!(show("/seats?all=1", "fr").await.contains("Toutes les licences (2)"));
    assert!(show("/seats?q=QUIET", "en").await.contains("no end is set"));
    bench.adds(json!({"serial": "trial", "valid": {"duration": "30d"}, "covers": {"sub": ["later"]}})).await;
    assert!(show("/seats?q=trial", "en").await.contains("counts from the first use, which is to come"));
    assert!(show("/seats?q=trial", "fr").await.contains("selon la première utilisation, à venir"));
    let one = show(&format!("/seats?licence={id}"), "en").await;
    assert_eq!((one.matches("<svg").count(), one.matches("<desc").count(), one.matches("<table>").count()), (2, 2, 2));
    assert!(one.contains("1 of 3 seats now, at most 1 at once."), "{one}");
    // The last figure of 288, and the last day of 30.
    assert!(one.contains("M0 100H287V") && one.contains("M0 100H29V"), "{one}");
    assert_eq!(bench.ask("GET", "/seats", &[], "").await.status, 401);
    assert_eq!(bench.ask("GET", "/seats?licence=7", &[("authorization", &basic)], "").await.status, 400);
    // Many come a leaf at a time.
    for number in 0..45 {
        bench.adds(json!({"serial": format!("N-{number:02}"), "covers": {"sub": ["x"]}})).await;
    }
    let first = show("/seats?q=N-", "en").await;
    assert!(first.contains("N-19") && !first.contains("N-20") && first.contains("skip=20"), "{first}");
    let third = show("/seats?q=N-&skip=40", "en").await;
    assert!(third.contains("N-44") && !third.contains("rel=\"next\"") && third.contains("rel=\"prev\""), "{third}");
    assert!(third.contains("skip=20\" rel=\"prev\""), "the leaf before it is a whole one: {third}");
    // From the page of the sessions and back, where there are licences.
    assert!(third.contains("<a href=\"/\">Live sessions</a>"), "{third}");
    for (language, title) in [("en", "Licences and seats"), ("fr", "Licences et places")] {
        let link = format!("<a href=\"/seats\">{title}</a>");
        assert!(show("/", language).await.contains(&link), "{language}");
    }
    let mut without = Bench::new(Some(TOKEN));
    without.admin.sites[0].seats = None;
    assert!(!without.ask("GET", "/", &[("authorization", &basic)], "").await.body.contains("/seats"));
}
