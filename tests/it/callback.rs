//! The way back from the provider when something is wrong with it: who hears what, and what is
//! not done.

use crate::sign_in::to_callback;
use crate::support::client::{Answer, Client};
use crate::support::shown::{LOGIN, SESSION, TOKENS, assert_error, email_at_app, error_id};
use crate::support::site::{ORIGIN, Setup, Site};
use crate::support::wire::{Act, Wire};
use std::time::Duration;
use vestibule::demo::provider::{
    CallbackFault, DiscoveryFault, Faults, Hold, IdTokenFault, JwksFault, TokenFault, UserinfoFault,
};
use vestibule::pages::{ErrorKind, Language};

const EMAIL: &str = "helene.moreau@test.proconnect.gouv.fr";
/// Longer than metadata and keys may serve while the provider is out.
const FORGOTTEN: Duration = Duration::from_secs(25 * 3600);

/// Signs in with these faults set.
async fn browse_with(site: &Site, client: &Client, set: impl FnOnce(&mut Faults)) -> Answer {
    site.provider.faults().clear();
    site.provider.faults().set(set);
    client.browse("/").await
}

fn assert_no_session(client: &Client) {
    assert_eq!(client.cookie(SESSION), None);
    assert_eq!(client.cookie(TOKENS), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_callback_ends_before_the_code_is_sent() {
    use CallbackFault::{UnknownCode, WithoutCode, WithoutIssuer, WithoutState, WrongIssuer, WrongState};
    let error = |code: &str, description: &str| CallbackFault::Error(code.to_owned(), description.to_owned());
    let site = Site::start().await;
    let cases = [
        (WithoutIssuer, ErrorKind::SignInNotVerified),
        (WrongIssuer, ErrorKind::SignInNotVerified),
        (WithoutState, ErrorKind::CallbackWithoutState),
        (WrongState, ErrorKind::SignInExpired),
        (WithoutCode, ErrorKind::SignInNotVerified),
        (error("access_denied", "User auth aborted"), ErrorKind::AccessDenied),
        (error("access_denied", "requested ACRs could not be satisfied"), ErrorKind::AuthenticationLevelNotReached),
        (error("access_denied", "private sector user not accepted (Y500015)"), ErrorKind::PrivateSectorNotAccepted),
        (error("access_denied", "(Y500024)"), ErrorKind::AccountBlocked),
        (error("access_denied", "session not found or expired (Y190001)"), ErrorKind::ProviderSessionLost),
        (error("login_required", ""), ErrorKind::LoginRequired),
        (error("invalid_request", "x"), ErrorKind::InvalidRequest),
        (error("invalid_scope", "requested scope is not allowed"), ErrorKind::InvalidScope),
        (error("unsupported_response_type", "x"), ErrorKind::UnsupportedResponseType),
        (error("server_error", "oops"), ErrorKind::ServerError),
        (error("temporarily_unavailable", ""), ErrorKind::TemporarilyUnavailable),
        (error("idp_hint_not_found", ""), ErrorKind::IdpHintNotFound),
        (error("<script>alert(1)</script>", "<img src=x>\r\nX-Evil: 1"), ErrorKind::UnknownProviderError),
    ];
    for (fault, kind) in cases {
        let client = site.client();
        let page = browse_with(&site, &client, |faults| faults.callback = Some(fault.clone())).await;
        let reason = assert_error(&page, kind, Language::French).await;
        assert!(!reason.contains(['\r', '\n']), "{reason:?}");
        assert!(!page.text().contains("alert(1)") && !page.text().contains("X-Evil"));
        assert_no_session(&client);
        assert_eq!(site.provider.counters().token, 0, "{fault:?}");
    }
    // A code that was never issued is sent, once.
    let client = site.client();
    let page = browse_with(&site, &client, |faults| faults.callback = Some(UnknownCode)).await;
    let reason = assert_error(&page, ErrorKind::SignInExpired, Language::French).await;
    assert!(reason.contains("invalid_grant"), "{reason}");
    assert_no_session(&client);
    assert_eq!(site.provider.counters().token, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_token_endpoint_has_its_page() {
    use TokenFault::{Failing, Garbage, InvalidClient, InvalidGrant, WithoutIdToken, WrongTokenType};
    let site = Site::start().await;
    let cases = [
        (Failing, ErrorKind::ServerError),
        (InvalidGrant, ErrorKind::SignInExpired),
        (InvalidClient, ErrorKind::InvalidRequest),
        (Garbage, ErrorKind::SignInNotVerified),
        (WithoutIdToken, ErrorKind::SignInNotVerified),
        (WrongTokenType, ErrorKind::SignInNotVerified),
    ];
    for (index, (fault, kind)) in cases.into_iter().enumerate() {
        let client = site.client();
        let page = browse_with(&site, &client, |faults| faults.token = Some(fault.clone())).await;
        assert_error(&page, kind, Language::French).await;
        assert_no_session(&client);
        let counted = site.provider.counters();
        assert_eq!((counted.token, counted.userinfo), (index as u64 + 1, 0), "{fault:?}: a code is sent once");
    }
    // Not every provider issues one; ProConnect always does.
    let client = site.client();
    let page = browse_with(&site, &client, |faults| faults.token = Some(TokenFault::WithoutRefreshToken)).await;
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_id_token_ends_the_sign_in() {
    use IdTokenFault::{
        AlgNone, Expired, Garbage, HmacUnderPublicKey, IssuedInFuture, SecondAudience, UnknownKey, WithoutExpiry,
        WithoutNonce, WithoutSubject, WrongAtHash, WrongAudience, WrongAuthorizedParty, WrongIssuer, WrongKey,
        WrongNonce, WrongSubject,
    };
    let site = Site::start().await;
    let faults = [
        WrongKey,
        UnknownKey,
        AlgNone,
        HmacUnderPublicKey,
        Garbage,
        WrongNonce,
        WithoutNonce,
        WrongIssuer,
        WrongAudience,
        SecondAudience,
        WrongAuthorizedParty,
        WithoutSubject,
        Expired,
        WithoutExpiry,
        IssuedInFuture,
        WrongAtHash,
    ];
    for fault in faults {
        let client = site.client();
        let page = browse_with(&site, &client, |faults| faults.id_token = Some(fault.clone())).await;
        assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
        assert_no_session(&client);
        assert_eq!(site.provider.counters().userinfo, 0, "{fault:?}: nothing is asked before it is verified");
    }
    // Only userinfo can show that the subject is another.
    let client = site.client();
    let page = browse_with(&site, &client, |faults| faults.id_token = Some(WrongSubject)).await;
    assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
    assert_no_session(&client);
    // An `acr` counts only where one is required.
    for fault in [IdTokenFault::Acr("anything".into()), IdTokenFault::WithoutAcr] {
        let page = browse_with(&site, &site.client(), |faults| faults.id_token = Some(fault)).await;
        assert_eq!(page.status, 200, "{}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_userinfo_ends_the_sign_in() {
    use UserinfoFault::{
        AlgNone, Expired, Failing, Garbage, HmacUnderPublicKey, Unauthorized, UnknownKey, WithoutSubject,
        WrongAudience, WrongIssuer, WrongKey, WrongSubject,
    };
    let site = Site::start().await;
    let faults = [
        Unauthorized,
        Garbage,
        WrongSubject,
        WithoutSubject,
        WrongKey,
        UnknownKey,
        AlgNone,
        HmacUnderPublicKey,
        WrongIssuer,
        WrongAudience,
        Expired,
        Failing,
    ];
    for fault in faults {
        let kind = if matches!(fault, Failing) { ErrorKind::ServerError } else { ErrorKind::SignInNotVerified };
        let client = site.client();
        let page = browse_with(&site, &client, |faults| faults.userinfo = Some(fault.clone())).await;
        assert_error(&page, kind, Language::French).await;
        assert_no_session(&client);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_userinfo_counts_unless_the_configuration_wants_it_signed() {
    let plain = |faults: &mut Faults| faults.userinfo = Some(UserinfoFault::PlainJson);
    let site = Site::start().await;
    assert_eq!(email_at_app(&browse_with(&site, &site.client(), plain).await).as_deref(), Some(EMAIL));

    let provider = "    userinfo: {format: signed}\n".to_owned();
    let site = Site::with(Setup { provider, ..Setup::default() }).await;
    let page = browse_with(&site, &site.client(), plain).await;
    assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_and_keys_that_cannot_be_had_are_an_outage() {
    let site = Site::start().await;
    assert_eq!(site.client().browse("/").await.status, 200);
    let faults: [fn(&mut Faults); 5] = [
        |faults| faults.discovery = Some(DiscoveryFault::Unavailable),
        |faults| faults.discovery = Some(DiscoveryFault::WrongIssuer),
        |faults| faults.discovery = Some(DiscoveryFault::Garbage),
        |faults| faults.jwks = Some(JwksFault::Unavailable),
        |faults| faults.jwks = Some(JwksFault::Garbage),
    ];
    for fault in faults {
        site.clock.advance(FORGOTTEN);
        let client = site.client();
        let page = browse_with(&site, &client, fault).await;
        assert_error(&page, ErrorKind::ProviderUnreachable, Language::French).await;
        assert_eq!(client.cookie_names(), Vec::<String>::new(), "nothing has begun");
        assert_eq!(page.url, format!("{ORIGIN}/"));
    }
    // A program hears it in its own words. The failure is remembered for ten seconds.
    site.provider.faults().clear();
    let page = site.client().navigate("/").await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("30")));
    site.clock.advance(Duration::from_secs(10));
    assert_eq!(email_at_app(&site.client().browse("/").await).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_key_set_verifies_nothing() {
    let site = Site::start().await;
    site.clock.advance(FORGOTTEN);
    let client = site.client();
    let page = browse_with(&site, &client, |faults| faults.jwks = Some(JwksFault::Empty)).await;
    assert!(page.status >= 400, "{}", page.text());
    assert_no_session(&client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_ten_minutes_and_more_is_bridged_with_what_is_held() {
    let site = Site::start().await;
    assert_eq!(site.client().browse("/").await.status, 200);
    site.clock.advance(Duration::from_secs(23 * 3600));
    let client = site.client();
    let page = browse_with(&site, &client, |faults| {
        faults.discovery = Some(DiscoveryFault::Unavailable);
        faults.jwks = Some(JwksFault::Unavailable);
    })
    .await;
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
}

/// A sign-in that has come as far as the callback, which has not been called.
async fn begun(site: &Site) -> (Client, String) {
    let client = site.client();
    let callback = to_callback(&client, client.navigate("/").await).await;
    (client, callback)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_bad_state_the_token_endpoint_is_never_called() {
    let site = Site::start().await;
    let (_, foreign) = begun(&site).await;
    let foreign_state = crate::support::shown::parameter(&foreign, "state").unwrap();
    let (client, callback) = begun(&site).await;
    let state = crate::support::shown::parameter(&callback, "state").unwrap();
    let with = |new: &str| callback.replace(&format!("state={state}"), new);
    let mut altered = state.clone().into_bytes();
    altered[60] = if altered[60] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    let cookie = client.cookie(LOGIN).unwrap();
    let session_shaped = site.signed_in().await.cookie(SESSION).unwrap();
    let cases = [
        (with("x=1"), ErrorKind::CallbackWithoutState),
        (with("state="), ErrorKind::CallbackWithoutState),
        (with("state=x"), ErrorKind::SignInExpired),
        (with(&format!("state={altered}")), ErrorKind::SignInExpired),
        (with(&format!("state={}", &state[1..])), ErrorKind::SignInExpired),
        (with(&format!("state={state}A")), ErrorKind::SignInExpired),
        (with(&format!("state={cookie}")), ErrorKind::SignInExpired),
        (with(&format!("state={session_shaped}")), ErrorKind::SignInExpired),
        (with(&format!("state={}", "A".repeat(40_000))), ErrorKind::SignInExpired),
        (format!("{callback}&state={state}"), ErrorKind::BadRequest),
        (format!("{callback}&state="), ErrorKind::BadRequest),
        (format!("{callback}&state={foreign_state}"), ErrorKind::BadRequest),
        (format!("{callback}&code=x"), ErrorKind::BadRequest),
        (format!("{callback}&iss=x"), ErrorKind::BadRequest),
        (format!("{callback}&error=x&error=y"), ErrorKind::BadRequest),
    ];
    let before = site.provider.counters().token;
    for (callback, kind) in cases {
        let page = client.navigate(&callback).await;
        assert_error(&page, kind, Language::French).await;
        assert_eq!(site.provider.counters().token, before, "{callback}");
    }
    // The attempt itself was not used up by any of it.
    assert_eq!(email_at_app(&client.browse(&callback).await).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_in_another_browser_signs_nobody_in() {
    let site = Site::start().await;
    let (_, stolen) = begun(&site).await;
    // A browser that never came here.
    let stranger = site.client();
    let page = stranger.navigate(&stolen).await;
    assert_error(&page, ErrorKind::CookieMissing, Language::French).await;
    // One that is on its own way in: it goes its own way, and the code is left alone.
    let (victim, _) = begun(&site).await;
    let answer = victim.navigate(&stolen).await;
    assert!(answer.location().starts_with(site.provider.issuer()), "{}", answer.location());
    assert_no_session(&victim);
    // One that is signed in stays who it is.
    let signed_in = site.signed_in().await;
    let session = signed_in.cookie(SESSION);
    let tokens = site.provider.counters().token;
    assert_eq!(signed_in.navigate(&stolen).await.status, 302);
    assert_eq!((signed_in.cookie(SESSION), site.provider.counters().token), (session, tokens));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_may_take_an_hour_and_no_longer() {
    let site = Site::start().await;
    for (seconds, in_time) in [(3599, true), (3600, false)] {
        let client = site.client();
        let started = client.navigate("/").await;
        site.clock.advance(Duration::from_secs(seconds));
        let before = site.provider.counters().token;
        let page = client.follow(started).await;
        if in_time {
            assert_eq!(page.status, 200, "{}", page.text());
        } else {
            assert_error(&page, ErrorKind::SignInExpired, Language::French).await;
            assert_eq!(site.provider.counters().token, before);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_reads_errors_in_their_language_and_a_program_in_json() {
    let site = Site::start().await;
    let client = site.client();
    let languages = [
        ("fr-FR,fr;q=0.9,en;q=0.8", Language::French),
        ("en-GB,en;q=0.9", Language::English),
        ("de", Language::French),
    ];
    for (header, language) in languages {
        for (query, kind) in [("?x=1", ErrorKind::CallbackWithoutState), ("?state=x", ErrorKind::CookieMissing)] {
            let headers = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("accept-language", header)];
            let page = client.get(&format!("/oauth2/callback{query}"), &headers).await;
            error_id(&page, kind, language);
        }
    }
    let answer = client.fetch("/oauth2/callback").await;
    let said = answer.json();
    assert_eq!((answer.status, said["error"].as_str()), (400, Some("callback_without_state")));
    assert_eq!(said["id"].as_str().unwrap().len(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_gone_is_an_outage_at_every_step() {
    // At discovery.
    let site = Site::start().await;
    let client = site.client();
    site.clock.advance(FORGOTTEN);
    site.provider.stop().await;
    let page = client.navigate("/").await;
    assert_error(&page, ErrorKind::ProviderUnreachable, Language::French).await;

    // At the token endpoint.
    let site = Site::start().await;
    let (client, callback) = begun(&site).await;
    site.provider.stop().await;
    let page = client.navigate(&callback).await;
    assert_error(&page, ErrorKind::ProviderUnreachable, Language::French).await;
    assert_no_session(&client);

    // At userinfo, while we wait for it.
    let userinfo = Wire::scripted(|_| Act::Close(Vec::new())).await;
    let provider = format!(
        "    endpoints: {{authorization: '{{issuer}}/authorize', token: '{{issuer}}/token', jwks_uri: '{{issuer}}/jwks', \
         userinfo: '{}/userinfo', callback_iss: true}}\n",
        userinfo.url()
    );
    let site = Site::with(Setup { provider, ..Setup::default() }).await;
    let (client, callback) = begun(&site).await;
    let page = client.navigate(&callback).await;
    assert_error(&page, ErrorKind::ProviderUnreachable, Language::French).await;
    assert_eq!(userinfo.received().len(), 1);
    assert_no_session(&client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_answer_in_time_is_an_outage() {
    let provider = "    timeout: 300ms\n".to_owned();
    let site = Site::with(Setup { provider, ..Setup::default() }).await;
    let holds: [fn(&mut Faults, Hold); 2] = [
        |faults, hold| faults.token = Some(TokenFault::Held(hold)),
        |faults, hold| faults.userinfo = Some(UserinfoFault::Held(hold)),
    ];
    for set in holds {
        let (client, hold) = (site.client(), Hold::default());
        let page = browse_with(&site, &client, |faults| set(faults, hold.clone())).await;
        assert_error(&page, ErrorKind::ProviderUnreachable, Language::French).await;
        assert_eq!(hold.count(), 1);
        assert_no_session(&client);
        hold.release();
    }
    for set in [
        (|faults, hold| faults.discovery = Some(DiscoveryFault::Held(hold))) as fn(&mut Faults, Hold),
        |faults, hold| faults.jwks = Some(JwksFault::Held(hold)),
    ] {
        site.clock.advance(FORGOTTEN);
        let hold = Hold::default();
        let page = browse_with(&site, &site.client(), |faults| set(faults, hold.clone())).await;
        assert_error(&page, ErrorKind::ProviderUnreachable, Language::French).await;
        hold.release();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_in_that_waits_for_the_provider_holds_up_no_other() {
    let site = Site::start().await;
    let (slow, callback) = begun(&site).await;
    let hold = Hold::default();
    site.provider.faults().set(|faults| faults.token = Some(TokenFault::Held(hold.clone())));
    let (page, ()) = tokio::join!(slow.browse(&callback), async {
        hold.arrived(1).await;
        site.provider.faults().clear();
        for _ in 0..3 {
            let other = site.signed_in().await;
            assert_eq!(email_at_app(&other.fetch("/").await).as_deref(), Some(EMAIL));
        }
        hold.release();
    });
    assert_eq!(email_at_app(&page).as_deref(), Some(EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_the_provider_changed_are_fetched_at_most_once_a_minute() {
    let site = Site::start().await;
    assert_eq!(site.client().browse("/").await.status, 200);
    let fetched = site.provider.counters().jwks;
    site.provider.rotate_keys().unwrap();
    assert_eq!(email_at_app(&site.client().browse("/").await).as_deref(), Some(EMAIL));
    assert_eq!(site.provider.counters().jwks, fetched + 1);

    // Tokens under keys that nobody published make us ask no more often.
    let unknown = |faults: &mut Faults| faults.id_token = Some(IdTokenFault::UnknownKey);
    for _ in 0..3 {
        let page = browse_with(&site, &site.client(), unknown).await;
        assert_error(&page, ErrorKind::SignInNotVerified, Language::French).await;
    }
    assert_eq!(site.provider.counters().jwks, fetched + 1);

    site.provider.rotate_keys().unwrap();
    site.provider.faults().clear();
    assert_eq!(site.client().browse("/").await.status, 403);
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(site.client().browse("/").await.status, 200);
    assert_eq!(site.provider.counters().jwks, fetched + 2);
}
