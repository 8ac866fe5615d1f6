//! What kind of client waits for the answer: a person's browser window, or a program.
//!
//! Called by `gate` to choose between a redirect and a 401, and by `server` to choose between a
//! page and JSON.

use http::header::{ACCEPT, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method};

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A browser window that will show what it gets and can follow redirects to a provider.
    Navigation,
    /// A navigation that carries a body (a form): shown a page, never redirected, for a redirect
    /// would lose what was typed without a word.
    Submission,
    /// A browser asks whether a page of another origin may send something, and the app is to say.
    /// It comes without a cookie and has no session whatever it brings.
    Preflight,
    /// `fetch`, XMLHttpRequest, WebSocket, an image, a command line: wants a status it can read.
    Program,
}

impl Kind {
    /// Judges by Fetch Metadata where the browser sends it, else by `Accept`.
    pub fn of(request: &Parts) -> Self {
        if !is_navigation(&request.headers) {
            Self::Program
        } else if request.method == Method::GET || request.method == Method::HEAD {
            Self::Navigation
        } else {
            Self::Submission
        }
    }

    /// Whether a page is understood.
    pub fn shows_pages(self) -> bool {
        !matches!(self, Self::Program | Self::Preflight)
    }
}

/// Whether a browser fetches a page that may never be shown (`Sec-Purpose`, and `Purpose` before
/// it): what is done once must not be done for it.
pub fn is_ahead_of_need(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-purpose") || headers.contains_key("purpose")
}

fn is_navigation(headers: &HeaderMap) -> bool {
    if headers.contains_key(UPGRADE) {
        return false;
    }
    if let Some(mode) = headers.get("sec-fetch-mode") {
        // `Sec-Fetch-Dest` of a navigation may still be an embed; those show pages as well.
        return mode == "navigate";
    }
    if headers.contains_key("x-requested-with") {
        return false;
    }
    // Browsers without Fetch Metadata name HTML when they navigate and `*/*` when they fetch.
    let accept = headers.get_all(ACCEPT);
    accept.iter().filter_map(|value| value.to_str().ok()).any(|accept| accept.split(',').any(names_html))
}

fn names_html(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let html = parts.next().is_some_and(|media| {
        media.eq_ignore_ascii_case("text/html") || media.eq_ignore_ascii_case("application/xhtml+xml")
    });
    html && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(method: &str, headers: &[(&str, &str)]) -> Kind {
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Kind::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn navigations_submissions_and_programs_are_told_apart() {
        use Kind::{Navigation, Program, Submission};
        let chrome = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let cases: [(&str, &[(&str, &str)], Kind); 13] = [
            ("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], Navigation),
            ("HEAD", &[("sec-fetch-mode", "navigate")], Navigation),
            ("POST", &[("sec-fetch-mode", "navigate")], Submission),
            ("GET", &[("sec-fetch-mode", "cors"), ("accept", chrome)], Program),
            ("GET", &[("sec-fetch-mode", "no-cors"), ("accept", "image/png,*/*")], Program),
            ("GET", &[("sec-fetch-mode", "websocket"), ("upgrade", "websocket")], Program),
            ("GET", &[("accept", chrome)], Navigation),
            ("POST", &[("accept", chrome)], Submission),
            ("GET", &[("accept", chrome), ("x-requested-with", "XMLHttpRequest")], Program),
            ("GET", &[("accept", chrome), ("upgrade", "websocket")], Program),
            ("GET", &[("accept", "text/html;q=0, application/json")], Program),
            ("GET", &[("accept", "*/*")], Program),
            ("GET", &[], Program),
        ];
        for (method, headers, expected) in cases {
            assert_eq!(kind(method, headers), expected, "{method} {headers:?}");
        }
    }
}
