//! `/oauth2/auth` as front proxies ask it: what each sends is sent here, by hand. The proxies
//! themselves are in `front_proxies`.

use super::support::client::{Answer, Client, NAVIGATION};
use super::support::log_watch::access_line_with;
use super::support::ports::free_port;
use super::support::site::{CLIENT_SECRET, Setup, Site};
use http::Method;

const ROUTES: &str = "[{path: /public/**, access: public}, {path: /api/**, methods: [GET]}, {path: /app/**}, \
                       {path: /other/**, host: other.example}]";
const TRUSTED: &str = "trusted_proxies: [127.0.0.1]\n";

/// A site that a front proxy asks.
async fn asked_by(from: &str, more: &str) -> Site {
    Site::with(Setup {
        routes: ROUTES.to_owned(),
        more: format!("{TRUSTED}forward_auth: {{from: {from}{more}}}\n"),
        ..Setup::default()
    })
    .await
}

/// A client of such a site that is signed in.
async fn signed_in(site: &Site) -> Client {
    let client = site.client();
    let page = client.browse("/oauth2/start?rd=/app/").await;
    // Nothing is behind us to show a page.
    assert_eq!(page.status, 404, "{}", page.text());
    client
}

/// What a front proxy adds to the headers of a request to ask about it.
fn asks(from: &str, method: &str, url: &str) -> (Method, String, Vec<(String, String)>) {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    match from {
        "nginx" => (
            Method::GET,
            "/oauth2/auth".to_owned(),
            vec![header("x-original-url", url), header("x-original-method", method)],
        ),
        "envoy" => (
            method.parse().unwrap(),
            format!("/oauth2/auth{target}"),
            vec![header("host", host), header("x-forwarded-proto", scheme)],
        ),
        _ => (
            Method::GET,
            "/oauth2/auth".to_owned(),
            vec![
                header("x-forwarded-method", method),
                header("x-forwarded-proto", scheme),
                header("x-forwarded-host", host),
                header("x-forwarded-uri", target),
            ],
        ),
    }
}

/// Asks about a request with these headers of its own.
async fn ask(client: &Client, from: &str, method: &str, path: &str, own: &[(&str, &str)]) -> Answer {
    ask_about(client, from, method, &format!("https://app.example{path}"), own).await
}

async fn ask_about(client: &Client, from: &str, method: &str, url: &str, own: &[(&str, &str)]) -> Answer {
    let (with, path, told) = asks(from, method, url);
    let mut headers: Vec<(&str, &str)> = told.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if !["GET", "HEAD"].contains(&method) {
        headers.push(("origin", "https://app.example"));
    }
    headers.extend(own);
    client.send(with, &path, &headers, Vec::new()).await
}

/// By which each knows that a request may pass; Envoy takes every status but 200 for a refusal.
fn granted(from: &str) -> u16 {
    if from == "envoy" { 200 } else { 202 }
}

const FRONT_PROXIES: [&str; 5] = ["nginx", "traefik", "caddy", "haproxy", "envoy"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_front_proxy_gets_the_answer_of_the_gate_for_the_request_it_asks_about() {
    for from in FRONT_PROXIES {
        let site = asked_by(from, "").await;
        let (stranger, person) = (site.client(), signed_in(&site).await);
        // (method, path; statuses for a stranger and for a person)
        let cases = [
            ("GET", "/app/page?x=y", 401, 202),
            ("POST", "/app/page", 401, 202),
            ("GET", "/public/page", 202, 202),
            ("GET", "/api/x", 401, 202),
            ("DELETE", "/api/x", 403, 403),
            ("GET", "/nowhere", 403, 403),
            ("GET", "/other/x", 403, 403),
            ("GET", "/oauth2/start", 403, 403),
            ("GET", "/OAuth2/start", 403, 403),
            ("GET", "/public/../app/", 403, 403),
            ("GET", "/public/%2e%2e/app/", 403, 403),
            ("GET", "/public%2fx", 403, 403),
            ("GET", "//app/", 403, 403),
            ("GET", "/public/x%23/../../app", 403, 403),
        ];
        for (method, path, stranger_s, person_s) in cases {
            if from == "envoy" && (path.contains("..") || path.contains("%2e")) {
                // Refused before it is a question; Envoy denies by any status but 200.
                continue;
            }
            let to_from = |status: u16| if status == 202 { granted(from) } else { status };
            let answer = ask(&stranger, from, method, path, &[]).await;
            assert_eq!(answer.status, to_from(stranger_s), "{from} {method} {path}");
            let answer = ask(&person, from, method, path, &[]).await;
            assert_eq!(answer.status, to_from(person_s), "{from} {method} {path}");
            let email = answer.header("x-auth-request-email");
            assert_eq!(email.is_some(), person_s == 202, "{from} {method} {path}");
            assert_eq!(answer.header("gap-auth"), email);
        }
        let answer = ask_about(&person, from, "GET", "https://other.example/other/x", &[]).await;
        assert_eq!(answer.status, granted(from), "{from}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_a_request_in_any_other_place_is_not_read() {
    let elsewhere = [
        ("x-original-url", "https://app.example/public/x"),
        ("x-original-uri", "/public/x"),
        ("x-original-method", "GET"),
        ("x-forwarded-uri", "/public/x"),
        ("x-forwarded-method", "GET"),
        ("x-rewrite-url", "/public/x"),
        ("x_forwarded_uri", "/public/x"),
        ("x_original_url", "https://app.example/public/x"),
        ("x-envoy-original-path", "/public/x"),
    ];
    for from in FRONT_PROXIES {
        let site = asked_by(from, "").await;
        let stranger = site.client();
        let (_, _, told) = asks(from, "GET", "https://app.example/app/x");
        let others: Vec<(&str, &str)> =
            elsewhere.into_iter().filter(|(name, _)| !told.iter().any(|(its, _)| its == name)).collect();
        assert_eq!(ask(&stranger, from, "GET", "/app/x", &others).await.status, 401, "{from}");
        // Twice in its own place: the client's own may be the first or the last.
        for (name, _) in told.iter().filter(|(name, _)| name.starts_with("x-")) {
            for value in ["/public/x", "https://app.example/public/x", "GET", "https"] {
                let answer = ask(&stranger, from, "GET", "/app/x", &[(name, value)]).await;
                assert_eq!(answer.status, 403, "{from} {name}");
            }
            let answer = ask(&stranger, from, "GET", "/public/x", &[(name, "GET")]).await;
            assert_eq!(answer.status, 403, "{from} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_says_too_little_is_refused_and_guessed_at_by_nobody() {
    for from in FRONT_PROXIES {
        let site = asked_by(from, "").await;
        let person = signed_in(&site).await;
        let (with, path, told) = asks(from, "GET", "https://app.example/public/x");
        for missing in 0..told.len() {
            if told[missing].0 == "host" {
                continue;
            }
            let rest = told.iter().enumerate().filter(|(index, _)| *index != missing);
            let rest: Vec<(&str, &str)> = rest.map(|(_, (name, value))| (name.as_str(), value.as_str())).collect();
            let answer = person.send(with.clone(), &path, &rest, Vec::new()).await;
            assert_eq!(answer.status, 403, "{from} without {}", told[missing].0);
        }
        assert_eq!(person.get("/oauth2/auth", &[]).await.status, 403, "{from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_a_trusted_proxy_is_believed() {
    for from in FRONT_PROXIES {
        let site = Site::with(Setup {
            routes: ROUTES.to_owned(),
            more: format!("trusted_proxies: [192.0.2.7]\nforward_auth: {{from: {from}}}\n"),
            ..Setup::default()
        })
        .await;
        let client = site.client();
        for path in ["/public/x", "/app/x"] {
            let answer = ask(&client, from, "GET", path, &[("x-forwarded-for", "192.0.2.7")]).await;
            assert_eq!(answer.status, 403, "{from} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_the_client_brings_is_refused_in_every_spelling() {
    let forged = [
        "X-Auth-Request-Email",
        "x_auth_request_email",
        "X.Auth.Request.Email",
        "X-Auth-Request-Anything",
        "X-Forwarded-User",
        "X_Forwarded-Email",
        "X-Forwarded-Access-Token",
        "Remote-User",
        "REMOTE_USER",
        "X-Remote-User",
        "GAP-Auth",
        "Script_Name",
        "X-Vestibule-Session",
        "X-Vestibule-Anything",
    ];
    for from in FRONT_PROXIES {
        let site = asked_by(from, "").await;
        let (stranger, person) = (site.client(), signed_in(&site).await);
        for name in forged {
            for path in ["/public/x", "/app/x"] {
                for client in [&stranger, &person] {
                    let answer = ask(client, from, "GET", path, &[(name, "admin@example.gouv.fr")]).await;
                    assert_eq!(answer.status, 403, "{from} {name} {path}");
                    assert_eq!(answer.header("x-auth-request-email"), None);
                }
            }
        }
        // What ingress-nginx sends with each question is none.
        let answer = ask(&person, from, "GET", "/app/x", &[("X-Auth-Request-Redirect", "/app/x")]).await;
        assert_eq!(answer.status, granted(from));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_of_a_session_answers_its_app_and_opens_nothing_behind_a_front_proxy() {
    for from in FRONT_PROXIES {
        let site = Site::with(Setup {
            routes: "[{path: /asks/**, upstream: app, session_cookie: proof}, {path: /**}]".to_owned(),
            more: format!("{TRUSTED}forward_auth: {{from: {from}}}\n"),
            ..Setup::default()
        })
        .await;
        let person = site.client();
        let seen = person.browse("/asks/x").await.json();
        let headers = seen["headers"].as_array().unwrap();
        let proof = headers.iter().find(|header| header[0] == "cookie").unwrap()[1].as_str().unwrap();
        assert!(proof.starts_with("__Host-vestibule-proof="), "{proof}");
        let stranger = site.client();
        let shown = [("cookie", proof)];
        assert_eq!(stranger.get("/oauth2/auth", &shown).await.status, 202, "{from}");
        let through = ask(&stranger, from, "GET", "/app/x", &shown).await;
        assert_eq!((through.status, through.header("x-auth-request-email")), (401, None), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_signed_in_gets_what_the_front_proxy_can_use() {
    let site = asked_by("nginx", "").await;
    let client = site.client();
    let page = ask(&client, "nginx", "GET", "/app/deep?x=y", &NAVIGATION).await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains(r#"value="/app/deep?x=y""#), "{}", page.text());
    let api = ask(&client, "nginx", "GET", "/app/deep", &[("accept", "application/json")]).await;
    assert_eq!((api.status, api.json()["error"].as_str()), (401, Some("not_signed_in")));
    let form = ask(&client, "nginx", "POST", "/app/form", &NAVIGATION).await;
    assert_eq!(form.status, 401);

    for from in FRONT_PROXIES {
        let site = asked_by(from, ", not_signed_in: sign-in").await;
        let client = site.client();
        let answer = ask(&client, from, "GET", "/app/deep?x=y", &NAVIGATION).await;
        assert_eq!(answer.status, 302, "{from}");
        assert!(answer.location().starts_with(site.provider.issuer()), "{}", answer.location());
        // And back to what was asked for, by the cookie that came with the answer.
        let at_provider = client.follow(answer).await;
        assert!(at_provider.url.ends_with("/app/deep?x=y"), "{}", at_provider.url);
        assert_eq!(ask(&client, from, "GET", "/app/deep?x=y", &NAVIGATION).await.status, granted(from));
        let api = ask(&site.client(), from, "GET", "/app/deep", &[("accept", "application/json")]).await;
        assert_eq!(api.status, 401, "{from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_asked_about_as_one_and_opened_by_no_other_site() {
    for from in FRONT_PROXIES {
        let site = asked_by(from, "").await;
        let person = signed_in(&site).await;
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (origin, expected) in [("https://app.example", granted(from)), ("https://evil.example", 403)] {
            let answer = ask(&person, from, "GET", "/app/ws", &[key, ("origin", origin)]).await;
            assert_eq!(answer.status, expected, "{from} {origin}");
        }
        // The page of another site may still link here.
        let answer = ask(&person, from, "GET", "/app/ws", &[("origin", "https://evil.example")]).await;
        assert_eq!(answer.status, granted(from));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_narrows_whom_the_routes_let_pass() {
    let site = asked_by("nginx", "").await;
    let (stranger, person) = (site.client(), signed_in(&site).await);
    let told = [("x-original-url", "https://app.example/app/x"), ("x-original-method", "GET")];
    let cases = [
        ("allowed_groups=agent_public,x", 202),
        ("allowed_groups=x", 403),
        ("allowed_groups=", 403),
        ("allowed_emails=helene.moreau@test.proconnect.gouv.fr", 202),
        ("allowed_emails=other@test.proconnect.gouv.fr", 403),
        ("allowed_email_domains=*.gouv.fr", 202),
        ("allowed_email_domains=example.fr", 403),
    ];
    for (query, expected) in cases {
        let path = format!("/oauth2/auth?{query}");
        let answer = person.get(&path, &told).await;
        assert_eq!(answer.status, expected, "{query}");
        assert_eq!(answer.header("x-auth-request-email").is_some(), expected == 202, "{query}");
        assert_eq!(stranger.get(&path, &told).await.status, 401, "{query}");
    }
    // Without a request to ask about too.
    let plain = Site::start().await;
    let person = plain.signed_in().await;
    assert_eq!(person.get("/oauth2/auth?allowed_groups=agent_public", &[]).await.status, 202);
    assert_eq!(person.get("/oauth2/auth?allowed_groups=x", &[]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused_and_a_renewed_cookie_comes_with_the_answer() {
    for from in FRONT_PROXIES {
        let site = asked_by(from, "").await;
        let person = signed_in(&site).await;
        assert!(ask(&person, from, "GET", "/app/x", &[]).await.set_cookies().is_empty());
        site.clock.advance(std::time::Duration::from_secs(120));
        let answer = ask(&person, from, "GET", "/app/x", &[]).await;
        assert_eq!(answer.set_cookies().len(), 1, "{from}: {:?}", answer.set_cookies());
        let out = person
            .send(
                Method::POST,
                "/oauth2/sign_out",
                &[("origin", "https://app.example"), ("sec-fetch-site", "same-origin")],
                Vec::new(),
            )
            .await;
        assert_eq!(out.status, 200, "{}", out.text());
        assert_eq!(ask(&person, from, "GET", "/app/x", &[]).await.status, 401, "{from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_may_be_kept_for_as_long_as_is_configured_where_it_brings_nothing_new() {
    let site = asked_by("nginx", ", cache: 2s").await;
    let (stranger, person) = (site.client(), signed_in(&site).await);
    let answer = ask(&person, "nginx", "GET", "/app/x", &[]).await;
    assert_eq!(answer.header("cache-control"), Some("max-age=2"));
    assert_eq!(answer.header("vary"), Some("cookie, authorization, x-original-url, x-original-method"));
    assert_eq!(ask(&stranger, "nginx", "GET", "/app/x", &[]).await.header("cache-control"), Some("no-store"));
    // What depends on whose page sent it is asked each time.
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let disguise = ("x-http-method-override", "DELETE");
    for (method, own) in [("POST", &[][..]), ("GET", &[key]), ("GET", &[disguise, ("origin", "https://app.example")])] {
        let answer = ask(&person, "nginx", method, "/app/x", own).await;
        assert_eq!((answer.status, answer.header("cache-control")), (202, Some("no-store")), "{method} {own:?}");
    }
    site.clock.advance(std::time::Duration::from_secs(120));
    let renewed = ask(&person, "nginx", "GET", "/app/x", &[]).await;
    assert_eq!((renewed.set_cookies().len(), renewed.header("cache-control")), (1, Some("no-store")));
    let uncached = asked_by("nginx", "").await;
    let person = signed_in(&uncached).await;
    assert_eq!(ask(&person, "nginx", "GET", "/app/x", &[]).await.header("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_answered_where_no_browser_can_ask_and_nowhere_else() {
    for from in FRONT_PROXIES {
        let site = Site::with(Setup {
            routes: "[{path: /v1/**, credentials: ours}, {path: /public/**, access: public}, {path: /**}]".to_owned(),
            more: format!(
                "{TRUSTED}forward_auth: {{from: {from}, cache: 2s}}\n\
                 credentials: {{ours: {{kind: static, secret: {{env: CLIENT_SECRET}}}}}}\n"
            ),
            ..Setup::default()
        })
        .await;
        let person = signed_in(&site).await;
        let cookies = person.cookie_header("app.example").unwrap();
        let front = Client::new(site.asked_at.unwrap());
        let bearer = format!("Bearer {CLIENT_SECRET}");
        // (where is asked, path, with a session; status, credential)
        let cases = [
            (&person, "/v1/models", true, true, None),
            (&front, "/v1/models", true, true, Some(bearer.as_str())),
            (&front, "/app/x", true, true, None),
            (&front, "/v1/models", false, false, None),
            (&front, "/public/x", false, true, None),
        ];
        for (client, path, session, passes, credential) in cases {
            let own = [("cookie", if session { cookies.as_str() } else { "a=b" }), ("authorization", "Bearer theirs")];
            let answer = ask(client, from, "GET", path, &own).await;
            assert_eq!(answer.status, if passes { granted(from) } else { 401 }, "{from} {path}");
            assert_eq!(answer.header("authorization"), credential, "{from} {path} {session}");
            let kept = answer.header("cache-control");
            assert_eq!(kept == Some("no-store"), credential.is_some() || !passes, "{from} {path}: {kept:?}");
        }
        // Nothing else is there: no page, no sign-in, no app.
        for path in
            ["/oauth2/start", "/oauth2/sign_in", "/oauth2/userinfo", "/oauth2/ping", "/", "/app/x", "/v1/models"]
        {
            assert_eq!(front.get(path, &[("cookie", &cookies)]).await.status, 404, "{from} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn want_of_a_credential_is_a_refusal_and_an_outage_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("keys.yaml");
    std::fs::write(&book, "somebody-else: a-key\n").unwrap();
    let nobody = free_port();
    let site = Site::with(Setup {
        routes: "[{path: /lost/**, credentials: lost}, {path: /down/**, credentials: down}, {path: /**}]".to_owned(),
        more: format!(
            "{TRUSTED}forward_auth: {{from: nginx}}\ncredentials:\n  lost: {{kind: keys, claim: email, file: {}}}\n  \
             down: {{kind: keys, claim: email, url: \"http://127.0.0.1:{nobody}/\"}}\n",
            book.display()
        ),
        ..Setup::default()
    })
    .await;
    let cookies = signed_in(&site).await.cookie_header("app.example").unwrap();
    let front = Client::new(site.asked_at.unwrap());
    for (path, status) in [("/lost/x", 403), ("/down/x", 503), ("/neither/x", 202)] {
        let own = [("cookie", cookies.as_str())];
        assert_eq!(ask(&front, "nginx", "GET", path, &own).await.status, status, "{path}");
        let line = access_line_with(path).await;
        let route = if path == "/neither/x" { "/**".to_owned() } else { path.replace('x', "**") };
        assert_eq!(line["route"].as_str(), Some(route.as_str()), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_is_told_to_take_off_what_the_session_does_not_have() {
    let site = asked_by("envoy", "").await;
    let stranger = ask(&site.client(), "envoy", "GET", "/public/x", &[]).await;
    let all = "x-auth-request-user,x-auth-request-email,x-auth-request-preferred-username,x-auth-request-groups";
    assert_eq!(stranger.header("x-envoy-auth-headers-to-remove"), Some(all));
    let person = ask(&signed_in(&site).await, "envoy", "GET", "/public/x", &[]).await;
    assert_eq!(person.header("x-envoy-auth-headers-to-remove"), Some("x-auth-request-preferred-username"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_returns_to_another_host_where_that_is_on_the_list_and_only_there() {
    let site =
        Site::with(Setup { more: "sign_in: {return_to: [.other.example]}\n".to_owned(), ..Setup::default() }).await;
    let cases = [
        ("/oauth2/start?rd=https://a.other.example/x?y", &[][..], "https://a.other.example/x?y"),
        ("/oauth2/start?rd=https://evil.example/", &[], "https://app.example/"),
        ("/oauth2/start", &[("x-auth-request-redirect", "/deep?x")], "https://app.example/deep?x"),
        ("/oauth2/start", &[("x-auth-request-redirect", "https://a.other.example/x")], "https://a.other.example/x"),
        ("/oauth2/start", &[("x-auth-request-redirect", "https://evil.example/x")], "https://app.example/"),
        ("/oauth2/start?rd=https://evil.example/", &[("x-auth-request-redirect", "/deep")], "https://app.example/deep"),
        ("/oauth2/start?rd=/first", &[("x-auth-request-redirect", "/second")], "https://app.example/first"),
    ];
    for (path, headers, expected) in cases {
        let client = site.client();
        let to_provider = client.get(path, headers).await;
        let to_callback = client.get(to_provider.location(), &[]).await;
        let signed_in = client.get(to_callback.location(), &[]).await;
        assert_eq!(signed_in.location(), expected, "{path} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_oauth2_proxy_answers_at_its_root_is_answered_where_an_alias_says_so() {
    let aliases = "aliases: {ping: /ping, ready: /ready, robots: /robots.txt, auth: /auth, userinfo: /api/me}\n";
    let site = Site::with(Setup { more: aliases.to_owned(), ..Setup::default() }).await;
    let person = site.signed_in().await;
    for (path, body) in
        [("/ping", "OK"), ("/oauth2/ping", "OK"), ("/ready", "OK"), ("/robots.txt", "User-agent: *\nDisallow: /\n")]
    {
        let answer = site.client().get(path, &[("user-agent", "kube-probe/1.33")]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{path}");
    }
    // Not by a name that only looks like it, and by no User-Agent.
    for path in ["/ping/", "/Ping", "/ping/x", "/app"] {
        let answer = site.client().get(path, &[("user-agent", "kube-probe/1.33")]).await;
        assert_ne!(answer.text(), "OK", "{path}");
    }
    assert_eq!((site.client().get("/auth", &[]).await.status, person.get("/auth", &[]).await.status), (401, 202));
    let info = person.fetch("/api/me").await;
    let expected = serde_json::json!({
        "user": info.json()["user"], "email": "helene.moreau@test.proconnect.gouv.fr",
        "groups": ["agent_public", "agent_public_etat"],
    });
    assert_eq!((info.status, info.json()), (200, expected));
    assert_eq!(site.client().fetch("/oauth2/userinfo").await.status, 401);
    // The app's own, where nobody said otherwise.
    let site = Site::start().await;
    assert_eq!(site.signed_in().await.fetch("/ping").await.json()["target"], "/ping");
}
