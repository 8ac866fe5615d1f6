//! Log set-up: who calls it once is `main`; nothing here holds state of its own.

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Pretty,
}

/// What is logged, and how.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How lines are written.
    pub format: Format,
    /// An `EnvFilter` directive, such as `info` or `vestibule=debug`.
    pub level: String,
}
