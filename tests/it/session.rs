//! The session in its cookies: how long it lasts, what opens, and how it is carried on.

use crate::support::client::{Answer, Client};
use crate::support::shown::{LOGIN, SESSION, TOKENS, assert_error, email_at_app, parameter};
use crate::support::site::{ORIGIN, Setup, Site, agent};
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vestibule::demo::provider::{Agent, test_agents};
use vestibule::pages::{ErrorKind, Language};

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The new value of the identity cookie, where the answer sets one.
fn renewed(answer: &Answer) -> Option<String> {
    let start = format!("{SESSION}=");
    let set = answer.set_cookies().into_iter().find_map(|cookie| Some(cookie.strip_prefix(&start)?.to_owned()));
    set.map(|cookie| cookie.split(';').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_rests_for_an_hour_is_over() {
    let site = Site::start().await;
    let (client, other) = (site.signed_in().await, site.signed_in().await);
    site.clock.advance(seconds(3599));
    assert_eq!(client.fetch("/").await.status, 200);
    site.clock.advance(seconds(1));
    assert_eq!((client.fetch("/").await.status, other.fetch("/").await.status), (200, 401));
    // And with the provider's session alive, a click brings it back.
    assert_eq!(email_at_app(&other.browse("/").await).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_in_use_is_over_after_its_lifetime() {
    let more = "session: {idle: 10m, lifetime: 1h, keys: [{id: k1, secret: {env: SESSION_KEY}}]}".to_owned();
    let site = Site::with(Setup { more, ..Setup::default() }).await;
    let client = site.signed_in().await;
    for _ in 0..7 {
        site.clock.advance(seconds(510));
        assert_eq!(client.fetch("/").await.status, 200);
    }
    site.clock.advance(seconds(29));
    assert_eq!(client.fetch("/").await.status, 200);
    site.clock.advance(seconds(1));
    assert_eq!(client.fetch("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_carries_the_session_on_and_rewrites_its_cookie_once_a_minute_at_most() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let first = client.cookie(SESSION).unwrap();
    site.clock.advance(seconds(59));
    assert_eq!(renewed(&client.fetch("/").await), None);
    site.clock.advance(seconds(1));
    let answer = client.fetch("/").await;
    let second = renewed(&answer).expect("renewed after a minute");
    assert_ne!(first, second);
    let set = answer.set_cookies();
    assert_eq!(set.len(), 1, "the tokens stay as they are: {set:?}");
    // 12 h from the sign-in, not from now.
    assert!(set[0].ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=43140"), "{}", set[0]);
    assert_eq!(renewed(&client.fetch("/").await), None);
    // The app's own answer is as it was.
    assert_eq!((answer.status, answer.header("x-from")), (200, Some("the app")));
    // The former cookie still opens: late requests of other tabs carry it.
    client.set_cookie(SESSION, &first);
    assert_eq!(email_at_app(&client.fetch("/").await).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_never_rides_on_an_answer_that_caches_share() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    site.clock.advance(seconds(61));
    for control in
        ["public", "public,%20max-age=60", "s-maxage=5", "max-age=3600", "must-revalidate,%20PUBLIC", "Max-Age=1"]
    {
        let answer = client.fetch(&format!("/status/200?cache-control={control}")).await;
        assert_eq!((answer.status, renewed(&answer)), (200, None), "{control}");
    }
    for control in ["private,%20max-age=60", "no-store", "no-cache", "max-age=0", "no-store,%20public"] {
        let kept = client.cookie(SESSION).unwrap();
        let answer = client.fetch(&format!("/status/200?cache-control={control}")).await;
        assert!(renewed(&answer).is_some(), "{control}");
        client.set_cookie(SESSION, &kept);
    }
    assert!(renewed(&client.fetch("/status/500").await).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_are_host_bound_and_small() {
    let site = Site::start().await;
    for person in test_agents() {
        site.provider.sign_in_as(person.agent.clone());
        let client = site.client();
        let started = client.navigate("/").await;
        let login = started.set_cookies().join("");
        assert!(login.starts_with(&format!("{LOGIN}=")), "{login}");
        assert!(login.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3600"), "{login}");
        let callback = crate::sign_in::to_callback(&client, started).await;
        let arrived = client.navigate(&callback).await;
        let set = arrived.set_cookies();
        // And the login cookie, which remembers that a sign-in has ended.
        assert_eq!(set.len(), 3, "{set:?}");
        for (cookie, name) in set.iter().zip([SESSION, TOKENS]) {
            assert!(cookie.starts_with(&format!("{name}=")), "{cookie}");
            assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=43200"), "{cookie}");
            assert!(cookie.len() < 4096, "{name}: {} bytes", cookie.len());
        }
        let len = client.cookie(SESSION).unwrap().len();
        assert!(len < 600, "{}: the identity cookie takes {len} bytes", person.key);
    }
}

/// Sends these cookies and no others.
async fn with_cookies(client: &Client, method: Method, accept: &str, cookies: &str) -> Answer {
    let mode = if accept == "text/html" { "navigate" } else { "cors" };
    let headers = [("accept", accept), ("sec-fetch-mode", mode), ("cookie", cookies)];
    client.send(method, "/chat?room=7", &headers, Vec::new()).await
}

/// All of an answer that may not depend on what was wrong with the cookie.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .map(|(name, value)| {
            // What is random in an authorization request.
            let random =
                |name: &str| ["state=", "nonce=", "code_challenge="].iter().any(|known| name.starts_with(known));
            let parts = value.split('&').map(|part| if random(part) { "" } else { part });
            if name == "location" { (name, parts.collect::<Vec<_>>().join("&")) } else { (name, value) }
        })
        .collect();
    headers.sort();
    (answer.status, headers, answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_with_a_cookie_the_answer_is_the_same() {
    let site = Site::start().await;
    let more = "session: {keys: [{id: k1, secret: {env: NEXT_SESSION_KEY}}]}".to_owned();
    let foreign_site = Site::with(Setup { more, ..Setup::default() }).await;
    let foreign = foreign_site.signed_in().await.cookie(SESSION).unwrap();
    let idle = site.signed_in().await.cookie(SESSION).unwrap();
    site.clock.advance(seconds(3601));
    let ended = site.signed_in().await;
    let ended_cookie = ended.cookie(SESSION).unwrap();
    ended.submit("/oauth2/sign_out", "").await;
    site.provider.sign_in_as(agent());
    let client = site.signed_in().await;
    let (good, tokens, login) =
        (client.cookie(SESSION).unwrap(), client.cookie(TOKENS).unwrap(), client.cookie(LOGIN).unwrap());
    let state = parameter(client.navigate("/oauth2/start").await.location(), "state").unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let one = |value: &str| format!("{SESSION}={value}");
    let bad = [
        ("none", String::new()),
        ("empty", one("")),
        ("a word", one("x")),
        ("random bytes", one(&URL_SAFE_NO_PAD.encode([0xA5; 200]))),
        ("no text", one("\u{e9}\"(")),
        ("cut at the end", one(&good[..good.len() - 1])),
        ("cut in half", one(&good[..good.len() / 2])),
        ("cut in front", one(&good[1..])),
        ("longer", one(&format!("{good}A"))),
        ("padded", one(&format!("{good}=="))),
        ("another version", one(&flipped(0))),
        ("another key id", one(&flipped(3))),
        ("another nonce", one(&flipped(12))),
        ("another text", one(&flipped(40))),
        ("another tag", one(&flipped(good.len() - 3))),
        ("the tokens", one(&tokens)),
        ("the tokens, sealed", one(tokens.split_once('.').unwrap().1)),
        ("the login cookie", one(&login)),
        ("a state", one(&state)),
        ("4 kB", one(&"A".repeat(4096))),
        ("64 kB", one(&"A".repeat(65_536))),
        ("64 kB behind a good one", one(&format!("{good}{}", "A".repeat(65_536)))),
        ("twice", format!("{}; {}", one(&good), one(&good))),
        ("twice, one empty", format!("{}; {}", one(""), one(&good))),
        ("foreign", one(&foreign)),
        ("idle", one(&idle)),
        ("ended", one(&ended_cookie)),
        ("under another name", format!("vestibule={good}")),
        ("under a name in other letters", format!("__host-vestibule={good}")),
        ("in the place of the tokens", format!("{TOKENS}={good}")),
    ];
    for (method, accept) in [(Method::GET, "application/json"), (Method::GET, "text/html"), (Method::POST, "text/html")]
    {
        let none = with_cookies(&client, method.clone(), accept, &format!("{LOGIN}={login}")).await;
        let expected = told(&none);
        assert!(matches!(expected.0, 401 | 302), "{expected:?}");
        for (what, cookies) in &bad {
            let answer = with_cookies(&client, method.clone(), accept, &format!("{LOGIN}={login}; {cookies}")).await;
            assert_eq!(told(&answer), expected, "{method} {accept} {what}");
        }
        let good = with_cookies(&client, method.clone(), accept, &one(&good)).await;
        assert_eq!(good.status, 200, "{method} {accept}: the good one still opens");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_without_signing_anybody_out() {
    let keys = |list: &str| format!("session: {{keys: [{list}]}}");
    let (old, new) = ("{id: old, secret: {env: SESSION_KEY}}", "{id: new, secret: {env: NEXT_SESSION_KEY}}");
    let before = Site::with(Setup { more: keys(old), ..Setup::default() }).await;
    let between = Site::with(Setup { more: keys(&format!("{new}, {old}")), ..Setup::default() }).await;
    let after = Site::with(Setup { more: keys(new), ..Setup::default() }).await;

    let client = before.signed_in().await;
    let old_cookie = client.cookie(SESSION).unwrap();
    let moved = between.client();
    moved.set_cookie(SESSION, &old_cookie);
    moved.set_cookie(TOKENS, &client.cookie(TOKENS).unwrap());
    let answer = moved.fetch("/").await;
    assert_eq!(email_at_app(&answer).as_deref(), Some(EMAIL));
    let new_cookie = renewed(&answer).expect("sealed anew under the current key, at once");
    assert_eq!(renewed(&moved.fetch("/").await), None, "and once");

    let arrived = after.client();
    arrived.set_cookie(SESSION, &old_cookie);
    assert_eq!(arrived.fetch("/").await.status, 401);
    arrived.set_cookie(SESSION, &new_cookie);
    assert_eq!(email_at_app(&arrived.fetch("/").await).as_deref(), Some(EMAIL));
    // The tokens, still under the former key, serve the sign-out as long as it is in the ring.
    assert!(parameter(moved.submit("/oauth2/sign_out", "").await.location(), "id_token_hint").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_under_way_ends_well_on_another_replica_with_a_newer_key() {
    let site = Site::start().await;
    let begun = site.client();
    let callback = crate::sign_in::to_callback(&begun, begun.navigate("/chat?room=7").await).await;
    let more = "session: {keys: [{id: new, secret: {env: NEXT_SESSION_KEY}}, {id: old, secret: {env: SESSION_KEY}}]}";
    let issuer = Some(site.provider.issuer().to_owned());
    let replica = Site::with(Setup { more: more.to_owned(), issuer, ..Setup::default() }).await;
    let client = replica.client();
    client.set_cookie(LOGIN, &begun.cookie(LOGIN).unwrap());
    let page = client.browse(&callback).await;
    assert_eq!(page.url, format!("{ORIGIN}/chat?room=7"));
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
    // Back at the first one, the code is good no second time.
    let replayed = begun.browse(&callback).await;
    assert_error(&replayed, ErrorKind::SignInExpired, Language::French).await;
}

fn with_roles(count: usize) -> Agent {
    Agent { roles: (0..count).map(|number| format!("a_role_of_some_length_{number}")).collect(), ..agent() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_too_large_for_a_cookie_is_an_error_that_says_what_to_do() {
    let site = Site::start().await;
    site.provider.sign_in_as(with_roles(80));
    assert_eq!(site.client().browse("/").await.status, 200);
    site.provider.sign_in_as(with_roles(400));
    let client = site.client();
    let page = client.browse("/").await;
    let reason = assert_error(&page, ErrorKind::Internal, Language::French).await;
    assert!(reason.contains("keep fewer claims (identity.claims, identity.headers)"), "{reason}");
    assert_eq!(client.cookie_names(), [LOGIN]);
}

/// A person whose ID token takes `len` bytes more.
fn with_long_token(len: usize) -> Agent {
    Agent { amr: vec!["m".repeat(len)], ..agent() }
}

/// Something that happens to a browser's cookies.
type Spoil<'a> = Box<dyn Fn(&Client) + 'a>;

async fn site_of_long_tokens() -> Site {
    let provider = "    claims: {id_token: {amr: null}}\n".to_owned();
    Site::with(Setup { provider, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_exceed_a_cookie_are_split_and_only_the_hint_depends_on_the_parts() {
    let site = site_of_long_tokens().await;
    site.provider.sign_in_as(with_long_token(6000));
    let client = site.signed_in().await;
    let parts: Vec<String> = client.cookie_names().into_iter().filter(|name| name.starts_with(TOKENS)).collect();
    assert!(parts.len() >= 3, "{parts:?}");
    for name in &parts {
        assert!(name.len() + client.cookie(name).unwrap().len() < 4000, "{name}");
    }
    let others = site.signed_in().await;
    let last = parts.last().unwrap();
    let spoil: [(&str, Spoil<'_>); 6] = [
        ("missing first", Box::new(|client| client.drop_cookie(TOKENS))),
        ("missing last", Box::new(|client| client.drop_cookie(last))),
        ("of another session", Box::new(|client| client.set_cookie(last, &others.cookie(last).unwrap()))),
        (
            "all of another session",
            Box::new(|client| parts.iter().for_each(|name| client.set_cookie(name, &others.cookie(name).unwrap()))),
        ),
        (
            "a count that is not true",
            Box::new(|client| client.set_cookie(TOKENS, &client.cookie(TOKENS).unwrap().replacen('3', "2", 1))),
        ),
        (
            "a count that is absurd",
            Box::new(|client| client.set_cookie(TOKENS, &format!("99999999{}", &client.cookie(TOKENS).unwrap()[1..]))),
        ),
    ];
    for (what, spoil) in spoil {
        site.provider.sign_in_as(with_long_token(6000));
        let client = site.signed_in().await;
        spoil(&client);
        assert_eq!(client.fetch("/").await.status, 200, "{what}");
        let out = client.submit("/oauth2/sign_out", "").await;
        assert_eq!(parameter(out.location(), "id_token_hint"), None, "{what}");
        assert_eq!(parameter(out.location(), "client_id").as_deref(), Some("app"), "{what}");
        assert_eq!(client.cookie_names(), [LOGIN], "{what}");
    }
    let out = client.submit("/oauth2/sign_out", "").await;
    assert!(parameter(out.location(), "id_token_hint").unwrap().len() > 8000);
    assert_eq!(client.cookie_names(), [LOGIN], "no part is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smaller_tokens_leave_nothing_of_larger_ones_behind() {
    let site = site_of_long_tokens().await;
    site.provider.sign_in_as(with_long_token(6000));
    let client = site.signed_in().await;
    site.provider.sign_in_as(with_long_token(10));
    client.browse("/oauth2/start").await;
    assert_eq!(client.cookie_names(), [SESSION, LOGIN, TOKENS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_too_large_for_any_cookies_are_an_error_that_says_so() {
    let site = site_of_long_tokens().await;
    site.provider.sign_in_as(with_long_token(30_000));
    let client = site.client();
    let page = client.browse("/").await;
    let reason = assert_error(&page, ErrorKind::Internal, Language::French).await;
    assert!(reason.contains("more than browsers and front proxies carry"), "{reason}");
    assert_eq!(client.cookie_names(), [LOGIN]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_over_a_planted_session_begins_a_new_one_and_ends_it() {
    let site = Site::start().await;
    let attacker = site.signed_in().await;
    let planted = attacker.cookie(SESSION).unwrap();
    let victim = site.client();
    victim.set_cookie(SESSION, &planted);
    victim.set_cookie(TOKENS, &attacker.cookie(TOKENS).unwrap());
    site.provider.sign_in_as(Agent::new("Malo", "Kergoat", "malo@test.proconnect.gouv.fr"));
    let page = victim.browse("/oauth2/start?rd=/mine").await;
    assert_eq!(email_at_app(&page).as_deref(), Some("malo@test.proconnect.gouv.fr"));
    assert_ne!(victim.cookie(SESSION).unwrap(), planted);
    assert_eq!(attacker.fetch("/").await.status, 401, "the planted session is over");
    assert!(parameter(victim.submit("/oauth2/sign_out", "").await.location(), "id_token_hint").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_sent_without_a_session_is_told_so_on_a_page() {
    let site = Site::start().await;
    let client = site.client();
    let headers = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("referer", "https://app.example/form?step=2"),
        ("accept-language", "en"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let page = client.send(Method::POST, "/form/send", &headers, b"a=b".to_vec()).await;
    assert_eq!(page.status, 401);
    assert!(page.header("www-authenticate").is_some() && page.header("location").is_none());
    assert!(page.text().contains("Your form was not sent, because your session had ended."), "{}", page.text());
    assert!(page.text().contains("name=\"rd\" value=\"/form?step=2\""), "the page that it was on: {}", page.text());
    assert_eq!(site.echo.seen.borrow().requests, 0);
}

/// An app whose `/late` answers when it is told to.
async fn late_app() -> (String, watch::Receiver<bool>, watch::Sender<bool>) {
    let (arrived, has_arrived) = watch::channel(false);
    let (release, released) = watch::channel(false);
    let arrived = Arc::new(arrived);
    let late = move || {
        let (arrived, mut released) = (Arc::clone(&arrived), released.clone());
        async move {
            arrived.send_replace(true);
            let _ = released.wait_for(|released| *released).await;
            "at last"
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/late", get(late)).fallback(async || "{}");
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, has_arrived, release)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_under_way_at_the_sign_out_is_cut_and_brings_no_cookie_back() {
    for signs_out in [true, false] {
        let (address, mut has_arrived, release) = late_app().await;
        let site = Site::with(Setup { upstream: Some(address), ..Setup::default() }).await;
        let client = site.signed_in().await;
        site.clock.advance(seconds(61));
        let (answer, ()) = tokio::join!(client.try_send(http::Method::GET, "/late", &[], Vec::new()), async {
            has_arrived.wait_for(|arrived| *arrived).await.unwrap();
            if signs_out {
                client.submit("/oauth2/sign_out", "").await;
            }
            release.send_replace(true);
        });
        match answer {
            Ok(answer) if signs_out => assert_eq!((answer.status, renewed(&answer)), (401, None)),
            Ok(answer) => {
                assert_eq!((answer.status, answer.text().as_str()), (200, "at last"));
                assert!(renewed(&answer).is_some());
            }
            Err(_) => assert!(signs_out),
        }
        assert_eq!(client.cookie(SESSION).is_none(), signs_out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_routes_know_who_is_there_and_ask_nobody() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    assert_eq!(email_at_app(&client.fetch("/public/x").await).as_deref(), Some(EMAIL));
    let stranger = site.client();
    assert_eq!(email_at_app(&stranger.navigate("/public/x").await), None);
    stranger.set_cookie(SESSION, "nonsense");
    let page = stranger.navigate("/public/x").await;
    assert_eq!(email_at_app(&page), None);
    assert!(!page.text().contains("nonsense"), "our cookies never reach the app: {}", page.text());
    assert_eq!(page.url, format!("{ORIGIN}/public/x"));
}
