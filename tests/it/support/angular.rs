//! The Angular front-ends of `tests/counterparts/angular`, their back-end, and all that stands around
//! them: the provider, the program, nginx in its two places, the dev server.

use super::binary::{Configuration, Vestibule};
use super::browser::Browser;
use super::counterparts::{Application, Counterpart, OidcProvider, start_browser_app};
use super::ports::free_port;
use super::running::Running;
use super::waiting::until;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// How the front-end's own names are ours.
pub(crate) const NAMES: &str = "aliases: {start: /api/login, callback: /api/callback, sign_out: /api/logout}\n\
                                sign_in: {after: /chat}\nsign_out: {answer: {logout: ok}}\n";

/// Every page for the signed in.
pub(crate) const CLOSED: &str = "[{path: /**, upstream: app}]";
/// The front-end for everybody, its API for the signed in.
pub(crate) const OPEN_FRONT: &str = "[{path: /api/**, upstream: app}, {path: /**, access: public, upstream: app}]";

/// The files of a front-end, `bff` or `spa`, as `ng build` made them.
pub(crate) fn built(front: &str) -> PathBuf {
    workspace().join("dist").join(front)
}

/// The workspace of both.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counterparts/angular")
}

/// A front-end with its back-end behind the program, and the provider. Browsers know it as
/// `http://localhost:{port}`.
pub(crate) struct Stage {
    pub(crate) vestibule: Vestibule,
    pub(crate) provider: OidcProvider,
    _apps: Vec<Running>,
    _folder: TempDir,
}

impl Stage {
    /// FastAPI directly behind the program, with the files of the front-end; every page is for the
    /// signed in.
    pub(crate) async fn direct(variables: &[(&str, &str)]) -> Self {
        let front = built("bff");
        let variables = [&[("FRONT", front.to_str().unwrap())], variables].concat();
        let Application { address, process } = start_browser_app(&variables).await;
        Self::with(&address, CLOSED, NAMES, "/api/callback", vec![process], tempfile::tempdir().unwrap()).await
    }

    /// nginx behind the program: it has the files, and strips `/api` toward FastAPI. The front-end is
    /// for everybody.
    pub(crate) async fn behind_nginx() -> Self {
        let api = start_browser_app(&[("PREFIX", "")]).await;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let server = format!(
            "listen 127.0.0.1:{port};\nroot {};\nlocation / {{ try_files $uri /index.html; }}\n\
             location /api/ {{\n proxy_pass {}/;\n proxy_set_header Host $http_host;\n proxy_http_version 1.1;\n \
             proxy_set_header Upgrade $http_upgrade;\n proxy_set_header Connection $upgrading;\n proxy_buffering off;\n}}\n",
            built("bff").display(),
            api.address
        );
        let nginx = nginx(folder.path(), port, &server).await;
        let address = format!("http://127.0.0.1:{port}");
        Self::with(&address, OPEN_FRONT, NAMES, "/api/callback", vec![nginx, api.process], folder).await
    }

    /// Whatever listens at `upstream` behind the program, with a provider that comes back to `callback`.
    pub(crate) async fn with(
        upstream: &str,
        routes: &str,
        more: &str,
        callback: &str,
        apps: Vec<Running>,
        folder: TempDir,
    ) -> Self {
        let port = free_port();
        let provider = OidcProvider::start(serde_json::json!({
            "redirect_uris": [format!("http://localhost:{port}{callback}")],
            "post_logout_redirect_uris": [format!("http://localhost:{port}/oauth2/signed_out")],
        }))
        .await;
        let client = provider.client("ES256");
        let vestibule = Vestibule::serve(&Configuration {
            port,
            issuer: &provider.issuer,
            client_id: &client.id,
            client_secret: &client.secret,
            provider: "",
            upstream,
            upstreams: "",
            routes: Some(routes),
            more,
        })
        .await;
        Self { vestibule, provider, _apps: apps, _folder: folder }
    }

    /// The address of `path`.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.vestibule.origin)
    }

    /// Signs in on the provider's form, where the browser is being led, and is at `path` then.
    pub(crate) async fn sign_in(&self, browser: &Browser, path: &str) {
        browser.wait_for("[name=email]").await;
        let url = browser.url().await;
        assert!(url.starts_with(&self.provider.issuer), "{url}");
        browser.click("button[value=sign-in]").await;
        let there = self.at(path);
        browser.wait_for_url(|url| url == there).await;
    }

    /// A browser that has signed in and shows `path`.
    pub(crate) async fn signed_in(&self, path: &str) -> Browser {
        let browser = Browser::start().await;
        browser.goto(&self.at(path)).await;
        self.sign_in(&browser, path).await;
        browser
    }
}

/// nginx with this server, once it listens on `port`.
pub(crate) async fn nginx(folder: &Path, port: u16, server: &str) -> Running {
    let here = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {here}/nginx.pid; error_log stderr warn;\nevents {{}}\nhttp {{\n\
         access_log off;\n{temporary}types {{ text/html html; text/javascript js; }}\n\
         map $http_upgrade $upgrading {{ default upgrade; '' close; }}\nserver {{\n{server}}}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(Counterpart::Nginx.program());
    command.args(["-e", "stderr", "-c"]).arg(path);
    let mut running = Running::start("nginx", &command);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    until("nginx listens", async || {
        assert!(!running.has_ended(), "nginx ended:\n{}", running.output());
        TcpStream::connect(address).await.is_ok()
    })
    .await;
    running
}
