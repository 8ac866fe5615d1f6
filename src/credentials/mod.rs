//! What an upstream needs to trust a request: a credential of the person's, or of ours.
//!
//! Called by `server` once the gate has said that a request goes to the app, on routes that name a
//! credential. [`Credentials::provide`] gives the headers; what takes asking somebody is obtained
//! once for a session and lies in the `wallet` until it ends; what was minted is deleted with the
//! session (`discard`). Must never hand out a person's credential without their session, print
//! one, or let one reach a browser in the clear.
//!
//! | kind | what | from |
//! |---|---|---|
//! | `static` | one fixed secret | the configuration |
//! | `token` | the person's own tokens | the session |
//! | `albert` | the person's own key | [`albert`], minted |
//! | `exchange` | a token for another service | the provider (RFC 8693) |
//! | `keys` | a key that somebody else keeps | [`key_book`] |

pub mod albert;
mod discard;
pub mod envelope;
pub mod hand_off;
pub mod key_book;
mod placement;
mod token;
mod wallet;

pub use placement::Placement;
pub use token::{BadTokenTemplate, TokenTemplate};
pub use wallet::Held;

use crate::clock::{Clock, Timestamp};
use crate::fetch::Fetch;
use crate::oidc::{ExchangeError, Provider, Wanted};
use crate::random::{self, Random};
use crate::secret::{ExposeSecret, SecretString};
use crate::session::{NoSession, OpenedSession, Session, SessionId, Sessions};
use crate::store::{Key, Store, StoreError};
use albert::{Albert, AlbertError, Known};
use discard::{Discards, Left, MintedKey};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use key_book::{BadBook, Files, KeyBook, KeyBookError};
use placement::Places;
use ring::digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use wallet::{Asked, Obtained, Obtaining, Slot, Wallet};

/// How long it is remembered which account of an API is whose: longer than people stay away.
const ACCOUNT_KNOWN_FOR: Duration = Duration::from_secs(400 * 24 * 3600);
/// A key from the key book that does not say how long it is good for is looked up again after this.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(300);
/// One that does is looked up again after this at the latest: by then the provider was asked about
/// the person too, who may have another claim's value now.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(3600);
/// Between two tries to delete what could not be deleted: twice as long each time, up to this.
const RETRY: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// A credential of the configuration.
pub struct Settings {
    /// The name that routes refer to it by.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What kind of credential it is.
pub enum Kind {
    /// One fixed secret, the same for everybody.
    Static {
        /// Where it goes.
        placement: Placement,
        /// The secret; header text.
        secret: SecretString,
    },
    /// The person's own tokens, in headers.
    Token(Vec<(HeaderName, TokenTemplate)>),
    /// The person's own key for Albert API.
    Albert {
        /// Where the API is, and who gets what there.
        settings: albert::Settings,
        /// When a key is minted.
        mint: Mint,
        /// What keys are called; none: `vestibule-` and the session's name.
        key_name: Option<String>,
    },
    /// A token for another service, in the place of the person's.
    Exchange {
        /// What is asked for.
        wanted: Wanted,
        /// Where it goes.
        placement: Placement,
    },
    /// A key that somebody else keeps.
    Keys {
        /// Where it is looked up.
        settings: key_book::Settings,
        /// Where it goes.
        placement: Placement,
    },
}

/// When a key is minted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mint {
    /// Beside the sign-in, which does not wait for it.
    #[default]
    AtSignIn,
    /// When a request first needs it.
    OnFirstUse,
}

/// Why there is no credential for a request.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Albert API.
    #[error(transparent)]
    Albert(#[from] AlbertError),
    /// Token exchange.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The key book.
    #[error(transparent)]
    KeyBook(#[from] KeyBookError),
    /// The session's tokens are not there any more.
    #[error("the session's tokens are not there any more")]
    NoTokens,
    /// The tokens are in the store, which cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was obtained cannot stand in a header.
    #[error("what was obtained cannot stand in a header")]
    NotHeaderText,
    /// The session ended meanwhile.
    #[error("{0}")]
    Over(NoSession),
    /// No random bytes.
    #[error("the operating system gave no random bytes")]
    Randomness,
    /// Another request has been obtaining the same for too long.
    #[error("another request has been obtaining the same for too long")]
    Busy,
}

/// An error that all requests share which waited for the same.
pub type Failed = Arc<CredentialError>;

/// What a request gets.
#[derive(Default)]
pub struct Provided {
    /// Headers for the upstream.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `Set-Cookie` values for the browser.
    pub cookies: Vec<HeaderValue>,
    /// What it was, where it can turn out to be dead.
    pub held: Option<Arc<Held>>,
}

/// The credentials of one sidecar.
pub struct Credentials {
    all: Vec<Credential>,
    /// Of those that are obtained.
    slots: Vec<Arc<Slot>>,
    wallet: Arc<Wallet>,
    discards: Arc<Discards>,
    sessions: Arc<Sessions>,
    shared: Arc<Shared>,
    /// Which sessions end, heard from before the first request on.
    ends: Mutex<Option<mpsc::UnboundedReceiver<SessionId>>>,
}

/// What obtaining takes, in tasks that outlive a request.
struct Shared {
    store: Arc<dyn Store>,
    provider: Arc<Provider>,
    random: Arc<dyn Random>,
}

struct Credential {
    slot: Arc<Slot>,
    places: Places,
    source: Source,
}

enum Source {
    Static(HeaderValue),
    Token(Vec<(HeaderName, TokenTemplate)>),
    Albert { api: Arc<Albert>, mint: Mint, key_name: Option<String> },
    Exchange(Arc<Wanted>),
    Keys(Arc<KeyBook>),
}

/// Why the credentials cannot be had at start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key book.
    #[error("credentials {name}: {cause}")]
    KeyBook {
        /// The credential's name.
        name: String,
        /// What is wrong.
        cause: BadBook,
    },
    /// A fixed secret that cannot stand in a header.
    #[error("credentials {name}: the secret holds a character that no header can have")]
    NotHeaderText {
        /// The credential's name.
        name: String,
    },
}

impl Credentials {
    /// The credentials of the configuration, in its order: routes name them by index.
    ///
    /// # Errors
    /// [`StartError`], for the first that cannot be had.
    pub fn new(
        settings: Vec<Settings>,
        sessions: &Arc<Sessions>,
        store: &Arc<dyn Store>,
        provider: Arc<Provider>,
        fetch: &Fetch,
        files: &Arc<dyn Files>,
        random: &Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let mut all = Vec::with_capacity(settings.len());
        for (index, Settings { name, kind }) in settings.into_iter().enumerate() {
            let mark = mark(&name, &kind);
            let (placement, source) = match kind {
                Kind::Static { placement, secret } => {
                    let value = placement.value(secret.expose_secret());
                    let value = value.ok_or_else(|| StartError::NotHeaderText { name: name.clone() })?;
                    (placement, Source::Static(value))
                }
                Kind::Token(templates) => (Placement::default(), Source::Token(templates)),
                Kind::Albert { settings, mint, key_name } => {
                    let api = Arc::new(Albert::new(settings, fetch.clone()));
                    (Placement::default(), Source::Albert { api, mint, key_name })
                }
                Kind::Exchange { wanted, placement } => (placement, Source::Exchange(Arc::new(wanted))),
                Kind::Keys { settings, placement } => {
                    let book = KeyBook::new(settings, fetch.clone(), Arc::clone(files));
                    let book = book.map_err(|cause| StartError::KeyBook { name: name.clone(), cause })?;
                    (placement, Source::Keys(Arc::new(book)))
                }
            };
            let places = Places::new(match &source {
                Source::Token(templates) => templates.iter().map(|(header, _)| header.clone()).collect(),
                _ => vec![placement.header.clone()],
            });
            all.push(Credential { slot: Arc::new(Slot { index, name, mark, placement }), places, source });
        }
        let (ended, ends) = mpsc::unbounded_channel();
        sessions.tell_ends_to(ended.clone());
        let discards = Arc::new(Discards::new(Arc::clone(store), ended));
        let wallet = Wallet::new(Arc::clone(sessions), Arc::clone(store), Arc::clone(random), Arc::clone(&discards));
        Ok(Self {
            slots: all.iter().filter(|one| one.is_obtained()).map(|one| Arc::clone(&one.slot)).collect(),
            all,
            wallet: Arc::new(wallet),
            discards,
            sessions: Arc::clone(sessions),
            shared: Arc::new(Shared { store: Arc::clone(store), provider, random: Arc::clone(random) }),
            ends: Mutex::new(Some(ends)),
        })
    }

    /// The name of a credential, for logs.
    pub fn name(&self, index: usize) -> &str {
        self.all.get(index).map_or("", |credential| credential.slot.name.as_str())
    }

    /// Whether a client's header is one that this credential goes into, in any spelling.
    pub fn replaces(&self, index: usize, name: &HeaderName) -> bool {
        self.all.get(index).is_some_and(|credential| credential.places.hold(name))
    }

    /// Whether a request brings its own of what this credential is, under the very same header.
    pub fn is_brought(&self, index: usize, request: &HeaderMap) -> bool {
        self.all.get(index).is_some_and(|credential| credential.places.are_in(request))
    }

    /// Whether an upstream that answers with this may mean the credential. 401 says so (RFC 6750
    /// §3.1), and some versions of Albert API say 403 of a dead key. Of any other app that is about
    /// what the person may do, and nothing to be tried twice.
    pub fn is_refusal(&self, index: usize, status: StatusCode) -> bool {
        self.all.get(index).is_some_and(|credential| match &credential.source {
            Source::Static(_) | Source::Token(_) => false,
            Source::Exchange(_) | Source::Keys(_) => status == StatusCode::UNAUTHORIZED,
            Source::Albert { .. } => matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        })
    }

    /// The headers for a request of this session, which the gate has just let through; without one
    /// only what is fixed.
    ///
    /// # Errors
    /// [`CredentialError`], by cause.
    pub async fn provide(
        &self,
        index: usize,
        session: Option<(SessionId, &Arc<OpenedSession>)>,
        request: &HeaderMap,
        now: Timestamp,
    ) -> Result<Provided, Failed> {
        let Some(credential) = self.all.get(index) else { return Ok(Provided::default()) };
        let slot = &credential.slot;
        if let Source::Static(value) = &credential.source {
            return Ok(Provided {
                headers: vec![(slot.placement.header.clone(), value.clone())],
                ..Provided::default()
            });
        }
        let Some((id, opened)) = session else { return Ok(Provided::default()) };
        if let Source::Token(templates) = &credential.source {
            let session = self.sessions.read(opened, now).map_err(CredentialError::Over)?;
            let tokens = self.sessions.tokens(request, &session, now).await.map_err(CredentialError::Store)?;
            let tokens = tokens.ok_or(CredentialError::NoTokens)?;
            let headers = token::headers(templates, &tokens).ok_or(CredentialError::NotHeaderText)?;
            return Ok(Provided { headers, ..Provided::default() });
        }
        // What is at hand takes no reading of the session: the gate has read it.
        let mut at_hand = self.wallet.at_hand(id, slot, now);
        if at_hand.is_none() {
            let session = self.sessions.read(opened, now).map_err(CredentialError::Over)?;
            self.wallet.in_cookie(&self.slots, &session, request, now).await;
            at_hand = self.wallet.at_hand(id, slot, now);
        }
        let held = match at_hand {
            Some(held) => {
                if self.wallet.is_due(&held, id, slot, now) {
                    // Nobody waits for it: this one serves until its end.
                    let _ = self.obtaining(credential, opened, request, Some(Arc::clone(&held)), now);
                }
                held
            }
            None => self.obtaining(credential, opened, request, None, now)?.done().await?,
        };
        let mut cookie = None;
        if held.minted.is_some() && !self.wallet.is_shown(&held, id, request, now) {
            let session = self.sessions.read(opened, now).map_err(CredentialError::Over)?;
            cookie = self.wallet.cookie(&self.slots, &session, now);
        }
        Ok(credential.provided(held, cookie))
    }

    /// Another value in the place of one that an upstream refused; none where the value is not to
    /// blame, or nothing better can be had.
    pub async fn replace(
        &self,
        index: usize,
        opened: &Arc<OpenedSession>,
        request: &HeaderMap,
        refused: Arc<Held>,
        now: Timestamp,
    ) -> Option<Provided> {
        let credential = self.all.get(index)?;
        let session = self.sessions.read(opened, now).ok()?;
        // Replaced by another request since.
        let at_hand = self.wallet.at_hand(session.id(), &credential.slot, now);
        let held = match at_hand.filter(|held| !Arc::ptr_eq(held, &refused)) {
            Some(held) => held,
            None if !refused.may_be_dead(now) => return None,
            None => {
                match &credential.source {
                    Source::Static(_) | Source::Token(_) => return None,
                    Source::Exchange(_) | Source::Keys(_) => {}
                    Source::Albert { api, .. } => match api.is_alive(refused.secret()).await {
                        Ok(false) => {}
                        Ok(true) => {
                            refused.is_alive_at(now);
                            return None;
                        }
                        Err(error) => {
                            // Nor is it asked again by every request that is refused meanwhile.
                            refused.is_alive_at(now);
                            let credential = &credential.slot.name;
                            tracing::warn!(credential, %error, "whether a refused key is dead cannot be asked");
                            return None;
                        }
                    },
                }
                let (name, short) = (&credential.slot.name, session.id().short());
                tracing::info!(credential = name, session = short, "refused by the upstream, and obtained anew");
                match self.obtaining(credential, opened, request, Some(refused), now) {
                    Ok(obtaining) => obtaining.done().await,
                    Err(error) => Err(error),
                }
                .map_err(|error| tracing::warn!(credential = name, session = short, %error, "cannot be obtained anew"))
                .ok()?
            }
        };
        let cookie = held.minted.and_then(|_| self.wallet.cookie(&self.slots, &session, now));
        Some(credential.provided(held, cookie))
    }

    /// Has minted what is to be minted at sign-in. Nobody waits for it, and a sign-in does not fail
    /// by it: the first request that needs a key tries again.
    pub fn signed_in(self: &Arc<Self>, opened: &Arc<OpenedSession>, now: Timestamp) {
        let due = |credential: &Credential| matches!(credential.source, Source::Albert { mint: Mint::AtSignIn, .. });
        if !self.all.iter().any(due) {
            return;
        }
        let (this, opened) = (Arc::clone(self), Arc::clone(opened));
        tokio::spawn(async move {
            for credential in this.all.iter().filter(|credential| due(credential)) {
                let Ok(session) = this.sessions.read(&opened, now) else { return };
                let none = HeaderMap::new();
                let outcome = match this.obtaining(credential, &opened, &none, None, now) {
                    Ok(obtaining) => obtaining.done().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    tracing::warn!(
                        credential = credential.slot.name,
                        session = session.id().short(),
                        %error,
                        "no key at sign-in; the first request that needs it tries again"
                    );
                }
            }
        });
    }

    /// Notes what only the session's cookies and the store know, while somebody shows the session.
    /// Before its browser ends it, so that keys of another process are deleted with the rest: the
    /// keys themselves are the best means for that. And before an envelope is judged, which another
    /// replica may have handed over.
    pub async fn note(&self, request: &HeaderMap, now: Timestamp) {
        let Ok(opened) = self.sessions.open(request, now) else { return };
        if let Ok(session) = self.sessions.read(&opened, now) {
            self.wallet.in_cookie(&self.slots, &session, request, now).await;
            for credential in self.all.iter().filter(|credential| credential.api().is_some()) {
                self.wallet.in_store(&credential.slot, &session, now).await;
            }
        }
    }

    /// The session that a key was minted for.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn holder(&self, key: &SecretString, now: Timestamp) -> Result<Option<SessionId>, StoreError> {
        self.wallet.holder(key, now).await
    }

    /// How many keys of ended sessions wait for being deleted.
    pub fn keys_to_delete(&self) -> usize {
        self.discards.waiting()
    }

    /// Forgets what was obtained for sessions that end, and deletes what was minted; for ever.
    pub async fn clean_up(&self, clock: &Clock) {
        let apis: HashMap<String, Arc<Albert>> = self.all.iter().filter_map(Credential::api).collect();
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut ends), false) = (ends, self.slots.is_empty()) else { return };
        let mut ended: Vec<SessionId> = Vec::new();
        let mut left = Left::Something;
        let mut pause = FIRST_RETRY;
        loop {
            // What other replicas left is looked for now and then, whatever happens here.
            let wait = if left == Left::Something { pause } else { RETRY };
            pause = RETRY.min(pause * 2);
            let news = tokio::select! {
                id = ends.recv() => id,
                () = tokio::time::sleep(wait) => None,
            };
            if news.is_some() {
                pause = FIRST_RETRY;
            }
            ended.extend(news);
            ended.extend(std::iter::from_fn(|| ends.try_recv().ok()));
            let now = clock.now();
            let mut again = Vec::new();
            for id in ended.drain(..) {
                self.wallet.forget(id, &self.slots, now).await;
                if !apis.is_empty() && self.discards.condemn(id, now).await.is_err() {
                    again.push(id);
                }
            }
            ended = again;
            if apis.is_empty() {
                left = Left::Nothing;
                continue;
            }
            left = self.discards.work_off(&apis, now).await;
            if left == Left::Nothing {
                pause = FIRST_RETRY;
            }
        }
    }

    /// Obtains a new value, in a task of its own; another one than `not`.
    fn obtaining(
        &self,
        credential: &Credential,
        opened: &Arc<OpenedSession>,
        request: &HeaderMap,
        not: Option<Arc<Held>>,
        now: Timestamp,
    ) -> Result<Obtaining, Failed> {
        let asked = Asked { opened: Arc::clone(opened), now };
        let (shared, sessions, slot) = (Arc::clone(&self.shared), Arc::clone(&self.sessions), &credential.slot);
        let opened = Arc::clone(opened);
        Ok(match &credential.source {
            // Neither is obtained.
            Source::Static(_) | Source::Token(_) => return Err(CredentialError::NoTokens.into()),
            Source::Albert { api, key_name, .. } => {
                let (api, key_name, name) = (Arc::clone(api), key_name.clone(), slot.mark.clone());
                self.wallet.obtain(slot, asked, not, async move || {
                    let session = sessions.read(&opened, now).map_err(CredentialError::Over)?;
                    let ends_at = sessions.ends_at(&session);
                    shared.minted(&api, &name, key_name.as_deref(), &session, ends_at, now).await
                })
            }
            Source::Exchange(wanted) => {
                let (wanted, request) = (Arc::clone(wanted), request.clone());
                self.wallet.obtain(slot, asked, not, async move || {
                    let session = sessions.read(&opened, now).map_err(CredentialError::Over)?;
                    let tokens = sessions.tokens(&request, &session, now).await?.ok_or(CredentialError::NoTokens)?;
                    let exchanged = shared.provider.exchange(&tokens, &wanted, now).await?;
                    Ok(Obtained { secret: exchanged.token, until: exchanged.expires_at, minted: None })
                })
            }
            Source::Keys(book) => {
                let book = Arc::clone(book);
                self.wallet.obtain(slot, asked, not, async move || {
                    let session = sessions.read(&opened, now).map_err(CredentialError::Over)?;
                    let found = book.find(session.claims(), now).await?;
                    let until = found.until.unwrap_or(now.plus(LOOK_UP_AGAIN)).min(now.plus(LONGEST_LOOK_UP));
                    Ok(Obtained { secret: found.secret, until, minted: None })
                })
            }
        })
    }
}

impl Credential {
    /// Whether it takes asking somebody.
    fn is_obtained(&self) -> bool {
        !matches!(self.source, Source::Static(_) | Source::Token(_))
    }

    fn api(&self) -> Option<(String, Arc<Albert>)> {
        match &self.source {
            Source::Albert { api, .. } => Some((self.slot.mark.clone(), Arc::clone(api))),
            _ => None,
        }
    }

    /// As its header.
    fn provided(&self, held: Arc<Held>, cookie: Option<HeaderValue>) -> Provided {
        Provided {
            headers: vec![(self.slot.placement.header.clone(), held.value())],
            cookies: cookie.into_iter().collect(),
            held: Some(held),
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

/// Whom a value is for. What lies in a store or a cookie from before the configuration was changed
/// must not go to another service because that has the same name now; nothing secret is in it.
fn mark(name: &str, kind: &Kind) -> String {
    let what = match kind {
        Kind::Static { .. } | Kind::Token(_) => String::new(),
        Kind::Albert { settings, .. } => format!("albert {}", settings.url),
        Kind::Exchange { wanted, .. } => format!("exchange {wanted:?}"),
        Kind::Keys { settings, .. } => format!("keys {settings:?}"),
    };
    let digest = digest::digest(&digest::SHA256, what.as_bytes());
    let tail = digest.as_ref().first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
    format!("{name} {tail:016x}")
}

/// Under which it is remembered which account is a person's.
fn account_key(credential: &str, session: &Session<'_>) -> Key {
    let (provider, subject) = (session.provider(), session.subject());
    let text = format!("{} {credential} {} {provider} {subject}", credential.len(), provider.len());
    Key::new("account", digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}
