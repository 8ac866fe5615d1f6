//! A faithful fake of Albert API (OpenGateLLM): its admin interface in its versions, quirks
//! included, and a model that streams.
//!
//! Each version answers as `version` and the files of its interface (`v01`, `accounts`, `keys`)
//! say, every bearer is checked as the version does it (`admit`), and whatever a test wants to go
//! wrong goes wrong (`faults`). Every secret that is made here is known to the watch over the log.

mod accounts;
mod admit;
mod asked;
mod faults;
mod keys;
mod model;
mod reply;
mod server;
mod state;
mod v01;
mod version;

pub(crate) use admit::Bearer;
pub(crate) use faults::{Fault, Refusal};
pub(crate) use model::Streams;
pub(crate) use state::{Key, User};
pub(crate) use version::Version;

use super::site::START;
use super::waiting::HANGS;
use asked::Asked;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use faults::{Effect, Faults};
use http::request::Parts;
use model::Model;
use reply::{Outcome, Reply};
use serde_json::{Map, Value, json};
use server::Server;
use state::State;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use vestibule::clock::{Clock, ManualClock, Timestamp};

const LARGEST_BODY: usize = 1024 * 1024;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) bearer: Bearer,
    /// None as long as there is no answer.
    pub(crate) status: Option<u16>,
}

impl Call {
    fn is(&self, method: &str, path_prefix: &str) -> bool {
        (method == "*" || self.method == method) && self.path.starts_with(path_prefix)
    }
}

/// The API. Clones are the same one, which ends with the last of them.
#[derive(Clone)]
pub(crate) struct FakeAlbert {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Arc<Mutex<Option<Server>>>,
}

/// What the server and the test both look at.
struct Shared {
    state: Mutex<State>,
    calls: watch::Sender<Vec<Call>>,
    faults: Faults,
    model: Model,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl FakeAlbert {
    /// Listens on a port of its own. Its clock stands where a site's clock starts.
    ///
    /// It has the roles Freemium (1), Agent (2) and Admin (3, with the permission `admin`), the
    /// organizations default (1) and DINUM (2), and no user.
    #[expect(clippy::unused_async, reason = "whoever starts it need not know that nothing is waited for")]
    pub(crate) async fn start(version: Version) -> Self {
        let clock = Clock::Manual(ManualClock::starting_at(Timestamp::from_unix(START)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(version, clock)),
            calls: watch::Sender::default(),
            faults: Faults::none(),
            model: Model::new(),
        });
        let server = Server::start(listener, router(&shared));
        Self { shared, address, server: Arc::new(Mutex::new(Some(server))) }
    }

    /// Tells the time by this clock from now on.
    pub(crate) fn follow(&self, clock: Clock) {
        self.shared.state().clock = clock;
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The administrator's bearer: the master key up to 0.4.1.
    pub(crate) fn admin_key(&self) -> String {
        self.shared.state().admin_key.clone()
    }

    /// Gives the administrator another bearer; the one before is worth nothing from now on.
    pub(crate) fn replace_admin_key(&self) -> String {
        let mut state = self.shared.state();
        state.admin_key = state::new_admin_key(state.version);
        state.admin_key.clone()
    }

    /// The accounts, without the administrator's.
    pub(crate) fn users(&self) -> Vec<User> {
        self.shared.state().users.clone()
    }

    /// Creates an account as it stands here, whatever the interface would say to it: with the role
    /// Freemium when it names none, and with a number and times of its own.
    pub(crate) fn add_user(&self, mut user: User) -> u64 {
        if user.role.is_empty() {
            "Freemium".clone_into(&mut user.role);
        }
        self.shared.state().add_user(user)
    }

    /// Changes an account behind everybody's back.
    ///
    /// # Panics
    /// When there is none with this number.
    pub(crate) fn change_user(&self, id: u64, change: impl FnOnce(&mut User)) {
        let mut state = self.shared.state();
        change(state.users.iter_mut().find(|user| user.id == id).unwrap());
    }

    /// Deletes an account behind everybody's back.
    pub(crate) fn remove_user(&self, id: u64) {
        self.shared.state().users.retain(|user| user.id != id);
    }

    /// Makes a key, with no regard to caps.
    pub(crate) fn add_key(&self, user: u64, name: &str, expires: Option<u64>) -> Key {
        let mut state = self.shared.state();
        let cap = state.cap_days.take();
        let key = state.mint(user, name.to_owned(), expires).unwrap();
        state.cap_days = cap;
        key
    }

    /// The keys that are neither deleted nor expired at this moment (Unix seconds).
    pub(crate) fn live_keys(&self, now: u64) -> Vec<Key> {
        self.all_keys().into_iter().filter(|key| key.lives(now)).collect()
    }

    /// All keys that were ever made, without the administrator's.
    pub(crate) fn all_keys(&self) -> Vec<Key> {
        self.shared.state().keys.clone()
    }

    /// Deletes a key as somebody else would.
    ///
    /// # Panics
    /// When there is none with this number.
    pub(crate) fn kill_key(&self, id: u64) {
        self.shared.state().delete_key(id, None).unwrap();
    }

    /// Everything that was asked so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.borrow().clone()
    }

    /// How many requests with this method (`*` for any) and a path that begins so came.
    pub(crate) fn count(&self, method: &str, path_prefix: &str) -> usize {
        self.shared.calls.borrow().iter().filter(|call| call.is(method, path_prefix)).count()
    }

    /// Waits until so many such requests have come.
    ///
    /// # Panics
    /// When they do not.
    pub(crate) async fn reached(&self, method: &str, path_prefix: &str, count: usize) {
        let enough = |calls: &Vec<Call>| calls.iter().filter(|call| call.is(method, path_prefix)).count() >= count;
        until(&self.shared.calls, enough, || format!("{count} × {method} {path_prefix}: {:#?}", self.calls())).await;
    }

    /// As [`Self::reached`], and until they are answered.
    pub(crate) async fn answered(&self, method: &str, path_prefix: &str, count: usize) {
        let answered = |call: &&Call| call.is(method, path_prefix) && call.status.is_some();
        let enough = |calls: &Vec<Call>| calls.iter().filter(answered).count() >= count;
        until(&self.shared.calls, enough, || format!("{count} × {method} {path_prefix}: {:#?}", self.calls())).await;
    }

    /// Makes something go wrong.
    pub(crate) fn fault(&self, fault: Fault) {
        let mut state = self.shared.state();
        match fault {
            Fault::CapDays(days) => state.cap_days = Some(days),
            Fault::UniqueKeyNames => state.unique_key_names = true,
            fault => self.shared.faults.add(fault),
        }
    }

    /// Nothing goes wrong any more, and what hangs goes on.
    pub(crate) fn clear_faults(&self) {
        let mut state = self.shared.state();
        (state.cap_days, state.unique_key_names) = (None, false);
        self.shared.faults.clear();
    }

    /// Switches the API off: connections are refused, and those that are open end.
    pub(crate) async fn close(&self) {
        let server = self.server.lock().unwrap().take();
        if let Some(server) = server {
            server.stop().await;
        }
    }

    /// Switches it on again, on the same port.
    pub(crate) fn open(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        *self.server.lock().unwrap() = Some(Server::start(listener, router(&self.shared)));
    }

    /// From now on a completion has so many words, and a stream sends an event (a word, the usage,
    /// the end) only when it is let go.
    pub(crate) fn hold_streams(&self, words: usize) {
        self.shared.model.hold(words);
    }

    /// Lets go this many events.
    pub(crate) fn let_go(&self, events: usize) {
        self.shared.model.let_go(events);
    }

    pub(crate) fn streams(&self) -> Streams {
        *self.shared.model.streams.borrow()
    }

    /// Waits until a stream has been given up, because its client went away.
    ///
    /// # Panics
    /// When none is.
    pub(crate) async fn upstream_stopped(&self) {
        let stopped = |streams: &Streams| streams.stopped > 0;
        until(&self.shared.model.streams, stopped, || format!("a stream that stops: {:?}", self.streams())).await;
    }

    /// Waits until this many bytes of uploads have come, all of them together.
    ///
    /// # Panics
    /// When they do not.
    pub(crate) async fn uploaded(&self, bytes: u64) {
        let uploads = &self.shared.model.uploaded;
        until(uploads, |uploaded| *uploaded >= bytes, || format!("{bytes} bytes: {}", *uploads.borrow())).await;
    }
}

async fn until<T>(watched: &watch::Sender<T>, reached: impl FnMut(&T) -> bool, what: impl FnOnce() -> String) {
    let mut watched = watched.subscribe();
    let there = tokio::time::timeout(HANGS, watched.wait_for(reached)).await.is_ok();
    assert!(there, "waited in vain for {}", what());
}

fn router(shared: &Arc<Shared>) -> axum::Router {
    let shared = Arc::clone(shared);
    axum::Router::new().fallback(move |request: Request| serve(Arc::clone(&shared), request))
}

/// Writes down the request and what it came to.
async fn serve(shared: Arc<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let bearer = admit::bearer(&shared.state(), authorization);
    let mut at = 0;
    shared.calls.send_modify(|calls| {
        at = calls.len();
        calls.push(Call {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            bearer,
            status: None,
        });
    });
    let response = with_faults(&shared, &parts, body, bearer).await;
    shared.calls.send_modify(|calls| calls[at].status = Some(response.status().as_u16()));
    response
}

async fn with_faults(shared: &Arc<Shared>, parts: &Parts, body: Body, bearer: Bearer) -> Response {
    let (mut lost, mut duplicate) = (false, false);
    // Asked for before the faults are, so that no clearing is missed in between.
    let cleared = shared.faults.cleared();
    tokio::pin!(cleared);
    let version = shared.state().version;
    for effect in shared.faults.take(version, parts.method.as_str(), parts.uri.path()) {
        match effect {
            Effect::Answer(reply) => return reply.into_response(),
            Effect::Wait => cleared.as_mut().await,
            Effect::Meet(barrier) => {
                barrier.wait().await;
            }
            Effect::Lose => lost = true,
            Effect::Duplicate => duplicate = true,
        }
    }
    let mut response = if model::serves(parts.uri.path()) {
        model::answer(shared, parts, body, bearer).await
    } else {
        let answered = whole(shared, parts, body, bearer).await;
        answered.unwrap_or_else(|refused| refused).into_response()
    };
    if duplicate && response.status() == 201 {
        let state = shared.state();
        let user = state.users.last().unwrap();
        response = match version {
            Version::V01 => v01::unique_violation(user.name.as_deref().unwrap_or_default()).into_response(),
            _ => accounts::duplicate_user(version, &user.email).into_response(),
        };
    }
    if lost {
        let broken = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost")) });
        *response.body_mut() = Body::from_stream(broken);
        response.headers_mut().remove("content-length");
    }
    response
}

/// An answer of the interface itself, made in one go.
async fn whole(shared: &Shared, parts: &Parts, body: Body, bearer: Bearer) -> Outcome {
    let body = axum::body::to_bytes(body, LARGEST_BODY).await;
    let body = body.map_err(|_| Reply::detail(400, "There was an error parsing the body"))?;
    let mut state = shared.state();
    let version = state.version;
    let (operation, parameter) = asked::operation(version, parts.method.as_str(), parts.uri.path())?;
    let asked = Asked::new(operation, parameter, parts.uri.query().unwrap_or_default(), &body)?;
    let path = asked.operation.split_once(' ').unwrap().1;
    match path {
        "/openapi.json" => Ok(Reply::json(200, &openapi(version))),
        "/health" => {
            if version == Version::V01 {
                admit::admit(&state, bearer, admit::Needs::Key)?;
            }
            Ok(Reply::json(200, &json!({ "status": "ok" })))
        }
        path if path.starts_with("/v1/models") => model::models(&state, &asked, bearer),
        _ if version == Version::V01 => v01::answer(&mut state, &asked, bearer),
        path if ["/v1/me", "/v1/keys", "/v1/admin/keys", "/v1/admin/tokens"]
            .iter()
            .any(|own| path.starts_with(own)) =>
        {
            keys::answer(&mut state, &asked, bearer)
        }
        _ => accounts::answer(&mut state, &asked, bearer),
    }
}

fn openapi(version: Version) -> Value {
    let operations = |methods: &[&str]| -> Map<String, Value> {
        methods.iter().map(|method| (method.to_lowercase(), json!({ "responses": {} }))).collect()
    };
    let paths: Map<String, Value> =
        version.paths().into_iter().map(|(path, methods)| (path.to_owned(), operations(methods).into())).collect();
    json!({ "openapi": "3.1.0", "info": { "title": version.title(), "version": version.number() }, "paths": paths })
}
