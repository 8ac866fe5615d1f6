//! The app's data: one small JSON document of a session, or of a person, that is kept for the app.
//!
//! Called by `server/session_data`, which has looked whose session asks, and by `begin` for a person who
//! comes back. What is in a document is the app's own affair: it is bytes here.
//!
//! - **of a session** it is sealed with the key that only the session's cookie holds, and ends with it;
//! - **of a person** it is sealed with the session keys, and outlives their sessions for a while. A person
//!   is a `sub` of one registration with one provider, and nobody else.
//!
//! Either is bound to its place, so that what lies at one place opens at no other. Where one is forgotten, a
//! mark stays in its place for a while: a write of a session from before, under way on whatever replica, finds
//! it where it expects what it has read, and writes nothing. Must never give anybody the document of another,
//! nor take what does not open for theirs.

use super::kept::{digest_of, own_ring};
use super::{Session, SessionId, Sessions};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::Purpose;
use crate::store::{Key, StoreError};
use crate::web::preconditions::{EntityTag, Preconditions};
use std::time::Duration;

/// Tries to change a document while others change it.
const TRIES: u32 = 20;
/// For how long a session that has ended is written for no more: longer than any request is under way, and
/// than its end takes to be heard of. What comes later nobody can read, and it ends as the session would have.
const UNDER_WAY: Duration = Duration::from_secs(5 * 60);
/// What a mark begins with; no sealed document has a space.
const MARK: &str = "forgotten ";

/// Whose the app's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppData {
    /// Each session's, with which it ends.
    OfSession,
    /// Each person's.
    OfPerson {
        /// For how long it is kept where they have no session; up to `session.lifetime` more.
        forget_after: Duration,
    },
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was made.
    Made {
        /// Whether there was a document.
        was_there: bool,
    },
    /// What is there is not what the request is about.
    NotAsExpected,
    /// Nothing was: the session has ended, or what is kept of its person was forgotten with it.
    SessionEnded,
}

/// Where a document lies.
struct Where {
    of: AppData,
    key: Key,
    /// What its seal is bound to.
    place: Vec<u8>,
    /// When what is put there now ends.
    until: Timestamp,
}

impl Sessions {
    /// Whether documents are kept for the app.
    pub fn keeps_app_data(&self) -> bool {
        self.settings.app_data.is_some()
    }

    /// The document of a session, or of its person.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn app_data(&self, session: &Session<'_>, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(at) = self.place_of_data(session, now) else { return Ok(None) };
        let sealed = self.store.get(&at.key, now).await?;
        Ok(sealed.and_then(|sealed| self.open_data(session, &at, &sealed, now)))
    }

    /// Puts `new` in the place of the document, or takes that away, if it is what the request is about.
    ///
    /// # Errors
    /// When the store cannot be had, or nothing can be sealed.
    pub async fn change_app_data(
        &self,
        session: &Session<'_>,
        new: Option<&[u8]>,
        preconditions: &Preconditions,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Changed, StoreError> {
        let Some(at) = self.place_of_data(session, now) else { return Ok(Changed::NotAsExpected) };
        let sealed = new.map(|new| self.seal_data(session, &at, new, random)).transpose()?;
        for _ in 0..TRIES {
            let held = self.store.get(&at.key, now).await?;
            let is_forgotten =
                held.as_deref().and_then(forgotten_until).is_some_and(|until| session.started() <= until);
            if is_forgotten || self.was_ended(session) {
                return Ok(Changed::SessionEnded);
            }
            let document = held.as_deref().and_then(|held| self.open_data(session, &at, held, now));
            if !preconditions.allow_change(document.as_deref().map(EntityTag::of).as_ref()) {
                return Ok(Changed::NotAsExpected);
            }
            // Only in the place of what was looked at: another may have changed it since.
            let is_made = match (&held, &sealed) {
                (None, None) => true,
                (Some(held), None) if forgotten_until(held).is_some() => true,
                (None, Some(sealed)) => self.store.put_new(&at.key, sealed.as_bytes(), at.until, now).await?,
                (Some(held), None) => self.store.take(&at.key, held, now).await?,
                (Some(held), Some(sealed)) => {
                    self.store.replace(&at.key, held, sealed.as_bytes(), at.until, now).await?
                }
            };
            if is_made {
                // Ended meanwhile, by whoever did not know of it or was here before this. A person's is not to
                // go with a session: where that is meant, the mark was there before this, or takes its place.
                if at.of == AppData::OfSession && self.was_ended(session) {
                    self.forget_app_data(session.id(), now).await?;
                    return Ok(Changed::SessionEnded);
                }
                return Ok(Changed::Made { was_there: document.is_some() });
            }
        }
        Err(StoreError::Unavailable("the app's data changes all the time".to_owned()))
    }

    /// Keeps a person's document on, because they begin a session: until long after its end, and under the
    /// key that seals now.
    pub(super) async fn keep_app_data_on(
        &self,
        session: &Session<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        let Some(at) = self.place_of_data(session, now).filter(|at| at.of != AppData::OfSession) else {
            return Ok(());
        };
        let Some(held) = self.store.get(&at.key, now).await? else { return Ok(()) };
        // What does not open is nobody's, and ends when it would have.
        let Some(opened) = self.ring.open(Purpose::AppData, &held, &at.place, now) else { return Ok(()) };
        let sealed = if opened.by_current_key {
            held.clone()
        } else {
            self.seal_data(session, &at, opened.plaintext(), random)?.into_bytes()
        };
        // Where another has changed it meanwhile, they have kept it on as well.
        self.store.replace(&at.key, &held, &sealed, at.until, now).await.map(drop)
    }

    /// Forgets what is kept of a person, and takes nothing of their sessions any more that began up to
    /// `begun_until`: those that were ended with it.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn forget_app_data_of(
        &self,
        provider: &str,
        subject: &str,
        begun_until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = of_person(&self.digest_of_person(provider, subject));
        match self.settings.app_data {
            // None of those sessions lasts longer.
            Some(AppData::OfPerson { .. }) => {
                let until = now.plus(self.settings.lifetime);
                self.store.put(&key, mark(begun_until).as_bytes(), until, now).await
            }
            // From before the configuration changed: nobody writes there.
            _ => self.store.delete(&key, now).await,
        }
    }

    /// Forgets what is kept of a session, which has ended.
    pub(super) async fn forget_app_data(&self, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
        if self.settings.app_data == Some(AppData::OfSession) {
            self.store.put(&of_session(id), mark(now).as_bytes(), now.plus(UNDER_WAY), now).await?;
        }
        Ok(())
    }

    fn place_of_data(&self, session: &Session<'_>, now: Timestamp) -> Option<Where> {
        let of = self.settings.app_data?;
        Some(match of {
            AppData::OfSession => {
                let (key, place) = (of_session(session.id()), session.id().bytes().to_vec());
                // Not when it ends as it is now: a step-up, or a renewal, may move that.
                Where { of, key, place, until: session.started().plus(self.settings.lifetime) }
            }
            AppData::OfPerson { forget_after } => {
                let place = self.digest_of_person(session.provider(), session.subject());
                // No session that is alive now ends later.
                let until = now.plus(self.settings.lifetime).plus(forget_after);
                Where { of, key: of_person(&place), place, until }
            }
        })
    }

    /// Another issuer under the name of this one, or another client of it, has other people.
    fn digest_of_person(&self, provider: &str, subject: &str) -> Vec<u8> {
        let registration = self.providers.registration_of(provider).unwrap_or_default();
        digest_of(&format!("{provider} {registration}"), subject)
    }

    fn seal_data(
        &self,
        session: &Session<'_>,
        at: &Where,
        document: &[u8],
        random: &dyn Random,
    ) -> Result<String, StoreError> {
        let sealed = match at.of {
            AppData::OfSession => {
                own_ring(session.key()).and_then(|ring| ring.seal(Purpose::AppData, document, &at.place, random).ok())
            }
            AppData::OfPerson { .. } => self.ring.seal(Purpose::AppData, document, &at.place, random).ok(),
        };
        sealed.ok_or_else(|| StoreError::Unavailable("the app's data could not be sealed".to_owned()))
    }

    fn open_data(&self, session: &Session<'_>, at: &Where, sealed: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        let opened = match at.of {
            AppData::OfSession => own_ring(session.key())?.open(Purpose::AppData, sealed, &at.place, now),
            AppData::OfPerson { .. } => self.ring.open(Purpose::AppData, sealed, &at.place, now),
        };
        opened.map(|opened| opened.plaintext().to_vec())
    }
}

/// What lies in the place of a document that was forgotten, with the sessions that began up to then.
fn mark(begun_until: Timestamp) -> String {
    format!("{MARK}{}", begun_until.as_unix())
}

fn forgotten_until(held: &[u8]) -> Option<Timestamp> {
    let seconds = std::str::from_utf8(held).ok()?.strip_prefix(MARK)?;
    seconds.parse().ok().map(Timestamp::from_unix)
}

fn of_session(id: SessionId) -> Key {
    Key::new("data", &id.bytes())
}

fn of_person(digest: &[u8]) -> Key {
    Key::new("data-of-person", digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::Identity;
    use crate::random::SystemRandom;
    use crate::seal::{KeyMaterial, KeyRing};
    use crate::session::fixture::{START, agent, now_or_never, sessions, tokens, try_begin};
    use crate::session::{Begun, KnownProviders, Revocation};
    use http::header::{IF_MATCH, IF_NONE_MATCH};
    use http::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::json;
    use std::sync::Arc;
    use zeroize::Zeroizing;

    const DAY: Duration = Duration::from_secs(86_400);
    const OF_PERSON: AppData = AppData::OfPerson { forget_after: DAY };
    const MADE: Changed = Changed::Made { was_there: false };
    const CHANGED: Changed = Changed::Made { was_there: true };

    fn keeping(of: AppData) -> Sessions {
        let mut sessions = sessions(&[[1; 32]]);
        sessions.settings.app_data = Some(of);
        sessions
    }

    fn person(provider: &str, subject: &str) -> Identity {
        Identity::for_tests(provider, json!({ "sub": subject }).as_object().unwrap())
    }

    fn begun_by(sessions: &Sessions, identity: &Identity) -> Begun {
        try_begin(sessions, identity, &HeaderMap::new(), &tokens(10), &SystemRandom::new()).unwrap()
    }

    fn put_if(
        sessions: &Sessions,
        begun: &Begun,
        new: Option<&[u8]>,
        asked: &Preconditions,
        now: Timestamp,
    ) -> Changed {
        let session = begun.opened.read().unwrap();
        now_or_never(sessions.change_app_data(&session, new, asked, now, &SystemRandom::new())).unwrap()
    }

    fn put(sessions: &Sessions, begun: &Begun, new: &[u8], now: Timestamp) -> Changed {
        put_if(sessions, begun, Some(new), &Preconditions::default(), now)
    }

    fn kept(sessions: &Sessions, begun: &Begun, now: Timestamp) -> Option<Vec<u8>> {
        now_or_never(sessions.app_data(&begun.opened.read().unwrap(), now)).unwrap()
    }

    fn asks(name: HeaderName, value: &HeaderValue) -> Preconditions {
        Preconditions::of(&HeaderMap::from_iter([(name, value.clone())]))
    }

    #[test]
    fn a_session_has_its_own_and_it_ends_with_it() {
        let sessions = keeping(AppData::OfSession);
        let [one, other] = [0, 1].map(|_| begun_by(&sessions, &agent()));
        let place = |begun: &Begun| of_session(begun.id);
        assert_eq!(kept(&sessions, &one, START), None);
        assert_eq!((put(&sessions, &one, b"{}", START), put(&sessions, &one, b"{\"a\":1}", START)), (MADE, CHANGED));
        assert_eq!((kept(&sessions, &one, START), kept(&sessions, &other, START)), (Some(b"{\"a\":1}".to_vec()), None));
        // Whoever moves it from one place of the store to another moves nothing.
        let end = START.plus(sessions.settings.lifetime);
        let sealed = now_or_never(sessions.store.get(&place(&one), START)).unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("\"a\""));
        now_or_never(sessions.store.put(&place(&other), &sealed, end, START)).unwrap();
        assert_eq!(kept(&sessions, &other, START), None);
        // What does not open is nothing, and makes room.
        assert_eq!(put(&sessions, &other, b"{}", START), MADE);
        let last = Timestamp::from_unix(end.as_unix() - 1);
        assert_eq!((kept(&sessions, &one, last).is_some(), kept(&sessions, &one, end)), (true, None));
        now_or_never(sessions.end(one.id, START)).unwrap();
        let left = |now| now_or_never(sessions.store.get(&place(&one), now)).unwrap();
        assert_eq!(left(START), Some(mark(START).into_bytes()));
        // A request that was under way leaves nothing behind, and in the end nor does the end.
        assert_eq!(put(&sessions, &one, b"{}", START), Changed::SessionEnded);
        assert_eq!((left(START), left(START.plus(UNDER_WAY))), (Some(mark(START).into_bytes()), None));
    }

    #[test]
    fn a_session_s_lasts_as_long_as_a_step_up_may_make_the_session_last() {
        let mut sessions = keeping(AppData::OfSession);
        let age = Duration::from_secs(1800);
        sessions.settings.sign_in_age = Some(age);
        let begun = begun_by(&sessions, &agent());
        put(&sessions, &begun, b"{}", START);
        let (later, random) = (START.plus(age / 2), SystemRandom::new());
        let mut claims = json!({"sub": agent().subject(), "auth_time": later.as_unix()});
        claims["acr"] = "eidas1".into();
        let again = Identity::for_tests(agent().provider(), claims.as_object().unwrap());
        let (tokens, place, request) = (tokens(10), crate::session::Place::default(), HeaderMap::new());
        let step = sessions.step_up(&begun.opened, &again, &tokens, &request, &place, later, &random);
        let stepped_up = now_or_never(step).unwrap();
        let last = Timestamp::from_unix(later.plus(age).as_unix() - 1);
        assert!(sessions.read(&stepped_up.opened, last).is_ok(), "it has not ended");
        assert_eq!(kept(&sessions, &stepped_up, last), Some(b"{}".to_vec()));
        assert_eq!(kept(&sessions, &stepped_up, START.plus(sessions.settings.lifetime)), None);
    }

    #[test]
    fn what_was_forgotten_is_put_back_by_no_session_of_before_on_any_replica() {
        for of in [AppData::OfSession, OF_PERSON] {
            let (here, mut there) = (keeping(of), keeping(of));
            there.store = Arc::clone(&here.store);
            let tabs = [0, 1].map(|_| begun_by(&here, &agent()));
            let identity = agent();
            let (provider, subject) = (identity.provider(), identity.subject());
            assert_eq!(put(&there, &tabs[0], b"{}", START), MADE, "{of:?}");
            now_or_never(here.end_person(provider, subject, START, START)).unwrap();
            now_or_never(here.forget_app_data_of(provider, subject, START, START)).unwrap();
            // The other replica has not heard of it.
            assert!(tabs.iter().all(|tab| there.read(&tab.opened, START).is_ok()), "{of:?}");
            for tab in &tabs {
                assert_eq!(put(&there, tab, b"{\"a\":1}", START), Changed::SessionEnded, "{of:?}");
                let deleted = put_if(&there, tab, None, &Preconditions::default(), START);
                assert_eq!((deleted, kept(&there, tab, START)), (Changed::SessionEnded, None), "{of:?}");
            }
            // Whoever comes back begins with nothing, and keeps what they write.
            let later = START.plus(Duration::from_secs(1));
            let (tokens, place, request) = (tokens(10), crate::session::Place::default(), HeaderMap::new());
            let random = SystemRandom::new();
            let back = here.begin(&identity, &tokens, &request, &place, later, &random);
            let back = now_or_never(back).unwrap();
            let deleted = put_if(&there, &back, None, &Preconditions::default(), later);
            assert_eq!((deleted, kept(&there, &back, later)), (MADE, None), "{of:?}");
            assert_eq!(put(&there, &tabs[0], b"{}", later), Changed::SessionEnded, "{of:?}");
            let any = asks(IF_NONE_MATCH, &HeaderValue::from_static("*"));
            assert_eq!(put_if(&there, &back, Some(b"[]"), &any, later), MADE, "{of:?}");
            assert_eq!(kept(&here, &back, later), Some(b"[]".to_vec()), "{of:?}");
        }
    }

    #[test]
    fn a_person_has_one_in_all_sessions_and_nobody_else_has_it() {
        let one = ("one", "https://one.example", "app");
        let two = ("two", "https://two.example", "app");
        let knowing = |known: &[(&str, &str, &str)], store| {
            let mut sessions = keeping(OF_PERSON).of_providers(KnownProviders::new(known.iter().copied()));
            if let Some(store) = store {
                sessions.store = store;
            }
            sessions
        };
        let first = knowing(&[one, two], None);
        let mine = [0, 1].map(|_| begun_by(&first, &person("one", "s")));
        assert_eq!(put(&first, &mine[0], b"{}", START), MADE);
        assert_eq!(kept(&first, &mine[1], START), Some(b"{}".to_vec()));
        for (provider, subject) in [("one", "S"), ("one", "s "), ("two", "s"), ("one", "")] {
            let other = begun_by(&first, &person(provider, subject));
            assert_eq!(kept(&first, &other, START), None, "{provider} {subject}");
        }
        // The same names in another configuration over the same store: only the same registration counts.
        for (known, is_theirs) in [
            (vec![one], true),
            (vec![("one", "https://other.example", "app"), two], false),
            (vec![("one", "https://other.example", "app")], false),
            (vec![("one", "https://one.example", "other")], false),
        ] {
            let later = knowing(&known, Some(Arc::clone(&first.store)));
            let begun = begun_by(&later, &person("one", "s"));
            assert_eq!(kept(&later, &begun, START).is_some(), is_theirs, "{known:?}");
        }
        // It is no session's: ending all of them takes nothing away, forgetting does.
        let [provider, subject] = ["one", "s"];
        now_or_never(first.end_person(provider, subject, START, START)).unwrap();
        let later = START.plus(Duration::from_secs(1));
        let again = begun_by(&first, &person("one", "s"));
        assert_eq!(kept(&first, &again, later), Some(b"{}".to_vec()));
        now_or_never(first.forget_app_data_of(provider, subject, later, later)).unwrap();
        assert_eq!(kept(&first, &again, later), None);
    }

    #[test]
    fn a_person_s_is_kept_on_by_each_sign_in_and_forgotten_after_the_last() {
        let sessions = keeping(OF_PERSON);
        let begun = begun_by(&sessions, &agent());
        put(&sessions, &begun, b"{}", START);
        let until = START.plus(sessions.settings.lifetime).plus(DAY);
        let last = Timestamp::from_unix(until.as_unix() - 1);
        assert_eq!((kept(&sessions, &begun, last).is_some(), kept(&sessions, &begun, until)), (true, None));
        let identity = agent();
        let random = SystemRandom::new();
        let later = now_or_never(sessions.begin(
            &identity,
            &tokens(10),
            &HeaderMap::new(),
            &crate::session::Place::default(),
            last,
            &random,
        ));
        let later = later.unwrap();
        assert_eq!(kept(&sessions, &later, last.plus(sessions.settings.lifetime)), Some(b"{}".to_vec()));
        assert_eq!(kept(&sessions, &later, last.plus(sessions.settings.lifetime).plus(DAY)), None);
    }

    #[test]
    fn a_person_s_goes_over_to_the_new_key_at_the_next_sign_in() {
        let sessions = keeping(OF_PERSON);
        let key = |byte| KeyMaterial { id: format!("k{byte}"), secret: Zeroizing::new([byte; 32]), until: None };
        let begun = begun_by(&sessions, &agent());
        put(&sessions, &begun, b"{}", START);
        sessions.ring.replace(&[key(2), key(1)]);
        let again = begun_by(&sessions, &agent());
        sessions.ring.replace(&[key(2)]);
        assert_eq!(kept(&sessions, &again, START), Some(b"{}".to_vec()));
        // Who did not come in between finds nothing, and begins anew.
        sessions.ring.replace(&[key(3)]);
        let late = begun_by(&sessions, &agent());
        assert_eq!((kept(&sessions, &late, START), put(&sessions, &late, b"[]", START)), (None, MADE));
        assert!(KeyRing::new(&[key(3)]).is_some());
    }

    #[test]
    fn a_change_counts_only_for_what_is_there() {
        for of in [AppData::OfSession, OF_PERSON] {
            let sessions = keeping(of);
            let begun = begun_by(&sessions, &agent());
            let [none, first, second] = [b"".as_slice(), b"{}", b"{\"a\":1}"];
            let tag = |document: &[u8]| EntityTag::of(document).to_header();
            let any = HeaderValue::from_static("*");
            let steps = [
                (Some(first), asks(IF_MATCH, &any), Changed::NotAsExpected, none),
                (Some(first), asks(IF_MATCH, &tag(first)), Changed::NotAsExpected, none),
                (None, asks(IF_MATCH, &any), Changed::NotAsExpected, none),
                (None, Preconditions::default(), MADE, none),
                (Some(first), asks(IF_NONE_MATCH, &any), MADE, first),
                (Some(second), asks(IF_NONE_MATCH, &any), Changed::NotAsExpected, first),
                (Some(second), asks(IF_MATCH, &tag(second)), Changed::NotAsExpected, first),
                (Some(second), asks(IF_MATCH, &tag(first)), CHANGED, second),
                (Some(first), asks(IF_MATCH, &tag(first)), Changed::NotAsExpected, second),
                (None, asks(IF_MATCH, &tag(first)), Changed::NotAsExpected, second),
                (Some(first), Preconditions::default(), CHANGED, first),
                (None, asks(IF_MATCH, &tag(first)), CHANGED, none),
            ];
            for (number, (new, asked, expected, then)) in steps.into_iter().enumerate() {
                assert_eq!(put_if(&sessions, &begun, new, &asked, START), expected, "{of:?} {number}");
                let document = kept(&sessions, &begun, START).unwrap_or_default();
                assert_eq!(document, then, "{of:?} {number}");
            }
        }
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_configured() {
        let sessions = sessions(&[[1; 32]]);
        let begun = begun_by(&sessions, &agent());
        assert!(!sessions.keeps_app_data());
        assert_eq!(put(&sessions, &begun, b"{}", START), Changed::NotAsExpected);
        assert_eq!(kept(&sessions, &begun, START), None);
        now_or_never(sessions.revoke(&Revocation::Session(begun.id), START)).unwrap();
    }
}
