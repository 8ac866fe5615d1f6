//! Waiting for what has to come.
//!
//! A test waits for the thing itself, never for a time in which it should have happened. Where
//! there is a limit, either it only ends a run that hangs ([`HANGS`]), or it is a promise, which
//! [`promptly`] holds the program to on whatever machine this is.

use super::client::Answer;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Nothing takes this long that works, on a machine many times slower than ours with the whole
/// suite on it: it hangs.
pub(crate) const HANGS: Duration = Duration::from_secs(180);

/// How often [`until`] asks.
const EVERY: Duration = Duration::from_millis(10);

/// How many times one after the other, at most, something has to wait for its turn on the
/// processor between a cause and its effect: client, sidecar, Redis, another sidecar, provider and
/// app each do so several times.
const TURNS: u32 = 40;

/// Awaits what must come; `what` says in words what has not.
pub(crate) async fn in_time<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let Ok(come) = timeout(HANGS, awaited).await else { panic!("not after {HANGS:?}: {what}") };
    come
}

/// Asks again until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let asked = Box::pin(async {
        while !so().await {
            sleep(EVERY).await;
        }
    });
    in_time(what, asked).await;
}

/// Asks again as long as the answer is a 503: where many ask at once, a machine that pauses makes a
/// store or another request take longer than a sidecar waits for them, and whoever is told so asks
/// again. Not for tests of outages.
pub(crate) async fn until_well(ask: impl AsyncFn() -> Answer) -> Answer {
    let asked = Box::pin(async {
        loop {
            let answer = ask().await;
            if answer.status != 503 {
                return answer;
            }
            sleep(EVERY).await;
        }
    });
    in_time("an answer that is no 503", asked).await
}

/// Awaits what is promised to come within `promised`, from now on.
pub(crate) async fn promptly<T>(what: &str, promised: Duration, awaited: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let (come, allowance) = with_allowance(what, awaited).await;
    let took = began.elapsed();
    assert!(took <= promised + allowance, "{what}: after {took:?}, and not {promised:?} with {allowance:?} on top");
    come
}

/// Awaits `awaited`, and says how much longer than is promised anything may have taken meanwhile.
///
/// What the machine takes for itself is not the program's, so it is measured: how late a timer
/// rings that has nothing to do but ring. On an idle machine that is next to nothing, and a promise
/// is held to the letter; on a busy one each step from cause to effect may come as late.
pub(crate) async fn with_allowance<T>(what: &str, awaited: impl Future<Output = T>) -> (T, Duration) {
    let mut latest = Duration::ZERO;
    let mut awaited = std::pin::pin!(awaited);
    let come = in_time(what, async {
        loop {
            let due = Instant::now() + EVERY;
            tokio::select! {
                // The timer first: what made both late has made late what is awaited.
                biased;
                () = sleep_until(due) => latest = latest.max(due.elapsed()),
                come = &mut awaited => return come,
            }
        }
    });
    (come.await, latest * TURNS)
}
