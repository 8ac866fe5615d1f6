//! Tests of the whole: the real sidecar against providers, apps, browsers and raw sockets.
//!
//! One binary, one module for each behaviour; `support` is what they stand on.
#![cfg(test)]

mod admin;
mod architecture;
mod attacks;
mod counterparts;
mod demo;
mod dependencies;
mod headers;
mod hygiene;
mod listeners;
mod logs;
mod programs;
mod readme;
mod real;
mod real_attacks;
mod sign_in;
mod streaming;
mod support;
mod upstream;
