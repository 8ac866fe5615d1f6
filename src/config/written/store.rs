//! The store as it is written: a word, a file, or a Redis in its short form or its long one; and
//! what happens while it is unavailable.
//!
//! `resolve/store` turns it into `store::Settings` and `store::OnDown`. A Redis URL is a text here,
//! read there: it may hold a password, and no code that would repeat it may see it.

use super::{List, defaults};
use crate::config::scalar::{Secret, Span, written_span};
use crate::store::WhenDown;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

const STORE: &str = "memory, {file: /path/to/the/file} or {redis: rediss://host:6379}";

/// Where state is kept.
#[derive(Debug)]
pub(in crate::config) enum Store {
    Memory,
    Elsewhere(Elsewhere),
}

/// A store that outlives the process.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "memory, {file: /path/to/the/file} or {redis: rediss://host:6379}")]
pub(in crate::config) struct Elsewhere {
    /// One file, for one process; made where there is none. Its directory must be there.
    #[schemars(extend("examples" = ["/var/lib/vestibule/state.db"]))]
    pub(in crate::config) file: Option<PathBuf>,
    /// A Redis (7 or newer) or Valkey, shared by every replica: a URL alone, or the keys below.
    /// Its `maxmemory-policy` must be `noeviction`, or sign-outs may be forgotten.
    #[schemars(extend("examples" = ["rediss://redis.internal:6379/0"]))]
    pub(in crate::config) redis: Option<Redis>,
}

/// A Redis, in its short form or its long one.
#[derive(Debug)]
pub(in crate::config) enum Redis {
    Url(String),
    Long(Box<LongRedis>),
}

/// A Redis, in its long form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a URL such as rediss://host:6379, or a mapping {url, password: {file: PATH}, …}"
)]
pub(in crate::config) struct LongRedis {
    /// The server: `rediss://` with TLS, `redis://` without; the path is the number of the
    /// database. Never with a user or a password in it.
    #[schemars(extend("examples" = ["rediss://redis.internal:6379/0"]))]
    pub(in crate::config) url: Option<String>,
    /// Instead of `url`, several: the Sentinels, or some nodes of the cluster.
    #[schemars(extend("examples" = [["rediss://s1:26379", "rediss://s2:26379", "rediss://s3:26379"]]))]
    pub(in crate::config) urls: Option<List<String>>,
    /// What answers there.
    #[schemars(extend("default" = "single"))]
    pub(in crate::config) mode: Option<RedisMode>,
    /// With `mode: sentinel`, the name of the master as the Sentinels know it.
    #[schemars(extend("examples" = ["mymaster"]))]
    pub(in crate::config) master_name: Option<String>,
    /// The ACL user. The default one where none is written.
    pub(in crate::config) username: Option<String>,
    /// The password of the user.
    #[schemars(extend("examples" = [{"file": "/run/secrets/redis"}]))]
    pub(in crate::config) password: Option<Secret>,
    /// The ACL user at the Sentinels, where they ask for one.
    pub(in crate::config) sentinel_username: Option<String>,
    /// The password at the Sentinels, where they ask for one. It is not that of the servers.
    pub(in crate::config) sentinel_password: Option<Secret>,
    /// A PEM file with the authorities that vouch for the servers' certificates, instead of those
    /// that the machine trusts.
    #[schemars(extend("examples" = ["/etc/ssl/redis-ca.pem"]))]
    pub(in crate::config) ca: Option<PathBuf>,
    /// What the names of our keys begin with; two services on one Redis need two.
    #[schemars(pattern(r"^[A-Za-z0-9:._-]{1,64}$"), extend("default" = defaults::REDIS_PREFIX))]
    pub(in crate::config) prefix: Option<String>,
}

/// What answers at a Redis URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RedisMode {
    /// One server, or what looks like one.
    #[default]
    Single,
    /// Sentinels, who know which server is the master.
    Sentinel,
    /// The nodes of a cluster.
    Cluster,
}

/// What happens while the store is unavailable.
#[derive(Debug)]
pub(in crate::config) enum OnStoreDown {
    Both(WhenDown),
    Each(EachOnStoreDown),
}

/// What happens to whom.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "refuse, keep, or a mapping {sign_ins, sessions, for}")]
pub(in crate::config) struct EachOnStoreDown {
    /// To people who want to sign in.
    #[schemars(extend("default" = "refuse"))]
    pub(in crate::config) sign_ins: Option<WhenDown>,
    /// To people who are signed in.
    #[schemars(extend("default" = "keep"))]
    pub(in crate::config) sessions: Option<WhenDown>,
    /// How long `keep` holds. After that it is `refuse`.
    #[serde(rename = "for")]
    #[schemars(extend("default" = written_span(defaults::on_down().keep_for)))]
    pub(in crate::config) keep_for: Option<Span>,
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Store;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(STORE)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Store, E> {
                // What stands there is not repeated: it may be a URL with a password.
                if text == "memory" { Ok(Store::Memory) } else { Err(E::custom(format!("is not one of {STORE}"))) }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Store, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Store::Elsewhere)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Store {
    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let elsewhere = generator.subschema_for::<Elsewhere>();
        json_schema!({"anyOf": [{"type": "string", "enum": ["memory"]}, elsewhere]})
    }
}

impl<'de> Deserialize<'de> for Redis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Redis;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL such as rediss://host:6379, or a mapping {url, password: {file: PATH}, …}")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Redis, E> {
                Ok(Redis::Url(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Redis, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Redis::Long)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Redis {
    fn schema_name() -> Cow<'static, str> {
        "Redis".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<LongRedis>();
        json_schema!({"anyOf": [{"type": "string", "x-type": "URL: `redis://HOST:PORT` or `rediss://HOST:PORT`"}, long]})
    }
}

impl<'de> Deserialize<'de> for OnStoreDown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OnStoreDown;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("refuse, keep, or a mapping {sign_ins, sessions, for}")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<OnStoreDown, E> {
                WhenDown::deserialize(serde::de::value::StrDeserializer::new(text)).map(OnStoreDown::Both)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnStoreDown, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(OnStoreDown::Each)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for OnStoreDown {
    fn schema_name() -> Cow<'static, str> {
        "OnStoreDown".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let both = generator.subschema_for::<WhenDown>();
        let each = generator.subschema_for::<EachOnStoreDown>();
        json_schema!({"anyOf": [both, each]})
    }
}
