//! An app at the level of bytes: shows what reached it exactly as it came, on which connection,
//! and answers with the bytes it is told to, broken ones included.

use super::raw::Stream;
use super::waiting::HANGS;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Which connection it came on, from 0, and which request it was there.
    pub(crate) connection: usize,
    pub(crate) turn: usize,
    /// Request line and headers, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// The target of the request line.
    pub(crate) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap()
    }

    /// Header names and values in the order in which they came.
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        self.head.lines().skip(1).map(|line| line.split_once(": ").unwrap_or((line, ""))).collect()
    }

    /// The values of a header, by its name without regard to case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers().into_iter().filter(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// What to do with a request.
pub(crate) enum Act {
    /// Send these bytes and wait for the next request.
    Answer(Vec<u8>),
    /// Send these bytes (none, perhaps) and close.
    Close(Vec<u8>),
    /// Answer nothing.
    Hang,
}

impl Act {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> Box<dyn Stream> {
        match self {
            Self::Tcp(listener) => Box::new(listener.accept().await.unwrap().0),
            Self::Unix(listener) => Box::new(listener.accept().await.unwrap().0),
        }
    }
}

type Script = Arc<dyn Fn(&Received) -> Act + Send + Sync>;

/// The app. Ends when dropped.
pub(crate) struct Wire {
    /// Where it listens, where that is TCP.
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    count: watch::Receiver<usize>,
    closed: watch::Receiver<usize>,
    _serving: JoinSet<()>,
}

impl Wire {
    /// Answers every request with `ok`.
    pub(crate) async fn start() -> Self {
        Self::scripted(|_| Act::ok("ok")).await
    }

    pub(crate) async fn scripted(script: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        Self::serve(address, Arc::new(script), Listener::Tcp(listener))
    }

    pub(crate) fn on_socket(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self::serve(nowhere, Arc::new(|_: &Received| Act::ok("ok")), Listener::Unix(listener))
    }

    fn serve(address: SocketAddr, script: Script, listener: Listener) -> Self {
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let (sender, count) = watch::channel(0);
        let (ended, closed) = watch::channel(0);
        let log = Arc::clone(&received);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let stream = listener.accept().await;
                let conversation = converse(stream, connection, Arc::clone(&script), Arc::clone(&log), sender.clone());
                let ended = ended.clone();
                connections.spawn(async move {
                    conversation.await;
                    ended.send_modify(|ended| *ended += 1);
                });
            }
        });
        Self { address, received, count, closed, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until `count` connections have ended.
    pub(crate) async fn closed(&self, count: usize) {
        let mut closed = self.closed.clone();
        let there = tokio::time::timeout(HANGS, closed.wait_for(|closed| *closed >= count)).await;
        assert!(there.is_ok(), "connections stay open");
    }

    /// The last request, once there are `count`.
    pub(crate) async fn nth(&self, count: usize) -> Received {
        let mut seen = self.count.clone();
        let there = tokio::time::timeout(HANGS, seen.wait_for(|seen| *seen >= count)).await;
        assert!(there.is_ok(), "only {} of {count} requests reached the app", self.received().len());
        self.received().swap_remove(count - 1)
    }
}

async fn converse(
    mut stream: Box<dyn Stream>,
    connection: usize,
    script: Script,
    log: Arc<Mutex<Vec<Received>>>,
    count: watch::Sender<usize>,
) {
    let mut unread = Vec::new();
    for turn in 0.. {
        let Some(head) = through(&mut stream, &mut unread, b"\r\n\r\n").await else { return };
        let mut request =
            Received { connection, turn, head: String::from_utf8_lossy(&head).trim_end().to_owned(), body: Vec::new() };
        let length = request.all("content-length").first().map(|length| length.parse::<usize>().unwrap());
        if let Some(length) = length {
            while unread.len() < length {
                if !fill(&mut stream, &mut unread).await {
                    return;
                }
            }
            request.body = unread.drain(..length).collect();
        } else if !request.all("transfer-encoding").is_empty() {
            // As it came: chunk sizes, extensions and trailers included.
            let Some(body) = through(&mut stream, &mut unread, b"0\r\n\r\n").await else { return };
            request.body = body;
        }
        log.lock().unwrap().push(request.clone());
        count.send_modify(|count| *count += 1);
        match script(&request) {
            Act::Answer(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::Close(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Act::Hang => while fill(&mut stream, &mut unread).await {},
        }
    }
}

async fn through(stream: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = unread.windows(end.len()).position(|window| window == end) {
            return Some(unread.drain(..at + end.len()).collect());
        }
        if !fill(stream, unread).await {
            return None;
        }
    }
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> bool {
    let mut piece = vec![0; 16 * 1024];
    let count = stream.read(&mut piece).await.unwrap_or(0);
    unread.extend_from_slice(&piece[..count]);
    count > 0
}
