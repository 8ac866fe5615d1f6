//! Token exchange: what is exchanged, what is not, and what the product's own relying party makes
//! of each fault.

use super::refresh::relying_party;
use super::*;
use crate::oidc;
use crate::secret::ExposeSecret;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

impl Stage {
    async fn exchange(&self, subject_token: &str, changes: Changes<'_>) -> Response {
        let base = [
            ("grant_type", GRANT_TYPE),
            ("client_id", "es"),
            ("client_secret", "s3cret"),
            ("subject_token", subject_token),
            ("subject_token_type", ACCESS_TOKEN),
            ("audience", "https://billing.internal"),
        ];
        posting(&self.browser.http, &self.at("/token"), &changed(&base, changes)).send().await.unwrap()
    }
}

fn wanted() -> oidc::Wanted {
    oidc::Wanted {
        endpoint: None,
        audience: Some("https://billing.internal".to_owned()),
        resource: None,
        scope: Some("read".to_owned()),
        subject: oidc::SubjectToken::AccessToken,
        requested_token_type: None,
    }
}

#[tokio::test]
async fn the_relying_party_gets_a_short_lived_token_for_one_service() {
    let mut stage = set_up().await;
    let relying_party = relying_party(&stage);
    let oidc::SignedIn { identity, tokens } = stage.signed_in(&relying_party).await;
    let now = stage.now();
    for subject in [oidc::SubjectToken::AccessToken, oidc::SubjectToken::IdToken] {
        for requested_token_type in [None, Some(oidc::TokenType::AccessToken), Some(oidc::TokenType::Jwt)] {
            let wanted = oidc::Wanted { subject, requested_token_type, ..wanted() };
            let exchanged = relying_party.exchange(&tokens, &wanted, now).await.unwrap();
            assert_eq!(exchanged.expires_at, now.plus(Duration::from_secs(300)));
            let token = exchanged.token.expose_secret();
            assert!(stage.verifies(token).await);
            assert_eq!(header_of(token)["typ"], "at+jwt");
            let claims = payload(token);
            assert_eq!((&claims["aud"], &claims["scope"]), (&"https://billing.internal".into(), &"read".into()));
            assert_eq!(claims["sub"], identity.subject());
            assert_eq!(claims["exp"], now.as_unix() + 300);
        }
    }
    stage.provider.set_exchanged_token_lifetime(Duration::from_secs(7));
    let exchanged = relying_party.exchange(&tokens, &wanted(), now).await.unwrap();
    assert_eq!(exchanged.expires_at, now.plus(Duration::from_secs(7)));
    let counters = stage.provider.counters();
    assert_eq!((counters.exchange, counters.exchanged), (7, 7));
    // What was exchanged opens nothing here.
    let answer = serde_json::json!({"access_token": exchanged.token.expose_secret()});
    assert_eq!(stage.userinfo(&answer).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn only_the_clients_own_living_tokens_are_exchanged() {
    let mut stage = set_up().await;
    stage.provider.sign_in_as(agent());
    let tokens = stage.tokens("es").await;
    let [access, id] = ["access_token", "id_token"].map(|name| tokens[name].as_str().unwrap().to_owned());
    let narrowed = json(stage.exchange(&access, &[]).await).await["access_token"].as_str().unwrap().to_owned();
    let cases: [(&str, Changes, u16, &str); 10] = [
        (&access, &[("client_secret", "wrong")], 401, "invalid_client"),
        (&access, &[("client_id", "rs")], 400, "invalid_request"),
        (&id, &[("client_id", "rs"), ("subject_token_type", ID_TOKEN)], 400, "invalid_request"),
        (&access, &[("subject_token_type", ID_TOKEN)], 400, "invalid_request"),
        (&access, &[("subject_token_type", "")], 400, "invalid_request"),
        (&access, &[("requested_token_type", ID_TOKEN)], 400, "invalid_request"),
        ("never-issued", &[], 400, "invalid_request"),
        ("", &[], 400, "invalid_request"),
        // A token that was exchanged is not exchanged again.
        (&narrowed, &[], 400, "invalid_request"),
        (&narrowed, &[("subject_token_type", ID_TOKEN), ("audience", "es")], 400, "invalid_request"),
    ];
    for (token, changes, status, error) in cases {
        let answer = stage.exchange(token, changes).await;
        assert_eq!(answer.status().as_u16(), status, "{token} {changes:?}");
        assert_eq!(json(answer).await["error"], error, "{token} {changes:?}");
    }
    assert_eq!(stage.provider.counters().exchanged, 1);
    stage.clock.advance(Duration::from_secs(3600));
    for changes in [&[][..], &[("subject_token_type", ID_TOKEN)]] {
        let token = if changes.is_empty() { &access } else { &id };
        assert_eq!(stage.exchange(token, changes).await.status(), StatusCode::BAD_REQUEST, "expired");
    }
    let tokens = stage.tokens("es").await;
    stage.provider.end_sessions();
    for (name, kind) in [("access_token", ACCESS_TOKEN), ("id_token", ID_TOKEN)] {
        let answer = stage.exchange(tokens[name].as_str().unwrap(), &[("subject_token_type", kind)]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "the session has ended");
    }
}

#[tokio::test]
async fn exchange_faults_are_what_they_say() {
    use oidc::ExchangeError as E;
    let mut stage = set_up().await;
    let relying_party = relying_party(&stage);
    let oidc::SignedIn { tokens, .. } = stage.signed_in(&relying_party).await;
    let wanted = wanted();
    let exchange = || relying_party.exchange(&tokens, &wanted, stage.now());
    for (fault, expected) in [
        (ExchangeFault::Failing, Some(E::Status(500))),
        (ExchangeFault::Refused("invalid_grant"), Some(E::SubjectToken("invalid_grant".to_owned()))),
        (ExchangeFault::Refused("invalid_target"), Some(E::InvalidTarget)),
        (ExchangeFault::Refused("unauthorized_client"), Some(E::Refused("unauthorized_client".to_owned()))),
        (ExchangeFault::Garbage, None),
        (ExchangeFault::WithoutIssuedTokenType, None),
        (ExchangeFault::IssuesIdToken, None),
        (ExchangeFault::NotBearer, None),
        (ExchangeFault::LineBreak, None),
        (ExchangeFault::SameToken, None),
    ] {
        stage.provider.faults().set(|faults| faults.exchange = Some(fault.clone()));
        let error = exchange().await.unwrap_err();
        match expected {
            Some(expected) => assert_eq!(error, expected, "{fault:?}"),
            None => assert!(matches!(error, E::Malformed(_)), "{fault:?}: {error:?}"),
        }
    }
    stage.provider.faults().set(|faults| faults.exchange = Some(ExchangeFault::WithoutLifetime));
    assert_eq!(exchange().await.unwrap().expires_at, stage.now().plus(Duration::from_secs(300)));
    let hold = Hold::default();
    stage.provider.faults().set(|faults| faults.exchange = Some(ExchangeFault::Held(hold.clone())));
    let before = stage.provider.counters().exchanged;
    let (exchanged, ()) = tokio::join!(exchange(), async {
        hold.arrived(1).await;
        assert_eq!(stage.provider.counters().exchanged, before);
        hold.release();
    });
    assert!(exchanged.is_ok());
    // Faults of the endpoint for codes are none of an exchange.
    stage.provider.faults().clear();
    stage.provider.faults().set(|faults| faults.token = Some(TokenFault::Failing));
    assert!(exchange().await.is_ok());
}
