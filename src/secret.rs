//! Secrets: values that are never printed and are wiped when dropped.
//!
//! Every room that holds a secret holds it as one of these. Reading one is written
//! `.expose_secret()`, so that a search for that word lists every place where a secret is used.
//! Must never gain a `Display`, a `Serialize` or a revealing `Debug`.

pub use secrecy::{ExposeSecret, SecretString};
