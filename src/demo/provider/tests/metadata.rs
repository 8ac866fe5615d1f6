//! What the provider says of itself, and what it does not start with.

use super::*;

#[tokio::test]
async fn discovery_says_what_proconnect_says() {
    let stage = set_up().await;
    let answer = stage.browser.http.get(stage.at("/.well-known/openid-configuration")).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "public, max-age=600");
    let said = json(answer).await;
    assert_eq!(said["issuer"], stage.provider.issuer());
    assert_eq!(said["token_endpoint_auth_methods_supported"], serde_json::json!(["client_secret_post"]));
    assert_eq!(said["authorization_response_iss_parameter_supported"], true);
    for kind in ["backchannel", "frontchannel"] {
        assert_eq!(said[format!("{kind}_logout_supported")], true);
        assert_eq!(said[format!("{kind}_logout_session_supported")], true);
    }
    for endpoint in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "end_session_endpoint",
        "revocation_endpoint",
        "jwks_uri",
    ] {
        assert!(said[endpoint].as_str().unwrap().starts_with(stage.provider.issuer()));
    }
    let unknown = stage.browser.http.get(stage.at("/nothing")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rs256_is_offered_only_with_a_key() {
    let listener = || TcpListener::bind("127.0.0.1:0");
    let start = |listener, clients| {
        let settings = ProviderSettings { clients, ..ProviderSettings::default() };
        Provider::start(listener, settings, Clock::System, Arc::new(SystemRandom::new()))
    };
    let refused = start(listener().await.unwrap(), vec![client("rs", SigningAlgorithm::RS256, None)]);
    assert!(matches!(refused, Err(ProviderError::RsaKeyMissing { .. })));
    let provider = start(listener().await.unwrap(), Vec::new()).unwrap();
    let url = format!("{}/.well-known/openid-configuration", provider.issuer());
    let said = json(Browser::new().http.get(url).send().await.unwrap()).await;
    assert_eq!(said["id_token_signing_alg_values_supported"], serde_json::json!(["HS256", "ES256"]));
}

#[tokio::test]
async fn listens_on_loopback_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let started = Provider::start(listener, ProviderSettings::default(), Clock::System, Arc::new(SystemRandom::new()));
    assert!(matches!(started, Err(ProviderError::Listener(BadListener::NotLoopback(_)))));
}
