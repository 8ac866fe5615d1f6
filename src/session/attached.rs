//! What other rooms keep with a session: credentials for upstreams.
//!
//! Called by `credentials`. In the store sealed with the key that only the session's cookie holds,
//! or in a cookie of its own, bound to the session; so it is readable while somebody shows the
//! session, and by nobody who reads the store.

use super::kept::own_ring;
use super::{Session, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::{Opened, Purpose};
use crate::store::{Key, StoreError};
use crate::web::cookies::{self, MAX_VALUE_LEN};
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

impl Sessions {
    /// Puts `plaintext` into the store beside the session, under `name`, until then.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn attach(
        &self,
        session: &Session<'_>,
        name: &str,
        plaintext: &[u8],
        until: Timestamp,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        let place = place(session.id(), name);
        let sealed =
            own_ring(session.key()).and_then(|ring| ring.seal(Purpose::Credentials, plaintext, &place, random).ok());
        let sealed = sealed.ok_or_else(|| StoreError::Unavailable("it could not be sealed".to_owned()))?;
        self.store.put(&attached_key(&place), sealed.as_bytes(), until, now).await
    }

    /// What was put there. What does not open is not of this session: as if it were not there.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn attached(
        &self,
        session: &Session<'_>,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let place = place(session.id(), name);
        let Some(sealed) = self.store.get(&attached_key(&place), now).await? else { return Ok(None) };
        let opened = own_ring(session.key()).and_then(|ring| ring.open(Purpose::Credentials, &sealed, &place, now));
        Ok(opened.map(|opened| Zeroizing::new(opened.plaintext().to_vec())))
    }

    /// Takes away what was put there.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn detach(&self, id: SessionId, name: &str, now: Timestamp) -> Result<(), StoreError> {
        self.store.delete(&attached_key(&place(id, name)), now).await
    }

    /// A `Set-Cookie` value that carries `plaintext` with the session; none where it does not fit.
    pub fn attached_cookie(
        &self,
        session: &Session<'_>,
        plaintext: &[u8],
        now: Timestamp,
        random: &dyn Random,
    ) -> Option<HeaderValue> {
        let name = &self.cookies.credentials;
        let sealed =
            self.ring.seal(Purpose::Credentials, plaintext, &place(session.id(), name.as_str()), random).ok()?;
        let left = self.ends_at(session).since(now);
        if sealed.len() > MAX_VALUE_LEN { None } else { self.cookies.set(name, &sealed, left) }
    }

    /// Whether the request shows such a cookie, of whatever session.
    pub fn shows_attached(&self, request: &HeaderMap) -> bool {
        cookies::find(request, &self.cookies.credentials).is_some()
    }

    /// What such a cookie of the session holds.
    pub fn attached_in(&self, request: &HeaderMap, id: SessionId, now: Timestamp) -> Option<Opened> {
        let name = &self.cookies.credentials;
        let sealed = cookies::find(request, name)?;
        self.ring.open(Purpose::Credentials, sealed, &place(id, name.as_str()), now)
    }

    /// Removes the cookie that the request shows.
    pub(super) fn clear_attached(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.shows_attached(request) { self.cookies.clear(&self.cookies.credentials) } else { None }
    }
}

/// Which session, and what of it.
fn place(id: SessionId, name: &str) -> Vec<u8> {
    [&id.0, name.as_bytes()].concat()
}

fn attached_key(place: &[u8]) -> Key {
    Key::new("attached", place)
}
