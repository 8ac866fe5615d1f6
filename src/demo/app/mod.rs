//! The app of the demo: shows what reaches it, keeps a WebSocket and an event stream open.
//!
//! It stands behind the proxy and knows nothing of sign-in: it reads headers, as any app would.
//! It must never listen on anything but loopback: it believes every identity header.

mod headers;
mod live;
mod page;

pub use headers::EXTRA_HEADERS;

use super::loopback::{BadListener, LoopbackServer, Stop, stop_sign};
use live::Live;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running app. Dropping it ends it.
#[derive(Debug)]
pub struct App {
    server: LoopbackServer,
    live: Live,
}

/// What the app's answers need.
#[derive(Debug)]
struct Shared {
    /// Where the sign-out form is sent.
    sign_out: String,
    live: Live,
    stop: Stop,
}

impl App {
    /// Starts the app on the current runtime. `sign_out` is the proxy's path for signing out,
    /// such as `/oauth2/sign_out`.
    ///
    /// # Errors
    /// [`BadListener`], when the listener is not on loopback.
    pub fn start(listener: TcpListener, sign_out: &str) -> Result<Self, BadListener> {
        let live = Live::default();
        let (sender, stop) = stop_sign();
        let shared = Arc::new(Shared { sign_out: sign_out.to_owned(), live: live.clone(), stop: stop.clone() });
        let server = LoopbackServer::start(listener, router(shared), (sender, stop))?;
        Ok(Self { server, live })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// How many WebSockets and event streams are open, as it changes.
    pub fn live_connections(&self) -> watch::Receiver<usize> {
        self.live.watch()
    }

    /// Ends it, its WebSockets and its event streams.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

fn router(shared: Arc<Shared>) -> axum::Router {
    use axum::routing::{any, get};
    axum::Router::new()
        .route("/", get(page::home))
        .route("/public", get(page::public))
        .route("/api/headers", any(page::api_headers))
        .route("/live", any(live::websocket))
        .route("/events", get(live::events))
        .route("/app.js", get(page::script))
        .route("/app.css", get(page::style))
        .with_state(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

    async fn app() -> App {
        App::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), "/oauth2/sign_out").unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "a plain client plays the browser")]
    async fn get(app: &App, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = reqwest::Client::new().get(format!("http://{}{path}", app.address()));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    #[tokio::test]
    async fn greets_the_person_whom_the_headers_name() {
        let app = app().await;
        let named = [("x-auth-request-given-name", "H%C3%A9l%C3%A8ne"), ("x-auth-request-usual-name", "Essai")];
        let text = get(&app, "/", &named).await.text().await.unwrap();
        assert!(text.contains("Bonjour Hélène Essai"), "{text}");
        assert!(text.contains(r#"action="/oauth2/sign_out""#));
        let by_email = get(&app, "/", &[("x-auth-request-email", "a@b.fr")]).await.text().await.unwrap();
        assert!(by_email.contains("Bonjour a@b.fr"));
    }

    #[tokio::test]
    async fn shows_nothing_unescaped() {
        let app = app().await;
        let text =
            get(&app, "/", &[("x-auth-request-user", "%3Cscript%3Ex"), ("x-other", "<b>")]).await.text().await.unwrap();
        assert!(!text.contains("<script>x") && !text.contains("<b>"), "{text}");
    }

    #[tokio::test]
    async fn lists_headers_as_received_and_as_shown() {
        let app = app().await;
        let sent = [("x-auth-request-user", "a%C3%A9"), ("x-other", "1"), ("x-other", "2")];
        let text = get(&app, "/api/headers?q=1", &sent).await.text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&answer["method"], &answer["target"]), (&"GET".into(), &"/api/headers?q=1".into()));
        let listed = answer["headers"].as_array().unwrap();
        let user = listed.iter().find(|header| header["name"] == "x-auth-request-user").unwrap();
        assert_eq!(
            (&user["value"], &user["shown"], &user["identity"]),
            (&"a%C3%A9".into(), &"aé".into(), &true.into())
        );
        assert_eq!(listed.iter().filter(|header| header["name"] == "x-other").count(), 2);
    }

    #[tokio::test]
    async fn echoes_on_the_websocket_and_names_the_person_of_the_handshake() {
        let app = app().await;
        let mut request = format!("ws://{}/live", app.address()).into_client_request().unwrap();
        request.headers_mut().insert("x-auth-request-email", "a@b.fr".parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let first = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(first.contains(r#""kind":"tick""#) && first.contains("a@b.fr"), "{first}");
        socket.send(Message::text("coucou")).await.unwrap();
        loop {
            let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
            if text.contains(r#""kind":"echo""#) {
                assert!(text.contains("coucou"));
                break;
            }
        }
        let mut live = app.live_connections();
        assert_eq!(*live.borrow(), 1);
        drop(socket);
        live.wait_for(|open| *open == 0).await.unwrap();
    }

    #[tokio::test]
    async fn streams_events_and_stops_when_the_client_goes() {
        let app = app().await;
        let mut response = get(&app, "/events", &[("x-auth-request-email", "a@b.fr")]).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let first = response.chunk().await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&first).contains("a@b.fr"));
        let mut live = app.live_connections();
        assert_eq!(*live.borrow(), 1);
        drop(response);
        live.wait_for(|open| *open == 0).await.unwrap();
    }

    #[tokio::test]
    async fn ends_its_streams_when_stopped() {
        let app = app().await;
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/live", app.address())).await.unwrap();
        let mut response = get(&app, "/events", &[]).await;
        app.stop().await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
        }
        while let Ok(Some(_)) = response.chunk().await {}
    }
}
