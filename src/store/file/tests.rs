//! Tests of what only the file does: it refuses what is not its own, it survives, and no damage to
//! it goes unnoticed. The contract that it shares with the others: `tests/it/stores/contract.rs`.

use super::*;
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const NOW: Timestamp = Timestamp::from_unix(1_760_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &Path) -> Result<FileStore, OpenError> {
    FileStore::open(path)
}

/// Why it does not open, in words.
fn refusal(path: &Path) -> String {
    open(path).map(drop).unwrap_err().to_string()
}

async fn heard(store: &FileStore) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut cursor = Cursor::default();
    let mut all = Vec::new();
    loop {
        let (news, after) = store.announced(&cursor, Duration::ZERO, NOW).await?;
        if after == cursor {
            return Ok(all);
        }
        all.extend(news);
        cursor = after;
    }
}

#[tokio::test]
async fn a_new_file_is_for_this_user_alone() {
    let folder = folder();
    let path = folder.path().join("store");
    // What an interrupted start left behind is in nobody's way.
    std::fs::write(folder.path().join("store.new"), "half").unwrap();
    let store = open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store"]);
    drop(store);
    open(&path).unwrap();
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("store");
    let cases: [(&[u8], &str); 4] = [
        (b"", "is empty"),
        (b"r", "not Vestibule's"),
        (b"a text that is much longer than a magic number", "not Vestibule's"),
        (b"redb\x1A\x0A\xA9\x0D\x0Aand then nothing of the kind", "is damaged"),
    ];
    for (content, said) in cases {
        std::fs::write(&path, content).unwrap();
        let message = refusal(&path);
        assert!(message.contains(said) && message.contains(path.to_str().unwrap()), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    assert!(refusal(folder.path()).contains("is not a file"));
    let nowhere = folder.path().join("no/where");
    assert!(refusal(&nowhere).contains("there is no directory"));
    std::os::unix::fs::symlink("/nowhere/at/all", folder.path().join("dangling")).unwrap();
    assert!(open(&folder.path().join("dangling")).is_err());
}

#[test]
fn a_database_of_somebody_else_or_of_another_version_is_refused() {
    let folder = folder();
    for (name, version, said) in [("other", None, "not Vestibule's"), ("later", Some(2), "has format 2")] {
        let path = folder.path().join(name);
        let database = Database::create(&path).unwrap();
        let writing = database.begin_write().unwrap();
        match version {
            None => drop(writing.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap()),
            Some(version) => {
                writing.open_table(layout::FORMAT).unwrap().insert(layout::FORMAT_NAME, version).unwrap();
            }
        }
        writing.commit().unwrap();
        drop(database);
        let message = refusal(&path);
        assert!(message.contains(said), "{message}");
    }
}

#[tokio::test]
async fn a_file_serves_one_at_a_time() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path).unwrap();
    assert!(refusal(&path).contains("in use by another process"));
    store.put(&Key::new("session", b"a"), b"v", NOW.plus(HOUR), NOW).await.unwrap();
    drop(store);
    let again = open(&path).unwrap();
    assert_eq!(again.get(&Key::new("session", b"a"), NOW).await, Ok(Some(b"v".to_vec())));
}

/// Rows of every table that can end, and of the table of ends.
fn rows(store: &FileStore) -> (u64, u64) {
    let reading = store.file.database().unwrap().begin_read().unwrap();
    let count = |name: &str| reading.open_untyped_table(redb_handle(&reading, name)).unwrap().len().unwrap();
    (count("values") + count("members") + count("log"), count("ends"))
}

fn redb_handle(reading: &redb::ReadTransaction, name: &str) -> redb::UntypedTableHandle {
    use redb::TableHandle;
    reading.list_tables().unwrap().find(|table| table.name() == name).unwrap()
}

#[tokio::test]
async fn what_has_ended_is_swept_away() {
    let folder = folder();
    let store = open(&folder.path().join("store")).unwrap();
    let soon = NOW.plus(Duration::from_secs(10));
    for number in 0..50u8 {
        let key = Key::new("session", &[number]);
        store.put(&key, b"1", soon, NOW).await.unwrap();
        // Put again, it has one end, not two.
        store.put(&key, b"2", soon.plus(HOUR), NOW).await.unwrap();
        store.put(&key, b"3", soon, NOW).await.unwrap();
        store.index_add(&Key::new("person", b"p"), &[number], soon, NOW).await.unwrap();
        store.index_add(&Key::new("person", b"p"), &[number], soon.plus(HOUR), NOW).await.unwrap();
        store.index_add(&Key::new("person", b"p"), &[number], soon, NOW).await.unwrap();
        store.announce(&[number], soon, NOW).await.unwrap();
    }
    assert_eq!(rows(&store), (150, 150));
    let later = soon.plus(Duration::from_secs(1));
    store.put(&Key::new("session", b"last"), b"", later.plus(HOUR), later).await.unwrap();
    assert_eq!(rows(&store), (1, 1));
    store.delete(&Key::new("session", b"last"), later).await.unwrap();
    assert_eq!(rows(&store), (0, 0));
    // Numbers go on where they were: a follower that has seen 50 misses nothing.
    let (_, cursor) = store.announced(&Cursor { last: (50, 0), connection: 0 }, Duration::ZERO, later).await.unwrap();
    store.announce(b"51", later.plus(HOUR), later).await.unwrap();
    let (news, _) = store.announced(&cursor, Duration::ZERO, later).await.unwrap();
    assert_eq!(news, [b"51"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_share_commits() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = Arc::new(open(&path).unwrap());
    let writers: Vec<_> = (0..3000u32)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.announce(&number.to_be_bytes(), NOW.plus(HOUR), NOW).await.unwrap() })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    drop(store);
    let mut heard = heard(&open(&path).unwrap()).await.unwrap();
    heard.sort();
    assert_eq!(heard, (0..3000u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

/// How the test below runs itself as the process that is killed.
const CHILD: &str = "store::file::tests::announces_until_it_is_killed";
const CHILD_FILE: &str = "VESTIBULE_TEST_STORE";

/// Not a test: a process that announces, and prints each number once it is acknowledged.
#[test]
#[ignore = "is run by what_was_acknowledged_survives_a_kill"]
#[expect(clippy::print_stdout, reason = "its printing is its acknowledgement")]
fn announces_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent tells it which file")]
    let Some(path) = std::env::var_os(CHILD_FILE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(open(Path::new(&path)).unwrap());
        let begin = u32::try_from(heard(&store).await.unwrap().len()).unwrap();
        let mut number = begin;
        loop {
            // By several at a time, as requests come, so that commits hold several.
            let group: Vec<_> = (number..number + 5)
                .map(|number| {
                    let store = Arc::clone(&store);
                    tokio::spawn(async move {
                        store.announce(&number.to_be_bytes(), NOW.plus(HOUR), NOW).await.unwrap();
                        println!("acknowledged {number}");
                    })
                })
                .collect();
            for one in group {
                one.await.unwrap();
            }
            number += 5;
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut acknowledged = std::collections::BTreeSet::new();
    // Killed after so many lines, and so many milliseconds more: in the middle of anything.
    for (lines, milliseconds) in [(1, 0), (40, 1), (7, 3), (120, 0), (23, 2), (61, 5), (300, 1), (2, 7)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD, "--exact", "--ignored", "--nocapture"])
            .env(CHILD_FILE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: &str| line.rsplit_once("acknowledged ")?.1.parse::<u32>().ok();
        let mut seen = 0;
        for line in printed.by_ref().map_while(Result::ok) {
            seen += usize::from(number(&line).is_some_and(|number| acknowledged.insert(number)));
            if seen >= lines {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        // What it printed before it died counts as well; a line that was cut off does not.
        acknowledged.extend(printed.map_while(Result::ok).filter_map(|line| number(&line)));
        child.wait().unwrap();

        let store = open(&path).unwrap();
        let heard = heard(&store).await.unwrap();
        let heard: std::collections::BTreeSet<u32> =
            heard.iter().map(|entry| u32::from_be_bytes(entry.as_slice().try_into().unwrap())).collect();
        let lost: Vec<_> = acknowledged.difference(&heard).collect();
        assert!(lost.is_empty() && seen >= lines, "{seen} lines; lost: {lost:?}");
    }
}

/// Small deterministic numbers to damage files with.
fn places(count: usize, below: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    })
    .take(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_an_error_or_does_no_harm() {
    let folder = folder();
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    let store = open(&good).unwrap();
    let mut put = Vec::new();
    for number in 0..300u32 {
        let entry = number.to_be_bytes().repeat(8);
        store.announce(&entry, NOW.plus(HOUR), NOW).await.unwrap();
        store.put(&Key::new("session", &entry), &entry, NOW.plus(HOUR), NOW).await.unwrap();
        put.push(entry);
    }
    drop(store);
    let len = std::fs::metadata(&good).unwrap().len();
    let header = (0..320u64).step_by(3).map(|at| (at, 1, false));
    let bits = places(60, len).map(|at| (at, 1, false));
    let blocks = places(30, len).map(|at| (at, 4096, false));
    let cuts = places(30, len).map(|at| (at, 0, true));
    let (mut refused, mut unharmed) = (0, 0);
    for (at, flipped, cut) in header.chain(bits).chain(blocks).chain(cuts) {
        std::fs::copy(&good, &bad).unwrap();
        let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&bad).unwrap();
        if cut {
            file.set_len(at).unwrap();
        } else {
            let mut bytes = vec![0; flipped];
            file.seek(SeekFrom::Start(at)).unwrap();
            let read = file.read(&mut bytes).unwrap();
            bytes.truncate(read);
            for byte in &mut bytes {
                *byte ^= 0x5A;
            }
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&bytes).unwrap();
        }
        drop(file);
        match open(&bad) {
            Err(_) => refused += 1,
            Ok(store) => {
                let heard = heard(&store).await;
                assert!(
                    heard.as_ref() == Ok(&put),
                    "at {at}, {flipped} bytes, cut {cut}: {:?}",
                    heard.map(|h| h.len())
                );
                for entry in put.iter().step_by(29) {
                    assert_eq!(store.get(&Key::new("session", entry), NOW).await, Ok(Some(entry.clone())));
                }
                store.announce(b"more", NOW.plus(HOUR), NOW).await.unwrap();
                unharmed += 1;
            }
        }
    }
    assert!(refused > 60, "{refused} refused, {unharmed} unharmed");
}
