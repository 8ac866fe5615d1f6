//! Certificates for TLS on loopback, by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A certificate that vouches for itself, and its key.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Makes one for this name (or address) in `folder`.
pub(crate) fn for_name(folder: &Path, name: &str) -> Certificate {
    let file = |extension: &str| folder.join(format!("{name}.{extension}"));
    let (certificate, key) = (file("crt"), file("key"));
    let kind = if name.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName={kind}:{name}")])
        // A server's own, not an authority's: what vouches for itself and may vouch for others is
        // refused as a server's certificate.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stdin(Stdio::null())
        .output()
        .expect("the openssl command is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Certificate { certificate, key }
}
