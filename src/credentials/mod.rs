//! What an upstream needs to trust a request: a credential of the person's, or of ours.
//!
//! Called by `server` once the gate has said that a request goes to the app. Must never hand out
//! a credential without a session, print one, or let one reach a browser.

pub mod albert;
pub mod envelope;
pub mod key_book;
