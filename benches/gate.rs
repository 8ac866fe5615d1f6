//! The decision of a request: the everyday path, and the three ways off it.
//!
//! The request is one that a browser sends to a Streamlit app: 14 headers, 8 cookies, a session
//! of a ProConnect agent. `decision` is all that the gate does with it: find the cookie and open
//! it, check the limits, find the route, decide, write the identity headers. Beside it, in the same run,
//! stands a gate of ten thousand routes whose rules look at a list of a hundred thousand addresses. `floor` is what of
//! this no design can avoid: base64 and AES-256-GCM over the same cookie.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot begin has nothing to measure"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use std::hint::black_box;
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

/// The address of the session's person.
const ADDRESS: &str = "helene.moreau@test.proconnect.gouv.fr";

/// Four routes, the last for who is on a list of one.
fn few() -> String {
    let rule = "{path: /**, upstream: playground, require: listed}";
    let text = CONFIGURATION.replace("{path: /**, upstream: playground}", rule);
    format!("{text}policies: {{listed: {{email: {ADDRESS}}}}}\n")
}

/// Ten thousand routes more, and a hundred thousand others on the list.
fn many() -> String {
    let route = |team| format!("  - {{path: /teams/{team}/**, upstream: playground, require: listed}}\n");
    let routes: String = (0..10_000).map(route).collect();
    let rule = "{path: /**, upstream: playground, require: listed}\n";
    let text = CONFIGURATION.replace("{path: /**, upstream: playground}\n", &format!("{rule}{routes}"));
    format!("{text}policies: {{listed: {{email: {{file: people.txt}}}}}}\n")
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

    fn list(&self, _path: &Path) -> Result<Vec<u8>, Unreadable> {
        let others = (0..100_000).map(|number| format!("person.{number}@example.gouv.fr\n"));
        Ok(others.chain([ADDRESS.to_owned()]).collect::<String>().into_bytes())
    }
}

fn config() -> Config {
    config_of(CONFIGURATION)
}

fn config_with(more: &str) -> Config {
    config_of(&format!("{CONFIGURATION}{more}"))
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
            bencher.iter(|| gate.judge(black_box(&clean), black_box(at), &random));
        });
    }

    let few = self::gate(config_of(&few())).0;
    #[expect(clippy::disallowed_methods, reason = "how long it takes to load is what is measured")]
    let begun = std::time::Instant::now();
    let before = resident();
    let many = self::gate(config_of(&many())).0;
    let (took, ms) = (resident().saturating_sub(before) / 1024 / 1024, begun.elapsed().as_millis());
    println!("10000 routes and 100000 addresses take {took} MiB and are read in {ms} ms");
    for (name, gate) in [("few", &few), ("many", &many)] {
        assert!(matches!(gate.judge(&clean, at, &random), Verdict::Forward(_)), "{name}");
        group.bench_function(format!("decision: session, routes and addresses: {name}"), |bencher| {
            bencher.iter(|| gate.judge(black_box(&clean), black_box(at), &random));
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
        assert_eq!(matches!(gate.judge(&clean, at, &random), Verdict::Forward(_)), forwards, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| gate.judge(black_box(&clean), black_box(at), &random)));
    }

    let parts = request("/chat?room=7", true);
    group.bench_function("hygiene and decision: session", |bencher| {
        bencher.iter(|| {
            let clean = CleanRequest::inspect(black_box(&parts), b"/chat?room=7", &[b'x'; 900]).expect("clean");
            gate.judge(&clean, black_box(at), &random)
        });
    });

    // The same with a signature over it, by either kind of key.
    for (name, key) in [("ES256", "SIGNING_KEY"), ("EdDSA", "ED25519_KEY")] {
        let (signing, _) =
            self::gate(config_with(&format!("identity: {{assertion: {{keys: [{{key: {{env: {key}}}}}]}}}}\n")));
        let clean = CleanRequest::inspect(&parts, b"/chat?room=7", &[b'x'; 900]).expect("clean");
        group.bench_function(format!("decision: session, assertion: {name}"), |bencher| {
            bencher.iter(|| signing.judge(black_box(&clean), black_box(at), &random));
        });
    }

    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
