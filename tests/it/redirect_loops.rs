//! A browser whose session does not stay is sent round in circles: the third round trip within a minute ends on
//! a page that says why, and the log says the same. Nobody else sees that page.

use super::support::client::{Answer, Client, NAVIGATION};
use super::support::log_watch::access_line_with;
use super::support::shown::{LOGIN, SESSION};
use super::support::site::{NEXT_SESSION_KEY, Setup, Site};
use std::time::Duration;
use vestibule::pages::LoopCause;

/// Goes round once: from a page of the site to the provider and back, up to where the page is asked for again.
async fn round(client: &Client, headers: &[(&str, &str)]) -> Answer {
    let asks = client.get("/page?x=1", &[&NAVIGATION[..], headers].concat()).await;
    if asks.status != 302 {
        return asks;
    }
    let answered = client.navigate(asks.location()).await;
    client.navigate(answered.location()).await
}

/// What a browser ends on whose session `lose` takes away after each sign-in.
async fn ends_on(client: &Client, headers: &[(&str, &str)], lose: impl Fn(&Client)) -> Answer {
    for _ in 0..2 {
        let back = round(client, headers).await;
        assert_eq!((back.status, back.location()), (302, "https://app.example/page?x=1"));
        lose(client);
    }
    round(client, headers).await
}

/// The page of this cause, in two languages' sense once, and the line in the log with the same reference.
async fn assert_stops(page: &Answer, cause: LoopCause) {
    let text = page.text();
    assert_eq!((page.status, page.header("cache-control")), (400, Some("no-store")), "{text}");
    assert!(text.contains("La connexion tourne en rond") && !text.contains("<script"), "{text}");
    let id = text.split("<code>").nth(1).unwrap().split('<').next().unwrap();
    let line = access_line_with(id).await;
    let expected = format!("redirect loop: {cause}");
    assert_eq!(
        (&line["reason"], &line["level"], &line["decision"]),
        (&expected.into(), &"ERROR".into(), &"loop".into())
    );
}

fn drops(client: &Client) {
    client.drop_cookie(SESSION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_come_back_is_told_by_where_and_how_the_page_was_asked_for() {
    let site = Site::with(Setup { more: "trusted_proxies: [127.0.0.1]\n".to_owned(), ..Setup::default() }).await;
    let much = (0..60).map(|n| format!("app-{n}=x")).collect::<Vec<_>>().join("; ");
    // The whole page, and that it can be tried again: from the beginning.
    let client = site.client();
    let page = ends_on(&client, &[], drops).await;
    assert_stops(&page, LoopCause::NotKept).await;
    assert!(page.text().contains("<a class=\"button\" href=\"\">Réessayer</a>"), "{}", page.text());
    let english = site.client();
    let page = ends_on(&english, &[("accept-language", "en")], drops).await;
    assert!(page.text().contains("The sign-in goes round in circles") && page.text().contains("Allow cookies"));
    assert_eq!(ends_on(&client, &[], drops).await.status, 400, "trying again is as at the beginning");
    for (headers, cause) in [
        (vec![("x-forwarded-proto", "http")], LoopCause::Insecure),
        (vec![("sec-fetch-dest", "iframe"), ("sec-fetch-site", "cross-site")], LoopCause::Framed),
    ] {
        let others: Vec<_> =
            NAVIGATION.iter().filter(|(name, _)| headers.iter().all(|(held, _)| held != name)).copied().collect();
        let client = site.client();
        for _ in 0..2 {
            round(&client, &[]).await;
            drops(&client);
        }
        assert_stops(&client.get("/page?x=1", &[&others[..], &headers].concat()).await, cause).await;
    }
    let client = site.client();
    for _ in 0..2 {
        round(&client, &[]).await;
        drops(&client);
    }
    let cookies = format!("{LOGIN}={}; {much}", client.cookie(LOGIN).unwrap());
    let page = client.get("/page?x=1", &[&NAVIGATION[..], &[("cookie", cookies.as_str())]].concat()).await;
    assert_stops(&page, LoopCause::TooMuch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_is_told_by_what_it_is() {
    let site = Site::start().await;
    // Of another instance, with other keys.
    let other = Site::with(Setup {
        more: "session: {keys: [{id: k1, secret: {env: NEXT_SESSION_KEY}}]}\n".to_owned(),
        ..Setup::default()
    })
    .await;
    assert!(!NEXT_SESSION_KEY.is_empty());
    let foreign = other.signed_in().await.cookie(SESSION).unwrap();
    let page = ends_on(&site.client(), &[], |client| client.set_cookie(SESSION, &foreign)).await;
    assert_stops(&page, LoopCause::OtherKeys).await;
    // Of an instance whose clock is behind: over as soon as it comes; and of one whose clock is ahead.
    let mut behind = Vec::new();
    for _ in 0..2 {
        behind.push(site.signed_in().await.cookie(SESSION).unwrap());
    }
    site.clock.advance(Duration::from_secs(2 * 3600));
    let behind = std::cell::RefCell::new(behind);
    // A new one at each round, as it would be.
    let page = ends_on(&site.client(), &[], |client| {
        client.set_cookie(SESSION, &behind.borrow_mut().pop().unwrap());
    })
    .await;
    assert_stops(&page, LoopCause::Clock).await;
    other.clock.advance(Duration::from_secs(3600));
    let mut ahead = Vec::new();
    for _ in 0..2 {
        ahead.push(other.signed_in().await.cookie(SESSION).unwrap());
    }
    let ahead = std::cell::RefCell::new(ahead);
    let third = Site::with(Setup {
        more: "session: {keys: [{id: k1, secret: {env: NEXT_SESSION_KEY}}]}\n".to_owned(),
        ..Setup::default()
    })
    .await;
    let page = ends_on(&third.client(), &[], |client| {
        client.set_cookie(SESSION, &ahead.borrow_mut().pop().unwrap());
    })
    .await;
    assert_stops(&page, LoopCause::Clock).await;
    // Two of the name.
    let client = site.client();
    for _ in 0..2 {
        round(&client, &[]).await;
        if let Some(held) = client.cookie(SESSION) {
            client.set_cookie("held", &held);
        }
        drops(&client);
    }
    let twice = format!("{LOGIN}={}; {SESSION}=a; {SESSION}=b", client.cookie(LOGIN).unwrap());
    let page = client.get("/page?x=1", &[&NAVIGATION[..], &[("cookie", twice.as_str())]].concat()).await;
    assert_stops(&page, LoopCause::Twice).await;
    // Ended from outside: a copy of one that was signed out.
    let ended = site.signed_in().await;
    let copy = ended.cookie(SESSION).unwrap();
    ended.submit("/oauth2/sign_out", "").await;
    site.provider.sign_in_as(super::support::site::agent());
    let page = ends_on(&site.client(), &[], |client| client.set_cookie(SESSION, &copy)).await;
    assert_stops(&page, LoopCause::Ended).await;
}

/// A page at a host that the cookie is not set for: the browser has no cookie of ours there at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_the_cookie_does_not_come_to_is_told() {
    let more = "trusted_proxies: [127.0.0.1]\nforward_auth: {from: nginx, not_signed_in: sign-in}\n\
                sign_in: {return_to: [front.example]}\n"
        .to_owned();
    let site = Site::with(Setup { more, ..Setup::default() }).await;
    let client = site.signed_in().await;
    let asked = [("x-original-url", "https://front.example/page"), ("x-original-method", "GET")];
    let mut last = None;
    for _ in 0..4 {
        let asks = client.get("https://front.example/oauth2/auth", &[&NAVIGATION[..], &asked].concat()).await;
        // The browser refuses what is set for another host; this client would keep it.
        client.drop_cookie_of("front.example", LOGIN);
        let answered = client.navigate(asks.location()).await;
        let back = client.navigate(answered.location()).await;
        if back.status != 302 {
            last = Some(back);
            break;
        }
        assert_eq!(back.location(), "https://front.example/page");
    }
    assert_stops(&last.expect("it is not sent round for ever"), LoopCause::Domain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_that_keeps_the_cookie_to_itself_is_told() {
    let more = "trusted_proxies: [127.0.0.1]\nforward_auth: {from: nginx}\n".to_owned();
    let site = Site::with(Setup { more, ..Setup::default() }).await;
    let client = site.client();
    let target = [("x-auth-request-redirect", "/page")];
    for _ in 0..2 {
        let asks = client.get("/oauth2/start", &[&NAVIGATION[..], &target].concat()).await;
        let answered = client.navigate(asks.location()).await;
        assert_eq!(client.navigate(answered.location()).await.location(), "https://app.example/page");
    }
    let page = client.get("/oauth2/start", &[&NAVIGATION[..], &target].concat()).await;
    assert_stops(&page, LoopCause::NotHandedOn).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_that_does_not_stay_is_told() {
    let routes = "[{path: /page, upstream: app, require: {acr: eidas2}}, {path: /**, upstream: app}]".to_owned();
    let site = Site::with(Setup { routes, ..Setup::default() }).await;
    let client = site.signed_in_at("/x").await;
    site.clock.advance(Duration::from_secs(120));
    let low = client.cookie(SESSION).unwrap();
    let agent = super::support::site::agent();
    site.provider.sign_in_as(vestibule::demo::provider::Agent { acr: "eidas2".to_owned(), ..agent });
    let page = ends_on(&client, &[], |client| client.set_cookie(SESSION, &low)).await;
    assert_stops(&page, LoopCause::NotKept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_in_by_many_tabs_or_often_is_not_stopped() {
    let site = Site::start().await;
    // Ten tabs after the end of a session, each with a round trip of its own.
    let client = site.signed_in().await;
    site.clock.advance(Duration::from_secs(3600));
    for _ in 0..2 {
        let mut begun = Vec::new();
        for tab in 0..10 {
            begun.push(client.navigate(&format!("/tab/{tab}")).await);
        }
        for asks in begun {
            let end = client.follow(asks).await;
            assert_eq!(end.status, 200, "{}", end.text());
        }
        client.drop_cookie(SESSION);
        site.clock.advance(Duration::from_secs(60));
    }
    // Signs out and in again, and again.
    for _ in 0..5 {
        assert_eq!(client.browse("/x").await.status, 200);
        client.follow(client.submit("/oauth2/sign_out", "").await).await;
        site.provider.sign_in_as(super::support::site::agent());
    }
    site.clock.advance(Duration::from_secs(60));
    // Whose session is lost now and then.
    for _ in 0..4 {
        client.drop_cookie(SESSION);
        assert_eq!(client.browse("/x").await.status, 200);
        site.clock.advance(Duration::from_secs(31));
    }
    // By hand, as often as they like.
    for _ in 0..5 {
        client.drop_cookie(SESSION);
        assert_eq!(client.follow(client.submit("/oauth2/start", "rd=/x").await).await.status, 200);
    }
    // The count is nobody's to write.
    let other = site.client();
    assert_eq!(other.browse("/x").await.status, 200);
    let (secret, _) = {
        let value = other.cookie(LOGIN).unwrap();
        let at = value.find('.').unwrap();
        (value[..at].to_owned(), at)
    };
    let now = vestibule::clock::Clock::Manual(site.clock.clone()).now().as_unix();
    other.set_cookie(LOGIN, &format!("{secret}..{now}-9-1-{}", "A".repeat(43)));
    other.drop_cookie(SESSION);
    assert_eq!(other.browse("/x").await.status, 200);
}
