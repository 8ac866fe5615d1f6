//! A front-end and its API on two hosts, as Chromium sees them: on two sites with third-party cookies
//! and without, and below one domain.

use super::support::angular::{built, nginx};
use super::support::browser::{Browser, ThirdPartyCookies};
use super::support::certificates;
use super::support::counterparts::{OidcProvider, require, start_browser_app};
use super::support::ports::free_port;
use super::support::process::Process;
use super::support::running::Running;
use super::support::scene::EMAIL;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

const API: &str = "api.example.fr";

/// The status of a request with the session's cookies, from whatever page the browser shows.
const ASKED: &str =
    "return fetch('https://api.example.fr/api/chat', { credentials: 'include' }).then(({ status }) => status)";

/// A front-end at `front`, its API behind the program at [`API`], and the provider.
struct Hosts {
    front: &'static str,
    vestibule: Process,
    front_address: SocketAddr,
    _provider: OidcProvider,
    _apps: [Running; 2],
    _folder: TempDir,
}

impl Hosts {
    /// With ProConnect's provider; `more` further keys of the configuration.
    async fn start(front: &'static str, more: &str) -> Self {
        Self::signing_in_at(front, json!({}), more, |provider| {
            let client = provider.client("ES256");
            format!(
                "proconnect: {{preset: proconnect, issuer: \"{}\", client_id: {}, client_secret: {{env: CLIENT_SECRET}}, timeout: 3m}}",
                provider.issuer, client.id
            )
        })
        .await
    }

    /// With an enterprise's single sign-on: a realm in its path, no discovery, no client secret.
    async fn with_an_enterprise(front: &'static str) -> Self {
        let settings = json!({ "realm": "/realms/agents", "public_client": true });
        Self::signing_in_at(front, settings, "", |provider| {
            let at = |name: &str, path: &str| format!("{name}: \"{}{path}\"", provider.issuer);
            let endpoints = [
                at("authorization", "/authorize"),
                at("token", "/token"),
                at("jwks_uri", "/jwks"),
                at("userinfo", "/userinfo"),
                at("end_session", "/session/end"),
            ];
            format!(
                "sso: {{issuer: \"{}\", client_id: vestibule-public, client_authentication: none, scopes: [openid, email], \
                 id_token_algorithms: [ES256], timeout: 3m, endpoints: {{{}, callback_iss: true}}}}",
                provider.issuer,
                endpoints.join(", ")
            )
        })
        .await
    }

    /// `provider_as_described` is how the configuration describes it.
    async fn signing_in_at(
        front: &'static str,
        mut settings: Value,
        more: &str,
        provider_as_described: impl Fn(&OidcProvider) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = [front, API].map(|host| certificates::for_name(folder.path(), host));
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        let page = std::fs::read_to_string(built("bff").join("index.html")).unwrap();
        let page = page.replace(r#"content="/api""#, &format!(r#"content="https://{API}/api""#));
        std::fs::write(files.join("index.html"), page).unwrap();
        std::fs::copy(built("bff").join("main.js"), files.join("main.js")).unwrap();
        let port = free_port();
        let server = format!(
            "listen 127.0.0.1:{port} ssl;\nssl_certificate {};\nssl_certificate_key {};\nroot {};\n\
             location / {{ try_files $uri /index.html; }}\n",
            tls[0].certificate.display(),
            tls[0].key.display(),
            files.display()
        );
        settings["redirect_uris"] = json!([format!("https://{API}/api/callback")]);
        settings["post_logout_redirect_uris"] = json!([format!("https://{API}/oauth2/signed_out")]);
        let provider = OidcProvider::start(settings);
        let (nginx, api, provider) = tokio::join!(
            nginx(folder.path(), port, &server),
            // Its pair of cookie and header is for pages of its own host.
            start_browser_app(&[("XSRF", "off")]),
            provider
        );
        let secret = provider.client("ES256").secret.clone();
        let configuration = format!(
            "public_url: https://{API}\n\
             listeners: {{proxy: {{address: \"127.0.0.1:0\", tls: {{certificate: {}, key: {}}}}}, admin: \"127.0.0.2:0\"}}\n\
             providers: {{{}}}\n\
             session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             upstreams: {{app: {{url: \"{}\"}}}}\nroutes: [{{path: /api/**, upstream: app}}]\n\
             aliases: {{start: /api/login, callback: /api/callback, sign_out: /api/logout}}\n\
             sign_in: {{after: \"https://{front}/chat\", return_to: [{front}]}}\n\
             sign_out: {{answer: {{logout: ok}}}}\n\
             cors: {{origins: [\"https://{front}\"]}}\n{more}",
            tls[1].certificate.display(),
            tls[1].key.display(),
            provider_as_described(&provider),
            api.address,
        );
        let vestibule = Process::serve_with(&configuration, &[("CLIENT_SECRET", &secret)]).await;
        let front_address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { front, vestibule, front_address, _provider: provider, _apps: [nginx, api.process], _folder: folder }
    }

    async fn browser(&self, cookies: ThirdPartyCookies) -> Browser {
        let hosts = [(self.front, self.front_address), (API, self.vestibule.address())];
        Browser::start_reaching_all(&hosts, cookies).await
    }

    /// The front-end is used, from the first visit to the sign-out.
    async fn works(&self, cookies: ThirdPartyCookies) {
        let browser = self.browser(cookies).await;
        let page = format!("https://{}/chat?topic=a%26b", self.front);
        browser.goto(&page).await;
        // Its first request is answered 401, and it can read that.
        browser.click("button[value=sign-in]").await;
        browser.wait_for_text("#user", EMAIL).await;
        assert_eq!(browser.url().await, page);
        browser.click("#send").await;
        browser.wait_for_text("#sent", "Bonjour").await;
        browser.click("#to-analytics").await;
        browser.wait_for_text("#socket", EMAIL).await;
        browser.wait_for_text("#events", EMAIL).await;
        browser.click("#sign-out").await;
        browser.wait_for_text("#signed-out", r#"{"logout":"ok"}"#).await;
        assert_eq!(browser.execute(ASKED, json!([])).await, 401);
    }

    /// The person signs in, and the front-end does not get the session all the same.
    async fn is_not_sent_the_session(&self, cookies: ThirdPartyCookies) {
        let browser = self.browser(cookies).await;
        let home = format!("https://{}/", self.front);
        browser.goto(&format!("https://{API}/api/login?rd={home}")).await;
        browser.click("button[value=sign-in]").await;
        browser.wait_for_url(|url| url == home).await;
        assert_eq!(browser.execute(ASKED, json!([])).await, 401);
        // The session is there, for pages of its own site.
        browser.goto(&format!("https://{API}/api/analytics")).await;
        browser.wait_for_text("body", EMAIL).await;
        assert_eq!(browser.execute(ASKED, json!([])).await, 200);
    }
}

#[tokio::test]
async fn two_sites_work_where_the_browser_keeps_third_party_cookies_and_only_there() {
    require!(Chromium, OidcProvider, FastApi, Nginx, Angular);
    let hosts = Hosts::start("front.example.net", "cookies: {same_site: none}\n").await;
    hosts.works(ThirdPartyCookies::Kept).await;
    hosts.is_not_sent_the_session(ThirdPartyCookies::Blocked).await;
}

#[tokio::test]
async fn two_sites_do_not_work_without_same_site_none() {
    require!(Chromium, OidcProvider, FastApi, Nginx, Angular);
    let hosts = Hosts::start("front.example.net", "").await;
    hosts.is_not_sent_the_session(ThirdPartyCookies::Kept).await;
}

#[tokio::test]
async fn two_hosts_below_one_domain_work_in_every_browser_with_an_enterprise_s_sign_on() {
    require!(Chromium, OidcProvider, FastApi, Nginx, Angular);
    let hosts = Hosts::with_an_enterprise("front.example.fr").await;
    hosts.works(ThirdPartyCookies::Blocked).await;
}
