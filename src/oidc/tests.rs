//! The whole of a sign-in, through the facade, against a provider on loopback that does one thing
//! wrong at a time.

use super::stub::{CLIENT_SECRET, Signer, Stub};
use super::*;
use crate::claims::ClaimValue;
use serde_json::{Value, json};
use std::time::Duration;

mod exchange;
mod pushed;
mod refresh;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const NONCE: &str = "nonce-of-this-attempt-0123456789abcdef";

/// A provider that signs with `signer`, answers tokens for [`NONCE`] and userinfo as JSON.
async fn provider(signer: &Signer) -> Stub {
    let stub = Stub::start(&[]).await;
    stub.announce(&json!({"id_token_signing_alg_values_supported": [signer.algorithm]}));
    stub.answer("/jwks", "application/json", &json!({"keys": [signer.jwk()]}).to_string());
    grant(&stub, &signer.sign(&id_token(&stub)));
    stub.answer("/userinfo", "application/json", &json!({"sub": "s", "email": "a@b.fr"}).to_string());
    stub
}

fn id_token(stub: &Stub) -> Value {
    let now = NOW.as_unix();
    json!({
        "iss": stub.issuer, "aud": "client", "sub": "s", "exp": now + 3600, "iat": now, "nonce": NONCE,
        "auth_time": now - 5, "acr": "eidas1",
    })
}

fn grant(stub: &Stub, id_token: &str) {
    let tokens = json!({
        "access_token": "the-access-token", "token_type": "Bearer", "expires_in": 3600,
        "refresh_token": "the-refresh-token", "id_token": id_token,
    });
    stub.answer("/token", "application/json", &tokens.to_string());
}

fn client(settings: Settings) -> Provider {
    Provider::new(settings, Fetch::new().unwrap())
}

async fn redeem(provider: &Provider) -> Result<SignedIn, RedeemError> {
    let code = Code { code: "the-code", pkce_verifier: "the-verifier", nonce: NONCE, redirect_uri: None };
    provider.redeem(&code, NOW).await
}

#[tokio::test]
async fn a_code_becomes_a_verified_person_and_tokens() {
    let signer = Signer::new(Algorithm::ES256, "k");
    let stub = provider(&signer).await;
    let client = client(stub.settings());
    assert!(!client.is_ready());
    let signed_in = redeem(&client).await.unwrap();
    assert!(client.is_ready());
    let identity = &signed_in.identity;
    assert_eq!((identity.provider(), identity.subject()), ("test", "s"));
    assert_eq!(identity.authenticated_at(), Some(NOW.minus(Duration::from_secs(5))));
    assert_eq!(identity.claims().view().get("email"), Some(&ClaimValue::Text("a@b.fr")));
    let tokens = &signed_in.tokens;
    assert_eq!(tokens.access_token_expires_at, Some(NOW.plus(Duration::from_secs(3600))));
    assert_eq!(tokens.refresh_token.as_ref().unwrap().expose_secret(), "the-refresh-token");
    assert!(tokens.id_token.expose_secret().starts_with("ey"));
    let sent = stub.last("/token");
    for part in ["grant_type=authorization_code", "code=the-code", "code_verifier=the-verifier", "client_secret="] {
        assert!(sent.contains(part), "{part}");
    }
    assert_eq!(stub.last("/userinfo"), "Bearer the-access-token ");
}

#[tokio::test]
async fn every_algorithm_signs_people_in() {
    use Algorithm::{ES256, ES384, EdDSA, HS256, PS256, PS384, PS512, RS256, RS384, RS512};
    for algorithm in [ES256, ES384, EdDSA, HS256, PS256, PS384, PS512, RS256, RS384, RS512] {
        let signer = Signer::new(algorithm, "k");
        let stub = provider(&signer).await;
        let userinfo = json!({"iss": stub.issuer, "aud": "client", "sub": "s", "email": "signed@b.fr"});
        stub.answer("/userinfo", "application/jwt", &signer.sign(&userinfo));
        let mut settings = stub.settings();
        settings.userinfo = Userinfo::Signed(Vec::new());
        let signed_in = redeem(&client(settings)).await.unwrap();
        assert_eq!(signed_in.identity.claims().view().text("email"), Some("signed@b.fr"), "{algorithm}");
    }
}

/// What ProConnect announces, and a token that is signed with the client secret all the same.
#[tokio::test]
async fn hs256_beside_other_algorithms_must_be_configured() {
    let stub = provider(&Signer::new(Algorithm::ES256, "k")).await;
    stub.announce(&json!({"id_token_signing_alg_values_supported": ["HS256", "ES256", "RS256"]}));
    grant(&stub, &Signer::with_secret(CLIENT_SECRET.as_bytes()).sign(&id_token(&stub)));
    let refused = redeem(&client(stub.settings())).await.unwrap_err();
    let expected = IdTokenError::Signature(JwsError::UnacceptedAlgorithm(Algorithm::HS256));
    assert_eq!(refused, RedeemError::IdToken(expected));
    let mut settings = stub.settings();
    settings.id_token_algorithms = vec![Algorithm::HS256];
    assert!(redeem(&client(settings)).await.is_ok());
}

#[tokio::test]
async fn a_new_signing_key_is_found_and_a_forged_one_is_not_looked_for_twice() {
    let (old, new) = (Signer::new(Algorithm::ES256, "old"), Signer::new(Algorithm::ES256, "new"));
    let stub = provider(&old).await;
    let client = client(stub.settings());
    redeem(&client).await.unwrap();
    stub.answer("/jwks", "application/json", &json!({"keys": [old.jwk(), new.jwk()]}).to_string());
    grant(&stub, &new.sign(&id_token(&stub)));
    redeem(&client).await.unwrap();
    assert_eq!(stub.hits("/jwks"), 2);

    grant(&stub, &Signer::new(Algorithm::ES256, "forged").sign(&id_token(&stub)));
    for _ in 0..5 {
        let refused = redeem(&client).await.unwrap_err();
        assert_eq!(refused, RedeemError::IdToken(IdTokenError::Signature(JwsError::UnknownKey)));
    }
    assert_eq!(stub.hits("/jwks"), 2, "a minute has not passed");
}

#[tokio::test]
async fn userinfo_signed_with_a_new_key_is_found_too() {
    let (old, new) = (Signer::new(Algorithm::ES256, "old"), Signer::new(Algorithm::ES256, "new"));
    let stub = provider(&old).await;
    let client = client(stub.settings());
    client.prepare(NOW).await.unwrap();
    stub.answer("/jwks", "application/json", &json!({"keys": [old.jwk(), new.jwk()]}).to_string());
    let userinfo = json!({"iss": stub.issuer, "aud": "client", "sub": "s"});
    stub.answer("/userinfo", "application/jwt", &new.sign(&userinfo));
    assert!(redeem(&client).await.is_ok());
    assert_eq!(stub.hits("/jwks"), 2);
}

/// No way of answering userinfo wrongly leads back to the ID token's claims alone.
#[tokio::test]
async fn userinfo_that_does_not_count_ends_the_sign_in() {
    let signer = Signer::new(Algorithm::ES256, "k");
    let stub = provider(&signer).await;
    let good = json!({"iss": stub.issuer, "aud": "client", "sub": "s"});
    let other_person = json!({"iss": stub.issuer, "aud": "client", "sub": "t"});
    let cases = [
        ("application/jwt", Signer::new(Algorithm::ES256, "k").sign(&good)),
        ("application/jwt", signer.sign_with(&json!({"alg": "none"}), &good)),
        ("application/jwt", signer.sign(&other_person)),
        ("application/jwt", good.to_string()),
        ("application/json", signer.sign(&good)),
        ("application/json", r#"{"sub":"t"}"#.to_owned()),
        ("text/plain", r#"{"sub":"s"}"#.to_owned()),
    ];
    for (kind, body) in cases {
        stub.answer("/userinfo", kind, &body);
        let refused = redeem(&client(stub.settings())).await.unwrap_err();
        assert!(matches!(refused, RedeemError::Userinfo(_)), "{kind} {refused:?}");
    }
    stub.fail("/userinfo");
    let refused = redeem(&client(stub.settings())).await.unwrap_err();
    assert_eq!(refused, RedeemError::Userinfo(UserinfoError::Status(500)));
    stub.announce(&json!({"id_token_signing_alg_values_supported": ["ES256"], "userinfo_endpoint": null}));
    let refused = redeem(&client(stub.settings())).await.unwrap_err();
    assert_eq!(refused, RedeemError::Userinfo(UserinfoError::NoEndpoint));

    let hits = stub.hits("/userinfo");
    let mut settings = stub.settings();
    settings.userinfo = Userinfo::NotRead;
    assert!(redeem(&client(settings)).await.is_ok());
    assert_eq!(stub.hits("/userinfo"), hits);
}

#[tokio::test]
async fn userinfo_has_algorithms_of_its_own_where_they_are_announced_or_configured() {
    let (ec, ed) = (Signer::new(Algorithm::ES256, "ec"), Signer::new(Algorithm::EdDSA, "ed"));
    let stub = provider(&ec).await;
    stub.answer("/jwks", "application/json", &json!({"keys": [ec.jwk(), ed.jwk()]}).to_string());
    let userinfo = json!({"iss": stub.issuer, "aud": "client", "sub": "s"});
    stub.answer("/userinfo", "application/jwt", &ed.sign(&userinfo));
    let announce = |userinfo: Value| {
        stub.announce(&json!({
            "id_token_signing_alg_values_supported": ["ES256"],
            "userinfo_signing_alg_values_supported": userinfo,
        }));
    };
    for (announced, configured, accepted) in [
        (json!(null), vec![], false),
        (json!(["none"]), vec![], false),
        (json!(["EdDSA"]), vec![], true),
        (json!(["ES256"]), vec![], false),
        (json!(["ES256"]), vec![Algorithm::EdDSA], true),
        (json!(["EdDSA"]), vec![Algorithm::ES256], false),
    ] {
        announce(announced.clone());
        let mut settings = stub.settings();
        settings.userinfo = Userinfo::JsonOrSigned(configured.clone());
        assert_eq!(redeem(&client(settings)).await.is_ok(), accepted, "{announced} {configured:?}");
    }
}

#[tokio::test]
async fn a_weak_sign_in_has_an_error_of_its_own() {
    let stub = provider(&Signer::new(Algorithm::ES256, "k")).await;
    let mut settings = stub.settings();
    settings.acr_values = vec!["eidas2".into()];
    assert_eq!(redeem(&client(settings)).await.unwrap_err(), RedeemError::InsufficientAcr);
}

#[tokio::test]
async fn a_code_is_sent_once_whatever_comes_back() {
    let stub = provider(&Signer::new(Algorithm::ES256, "k")).await;
    let client = client(stub.settings());
    let cases = [
        (400, r#"{"error":"invalid_grant"}"#, TokenError::InvalidGrant),
        (401, r#"{"error":"invalid_client"}"#, TokenError::InvalidClient),
        (400, r#"{"error":"invalid_request"}"#, TokenError::Refused("invalid_request".into())),
        (503, "", TokenError::Status(503)),
        (200, "{}", TokenError::Malformed("token_type is not Bearer")),
        (200, "<html>", TokenError::Malformed("not the JSON expected")),
    ];
    for (sent, (status, body, expected)) in cases.into_iter().enumerate() {
        stub.refuse("/token", status, body);
        assert_eq!(redeem(&client).await.unwrap_err(), RedeemError::Token(expected));
        assert_eq!(stub.hits("/token"), sent + 1);
    }
    assert_eq!(stub.hits("/userinfo"), 0);
}

#[tokio::test]
async fn a_callback_must_come_from_the_issuer_that_says_it_names_itself() {
    let stub = provider(&Signer::new(Algorithm::ES256, "k")).await;
    let issuer = stub.issuer.clone();
    let slash = format!("{issuer}/");
    for (announced, without) in [(Value::Null, true), (json!(false), true), (json!(true), false)] {
        stub.announce(&json!({"authorization_response_iss_parameter_supported": announced}));
        let client = client(stub.settings());
        for (iss, accepted) in [
            (None, without),
            (Some(issuer.as_str()), true),
            (Some(slash.as_str()), false),
            (Some("https://evil.test"), false),
            (Some(""), false),
        ] {
            let answer = client.accepts_callback_issuer(iss, NOW).await.unwrap();
            assert_eq!(answer, accepted, "{announced} {iss:?}");
        }
    }
}

#[tokio::test]
async fn the_browser_is_sent_to_the_providers_own_addresses() {
    let stub = provider(&Signer::new(Algorithm::ES256, "k")).await;
    let client = client(stub.settings());
    let request = AuthorizationRequest {
        state: "st",
        nonce: NONCE,
        pkce_verifier: "v",
        silent: false,
        login_hint: None,
        redirect_uri: None,
    };
    let url = client.authorization_url(&request, NOW).await.unwrap();
    assert!(url.as_str().starts_with(&format!("{}/authorize?response_type=code&", stub.issuer)));
    let url = client.end_session_url(Some(&"a.b.c".into()), "st", NOW).await.unwrap().unwrap();
    assert!(url.as_str().starts_with(&format!("{}/session/end?id_token_hint=a.b.c&", stub.issuer)));
    assert_eq!(stub.hits("/jwks"), 1);
}

#[tokio::test]
async fn a_provider_described_by_hand_is_not_discovered() {
    let signer = Signer::new(Algorithm::RS256, "k");
    let stub = provider(&signer).await;
    let at = |path: &str| format!("{}{path}", stub.issuer).parse().unwrap();
    let mut settings = stub.settings();
    settings.endpoints = Endpoints::Given(Box::new(GivenEndpoints {
        authorization: at("/authorize"),
        token: at("/token"),
        jwks_uri: at("/jwks"),
        userinfo: Some(at("/userinfo")),
        end_session: None,
        revocation: None,
        pushed_authorization: None,
        callback_iss: true,
    }));
    let client = client(settings);
    assert!(redeem(&client).await.is_ok());
    assert!(!client.accepts_callback_issuer(None, NOW).await.unwrap());
    assert_eq!(client.end_session_url(None, "st", NOW).await.unwrap(), None);
    assert_eq!(stub.hits("/.well-known/openid-configuration"), 0);
}

/// Whatever is printed of a sign-in, good or bad, holds no secret, token or code.
#[tokio::test]
async fn nothing_secret_is_printed() {
    let signer = Signer::new(Algorithm::ES256, "k");
    let stub = provider(&signer).await;
    let client = client(stub.settings());
    let signed_in = redeem(&client).await.unwrap();
    grant(&stub, "s3cret-token.b.c");
    let refused = redeem(&client).await.unwrap_err();
    let printed = format!("{client:?} {signed_in:?} {refused} {refused:?}");
    let raw = signed_in.tokens.id_token.expose_secret();
    for secret in [CLIENT_SECRET, "the-access-token", "the-refresh-token", "the-code", "s3cret-token", NONCE, raw] {
        assert!(!printed.contains(secret), "{secret}");
    }
}

/// Callers await these in tasks of a runtime with several threads.
#[test]
fn the_exchanges_can_move_between_threads() {
    fn sendable<T: Send>(_: T) {}
    let client = client(stub::settings("https://op.test"));
    sendable(client.prepare(NOW));
    sendable(redeem(&client));
    sendable(client.accepts_callback_issuer(None, NOW));
    sendable(client.end_session_url(None, "", NOW));
    let tokens =
        Tokens { id_token: "".into(), access_token: "".into(), refresh_token: None, access_token_expires_at: None };
    let held = Held { tokens: &tokens, subject: "s", sid: None, authenticated_at: None };
    sendable(client.refresh(&held, NOW));
    sendable(client.verify_logout_token("", NOW));
    sendable(client.revoke(&tokens, NOW));
}
