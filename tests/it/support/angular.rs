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
    _folder: Option<TempDir>,
}

/// What a stage is set with; `..Play::default()` for the session's front-end, closed.
pub(crate) struct Play<'a> {
    pub(crate) upstream: &'a str,
    pub(crate) upstreams: &'a str,
    pub(crate) routes: &'a str,
    pub(crate) more: &'a str,
    /// Where the provider comes back to.
    pub(crate) callback: &'a str,
    pub(crate) apps: Vec<Running>,
    pub(crate) folder: Option<TempDir>,
}

impl Default for Play<'_> {
    fn default() -> Self {
        let (apps, folder) = (Vec::new(), None);
        Self { upstream: "", upstreams: "", routes: CLOSED, more: NAMES, callback: "/api/callback", apps, folder }
    }
}

impl Stage {
    /// FastAPI directly behind the program, with the files of the front-end; every page is for the
    /// signed in.
    pub(crate) async fn direct() -> Self {
        let front = built("bff");
        let Application { address, process } = start_browser_app(&[("FRONT", front.to_str().unwrap())]).await;
        let play = Play { upstream: &address, apps: vec![process], ..Play::default() };
        Self::of(play).await
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
        let apps = vec![nginx, api.process];
        Self::of(Play { upstream: &address, routes: OPEN_FRONT, apps, folder: Some(folder), ..Play::default() }).await
    }

    pub(crate) async fn of(play: Play<'_>) -> Self {
        let port = free_port();
        let provider = OidcProvider::start(serde_json::json!({
            "redirect_uris": [format!("http://localhost:{port}{}", play.callback)],
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
            upstream: play.upstream,
            upstreams: play.upstreams,
            routes: Some(play.routes),
            more: play.more,
        })
        .await;
        Self { vestibule, provider, _apps: play.apps, _folder: play.folder }
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

/// `ng serve` in a copy of the workspace, whose sources may change.
pub(crate) struct DevServer {
    pub(crate) address: String,
    pub(crate) folder: TempDir,
    _process: Running,
}

impl DevServer {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["bff", "spa"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
            for file in std::fs::read_dir(workspace().join(part)).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), folder.path().join(part).join(file.file_name())).unwrap();
            }
        }
        for file in ["angular.json", "tsconfig.json", "package.json"] {
            std::fs::copy(workspace().join(file), folder.path().join(file)).unwrap();
        }
        std::os::unix::fs::symlink(workspace().join("node_modules"), folder.path().join("node_modules")).unwrap();
        let mut command = Command::new("node");
        command
            .args(["node_modules/@angular/cli/bin/ng.js", "serve", "bff", "--host", "127.0.0.1", "--port", "0"])
            .current_dir(folder.path());
        let mut process = Running::start("ng serve", &command);
        let address =
            process.ready(|line| Some(line.split_once("Local:")?.1.trim().trim_end_matches('/').to_owned())).await;
        Self { address, folder, _process: process }
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
