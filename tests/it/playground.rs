//! The playgrounds of 2025: opened with an encrypted envelope, signed out from their servers.

use crate::support::albert::{FakeAlbert, Fault, Key, Version};
use crate::support::client::{Answer, Client, NAVIGATION};
use crate::support::counterparts::require;
use crate::support::keyed::{Differing, Keyed, secret_file};
use crate::support::log_watch;
use crate::support::redis::Redis;
use crate::support::site::ORIGIN;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::sync::Barrier;
use vestibule::clock::{Clock, Timestamp};
use vestibule::credentials::envelope::{Contents, Derivation, Envelope};
use vestibule::demo::provider::{Agent, RefreshFault};
use vestibule::secret::{ExposeSecret, SecretString};

const ENCRYPTION_KEY: &str = "the-encryption-key-of-the-test-suite";
const TTL: Duration = Duration::from_secs(300);

/// A site with a playground on `/**`, and Albert API behind `/v1/**`, `/users/me` and `/roles/me`,
/// where its server comes with keys.
struct Played {
    keyed: Keyed,
    _key: NamedTempFile,
}

impl Played {
    async fn start(version: Version) -> Self {
        Self::with(version, "").await
    }

    /// With further top-level keys.
    async fn with(version: Version, more: &str) -> Self {
        Self::for_some(version, more, "").await
    }

    /// With rules for the pages.
    async fn for_some(version: Version, more: &str, rules: &str) -> Self {
        log_watch::never_logged(ENCRYPTION_KEY);
        let key = secret_file(ENCRYPTION_KEY);
        let envelope = format!("{{credentials: albert, key: {{file: {}}}, derivation: sha256}}", key.path().display());
        let routes = format!(
            "[{{path: /v1/**, access: public, upstream: api}}, {{path: /public/**, access: public, upstream: app}}, \
             {{path: /help/**, upstream: app}}, {{path: /**, upstream: app, envelope: {envelope}{rules}}}]"
        );
        let api = FakeAlbert::start(version).await;
        let differing = Differing {
            credential: ", key_name: playground",
            more: &format!("albert_endpoints: {{allowed_domains: [playground.example, localhost]}}\n{more}"),
            routes: Some(&routes),
            issuer: None,
        };
        Self { keyed: Keyed::before(api, differing).await, _key: key }
    }

    fn now(&self) -> Timestamp {
        Clock::Manual(self.keyed.site.clock.clone()).now()
    }

    /// What is in the envelope of an address.
    fn inside(&self, address: &str) -> Value {
        let url = url::Url::parse(address).unwrap();
        let tokens: Vec<_> = url.query_pairs().filter(|(name, _)| name == "encrypted_token").collect();
        assert_eq!(tokens.len(), 1, "{address}");
        let opened = envelope().open(&tokens[0].1, TTL, self.now()).unwrap_or_else(|| panic!("does not open"));
        serde_json::from_str(&opened).unwrap()
    }

    fn live_keys(&self) -> Vec<Key> {
        self.keyed.live_keys()
    }

    /// What the playground's server asks: no cookie of the browser's.
    async fn ask_as_server(&self, method: Method, path: &str, key: Option<&str>, body: &str) -> Answer {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("content-type", "application/json"), ("user-agent", "python-requests/2.32")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        self.keyed.site.client().send(method, path, &headers, body.as_bytes().to_vec()).await
    }

    async fn logout(&self, key: &str, body: &str) -> Answer {
        self.ask_as_server(Method::POST, "/v1/auth/logout", Some(key), body).await
    }
}

fn envelope() -> Envelope {
    Envelope::new(&SecretString::from(ENCRYPTION_KEY), Derivation::Sha256).unwrap()
}

/// Signs in at a page, and gives the redirect that opens it.
async fn opened(client: &Client, path: &str) -> Answer {
    let mut answer = client.navigate(path).await;
    for _ in 0..8 {
        let next = url::Url::parse(&answer.url).unwrap().join(answer.location()).unwrap();
        if next.query().is_some_and(|query| query.contains("encrypted_token=")) {
            return answer;
        }
        answer = client.navigate(next.as_str()).await;
    }
    panic!("no envelope: {}", answer.url);
}

#[tokio::test]
async fn a_page_is_opened_by_a_redirect_with_a_fresh_envelope() {
    for version in [Version::V01, Version::V04, Version::V045] {
        let played = Played::start(version).await;
        let client = played.keyed.site.client();
        let redirect = opened(&client, "/chat?room=7&x=%C3%A9").await;
        assert_eq!(redirect.status, 302);
        assert_eq!(redirect.header("cache-control"), Some("no-store"));
        assert_eq!(redirect.header("referrer-policy"), Some("no-referrer"));
        assert!(redirect.location().starts_with(&format!("{ORIGIN}/chat?room=7&x=%C3%A9&encrypted_token=")));
        let inside = played.inside(redirect.location());
        let key = played.live_keys().remove(0);
        assert_eq!((inside["app_token"].as_str(), inside["token_id"].as_u64()), (Some(&*key.secret), Some(key.id)));
        assert_eq!(key.name, "playground", "{version:?}");
        assert!(inside["proconnect_token"].as_str().unwrap().starts_with("eyJ"), "{version:?}");
        assert_eq!(inside["timestamp"].as_u64(), Some(played.now().as_unix()));

        // The page itself, with the address as it is; then loaded again, which forgets the sign-in.
        let page = client.navigate(redirect.location()).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains("encrypted_token="), "the playground's server reads it");
        let again = client.navigate(redirect.location()).await;
        assert_eq!(again.status, 302, "an envelope opens one page");
        assert_ne!(again.location(), redirect.location());
        assert_eq!(played.inside(again.location())["app_token"], inside["app_token"], "the key lives");
        assert_eq!(client.navigate(again.location()).await.status, 200);
        // What the page itself loads is not opened.
        for headers in
            [[("accept", "*/*"), ("sec-fetch-mode", "cors")], [("accept", "*/*"), ("sec-fetch-mode", "no-cors")]]
        {
            assert_eq!(client.get("/static/x.js", &headers).await.status, 200);
        }
    }
}

#[tokio::test]
async fn an_envelope_of_somebody_else_s_is_never_let_through() {
    let played = Played::start(Version::V04).await;
    let client = played.keyed.site.client();
    opened(&client, "/").await;
    let theirs = envelope()
        .seal(
            &Contents { app_token: &SecretString::from("sk-of-somebody-else"), token_id: 1, proconnect_token: "" },
            played.now(),
        )
        .expose_secret()
        .to_owned();
    for shown in [theirs.as_str(), "", "x", "a&encrypted_token=b"] {
        let answer = client.navigate(&format!("/?encrypted_token={shown}")).await;
        assert_eq!(answer.status, 302, "{shown}");
        assert!(!answer.location().contains(theirs.as_str()));
        played.inside(answer.location());
    }
    // One of our own that is too old.
    let old = opened(&client, "/").await;
    played.keyed.site.clock.advance(TTL + Duration::from_secs(1));
    assert_eq!(client.navigate(old.location()).await.status, 302);
}

#[tokio::test]
async fn a_key_that_the_playground_deleted_is_replaced_before_it_is_handed_over() {
    let played = Played::start(Version::V01).await;
    let client = played.keyed.site.client();
    let first = played.inside(opened(&client, "/").await.location());
    played.keyed.api.kill_key(first["token_id"].as_u64().unwrap());
    played.keyed.site.clock.advance(Duration::from_secs(11));
    let second = played.inside(opened(&client, "/").await.location());
    assert_ne!(first["app_token"], second["app_token"]);
    assert_eq!(played.live_keys().len(), 1);
}

#[tokio::test]
async fn an_envelope_is_traded_for_a_key_once_and_its_own_key_is_worth_nothing_then() {
    let played = Played::start(Version::V01).await;
    let client = played.keyed.site.client();
    let handed = played.inside(opened(&client, "/").await.location());
    let account = played.keyed.api.users()[0].id;
    let wanted = |account: u64| {
        // As the playground's server writes it: JSON in the same seal.
        let text = json!({"user_id": account, "timestamp": played.now().as_unix()}).to_string();
        format!("/v1/oauth2/playground-login?encrypted_token={}", sealed(&text, played.now()))
    };
    for bad in ["x".to_owned(), String::new(), sealed("{}", played.now()), sealed("{\"user_id\": \"1\"}", played.now())]
    {
        let path = format!("/v1/oauth2/playground-login?encrypted_token={bad}");
        assert_eq!(played.ask_as_server(Method::GET, &path, None, "").await.status, 400);
    }
    assert_eq!(played.ask_as_server(Method::GET, &wanted(account + 1), None, "").await.status, 404, "nobody's");

    let path = wanted(account);
    let traded = played.ask_as_server(Method::GET, &path, None, "").await;
    assert_eq!(traded.status, 200, "{}", traded.text());
    let traded = traded.json();
    assert_eq!((traded["status"].as_str(), traded["user_id"].as_u64()), (Some("success"), Some(account)));
    let live = played.live_keys();
    assert_eq!(live.len(), 1, "the one in the envelope is gone");
    assert_eq!((traded["api_key"].as_str(), traded["token_id"].as_u64()), (Some(&*live[0].secret), Some(live[0].id)));
    assert_ne!(traded["api_key"], handed["app_token"]);
    assert_eq!(played.ask_as_server(Method::GET, &path, None, "").await.status, 404, "once");

    // With the new key the session is signed out, and nothing lives.
    let out = played.logout(traded["api_key"].as_str().unwrap(), "{}").await;
    assert_eq!((out.status, out.json()["message"].as_str()), (200, Some("Token expired successfully")));
    played.keyed.no_key_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_of_one_replica_is_worth_nothing_once_it_was_traded_at_another() {
    require!(Redis);
    for version in [Version::V01, Version::V04, Version::Late] {
        let redis = Redis::start().await;
        let played = Played::with(version, &format!("store: {{redis: \"redis://127.0.0.1:{}\"}}\n", redis.port)).await;
        opened(&played.keyed.site.client(), "/").await;
        let account = played.keyed.api.users()[0].id;
        let other = played.keyed.replica().await;
        let text = json!({"user_id": account, "timestamp": played.now().as_unix()}).to_string();
        let path = format!("/v1/oauth2/playground-login?encrypted_token={}", sealed(&text, played.now()));
        let traded = other.client().send(Method::GET, &path, &[], Vec::new()).await;
        assert_eq!(traded.status, 200, "{}", traded.text());
        let live: Vec<String> = played.live_keys().into_iter().map(|key| key.secret).collect();
        assert_eq!(live, [traded.json()["api_key"].as_str().unwrap()], "{version:?}: the one in the envelope is gone");
        let names: Vec<String> = played.keyed.api.all_keys().into_iter().map(|key| key.name).collect();
        assert_eq!(names.len(), 2, "{version:?}: no helper is needed: {names:?}");
    }
}

#[tokio::test]
async fn a_playground_signs_out_with_its_key_and_the_browser_goes_round_when_it_next_comes() {
    let played = Played::start(Version::V04).await;
    let client = played.keyed.site.client();
    let handed = played.inside(opened(&client, "/").await.location());
    let key = handed["app_token"].as_str().unwrap();
    let cases = [
        ("", 400),
        ("{", 422),
        ("[]", 422),
        ("{\"proconnect_token\": 1}", 422),
        ("{\"proconnect_token\": \" \"}", 422),
        ("{\"proconnect_token\": \"eyJ.somebody.elses\"}", 400),
    ];
    for (body, status) in cases {
        let answer = played.logout(key, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(!answer.json()["detail"].is_null(), "{body}");
    }
    for unknown in ["sk-unknown", &played.keyed.api.admin_key(), &format!("{key}x")] {
        assert_eq!(played.logout(unknown, "{}").await.status, 401);
    }
    assert_eq!(played.ask_as_server(Method::POST, "/v1/auth/logout", None, "{}").await.status, 401);
    assert_eq!(played.live_keys().len(), 1, "nothing of that ended anything");

    let out = played.logout(key, &json!({"proconnect_token": handed["proconnect_token"]}).to_string()).await;
    assert_eq!(out.status, 200, "{}", out.text());
    let expected = json!({"status": "success", "message": "Successfully logged out from ProConnect and expired token"});
    assert_eq!(out.json(), expected);
    played.keyed.no_key_lives().await;
    assert_eq!(played.logout(key, "{}").await.status, 401, "over");
    // The browser: what a program asks is refused, and a window goes by the provider's logout.
    assert_eq!(client.fetch("/x").await.status, 401);
    let leaving = client.navigate("/").await;
    assert_eq!(leaving.status, 302);
    assert!(leaving.location().starts_with(played.keyed.site.provider.issuer()), "{}", leaving.location());
    assert!(leaving.location().contains("id_token_hint="));
    assert!(leaving.set_cookies().iter().any(|cookie| cookie.starts_with("__Host-vestibule=;")));
    let page = client.follow(leaving).await;
    assert_eq!(
        (page.status, page.url.starts_with(&format!("{ORIGIN}/oauth2/signed_out"))),
        (200, true),
        "{}",
        page.url
    );
}

#[tokio::test]
async fn a_sign_in_returns_to_hosts_on_the_list_and_to_no_others() {
    let played = Played::start(Version::V04).await;
    for path in ["/v1/oauth2/login", "/v1/auth/proconnect"] {
        // To a page of our own site: what opens it has its own envelope.
        let client = played.keyed.site.client();
        let from = format!("{ORIGIN}/chat?encrypted_token=old&room=7");
        let begun = client.get(path, &[NAVIGATION[0], NAVIGATION[1], ("referer", &from)]).await;
        let back = opened_from(&client, begun).await;
        assert!(back.location().starts_with(&format!("{ORIGIN}/chat?room=7&encrypted_token=")), "{}", back.location());

        // To another host on the list: its front page, with an envelope.
        let client = played.keyed.site.client();
        let begun = client.navigate(&format!("{path}?origin=https://a.playground.example:8443/deep?x=y")).await;
        let back = opened_from(&client, begun).await;
        assert!(
            back.location().starts_with("https://a.playground.example:8443/?encrypted_token="),
            "{}",
            back.location()
        );
        assert_eq!(back.header("referrer-policy"), Some("no-referrer"));
        played.inside(back.location());

        for foreign in [
            "https://evil.example/",
            "https://evilplayground.example/",
            "https://playground.example.evil.example/",
            "https://playground.example@evil.example/",
            "http://playground.example/",
            "//evil.example",
            "https://playground.example&origin=https://evil.example",
            "javascript:alert(1)",
        ] {
            for client in [&client, &played.keyed.site.client()] {
                let refused = client.navigate(&format!("{path}?origin={foreign}")).await;
                if foreign == "//evil.example" {
                    // A path of ours to whoever reads it as one; never another host.
                    assert!(
                        !refused.location().contains("evil") || refused.location().starts_with(ORIGIN),
                        "{foreign}"
                    );
                    continue;
                }
                assert_eq!(refused.status, 400, "{foreign}");
                assert!(refused.json()["detail"].as_str().unwrap().starts_with("Invalid domain"), "{foreign}");
            }
        }
    }
}

/// Follows a sign-in until an envelope is handed over.
async fn opened_from(client: &Client, mut answer: Answer) -> Answer {
    for _ in 0..8 {
        if answer.location().contains("encrypted_token=") {
            return answer;
        }
        let next = url::Url::parse(&answer.url).unwrap().join(answer.location()).unwrap();
        answer = client.navigate(next.as_str()).await;
    }
    panic!("no envelope: {}", answer.url);
}

/// Any text in the playground's seal, encoded once more as its addresses have it.
fn sealed(text: &str, now: Timestamp) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE;
    use ring::digest;
    let key = URL_SAFE.encode(digest::digest(&digest::SHA256, ENCRYPTION_KEY.as_bytes()).as_ref());
    let token = fernet::Fernet::new(&key).unwrap().encrypt_at_time(text.as_bytes(), now.as_unix());
    URL_SAFE.encode(token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_while_a_key_is_traded_leaves_none_behind() {
    let played = Arc::new(Played::start(Version::V01).await);
    let client = played.keyed.site.client();
    let handed = played.inside(opened(&client, "/").await.location());
    let account = played.keyed.api.users()[0].id;
    let barrier = Arc::new(Barrier::new(2));
    let fault = Fault::Barrier { method: "POST", path_prefix: "/tokens", barrier: Arc::clone(&barrier) };
    let minted = played.keyed.api.count("POST", "/tokens");
    played.keyed.api.fault(fault);
    let trade = tokio::spawn({
        let played = Arc::clone(&played);
        let text = json!({"user_id": account, "timestamp": played.now().as_unix()}).to_string();
        let path = format!("/v1/oauth2/playground-login?encrypted_token={}", sealed(&text, played.now()));
        async move { played.ask_as_server(Method::GET, &path, None, "").await.status }
    });
    played.keyed.api.reached("POST", "/tokens", minted + 1).await;
    // Signed out meanwhile, and all that was known of is deleted.
    assert_eq!(played.logout(handed["app_token"].as_str().unwrap(), "{}").await.status, 200);
    played.keyed.no_key_lives().await;
    barrier.wait().await;
    assert_eq!(trade.await.unwrap(), 404);
    played.keyed.no_key_lives().await;
}

#[tokio::test]
async fn a_sign_in_elsewhere_asks_the_provider_again_as_every_page_does() {
    let session = "session: {idle: 4h, keys: [{id: k1, secret: {env: SESSION_KEY}}]}\n";
    let played = Played::with(Version::V04, session).await;
    let client = played.keyed.site.client();
    opened(&client, "/").await;
    let elsewhere = "/v1/auth/proconnect?origin=https://playground.example";
    let given = client.navigate(elsewhere).await;
    assert!(given.location().starts_with("https://playground.example/?encrypted_token="), "{}", given.location());
    // Somebody who may not go on has their token refused from now on.
    played.keyed.site.provider.faults().set(|faults| faults.refresh = Some(RefreshFault::InvalidGrant));
    played.keyed.site.clock.advance(Duration::from_secs(61 * 60));
    let refused = client.navigate(elsewhere).await;
    assert!(!refused.location().contains("encrypted_token="), "a key was handed out: {}", refused.location());
}

/// The key of the pages leaves by `albert_endpoints` for those alone who may open the pages.
#[tokio::test]
async fn whom_the_rules_of_the_pages_keep_out_gets_no_key_elsewhere_either() {
    let played = Played::for_some(Version::V04, "", ", require: {email_domain: test.proconnect.gouv.fr}").await;
    let elsewhere = "/v1/auth/proconnect?origin=https://playground.example";
    let admitted = played.keyed.site.client();
    opened(&admitted, "/chat").await;
    let given = admitted.navigate(elsewhere).await;
    assert!(given.location().starts_with("https://playground.example/?encrypted_token="), "{}", given.location());

    played.keyed.site.provider.sign_in_as(Agent::new("Jean", "Autre", "jean.autre@example.org"));
    let other = played.keyed.site.client();
    assert_eq!(other.browse("/help/x").await.status, 200);
    assert_eq!(other.navigate("/chat").await.status, 403);
    for path in [elsewhere, "/v1/oauth2/login?origin=https://playground.example"] {
        let refused = other.navigate(path).await;
        assert_eq!((refused.status, refused.header("location")), (403, None), "{path}: {}", refused.text());
    }
    let line = log_watch::access_line_with("require routes[3].require: does not hold (by email_domain)").await;
    assert_eq!((&line["decision"], &line["status"]), (&json!("deny"), &json!(403)), "{line}");
}

#[tokio::test]
async fn a_redirect_with_an_envelope_brings_what_is_new_of_the_session() {
    let played = Played::start(Version::V04).await;
    let client = played.keyed.site.client();
    opened(&client, "/").await;
    played.keyed.site.clock.advance(Duration::from_secs(600));
    let answer = client.navigate("/").await;
    assert!(answer.location().contains("encrypted_token="));
    let cookies = answer.set_cookies();
    assert!(cookies.iter().any(|cookie| cookie.starts_with("__Host-vestibule=")), "{cookies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_of_one_replica_opens_the_page_at_another() {
    require!(Redis);
    let redis = Redis::start().await;
    let store = format!(
        "store: {{redis: \"redis://127.0.0.1:{}\"}}\nsession: {{keep: store, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n",
        redis.port
    );
    let played = Played::with(Version::V04, &store).await;
    let client = played.keyed.site.client();
    let redirect = opened(&client, "/").await;
    let other = played.keyed.replica().await;
    let there = other.client();
    for name in client.cookie_names() {
        there.set_cookie(&name, &client.cookie(&name).unwrap());
    }
    assert_eq!(there.navigate(redirect.location()).await.status, 200, "it is this session's there too");
    assert_eq!(there.navigate(redirect.location()).await.status, 302, "once");
}

#[tokio::test]
async fn a_page_without_a_key_signs_nobody_out_whatever_cookies_come_with_it() {
    let played = Played::start(Version::V04).await;
    let client = played.keyed.site.client();
    let handed = played.inside(opened(&client, "/").await.location());
    let key = handed["app_token"].as_str().unwrap();
    let body = json!({"proconnect_token": handed["proconnect_token"]}).to_string();
    let (basic, bare, many) = (format!("Basic {key}"), key.to_owned(), format!("Bearer {key}, Bearer {key}"));
    let cookie = format!("{}; authorization=Bearer {key}", client.cookie_header("app.example").unwrap());
    let cases: [&[(&str, &str)]; 7] = [
        &[],
        &[("origin", ORIGIN), ("sec-fetch-site", "same-origin")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
        &[("authorization", &basic)],
        &[("authorization", &bare)],
        &[("authorization", &many)],
        &[("cookie", &cookie), ("x-api-key", key)],
    ];
    for path in ["/v1/auth/logout", "/v1/oauth2/logout"] {
        for headers in cases {
            let answer = client.send(Method::POST, path, headers, body.clone().into_bytes()).await;
            assert_eq!(answer.status, 401, "{headers:?}: {}", answer.text());
            assert!(answer.set_cookies().is_empty(), "{headers:?}");
        }
    }
    assert_eq!(client.fetch("/x").await.status, 200, "the session lives");
    assert_eq!(played.live_keys().len(), 1);
}

#[tokio::test]
async fn a_referer_leads_to_no_other_site_and_round_in_no_circle() {
    let played = Played::start(Version::V04).await;
    let signed_in = played.keyed.site.client();
    opened(&signed_in, "/").await;
    let provider = played.keyed.site.provider.issuer();
    let own = |path: &str| format!("{ORIGIN}{path}");
    for referer in [
        own("//evil.example/x"),
        own("/\\evil.example"),
        own("/%5c%5cevil.example"),
        own("@evil.example/"),
        own(".evil.example/"),
        own("/oauth2/sign_out"),
        own("/v1/auth/proconnect?origin=https://evil.example"),
        own("/v1/auth/proconnect#x"),
        own("/v1/oauth2/login?x"),
        own("/v1/auth/callback?code=x&state=y"),
        "/\\evil.example".to_owned(),
        "//evil.example".to_owned(),
        "/x y".to_owned(),
        "/é".to_owned(),
        "https://evil.example/?https://playground.example".to_owned(),
        "https://playground.example:80@evil.example/".to_owned(),
        "about:blank".to_owned(),
        "null".to_owned(),
    ] {
        for client in [&signed_in, &played.keyed.site.client()] {
            let asked = [NAVIGATION[0], NAVIGATION[1], ("referer", referer.as_str())];
            let answer = client.get("/v1/auth/proconnect", &asked).await;
            if answer.status == 400 {
                continue;
            }
            assert_eq!(answer.status, 302, "{referer}: {}", answer.text());
            let location = answer.location();
            let to_us = location.strip_prefix(ORIGIN).is_some_and(|rest| rest.starts_with('/'));
            assert!(to_us || location.starts_with(provider), "{referer}: {location}");
            if to_us {
                let path = location.trim_start_matches(ORIGIN);
                assert!(!path.starts_with("/v1/") && !path.starts_with("/oauth2/"), "{referer}: {location}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_browser_fetches_ahead_does_not_use_up_the_sign_out_at_the_provider() {
    let played = Played::start(Version::V04).await;
    let client = played.keyed.site.client();
    let handed = played.inside(opened(&client, "/").await.location());
    let body = json!({"proconnect_token": handed["proconnect_token"]}).to_string();
    assert_eq!(played.logout(handed["app_token"].as_str().unwrap(), &body).await.status, 200);
    let ahead: [(&str, &[(&str, &str)]); 3] = [
        ("/", &[NAVIGATION[0], NAVIGATION[1], ("sec-purpose", "prefetch;prerender")]),
        ("/v1/auth/proconnect", &[NAVIGATION[0], NAVIGATION[1], ("sec-purpose", "prefetch")]),
        ("/v1/auth/proconnect", &[("accept", "image/*"), ("sec-fetch-mode", "no-cors")]),
    ];
    for (path, headers) in ahead {
        let answer = client.get(path, headers).await;
        assert!(!answer.location().contains("id_token_hint="), "{path} {headers:?}");
        assert!(!answer.set_cookies().iter().any(|cookie| cookie.starts_with("__Host-vestibule=;")), "{path}");
    }
    let leaving = client.navigate("/").await;
    assert!(leaving.location().contains("id_token_hint="), "{}", leaving.location());
}
