//! A WebSocket through the sidecar to the echo app, as a page of the site opens one.

use super::site::{ORIGIN, Site};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A WebSocket that the echo app has spoken on.
pub(crate) async fn socket(site: &Site, target: &str, cookies: Option<String>) -> Socket {
    socket_at(site.address, target, cookies).await.0
}

/// The same by way of whoever listens at `address`, with the handshake as it reached the app.
pub(crate) async fn socket_at(
    address: SocketAddr,
    target: &str,
    cookies: Option<String>,
) -> (Socket, serde_json::Value) {
    let mut request = format!("ws://app.example{target}").into_client_request().unwrap();
    request.headers_mut().insert("origin", ORIGIN.parse().unwrap());
    if let Some(cookies) = cookies {
        request.headers_mut().insert("cookie", cookies.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let Some(Ok(Message::Text(handshake))) = socket.next().await else { panic!("the app says nothing") };
    (socket, serde_json::from_str(&handshake).unwrap())
}

/// Whether something that is sent comes back.
pub(crate) async fn echoes(socket: &mut Socket) -> bool {
    socket.send(Message::text("still here")).await.unwrap();
    matches!(socket.next().await, Some(Ok(Message::Text(text))) if text == "still here")
}

/// The Close frame that comes next, behind which there is nothing.
pub(crate) async fn close_of(socket: &mut Socket) -> CloseFrame {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => {
                assert!(socket.next().await.is_none());
                return frame;
            }
            Some(Ok(Message::Text(_) | Message::Binary(_))) => {}
            other => panic!("no Close frame but {other:?}"),
        }
    }
}
