//! The model side: a completion as a stream of events or whole, an upload that is counted, and an
//! echo of what reached the API. Each is only for a key that this version lets in.

use super::Shared;
use super::accounts::MODEL;
use super::admit::{Bearer, Caller, Needs, admit};
use super::asked::Asked;
use super::faults::Refusal;
use super::reply::{Outcome, Reply};
use super::state::State;
use super::version::Version;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::request::Parts;
use serde_json::{Value, json};
use std::cmp::Ordering::{Equal, Greater, Less};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, watch};

/// How many events a stream has before its usage and its end, unless told.
const WORDS: usize = 4;
/// More than a conversation has.
const LARGEST_CONVERSATION: usize = 16 * 1024 * 1024;
/// As many as a semaphore can count: nobody waits.
const UNPACED: usize = Semaphore::MAX_PERMITS;

/// The streams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) open: usize,
    /// Sent to the last byte.
    pub(crate) finished: usize,
    /// Given up, because the client went away.
    pub(crate) stopped: usize,
}

pub(super) struct Model {
    words: AtomicUsize,
    /// Every event takes one.
    pace: Semaphore,
    pub(super) streams: watch::Sender<Streams>,
    /// Bytes of all uploads.
    pub(super) uploaded: watch::Sender<u64>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            words: AtomicUsize::new(WORDS),
            pace: Semaphore::new(UNPACED),
            streams: watch::Sender::default(),
            uploaded: watch::Sender::default(),
        }
    }

    pub(super) fn hold(&self, words: usize) {
        self.words.store(words, Ordering::Relaxed);
        self.pace.forget_permits(UNPACED);
    }

    pub(super) fn let_go(&self, events: usize) {
        self.pace.add_permits(events);
    }
}

/// Whether the path is the model's.
pub(super) fn serves(path: &str) -> bool {
    ["/v1/chat/completions", "/v1/audio/transcriptions", "/v1/echo"].contains(&path)
}

/// The list of models, which the administrator may see too.
pub(super) fn models(state: &State, asked: &Asked, bearer: Bearer) -> Outcome {
    let caller = admit(state, bearer, Needs::Signature)?;
    let model = json!({
        "object": "model", "id": MODEL, "type": "text-generation", "aliases": ["albert-small"], "created": 1_790_000_000,
        "owned_by": "OpenGateLLM", "max_context_length": 8192,
        "costs": { "prompt_tokens": 0.0, "completion_tokens": 0.0 },
    });
    let data = if has_models(state, &caller) { vec![model] } else { Vec::new() };
    if asked.operation == "GET /v1/models" {
        return Ok(Reply::json(200, &json!({ "object": "list", "data": data })));
    }
    let name = &asked.parameter;
    let model = data.first().filter(|_| is_model(name));
    model.map(|model| Reply::json(200, model)).ok_or_else(|| unknown_model(state.version, name))
}

fn is_model(name: &str) -> bool {
    [MODEL, "albert-small"].contains(&name)
}

fn unknown_model(version: Version, name: &str) -> Reply {
    Reply::detail(404, version.not_found("Model", name))
}

/// A role without limits has no model.
fn has_models(state: &State, caller: &Caller) -> bool {
    let user = state.user(caller.user());
    user.is_none_or(|user| state.role_of(user).limits.as_array().is_some_and(|limits| !limits.is_empty()))
}

pub(super) async fn answer(shared: &Arc<Shared>, parts: &Parts, body: Body, bearer: Bearer) -> Response {
    let answered = match parts.uri.path() {
        "/v1/echo" => echo(shared, parts, bearer),
        "/v1/audio/transcriptions" => transcribe(shared, parts, body, bearer).await,
        _ => complete(shared, body, bearer).await,
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// What reached the API, its key included.
fn echo(shared: &Shared, parts: &Parts, bearer: Bearer) -> Result<Response, Reply> {
    admit(&shared.state(), bearer, Needs::Account)?;
    let headers = parts.headers.iter();
    let headers: Vec<_> =
        headers.map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect();
    let seen = json!({ "method": parts.method.as_str(), "target": parts.uri.to_string(), "headers": headers });
    Ok(Reply::json(200, &seen).into_response())
}

/// As FastAPI does, the form is read to its end before anybody asks whose it is.
async fn transcribe(shared: &Shared, parts: &Parts, body: Body, bearer: Bearer) -> Result<Response, Reply> {
    let mut bytes = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Reply::detail(400, "There was an error parsing the body"))?;
        bytes += piece.len() as u64;
        shared.model.uploaded.send_modify(|uploaded| *uploaded += piece.len() as u64);
    }
    admit(&shared.state(), bearer, Needs::Account)?;
    let form = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    if !form.is_some_and(|kind| kind.starts_with("multipart/form-data; boundary=")) {
        let missing = json!({ "type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": null });
        return Err(Reply::invalid(vec![missing]));
    }
    Ok(Reply::json(200, &json!({ "bytes": bytes })).into_response())
}

async fn complete(shared: &Arc<Shared>, body: Body, bearer: Bearer) -> Result<Response, Reply> {
    let body = axum::body::to_bytes(body, LARGEST_CONVERSATION).await;
    let body = body.map_err(|_| Refusal::TooLarge.reply(shared.state().version))?;
    let asked = Asked::new("POST /v1/chat/completions".to_owned(), String::new(), "", &body)?;
    let created = {
        let state = shared.state();
        let caller = admit(&state, bearer, Needs::Account)?;
        let mut reading = asked.read();
        let model = reading.compulsory_text("model");
        reading.present("messages");
        reading.done()?;
        if !is_model(&model) || !has_models(&state, &caller) {
            return Err(unknown_model(state.version, &model));
        }
        let budget = state.user(caller.user()).and_then(|user| user.budget);
        if budget.is_some_and(|budget| budget <= 0.0) {
            return Err(Refusal::BudgetExhausted.reply(state.version));
        }
        state.now()
    };
    let words = shared.model.words.load(Ordering::Relaxed);
    if asked.is_true("stream") {
        return Ok(events(shared, created, words));
    }
    let content = vec!["stub"; words].join(" ");
    let message = json!({ "role": "assistant", "content": content });
    let completion = json!({
        "id": "chatcmpl-stub", "object": "chat.completion", "created": created, "model": MODEL,
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "usage": usage(words),
    });
    Ok(Reply::json(200, &completion).into_response())
}

fn usage(words: usize) -> Value {
    json!({ "prompt_tokens": 7, "completion_tokens": words, "total_tokens": words + 7, "cost": 0.0 })
}

/// Counts a stream while it is open, and says how it ended.
struct Open {
    shared: Arc<Shared>,
    finished: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.model.streams.send_modify(|streams| {
            streams.open -= 1;
            *(if self.finished { &mut streams.finished } else { &mut streams.stopped }) += 1;
        });
    }
}

/// The words, one more event with the usage, and `[DONE]`, each as soon as the pace lets it go.
fn events(shared: &Arc<Shared>, created: u64, words: usize) -> Response {
    shared.model.streams.send_modify(|streams| streams.open += 1);
    let open = Open { shared: Arc::clone(shared), finished: false };
    let body = stream::unfold((0, open), move |(at, mut open)| async move {
        if at > words + 1 {
            return None;
        }
        open.shared.model.pace.acquire().await.unwrap().forget();
        let mut chunk = json!({
            "id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": created, "model": MODEL, "choices": [],
        });
        let data = match at.cmp(&words) {
            Less => {
                let delta = json!({ "content": format!("mot{at} ") });
                chunk["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": null }]);
                chunk.to_string()
            }
            Equal => {
                chunk["usage"] = usage(words);
                chunk.to_string()
            }
            Greater => {
                open.finished = true;
                "[DONE]".to_owned()
            }
        };
        Some((Ok::<_, Infallible>(Bytes::from(format!("data: {data}\n\n"))), (at + 1, open)))
    });
    ([("content-type", "text/event-stream; charset=utf-8")], Body::from_stream(body)).into_response()
}
