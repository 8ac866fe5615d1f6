//! Headers made of the person's own tokens.

use super::placement::sensitive;
use crate::oidc::Tokens;
use crate::secret::ExposeSecret;
use http::{HeaderName, HeaderValue};

/// A text with tokens in it, such as `Bearer {access_token}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTemplate(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    AccessToken,
    IdToken,
}

/// Why a text is no template of tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTokenTemplate {
    /// Something else in braces.
    #[error("{{{0}}} is no token: write {{access_token}} or {{id_token}}")]
    Unknown(String),
    /// `{` without `}`.
    #[error("a brace is not closed")]
    Open,
    /// Without a token it would be the same for everybody.
    #[error("holds no token: write {{access_token}} or {{id_token}} in it")]
    NoToken,
    /// Not header text.
    #[error("holds a character that no header can have")]
    Character,
}

impl TokenTemplate {
    /// `{access_token}` or `{id_token}` between other text.
    ///
    /// # Errors
    /// [`BadTokenTemplate`], by cause.
    pub fn parse(text: &str) -> Result<Self, BadTokenTemplate> {
        if HeaderValue::from_str(text).is_err() {
            return Err(BadTokenTemplate::Character);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or(BadTokenTemplate::Open)?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(match name {
                "access_token" => Piece::AccessToken,
                "id_token" => Piece::IdToken,
                other => return Err(BadTokenTemplate::Unknown(other.to_owned())),
            });
            rest = behind;
        }
        if pieces.is_empty() {
            return Err(BadTokenTemplate::NoToken);
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    fn render(&self, tokens: &Tokens) -> Option<HeaderValue> {
        let text: String = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::AccessToken => tokens.access_token.expose_secret(),
                Piece::IdToken => tokens.id_token.expose_secret(),
            })
            .collect();
        sensitive(&text)
    }
}

/// The headers for these tokens; none where one of them is no header text.
pub(super) fn headers(
    templates: &[(HeaderName, TokenTemplate)],
    tokens: &Tokens,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    templates.iter().map(|(name, template)| Some((name.clone(), template.render(tokens)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretString;

    #[test]
    fn tokens_stand_where_the_template_has_them() {
        let tokens = Tokens {
            id_token: SecretString::from("the-id-token"),
            access_token: SecretString::from("the-access-token"),
            refresh_token: None,
            access_token_expires_at: None,
        };
        for (template, expected) in [
            ("Bearer {access_token}", "Bearer the-access-token"),
            ("{id_token}", "the-id-token"),
            ("{id_token}.{access_token};", "the-id-token.the-access-token;"),
        ] {
            let value = TokenTemplate::parse(template).unwrap().render(&tokens).unwrap();
            assert_eq!(value, expected);
            assert!(value.is_sensitive());
        }
    }

    #[test]
    fn what_is_no_template_of_tokens_is_refused_with_its_cause() {
        for (text, expected) in [
            ("Bearer", BadTokenTemplate::NoToken),
            ("{refresh_token}", BadTokenTemplate::Unknown("refresh_token".into())),
            ("{id_token", BadTokenTemplate::Open),
            ("{id_token}\n", BadTokenTemplate::Character),
        ] {
            assert_eq!(TokenTemplate::parse(text), Err(expected), "{text:?}");
        }
    }
}
