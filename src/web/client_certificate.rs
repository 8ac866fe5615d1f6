//! The certificate that a client showed when its connection began (RFC 8446 §4.4.2).
//!
//! Read by `server/client_certificates` once per connection, after TLS has verified its chain;
//! compared by `bearer`. Must never be made of anything but what TLS verified: a front proxy's
//! header is none.

use crate::clock::Timestamp;
use ring::digest;
use std::fmt::{self, Write};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a verified certificate says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    sha256: [u8; 32],
    names: Vec<AlternativeName>,
    ends_at: Timestamp,
}

/// A name of a certificate (RFC 5280 §4.2.1.6), of a kind that names a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// `DNS:export.example.fr`, in lower case.
    Dns(String),
    /// `URI:spiffe://example.fr/export`, to the letter.
    Uri(String),
    /// `email:export@example.fr`, to the letter.
    Email(String),
}

impl AlternativeName {
    /// Parses the form in which `openssl x509 -ext subjectAltName` prints it.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
            return None;
        }
        match kind {
            // A pattern is no name of anybody's.
            "DNS" if !name.contains('*') && name.is_ascii() => Some(Self::Dns(name.to_ascii_lowercase())),
            "URI" if name.contains(':') => Some(Self::Uri(name.to_owned())),
            "email" if name.contains('@') => Some(Self::Email(name.to_owned())),
            _ => None,
        }
    }

    fn of(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Dns(name.to_ascii_lowercase())),
            GeneralName::URI(name) => Some(Self::Uri((*name).to_owned())),
            GeneralName::RFC822Name(name) => Some(Self::Email((*name).to_owned())),
            _ => None,
        }
    }
}

impl ClientCertificate {
    /// Reads a certificate that TLS has verified; none where it cannot be read to its end, or names
    /// are in it twice over in two extensions.
    pub fn read(verified: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(verified).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(AlternativeName::of);
        let ends_at = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        let sha256 = digest::digest(&digest::SHA256, verified).as_ref().try_into().ok()?;
        Some(Self { sha256, names: names.collect(), ends_at: Timestamp::from_unix(ends_at) })
    }

    /// The SHA-256 of the whole certificate.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether this is one of its names.
    pub fn is_named(&self, name: &AlternativeName) -> bool {
        self.names.contains(name)
    }

    /// Until when it is valid. A connection may last longer.
    pub fn ends_at(&self) -> Timestamp {
        self.ends_at
    }
}

/// For the log: the beginning of the fingerprint, as `openssl x509 -fingerprint -sha256` has it.
impl fmt::Display for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.sha256.iter().take(8).enumerate() {
            if index > 0 {
                f.write_char(':')?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_openssl_prints_it() {
        let dns = AlternativeName::Dns("export.example.fr".to_owned());
        assert_eq!(AlternativeName::parse("DNS:Export.example.fr"), Some(dns));
        let uri = "spiffe://example.fr/Export".to_owned();
        assert_eq!(AlternativeName::parse("URI:spiffe://example.fr/Export"), Some(AlternativeName::Uri(uri)));
        let email = "a@example.fr".to_owned();
        assert_eq!(AlternativeName::parse("email:a@example.fr"), Some(AlternativeName::Email(email)));
        for bad in [
            "",
            "DNS:",
            "export.example.fr",
            "DNS:*.example.fr",
            "DNS:a b",
            "DNS:é.fr",
            "URI:export",
            "email:export",
            "IP:127.0.0.1",
            "dns:a.fr",
        ] {
            assert_eq!(AlternativeName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bad in [&b""[..], b"\x30\x03\x02\x01\x01", &[0x30; 600]] {
            assert_eq!(ClientCertificate::read(bad), None);
        }
    }
}
