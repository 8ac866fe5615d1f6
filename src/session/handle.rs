//! What an app shows to get a new access token: the `state` that came with the last one.
//!
//! Called by `server/token_endpoints`. Two kinds, sealed for two places:
//!
//! - **beside a cookie** it only says for whom it was made. It opens nothing: the session's cookie
//!   does, and the handle has to name the same person, so that a page which shows one person's data
//!   does not go on with another one's session.
//! - **without any cookie** it is all there is: it holds the session, and each is used once. The next
//!   comes with the answer; the former is good for [`GRACE`] more, for an answer that was lost and
//!   for requests side by side. Used after that, somebody has a copy: the session ends (RFC 9700
//!   §4.14.2). The store has the number that is in use, and nothing that opens anything.

use super::kept::digest_of;
use super::{NoSession, OpenedSession, Session, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::random::{NoRandomness, Random};
use crate::seal::Purpose;
use crate::store::{Key, StoreError};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How long a handle is good after its first use.
const GRACE: Duration = Duration::from_secs(30);

const BESIDE_A_COOKIE: &[u8] = b"handle";
const ROTATING: &[u8] = b"rotating handle";

/// Tries, while another request moves the number on.
const TRIES: u32 = 40;
/// Between two of them.
const LOOK: Duration = Duration::from_millis(25);

/// Why a rotating handle gives no session.
#[derive(Debug, thiserror::Error)]
pub enum NotUsed {
    /// It does not open, or its session is over.
    #[error(transparent)]
    Session(#[from] NoSession),
    /// It was used before, longer ago than it is good for: there is a copy, and the session has ended.
    #[error("a handle was used again: somebody has a copy, and the session ends")]
    Reused(SessionId),
    /// Nobody knows whether it was.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle of a session, and which of its handles it is.
#[derive(Serialize, Deserialize)]
struct Rotating<'a> {
    number: u64,
    #[serde(borrow)]
    session: Session<'a>,
}

/// What the store has of a session's handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InUse {
    /// The latest that was used,
    number: u64,
    /// when that was used first,
    at: Timestamp,
    /// and the one before it.
    before: Timestamp,
}

/// What comes of a handle's number, by what is known of the others.
#[derive(Debug, PartialEq, Eq)]
enum Use {
    /// It is good; this is the next one's number.
    Again(u64),
    /// It is the next, and this is to be known from now on.
    First(InUse),
    /// Nobody was given it, or it is too long ago that it was good.
    Reuse,
}

impl InUse {
    fn takes(self, number: u64, now: Timestamp) -> Use {
        let recently = |at: Timestamp| now.since(at) < GRACE;
        // Whoever comes late gets the next that nobody has used: so there is one line of them, and
        // of two who follow it one will be late.
        let next = self.number.saturating_add(1);
        if number == next {
            Use::First(Self { number, at: now, before: self.at })
        } else if (number == self.number && recently(self.at))
            || (number.saturating_add(1) == self.number && recently(self.before))
        {
            Use::Again(next)
        } else {
            Use::Reuse
        }
    }
}

impl Sessions {
    /// A handle to be shown beside the session's cookie.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn handle(&self, session: &Session<'_>, random: &dyn Random) -> Result<String, NoRandomness> {
        let person = digest_of(session.provider(), session.subject());
        self.ring.seal(Purpose::Handle, &[&session.id().0[..], &person].concat(), BESIDE_A_COOKIE, random)
    }

    /// Whether a handle was made for the person of a session. Not for the very session: whoever
    /// opens a second tab signs in there, and the first goes on with the cookie of both.
    ///
    /// Whether the session is over is another question: one that rested may go on yet.
    pub fn is_handle_of(&self, handle: &str, session: &OpenedSession, now: Timestamp) -> bool {
        let Ok(session) = session.read() else { return false };
        let opened = self.ring.open(Purpose::Handle, handle.as_bytes(), BESIDE_A_COOKIE, now);
        let person = digest_of(session.provider(), session.subject());
        opened.is_some_and(|opened| {
            opened.plaintext().split_at_checked(16).is_some_and(|(_, held)| held.ct_eq(&person).into())
        })
    }

    /// The name of the session that a handle of either kind was made for, whether that is over or not.
    pub fn named_by_handle(&self, handle: &str, now: Timestamp) -> Option<SessionId> {
        let open = |place| self.ring.open(Purpose::Handle, handle.as_bytes(), place, now);
        if let Some(opened) = open(BESIDE_A_COOKIE) {
            return SessionId::from_bytes(opened.plaintext().split_at_checked(16)?.0);
        }
        let opened = open(ROTATING)?;
        Some(postcard::from_bytes::<Rotating<'_>>(opened.plaintext()).ok()?.session.id())
    }

    /// The handle of this number for a session without a cookie, which is seen at this moment. The
    /// first is 0.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn rotating_handle(
        &self,
        session: &Session<'_>,
        number: u64,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, NoRandomness> {
        let rotating = Rotating { number, session: session.seen(now) };
        let plaintext = Zeroizing::new(postcard::to_stdvec(&rotating).map_err(|_| NoRandomness)?);
        self.ring.seal(Purpose::Handle, &plaintext, ROTATING, random)
    }

    /// Opens a rotating handle: its session, to be renewed where that is due, and its number, to be
    /// used by [`Self::use_handle`] once the session goes on. An outage in between uses nothing up.
    ///
    /// # Errors
    /// When it does not open, or its session is over.
    pub fn open_handle(&self, handle: &str, now: Timestamp) -> Result<(OpenedSession, u64), NoSession> {
        let sealed = self.ring.open(Purpose::Handle, handle.as_bytes(), ROTATING, now);
        let sealed = sealed.ok_or(NoSession::Unreadable)?;
        let shown: Rotating<'_> = postcard::from_bytes(sealed.plaintext()).map_err(|_| NoSession::Unreadable)?;
        let opened = OpenedSession::renewed(&shown.session).ok_or(NoSession::Unreadable)?;
        match self.read(&opened, now) {
            // It may have been in use by its tokens all the time, which whoever renews it knows.
            Ok(_) | Err(NoSession::Idle) => {}
            Err(reason) => return Err(reason),
        }
        Ok((opened, shown.number))
    }

    /// Uses the handle of this number of a session that goes on, and gives the next one's number.
    /// One that was used before ends its session.
    ///
    /// # Errors
    /// [`NotUsed`], by cause.
    pub async fn use_handle(&self, session: &Session<'_>, shown: u64, now: Timestamp) -> Result<u64, NotUsed> {
        let (id, until) = (session.id(), self.ends_at(session));
        let key = Key::new("handle", &id.0);
        for _ in 0..TRIES {
            let held = self.store.get(&key, now).await?;
            let outcome = match (&held, shown) {
                (None, 0) => Use::First(InUse { number: 0, at: now, before: now }),
                // Another request is between taking the number away and putting the next one there.
                (None, _) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                (Some(held), number) => {
                    let held: InUse =
                        postcard::from_bytes(held).map_err(|cause| StoreError::Corrupt(cause.to_string()))?;
                    held.takes(number, now)
                }
            };
            match outcome {
                Use::Again(next) => return Ok(next),
                Use::Reuse => {
                    tracing::warn!(
                        session = id.short(),
                        "a handle was used again after its successor: the session ends"
                    );
                    if let Err(error) = self.end(id, now).await {
                        tracing::warn!(session = id.short(), %error, "its end could not be announced yet");
                    }
                    return Err(NotUsed::Reused(id));
                }
                Use::First(in_use) => {
                    // Whoever takes the former number away is alone in putting the next one there.
                    let is_mine = match &held {
                        Some(held) => self.store.take(&key, held, now).await?,
                        None => true,
                    };
                    let value = postcard::to_stdvec(&in_use).map_err(|cause| StoreError::Corrupt(cause.to_string()))?;
                    if is_mine && self.store.put_new(&key, &value, until, now).await? {
                        return Ok(in_use.number.saturating_add(1));
                    }
                }
            }
        }
        // What the store has lost cannot be told from what was taken: nobody goes on with it.
        Err(NoSession::Unreadable.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, now_or_never, sessions, tokens};
    use http::HeaderMap;

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_handle_is_good_once_and_a_little_longer() {
        let in_use = InUse { number: 5, at: at(100), before: at(90) };
        let cases = [
            (6, 500, Use::First(InUse { number: 6, at: at(500), before: at(100) })),
            (5, 129, Use::Again(6)),
            (5, 130, Use::Reuse),
            (4, 119, Use::Again(6)),
            (4, 120, Use::Reuse),
            (3, 100, Use::Reuse),
            (0, 100, Use::Reuse),
            (7, 100, Use::Reuse),
            (u64::MAX, 100, Use::Reuse),
        ];
        for (number, now, expected) in cases {
            assert_eq!(in_use.takes(number, at(now)), expected, "{number} at {now}");
        }
    }

    #[test]
    fn handles_follow_one_another_and_a_copy_ends_the_session() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let session = begun.opened.read().unwrap();
        let handle = |number| sessions.rotating_handle(&session, number, START, &random).unwrap();
        let use_it = |number, now| {
            let (opened, number) = sessions.open_handle(&handle(number), at(now))?;
            let session = sessions.read(&opened, at(now))?;
            now_or_never(sessions.use_handle(&session, number, at(now)))
        };
        assert_eq!(use_it(0, 0).unwrap(), 1);
        assert_eq!(use_it(0, 29).unwrap(), 1);
        assert_eq!(use_it(1, 30).unwrap(), 2);
        assert_eq!(use_it(1, 59).unwrap(), 2);
        assert!(matches!(use_it(1, 60), Err(NotUsed::Reused(id)) if id == begun.id));
        assert!(sessions.has_ended(begun.id));
        assert!(matches!(use_it(2, 61), Err(NotUsed::Session(NoSession::Ended))));
    }

    #[test]
    fn a_handle_beside_a_cookie_names_its_person_and_opens_nothing() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let [one, same] = [0, 1].map(|_| begun(&sessions, &HeaderMap::new(), &tokens(10), &random));
        let session = one.opened.read().unwrap();
        let handle = sessions.handle(&session, &random).unwrap();
        assert!(
            sessions.is_handle_of(&handle, &one.opened, START) && sessions.is_handle_of(&handle, &same.opened, START)
        );
        assert_eq!(sessions.named_by_handle(&handle, START), Some(one.id));
        assert!(sessions.open_handle(&handle, START).is_err());
        let rotating = sessions.rotating_handle(&session, 0, START, &random).unwrap();
        assert_eq!(sessions.named_by_handle(&rotating, START), Some(one.id));
        assert!(!sessions.is_handle_of(&rotating, &one.opened, START));
        for other in ["", "x", &handle[1..]] {
            assert!(
                !sessions.is_handle_of(other, &one.opened, START) && sessions.named_by_handle(other, START).is_none()
            );
        }
    }
}
