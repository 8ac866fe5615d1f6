//! Stands in for `libz-ng-sys`, which `flate2` (through `pingora-core`) builds with cmake.
//!
//! Vestibule compresses nothing on its request path, so zlib-ng's speed buys nothing here,
//! while its cmake would be one more tool that every builder must have. The two crates offer
//! the same functions under the same names; stock zlib needs only a C compiler.
pub use libz_sys::*;
