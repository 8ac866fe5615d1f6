//! Whom a credential is asked from, and how a new one is obtained there.
//!
//! Called by `mod` where the wallet has none that is good. What is asked runs in the wallet's own
//! tasks, which outlive a request. Must never ask for somebody whose session is over.

use super::albert::{Albert, Known};
use super::discard::MintedKey;
use super::key_book::KeyBook;
use super::wallet::{Asked, Held, Obtained, Obtaining, Slot};
use super::{CredentialError, Credentials, Mint};
use crate::clock::Timestamp;
use crate::oidc::{Providers, Wanted};
use crate::random::{self, Random};
use crate::session::{NoSession, OpenedSession, Session};
use crate::store::{Key, Store};
use http::{HeaderMap, StatusCode};
use ring::digest;
use std::sync::Arc;
use std::time::Duration;

/// How long it is remembered which account of an API is whose: longer than people stay away.
const ACCOUNT_KNOWN_FOR: Duration = Duration::from_secs(400 * 24 * 3600);
/// A key from the key book that does not say how long it is good for is looked up again after this.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(300);
/// One that does is looked up again after this at the latest: by then the provider was asked about
/// the person too, who may have another claim's value now.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(3600);

/// Who gives a credential of the person's when asked.
pub(super) enum Whom {
    Albert { api: Arc<Albert>, mint: Mint, key_name: Option<String> },
    Exchange(Arc<Wanted>),
    KeyBook(Arc<KeyBook>),
}

/// What obtaining takes, in tasks that outlive a request.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) providers: Providers,
    pub(super) random: Arc<dyn Random>,
}

impl Whom {
    /// The API where keys are minted, which have to be deleted there.
    pub(super) fn api(&self) -> Option<Arc<Albert>> {
        match self {
            Self::Albert { api, .. } => Some(Arc::clone(api)),
            Self::Exchange(_) | Self::KeyBook(_) => None,
        }
    }

    pub(super) fn is_asked_at_sign_in(&self) -> bool {
        matches!(self, Self::Albert { mint: Mint::AtSignIn, .. })
    }

    /// Whether an upstream that answers with this may mean the credential. 401 says so (RFC 6750
    /// §3.1), and some versions of Albert API say 403 of a dead key. Of any other app that is about
    /// what the person may do, and nothing to be tried twice.
    pub(super) fn may_be_meant_by(&self, status: StatusCode) -> bool {
        match self {
            Self::Exchange(_) | Self::KeyBook(_) => status == StatusCode::UNAUTHORIZED,
            Self::Albert { .. } => matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        }
    }

    /// Whether another value is to be had in the place of one that an upstream refused. An API is
    /// asked whether it takes the key: if so, another one would be refused as well.
    pub(super) async fn gives_another_for(&self, refused: &Held, slot: &Slot) -> bool {
        let Self::Albert { api, .. } = self else { return true };
        match api.is_alive(refused.secret()).await {
            Ok(is_alive) => !is_alive,
            Err(error) => {
                tracing::warn!(credential = slot.name, %error, "whether a refused key is dead cannot be asked");
                false
            }
        }
    }
}

impl Credentials {
    /// Obtains a new value, in a task of its own; another one than `not`.
    pub(super) fn obtaining(
        &self,
        slot: &Arc<Slot>,
        whom: &Whom,
        opened: &Arc<OpenedSession>,
        request: &HeaderMap,
        not: Option<Arc<Held>>,
        now: Timestamp,
    ) -> Obtaining {
        let asked = Asked { opened: Arc::clone(opened), now };
        let (shared, sessions) = (Arc::clone(&self.shared), Arc::clone(&self.sessions));
        let opened = Arc::clone(opened);
        match whom {
            Whom::Albert { api, key_name, .. } => {
                let (api, key_name, name) = (Arc::clone(api), key_name.clone(), slot.mark.clone());
                self.wallet.obtain(slot, asked, not, async move || {
                    let session = sessions.read(&opened, now).map_err(CredentialError::Over)?;
                    let ends_at = sessions.ends_at(&session);
                    shared.minted(&api, &name, key_name.as_deref(), &session, ends_at, now).await
                })
            }
            Whom::Exchange(wanted) => {
                let (wanted, request) = (Arc::clone(wanted), request.clone());
                self.wallet.obtain(slot, asked, not, async move || {
                    let session = sessions.read(&opened, now).map_err(CredentialError::Over)?;
                    let tokens = sessions.tokens(&request, &session, now).await?.ok_or(CredentialError::NoTokens)?;
                    let provider = shared.providers.of_session(session.provider());
                    let provider = provider.ok_or(CredentialError::Over(NoSession::ProviderGone))?;
                    let exchanged = provider.exchange(&tokens, &wanted, now).await?;
                    Ok(Obtained { secret: exchanged.token, until: exchanged.expires_at, minted: None })
                })
            }
            Whom::KeyBook(book) => {
                let book = Arc::clone(book);
                self.wallet.obtain(slot, asked, not, async move || {
                    let session = sessions.read(&opened, now).map_err(CredentialError::Over)?;
                    let found = book.find(session.claims(), now).await?;
                    let until = found.until.unwrap_or(now.plus(LOOK_UP_AGAIN)).min(now.plus(LONGEST_LOOK_UP));
                    Ok(Obtained { secret: found.secret, until, minted: None })
                })
            }
        }
    }
}

impl Shared {
    /// Finds or makes the person's account, and mints a key for it.
    async fn minted(
        &self,
        api: &Albert,
        credential: &str,
        key_name: Option<&str>,
        session: &Session<'_>,
        ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<Obtained, CredentialError> {
        let known_key = account_key(credential, session);
        // Unknown for want of a store: found by e-mail.
        let known = self.store.get(&known_key, now).await.ok().flatten();
        let known = known.and_then(|known| Known::from_bytes(&known));
        let (account, now_known) = api.account(session.claims(), known, now, &*self.random).await?;
        if known != Some(now_known) {
            let _ = self.store.put(&known_key, &now_known.to_bytes(), now.plus(ACCOUNT_KNOWN_FOR), now).await;
        }
        let name = match key_name {
            Some(name) => name.to_owned(),
            // Two sessions of a person's have two keys, and a renewed one is told from the former.
            None => {
                let tail: [u8; 4] = random::bytes(&*self.random).map_err(|_| CredentialError::Randomness)?;
                format!("vestibule-{}-{:08x}", session.id().short(), u32::from_be_bytes(tail))
            }
        };
        let minted = api.mint(&account, &name, ends_at, now).await?;
        let keys = MintedKey { account: account.id, key: minted.id };
        Ok(Obtained { secret: minted.secret, until: minted.until, minted: Some(keys) })
    }
}

/// Under which it is remembered which account is a person's.
fn account_key(credential: &str, session: &Session<'_>) -> Key {
    let (provider, subject) = (session.provider(), session.subject());
    let text = format!("{} {credential} {} {provider} {subject}", credential.len(), provider.len());
    Key::new("account", digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}
