//! Listening sockets, bound by us before anything runs.
//!
//! Left to itself Pingora retries a bind for half a minute and then lives on without a listener.
//! Here a socket that cannot be had, or a certificate that cannot be read, ends the start with
//! one clear message, and the sockets that were had are handed to Pingora by descriptor.

use super::client_certificates::{ReadsCertificates, verifier};
use super::settings::{ListenAddress, Listener, TlsFiles};
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::protocols::ALPN;
use pingora::server::ListenFds;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

/// A socket that listens, and the TLS that it speaks.
pub struct Bound {
    socket: Socket,
    tls: Option<Tls>,
}

/// What a listener shows, and what it asks for.
struct Tls {
    certificate: Arc<SingleCertAndKey>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// A socket that listens, non-blocking.
pub(super) enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, String),
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not permitted.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address as configured.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file is there that is no socket.
    #[error("cannot listen on {0}: a file that is not a socket is in the way")]
    NotASocket(String),
    /// The path is not UTF-8 or too long for a socket address.
    #[error("cannot listen on {0}: not a path that a socket can have")]
    Path(String),
    /// Certificate or key.
    #[error("cannot use the TLS {what} {path}: {reason}")]
    Tls {
        /// `certificate`, `key` or `client_ca`.
        what: &'static str,
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
}

impl Bound {
    /// Binds a listener and loads its certificate.
    ///
    /// # Errors
    /// [`BindError`], by cause.
    pub fn bind(listener: &Listener) -> Result<Self, BindError> {
        let tls = listener.tls.as_ref().map(load_tls).transpose()?;
        let socket = match &listener.address {
            ListenAddress::Tcp(address) => bind_tcp(*address)?,
            ListenAddress::Unix(path) => bind_unix(path)?,
        };
        Ok(Self { socket, tls })
    }

    /// The TCP address, with the port that the system chose where 0 was asked for.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(_, address) => Some(*address),
            Socket::Unix(..) => None,
        }
    }

    /// Where it listens, for the log.
    pub fn describe(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match &self.socket {
            Socket::Tcp(_, address) => format!("{scheme}://{address}"),
            Socket::Unix(_, path) => format!("unix:{path}"),
        }
    }

    /// The socket itself, for a server that is not Pingora's. It speaks no TLS.
    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Hands the socket over: what Pingora is to listen on, and the descriptor it finds there.
    pub(super) fn hand_over(self, descriptors: &ListenFds) -> ListenerConfig {
        let (config, key, descriptor) = match self.socket {
            Socket::Tcp(socket, address) => {
                (ListenerConfig::tcp(address.to_string()), address.to_string(), socket.into_raw_fd())
            }
            Socket::Unix(socket, path) => (ListenerConfig::uds(path.clone()), path, socket.into_raw_fd()),
        };
        descriptors.lock().add(key, descriptor);
        // Small buffers: an idle connection then costs 38 KiB instead of 98, at no cost in speed.
        let config = config.l4_buffer(L4BufferSettings::new(4096, 1460));
        match self.tls {
            Some(tls) => config.tls(tls_settings(tls)),
            None => config,
        }
    }
}

fn bind_tcp(address: SocketAddr) -> Result<Socket, BindError> {
    let failed = |source| BindError::Address { address: address.to_string(), source };
    let socket = TcpListener::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Socket::Tcp(socket, address))
}

fn bind_unix(path: &Path) -> Result<Socket, BindError> {
    use std::os::unix::fs::FileTypeExt;
    let shown = path.display().to_string();
    let failed = |source| BindError::Address { address: format!("unix:{shown}"), source };
    let text = path.to_str().ok_or_else(|| BindError::Path(shown.clone()))?.to_owned();
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(BindError::NotASocket(shown));
        }
        // The socket of a process that is gone refuses connections; that of a live one is not ours to take.
        match UnixStream::connect(path) {
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            _ => return Err(failed(io::ErrorKind::AddrInUse.into())),
        }
    }
    let socket = UnixListener::bind(path).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    Ok(Socket::Unix(socket, text))
}

/// A certificate chain and its key, read and matched before anything listens.
fn load_tls(files: &TlsFiles) -> Result<Tls, BindError> {
    let failed = |what, path: &Path, reason: String| BindError::Tls { what, path: path.display().to_string(), reason };
    let certificates = |what, path: &Path| {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match read {
            Ok(certificates) if certificates.is_empty() => {
                Err(failed(what, path, "it holds no certificate".to_owned()))
            }
            read => read.map_err(|error| failed(what, path, error.to_string())),
        }
    };
    let chain = certificates("certificate", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| failed("key", &files.key, error.to_string()))?;
    let provider = rustls::crypto::ring::default_provider();
    let certified =
        CertifiedKey::from_der(chain, key, &provider).map_err(|error| failed("key", &files.key, error.to_string()))?;
    let clients = match &files.client_ca {
        Some(path) => {
            let authorities = certificates("client_ca", path)?;
            Some(verifier(authorities).map_err(|reason| failed("client_ca", path, reason))?)
        }
        None => None,
    };
    Ok(Tls { certificate: Arc::new(SingleCertAndKey::from(certified)), clients })
}

/// TLS 1.2 and 1.3, HTTP/1.1.
#[expect(clippy::expect_used, reason = "Pingora's constructors always succeed: they only keep what they are given")]
fn tls_settings(tls: Tls) -> TlsSettings {
    let mut settings = match tls.clients {
        Some(clients) => {
            let mut settings = TlsSettings::with_callbacks(Box::new(ReadsCertificates)).expect("keeps the callback");
            settings.set_client_cert_verifier(clients);
            settings
        }
        None => TlsSettings::intermediate("", "").expect("keeps two paths"),
    };
    settings.set_cert_resolver(tls.certificate);
    settings.set_alpn(ALPN::H1);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: ListenAddress) -> Result<Bound, BindError> {
        Bound::bind(&Listener { address, tls: None })
    }

    #[test]
    fn a_taken_address_is_an_error_that_names_it() {
        let first = bind(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let taken = first.tcp_address().unwrap();
        let message = bind(ListenAddress::Tcp(taken)).err().unwrap().to_string();
        assert!(message.starts_with(&format!("cannot listen on {taken}: ")), "{message}");
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_and_a_file_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vestibule.sock");
        let unix = || bind(ListenAddress::Unix(path.clone()));
        let live = unix().unwrap();
        assert!(matches!(unix().err().unwrap(), BindError::Address { .. }));
        drop(live);
        drop(unix().unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(unix().err().unwrap(), BindError::NotASocket(_)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls.crt");
        std::fs::write(&path, "not a certificate").unwrap();
        let tls = Some(TlsFiles { certificate: path.clone(), key: path, client_ca: None });
        let listener = Listener { address: ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), tls };
        let message = Bound::bind(&listener).err().unwrap().to_string();
        assert!(message.starts_with("cannot use the TLS certificate "), "{message}");
    }
}
