//! Sign-out: back to the client, or a page that says why not.

use super::*;

#[tokio::test]
async fn sign_out_ends_the_session_and_goes_back_with_state() {
    for confirm in [false, true] {
        let mut stage = set_up_with(|settings| settings.confirm_sign_out = confirm).await;
        stage.provider.sign_in_as(agent());
        let tokens = stage.tokens("es").await;
        let hint = tokens["id_token"].as_str().unwrap();
        // The hint is taken however old, and under a key that is no longer published.
        stage.clock.advance(Duration::from_secs(7200));
        stage.provider.rotate_keys().unwrap();
        let query = [("id_token_hint", hint), ("state", STATE), ("post_logout_redirect_uri", SIGNED_OUT)];
        let mut response = stage.browser.get(&stage.provider_end(&query)).await;
        if confirm {
            assert_eq!(response.status(), StatusCode::OK);
            let page = response.text().await.unwrap();
            assert!(page.contains("<button") && page.contains(hint));
            response =
                stage.browser.post(&format!("http://{}{}", stage.provider.address(), action(&page)), &query).await;
        }
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()["location"], format!("{SIGNED_OUT}?state={STATE}"));
        assert_eq!(stage.browser.cookies["pc_session_id"], "");
        assert_eq!(parameters(&stage.authorize(&[("prompt", "none")]).await)["error"], "login_required");
        assert_eq!(stage.userinfo(&tokens).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(stage.provider.counters().session_end, 1);
    }
}

#[tokio::test]
async fn sign_out_refuses_what_proconnect_refuses() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let tokens = stage.tokens("es").await;
    let hint = tokens["id_token"].as_str().unwrap();
    let forged = hint.replacen('.', ".e30", 1);
    let base = [("id_token_hint", hint), ("state", STATE), ("post_logout_redirect_uri", SIGNED_OUT)];
    let cases: [(Changes, &str); 7] = [
        (&[("post_logout_redirect_uri", "http://127.0.0.1:4180/oauth2/signed_out/")], "Y030111"),
        (&[("post_logout_redirect_uri", "https://evil.example/")], "Y030111"),
        (&[("state", "short")], "Y000400"),
        (&[("state", "")], "Y000400"),
        (&[("id_token_hint", &forged)], "Y000400"),
        (&[("client_id", "rs")], "Y000400"),
        (&[("id_token_hint", "")], "Vous êtes bien déconnecté"),
    ];
    for (changes, text) in cases {
        let url = stage.provider_end(&changed(&base, changes));
        let response = stage.browser.http.get(&url).send().await.unwrap();
        assert!(response.headers().get("location").is_none(), "{changes:?}");
        assert!(response.text().await.unwrap().contains(text), "{changes:?}");
    }
    let by_id = stage.provider_end(&changed(&base, &[("id_token_hint", ""), ("client_id", "es")]));
    assert_eq!(stage.browser.get(&by_id).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(stage.browser.post(&stage.at("/session/end"), &base).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}
