//! Licences for operators: the admin listener's API over its socket, the `vestibule licences` and `seats`
//! commands, the page in Chromium, and a licence that is added over one replica and in force on another.

use crate::admin_sessions::{ask, command, folder};
use crate::support::browser::Browser;
use crate::support::client::{Answer, Client};
use crate::support::counterparts::require;
use crate::support::log_watch::lines_with;
use crate::support::redis::Redis;
use crate::support::site::{ADMIN_TOKEN, Setup, Site};
use crate::support::waiting::{promptly, until, until_well};
use http::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use vestibule::demo::provider::Agent;

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const DECLARED: &str = "2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e";

/// A site that keeps licences in a file, and has one in its configuration that covers nobody who signs in.
async fn site(state: &TempDir) -> Site {
    let more = format!(
        "admin: {{token: {{env: ADMIN_TOKEN}}}}\nstore: {{file: {}}}\nseats: {{managed: true}}\n\
         licences: [{{id: {DECLARED}, serial: CH-0, seats: 2, covers: {{email: [nobody@example.fr]}}}}]",
        state.path().join("state.db").display()
    );
    Site::with(Setup { more, ..Setup::default() }).await
}

async fn send(site: &Site, method: Method, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", "*")];
    Client::new(site.admin).send(method, path, &headers, body.to_string().into_bytes()).await
}

async fn add(site: &Site, body: &Value) -> String {
    let added = send(site, Method::POST, "/licences", body).await;
    assert_eq!(added.status, 201, "{}", added.text());
    added.json()["licence"]["id"].as_str().unwrap().to_owned()
}

/// Somebody who has signed in, whether they get a seat or not.
async fn comes(site: &Site) -> Client {
    let client = site.client();
    until_well(async || client.browse("/").await).await;
    client
}

/// The only person of a licence, once they are written down.
async fn person_of(site: &Site, licence: &str) -> Value {
    let path = format!("/licences/{licence}/people");
    until("somebody is written down", async || {
        ask(site, Method::GET, &path).await.json()["people"].as_array().is_some_and(|people| people.len() == 1)
    })
    .await;
    ask(site, Method::GET, &path).await.json()["people"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_licence_is_added_used_looked_at_and_suspended_over_the_admin_listener() {
    let state = tempfile::tempdir().unwrap();
    let site = site(&state).await;
    let client = comes(&site).await;
    assert_eq!(client.fetch("/").await.status, 403, "no licence covers them yet");
    let id = add(&site, &json!({"serial": "CH-1", "seats": 1, "covers": {"email": [EMAIL]}})).await;
    let answer = client.fetch("/").await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let person = person_of(&site, &id).await;
    assert_eq!((&person["email"], &person["role"], &person["sign_ins"]), (&json!(EMAIL), &json!("member"), &json!(1)));
    let name = person["person"].as_str().unwrap();
    let seats = ask(&site, Method::GET, &format!("/licences/{id}/seats")).await.json();
    assert_eq!((&seats["in_use"], &seats["seats"][0]["email"]), (&json!(1), &json!(EMAIL)), "{seats}");
    let metrics = Client::new(site.admin).get("/metrics", &[]).await.text();
    for line in [
        format!("vestibule_seats_in_use{{licence=\"{id}\",serial=\"CH-1\",site=\"\"}} 1"),
        format!("vestibule_seats_limit{{licence=\"{id}\",serial=\"CH-1\",site=\"\"}} 1"),
    ] {
        assert!(metrics.contains(&line), "{line}");
    }
    // Somebody else finds no seat, and one when it is freed.
    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
    let other = comes(&site).await;
    let wider = json!({"serial": "CH-1", "seats": 1, "covers": {"email_domain": ["test.proconnect.gouv.fr"]}});
    assert_eq!(send(&site, Method::PUT, &format!("/licences/{id}"), &wider).await.status, 200);
    assert_eq!(other.fetch("/").await.status, 409);
    assert_eq!(ask(&site, Method::DELETE, &format!("/licences/{id}/seats/{name}")).await.status, 204);
    assert_eq!(other.fetch("/").await.status, 200);
    assert_ne!(client.fetch("/").await.status, 200, "they are told that their seat was freed");

    assert_eq!(send(&site, Method::POST, &format!("/licences/{id}/suspend"), &Value::Null).await.status, 200);
    site.provider.sign_in_as(Agent::new("Anne", "Tiers", "anne.tiers@test.proconnect.gouv.fr"));
    let third = comes(&site).await;
    assert_eq!(third.fetch("/").await.status, 403);
    // Over a restart the file has them all.
    let shown = ask(&site, Method::GET, "/licences").await.json();
    assert_eq!(shown["licences"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&shown["licences"][0]["managed"], &shown["licences"][1]["standing"]),
        (&json!(false), &json!("suspended"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_licences_answers_on_the_proxy_listener() {
    let state = tempfile::tempdir().unwrap();
    let site = site(&state).await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json")];
    for path in ["/licences", "/licences/export", "/seats", "/oauth2/licences"] {
        let answer = site.client().send(Method::GET, path, &headers, Vec::new()).await;
        assert!(matches!(answer.status, 401 | 404), "{path}: {}", answer.status);
        let without = Client::new(site.admin).get(path, &[]).await;
        assert!(matches!(without.status, 401 | 404), "{path}: {}", without.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_manage_licences_and_show_seats() {
    let state = tempfile::tempdir().unwrap();
    let site = site(&state).await;
    let folder = folder(&site);
    let here = folder.path();
    let address = format!("http://{}", site.admin);
    let door = ["--admin", address.as_str(), "--token-file", "token"];
    let run = async |arguments: &[&str]| command(here, &[arguments, &door[..]].concat()).await;

    let flags =
        ["--serial", "CH-1", "--seats", "3", "--cover", &format!("email={EMAIL}"), "--affiliation", "Lycée Fictif"];
    let (code, out, error) = run(&[&["licences", "add"], &flags[..]].concat()).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    let id = out.trim().to_owned();
    let (code, out, _) = run(&["licences", "list"]).await;
    let lines: Vec<&str> = out.lines().collect();
    assert!(code == 0 && lines.len() == 3 && lines[0].starts_with("ID ") && lines[2].contains(&id), "{out}");
    assert!(lines[1].contains("configuration") && lines[2].contains("store"), "{out}");
    // By its serial, and the rest is left as it was.
    assert_eq!(run(&["licences", "change", "CH-1", "--seats", "5", "--to", "2027-12-31"]).await.0, 0);
    let (_, out, _) = run(&["licences", "show", "CH-1"]).await;
    assert!(out.contains("seats: 5") && out.contains("Lycée Fictif") && out.contains("# in_force"), "{out}");
    assert_eq!(run(&["licences", "extend", "CH-1", "--for", "30d"]).await.1, format!("extended: {id}\n"));
    assert_eq!(run(&["licences", "suspend", "CH-1"]).await.0, 0);
    assert!(run(&["licences", "show", &id]).await.1.contains("# suspended"));
    assert_eq!(run(&["licences", "resume", "CH-1"]).await.0, 0);

    let client = comes(&site).await;
    assert_eq!(client.fetch("/").await.status, 200);
    let person = person_of(&site, &id).await["person"].as_str().unwrap().to_owned();
    let (_, out, _) = run(&["licences", "people", "CH-1"]).await;
    assert!(out.contains(&person) && out.contains(EMAIL) && out.contains("member"), "{out}");
    assert_eq!(run(&["licences", "role", "CH-1", &person, "teacher"]).await.0, 0);
    let (_, out, error) = run(&["seats", "list", "CH-1"]).await;
    assert!(out.contains(EMAIL) && out.contains("teacher") && error == "1 of 5 seats are in use\n", "{out}{error}");
    let (code, out, _) = run(&["licences", "remove", "CH-1"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    let (code, out, error) = run(&["seats", "watch", "--looks", "1"]).await;
    assert!(code == 0 && error.is_empty() && out.ends_with(" CH-1: 1 of 5 in use\n"), "{out}{error}");
    let (_, out, _) = run(&["seats", "free", "CH-1", &person]).await;
    assert_eq!(out, format!("freed: {person}\n"));
    assert_eq!(run(&["licences", "forget", "CH-1", &person]).await.0, 0);

    // What is exported is what is imported, and what a configuration reads.
    let (code, yaml, _) = run(&["licences", "export"]).await;
    assert_eq!(code, 0);
    std::fs::write(here.join("licences.yaml"), &yaml).unwrap();
    let (code, _, error) = run(&["licences", "add", "--file", "licences.yaml"]).await;
    assert!(code == 1 && error.contains("licence 1 of 2 (0 added)") && error.contains("configuration"), "{error}");
    assert_eq!(run(&["licences", "remove", "CH-1"]).await.0, 0);
    let two: Value = serde_yaml::from_str(&yaml).unwrap();
    std::fs::write(here.join("one.json"), two["licences"][1].to_string()).unwrap();
    assert_eq!(run(&["licences", "add", "--file", "one.json"]).await.1.trim(), id);
    assert_eq!(run(&["licences", "export"]).await.1, yaml);
    let configuration = std::fs::read_to_string(here.join("vestibule.yaml")).unwrap();
    std::fs::write(here.join("with.yaml"), format!("{configuration}store: {{file: state.db}}\n{yaml}")).unwrap();
    let (code, _, error) = command(here, &["check", "--config", "with.yaml"]).await;
    assert_eq!((code, error.as_str()), (0, ""), "{yaml}");
    let (_, csv, _) = run(&["licences", "export", "--format", "csv"]).await;
    assert!(csv.starts_with("id,serial,") && csv.contains("CH-1"), "{csv}");
    assert!(run(&["licences", "use"]).await.1.starts_with("day,licence,serial,"));

    std::fs::write(here.join("bad.yaml"), "seats: 3\ncovers: {siret: ['1']}\n").unwrap();
    let mistakes: [(&[&str], &str); 5] = [
        (&["licences", "add", "--file", "bad.yaml"], "covers.siret"),
        (&["licences", "add", "--file", "nowhere.yaml"], "nowhere.yaml"),
        (&["licences", "add", "--serial", "x"], "seats"),
        (&["licences", "show", "CH-9"], "no licence has the serial"),
        (&["licences", "suspend", "CH-0"], "is declared in the configuration"),
    ];
    for (arguments, words) in mistakes {
        let (code, out, error) = run(arguments).await;
        assert!(code == 1 && out.is_empty() && error.contains(words), "{arguments:?}: {code} {out} {error}");
    }
    for arguments in [&["licences", "extend", "CH-1"][..], &["seats", "free", "CH-1"], &["licences"]] {
        assert_eq!(command(here, arguments).await.0, 2, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_change_what_was_seen_and_add_nothing_twice() {
    let state = tempfile::tempdir().unwrap();
    let site = site(&state).await;
    let folder = folder(&site);
    let here = folder.path();
    let address = format!("http://{}", site.admin);
    let door = ["--admin", address.as_str(), "--token-file", "token"];
    let run = async |arguments: &[&str]| command(here, &[arguments, &door[..]].concat()).await;

    let add = ["licences", "add", "--serial", "5", "--seats", "3", "--cover", "sub=a"];
    let id = "00000000-0000-4000-8000-000000000005";
    assert_eq!(run(&[&add[..], &["--id", id]].concat()).await.1, format!("{id}\n"));
    // Whoever repeats it adds nothing.
    let (code, _, error) = run(&[&add[..], &["--id", id]].concat()).await;
    assert!(code == 1 && error.contains("there is a licence"), "{error}");
    let licences = [r#"{"serial": "15", "seats": 3, "covers": {"everyone": true}}"#, r#"{"serial": "51", "seats": 3}"#];
    std::fs::write(here.join("two.json"), format!("[{}]", licences.join(","))).unwrap();
    let (code, out, error) = run(&["licences", "add", "--file", "two.json"]).await;
    assert!(code == 1 && out.lines().count() == 1 && error.contains("licence 2 of 2 (1 added)"), "{out}{error}");
    assert!(!error.contains("it may be there"), "it was refused, and is not: {error}");
    // Not the one that holds its serial.
    let (_, seen, _) = run(&["licences", "show", "5"]).await;
    assert!(seen.contains(id), "{seen}");
    let tag = seen.lines().last().and_then(|line| line.strip_prefix("# etag: ")).unwrap();
    let (_, json, _) = run(&["licences", "show", "5", "--json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["etag"].as_str(), Some(tag));

    let tag = tag.trim_matches('"');
    let seen = ["--if-match", tag];
    assert_eq!(run(&[&["licences", "change", "5", "--seats", "4"], &seen[..]].concat()).await.0, 0);
    // It is another state by now.
    for arguments in [
        &["licences", "change", "5", "--seats", "9"][..],
        &["licences", "change", "5", "--file", "one.json"],
        &["licences", "suspend", "5"],
        &["licences", "resume", "5"],
        &["licences", "extend", "5", "--for", "30d"],
        &["licences", "remove", "5"],
    ] {
        std::fs::write(here.join("one.json"), licences[0]).unwrap();
        let (code, out, error) = run(&[arguments, &seen[..]].concat()).await;
        assert!(code == 1 && out.is_empty() && error.contains("look at it again"), "{arguments:?}: {out}{error}");
    }
    assert!(run(&["licences", "show", "5"]).await.1.contains("seats: 4"));
    assert_eq!(run(&["licences", "remove", "5", "--if-match", "*"]).await.0, 2);

    std::fs::write(here.join("none.yaml"), "licences: []\n").unwrap();
    std::fs::write(here.join("twice.yaml"), "seats: 3\nseats: 30\ncovers: {everyone: true}\n").unwrap();
    for (file, words) in [("none.yaml", "there is no licence in it"), ("twice.yaml", "duplicate entry")] {
        let (code, out, error) = run(&["licences", "add", "--file", file]).await;
        assert!(code == 1 && out.is_empty() && error.contains(words) && error.contains(file), "{file}: {error}");
    }
    // What the listener does not look into at all is said in its own words.
    let long = json!({"seats": 3, "owner": {"comments": "x".repeat(2_000_000)}}).to_string();
    std::fs::write(here.join("long.json"), long).unwrap();
    let (code, _, error) = run(&["licences", "add", "--file", "long.json"]).await;
    assert!(code == 1 && error.contains("a licence of at most 1 MB is answered here"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_or_may_have_been_done_has_a_line_in_the_log() {
    let state = tempfile::tempdir().unwrap();
    let site = site(&state).await;
    // The token is looked at before the body, however long that is.
    let wrong = [("authorization", "Bearer wrong"), ("content-type", "application/json")];
    let path = format!("/licences/{DECLARED}/extend");
    let answer = Client::new(site.admin).send(Method::POST, &path, &wrong, vec![b' '; 100_000]).await;
    assert_eq!(answer.status, 401);
    let refused = lines_with(&path);
    assert!(refused.iter().any(|line| line.contains("refused on the admin listener")), "{refused:?}");

    let suspend = format!("/licences/{DECLARED}/suspend");
    assert_eq!(send(&site, Method::POST, &suspend, &Value::Null).await.status, 409);
    let lines = lines_with(&suspend);
    let line = lines.iter().find(|line| line.contains("was not done")).unwrap();
    assert!(line.contains("declared in the configuration") && line.contains("127.0.0.1"), "{line}");
    let id = add(&site, &json!({"serial": "CH-2", "seats": 1, "covers": {"email": [EMAIL]}})).await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let outdated = [("authorization", bearer.as_str()), ("if-match", "\"other\"")];
    let path = format!("/licences/{id}");
    assert_eq!(Client::new(site.admin).send(Method::DELETE, &path, &outdated, Vec::new()).await.status, 412);
    let lines = lines_with(&path);
    assert!(lines.iter().any(|line| line.contains("changed by somebody else")), "{lines:?}");
    // Whether a store that does not answer has done it nobody knows.
    let more = "admin: {token: {env: ADMIN_TOKEN}}\nstore: {redis: \"redis://127.0.0.1:1\"}\nseats: {managed: true}\n\
                on_store_down: {sign_ins: keep, sessions: keep, for: 24h}";
    let site = Site::with(Setup { more: more.to_owned(), ..Setup::default() }).await;
    let seat = format!("/licences/{id}/seats/{}", "ab".repeat(32));
    for (method, path) in [(Method::DELETE, seat), (Method::PUT, path)] {
        let body = json!({"seats": 3, "covers": {"everyone": true}});
        assert_eq!(send(&site, method, &path, &body).await.status, 503, "{path}");
        let lines = lines_with(&format!("\"{path}\""));
        assert!(lines.iter().any(|line| line.contains("may have been done")), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_added_over_one_replica_is_in_force_on_the_other_within_a_second() {
    require!(Redis);
    let redis = Redis::start().await;
    let more = format!(
        "admin: {{token: {{env: ADMIN_TOKEN}}}}\nstore: {{redis: \"redis://127.0.0.1:{}\"}}\nseats: {{managed: true}}",
        redis.port
    );
    let one = Site::with(Setup { more: more.clone(), ..Setup::default() }).await;
    let issuer = Some(one.provider.issuer().to_owned());
    let other = Site::with(Setup { more, issuer, ..Setup::default() }).await;
    let client = comes(&one).await;
    assert_eq!(client.fetch("/").await.status, 403);
    let body = json!({"serial": "CH-1", "seats": 1, "covers": {"email": [EMAIL]}});
    let id = add(&other, &body).await;
    promptly("it is in force on the other replica", Duration::from_secs(1), async {
        until("a seat is given", async || client.fetch("/").await.status == 200).await;
    })
    .await;
    // Many changes from both sides at once: each is made on what there was, and none is lost.
    let extend = async |site: &Site, day: u32| {
        let path = format!("/licences/{id}");
        loop {
            let bearer = format!("Bearer {ADMIN_TOKEN}");
            let seen = ask(site, Method::GET, &path).await;
            let mut licence = seen.json()["licence"].clone();
            let comments = licence["owner"]["comments"].as_str().unwrap_or_default();
            licence["owner"]["comments"] = format!("{comments}{day},").into();
            let tag = seen.header("etag").unwrap().to_owned();
            let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("if-match", &*tag)];
            let body = licence.to_string().into_bytes();
            match Client::new(site.admin).send(Method::PUT, &path, &headers, body).await.status {
                200 => return,
                412 => {}
                status => panic!("{status}"),
            }
        }
    };
    tokio::join!(extend(&one, 1), extend(&other, 2), extend(&one, 3), extend(&other, 4));
    until("both replicas have all of it", async || {
        let mut all = Vec::new();
        for site in [&one, &other] {
            let shown = ask(site, Method::GET, &format!("/licences/{id}")).await.json();
            let comments = shown["licence"]["owner"]["comments"].as_str().unwrap_or_default().to_owned();
            let mut days: Vec<&str> = comments.split_terminator(',').collect();
            days.sort_unstable();
            all.push(days.concat());
        }
        all == ["1234", "1234"]
    })
    .await;
    // Nobody's name is in the store.
    let person = person_of(&other, &id).await;
    assert_eq!(person["email"], EMAIL);
    for key in redis.cli(&["--scan"]).lines() {
        assert!(!key.contains("helene"), "{key}");
    }
    assert_eq!(ask(&other, Method::DELETE, &format!("/licences/{id}?force=true")).await.status, 204);
    until("it is gone there as well", async || ask(&one, Method::GET, &format!("/licences/{id}")).await.status == 404)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_s_browser_shows_what_is_in_use() {
    require!(Chromium);
    let state = tempfile::tempdir().unwrap();
    let site = site(&state).await;
    let body = json!({"serial": "CH-2026-017", "seats": 3, "covers": {"email": [EMAIL]},
                      "owner": {"affiliation": "Lycée Fictif de Trifouilly"}, "valid": {"to": "2027-12-31"}});
    let id = add(&site, &body).await;
    let client = comes(&site).await;
    assert_eq!(client.fetch("/").await.status, 200);
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (language, title) in [("fr", "Licences et places"), ("en", "Licences and seats")] {
        let browser = Browser::start_in(language).await;
        let address = format!("http://operator:{ADMIN_TOKEN}@{}", site.admin);
        for (page, name) in [("/seats?all=1".to_owned(), "list"), (format!("/seats?licence={id}"), "one")] {
            browser.goto(&format!("{address}{page}")).await;
            browser.wait_for_text("h1", title).await;
            for (width, screen) in [(360, "phone"), (1280, "desk")] {
                browser.resize(width, 1400).await;
                let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
                assert_eq!(browser.execute(overflow, json!([])).await, false, "{language} {name} {screen}");
                browser.screenshot(&pictures.join(format!("admin-seats-{name}-{language}-{screen}.png"))).await;
            }
        }
        assert!(browser.text(".graph p").await.contains('3'));
    }
}
