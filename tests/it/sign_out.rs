//! Signing out: who may cause it, how far it goes, and that it is final.

use crate::support::client::NAVIGATION;
use crate::support::raw::Raw;
use crate::support::shown::{LOGIN, SESSION, TOKENS, assert_page_headers, parameter};
use crate::support::site::{ORIGIN, Setup, Site};
use crate::support::waiting::until;
use http::Method;
use std::time::Duration;
use vestibule::demo::provider::{Hold, RevocationFault};
use vestibule::pages::Language;

const EVERYWHERE: &str = "Votre session ici et votre session ProConnect sont fermées.";
const HERE: &str = "Votre session ici est fermée. Celle du service d’identification peut rester ouverte";
const CONFIRM: &str = "Votre session ici et votre session ProConnect seront fermées.";
const SIGNED_OUT: &str = "https://app.example/oauth2/signed_out";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_goes_the_whole_way_round() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let copy = client.cookie(SESSION).unwrap();
    let out = client.submit("/oauth2/sign_out", "").await;
    assert_eq!((out.status, out.header("cache-control")), (303, Some("no-store")));
    assert_eq!(client.cookie_names(), [LOGIN], "the session's cookies are gone before the browser leaves");
    for cookie in out.set_cookies() {
        assert!(
            cookie.contains("; Secure") && cookie.contains("; Path=/"),
            "browsers keep __Host- cookies else: {cookie}"
        );
    }
    let location = out.location().to_owned();
    assert!(location.starts_with(&format!("{}/session/end?", site.provider.issuer())), "{location}");
    assert_eq!(parameter(&location, "post_logout_redirect_uri").as_deref(), Some(SIGNED_OUT));
    assert_eq!(parameter(&location, "id_token_hint").unwrap().split('.').count(), 3);
    assert!(parameter(&location, "state").unwrap().len() >= 32);

    let back = client.navigate(&location).await;
    assert_eq!(site.provider.counters().session_end, 1);
    assert_eq!(back.location().split('?').next(), Some(SIGNED_OUT));
    let page = client.navigate(back.location()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_page_headers(&page, Language::French);
    assert!(page.text().contains(EVERYWHERE), "{}", page.text());
    assert!(page.set_cookies().is_empty());

    // A copy of the cookie opens nothing any more, and the provider asks who comes.
    let thief = site.client();
    thief.set_cookie(SESSION, &copy);
    assert_eq!(thief.fetch("/").await.status, 401);
    let next = client.browse("/").await;
    assert!(next.url.starts_with(site.provider.issuer()), "{}", next.url);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_our_own_pages_and_the_app_sign_out_without_being_asked_again() {
    let site = Site::start().await;
    let html = ("accept", "text/html");
    let own: [(Method, &[(&str, &str)]); 4] = [
        (Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), html]),
        (Method::POST, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("origin", ORIGIN), html]),
        (Method::POST, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("origin", ORIGIN)]),
        // A browser without Fetch Metadata.
        (Method::POST, &[("origin", ORIGIN), html]),
    ];
    for (method, headers) in own {
        let client = site.signed_in().await;
        let out = client.send(method.clone(), "/oauth2/sign_out", headers, Vec::new()).await;
        if headers.contains(&("sec-fetch-mode", "cors")) {
            // A script cannot follow.
            assert_eq!((out.status, out.text().as_str()), (200, r#"{"signed_out":true}"#));
            continue;
        }
        assert!(out.location().contains("/session/end?"), "{method} {headers:?}");
        assert_eq!(client.cookie(SESSION), None, "{method} {headers:?}");
    }

    site.provider.sign_in_as(crate::support::site::agent());
    let client = site.signed_in().await;
    let others: [(Method, &[(&str, &str)]); 13] = [
        // Another site's link, form, and a sibling's.
        (Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), html]),
        (Method::GET, &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate"), html]),
        (
            Method::POST,
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("origin", "https://evil.example"),
                html,
            ],
        ),
        (
            Method::POST,
            &[
                ("sec-fetch-site", "same-site"),
                ("sec-fetch-mode", "navigate"),
                ("origin", "https://sub.app.example"),
                html,
            ],
        ),
        (Method::POST, &[("origin", "https://evil.example"), html]),
        (Method::POST, &[("origin", "null"), html]),
        (Method::POST, &[("origin", "https://app.example.evil.example"), html]),
        (Method::POST, &[html]),
        (Method::POST, &[("sec-fetch-site", "cross-site"), ("origin", ORIGIN), html]),
        // An image on our own pages, a prefetch, a typed address, a browser that says nothing.
        (Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors"), ("accept", "image/*")]),
        (
            Method::GET,
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "navigate"),
                ("sec-purpose", "prefetch;prerender"),
                html,
            ],
        ),
        (Method::GET, &NAVIGATION),
        (Method::GET, &[html]),
    ];
    for (method, headers) in others {
        let page = client.send(method.clone(), "/oauth2/sign_out", headers, Vec::new()).await;
        assert_eq!(page.status, 200, "{method} {headers:?}");
        assert!(page.text().contains(CONFIRM), "{method} {headers:?}: {}", page.text());
        assert!(page.text().contains("<form method=\"post\" action=\"/oauth2/sign_out\">"));
        assert_page_headers(&page, Language::French);
        assert!(page.set_cookies().is_empty(), "{method} {headers:?}");
        assert_eq!(client.fetch("/").await.status, 200, "the session lives: {method} {headers:?}");
    }
    // The page's own button does it.
    assert!(client.submit("/oauth2/sign_out", "").await.location().contains("/session/end?"));
    assert_eq!(client.fetch("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_afterwards_says_no_more_than_its_state_proves() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let out = client.submit("/oauth2/sign_out", "").await;
    let state = parameter(out.location(), "state").unwrap();
    let stranger = site.client();
    let login = site.client();
    login.navigate("/").await;
    let cases = [
        (&client, format!("?state={state}"), EVERYWHERE),
        (&client, String::new(), HERE),
        (&client, "?state=".to_owned(), HERE),
        (&client, format!("?state={state}&state={state}"), HERE),
        (&client, format!("?state={}", &state[1..]), HERE),
        (&client, format!("?state={}", "A".repeat(state.len())), HERE),
        (&stranger, format!("?state={state}"), HERE),
        (&login, format!("?state={state}"), HERE),
    ];
    for (client, query, words) in cases {
        let page = client.navigate(&format!("/oauth2/signed_out{query}")).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains(words), "{query}: {}", page.text());
        assert!(page.set_cookies().is_empty() && page.header("location").is_none());
        // Nobody else has the browser's cache emptied.
        let forgets = (words == EVERYWHERE).then_some("\"cache\"");
        assert_eq!(page.header("clear-site-data"), forgets, "{query}");
    }
    site.clock.advance(Duration::from_secs(3600));
    let late = client.navigate(&format!("/oauth2/signed_out?state={state}")).await;
    assert!(late.text().contains(HERE), "{}", late.text());
    // Whoever is signed in is not told the opposite.
    site.provider.sign_in_as(crate::support::site::agent());
    let page = site.signed_in().await.navigate("/oauth2/signed_out").await;
    assert!(page.text().contains(CONFIRM), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_afterwards_begins_no_sign_in_in_any_way_of_entering() {
    for entry in ["automatic", "page", "silent"] {
        let site = Site::with(Setup { more: format!("sign_in: {{entry: {entry}}}"), ..Setup::default() }).await;
        let client = site.client();
        client.follow(client.submit("/oauth2/start", "rd=/").await).await;
        let page = client.follow(client.submit("/oauth2/sign_out", "").await).await;
        assert_eq!((page.status, page.url.split('?').next()), (200, Some(SIGNED_OUT)), "{entry}");
        assert!(!page.text().contains("http-equiv"), "{entry}");
        assert_eq!(site.provider.counters().authorize, 1, "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_gone_keeps_nobody_signed_in_here() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let copy = client.cookie(SESSION).unwrap();
    // Nearly so long that nothing is known of the provider any more, with the session alive.
    for _ in 0..11 {
        site.clock.advance(Duration::from_secs(3500));
        assert_eq!(client.fetch("/").await.status, 200);
    }
    let (address, clock) = (site.address, site.clock.clone());
    site.provider.stop().await;
    // What is held still says where the provider's end of session is.
    let out = client.submit("/oauth2/sign_out", "").await;
    assert!(out.location().contains("/session/end?"));
    assert_eq!(client.cookie(SESSION), None);
    let thief = crate::support::client::Client::new(address);
    thief.set_cookie(SESSION, &copy);
    assert_eq!(thief.fetch("/").await.status, 401);

    // Where nothing is held, our own page says what is true.
    clock.advance(Duration::from_secs(25 * 3600));
    let out = client.submit("/oauth2/sign_out", "").await;
    assert!(out.location().starts_with(&format!("{SIGNED_OUT}?state=")), "{}", out.location());
    let page = client.navigate(out.location()).await;
    assert!(page.status == 200 && page.text().contains(HERE), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_without_an_end_of_session_means_signing_out_here() {
    let provider = "    endpoints: {authorization: '{issuer}/authorize', token: '{issuer}/token', jwks_uri: '{issuer}/jwks', \
                    userinfo: '{issuer}/userinfo', callback_iss: true}\n";
    let site = Site::with(Setup { provider: provider.to_owned(), ..Setup::default() }).await;
    let client = site.signed_in().await;
    let page = client.follow(client.submit("/oauth2/sign_out", "").await).await;
    assert!(page.url.starts_with(&format!("{SIGNED_OUT}?state=")) && page.text().contains(HERE), "{}", page.text());
    assert_eq!(client.cookie_names(), [LOGIN]);
    assert_eq!(site.provider.counters().session_end, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_without_a_session_still_ends_the_providers() {
    let site = Site::start().await;
    for client in [site.client(), site.signed_in().await] {
        client.drop_cookie(SESSION);
        let out = client.submit("/oauth2/sign_out", "").await;
        assert_eq!(parameter(out.location(), "id_token_hint"), None);
        assert_eq!(parameter(out.location(), "client_id").as_deref(), Some("app"));
        assert_eq!(client.cookie(TOKENS), None, "what is left of it goes too");
        let page = client.follow(out).await;
        assert!(page.text().contains(EVERYWHERE), "{}", page.text());
        site.provider.sign_in_as(crate::support::site::agent());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_out_ends_one_session() {
    let site = Site::start().await;
    let (one, other) = (site.signed_in().await, site.signed_in().await);
    one.submit("/oauth2/sign_out", "").await;
    assert_eq!((one.fetch("/").await.status, other.fetch("/").await.status), (401, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tokens_are_given_back_and_nobody_waits_for_it() {
    let site = Site::start().await;
    let out = async |revoked: u64| {
        site.provider.sign_in_as(crate::support::site::agent());
        let client = site.signed_in().await;
        let page = client.follow(client.submit("/oauth2/sign_out", "").await).await;
        assert!(page.text().contains(EVERYWHERE), "{}", page.text());
        assert_eq!(client.fetch("/").await.status, 401);
        until("the tokens are given back", async || site.provider.counters().revocation >= revoked).await;
    };
    out(1).await;
    site.provider.faults().set(|faults| faults.revocation = Some(RevocationFault::Unavailable));
    out(2).await;
    // One that never answers holds nobody.
    let hold = Hold::default();
    site.provider.faults().set(|faults| faults.revocation = Some(RevocationFault::Held(hold.clone())));
    out(3).await;
    hold.arrived(1).await;
    // Whoever has no session has nothing to give back.
    site.client().submit("/oauth2/sign_out", "").await;
    assert_eq!(site.provider.counters().revocation, 3);
    hold.release();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_before_it_sends_a_form_is_told_to_go_on() {
    let site = Site::start().await;
    let mut raw = Raw::connect(site.address).await;
    let form = "rd=%2Fx";
    let head = format!(
        "POST /oauth2/sign_out HTTP/1.1\r\nHost: app.example\r\nOrigin: {ORIGIN}\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    raw.send(head).await;
    assert_eq!(raw.head().await.status, 100);
    raw.send(form).await;
    assert_eq!(raw.answer().await.status, 200);
}
