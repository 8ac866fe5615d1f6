//! Certificates for TLS on loopback, by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// A certificate and its key.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Makes one that vouches for itself, for this name (or address) in `folder`.
pub(crate) fn for_name(folder: &Path, name: &str) -> Certificate {
    let file = |extension: &str| folder.join(format!("{name}.{extension}"));
    let (certificate, key) = (file("crt"), file("key"));
    let kind = if name.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    openssl(|command| {
        command.args(["req", "-x509"]).args(NEW_KEY).args(["-days", "2"]);
        command.args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName={kind}:{name}")]);
        // A server's own, not an authority's: what vouches for itself and may vouch for others is
        // refused as a server's certificate.
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    });
    Certificate { certificate, key }
}

/// Makes an authority that vouches for clients.
pub(crate) fn authority(folder: &Path, name: &str) -> Certificate {
    let made = Certificate { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    openssl(|command| {
        command.args(["req", "-x509"]).args(NEW_KEY).args(["-days", "2", "-subj", &format!("/CN={name}")]);
        command.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        command.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
    });
    made
}

/// Has `authority` vouch for a client with these names, as `subjectAltName` and `extendedKeyUsage`
/// have them.
pub(crate) fn of_authority(
    folder: &Path,
    authority: &Certificate,
    name: &str,
    names: &str,
    usage: &str,
) -> Certificate {
    let made = Certificate { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    openssl(|command| {
        command.args(["req", "-x509"]).args(NEW_KEY).args(["-days", "2", "-subj", &format!("/CN={name}")]);
        command.arg("-CA").arg(&authority.certificate).arg("-CAkey").arg(&authority.key);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.args(["-addext", &format!("subjectAltName={names}")]);
        command.args(["-addext", &format!("extendedKeyUsage={usage}")]);
        command.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
    });
    made
}

/// The SHA-256 fingerprint as people copy it.
pub(crate) fn fingerprint(of: &Certificate) -> String {
    let said = openssl(|command| {
        command.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&of.certificate);
    });
    said.trim().split_once('=').unwrap().1.to_owned()
}

fn openssl(say: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new("openssl");
    say(&mut command);
    let done = command.stdin(Stdio::null()).output().expect("the openssl command is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
