//! The one outbound HTTP client.

/// The one outbound HTTP client. Clones share connections.
#[derive(Clone, Debug)]
pub struct Fetch;
