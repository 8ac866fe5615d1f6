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
mod ask;
mod clean_up;
mod discard;
pub mod envelope;
pub mod hand_off;
pub mod key_book;
mod placement;
mod settings;
mod token;
mod wallet;

pub use placement::Placement;
pub use settings::{Kind, Mint, Settings};
pub use token::{BadTokenTemplate, TokenTemplate};
pub use wallet::Held;

use crate::clock::Timestamp;
use crate::fetch::Fetch;
use crate::oidc::{ExchangeError, Providers};
use crate::random::Random;
use crate::secret::SecretString;
use crate::session::{NoSession, OpenedSession, SessionId, Sessions};
use crate::store::{Store, StoreError};
use albert::{Albert, AlbertError};
use ask::{Shared, Whom};
use discard::Discards;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use key_book::{BadBook, Files, KeyBook, KeyBookError};
use placement::Places;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use wallet::{Slot, Wallet};

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
    #[error(
        "the session's tokens are not there any more, or not with a request that shows no cookie (session.keep: store)"
    )]
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

struct Credential {
    name: String,
    places: Places,
    source: Source,
}

/// Where it comes from.
enum Source {
    /// The configuration.
    Static(HeaderName, HeaderValue),
    /// The session.
    Token(Vec<(HeaderName, TokenTemplate)>),
    /// Somebody who is asked, once for a session.
    Asked(Arc<Slot>, Whom),
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
        providers: Providers,
        fetch: &Fetch,
        files: &Arc<dyn Files>,
        random: &Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let mut all = Vec::with_capacity(settings.len());
        for (index, Settings { name, kind }) in settings.into_iter().enumerate() {
            let mark = kind.mark(&name);
            let asked = |placement: Placement, whom| {
                let slot = Slot { index, name: name.clone(), mark, placement };
                Source::Asked(Arc::new(slot), whom)
            };
            let source = match kind {
                Kind::Static { header, value } => Source::Static(header, value),
                Kind::Token(templates) => Source::Token(templates),
                Kind::Albert { settings, mint, key_name } => {
                    let api = Arc::new(Albert::new(settings, fetch.clone()));
                    asked(Placement::default(), Whom::Albert { api, mint, key_name })
                }
                Kind::Exchange { wanted, placement } => asked(placement, Whom::Exchange(Arc::new(wanted))),
                Kind::Keys { settings, placement } => {
                    let book = KeyBook::new(settings, fetch.clone(), Arc::clone(files));
                    let book = book.map_err(|cause| StartError::KeyBook { name: name.clone(), cause })?;
                    asked(placement, Whom::KeyBook(Arc::new(book)))
                }
            };
            let places = Places::new(match &source {
                Source::Static(header, _) => vec![header.clone()],
                Source::Token(templates) => templates.iter().map(|(header, _)| header.clone()).collect(),
                Source::Asked(slot, _) => vec![slot.placement.header.clone()],
            });
            all.push(Credential { name, places, source });
        }
        let (ended, ends) = mpsc::unbounded_channel();
        sessions.tell_ends_to(ended.clone());
        let discards = Arc::new(Discards::new(Arc::clone(store), ended));
        let wallet = Wallet::new(Arc::clone(sessions), Arc::clone(store), Arc::clone(random), Arc::clone(&discards));
        Ok(Self {
            slots: all.iter().filter_map(Credential::asked).map(|(slot, _)| Arc::clone(slot)).collect(),
            all,
            wallet: Arc::new(wallet),
            discards,
            sessions: Arc::clone(sessions),
            shared: Arc::new(Shared { store: Arc::clone(store), providers, random: Arc::clone(random) }),
            ends: Mutex::new(Some(ends)),
        })
    }

    /// The name of a credential, for logs.
    pub fn name(&self, index: usize) -> &str {
        self.all.get(index).map_or("", |credential| credential.name.as_str())
    }

    /// Whether a client's header is one that this credential goes into, in any spelling.
    pub fn replaces(&self, index: usize, name: &HeaderName) -> bool {
        self.all.get(index).is_some_and(|credential| credential.places.hold(name))
    }

    /// Whether a request brings its own of what this credential is, under the very same header.
    pub fn is_brought(&self, index: usize, request: &HeaderMap) -> bool {
        self.all.get(index).is_some_and(|credential| credential.places.are_in(request))
    }

    /// Whether an upstream that answers with this may mean the credential.
    pub fn is_refusal(&self, index: usize, status: StatusCode) -> bool {
        self.asked_at(index).is_some_and(|(_, whom)| whom.may_be_meant_by(status))
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
        let (slot, whom, id, opened) = match (&credential.source, session) {
            (Source::Static(header, value), _) => {
                return Ok(Provided { headers: vec![(header.clone(), value.clone())], ..Provided::default() });
            }
            (_, None) => return Ok(Provided::default()),
            (Source::Token(templates), Some((_, opened))) => {
                let session = self.sessions.read(opened, now).map_err(CredentialError::Over)?;
                let tokens = self.sessions.tokens(request, &session, now).await.map_err(CredentialError::Store)?;
                let tokens = tokens.ok_or(CredentialError::NoTokens)?;
                let headers = token::headers(templates, &tokens).ok_or(CredentialError::NotHeaderText)?;
                return Ok(Provided { headers, ..Provided::default() });
            }
            (Source::Asked(slot, whom), Some((id, opened))) => (slot, whom, id, opened),
        };
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
                    drop(self.obtaining(slot, whom, opened, request, Some(Arc::clone(&held)), now));
                }
                held
            }
            None => self.obtaining(slot, whom, opened, request, None, now).done().await?,
        };
        let mut cookie = None;
        if held.minted.is_some() && !self.wallet.is_shown(&held, id, request, now) {
            let session = self.sessions.read(opened, now).map_err(CredentialError::Over)?;
            cookie = self.wallet.cookie(&self.slots, &session, now);
        }
        Ok(Provided::of(slot, held, cookie))
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
        let (slot, whom) = self.asked_at(index)?;
        let session = self.sessions.read(opened, now).ok()?;
        // Replaced by another request since.
        let at_hand = self.wallet.at_hand(session.id(), slot, now);
        let held = match at_hand.filter(|held| !Arc::ptr_eq(held, &refused)) {
            Some(held) => held,
            None if !refused.may_be_dead(now) => return None,
            None if !whom.gives_another_for(&refused, slot).await => {
                // Nor is it asked again by every request that is refused meanwhile.
                refused.is_alive_at(now);
                return None;
            }
            None => {
                let (name, short) = (&slot.name, session.id().short());
                tracing::info!(credential = name, session = short, "refused by the upstream, and obtained anew");
                let outcome = self.obtaining(slot, whom, opened, request, Some(refused), now).done().await;
                outcome
                    .inspect_err(
                        |error| tracing::warn!(credential = name, session = short, %error, "cannot be obtained anew"),
                    )
                    .ok()?
            }
        };
        let cookie = held.minted.and_then(|_| self.wallet.cookie(&self.slots, &session, now));
        Some(Provided::of(slot, held, cookie))
    }

    /// Has minted what is to be minted at sign-in. Nobody waits for it, and a sign-in does not fail
    /// by it: the first request that needs a key tries again.
    pub fn signed_in(self: &Arc<Self>, opened: &Arc<OpenedSession>, now: Timestamp) {
        if !self.asked().any(|(_, whom)| whom.is_asked_at_sign_in()) {
            return;
        }
        let (this, opened) = (Arc::clone(self), Arc::clone(opened));
        tokio::spawn(async move {
            for (slot, whom) in this.asked().filter(|(_, whom)| whom.is_asked_at_sign_in()) {
                let Ok(session) = this.sessions.read(&opened, now) else { return };
                let none = HeaderMap::new();
                if let Err(error) = this.obtaining(slot, whom, &opened, &none, None, now).done().await {
                    tracing::warn!(
                        credential = slot.name,
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
            for (slot, _) in self.asked().filter(|(_, whom)| whom.api().is_some()) {
                self.wallet.in_store(slot, &session, now).await;
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

    /// Those that somebody is asked for.
    fn asked(&self) -> impl Iterator<Item = (&Arc<Slot>, &Whom)> {
        self.all.iter().filter_map(Credential::asked)
    }

    fn asked_at(&self, index: usize) -> Option<(&Arc<Slot>, &Whom)> {
        self.all.get(index)?.asked()
    }
}

impl Credential {
    fn asked(&self) -> Option<(&Arc<Slot>, &Whom)> {
        match &self.source {
            Source::Asked(slot, whom) => Some((slot, whom)),
            Source::Static(..) | Source::Token(_) => None,
        }
    }
}

impl Provided {
    /// A value in its header.
    fn of(slot: &Slot, held: Arc<Held>, cookie: Option<HeaderValue>) -> Self {
        Self {
            headers: vec![(slot.placement.header.clone(), held.value())],
            cookies: cookie.into_iter().collect(),
            held: Some(held),
        }
    }
}
