//! The store that every replica shares: Redis 7 or Valkey, alone, under Sentinel, or a cluster.
//!
//! Each operation is one command or one script on one key (the log has two, in one hash slot), so
//! it is atomic wherever it runs. Ends are kept by Redis's own clock: whatever the replicas' clocks
//! say, a lock ends for all of them at once. The log is a stream, followed over a connection of
//! its own, whose entries have ids that rise: a reader says after which one it goes on. Must never
//! take silence for an answer: what does not come in time is [`StoreError::Unavailable`].

mod connect;
mod link;

pub(super) use connect::check;

use super::places::{Claim, Claimed};
use super::{
    Cursor, Key, MAX_BATCH, MAX_ENTRY_LEN, MAX_VALUE_LEN, OpenError, RedisSettings, Store, StoreError, within,
};
use crate::clock::Timestamp;
use async_trait::async_trait;
use connect::Target;
use link::{Link, Numbered, Repeat};
use redis::{Cmd, FromRedisValue, cmd};
use std::sync::Arc;
use std::time::Duration;

/// How far the follower reads back after every loss of its connection. A master that takes over
/// may not have the last entries of the one before, and its clock, which makes the ids, may be
/// behind: its new entries then have lower ids than the last one that was read.
const OVERLAP: Duration = Duration::from_secs(600);

/// How much longer than its last entry the log is kept: the clocks of those who announced may
/// differ from Redis's by as much.
const SLACK: Duration = Duration::from_secs(3600);

/// The longest that one question to the log stands: how late a server that fell silent is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Puts a value for some milliseconds in the place of the expected one, or with none removes that.
const REPLACE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) else redis.call('DEL', KEYS[1]) end
return 1";

/// Removes a value that still is the expected one.
const TAKE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Adds a member for some milliseconds, or with none removes it; then removes the ended ones, and
/// lets the whole end with its last.
const INDEX_CHANGE: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local span = tonumber(ARGV[2])
if span > 0 then redis.call('ZADD', KEYS[1], now + span, ARGV[1]) else redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIRE', KEYS[1], last[2] - now + 1000) end
return 1";

const INDEX_MEMBERS: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')";

/// What both scripts about places begin with: the moment, and without those that have ended.
macro_rules! places {
    ($script:literal) => {
        concat!(
            "\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
",
            $script,
            "\
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIRE', KEYS[1], last[2] - now + 1000) end
return answer"
        )
    };
}

/// A member, for some milliseconds, of so many; then how many milliseconds a place may have left that
/// is given away, or less than none. Answers who it is instead of, or how many milliseconds the next
/// place has left.
const CLAIM_PLACE: &str = places!(
    "\
local ends = now + tonumber(ARGV[2])
local limit = tonumber(ARGV[3])
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
local taken = redis.call('ZCARD', KEYS[1])
local answer
if held then
  ends = math.max(ends, tonumber(held))
  answer = {'held'}
elseif taken < limit then
  answer = {'added'}
else
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if not first[2] then return {'full'} end
  local left = tonumber(first[2]) - now
  if taken > limit or left > tonumber(ARGV[4]) then return {'full', string.format('%.0f', left)} end
  redis.call('ZREM', KEYS[1], first[1])
  answer = {'displaced', first[1]}
end
redis.call('ZADD', KEYS[1], ends, ARGV[1])
"
);

/// Members, each with milliseconds. Answers of each whether it has a place.
const EXTEND_PLACES: &str = places!(
    "\
local answer = {}
for i = 1, #ARGV, 2 do
  local held = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if held then redis.call('ZADD', KEYS[1], math.max(now + tonumber(ARGV[i + 1]), tonumber(held)), ARGV[i]) end
  table.insert(answer, held and 1 or 0)
end
"
);

/// A member. Answers whether it had a place.
const FREE_PLACE: &str = places!(
    "\
local answer = redis.call('ZREM', KEYS[1], ARGV[1])
"
);

/// Who has a place, each with the milliseconds that are left.
const PLACES: &str = places!(
    "\
local answer = {}
local held = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #held, 2 do
  table.insert(answer, {held[i], string.format('%.0f', tonumber(held[i + 1]) - now)})
end
"
);

/// Appends to the log, and cuts off what is older than the longest that anything announced lasts
/// (which the second key remembers).
const ANNOUNCE: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slack = tonumber(ARGV[3])
local longest = math.max(tonumber(ARGV[2]), tonumber(redis.call('GET', KEYS[2]) or '0'))
local oldest = string.format('%.0f', math.max(now - longest - slack, 0))
redis.call('XADD', KEYS[1], 'MINID', '=', oldest, '*', 'e', ARGV[1])
redis.call('PEXPIRE', KEYS[1], longest + slack)
redis.call('SET', KEYS[2], string.format('%.0f', longest), 'PX', longest + slack)
return 1";

/// See the module.
pub(super) struct RedisStore {
    prefix: String,
    /// For everything but following the log.
    link: Link,
    /// To the server that has the log; blocked most of the time.
    log: Link,
}

impl RedisStore {
    /// Reads the authorities' file; connects when it is first needed.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, OpenError> {
        check(settings)?;
        let settings = Arc::new(settings.clone());
        let prefix = settings.prefix.clone();
        let log = Target::HolderOf(log_key(&prefix));
        Ok(Self { prefix, link: Link::new(Arc::clone(&settings), Target::Any), log: Link::new(settings, log) })
    }

    fn key(&self, key: &Key) -> String {
        format!("{}{}", self.prefix, key.text())
    }

    /// A Redis that throws away what it has no room for throws away who was signed out.
    async fn warn_of_eviction(&self, connection: &mut Numbered) {
        // A user who may not ask is not told: nothing else depends on it.
        let asked = self.log.ask_over::<String>(connection, cmd("INFO").arg("memory"), Duration::ZERO).await;
        let about = asked.unwrap_or_default();
        let policy = about.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        if let Some(policy) = policy.filter(|policy| *policy != "noeviction") {
            tracing::warn!(policy, "Redis may throw away who was signed out: set its maxmemory-policy to noeviction");
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd, repeat: Repeat) -> Result<T, StoreError> {
        self.link.ask(command, repeat).await
    }
}

/// In braces what decides the hash slot: both keys of the log lie in one.
fn log_key(prefix: &str) -> String {
    format!("{prefix}{{announcements}}")
}

fn script(body: &str, keys: &[String]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(body).arg(keys.len()).arg(keys);
    command
}

/// How long until the end, in milliseconds; 0 when it has passed.
fn milliseconds(until: Timestamp, now: Timestamp) -> u64 {
    // Redis keeps ends as milliseconds in 64 bits: beyond ten thousand years is no end at all.
    until.since(now).as_secs().min(10_000 * 366 * 86_400) * 1000
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &Key, _now: Timestamp) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(cmd("GET").arg(self.key(key)), Repeat::Harmless).await
    }

    async fn put(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_VALUE_LEN, value)?;
        match milliseconds(until, now) {
            0 => self.delete(key, now).await,
            span => {
                let mut set = cmd("SET");
                set.arg(self.key(key)).arg(value).arg("PX").arg(span);
                self.ask(&set, Repeat::Harmless).await
            }
        }
    }

    async fn put_new(&self, key: &Key, value: &[u8], until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        within(MAX_VALUE_LEN, value)?;
        match milliseconds(until, now) {
            0 => Ok(false),
            span => {
                let mut set = cmd("SET");
                set.arg(self.key(key)).arg(value).arg("NX").arg("PX").arg(span);
                // Said again, it would find what it put itself, and say that it put nothing.
                let put: Option<String> = self.ask(&set, Repeat::OnlyUnsent).await?;
                Ok(put.is_some())
            }
        }
    }

    async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        within(MAX_VALUE_LEN, value)?;
        let mut replace = script(REPLACE, &[self.key(key)]);
        replace.arg(expected).arg(value).arg(milliseconds(until, now));
        // Said again, it would find what it put itself, and say that it put nothing.
        self.ask(&replace, Repeat::OnlyUnsent).await
    }

    async fn take(&self, key: &Key, expected: &[u8], _now: Timestamp) -> Result<bool, StoreError> {
        self.ask(script(TAKE, &[self.key(key)]).arg(expected), Repeat::OnlyUnsent).await
    }

    async fn delete(&self, key: &Key, _now: Timestamp) -> Result<(), StoreError> {
        self.ask(cmd("DEL").arg(self.key(key)), Repeat::Harmless).await
    }

    async fn index_add(&self, index: &Key, member: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_ENTRY_LEN, member)?;
        let mut change = script(INDEX_CHANGE, &[self.key(index)]);
        self.ask(change.arg(member).arg(milliseconds(until, now)), Repeat::Harmless).await
    }

    async fn index_remove(&self, index: &Key, member: &[u8], _now: Timestamp) -> Result<(), StoreError> {
        self.ask(script(INDEX_CHANGE, &[self.key(index)]).arg(member).arg(0), Repeat::Harmless).await
    }

    async fn index_members(&self, index: &Key, _now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        self.ask(&script(INDEX_MEMBERS, &[self.key(index)]), Repeat::Harmless).await
    }

    async fn claim_place(&self, places: &Key, claim: &Claim<'_>, now: Timestamp) -> Result<Claimed, StoreError> {
        within(MAX_ENTRY_LEN, claim.member)?;
        let span = milliseconds(claim.until, now);
        if span == 0 {
            let first = self.places(places, now).await?.into_iter().map(|(_, until)| until).min();
            return Ok(Claimed::Full(first));
        }
        let gives_away = claim.displacing.map_or(-1, |before| signed(milliseconds(before, now)));
        let mut command = script(CLAIM_PLACE, &[self.key(places)]);
        command.arg(claim.member).arg(span).arg(claim.limit).arg(gives_away);
        // Said again, it finds its own place; whose it was is then learnt by whoever extends theirs.
        let answer: Vec<Vec<u8>> = self.ask(&command, Repeat::Harmless).await?;
        let mut answer = answer.into_iter();
        match (answer.next().as_deref(), answer.next()) {
            (Some(b"held"), None) => Ok(Claimed::Held),
            (Some(b"added"), None) => Ok(Claimed::Added),
            (Some(b"displaced"), Some(member)) => Ok(Claimed::Displaced(member)),
            (Some(b"full"), None) => Ok(Claimed::Full(None)),
            (Some(b"full"), Some(left)) => Ok(Claimed::Full(Some(moment(&left, now)?))),
            _ => Err(StoreError::Corrupt("a claim is answered with what is no answer".to_owned())),
        }
    }

    async fn extend_places(
        &self,
        places: &Key,
        members: &[(Vec<u8>, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let mut command = script(EXTEND_PLACES, &[self.key(places)]);
        for (member, until) in members {
            command.arg(member.as_slice()).arg(milliseconds(*until, now));
        }
        let has: Vec<u8> = self.ask(&command, Repeat::Harmless).await?;
        Ok(has.into_iter().map(|has| has == 1).collect())
    }

    async fn free_place(&self, places: &Key, member: &[u8], _now: Timestamp) -> Result<bool, StoreError> {
        self.ask(script(FREE_PLACE, &[self.key(places)]).arg(member), Repeat::Harmless).await
    }

    async fn places(&self, places: &Key, now: Timestamp) -> Result<Vec<(Vec<u8>, Timestamp)>, StoreError> {
        let held: Vec<(Vec<u8>, Vec<u8>)> = self.ask(&script(PLACES, &[self.key(places)]), Repeat::Harmless).await?;
        held.into_iter().map(|(member, left)| Ok((member, moment(&left, now)?))).collect()
    }

    async fn announce(&self, entry: &[u8], until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        within(MAX_ENTRY_LEN, entry)?;
        let span = milliseconds(until, now);
        if span == 0 {
            return Ok(());
        }
        let log = log_key(&self.prefix);
        let longest = format!("{log}:longest");
        let dated = [until.as_unix().to_be_bytes().as_slice(), entry].concat();
        let mut announce = script(ANNOUNCE, &[log, longest]);
        announce.arg(dated).arg(span).arg(SLACK.as_secs() * 1000);
        self.ask(&announce, Repeat::Harmless).await
    }

    async fn announced(
        &self,
        cursor: &Cursor,
        wait: Duration,
        now: Timestamp,
    ) -> Result<(Vec<Vec<u8>>, Cursor), StoreError> {
        let mut connection = self.log.connection().await?;
        if cursor.connection != connection.number {
            self.warn_of_eviction(&mut connection).await;
        }
        let from = if cursor.connection == connection.number { cursor.last } else { before(cursor.last) };
        let wait = wait.min(LONGEST_WAIT);
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(MAX_BATCH);
        if !wait.is_zero() {
            // To Redis no milliseconds are for ever.
            read.arg("BLOCK").arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        read.arg("STREAMS").arg(log_key(&self.prefix)).arg(format!("{}-{}", from.0, from.1));
        let news: Option<Vec<(Vec<u8>, Vec<Announcement>)>> = self.log.ask_over(&mut connection, &read, wait).await?;
        let news = news.unwrap_or_default().into_iter().flat_map(|(_, entries)| entries);
        let mut last = from;
        let mut entries = Vec::new();
        for (id, fields) in news {
            last = parse_id(&id).ok_or_else(|| StoreError::Corrupt("the log has an id that is none".to_owned()))?;
            match dated(fields) {
                Some((until, entry)) if until > now => entries.push(entry),
                Some(_) => {}
                None => tracing::warn!("the store's log has an entry that is not Vestibule's; it is passed over"),
            }
        }
        Ok((entries, Cursor { last, connection: connection.number }))
    }
}

/// How many milliseconds may be left, for a script that compares.
fn signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

/// The moment so many milliseconds from `now`, in text as a script writes it; the second that has them.
fn moment(left: &[u8], now: Timestamp) -> Result<Timestamp, StoreError> {
    let left = std::str::from_utf8(left).ok().and_then(|left| left.parse::<u64>().ok());
    let left = left.ok_or_else(|| StoreError::Corrupt("a place has an end that is none".to_owned()))?;
    Ok(now.plus(Duration::from_secs(left.div_ceil(1000))))
}

/// The id of an entry, and its fields and values by turns.
type Announcement = (String, Vec<Vec<u8>>);

/// What [`ANNOUNCE`] was given: the end, and what was announced.
fn dated(fields: Vec<Vec<u8>>) -> Option<(Timestamp, Vec<u8>)> {
    let [name, dated] = <[Vec<u8>; 2]>::try_from(fields).ok()?;
    let (until, entry) = dated.split_first_chunk()?;
    (name == b"e").then(|| (Timestamp::from_unix(u64::from_be_bytes(*until)), entry.to_vec()))
}

fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (milliseconds, sequence) = id.split_once('-')?;
    Some((milliseconds.parse().ok()?, sequence.parse().ok()?))
}

/// From where to read on over another connection.
fn before((milliseconds, _): (u64, u64)) -> (u64, u64) {
    (milliseconds.saturating_sub(OVERLAP.as_secs() * 1000), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_somebody_else_is_no_announcement() {
        let until = 5u64.to_be_bytes();
        let good = [until.as_slice(), b"x"].concat();
        assert_eq!(dated(vec![b"e".to_vec(), good.clone()]), Some((Timestamp::from_unix(5), b"x".to_vec())));
        for fields in [
            vec![],
            vec![b"e".to_vec()],
            vec![b"f".to_vec(), good.clone()],
            vec![b"e".to_vec(), b"short".to_vec()],
            vec![b"e".to_vec(), good.clone(), b"e".to_vec(), good],
        ] {
            assert_eq!(dated(fields), None);
        }
    }

    #[test]
    fn ids_are_two_numbers() {
        assert_eq!(parse_id("1763700000000-12"), Some((1_763_700_000_000, 12)));
        for id in ["", "-", "1", "1-", "-1", "a-1", "1-1-1", "99999999999999999999-0"] {
            assert_eq!(parse_id(id), None, "{id}");
        }
    }

    #[test]
    fn another_connection_reads_ten_minutes_again() {
        assert_eq!(before((1_763_700_600_000, 7)), (1_763_700_000_000, 0));
        assert_eq!(before((0, 0)), (0, 0));
    }
}
