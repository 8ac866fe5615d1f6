//! The real front proxies, each with the file of `deploy/` as it is shipped.
//!
//! Only addresses, ports, paths and the site's name are others: each is replaced as text, and must
//! be there to be replaced. They end TLS themselves, as they are deployed; the tests' clients speak
//! plain HTTP to [`FrontProxy::address`], where the browser's TLS is put around it.

use super::certificates::{self, Certificate};
use super::counterparts::Counterpart;
use super::ports::free_port;
use super::running::Running;
use super::waiting::until;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// The name under which the site is known in the tests.
const HOST: &str = "app.example";

/// A front proxy, running. Ends when dropped.
pub(crate) struct FrontProxy {
    /// Where a client reaches it.
    pub(crate) address: SocketAddr,
    /// Where a browser does, by TLS.
    pub(crate) listens: SocketAddr,
    browser_tls: tokio::task::JoinHandle<()>,
    _running: Running,
    _folder: TempDir,
}

/// The text of a file below `deploy/`.
pub(crate) fn shipped(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of `deploy/` with the lines that are for credentials: what begins with the mark loses it,
/// and where it stands behind a line, that has the address behind the mark.
pub(crate) fn with_credentials(text: &str) -> String {
    const MARK: &str = "credentials: ";
    let mut marks = 0;
    let lines = text.lines().map(|line| {
        let marked = ["# ", "-- "].iter().find_map(|comment| line.split_once(&format!("{comment}{MARK}")));
        let Some((before, after)) = marked else { return line.to_owned() };
        marks += 1;
        if before.trim().is_empty() {
            return format!("{before}{after}");
        }
        let (_, port) = after.rsplit_once(':').unwrap_or(("", after));
        assert!(before.contains("4180"), "{line}");
        before.replace("4180", port)
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert!(marks > 0, "nothing is marked in:\n{text}");
    text
}

impl FrontProxy {
    /// Starts `which` between its clients, `vestibule` and `app`, once it listens.
    pub(crate) async fn start(which: Counterpart, vestibule: SocketAddr, app: SocketAddr) -> Self {
        Self::begin(which, vestibule, None, None, app).await
    }

    /// The same, and it asks at `asked_at`, with the lines of its file that are for credentials.
    pub(crate) async fn start_with_credentials(
        which: Counterpart,
        vestibule: SocketAddr,
        asked_at: SocketAddr,
        app: SocketAddr,
    ) -> Self {
        Self::begin(which, vestibule, Some(asked_at), None, app).await
    }

    /// Envoy, which asks over gRPC at `grpc`.
    pub(crate) async fn start_over_grpc(vestibule: SocketAddr, grpc: SocketAddr, app: SocketAddr) -> Self {
        Self::begin(Counterpart::Envoy, vestibule, None, Some(grpc), app).await
    }

    async fn begin(
        which: Counterpart,
        vestibule: SocketAddr,
        asked_at: Option<SocketAddr>,
        grpc: Option<SocketAddr>,
        app: SocketAddr,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let certificate = certificates::for_name(folder.path(), HOST);
        let place = Place { folder: folder.path(), port, vestibule, asked_at, grpc, app };
        let command = match which {
            Counterpart::Nginx => place.nginx(),
            Counterpart::Caddy => place.caddy(),
            Counterpart::Haproxy => place.haproxy(&certificate),
            Counterpart::Envoy => place.envoy(),
            other => panic!("{other:?} is no front proxy"),
        };
        let mut running = Running::start("front proxy", &command);
        let listens = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        until("the front proxy listens", async || {
            assert!(!running.has_ended(), "{which:?} ended:\n{}", running.output());
            TcpStream::connect(listens).await.is_ok()
        })
        .await;
        let (address, browser_tls) = browser_tls(listens, &certificate).await;
        Self { address, listens, browser_tls, _running: running, _folder: folder }
    }
}

impl Drop for FrontProxy {
    fn drop(&mut self) {
        self.browser_tls.abort();
    }
}

/// What is particular to a test.
struct Place<'a> {
    folder: &'a Path,
    port: u16,
    vestibule: SocketAddr,
    asked_at: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
    app: SocketAddr,
}

impl Place<'_> {
    /// The shipped file with these replacements, besides the site's name and Vestibule's address,
    /// in our folder.
    fn file(&self, path: &str, replacements: &[(&str, String)]) -> PathBuf {
        let mut text = shipped(path);
        if let Some(asked_at) = self.asked_at {
            text = with_credentials(&text).replace("127.0.0.1:4182", &asked_at.to_string());
            text = text.replace("port_value: 4182", &format!("port_value: {}", asked_at.port()));
        }
        let all = [("app.example.gouv.fr", HOST.to_owned()), ("127.0.0.1:4180", self.vestibule.to_string())];
        for (from, to) in all.iter().chain(replacements) {
            assert!(text.contains(from), "{from:?} is not in deploy/{path}");
            text = text.replace(from, to);
        }
        let written = self.folder.join(Path::new(path).file_name().unwrap());
        std::fs::write(&written, text).unwrap();
        written
    }

    fn tls(&self, extension: &str) -> String {
        format!("{}/{HOST}.{extension}", self.folder.display())
    }

    fn nginx(&self) -> Command {
        let file = self.file(
            "nginx/app.conf",
            &[
                ("127.0.0.1:8080", self.app.to_string()),
                ("listen 443 ssl http2", format!("listen 127.0.0.1:{} ssl http2", self.port)),
                ("/etc/nginx/tls/app.crt", self.tls("crt")),
                ("/etc/nginx/tls/app.key", self.tls("key")),
            ],
        );
        // What a distribution's nginx.conf says around it.
        let folder = self.folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        let main = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}include {};\n}}\n",
            file.display()
        );
        let path = self.folder.join("nginx.conf");
        std::fs::write(&path, main).unwrap();
        let mut command = Command::new(Counterpart::Nginx.program());
        command.arg("-e").arg("stderr").arg("-c").arg(path);
        command
    }

    fn caddy(&self) -> Command {
        let file = self.file(
            "caddy/Caddyfile",
            &[
                ("127.0.0.1:8080", self.app.to_string()),
                ("http_port 80\n", format!("http_port {}\n", free_port())),
                ("https_port 443\n", format!("https_port {}\n", self.port)),
                ("/etc/caddy/tls/app.crt", self.tls("crt")),
                ("/etc/caddy/tls/app.key", self.tls("key")),
            ],
        );
        let mut command = Command::new(Counterpart::Caddy.program());
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, self.folder);
        }
        command
    }

    fn haproxy(&self, certificate: &Certificate) -> Command {
        let both = [&certificate.certificate, &certificate.key].map(|path| std::fs::read_to_string(path).unwrap());
        std::fs::write(self.folder.join("app.pem"), both.concat()).unwrap();
        let script = self.folder.join("vestibule.lua");
        let text = shipped("haproxy/vestibule.lua");
        std::fs::write(&script, if self.asked_at.is_some() { with_credentials(&text) } else { text }).unwrap();
        let file = self.file(
            "haproxy/haproxy.cfg",
            &[
                ("127.0.0.1:8080", self.app.to_string()),
                ("bind :443 ssl", format!("bind 127.0.0.1:{} ssl", self.port)),
                ("/etc/haproxy/tls/app.pem", format!("{}/app.pem", self.folder.display())),
                ("/etc/haproxy/vestibule.lua", script.display().to_string()),
            ],
        );
        let mut command = Command::new(Counterpart::Haproxy.program());
        command.arg("-db").arg("-f").arg(file);
        command
    }

    fn envoy(&self) -> Command {
        let socket = |address: SocketAddr| format!("address: {}, port_value: {}", address.ip(), address.port());
        let mut replacements = vec![
            ("address: 0.0.0.0, port_value: 443", format!("address: 127.0.0.1, port_value: {}", self.port)),
            ("address: 127.0.0.1, port_value: 4180", socket(self.vestibule)),
            ("address: 127.0.0.1, port_value: 8080", socket(self.app)),
            ("/etc/envoy/tls/app.crt", self.tls("crt")),
            ("/etc/envoy/tls/app.key", self.tls("key")),
        ];
        replacements.extend(self.grpc.map(|grpc| ("address: 127.0.0.1, port_value: 4183", socket(grpc))));
        let path = if self.grpc.is_some() { "envoy-grpc/envoy.yaml" } else { "envoy/envoy.yaml" };
        let file = self.file(path, &replacements);
        let mut command = Command::new(Counterpart::Envoy.program());
        command.args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning", "-c"]).arg(file);
        command
    }
}

/// Listens for plain HTTP and speaks TLS to `server`, as the browser whose name for it is [`HOST`].
async fn browser_tls(server: SocketAddr, certificate: &Certificate) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificate.certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let name = ServerName::try_from(HOST).unwrap();
                let server = TcpStream::connect(server).await.unwrap();
                let mut server = connector.connect(name, server).await.unwrap();
                // Either may close when it likes.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, serving)
}
