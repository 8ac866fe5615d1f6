//! Refreshes, reuse and revocation, and what the product's own relying party makes of each fault.

use super::*;
use crate::oidc;
use crate::secret::ExposeSecret;

/// The relying party `es`, as the product is.
pub(super) fn relying_party(stage: &Stage) -> oidc::Provider {
    let settings = oidc::Settings {
        name: "demo".to_owned(),
        issuer: stage.provider.issuer().to_owned(),
        endpoints: oidc::Endpoints::Discovered,
        client_id: "es".to_owned(),
        client_secret: Some("s3cret".into()),
        client_authentication: oidc::ClientAuthentication::ClientSecretPost,
        client_proof: oidc::ClientProof::default(),
        pushes_requests: true,
        redirect_uri: CALLBACK.parse().unwrap(),
        post_logout_redirect_uri: SIGNED_OUT.parse().unwrap(),
        scopes: SCOPE.split(' ').map(str::to_owned).collect(),
        acr_values: Vec::new(),
        claims: serde_json::Map::new(),
        parameters: Vec::new(),
        id_token_algorithms: Vec::new(),
        userinfo: oidc::Userinfo::Signed(Vec::new()),
        clock_leeway: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        domain_owners: std::sync::Arc::default(),
    };
    oidc::Provider::new(settings, Fetch::new().unwrap())
}

impl Stage {
    pub(super) fn now(&self) -> Timestamp {
        self.provider.shared.now()
    }

    /// A whole sign-in to the relying party.
    pub(super) async fn signed_in(&mut self, relying_party: &oidc::Provider) -> oidc::SignedIn {
        self.provider.sign_in_as(agent());
        let code = self.code(&[]).await;
        let code = oidc::Code { code: &code, pkce_verifier: VERIFIER, nonce: NONCE, redirect_uri: None };
        relying_party.redeem(&code, self.now()).await.unwrap()
    }
}

fn held<'a>(identity: &'a oidc::Identity, tokens: &'a oidc::Tokens) -> oidc::Held<'a> {
    oidc::Held {
        tokens,
        subject: identity.subject(),
        sid: identity.sid(),
        authenticated_at: identity.authenticated_at(),
    }
}

#[tokio::test]
async fn a_refresh_brings_the_person_as_they_are_now() {
    let mut stage = set_up_with(|settings| settings.access_token_lifetime = Some(Duration::from_secs(60))).await;
    let relying_party = relying_party(&stage);
    let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
    assert_eq!(tokens.access_token_expires_at, Some(stage.now().plus(Duration::from_secs(60))));
    assert_eq!(stage.provider.sessions_of(identity.subject()), [identity.sid().unwrap()]);
    stage.clock.advance(Duration::from_secs(60));
    stage.provider.set_access_token_lifetime(Duration::from_secs(5));
    stage.provider.change_agent(identity.subject(), |agent| agent.roles = vec!["dirigeant".to_owned()]);

    let refreshed = relying_party.refresh(&held(&identity, &tokens), stage.now()).await.unwrap();
    let person = refreshed.identity.unwrap();
    assert_eq!(person.claims().view().get("roles"), Some(&crate::claims::ClaimValue::List(vec!["dirigeant"])));
    assert_eq!((person.sid(), person.authenticated_at()), (identity.sid(), identity.authenticated_at()));
    assert_eq!(refreshed.tokens.access_token_expires_at, Some(stage.now().plus(Duration::from_secs(5))));
    assert_eq!(payload(refreshed.tokens.id_token.expose_secret())["nonce"], NONCE, "as the counterpart keeps it");
    let counters = stage.provider.counters();
    assert_eq!((counters.refresh, counters.refreshed, counters.refresh_reuse), (1, 1, 0));

    // The first refresh token again is a theft, and the end of the second as well.
    let refused = relying_party.refresh(&held(&identity, &tokens), stage.now()).await.unwrap_err();
    assert!(refused.ends_session());
    let refused = relying_party.refresh(&held(&person, &refreshed.tokens), stage.now()).await.unwrap_err();
    assert_eq!(refused, oidc::RefreshError::Token(oidc::TokenError::InvalidGrant));
    relying_party.refresh(&held(&identity, &tokens), stage.now()).await.unwrap_err();
    let counters = stage.provider.counters();
    assert_eq!((counters.refresh, counters.refreshed, counters.refresh_reuse), (4, 1, 2));
}

/// Each fault, whether it ends the session, and whether the refresh token can be used again.
#[tokio::test]
async fn refresh_faults_are_what_they_say() {
    let mut stage = set_up().await;
    let relying_party = relying_party(&stage);
    for (fault, ends, used_up) in [
        (RefreshFault::Failing, false, false),
        (RefreshFault::Garbage, false, false),
        (RefreshFault::InvalidClient, false, false),
        (RefreshFault::InvalidGrant, true, false),
        (RefreshFault::LostAnswer, false, true),
        (RefreshFault::IdToken(IdTokenFault::WrongSubject), true, true),
        (RefreshFault::IdToken(IdTokenFault::WrongKey), true, true),
        (RefreshFault::IdToken(IdTokenFault::WrongNonce), true, true),
        (RefreshFault::IdToken(IdTokenFault::AlgNone), true, true),
    ] {
        let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
        stage.provider.faults().set(|faults| faults.refresh = Some(fault.clone()));
        let refused = relying_party.refresh(&held(&identity, &tokens), stage.now()).await.unwrap_err();
        assert_eq!(refused.ends_session(), ends, "{fault:?}");
        stage.provider.faults().clear();
        let again = relying_party.refresh(&held(&identity, &tokens), stage.now()).await;
        assert_eq!(again.is_err(), used_up, "{fault:?}");
    }
    for (fault, whole) in [
        (RefreshFault::WithoutIdToken, true),
        (RefreshFault::WithoutRefreshToken, true),
        (RefreshFault::IdToken(IdTokenFault::WithoutNonce), true),
        (RefreshFault::IdToken(IdTokenFault::UnknownKey), false),
    ] {
        let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
        stage.provider.faults().set(|faults| faults.refresh = Some(fault.clone()));
        let refreshed = relying_party.refresh(&held(&identity, &tokens), stage.now()).await.unwrap();
        assert_eq!(refreshed.identity.is_ok(), whole, "{fault:?}");
        stage.provider.faults().clear();
    }
}

#[tokio::test]
async fn a_held_refresh_waits_before_or_after_the_token_is_used_up() {
    for after in [false, true] {
        let mut stage = set_up().await;
        let relying_party = relying_party(&stage);
        let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
        let hold = Hold::default();
        let fault = if after { RefreshFault::AnswerHeld(hold.clone()) } else { RefreshFault::Held(hold.clone()) };
        stage.provider.faults().set(|faults| faults.refresh = Some(fault));
        let session = held(&identity, &tokens);
        let (refreshed, ()) = tokio::join!(relying_party.refresh(&session, stage.now()), async {
            hold.arrived(1).await;
            assert_eq!(stage.provider.counters().refreshed, u64::from(after));
            hold.release();
        });
        assert!(refreshed.unwrap().identity.is_ok());
    }
}

#[tokio::test]
async fn a_provider_that_is_down_answers_nothing_and_comes_back() {
    let mut stage = set_up().await;
    let relying_party = relying_party(&stage);
    let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
    stage.provider.faults().set(|faults| faults.down = Some(Down::Unavailable));
    let refused = relying_party.refresh(&held(&identity, &tokens), stage.now()).await.unwrap_err();
    assert_eq!(refused, oidc::RefreshError::Token(oidc::TokenError::Status(503)));
    assert_eq!(stage.browser.get(&stage.at("/jwks")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stage.provider.counters().refresh, 0);
    stage.provider.faults().clear();
    assert!(relying_party.refresh(&held(&identity, &tokens), stage.now()).await.is_ok());
}

#[tokio::test]
async fn a_revoked_refresh_token_takes_its_grant_with_it() {
    let mut stage = set_up().await;
    let relying_party = relying_party(&stage);
    let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
    let other = oidc::Tokens { refresh_token: Some("never-issued".into()), ..tokens.clone() };
    assert_eq!(relying_party.revoke(&other, stage.now()).await, Ok(oidc::Revocation::Revoked));
    assert_eq!(relying_party.revoke(&tokens, stage.now()).await, Ok(oidc::Revocation::Revoked));
    let refused = relying_party.refresh(&held(&identity, &tokens), stage.now()).await.unwrap_err();
    assert_eq!(refused, oidc::RefreshError::Token(oidc::TokenError::InvalidGrant));
    assert_eq!(stage.provider.counters().revocation, 2);

    // Without a refresh token the access token goes, and the grant stays.
    let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
    let access_only = oidc::Tokens { refresh_token: None, ..tokens.clone() };
    relying_party.revoke(&access_only, stage.now()).await.unwrap();
    let answer = serde_json::json!({"access_token": tokens.access_token.expose_secret()});
    assert_eq!(stage.userinfo(&answer).await.status(), StatusCode::UNAUTHORIZED);
    assert!(relying_party.refresh(&held(&identity, &tokens), stage.now()).await.is_ok());

    // Another client's token is left alone, and a wrong secret is told.
    let revoke = async |client_id: &str, secret: &str, token: &str| {
        let form = [("client_id", client_id), ("client_secret", secret), ("token", token)];
        posting(&stage.browser.http, &stage.at("/token/revocation"), &form).send().await.unwrap().status()
    };
    let token = tokens.access_token.expose_secret();
    assert_eq!(revoke("rs", "s3cret", token).await, StatusCode::OK);
    assert_eq!(revoke("es", "wrong", token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(revoke("es", "s3cret", "").await, StatusCode::BAD_REQUEST);
    stage.provider.faults().set(|faults| faults.revocation = Some(RevocationFault::Unavailable));
    assert_eq!(relying_party.revoke(&tokens, stage.now()).await, Err(oidc::RevocationError::Status(503)));
}

/// Every fault of a logout token but those that are none is refused by the product.
#[tokio::test]
async fn logout_token_faults_are_what_they_say() {
    use LogoutTokenFault as F;
    let stage = set_up().await;
    let relying_party = relying_party(&stage);
    let token = |fault| {
        stage.provider.faults().set(|faults| faults.logout_token = fault);
        stage.provider.logout_token("es", Some("the-sub"), Some("the-sid")).unwrap()
    };
    for good in [None, Some(F::TypedJwt), Some(F::WithoutExpiry), Some(F::SameId)] {
        let read = relying_party.verify_logout_token(&token(good), stage.now()).await.unwrap();
        assert_eq!((read.sub(), read.sid()), (Some("the-sub"), Some("the-sid")), "{good:?}");
    }
    assert_ne!(token(None), token(None));
    assert_eq!(payload(&token(Some(F::SameId)))["jti"], payload(&token(Some(F::SameId)))["jti"]);
    for fault in [
        F::Garbage,
        F::WrongKey,
        F::UnknownKey,
        F::AlgNone,
        F::HmacUnderPublicKey,
        F::TypedAccessToken,
        F::WrongIssuer,
        F::WrongAudience,
        F::WithoutIssuedAt,
        F::Old,
        F::IssuedInFuture,
        F::Expired,
        F::WithoutId,
        F::WithoutEvents,
        F::OtherEvent,
        F::WithNonce,
        F::NamesNobody,
    ] {
        let refused = relying_party.verify_logout_token(&token(Some(fault)), stage.now()).await;
        assert!(refused.is_err(), "{fault:?}");
    }
    assert!(matches!(stage.provider.logout_token("nobody", None, None), Err(NoLogoutToken::UnknownClient)));
}
