//! Log set-up. Called once, by `main`; tests set up their own capture.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not a filter.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Writes log lines to standard error from now on, those of the libraries included.
///
/// # Errors
/// [`TelemetryError`], by cause.
pub fn init(settings: &Settings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.level)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let set = match settings.format {
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        Format::Pretty => registry.with(lines.with_target(false).compact()).try_init(),
    };
    set.map_err(|_| TelemetryError::AlreadySet)
}
