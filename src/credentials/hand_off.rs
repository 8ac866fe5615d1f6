//! A person's key in the hands of a playground of 2025, and what it does with it from its server.
//!
//! Called by `server/playground`. The playground gets the key in an envelope, may trade it for
//! another one, and signs out with whichever it has: all of that without the browser's cookie, so
//! what is needed is noted in the store when the key is handed over. Must never give a key for an
//! account that was not handed over a moment ago.

use super::albert::Account;
use super::discard::MintedKey;
use super::wallet::holder_key;
use super::{CredentialError, Credentials, Failed};
use crate::clock::Timestamp;
use crate::secret::{ExposeSecret, SecretString};
use crate::session::{OpenedSession, SessionId};
use crate::store::{Key, StoreError};
use http::{HeaderMap, HeaderValue};
use ring::digest;
use std::sync::Arc;
use std::time::Duration;

/// How long an account that was handed over may be traded for a key: the time that its own
/// envelope counts.
pub const TRADED_WITHIN: Duration = Duration::from_secs(600);
/// How long a key lives that was traded, at the longest.
const TRADED_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// What it is called. The playground of August 2025 deletes older ones of this name.
const TRADED_NAME: &str = "playground";

/// What is handed over.
pub struct HandOff {
    /// The key.
    pub secret: SecretString,
    /// The API's number for it.
    pub key: u64,
    /// `Set-Cookie` values for the browser.
    pub cookies: Vec<HeaderValue>,
}

/// A key for another one.
pub struct Traded {
    /// The key.
    pub secret: SecretString,
    /// The API's number for it.
    pub key: u64,
}

/// Why a key was not traded.
#[derive(Debug, thiserror::Error)]
pub enum NotTraded {
    /// Nobody's session was handed over to this account a moment ago.
    #[error("no session was handed over to this account a moment ago")]
    NotHandedOver,
    /// No key could be minted.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl From<StoreError> for NotTraded {
    fn from(error: StoreError) -> Self {
        Self::Credential(error.into())
    }
}

impl Credentials {
    /// The key of the session for an envelope: one that lives, which takes asking the API, for the
    /// playground may have deleted it.
    ///
    /// # Errors
    /// [`CredentialError`], by cause.
    pub async fn hand_off(
        &self,
        index: usize,
        opened: &Arc<OpenedSession>,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Result<HandOff, Failed> {
        let id = self.sessions.read(opened, now).map_err(CredentialError::Over)?.id();
        let mut provided = self.provide(index, Some((id, opened)), request, now).await?;
        if let Some(held) = &provided.held
            && let Some(another) = self.replace(index, opened, request, Arc::clone(held), now).await
        {
            provided = another;
        }
        let held = provided.held.ok_or(CredentialError::NoTokens)?;
        let minted = held.minted.ok_or(CredentialError::NoTokens)?;
        // Ended while the API was asked.
        self.sessions.read(opened, now).map_err(CredentialError::Over)?;
        let handed_to = handed_to(self.name(index), minted.account);
        let until = now.plus(TRADED_WITHIN);
        if let Err(error) = self.shared.store.put(&handed_to, &id.bytes(), until, now).await {
            tracing::warn!(%error, "a key is handed over that can be neither traded nor signed out with");
        }
        Ok(HandOff { secret: held.secret().clone(), key: minted.key, cookies: provided.cookies })
    }

    /// Whether this is a key of the session: the one at hand, or one that the store says another
    /// process handed over for it.
    pub async fn is_of(&self, index: usize, opened: &OpenedSession, key: &SecretString, now: Timestamp) -> bool {
        let Ok(session) = self.sessions.read(opened, now) else { return false };
        let Some((slot, _)) = self.asked_at(index) else { return false };
        let held = self.wallet.at_hand(session.id(), slot, now);
        if held.is_some_and(|held| held.secret().expose_secret() == key.expose_secret()) {
            return true;
        }
        self.holder(key, now).await.is_ok_and(|holder| holder == Some(session.id()))
    }

    /// A new key for an account that was handed over a moment ago, once; those that the session has
    /// there so far, the one in the envelope among them, are deleted.
    ///
    /// # Errors
    /// [`NotTraded`], by cause.
    pub async fn trade(&self, index: usize, account: u64, now: Timestamp) -> Result<Traded, NotTraded> {
        let store = &self.shared.store;
        let (slot, whom) = self.asked_at(index).ok_or(NotTraded::NotHandedOver)?;
        let api = whom.api().ok_or(NotTraded::NotHandedOver)?;
        let handed_to = handed_to(&slot.name, account);
        let id = store.get(&handed_to, now).await?.ok_or(NotTraded::NotHandedOver)?;
        if !store.take(&handed_to, &id, now).await? {
            return Err(NotTraded::NotHandedOver);
        }
        let id = SessionId::from_bytes(&id).ok_or(NotTraded::NotHandedOver)?;
        let listed = self.sessions.listed_one(id, now).await?.ok_or(NotTraded::NotHandedOver)?;
        let until = now.plus(TRADED_LIFETIME).min(listed.ends_at);
        let minted =
            api.mint(&Account { id: account }, TRADED_NAME, until, now).await.map_err(CredentialError::from)?;
        let new = MintedKey { account, key: minted.id };
        self.discards.expect(id, &slot.mark, new, minted.until, now).await;
        self.discards.remember(new, &minted.secret);
        // Ended while it was minted, when nobody could know of it.
        if self.sessions.listed_one(id, now).await?.is_none() {
            self.discards.ended(id);
            return Err(NotTraded::NotHandedOver);
        }
        store.put(&holder_key(&minted.secret), &id.bytes(), minted.until, now).await?;
        // What was in the envelope is worth nothing from now on, wherever its address was kept.
        self.wallet.forget(id, std::slice::from_ref(slot), now).await;
        self.discards.supersede(id, &slot.mark, new, &minted.secret, &api, now).await;
        Ok(Traded { secret: minted.secret, key: minted.id })
    }
}

/// Under which the session is found that an account was handed over for.
fn handed_to(credential: &str, account: u64) -> Key {
    let text = format!("{account} {credential}");
    Key::new("handed-to", digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}
