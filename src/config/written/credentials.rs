//! Credentials for upstreams as they are written, and the ways in that Albert API's playgrounds had.
//!
//! `resolve/credentials` turns them into `credentials::Settings`. One mapping for all kinds, so that
//! a key of another kind is refused with its reason.

use super::{ClientCertificate, List, Named, SigningKey, defaults};
use crate::config::scalar::{Secret, Span, written_span};
use crate::credentials::{Mint, albert::Dialect, envelope::Derivation};
use crate::{gate, oidc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A credential for upstreams.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {kind: albert, url: …, admin_key: {env: NAME}}")]
pub(in crate::config) struct Credential {
    /// What it is.
    #[schemars(required)]
    pub(in crate::config) kind: Option<Kind>,

    /// `static`: the secret itself. `keys` with `url`: the bearer that the endpoint asks for.
    #[schemars(extend("examples" = [{"env": "GATEWAY_KEY"}]))]
    pub(in crate::config) secret: Option<Secret>,

    /// `static`, `exchange`, `keys`: the header it goes into. In `Authorization` it stands behind
    /// `Bearer `, in any other header alone.
    #[schemars(extend("default" = "Authorization", "examples" = ["X-Api-Key"]))]
    pub(in crate::config) header: Option<String>,

    /// `token`: which of the person's tokens goes into `Authorization: Bearer`.
    #[schemars(extend("default" = "access_token"))]
    pub(in crate::config) token: Option<oidc::SubjectToken>,

    /// `token`: instead, several headers with `{access_token}` and `{id_token}` in their values.
    #[schemars(extend("x-name" = "HEADER", "examples" = [{"X-Forwarded-Id-Token": "Bearer {id_token}"}]))]
    pub(in crate::config) headers: Option<Named<String>>,

    /// `albert`: the API, as Vestibule reaches it. `keys`: the endpoint that is asked with
    /// `POST {"claim": …, "value": …}` and answers `{"key": …, "expires": …}`, or 404.
    #[schemars(extend("examples" = ["http://127.0.0.1:8000"]))]
    pub(in crate::config) url: Option<String>,

    /// `albert`: the bearer for the admin interface: a key of an account whose role has the
    /// permission `admin`; better not the master key, with which all keys can be forged.
    #[schemars(extend("examples" = [{"env": "ALBERT_ADMIN_KEY"}]))]
    pub(in crate::config) admin_key: Option<Secret>,

    /// `albert`: which admin interface the API has. Found out by default.
    pub(in crate::config) version: Option<Dialect>,

    /// `albert`: the role of accounts that are made for whom no rule names one, by name or id.
    /// Without it whoever matches no rule is refused.
    #[schemars(extend("examples" = ["Freemium", 3]))]
    pub(in crate::config) role: Option<Reference>,

    /// `albert`: likewise their organisation.
    #[schemars(extend("examples" = ["DINUM", 1]))]
    pub(in crate::config) organization: Option<Reference>,

    /// `albert`: role and organisation by verified claims. The first rule that matches counts, for
    /// accounts that are there as well; one whose role has the permission `admin` keeps it.
    #[schemars(extend("examples" = [[
        {"when": {"siret": "13002526500013"}, "role": "Agent", "organization": "DINUM"},
        {"when": {"email_domain": "example.gouv.fr", "roles": "agent_public_etat"}, "role": "Agent"},
        {"when": {"idp_id": "71144ab3-ee1a-4401-b7b3-79b44f7daeeb"}, "refuse": true},
    ]]))]
    pub(in crate::config) rules: Option<List<Rule>>,

    /// `albert`: when a key is minted.
    #[schemars(extend("default" = "at_sign_in"))]
    pub(in crate::config) mint: Option<Mint>,

    /// `albert`: what all keys are called. By default each has a name of its own, with the session's.
    #[schemars(extend("examples" = ["playground"]))]
    pub(in crate::config) key_name: Option<String>,

    /// `albert`: the longest that the API lets a key live (`auth_key_max_expiration_days`). Learnt
    /// from its answers by default.
    #[schemars(extend("examples" = ["30d"]))]
    pub(in crate::config) key_lifetime: Option<Span>,

    /// `exchange`: the service that the token is for, by the name that the provider knows.
    pub(in crate::config) audience: Option<String>,

    /// `exchange`: the service that the token is for, by its address.
    pub(in crate::config) resource: Option<String>,

    /// `exchange`: the scopes of the token, with spaces between them.
    #[schemars(extend("examples" = ["read write"]))]
    pub(in crate::config) scope: Option<String>,

    /// `exchange`: which of the person's tokens is exchanged.
    #[schemars(extend("default" = "access_token"))]
    pub(in crate::config) subject: Option<oidc::SubjectToken>,

    /// `exchange`: the type of token to ask for, where the provider wants it said.
    pub(in crate::config) requested_token_type: Option<oidc::TokenType>,

    /// `exchange`: another token endpoint than the provider's, with our registration there.
    pub(in crate::config) endpoint: Option<ExchangeEndpoint>,

    /// `keys`: the claim that the key is looked up by.
    #[schemars(extend("examples" = ["siret"]))]
    pub(in crate::config) claim: Option<String>,

    /// `keys`: a YAML or JSON file that maps values of the claim to keys. It is read again when it
    /// changes.
    #[schemars(extend("examples" = ["/etc/vestibule/keys.yaml"]))]
    pub(in crate::config) file: Option<PathBuf>,

    /// `keys`: whether capitals in the claim's value count.
    #[schemars(extend("default" = false))]
    pub(in crate::config) fold_case: Option<bool>,

    /// `albert`, `keys`: how long one call may take.
    #[schemars(extend("default" = written_span(defaults::CREDENTIAL_TIMEOUT)))]
    pub(in crate::config) timeout: Option<Span>,
}

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Kind {
    /// One fixed secret, the same for everybody.
    Static,
    /// The person's own tokens, renewed in time.
    Token,
    /// The person's own Albert API key, minted through the API's admin interface.
    Albert,
    /// A token for another service, in the place of the person's (RFC 8693).
    Exchange,
    /// A key per person or per organisation that somebody else keeps.
    Keys,
}

/// Another token endpoint.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {url, client_id, client_secret: {file: PATH}}")]
pub(in crate::config) struct ExchangeEndpoint {
    /// Where the person's token is posted. `https`, or on loopback.
    #[schemars(required)]
    pub(in crate::config) url: Option<String>,
    /// Our `client_id` there.
    #[schemars(required)]
    pub(in crate::config) client_id: Option<String>,
    /// Our `client_secret` there. Must be there where `client_authentication` is by a secret.
    pub(in crate::config) client_secret: Option<Secret>,
    /// How our client proves itself there.
    #[schemars(extend("default" = "client_secret_basic"))]
    pub(in crate::config) client_authentication: Option<oidc::ClientAuthentication>,
    /// The keys of `private_key_jwt`, as those of a provider. What they sign is for `url`.
    pub(in crate::config) client_keys: Option<List<SigningKey>>,
    /// The certificate of `tls_client_auth` and `self_signed_tls_client_auth`.
    pub(in crate::config) client_certificate: Option<ClientCertificate>,
}

/// Who gets what at the API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {when: {roles: agent_public_etat}, role: Agent}")]
pub(in crate::config) struct Rule {
    /// Claims with the value, or the values of which one, they must have; all of them.
    /// `email_domain` is the part of the e-mail address behind the `@`, or a domain above it.
    #[schemars(required)]
    pub(in crate::config) when: Option<BTreeMap<String, Option<OneOrMore>>>,
    /// The role, by name or id; the default one where none is written.
    pub(in crate::config) role: Option<Reference>,
    /// The organisation, by name or id; the default one where none is written.
    pub(in crate::config) organization: Option<Reference>,
    /// Whoever this is about gets no key.
    #[schemars(extend("default" = false))]
    pub(in crate::config) refuse: Option<bool>,
}

/// A role or an organisation, by name or by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Reference {
    Id(u64),
    Name(String),
}

/// One text, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct OneOrMore(pub(in crate::config) Vec<String>);

/// A credential by its name, or written where it is used.
#[derive(Debug)]
pub(in crate::config) enum Chosen {
    Named(String),
    Here(Box<Credential>),
}

/// The encrypted envelope that the playgrounds of 2025 are opened with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping {credentials: NAME, key: {env: NAME}, derivation, ttl}")]
pub(in crate::config) struct Envelope {
    /// The credential of `kind: albert` whose key is in it.
    #[schemars(required, extend("examples" = ["albert"]))]
    pub(in crate::config) credentials: Option<String>,
    /// The key that the playground has as well (`auth_encryption_key`, or `encryption_key`).
    #[schemars(required, extend("examples" = [{"env": "PLAYGROUND_ENCRYPTION_KEY"}]))]
    pub(in crate::config) key: Option<Secret>,
    /// How the playground makes a Fernet key of it: `pbkdf2` from September 2025 on (0.2.1 to
    /// 0.2.8), `raw` in July, `sha256` for the API of August.
    #[schemars(extend("default" = "pbkdf2"))]
    pub(in crate::config) derivation: Option<Derivation>,
    /// How long the playground takes it for.
    #[schemars(extend("default" = written_span(defaults::ENVELOPE_TTL)))]
    pub(in crate::config) ttl: Option<Span>,
}

/// The paths that Albert API itself had for ProConnect, answered by Vestibule.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as {allowed_domains: [playground.example.gouv.fr]}")]
pub(in crate::config) struct AlbertEndpoints {
    /// The hosts, and domains with all hosts below them, that a sign-in may return to.
    #[schemars(required, extend("examples" = [["playground.example.gouv.fr"]]))]
    pub(in crate::config) allowed_domains: Option<List<String>>,
    /// The envelope that a sign-in returns with. By default that of the first route that has one.
    pub(in crate::config) envelope: Option<Envelope>,
}

/// How a client's own `Authorization` is treated.
pub(in crate::config) type ClientAuthorization = gate::route::ClientAuthorization;

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Reference;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or the number that the API has for it")
            }
            fn visit_u64<E: Error>(self, id: u64) -> Result<Reference, E> {
                Ok(Reference::Id(id))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Reference, E> {
                let name = name.trim();
                if name.is_empty() {
                    Err(E::custom("is empty; write a name or a number"))
                } else {
                    Ok(Reference::Name(name.to_owned()))
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]})
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMore;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of them")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMore, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = items.next_element::<String>()? {
                    all.push(text);
                }
                if all.is_empty() {
                    Err(A::Error::custom("is empty; write the values of which one is meant"))
                } else {
                    Ok(OneOrMore(all))
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for OneOrMore {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]})
    }
}

impl<'de> Deserialize<'de> for Chosen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Chosen;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of one of the credentials, or a mapping such as {kind: token}")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Chosen, E> {
                Ok(Chosen::Named(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Chosen, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map))
                    .map(|credential| Chosen::Here(Box::new(credential)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Chosen {
    fn schema_name() -> Cow<'static, str> {
        "Chosen".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let credential = generator.subschema_for::<Credential>();
        json_schema!({"anyOf": [{"type": "string"}, credential], "x-same-as": "credentials"})
    }
}
