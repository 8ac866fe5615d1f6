//! Everything that names Pingora.
pub mod settings;
pub use settings::*;
