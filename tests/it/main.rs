//! Tests of the whole: the real sidecar against providers, apps, browsers and raw sockets.
//!
//! One binary, one module for each behaviour; `support` is what they stand on.
#![cfg(test)]

mod architecture;
mod attacks;
mod counterparts;
mod demo;
mod dependencies;
mod hygiene;
mod readme;
mod real;
mod real_attacks;
mod sign_in;
mod support;
