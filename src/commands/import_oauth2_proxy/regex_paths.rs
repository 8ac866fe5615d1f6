//! From a regular expression to path patterns, where it is really an exact path or a prefix.
//!
//! Called by `routes` for paths that oauth2-proxy lets everybody through to. A pattern may mean
//! fewer requests than the expression does, never others: whatever is not understood is refused, with
//! the reason. What would open everything is refused as well.

/// What an expression stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paths {
    /// The patterns, in our notation.
    pub(super) patterns: Vec<String>,
    /// How these are fewer requests, or a little more, than the expression means; nothing where they
    /// are the same.
    pub(super) remark: Option<&'static str>,
}

/// Why an expression is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No `^/` in front.
    NotAnchored,
    /// It matches every path.
    Everything,
    /// It is more than a path.
    NotAPath,
}

impl Refusal {
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::NotAnchored => {
                "is not tied to the beginning of the path, so that /admin/… matches as well when it holds the same text; \
                 write a public route for what is meant"
            }
            Self::Everything => "opens everything to everybody; if that is meant, write `access: public` yourself",
            Self::NotAPath => {
                "is a regular expression that is more than a path or what is below one: it is judged on another text \
                 than the path that the app serves; write public routes for what is meant"
            }
        }
    }
}

/// Most alternatives that are written out.
const MOST: usize = 32;

/// The patterns that mean what `expression` means.
///
/// # Errors
/// Why there are none.
pub(super) fn paths(expression: &str) -> Result<Paths, Refusal> {
    if matches!(
        expression,
        "" | "^" | "/" | "^/" | ".*" | "^.*" | "^.*$" | ".*$" | "/.*" | "^/.*" | "^/.*$" | "/*" | "^/*" | ".+" | "^.+$"
    ) {
        return Err(Refusal::Everything);
    }
    let rest = expression.strip_prefix('^').ok_or(Refusal::NotAnchored)?;
    let mut reader = Reader { rest, texts: vec![String::new()] };
    let end = reader.read()?;
    let mut paths = Paths { patterns: Vec::new(), remark: end.remark() };
    for text in reader.texts {
        let path = text.strip_suffix('/').filter(|_| end != End::Exact).unwrap_or(&text);
        if !text.starts_with('/') || text.contains("//") || (path.len() < 2 && end != End::Exact) {
            return Err(if path.is_empty() { Refusal::Everything } else { Refusal::NotAPath });
        }
        // Below `/static/` only, and `/static` itself: our pattern is for both.
        if end == End::Below && text.ends_with('/') {
            paths.remark = Some("that path itself as well, without its final slash");
        }
        let pattern = if end == End::Exact { text } else { format!("{path}/**") };
        if !paths.patterns.contains(&pattern) {
            paths.patterns.push(pattern);
        }
    }
    Ok(paths)
}

/// How an expression ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With `$`.
    Exact,
    /// With whatever follows, which begins at a slash.
    Below,
    /// With whatever follows, in the middle of a segment too.
    Anything,
}

impl End {
    fn remark(self) -> Option<&'static str> {
        match self {
            Self::Exact | Self::Below => None,
            Self::Anything => {
                Some("that path and what is below it; the expression meant all that begins with these letters")
            }
        }
    }
}

/// Reads an expression from left to right; `texts` are the alternatives so far.
struct Reader<'a> {
    rest: &'a str,
    texts: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<End, Refusal> {
        loop {
            let at_slash = self.texts.iter().all(|text| text.ends_with('/'));
            match self.rest {
                "$" | "/?$" => return Ok(End::Exact),
                "" | ".*" | ".*$" | "(.*)" | "(.*)$" => return Ok(if at_slash { End::Below } else { End::Anything }),
                // Whatever is below, not the path itself: a little more.
                ".+" | ".+$" if at_slash => return Ok(End::Below),
                "(/.*)?$" | "(?:/.*)?$" | "(/|$)" | "(?:/|$)" | "($|/)" | "(/.*|$)" => return Ok(End::Below),
                "/*" => return Ok(End::Anything),
                _ => {}
            }
            let mut characters = self.rest.chars();
            let first = characters.next().ok_or(Refusal::NotAPath)?;
            let behind = characters.as_str();
            match first {
                '(' => self.group(behind)?,
                '\\' => {
                    let literal = characters.next().filter(char::is_ascii_punctuation).ok_or(Refusal::NotAPath)?;
                    self.literal(literal, characters.as_str())?;
                }
                c if c.is_ascii_alphanumeric() || "/-_~.@:!,=&".contains(c) => self.literal(c, behind)?,
                _ => return Err(Refusal::NotAPath),
            }
        }
    }

    /// One character that stands for itself. A dot stands for any, of which itself is one.
    fn literal(&mut self, c: char, behind: &str) -> Result<(), Refusal> {
        if behind.starts_with(['*', '+', '?', '{']) || !is_of_a_path(c) {
            return Err(Refusal::NotAPath);
        }
        let taken = self.rest.len() - behind.len();
        self.texts.iter_mut().for_each(|text| text.push(c));
        self.rest = self.rest.get(taken..).ok_or(Refusal::NotAPath)?;
        Ok(())
    }

    /// `(a|b)`, of plain texts.
    fn group(&mut self, behind: &str) -> Result<(), Refusal> {
        let inside = behind.strip_prefix("?:").unwrap_or(behind);
        let (inside, after) = inside.split_once(')').ok_or(Refusal::NotAPath)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_~.@:|\\".contains(c);
        if !inside.chars().all(plain) || after.starts_with(['*', '+', '?', '{']) {
            return Err(Refusal::NotAPath);
        }
        let mut alternatives = Vec::new();
        for alternative in inside.split('|') {
            let mut text = String::new();
            let mut characters = alternative.chars();
            while let Some(c) = characters.next() {
                match c {
                    '\\' => text.extend(
                        characters.next().filter(char::is_ascii_punctuation).map(Some).ok_or(Refusal::NotAPath)?,
                    ),
                    c => text.push(c),
                }
            }
            if text.is_empty() || !text.chars().all(is_of_a_path) {
                return Err(Refusal::NotAPath);
            }
            alternatives.push(text);
        }
        if self.texts.len() * alternatives.len() > MOST {
            return Err(Refusal::NotAPath);
        }
        self.texts =
            self.texts.iter().flat_map(|text| alternatives.iter().map(move |more| format!("{text}{more}"))).collect();
        self.rest = self.rest.get(self.rest.len() - after.len()..).ok_or(Refusal::NotAPath)?;
        Ok(())
    }
}

/// Whether our patterns can hold it and apps agree on what it is.
fn is_of_a_path(c: char) -> bool {
    !matches!(c, '%' | '*' | ';' | '?' | '#' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_path_becomes_one() {
        for (expression, patterns) in [
            ("^/health$", vec!["/health"]),
            (r"^/robots\.txt$", vec!["/robots.txt"]),
            ("^/favicon.ico$", vec!["/favicon.ico"]),
            ("^/api/v1/ping/?$", vec!["/api/v1/ping"]),
            ("^/$", vec!["/"]),
            ("^/static/", vec!["/static/**"]),
            ("^/static/.*", vec!["/static/**"]),
            ("^/static/.*$", vec!["/static/**"]),
            ("^/static/.+", vec!["/static/**"]),
            ("^/static(/.*)?$", vec!["/static/**"]),
            ("^/static", vec!["/static/**"]),
            ("^/static.*", vec!["/static/**"]),
            ("^/(css|js)/", vec!["/css/**", "/js/**"]),
            ("^(/ping|/ready)$", vec!["/ping", "/ready"]),
            (r"^\/health\/(live|ready)$", vec!["/health/live", "/health/ready"]),
        ] {
            let found = paths(expression).map(|paths| paths.patterns);
            assert_eq!(found, Ok(patterns.into_iter().map(str::to_owned).collect()), "{expression}");
        }
    }

    #[test]
    fn what_is_more_than_a_path_is_refused() {
        use Refusal::{Everything, NotAPath, NotAnchored};
        for (expression, refusal) in [
            ("", Everything),
            ("/", Everything),
            ("^/", Everything),
            (".*", Everything),
            ("^/.*", Everything),
            ("^(/.*)?$", Everything),
            ("/health", NotAnchored),
            ("health$", NotAnchored),
            (".*/health$", NotAnchored),
            ("(?i)^/health$", NotAnchored),
            ("^health$", NotAPath),
            ("^.*/health$", NotAPath),
            ("^/[a-z]+$", NotAPath),
            ("^/api/v[0-9]/ping$", NotAPath),
            (r"^/\w+$", NotAPath),
            (r"^/x\d", NotAPath),
            ("^/a|b$", NotAPath),
            ("^/a$|^/b$", NotAPath),
            ("^/x.*y$", NotAPath),
            ("^/(a|b)?$", NotAPath),
            ("^/(a|)$", NotAPath),
            ("^/a//b$", NotAPath),
            ("^/ab?c$", NotAPath),
            ("^/a%2fb$", NotAPath),
            ("^/(a", NotAPath),
            ("^/a$b", NotAPath),
            ("^/+", NotAPath),
            (r"^/a\", NotAPath),
            (r"^/a\/?b", NotAPath),
        ] {
            assert_eq!(paths(expression), Err(refusal), "{expression}");
        }
    }
}
