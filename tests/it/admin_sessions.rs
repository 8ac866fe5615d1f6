//! Everybody's sessions, for operators: the admin listener's API over its socket, its page in
//! Chromium, and the `vestibule sessions` commands.

use crate::support::browser::Browser;
use crate::support::client::{Answer, Client};
use crate::support::counterparts::require;
use crate::support::process::run;
use crate::support::redis::Redis;
use crate::support::shown::{error_id, header_at_app};
use crate::support::site::{ADMIN_TOKEN, Setup, Site};
use crate::support::waiting::until;
use http::Method;
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use vestibule::demo::provider::Agent;
use vestibule::pages::{ErrorKind, Language};

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";

async fn site() -> Site {
    let more = "admin: {token: {env: ADMIN_TOKEN}}\nidentity: {claims: [siret, organization_label]}".to_owned();
    Site::with(Setup { more, ..Setup::default() }).await
}

pub(crate) async fn ask(site: &Site, method: Method, path: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    Client::new(site.admin).send(method, path, &[("authorization", &bearer)], Vec::new()).await
}

async fn session_of(client: &Client) -> String {
    header_at_app(&client.fetch("/").await, "x-vestibule-session").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_an_administrator_ends_is_refused_at_its_next_request() {
    let site = site().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let (first, second) = (session_of(&one).await, session_of(&two).await);
    let all = ask(&site, Method::GET, "/sessions").await;
    assert_eq!((all.status, all.header("cache-control")), (200, Some("no-store")));
    assert_eq!(all.json()["sessions"].as_array().unwrap().len(), 2);
    let found = ask(&site, Method::GET, &format!("/sessions?email={EMAIL}&limit=1")).await.json();
    assert_eq!((found["sessions"].as_array().unwrap().len(), &found["more"]), (1, &true.into()));
    assert!(found["sessions"][0]["siret"].is_string(), "{found}");

    let done = ask(&site, Method::DELETE, &format!("/sessions/{first}")).await;
    assert_eq!((done.status, done.body.len()), (204, 0));
    assert_eq!((one.fetch("/").await.status, two.fetch("/").await.status), (401, 200));
    assert_eq!(ask(&site, Method::GET, &format!("/sessions/{first}")).await.status, 404);
    assert_eq!(ask(&site, Method::DELETE, &format!("/sessions/{first}")).await.status, 404);
    assert_eq!(ask(&site, Method::GET, &format!("/sessions/{second}")).await.json()["email"], EMAIL);
    let head = ask(&site, Method::HEAD, "/sessions").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_ended_whole_and_may_sign_in_again() {
    let site = site().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
    let other = site.signed_in().await;
    let found = ask(&site, Method::GET, &format!("/sessions?email={EMAIL}")).await.json();
    let subject = found["sessions"][0]["sub"].as_str().unwrap().to_owned();
    let done = ask(&site, Method::DELETE, &format!("/people/{subject}/sessions")).await;
    assert_eq!((done.status, &done.json()["ended"]), (200, &2.into()));
    assert_eq!((one.fetch("/").await.status, two.fetch("/").await.status), (401, 401));
    assert_eq!(other.fetch("/").await.status, 200);
    assert_eq!(ask(&site, Method::GET, "/sessions").await.json()["sessions"].as_array().unwrap().len(), 1);
    // In the same second a sign-in is still of before.
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(one.browse("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_nothing_is_told_and_nothing_ends() {
    let site = site().await;
    let client = site.signed_in().await;
    let id = session_of(&client).await;
    let jar = client.cookie_header("app.example").unwrap();
    let attempts: [&[(&str, &str)]; 5] = [
        &[],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer the-admin-token-of-the-test-suite-00")],
        &[("authorization", "Basic bWU6eA==")],
        &[("cookie", jar.as_str())],
    ];
    for headers in attempts {
        for (method, path) in [
            (Method::GET, "/sessions".to_owned()),
            (Method::GET, format!("/sessions/{id}")),
            (Method::DELETE, format!("/sessions/{id}")),
            (Method::DELETE, "/people/x/sessions".to_owned()),
            (Method::GET, "/".to_owned()),
            (Method::POST, "/".to_owned()),
        ] {
            let refused = Client::new(site.admin).send(method.clone(), &path, headers, Vec::new()).await;
            assert_eq!(refused.status, 401, "{method} {path} {headers:?}");
            assert!(refused.header("www-authenticate").is_some(), "{path}");
            assert!(!refused.text().contains(&id) && !refused.text().contains("helene"), "{}", refused.text());
        }
    }
    assert_eq!(client.fetch("/").await.status, 200);
    // Health and metrics ask for none.
    for path in ["/healthz", "/metrics", "/openapi.json"] {
        assert_eq!(Client::new(site.admin).get(path, &[]).await.status, 200, "{path}");
    }
    // Where none is configured nobody may.
    let closed = Site::start().await;
    let nobody = ask(&closed, Method::GET, "/sessions").await;
    assert_eq!(nobody.status, 403);
    assert!(nobody.text().contains("admin.token"), "{}", nobody.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_it_answers_on_the_proxy_listener() {
    let site = site().await;
    let client = site.signed_in().await;
    let id = session_of(&client).await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json")];
    for (method, path) in [
        (Method::GET, "/sessions".to_owned()),
        (Method::GET, "/openapi.json".to_owned()),
        (Method::DELETE, format!("/sessions/{id}")),
        (Method::DELETE, "/people/x/sessions".to_owned()),
    ] {
        // To the app, for whoever is signed in, like any other path.
        assert_eq!(site.client().send(method.clone(), &path, &headers, Vec::new()).await.status, 401, "{path}");
        let answer = client.send(method.clone(), &path, &headers, Vec::new()).await;
        assert_eq!((answer.status, answer.header("x-from")), (200, Some("the app")), "{path}");
        let below = client.send(method.clone(), &format!("/oauth2{path}"), &headers, Vec::new()).await;
        if path == "/sessions" {
            assert!(below.json()["sessions"][0]["current"].is_boolean(), "the person's own: {}", below.text());
        } else {
            assert_eq!(below.status, 404, "{path}");
        }
    }
    assert_eq!(client.fetch("/").await.status, 200);
}

/// The files that the commands read.
pub(crate) fn folder(site: &Site) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("token", &format!("{ADMIN_TOKEN}\n"));
    write("wrong", "another-token-that-is-long-enough-0001\n");
    write(
        "vestibule.yaml",
        &format!(
            "public_url: https://app.example\nlisteners: {{admin: \"{}\"}}\nadmin: {{token: {{file: token}}}}\n\
             providers: {{p: {{issuer: \"https://127.0.0.1:9\", client_id: app, client_authentication: none}}}}\n\
             session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             upstreams: {{app: {{url: \"http://127.0.0.1:9\"}}}}\nroutes: [{{path: /**, upstream: app}}]\n",
            site.admin
        ),
    );
    folder
}

fn printed(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(!out.contains(ADMIN_TOKEN) && !error.contains(ADMIN_TOKEN), "{out}{error}");
    (output.status.code().unwrap(), out, error)
}

pub(crate) async fn command(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let (folder, arguments) = (folder.to_owned(), arguments.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
    let ran =
        tokio::task::spawn_blocking(move || run(&folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    printed(&ran.await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_list_and_end_sessions() {
    let site = site().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let id = session_of(&one).await;
    let folder = folder(&site);
    let here = folder.path();

    let (code, out, error) = command(here, &["sessions", "list", "--config", "vestibule.yaml"]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("ID ") && out.contains(&id) && out.contains(EMAIL), "{out}");
    let column = |line: &str| line.find("helene").or_else(|| line.find("PERSON"));
    assert!(lines.iter().all(|line| column(line) == column(lines[0])), "{out}");

    let address = format!("http://{}", site.admin);
    let door = ["--admin", address.as_str(), "--token-file", "token"];
    let (code, out, _) = command(here, &[&["sessions", "list", "--json", "--email", EMAIL], &door[..]].concat()).await;
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["sessions"].as_array().unwrap().len()), (0, 2));
    let subject = json["sessions"][0]["sub"].as_str().unwrap().to_owned();
    let (code, out, error) =
        command(here, &[&["sessions", "list", "--organization", "nowhere"], &door[..]].concat()).await;
    assert_eq!((code, out.as_str(), error.as_str()), (0, "", "no live session is found\n"));

    let (code, out, _) = command(here, &["sessions", "end", &id, "--config", "vestibule.yaml"]).await;
    assert_eq!((code, out), (0, format!("ended: {id}\n")));
    assert_eq!((one.fetch("/").await.status, two.fetch("/").await.status), (401, 200));
    let (code, out, _) = command(here, &[&["sessions", "end", "--person", &subject], &door[..]].concat()).await;
    assert_eq!((code, out.as_str()), (0, "ended: 1 session\n"));
    assert_eq!(two.fetch("/").await.status, 401);

    let zeros = "0".repeat(32);
    let mistakes: [(&[&str], &str); 5] = [
        (&["sessions", "end", &zeros, "--config", "vestibule.yaml"], "no live session has this identifier"),
        (&["sessions", "end", "7", "--config", "vestibule.yaml"], "32 hexadecimal digits"),
        (&["sessions", "list", "--admin", &address, "--token-file", "wrong"], "this is not its token (admin.token)"),
        (&["sessions", "list", "--admin", "http://127.0.0.1:1", "--token-file", "token"], "no connection"),
        (&["sessions", "list", "--admin", &address, "--token-file", "nowhere"], "nowhere does not exist"),
    ];
    for (arguments, words) in mistakes {
        let (code, out, error) = command(here, arguments).await;
        assert!(code == 1 && out.is_empty() && error.contains(words), "{arguments:?}: {code} {out} {error}");
    }
    for arguments in [&["sessions", "list"][..], &["sessions", "end", "--config", "vestibule.yaml"], &["sessions"]] {
        assert_eq!(command(here, arguments).await.0, 2, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_s_browser_shows_the_page_and_ends_sessions() {
    require!(Chromium);
    let site = site().await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (language, title) in [("fr", "Sessions en cours"), ("en", "Live sessions")] {
        let browser = Browser::start_in(language).await;
        // As if typed where the browser asks for a name and a password.
        browser.goto(&format!("http://operator:{ADMIN_TOKEN}@{}/", site.admin)).await;
        browser.wait_for_text("h1", title).await;
        for (width, name) in [(360, "phone"), (1280, "desk")] {
            browser.resize(width, 800).await;
            let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
            assert_eq!(browser.execute(overflow, serde_json::json!([])).await, false, "{language} {name}");
            browser.screenshot(&pictures.join(format!("admin-sessions-{language}-{name}.png"))).await;
        }
        browser.fill("#email", EMAIL).await;
        browser.click("form[method=get] button").await;
        browser.wait_for_url(|url| url.contains("email=")).await;
        browser.click(".sessions form button").await;
        browser
            .wait_until("it is gone", async || {
                let left = one.fetch("/").await.status == 200;
                let right = two.fetch("/").await.status == 200;
                if language == "fr" { left != right } else { !left && !right }
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_it_says_so_and_what_is_ended_here_is_over_here() {
    let more = "admin: {token: {env: ADMIN_TOKEN}}\nstore: {redis: \"redis://127.0.0.1:1\"}\n\
                on_store_down: {sign_ins: keep, sessions: keep, for: 24h}"
        .to_owned();
    let site = Site::with(Setup { more, ..Setup::default() }).await;
    let (one, two) = (site.signed_in().await, site.signed_in().await);
    let (first, second) = (session_of(&one).await, session_of(&two).await);
    let listed = ask(&site, Method::GET, "/sessions").await;
    assert_eq!((listed.status, &listed.json()["error"]), (503, &"store_unavailable".into()));
    let ended = ask(&site, Method::DELETE, &format!("/sessions/{first}")).await;
    assert_eq!((ended.status, &ended.json()["error"]), (503, &"not_announced_yet".into()));
    assert_eq!((one.fetch("/").await.status, two.fetch("/").await.status), (401, 200));
    // The person's own page as well: nothing is shown that might not be all.
    error_id(&two.navigate("/oauth2/sessions").await, ErrorKind::SessionUnavailable, Language::French);
    let form = two.submit("/oauth2/sessions", &format!("end={second}")).await;
    assert_eq!(form.status, 503);
    assert_eq!(two.fetch("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_lists_all_sessions_and_ends_them_everywhere() {
    require!(Redis);
    let redis = Redis::start().await;
    let more =
        format!("admin: {{token: {{env: ADMIN_TOKEN}}}}\nstore: {{redis: \"redis://127.0.0.1:{}\"}}", redis.port);
    let one = Site::with(Setup { more: more.clone(), ..Setup::default() }).await;
    let issuer = Some(one.provider.issuer().to_owned());
    let other = Site::with(Setup { more, issuer, ..Setup::default() }).await;
    let clients = [one.signed_in().await, one.signed_in().await, one.signed_in().await];
    let first = session_of(&clients[0]).await;
    let all = ask(&other, Method::GET, "/sessions").await.json();
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(3), "{all}");
    let subject = all["sessions"][0]["sub"].as_str().unwrap().to_owned();
    let ended_everywhere = async |client: &Client, method: Method, path: &str, status: u16| {
        assert_eq!(ask(&other, method, path).await.status, status, "{path}");
        until("refused where it began as well", async || client.fetch("/").await.status == 401).await;
    };
    ended_everywhere(&clients[0], Method::DELETE, &format!("/sessions/{first}"), 204).await;
    assert_eq!(clients[1].fetch("/").await.status, 200);
    ended_everywhere(&clients[1], Method::DELETE, &format!("/people/{subject}/sessions"), 200).await;
    until("refused with it", async || clients[2].fetch("/").await.status == 401).await;
    // What the store holds of them names nobody and opens nothing.
    for key in redis.cli(&["--scan"]).lines() {
        assert!(!key.contains(&subject) && !key.contains("helene"), "{key}");
    }
}
