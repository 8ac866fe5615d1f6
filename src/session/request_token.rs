//! The token that scripts of our pages repeat in a header (`XSRF-TOKEN`, `X-XSRF-TOKEN`), for browsers
//! that say with neither `Sec-Fetch-Site` nor `Origin` whose page sent a request. Off by default.
//!
//! Called by `gate`. A page of another site can read neither the cookie nor set the header. A host of
//! the same site can plant a cookie, and then repeat what it planted; so the token is sealed with our
//! keys for this one session, and what was planted is none ("signed double submit", OWASP's sheet on
//! CSRF). Must never count against the browser's own word, nor instead of a session.

use super::{OpenedSession, Session, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::Purpose;
use crate::web::cookies::{self, RequestToken};
use http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;

/// A token has 44 characters.
const MAX_LEN: usize = 64;

impl Sessions {
    /// The names of its cookie and header, where it is wanted.
    pub fn request_token(&self) -> Option<&RequestToken> {
        self.cookies.request_token.as_ref()
    }

    /// Whether a request repeats the token of the session that its cookie opened to.
    pub fn repeats_token(&self, request: &HeaderMap, opened: &OpenedSession, now: Timestamp) -> bool {
        let Some(names) = self.request_token() else { return false };
        let mut headers = request.get_all(&names.header).iter();
        let (Some(repeated), None) = (headers.next(), headers.next()) else { return false };
        let Some(held) = cookies::find(request, &names.cookie) else { return false };
        let is_repeated: bool = held.ct_eq(repeated.as_bytes()).into();
        is_repeated && opened.read().is_ok_and(|session| self.is_token(held, session.id(), now))
    }

    /// A `Set-Cookie` value with the token of this session, where the request does not show it.
    pub fn token_cookie(
        &self,
        session: &Session<'_>,
        request: &HeaderMap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Option<HeaderValue> {
        let names = self.request_token()?;
        if cookies::find(request, &names.cookie).is_some_and(|held| self.is_token(held, session.id(), now)) {
            return None;
        }
        // There is nothing to hide: that it opens is what it says.
        let token = self.ring.seal(Purpose::RequestToken, &[], &session.id().bytes(), random).ok()?;
        self.cookies.set(&names.cookie, &token, self.ends_at(session).since(now))
    }

    fn is_token(&self, token: &[u8], id: SessionId, now: Timestamp) -> bool {
        token.len() <= MAX_LEN && self.ring.open(Purpose::RequestToken, token, &id.bytes(), now).is_some()
    }

    /// Removes the cookie that the request shows.
    pub(super) fn clear_token(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let names = self.request_token()?;
        if cookies::is_named(request, &names.cookie) { self.cookies.clear(&names.cookie) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions_with, tokens};
    use http::HeaderName;

    const HEADER: HeaderName = HeaderName::from_static("x-xsrf-token");

    fn with(mut request: HeaderMap, repeated: &str) -> HeaderMap {
        request.insert(HEADER, repeated.parse().unwrap());
        request
    }

    fn token_of(cookie: &HeaderValue) -> String {
        cookie.to_str().unwrap().split(['=', ';']).nth(1).unwrap().to_owned()
    }

    #[test]
    fn a_token_counts_for_its_own_session_where_cookie_and_header_are_one() {
        let settings = cookies::Settings {
            request_token: Some(RequestToken::named("XSRF-TOKEN", HEADER)),
            ..cookies::Settings::default()
        };
        let (sessions, random) = (sessions_with(&[[1; 32]], &settings), SystemRandom::new());
        let begun = || {
            let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
            let request = request_after(&HeaderMap::new(), &begun.cookies);
            let session = begun.opened.read().unwrap();
            let cookie = sessions.token_cookie(&session, &request, START, &random).unwrap();
            (request_after(&request, std::slice::from_ref(&cookie)), token_of(&cookie), begun.opened.clone())
        };
        let (mine, token, opened) = begun();
        let (theirs, other, _) = begun();
        let repeats = |request: &HeaderMap| sessions.repeats_token(request, &opened, START);
        assert!(repeats(&with(mine.clone(), &token)));
        assert!(sessions.token_cookie(&opened.read().unwrap(), &mine, START, &random).is_none(), "it has one");
        assert!(sessions.token_cookie(&opened.read().unwrap(), &theirs, START, &random).is_some());
        let planted = |value: &str| {
            let cookie = HeaderValue::from_str(&format!("XSRF-TOKEN={value}; Path=/")).unwrap();
            with(request_after(&mine, &[cookie]), value)
        };
        assert!(repeats(&planted(&token)));
        let mut twice = with(mine.clone(), &token);
        twice.append(HEADER, token.parse().unwrap());
        let mut two_cookies = with(mine.clone(), &token);
        two_cookies.append(http::header::COOKIE, format!("XSRF-TOKEN={token}").parse().unwrap());
        for (what, request) in [
            ("no header", mine.clone()),
            ("another session's in the header", with(mine.clone(), &other)),
            ("another session's in both", planted(&other)),
            ("planted", planted("AAAA")),
            ("empty", planted("")),
            ("cut", planted(&token[1..])),
            ("the session's cookie", planted(&"A".repeat(4000))),
            ("repeated twice", twice),
            ("two cookies", two_cookies),
        ] {
            assert!(!repeats(&request), "{what}");
        }
    }

    #[test]
    fn without_being_wanted_there_is_none() {
        let (sessions, random) = (sessions_with(&[[1; 32]], &cookies::Settings::default()), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let request = request_after(&HeaderMap::new(), &begun.cookies);
        assert!(sessions.token_cookie(&begun.opened.read().unwrap(), &request, START, &random).is_none());
        assert!(!sessions.repeats_token(&with(request, "x"), &begun.opened, START));
    }
}
