//! A browser-like client: a cookie jar, no redirect followed unless asked, and nothing sent that
//! the test did not say.
//!
//! Every address on `https://app.example`, or another host below `.example`, goes to the sidecar's port,
//! under that name.

use super::log_watch;
use super::site::ORIGIN;
use http::{HeaderMap, Method};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

/// What browsers say of themselves when a person follows a link. Not `Sec-Fetch-Dest: document`: a page
/// would answer that, whose script keeps the fragment, and there are neither here.
pub(crate) const NAVIGATION: [(&str, &str); 3] = [
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "none"),
];

pub(crate) struct Client {
    http: reqwest::Client,
    sidecar: SocketAddr,
    /// Where addresses begin that are paths.
    origin: String,
    /// Cookies by the host that set them, `app.example` or the provider's `127.0.0.1:port`.
    jar: Mutex<BTreeMap<(String, String), String>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no location: {} {}", self.status, self.text()))
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

impl Client {
    pub(crate) fn new(sidecar: SocketAddr) -> Self {
        Self::at(sidecar, ORIGIN)
    }

    /// A client whose paths are those of another site of the sidecar's: `https://front.example`.
    pub(crate) fn at(sidecar: SocketAddr, origin: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test's own client, not the sidecar's")]
        let builder = reqwest::Client::builder();
        let http = builder
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(no_tls())
            .build()
            .unwrap();
        Self { http, sidecar, origin: origin.to_owned(), jar: Mutex::default() }
    }

    /// A request with our cookies and these headers; no redirect is followed.
    pub(crate) async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.try_send(method, url, headers, body).await.unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    /// The same, where the connection may be cut.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let url = if url.starts_with('/') { format!("{}{url}", self.origin) } else { url.to_owned() };
        let at_sidecar = url.strip_prefix("https://").map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())));
        let at_sidecar = at_sidecar.filter(|(host, _)| host.ends_with(".example"));
        let (target, site) = if let Some((host, path)) = at_sidecar {
            (format!("http://{}{path}", self.sidecar), host.to_owned())
        } else {
            let parsed = url::Url::parse(&url).unwrap();
            (url.clone(), format!("{}:{}", parsed.host_str().unwrap(), parsed.port_or_known_default().unwrap()))
        };
        let is_ours = at_sidecar.is_some();
        let mut request = self.http.request(method.clone(), target).body(body);
        if is_ours && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", &site);
        }
        if let Some(cookies) = self.cookie_header(&site)
            && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie"))
        {
            request = request.header("cookie", cookies);
        }
        // As browsers do with whatever changes something (Fetch §3.2).
        let says_whose = |(name, _): &(&str, &str)| ["origin", "sec-fetch-site"].contains(&&*name.to_ascii_lowercase());
        // Our own endpoints are asked as the test says.
        if is_ours && !url.contains("/oauth2/") && !method.is_safe() && !headers.iter().any(says_whose) {
            request = request.header("origin", &self.origin);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        self.remember(&site, &headers);
        let body = response.bytes().await?.to_vec();
        Ok(Answer { url, status, headers, body })
    }

    pub(crate) async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, url, headers, Vec::new()).await
    }

    /// The same, where the connection may be cut.
    pub(crate) async fn try_get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        self.try_send(Method::GET, url, headers, Vec::new()).await
    }

    /// What a program gets: no navigation, no redirect followed.
    pub(crate) async fn fetch(&self, url: &str) -> Answer {
        self.get(url, &[("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")])
            .await
    }

    /// What a person sees first: a navigation, no redirect followed.
    pub(crate) async fn navigate(&self, url: &str) -> Answer {
        self.get(url, &NAVIGATION).await
    }

    /// What a person ends up with: a navigation, every redirect followed.
    pub(crate) async fn browse(&self, url: &str) -> Answer {
        self.follow(self.navigate(url).await).await
    }

    /// Follows redirects from an answer on, as a browser does.
    pub(crate) async fn follow(&self, mut answer: Answer) -> Answer {
        for _ in 0..12 {
            if !(300..400).contains(&answer.status) {
                return answer;
            }
            let next = url::Url::parse(&answer.url).unwrap().join(answer.location()).unwrap();
            answer = self.navigate(next.as_str()).await;
        }
        panic!("a redirect loop, last to {}", answer.url);
    }

    /// A form of ours that a person sends from our own page.
    pub(crate) async fn submit(&self, path: &str, form: &str) -> Answer {
        let headers = [
            ("origin", &*self.origin),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
            ("accept", "text/html"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.send(Method::POST, path, &headers, form.as_bytes().to_vec()).await
    }

    fn host(&self) -> String {
        self.origin.trim_start_matches("https://").to_owned()
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.jar.lock().unwrap().get(&(self.host(), name.to_owned())).cloned()
    }

    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        self.jar.lock().unwrap().insert((self.host(), name.to_owned()), value.to_owned());
    }

    pub(crate) fn drop_cookie(&self, name: &str) {
        self.jar.lock().unwrap().remove(&(self.host(), name.to_owned()));
    }

    /// The names of the cookies that the site has set.
    pub(crate) fn cookie_names(&self) -> Vec<String> {
        self.jar.lock().unwrap().keys().filter(|(site, _)| *site == self.host()).map(|(_, name)| name.clone()).collect()
    }

    /// The `Cookie` header that goes to the site.
    pub(crate) fn cookie_header(&self, site: &str) -> Option<String> {
        let jar = self.jar.lock().unwrap();
        let pairs: Vec<String> = jar
            .iter()
            .filter(|((held, _), _)| held == site)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn remember(&self, site: &str, headers: &HeaderMap) {
        let mut jar = self.jar.lock().unwrap();
        for header in headers.get_all("set-cookie") {
            let cookie = cookie::Cookie::parse(header.to_str().unwrap().to_owned()).unwrap();
            let key = (site.to_owned(), cookie.name().to_owned());
            let gone = cookie.max_age().is_some_and(cookie::time::SignedDuration::is_zero);
            if gone {
                jar.remove(&key);
            } else {
                if cookie.name().contains("vestibule") {
                    log_watch::never_logged(cookie.value());
                }
                jar.insert(key, cookie.value().to_owned());
            }
        }
    }
}

/// Everything in these tests is plain http on loopback; a client without roots says so.
fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
