//! Which of the received headers speak of the person, and how they read.

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

/// What the demo's configuration sets besides the `x-auth-request` set: header name and template.
pub const EXTRA_HEADERS: [(&str, &str); 8] = [
    ("X-Auth-Request-Given-Name", "{given_name}"),
    ("X-Auth-Request-Usual-Name", "{usual_name}"),
    ("X-Auth-Request-Organization", "{organization_label}"),
    ("X-Auth-Request-Siret", "{siret}"),
    ("X-Auth-Request-Roles", "{roles}"),
    ("X-Auth-Request-Uid", "{uid}"),
    ("X-Auth-Request-Idp", "{idp_id}"),
    ("X-Auth-Request-Phone", "{phone_number}"),
];

/// A header, as received and as it reads.
pub(super) struct Shown {
    pub(super) name: String,
    /// As received; bytes that are not UTF-8 replaced.
    pub(super) value: String,
    /// Percent-decoded, for identity headers.
    pub(super) reads: String,
    pub(super) is_identity: bool,
}

impl Shown {
    /// Whether it reads otherwise than it was received.
    pub(super) fn is_encoded(&self) -> bool {
        self.value != self.reads
    }
}

/// All received headers: those that speak of the person first, each group by name.
pub(super) fn shown(headers: &HeaderMap) -> Vec<Shown> {
    let mut all: Vec<Shown> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let is_identity = is_identity(name);
            let reads = if is_identity { decoded(&value) } else { value.clone() };
            Shown { name: name.to_string(), value, reads, is_identity }
        })
        .collect();
    all.sort_by(|a, b| (!a.is_identity, &a.name).cmp(&(!b.is_identity, &b.name)));
    all
}

/// The person, as the headers name them: by full name where there is one.
pub(super) fn person(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| {
        let value = headers.get(name)?.as_bytes();
        Some(decoded(&String::from_utf8_lossy(value))).filter(|text| !text.is_empty())
    };
    let full_name = match (text("x-auth-request-given-name"), text("x-auth-request-usual-name")) {
        (Some(given), Some(usual)) => Some(format!("{given} {usual}")),
        (given, usual) => given.or(usual),
    };
    let others = ["x-auth-request-preferred-username", "x-auth-request-email", "x-auth-request-user"];
    full_name.or_else(|| others.into_iter().find_map(text))
}

/// Names that identity headers go by, in the sets that the proxy knows.
fn is_identity(name: &HeaderName) -> bool {
    let name = name.as_str();
    let named = ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username"];
    name.starts_with("x-auth-request-") || name.starts_with("remote-") || named.contains(&name)
}

fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}
