//! Sessions as they are written: their keys, their ends, and their renewal.
//!
//! `resolve/session` turns them into `session::Settings` and the key ring.

use super::{List, defaults};
use crate::config::scalar::{Secret, Span, written_span};
use crate::config::until::Until;
use crate::session;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::fmt;

/// Sessions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {keys: […], idle, lifetime}")]
pub(in crate::config) struct Session {
    /// The keys that seal session cookies. The first seals, all of them open: to rotate, put a
    /// new one first and remove the old one after `lifetime`. The same keys on every replica.
    /// Their files are read again every few seconds, so that a rotation needs no restart
    /// (`docs/keys.md`).
    #[schemars(required)]
    pub(in crate::config) keys: Option<List<SessionKey>>,
    /// A session without a request for this long is over.
    #[schemars(extend("default" = written_span(defaults::session().idle)))]
    pub(in crate::config) idle: Option<Span>,
    /// A session is over after this long in any case. ProConnect's own lasts 12 hours.
    #[schemars(extend("default" = written_span(defaults::session().lifetime)))]
    pub(in crate::config) lifetime: Option<Span>,
    /// A session is over this long after the person proved who they are to the provider. The
    /// provider is asked for a proof of at most that age (`max_age`); one that gives an older one
    /// signs nobody in. Without this key only `lifetime` counts.
    pub(in crate::config) sign_in_age: Option<Span>,
    /// Where the tokens are: in a sealed cookie of their own, or in the `store`, sealed with a key
    /// that only the session's cookie holds.
    #[schemars(extend("default" = "cookie"))]
    pub(in crate::config) keep: Option<session::Keep>,
    /// Asking the provider again when the access token ends: its answer renews what is known of
    /// the person, or ends the session. `never`: a session goes on by its own limits alone.
    pub(in crate::config) refresh: Option<Refresh>,
    /// Keeps one small JSON document for the app, of each session or of each person, which its pages
    /// read and write at `/oauth2/session/data` (`docs/session-data.md`). Without this key there is none.
    #[schemars(extend("examples" = [{"of": "session"}]))]
    pub(in crate::config) data: Option<SessionData>,
}

/// What is kept for the app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {of: session} or {of: person, forget_after: 30d}")]
pub(in crate::config) struct SessionData {
    /// Whose the document is: that of a session, with which it ends, or that of a person, in all their
    /// sessions.
    #[schemars(required, extend("examples" = ["session"]))]
    pub(in crate::config) of: Option<DataOf>,
    /// For how long a person's document is kept after their last session, at least; at most one
    /// `session.lifetime` longer.
    #[schemars(extend("default" = written_span(defaults::FORGET_DATA_AFTER)))]
    pub(in crate::config) forget_after: Option<Span>,
}

/// Whose a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum DataOf {
    /// Each session's.
    Session,
    /// Each person's.
    Person,
}

/// How the provider is asked again.
#[derive(Debug)]
pub(in crate::config) enum Refresh {
    Never,
    So(RefreshSettings),
}

/// When the provider is asked again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`never`, or a mapping {margin, outage}")]
pub(in crate::config) struct RefreshSettings {
    /// This long before the access token ends, so that no request waits.
    #[schemars(extend("default" = written_span(session::RefreshSettings::default().margin)))]
    pub(in crate::config) margin: Option<Span>,
    /// For this long past its end sessions go on while the provider cannot be asked.
    #[schemars(extend("default" = written_span(session::RefreshSettings::default().outage)))]
    pub(in crate::config) outage: Option<Span>,
}

impl<'de> Deserialize<'de> for Refresh {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Refresh;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`never`, or a mapping {margin, outage}")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Refresh, E> {
                if text == "never" {
                    Ok(Refresh::Never)
                } else {
                    Err(E::custom(format!("{text:?} is neither `never` nor a mapping {{margin, outage}}")))
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Refresh, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Refresh::So)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Refresh {
    fn schema_name() -> Cow<'static, str> {
        "Refresh".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "string", "enum": ["never"]}, generator.subschema_for::<RefreshSettings>()],
        })
    }
}

/// A session key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {id: NAME, secret: {file: PATH}}")]
pub(in crate::config) struct SessionKey {
    /// Its name in messages and log lines: up to 32 letters, digits, `.`, `_` or `-`. A date does
    /// well, or its place (`current`, `before`) where the file's content is what changes.
    #[schemars(required, pattern(r"^[A-Za-z0-9._-]{1,32}$"), extend("examples" = ["2026-11"]))]
    pub(in crate::config) id: Option<String>,
    /// 32 random bytes in base64url, as `vestibule keys new` prints them.
    #[schemars(required, extend("examples" = [{"file": "/run/secrets/session-key"}]))]
    pub(in crate::config) secret: Option<Secret>,
    /// Until when a former key still opens what it sealed: a date, to the end of its day in UTC,
    /// or a moment. Not for the first key, which seals. Without it a key opens as long as it is
    /// in the list. Leave at least `lifetime` after the rotation, and nobody notices it.
    #[schemars(extend("examples" = ["2027-01-31", "2027-01-31T18:00:00+01:00"]))]
    pub(in crate::config) until: Option<Until>,
}
