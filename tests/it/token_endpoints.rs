//! An app that keeps an access token in its page's memory: the whole of what it is offered, by a
//! scripted client that does what such an app does, and what must not come of it.

mod cookieless;
mod elsewhere;

use super::support::client::{Answer, Client, NAVIGATION};
use super::support::log_watch::{access_line_with, never_logged};
use super::support::shown::{LOGIN, SESSION, email_at_app, header_at_app};
use super::support::site::{ADMIN_TOKEN, ORIGIN, Setup, Site};
use super::support::socket::{close_of, echoes};
use super::support::waiting::{promptly, until_well};
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use vestibule::demo::provider::{Agent, Down};

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const CALLBACK: &str = "/auth/callback";
const ENDPOINTS: &str = "authorize: /api/authorize, token: /api/token, refresh: /api/refresh, logout: /api/logout, callback: /auth/callback";
const KEYS: &str = "keys: [{id: k1, secret: {env: SESSION_KEY}}]";

/// What a script of one of our own pages sends along.
const SCRIPT: [(&str, &str); 5] = [
    ("origin", ORIGIN),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("accept", "application/json, text/plain, */*"),
];

fn setup(endpoints: &str, session: &str, more: &str) -> Setup {
    Setup {
        routes: "[{path: /auth/callback, access: public, upstream: app}, {path: /open/**, access: public, upstream: app}, \
                 {path: /kept/**, upstream: app, client_authorization: keep}, \
                 {path: /theirs/**, upstream: app, credentials: {kind: token, token: access_token}}, \
                 {path: /theirs-kept/**, upstream: app, credentials: {kind: token, token: access_token}, client_authorization: keep}, \
                 {path: /api/**, upstream: app, strip_prefix: /api}, {path: /**, upstream: app}]"
            .to_owned(),
        more: format!("token_endpoints: {{{ENDPOINTS}{endpoints}}}\nsession: {{{session}{KEYS}}}\n{more}"),
        register: |client| {
            client.redirect_uris = vec![format!("{ORIGIN}{CALLBACK}"), format!("{ORIGIN}/oauth2/callback")];
        },
        ..Setup::default()
    }
}

async fn site() -> Site {
    Site::with(setup("", "idle: 4h, ", "admin: {token: {env: ADMIN_TOKEN}}\n")).await
}

/// What a page holds in its memory.
#[derive(Clone, Debug)]
struct Held {
    token: String,
    state: String,
    expires_in: u64,
}

impl Held {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.json();
        assert_eq!(body["token_type"], "Bearer");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let held = Self {
            token: text("access_token"),
            state: text("state"),
            expires_in: body["expires_in"].as_u64().unwrap(),
        };
        assert!(held.token.starts_with("vat_"));
        never_logged(&held.token);
        never_logged(&held.state);
        held
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// A script's POST of JSON, with these headers besides.
async fn post(client: &Client, path: &str, body: &Value, more: &[(&str, &str)]) -> Answer {
    let headers = [&SCRIPT[..], &[("content-type", "application/json")], more].concat();
    client.send(Method::POST, path, &headers, body.to_string().into_bytes()).await
}

/// What a script reads with this token, and nothing else where `client` has no cookies.
async fn get(client: &Client, path: &str, bearer: &str) -> Answer {
    client.get(path, &[&SCRIPT[1..], &[("authorization", bearer)]].concat()).await
}

async fn authorize(client: &Client) -> (String, String) {
    let answer = until_well(async || client.get("/api/authorize", &SCRIPT[1..]).await).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    never_logged(&text("state"));
    (text("authorize_url"), text("state"))
}

/// What the provider sends back to the app's own route.
async fn back(client: &Client, authorize_url: &str, callback: &str) -> (String, String) {
    let mut answer = client.navigate(authorize_url).await;
    loop {
        let next = url::Url::parse(&answer.url).unwrap().join(answer.location()).unwrap();
        if next.as_str().starts_with(callback) {
            let parameter = |name: &str| next.query_pairs().find(|(held, _)| held == name).unwrap().1.into_owned();
            never_logged(&parameter("code"));
            return (parameter("code"), parameter("state"));
        }
        answer = client.navigate(next.as_str()).await;
    }
}

/// An app that has signed its person in.
async fn signed_in(client: &Client) -> Held {
    let (url, state) = authorize(client).await;
    let (code, echoed) = back(client, &url, &format!("{ORIGIN}{CALLBACK}")).await;
    assert_eq!(state, echoed);
    Held::of(&post(client, "/api/token", &json!({"code": code, "state": state}), &[]).await)
}

async fn refresh(client: &Client, held: &Held) -> Answer {
    // As an interceptor does: the token that has just failed goes along.
    post(client, "/api/refresh", &json!({"state": held.state}), &[("authorization", &held.bearer())]).await
}

fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{}", answer.text());
    assert!(answer.set_cookies().iter().all(|cookie| !cookie.starts_with(SESSION)), "{:?}", answer.set_cookies());
}

/// A request with a token that does not count.
fn not_counted(answer: &Answer) {
    refused(answer, 401, "invalid_token");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer ") && challenge.contains(r#"error="invalid_token""#), "{challenge}");
}

fn identity_of(answer: &Answer) -> Vec<Option<String>> {
    let names = ["x-auth-request-user", "x-auth-request-email", "x-auth-request-groups", "x-vestibule-session"];
    names.iter().map(|name| header_at_app(answer, name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_keeps_is_reached_with_the_token_alone() {
    let site = Site::with(setup("", "data: {of: session}, ", "")).await;
    let (page, program) = (site.client(), site.client());
    let (held, data) = (signed_in(&page).await, "/oauth2/session/data");
    let put = async |client: &Client, bearer: &str, origin: &str| {
        let headers = [("authorization", bearer), ("origin", origin), ("content-type", "application/json")];
        client.send(Method::PUT, data, &headers, b"{\"a\":1}".to_vec()).await
    };
    // It does not come along by itself, so nothing asks whose page sent it.
    let made = put(&program, &held.bearer(), "https://other.example").await;
    assert_eq!((made.status, made.set_cookies().len()), (201, 0), "{}", made.text());
    assert_eq!(get(&page, data, &held.bearer()).await.text(), "{\"a\":1}");
    assert_eq!(page.fetch(data).await.text(), "{\"a\":1}");
    // One that does not count is rescued by no cookie; one that is not ours counts for nothing.
    not_counted(&put(&page, &format!("{}x", held.bearer()), ORIGIN).await);
    refused(&put(&page, "Bearer abc", "https://evil.example").await, 403, "other_site");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_a_token_uses_it_gets_another_and_signs_out() {
    let site = site().await;
    let (page, program) = (site.client(), site.client());
    assert_eq!(page.get("/api/chat", &SCRIPT[1..]).await.status, 401);
    // The callback's page is the app's, for nobody in particular.
    assert_eq!(page.navigate("/auth/callback?code=x&state=y").await.status, 200);
    let held = signed_in(&page).await;
    assert_eq!(held.expires_in, 300);
    let mut names = page.cookie_names();
    names.retain(|name| name == SESSION || name == LOGIN);
    assert_eq!(names.len(), 2, "{names:?}");

    // By the token alone, and as the cookie has it.
    let by_token = get(&program, "/api/chat?x=y", &held.bearer()).await;
    assert_eq!(by_token.json()["target"], "/chat?x=y");
    assert_eq!(email_at_app(&by_token).as_deref(), Some(EMAIL));
    let by_cookie = page.get("/api/chat", &SCRIPT[1..]).await;
    assert_eq!(identity_of(&by_token), identity_of(&by_cookie));
    assert!(identity_of(&by_token)[3].is_some());
    // No cookie stands behind it: another site's page has nothing to borrow.
    for origin in ["https://evil.example", "null"] {
        let headers = [("origin", origin), ("sec-fetch-site", "cross-site"), ("authorization", &held.bearer())];
        assert_eq!(program.send(Method::POST, "/api/chat", &headers, Vec::new()).await.status, 200, "{origin}");
    }
    // The app does not see it, unless its route says so.
    for (path, sees) in [("/api/chat", false), ("/open/x", false), ("/kept/x", true)] {
        let seen = header_at_app(&get(&program, path, &held.bearer()).await, "authorization");
        assert_eq!(seen, sees.then(|| held.bearer()), "{path}");
    }
    // Others' tokens are nothing to us, and go on as they came.
    let others = get(&page, "/api/chat", "Bearer abc").await;
    assert_eq!(header_at_app(&others, "authorization").as_deref(), Some("Bearer abc"));

    // It ends, and the same `state` gets the next one, time and again.
    site.clock.advance(Duration::from_secs(299));
    assert_eq!(get(&program, "/api/chat", &held.bearer()).await.status, 200);
    site.clock.advance(Duration::from_secs(1));
    not_counted(&get(&program, "/api/chat", &held.bearer()).await);
    not_counted(&get(&page, "/api/chat", &held.bearer()).await);
    let mut next = held.clone();
    for _ in 0..3 {
        let answer = refresh(&page, &Held { state: held.state.clone(), ..next.clone() }).await;
        assert!(answer.set_cookies().iter().all(|cookie| !cookie.contains("Max-Age=0")));
        let renewed = Held::of(&answer);
        assert_ne!(renewed.token, next.token);
        let chat = get(&program, "/api/chat", &renewed.bearer()).await;
        assert!(chat.set_cookies().is_empty());
        assert_eq!(identity_of(&chat), identity_of(&by_cookie));
        next = renewed;
        site.clock.advance(Duration::from_secs(301));
    }
    let current = Held::of(&refresh(&page, &next).await);

    let out = post(&page, "/api/logout", &json!({"state": held.state}), &[("authorization", &current.bearer())]).await;
    assert_eq!((out.status, out.json()), (200, json!({"signed_out": true})));
    assert_eq!(page.cookie(SESSION), None);
    not_counted(&get(&program, "/api/chat", &current.bearer()).await);
    refused(&refresh(&page, &current).await, 401, "invalid_grant");
    // Nothing is left to sign out of, which is no error.
    let headers = [&SCRIPT[..], &[]].concat();
    assert_eq!(page.send(Method::POST, "/api/logout", &headers, Vec::new()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_counts_once_in_its_own_browser_and_at_its_own_end() {
    let site = site().await;
    let (page, other, bare) = (site.client(), site.client(), site.client());
    let invalid = async |client: &Client, code: &str, state: &str| {
        let answer = post(client, "/api/token", &json!({"code": code, "state": state}), &[]).await;
        refused(&answer, 400, "invalid_state");
        assert_eq!(answer.json()["detail"], "Invalid state");
    };
    authorize(&other).await;
    let (url, state) = authorize(&page).await;
    let (code, _) = back(&page, &url, &format!("{ORIGIN}{CALLBACK}")).await;
    invalid(&page, &code, "").await;
    invalid(&page, &code, "x").await;
    invalid(&page, &code, &format!("{state}A")).await;
    refused(&post(&page, "/api/token", &json!({"code": code}), &[]).await, 400, "invalid_state");
    // In another browser, with a login cookie of its own and without.
    invalid(&other, &code, &state).await;
    invalid(&bare, &code, &state).await;
    // At our own callback it is nothing, and the callback's is nothing here.
    let stray = page.navigate(&format!("/oauth2/callback?code={code}&state={state}")).await;
    assert_eq!(stray.status, 400, "{}", stray.text());
    assert_eq!(page.cookie(SESSION), None);
    let start = page.navigate("/oauth2/start").await;
    let (callbacks_code, callbacks_state) = back(&page, start.location(), &format!("{ORIGIN}/oauth2/callback")).await;
    invalid(&page, &callbacks_code, &callbacks_state).await;
    // None of that used it up.
    let held = Held::of(&post(&page, "/api/token", &json!({"code": code, "state": state}), &[]).await);
    invalid(&page, &code, &state).await;
    // Nor is what came with a token a `state`.
    invalid(&page, &code, &held.state).await;

    // A code that the provider does not take; its `state` is used up by it.
    let (url, state) = authorize(&page).await;
    let (code, _) = back(&page, &url, &format!("{ORIGIN}{CALLBACK}")).await;
    let answer = post(&page, "/api/token", &json!({"code": "invented", "state": state}), &[]).await;
    refused(&answer, 401, "invalid_grant");
    assert!(answer.header("www-authenticate").is_some());
    invalid(&page, &code, &state).await;
    // No code at all.
    let (_, state) = authorize(&page).await;
    let answer = post(&page, "/api/token", &json!({"code": null, "state": state}), &[]).await;
    refused(&answer, 400, "invalid_request");
    // `iss` need not be handed on, and has to be right where it is.
    for (iss, status) in [("https://other.example", 401), (site.provider.issuer(), 200)] {
        let (url, state) = authorize(&page).await;
        let (code, _) = back(&page, &url, &format!("{ORIGIN}{CALLBACK}")).await;
        let body = json!({"code": code, "state": state, "iss": iss});
        assert_eq!(post(&page, "/api/token", &body, &[]).await.status, status, "{iss}");
    }
    // It took too long.
    let (url, state) = authorize(&page).await;
    let (code, _) = back(&page, &url, &format!("{ORIGIN}{CALLBACK}")).await;
    site.clock.advance(Duration::from_secs(3600));
    invalid(&page, &code, &state).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_changed_by_what_other_sites_or_forms_send() {
    let site = site().await;
    let page = site.client();
    let held = signed_in(&page).await;
    let json_type = ("content-type", "application/json");
    let foreign: [&[(&str, &str)]; 6] = [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.app.example"), ("sec-fetch-site", "same-site")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.example")],
        &[("origin", ORIGIN), ("origin", "https://evil.example")],
    ];
    let body = json!({"state": held.state, "code": "x"}).to_string().into_bytes();
    for path in ["token", "refresh", "logout"] {
        for headers in foreign {
            for path in [format!("/oauth2/{path}"), format!("/api/{path}")] {
                let headers = [headers, &[json_type]].concat();
                let answer = page.send(Method::POST, &path, &headers, body.clone()).await;
                refused(&answer, 403, "other_site");
                assert!(answer.header("access-control-allow-origin").is_none());
            }
        }
        // Nor does a program whose page nobody knows.
        let answer = page.send(Method::POST, &format!("/oauth2/{path}"), &[json_type], body.clone()).await;
        refused(&answer, 403, "other_site");
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let headers = [&SCRIPT[..], &[("content-type", content_type)]].concat();
            let answer = page.send(Method::POST, &format!("/api/{path}"), &headers, body.clone()).await;
            refused(&answer, 415, "invalid_request");
        }
        let answer = page.get(&format!("/api/{path}"), &SCRIPT[1..]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{path}");
        let long = json!({"state": "x".repeat(20_000)});
        assert_eq!(post(&page, &format!("/api/{path}"), &long, &[]).await.status, 400, "{path}");
    }
    for bad in ["{", "[]", "null", r#"{"state":"a","state":"b"}"#] {
        let headers = [&SCRIPT[..], &[json_type]].concat();
        let answer = page.send(Method::POST, "/api/token", &headers, bad.as_bytes().to_vec()).await;
        refused(&answer, 400, "invalid_request");
    }
    assert_eq!(page.send(Method::POST, "/api/authorize", &SCRIPT, Vec::new()).await.status, 405);
    assert_eq!(get(&site.client(), "/api/chat", &held.bearer()).await.status, 200);
    Held::of(&refresh(&page, &held).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_does_not_count_is_rescued_by_nothing() {
    let site = site().await;
    let page = site.client();
    let held = signed_in(&page).await;
    let good = held.bearer();
    let cut = good[..good.len() - 1].to_owned();
    let cases: [&[(&str, &str)]; 5] = [
        &[("authorization", "Bearer vat_")],
        &[("authorization", "Bearer vat_AAAA")],
        &[("authorization", &cut)],
        &[("authorization", &good), ("authorization", &good)],
        &[("authorization", &good), ("authorization", "Basic dTpw")],
    ];
    for bad in cases {
        for path in ["/api/chat", "/oauth2/auth", "/oauth2/userinfo"] {
            not_counted(&page.get(path, &[&SCRIPT[1..], bad].concat()).await);
        }
        // Nor is it shown a page, or led anywhere.
        let answer = page.get("/x", &[&NAVIGATION[..], bad].concat()).await;
        not_counted(&answer);
        // Where nobody has to be anybody it is nobody, and the app does not see what was shown.
        let open = page.get("/open/x", &[&SCRIPT[1..], bad].concat()).await;
        assert_eq!((open.status, email_at_app(&open)), (200, None));
        let seen = header_at_app(&open, "authorization");
        assert!(seen.is_none_or(|seen| seen == "Basic dTpw"));
    }
    let line = get(&page, "/api/said-in-the-log", "Bearer vat_AAAA").await;
    not_counted(&line);
    let line = access_line_with("said-in-the-log").await;
    assert!(line["reason"].as_str().unwrap().contains("access token"), "{line}");
    // Nothing but that header is read.
    let bare = site.client();
    let token = &held.token;
    for path in [format!("/api/chat?access_token={token}"), format!("/api/chat?token={token}")] {
        refused(&bare.get(&path, &SCRIPT[1..]).await, 401, "not_signed_in");
    }
    let cookie = format!("{SESSION}={}", token.strip_prefix("vat_").unwrap());
    refused(&bare.get("/api/chat", &[&SCRIPT[1..], &[("cookie", &cookie)]].concat()).await, 401, "not_signed_in");
    let stolen = format!("Bearer vat_{}", page.cookie(SESSION).unwrap());
    not_counted(&get(&bare, "/api/chat", &stolen).await);
    let handle = format!("Bearer vat_{}", held.state);
    not_counted(&get(&bare, "/api/chat", &handle).await);
    // The good one at our own endpoints.
    assert_eq!(get(&bare, "/oauth2/userinfo", &good).await.json()["email"], EMAIL);
    let auth = get(&bare, "/oauth2/auth", &good).await;
    assert_eq!((auth.status, auth.header("x-auth-request-email")), (202, Some(EMAIL)));
    assert!(auth.set_cookies().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_session_ends_its_tokens_and_what_they_opened() {
    let site = site().await;
    for by in ["another tab", "an administrator", "logout by the token alone", "logout by state alone"] {
        let page = site.client();
        let held = signed_in(&page).await;
        let bare = site.client();
        let session = header_at_app(&get(&bare, "/api/chat", &held.bearer()).await, "x-vestibule-session").unwrap();
        let mut request = "ws://app.example/ws".into_client_request().unwrap();
        request.headers_mut().insert("authorization", held.bearer().parse().unwrap());
        let stream = TcpStream::connect(site.address).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(message)) if !message.to_string().contains("vat_")));
        match by {
            "another tab" => {
                page.submit("/oauth2/sign_out", "").await;
            }
            "an administrator" => {
                let bearer = format!("Bearer {ADMIN_TOKEN}");
                let headers = [("authorization", bearer.as_str())];
                let path = format!("/sessions/{session}");
                let done = Client::new(site.admin).send(Method::DELETE, &path, &headers, Vec::new()).await;
                assert_eq!(done.status, 204);
            }
            "logout by the token alone" => {
                let bearer = held.bearer();
                let headers = [&SCRIPT[..], &[("authorization", &bearer)]].concat();
                assert_eq!(bare.send(Method::POST, "/api/logout", &headers, Vec::new()).await.status, 200);
            }
            _ => assert_eq!(post(&bare, "/api/logout", &json!({"state": held.state}), &[]).await.status, 200),
        }
        not_counted(&get(&bare, "/api/chat", &held.bearer()).await);
        promptly(by, Duration::from_secs(1), close_of(&mut socket)).await;
        refused(&refresh(&page, &held).await, 401, "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_does_not_keep_a_session_from_its_sign_out() {
    let site = site().await;
    for method in [Method::GET, Method::POST] {
        for bearer in ["its own", "its own, expired", "nonsense", "another person's"] {
            let (page, other) = (site.client(), site.client());
            let held = signed_in(&page).await;
            let bearer = match bearer {
                "nonsense" => "Bearer vat_AAAA".to_owned(),
                "another person's" => {
                    site.provider.end_sessions();
                    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
                    signed_in(&other).await.bearer()
                }
                _ => held.bearer(),
            };
            if bearer == held.bearer() && method == Method::GET {
                site.clock.advance(Duration::from_secs(301));
            }
            let cookies = page.cookie_header("app.example").unwrap();
            let headers = [&SCRIPT[..], &[("authorization", &*bearer)]].concat();
            let out = page.send(method.clone(), "/oauth2/sign_out", &headers, Vec::new()).await;
            assert_eq!((out.status, out.json()), (200, json!({"signed_out": true})), "{method} {bearer}");
            // A copy of the cookie counts for nothing, nor does the token that came along.
            let copied = site.client().get("/api/chat", &[&SCRIPT[1..], &[("cookie", &*cookies)]].concat()).await;
            refused(&copied, 401, "not_signed_in");
            not_counted(&get(&site.client(), "/api/chat", &bearer).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_opens_is_not_given_the_token_that_scripts_repeat() {
    let site = Site::with(setup("", "", "csrf: {token: {}}\n")).await;
    let page = site.client();
    let held = signed_in(&page).await;
    for client in [&page, &site.client()] {
        for path in ["/api/chat", "/oauth2/auth"] {
            let answer = get(client, path, &held.bearer()).await;
            assert!(answer.set_cookies().is_empty(), "{path}: {:?}", answer.set_cookies());
        }
    }
    assert_eq!(page.get("/api/chat", &SCRIPT[1..]).await.set_cookies().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_connection_is_the_session_s_and_outlives_its_token() {
    let site = site().await;
    let page = site.client();
    let held = signed_in(&page).await;
    let mut request = "ws://app.example/ws".into_client_request().unwrap();
    request.headers_mut().insert("authorization", held.bearer().parse().unwrap());
    let stream = TcpStream::connect(site.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    socket.next().await.unwrap().unwrap();
    site.clock.advance(Duration::from_secs(600));
    not_counted(&get(&page, "/api/chat", &held.bearer()).await);
    assert!(echoes(&mut socket).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_takes_the_cookie_and_the_handle_of_one_person() {
    let site = site().await;
    let (page, bare) = (site.client(), site.client());
    let held = signed_in(&page).await;
    refused(&refresh(&bare, &held).await, 401, "invalid_grant");
    for state in ["", "x", &held.token] {
        refused(&post(&page, "/api/refresh", &json!({"state": state}), &[]).await, 401, "invalid_grant");
    }
    refused(&post(&page, "/api/refresh", &json!({}), &[]).await, 401, "invalid_grant");
    refused(&page.send(Method::POST, "/api/refresh", &SCRIPT, Vec::new()).await, 401, "invalid_grant");
    // A second tab of the same person signs in anew; the first goes on with the cookie of both.
    let second = signed_in(&page).await;
    not_counted(&get(&bare, "/api/chat", &held.bearer()).await);
    let first = Held::of(&refresh(&page, &held).await);
    let session = |answer: Answer| header_at_app(&answer, "x-vestibule-session");
    let by_first = session(get(&bare, "/api/chat", &first.bearer()).await);
    assert_eq!(by_first, session(get(&bare, "/api/chat", &second.bearer()).await));
    // Another person at the same browser: the page that shows the first one's data does not go on.
    site.provider.end_sessions();
    site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
    let other = signed_in(&page).await;
    refused(&refresh(&page, &first).await, 401, "invalid_grant");
    assert_eq!(
        email_at_app(&get(&bare, "/api/chat", &other.bearer()).await).as_deref(),
        Some("jean.autre@test.proconnect.gouv.fr")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_refreshes_at_once_ask_the_provider_once() {
    let site = site().await;
    let page = site.client();
    let held = signed_in(&page).await;
    site.clock.advance(Duration::from_secs(3601));
    let cookies = page.cookie_header("app.example").unwrap();
    let all = (0..20).map(|_| {
        let (client, cookies, state) = (site.client(), cookies.clone(), held.state.clone());
        async move {
            until_well(async || post(&client, "/api/refresh", &json!({"state": state}), &[("cookie", &cookies)]).await)
                .await
        }
    });
    for answer in join_all(all).await {
        let renewed = Held::of(&answer);
        assert_eq!(renewed.expires_in, 300);
        assert_eq!(get(&site.client(), "/api/chat", &renewed.bearer()).await.status, 200);
    }
    let counters = site.provider.counters();
    assert_eq!((counters.refreshed, counters.refresh_reuse), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_used_for_hours_and_its_session_does_not_count_as_idle() {
    let site = Site::with(setup(", lifetime: 30s", "idle: 10m, ", "")).await;
    let (page, program) = (site.client(), site.client());
    let mut held = signed_in(&page).await;
    let cookie_of_the_beginning = page.cookie_header("app.example").unwrap();
    for _ in 0..4 {
        for _ in 0..20 {
            site.clock.advance(Duration::from_secs(29));
            assert_eq!(get(&program, "/api/chat", &held.bearer()).await.status, 200);
            site.clock.advance(Duration::from_secs(1));
            held = Held::of(&refresh(&page, &held).await);
        }
    }
    // Its cookie was seen long ago, and its tokens a moment ago.
    let more = [("cookie", cookie_of_the_beginning.as_str())];
    Held::of(&post(&site.client(), "/api/refresh", &json!({"state": held.state}), &more).await);
    // And nobody was there for ten minutes.
    site.clock.advance(Duration::from_secs(601));
    refused(&refresh(&page, &held).await, 401, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_no_sign_out_and_no_refusal() {
    let site = site().await;
    let page = site.client();
    let held = signed_in(&page).await;
    let (url, state) = authorize(&page).await;
    let (code, _) = back(&page, &url, &format!("{ORIGIN}{CALLBACK}")).await;
    site.provider.faults().set(|faults| faults.down = Some(Down::Unavailable));
    let answer = post(&page, "/api/token", &json!({"code": code, "state": state}), &[]).await;
    assert!([502, 503].contains(&answer.status), "{} {}", answer.status, answer.text());
    assert!(answer.json()["error"].is_string());
    // The session goes on for a while without it.
    site.clock.advance(Duration::from_secs(3601));
    let held = Held::of(&refresh(&page, &held).await);
    assert_eq!(get(&site.client(), "/api/chat", &held.bearer()).await.status, 200);
    site.clock.advance(Duration::from_secs(3600));
    let answer = refresh(&page, &held).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    site.provider.faults().clear();
    site.clock.advance(Duration::from_secs(11));
    Held::of(&refresh(&page, &held).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_s_token_takes_the_place_of_ours_where_a_route_says_so() {
    for keep in ["cookie", "store"] {
        let site = Site::with(setup("", &format!("keep: {keep}, "), "")).await;
        let (page, bare) = (site.client(), site.client());
        let held = signed_in(&page).await;
        for path in ["/theirs/x", "/theirs-kept/x"] {
            // With its cookies it works either way; without, where the tokens are not in them.
            let with = header_at_app(&get(&page, path, &held.bearer()).await, "authorization").unwrap();
            assert!(with.starts_with("Bearer ") && !with.contains("vat_"), "{keep} {path}");
            let without = get(&bare, path, &held.bearer()).await;
            if keep == "store" {
                assert_eq!(header_at_app(&without, "authorization").as_ref(), Some(&with));
            } else {
                assert_eq!((without.status, &without.json()["error"]), (400, &json!("sign_in_expired")));
            }
            assert!(without.set_cookies().is_empty());
        }
        // What is an API client's own stays its own.
        let own = get(&page, "/theirs-kept/x", "Bearer their-own").await;
        assert_eq!(header_at_app(&own, "authorization").as_deref(), Some("Bearer their-own"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_beside_another_person_s_cookies_takes_nothing_of_them() {
    for keep in ["cookie", "store"] {
        let site = Site::with(setup("", &format!("keep: {keep}, "), "")).await;
        let (page, other) = (site.client(), site.client());
        let held = signed_in(&page).await;
        site.provider.end_sessions();
        site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@test.proconnect.gouv.fr"));
        signed_in(&other).await;
        let theirs = header_at_app(&other.get("/theirs/x", &SCRIPT[1..]).await, "authorization").unwrap();
        let before = other.cookie(SESSION);
        site.clock.advance(Duration::from_secs(120));
        let answer = get(&other, "/api/chat", &held.bearer()).await;
        assert_eq!(email_at_app(&answer).as_deref(), Some(EMAIL));
        assert!(answer.set_cookies().is_empty() && other.cookie(SESSION) == before);
        let answer = get(&other, "/theirs/x", &held.bearer()).await;
        if keep == "store" {
            assert_ne!(header_at_app(&answer, "authorization").unwrap(), theirs);
        } else {
            assert_eq!(answer.status, 400, "{}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_setting_there_are_no_such_endpoints_and_no_such_tokens() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    for (method, path) in
        [(Method::GET, "authorize"), (Method::POST, "token"), (Method::POST, "refresh"), (Method::POST, "logout")]
    {
        let answer = client.send(method, &format!("/oauth2/{path}"), &SCRIPT, Vec::new()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let answer = get(&client, "/x", "Bearer vat_AAAA").await;
    assert_eq!(header_at_app(&answer, "authorization").as_deref(), Some("Bearer vat_AAAA"));
    assert_eq!(email_at_app(&answer).as_deref(), Some(EMAIL));
}
