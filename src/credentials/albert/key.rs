//! A key: minted, probed, discarded.
//!
//! Called by the front page. What the API calls a key is only believed if it looks like one and is
//! the right person's. Must never make a key that does not end, nor print one.

use super::calls::Call;
use super::error::AlbertError;
use super::settings::Dialect;
use super::{Account, Albert, Minted};
use crate::clock::Timestamp;
use crate::secret::SecretString;
use serde_json::{Map, Value, json};
use std::sync::PoisonError;
use std::time::Duration;

/// The longest key that is believed: real ones have about 150 characters, and apps take headers of
/// 8 KiB in all.
const LONGEST_KEY: usize = 4096;

/// How long a key lives that is made to discard another.
const HELPER_LIFETIME: Duration = Duration::from_secs(5 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Kept away from the server's cap, as its clock is not ours.
const CAP_MARGIN: Duration = Duration::from_secs(5 * 60);

impl Albert {
    pub(super) async fn mint_in(
        &self,
        dialect: Dialect,
        account: Account,
        name: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Minted, AlbertError> {
        let mut name = name.to_owned();
        let mut renamed = false;
        loop {
            let until = self.within_the_cap(until, now);
            let body = json!({"name": name, "user": account.id, dialect.expires(): until.as_unix()});
            let answer = self.calls.as_admin(Call::post("mint a key", dialect.keys(), body)).await?;
            match answer.status {
                409 if !renamed => {
                    name = format!("{name}-{}", now.as_unix());
                    renamed = true;
                }
                404 => return Err(AlbertError::AccountGone),
                400 | 422 if self.learns_the_cap(answer.status, &answer.detail(), until, now) => {}
                _ => return minted(&answer.json()?, account, until, now).ok_or_else(|| answer.malformed()),
            }
        }
    }

    /// The end of a key that should end at `until`.
    fn within_the_cap(&self, until: Timestamp, now: Timestamp) -> Timestamp {
        let learnt = *self.cap.lock().unwrap_or_else(PoisonError::into_inner);
        let caps = [self.calls.settings.key_lifetime, learnt].into_iter().flatten();
        caps.map(|cap| now.plus(cap)).fold(until, Timestamp::min)
    }

    /// Whether a refusal is about how long the key should live, and says or implies less. The cap
    /// is in whole days, so that one day is always within it.
    fn learns_the_cap(&self, status: u16, detail: &str, refused: Timestamp, now: Timestamp) -> bool {
        let named = days_in(detail);
        let cap = match (status, named) {
            (_, Some(days)) => DAY.saturating_mul(days),
            (400, None) => DAY,
            _ => return false,
        };
        let lifetime = cap.saturating_sub(CAP_MARGIN);
        if lifetime.is_zero() || now.plus(lifetime) >= refused {
            return false;
        }
        tracing::info!(
            credential = self.calls.settings.name,
            seconds = lifetime.as_secs(),
            "the API caps the life of keys: set key_lifetime to spare a call"
        );
        *self.cap.lock().unwrap_or_else(PoisonError::into_inner) = Some(lifetime);
        true
    }

    pub(super) async fn is_alive_in(&self, dialect: Dialect, key: &SecretString) -> Result<bool, AlbertError> {
        const NAME: &str = "probe the key";
        let probe = |path: &str| self.calls.with_key(Call::get(NAME, path.to_owned()), key);
        let answer = match probe(dialect.me()).await {
            // The longer path is to go one day.
            Err(AlbertError::NoSuchCall { .. }) if dialect == Dialect::Keys => probe("/v1/me").await?,
            answer => answer?,
        };
        match answer.status {
            200 => Ok(true),
            // 404: the key's owner is gone.
            401 | 403 | 404 => Ok(false),
            _ => Err(answer.unexpected()),
        }
    }

    pub(super) async fn discard_in(
        &self,
        dialect: Dialect,
        account: Account,
        key: u64,
        own: Option<&SecretString>,
        helper_name: &str,
        now: Timestamp,
    ) -> Result<(), AlbertError> {
        match (dialect, own) {
            (Dialect::Keys, _) => {
                let call = Call::delete("discard the key", format!("{}/{key}", dialect.keys()));
                let answer = self.calls.as_admin(call).await?;
                if answer.is_success() || answer.status == 404 { Ok(()) } else { Err(answer.unexpected()) }
            }
            // A key that is refused is dead, which is all that can be had.
            (Dialect::Legacy, Some(own)) => self.discard_by(own, format!("/tokens/{key}")).await.map(|_| ()),
            (Dialect::Legacy, None) => Err(AlbertError::CannotDiscard),
            (Dialect::Tokens, own) => {
                if let Some(own) = own
                    && self.discard_by(own, own_key(key)).await? == Discarded::Done
                {
                    return Ok(());
                }
                self.discard_with_helper(account, key, helper_name, now).await
            }
        }
    }

    /// Up to 0.4.5 an administrator cannot delete a key, but can make one that can.
    async fn discard_with_helper(
        &self,
        account: Account,
        key: u64,
        name: &str,
        now: Timestamp,
    ) -> Result<(), AlbertError> {
        let helper = match self.mint_in(Dialect::Tokens, account, name, now.plus(HELPER_LIFETIME), now).await {
            Err(AlbertError::AccountGone) => return Ok(()),
            helper => helper?,
        };
        let outcome = self.discard_by(&helper.secret, own_key(key)).await;
        // Whatever came of it, the helper goes; if that fails, it ends in a few minutes.
        if self.discard_by(&helper.secret, own_key(helper.id)).await.is_err() {
            tracing::warn!(credential = self.calls.settings.name, key = helper.id, "a helper key was not discarded");
        }
        match outcome? {
            Discarded::Done => Ok(()),
            // A fresh key that is refused: the account has expired.
            Discarded::Refused => Err(AlbertError::CannotDiscard),
        }
    }

    /// Deletes at `path` with a key of the account's own.
    async fn discard_by(&self, key: &SecretString, path: String) -> Result<Discarded, AlbertError> {
        let answer = self.calls.with_key(Call::delete("discard the key", path), key).await?;
        match answer.status {
            200..=299 | 404 => Ok(Discarded::Done),
            401 | 403 => Ok(Discarded::Refused),
            _ => Err(answer.unexpected()),
        }
    }
}

/// What came of a deletion with a key of the account's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discarded {
    /// The key is gone, now or before.
    Done,
    /// The key that should have deleted it is not taken.
    Refused,
}

fn own_key(key: u64) -> String {
    format!("/v1/me/keys/{key}")
}

/// The key in an answer, if it is one, is `account`'s, and lives.
fn minted(answer: &Map<String, Value>, account: Account, asked: Timestamp, now: Timestamp) -> Option<Minted> {
    let id = answer.get("id")?.as_u64()?;
    let owners = ["user", "user_id"].into_iter().filter_map(|name| answer.get(name)?.as_u64());
    if owners.into_iter().any(|owner| owner != account.id) {
        return None;
    }
    // 0.1.x to 0.4.5 say `token`, the person's own interface `key`, later versions `value`.
    let mut secrets = ["value", "key", "token"].into_iter().filter_map(|name| answer.get(name)?.as_str());
    let secret = secrets.find(|secret| is_key(secret))?;
    let ends = ["expires", "expires_at"].into_iter().find_map(|name| answer.get(name)?.as_u64());
    let until = ends.map_or(asked, |ends| asked.min(Timestamp::from_unix(ends)));
    (until > now).then(|| Minted { id, secret: secret.to_owned().into(), until })
}

/// Whether `text` is a whole key that can stand in a header. Lists show keys with their middle
/// left out.
fn is_key(text: &str) -> bool {
    let rest = text.strip_prefix("sk-").unwrap_or_default();
    !rest.is_empty() && text.len() <= LONGEST_KEY && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains("...")
}

/// The number before the word "day" or "days".
fn days_in(detail: &str) -> Option<u32> {
    let words: Vec<&str> = detail.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words.windows(2).find_map(|pair| match pair {
        [number, unit] if unit.starts_with("day") => number.parse().ok(),
        _ => None,
    })
}
