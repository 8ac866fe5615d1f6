//! For this room's tests: keys that really sign, and a provider on loopback whose answers are set
//! by hand and whose visitors are counted.

use super::settings::{Algorithm, ClientAuthentication, ClientProof, Endpoints, Settings, Userinfo};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use ring::{hmac, rsa};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Made with `openssl genpkey` for these tests; it protects nothing.
const RSA_PEM: &str = include_str!("testdata/test-only-rsa.pem");

/// The client secret of [`settings`].
pub(super) const CLIENT_SECRET: &str = "a client secret of more than 32 bytes";

/// A key and the algorithm that it signs with.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    kid: String,
    key: Key,
}

enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    Secret(Vec<u8>),
}

#[expect(clippy::disallowed_methods, reason = "ring signs with its own generator; these tests assert nothing on it")]
fn randomness() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

impl Signer {
    /// A fresh key (of RSA there is but one); HS256 has the client's secret.
    pub(super) fn new(algorithm: Algorithm, kid: &str) -> Self {
        let rng = randomness();
        let ec = |kind: &'static signature::EcdsaSigningAlgorithm| {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &rng).unwrap();
            Key::Ec(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &rng).unwrap())
        };
        let key = match algorithm {
            Algorithm::ES256 => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
                Key::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
            }
            Algorithm::HS256 => Key::Secret(CLIENT_SECRET.as_bytes().to_vec()),
            _ => {
                let der: String = RSA_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
                Key::Rsa(Box::new(RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap()))
            }
        };
        Self { algorithm, kid: kid.to_owned(), key }
    }

    /// HS256 with any bytes as its key.
    pub(super) fn with_secret(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, kid: "secret".to_owned(), key: Key::Secret(secret.to_vec()) }
    }

    /// The public key; nothing for a secret one.
    pub(super) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.key {
            Key::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "kid": self.kid, "use": "sig", "x": encode(x), "y": encode(y)})
            }
            Key::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": encode(pair.public_key().as_ref())})
            }
            Key::Rsa(pair) => {
                let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "kid": self.kid, "n": encode(&public.n), "e": encode(&public.e)})
            }
            Key::Secret(_) => Value::Null,
        }
    }

    /// A token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": self.algorithm, "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// A token with this header.
    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A token of these bytes.
    pub(super) fn sign_bytes(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.signature(signed.as_bytes())))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let rng = randomness();
        match &self.key {
            Key::Ec(pair) => pair.sign(&rng, message).unwrap().as_ref().to_vec(),
            Key::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Secret(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
            Key::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    Algorithm::RS256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_SHA512,
                    other => panic!("{other} is not RSA"),
                };
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &rng, message, &mut out).unwrap();
                out
            }
        }
    }
}

/// The settings of a client of `issuer`.
pub(super) fn settings(issuer: &str) -> Settings {
    Settings {
        name: "test".to_owned(),
        issuer: issuer.to_owned(),
        endpoints: Endpoints::Discovered,
        client_id: "client".to_owned(),
        client_secret: Some(CLIENT_SECRET.into()),
        client_authentication: ClientAuthentication::ClientSecretPost,
        client_proof: ClientProof::default(),
        pushes_requests: true,
        redirect_uri: "https://app.test/oauth2/callback".parse().unwrap(),
        post_logout_redirect_uri: "https://app.test/oauth2/signed_out".parse().unwrap(),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        acr_values: Vec::new(),
        claims: serde_json::Map::new(),
        parameters: Vec::new(),
        id_token_algorithms: Vec::new(),
        userinfo: Userinfo::JsonOrSigned(Vec::new()),
        clock_leeway: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        domain_owners: Arc::default(),
    }
}

/// A provider on loopback.
pub(super) struct Stub {
    /// Its issuer.
    pub(super) issuer: String,
    state: Arc<Mutex<Answers>>,
}

#[derive(Default)]
struct Answers {
    set: HashMap<String, Answer>,
    failing: HashMap<String, bool>,
    hits: HashMap<String, usize>,
    bodies: HashMap<String, String>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    header: (&'static str, String),
    body: String,
}

impl Stub {
    /// A provider that publishes the keys of `signers`, announces their algorithms, and answers
    /// nothing at its token and userinfo endpoints yet.
    pub(super) async fn start(signers: &[Signer]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Answers::default()));
        let routes = axum::Router::new().fallback(answer).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let stub = Self { issuer, state };
        let algorithms: Vec<_> = signers.iter().map(|signer| signer.algorithm).collect();
        stub.announce(&json!({ "id_token_signing_alg_values_supported": algorithms }));
        stub.publish(signers);
        stub
    }

    /// Announces these members besides the usual ones.
    pub(super) fn announce(&self, members: &Value) {
        let base = &self.issuer;
        let mut document = json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "userinfo_endpoint": format!("{base}/userinfo"),
            "end_session_endpoint": format!("{base}/session/end"),
            "jwks_uri": format!("{base}/jwks"),
        });
        for (name, value) in members.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.answer("/.well-known/openid-configuration", "application/json", &document.to_string());
    }

    /// Publishes these keys and no others.
    pub(super) fn publish(&self, signers: &[Signer]) {
        let keys: Vec<_> = signers.iter().map(Signer::jwk).filter(|jwk| !jwk.is_null()).collect();
        self.answer("/jwks", "application/json", &json!({ "keys": keys }).to_string());
    }

    pub(super) fn answer(&self, path: &str, content_type: &str, body: &str) {
        self.set(path, 200, ("content-type", content_type), body);
    }

    pub(super) fn refuse(&self, path: &str, status: u16, body: &str) {
        self.set(path, status, ("content-type", "application/json"), body);
    }

    pub(super) fn redirect(&self, path: &str, target: &str) {
        self.set(path, 302, ("location", target), "");
    }

    fn set(&self, path: &str, status: u16, header: (&'static str, &str), body: &str) {
        let answer = Answer { status, header: (header.0, header.1.to_owned()), body: body.to_owned() };
        self.state.lock().unwrap().set.insert(path.to_owned(), answer);
    }

    /// From now on `path` answers 500.
    pub(super) fn fail(&self, path: &str) {
        self.state.lock().unwrap().failing.insert(path.to_owned(), true);
    }

    /// From now on `path` answers as before.
    pub(super) fn mend(&self, path: &str) {
        self.state.lock().unwrap().failing.remove(path);
    }

    /// How often `path` was asked.
    pub(super) fn hits(&self, path: &str) -> usize {
        self.state.lock().unwrap().hits.get(path).copied().unwrap_or(0)
    }

    /// What `path` was last sent: its `Authorization`, a space, its body.
    pub(super) fn last(&self, path: &str) -> String {
        self.state.lock().unwrap().bodies[path].clone()
    }

    pub(super) fn settings(&self) -> Settings {
        settings(&self.issuer)
    }
}

async fn answer(State(state): State<Arc<Mutex<Answers>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let mut state = state.lock().unwrap();
    *state.hits.entry(path.clone()).or_default() += 1;
    let said = format!("{} {}", authorization.unwrap_or_default(), String::from_utf8_lossy(&body));
    state.bodies.insert(path.clone(), said);
    if state.failing.contains_key(&path) {
        return http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    match state.set.get(&path).cloned() {
        None => http::StatusCode::NOT_FOUND.into_response(),
        Some(Answer { status, header, body }) => {
            (http::StatusCode::from_u16(status).unwrap(), [header], body).into_response()
        }
    }
}
