//! Connections to apps for WebSocket handshakes, whose answer is held back for a moment.
//!
//! Pingora 0.9.1 tells the half that talks to the app "the request has no body" through a channel
//! (`proxy_h1.rs`: `HttpTask::Body(None, true)`). Where the app's 101 is read *before* that message,
//! the message is taken for the end of the upgraded connection, and the WebSocket closes as it
//! opens. The app has to answer within the few instructions between the request's last byte and
//! the first poll, which happens now and then on a busy machine. So after each
//! write these connections answer a few polls with "not yet": the message is then always first.
//! They carry one handshake each and are never pooled.

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{ErrorType, OrErr};
use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Both halves are polled in turn, in an order that changes: the second poll always comes after
/// the message was sent and taken. One more for good measure.
const HELD_POLLS: u8 = 3;

/// Connects to an app for a WebSocket handshake.
#[derive(Debug)]
pub(super) struct ConnectHeld {
    pub(super) timeout: Duration,
}

#[async_trait]
impl L4Connect for ConnectHeld {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let connect = async {
            match address {
                SocketAddr::Inet(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Ok(held(stream))
                }
                SocketAddr::Unix(address) => {
                    let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
                    Ok(held(UnixStream::connect(path).await?))
                }
            }
        };
        let connected: io::Result<Stream> = tokio::time::timeout(self.timeout, connect)
            .await
            .or_err(ErrorType::ConnectTimedout, "the app did not accept the connection in time")?;
        connected.map_err(|cause| {
            let kind = match cause.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                _ => ErrorType::ConnectError,
            };
            pingora::Error::because(kind, "the app cannot be connected to", cause)
        })
    }
}

fn held<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug + 'static>(stream: S) -> Stream {
    VirtualSocketStream::new(Box::new(Held { stream, polls: 0 })).into()
}

#[derive(Debug)]
struct Held<S> {
    stream: S,
    polls: u8,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug> VirtualSocket for Held<S> {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.polls > 0 {
            self.polls -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.polls = HELD_POLLS;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
