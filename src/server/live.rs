//! Connections that end with their session, live ones included.
//!
//! A WebSocket or an event stream is asked once who it is and then lives for hours. So each
//! connection says in [`serve_person`] whose request is on it, and is dropped as soon as that
//! session ends (RFC 6455 §7.1.5: whoever is cut off sees an abnormal closure, and needs a session
//! to connect again). Around Pingora and not within it: while nothing moves
//! on a connection, none of Pingora's phases runs.

use crate::session::{SessionId, Sessions};
use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use std::sync::{Arc, Mutex, PoisonError};

tokio::task_local! {
    /// The session of the request that is on this connection.
    static SERVED: Served;
}

#[derive(Clone, Default)]
struct Served(Arc<Mutex<Option<SessionId>>>);

impl Served {
    fn set(&self, session: Option<SessionId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn get(&self) -> Option<SessionId> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whose request is on this connection from now on; nobody's, for one that must be able to
/// answer whatever ends meanwhile, such as the sign-out itself.
pub(super) fn serve_person(session: Option<SessionId>) {
    // Outside of a connection, in a test of a phase, there is none to be cut.
    let _ = SERVED.try_with(|served| served.set(session));
}

/// An app of Pingora's whose connections end with their session.
pub(super) struct EndsWithSession<A> {
    pub(super) app: Arc<A>,
    pub(super) sessions: Arc<Sessions>,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for EndsWithSession<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut endings = self.sessions.endings();
        let served = Served::default();
        let work = SERVED.scope(served.clone(), self.app.process_new(stream, shutdown));
        tokio::pin!(work);
        loop {
            let ending = tokio::select! {
                finished = &mut work => return finished,
                ending = endings.changed() => ending,
            };
            let over = match ending {
                Ok(()) => served.get().is_some_and(|id| self.sessions.has_ended(id)),
                Err(_) => return work.await,
            };
            if over {
                // Dropping the work closes both sides: the client's connection and the app's.
                return None;
            }
        }
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}
