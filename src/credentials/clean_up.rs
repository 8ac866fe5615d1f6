//! What is done behind sessions that end.
//!
//! `server` runs this as long as it serves. It hears of the ends that this process makes, and of
//! keys that were minted too late for theirs; what other replicas leave is in the store. Must never
//! stop for what fails: a key that is not deleted now is tried again.

use super::Credentials;
use super::albert::Albert;
use super::discard::Left;
use crate::clock::Clock;
use crate::session::SessionId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Between two tries to delete what could not be deleted: twice as long each time, up to this.
const RETRY: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(1);

impl Credentials {
    /// How many keys of ended sessions wait for being deleted.
    pub fn keys_to_delete(&self) -> usize {
        self.discards.waiting()
    }

    /// Forgets what was obtained for sessions that end, and deletes what was minted; for ever.
    pub async fn clean_up(&self, clock: &Clock) {
        let apis: HashMap<String, Arc<Albert>> =
            self.asked().filter_map(|(slot, whom)| Some((slot.mark.clone(), whom.api()?))).collect();
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut ends), false) = (ends, self.slots.is_empty()) else { return };
        let mut ended: Vec<SessionId> = Vec::new();
        let mut left = Left::Something;
        let mut pause = FIRST_RETRY;
        loop {
            // What other replicas left is looked for now and then, whatever happens here.
            let wait = if left == Left::Something { pause } else { RETRY };
            pause = RETRY.min(pause * 2);
            let news = tokio::select! {
                id = ends.recv() => id,
                () = tokio::time::sleep(wait) => None,
            };
            if news.is_some() {
                pause = FIRST_RETRY;
            }
            ended.extend(news);
            ended.extend(std::iter::from_fn(|| ends.try_recv().ok()));
            let now = clock.now();
            let mut again = Vec::new();
            for id in ended.drain(..) {
                self.wallet.forget(id, &self.slots, now).await;
                if !apis.is_empty() && self.discards.condemn(id, now).await.is_err() {
                    again.push(id);
                }
            }
            ended = again;
            if apis.is_empty() {
                left = Left::Nothing;
                continue;
            }
            left = self.discards.work_off(&apis, now).await;
            if left == Left::Nothing {
                pause = FIRST_RETRY;
            }
        }
    }
}
