//! What stays open: the WebSocket and the event stream.
//!
//! Both say once a second who the person was when they were opened. Both end as soon as the
//! client goes away or the app stops; the count of open ones proves it.

use super::{Shared, headers};
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The count of what is open.
#[derive(Clone, Debug)]
pub(super) struct Live(Arc<watch::Sender<usize>>);

impl Default for Live {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Live {
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }

    fn one_more(&self) -> Open {
        self.0.send_modify(|open| *open += 1);
        Open(self.clone())
    }
}

/// One open connection: counted until dropped.
struct Open(Live);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

fn every_second() -> Interval {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

pub(super) async fn websocket(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let person = headers::person(&headers);
    upgrade.on_upgrade(move |socket| async move { talk(socket, person, &shared).await })
}

/// Ticks and echoes until either side ends.
async fn talk(mut socket: WebSocket, person: Option<String>, shared: &Shared) {
    let _open = shared.live.one_more();
    let (mut stop, mut ticks, mut count) = (shared.stop.clone(), every_second(), 0_u64);
    loop {
        let reply = tokio::select! {
            () = stop.wait() => {
                // The client may be gone already; either way this is the end.
                let _ = socket.send(Message::Close(None)).await;
                return;
            }
            _ = ticks.tick() => {
                count += 1;
                json!({"kind": "tick", "count": count, "person": person})
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => json!({"kind": "echo", "text": text.as_str()}),
                Some(Ok(Message::Binary(bytes))) => {
                    if socket.send(Message::Binary(bytes)).await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        };
        if socket.send(Message::text(reply.to_string())).await.is_err() {
            return;
        }
    }
}

pub(super) async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    // The stream owns everything: when the connection ends, it is dropped, and nothing is left.
    let began = (shared.live.one_more(), shared.stop.clone(), every_second(), 0_u64);
    let person = headers::person(&headers);
    let events = stream::unfold(began, move |(open, mut stop, mut ticks, count)| {
        let person = person.clone();
        async move {
            tokio::select! {
                () = stop.wait() => None,
                _ = ticks.tick() => {
                    let count = count + 1;
                    let event = Event::default().data(json!({"count": count, "person": person}).to_string());
                    Some((Ok::<_, Infallible>(event), (open, stop, ticks, count)))
                }
            }
        }
    });
    let mut response = Sse::new(events).into_response();
    // For front proxies that would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
