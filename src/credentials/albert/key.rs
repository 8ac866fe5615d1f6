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
        let mut learnt = None;
        loop {
            let until = self.within_the_cap(until, learnt, now);
            let body = json!({"name": name, "user": account.id, dialect.expires(): until.as_unix()});
            let answer = self.calls.as_admin(Call::post("mint a key", dialect.keys(), body)).await?;
            match answer.status {
                409 if !renamed => {
                    name = format!("{name}-{}", now.as_unix());
                    renamed = true;
                }
                404 => return Err(AlbertError::AccountGone),
                400 | 422 if learnt.is_none() => {
                    let cap = cap_in(answer.status, &answer.detail()).filter(|cap| now.plus(*cap) < until);
                    learnt = Some(cap.ok_or_else(|| answer.unexpected())?);
                }
                _ => {
                    let minted = minted(&answer.json()?, account, until, now).ok_or_else(|| answer.malformed())?;
                    self.remember_cap(learnt);
                    return Ok(minted);
                }
            }
        }
    }

    /// The end of a key that should end at `until`.
    fn within_the_cap(&self, until: Timestamp, learnt: Option<Duration>, now: Timestamp) -> Timestamp {
        let remembered = *self.cap.lock().unwrap_or_else(PoisonError::into_inner);
        let caps = [self.calls.settings.key_lifetime, remembered, learnt].into_iter().flatten();
        caps.map(|cap| now.plus(cap)).fold(until, Timestamp::min)
    }

    /// Spares the next key the refusal that this one met.
    fn remember_cap(&self, learnt: Option<Duration>) {
        let Some(lifetime) = learnt else { return };
        let seconds = lifetime.as_secs();
        tracing::info!(credential = self.calls.settings.name, seconds, "the API caps the life of keys");
        *self.cap.lock().unwrap_or_else(PoisonError::into_inner) = Some(lifetime);
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

/// The life that the API may be asked for, after it has refused a longer one. Its cap is in whole
/// days: one day is within it even where the refusal does not name it.
fn cap_in(status: u16, detail: &str) -> Option<Duration> {
    let days = days_in(detail).or((status == 400).then_some(1))?;
    Some(DAY.saturating_mul(days).saturating_sub(CAP_MARGIN)).filter(|cap| !cap.is_zero())
}

/// The number before the word "day" or "days".
fn days_in(detail: &str) -> Option<u32> {
    let words: Vec<&str> = detail.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words.windows(2).find_map(|pair| match pair {
        [number, unit] if unit.starts_with("day") => number.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::albert::stub::{Stub, detail, no_such_path};
    use crate::secret::ExposeSecret;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);
    const ACCOUNT: Account = Account { id: 7 };
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn only_a_whole_key_that_fits_into_a_header_is_a_key() {
        for good in ["sk-eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoxfQ.c2ln", "sk-x"] {
            assert!(is_key(good), "{good}");
        }
        let long = format!("sk-{}", "x".repeat(LONGEST_KEY));
        for bad in ["", "sk-", "x", "SK-x", "sk-eyJhb...BYSzWfhw", "sk-a b", "sk-a\r\nx: y", "sk-é", "sk-\0", &long] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_a_key_of_this_person_that_lives_or_malformed() {
        let asked = NOW.plus(HOUR);
        let until = |answer: Value| {
            let minted = minted(answer.as_object().unwrap(), ACCOUNT, asked, NOW)?;
            assert_eq!((minted.id, minted.secret.expose_secret()), (3, "sk-a"));
            assert!(!format!("{minted:?}").contains("sk-a"));
            Some(minted.until.as_unix() - NOW.as_unix())
        };
        let at = |seconds: u64| NOW.as_unix() + seconds;
        for (answer, expected) in [
            (json!({"id": 3, "token": "sk-a"}), Some(3600)),
            (json!({"id": 3, "key": "sk-a"}), Some(3600)),
            (json!({"object": "key", "id": 3, "value": "sk-a", "user": 7, "expires": at(60)}), Some(60)),
            (json!({"id": 3, "value": "sk-a", "user_id": 7, "expires": at(7200)}), Some(3600)),
            (json!({"id": 3, "value": "sk-a", "expires": null}), Some(3600)),
            (json!({"id": 3, "token": "sk-a", "expires_at": at(60)}), Some(60)),
            // A name as the key, the secret in another field.
            (json!({"id": 3, "key": "playground", "value": "sk-a"}), Some(3600)),
            (json!({"id": 3, "value": "sk-a", "user": 8}), None),
            (json!({"id": 3, "value": "sk-a", "user_id": 8}), None),
            (json!({"id": 3, "value": "sk-a", "expires": at(0)}), None),
            (json!({"id": "3", "value": "sk-a"}), None),
            (json!({"id": 3, "value": "sk-ab...yz"}), None),
            (json!({"id": 3}), None),
            (json!({"value": "sk-a"}), None),
        ] {
            assert_eq!(until(answer.clone()), expected, "{answer}");
        }
    }

    #[test]
    fn a_cap_is_read_from_the_refusal_or_is_a_day() {
        let margin = CAP_MARGIN.as_secs();
        for (status, text, expected) in [
            (400, "Token expiration timestamp cannot be greater than 30 days from now.", Some(30 * 86_400 - margin)),
            (422, "Value error, … cannot be greater than 1 day from now.", Some(86_400 - margin)),
            (400, "Expiration is too far away.", Some(86_400 - margin)),
            (422, "Value error, Wrong timestamp, must be in the future.", None),
            (400, "at most 0 days", None),
            (400, "at most 99999999999 days", Some(86_400 - margin)),
        ] {
            assert_eq!(cap_in(status, text).map(|cap| cap.as_secs()), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_server_that_always_names_a_lower_cap_is_asked_twice_and_no_more() {
        let stub = Stub::new(|asked| {
            let asked = asked.body["expires"].as_u64().unwrap() - NOW.as_unix();
            detail(400, &format!("cannot be greater than {} days from now", asked / 86_400))
        });
        let stub = stub.await;
        let albert = stub.albert(Some(Dialect::Tokens));
        let minted = albert.mint(&ACCOUNT, "x", NOW.plus(DAY * 365), NOW).await;
        assert_eq!(minted.unwrap_err(), AlbertError::Unexpected { call: "mint a key", status: 400 });
        assert_eq!(stub.lines().len(), 2);
    }

    #[tokio::test]
    async fn errors_of_minting_hold_nothing_that_was_answered() {
        let stub = Stub::new(|_| (418, "{\"detail\": \"sk-leaked a@b.fr\"}".to_owned())).await;
        let error = stub.albert(Some(Dialect::Keys)).mint(&ACCOUNT, "x", NOW.plus(HOUR), NOW).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("leaked") && !text.contains("a@b.fr") && !text.contains("sk-"), "{text}");
    }

    #[tokio::test]
    async fn a_probe_never_asks_for_the_models_nor_with_the_admin_bearer() {
        for (dialect, path) in [(Dialect::Legacy, "/users/me"), (Dialect::Tokens, "/v1/me/info")] {
            for (status, expected) in [(200, Ok(true)), (401, Ok(false)), (403, Ok(false)), (404, Ok(false))] {
                let stub = Stub::new(move |_| detail(status, "whatever")).await;
                assert_eq!(stub.albert(Some(dialect)).is_alive(&"sk-mine".into()).await, expected);
                let asked = stub.asked();
                assert_eq!(asked[0].line, format!("GET {path}"));
                assert_eq!(asked[0].bearer.as_deref(), Some("Bearer sk-mine"));
            }
        }
        let stub = Stub::new(|_| (503, String::new())).await;
        assert_eq!(stub.albert(Some(Dialect::Keys)).is_alive(&"sk-x".into()).await, Err(AlbertError::Down(503)));
        let later = Stub::new(|asked| if asked.line == "GET /v1/me" { (200, "{}".to_owned()) } else { no_such_path() });
        assert_eq!(later.await.albert(Some(Dialect::Keys)).is_alive(&"sk-x".into()).await, Ok(true));
    }

    #[tokio::test]
    async fn a_helper_key_is_discarded_even_if_it_could_do_nothing() {
        let stub = Stub::new(|asked| match asked.line.as_str() {
            "POST /v1/admin/tokens" => (201, json!({"id": 9, "token": "sk-helper"}).to_string()),
            "DELETE /v1/me/keys/3" => (503, String::new()),
            _ => (204, String::new()),
        });
        let stub = stub.await;
        let outcome = stub.albert(Some(Dialect::Tokens)).discard(7, 3, None, "helper", NOW).await;
        assert_eq!(outcome, Err(AlbertError::Down(503)));
        let asked = stub.asked();
        assert_eq!(asked[0].body, json!({"name": "helper", "user": 7, "expires": NOW.as_unix() + 300}));
        assert_eq!(asked[2].line, "DELETE /v1/me/keys/9");
        assert_eq!(asked[2].bearer.as_deref(), Some("Bearer sk-helper"));
    }
}
