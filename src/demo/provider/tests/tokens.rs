//! Codes, tokens and refresh tokens: what is exchanged, and what is not.

use super::*;

#[tokio::test]
async fn each_client_gets_its_algorithms() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    for (client_id, algorithm, userinfo) in
        [("es", "ES256", "application/jwt"), ("rs", "RS256", "application/jwt"), ("hs", "HS256", "application/json")]
    {
        let tokens = stage.tokens(client_id).await;
        assert_eq!(header_of(tokens["id_token"].as_str().unwrap())["alg"], algorithm);
        let answer = stage.userinfo(&tokens).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(userinfo));
        if userinfo == "application/json" {
            assert_eq!(json(answer).await["email"], "helene@test.proconnect.gouv.fr");
        }
    }
}

#[tokio::test]
async fn the_token_endpoint_refuses_what_proconnect_refuses() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let cases: [(Changes, u16, &str); 9] = [
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
        let code = stage.code(&[]).await;
        let answer = stage.token(&code, changes).await;
        assert_eq!(answer.status().as_u16(), status, "{changes:?}");
        assert_eq!(json(answer).await["error"], error, "{changes:?}");
    }
    let code = stage.code(&[]).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", CALLBACK),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ];
    let basic = posting(&stage.browser.http, &stage.at("/token"), &form).header("authorization", "Basic ZXM6czNjcmV0");
    assert_eq!(basic.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // A verifier without a challenge is refused as well.
    let code = stage.code(&[("code_challenge", ""), ("code_challenge_method", "")]).await;
    assert_eq!(json(stage.token(&code, &[]).await).await["error"], "invalid_grant");
}

#[tokio::test]
async fn a_code_lives_a_minute_and_once() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let code = stage.code(&[]).await;
    stage.clock.advance(Duration::from_secs(60));
    assert_eq!(json(stage.token(&code, &[]).await).await["error"], "invalid_grant");
    let code = stage.code(&[]).await;
    stage.clock.advance(Duration::from_secs(59));
    let tokens = json(stage.token(&code, &[]).await).await;
    assert_eq!(stage.userinfo(&tokens).await.status(), StatusCode::OK);
    assert_eq!(json(stage.token(&code, &[]).await).await["error"], "invalid_grant");
    assert_eq!(stage.userinfo(&tokens).await.status(), StatusCode::UNAUTHORIZED, "the replay ended the grant");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_their_reuse_ends_the_grant() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let tokens = stage.tokens("es").await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let second = json(stage.refresh(first).await).await;
    let renewed = second["refresh_token"].as_str().unwrap();
    assert_ne!(renewed, first);
    assert_eq!(json(stage.refresh(first).await).await["error"], "invalid_grant");
    assert_eq!(json(stage.refresh(renewed).await).await["error"], "invalid_grant");
    let counters = stage.provider.counters();
    assert_eq!((counters.refresh, counters.refreshed, counters.refresh_reuse), (3, 1, 1));
}

#[tokio::test]
async fn refresh_tokens_rotate_late_or_never_if_so_set() {
    for (rotation, late) in [(RefreshRotation::Never, false), (RefreshRotation::Late, true)] {
        let mut stage = set_up_with(|settings| settings.refresh_rotation = rotation).await;
        stage.provider.sign_in_as(agent());
        let tokens = stage.tokens("es").await;
        let token = tokens["refresh_token"].as_str().unwrap();
        assert!(json(stage.refresh(token).await).await.get("refresh_token").is_none());
        stage.clock.advance(Duration::from_secs(12 * 3600 * 7 / 10));
        assert_eq!(json(stage.refresh(token).await).await.get("refresh_token").is_some(), late);
    }
}

#[tokio::test]
async fn nothing_is_left_when_the_session_is_gone() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let tokens = stage.tokens("es").await;
    stage.provider.end_sessions();
    assert_eq!(json(stage.refresh(tokens["refresh_token"].as_str().unwrap()).await).await["error"], "invalid_grant");
    assert_eq!(stage.userinfo(&tokens).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(parameters(&stage.authorize(&[("prompt", "none")]).await)["error"], "login_required");
}
