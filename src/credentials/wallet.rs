//! What was obtained for a session: found again, or obtained once.
//!
//! Called by `mod` for every kind of credential that takes asking somebody. A value is looked for
//! where it is cheapest:
//!
//! ```text
//! memory → cookie → (turn in this process) → store → (lock among replicas) → obtain
//! ```
//!
//! and then put into all of them: into the store sealed with the session's own key, into the cookie
//! where sessions keep their tokens in cookies and the value is one that has to be given back. The
//! obtaining runs in a task of its own: a browser that goes away must not leave a key behind that
//! nobody knows of. Must never hand a value of one session to another.

use super::discard::{Discards, MintedKey};
use super::placement::Placement;
use super::{CredentialError, Failed};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::secret::{ExposeSecret, SecretString};
use crate::session::{Keep, NoSession, OpenedSession, Session, SessionId, Sessions};
use crate::store::{Key, Lock, Store, StoreError};
use http::{HeaderMap, HeaderValue};
use ring::digest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// How long a request waits for another one that obtains the same.
const WAIT: Duration = Duration::from_secs(20);
/// Between two looks at whether another replica has finished.
const LOOK: Duration = Duration::from_millis(50);
/// After which a lock is free again whose owner is gone: longer than the questions take that
/// obtaining a key may need.
const LOCK: Duration = Duration::from_secs(60);
/// After one that failed: until the next try for the same session.
const BACK_OFF: Duration = Duration::from_secs(5);
/// Values in memory, at most. One takes about half a kilobyte.
const MAX_HELD: u64 = 100_000;
/// How long one that is not asked for stays in memory; the store or the cookie has it after that.
const IDLE: Duration = Duration::from_secs(3600);
/// A value that ends sooner than this is not good for a request any more.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a value that is known to live is not suspected again, whatever an upstream refuses.
const TRUSTED: Duration = Duration::from_secs(10);
/// How long the word that a session has ended may be under way from another replica.
const WORD_UNDER_WAY: Duration = Duration::from_secs(2);

/// What was obtained.
pub(super) struct Obtained {
    pub(super) secret: SecretString,
    /// From then on it is worth nothing.
    pub(super) until: Timestamp,
    /// What is to be given back when the session ends.
    pub(super) minted: Option<MintedKey>,
}

/// A value of one session.
pub struct Held {
    secret: SecretString,
    value: HeaderValue,
    obtained_at: Timestamp,
    until: Timestamp,
    /// Whether its session goes on after that, and needs the next one.
    is_outlived: bool,
    pub(super) minted: Option<MintedKey>,
    /// When it was known to live, in Unix seconds.
    alive_at: AtomicU64,
    /// Whether the browser's cookie has it.
    was_shown: AtomicBool,
}

/// A value that is being obtained.
pub(super) struct Obtaining(tokio::task::JoinHandle<Result<Arc<Held>, Failed>>);

impl Obtaining {
    pub(super) async fn done(self) -> Result<Arc<Held>, Failed> {
        self.0.await.unwrap_or_else(|_| Err(CredentialError::Busy.into()))
    }
}

impl Held {
    /// The header's value.
    pub(super) fn value(&self) -> HeaderValue {
        self.value.clone()
    }

    pub(super) fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Whether it is so long ago that it was known to live that it may have died meanwhile.
    pub(super) fn may_be_dead(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_unix(self.alive_at.load(Ordering::Relaxed))) >= TRUSTED
    }

    pub(super) fn is_alive_at(&self, now: Timestamp) {
        self.alive_at.store(now.as_unix(), Ordering::Relaxed);
    }

    fn is_good(&self, now: Timestamp) -> bool {
        now.plus(MARGIN) < self.until
    }

    /// Whether what was read from the store is not the `former` value once more.
    fn is_another_than(&self, former: &Self) -> bool {
        self.secret.expose_secret() != former.secret.expose_secret() || former.obtained_at < self.obtained_at
    }
}

/// One kind of value: a credential of the configuration.
pub(super) struct Slot {
    pub(super) index: usize,
    pub(super) name: String,
    /// Whom its values are for: the name, and what it stands for in this configuration.
    pub(super) mark: String,
    pub(super) placement: Placement,
}

/// As it is written, in the store and in the cookie.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    credential: &'a str,
    secret: &'a str,
    obtained_at: Timestamp,
    until: Timestamp,
    minted: Option<(u64, u64)>,
}

type Place = (SessionId, usize);

pub(super) struct Wallet {
    sessions: Arc<Sessions>,
    store: Arc<dyn Store>,
    random: Arc<dyn Random>,
    discards: Arc<Discards>,
    memory: moka::sync::Cache<Place, Arc<Held>>,
    turns: moka::sync::Cache<Place, Arc<Mutex<()>>>,
    failures: moka::sync::Cache<Place, Failed>,
}

/// For whom, and when.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) opened: Arc<OpenedSession>,
    pub(super) now: Timestamp,
}

impl Wallet {
    pub(super) fn new(
        sessions: Arc<Sessions>,
        store: Arc<dyn Store>,
        random: Arc<dyn Random>,
        discards: Arc<Discards>,
    ) -> Self {
        Self {
            sessions,
            store,
            random,
            discards,
            memory: moka::sync::Cache::builder().max_capacity(MAX_HELD).time_to_idle(IDLE).build(),
            turns: moka::sync::Cache::builder().max_capacity(MAX_HELD).time_to_idle(LOCK).build(),
            failures: moka::sync::Cache::builder().max_capacity(MAX_HELD).time_to_live(BACK_OFF).build(),
        }
    }

    /// The value in memory.
    pub(super) fn at_hand(&self, id: SessionId, slot: &Slot, now: Timestamp) -> Option<Arc<Held>> {
        self.memory.get(&(id, slot.index)).filter(|held| held.is_good(now))
    }

    /// Whether it is time to obtain the next one, and nobody does yet. What ends with its session
    /// needs no next one.
    pub(super) fn is_due(&self, held: &Held, id: SessionId, slot: &Slot, now: Timestamp) -> bool {
        let place = (id, slot.index);
        held.is_outlived
            && now.plus(held.until.since(held.obtained_at) / 20) >= held.until
            && !self.failures.contains_key(&place)
            && self.turns.get(&place).is_none_or(|turn| turn.try_lock().is_ok())
    }

    /// Whether the request shows the value in its cookie, or need not.
    pub(super) fn is_shown(&self, held: &Held, id: SessionId, request: &HeaderMap, now: Timestamp) -> bool {
        if self.sessions.settings().keep == Keep::Store || held.was_shown.load(Ordering::Relaxed) {
            return true;
        }
        let Some(opened) = self.sessions.attached_in(request, id, now) else { return false };
        let written: Vec<Written<'_>> = postcard::from_bytes(opened.plaintext()).unwrap_or_default();
        let shown = written.iter().any(|written| written.secret == held.secret.expose_secret());
        // Once is enough: a browser that lost it later has lost its session as well.
        held.was_shown.store(shown, Ordering::Relaxed);
        shown
    }

    /// The value from the cookie that the request shows: of before a restart, or from another
    /// replica.
    pub(super) async fn in_cookie(
        &self,
        slots: &[Arc<Slot>],
        session: &Session<'_>,
        request: &HeaderMap,
        now: Timestamp,
    ) {
        let Some(opened) = self.sessions.attached_in(request, session.id(), now) else { return };
        let written: Vec<Written<'_>> = postcard::from_bytes(opened.plaintext()).unwrap_or_default();
        let session_ends = self.sessions.ends_at(session);
        for written in written {
            let Some(slot) = slots.iter().find(|slot| slot.mark == written.credential) else { continue };
            let Some(held) = written.held(slot, session_ends).filter(|held| held.is_good(now)) else { continue };
            if self.at_hand(session.id(), slot, now).is_none() {
                if let Some(minted) = held.minted {
                    self.discards.expect(session.id(), &slot.mark, minted, held.until, now).await;
                }
                self.memory.insert((session.id(), slot.index), Arc::new(held));
            }
        }
    }

    /// The value from the store, where nothing is at hand: before its session ends.
    pub(super) async fn in_store(&self, slot: &Slot, session: &Session<'_>, now: Timestamp) {
        let place = (session.id(), slot.index);
        if !self.memory.contains_key(&place)
            && let Ok(Some(held)) = self.stored(slot, session, now).await
        {
            self.memory.insert(place, Arc::new(held));
        }
    }

    /// A `Set-Cookie` value with what has to be given back, where sessions keep their tokens in
    /// cookies.
    pub(super) fn cookie(&self, slots: &[Arc<Slot>], session: &Session<'_>, now: Timestamp) -> Option<HeaderValue> {
        if self.sessions.settings().keep == Keep::Store {
            return None;
        }
        let held: Vec<_> = slots
            .iter()
            .filter_map(|slot| Some((slot, self.at_hand(session.id(), slot, now)?)))
            .filter(|(_, held)| held.minted.is_some())
            .collect();
        let written: Vec<Written<'_>> = held.iter().map(|(slot, held)| Written::of(slot, held)).collect();
        let plaintext = Zeroizing::new(postcard::to_stdvec(&written).ok()?);
        self.sessions.attached_cookie(session, &plaintext, now, &*self.random)
    }

    /// The value, from the store or obtained; another one than `not`, which is dead or about to be.
    /// Begins at once, and goes on if nobody waits for it.
    pub(super) fn obtain<O, F>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        asked: Asked,
        not: Option<Arc<Held>>,
        obtain: O,
    ) -> Obtaining
    where
        O: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Obtained, CredentialError>> + Send + 'static,
    {
        let (this, slot) = (Arc::clone(self), Arc::clone(slot));
        Obtaining(tokio::spawn(async move { this.obtain_once(&slot, &asked, not, obtain).await }))
    }

    async fn obtain_once<O, F>(
        self: &Arc<Self>,
        slot: &Slot,
        asked: &Asked,
        not: Option<Arc<Held>>,
        obtain: O,
    ) -> Result<Arc<Held>, Failed>
    where
        O: FnOnce() -> F + Send,
        F: Future<Output = Result<Obtained, CredentialError>> + Send,
    {
        let now = asked.now;
        let session = self.sessions.read(&asked.opened, now).map_err(CredentialError::Over)?;
        let place = (session.id(), slot.index);
        let turn = self.turns.get_with(place, Arc::default);
        let _turn = tokio::time::timeout(WAIT, turn.lock_owned()).await.map_err(|_| CredentialError::Busy)?;
        // Obtained while this one waited: good, even where it came out the same.
        let held = self.at_hand(place.0, slot, now);
        if let Some(held) = held.filter(|held| not.as_ref().is_none_or(|not| !Arc::ptr_eq(not, held))) {
            return Ok(held);
        }
        if let Some(failed) = self.failures.get(&place) {
            return Err(failed);
        }
        let lock_key = Key::new("obtaining", &[&place.0.bytes()[..], slot.mark.as_bytes()].concat());
        let lock = Lock::new(lock_key, &*self.random).map_err(|_| CredentialError::Randomness)?;
        let mut waited = Duration::ZERO;
        // An outage of the store costs a second key where there are several replicas, and nobody's
        // access.
        let has_lock = loop {
            let has_lock = match lock.taken(&*self.store, now.plus(waited + LOCK), now.plus(waited)).await {
                Ok(has_lock) => has_lock,
                Err(error) => {
                    tracing::warn!(credential = slot.name, %error, "obtained without a lock: another replica may do the same");
                    break false;
                }
            };
            // Whoever had the lock before may have left something.
            match self.stored(slot, &session, now).await {
                Ok(Some(held)) if held.is_good(now) && not.as_ref().is_none_or(|not| held.is_another_than(not)) => {
                    if has_lock {
                        lock.release(&*self.store, now).await;
                    }
                    let held = Arc::new(held);
                    self.memory.insert(place, Arc::clone(&held));
                    return Ok(held);
                }
                Ok(_) if has_lock => break true,
                Ok(_) if waited >= WAIT => return Err(CredentialError::Busy.into()),
                Ok(_) => {
                    tokio::time::sleep(LOOK).await;
                    waited += LOOK;
                }
                Err(error) => {
                    tracing::warn!(credential = slot.name, %error, "obtained without the store: another replica may do the same");
                    break has_lock;
                }
            }
        };
        let outcome = match obtain().await {
            Ok(obtained) => {
                let kept = self.keep(slot, asked, &session, obtained).await;
                // In the place of one that was refused: an upstream that refuses this one too means
                // the person, not the key.
                kept.inspect(|held| {
                    if not.is_some() {
                        held.is_alive_at(now);
                    }
                })
            }
            Err(error) => Err(error.into()),
        };
        // The session's end is known without it, and another request may show the tokens.
        let is_of_the_request =
            |failed: &CredentialError| matches!(failed, CredentialError::Over(_) | CredentialError::NoTokens);
        if let Err(failed) = &outcome
            && !is_of_the_request(failed)
        {
            self.failures.insert(place, Arc::clone(failed));
        }
        if has_lock {
            lock.release(&*self.store, now).await;
        }
        outcome
    }

    async fn stored(&self, slot: &Slot, session: &Session<'_>, now: Timestamp) -> Result<Option<Held>, StoreError> {
        let Some(plaintext) = self.sessions.attached(session, &slot.mark, now).await? else { return Ok(None) };
        let written: Option<Written<'_>> = postcard::from_bytes(&plaintext).ok();
        Ok(written.and_then(|written| written.held(slot, self.sessions.ends_at(session))))
    }

    /// Puts what was obtained where it is found again: first of all the word that it has to be
    /// given back.
    async fn keep(
        self: &Arc<Self>,
        slot: &Slot,
        asked: &Asked,
        session: &Session<'_>,
        obtained: Obtained,
    ) -> Result<Arc<Held>, Failed> {
        let (id, now) = (session.id(), asked.now);
        if let Some(minted) = obtained.minted {
            self.discards.expect(id, &slot.mark, minted, obtained.until, now).await;
        }
        let session_ends = self.sessions.ends_at(session);
        let held = Held::new(slot, obtained, now, session_ends).ok_or(CredentialError::NotHeaderText)?;
        let held = Arc::new(held);
        let plaintext = postcard::to_stdvec(&Written::of(slot, &held)).map(Zeroizing::new).unwrap_or_default();
        let until = held.until.min(session_ends);
        let kept = self.sessions.attach(session, &slot.mark, &plaintext, until, now, &*self.random).await;
        let kept = match (kept, held.minted) {
            (Ok(()), Some(_)) => self.store.put(&holder_key(&held.secret), &id.bytes(), until, now).await,
            (kept, _) => kept,
        };
        if let Err(error) = kept {
            tracing::warn!(credential = slot.name, session = id.short(), %error, "what was obtained is in this process alone");
        }
        self.memory.insert((id, slot.index), Arc::clone(&held));
        if self.has_ended(asked) {
            self.discards.ended(id);
            return Err(CredentialError::Over(NoSession::Ended).into());
        }
        if held.minted.is_some() {
            // Ended a moment ago on another replica, which could not know of this.
            let (this, asked) = (Arc::clone(self), asked.clone());
            tokio::spawn(async move {
                tokio::time::sleep(WORD_UNDER_WAY).await;
                if this.has_ended(&asked) {
                    this.discards.ended(id);
                }
            });
        }
        Ok(held)
    }

    fn has_ended(&self, asked: &Asked) -> bool {
        matches!(self.sessions.read(&asked.opened, asked.now), Err(NoSession::Ended))
    }

    /// Forgets what a session held; a key that is to be given back is remembered for that.
    pub(super) async fn forget(&self, id: SessionId, slots: &[Arc<Slot>], now: Timestamp) {
        for slot in slots {
            let held = self.memory.remove(&(id, slot.index));
            // What is left there nobody can open any more.
            let _ = self.sessions.detach(id, &slot.mark, now).await;
            if let Some(held) = held
                && let Some(minted) = held.minted
            {
                self.discards.remember(minted, &held.secret);
                let _ = self.store.delete(&holder_key(&held.secret), now).await;
            }
        }
    }

    /// The session that a minted key belongs to.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub(super) async fn holder(&self, key: &SecretString, now: Timestamp) -> Result<Option<SessionId>, StoreError> {
        let id = self.store.get(&holder_key(key), now).await?;
        Ok(id.and_then(|id| SessionId::from_bytes(&id)))
    }
}

impl Held {
    fn new(slot: &Slot, obtained: Obtained, obtained_at: Timestamp, session_ends: Timestamp) -> Option<Self> {
        let value = slot.placement.value(&obtained.secret)?;
        let Obtained { secret, until, minted } = obtained;
        let (alive_at, was_shown) = (AtomicU64::new(0), AtomicBool::new(false));
        Some(Self { secret, value, obtained_at, until, is_outlived: until < session_ends, minted, alive_at, was_shown })
    }
}

impl<'a> Written<'a> {
    fn of(slot: &'a Slot, held: &'a Held) -> Self {
        Self {
            credential: &slot.mark,
            secret: held.secret.expose_secret(),
            obtained_at: held.obtained_at,
            until: held.until,
            minted: held.minted.map(|minted| (minted.account, minted.key)),
        }
    }

    fn held(&self, slot: &Slot, session_ends: Timestamp) -> Option<Held> {
        let minted = self.minted.map(|(account, key)| MintedKey { account, key });
        let obtained = Obtained { secret: SecretString::from(self.secret), until: self.until, minted };
        Held::new(slot, obtained, self.obtained_at, session_ends)
    }
}

/// Under which a session is found by a key that was minted for it.
pub(super) fn holder_key(key: &SecretString) -> Key {
    Key::new("key-holder", digest::digest(&digest::SHA256, key.expose_secret().as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, sessions, tokens};
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::{Semaphore, mpsc};

    struct Stage {
        wallet: Arc<Wallet>,
        asked: Asked,
        slot: Arc<Slot>,
        calls: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
    }

    impl Stage {
        fn new() -> Self {
            let (sessions, random) = (Arc::new(sessions(&[[1; 32]])), Arc::new(SystemRandom::new()));
            let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &*random);
            let store = crate::store::open(&crate::store::Settings::Memory).unwrap();
            let discards = Discards::new(Arc::clone(&store), mpsc::unbounded_channel().0);
            let wallet = Wallet::new(sessions, store, random, Arc::new(discards));
            Self {
                wallet: Arc::new(wallet),
                asked: Asked { opened: begun.opened, now: START },
                slot: Arc::new(slot("billing", "billing a")),
                calls: Arc::default(),
                gate: Arc::new(Semaphore::new(0)),
            }
        }

        /// Obtains `secret` for the slot, once the gate lets it.
        fn obtain(&self, secret: &'static str, not: Option<&Arc<Held>>) -> Obtaining {
            let (calls, gate) = (Arc::clone(&self.calls), Arc::clone(&self.gate));
            self.wallet.obtain(&self.slot, self.asked.clone(), not.cloned(), async move || {
                calls.fetch_add(1, Ordering::Relaxed);
                gate.acquire().await.unwrap().forget();
                let until = START.plus(Duration::from_secs(300));
                if secret.is_empty() {
                    return Err(CredentialError::NoTokens);
                }
                Ok(Obtained { secret: secret.into(), until, minted: None })
            })
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::Relaxed)
        }
    }

    fn slot(name: &str, mark: &str) -> Slot {
        Slot { index: 0, name: name.to_owned(), mark: mark.to_owned(), placement: Placement::default() }
    }

    #[tokio::test]
    async fn whoever_waited_takes_what_came_out_even_if_it_is_the_same() {
        let stage = Stage::new();
        stage.gate.add_permits(100);
        let first = stage.obtain("a-key", None).done().await.unwrap();
        let again: Vec<Obtaining> = (0..20).map(|_| stage.obtain("a-key", Some(&first))).collect();
        for obtaining in again {
            assert!(!Arc::ptr_eq(&obtaining.done().await.unwrap(), &first));
        }
        assert_eq!(stage.calls(), 2, "the first, and once for the twenty");
    }

    #[tokio::test]
    async fn what_another_configuration_obtained_under_the_same_name_is_not_used() {
        let stage = Stage::new();
        stage.gate.add_permits(100);
        stage.obtain("for-a", None).done().await.unwrap();
        let session = stage.wallet.sessions.read(&stage.asked.opened, START).unwrap();
        let stored = stage.wallet.stored(&stage.slot, &session, START).await.unwrap();
        assert_eq!(stored.unwrap().secret.expose_secret(), "for-a");
        let other = slot("billing", "billing b");
        assert!(stage.wallet.stored(&other, &session, START).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_request_without_tokens_stands_in_nobody_elses_way() {
        let stage = Stage::new();
        stage.gate.add_permits(100);
        assert!(stage.obtain("", None).done().await.is_err());
        assert_eq!(stage.obtain("a-key", None).done().await.unwrap().secret.expose_secret(), "a-key");
    }

    #[tokio::test]
    async fn what_is_forgotten_is_in_no_memory_and_no_store() {
        let stage = Stage::new();
        stage.gate.add_permits(100);
        stage.obtain("a-key", None).done().await.unwrap();
        let session = stage.wallet.sessions.read(&stage.asked.opened, START).unwrap();
        stage.wallet.forget(session.id(), std::slice::from_ref(&stage.slot), START).await;
        assert!(stage.wallet.at_hand(session.id(), &stage.slot, START).is_none());
        assert!(stage.wallet.stored(&stage.slot, &session, START).await.unwrap().is_none());
    }
}
