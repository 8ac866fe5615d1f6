//! What an answer shows: our own pages with their headers, the identity that reached the app, the
//! parameters of an address.

use super::client::Answer;
use super::log_watch;
use vestibule::pages::{ErrorKind, Language, sign_in_policy, text};

pub(crate) const SESSION: &str = "__Host-vestibule";
pub(crate) const TOKENS: &str = "__Host-vestibule-tokens";
pub(crate) const LOGIN: &str = "__Host-vestibule-login";

/// A header as it reached the echo app.
pub(crate) fn header_at_app(answer: &Answer, name: &str) -> Option<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = answer.json();
    let all: Vec<_> = seen["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == name).collect();
    assert!(all.len() < 2, "{name} reached the app twice");
    all.first().map(|pair| pair[1].as_str().unwrap().to_owned())
}

/// The e-mail address under which a request reached the app.
pub(crate) fn email_at_app(answer: &Answer) -> Option<String> {
    header_at_app(answer, "x-auth-request-email")
}

/// A parameter of an address; none twice.
pub(crate) fn parameter(address: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(address).unwrap();
    let values: Vec<_> = url.query_pairs().filter(|(held, _)| held == name).map(|(_, value)| value).collect();
    assert!(values.len() < 2, "{name} is there twice: {address}");
    values.first().map(|value| value.clone().into_owned())
}

/// How the one script of our pages begins, that of the sign-in page.
pub(crate) const SCRIPT: &str = "<script>\n// No server sees";

/// The headers that every page of ours has.
pub(crate) fn assert_page_headers(answer: &Answer, language: Language) {
    // The provider of these tests is on plain loopback.
    let csp = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
               form-action 'self' https: http:";
    // The answer to HEAD has the headers of the page.
    let is_sign_in = answer.url.contains("/oauth2/sign_in") && answer.body.is_empty();
    let has_script = is_sign_in || answer.text().contains(SCRIPT);
    let expected = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-language", language.tag()),
        ("content-security-policy", if has_script { sign_in_policy(false) } else { csp }),
        ("cache-control", "no-store"),
        ("vary", "Accept-Language"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-robots-tag", "noindex"),
    ];
    for (name, value) in expected {
        assert_eq!(answer.header(name), Some(value), "{} {name}", answer.url);
    }
}

/// Asserts that this is the error page of that cause, that it signs nobody in and shows no secret;
/// returns its id.
pub(crate) fn error_id(answer: &Answer, kind: ErrorKind, language: Language) -> String {
    let body = answer.text();
    assert_eq!(answer.status, kind.status().as_u16(), "{kind:?}: {body}");
    let words = text(kind, language);
    for words in [words.title, words.explanation, words.advice] {
        assert!(body.contains(words), "not {kind:?}: {words:?} is not in\n{body}");
    }
    assert_page_headers(answer, language);
    assert_eq!(answer.header("retry-after"), kind.retry_after(), "{kind:?}");
    for cookie in answer.set_cookies() {
        assert!(!cookie.starts_with(&format!("{SESSION}=")), "{kind:?} set {cookie}");
        assert!(!cookie.starts_with(TOKENS), "{kind:?} set {cookie}");
    }
    assert_no_secret(&answer.url, &body);
    let id = body.split_once("<code>").unwrap().1.split_once("</code>").unwrap().0.to_owned();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    id
}

/// The same, and the access line carries the id and says why.
pub(crate) async fn assert_error(answer: &Answer, kind: ErrorKind, language: Language) -> String {
    let id = error_id(answer, kind, language);
    let line = log_watch::access_line_with(&id).await;
    assert_eq!(line["status"], answer.status, "{line}");
    line["reason"].as_str().unwrap_or_else(|| panic!("no reason: {line}")).to_owned()
}

/// Nothing of the query's secrets, and nothing that looks like a token, is on the page.
fn assert_no_secret(url: &str, body: &str) {
    for name in ["code", "state"] {
        for (_, value) in
            url::Url::parse(url).unwrap().query_pairs().filter(|(held, value)| held == name && value.len() > 3)
        {
            assert!(!body.contains(&*value), "{name} is on the page");
        }
    }
    for shape in ["eyJ", super::site::CLIENT_SECRET, super::site::SESSION_KEY, "Bearer "] {
        assert!(!body.contains(shape), "{shape} is on the page");
    }
}
