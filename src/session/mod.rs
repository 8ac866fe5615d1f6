//! The session: what it holds, how it is sealed into cookies, and when it ends.

use std::time::Duration;

/// When sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Without a request for this long.
    pub idle: Duration,
    /// After this long in any case.
    pub lifetime: Duration,
}
