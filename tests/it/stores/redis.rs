//! What only a real Redis can show: it goes and comes back, falls silent, changes its master, and
//! asks who we are.

use crate::support::certificates;
use crate::support::counterparts::require;
use crate::support::redis::{Cluster, Redis, SentinelSet, settings};
use crate::support::waiting::{in_time, promptly, until};
use futures_util::future::join_all;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vestibule::clock::{Clock, Timestamp};
use vestibule::store::{Cursor, Key, RedisSettings, Settings, Store, StoreError, open};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    Clock::System.now()
}

fn store(settings: &RedisSettings) -> Arc<dyn Store> {
    open(&Settings::Redis(Box::new(settings.clone()))).unwrap()
}

fn key(id: &str) -> Key {
    Key::new("session", id.as_bytes())
}

/// Asks again until there is an answer.
async fn recovers<T>(ask: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let answered = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    in_time("the store recovers", answered).await
}

/// Follows the log from `cursor` until `count` different entries came, whatever happens meanwhile.
async fn follow(store: &dyn Store, mut cursor: Cursor, count: usize) -> (Vec<Vec<u8>>, Cursor) {
    let mut heard = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let all = async {
        while heard.len() < count {
            match store.announced(&cursor, Duration::from_secs(2), now()).await {
                Ok((news, after)) => {
                    heard.extend(news.into_iter().filter(|entry| known.insert(entry.clone())));
                    cursor = after;
                }
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    in_time(&format!("{count} announcements came"), all).await;
    (heard, cursor)
}

async fn announce(store: &dyn Store, entry: impl AsRef<[u8]>) {
    recovers(async || store.announce(entry.as_ref(), now().plus(HOUR), now()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_goes_and_comes_back() {
    require!(Redis);
    let mut redis = Redis::start().await;
    let settings = settings(&[redis.port]);
    let (one, other) = (store(&settings), store(&settings));
    one.put(&key("a"), b"kept", now().plus(HOUR), now()).await.unwrap();
    announce(&*one, "before").await;
    let (_, cursor) = follow(&*other, Cursor::default(), 1).await;

    redis.stop();
    for _ in 0..50 {
        let asked = async { one.get(&key("a"), now()).await };
        let answer = promptly("it is known to be gone", Duration::from_millis(500), asked).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    }
    assert!(matches!(one.put_new(&key("b"), b"", now().plus(HOUR), now()).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(one.announce(b"lost", now().plus(HOUR), now()).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(other.announced(&cursor, HOUR, now()).await, Err(StoreError::Unavailable(_))));

    // Who follows meanwhile goes on by itself.
    let follower = tokio::spawn(async move { follow(&*other, cursor, 2).await });
    redis.start_again().await;
    assert_eq!(recovers(async || one.get(&key("a"), now()).await).await, Some(b"kept".to_vec()));
    announce(&*one, "after").await;
    // The loss of a connection that nobody used is not noticed at all.
    redis.stop();
    redis.start_again().await;
    assert_eq!(one.get(&key("a"), now()).await, Ok(Some(b"kept".to_vec())));
    announce(&*one, "after that").await;
    let (heard, _) = follower.await.unwrap();
    let heard: Vec<_> = heard.iter().filter(|entry| *entry != b"before").collect();
    assert!(heard.contains(&&b"after".to_vec()), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_redis_is_unavailable_soon() {
    require!(Redis);
    let redis = Redis::start().await;
    let store = store(&settings(&[redis.port]));
    store.put(&key("a"), b"v", now().plus(HOUR), now()).await.unwrap();
    redis.signal("STOP");
    let all: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.get(&key("a"), now()).await })
        })
        .collect();
    let answers = promptly("it is known to be silent", Duration::from_secs(4), join_all(all)).await;
    assert!(answers.into_iter().all(|answer| matches!(answer.unwrap(), Err(StoreError::Unavailable(_)))));
    redis.signal("CONT");
    assert_eq!(recovers(async || store.get(&key("a"), now()).await).await, Some(b"v".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_arrive_within_a_second() {
    require!(Redis);
    let redis = Redis::start().await;
    let settings = settings(&[redis.port]);
    let (one, other) = (store(&settings), store(&settings));
    let (said, mut news_of) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut cursor = Cursor::default();
        loop {
            let (news, after) = other.announced(&cursor, HOUR, now()).await.unwrap();
            cursor = after;
            for entry in news {
                let _ = said.send(entry);
            }
        }
    });
    for number in 0..100u32 {
        let heard = async {
            one.announce(&number.to_be_bytes(), now().plus(HOUR), now()).await.unwrap();
            news_of.recv().await.unwrap()
        };
        assert_eq!(promptly("it is heard", Duration::from_secs(1), heard).await, number.to_be_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_announcements_are_caught_up_with() {
    require!(Redis);
    let redis = Redis::start_with(&[]).await;
    let settings = settings(&[redis.port]);
    let (one, other) = (store(&settings), store(&settings));
    announce(&*one, "first").await;
    let (_, cursor) = follow(&*other, Cursor::default(), 1).await;
    redis.cli(&["client", "kill", "type", "normal"]);
    let all: Vec<_> = (0..100u32)
        .map(|group| {
            let one = Arc::clone(&one);
            tokio::spawn(async move {
                for number in group * 1000..(group + 1) * 1000 {
                    // One that was too late may have arrived: then it is heard twice.
                    while let Err(error) = one.announce(&number.to_be_bytes(), now().plus(HOUR), now()).await {
                        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                    }
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    let (mut heard, _) = follow(&*other, cursor, 100_001).await;
    heard.sort();
    heard.retain(|entry| entry != b"first");
    assert_eq!(heard, (0..100_000u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_lost_the_last_entries_and_is_behind_in_time_loses_no_news() {
    require!(Redis);
    let redis = Redis::start().await;
    let store = store(&settings(&[redis.port]));
    announce(&*store, "kept").await;
    announce(&*store, "lost by the failover").await;
    let (_, cursor) = follow(&*store, Cursor::default(), 2).await;

    // As the new master has it: without the last entry, and with a lower id for the next.
    let log = "vestibule:{announcements}";
    let ids = redis.cli(&["--raw", "xrange", log, "-", "+"]);
    let last: u64 = ids.lines().filter_map(|line| line.split_once('-')?.0.parse().ok()).next_back().unwrap();
    redis.cli(&["del", log]);
    let entry = format!("\"{}announced later\"", "\\xff".repeat(8));
    let added = redis.cli(&["--quoted-input", "xadd", log, &format!("{}-0", last - 60_000), "e", &entry]);
    assert_eq!(added, format!("{}-0", last - 60_000));
    redis.cli(&["client", "kill", "type", "normal"]);
    let (heard, cursor) = follow(&*store, cursor, 1).await;
    assert_eq!(heard, [b"announced later".to_vec()]);

    // And it goes on from there.
    let entry = format!("\"{}and more\"", "\\xff".repeat(8));
    redis.cli(&["--quoted-input", "xadd", log, &format!("{}-0", last - 50_000), "e", &entry]);
    let (heard, _) = follow(&*store, cursor, 1).await;
    assert_eq!(heard, [b"and more".to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_forgets_what_is_older_than_its_longest_and_ends() {
    require!(Redis);
    let redis = Redis::start().await;
    let store = store(&settings(&[redis.port]));
    let log = "vestibule:{announcements}";
    // Somebody else's entries, of 1970, one of which could be ours.
    redis.cli(&["xadd", log, "5-0", "theirs", "x"]);
    redis.cli(&["--quoted-input", "xadd", log, "6-0", "e", "\"\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xffold\""]);
    assert_eq!(follow(&*store, Cursor::default(), 1).await.0, [b"old".to_vec()]);
    store.announce(b"new", now().plus(HOUR), now()).await.unwrap();
    assert_eq!(redis.cli(&["xlen", log]), "1");
    // Longer than the longest entry by an hour, and no more for a shorter one.
    let lives = || redis.cli(&["ttl", log]).parse::<u64>().unwrap();
    assert!((7190..=7200).contains(&lives()), "{}", lives());
    store.announce(b"short", now().plus(Duration::from_secs(5)), now()).await.unwrap();
    assert!((7190..=7200).contains(&lives()), "{}", lives());
    store.announce(b"long", now().plus(HOUR * 24), now()).await.unwrap();
    assert!(lives() > 24 * 3600, "{}", lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_redis_has_an_end_and_our_prefix() {
    require!(Redis);
    let redis = Redis::start().await;
    let store = store(&RedisSettings { prefix: "mine:".to_owned(), database: 3, ..settings(&[redis.port]) });
    let until = now().plus(HOUR);
    store.put(&key("a"), b"1", until, now()).await.unwrap();
    store.put_new(&key("b"), b"1", until, now()).await.unwrap();
    store.index_add(&Key::new("person", b"p"), b"m", until, now()).await.unwrap();
    store.announce(b"x", until, now()).await.unwrap();
    let keys = redis.cli(&["-n", "3", "keys", "*"]);
    assert_eq!(keys.lines().count(), 5, "{keys}");
    for key in keys.lines() {
        assert!(key.starts_with("mine:"), "{key}");
        let lives: i64 = redis.cli(&["-n", "3", "ttl", key]).parse().unwrap();
        assert!((3500..=7200).contains(&lives), "{key}: {lives}");
    }
    assert_eq!(redis.cli(&["keys", "*"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_sentinel_is_survived() {
    require!(Redis);
    let mut set = SentinelSet::start().await;
    let settings = set.settings();
    let (one, other) = (store(&settings), store(&settings));
    one.put(&key("a"), b"kept", now().plus(HOUR), now()).await.unwrap();
    for number in 0..20 {
        announce(&*one, format!("before {number}")).await;
    }
    let (_, cursor) = follow(&*other, Cursor::default(), 20).await;
    let replica = &set.servers[1];
    until("replication", async || replica.cli(&["xlen", "vestibule:{announcements}"]) == "20").await;
    let follower = tokio::spawn(async move { follow(&*other, cursor, 40).await });
    set.servers[0].stop();
    assert!(matches!(one.get(&key("a"), now()).await, Err(StoreError::Unavailable(_))));
    assert_eq!(recovers(async || one.get(&key("a"), now()).await).await, Some(b"kept".to_vec()));
    for number in 0..20 {
        announce(&*one, format!("after {number}")).await;
    }
    let (heard, _) = follower.await.unwrap();
    let after = heard.iter().filter(|entry| entry.starts_with(b"after")).count();
    assert_eq!((heard.len(), after), (40, 20), "what was read before is read again, what is new is not missed");

    // The old master comes back as a replica, and nobody takes it for the master.
    set.servers[0].start_again().await;
    until("the old master follows", async || set.servers[0].cli(&["role"]).starts_with("slave")).await;
    recovers(async || one.put(&key("b"), b"later", now().plus(HOUR), now()).await).await;
    assert_eq!(one.get(&key("b"), now()).await, Ok(Some(b"later".to_vec())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_log_moves_or_stops_loses_no_news() {
    require!(Redis);
    let mut cluster = Cluster::start().await;
    let settings = cluster.settings();
    let (one, other) = (store(&settings), store(&settings));
    announce(&*one, "first").await;
    let (_, cursor) = follow(&*other, Cursor::default(), 1).await;
    let log = "vestibule:{announcements}";
    let slot = cluster.nodes[0].cli(&["cluster", "keyslot", log]);
    let holder = cluster.nodes.iter().position(|node| node.cli(&["xlen", log]) == "1").unwrap();
    let id = |node: &Redis| node.cli(&["cluster", "myid"]);

    // The node that has the log stops and comes back.
    cluster.nodes[holder].stop();
    assert!(matches!(other.announced(&cursor, HOUR, now()).await, Err(StoreError::Unavailable(_))));
    cluster.nodes[holder].start_again().await;
    announce(&*one, "second").await;
    let (heard, cursor) = follow(&*other, cursor, 2).await;
    assert_eq!(heard, [b"first".to_vec(), b"second".to_vec()]);

    // The log moves to another node.
    let to = (holder + 1) % 3;
    let (old, new) = (&cluster.nodes[holder], &cluster.nodes[to]);
    until("the cluster is well", async || new.cli(&["cluster", "info"]).contains("cluster_state:ok")).await;
    assert_eq!(new.cli(&["cluster", "setslot", &slot, "importing", &id(old)]), "OK");
    assert_eq!(old.cli(&["cluster", "setslot", &slot, "migrating", &id(new)]), "OK");
    let keys = old.cli(&["cluster", "getkeysinslot", &slot, "100"]);
    for key in keys.lines() {
        assert_eq!(old.cli(&["migrate", "127.0.0.1", &new.port.to_string(), key, "0", "5000"]), "OK");
    }
    for node in [new, old] {
        assert_eq!(node.cli(&["cluster", "setslot", &slot, "node", &id(new)]), "OK");
    }
    announce(&*one, "third").await;
    let (heard, _) = follow(&*other, cursor, 3).await;
    assert!(heard.contains(&b"third".to_vec()), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_told_who_we_are_and_no_secret_is_told_to_anybody_else() {
    require!(Redis);
    // What docs/decisions/0004-stores.md says that the user needs, and no more.
    let user = "--user default off --user vestibule on >hunter2 ~vestibule:* \
                +@read +@write +@scripting +@connection +time";
    let user: Vec<&str> = user.split(' ').collect();
    let redis = Redis::start_with(&user).await;
    let known = RedisSettings {
        username: Some("vestibule".to_owned()),
        password: Some("hunter2".into()),
        ..settings(&[redis.port])
    };
    assert!(!format!("{known:?}").contains("hunter2"));
    let right = store(&known);
    right.put(&key("a"), b"v", now().plus(HOUR), now()).await.unwrap();
    assert_eq!(right.get(&key("a"), now()).await, Ok(Some(b"v".to_vec())));
    announce(&*right, "x").await;
    follow(&*right, Cursor::default(), 1).await;
    // What somebody else put under a name of ours is not taken for an answer.
    right.index_add(&Key::new("session", b"set"), b"m", now().plus(HOUR), now()).await.unwrap();
    assert!(matches!(right.get(&Key::new("session", b"set"), now()).await, Err(StoreError::Corrupt(_))));
    let cases = [
        RedisSettings { password: Some("hunter3".into()), ..known.clone() },
        RedisSettings { username: Some("nobody".to_owned()), ..known.clone() },
        RedisSettings { username: None, password: None, ..known.clone() },
        RedisSettings { prefix: "theirs:".to_owned(), ..known.clone() },
    ];
    for settings in cases {
        let store = store(&settings);
        for outcome in [
            store.get(&key("a"), now()).await.map(drop),
            store.put(&key("secret-of-a-person"), b"hunter2", now().plus(HOUR), now()).await,
            store.announce(b"hunter2", now().plus(HOUR), now()).await,
            store.announced(&Cursor::default(), Duration::ZERO, now()).await.map(drop),
        ] {
            let Err(StoreError::Unavailable(message)) = outcome else { panic!("{outcome:?}") };
            for secret in ["hunter", "secret-of", "c2VjcmV0"] {
                assert!(!message.contains(secret), "{message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_checked_against_the_authorities_that_are_named() {
    require!(Redis);
    let folder = tempfile::tempdir().unwrap();
    let right = certificates::for_name(folder.path(), "127.0.0.1");
    let other_name = certificates::for_name(folder.path(), "other.example");
    let redis = Redis::start_with_tls(&right).await;
    let with = |ca: Option<PathBuf>| RedisSettings { tls: true, ca, ..settings(&[redis.port]) };
    let good = store(&with(Some(right.certificate.clone())));
    good.put(&key("a"), b"v", now().plus(HOUR), now()).await.unwrap();
    announce(&*good, "x").await;
    follow(&*good, Cursor::default(), 1).await;
    for bad in [with(Some(other_name.certificate.clone())), with(None), settings(&[redis.port])] {
        let outcome = store(&bad).get(&key("a"), now()).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
    let impostor = Redis::start_with_tls(&other_name).await;
    let settings = RedisSettings { tls: true, ca: Some(other_name.certificate.clone()), ..settings(&[impostor.port]) };
    assert!(matches!(store(&settings).get(&key("a"), now()).await, Err(StoreError::Unavailable(_))));

    let none = folder.path().join("none.pem");
    for content in [None, Some("not a certificate"), Some("-----BEGIN CERTIFICATE-----\nAAAA\n")] {
        if let Some(content) = content {
            std::fs::write(&none, content).unwrap();
        }
        let opened = open(&Settings::Redis(Box::new(with(Some(none.clone())))));
        let message = opened.map(drop).unwrap_err().to_string();
        assert!(message.contains("none.pem"), "{message}");
    }
}
