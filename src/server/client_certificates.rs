//! Client certificates: verified while a connection begins, read once for all requests on it.
//!
//! Called by `server/listen` for listeners with `client_ca`, and by `server/judged` for what it read.
//! Whose certificate it is, and whether a route takes it, is decided elsewhere (`bearer`, `gate`).
//! Must never let a request have a certificate that TLS did not verify on its own connection.

use crate::web::client_certificate::ClientCertificate;
use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::tls::TlsRef;
use pingora::proxy::Session;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::any::Any;
use std::sync::Arc;

/// Takes certificates of these authorities, and connections without any: browsers have none. A
/// certificate of somebody else's ends the handshake.
pub(super) fn verifier(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated();
    verifier.build().map_err(|error| error.to_string())
}

/// Reads the certificate of a connection when its handshake is complete.
pub(super) struct ReadsCertificates;

#[async_trait]
impl TlsAccept for ReadsCertificates {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let shown = tls.peer_certificate_der()?;
        match ClientCertificate::read(shown) {
            Some(certificate) => Some(Arc::new(certificate)),
            None => {
                tracing::warn!("a client shows a certificate that cannot be read; it says nothing here");
                None
            }
        }
    }
}

/// The certificate that the client showed when this connection began.
pub(super) fn certificate_of(session: &Session) -> Option<&ClientCertificate> {
    session.digest()?.ssl_digest.as_ref()?.extension.get()
}
