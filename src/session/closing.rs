//! Sessions that ended elsewhere than in their browser, which is still signed in at the provider.
//!
//! Called by `server/playground_endpoints`, whose sign-out comes from a server, without the
//! browser's cookie. The browser is sent round by the provider when it next comes.

use super::{SessionId, Sessions};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::Purpose;
use crate::secret::{ExposeSecret, SecretString};
use crate::store::{Key, StoreError};
use http::HeaderMap;

impl Sessions {
    /// Ends a session whose browser is to be signed out at the provider when it next comes.
    /// `id_token` says there who it is.
    ///
    /// # Errors
    /// When the store cannot be had: the session is over here all the same.
    pub async fn end_and_close(
        &self,
        id: SessionId,
        id_token: &SecretString,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        let sealed = self.ring.seal(Purpose::Credentials, id_token.expose_secret().as_bytes(), &place(id), random);
        let sealed = sealed.map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
        let until = now.plus(self.settings.lifetime);
        let noted = self.store.put(&closing_key(id), sealed.as_bytes(), until, now).await;
        self.end(id, now).await?;
        noted
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

fn place(id: SessionId) -> Vec<u8> {
    [b"closing", &id.bytes()[..]].concat()
}

fn closing_key(id: SessionId) -> Key {
    Key::new("closing", &id.bytes())
}
