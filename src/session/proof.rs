//! The proof of a session: what an app shows when it asks back whose session it is.
//!
//! Some apps pass the browser's `Cookie` on to an API, which asks `/oauth2/auth` with it
//! (OpenGateLLM does). Our cookies never reach an app, so on a route that says so it gets this one
//! instead: the session under a purpose of its own. It opens at `/oauth2/auth` and nowhere else, so
//! that whoever finds it in the app's log can ask a name with it and can be nobody
//! (`docs/decisions/0006-proof-of-session.md`). Made by `server/proxy`, opened by `gate` for
//! `/oauth2/auth`. Must never count where a browser's cookie does, nor bring one about.

use super::{NoSession, OpenedSession, Sessions};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::Purpose;
use crate::web::cookies::{self, MAX_VALUE_LEN};
use http::HeaderMap;
use zeroize::Zeroizing;

impl Sessions {
    /// The proof of a session, as it stands in a `Cookie` header: `name=value`. None where it cannot
    /// be made; then there is nothing to show.
    pub fn proof(&self, opened: &OpenedSession, now: Timestamp, random: &dyn Random) -> Option<String> {
        let session = opened.read().ok()?.seen(now);
        let plaintext = Zeroizing::new(postcard::to_stdvec(&session).ok()?);
        let name = self.cookies.proof.as_str();
        let sealed = self.ring.seal(Purpose::Proof, &plaintext, name.as_bytes(), random).ok()?;
        (sealed.len() <= MAX_VALUE_LEN).then(|| format!("{name}={sealed}"))
    }

    /// Opens what a request to `/oauth2/auth` shows: an access token, the browser's own cookie or,
    /// where there is neither, a proof.
    ///
    /// # Errors
    /// [`NoSession::Absent`] or [`NoSession::Unreadable`].
    pub fn open_shown(&self, request: &HeaderMap, now: Timestamp) -> Result<OpenedSession, NoSession> {
        if !self.is_by_proof(request) {
            return self.open(request, now);
        }
        let name = &self.cookies.proof;
        let sealed = cookies::find(request, name).filter(|sealed| sealed.len() <= MAX_VALUE_LEN);
        let opened = sealed.and_then(|sealed| self.ring.open(Purpose::Proof, sealed, name.as_str().as_bytes(), now));
        opened.map(OpenedSession::of).ok_or(NoSession::Unreadable)
    }

    /// Whether a request shows a proof, and neither an access token nor a browser's cookie. Its answer must set none, and the
    /// provider cannot be asked with it where the tokens are in the browser's cookies.
    pub fn is_by_proof(&self, request: &HeaderMap) -> bool {
        !self.shows_token(request)
            && cookies::find(request, &self.cookies.session).is_none()
            && cookies::find(request, &self.cookies.proof).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens};
    use http::header::COOKIE;

    fn shows(pairs: &[&str]) -> HeaderMap {
        pairs.iter().map(|pair| (COOKIE, pair.parse().unwrap())).collect()
    }

    #[test]
    fn a_proof_says_whose_session_it_is_and_opens_nowhere_else() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let browser = request_after(&HeaderMap::new(), &begun.cookies);
        let proof = sessions.proof(&begun.opened, START, &random).unwrap();
        let request = shows(&[&proof]);
        assert!(sessions.is_by_proof(&request) && !sessions.is_by_proof(&browser));
        let opened = sessions.open_shown(&request, START).unwrap();
        assert_eq!(sessions.read(&opened, START).unwrap().id(), begun.id);
        assert_eq!(sessions.open(&request, START).unwrap_err(), NoSession::Absent);
        // Nor under another cookie's name, nor another cookie's content under its name.
        let (name, value) = proof.split_once('=').unwrap();
        let session = name.strip_suffix("-proof").unwrap();
        let renamed = shows(&[&format!("{session}={value}")]);
        assert_eq!(sessions.open(&renamed, START).unwrap_err(), NoSession::Unreadable);
        let cookie = cookies::find(&browser, &sessions.cookies.session).unwrap();
        let copied = shows(&[&format!("{name}={}", std::str::from_utf8(cookie).unwrap())]);
        assert_eq!(sessions.open_shown(&copied, START).unwrap_err(), NoSession::Unreadable);
    }

    #[test]
    fn two_proofs_are_none_and_a_browsers_cookie_goes_first() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let proof = sessions.proof(&begun.opened, START, &random).unwrap();
        assert_eq!(sessions.open_shown(&shows(&[&proof, &proof]), START).unwrap_err(), NoSession::Absent);
        let spoilt = format!("{}=x; {proof}", sessions.cookies.session.as_str());
        assert_eq!(sessions.open_shown(&shows(&[&spoilt]), START).unwrap_err(), NoSession::Unreadable);
    }
}
