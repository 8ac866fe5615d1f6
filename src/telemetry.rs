//! Log set-up. Called once, by `main`; tests set up their own capture.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, filter};

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
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    let set = match settings.format {
        Format::Json => registry.with(filtered(lines.json().flatten_event(true), &settings.level)?).try_init(),
        Format::Pretty => registry.with(filtered(lines.with_target(false).compact(), &settings.level)?).try_init(),
    };
    set.map_err(|_| TelemetryError::AlreadySet)
}

/// A layer that sees what may be logged at this level, and nothing else whatever the level.
///
/// # Errors
/// [`TelemetryError::Level`].
pub fn filtered<S, L>(layer: L, level: &str) -> Result<impl Layer<S>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    let level = EnvFilter::try_new(level)?;
    Ok(layer.with_filter(level).with_filter(filter::filter_fn(may_be_logged).with_max_level_hint(LevelFilter::TRACE)))
}

/// Libraries write whole requests, cookies and codes included, when they are asked to talk much
/// (Pingora does at `trace`). Nobody who looks for a mistake at night should find those in the
/// log afterwards: below `info` only our own lines are written.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("vestibule")
}
