//! What can be made to go wrong, for whichever requests.

use super::admit::{account_expired, no_rights};
use super::reply::Reply;
use super::version::Version;
use std::sync::{Arc, Mutex};
use tokio::sync::{Barrier, watch};

/// Something that goes wrong, from now on until the faults are cleared, or so many times.
///
/// A method of `*` is any, and a path belongs to every prefix of it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, and a `detail`, instead of an answer.
    Status { method: &'static str, path_prefix: &'static str, status: u16, times: usize },
    /// This answer, whatever its body is.
    Answer { method: &'static str, path_prefix: &'static str, status: u16, body: &'static str, times: usize },
    /// What the API says of itself when it will not do what was asked.
    Refuse { path_prefix: &'static str, refusal: Refusal, times: usize },
    /// 200 and something that is no JSON.
    GarbageBody { method: &'static str, path_prefix: &'static str, times: usize },
    /// Nothing is done and nothing answered, until the faults are cleared.
    Hang { path_prefix: &'static str },
    /// Nothing is done until as many requests wait as the barrier is for.
    Barrier { method: &'static str, path_prefix: &'static str, barrier: Arc<Barrier> },
    /// What is asked is done, and the connection breaks before the answer is there.
    LostAnswer { method: &'static str, path_prefix: &'static str, times: usize },
    /// The next new user is created by somebody else in the same moment.
    DuplicateOnCreate,
    /// 503 from whatever stands before the API, on every path.
    Down,
    /// No key lives longer than this (`auth_key_max_expiration_days`).
    CapDays(u64),
    /// A person's live keys have different names, as for some weeks in June 2026.
    UniqueKeyNames,
    /// `/openapi.json` is switched off.
    NoOpenapi,
}

/// A refusal in the API's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 413.
    TooLarge,
    /// 424.
    ProviderUnreachable,
    /// 429, without `Retry-After`.
    RateLimited,
    /// 503 with `Retry-After: 10`.
    TooBusy,
    /// 400.
    BudgetExhausted,
    /// 403, of a key that is good.
    InsufficientRights,
    /// 403, of a key that is good.
    AccountExpired,
    /// 403 up to 0.4.1, 401 later; the key is good all the same.
    InvalidKey,
}

impl Refusal {
    pub(super) fn reply(self, version: Version) -> Reply {
        let busy = "Model is too busy, please try again later.";
        match self {
            Self::TooLarge => Reply::detail(413, "File size limit exceeded."),
            Self::ProviderUnreachable => {
                Reply::detail(424, "Model provider stub-chat not reachable (502): Bad Gateway")
            }
            Self::RateLimited => Reply::detail(429, "1 requests per minute exceeded (remaining: 0)."),
            Self::TooBusy => Reply::detail(503, busy).with("retry-after", "10"),
            Self::BudgetExhausted => Reply::detail(400, "Insufficient budget."),
            Self::InsufficientRights => no_rights(version),
            Self::AccountExpired => account_expired(),
            Self::InvalidKey => Reply::detail(version.invalid_key(), "Invalid API key."),
        }
    }
}

/// What becomes of one request.
pub(super) enum Effect {
    Answer(Reply),
    Wait,
    Meet(Arc<Barrier>),
    Lose,
    Duplicate,
}

/// The faults that are on.
pub(super) struct Faults {
    on: Mutex<Vec<Fault>>,
    /// How many times they were cleared.
    cleared: watch::Sender<u64>,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self { on: Mutex::default(), cleared: watch::Sender::new(0) }
    }

    pub(super) fn add(&self, fault: Fault) {
        self.on.lock().unwrap().push(fault);
    }

    pub(super) fn clear(&self) {
        self.on.lock().unwrap().clear();
        self.cleared.send_modify(|times| *times += 1);
    }

    /// Returns when the faults are cleared the next time.
    pub(super) fn cleared(&self) -> impl Future<Output = ()> + use<> {
        let mut times = self.cleared.subscribe();
        async move {
            // An error means that the fake is gone: nobody waits any more.
            let _ = times.changed().await;
        }
    }

    /// What becomes of this request, in order; those that count count it.
    pub(super) fn take(&self, version: Version, method: &str, path: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut faults = self.on.lock().unwrap();
        let mut at = 0;
        while at < faults.len() && !matches!(effects.last(), Some(Effect::Answer(_))) {
            let fault = &mut faults[at];
            let Some(effect) = fault.effect(version, method, path) else {
                at += 1;
                continue;
            };
            effects.push(effect);
            if fault.is_used_up() {
                faults.remove(at);
            } else {
                at += 1;
            }
        }
        effects
    }
}

impl Fault {
    fn effect(&self, version: Version, method: &str, path: &str) -> Option<Effect> {
        let is_for = |wanted: &str, prefix: &str| (wanted == "*" || wanted == method) && path.starts_with(prefix);
        let json = "application/json";
        match self {
            Self::Status { method, path_prefix, status, .. } if is_for(method, path_prefix) => {
                Some(Effect::Answer(Reply::detail(*status, "Told to fail.")))
            }
            Self::Answer { method, path_prefix, status, body, .. } if is_for(method, path_prefix) => {
                Some(Effect::Answer(Reply::raw(*status, json, (*body).to_owned())))
            }
            Self::Refuse { path_prefix, refusal, .. } if is_for("*", path_prefix) => {
                Some(Effect::Answer(refusal.reply(version)))
            }
            Self::GarbageBody { method, path_prefix, .. } if is_for(method, path_prefix) => {
                Some(Effect::Answer(Reply::raw(200, json, "<html>Ceci n'est pas du JSON".to_owned())))
            }
            Self::Hang { path_prefix } if is_for("*", path_prefix) => Some(Effect::Wait),
            Self::Barrier { method, path_prefix, barrier } if is_for(method, path_prefix) => {
                Some(Effect::Meet(Arc::clone(barrier)))
            }
            Self::LostAnswer { method, path_prefix, .. } if is_for(method, path_prefix) => Some(Effect::Lose),
            Self::DuplicateOnCreate if method == "POST" && path.ends_with("/users") => Some(Effect::Duplicate),
            Self::NoOpenapi if path == "/openapi.json" => Some(Effect::Answer(Reply::detail(404, "Not Found"))),
            Self::Down => {
                let page = "<html><body>Service Unavailable</body></html>".to_owned();
                Some(Effect::Answer(Reply::raw(503, "text/html", page)))
            }
            _ => None,
        }
    }

    /// Counts one use.
    fn is_used_up(&mut self) -> bool {
        match self {
            Self::Status { times, .. }
            | Self::Answer { times, .. }
            | Self::Refuse { times, .. }
            | Self::GarbageBody { times, .. }
            | Self::LostAnswer { times, .. } => {
                *times = times.saturating_sub(1);
                *times == 0
            }
            Self::DuplicateOnCreate => true,
            _ => false,
        }
    }
}
