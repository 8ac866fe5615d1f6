//! The life of sessions, played by dice against a model: people sign in, come back with cookies of
//! now and of before, rest, sign out and in again, while hours pass and tokens are renewed.
//!
//! The model knows when each session began and was last used, and says of every request whether it
//! must pass, must not, or may do either because the cookie is not rewritten on every request.

use crate::support::client::Client;
use crate::support::log_watch::access_lines_with;
use crate::support::shown::email_at_app;
use crate::support::site::{Setup, Site};
use std::time::Duration;
use vestibule::demo::provider::Agent;

const IDLE: u64 = 2 * 3600;
const LIFETIME: u64 = 10 * 3600;
/// How much too early a session may be taken for idle: `renewal_interval`.
const COARSE: u64 = 60;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the model knows of one session.
struct Life {
    cookies: Vec<String>,
    began: u64,
    used: u64,
    over: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Pass,
    Refuse,
    Either,
}

impl Life {
    fn expected(&self, now: u64) -> Expected {
        let rested = now - self.used;
        if self.over || now - self.began >= LIFETIME || rested >= IDLE {
            Expected::Refuse
        } else if rested + COARSE >= IDLE {
            Expected::Either
        } else {
            Expected::Pass
        }
    }
}

struct Person {
    client: Client,
    email: String,
    /// All sessions that this browser had; the last is the one that it has.
    lives: Vec<Life>,
}

impl Person {
    fn cookies(&self) -> String {
        self.client.cookie_header("app.example").unwrap()
    }
}

async fn play(seed: u64, keep: &str) {
    let more = format!(
        "session: {{idle: {IDLE}s, lifetime: {LIFETIME}s, keep: {keep}, keys: [{{id: k1, secret: {{env: SESSION_KEY}}}}]}}"
    );
    let site = Site::with(Setup { more, ..Setup::default() }).await;
    // Longer than ProConnect's, so that only what is ours ends sessions.
    site.provider.set_session_lifetime(Duration::from_secs(365 * 24 * 3600));
    let mut dice = Dice(seed);
    let mut now = 0;
    let mut people: Vec<Person> = Vec::new();
    let (mut passed, mut refused) = (0, 0);
    for number in 0..4 {
        let email = format!("agent{number}@test.proconnect.gouv.fr");
        people.push(Person { client: site.client(), email, lives: Vec::new() });
    }
    for step in 0..250 {
        let context = format!("seed {seed}, keep {keep}, step {step}, at {now}");
        let which = usize::try_from(dice.below(4)).unwrap();
        let person = &mut people[which];
        match dice.below(10) {
            0 | 1 => {
                let sides = if dice.below(4) == 0 { 9000 } else { 1500 };
                let by = 1 + dice.below(sides);
                site.clock.advance(Duration::from_secs(by));
                now += by;
            }
            2 => {
                // Signs in, over whatever the browser has.
                site.provider.sign_in_as(Agent::new("Agent", &format!("Numéro {which}"), &person.email));
                let page = person.client.browse("/oauth2/start?rd=%2F").await;
                assert_eq!(email_at_app(&page).as_ref(), Some(&person.email), "{context}");
                if let Some(life) = person.lives.last_mut() {
                    life.over = true;
                }
                let cookies = vec![person.cookies()];
                person.lives.push(Life { cookies, began: now, used: now, over: false });
            }
            3 if dice.below(3) == 0 && !person.lives.is_empty() => {
                person.client.submit("/oauth2/sign_out", "").await;
                person.lives.last_mut().unwrap().over = true;
            }
            _ if person.lives.is_empty() => {}
            die => {
                // With the cookies that the browser has, or with any that it ever had.
                let current = die < 8;
                let life = if current {
                    person.lives.len() - 1
                } else {
                    usize::try_from(dice.below(u64::try_from(person.lives.len()).unwrap())).unwrap()
                };
                let held = &mut person.lives[life];
                let expected = held.expected(now);
                let answer = if current {
                    person.client.fetch("/").await
                } else {
                    let at = usize::try_from(dice.below(u64::try_from(held.cookies.len()).unwrap())).unwrap();
                    let cookies = held.cookies[at].clone();
                    site.client().get("/", &[("accept", "application/json"), ("cookie", &cookies)]).await
                };
                match answer.status {
                    200 => {
                        assert_ne!(expected, Expected::Refuse, "{context}");
                        assert_eq!(email_at_app(&answer).as_ref(), Some(&person.email), "{context}");
                        held.used = now;
                        passed += 1;
                        if current {
                            let cookies = person.client.cookie_header("app.example").unwrap();
                            held.cookies.push(cookies);
                        }
                    }
                    401 => {
                        let line = access_lines_with("\"deny\"").pop();
                        assert_ne!(expected, Expected::Pass, "{context}: {line:?}");
                        // Refused once for its age, it is not let in later.
                        held.over |= expected == Expected::Refuse;
                        refused += 1;
                    }
                    other => panic!("{context}: {other} {}", answer.text()),
                }
            }
        }
    }
    assert_eq!(site.provider.counters().refresh_reuse, 0, "seed {seed}: a used refresh token was presented");
    assert!(passed > 20 && refused > 5, "seed {seed}: {passed} passed, {refused} refused: too few to say anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_live_as_the_model_says_with_their_tokens_in_cookies() {
    for seed in 1..=3 {
        play(seed, "cookie").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_live_as_the_model_says_with_their_tokens_in_the_store() {
    for seed in 101..=103 {
        play(seed, "store").await;
    }
}
