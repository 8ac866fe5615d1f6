//! Two providers at one of two sites: who chooses where, and that nothing of one site or provider counts at
//! another.

use super::sites::{BACK, Setup, Several, cookies};
use super::support::client::{Answer, Client, NAVIGATION};
use super::support::shown::{SESSION, assert_error, header_at_app, parameter};
use super::support::site::{CLIENT_SECRET, ORIGIN, START, agent};
use super::support::waiting::until;
use http::Method;
use std::sync::Arc;
use tokio::net::TcpListener;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::demo::Provider;
use vestibule::demo::provider::{Client as Registration, ProviderSettings};
use vestibule::pages::{ErrorKind, Language};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

/// `app` with one provider, and `back` with two: ProConnect, and a Keycloak. The same person signs in at
/// `app` and with the Keycloak.
struct Scene {
    sites: Several,
    keycloak: Provider,
}

impl Scene {
    async fn start() -> Self {
        let secret = SecretString::from(CLIENT_SECRET);
        let at = |name: &str| format!("{BACK}/oauth2/{name}");
        let registration = Registration::new("keycloak", secret, &at("callback/keycloak"), &at("signed_out"));
        let settings = ProviderSettings { clients: vec![registration], ..ProviderSettings::default() };
        let clock = Clock::Manual(ManualClock::starting_at(Timestamp::from_unix(START)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keycloak = Provider::start(listener, settings, clock, Arc::new(SystemRandom::new())).unwrap();
        keycloak.sign_in_as(agent());
        let further = format!(
            ", keycloak: {{issuer: \"{}\", client_id: keycloak, client_secret: {{env: CLIENT_SECRET}}, \
             client_authentication: client_secret_post, scopes: [openid, given_name, usual_name, email], \
             label: {{fr: votre compte d’agence, en: your agency account}}, timeout: 3m}}",
            keycloak.issuer()
        );
        let scene = Self { sites: Several::with(Setup { further, ..Setup::default() }).await, keycloak };
        for provider in ["proconnect", "keycloak"] {
            let start = format!("/oauth2/start?provider={provider}");
            let client = scene.sites.client(BACK);
            until(&format!("{provider} answers"), async || client.get(&start, &[]).await.status == 302).await;
        }
        scene
    }

    /// Somebody who has signed in at `back` with that provider.
    async fn signed_in_with(&self, provider: &str) -> Client {
        let client = self.sites.client(BACK);
        let page = client.browse(&format!("/oauth2/start?provider={provider}&rd=/")).await;
        assert_eq!(header_at_app(&page, "x-vestibule-provider").as_deref(), Some(provider));
        client
    }

    /// How many codes each provider has redeemed.
    fn redeemed(&self) -> [u64; 3] {
        [&self.sites.provider, &self.sites.other_provider, &self.keycloak].map(|one| one.counters().token)
    }
}

fn lives(answer: &Answer) -> bool {
    answer.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_site_asks_with_which_and_the_other_does_not() {
    let scene = Scene::start().await;
    let (app, back) = (scene.sites.client(ORIGIN), scene.sites.client(BACK));
    let led = app.navigate("/x").await;
    assert!(led.location().starts_with(scene.sites.provider.issuer()), "{}", led.location());
    assert_eq!(parameter(led.location(), "redirect_uri"), Some(format!("{ORIGIN}/oauth2/callback")));
    assert!(!app.navigate("/oauth2/sign_in").await.text().contains("name=\"provider\""));
    let page = back.navigate("/x").await;
    let text = page.text();
    assert_eq!(page.status, 401, "{text}");
    for words in ["value=\"proconnect\"", "value=\"keycloak\"", "votre compte d’agence"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    for (name, issuer) in [("proconnect", scene.sites.other_provider.issuer()), ("keycloak", scene.keycloak.issuer())] {
        let led = back.submit("/oauth2/start", &format!("rd=%2Fx&provider={name}")).await;
        assert!(led.location().starts_with(issuer), "{name}: {}", led.location());
        let callback = parameter(led.location(), "redirect_uri");
        assert_eq!(callback, Some(format!("{BACK}/oauth2/callback/{name}")));
        assert_eq!(header_at_app(&back.follow(led).await, "x-vestibule-provider").as_deref(), Some(name));
        // A name of the other site's is none here.
        let led = app.navigate(&format!("/oauth2/start?provider={name}&rd=/x")).await;
        assert!(led.location().starts_with(scene.sites.provider.issuer()), "{name}: {}", led.location());
        assert_eq!(app.navigate(&format!("/oauth2/callback/{name}?code=x&state=y")).await.status, 404);
    }
    assert_eq!(back.navigate("/oauth2/callback?code=x&state=y").await.status, 404);
    // The app of one site hears no provider's name, that of the other does.
    let of_app = scene.sites.signed_in(ORIGIN).await.fetch("/").await;
    assert_eq!(header_at_app(&of_app, "x-vestibule-provider"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_at_its_own_site_and_its_own_callback_alone() {
    let scene = Scene::start().await;
    let before = scene.redeemed();
    // Each way begins in a browser of its own, and its answer is brought to every other callback there is.
    let ways = [
        (ORIGIN, "/oauth2/start?rd=/x", "app.example", format!("{ORIGIN}/oauth2/callback")),
        (BACK, "/oauth2/start?provider=proconnect&rd=/x", "back.example", format!("{BACK}/oauth2/callback/proconnect")),
        (BACK, "/oauth2/start?provider=keycloak&rd=/x", "back.example", format!("{BACK}/oauth2/callback/keycloak")),
    ];
    for (origin, start, host, own) in &ways {
        let client = scene.sites.client(origin);
        let led = client.navigate(start).await;
        let answer = client.navigate(led.location()).await;
        let (address, query) = answer.location().split_once('?').unwrap();
        assert_eq!(address, own);
        let login = cookies(&client, host);
        for (to, _, _, callback) in ways.iter().filter(|(_, _, _, callback)| callback != own) {
            let headers = [&NAVIGATION[..], &[("cookie", &*login)]].concat();
            let refused = scene.sites.client(to).get(&format!("{callback}?{query}"), &headers).await;
            let kind = if to == origin { ErrorKind::SignInNotVerified } else { ErrorKind::SignInExpired };
            assert_error(&refused, kind, Language::French).await;
        }
        assert_eq!(scene.redeemed(), before, "{start}");
    }
    for (origin, start, ..) in &ways {
        let client = scene.sites.client(origin);
        assert!(lives(&client.browse(start).await));
    }
    assert_eq!(scene.redeemed(), before.map(|count| count + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_out_does_so_at_their_own_provider_and_of_their_own_site() {
    let scene = Scene::start().await;
    let app = scene.sites.signed_in(ORIGIN).await;
    let of_two = scene.signed_in_with("proconnect").await;
    let of_three = scene.signed_in_with("keycloak").await;
    // No session is one at the other site, of whichever provider it is.
    for client in [&of_two, &of_three] {
        assert_eq!(scene.sites.at(ORIGIN, &cookies(client, "back.example")).await, 401);
    }
    assert_eq!(scene.sites.at(BACK, &cookies(&app, "app.example")).await, 401);

    let out = of_three.submit("/oauth2/sign_out", "").await;
    assert!(out.location().starts_with(&format!("{}/session/end?", scene.keycloak.issuer())), "{}", out.location());
    assert_eq!(parameter(out.location(), "post_logout_redirect_uri"), Some(format!("{BACK}/oauth2/signed_out")));
    let page = of_three.follow(out).await;
    assert!(page.text().contains("Déconnexion effectuée"), "{}", page.text());
    assert_eq!(of_three.cookie(SESSION), None);
    assert!(lives(&of_two.fetch("/").await) && lives(&app.fetch("/").await));

    // A provider ends the sessions of its own people at the site that it told, and no other's.
    scene.keycloak.sign_in_as(agent());
    let of_three = scene.signed_in_with("keycloak").await;
    let sub = agent().sub;
    let tell = async |origin: &str, token: String| {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("logout_token={token}").into_bytes();
        scene.sites.client(origin).send(Method::POST, "/oauth2/backchannel_logout", &form, body).await.status
    };
    let token = || scene.keycloak.logout_token("keycloak", Some(&sub), None).unwrap();
    assert_eq!(tell(ORIGIN, token()).await, 400, "no provider of that site");
    assert!(lives(&of_three.fetch("/").await) && lives(&app.fetch("/").await));
    assert_eq!(tell(BACK, token()).await, 200);
    assert!(!lives(&of_three.fetch("/").await));
    assert!(lives(&of_two.fetch("/").await) && lives(&app.fetch("/").await));
}
