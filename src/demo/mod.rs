//! The demo: a ProConnect-like provider and a small app, both on loopback.
