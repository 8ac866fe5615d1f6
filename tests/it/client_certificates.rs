//! Client certificates, where TLS ends here: whom they let in, and whom they do not. By curl, which
//! has a TLS of its own.

use super::support::certificates::{Certificate, authority, fingerprint, for_name, of_authority};
use super::support::process::Process;
use super::support::site::SESSION_KEY;
use super::support::wire::Wire;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A sidecar that ends TLS and asks for certificates, and the certificates.
struct Stage {
    process: Process,
    wire: Wire,
    folder: TempDir,
    server: Certificate,
    programs: Certificate,
    export: Certificate,
}

/// What curl says: the status and the body; no status where there was no connection.
struct Said {
    status: u16,
    body: String,
    challenge: String,
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let (server, programs) = (for_name(at, "localhost"), authority(at, "programs"));
        let export = of_authority(at, &programs, "export", "DNS:export.example.fr", "clientAuth");
        let wire = Wire::start().await;
        let text = format!(
            "public_url: https://app.example\n\
             listeners: {{proxy: {{address: \"127.0.0.1:0\", tls: {{certificate: {}, key: {}, client_ca: {}}}}}, admin: \"127.0.0.2:0\"}}\n\
             providers: {{nobody: {{issuer: \"https://127.0.0.1:9\", client_id: app, client_authentication: none}}}}\n\
             session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             upstreams: {{app: {{url: \"{}\"}}}}\n\
             bearer:\n  \
               partners:\n    kind: certificates\n    certificates:\n      \
                 - {{name: nightly-export, sha256: \"{}\", claims: {{email: export@example.fr, groups: [robots]}}}}\n      \
                 - {{name: mesh, san: \"URI:spiffe://example.fr/mesh\"}}\n      \
                 - {{name: former, san: \"DNS:former.example.fr\", until: 2020-01-01}}\n  \
               others: {{kind: certificates, certificates: [{{name: nobody, san: \"DNS:nobody.example.fr\"}}]}}\n\
             routes:\n  \
               - {{path: /machines/**, upstream: app, access: bearer, bearer: partners}}\n  \
               - {{path: /both/**, upstream: app, bearer: partners}}\n  \
               - {{path: /others/**, upstream: app, access: bearer, bearer: others}}\n  \
               - {{path: /**, upstream: app}}\n",
            server.certificate.display(),
            server.key.display(),
            programs.certificate.display(),
            wire.url(),
            fingerprint(&export),
        );
        let process = Process::serve_with(&text, &[("SESSION_KEY", SESSION_KEY)]).await;
        Self { process, wire, folder, server, programs, export }
    }

    fn at(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate of the authority that we ask for.
    fn client(&self, name: &str, names: &str, usage: &str) -> Certificate {
        of_authority(self.at(), &self.programs, name, names, usage)
    }

    async fn ask(&self, path: &str, shown: Option<&Certificate>, more: &[&str]) -> Said {
        let mut command = Command::new("curl");
        command.args(["--silent", "--noproxy", "*", "--max-time", "180", "--write-out"]);
        command.arg("\n%header{www-authenticate}\n%{http_code}").arg("--cacert").arg(&self.server.certificate);
        if let Some(shown) = shown {
            command.arg("--cert").arg(&shown.certificate).arg("--key").arg(&shown.key);
        }
        command.args(more).arg(format!("https://localhost:{}{path}", self.process.address().port()));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.rsplitn(3, '\n').map(str::to_owned);
        let status = lines.next().unwrap().parse().unwrap();
        Said { status, challenge: lines.next().unwrap(), body: lines.next().unwrap_or_default() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_certificate_lets_its_program_in_under_the_name_that_is_written_for_it() {
    let stage = Stage::start().await;
    let mesh = stage.client("mesh", "URI:spiffe://example.fr/mesh,DNS:mesh.example.fr", "clientAuth");
    for version in ["1.2", "1.3"] {
        let tls = ["--tls-max", version, "--header", "X-Auth-Request-Email: forged@example.fr"];
        for path in ["/machines/a", "/both/a"] {
            let said = stage.ask(path, Some(&stage.export), &tls).await;
            assert_eq!((said.status, said.body.as_str()), (200, "ok"), "TLS {version}");
        }
        assert_eq!(stage.ask("/machines/a", Some(&mesh), &tls).await.status, 200);
    }
    let received = stage.wire.received();
    let said = |index: usize, name: &str| received[index].all(name).join(",");
    for index in [0, 1, 3, 4] {
        assert_eq!(said(index, "x-auth-request-user"), "nightly-export");
        assert_eq!(said(index, "x-auth-request-email"), "export@example.fr");
        assert_eq!(said(index, "x-auth-request-groups"), "robots");
        assert_eq!(said(index, "x-vestibule-bearer"), "partners");
    }
    assert_eq!(said(2, "x-auth-request-user"), "mesh");
    assert_eq!(said(2, "x-auth-request-email"), "");
    assert_eq!(received.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_listed_here_says_nothing() {
    let stage = Stage::start().await;
    let unlisted = stage.client("unlisted", "DNS:unlisted.example.fr,URI:spiffe://example.fr/mesh/more", "clientAuth");
    let former = stage.client("former", "DNS:former.example.fr", "clientAuth");
    // A name that stands in the subject alone is no name (RFC 9525 §2).
    let in_the_subject = stage.client("former.example.fr", "DNS:x.example.fr", "clientAuth");
    for shown in [None, Some(&unlisted), Some(&former), Some(&in_the_subject)] {
        let said = stage.ask("/machines/a", shown, &[]).await;
        assert_eq!((said.status, said.challenge.as_str()), (401, "Bearer realm=\"app.example\""));
        let said = stage.ask("/both/a", shown, &[]).await;
        assert!(said.status == 401 && said.challenge.starts_with("Vestibule "), "{}", said.challenge);
    }
    // Nor does a listed one on a route of other rules, or of none.
    for path in ["/others/a", "/a"] {
        assert_eq!(stage.ask(path, Some(&stage.export), &[]).await.status, 401, "{path}");
    }
    assert_eq!(stage.wire.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_somebody_else_gets_no_connection() {
    let stage = Stage::start().await;
    let other = authority(stage.at(), "other");
    // One that says of itself what ours says; one for servers; one without its authority.
    let foreign = of_authority(stage.at(), &other, "foreign", "DNS:export.example.fr", "clientAuth");
    let of_a_server = stage.client("server", "URI:spiffe://example.fr/mesh", "serverAuth");
    let alone = for_name(stage.at(), "export.example.fr");
    for (what, shown) in [("foreign", &foreign), ("of a server", &of_a_server), ("alone", &alone)] {
        assert_eq!(stage.ask("/machines/a", Some(shown), &[]).await.status, 0, "{what}");
    }
    assert_eq!(stage.ask("/machines/a", Some(&stage.export), &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_alone_and_a_page_of_another_site_has_no_use_of_a_certificate() {
    let stage = Stage::start().await;
    let export = Some(&stage.export);
    let refused = stage.ask("/both/a", export, &["--header", "Authorization: Bearer of-nobody"]).await;
    assert!(refused.status == 401 && refused.challenge.contains("error=\"invalid_token\""), "{}", refused.challenge);
    let twice = ["--header", "Authorization: Bearer a", "--header", "Authorization: Bearer b"];
    assert_eq!(stage.ask("/both/a", export, &twice).await.status, 400);
    let post = |header: &'static str| ["--request", "POST", "--header", header];
    // Programs do not say where they come from; browsers do, and may have a certificate.
    for (header, status) in [
        ("Accept: */*", 200),
        ("Origin: https://app.example", 200),
        ("Origin: https://evil.example", 401),
        ("Sec-Fetch-Site: cross-site", 401),
        ("Sec-Fetch-Site: same-site", 401),
    ] {
        assert_eq!(stage.ask("/both/a", export, &post(header)).await.status, status, "{header}");
    }
    assert_eq!(stage.ask("/both/a", export, &["--header", "Sec-Fetch-Site: cross-site"]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_stands_in_for_a_certificate() {
    let stage = Stage::start().await;
    let pem = std::fs::read_to_string(&stage.export.certificate).unwrap().replace('\n', "");
    for name in ["X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "Ssl-Client-Cert", "X-Client-Cert", "Client-Cert"] {
        let said = stage.ask("/machines/a", None, &["--header", &format!("{name}: {pem}")]).await;
        assert_eq!(said.status, 401, "{name}");
    }
}
