//! What the app is told of the person and of the way a request came: only what is verified, in
//! every header that it could believe, on every route.

use crate::support::client::Client;
use crate::support::raw::Raw;
use crate::support::site::{Setup, Site};
use crate::support::wire::{Received, Wire};

/// Names that apps believe, of every set and of others' making.
const BELIEVED: [&str; 23] = [
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Groups",
    "X-Auth-Request-Access-Token",
    "X-Auth-Request-Redirect",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Prefix",
    "X-Forwarded-Port",
    "Remote-User",
    "Remote-Email",
    "Remote-Name",
    "Remote-Groups",
    "X-Remote-User",
    "X-Vestibule-Session",
    "X-Real-IP",
    "Forwarded",
    "X-Original-URL",
    "X-Rewrite-URL",
];

/// The three sets and one of our own.
const CHOICES: [&str; 4] = [
    "identity: {headers: x-auth-request}",
    "identity: {headers: x-forwarded}",
    "identity: {headers: remote-user}",
    "identity: {headers: {X-Agent-Name: \"{given_name} {usual_name}\"}}",
];

async fn site(more: &str) -> (Site, Wire) {
    let wire = Wire::start().await;
    let setup = Setup { upstream: Some(wire.url()), more: more.to_owned(), ..Setup::default() };
    (Site::with(setup).await, wire)
}

fn cookies(client: &Client) -> String {
    format!("Cookie: {}\r\n", client.cookie_header("app.example").unwrap())
}

/// Sends a request with these further header lines and returns what reached the app.
async fn arrives(site: &Site, wire: &Wire, target: &str, lines: &str) -> Received {
    let before = wire.received().len();
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n")).await;
    assert_eq!(raw.answer().await.status, 200, "{target} {lines}");
    wire.nth(before + 1).await
}

/// `name` as it is, in capitals, and with its hyphens written as servers behind us read them too.
fn spellings(name: &str) -> Vec<String> {
    vec![
        name.to_owned(),
        name.to_ascii_uppercase(),
        name.replace('-', "_"),
        name.replace('-', "."),
        name.to_ascii_lowercase().replacen('-', "_", 1),
        name.replace('-', "!"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_that_an_app_could_believe_comes_from_the_client() {
    for choice in CHOICES {
        let mut believed = BELIEVED.to_vec();
        if choice.contains("X-Agent-Name") {
            believed.push("X-Agent-Name");
        }
        let (site, wire) = site(choice).await;
        let with_session = cookies(&site.signed_in().await);
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let requests = [
            ("/public/a", String::new()),
            ("/public/a", with_session.clone()),
            ("/private", with_session.clone()),
            ("/api/private", with_session.clone()),
            ("/public/a", upgrade.to_owned()),
            ("/private", format!("{with_session}{upgrade}")),
        ];
        for (target, lines) in requests {
            for names in believed.chunks(12) {
                // Twice, for whoever removes only the first.
                let mut forged = names.iter().flat_map(|name| spellings(name)).collect::<Vec<_>>();
                forged.extend(forged.clone());
                let forged = forged.join(": forged\r\n") + ": forged\r\n";
                let got = arrives(&site, &wire, target, &format!("{lines}{forged}X-Other: kept\r\n")).await;
                assert!(!got.head.contains("forged"), "{choice}, {target}:\n{}", got.head);
                assert_eq!(got.all("x-other"), ["kept"]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_set_says_who_it_is_once_and_only_with_a_session() {
    let sets: [(&str, &[(&str, Option<&str>)]); 7] = [
        (
            CHOICES[0],
            &[("x-auth-request-email", Some("helene.moreau@test.proconnect.gouv.fr")), ("x-auth-request-user", None)],
        ),
        (
            CHOICES[1],
            &[("x-forwarded-email", Some("helene.moreau@test.proconnect.gouv.fr")), ("x-forwarded-user", None)],
        ),
        (
            CHOICES[2],
            &[
                ("remote-email", Some("helene.moreau@test.proconnect.gouv.fr")),
                ("remote-user", None),
                ("remote-name", Some("H%C3%A9l%C3%A8ne Moreau")),
            ],
        ),
        (CHOICES[3], &[("x-agent-name", Some("H%C3%A9l%C3%A8ne Moreau"))]),
        (
            "identity: {headers: remote-user, encoding: rfc8187}",
            &[("remote-name", Some("UTF-8''H%C3%A9l%C3%A8ne%20Moreau"))],
        ),
        (
            "identity: {headers: {X-Given: \"{given_name}\"}, encoding: rfc8187}",
            &[("x-given", Some("UTF-8''H%C3%A9l%C3%A8ne"))],
        ),
        (
            "identity: {headers: {X-Who: \"{{{absent|email}}} via {given_name}\", X-None: \"{absent}\"}}",
            &[("x-who", Some("{helene.moreau@test.proconnect.gouv.fr} via H%C3%A9l%C3%A8ne"))],
        ),
    ];
    for (choice, headers) in sets {
        let (site, wire) = site(choice).await;
        let client = site.signed_in().await;
        let session = cookies(&client);
        let upgrade = format!("{session}Connection: upgrade\r\nUpgrade: WebSocket\r\n");
        for (target, lines) in
            [("/private", &session), ("/public/a", &session), ("/api/a", &session), ("/ws", &upgrade)]
        {
            let got = arrives(&site, &wire, target, lines).await;
            for (name, value) in headers {
                let values = got.all(name);
                assert_eq!(values.len(), 1, "{choice}, {target}, {name}:\n{}", got.head);
                assert!(value.is_none_or(|value| value == values[0]), "{choice}, {target}, {name}: {values:?}");
            }
            assert_eq!(got.all("x-none"), [""; 0]);
        }
        let got = arrives(&site, &wire, "/public/a", "").await;
        for (name, _) in headers {
            assert_eq!(got.all(name), [""; 0], "{choice}: {name} without a session");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_take_away_what_it_cannot_set() {
    let (site, wire) = site("").await;
    let session = cookies(&site.signed_in().await);
    for nominating in [
        "Connection: x-auth-request-email",
        "Connection: keep-alive, X-Auth-Request-Email, x-auth-request-user",
        "Connection: close, cookie",
        "Connection: close\r\nConnection: x-auth-request-email",
        "Connection: x-auth-request-email\r\nX-Auth-Request-Email: forged",
    ] {
        let got = arrives(&site, &wire, "/private", &format!("{session}{nominating}\r\n")).await;
        let emails = got.all("x-auth-request-email");
        assert_eq!(emails, ["helene.moreau@test.proconnect.gouv.fr"], "{nominating}:\n{}", got.head);
        assert_eq!(got.all("x-auth-request-user").len(), 1);
        assert_eq!(got.all("x-forwarded-for"), ["127.0.0.1"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_cookies_never_reach_the_app_and_the_others_arrive_byte_for_byte() {
    let (site, wire) = site("").await;
    let client = site.signed_in().await;
    let session = client.cookie("__Host-vestibule").unwrap();
    let ours = client.cookie_header("app.example").unwrap();
    assert!(ours.contains("__Host-vestibule-tokens"), "{:?}", client.cookie_names());
    // (Cookie headers as sent, the app's one)
    let cases: Vec<(Vec<String>, Option<&str>)> = vec![
        (vec![ours.clone()], None),
        (vec![format!("{ours}; a=1")], Some("a=1")),
        (vec![format!("a=1; {ours}")], Some("a=1")),
        (
            vec![format!("a=\"q; {ours}; b=x=y==;c=;  d; =e; caf\u{e9}=\u{e8}")],
            Some("a=\"q; b=x=y==;c=;  d; =e; caf\u{e9}=\u{e8}"),
        ),
        (vec!["a=1".into(), format!("__Host-vestibule={session}"), "b=2; c=3".into()], Some("a=1; b=2; c=3")),
        (vec![format!("a=1;__Host-vestibule={session};b=2")], Some("a=1;b=2")),
        (vec![format!("__Host-vestibule={session}; __Host-vestibule-login=x; __Host-vestibule-tokens-1=y")], None),
        // Names like ours that are not, and ours where a setup has no prefix.
        (
            vec![format!("vestibules=1; my-vestibule=2; vestibule=3; {ours}; x__Host-vestibule=4")],
            Some("vestibules=1; my-vestibule=2; x__Host-vestibule=4"),
        ),
    ];
    for (sent, expected) in cases {
        for (target, more) in
            [("/private", ""), ("/public/a", ""), ("/private", "Connection: upgrade\r\nUpgrade: websocket\r\n")]
        {
            let lines = format!("Cookie: {}\r\n", sent.join("\r\nCookie: "));
            let got = arrives(&site, &wire, target, &format!("{lines}{more}")).await;
            assert_eq!(got.all("cookie"), expected.into_iter().collect::<Vec<_>>(), "{target}: {lines}");
        }
    }
    let untouched = "theirs=1;other=\"2\" ; odd;;  =";
    let got = arrives(&site, &wire, "/public/a", &format!("Cookie: {untouched}\r\n")).await;
    assert_eq!(got.all("cookie"), [untouched.trim_end()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_a_request_came_is_our_own_finding() {
    const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.example\r\n";
    let cases = [
        ("", "", ["127.0.0.1", "https", "app.example"]),
        ("", CLAIMS, ["127.0.0.1", "https", "app.example"]),
        ("trusted_proxies: [192.0.2.0/24]", CLAIMS, ["127.0.0.1", "https", "app.example"]),
        ("trusted_proxies: [127.0.0.1]", CLAIMS, ["6.6.6.6, 127.0.0.1", "http", "evil.example"]),
        ("trusted_proxies: [127.0.0.0/8]", "", ["127.0.0.1", "https", "app.example"]),
        (
            "trusted_proxies: [127.0.0.1, 10.0.0.0/8]",
            "X-Forwarded-For: 6.6.6.6, 2.2.2.2\r\nX-Forwarded-For: 10.1.1.1\r\nX_Forwarded_For: 7.7.7.7\r\n",
            ["2.2.2.2, 10.1.1.1, 127.0.0.1", "https", "app.example"],
        ),
    ];
    for (more, lines, expected) in cases {
        let (site, wire) = site(more).await;
        let got = arrives(&site, &wire, "/public/a", lines).await;
        let told = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| got.all(name).join("|"));
        assert_eq!(told, expected, "{more} {lines}");
        assert!(!got.head.contains("7.7.7.7"), "{}", got.head);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_and_headers_of_no_meaning_to_us_arrive_as_they_were_sent() {
    let (site, wire) = site("").await;
    let mut raw = Raw::connect(site.address).await;
    raw.send(
        "GET /public/a HTTP/1.1\r\nHost: Other.Example:8443\r\nAuthorization: Basic eDp5\r\nUser-Agent: a/1 (b)\r\n\
         X-Twice: one\r\nX-CamelCase: v\r\nX-Twice: two,three\r\nAccept-Encoding: br\r\nRange: bytes=0-1\r\n\
         If-None-Match: \"x\"\r\nOrigin: https://other.example\r\nX-Latin: caf\u{e9}\r\nX-Empty:\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.status, 200);
    let got = wire.nth(1).await;
    let expected = [
        ("Host", "Other.Example:8443"),
        ("Authorization", "Basic eDp5"),
        ("User-Agent", "a/1 (b)"),
        ("X-Twice", "one"),
        ("X-CamelCase", "v"),
        ("X-Twice", "two,three"),
        ("Accept-Encoding", "br"),
        ("Range", "bytes=0-1"),
        ("If-None-Match", "\"x\""),
        ("Origin", "https://other.example"),
        ("X-Latin", "caf\u{e9}"),
    ];
    for pair in expected {
        assert!(got.headers().contains(&pair), "{pair:?} in\n{}", got.head);
    }
    assert!(got.head.contains("X-Empty:"), "{}", got.head);
    assert!(!got.head.to_ascii_lowercase().contains("via:") && !got.head.contains("ingora"), "{}", got.head);
}
