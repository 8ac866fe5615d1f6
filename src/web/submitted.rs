//! A form as a browser has sent it, read so that a page of ours can have it sent once more.
//!
//! Called by `server` for forms that met a session which is over. What is taken is what the page
//! will send again to the letter: text in UTF-8, its lines ended by CR LF, in the order in which it
//! came, repeated names included. So there is one rule for all that is doubtful: what a browser would
//! not have written like this is not kept. Among it are forms in other encodings than UTF-8 (a page
//! of ours is in UTF-8, and could not write them), `text/plain`, names that are empty (a page cannot
//! send those) and NUL (a page cannot hold it). Files are left out: only the person can choose one.
//!
//! Must never show a value: a password is a field like any other.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest body that is looked at, in bytes.
pub const MAX_LEN: usize = 64 * 1024;
/// A form of more fields would be a page of many megabytes.
const MAX_FIELDS: usize = 1000;

/// A form that can be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// How it was encoded, and will be.
    pub encoding: Encoding,
    /// What is in it, in its order.
    pub fields: Vec<Field>,
}

/// How a form is encoded (HTML, `enctype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`
    UrlEncoded,
    /// `multipart/form-data` (RFC 7578)
    Multipart,
}

/// One field.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name. In `multipart/form-data` as it was written, with `%22` for a quotation mark: that is
    /// how it will be written again.
    pub name: String,
    /// What was in it.
    pub content: Content,
}

/// What was in a field.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Text.
    Text(String),
    /// A file of this name, which is not kept; or none, where there is no name.
    File(String),
}

impl Encoding {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::UrlEncoded => "application/x-www-form-urlencoded",
            Self::Multipart => "multipart/form-data",
        }
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Field")
    }
}

/// What a `Content-Type` says of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormType {
    encoding: Encoding,
    boundary: String,
}

impl FormType {
    /// Reads `Content-Type`; none for what is not a form that can be kept.
    pub fn parse(content_type: &str) -> Option<Self> {
        let (media_type, parameter) = content_type.split_once(';').unwrap_or((content_type, ""));
        let (name, value) = parameter.trim().split_once('=').unwrap_or((parameter.trim(), ""));
        let is = |encoding: Encoding| media_type.trim().eq_ignore_ascii_case(encoding.media_type());
        if is(Encoding::UrlEncoded) {
            let plain =
                name.is_empty() || (name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8"));
            return plain.then(|| Self { encoding: Encoding::UrlEncoded, boundary: String::new() });
        }
        // As browsers write it: without quotes, and nothing behind it.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_-./".contains(&byte);
        let is_boundary = name.eq_ignore_ascii_case("boundary") && (1..=70).contains(&value.len());
        (is(Encoding::Multipart) && is_boundary && value.bytes().all(plain))
            .then(|| Self { encoding: Encoding::Multipart, boundary: value.to_owned() })
    }

    /// Reads a body; none for one that a browser would not write so.
    pub fn read(&self, body: &[u8]) -> Option<Submitted> {
        if body.len() > MAX_LEN {
            return None;
        }
        let fields = match self.encoding {
            Encoding::UrlEncoded => urlencoded(body),
            Encoding::Multipart => multipart(body, &self.boundary),
        }?;
        let can_be_sent_again = fields.len() <= MAX_FIELDS && fields.iter().all(Field::can_be_sent_again);
        can_be_sent_again.then_some(Submitted { encoding: self.encoding, fields })
    }
}

impl Field {
    fn can_be_sent_again(&self) -> bool {
        let content = match &self.content {
            // The browser writes the page's encoding into it, which is UTF-8 (HTML, "constructing
            // the entry list").
            Content::Text(text) if self.name.eq_ignore_ascii_case("_charset_") => text == "UTF-8",
            Content::Text(text) => is_plain(text),
            Content::File(name) => is_plain(name),
        };
        !self.name.is_empty() && is_plain(&self.name) && content
    }
}

/// Whether a page can hold a text, and a browser has ended its lines.
fn is_plain(text: &str) -> bool {
    !text.contains('\0') && !text.replace("\r\n", "").contains(['\r', '\n'])
}

fn urlencoded(body: &[u8]) -> Option<Vec<Field>> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    // By this a body that is no UTF-8 shows as well: it was read with replacements.
    let again = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    let field = |(name, value)| Field { name, content: Content::Text(value) };
    (again.as_bytes() == body).then(|| pairs.into_iter().map(field).collect())
}

fn multipart(body: &[u8], boundary: &str) -> Option<Vec<Field>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(delimiter.trim_start().as_bytes())?;
    let mut fields = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            return matches!(end, b"" | b"\r\n").then_some(fields);
        }
        let (head, behind) = split_once(rest.strip_prefix(b"\r\n")?, b"\r\n\r\n")?;
        let at = memchr::memmem::find(behind, delimiter.as_bytes())?;
        fields.push(part(head, behind.get(..at)?)?);
        rest = behind.get(at + delimiter.len()..)?;
    }
}

/// One part, with no other header than browsers write.
fn part(head: &[u8], content: &[u8]) -> Option<Field> {
    let head = std::str::from_utf8(head).ok()?.strip_prefix("Content-Disposition: form-data; name=\"")?;
    let (name, behind) = head.split_once('"')?;
    let content = match behind.strip_prefix("; filename=\"") {
        Some(file) => {
            let (file, behind) = file.split_once('"')?;
            let media_type = behind.strip_prefix("\r\nContent-Type: ")?;
            (!media_type.contains(['\r', '\n'])).then(|| Content::File(file.to_owned()))?
        }
        None if behind.is_empty() => Content::Text(std::str::from_utf8(content).ok()?.to_owned()),
        None => return None,
    };
    // Not an end of a line even in pairs: it would be a header of its own.
    (!name.contains(['\r', '\n'])).then(|| Field { name: name.to_owned(), content })
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(bytes, separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(name: &str, value: &str) -> Field {
        Field { name: name.to_owned(), content: Content::Text(value.to_owned()) }
    }

    fn file(name: &str, file: &str) -> Field {
        Field { name: name.to_owned(), content: Content::File(file.to_owned()) }
    }

    fn read(content_type: &str, body: &[u8]) -> Option<Vec<Field>> {
        Some(FormType::parse(content_type)?.read(body)?.fields)
    }

    const URLENCODED: &str = "application/x-www-form-urlencoded";
    const MULTIPART: &str = "multipart/form-data; boundary=----b0";

    #[test]
    fn a_form_is_read_in_its_order_with_every_name_that_it_repeats() {
        let cases: [(&str, Vec<Field>); 5] = [
            ("", vec![]),
            ("a=1&b=&a=2", vec![text("a", "1"), text("b", ""), text("a", "2")]),
            ("n%C3%A9=%C3%A9t%C3%A9+%26+co", vec![text("né", "été & co")]),
            ("t=a%0D%0Ab", vec![text("t", "a\r\nb")]),
            ("_charset_=UTF-8&%5B%5D=%7E", vec![text("_charset_", "UTF-8"), text("[]", "~")]),
        ];
        for (body, fields) in cases {
            assert_eq!(read(URLENCODED, body.as_bytes()), Some(fields), "{body}");
        }
    }

    #[test]
    fn what_a_page_could_not_send_again_to_the_letter_is_not_kept() {
        for body in [
            // Not as browsers write it.
            "a",
            "a=b c",
            "a=b&",
            "&a=b",
            "a=%c3%a9",
            "a=~",
            "a=é",
            "a=b=c",
            "a=%20",
            // Not UTF-8.
            "a=%E9",
            "a=%C3",
            // Half of an end of a line, NUL, no name, another encoding.
            "a=x%0Ay",
            "a=x%0Dy",
            "a=x%0A%0Dy",
            "a=%00",
            "=x",
            "_charset_=ISO-8859-1",
            "_CHARSET_=",
        ] {
            assert_eq!(read(URLENCODED, body.as_bytes()), None, "{body}");
        }
        assert_eq!(read(URLENCODED, &vec![b'a'; MAX_LEN + 1]), None);
        assert!(read(URLENCODED, format!("a={}", "x".repeat(MAX_LEN - 2)).as_bytes()).is_some());
        assert!(read(URLENCODED, vec!["a=1"; 1000].join("&").as_bytes()).is_some());
        assert_eq!(read(URLENCODED, vec!["a=1"; 1001].join("&").as_bytes()), None);
    }

    #[test]
    fn parts_are_read_and_files_are_named_and_left_out() {
        let body = "------b0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
             ------b0\r\nContent-Disposition: form-data; name=\"q%22 é\"\r\n\r\ntwo\r\n\r\nlines--\r\n\
             ------b0\r\nContent-Disposition: form-data; name=\"f\"; filename=\"été.pdf\"\r\nContent-Type: application/pdf\r\n\r\n\u{0}\r\n--\r\n\
             ------b0\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n\
             ------b0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n------b0--\r\n";
        let fields = vec![
            text("a", "1"),
            text("q%22 é", "two\r\n\r\nlines--"),
            file("f", "été.pdf"),
            file("f", ""),
            text("a", ""),
        ];
        assert_eq!(read(MULTIPART, body.as_bytes()), Some(fields));
        assert_eq!(read(MULTIPART, b"------b0--\r\n"), Some(vec![]));
    }

    #[test]
    fn parts_that_no_browser_writes_are_not_kept() {
        let named = |head: &str, content: &str| format!("------b0\r\n{head}\r\n\r\n{content}\r\n------b0--\r\n");
        let plain = "Content-Disposition: form-data; name=\"a\"";
        assert!(read(MULTIPART, named(plain, "x").as_bytes()).is_some());
        for body in [
            named(&format!("{plain}\r\nContent-Type: text/plain"), "x"),
            named(&format!("{plain}; filename=\"x\""), "x"),
            named(&format!("{plain}; filename*=UTF-8''x"), "x"),
            named(&format!("{plain}; filename=\"x\"\r\nContent-Type: a/b\r\nX: y"), "x"),
            named("Content-Disposition: form-data; name=\"a\\\"b\"", "x"),
            named("Content-Disposition: form-data; name=\"\"", "x"),
            named("Content-Disposition: form-data; name=\"a\r\nb\"", "x"),
            named("Content-Disposition: form-data", "x"),
            named("Content-Disposition: attachment; name=\"a\"", "x"),
            named(plain, "x\ny"),
            named(plain, "x\u{0}"),
            named(plain, "x").replace("b0--", "b0"),
            named(plain, "x").replace("b0--\r\n", "b0--\r\nmore"),
            named(plain, "x").replace("b0\r\n", "b1\r\n"),
            format!("preamble\r\n{}", named(plain, "x")),
            format!("{}x", named(plain, "x")),
            String::new(),
        ] {
            assert_eq!(read(MULTIPART, body.as_bytes()), None, "{body:?}");
        }
        let mut latin = named(plain, "x").into_bytes();
        let at = latin.iter().position(|byte| *byte == b'x').unwrap();
        latin[at] = 0xE9;
        assert_eq!(read(MULTIPART, &latin), None);
    }

    #[test]
    fn a_content_type_is_a_form_s_or_none() {
        for good in [
            URLENCODED,
            "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
            MULTIPART,
            "multipart/form-data; boundary=----WebKitFormBoundaryAbC",
            "multipart/form-data;boundary=---------------------------41184676334",
        ] {
            assert!(FormType::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded; charset=iso-8859-1",
            "application/x-www-form-urlencoded, text/plain",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"x\"",
            "multipart/form-data; boundary=x; charset=utf-8",
            "multipart/form-data; boundary=x y",
            "multipart/mixed; boundary=x",
        ] {
            assert_eq!(FormType::parse(bad), None, "{bad}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert_eq!(FormType::parse(&long), None);
    }

    #[test]
    fn no_value_and_no_name_is_ever_shown() {
        let form = FormType::parse(URLENCODED).unwrap().read(b"user=hm&password=secret").unwrap();
        let shown = format!("{form:?}");
        assert!(!shown.contains("secret") && !shown.contains("password"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_body_ends_in_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200), parts in "(\r\n|--|----b0|Content-Disposition: form-data; name=\"|\"|x|=|&|%|;){0,20}") {
            for content_type in [URLENCODED, MULTIPART] {
                let _ = read(content_type, &body);
                let _ = read(content_type, parts.as_bytes());
                let _ = read(content_type, format!("------b0{parts}").as_bytes());
            }
        }
    }
}
