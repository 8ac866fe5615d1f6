//! Applications that verify: FastAPI with PyJWT, and Node by itself, with the verifiers that the
//! documentation shows. What they take, they are given at their own door, behind Vestibule's back.

use super::{EMAIL, HEADER, Keys, part};
use crate::support::counterparts::{Application, Counterpart, require, start_assertion_app};
use crate::support::log_watch::never_logged;
use crate::support::raw::Raw;
use crate::support::site::{ORIGIN, Setup, Site};
use crate::support::waiting::until;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use vestibule::signing::{Purpose, SigningKey, SigningRing, new_key};

/// The keys that the application asks Vestibule for, a site in front of it, and its own door.
struct Stage {
    keys: Keys,
    site: Site,
    door: PathBuf,
    _app: Application,
}

impl Stage {
    /// Two minutes ago.
    async fn before(by: Counterpart) -> Self {
        let keys = Keys::new();
        let door = keys.0.path().join("app.sock");
        // The applications live by the real time of day, as their libraries do.
        #[expect(clippy::disallowed_methods, reason = "the applications read the machine's clock")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let setup = Setup {
            upstream: Some(format!("unix:{}", door.display())),
            more: keys.yaml(""),
            start: now - 120,
            ..Setup::default()
        };
        let site = Site::with(setup).await;
        let jwks_url = format!("http://{}/oauth2/jwks", site.address);
        let variables = [("ISSUER", ORIGIN), ("AUDIENCE", "app"), ("JWKS_URL", &jwks_url)];
        let app = start_assertion_app(by, &door, &variables).await;
        Self { keys, site, door, _app: app }
    }

    /// The status of a request at the application's own door.
    async fn at_the_door(&self, line: &str, host: &str, assertions: &[&str]) -> u16 {
        let mut raw = Raw::connect_unix(&self.door).await;
        let lines: Vec<String> = assertions.iter().map(|assertion| format!("{HEADER}: {assertion}\r\n")).collect();
        let shown = lines.concat();
        raw.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n{shown}\r\n"))
            .await;
        raw.head().await.status
    }
}

/// What somebody makes who knows an assertion and everything that is public.
fn forged(jwt: &str, jwks: &Value) -> Vec<(&'static str, String)> {
    let (header, claims) = (part(jwt, 0), part(jwt, 1));
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let [head, body, signature] = jwt.split('.').collect::<Vec<_>>().try_into().unwrap();
    let with = |member: &str, value: Value| {
        let mut header = header.clone();
        header[member] = value;
        encode(&header)
    };
    let stranger = SigningKey::from_pem(&new_key().unwrap(), None).unwrap();
    let unpublished = SigningRing::new(Purpose::Assertion, vec![Arc::new(stranger)]).unwrap().sign(&claims).unwrap();
    let [_, _, others] = unpublished.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut someone_else = claims.clone();
    someone_else["sub"] = json!("somebody-else");

    let mut forged = vec![
        ("none", format!("{}.{body}.", with("alg", json!("none")))),
        ("none with its signature", format!("{}.{body}.{signature}", with("alg", json!("None")))),
        ("another published kid", format!("{}.{body}.{signature}", with("kid", jwks["keys"][1]["kid"].clone()))),
        ("no kid", format!("{}.{body}.{signature}", with("kid", Value::Null))),
        ("an unpublished key", unpublished.clone()),
        ("an unpublished key under a published kid", format!("{head}.{body}.{others}")),
        ("another sub", format!("{head}.{}.{signature}", encode(&someone_else))),
        ("no signature", format!("{head}.{body}.")),
        ("no JWT", "x".to_owned()),
        ("empty", String::new()),
    ];
    // HS256 with what is public of the key, in every form in which a library might take it.
    let key = &jwks["keys"][0];
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let spki = [
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            .to_vec(),
        point.clone(),
    ]
    .concat();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&spki);
    let lines =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n");
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
    for secret in [key.to_string().into_bytes(), key["x"].as_str().unwrap().into(), point, spki, pem.into_bytes()] {
        let signed = format!("{}.{body}", with("alg", json!("HS256")));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        forged.push(("HS256 by the public key", format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))));
    }
    forged
}

async fn is_taken_for_one_request_alone(by: Counterpart) {
    let stage = Stage::before(by).await;
    let site = &stage.site;
    // Signed two minutes ago: it arrives, and does not count.
    let person = site.client();
    assert_eq!(person.browse("/papers").await.status, 401);
    site.clock.advance(Duration::from_secs(120));

    let answer = person.fetch("/papers/%C3%A9t%C3%A9?q=a%20b&r=/").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (claims, jwt) = (answer.json()["claims"].clone(), answer.json()["assertion"].as_str().unwrap().to_owned());
    assert_eq!((claims["email"].as_str(), claims["htm"].as_str()), (Some(EMAIL), Some("GET")));
    never_logged(&jwt);
    for target in ["/", "/papers?", "/a//b;c=1?x=?&y", "/api/papers?x=1"] {
        assert_eq!(person.fetch(target).await.status, 200, "{target}");
    }

    // The same request with it counts as often as it comes, and no other.
    let line = "GET /papers/%C3%A9t%C3%A9?q=a%20b&r=/";
    assert_eq!(stage.at_the_door(line, "app.example", &[&jwt]).await, 200);
    assert_eq!(stage.at_the_door(line, "APP.example:443", &[&jwt]).await, 200);
    for (line, host) in [
        ("GET /papers/other?q=a%20b&r=/", "app.example"),
        ("GET /papers/%C3%A9t%C3%A9", "app.example"),
        ("GET /papers/%C3%A9t%C3%A9?q=a%20b&r=/admin", "app.example"),
        ("GET /papers/%C3%A9t%c3%a9?q=a%20b&r=/", "app.example"),
        ("GET /papers/%C3%A9t%C3%A9/?q=a%20b&r=/", "app.example"),
        ("POST /papers/%C3%A9t%C3%A9?q=a%20b&r=/", "app.example"),
        ("DELETE /papers/%C3%A9t%C3%A9?q=a%20b&r=/", "app.example"),
        (line, "other.example"),
        (line, "127.0.0.1"),
    ] {
        assert_eq!(stage.at_the_door(line, host, &[&jwt]).await, 401, "{line} {host}");
    }
    assert_eq!(stage.at_the_door(line, "app.example", &[]).await, 401);
    assert_eq!(stage.at_the_door(line, "app.example", &[&jwt, &jwt]).await, 401);

    let jwks = person.fetch("/oauth2/jwks").await.json();
    for (what, forged) in forged(&jwt, &jwks) {
        assert_eq!(stage.at_the_door(line, "app.example", &[&forged]).await, 401, "{what}");
    }

    // The next key, which was published before it signs; and one that the application never saw.
    let path = |name: &str| stage.keys.0.path().join(name);
    for _ in 0..2 {
        std::fs::rename(path("next"), path("current")).unwrap();
        stage.keys.renew("next");
        site.reread_keys.notify_one();
        let before = part(&jwt, 0)["kid"].clone();
        until("another key to sign", async || {
            let answer = person.fetch("/").await;
            answer.status == 200 && part(answer.json()["assertion"].as_str().unwrap(), 0)["kid"] != before
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fastapi_with_pyjwt_takes_it_for_one_request_alone() {
    require!(FastApi, PyJwt);
    is_taken_for_one_request_alone(Counterpart::PyJwt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_takes_it_for_one_request_alone() {
    require!(Node);
    is_taken_for_one_request_alone(Counterpart::Node).await;
}

#[test]
fn the_documentation_shows_the_verifiers_that_are_tested() {
    let page = include_str!("../../../docs/assertion.md");
    for verifier in [
        include_str!("../../../deploy/assertion/vestibule_assertion.py"),
        include_str!("../../../deploy/assertion/vestibule-assertion.mjs"),
    ] {
        assert!(page.contains(verifier), "docs/assertion.md shows another verifier than the one in deploy/assertion");
    }
}
