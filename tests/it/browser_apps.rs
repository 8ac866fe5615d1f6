//! Front-ends in the browser: on our origin and on another, with sign-in and sign-out under the names
//! that they have already.

use super::support::client::{Answer, Client, NAVIGATION};
use super::support::shown::{email_at_app, header_at_app};
use super::support::site::{CLIENT_SECRET, ORIGIN, Setup, Site};
use http::Method;

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const FRONT: &str = "https://front.example.net";
const EVIL: &str = "https://evil.example";

/// What a script of a page sends along.
fn script(origin: &'static str) -> [(&'static str, &'static str); 5] {
    [
        ("origin", origin),
        ("sec-fetch-site", if origin == ORIGIN { "same-origin" } else { "cross-site" }),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "empty"),
        ("accept", "application/json"),
    ]
}

async fn by_script(client: &Client, origin: &'static str, method: Method, path: &str) -> Answer {
    client.send(method, path, &script(origin), Vec::new()).await
}

/// The Backend-For-Frontend: an app under `/api`, with its own names for signing in and out.
async fn bff(more: &str) -> Site {
    Site::with(Setup {
        routes: "[{path: /api/**, upstream: app, strip_prefix: /api}, {path: /**, upstream: app}, \
                  {path: /api/hooks/**, upstream: app, strip_prefix: /api, csrf: off}, \
                  {path: /open/**, access: public, upstream: app}]"
            .to_owned(),
        more: format!(
            "aliases: {{start: /api/login, callback: /api/callback, sign_out: /api/logout}}\n\
             sign_out: {{answer: {{logout: ok}}}}\n{more}"
        ),
        register: |client| client.redirect_uris = vec![format!("{ORIGIN}/api/callback")],
        ..Setup::default()
    })
    .await
}

const AFTER: &str = "sign_in: {after: /chat}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_signs_people_in_and_out_under_the_names_that_it_has() {
    let site = bff(AFTER).await;
    let person = site.client();
    for path in ["/api/chat", "/api/analytics"] {
        assert_eq!(by_script(&person, ORIGIN, Method::GET, path).await.status, 401, "{path}");
    }
    let page = person.browse("/api/login").await;
    assert_eq!((page.url.as_str(), page.status), ("https://app.example/chat", 200));
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
    let chat = by_script(&person, ORIGIN, Method::POST, "/api/chat?x=y").await;
    assert_eq!((chat.status, chat.json()["target"].as_str().unwrap().to_owned()), (200, "/chat?x=y".to_owned()));
    // By a script: here, at once, in the app's own words.
    for method in [Method::POST, Method::GET] {
        let person = site.client();
        person.browse("/api/login").await;
        let out = by_script(&person, ORIGIN, method.clone(), "/api/logout").await;
        assert_eq!((out.status, out.text().as_str()), (200, r#"{"logout":"ok"}"#), "{method}");
        assert_eq!(person.cookie("__Host-vestibule"), None);
        assert_eq!(out.header("clear-site-data"), Some("\"cache\""));
        assert_eq!(by_script(&person, ORIGIN, Method::GET, "/api/chat").await.status, 401);
    }
    // By a link: the whole way round.
    let own = [&NAVIGATION[..2], &[("sec-fetch-site", "same-origin")]].concat();
    let out = person.get("/api/logout", &own).await;
    assert!((300..400).contains(&out.status) && !out.location().starts_with('/'), "{}", out.location());
    // Where it is said where to go, that counts.
    let person = site.client();
    assert_eq!(person.browse("/api/login?rd=/deep%3Fa=b").await.url, "https://app.example/deep?a=b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_a_script_of_ours_or_a_listed_origin_signs_out_by_a_request_in_passing() {
    let site = bff(&format!("cors: {{origins: [\"{FRONT}\"]}}\n")).await;
    let person = site.client();
    person.browse("/api/login").await;
    let cases: [(Method, &[(&str, &str)]); 5] = [
        (Method::GET, &script(EVIL)),
        (Method::POST, &script(EVIL)),
        // Images of the app's own pages, with `crossorigin` and without.
        (Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "image")]),
        (Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]),
        (Method::POST, &[("origin", FRONT), ("origin", EVIL)]),
    ];
    for (method, headers) in cases {
        let answer = person.send(method.clone(), "/api/logout", headers, Vec::new()).await;
        assert!(answer.set_cookies().is_empty() && !answer.text().contains("logout"), "{method} {headers:?}");
    }
    let out = by_script(&person, FRONT, Method::POST, "/api/logout").await;
    assert_eq!((out.status, out.text().as_str()), (200, r#"{"logout":"ok"}"#));
    assert_eq!(out.header("access-control-allow-origin"), Some(FRONT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_origin_sends_what_it_likes_and_reads_every_answer() {
    let site =
        bff(&format!("cors: {{origins: [\"{FRONT}\"], expose: [X-Total]}}\ncookies: {{same_site: none}}\n")).await;
    let person = site.client();
    let page = person.browse("/api/login").await;
    assert_eq!(page.status, 200);
    let granted = |answer: &Answer| {
        let header = |name: &str| answer.header(name).map(str::to_owned);
        (header("access-control-allow-origin"), header("access-control-allow-credentials"))
    };
    let yes = (Some(FRONT.to_owned()), Some("true".to_owned()));
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let answer = by_script(&person, FRONT, method.clone(), "/api/chat").await;
        assert_eq!((answer.status, granted(&answer)), (200, yes.clone()), "{method}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("x-total"));
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary == "origin"), "{:?}", answer.headers);
        assert_eq!(email_at_app(&answer).as_deref(), Some(EMAIL));
    }
    // Without a session it can read that as well, and so it can what is ours or not there.
    let stranger = site.client();
    for (path, status) in [("/api/chat", 401), ("/oauth2/userinfo", 401), ("/oauth2/nothing", 404)] {
        let answer = by_script(&stranger, FRONT, Method::GET, path).await;
        assert_eq!((answer.status, granted(&answer)), (status, yes.clone()), "{path}");
    }
    // Nobody else.
    for origin in [EVIL, "null"] {
        let answer = by_script(&person, origin, Method::GET, "/api/chat").await;
        assert_eq!((answer.status, granted(&answer)), (200, (None, None)), "{origin}: a read, which it cannot read");
        let answer = by_script(&person, origin, Method::POST, "/api/chat").await;
        assert_eq!((answer.status, granted(&answer)), (403, (None, None)), "{origin}");
    }
    // What an app says of it itself is not what is said.
    let answer = by_script(&person, EVIL, Method::GET, "/api/status/200?access-control-allow-origin=*").await;
    assert_eq!((answer.status, granted(&answer)), (200, (None, None)));
    let answer = by_script(&person, FRONT, Method::GET, "/api/status/200?access-control-allow-origin=*").await;
    assert_eq!((answer.headers.get_all("access-control-allow-origin").iter().count(), granted(&answer)), (1, yes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_s_cookies_go_with_requests_of_other_sites_where_that_is_configured() {
    for (same_site, expected) in [("none", "SameSite=None"), ("lax", "SameSite=Lax")] {
        let site = bff(&format!("cors: {{origins: [\"{FRONT}\"]}}\ncookies: {{same_site: {same_site}}}\n")).await;
        let person = site.client();
        let mut answer = person.navigate("/api/login").await;
        let mut cookies = Vec::new();
        while (300..400).contains(&answer.status) {
            cookies.extend(
                answer.set_cookies().into_iter().filter(|cookie| cookie.starts_with("__Host-")).map(str::to_owned),
            );
            let next = url::Url::parse(&answer.url).unwrap().join(answer.location()).unwrap();
            answer = person.navigate(next.as_str()).await;
        }
        assert!(cookies.len() >= 3, "{cookies:?}");
        for cookie in cookies {
            let expected = if cookie.starts_with("__Host-vestibule-login=") { "SameSite=Lax" } else { expected };
            assert!(cookie.contains(expected) && cookie.contains("; Secure"), "{cookie}");
        }
    }
}

/// A preflight of a page of `origin`.
async fn preflight(client: &Client, origin: &str, path: &str, method: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "content-type"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "cross-site"),
    ];
    client.send(Method::OPTIONS, path, &headers, Vec::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_is_answered_for_listed_origins_alone_and_the_app_does_not_hear_of_it() {
    let site = bff(&format!("cors: {{origins: [\"{FRONT}\"], max_age: 5m}}\n")).await;
    let (client, before) = (site.client(), site.echo.seen.borrow().requests);
    for path in ["/api/chat", "/nowhere/at/all", "/oauth2/userinfo", "/api/logout", "/api/hooks/x"] {
        let answer = preflight(&client, FRONT, path, "DELETE").await;
        assert_eq!((answer.status, answer.text().as_str()), (204, ""), "{path}");
        for (name, value) in [
            ("access-control-allow-origin", FRONT),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "DELETE"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", "300"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let answer = preflight(&client, EVIL, path, "DELETE").await;
        assert!(answer.status >= 400 && answer.header("access-control-allow-origin").is_none(), "{path}");
    }
    assert_eq!(site.echo.seen.borrow().requests, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_reaches_the_app_as_nobody_s_where_the_app_is_to_answer() {
    let site = Site::with(Setup {
        routes: "[{path: /api/**, methods: [GET, POST], upstream: app, credentials: ours}, \
                  {path: /only-get, methods: [GET], upstream: app}]"
            .to_owned(),
        more: format!(
            "cors: {{origins: [\"{FRONT}\"], preflight: pass}}\n\
             credentials: {{ours: {{kind: static, secret: {{env: CLIENT_SECRET}}}}}}\n"
        ),
        ..Setup::default()
    })
    .await;
    let person = site.signed_in_at("/api/x").await;
    let cookies = person.cookie_header("app.example").unwrap();
    for (origin, with) in [(FRONT, ""), (EVIL, ""), (FRONT, cookies.as_str())] {
        let client = site.client();
        let mut headers = vec![("origin", origin), ("access-control-request-method", "POST")];
        headers.extend((!with.is_empty()).then_some(("cookie", with)));
        let answer = client.send(Method::OPTIONS, "/api/x", &headers, Vec::new()).await;
        assert_eq!(answer.status, 200, "{origin}: the app's to answer");
        assert_eq!(answer.json()["method"], "OPTIONS");
        for name in ["x-auth-request-email", "x-vestibule-session", "authorization", "cookie"] {
            assert_eq!(header_at_app(&answer, name), None, "{origin} {name}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None, "that is the app's to say too");
    }
    // For a method that no route has there is no app to ask.
    assert_eq!(preflight(&person, FRONT, "/only-get", "DELETE").await.status, 404);
    assert_eq!(preflight(&person, FRONT, "/only-get", "GET").await.status, 200);
    // What only looks like one is judged like everything else.
    assert_eq!(site.client().send(Method::OPTIONS, "/api/x", &[("origin", FRONT)], Vec::new()).await.status, 404);
    // Our own answers are ours to speak for.
    let answer = by_script(&site.client(), FRONT, Method::GET, "/api/x").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some(FRONT)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_browser_sends_as_a_preflight_is_judged_like_everything_else() {
    let site = Site::with(Setup {
        routes: "[{path: /api/**, upstream: app, credentials: ours}]".to_owned(),
        more: format!(
            "cors: {{origins: [\"{FRONT}\"], preflight: pass}}\n\
             credentials: {{ours: {{kind: static, secret: {{env: CLIENT_SECRET}}}}}}\n"
        ),
        ..Setup::default()
    })
    .await;
    let (client, before) = (site.client(), site.echo.seen.borrow().requests);
    let asks = [("origin", FRONT), ("access-control-request-method", "GET")];
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for more in [
        ("x-http-method-override", "DELETE"),
        ("X-HTTP-Method", "PUT"),
        ("x_method_override", "POST"),
        ("access-control-request-method", "POST"),
        key,
    ] {
        let headers = [&asks[..], &[more]].concat();
        assert_eq!(client.send(Method::OPTIONS, "/api/x", &headers, Vec::new()).await.status, 401, "{more:?}");
    }
    assert_eq!(client.send(Method::OPTIONS, "/api/x", &asks, b"a=b".to_vec()).await.status, 401, "a body");
    assert_eq!(site.echo.seen.borrow().requests, before);
    // One that is one has nothing in the place of the credential, whatever it brings there.
    let headers = [&asks[..], &[("authorization", "Bearer theirs")]].concat();
    let answer = client.send(Method::OPTIONS, "/api/x", &headers, Vec::new()).await;
    assert_eq!((answer.status, header_at_app(&answer, "authorization")), (200, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_looks_like_a_preflight_has_the_credential_of_its_route_where_it_is_a_person_s() {
    let site = Site::with(Setup {
        routes: "[{path: /api/**, upstream: app, credentials: ours}]".to_owned(),
        more: format!(
            "cors: {{origins: [\"{FRONT}\"]}}\n\
             credentials: {{ours: {{kind: static, secret: {{env: CLIENT_SECRET}}}}}}\n"
        ),
        ..Setup::default()
    })
    .await;
    let person = site.signed_in_at("/api/x").await;
    let headers = [("origin", EVIL), ("access-control-request-method", "POST"), ("authorization", "Bearer theirs")];
    let answer = person.send(Method::OPTIONS, "/api/x", &headers, Vec::new()).await;
    assert_eq!((answer.status, email_at_app(&answer).as_deref()), (200, Some(EMAIL)));
    assert_eq!(header_at_app(&answer, "authorization"), Some(format!("Bearer {CLIENT_SECRET}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_something_comes_from_our_own_pages_or_listed_ones() {
    let site = bff("csrf: {origins: [\"https://sibling.app.example\"]}\n").await;
    let person = site.client();
    person.browse("/api/login").await;
    let sibling = "https://sibling.app.example";
    let same_site = ("sec-fetch-site", "same-site");
    let cases: [(&[(&str, &str)], u16); 9] = [
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("origin", ORIGIN)], 200),
        (&[same_site, ("origin", sibling)], 200),
        (&[("sec-fetch-site", "none")], 200),
        (&[same_site, ("origin", "https://other.app.example")], 403),
        (&[same_site], 403),
        (&[("sec-fetch-site", "cross-site"), ("origin", EVIL)], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "http://app.example")], 403),
    ];
    for (headers, status) in cases {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = person.send(method.clone(), "/api/chat", headers, Vec::new()).await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
        }
        // As whatever an app makes of a header.
        let disguised = [headers, &[("x-http-method-override", "DELETE")]].concat();
        assert_eq!(person.get("/api/chat", &disguised).await.status, status, "{disguised:?}");
        // Reading is for everybody who may.
        assert_eq!(person.get("/api/chat", headers).await.status, 200, "{headers:?}");
        // A route can leave it to its app, and on a public one it is nobody's request.
        let hook = person.send(Method::POST, "/api/hooks/x", headers, Vec::new()).await;
        assert_eq!(email_at_app(&hook).as_deref(), Some(EMAIL), "{headers:?}");
        let open = person.send(Method::POST, "/open/x", headers, Vec::new()).await;
        assert_eq!((open.status, email_at_app(&open).is_some()), (200, status == 200), "{headers:?}");
    }
    // Without a session it is no other answer than ever.
    let stranger = by_script(&site.client(), EVIL, Method::POST, "/api/chat").await;
    assert_eq!((stranger.status, stranger.json()["error"].as_str()), (401, Some("not_signed_in")));
    let refused = by_script(&person, EVIL, Method::POST, "/api/chat").await;
    assert_eq!(refused.json()["error"], "other_site");
    // A form gets a page.
    let form = [&NAVIGATION[..2], &[("origin", EVIL), ("sec-fetch-site", "cross-site")]].concat();
    let page = person.send(Method::POST, "/api/chat", &form, Vec::new()).await;
    assert!(page.status == 403 && page.text().contains("Demande venue d’un autre site"), "{}", page.text());
}
