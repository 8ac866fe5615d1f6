//! Connections that end with their session, live ones included.
//!
//! A WebSocket or an event stream is asked once who it is and then lives for hours, and while
//! nothing moves on it none of Pingora's phases runs. So every connection is known here, and one
//! keeper looks at all of them: as soon as a session has ended, and twice a second for what ends
//! by time. Must never touch a connection at rest, or one of somebody else.
//!
//! **Idle** is a session whose person has sent no request, and no data on a WebSocket, for as long
//! as the limit says. Pings and pongs are the browser's doing, an event stream is the app's:
//! neither shows that somebody is there. An answer with an end of its own, such as a download, was
//! asked for by a person who waits for it: it ends with the lifetime, not with the idle limit.

use super::line::{Answer, Cut, Cuttable, Line};
use super::metrics::Metrics;
use crate::clock::{Clock, Timestamp};
use crate::session::{NoSession, Sessions};
use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Between two looks at what ends by time.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks however fast sessions end.
const PAUSE: Duration = Duration::from_millis(50);
/// For Pingora to finish with a request whose connection was cut. One that does not read, because
/// it waits for the app, is dropped then.
const CUT_WITHIN: Duration = Duration::from_millis(400);
/// After so many connections others get their turn.
const AT_ONCE: usize = 512;

/// Where connections are made known: once each, not for every request.
#[derive(Default)]
pub(super) struct Live {
    arrived: Mutex<Vec<Weak<Line>>>,
}

impl Live {
    fn arrive(&self, line: &Arc<Line>) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(line));
    }

    fn take_arrived(&self) -> Vec<Weak<Line>> {
        std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An app of Pingora's whose connections can be cut.
pub(super) struct EndsWithSession<A> {
    pub(super) app: Arc<A>,
    pub(super) live: Arc<Live>,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for EndsWithSession<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (line, woken) = Line::new();
        self.live.arrive(&line);
        let stream = Box::new(Cuttable::new(stream, Arc::clone(&line)));
        let work = self.app.process_new(stream, shutdown);
        tokio::pin!(work);
        tokio::select! {
            biased;
            finished = &mut work => return finished,
            _ = woken => {}
        }
        // Dropping the work closes both sides: the client's connection and the app's.
        tokio::time::timeout(CUT_WITHIN, work).await.unwrap_or(None)
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}

/// Looks after all connections of a server.
pub(super) struct Keeper {
    pub(super) live: Arc<Live>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl Keeper {
    /// Never ends by itself.
    pub(super) async fn keep(self) {
        let mut endings = self.sessions.endings();
        let mut lines = Vec::new();
        loop {
            tokio::select! {
                // There is no ending without the sessions, and they are here.
                _ = endings.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            self.walk(&mut lines).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Cuts what is over, and forgets what is gone.
    async fn walk(&self, lines: &mut Vec<Weak<Line>>) {
        lines.append(&mut self.live.take_arrived());
        let now = self.clock.now();
        let mut at = 0;
        while let Some(line) = lines.get(at).map(Weak::upgrade) {
            if let Some(line) = line {
                if let Some(cut) = self.examine(&line, now) {
                    self.metrics.cut_connections.with_label_values(&[cut.label()]).inc();
                }
                at += 1;
                if at.is_multiple_of(AT_ONCE) {
                    tokio::task::yield_now().await;
                }
            } else {
                lines.swap_remove(at);
            }
        }
    }

    fn examine(&self, line: &Line, now: Timestamp) -> Option<Cut> {
        line.examine(|person, answer, until, spoke| {
            if let Some(held) = person {
                if spoke {
                    self.sessions.was_present(held.id(), now);
                }
                match self.sessions.is_over(held, now) {
                    None => {}
                    Some(NoSession::Idle) if answer == Answer::Other => {}
                    Some(reason) => return Some(Cut::Over(reason)),
                }
            }
            until.is_some_and(|until| now >= until).then_some(Cut::MaxAge)
        })
    }
}
