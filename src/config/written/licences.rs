//! Licences and seats as they are written.
//!
//! `resolve/licences` turns them into `seats::Settings` and `seats::Licence`.

use super::{List, defaults};
use crate::config::scalar::{Span, written_span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// How seats are given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {idle, when_full, managed}")]
pub(in crate::config) struct Seats {
    /// Whoever sends no request, and nothing on a WebSocket, for this long gives up their seat. They get
    /// one again with their next request, if there is one.
    #[schemars(extend("default" = written_span(defaults::SEAT_IDLE)))]
    pub(in crate::config) idle: Option<Span>,
    /// What happens when all seats of a licence are taken that does not say it itself: `refuse`,
    /// `{displace_idlest: 10m}` (whoever has done nothing for the longest time gives up their seat, if it
    /// is as long as that; `2m` or more), or `{overflow: 3}` (so many more are let in, and the metric
    /// `vestibule_seats_overflow` says so).
    #[schemars(extend("default" = "refuse", "examples" = [{"displace_idlest": "10m"}, {"overflow": 3}]))]
    pub(in crate::config) when_full: Option<WhenFull>,
    /// Whether administrators keep licences in the `store` too (`vestibule licences`, the admin API).
    /// Needs a store that lasts: a file or a Redis.
    #[schemars(extend("default" = false))]
    pub(in crate::config) managed: Option<bool>,
}

/// What happens when all seats are taken.
#[derive(Debug)]
pub(in crate::config) enum WhenFull {
    Refuse,
    So(Beyond),
}

/// Where it is not refused.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`refuse`, {displace_idlest: 10m} or {overflow: 3}")]
pub(in crate::config) struct Beyond {
    /// Whoever has done nothing for the longest time gives up their seat, if it is as long as this.
    pub(in crate::config) displace_idlest: Option<Span>,
    /// How many more are let in.
    #[schemars(range(min = 1))]
    pub(in crate::config) overflow: Option<u32>,
}

impl<'de> Deserialize<'de> for WhenFull {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = WhenFull;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`refuse`, {displace_idlest: 10m} or {overflow: 3}")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<WhenFull, E> {
                if text == "refuse" {
                    Ok(WhenFull::Refuse)
                } else {
                    Err(E::custom(format!(
                        "{text:?} is neither `refuse` nor a mapping {{displace_idlest: 10m}} or {{overflow: 3}}"
                    )))
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WhenFull, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(WhenFull::So)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for WhenFull {
    fn schema_name() -> Cow<'static, str> {
        "WhenFull".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "string", "enum": ["refuse"]}, generator.subschema_for::<Beyond>()],
        })
    }
}

/// Whether somebody needs a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RouteSeat {
    /// They do, where there are `licences`.
    #[default]
    Needed,
    /// They do not.
    None,
}

/// A licence.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {id: UUID, seats: 25, covers: {…}}")]
pub(in crate::config) struct Licence {
    /// Its name for programs, a UUID: the app gets it in `X-Vestibule-Licence`. It opens nothing.
    #[schemars(required, extend("examples" = ["2f1e4a52-8a3e-4b7d-9c56-0d2f6a1b3c4e"]))]
    pub(in crate::config) id: Option<String>,
    /// The number by which people call it. It is on the pages and in the metrics.
    #[schemars(extend("examples" = ["CH-2026-017"]))]
    pub(in crate::config) serial: Option<String>,
    /// How many people may be active at once. Any number may be covered.
    #[schemars(required, range(min = 1))]
    pub(in crate::config) seats: Option<u32>,
    /// Whether it counts. `false` suspends it: nobody new gets a seat, and whoever has one keeps it for
    /// `seats.idle` at most.
    #[schemars(extend("default" = true))]
    pub(in crate::config) active: Option<bool>,
    /// From when to when it counts; always, where nothing is said.
    pub(in crate::config) valid: Option<Validity>,
    /// Whose it is: for the pages (whom to ask) and for invoices, never for a decision.
    pub(in crate::config) owner: Option<Owner>,
    /// Who may have a seat: everybody of whom one of these values is said. Where several licences cover
    /// somebody, the first with a free seat is theirs as long as they are active.
    #[schemars(required)]
    pub(in crate::config) covers: Option<Covers>,
    /// What happens when all its seats are taken, if it is something else than `seats.when_full`.
    pub(in crate::config) when_full: Option<WhenFull>,
}

/// From when to when.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {from, to} or {duration}")]
pub(in crate::config) struct Validity {
    /// The first day (in the time of Paris), or a moment.
    #[schemars(extend("examples" = ["2027-01-01", "2027-01-01T08:00:00+01:00"]))]
    pub(in crate::config) from: Option<String>,
    /// The last day, which still counts, or the moment at which it ends.
    #[schemars(extend("examples" = ["2027-12-31"]))]
    pub(in crate::config) to: Option<String>,
    /// How long from its first use, in the place of `to`. Needs a store that lasts.
    #[schemars(extend("examples" = ["365d"]))]
    pub(in crate::config) duration: Option<Span>,
}

/// Whose a licence is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {name, surname, email, affiliation, comments}")]
pub(in crate::config) struct Owner {
    /// Given name.
    pub(in crate::config) name: Option<String>,
    /// Family name.
    pub(in crate::config) surname: Option<String>,
    /// Whom people of the licence are told to ask.
    pub(in crate::config) email: Option<String>,
    /// The institution.
    pub(in crate::config) affiliation: Option<String>,
    /// Whatever else.
    pub(in crate::config) comments: Option<String>,
}

/// Whom a licence covers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {siret: [\"13002526500013\"]}")]
pub(in crate::config) struct Covers {
    /// Whoever signs in.
    #[schemars(extend("default" = false))]
    pub(in crate::config) everyone: Option<bool>,
    /// The domain of their e-mail address; with a dot in front all below it as well.
    #[schemars(extend("examples" = [["example.gouv.fr", ".academie.example.fr"]]))]
    pub(in crate::config) email_domain: Option<List<String>>,
    /// Their e-mail address.
    pub(in crate::config) email: Option<List<String>>,
    /// Their `sub`; with several providers `NAME:SUB`.
    pub(in crate::config) sub: Option<List<String>>,
    /// The SIRET of their institution, in quotes.
    #[schemars(extend("examples" = [["13002526500013"]]))]
    pub(in crate::config) siret: Option<List<String>>,
    /// Its SIREN: the first nine digits of the SIRET.
    pub(in crate::config) siren: Option<List<String>>,
    /// Their identity provider behind ProConnect.
    pub(in crate::config) idp_id: Option<List<String>>,
    /// The name of their institution.
    pub(in crate::config) organization_label: Option<List<String>>,
}
