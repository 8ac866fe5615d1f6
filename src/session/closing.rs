//! Sessions that ended elsewhere than in their browser, which is still signed in at the provider.
//!
//! Called by `server/playground_endpoints`, whose sign-out comes from a server, without the
//! browser's cookie. The browser is sent round by the provider when it next comes. Its page hears of
//! the sign-out from the app over a WebSocket of the session that has just ended: that one alone
//! lives a moment longer, and `server/live` cuts it then.

use super::{SessionId, Sessions};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::Purpose;
use crate::secret::{ExposeSecret, SecretString};
use crate::store::{Key, StoreError};
use http::HeaderMap;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the app may still say on a WebSocket that it has signed out. Every ended session's
/// connections are cut within a second: with what a cut takes, this is.
const LAST_WORD: Duration = Duration::from_millis(600);

/// The sessions whose apps have the last word now.
#[derive(Default)]
pub(super) struct LastWords(Mutex<HashSet<SessionId>>);

impl Sessions {
    /// Ends a session whose app asks for it. With `id_token`, which says there who it is, its
    /// browser is to be signed out at the provider when it next comes.
    ///
    /// # Errors
    /// When the store cannot be had, or nothing can be sealed: the session is over here all the same.
    pub async fn end_by_app(
        self: &Arc<Self>,
        id: SessionId,
        id_token: Option<&SecretString>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        let noted = match id_token {
            Some(id_token) => self.note_closing(id, id_token, now, random).await,
            None => Ok(()),
        };
        self.last_words.set().insert(id);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORD).await;
            this.last_words.set().remove(&id);
            this.endings.send_modify(|count| *count += 1);
        });
        self.end(id, now).await?;
        noted
    }

    /// Whether the app of a session that has ended may still say so on a WebSocket.
    pub fn has_last_word(&self, id: SessionId) -> bool {
        self.last_words.set().contains(&id)
    }

    async fn note_closing(
        &self,
        id: SessionId,
        id_token: &SecretString,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        let sealed = self.ring.seal(Purpose::Credentials, id_token.expose_secret().as_bytes(), &place(id), random);
        let sealed = sealed.map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
        let until = now.plus(self.settings.lifetime);
        self.store.put(&closing_key(id), sealed.as_bytes(), until, now).await
    }

    /// The ID token of the session that the request shows, where that is to be closed at the
    /// provider; said once.
    pub async fn to_be_closed(&self, request: &HeaderMap, now: Timestamp) -> Option<SecretString> {
        let id = self.named(request, now)?;
        let key = closing_key(id);
        let sealed = self.store.get(&key, now).await.ok().flatten()?;
        if !self.store.take(&key, &sealed, now).await.ok()? {
            return None;
        }
        let opened = self.ring.open(Purpose::Credentials, &sealed, &place(id), now)?;
        std::str::from_utf8(opened.plaintext()).ok().map(SecretString::from)
    }
}

impl LastWords {
    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<SessionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(id: SessionId) -> Vec<u8> {
    [b"closing", &id.bytes()[..]].concat()
}

fn closing_key(id: SessionId) -> Key {
    Key::new("closing", &id.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{NoRandomness, SystemRandom};
    use crate::session::fixture::{START, begun, sessions, tokens};

    struct Dry;

    impl Random for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), NoRandomness> {
            Err(NoRandomness)
        }
    }

    #[tokio::test]
    async fn a_session_is_over_also_where_its_token_cannot_be_sealed() {
        let sessions = Arc::new(sessions(&[[1; 32]]));
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        let token = SecretString::from("a.b.c");
        assert!(sessions.end_by_app(begun.id, Some(&token), START, &Dry).await.is_err());
        assert!(sessions.has_ended(begun.id));
    }

    #[tokio::test]
    async fn an_app_has_the_last_word_for_a_moment() {
        let sessions = Arc::new(sessions(&[[1; 32]]));
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        assert!(!sessions.has_last_word(begun.id));
        sessions.end_by_app(begun.id, None, START, &SystemRandom::new()).await.unwrap();
        let mut endings = sessions.endings();
        assert!(sessions.has_ended(begun.id) && sessions.has_last_word(begun.id));
        endings.changed().await.unwrap();
        assert!(!sessions.has_last_word(begun.id), "whoever hears of it cuts");
    }
}
