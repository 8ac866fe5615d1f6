//! Tests of what only the file does.
