//! Header names as the servers behind us read them.
//!
//! Called by whoever asks whether two names are one: `gate` and `credentials` for every header of
//! every request, `config` at load.

use std::borrow::Cow;

/// One name for all spellings: servers behind us make the same variable of `X-User`, `x_user` and
/// `X.User` (RFC 3875 §4.1.18 and what CGI, WSGI and PHP made of it). Most names have that form
/// already and are borrowed.
pub fn fold(name: &str) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.bytes().all(is_folded) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_are_one_and_the_plain_one_is_borrowed() {
        for name in ["x-user", "X-User", "x_user", "X.User", "x!user", "X_USER", "xéuser"] {
            assert_eq!(fold(name), "x-user", "{name}");
            assert_eq!(matches!(fold(name), Cow::Borrowed(_)), name == "x-user", "{name}");
        }
        assert_ne!(fold("xuser"), fold("x-user"));
    }
}
