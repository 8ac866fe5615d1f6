//! The issuer is the library that ProConnect runs on, set up to issue access tokens for an API, and
//! what runs is the program itself.

use super::{at_app, challenges, with_token};
use crate::support::binary::{Configuration, Vestibule};
use crate::support::client::{Answer, Client};
use crate::support::counterparts::{OidcProvider, require};
use crate::support::echo::Echo;
use crate::support::log_watch::never_logged;
use crate::support::ports::free_port;
use serde_json::{Value, json};

const API: &str = "https://api.example";

/// What the issuer answers to a form.
async fn post(url: &str, form: &[(&str, &str)]) -> Value {
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "a plain client plays the program that calls the API")]
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&answer).unwrap_or(Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_tokens_of_a_real_issuer_open_what_they_are_for() {
    require!(OidcProvider);
    let port = free_port();
    let own = |name| format!("http://localhost:{port}/oauth2/{name}");
    let provider = OidcProvider::start(json!({
        "redirect_uris": [own("callback")],
        "post_logout_redirect_uris": [own("signed_out")],
        "api": API,
    }))
    .await;
    let (issuer, machine) = (provider.issuer.clone(), provider.client_named("vestibule-machine").clone());
    let token_for = async |resource: &str, scope: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", machine.id.as_str()),
            ("client_secret", machine.secret.as_str()),
            ("resource", resource),
            ("scope", scope),
        ];
        let answer = post(&format!("{issuer}/token"), &form).await;
        let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        never_logged(&token);
        token
    };

    let api = provider.client_named("vestibule-api");
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("api");
    std::fs::write(&secret, &api.secret).unwrap();
    let asked = |more: &str| {
        format!(
            "{{kind: introspection, url: \"{issuer}/token/introspection\", client_id: vestibule-api, client_secret: {{file: \"{}\"}}, \
             client_authentication: client_secret_post, issuer: \"{issuer}\", audience: \"{API}/opaque\", timeout: 3m, cache: 0s{more}}}",
            secret.display()
        )
    };
    let more = format!(
        "bearer:\n  jwt: {{kind: jwt, issuer: \"{issuer}\", audience: \"{API}\", scopes: [read], timeout: 3m}}\n  \
         opaque: {}\n  signed: {}\n",
        asked(""),
        asked(", signed: true")
    );
    let echo = Echo::start().await;
    let client = provider.client("ES256");
    let vestibule = Vestibule::serve(&Configuration {
        port,
        issuer: &issuer,
        client_id: &client.id,
        client_secret: &client.secret,
        provider: "",
        upstream: &format!("http://{}", echo.address),
        upstreams: "",
        routes: Some(
            "[{path: /jwt/**, upstream: app, bearer: jwt}, {path: /opaque/**, upstream: app, bearer: opaque}, \
             {path: /signed/**, upstream: app, bearer: signed}, {path: /**, upstream: app}]",
        ),
        more: &more,
    })
    .await;
    let program = Client::new(vestibule.origin.replace("http://localhost", "127.0.0.1").parse().unwrap());

    let (jwt, opaque) = (token_for(API, "read").await, token_for(&format!("{API}/opaque"), "write").await);
    let writer = token_for(API, "write").await;
    assert!(!opaque.contains('.'), "opaque tokens are");
    for (target, token, status) in [
        ("/jwt/x", &jwt, 200),
        ("/jwt/x", &writer, 403),
        ("/jwt/x", &opaque, 401),
        ("/opaque/x", &opaque, 200),
        ("/signed/x", &opaque, 200),
        ("/opaque/x", &jwt, 401),
        ("/signed/x", &jwt, 401),
    ] {
        let answer: Answer = with_token(&program, target, token).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        if status == 200 {
            let rule = target.split('/').nth(1).unwrap();
            assert_eq!(at_app(&answer, "x-vestibule-bearer").as_deref(), Some(rule));
        } else {
            assert_eq!(challenges(&answer).len(), 1, "{target}");
        }
    }

    // What the issuer revokes is over here.
    let form =
        [("client_id", machine.id.as_str()), ("client_secret", machine.secret.as_str()), ("token", opaque.as_str())];
    post(&format!("{issuer}/token/revocation"), &form).await;
    for target in ["/opaque/x", "/signed/x"] {
        let answer = with_token(&program, target, &opaque).await;
        assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_token")), "{target}");
    }
}
