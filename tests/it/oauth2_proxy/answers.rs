//! What is compared of an answer: its facts, in words that fit both programs.
//!
//! Asks one case of either side. Must never keep the text of a page, nor what differs from run to
//! run.

use super::cases::{Case, Who};
use crate::support::client::{Answer, Client};
use crate::support::site::{ORIGIN, agent};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use vestibule::demo::Provider;

/// By name: `status`, `cookies`, `x-auth-request-email` …
pub(super) type Facts = BTreeMap<String, String>;

/// One of the two programs, with the provider that it sends people to.
pub(super) struct Side<'a> {
    pub(super) address: SocketAddr,
    pub(super) provider: &'a Provider,
    /// The name of its session's cookie.
    pub(super) session: &'static str,
}

/// The headers of an answer that say who somebody is.
const IDENTITY: [&str; 7] = [
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-preferred-username",
    "x-auth-request-groups",
    "x-auth-request-access-token",
    "gap-auth",
    "authorization",
];

/// The headers of a request that an app may learn it from.
const TOLD: [&str; 7] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-forwarded-groups",
    "x-forwarded-access-token",
    "x-auth-request-email",
    "authorization",
];

/// Asks, and says what is in the answer.
pub(super) async fn observe(case: &Case, side: &Side<'_>) -> Facts {
    // A sign-out at the provider ends that.
    side.provider.sign_in_as(agent());
    let client = Client::new(side.address);
    let mut path = case.path.clone();
    match case.who {
        Who::Nobody => {}
        Who::Garbage => client.set_cookie(side.session, "Z2FyYmFnZQ==|1795000000|Z2FyYmFnZQ=="),
        Who::Person => {
            let started = client.get("/oauth2/start?rd=/app/", &[]).await;
            let signed_in = come_back(&client, started.location()).await;
            assert!((302..=303).contains(&signed_in.status), "{}: {}", signed_in.status, signed_in.text());
        }
        Who::Beginner | Who::OtherBrowser | Who::OtherTab => {
            let beginner = if case.who == Who::OtherBrowser { &Client::new(side.address) } else { &client };
            let started = beginner.get("/oauth2/start?rd=/app/deep", &[]).await;
            side.provider.faults().set(case.fault);
            let back = beginner.get(started.location(), &[]).await;
            let back = url::Url::parse(back.location()).unwrap();
            let parameter = |name: &str| {
                let value = back.query_pairs().find(|(held, _)| held == name).unwrap().1.into_owned();
                url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>()
            };
            path = path.replace("{code}", &parameter("code")).replace("{state}", &parameter("state"));
            path.extend(["&iss=", &parameter("iss")]);
            if case.who == Who::OtherTab {
                client.get("/oauth2/start?rd=/app/other", &[]).await;
            }
        }
    }
    let redeemed = side.provider.counters().token;
    let answer = client.send(case.method.clone(), &path, &case.headers, case.body.as_bytes().to_vec()).await;
    side.provider.faults().clear();
    let mut facts = facts(&answer, side);
    if path.contains("code=") {
        let redeemed = side.provider.counters().token > redeemed;
        facts.insert("the code".to_owned(), if redeemed { "is redeemed" } else { "is left alone" }.to_owned());
    }
    if answer.status / 100 == 3 && answer.location().starts_with(side.provider.issuer()) {
        let back = come_back(&client, answer.location()).await;
        if let Some(location) = back.header("location") {
            let mut location = location.strip_prefix(ORIGIN).unwrap_or(location).to_owned();
            if location.matches('/').count() == 2 && location.contains("://") {
                // RFC 9110 §4.2.3: an empty path is that one.
                location.push('/');
            }
            facts.insert("leads to".to_owned(), location);
        }
    }
    facts
}

/// Goes to the provider, and back to the answer that it leads to.
async fn come_back(client: &Client, to_provider: &str) -> Answer {
    let to_us = client.get(to_provider, &[]).await;
    client.get(to_us.location(), &[]).await
}

fn facts(answer: &Answer, side: &Side<'_>) -> Facts {
    let mut facts = Facts::from([("status".to_owned(), answer.status.to_string())]);
    let mut add = |name: &str, value: String| drop(facts.insert(name.to_owned(), value));
    for name in IDENTITY {
        if let Some(value) = answer.header(name) {
            add(name, plain(value));
        }
    }
    if let Some(location) = answer.header("location") {
        let to_provider = location.strip_prefix(side.provider.issuer());
        let here = location.strip_prefix(ORIGIN).unwrap_or(location);
        add("location", to_provider.map_or_else(|| here.to_owned(), at_provider));
    }
    if let Some(kind) = answer.header("content-type").filter(|_| answer.status < 300 && !answer.body.is_empty()) {
        add("type", kind.split(';').next().unwrap().to_owned());
    }
    let cache = answer.header("cache-control").unwrap_or_default();
    let uncacheable = ["no-store", "no-cache", "private"].iter().any(|word| cache.contains(word));
    add("may be kept", if uncacheable { "no" } else { "not forbidden" }.to_owned());
    let mut cookies: Vec<&str> = answer.set_cookies().into_iter().map(cookie).collect();
    cookies.sort_unstable();
    cookies.dedup();
    if !cookies.is_empty() {
        add("cookies", cookies.join(", "));
    }
    // Nobody sees what is in a redirect.
    if answer.status / 100 != 3 {
        let body = body(answer, side, &mut add);
        add("body", body);
    }
    facts
}

/// The endpoint, and what of the parameters makes a difference.
fn at_provider(below: &str) -> String {
    let (path, query) = below.split_once('?').unwrap_or((below, ""));
    let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let redirect = pairs.get("redirect_uri").map_or("", String::as_str);
    let with = ["code_challenge", "nonce"].into_iter().filter(|name| pairs.contains_key(*name));
    let with: Vec<&str> = with.collect();
    let path = path.trim_start_matches('/');
    [format!("provider {path}"), redirect.to_owned(), with.join(", ")].join(" ").trim().replace("  ", " ")
}

/// Which of its cookies a program sets or takes back.
fn cookie(line: &str) -> &'static str {
    let name = line.split('=').next().unwrap();
    let value = line.split(';').next().unwrap().split_once('=').unwrap().1;
    let cleared = value.is_empty() || line.contains("Max-Age=0");
    let attempt = name.ends_with("_csrf") || name.ends_with("-login");
    match (attempt, cleared) {
        (true, false) => "attempt set",
        (true, true) => "attempt cleared",
        (false, false) => "session set",
        (false, true) => "session cleared",
    }
}

fn body(answer: &Answer, side: &Side<'_>, add: &mut impl FnMut(&str, String)) -> String {
    let kind = answer.header("content-type").unwrap_or_default();
    let text = answer.text();
    if answer.header("x-from").is_some() {
        let seen = answer.json();
        let headers = seen["headers"].as_array().unwrap();
        let all = |name: &str| {
            headers
                .iter()
                .filter(|header| header[0] == name)
                .map(|header| header[1].as_str().unwrap())
                .collect::<Vec<_>>()
        };
        for name in TOLD {
            if let [value] = all(name)[..] {
                add(&format!("the app sees {name}"), plain(value));
            }
        }
        let session = all("cookie").iter().any(|line| line.contains(side.session));
        add("the app sees the session cookie", if session { "yes" } else { "no" }.to_owned());
        return "the app's".to_owned();
    }
    match kind.split(';').next().unwrap() {
        _ if text.is_empty() => "empty".to_owned(),
        "text/html" => "a page".to_owned(),
        "application/json" => json(&answer.json()),
        _ if text.trim() == "OK" => "OK".to_owned(),
        _ if text.lines().eq(["User-agent: *", "Disallow: /"]) => "all disallowed".to_owned(),
        "text/plain" => "a line".to_owned(),
        _ => "a file".to_owned(),
    }
}

fn json(value: &serde_json::Value) -> String {
    match value["error"].as_str() {
        Some(error) => format!("error {error}"),
        None => plain(&value.to_string()),
    }
}

/// Without what the provider invents.
fn plain(text: &str) -> String {
    text.replace(&agent().sub, "{sub}")
}
