//! Several providers at one site: who goes where, who passes where, and that nothing of one counts at
//! another.

use super::support::client::{Answer, Client, NAVIGATION};
use super::support::log_watch::access_line_with;
use super::support::shown::{SESSION, assert_error, header_at_app, parameter};
use super::support::site::{ADMIN_TOKEN, CLIENT_SECRET, ORIGIN, START, Setup, Site, agent};
use super::support::waiting::until;
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::demo::Provider;
use vestibule::demo::provider::{Agent, Client as Registration, Down, ProviderSettings};
use vestibule::pages::{ErrorKind, Language};
use vestibule::random::SystemRandom;
use vestibule::secret::SecretString;

const ROUTES: &str = "[{path: /public/**, access: public, upstream: app}, \
                       {path: /agents/**, provider: keycloak, upstream: app}, \
                       {path: /state/**, provider: proconnect, upstream: app}, \
                       {path: /both/**, provider: [proconnect, keycloak], require: {provider: keycloak}, upstream: app}, \
                       {path: /host/**, host: agents.example, provider: keycloak, upstream: app}, \
                       {path: /**, upstream: app}]";

/// A site with ProConnect, and a Keycloak for the agents of one agency.
struct Two {
    site: Site,
    keycloak: Provider,
    keycloak_clock: ManualClock,
}

/// A provider beside that of the site.
async fn provider(name: &str) -> (Provider, ManualClock) {
    let clock = ManualClock::starting_at(Timestamp::from_unix(START));
    let callback = format!("{ORIGIN}/oauth2/callback/{name}");
    let secret = SecretString::from(CLIENT_SECRET);
    let registration = Registration::new(name, secret, &callback, &format!("{ORIGIN}/oauth2/signed_out"));
    let settings = ProviderSettings { clients: vec![registration], ..ProviderSettings::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let random = Arc::new(SystemRandom::new());
    let provider = Provider::start(listener, settings, Clock::Manual(clock.clone()), random).unwrap();
    provider.sign_in_as(agent());
    (provider, clock)
}

/// A further provider, as it is written.
fn written(name: &str, provider: &Provider, more: &str) -> String {
    format!(
        "  {name}:\n    issuer: {}\n    client_id: {name}\n    client_secret: {{env: CLIENT_SECRET}}\n    \
         client_authentication: client_secret_post\n    scopes: [openid, given_name, usual_name, email]\n    \
         timeout: 3m\n{more}",
        provider.issuer()
    )
}

fn register(client: &mut Registration) {
    client.redirect_uris.push(format!("{ORIGIN}/oauth2/callback/proconnect"));
}

const KEYCLOAK: &str = "    label: {fr: votre compte d’agence, en: your agency account}\n    \
                        email_domains: [agence.example, .agence.gouv.fr]\n";

impl Two {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With further top-level keys.
    async fn with(more: &str) -> Self {
        Self::of(Setup { more: more.to_owned(), routes: ROUTES.to_owned(), ..Setup::default() }).await
    }

    async fn of(setup: Setup) -> Self {
        let (keycloak, keycloak_clock) = provider("keycloak").await;
        let further = format!("    timeout: 3m\n{}", written("keycloak", &keycloak, KEYCLOAK));
        let site = Site::with(Setup { provider: further, register, ..setup }).await;
        let two = Self { site, keycloak, keycloak_clock };
        for name in ["proconnect", "keycloak"] {
            ready(&two.site, name).await;
        }
        two
    }

    fn advance(&self, seconds: u64) {
        self.site.clock.advance(Duration::from_secs(seconds));
        self.keycloak_clock.advance(Duration::from_secs(seconds));
    }

    /// A client that has signed in with that provider.
    async fn signed_in_with(&self, name: &str) -> Client {
        let client = self.site.client();
        let page = client.browse(&format!("/oauth2/start?provider={name}&rd=/")).await;
        assert_eq!(user(&page), format!("{name}:{}", agent().sub));
        client
    }
}

/// Waits until people can be led to that provider.
async fn ready(site: &Site, name: &str) {
    let client = site.client();
    let start = format!("/oauth2/start?provider={name}");
    until(&format!("{name} answers"), async || client.get(&start, &[]).await.status == 302).await;
}

/// Who reached the app.
fn user(answer: &Answer) -> String {
    header_at_app(answer, "x-auth-request-user").unwrap_or_default()
}

fn leads_to(answer: &Answer, issuer: &str) -> bool {
    // A form is answered with 303.
    [302, 303].contains(&answer.status) && answer.location().starts_with(issuer)
}

async fn lives(client: &Client) -> bool {
    client.fetch("/").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_leads_to_its_own_provider_and_whoever_has_another_session_is_told_so() {
    let two = Two::start().await;
    let (proconnect, keycloak) = (two.site.provider.issuer(), two.keycloak.issuer());
    let client = two.site.client();
    for (path, issuer, name) in [("/agents/x?a=b", keycloak, "keycloak"), ("/state/x", proconnect, "proconnect")] {
        let led = client.navigate(path).await;
        assert!(leads_to(&led, issuer), "{path}: {}", led.location());
        let callback = format!("{ORIGIN}/oauth2/callback/{name}");
        assert_eq!(parameter(led.location(), "redirect_uri").as_deref(), Some(&*callback));
        // What apps and front proxies link to leads there as well.
        let encoded: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        assert!(leads_to(&client.navigate(&format!("/oauth2/start?rd={encoded}")).await, issuer), "{path}");
        let page = client.navigate(&format!("/oauth2/sign_in?rd={encoded}")).await;
        assert_eq!(page.text().matches("name=\"provider\"").count(), 1, "{}", page.text());
        assert!(page.text().contains(&format!("value=\"{name}\"")));
    }

    let agent_s = client.browse("/agents/x?a=b").await;
    let sub = agent().sub;
    assert_eq!(user(&agent_s), format!("keycloak:{sub}"));
    assert_eq!(header_at_app(&agent_s, "x-vestibule-provider").as_deref(), Some("keycloak"));
    let forged = [("accept", "application/json"), ("x-vestibule-provider", "proconnect")];
    let forged = client.get("/agents/x", &forged).await;
    assert_eq!(header_at_app(&forged, "x-vestibule-provider").as_deref(), Some("keycloak"));

    // Never a loop, never a silent switch: a page that says what is so, and offers the way.
    let told = client.navigate("/state/x?c=d").await;
    let body = told.text();
    assert_eq!((told.status, told.set_cookies().len()), (403, 0));
    for words in [
        "Un autre compte est nécessaire",
        "votre compte d’agence",
        "value=\"/state/x?c=d\"",
        "value=\"proconnect\"",
        "S'identifier avec <strong>ProConnect</strong>",
    ] {
        assert!(body.contains(words), "{words}: {body}");
    }
    assert!(!body.contains("value=\"keycloak\""));
    let id = body.split_once("<code>").unwrap().1.split_once("</code>").unwrap().0;
    let line = access_line_with(id).await;
    assert_eq!(line["reason"], "the route is for people of proconnect, and the session is of keycloak");
    let program = client.fetch("/state/x").await;
    assert_eq!((program.status, program.json()["error"].clone()), (403, "other_provider".into()));
    assert_eq!(program.json()["provider"], "keycloak");
    assert_eq!(program.json()["providers"][0]["sign_in"], format!("{ORIGIN}/oauth2/start?provider=proconnect"));
    let form = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(client.send(Method::POST, "/state/x", &form, b"a=b".to_vec()).await.status, 403);
    assert_eq!(client.fetch("/agents/x").await.status, 200, "the session goes on");

    let switched = client.submit("/oauth2/start", "rd=%2Fstate%2Fx%3Fc%3Dd&provider=proconnect").await;
    assert!(leads_to(&switched, proconnect));
    let there = client.follow(switched).await;
    assert_eq!(user(&there), format!("proconnect:{sub}"));
    assert_eq!(there.json()["target"], "/state/x?c=d");
    assert_eq!(client.fetch("/agents/x").await.status, 403);
    // A condition of a rule says it too, behind a route that takes both.
    assert_eq!(client.fetch("/both/x").await.json()["error"], "not_admitted");
    let agent_s = two.signed_in_with("keycloak").await;
    assert_eq!(agent_s.fetch("/both/x").await.status, 200);
    // By host: agents.example is for the agency.
    let by_host = Client::at(two.site.address, "https://agents.example");
    assert!(leads_to(&by_host.navigate("/host/x").await, keycloak));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_choose_by_a_button_or_by_their_address_without_a_script() {
    let two = Two::start().await;
    let (proconnect, keycloak) = (two.site.provider.issuer(), two.keycloak.issuer());
    let client = two.site.client();
    let page = client.navigate("/some/page?a=b").await;
    let body = page.text();
    assert_eq!(page.status, 401, "{body}");
    for words in [
        "value=\"/some/page?a=b\"",
        "name=\"email\"",
        "value=\"proconnect\"",
        "S'identifier avec <strong>ProConnect</strong>",
        "Se connecter avec votre compte d’agence",
        "Votre adresse électronique",
    ] {
        assert!(body.contains(words), "{words}: {body}");
    }
    let english = client.get("/some/page", &[&NAVIGATION[..], &[("accept-language", "en")]].concat()).await;
    assert!(english.text().contains("Sign in with your agency account"));
    assert_eq!(client.fetch("/some/page").await.json()["error"], "not_signed_in");

    for (form, issuer) in [
        ("rd=%2Fx&email=&provider=proconnect", proconnect),
        ("rd=%2Fx&email=a%40agence.example&provider=proconnect", proconnect),
        ("rd=%2Fx&provider=keycloak", keycloak),
        ("rd=%2Fx&email=a%40agence.example&by=email", keycloak),
        ("rd=%2Fx&email=+A%40Sub.AGENCE.gouv.fr+&by=email", keycloak),
        ("rd=%2Fx&login_hint=a%40agence.example", keycloak),
    ] {
        let led = client.submit("/oauth2/start", form).await;
        assert!(leads_to(&led, issuer), "{form}: {} {}", led.status, led.text());
        let hint = parameter(led.location(), "login_hint");
        assert_eq!(hint.is_some(), form.contains("by=email") || form.contains("login_hint"), "{form}");
    }
    for (typed, shown) in [
        ("a%40elsewhere.example", "value=\"a@elsewhere.example\""),
        ("a%40evil.example%40agence.example", "value=\"a@evil.example@agence.example\""),
        ("a%40notagence.example", "value=\"a@notagence.example\""),
        ("%22%3E%3Cscript%3E%40x", "value=\"&#34;&#62;&#60;script&#62;@x\""),
        ("", "value=\"\""),
    ] {
        let page = client.submit("/oauth2/start", &format!("rd=%2Fx&email={typed}&by=email")).await;
        let body = page.text();
        assert_eq!(page.status, 400, "{typed}");
        assert!(body.contains("Aucun service d’identification n’est prévu pour cette adresse."), "{body}");
        assert!(body.contains(shown) && body.contains("value=\"/x\""), "{typed}: {body}");
    }
    // What is not known, or not of the route, chooses nothing.
    for form in
        ["rd=%2Fx&provider=nobody", "rd=%2Fstate%2Fx&provider=keycloak", "rd=%2Fx", "rd=%2Fx&provider=a&provider=b"]
    {
        let page = client.submit("/oauth2/start", form).await;
        assert!(page.status == 401 && page.text().contains("value=\"proconnect\""), "{form}: {}", page.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_on_another_site_makes_nobody_somebody_else() {
    let two = Two::start().await;
    let client = two.signed_in_with("keycloak").await;
    let headers =
        |site: &'static str| [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", site)];
    for site in ["cross-site", "same-site", "none"] {
        let asked = client.get("/oauth2/start?provider=proconnect&rd=/x", &headers(site)).await;
        let body = asked.text();
        assert_eq!(asked.status, 200, "{site}: {body}");
        assert!(body.contains("Changer de compte") && body.contains("value=\"proconnect\""), "{body}");
        assert!(asked.set_cookies().is_empty());
    }
    assert_eq!(user(&client.fetch("/").await), format!("keycloak:{}", agent().sub));
    // Nor does what a page of the site itself fetches without anybody having pressed anything.
    let of_ours = [("accept", "text/html"), ("sec-fetch-site", "same-origin")];
    let unmeant: [&[(&str, &str)]; 5] = [
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-purpose", "prefetch;prerender")],
        &[("sec-fetch-mode", "navigate"), ("purpose", "prefetch")],
        &[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch"), ("origin", ORIGIN)],
    ];
    for more in unmeant {
        let asked = client.get("/oauth2/start?provider=proconnect&rd=/x", &[&of_ours[..], more].concat()).await;
        assert_eq!((asked.status, asked.header("location")), (200, None), "{more:?}: {}", asked.text());
        assert!(asked.set_cookies().is_empty() && asked.text().contains("Changer de compte"), "{more:?}");
    }
    assert_eq!(user(&client.fetch("/").await), format!("keycloak:{}", agent().sub));
    // To the provider whose session it is nothing changes for anybody.
    let same = client.get("/oauth2/start?provider=keycloak&rd=/x", &headers("cross-site")).await;
    assert!(leads_to(&same, two.keycloak.issuer()));
    let ours = client.get("/oauth2/start?provider=proconnect&rd=/x", &headers("same-origin")).await;
    assert!(leads_to(&ours, two.site.provider.issuer()));
}

/// RFC 9700 §4.4, RFC 9207 §2.4: nothing of an answer that is not this provider's is redeemed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_one_provider_counts_for_nothing_at_the_callback_of_another() {
    let two = Two::start().await;
    let (honest, evil) = (&two.site.provider, &two.keycloak);
    let redeemed = || (honest.counters().token, evil.counters().token);
    let before = redeemed();
    let client = two.site.client();
    let begin = async |name: &str| {
        let led = client.navigate(&format!("/oauth2/start?provider={name}&rd=/x")).await;
        led.location().to_owned()
    };
    let with_state = |location: &str, state: &str| {
        let mut url = url::Url::parse(location).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(name, _)| name != "state").collect();
        url.query_pairs_mut().clear().extend_pairs(pairs).append_pair("state", state);
        url.to_string()
    };

    // The person begins at the evil provider, which leads on to the honest one, with our `state`: its
    // answer comes to the honest one's callback, and the attempt is not for it.
    let at_evil = begin("keycloak").await;
    let state = parameter(&at_evil, "state").unwrap();
    let at_honest = with_state(&begin("proconnect").await, &state);
    let answer = client.navigate(&at_honest).await;
    assert!(answer.location().starts_with(&format!("{ORIGIN}/oauth2/callback/proconnect?")), "{}", answer.location());
    let code = parameter(answer.location(), "code").unwrap();
    let refused = client.navigate(answer.location()).await;
    let reason = assert_error(&refused, ErrorKind::SignInNotVerified, Language::French).await;
    assert_eq!(reason, "the state was made for another provider than the one whose callback this is");
    assert_eq!(redeemed(), before, "no code was redeemed anywhere");

    // The evil one hands the honest one's code in at its own callback, as its own answer: its token endpoint
    // would be told. `iss` of the honest one, of nobody, and none where it was promised are refused.
    for iss in [Some(honest.issuer()), Some("https://nobody.example"), None] {
        let iss: String = iss.map(|iss| format!("&iss={iss}")).unwrap_or_default();
        let swapped = client.navigate(&format!("/oauth2/callback/keycloak?code={code}&state={state}{iss}")).await;
        let reason = assert_error(&swapped, ErrorKind::SignInNotVerified, Language::French).await;
        assert_eq!(reason, "the callback's iss is not the provider's issuer");
        assert_eq!(redeemed(), before);
    }
    // Nor is there a callback of neither, or of both.
    for path in ["/oauth2/callback", "/oauth2/callback/nobody", "/oauth2/callback/keycloak/", "/oauth2/callback/"] {
        assert_eq!(client.navigate(&format!("{path}?code={code}&state={state}")).await.status, 404, "{path}");
    }
    assert!(client.cookie(SESSION).is_none());
    // None of it has used the person's own attempt up.
    let own = client.browse(&at_evil).await;
    assert_eq!(user(&own), format!("keycloak:{}", agent().sub));
    assert_eq!(redeemed(), (before.0, before.1 + 1));
}

/// RFC 9700 §4.4.1: a provider that announces another one's token endpoint gets our secret for itself
/// alone, and nothing that the other one takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_announces_another_one_s_token_endpoint_gets_nothing_by_it() {
    let (evil, _) = provider("evil").await;
    let (honest, honest_clock) = provider("keycloak").await;
    let base = honest.issuer();
    let evil_s = format!(
        "    endpoints:\n      authorization: {evil}/authorize\n      token: {base}/token\n      jwks_uri: {evil}/jwks\n      \
         callback_iss: true\n",
        evil = evil.issuer()
    );
    let further = format!("    timeout: 3m\n{}{}", written("keycloak", &honest, ""), written("evil", &evil, &evil_s));
    let site = Site::with(Setup { provider: further, register, ..Setup::default() }).await;
    let client = site.client();
    for name in ["keycloak", "evil"] {
        ready(&site, name).await;
    }
    let at_evil = client.navigate("/oauth2/start?provider=evil&rd=/x").await.location().to_owned();
    let at_honest = client.navigate("/oauth2/start?provider=keycloak&rd=/x").await.location().to_owned();
    // A code that the honest one has given to this very browser.
    let answer = client.navigate(&at_honest).await;
    let code = parameter(answer.location(), "code").unwrap();
    let state = parameter(&at_evil, "state").unwrap();
    let iss: String = url::form_urlencoded::byte_serialize(evil.issuer().as_bytes()).collect();
    let stolen = client.navigate(&format!("/oauth2/callback/evil?code={code}&state={state}&iss={iss}")).await;
    assert!(stolen.status >= 400, "{}", stolen.text());
    assert!(client.cookie(SESSION).is_none());
    // It was asked in the evil one's name, with the verifier of the evil one's attempt; and the code is good
    // still where it belongs.
    let arrived = client.follow(answer).await;
    assert_eq!(user(&arrived), format!("keycloak:{}", agent().sub));
    drop(honest_clock);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_keeps_of_the_same_subject_at_two_providers_is_of_two_people() {
    let two = Two::with("session: {data: {of: person}, keys: [{id: k1, secret: {env: SESSION_KEY}}]}\n").await;
    let data = "/oauth2/session/data";
    let of_one = two.signed_in_with("proconnect").await;
    let of_two = two.signed_in_with("keycloak").await;
    let put = async |client: &Client, body: &str| {
        let headers = [("origin", ORIGIN), ("content-type", "application/json"), ("if-none-match", "*")];
        client.send(Method::PUT, data, &headers, body.as_bytes().to_vec()).await.status
    };
    assert_eq!((put(&of_one, "{\"one\":1}").await, of_two.fetch(data).await.status), (201, 404));
    assert_eq!(put(&of_two, "{\"two\":2}").await, 201);
    for (client, kept) in [(&of_one, "{\"one\":1}"), (&of_two, "{\"two\":2}")] {
        assert_eq!(client.fetch(data).await.text(), kept);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_subject_of_two_providers_is_two_people() {
    let two = Two::with("admin: {token: {env: ADMIN_TOKEN}}\n").await;
    let sub = agent().sub;
    let of_one = two.signed_in_with("proconnect").await;
    let of_two = two.signed_in_with("keycloak").await;
    let userinfo = of_two.fetch("/oauth2/userinfo").await.json();
    assert_eq!((&userinfo["user"], &userinfo["provider"]), (&format!("keycloak:{sub}").into(), &"keycloak".into()));

    let admin = Client::new(two.site.admin);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let token = [("authorization", bearer.as_str())];
    let listed = async |query: &str| {
        let answer = admin.get(&format!("http://{}/sessions?{query}", two.site.admin), &token).await.json();
        let mut of: Vec<String> = answer["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["provider"].as_str().unwrap().to_owned())
            .collect();
        of.sort();
        of
    };
    until("both are listed", async || listed("").await.len() == 2).await;
    assert_eq!(listed(&format!("sub={sub}")).await, ["keycloak", "proconnect"]);
    assert_eq!(listed(&format!("sub={sub}&provider=keycloak")).await, ["keycloak"]);
    // A live session is explained as one of its own provider.
    for name in ["keycloak", "proconnect"] {
        let all = admin.get(&format!("http://{}/sessions?provider={name}", two.site.admin), &token).await.json();
        let id = all["sessions"][0]["id"].as_str().unwrap();
        for (path, of) in [("/agents/x", "keycloak"), ("/state/x", "proconnect")] {
            let asked = serde_json::json!({ "method": "GET", "url": path, "session": id }).to_string().into_bytes();
            let headers = [token[0], ("content-type", "application/json")];
            let told = admin.send(Method::POST, &format!("http://{}/explain", two.site.admin), &headers, asked).await;
            let expected = if of == name { "forward" } else { "other_provider" };
            assert_eq!(told.json()["decision"], expected, "{}", told.text());
            assert!(told.text().contains(&format!("as signed in with {name}")), "{}", told.text());
        }
    }
    // The person's own page has theirs alone.
    let own = of_one.navigate("/oauth2/sessions").await.text();
    assert_eq!(own.matches("</li>").count(), 1, "{own}");

    // Whoever ends a person says whose.
    let people = format!("http://{}/people/{sub}/sessions", two.site.admin);
    let unsaid = admin.send(Method::DELETE, &people, &token, Vec::new()).await;
    assert_eq!(unsaid.status, 400, "{}", unsaid.text());
    assert!(unsaid.text().contains("keycloak, proconnect"), "{}", unsaid.text());
    assert!(lives(&of_one).await && lives(&of_two).await);
    two.advance(2);
    let ended = admin.send(Method::DELETE, &format!("{people}?provider=keycloak"), &token, Vec::new()).await;
    assert_eq!((ended.status, ended.json()["ended"].clone()), (200, 1.into()));
    assert!(lives(&of_one).await && !lives(&of_two).await);

    // A logout token ends the sessions of whose keys it verifies with, whatever it says besides.
    two.advance(2);
    let of_two = two.signed_in_with("keycloak").await;
    two.advance(2);
    let post = async |token: String| {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("logout_token={token}").into_bytes();
        two.site.client().send(Method::POST, "/oauth2/backchannel_logout", &form, body).await.status
    };
    let of_keycloak = two.keycloak.logout_token("keycloak", Some(&sub), None).unwrap();
    assert_eq!(post(of_keycloak.clone()).await, 200);
    assert!(lives(&of_one).await && !lives(&of_two).await);
    assert_eq!(post(of_keycloak).await, 400, "it counts once");
    let of_two = two.signed_in_with("keycloak").await;
    two.advance(2);
    assert_eq!(post(two.site.provider.logout_token("app", Some(&sub), None).unwrap()).await, 200);
    assert!(!lives(&of_one).await && lives(&of_two).await);

    // A frame of one provider's page ends nothing of another's.
    let of_one = two.signed_in_with("proconnect").await;
    let sid = two.keycloak.sessions_of(&sub).pop().unwrap();
    for (issuer, still) in [(two.site.provider.issuer(), true), (two.keycloak.issuer(), false)] {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("iss", issuer)
            .append_pair("sid", &sid)
            .finish();
        let frame = two.site.client().get(&format!("/oauth2/frontchannel_logout?{query}"), &[]).await;
        assert_eq!(frame.status, 200);
        assert_eq!((lives(&of_two).await, lives(&of_one).await), (still, true), "{issuer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_renewed_and_signed_out_at_its_own_provider_and_one_that_is_down_stops_no_other() {
    let two = Two::with("session: {keys: [{id: k1, secret: {env: SESSION_KEY}}], idle: 4h}\n").await;
    let (proconnect, keycloak) = (&two.site.provider, &two.keycloak);
    let of_one = two.signed_in_with("proconnect").await;
    let of_two = two.signed_in_with("keycloak").await;
    two.advance(3590);
    assert!(lives(&of_two).await);
    assert_eq!((proconnect.counters().refreshed, keycloak.counters().refreshed), (0, 1));
    assert!(lives(&of_one).await);
    assert_eq!((proconnect.counters().refreshed, keycloak.counters().refreshed), (1, 1));

    // One is down: its sessions go on for a while, and nobody else hears of it.
    keycloak.faults().set(|faults| faults.down = Some(Down::Unavailable));
    two.advance(3590);
    assert!(lives(&of_two).await && lives(&of_one).await);
    assert_eq!((proconnect.counters().refreshed, keycloak.counters().refreshed), (2, 1));
    two.signed_in_with("proconnect").await;
    let admin = Client::new(two.site.admin);
    assert_eq!(admin.get(&format!("http://{}/readyz", two.site.admin), &[]).await.status, 200);
    let metrics = admin.get(&format!("http://{}/metrics", two.site.admin), &[]).await.text();
    for name in ["keycloak", "proconnect"] {
        assert!(metrics.contains(&format!("vestibule_provider_ready{{provider=\"{name}\",site=\"\"}} 1")), "{metrics}");
    }
    keycloak.faults().clear();
    two.advance(11);
    assert!(lives(&of_two).await);

    let before = (proconnect.counters().revocation, keycloak.counters().revocation);
    let out = of_two.submit("/oauth2/sign_out", "").await;
    assert!(leads_to(&out, keycloak.issuer()), "{}", out.location());
    assert_eq!(parameter(out.location(), "client_id").unwrap_or("keycloak".to_owned()), "keycloak");
    let page = of_two.follow(out).await;
    assert!(page.status == 200 && page.text().contains("Déconnexion effectuée"), "{}", page.text());
    until("the tokens are given back", async || keycloak.counters().revocation > before.1).await;
    assert_eq!(proconnect.counters().revocation, before.0, "no provider gets another one's token");
    assert!(lives(&of_one).await);
    // Whose session it was is known to nobody: none is told.
    let nobody = two.site.client().submit("/oauth2/sign_out", "").await;
    assert!(nobody.location().starts_with(&format!("{ORIGIN}/oauth2/signed_out")), "{}", nobody.location());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_provider_left_the_configuration_is_over_and_the_others_go_on() {
    let two = Two::of(Setup { provider: String::new(), ..Setup::default() }).await;
    let (third, _) = provider("third").await;
    let of_one = two.signed_in_with("proconnect").await;
    let of_two = two.signed_in_with("keycloak").await;
    let further = format!("    timeout: 3m\n{}", written("third", &third, ""));
    let issuer = Some(two.site.provider.issuer().to_owned());
    let later = Site::with(Setup { provider: further, issuer, register, ..Setup::default() }).await;
    let moved = |client: &Client| {
        let moved = later.client();
        moved.set_cookie(SESSION, &client.cookie(SESSION).unwrap());
        moved
    };
    assert_eq!(moved(&of_one).fetch("/").await.status, 200);
    let gone = moved(&of_two);
    let page = gone.navigate("/gone/here").await;
    assert_eq!(page.status, 401, "{}", page.text());
    assert!(page.text().contains("value=\"third\"") && !page.text().contains("value=\"keycloak\""));
    let line = access_line_with("/gone/here").await;
    let reason = "the session's provider is not in the configuration any more, or not as the same registration";
    assert_eq!(line["reason"], reason, "{line}");
    let asked = two.keycloak.counters();
    let out = gone.submit("/oauth2/sign_out", "").await;
    assert!(out.location().starts_with(&format!("{ORIGIN}/oauth2/signed_out")), "{}", out.location());
    assert_eq!(two.keycloak.counters(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_apps_with_tokens_keep_to_their_own_provider() {
    let more = "sign_in: {entry: silent}\n\
                token_endpoints: {callback: /public/back, provider: keycloak}\n";
    let two = Two::with(more).await;
    let (proconnect, keycloak) = (two.site.provider.issuer(), two.keycloak.issuer());
    let stranger = two.site.client();
    assert_eq!(stranger.navigate("/x").await.status, 401, "nobody guesses");
    let silent = stranger.navigate("/agents/x").await;
    assert!(leads_to(&silent, keycloak));
    assert_eq!(parameter(silent.location(), "prompt").as_deref(), Some("none"));
    for (name, issuer) in [("keycloak", keycloak), ("proconnect", proconnect)] {
        let client = two.signed_in_with(name).await;
        two.advance(3601);
        let silent = client.navigate("/x").await;
        assert!(leads_to(&silent, issuer), "{name}");
        assert_eq!(parameter(silent.location(), "prompt").as_deref(), Some("none"));
    }

    let app = two.site.client();
    let invited = app.fetch("/oauth2/authorize").await.json();
    let (address, state) = (invited["authorize_url"].as_str().unwrap(), invited["state"].as_str().unwrap());
    assert!(address.starts_with(keycloak), "{address}");
    // Its state is nothing to a callback of ours.
    for name in ["keycloak", "proconnect"] {
        let refused = app.navigate(&format!("/oauth2/callback/{name}?code=x&state={state}")).await;
        assert_error(&refused, ErrorKind::SignInExpired, Language::French).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_is_answered_by_the_same_rules() {
    let more = "trusted_proxies: [127.0.0.1]\nforward_auth: {from: nginx, not_signed_in: sign-in}\n";
    let routes = "[{path: /agents/**, provider: keycloak}, {path: /**}]".to_owned();
    let two = Two::of(Setup { more: more.to_owned(), routes, ..Setup::default() }).await;
    let ask = async |client: &Client, path: &str, program: bool| {
        let url = format!("{ORIGIN}{path}");
        let mut headers = vec![("x-original-url", url.as_str()), ("x-original-method", "GET")];
        headers.extend(if program { &[("accept", "application/json")][..] } else { &NAVIGATION[..] });
        client.get("/oauth2/auth", &headers).await
    };
    let signed_in_with = async |name: &str| {
        let client = two.site.client();
        client.browse(&format!("/oauth2/start?provider={name}&rd=/x")).await;
        client
    };
    let stranger = two.site.client();
    assert!(leads_to(&ask(&stranger, "/agents/x", false).await, two.keycloak.issuer()));
    assert_eq!(ask(&stranger, "/x", false).await.status, 401);
    let of_one = signed_in_with("proconnect").await;
    let granted = ask(&of_one, "/x", true).await;
    assert_eq!(granted.status, 202);
    assert_eq!(granted.header("x-auth-request-user"), Some(&*format!("proconnect:{}", agent().sub)));
    assert_eq!(granted.header("x-vestibule-provider"), Some("proconnect"));
    assert_eq!(ask(&of_one, "/agents/x", true).await.json()["error"], "other_provider");
    let page = ask(&of_one, "/agents/x", false).await;
    assert!(page.status == 403 && page.text().contains("value=\"/agents/x\""), "{}", page.text());
    assert_eq!(ask(&signed_in_with("keycloak").await, "/agents/x", true).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_at_another_provider_s_domain_is_not_believed() {
    let two = Two::start().await;
    let mut of_agency = Agent::new("Marie", "Agent", "marie@agence.example");
    of_agency.sub = agent().sub;
    two.site.provider.sign_in_as(of_agency.clone());
    two.keycloak.sign_in_as(of_agency);
    for (name, expected) in [("keycloak", Some("marie@agence.example")), ("proconnect", None)] {
        let client = two.signed_in_with(name).await;
        assert_eq!(header_at_app(&client.fetch("/").await, "x-auth-request-email").as_deref(), expected, "{name}");
    }
}

/// The page of a form is ours, whatever route lies over everything: it offers the one with which it was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_one_provider_s_person_leads_back_to_that_one() {
    let routes = "[{path: /, upstream: app}, {path: /state/**, provider: proconnect, upstream: app}, \
         {path: /**, provider: keycloak, upstream: app}]";
    let two = Two::of(Setup { routes: routes.to_owned(), ..Setup::default() }).await;
    let client = two.site.client();
    assert_eq!(user(&client.browse("/state/x").await), format!("proconnect:{}", agent().sub));
    two.advance(3601);
    let headers = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("origin", ORIGIN),
        ("referer", "https://app.example/state/edit"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let kept = client.send(Method::POST, "/state/save", &headers, b"title=Hiver".to_vec()).await;
    let text = kept.text();
    assert!(kept.status == 401 && text.contains("value=\"proconnect\""), "{text}");
    assert!(!text.contains("keycloak") && !text.contains("agence"), "{text}");
    let rd = text.split("name=\"rd\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let rd: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
    let led = client.submit("/oauth2/start", &format!("rd={rd}&provider=proconnect")).await;
    assert!(leads_to(&led, two.site.provider.issuer()), "{} {}", led.status, led.text());
    let offered = client.follow(led).await;
    assert!(offered.status == 200 && offered.text().contains("value=\"Hiver\""), "{}", offered.text());
}
