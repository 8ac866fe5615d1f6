//! The configuration: as written, as run, and the one function between them.
