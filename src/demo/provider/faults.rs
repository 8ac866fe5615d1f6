//! What tests can make go wrong, and what they can count.
//!
//! [`Faults`] is set at run time and read at the moment of each answer. One field per answer, so
//! that two faults cannot contradict each other. The demo sets none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What goes wrong, per answer; nothing where `None`.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// In the callback's parameters.
    pub callback: Option<CallbackFault>,
    /// At the token endpoint.
    pub token: Option<TokenFault>,
    /// At the token endpoint for refresh tokens, before [`Self::token`] is looked at.
    pub refresh: Option<RefreshFault>,
    /// At the token endpoint for token exchange, where [`Self::token`] is not looked at.
    pub exchange: Option<ExchangeFault>,
    /// In the ID token.
    pub id_token: Option<IdTokenFault>,
    /// At userinfo.
    pub userinfo: Option<UserinfoFault>,
    /// In discovery.
    pub discovery: Option<DiscoveryFault>,
    /// At the key endpoint.
    pub jwks: Option<JwksFault>,
    /// At the revocation endpoint.
    pub revocation: Option<RevocationFault>,
    /// In logout tokens.
    pub logout_token: Option<LogoutTokenFault>,
    /// At every endpoint, before any other fault is looked at.
    pub down: Option<Down>,
}

/// How the whole provider is down. What is refused or waits is not counted.
#[derive(Clone, Debug)]
pub enum Down {
    /// 503, as from a gateway before it.
    Unavailable,
    /// Every answer waits.
    Held(Hold),
}

/// What goes wrong when a refresh token is exchanged.
#[derive(Clone, Debug)]
pub enum RefreshFault {
    /// 500; the refresh token is not used up.
    Failing,
    /// 400 `invalid_grant`; the refresh token is not used up.
    InvalidGrant,
    /// 401 `invalid_client`; the refresh token is not used up.
    InvalidClient,
    /// 200, and not JSON; the refresh token is not used up.
    Garbage,
    /// The refresh token is used up, and the answer is lost: 502.
    LostAnswer,
    /// The request waits; only then is the refresh token looked at.
    Held(Hold),
    /// The refresh token is used up; then the answer waits.
    AnswerHeld(Hold),
    /// No `id_token`.
    WithoutIdToken,
    /// No `refresh_token`, although the former one is void where it rotates.
    WithoutRefreshToken,
    /// The refreshed ID token is wrong.
    IdToken(IdTokenFault),
}

/// What goes wrong when a token is exchanged for another service's (RFC 8693).
#[derive(Clone, Debug)]
pub enum ExchangeFault {
    /// 500.
    Failing,
    /// 400 with this error code.
    Refused(&'static str),
    /// 200, and not JSON.
    Garbage,
    /// No `issued_token_type`.
    WithoutIssuedTokenType,
    /// The `issued_token_type` of an ID token.
    IssuesIdToken,
    /// `token_type` `N_A`.
    NotBearer,
    /// No `expires_in`.
    WithoutLifetime,
    /// A line break and a header in the token.
    LineBreak,
    /// The very token that was to be exchanged.
    SameToken,
    /// The answer waits.
    Held(Hold),
}

/// What goes wrong at the revocation endpoint.
#[derive(Clone, Debug)]
pub enum RevocationFault {
    /// 503; nothing is revoked.
    Unavailable,
    /// The answer waits.
    Held(Hold),
}

/// What goes wrong in a logout token: each check of OpenID Connect Back-Channel Logout §2.6 once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutTokenFault {
    /// Not a JWT.
    Garbage,
    /// Signed by an unpublished key under the published `kid`.
    WrongKey,
    /// Signed by an unpublished key under its own `kid`.
    UnknownKey,
    /// `alg: none`.
    AlgNone,
    /// HS256 under the published key's bytes.
    HmacUnderPublicKey,
    /// `typ: at+jwt`.
    TypedAccessToken,
    /// `typ: JWT`, as older providers write: nothing wrong.
    TypedJwt,
    /// Another `iss`.
    WrongIssuer,
    /// Another `aud`.
    WrongAudience,
    /// No `iat`.
    WithoutIssuedAt,
    /// `iat` an hour ago, `exp` ahead.
    Old,
    /// `iat` (and `exp`) a day ahead.
    IssuedInFuture,
    /// `exp` three minutes ago.
    Expired,
    /// No `exp`, as older providers leave it out: nothing wrong.
    WithoutExpiry,
    /// No `jti`.
    WithoutId,
    /// The same `jti` each time: the second token is a replay.
    SameId,
    /// No `events`.
    WithoutEvents,
    /// `events` of another kind.
    OtherEvent,
    /// A `nonce`.
    WithNonce,
    /// Neither `sub` nor `sid`.
    NamesNobody,
}

/// What goes wrong in the callback.
#[derive(Clone, Debug)]
pub enum CallbackFault {
    /// No `iss` (RFC 9207).
    WithoutIssuer,
    /// Another provider's `iss`.
    WrongIssuer,
    /// No `state`.
    WithoutState,
    /// Another `state`.
    WrongState,
    /// Neither `code` nor `error`.
    WithoutCode,
    /// A `code` that was never issued.
    UnknownCode,
    /// This `error` and `error_description` instead of a code.
    Error(String, String),
}

/// What goes wrong at the token endpoint.
#[derive(Clone, Debug)]
pub enum TokenFault {
    /// 500.
    Failing,
    /// 400 `invalid_grant`.
    InvalidGrant,
    /// 401 `invalid_client`.
    InvalidClient,
    /// 200, and not JSON.
    Garbage,
    /// No `id_token`.
    WithoutIdToken,
    /// No `refresh_token`.
    WithoutRefreshToken,
    /// A `token_type` other than Bearer.
    WrongTokenType,
    /// The answer waits.
    Held(Hold),
}

/// What goes wrong in the ID token.
#[derive(Clone, Debug)]
pub enum IdTokenFault {
    /// Signed by an unpublished key under the published `kid`.
    WrongKey,
    /// Signed by an unpublished key under its own `kid`.
    UnknownKey,
    /// `alg: none`.
    AlgNone,
    /// HS256 under the published key's bytes.
    HmacUnderPublicKey,
    /// Not a JWT.
    Garbage,
    /// Another `nonce`.
    WrongNonce,
    /// No `nonce`.
    WithoutNonce,
    /// Another `iss`.
    WrongIssuer,
    /// Another `aud`.
    WrongAudience,
    /// A second audience besides ours, and no `azp`.
    SecondAudience,
    /// Ours is the audience, but `azp` names another client.
    WrongAuthorizedParty,
    /// Another `sub` than userinfo's.
    WrongSubject,
    /// No `sub`.
    WithoutSubject,
    /// `exp` an hour ago.
    Expired,
    /// No `exp`.
    WithoutExpiry,
    /// `iat` (and `exp`) a day ahead.
    IssuedInFuture,
    /// Another token's `at_hash`.
    WrongAtHash,
    /// This `acr`, whatever was asked and done.
    Acr(String),
    /// No `acr`.
    WithoutAcr,
}

/// What goes wrong at userinfo.
#[derive(Clone, Debug)]
pub enum UserinfoFault {
    /// 500.
    Failing,
    /// 401.
    Unauthorized,
    /// 200, and neither JSON nor a JWT.
    Garbage,
    /// JSON whatever the client is registered for.
    PlainJson,
    /// Another `sub`.
    WrongSubject,
    /// No `sub`.
    WithoutSubject,
    /// Signed by an unpublished key under the published `kid`.
    WrongKey,
    /// Signed by an unpublished key under its own `kid`.
    UnknownKey,
    /// `alg: none`.
    AlgNone,
    /// HS256 under the published key's bytes.
    HmacUnderPublicKey,
    /// Another `iss`.
    WrongIssuer,
    /// Another `aud`.
    WrongAudience,
    /// `exp` an hour ago.
    Expired,
    /// The answer waits.
    Held(Hold),
}

/// What goes wrong in discovery.
#[derive(Clone, Debug)]
pub enum DiscoveryFault {
    /// 503.
    Unavailable,
    /// Another `issuer`.
    WrongIssuer,
    /// 200, and not JSON.
    Garbage,
    /// The answer waits.
    Held(Hold),
}

/// What goes wrong at the key endpoint.
#[derive(Clone, Debug)]
pub enum JwksFault {
    /// 503.
    Unavailable,
    /// 200, and not JSON.
    Garbage,
    /// No keys.
    Empty,
    /// The answer waits.
    Held(Hold),
}

/// The tests' grip on [`Faults`].
#[derive(Clone, Debug, Default)]
pub struct FaultsHandle(Arc<Mutex<Faults>>);

impl FaultsHandle {
    /// Changes what goes wrong from now on.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Nothing goes wrong from now on.
    pub fn clear(&self) {
        self.set(|faults| *faults = Faults::default());
    }

    /// What goes wrong at this moment.
    pub fn now(&self) -> Faults {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A gate at which answers wait until the test lets them go. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Hold {
    arrived: Arc<watch::Sender<usize>>,
    released: Arc<watch::Sender<bool>>,
}

impl Default for Hold {
    fn default() -> Self {
        Self { arrived: Arc::new(watch::Sender::new(0)), released: Arc::new(watch::Sender::new(false)) }
    }
}

impl Hold {
    /// Returns once `count` requests have come to the gate.
    pub async fn arrived(&self, count: usize) {
        // The sender is ours, so it cannot be gone.
        let _ = self.arrived.subscribe().wait_for(|arrived| *arrived >= count).await;
    }

    /// How many requests have come to the gate.
    pub fn count(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Lets those that wait go, and all later ones.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits at the gate.
    pub(super) async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }
}

/// How often each endpoint was called, failed answers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `/authorize`.
    pub authorize: u64,
    /// `/token`, for codes, refreshes and exchanges together.
    pub token: u64,
    /// `/token`, refreshes only.
    pub refresh: u64,
    /// Refreshes that brought tokens, answers that were lost on the way among them.
    pub refreshed: u64,
    /// Refresh tokens that were presented again after they were used up: thefts, to the provider.
    pub refresh_reuse: u64,
    /// `/token`, token exchanges only.
    pub exchange: u64,
    /// Token exchanges that issued a token.
    pub exchanged: u64,
    /// `/token/revocation`.
    pub revocation: u64,
    /// Logout tokens that were posted, whatever came back.
    pub logout_tokens: u64,
    /// `/userinfo`.
    pub userinfo: u64,
    /// Discovery.
    pub discovery: u64,
    /// `/jwks`.
    pub jwks: u64,
    /// `/session/end`.
    pub session_end: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) authorize: Count,
    pub(super) token: Count,
    pub(super) refresh: Count,
    pub(super) refreshed: Count,
    pub(super) refresh_reuse: Count,
    pub(super) exchange: Count,
    pub(super) exchanged: Count,
    pub(super) revocation: Count,
    pub(super) logout_tokens: Count,
    pub(super) userinfo: Count,
    pub(super) discovery: Count,
    pub(super) jwks: Count,
    pub(super) session_end: Count,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counts {
    pub(super) fn snapshot(&self) -> Counters {
        Counters {
            authorize: self.authorize.get(),
            token: self.token.get(),
            refresh: self.refresh.get(),
            refreshed: self.refreshed.get(),
            refresh_reuse: self.refresh_reuse.get(),
            exchange: self.exchange.get(),
            exchanged: self.exchanged.get(),
            revocation: self.revocation.get(),
            logout_tokens: self.logout_tokens.get(),
            userinfo: self.userinfo.get(),
            discovery: self.discovery.get(),
            jwks: self.jwks.get(),
            session_end: self.session_end.get(),
        }
    }
}
