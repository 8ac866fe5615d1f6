//! A client that sends the bytes it is told to, and shows the bytes that come back.
//!
//! For what no HTTP library would send, and for what one would hide: which answer came on which
//! connection, and whether that is still open.

use super::waiting::HANGS;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Whatever bytes go through in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(crate) struct Raw {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// Status line and headers, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    /// The values of a header, in the order in which they came.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.filter(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The only value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        match *self.all(name) {
            [] => None,
            [value] => Some(value),
            _ => panic!("{name} is there several times:\n{}", self.head),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON:\n{}\n{}", self.head, self.text()))
    }
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    pub(crate) async fn connect_unix(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).await.unwrap())
    }

    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    /// Sends these bytes; whether they are wanted is not asked.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may have closed after the first of them, which is what some tests are about.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// The next answer, read by its own framing (RFC 9112 §6.3).
    pub(crate) async fn answer(&mut self) -> RawAnswer {
        let RawAnswer { status, head, .. } = self.head().await;
        let answer = RawAnswer { status, head, body: Vec::new() };
        let body = if status < 200 || status == 204 || status == 304 {
            Vec::new()
        } else if let Some(length) = answer.header("content-length") {
            self.exactly(length.parse().unwrap()).await
        } else if answer.header("transfer-encoding").is_some() {
            self.chunks().await
        } else {
            self.rest().await
        };
        RawAnswer { body, ..answer }
    }

    /// The head of the next answer; its body is left to be read.
    pub(crate) async fn head(&mut self) -> RawAnswer {
        let head = self.through(b"\r\n\r\n").await;
        let head = String::from_utf8(head).unwrap();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
        RawAnswer { status, head: head.trim_end().to_owned(), body: Vec::new() }
    }

    /// The head of the next request, where this is the app's side.
    pub(crate) async fn request_head(&mut self) -> String {
        String::from_utf8(self.through(b"\r\n\r\n").await).unwrap()
    }

    /// One chunk of a chunked body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let size = String::from_utf8(self.through(b"\r\n").await).unwrap();
        let size = usize::from_str_radix(size.trim().split(';').next().unwrap(), 16).unwrap();
        let chunk = self.exactly(size).await;
        assert_eq!(self.exactly(2).await, b"\r\n");
        chunk
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                return body;
            }
            body.extend(chunk);
        }
    }

    /// Exactly this many bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.fill().await, "closed after {} of {count} bytes", self.unread.len());
        }
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    async fn through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.exactly(at + end.len()).await;
            }
            let closed = !self.fill().await;
            assert!(!closed, "closed after {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Some bytes, as many as come at a time; none when the other side has closed.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            self.fill().await;
        }
        std::mem::take(&mut self.unread)
    }

    /// Everything until the other side closes, which it must do.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the other side closes without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    /// Reads some more; false when the other side has closed.
    async fn fill(&mut self) -> bool {
        let mut piece = vec![0; 16 * 1024];
        let read = timeout(HANGS, self.stream.read(&mut piece)).await;
        let Ok(read) = read else {
            panic!("nothing came, and the connection is open; so far {:?}", String::from_utf8_lossy(&self.unread))
        };
        // A reset is a close as well.
        let count = read.unwrap_or(0);
        self.unread.extend_from_slice(&piece[..count]);
        count > 0
    }
}
