//! What the provider says has ended: sessions by its own session (`sid`), or by person (`sub`).
//!
//! Called by `login` for back-channel logout, with what was verified, and for front-channel logout,
//! with what anybody can write into an address. Must never end a session that began after the
//! provider spoke, however late or often its word arrives.

use super::kept::digest_of;
use super::{OpenedSession, Sessions};
use crate::clock::Timestamp;
use crate::oidc::LogoutToken;
use crate::store::{Key, StoreError};
use http::HeaderMap;

/// Why a verified logout token ended nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEnded {
    /// A token of this `jti` was obeyed before.
    #[error("a token of this jti was received before")]
    Replayed,
    /// It is not known whether it was obeyed before, or the other replicas were not told.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sessions {
    /// Ends what a logout token names: where it has a `sid`, the sessions that began within that
    /// session at the provider, on whatever device; else all of the person's
    /// (OpenID Connect Back-Channel Logout 1.0 §2.7). Only those count that can have begun before
    /// the token was issued.
    ///
    /// A token counts once, and counts as used only when all is done: after [`NotEnded::Store`] the
    /// provider may send the same one again. What it names is over here all the same, for few
    /// providers do.
    ///
    /// # Errors
    /// [`NotEnded`], by cause.
    pub async fn obey(&self, provider: &str, token: &LogoutToken, now: Timestamp) -> Result<(), NotEnded> {
        let used = Key::new("logout-token", &digest_of(provider, token.jti()));
        let was_used = self.store.get(&used, now).await.map(|used| used.is_some());
        if was_used == Ok(true) {
            return Err(NotEnded::Replayed);
        }
        // Clocks differ: what began a little later by ours may be meant. What begins after this
        // moment is not.
        let begun_until = token.begun_until().min(now);
        match (token.sid(), token.sub()) {
            (Some(sid), _) => self.end_provider_session(provider, sid, begun_until, now).await?,
            (None, Some(sub)) => self.end_person(provider, sub, begun_until, now).await?,
            // Verification lets no such token pass.
            (None, None) => {}
        }
        was_used?;
        // Of two that arrive at the same time both have ended the same sessions.
        self.store.put_new(&used, &[], token.replay_until(), now).await?;
        Ok(())
    }

    /// The session whose cookie the request shows, where it began within this session at the
    /// provider; over or not.
    pub fn shown_of(&self, request: &HeaderMap, provider: &str, sid: &str, now: Timestamp) -> Option<OpenedSession> {
        let opened = self.open(request, now).ok()?;
        let session = opened.read().ok()?;
        let is_of_it = session.provider() == provider && session.provider_session() == Some(sid);
        is_of_it.then_some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::Identity;
    use crate::random::SystemRandom;
    use crate::session::fixture::{self, START, now_or_never, request_after, tokens};
    use crate::session::{NoSession, Place};
    use crate::store::Store;
    use crate::store::fixture::Shaky;
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    fn scene() -> (Sessions, Arc<Shaky>) {
        let store = Arc::new(Shaky::default());
        let mut sessions = fixture::sessions(&[[1; 32]]);
        sessions.store = Arc::clone(&store) as Arc<dyn Store>;
        (sessions, store)
    }

    /// A session that this person began at this many seconds after the start: what their browser
    /// sends.
    fn begun(sessions: &Sessions, sub: &str, sid: &str, after: u64) -> HeaderMap {
        let claims = json!({"sub": sub, "sid": sid});
        let identity = Identity::for_tests("op", claims.as_object().unwrap());
        let (place, random) = (Place::default(), SystemRandom::new());
        let (tokens, none) = (tokens(10), HeaderMap::new());
        let begun = now_or_never(sessions.begin(&identity, &tokens, &none, &place, at(after), &random)).unwrap();
        request_after(&none, &begun.cookies)
    }

    fn at(after: u64) -> Timestamp {
        START.plus(Duration::from_secs(after))
    }

    fn lives(sessions: &Sessions, request: &HeaderMap, after: u64) -> bool {
        let opened = sessions.open(request, at(after)).unwrap();
        match sessions.read(&opened, at(after)) {
            Ok(_) => true,
            Err(NoSession::Ended) => false,
            Err(other) => panic!("{other}"),
        }
    }

    fn obey(
        sessions: &Sessions,
        sub: Option<&str>,
        sid: Option<&str>,
        (jti, issued): (&str, u64),
        after: u64,
    ) -> Result<(), NotEnded> {
        let token = LogoutToken::for_tests(sub, sid, jti, at(issued));
        now_or_never(sessions.obey("op", &token, at(after)))
    }

    #[test]
    fn a_token_ends_what_it_names_and_nothing_else() {
        // sub, sid, and which of the four sessions below live afterwards.
        let cases = [
            (Some("a"), None, [false, false, true, true]),
            (None, Some("1"), [false, true, true, true]),
            (Some("a"), Some("1"), [false, true, true, true]),
            (Some("nobody"), None, [true; 4]),
            (None, Some("none"), [true; 4]),
            // A name is one at its provider, and of its kind.
            (Some("1"), Some("a"), [true; 4]),
        ];
        for (sub, sid, expected) in cases {
            let (sessions, _) = scene();
            let people = [("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")];
            let requests = people.map(|(sub, sid)| begun(&sessions, sub, sid, 0));
            obey(&sessions, sub, sid, ("j", 5), 5).unwrap();
            assert_eq!(requests.map(|request| lives(&sessions, &request, 5)), expected, "{sub:?} {sid:?}");
        }
        let (sessions, _) = scene();
        let request = begun(&sessions, "a", "1", 0);
        let token = LogoutToken::for_tests(Some("a"), None, "j", START);
        now_or_never(sessions.obey("another provider", &token, START)).unwrap();
        assert!(lives(&sessions, &request, 0));
    }

    #[test]
    fn a_session_that_began_since_is_not_meant() {
        for (sub, sid) in [(Some("a"), None), (None, Some("1"))] {
            let (sessions, _) = scene();
            // Our clock may be ahead of the provider's, by the leeway and no further.
            let [before, close, since] = [0, 160, 161].map(|after| begun(&sessions, "a", "1", after));
            obey(&sessions, sub, sid, ("late", 100), 300).unwrap();
            assert!(!lives(&sessions, &before, 300) && !lives(&sessions, &close, 300));
            assert!(lives(&sessions, &since, 300), "begun after the token was issued");
            // Nor is what begins after a token that came at once, or from a clock ahead of ours.
            for (jti, issued) in [("prompt", 400), ("ahead", 459)] {
                obey(&sessions, sub, sid, (jti, issued), 400).unwrap();
                assert!(!lives(&sessions, &since, 400));
                assert!(lives(&sessions, &begun(&sessions, "a", "1", 401), 401), "{jti}");
            }
        }
    }

    #[test]
    fn a_token_counts_once() {
        let (sessions, store) = scene();
        obey(&sessions, Some("a"), None, ("j", 0), 0).unwrap();
        let since = begun(&sessions, "a", "1", 1);
        let said = store.announced.load(Ordering::Relaxed);
        for after in [1, 30, 300] {
            assert_eq!(obey(&sessions, Some("a"), None, ("j", 0), after), Err(NotEnded::Replayed), "{after}");
        }
        assert_eq!(store.announced.load(Ordering::Relaxed), said);
        assert!(lives(&sessions, &since, 300));
        // Unique at its provider only.
        let token = LogoutToken::for_tests(Some("a"), None, "j", START);
        assert_eq!(now_or_never(sessions.obey("another provider", &token, START)), Ok(()));
    }

    #[test]
    fn without_the_store_it_is_obeyed_here_and_may_come_again() {
        let (sessions, store) = scene();
        let request = begun(&sessions, "a", "1", 0);
        store.away.store(true, Ordering::Relaxed);
        let away = NotEnded::Store(StoreError::Unavailable("away".to_owned()));
        assert_eq!(obey(&sessions, None, Some("1"), ("j", 1), 1), Err(away.clone()));
        assert!(!lives(&sessions, &request, 1));
        assert_eq!(obey(&sessions, None, Some("1"), ("j", 1), 1), Err(away));
        store.away.store(false, Ordering::Relaxed);
        assert_eq!(obey(&sessions, None, Some("1"), ("j", 1), 1), Ok(()));
        assert_eq!(obey(&sessions, None, Some("1"), ("j", 1), 1), Err(NotEnded::Replayed));
    }

    #[test]
    fn what_everybody_knows_is_not_announced_again() {
        let (sessions, store) = scene();
        for _ in 0..10 {
            now_or_never(sessions.end_provider_session("op", "1", START, START)).unwrap();
        }
        assert_eq!(store.announced.load(Ordering::Relaxed), 1);
        now_or_never(sessions.end_provider_session("op", "1", at(1), at(1))).unwrap();
        assert_eq!(store.announced.load(Ordering::Relaxed), 2, "later sessions are meant as well");
    }

    #[test]
    fn a_cookie_shows_the_provider_s_session_that_it_is_of() {
        let (sessions, _) = scene();
        let request = begun(&sessions, "a", "1", 0);
        let shown = |provider, sid| sessions.shown_of(&request, provider, sid, START).is_some();
        assert!(shown("op", "1"));
        assert!(!shown("op", "2") && !shown("another", "1") && !shown("op", ""));
        assert!(sessions.shown_of(&HeaderMap::new(), "op", "1", START).is_none());
    }
}
