//! Where the admin listener of a sidecar that runs is asked: as its configuration says, or as it
//! was given.
//!
//! Called by `health` and `door`, whose commands run beside it. What cannot be asked is said with the
//! key that makes it so, and with what to give in its place.

use super::Failure;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vestibule::server::{ListenAddress, Listener};

/// An address given as `--admin`, without a final slash.
pub(super) fn given(address: &str) -> Result<String, Failure> {
    if !address.starts_with("http://") && !address.starts_with("https://") {
        return Err(format!("--admin: {address:?} is no address; write http://127.0.0.1:4181").into());
    }
    Ok(address.trim_end_matches('/').to_owned())
}

/// The address of `listeners.admin` of the configuration in `files`, on the machine that it is on.
/// `instead` is what to give where it has none that can be asked.
pub(super) fn of(files: &str, admin: &Listener, instead: &str) -> Result<String, Failure> {
    let elsewhere = |why: &str| Err(Failure::from(format!("{files}: listeners.admin {why}; give {instead}")));
    if admin.tls.is_some() {
        return elsewhere("speaks TLS, for a name that is not in the file");
    }
    let ListenAddress::Tcp(mut address) = admin.address else {
        return elsewhere("is a Unix socket, which this command does not speak to");
    };
    if address.port() == 0 {
        return elsewhere("has whatever port the system gave");
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule::server::TlsFiles;

    fn of_listener(address: ListenAddress, tls: Option<TlsFiles>) -> Result<String, String> {
        of("v.yaml", &Listener { address, tls }, "--admin URL").map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listens, asked) in [
            ("127.0.0.1:4181", "http://127.0.0.1:4181"),
            ("10.0.0.7:4181", "http://10.0.0.7:4181"),
            ("0.0.0.0:4181", "http://127.0.0.1:4181"),
            ("[::]:4181", "http://[::1]:4181"),
        ] {
            assert_eq!(of_listener(ListenAddress::Tcp(listens.parse().unwrap()), None).as_deref(), Ok(asked));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_said_with_its_key_and_what_to_give() {
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        let tls = TlsFiles { certificate: "a.crt".into(), key: "a.key".into(), client_ca: None };
        for (address, tls, why) in [
            (tcp("127.0.0.1:4181"), Some(tls), "speaks TLS"),
            (tcp("127.0.0.1:0"), None, "has whatever port"),
            (ListenAddress::Unix("/run/admin.sock".into()), None, "is a Unix socket"),
        ] {
            let said = of_listener(address, tls).unwrap_err();
            assert!(said.starts_with(&format!("v.yaml: listeners.admin {why}")), "{said}");
            assert!(said.ends_with("; give --admin URL") && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn an_address_that_is_given_is_one_of_http() {
        assert_eq!(given("https://admin.example:4181/").unwrap(), "https://admin.example:4181");
        for wrong in ["127.0.0.1:4181", "unix:/run/admin.sock", ""] {
            assert!(given(wrong).unwrap_err().to_string().contains("is no address"), "{wrong}");
        }
    }
}
