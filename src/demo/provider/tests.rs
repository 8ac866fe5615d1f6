//! The provider as a relying party and a browser meet it: whole flows by hand, refusals, sign-out, faults.

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
pub(super) const RSA_PEM: &str = include_str!("test-rsa-key.pem");

const CALLBACK: &str = "http://127.0.0.1:4180/oauth2/callback";
const SIGNED_OUT: &str = "http://127.0.0.1:4180/oauth2/signed_out";
const STATE: &str = "state-0123456789-0123456789-0123456789";
const NONCE: &str = "nonce-0123456789-0123456789-0123456789";
// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const SCOPE: &str = "openid given_name usual_name email uid siret idp_id roles organization_label";

struct Setting {
    provider: Provider,
    clock: ManualClock,
    browser: Browser,
}

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

async fn set_up_with(change: impl FnOnce(&mut ProviderSettings)) -> Setting {
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
    Setting { provider, clock, browser: Browser::new() }
}

async fn set_up() -> Setting {
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

impl Setting {
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
        let form = [("grant_type", "refresh_token"), ("client_id", "es"), ("client_secret", "s3cret"), ("refresh_token", refresh_token)];
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
        jwks["keys"].as_array().unwrap().iter().filter(|key| key["kid"] == header["kid"] && header["alg"] == "ES256").any(|key| {
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

#[tokio::test]
async fn a_person_chosen_on_the_page_comes_to_the_client() {
    let mut set = set_up().await;
    let page = set.authorize(&[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:4180;"), "{policy}");
    let page = page.text().await.unwrap();
    assert!(page.contains("ce n’est pas ProConnect") && page.contains("Hélène") && !page.contains("<script"));
    let url = format!("http://{}{}", set.provider.address(), action(&page));
    let callback = set.browser.post(&url, &[("agent", "helene")]).await;
    let sent = parameters(&callback);
    assert_eq!((&*sent["state"], &*sent["iss"]), (STATE, set.provider.issuer()));

    let answer = set.token(&sent["code"], &[]).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let tokens = json(answer).await;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&"Bearer".into(), &3600.into()));
    assert!(tokens["refresh_token"].is_string());
    let id_token = tokens["id_token"].as_str().unwrap();
    assert!(set.verifies(id_token).await);
    assert_eq!(header_of(id_token)["typ"], "JWT");
    let claims = payload(id_token);
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["at_hash", "aud", "auth_time", "exp", "iat", "iss", "nonce", "sub"], "no e-mail, no name");
    assert_eq!((&claims["aud"], &claims["nonce"]), (&"es".into(), &NONCE.into()));

    let userinfo = set.userinfo(&tokens).await;
    assert_eq!(userinfo.headers()["content-type"], "application/jwt; charset=utf-8");
    let jwt = userinfo.text().await.unwrap();
    assert!(set.verifies(&jwt).await);
    let person = payload(&jwt);
    assert_eq!((&person["sub"], &person["aud"]), (&claims["sub"], &"es".into()));
    assert_eq!(person["given_name"], "Hélène Anaïs");
    assert!(person.get("phone_number").is_none(), "the phone scope was not asked for");

    // The page was answered; its address is worth nothing any more.
    let again = set.browser.post(&url, &[("agent", "helene")]).await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    // The session answers from now on, silently too.
    assert!(parameters(&set.authorize(&[("prompt", "none")]).await).contains_key("code"));
}

#[tokio::test]
async fn another_browser_cannot_answer_the_page() {
    let mut set = set_up().await;
    let page = set.authorize(&[]).await.text().await.unwrap();
    let url = format!("http://{}{}", set.provider.address(), action(&page));
    let mut thief = Browser::new();
    let without_cookie = thief.post(&url, &[("agent", "helene")]).await;
    assert!(without_cookie.text().await.unwrap().contains("Y030110"));
    let other_page = set.authorize_url(&[]);
    thief.get(&other_page).await;
    let with_its_own = thief.post(&url, &[("agent", "helene")]).await;
    assert!(with_its_own.text().await.unwrap().contains("Y190001"));
}

#[tokio::test]
async fn a_typed_person_is_checked_and_shown_again_escaped() {
    let mut set = set_up().await;
    let page = set.authorize(&[("login_hint", "nils@test.proconnect.gouv.fr")]).await.text().await.unwrap();
    assert!(page.contains(r#"value="nils@test.proconnect.gouv.fr""#));
    let url = format!("http://{}{}", set.provider.address(), action(&page));
    let wrong = [("email", "nobody"), ("given_name", "\"><script>"), ("siret", "12"), ("acr", "eidas9"), ("roles", "roi")];
    let shown = set.browser.post(&url, &wrong).await;
    assert_eq!(shown.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let shown = shown.text().await.unwrap();
    assert!(!shown.contains("<script>") && shown.matches("aria-invalid").count() == 3, "{shown}");
    let right = [
        ("email", "nils@test.proconnect.gouv.fr"),
        ("given_name", "Nils"),
        ("usual_name", "Ångström"),
        ("siret", "110 000 011 00011"),
        ("roles", "agent_public"),
        ("roles", "dirigeant"),
        ("acr", "eidas1-mfa"),
    ];
    let code = parameters(&set.browser.post(&url, &right).await)["code"].clone();
    let tokens = json(set.token(&code, &[]).await).await;
    let person = payload(&set.userinfo(&tokens).await.text().await.unwrap());
    assert_eq!((&person["usual_name"], &person["siret"]), (&"Ångström".into(), &"11000001100011".into()));
    assert_eq!(person["roles"], serde_json::json!(["agent_public", "dirigeant"]));
}

#[tokio::test]
async fn cancelling_is_access_denied() {
    let mut set = set_up().await;
    let page = set.authorize(&[]).await.text().await.unwrap();
    let url = format!("http://{}{}", set.provider.address(), action(&page));
    let sent = parameters(&set.browser.post(&url, &[("cancel", "1")]).await);
    assert_eq!((&*sent["error"], &*sent["state"], &*sent["iss"]), ("access_denied", STATE, set.provider.issuer()));
    assert!(!sent.contains_key("code"));
}

#[tokio::test]
async fn refusals_go_to_a_page_or_to_the_callback() {
    let mut set = set_up().await;
    let pages: [(&[(&str, &str)], &str); 4] = [
        (&[("client_id", "nobody")], "invalid_client"),
        (&[("redirect_uri", "http://127.0.0.1:4180/oauth2/callback/")], "Y030031"),
        (&[("state", "short")], "Y000400"),
        (&[("login_hint", "<script>alert(1)</script>")], "Y000400"),
    ];
    for (changes, code) in pages {
        let response = set.authorize(changes).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.headers().get("location").is_none());
        let text = response.text().await.unwrap();
        assert!(text.contains(code) && !text.contains("<script"), "{changes:?}");
    }
    let callbacks: [(&[(&str, &str)], &str); 4] = [
        (&[("prompt", "none")], "login_required"),
        (&[("scope", "openid groups")], "invalid_scope"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("idp_hint", "nowhere")], "idp_hint_not_found"),
    ];
    for (changes, error) in callbacks {
        let sent = parameters(&set.authorize(changes).await);
        assert_eq!((&*sent["error"], &*sent["state"], &*sent["iss"]), (error, STATE, set.provider.issuer()));
    }
}

#[tokio::test]
async fn the_authorization_request_may_be_posted() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let url = set.authorize_url(&[]);
    let (address, query) = url.split_once('?').unwrap();
    let request = set.browser.http.post(address).header("content-type", "application/x-www-form-urlencoded").body(query.to_owned());
    assert!(parameters(&set.browser.send(request).await).contains_key("code"));
}

#[tokio::test]
async fn the_session_is_reused_unless_hints_or_acr_forbid() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    set.code(&[]).await;
    set.provider.ask_people();
    let essential = r#"{"id_token":{"acr":{"essential":true,"values":["eidas1-mfa"]}}}"#;
    let satisfied = r#"{"id_token":{"acr":{"essential":true,"values":["eidas1"]}}}"#;
    let [state_idp, other_idp] = IDENTITY_PROVIDERS;
    let cases: [(&[(&str, &str)], bool); 9] = [
        (&[], true),
        (&[("prompt", "login")], true),
        (&[("login_hint", "HELENE@test.proconnect.gouv.fr")], true),
        (&[("login_hint", "nils@test.proconnect.gouv.fr")], false),
        (&[("idp_hint", state_idp.0)], true),
        (&[("idp_hint", other_idp.0)], false),
        (&[("claims", satisfied)], true),
        (&[("claims", essential)], false),
        (&[("acr_values", "eidas2")], false),
    ];
    for (changes, reused) in cases {
        assert_eq!(set.authorize(changes).await.status() == StatusCode::SEE_OTHER, reused, "{changes:?}");
    }
    set.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(set.authorize(&[]).await.status(), StatusCode::OK, "the session ended after 12 h");
}

#[tokio::test]
async fn an_essential_acr_that_is_not_met_and_a_private_person_are_denied() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let essential = r#"{"id_token":{"acr":{"essential":true,"values":["eidas1-mfa","eidas2"]}}}"#;
    let sent = parameters(&set.authorize(&[("claims", essential)]).await);
    assert_eq!((&*sent["error"], &*sent["error_description"]), ("access_denied", "requested ACRs could not be satisfied"));
    set.provider.sign_in_as(Agent { acr: "eidas1-mfa".to_owned(), ..agent() });
    let code = set.code(&[("claims", essential)]).await;
    let tokens = json(set.token(&code, &[]).await).await;
    assert_eq!(payload(tokens["id_token"].as_str().unwrap())["acr"], "eidas1-mfa");

    set.provider.sign_in_as(Agent { roles: Vec::new(), ..agent() });
    assert!(parameters(&set.authorize(&[]).await).contains_key("code"));
    assert_eq!(parameters(&set.authorize(&[("client_id", "public")]).await)["error"], "access_denied");
}

#[tokio::test]
async fn each_client_gets_its_algorithms() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    for (client_id, algorithm, userinfo) in
        [("es", "ES256", "application/jwt"), ("rs", "RS256", "application/jwt"), ("hs", "HS256", "application/json")]
    {
        let tokens = set.tokens(client_id).await;
        assert_eq!(header_of(tokens["id_token"].as_str().unwrap())["alg"], algorithm);
        let answer = set.userinfo(&tokens).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(userinfo));
        if userinfo == "application/json" {
            assert_eq!(json(answer).await["email"], "helene@test.proconnect.gouv.fr");
        }
    }
}

#[tokio::test]
async fn the_token_endpoint_refuses_what_proconnect_refuses() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let cases: [(&[(&str, &str)], u16, &str); 9] = [
        (&[("client_secret", "wrong")], 401, "invalid_client"),
        (&[("client_id", "nobody")], 401, "invalid_client"),
        (&[("client_secret", "")], 400, "invalid_request"),
        (&[("client_id", "rs")], 400, "invalid_grant"),
        (&[("redirect_uri", SIGNED_OUT)], 400, "invalid_grant"),
        (&[("redirect_uri", "")], 400, "invalid_grant"),
        (&[("code_verifier", "")], 400, "invalid_grant"),
        (&[("code_verifier", CHALLENGE)], 400, "invalid_grant"),
        (&[("grant_type", "password")], 400, "unsupported_grant_type"),
    ];
    for (changes, status, error) in cases {
        let code = set.code(&[]).await;
        let answer = set.token(&code, changes).await;
        assert_eq!(answer.status().as_u16(), status, "{changes:?}");
        assert_eq!(json(answer).await["error"], error, "{changes:?}");
    }
    let code = set.code(&[]).await;
    let form = [("grant_type", "authorization_code"), ("redirect_uri", CALLBACK), ("code", &code), ("code_verifier", VERIFIER)];
    let basic = posting(&set.browser.http, &set.at("/token"), &form).header("authorization", "Basic ZXM6czNjcmV0");
    assert_eq!(basic.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // A verifier without a challenge is refused as well.
    let code = set.code(&[("code_challenge", ""), ("code_challenge_method", "")]).await;
    assert_eq!(json(set.token(&code, &[]).await).await["error"], "invalid_grant");
}

#[tokio::test]
async fn a_code_lives_a_minute_and_once() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let code = set.code(&[]).await;
    set.clock.advance(Duration::from_secs(60));
    assert_eq!(json(set.token(&code, &[]).await).await["error"], "invalid_grant");
    let code = set.code(&[]).await;
    set.clock.advance(Duration::from_secs(59));
    let tokens = json(set.token(&code, &[]).await).await;
    assert_eq!(set.userinfo(&tokens).await.status(), StatusCode::OK);
    assert_eq!(json(set.token(&code, &[]).await).await["error"], "invalid_grant");
    assert_eq!(set.userinfo(&tokens).await.status(), StatusCode::UNAUTHORIZED, "the replay ended the grant");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_their_reuse_ends_the_grant() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let tokens = set.tokens("es").await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let second = json(set.refresh(first).await).await;
    let renewed = second["refresh_token"].as_str().unwrap();
    assert_ne!(renewed, first);
    assert_eq!(json(set.refresh(first).await).await["error"], "invalid_grant");
    assert_eq!(json(set.refresh(renewed).await).await["error"], "invalid_grant");
    assert_eq!(set.provider.counters().refresh, 3);
}

#[tokio::test]
async fn refresh_tokens_rotate_late_or_never_if_so_set() {
    for (rotation, late) in [(RefreshRotation::Never, false), (RefreshRotation::Late, true)] {
        let mut set = set_up_with(|settings| settings.refresh_rotation = rotation).await;
        set.provider.sign_in_as(agent());
        let tokens = set.tokens("es").await;
        let token = tokens["refresh_token"].as_str().unwrap();
        assert!(json(set.refresh(token).await).await.get("refresh_token").is_none());
        set.clock.advance(Duration::from_secs(12 * 3600 * 7 / 10));
        assert_eq!(json(set.refresh(token).await).await.get("refresh_token").is_some(), late);
    }
}

#[tokio::test]
async fn nothing_is_left_when_the_session_is_gone() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let tokens = set.tokens("es").await;
    set.provider.end_sessions();
    assert_eq!(json(set.refresh(tokens["refresh_token"].as_str().unwrap()).await).await["error"], "invalid_grant");
    assert_eq!(set.userinfo(&tokens).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(parameters(&set.authorize(&[("prompt", "none")]).await)["error"], "login_required");
}

#[tokio::test]
async fn sign_out_ends_the_session_and_goes_back_with_state() {
    for confirm in [false, true] {
        let mut set = set_up_with(|settings| settings.confirm_sign_out = confirm).await;
        set.provider.sign_in_as(agent());
        let tokens = set.tokens("es").await;
        let hint = tokens["id_token"].as_str().unwrap();
        // The hint is taken however old, and under a key that is no longer published.
        set.clock.advance(Duration::from_secs(7200));
        set.provider.rotate_keys().unwrap();
        let query = [("id_token_hint", hint), ("state", STATE), ("post_logout_redirect_uri", SIGNED_OUT)];
        let mut response = set.browser.get(&set.provider_end(&query)).await;
        if confirm {
            assert_eq!(response.status(), StatusCode::OK);
            let page = response.text().await.unwrap();
            assert!(page.contains("<button") && page.contains(hint));
            response = set.browser.post(&format!("http://{}{}", set.provider.address(), action(&page)), &query).await;
        }
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()["location"], format!("{SIGNED_OUT}?state={STATE}"));
        assert_eq!(set.browser.cookies["pc_session_id"], "");
        assert_eq!(parameters(&set.authorize(&[("prompt", "none")]).await)["error"], "login_required");
        assert_eq!(set.userinfo(&tokens).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(set.provider.counters().session_end, 1);
    }
}

impl Setting {
    fn provider_end(&self, query: &[(&str, &str)]) -> String {
        self.at(&format!("/session/end?{}", encoded(query)))
    }
}

#[tokio::test]
async fn sign_out_refuses_what_proconnect_refuses() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let tokens = set.tokens("es").await;
    let hint = tokens["id_token"].as_str().unwrap();
    let forged = hint.replacen('.', ".e30", 1);
    let base = [("id_token_hint", hint), ("state", STATE), ("post_logout_redirect_uri", SIGNED_OUT)];
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("post_logout_redirect_uri", "http://127.0.0.1:4180/oauth2/signed_out/")], "Y030111"),
        (&[("post_logout_redirect_uri", "https://evil.example/")], "Y030111"),
        (&[("state", "short")], "Y000400"),
        (&[("state", "")], "Y000400"),
        (&[("id_token_hint", &forged)], "Y000400"),
        (&[("client_id", "rs")], "Y000400"),
        (&[("id_token_hint", "")], "Vous êtes bien déconnecté"),
    ];
    for (changes, text) in cases {
        let url = set.provider_end(&changed(&base, changes));
        let response = set.browser.http.get(&url).send().await.unwrap();
        assert!(response.headers().get("location").is_none(), "{changes:?}");
        assert!(response.text().await.unwrap().contains(text), "{changes:?}");
    }
    let by_id = set.provider_end(&changed(&base, &[("id_token_hint", ""), ("client_id", "es")]));
    assert_eq!(set.browser.get(&by_id).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(set.browser.post(&set.at("/session/end"), &base).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn discovery_says_what_proconnect_says() {
    let set = set_up().await;
    let answer = set.browser.http.get(set.at("/.well-known/openid-configuration")).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "public, max-age=600");
    let said = json(answer).await;
    assert_eq!(said["issuer"], set.provider.issuer());
    assert_eq!(said["token_endpoint_auth_methods_supported"], serde_json::json!(["client_secret_post"]));
    assert_eq!(said["authorization_response_iss_parameter_supported"], true);
    for endpoint in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "end_session_endpoint", "jwks_uri"] {
        assert!(said[endpoint].as_str().unwrap().starts_with(set.provider.issuer()));
    }
    let unknown = set.browser.http.get(set.at("/nothing")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rs256_is_offered_only_with_a_key() {
    let listener = || TcpListener::bind("127.0.0.1:0");
    let start = |listener, clients| {
        let settings = ProviderSettings { clients, ..ProviderSettings::default() };
        Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new()))
    };
    let refused = start(listener().await.unwrap(), vec![client("rs", SigningAlgorithm::RS256, None)]);
    assert!(matches!(refused, Err(ProviderError::RsaKeyMissing { .. })));
    let provider = start(listener().await.unwrap(), Vec::new()).unwrap();
    let url = format!("{}/.well-known/openid-configuration", provider.issuer());
    let said = json(Browser::new().http.get(url).send().await.unwrap()).await;
    assert_eq!(said["id_token_signing_alg_values_supported"], serde_json::json!(["HS256", "ES256"]));
}

#[tokio::test]
async fn listens_on_loopback_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let started = Provider::start(listener, ProviderSettings::default(), Clock::System, Arc::new(SystemRandom::new()));
    assert!(matches!(started, Err(ProviderError::Listener(BadListener::NotLoopback(_)))));
}

#[tokio::test]
async fn faults_spoil_the_id_token() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let cases: [(IdTokenFault, &str); 9] = [
        (IdTokenFault::WrongNonce, "nonce"),
        (IdTokenFault::WrongIssuer, "iss"),
        (IdTokenFault::WrongAudience, "aud"),
        (IdTokenFault::SecondAudience, "aud"),
        (IdTokenFault::WrongAuthorizedParty, "azp"),
        (IdTokenFault::WrongSubject, "sub"),
        (IdTokenFault::Expired, "exp"),
        (IdTokenFault::WithoutNonce, "nonce"),
        (IdTokenFault::Acr("eidas3".to_owned()), "acr"),
    ];
    let right = payload(set.tokens("es").await["id_token"].as_str().unwrap());
    for (fault, claim) in cases {
        set.provider.faults().set(|faults| faults.id_token = Some(fault.clone()));
        let tokens = set.tokens("es").await;
        let id_token = tokens["id_token"].as_str().unwrap();
        assert!(set.verifies(id_token).await, "{fault:?}");
        assert_ne!(payload(id_token).get(claim), right.get(claim), "{fault:?}");
    }
    for fault in [IdTokenFault::WrongKey, IdTokenFault::UnknownKey, IdTokenFault::AlgNone, IdTokenFault::HmacUnderPublicKey] {
        set.provider.faults().set(|faults| faults.id_token = Some(fault.clone()));
        let tokens = set.tokens("es").await;
        assert!(!set.verifies(tokens["id_token"].as_str().unwrap()).await, "{fault:?}");
    }
    set.provider.faults().clear();
    let tokens = set.tokens("es").await;
    assert!(set.verifies(tokens["id_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn faults_spoil_userinfo() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let tokens = set.tokens("es").await;
    let fault = |fault| set.provider.faults().set(|faults| faults.userinfo = Some(fault));
    fault(UserinfoFault::Failing);
    assert_eq!(set.userinfo(&tokens).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    fault(UserinfoFault::PlainJson);
    let plain = json(set.userinfo(&tokens).await).await;
    assert!(plain.get("iss").is_none() && plain["email"].is_string());
    fault(UserinfoFault::WrongSubject);
    let wrong = set.userinfo(&tokens).await.text().await.unwrap();
    assert!(set.verifies(&wrong).await);
    assert_ne!(payload(&wrong)["sub"], plain["sub"]);
    fault(UserinfoFault::WrongAudience);
    assert_eq!(payload(&set.userinfo(&tokens).await.text().await.unwrap())["aud"], "another-client");
    fault(UserinfoFault::WrongKey);
    let wrong = set.userinfo(&tokens).await.text().await.unwrap();
    assert!(!set.verifies(&wrong).await);
}

#[tokio::test]
async fn faults_spoil_the_callback() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let fault = |set: &Setting, fault| set.provider.faults().set(|faults| faults.callback = Some(fault));
    fault(&set, CallbackFault::WithoutIssuer);
    assert!(!parameters(&set.authorize(&[]).await).contains_key("iss"));
    fault(&set, CallbackFault::WrongIssuer);
    assert_ne!(parameters(&set.authorize(&[]).await)["iss"], set.provider.issuer());
    fault(&set, CallbackFault::WrongState);
    assert_ne!(parameters(&set.authorize(&[]).await)["state"], STATE);
    fault(&set, CallbackFault::Error("server_error".to_owned(), "<b>".to_owned()));
    let sent = parameters(&set.authorize(&[]).await);
    assert_eq!((&*sent["error"], &*sent["error_description"], sent.get("code")), ("server_error", "<b>", None));
}

#[tokio::test]
async fn faults_stop_the_other_endpoints_and_calls_are_counted() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let (discovery, jwks) = (set.at("/.well-known/openid-configuration"), set.at("/jwks"));
    set.provider.faults().set(|faults| {
        faults.discovery = Some(DiscoveryFault::Unavailable);
        faults.jwks = Some(JwksFault::Unavailable);
        faults.token = Some(TokenFault::InvalidGrant);
    });
    assert_eq!(set.browser.get(&discovery).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(set.browser.get(&jwks).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let code = set.code(&[]).await;
    assert_eq!(json(set.token(&code, &[]).await).await["error"], "invalid_grant");
    set.provider.faults().set(|faults| faults.discovery = Some(DiscoveryFault::WrongIssuer));
    assert_ne!(json(set.browser.get(&discovery).await).await["issuer"], set.provider.issuer());
    let counted = Counters { authorize: 1, token: 1, refresh: 0, userinfo: 0, discovery: 2, jwks: 1, session_end: 0 };
    assert_eq!(set.provider.counters(), counted);
}

#[tokio::test]
async fn a_held_answer_waits_until_it_is_let_go() {
    let mut set = set_up().await;
    set.provider.sign_in_as(agent());
    let code = set.code(&[]).await;
    let hold = Hold::default();
    set.provider.faults().set(|faults| faults.token = Some(TokenFault::Held(hold.clone())));
    let (answer, ()) = tokio::join!(set.token(&code, &[]), async {
        hold.arrived(1).await;
        assert_eq!(hold.count(), 1);
        hold.release();
    });
    assert_eq!(answer.status(), StatusCode::OK);
}
