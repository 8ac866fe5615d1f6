//! The certificates of programs: who is known by the one that a connection began with.
//!
//! Called by `Bearers::holder`. TLS has verified that the certificate is of an authority of ours and
//! that the client has its key (`server/client_certificates`); here is only looked up whose it is. A
//! certificate that is not in the list says nothing: an authority may sign for others as well.

use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::web::client_certificate::{AlternativeName, ClientCertificate};

/// One certificate of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCertificate {
    /// Who has it, for the log.
    pub name: String,
    /// By what it is known.
    pub by: KnownBy,
    /// What is said of who has it; `sub` among them.
    pub claims: Claims,
    /// From this moment on it does not count.
    pub until: Option<Timestamp>,
}

/// By what a certificate is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// It is this very one, by its SHA-256: it ends when it leaves the list.
    Sha256([u8; 32]),
    /// It has this name, whichever it is: for those that are renewed every few hours.
    Name(AlternativeName),
}

impl KnownCertificate {
    fn is(&self, certificate: &ClientCertificate) -> bool {
        match &self.by {
            KnownBy::Sha256(sha256) => sha256 == certificate.sha256(),
            KnownBy::Name(name) => certificate.is_named(name),
        }
    }

    /// When it ends, as far as is said.
    pub(super) fn ends_at(&self, certificate: &ClientCertificate) -> Timestamp {
        self.until.map_or(certificate.ends_at(), |until| until.min(certificate.ends_at()))
    }
}

/// Whose certificate this is, if it counts at the moment `now`: the one that is written first.
pub(super) fn find<'k>(
    known: &'k [KnownCertificate],
    certificate: &ClientCertificate,
    now: Timestamp,
) -> Option<&'k KnownCertificate> {
    known.iter().find(|known| known.is(certificate)).filter(|known| now < known.ends_at(certificate))
}
