//! The decision of a request: the everyday path, and the three ways off it.
//!
//! The request is one that a browser sends to a Streamlit app: 14 headers, 8 cookies, a session
//! of a ProConnect agent. `decision` is all that the gate does with it: find the cookie and open
//! it, check the limits, find the route, decide, write the identity headers. `floor` is what of this no
//! design can avoid: base64 and AES-256-GCM over the same cookie.
//!
//! `rules` is the same request where the gate is larger or asks for more: few routes and ten thousand,
//! lists of ten and of a hundred thousand, hours, an expression, a signature. Beside it is said how long
//! each takes to load.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot begin has nothing to measure"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use vestibule::clock::Timestamp;
use vestibule::config::{self, Config, Environment, Unreadable};
use vestibule::gate::headers::Headers;
use vestibule::gate::rules::Circumstances;
use vestibule::gate::{Gate, Verdict};
use vestibule::random::SystemRandom;
use vestibule::seal::{KeyRing, Purpose};
use vestibule::secret::SecretString;
use vestibule::session::{Revocation, SessionId, Sessions};
use vestibule::store;
use vestibule::web::cookies::Cookies;
use vestibule::web::hygiene::CleanRequest;

/// Made for the tests; it protects nothing.
const ED25519: &str = include_str!("../src/signing/testdata/test-only-ed25519.pem");
const VECTOR: &str = include_str!("../tests/vectors/session-cookie.txt");
const CONFIGURATION: &str = "
public_url: https://playground.example.gouv.fr
providers:
  proconnect: {preset: proconnect, environment: integration, client_id: app, client_secret: {env: SECRET}}
session: {keys: [{id: k, secret: {env: KEY}}]}
upstreams: {playground: {url: 'http://127.0.0.1:8501'}, api: {url: 'http://127.0.0.1:8000'}}
routes:
  - {path: /_stcore/health, access: public, upstream: playground}
  - {path: /static/**, access: public, upstream: playground}
  - {path: /v1/**, upstream: api}
  - {path: /**, upstream: playground}
";

/// The address of the session's person, and the one that they ask from.
const ADDRESS: &str = "helene.moreau@test.proconnect.gouv.fr";
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// The last route, with a rule for whoever passes.
fn requiring(rule: &str) -> String {
    CONFIGURATION
        .replace("{path: /**, upstream: playground}", &format!("{{path: /**, upstream: playground, require: {rule}}}"))
}

/// A route for each of so many teams, and the four.
fn teams(number: usize) -> String {
    let route = |team| format!("  - {{path: /teams/{team}/**, upstream: playground}}\n");
    format!("{CONFIGURATION}{}", (0..number).map(route).collect::<String>())
}

struct Vector;

impl Vector {
    fn value(name: &str) -> &'static str {
        let line = VECTOR.lines().filter_map(|line| line.split_once(" = ")).find(|(held, _)| *held == name);
        line.unwrap_or_else(|| panic!("the vector has no {name}")).1
    }
}

impl Environment for Vector {
    fn variable(&self, name: &str) -> Result<SecretString, Unreadable> {
        Ok(match name {
            "KEY" => Self::value("key").into(),
            "SIGNING_KEY" => vestibule::signing::new_key().expect("randomness").into(),
            "ED25519_KEY" => ED25519.into(),
            _ => "a secret of the bench's own, long enough".into(),
        })
    }

    fn file(&self, _path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Unreadable> {
        Err(Unreadable::Absent)
    }

    /// `people-N` or `networks-N`: so many others, and the person of the session.
    fn list(&self, path: &Path) -> Result<Vec<u8>, Unreadable> {
        let (what, number) = path.to_str().and_then(|name| name.split_once('-')).ok_or(Unreadable::Absent)?;
        let others = 0..number.parse::<u32>().map_err(|_| Unreadable::Absent)?;
        let lines: String = if what == "people" {
            others.map(|number| format!("person.{number}@example.gouv.fr\n")).chain([ADDRESS.to_owned()]).collect()
        } else {
            // None touches the next: they stay as many as they are.
            let network = |number| format!("{}/31\n", Ipv4Addr::from_bits(0x0a00_0000 + 4 * number));
            others.map(network).chain([CLIENT.to_string()]).collect()
        };
        Ok(lines.into_bytes())
    }
}

fn config() -> Config {
    config_of(CONFIGURATION)
}

fn config_of(text: &str) -> Config {
    config::from_text("bench.yaml", text, &Vector).unwrap_or_else(|problems| panic!("{problems}"))
}

fn gate(config: Config) -> (Gate, Arc<Sessions>) {
    let ring = Arc::new(KeyRing::new(&config.keys).expect("one key"));
    let cookies = Cookies::new(&config.public_url, &config.cookies);
    let store = store::open(&store::Settings::Memory).expect("memory");
    let on_down = store::OnDown::default();
    let sessions = Arc::new(Sessions::new(ring, cookies, config.session, config.kept_claims, store, on_down));
    let headers = Headers::new(config.identity);
    let gate = Gate::new(config.routes, headers, Arc::clone(&sessions), config.public_url, config.prefix);
    (gate.asserting(config.assertion), sessions)
}

fn request(path: &str, session: bool) -> Parts {
    let mut cookies = String::from(
        "_streamlit_xsrf=2|8b2c1a3f|d41d8cd98f00b204e9800998ecf8427e|1700000000; theme=dark; lang=fr; a=1; b=2; c=3",
    );
    if session {
        cookies = format!("{cookies}; __Host-vestibule={}", Vector::value("cookie"));
    }
    let request = http::Request::builder()
        .uri(path)
        .header("host", "playground.example.gouv.fr")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-language", "fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("referer", "https://playground.example.gouv.fr/chat")
        .header("connection", "keep-alive")
        .header("upgrade-insecure-requests", "1")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin")
        .header("priority", "u=0, i")
        .header("cookie", cookies);
    request.body(()).expect("a request").into_parts().0
}

fn revoke(sessions: &Sessions, now: Timestamp) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for number in 0..1_000_000_u128 {
            // Spread as random names are.
            let name = format!("{:032x}", (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
            let id = SessionId::parse(&name).expect("32 digits");
            sessions.revoke(&Revocation::Session(id), now).await.expect("memory");
        }
        for number in 0..1000 {
            let name = number.to_string();
            sessions.end_person("proconnect", &name, now, now).await.expect("memory");
            sessions.end_provider_session("proconnect", &name, now, now).await.expect("memory");
        }
    });
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn decisions(criterion: &mut Criterion) {
    let random = SystemRandom::new();
    let now = Timestamp::from_unix(Vector::value("now").parse().expect("seconds"));
    let at = Circumstances { now, client: None };
    let config = config();
    let ring = KeyRing::new(&config.keys).expect("one key");
    let (gate, _) = gate(config);
    let mut group = criterion.benchmark_group("gate");

    let sealed = Vector::value("cookie").as_bytes();
    group.bench_function("floor: open the cookie", |bencher| {
        bencher.iter(|| {
            ring.open(Purpose::Session, black_box(sealed), b"__Host-vestibule", black_box(now)).expect("opens")
        });
    });

    // A million sessions that have ended, and a thousand people and sessions at the provider: none
    // of them is this one. Both gates stand while either is measured, one right after the other.
    let (crowded, sessions) = self::gate(self::config());
    let before = resident();
    revoke(&sessions, now);
    let took = resident().saturating_sub(before) / 1024 / 1024;
    println!("{} revocations take {took} MiB", sessions.revocations());
    let parts = request("/chat?room=7", true);
    let clean = CleanRequest::inspect(&parts, b"/chat?room=7", &[b'x'; 900]).expect("clean");
    for (name, gate) in [("none", &gate), ("a million", &crowded)] {
        group.bench_function(format!("decision: session, revocations: {name}"), |bencher| {
            bencher.iter(|| gate.judge(&gate.case(black_box(&clean)), black_box(at), &random));
        });
    }

    let cases = [
        ("decision: session", "/chat?room=7", true, true),
        ("decision: no session", "/chat?room=7", false, false),
        ("decision: public", "/static/js/main.js", false, true),
    ];
    for (name, target, session, forwards) in cases {
        let parts = request(target, session);
        let clean = CleanRequest::inspect(&parts, target.as_bytes(), &[b'x'; 900]).expect("clean");
        assert_eq!(matches!(gate.judge(&gate.case(&clean), at, &random), Verdict::Forward(_)), forwards, "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| gate.judge(&gate.case(black_box(&clean)), black_box(at), &random));
        });
    }

    let parts = request("/chat?room=7", true);
    group.bench_function("hygiene and decision: session", |bencher| {
        bencher.iter(|| {
            let clean = CleanRequest::inspect(black_box(&parts), b"/chat?room=7", &[b'x'; 900]).expect("clean");
            gate.judge(&gate.case(&clean), black_box(at), &random)
        });
    });

    group.finish();
}

/// The gate of a configuration; says what it took to load.
fn loaded(name: &str, text: &str) -> Gate {
    #[expect(clippy::disallowed_methods, reason = "how long it takes to load is what is measured")]
    let begun = std::time::Instant::now();
    let gate = gate(config_of(text)).0;
    println!("{name}: loaded in {} ms", begun.elapsed().as_millis());
    gate
}

fn rules(criterion: &mut Criterion) {
    let random = SystemRandom::new();
    let now = Timestamp::from_unix(Vector::value("now").parse().expect("seconds"));
    let at = Circumstances { now, client: Some(CLIENT) };
    let asserting = |key| format!("{CONFIGURATION}identity: {{assertion: {{keys: [{{key: {{env: {key}}}}}]}}}}\n");
    let expression = r#"{when: "claims.email.endsWith('.gouv.fr') && !claims.email.startsWith('external.')"}"#;
    let cases = [
        ("no rule", "/chat?room=7", CONFIGURATION.to_owned()),
        ("routes: 10", "/teams/7/chat?room=7", teams(10)),
        ("routes: 10000", "/teams/7777/chat?room=7", teams(10_000)),
        ("e-mails: 10", "/chat?room=7", requiring("{email: {file: people-10}}")),
        ("e-mails: 100000", "/chat?room=7", requiring("{email: {file: people-100000}}")),
        ("networks: 10", "/chat?room=7", requiring("{network: {file: networks-10}}")),
        ("networks: 100000", "/chat?room=7", requiring("{network: {file: networks-100000}}")),
        ("hours", "/chat?room=7", requiring("{time: {days: mon-sun, hours: '00:00-24:00'}}")),
        ("expression", "/chat?room=7", requiring(expression)),
        ("assertion: ES256", "/chat?room=7", asserting("SIGNING_KEY")),
        ("assertion: EdDSA", "/chat?room=7", asserting("ED25519_KEY")),
    ];
    // All stand while one is measured.
    let gates = cases.map(|(name, target, text)| (name, target, loaded(name, &text)));
    let mut group = criterion.benchmark_group("rules");
    for (name, target, gate) in &gates {
        let parts = request(target, true);
        let clean = CleanRequest::inspect(&parts, target.as_bytes(), &[b'x'; 900]).expect("clean");
        let Verdict::Forward(forward) = gate.judge(&gate.case(&clean), at, &random) else { panic!("{name} keeps out") };
        let is_signed = forward.identity.iter().any(|(header, _)| header == "x-vestibule-assertion");
        assert_eq!(is_signed, name.starts_with("assertion"), "{name}");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| gate.judge(&gate.case(black_box(&clean)), black_box(at), &random));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, rules);
criterion_main!(benches);
