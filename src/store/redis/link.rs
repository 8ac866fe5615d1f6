//! A connection that comes back by itself: whoever asks next connects anew.
//!
//! While there is none, everybody who asks waits for the one attempt under way. Once an attempt has
//! failed, one at a time tries again and all others hear of the failure at once. There is no task
//! in the background: a store that nobody asks is not connected.

use super::connect::{Connection, RESPONSE_TIMEOUT, Target, connect, timed_out};
use crate::store::{RedisSettings, StoreError};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a failed attempt speaks for those who ask after it.
const PAUSE: Duration = Duration::from_millis(250);

/// Whether a command may be sent a second time when its answer was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice does the same as once.
    Harmless,
    /// Only where it cannot have been done: the connection was gone before.
    OnlyUnsent,
}

/// See the module.
pub(super) struct Link {
    settings: Arc<RedisSettings>,
    target: Target,
    state: Mutex<State>,
    /// When the last attempt failed, and why; none after one that did not.
    failed: std::sync::Mutex<Option<(Instant, StoreError)>>,
}

#[derive(Default)]
struct State {
    current: Option<Numbered>,
    /// How many attempts there were.
    count: u64,
}

/// A connection, and a number that no other of its link has, from 1.
#[derive(Clone)]
pub(super) struct Numbered {
    pub(super) number: u64,
    connection: Connection,
}

impl Link {
    pub(super) fn new(settings: Arc<RedisSettings>, target: Target) -> Self {
        Self { settings, target, state: Mutex::default(), failed: std::sync::Mutex::default() }
    }

    /// The connection, made now where there is none.
    pub(super) async fn connection(&self) -> Result<Numbered, StoreError> {
        let mut state = match (self.state.try_lock(), self.failure()) {
            (Ok(state), _) => state,
            // Somebody tries already.
            (Err(_), Some((_, error))) => return Err(error),
            (Err(_), None) => self.state.lock().await,
        };
        if let Some(current) = &state.current {
            return Ok(current.clone());
        }
        if let Some((_, error)) = self.failure().filter(|(when, _)| when.elapsed() < PAUSE) {
            return Err(error);
        }
        let connected = connect(&self.settings, &self.target).await.map_err(|error| unavailable(&error));
        let failure = connected.as_ref().err().map(|error| (Instant::now(), error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        state.count += 1;
        let current = Numbered { number: state.count, connection: connected? };
        state.current = Some(current.clone());
        Ok(current)
    }

    fn failure(&self) -> Option<(Instant, StoreError)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a command and gives the answer; over a new connection where the old one is broken.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd, repeat: Repeat) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        let first = answer(&mut connection, command, Duration::ZERO).await;
        let Err(error) = first else { return first.map_err(|error| unavailable(&error)) };
        self.look_at(&error, connection.number).await;
        let again = match repeat {
            Repeat::Harmless => is_over(&error) && !error.is_timeout(),
            Repeat::OnlyUnsent => was_not_done(&error),
        };
        if !again {
            return Err(unavailable(&error));
        }
        let mut connection = self.connection().await?;
        self.ask_over(&mut connection, command, Duration::ZERO).await
    }

    /// Sends a command over this very connection; the answer may take `wait` longer than others.
    pub(super) async fn ask_over<T: FromRedisValue>(
        &self,
        connection: &mut Numbered,
        command: &Cmd,
        wait: Duration,
    ) -> Result<T, StoreError> {
        match answer(connection, command, wait).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.look_at(&error, connection.number).await;
                Err(unavailable(&error))
            }
        }
    }

    /// Gives a connection up that is no good any more, unless another took its place already.
    async fn look_at(&self, error: &RedisError, number: u64) {
        if is_over(error) {
            let mut state = self.state.lock().await;
            if state.current.as_ref().is_some_and(|current| current.number == number) {
                state.current = None;
            }
        }
    }
}

async fn answer<T: FromRedisValue>(connection: &mut Numbered, command: &Cmd, wait: Duration) -> Result<T, RedisError> {
    let answered = tokio::time::timeout(wait + RESPONSE_TIMEOUT, connection.connection.ask(command)).await;
    answered.unwrap_or_else(|_| Err(timed_out()))
}

/// Whether the server that this came from will not do any more: it is gone, is silent, starts, or is no
/// master; or it has not the key, or does not know us.
fn is_over(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || was_not_done(error)
}

/// Whether the command cannot have been done: the server refused it for what the server is.
fn was_not_done(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::ClusterDown
        )
    ) || matches!(error.code(), Some("NOAUTH" | "UNBLOCKED" | "NOREPLICAS"))
}

/// What may be said of a failure: Redis repeats arguments in some of its answers, so of an answer
/// only its code is said.
fn unavailable(error: &RedisError) -> StoreError {
    if error.kind() == ErrorKind::UnexpectedReturnType || error.code() == Some("WRONGTYPE") {
        return StoreError::Corrupt("a key of ours holds what we did not put there".to_owned());
    }
    StoreError::Unavailable(match error.kind() {
        ErrorKind::Io => error.to_string(),
        ErrorKind::AuthenticationFailed => "Redis refuses the user or the password".to_owned(),
        ErrorKind::MasterNameNotFoundBySentinel => "no Sentinel knows a master of this name".to_owned(),
        kind => match error.code() {
            Some(code) => format!("Redis answers {code}"),
            None => format!("Redis: {kind:?}"),
        },
    })
}
