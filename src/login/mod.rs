//! The sign-in: an attempt from its start to its callback, and the sign-out.

use std::time::Duration;

/// How people are led to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// Straight to the provider.
    #[default]
    Automatic,
    /// By a page with the provider's button.
    Page,
    /// Silently (`prompt=none`) first; by the page when the provider knows nobody.
    Silent,
}

/// How sign-in goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How people are led to the provider.
    pub entry: Entry,
    /// How long a person may take at the provider.
    pub attempt_lifetime: Duration,
}
