//! The step-up of a session: the same person, who has proved more of themselves, or once more.
//!
//! Called by `login` with a verified identity. The session stays the same one: its name, its key, its
//! live connections and its end. What is said of the authentication is that of the new one alone. Must
//! never put one person in the place of another, nor a lower level in the place of a higher one.
//!
//! What lies in the store is written anew in either way of keeping tokens: there a cookie of before the
//! step-up, which somebody may have a copy of, finds that it is not to be renewed (`refresh`).

use super::{BeginError, Begun, Keep, NoSession, OpenedSession, Place, Sessions};
use crate::clock::Timestamp;
use crate::oidc::{Identity, Tokens, is_lower};
use crate::random::Random;
use http::HeaderMap;
use std::sync::Arc;

/// Why a session stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotSteppedUp {
    /// It is over.
    #[error(transparent)]
    Over(#[from] NoSession),
    /// Somebody else has signed in at the provider.
    #[error("another person has signed in at the provider than the one whose session it is")]
    OtherPerson,
    /// The level is lower than the session's.
    #[error("acr is lower than it was")]
    Lower,
    /// The authentication is of before the session's.
    #[error("auth_time is missing or before the one that the session has")]
    Earlier,
    /// The stepped-up session could not be kept.
    #[error(transparent)]
    Begin(#[from] BeginError),
}

impl Sessions {
    /// Whether a session has stepped up since it was as a request showed it. Where the store cannot say it,
    /// it has not.
    pub async fn has_stepped_up_since(&self, opened: &OpenedSession, now: Timestamp) -> bool {
        let Ok(session) = opened.read() else { return false };
        self.kept(&session, now).await.is_ok_and(|kept| kept.is_some_and(|kept| kept.step() > session.step()))
    }

    /// How many step-ups a session has behind it.
    pub fn steps_of(&self, opened: &OpenedSession) -> u32 {
        opened.read().map_or(0, |session| session.step())
    }

    /// Whether a verified person is the one whose session it is: the same `sub` at the same provider.
    pub fn is_of(&self, opened: &OpenedSession, identity: &Identity) -> bool {
        // Of one provider the name says nothing: it may have been renamed since.
        opened.read().is_ok_and(|session| {
            session.subject() == identity.subject()
                && (!self.providers.are_several() || session.provider() == identity.provider())
        })
    }

    /// Puts what a new authentication says of the same person in the place of what the session's former
    /// one said.
    ///
    /// # Errors
    /// [`NotSteppedUp`], by cause; the session is as it was.
    #[expect(clippy::too_many_arguments, reason = "as at the beginning of a session, and the session")]
    pub async fn step_up(
        &self,
        opened: &OpenedSession,
        identity: &Identity,
        tokens: &Tokens,
        request: &HeaderMap,
        place: &Place,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Begun, NotSteppedUp> {
        let session = self.read(opened, now)?;
        if !self.is_of(opened, identity) {
            return Err(NotSteppedUp::OtherPerson);
        }
        let new = identity.claims().view();
        if is_lower(new.text("acr"), session.claims().text("acr")) {
            return Err(NotSteppedUp::Lower);
        }
        // Where there is none, it is before any.
        if identity.authenticated_at() < session.authenticated_at() {
            return Err(NotSteppedUp::Earlier);
        }
        let claims = self.kept_of(identity);
        let stepped_up = session.stepped_up(identity, claims.view(), self.vouched(tokens, now), now);
        let cookies = self.cookies_of(&stepped_up, Some(tokens), request, now, random)?;
        let later = OpenedSession::renewed(&stepped_up).ok_or(BeginError::IdentityTooLarge(0))?;
        match self.keep(&stepped_up, tokens, now, random).await {
            Ok(()) => {}
            Err(error) if self.settings.keep == Keep::Store => return Err(BeginError::from(error).into()),
            Err(error) => {
                tracing::warn!(session = session.id().short(), %error, "a step-up could not be kept in the store");
            }
        }
        if let Err(error) = self.list(&self.listing(&stepped_up, place, now), now, random).await {
            tracing::warn!(session = session.id().short(), %error, "a step-up is not listed in the store");
        }
        // Ended while the provider was asked.
        if self.was_ended(&stepped_up) || self.was_ended(&session) {
            return Err(NoSession::Ended.into());
        }
        Ok(Begun { id: stepped_up.id(), opened: Arc::new(later), cookies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens};
    use serde_json::{Value, json};

    async fn stepped_up(claims: Value) -> Result<(Sessions, Begun, Begun, HeaderMap), NotSteppedUp> {
        let (sessions, random) = (sessions(&[[1; 32]]), SystemRandom::new());
        let first = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let request = request_after(&HeaderMap::new(), &first.cookies);
        let held = first.opened.read().unwrap();
        let mut all = json!({"sub": held.subject()});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let identity = Identity::for_tests(held.provider(), all.as_object().unwrap());
        let (place, now) = (Place::default(), START.plus(std::time::Duration::from_secs(60)));
        let new = sessions.step_up(&first.opened, &identity, &tokens(20), &request, &place, now, &random).await?;
        drop(held);
        Ok((sessions, first, new, request))
    }

    #[tokio::test]
    async fn the_session_is_the_same_with_what_the_new_authentication_says() {
        let (sessions, first, new, request) = stepped_up(json!({"acr": "eidas3"})).await.unwrap();
        let (before, after) = (first.opened.read().unwrap(), new.opened.read().unwrap());
        assert_eq!((before.id(), before.started(), before.key()), (after.id(), after.started(), after.key()));
        assert_eq!((after.claims().text("acr"), after.step(), before.step()), (Some("eidas3"), 1, 0));
        // A copy of the former cookie stays what it was, and gets none of the new tokens.
        let former = sessions.open(&request, START).unwrap();
        let former = sessions.read(&former, START).unwrap();
        assert_eq!(former.claims().text("acr"), before.claims().text("acr"));
        assert!(sessions.kept(&former, START).await.unwrap().is_some_and(|kept| kept.step() == 1));
    }

    #[tokio::test]
    async fn nobody_else_takes_its_place() {
        let refused = stepped_up(json!({"sub": "somebody-else", "acr": "eidas3"})).await.err().unwrap();
        assert!(matches!(refused, NotSteppedUp::OtherPerson));
    }
}
