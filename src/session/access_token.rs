//! The access token of an app that keeps one in its page's memory: a session in another envelope.
//!
//! Made for `server/token_endpoints`, opened on every request that shows one, before any cookie is
//! looked at. It begins with [`PREFIX`], holds the session sealed under a purpose of its own, and
//! ends soon; what opens is a session like any other, so that whatever ends a session ends it too.
//! It does not come along by itself, as a cookie does: no page of another site can have it sent.
//! Must never be rescued by a cookie where it does not count, nor read from anywhere but
//! `Authorization` (a query is in every log on its way).
//!
//! ```text
//! vat_ + sealed( end: 8 bytes | session )
//! ```

use super::{NoSession, OpenedSession, Session, Sessions};
use crate::clock::Timestamp;
use crate::random::{NoRandomness, Random};
use crate::seal::{Opened, Purpose};
use crate::secret::SecretString;
use crate::web::cookies::MAX_VALUE_LEN;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

/// How one is known from the tokens of others.
const PREFIX: &str = "vat_";

/// The place that it belongs to.
const PLACE: &[u8] = b"authorization";
/// The moment of its end, in front of the session.
const END_LEN: usize = 8;
/// A session that fits into a cookie fits in here.
const MAX_LEN: usize = MAX_VALUE_LEN + 64;

/// A token that was just made.
#[derive(Debug)]
pub struct AccessToken {
    /// As it is shown, behind `Bearer `.
    pub token: SecretString,
    /// From then on it counts for nothing.
    pub ends_at: Timestamp,
}

/// Why there is no token for a session.
#[derive(Debug, thiserror::Error)]
pub enum NoAccessToken {
    /// The session does not go on, or there are no tokens here.
    #[error(transparent)]
    Session(#[from] NoSession),
    /// No nonce could be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl Sessions {
    /// An access token for a session, which is seen at this moment.
    ///
    /// # Errors
    /// [`NoAccessToken`], by cause.
    pub fn access_token(
        &self,
        opened: &OpenedSession,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<AccessToken, NoAccessToken> {
        let lifetime = self.settings.access_token.ok_or(NoSession::Absent)?;
        let session = self.read(opened, now)?.seen(now);
        // Nor does it say when it was used: the session that is in it rests from now on.
        let ends_at = now.plus(lifetime.min(self.settings.idle)).min(self.ends_at(&session));
        let ends_at = self.vouched_for_until(&session, now).map_or(ends_at, |until| ends_at.min(until));
        if ends_at <= now {
            return Err(NoSession::NotRenewed.into());
        }
        let mut plaintext = Zeroizing::new(ends_at.as_unix().to_be_bytes().to_vec());
        plaintext.extend_from_slice(&Zeroizing::new(postcard::to_stdvec(&session).map_err(|_| NoSession::Unreadable)?));
        let sealed = self.ring.seal(Purpose::AccessToken, &plaintext, PLACE, random)?;
        Ok(AccessToken { token: format!("{PREFIX}{sealed}").into(), ends_at })
    }

    /// Until when what the provider said may be passed on without asking it again. Past the end of
    /// what it vouched for a session goes on for a bounded time, while it cannot be asked.
    fn vouched_for_until(&self, session: &Session<'_>, now: Timestamp) -> Option<Timestamp> {
        let until = session.fresh_until()?;
        let outage = self.settings.refresh.map_or(std::time::Duration::ZERO, |refresh| refresh.outage);
        Some(if now < until { until } else { until.plus(outage) })
    }

    /// Whether a request shows an access token of ours, good or bad, and those are taken here.
    pub fn shows_token(&self, request: &HeaderMap) -> bool {
        self.settings.access_token.is_some() && request.get_all(AUTHORIZATION).iter().any(is_ours)
    }

    /// Opens the token that a request shows; none where it shows none of ours.
    pub(super) fn open_token(&self, request: &HeaderMap, now: Timestamp) -> Option<Result<OpenedSession, NoSession>> {
        self.shows_token(request).then(|| {
            let sealed = shown(request).ok_or(NoSession::TokenUnreadable)?;
            let opened = self.ring.open(Purpose::AccessToken, sealed, PLACE, now).ok_or(NoSession::TokenUnreadable)?;
            let ends_at = opened.plaintext().first_chunk::<END_LEN>().ok_or(NoSession::TokenUnreadable)?;
            if now >= Timestamp::from_unix(u64::from_be_bytes(*ends_at)) {
                return Err(NoSession::TokenExpired);
            }
            Ok(OpenedSession::of_token(opened))
        })
    }
}

/// The session in a token that opened.
pub(super) fn session_in(token: &Opened) -> &[u8] {
    token.plaintext().get(END_LEN..).unwrap_or_default()
}

/// Whether this is an `Authorization` with an access token of ours in it, in whatever way an app may
/// read it. Other values of the header are not ours to judge, or to take away.
pub fn is_ours(value: &HeaderValue) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|part| {
        let part = part.trim_ascii();
        let token = match part.split_first_chunk::<6>() {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") => rest,
            _ => part,
        };
        let start = token.iter().position(|byte| !byte.is_ascii_whitespace() && !b"=:\"'".contains(byte));
        start.and_then(|start| token.get(start..)).is_some_and(|token| token.starts_with(PREFIX.as_bytes()))
    })
}

/// The sealed part of the one token of ours: the only `Authorization`, `Bearer` and one token
/// (RFC 6750 §2.1).
fn shown(request: &HeaderMap) -> Option<&[u8]> {
    let mut all = request.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, rest) = value.as_bytes().trim_ascii().split_first_chunk::<7>()?;
    let sealed = rest.trim_ascii_start().strip_prefix(PREFIX.as_bytes())?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && sealed.len() <= MAX_LEN).then_some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::secret::ExposeSecret;
    use crate::session::fixture::{START, begun, request_after, sessions, tokens};
    use crate::session::{Begun, Settings};
    use std::time::Duration;

    fn holding(sessions: Sessions) -> Sessions {
        let settings = Settings { access_token: Some(Duration::from_secs(300)), ..sessions.settings };
        Sessions { settings, ..sessions }
    }

    fn shows(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    fn signed_in() -> (Sessions, Begun, String) {
        let (sessions, random) = (holding(sessions(&[[1; 32]])), SystemRandom::new());
        let begun = begun(&sessions, &HeaderMap::new(), &tokens(10), &random);
        let token = sessions.access_token(&begun.opened, START, &random).unwrap();
        assert_eq!(token.ends_at, START.plus(Duration::from_secs(300)));
        let token = token.token.expose_secret().to_owned();
        (sessions, begun, token)
    }

    #[test]
    fn a_token_is_its_session_until_its_end_and_to_the_second() {
        let (sessions, begun, token) = signed_in();
        let request = shows(&[&format!("Bearer {token}")]);
        let opened = sessions.open(&request, START.plus(Duration::from_secs(299))).unwrap();
        assert!(opened.by_token());
        assert_eq!(sessions.read(&opened, START).unwrap().id(), begun.id);
        let late = sessions.open(&request, START.plus(Duration::from_secs(300)));
        assert_eq!(late.unwrap_err(), NoSession::TokenExpired);
    }

    #[test]
    fn no_cookie_rescues_a_token_that_does_not_count() {
        let (sessions, begun, token) = signed_in();
        let browser = request_after(&HeaderMap::new(), &begun.cookies);
        let cases: [&[&str]; 8] = [
            &["Bearer vat_"],
            &["Bearer vat_AAAA"],
            &[&format!("Bearer {token}x")],
            &[&format!("Bearer {token}"), &format!("Bearer {token}")],
            &["Basic dTpw", &format!("Bearer {token}")],
            &[&format!("Bearer {token}, Basic dTpw")],
            &[&token],
            &[&format!("Bearer {PREFIX}{}", "A".repeat(5000))],
        ];
        for values in cases {
            let mut request = shows(values);
            request.extend(browser.clone());
            assert_eq!(sessions.open(&request, START).unwrap_err(), NoSession::TokenUnreadable, "{values:?}");
        }
        // Of anybody else: nothing to us, as before.
        for other in ["Bearer abc", "Basic dmF0Xw==", "Bearer xvat_abc", "DPoP vat_abc"] {
            let mut request = shows(&[other]);
            request.extend(browser.clone());
            assert!(!sessions.open(&request, START).unwrap().by_token(), "{other}");
        }
    }

    #[test]
    fn what_is_sealed_for_another_place_is_no_token_and_a_token_is_nothing_there() {
        let (sessions, begun, token) = signed_in();
        let browser = request_after(&HeaderMap::new(), &begun.cookies);
        let cookie = crate::web::cookies::find(&browser, &sessions.cookies.session).unwrap();
        let request = shows(&[&format!("Bearer {PREFIX}{}", std::str::from_utf8(cookie).unwrap())]);
        assert_eq!(sessions.open(&request, START).unwrap_err(), NoSession::TokenUnreadable);
        let name = sessions.cookies.session.as_str();
        let request = crate::session::fixture::request(&format!("{name}={}", token.strip_prefix(PREFIX).unwrap()));
        assert_eq!(sessions.open(&request, START).unwrap_err(), NoSession::Unreadable);
    }

    #[test]
    fn where_there_are_no_tokens_they_are_nothing_at_all() {
        let (with, begun, token) = signed_in();
        let without = Settings { access_token: None, ..with.settings };
        let without = Sessions { settings: without, ..with };
        let mut request = shows(&[&format!("Bearer {token}")]);
        assert_eq!(without.open(&request, START).unwrap_err(), NoSession::Absent);
        request.extend(request_after(&HeaderMap::new(), &begun.cookies));
        assert!(!without.open(&request, START).unwrap().by_token());
        assert!(without.access_token(&begun.opened, START, &SystemRandom::new()).is_err());
    }

    #[test]
    fn a_token_ends_with_its_session_and_with_what_the_provider_vouches_for() {
        let (sessions, random) = (holding(sessions(&[[1; 32]])), SystemRandom::new());
        let soon =
            crate::oidc::Tokens { access_token_expires_at: Some(START.plus(Duration::from_secs(60))), ..tokens(10) };
        let vouched = begun(&sessions, &HeaderMap::new(), &soon, &random);
        let token = sessions.access_token(&vouched.opened, START, &random).unwrap();
        assert_eq!(token.ends_at, START.plus(Duration::from_secs(60)));
        // In an outage the session goes on for an hour, and so does its token, by its own lifetime.
        let later = START.plus(Duration::from_secs(90));
        let token = sessions.access_token(&vouched.opened, later, &random).unwrap();
        assert_eq!(token.ends_at, later.plus(Duration::from_secs(300)));
    }

    #[test]
    fn a_token_says_no_later_end_than_that_of_its_session_s_rest() {
        let (sessions, begun, _) = signed_in();
        let settings = Settings { idle: Duration::from_secs(90), ..sessions.settings };
        let sessions = Sessions { settings, ..sessions };
        let token = sessions.access_token(&begun.opened, START, &SystemRandom::new()).unwrap();
        assert_eq!(token.ends_at, START.plus(Duration::from_secs(90)));
    }

    #[test]
    fn our_tokens_are_known_in_every_spelling_and_nobody_else_s_are() {
        for ours in [
            "Bearer vat_x",
            "bearer   vat_x",
            "Bearer\tvat_x",
            "vat_x",
            "Basic a, Bearer vat_x",
            "Bearer=vat_x",
            "Bearer \"vat_x\"",
        ] {
            assert!(is_ours(&ours.parse().unwrap()), "{ours}");
        }
        for other in ["", "Bearer", "Bearer x", "Bearer xvat_", "Basic vat_x", "Bearer VAT_x", "DPoP vat_x"] {
            assert!(!is_ours(&other.parse().unwrap()), "{other}");
        }
    }
}
