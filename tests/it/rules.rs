//! Who may enter: the rules of routes, for people in a browser, for programs and through a front proxy.

use super::support::client::{Client, NAVIGATION};
use super::support::log_watch::access_line_with;
use super::support::shown::{email_at_app, header_at_app};
use super::support::site::{ORIGIN, Setup, Site, agent};
use http::Method;
use serde_json::json;
use std::time::Duration;
use vestibule::bearer::hash_of;
use vestibule::demo::provider::Agent;

const SERVICE_KEY: &str = "vsk_the-service-key-of-the-test-of-rules";

const ROUTES: &str = "[{path: /staff/**, upstream: app, require: staff}, \
    {path: /editors/**, upstream: app, allow: [{claims: {given_name: Zoé}}, staff], deny: {email: banned@test.proconnect.gouv.fr}}, \
    {path: /programs/**, upstream: app, bearer: services, require: {groups: [robots]}}, \
    {path: /level/**, upstream: app, require: {acr: eidas3}}, \
    {path: /**, upstream: app}]";

async fn site() -> Site {
    site_with("").await
}

async fn site_with(more: &str) -> Site {
    let hashes = [hash_of(SERVICE_KEY), hash_of(&format!("{SERVICE_KEY}-2"))];
    let more = format!(
        "{more}session: {{idle: 4h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
         policies: {{staff: {{email_domain: .proconnect.gouv.fr, siret: \"{}\", \
         who: {{fr: les agents de la DINUM, en: agents of DINUM}}}}}}\n\
         bearer: {{services: {{kind: keys, keys: [{{name: robot, sha256: {}, claims: {{groups: [robots]}}}}, {{name: other, sha256: {}}}]}}}}\n",
        agent().siret,
        hashes[0],
        hashes[1],
    );
    Site::with(Setup { routes: ROUTES.to_owned(), more, ..Setup::default() }).await
}

async fn signed_in_as(site: &Site, agent: Agent) -> Client {
    site.provider.sign_in_as(agent);
    site.signed_in().await
}

fn stranger() -> Agent {
    Agent::new("Jean", "Autre", "jean.autre@example.org")
}

const FRENCH: (&str, &str) = ("accept-language", "fr");
const ENGLISH: (&str, &str) = ("accept-language", "en");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_rule_keeps_out_learns_who_may_enter_and_a_program_learns_the_rule() {
    let site = site().await;
    let staff = site.signed_in().await;
    assert_eq!(staff.fetch("/staff/x").await.status, 200);
    let other = signed_in_as(&site, stranger()).await;
    assert_eq!(other.fetch("/x").await.status, 200);
    for (language, words) in [(FRENCH, "les agents de la DINUM"), (ENGLISH, "agents of DINUM")] {
        let page = other.get("/staff/x?kept-out", &[&NAVIGATION[..], &[language]].concat()).await;
        assert_eq!(page.status, 403);
        assert!(page.text().contains(words), "{}", page.text());
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    let answer = other.fetch("/staff/x").await;
    assert_eq!(
        (answer.status, &answer.json()["error"], &answer.json()["rule"]),
        (403, &json!("not_admitted"), &json!("staff"))
    );
    // Which rule, and by which claims; nothing of theirs.
    let line = access_line_with("require staff: does not hold (by email_domain, siret)").await;
    assert_eq!(
        (&line["level"], &line["decision"], &line["route"]),
        (&json!("INFO"), &json!("deny"), &json!("/staff/**"))
    );
    assert!(!line.to_string().contains("jean.autre"), "{line}");
    // Nothing of it reached the app, whatever the method.
    let before = site.echo.seen.borrow().requests;
    for method in [Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS] {
        assert_eq!(other.send(method.clone(), "/staff/x", &[], Vec::new()).await.status, 403, "{method}");
    }
    assert_eq!(site.echo.seen.borrow().requests, before);
}

/// Apps that do not tell `/Staff` from `/staff` would else serve there whom the rule keeps out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_spelling_of_a_path_leads_around_its_rules() {
    let site = site().await;
    let other = signed_in_as(&site, stranger()).await;
    let robot = format!("Bearer {SERVICE_KEY}");
    for path in ["/Staff/x", "/STAFF", "/staff./x", "/staff%20/x", "/%53taff/x", "/Programs/x", "/LEVEL/"] {
        assert_eq!(other.fetch(path).await.status, 400, "{path}");
        assert_eq!(other.get(path, &[("authorization", &robot)]).await.status, 400, "{path}");
    }
    assert_eq!(other.fetch("/staffing/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_what_allows_is_enough_and_what_denies_wins() {
    let site = site().await;
    let zoe = Agent::new("Zoé", "Diallo", "zoe@example.org");
    let banned = Agent { email: "BANNED@test.proconnect.gouv.fr".to_owned(), ..agent() };
    for (who, status) in [(agent(), 200), (zoe, 200), (stranger(), 403), (banned, 403)] {
        let name = who.email.clone();
        assert_eq!(signed_in_as(&site, who).await.fetch("/editors/x").await.status, status, "{name}");
    }
    // Nobody is asked to sign in again for what signing in does not change.
    let person = signed_in_as(&site, stranger()).await;
    let answer = person.navigate("/editors/x").await;
    assert_eq!((answer.status, answer.header("location")), (403, None));
    // And without a session there is no telling.
    let nobody = site.client();
    assert_eq!(nobody.fetch("/staff/x").await.status, 401);
    assert!(nobody.navigate("/staff/x").await.location().starts_with(site.provider.issuer()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_for_programs_as_for_people() {
    let site = site().await;
    let client = site.client();
    let ask = async |key: &str| {
        let key = format!("Bearer {key}");
        client.get("/programs/x", &[("authorization", &key)]).await
    };
    let robot = ask(SERVICE_KEY).await;
    assert_eq!((robot.status, header_at_app(&robot, "x-auth-request-user").as_deref()), (200, Some("robot")));
    let other = ask(&format!("{SERVICE_KEY}-2")).await;
    assert_eq!((other.status, &other.json()["error"]), (403, &json!("not_admitted")));
    assert_eq!(site.signed_in().await.fetch("/programs/x").await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_they_are_is_judged_again_when_the_provider_says_something_else() {
    let site = site().await;
    let person = site.signed_in().await;
    let answer = person.fetch("/staff/x").await;
    let sub = header_at_app(&answer, "x-auth-request-user").unwrap();
    site.provider.change_agent(&sub, |agent| agent.email = "h.moreau@example.org".to_owned());
    assert_eq!(person.fetch("/staff/x").await.status, 200, "nobody has asked yet");
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(person.fetch("/staff/x").await.status, 403);
    assert_eq!(email_at_app(&person.fetch("/x").await).as_deref(), Some("h.moreau@example.org"));
    // And back.
    site.provider.change_agent(&sub, |agent| agent.email = "h.moreau@test.proconnect.gouv.fr".to_owned());
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(person.fetch("/staff/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_that_asks_hears_the_same() {
    let site = site_with("trusted_proxies: [127.0.0.1]\nforward_auth: {from: nginx}\n").await;
    let (staff, other) = (site.signed_in().await, signed_in_as(&site, stranger()).await);
    let ask = async |client: &Client, path: &str| {
        let url = format!("{ORIGIN}{path}");
        let headers = [("x-original-url", url.as_str()), ("x-original-method", "GET")];
        client.get("/oauth2/auth", &headers).await
    };
    for (client, path, status) in [(&staff, "/staff/x", 202), (&other, "/staff/x", 403), (&other, "/x", 202)] {
        let answer = ask(client, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-auth-request-email").is_some(), status == 202);
    }
}
