//! What API clients show: access tokens of configured issuers, service keys, client certificates.
//!
//! The gate finds the token of a request ([`presented()`]) and says that it has to be verified;
//! `server` asks [`Bearers::verify`], which may ask an issuer, and the gate is asked again with the
//! [`Caller`] that came of it. For the certificate of a connection it asks [`Bearers::holder`]. Knows nothing of sessions and of requests. Must never hand out
//! anything of a token that was not verified, show a token to anybody but the one endpoint that the
//! route names, or believe what one rule has found where another is asked for.
//!
//! | kind | what | verified by |
//! |---|---|---|
//! | `keys` | a service key | its hash |
//! | `jwt` | a JWT access token | the issuer's keys ([`crate::oidc::TokenIssuer`]) |
//! | `introspection` | any access token | asking the issuer ([`crate::oidc::Introspection`]) |
//! | `certificates` | a client certificate | TLS, before the request; here is whose it is |

mod caller;
mod certificates;
mod presented;
mod remembered;
mod service_keys;
mod settings;
#[cfg(test)]
mod tests;

pub use caller::Caller;
pub use certificates::{KnownBy, KnownCertificate};
pub use presented::{Malformed, Presented, presented};
pub use service_keys::{MIN_LEN, PREFIX, ServiceKey, hash_of};
pub use settings::{CACHE, Kind, Settings};

use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::fetch::Fetch;
use crate::oidc::{AccessToken, AccessTokenError, Introspection, IntrospectionError, TokenIssuer, Unreachable};
use crate::secret::{ExposeSecret, SecretString};
use crate::web::client_certificate::ClientCertificate;
use arc_swap::ArcSwap;
use remembered::Remembered;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The longest token that is looked at, in bytes. Whatever is longer is refused before any work.
pub const MAX_LEN: usize = 16 * 1024;

/// How many tokens one endpoint is asked about at a time. The others wait, for as long as one call
/// may take: invented tokens must not become a flood at the issuer.
const MOST_AT_ONCE: usize = 32;

/// What comes of verifying.
pub type Verified = Result<Arc<Caller>, NotVerified>;

/// Why a bearer token does not count here. Messages hold nothing of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// Longer than [`MAX_LEN`].
    #[error("the bearer token is longer than {MAX_LEN} bytes")]
    TooLong,
    /// No rule of the route knows such a token.
    #[error("no rule of the route knows the bearer token")]
    Unknown,
    /// It is of a rule, which refuses it.
    #[error("bearer {0}")]
    Refused(String),
    /// It is all right, and a required scope is missing.
    #[error("bearer {rule}: a required scope is missing")]
    Scope {
        /// The rule.
        rule: String,
        /// The scopes that it asks for, with spaces between them.
        scope: String,
    },
    /// Nothing is known of it: an issuer cannot be asked.
    #[error("bearer {0}")]
    Outage(String),
}

/// What is wrong, as far as the client is told (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `invalid_request`: no header with one token.
    #[error("the Authorization header is repeated or malformed")]
    Request,
    /// `invalid_token`: whatever is wrong with it.
    #[error("the bearer token does not count here")]
    Token,
    /// `insufficient_scope`.
    #[error("the bearer token lacks a scope")]
    Scope,
    /// Not the client's fault.
    #[error("the bearer token cannot be verified now")]
    Outage,
}

impl NotVerified {
    /// What the client is told: one thing for all tokens that do not count.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLong | Self::Unknown | Self::Refused(_) => Fault::Token,
            Self::Scope { .. } => Fault::Scope,
            Self::Outage(_) => Fault::Outage,
        }
    }
}

/// All rules of a sidecar.
pub struct Bearers {
    rules: Vec<Rule>,
    kept_claims: ArcSwap<BTreeSet<String>>,
    remembered: Remembered,
}

struct Rule {
    name: String,
    scope: String,
    source: Source,
}

enum Source {
    Keys(Vec<ServiceKey>),
    Certificates(Vec<KnownCertificate>),
    Jwt { issuer: Box<TokenIssuer>, cache: Duration },
    Introspection { endpoint: Box<Introspection>, cache: Duration, at_once: Semaphore, timeout: Duration },
}

/// These claims, and the one that every caller has.
fn with_the_subject(kept_claims: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    kept_claims.into_iter().chain(["sub".to_owned()]).collect()
}

impl Bearers {
    /// The rules of the configuration, in its order: routes name them by index. `kept_claims` are
    /// those that a caller keeps; `sub` always is.
    pub fn new(settings: Vec<Settings>, kept_claims: impl IntoIterator<Item = String>, fetch: &Fetch) -> Self {
        let mut longest = Duration::ZERO;
        let rules = settings.into_iter().map(|Settings { name, kind }| {
            let scope = kind.scopes().join(" ");
            let source = match kind {
                Kind::Keys(keys) => Source::Keys(keys),
                Kind::Certificates(known) => Source::Certificates(known),
                Kind::Jwt { issuer, cache } => {
                    longest = longest.max(cache);
                    Source::Jwt { issuer: Box::new(TokenIssuer::new(*issuer, fetch.clone())), cache }
                }
                Kind::Introspection { endpoint, cache } => {
                    longest = longest.max(cache);
                    let timeout = endpoint.timeout;
                    let endpoint = Box::new(Introspection::new(*endpoint, fetch.clone()));
                    Source::Introspection { endpoint, cache, at_once: Semaphore::new(MOST_AT_ONCE), timeout }
                }
            };
            Rule { name, scope, source }
        });
        let rules = rules.collect();
        let kept_claims = ArcSwap::from_pointee(with_the_subject(kept_claims));
        Self { rules, kept_claims, remembered: Remembered::new(longest) }
    }

    /// From now on callers keep these claims, and `sub`. Whom a token names is found out anew where that
    /// is a change.
    pub fn keep_claims(&self, kept_claims: impl IntoIterator<Item = String>) {
        let kept_claims = with_the_subject(kept_claims);
        if **self.kept_claims.load() != kept_claims {
            self.kept_claims.store(Arc::new(kept_claims));
            self.remembered.forget();
        }
    }

    /// Verifies a token by these rules, of which the first that knows it decides: service keys, then
    /// the issuer that the token names, and only for a token of nobody's the endpoint that is asked.
    ///
    /// # Errors
    /// [`NotVerified`], by cause.
    pub async fn verify(&self, rules: &[usize], token: &Presented, now: Timestamp) -> Verified {
        let Presented(token) = token;
        if token.expose_secret().len() > MAX_LEN {
            return Err(NotVerified::TooLong);
        }
        let all = || rules.iter().filter_map(|index| Some((*index, self.rules.get(*index)?)));
        for (index, rule) in all() {
            if let Source::Keys(keys) = &rule.source
                && let Some(key) = service_keys::find(keys, token.expose_secret())
            {
                if key.is_over(now) {
                    return Err(NotVerified::Refused(rule.says(&format_args!("the key {} has ended", key.name))));
                }
                return Ok(Arc::new(self.known(index, rule, &key.name, &key.claims, key.until)));
            }
        }
        if token.expose_secret().starts_with(PREFIX) {
            return Err(NotVerified::Unknown);
        }
        let mut refused = None;
        for (index, rule) in all() {
            if let Source::Jwt { issuer, cache } = &rule.source
                && issuer.is_named_by(token.expose_secret())
            {
                match self.found(index, token, *cache, now, self.by_issuer(index, rule, issuer, token, now)).await {
                    Err(error) => refused = Some(more_telling(refused, error)),
                    verified => return verified,
                }
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        for (index, rule) in all() {
            if let Source::Introspection { endpoint, cache, .. } = &rule.source
                && endpoint.may_know(token.expose_secret())
            {
                return self.found(index, token, *cache, now, self.by_asking(index, rule, token, now)).await;
            }
        }
        Err(NotVerified::Unknown)
    }

    /// What is remembered, or else what comes of `verifying`, by one for all who ask meanwhile.
    async fn found(
        &self,
        index: usize,
        token: &SecretString,
        cache: Duration,
        now: Timestamp,
        verifying: impl Future<Output = Verified>,
    ) -> Verified {
        let name = Remembered::name(index, token);
        if let Some(known) = self.remembered.at_hand(&name, now) {
            return known;
        }
        let turn = self.remembered.turn(&name);
        let _turn = turn.lock().await;
        if let Some(known) = self.remembered.at_hand(&name, now) {
            return known;
        }
        let kept = self.kept_claims.load_full();
        let found = verifying.await;
        // With other claims than are kept now it is good for this request alone.
        if Arc::ptr_eq(&kept, &self.kept_claims.load()) {
            self.remembered.keep(name, &found, cache, now);
        }
        found
    }

    async fn by_issuer(
        &self,
        index: usize,
        rule: &Rule,
        issuer: &TokenIssuer,
        token: &SecretString,
        now: Timestamp,
    ) -> Verified {
        match issuer.verify(token.expose_secret(), now).await {
            Ok(token) => Ok(Arc::new(self.caller(index, rule, &token))),
            Err(AccessTokenError::InsufficientScope) => Err(rule.lacks_scope()),
            Err(error @ AccessTokenError::Unreachable(_)) => Err(NotVerified::Outage(rule.says(&error))),
            Err(error) => Err(NotVerified::Refused(rule.says(&error))),
        }
    }

    async fn by_asking(&self, index: usize, rule: &Rule, token: &SecretString, now: Timestamp) -> Verified {
        let Source::Introspection { endpoint, at_once, timeout, .. } = &rule.source else {
            return Err(NotVerified::Unknown);
        };
        let Ok(Ok(_permit)) = tokio::time::timeout(*timeout, at_once.acquire()).await else {
            return Err(NotVerified::Outage(rule.says(&"too many tokens are being asked about")));
        };
        match endpoint.ask(token.expose_secret(), now).await {
            Ok(token) => Ok(Arc::new(self.caller(index, rule, &token))),
            Err(IntrospectionError::Token(AccessTokenError::InsufficientScope)) => Err(rule.lacks_scope()),
            Err(error) if error.is_outage() => Err(NotVerified::Outage(rule.says(&error))),
            Err(error) => Err(NotVerified::Refused(rule.says(&error))),
        }
    }

    fn caller(&self, index: usize, rule: &Rule, token: &AccessToken) -> Caller {
        let kept = self.kept_claims.load();
        Caller {
            rule: index,
            name: rule.name.clone(),
            key: None,
            claims: token.claims().clone().retaining(|name| kept.contains(name)),
            ends_at: token.ends_at(),
        }
    }

    /// Who has a certificate that TLS has verified, by the first of these rules that knows it; none
    /// where it says nothing to them.
    pub fn holder(&self, rules: &[usize], certificate: &ClientCertificate, now: Timestamp) -> Option<Caller> {
        rules.iter().find_map(|index| {
            let rule = self.rules.get(*index)?;
            let Source::Certificates(known) = &rule.source else { return None };
            let known = certificates::find(known, certificate, now)?;
            let ends_at = Some(known.ends_at(certificate));
            Some(self.known(*index, rule, &known.name, &known.claims, ends_at))
        })
    }

    /// A program of the configuration.
    fn known(&self, index: usize, rule: &Rule, name: &str, claims: &Claims, ends_at: Option<Timestamp>) -> Caller {
        let kept = self.kept_claims.load();
        Caller {
            rule: index,
            name: rule.name.clone(),
            key: Some(name.to_owned()),
            claims: claims.clone().retaining(|name| kept.contains(name)),
            ends_at,
        }
    }

    /// Fetches what has to be known of every issuer: for `vestibule check --online`.
    ///
    /// # Errors
    /// The first issuer whose keys cannot be had, by the rule's name.
    pub async fn prepare(&self, now: Timestamp) -> Result<(), (String, Unreachable)> {
        for rule in &self.rules {
            if let Source::Jwt { issuer, .. } = &rule.source {
                issuer.prepare(now).await.map_err(|error| (rule.name.clone(), error))?;
            }
        }
        Ok(())
    }
}

impl Rule {
    fn says(&self, error: &dyn std::fmt::Display) -> String {
        format!("{}: {error}", self.name)
    }

    fn lacks_scope(&self) -> NotVerified {
        NotVerified::Scope { rule: self.name.clone(), scope: self.scope.clone() }
    }
}

/// Of two rules for one issuer, what the client can do most with: to know of an outage, or of a
/// scope.
fn more_telling(before: Option<NotVerified>, now: NotVerified) -> NotVerified {
    match before {
        Some(before @ (NotVerified::Outage(_) | NotVerified::Scope { .. })) => before,
        _ => now,
    }
}
