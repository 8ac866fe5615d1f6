//! A site whose people work with Albert API: each with a key of their own.

use super::albert::{FakeAlbert, Key, Version};
use super::client::{Answer, Client};
use super::site::{START, Setup, Site};
use super::waiting::{until, until_well};
use std::io::Write;
use tempfile::NamedTempFile;
use vestibule::clock::Clock;

/// The API behind `/v1/**` of a site, for which everybody gets a key; the echo app behind the rest.
pub(crate) struct Keyed {
    pub(crate) site: Site,
    pub(crate) api: FakeAlbert,
    /// Further top-level keys and the routes, for replicas.
    more: String,
    routes: String,
    /// The admin bearer, in its file.
    _admin_key: NamedTempFile,
}

/// What of the configuration differs.
#[derive(Default)]
pub(crate) struct Differing<'a> {
    /// Further keys of the credential, with commas in front.
    pub(crate) credential: &'a str,
    /// Further top-level keys.
    pub(crate) more: &'a str,
    /// In the place of the routes.
    pub(crate) routes: Option<&'a str>,
    /// Another site's provider.
    pub(crate) issuer: Option<String>,
}

impl Keyed {
    pub(crate) async fn start(version: Version) -> Self {
        Self::with(version, Differing::default()).await
    }

    pub(crate) async fn with(version: Version, differing: Differing<'_>) -> Self {
        Self::before(FakeAlbert::start(version).await, differing).await
    }

    /// Before this API.
    pub(crate) async fn before(api: FakeAlbert, differing: Differing<'_>) -> Self {
        let admin_key = secret_file(&api.admin_key());
        let role = if differing.credential.contains("role:") { "" } else { ", role: Freemium, organization: default" };
        let more = format!(
            "credentials: {{albert: {{kind: albert, url: \"{}\", admin_key: {{file: {}}}{role}{}}}}}\n{}",
            api.url(),
            admin_key.path().display(),
            differing.credential,
            differing.more,
        );
        let routes = "[{path: /v1/**, upstream: api, credentials: albert}, \
                       {path: /public/**, access: public, upstream: app}, {path: /**, upstream: app}]";
        let routes = differing.routes.unwrap_or(routes).to_owned();
        let site = Site::with(setup(&api, &more, &routes, differing.issuer)).await;
        api.follow(Clock::Manual(site.clock.clone()));
        Self { site, api, more, routes, _admin_key: admin_key }
    }

    /// Another process of the same site: the same session keys, provider and API, and the same
    /// store where that is not memory.
    pub(crate) async fn replica(&self) -> Site {
        let issuer = Some(self.site.provider.issuer().to_owned());
        Site::with(setup(&self.api, &self.more, &self.routes, issuer)).await
    }

    /// The keys that live now.
    pub(crate) fn live_keys(&self) -> Vec<Key> {
        self.api.live_keys(Clock::Manual(self.site.clock.clone()).now().as_unix())
    }

    /// Waits until no key lives, which takes the API being told.
    pub(crate) async fn no_key_lives(&self) {
        self.only_lives(&[]).await;
    }

    /// Waits until no key lives but these, which do.
    pub(crate) async fn only_lives(&self, bearers: &[&str]) {
        until("no key lives but these", async || {
            let live: Vec<String> = self.live_keys().iter().map(|key| format!("Bearer {}", key.secret)).collect();
            assert!(bearers.iter().all(|bearer| live.iter().any(|held| held == bearer)), "one too many is gone");
            live.len() == bearers.len()
        })
        .await;
    }
}

fn setup(api: &FakeAlbert, more: &str, routes: &str, issuer: Option<String>) -> Setup {
    Setup {
        more: more.to_owned(),
        routes: routes.to_owned(),
        upstreams: format!(", api: {{url: \"{}\", timeouts: {{connect: 3m}}}}", api.url()),
        issuer,
        ..Setup::default()
    }
}

/// The bearer that reached the API with a request of this client's.
pub(crate) async fn bearer_at_api(client: &Client) -> String {
    bearer_in(&client.fetch("/v1/echo").await)
}

/// The bearer at the API of a request with these cookies, through whichever replica.
pub(crate) async fn bearer_with(client: &Client, cookies: &str) -> String {
    let headers = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("cookie", cookies)];
    bearer_in(&until_well(async || client.get("/v1/echo", &headers).await).await)
}

/// The cookies that a client sends to the site.
pub(crate) fn cookies_of(client: &Client) -> String {
    client.cookie_header("app.example").unwrap()
}

/// The bearer in an echo of the API's.
pub(crate) fn bearer_in(echo: &Answer) -> String {
    assert_eq!(echo.status, 200, "{}", echo.text());
    let json = echo.json();
    let headers = json["headers"].as_array().unwrap();
    let bearers: Vec<_> = headers.iter().filter(|pair| pair[0] == "authorization").collect();
    assert_eq!(bearers.len(), 1, "{json}");
    bearers[0][1].as_str().unwrap().to_owned()
}

/// A file with a secret in it.
pub(crate) fn secret_file(secret: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(secret.as_bytes()).unwrap();
    file.flush().unwrap();
    file
}

/// This long after the beginning, in Unix seconds.
pub(crate) fn at(seconds: u64) -> u64 {
    START + seconds
}
