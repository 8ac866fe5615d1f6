//! HTTP as browsers and front proxies speak it: cookies, paths, forwarded headers, safe return targets.
pub mod cookies;
pub mod public_url;
