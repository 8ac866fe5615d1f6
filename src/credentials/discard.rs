//! Keys that were minted and have to be deleted when their session ends.
//!
//! Called by `wallet`, which says which there are, and by `mod`, which runs this as long as the
//! server. Which keys there are lies in the store from before they are used, so that it is known
//! after a restart and on every replica; numbers only, no key. When a session ends its keys are
//! condemned, and a condemned key is deleted as soon as the API lets us: at once, or tried again
//! until it would have ended by itself. Nobody's sign-out waits for it.

use super::albert::{Albert, AlbertError};
use crate::clock::Timestamp;
use crate::secret::SecretString;
use crate::session::SessionId;
use crate::store::{Key, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long one replica has for deleting a key before another one may try.
const TRY: Duration = Duration::from_secs(60);
/// How long a key is remembered for its own deletion, and how many are, at most.
const OWN: Duration = Duration::from_secs(24 * 3600);
const MAX_OWN: u64 = 100_000;
/// For a key that deletes another one.
pub(super) const HELPER: &str = "vestibule-discard";

/// A key in the API's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MintedKey {
    pub(super) account: u64,
    pub(super) key: u64,
}

/// A key that is to be deleted, sooner or later. Written with postcard: the order is the format.
#[derive(Debug, Serialize, Deserialize)]
struct Entry<'a> {
    credential: &'a str,
    account: u64,
    key: u64,
    until: Timestamp,
}

impl Entry<'_> {
    fn minted(&self) -> MintedKey {
        MintedKey { account: self.account, key: self.key }
    }
}

pub(super) struct Discards {
    store: Arc<dyn Store>,
    ended: mpsc::UnboundedSender<SessionId>,
    condemned: AtomicUsize,
    /// Keys that this process knows: some versions of the API let a key be deleted by itself alone.
    own: moka::sync::Cache<MintedKey, SecretString>,
}

/// Whether there is more to be done, later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Something,
}

impl Discards {
    /// What [`Self::ended`] is told of goes to `ended`.
    pub(super) fn new(store: Arc<dyn Store>, ended: mpsc::UnboundedSender<SessionId>) -> Self {
        let own = moka::sync::Cache::builder().max_capacity(MAX_OWN).time_to_live(OWN).build();
        Self { store, ended, condemned: AtomicUsize::new(0), own }
    }

    /// Notes that a key is to be deleted when the session ends.
    pub(super) async fn expect(
        &self,
        session: SessionId,
        credential: &str,
        minted: MintedKey,
        until: Timestamp,
        now: Timestamp,
    ) {
        let entry = Entry { credential, account: minted.account, key: minted.key, until };
        let entry = postcard::to_stdvec(&entry).unwrap_or_default();
        if let Err(error) = self.store.index_add(&minted_key(session), &entry, until, now).await {
            tracing::warn!(credential, session = session.short(), %error, "a key that was minted is not noted: it stays until it ends by itself");
        }
    }

    /// Remembers a key for its own deletion.
    pub(super) fn remember(&self, minted: MintedKey, secret: &SecretString) {
        self.own.insert(minted, secret.clone());
    }

    /// Deletes the keys that a session has of one credential and account but for `kept`, whichever
    /// process minted them. One that cannot be deleted now is condemned, or goes with its session.
    pub(super) async fn supersede(
        &self,
        session: SessionId,
        credential: &str,
        kept: MintedKey,
        secret: &SecretString,
        api: &Albert,
        now: Timestamp,
    ) {
        let index = minted_key(session);
        let members = self.store.index_members(&index, now).await.unwrap_or_else(|error| {
            tracing::warn!(credential, %error, "the keys that another one replaced live until their session ends");
            Vec::new()
        });
        for member in members {
            let Ok(entry) = postcard::from_bytes::<Entry<'_>>(&member) else { continue };
            let is_former = entry.credential == credential && entry.account == kept.account && entry.key != kept.key;
            if !is_former {
                continue;
            }
            // A key of the same account deletes it in every version.
            match api.discard(entry.account, entry.key, Some(secret), HELPER, now).await {
                Ok(()) => self.own.invalidate(&entry.minted()),
                Err(AlbertError::CannotDiscard) => {
                    tracing::warn!(credential, "a key that another one replaced lives until its session ends");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(credential, %error, "a key that another one replaced cannot be deleted yet; it is tried again");
                    if self.store.index_add(&condemned_key(), &member, entry.until, now).await.is_err() {
                        continue;
                    }
                }
            }
            // One that stays is deleted in vain once more.
            let _ = self.store.index_remove(&index, &member, now).await;
        }
    }

    /// The session has ended elsewhere, or before its key was there: what it has is to be deleted.
    pub(super) fn ended(&self, session: SessionId) {
        // Nobody listens while shutting down; the key ends by itself.
        let _ = self.ended.send(session);
    }

    /// Condemns the keys of a session that has ended.
    pub(super) async fn condemn(&self, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
        let minted = minted_key(session);
        for member in self.store.index_members(&minted, now).await? {
            if let Ok(entry) = postcard::from_bytes::<Entry<'_>>(&member) {
                self.store.index_add(&condemned_key(), &member, entry.until, now).await?;
            }
            self.store.index_remove(&minted, &member, now).await?;
        }
        Ok(())
    }

    /// Deletes what is condemned.
    pub(super) async fn work_off(&self, apis: &HashMap<String, Arc<Albert>>, now: Timestamp) -> Left {
        let members = match self.store.index_members(&condemned_key(), now).await {
            Ok(members) => members,
            Err(error) => {
                tracing::debug!(%error, "the store cannot be asked which keys are to be deleted");
                return Left::Something;
            }
        };
        self.condemned.store(members.len(), Ordering::Relaxed);
        let mut left = Left::Nothing;
        for member in members {
            let Ok(entry) = postcard::from_bytes::<Entry<'_>>(&member) else { continue };
            // A credential that left the configuration: its keys end by themselves.
            let Some(api) = apis.get(entry.credential) else { continue };
            let minted = entry.minted();
            let turn = Key::new("discarding", &member);
            if self.store.put_new(&turn, &[], now.plus(TRY), now).await != Ok(true) {
                left = Left::Something;
                continue;
            }
            let own = self.own.get(&minted);
            let deleted = api.discard(minted.account, minted.key, own.as_ref(), HELPER, now).await;
            match deleted {
                Ok(()) => tracing::debug!(credential = entry.credential, "a key was deleted with its session"),
                Err(AlbertError::CannotDiscard) => {
                    tracing::info!(
                        credential = entry.credential,
                        "this version of the API deletes no key that is not at hand: it stays until it ends by itself"
                    );
                }
                Err(error) => {
                    // The others would fare no better; and when it is over, nobody has to wait.
                    let is_for_all = error.is_outage() || matches!(error, AlbertError::AdminRefused);
                    if is_for_all {
                        let _ = self.store.delete(&turn, now).await;
                    }
                    let waiting = self.waiting();
                    tracing::warn!(
                        credential = entry.credential,
                        waiting,
                        %error,
                        "a key of a session that has ended cannot be deleted yet; it is tried again"
                    );
                    left = Left::Something;
                    if is_for_all {
                        return left;
                    }
                    continue;
                }
            }
            self.own.invalidate(&minted);
            let _ = self.store.index_remove(&condemned_key(), &member, now).await;
            let _ = self.condemned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
        }
        left
    }

    /// How many keys wait for being deleted, as far as this process has looked.
    pub(super) fn waiting(&self) -> usize {
        self.condemned.load(Ordering::Relaxed)
    }
}

fn minted_key(session: SessionId) -> Key {
    Key::new("minted", &session.bytes())
}

fn condemned_key() -> Key {
    Key::new("condemned", &[])
}
