//! What the tests stand on: the real counterparts, started and stopped, and a real browser.

pub(crate) mod browser;
pub(crate) mod counterparts;
pub(crate) mod running;
