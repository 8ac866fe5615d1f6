//! Step-up: a route asks for a stronger or a fresher proof of who somebody is, and leads them to it and
//! back; and what nobody gets by pretending.

use super::support::client::{Answer, Client, NAVIGATION};
use super::support::issuer::Issuer;
use super::support::log_watch::{access_line_with, never_logged};
use super::support::shown::{SESSION, assert_error, header_at_app, parameter};
use super::support::site::{ORIGIN, START, Setup, Site, agent};
use super::support::socket::{echoes, socket};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use vestibule::demo::provider::{Agent, IdTokenFault, RefreshFault};
use vestibule::pages::{ErrorKind, Language};

const ROUTES: &str = "[{path: /mfa/**, upstream: app, require: {acr: eidas1-mfa}}, \
    {path: /fresh/**, upstream: app, require: {max_age: 15m}}, \
    {path: /never/**, upstream: app, require: [{acr: eidas1-mfa}, {email_domain: nowhere.example}]}, \
    {path: /api/**, upstream: app, access: bearer, bearer: [api, services], require: [{acr: gold}, {max_age: 5m}]}, \
    {path: /**, upstream: app}]";
const LEVELS: &str = "eidas1-mfa eidas2 eidas3";
pub(super) const AGE: Duration = Duration::from_secs(16 * 60);

pub(super) async fn site() -> Site {
    site_with("").await
}

pub(super) async fn site_with(more: &str) -> Site {
    Site::with(setup(more)).await
}

pub(super) fn setup(more: &str) -> Setup {
    let more = format!("{more}\nsession: {{idle: 4h, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n");
    let routes = ROUTES.replace("{path: /api/**, upstream: app, access: bearer, bearer: [api, services], require: [{acr: gold}, {max_age: 5m}]}, ", "");
    Setup { more, routes, ..Setup::default() }
}

/// The same person as the one who signs in, at this level.
pub(super) fn at_level(acr: &str) -> Agent {
    Agent { acr: acr.to_owned(), ..agent() }
}

/// The essential levels of an authorization request.
pub(super) fn essential(location: &str) -> Value {
    let claims: Value = serde_json::from_str(&parameter(location, "claims").unwrap()).unwrap();
    assert_eq!(claims["id_token"]["acr"]["essential"], true, "{claims}");
    claims["id_token"]["acr"]["values"].clone()
}

pub(super) fn session_of(answer: &Answer) -> String {
    header_at_app(answer, "x-vestibule-session").unwrap()
}

/// A person who has stepped up to `eidas1-mfa`.
pub(super) async fn stepped_up(site: &Site) -> Client {
    let person = site.signed_in().await;
    site.provider.sign_in_as(at_level("eidas1-mfa"));
    assert_eq!(person.browse("/mfa/x").await.status, 200);
    person
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_comes_back_to_the_same_request_in_the_same_session() {
    let site = site().await;
    let person = site.signed_in().await;
    let before = session_of(&person.fetch("/x").await);
    let copy = person.cookie(SESSION).unwrap();
    let mut live = socket(&site, "/ws", person.cookie_header("app.example")).await;
    let asks = person.navigate("/mfa/deep/link?a=1&b=%20c").await;
    assert_eq!(asks.status, 302);
    assert!(asks.location().starts_with(site.provider.issuer()), "{}", asks.location());
    assert_eq!(essential(asks.location()), json!(["eidas1-mfa", "eidas2", "eidas3"]));
    assert_eq!(parameter(asks.location(), "acr_values").as_deref(), Some(LEVELS));
    assert_eq!(parameter(asks.location(), "login_hint"), Some(agent().email));
    assert!(parameter(asks.location(), "prompt").is_none() && parameter(asks.location(), "max_age").is_none());
    let logged = access_line_with("the route asks for a step-up: acr of eidas1-mfa eidas2 eidas3").await;
    assert_eq!(logged["decision"], "step_up");

    site.provider.sign_in_as(at_level("eidas1-mfa"));
    let back = person.follow(asks).await;
    assert_eq!((back.status, back.url.as_str()), (200, "https://app.example/mfa/deep/link?a=1&b=%20c"));
    assert_eq!(session_of(&back), before, "the same session");
    assert!(echoes(&mut live).await, "its live connections go on");
    assert_eq!(session_of(&person.fetch("/x").await), before);
    // A copy of the cookie of before is worth what it was.
    let thief = site.client();
    thief.set_cookie(SESSION, &copy);
    assert_eq!((thief.fetch("/x").await.status, thief.fetch("/mfa/x").await.status), (200, 401));
    // And is not made worth more by a renewal, nor ends the session.
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(person.fetch("/mfa/x").await.status, 200);
    assert_eq!((thief.fetch("/x").await.status, thief.fetch("/mfa/x").await.status), (401, 401));
    assert_eq!(person.fetch("/mfa/x").await.status, 200);
    drop(live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_sent_for_what_would_not_let_them_in() {
    let site = site().await;
    let person = site.signed_in().await;
    let refused = person.navigate("/never/x").await;
    assert_eq!((refused.status, refused.header("location")), (403, None));
    let stronger = stepped_up(&site).await;
    assert_eq!(stronger.fetch("/never/x").await.status, 403);
    // Whom nobody knows signs in first.
    assert!(parameter(site.client().navigate("/mfa/x").await.location(), "acr_values").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_attempt_then_a_page_that_says_what_was_missing() {
    let site = site().await;
    let person = site.signed_in().await;
    let before = session_of(&person.fetch("/x").await);
    // The provider says so itself, or takes no notice and says something lower, or nothing.
    for fault in [None, Some(IdTokenFault::Acr("eidas1".into())), Some(IdTokenFault::WithoutAcr)] {
        let asks = person.navigate("/mfa/x").await;
        if fault.is_some() {
            site.provider.sign_in_as(at_level("eidas1-mfa"));
        }
        site.provider.faults().set(|faults| faults.id_token = fault);
        let (code, callbacks) = (asks.location().to_owned(), site.provider.counters().authorize);
        let answered = person.navigate(&code).await;
        let page = person.get(answered.location(), &[&NAVIGATION[..], &[("accept-language", "en")]].concat()).await;
        assert_error(&page, ErrorKind::AuthenticationLevelNotReached, Language::English).await;
        assert_eq!(site.provider.counters().authorize, callbacks + 1);
        // The session is as it was.
        assert_eq!(session_of(&person.fetch("/x").await), before);
        site.provider.faults().clear();
    }
    access_line_with("the step-up did not bring what was asked for: acr is none of those").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_person_who_comes_back_is_a_page_and_no_switch() {
    let site = site().await;
    let person = site.signed_in().await;
    let before = session_of(&person.fetch("/x").await);
    let cookie = person.cookie(SESSION).unwrap();
    let asks = person.navigate("/mfa/x").await;
    let other = Agent { acr: "eidas3".to_owned(), ..Agent::new("Jean", "Autre", "jean.autre@example.org") };
    site.provider.sign_in_as(other);
    // The hint is only a hint: a browser may lose it.
    let (address, query) = asks.location().split_once('?').unwrap();
    let unhinted: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("login_hint=")).collect();
    let answered = person.navigate(&format!("{address}?{}", unhinted.join("&"))).await;
    let page = person.navigate(answered.location()).await;
    assert_error(&page, ErrorKind::OtherPerson, Language::French).await;
    assert!(page.set_cookies().is_empty() && page.text().contains("action=\"/oauth2/sign_out\""));
    assert_eq!(person.cookie(SESSION).as_deref(), Some(cookie.as_str()));
    assert_eq!(session_of(&person.fetch("/x").await), before);
    assert_eq!(person.fetch("/mfa/x").await.status, 401);
    // Pressing again does not help either: its code is used up.
    assert_eq!(person.fetch("/mfa/x").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_hears_what_it_lacks_and_a_page_of_the_app_where_to_go() {
    let site = site().await;
    let person = site.signed_in().await;
    let answer = person.fetch("/mfa/data").await;
    assert_eq!((answer.status, answer.header("cache-control")), (401, Some("no-store")));
    let challenge = answer.header("www-authenticate").unwrap();
    assert_eq!(
        challenge,
        "Bearer realm=\"app.example\", error=\"insufficient_user_authentication\", error_description=\"A different \
         authentication level or a more recent authentication is needed\", acr_values=\"eidas1-mfa eidas2 eidas3\""
    );
    let body = answer.json();
    assert_eq!(
        (&body["error"], &body["acr_values"], &body["max_age"]),
        (&json!("insufficient_user_authentication"), &json!(["eidas1-mfa", "eidas2", "eidas3"]), &Value::Null)
    );
    // A WebSocket is opened by a program.
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", ORIGIN),
    ];
    assert_eq!(person.get("/mfa/ws", &handshake).await.status, 401);
    // Where the page of a script leads the browser.
    let start = format!("{}&rd=%2Fmfa%2Fpage%23part", body["step_up"].as_str().unwrap());
    let asks = person.navigate(&start).await;
    assert_eq!(essential(asks.location()), json!(["eidas1-mfa", "eidas2", "eidas3"]));
    site.provider.sign_in_as(at_level("eidas2"));
    let answered = person.navigate(asks.location()).await;
    let back = person.navigate(answered.location()).await;
    assert_eq!(back.location(), "https://app.example/mfa/page#part");
    assert_eq!(person.fetch("/mfa/data").await.status, 200);
    site.clock.advance(AGE);
    let answer = person.fetch("/fresh/x").await;
    assert!(answer.header("www-authenticate").unwrap().ends_with(", acr_values=\"eidas2 eidas3\", max_age=\"900\""));
    // Nobody is lowered by a link: what comes back has to be as high, whatever was asked for.
    let asks = person.navigate("/oauth2/start?acr_values=eidas0&rd=/x").await;
    site.provider.sign_in_as(at_level("eidas0"));
    let answered = person.navigate(asks.location()).await;
    let page = person.navigate(answered.location()).await;
    assert_error(&page, ErrorKind::AuthenticationLevelNotReached, Language::French).await;
    assert_eq!(person.fetch("/mfa/data").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recent_proof_is_had_by_ending_the_providers_session_first_and_is_looked_at() {
    let site = site().await;
    let person = site.signed_in().await;
    assert_eq!(person.fetch("/fresh/x").await.status, 200);
    let before = session_of(&person.fetch("/x").await);
    site.clock.advance(AGE);
    let first_leg = person.navigate("/fresh/x?y").await;
    assert!(first_leg.location().starts_with(&format!("{}/session/end?", site.provider.issuer())));
    assert!(parameter(first_leg.location(), "id_token_hint").is_some());
    // Going around the first leg: the provider has its session still, and its age is seen.
    let state = parameter(first_leg.location(), "state").unwrap();
    let around = person.navigate(&format!("/oauth2/signed_out?state={state}")).await;
    let answered = person.navigate(around.location()).await;
    let page = person.navigate(answered.location()).await;
    assert_error(&page, ErrorKind::ProofTooOld, Language::French).await;
    access_line_with("auth_time is older than max_age").await;
    assert_eq!(session_of(&person.fetch("/x").await), before);
    // That way is gone once only, and by nobody else.
    let again = person.navigate(&format!("/oauth2/signed_out?state={state}")).await;
    assert_eq!((again.status, again.header("location")), (200, None));
    let stranger = site.signed_in().await;
    let first_leg = person.navigate("/fresh/x?y").await;
    let state = parameter(first_leg.location(), "state").unwrap();
    assert_eq!(stranger.navigate(&format!("/oauth2/signed_out?state={state}")).await.status, 200);
    let taken = person.get(&format!("/oauth2/callback?state={state}&code=x"), &NAVIGATION).await;
    assert_error(&taken, ErrorKind::SignInExpired, Language::French).await;
    // The whole way.
    let second_leg = person.navigate(person.navigate(first_leg.location()).await.location()).await;
    assert!(second_leg.location().starts_with(&format!("{}/authorize?", site.provider.issuer())));
    assert_eq!(parameter(second_leg.location(), "login_hint"), Some(agent().email));
    site.provider.sign_in_as(agent());
    let back = person.follow(second_leg).await;
    assert_eq!((back.status, back.url.as_str()), (200, "https://app.example/fresh/x?y"));
    assert_eq!(session_of(&back), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_waits_for_the_step_up() {
    let site = site().await;
    let person = site.signed_in().await;
    let headers = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("origin", ORIGIN),
        ("accept-language", "en"),
        ("referer", "https://app.example/edit"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let kept = person.send(Method::POST, "/mfa/save", &headers, b"a=1&b=two".to_vec()).await;
    let text = kept.text();
    assert_eq!(kept.status, 401, "{text}");
    assert!(text.contains("It has been kept") && text.contains("Identify yourself once more"), "{text}");
    assert!(text.contains(&format!("name=\"acr_values\" value=\"{LEVELS}\"")), "{text}");
    let rd = text.split("name=\"rd\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let encoded: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
    let form = format!("rd={encoded}&acr_values={}", LEVELS.replace(' ', "+"));
    let asks = person.submit("/oauth2/start", &form).await;
    assert_eq!(essential(asks.location()), json!(["eidas1-mfa", "eidas2", "eidas3"]));
    site.provider.sign_in_as(at_level("eidas3"));
    let offered = person.follow(asks).await;
    assert!(offered.status == 200 && offered.text().contains("value=\"two\""), "{}", offered.text());
    let mut pressed = headers;
    let page = format!("{ORIGIN}{rd}");
    (pressed[2], pressed[4]) = (("origin", ORIGIN), ("referer", page.as_str()));
    let sent = person.send(Method::POST, &rd, &pressed, b"a=1&b=two".to_vec()).await;
    assert_eq!((sent.status, sent.location()), (307, "https://app.example/mfa/save"));
    assert_eq!(person.send(Method::POST, "/mfa/save", &pressed, b"a=1&b=two".to_vec()).await.status, 200);
    // What cannot be kept is not lost without a word.
    let other = site.signed_in().await;
    let mut foreign = headers;
    foreign[5] = ("content-type", "application/octet-stream");
    site.provider.sign_in_as(agent());
    let lost = other.send(Method::POST, "/never/save", &foreign, b"x".to_vec()).await;
    assert_eq!(lost.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_renewal_does_not_say_anew_is_not_kept() {
    let site = site().await;
    let person = stepped_up(&site).await;
    site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::IdToken(IdTokenFault::WithoutAcr)));
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!((person.fetch("/x").await.status, person.fetch("/mfa/x").await.status), (200, 401));
    let lowered = stepped_up(&site).await;
    site.provider
        .faults()
        .set(|faults| faults.refresh = Some(RefreshFault::IdToken(IdTokenFault::Acr("eidas0".into()))));
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!((lowered.fetch("/x").await.status, lowered.fetch("/mfa/x").await.status), (200, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_sign_in_and_another_browsers_step_up_raise_nobody() {
    let site = site().await;
    let person = site.signed_in().await;
    // The state of a plain sign-in brings what a plain sign-in brings.
    let plain = person.navigate("/oauth2/start?rd=/mfa/x").await;
    let back = person.navigate(person.navigate(plain.location()).await.location()).await;
    assert_eq!(back.location(), "https://app.example/mfa/x");
    assert_eq!(person.fetch("/mfa/x").await.status, 401);
    // A step-up that is answered in another browser: nothing of the answer counts there.
    let asks = person.navigate("/mfa/x").await;
    site.provider.sign_in_as(at_level("eidas3"));
    let answered = person.navigate(asks.location()).await;
    let thief = site.client();
    site.provider.sign_in_as(agent());
    assert_eq!(thief.browse("/x").await.status, 200);
    let taken = thief.navigate(answered.location()).await;
    assert_eq!((taken.status, taken.location()), (302, "https://app.example/mfa/x"));
    assert_eq!(thief.fetch("/mfa/x").await.status, 401);
    // Somebody without a cookie of ours gets a page.
    assert_eq!(site.client().navigate(answered.location()).await.status, 400);
    // And the one whose it is has it still.
    assert_eq!(person.follow(answered).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bearer_token_is_judged_by_what_it_says_of_the_sign_in() {
    let issuer = Issuer::start().await;
    let key = "vsk_the-service-key-of-the-step-up-test";
    never_logged(key);
    let more = format!(
        "bearer:\n  api: {{kind: jwt, issuer: \"{}\", audience: \"https://api.example\", timeout: 3m}}\n  \
         services: {{kind: keys, keys: [{{name: robot, sha256: {}}}]}}\n",
        issuer.url,
        vestibule::bearer::hash_of(key)
    );
    let site = Site::with(Setup { routes: ROUTES.to_owned(), more, ..Setup::default() }).await;
    let client = site.client();
    let ask = async |more: Value| {
        let mut claims = json!({
            "iss": issuer.url, "aud": "https://api.example", "sub": "s", "client_id": "c", "jti": "j",
            "iat": START, "exp": START + 600,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = issuer.access_token(&claims);
        client.get("/api/x", &[("authorization", &format!("Bearer {token}"))]).await
    };
    assert_eq!(ask(json!({"acr": "gold", "auth_time": START - 100})).await.status, 200);
    for (claims, asked) in [
        (json!({"acr": "silver", "auth_time": START - 100}), "acr_values=\"gold\""),
        (json!({"acr": "gold", "auth_time": START - 300}), "acr_values=\"gold\", max_age=\"300\""),
        (json!({"acr": "gold"}), "acr_values=\"gold\", max_age=\"300\""),
        (json!({}), "acr_values=\"gold\", max_age=\"300\""),
    ] {
        let answer = ask(claims.clone()).await;
        let challenge = answer.header("www-authenticate").unwrap();
        assert_eq!(answer.status, 401, "{claims}");
        assert!(
            challenge.contains("error=\"insufficient_user_authentication\"") && challenge.ends_with(asked),
            "{challenge}"
        );
    }
    assert_eq!(ask(json!({"acr": "gold", "auth_time": START + 86_400})).await.status, 401);
    // A program of the configuration cannot sign in.
    let robot = client.get("/api/x", &[("authorization", &format!("Bearer {key}"))]).await;
    assert_eq!((robot.status, &robot.json()["error"]), (403, &json!("not_admitted")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_that_asks_leads_there_as_to_the_sign_in() {
    for (mode, status) in [("sign-in", 302), ("status", 401)] {
        let more = format!("trusted_proxies: [127.0.0.1]\nforward_auth: {{from: nginx, not_signed_in: {mode}}}\n");
        let site = site_with(&more).await;
        let person = site.signed_in().await;
        let url = format!("{ORIGIN}/mfa/x?y=1");
        let asked = [("x-original-url", url.as_str()), ("x-original-method", "GET")];
        let page = person.get("/oauth2/auth", &[&NAVIGATION[..], &asked].concat()).await;
        assert_eq!(page.status, status, "{}", page.text());
        let asks = if status == 302 {
            page
        } else {
            // What nginx puts in the place of our answer.
            let query = page.header("x-vestibule-step-up").unwrap();
            let target = [("x-auth-request-redirect", "/mfa/x?y=1")];
            person.get(&format!("/oauth2/start?{query}"), &[&NAVIGATION[..], &target].concat()).await
        };
        assert_eq!(essential(asks.location()), json!(["eidas1-mfa", "eidas2", "eidas3"]));
        site.provider.sign_in_as(at_level("eidas1-mfa"));
        let answered = person.navigate(asks.location()).await;
        assert_eq!(person.navigate(answered.location()).await.location(), url);
        assert_eq!(person.get("/oauth2/auth", &asked).await.status, 202);
        let program = site.client();
        program.set_cookie(SESSION, "x");
        assert_eq!(program.get("/oauth2/auth", &asked).await.status, 401);
    }
}
