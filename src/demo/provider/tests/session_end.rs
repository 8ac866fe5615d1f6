//! A session that ends here is told to the clients that asked to hear of it.

use super::*;
use std::sync::Mutex;

/// A client's back-channel endpoint: keeps what it is sent and answers `status`.
async fn listening(status: u16) -> (String, Arc<Mutex<Vec<Value>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&received);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/backchannel", listener.local_addr().unwrap());
    let endpoint = axum::routing::post(async move |body: String| {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let [(name, token)] = form.as_slice() else { panic!("{form:?}") };
        assert_eq!(name, "logout_token");
        assert_eq!(header_of(token)["typ"], "logout+jwt");
        kept.lock().unwrap().push(payload(token));
        StatusCode::from_u16(status).unwrap()
    });
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/backchannel", endpoint)).await });
    (uri, received)
}

fn backchannel(uri: &str) -> LogoutUris {
    LogoutUris { backchannel: Some(uri.to_owned()), frontchannel: None }
}

#[tokio::test]
async fn a_sign_out_is_posted_before_the_browser_goes_back() {
    let mut stage = set_up().await;
    let (uri, received) = listening(200).await;
    stage.provider.register_logout_uris("es", backchannel(&uri));
    stage.provider.register_logout_uris("rs", backchannel("http://127.0.0.1:1/never-signed-in-to"));
    stage.provider.sign_in_as(agent());
    let tokens = stage.tokens("es").await;
    let id_token = payload(tokens["id_token"].as_str().unwrap());
    let query = [
        ("id_token_hint", tokens["id_token"].as_str().unwrap()),
        ("state", STATE),
        ("post_logout_redirect_uri", SIGNED_OUT),
    ];
    let response = stage.browser.get(&stage.provider_end(&query)).await;
    assert_eq!(response.headers()["location"], format!("{SIGNED_OUT}?state={STATE}"));
    let received = received.lock().unwrap().clone();
    let [token] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!((&token["sub"], &token["sid"]), (&id_token["sub"], &id_token["sid"]));
    assert_eq!(token["events"], serde_json::json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
    assert!(token.get("nonce").is_none());
    assert_eq!(stage.provider.counters().logout_tokens, 1);
}

#[tokio::test]
async fn a_person_is_signed_out_everywhere_or_of_one_session() {
    let mut stage = set_up().await;
    let (uri, received) = listening(204).await;
    stage.provider.register_logout_uris("es", backchannel(&uri));
    stage.provider.sign_in_as(agent());
    stage.tokens("es").await;
    stage.browser.cookies.clear();
    let tokens = stage.tokens("es").await;
    let sub = agent().sub;
    let [first, second] = <[String; 2]>::try_from(stage.provider.sessions_of(&sub)).unwrap();
    assert_ne!(first, second);
    let told = vec![Delivery { client_id: "es".to_owned(), status: Some(204) }];
    assert_eq!(stage.provider.sign_out_session(&first).await, told);
    assert_eq!(stage.provider.sessions_of(&sub), [second.as_str()]);
    assert_eq!(stage.provider.sign_out_session(&first).await, []);
    assert_eq!(stage.provider.sign_out_everywhere(&sub).await, told);
    assert!(stage.provider.sessions_of(&sub).is_empty());
    let answer = stage.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(json(answer).await["error"], "invalid_grant");
    let received = received.lock().unwrap().clone();
    assert_eq!((&received[0]["sid"], &received[0]["sub"]), (&first.into(), &sub.clone().into()));
    assert_eq!((received[1].get("sid"), &received[1]["sub"]), (None, &sub.into()));
    stage.provider.register_logout_uris("es", backchannel("http://127.0.0.1:1/"));
    let unreached = vec![Delivery { client_id: "es".to_owned(), status: None }];
    assert_eq!(stage.provider.sign_out_everywhere("nobody").await, unreached);
}

#[tokio::test]
async fn the_page_of_sessions_signs_people_out() {
    let mut stage = set_up().await;
    let (uri, received) = listening(200).await;
    stage.provider.register_logout_uris("es", backchannel(&uri));
    assert!(stage.browser.get(&stage.at("/sessions")).await.text().await.unwrap().contains("Nobody is signed in"));
    stage.provider.sign_in_as(agent());
    stage.tokens("es").await;
    let page = stage.browser.get(&stage.at("/sessions")).await.text().await.unwrap();
    assert!(page.contains(&agent().email) && page.contains(&stage.provider.sessions_of(&agent().sub)[0]));
    let action = format!("http://{}{}", stage.provider.address(), action(&page));
    let page = stage.browser.post(&action, &[("sub", &agent().sub)]).await.text().await.unwrap();
    assert!(page.contains("Signed out everywhere") && page.contains("<code>es</code>") && page.contains("200"));
    assert_eq!(received.lock().unwrap().len(), 1);
    assert_eq!(stage.browser.post(&action, &[]).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_front_channel_is_a_frame_on_the_page_that_leads_back() {
    let mut stage = set_up().await;
    let uris = LogoutUris { backchannel: None, frontchannel: Some("http://localhost:4180/front?x=1".to_owned()) };
    stage.provider.register_logout_uris("es", uris);
    stage.provider.sign_in_as(agent());
    let tokens = stage.tokens("es").await;
    let sid = payload(tokens["id_token"].as_str().unwrap())["sid"].as_str().unwrap().to_owned();
    let leaving = [("client_id", "es"), ("state", STATE), ("post_logout_redirect_uri", SIGNED_OUT)];
    let response = stage.browser.get(&stage.provider_end(&leaving)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("frame-src http://localhost:4180;"), "{policy}");
    let page = response.text().await.unwrap();
    let source = page.split("<iframe src=\"").nth(1).unwrap().split('"').next().unwrap();
    let source = url::Url::parse(&source.replace("&#38;", "&").replace("&amp;", "&")).unwrap();
    let query: HashMap<String, String> = source.query_pairs().into_owned().collect();
    assert_eq!((query["iss"].as_str(), query["sid"].as_str()), (stage.provider.issuer(), sid.as_str()));
    assert!(page.contains(&format!("{SIGNED_OUT}?state={STATE}")));
    // Without a session nobody is told.
    assert_eq!(stage.browser.get(&stage.provider_end(&leaving)).await.status(), StatusCode::SEE_OTHER);
}
