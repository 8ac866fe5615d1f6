//! ProConnect's provider and the protocol room, without a sidecar between them: refreshes that
//! rotate, tokens that are given back, and logout tokens as a real provider writes them.

use super::support::counterparts::{Client, OidcProvider, require};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use url::Url;
use vestibule::clock::{Clock, Timestamp};
use vestibule::fetch::Fetch;
use vestibule::oidc::{
    AuthorizationRequest, ClientAuthentication, ClientProof, Code, Endpoints, Held, IdTokenError, LogoutTokenError,
    Provider, RefreshError, Revocation, Settings, SignedIn, TokenError, Userinfo,
};
use vestibule::secret::ExposeSecret;

const CALLBACK: &str = "http://localhost:4180/oauth2/callback";
const SIGNED_OUT: &str = "http://localhost:4180/oauth2/signed_out";
const NONCE: &str = "nonce-0123456789-0123456789-0123456789";
const STATE: &str = "state-0123456789-0123456789-0123456789";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn now() -> Timestamp {
    Clock::System.now()
}

fn relying_party(issuer: &str, client: &Client) -> Provider {
    let settings = Settings {
        name: "proconnect".to_owned(),
        issuer: issuer.to_owned(),
        endpoints: Endpoints::Discovered,
        client_id: client.id.clone(),
        client_secret: Some(client.secret.as_str().into()),
        client_authentication: ClientAuthentication::ClientSecretPost,
        client_proof: ClientProof::default(),
        pushes_requests: true,
        redirect_uri: CALLBACK.parse().unwrap(),
        post_logout_redirect_uri: SIGNED_OUT.parse().unwrap(),
        scopes: ["openid", "email", "roles"].map(str::to_owned).to_vec(),
        acr_values: Vec::new(),
        claims: serde_json::Map::new(),
        parameters: Vec::new(),
        // HS256 counts only where it is written.
        id_token_algorithms: vec![serde_json::from_value(client.id_token_algorithm.clone().into()).unwrap()],
        userinfo: Userinfo::JsonOrSigned(Vec::new()),
        clock_leeway: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        domain_owners: std::sync::Arc::default(),
    };
    Provider::new(settings, Fetch::new().unwrap())
}

/// A browser as far as the provider is concerned.
struct Browser {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    #[expect(clippy::disallowed_methods, reason = "a plain client plays the browser")]
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for line in answer.headers().get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        self.cookies.retain(|_, value| !value.is_empty());
        answer
    }

    /// Follows redirects until one leads back to the service.
    async fn go(&mut self, from: Url) -> Url {
        let mut url = from;
        loop {
            let answer = self.send(self.http.get(url.clone())).await;
            url = url.join(answer.headers()["location"].to_str().unwrap()).unwrap();
            if url.port() == Some(4180) {
                return url;
            }
        }
    }

    async fn sign_in(&mut self, relying_party: &Provider) -> SignedIn {
        let request = AuthorizationRequest {
            state: STATE,
            nonce: NONCE,
            pkce_verifier: VERIFIER,
            silent: false,
            login_hint: Some("agent@exemple.gouv.fr"),
            redirect_uri: None,
        };
        let back = self.go(relying_party.authorization_url(&request, now()).await.unwrap()).await;
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1;
        let code = Code { code: &code, pkce_verifier: VERIFIER, nonce: NONCE, redirect_uri: None };
        relying_party.redeem(&code, now()).await.unwrap()
    }

    /// Signs out at the provider, pressing the button of its form.
    async fn sign_out(&mut self, relying_party: &Provider, signed_in: &SignedIn) {
        let url = relying_party.end_session_url(Some(&signed_in.tokens.id_token), STATE, now()).await.unwrap().unwrap();
        let confirm = url.join("end/confirm").unwrap();
        let form = self.send(self.http.get(url)).await.text().await.unwrap();
        let secret = form.split("name=\"xsrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let body = format!("xsrf={secret}&logout=yes");
        let post = self.http.post(confirm).header("content-type", "application/x-www-form-urlencoded").body(body);
        assert_eq!(self.send(post).await.status(), 303);
    }
}

/// A provider that is as strict as one can be set up, and what it posts to a service's
/// back-channel endpoint.
async fn strict_provider() -> (OidcProvider, mpsc::UnboundedReceiver<String>) {
    let (sender, received) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/backchannel_logout", listener.local_addr().unwrap());
    let endpoint = axum::routing::post(async move |body: String| {
        let (_, token) = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "logout_token").unwrap();
        sender.send(token.into_owned()).unwrap();
    });
    let routes = axum::Router::new().route("/backchannel_logout", endpoint);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let provider = OidcProvider::start(serde_json::json!({
        "redirect_uris": [CALLBACK],
        "post_logout_redirect_uris": [SIGNED_OUT],
        "backchannel_logout_uri": uri,
        "access_token_ttl": 120,
        "rotate_always": true,
    }));
    (provider.await, received)
}

fn held(signed_in: &SignedIn) -> Held<'_> {
    Held {
        tokens: &signed_in.tokens,
        subject: signed_in.identity.subject(),
        sid: signed_in.identity.sid(),
        authenticated_at: signed_in.identity.authenticated_at(),
    }
}

#[tokio::test]
async fn a_session_is_refreshed_with_each_algorithm_and_a_second_use_is_a_theft() {
    require!(OidcProvider);
    let (provider, _received) = strict_provider().await;
    for algorithm in ["HS256", "ES256", "RS256"] {
        let relying_party = relying_party(&provider.issuer, provider.client(algorithm));
        let first = Browser::new().sign_in(&relying_party).await;
        assert!(first.identity.sid().is_some(), "{algorithm}");
        let refreshed = relying_party.refresh(&held(&first), now()).await.unwrap();
        let second = SignedIn { identity: refreshed.identity.unwrap(), tokens: refreshed.tokens };
        assert_eq!(second.identity, first.identity, "{algorithm}");
        let texts = |signed_in: &SignedIn| {
            let tokens = &signed_in.tokens;
            let refresh_token = tokens.refresh_token.as_ref().unwrap();
            [&tokens.id_token, &tokens.access_token, refresh_token].map(|token| token.expose_secret().to_owned())
        };
        assert!(texts(&first).iter().all(|old| !texts(&second).contains(old)), "{algorithm}");
        let gone = RefreshError::Token(TokenError::InvalidGrant);
        assert_eq!(relying_party.refresh(&held(&first), now()).await.unwrap_err(), gone, "{algorithm}");
        assert_eq!(relying_party.refresh(&held(&second), now()).await.unwrap_err(), gone, "{algorithm}");
    }
}

#[tokio::test]
async fn a_token_that_is_given_back_is_void() {
    require!(OidcProvider);
    let (provider, _received) = strict_provider().await;
    let relying_party = relying_party(&provider.issuer, provider.client("ES256"));
    let signed_in = Browser::new().sign_in(&relying_party).await;
    assert_eq!(relying_party.revoke(&signed_in.tokens, now()).await, Ok(Revocation::Revoked));
    let refused = relying_party.refresh(&held(&signed_in), now()).await.unwrap_err();
    assert!(refused.ends_session());
}

#[tokio::test]
async fn a_sign_out_there_is_a_logout_token_here_and_no_id_token_is_one() {
    require!(OidcProvider);
    let (provider, mut received) = strict_provider().await;
    for algorithm in ["HS256", "ES256", "RS256"] {
        let relying_party = relying_party(&provider.issuer, provider.client(algorithm));
        let mut browser = Browser::new();
        let signed_in = browser.sign_in(&relying_party).await;
        browser.sign_out(&relying_party, &signed_in).await;
        let raw = received.recv().await.unwrap();
        let token = relying_party.verify_logout_token(&raw, now()).await.unwrap();
        assert_eq!(token.sid(), signed_in.identity.sid(), "{algorithm}");
        assert_eq!(token.sub(), Some(signed_in.identity.subject()), "{algorithm}");
        assert!(token.replay_until() > now());

        let id_token = signed_in.tokens.id_token.expose_secret();
        let refused = relying_party.verify_logout_token(id_token, now()).await.unwrap_err();
        assert_eq!(refused, LogoutTokenError::NoLogoutEvent, "{algorithm}");
        let late = token.replay_until();
        let refused = relying_party.verify_logout_token(&raw, late).await.unwrap_err();
        assert!(matches!(refused, LogoutTokenError::TooOld | LogoutTokenError::OutOfDate(IdTokenError::Expired)));
        // Another service's token is not ours, though the same provider signed it.
        let other = provider.client(if algorithm == "RS256" { "ES256" } else { "RS256" });
        assert!(self::relying_party(&provider.issuer, other).verify_logout_token(&raw, now()).await.is_err());
    }
}
