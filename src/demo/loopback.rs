//! A loopback server: serves a router until it is stopped or dropped.
//!
//! The provider and the app of the demo each stand on one. It must never listen on anything but
//! loopback: the provider signs in whoever asks, as whomever they like.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long requests under way may take to finish when the server is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Why a listener is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadListener {
    /// It can be reached from other machines.
    #[error("{0} is not a loopback address: the demo is for this machine only")]
    NotLoopback(SocketAddr),
    /// Its address cannot be read.
    #[error("the listener's address cannot be read: {0}")]
    NoAddress(#[from] std::io::Error),
}

/// The address of `listener`, if it is loopback.
pub(in crate::demo) fn loopback_address(listener: &TcpListener) -> Result<SocketAddr, BadListener> {
    let address = listener.local_addr()?;
    if address.ip().is_loopback() { Ok(address) } else { Err(BadListener::NotLoopback(address)) }
}

/// Comes true when the server must end; long-lived answers watch it.
#[derive(Clone, Debug)]
pub(in crate::demo) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns when the server must end.
    pub(in crate::demo) async fn wait(&mut self) {
        // An error means that the sender is gone, which is the end as well.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// The two ends of the sign to stop: made first, because a router's long-lived answers watch it.
pub(in crate::demo) fn stop_sign() -> (watch::Sender<bool>, Stop) {
    let (sender, receiver) = watch::channel(false);
    (sender, Stop(receiver))
}

/// A running server.
#[derive(Debug)]
pub(in crate::demo) struct LoopbackServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl LoopbackServer {
    /// Serves `router` on the current runtime.
    ///
    /// # Errors
    /// [`BadListener`], by cause.
    pub(in crate::demo) fn start(
        listener: TcpListener,
        router: axum::Router,
        (sender, stop): (watch::Sender<bool>, Stop),
    ) -> Result<Self, BadListener> {
        let address = loopback_address(&listener)?;
        let mut stopped = stop;
        let task = tokio::spawn(async move {
            let served =
                axum::serve(listener, router).with_graceful_shutdown(async move { stopped.wait().await }).await;
            if let Err(error) = served {
                tracing::error!(%address, %error, "the demo's server ended");
            }
        });
        Ok(Self { address, stop: sender, task })
    }

    /// Where it listens.
    pub(in crate::demo) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: once this returns, connections are refused. Answers that take longer than
    /// [`STOP_GRACE`] are waited for no more.
    pub(in crate::demo) async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listens_on_loopback_only() {
        let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let started = LoopbackServer::start(everywhere, axum::Router::new(), stop_sign());
        assert!(matches!(started, Err(BadListener::NotLoopback(_))));
    }

    #[tokio::test]
    async fn refuses_connections_once_stopped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = LoopbackServer::start(listener, axum::Router::new(), stop_sign()).unwrap();
        let address = server.address();
        let open = tokio::net::TcpStream::connect(address).await.unwrap();
        server.stop().await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        drop(open);
    }

    #[tokio::test]
    async fn ends_when_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = LoopbackServer::start(listener, axum::Router::new(), stop_sign()).unwrap();
        let address = server.address();
        drop(server);
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
