//! What of a session lies in the store.
//!
//! Called by `mod` and `refresh`. Two entries a session, and who reads the store reads neither:
//!
//! - `kept`: its latest renewal, identity and tokens, sealed with the key that only its cookie
//!   holds. A late request with the former cookie finds here what it missed.
//! - `listed`: who it is, since when and from where, sealed with the session keys, for the person
//!   and for administrators to see and end.
//!
//! Must never hold what would let its reader be somebody.

use super::tokens_cookie::Written;
use super::{OpenedSession, Session, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::oidc::Tokens;
use crate::random::Random;
use crate::seal::{KeyMaterial, KeyRing, Purpose};
use crate::store::{Key, StoreError};
use ring::digest;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use zeroize::Zeroizing;

/// The latest renewal of a session.
#[derive(Serialize, Deserialize)]
struct KeptRenewal<'a> {
    #[serde(borrow)]
    session: Session<'a>,
    #[serde(borrow)]
    tokens: Written<'a>,
}

/// A renewal that was found in the store and opened.
pub(super) struct Kept {
    opened: OpenedSession,
    tokens: Tokens,
}

impl Kept {
    /// The session as it was renewed, in the form that a cookie opens to.
    pub(super) fn into_parts(self) -> (OpenedSession, Tokens) {
        (self.opened, self.tokens)
    }

    pub(super) fn generation(&self) -> u32 {
        self.opened.read().map_or(0, |session| session.generation())
    }

    pub(super) fn step(&self) -> u32 {
        self.opened.read().map_or(0, |session| session.step())
    }
}

/// A session as the person and administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub id: SessionId,
    /// The configured name of the provider that vouched.
    pub provider: String,
    /// `sub`.
    pub subject: String,
    /// E-mail address, where sessions keep it.
    pub email: Option<String>,
    /// SIRET of the organisation, where sessions keep it.
    pub siret: Option<String>,
    /// Name of the organisation, where sessions keep it.
    pub organization: Option<String>,
    /// When the person signed in.
    pub started: Timestamp,
    /// Last seen, to within the renewal interval.
    pub last_seen: Timestamp,
    /// When it ends by itself, at the latest.
    pub ends_at: Timestamp,
    /// The browser's own words for itself, shortened.
    pub agent: String,
    /// Where its last renewal came from.
    pub address: Option<IpAddr>,
    provider_session: Option<String>,
}

/// From where a session is used: what its owner knows it by.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// `User-Agent`.
    pub agent: String,
    /// The client's address.
    pub address: Option<IpAddr>,
}

impl Place {
    /// Reads `User-Agent`, as far as anybody would read it.
    pub fn new(headers: &http::HeaderMap, address: Option<IpAddr>) -> Self {
        let agent = headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Self { agent: agent.chars().filter(|c| !c.is_control()).take(200).collect(), address }
    }
}

impl Listed {
    pub(super) fn new(session: &Session<'_>, ends_at: Timestamp, place: &Place) -> Self {
        let claim = |name: &str| session.claims().text(name).map(str::to_owned);
        Self {
            id: session.id(),
            provider: session.provider().to_owned(),
            subject: session.subject().to_owned(),
            email: claim("email"),
            siret: claim("siret"),
            organization: claim("organization_label"),
            started: session.started(),
            last_seen: session.last_seen(),
            ends_at,
            agent: place.agent.clone(),
            address: place.address,
            provider_session: session.provider_session().map(str::to_owned),
        }
    }

    pub(super) fn seen(self, at: Timestamp) -> Self {
        Self { last_seen: at.max(self.last_seen), ..self }
    }
}

impl Sessions {
    /// Seals the session and its tokens with its own key and puts them into the store.
    pub(super) async fn keep(
        &self,
        session: &Session<'_>,
        tokens: &Tokens,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        let renewal = KeptRenewal { session: session.clone(), tokens: Written::of(tokens, session.generation()) };
        let sealed = own_ring(session.key()).and_then(|ring| {
            let plaintext = Zeroizing::new(postcard::to_stdvec(&renewal).ok()?);
            ring.seal(Purpose::Tokens, &plaintext, &session.id().0, random).ok()
        });
        let sealed = sealed.ok_or_else(|| StoreError::Unavailable("the session could not be sealed".to_owned()))?;
        let until = self.settings.ends_at(session.started(), session.authenticated_at());
        self.store.put(&kept_key(session.id()), sealed.as_bytes(), until, now).await
    }

    /// The latest renewal of a session, as far as the store has one.
    pub(super) async fn kept(&self, session: &Session<'_>, now: Timestamp) -> Result<Option<Kept>, StoreError> {
        let Some(sealed) = self.store.get(&kept_key(session.id()), now).await? else { return Ok(None) };
        // What does not open is not of this session: as if it were not there.
        Ok(own_ring(session.key()).and_then(|ring| {
            let opened = ring.open(Purpose::Tokens, &sealed, &session.id().0, now)?;
            let renewal: KeptRenewal<'_> = postcard::from_bytes(opened.plaintext()).ok()?;
            if renewal.session.id() != session.id() {
                return None;
            }
            let tokens = renewal.tokens.tokens();
            Some(Kept { opened: OpenedSession::renewed(&renewal.session)?, tokens })
        }))
    }

    /// Puts what is to be seen of a session into the store, unless it has ended meanwhile.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn list(&self, listed: &Listed, now: Timestamp, random: &dyn Random) -> Result<(), StoreError> {
        if self.has_ended(listed.id) {
            return Ok(());
        }
        let plaintext = postcard::to_stdvec(listed).unwrap_or_default();
        let sealed = self.ring.seal(Purpose::Listing, &plaintext, &listed.id.0, random);
        let sealed = sealed.map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
        let (id, until) = (&listed.id.0, listed.ends_at);
        self.store.put(&listed_key(listed.id), sealed.as_bytes(), until, now).await?;
        self.store.index_add(&person_key(&listed.provider, &listed.subject), id, until, now).await?;
        if let Some(sid) = &listed.provider_session {
            self.store.index_add(&provider_session_key(&listed.provider, sid), id, until, now).await?;
        }
        self.store.index_add(&all_key(listed.id), id, until, now).await?;
        // Ended between the look and the writing: whoever ended it may have taken away less than this.
        if self.has_ended(listed.id) { self.forget(listed.id, now).await } else { Ok(()) }
    }

    /// Every session that is alive.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn listed(&self, now: Timestamp) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        for part in 0..PARTS {
            listed.append(&mut self.listed_in(&part_key(part), now).await?);
        }
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.last_seen));
        Ok(listed)
    }

    /// The live sessions of a person.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn listed_of(&self, provider: &str, subject: &str, now: Timestamp) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.listed_in(&person_key(provider, subject), now).await?;
        listed.retain(|listed| listed.provider == provider && listed.subject == subject);
        Ok(listed)
    }

    /// Whether a live session began within this session at the provider.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn knows_provider_session(&self, provider: &str, sid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let listed = self.listed_in(&provider_session_key(provider, sid), now).await?;
        Ok(listed.iter().any(|listed| listed.provider_session.as_deref() == Some(sid)))
    }

    /// What is in the store of a person's sessions, idle ones among them.
    pub(super) async fn stored_of(
        &self,
        provider: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        let mut stored = self.stored_in(&person_key(provider, subject), now).await?;
        stored.retain(|listed| listed.provider == provider && listed.subject == subject);
        Ok(stored)
    }

    /// What is in the store of the sessions within one at the provider, idle ones among them.
    pub(super) async fn stored_within(
        &self,
        provider: &str,
        sid: &str,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        let mut stored = self.stored_in(&provider_session_key(provider, sid), now).await?;
        stored.retain(|listed| listed.provider == provider && listed.provider_session.as_deref() == Some(sid));
        Ok(stored)
    }

    async fn stored_in(&self, index: &Key, now: Timestamp) -> Result<Vec<Listed>, StoreError> {
        let mut stored = Vec::new();
        for member in self.store.index_members(index, now).await? {
            let Ok(id) = <[u8; 16]>::try_from(member.as_slice()).map(SessionId) else { continue };
            stored.extend(self.stored_one(id, now).await?);
        }
        Ok(stored)
    }

    async fn listed_in(&self, index: &Key, now: Timestamp) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.stored_in(index, now).await?;
        listed.retain(|listed| self.is_alive(listed, now));
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.last_seen));
        Ok(listed)
    }

    /// One session, if it is alive.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn listed_one(&self, id: SessionId, now: Timestamp) -> Result<Option<Listed>, StoreError> {
        Ok(self.stored_one(id, now).await?.filter(|listed| self.is_alive(listed, now)))
    }

    pub(super) async fn stored_one(&self, id: SessionId, now: Timestamp) -> Result<Option<Listed>, StoreError> {
        let Some(sealed) = self.store.get(&listed_key(id), now).await? else { return Ok(None) };
        let opened = self.ring.open(Purpose::Listing, &sealed, &id.0, now);
        let listed: Option<Listed> = opened.and_then(|opened| postcard::from_bytes(opened.plaintext()).ok());
        Ok(listed.filter(|listed| listed.id == id))
    }

    fn is_alive(&self, listed: &Listed, now: Timestamp) -> bool {
        let person = (listed.provider.as_str(), listed.subject.as_str());
        let idle = now.since(listed.last_seen) >= self.settings.idle + self.settings.renewal_interval();
        !idle
            && listed.ends_at > now
            && !self.revoked.covers(listed.id, person, listed.provider_session.as_deref(), listed.started)
    }

    /// Takes everything of a session out of the store.
    pub(super) async fn forget(&self, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
        let listed = self.store.get(&listed_key(id), now).await?;
        self.store.delete(&kept_key(id), now).await?;
        self.store.delete(&listed_key(id), now).await?;
        self.forget_app_data(id, now).await?;
        self.store.index_remove(&all_key(id), &id.0, now).await?;
        let opened = listed.and_then(|sealed| self.ring.open(Purpose::Listing, &sealed, &id.0, now));
        if let Some(listed) = opened.as_ref().and_then(|opened| postcard::from_bytes::<Listed>(opened.plaintext()).ok())
        {
            self.store.index_remove(&person_key(&listed.provider, &listed.subject), &id.0, now).await?;
        }
        Ok(())
    }
}

/// A ring of the one key that the cookie holds.
pub(super) fn own_ring(key: &[u8]) -> Option<KeyRing> {
    let secret = Zeroizing::new(<[u8; 32]>::try_from(key).ok()?);
    KeyRing::new(&[KeyMaterial { id: String::new(), secret, until: None }])
}

fn kept_key(id: SessionId) -> Key {
    Key::new("kept", &id.0)
}

fn listed_key(id: SessionId) -> Key {
    Key::new("listed", &id.0)
}

/// All sessions, in parts: a store changes an index as a whole, and this one grows with the site.
const PARTS: u8 = 64;

fn all_key(id: SessionId) -> Key {
    let [first, ..] = id.0;
    part_key(first % PARTS)
}

fn part_key(part: u8) -> Key {
    Key::new("sessions", &[part])
}

fn person_key(provider: &str, subject: &str) -> Key {
    Key::new("person", &digest_of(provider, subject))
}

fn provider_session_key(provider: &str, sid: &str) -> Key {
    Key::new("provider-session", &digest_of(provider, sid))
}

/// Names may be long and say who somebody is: keys of the store are read by whoever reads it.
pub(super) fn digest_of(provider: &str, name: &str) -> Vec<u8> {
    let text = format!("{} {provider} {name}", provider.len());
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
