//! From the authorization request to the callback: pages, sessions, hints, refusals.

use super::*;

#[tokio::test]
async fn a_person_chosen_on_the_page_comes_to_the_client() {
    let mut stage = set_up().await;
    let page = stage.authorize(&[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:4180;"), "{policy}");
    let page = page.text().await.unwrap();
    assert!(page.contains("ce n’est pas ProConnect") && page.contains("Hélène") && !page.contains("<script"));
    let url = format!("http://{}{}", stage.provider.address(), action(&page));
    let callback = stage.browser.post(&url, &[("agent", "helene")]).await;
    let sent = parameters(&callback);
    assert_eq!((&*sent["state"], &*sent["iss"]), (STATE, stage.provider.issuer()));

    let answer = stage.token(&sent["code"], &[]).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let tokens = json(answer).await;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&"Bearer".into(), &3600.into()));
    assert!(tokens["refresh_token"].is_string());
    let id_token = tokens["id_token"].as_str().unwrap();
    assert!(stage.verifies(id_token).await);
    assert_eq!(header_of(id_token)["typ"], "JWT");
    let claims = payload(id_token);
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["at_hash", "aud", "auth_time", "exp", "iat", "iss", "nonce", "sid", "sub"],
        "no e-mail, no name"
    );
    assert_eq!((&claims["aud"], &claims["nonce"]), (&"es".into(), &NONCE.into()));

    let userinfo = stage.userinfo(&tokens).await;
    assert_eq!(userinfo.headers()["content-type"], "application/jwt; charset=utf-8");
    let jwt = userinfo.text().await.unwrap();
    assert!(stage.verifies(&jwt).await);
    let person = payload(&jwt);
    assert_eq!((&person["sub"], &person["aud"]), (&claims["sub"], &"es".into()));
    assert_eq!(person["given_name"], "Hélène Anaïs");
    assert!(person.get("phone_number").is_none(), "the phone scope was not asked for");

    // The page was answered; its address is worth nothing any more.
    let again = stage.browser.post(&url, &[("agent", "helene")]).await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    // The session answers from now on, silently too.
    assert!(parameters(&stage.authorize(&[("prompt", "none")]).await).contains_key("code"));
}

#[tokio::test]
async fn another_browser_cannot_answer_the_page() {
    let mut stage = set_up().await;
    let page = stage.authorize(&[]).await.text().await.unwrap();
    let url = format!("http://{}{}", stage.provider.address(), action(&page));
    let mut thief = Browser::new();
    let without_cookie = thief.post(&url, &[("agent", "helene")]).await;
    assert!(without_cookie.text().await.unwrap().contains("Y030110"));
    let other_page = stage.authorize_url(&[]);
    thief.get(&other_page).await;
    let with_its_own = thief.post(&url, &[("agent", "helene")]).await;
    assert!(with_its_own.text().await.unwrap().contains("Y190001"));
}

#[tokio::test]
async fn a_typed_person_is_checked_and_shown_again_escaped() {
    let mut stage = set_up().await;
    let page = stage.authorize(&[("login_hint", "nils@test.proconnect.gouv.fr")]).await.text().await.unwrap();
    assert!(page.contains(r#"value="nils@test.proconnect.gouv.fr""#));
    let url = format!("http://{}{}", stage.provider.address(), action(&page));
    let wrong =
        [("email", "nobody"), ("given_name", "\"><script>"), ("siret", "12"), ("acr", "eidas9"), ("roles", "roi")];
    let shown = stage.browser.post(&url, &wrong).await;
    assert_eq!(shown.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let shown = shown.text().await.unwrap();
    assert!(!shown.contains("<script>") && shown.matches("aria-invalid").count() == 3, "{shown}");
    let right = [
        ("email", "nils@test.proconnect.gouv.fr"),
        ("given_name", "Nils"),
        ("usual_name", "Ångström"),
        ("siret", "000 000 117 00010"),
        ("roles", "agent_public"),
        ("roles", "dirigeant"),
        ("acr", "eidas1-mfa"),
    ];
    let code = parameters(&stage.browser.post(&url, &right).await)["code"].clone();
    let tokens = json(stage.token(&code, &[]).await).await;
    let person = payload(&stage.userinfo(&tokens).await.text().await.unwrap());
    assert_eq!((&person["usual_name"], &person["siret"]), (&"Ångström".into(), &"00000011700010".into()));
    assert_eq!(person["roles"], serde_json::json!(["agent_public", "dirigeant"]));
}

#[tokio::test]
async fn cancelling_is_access_denied() {
    let mut stage = set_up().await;
    let page = stage.authorize(&[]).await.text().await.unwrap();
    let url = format!("http://{}{}", stage.provider.address(), action(&page));
    let sent = parameters(&stage.browser.post(&url, &[("cancel", "1")]).await);
    assert_eq!((&*sent["error"], &*sent["state"], &*sent["iss"]), ("access_denied", STATE, stage.provider.issuer()));
    assert!(!sent.contains_key("code"));
}

#[tokio::test]
async fn refusals_go_to_a_page_or_to_the_callback() {
    let mut stage = set_up().await;
    let pages: [(Changes, &str); 4] = [
        (&[("client_id", "nobody")], "invalid_client"),
        (&[("redirect_uri", "http://127.0.0.1:4180/oauth2/callback/")], "Y030031"),
        (&[("state", "short")], "Y000400"),
        (&[("login_hint", "<script>alert(1)</script>")], "Y000400"),
    ];
    for (changes, code) in pages {
        let response = stage.authorize(changes).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.headers().get("location").is_none());
        let text = response.text().await.unwrap();
        assert!(text.contains(code) && !text.contains("<script"), "{changes:?}");
    }
    let callbacks: [(Changes, &str); 4] = [
        (&[("prompt", "none")], "login_required"),
        (&[("scope", "openid groups")], "invalid_scope"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("idp_hint", "nowhere")], "idp_hint_not_found"),
    ];
    for (changes, error) in callbacks {
        let sent = parameters(&stage.authorize(changes).await);
        assert_eq!((&*sent["error"], &*sent["state"], &*sent["iss"]), (error, STATE, stage.provider.issuer()));
    }
}

#[tokio::test]
async fn the_authorization_request_may_be_posted() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let url = stage.authorize_url(&[]);
    let (address, query) = url.split_once('?').unwrap();
    let request = stage
        .browser
        .http
        .post(address)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(query.to_owned());
    assert!(parameters(&stage.browser.send(request).await).contains_key("code"));
}

#[tokio::test]
async fn the_session_is_reused_unless_hints_or_acr_forbid() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    stage.code(&[]).await;
    stage.provider.ask_people();
    let essential = r#"{"id_token":{"acr":{"essential":true,"values":["eidas1-mfa"]}}}"#;
    let satisfied = r#"{"id_token":{"acr":{"essential":true,"values":["eidas1"]}}}"#;
    let [state_idp, other_idp] = IDENTITY_PROVIDERS;
    let cases: [(Changes, bool); 9] = [
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
        assert_eq!(stage.authorize(changes).await.status() == StatusCode::SEE_OTHER, reused, "{changes:?}");
    }
    stage.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(stage.authorize(&[]).await.status(), StatusCode::OK, "the session ended after 12 h");
}

#[tokio::test]
async fn an_essential_acr_that_is_not_met_and_a_private_person_are_denied() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let essential = r#"{"id_token":{"acr":{"essential":true,"values":["eidas1-mfa","eidas2"]}}}"#;
    let sent = parameters(&stage.authorize(&[("claims", essential)]).await);
    assert_eq!(
        (&*sent["error"], &*sent["error_description"]),
        ("access_denied", "requested ACRs could not be satisfied")
    );
    stage.provider.sign_in_as(Agent { acr: "eidas1-mfa".to_owned(), ..agent() });
    let code = stage.code(&[("claims", essential)]).await;
    let tokens = json(stage.token(&code, &[]).await).await;
    assert_eq!(payload(tokens["id_token"].as_str().unwrap())["acr"], "eidas1-mfa");

    stage.provider.sign_in_as(Agent { roles: Vec::new(), ..agent() });
    assert!(parameters(&stage.authorize(&[]).await).contains_key("code"));
    assert_eq!(parameters(&stage.authorize(&[("client_id", "public")]).await)["error"], "access_denied");
}
