//! What every store does, whichever it is: one suite, run over all of them.

use crate::support::counterparts::require;
use crate::support::redis::{Cluster, Redis, SentinelSet, settings};
use crate::support::waiting::{in_time, promptly};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::store::{Claim, Claimed, Cursor, Key, MAX_ENTRY_LEN, MAX_VALUE_LEN, Settings, Store, StoreError, open};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(3600);
/// What must end while the suite waits for it, and not before a few questions are answered.
const SHORT: Duration = Duration::from_secs(6);

/// A store as two replicas see it, and the time by which it goes.
struct Subject {
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
    clock: Clock,
    manual: Option<ManualClock>,
    keys: AtomicU64,
}

impl Subject {
    /// A store that goes by the `now` it is told.
    fn with_virtual_time(store: Arc<dyn Store>) -> Self {
        let manual = ManualClock::starting_at(Timestamp::from_unix(1_760_000_000));
        let clock = Clock::Manual(manual.clone());
        Self { one: Arc::clone(&store), other: store, clock, manual: Some(manual), keys: AtomicU64::new(0) }
    }

    /// A store that has a clock of its own, and two connections to it.
    fn with_real_time(settings: &Settings) -> Self {
        let (one, other) = (open(settings).unwrap(), open(settings).unwrap());
        Self { one, other, clock: Clock::System, manual: None, keys: AtomicU64::new(0) }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn in_(&self, span: Duration) -> Timestamp {
        self.now().plus(span)
    }

    /// Lets time pass until `moment`.
    async fn pass_to(&self, moment: Timestamp) {
        match &self.manual {
            Some(manual) => manual.advance(moment.since(self.now())),
            None => {
                // Time itself is what is waited for. A second more: `now` has no fractions, so what
                // was put late in a second ends late in one. A quarter for two clocks' difference.
                while self.now() <= moment {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }

    fn key(&self, kind: &'static str) -> Key {
        Key::new(kind, &self.keys.fetch_add(1, Ordering::Relaxed).to_be_bytes())
    }
}

/// Everything, in order: a store that fails one fails here with its name.
async fn holds(subject: &Subject) {
    what_is_put_is_got(subject).await;
    what_ends_is_gone(subject).await;
    only_the_first_puts_anew(subject).await;
    only_the_owner_takes(subject).await;
    only_what_is_expected_is_replaced(subject).await;
    of_a_hundred_changes_none_is_lost(subject).await;
    of_two_hundred_one_puts_anew(subject).await;
    an_index_has_its_members(subject).await;
    places_are_given_until_none_is_left(subject).await;
    a_place_is_freed_by_its_end(subject).await;
    the_place_that_ends_first_is_given_away(subject).await;
    of_two_hundred_twenty_get_a_place(subject).await;
    what_is_too_large_is_refused(subject).await;
    what_is_announced_arrives_in_order(subject).await;
    silence_ends(subject).await;
    news_end_the_wait(subject).await;
}

async fn what_is_put_is_got(on: &Subject) {
    let (key, neighbour) = (on.key("session"), on.key("session"));
    let same_bytes = on.key("refresh");
    assert_eq!(on.one.get(&key, on.now()).await, Ok(None));
    let all_bytes: Vec<u8> = (0..=255).collect();
    for value in [b"a".as_slice(), &all_bytes, b"", &vec![7; MAX_VALUE_LEN]] {
        on.one.put(&key, value, on.in_(LONG), on.now()).await.unwrap();
        assert_eq!(on.other.get(&key, on.now()).await.unwrap().as_deref(), Some(value));
    }
    assert_eq!(on.other.get(&neighbour, on.now()).await, Ok(None));
    assert_eq!(on.other.get(&same_bytes, on.now()).await, Ok(None));
    on.other.delete(&key, on.now()).await.unwrap();
    on.other.delete(&key, on.now()).await.unwrap();
    assert_eq!(on.one.get(&key, on.now()).await, Ok(None));
}

async fn what_ends_is_gone(on: &Subject) {
    let (short, long, again) = (on.key("session"), on.key("session"), on.key("session"));
    let end = on.in_(SHORT);
    on.one.put(&short, b"s", end, on.now()).await.unwrap();
    on.one.put(&long, b"s", end, on.now()).await.unwrap();
    on.one.put(&long, b"l", on.in_(LONG), on.now()).await.unwrap();
    assert!(on.one.put_new(&again, b"1", end, on.now()).await.unwrap());
    let (shorter, longer) = (on.key("data"), on.key("data"));
    for (key, first, then) in [(&shorter, on.in_(LONG), end), (&longer, end, on.in_(LONG))] {
        on.one.put(key, b"a", first, on.now()).await.unwrap();
        assert!(on.other.replace(key, b"a", b"b", then, on.now()).await.unwrap());
    }
    let index = on.key("person");
    on.one.index_add(&index, b"short", end, on.now()).await.unwrap();
    on.one.index_add(&index, b"longer", end, on.now()).await.unwrap();
    on.one.index_add(&index, b"longer", on.in_(LONG), on.now()).await.unwrap();
    on.one.index_add(&index, b"long", on.in_(LONG), on.now()).await.unwrap();
    on.pass_to(end).await;
    let members = |mut members: Vec<Vec<u8>>| {
        members.sort();
        members
    };
    assert_eq!(on.other.get(&short, on.now()).await, Ok(None));
    assert_eq!(on.other.get(&long, on.now()).await, Ok(Some(b"l".to_vec())));
    assert_eq!(on.other.take(&short, b"s", on.now()).await, Ok(false));
    assert!(on.other.put_new(&again, b"2", on.in_(LONG), on.now()).await.unwrap());
    assert_eq!(on.other.get(&again, on.now()).await, Ok(Some(b"2".to_vec())));
    assert_eq!(on.one.get(&longer, on.now()).await, Ok(Some(b"b".to_vec())));
    assert_eq!(on.one.replace(&shorter, b"b", b"c", on.in_(LONG), on.now()).await, Ok(false), "it has ended");
    assert_eq!(on.one.get(&shorter, on.now()).await, Ok(None));
    let left = on.other.index_members(&index, on.now()).await.unwrap();
    assert_eq!(members(left), [b"long".to_vec(), b"longer".to_vec()]);

    // What would have ended already is not put, and takes away what was there.
    on.one.put(&long, b"x", on.now(), on.now()).await.unwrap();
    assert_eq!(on.one.get(&long, on.now()).await, Ok(None));
    assert!(!on.one.put_new(&short, b"x", on.now(), on.now()).await.unwrap());
    assert_eq!(on.one.get(&short, on.now()).await, Ok(None));
    on.one.index_add(&index, b"long", on.now(), on.now()).await.unwrap();
    assert_eq!(on.one.index_members(&index, on.now()).await.unwrap(), [b"longer".to_vec()]);
}

async fn only_the_first_puts_anew(on: &Subject) {
    let key = on.key("logout_token");
    assert!(on.one.put_new(&key, b"x", on.in_(LONG), on.now()).await.unwrap());
    assert!(!on.other.put_new(&key, b"x", on.in_(LONG), on.now()).await.unwrap(), "the same value is no exception");
    assert!(!on.one.put_new(&key, b"y", on.in_(LONG), on.now()).await.unwrap());
    assert_eq!(on.other.get(&key, on.now()).await, Ok(Some(b"x".to_vec())));
    // What is refused for its end leaves what is there.
    assert!(!on.one.put_new(&key, b"y", on.now(), on.now()).await.unwrap());
    assert_eq!(on.other.get(&key, on.now()).await, Ok(Some(b"x".to_vec())));
}

async fn only_the_owner_takes(on: &Subject) {
    let key = on.key("refresh");
    on.one.put_new(&key, b"mine", on.in_(LONG), on.now()).await.unwrap();
    for other in [b"yours".as_slice(), b"", b"min", b"mine2"] {
        assert_eq!(on.other.take(&key, other, on.now()).await, Ok(false));
    }
    assert_eq!(on.other.take(&key, b"mine", on.now()).await, Ok(true));
    assert_eq!(on.one.take(&key, b"mine", on.now()).await, Ok(false));
    assert_eq!(on.one.get(&key, on.now()).await, Ok(None));
}

async fn only_what_is_expected_is_replaced(on: &Subject) {
    let (key, until) = (on.key("data"), on.in_(LONG));
    let all_bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(on.one.replace(&key, b"", b"x", until, on.now()).await, Ok(false), "nothing is there");
    assert_eq!(on.one.get(&key, on.now()).await, Ok(None));
    on.one.put(&key, &all_bytes, until, on.now()).await.unwrap();
    for other in [b"".as_slice(), b"x", &all_bytes[..255], &[all_bytes.as_slice(), b"x"].concat()] {
        assert_eq!(on.other.replace(&key, other, b"x", until, on.now()).await, Ok(false));
    }
    assert_eq!(on.one.get(&key, on.now()).await, Ok(Some(all_bytes.clone())));
    assert_eq!(on.other.replace(&key, &all_bytes, b"", until, on.now()).await, Ok(true));
    assert_eq!(on.one.replace(&key, &all_bytes, b"x", until, on.now()).await, Ok(false));
    assert_eq!(on.other.get(&key, on.now()).await, Ok(Some(Vec::new())));
    // What would have ended already is not put, and takes away what is expected.
    assert_eq!(on.one.replace(&key, b"x", b"y", on.now(), on.now()).await, Ok(false));
    assert_eq!(on.one.get(&key, on.now()).await, Ok(Some(Vec::new())));
    assert_eq!(on.one.replace(&key, b"", b"y", on.now(), on.now()).await, Ok(true));
    assert_eq!(on.other.get(&key, on.now()).await, Ok(None));
}

async fn of_a_hundred_changes_none_is_lost(on: &Subject) {
    let key = on.key("data");
    let (until, now) = (on.in_(LONG), on.now());
    on.one.put(&key, &0u32.to_be_bytes(), until, now).await.unwrap();
    let adding = (0..10).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &on.one } else { &on.other });
        let key = key.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                loop {
                    let held = store.get(&key, now).await.unwrap().unwrap();
                    let next = u32::from_be_bytes(held.as_slice().try_into().unwrap()) + 1;
                    if store.replace(&key, &held, &next.to_be_bytes(), until, now).await.unwrap() {
                        break;
                    }
                }
            }
        })
    });
    for added in adding.collect::<Vec<_>>() {
        added.await.unwrap();
    }
    assert_eq!(on.one.get(&key, now).await, Ok(Some(100u32.to_be_bytes().to_vec())));
}

async fn of_two_hundred_one_puts_anew(on: &Subject) {
    let key = on.key("refresh");
    let (until, now) = (on.in_(LONG), on.now());
    let tries: Vec<_> = (0..200u32)
        .map(|number| {
            let store = Arc::clone(if number % 2 == 0 { &on.one } else { &on.other });
            let key = key.clone();
            tokio::spawn(async move { (number, store.put_new(&key, &number.to_be_bytes(), until, now).await.unwrap()) })
        })
        .collect();
    let mut winners = Vec::new();
    for tried in tries {
        let (number, won) = tried.await.unwrap();
        winners.extend(won.then_some(number));
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(on.one.get(&key, now).await, Ok(Some(winners[0].to_be_bytes().to_vec())));
}

async fn an_index_has_its_members(on: &Subject) {
    let (index, neighbour) = (on.key("person"), on.key("person"));
    assert_eq!(on.one.index_members(&index, on.now()).await, Ok(vec![]));
    on.one.index_remove(&index, b"a", on.now()).await.unwrap();
    let until = on.in_(LONG);
    for member in [b"a".as_slice(), b"b", b"", &[0, 255, 10], b"a"] {
        on.one.index_add(&index, member, until, on.now()).await.unwrap();
    }
    on.one.index_add(&neighbour, b"n", until, on.now()).await.unwrap();
    let mut members = on.other.index_members(&index, on.now()).await.unwrap();
    members.sort();
    assert_eq!(members, [b"".to_vec(), vec![0, 255, 10], b"a".to_vec(), b"b".to_vec()]);
    for member in [b"".as_slice(), b"a", &[0, 255, 10], b"never"] {
        on.other.index_remove(&index, member, on.now()).await.unwrap();
    }
    assert_eq!(on.one.index_members(&index, on.now()).await, Ok(vec![b"b".to_vec()]));
    assert_eq!(on.one.index_members(&neighbour, on.now()).await, Ok(vec![b"n".to_vec()]));
    on.one.index_remove(&index, b"b", on.now()).await.unwrap();
    assert_eq!(on.one.index_members(&index, on.now()).await, Ok(vec![]));
}

fn claim(member: &[u8], until: Timestamp, limit: usize) -> Claim<'_> {
    Claim { member, until, limit, displacing: None }
}

/// Who has a place, in order.
async fn seated(on: &Subject, places: &Key) -> Vec<Vec<u8>> {
    let mut seated: Vec<_> = on.other.places(places, on.now()).await.unwrap().into_iter().map(|(who, _)| who).collect();
    seated.sort();
    seated
}

async fn places_are_given_until_none_is_left(on: &Subject) {
    let (places, neighbour, until) = (on.key("seats"), on.key("seats"), on.in_(LONG));
    assert_eq!(seated(on, &places).await, Vec::<Vec<u8>>::new());
    assert_eq!(on.one.claim_place(&places, &claim(b"a", until, 0), on.now()).await, Ok(Claimed::Full(None)));
    for (member, expected) in [(b"a", Claimed::Added), (b"b", Claimed::Added), (b"a", Claimed::Held)] {
        assert_eq!(on.one.claim_place(&places, &claim(member, until, 2), on.now()).await, Ok(expected));
    }
    let full = on.other.claim_place(&places, &claim(b"c", until, 2), on.now()).await.unwrap();
    let Claimed::Full(Some(next)) = full else { panic!("{full:?}") };
    assert!(next >= until && next <= until.plus(Duration::from_secs(2)), "{next:?}");
    assert_eq!(on.one.claim_place(&neighbour, &claim(b"c", until, 1), on.now()).await, Ok(Claimed::Added));
    // Fewer places than are taken: nobody loses theirs, and nobody gets one.
    assert_eq!(on.other.claim_place(&places, &claim(b"b", until, 1), on.now()).await, Ok(Claimed::Held));
    let displacing = Claim { displacing: Some(on.in_(LONG * 2)), ..claim(b"c", until, 1) };
    assert!(matches!(on.other.claim_place(&places, &displacing, on.now()).await, Ok(Claimed::Full(Some(_)))));
    assert_eq!(seated(on, &places).await, [b"a".to_vec(), b"b".to_vec()]);
    for (member, had) in [(&b"a"[..], true), (b"a", false), (b"never", false)] {
        assert_eq!(on.other.free_place(&places, member, on.now()).await, Ok(had));
    }
    assert_eq!(on.one.claim_place(&places, &claim(&[0, 255, 10], until, 2), on.now()).await, Ok(Claimed::Added));
    assert_eq!(seated(on, &places).await, [vec![0, 255, 10], b"b".to_vec()]);
    assert_eq!(seated(on, &neighbour).await, [b"c".to_vec()]);
}

async fn a_place_is_freed_by_its_end(on: &Subject) {
    let (places, end) = (on.key("seats"), on.in_(SHORT));
    for member in [b"short", b"later", b"again"] {
        on.one.claim_place(&places, &claim(member, end, 3), on.now()).await.unwrap();
    }
    on.one.claim_place(&places, &claim(b"again", on.in_(LONG), 3), on.now()).await.unwrap();
    // An end that comes sooner takes nothing away.
    on.one.claim_place(&places, &claim(b"again", end, 3), on.now()).await.unwrap();
    let later = |end| [(b"later".to_vec(), end), (b"never".to_vec(), end)];
    assert_eq!(on.other.extend_places(&places, &later(on.in_(LONG)), on.now()).await, Ok(vec![true, false]));
    assert_eq!(on.other.extend_places(&places, &later(end), on.now()).await, Ok(vec![true, false]));
    assert_eq!(on.other.extend_places(&places, &[], on.now()).await, Ok(vec![]));
    on.pass_to(end).await;
    assert_eq!(seated(on, &places).await, [b"again".to_vec(), b"later".to_vec()]);
    let ended = [(b"short".to_vec(), on.in_(LONG))];
    assert_eq!(on.other.extend_places(&places, &ended, on.now()).await, Ok(vec![false]), "it has ended");
    assert!(matches!(
        on.one.claim_place(&places, &claim(b"new", on.now(), 3), on.now()).await,
        Ok(Claimed::Full(Some(_)))
    ));
    assert_eq!(on.one.claim_place(&places, &claim(b"new", on.in_(LONG), 3), on.now()).await, Ok(Claimed::Added));
}

async fn the_place_that_ends_first_is_given_away(on: &Subject) {
    let places = on.key("seats");
    for (member, minutes) in [(b"late", 30), (b"next", 10), (b"soon", 5)] {
        let until = on.in_(Duration::from_secs(minutes * 60));
        on.one.claim_place(&places, &claim(member, until, 3), on.now()).await.unwrap();
    }
    let until = on.in_(LONG);
    let displacing =
        |minutes: u64| Claim { displacing: Some(on.in_(Duration::from_secs(minutes * 60))), ..claim(b"new", until, 3) };
    let full = on.other.claim_place(&places, &displacing(4), on.now()).await;
    assert!(matches!(full, Ok(Claimed::Full(Some(_)))), "{full:?}");
    let displaced = on.other.claim_place(&places, &displacing(11), on.now()).await;
    assert_eq!(displaced, Ok(Claimed::Displaced(b"soon".to_vec())));
    assert_eq!(on.one.claim_place(&places, &displacing(11), on.now()).await, Ok(Claimed::Held), "once");
    assert_eq!(seated(on, &places).await, [b"late".to_vec(), b"new".to_vec(), b"next".to_vec()]);
}

async fn of_two_hundred_twenty_get_a_place(on: &Subject) {
    let places = on.key("seats");
    let (until, now) = (on.in_(LONG), on.now());
    let tries: Vec<_> = (0..200u32)
        .map(|number| {
            let store = Arc::clone(if number % 2 == 0 { &on.one } else { &on.other });
            let places = places.clone();
            tokio::spawn(async move {
                store.claim_place(&places, &claim(&number.to_be_bytes(), until, 20), now).await.unwrap()
            })
        })
        .collect();
    let mut given = 0;
    for tried in tries {
        given += usize::from(tried.await.unwrap() == Claimed::Added);
    }
    assert_eq!((given, seated(on, &places).await.len()), (20, 20));
}

async fn what_is_too_large_is_refused(on: &Subject) {
    let (key, index) = (on.key("session"), on.key("person"));
    let (until, now) = (on.in_(LONG), on.now());
    let value = vec![0; MAX_VALUE_LEN + 1];
    assert_eq!(on.one.put(&key, &value, until, now).await, Err(StoreError::TooLarge(value.len())));
    assert_eq!(on.one.put_new(&key, &value, until, now).await, Err(StoreError::TooLarge(value.len())));
    assert_eq!(on.one.replace(&key, b"", &value, until, now).await, Err(StoreError::TooLarge(value.len())));
    let entry = vec![0; MAX_ENTRY_LEN + 1];
    assert_eq!(on.one.index_add(&index, &entry, until, now).await, Err(StoreError::TooLarge(entry.len())));
    assert_eq!(on.one.announce(&entry, until, now).await, Err(StoreError::TooLarge(entry.len())));
    let claimed = on.one.claim_place(&index, &claim(&entry, until, 1), now).await;
    assert_eq!(claimed, Err(StoreError::TooLarge(entry.len())));
}

/// Asks until `count` came, and gives them with the cursor after them.
async fn hear(store: &dyn Store, mut cursor: Cursor, count: usize, clock: &Clock) -> (Vec<Vec<u8>>, Cursor) {
    let mut heard = Vec::new();
    let all = async {
        while heard.len() < count {
            let (news, after) = store.announced(&cursor, Duration::from_secs(5), clock.now()).await.unwrap();
            heard.extend(news);
            cursor = after;
        }
    };
    in_time("all announcements", all).await;
    (heard, cursor)
}

async fn what_is_announced_arrives_in_order(on: &Subject) {
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>();
    let end = on.in_(SHORT);
    on.one.announce(b"has ended", on.now(), on.now()).await.unwrap();
    on.one.announce(b"ends soon", end, on.now()).await.unwrap();
    let (heard, cursor) = hear(&*on.other, Cursor::default(), 1, &on.clock).await;
    assert_eq!(heard, [b"ends soon".to_vec()]);
    for entry in numbers(0..50) {
        on.one.announce(&entry, on.in_(LONG), on.now()).await.unwrap();
    }
    let (heard, cursor) = hear(&*on.other, cursor, 50, &on.clock).await;
    assert_eq!(heard, numbers(0..50));
    for entry in numbers(50..60) {
        on.other.announce(&entry, on.in_(LONG), on.now()).await.unwrap();
    }
    let (heard, _) = hear(&*on.other, cursor.clone(), 10, &on.clock).await;
    assert_eq!(heard, numbers(50..60), "and nothing again");
    on.pass_to(end).await;
    let (heard, _) = hear(&*on.one, Cursor::default(), 60, &on.clock).await;
    assert_eq!(heard, numbers(0..60), "what has ended is not news");
}

/// A cursor behind everything that was announced.
async fn at_the_end(store: &dyn Store, now: Timestamp) -> Cursor {
    let mut cursor = Cursor::default();
    loop {
        let (news, after) = store.announced(&cursor, Duration::ZERO, now).await.unwrap();
        cursor = after;
        if news.is_empty() {
            return cursor;
        }
    }
}

async fn silence_ends(on: &Subject) {
    let cursor = at_the_end(&*on.one, on.now()).await;
    let before = tokio::time::Instant::now();
    let silence = on.one.announced(&cursor, Duration::from_millis(200), on.now());
    let (news, after) = promptly("it gives up", Duration::from_secs(3), silence).await.unwrap();
    assert_eq!((news, &after), (vec![], &cursor));
    let waited = before.elapsed();
    assert!(waited >= Duration::from_millis(190), "{waited:?}");
}

async fn news_end_the_wait(on: &Subject) {
    let cursor = at_the_end(&*on.other, on.now()).await;
    let (other, now) = (Arc::clone(&on.other), on.now());
    let waiting = tokio::spawn(async move {
        let mut cursor = cursor;
        loop {
            let (news, after) = other.announced(&cursor, Duration::from_secs(30), now).await.unwrap();
            if !news.is_empty() {
                return news;
            }
            cursor = after;
        }
    });
    // Mostly it waits by now; where it does not yet, it must hear of it all the same.
    tokio::time::sleep(Duration::from_millis(50)).await;
    on.one.announce(b"news", on.in_(LONG), on.now()).await.unwrap();
    let news = promptly("the news are heard", Duration::from_secs(1), waiting).await.unwrap();
    assert_eq!(news, [b"news".to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_holds_the_contract() {
    holds(&Subject::with_virtual_time(open(&Settings::Memory).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_holds_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::File(folder.path().join("store"));
    let subject = Subject::with_virtual_time(open(&settings).unwrap());
    holds(&subject).await;
    let (announced, value) = (on_file(&subject).await, subject.key("session"));
    subject.one.put(&value, b"kept", subject.in_(LONG), subject.now()).await.unwrap();
    let Subject { one, other, clock, .. } = subject;
    drop((one, other));

    let again = open(&settings).unwrap();
    assert_eq!(again.get(&value, clock.now()).await, Ok(Some(b"kept".to_vec())));
    let (heard, _) = again.announced(&Cursor::default(), Duration::ZERO, clock.now()).await.unwrap();
    assert_eq!(heard, announced);
}

async fn on_file(subject: &Subject) -> Vec<Vec<u8>> {
    subject.one.announced(&Cursor::default(), Duration::ZERO, subject.now()).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_holds_the_contract() {
    require!(Redis);
    let redis = Redis::start().await;
    holds(&Subject::with_real_time(&Settings::Redis(Box::new(settings(&[redis.port]))))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_under_sentinel_holds_the_contract() {
    require!(Redis);
    let set = SentinelSet::start().await;
    holds(&Subject::with_real_time(&Settings::Redis(Box::new(set.settings())))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_holds_the_contract() {
    require!(Redis);
    let cluster = Cluster::start().await;
    holds(&Subject::with_real_time(&Settings::Redis(Box::new(cluster.settings())))).await;
}
