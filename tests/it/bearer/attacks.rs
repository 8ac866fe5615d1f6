//! What the author of the next advisory would try with a bearer token.

use super::*;
use crate::support::raw::Raw;

/// Each is refused with the same answer, and nothing of it reaches the app.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_does_not_count_is_refused_like_any_other() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    let good = stage.token();
    let (header, claims) = (part(&good, 0), stage.claims());
    let with_header = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        stage.issuer.signed(&header, &claims)
    };
    let with_claim = |name: &str, value: Value| stage.issuer.access_token(&stage.claims_with(name, value));
    let unsigned = with_header("alg", json!("none"));
    let signature = good.rsplit_once('.').unwrap().1;
    let forged_claims = URL_SAFE_NO_PAD.encode(stage.claims_with("sub", json!("admin")).to_string());
    let id_token = json!({
        "iss": stage.issuer.url, "aud": AUDIENCE, "sub": "7c9e6679", "iat": START, "exp": START + 600, "nonce": "n",
    });
    let of_sign_in = json!({
        "iss": stage.site.provider.issuer(), "aud": "app", "sub": "7c9e6679", "iat": START, "exp": START + 600,
    });
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let mut with_jku = header.clone();
    with_jku["jku"] = json!(format!("{}/jwks", stage.stranger.url));
    let mut bad = vec![
        ("alg none", unsigned.clone()),
        ("alg none, without signature", format!("{}.", unsigned.rsplit_once('.').unwrap().0)),
        ("alg None", with_header("alg", json!("None"))),
        ("no alg", with_header("alg", json!(null))),
        ("ES384 by name", with_header("alg", json!("ES384"))),
        ("crit", with_header("crit", json!(["exp"]))),
        ("another kid", with_header("kid", json!("rsa"))),
        ("an unknown kid", with_header("kid", json!("../../../dev/null"))),
        ("another's key, and where to find it", stage.stranger.signed(&with_jku, &claims)),
        ("forged claims", [good.split('.').next().unwrap(), &forged_claims, signature].join(".")),
        ("no signature", format!("{}.", good.rsplit_once('.').unwrap().0)),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
        ("five parts", format!("{good}.a.b")),
        ("an ID token as the issuer writes it", stage.issuer.signed(&with_typ(&header, "JWT"), &id_token)),
        (
            "an ID token for a client",
            stage.issuer.signed(&with_typ(&header, "JWT"), &stage.claims_with("aud", json!("app"))),
        ),
        ("an ID token of the sign-in", stage.issuer.signed(&with_typ(&header, "JWT"), &of_sign_in)),
        (
            "a logout token",
            stage.issuer.signed(&with_typ(&header, "logout+jwt"), &stage.claims_with("events", event.clone())),
        ),
        ("a logout token under another name", with_claim("events", event)),
        ("a signed introspection", stage.issuer.signed(&with_typ(&header, "token-introspection+jwt"), &claims)),
        ("another audience", with_claim("aud", json!("https://other.example"))),
        ("no audience", with_claim("aud", json!(null))),
        ("another issuer", with_claim("iss", json!("https://evil.example"))),
        ("another issuer with the same kid", stage.stranger.access_token(&claims)),
        (
            "another issuer by its own name",
            stage.stranger.access_token(&stage.claims_with("iss", json!(stage.stranger.url))),
        ),
        ("expired", with_claim("exp", json!(START - 60))),
        ("without end", with_claim("exp", json!(null))),
        ("not yet", with_claim("nbf", json!(START + 61))),
        ("bound to a key", with_claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}))),
        ("of nobody", with_claim("sub", json!("a\r\nX-Auth-Request-User: admin"))),
        ("oversized", stage.issuer.access_token(&stage.claims_with("pad", json!("x".repeat(17 * 1024))))),
        ("a short key", "changeme".to_owned()),
        ("the hash of the service key", hash_of(SERVICE_KEY)),
        ("almost the service key", SERVICE_KEY.trim_end_matches('e').to_owned()),
    ];
    bad.extend(stage.issuer.by_public_key(&claims).into_iter().map(|token| ("HS256 with the public key", token)));
    let before = stage.reached();
    for (what, token) in bad {
        let answer = with_token(&client, "/api/x", &token).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        assert_eq!(
            challenges(&answer),
            ["Bearer realm=\"app.example\", error=\"invalid_token\", \
              error_description=\"the bearer token does not count here\""],
            "{what}"
        );
        let said = json!({"error": "invalid_token", "message": "The bearer token does not count here."});
        assert_eq!(answer.json(), said, "{what}");
        // Nor is it good once it was looked at.
        assert_eq!(with_token(&client, "/api/x", &token).await.status, 401, "{what}");
    }
    assert_eq!(stage.reached(), before);
    assert_eq!(with_token(&client, "/api/x", &good).await.status, 200);
}

fn with_typ(header: &Value, typ: &str) -> Value {
    let mut header = header.clone();
    header["typ"] = json!(typ);
    header
}

/// CVE class: what was verified for one audience is remembered, and passes for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_one_rule_is_nothing_to_another_right_after_it_passed() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    let token = stage.token();
    for _ in 0..2 {
        assert_eq!(with_token(&client, "/jwt/x", &token).await.status, 200);
        assert_eq!(with_token(&client, "/other/x", &token).await.status, 401);
        assert_eq!(with_token(&client, "/writers/x", &token).await.status, 403);
    }
    let for_other = stage.issuer.access_token(&stage.claims_with("aud", json!("https://other.example")));
    assert_eq!(with_token(&client, "/other/x", &for_other).await.status, 200);
    assert_eq!(with_token(&client, "/jwt/x", &for_other).await.status, 401);
    // A service key of one route.
    assert_eq!(with_token(&client, "/api/x", SERVICE_KEY).await.status, 200);
    assert_eq!(with_token(&client, "/jwt/x", SERVICE_KEY).await.status, 401);
}

/// The token of an issuer whose keys we have is no business of another's endpoint, nor is a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_shown_to_an_endpoint_that_it_is_not_for() {
    let stage = Stage::start().await;
    stage.issuer.says(active());
    let client = stage.site.client();
    let other = stage.issuer.access_token(&stage.claims_with("aud", json!("https://other.example")));
    assert_eq!(with_token(&client, "/api/x", &other).await.status, 401);
    assert_eq!(with_token(&client, "/api/x", SERVICE_KEY).await.status, 200);
    assert_eq!(stage.issuer.introspected(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_and_a_bearer_are_never_mixed() {
    let stage = Stage::start().await;
    let person = stage.site.signed_in().await;
    assert_eq!(person.fetch("/api/x").await.status, 200);
    let before = stage.reached();
    // A bad bearer is not rescued by the cookie.
    let expired = stage.issuer.access_token(&stage.claims_with("exp", json!(START - 60)));
    for (authorization, status) in [
        ("Bearer bad-token-of-nobody".to_owned(), 401),
        (format!("Bearer {expired}"), 401),
        (format!("bEaReR {expired}"), 401),
        ("Bearer".to_owned(), 400),
        ("Bearer\tabc".to_owned(), 400),
        (format!("Bearer {} x", stage.token()), 400),
        (format!("Bearer {},", stage.token()), 400),
        (format!("Bearer {}, Bearer {}", stage.token(), stage.token()), 400),
        (format!("Bearer \"{}\"", stage.token()), 400),
        (format!("Bearer={}", stage.token()), 400),
    ] {
        let answer = with(&person, "/api/x", &authorization).await;
        let error = if status == 400 { "invalid_request" } else { "invalid_token" };
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)));
        assert!(challenges(&answer)[0].contains(error));
        assert!(answer.set_cookies().is_empty());
        // Nor for a browser's window.
        let navigation =
            [("authorization", authorization.as_str()), ("sec-fetch-mode", "navigate"), ("accept", "text/html")];
        assert_eq!(person.get("/api/x", &navigation).await.status, status);
    }
    assert_eq!(stage.reached(), before);

    // A good one counts alone, and nothing of the session goes along.
    let answer = with_token(&person, "/api/x", &stage.token()).await;
    assert_eq!(at_app(&answer, "x-auth-request-email").as_deref(), Some("batch@example.fr"));
    for name in ["x-vestibule-session", "x-auth-request-groups", "x-auth-request-preferred-username", "cookie"] {
        assert_eq!(at_app(&answer, name), None, "{name}");
    }
    // Another scheme is no bearer: the session counts.
    let answer = with(&person, "/api/x", "Basic dTpw").await;
    assert!(at_app(&answer, "x-vestibule-session").is_some());
    assert_eq!(at_app(&answer, "x-vestibule-bearer"), None);
}

/// A token does not come along by itself, as a cookie does: whoever's page it is, it was told the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_request_comes_from_is_nothing_to_a_token_and_all_to_a_cookie() {
    let stage = Stage::start().await;
    let person = stage.site.signed_in().await;
    let post = async |target: &str, token: Option<&str>| {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers =
            vec![("origin", "https://elsewhere.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        person.send(Method::POST, target, &headers, b"x".to_vec()).await
    };
    let answer = post("/api/x", Some(&stage.token())).await;
    assert_eq!(at_app(&answer, "x-vestibule-bearer").as_deref(), Some("api"));
    assert_eq!(at_app(&answer, "x-vestibule-session"), None);
    assert_eq!(post("/api/x", None).await.status, 403);
    assert_eq!(post("/api/x", Some("bad-token-of-nobody")).await.status, 401);
    // Nor does a token make the cookie count where the route takes none.
    assert_eq!(post("/x", Some(&stage.token())).await.status, 403);
}

/// As bytes on the wire, for no client would send them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_headers_and_odd_spaces_have_one_reading() {
    let stage = Stage::start().await;
    let cookie = stage.site.signed_in().await.cookie_header("app.example").unwrap();
    let token = stage.token();
    let cases = [
        (format!("Authorization: Bearer {token}\r\n"), 200),
        (format!("authorization:Bearer   {token}  \r\n"), 200),
        (format!("AUTHORIZATION: \t bearer {token}\t\r\n"), 200),
        (format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"), 400),
        (format!("Authorization: Basic dTpw\r\nAuthorization: Bearer {token}\r\n"), 400),
        (format!("Authorization: Bearer {token}\r\nauthorization: \r\n"), 400),
        (format!("Authorization: Bearer\u{b}{token}\r\n"), 400),
        (format!("Authorization: Bearer\u{a0}{token}\r\n"), 400),
        (format!("Authorization: Bearer {token}\r\nCookie: {cookie}\r\n"), 200),
        (format!("Authorization: Bearer x{token}\r\nCookie: {cookie}\r\n"), 401),
        (format!("Authorization : Bearer {token}\r\n"), 400),
    ];
    for (lines, status) in cases {
        let mut raw = Raw::connect(stage.site.address).await;
        let request = format!("GET /jwt/x HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n");
        raw.send(request.as_bytes()).await;
        assert_eq!(raw.answer().await.status, status, "{}", lines.split("eyJ").next().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_the_query_or_in_a_form_is_never_read() {
    let stage = Stage::start().await;
    let client = stage.site.client();
    let before = stage.reached();
    for name in ["access_token", "token", "bearer"] {
        let answer = client.fetch(&format!("/jwt/x?{name}={SERVICE_KEY}")).await;
        assert_eq!(answer.status, 401, "{name}");
        let form = format!("{name}={SERVICE_KEY}").into_bytes();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
        assert_eq!(client.send(Method::POST, "/machines/x", &headers, form).await.status, 401, "{name}");
    }
    for name in ["x-access-token", "x-api-key", "proxy-authorization", "x-forwarded-access-token"] {
        let value = format!("Bearer {SERVICE_KEY}");
        assert_eq!(client.get("/machines/x", &[(name, &value)]).await.status, 401, "{name}");
    }
    assert_eq!(stage.reached(), before);
}
