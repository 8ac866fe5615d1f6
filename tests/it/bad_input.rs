//! Bad input, in front of an app and asked by a front proxy alike: what `docs/security.md` says is
//! answered to it, row by row, by requests that are written to the socket by hand.

use crate::support::raw::{Raw, RawAnswer};
use crate::support::site::{Setup, Site};
use std::fmt::Write as _;

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
const BIG: usize = 64 * 1024;
/// One for each place in which front proxies write the request.
const FRONT_PROXIES: [&str; 3] = ["nginx", "traefik", "envoy"];

/// A row of the table.
struct Row {
    what: &'static str,
    peer: Peer,
    who: Who,
    /// What a client sends, and the status of the answer.
    requests: Vec<String>,
    proxied: u16,
    /// What is asked about it, by front proxy, and the status of the answer. Envoy's question is
    /// the client's request with another path, so what is wrong with that is wrong with itself.
    questions: Vec<(&'static str, String)>,
    asked: u16,
    asked_by_envoy: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Trusted,
    Stranger,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Person,
    Nobody,
}

/// A request without the empty line at its end.
fn request(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: app.example\r\n{headers}")
}

fn get(headers: &str) -> String {
    request("GET /app/x", headers)
}

/// What a front proxy asks about a request, with these headers of the client's.
fn asks(from: &str, method: &str, url: &str, headers: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    match from {
        "nginx" => {
            format!("{}X-Original-URL: {url}\r\nX-Original-Method: {method}\r\n", request("GET /oauth2/auth", headers))
        }
        "envoy" => {
            format!("{}X-Forwarded-Proto: {scheme}\r\n", request(&format!("{method} /oauth2/auth{target}"), headers))
        }
        _ => format!(
            "{}X-Forwarded-Method: {method}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {host}\r\n\
             X-Forwarded-Uri: {target}\r\n",
            request("GET /oauth2/auth", headers)
        ),
    }
}

/// The same by each.
fn all_ask(method: &str, url: &str, headers: &str) -> Vec<(&'static str, String)> {
    FRONT_PROXIES.map(|from| (from, asks(from, method, url, headers))).to_vec()
}

/// The question of each about `/app/x`, as `change` makes of it, for each of its headers that say
/// what it is about.
fn all_ask_with(change: impl Fn(&str, &str) -> String) -> Vec<(&'static str, String)> {
    let mut questions = Vec::new();
    for (from, question) in all_ask("GET", "https://app.example/app/x", "") {
        for line in question.lines().filter(|line| line.starts_with("X-")) {
            questions.push((from, change(&question, &format!("{line}\r\n"))));
        }
    }
    questions
}

#[expect(clippy::too_many_lines, reason = "a table: one entry per kind of bad input")]
fn rows() -> Vec<Row> {
    let app = "https://app.example/app/x";
    let own_page = "Origin: https://app.example\r\n";
    let big = "a".repeat(BIG);
    let forwarded = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: other.example\r\nX-Forwarded-Proto: http\r\n";
    let elsewhere = "Forwarded: host=other.example;proto=http\r\nX-Rewrite-URL: /public/x\r\nX-Original-URI: /public/x\r\n\
                     X_Forwarded_Uri: /public/x\r\nX_Original_URL: https://app.example/public/x\r\n";
    let mut rows = Vec::new();
    let row = |what, peer, who| Row {
        what,
        peer,
        who,
        requests: Vec::new(),
        proxied: 0,
        questions: Vec::new(),
        asked: 0,
        asked_by_envoy: 0,
    };
    rows.push(Row {
        requests: vec![get(forwarded)],
        proxied: 200,
        questions: all_ask("GET", app, ""),
        asked: 403,
        asked_by_envoy: 403,
        ..row("`X-Forwarded-*` from a peer that is not trusted", Peer::Stranger, Who::Person)
    });
    rows.push(Row {
        requests: vec![get("")],
        proxied: 200,
        questions: all_ask_with(|question, line| question.replace(line, "")),
        asked: 403,
        asked_by_envoy: 403,
        ..row("one of them missing", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![get(&forwarded.repeat(2))],
        proxied: 200,
        questions: all_ask_with(|question, line| format!("{question}{line}")),
        asked: 403,
        asked_by_envoy: 403,
        ..row("one of them twice", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![get(elsewhere)],
        proxied: 401,
        questions: all_ask("GET", app, elsewhere),
        asked: 401,
        asked_by_envoy: 401,
        ..row("others that contradict them", Peer::Trusted, Who::Nobody)
    });
    rows.push(Row {
        requests: vec![get(&format!("X-Forwarded-For: {big}\r\n")), get(&format!("X-Forwarded-Host: {big}\r\n"))],
        proxied: 200,
        questions: all_ask_with(|question, line| question.replace(line, &format!("{}{big}\r\n", line.trim_end()))),
        asked: 403,
        asked_by_envoy: 403,
        ..row("one of them of 64 kB", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![request(&format!("GET /app/{big}"), "")],
        proxied: 400,
        questions: all_ask("GET", &format!("https://app.example/app/{big}"), ""),
        asked: 403,
        asked_by_envoy: 400,
        ..row("a path of 64 kB", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![request("PURGE /app/x", own_page), request("M-SEARCH /app/x", own_page)],
        proxied: 200,
        questions: [all_ask("PURGE", app, own_page), all_ask("M-SEARCH", app, own_page)].concat(),
        asked: 202,
        asked_by_envoy: 200,
        ..row("unknown methods", Peer::Trusted, Who::Person)
    });
    let foreign = ["", "Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: same-site\r\n"];
    rows.push(Row {
        requests: foreign.map(|headers| request("POST /app/x", &format!("Content-Length: 0\r\n{headers}"))).to_vec(),
        proxied: 403,
        questions: foreign.iter().flat_map(|headers| all_ask("POST", app, headers)).collect(),
        asked: 403,
        asked_by_envoy: 403,
        ..row("what changes something, from another site's page or nobody knows whose", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![request("TRACE /app/x", ""), request("get /app/x", ""), request("G@T /app/x", "")],
        proxied: 400,
        questions: [all_ask("TRACE", app, ""), all_ask("get", app, ""), all_ask("G@T", app, "")].concat(),
        asked: 403,
        asked_by_envoy: 400,
        ..row("`TRACE`, and methods that are none", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![request("GET https://app.example/app/x", ""), request("GET http://other.example/app/x", "")],
        proxied: 400,
        questions: vec![
            ("nginx", asks("nginx", "GET", app, "").replace(&format!("-URL: {app}"), "-URL: /app/x")),
            ("nginx", asks("nginx", "GET", &format!("https://app.example/{app}"), "")),
            ("traefik", asks("traefik", "GET", app, "").replace("Uri: /app/x", &format!("Uri: {app}"))),
            ("envoy", asks("envoy", "GET", app, "").replace("/oauth2/auth", "https://app.example/oauth2/auth")),
        ],
        asked: 403,
        asked_by_envoy: 400,
        ..row("absolute-form targets", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![request("GET app.example:443", ""), request("GET *", "")],
        proxied: 400,
        questions: vec![
            ("nginx", asks("nginx", "GET", app, "").replace(&format!("-URL: {app}"), "-URL: app.example:443")),
            ("traefik", asks("traefik", "GET", app, "").replace("Uri: /app/x", "Uri: app.example:443")),
            ("traefik", asks("traefik", "CONNECT", app, "")),
            ("envoy", asks("envoy", "GET", app, "").replace("/oauth2/auth/app/x", "app.example:443")),
        ],
        asked: 403,
        asked_by_envoy: 400,
        ..row("authority-form targets", Peer::Trusted, Who::Person)
    });
    let cookie = |size: usize| format!("Cookie: theirs={}\r\n", "a".repeat(size));
    rows.push(Row {
        requests: vec![get(&cookie(BIG))],
        proxied: 200,
        questions: all_ask("GET", app, &cookie(BIG)),
        asked: 202,
        asked_by_envoy: 200,
        ..row("64 kB of cookies", Peer::Trusted, Who::Person)
    });
    rows.push(Row {
        requests: vec![get(&cookie(90_000))],
        proxied: 400,
        questions: all_ask("GET", app, &cookie(90_000)),
        asked: 400,
        asked_by_envoy: 400,
        ..row("a head over 80 kB", Peer::Trusted, Who::Person)
    });
    let checkers = [
        "GoogleHC/1.0",
        "kube-probe/1.33",
        "ELB-HealthChecker/2.0",
        "Envoy/HC",
        "GoogleStackdriverMonitoring-UptimeChecks",
    ];
    let checker = |agent: &str| format!("User-Agent: {agent}\r\n");
    rows.push(Row {
        requests: checkers.iter().map(|agent| get(&checker(agent))).collect(),
        proxied: 401,
        questions: checkers.iter().flat_map(|agent| all_ask("GET", app, &checker(agent))).collect(),
        asked: 401,
        asked_by_envoy: 401,
        ..row("User-Agents of health checks", Peer::Trusted, Who::Nobody)
    });
    let list = |names: &str| format!("Connection: {names}\r\n");
    let identity = ["x-auth-request-email, X-Auth-Request-User", "Cookie", "x-vestibule-session, cookie"];
    rows.push(Row {
        requests: identity.map(|names| get(&list(names))).to_vec(),
        proxied: 200,
        questions: identity.iter().flat_map(|names| all_ask("GET", app, &list(names))).collect(),
        asked: 202,
        asked_by_envoy: 200,
        ..row("`Connection` lists that name identity headers or `Cookie`", Peer::Trusted, Who::Person)
    });
    let origin = ["Host", "x-forwarded-for", "X-Forwarded-Host, close", "x-forwarded-proto"];
    rows.push(Row {
        requests: origin.map(|names| get(&list(names))).to_vec(),
        proxied: 400,
        questions: origin.iter().flat_map(|names| all_ask("GET", app, &list(names))).collect(),
        asked: 202,
        asked_by_envoy: 200,
        ..row("`Connection` lists that name `Host` or `X-Forwarded-*`", Peer::Trusted, Who::Person)
    });
    rows
}

/// Sites in front of an app, and asked by each front proxy.
struct Sites {
    proxy: (Site, String),
    asked: Vec<(&'static str, Site, String)>,
}

impl Sites {
    async fn start(peer: Peer) -> Self {
        let trusted = if peer == Peer::Trusted { "127.0.0.1" } else { "192.0.2.7" };
        let start = async |routes: &str, more: String| {
            let more = format!("trusted_proxies: [{trusted}]\n{more}");
            let site = Site::with(Setup { routes: routes.to_owned(), more, ..Setup::default() }).await;
            let client = site.client();
            client.browse("/oauth2/start").await;
            let cookies = client.cookie_header("app.example").unwrap();
            (site, cookies)
        };
        let routes =
            |upstream: &str| format!("[{{path: /public/**, access: public{upstream}}}, {{path: /app/**{upstream}}}]");
        let proxy = start(&routes(", upstream: app"), String::new()).await;
        let mut asked = Vec::new();
        for from in FRONT_PROXIES {
            let (site, cookies) = start(&routes(""), format!("forward_auth: {{from: {from}}}\n")).await;
            asked.push((from, site, cookies));
        }
        Self { proxy, asked }
    }
}

/// Sends it with the session, or without.
async fn send(site: &Site, cookies: &str, who: Who, request: &str) -> RawAnswer {
    let mut request = request.to_owned();
    if who == Who::Person && request.contains("\r\nCookie: ") {
        request = request.replace("\r\nCookie: ", &format!("\r\nCookie: {cookies}; "));
    } else if who == Who::Person {
        write!(request, "Cookie: {cookies}\r\n").unwrap();
    }
    let mut raw = Raw::connect(site.address).await;
    raw.send(format!("{request}\r\n")).await;
    raw.answer().await
}

/// The beginning of a request, for messages.
fn shown(request: &str) -> &str {
    &request[..request.len().min(200)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_the_table_is_answered_as_it_says_in_both_modes() {
    for peer in [Peer::Trusted, Peer::Stranger] {
        let sites = Sites::start(peer).await;
        for row in rows().iter().filter(|row| row.peer == peer) {
            for request in &row.requests {
                let (site, cookies) = &sites.proxy;
                let answer = send(site, cookies, row.who, request).await;
                assert_eq!(answer.status, row.proxied, "{}: {}", row.what, shown(request));
                if answer.status == 200 {
                    reached_the_app_in_order(&answer, row.what);
                }
            }
            for (by, question) in &row.questions {
                let (_, site, cookies) = sites.asked.iter().find(|(from, ..)| from == by).unwrap();
                let answer = send(site, cookies, row.who, question).await;
                let expected = if *by == "envoy" { row.asked_by_envoy } else { row.asked };
                assert_eq!(answer.status, expected, "{}, by {by}: {}", row.what, shown(question));
                let email = answer.header("x-auth-request-email");
                assert_eq!(email, (expected < 300).then_some(EMAIL), "{}, by {by}", row.what);
            }
        }
    }
}

#[test]
fn the_table_in_the_documentation_has_these_rows_with_these_answers() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Bad input\n")).unwrap();
    let table: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let rows = rows();
    assert_eq!(table.len(), rows.len());
    for (line, row) in table.iter().zip(&rows) {
        let Row { what, proxied, asked, asked_by_envoy, .. } = row;
        let asked = match (asked, asked_by_envoy) {
            (202, 200) => "202".to_owned(),
            (asked, envoy) if asked == envoy => asked.to_string(),
            (asked, envoy) => format!("{asked}; Envoy {envoy}"),
        };
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [in_it, proxied_in_it, asked_in_it] = cells[..] else { panic!("{line}") };
        let says = |cell: &str, status: &str| cell == status || cell.starts_with(&format!("{status}: "));
        assert_eq!(in_it, *what);
        assert!(says(proxied_in_it, &proxied.to_string()) && says(asked_in_it, &asked), "{line}");
    }
}

/// Whose it is, where it came from, and nothing of ours.
fn reached_the_app_in_order(answer: &RawAnswer, what: &str) {
    let echo = answer.json();
    let pairs = echo["headers"].as_array().unwrap().iter();
    let headers: Vec<(&str, &str)> = pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
    let all =
        |name: &str| headers.iter().filter(|(held, _)| *held == name).map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(all("x-auth-request-email"), [EMAIL], "{what}");
    assert_eq!((all("host"), all("x-forwarded-host")), (vec!["app.example"], vec!["app.example"]), "{what}");
    assert_eq!(all("x-forwarded-proto"), ["https"], "{what}");
    // A trusted peer may name whoever is behind it, and nobody else may.
    let chain = all("x-forwarded-for");
    assert!(matches!(chain[..], ["127.0.0.1" | "6.6.6.6, 127.0.0.1"]), "{what}: {chain:?}");
    assert!(!all("cookie").concat().contains("__Host-vestibule"), "{what}");
}
