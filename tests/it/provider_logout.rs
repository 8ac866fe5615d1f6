//! The provider ends sessions here: by a logout token from server to server, or by a frame on its
//! own page. Only what it names ends, only on its word, and only once.

use crate::support::binary::{Configuration, Vestibule};
use crate::support::browser::Browser;
use crate::support::client::{Answer, Client};
use crate::support::counterparts::require;
use crate::support::echo::Echo;
use crate::support::log_watch::access_line_with;
use crate::support::ports::free_port;
use crate::support::shown::{LOGIN, SESSION, parameter};
use crate::support::site::{CLIENT_SECRET, Setup, Site, agent};
use crate::support::socket::{close_of, socket};
use http::Method;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use vestibule::clock::Clock;
use vestibule::demo::Provider;
use vestibule::demo::provider::{
    Agent, Client as Registration, Delivery, DiscoveryFault, LogoutTokenFault, LogoutUris, ProviderSettings,
};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

const BACK: &str = "/oauth2/backchannel_logout";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn another() -> Agent {
    Agent::new("Zoé", "Diallo", "zoe.diallo@test.proconnect.gouv.fr")
}

/// A logout token as the provider would send it now.
fn token(site: &Site, sub: Option<&str>, sid: Option<&str>) -> String {
    site.provider.logout_token("app", sub, sid).unwrap()
}

async fn post(site: &Site, token: &str) -> Answer {
    site.client().send(Method::POST, BACK, &[FORM], format!("logout_token={token}").into_bytes()).await
}

/// A client that has signed in, and the `sid` of its session at the provider.
async fn signed_in(site: &Site) -> (Client, String) {
    // Sessions are told apart by when they began.
    site.clock.advance(seconds(1));
    let client = site.signed_in().await;
    (client, site.provider.sessions_of(&agent().sub).pop().unwrap())
}

async fn lives(client: &Client) -> bool {
    match client.fetch("/").await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

async fn counted(site: &Site, channel: &str, outcome: &str) -> u64 {
    let name = format!("vestibule_provider_logouts_total{{channel=\"{channel}\",outcome=\"{outcome}\"}} ");
    let metrics = Client::new(site.admin).get("/metrics", &[]).await.text();
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

fn assert_done(answer: &Answer) {
    assert_eq!((answer.status, answer.header("cache-control"), answer.text().as_str()), (200, Some("no-store"), ""));
    assert!(answer.set_cookies().is_empty());
}

fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.header("cache-control")), (400, Some("no-store")), "{}", answer.text());
    assert_eq!(
        (answer.header("content-type"), answer.json()),
        (Some("application/json"), json!({"error": "invalid_request"}))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_token_names_ends_and_nothing_else_does() {
    let site = Site::start().await;
    let sub = agent().sub;
    let (one, first) = signed_in(&site).await;
    let (two, second) = signed_in(&site).await;
    let (three, _) = signed_in(&site).await;
    site.provider.sign_in_as(another());
    let other = site.signed_in().await;

    assert_done(&post(&site, &token(&site, None, Some(&first))).await);
    assert!(!lives(&one).await && lives(&two).await && lives(&three).await && lives(&other).await);
    // With both, the session is what ends.
    assert_done(&post(&site, &token(&site, Some(&sub), Some(&second))).await);
    assert!(!lives(&two).await && lives(&three).await && lives(&other).await);
    assert_done(&post(&site, &token(&site, Some(&sub), None)).await);
    assert!(!lives(&three).await && lives(&other).await);
    // Whoever is not known here is signed out here.
    assert_done(&post(&site, &token(&site, Some("nobody"), None)).await);
    assert_done(&post(&site, &token(&site, None, Some("no-session"))).await);
    assert!(lives(&other).await);
    assert_eq!(counted(&site, "back", "ended").await, 5);
    // A session that has ended is led to sign in, like any other.
    assert_eq!(one.navigate("/").await.status, 302);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_s_own_delivery_arrives() {
    let site = Site::start().await;
    let backchannel = Some(format!("http://{}{BACK}", site.address));
    site.provider.register_logout_uris("app", LogoutUris { backchannel, frontchannel: None });
    let sub = agent().sub;
    let ((one, first), (two, _)) = (signed_in(&site).await, signed_in(&site).await);
    let done = vec![Delivery { client_id: "app".to_owned(), status: Some(200) }];
    assert_eq!(site.provider.sign_out_session(&first).await, done);
    assert!(!lives(&one).await && lives(&two).await);
    assert_eq!(site.provider.sign_out_everywhere(&sub).await, done);
    assert!(!lives(&two).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_does_not_count_ends_nothing_and_the_log_says_why() {
    use LogoutTokenFault as F;
    let site = Site::start().await;
    let (client, sid) = signed_in(&site).await;
    let sub = agent().sub;
    let cases = [
        (F::Garbage, ""),
        (F::WrongKey, ""),
        (F::UnknownKey, ""),
        (F::AlgNone, ""),
        (F::HmacUnderPublicKey, ""),
        (F::TypedAccessToken, ""),
        (F::WrongIssuer, "iss is not the configured issuer"),
        (F::WrongAudience, "aud does not name this client"),
        (F::WithoutIssuedAt, "out of date"),
        (F::Old, "iat is too long ago"),
        (F::IssuedInFuture, "out of date"),
        (F::Expired, "out of date"),
        (F::WithoutId, "jti is missing or malformed"),
        (F::WithoutEvents, "events does not announce a logout"),
        (F::OtherEvent, "events does not announce a logout"),
        (F::WithNonce, "there is a nonce"),
        (F::NamesNobody, "it names neither a person nor a session"),
    ];
    let mut reasons = std::collections::BTreeSet::new();
    for (fault, why) in cases {
        site.provider.faults().set(|faults| faults.logout_token = Some(fault));
        let body = format!("logout_token={}", token(&site, Some(&sub), Some(&sid)));
        let host = format!("{fault:?}.example").to_lowercase();
        let answer = site.client().send(Method::POST, BACK, &[FORM, ("host", &host)], body.into_bytes()).await;
        assert_refused(&answer);
        assert!(lives(&client).await, "{fault:?}");
        let line = access_line_with(&host).await;
        let reason = line["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with(&format!("the logout token does not count: {why}")), "{fault:?}: {reason}");
        assert_eq!((&line["level"], &line["decision"]), (&json!("WARN"), &json!("backchannel_logout")), "{fault:?}");
        reasons.insert(reason);
    }
    assert!(reasons.len() >= 12, "{reasons:?}");
    assert_eq!(counted(&site, "back", "refused").await, 17);
    // What older providers write is good all the same.
    for fault in [F::TypedJwt, F::WithoutExpiry] {
        site.provider.faults().set(|faults| faults.logout_token = Some(fault));
        let (client, sid) = signed_in(&site).await;
        assert_done(&post(&site, &token(&site, None, Some(&sid))).await);
        assert!(!lives(&client).await, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_that_the_provider_signs_for_us_is_a_logout_token() {
    let site = Site::start().await;
    let (client, other) = (site.signed_in().await, site.signed_in().await);
    let out = client.submit("/oauth2/sign_out", "").await;
    let id_token = parameter(out.location(), "id_token_hint").unwrap();
    assert_refused(&post(&site, &id_token).await);
    assert!(lives(&other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_once_and_not_for_sessions_that_began_since() {
    let site = Site::start().await;
    let sub = agent().sub;
    let (client, sid) = signed_in(&site).await;
    let tokens = [token(&site, Some(&sub), None), token(&site, None, Some(&sid))];
    let again = async || {
        // The provider's session goes on, under the same name.
        client.drop_cookie(LOGIN);
        assert_eq!(client.browse("/").await.status, 200);
        assert_eq!(site.provider.sessions_of(&sub), [sid.as_str()]);
    };
    for token in &tokens {
        assert_done(&post(&site, token).await);
        assert!(!lives(&client).await);
        site.clock.advance(seconds(5));
        again().await;
        assert_refused(&post(&site, token).await);
        assert!(lives(&client).await, "a session that began since");
    }
    // Late, but for the first time.
    let late = [token(&site, Some(&sub), None), token(&site, None, Some(&sid))];
    site.clock.advance(seconds(61));
    assert!(lives(&client).await);
    let since = site.client();
    assert_eq!(since.browse("/").await.status, 200);
    for token in &late {
        assert_done(&post(&site, token).await);
        assert!(!lives(&client).await && lives(&since).await);
    }
    // Later than it counts.
    site.clock.advance(seconds(300));
    assert_refused(&post(&site, &tokens[0]).await);
    assert!(lives(&since).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_token_in_a_posted_form_is_a_request() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let sub = agent().sub;
    let good = || format!("logout_token={}", token(&site, Some(&sub), None));
    let send = async |method: Method, query: &str, headers: &[(&str, &str)], body: String| {
        // With the cookie of the session, which changes nothing.
        client.send(method, &format!("{BACK}{query}"), headers, body.into_bytes()).await
    };
    let json = ("content-type", "application/json");
    let multipart = ("content-type", "multipart/form-data; boundary=b");
    let refused: [(&[(&str, &str)], String); 11] = [
        (&[FORM], String::new()),
        (&[FORM], "logout_token=".to_owned()),
        (&[FORM], "logout_token".to_owned()),
        (&[FORM], good().to_uppercase()),
        (&[FORM], format!("{}&{}", good(), good())),
        (&[FORM], format!("{}&logout_token=", good())),
        (&[FORM], format!("{}&logout%5Ftoken=x", good())),
        (&[], good()),
        (&[json], good()),
        (&[json], json!({"logout_token": good()}).to_string()),
        (
            &[multipart],
            format!("--b\r\nContent-Disposition: form-data; name=\"logout_token\"\r\n\r\n{}\r\n--b--", good()),
        ),
    ];
    for (headers, body) in refused {
        assert_refused(&send(Method::POST, "", headers, body).await);
    }
    assert_refused(&send(Method::POST, &format!("?{}", good()), &[FORM], String::new()).await);
    let binary = client.send(Method::POST, BACK, &[FORM], b"logout_token=\xFF\xFE".to_vec()).await;
    assert_eq!((binary.status, binary.header("cache-control")), (400, Some("no-store")));
    let long = send(Method::POST, "", &[FORM], format!("logout_token={}", "a".repeat(17_000))).await;
    assert_eq!((long.status, long.header("cache-control")), (400, Some("no-store")));
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = send(method.clone(), &format!("?{}", good()), &[FORM], good()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method}");
    }
    assert!(lives(&client).await);
    // Other parameters are for others (§2.5), and the charset says nothing.
    let form = ("content-type", "application/x-www-form-urlencoded;charset=UTF-8");
    assert_done(&send(Method::POST, "?x=1", &[form], format!("a=1&{}&a=2", good())).await);
    assert!(!lives(&client).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_known_now_may_be_asked_again() {
    let down = |faults: &mut vestibule::demo::provider::Faults| faults.discovery = Some(DiscoveryFault::Unavailable);
    let site = Site::with(Setup { faults: down, ..Setup::default() }).await;
    let unavailable = |answer: &Answer| {
        assert_eq!((answer.status, answer.json()), (503, json!({"error": "temporarily_unavailable"})));
        assert_eq!((answer.header("cache-control"), answer.header("retry-after")), (Some("no-store"), Some("30")));
    };
    unavailable(&post(&site, &token(&site, Some("s"), None)).await);
    site.provider.faults().clear();
    site.clock.advance(seconds(10));
    assert_done(&post(&site, &token(&site, Some("s"), None)).await);
    assert_eq!(counted(&site, "back", "unavailable").await, 1);

    // A store that is away: over here at once, and the others have yet to hear of it.
    let more = format!("store: {{redis: 'redis://127.0.0.1:{}'}}\non_store_down: keep", free_port());
    let site = Site::with(Setup { more, ..Setup::default() }).await;
    let ((client, sid), (other, other_sid)) = (signed_in(&site).await, signed_in(&site).await);
    let token = token(&site, None, Some(&sid));
    for _ in 0..2 {
        unavailable(&post(&site, &token).await);
        assert!(!lives(&client).await && lives(&other).await);
    }
    let query = format!("?iss={}&sid=unknown", site.provider.issuer());
    assert_eq!(frame(&site.client(), &query).await.status, 503);
    let shown = format!("?iss={}&sid={other_sid}", site.provider.issuer());
    assert_eq!(frame(&other, &shown).await.status, 200);
    assert_eq!(other.cookie(SESSION), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_end_with_what_the_provider_ends() {
    let site = Site::start().await;
    let ((one, first), (two, second)) = (signed_in(&site).await, signed_in(&site).await);
    let (three, _) = signed_in(&site).await;
    let mut by_sid = socket(&site, "/ws", one.cookie_header("app.example")).await;
    let mut by_frame = socket(&site, "/ws", two.cookie_header("app.example")).await;
    let mut by_sub = socket(&site, "/ws", three.cookie_header("app.example")).await;
    post(&site, &token(&site, None, Some(&first))).await;
    let code_of = |frame: tokio_tungstenite::tungstenite::protocol::CloseFrame| u16::from(frame.code);
    assert_eq!(code_of(close_of(&mut by_sid).await), 1008);
    let query = format!("?iss={}&sid={second}", site.provider.issuer());
    frame(&site.client(), &query).await;
    assert_eq!(code_of(close_of(&mut by_frame).await), 1008);
    post(&site, &token(&site, Some(&agent().sub), None)).await;
    assert_eq!(code_of(close_of(&mut by_sub).await), 1008);
}

/// What a frame on the provider's page loads.
async fn frame(client: &Client, query: &str) -> Answer {
    let headers = [
        ("accept", "text/html"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "iframe"),
    ];
    client.get(&format!("/oauth2/frontchannel_logout{query}"), &headers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_on_the_provider_s_page_ends_the_session_that_it_names() {
    let site = Site::start().await;
    let (client, sid) = signed_in(&site).await;
    let (other, _) = signed_in(&site).await;
    let query = format!("?iss={}&sid={sid}", site.provider.issuer());

    // Without a cookie, as browsers send no cookie of ours into another site's frame.
    let answer = frame(&site.client(), &query).await;
    assert_eq!(answer.status, 200);
    let origin = format!("http://{}", site.provider.address());
    let policy = format!("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {origin}");
    for (name, value) in [
        ("content-security-policy", Some(policy.as_str())),
        ("x-frame-options", None),
        ("cache-control", Some("no-store")),
        ("content-type", Some("text/html; charset=utf-8")),
        ("referrer-policy", Some("no-referrer")),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(answer.set_cookies().is_empty());
    assert!(!lives(&client).await && lives(&other).await);
    // Its own browser is rid of the cookies by the next one; and nothing was left to end.
    assert!(client.cookie(SESSION).is_some());
    frame(&client, &query).await;
    assert!(client.cookie(SESSION).is_none());
    assert_eq!((counted(&site, "front", "ended").await, counted(&site, "front", "unknown").await), (1, 1));

    // The provider's session went on: whoever signs in from there is in.
    site.clock.advance(seconds(1));
    assert_eq!(client.browse("/").await.status, 200);
    assert_eq!(site.provider.sessions_of(&agent().sub).len(), 2);
    assert!(lives(&client).await);
    // With the cookie, where a browser does send it.
    frame(&client, &query).await;
    assert!(client.cookie(SESSION).is_none() && !lives(&client).await && lives(&other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_names_nothing_real_ends_nothing() {
    let site = Site::start().await;
    let (client, sid) = signed_in(&site).await;
    let issuer = site.provider.issuer().to_owned();
    let sub = agent().sub;
    let refused = [
        String::new(),
        "?".to_owned(),
        format!("?iss={issuer}"),
        format!("?sid={sid}"),
        format!("?iss={issuer}&sid="),
        format!("?iss=&sid={sid}"),
        format!("?iss={issuer}/&sid={sid}"),
        format!("?iss=https://another.example&sid={sid}"),
        format!("?iss={}&sid={sid}", issuer.to_uppercase()),
        format!("?iss={issuer}&iss={issuer}&sid={sid}"),
        format!("?iss={issuer}&sid={sid}&sid={sid}"),
        format!("?iss={issuer}&sid=x&sid={sid}"),
        format!("?iss={issuer}&%73id={sid}&sid=x"),
    ];
    for query in &refused {
        for client in [&client, &site.client()] {
            let answer = frame(client, query).await;
            assert_eq!((answer.status, answer.header("cache-control")), (400, Some("no-store")), "{query}");
            assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{query}");
            assert!(answer.set_cookies().is_empty(), "{query}");
        }
        assert!(lives(&client).await, "{query}");
    }
    let unknown = [
        format!("?iss={issuer}&sid={}", &sid[1..]),
        format!("?iss={issuer}&sid={sid}%20"),
        format!("?iss={issuer}&sid={sub}"),
        format!("?iss={issuer}&sid={}", "s".repeat(4000)),
        format!("?iss={issuer}&sid=%00%0D%0A"),
    ];
    for query in &unknown {
        let answer = frame(&client, query).await;
        assert_eq!(answer.status, 200, "the same answer as for one that is known: {query}");
        assert!(answer.set_cookies().is_empty() && lives(&client).await, "{query}");
    }
    let query = format!("?iss={issuer}&sid={sid}");
    for method in [Method::HEAD, Method::POST, Method::PUT] {
        let answer =
            client.send(method.clone(), &format!("/oauth2/frontchannel_logout{query}"), &[FORM], Vec::new()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")), "{method}");
    }
    assert!(lives(&client).await);
}

/// Chromium keeps our cookie out of the frame: the provider's page and ours are two sites.
#[tokio::test]
async fn chromium_loads_the_frame_without_a_cookie_and_the_session_is_over() {
    require!(Chromium);
    let port = free_port();
    let own = |name: &str| format!("http://localhost:{port}/oauth2/{name}");
    let registration =
        Registration::new("app", SecretString::from(CLIENT_SECRET), &own("callback"), &own("signed_out"));
    let settings = ProviderSettings { clients: vec![registration], ..ProviderSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new())).unwrap();
    provider.sign_in_as(agent());
    let uris = LogoutUris { backchannel: None, frontchannel: Some(own("frontchannel_logout")) };
    provider.register_logout_uris("app", uris);
    let echo = Echo::start().await;
    let vestibule = Vestibule::serve(&Configuration {
        port,
        issuer: provider.issuer(),
        client_id: "app",
        client_secret: CLIENT_SECRET,
        provider: "",
        upstream: &format!("http://{}", echo.address),
        upstreams: "",
        routes: None,
        more: "",
    })
    .await;

    let browser = Browser::start().await;
    let app = format!("{}/", vestibule.origin);
    browser.goto(&app).await;
    assert_eq!(browser.url().await, app);
    browser.goto(&format!("{}/session/end", provider.issuer())).await;
    browser.wait_for("iframe").await;
    browser
        .wait_until("the frame is loaded", async || !vestibule.access_lines("/oauth2/frontchannel_logout").is_empty())
        .await;
    assert_eq!(vestibule.access_lines("/oauth2/frontchannel_logout")[0]["status"], 200);
    // The page of our own that is public shows what a script of the app hears.
    browser.goto(&own("signed_out")).await;
    let names: Vec<_> = browser.cookies().await.into_iter().map(|cookie| cookie.name).collect();
    assert!(names.iter().any(|name| name == "vestibule"), "the frame could take no cookie away: {names:?}");
    browser.goto(&app).await;
    browser.wait_for("button.agent").await;
    assert!(browser.url().await.starts_with(provider.issuer()), "signed out here, and there");
}
