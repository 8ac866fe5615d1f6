//! What the tests stand on: the real sidecar in this process, a provider that can be told to
//! misbehave, an app that shows what reaches it, a browser-like client, the real counterparts
//! with the real binary between them, and a watch over everything that is logged.

pub(crate) mod albert;
pub(crate) mod angular;
pub(crate) mod binary;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod counterparts;
pub(crate) mod echo;
pub(crate) mod front_proxy;
pub(crate) mod grpc;
pub(crate) mod issuer;
pub(crate) mod keyed;
pub(crate) mod log_watch;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod running;
pub(crate) mod scene;
pub(crate) mod shown;
pub(crate) mod site;
pub(crate) mod socket;
pub(crate) mod waiting;
pub(crate) mod wire;
