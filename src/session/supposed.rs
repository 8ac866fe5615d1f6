//! Sessions of people who are only supposed: what `server/explain` shows the gate, so that it need
//! not decide anything itself.
//!
//! They are sealed under a key that is made for the occasion and never leaves [`SupposedSessions`]:
//! a cookie made here opens nowhere else, whoever gets hold of it, and nothing that is made elsewhere
//! opens here. Nothing is listed, and no store is asked.

use super::{BeginError, Session, SessionId, Sessions, Settings};
use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::random::{self, NoRandomness, Random};
use crate::seal::{KeyMaterial, KeyRing};
use crate::store::{self, OnDown};
use crate::web::cookies::Cookies;
use http::HeaderValue;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Sessions under a key of their own, as those of a site otherwise.
pub struct SupposedSessions(Arc<Sessions>);

/// Somebody, as if a provider had said so.
#[derive(Clone, Debug)]
pub struct Supposed {
    /// The configured name of the provider.
    pub provider: String,
    /// What it says of them.
    pub claims: Claims,
    /// When they proved who they are to it, where it says so.
    pub authenticated_at: Option<Timestamp>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum NotSupposed {
    /// No key could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The memory of the occasion cannot be had.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The key is none.
    #[error("no key for the occasion")]
    Key,
}

impl SupposedSessions {
    /// Sessions like those of a site of these settings.
    ///
    /// # Errors
    /// [`NotSupposed`], by cause.
    pub fn new(
        cookies: Cookies,
        settings: Settings,
        kept_claims: impl IntoIterator<Item = String>,
        random: &dyn Random,
    ) -> Result<Self, NotSupposed> {
        let secret = Zeroizing::new(random::bytes::<32>(random)?);
        let key = KeyMaterial { id: "supposed".to_owned(), secret, until: None };
        let ring = Arc::new(KeyRing::new(&[key]).ok_or(NotSupposed::Key)?);
        let store = store::open(&store::Settings::Memory)?;
        Ok(Self(Arc::new(Sessions::new(ring, cookies, settings, kept_claims, store, OnDown::default()))))
    }

    /// The sessions, for a gate.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.0
    }

    /// The `Cookie` header of somebody's browser, who has signed in at the moment `now`.
    ///
    /// # Errors
    /// [`BeginError`] where no such session could begin.
    pub fn cookie(&self, who: &Supposed, now: Timestamp, random: &dyn Random) -> Result<HeaderValue, BeginError> {
        let sessions = &self.0;
        let id = SessionId(random::bytes(random)?);
        let key = Zeroizing::new(random::bytes::<32>(random)?);
        let kept = sessions.kept_claims.load();
        let claims = who.claims.clone().retaining(|name| kept.contains(name));
        let session = Session::supposed(id, &key, &who.provider, claims.view(), who.authenticated_at, now);
        if let Some(age) = sessions.settings.sign_in_age
            && now.since(who.authenticated_at.unwrap_or(now)) >= age
        {
            return Err(BeginError::SignInTooOld(age));
        }
        let set = sessions.seal_identity(&session, now, random)?;
        let pair = set.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        HeaderValue::from_bytes(pair).map_err(|_| BeginError::IdentityTooLarge(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::session::NoSession;
    use crate::session::fixture::{START, cookies, request, sessions};
    use serde_json::json;

    fn supposed() -> SupposedSessions {
        SupposedSessions::new(cookies(), Settings::default(), ["email".to_owned()], &SystemRandom::new()).unwrap()
    }

    fn somebody() -> Supposed {
        let claims = json!({"sub": "s", "email": "h@example.fr", "phone_number": "1"});
        let claims = Claims::from_json(claims.as_object().unwrap());
        Supposed { provider: "p".to_owned(), claims, authenticated_at: None }
    }

    #[test]
    fn somebody_who_is_supposed_has_what_a_session_keeps_and_no_more() {
        let here = supposed();
        let cookie = here.cookie(&somebody(), START, &SystemRandom::new()).unwrap();
        let opened = here.sessions().open(&request(cookie.to_str().unwrap()), START).unwrap();
        let session = here.sessions().read(&opened, START).unwrap();
        let names: Vec<_> = session.claims().iter().map(|(name, _)| *name).collect();
        assert_eq!((names, session.subject(), session.provider()), (vec!["email", "sub"], "s", "p"));
    }

    #[test]
    fn a_supposed_session_opens_nowhere_else() {
        let cookie = supposed().cookie(&somebody(), START, &SystemRandom::new()).unwrap();
        let shown = request(cookie.to_str().unwrap());
        assert_eq!(sessions(&[[1; 32]]).open(&shown, START).unwrap_err(), NoSession::Unreadable);
        assert_eq!(supposed().sessions().open(&shown, START).unwrap_err(), NoSession::Unreadable);
    }
}
