//! The part about sessions: their keys, their ends, their cookies, the way to sign in, and where
//! they are kept.
//!
//! Called by `translate`. A Redis URL may hold a password: what is printed of it is put together
//! anew, and never a part of the text that was not understood.

use super::settings::{Text, written};
use super::translate::Import;
use crate::commands::import::{list, scalar};
use std::fmt::Write as _;
use std::time::Duration;
use url::Url;
use vestibule::web::domain::is_at_or_below;
use vestibule::web::return_hosts::ReturnHost;

/// How long a session is idle before it ends, where nothing is written.
const IDLE: Duration = Duration::from_secs(3600);
/// The least time for a sign-in.
const LEAST_SIGN_IN: Duration = Duration::from_secs(10);

impl Import {
    pub(super) fn session(&mut self) {
        self.line("\nsession:\n  # New: `vestibule keys new` prints one.");
        self.line("  keys: [{id: first, secret: {env: VESTIBULE_SESSION_KEY}}]");
        let says = "put what `vestibule keys new` prints into the variable VESTIBULE_SESSION_KEY, or a file";
        self.note("", "session.keys", says);
        let given = self.settings.given("cookie-expire");
        match (given, self.settings.span("cookie-expire")) {
            (Some(given), Some(expire)) if expire >= Duration::from_secs(1) => {
                let _ = writeln!(self.out, "  # From {}.\n  lifetime: {}", given.name, written(expire));
                if expire < IDLE {
                    let _ = writeln!(self.out, "  # No longer than that.\n  idle: {}", written(expire));
                } else {
                    self.line("  # oauth2-proxy has no idle limit; here it is an hour where nothing is written:\n  # idle: 1h");
                }
            }
            (Some(given), _) => {
                self.line("  # oauth2-proxy has no idle limit; here a session ends after an hour without a request, or 12 hours:");
                self.line("  # idle: 1h\n  # lifetime: 12h");
                self.without(&given.name, "a session without an end is none here: it ends after 12 hours");
            }
            (None, _) => {
                self.line("  # oauth2-proxy's sessions last 168 hours; these end after an hour without a request, or 12 hours:");
                self.line("  # idle: 1h\n  # lifetime: 12h");
            }
        }
        if self.uses_redis() {
            self.line("  # From session-store-type: tokens are kept there too.\n  keep: store");
        }
    }

    pub(super) fn cookies(&mut self, host: Option<&str>) {
        let domains = self.settings.list("cookie-domain");
        let mut chosen: Option<(String, String)> = None;
        let bare = |text: &Text| text.value.as_deref().map(|value| value.trim_start_matches('.').to_ascii_lowercase());
        // The longest that holds the host counts, as oauth2-proxy has it; the host itself needs none.
        let is_host = domains.iter().any(|text| host.is_some() && bare(text).as_deref() == host);
        for setting in &domains {
            let Some(value) = &setting.value else {
                self.without(&setting.name, "depends on what is not known here; write it into `cookies`");
                continue;
            };
            let domain = value.trim_start_matches('.').to_ascii_lowercase();
            let says = match host {
                Some(host) if host == domain => "is the host of public_url, which alone gets the cookie",
                Some(host) if !is_at_or_below(host, &domain) => {
                    "is not above the host of public_url; one Vestibule has one domain"
                }
                _ if is_host => "does not count beside the host of public_url, which alone gets the cookie",
                _ if chosen.as_ref().is_some_and(|(_, chosen)| chosen.len() >= domain.len()) => {
                    "another domain is longer, and there is one"
                }
                _ => {
                    chosen = Some((setting.name.clone(), domain));
                    continue;
                }
            };
            self.without(&setting.name, format!("{domain} {says}"));
        }
        if let Some((name, domain)) = chosen {
            let _ = write!(self.out, "\ncookies:\n  # From {name}: every host below it gets the session's cookie.\n");
            let _ = writeln!(self.out, "  domain: {}", scalar(&domain));
        }
        for name in ["cookie-samesite", "cookie-csrf-samesite"] {
            let Some(setting) = self.settings.text(name) else { continue };
            match setting.value.as_deref() {
                Some("lax") => self.not_needed(&setting.name, "is Lax, always"),
                Some("strict") => {
                    self.without(&setting.name, "is Lax: with Strict nobody who comes by a link would be signed in");
                }
                _ => self.refuse(
                    &setting.name,
                    "other sites could send requests with the session's cookie; it is Lax, always",
                ),
            }
        }
    }

    pub(super) fn sign_in(&mut self) {
        let button = self.settings.given("skip-provider-button");
        let skipped = self.settings.switch("skip-provider-button");
        let name = button.map_or("skip-provider-button, which is not given".to_owned(), |given| given.name);
        let entry = if skipped { "automatic" } else { "page" };
        let _ = write!(self.out, "\nsign_in:\n  # From {name}.\n  entry: {entry}\n");
        let says = "people have an hour to sign in where nothing is written, 10 seconds at least";
        match (self.settings.given("cookie-csrf-expire"), self.settings.span("cookie-csrf-expire")) {
            (Some(given), Some(expire)) if expire >= LEAST_SIGN_IN => {
                let _ = writeln!(self.out, "  # From {}.\n  timeout: {}", given.name, written(expire));
            }
            (Some(given), _) => self.without(&given.name, says),
            (None, _) => {}
        }
        let domains = self.settings.list("whitelist-domain");
        let Some(first) = domains.first() else { return };
        let is_host = |text: &&Text| text.value.as_deref().is_some_and(|host| ReturnHost::parse(host).is_ok());
        let (hosts, others): (Vec<&Text>, Vec<&Text>) = domains.iter().partition(is_host);
        if !others.is_empty() {
            self.without(&first.name, "one is not known here, or no host that people may be led back to");
        }
        if !hosts.is_empty() {
            let hosts = list(hosts.iter().filter_map(|text| text.value.as_deref()));
            let _ =
                writeln!(self.out, "  # From {}: where people may be led back to.\n  return_to: {hosts}", first.name);
        }
    }

    fn uses_redis(&mut self) -> bool {
        let kind = self.settings.text("session-store-type").and_then(|text| text.value);
        kind.as_deref() == Some("redis")
    }

    pub(super) fn store(&mut self) {
        let Some(kind) = self.settings.text("session-store-type") else { return };
        match kind.value.as_deref() {
            Some("redis") => {}
            Some("cookie") => {
                let says = "sessions are in sealed cookies; what has ended is kept in memory, or in a `store` that survives a restart";
                self.not_needed(&kind.name, says);
                return;
            }
            _ => {
                self.settings.mistakes.push(format!("{}: {}: must be cookie or redis", kind.origin, kind.name));
                return;
            }
        }
        let _ = writeln!(self.out, "\n# From {}: every replica sees what has ended.\nstore:\n  redis:", kind.name);
        let mut servers = Servers::default();
        if self.settings.switch("redis-use-sentinel") {
            self.servers("redis-sentinel-connection-urls", &mut servers);
            self.line("    mode: sentinel");
            match self.settings.text("redis-sentinel-master-name") {
                Some(name) => self.value("    ", "master_name", &name),
                None => self.missing("    ", "master_name", "redis-sentinel-master-name", "write the master's name"),
            }
        } else if self.settings.switch("redis-use-cluster") {
            self.servers("redis-cluster-connection-urls", &mut servers);
            self.line("    mode: cluster");
        } else {
            self.server(&mut servers);
        }
        let username = self.settings.text("redis-username");
        match (&username, &servers.username) {
            (Some(username), _) => self.value("    ", "username", username),
            (None, Some(username)) => {
                let _ = writeln!(self.out, "    # From {}.\n    username: {}", servers.name, scalar(username));
            }
            (None, None) => {}
        }
        let password = self.settings.secret("redis-password");
        if let Some(password) = password {
            let reference = self.reference(&password, "REDIS_PASSWORD");
            let _ = writeln!(self.out, "    # From {}.\n    password: {reference}", password.name);
        } else if servers.has_password {
            let says =
                "holds a password, which was not copied: put it alone into the variable REDIS_PASSWORD, or into a file";
            self.note(&servers.origin, &servers.name, says);
            let _ = writeln!(self.out, "    # From {}.\n    password: {{env: REDIS_PASSWORD}}", servers.name);
        }
        if let Some(password) = self.settings.secret("redis-sentinel-password") {
            let reference = self.reference(&password, "REDIS_SENTINEL_PASSWORD");
            let _ = writeln!(self.out, "    # From {}.\n    sentinel_password: {reference}", password.name);
        }
        if let Some(ca) = self.settings.text("redis-ca-path") {
            self.value("    ", "ca", &ca);
        }
    }

    /// One server.
    fn server(&mut self, servers: &mut Servers) {
        let name = "redis-connection-url";
        let Some(given) = self.settings.given(name) else {
            self.missing("    ", "url", name, "write where the Redis is");
            return;
        };
        (servers.name, servers.origin) = (given.name, given.origin);
        let text = self.settings.secret_url(name);
        let Some(url) = text.as_deref().and_then(|text| servers.take(text)) else {
            let _ = writeln!(
                self.out,
                "    # From {}: write rediss://host:6379 without a user and a password.\n    # url:",
                servers.name
            );
            let says = "is not known here, or no redis:// or rediss:// URL; write it into store.redis.url, without its password";
            self.note(&servers.origin, &servers.name, says);
            return;
        };
        let _ = writeln!(self.out, "    # From {}.\n    url: {}", servers.name, scalar(&url));
    }

    /// Several.
    fn servers(&mut self, name: &'static str, servers: &mut Servers) {
        let texts = self.settings.list(name);
        let Some(first) = texts.first() else {
            self.missing("    ", "urls", name, "write where they are");
            return;
        };
        (servers.name, servers.origin) = (first.name.clone(), first.origin.clone());
        let urls: Option<Vec<String>> =
            texts.iter().map(|Text { value, .. }| value.as_deref().and_then(|text| servers.take(text))).collect();
        let Some(urls) = urls else {
            let _ = writeln!(
                self.out,
                "    # From {}: write them without a user and a password.\n    # urls:",
                servers.name
            );
            self.note(
                &servers.origin,
                &servers.name,
                "holds what is no redis:// or rediss:// URL; write them into store.redis.urls",
            );
            return;
        };
        let _ = writeln!(self.out, "    # From {}.\n    urls: {}", servers.name, list(urls.iter().map(String::as_str)));
    }
}

/// What the URLs of Redis servers hold besides their addresses.
#[derive(Default)]
struct Servers {
    name: String,
    origin: String,
    username: Option<String>,
    has_password: bool,
}

impl Servers {
    /// The address in a URL, put together anew.
    fn take(&mut self, text: &str) -> Option<String> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss"))?;
        let host = url.host_str().filter(|host| !host.is_empty())?;
        self.has_password |= url.password().is_some();
        // Alone it may be a password that was put before the wrong colon.
        if url.password().is_some() && !matches!(url.username(), "" | "default") {
            self.username = Some(url.username().to_owned());
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let database = url.path().trim_matches('/');
        let database = if database.is_empty() { String::new() } else { format!("/{}", database.parse::<u16>().ok()?) };
        Some(format!("{}://{host}{port}{database}", url.scheme()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_redis_url_the_address_alone_is_kept() {
        for (text, address, username, has_password) in [
            ("redis://redis:6379", Some("redis://redis:6379"), None, false),
            ("rediss://u:hunter2@[::1]:6380/3?x=hunter2", Some("rediss://[::1]:6380/3"), Some("u"), true),
            ("redis://:hunter2@redis", Some("redis://redis"), None, true),
            ("redis://hunter2@redis", Some("redis://redis"), None, false),
            ("redis://redis/hunter2", None, None, false),
            ("unix:///run/hunter2", None, None, false),
            ("hunter2", None, None, false),
        ] {
            let mut servers = Servers::default();
            assert_eq!(servers.take(text).as_deref(), address, "{text}");
            assert_eq!((servers.username.as_deref(), servers.has_password), (username, has_password), "{text}");
        }
    }
}
