//! Tests of the whole, against real counterparts.
#![cfg(test)]

mod counterparts;
mod dependencies;
mod support;
