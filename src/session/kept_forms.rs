//! Forms that met a session which is over, kept for the same person's next one.
//!
//! Called by `login`, which has the browser's key. A form is the person's whose session it came with,
//! by the cookie that opened; it is found again by its name, opens with the key of the browser that
//! sent it and with nothing else, and says whose it is. So who reads the store reads none, and who
//! knows its name has nothing. A person has four at most, however many sessions: what the store
//! holds of them does not grow with what anybody sends. Must never keep one for a stranger.

use super::kept::{digest_of, own_ring};
use super::{Session, Sessions};
use crate::clock::Timestamp;
use crate::random::{self, Random};
use crate::seal::Purpose;
use crate::store::{Key, StoreError};
use crate::web::form_id::{self, FormId};
use crate::web::submitted::Submitted;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How many forms a person has at once.
const SLOTS: u8 = 4;
/// At how many addresses a form arrives, redirects of its app included.
const MAX_STEPS: usize = 4;
const STEP_LEN: usize = 16;
/// How many bytes of a name say whose form it is, and in which slot it lies; the rest is random.
const PLACE_LEN: usize = 17;

/// A form, and where it was going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentForm {
    /// The path and query that it was sent to.
    pub target: String,
    /// The page that it was on, where the browser said so: a path and query.
    pub page: Option<String>,
    /// What was in it.
    pub form: Submitted,
}

#[derive(Serialize, Deserialize)]
struct Written {
    provider: String,
    subject: String,
    sent: SentForm,
}

/// A form that was found and opened.
pub struct FoundForm {
    id: FormId,
    /// As it lies in the store.
    sealed: Vec<u8>,
    written: Written,
}

impl FoundForm {
    /// Its name.
    pub fn id(&self) -> FormId {
        self.id
    }

    /// What was sent.
    pub fn sent(&self) -> &SentForm {
        &self.written.sent
    }
}

impl Sessions {
    /// Whether the person of this session sent a form.
    pub fn form_is_of(&self, found: &FoundForm, session: &Session<'_>) -> bool {
        let Written { provider, subject, .. } = &found.written;
        // Of one provider the name says nothing: it may have been renamed since.
        subject == session.subject() && (!self.providers.are_several() || provider == session.provider())
    }

    /// Keeps a form for whoever had the session whose cookie the request shows, until then. None
    /// where the request shows none that opens, and where that person has four already.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn keep_form(
        &self,
        request: &HeaderMap,
        sent: SentForm,
        key: &[u8; 32],
        until: Timestamp,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Option<FormId>, StoreError> {
        let whose = {
            let opened = self.open(request, now).ok();
            let session = opened.as_ref().and_then(|opened| opened.read().ok());
            session.map(|session| (session.provider().to_owned(), session.subject().to_owned()))
        };
        let Some((provider, subject)) = whose else { return Ok(None) };
        let person = digest_of(&provider, &subject);
        let not_sealed = || StoreError::Unavailable("it could not be sealed".to_owned());
        let plaintext =
            postcard::to_stdvec(&Written { provider, subject, sent }).map(Zeroizing::new).map_err(|_| not_sealed())?;
        let ring = own_ring(key).ok_or_else(not_sealed)?;
        for slot in 0..SLOTS {
            let random_part: [u8; form_id::LEN - PLACE_LEN] = random::bytes(random).map_err(|_| not_sealed())?;
            let place = person.iter().take(PLACE_LEN - 1).chain([&slot]).chain(&random_part);
            let mut bytes = [0; form_id::LEN];
            bytes.iter_mut().zip(place).for_each(|(to, from)| *to = *from);
            let id = FormId::from_bytes(bytes);
            let sealed = ring.seal(Purpose::Form, &plaintext, id.bytes(), random).map_err(|_| not_sealed())?;
            if self.store.put_new(&key_of(id), sealed.as_bytes(), until, now).await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The form of that name, where it is there and this key opens it.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn kept_form(&self, id: FormId, key: &[u8; 32], now: Timestamp) -> Result<Option<FoundForm>, StoreError> {
        let Some(sealed) = self.store.get(&key_of(id), now).await? else { return Ok(None) };
        let opened = own_ring(key).and_then(|ring| ring.open(Purpose::Form, &sealed, id.bytes(), now));
        let written = opened.and_then(|opened| postcard::from_bytes(opened.plaintext()).ok());
        Ok(written.map(|written| FoundForm { id, sealed, written }))
    }

    /// Takes a form away because it arrives where it was going; says whether it still was there.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn form_arrives(&self, found: &FoundForm, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let is_there = self.take_form(found, now).await?;
        if is_there {
            let mark = [found.id.bytes().as_slice(), &step(&found.sent().target)].concat();
            self.store.put(&mark_of(found.id), &mark, until, now).await?;
        }
        Ok(is_there)
    }

    /// Whether a form that has arrived may go on to `target`: its app may send it there by a redirect
    /// that keeps the method (a final slash, say). To each address once, and not to many.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn form_goes_on(
        &self,
        id: FormId,
        target: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(mark) = self.store.get(&mark_of(id), now).await? else { return Ok(false) };
        let Some(steps) = mark.strip_prefix(id.bytes()) else { return Ok(false) };
        let next = step(target);
        if steps.len() >= MAX_STEPS * STEP_LEN || steps.chunks(STEP_LEN).any(|taken| taken == next) {
            return Ok(false);
        }
        self.store.put(&mark_of(id), &[mark.as_slice(), &next].concat(), until, now).await?;
        Ok(true)
    }

    /// Deletes a form; says whether it still was there. Of two who ask, one is told so.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub async fn take_form(&self, found: &FoundForm, now: Timestamp) -> Result<bool, StoreError> {
        self.store.take(&key_of(found.id), &found.sealed, now).await
    }
}

/// Without what is random: so a person's forms lie in as many places as there are slots.
fn key_of(id: FormId) -> Key {
    Key::new("form", place(&id))
}

/// Where it is written which form has arrived from that place, and at which addresses.
fn mark_of(id: FormId) -> Key {
    Key::new("form-sent", place(&id))
}

fn place(id: &FormId) -> &[u8] {
    id.bytes().get(..PLACE_LEN).unwrap_or_default()
}

/// An address, as far as it takes to know it again.
fn step(target: &str) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA256, target.as_bytes());
    digest.as_ref().iter().take(STEP_LEN).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::Identity;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens, try_begin};
    use crate::session::{KnownProviders, NoSession};
    use crate::web::submitted::{FormType, MAX_LEN};
    use std::time::Duration;

    fn sent(body: &str) -> SentForm {
        let form = FormType::parse("application/x-www-form-urlencoded").unwrap().read(body.as_bytes()).unwrap();
        SentForm { target: "/send?a=b".to_owned(), page: None, form }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_form_opens_in_its_own_browser_until_its_end_and_is_taken_once() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let request = request_after(&HeaderMap::new(), &begun.cookies);
        // Long after the session's end, which is where forms come from.
        let now = START.plus(100 * HOUR);
        let opened = sessions.open(&request, now).unwrap();
        assert_eq!(sessions.read(&opened, now).unwrap_err(), NoSession::Expired);
        let (mine, other) = ([7; 32], [8; 32]);
        let sent = sent("user=hm&password=secret");
        let until = now.plus(HOUR);
        let id = sessions.keep_form(&request, sent.clone(), &mine, until, now, &random).await.unwrap().unwrap();
        assert!(sessions.kept_form(id, &other, now).await.unwrap().is_none());
        assert!(sessions.kept_form(id, &mine, until).await.unwrap().is_none());
        let found = sessions.kept_form(id, &mine, now).await.unwrap().unwrap();
        assert_eq!((found.sent(), found.id()), (&sent, id));
        assert!(sessions.form_is_of(&found, &begun.opened.read().unwrap()));
        assert!(!String::from_utf8_lossy(&found.sealed).contains("secret"));
        // A name of the same place, of which only the random part differs.
        let mut bytes = *id.bytes();
        bytes[31] ^= 1;
        assert!(sessions.kept_form(FormId::from_bytes(bytes), &mine, now).await.unwrap().is_none());
        let taken = [sessions.take_form(&found, now).await, sessions.take_form(&found, now).await];
        assert_eq!(taken, [Ok(true), Ok(false)]);
        assert!(sessions.kept_form(id, &mine, now).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_form_that_has_arrived_goes_on_where_its_app_sends_it_and_nowhere_twice() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let request = request_after(&HeaderMap::new(), &begun.cookies);
        let until = START.plus(HOUR);
        let id = sessions.keep_form(&request, sent("a=1"), &[7; 32], until, START, &random).await.unwrap().unwrap();
        let goes_on = async |target: &str| sessions.form_goes_on(id, target, until, START).await.unwrap();
        assert!(!goes_on("/send/?a=b").await, "it has not arrived");
        let found = sessions.kept_form(id, &[7; 32], START).await.unwrap().unwrap();
        let arrives = async || sessions.form_arrives(&found, until, START).await.unwrap();
        assert_eq!((arrives().await, arrives().await), (true, false));
        let mut passed = Vec::new();
        for target in ["/send?a=b", "/1", "/1", "/2", "/send?a=b", "/3", "/4", "/5"] {
            passed.push(goes_on(target).await);
        }
        assert_eq!(passed, [false, true, false, true, false, true, false, false]);
        // Of the next form in its place nothing is known.
        let next = sessions.keep_form(&request, sent("a=1"), &[7; 32], until, START, &random).await.unwrap().unwrap();
        assert!(!sessions.form_goes_on(next, "/1", until, START).await.unwrap());
    }

    #[tokio::test]
    async fn a_person_has_four_forms_at_most_and_a_stranger_none() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let request = |_| {
            let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
            request_after(&HeaderMap::new(), &begun.cookies)
        };
        let until = START.plus(HOUR);
        let mut kept = Vec::new();
        // Each from a session of its own.
        for request in [0; 5].map(request) {
            kept.push(sessions.keep_form(&request, sent("a=1"), &[7; 32], until, START, &random).await.unwrap());
        }
        assert!(kept[..4].iter().all(Option::is_some) && kept[4].is_none());
        let found = sessions.kept_form(kept[1].unwrap(), &[7; 32], START).await.unwrap().unwrap();
        assert!(sessions.take_form(&found, START).await.unwrap());
        let again = sessions.keep_form(&request(0), sent("a=2"), &[7; 32], until, START, &random).await.unwrap();
        assert!(again.is_some() && again != kept[1]);
        assert!(sessions.kept_form(kept[1].unwrap(), &[7; 32], START).await.unwrap().is_none(), "another's name");
        let nobody = HeaderMap::new();
        assert!(sessions.keep_form(&nobody, sent("a=1"), &[7; 32], until, START, &random).await.unwrap().is_none());
    }

    /// Of one provider whoever has that `sub` is the same person, whatever it is called by now. Of several the
    /// same `sub` is two.
    #[tokio::test]
    async fn a_form_is_its_person_s_still_when_the_provider_has_another_name() {
        let of = |name: &str| {
            let claims = serde_json::json!({"sub": "s"});
            Identity::for_tests(name, claims.as_object().unwrap())
        };
        let several = [("one", "https://one.example", "app"), ("two", "https://two.example", "app")];
        for (known, is_theirs) in [(&several[..1], true), (&several[..], false)] {
            let random = SystemRandom::new();
            let sessions = sessions(&[[1; 32]]).of_providers(KnownProviders::new(known.iter().copied()));
            let begin = |name| try_begin(&sessions, &of(name), &HeaderMap::new(), &tokens(10), &random).unwrap();
            let request = request_after(&HeaderMap::new(), &begin("one").cookies);
            let until = START.plus(HOUR);
            let id = sessions.keep_form(&request, sent("a=1"), &[7; 32], until, START, &random).await.unwrap().unwrap();
            let found = sessions.kept_form(id, &[7; 32], START).await.unwrap().unwrap();
            for (name, expected) in [("one", true), ("two", is_theirs)] {
                assert_eq!(sessions.form_is_of(&found, &begin(name).opened.read().unwrap()), expected, "{name}");
            }
        }
    }

    #[tokio::test]
    async fn the_longest_form_is_kept_whole() {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let request = request_after(&HeaderMap::new(), &begun.cookies);
        for body in [format!("a={}", "x".repeat(MAX_LEN - 2)), vec!["ab=".to_owned(); 1000].join("&")] {
            let sent = sent(&body);
            let id = sessions.keep_form(&request, sent.clone(), &[7; 32], START.plus(HOUR), START, &random).await;
            let found = sessions.kept_form(id.unwrap().unwrap(), &[7; 32], START).await.unwrap().unwrap();
            assert_eq!(found.sent(), &sent);
        }
    }
}
