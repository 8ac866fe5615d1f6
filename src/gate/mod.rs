//! The decision: may this request pass, and with which identity headers.
pub mod headers;
pub mod route;
