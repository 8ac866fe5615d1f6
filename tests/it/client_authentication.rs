//! How our client proves itself, to ProConnect's own provider, which reads our keys where we publish
//! them; and pushed authorization requests.

use super::support::certificates::{Certificate, authority, for_name, of_authority};
use super::support::client::{Answer, Client, NAVIGATION};
use super::support::counterparts::{OidcProvider, require};
use super::support::log_watch::never_logged;
use super::support::ports::free_port;
use super::support::process::Process;
use super::support::shown::{email_at_app, header_at_app, parameter};
use super::support::site::{CLIENT_SECRET, ORIGIN, Setup, Site};
use super::support::waiting::until;
use super::support::wire::Wire;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use vestibule::clock::Timestamp;
use vestibule::secret::ExposeSecret;
use vestibule::signing::{ClientAssertions, Purpose, SigningKey, SigningRing, new_key};

const EMAIL: &str = "agent@exemple.gouv.fr";
const ED25519: &str = include_str!("../../src/signing/testdata/test-only-ed25519.pem");

#[expect(clippy::disallowed_methods, reason = "the provider reads the machine's clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

struct Stage {
    site: Site,
    provider: OidcProvider,
    keys: TempDir,
}

impl Stage {
    /// A site whose client proves itself in this way, and the provider that it is registered with.
    async fn start(method: &str, pushed: Option<&str>, more: &str) -> Self {
        let keys = tempfile::tempdir().unwrap();
        for (name, pem) in
            [("current", new_key().unwrap()), ("next", ED25519.to_owned()), ("assertion", new_key().unwrap())]
        {
            std::fs::write(keys.path().join(name), pem).unwrap();
        }
        let file = |name: &str| format!("{{key: {{file: {}/{name}}}}}", keys.path().display());
        let client_keys = if method == "private_key_jwt" {
            format!("    client_keys: [{}, {}]\n", file("current"), file("next"))
        } else {
            String::new()
        };
        let port = free_port();
        let issuer = format!("http://127.0.0.1:{port}/api/v2");
        let site = Site::with(Setup {
            issuer: Some(issuer.clone()),
            provider: format!("    client_authentication: {method}\n{client_keys}{more}"),
            more: format!("identity: {{assertion: {{keys: [{}]}}}}\n", file("assertion")),
            start: now() - 120,
            ..Setup::default()
        })
        .await;
        let registered = json!({
            "client_id": "app",
            "client_secret": CLIENT_SECRET,
            "token_endpoint_auth_method": method,
            "jwks_uri": format!("http://{}/oauth2/jwks", site.address),
        });
        let settings = json!({
            "port": port,
            "redirect_uris": [format!("{ORIGIN}/oauth2/callback")],
            "post_logout_redirect_uris": [format!("{ORIGIN}/oauth2/signed_out")],
            "clients": [registered],
            "pushed": pushed,
        });
        let provider = OidcProvider::start(settings).await;
        assert_eq!(provider.issuer, issuer);
        // It was not there when the site began, which is not asked about again at the same moment.
        site.clock.advance(Duration::from_secs(120));
        Self { site, provider, keys }
    }

    fn key(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    async fn sign_in(&self) -> (Client, Answer) {
        let client = self.site.client();
        let page = client.browse(&format!("/oauth2/start?rd=/&login_hint={EMAIL}")).await;
        (client, page)
    }

    async fn signs_in(&self) -> Client {
        let (client, page) = self.sign_in().await;
        assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
        client
    }

    async fn counted(&self, what: &str) -> u64 {
        let url = url::Url::parse(&self.provider.issuer).unwrap().join("/control/counters").unwrap();
        self.site.client().get(url.as_str(), &[]).await.json()[what].as_u64().unwrap()
    }
}

/// What a token endpoint says of a client that shows this assertion: `invalid_grant` where it takes it
/// for the client's, for the code is nobody's.
async fn error_of(stage: &Stage, assertion: &str) -> String {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "authorization_code"),
            ("code", "nobody-s"),
            ("redirect_uri", &format!("{ORIGIN}/oauth2/callback")),
            ("client_id", "app"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ])
        .finish();
    let form_type = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/token", stage.provider.issuer);
    let answer = stage.site.client().send(http::Method::POST, &url, &form_type, form.into_bytes()).await;
    answer.json()["error"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_prove_oneself_signs_people_in_and_gives_their_tokens_back() {
    require!(OidcProvider);
    for method in ["client_secret_jwt", "private_key_jwt"] {
        let stage = Stage::start(method, None, "").await;
        let client = stage.signs_in().await;
        client.submit("/oauth2/sign_out", "").await;
        until("the tokens to be given back", async || stage.counted("revocation").await == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_s_key_rotates_and_may_be_of_either_kind() {
    require!(OidcProvider);
    let stage = Stage::start("private_key_jwt", None, "").await;
    stage.signs_in().await;
    let kid = |set: &Value| set["keys"][0]["kid"].clone();
    let jwks = async || stage.site.client().fetch("/oauth2/jwks").await.json();
    let before = jwks().await;
    assert_eq!(before["keys"].as_array().unwrap().len(), 3, "the key of assertions is there too");
    // The provider keeps what it fetched for as long as it may: the next key was there already.
    std::fs::rename(stage.key("next"), stage.key("current")).unwrap();
    std::fs::write(stage.key("next"), new_key().unwrap()).unwrap();
    stage.site.reread_keys.notify_one();
    until("the next key to sign", async || kid(&jwks().await) != kid(&before)).await;
    assert_eq!(jwks().await["keys"][0]["alg"], "EdDSA");
    stage.signs_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_for_an_app_proves_no_client_nor_does_what_is_for_another_issuer() {
    require!(OidcProvider);
    let stage = Stage::start("private_key_jwt", None, "").await;
    let client = stage.signs_in().await;
    let key = |name: &str| {
        let pem = std::fs::read_to_string(stage.key(name)).unwrap();
        let ring =
            SigningRing::new(Purpose::ClientAuthentication, vec![Arc::new(SigningKey::from_pem(&pem, None).unwrap())]);
        ClientAssertions::by_keys(Arc::new(ring.unwrap()))
    };
    let assertion = |name: &str, id: &str, audience: &str, at: u64| {
        key(name).assertion(id, audience, Timestamp::from_unix(at)).unwrap().expose_secret().to_owned()
    };
    let issuer = &stage.provider.issuer;
    assert_eq!(error_of(&stage, &assertion("current", "app", issuer, now())).await, "invalid_grant", "the right one");
    let for_the_app = header_at_app(&client.fetch("/").await, "x-vestibule-assertion").unwrap();
    never_logged(&for_the_app);
    for (what, wrong) in [
        ("one for the app", for_the_app),
        ("for another issuer", assertion("current", "app", "https://other.example", now())),
        ("of another client", assertion("current", "vestibule-es256", issuer, now())),
        ("expired", assertion("current", "app", issuer, now() - 600)),
        ("by an unpublished key", {
            std::fs::write(stage.key("stranger"), new_key().unwrap()).unwrap();
            assertion("stranger", "app", issuer, now())
        }),
    ] {
        // `invalid_request` where it says of itself that it is another's.
        let error = error_of(&stage, &wrong).await;
        assert!(["invalid_client", "invalid_request"].contains(&error.as_str()), "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_pushed_where_that_is_announced_and_the_browser_carries_a_reference() {
    require!(OidcProvider);
    for (pushed, method, more, expected) in [
        ("announced", "client_secret_post", "", true),
        ("announced", "private_key_jwt", "", true),
        ("announced", "client_secret_post", "    pushed_requests: false\n", false),
        ("required", "client_secret_post", "    pushed_requests: false\n", true),
    ] {
        let stage = Stage::start(method, Some(pushed), more).await;
        let start = stage.site.client().get(&format!("/oauth2/start?login_hint={EMAIL}"), &NAVIGATION).await;
        let location = start.location();
        assert_eq!(parameter(location, "request_uri").is_some(), expected, "{pushed} {more}");
        for hidden in ["state", "nonce", "scope", "redirect_uri", "login_hint", "code_challenge"] {
            assert_eq!(parameter(location, hidden).is_none(), expected, "{pushed} {more}: {hidden}");
        }
        stage.signs_in().await;
        assert_eq!(stage.counted("pushed").await, if expected { 2 } else { 0 });
    }
}

/// Signs in with curl, which has a TLS and a cookie jar of its own; the status at the end.
fn signs_in_by_curl(site: &str, folder: &Path, provider: &Certificate) -> String {
    let jar = folder.join("cookies");
    let done = Command::new("curl")
        .args(["-sS", "-L", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
        .arg(&provider.certificate)
        .arg("-c")
        .arg(&jar)
        .arg("-b")
        .arg(&jar)
        .arg(format!("{site}/oauth2/start?rd=/&login_hint={EMAIL}"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_proves_who_connects_and_another_one_does_not() {
    require!(OidcProvider);
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = for_name(at, "127.0.0.1");
    let (authority, stranger) = (authority(at, "clients"), authority(at, "strangers"));
    let issued = of_authority(at, &authority, "issued", "DNS:app.example.fr", "clientAuth");
    let forged = of_authority(at, &stranger, "forged", "DNS:app.example.fr", "clientAuth");
    let other = of_authority(at, &authority, "other", "DNS:other.example.fr", "clientAuth");
    let own = for_name(at, "own");
    let by_name = json!({"tls_client_auth_san_dns": "app.example.fr"});
    let itself = json!({"certificate": own.certificate});
    for (method, registered, certificate, status) in [
        ("tls_client_auth", &by_name, &issued, "200"),
        ("tls_client_auth", &by_name, &forged, "500"),
        ("tls_client_auth", &by_name, &other, "500"),
        ("self_signed_tls_client_auth", &itself, &own, "200"),
        ("self_signed_tls_client_auth", &itself, &issued, "500"),
    ] {
        let port = free_port();
        let site = format!("http://localhost:{port}");
        let mut client = json!({
            "client_id": "app",
            "client_secret": null,
            "token_endpoint_auth_method": method,
            "redirect_uris": [format!("{site}/oauth2/callback")],
        });
        client.as_object_mut().unwrap().extend(registered.as_object().unwrap().clone());
        client.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let provider = OidcProvider::start(json!({
            "redirect_uris": [format!("{site}/oauth2/callback")],
            "post_logout_redirect_uris": [format!("{site}/oauth2/signed_out")],
            "clients": [client],
            "tls": {"certificate": server.certificate, "key": server.key, "authority": authority.certificate},
        }))
        .await;
        let wire = Wire::start().await;
        let text = format!(
            "public_url: {site}\nlisteners: {{proxy: \"127.0.0.1:{port}\", admin: \"127.0.0.1:0\"}}\n\
             providers:\n  tls:\n    issuer: {}\n    client_id: app\n    client_authentication: {method}\n    \
             client_certificate: {{certificate: {}, key: {}}}\n    scopes: [openid, email]\n    timeout: 3m\n\
             session: {{keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}\n\
             upstreams: {{app: {{url: \"{}\"}}}}\nroutes: [{{path: /**, upstream: app}}]\n",
            provider.issuer,
            certificate.certificate.display(),
            certificate.key.display(),
            wire.url(),
        );
        let roots = server.certificate.display().to_string();
        let _process = Process::serve_with(&text, &[("SSL_CERT_FILE", &roots)]).await;
        let jar = tempfile::tempdir().unwrap();
        assert_eq!(
            signs_in_by_curl(&site, jar.path(), &server),
            status,
            "{method} {}",
            certificate.certificate.display()
        );
    }
}
