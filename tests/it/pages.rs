//! Our own pages and files, as they leave: headers, languages, and nothing that is not theirs.

use crate::support::client::{Answer, Client, NAVIGATION};
use crate::support::shown::{SCRIPT, assert_page_headers, error_id};
use crate::support::site::{ORIGIN, Site};
use http::Method;
use vestibule::pages::{ErrorKind, Language};

/// Every page of ours that can be had by its address, with its status.
const PAGES: [(&str, u16); 6] = [
    ("/oauth2/sign_in", 200),
    ("/oauth2/sign_in?rd=/chat", 200),
    ("/oauth2/sign_out", 200),
    ("/oauth2/signed_out", 200),
    ("/oauth2/nothing", 404),
    ("/oauth2/callback", 400),
];

async fn navigate_in(client: &Client, method: Method, path: &str, language: Option<&str>) -> Answer {
    let mut headers = NAVIGATION.to_vec();
    headers.extend(language.map(|language| ("accept-language", language)));
    client.send(method, path, &headers, Vec::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_has_its_headers_in_the_language_that_is_asked_for() {
    let site = Site::start().await;
    let languages = [
        (None, Language::French),
        (Some("en"), Language::English),
        (Some("fr-CA, en;q=0.5"), Language::French),
        (Some("en-GB;q=0.9, fr;q=0.2"), Language::English),
        (Some("de, ja;q=0.5"), Language::French),
        (Some("\u{e9};;;q=x,,"), Language::French),
    ];
    for (path, status) in PAGES {
        for (header, language) in languages {
            let page = navigate_in(&site.client(), Method::GET, path, header).await;
            assert_eq!(page.status, status, "{path}");
            assert_page_headers(&page, language);
            assert!(page.text().contains(&format!("<html lang=\"{}\">", language.tag())), "{path} {header:?}");
            assert!(!page.text().replace(SCRIPT, "").contains("<script") && !page.text().contains(" style="), "{path}");
            assert!(page.set_cookies().is_empty(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_shows_a_cookie_a_token_or_what_the_query_said() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    client.submit("/oauth2/start", "rd=/").await;
    let jar = client.cookie_header("app.example").unwrap();
    let values: Vec<&str> = jar.split("; ").map(|pair| pair.split_once('=').unwrap().1).collect();
    for (path, _) in PAGES {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!(
            "{path}{separator}error=%3Cscript%3Emark-of-the-query&error_description=%22mark-of-the-query&message=mark-of-the-query"
        );
        let page = client.navigate(&path).await;
        let body = page.text();
        for value in &values {
            assert!(!body.contains(value), "{path} shows a cookie");
        }
        assert!(!body.contains("mark-of-the-query") && !body.contains("eyJ"), "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_address_stands_on_the_page_escaped() {
    let site = Site::start().await;
    let rd = "/a?x=\"'&y=`";
    let encoded: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
    let page = site.client().navigate(&format!("/oauth2/sign_in?rd={encoded}")).await;
    assert!(page.text().contains("name=\"rd\" value=\"/a?x=&#34;&#39;&#38;y=`\""), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_has_the_same_headers_and_no_body() {
    let site = Site::start().await;
    let client = site.client();
    for (path, status) in PAGES {
        let get = navigate_in(&client, Method::GET, path, Some("en")).await;
        let head = navigate_in(&client, Method::HEAD, path, Some("en")).await;
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
        assert_page_headers(&head, Language::English);
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("content-length").unwrap(), get.body.len().to_string(), "{path}");
    }
    let begun = navigate_in(&client, Method::HEAD, "/", None).await;
    assert_eq!(begun.status, 302);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_have_a_name_for_each_content_and_stay_in_caches() {
    let site = Site::start().await;
    let client = site.client();
    let page = client.navigate("/oauth2/sign_in").await.text();
    let names: Vec<&str> = page.split("/oauth2/static/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in &names {
        for method in [Method::GET, Method::HEAD] {
            let file = client.send(method.clone(), &format!("/oauth2/static/{name}"), &[], Vec::new()).await;
            assert_eq!(file.status, 200, "{name}");
            assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
            assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(file.header("content-security-policy"), Some("default-src 'none'; sandbox"));
            assert!(matches!(file.header("content-type"), Some("text/css; charset=utf-8" | "image/svg+xml")));
            assert!(file.set_cookies().is_empty());
            assert_eq!(file.body.is_empty(), method == Method::HEAD);
        }
        assert_eq!(client.navigate(&format!("/oauth2/static/{}", name.to_uppercase())).await.status, 404);
        let posted = client.send(Method::POST, &format!("/oauth2/static/{name}"), &[], b"x".to_vec()).await;
        assert_eq!(posted.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_we_have_no_name_for_below_the_prefix_is_not_found_and_never_the_apps() {
    let site = Site::start().await;
    let client = site.signed_in().await;
    let before = site.echo.seen.borrow().requests;
    let names = [
        "/oauth2",
        "/oauth2/",
        "/oauth2/nothing",
        "/oauth2/start/",
        "/oauth2/start/x",
        "/oauth2//start",
        "/oauth2/Start",
        "/OAuth2/start",
        "/oauth2;x/start",
        "/oauth2%2Fstart",
        "/oauth2/start;x=1",
        "/oauth2/static",
        "/oauth2/static/",
        "/oauth2/static/pages.css",
        "/oauth2/static/%2e%2e%2fsecret",
        "/oauth2/.well-known/openid-configuration",
    ];
    for name in names {
        let page = client.navigate(name).await;
        if name.contains("%2e%2e") {
            assert_eq!(page.status, 400, "{name}");
        } else {
            error_id(&page, ErrorKind::NotFound, Language::French);
        }
        let answer = client.fetch(name).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
        assert!(matches!(answer.status, 400 | 404), "{name}");
    }
    assert_eq!(site.echo.seen.borrow().requests, before, "the app saw one of them");
    // The plain spelling of an encoded letter is the same address.
    assert_eq!(client.navigate("/oauth2/%73tart").await.status, 302);
    assert_eq!(client.fetch("/oauth2callback").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_hear_in_json_where_to_sign_in() {
    let site = Site::start().await;
    let answer = site.client().fetch("/api/things").await;
    assert_eq!(answer.status, 401);
    let said = answer.json();
    assert_eq!(
        (said["error"].as_str(), said["sign_in"].as_str()),
        (Some("not_signed_in"), Some(&*format!("{ORIGIN}/oauth2/sign_in")))
    );
    let challenge = "Vestibule realm=\"app.example\", sign_in=\"https://app.example/oauth2/sign_in\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.set_cookies().is_empty());
}
