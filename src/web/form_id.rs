//! The name of a form that is kept over a sign-in, as it stands in addresses.
//!
//! Made by `session`, written into pages by `server`, read by `return_to` and by whoever gets it
//! back. It says where the form lies and opens nothing: that takes the browser's own cookie and the
//! person's session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// How many bytes it has.
pub const LEN: usize = 32;

/// Names a form that is kept: 32 bytes, 43 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormId([u8; LEN]);

impl FormId {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// From its characters, in their one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for FormId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_in_no_other_spelling() {
        let id = FormId::from_bytes(std::array::from_fn(|at| u8::try_from(at * 8).unwrap()));
        let text = id.to_string();
        assert_eq!((text.len(), FormId::parse(&text)), (43, Some(id)));
        for other in [
            String::new(),
            format!("{text}="),
            format!("{text}A"),
            text[1..].to_owned(),
            format!("{}B", &text[..42]),
            format!("{}+", &text[..42]),
        ] {
            assert_eq!(FormId::parse(&other), None, "{other}");
        }
    }
}
