//! Header values made of claims: `{given_name} {usual_name}`, `{preferred_username|email}`.
//!
//! Parsed once by `config`; rendered by `gate/headers` from verified claims only. A value can
//! never carry a line break or a control character, and one member of a list can never pass for
//! two.

use crate::claims::{ClaimValue, ClaimsView};
use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// How values that are not plain ASCII are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// UTF-8, percent-encoded where it is not printable ASCII; `%` itself becomes `%25`.
    #[default]
    Percent,
    /// RFC 8187: `UTF-8''H%C3%A9l%C3%A8ne` where the value is not printable ASCII, else as it is.
    Rfc8187,
}

/// `non-alphanumeric` minus what RFC 8187 §3.2.1 calls `attr-char`.
const RFC_8187: &AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');
const PERCENT: &AsciiSet = &CONTROLS.add(b'%');
/// Inside a list the comma is what separates members.
const LIST_MEMBER: &AsciiSet = &CONTROLS.add(b'%').add(b',');

/// A header value with claims in braces.
///
/// `{a|b}` is the first of the claims that is there; `{{` and `}}` are braces. A template whose
/// claims are all absent gives no header at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    FirstOf(Vec<String>),
    /// Who somebody is: `sub`, and in front of it whose, where that has to be said.
    User,
    /// Who vouches.
    Provider,
}

/// Of whom a template speaks.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// What was verified of them.
    pub claims: &'a ClaimsView<'a>,
    /// Who vouches, by its name here: the provider, or the rule that verified a bearer token.
    pub provider: &'a str,
    /// Whether several may vouch, each for a person of the same subject.
    pub of_several: bool,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// `{` without `}` or the other way round.
    #[error("a brace stands alone: write {{{{ or }}}} for a brace itself")]
    LoneBrace,
    /// `{}` or a name with other characters than letters, digits, `_`, `-` and `:`.
    #[error("{0:?} is not a claim's name")]
    ClaimName(String),
    /// Text that is not printable ASCII.
    #[error("text outside of braces must be printable ASCII")]
    Text,
    /// No claim at all: a fixed value says nothing of the person.
    #[error("names no claim: write one in braces, such as {{email}}")]
    NoClaim,
}

impl Template {
    /// Who somebody is: `{sub}`, or `{provider}:{sub}` where people of several providers come.
    pub fn user() -> Self {
        Self(vec![Part::User])
    }

    /// Who vouches, by its name here.
    pub fn provider() -> Self {
        Self(vec![Part::Provider])
    }

    /// Whether it tells people apart who have the same subject at two providers.
    pub fn names_provider(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::User | Part::Provider))
    }

    /// Whether it is made of the subject.
    pub fn names_subject(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::FirstOf(names) if names.iter().any(|name| name == "sub")))
    }

    /// Parses a template.
    ///
    /// # Errors
    /// [`BadTemplate`], by cause.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(BadTemplate::Text);
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                plain.extend(brace.chars().next());
                rest = after;
                continue;
            }
            let (names, after) =
                brace.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or(BadTemplate::LoneBrace)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(match names {
                "provider" => Part::Provider,
                names => Part::FirstOf(names.split('|').map(claim_name).collect::<Result<_, _>>()?),
            });
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let template = Self(parts);
        if template.claims().next().is_none() && !template.names_provider() {
            Err(BadTemplate::NoClaim)
        } else {
            Ok(template)
        }
    }

    /// The claims it names.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|part| match part {
                Part::Text(_) | Part::Provider | Part::User => &[][..],
                Part::FirstOf(names) => names,
            })
            .map(String::as_str)
    }

    /// The header value for somebody; none where no claim of the template is there.
    pub fn render(&self, described: &Described<'_>, encoding: Encoding) -> Option<HeaderValue> {
        let claims = described.claims;
        // Nearly every template is one claim in plain ASCII: no intermediate text for those.
        let alone = match self.0.as_slice() {
            [Part::FirstOf(names)] => first_of(names, claims),
            [Part::User] if !described.of_several => claims.get("sub"),
            _ => None,
        };
        if let Some(ClaimValue::Text(text)) = alone
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%')
        {
            return HeaderValue::from_str(text.trim()).ok().filter(|value| !value.is_empty());
        }
        let mut value = String::new();
        let mut any = false;
        for part in &self.0 {
            match part {
                Part::Text(text) => write_text(text, encoding, &mut value),
                Part::Provider => {
                    any |= !described.provider.is_empty();
                    write_text(described.provider, encoding, &mut value);
                }
                Part::User => {
                    let Some(subject) = claims.text("sub") else { continue };
                    any = true;
                    if described.of_several {
                        // No name has a colon in it.
                        write_text(described.provider, encoding, &mut value);
                        value.push(':');
                    }
                    write_text(subject, encoding, &mut value);
                }
                Part::FirstOf(names) => {
                    let found = first_of(names, claims);
                    any |= found.is_some();
                    if let Some(claim) = found {
                        write_claim(claim, encoding, &mut value);
                    }
                }
            }
        }
        let value = value.trim();
        if !any || value.is_empty() {
            return None;
        }
        let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        match encoding {
            Encoding::Rfc8187 if !printable => {
                HeaderValue::try_from(format!("UTF-8''{}", utf8_percent_encode(value, RFC_8187))).ok()
            }
            Encoding::Percent | Encoding::Rfc8187 => HeaderValue::from_str(value).ok(),
        }
    }
}

fn claim_name(name: &str) -> Result<String, BadTemplate> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    if !name.is_empty() && name.chars().all(plain) {
        Ok(name.to_owned())
    } else {
        Err(BadTemplate::ClaimName(name.to_owned()))
    }
}

fn first_of<'c, 'a>(names: &[String], claims: &'c ClaimsView<'a>) -> Option<&'c ClaimValue<'a>> {
    names.iter().filter_map(|name| claims.get(name)).find(|value| match value {
        ClaimValue::Text(text) | ClaimValue::Json(text) => !text.is_empty(),
        ClaimValue::List(items) => !items.is_empty(),
    })
}

fn write_claim(claim: &ClaimValue<'_>, encoding: Encoding, out: &mut String) {
    match claim {
        ClaimValue::Text(text) | ClaimValue::Json(text) => write_text(text, encoding, out),
        ClaimValue::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                match encoding {
                    _ if item.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b',')) => {
                        out.push_str(item);
                    }
                    Encoding::Percent => out.extend(utf8_percent_encode(item, LIST_MEMBER)),
                    // Members are escaped within the text that RFC 8187 then encodes as a whole.
                    Encoding::Rfc8187 => out.push_str(&item.replace('%', "%25").replace(',', "%2C")),
                }
            }
        }
    }
}

fn write_text(text: &str, encoding: Encoding, out: &mut String) {
    match encoding {
        Encoding::Percent => out.extend(utf8_percent_encode(text, PERCENT)),
        Encoding::Rfc8187 => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use proptest::prelude::*;

    fn render(template: &str, claims: &serde_json::Value, encoding: Encoding) -> Option<String> {
        let claims = Claims::from_json(claims.as_object().unwrap());
        let described = Described { claims: &claims.view(), provider: "op", of_several: false };
        let value = Template::parse(template).unwrap().render(&described, encoding)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn claims_become_values_in_both_encodings() {
        let claims = serde_json::json!({
            "sub": "a1", "email": "h@example.gouv.fr", "given_name": "Hélène", "usual_name": "Noël", "empty": "",
            "roles": ["agent_public", "a,b", "50%"], "none": [], "custom": {"a": 1}, "age": 42, "yes": true,
            "lines": "a\r\nX-Evil: 1", "percent": "50%", "spaces": "  x  ",
        });
        let cases = [
            ("{sub}", Some("a1"), Some("a1")),
            ("{email}", Some("h@example.gouv.fr"), Some("h@example.gouv.fr")),
            (
                "{given_name} {usual_name}",
                Some("H%C3%A9l%C3%A8ne No%C3%ABl"),
                Some("UTF-8''H%C3%A9l%C3%A8ne%20No%C3%ABl"),
            ),
            ("{absent}", None, None),
            ("{empty}", None, None),
            ("{none}", None, None),
            ("{absent|empty|sub}", Some("a1"), Some("a1")),
            ("{absent} {sub}", Some("a1"), Some("a1")),
            ("agent {absent}", None, None),
            ("{roles}", Some("agent_public,a%2Cb,50%25"), Some("agent_public,a%2Cb,50%25")),
            ("{age}/{yes}", Some("42/true"), Some("42/true")),
            ("{custom}", Some(r#"{"a":1}"#), Some(r#"{"a":1}"#)),
            ("{lines}", Some("a%0D%0AX-Evil: 1"), Some("UTF-8''a%0D%0AX-Evil%3A%201")),
            ("{percent}", Some("50%25"), Some("50%")),
            ("{spaces}", Some("x"), Some("x")),
            ("{{{sub}}}", Some("{a1}"), Some("{a1}")),
            ("{provider}", Some("op"), Some("op")),
            ("{provider}/{sub}", Some("op/a1"), Some("op/a1")),
        ];
        for (template, percent, rfc8187) in cases {
            assert_eq!(render(template, &claims, Encoding::Percent).as_deref(), percent, "{template}");
            assert_eq!(render(template, &claims, Encoding::Rfc8187).as_deref(), rfc8187, "{template}");
        }
    }

    #[test]
    fn nobody_of_one_provider_is_called_as_somebody_of_another() {
        let user = |provider: &str, sub: &str, of_several: bool| {
            let claims = Claims::from_json(serde_json::json!({"sub": sub}).as_object().unwrap());
            let described = Described { claims: &claims.view(), provider, of_several };
            Template::user().render(&described, Encoding::Percent).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(user("one", "s", false).as_deref(), Some("s"));
        assert_eq!(user("one", "s", true).as_deref(), Some("one:s"));
        assert_eq!(user("two", "s", true).as_deref(), Some("two:s"));
        // What comes before the first colon is the provider, whatever a subject looks like.
        assert_eq!(user("two", "one:s", true).as_deref(), Some("two:one:s"));
        assert_eq!(user("one", "é%", true).as_deref(), Some("one:%C3%A9%25"));
        assert_eq!(user("one", "", true), None);
    }

    #[test]
    fn bad_templates_are_refused_with_their_cause() {
        let name = |name: &str| BadTemplate::ClaimName(name.to_owned());
        let cases = [
            ("", BadTemplate::NoClaim),
            ("fixed", BadTemplate::NoClaim),
            ("{email", BadTemplate::LoneBrace),
            ("email}", BadTemplate::LoneBrace),
            ("{}", name("")),
            ("{a|}", name("")),
            ("{a b}", name("a b")),
            ("{a.b}", name("a.b")),
            ("é {email}", BadTemplate::Text),
            ("{email}\n", BadTemplate::Text),
        ];
        for (template, cause) in cases {
            assert_eq!(Template::parse(template), Err(cause), "{template:?}");
        }
    }

    proptest! {
        #[test]
        fn no_claim_breaks_out_of_its_value(text: String, items: Vec<String>) {
            let claims = serde_json::json!({ "text": text, "items": items });
            for encoding in [Encoding::Percent, Encoding::Rfc8187] {
                for template in ["{text}", "{items}", "a {text} b {items}"] {
                    if let Some(value) = render(template, &claims, encoding) {
                        prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
                    }
                }
                let members = render("{items}", &claims, encoding).filter(|value| !value.starts_with("UTF-8''"));
                if let Some(value) = members {
                    prop_assert!(value.split(',').count() <= items.len());
                }
            }
        }
    }
}
