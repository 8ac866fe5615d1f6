//! Conditional requests: a request that counts for one version of something alone (RFC 9110 §8.8.3
//! and §13).
//!
//! Called by `session` before it changes the app's data and by `server` where it is read, so that of two
//! tabs that change the same thing the later one hears of the earlier. A version is told by what is in
//! it. A condition that cannot be read must never count as met where something would change.

use http::header::{AsHeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use ring::digest;
use std::fmt::Write as _;

/// How much of the digest tells one version from another: as much as of an identifier.
const TAG_LEN: usize = 16;

/// The entity tag of a version: strong, and the same wherever and whenever the content is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// That of this content: the beginning of its SHA-256.
    pub fn of(content: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, content);
        let hex = digest.as_ref().iter().take(TAG_LEN).fold(String::new(), |mut hex, byte| {
            // A String takes whatever it is given.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Self(hex)
    }

    /// As it stands in `ETag`.
    pub fn to_header(&self) -> HeaderValue {
        // Digits and letters in quotes are header text.
        HeaderValue::from_str(&format!("\"{}\"", self.0)).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
    }
}

/// What a request says of the version that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    if_match: Option<Named>,
    if_none_match: Option<Named>,
}

/// Which versions a header names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    /// `*`.
    Any,
    /// Each with whether it is weak.
    These(Vec<(bool, String)>),
    /// Nobody knows.
    Unreadable,
}

impl Preconditions {
    /// Reads `If-Match` and `If-None-Match`. Dates are not looked at: nothing here has one.
    pub fn of(headers: &HeaderMap) -> Self {
        Self { if_match: Named::in_header(headers, IF_MATCH), if_none_match: Named::in_header(headers, IF_NONE_MATCH) }
    }

    /// Whether what is there may be changed, which is this version, or nothing (§13.2.2, steps 1 and 3).
    pub fn allow_change(&self, present: Option<&EntityTag>) -> bool {
        let is_expected = match (&self.if_match, present) {
            (None, _) | (Some(Named::Any), Some(_)) => true,
            (Some(Named::These(all)), Some(present)) => all.iter().any(|(weak, tag)| !weak && *tag == present.0),
            (Some(_), _) => false,
        };
        let is_other = match (&self.if_none_match, present) {
            (Some(Named::Unreadable), _) | (Some(Named::Any), Some(_)) => false,
            (Some(Named::These(all)), Some(present)) => all.iter().all(|(_, tag)| *tag != present.0),
            (None | Some(Named::Any | Named::These(_)), _) => true,
        };
        is_expected && is_other
    }

    /// Whether whoever reads it has this version already (§13.2.2, step 3).
    pub fn has_already(&self, present: &EntityTag) -> bool {
        match &self.if_none_match {
            Some(Named::Any) => true,
            Some(Named::These(all)) => all.iter().any(|(_, tag)| *tag == present.0),
            Some(Named::Unreadable) | None => false,
        }
    }

    /// Whether whoever reads it wants this version (§13.2.2, step 1).
    pub fn wants(&self, present: Option<&EntityTag>) -> bool {
        Self { if_match: self.if_match.clone(), if_none_match: None }.allow_change(present)
    }
}

impl Named {
    fn in_header(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        let mut all = Vec::new();
        for line in lines {
            let Some(line) = line.to_str().ok().map(str::trim) else { return Some(Self::Unreadable) };
            if line == "*" {
                all.push(None);
                continue;
            }
            match tags(line) {
                Some(tags) => all.extend(tags.into_iter().map(Some)),
                None => return Some(Self::Unreadable),
            }
        }
        Some(match all.iter().filter(|tag| tag.is_none()).count() {
            0 => Self::These(all.into_iter().flatten().collect()),
            1 if all.len() == 1 => Self::Any,
            _ => Self::Unreadable,
        })
    }
}

/// A list of entity tags: `"a", W/"b"`. A comma in quotes is of the tag.
fn tags(line: &str) -> Option<Vec<(bool, String)>> {
    let mut tags = Vec::new();
    let mut rest = line;
    loop {
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let (tag, behind) = quoted.strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e)) {
            return None;
        }
        tags.push((weak, tag.to_owned()));
        let behind = behind.trim_start();
        if behind.is_empty() {
            return Some(tags);
        }
        rest = behind.strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::ETAG;

    fn asks(headers: &[(http::HeaderName, &str)]) -> Preconditions {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        Preconditions::of(&map)
    }

    #[test]
    fn a_tag_is_that_of_its_content() {
        let tag = EntityTag::of(b"abc");
        // The first half of the digest that FIPS 180-2 gives as its example.
        assert_eq!(tag.to_header(), "\"ba7816bf8f01cfea414140de5dae2223\"");
        assert_ne!(tag, EntityTag::of(b"abd"));
    }

    #[test]
    fn a_change_counts_for_the_version_that_it_names() {
        let present = EntityTag::of(b"abc");
        let own = present.to_header().to_str().unwrap().to_owned();
        let weak = format!("W/{own}");
        // (headers, allowed where this version is there, allowed where nothing is)
        let cases: [(&[(http::HeaderName, &str)], bool, bool); 22] = [
            (&[], true, true),
            (&[(ETAG, "\"x\"")], true, true),
            (&[(IF_MATCH, &own)], true, false),
            (&[(IF_MATCH, &format!("\"x\" , {own}"))], true, false),
            (&[(IF_MATCH, "\"a,b\",W/\"c\"")], false, false),
            (&[(IF_MATCH, &weak)], false, false),
            (&[(IF_MATCH, "\"x\""), (IF_MATCH, &own)], true, false),
            (&[(IF_MATCH, "*")], true, false),
            (&[(IF_MATCH, "*"), (IF_MATCH, &own)], false, false),
            (&[(IF_MATCH, "")], false, false),
            (&[(IF_MATCH, own.trim_matches('"'))], false, false),
            (&[(IF_MATCH, &format!("{own},"))], false, false),
            (&[(IF_MATCH, &format!("{own} {own}"))], false, false),
            (&[(IF_MATCH, &own[..10])], false, false),
            (&[(IF_NONE_MATCH, "*")], false, true),
            (&[(IF_NONE_MATCH, &own)], false, true),
            (&[(IF_NONE_MATCH, &weak)], false, true),
            (&[(IF_NONE_MATCH, "\"x\"")], true, true),
            (&[(IF_NONE_MATCH, "x")], false, false),
            (&[(IF_NONE_MATCH, "*"), (IF_NONE_MATCH, "*")], false, false),
            (&[(IF_MATCH, &own), (IF_NONE_MATCH, "*")], false, false),
            (&[(IF_MATCH, &own), (IF_NONE_MATCH, "\"x\"")], true, false),
        ];
        for (headers, with_it, with_nothing) in cases {
            let allowed = [asks(headers).allow_change(Some(&present)), asks(headers).allow_change(None)];
            assert_eq!(allowed, [with_it, with_nothing], "{headers:?}");
        }
    }

    #[test]
    fn whoever_has_a_version_is_not_given_it_again() {
        let present = EntityTag::of(b"abc");
        let own = present.to_header().to_str().unwrap().to_owned();
        for (headers, has, wants) in [
            (vec![], false, true),
            (vec![(IF_NONE_MATCH, own.clone())], true, true),
            (vec![(IF_NONE_MATCH, format!("W/{own}"))], true, true),
            (vec![(IF_NONE_MATCH, "*".to_owned())], true, true),
            (vec![(IF_NONE_MATCH, "\"x\"".to_owned())], false, true),
            (vec![(IF_NONE_MATCH, "x".to_owned())], false, true),
            (vec![(IF_MATCH, own.clone())], false, true),
            (vec![(IF_MATCH, "\"x\"".to_owned())], false, false),
        ] {
            let borrowed: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
            let asked = asks(&borrowed);
            assert_eq!((asked.has_already(&present), asked.wants(Some(&present))), (has, wants), "{headers:?}");
        }
    }
}
