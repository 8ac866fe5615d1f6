//! Which paths are our own: those below the prefix, and the aliases of endpoints.
//!
//! Called by `server/look` for every request and by `server/explain` for those it explains, so that
//! both mean the same.

use super::path::RequestPath;
use super::return_to::Prefix;

/// Which endpoint of ours answers at a path; none where none of ours does. The empty name is that of
/// a path which is ours, and where there is nothing.
pub fn endpoint_at<'p>(path: &'p RequestPath<'_>, prefix: &Prefix, aliases: &'p [(String, String)]) -> Option<&'p str> {
    if path.any(|reading| prefix.holds(reading)) {
        // Only the plain spelling names an endpoint; any other is ours too, and nothing.
        let name = if path.others().is_empty() { prefix.below(path.literal()) } else { None };
        return Some(name.unwrap_or_default());
    }
    let is_plain = path.others().is_empty();
    aliases.iter().find(|(alias, _)| is_plain && alias == path.literal()).map(|(_, name)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_spelling_alone_names_an_endpoint() {
        let prefix = Prefix::parse("/oauth2").unwrap();
        let aliases = [("/api/login".to_owned(), "start".to_owned())];
        for (path, expected) in [
            ("/oauth2/start", Some("start")),
            ("/oauth2", Some("")),
            ("/OAuth2/start", Some("")),
            ("/oauth2%2Fstart", Some("")),
            ("/oauth2/start;x", Some("")),
            ("/api/login", Some("start")),
            ("/api/login;x", None),
            ("/oauth2x", None),
            ("/", None),
        ] {
            let path = RequestPath::parse(path).unwrap();
            assert_eq!(endpoint_at(&path, &prefix, &aliases), expected, "{path:?}");
        }
    }
}
