//! Which store there is, how it is reached, and what happens while it is not.
//!
//! `config` makes these, [`super::open`] takes them. Their `Debug` prints no secret.

use crate::secret::SecretString;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Which store there is.
#[derive(Clone, Debug)]
pub enum Settings {
    /// This process's memory.
    Memory,
    /// One file.
    File(PathBuf),
    /// A Redis or Valkey, shared by every replica.
    Redis(Box<RedisSettings>),
}

impl Settings {
    /// The store of one site of several: memory of its own, a file of its own beside the one that is
    /// named (`state.db` → `state.NAME.db`), or keys of its own in the same Redis. So nothing of a site can
    /// meet anything of another: no key, no index of a person, no announcement.
    #[must_use]
    pub fn of_site(&self, name: &str) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::File(path) => {
                let mut file = path.file_stem().unwrap_or_default().to_owned();
                file.push(".");
                file.push(name);
                if let Some(extension) = path.extension() {
                    file.push(".");
                    file.push(extension);
                }
                Self::File(path.with_file_name(file))
            }
            // A kind of key has no slash: none of a store without sites begins so.
            Self::Redis(redis) => {
                let prefix = format!("{}{name}/", redis.prefix);
                Self::Redis(Box::new(RedisSettings { prefix, ..(**redis).clone() }))
            }
        }
    }
}

/// How a Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// What answers at the nodes.
    pub mode: Mode,
    /// Where: the server, the Sentinels, or some nodes of the cluster. Never empty.
    pub nodes: Vec<Node>,
    /// Whether connections are TLS, to the servers and to the Sentinels.
    pub tls: bool,
    /// A PEM file with the authorities that are trusted instead of the machine's.
    pub ca: Option<PathBuf>,
    /// The ACL user; none for the default one.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// The number of the database; 0 in a cluster.
    pub database: u32,
    /// What every key begins with.
    pub prefix: String,
}

/// What answers at the nodes.
#[derive(Clone, Debug)]
pub enum Mode {
    /// One server.
    Single,
    /// Sentinels, who know which server is the master now.
    Sentinel {
        /// The name of the set, as the Sentinels know it.
        master_name: String,
        /// The ACL user at the Sentinels; none for the default one.
        username: Option<String>,
        /// The password at the Sentinels, which is not that of the servers.
        password: Option<SecretString>,
    },
    /// The nodes of a cluster.
    Cluster,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What happens while the store is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDown {
    /// To people who want to sign in.
    pub sign_ins: WhenDown,
    /// To people who are signed in.
    pub sessions: WhenDown,
    /// For how long [`WhenDown::Keep`] holds, from the moment when the store was last reached;
    /// after that it is [`WhenDown::Refuse`].
    pub keep_for: Duration,
}

/// What happens to somebody while the store is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenDown {
    /// They wait: nothing goes on that could not be revoked.
    Refuse,
    /// It goes on; what other replicas revoke meanwhile is not known here.
    Keep,
}

/// New sessions are refused and those that there are go on, a quarter of an hour.
impl Default for OnDown {
    fn default() -> Self {
        Self { sign_ins: WhenDown::Refuse, sessions: WhenDown::Keep, keep_for: Duration::from_secs(15 * 60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_site_has_a_file_of_its_own_beside_the_one_that_is_named() {
        for (path, site, expected) in [
            ("/var/lib/vestibule/state.db", "front", "/var/lib/vestibule/state.front.db"),
            ("/var/lib/vestibule/state", "front", "/var/lib/vestibule/state.front"),
            ("state.2026.db", "a.b", "state.2026.a.b.db"),
            (".state", "..", ".state..."),
        ] {
            let Settings::File(of_site) = Settings::File(path.into()).of_site(site) else { panic!("{path}") };
            assert_eq!(of_site, PathBuf::from(expected), "{path}");
        }
    }
}
