//! The part about addresses: ours as browsers see it, where we listen, who stands in front.
//!
//! Called by `translate`. An address may hold a password, and none is repeated before it is known
//! to hold none.

use super::settings::Text;
use super::translate::Import;
use crate::commands::import::{address, list, scalar};
use std::fmt::Write as _;
use std::net::SocketAddr;
use url::Url;
use vestibule::web::public_url::{BadPublicUrl, PublicUrl};

/// What is known of our own address.
#[derive(Default)]
pub(super) struct Ours {
    pub(super) host: Option<String>,
    /// The path of the callback where it is not the usual one, with the name of what says so.
    pub(super) callback: Option<(String, String)>,
}

const USUAL_PREFIX: &str = "/oauth2";

impl Import {
    /// The prefix, where it is not the usual one.
    pub(super) fn prefix(&mut self) -> Option<String> {
        let text = self.settings.text("proxy-prefix")?;
        let prefix = text.value?.trim_end_matches('/').to_owned();
        if prefix == USUAL_PREFIX {
            self.not_needed(&text.name, "is /oauth2 here too");
            return None;
        }
        Some(prefix)
    }

    pub(super) fn public_url(&mut self, prefix: Option<&str>) -> Ours {
        let prefix = prefix.unwrap_or(USUAL_PREFIX);
        self.line("");
        let redirect = self.settings.text("redirect-url");
        let is_relative = redirect
            .as_ref()
            .and_then(|redirect| redirect.value.as_deref())
            .is_some_and(|value| value.starts_with('/'));
        let Some(redirect) = redirect else {
            self.missing("", "public_url", "redirect-url", "write the address that browsers use");
            return Ours::default();
        };
        if is_relative {
            self.line("# redirect-url has no host: write the address that browsers use.\n# public_url:");
            self.note(
                &redirect.origin,
                &redirect.name,
                "has no host; write the address that browsers use into public_url",
            );
            return Ours::default();
        }
        if redirect.value.is_none() {
            self.value("", "public_url", &redirect);
            return Ours::default();
        }
        let Some(url) = self.url(&redirect) else { return Ours::default() };
        let origin = url.origin().ascii_serialization();
        self.value("", "public_url", &Text { value: Some(origin.clone()), ..redirect.clone() });
        if PublicUrl::parse(&origin) == Err(BadPublicUrl::Insecure) {
            let says = "is http, which Vestibule takes on loopback only; write the https address";
            self.note(&redirect.origin, &redirect.name, says);
        }
        let usual = format!("{prefix}/callback");
        let mut callback = None;
        if url.query().is_some() || url.fragment().is_some() {
            let says = format!("cannot be kept; register {origin}{usual} at the provider");
            self.note(&redirect.origin, &redirect.name, &says);
        } else if !matches!(url.path(), "" | "/") && url.path() != usual {
            callback = Some((redirect.name.clone(), url.path().to_owned()));
        }
        let says = format!("register {origin}{prefix}/signed_out at the provider too, as post-logout redirect URI");
        self.note(&redirect.origin, &redirect.name, &says);
        Ours { host: url.host_str().map(str::to_owned), callback }
    }

    pub(super) fn listeners(&mut self, answers_tokens: bool) {
        let proxy = self.listener("proxy", ["http-address", "https-address", "tls-cert-file", "tls-key-file"]);
        let names = ["metrics-address", "metrics-secure-address", "metrics-tls-cert-file", "metrics-tls-key-file"];
        let admin = self.listener("admin", names);
        let forward_auth = answers_tokens.then(|| {
            let says = "tokens are answered there alone, where no browser can ask: have the proxy in front ask there";
            self.note("", "listeners.forward_auth", says);
            "  # For the proxy in front: tokens are answered here, and nowhere else.\n  forward_auth: \"127.0.0.1:4182\"".to_owned()
        });
        if proxy.is_none() && admin.is_none() && forward_auth.is_none() {
            return;
        }
        self.line("\nlisteners:");
        for written in [proxy, admin, forward_auth].into_iter().flatten() {
            self.line(&written);
        }
    }

    /// The lines of one listener, where it is not the usual one: its address, or, with a certificate
    /// and a key, its address with TLS.
    fn listener(&mut self, key: &str, [plain, secure, certificate, private_key]: [&'static str; 4]) -> Option<String> {
        let [plain, secure, certificate, private_key] =
            [plain, secure, certificate, private_key].map(|name| self.settings.text(name));
        let from = if key == "admin" { "; health is there as well" } else { "" };
        let Some((certificate, private_key)) = certificate.zip(private_key) else {
            if let Some(secure) = secure {
                self.not_needed(&secure.name, "is not listened on without a certificate");
            }
            let address = self.address(&plain?)?;
            return Some(format!("{}\n  {key}: {}", address.comment("  ", from), scalar(&address.text)));
        };
        if let Some(plain) = &plain {
            self.not_needed(&plain.name, "is not listened on beside a certificate");
        }
        let by_default = Text {
            name: certificate.name.clone(),
            origin: String::new(),
            value: Some(":443".to_owned()),
            variables: Vec::new(),
        };
        let address =
            self.address(secure.as_ref().or(plain.as_ref().filter(|_| key == "admin")).unwrap_or(&by_default))?;
        let mut lines =
            format!("{}\n  {key}:\n    address: {}\n    tls:", address.comment("  ", from), scalar(&address.text));
        for (key, text) in [("certificate", certificate), ("key", private_key)] {
            let path = text.value.clone().unwrap_or_default();
            let _ = write!(lines, "\n      # From {}.\n      {key}: {}", text.name, scalar(&path));
        }
        Some(lines)
    }

    /// An address to listen on, in our form.
    fn address(&mut self, setting: &Text) -> Option<Address> {
        let Some(value) = &setting.value else {
            self.without(&setting.name, "depends on what is not known here; write it into `listeners`");
            return None;
        };
        match listen(value) {
            Ok((text, remark)) => Some(Address { text, name: setting.name.clone(), remark }),
            Err(says) => {
                self.without(&setting.name, says);
                self.note(&setting.origin, &setting.name, &format!("not taken over: {says}"));
                None
            }
        }
    }

    pub(super) fn trusted_proxies(&mut self) {
        let proxies = self.settings.list("trusted-proxy-ip");
        let header = self.settings.text("real-client-ip-header");
        if !self.settings.switch("reverse-proxy") {
            for setting in proxies.first().into_iter().chain(&header) {
                self.not_needed(&setting.name, "has no effect without reverse-proxy");
            }
            if let Some(given) = self.settings.given("reverse-proxy") {
                self.not_needed(&given.name, "nobody in front is believed");
            }
            return;
        }
        let everybody = ["0.0.0.0/0", "::/0"];
        // An unknown one is not believed.
        let (all, own): (Vec<&Text>, Vec<&Text>) =
            proxies.iter().partition(|text| text.value.as_deref().is_none_or(|value| everybody.contains(&value)));
        for text in &all {
            let says = "whoever connects would be believed about who the client is; write the proxies in front alone";
            self.refuse(&text.name, says);
        }
        let name = self.settings.given("reverse-proxy").map(|given| given.name).unwrap_or_default();
        if let Some(first) = own.first() {
            let addresses = list(own.iter().filter_map(|text| text.value.as_deref()));
            let _ = write!(self.out, "\n# From {name} and {}.\ntrusted_proxies: {addresses}\n", first.name);
        } else {
            let _ =
                write!(self.out, "\n# From {name}: oauth2-proxy believed everybody's X-Forwarded-*; here nobody's.\n");
            self.line("# Write the addresses of the proxies in front, and nobody else's:\n# trusted_proxies: []");
            self.note("", &name, "believed whoever connects; write the proxies in front into trusted_proxies");
        }
        if let Some(header) = header {
            match header.value.as_deref() {
                Some(value) if value.eq_ignore_ascii_case("x-forwarded-for") => {
                    self.not_needed(&header.name, "is X-Forwarded-For here too");
                }
                _ => self.without(&header.name, "the client's address is read from X-Forwarded-For: have it set there"),
            }
        }
    }

    /// Further paths of our own endpoints: the callback's, where it is not the usual one, and those
    /// that probes ask.
    pub(super) fn aliases(&mut self, callback: Option<(String, String)>) {
        self.line("\naliases:");
        if let Some((name, path)) = callback {
            let _ = writeln!(self.out, "  # From {name}: the redirect URI that the provider knows stays.");
            let _ = writeln!(self.out, "  callback: {}", scalar(&path));
        }
        for (name, key, usual) in [("ping-path", "ping", "/ping"), ("ready-path", "ready", "/ready")] {
            let setting = self.settings.text(name);
            match setting {
                None => {
                    let _ = writeln!(self.out, "  # {name} is {usual} where it is not given.\n  {key}: {usual}");
                }
                Some(setting) => self.value("  ", key, &setting),
            }
        }
    }

    /// An address with a host and no password. Its text may hold one and is not repeated.
    pub(super) fn url(&mut self, setting: &Text) -> Option<Url> {
        let value = setting.value.as_deref()?;
        let wrong = |says| self.settings.mistakes.push(format!("{}: {}: {says}", setting.origin, setting.name));
        address(value).map_err(wrong).ok()
    }
}

struct Address {
    text: String,
    name: String,
    remark: &'static str,
}

impl Address {
    fn comment(&self, indent: &str, more: &str) -> String {
        format!("{indent}# From {}{}{more}.", self.name, self.remark)
    }
}

/// An address to listen on in our form, and what changed.
///
/// # Errors
/// Why there is none.
fn listen(text: &str) -> Result<(String, &'static str), &'static str> {
    let lower = text.to_ascii_lowercase();
    if let Some(path) = lower.strip_prefix("unix:").and_then(|rest| text.get(text.len() - rest.len()..)) {
        return Ok((format!("unix:{}", path.strip_prefix("//").unwrap_or(path)), ""));
    }
    if lower.starts_with("fd:") {
        return Err("no socket is taken over from systemd; write an address into `listeners`");
    }
    let bare = lower.strip_prefix("http://").and_then(|rest| text.get(text.len() - rest.len()..)).unwrap_or(text);
    if bare.parse::<SocketAddr>().is_ok() {
        return Ok((bare.to_owned(), ""));
    }
    match bare.rsplit_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => Ok((format!("0.0.0.0:{port}"), ", on every address")),
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => Ok((format!("127.0.0.1:{port}"), "")),
        _ => Err("a listener takes an IP address and a port, or unix:/path; write one into `listeners`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_many_forms() {
        for (text, expected) in [
            ("127.0.0.1:4180", Some("127.0.0.1:4180")),
            ("http://0.0.0.0:80", Some("0.0.0.0:80")),
            ("HTTP://:4180", Some("0.0.0.0:4180")),
            (":4180", Some("0.0.0.0:4180")),
            ("localhost:4180", Some("127.0.0.1:4180")),
            ("[::]:4180", Some("[::]:4180")),
            ("unix:///run/o.sock", Some("unix:/run/o.sock")),
            ("fd:3", None),
            ("proxy.internal:4180", None),
            (":http", None),
            ("4180", None),
        ] {
            assert_eq!(listen(text).ok().map(|(text, _)| text).as_deref(), expected, "{text}");
        }
    }
}
