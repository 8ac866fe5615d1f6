//! What the provider remembers: sign-in pages in flight, sessions, grants, codes and tokens.
//!
//! Every exchange reads and changes it under one lock. Codes, tokens and session ids are 32 random
//! bytes; what has expired is forgotten at the next sign-in.

use super::agents::Agent;
use super::keys::Keys;
use super::request::Request;
use super::settings::{LogoutUris, RefreshRotation};
use crate::clock::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// How long a sign-in page may stay open.
const INTERACTION_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// ProConnect's session: not sliding.
pub(super) const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// What ProConnect's documentation says of codes.
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// What [`super::ProviderSettings::access_token_lifetime`] is by default.
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// What [`super::Provider::set_exchanged_token_lifetime`] changes.
const EXCHANGED_TOKEN_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// When [`RefreshRotation::Late`] begins to rotate: 70 % of the session's life.
const LATE_ROTATION: Duration = Duration::from_secs(12 * 3600 / 10 * 7);

/// A sign-in page in flight.
#[derive(Clone)]
pub(super) struct Interaction {
    pub(super) request: Request,
    /// The browser that asked for it; no other may answer it.
    pub(super) browser: String,
    expires: Timestamp,
}

/// A session at the provider.
#[derive(Clone)]
pub(super) struct Session {
    /// What clients know it by; the browser's cookie is another secret.
    pub(super) sid: String,
    pub(super) agent: Agent,
    pub(super) started: Timestamp,
    lifetime: Duration,
}

/// A session that has ended, for those who are to hear of it.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) sub: String,
    pub(super) sid: String,
    /// The clients that it signed in to, by `client_id`.
    pub(super) clients: BTreeSet<String>,
}

impl Session {
    fn is_alive(&self, now: Timestamp) -> bool {
        now.since(self.started) < self.lifetime
    }
}

/// What one sign-in granted to one client.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) request: Request,
    pub(super) session_id: String,
    pub(super) session: Session,
}

struct Code {
    grant: String,
    expires: Timestamp,
    redeemed: bool,
}

struct Token {
    grant: String,
    issued: Timestamp,
    expires: Timestamp,
    /// A refresh token that was rotated away: its reuse ends the grant.
    spent: bool,
}

/// Why a code or refresh token is not exchanged; the client hears `invalid_grant` each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotGranted {
    #[error("unknown")]
    Unknown,
    #[error("expired")]
    Expired,
    #[error("used before")]
    UsedBefore,
    #[error("issued to another client")]
    OtherClient,
    #[error("redirect_uri is another")]
    OtherRedirectUri,
    #[error("code_verifier does not match")]
    WrongVerifier,
    #[error("the session has ended")]
    SessionEnded,
}

/// Fresh unguessable names for what an exchange issues: drawn before the lock is taken.
pub(super) struct FreshId(pub(super) String);

pub(super) struct State {
    pub(super) keys: Keys,
    /// Who answers the sign-in page by themselves.
    pub(super) automatic: Option<Agent>,
    pub(super) access_token_lifetime: Duration,
    pub(super) exchanged_token_lifetime: Duration,
    pub(super) session_lifetime: Duration,
    /// Where clients hear of a sign-out, by `client_id`.
    pub(super) logout_uris: HashMap<String, LogoutUris>,
    interactions: HashMap<String, Interaction>,
    sessions: HashMap<String, Session>,
    /// The last session of each subject: the one that userinfo finds.
    latest: HashMap<String, String>,
    grants: HashMap<String, Grant>,
    codes: HashMap<String, Code>,
    access_tokens: HashMap<String, Token>,
    refresh_tokens: HashMap<String, Token>,
}

impl State {
    pub(super) fn new(keys: Keys, access_token_lifetime: Option<Duration>) -> Self {
        Self {
            keys,
            automatic: None,
            access_token_lifetime: access_token_lifetime.unwrap_or(ACCESS_TOKEN_LIFETIME),
            exchanged_token_lifetime: EXCHANGED_TOKEN_LIFETIME,
            session_lifetime: SESSION_LIFETIME,
            logout_uris: HashMap::new(),
            interactions: HashMap::new(),
            sessions: HashMap::new(),
            latest: HashMap::new(),
            grants: HashMap::new(),
            codes: HashMap::new(),
            access_tokens: HashMap::new(),
            refresh_tokens: HashMap::new(),
        }
    }

    pub(super) fn begin_interaction(
        &mut self,
        request: Request,
        browser: &str,
        FreshId(id): FreshId,
        now: Timestamp,
    ) -> String {
        let expires = now.plus(INTERACTION_LIFETIME);
        self.interactions.insert(id.clone(), Interaction { request, browser: browser.to_owned(), expires });
        id
    }

    /// The sign-in page `id`, if this browser asked for it.
    pub(super) fn interaction(&self, id: &str, browser: &str, now: Timestamp) -> Option<&Interaction> {
        self.interactions.get(id).filter(|interaction| interaction.browser == browser && now < interaction.expires)
    }

    pub(super) fn end_interaction(&mut self, id: &str) {
        self.interactions.remove(id);
    }

    pub(super) fn begin_session(&mut self, agent: Agent, FreshId(id): FreshId, now: Timestamp) -> String {
        self.forget_expired(now);
        self.latest.insert(agent.sub.clone(), id.clone());
        let session = Session { sid: sid_of(&id), agent, started: now, lifetime: self.session_lifetime };
        self.sessions.insert(id.clone(), session);
        id
    }

    pub(super) fn session(&self, id: &str, now: Timestamp) -> Option<&Session> {
        self.sessions.get(id).filter(|session| session.is_alive(now))
    }

    /// Ends the session of this cookie, if there is one.
    pub(super) fn end_session(&mut self, id: &str) -> Option<Ended> {
        let session = self.sessions.remove(id)?;
        self.latest.retain(|_, latest| latest != id);
        let grants = self.grants.values().filter(|grant| grant.session_id == id);
        let clients = grants.map(|grant| grant.request.client.client_id.clone()).collect();
        Some(Ended { sub: session.agent.sub, sid: session.sid, clients })
    }

    /// Ends every session that `which` accepts.
    pub(super) fn end_sessions(&mut self, which: impl Fn(&Session) -> bool) -> Vec<Ended> {
        let ids: Vec<_> =
            self.sessions.iter().filter(|(_, session)| which(session)).map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| self.end_session(id)).collect()
    }

    /// The sessions that are alive, by person, the latest last.
    pub(super) fn sessions(&self, now: Timestamp) -> Vec<Session> {
        let mut alive: Vec<_> = self.sessions.values().filter(|session| session.is_alive(now)).cloned().collect();
        alive.sort_by(|a, b| (&a.agent.sub, a.started).cmp(&(&b.agent.sub, b.started)));
        alive
    }

    /// Changes a person in every session and grant of theirs: what the next userinfo, ID token and
    /// refresh say.
    pub(super) fn change_agent(&mut self, sub: &str, change: impl Fn(&mut Agent)) {
        let sessions = self.sessions.values_mut().map(|session| &mut session.agent);
        let grants = self.grants.values_mut().map(|grant| &mut grant.session.agent);
        for agent in sessions.chain(grants).chain(&mut self.automatic).filter(|agent| agent.sub == sub) {
            change(agent);
        }
    }

    pub(super) fn end_all_sessions(&mut self) {
        self.sessions.clear();
        self.latest.clear();
        self.automatic = None;
    }

    /// A code for `request`, in a session that is alive.
    pub(super) fn issue_code(
        &mut self,
        request: Request,
        session_id: &str,
        FreshId(id): FreshId,
        now: Timestamp,
    ) -> Option<String> {
        let session = self.session(session_id, now)?.clone();
        // One fresh name serves both: a code has one grant, and nobody is told a grant's name.
        self.grants.insert(id.clone(), Grant { request, session_id: session_id.to_owned(), session });
        self.codes.insert(id.clone(), Code { grant: id.clone(), expires: now.plus(CODE_LIFETIME), redeemed: false });
        Some(id)
    }

    /// The grant behind a code, once (RFC 6749 §4.1.3). A second time ends the grant (§4.1.2).
    pub(super) fn redeem_code(
        &mut self,
        code: &str,
        client_id: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Result<(String, Grant), NotGranted> {
        let held = self.codes.get_mut(code).ok_or(NotGranted::Unknown)?;
        if held.redeemed {
            let grant = held.grant.clone();
            self.grants.remove(&grant);
            return Err(NotGranted::UsedBefore);
        }
        let grant = self.grants.get(&held.grant).ok_or(NotGranted::Unknown)?;
        if grant.request.client.client_id != client_id {
            return Err(NotGranted::OtherClient);
        }
        // From here on the code is used up, whatever comes of it.
        held.redeemed = true;
        if now >= held.expires {
            return Err(NotGranted::Expired);
        }
        if redirect_uri != Some(grant.request.redirect_uri.as_str()) {
            return Err(NotGranted::OtherRedirectUri);
        }
        let matches = match (&grant.request.code_challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => *challenge == s256(verifier),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !matches {
            return Err(NotGranted::WrongVerifier);
        }
        let (id, grant) = (held.grant.clone(), grant.clone());
        if self.session(&grant.session_id, now).is_none() {
            return Err(NotGranted::SessionEnded);
        }
        Ok((id, grant))
    }

    pub(super) fn issue_access_token(&mut self, grant: &str, FreshId(token): FreshId, now: Timestamp) -> String {
        let expires = now.plus(self.access_token_lifetime);
        self.access_tokens.insert(token.clone(), Token { grant: grant.to_owned(), issued: now, expires, spent: false });
        token
    }

    pub(super) fn issue_refresh_token(&mut self, grant: &str, FreshId(token): FreshId, now: Timestamp) -> String {
        let expires = now.plus(self.session_lifetime);
        self.refresh_tokens
            .insert(token.clone(), Token { grant: grant.to_owned(), issued: now, expires, spent: false });
        token
    }

    /// Makes a client's token void, and with a refresh token the whole grant (RFC 7009 §2.1). One
    /// that is unknown or another's is left as it is.
    pub(super) fn revoke(&mut self, token: &str, client_id: &str) {
        let of_client = |grants: &HashMap<String, Grant>, held: &Token| {
            grants.get(&held.grant).is_some_and(|grant| grant.request.client.client_id == client_id)
        };
        if let Some(held) = self.refresh_tokens.get(token).filter(|held| of_client(&self.grants, held)) {
            self.grants.remove(&held.grant);
        } else if self.access_tokens.get(token).is_some_and(|held| of_client(&self.grants, held)) {
            self.access_tokens.remove(token);
        }
    }

    /// The grant behind a refresh token, and whether a new refresh token replaces it.
    pub(super) fn refresh(
        &mut self,
        token: &str,
        client_id: &str,
        rotation: RefreshRotation,
        now: Timestamp,
    ) -> Result<(String, Grant, bool), NotGranted> {
        let held = self.refresh_tokens.get_mut(token).ok_or(NotGranted::Unknown)?;
        let id = held.grant.clone();
        // Also once the grant has ended over it: each time is a theft to be told of.
        if held.spent {
            self.grants.remove(&id);
            return Err(NotGranted::UsedBefore);
        }
        let grant = self.grants.get(&id).ok_or(NotGranted::Unknown)?.clone();
        if grant.request.client.client_id != client_id {
            return Err(NotGranted::OtherClient);
        }
        if now >= held.expires {
            return Err(NotGranted::Expired);
        }
        let rotates = match rotation {
            RefreshRotation::Always => true,
            RefreshRotation::Late => now.since(held.issued) >= LATE_ROTATION,
            RefreshRotation::Never => false,
        };
        if self.sessions.get(&grant.session_id).is_none_or(|session| !session.is_alive(now)) {
            return Err(NotGranted::SessionEnded);
        }
        held.spent = rotates;
        Ok((id, grant, rotates))
    }

    /// The grant behind an access token, and when the token ends. Like ProConnect's, it is worth
    /// nothing once its subject's last session has ended.
    pub(super) fn grant_of(&self, access_token: &str, now: Timestamp) -> Option<(Grant, Timestamp)> {
        let token = self.access_tokens.get(access_token).filter(|token| now < token.expires)?;
        let grant = self.grants.get(&token.grant)?;
        let latest = self.latest.get(&grant.session.agent.sub)?;
        self.session(latest, now)?;
        Some((grant.clone(), token.expires))
    }

    fn forget_expired(&mut self, now: Timestamp) {
        self.interactions.retain(|_, interaction| now < interaction.expires);
        self.sessions.retain(|_, session| session.is_alive(now));
        let sessions = &self.sessions;
        self.latest.retain(|_, id| sessions.contains_key(id));
        self.access_tokens.retain(|_, token| now < token.expires);
        self.refresh_tokens.retain(|_, token| now < token.expires);
        self.grants.retain(|_, grant| grant.session.is_alive(now));
        let grants = &self.grants;
        self.codes.retain(|_, code| grants.contains_key(&code.grant));
    }
}

/// A name that follows from a session's secret and does not tell it.
fn sid_of(id: &str) -> String {
    s256(&format!("sid of {id}")).chars().take(22).collect()
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
fn s256(verifier: &str) -> String {
    use base64::Engine;
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        assert_eq!(
            super::s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
