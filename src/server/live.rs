//! Connections that end with their session, or with the right to their route, live ones included.
//!
//! A WebSocket or an event stream is asked once who it is and then lives for hours, and while
//! nothing moves on it none of Pingora's phases runs. So every connection is known here, and one
//! keeper looks at all of them: as soon as a session has ended or was renewed and when the
//! configuration was read anew, and twice a second for what ends by time. Must never touch a
//! connection at rest, or one of somebody else.
//!
//! **Idle** is a session whose person has sent no request, and no data on a WebSocket, for as long
//! as the limit says. Pings and pongs are the browser's doing, an event stream is the app's:
//! neither shows that somebody is there. An answer with an end of its own, such as a download, was
//! asked for by a person who waits for it: it ends with the lifetime, not with the idle limit.
//!
//! **A right is lost** when the request that a connection carries would not be let through now
//! (`gate/review`). It is judged again by every new turn of the configuration, when its person's
//! session was renewed, here or on another replica (looked for every [`LOOK_EVERY`]), and at every
//! look where the rules of its route can change by themselves.

use super::line::{Answer, Asked, Cut, Cuttable, Guest, Line, Lost, Seen, Whose};
use super::metrics::Metrics;
use super::seats::Seating;
use super::turn::{Gates, OfTurn};
use crate::clock::{Clock, Timestamp};
use crate::gate::Denial;
use crate::gate::review::Holder;
use crate::gate::rules::Circumstances;
use crate::random::Random;
use crate::seats::Seats;
use crate::session::{NoSession, OpenedSession, SessionId, Sessions};
use async_trait::async_trait;
use futures_util::future::select_all;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two looks at what ends by time.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks however fast sessions end.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at whether another replica has renewed a session that is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
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
    /// Of each site, where people need one.
    pub(super) seats: Vec<Option<Arc<Seats>>>,
    /// What decides at present.
    pub(super) gates: Arc<Gates>,
    pub(super) clock: Clock,
    pub(super) random: Arc<dyn Random>,
    pub(super) metrics: Arc<Metrics>,
}

/// The connections, and what was done about them last.
#[derive(Default)]
pub(super) struct Lines {
    all: Vec<Weak<Line>>,
    /// When other replicas' renewals were looked for.
    looked_at: Option<Timestamp>,
    looking: Option<JoinHandle<()>>,
}

/// What is known in one round.
struct Round<'a> {
    now: Timestamp,
    turn: &'a OfTurn,
    /// Of each site, what was renewed since the last one.
    renewals: Vec<HashMap<SessionId, Arc<OpenedSession>>>,
    /// Of each site, what another replica may have renewed; nothing where it is not time to look.
    may_be_renewed: Option<Vec<HashMap<SessionId, Arc<OpenedSession>>>>,
}

impl Keeper {
    /// Never ends by itself.
    pub(super) async fn keep(self) {
        let mut endings: Vec<_> = self.sessions.iter().map(|sessions| sessions.endings()).collect();
        let mut turns = self.gates.changes();
        let mut lines = Lines::default();
        loop {
            tokio::select! {
                // There is no ending without the sessions, nor a turn without the gates, and they are here.
                _ = select_all(endings.iter_mut().map(|endings| Box::pin(endings.changed()))) => {}
                _ = turns.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            self.walk(&mut lines).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Cuts what is over, and forgets what is gone.
    async fn walk(&self, lines: &mut Lines) {
        lines.all.append(&mut self.live.take_arrived());
        let now = self.clock.now();
        let turn = self.gates.load_full();
        let is_time = lines.looked_at.is_none_or(|at| now < at || now.since(at) >= LOOK_EVERY)
            && lines.looking.as_ref().is_none_or(JoinHandle::is_finished);
        let mut round = Round {
            now,
            turn: &turn,
            renewals: self.sessions.iter().map(|sessions| sessions.take_renewals()).collect(),
            may_be_renewed: is_time.then(|| vec![HashMap::new(); self.sessions.len()]),
        };
        let mut at = 0;
        while let Some(line) = lines.all.get(at).map(Weak::upgrade) {
            if let Some(line) = line {
                if let Some(cut) = self.examine(&line, &mut round) {
                    self.metrics.cut_connections.with_label_values(&[cut.label()]).inc();
                }
                at += 1;
                if at.is_multiple_of(AT_ONCE) {
                    tokio::task::yield_now().await;
                }
            } else {
                lines.all.swap_remove(at);
            }
        }
        if let Some(may_be_renewed) = round.may_be_renewed {
            lines.looked_at = Some(now);
            lines.looking = self.look_for_renewals(may_be_renewed, now);
        }
    }

    /// Asks the store about sessions that other replicas may have renewed.
    fn look_for_renewals(
        &self,
        sessions: Vec<HashMap<SessionId, Arc<OpenedSession>>>,
        now: Timestamp,
    ) -> Option<JoinHandle<()>> {
        if sessions.iter().all(HashMap::is_empty) {
            return None;
        }
        let all: Vec<_> = self.sessions.iter().cloned().zip(sessions).collect();
        Some(tokio::spawn(async move {
            for (sessions, held) in all {
                for opened in held.into_values() {
                    sessions.look_for_renewal(&opened, now).await;
                }
            }
        }))
    }

    fn examine(&self, line: &Line, round: &mut Round<'_>) -> Option<Cut> {
        line.examine(|Seen { guest, asked, answer, until, spoke }| {
            if let Some(guest) = guest {
                let is_renewed = match self.is_over(guest, answer, spoke, round) {
                    Ok(is_renewed) => is_renewed,
                    Err(reason) => return Some(Cut::Over(reason)),
                };
                let reviewed = review(guest, asked, is_renewed, round);
                if let Err(lost) = reviewed.and_then(|()| self.seat_of(guest, spoke, round)) {
                    return Some(Cut::Lost(lost));
                }
            }
            until.is_some_and(|until| round.now >= until).then_some(Cut::MaxAge)
        })
    }

    /// Whether whoever needs a seat has lost theirs. What they do keeps it.
    fn seat_of(&self, guest: &Guest, spoke: bool, round: &Round<'_>) -> Result<(), Arc<Lost>> {
        let Some(Some(seats)) = self.seats.get(guest.site) else { return Ok(()) };
        let (Some(gate), Whose::Person(held)) = (round.turn.gates.get(guest.site), &guest.whose) else { return Ok(()) };
        if !gate.route(guest.route).is_some_and(|route| route.needs_seat) {
            return Ok(());
        }
        let Some(sessions) = self.sessions.get(guest.site) else { return Ok(()) };
        let seating = Seating { seats, gate, sessions, random: &self.random };
        seating.still_holds(held, spoke, round.now).map_err(|why| Arc::new(Lost::new(Denial::NoSeat(why), gate)))
    }

    /// Whether a session says something else of its person than it did, or why it is over.
    fn is_over(
        &self,
        guest: &mut Guest,
        answer: Answer,
        spoke: bool,
        round: &mut Round<'_>,
    ) -> Result<bool, NoSession> {
        let now = round.now;
        let (site, Whose::Person(held)) = (guest.site, &mut guest.whose) else { return Ok(false) };
        let Some(sessions) = self.sessions.get(site) else { return Ok(false) };
        if spoke && sessions.was_present(held.id(), now) {
            let (sessions, random, id) = (Arc::clone(sessions), Arc::clone(&self.random), held.id());
            tokio::spawn(async move { sessions.share_presence(id, now, &*random).await });
        }
        match sessions.is_over(held, now) {
            None => {}
            Some(NoSession::Idle) if answer == Answer::Other => {}
            Some(NoSession::Ended) if answer == Answer::WebSocket && sessions.has_last_word(held.id()) => {}
            Some(reason) => return Err(reason),
        }
        let latest = round.renewals.get(site).and_then(|renewals| renewals.get(&held.id()));
        let is_renewed = latest.is_some_and(|latest| sessions.bring_up_to_date(held, latest, now));
        if let Some(may_be_renewed) = round.may_be_renewed.as_mut().and_then(|all| all.get_mut(site))
            && let Some(opened) = sessions.may_be_renewed(held, now)
        {
            may_be_renewed.insert(held.id(), opened);
        }
        Ok(is_renewed)
    }
}

/// Judges again who is on a connection, where something may be another than it was.
fn review(guest: &mut Guest, asked: &Asked, is_renewed: bool, round: &Round<'_>) -> Result<(), Arc<Lost>> {
    // Every site has a gate in every turn.
    let Some(gate) = round.turn.gates.get(guest.site) else { return Ok(()) };
    // Let in by a later turn than this round knows: the next round, which that turn wakes, looks at it.
    if guest.turn > round.turn.number {
        return Ok(());
    }
    let is_of_this_turn = guest.turn == round.turn.number;
    let rules_change = || gate.route(guest.route).is_none_or(|route| route.rules.change_by_themselves());
    if is_of_this_turn && !is_renewed && !rules_change() {
        return Ok(());
    }
    let at = Circumstances { now: round.now, client: guest.client };
    let session;
    let holder = match &guest.whose {
        Whose::Nobody => Holder::Nobody,
        Whose::Caller(caller) => Holder::Caller(caller),
        Whose::Person(held) => match held.session() {
            Ok(read) => {
                session = read;
                Holder::Person(&session)
            }
            Err(reason) => return Err(Arc::new(Lost::new(Denial::NotSignedIn(reason), gate))),
        },
    };
    let route = if is_of_this_turn {
        gate.review_on(guest.route, holder, guest.since, at).map(|()| guest.route)
    } else {
        match asked.request() {
            Ok(request) => gate.review(&request, holder, guest.since, at),
            // It had one meaning when it came.
            Err(_) => Err(Denial::AmbiguousPath),
        }
    };
    let route = route.map_err(|denial| Arc::new(Lost::new(denial, gate)))?;
    (guest.turn, guest.route) = (round.turn.number, route);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::gate::Gate;
    use crate::gate::headers::{self, Headers};
    use crate::gate::route::{Access, PathPattern, Route, Table};
    use crate::gate::rules::{Condition, Listed, Rule, Rules, Subject, Test};
    use crate::gate::template::Encoding;
    use crate::random::SystemRandom;
    use crate::session::fixture::{START, agent, now_or_never, request_after, sessions, tokens};
    use crate::session::{Held, Place};
    use crate::web::hygiene::CleanRequest;
    use crate::web::public_url::PublicUrl;
    use crate::web::return_to::Prefix;
    use http::HeaderMap;
    use tokio::sync::oneshot::error::TryRecvError;

    struct Scene {
        keeper: Keeper,
        clock: ManualClock,
        lines: Lines,
    }

    /// Puts a request of this person's on a connection.
    fn serve(line: &Line, held: Held) {
        put(line, Whose::Person(held));
    }

    fn put(line: &Line, whose: Whose) {
        let request = http::Request::get("/live?x").header("host", "playground.example.gouv.fr").body(()).unwrap();
        let parts = request.into_parts().0;
        let request = CleanRequest::inspect(&parts, b"/live?x", b"").unwrap();
        line.serve(Guest { whose, client: None, since: START, site: 0, turn: 0, route: 0 }, &request);
    }

    /// A gate of one route, which these rules guard.
    fn gate(access: Access, rules: Rules) -> Arc<Gate> {
        let route = Route { rules, ..Route::new(PathPattern::everything(), access) };
        let table = Table::new(vec![route]).unwrap();
        let (url, prefix) =
            (PublicUrl::parse("https://playground.example.gouv.fr").unwrap(), Prefix::parse("/oauth2").unwrap());
        let headers =
            Headers::new(headers::Settings { headers: Vec::new(), encoding: Encoding::default(), assertion: None });
        Arc::new(Gate::new(table, headers, Arc::new(sessions(&[[1; 32]])), url, prefix))
    }

    impl Scene {
        fn new() -> Self {
            let clock = ManualClock::starting_at(START);
            let keeper = Keeper {
                seats: vec![None],
                live: Arc::default(),
                sessions: vec![Arc::new(sessions(&[[1; 32]]))],
                gates: Arc::new(Gates::new(vec![gate(Access::SignedIn, Rules::default())])),
                clock: Clock::Manual(clock.clone()),
                random: Arc::new(SystemRandom::new()),
                metrics: Arc::new(Metrics::new().unwrap()),
            };
            Self { keeper, clock, lines: Lines::default() }
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
        serve(&cut, scene.held(&ends));
        serve(&rests, scene.held(&ends));
        assert_eq!(rests.rest(), None);
        serve(&other, scene.held(&stays));
        drop(scene.line());
        scene.end(&ends).await;
        scene.walk().await;
        assert_eq!(scene.lines.all.len(), 3);
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
            serve(line, scene.held(&person));
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
        serve(&line, held);
        line.answer(Answer::EventStream, None);
        scene.walk().await;
        assert_eq!(woken.try_recv(), Err(TryRecvError::Empty));
        scene.clock.advance(Duration::from_secs(3600));
        scene.walk().await;
        assert_eq!((woken.try_recv(), line.rest()), (Ok(()), Some(Cut::Over(NoSession::Idle))));
    }

    /// Rules by which whoever has this address is kept out.
    fn without(email: &str) -> Rules {
        let one = Test::OneOf(Listed::here([email.to_owned()].into()));
        let rule = Rule { name: "former".into(), condition: Condition::Is(Subject::Email, one), who: None };
        Rules { deny: vec![rule], ..Rules::default() }
    }

    #[tokio::test]
    async fn whoever_a_new_turn_lets_in_no_more_is_cut_and_the_others_go_on_by_it() {
        let mut scene = Scene::new();
        let email = agent().claims().view().text("email").unwrap().to_owned();
        let (kept, mut kept_woken) = scene.line();
        serve(&kept, scene.held(&scene.signed_in()));
        let (open, mut open_woken) = scene.line();
        put(&open, Whose::Nobody);
        // What is open to everybody stays so.
        scene.keeper.gates.take_turn(1, vec![gate(Access::Public, Rules::default())]);
        scene.walk().await;
        assert_eq!(
            (kept_woken.try_recv(), open_woken.try_recv()),
            (Err(TryRecvError::Empty), Err(TryRecvError::Empty))
        );
        scene.keeper.gates.take_turn(2, vec![gate(Access::SignedIn, without("somebody@example.org"))]);
        scene.walk().await;
        assert_eq!((kept_woken.try_recv(), open_woken.try_recv()), (Err(TryRecvError::Empty), Ok(())));
        scene.keeper.gates.take_turn(3, vec![gate(Access::SignedIn, without(&email))]);
        scene.walk().await;
        assert_eq!(kept_woken.try_recv(), Ok(()));
        let (Some(Cut::Lost(lost)), Some(Cut::Lost(not_signed_in))) = (kept.rest(), open.rest()) else { panic!() };
        assert_eq!(lost.cause, "deny former: holds (by email)");
        assert!(matches!(not_signed_in.denial, Denial::NotSignedIn(_)), "{not_signed_in:?}");
        assert_eq!(scene.keeper.metrics.cut_connections.with_label_values(&["not_admitted"]).get(), 2);
    }

    #[tokio::test]
    async fn an_address_that_no_route_has_any_more_is_cut() {
        let mut scene = Scene::new();
        let (line, mut woken) = scene.line();
        serve(&line, scene.held(&scene.signed_in()));
        let elsewhere = Route::new(PathPattern::parse("/other").unwrap(), Access::Public);
        let table = Table::new(vec![elsewhere]).unwrap();
        let (url, prefix) =
            (PublicUrl::parse("https://playground.example.gouv.fr").unwrap(), Prefix::parse("/oauth2").unwrap());
        let headers =
            Headers::new(headers::Settings { headers: Vec::new(), encoding: Encoding::default(), assertion: None });
        let gate = Gate::new(table, headers, Arc::new(sessions(&[[1; 32]])), url, prefix);
        scene.keeper.gates.take_turn(1, vec![Arc::new(gate)]);
        scene.walk().await;
        assert_eq!(woken.try_recv(), Ok(()));
        assert!(matches!(line.rest(), Some(Cut::Lost(lost)) if lost.denial == Denial::NoRoute));
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
            serve(&line.0, scene.held(person));
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
        assert_eq!(scene.lines.all.len(), 10_000);
    }
}
