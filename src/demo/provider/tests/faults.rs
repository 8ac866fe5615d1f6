//! Faults: each goes wrong as its name says, and nothing else does.

use super::*;

#[tokio::test]
async fn faults_spoil_the_id_token() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
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
    let right = payload(stage.tokens("es").await["id_token"].as_str().unwrap());
    for (fault, claim) in cases {
        stage.provider.faults().set(|faults| faults.id_token = Some(fault.clone()));
        let tokens = stage.tokens("es").await;
        let id_token = tokens["id_token"].as_str().unwrap();
        assert!(stage.verifies(id_token).await, "{fault:?}");
        assert_ne!(payload(id_token).get(claim), right.get(claim), "{fault:?}");
    }
    for fault in
        [IdTokenFault::WrongKey, IdTokenFault::UnknownKey, IdTokenFault::AlgNone, IdTokenFault::HmacUnderPublicKey]
    {
        stage.provider.faults().set(|faults| faults.id_token = Some(fault.clone()));
        let tokens = stage.tokens("es").await;
        assert!(!stage.verifies(tokens["id_token"].as_str().unwrap()).await, "{fault:?}");
    }
    stage.provider.faults().clear();
    let tokens = stage.tokens("es").await;
    assert!(stage.verifies(tokens["id_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn faults_spoil_userinfo() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let tokens = stage.tokens("es").await;
    let fault = |fault| stage.provider.faults().set(|faults| faults.userinfo = Some(fault));
    fault(UserinfoFault::Failing);
    assert_eq!(stage.userinfo(&tokens).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    fault(UserinfoFault::PlainJson);
    let plain = json(stage.userinfo(&tokens).await).await;
    assert!(plain.get("iss").is_none() && plain["email"].is_string());
    fault(UserinfoFault::WrongSubject);
    let wrong = stage.userinfo(&tokens).await.text().await.unwrap();
    assert!(stage.verifies(&wrong).await);
    assert_ne!(payload(&wrong)["sub"], plain["sub"]);
    fault(UserinfoFault::WrongAudience);
    assert_eq!(payload(&stage.userinfo(&tokens).await.text().await.unwrap())["aud"], "another-client");
    fault(UserinfoFault::WrongKey);
    let wrong = stage.userinfo(&tokens).await.text().await.unwrap();
    assert!(!stage.verifies(&wrong).await);
}

#[tokio::test]
async fn faults_spoil_the_callback() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let fault = |stage: &Stage, fault| stage.provider.faults().set(|faults| faults.callback = Some(fault));
    fault(&stage, CallbackFault::WithoutIssuer);
    assert!(!parameters(&stage.authorize(&[]).await).contains_key("iss"));
    fault(&stage, CallbackFault::WrongIssuer);
    assert_ne!(parameters(&stage.authorize(&[]).await)["iss"], stage.provider.issuer());
    fault(&stage, CallbackFault::WrongState);
    assert_ne!(parameters(&stage.authorize(&[]).await)["state"], STATE);
    fault(&stage, CallbackFault::Error("server_error".to_owned(), "<b>".to_owned()));
    let sent = parameters(&stage.authorize(&[]).await);
    assert_eq!((&*sent["error"], &*sent["error_description"], sent.get("code")), ("server_error", "<b>", None));
}

#[tokio::test]
async fn faults_stop_the_other_endpoints_and_calls_are_counted() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let (discovery, jwks) = (stage.at("/.well-known/openid-configuration"), stage.at("/jwks"));
    stage.provider.faults().set(|faults| {
        faults.discovery = Some(DiscoveryFault::Unavailable);
        faults.jwks = Some(JwksFault::Unavailable);
        faults.token = Some(TokenFault::InvalidGrant);
    });
    assert_eq!(stage.browser.get(&discovery).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stage.browser.get(&jwks).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let code = stage.code(&[]).await;
    assert_eq!(json(stage.token(&code, &[]).await).await["error"], "invalid_grant");
    stage.provider.faults().set(|faults| faults.discovery = Some(DiscoveryFault::WrongIssuer));
    assert_ne!(json(stage.browser.get(&discovery).await).await["issuer"], stage.provider.issuer());
    let counted = Counters { authorize: 1, token: 1, discovery: 2, jwks: 1, ..Counters::default() };
    assert_eq!(stage.provider.counters(), counted);
}

#[tokio::test]
async fn a_held_answer_waits_until_it_is_let_go() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let code = stage.code(&[]).await;
    let hold = Hold::default();
    stage.provider.faults().set(|faults| faults.token = Some(TokenFault::Held(hold.clone())));
    let (answer, ()) = tokio::join!(stage.token(&code, &[]), async {
        hold.arrived(1).await;
        assert_eq!(hold.count(), 1);
        hold.release();
    });
    assert_eq!(answer.status(), StatusCode::OK);
}
