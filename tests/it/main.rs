//! Tests of the whole: the real sidecar against providers, apps, browsers and raw sockets.
//!
//! One binary, one module for each behaviour; `support` is what they stand on.
#![cfg(test)]

mod architecture;
mod callback;
mod counterparts;
mod dependencies;
mod hygiene;
mod pages;
mod readme;
mod session;
mod sign_in;
mod sign_out;
mod support;
