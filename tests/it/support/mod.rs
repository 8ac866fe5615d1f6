//! What the tests stand on: the real sidecar in this process, a provider that can be told to
//! misbehave, an app that shows what reaches it, a browser-like client, the real counterparts,
//! and a watch over everything that is logged.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod counterparts;
pub(crate) mod echo;
pub(crate) mod log_watch;
pub(crate) mod raw;
pub(crate) mod running;
pub(crate) mod shown;
pub(crate) mod site;
pub(crate) mod wire;
