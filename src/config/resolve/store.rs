//! The store, and what happens while it is unavailable.
//!
//! A Redis URL is never repeated in a message: somebody may have written a password into it.

use super::Resolver;
use crate::config::findings::Code;
use crate::config::problem::KeyPath;
use crate::config::scalar::Secret;
use crate::config::written::{LongRedis, OnStoreDown, Redis, RedisMode, Store, Written, defaults};
use crate::store::{Mode, Node, OnDown, RedisSettings, Settings};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const LONG_KEEP: Duration = Duration::from_secs(24 * 3600);

/// A Redis URL, taken apart.
struct Address {
    tls: bool,
    host: String,
    port: Option<u16>,
    database: u32,
}

impl Resolver<'_> {
    pub(super) fn store(&mut self, at: &KeyPath, written: Option<&Store>) -> Option<Settings> {
        let elsewhere = match written {
            None | Some(Store::Memory) => return Some(Settings::Memory),
            Some(Store::Elsewhere(elsewhere)) => elsewhere,
        };
        match (&elsewhere.file, &elsewhere.redis) {
            (Some(_), Some(_)) => {
                self.fault(&at.key("redis"), "there is one store: keep either file or redis");
                None
            }
            (None, None) if self.is_excused(&at.key("file")) || self.is_excused(&at.key("redis")) => None,
            (None, None) => {
                self.fault(
                    at,
                    "names no store; write memory, {file: /path/to/the/file} or {redis: rediss://host:6379}",
                );
                None
            }
            (Some(path), None) => self.store_file(&at.key("file"), path),
            (None, Some(redis)) => {
                let at = at.key("redis");
                let settings = match redis {
                    Redis::Url(url) => short_redis(self.redis_address(&at, url)?),
                    Redis::Long(long) => self.long_redis(&at, long)?,
                };
                self.remarks(&at, &settings);
                Some(Settings::Redis(Box::new(settings)))
            }
        }
    }

    fn store_file(&mut self, at: &KeyPath, path: &Path) -> Option<Settings> {
        if path.as_os_str().is_empty() || path.file_name().is_none() {
            self.fault(at, "is no path of a file; write such as /var/lib/vestibule/state.db");
            return None;
        }
        Some(Settings::File(path.to_owned()))
    }

    fn long_redis(&mut self, at: &KeyPath, written: &LongRedis) -> Option<RedisSettings> {
        let mode = written.mode.unwrap_or_default();
        let addresses = self.redis_addresses(at, written, mode);
        let master_name = self.master_name(at, written, mode);
        let username = self.redis_user(&at.key("username"), written.username.as_ref());
        let password = self.redis_password(&at.key("password"), written.password.as_ref());
        let sentinel_username = self.redis_user(&at.key("sentinel_username"), written.sentinel_username.as_ref());
        let sentinel_password = self.redis_password(&at.key("sentinel_password"), written.sentinel_password.as_ref());
        if mode != RedisMode::Sentinel {
            let only = [
                ("master_name", written.master_name.is_some()),
                ("sentinel_username", written.sentinel_username.is_some()),
                ("sentinel_password", written.sentinel_password.is_some()),
            ];
            for (key, _) in only.into_iter().filter(|(_, written)| *written) {
                self.fault(&at.key(key), "is for Sentinels; write mode: sentinel or remove this");
            }
        }
        for (user, password, key) in [
            (&written.username, &written.password, "username"),
            (&written.sentinel_username, &written.sentinel_password, "sentinel_username"),
        ] {
            if user.is_some() && password.is_none() && !self.is_excused(&at.key(&key.replace("username", "password"))) {
                let password = key.replace("username", "password");
                self.fault(&at.key(key), format!("has no password; write {password}: {{file: /path/to/the/secret}}"));
            }
        }
        let prefix = written.prefix.as_deref().unwrap_or(defaults::REDIS_PREFIX);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '_' | '-');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(plain) {
            let hint = "write up to 64 letters, digits, colons, dots, hyphens or underscores";
            self.fault(&at.key("prefix"), format!("is no beginning of a key; {hint}"));
        }
        let tls = addresses.as_ref().and_then(|addresses| addresses.first()).map(|first| first.tls);
        if let Some(ca) = &written.ca {
            self.authorities(&at.key("ca"), ca, tls != Some(false));
        }
        let addresses = addresses?;
        let database = addresses.first()?.database;
        let default_port = if mode == RedisMode::Sentinel { SENTINEL_PORT } else { REDIS_PORT };
        Some(RedisSettings {
            mode: match mode {
                RedisMode::Single => Mode::Single,
                RedisMode::Cluster => Mode::Cluster,
                RedisMode::Sentinel => Mode::Sentinel {
                    master_name: master_name?,
                    username: sentinel_username,
                    password: sentinel_password,
                },
            },
            nodes: addresses
                .into_iter()
                .map(|address| Node { host: address.host, port: address.port.unwrap_or(default_port) })
                .collect(),
            tls: tls?,
            ca: written.ca.clone(),
            username,
            password,
            database,
            prefix: prefix.to_owned(),
        })
    }

    /// Every address, if all of them are good and go together.
    fn redis_addresses(&mut self, at: &KeyPath, written: &LongRedis, mode: RedisMode) -> Option<Vec<Address>> {
        let (single, several) = (at.key("url"), at.key("urls"));
        let texts: Vec<(KeyPath, &String)> = match (&written.url, &written.urls) {
            (Some(_), Some(_)) => {
                self.fault(&several, "url is written too; keep one of the two");
                return None;
            }
            (Some(url), None) => vec![(single, url)],
            (None, Some(urls)) => self.items(&several, Some(urls)),
            (None, None) => {
                if !self.is_excused(&several) {
                    self.fault(&single, "is missing; write such as rediss://redis.internal:6379");
                }
                return None;
            }
        };
        if texts.is_empty() {
            self.fault(&several, "is empty; write such as [rediss://redis.internal:6379]");
        }
        if mode == RedisMode::Single && texts.len() > 1 {
            self.fault(&several, "several addresses are Sentinels or a cluster: write mode: sentinel or mode: cluster");
        }
        let count = texts.len();
        let mut addresses: Vec<Address> = Vec::new();
        for (at, text) in texts {
            let Some(address) = self.redis_address(&at, text) else { continue };
            if mode == RedisMode::Cluster && address.database != 0 {
                self.fault(&at, "names a database, but a cluster has one only; remove the path");
            } else if addresses.first().is_some_and(|first| first.tls != address.tls) {
                self.fault(&at, "all addresses are rediss:// or all are redis://");
            } else if addresses.first().is_some_and(|first| first.database != address.database) {
                self.fault(&at, "all addresses name the same database");
            }
            addresses.push(address);
        }
        (addresses.len() == count && count > 0).then_some(addresses)
    }

    fn redis_address(&mut self, at: &KeyPath, text: &str) -> Option<Address> {
        parse_address(text).map_err(|message| self.fault(at, message)).ok()
    }

    fn master_name(&mut self, at: &KeyPath, written: &LongRedis, mode: RedisMode) -> Option<String> {
        if mode != RedisMode::Sentinel {
            return None;
        }
        let hint = "the name of the master as the Sentinels know it, such as mymaster";
        self.required_text(&at.key("master_name"), written.master_name.as_ref(), hint).map(str::to_owned)
    }

    fn redis_user(&mut self, at: &KeyPath, written: Option<&String>) -> Option<String> {
        let user = written?;
        if user.is_empty() || user.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.fault(at, "is no name of an ACL user; leave the key out for the default one");
        }
        Some(user.clone())
    }

    fn redis_password(&mut self, at: &KeyPath, written: Option<&Secret>) -> Option<crate::secret::SecretString> {
        self.secret(at, written?)
    }

    fn authorities(&mut self, at: &KeyPath, path: &Path, tls: bool) {
        const MARKER: &[u8] = b"-----BEGIN CERTIFICATE-----";
        match self.environment.file(path) {
            Err(cause) => self.fault(at, format!("the file {} {cause}", path.display())),
            Ok(bytes) if !bytes.windows(MARKER.len()).any(|window| window == MARKER) => {
                self.fault(at, format!("the file {} holds no PEM of a certificate", path.display()));
            }
            Ok(_) if !tls => self.fault(at, "is for TLS; write rediss:// or remove this"),
            Ok(_) => {}
        }
    }

    /// What runs and deserves a second look.
    fn remarks(&mut self, at: &KeyPath, settings: &RedisSettings) {
        let loopback =
            |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let away = settings.nodes.iter().any(|node| !loopback(&node.host));
        if away && !settings.tls {
            self.found(Code::StoreInClear, at, "redis:// is plain text: whoever is on the way reads the password and can end or undo sign-outs; write rediss://");
        }
        if away && settings.password.is_none() {
            self.found(Code::StoreWithoutPassword, at, "has no password: whoever reaches it can undo sign-outs");
        }
    }

    pub(super) fn on_store_down(&mut self, at: &KeyPath, written: &Written) -> OnDown {
        let default = defaults::on_down();
        let Some(on_down) = &written.on_store_down else { return default };
        let on_down = match on_down {
            OnStoreDown::Both(both) => OnDown { sign_ins: *both, sessions: *both, ..default },
            OnStoreDown::Each(each) => OnDown {
                sign_ins: each.sign_ins.unwrap_or(default.sign_ins),
                sessions: each.sessions.unwrap_or(default.sessions),
                keep_for: self.span(&at.key("for"), each.keep_for, default.keep_for, Duration::from_secs(1)),
            },
        };
        if on_down.keep_for > LONG_KEEP {
            self.found(
                Code::SignOutDelayed,
                &at.key("for"),
                "who is signed out on another replica meanwhile stays signed in here as long",
            );
        }
        on_down
    }
}

/// A URL alone.
fn short_redis(address: Address) -> RedisSettings {
    RedisSettings {
        mode: Mode::Single,
        nodes: vec![Node { host: address.host, port: address.port.unwrap_or(REDIS_PORT) }],
        tls: address.tls,
        ca: None,
        username: None,
        password: None,
        database: address.database,
        prefix: defaults::REDIS_PREFIX.to_owned(),
    }
}

/// # Errors
/// What to write instead. The text is not repeated.
fn parse_address(text: &str) -> Result<Address, String> {
    let shape = "write rediss://host:6379, or redis://host:6379 without TLS";
    let url = url::Url::parse(text).map_err(|_| format!("is not a URL; {shape}"))?;
    let tls = match url.scheme() {
        "rediss" => true,
        "redis" => false,
        _ => return Err(format!("is not the URL of a Redis; {shape}")),
    };
    if url.password().is_some() || !url.username().is_empty() {
        let long = "{url: rediss://host:6379, username: NAME, password: {file: /path/to/the/secret}}";
        return Err(format!(
            "holds a user or a password, and a secret is never written in this file; write redis: {long}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has a query or a fragment; {shape}"));
    }
    let database = match url.path() {
        "" | "/" => 0,
        path => path
            .trim_start_matches('/')
            .parse::<u16>()
            .map(u32::from)
            .map_err(|_| "has a path that is no number of a database; write rediss://host:6379/0".to_owned())?,
    };
    let host = match url.host_str() {
        Some(host) if !host.is_empty() => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        _ => return Err(format!("has no host; {shape}")),
    };
    if url.port() == Some(0) {
        return Err(format!("has no port that can be reached; {shape}"));
    }
    Ok(Address { tls, host, port: url.port(), database })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_bad_ones_never_repeated() {
        for (text, expected) in [
            ("redis://localhost", (false, "localhost", None, 0)),
            ("rediss://redis.internal:6380/", (true, "redis.internal", Some(6380), 0)),
            ("rediss://[::1]:6379/15", (true, "::1", Some(6379), 15)),
            ("redis://10.0.0.1/0", (false, "10.0.0.1", None, 0)),
        ] {
            let address = parse_address(text).unwrap();
            assert_eq!((address.tls, address.host.as_str(), address.port, address.database), expected, "{text}");
        }
        for text in [
            "",
            "hunter2",
            "redis:",
            "redis://",
            "redis:///0",
            "redis+unix:///run/hunter2",
            "http://hunter2",
            "rediss://:hunter2@host",
            "rediss://hunter2@host",
            "rediss://host/hunter2",
            "rediss://host/0?password=hunter2",
            "rediss://host#hunter2",
            "rediss://host:0",
            "rediss://host:99999",
            "rediss://host/65536",
            "rediss://host/-1",
        ] {
            let message = parse_address(text).map(drop).unwrap_err();
            assert!(!message.contains("hunter2") && message.contains("rediss://"), "{text}: {message}");
        }
    }
}
