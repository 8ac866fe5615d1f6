//! Where Vestibule listens, and for whom, as it is written.
//!
//! `resolve/network` turns this into `server::Settings`.

use super::defaults;
use crate::config::scalar::{ListenAddress, PlainAddress, Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Where to listen.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {proxy, admin, forward_auth, forward_auth_grpc}")]
pub(in crate::config) struct Listeners {
    /// Where browsers, or the proxies in front, reach Vestibule.
    #[schemars(extend("default" = defaults::PROXY, "examples" = ["0.0.0.0:4180", "unix:/run/vestibule.sock"]))]
    pub(in crate::config) proxy: Option<Listener>,

    /// Health (`/healthz`, `/readyz`) and metrics (`/metrics`), and sessions for whoever has
    /// `admin.token`. Health and metrics tell a lot and ask for no password: keep this on loopback
    /// or behind a network policy.
    #[schemars(extend("default" = defaults::ADMIN))]
    pub(in crate::config) admin: Option<Listener>,

    /// Where the front proxy asks, and nobody else can: `/oauth2/auth` alone is answered here, with
    /// the route's `credentials`, which are never in an answer of `proxy`. None by default.
    #[schemars(extend("examples" = ["127.0.0.1:4182"]))]
    pub(in crate::config) forward_auth: Option<Listener>,

    /// Where Envoy (or Istio) asks over gRPC (`envoy.service.auth.v3.Authorization`), and nobody else
    /// can: the same answers, with the route's `credentials`. An address alone, for there is no TLS
    /// on it. None by default.
    #[schemars(extend("examples" = ["127.0.0.1:4183", "unix:/run/vestibule-grpc.sock"]))]
    pub(in crate::config) forward_auth_grpc: Option<PlainAddress>,
}

/// Seeing and ending everybody's sessions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {token: {file: PATH}}")]
pub(in crate::config) struct Admin {
    /// Whoever has it sees who is signed in and can end their sessions: 32 characters or more, such
    /// as `vestibule keys new` prints. Sent as `Authorization: Bearer …`, and by a browser as a
    /// password with any name. Without it nobody sees any session on the admin listener.
    #[schemars(extend("examples" = [{"file": "/run/secrets/admin-token"}]))]
    pub(in crate::config) token: Option<Secret>,
}

/// An address alone, or with TLS.
#[derive(Debug)]
pub(in crate::config) struct Listener {
    pub(in crate::config) address: Option<ListenAddress>,
    pub(in crate::config) tls: Option<Tls>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {address, tls: {certificate, key}}")]
struct ListenerMapping {
    /// The address.
    #[schemars(required)]
    address: Option<ListenAddress>,
    /// The certificate, where Vestibule ends TLS itself.
    tls: Option<Tls>,
}

/// A certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {certificate: PATH, key: PATH}")]
pub(in crate::config) struct Tls {
    /// The PEM file of the certificate chain, leaf first.
    #[schemars(required)]
    pub(in crate::config) certificate: Option<PathBuf>,
    /// The PEM file of the private key.
    #[schemars(required)]
    pub(in crate::config) key: Option<PathBuf>,
    /// `proxy` alone: the PEM file of the authorities whose client certificates are asked for, for
    /// `bearer` rules of `kind: certificates`. Who has none gets in as before; who shows one of
    /// another authority gets no connection.
    #[schemars(extend("examples" = ["/etc/vestibule/programs-ca.crt"]))]
    pub(in crate::config) client_ca: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Listener;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as 0.0.0.0:4180, or a mapping {address, tls: {certificate, key}}")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Listener, E> {
                let address = ListenAddress::parse(text).map_err(E::custom)?;
                Ok(Listener { address: Some(address), tls: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listener, A::Error> {
                let ListenerMapping { address, tls } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Listener { address, tls })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Listener {
    fn schema_name() -> Cow<'static, str> {
        "Listener".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<ListenAddress>();
        let mapping = generator.subschema_for::<ListenerMapping>();
        json_schema!({"anyOf": [address, mapping]})
    }
}
