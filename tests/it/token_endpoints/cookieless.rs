//! An app without any cookie: each `state` gets the next one, and a copy of one is found out.

use super::super::support::counterparts::require;
use super::super::support::redis::Redis;
use super::*;

const COOKIELESS: &str = ", cookieless: true";

async fn bare_site(store: &str, issuer: Option<String>) -> Site {
    let setup = setup(COOKIELESS, "keep: store, idle: 4h, ", store);
    Site::with(Setup { issuer, ..setup }).await
}

async fn renewed(site: &Site, held: &Held) -> Held {
    let client = site.client();
    let answer = until_well(async || refresh(&client, held).await).await;
    assert!(client.cookie_names().is_empty(), "{:?}", client.cookie_names());
    Held::of(&answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cookie_is_set_or_needed_and_each_state_gets_the_next() {
    let site = bare_site("", None).await;
    let page = site.client();
    let held = signed_in(&page).await;
    assert!(page.cookie_names().is_empty(), "{:?}", page.cookie_names());
    assert_eq!(email_at_app(&get(&site.client(), "/api/chat", &held.bearer()).await).as_deref(), Some(EMAIL));
    let mut next = held.clone();
    for _ in 0..4 {
        site.clock.advance(Duration::from_secs(301));
        not_counted(&get(&site.client(), "/api/chat", &next.bearer()).await);
        let renewed = renewed(&site, &next).await;
        assert_ne!(renewed.state, next.state);
        // The answer was lost, or another tab asks as well.
        self::renewed(&site, &next).await;
        assert_eq!(email_at_app(&get(&site.client(), "/api/chat", &renewed.bearer()).await).as_deref(), Some(EMAIL));
        next = renewed;
    }
    // The provider is asked when it is due, and the next `state` knows what came of it.
    site.clock.advance(Duration::from_secs(3601));
    next = renewed(&site, &next).await;
    site.clock.advance(Duration::from_secs(3601));
    next = renewed(&site, &next).await;
    assert_eq!((site.provider.counters().refreshed, site.provider.counters().refresh_reuse), (2, 0));
    let out = post(&site.client(), "/api/logout", &json!({"state": next.state}), &[]).await;
    assert_eq!((out.status, out.set_cookies().len()), (200, 0));
    not_counted(&get(&site.client(), "/api/chat", &next.bearer()).await);
    refused(&refresh(&site.client(), &next).await, 401, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_used_again_later_ends_the_session() {
    let site = bare_site("", None).await;
    for rounds in [0, 1, 3] {
        let held = signed_in(&site.client()).await;
        let mut next = held.clone();
        for _ in 0..=rounds {
            site.clock.advance(Duration::from_secs(31));
            next = renewed(&site, &next).await;
        }
        assert_eq!(get(&site.client(), "/api/chat", &next.bearer()).await.status, 200);
        site.clock.advance(Duration::from_secs(30));
        refused(&refresh(&site.client(), &held).await, 401, "invalid_grant");
        // Neither of the two goes on.
        not_counted(&get(&site.client(), "/api/chat", &next.bearer()).await);
        refused(&refresh(&site.client(), &next).await, 401, "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_met_an_outage_is_not_used_up() {
    let site = bare_site("", None).await;
    let held = signed_in(&site.client()).await;
    site.provider.faults().set(|faults| faults.down = Some(Down::Unavailable));
    // Longer than the session goes on without its provider.
    site.clock.advance(Duration::from_secs(7201));
    for _ in 0..3 {
        assert_eq!(refresh(&site.client(), &held).await.status, 503);
        site.clock.advance(Duration::from_secs(31));
    }
    site.provider.faults().clear();
    let next = renewed(&site, &held).await;
    assert_eq!(get(&site.client(), "/api/chat", &next.bearer()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thief_within_the_grace_is_found_out_later() {
    let site = bare_site("", None).await;
    let held = signed_in(&site.client()).await;
    let (person, thief) = (renewed(&site, &held).await, renewed(&site, &held).await);
    site.clock.advance(Duration::from_secs(100));
    let thief = renewed(&site, &thief).await;
    site.clock.advance(Duration::from_secs(100));
    refused(&refresh(&site.client(), &person).await, 401, "invalid_grant");
    not_counted(&get(&site.client(), "/api/chat", &thief.bearer()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_sign_in_is_bound_to_its_state_alone_and_counts_once() {
    let site = bare_site("", None).await;
    let (page, other) = (site.client(), site.client());
    let (url, state) = authorize(&page).await;
    let (code, _) = back(&page, &url, &format!("{ORIGIN}{CALLBACK}")).await;
    let (_, of_another) = authorize(&other).await;
    // Another attempt's `state` does not fit the code: nonce and PKCE are its own.
    let crossed = post(&other, "/api/token", &json!({"code": code, "state": of_another}), &[]).await;
    refused(&crossed, 401, "invalid_grant");
    let stray = page.navigate(&format!("/oauth2/callback?code={code}&state={state}")).await;
    assert_eq!(stray.status, 400);
    let (url, state) = authorize(&page).await;
    let (code, _) = back(&page, &url, &format!("{ORIGIN}{CALLBACK}")).await;
    let body = json!({"code": code, "state": state});
    let held = Held::of(&post(&other, "/api/token", &body, &[]).await);
    refused(&post(&page, "/api/token", &body, &[]).await, 400, "invalid_state");
    // A `state` of the other kind of app opens nothing here, nor does one that is no `state`.
    let with_cookies = super::site().await;
    let foreign = signed_in(&with_cookies.client()).await;
    for state in [foreign.state.as_str(), &held.token, "x"] {
        let answer = post(&site.client(), "/api/refresh", &json!({"state": state}), &[]).await;
        refused(&answer, 401, "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_two_replicas_there_is_one_line_of_states_and_a_copy_is_found_out_on_both() {
    require!(Redis);
    let redis = Redis::start().await;
    let store = format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n", redis.port);
    let one = bare_site(&store, None).await;
    let two = bare_site(&store, Some(one.provider.issuer().to_owned())).await;
    let advance = |seconds| [&one, &two].map(|site| site.clock.advance(Duration::from_secs(seconds)));
    let held = signed_in(&one.client()).await;
    // Twenty at once, on both: all of them get on, and the provider is asked once.
    advance(3601);
    let all = (0..20).map(|index| {
        let (client, held) = (if index % 2 == 0 { one.client() } else { two.client() }, held.clone());
        async move { Held::of(&until_well(async || refresh(&client, &held).await).await) }
    });
    let all = join_all(all).await;
    let counters = one.provider.counters();
    assert_eq!((counters.refreshed, counters.refresh_reuse), (1, 0));
    for held in &all {
        assert_eq!(get(&two.client(), "/api/chat", &held.bearer()).await.status, 200);
    }
    advance(31);
    let next = renewed(&two, &all[0]).await;
    advance(31);
    // The others are one and the same to us: used, and too late.
    refused(&refresh(&one.client(), &all[1]).await, 401, "invalid_grant");
    not_counted(&get(&one.client(), "/api/chat", &next.bearer()).await);
    super::super::support::waiting::until("the other replica has heard of it", async || {
        get(&two.client(), "/api/chat", &next.bearer()).await.status == 401
    })
    .await;
}
