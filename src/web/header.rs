//! Header names as the servers behind us read them.

/// One name for all spellings: servers behind us make the same variable of `X-User`, `x_user` and
/// `X.User` (RFC 3875 §4.1.18 and what CGI, WSGI and PHP made of it).
pub fn fold(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
