//! With which of a site's providers a session counts that began with one of them.
//!
//! Where a site has one provider its registration is in the session keys (`app`), and nothing here is
//! looked at. Where it has several, what keeps them apart is in the session: it says which provider
//! it began with, and which registration there. A session counts as long as that very registration is in
//! the configuration, so that taking one provider away ends its sessions and nobody else's, and another
//! issuer under the same name makes nobody somebody else. Must never let a session count that does not
//! say it.

use super::{Session, Sessions};
use crate::claims::Claims;
use crate::clock::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use ring::digest;
use std::collections::BTreeMap;

/// Where the registration stands among what a session keeps. No provider has such a claim: it begins with
/// a space, and what is kept of the provider's is laid under it.
const REGISTRATION: &str = " registration";

/// The providers of a site.
#[derive(Clone, Debug, Default)]
pub struct KnownProviders {
    /// The registration of each, by name.
    all: BTreeMap<String, String>,
    are_several: bool,
}

impl KnownProviders {
    /// Providers by name, issuer and client. Where there is one, its sessions are told from others by the
    /// keys.
    pub fn new<'a>(providers: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Self {
        let all: BTreeMap<String, String> =
            providers.map(|(name, issuer, client_id)| (name.to_owned(), registration(issuer, client_id))).collect();
        Self { are_several: all.len() > 1, all }
    }

    /// Whether people of several providers come here.
    pub fn are_several(&self) -> bool {
        self.are_several
    }

    /// Which registration a provider's name stands for.
    pub(super) fn registration_of(&self, provider: &str) -> Option<&str> {
        self.all.get(provider).map(String::as_str)
    }

    /// Whether a session counts, as far as its provider is concerned.
    pub(super) fn count(&self, session: &Session<'_>) -> bool {
        let said = || session.claims().text(REGISTRATION);
        !self.are_several || self.registration_of(session.provider()).is_some_and(|known| said() == Some(known))
    }

    /// What is kept of somebody, with what says where they signed in.
    pub(super) fn noted(&self, provider: &str, kept: Claims) -> Claims {
        let Some(registration) = self.registration_of(provider).filter(|_| self.are_several) else { return kept };
        let noted = serde_json::Map::from_iter([(REGISTRATION.to_owned(), registration.into())]);
        kept.overlaid_with(Claims::from_json(&noted))
    }
}

/// Short, for it is in every cookie: 72 bits of a SHA-256. Nobody can choose what goes in but whoever
/// writes the configuration.
fn registration(issuer: &str, client_id: &str) -> String {
    let text = format!("{} {issuer} {client_id}", issuer.len());
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..9).unwrap_or_default())
}

impl Sessions {
    /// The same sessions, each of which counts with its own of these providers.
    #[must_use]
    pub fn of_providers(self, providers: KnownProviders) -> Self {
        Self { providers, ..self }
    }

    /// The name of the provider with which the session began that a request shows, over or not.
    pub fn provider_shown(&self, request: &HeaderMap, now: Timestamp) -> Option<String> {
        let opened = self.open(request, now).ok()?;
        let session = opened.read().ok()?;
        self.providers.count(&session).then(|| session.provider().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::Identity;
    use crate::random::SystemRandom;
    use crate::session::NoSession;
    use crate::session::fixture::{START, request_after, sessions, tokens, try_begin};
    use serde_json::json;

    const ONE: (&str, &str, &str) = ("one", "https://one.example", "app");
    const TWO: (&str, &str, &str) = ("two", "https://two.example", "app");

    fn knowing(providers: &[(&str, &str, &str)]) -> Sessions {
        sessions(&[[1; 32]]).of_providers(KnownProviders::new(providers.iter().copied()))
    }

    fn reads(sessions: &Sessions, request: &HeaderMap) -> Result<(), NoSession> {
        let opened = sessions.open(request, START).unwrap();
        sessions.read(&opened, START).map(drop)
    }

    fn begun(sessions: &Sessions, provider: &str) -> HeaderMap {
        let claims = json!({"sub": "s", REGISTRATION: "the provider says so"});
        let identity = Identity::for_tests(provider, claims.as_object().unwrap());
        let begun = try_begin(sessions, &identity, &HeaderMap::new(), &tokens(10), &SystemRandom::new());
        request_after(&HeaderMap::new(), &begun.unwrap().cookies)
    }

    #[test]
    fn a_session_counts_with_the_registration_that_it_began_with() {
        let now = knowing(&[ONE, TWO]);
        let of_one = begun(&now, "one");
        assert_eq!(reads(&now, &of_one), Ok(()));
        assert_eq!(now.provider_shown(&of_one, START).as_deref(), Some("one"));
        let third = ("three", "https://three.example", "app");
        for (later, expected) in [
            // Others come and go.
            (vec![ONE, TWO, third], Ok(())),
            (vec![ONE, third], Ok(())),
            (vec![TWO, third], Err(NoSession::ProviderGone)),
            // The same name for another issuer, or for another client of it.
            (vec![("one", "https://other.example", "app"), TWO], Err(NoSession::ProviderGone)),
            (vec![("one", "https://one.example", "other"), TWO], Err(NoSession::ProviderGone)),
            // The same registration by another name is somebody else: `sub` is told apart by it.
            (vec![("uno", "https://one.example", "app"), TWO], Err(NoSession::ProviderGone)),
        ] {
            let sessions = knowing(&later);
            assert_eq!(reads(&sessions, &of_one), expected, "{later:?}");
            assert_eq!(sessions.provider_shown(&of_one, START).is_some(), expected.is_ok(), "{later:?}");
        }
    }

    #[test]
    fn a_session_that_does_not_say_it_does_not_count_where_there_are_several() {
        let alone = knowing(&[ONE]);
        let of_one = begun(&alone, "one");
        assert_eq!(reads(&alone, &of_one), Ok(()));
        assert_eq!(reads(&knowing(&[ONE, TWO]), &of_one), Err(NoSession::ProviderGone));
        // Where there is one its name says nothing.
        assert_eq!(reads(&knowing(&[("uno", "https://one.example", "app")]), &of_one), Ok(()));
    }
}
