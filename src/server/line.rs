//! One client's connection: whose request is on it, what was asked for, and how it is cut.
//!
//! A [`Line`] is shared by the connection itself (Pingora reads and writes through [`Cuttable`]),
//! by the proxy's phases, which say what is on it, and by `server/live`, which cuts it. Pingora
//! learns of a cut as of a client that left: at its next read. So its phases run to their end,
//! the request is logged and counted, and the app's side is closed as it always is. HTTP/1.1 only:
//! there is one request on a connection at a time.

use super::farewell::{Written, close_frame};
use crate::bearer::Caller;
use crate::clock::Timestamp;
use crate::gate::rules::{Explanation, Who};
use crate::gate::{Denial, Gate, headers_for_routes};
use crate::session::{Held, NoSession};
use crate::web::frames::Frames;
use crate::web::hygiene::{Ambiguous, CleanRequest};
use async_trait::async_trait;
use http::request::Parts;
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// For the farewell to leave, and for the client to close after it.
const FAREWELL_WITHIN: Duration = Duration::from_millis(250);

/// What is being answered, as far as it matters to the end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An answer with an end of its own, or nothing.
    Other = 0,
    /// After the switch to a WebSocket.
    WebSocket = 1,
    /// A chunked `text/event-stream`.
    EventStream = 2,
}

/// Why a connection is cut. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    /// Its session is over.
    #[error("{0}")]
    Over(NoSession),
    /// `websocket_max_age`
    #[error("the connection reached its maximum age")]
    MaxAge,
    /// Whoever is on it would not be let in any more.
    #[error("no longer admitted: {}", .0.cause)]
    Lost(Arc<Lost>),
}

/// A right that was lost, in words of its own: the rules that say so may be gone when they are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) denial: Denial,
    /// For the log: which rule, or why else.
    pub(super) cause: String,
    rule: String,
    who: Vec<Who>,
}

impl Lost {
    /// What `gate` refuses.
    pub(super) fn new(denial: Denial, gate: &Gate) -> Self {
        let why = match denial {
            Denial::NotAdmitted(index, refusal) => gate.explain(index, refusal),
            _ => None,
        };
        match why {
            Some(Explanation { rule, who, cause }) => {
                Self { denial, cause, rule: rule.to_owned(), who: who.into_iter().cloned().collect() }
            }
            None => Self { denial, cause: denial.to_string(), rule: String::new(), who: Vec::new() },
        }
    }

    /// For those whose answer had not begun.
    pub(super) fn explanation(&self) -> Explanation<'_> {
        Explanation { rule: &self.rule, who: self.who.iter().collect(), cause: self.cause.clone() }
    }
}

/// Whose request is on a connection, and by what it was let through.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) whose: Whose,
    /// From where, as far as it can be known.
    pub(super) client: Option<IpAddr>,
    /// Since when.
    pub(super) since: Timestamp,
    /// For which site.
    pub(super) site: usize,
    /// By which turn of the configuration, and by which route of that.
    pub(super) turn: u64,
    pub(super) route: usize,
}

impl Guest {
    /// What is held of the session, where there is one.
    pub(super) fn held(&self) -> Option<&Held> {
        match &self.whose {
            Whose::Person(held) => Some(held),
            Whose::Nobody | Whose::Caller(_) => None,
        }
    }
}

/// Whose a request is.
#[derive(Debug)]
pub(super) enum Whose {
    /// Anybody's, on a public route.
    Nobody,
    Person(Held),
    /// Of whoever showed a bearer token or a certificate.
    Caller(Arc<Caller>),
}

/// What was asked for, as far as it says which route that is. Each request is written over the one before
/// it on its connection: what it takes is allocated once for all of them.
#[derive(Debug)]
pub(super) struct Asked {
    parts: Parts,
    target: String,
}

impl Default for Asked {
    fn default() -> Self {
        Self { parts: http::Request::new(()).into_parts().0, target: String::new() }
    }
}

impl Asked {
    fn note(&mut self, request: &CleanRequest<'_>) {
        self.parts.method.clone_from(&request.parts().method);
        self.parts.headers.clear();
        for (name, value) in headers_for_routes(&request.parts().headers) {
            self.parts.headers.append(name.clone(), value.clone());
        }
        self.target.clear();
        self.target.push_str(request.target());
    }

    /// The request again.
    pub(super) fn request(&self) -> Result<CleanRequest<'_>, Ambiguous> {
        CleanRequest::inspect(&self.parts, self.target.as_bytes(), b"")
    }

    /// A connection at rest need not hold an address that was very long.
    fn rest(&mut self) {
        if self.target.capacity() > KEPT_TARGET_LEN {
            self.target = String::new();
        }
    }
}

/// What is on a connection when it is looked at.
pub(super) struct Seen<'a> {
    pub(super) guest: Option<&'a mut Guest>,
    pub(super) asked: &'a Asked,
    pub(super) answer: Answer,
    /// When the connection is old enough.
    pub(super) until: Option<Timestamp>,
    /// Whether the client has sent data on its WebSocket since the last time.
    pub(super) spoke: bool,
}

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Line {
    /// Of `state` what every read and write asks for: the answer, and whether there is a cut.
    glance: AtomicU8,
    /// The client has sent data on its WebSocket since this was last looked at.
    spoke: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Whose request is on it.
    guest: Option<Guest>,
    asked: Asked,
    /// When the connection is old enough.
    until: Option<Timestamp>,
    cut: Option<Cut>,
    /// Wakes the connection, once.
    wake: Option<oneshot::Sender<()>>,
}

/// The longest target that a connection at rest keeps the room for, in bytes.
const KEPT_TARGET_LEN: usize = 1024;

const CUT: u8 = 0x80;
/// Beside [`CUT`].
const ANSWERED: u8 = 0x40;

impl Line {
    /// A connection that has just come, and what wakes it when it is cut.
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (wake, woken) = oneshot::channel();
        let state =
            Mutex::new(State { guest: None, asked: Asked::default(), until: None, cut: None, wake: Some(wake) });
        (Arc::new(Self { glance: AtomicU8::new(0), spoke: AtomicBool::new(false), state }), woken)
    }

    /// The connection that this request came on; none in a test of a phase.
    pub(super) fn of(session: &ServerSession) -> Option<&Self> {
        let stream: &Stream = session.as_http1()?.stream();
        stream.as_ref().as_any().downcast_ref::<Cuttable>().map(|cuttable| &*cuttable.line)
    }

    /// From now on this request is on it.
    pub(super) fn serve(&self, guest: Guest, request: &CleanRequest<'_>) {
        let mut state = self.state();
        state.guest = Some(guest);
        state.asked.note(request);
    }

    /// From now on this kind of answer is, until this moment at most.
    pub(super) fn answer(&self, answer: Answer, until: Option<Timestamp>) {
        let mut state = self.state();
        state.until = until;
        self.glance.fetch_or(answer as u8, Ordering::Release);
    }

    /// The request is over, and nobody's is on it: what rests cannot be cut, for the next request
    /// may be on its way, and must be able to be answered whatever ends meanwhile, such as the
    /// sign-out itself. Says why it was cut before, if it was: then it stays so.
    pub(super) fn rest(&self) -> Option<Cut> {
        let mut state = self.state();
        state.guest = None;
        state.asked.rest();
        state.until = None;
        if state.cut.is_none() {
            self.glance.store(0, Ordering::Release);
        }
        state.cut.clone()
    }

    /// Cuts it if `verdict` says so of what is on it.
    pub(super) fn examine(&self, verdict: impl FnOnce(Seen<'_>) -> Option<Cut>) -> Option<Cut> {
        let mut state = self.state();
        if state.cut.is_some() || (state.guest.is_none() && state.until.is_none()) {
            return None;
        }
        let spoke = self.spoke.swap(false, Ordering::Relaxed);
        let State { guest, asked, until, .. } = &mut *state;
        let seen = Seen { guest: guest.as_mut(), asked, answer: self.glance().0, until: *until, spoke };
        let cut = verdict(seen)?;
        state.cut = Some(cut.clone());
        self.glance.fetch_or(CUT, Ordering::Release);
        if let Some(wake) = state.wake.take() {
            // Whoever does not listen any more has ended already.
            let _ = wake.send(());
        }
        Some(cut)
    }

    /// Why it was cut, if it was; from now on the client can be told so. For where nothing of an
    /// answer is on its way.
    pub(super) fn answer_cut(&self) -> Option<Cut> {
        let state = self.state();
        if state.cut.is_some() {
            self.glance.fetch_or(ANSWERED, Ordering::Release);
        }
        state.cut.clone()
    }

    /// The answer, and whether it is cut.
    fn glance(&self) -> (Answer, bool) {
        let glance = self.glance.load(Ordering::Acquire);
        let answer = match glance & !(CUT | ANSWERED) {
            1 => Answer::WebSocket,
            2 => Answer::EventStream,
            _ => Answer::Other,
        };
        (answer, glance & CUT != 0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that can be cut from outside.
#[derive(Debug)]
pub(super) struct Cuttable {
    inner: Stream,
    line: Arc<Line>,
    /// What the client has sent, where it is a WebSocket.
    received: Frames,
    written: Written,
    following: bool,
    /// What the app still gets to read after a cut, in the client's place.
    to_app: Option<VecDeque<u8>>,
    leave: Option<Leave>,
}

impl Cuttable {
    pub(super) fn new(inner: Stream, line: Arc<Line>) -> Self {
        let (received, written) = (Frames::default(), Written::default());
        Self { inner, line, received, written, following: false, to_app: None, leave: None }
    }

    /// What is on it now, and whether it is cut.
    fn look(&mut self) -> (Answer, bool) {
        let (answer, cut) = self.line.glance();
        if self.following != (answer != Answer::Other) {
            self.following = !self.following;
            self.received = Frames::default();
            self.written = Written::expecting(answer);
        }
        (answer, cut)
    }

    /// What is on it now, and whether what is written is for nobody.
    fn look_to_write(&mut self) -> (Answer, bool) {
        let (answer, cut) = self.look();
        (answer, cut && self.line.glance.load(Ordering::Acquire) & ANSWERED == 0)
    }

    /// What Pingora reads from a connection that is cut: for a WebSocket the client's Close frame,
    /// where one may stand, and then the end.
    fn read_the_end(&mut self, answer: Answer, buffer: &mut ReadBuf<'_>) {
        let (received, line) = (&self.received, &self.line);
        let rest = self.to_app.get_or_insert_with(|| {
            let cut = line.state().cut.clone().filter(|_| answer == Answer::WebSocket && received.at_boundary());
            cut.map_or_else(Vec::new, |cut| close_frame(&cut, true)).into()
        });
        let now = rest.len().min(buffer.remaining());
        rest.drain(..now).for_each(|byte| buffer.put_slice(&[byte]));
    }

    /// What becomes of bytes for a client that is cut off: a WebSocket is read from to its end,
    /// and must not wait for a client that does not listen; any other answer breaks off.
    fn write_off(answer: Answer, length: usize) -> io::Result<usize> {
        if answer == Answer::WebSocket { Ok(length) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (answer, cut) = this.look();
        if cut {
            this.read_the_end(answer, buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
        if answer == Answer::WebSocket && this.received.follow(buffer.filled().get(before..).unwrap_or_default()) {
            this.line.spoke.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let (answer, cut) = this.look_to_write();
        if cut {
            return Poll::Ready(Self::write_off(answer, bytes.len()));
        }
        let count = ready!(Pin::new(&mut this.inner).poll_write(context, bytes))?;
        if this.following {
            this.written.follow(bytes.get(..count).unwrap_or_default());
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let (answer, cut) = this.look_to_write();
        if cut {
            return Poll::Ready(Self::write_off(answer, slices.iter().map(|slice| slice.len()).sum()));
        }
        let count = ready!(Pin::new(&mut this.inner).poll_write_vectored(context, slices))?;
        if this.following {
            let mut left = count;
            for slice in slices {
                let written = slice.get(..left).unwrap_or(slice);
                this.written.follow(written);
                left -= written.len();
            }
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let (answer, true) = this.look_to_write() {
            return Poll::Ready(Self::write_off(answer, 0).map(drop));
        }
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (answer, cut) = this.look();
        if !cut {
            return Pin::new(&mut this.inner).poll_shutdown(context);
        }
        let leave = this.leave.get_or_insert_with(|| {
            let farewell = this.line.state().cut.as_ref().map(|cut| this.written.farewell(cut));
            Leave {
                farewell: farewell.unwrap_or_default().into(),
                is_closed: false,
                is_heard: false,
                until: Box::pin(tokio::time::sleep(FAREWELL_WITHIN)),
            }
        });
        if leave.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        leave.poll(&mut this.inner, answer == Answer::WebSocket, context)
    }
}

/// The end of a connection that is cut.
#[derive(Debug)]
struct Leave {
    /// What is still to be written.
    farewell: VecDeque<u8>,
    /// Our side of it is.
    is_closed: bool,
    /// The client's is.
    is_heard: bool,
    /// A client that is gone, or takes nothing, is waited for no longer.
    until: Pin<Box<Sleep>>,
}

impl Leave {
    fn poll(&mut self, stream: &mut Stream, hears_answer: bool, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.farewell.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(context, self.farewell.make_contiguous()))?;
            self.farewell.drain(..count.min(self.farewell.len()));
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        if !self.is_closed {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            self.is_closed = true;
        }
        // What comes unread into a closed socket resets it, and can take away from the client what
        // was sent before: so its own Close, and its end, are waited for.
        while let (true, false) = (hears_answer, self.is_heard) {
            let mut unread = [0; 512];
            let mut unread = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut unread))?;
            self.is_heard = unread.filled().is_empty();
        }
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Shutdown for Cuttable {
    async fn shutdown(&mut self) {
        // A client that is gone is no further error.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Cuttable {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Cuttable {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Cuttable {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Cuttable {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Cuttable {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[async_trait]
impl Peek for Cuttable {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buffer).await
    }
}
