//! Token exchange through the facade, at a provider and at a gateway on loopback that do one thing
//! wrong at a time.

use super::*;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn tokens() -> Tokens {
    Tokens {
        id_token: "the.id.token".into(),
        access_token: "the-access-token".into(),
        refresh_token: Some("the-refresh-token".into()),
        access_token_expires_at: None,
    }
}

fn wanted() -> Wanted {
    Wanted {
        endpoint: None,
        audience: Some("https://billing.internal".to_owned()),
        resource: None,
        scope: Some("read write".to_owned()),
        subject: SubjectToken::AccessToken,
        requested_token_type: None,
    }
}

fn issue(stub: &Stub, path: &str, change: impl FnOnce(&mut Value)) {
    let mut answer = json!({
        "access_token": "the-narrowed-token", "issued_token_type": ACCESS_TOKEN, "token_type": "bearer",
        "expires_in": 60,
    });
    change(&mut answer);
    stub.answer(path, "application/json", &answer.to_string());
}

async fn exchange(stub: &Stub, wanted: &Wanted) -> Result<Exchanged, ExchangeError> {
    client(stub.settings()).exchange(&tokens(), wanted, NOW).await
}

/// What `path` was sent, by name.
fn form(stub: &Stub, path: &str) -> std::collections::BTreeMap<String, String> {
    let last = stub.last(path);
    let body = last.split_once(' ').unwrap().1;
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn a_token_becomes_one_for_another_service() {
    let stub = Stub::start(&[]).await;
    issue(&stub, "/token", |_| {});
    let exchanged = exchange(&stub, &wanted()).await.unwrap();
    assert_eq!(exchanged.token.expose_secret(), "the-narrowed-token");
    assert_eq!(exchanged.expires_at, NOW.plus(Duration::from_secs(60)));
    assert!(!format!("{exchanged:?}").contains("narrowed"));
    let expected = [
        ("audience", "https://billing.internal"),
        ("client_id", "client"),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("scope", "read write"),
        ("subject_token", "the-access-token"),
        ("subject_token_type", ACCESS_TOKEN),
    ];
    let pairs = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(&stub, "/token"), pairs.into_iter().collect());

    // The other parameters, and a lifetime that is not said.
    issue(&stub, "/token", |answer| {
        answer["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:jwt");
        answer["expires_in"] = json!(null);
    });
    let other = Wanted {
        audience: None,
        resource: Some("https://billing.internal/api".to_owned()),
        scope: None,
        subject: SubjectToken::IdToken,
        requested_token_type: Some(TokenType::Jwt),
        ..wanted()
    };
    let exchanged = exchange(&stub, &other).await.unwrap();
    assert_eq!(exchanged.expires_at, NOW.plus(Duration::from_secs(300)));
    let sent = form(&stub, "/token");
    assert_eq!(sent["resource"], "https://billing.internal/api");
    assert_eq!(sent["subject_token"], "the.id.token");
    assert_eq!(sent["subject_token_type"], "urn:ietf:params:oauth:token-type:id_token");
    assert_eq!(sent["requested_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert!(!sent.contains_key("audience") && !sent.contains_key("scope") && !sent.contains_key("actor_token"));
}

#[tokio::test]
async fn a_gateway_gets_its_own_credentials_and_never_the_providers() {
    let provider = Stub::start(&[]).await;
    let gateway = Stub::start(&[]).await;
    issue(&gateway, "/oauth/token", |_| {});
    for authentication in [ClientAuthentication::ClientSecretPost, ClientAuthentication::ClientSecretBasic] {
        for (secret, authorization) in [(Some("gateway s3cret"), "Basic dmVzdGlidWxlOmdhdGV3YXkrczNjcmV0"), (None, "")]
        {
            let endpoint = ExchangeEndpoint {
                url: format!("{}/oauth/token", gateway.issuer).parse().unwrap(),
                client_id: "vestibule".to_owned(),
                client_secret: secret.map(Into::into),
                client_authentication: authentication,
                client_proof: ClientProof::default(),
            };
            let debug = format!("{endpoint:?}");
            assert!(!debug.contains("s3cret"), "{debug}");
            let wanted = Wanted { endpoint: Some(endpoint), ..wanted() };
            exchange(&provider, &wanted).await.unwrap();
            let (sent, last) = (form(&gateway, "/oauth/token"), gateway.last("/oauth/token"));
            let basic = authentication == ClientAuthentication::ClientSecretBasic;
            assert_eq!(last.starts_with("Basic "), basic && secret.is_some());
            if basic {
                assert!(last.starts_with(authorization));
            } else {
                assert_eq!(sent.get("client_secret").map(String::as_str), secret);
            }
            assert!(!last.contains("more+than+32+bytes") && sent.get("client_id").is_none_or(|id| id == "vestibule"));
        }
    }
    assert_eq!(provider.hits("/token") + provider.hits("/.well-known/openid-configuration"), 0);
}

#[tokio::test]
async fn refusals_are_told_apart_by_cause() {
    use ExchangeError as E;
    let stub = Stub::start(&[]).await;
    let refused = |code: &str| E::Refused(code.to_owned());
    let subject = |code: &str| E::SubjectToken(code.to_owned());
    for (status, body, expected) in [
        (400, r#"{"error":"invalid_grant"}"#, subject("invalid_grant")),
        (400, r#"{"error":"invalid_request","error_description":"the-access-token"}"#, subject("invalid_request")),
        (401, r#"{"error":"invalid_token"}"#, subject("invalid_token")),
        (400, r#"{"error":"invalid_target"}"#, E::InvalidTarget),
        (401, r#"{"error":"invalid_client"}"#, refused("invalid_client")),
        (400, r#"{"error":"unauthorized_client"}"#, refused("unauthorized_client")),
        (400, r#"{"error":"unsupported_grant_type"}"#, refused("unsupported_grant_type")),
        (400, r#"{"error":"invalid_scope"}"#, refused("invalid_scope")),
        (400, r#"{"error":"the access token"}"#, refused("unnamed")),
        (500, r#"{"error":"invalid_grant"}"#, E::Status(500)),
        (503, "<html>", E::Status(503)),
        (403, "the-access-token", E::Status(403)),
        // Success is 200, and only that.
        (201, r#"{"access_token":"x"}"#, E::Status(201)),
    ] {
        stub.refuse("/token", status, body);
        let error = exchange(&stub, &wanted()).await.unwrap_err();
        assert_eq!(error, expected, "{status} {body}");
        assert!(!format!("{error} {error:?}").contains("the-access-token"));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_token_that_comes_back_is_not_taken() {
    let stub = Stub::start(&[]).await;
    let elsewhere = Stub::start(&[]).await;
    issue(&elsewhere, "/token", |_| {});
    stub.redirect("/token", &format!("{}/token", elsewhere.issuer));
    assert_eq!(exchange(&stub, &wanted()).await.unwrap_err(), ExchangeError::Status(302));
    assert_eq!(elsewhere.hits("/token"), 0);
    issue(&stub, "/token", |answer| answer["access_token"] = json!("the-access-token"));
    assert!(matches!(exchange(&stub, &wanted()).await, Err(ExchangeError::Malformed(_))));
}

#[tokio::test]
async fn a_provider_out_of_reach_is_an_outage() {
    let stub = Stub::start(&[]).await;
    stub.fail("/.well-known/openid-configuration");
    let error = exchange(&stub, &wanted()).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Unreachable(_)) && error.is_outage());
    stub.mend("/.well-known/openid-configuration");
    stub.fail("/token");
    assert!(exchange(&stub, &wanted()).await.unwrap_err().is_outage());
    assert_eq!(stub.hits("/token"), 1, "asked once");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let endpoint = ExchangeEndpoint {
        url,
        client_id: "vestibule".to_owned(),
        client_secret: None,
        client_authentication: ClientAuthentication::ClientSecretPost,
        client_proof: ClientProof::default(),
    };
    let error = exchange(&stub, &Wanted { endpoint: Some(endpoint), ..wanted() }).await.unwrap_err();
    assert!(matches!(error, ExchangeError::NotAsked(FetchError::Connect(_))) && error.is_outage());
}

#[test]
fn an_exchange_can_move_between_threads() {
    fn sendable<T: Send>(_: T) {}
    let (client, wanted, tokens) = (client(stub::settings("https://op.test")), wanted(), tokens());
    sendable(client.exchange(&tokens, &wanted, NOW));
}
