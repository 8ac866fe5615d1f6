//! The front proxies as a person meets them: Chromium, over TLS and HTTP/2, with each of the shipped
//! files. What programs and forgers send is in `front_proxies`.

use super::front_proxies::{EMAIL, site_of};
use crate::support::browser::Browser;
use crate::support::counterparts::{Counterpart, require};
use crate::support::front_proxy::FrontProxy;
use serde_json::{Value, json};

/// Opens a WebSocket, and gives its first message and the echo of another.
const SOCKET: &str = "return new Promise((tell) => { \
    const socket = new WebSocket('wss://app.example/ws'); const heard = []; \
    socket.onopen = () => socket.send('bonjour'); \
    socket.onmessage = (event) => { if (heard.push(event.data) === 2) { socket.close(); tell(heard); } }; \
    socket.onclose = () => tell(heard); })";

/// Status and body of what a script of the page asks for.
const FETCH: &str = "return fetch(arguments[0]).then(async (answer) => [answer.status, await answer.text()])";

fn values<'a>(echo: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = echo["headers"].as_array().unwrap().iter();
    headers.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
}

async fn a_person_uses(which: Counterpart) {
    let site = site_of(&format!("{which:?}").to_lowercase()).await;
    let front = FrontProxy::start(which, site.address, site.echo.address).await;
    a_person_uses_it(which, &front).await;
}

async fn a_person_uses_it(which: Counterpart, front: &FrontProxy) {
    let browser = Browser::start_reaching("app.example", front.listens).await;
    let target = "/app/deep/caf%C3%A9?x=a%20b&y=%26";
    browser.goto(&format!("https://app.example{target}")).await;
    let page: Value = serde_json::from_str(&browser.text("body").await).unwrap();
    assert_eq!(page["target"], target, "{which:?}");
    assert_eq!(values(&page, "x-auth-request-email"), [EMAIL], "{which:?}");
    assert_eq!(values(&page, "cookie"), [""; 0], "{which:?}");
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.execute(protocol, json!([])).await, "h2", "{which:?}");
    let cookies = browser.cookies().await;
    assert!(cookies.iter().any(|cookie| cookie.name == "__Host-vestibule"), "{which:?}: {cookies:?}");
    for cookie in &cookies {
        assert!(
            cookie.name.starts_with("__Host-vestibule") && cookie.secure && cookie.http_only,
            "{which:?}: {cookie:?}"
        );
    }

    assert_eq!(browser.execute(FETCH, json!(["/app/data"])).await[0], 200, "{which:?}");
    let heard = browser.execute(SOCKET, json!([])).await;
    let handshake: Value =
        serde_json::from_str(heard[0].as_str().unwrap_or_else(|| panic!("{which:?}: {heard}"))).unwrap();
    assert_eq!(values(&handshake, "x-auth-request-email"), [EMAIL], "{which:?}");
    assert_eq!(heard[1], "bonjour", "{which:?}");

    // Another tab learns of the sign-out with its next request.
    let here = browser.tab().await;
    let other = browser.open_tab().await;
    browser.goto("https://app.example/oauth2/sign_out").await;
    browser.click("form button").await;
    browser.wait_for_url(|url| url.starts_with("https://app.example/oauth2/signed_out")).await;
    browser.switch_to_tab(&here).await;
    assert_eq!(browser.execute(FETCH, json!(["/app/data"])).await[0], 401, "{which:?}");
    let heard = browser.execute(SOCKET, json!([])).await;
    assert_eq!(heard, json!([]), "{which:?}");
    browser.close_tab(&other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_behind_nginx() {
    require!(Chromium, Nginx);
    a_person_uses(Counterpart::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_behind_caddy() {
    require!(Chromium, Caddy);
    a_person_uses(Counterpart::Caddy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_behind_haproxy() {
    require!(Chromium, Haproxy);
    a_person_uses(Counterpart::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_behind_envoy() {
    require!(Chromium, Envoy);
    a_person_uses(Counterpart::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_behind_envoy_that_asks_over_grpc() {
    require!(Chromium, Envoy);
    let site = site_of("envoy-grpc").await;
    let front = FrontProxy::start_over_grpc(site.address, site.grpc.unwrap(), site.echo.address).await;
    a_person_uses_it(Counterpart::Envoy, &front).await;
}
