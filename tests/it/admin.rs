//! The operators' listener: health, readiness, metrics, and that nothing of it is anywhere else.

use crate::support::client::{Answer, Client};
use crate::support::site::{Setup, Site};
use crate::support::waiting::until;
use http::Method;
use std::time::Duration;
use vestibule::demo::provider::{DiscoveryFault, Faults, JwksFault};

async fn ask(site: &Site, path: &str) -> Answer {
    Client::new(site.admin).get(path, &[]).await
}

/// Asks again until the answer is as it should be: metrics are counted just after an answer is sent.
async fn eventually(site: &Site, path: &str, right: impl Fn(&Answer) -> bool) -> Answer {
    let mut answer = ask(site, path).await;
    until(&format!("{path} is as it should be"), async || {
        answer = ask(site, path).await;
        right(&answer)
    })
    .await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_is_ready_once_its_provider_was_reached_and_stays_so() {
    let faults = |faults: &mut Faults| faults.discovery = Some(DiscoveryFault::Unavailable);
    let site = Site::with(Setup { faults, ..Setup::default() }).await;
    assert_eq!((ask(&site, "/healthz").await.status, ask(&site, "/healthz").await.text().as_str()), (200, "ok\n"));
    let not_yet = ask(&site, "/readyz").await;
    assert_eq!(not_yet.status, 503);
    assert!(not_yet.text().starts_with("not ready: the provider"), "{}", not_yet.text());
    // Metadata without keys verify nothing.
    site.provider.faults().set(|faults| {
        faults.discovery = None;
        faults.jwks = Some(JwksFault::Unavailable);
    });
    assert_eq!(ask(&site, "/readyz").await.status, 503);
    site.provider.faults().clear();
    // The next try is some seconds off on the wall; on the site's own clock the pause is over.
    site.clock.advance(Duration::from_secs(60));
    eventually(&site, "/readyz", |answer| answer.status == 200).await;
    site.provider.faults().set(|faults| faults.discovery = Some(DiscoveryFault::Unavailable));
    assert_eq!(ask(&site, "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_requests_by_route_and_decision_and_sign_ins_by_outcome() {
    let site = Site::with(Setup {
        upstreams: ", down: {url: \"http://127.0.0.1:1\"}".to_owned(),
        routes: "[{path: /public/**, access: public, upstream: app}, {path: /down, access: public, upstream: down}, \
                 {path: /app/**, upstream: app}]"
            .to_owned(),
        ..Setup::default()
    })
    .await;
    let client = site.signed_in_at("/app/a").await;
    assert_eq!(client.fetch("/app/b").await.status, 200);
    assert_eq!(site.client().fetch("/app/b").await.status, 401);
    assert_eq!(site.client().fetch("/public/a").await.status, 200);
    assert_eq!(site.client().fetch("/nowhere/secret-path").await.status, 404);
    assert_eq!(site.client().fetch("/down").await.status, 502);
    assert_eq!(site.client().fetch("/public%2Fa").await.status, 400);
    assert_eq!(site.client().fetch("/app/%00").await.status, 400);
    assert_eq!(site.client().navigate("/oauth2/callback?state=x").await.status, 400);
    let out = client.submit("/oauth2/sign_out", "").await;
    assert_eq!(out.status, 303);

    let lines = [
        "vestibule_requests_total{decision=\"forward\",route=\"/app/**\"} 2",
        "vestibule_requests_total{decision=\"sign_in\",route=\"\"} 1",
        "vestibule_requests_total{decision=\"forward\",route=\"/public/**\"} 1",
        "vestibule_requests_total{decision=\"forward\",route=\"/down\"} 1",
        "vestibule_requests_total{decision=\"deny\",route=\"\"} 3",
        "vestibule_requests_total{decision=\"bad_request\",route=\"\"} 1",
        "vestibule_requests_total{decision=\"callback\",route=\"\"} 2",
        "vestibule_requests_total{decision=\"sign_out\",route=\"\"} 1",
        "vestibule_sign_ins_total{outcome=\"signed_in\"} 1",
        "vestibule_sign_ins_total{outcome=\"failed\"} 1",
        "vestibule_sign_outs_total{reach=\"provider\"} 1",
        "vestibule_upstream_errors_total{cause=\"ConnectRefused\",upstream=\"down\"} 1",
        "vestibule_decision_seconds_count 8",
        "vestibule_requests_in_flight 0",
    ];
    let all = |answer: &Answer| lines.iter().all(|line| answer.text().lines().any(|there| there == *line));
    let metrics = eventually(&site, "/metrics", all).await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    // Labels have few values, whatever is asked for.
    for word in ["secret-path", "%00", "helene", "127.0.0.1"] {
        assert!(!metrics.text().contains(word), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_stream_is_in_flight_until_it_ends() {
    let site = Site::start().await;
    let cookies = site.signed_in().await.cookie_header("app.example").unwrap();
    let mut raw = crate::support::raw::Raw::connect(site.address).await;
    raw.send(format!("GET /events HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n")).await;
    assert_eq!(raw.head().await.status, 200);
    let in_flight = |count: usize| {
        move |answer: &Answer| answer.text().contains(&format!("vestibule_requests_in_flight {count}\n"))
    };
    eventually(&site, "/metrics", in_flight(1)).await;
    drop(raw);
    eventually(&site, "/metrics", in_flight(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_has_its_own_paths_and_none_of_the_others() {
    let site = Site::start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        // A path like any other: the app's, for whoever is signed in.
        assert_eq!(site.client().fetch(path).await.status, 401, "{path}");
        let answer = site.signed_in().await.fetch(path).await;
        assert_eq!((answer.status, answer.header("x-from")), (200, Some("the app")), "{path}");
        let below = site.client().fetch(&format!("/oauth2{path}")).await;
        assert_eq!(below.status, 404, "{path}");
    }
    for path in ["/sessions/", "/oauth2/sessions", "/oauth2/sign_in", "/oauth2/start", "/public/a", "/metrics/"] {
        assert_eq!(ask(&site, path).await.status, 404, "{path}");
    }
    let posted = Client::new(site.admin).send(Method::POST, "/healthz", &[], Vec::new()).await;
    assert_eq!(posted.status, 405);
}
