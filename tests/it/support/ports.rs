//! Ports for programs that must be told one, because they cannot say which one they were given:
//! Redis, and the sidecar where browsers must know its address beforehand. All else binds port 0.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Where ports are looked for: below those that the system gives to outgoing connections, which a
/// busy machine would otherwise take between our finding one and the program's binding it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port that nothing listens on, and that no other test of this run gets.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 97).unwrap() * 120;
    loop {
        let port = PORTS.start + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
