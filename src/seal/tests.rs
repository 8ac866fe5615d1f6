//! The sealed form against vectors from elsewhere, and the ring through the life of its keys.

use super::*;
use crate::random::SystemRandom;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_unix(1_795_000_000);

fn materials(secrets: &[u8]) -> Vec<KeyMaterial> {
    let key = |byte: &u8| KeyMaterial { id: byte.to_string(), secret: Zeroizing::new([*byte; 32]), until: None };
    secrets.iter().map(key).collect()
}

fn ring(secrets: &[u8]) -> KeyRing {
    KeyRing::new(&materials(secrets)).unwrap()
}

fn seal(ring: &KeyRing, plaintext: &[u8]) -> String {
    ring.seal(Purpose::Session, plaintext, b"cookie", &SystemRandom::new()).unwrap()
}

fn opens(ring: &KeyRing, sealed: &str) -> Option<Vec<u8>> {
    ring.open(Purpose::Session, sealed.as_bytes(), b"cookie", NOW).map(|opened| opened.plaintext().to_vec())
}

#[test]
fn a_ring_without_keys_does_not_exist() {
    assert!(KeyRing::new(&[]).is_none());
}

#[test]
fn a_site_opens_nothing_of_another_s_though_both_have_the_same_secret() {
    let keys = [KeyMaterial { id: "k".into(), secret: Zeroizing::new([1; 32]), until: None }];
    let [one, other] =
        ["https://a.example app-a", "https://b.example app-b"].map(|site| KeyRing::of_site(&keys, site).unwrap());
    let sealed = seal(&one, b"hello");
    assert_eq!(opens(&one, &sealed).as_deref(), Some(&b"hello"[..]));
    assert_eq!(opens(&other, &sealed), None);
}

#[test]
fn a_former_key_still_opens_and_says_that_it_is_not_the_current_one() {
    let sealed = seal(&ring(&[1]), b"hello");
    let rotated = ring(&[2, 1]);
    let opened = rotated.open(Purpose::Session, sealed.as_bytes(), b"cookie", NOW).unwrap();
    assert_eq!((opened.plaintext(), opened.by_current_key), (&b"hello"[..], false));
    assert!(rotated.open(Purpose::Session, seal(&rotated, b"x").as_bytes(), b"cookie", NOW).unwrap().by_current_key);
}

#[test]
fn a_former_key_opens_until_its_end_and_not_a_second_longer() {
    let sealed = seal(&ring(&[1]), b"hello");
    let at = |seconds| Timestamp::from_unix(NOW.as_unix() + seconds);
    let mut keys = materials(&[2, 1]);
    keys[1].until = Some(at(100));
    let rotated = KeyRing::new(&keys).unwrap();
    for (seconds, opens) in [(0, true), (99, true), (100, false), (101, false), (u64::from(u32::MAX), false)] {
        let opened = rotated.open(Purpose::Session, sealed.as_bytes(), b"cookie", at(seconds));
        assert_eq!(opened.is_some(), opens, "{seconds}");
    }
    let current = seal(&rotated, b"hello");
    assert!(rotated.open(Purpose::Session, current.as_bytes(), b"cookie", at(101)).is_some());
    // Whatever its date says, the key that seals opens: a sign-in must never be lost at once.
    keys.reverse();
    let back = KeyRing::new(&keys).unwrap();
    assert!(back.open(Purpose::Session, sealed.as_bytes(), b"cookie", at(101)).is_some());
}

#[test]
fn a_ring_whose_keys_are_replaced_says_what_changed() {
    let ring = ring(&[1, 2]);
    let mut ended = materials(&[3, 2, 1]);
    ended[2].until = Some(NOW);
    let steps: [(Vec<KeyMaterial>, Change); 7] = [
        (materials(&[1, 2]), Change::Nothing),
        (materials(&[1]), Change::Others),
        (materials(&[]), Change::Nothing),
        (materials(&[2, 1]), Change::Current),
        (materials(&[3, 2, 1]), Change::Current),
        (ended, Change::Others),
        (materials(&[3]), Change::Others),
    ];
    let of_first = seal(&ring, b"hello");
    for (step, (keys, change)) in steps.into_iter().enumerate() {
        assert_eq!(ring.replace(&keys), change, "{step}");
        assert_eq!(opens(&ring, &of_first).is_some(), step < 5, "{step}");
    }
    assert_eq!(ring.replace(&materials(&[1])), Change::Current);
    assert_eq!(opens(&ring, &of_first).as_deref(), Some(&b"hello"[..]));
}

#[test]
fn a_ring_of_a_site_stays_one_when_its_keys_are_replaced() {
    let ring = KeyRing::of_site(&materials(&[1]), "https://a.example app").unwrap();
    ring.replace(&materials(&[2]));
    let same = KeyRing::of_site(&materials(&[2]), "https://a.example app").unwrap();
    assert!(opens(&same, &seal(&ring, b"hello")).is_some());
    assert!(opens(&self::ring(&[2]), &seal(&ring, b"hello")).is_none());
}

#[test]
fn nothing_fails_to_open_while_the_keys_rotate() {
    const ROTATIONS: u8 = 40;
    let ring = ring(&[1, 0]);
    let rotating = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0_u32;
                    while rotating.load(std::sync::atomic::Ordering::Relaxed) || count == 0 {
                        assert_eq!(opens(&ring, &seal(&ring, b"hello")).as_deref(), Some(&b"hello"[..]));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for new in 2..ROTATIONS {
            // Every key that ever was still opens: what is shown is that no moment is without them.
            ring.replace(&materials(&(0..=new).rev().collect::<Vec<_>>()));
        }
        rotating.store(false, std::sync::atomic::Ordering::Relaxed);
        assert!(users.into_iter().all(|user| user.join().unwrap() > 0));
    });
}

#[test]
fn keys_are_described_without_their_secrets() {
    let described = ring(&[1, 2]).describe();
    let ids: Vec<&str> = described.split([' ', ',', '(', ')']).filter(|word| word.len() == 8).collect();
    assert_eq!(described, format!("1 ({}), 2 ({})", ids[0], ids[1]));
    let sealed = URL_SAFE_NO_PAD.decode(seal(&ring(&[1]), b"hello")).unwrap();
    assert_eq!(ids[0], format!("{:08x}", u32::from_be_bytes(sealed[1..5].try_into().unwrap())));
}

/// A line of the vectors: its name, purpose, associated data, nonce, plaintext and text.
struct Vector<'a> {
    name: &'a str,
    purpose: Purpose,
    associated: Vec<u8>,
    nonce: Vec<u8>,
    plaintext: Vec<u8>,
    sealed: &'a str,
}

fn vectors() -> Vec<Vector<'static>> {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.trim_matches('-').as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    let rows = VECTORS.lines().filter(|line| !line.starts_with('#') && line.contains(" | "));
    rows.map(|line| {
        let [name, purpose, associated, nonce, plaintext, sealed]: [&str; 6] =
            line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let label = format!("vestibule 1 {purpose}");
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.label() == label.as_bytes()).unwrap();
        let (associated, nonce, plaintext) = (bytes(associated), bytes(nonce), bytes(plaintext));
        Vector { name, purpose, associated, nonce, plaintext, sealed: if sealed == "-" { "" } else { sealed } }
    })
    .collect()
}

const VECTORS: &str = include_str!("../../tests/vectors/sealed.txt");

/// The rings that the vectors speak of: of both keys, and of the former one alone.
fn rings_of_the_vectors() -> [KeyRing; 2] {
    let value = |name: &str| VECTORS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = ")).unwrap();
    let key = |name: &str| KeyMaterial {
        id: name.to_owned(),
        secret: Zeroizing::new(URL_SAFE_NO_PAD.decode(value(name)).unwrap().try_into().unwrap()),
        until: None,
    };
    let site = value("site").trim_matches('"');
    [vec![key("key"), key("former")], vec![key("former")]].map(|keys| KeyRing::of_site(&keys, site).unwrap())
}

/// Gives these bytes as the nonce.
struct Fixed(Vec<u8>);

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

#[test]
fn another_implementation_seals_and_opens_the_same() {
    let [both, former] = rings_of_the_vectors();
    let (bad, good): (Vec<_>, Vec<_>) = vectors().into_iter().partition(|vector| vector.name.starts_with("bad."));
    assert!(good.len() >= 12 && bad.len() >= 28, "{} {}", good.len(), bad.len());
    for vector in good {
        let name = vector.name;
        let opened = both.open(vector.purpose, vector.sealed.as_bytes(), &vector.associated, NOW).expect(name);
        assert_eq!(opened.plaintext(), vector.plaintext, "{name}");
        let is_former = name.starts_with("former.");
        assert_eq!(opened.by_current_key, !is_former, "{name}");
        let ring = if is_former { &former } else { &both };
        let nonce = Fixed(vector.nonce);
        let sealed = ring.seal(vector.purpose, &vector.plaintext, &vector.associated, &nonce).unwrap();
        assert_eq!(sealed, vector.sealed, "{name}");
    }
    for vector in bad {
        let opened = both.open(vector.purpose, vector.sealed.as_bytes(), &vector.associated, NOW);
        assert!(opened.is_none(), "{}", vector.name);
    }
}

#[test]
fn a_key_that_left_the_ring_opens_nothing() {
    assert_eq!(opens(&ring(&[2]), &seal(&ring(&[1]), b"hello")), None);
}

#[test]
fn a_text_opens_only_for_its_purpose_and_its_place() {
    let ring = ring(&[1]);
    let sealed = seal(&ring, b"hello");
    for purpose in Purpose::ALL {
        let opened = ring.open(purpose, sealed.as_bytes(), b"cookie", NOW).is_some();
        assert_eq!(opened, purpose == Purpose::Session, "{purpose:?}");
    }
    assert!(ring.open(Purpose::Session, sealed.as_bytes(), b"another cookie", NOW).is_none());
}

#[test]
fn the_same_plaintext_never_looks_the_same_twice() {
    let ring = ring(&[1]);
    assert_ne!(seal(&ring, b"hello"), seal(&ring, b"hello"));
}

#[test]
fn an_oversized_text_is_refused() {
    let ring = ring(&[1]);
    let sealed = seal(&ring, &vec![0; MAX_SEALED_LEN]);
    assert!(sealed.len() > MAX_SEALED_LEN);
    assert_eq!(opens(&ring, &sealed), None);
}

#[test]
fn no_secret_is_printed() {
    let key = KeyMaterial { id: "k".into(), secret: Zeroizing::new([0xAB; 32]), until: None };
    assert_eq!(format!("{key:?}"), r#"KeyMaterial { id: "k", .. }"#);
}

proptest! {
    #[test]
    fn what_is_sealed_opens_again(plaintext: Vec<u8>) {
        let ring = ring(&[1]);
        prop_assert_eq!(opens(&ring, &seal(&ring, &plaintext)), Some(plaintext));
    }

    #[test]
    fn any_altered_byte_and_any_cut_is_refused(at in 0usize..100, with: u8, cut in 0usize..60) {
        let ring = ring(&[1]);
        let sealed = seal(&ring, b"a session of a person");
        let mut altered = sealed.clone().into_bytes();
        let at = at % altered.len();
        altered[at] = with;
        if altered != sealed.as_bytes() {
            prop_assert!(ring.open(Purpose::Session, &altered, b"cookie", NOW).is_none());
        }
        prop_assert_eq!(opens(&ring, &sealed[..cut]), None);
    }

    #[test]
    fn random_bytes_never_open(bytes: Vec<u8>) {
        prop_assert!(ring(&[1]).open(Purpose::Session, &bytes, b"cookie", NOW).is_none());
    }
}
