//! Pushed authorization requests, against a provider that takes them and one that does not.

use super::*;
use std::collections::HashMap;

const PAR: &str = "/par";

fn request() -> AuthorizationRequest<'static> {
    AuthorizationRequest {
        state: "the-state",
        nonce: NONCE,
        pkce_verifier: "the-verifier",
        silent: false,
        login_hint: Some("a@b.fr"),
        redirect_uri: None,
    }
}

async fn announcing(requires: bool) -> Stub {
    let stub = Stub::start(&[]).await;
    stub.announce(&json!({
        "pushed_authorization_request_endpoint": format!("{}{PAR}", stub.issuer),
        "require_pushed_authorization_requests": requires,
    }));
    stub.refuse(PAR, 201, &json!({"request_uri": "urn:ietf:params:oauth:request_uri:x", "expires_in": 60}).to_string());
    stub
}

fn pairs(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn where_it_is_announced_the_browser_carries_a_reference_alone() {
    for authentication in
        [ClientAuthentication::ClientSecretPost, ClientAuthentication::ClientSecretBasic, ClientAuthentication::None]
    {
        let stub = announcing(false).await;
        let settings = Settings { client_authentication: authentication, ..stub.settings() };
        let url = client(settings).authorization_url(&request(), NOW).await.unwrap();
        let expected = [("client_id", "client"), ("request_uri", "urn:ietf:params:oauth:request_uri:x")];
        assert_eq!(pairs(&url), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let sent = stub.last(PAR);
        let (_, form) = sent.split_once(' ').unwrap();
        let sent: Vec<(String, String)> =
            url::form_urlencoded::parse(form.rsplit(' ').next().unwrap().as_bytes()).into_owned().collect();
        let whole = client(Settings { pushes_requests: false, ..stub.settings() });
        for (name, value) in pairs(&whole.authorization_url(&request(), NOW).await.unwrap()) {
            assert_eq!(sent.iter().filter(|(held, _)| *held == name).count(), 1, "{authentication:?}: {name}");
            assert!(sent.contains(&(name, value)), "{authentication:?}");
        }
    }
}

#[tokio::test]
async fn it_can_be_switched_off_but_not_where_the_provider_requires_it() {
    for (requires, pushes, pushed) in [(false, false, 0), (false, true, 1), (true, false, 1), (true, true, 1)] {
        let stub = announcing(requires).await;
        let client = client(Settings { pushes_requests: pushes, ..stub.settings() });
        client.authorization_url(&request(), NOW).await.unwrap();
        assert_eq!(stub.hits(PAR), pushed, "{requires} {pushes}");
    }
    let stub = Stub::start(&[]).await;
    stub.announce(&json!({"require_pushed_authorization_requests": true}));
    let refused = client(stub.settings()).authorization_url(&request(), NOW).await.unwrap_err();
    assert_eq!(refused, PushError::NoEndpoint.into());
}

#[tokio::test]
async fn what_is_not_taken_does_not_go_by_the_browser_instead() {
    let stub = announcing(false).await;
    let client = client(stub.settings());
    for (status, body, expected) in [
        (401, r#"{"error":"invalid_client"}"#, PushError::Refused("invalid_client".to_owned())),
        (400, r#"{"error":"invalid_request"}"#, PushError::Refused("invalid_request".to_owned())),
        (503, "", PushError::Status(503)),
        (302, "", PushError::Status(302)),
        (201, "{}", PushError::Malformed),
        (201, r#"{"request_uri":""}"#, PushError::Malformed),
        (201, r#"{"request_uri":"urn:x\r\ny"}"#, PushError::Malformed),
        (201, "<html>", PushError::Malformed),
    ] {
        stub.refuse(PAR, status, body);
        let refused = client.authorization_url(&request(), NOW).await.unwrap_err();
        assert_eq!(refused, Unreachable::NotPushed(expected), "{status} {body}");
    }
}
