//! An app that shows exactly what reached it.
//!
//! `/ws` is an echo WebSocket whose first message is the handshake as JSON, `/events` an event
//! stream that sends what the test sends, `/status/{code}` answers with that status and the
//! headers of the query, `/hang` never answers; everything else echoes the request as JSON.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    /// Sends one event to every open stream.
    pub(crate) events: broadcast::Sender<String>,
    /// How many requests have come, and how many `/hang`s and streams were given up by the client.
    pub(crate) seen: watch::Receiver<Seen>,
    /// The statuses of the Close frames that came on WebSockets.
    pub(crate) closes: watch::Receiver<Vec<u16>>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) requests: usize,
    pub(crate) open: usize,
    pub(crate) left: usize,
}

#[derive(Clone)]
struct Shared {
    events: broadcast::Sender<String>,
    seen: Arc<watch::Sender<Seen>>,
    closes: Arc<watch::Sender<Vec<u16>>>,
}

/// Counts a long answer while it lasts.
struct Open(Arc<watch::Sender<Seen>>);

impl Open {
    fn new(shared: &Shared) -> Self {
        shared.seen.send_modify(|seen| seen.open += 1);
        Self(Arc::clone(&shared.seen))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|seen| {
            seen.open -= 1;
            seen.left += 1;
        });
    }
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (events, _) = broadcast::channel(16);
        let (sender, seen) = watch::channel(Seen::default());
        let (frames, closes) = watch::channel(Vec::new());
        let shared = Shared { events: events.clone(), seen: Arc::new(sender), closes: Arc::new(frames) };
        let router = Router::new()
            .route("/ws", get(websocket))
            .route("/events", get(stream))
            .route("/hang", any(hang))
            .route("/status/{code}", any(status))
            .route("/download/{bytes}", get(download))
            .fallback(echo)
            .with_state(shared);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, events, seen, closes, serving }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn describe(request: &http::request::Parts) -> serde_json::Value {
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| serde_json::json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    serde_json::json!({ "method": request.method.as_str(), "target": request.uri.to_string(), "headers": headers })
}

async fn echo(State(shared): State<Shared>, request: Request) -> Response {
    shared.seen.send_modify(|seen| seen.requests += 1);
    let (parts, body) = request.into_parts();
    let mut described = describe(&parts);
    let mut length = 0_usize;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
        match piece {
            Ok(piece) => length += piece.len(),
            Err(_) => return http::StatusCode::BAD_REQUEST.into_response(),
        }
    }
    described["body"] = length.into();
    ([("content-type", "application/json"), ("x-from", "the app")], described.to_string()).into_response()
}

async fn websocket(State(shared): State<Shared>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let described = describe(&parts).to_string();
    let open = Open::new(&shared);
    upgrade.protocols(["chat.v2"]).on_upgrade(async move |mut socket| {
        let _open = open;
        if socket.send(Message::text(described)).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = socket.recv().await {
            match message {
                Message::Close(Some(frame)) => shared.closes.send_modify(|closes| closes.push(frame.code)),
                Message::Ping(_) | Message::Pong(_) | Message::Close(None) => {}
                data => {
                    let sent = socket.send(data).await;
                    if sent.is_err() {
                        return;
                    }
                }
            }
        }
    })
}

async fn stream(State(shared): State<Shared>) -> Response {
    let open = Open::new(&shared);
    let events = shared.events.subscribe();
    let body = futures_util::stream::unfold((events, open), async |(mut events, open)| {
        let event = loop {
            match events.recv().await {
                Ok(event) => break event,
                // Slower than they come: what is left out is no end.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        };
        Some((Ok::<_, Infallible>(Bytes::from(format!("data: {event}\n\n"))), (events, open)))
    });
    ([("content-type", "text/event-stream"), ("cache-control", "no-cache")], Body::from_stream(body)).into_response()
}

async fn hang(State(shared): State<Shared>) -> Response {
    let _open = Open::new(&shared);
    std::future::pending().await
}

async fn status(Path(code): Path<u16>, Query(headers): Query<Vec<(String, String)>>) -> Response {
    let mut response = Response::builder().status(code);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from("from the app")).unwrap()
}

async fn download(Path(bytes): Path<usize>) -> Response {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = futures_util::stream::unfold(bytes, move |left| {
        let piece = piece.clone();
        async move {
            let now = left.min(piece.len());
            (now > 0).then(|| (Ok::<_, Infallible>(piece.slice(..now)), left - now))
        }
    });
    Body::from_stream(pieces).into_response()
}
