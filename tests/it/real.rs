//! The program between real counterparts: ProConnect's provider, FastAPI on uvicorn, Streamlit, and
//! a person's Chromium. Nothing here is imitated, and none of them knows of Vestibule.

use crate::support::browser::Browser;
use crate::support::counterparts::{require, start_fastapi, start_fastapi_on_socket, start_streamlit};
use crate::support::scene::{Cast, EMAIL, ENCODED_NAME, Scene};
use crate::support::waiting::with_allowance;
use serde_json::{Value, json};

/// A query whose every byte must come back.
const DEEP_LINK: &str = "/echo/chambre/7?q=a%20b&accent=%C3%A9t%C3%A9&vide=&q=2";

/// The JSON that the page consists of.
async fn shown(browser: &Browser) -> Value {
    let text = browser.text("body").await;
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// The values of a header in what the app says it received.
fn received<'a>(shown: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = shown["headers"].as_array().unwrap().iter();
    headers.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap()).collect()
}

/// What `fetch` gives a script of the page: status, body as JSON, and a header or two.
async fn fetched(browser: &Browser, path: &str) -> Value {
    let script = "return fetch(arguments[0]).then(async (answer) => ({ status: answer.status, \
                  redirected: answer.redirected, challenge: answer.headers.get('www-authenticate'), \
                  body: await answer.json() }))";
    browser.execute(script, json!([path])).await
}

async fn leads_through_the_provider_and_back(scene: &Scene) {
    let browser = Browser::start_in("fr").await;
    scene.sign_in_as(&browser, "Helene.Moreau@exemple.gouv.fr", DEEP_LINK).await;
    let page = shown(&browser).await;
    let target = format!("{}?{}", page["path"].as_str().unwrap(), page["query"].as_str().unwrap());
    assert_eq!(target, DEEP_LINK);
    for (name, value) in [
        ("x-auth-request-email", "Helene.Moreau@exemple.gouv.fr"),
        ("x-auth-request-preferred-username", ENCODED_NAME),
        ("x-auth-request-groups", "agent_public,agent_public_etat"),
        ("host", scene.vestibule.origin.trim_start_matches("http://")),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(received(&page, name), [value], "{name}");
    }
    assert_eq!(received(&page, "x-auth-request-user")[0].len(), 36);
    let person = fetched(&browser, "/whoami").await;
    assert_eq!(person["body"]["groups"], json!(["agent_public", "agent_public_etat"]));
}

#[tokio::test]
async fn an_es256_client_signs_in_in_front_of_fastapi() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::of(start_fastapi().await, Cast { algorithm: "ES256", ..Cast::default() }).await;
    leads_through_the_provider_and_back(&scene).await;
}

#[tokio::test]
async fn an_hs256_client_with_plain_userinfo_signs_in_in_front_of_fastapi() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::of(start_fastapi().await, Cast { algorithm: "HS256", ..Cast::default() }).await;
    leads_through_the_provider_and_back(&scene).await;
}

#[tokio::test]
async fn an_rs256_client_signs_in_in_front_of_fastapi_on_a_unix_socket() {
    require!(Chromium, OidcProvider, FastApi);
    let directory = tempfile::tempdir().unwrap();
    let app = start_fastapi_on_socket(&directory.path().join("app.sock")).await;
    let scene = Scene::of(app, Cast { algorithm: "RS256", ..Cast::default() }).await;
    leads_through_the_provider_and_back(&scene).await;
}

#[tokio::test]
async fn the_apps_socket_and_event_stream_are_live_and_know_who_it_is() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = scene.signed_in("/page").await;
    browser.wait_for_text("#email", EMAIL).await;
    browser.wait_for_text("#socket", "open").await;
    assert_eq!(browser.text("#socket-email").await, EMAIL);
    browser.wait_until("events come", async || browser.text("#events").await.parse::<u32>().unwrap() >= 3).await;

    // A closed tab is a client that left: the app hears of it through the proxy.
    let first = browser.tab().await;
    let second = browser.open_tab().await;
    browser.switch_to_tab(&first).await;
    browser.close_tab(&second).await;
    browser.goto(&scene.at("/streams")).await;
    browser
        .wait_until("the app saw it leave", async || {
            browser.reload().await;
            let open = shown(&browser).await;
            open["sockets"] == 0 && open["events"] == 0
        })
        .await;
}

#[tokio::test]
async fn a_large_upload_reaches_the_app_whole() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = scene.signed_in("/page").await;
    let script = "const bytes = new Uint8Array(24 * 1024 * 1024).map((_, at) => at % 251); \
                  const hex = (digest) => [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join(''); \
                  return Promise.all([ \
                    crypto.subtle.digest('SHA-256', bytes).then(hex), \
                    fetch('/upload', { method: 'PUT', body: new Blob([bytes]) }).then((answer) => answer.json()), \
                  ])";
    let answer = browser.execute(script, json!([])).await;
    assert_eq!(answer[1]["size"], 24 * 1024 * 1024);
    assert_eq!(answer[1]["sha256"], answer[0]);
    let download =
        "return fetch('/download?bytes=20000000').then(async (answer) => (await answer.arrayBuffer()).byteLength)";
    assert_eq!(browser.execute(download, json!([])).await, 20_000_000);
}

#[tokio::test]
async fn a_script_without_a_session_reads_a_401_and_its_socket_and_stream_are_refused() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = Browser::start().await;
    browser.goto(&scene.at("/health")).await;
    let answer = fetched(&browser, "/whoami").await;
    assert_eq!((&answer["status"], &answer["redirected"]), (&json!(401), &json!(false)), "{answer}");
    assert_eq!(answer["body"]["error"], "not_signed_in", "{answer}");
    assert_eq!(answer["body"]["sign_in"], scene.at("/oauth2/sign_in"));
    assert!(answer["challenge"].as_str().unwrap().starts_with("Vestibule "), "{answer}");

    let script = "return new Promise((done) => { const socket = new WebSocket(`ws://${location.host}/ws`); \
                  socket.onopen = () => done('open'); socket.onclose = ({ code }) => done(code); })";
    assert_eq!(browser.execute(script, json!([])).await, 1006);
    let script = "return new Promise((done) => { const stream = new EventSource('/events'); \
                  stream.onopen = () => done('open'); stream.onerror = () => done(stream.readyState); })";
    assert_eq!(browser.execute(script, json!([])).await, 2, "closed for good, not tried again and again");
}

#[tokio::test]
async fn a_live_page_whose_session_is_lost_hears_of_it_from_its_next_call() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = scene.signed_in("/page").await;
    assert_eq!(fetched(&browser, "/whoami").await["status"], 200);
    browser.forget_cookies().await;
    assert_eq!(fetched(&browser, "/whoami").await["status"], 401);
}

#[tokio::test]
async fn two_tabs_sign_in_at_the_same_time_and_each_is_back_where_it_was() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = Browser::start().await;
    let first = browser.tab().await;
    scene.open_form(&browser, "/echo/first?tab=1").await;
    let second = browser.open_tab().await;
    scene.open_form(&browser, "/echo/second?tab=2").await;

    for (tab, path) in [(&first, "/echo/first?tab=1"), (&second, "/echo/second?tab=2")] {
        browser.switch_to_tab(tab).await;
        browser.click("button[value=sign-in]").await;
        let there = scene.at(path);
        browser.wait_for_url(|url| url == there).await;
        assert_eq!(received(&shown(&browser).await, "x-auth-request-email"), [EMAIL]);
    }
    browser.switch_to_tab(&first).await;
    browser.reload().await;
    assert_eq!(received(&shown(&browser).await, "x-auth-request-email"), [EMAIL]);
}

#[tokio::test]
async fn signing_out_goes_round_by_the_provider_and_does_not_sign_in_again() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = scene.signed_in("/page").await;
    // What a link in the app does.
    browser.execute("location.href = '/oauth2/sign_out'", json!([])).await;
    let signed_out = scene.at("/oauth2/signed_out");
    browser.wait_for_url(|url| url.starts_with(&signed_out)).await;
    browser.wait_for_text("p", "your ProConnect session are closed").await;
    let left: Vec<_> = browser.cookies().await.into_iter().map(|cookie| cookie.name).collect();
    assert_eq!(left, ["vestibule-login"]);

    browser.reload().await;
    browser.wait_for_text("h1", "You are signed out").await;
    assert!(browser.url().await.starts_with(&signed_out));
    browser.goto(&scene.at("/health")).await;
    assert_eq!(fetched(&browser, "/whoami").await["status"], 401);

    // The provider's own session is over too: it asks.
    scene.open_form(&browser, "/page").await;
}

#[tokio::test]
async fn a_typed_sign_out_address_asks_first() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = scene.signed_in("/echo/").await;
    let asking = browser.tab().await;
    browser.goto(&scene.at("/oauth2/sign_out")).await;
    browser.wait_for_text("h1", "Sign out?").await;
    let still = browser.open_tab().await;
    browser.goto(&scene.at("/health")).await;
    assert_eq!(fetched(&browser, "/whoami").await["status"], 200);
    browser.switch_to_tab(&asking).await;
    browser.click("button").await;
    browser.wait_for_text("p", "your ProConnect session are closed").await;
    browser.switch_to_tab(&still).await;
    assert_eq!(fetched(&browser, "/whoami").await["status"], 401);
}

#[tokio::test]
async fn without_signing_out_at_the_provider_a_lost_session_comes_back_without_a_form() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = scene.signed_in("/echo/").await;
    browser.forget_cookies().await;
    browser.goto(&scene.at("/echo/again")).await;
    assert_eq!(browser.url().await, scene.at("/echo/again"));
    assert_eq!(received(&shown(&browser).await, "x-auth-request-email"), [EMAIL]);
}

#[tokio::test]
async fn the_session_cookies_are_out_of_reach_of_scripts_and_of_the_app() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = scene.signed_in("/page").await;
    let cookies = browser.cookies().await;
    let mut names: Vec<_> = cookies.iter().map(|cookie| cookie.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["vestibule", "vestibule-login", "vestibule-tokens"]);
    for cookie in &cookies {
        assert_eq!((cookie.http_only, cookie.same_site.as_str()), (true, "Lax"), "{}", cookie.name);
        assert_eq!((cookie.path.as_str(), cookie.domain.as_str()), ("/", "localhost"), "{}", cookie.name);
    }
    let seen = browser.execute("document.cookie = 'theme=sombre; Path=/'; return document.cookie", json!([])).await;
    assert_eq!(seen, "theme=sombre");

    assert_eq!(received(&fetched(&browser, "/").await["body"], "cookie"), ["theme=sombre"]);
    let handshake = "return new Promise((done) => { const socket = new WebSocket(`ws://${location.host}/ws`); \
                     socket.onmessage = ({ data }) => done(JSON.parse(data)); })";
    assert_eq!(received(&browser.execute(handshake, json!([])).await, "cookie"), ["theme=sombre"]);
}

#[tokio::test]
async fn a_person_who_cancels_is_told_so_and_can_begin_again() {
    require!(Chromium, OidcProvider, FastApi);
    let scene = Scene::with(start_fastapi().await).await;
    let browser = Browser::start_in("fr").await;
    scene.open_form(&browser, "/page").await;
    browser.click("button[value=refuse]").await;
    browser.wait_for_text("h1", "Connexion refusée ou annulée").await;
    browser.click("a.button").await;
    browser.wait_for("[name=email]").await;
}

#[tokio::test]
async fn the_sign_in_page_leads_to_the_provider_and_back() {
    require!(Chromium, OidcProvider, FastApi);
    let cast = Cast { more: "sign_in: {entry: page}", ..Cast::default() };
    let scene = Scene::of(start_fastapi().await, cast).await;
    let browser = Browser::start().await;
    browser.goto(&scene.at(DEEP_LINK)).await;
    browser.wait_for_text("button", "S'identifier avec ProConnect").await;
    browser.click("button.proconnect").await;
    browser.wait_for("[name=email]").await;
    browser.click("button[value=sign-in]").await;
    let there = scene.at(DEEP_LINK);
    browser.wait_for_url(|url| url == there).await;
}

#[tokio::test]
async fn streamlit_counts_takes_a_file_and_knows_who_it_is() {
    require!(Chromium, OidcProvider, Streamlit);
    let scene = Scene::with(start_streamlit().await).await;
    let browser = scene.signed_in("/").await;
    browser.wait_for_text("p", &format!("Email: {EMAIL}")).await;
    browser.wait_for_text("p", "Name: Hélène Moreau-Lefèvre").await;
    let host = scene.vestibule.origin.trim_start_matches("http://");
    browser.wait_for_text("p", &format!("Host: {host}")).await;

    browser.wait_for_text("p", "Counted 0").await;
    browser.click("[data-testid=stButton] button").await;
    browser.wait_for_text("p", "Counted 1").await;

    // The upload is a PUT that Streamlit checks against its own cookie.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("notes d’été.txt");
    std::fs::write(&file, "abc").unwrap();
    browser.type_text("input[type=file]", file.to_str().unwrap()).await;
    browser.wait_for_text("p", "Received 3 bytes, sha256 ba7816bf").await;

    // Its own cookie reaches it, ours do not.
    browser.reload().await;
    browser.wait_for_text("p", "Cookies: _streamlit_xsrf").await;
    let cookies = browser.execute("return [...document.querySelectorAll('p')].map((p) => p.textContent).find((text) => text.startsWith('Cookies:'))", json!([])).await;
    assert!(!cookies.as_str().unwrap().contains("vestibule"), "{cookies}");
}

/// Seconds of the day in the time of a log line: `2026-11-21T05:40:28.123456Z`.
fn second_of(line: &Value) -> f64 {
    let time = line["timestamp"].as_str().unwrap().split_once('T').unwrap().1.trim_end_matches('Z');
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

#[tokio::test]
async fn signing_out_in_another_tab_closes_streamlits_socket_and_its_page_can_do_no_more() {
    require!(Chromium, OidcProvider, Streamlit);
    let scene = Scene::with(start_streamlit().await).await;
    let browser = scene.signed_in("/").await;
    browser.click("[data-testid=stButton] button").await;
    browser.wait_for_text("p", "Counted 1").await;
    assert!(scene.vestibule.access_lines("/_stcore/stream").is_empty(), "the socket is open");

    let page = browser.tab().await;
    let other = browser.open_tab().await;
    browser.goto(&scene.at("/oauth2/sign_out")).await;
    browser.wait_for_text("h1", "Sign out?").await;
    let both_are_over = async {
        browser.click("button").await;
        browser.wait_for_text("p", "your ProConnect session are closed").await;
        let signed_out = scene.vestibule.access_line("/oauth2/sign_out", |line| line["method"] == "POST").await;
        (signed_out, scene.vestibule.access_line("/_stcore/stream", |_| true).await)
    };
    let ((signed_out, cut), allowance) = with_allowance("the socket is cut", both_are_over).await;
    assert_eq!((&cut["status"], &cut["reason"]), (&json!(101), &json!("cut: the session was ended")), "{cut}");
    // As the program itself says when each of the two was over.
    let took = second_of(&cut) - second_of(&signed_out);
    assert!(took < 1.0 + allowance.as_secs_f64(), "{took} s, with {allowance:?} on top");

    browser.close_tab(&page).await;
    assert_ne!(page, other);
    // What Streamlit does with a button while it is not connected; its tries to connect are refused.
    browser.wait_for("[data-testid=stButton] button[disabled]").await;
    browser.execute("document.querySelector('[data-testid=stButton] button').click()", json!([])).await;
    let tries = async || scene.vestibule.access_lines("/_stcore/health").iter().any(|line| line["status"] == 401);
    browser.wait_until("it has tried again in vain", tries).await;
    browser.wait_for_text("p", "Counted 1").await;
    let sockets = scene.vestibule.access_lines("/_stcore/stream");
    assert_eq!(sockets.iter().filter(|line| line["status"] == 101).count(), 1);
}

#[tokio::test]
async fn an_app_that_is_down_has_a_page_and_comes_back_without_a_restart_of_ours() {
    require!(Chromium, OidcProvider, FastApi);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let mut scene = Scene::with(start_fastapi_on_socket(&path).await).await;
    let browser = scene.signed_in("/page").await;
    browser.wait_for_text("#socket", "open").await;
    let address = scene.app.address.clone();
    drop(std::mem::replace(&mut scene.app, start_fastapi().await));
    browser.wait_for_text("#socket", "closed").await;
    let answer = fetched(&browser, "/whoami").await;
    assert_eq!((&answer["status"], &answer["body"]["error"]), (&json!(502), &json!("app_unavailable")));
    browser.reload().await;
    browser.wait_for_text("h1", "unavailable for the moment").await;

    let _ = std::fs::remove_file(&path);
    scene.app = start_fastapi_on_socket(&path).await;
    assert_eq!(scene.app.address, address);
    browser.click("a.button").await;
    browser.wait_for_text("#email", EMAIL).await;
}

#[tokio::test]
async fn signing_out_at_the_provider_ends_the_session_here() {
    require!(Chromium, OidcProvider, FastApi);
    for algorithm in ["ES256", "HS256"] {
        let scene = Scene::of(start_fastapi().await, Cast { told: true, algorithm, ..Cast::default() }).await;
        let (browser, elsewhere) = (scene.signed_in("/page").await, scene.signed_in("/page").await);
        for browser in [&browser, &elsewhere] {
            browser.wait_for_text("#socket", "open").await;
        }
        // In this browser, on the provider's own page: its word names this session (`sid`).
        let app = browser.tab().await;
        browser.open_tab().await;
        let state = "state-0123456789-0123456789-0123456789";
        browser.goto(&format!("{}/session/end?state={state}", scene.provider.issuer)).await;
        browser.wait_for("#signed-out").await;
        browser.switch_to_tab(&app).await;
        browser.wait_for_text("#socket", "closed").await;
        assert_eq!(fetched(&browser, "/whoami").await["status"], 401, "{algorithm}");
        assert_eq!(elsewhere.text("#socket").await, "open", "{algorithm}");

        // The person as a whole (`sub`), by an administrator there.
        let person = fetched(&elsewhere, "/echo/").await;
        let sub = received(&person["body"], "x-auth-request-user")[0].to_owned();
        let told = scene.provider.sign_out(&sub).await;
        assert_eq!(told["told"], 1, "two of the three tokens that came were for its other clients");
        elsewhere.wait_for_text("#socket", "closed").await;
        assert_eq!(fetched(&elsewhere, "/whoami").await["status"], 401, "{algorithm}");
    }
}
