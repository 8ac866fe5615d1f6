//! What is known of a provider: its metadata and keys, fetched once for all who ask, kept with
//! bounded age.
//!
//! Called by the facade before every exchange, and by `published_keys` for issuers of access tokens.
//! Readers take the present [`Known`] without waiting; one flight at a time renews it. Must never
//! let a token, a visitor or an outage decide how often the provider is asked.

use super::Unreachable;
use super::discovery::{self, Metadata};
use super::keys::{self, Keys};
use super::settings::Settings;
use crate::clock::Timestamp;
use crate::fetch::Fetch;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// Who publishes keys, and what has to be known to find them.
pub(super) trait Publisher: Sync {
    /// What is found besides the keys, or to find them.
    type Metadata: Clone + Send + Sync;

    /// Its configured name, for logs.
    fn name(&self) -> &str;
    /// How long one call may take.
    fn timeout(&self) -> Duration;
    /// Asks for the metadata.
    fn metadata(&self, fetch: &Fetch) -> impl Future<Output = Result<Self::Metadata, Unreachable>> + Send;
    /// Where its keys are.
    fn jwks_uri(metadata: &Self::Metadata) -> &Url;
}

impl Publisher for Settings {
    type Metadata = Metadata;

    fn name(&self) -> &str {
        &self.name
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn metadata(&self, fetch: &Fetch) -> Result<Metadata, Unreachable> {
        discovery::metadata(self, fetch).await
    }

    fn jwks_uri(metadata: &Metadata) -> &Url {
        &metadata.jwks_uri
    }
}

/// How old metadata and keys may grow before they are fetched again: what ProConnect itself says
/// of both (`Cache-Control: max-age=600`).
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// How old they may be and still serve while the provider does not answer. A key that the provider
/// has withdrawn is trusted for no longer than this, and only during an outage.
const USABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after a fetch that failed: nobody who comes within it asks again.
const BACK_OFF: Duration = Duration::from_secs(10);

/// The pause between two fetches of the keys on account of an unknown `kid`.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(60);

/// What is known of a provider at one moment.
#[derive(Debug)]
pub(super) struct Known<M = Metadata> {
    pub(super) metadata: M,
    pub(super) keys: Keys,
    fetched_at: Timestamp,
}

/// The cache of one provider.
#[derive(Debug)]
pub(super) struct Cache<M = Metadata> {
    known: ArcSwapOption<Known<M>>,
    flight: Mutex<Flight>,
}

impl<M> Default for Cache<M> {
    fn default() -> Self {
        Self { known: ArcSwapOption::empty(), flight: Mutex::default() }
    }
}

/// What the one who fetches leaves to the next.
#[derive(Debug, Default)]
struct Flight {
    failed: Option<(Timestamp, Unreachable)>,
    /// On account of a token that the provider itself handed us.
    keys_refetched_for_provider: Option<Timestamp>,
    /// On account of a token that somebody sent.
    keys_refetched_for_stranger: Option<Timestamp>,
}

/// Who brought a token whose key is not known. Each has its own pause, so that forged logout
/// tokens do not use up the fetch that the next sign-in needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bearer {
    /// The provider, in answer to our own request.
    Provider,
    /// Anybody who reaches the back-channel logout endpoint, or shows a bearer token.
    Stranger,
}

impl<M: Clone + Send + Sync> Cache<M> {
    /// Whether there ever was an answer.
    pub(super) fn is_filled(&self) -> bool {
        self.known.load().is_some()
    }

    /// Metadata and keys, fetched now if those held are missing or old.
    pub(super) async fn known(
        &self,
        publisher: &impl Publisher<Metadata = M>,
        fetch: &Fetch,
        now: Timestamp,
    ) -> Result<Arc<Known<M>>, Unreachable> {
        let usable = match self.held(now, USABLE_FOR) {
            Some(held) if within(held.fetched_at, now, FRESH_FOR) => return Ok(held),
            held => held,
        };
        // Whoever holds something usable does not wait for another's flight.
        let mut flight = match (self.flight.try_lock(), usable) {
            (Ok(flight), _) => flight,
            (Err(_), Some(usable)) => return Ok(usable),
            (Err(_), None) => self.flight.lock().await,
        };
        // While we waited, another may have had an answer, or a refusal.
        if let Some(fresh) = self.held(now, FRESH_FOR) {
            return Ok(fresh);
        }
        let recent = flight.failed.as_ref().filter(|(at, _)| within(*at, now, BACK_OFF));
        let failure = if let Some((_, failure)) = recent {
            failure.clone()
        } else {
            match Known::fetch(publisher, fetch, now).await {
                Ok(known) => {
                    flight.failed = None;
                    return Ok(self.hold(known));
                }
                Err(failure) => {
                    tracing::warn!(provider = publisher.name(), %failure, "the provider's metadata and keys were not renewed");
                    flight.failed = Some((now, failure.clone()));
                    failure
                }
            }
        };
        self.held(now, USABLE_FOR).ok_or(failure)
    }

    /// Keys newer than those of `seen`, in which a token's key was not found; `None` where there
    /// are none, or where the provider was asked for this reason and bearer less than a minute ago.
    pub(super) async fn newer_keys<P: Publisher<Metadata = M>>(
        &self,
        seen: &Arc<Known<M>>,
        bearer: Bearer,
        publisher: &P,
        fetch: &Fetch,
        now: Timestamp,
    ) -> Option<Arc<Known<M>>> {
        let mut flight = self.flight.lock().await;
        // While we waited, another may have brought them.
        if let Some(held) = self.held(now, USABLE_FOR).filter(|held| !Arc::ptr_eq(held, seen)) {
            return Some(held);
        }
        let refetched_at = match bearer {
            Bearer::Provider => &mut flight.keys_refetched_for_provider,
            Bearer::Stranger => &mut flight.keys_refetched_for_stranger,
        };
        if refetched_at.is_some_and(|at| within(at, now, UNKNOWN_KEY_PAUSE)) {
            return None;
        }
        // Noted before the call: one that fails, or whose caller leaves, counts too.
        *refetched_at = Some(now);
        match keys::fetch(fetch, P::jwks_uri(&seen.metadata), publisher.timeout()).await {
            Ok(keys) => {
                let metadata = seen.metadata.clone();
                Some(self.hold(Known { metadata, keys, fetched_at: seen.fetched_at }))
            }
            Err(failure) => {
                tracing::warn!(provider = publisher.name(), %failure, "the keys were not fetched again for an unknown key");
                None
            }
        }
    }

    fn held(&self, now: Timestamp, age: Duration) -> Option<Arc<Known<M>>> {
        self.known.load_full().filter(|held| within(held.fetched_at, now, age))
    }

    fn hold(&self, known: Known<M>) -> Arc<Known<M>> {
        let known = Arc::new(known);
        self.known.store(Some(Arc::clone(&known)));
        known
    }
}

impl<M> Known<M> {
    async fn fetch<P: Publisher<Metadata = M>>(
        publisher: &P,
        fetch: &Fetch,
        now: Timestamp,
    ) -> Result<Self, Unreachable> {
        let metadata = publisher.metadata(fetch).await?;
        let keys = keys::fetch(fetch, P::jwks_uri(&metadata), publisher.timeout()).await?;
        Ok(Self { metadata, keys, fetched_at: now })
    }
}

/// Whether `at` and `now` are less than `span` apart, whichever is the earlier: those who wait for
/// one flight have slightly different `now`s, and a clock that was set back must not keep what is
/// old for ever.
fn within(at: Timestamp, now: Timestamp, span: Duration) -> bool {
    now.since(at) < span && at.since(now) < span
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::settings::Algorithm;
    use crate::oidc::stub::{Signer, Stub};
    use futures_util::future::join_all;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const DISCOVERY: &str = "/.well-known/openid-configuration";

    struct Asked {
        stub: Stub,
        settings: Settings,
        fetch: Fetch,
        cache: Cache,
    }

    impl Asked {
        async fn new() -> Self {
            let stub = Stub::start(&[Signer::new(Algorithm::ES256, "one")]).await;
            let settings = stub.settings();
            Self { stub, settings, fetch: Fetch::new().unwrap(), cache: Cache::default() }
        }

        async fn known(&self, now: Timestamp) -> Result<Arc<Known>, Unreachable> {
            self.cache.known(&self.settings, &self.fetch, now).await
        }

        fn hits(&self) -> (usize, usize) {
            (self.stub.hits(DISCOVERY), self.stub.hits("/jwks"))
        }
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_flight() {
        let asked = Asked::new().await;
        let answers = join_all((0..20).map(|second| asked.known(NOW.plus(Duration::from_secs(second))))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(asked.hits(), (1, 1));
        assert!(asked.cache.is_filled());
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_failure_too() {
        let asked = Asked::new().await;
        asked.stub.fail(DISCOVERY);
        let answers = join_all((0..20).map(|_| asked.known(NOW))).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(Unreachable::Status { status: 500, .. }))));
        assert_eq!(asked.hits(), (1, 0));
        assert!(!asked.cache.is_filled());
    }

    #[tokio::test]
    async fn they_are_fetched_again_when_old_and_not_before() {
        let asked = Asked::new().await;
        for (later, fetches) in [(0, 1), (1, 1), (599, 1), (600, 2), (601, 2)] {
            asked.known(NOW.plus(Duration::from_secs(later))).await.unwrap();
            assert_eq!(asked.hits(), (fetches, fetches), "{later}");
        }
        // A clock set back by an hour.
        asked.known(NOW.minus(Duration::from_secs(3600))).await.unwrap();
        assert_eq!(asked.hits(), (3, 3));
    }

    #[tokio::test]
    async fn an_outage_is_bridged_for_a_day_and_the_provider_is_not_hammered() {
        let asked = Asked::new().await;
        asked.known(NOW).await.unwrap();
        for path in [DISCOVERY, "/jwks"] {
            asked.stub.fail(path);
        }
        let later = |seconds| NOW.plus(Duration::from_secs(seconds));
        for (seconds, discoveries) in [(600, 2), (605, 2), (609, 2), (610, 3), (86_399, 4)] {
            assert!(asked.known(later(seconds)).await.is_ok(), "{seconds}");
            assert_eq!(asked.stub.hits(DISCOVERY), discoveries, "{seconds}");
        }
        assert!(asked.known(later(86_400)).await.is_err());
        assert!(asked.cache.is_filled(), "readiness speaks of having had them once");
        asked.stub.mend(DISCOVERY);
        assert!(asked.known(later(86_420)).await.is_err(), "metadata without keys is not enough");
        asked.stub.mend("/jwks");
        assert!(asked.known(later(86_440)).await.is_ok());
    }

    #[tokio::test]
    async fn a_failure_leaves_a_short_pause() {
        let asked = Asked::new().await;
        asked.stub.fail("/jwks");
        for (seconds, fetches) in [(0, 1), (9, 1), (10, 2), (11, 2)] {
            assert!(asked.known(NOW.plus(Duration::from_secs(seconds))).await.is_err());
            assert_eq!(asked.hits(), (fetches, fetches), "{seconds}");
        }
    }

    #[tokio::test]
    async fn keys_are_fetched_for_an_unknown_one_at_most_once_a_minute() {
        let asked = Asked::new().await;
        let seen = asked.known(NOW).await.unwrap();
        let newer = |seen: Arc<Known>, seconds| {
            let asked = &asked;
            async move {
                asked
                    .cache
                    .newer_keys(
                        &seen,
                        Bearer::Provider,
                        &asked.settings,
                        &asked.fetch,
                        NOW.plus(Duration::from_secs(seconds)),
                    )
                    .await
            }
        };
        let found = join_all((0..20).map(|_| newer(Arc::clone(&seen), 1))).await;
        assert!(found.iter().all(Option::is_some), "all get the one answer");
        assert_eq!(asked.hits(), (1, 2));
        let seen = found.into_iter().flatten().next().unwrap();
        for (seconds, fetches) in [(2, 2), (60, 2), (61, 3)] {
            let found = newer(Arc::clone(&seen), seconds).await;
            assert_eq!((found.is_some(), asked.hits()), (fetches == 3, (1, fetches)), "{seconds}");
        }
    }

    #[tokio::test]
    async fn an_unknown_key_during_an_outage_asks_once_a_minute_too() {
        let asked = Asked::new().await;
        let seen = asked.known(NOW).await.unwrap();
        asked.stub.fail("/jwks");
        for seconds in 1..60 {
            let now = NOW.plus(Duration::from_secs(seconds));
            assert!(
                asked.cache.newer_keys(&seen, Bearer::Provider, &asked.settings, &asked.fetch, now).await.is_none()
            );
        }
        assert_eq!(asked.hits(), (1, 2));
    }

    #[tokio::test]
    async fn documents_that_are_not_the_providers_are_refused() {
        for (path, body) in
            [(DISCOVERY, r#"{"issuer":"https://evil.test"}"#), (DISCOVERY, "<html>"), ("/jwks", "{}"), ("/jwks", "[]")]
        {
            let asked = Asked::new().await;
            asked.stub.answer(path, "application/json", body);
            let error = asked.known(NOW).await.unwrap_err();
            assert!(matches!(error, Unreachable::Malformed { .. }), "{path} {body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_redirect_to_a_document_is_not_followed() {
        for path in [DISCOVERY, "/jwks"] {
            let asked = Asked::new().await;
            asked.stub.redirect(path, "/elsewhere");
            let error = asked.known(NOW).await.unwrap_err();
            assert!(matches!(error, Unreachable::Status { status: 302, .. }), "{path}: {error:?}");
            assert_eq!(asked.stub.hits("/elsewhere"), 0);
        }
    }

    #[tokio::test]
    async fn a_document_of_another_issuer_is_refused() {
        let asked = Asked::new().await;
        let mut settings = asked.settings.clone();
        settings.issuer.push('/');
        let error = asked.cache.known(&settings, &asked.fetch, NOW).await.unwrap_err();
        assert!(matches!(error, Unreachable::WrongIssuer), "{error:?}");
    }

    #[tokio::test]
    async fn a_document_that_is_too_large_is_not_read() {
        let asked = Asked::new().await;
        asked.stub.answer(DISCOVERY, "application/json", &" ".repeat(crate::fetch::MAX_BODY + 1));
        let error = asked.known(NOW).await.unwrap_err();
        assert!(
            matches!(error, Unreachable::NotFetched { cause: crate::fetch::FetchError::TooLarge, .. }),
            "{error:?}"
        );
    }
}
