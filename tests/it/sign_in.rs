//! Signing in, as a browser meets it.

use crate::support::client::{Answer, Client};
use crate::support::shown::{
    LOGIN, SCRIPT, SESSION, TOKENS, assert_error, assert_page_headers, email_at_app, header_at_app, parameter,
};
use crate::support::site::{ORIGIN, Setup, Site, agent};
use http::Method;
use std::time::Duration;
use vestibule::demo::provider::{Agent, Client as Registration, IDENTITY_PROVIDERS, IdTokenFault, SigningAlgorithm};
use vestibule::pages::{ErrorKind, Language};

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";

/// Follows redirects up to the provider's answer, and returns the callback's address.
pub(crate) async fn to_callback(client: &Client, first: Answer) -> String {
    let at_provider = client.navigate(first.location()).await;
    let callback = at_provider.location().to_owned();
    assert!(callback.starts_with(&format!("{ORIGIN}/oauth2/callback?")), "{callback}");
    callback
}

fn with(provider: &str, more: &str) -> Setup {
    Setup { provider: provider.to_owned(), more: more.to_owned(), ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_navigation_leads_through_the_provider_and_back_to_the_same_address() {
    let site = Site::start().await;
    let long = format!("/{}", "a".repeat(2000));
    let targets = [
        "/",
        "/chat?room=7&q=a%20b",
        "/caf%C3%A9?%C3%A9=%E2%82%AC+1&empty=&&bare",
        "/a?next=https://other.example/&rd=//evil.example&x=%2F%2Fevil.example",
        "/a%2Fb;v=1/c;d?e;f",
        "/a?x=[1]{2}|^`~!$()*,:@%22%3C%3E%23",
        "/oauth2callback?code=1&state=2",
        long.as_str(),
    ];
    for target in targets {
        let client = site.client();
        let first = client.navigate(target).await;
        assert_eq!(first.status, 302, "{target}: {}", first.text());
        assert!(first.location().starts_with(site.provider.issuer()), "{}", first.location());
        assert_eq!(first.header("cache-control"), Some("no-store"));
        let page = client.follow(first).await;
        assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}{target}")));
        assert_eq!(page.json()["target"], target);
        assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_too_long_to_be_carried_leads_to_the_front_page() {
    let site = Site::start().await;
    let page = site.client().browse(&format!("/{}", "a".repeat(2048))).await;
    assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}/")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_algorithm_signs_in_with_signed_and_with_plain_userinfo() {
    fn register(client: &mut Registration, algorithm: SigningAlgorithm, signed: bool) {
        client.id_token_signed_response_alg = algorithm;
        client.userinfo_signed_response_alg = signed.then_some(algorithm);
    }
    const HS256: &str = "    id_token_algorithms: [HS256]\n";
    let cases: [(fn(&mut Registration), &str, bool); 6] = [
        (|client| register(client, SigningAlgorithm::ES256, true), "", false),
        (|client| register(client, SigningAlgorithm::ES256, false), "", false),
        (|client| register(client, SigningAlgorithm::RS256, true), "", true),
        (|client| register(client, SigningAlgorithm::RS256, false), "", true),
        (|client| register(client, SigningAlgorithm::HS256, true), HS256, false),
        (|client| register(client, SigningAlgorithm::HS256, false), HS256, false),
    ];
    for (index, (register, provider, rsa)) in cases.into_iter().enumerate() {
        let site = Site::with(Setup { register, rsa, ..with(provider, "") }).await;
        let page = site.client().browse("/").await;
        assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL), "case {index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs256_counts_only_where_it_is_configured() {
    let register: fn(&mut Registration) = |client| {
        client.id_token_signed_response_alg = SigningAlgorithm::HS256;
        client.userinfo_signed_response_alg = None;
    };
    let site = Site::with(Setup { register, ..Setup::default() }).await;
    let page = site.client().browse("/").await;
    assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_opened_one_after_another_finish_in_any_order_with_one_cookie_that_does_not_grow() {
    let site = Site::start().await;
    let client = site.client();
    let mut tabs = Vec::new();
    let mut cookies = Vec::new();
    for tab in 0..5 {
        let target = format!("/tab/{tab}?q={tab}");
        let started = client.navigate(&target).await;
        cookies.push(client.cookie(LOGIN).unwrap());
        tabs.push((target, started));
    }
    assert!(cookies.iter().all(|cookie| *cookie == cookies[0] && cookie.len() == 43), "{cookies:?}");
    for index in [3, 0, 4, 2, 1] {
        let (target, started) = &tabs[index];
        let callback = client.navigate(started.location()).await;
        let page = client.follow(callback).await;
        assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}{target}")));
    }
    assert_eq!(client.cookie_names(), [SESSION, LOGIN, TOKENS]);
    // It remembers that a sign-in has ended, and not how many tabs there were.
    let after = client.cookie(LOGIN).unwrap();
    assert!(after.starts_with(&cookies[0]) && after.len() < 128, "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_opened_at_the_same_moment_without_any_cookie_all_arrive() {
    let site = Site::start().await;
    let client = site.client();
    let targets: Vec<String> = (0..5).map(|tab| format!("/tab/{tab}?q={tab}")).collect();
    // Every start leaves before the first answer has come: five login cookies, the last stays.
    let started = futures_util::future::join_all(targets.iter().map(|target| client.navigate(target))).await;
    let ends = started.into_iter().rev().map(|started| client.follow(started));
    let pages = futures_util::future::join_all(ends).await;
    for (page, target) in pages.iter().zip(targets.iter().rev()) {
        assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}{target}")), "{}", page.text());
    }
    assert_eq!(client.cookie_names(), [SESSION, LOGIN, TOKENS]);
    assert_eq!(client.browse("/after").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tab_whose_cookie_was_lost_begins_again_once_and_its_code_is_left_alone() {
    let site = Site::start().await;
    let client = site.client();
    let started = client.navigate("/first?a=b").await;
    let callback = to_callback(&client, started).await;
    // Another tab, in the same browser, that had no cookie when it began.
    client.drop_cookie(LOGIN);
    let other = client.navigate("/second").await;
    let again = client.navigate(&callback).await;
    assert_eq!(again.status, 302, "{}", again.text());
    assert!(again.location().starts_with(site.provider.issuer()), "{}", again.location());
    assert_eq!(site.provider.counters().token, 0, "the code of the other cookie was sent");
    let second_callback = to_callback(&client, again).await;
    // The cookie is lost once more: now it ends.
    let kept = client.cookie(LOGIN).unwrap();
    client.set_cookie(LOGIN, &"A".repeat(43));
    let refused = client.navigate(&second_callback).await;
    assert_error(&refused, ErrorKind::SignInExpired, Language::French).await;
    client.set_cookie(LOGIN, &kept);
    let page = client.browse(&second_callback).await;
    assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}/first?a=b")));
    // And where there is a session, nobody is sent round.
    let tokens = site.provider.counters().token;
    let callback = to_callback(&client, other).await;
    client.set_cookie(LOGIN, &"E".repeat(43));
    let there = client.navigate(&callback).await;
    assert_eq!((there.status, there.location()), (302, &*format!("{ORIGIN}/second")));
    assert_eq!(site.provider.counters().token, tokens);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_is_accepted_once() {
    let site = Site::start().await;
    let client = site.client();
    let callback = to_callback(&client, client.navigate("/here?a=b").await).await;
    let arrived = client.navigate(&callback).await;
    assert_eq!((arrived.status, arrived.location()), (302, &*format!("{ORIGIN}/here?a=b")));
    assert!(arrived.set_cookies().iter().any(|cookie| cookie.starts_with(&format!("{SESSION}="))));

    let reloaded = client.navigate(&callback).await;
    assert_eq!((reloaded.status, reloaded.location()), (302, &*format!("{ORIGIN}/here?a=b")));
    assert!(reloaded.set_cookies().is_empty(), "a replay sets nothing");

    client.drop_cookie(SESSION);
    let replayed = client.navigate(&callback).await;
    assert_error(&replayed, ErrorKind::SignInExpired, Language::French).await;
    assert_eq!(site.provider.counters().token, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_in_page_has_the_official_button_and_leads_back() {
    let site = Site::with(with("", "sign_in: {entry: page}")).await;
    let client = site.client();
    let page = client.navigate("/chat?room=7&x=%3Cb%3E").await;
    let body = page.text();
    assert_eq!(page.status, 401, "{body}");
    assert!(page.header("www-authenticate").unwrap().starts_with("Vestibule "), "a 401 needs a challenge");
    assert_page_headers(&page, Language::French);
    assert!(body.contains("<span>S'identifier avec <strong>ProConnect</strong></span></button>"), "{body}");
    assert!(body.contains("href=\"https://www.proconnect.gouv.fr/\" target=\"_blank\" rel=\"noopener noreferrer\""));
    assert!(body.contains("<form method=\"post\" action=\"/oauth2/start\">"));
    assert!(body.contains("name=\"rd\" value=\"/chat?room=7&#38;x=%3Cb%3E\""), "{body}");
    assert!(!body.replace(SCRIPT, "").contains("<script"));
    assert!(page.set_cookies().is_empty());
    assert_eq!(site.provider.counters().authorize, 0);

    let started = client.submit("/oauth2/start", "rd=%2Fchat%3Froom%3D7%26x%3D%253Cb%253E").await;
    assert_eq!(started.status, 303, "no browser may send the form on to the provider");
    let arrived = client.follow(started).await;
    assert_eq!((arrived.status, arrived.url.as_str()), (200, &*format!("{ORIGIN}/chat?room=7&x=%3Cb%3E")));
    // Signed in, the page leads on.
    let on = client.navigate("/oauth2/sign_in?rd=/chat").await;
    assert_eq!((on.status, on.location()), (302, &*format!("{ORIGIN}/chat")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_sign_in_shows_nothing_where_the_provider_knows_the_person() {
    let site = Site::with(with("", "sign_in: {entry: silent}")).await;
    let client = site.client();
    let started = client.navigate("/").await;
    assert_eq!(parameter(started.location(), "prompt").as_deref(), Some("none"));
    assert_eq!(email_at_app(&client.follow(started).await).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_sign_in_that_finds_nobody_ends_on_the_page_and_rests_for_five_minutes() {
    let site = Site::with(with("", "sign_in: {entry: silent}")).await;
    site.provider.ask_people();
    let client = site.client();
    let page = client.browse("/chat?room=7").await;
    assert_eq!((page.status, page.url.as_str()), (200, &*format!("{ORIGIN}/oauth2/sign_in?rd=%2Fchat%3Froom%3D7")));
    assert!(page.text().contains("value=\"/chat?room=7\""), "{}", page.text());
    assert_eq!(site.provider.counters().authorize, 1);

    site.clock.advance(Duration::from_secs(299));
    let page = client.navigate("/chat?room=7").await;
    assert_eq!((page.status, site.provider.counters().authorize), (401, 1), "{}", page.text());

    site.clock.advance(Duration::from_secs(1));
    let again = client.navigate("/chat?room=7").await;
    assert_eq!(parameter(again.location(), "prompt").as_deref(), Some("none"));

    // The button asks aloud, whatever the silent attempt found.
    let aloud = client.submit("/oauth2/start", "rd=/").await;
    assert_eq!(parameter(aloud.location(), "prompt"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_without_cookies_is_told_so_and_does_not_go_round() {
    for entry in ["automatic", "silent"] {
        let site = Site::with(with("", &format!("sign_in: {{entry: {entry}}}"))).await;
        let client = site.client();
        let started = client.navigate("/").await;
        client.drop_cookie(LOGIN);
        let page = client.follow(started).await;
        assert_error(&page, ErrorKind::CookieMissing, Language::French).await;
        assert_eq!(site.provider.counters().token, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_are_passed_on_and_nonsense_is_not() {
    let idp = IDENTITY_PROVIDERS[0].0;
    let site = Site::with(with(&format!("    siret_hint: \"00000011700010\"\n    idp_hint: {idp}\n"), "")).await;
    let client = site.client();
    let started = client.navigate(&format!("/oauth2/start?login_hint={EMAIL}&rd=/a")).await;
    let sent = |name| parameter(started.location(), name);
    assert_eq!(sent("login_hint").as_deref(), Some(EMAIL));
    assert_eq!((sent("siret_hint").as_deref(), sent("idp_hint").as_deref()), (Some("00000011700010"), Some(idp)));
    assert_eq!(sent("code_challenge_method").as_deref(), Some("S256"));
    for (name, least) in [("state", 43), ("nonce", 43), ("code_challenge", 43)] {
        assert!(sent(name).unwrap().len() >= least, "{name}");
    }
    assert_eq!(client.follow(started).await.url, format!("{ORIGIN}/a"));
    for hint in ["not-an-address", "a%40b%40c.fr", "a%40b.fr%0d%0aX-Evil:1", "&login_hint=a%40b.fr"] {
        let started = site.client().navigate(&format!("/oauth2/start?login_hint={hint}")).await;
        if !hint.starts_with('&') {
            assert_eq!(parameter(started.location(), "login_hint"), None, "{hint}");
        }
        assert!(!started.location().contains("Evil"), "{hint}");
    }
}

fn strong() -> Agent {
    Agent { acr: "eidas1-mfa".to_owned(), ..agent() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_acr_is_asked_for_and_checked() {
    let site = Site::with(with("    acr_values: [eidas1-mfa, eidas2]\n", "")).await;
    // Not reached: the provider says so.
    let weak = site.client();
    let started = weak.navigate("/").await;
    let claims = parameter(started.location(), "claims").unwrap();
    assert_eq!(claims, r#"{"id_token":{"acr":{"essential":true,"values":["eidas1-mfa","eidas2"]}}}"#);
    let refused = weak.follow(started).await;
    assert_error(&refused, ErrorKind::AuthenticationLevelNotReached, Language::French).await;
    assert_eq!(site.provider.counters().token, 0);

    // Reached.
    site.provider.sign_in_as(strong());
    assert_eq!(email_at_app(&site.client().browse("/").await).as_deref(), Some(EMAIL));

    // Lied about: the token says less than was asked for, or nothing.
    for fault in
        [IdTokenFault::Acr("eidas1".into()), IdTokenFault::Acr("eidas1-mfa eidas2".into()), IdTokenFault::WithoutAcr]
    {
        site.provider.faults().set(|faults| faults.id_token = Some(fault.clone()));
        let page = site.client().browse("/").await;
        assert_error(&page, ErrorKind::AuthenticationLevelNotReached, Language::French).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_without_discovery_is_described_by_hand() {
    let endpoints = "    endpoints: {authorization: '{issuer}/authorize', token: '{issuer}/token', jwks_uri: '{issuer}/jwks', \
                     userinfo: '{issuer}/userinfo', end_session: '{issuer}/session/end', callback_iss: true}\n";
    let site = Site::with(with(endpoints, "")).await;
    let client = site.client();
    assert_eq!(email_at_app(&client.browse("/").await).as_deref(), Some(EMAIL));
    let out = client.submit("/oauth2/sign_out", "").await;
    assert!(out.location().starts_with(&format!("{}/session/end?", site.provider.issuer())));
    assert_eq!(site.provider.counters().discovery, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_chooses_themselves_at_the_provider() {
    let site = Site::start().await;
    site.provider.ask_people();
    let client = site.client();
    let page = client.browse("/chat").await;
    let (_, rest) = page.text().split_once("/interaction/").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let action = format!("{}/interaction/{}", site.provider.issuer(), rest.split('"').next().unwrap());
    let chosen = client
        .send(Method::POST, &action, &[("content-type", "application/x-www-form-urlencoded")], b"agent=zoe".to_vec())
        .await;
    let page = client.follow(chosen).await;
    assert_eq!(page.url, format!("{ORIGIN}/chat"));
    assert_eq!(email_at_app(&page).as_deref(), Some("zoe.dalmeida@test.proconnect.gouv.fr"));
    assert!(header_at_app(&page, "x-auth-request-user").is_some());
}

fn tricks() -> Vec<String> {
    let lines = include_str!("../vectors/open-redirects.txt").lines().filter(|line| !line.starts_with("## "));
    let tricks: Vec<String> = lines
        .map(|line| line.replace("<TAB>", "\t").replace("<LF>", "\n").replace("<CR>", "\r").replace("<NUL>", "\0"))
        .collect();
    assert!(tricks.len() > 100);
    tricks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_return_address_leads_off_the_site_whichever_way_it_comes() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let front = format!("{ORIGIN}/");
    for (index, trick) in tricks().iter().enumerate() {
        // Who signs in again and again, and is signed in, goes round in circles.
        client.drop_cookie(LOGIN);
        let encoded: String = url::form_urlencoded::byte_serialize(trick.as_bytes()).collect();
        // Where it is used at once.
        let on = client.navigate(&format!("/oauth2/sign_in?rd={encoded}")).await;
        assert_eq!((on.status, on.location()), (302, front.as_str()), "{trick:?}");
        // Where it travels through the provider: by query, by form, and twice over.
        let started = match index % 3 {
            0 => client.navigate(&format!("/oauth2/start?rd={encoded}")).await,
            1 => client.submit("/oauth2/start", &format!("rd={encoded}")).await,
            _ => client.navigate(&format!("/oauth2/start?rd=/good&rd={encoded}")).await,
        };
        assert!(started.location().starts_with(site.provider.issuer()), "{trick:?}");
        let callback = to_callback(&client, started).await;
        let arrived = client.navigate(&callback).await;
        assert_eq!((arrived.status, arrived.location()), (302, front.as_str()), "{trick:?}");
    }
    // As the page that a form was on.
    let stranger = site.client();
    for trick in tricks().iter().filter(|trick| http::HeaderValue::from_str(trick).is_ok()) {
        let headers = [("referer", trick.as_str()), ("sec-fetch-mode", "navigate"), ("accept", "text/html")];
        let page = stranger.send(Method::POST, "/form", &headers, b"a=b".to_vec()).await;
        assert!(page.text().contains("name=\"rd\" value=\"/\""), "{trick:?}: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_take_their_own_methods_only() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let before = client.cookie_header("app.example");
    let cases = [
        ("PUT", "start"),
        ("DELETE", "sign_in"),
        ("POST", "callback"),
        ("OPTIONS", "callback"),
        ("PATCH", "sign_out"),
        ("DELETE", "sign_out"),
        ("POST", "signed_out"),
        ("PROPFIND", "start"),
    ];
    for (method, name) in cases {
        let answer = client
            .send(
                method.parse().unwrap(),
                &format!("/oauth2/{name}"),
                &[("sec-fetch-site", "same-origin"), ("origin", ORIGIN)],
                Vec::new(),
            )
            .await;
        assert_eq!(answer.status, 405, "{method} {name}");
        let allow = if matches!(name, "callback" | "signed_out") { "GET, HEAD" } else { "GET, HEAD, POST" };
        assert_eq!(answer.header("allow"), Some(allow), "{method} {name}");
        assert!(answer.set_cookies().is_empty() && answer.header("location").is_none(), "{method} {name}");
    }
    assert_eq!(client.cookie_header("app.example"), before);
    assert_eq!(client.fetch("/still-in").await.status, 200);
}
