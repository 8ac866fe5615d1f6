//! HTTP as browsers and front proxies speak it, each outside thing with its one parser.
//!
//! Called by every room above. Knows no session and no provider, and nothing of Pingora: requests
//! are `http` crate types.

pub mod allowed_domains;
pub(crate) mod chunks;
pub mod client_certificate;
pub mod cookies;
pub mod cors;
pub mod domain;
pub mod form_id;
pub mod forwarded;
pub(crate) mod frames;
pub mod header;
pub mod hygiene;
pub mod kind;
pub mod origin;
pub mod original;
pub mod own_paths;
pub mod path;
pub mod preconditions;
pub mod public_url;
pub mod return_hosts;
pub mod return_to;
pub mod shared_cache;
pub mod site_hosts;
pub(crate) mod strict_json;
pub mod submitted;
