//! The refresh and what ends with a session, through the facade, against a provider on loopback
//! that does one thing wrong at a time.

use super::*;

const LATER: Timestamp = Timestamp::from_unix(1_800_003_000);

/// What sign-in left.
fn held_tokens(stub: &Stub, signer: &Signer) -> Tokens {
    Tokens {
        id_token: signer.sign(&id_token(stub)).into(),
        access_token: "the-first-access-token".into(),
        refresh_token: Some("the-first-refresh-token".into()),
        access_token_expires_at: Some(NOW.plus(Duration::from_secs(3600))),
    }
}

fn held(tokens: &Tokens) -> Held<'_> {
    Held { tokens, subject: "s", sid: Some("the-sid"), authenticated_at: Some(NOW.minus(Duration::from_secs(5))) }
}

/// A refreshed ID token as a provider that follows §12.2 to the letter writes it.
fn refreshed_id_token(stub: &Stub) -> Value {
    let later = LATER.as_unix();
    json!({
        "iss": stub.issuer, "aud": "client", "sub": "s", "exp": later + 3600, "iat": later,
        "auth_time": NOW.as_unix() - 5, "acr": "eidas1",
    })
}

fn answer(stub: &Stub, id_token: Option<&str>, refresh_token: Option<&str>) {
    let tokens = json!({
        "access_token": "the-second-access-token", "token_type": "Bearer", "expires_in": 60,
        "refresh_token": refresh_token, "id_token": id_token,
    });
    stub.answer("/token", "application/json", &tokens.to_string());
}

async fn stage() -> (Signer, Stub, Tokens) {
    let signer = Signer::new(Algorithm::ES256, "k");
    let stub = provider(&signer).await;
    answer(&stub, Some(&signer.sign(&refreshed_id_token(&stub))), Some("the-second-refresh-token"));
    let tokens = held_tokens(&stub, &signer);
    (signer, stub, tokens)
}

async fn refresh(stub: &Stub, tokens: &Tokens) -> Result<Refreshed, RefreshError> {
    client(stub.settings()).refresh(&held(tokens), LATER).await
}

#[tokio::test]
async fn a_refresh_token_becomes_new_tokens_and_the_person_anew() {
    let (_, stub, tokens) = stage().await;
    stub.answer("/userinfo", "application/json", &json!({"sub": "s", "email": "new@b.fr"}).to_string());
    let refreshed = refresh(&stub, &tokens).await.unwrap();
    let identity = refreshed.identity.unwrap();
    assert_eq!((identity.provider(), identity.subject()), ("test", "s"));
    assert_eq!(identity.claims().view().text("email"), Some("new@b.fr"));
    let brought = refreshed.tokens;
    assert_eq!(brought.access_token.expose_secret(), "the-second-access-token");
    assert_eq!(brought.refresh_token.unwrap().expose_secret(), "the-second-refresh-token");
    assert_eq!(brought.access_token_expires_at, Some(LATER.plus(Duration::from_secs(60))));
    assert_ne!(brought.id_token.expose_secret(), tokens.id_token.expose_secret());
    let sent = stub.last("/token");
    for part in ["grant_type=refresh_token", "refresh_token=the-first-refresh-token", "client_secret="] {
        assert!(sent.contains(part), "{part}");
    }
    for part in ["redirect_uri", "scope", "code"] {
        assert!(!sent.contains(part), "{part}");
    }
    assert_eq!(stub.last("/userinfo"), "Bearer the-second-access-token ");
}

#[tokio::test]
async fn what_the_provider_does_not_renew_is_kept() {
    let (signer, stub, tokens) = stage().await;
    let mut id_token = refreshed_id_token(&stub);
    id_token.as_object_mut().unwrap().remove("auth_time");
    answer(&stub, Some(&signer.sign(&id_token)), None);
    let refreshed = refresh(&stub, &tokens).await.unwrap();
    let identity = refreshed.identity.unwrap();
    assert_eq!(identity.sid(), Some("the-sid"));
    assert_eq!(identity.authenticated_at(), Some(NOW.minus(Duration::from_secs(5))));
    assert_eq!(identity.claims().view().text("sid"), Some("the-sid"));
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose_secret(), "the-first-refresh-token");

    // What opens doors is not kept.
    id_token.as_object_mut().unwrap().remove("acr");
    id_token["sid"] = json!("a-new-sid");
    answer(&stub, Some(&signer.sign(&id_token)), None);
    let identity = refresh(&stub, &tokens).await.unwrap().identity.unwrap();
    assert_eq!((identity.sid(), identity.claims().view().text("acr")), (Some("a-new-sid"), None));
}

/// §12.2 allows it: the claims are those of userinfo over those of the ID token held.
#[tokio::test]
async fn without_a_new_id_token_the_one_held_speaks_under_userinfo() {
    let (_, stub, tokens) = stage().await;
    answer(&stub, None, Some("the-second-refresh-token"));
    let refreshed = refresh(&stub, &tokens).await.unwrap();
    let identity = refreshed.identity.unwrap();
    assert_eq!(identity.claims().view().text("acr"), Some("eidas1"));
    assert_eq!(identity.claims().view().text("email"), Some("a@b.fr"));
    assert_eq!(identity.authenticated_at(), Some(NOW.minus(Duration::from_secs(5))));
    assert_eq!(refreshed.tokens.id_token.expose_secret(), tokens.id_token.expose_secret());
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose_secret(), "the-second-refresh-token");

    let mut stronger = stub.settings();
    stronger.acr_values = vec!["eidas2".to_owned()];
    let refused = client(stronger).refresh(&held(&tokens), LATER).await.unwrap_err();
    assert_eq!(refused, RefreshError::InsufficientAcr);
    assert!(refused.ends_session());
}

/// Each case changes one claim of a good refreshed ID token (null takes it away).
#[tokio::test]
async fn a_refreshed_id_token_that_does_not_verify_ends_the_session() {
    use RefreshError as E;
    let (signer, stub, tokens) = stage().await;
    let (now, later) = (NOW.as_unix(), LATER.as_unix());
    let id = |error| Some(E::IdToken(error));
    for (name, value, expected) in [
        ("nonce", json!(NONCE), None),
        ("auth_time", json!(now), None),
        ("iss", json!("https://evil.test"), id(IdTokenError::WrongIssuer)),
        ("aud", json!("other"), id(IdTokenError::WrongAudience)),
        ("aud", json!(["client", "other"]), id(IdTokenError::OtherAudiences)),
        ("azp", json!("other"), id(IdTokenError::WrongAuthorizedParty)),
        ("exp", json!(null), id(IdTokenError::MalformedTime("exp"))),
        ("exp", json!(later - 60), id(IdTokenError::Expired)),
        ("iat", json!(null), id(IdTokenError::MalformedTime("iat"))),
        ("iat", json!(later + 61), id(IdTokenError::NotYet("iat"))),
        ("sub", json!("t"), Some(E::WrongSubject)),
        ("sub", json!(null), id(IdTokenError::MalformedSubject)),
        ("nonce", json!("another"), id(IdTokenError::WrongNonce)),
        ("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ"), id(IdTokenError::WrongAccessTokenHash)),
        ("auth_time", json!(now - 6), Some(E::EarlierAuthentication)),
        ("auth_time", json!(later + 61), id(IdTokenError::NotYet("auth_time"))),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}}), id(IdTokenError::LogoutToken)),
        ("acr", json!("eidas0"), Some(E::InsufficientAcr)),
        ("acr", json!(null), Some(E::InsufficientAcr)),
    ] {
        let mut claims = refreshed_id_token(&stub);
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
        answer(&stub, Some(&signer.sign(&claims)), Some("the-second-refresh-token"));
        let mut settings = stub.settings();
        settings.acr_values = vec!["eidas1".to_owned()];
        let refused = client(settings).refresh(&held(&tokens), LATER).await.err();
        assert_eq!(refused, expected, "{name} {value}");
        assert!(refused.is_none_or(|error| error.ends_session() && !error.is_misconfiguration()), "{name}");
    }
    let good = refreshed_id_token(&stub);
    for forged in [
        Signer::new(Algorithm::ES256, "k").sign(&good),
        signer.sign_with(&json!({"alg": "none"}), &good),
        Signer::with_secret(CLIENT_SECRET.as_bytes()).sign(&good),
        "no token".to_owned(),
        String::new(),
    ] {
        answer(&stub, Some(&forged), Some("the-second-refresh-token"));
        let refused = refresh(&stub, &tokens).await.unwrap_err();
        assert!(matches!(refused, E::IdToken(IdTokenError::Signature(_))) && refused.ends_session(), "{refused:?}");
    }
}

#[tokio::test]
async fn a_nonce_is_compared_with_that_of_the_token_held() {
    let (signer, stub, mut tokens) = stage().await;
    let mut bare = refreshed_id_token(&stub);
    tokens.id_token = signer.sign(&bare).into();
    assert!(refresh(&stub, &tokens).await.is_ok());
    bare["nonce"] = json!(NONCE);
    answer(&stub, Some(&signer.sign(&bare)), None);
    assert_eq!(refresh(&stub, &tokens).await.unwrap_err(), RefreshError::IdToken(IdTokenError::WrongNonce));
}

/// An ID token that is not this session's is found before anything is spent on it.
#[tokio::test]
async fn a_session_is_not_refreshed_with_another_s_tokens() {
    let (signer, stub, tokens) = stage().await;
    let of = |name: &str, value: &str| {
        let mut claims = id_token(&stub);
        claims[name] = json!(value);
        signer.sign(&claims)
    };
    for raw in [of("sub", "t"), of("iss", "https://other.test"), "a.b.c".to_owned(), String::new()] {
        let swapped = Tokens { id_token: raw.clone().into(), ..tokens.clone() };
        let refused = refresh(&stub, &swapped).await.unwrap_err();
        assert_eq!(refused, RefreshError::NotItsIdToken, "{raw}");
        assert!(refused.ends_session());
    }
    let without = Tokens { refresh_token: None, ..tokens.clone() };
    let refused = refresh(&stub, &without).await.unwrap_err();
    assert_eq!((refused.ends_session(), refused), (false, RefreshError::NoRefreshToken));
    assert_eq!(stub.hits("/token"), 0);
}

/// Which answers of the token endpoint end a session, and which are the weather; each is asked for
/// once.
#[tokio::test]
async fn a_refusal_ends_the_session_and_an_outage_does_not() {
    let (_, stub, tokens) = stage().await;
    for (sent, (status, body, ends, ours)) in [
        (400, r#"{"error":"invalid_grant"}"#, true, false),
        (401, r#"{"error":"invalid_client"}"#, false, true),
        (400, r#"{"error":"unauthorized_client"}"#, false, true),
        (400, r#"{"error":"invalid_request"}"#, false, true),
        (400, r#"{"error":"temporarily_unavailable"}"#, false, false),
        (500, r#"{"error":"invalid_grant"}"#, false, false),
        (503, "", false, false),
        (429, r#"{"error":"invalid_grant"}"#, false, false),
        (404, "<html>", false, false),
        (302, "", false, false),
        (200, "<html>", false, false),
        (200, r#"{"access_token":"a","token_type":"DPoP"}"#, false, false),
    ]
    .into_iter()
    .enumerate()
    {
        stub.refuse("/token", status, body);
        let refused = refresh(&stub, &tokens).await.unwrap_err();
        assert_eq!((refused.ends_session(), refused.is_misconfiguration()), (ends, ours), "{status} {body}");
        assert_eq!(stub.hits("/token"), sent + 1, "{status} {body}");
    }
    assert_eq!(stub.hits("/userinfo"), 0);
    let mut gone = stub.settings();
    gone.issuer = "http://127.0.0.1:1".to_owned();
    let mut claims = id_token(&stub);
    claims["iss"] = json!(gone.issuer);
    let of_it = Tokens { id_token: Signer::new(Algorithm::ES256, "k").sign(&claims).into(), ..tokens };
    let refused = client(gone).refresh(&held(&of_it), LATER).await.unwrap_err();
    assert!(matches!(refused, RefreshError::Unreachable(_)) && !refused.ends_session());
}

/// The first refresh token is void by now: whoever lost the second would be taken for a thief.
#[tokio::test]
async fn new_tokens_outlive_an_outage_of_what_comes_after_them() {
    let (_, stub, tokens) = stage().await;
    let kept = async |expected: RefreshError| {
        let refreshed = refresh(&stub, &tokens).await.unwrap();
        assert_eq!(refreshed.identity.unwrap_err(), expected);
        assert_eq!(refreshed.tokens.refresh_token.as_ref().unwrap().expose_secret(), "the-second-refresh-token");
        refreshed.tokens
    };
    for (status, body) in [(500, ""), (429, "{}"), (404, "")] {
        stub.refuse("/userinfo", status, body);
        kept(RefreshError::Userinfo(UserinfoError::Status(status))).await;
    }
    stub.answer("/userinfo", "text/html", "<html>");
    kept(RefreshError::Userinfo(UserinfoError::ContentType)).await;
    stub.answer("/userinfo", "application/json", "{");
    let brought = kept(RefreshError::Userinfo(UserinfoError::Malformed)).await;
    assert_ne!(brought.id_token.expose_secret(), tokens.id_token.expose_secret(), "the new ID token counts");

    // Signed with a key that the key endpoint does not have yet.
    let newer = Signer::new(Algorithm::ES256, "newer");
    answer(&stub, Some(&newer.sign(&refreshed_id_token(&stub))), Some("the-second-refresh-token"));
    let brought = kept(RefreshError::IdToken(IdTokenError::Signature(JwsError::UnknownKey))).await;
    assert_eq!(brought.id_token.expose_secret(), tokens.id_token.expose_secret(), "nothing of it is believed");
}

#[tokio::test]
async fn userinfo_that_does_not_count_ends_the_session() {
    let (signer, stub, tokens) = stage().await;
    let other = json!({"iss": stub.issuer, "aud": "client", "sub": "t"});
    for (kind, body) in [
        ("application/json", r#"{"sub":"t"}"#.to_owned()),
        ("application/json", r#"{"email":"a@b.fr"}"#.to_owned()),
        ("application/jwt", signer.sign(&other)),
        ("application/jwt", Signer::new(Algorithm::ES256, "k").sign(&json!({"sub": "s"}))),
    ] {
        stub.answer("/userinfo", kind, &body);
        let refused = refresh(&stub, &tokens).await.unwrap_err();
        assert!(matches!(refused, RefreshError::Userinfo(_)) && refused.ends_session(), "{kind} {body}");
    }
    for status in [401, 403] {
        stub.refuse("/userinfo", status, "");
        assert!(refresh(&stub, &tokens).await.unwrap_err().ends_session());
    }
}

#[tokio::test]
async fn a_refresh_finds_a_new_signing_key() {
    let (old, stub, tokens) = stage().await;
    let client = client(stub.settings());
    client.prepare(LATER).await.unwrap();
    let new = Signer::new(Algorithm::ES256, "new");
    stub.answer("/jwks", "application/json", &json!({"keys": [old.jwk(), new.jwk()]}).to_string());
    answer(&stub, Some(&new.sign(&refreshed_id_token(&stub))), None);
    assert!(client.refresh(&held(&tokens), LATER).await.unwrap().identity.is_ok());
    assert_eq!(stub.hits("/jwks"), 2);
}

/// Strangers may post what they like: it costs the provider one look-up a minute, and not the one
/// that a refresh or a sign-in needs.
#[tokio::test]
async fn forged_logout_tokens_do_not_use_up_the_key_look_up_of_sign_ins() {
    let (old, stub, tokens) = stage().await;
    let client = client(stub.settings());
    client.prepare(LATER).await.unwrap();
    let forged = Signer::new(Algorithm::ES256, "forged").sign(&json!({}));
    for _ in 0..5 {
        let refused = client.verify_logout_token(&forged, LATER).await.unwrap_err();
        assert_eq!(refused, LogoutTokenError::Signature(JwsError::UnknownKey));
    }
    assert_eq!(stub.hits("/jwks"), 2);
    let new = Signer::new(Algorithm::ES256, "new");
    stub.answer("/jwks", "application/json", &json!({"keys": [old.jwk(), new.jwk()]}).to_string());
    answer(&stub, Some(&new.sign(&refreshed_id_token(&stub))), None);
    assert!(client.refresh(&held(&tokens), LATER).await.unwrap().identity.is_ok());
    assert_eq!(stub.hits("/jwks"), 3);
}

#[tokio::test]
async fn a_logout_token_is_verified_with_a_key_that_is_fetched_for_it() {
    let (old, stub, _) = stage().await;
    let client = client(stub.settings());
    client.prepare(LATER).await.unwrap();
    let new = Signer::new(Algorithm::ES256, "new");
    stub.answer("/jwks", "application/json", &json!({"keys": [old.jwk(), new.jwk()]}).to_string());
    let claims = json!({
        "iss": stub.issuer, "aud": "client", "iat": LATER.as_unix(), "jti": "j", "sid": "the-sid",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let token = client.verify_logout_token(&new.sign(&claims), LATER).await.unwrap();
    assert_eq!((token.sid(), token.sub()), (Some("the-sid"), None));
    let mut gone = stub.settings();
    gone.issuer = "http://127.0.0.1:1".to_owned();
    let refused = super::client(gone).verify_logout_token("a.b.c", LATER).await.unwrap_err();
    assert!(matches!(refused, LogoutTokenError::Unreachable(_)));
}

#[tokio::test]
async fn the_refresh_token_is_revoked_or_else_the_access_token() {
    let (_, stub, mut tokens) = stage().await;
    assert_eq!(client(stub.settings()).revoke(&tokens, NOW).await, Ok(Revocation::NotOffered));
    stub.announce(&json!({"revocation_endpoint": format!("{}/revoke", stub.issuer)}));
    let client = client(stub.settings());
    stub.answer("/revoke", "text/plain", "");
    assert_eq!(client.revoke(&tokens, NOW).await, Ok(Revocation::Revoked));
    let sent = stub.last("/revoke");
    for part in ["token=the-first-refresh-token", "token_type_hint=refresh_token", "client_secret="] {
        assert!(sent.contains(part), "{part}");
    }
    tokens.refresh_token = None;
    assert_eq!(client.revoke(&tokens, NOW).await, Ok(Revocation::Revoked));
    assert!(stub.last("/revoke").contains("token=the-first-access-token&token_type_hint=access_token"));
    for (status, body, expected) in [
        (401, r#"{"error":"invalid_client"}"#, RevocationError::Refused("invalid_client".to_owned())),
        (400, r#"{"error":"unsupported_token_type"}"#, RevocationError::Refused("unsupported_token_type".to_owned())),
        (503, "", RevocationError::Status(503)),
        (302, "", RevocationError::Status(302)),
    ] {
        stub.refuse("/revoke", status, body);
        assert_eq!(client.revoke(&tokens, NOW).await, Err(expected));
    }
    assert_eq!(stub.hits("/revoke"), 6);
}

#[tokio::test]
async fn nothing_secret_is_printed_of_a_refresh() {
    let (_, stub, tokens) = stage().await;
    let refreshed = refresh(&stub, &tokens).await.unwrap();
    let swapped = Tokens { id_token: "s3cret.s3cret.s3cret".into(), ..tokens.clone() };
    let refused = refresh(&stub, &swapped).await.unwrap_err();
    let printed = format!("{:?} {refreshed:?} {refused} {refused:?}", held(&tokens));
    for secret in ["-token", "s3cret", NONCE, CLIENT_SECRET] {
        assert!(!printed.contains(secret), "{secret}");
    }
}

#[test]
fn an_issuer_is_compared_to_the_letter() {
    let client = client(stub::settings("https://op.test/api/v2"));
    assert!(client.is_issuer("https://op.test/api/v2"));
    for other in ["https://op.test/api/v2/", "https://OP.test/api/v2", "https://op.test/api/v2 ", ""] {
        assert!(!client.is_issuer(other), "{other}");
    }
}
