//! Connections on which nothing moves for longer than a minute. One test, which waits: not among those of
//! `streaming`, so that it is over before the last of the run are.

use crate::streaming::{accept, signed_in_websocket, site_in_front_of_us};
use crate::support::counterparts::{all_tests, skipped};
use crate::support::raw::Raw;
use crate::support::site::Site;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// Longer than every time limit that Pingora sets by itself: 60 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_idle_for_70_seconds_goes_on_afterwards() {
    if !all_tests() {
        return skipped("idle connections: takes 70 seconds; VESTIBULE_TESTS=all runs it");
    }
    let idle = Duration::from_secs(70);
    let site = Site::start().await;
    let mut socket = signed_in_websocket(&site, "/ws").await;
    let cookies = site.signed_in().await.cookie_header("app.example").unwrap();
    let mut events = Raw::connect(site.address).await;
    events.send(format!("GET /events HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n")).await;
    assert_eq!(events.head().await.status, 200);
    let mut kept = Raw::connect(site.address).await;
    let mut forgotten = Raw::connect(site.address).await;
    let request = "GET /public/a HTTP/1.1\r\nHost: app.example\r\n\r\n";
    for connection in [&mut kept, &mut forgotten] {
        connection.send(request).await;
        assert_eq!(connection.answer().await.status, 200);
    }
    let (slow_site, listener) = site_in_front_of_us().await;
    let mut slow = Raw::connect(slow_site.address).await;
    slow.send("POST /slow HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\r\nabc").await;
    let (mut app, _) = accept(&listener).await;

    // What is proved is that nothing happens meanwhile: there is nothing to wait for.
    tokio::time::sleep(idle).await;

    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    site.echo.events.send("late".to_owned()).unwrap();
    assert_eq!(events.chunk().await, b"data: late\n\n");
    kept.send(request).await;
    assert_eq!(kept.answer().await.status, 200);
    assert_eq!(app.exactly(3).await, b"abc");
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await;
    assert_eq!(slow.answer().await.text(), "late");
    // After 75 seconds an idle connection ends; left to itself it would rest for ever.
    assert!(forgotten.is_closed().await);
}
