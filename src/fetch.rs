//! The one outbound HTTP client.
//!
//! Called by `oidc` (and by whatever else asks another server a question on our behalf). It
//! answers what was asked and nothing more: redirects are not followed, proxies and cookies of the
//! environment play no part, a body ends at [`MAX_BODY`] and a call ends at its timeout. It must
//! never print a URL, a header or a body: they carry codes, secrets and tokens.

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// The largest body that is read, in bytes. Metadata, key sets, tokens and userinfo are a few
/// kilobytes; whatever sends more than this is not answering our question.
pub const MAX_BODY: usize = 1024 * 1024;

/// The longest wait for a connection (name, TCP and TLS) within a call's timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept: shorter than Node, uvicorn (both 5 s) and load balancers
/// keep theirs. A code is redeemed by a `POST`, which is not tried again, and on a connection that
/// is just being closed the sign-in would fail.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

const USER_AGENT: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));

/// The one outbound HTTP client. Clones share connections.
///
/// Its connections live on the runtime that first uses them: one `Fetch` belongs to one runtime.
#[derive(Clone)]
pub struct Fetch {
    client: reqwest::Client,
}

/// Why there is no outbound HTTP client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchUnavailable {
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(rustls::Error),
    /// The client could not be built.
    #[error("the HTTP client could not be built: {0}")]
    Client(String),
}

/// Why there is none that shows a certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BadCertificate {
    /// No certificate in PEM.
    #[error("the certificate is no PEM of certificates")]
    Chain,
    /// No private key in PEM.
    #[error("the key is no PEM of a private key")]
    Key,
    /// A key of a kind that is not supported, or another certificate's.
    #[error("the key is not the certificate's")]
    Pair,
    /// As without one.
    #[error(transparent)]
    Fetch(#[from] FetchUnavailable),
}

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The request cannot be sent as it is: a target that is neither http nor https, or a bad header.
    #[error("the request cannot be sent")]
    Request,
    /// No connection: unknown name, refused, or TLS failed.
    #[error("no connection: {0}")]
    Connect(String),
    /// The call took longer than it may.
    #[error("no answer in time")]
    Timeout,
    /// The body is larger than [`MAX_BODY`].
    #[error("the answer is larger than {MAX_BODY} bytes")]
    TooLarge,
    /// The connection broke, or what came over it is not HTTP.
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

impl Fetch {
    /// A client that trusts the machine's certificate authorities (`SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name others).
    ///
    /// Where the machine has none, every https call fails and a warning says why; plain http on
    /// loopback, as in the demo, needs none.
    ///
    /// # Errors
    /// [`FetchUnavailable`], when TLS or the client cannot be set up.
    pub fn new() -> Result<Self, FetchUnavailable> {
        let tls = tls_builder(trusted_roots()).map_err(FetchUnavailable::Tls)?;
        Self::with(tls.with_no_client_auth())
    }

    fn with(mut tls: ClientConfig) -> Result<Self, FetchUnavailable> {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        #[expect(clippy::disallowed_methods, reason = "this is the one place that makes an outbound HTTP client")]
        let builder = reqwest::Client::builder();
        let client = builder
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()
            .map_err(|error| FetchUnavailable::Client(causes(&error)))?;
        Ok(Self { client })
    }

    /// One that shows this certificate to servers that ask for one, and is else the same. Both are
    /// PEM: the chain, leaf first, and its private key.
    ///
    /// # Errors
    /// [`BadCertificate`], by cause.
    pub fn presenting(chain: &[u8], key: &[u8]) -> Result<Self, BadCertificate> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| BadCertificate::Chain)?;
        if chain.is_empty() {
            return Err(BadCertificate::Chain);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| BadCertificate::Key)?;
        let config = tls_builder(trusted_roots()).map_err(FetchUnavailable::Tls)?;
        let config = config.with_client_auth_cert(chain, key).map_err(|_| BadCertificate::Pair)?;
        Ok(Self::with(config)?)
    }

    /// Sends `request` once and reads the whole answer, within `timeout`.
    ///
    /// Any status is an answer, redirects too.
    ///
    /// # Errors
    /// [`FetchError`], when there is no whole answer.
    pub async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        timeout: Duration,
    ) -> Result<http::Response<Vec<u8>>, FetchError> {
        self.send_for(request, timeout, MAX_BODY).await
    }

    /// The same for an answer of so many bytes at most: for what is our own, and may be long.
    ///
    /// # Errors
    /// [`FetchError`], when there is no whole answer.
    pub async fn send_for(
        &self,
        request: http::Request<Vec<u8>>,
        timeout: Duration,
        most: usize,
    ) -> Result<http::Response<Vec<u8>>, FetchError> {
        let mut request = reqwest::Request::try_from(request).map_err(|_| FetchError::Request)?;
        if !matches!(request.url().scheme(), "http" | "https") {
            return Err(FetchError::Request);
        }
        *request.timeout_mut() = Some(timeout);

        let mut answer = self.client.execute(request).await.map_err(FetchError::from)?;
        let too_large = |length: u64| usize::try_from(length).map_or(true, |length| length > most);
        if answer.content_length().is_some_and(too_large) {
            return Err(FetchError::TooLarge);
        }
        let mut body = Vec::new();
        // The length that was announced proves nothing: what arrives is counted.
        while let Some(chunk) = answer.chunk().await.map_err(FetchError::from)? {
            if chunk.len() > most - body.len() {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }

        let mut response = http::Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetch")
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // The URL goes first: its query may hold a code, and the error would print it.
        let error = error.without_url();
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_builder() {
            Self::Request
        } else if error.is_connect() {
            Self::Connect(causes(&error))
        } else {
            Self::Broken(causes(&error))
        }
    }
}

/// The deepest cause of `error`: the operating system's or the TLS library's words.
fn causes(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn trusted_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificate authorities could not be read");
    }
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::warn!(ignored, "certificate authorities were not understood");
    }
    if roots.is_empty() {
        tracing::warn!("this machine has no certificate authorities: no https address can be called");
    }
    roots
}

fn tls_builder(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    // The provider is named here, so that none has to be installed for the whole process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use bytes::Bytes;
    use futures_util::stream;

    const SOON: Duration = Duration::from_secs(10);

    async fn served(routes: axum::Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}")
    }

    fn get_request(url: &str) -> http::Request<Vec<u8>> {
        http::Request::get(url).body(Vec::new()).unwrap()
    }

    fn endless(chunks: usize) -> Body {
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        Body::from_stream(stream::iter((0..chunks).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
    }

    #[tokio::test]
    async fn an_answer_keeps_its_status_headers_and_body() {
        let seen = |headers: HeaderMap| async move {
            let agent = headers.get("user-agent").unwrap().to_str().unwrap().to_owned();
            (StatusCode::IM_A_TEAPOT, [("x-answer", "42")], agent)
        };
        let base = served(axum::Router::new().route("/", get(seen))).await;
        let answer = Fetch::new().unwrap().send(get_request(&base), SOON).await.unwrap();
        assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(answer.headers()["x-answer"], "42");
        assert_eq!(answer.body(), USER_AGENT.as_bytes());
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let routes = axum::Router::new()
            .route("/from", get(|| async { (StatusCode::FOUND, [("location", "/to")]) }))
            .route("/to", get(|| async { "followed" }));
        let base = served(routes).await;
        let answer = Fetch::new().unwrap().send(get_request(&format!("{base}/from")), SOON).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FOUND);
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit_and_no_further() {
        let routes = axum::Router::new()
            .route("/just", get(|| async { endless(16) }))
            .route("/streamed", get(|| async { endless(17) }))
            .route("/announced", get(|| async { vec![b'x'; MAX_BODY + 1] }));
        let base = served(routes).await;
        let fetch = Fetch::new().unwrap();
        let answer = fetch.send(get_request(&format!("{base}/just")), SOON).await.unwrap();
        assert_eq!(answer.body().len(), MAX_BODY);
        for path in ["streamed", "announced"] {
            let answer = fetch.send(get_request(&format!("{base}/{path}")), SOON).await;
            assert_eq!(answer.unwrap_err(), FetchError::TooLarge, "{path}");
        }
    }

    #[tokio::test]
    async fn cookies_are_not_kept() {
        let routes = axum::Router::new().route(
            "/",
            get(|headers: HeaderMap| async move {
                ([("set-cookie", "kept=1")], headers.contains_key("cookie").to_string())
            }),
        );
        let base = served(routes).await;
        let fetch = Fetch::new().unwrap();
        for _ in 0..2 {
            assert_eq!(fetch.send(get_request(&base), SOON).await.unwrap().body(), b"false");
        }
    }

    #[tokio::test]
    async fn a_silent_server_times_out_before_and_within_the_body() {
        let routes = axum::Router::new()
            .route("/head", get(std::future::pending::<()>))
            .route("/body", get(|| async { Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()) }));
        let base = served(routes).await;
        let fetch = Fetch::new().unwrap();
        for path in ["head", "body"] {
            let answer = fetch.send(get_request(&format!("{base}/{path}")), Duration::from_millis(50)).await;
            assert_eq!(answer.unwrap_err(), FetchError::Timeout, "{path}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_no_connection_and_the_error_names_no_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/?code=s3cret", listener.local_addr().unwrap());
        drop(listener);
        let error = Fetch::new().unwrap().send(get_request(&url), SOON).await.unwrap_err();
        assert!(matches!(error, FetchError::Connect(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn only_http_addresses_are_called() {
        let fetch = Fetch::new().unwrap();
        for url in ["ftp://127.0.0.1/", "gopher://127.0.0.1/", "/relative"] {
            assert_eq!(fetch.send(get_request(url), SOON).await.unwrap_err(), FetchError::Request, "{url}");
        }
    }

    #[tokio::test]
    async fn plain_text_on_a_tls_port_is_no_connection() {
        let base = served(axum::Router::new()).await;
        let url = base.replace("http:", "https:");
        let error = Fetch::new().unwrap().send(get_request(&url), SOON).await.unwrap_err();
        assert!(matches!(error, FetchError::Connect(_)), "{error:?}");
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Fetch::new().unwrap()), "Fetch");
    }
}
