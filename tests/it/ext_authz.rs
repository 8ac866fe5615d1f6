//! Envoy's gRPC `ext_authz`, as bytes: what it asks and how it is answered, what is no question, and
//! that nothing which HTTP refuses passes here. Envoy itself asks in `front_proxies`.

use super::support::client::{Client, NAVIGATION};
use super::support::grpc::{Asker, CHECK, about, field, line, map, raw};
use super::support::log_watch::{access_line_with, access_lines_with};
use super::support::site::{CLIENT_SECRET, ORIGIN, Setup, Site};
use super::support::waiting::until;
use http::Method;
use std::time::Duration;

const ROUTES: &str = "[{path: /public/**, access: public}, {path: /api/**, methods: [GET]}, {path: /app/**}, \
                       {path: /v1/**, credentials: ours}, {path: /other/**, host: other.example}]";
const HOST: &str = "app.example";

async fn site_with(trusted: &str, forward_auth: &str) -> Site {
    Site::with(Setup {
        routes: ROUTES.to_owned(),
        more: format!(
            "trusted_proxies: [{trusted}]\nforward_auth: {{{forward_auth}}}\n\
             credentials: {{ours: {{kind: static, secret: {{env: CLIENT_SECRET}}}}}}\n"
        ),
        ..Setup::default()
    })
    .await
}

struct Scene {
    site: Site,
    asker: Asker,
    person: Client,
    cookies: String,
}

impl Scene {
    async fn start(forward_auth: &str) -> Self {
        let site = site_with("127.0.0.1", forward_auth).await;
        let asker = Asker::connect(site.grpc.unwrap()).await;
        let person = site.client();
        person.browse("/oauth2/start?rd=/app/").await;
        let cookies = person.cookie_header(HOST).unwrap();
        Self { site, asker, person, cookies }
    }
}

/// A question as Envoy asks it about a request of the site with these headers.
fn asks(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":path", path), (":authority", HOST), (":scheme", "https")];
    about(&[line(method, HOST, path), raw(&[&pseudo[..], headers].concat())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_is_that_of_the_gate_in_either_form_of_the_headers() {
    let scene = Scene::start("").await;
    // (method, path; statuses for a stranger and for a person)
    let cases = [
        ("GET", "/app/page?x=y", 401, 200),
        ("POST", "/app/page", 401, 200),
        ("GET", "/public/page", 200, 200),
        ("GET", "/api/x", 401, 200),
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
        ("GET", "https://app.example/public/x", 403, 403),
        ("GET", "/public/x#/app", 403, 403),
        ("GET", "/public/x\0", 403, 403),
        ("GET", "/public/x\r\nhost: other.example", 403, 403),
        ("GET", "*", 403, 403),
        ("CONNECT", "app.example:443", 403, 403),
        ("TRACE", "/public/x", 403, 403),
        ("get", "/public/x", 403, 403),
    ];
    for (method, path, stranger_s, person_s) in cases {
        for (headers, expected) in
            [(vec![("accept", "*/*")], stranger_s), (vec![("cookie", &*scene.cookies), ("origin", ORIGIN)], person_s)]
        {
            let in_map = about(&[line(method, HOST, path), map(&headers)]);
            for question in [asks(method, path, &headers), in_map] {
                let answer = scene.asker.check(&question).await;
                assert_eq!(answer.status, expected, "{method} {path:?}: {answer:?}");
                let code =
                    [(200, 0), (401, 16), (403, 7)].into_iter().find(|(status, _)| *status == expected).unwrap().1;
                assert_eq!(answer.code, code, "{method} {path:?}");
                let email = answer.header("x-auth-request-email").is_some();
                assert_eq!(email, expected == 200 && headers[0].0 == "cookie", "{method} {path:?}");
            }
        }
    }
    let elsewhere = about(&[line("GET", "other.example", "/other/x"), map(&[("cookie", &scene.cookies)])]);
    assert_eq!(scene.asker.check(&elsewhere).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_contradicts_itself_or_says_too_little_is_refused() {
    let scene = Scene::start("from: nginx").await;
    // A person gets a page.
    let page = scene.asker.check(&asks("GET", "/public/../app", &NAVIGATION)).await;
    assert!(page.status == 403 && page.body.starts_with("<!"), "{page:?}");
    let public = || line("GET", HOST, "/public/x");
    let accept = || raw(&[("accept", "*/*")]);
    assert_eq!(scene.asker.check(&about(&[public(), accept()])).await.status, 200);
    let long = "a".repeat(100_000);
    let cases = [
        ("nothing", Vec::new()),
        ("no attributes", field(1, "")),
        ("no request", field(1, field(4, ""))),
        ("no fields", about(&[])),
        ("no headers", about(&[public()])),
        ("empty headers", about(&[public(), field(13, "")])),
        ("both forms", about(&[public(), accept(), map(&[("accept", "*/*")])])),
        ("no host", about(&[line("GET", "", "/public/x"), accept()])),
        ("no method", about(&[line("", HOST, "/public/x"), accept()])),
        ("no path", about(&[line("GET", HOST, ""), accept()])),
        ("no scheme", about(&[field(2, "GET"), field(4, "/public/x"), field(5, HOST), accept()])),
        ("another scheme", about(&[public(), field(6, "ftp"), accept()])),
        ("a query of its own", about(&[public(), field(7, "x"), accept()])),
        ("a fragment", about(&[public(), field(8, "x"), accept()])),
        ("another host", about(&[public(), raw(&[("host", "other.example")])])),
        ("another authority", about(&[public(), raw(&[(":authority", "other.example")])])),
        ("two authorities", about(&[public(), raw(&[(":authority", HOST), (":authority", "other.example")])])),
        ("another path", about(&[public(), raw(&[(":path", "/app/x")])])),
        ("another method", about(&[public(), raw(&[(":method", "POST")])])),
        ("an odd pseudo-header", about(&[public(), raw(&[(":protocol", "websocket")])])),
        ("no name", about(&[public(), raw(&[("", "x")])])),
        ("a name that is none", about(&[public(), raw(&[("x y", "z")])])),
        ("a broken line", about(&[public(), raw(&[("x", "y\r\nz: a")])])),
        ("a control character", about(&[public(), raw(&[("x", "y\x01")])])),
        ("a host that is none", about(&[line("GET", "a b", "/public/x"), accept()])),
        ("two hosts", about(&[line("GET", "app.example, other.example", "/public/x"), accept()])),
        ("too long", about(&[public(), raw(&[("cookie", &long)])])),
        ("two values", about(&[public(), field(3, [field(1, "a"), field(2, "b"), field(3, "c")].concat())])),
        ("the path in another place", about(&[line("GET", HOST, "/app/x"), raw(&[("x-original-url", "/public/x")])])),
        ("another upgrade", about(&[public(), raw(&[("upgrade", "h2c")])])),
    ];
    for (what, question) in cases {
        let answer = scene.asker.check(&question).await;
        let expected = if what == "the path in another place" { (16, 401) } else { (7, 403) };
        assert_eq!((answer.code, answer.status), expected, "{what}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_question_is_an_error_and_the_next_one_is_answered() {
    let scene = Scene::start("").await;
    let good = asks("GET", "/public/x", &[("accept", "*/*")]);
    let framed = |flag: u8, len: u32, bytes: &[u8]| [&[flag][..], &len.to_be_bytes(), bytes].concat();
    let len = u32::try_from(good.len()).unwrap();
    let oversized = asks("GET", "/public/x", &[("cookie", &"a".repeat(300_000))]);
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("cut short", CHECK, framed(0, len - 1, &good[..good.len() - 1])),
        ("shorter than it says", CHECK, framed(0, len + 1, &good)),
        ("no protocol buffers", CHECK, framed(0, 4, b"\xff\xff\xff\xff")),
        ("a number where a message is", CHECK, framed(0, 2, b"\x08\x01")),
        ("text that is not UTF-8", CHECK, {
            let bad = about(&[field(4, b"\xff\xfe")]);
            framed(0, u32::try_from(bad.len()).unwrap(), &bad)
        }),
        ("compressed", CHECK, framed(1, len, &good)),
        ("an odd flag", CHECK, framed(7, len, &good)),
        ("no frame", CHECK, Vec::new()),
        ("half a frame", CHECK, vec![0, 0]),
        ("too long", CHECK, framed(0, u32::try_from(oversized.len()).unwrap(), &oversized)),
        ("said to be endless", CHECK, framed(0, u32::MAX, &good)),
        ("another version", "/envoy.service.auth.v2.Authorization/Check", framed(0, len, &good)),
        ("another method", "/envoy.service.auth.v3.Authorization/check", framed(0, len, &good)),
        ("another service", "/grpc.health.v1.Health/Check", framed(0, len, &good)),
        ("a page", "/oauth2/start", framed(0, len, &good)),
    ];
    for (what, path, bytes) in cases {
        let called = scene.asker.send(path, "application/grpc", bytes).await;
        // An error of the stream is one as well.
        if let Ok(called) = called {
            assert_ne!(called.status, 0, "{what}");
            assert!(called.message.is_empty(), "{what}");
        }
        assert_eq!(scene.asker.check(&good).await.status, 200, "after: {what}");
    }
    assert_eq!(access_line_with("no question of ext_authz").await["level"], "WARN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_a_trusted_proxy_is_answered() {
    let site = site_with("192.0.2.7", "").await;
    let asker = Asker::connect(site.grpc.unwrap()).await;
    for path in ["/public/x", "/app/x"] {
        let answer = asker.check(&asks("GET", path, &[("x-forwarded-for", "192.0.2.7")])).await;
        assert_eq!((answer.code, answer.status, answer.removed.len()), (7, 403, 0), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_it_is_takes_the_place_of_what_the_client_says_and_our_cookies_stay_here() {
    let scene = Scene::start("").await;
    let cookies = format!("a=1; {}; b=2", scene.cookies);
    let own = [
        ("cookie", cookies.as_str()),
        ("x_forwarded_for", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.2"),
        ("x-rewrite-url", "/public/x"),
        ("x-auth-request-redirect", "/app/x"),
    ];
    let answer = scene.asker.check(&asks("GET", "/app/x", &own)).await;
    assert_eq!(answer.header("x-auth-request-email"), Some("helene.moreau@test.proconnect.gouv.fr"));
    assert!(answer.header("x-vestibule-session").is_some());
    assert_eq!(answer.header("cookie").map(|cookie| cookie.replace(' ', "")), Some("a=1;b=2".to_owned()));
    // Set, whatever was there: to add to it is Envoy's default.
    assert!(answer.headers.iter().all(|(.., action)| *action == 2), "{answer:?}");
    let names: Vec<_> = answer.headers.iter().map(|(name, ..)| name.as_str()).collect();
    let told =
        ["x-auth-request-user", "x-auth-request-email", "x-auth-request-groups", "x-vestibule-session", "cookie"];
    assert_eq!(names, told);
    let mut removed = answer.removed;
    removed.sort_unstable();
    let stripped = ["x-auth-request-preferred-username", "x-auth-request-redirect", "x-rewrite-url", "x_forwarded_for"];
    assert_eq!(removed, stripped);
    assert!(answer.added.is_empty());

    let all =
        ["x-auth-request-user", "x-auth-request-email", "x-auth-request-preferred-username", "x-auth-request-groups"];
    let stranger = scene.asker.check(&asks("GET", "/public/x", &[("accept", "*/*")])).await;
    assert_eq!((stranger.headers.len(), &*stranger.removed), (0, &all.map(str::to_owned)[..]));
    // Latin-1 among them: a message cannot carry it, so the app gets none.
    let latin = [field(1, "cookie"), field(3, [b"a=\xe9; ", scene.cookies.as_bytes()].concat())].concat();
    let latin = about(&[line("GET", HOST, "/app/x"), field(13, field(1, latin))]);
    let latin = scene.asker.check(&latin).await;
    assert_eq!((latin.status, latin.header("cookie")), (200, None));
    assert!(latin.removed.contains(&"cookie".to_owned()), "{latin:?}");
    let ours_alone = scene.asker.check(&asks("GET", "/public/x", &[("cookie", &scene.cookies)])).await;
    assert!(ours_alone.removed.contains(&"cookie".to_owned()), "{ours_alone:?}");

    for name in [
        "x-auth-request-email",
        "X-Auth-Request-Email",
        "x_auth_request_email",
        "x.auth.request.email",
        "x-auth-request-anything",
        "x-forwarded-user",
        "x-forwarded-access-token",
        "remote-user",
        "remote_user",
        "gap-auth",
        "script_name",
        "x-vestibule-session",
    ] {
        for path in ["/public/x", "/app/x"] {
            for cookies in [scene.cookies.as_str(), "a=b"] {
                let headers = [("cookie", cookies), (name, "admin@example.gouv.fr")];
                for question in [asks("GET", path, &headers), about(&[line("GET", HOST, path), map(&headers)])] {
                    let answer = scene.asker.check(&question).await;
                    assert_eq!((answer.code, answer.status), (7, 403), "{name} {path}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_set_in_the_place_of_the_clients_own() {
    let scene = Scene::start("").await;
    let own = [("cookie", scene.cookies.as_str()), ("authorization", "Bearer theirs")];
    let answer = scene.asker.check(&asks("GET", "/v1/models", &own)).await;
    assert_eq!(answer.header("authorization"), Some(format!("Bearer {CLIENT_SECRET}").as_str()));
    assert!(!answer.removed.contains(&"authorization".to_owned()) && answer.added.is_empty());
    let elsewhere = scene.asker.check(&asks("GET", "/app/x", &own)).await;
    assert_eq!((elsewhere.status, elsewhere.header("authorization")), (200, None));
    let stranger = scene.asker.check(&asks("GET", "/v1/models", &[("authorization", "Bearer theirs")])).await;
    assert_eq!((stranger.status, stranger.header("authorization")), (401, None));
    // It is in no answer of the listener that browsers reach.
    let shown = scene.person.get("/oauth2/auth", &[]).await;
    assert_eq!((shown.status, shown.header("authorization")), (202, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_is_not_signed_in_gets_what_the_configuration_says() {
    let scene = Scene::start("not_signed_in: sign-in").await;
    let page = scene.asker.check(&asks("GET", "/app/deep?x=y", &NAVIGATION)).await;
    assert_eq!((page.code, page.status), (16, 302));
    assert!(page.header("location").unwrap().starts_with(scene.site.provider.issuer()));
    // Several cookies must not take each other's place, and nothing else may be there twice.
    for (name, _, action) in &page.headers {
        assert_eq!(*action, if name == "set-cookie" { 0 } else { 2 }, "{name}");
    }
    assert!(page.header("set-cookie").unwrap().starts_with("__Host-vestibule-login="));
    let script = scene.asker.check(&asks("GET", "/app/deep", &[("accept", "application/json")])).await;
    assert_eq!((script.code, script.status, script.header("location")), (16, 401, None));
    assert_eq!(script.header("content-type"), Some("application/json"));
    assert!(script.body.contains("not_signed_in"), "{}", script.body);

    let scene = Scene::start("").await;
    let page = scene.asker.check(&asks("GET", "/app/deep?x=y", &NAVIGATION)).await;
    assert_eq!((page.code, page.status), (16, 401));
    assert!(page.body.contains(r#"value="/app/deep?x=y""#), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_opened_by_no_other_site() {
    let scene = Scene::start("").await;
    let upgrade = ("upgrade", "websocket");
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (origin, expected) in [("https://app.example", 200), ("https://evil.example", 403)] {
        // With its key, and over HTTP/2 without one (RFC 8441).
        for handshake in [&[upgrade][..], &[upgrade, key], &[key]] {
            let own = [&[("cookie", scene.cookies.as_str()), ("origin", origin)], handshake].concat();
            let answer = scene.asker.check(&asks("GET", "/app/ws", &own)).await;
            assert_eq!(answer.status, expected, "{origin} {handshake:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_cookie_is_answered_and_a_renewed_one_comes_with_the_answer_until_the_session_ends() {
    let scene = Scene::start("").await;
    let long = format!("junk={}; {}", "j".repeat(64 * 1024), scene.cookies);
    for path in ["/app/x", "/public/x"] {
        let answer = scene.asker.check(&asks("GET", path, &[("cookie", &long)])).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.header("cookie").is_some_and(|cookie| cookie.len() > 64 * 1024 && !cookie.contains("vestibule"))
        );
    }
    scene.site.clock.advance(Duration::from_secs(120));
    let with_session = [("cookie", scene.cookies.as_str())];
    let renewed = scene.asker.check(&asks("GET", "/app/x", &with_session)).await;
    let [(name, cookie, 0)] = &renewed.added[..] else { panic!("{renewed:?}") };
    assert!(name == "set-cookie" && cookie.starts_with("__Host-vestibule="), "{renewed:?}");

    let own = [("origin", "https://app.example"), ("sec-fetch-site", "same-origin")];
    let out = scene.person.send(Method::POST, "/oauth2/sign_out", &own, Vec::new()).await;
    assert_eq!(out.status, 200, "{}", out.text());
    let answer = scene.asker.check(&asks("GET", "/app/x", &with_session)).await;
    assert_eq!((answer.code, answer.status, answer.added.len()), (16, 401, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_of_a_session_opens_nothing() {
    let site = Site::with(Setup {
        routes: "[{path: /asks/**, upstream: app, session_cookie: proof}, {path: /**}]".to_owned(),
        more: "trusted_proxies: [127.0.0.1]\nforward_auth: {}\n".to_owned(),
        ..Setup::default()
    })
    .await;
    let seen = site.client().browse("/asks/x").await.json();
    let headers = seen["headers"].as_array().unwrap();
    let proof = headers.iter().find(|header| header[0] == "cookie").unwrap()[1].as_str().unwrap();
    assert!(proof.starts_with("__Host-vestibule-proof="), "{proof}");
    assert_eq!(site.client().get("/oauth2/auth", &[("cookie", proof)]).await.status, 202);
    let asker = Asker::connect(site.grpc.unwrap()).await;
    assert_eq!(asker.check(&asks("GET", "/app/x", &[("cookie", proof)])).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_has_one_line_and_is_counted() {
    let scene = Scene::start("").await;
    let own = [("cookie", scene.cookies.as_str()), ("x-forwarded-for", "192.0.2.77")];
    scene.asker.check(&asks("GET", "/app/grpc-line-1?code=hidden", &own)).await;
    scene.asker.check(&asks("POST", "/app/grpc-line-2", &[("x-forwarded-for", "192.0.2.77")])).await;
    scene.asker.check(&asks("GET", "/app/grpc-line-3/..", &own)).await;
    for (path, method, status, session) in [("1", "GET", 200, true), ("2", "POST", 401, false)] {
        let path = format!("grpc-line-{path}");
        let line = access_line_with(&path).await;
        let shown = line.to_string();
        assert_eq!(access_lines_with(&path).len(), 1, "{shown}");
        assert_eq!(line["asked"], format!("{method} /app/{path}"), "{shown}");
        assert_eq!((&line["decision"], &line["status"]), (&"auth".into(), &status.into()), "{shown}");
        assert_eq!((&line["path"], &line["host"]), (&CHECK.into(), &"vestibule.internal".into()), "{shown}");
        assert_eq!((&line["client"], &line["level"]), (&"192.0.2.77".into(), &"INFO".into()), "{shown}");
        assert_eq!(line["session"].is_string(), session, "{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
    }
    let operator = Client::new(scene.site.admin);
    until("the questions are counted", async || {
        let metrics = operator.get("/metrics", &[]).await.text();
        metrics.contains(r#"vestibule_requests_total{decision="auth",route="/app/**"} 1"#)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_on_a_unix_socket_is_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    for (trusted, expected) in [("127.0.0.1", 200), ("192.0.2.7", 403)] {
        let path = folder.path().join(trusted);
        let site = Site::with(Setup {
            routes: ROUTES.to_owned(),
            more: format!(
                "trusted_proxies: [{trusted}]\nforward_auth: {{}}\n\
                 credentials: {{ours: {{kind: static, secret: {{env: CLIENT_SECRET}}}}}}\n"
            ),
            grpc: format!("unix:{}", path.display()),
            ..Setup::default()
        })
        .await;
        let asker = Asker::over(tokio::net::UnixStream::connect(&path).await.unwrap()).await;
        assert_eq!(asker.check(&asks("GET", "/public/x", &[("accept", "*/*")])).await.status, expected, "{trusted}");
        drop(site);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_the_program() {
    let Scene { site, asker, .. } = Scene::start("").await;
    let question = asks("GET", "/public/x", &[("accept", "*/*")]);
    assert_eq!(asker.check(&question).await.status, 200);
    drop(site);
    until("the connection is closed", async || asker.call(CHECK, &question).await.is_err()).await;
}
