//! A server that can be switched off at once: it runs in a thread of its own, and all of its
//! connections end with it.

use axum::Router;
use axum::serve::ListenerExt;
use std::net::TcpListener;
use tokio::sync::oneshot;

/// Ends when dropped.
pub(super) struct Server {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Server {
    pub(super) fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                // An event is on its way as soon as it is written.
                let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
                tokio::select! {
                    _ = async { axum::serve(listener, router).await } => {}
                    _ = stopped => {}
                }
            });
            drop(runtime);
            // Nobody may be waiting for it.
            let _ = end.send(());
        });
        Self { stop, ended }
    }

    /// Once this returns, connections are refused, and those that were open are closed.
    pub(super) async fn stop(self) {
        drop(self.stop);
        self.ended.await.unwrap();
    }
}
