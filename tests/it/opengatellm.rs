//! OpenGateLLM's playground and API behind the sidecar, in the place of oauth2-proxy: who the
//! playground takes a person for on its WebSocket, and what the API is answered when it asks back
//! with the cookie that came that way.
//!
//! The playground and the API are fakes, written from what the real ones were read to do. The API's
//! sign-in has had three forms: an ID token that it verifies itself (June 2026), and twice a cookie
//! that it asks `/oauth2/auth` about.

use crate::support::client::{Answer, Client};
use crate::support::log_watch;
use crate::support::shown::{SESSION, header_at_app, parameter};
use crate::support::site::{ORIGIN, Setup, Site, agent};
use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, StatusCode};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use vestibule::clock::{Clock, ManualClock};
use vestibule::demo::provider::{Agent, Down};

const PROOF: &str = "__Host-vestibule-proof";
const ROUTES: &str = r#"[{path: /_event/**, upstream: reflex, session_cookie: proof, credentials: {kind: token, headers: {
    Authorization: "Bearer {id_token}", X-Forwarded-Id-Token: "Bearer {id_token}",
    X-Auth-Request-Access-Token: "{access_token}"}}},
    {path: /public/**, access: public, upstream: app}, {path: /**, upstream: app}]"#;

/// The forms of the API's sign-in.
const FORMS: [&str; 3] = ["june", "july", "late july"];

/// What the fakes know once the site runs.
struct World {
    sidecar: SocketAddr,
    issuer: String,
    clock: ManualClock,
}

#[derive(Clone, Default)]
struct Shared {
    world: Arc<OnceLock<World>>,
    api: Arc<OnceLock<SocketAddr>>,
    /// The headers of the last handshake.
    handshake: Arc<Mutex<HeaderMap>>,
}

struct Scene {
    site: Site,
    shared: Shared,
    _serving: JoinSet<()>,
}

impl Scene {
    async fn start() -> Self {
        Self::with("idle: 4h, lifetime: 12h").await
    }

    async fn with(session: &str) -> Self {
        let shared = Shared::default();
        let mut serving = JoinSet::new();
        let mut serve = async |router: Router| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
            address
        };
        let api = serve(Router::new().route("/v1/auth/sso/login", post(sso_login)).with_state(shared.clone())).await;
        let reflex = serve(Router::new().route("/_event", get(event)).with_state(shared.clone())).await;
        shared.api.set(api).unwrap();
        let site = Site::with(Setup {
            more: format!("session: {{{session}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}"),
            routes: ROUTES.to_owned(),
            upstreams: format!(", reflex: {{url: \"http://{reflex}\"}}"),
            ..Setup::default()
        })
        .await;
        let world =
            World { sidecar: site.address, issuer: site.provider.issuer().to_owned(), clock: site.clock.clone() };
        assert!(shared.world.set(world).is_ok());
        Self { site, shared, _serving: serving }
    }

    /// Opens the playground's WebSocket with this client's cookies and what else it sends, and has
    /// the playground sign in to the API in this form.
    async fn open_playground(&self, client: &Client, forged: &[(&'static str, &str)], form: &str) -> Value {
        let mut request = "ws://app.example/_event?EIO=4&transport=websocket".into_client_request().unwrap();
        request.headers_mut().insert("origin", ORIGIN.parse().unwrap());
        let cookies = client.cookie_header("app.example").unwrap_or_default();
        request.headers_mut().insert("cookie", cookies.parse().unwrap());
        for (name, value) in forged {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.site.address).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        socket.send(Message::text(form)).await.unwrap();
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The proof that the last handshake brought to the playground.
    fn proof(&self) -> String {
        let cookies = self.shared.handshake.lock().unwrap()["cookie"].to_str().unwrap().to_owned();
        let ours: Vec<_> = cookies.split("; ").filter(|pair| pair.contains("vestibule")).collect();
        assert_eq!(ours.len(), 1, "{cookies}");
        let value = ours[0].strip_prefix(PROOF).and_then(|rest| rest.strip_prefix('=')).unwrap();
        log_watch::never_logged(value);
        ours[0].to_owned()
    }

    /// Signs in at the API with a cookie, as the playground does later on.
    async fn sign_in_with(&self, cookie: Option<&str>, form: &str) -> Answer {
        let exp = Clock::Manual(self.site.clock.clone()).now().as_unix() + 3600;
        post_login(&self.shared, cookie, &body(form, &json!({"sub": "x", "iss": "y", "exp": exp}), &json!({}), ""))
            .await
    }

    /// `GET /oauth2/auth` with these headers and no others.
    async fn ask(&self, headers: &[(&str, &str)]) -> Answer {
        Client::new(self.site.address).get("/oauth2/auth", headers).await
    }
}

/// The playground: remembers who the handshake says it is, and signs in when told to.
async fn event(State(shared): State<Shared>, upgrade: WebSocketUpgrade, headers: HeaderMap) -> Response {
    *shared.handshake.lock().unwrap() = headers.clone();
    upgrade.on_upgrade(async move |mut socket| {
        while let Some(Ok(Frame::Text(form))) = socket.recv().await {
            let came = oidc_login(&shared, &headers, &form).await;
            if socket.send(Frame::text(came.to_string())).await.is_err() {
                return;
            }
        }
    })
}

/// What the playground does when its page is loaded.
async fn oidc_login(shared: &Shared, headers: &HeaderMap, form: &str) -> Value {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let id_token = text("authorization").or(text("x-forwarded-id-token"));
    let (Some(email), Some(id_token)) = (text("x-auth-request-email"), id_token) else {
        return json!({ "exception": "no e-mail or no ID token" });
    };
    let id_token = id_token.strip_prefix("Bearer ").unwrap_or(id_token);
    let claims = payload(id_token);
    let world = shared.world.get().unwrap();
    if claims["exp"].as_u64().unwrap() <= Clock::Manual(world.clock.clone()).now().as_unix() {
        return json!({ "redirect": "/oauth2/sign_out?rd=%2Foauth2%2Fsign_in%3Frd%3D%252Fchat" });
    }
    let access_token = format!("Bearer {}", text("x-auth-request-access-token").unwrap());
    let userinfo = Client::new(world.sidecar)
        .get(&format!("{}/userinfo", world.issuer), &[("authorization", &access_token)])
        .await;
    assert_eq!(userinfo.status, 200, "{}", userinfo.text());
    let userinfo = payload(&userinfo.text());
    assert_eq!(userinfo["sub"], claims["sub"]);
    let answer = post_login(shared, text("cookie"), &body(form, &claims, &userinfo, id_token)).await;
    json!({ "email": email, "exp": claims["exp"], "status": answer.status, "key": answer.json() })
}

fn body(form: &str, claims: &Value, userinfo: &Value, id_token: &str) -> Value {
    let [sub, iss, exp] = ["sub", "iss", "exp"].map(|name| claims[name].clone());
    match form {
        "june" => json!({"email": userinfo["email"], "name": "Hélène", "organization": null, "token": id_token}),
        "july" => json!({"name": "Hélène", "organization": null, "sub": sub, "iss": iss, "expires": exp}),
        _ => json!({"sub": sub, "iss": iss, "exp": exp, "claims": userinfo}),
    }
}

async fn post_login(shared: &Shared, cookie: Option<&str>, body: &Value) -> Answer {
    let url = format!("http://{}/v1/auth/sso/login", shared.api.get().unwrap());
    let client = Client::new(shared.world.get().unwrap().sidecar);
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(cookie.map(|cookie| ("cookie", cookie)));
    client.send(Method::POST, &url, &headers, body.to_string().into_bytes()).await
}

/// The API's `POST /v1/auth/sso/login`, in all of its forms.
async fn sso_login(State(shared): State<Shared>, request: Request) -> Response {
    let detail = |status: StatusCode, text: &str| (status, json!({ "detail": text }).to_string()).into_response();
    let invalid = || detail(StatusCode::UNAUTHORIZED, "Invalid SSO session.");
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&axum::body::to_bytes(body, 1 << 20).await.unwrap()).unwrap();
    let (email, exp) = if let Some(token) = body["token"].as_str() {
        match verified(&shared, token).await {
            Some(claims) => (body["email"].as_str().unwrap().to_owned(), claims["exp"].clone()),
            None => return invalid(),
        }
    } else {
        let Some(cookie) = parts.headers.get("cookie").and_then(|cookie| cookie.to_str().ok()) else {
            return invalid();
        };
        let sidecar = shared.world.get().unwrap().sidecar;
        // By the name that it has in the composition.
        let asked = [("cookie", cookie), ("host", "playground:8501")];
        let answer = Client::new(sidecar).get("/oauth2/auth", &asked).await;
        assert!(answer.set_cookies().is_empty(), "no cookie for an app: {:?}", answer.set_cookies());
        match (answer.status, answer.header("x-auth-request-email")) {
            (202, Some(email)) => {
                let exp = body.get("exp").or(body.get("expires")).unwrap();
                (email.to_owned(), exp.clone())
            }
            (401, _) => return invalid(),
            _ => return detail(StatusCode::SERVICE_UNAVAILABLE, "SSO provider is not available."),
        }
    };
    let key =
        json!({"object": "key", "id": 1, "name": "playground", "value": "sk-of-a-fake", "user": email, "expires": exp});
    (StatusCode::OK, key.to_string()).into_response()
}

/// The claims of an ID token, by the provider's keys and for this client; none if it does not count.
async fn verified(shared: &Shared, token: &str) -> Option<Value> {
    let world = shared.world.get().unwrap();
    let jwks = Client::new(world.sidecar).get(&format!("{}/jwks", world.issuer), &[]).await.json();
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let good = jwks["keys"].as_array()?.iter().filter(|key| key["kty"] == "EC").any(|key| {
        let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
    });
    let claims = payload(token);
    let alive = claims["exp"].as_u64()? > Clock::Manual(world.clock.clone()).now().as_unix();
    (good && alive && claims["aud"] == "app").then_some(claims)
}

fn payload(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap_or_else(|| panic!("no JWT"));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_playground_signs_in_to_the_api_in_all_three_forms() {
    for session in ["idle: 4h", "idle: 4h, keep: store"] {
        let scene = Scene::with(session).await;
        let client = scene.site.signed_in().await;
        for form in FORMS {
            let came = scene.open_playground(&client, &[], form).await;
            assert_eq!((came["status"].as_u64(), &came["email"]), (Some(200), &json!(agent().email)), "{form}: {came}");
            assert_eq!((&came["key"]["user"], &came["key"]["expires"]), (&came["email"], &came["exp"]), "{form}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tokens_and_the_proof_reach_the_websocket_alone_and_nothing_of_the_clients() {
    let scene = Scene::start().await;
    scene.site.provider.sign_in_as(Agent::new("Autre", "Personne", "autre@test.proconnect.gouv.fr"));
    let other = scene.site.signed_in().await;
    scene.open_playground(&other, &[], "july").await;
    let others = scene.proof();
    scene.site.provider.sign_in_as(agent());
    let client = scene.site.signed_in().await;
    client.set_cookie("theme", "dark");
    let (name, value) = others.split_once('=').unwrap();
    client.set_cookie(name, value);
    client.set_cookie("vestibule-proof", value);
    let forged = [
        ("authorization", "Bearer forged"),
        ("x-forwarded-id-token", "Bearer forged"),
        ("x_forwarded_id_token", "Bearer forged"),
        ("x-auth-request-access-token", "forged"),
        ("x-auth-request-email", "forged@example.org"),
        ("x_auth_request_email", "forged@example.org"),
    ];
    let came = scene.open_playground(&client, &forged, "late july").await;
    assert_eq!((&came["email"], &came["key"]["user"]), (&json!(agent().email), &json!(agent().email)), "{came}");
    let seen = scene.shared.handshake.lock().unwrap().clone();
    let seen = format!("{seen:?}");
    assert!(!seen.contains("forged") && !seen.contains(value), "{seen}");
    assert!(scene.proof() != others && seen.contains("theme=dark"), "{seen}");
    // Elsewhere nothing of it.
    for path in ["/", "/public/x"] {
        let answer = client.get(path, &[("x-forwarded-id-token", "Bearer forged")]).await;
        assert_eq!(header_at_app(&answer, "cookie").as_deref(), Some("theme=dark"), "{path}");
        for name in ["authorization", "x-forwarded-id-token", "x-auth-request-access-token"] {
            assert_eq!(header_at_app(&answer, name), None, "{path} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_refuses_sessions_that_are_over_and_cookies_that_are_none() {
    let scene = Scene::start().await;
    let client = scene.site.signed_in().await;
    scene.open_playground(&client, &[], "july").await;
    let proof = scene.proof();
    let (name, value) = proof.split_once('=').unwrap();
    for form in ["july", "late july"] {
        assert_eq!(scene.sign_in_with(Some(&proof), form).await.status, 200, "{form}");
        let worthless = [
            None,
            Some("theme=dark".to_owned()),
            Some(format!("{proof}; {proof}")),
            Some(format!("{proof}x")),
            Some(format!("{name}={}", &value[1..])),
            Some(format!("{SESSION}={value}")),
            Some(format!("vestibule-proof={value}")),
            Some(format!("{SESSION}=x; {proof}")),
            Some(format!("{name}={}", client.cookie(SESSION).unwrap())),
        ];
        for cookie in worthless {
            let answer = scene.sign_in_with(cookie.as_deref(), form).await;
            assert_eq!((answer.status, &answer.json()["detail"]), (401, &json!("Invalid SSO session.")), "{cookie:?}");
        }
    }
    // Whoever has signed out, with the cookie that the playground still holds.
    client.submit("/oauth2/sign_out", "").await;
    for form in ["july", "late july"] {
        assert_eq!(scene.sign_in_with(Some(&proof), form).await.status, 401, "{form}: ended");
    }
    // Whoever was away for too long; being asked about is not being there.
    let (late, idle) = (scene.site.signed_in().await, scene.site.signed_in().await);
    scene.open_playground(&idle, &[], "july").await;
    let idle_proof = scene.proof();
    for _ in 0..9 {
        scene.site.clock.advance(Duration::from_secs(30 * 60));
        late.fetch("/").await;
        scene.sign_in_with(Some(&idle_proof), "july").await;
    }
    assert_eq!(scene.sign_in_with(Some(&idle_proof), "july").await.status, 401, "idle");
    scene.open_playground(&late, &[], "july").await;
    let proof = scene.proof();
    assert_eq!(scene.sign_in_with(Some(&proof), "july").await.status, 200);
    scene.site.clock.advance(Duration::from_secs(8 * 3600));
    assert_eq!(scene.sign_in_with(Some(&proof), "july").await.status, 401, "expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_signs_nobody_in() {
    let scene = Scene::start().await;
    scene.open_playground(&scene.site.signed_in().await, &[], "july").await;
    let proof = scene.proof();
    let value = proof.split_once('=').unwrap().1.to_owned();
    for name in [PROOF, SESSION, "vestibule"] {
        let thief = scene.site.client();
        thief.set_cookie(name, &value);
        assert_eq!(thief.fetch("/").await.status, 401, "{name}");
        assert!(thief.navigate("/").await.location().starts_with(scene.site.provider.issuer()), "{name}");
        assert!(thief.cookie(SESSION).is_none_or(|held| held == value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_with_a_proof_neither_ends_nor_hands_out_a_session_that_is_due() {
    for keep in ["cookie", "store"] {
        let scene = Scene::with(&format!("idle: 4h, keep: {keep}")).await;
        let client = scene.site.signed_in().await;
        scene.open_playground(&client, &[], "july").await;
        let proof = scene.proof();
        scene.site.clock.advance(Duration::from_secs(61 * 60));
        // (The fake API looks that no cookie comes with the answer.)
        assert_eq!(scene.sign_in_with(Some(&proof), "july").await.status, 200, "{keep}");
        let asked = scene.site.provider.counters().refreshed;
        assert_eq!(asked, u64::from(keep == "store"), "{keep}: where the tokens are at hand");
        assert_eq!(client.fetch("/").await.status, 200, "{keep}");
        assert_eq!(scene.site.provider.counters().refreshed, 1, "{keep}");
        // The renewal that the browser brought counts for the old proof as well.
        scene.site.clock.advance(Duration::from_secs(30 * 60));
        assert_eq!(scene.sign_in_with(Some(&proof), "july").await.status, 200, "{keep}");
        // And by what the store has of that renewal it can be renewed from then on.
        scene.site.clock.advance(Duration::from_secs(3 * 3600));
        assert_eq!(scene.sign_in_with(Some(&proof), "july").await.status, 200, "{keep}");
        assert_eq!(client.fetch("/").await.status, 200, "{keep}");
        assert_eq!(scene.site.provider.counters().refresh_reuse, 0, "{keep}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_nobody_renews_says_nothing_in_the_end_and_the_session_goes_on() {
    let scene = Scene::start().await;
    let client = scene.site.signed_in().await;
    scene.open_playground(&client, &[], "july").await;
    let proof = scene.proof();
    // An hour of the tokens, and the hour of an outage.
    for (minutes, status) in [(119, 200), (2, 401)] {
        scene.site.clock.advance(Duration::from_secs(60 * minutes));
        assert_eq!(scene.sign_in_with(Some(&proof), "july").await.status, status);
    }
    assert_eq!(scene.site.provider.counters().refresh, 0);
    assert_eq!(client.fetch("/").await.status, 200);
    assert_eq!(scene.sign_in_with(Some(&proof), "july").await.status, 200, "the browser was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_is_told_who_it_is_and_nothing_more() {
    let scene = Scene::start().await;
    let client = scene.site.signed_in().await;
    let cookies = client.cookie_header("app.example").unwrap();
    let answer = scene.ask(&[("cookie", &cookies), ("x-auth-request-email", "forged@example.org")]).await;
    assert_eq!((answer.status, answer.header("x-auth-request-email")), (202, Some(agent().email.as_str())));
    assert!(answer.header("x-auth-request-user").is_some() && answer.body.is_empty());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let told: Vec<_> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    for name in &told {
        let known = name
            .strip_prefix("x-auth-request-")
            .is_none_or(|name| ["user", "email", "preferred-username", "groups"].contains(&name));
        assert!(known && !name.starts_with("access-control-") && !name.starts_with("x-vestibule"), "{told:?}");
    }
    assert!(answer.header("authorization").is_none() && !format!("{:?}", answer.headers).contains("eyJ"));
    // A page of another site gets nothing to read, and opens no WebSocket with it.
    let foreign = [("cookie", cookies.as_str()), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert!(scene.ask(&foreign).await.header("access-control-allow-origin").is_none());
    let socket = [
        ("cookie", cookies.as_str()),
        ("origin", "https://evil.example"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
    ];
    assert_ne!(scene.ask(&socket).await.status, 202);
    // A person's browser is told by status as well, and not led away.
    let page = scene.ask(&[("accept", "text/html"), ("sec-fetch-mode", "navigate")]).await;
    assert_eq!((page.status, page.header("cache-control")), (401, Some("no-store")));
    assert!(page.header("www-authenticate").is_some() && page.header("location").is_none());
    // A question by whatever method: front proxies differ, and nothing is done by it.
    assert_eq!(client.send(Method::POST, "/oauth2/auth", &[], Vec::new()).await.status, 202);
    // What is due is renewed, and the browser gets it.
    scene.site.clock.advance(Duration::from_secs(61 * 60));
    let renewed = scene.ask(&[("cookie", &cookies)]).await;
    assert_eq!((renewed.status, renewed.header("x-auth-request-email")), (202, Some(agent().email.as_str())));
    assert!(renewed.set_cookies().iter().any(|cookie| cookie.starts_with(&format!("{SESSION}="))));
    // An outage is no sign-out.
    scene.site.provider.faults().set(|faults| faults.down = Some(Down::Unavailable));
    scene.site.clock.advance(Duration::from_secs(3 * 3600));
    let out = scene.ask(&[("cookie", &cookies)]).await;
    assert_eq!((out.status, out.header("cache-control")), (503, Some("no-store")));
    assert!(out.header("x-auth-request-email").is_none());
    client.submit("/oauth2/sign_out", "").await;
    assert_eq!(scene.ask(&[("cookie", &cookies)]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_headers_have_their_names_whatever_the_app_gets() {
    let site =
        Site::with(Setup { more: "identity: {headers: {X-Person: \"{email}\"}}".into(), ..Setup::default() }).await;
    let client = site.signed_in().await;
    let answer = client.fetch("/oauth2/auth").await;
    assert_eq!((answer.status, answer.header("x-auth-request-email")), (202, Some(agent().email.as_str())));
    assert!(answer.header("x-person").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_comes_back_to_the_site_and_goes_nowhere_else() {
    let site = Site::start().await;
    let page = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("accept", "text/html")];
    let cases = [
        ("/public/bye?x=1", Some("/public/bye?x=1")),
        ("https%3A%2F%2Fapp.example%2Fpublic%2Fbye", Some("/public/bye")),
        // The playground's way round when its ID token has ended.
        ("%2Foauth2%2Fsign_in%3Frd%3D%252Fpublic%252Fchat", Some("/public/chat")),
        ("https%3A%2F%2Fapp.example%2Foauth2%2Fsign_in", Some("/")),
        ("%2Foauth2%2Fsign_in%3Frd%3D%252Foauth2%252Fsign_out", None),
        ("%2Foauth2%2Fsign_in%3Frd%3Dhttps%253A%252F%252Fevil.example", None),
        ("/oauth2/sign_out", None),
        ("https%3A%2F%2Fevil.example%2F", None),
        ("//evil.example", None),
        ("/%5Cevil.example", None),
        ("https%3A%2F%2Fidp.example%2Fsession%2Fend%3Fid_token_hint%3D%7Bid_token%7D", None),
        ("/a&rd=/b", None),
    ];
    for (rd, expected) in cases {
        site.provider.sign_in_as(agent());
        let client = site.signed_in().await;
        let out = client.get(&format!("/oauth2/sign_out?rd={rd}"), &page).await;
        assert_eq!(client.cookie(SESSION), None, "{rd}");
        assert!(out.location().contains("/session/end?"), "{rd}: {}", out.location());
        let back = client.navigate(out.location()).await;
        let end = client.navigate(back.location()).await;
        match expected {
            Some(path) => assert_eq!((end.status, end.location()), (302, format!("{ORIGIN}{path}").as_str()), "{rd}"),
            None => assert!(end.status == 200 && end.header("location").is_none(), "{rd}: {}", end.status),
        }
        // In no other browser.
        let state = parameter(back.location(), "state").unwrap();
        let stranger = site.client().navigate(&format!("/oauth2/signed_out?state={state}")).await;
        assert!(stranger.status == 200 && stranger.header("location").is_none(), "{rd}");
    }
    // Another site's link asks first, and keeps the address.
    site.provider.sign_in_as(agent());
    let client = site.signed_in().await;
    let asked = client.navigate("/oauth2/sign_out?rd=/public/bye").await;
    assert!(asked.status == 200 && asked.text().contains("name=\"rd\" value=\"/public/bye\""), "{}", asked.text());
    let asked = client.navigate("/oauth2/sign_out?rd=https://evil.example").await;
    assert!(!asked.text().contains("evil"), "{}", asked.text());
    let end = client.browse(client.submit("/oauth2/sign_out", "rd=%2Fpublic%2Fbye").await.location()).await;
    assert_eq!((end.status, end.url.as_str()), (200, "https://app.example/public/bye"));
    // An address that nobody sealed leads nowhere.
    let forged = site.client().navigate("/oauth2/signed_out?state=x&rd=/public/bye").await;
    assert!(forged.status == 200 && forged.header("location").is_none());
}
