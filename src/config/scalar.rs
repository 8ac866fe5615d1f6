//! Values that are one text in the YAML and have a rule: lengths of time, secrets, addresses.
//!
//! `written` uses them as the types of its keys. Each refuses by saying what to write; the text of
//! a secret is never repeated, whatever stands in its place.

use crate::server;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The longest Unix socket path that every system takes (`sun_path`, with its final NUL).
const LONGEST_SOCKET_PATH: usize = 107;

/// The longest length of time: what is longer is a typing mistake.
const LONGEST_SPAN: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Reads a scalar with `FromStr`-like functions whose error is the whole message.
macro_rules! text_scalar {
    ($type:ty, $expecting:literal, $parse:path) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$type, E> {
                        $parse(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

pub(super) use text_scalar;

/// A length of time: `500ms`, `90s`, `15m`, `12h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

const SPAN: &str = "a length of time with its unit, such as 500ms, 90s, 15m, 12h or 30d";

text_scalar!(Span, "a length of time with its unit, such as 500ms, 90s, 15m, 12h or 30d", Span::parse);

impl Span {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not {SPAN}");
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (digits, unit) = text.split_at_checked(unit_at).ok_or_else(bad)?;
        let number: u64 = digits.parse().map_err(|_| bad())?;
        let milliseconds: u64 = match unit.trim_start() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let length = number.checked_mul(milliseconds).map(Duration::from_millis);
        match length {
            Some(length) if length <= LONGEST_SPAN => Ok(Self(length)),
            _ => Err(format!("{text:?} is longer than ten years")),
        }
    }
}

/// A length of time as it is written, in the largest unit that divides it.
pub(super) fn written_span(length: Duration) -> String {
    let milliseconds = length.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(unit, _)| milliseconds > 0 && milliseconds.is_multiple_of(*unit));
    // A day or two reads better in hours: 12h, 24h, 48h, then 3d.
    match whole {
        Some((86_400_000, _)) if milliseconds < 3 * 86_400_000 => format!("{}h", milliseconds / 3_600_000),
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$", "x-type": "length of time"})
    }
}

/// Where a secret is: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// `{env: NAME}`
    Env(String),
    /// `{file: PATH}`
    File(PathBuf),
}

/// What to write where a secret goes. Nothing of what stands there may be in it.
const SECRET: &str = "a secret is never written in this file: \
     write {file: /path/to/the/secret} or {env: NAME_OF_A_VARIABLE}";

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Accepts every shape, so that no other code gets to describe, and so repeat, what was written.
struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{file: PATH} or {env: NAME}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let mut found = Vec::new();
        let mut foreign = false;
        // A mistyped `{the-secret-itself}` is a mapping with the secret as a key: keys are not repeated either.
        while let Some((key, value)) = map.next_entry::<serde_yaml::Value, serde_yaml::Value>()? {
            match (key.as_str(), value) {
                (Some("env"), serde_yaml::Value::String(name)) if !name.is_empty() => found.push(Secret::Env(name)),
                (Some("file"), serde_yaml::Value::String(path)) if !path.is_empty() => {
                    found.push(Secret::File(path.into()));
                }
                _ => foreign = true,
            }
        }
        match <[Secret; 1]>::try_from(found) {
            Ok([secret]) if !foreign => Ok(secret),
            _ => Err(A::Error::custom(SECRET)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Secret, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Err(A::Error::custom(SECRET))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Secret, E> {
        Err(E::custom(SECRET))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(SECRET))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(SECRET))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(SECRET))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(SECRET))
    }

    fn visit_unit<E: Error>(self) -> Result<Secret, E> {
        Err(E::custom(SECRET))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let only = |key: &str, description: &str| {
            let mut properties = serde_json::Map::new();
            properties.insert(key.to_owned(), serde_json::json!({"type": "string", "description": description}));
            serde_json::json!({"type": "object", "properties": properties, "required": [key], "additionalProperties": false})
        };
        json_schema!({
            "x-type": "secret: `{file: PATH}` or `{env: NAME}`",
            "oneOf": [
                only("file", "A file whose content is the secret; a final line break is not part of it."),
                only("env", "An environment variable whose value is the secret."),
            ],
        })
    }
}

/// `127.0.0.1:4180`, `[::1]:4180` or `unix:/run/vestibule.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenAddress(pub(super) server::ListenAddress);

text_scalar!(
    ListenAddress,
    "an address such as 0.0.0.0:4180 or unix:/run/vestibule.sock, or a mapping {address, tls: {certificate, key}}",
    ListenAddress::parse
);

impl ListenAddress {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(|path| Self(server::ListenAddress::Unix(path)));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self(server::ListenAddress::Tcp(address)));
        }
        let hint = match text.rsplit_once(':') {
            Some(("" | "*", port)) => format!("; write 0.0.0.0:{port} for every address, or 127.0.0.1:{port}"),
            Some(("localhost", port)) => {
                format!("; write 127.0.0.1:{port}: a listener takes an IP address, not a name")
            }
            None if text.parse::<std::net::IpAddr>().is_ok() => "; the port is missing".to_owned(),
            _ => "; write an IP address and a port, such as 0.0.0.0:4180, or unix:/run/vestibule.sock".to_owned(),
        };
        Err(format!("{text:?} is no address to listen on{hint}"))
    }
}

impl JsonSchema for ListenAddress {
    fn schema_name() -> Cow<'static, str> {
        "ListenAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "x-type": "address: `IP:PORT` or `unix:/PATH`"})
    }
}

/// The address of a listener that ends no TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlainAddress(pub(super) server::ListenAddress);

text_scalar!(
    PlainAddress,
    "an address alone, such as 127.0.0.1:4183 or unix:/run/vestibule.sock (there is no TLS on this listener)",
    PlainAddress::parse
);

impl PlainAddress {
    fn parse(text: &str) -> Result<Self, String> {
        ListenAddress::parse(text).map(|address| Self(address.0))
    }
}

impl JsonSchema for PlainAddress {
    fn schema_name() -> Cow<'static, str> {
        "PlainAddress".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        ListenAddress::json_schema(generator)
    }
}

/// `http://host[:port]`, `https://host[:port]` or `unix:/run/app.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UpstreamUrl(pub(super) server::UpstreamAddress);

text_scalar!(UpstreamUrl, "a URL such as http://127.0.0.1:8501 or unix:/run/app.sock", UpstreamUrl::parse);

impl UpstreamUrl {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(|path| Self(server::UpstreamAddress::Unix(path)));
        }
        let shape = "write http://host:port, https://host:port or unix:/run/app.sock";
        // The URL may hold a password: it is not repeated.
        let url = url::Url::parse(text).map_err(|_| format!("is not a URL; {shape}"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("an upstream does not speak {other:?}; {shape}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an upstream's URL holds no user and no password".to_owned());
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "has a path, query or fragment, but the path always comes from the request; {shape} \
                 and, to take a prefix off, strip_prefix on the route"
            ));
        }
        let host = match url.host() {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(address)) => address.to_string(),
            Some(url::Host::Ipv6(address)) => address.to_string(),
            None => return Err(format!("has no host; {shape}")),
        };
        match url.port_or_known_default() {
            Some(port) if port > 0 => Ok(Self(server::UpstreamAddress::Tcp { host, port, tls })),
            _ => Err(format!("has no port that can be reached; {shape}")),
        }
    }
}

impl JsonSchema for UpstreamUrl {
    fn schema_name() -> Cow<'static, str> {
        "UpstreamUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "x-type": "URL: `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`"})
    }
}

fn socket_path(path: &str) -> Result<PathBuf, String> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("{path:?} is no absolute path of a socket; write unix:/run/name.sock"));
    }
    if path.len() > LONGEST_SOCKET_PATH || path.contains('\0') {
        return Err(format!("the path of a Unix socket has at most {LONGEST_SOCKET_PATH} bytes and no NUL"));
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_need_a_unit_and_come_back_as_written() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("12h", 43_200_000),
            ("48h", 172_800_000),
            ("180d", 15_552_000_000),
            ("0s", 0),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!(span.0, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(written_span(span.0), text);
        }
        for text in ["", "1", "h", "-1h", "1.5h", "1w", "1h30m", "1H", " 1h", "99999999999999999999s", "3651d", "é"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        assert!(Span::parse("18446744073709551615d").is_err(), "no overflow");
    }

    #[test]
    fn upstreams_are_origins() {
        let tcp = |host: &str, port, tls| server::UpstreamAddress::Tcp { host: host.into(), port, tls };
        for (text, expected) in [
            ("http://127.0.0.1:8501", tcp("127.0.0.1", 8501, false)),
            ("http://app", tcp("app", 80, false)),
            ("https://app.internal", tcp("app.internal", 443, true)),
            ("http://[::1]:8000/", tcp("::1", 8000, false)),
            ("unix:/run/app.sock", server::UpstreamAddress::Unix("/run/app.sock".into())),
        ] {
            assert_eq!(UpstreamUrl::parse(text).unwrap().0, expected, "{text}");
        }
        for text in [
            "",
            "127.0.0.1:8501",
            "localhost:8501",
            "ftp://app",
            "http://app/base",
            "http://app?x",
            "http://app#x",
            "http://:80",
            "http://user:hunter2@app",
            "http://app:0",
            "http://app:99999",
            "unix:app.sock",
            "unix:",
            "unix:/",
        ] {
            let message = UpstreamUrl::parse(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn listeners_take_addresses_not_names() {
        assert!(ListenAddress::parse("0.0.0.0:4180").is_ok());
        assert!(ListenAddress::parse("[::]:4180").is_ok());
        assert!(ListenAddress::parse("unix:/run/v.sock").is_ok());
        for (text, hint) in [
            ("localhost:4180", "127.0.0.1:4180"),
            (":4180", "0.0.0.0:4180"),
            ("*:4180", "0.0.0.0:4180"),
            ("127.0.0.1", "port is missing"),
            ("4180", "0.0.0.0:4180"),
            ("unix:v.sock", "unix:/run/name.sock"),
            ("0.0.0.0:70000", "0.0.0.0:4180"),
        ] {
            let message = ListenAddress::parse(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
        assert!(ListenAddress::parse(&format!("unix:/{}", "a".repeat(107))).is_err());
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_not_repeated() {
        for text in [
            "hunter2",
            "'hunter2'",
            "{hunter2}",
            "{hunter2: x}",
            "{value: hunter2}",
            "[hunter2]",
            "{env: [hunter2]}",
            "{env: A, file: hunter2}",
            "{env: A, hunter2: b}",
            "{file: ''}",
            "{}",
            "{123: a}",
            "123",
            "1.5",
            "true",
            "-3",
            "~",
        ] {
            let message = serde_yaml::from_str::<Secret>(text).unwrap_err().to_string();
            assert!(message.contains("{file: ") && message.contains("{env: "), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{text}: {message}");
        }
        assert_eq!(serde_yaml::from_str::<Secret>("{env: A}").unwrap(), Secret::Env("A".into()));
        assert_eq!(serde_yaml::from_str::<Secret>("{file: /a}").unwrap(), Secret::File("/a".into()));
    }
}
