//! An issuer of access tokens on loopback, with keys of its own: it publishes them, signs whatever it
//! is told to, and answers introspections as it is told to.

use super::log_watch::never_logged;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const RSA_PEM: &str = include_str!("../../../src/demo/provider/tests/rsa-key.pem");

/// The one `kid`, of every issuer.
const KID: &str = "one";

pub(crate) struct Issuer {
    /// Its issuer.
    pub(crate) url: String,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
    told: Arc<Mutex<Told>>,
}

/// What it was told to answer, and how often it was asked.
#[derive(Default)]
struct Told {
    jwks: Value,
    issuer: String,
    introspection: Value,
    is_down: bool,
    introspected: usize,
}

fn randomness() -> ring::rand::SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "ring signs with its own generator")]
    ring::rand::SystemRandom::new()
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &randomness()).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &randomness()).unwrap();
        let der: String = RSA_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(der).unwrap();
        let rsa = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(rsa.public());
        let jwks = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": KID, "use": "sig", "x": encode(x), "y": encode(y)},
            {"kty": "RSA", "kid": "rsa", "use": "sig", "n": encode(&public.n), "e": encode(&public.e)},
        ]});
        let told = Told { jwks, issuer: url.clone(), introspection: json!({"active": false}), ..Told::default() };
        let told = Arc::new(Mutex::new(told));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(jwks_of))
            .route("/introspect", post(introspect))
            .with_state(Arc::clone(&told));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, ec, rsa, told }
    }

    /// From now on every call fails, or none does.
    pub(crate) fn is_down(&self, is_down: bool) {
        self.told.lock().unwrap().is_down = is_down;
    }

    /// What it answers to introspections from now on.
    pub(crate) fn says(&self, answer: Value) {
        self.told.lock().unwrap().introspection = answer;
    }

    /// How often it was asked about a token.
    pub(crate) fn introspected(&self) -> usize {
        self.told.lock().unwrap().introspected
    }

    /// An access token with these claims (RFC 9068).
    pub(crate) fn access_token(&self, claims: &Value) -> String {
        self.signed(&json!({"alg": "ES256", "kid": KID, "typ": "at+jwt"}), claims)
    }

    /// A token with this header, signed with the EC key whatever it says.
    pub(crate) fn signed(&self, header: &Value, claims: &Value) -> String {
        sign(header, claims, |message| self.ec.sign(&randomness(), message).unwrap().as_ref().to_vec())
    }

    /// An access token by RS256.
    pub(crate) fn by_rsa(&self, claims: &Value) -> String {
        sign(&json!({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}), claims, |message| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(&RSA_PKCS1_SHA256, &randomness(), message, &mut signature).unwrap();
            signature
        })
    }

    /// What whoever knows the published keys can make: HS256 with one of them as the secret.
    pub(crate) fn by_public_key(&self, claims: &Value) -> Vec<String> {
        let jwks = self.told.lock().unwrap().jwks.clone();
        let modulus = jwks["keys"][1]["n"].as_str().unwrap();
        let secrets = [
            jwks["keys"][1].to_string().into_bytes(),
            modulus.as_bytes().to_vec(),
            URL_SAFE_NO_PAD.decode(modulus).unwrap(),
            self.rsa.public().as_ref().to_vec(),
        ];
        let header = json!({"alg": "HS256", "kid": "rsa", "typ": "at+jwt"});
        let by = |secret: &Vec<u8>| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            sign(&header, claims, |message| hmac::sign(&key, message).as_ref().to_vec())
        };
        secrets.iter().map(by).collect()
    }
}

fn sign(header: &Value, claims: &Value, signature: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature(signed.as_bytes())));
    never_logged(&token);
    token
}

type Shared = State<Arc<Mutex<Told>>>;

async fn metadata(State(told): Shared) -> Response {
    let told = told.lock().unwrap();
    answer(&told, &json!({"issuer": told.issuer, "jwks_uri": format!("{}/jwks", told.issuer)}))
}

async fn jwks_of(State(told): Shared) -> Response {
    let told = told.lock().unwrap();
    answer(&told, &told.jwks)
}

async fn introspect(State(told): Shared) -> Response {
    let mut told = told.lock().unwrap();
    told.introspected += 1;
    answer(&told, &told.introspection)
}

fn answer(told: &Told, body: &Value) -> Response {
    if told.is_down {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    } else {
        ([("content-type", "application/json")], body.to_string()).into_response()
    }
}
