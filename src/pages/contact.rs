//! Whom to turn to, as the operator wrote it: an e-mail address, a web address, or words.
//!
//! Made once at load. Becomes a link only where the whole text is plainly one; everything else is
//! shown as text, so that no spelling can make a link of another kind.

use url::Url;

/// Whom to turn to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// `assistance@example.gouv.fr`
    Mail(String),
    /// `https://assistance.example.gouv.fr/`
    Web(String),
    /// `poste 4321`
    Words(String),
}

impl Contact {
    /// Nothing where the text is blank.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        Some(if is_plain_address(text) {
            Self::Mail(text.to_owned())
        } else if let Some(url) = web_address(text) {
            Self::Web(url)
        } else {
            Self::Words(text.to_owned())
        })
    }
}

/// Whether a text is an e-mail address of the everyday kind, whose characters need no encoding in
/// a `mailto:` link. Narrower than RFC 5322 on purpose.
fn is_plain_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let dotted = |part: &str, extra: &str| {
        part.split('.').all(|piece| {
            !piece.is_empty()
                && piece.chars().all(|character| character.is_ascii_alphanumeric() || extra.contains(character))
        })
    };
    dotted(local, "+-_") && dotted(domain, "-") && domain.contains('.')
}

/// A text that is an `https` or `http` address, as it is safe to link.
fn web_address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    plain.then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::Contact::{self, Mail, Web, Words};

    #[test]
    fn only_what_is_plainly_an_address_becomes_a_link() {
        let mail = |text: &str| Some(Mail(text.to_owned()));
        let words = |text: &str| Some(Words(text.to_owned()));
        let cases = [
            ("", None),
            ("   ", None),
            ("aide@example.gouv.fr", mail("aide@example.gouv.fr")),
            (" aide.playground+1@dev-1.example.gouv.fr ", mail("aide.playground+1@dev-1.example.gouv.fr")),
            ("https://aide.example.gouv.fr/x", Some(Web("https://aide.example.gouv.fr/x".to_owned()))),
            ("poste 4321", words("poste 4321")),
            ("a@b@c.fr", words("a@b@c.fr")),
            ("a@b.fr?subject=x", words("a@b.fr?subject=x")),
            ("a@b.fr,c@d.fr", words("a@b.fr,c@d.fr")),
            ("a%0a@b.fr", words("a%0a@b.fr")),
            ("a@localhost", words("a@localhost")),
            ("javascript:alert(1)", words("javascript:alert(1)")),
            ("data:text/html,x", words("data:text/html,x")),
            ("https://user:password@host/", words("https://user:password@host/")),
            ("//host/", words("//host/")),
        ];
        for (text, expected) in cases {
            assert_eq!(Contact::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_web_address_is_linked_in_its_normal_form() {
        assert_eq!(Contact::parse("https://a.fr/\"><b>"), Some(Web("https://a.fr/%22%3E%3Cb%3E".to_owned())));
    }
}
