//! The provider is asked again: once per session, whoever is waiting, and what follows from its
//! answer.

use crate::support::client::Client;
use crate::support::shown::{SESSION, TOKENS, assert_error, email_at_app, header_at_app};
use crate::support::site::{Setup, Site};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use vestibule::demo::provider::{Agent, Down, Hold, IdTokenFault, RefreshFault};
use vestibule::pages::{ErrorKind, Language};

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
/// What the demo provider's access tokens last, as ProConnect's do.
const TOKEN: Duration = Duration::from_secs(3600);

fn session(keys: &str) -> Setup {
    let more = format!("session: {{{keys}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}");
    Setup { more, ..Setup::default() }
}

/// A site whose idle limit leaves room for tokens to end.
async fn site() -> Site {
    Site::with(session("idle: 4h")).await
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Who the app takes a program for; `None` where it was not let through.
async fn seen(client: &Client) -> Option<String> {
    let answer = client.fetch("/").await;
    if answer.status == 200 { email_at_app(&answer) } else { None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_says_now_is_what_the_app_hears() {
    let site = site().await;
    let client = site.signed_in().await;
    site.provider
        .change_agent(&sub(&client).await, |agent| agent.email = "h.moreau@test.proconnect.gouv.fr".to_owned());
    site.clock.advance(minutes(58));
    assert_eq!(seen(&client).await.as_deref(), Some(EMAIL), "before the margin nobody asks");
    site.clock.advance(minutes(1));
    let (identity, tokens) = (client.cookie(SESSION), client.cookie(TOKENS));
    let answer = client.fetch("/").await;
    assert_eq!(email_at_app(&answer).as_deref(), Some("h.moreau@test.proconnect.gouv.fr"));
    assert!(client.cookie(SESSION) != identity && client.cookie(TOKENS) != tokens, "{:?}", answer.set_cookies());
    assert_eq!(site.provider.counters().refreshed, 1);
    // And again an hour later, with the rotated refresh token.
    site.clock.advance(TOKEN);
    assert!(seen(&client).await.is_some());
    assert_eq!((site.provider.counters().refreshed, site.provider.counters().refresh_reuse), (2, 0));
}

/// The `sub` that the app was told.
async fn sub(client: &Client) -> String {
    header_at_app(&client.fetch("/").await, "x-auth-request-user").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_at_once_ask_once() {
    let site = site().await;
    let client = Arc::new(site.signed_in().await);
    site.clock.advance(minutes(61));
    let cookies = client.cookie_header("app.example").unwrap();
    let all = (0..200).map(|_| {
        let (client, cookies) = (Arc::clone(&client), cookies.clone());
        async move { client.get("/", &[("accept", "application/json"), ("cookie", &cookies)]).await }
    });
    for answer in join_all(all).await {
        assert_eq!((answer.status, email_at_app(&answer).as_deref()), (200, Some(EMAIL)), "{}", answer.text());
    }
    let counters = site.provider.counters();
    assert_eq!((counters.refresh, counters.refresh_reuse), (1, 0));
    // A late request with the cookies of before, an hour after.
    site.clock.advance(minutes(30));
    let late = client.get("/", &[("accept", "application/json"), ("cookie", &cookies)]).await;
    assert_eq!(email_at_app(&late).as_deref(), Some(EMAIL));
    assert_eq!(site.provider.counters().refresh, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_asks_early_the_others_do_not_wait() {
    let site = site().await;
    let client = Arc::new(site.signed_in().await);
    let hold = Hold::default();
    site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::Held(hold.clone())));
    // Within the margin: the token still counts.
    site.clock.advance(Duration::from_secs(3550));
    let cookies = client.cookie_header("app.example").unwrap();
    let first = tokio::spawn({
        let (client, cookies) = (Arc::clone(&client), cookies.clone());
        async move { client.get("/", &[("accept", "application/json"), ("cookie", &cookies)]).await }
    });
    hold.arrived(1).await;
    for _ in 0..10 {
        let other = client.get("/", &[("accept", "application/json"), ("cookie", &cookies)]).await;
        assert_eq!(email_at_app(&other).as_deref(), Some(EMAIL));
        assert_eq!(other.set_cookies().len(), 1, "its idle limit moves on, no more: {:?}", other.set_cookies());
    }
    assert!(!first.is_finished());
    hold.release();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(site.provider.counters().refresh, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_another_s_identity_while_the_provider_is_slow() {
    let site = site().await;
    let mut people = Vec::new();
    for number in 0..50 {
        let email = format!("agent{number}@test.proconnect.gouv.fr");
        site.provider.sign_in_as(Agent::new("Agent", &format!("Numéro {number}"), &email));
        people.push((Arc::new(site.signed_in().await), email));
    }
    let hold = Hold::default();
    site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::Held(hold.clone())));
    site.clock.advance(minutes(61));
    let ask = |(client, email): &(Arc<Client>, String)| {
        let (client, email) = (Arc::clone(client), email.clone());
        let cookies = client.cookie_header("app.example").unwrap();
        tokio::spawn(async move {
            let answer = client.get("/", &[("accept", "application/json"), ("cookie", &cookies)]).await;
            assert_eq!((answer.status, email_at_app(&answer)), (200, Some(email)), "{}", answer.text());
        })
    };
    // One request of each, which asks the provider; and while those wait, and when they are
    // answered, the others.
    let first: Vec<_> = people.iter().map(ask).collect();
    hold.arrived(50).await;
    let others: Vec<_> = (0..9).flat_map(|_| people.iter().map(ask)).collect();
    hold.release();
    for one in first.into_iter().chain(others) {
        one.await.unwrap();
    }
    let counters = site.provider.counters();
    assert_eq!((counters.refresh, counters.refresh_reuse), (50, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_no_longer_vouches_ends_the_session_gently() {
    let faults = [
        RefreshFault::InvalidGrant,
        RefreshFault::IdToken(IdTokenFault::WrongSubject),
        RefreshFault::IdToken(IdTokenFault::WrongIssuer),
        RefreshFault::IdToken(IdTokenFault::WrongAudience),
    ];
    for fault in faults {
        let site = site().await;
        let (program, person) = (site.signed_in().await, site.signed_in().await);
        let copy = program.cookie_header("app.example").unwrap();
        site.provider.faults().set(|faults| faults.refresh = Some(fault.clone()));
        site.clock.advance(minutes(61));
        let refused = program.fetch("/").await;
        assert_eq!((refused.status, refused.json()["error"].as_str()), (401, Some("not_signed_in")), "{fault:?}");
        // A person is led to sign in, once, and is in.
        let away = person.navigate("/deep").await;
        assert!(away.location().starts_with(site.provider.issuer()), "{fault:?}: {}", away.location());
        assert_eq!(email_at_app(&person.follow(away).await).as_deref(), Some(EMAIL));
        // The session is over for good, for copies too, whatever the provider says later.
        site.provider.faults().clear();
        let asked = site.provider.counters().refresh;
        assert_eq!(program.get("/", &[("accept", "application/json"), ("cookie", &copy)]).await.status, 401);
        assert_eq!(site.provider.counters().refresh, asked, "{fault:?}: nobody asks for a session that is over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_keeps_sessions_going_for_an_hour() {
    let site = site().await;
    let client = site.signed_in().await;
    site.provider.faults().set(|faults| faults.down = Some(Down::Unavailable));
    site.clock.advance(minutes(59));
    // Every minute until an hour after the tokens ended.
    for minute in 59..120 {
        assert_eq!(seen(&client).await.as_deref(), Some(EMAIL), "minute {minute}");
        site.clock.advance(minutes(1));
    }
    assert!(site.provider.counters().refresh == 0, "what is refused is not counted");
    let page = client.navigate("/").await;
    assert_eq!(page.header("retry-after"), Some("30"));
    assert_error(&page, ErrorKind::SessionUnavailable, Language::French).await;
    let answer = client.fetch("/").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("session_unavailable")));
    // It comes back, and so does the session: nobody has to sign in.
    site.provider.faults().clear();
    site.clock.advance(minutes(1));
    assert_eq!(seen(&client).await.as_deref(), Some(EMAIL));
    assert_eq!(site.provider.counters().refreshed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_goes_away_takes_no_answer_with_it() {
    let site = site().await;
    let client = Arc::new(site.signed_in().await);
    let hold = Hold::default();
    // The refresh token is used up; only its answer waits.
    site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::AnswerHeld(hold.clone())));
    site.clock.advance(minutes(61));
    let gone = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.fetch("/").await }
    });
    hold.arrived(1).await;
    gone.abort();
    let _ = gone.await;
    site.provider.faults().clear();
    hold.release();
    assert_eq!(seen(&client).await.as_deref(), Some(EMAIL));
    assert_eq!((site.provider.counters().refresh, site.provider.counters().refresh_reuse), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_in_the_store_leave_one_small_cookie_and_are_renewed_all_the_same() {
    let site = Site::with(session("idle: 4h, keep: store")).await;
    let client = site.signed_in().await;
    assert!(client.cookie(SESSION).is_some_and(|cookie| cookie.len() < 500) && client.cookie(TOKENS).is_none());
    for _ in 0..3 {
        site.clock.advance(minutes(61));
        assert_eq!(seen(&client).await.as_deref(), Some(EMAIL));
        assert!(client.cookie(TOKENS).is_none());
    }
    assert_eq!((site.provider.counters().refreshed, site.provider.counters().refresh_reuse), (3, 0));
    // The tokens are there for the sign-out too: the provider is told whose it is.
    let out = client.submit("/oauth2/sign_out", "").await;
    assert!(out.location().contains("id_token_hint="), "{}", out.location());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_of_presence_need_one_sign_in() {
    let site = Site::with(session("idle: 30d, lifetime: 180d")).await;
    site.provider.set_session_lifetime(minutes(365 * 24 * 60));
    let client = site.signed_in().await;
    for day in 1..180 {
        site.clock.advance(minutes(24 * 60));
        assert_eq!(seen(&client).await.as_deref(), Some(EMAIL), "day {day}");
    }
    let counters = site.provider.counters();
    assert_eq!((counters.authorize, counters.refreshed, counters.refresh_reuse), (1, 179, 0));
    site.clock.advance(minutes(24 * 60));
    assert_eq!(seen(&client).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_never_refreshed_goes_on_by_its_own_limits() {
    let site = Site::with(session("idle: 30d, lifetime: 60d, refresh: never")).await;
    let client = site.signed_in().await;
    site.provider.faults().set(|faults| faults.down = Some(Down::Unavailable));
    for _ in 0..5 {
        site.clock.advance(minutes(10 * 24 * 60));
        assert_eq!(seen(&client).await.as_deref(), Some(EMAIL));
    }
    assert_eq!(site.provider.counters().refresh, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_of_the_sign_in_is_asked_for_and_checked() {
    let site = Site::with(session("idle: 1h, sign_in_age: 30m, refresh: never")).await;
    let client = site.client();
    let away = client.navigate("/").await;
    assert!(away.location().contains("max_age=1800"), "{}", away.location());
    assert_eq!(email_at_app(&client.follow(away).await).as_deref(), Some(EMAIL));
    site.clock.advance(minutes(29));
    assert!(seen(&client).await.is_some());
    site.clock.advance(minutes(1));
    assert_eq!(client.fetch("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_another_renewal_are_not_presented() {
    // An identity cookie of one renewal with the tokens cookie of another, as when a browser loses
    // one of two `Set-Cookie`: the tokens of before would look stolen.
    let site = site().await;
    let client = site.signed_in().await;
    let before = client.cookie(TOKENS).unwrap();
    site.clock.advance(minutes(61));
    assert!(seen(&client).await.is_some());
    client.set_cookie(TOKENS, &before);
    site.clock.advance(minutes(61));
    assert_eq!(seen(&client).await.as_deref(), Some(EMAIL), "the store has the right ones");
    assert_eq!((site.provider.counters().refreshed, site.provider.counters().refresh_reuse), (2, 0));
}
