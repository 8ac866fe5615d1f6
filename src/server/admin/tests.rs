//! What the admin listener answers, against its description; and what it does in an outage.

use super::*;
use crate::clock::ManualClock;
use crate::gate::headers::Headers;
use crate::gate::route::{Access as RouteAccess, PathPattern, Route, Table};
use crate::gate::rules::{Condition, Listed, Rule, Rules, Subject, Test};
use crate::gate::{self, Gate};
use crate::oidc::Identity;
use crate::pages::{Branding, ProviderKind};
use crate::random::SystemRandom;
use crate::seal::{KeyMaterial, KeyRing};
use crate::seats;
use crate::server::explain::ExplainedSite;
use crate::session::fixture::{self, START, tokens};
use crate::session::{Place, SessionId, Settings, SupposedSessions};
use crate::store::OnDown;
use crate::store::fixture::Shaky;
use crate::web::public_url::PublicUrl;
use crate::web::return_to::Prefix;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroizing;

pub(super) const TOKEN: &str = "the-admin-token-of-these-tests-0001";
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Explains one site, where `/admin/**` is for the Direction alone.
fn explainer() -> Explainer {
    let rule = Rule {
        name: "direction".into(),
        condition: Condition::Is(
            Subject::Claim("organization_label".to_owned()),
            Test::OneOf(Listed::here(["Direction".to_owned()].into())),
        ),
        who: None,
    };
    let pattern = |path| PathPattern::parse(path).unwrap();
    let admin = Route {
        rules: Rules { require: vec![rule], ..Rules::default() },
        ..Route::new(pattern("/admin/**"), RouteAccess::SignedIn)
    };
    let routes = Table::new(vec![admin, Route::new(pattern("/**"), RouteAccess::Public)]).unwrap();
    let url = PublicUrl::parse("https://playground.example.gouv.fr").unwrap();
    let prefix = Prefix::parse("/oauth2").unwrap();
    let headers = Headers::new(gate::headers::Settings {
        headers: gate::headers::named_set("x-auth-request").unwrap(),
        encoding: gate::headers::Encoding::Percent,
        assertion: None,
    });
    let gate = |sessions| Gate::new(routes.clone(), headers.clone(), sessions, url.clone(), prefix.clone());
    let kept = ["email", "organization_label"].map(str::to_owned);
    let random = SystemRandom::new();
    let supposed = SupposedSessions::new(fixture::cookies(), Settings::default(), kept, &random).unwrap();
    let site = ExplainedSite {
        name: None,
        public_url: url.clone(),
        prefix: prefix.clone(),
        aliases: Vec::new(),
        playground: false,
        cors: None,
        gate: Arc::new(gate(Arc::new(fixture::sessions(&[[1; 32]])))),
        cookie: fixture::cookies().session,
        supposing: gate(Arc::clone(supposed.sessions())),
        supposed,
        providers: vec![("proconnect".to_owned(), "https://proconnect.example".to_owned())],
        domain_owners: Arc::default(),
        upstreams: Vec::new(),
        credentials: Vec::new(),
        bearers: Vec::new(),
        kept_claims: BTreeSet::new(),
    };
    Explainer::new(vec![Arc::new(site)], Arc::new(SystemRandom::new()))
}

/// An admin listener, without its socket.
pub(super) struct Bench {
    pub(super) admin: Admin,
    pub(super) store: Arc<Shaky>,
    ready: Arc<AtomicBool>,
    pub(super) clock: ManualClock,
}

impl Bench {
    pub(super) fn new(token: Option<&str>) -> Self {
        let (store, ready) = (Arc::new(Shaky::default()), Arc::new(AtomicBool::new(true)));
        let key = KeyMaterial { id: "k".to_owned(), secret: Zeroizing::new([7; 32]), until: None };
        let ring = Arc::new(KeyRing::new(&[key]).unwrap());
        let kept = ["email", "siret", "organization_label"].map(str::to_owned);
        let settings = seats::Settings {
            idle: Duration::from_secs(1800),
            when_full: seats::WhenFull::Refuse,
            managed: true,
            lifetime: Duration::from_secs(12 * 3600),
        };
        let random = Arc::new(SystemRandom::new());
        let seats = Seats::new(settings, Arc::clone(&ring), Arc::<Shaky>::clone(&store), random);
        let sessions = Sessions::new(
            ring,
            fixture::cookies(),
            Settings::default(),
            kept,
            Arc::<Shaky>::clone(&store),
            OnDown::default(),
        );
        let (is_ready, clock) = (Arc::clone(&ready), ManualClock::starting_at(START));
        let admin = Admin {
            metrics: Arc::new(Metrics::new().unwrap()),
            sites: vec![SeenSite {
                name: None,
                is_ready: Arc::new(move || is_ready.load(Ordering::Relaxed)),
                keys_to_delete: Arc::new(|| 0),
                sessions: Arc::new(sessions),
                seats: Some(Arc::new(seats)),
                providers: vec![("proconnect".to_owned(), Arc::new(|| true))],
            }],
            token: token.map(SecretString::from),
            pages: Pages::new(&Branding::default(), "", ProviderKind::Other, true),
            clock: Clock::Manual(clock.clone()),
            listing: Mutex::default(),
            explainer: Arc::new(ArcSwap::from_pointee(explainer())),
        };
        Self { admin, store, ready, clock }
    }

    async fn begin(&self, subject: &str, email: &str, organization: &str, siret: &str) -> SessionId {
        let claims = json!({"sub": subject, "email": email, "organization_label": organization, "siret": siret});
        let identity = Identity::for_tests("proconnect", claims.as_object().unwrap());
        let place = Place { agent: AGENT.to_owned(), address: Some(IpAddr::from([192, 0, 2, 7])) };
        let sessions = &self.admin.sites[0].sessions;
        let random = SystemRandom::new();
        let now = self.admin.clock.now();
        sessions.begin(&identity, &tokens(10), &HeaderMap::new(), &place, now, &random).await.unwrap().id
    }

    pub(super) async fn ask(&self, method: &str, target: &str, headers: &[(&'static str, &str)], form: &str) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let asked = Asked { method: &method, path, query, headers: &map, form, client: None };
        let response = match self.admin.admitted(&method, path, &map, None) {
            Ok(named) => self.admin.answer(named, &asked).await,
            Err(refusal) => *refusal,
        };
        let (parts, body) = response.into_parts();
        assert_eq!(parts.headers["x-content-type-options"], "nosniff", "{target}");
        assert!(!parts.headers.contains_key("access-control-allow-origin"), "{target}");
        let body = String::from_utf8(body).unwrap();
        for secret in [TOKEN, "access", "refresh", "iiiiiiiiii"] {
            assert!(!body.contains(secret), "{target} shows {secret}: {body}");
        }
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// With the token.
    pub(super) async fn may(&self, method: &str, target: &str) -> Answer {
        self.ask(method, target, &[("authorization", &format!("Bearer {TOKEN}"))], "").await
    }

    pub(super) fn store_is_down(&self, down: bool) {
        self.store.away.store(down, Ordering::Relaxed);
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }

    /// The values of a field of the sessions in it, sorted.
    fn each(&self, field: &str) -> Vec<String> {
        let all = self.json();
        let mut values: Vec<String> =
            all["sessions"].as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect();
        values.sort();
        values
    }
}

#[tokio::test]
async fn the_description_says_what_is_answered_and_nothing_else() {
    let bench = Bench::new(Some(TOKEN));
    let closed = Bench::new(None);
    let mut answered = BTreeSet::new();
    let mut note = |path: &'static str, method: &'static str, answer: &Answer| {
        if answer.status >= 400 && path != "/readyz" {
            let body = answer.json();
            assert!(body["error"].is_string() && body["message"].is_string(), "{body}");
        }
        answered.insert((path.to_owned(), method.to_lowercase(), answer.status.to_string()));
    };

    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        // No token is asked for.
        note(path, "GET", &bench.ask("GET", path, &[], "").await);
        assert_eq!(closed.ask("GET", path, &[], "").await.status, 200);
    }
    let asks = json!({"method": "GET", "url": "/admin/x", "claims": {"sub": "s"}}).to_string();
    for (bench, token, body, status) in [
        (&bench, TOKEN, &*asks, 200),
        (&bench, TOKEN, "{\"method\": 7}", 400),
        (&bench, "wrong", &*asks, 401),
        (&closed, TOKEN, &*asks, 403),
    ] {
        let token = format!("Bearer {token}");
        let headers = [("authorization", &*token), ("content-type", "application/json")];
        let answer = bench.ask("POST", "/explain", &headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        note("/explain", "POST", &answer);
    }
    bench.ready.store(false, Ordering::Relaxed);
    note("/readyz", "GET", &bench.ask("GET", "/readyz", &[], "").await);

    let (list, one, person) = ("/sessions", "/sessions/{id}", "/people/{sub}/sessions");
    let somebody = bench.begin("s-1", "h@example.gouv.fr", "Direction", "11000001700010").await;
    let target = format!("/sessions/{somebody}");
    let unknown = format!("/sessions/{}", "0".repeat(32));
    let everywhere = [
        (list, "GET", list),
        (one, "GET", &*target),
        (one, "DELETE", &*target),
        (person, "DELETE", "/people/s-1/sessions"),
    ];
    for (path, method, target) in everywhere {
        let stranger = bench.ask(method, target, &[("authorization", "Bearer wrong")], "").await;
        assert_eq!(stranger.headers["www-authenticate"], "Bearer");
        note(path, method, &stranger);
        let nobody = closed.ask(method, target, &[("authorization", "Bearer wrong")], "").await;
        assert!(nobody.json()["message"].as_str().unwrap().contains("admin.token"), "{}", nobody.body);
        note(path, method, &nobody);
        bench.store_is_down(true);
        note(path, method, &bench.may(method, target).await);
        bench.store_is_down(false);
    }
    note(list, "GET", &bench.may("GET", "/sessions?mail=x").await);
    note(list, "GET", &bench.may("GET", list).await);
    note(one, "GET", &bench.may("GET", "/sessions/7").await);
    note(one, "GET", &bench.may("GET", &unknown).await);
    note(one, "DELETE", &bench.may("DELETE", "/sessions/7").await);
    note(one, "DELETE", &bench.may("DELETE", &unknown).await);
    note(person, "DELETE", &bench.may("DELETE", "/people/s-1/sessions?provider=other").await);
    note(person, "DELETE", &bench.may("DELETE", "/people/s-1/sessions").await);
    bench.clock.advance(Duration::from_secs(1));
    let another = format!("/sessions/{}", bench.begin("s-1", "h@example.gouv.fr", "Direction", "1").await);
    note(one, "GET", &bench.may("GET", &another).await);
    note(one, "DELETE", &bench.may("DELETE", &another).await);

    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut described = BTreeSet::new();
    // Those of licences have tests of their own.
    let paths = description["paths"].as_object().unwrap();
    for (path, methods) in paths.iter().filter(|(path, _)| !path.starts_with("/licences")) {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            for status in operation["responses"].as_object().unwrap().keys() {
                described.insert((path.clone(), method.clone(), status.clone()));
            }
        }
    }
    assert_eq!(answered, described);

    // Every other method is refused where the path is known.
    for (path, allowed) in
        [("/sessions", "GET, HEAD"), (&*target, "GET, HEAD, DELETE"), ("/people/s/sessions", "DELETE")]
    {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let refused = bench.may(method, path).await;
            if !allowed.contains(method) {
                assert_eq!(
                    (refused.status, refused.headers["allow"].to_str().unwrap()),
                    (405, allowed),
                    "{method} {path}"
                );
            }
        }
    }
    for path in [
        "/sessions/",
        "/sessions/a/b",
        "/people/s-1",
        "/people/a/b/sessions",
        "//sessions",
        "/Sessions",
        "/oauth2/sessions",
    ] {
        assert!(matches!(bench.may("GET", path).await.status, 400 | 404), "{path}");
    }
}

#[tokio::test]
async fn the_fields_of_a_session_are_those_that_are_described() {
    let bench = Bench::new(Some(TOKEN));
    let id = bench.begin("s-1", "h@example.gouv.fr", "Direction fictive", "11000001700010").await;
    let one = bench.may("GET", &format!("/sessions/{id}")).await.json();
    let expected = json!({
        "id": id.to_string(),
        "provider": "proconnect",
        "sub": "s-1",
        "email": "h@example.gouv.fr",
        "siret": "11000001700010",
        "organization": "Direction fictive",
        "started": "2026-11-18T11:06:40Z",
        "last_seen": "2026-11-18T11:06:40Z",
        "ends_at": "2026-11-18T23:06:40Z",
        "agent": AGENT,
        "address": "192.0.2.7",
    });
    assert_eq!(one, expected);
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let session = &description["components"]["schemas"]["Session"];
    let described: BTreeSet<&String> = session["properties"].as_object().unwrap().keys().collect();
    assert_eq!(one.as_object().unwrap().keys().collect::<BTreeSet<_>>(), described);
    assert_eq!(session["required"].as_array().unwrap().len(), described.len());
}

#[tokio::test]
async fn sessions_are_found_by_person_and_by_organisation() {
    let bench = Bench::new(Some(TOKEN));
    bench.begin("s-1", "one@example.gouv.fr", "Direction du numérique", "11000001700010").await;
    bench.begin("s-1", "one@example.gouv.fr", "Direction du numérique", "11000001700010").await;
    bench.begin("s-2", "two@example.gouv.fr", "Préfecture", "13000000000011").await;
    let cases = [
        ("", vec!["s-1", "s-1", "s-2"]),
        ("?sub=s-1", vec!["s-1", "s-1"]),
        ("?sub=s-1&email=two%40example.gouv.fr", vec![]),
        ("?email=TWO%40example.gouv.fr", vec!["s-2"]),
        ("?email=example.gouv.fr", vec![]),
        ("?siret=110%20000%20017%2000010", vec!["s-1", "s-1"]),
        ("?organization=pr%C3%89fec", vec!["s-2"]),
        ("?provider=proconnect&email=two%40example.gouv.fr", vec!["s-2"]),
    ];
    for (query, expected) in cases {
        let found = bench.may("GET", &format!("/sessions{query}")).await;
        assert_eq!(found.each("sub"), expected, "{query}");
        assert_eq!(found.json()["more"], false, "{query}");
    }
    for query in ["?provider=other", "?provider=other&sub=s-1"] {
        assert_eq!(bench.may("GET", &format!("/sessions{query}")).await.status, 400, "{query}");
    }
    let some = bench.may("GET", "/sessions?limit=2").await;
    assert_eq!((some.each("sub").len(), &some.json()["more"]), (2, &json!(true)));
}

#[tokio::test]
async fn what_cannot_be_announced_yet_holds_here_and_says_so() {
    let bench = Bench::new(Some(TOKEN));
    let id = bench.begin("s-1", "one@example.gouv.fr", "Direction", "1").await;
    let other = bench.begin("s-2", "two@example.gouv.fr", "Direction", "1").await;
    bench.store_is_down(true);
    for target in [format!("/sessions/{id}"), "/people/s-2/sessions".to_owned()] {
        let answer = bench.may("DELETE", &target).await;
        assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("not_announced_yet")), "{target}");
        assert!(answer.json()["message"].as_str().unwrap().starts_with("ended on this replica"), "{}", answer.body);
    }
    assert!(bench.admin.sites[0].sessions.has_ended(id));
    bench.store_is_down(false);
    assert_eq!(bench.may("GET", "/sessions").await.each("id"), Vec::<String>::new(), "{other}");
}

#[tokio::test]
async fn an_identifier_that_nothing_is_listed_under_is_ended_all_the_same() {
    let bench = Bench::new(Some(TOKEN));
    let id = SessionId::parse(&"ab".repeat(16)).unwrap();
    assert_eq!(bench.may("DELETE", &format!("/sessions/{id}")).await.status, 404);
    assert!(bench.admin.sites[0].sessions.has_ended(id));
}

#[tokio::test]
async fn what_is_idle_or_over_is_not_listed() {
    let bench = Bench::new(Some(TOKEN));
    bench.begin("s-1", "one@example.gouv.fr", "Direction", "1").await;
    bench.clock.advance(Duration::from_secs(3600));
    // Within the interval in which a session in use is not listed anew.
    assert_eq!(bench.may("GET", "/sessions").await.each("sub"), ["s-1"]);
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(bench.may("GET", "/sessions").await.each("sub"), Vec::<String>::new());
}

#[tokio::test]
async fn the_page_takes_the_token_as_a_password_and_forms_of_its_own_only() {
    use base64::Engine;
    let bench = Bench::new(Some(TOKEN));
    let id = bench.begin("s-1", "one@example.gouv.fr", "<b>Direction", "1").await;
    let other = bench.begin("s-2", "two@example.gouv.fr", "Direction", "1").await;
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{TOKEN}")));
    let known = ("authorization", basic.as_str());

    let stranger = bench.ask("GET", "/", &[], "").await;
    assert_eq!(stranger.status, 401);
    assert!(stranger.headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    assert_eq!(Bench::new(None).ask("GET", "/", &[], "").await.status, 403);
    // Not to the API, where no form is looked at.
    assert_eq!(bench.ask("GET", "/sessions", &[known], "").await.status, 401);

    let page = bench.ask("GET", "/", &[known, ("accept-language", "en")], "").await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(page.body.contains("one@example.gouv.fr") && page.body.contains("&#60;b&#62;Direction"), "{}", page.body);
    let found = bench.ask("GET", "/?email=two%40example.gouv.fr", &[known], "").await;
    assert!(!found.body.contains("one@") && found.body.contains("two@example.gouv.fr"));
    let style = page.body.split("href=\"/static/").nth(2).unwrap().split('"').next().unwrap();
    assert_eq!(bench.ask("GET", &format!("/static/{style}"), &[], "").await.status, 200);

    let own =
        [known, ("host", "localhost:4181"), ("origin", "http://localhost:4181"), ("sec-fetch-site", "same-origin")];
    let end = format!("end={id}&email=one%40example.gouv.fr");
    for foreign in [
        vec![known, ("host", "localhost:4181")],
        vec![known, ("host", "localhost:4181"), ("origin", "https://evil.example")],
        vec![known, ("host", "localhost:4181"), ("origin", "http://localhost:4181"), ("sec-fetch-site", "cross-site")],
        own[1..].to_vec(),
    ] {
        let refused = bench.ask("POST", "/", &foreign, &end).await;
        assert!(matches!(refused.status, 401 | 403), "{foreign:?}");
        assert!(!bench.admin.sites[0].sessions.has_ended(id));
    }
    for form in ["", "end=7", "end=a&person=b", "person=s-2&provider=other"] {
        assert_eq!(bench.ask("POST", "/", &own, form).await.status, 400, "{form}");
    }
    let done = bench.ask("POST", "/", &own, &end).await;
    assert_eq!((done.status, done.headers["location"].to_str().unwrap()), (303, "/?email=one%40example.gouv.fr"));
    assert!(bench.admin.sites[0].sessions.has_ended(id) && !bench.admin.sites[0].sessions.has_ended(other));
    let done = bench.ask("POST", "/", &own, "person=s-2&provider=proconnect").await;
    assert_eq!((done.status, done.headers["location"].to_str().unwrap()), (303, "/"));
    assert_eq!(bench.may("GET", "/sessions").await.each("id"), Vec::<String>::new());
}

#[tokio::test]
async fn who_may_pass_is_explained_to_programs_and_on_the_page_by_claims_and_by_a_live_session() {
    let bench = Bench::new(Some(TOKEN));
    let inside = bench.begin("s-1", "one@example.gouv.fr", "Direction", "11000001700010").await;
    let outside = bench.begin("s-2", "two@example.gouv.fr", "Préfecture", "13000000000011").await;
    let token = format!("Bearer {TOKEN}");
    let json_headers = [("authorization", &*token), ("content-type", "application/json")];
    for (session, decision) in [(inside, "forward"), (outside, "deny")] {
        let asks = json!({"method": "GET", "url": "/admin/x", "session": session.to_string()}).to_string();
        let told = bench.ask("POST", "/explain", &json_headers, &asks).await.json();
        assert_eq!(told["decision"], decision, "{told}");
        assert_eq!(told["rules"][0]["name"], "direction");
        assert!(told["notes"].to_string().contains("cookie alone"), "{told}");
    }
    let unknown = json!({"method": "GET", "url": "/", "session": "0".repeat(32)}).to_string();
    assert_eq!(bench.ask("POST", "/explain", &json_headers, &unknown).await.status, 404);
    let both = json!({"method": "GET", "url": "/", "session": "0".repeat(32), "claims": {}}).to_string();
    assert_eq!(bench.ask("POST", "/explain", &json_headers, &both).await.status, 400);

    // The page: with the password, from itself alone, and nothing of what is sent is markup.
    let basic =
        format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x:{TOKEN}")));
    let own = [("authorization", &*basic), ("host", "localhost:4181"), ("origin", "http://localhost:4181")];
    let page = bench.ask("GET", "/explain", &own, "").await;
    assert!(page.status == 200 && page.body.contains("<textarea"), "{}", page.body);
    let form = "method=GET&url=%2Fadmin%2F%3Cscript%3E&claims=%7B%22sub%22%3A%22%3Cb%3E%22%2C%22organization_label%22%3A%22Direction%22%7D";
    let told = bench.ask("POST", "/explain", &own, form).await;
    assert!(told.body.contains("<h2 id=\"decision\">") && !told.body.contains("<b>"), "{}", told.body);
    assert!(!told.body.contains("<script"), "{}", told.body);
    let foreign = [("authorization", &*basic), ("host", "localhost:4181"), ("origin", "https://evil.example")];
    assert_eq!(bench.ask("POST", "/explain", &foreign, form).await.status, 403);
    // What a page of another site could send as text, with the password that the browser knows.
    let as_json = [("authorization", &*basic), ("content-type", "application/json")];
    assert_eq!(bench.ask("POST", "/explain", &as_json, &unknown).await.status, 401);
    for mistake in ["method=GET&url=ftp%3A%2F%2Fx", "method=get&url=%2F", "method=GET&url=%2F&claims=%5B1%5D"] {
        let told = bench.ask("POST", "/explain", &own, mistake).await;
        assert!(told.status == 200 && told.body.contains("role=\"alert\""), "{}", told.body);
    }
}
