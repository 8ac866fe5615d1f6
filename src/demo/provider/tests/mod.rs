//! The provider as a relying party and a browser meet it: the stage, and a small client of each kind.

mod exchange;
mod faults;
mod logout;
mod metadata;
mod refresh;
mod session_end;
mod sign_in;
mod tokens;

use super::*;
use crate::clock::ManualClock;
use crate::random::SystemRandom;
use crate::secret::SecretString;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use reqwest::Response;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// Made for these tests; signs nothing that matters.
pub(super) const RSA_PEM: &str = include_str!("rsa-key.pem");

const CALLBACK: &str = "http://127.0.0.1:4180/oauth2/callback";
const SIGNED_OUT: &str = "http://127.0.0.1:4180/oauth2/signed_out";
const STATE: &str = "state-0123456789-0123456789-0123456789";
const NONCE: &str = "nonce-0123456789-0123456789-0123456789";
// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const SCOPE: &str = "openid given_name usual_name email uid siret idp_id roles organization_label";

struct Stage {
    provider: Provider,
    clock: ManualClock,
    browser: Browser,
}

/// What differs from the usual parameters: another value, or none where empty.
type Changes<'a> = &'a [(&'a str, &'a str)];

/// A client without redirects, and the cookies that it was given.
struct Browser {
    http: reqwest::Client,
    cookies: HashMap<String, String>,
}

fn client(id: &str, id_token: SigningAlgorithm, userinfo: Option<SigningAlgorithm>) -> Client {
    Client {
        id_token_signed_response_alg: id_token,
        userinfo_signed_response_alg: userinfo,
        ..Client::new(id, SecretString::from("s3cret"), CALLBACK, SIGNED_OUT)
    }
}

async fn set_up_with(change: impl FnOnce(&mut ProviderSettings)) -> Stage {
    let mut public = client("public", SigningAlgorithm::ES256, None);
    public.accepts_private_sector = false;
    let mut settings = ProviderSettings {
        clients: vec![
            client("es", SigningAlgorithm::ES256, Some(SigningAlgorithm::ES256)),
            client("rs", SigningAlgorithm::RS256, Some(SigningAlgorithm::RS256)),
            client("hs", SigningAlgorithm::HS256, None),
            public,
        ],
        rsa_private_key_pem: Some(SecretString::from(RSA_PEM)),
        ..ProviderSettings::default()
    };
    change(&mut settings);
    let clock = ManualClock::starting_at(Timestamp::from_unix(1_700_000_000));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let random = Arc::new(SystemRandom::new());
    let provider = Provider::start(listener, settings, Clock::Manual(clock.clone()), random).unwrap();
    Stage { provider, clock, browser: Browser::new() }
}

async fn set_up() -> Stage {
    set_up_with(|_| {}).await
}

impl Browser {
    #[expect(clippy::disallowed_methods, reason = "a plain client plays the browser and the relying party")]
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, cookies: HashMap::new() }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let (pair, attributes) = set.to_str().unwrap().split_once(';').unwrap();
            assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite=Lax"), "{attributes}");
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }

    async fn get(&mut self, url: &str) -> Response {
        self.send(self.http.get(url)).await
    }

    async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Response {
        self.send(posting(&self.http, url, form)).await
    }
}

fn posting(http: &reqwest::Client, url: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
    http.post(url).header("content-type", "application/x-www-form-urlencoded").body(encoded(form))
}

fn encoded(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// `base` with `changes`: other values, or none where empty.
fn changed<'a>(base: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = base.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

fn parameters(response: &Response) -> HashMap<String, String> {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(CALLBACK), "{location}");
    url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

/// Reads a JWT's payload; signatures are checked where a test says so.
fn payload(jwt: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn header_of(jwt: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').next().unwrap()).unwrap()).unwrap()
}

async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

impl Stage {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.provider.issuer())
    }

    fn authorize_url(&self, changes: &[(&str, &str)]) -> String {
        let base = [
            ("client_id", "es"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("state", STATE),
            ("nonce", NONCE),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        self.at(&format!("/authorize?{}", encoded(&changed(&base, changes))))
    }

    async fn authorize(&mut self, changes: &[(&str, &str)]) -> Response {
        let url = self.authorize_url(changes);
        self.browser.get(&url).await
    }

    /// A code for whoever signs in by themselves.
    async fn code(&mut self, changes: &[(&str, &str)]) -> String {
        parameters(&self.authorize(changes).await)["code"].clone()
    }

    async fn token(&self, code: &str, changes: &[(&str, &str)]) -> Response {
        let base = [
            ("grant_type", "authorization_code"),
            ("client_id", "es"),
            ("client_secret", "s3cret"),
            ("redirect_uri", CALLBACK),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        posting(&self.browser.http, &self.at("/token"), &changed(&base, changes)).send().await.unwrap()
    }

    async fn tokens(&mut self, client_id: &str) -> Value {
        let code = self.code(&[("client_id", client_id)]).await;
        json(self.token(&code, &[("client_id", client_id)]).await).await
    }

    async fn refresh(&self, refresh_token: &str) -> Response {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "es"),
            ("client_secret", "s3cret"),
            ("refresh_token", refresh_token),
        ];
        posting(&self.browser.http, &self.at("/token"), &form).send().await.unwrap()
    }

    async fn userinfo(&self, tokens: &Value) -> Response {
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        self.browser.http.get(self.at("/userinfo")).header("authorization", bearer).send().await.unwrap()
    }

    /// Whether a JWT verifies against the published EC keys.
    async fn verifies(&self, jwt: &str) -> bool {
        let jwks = json(self.browser.http.get(self.at("/jwks")).send().await.unwrap()).await;
        let (input, signature) = jwt.rsplit_once('.').unwrap();
        let header = header_of(jwt);
        jwks["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| key["kid"] == header["kid"] && header["alg"] == "ES256")
            .any(|key| {
                let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
                let point = [vec![4], part("x"), part("y")].concat();
                let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
                public.verify(input.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok()
            })
    }
}

fn agent() -> Agent {
    Agent::new("Hélène", "Essai", "helene@test.proconnect.gouv.fr")
}

/// The form's address on the sign-in page.
fn action(page: &str) -> String {
    page.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

impl Stage {
    fn provider_end(&self, query: &[(&str, &str)]) -> String {
        self.at(&format!("/session/end?{}", encoded(query)))
    }
}
