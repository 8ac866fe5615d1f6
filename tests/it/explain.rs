//! Why: the command line's exit codes, a live session's cookie on the admin listener, the header for
//! those who look for a mistake, and the page in Chromium. What is said in which case is in
//! `tests/explain/*.case`.

use super::support::browser::Browser;
use super::support::client::{Answer, Client};
use super::support::counterparts::require;
use super::support::process::run;
use super::support::site::{ADMIN_TOKEN, Setup, Site, agent};
use http::Method;
use serde_json::json;
use std::path::Path;
use vestibule::demo::provider::Agent;

const ROUTES: &str = "[{path: /staff/**, upstream: app, require: staff}, {path: /open/**, upstream: app, access: public}, \
    {path: /**, upstream: app}]";

async fn site(debug: &str) -> Site {
    let more = format!(
        "admin: {{token: {{env: ADMIN_TOKEN}}}}\npolicies: {{staff: {{siret: \"{}\"}}}}\n{debug}",
        agent().siret
    );
    Site::with(Setup { routes: ROUTES.to_owned(), more, ..Setup::default() }).await
}

async fn explain(site: &Site, question: &serde_json::Value) -> Answer {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    Client::new(site.admin).send(Method::POST, "/explain", &headers, question.to_string().into_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_session_s_cookie_is_explained_as_its_requests_are_decided() {
    let site = site("").await;
    let staff = site.signed_in().await;
    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@example.org"));
    let other = site.signed_in().await;
    for client in [&staff, &other] {
        let name = client.cookie_names().into_iter().find(|name| name.ends_with("vestibule")).unwrap();
        let cookie = client.cookie(&name).unwrap();
        for path in ["/staff/x", "/open/x", "/x"] {
            let asked = json!({"method": "GET", "url": path, "cookie": cookie});
            let told = explain(&site, &asked).await;
            let passes = client.fetch(path).await.status == 200;
            assert_eq!(told.json()["decision"] == "forward", passes, "{}", told.text());
            assert!(!told.text().contains(&cookie), "{}", told.text());
        }
        // Nobody else's key makes one.
        let forged = format!("{}A", cookie.strip_suffix(|_: char| true).unwrap());
        let told = explain(&site, &json!({"method": "GET", "url": "/x", "cookie": forged})).await.json();
        assert!(told["decision"] == "sign_in" || forged == cookie, "{told}");
    }
    // What is supposed on the admin listener opens nothing at the door.
    let supposed = json!({"method": "GET", "url": "/x", "claims": {"sub": "chief"}});
    let told = explain(&site, &supposed).await.json();
    assert_eq!(told["decision"], "forward");
    assert!(!told.to_string().contains("vestibule="), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_is_told_to_listed_addresses_alone_and_names_nobody() {
    let told = site("debug: {decision_header: [127.0.0.1]}\n").await;
    let staff = told.signed_in().await;
    let header = |answer: &Answer| answer.header("x-vestibule-decision").map(str::to_owned);
    let says = |text: &str| Some(text.to_owned());
    assert_eq!(header(&staff.fetch("/staff/x").await), says("forward; route=/staff/**; require staff: holds"));
    assert_eq!(header(&staff.fetch("/open/x").await), says("forward; route=/open/**"));
    assert_eq!(header(&told.client().fetch("/staff/x").await), says("deny; route=/staff/**"));
    assert_eq!(header(&told.client().navigate("/staff/x").await), says("sign_in; route=/staff/**"));
    assert_eq!(header(&staff.fetch("/STAFF/x").await), says("deny; route=ambiguous"));
    told.provider.sign_in_as(Agent { siret: "99999999900014".to_owned(), ..agent() });
    let refused = told.signed_in().await.fetch("/staff/x").await;
    let said = header(&refused).unwrap();
    assert_eq!((refused.status, &*said), (403, "deny; route=/staff/**; require staff: does not hold"));
    // A client cannot ask for it, and an app hears nothing of it.
    let elsewhere = site("debug: {decision_header: [192.0.2.7]}\n").await;
    let asks = [("x-vestibule-decision", "1"), ("x-forwarded-for", "192.0.2.7")];
    let answer = elsewhere.signed_in().await.get("/x", &asks).await;
    assert_eq!((answer.status, header(&answer)), (200, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_is_told_to_no_client_behind_a_proxy_and_to_no_cache() {
    let header = |answer: &Answer| answer.header("x-vestibule-decision").map(str::to_owned);
    let asks = async |client: &Client, path: &str, more: &[(&str, &str)]| {
        let answer = client.get(path, more).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        header(&answer).is_some()
    };
    // The clients of a proxy that is not named all have its address, and it says of some that they are others.
    let unnamed = site("debug: {decision_header: [127.0.0.1, 192.0.2.7]}\n").await;
    let person = unnamed.signed_in().await;
    assert!(asks(&person, "/x", &[]).await);
    for name in ["x-forwarded-for", "forwarded"] {
        for value in ["192.0.2.7", "198.51.100.1", "for=192.0.2.7", ""] {
            assert!(!asks(&person, "/x", &[(name, value)]).await, "{name}: {value}");
        }
    }
    // A named one is believed, and whom it does not name is nobody.
    let named = site("trusted_proxies: [127.0.0.1]\ndebug: {decision_header: [127.0.0.1, 192.0.2.7]}\n").await;
    let person = named.signed_in().await;
    for (client, told) in
        [(None, false), (Some("unknown"), false), (Some("198.51.100.1"), false), (Some("192.0.2.7"), true)]
    {
        let said: Vec<_> = client.map(|client| ("x-forwarded-for", client)).into_iter().collect();
        assert_eq!(asks(&person, "/x", &said).await, told, "{client:?}");
    }
    // A shared cache would hand it on to everybody.
    let listed = [("x-forwarded-for", "192.0.2.7")];
    for (cache, told) in [("private", true), ("no-store", true), ("public", false), ("max-age=60", false)] {
        let path = format!("/status/200?cache-control={cache}");
        assert_eq!(asks(&person, &path, &listed).await, told, "{cache}");
    }
    assert!(!asks(&person, "/status/200?cache-control=private&cdn-cache-control=max-age%3D60", &listed).await);
}

#[test]
fn the_command_line_says_by_its_exit_code_whether_the_request_passes() {
    let folder = tempfile::tempdir().unwrap();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    std::fs::write(folder.path().join("key"), key).unwrap();
    std::fs::write(folder.path().join("secret"), "s3cret-of-the-client-0123456789").unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        "public_url: https://app.example.fr\n\
         providers: {{p: {{issuer: https://login.example.org, client_id: c, client_secret: {{file: {}}}}}}}\n\
         session: {{keys: [{{id: a, secret: {{file: {}}}}}]}}\n\
         upstreams: {{app: {{url: \"http://127.0.0.1:1\"}}}}\n\
         routes: [{{path: /api/**, upstream: app, access: public}}, {{path: /**, upstream: app, require: {{email_domain: example.fr}}}}]\n",
        at("secret"),
        at("key"),
    );
    std::fs::write(folder.path().join("v.yaml"), &config).unwrap();
    std::fs::write(folder.path().join("in.json"), r#"{"sub": "1", "email": "a@example.fr"}"#).unwrap();
    std::fs::write(folder.path().join("out.json"), r#"{"sub": "1", "email": "a@example.org"}"#).unwrap();
    std::fs::write(folder.path().join("bad.json"), "{\n\"sub\": 1,\n}").unwrap();
    std::fs::write(folder.path().join("cookie"), "bm90IGEgc2Vzc2lvbg\n").unwrap();
    let (config, inside, outside, bad, cookie) =
        (at("v.yaml"), at("in.json"), at("out.json"), at("bad.json"), format!("@{}", at("cookie")));
    let cases: [(&[&str], i32, &str); 9] = [
        (&["GET", "/x", "--claims", &inside], 0, "decision: forward"),
        (&["GET", "/x", "--claims", &outside], 1, "require routes[1].require: does not hold (by email_domain)"),
        (&["GET", "/x"], 1, "decision: sign_in"),
        (&["GET", "/x", "--cookie", &cookie], 1, "does not open under any key"),
        (
            &["GET", "/x", "--claims", &inside, "--json", "--at", "2026-11-21T12:00:00Z"],
            0,
            "\"at\": \"2026-11-21T12:00:00Z\"",
        ),
        (&["GET", "/oauth2/start"], 1, "decision: ours"),
        (&["GET", "/x", "--claims", &bad], 2, "bad.json: line 3"),
        (&["GET", "ftp://x/"], 2, "is no URL"),
        (&["GET", "/x", "--claims", &inside, "--cookie", "x"], 2, "cannot be used with"),
    ];
    for (arguments, code, words) in cases {
        let output = run(folder.path(), &[&["explain", "--config", &config], arguments].concat());
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
        assert!(!text.contains("s3cret") && !text.contains(key) && !text.contains("bm90IGEg"), "{text}");
    }
    // In CI what is found and not accepted is a failure.
    for (more, code) in [("", 1), ("accept: [{finding: public-api, because: its callers have keys}]\n", 0)] {
        let text = std::fs::read_to_string(&config).unwrap();
        let accepted = folder.path().join("accepted.yaml");
        std::fs::write(&accepted, format!("{text}{more}")).unwrap();
        let accepted = accepted.display().to_string();
        assert_eq!(run(folder.path(), &["check", "--config", &accepted]).status.code(), Some(0));
        let output = run(folder.path(), &["check", "--deny-findings", "--config", &accepted]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("[public-api]"), "{said}");
    }
}

/// What the page looks like is in the pictures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_ask_why_in_a_browser() {
    require!(Chromium);
    let site = site("").await;
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (language, title) in [("fr", "Pourquoi"), ("en", "Why?")] {
        let browser = Browser::start_in(language).await;
        browser.goto(&format!("http://operator:{ADMIN_TOKEN}@{}/explain", site.admin)).await;
        browser.wait_for_text("h1", title).await;
        browser.fill("#url", "/staff/x").await;
        browser.fill("#claims", r#"{"sub": "1", "siret": "99999999900014", "email": "jean@example.org"}"#).await;
        browser.click("main form button").await;
        browser.wait_for_text("#decision", "deny").await;
        for (width, name) in [(360, "phone"), (1280, "desk")] {
            browser.resize(width, 1600).await;
            let overflow = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
            assert_eq!(browser.execute(overflow, json!([])).await, false, "{language} {name}");
            browser.screenshot(&pictures.join(format!("explain-{language}-{name}.png"))).await;
        }
        browser.fill("#claims", &format!(r#"{{"sub": "1", "siret": "{}"}}"#, agent().siret)).await;
        browser.click("main form button").await;
        browser.wait_for_text("#decision", "forward").await;
        browser.screenshot(&pictures.join(format!("explain-{language}-forward.png"))).await;
    }
}
