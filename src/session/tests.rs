//! Sessions as a whole: what begins, what opens, what is over. And the vectors, which keep the
//! sealed form from changing unnoticed.

use super::fixture::{
    self, Counting, START, agent, cookies, now_or_never, request, request_after, sessions, tokens, try_begin,
};
use super::{BeginError, NoSession, Place, Revocation, SessionId, Sessions};
use crate::claims::ClaimValue;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::oidc::{Identity, Tokens};
use crate::random::{NoRandomness, Random, SystemRandom};
use crate::seal::Purpose;
use crate::secret::ExposeSecret;
use crate::store::{Cursor, MAX_BATCH};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

const VECTORS: &str = include_str!("../../tests/vectors/session-cookie.txt");
const KEY: [u8; 32] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    32,
];

/// Begins a session and returns its name and what the browser sends from then on.
fn begun(sessions: &Sessions, tokens: &Tokens, random: &dyn Random) -> (SessionId, HeaderMap) {
    let begun = fixture::begun(sessions, &HeaderMap::new(), tokens, random);
    (begun.id, request_after(&HeaderMap::new(), &begun.cookies))
}

/// Why this request has no session at this many seconds after the start; `None` where it has.
fn refused(sessions: &Sessions, request: &HeaderMap, after: u64) -> Option<NoSession> {
    let now = START.plus(Duration::from_secs(after));
    match sessions.open(request, now) {
        Err(reason) => Some(reason),
        Ok(opened) => sessions.read(&opened, now).err(),
    }
}

fn value(request: &HeaderMap) -> String {
    let sealed = crate::web::cookies::find(request, &cookies().session).unwrap();
    String::from_utf8(sealed.to_vec()).unwrap()
}

fn with_cookie(value: &str) -> HeaderMap {
    request(&format!("{}={value}", cookies().session.as_str()))
}

/// The file of vectors as this code would write it.
fn vectors() -> String {
    let sessions = sessions(&[KEY]);
    let (id, signed_in) = begun(&sessions, &tokens(100), &Counting::default());
    let good = value(&signed_in);
    let flipped = |at: usize| {
        let mut bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
        let at = if at < 1000 { at } else { bytes.len() - 1 };
        bytes[at] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let session =
        postcard::to_stdvec(&sessions.read(&sessions.open(&signed_in, START).unwrap(), START).unwrap()).unwrap();
    let seal = |purpose, place: &str, plaintext: &[u8]| {
        sessions.ring.seal(purpose, plaintext, place.as_bytes(), &Counting::default()).unwrap()
    };
    let foreign = value(&begun(&self::sessions(&[[7; 32]]), &tokens(100), &Counting::default()).1);
    let mut text = "\
# The identity cookie of a ProConnect agent under a fixed key and at a fixed time, as browsers hold
# it now: what these lines say must open for ever, or the version byte in src/seal.rs is another.
# Only then are they made anew: cargo test --lib -- --ignored write_the_vectors
"
    .to_owned();
    let lines = [
        ("key", URL_SAFE_NO_PAD.encode(KEY)),
        ("now", START.as_unix().to_string()),
        ("name", cookies().session.as_str().to_owned()),
        ("session", id.short()),
        ("cookie", good.clone()),
        ("bad.version", flipped(0)),
        ("bad.key-id", flipped(1)),
        ("bad.nonce", flipped(5)),
        ("bad.ciphertext", flipped(17)),
        ("bad.tag", flipped(usize::MAX)),
        ("bad.truncated", good[..good.len() - 4].to_owned()),
        ("bad.extended", format!("{good}AAAA")),
        ("bad.padded", format!("{good}=")),
        ("bad.foreign-key", foreign),
        ("bad.other-purpose", seal(Purpose::Tokens, "__Host-vestibule", &session)),
        ("bad.other-cookie", seal(Purpose::Session, "vestibule", &session)),
        ("bad.cut-plaintext", seal(Purpose::Session, "__Host-vestibule", &session[..session.len() - 1])),
        ("bad.no-plaintext", seal(Purpose::Session, "__Host-vestibule", b"")),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

fn vector(name: &str) -> &'static str {
    let lines = || VECTORS.lines().filter_map(|line| line.split_once(" = "));
    lines().find(|(held, _)| *held == name).unwrap_or_else(|| panic!("no vector is named {name}")).1
}

#[test]
#[ignore = "writes tests/vectors/session-cookie.txt; for a new version of the sealed form only"]
fn write_the_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/session-cookie.txt");
    std::fs::write(path, vectors()).unwrap();
}

#[test]
fn the_cookies_of_the_vectors_open_or_do_not_as_they_say() {
    let key: [u8; 32] = URL_SAFE_NO_PAD.decode(vector("key")).unwrap().try_into().unwrap();
    let sessions = sessions(&[key]);
    let opened = sessions.open(&with_cookie(vector("cookie")), START).unwrap();
    let session = sessions.read(&opened, START).unwrap();
    assert_eq!(session.id().short(), vector("session"));
    assert_eq!((session.provider(), session.started(), session.last_seen()), ("proconnect", START, START));
    assert_eq!(session.claims().text("email"), Some("helene.moreau@test.proconnect.gouv.fr"));
    assert_eq!(session.claims().get("roles"), Some(&ClaimValue::List(vec!["agent_public", "agent_public_etat"])));
    let bad: Vec<_> = VECTORS.lines().filter_map(|line| line.strip_prefix("bad.")?.split_once(" = ")).collect();
    assert!(bad.len() >= 12);
    for (name, cookie) in bad {
        assert_eq!(refused(&sessions, &with_cookie(cookie), 0), Some(NoSession::Unreadable), "{name}");
    }
}

#[test]
fn what_is_sealed_today_is_what_the_vectors_hold() {
    assert_eq!(vectors(), VECTORS, "browsers hold cookies of the former form: it needs a version of its own");
}

#[test]
fn a_session_keeps_the_claims_that_are_configured_and_no_others() {
    let sessions = sessions(&[KEY]);
    let (_, request) = begun(&sessions, &tokens(10), &SystemRandom::new());
    let opened = sessions.open(&request, START).unwrap();
    let session = sessions.read(&opened, START).unwrap();
    let names: Vec<_> = session.claims().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["acr", "email", "roles", "sub"]);
}

#[test]
fn every_session_has_a_name_of_its_own() {
    let sessions = sessions(&[KEY]);
    let random = SystemRandom::new();
    let (one, request) = begun(&sessions, &tokens(10), &random);
    let other = fixture::begun(&sessions, &request, &tokens(10), &random).id;
    assert_ne!(one, other, "whatever the browser came with");
}

#[test]
fn a_session_that_was_ended_is_over_wherever_its_cookie_is() {
    let sessions = sessions(&[KEY]);
    let random = SystemRandom::new();
    let (one, first) = begun(&sessions, &tokens(10), &random);
    let (other, second) = begun(&sessions, &tokens(10), &random);
    now_or_never(sessions.end(one, START)).unwrap();
    assert!(sessions.has_ended(one) && !sessions.has_ended(other));
    assert_eq!((refused(&sessions, &first, 0), refused(&sessions, &second, 0)), (Some(NoSession::Ended), None));
}

#[test]
fn use_moves_the_idle_limit_and_never_the_lifetime() {
    let sessions = sessions(&[KEY]);
    let random = SystemRandom::new();
    let (_, mut held) = begun(&sessions, &tokens(10), &random);
    let mut after = 0;
    while after + 3000 < 12 * 3600 {
        after += 3000;
        let now = START.plus(Duration::from_secs(after));
        let opened = sessions.open(&held, START).unwrap();
        let session = sessions.read(&opened, now).unwrap();
        let renewal = sessions.renewal(&session, &opened, &held, now, &random);
        let left = format!("Max-Age={}", 12 * 3600 - after);
        assert!(renewal.len() == 1 && renewal[0].to_str().unwrap().ends_with(&left), "{renewal:?}");
        held = request_after(&held, &renewal);
    }
    assert_eq!(refused(&sessions, &held, 12 * 3600 - 1), None);
    assert_eq!(refused(&sessions, &held, 12 * 3600), Some(NoSession::Expired));
}

#[test]
fn a_clock_that_goes_back_makes_no_session_older_than_it_is() {
    let sessions = sessions(&[KEY]);
    let random = SystemRandom::new();
    // Sealed under a key that is no longer the current one, so that it is renewed at once.
    let (_, held) = begun(&sessions, &tokens(10), &random);
    let rotated = self::sessions(&[[9; 32], KEY]);
    let opened = rotated.open(&held, START).unwrap();
    let earlier = START.minus(Duration::from_secs(120));
    let session = rotated.read(&opened, earlier).unwrap();
    let renewed = request_after(&held, &rotated.renewal(&session, &opened, &held, earlier, &random));
    let opened = rotated.open(&renewed, START).unwrap();
    assert_eq!(rotated.read(&opened, START).unwrap().last_seen(), START);
}

#[test]
fn without_randomness_nothing_begins_and_what_goes_on_goes_on() {
    struct Empty;
    impl Random for Empty {
        fn fill(&self, _: &mut [u8]) -> Result<(), NoRandomness> {
            Err(NoRandomness)
        }
    }
    let sessions = sessions(&[KEY]);
    let begin = try_begin(&sessions, &agent(), &HeaderMap::new(), &tokens(10), &Empty);
    assert!(matches!(begin, Err(BeginError::Randomness(_))));
    let (_, held) = begun(&sessions, &tokens(10), &SystemRandom::new());
    let (opened, now) = (sessions.open(&held, START).unwrap(), START.plus(Duration::from_secs(600)));
    let session = sessions.read(&opened, now).unwrap();
    assert!(sessions.renewal(&session, &opened, &held, now, &Empty).is_empty());
}

#[test]
fn what_does_not_fit_is_an_error_and_not_half_a_session() {
    let sessions = sessions(&[KEY]);
    let claims = json!({"sub": "s", "email": "e".repeat(4000)});
    let large = Identity::for_tests("p", claims.as_object().unwrap());
    let begin = |identity: &Identity, tokens: &Tokens| {
        let begun = try_begin(&sessions, identity, &HeaderMap::new(), tokens, &SystemRandom::new());
        begun.map(|begun| begun.cookies.len())
    };
    assert!(matches!(begin(&large, &tokens(10)), Err(BeginError::IdentityTooLarge(len)) if len > 5000));
    assert!(matches!(begin(&agent(), &tokens(20_000)), Err(BeginError::TokensTooLarge(len)) if len > 26_000));
    assert_eq!(begin(&agent(), &tokens(16_000)).unwrap(), 1 + 6);
}

#[test]
fn tokens_are_of_one_session() {
    let sessions = sessions(&[KEY]);
    let random = SystemRandom::new();
    let (one, first) = begun(&sessions, &tokens(10), &random);
    let (other, _) = begun(&sessions, &tokens(10), &random);
    assert!(sessions.open_tokens(&first, one, START).is_some() && sessions.open_tokens(&first, other, START).is_none());
}

#[test]
fn what_a_provider_says_counts_for_ten_seconds_however_short_its_tokens_last() {
    let sessions = sessions(&[KEY]);
    let at = |seconds| START.plus(Duration::from_secs(seconds));
    // (end of the access token, when the provider is asked again)
    let cases =
        [(Some(Timestamp::from_unix(0)), 5), (Some(START), 5), (Some(at(1)), 5), (Some(at(30)), 15), (None, 3540)];
    for (access_token_expires_at, due) in cases {
        let tokens = Tokens { access_token_expires_at, ..tokens(10) };
        let (_, held) = begun(&sessions, &tokens, &SystemRandom::new());
        let opened = sessions.open(&held, START).unwrap();
        let session = sessions.read(&opened, START).unwrap();
        assert!(!sessions.is_due(&session, at(due - 1)), "{access_token_expires_at:?}");
        assert!(sessions.is_due(&session, at(due)), "{access_token_expires_at:?}");
    }
    let tokens = Tokens { access_token_expires_at: Some(Timestamp::from_unix(u64::MAX)), ..tokens(10) };
    let (_, held) = begun(&sessions, &tokens, &SystemRandom::new());
    assert_eq!((refused(&sessions, &held, 0), refused(&sessions, &held, 12 * 3600)), (None, Some(NoSession::Expired)));
}

#[tokio::test]
async fn what_has_ended_already_is_not_announced_again() {
    let sessions = sessions(&[KEY]);
    let announced = async || sessions.store.announced(&Cursor::default(), Duration::ZERO, START).await.unwrap().0.len();
    let (id, _) = begun(&sessions, &tokens(10), &SystemRandom::new());
    for _ in 0..3 {
        now_or_never(sessions.end(id, START)).unwrap();
        now_or_never(sessions.end_person("proconnect", "s", START, START)).unwrap();
        now_or_never(sessions.end_provider_session("proconnect", "x", START, START)).unwrap();
    }
    assert_eq!(announced().await, 3);
    // What began since then is not what ended.
    now_or_never(sessions.end_person("proconnect", "s", START.plus(Duration::from_secs(1)), START)).unwrap();
    assert_eq!(announced().await, 4);
}

#[tokio::test]
async fn all_that_was_announced_is_heard_at_the_start_however_much_of_it_has_ended() {
    let sessions = sessions(&[KEY]);
    let (soon, later) = (START.plus(Duration::from_secs(10)), START.plus(Duration::from_secs(3600)));
    for _ in 0..=MAX_BATCH {
        now_or_never(sessions.store.announce(b"ended", soon, START)).unwrap();
    }
    let (id, held) = begun(&sessions, &tokens(10), &SystemRandom::new());
    let announcement = (later, Revocation::Session(id));
    now_or_never(sessions.store.announce(&postcard::to_stdvec(&announcement).unwrap(), later, START)).unwrap();
    let clock = Clock::Manual(ManualClock::starting_at(START.plus(Duration::from_secs(20))));
    sessions.catch_up(&clock).await;
    assert_eq!(refused(&sessions, &held, 20), Some(NoSession::Ended));
}

/// One for all cases: what is slow about sessions is making them.
static SESSIONS: LazyLock<Sessions> = LazyLock::new(|| sessions(&[KEY]));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tokens_come_back_whole_or_not_at_all(len in 0usize..16_000, cut in 0usize..6) {
        let sessions = &*SESSIONS;
        let (id, held) = begun(sessions, &tokens(len), &SystemRandom::new());
        let (generation, back) = sessions.open_tokens(&held, id, START).unwrap();
        prop_assert_eq!(generation, 0);
        prop_assert_eq!(back.id_token.expose_secret(), "i".repeat(len));
        prop_assert_eq!(back.refresh_token.as_ref().map(ExposeSecret::expose_secret), Some("refresh"));
        let part = cookies().tokens.part(cut);
        if let Some(removed) = cookies().clear(&part).filter(|_| crate::web::cookies::find(&held, &part).is_some()) {
            prop_assert!(sessions.open_tokens(&request_after(&held, &[removed]), id, START).is_none());
        }
    }

    #[test]
    fn larger_tokens_leave_no_tail_behind_smaller_ones(before in 0usize..16_000, after in 0usize..16_000) {
        let sessions = &*SESSIONS;
        let (_, held) = begun(sessions, &tokens(before), &SystemRandom::new());
        let begun_anew = fixture::begun(sessions, &held, &tokens(after), &SystemRandom::new());
        let (id, set) = (begun_anew.id, begun_anew.cookies);
        let held = request_after(&held, &set);
        prop_assert!(sessions.open_tokens(&held, id, START).is_some());
        let names = held["cookie"].to_str().unwrap().split("; ").count();
        let (_, fresh) = begun(sessions, &tokens(after), &SystemRandom::new());
        prop_assert_eq!(names, fresh["cookie"].to_str().unwrap().split("; ").count());
        let cleared = request_after(&held, &sessions.clear(&held));
        prop_assert!(!cleared.contains_key("cookie"));
    }

    #[test]
    fn no_altered_cookie_has_a_session(at in 0usize..1000, with in 0x21u8..0x7F, cut in 0usize..1000) {
        let sessions = &*SESSIONS;
        let good = value(&begun(sessions, &tokens(10), &SystemRandom::new()).1);
        let mut altered = good.clone().into_bytes();
        let at = at % altered.len();
        altered[at] = with;
        let altered = String::from_utf8(altered).unwrap();
        // A semicolon ends the value; what is left of it is a cut one.
        if altered != good {
            prop_assert!(refused(sessions, &with_cookie(&altered), 0).is_some());
        }
        prop_assert!(refused(sessions, &with_cookie(&good[..cut % good.len()]), 0).is_some());
    }

    #[test]
    fn no_cookie_header_panics_or_opens(header in "(__Host-vestibule(-tokens(-[0-9]{1,9})?)?=[!-~]{0,80}; ?){0,4}[ -~]{0,40}") {
        let sessions = &*SESSIONS;
        let held = request(header.trim());
        prop_assert!(refused(sessions, &held, 0).is_some());
        prop_assert!(sessions.open_tokens(&held, SessionId([0; 16]), START).is_none());
        let _ = sessions.clear(&held);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_signs_in_again_in_the_second_in_which_they_were_signed_out_is_signed_in_after_it() {
    let sessions = sessions(&[KEY]);
    let person = agent();
    assert_eq!(sessions.moment_to_begin(&person, START).await, START);
    sessions.end_person(person.provider(), person.subject(), START, START).await.unwrap();
    let moment = sessions.moment_to_begin(&person, START).await;
    assert_eq!(moment, START.plus(Duration::from_secs(1)));
    let begun = sessions
        .begin(&person, &tokens(10), &HeaderMap::new(), &Place::default(), moment, &SystemRandom::new())
        .await
        .unwrap();
    assert!(sessions.read(&begun.opened, moment).is_ok());
    assert_eq!(sessions.moment_to_begin(&person, moment).await, moment);
    // Ended again in that second it is over.
    sessions.end_person(person.provider(), person.subject(), moment, moment).await.unwrap();
    assert_eq!(sessions.read(&begun.opened, moment).unwrap_err(), NoSession::Ended);
    // Nobody waits for a clock that is far ahead.
    let ahead = START.plus(Duration::from_secs(60));
    sessions.end_person(person.provider(), person.subject(), ahead, START).await.unwrap();
    assert_eq!(sessions.moment_to_begin(&person, START).await, START);
}
