//! What could undo a step-up, or make less of one: renewals and answers that were under way, what nobody
//! pressed a button for, and links that ask for less.

use super::step_up::{AGE, at_level, essential, session_of, setup, site};
use super::support::client::{Answer, Client};
use super::support::scene::app_of;
use super::support::shown::{SESSION, assert_error};
use super::support::site::{Setup, Site};
use super::support::waiting::until;
use axum::Router;
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use vestibule::demo::provider::{Hold, IdTokenFault, RefreshFault};
use vestibule::pages::{ErrorKind, Language};

/// The cookies that a person has now, as a program sends them.
fn shown(person: &Client) -> String {
    person.cookie_header("app.example").unwrap()
}

/// Whether an answer sets the session cookie.
fn sets_session(answer: &Answer) -> bool {
    answer.set_cookies().iter().any(|cookie| cookie.starts_with(&format!("{SESSION}=")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_is_under_way_does_not_undo_it() {
    for fault in [RefreshFault::Held, RefreshFault::AnswerHeld] {
        let site = site().await;
        let person = Arc::new(site.signed_in().await);
        let before = session_of(&person.fetch("/x").await);
        let hold = Hold::default();
        site.provider.faults().set(|faults| faults.refresh = Some(fault(hold.clone())));
        // Within the margin, in which nobody waits for it.
        site.clock.advance(Duration::from_secs(3550));
        let cookies = shown(&person);
        let renewal = tokio::spawn({
            let person = Arc::clone(&person);
            async move { person.get("/x", &[("accept", "application/json"), ("cookie", &cookies)]).await }
        });
        hold.arrived(1).await;
        site.provider.sign_in_as(at_level("eidas1-mfa"));
        assert_eq!(person.browse("/mfa/x").await.status, 200);
        assert!(!renewal.is_finished());
        hold.release();
        let late = renewal.await.unwrap();
        assert!(!sets_session(&late), "{:?}", late.set_cookies());
        // The session goes on, at its new level, and is renewed with its new tokens.
        let after = person.fetch("/mfa/x").await;
        assert_eq!((after.status, session_of(&after)), (200, before));
        site.provider.faults().clear();
        let renewed = site.provider.counters().refreshed;
        site.clock.advance(Duration::from_secs(3600));
        assert_eq!(person.fetch("/mfa/x").await.status, 200);
        assert_eq!(site.provider.counters().refreshed, renewed + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_began_before_it_does_not_take_it_away() {
    let (arrived, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counts, waits) = (Arc::clone(&arrived), Arc::clone(&gate));
    let slow = async move || {
        counts.fetch_add(1, Ordering::Relaxed);
        waits.acquire().await.unwrap().forget();
        "at last"
    };
    let router = Router::new().route("/slow", get(slow)).route("/{*rest}", get(async || "at once"));
    let upstream = Some(app_of(router).await);
    let site = Site::with(Setup { upstream, ..setup("") }).await;
    for steps_up in [false, true] {
        site.provider.sign_in_as(at_level("eidas1"));
        let person = Arc::new(site.signed_in_at("/x").await);
        // Its idle limit moves on with this answer.
        site.clock.advance(Duration::from_secs(1800));
        let (cookies, begun) = (shown(&person), arrived.load(Ordering::Relaxed));
        let answer = tokio::spawn({
            let person = Arc::clone(&person);
            async move { person.get("/slow", &[("accept", "application/json"), ("cookie", &cookies)]).await }
        });
        until("the app has the request", async || arrived.load(Ordering::Relaxed) > begun).await;
        if steps_up {
            site.provider.sign_in_as(at_level("eidas1-mfa"));
            assert_eq!(person.browse("/mfa/x").await.status, 200);
        }
        gate.add_permits(1);
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, sets_session(&answer)), (200, !steps_up), "{:?}", answer.set_cookies());
        assert_eq!(person.fetch("/mfa/x").await.status == 200, steps_up);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_pressed_ends_no_session_at_the_provider() {
    let site = site().await;
    let person = site.signed_in().await;
    site.clock.advance(AGE);
    let end = format!("{}/session/end?", site.provider.issuer());
    let authorize = format!("{}/authorize?", site.provider.issuer());
    let navigation = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    for ahead in [("sec-purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch")] {
        for path in ["/fresh/x", "/oauth2/start?max_age=60&rd=/fresh/x"] {
            let led = person.get(path, &[&navigation[..], &[ahead]].concat()).await;
            assert!(led.location().starts_with(&authorize), "{path} {ahead:?}: {}", led.location());
        }
    }
    for (mode, dest) in [("no-cors", "image"), ("no-cors", "style"), ("cors", "empty"), ("no-cors", "script")] {
        let subresource = [("accept", "*/*"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        let started = person.get("/oauth2/start?max_age=60&rd=/fresh/x", &subresource).await;
        assert!(!started.location().starts_with(&end), "{dest}: {}", started.location());
        let asked = person.get("/fresh/x", &subresource).await;
        assert_eq!((asked.status, asked.header("location")), (401, None), "{dest}");
    }
    // A person is led there.
    assert!(person.get("/fresh/x", &navigation).await.location().starts_with(&end));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_for_less_than_all_sign_ins_have_to_be() {
    let provider = "    acr_values: [eidas1-mfa, eidas2]\n".to_owned();
    let site = Site::with(Setup { provider, ..setup("") }).await;
    site.provider.sign_in_as(at_level("eidas1-mfa"));
    let person = site.signed_in().await;
    for (asked, sent) in [
        ("eidas1", json!(["eidas1-mfa", "eidas2"])),
        ("eidas0+eidas1", json!(["eidas1-mfa", "eidas2"])),
        ("eidas1+eidas2", json!(["eidas2"])),
        ("eidas2+eidas1-mfa", json!(["eidas2", "eidas1-mfa"])),
    ] {
        let led = person.navigate(&format!("/oauth2/start?acr_values={asked}&rd=/x")).await;
        assert_eq!(essential(led.location()), sent, "{asked}");
    }
    // Nor is less taken, where the provider gives it all the same.
    let led = person.navigate("/oauth2/start?acr_values=eidas1&rd=/x").await;
    site.provider.faults().set(|faults| faults.id_token = Some(IdTokenFault::Acr("eidas1".into())));
    let answered = person.navigate(led.location()).await;
    let page = person.navigate(answered.location()).await;
    assert_error(&page, ErrorKind::AuthenticationLevelNotReached, Language::French).await;
    assert_eq!(person.fetch("/mfa/x").await.status, 200);
}
