//! The assertion in what front proxies are answered, over HTTP and gRPC, and that of API clients.

use super::{HEADER, Keys, hash, part};
use crate::support::client::Client;
use crate::support::grpc::{Asker, about, line, raw};
use crate::support::issuer::Issuer;
use crate::support::shown::header_at_app;
use crate::support::site::{ORIGIN, START, Setup, Site};
use serde_json::{Value, json};

const ROUTES: &str = "[{path: /public/**, access: public}, {path: /quiet/**, assertion: off}, {path: /app/**}]";

async fn asked_by(from: &str, keys: &Keys) -> (Site, Client) {
    let forward_auth = format!("trusted_proxies: [127.0.0.1]\nforward_auth: {{from: {from}, cache: 10s}}\n");
    let site = Site::with(Setup { routes: ROUTES.to_owned(), more: keys.yaml("") + &forward_auth, ..Setup::default() });
    let site = site.await;
    let person = site.client();
    person.browse("/oauth2/start?rd=/app/").await;
    (site, person)
}

fn told(from: &str, target: &str) -> (String, Vec<(&'static str, String)>) {
    match from {
        "nginx" => (
            "/oauth2/auth".to_owned(),
            vec![("x-original-url", format!("{ORIGIN}{target}")), ("x-original-method", "GET".to_owned())],
        ),
        "envoy" => (
            format!("/oauth2/auth{target}"),
            vec![("host", "app.example".to_owned()), ("x-forwarded-proto", "https".to_owned())],
        ),
        _ => (
            "/oauth2/auth".to_owned(),
            vec![
                ("x-forwarded-method", "GET".to_owned()),
                ("x-forwarded-proto", "https".to_owned()),
                ("x-forwarded-host", "app.example".to_owned()),
                ("x-forwarded-uri", target.to_owned()),
            ],
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_bound_to_the_request_that_is_asked_about_and_its_answer_is_not_kept() {
    for from in ["nginx", "traefik", "envoy"] {
        let keys = Keys::new();
        let (site, person) = asked_by(from, &keys).await;
        let stranger = site.client();
        let ask = async |client: &Client, target: &str, more: &[(&str, &str)]| {
            let (path, told) = told(from, target);
            let headers: Vec<(&str, &str)> =
                told.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect();
            client.get(&path, &headers).await
        };
        let answer = ask(&person, "/app/x?y=z", &[]).await;
        let claims = part(answer.header(HEADER).unwrap(), 1);
        assert_eq!((claims["htm"].as_str(), claims["host"].as_str()), (Some("GET"), Some("app.example")));
        assert_eq!((&claims["target_hash"], &claims["aud"]), (&json!(hash("/app/x?y=z")), &json!("app.example")));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{from}");

        let answer = ask(&person, "/quiet/x", &[]).await;
        assert_eq!(answer.header(HEADER), None);
        assert_eq!(answer.header("cache-control"), Some("max-age=10"), "{from}");
        assert_eq!(ask(&stranger, "/public/x", &[]).await.header(HEADER), None);
        for forged in ["x-vestibule-assertion", "x_vestibule_assertion"] {
            assert_eq!(ask(&person, "/public/x", &[(forged, "forged")]).await.status, 403, "{from} {forged}");
        }
        // A question about a session is about no request.
        let answer = person.get("/oauth2/auth", &[]).await;
        assert_eq!(answer.header(HEADER), None, "{from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_is_told_it_in_a_message() {
    let keys = Keys::new();
    let (site, person) = asked_by("envoy", &keys).await;
    let asker = Asker::connect(site.grpc.unwrap()).await;
    let cookies = person.cookie_header("app.example").unwrap();
    let asks = |path: &str, headers: &[(&str, &str)]| {
        let pseudo = [(":method", "GET"), (":path", path), (":authority", "app.example"), (":scheme", "https")];
        about(&[line("GET", "app.example", path), raw(&[&pseudo[..], headers].concat())])
    };
    let checked = asker.check(&asks("/app/x?y", &[("cookie", &cookies)])).await;
    assert!(checked.is_ok);
    let claims = part(checked.header(HEADER).unwrap(), 1);
    assert_eq!(claims["target_hash"], hash("/app/x?y"));
    for (path, headers) in [("/quiet/x", &[("cookie", cookies.as_str())][..]), ("/public/x", &[])] {
        let checked = asker.check(&asks(path, headers)).await;
        assert!(checked.is_ok && checked.header(HEADER).is_none(), "{path}");
        assert!(checked.removed.iter().any(|name| name == HEADER), "{path}: nobody's own may take its place");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_client_is_said_with_its_rule_and_no_longer_than_its_token_counts() {
    let (keys, issuer) = (Keys::new(), Issuer::start().await);
    let bearer = format!(
        "bearer: {{api: {{kind: jwt, issuer: \"{}\", audience: \"https://api.example\", timeout: 3m}}}}\n",
        issuer.url
    );
    let site = Site::with(Setup {
        routes: "[{path: /**, upstream: app, bearer: api}]".to_owned(),
        more: keys.yaml("") + &bearer,
        ..Setup::default()
    })
    .await;
    let claims: Value = json!({
        "iss": issuer.url, "aud": "https://api.example", "sub": "batch", "client_id": "batch", "iat": START,
        "exp": START - 45, "jti": "j", "email": "batch@example.fr",
    });
    // It counts a minute longer than it says, for clocks that differ.
    let token = format!("Bearer {}", issuer.access_token(&claims));
    let answer = site.client().get("/jobs", &[("authorization", &token)]).await;
    let claims = part(&header_at_app(&answer, HEADER).unwrap(), 1);
    let expected = json!({
        "iss": ORIGIN, "aud": "app", "iat": START, "exp": START + 15, "sub": "batch", "caller": "api",
        "email": "batch@example.fr", "htm": "GET", "host": "app.example", "target_hash": hash("/jobs"),
    });
    assert_eq!(claims, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_carries_none() {
    let keys = Keys::new();
    let site = Site::with(Setup {
        more: keys.yaml("") + "cors: {origins: [https://front.example], preflight: pass}\n",
        ..Setup::default()
    })
    .await;
    let person = site.signed_in().await;
    let asks = [("origin", "https://front.example"), ("access-control-request-method", "PUT")];
    let answer = person.send(http::Method::OPTIONS, "/x", &asks, Vec::new()).await;
    assert_eq!(header_at_app(&answer, HEADER), None);
}
