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
use crate::random::Random;
use crate::session::{NoSession, Sessions};
use async_trait::async_trait;
use futures_util::future::select_all;
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
    /// Of each site.
    pub(super) sessions: Vec<Arc<Sessions>>,
    pub(super) clock: Clock,
    pub(super) random: Arc<dyn Random>,
    pub(super) metrics: Arc<Metrics>,
}

impl Keeper {
    /// Never ends by itself.
    pub(super) async fn keep(self) {
        let mut endings: Vec<_> = self.sessions.iter().map(|sessions| sessions.endings()).collect();
        let mut lines = Vec::new();
        loop {
            tokio::select! {
                // There is no ending without the sessions, and they are here.
                _ = select_all(endings.iter_mut().map(|endings| Box::pin(endings.changed()))) => {}
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
            if let Some((held, site)) = person
                && let Some(sessions) = self.sessions.get(*site)
            {
                if spoke && sessions.was_present(held.id(), now) {
                    let (sessions, random, id) = (Arc::clone(sessions), Arc::clone(&self.random), held.id());
                    tokio::spawn(async move { sessions.share_presence(id, now, &*random).await });
                }
                match sessions.is_over(held, now) {
                    None => {}
                    Some(NoSession::Idle) if answer == Answer::Other => {}
                    Some(NoSession::Ended) if answer == Answer::WebSocket && sessions.has_last_word(held.id()) => {}
                    Some(reason) => return Some(Cut::Over(reason)),
                }
            }
            until.is_some_and(|until| now >= until).then_some(Cut::MaxAge)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, agent, now_or_never, request_after, sessions, tokens};
    use crate::session::{Held, Place};
    use http::HeaderMap;
    use tokio::sync::oneshot::error::TryRecvError;

    struct Scene {
        keeper: Keeper,
        clock: ManualClock,
        lines: Vec<Weak<Line>>,
    }

    impl Scene {
        fn new() -> Self {
            let clock = ManualClock::starting_at(START);
            let keeper = Keeper {
                live: Arc::default(),
                sessions: vec![Arc::new(sessions(&[[1; 32]]))],
                clock: Clock::Manual(clock.clone()),
                random: Arc::new(SystemRandom::new()),
                metrics: Arc::new(Metrics::new().unwrap()),
            };
            Self { keeper, clock, lines: Vec::new() }
        }

        /// A session that begins now, as its browser shows it.
        fn signed_in(&self) -> HeaderMap {
            let (sessions, now) = (&self.keeper.sessions[0], self.keeper.clock.now());
            let begun = now_or_never(sessions.begin(
                &agent(),
                &tokens(10),
                &HeaderMap::new(),
                &Place::default(),
                now,
                &SystemRandom::new(),
            ));
            request_after(&HeaderMap::new(), &begun.unwrap().cookies)
        }

        /// What a connection keeps of it.
        fn held(&self, request: &HeaderMap) -> Held {
            let (sessions, now) = (&self.keeper.sessions[0], self.keeper.clock.now());
            sessions.held(Arc::new(sessions.open(request, now).unwrap()), now).unwrap()
        }

        async fn end(&self, request: &HeaderMap) {
            self.keeper.sessions[0].end(self.held(request).id(), self.keeper.clock.now()).await.unwrap();
        }

        fn line(&self) -> (Arc<Line>, tokio::sync::oneshot::Receiver<()>) {
            let (line, woken) = Line::new();
            self.keeper.live.arrive(&line);
            (line, woken)
        }

        async fn walk(&mut self) {
            self.keeper.walk(&mut self.lines).await;
        }
    }

    #[tokio::test]
    async fn what_is_over_is_cut_and_woken_once_and_what_is_gone_is_forgotten() {
        let mut scene = Scene::new();
        let (ends, stays) = (scene.signed_in(), scene.signed_in());
        let (cut, mut woken) = scene.line();
        let (rests, mut rests_woken) = scene.line();
        let (other, mut other_woken) = scene.line();
        cut.serve(scene.held(&ends), 0);
        rests.serve(scene.held(&ends), 0);
        assert_eq!(rests.rest(), None);
        other.serve(scene.held(&stays), 0);
        drop(scene.line());
        scene.end(&ends).await;
        scene.walk().await;
        assert_eq!(scene.lines.len(), 3);
        assert_eq!(woken.try_recv(), Ok(()));
        assert_eq!(rests_woken.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(other_woken.try_recv(), Err(TryRecvError::Empty));
        scene.walk().await;
        assert_eq!(scene.keeper.metrics.cut_connections.with_label_values(&["ended"]).get(), 1);
        // The request that is over says why, and the connection carries no other.
        assert_eq!(cut.rest(), Some(Cut::Over(NoSession::Ended)));
        assert_eq!(cut.rest(), Some(Cut::Over(NoSession::Ended)));
        assert_eq!(other.rest(), None);
    }

    #[tokio::test]
    async fn a_socket_whose_app_signed_out_is_cut_a_moment_later_and_all_else_at_once() {
        let mut scene = Scene::new();
        let person = scene.signed_in();
        let (socket, mut woken) = scene.line();
        let (download, mut download_woken) = scene.line();
        for (line, answer) in [(&socket, Answer::WebSocket), (&download, Answer::Other)] {
            line.serve(scene.held(&person), 0);
            line.answer(answer, None);
        }
        let (sessions, id) = (Arc::clone(&scene.keeper.sessions[0]), scene.held(&person).id());
        sessions.end_by_app(id, None, START, &SystemRandom::new()).await.unwrap();
        let mut endings = sessions.endings();
        scene.walk().await;
        assert_eq!((woken.try_recv(), download_woken.try_recv()), (Err(TryRecvError::Empty), Ok(())));
        endings.changed().await.unwrap();
        scene.walk().await;
        assert_eq!((woken.try_recv(), socket.rest()), (Ok(()), Some(Cut::Over(NoSession::Ended))));
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_cuts_nobody_and_one_that_is_set_forward_does() {
        let mut scene = Scene::new();
        let held = scene.held(&scene.signed_in());
        let earlier = START.minus(Duration::from_secs(24 * 3600));
        assert_eq!(scene.keeper.sessions[0].is_over(&held, earlier), None);
        let (line, mut woken) = scene.line();
        line.serve(held, 0);
        line.answer(Answer::EventStream, None);
        scene.walk().await;
        assert_eq!(woken.try_recv(), Err(TryRecvError::Empty));
        scene.clock.advance(Duration::from_secs(3600));
        scene.walk().await;
        assert_eq!((woken.try_recv(), line.rest()), (Ok(()), Some(Cut::Over(NoSession::Idle))));
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "measures")]
    #[expect(clippy::print_stdout, reason = "the figure is what it is for; --nocapture shows it")]
    async fn a_look_at_ten_thousand_connections_is_nothing() {
        let mut scene = Scene::new();
        // As much is asked for as ever: somebody has signed out, so that the list is looked through.
        scene.end(&scene.signed_in()).await;
        let people: Vec<_> = (0..100).map(|_| scene.signed_in()).collect();
        let lines: Vec<_> = (0..10_000).map(|_| scene.line()).collect();
        for (line, person) in lines.iter().zip(people.iter().cycle()) {
            line.0.serve(scene.held(person), 0);
            line.0.answer(Answer::WebSocket, None);
        }
        scene.walk().await;
        let began = std::time::Instant::now();
        for _ in 0..10 {
            scene.walk().await;
        }
        let one = began.elapsed() / 10;
        println!("one look at 10,000 connections: {one:?}");
        assert!(one < Duration::from_millis(200), "{one:?}");
        assert_eq!(scene.lines.len(), 10_000);
    }
}
