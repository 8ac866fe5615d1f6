//! Who may enter, as it is written: policies, and the conditions of routes.
//!
//! `resolve/rules` turns them into `gate::rules::Rules`.

use super::{List, OneOrMore, defaults};
use crate::config::scalar::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A condition: all of its keys hold, each by one of its values.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {email_domain: example.gouv.fr}")]
pub(in crate::config) struct Condition {
    /// The domain of the e-mail address: `example.gouv.fr` alone, or `.example.gouv.fr` for it and all
    /// below it.
    #[schemars(extend("examples" = ["example.gouv.fr", [".gouv.fr"]]))]
    pub(in crate::config) email_domain: Option<Values>,
    /// The e-mail address, in upper or lower case.
    #[schemars(extend("examples" = ["helene.moreau@example.gouv.fr", {"file": "/etc/vestibule/people.txt"}]))]
    pub(in crate::config) email: Option<Values>,
    /// The provider that they have signed in with, by its name in `providers`.
    #[schemars(extend("examples" = ["keycloak"]))]
    pub(in crate::config) provider: Option<OneOrMore>,
    /// The person, by their `sub` at the provider. Where there are several, `provider` says at which.
    pub(in crate::config) sub: Option<Values>,
    /// A role, as ProConnect's `roles` says it. Private people have none.
    #[schemars(extend("examples" = [["agent_public_etat", "agent_public_territorial"]]))]
    pub(in crate::config) roles: Option<Values>,
    /// A group: of `groups`, or of `roles` where there is no such claim.
    pub(in crate::config) groups: Option<Values>,
    /// The identity provider behind ProConnect.
    pub(in crate::config) idp_id: Option<Values>,
    /// The establishment. Not reliable for some populations: name something else beside it in `any`.
    #[schemars(extend("examples" = ["13002526500013"]))]
    pub(in crate::config) siret: Option<Values>,
    /// The organisation: the claim `siren`, or the first nine digits of `siret`.
    #[schemars(extend("examples" = ["130025265"]))]
    pub(in crate::config) siren: Option<Values>,
    /// The level of authentication. A level of ProConnect's (`eidas1-mfa`) includes the higher ones.
    #[schemars(extend("examples" = ["eidas1-mfa"]))]
    pub(in crate::config) acr: Option<Values>,
    /// How long ago the person proved who they are, at most (`auth_time`).
    #[schemars(extend("examples" = ["15m"]))]
    pub(in crate::config) max_age: Option<Span>,
    /// A means of authentication.
    #[schemars(extend("examples" = [["otp", "hwk"]]))]
    pub(in crate::config) amr: Option<Values>,
    /// Other claims by name, with dots for what is below: a value or a list of which one has to be
    /// there, or a test.
    #[schemars(extend("x-name" = "CLAIM", "examples" = [{"organizational_unit": "DINUM", "custom.level": {"at_least": 3}}]))]
    pub(in crate::config) claims: Option<BTreeMap<String, Option<ClaimTest>>>,
    /// The client's address is in one of these networks. One that nobody vouches for is in none, and no
    /// `none` or `deny` is a way around.
    #[schemars(extend("examples" = [["10.0.0.0/8", "2001:db8::/32"]]))]
    pub(in crate::config) network: Option<Values>,
    /// It is within these hours and days.
    #[schemars(extend("examples" = [{"days": "mon-fri", "hours": "08:00-19:00"}]))]
    pub(in crate::config) time: Option<Time>,
    /// This expression in CEL is true, for what the other keys cannot say. Where it cannot be computed,
    /// nobody passes, by `deny` neither.
    #[schemars(extend("examples" = ["claims.email.startsWith(claims.uid + '@')", "now < int(claims.valid_until)"]))]
    pub(in crate::config) when: Option<String>,
    /// All of these hold.
    #[schemars(schema_with = "parts")]
    pub(in crate::config) all: Option<List<Asked>>,
    /// One of these holds.
    #[schemars(schema_with = "parts")]
    pub(in crate::config) any: Option<List<Asked>>,
    /// None of these holds.
    #[schemars(schema_with = "parts")]
    pub(in crate::config) none: Option<List<Asked>>,
    /// Who may enter by it, for the page of people who may not: in one language, or as `{fr, en}`.
    #[schemars(extend("examples" = [{"fr": "les agents de la DINUM", "en": "agents of DINUM"}]))]
    pub(in crate::config) who: Option<Who>,
}

/// Hours and days, as the clock in a place shows them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {days: mon-fri, hours: \"08:00-19:00\"}")]
pub(in crate::config) struct Time {
    /// The days: `mon` to `sun`, or from one to another.
    #[schemars(extend("examples" = ["mon-fri", ["mon", "wed"]]))]
    pub(in crate::config) days: Option<OneOrMore>,
    /// From a time to another. Over midnight the night is that of the day on which it begins.
    #[schemars(extend("examples" = ["08:00-19:00", ["22:00-06:00", "12:00-14:00"]]))]
    pub(in crate::config) hours: Option<OneOrMore>,
    /// From this day on, or this moment.
    #[schemars(extend("examples" = ["2026-09-01", "2026-09-01T08:00"]))]
    pub(in crate::config) from: Option<String>,
    /// To the end of this day, or before this moment.
    #[schemars(extend("examples" = ["2027-06-30", "2027-06-30T18:00"]))]
    pub(in crate::config) until: Option<String>,
    /// Where the clock hangs: a zone of the IANA database, with its summer time.
    #[schemars(extend("default" = defaults::ZONE, "examples" = ["Indian/Reunion", "UTC"]))]
    pub(in crate::config) zone: Option<String>,
}

/// Values, or the file that has them.
#[derive(Debug)]
pub(in crate::config) enum Values {
    Here(OneOrMore),
    File(PathBuf),
}

/// What the value of a claim has to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {at_least: 3}")]
pub(in crate::config) struct Tests {
    /// One of these.
    pub(in crate::config) one_of: Option<Values>,
    /// All of these are among its values.
    pub(in crate::config) all_of: Option<OneOrMore>,
    /// None of these is among its values, and the claim is there.
    pub(in crate::config) none_of: Option<Values>,
    /// Begins with one of these.
    pub(in crate::config) prefix: Option<OneOrMore>,
    /// A number, this or more.
    pub(in crate::config) at_least: Option<f64>,
    /// A number, this or less.
    pub(in crate::config) at_most: Option<f64>,
    /// Whether it is there at all.
    pub(in crate::config) present: Option<bool>,
}

/// Values, or a test.
#[derive(Debug)]
pub(in crate::config) enum ClaimTest {
    Values(OneOrMore),
    Tests(Tests),
}

/// A policy by its name, or a condition where it is used.
#[derive(Debug)]
pub(in crate::config) enum Asked {
    Named(String),
    Here(Box<Condition>),
}

/// One condition, or several.
#[derive(Debug)]
pub(in crate::config) enum Conditions {
    One(Asked),
    Several(List<Asked>),
}

/// Words for people.
#[derive(Debug)]
pub(in crate::config) enum Who {
    Either(String),
    Both(InTwoLanguages),
}

/// The same in both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {fr, en}")]
pub(in crate::config) struct InTwoLanguages {
    /// In French.
    #[schemars(required)]
    pub(in crate::config) fr: Option<String>,
    /// In English.
    #[schemars(required)]
    pub(in crate::config) en: Option<String>,
}

/// Reads a text as one thing and a mapping as another.
macro_rules! text_or_mapping {
    ($name:ident, $expecting:literal, $text:expr, $held:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> Visitor<'de> for Either {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        Ok($text(text.to_owned()))
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        Deserialize::deserialize(MapAccessDeserializer::new(map)).map($held)
                    }
                }
                deserializer.deserialize_any(Either)
            }
        }
    };
}

text_or_mapping!(
    Asked,
    "the name of a policy, or a condition such as {email_domain: example.gouv.fr}",
    Asked::Named,
    |condition: Condition| Asked::Here(Box::new(condition))
);
text_or_mapping!(Who, "a text, or a mapping {fr, en}", Who::Either, Who::Both);

impl JsonSchema for Who {
    fn schema_name() -> Cow<'static, str> {
        "Who".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let both = generator.subschema_for::<InTwoLanguages>();
        json_schema!({"anyOf": [{"type": "string"}, both]})
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "a mapping {file: PATH}")]
        struct OfFile {
            file: Option<PathBuf>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Values;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list of them, or {file: PATH} for a file with one on each line")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Values, E> {
                Ok(Values::Here(OneOrMore(vec![text.to_owned()])))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Values, A::Error> {
                let OfFile { file } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                file.map(Values::File).ok_or_else(|| A::Error::custom("names no file; write {file: PATH}"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Values, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(items)).map(Values::Here)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Values {
    fn schema_name() -> Cow<'static, str> {
        "Values".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            {
                "type": "object",
                "properties": {"file": {"type": "string", "description": "The file, with a value on each line."}},
                "required": ["file"],
                "additionalProperties": false,
                "x-type": "`{file: PATH}` with one on each line",
            },
        ]})
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Conditions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "the name of a policy, a condition such as {email_domain: example.gouv.fr}, or a list of them",
                )
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Conditions, E> {
                Ok(Conditions::One(Asked::Named(name.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Conditions, A::Error> {
                let condition = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Conditions::One(Asked::Here(Box::new(condition))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Conditions, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(items)).map(Conditions::Several)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Conditions {
    fn schema_name() -> Cow<'static, str> {
        "Conditions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let condition = generator.subschema_for::<Condition>();
        let list = parts(generator);
        json_schema!({"anyOf": [{"type": "string"}, condition, list], "x-same-as": "policies"})
    }
}

/// A list of policies and of conditions, which are those that stand around it: a schema that names
/// itself is one that few editors follow.
fn parts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}})
}

impl<'de> Deserialize<'de> for ClaimTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ClaimTest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list of values, or a test such as {at_least: 3}")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<ClaimTest, E> {
                Ok(ClaimTest::Values(OneOrMore(vec![value.to_string()])))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<ClaimTest, E> {
                Ok(ClaimTest::Values(OneOrMore(vec![value.to_string()])))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<ClaimTest, E> {
                Ok(ClaimTest::Values(OneOrMore(vec![value.to_string()])))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<ClaimTest, E> {
                Ok(ClaimTest::Values(OneOrMore(vec![value.to_owned()])))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClaimTest, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(ClaimTest::Tests)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<ClaimTest, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(items)).map(ClaimTest::Values)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for ClaimTest {
    fn schema_name() -> Cow<'static, str> {
        "ClaimTest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<OneOrMore>();
        let tests = generator.subschema_for::<Tests>();
        json_schema!({"anyOf": [{"type": ["boolean", "integer"]}, values, tests]})
    }
}
